/* See watching.h. */

#include "control/watching.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>

#include "control/control_internal.h"
#include "control/headscale_metrics.h"
#include "core/metric.h"
#include "core/metric_family.h"
#include "netmap/stats.h"

#define PAGE_MAX ((size_t)16 << 20)

/* One tailnet on one loop. */
struct row {
    struct str tailnet; /* owned */
    size_t loop;
    size_t sessions;
    struct netmap_feed_stats stats;
};

/*
 * A question on its way. `x` belongs to the loop that asked; the rows belong to whoever has the
 * message.
 */
struct asking {
    struct control *control;
    struct loop *home;
    struct http_exchange *x; /* NULL: it ended */
    void (*answer)(struct asking *a);
    _Atomic(int) refs; /* the exchange, and the way */
    size_t at;         /* the next loop */
    struct row *rows;
    size_t n;
    size_t cap;
    struct loop_message message;
};

static void asking_unref(struct asking *a)
{
    if (atomic_fetch_sub(&a->refs, 1) > 1)
        return;
    for (size_t i = 0; i < a->n; i++)
        str_free(&a->rows[i].tailnet);
    mem_free(a->rows);
    mem_free(a);
}

static void on_end(void *user, bool aborted)
{
    struct asking *a = user;

    (void)aborted;
    a->x = NULL;
    asking_unref(a);
}

static void add_row(void *user, const struct netmap_feed *feed, size_t sessions)
{
    struct asking *a = user;
    struct row *row;

    a->rows = mem_room(a->rows, a->n, &a->cap, 16, sizeof *a->rows);
    row = &a->rows[a->n++];
    row->tailnet = str_copy(view_info(netmap_feed_view(feed))->name);
    row->loop = a->at;
    row->sessions = sessions;
    netmap_feed_stats(feed, &row->stats);
}

static void on_home(struct loop_message *m)
{
    struct asking *a = CONTAINER_OF(m, struct asking, message);

    if (!m->cancelled && a->x)
        a->answer(a);
    asking_unref(a);
}

static void on_loop(struct loop_message *m)
{
    struct asking *a = CONTAINER_OF(m, struct asking, message);
    struct control *c = a->control;

    if (m->cancelled) {
        asking_unref(a);
        return;
    }
    hub_each_feed(c->hubs[a->at], add_row, a);
    a->at++;
    if (a->at < c->n_loops) {
        loop_post(c->loops[a->at], m);
        return;
    }
    m->run = on_home;
    loop_post(a->home, m);
}

static void ask(struct control *c, struct http_exchange *x, const struct http_request *req,
                void (*answer)(struct asking *a))
{
    struct asking *a = NEW(struct asking);

    a->control = c;
    a->home = req->loop;
    a->x = x;
    a->answer = answer;
    atomic_store(&a->refs, 2);
    a->message.run = on_loop;
    http_on_end(x, on_end, a);
    loop_post(c->loops[0], &a->message);
}

/* ---- /metrics ---- */

enum gauge {
    G_CLASSES,
    G_BEHIND,
    G_FURTHEST,
    G_JOURNAL,
    G_KEPT,
    G_KEPT_BYTES,
    G_BLOCKS,
    G_BLOCK_PLAIN,
    G_BLOCK_FRAME,
    G_COUNT
};

static struct metric gauges[G_COUNT] = {
    [G_CLASSES] = METRIC_GAUGE("hatsize_netmap_classes",
                               "Classes of nodes that policies treat alike, over all tailnets."),
    [G_BEHIND] =
        METRIC_GAUGE("hatsize_netmap_streams_behind", "Map streams not told the newest yet."),
    [G_FURTHEST] = METRIC_GAUGE("hatsize_netmap_revisions_behind",
                                "Revisions that the slowest map stream lacks."),
    [G_JOURNAL] = METRIC_GAUGE("hatsize_netmap_journal_changes",
                               "Changes in the longest journal of a tailnet on a loop."),
    [G_KEPT] =
        METRIC_GAUGE("hatsize_netmap_shared_deltas", "Deltas that lie ready for other streams."),
    [G_KEPT_BYTES] = METRIC_GAUGE("hatsize_netmap_shared_delta_bytes", "Memory they take."),
    [G_BLOCKS] = METRIC_GAUGE("hatsize_netmap_blocks", "Blocks of nodes that lie ready."),
    [G_BLOCK_PLAIN] =
        METRIC_GAUGE("hatsize_netmap_block_bytes{form=\"plain\"}", "Bytes of these blocks."),
    [G_BLOCK_FRAME] = METRIC_GAUGE("hatsize_netmap_block_bytes{form=\"zstd\"}", NULL),
};

static void answer_metrics(struct asking *a)
{
    int64_t sum[G_COUNT] = {0};
    size_t nodes = 0;
    struct buf body = BUF(PAGE_MAX);

    for (size_t i = 0; i < a->n; i++) {
        const struct netmap_feed_stats *s = &a->rows[i].stats;

        if (a->rows[i].loop == 0) { /* the same on every loop */
            sum[G_CLASSES] += (int64_t)s->classes;
            nodes += s->nodes;
        }
        sum[G_BEHIND] += (int64_t)s->behind;
        sum[G_FURTHEST] = MAX(sum[G_FURTHEST], (int64_t)s->furthest);
        sum[G_JOURNAL] = MAX(sum[G_JOURNAL], (int64_t)s->journal);
        sum[G_KEPT] += (int64_t)s->kept;
        sum[G_KEPT_BYTES] += (int64_t)s->kept_bytes;
        sum[G_BLOCKS] += (int64_t)s->blocks;
        sum[G_BLOCK_PLAIN] += (int64_t)s->block_plain_bytes;
        sum[G_BLOCK_FRAME] += (int64_t)s->block_frame_bytes;
    }
    for (size_t i = 0; i < G_COUNT; i++)
        metric_set(&gauges[i], sum[i]);
    headscale_metrics_update(nodes);
    metric_put_all(&body);
    metric_family_put_all(&body);
    process_metrics_put(&body);
    http_respond(a->x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&body));
    buf_fini(&body);
}

void control_on_metrics(struct control *c, struct http_exchange *x, const struct http_request *req)
{
    ask(c, x, req, answer_metrics);
}

/* ---- /debug/netmap ---- */

/* The columns after tailnet, loop and streams, in the page's order. */
#define AT(member) offsetof(struct netmap_feed_stats, member)
static const struct column {
    const char *title;
    size_t at; /* a uint64_t of the stats */
    bool is_bytes;
} columns[] = {
    {"BEHIND", AT(behind), false},
    {"FURTHEST", AT(furthest), false},
    {"REVISION", AT(revision), false},
    {"NODES", AT(nodes), false},
    {"CLASSES", AT(classes), false},
    {"JOURNAL", AT(journal), false},
    {"BLOCKS", AT(blocks), false},
    {"PLAIN", AT(block_plain_bytes), true},
    {"ZSTD", AT(block_frame_bytes), true},
    {"MADE", AT(counts[NETMAP_BLOCK_MADE]), false},
    {"REUSED", AT(counts[NETMAP_BLOCK_REUSED]), false},
    {"KEPT", AT(kept), false},
    {"BYTES", AT(kept_bytes), true},
    {"FULL", AT(counts[NETMAP_FULL]), false},
    {"SHARED", AT(counts[NETMAP_DELTA_SHARED]), false},
    {"WRITTEN", AT(counts[NETMAP_MADE]), false},
    {"OWN", AT(counts[NETMAP_DELTA_OWN]), false},
    {"SILENT", AT(counts[NETMAP_SILENT]), false},
    {"FALLEN", AT(counts[NETMAP_FALLEN]), false},
    {"SENT", AT(counts[NETMAP_SENT_BYTES]), true},
    {"SAVED", AT(counts[NETMAP_SHARED_BYTES]), true},
};

static uint64_t column_of(const struct column *c, const struct netmap_feed_stats *s)
{
    return *(const uint64_t *)((const char *)s + c->at);
}

/* Bytes as a person reads them. */
static void put_bytes(struct buf *out, uint64_t n)
{
    static const char units[] = "BKMGT";
    double v = (double)n;
    size_t unit = 0;

    while (v >= 9999.5 && unit + 2 < sizeof units) {
        v /= 1024;
        unit++;
    }
    buf_printf(out, " %7.0f%c", v, units[unit]);
}

static void put_titles(struct buf *out)
{
    buf_printf(out, "%-20s %4s %8s %8s", "TAILNET", "LOOP", "STREAMS", "UNTOLD");
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        buf_printf(out, " %8s", columns[i].title);
    buf_put_char(out, '\n');
}

static void put_row(struct buf *out, const struct row *row)
{
    const struct netmap_feed_stats *s = &row->stats;

    buf_printf(out, "%-20.*s %4zu %8zu %8zu", STR_ARG(row->tailnet), row->loop, row->sessions,
               row->sessions - MIN(row->sessions, (size_t)s->streams));
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        uint64_t v = column_of(&columns[i], s);

        if (columns[i].is_bytes)
            put_bytes(out, v);
        else
            buf_printf(out, " %8" PRIu64, v);
    }
    buf_put_char(out, '\n');
}

static const char legend[] =
    "\nSTREAMS are open; UNTOLD of them wait for a full map, BEHIND have one and lack the newest;\n"
    "FURTHEST: revisions that the slowest lacks. JOURNAL: changes that are remembered.\n"
    "BLOCKS of nodes lie ready (PLAIN, ZSTD: their bytes); since the start MADE were written, and\n"
    "REUSED went into a map as they lay. KEPT deltas lie ready (BYTES).\n"
    "Since the start: FULL maps; SHARED deltas sent, of which WRITTEN had to be made; OWN deltas,\n"
    "made for one stream; SILENT: looked at with nothing to tell; FALLEN off the journal.\n"
    "SENT bytes; SAVED: of these, neither written nor compressed again.\n";

static void answer_page(struct asking *a)
{
    struct buf body = BUF(PAGE_MAX);

    put_titles(&body);
    for (size_t i = 0; i < a->n; i++)
        put_row(&body, &a->rows[i]);
    buf_put(&body, str_from(legend));
    http_respond(a->x, 200, "text/plain; charset=utf-8", buf_str(&body));
    buf_fini(&body);
}

void control_on_debug_netmap(struct control *c, struct http_exchange *x,
                             const struct http_request *req)
{
    ask(c, x, req, answer_page);
}
