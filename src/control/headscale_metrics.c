/* See headscale_metrics.h. */

#include "control/headscale_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/metric.h"
#include "core/metric_family.h"

/* ---- Ours by another name ---- */

#define SENT "headscale_mapresponse_sent_total"
#define MADE "headscale_mapresponse_generated_total"

static struct named {
    struct metric metric;
    struct str of, less; /* ours, and what is taken from it */
} named[] = {
    {METRIC_COUNTER(SENT "{status=\"ok\",type=\"keepalive\"}", "Map messages sent, by kind."),
     STR_INIT("hatsize_map_keep_alives_total"),
     {0}},
    {METRIC_COUNTER(SENT "{status=\"ok\",type=\"change\"}", NULL),
     STR_INIT("hatsize_map_messages_total"),
     {0}},
    {METRIC_COUNTER(MADE "{response_type=\"full\"}", "Map messages made, by kind."),
     STR_INIT("hatsize_netmap_messages_total{kind=\"full\"}"),
     {0}},
    {METRIC_COUNTER(MADE "{response_type=\"patch\"}", NULL),
     STR_INIT("hatsize_netmap_messages_total{kind=\"shared\"}"),
     {0}},
    {METRIC_COUNTER(MADE "{response_type=\"self\"}", NULL),
     STR_INIT("hatsize_netmap_messages_total{kind=\"own\"}"),
     {0}},
    {METRIC_COUNTER("headscale_mapresponse_ended_total{reason=\"done\"}",
                    "Map streams that ended."),
     STR_INIT("hatsize_map_streams_stalled_total"),
     {0}},
    {METRIC_COUNTER("headscale_mapresponse_ended_total{reason=\"cancelled\"}", NULL),
     STR_INIT("hatsize_map_streams_opened_total"), STR_INIT("hatsize_map_streams")},
    {METRIC_COUNTER("headscale_mapresponse_closed_total{return=\"clientgone\"}",
                    "Map streams that ended, as headscale counted them."),
     STR_INIT("hatsize_map_streams_opened_total"), STR_INIT("hatsize_map_streams")},
    {METRIC_GAUGE("headscale_nodestore_queue_depth", "Map streams that lack the newest."),
     STR_INIT("hatsize_netmap_streams_behind"),
     {0}},
};

static struct metric nodes_now = METRIC_GAUGE("headscale_nodestore_nodes", "Nodes.");
static struct metric nodes_old =
    METRIC_GAUGE("headscale_nodestore_nodes_total", "Nodes, by the name of 0.28 and before.");
static struct metric endpoints = METRIC_COUNTER(
    "headscale_mapresponse_endpoint_updates_total{status=\"ok\"}", "Endpoints told by machines.");

/* ---- What is observed ---- */

static const double seconds[] = {0.00001, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5};
static const double sizes[] = {1, 2, 5, 10, 20, 50, 100};

#define OF "headscale_nodestore_"
static struct metric_family operations =
    METRIC_FAMILY_COUNTER(OF "operations_total", "Commands, by what they do.");
static struct metric_family operation_seconds =
    METRIC_FAMILY_HISTOGRAM(OF "operation_duration_seconds", "Their time.", seconds);
static struct metric_family batch_size =
    METRIC_FAMILY_HISTOGRAM(OF "batch_size", "Commands that shared a round.", sizes);
static struct metric_family batch_seconds =
    METRIC_FAMILY_HISTOGRAM(OF "batch_duration_seconds", "The rounds' time of telling.", seconds);
static struct metric_family view_seconds = METRIC_FAMILY_HISTOGRAM(
    OF "snapshot_build_duration_seconds", "The time to make a view of a tailnet.", seconds);
static struct metric_family peers_seconds = METRIC_FAMILY_HISTOGRAM(
    OF "peers_calculation_duration_seconds", "The time to say who sees whom.", seconds);

static double in_seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* headscale's word for what is done to nodes; NULL: to something else. */
static const char *operation_of(enum command_type type)
{
    if (type == COMMAND_REGISTER || type == COMMAND_REGISTER_APPROVE)
        return "put";
    if (type == COMMAND_NODE_UPDATE || type == COMMAND_STREAM_OPEN ||
        type == COMMAND_STREAM_CLOSE || type == COMMAND_NODE_EXPIRE || type == COMMAND_NODE_TAG ||
        type == COMMAND_NODE_MOVE || type == COMMAND_NODE_APPROVE_ROUTES)
        return "update";
    if (type == COMMAND_NODES_BACKFILL || type == COMMAND_TICK)
        return "update_multi";
    if (type == COMMAND_NODE_RENAME)
        return "set_name";
    return type == COMMAND_NODE_DELETE ? "delete" : NULL;
}

void headscale_note_command(enum command_type type, uint64_t took_ns)
{
    const char *operation = operation_of(type);
    char labels[64];

    if (!operation)
        return;
    (void)snprintf(labels, sizeof(labels), "operation=\"%s\"", operation);
    metric_family_add(&operations, str_from(labels), 1);
    metric_family_observe(&operation_seconds, str_from(labels), in_seconds(took_ns));
}

void headscale_note_round(size_t calls, uint64_t took_ns)
{
    metric_family_observe(&batch_size, STR_NONE, (double)calls);
    metric_family_observe(&batch_seconds, STR_NONE, in_seconds(took_ns));
}

void headscale_note_view(uint64_t took_ns)
{
    metric_family_observe(&view_seconds, STR_NONE, in_seconds(took_ns));
}

void headscale_note_peers(uint64_t took_ns)
{
    metric_family_observe(&peers_seconds, STR_NONE, in_seconds(took_ns));
}

void headscale_note_endpoints(void)
{
    metric_add(&endpoints, 1);
}

void headscale_metrics_update(size_t nodes)
{
    metric_set(&nodes_now, (int64_t)nodes);
    metric_set(&nodes_old, (int64_t)nodes);
    metric_add(&endpoints, 0);
    for (size_t i = 0; i < ARRAY_LEN(named); i++)
        metric_set(&named[i].metric,
                   metric_find_value(named[i].of) -
                       (named[i].less.len ? metric_find_value(named[i].less) : 0));
}

/* ---- The process ---- */

static size_t open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n > 3 ? n - 3 : 0; /* itself, "." and ".." */
}

/* The field of /proc/self/stat behind the program's name, from 0. */
static uint64_t stat_field(struct str stat, size_t i)
{
    struct str rest = str_from_index(stat, (size_t)(str_rfind_char(stat, ')') + 2)), piece;
    uint64_t v = 0;

    for (size_t at = 0; str_next(&rest, ' ', &piece); at++)
        if (at == i)
            return str_parse_u64(str_trim(piece), &v) ? v : 0;
    return 0;
}

/* The kernel makes it as it is read, in one piece. */
static struct str read_stat(char *text, size_t room)
{
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, room);

    if (fd >= 0)
        (void)close(fd);
    return n > 0 && str_rfind_char(str_bytes(text, (size_t)n), ')') >= 0
               ? str_bytes(text, (size_t)n)
               : STR_NONE;
}

static void put_one(struct buf *out, const char *name, const char *help, const char *kind, double v)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, kind, name, v);
}

void process_metrics_put(struct buf *out)
{
    static _Atomic(int64_t) start_ms;
    struct rusage used = {0};
    struct rlimit files = {0};
    char text[2048];
    struct str stat = read_stat(text, sizeof(text));
    double page = (double)sysconf(_SC_PAGESIZE);

    if (stat.len > 0) {
        double ticks = (double)sysconf(_SC_CLK_TCK), up = 0;
        struct timespec boot;

        (void)clock_gettime(CLOCK_BOOTTIME, &boot);
        up = (double)boot.tv_sec - (double)stat_field(stat, 19) / ticks;
        if (start_ms == 0)
            start_ms = clock_unix_ms() - (int64_t)(up * 1000);
        put_one(out, "process_virtual_memory_bytes", "Address space.", "gauge",
                (double)stat_field(stat, 20));
        put_one(out, "process_resident_memory_bytes", "Memory in use.", "gauge",
                (double)stat_field(stat, 21) * page);
        put_one(out, "process_start_time_seconds", "When it was started, unix.", "gauge",
                (double)start_ms / 1000);
    }
    (void)getrusage(RUSAGE_SELF, &used);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    put_one(out, "process_cpu_seconds_total", "CPU time.", "counter",
            (double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec +
                (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    put_one(out, "process_open_fds", "Open files and connections.", "gauge", (double)open_files());
    put_one(out, "process_max_fds", "As many may be open.", "gauge", (double)files.rlim_cur);
}
