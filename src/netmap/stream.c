/*
 * Streams: what one viewer has been told, and what comes next.
 *
 *   new --pull--> LIVE: at the moment it was last told of
 *    ^             |  ^
 *    |   the window|  |pull: a full map
 *    |   passed it v  |
 *    +----------- FALLEN: its moment has no view any more
 *
 * A delta is what lies between two moments (way.c): a part that all of the viewer's class share,
 * compressed once (body.c), and what is for the viewer alone (own.c), mostly nothing. They are
 * parts of one message.
 */

#include "netmap/stream.h"

#include "core/log.h"
#include "core/mem.h"
#include "netmap/encode.h"
#include "netmap/netmap_internal.h"
#include "wire/response.h"
#include "json/writer.h"

/* Scratch larger than this is given back after use. */
#define SCRATCH_KEPT ((size_t)1 << 20)

struct netmap_stream *netmap_stream_new(struct netmap_feed *f,
                                        const struct netmap_stream_options *options)
{
    struct netmap_stream *s = NEW(struct netmap_stream);

    s->feed = f;
    s->viewer = options->viewer;
    s->capver = options->capver;
    s->zstd = options->zstd;
    s->omit_peers = options->omit_peers;
    s->health = str_copy(options->health);
    return s;
}

static void leave(struct netmap_stream *s)
{
    if (s->moment)
        netmap_feed_leave(s->feed, s->moment);
    s->moment = NULL;
}

void netmap_stream_free(struct netmap_stream *s)
{
    if (!s)
        return;
    leave(s);
    str_free(&s->health);
    mem_free(s);
}

/* The client now holds the feed's view, or what deltas lead to. */
static void advance(struct netmap_stream *s, const struct netmap_eye *eye, bool by_delta)
{
    struct netmap_moment *was = s->moment;

    if (s->omit_peers) {
        s->done = true;
        return;
    }
    s->moment = by_delta ? netmap_feed_arrive_aim(s->feed) : netmap_feed_arrive(s->feed);
    s->eye.cls = eye->cls;
    s->eye.user = eye->user;
    if (was)
        netmap_feed_leave(s->feed, was);
}

static enum netmap_pull sent(struct netmap_stream *s, bool fits)
{
    struct buf *json = s->feed->json;

    if (!fits)
        log_event(LOG_ERROR, "a map is too large to be sent", LOG_U64("node", s->viewer));
    if (json->cap > SCRATCH_KEPT)
        buf_fini(json);
    return fits ? NETMAP_PULL_SENT : NETMAP_PULL_GONE;
}

static enum netmap_pull pull_full(struct netmap_stream *s, int64_t now_ms,
                                  struct netmap_parcel *out)
{
    struct netmap_feed *f = s->feed;
    struct netmap_eye eye;
    size_t n_peers;
    bool fits = netmap_full(f,
                            &(struct netmap_full){.viewer = s->viewer,
                                                  .capver = s->capver,
                                                  .zstd = s->zstd,
                                                  .omit_peers = s->omit_peers,
                                                  .health = s->health,
                                                  .now_ms = now_ms},
                            out, &n_peers);

    /* A list of no peers would say "no change" to a client that holds some from before its fall. */
    if (s->moment && n_peers == 0) {
        netmap_parcel_fini(out);
        return NETMAP_PULL_GONE;
    }
    eye = netmap_eye_of(f->policy, s->viewer);
    advance(s, &eye, false);
    netmap_count(f, NETMAP_FULL, 1);
    return sent(s, fits);
}

static enum netmap_pull pull_present(struct netmap_stream *s, int64_t now_ms,
                                     struct netmap_parcel *out)
{
    if (!view_node_find(s->feed->view, s->viewer))
        return NETMAP_PULL_GONE;
    return pull_full(s, now_ms, out);
}

/* ---- Deltas ---- */

/* Made when first wanted. */
static struct blob *
made(struct netmap_stream *s, struct netmap_way *w, const struct netmap_body *b, struct blob **kept,
     struct blob *(*make)(struct netmap_way *w, const struct netmap_body *b, bool zstd))
{
    if (*kept) {
        netmap_count(s->feed, NETMAP_SHARED_BYTES, blob_str(*kept).len);
        return *kept;
    }
    netmap_count(s->feed, NETMAP_MADE, 1);
    *kept = make(w, b, s->zstd);
    return *kept;
}

/* Nothing but the body: the same bytes for all. */
static enum netmap_pull send_body(struct netmap_stream *s, struct netmap_way *w,
                                  struct netmap_body *b, struct netmap_parcel *out)
{
    struct blob *whole;

    if (!b->json)
        return NETMAP_PULL_NONE;
    whole = made(s, w, b, &b->whole[s->zstd], netmap_body_whole);
    if (!whole)
        return sent(s, false);
    netmap_count(s->feed, NETMAP_DELTA_SHARED, 1);
    netmap_parcel_add(out, whole, 0);
    return NETMAP_PULL_SENT;
}

/* Members of its own, already in the scratch behind an open brace, and the body unless it is NULL.
 */
static enum netmap_pull send_own(struct netmap_stream *s, struct netmap_way *w,
                                 struct netmap_body *b, struct netmap_parcel *out)
{
    struct buf *json = s->feed->json;
    struct netmap_parcel rest = {0};
    bool fits = true;

    if (b) {
        struct blob *part = made(s, w, b, &b->rest[s->zstd], netmap_body_rest);

        fits = part != NULL;
        if (part)
            netmap_parcel_add(&rest, part, 0);
    } else {
        buf_put_char(json, '}');
    }
    fits = fits && !buf_is_full(json) && netmap_send(out, buf_str(json), s->zstd, &rest);
    netmap_parcel_fini(&rest);
    netmap_count(s->feed, NETMAP_DELTA_OWN, 1);
    return sent(s, fits);
}

/*
 * 1.100.0 gives no packet to a peer that comes by a delta alone: `tailscale status` shows it, and
 * it is never reached.
 */
#define CAPVER_DEAF 141

/*
 * From 1.86 to 1.94 a client's sockets hear of only the first of several things that a delta
 * patches of one peer: of a new home relay, and then not of the endpoints, so that it stays on the
 * relay.
 */
#define CAPVER_HALF_DEAF 117
#define CAPVER_HALF_DEAF_LAST 132

/* Whether it must take the whole map anew to hear all that a delta says. */
static bool is_deaf(const struct netmap_stream *s, const struct netmap_way *w)
{
    return s->capver == CAPVER_DEAF ||
           (w->moves_twice && s->capver >= CAPVER_HALF_DEAF && s->capver <= CAPVER_HALF_DEAF_LAST);
}

static enum netmap_pull pull_way(struct netmap_stream *s, struct netmap_way *w,
                                 struct netmap_walker *v, struct netmap_body *b,
                                 struct netmap_parcel *out)
{
    struct buf *json = s->feed->json;
    struct json_writer own = MEMBERS_WRITER(json);
    bool cut = netmap_body_is_cut(w, b, v);

    buf_clear(json);
    buf_put_char(json, '{');
    if (!w->is_quiet || v->touched) {
        v->self_old = view_node_find(w->old, v->viewer);
        v->self_now = view_node_find(w->now, v->viewer);
        netmap_put_own(&own, w, v);
    }
    if (cut)
        netmap_put_cut_body(&own, w, v);
    /* Said again, it makes them do so. */
    if (is_deaf(s, w) && (own.comma || (!cut && b->json)))
        json_field_str(&own, STR("Domain"), view_info(w->now)->domain);
    if (!own.comma)
        return cut ? NETMAP_PULL_NONE : send_body(s, w, b, out);
    return send_own(s, w, cut || !b->json ? NULL : b, out);
}

static enum netmap_pull pull_delta(struct netmap_stream *s, int64_t now_ms,
                                   struct netmap_parcel *out)
{
    struct netmap_way *w = netmap_feed_way(s->feed, s->moment);
    struct netmap_walker v = {.viewer = s->viewer,
                              .old = s->eye,
                              .now = s->eye,
                              .capver = s->capver,
                              .touched = netmap_span_find(&w->span, s->viewer)};
    struct netmap_slot *slot;
    enum netmap_pull did;

    if (v.touched && !view_node_find(w->now, s->viewer))
        return NETMAP_PULL_GONE;
    /* Whoever guests are anything to is of a class of its own while there are any. */
    if (v.touched || !w->one_lineage || w->has_guests)
        v.now = netmap_eye_of(w->after, s->viewer);
    if (w->has_guests) {
        v.old.self = view_node_find(w->old, s->viewer);
        v.now.self = view_node_find(w->now, s->viewer);
    }
    slot = netmap_way_slot(w, &v);
    v.slot = slot;
    if (slot->body->is_too_much)
        return pull_present(s, now_ms, out);
    if (!is_deaf(s, w) && !v.touched && v.old.cls && v.now.cls &&
        (w->is_quiet || (w->is_calm && netmap_rules_stay(w, slot, &v))))
        did = send_body(s, w, slot->body, out);
    else
        did = pull_way(s, w, &v, slot->body, out);
    advance(s, &v.now, true);
    return did;
}

static enum netmap_pull pull(struct netmap_stream *s, int64_t now_ms, struct netmap_parcel *out)
{
    if (!netmap_stream_is_behind(s))
        return NETMAP_PULL_NONE;
    if (s->moment && s->moment->view)
        return pull_delta(s, now_ms, out);
    return pull_present(s, now_ms, out);
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
    return !s->done && (!s->moment || !s->moment->view);
}

bool netmap_stream_is_behind(const struct netmap_stream *s)
{
    const struct netmap_feed *f = s->feed;

    if (s->done || !s->moment || !s->moment->view)
        return !s->done;
    return f->aim ? s->moment->number < f->aim->number : s->moment != f->newest;
}

static uint64_t moment_number(const struct netmap_stream *s)
{
    return s->moment ? s->moment->number : 0;
}

int netmap_stream_cmp(const struct netmap_stream *a, const struct netmap_stream *b)
{
    if (a->moment != b->moment)
        return moment_number(a) < moment_number(b) ? -1 : 1;
    if (a->eye.cls != b->eye.cls)
        return a->eye.cls < b->eye.cls ? -1 : 1;
    return (a->eye.user > b->eye.user) - (a->eye.user < b->eye.user);
}

void netmap_stream_keep_alive(const struct netmap_stream *s, struct netmap_parcel *out)
{
    struct blob **frame = &s->feed->keep_alive[s->zstd];

    if (!*frame)
        *frame = netmap_whole(STR(WIRE_KEEP_ALIVE), s->zstd);
    netmap_parcel_add(out, *frame, 0);
}

void netmap_stream_ping(const struct netmap_stream *s, struct str url, struct netmap_parcel *out)
{
    struct buf json = BUF(NETMAP_MESSAGE_MAX);
    struct json_writer w = JSON_WRITER(&json);
    struct blob *whole;

    /* As a keep-alive: the client looks at nothing else in it. */
    json_begin_object(&w);
    json_field_bool(&w, STR("KeepAlive"), true);
    json_field_object(&w, STR("PingRequest"));
    json_field_str(&w, STR("URL"), url);
    json_end_object(&w);
    json_end_object(&w);
    whole = netmap_whole(buf_str(&json), s->zstd);
    if (whole)
        netmap_parcel_add_take(out, whole, 0);
    buf_fini(&json);
}

void netmap_stream_farewell(const struct netmap_stream *s, const struct node *last, int64_t now_ms,
                            struct netmap_parcel *out)
{
    struct node *gone = node_clone(last);
    struct buf json = BUF(NETMAP_MESSAGE_MAX);
    struct blob *whole;

    gone->expired = true;
    gone->expiry_ms = now_ms - 1000;
    buf_put(&json, STR("{\"Node\":"));
    netmap_put_self(&json, view_info(s->feed->view), s->feed->policy, gone);
    buf_put_char(&json, '}');
    whole = buf_is_full(&json) ? NULL : netmap_whole(buf_str(&json), s->zstd);
    if (whole)
        netmap_parcel_add_take(out, whole, 0);
    buf_fini(&json);
    node_unref(gone);
}
