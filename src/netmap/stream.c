/*
 * Streams: what one viewer has been told, and what comes next.
 *
 *   new --pull--> LIVE: holds the view it was last told of
 *    ^             |  ^
 *    |   the window|  |pull: a full map
 *    |   passed it v  |
 *    +----------- FALLEN: holds the ids of the peers the client has
 *
 * A delta is the difference of two views under their policies (delta.c). It is the same for
 * everyone of a class who did not take part in it, so it is encoded and compressed once a feed and
 * class, and copied from there.
 */

#include "netmap/stream.h"

#include "core/log.h"
#include "core/mem.h"
#include "netmap/encode.h"
#include "netmap/netmap_internal.h"
#include "wire/response.h"

/* Scratch larger than this is given back after use. */
#define SCRATCH_KEPT ((size_t)1 << 20)

struct netmap_stream *netmap_stream_new(struct netmap_feed *f,
                                        const struct netmap_stream_options *options)
{
    struct netmap_stream *s = NEW(struct netmap_stream);

    s->feed = f;
    list_node_init(&s->streams);
    s->viewer = options->viewer;
    s->capver = options->capver;
    s->zstd = options->zstd;
    s->omit_peers = options->omit_peers;
    s->health = str_copy(options->health);
    return s;
}

static void forget_peers(struct netmap_stream *s)
{
    mem_free(s->known);
    s->known = NULL;
    s->n_known = 0;
}

static void drop_view(struct netmap_stream *s)
{
    list_remove(&s->streams);
    view_unref(s->view);
    policy_unref(s->policy);
    s->view = NULL;
    s->policy = NULL;
}

void netmap_stream_free(struct netmap_stream *s)
{
    if (!s)
        return;
    drop_view(s);
    forget_peers(s);
    str_free(&s->health);
    mem_free(s);
}

void netmap_stream_fall(struct netmap_stream *s)
{
    const struct node *self = view_node_find(s->view, s->viewer), *n;
    size_t at = 0;

    s->known = mem_alloc_array(view_node_count(s->view), sizeof *s->known);
    while ((n = view_node_next(s->view, &at)))
        if (n != self && policy_sees(s->policy, s->viewer, n->id))
            s->known[s->n_known++] = n->id;
    drop_view(s);
    netmap_count(s->feed, NETMAP_FALLEN, 1);
}

/* The client now holds the feed's view. */
static void advance(struct netmap_stream *s)
{
    struct netmap_feed *f = s->feed;

    drop_view(s);
    forget_peers(s);
    if (s->omit_peers) {
        s->done = true;
        return;
    }
    s->view = view_ref(f->view);
    s->policy = policy_ref(f->policy);
    list_push_back(&f->streams, &s->streams);
}

/* The text as a framed message of one piece; false: too large. */
static bool add_message(struct netmap_parcel *out, const struct buf *json, bool zstd)
{
    struct buf frame = BUF(NETMAP_MESSAGE_MAX);
    bool fits = !buf_is_full(json);

    if (fits)
        wire_frame_put(&frame, buf_str(json), zstd);
    fits = fits && !buf_is_full(&frame);
    if (fits)
        netmap_parcel_add_take(out, blob_new(buf_str(&frame)), 0);
    buf_fini(&frame);
    return fits;
}

static enum netmap_pull send_scratch(struct netmap_stream *s, struct netmap_parcel *out)
{
    struct buf *json = &s->feed->json;
    bool fits = add_message(out, json, s->zstd);

    if (!fits)
        log_event(LOG_ERROR, "a map is too large to be sent", LOG_U64("node", s->viewer));
    if (json->cap > SCRATCH_KEPT)
        buf_fini(json);
    buf_clear(json);
    return fits ? NETMAP_PULL_SENT : NETMAP_PULL_GONE;
}

static enum netmap_pull pull_full(struct netmap_stream *s, int64_t now_ms,
                                  struct netmap_parcel *out)
{
    struct netmap_feed *f = s->feed;

    buf_clear(&f->json);
    netmap_put_full(&f->json, &(struct netmap_full){.view = f->view,
                                                    .policy = f->policy,
                                                    .viewer = s->viewer,
                                                    .capver = s->capver,
                                                    .omit_peers = s->omit_peers,
                                                    .health = s->health,
                                                    .now_ms = now_ms,
                                                    .known = s->known,
                                                    .n_known = s->n_known});
    advance(s);
    netmap_count(f, NETMAP_FULL, 1);
    return send_scratch(s, out);
}

static enum netmap_pull pull_own(struct netmap_stream *s, const struct netmap_span *span,
                                 struct netmap_parcel *out)
{
    struct netmap_feed *f = s->feed;
    struct netmap_step step = {.old = s->view,
                               .now = f->view,
                               .policy_old = s->policy,
                               .policy_now = f->policy,
                               .viewer = s->viewer,
                               .capver = s->capver,
                               .span = span};
    bool any;

    buf_clear(&f->json);
    any = netmap_put_delta(&f->json, &step);
    advance(s);
    if (!any)
        return NETMAP_PULL_NONE;
    netmap_count(f, NETMAP_DELTA_OWN, 1);
    return send_scratch(s, out);
}

static enum netmap_pull send_shared(struct netmap_stream *s, struct netmap_shared *shared,
                                    struct netmap_parcel *out)
{
    struct blob **frame = &shared->frames[s->zstd];

    advance(s);
    if (!shared->json)
        return NETMAP_PULL_NONE;
    if (!*frame) {
        struct buf text = BUF(NETMAP_MESSAGE_MAX);

        wire_frame_put(&text, blob_str(shared->json), s->zstd);
        *frame = blob_new(buf_str(&text));
        buf_fini(&text);
    } else {
        netmap_count(s->feed, NETMAP_SHARED_BYTES, blob_str(*frame).len);
    }
    netmap_count(s->feed, NETMAP_DELTA_SHARED, 1);
    netmap_parcel_add(out, *frame, 0);
    return NETMAP_PULL_SENT;
}

static enum netmap_pull pull_delta(struct netmap_stream *s, struct netmap_parcel *out)
{
    struct netmap_feed *f = s->feed;
    const struct netmap_span *span = netmap_feed_span_from(f, view_revision(s->view));
    struct netmap_shared *shared = netmap_feed_shared(f, s, span);

    return shared ? send_shared(s, shared, out) : pull_own(s, span, out);
}

static enum netmap_pull pull(struct netmap_stream *s, int64_t now_ms, struct netmap_parcel *out)
{
    if (s->done)
        return NETMAP_PULL_NONE;
    if (!view_node_find(s->feed->view, s->viewer))
        return NETMAP_PULL_GONE;
    if (!s->view)
        return pull_full(s, now_ms, out);
    if (!netmap_stream_is_behind(s))
        return NETMAP_PULL_NONE;
    return pull_delta(s, out);
}

enum netmap_pull netmap_stream_pull(struct netmap_stream *s, int64_t now_ms,
                                    struct netmap_parcel *out)
{
    enum netmap_pull did;

    ASSERT(netmap_parcel_is_empty(out));
    did = pull(s, now_ms, out);
    if (did == NETMAP_PULL_SENT)
        netmap_count(s->feed, NETMAP_SENT_BYTES, netmap_parcel_bytes(out));
    else if (did == NETMAP_PULL_NONE)
        netmap_count(s->feed, NETMAP_SILENT, 1);
    return did;
}

bool netmap_stream_wants_full(const struct netmap_stream *s)
{
    return !s->done && !s->view;
}

bool netmap_stream_is_behind(const struct netmap_stream *s)
{
    if (s->done)
        return false;
    return !s->view || s->policy != s->feed->policy ||
           view_revision(s->view) < view_revision(s->feed->view);
}

void netmap_stream_keep_alive(const struct netmap_stream *s, struct netmap_parcel *out)
{
    struct blob **frame = &s->feed->keep_alive[s->zstd];

    if (!*frame) {
        struct buf text = BUF(0);

        wire_frame_put(&text, STR(WIRE_KEEP_ALIVE), s->zstd);
        *frame = blob_new(buf_str(&text));
        buf_fini(&text);
    }
    netmap_parcel_add(out, *frame, 0);
}

void netmap_stream_farewell(const struct netmap_stream *s, const struct node *last, int64_t now_ms,
                            struct netmap_parcel *out)
{
    struct node *gone = node_clone(last);
    struct buf json = BUF(NETMAP_MESSAGE_MAX);

    gone->expired = true;
    gone->expiry_ms = now_ms - 1000;
    buf_put(&json, STR("{\"Node\":"));
    netmap_put_self(&json, view_info(s->feed->view), s->feed->policy, gone);
    buf_put_char(&json, '}');
    (void)add_message(out, &json, s->zstd);
    buf_fini(&json);
    node_unref(gone);
}
