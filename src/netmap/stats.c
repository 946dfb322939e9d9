/* See stats.h. */

#include "netmap/stats.h"

#include "core/metric.h"
#include "netmap/netmap_internal.h"
#include "netmap/stream.h"

static struct metric totals[NETMAP_COUNTS] = {
    [NETMAP_FULL] = METRIC_COUNTER("hatsize_netmap_messages_total{kind=\"full\"}",
                                   "Messages made for map streams: full maps, deltas shared with "
                                   "other streams, deltas for one stream alone."),
    [NETMAP_DELTA_SHARED] = METRIC_COUNTER("hatsize_netmap_messages_total{kind=\"shared\"}", NULL),
    [NETMAP_DELTA_OWN] = METRIC_COUNTER("hatsize_netmap_messages_total{kind=\"own\"}", NULL),
    [NETMAP_SILENT] = METRIC_COUNTER("hatsize_netmap_silent_pulls_total",
                                     "Times a stream looked and there was nothing to tell it."),
    [NETMAP_MADE] = METRIC_COUNTER("hatsize_netmap_shared_made_total",
                                   "Shared deltas written; each may serve many streams."),
    [NETMAP_FALLEN] = METRIC_COUNTER("hatsize_netmap_fallen_total",
                                     "Streams that the journal passed by: a full map follows."),
    /* NETMAP_SENT_BYTES: hatsize_map_bytes_total says it. */
    [NETMAP_SHARED_BYTES] = METRIC_COUNTER("hatsize_netmap_saved_bytes_total",
                                           "Of these, bytes that lay ready and were neither "
                                           "written nor compressed again."),
    [NETMAP_BLOCK_MADE] = METRIC_COUNTER("hatsize_netmap_blocks_made_total",
                                         "Blocks of nodes written and compressed."),
    [NETMAP_BLOCK_REUSED] = METRIC_COUNTER("hatsize_netmap_blocks_reused_total",
                                           "Blocks of nodes sent as they lay ready."),
};

void netmap_count(struct netmap_feed *f, enum netmap_count what, uint64_t n)
{
    f->counts[what] += n;
    if (totals[what].name)
        metric_add(&totals[what], (int64_t)n);
}

static void look_at_streams(const struct netmap_feed *f, struct netmap_feed_stats *out)
{
    LIST_FOR_EACH(m, &f->moments, struct netmap_moment, moments) {
        if (!m->view)
            continue;
        size_t streams = m->streams - (m == f->aim);

        out->streams += streams;
        if (m != f->newest)
            out->behind += streams;
        out->furthest = MAX(out->furthest, out->revision - m->revision);
    }
}

static void look_at_bodies(const struct netmap_way *w, struct netmap_feed_stats *out)
{
    for (const struct netmap_body *b = w->bodies; b; b = b->next) {
        out->kept++;
        out->kept_bytes += blob_str(b->json).len;
        for (int form = 0; form < NETMAP_FORMS; form++)
            out->kept_bytes += blob_str(b->whole[form]).len + blob_str(b->rest[form]).len;
    }
}

static void look_at_block(const struct netmap_block *x, struct netmap_feed_stats *out)
{
    out->blocks++;
    for (size_t i = 0; i < x->n_prints; i++) {
        out->block_plain_bytes += blob_str(x->prints[i].form[NETMAP_PLAIN]).len;
        out->block_frame_bytes += blob_str(x->prints[i].form[NETMAP_ZSTD]).len;
    }
}

static void look_at_bunch(const struct netmap_bunch *x, struct netmap_feed_stats *out)
{
    for (int i = 0; i < 4; i++) {
        out->block_plain_bytes += blob_str(x->cards[i / 2][i % 2][NETMAP_PLAIN]).len;
        out->block_frame_bytes += blob_str(x->cards[i / 2][i % 2][NETMAP_ZSTD]).len;
    }
}

static void look_at_kept(const struct netmap_feed *f, struct netmap_feed_stats *out)
{
    LIST_FOR_EACH(m, &f->moments, struct netmap_moment, moments) {
        if (m->way)
            look_at_bodies(m->way, out);
    }
    for (size_t i = 0; i < f->book.n_bunches; i++)
        look_at_bunch(f->book.bunches[i], out);
    for (size_t i = 0; i < f->book.n_groups; i++)
        for (size_t k = 0; k < f->book.groups[i]->n; k++)
            look_at_block(f->book.groups[i]->blocks[k], out);
}

void netmap_feed_stats(const struct netmap_feed *f, struct netmap_feed_stats *out)
{
    *out = (struct netmap_feed_stats){.revision = view_revision(f->view),
                                      .nodes = view_node_count(f->view),
                                      .classes = policy_class_count(f->policy),
                                      .journal = f->len};
    look_at_streams(f, out);
    look_at_kept(f, out);
    for (size_t i = 0; i < NETMAP_COUNTS; i++)
        out->counts[i] = f->counts[i];
}
