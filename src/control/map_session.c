/*
 * A map session: one client's stream, from its first map to its end. See hub.h.
 *
 *   OPEN --client gone, replaced, node gone, tailnet reset--> on_end --> STREAM_CLOSE, freed
 *
 * Invariants
 *   1. A session is in exactly one tailnet's list and index from its start to its on_end.
 *   2. Nothing is pulled while `out` or the exchange still holds bytes of the last message, or the
 *      connection is full: what a client does not take is in its position, not in memory.
 *   3. After on_end the exchange is not touched.
 */

#include "control/hub_internal.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rand.h"

#define KEEP_ALIVE_GRID_MS 250
#define SCRATCH_BYTES ((size_t)64 << 10)

static struct metric sessions_open =
    METRIC_GAUGE("hatsize_map_streams", "Map streams that are open.");
static struct metric sessions_opened =
    METRIC_COUNTER("hatsize_map_streams_opened_total", "Map streams that were ever opened.");
static struct metric messages_sent =
    METRIC_COUNTER("hatsize_map_messages_total", "Map messages sent, keep-alives not counted.");
static struct metric bytes_sent =
    METRIC_COUNTER("hatsize_map_bytes_total", "Bytes of map messages, framed and compressed.");
static struct metric keep_alives =
    METRIC_COUNTER("hatsize_map_keep_alives_total", "Keep-alive messages sent.");

/* ---- Index ---- */

struct map_session *session_of_node(const struct hub_tailnet *t, node_id node)
{
    return map_find_u64(t->by_node, node);
}

static void index_add(struct map_session *s)
{
    s->same_node = map_put_u64(s->tailnet->by_node, s->options.node, s);
}

static void index_remove(struct map_session *s)
{
    struct map *by_node = s->tailnet->by_node;
    struct map_session *at = session_of_node(s->tailnet, s->options.node);

    if (at == s) {
        if (s->same_node)
            (void)map_put_u64(by_node, s->options.node, s->same_node);
        else
            (void)map_remove_u64(by_node, s->options.node);
        return;
    }
    while (at->same_node != s)
        at = at->same_node;
    at->same_node = s->same_node;
}

/* ---- Writing ---- */

void session_end(struct map_session *s)
{
    if (!s->x || s->is_ending)
        return;
    s->is_ending = true;
    timer_stop(&s->keep_alive);
    turn_leave(s);
    http_stream_end(s->x);
}

/*
 * The next piece to write: as it lies where that fills the room or is all there is, else put
 * together, because each write costs a frame and a record of its own.
 */
static struct str next_piece(struct map_session *s, size_t room)
{
    struct hub *h = s->hub;
    struct str run;
    size_t n;

    room = MIN(room, SCRATCH_BYTES);
    run = netmap_parcel_next(&s->out, room);
    if (run.len == room || netmap_parcel_is_empty(&s->out))
        return run;
    if (!h->scratch)
        h->scratch = mem_alloc(SCRATCH_BYTES);
    memcpy(h->scratch, run.ptr, run.len);
    n = run.len + netmap_parcel_read(&s->out, h->scratch + run.len, room - run.len);
    return (struct str){h->scratch, n};
}

/* Writes as much of `out` as there is room for; whether that was all. */
static bool session_drain(struct map_session *s)
{
    size_t room;

    while (!netmap_parcel_is_empty(&s->out) && (room = http_stream_room(s->x)) > 0) {
        http_stream_write(s->x, next_piece(s, room));
        turn_progress(s);
    }
    if (!netmap_parcel_is_empty(&s->out))
        return false;
    netmap_parcel_fini(&s->out); /* lets go of the last piece */
    http_stream_flush(s->x);
    if (s->turn != TURN_WAITING)
        turn_leave(s);
    if (s->ends_drained)
        session_end(s);
    return true;
}

/* There is something new in `out`. */
static void session_write(struct map_session *s)
{
    metric_add(&messages_sent, 1);
    metric_add(&bytes_sent, (int64_t)netmap_parcel_bytes(&s->out));
    s->sent_ms = loop_now_ms(s->hub->loop);
    (void)session_drain(s);
}

void session_pull(struct map_session *s)
{
    switch (netmap_stream_pull(s->stream, clock_unix_ms(), &s->out)) {
    case NETMAP_PULL_SENT:
        if (!s->options.stream)
            s->ends_drained = true;
        session_write(s);
        break;
    case NETMAP_PULL_NONE:
        turn_leave(s);
        if (!s->options.stream)
            session_end(s);
        break;
    case NETMAP_PULL_GONE:
        session_end(s);
        break;
    }
}

/* What is to be asked goes out between messages; whether `out` is empty. */
static bool session_send_ping(struct map_session *s)
{
    if (s->ping.len == 0 || http_stream_room(s->x) == 0)
        return true;
    netmap_stream_ping(s->stream, s->ping, &s->out);
    str_free(&s->ping);
    s->sent_ms = loop_now_ms(s->hub->loop);
    return session_drain(s);
}

bool hub_ping(struct hub *h, tailnet_id tailnet, node_id node, uint64_t generation, struct str url)
{
    const struct hub_tailnet *t = map_find_u64(h->by_id, tailnet);
    struct map_session *s = t ? session_of_node(t, node) : NULL;

    while (s && (!s->options.stream || s->options.generation != generation))
        s = s->same_node;
    if (!s || !s->x || s->is_ending || s->ends_drained || s->turn != TURN_NONE)
        return false;
    str_free(&s->ping);
    s->ping = str_copy(url);
    if (netmap_parcel_is_empty(&s->out))
        (void)session_send_ping(s);
    return true;
}

void session_advance(struct map_session *s)
{
    if (!s->x || s->is_ending || !session_drain(s) || s->is_ending || !session_send_ping(s))
        return;
    if (!netmap_stream_is_behind(s->stream) || http_stream_room(s->x) == 0)
        return;
    /* A map without peers is small. */
    if (netmap_stream_wants_full(s->stream) && !s->options.omit_peers && !turn_ask(s))
        return;
    session_pull(s);
}

void session_farewell(struct map_session *s, const struct node *last)
{
    if (!s->x || s->is_ending || s->ends_drained)
        return;
    /* Behind what is left of the message before, if anything is. */
    netmap_stream_farewell(s->stream, last, clock_unix_ms(), &s->out);
    s->ends_drained = true;
    if (s->turn == TURN_WAITING)
        turn_leave(s);
    session_write(s);
}

static void session_on_writable(void *user)
{
    session_advance(user);
}

/* ---- Keep-alives ---- */

/*
 * At least that long, and then when others' are due, too: a loop with many idle streams wakes a few
 * times a second, not for each of them.
 */
static void keep_alive_start(struct map_session *s, int64_t in_ms)
{
    in_ms += (int64_t)rand_below(KEEP_ALIVE_JITTER_MS);
    in_ms += KEEP_ALIVE_GRID_MS - (clock_mono_ms() + in_ms) % KEEP_ALIVE_GRID_MS;
    timer_start(&s->keep_alive, in_ms);
}

/* The timer is not moved for each message: when it fires it sees how long the silence was. */
static void session_on_keep_alive(void *user)
{
    struct map_session *s = user;
    int64_t silent_ms = loop_now_ms(s->hub->loop) - s->sent_ms;

    if (!s->x || s->is_ending)
        return;
    if (silent_ms < KEEP_ALIVE_MS) {
        keep_alive_start(s, KEEP_ALIVE_MS - silent_ms);
        return;
    }
    /* A client that waits for its map, or has not taken the last message, does not need to hear
     * that we live. */
    if (s->turn == TURN_NONE && netmap_parcel_is_empty(&s->out) && http_stream_room(s->x) > 0) {
        netmap_stream_keep_alive(s->stream, &s->out);
        s->sent_ms = loop_now_ms(s->hub->loop);
        metric_add(&keep_alives, 1);
        (void)session_drain(s);
    }
    keep_alive_start(s, KEEP_ALIVE_MS);
}

/* ---- Life ---- */

struct command map_session_close_command(const struct map_session_options *o)
{
    return (struct command){.type = COMMAND_STREAM_CLOSE,
                            .origin = ORIGIN_CLIENT,
                            .tailnet = o->tailnet,
                            .id = o->node,
                            .machine = o->machine,
                            .key = o->key,
                            .generation = o->generation};
}

struct stream_close_call {
    struct registrar_call call;
};

static void stream_close_done(struct registrar_call *call)
{
    command_result_fini(&call->result);
    mem_free(CONTAINER_OF(call, struct stream_close_call, call));
}

static void submit_stream_close(struct hub *h, const struct map_session_options *o)
{
    struct stream_close_call *c = NEW(struct stream_close_call);

    c->call.command = map_session_close_command(o);
    c->call.loop = h->loop;
    c->call.done = stream_close_done;
    registrar_submit(h->registrar, &c->call);
}

static void session_on_end(void *user, bool aborted)
{
    struct map_session *s = user;
    struct hub_tailnet *t = s->tailnet;

    (void)aborted;
    s->x = NULL;
    turn_leave(s);
    timer_stop(&s->keep_alive);
    index_remove(s);
    list_remove(&s->sessions_link);
    t->n_sessions--;
    s->hub->n_sessions--;
    metric_add(&sessions_open, -1);
    if (s->options.stream)
        submit_stream_close(s->hub, &s->options);
    netmap_parcel_fini(&s->out);
    str_free(&s->ping);
    netmap_stream_free(s->stream);
    if (t->is_orphan && t->n_sessions == 0)
        hub_tailnet_free(t);
    mem_free(s);
}

static struct map_session *session_new(struct hub_tailnet *t, struct http_exchange *x,
                                       const struct map_session_options *options)
{
    struct map_session *s = NEW(struct map_session);
    const struct netmap_stream_options stream_options = {.viewer = options->node,
                                                         .capver = options->capver,
                                                         .zstd = options->zstd,
                                                         .omit_peers = options->omit_peers};

    s->hub = t->hub;
    s->tailnet = t;
    s->x = x;
    s->options = *options;
    s->stream = netmap_stream_new(t->feed, &stream_options);
    s->sent_ms = loop_now_ms(t->hub->loop);
    list_node_init(&s->turn_link);
    timer_init(&s->keep_alive, t->hub->loop, session_on_keep_alive, s);
    list_push_back(&t->sessions, &s->sessions_link);
    index_add(s);
    t->n_sessions++;
    t->hub->n_sessions++;
    metric_add(&sessions_open, 1);
    metric_add(&sessions_opened, 1);
    return s;
}

void hub_serve_map(struct hub *h, struct http_exchange *x,
                   const struct map_session_options *options)
{
    struct hub_tailnet *t = map_find_u64(h->by_id, options->tailnet);

    if (!t) {
        if (options->stream)
            submit_stream_close(h, options);
        http_respond_text(x, 404, "node not found");
        return;
    }
    if (view_info(netmap_feed_view(t->feed))->suspended) {
        if (options->stream)
            submit_stream_close(h, options);
        http_respond_text(x, 403, "this tailnet is suspended");
        return;
    }
    struct map_session *s = session_new(t, x, options);

    http_on_end(x, session_on_end, s);
    http_stream_on_writable(x, session_on_writable, s);
    http_stream_start(x, 200, "application/octet-stream");
    http_forget_request(x);
    if (options->stream && options->keep_alive)
        keep_alive_start(s, KEEP_ALIVE_MS);
    session_advance(s);
}
