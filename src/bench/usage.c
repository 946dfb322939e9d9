/* What the server's process uses, as the kernel tells. */

#include <dirent.h>
#include <unistd.h>

#include "bench/bench.h"
#include "core/buf.h"

static bool read_proc(long pid, const char *what, struct buf *out)
{
    char path[320];
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/%s", pid, what);
    file = fopen(path, "r");
    if (!file)
        return false;
    char *at = buf_reserve(out, 8192);
    size_t n = at ? fread(at, 1, 8192, file) : 0;

    buf_added(out, n);
    (void)fclose(file);
    return n > 0;
}

/* The n-th blank-separated field behind the program's name (which may hold blanks itself). */
static uint64_t stat_field(struct str text, size_t n)
{
    ptrdiff_t end = str_rfind_char(text, ')');
    struct str rest = str_from_index(text, end < 0 ? 0 : (size_t)end + 2), field = STR_NONE;
    uint64_t value = 0;

    for (size_t i = 0; i < n && str_next(&rest, ' ', &field); i++)
        ;
    return str_parse_u64(field, &value) ? value : 0;
}

/* "VmHWM:	    1234 kB" */
static double status_kib(struct str text, struct str name)
{
    struct str line, key, value;
    uint64_t kib = 0;

    while (str_next(&text, '\n', &line)) {
        if (!str_split(line, ':', &key, &value) || !str_eq(key, name))
            continue;
        value = str_trim(value);
        IGNORE(str_parse_u64(str_sub(value, 0, (size_t)str_find_char(value, ' ')), &kib));
    }
    return (double)kib;
}

/* What its threads ran, in nanoseconds; the clock ticks of `stat` are much coarser. */
static double thread_seconds(long pid)
{
    char path[64];
    struct buf text = BUF(65536);
    double ns = 0;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "/proc/%ld/task", pid);
    dir = opendir(path);
    if (!dir)
        return 0;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char what[300];
        struct str rest, field;
        uint64_t ran = 0;

        (void)snprintf(what, sizeof(what), "task/%s/schedstat", e->d_name);
        buf_clear(&text);
        if (e->d_name[0] == '.' || !read_proc(pid, what, &text))
            continue;
        rest = buf_str(&text);
        if (str_next(&rest, ' ', &field) && str_parse_u64(field, &ran))
            ns += (double)ran;
    }
    (void)closedir(dir);
    buf_fini(&text);
    return ns / 1e9;
}

struct bench_usage bench_usage_of(long pid)
{
    struct bench_usage usage = {0};
    struct buf text = BUF(65536);

    if (pid > 0 && read_proc(pid, "stat", &text)) {
        uint64_t ticks = stat_field(buf_str(&text), 12) + stat_field(buf_str(&text), 13);
        uint64_t pages = stat_field(buf_str(&text), 22);
        double threads = thread_seconds(pid);

        usage.cpu_seconds = (double)ticks / (double)sysconf(_SC_CLK_TCK);
        /* Threads that have ended are missing from the finer sum. */
        if (threads > usage.cpu_seconds - 0.05)
            usage.cpu_seconds = threads;
        usage.rss_kib = (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024.0;
    }
    buf_clear(&text);
    if (pid > 0 && read_proc(pid, "status", &text))
        usage.peak_kib = status_kib(buf_str(&text), STR("VmHWM"));
    buf_fini(&text);
    return usage;
}

bool bench_parse_url(struct bench_options *o)
{
    struct str url = str_from(o->url);

    if (!str_starts(url, STR("http://")))
        return false;
    o->authority = str_from_index(url, 7);
    if (o->authority.len > 0 && o->authority.ptr[o->authority.len - 1] == '/')
        o->authority.len--;
    return ip_addrport_parse(o->authority, &o->addr);
}
