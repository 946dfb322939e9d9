/*
 * Feeds and map sessions of one loop. See hub.h.
 *
 *   session: OPEN --client gone, replaced, node gone, tailnet reset--> on_end --> STREAM_CLOSE,
 * freed
 *
 * Invariants
 *   1. A session is in exactly one feed's list from its start to its on_end.
 *   2. Nothing is pulled while the exchange still holds bytes of the last message.
 *   3. After on_end the exchange is not touched.
 */

#include "control/hub.h"

#include "core/clock.h"
#include "core/list.h"
#include "core/log.h"
#include "core/map.h"
#include "core/metric.h"
#include "core/rand.h"

static struct metric sessions_open =
    METRIC_GAUGE("hatsize_map_streams", "Map streams that are open.");
static struct metric messages_sent =
    METRIC_COUNTER("hatsize_map_messages_total", "Map messages sent, keep-alives not counted.");
static struct metric bytes_sent =
    METRIC_COUNTER("hatsize_map_bytes_total", "Bytes of map messages, framed and compressed.");
static struct metric keep_alives =
    METRIC_COUNTER("hatsize_map_keep_alives_total", "Keep-alive messages sent.");

struct hub_tailnet {
    tailnet_id id;
    struct netmap_feed *feed;
    struct list sessions;
    struct timer flush;
    int64_t flushed_ms;
    struct hub *hub;
    bool is_orphan; /* replaced after a reset; goes with its last session */
    struct list_node tailnets_link;
};

struct hub {
    struct loop *loop;
    struct registrar *registrar;
    struct map *by_id;
    struct list tailnets; /* oldest first */
    size_t n_sessions;
};

struct map_session {
    struct hub *hub;
    struct hub_tailnet *tailnet;
    struct http_exchange *x; /* NULL once it has ended */
    struct netmap_stream *stream;
    struct map_session_options options;
    struct timer keep_alive;
    struct list_node sessions_link;
    bool is_ending;
};

struct hub *hub_new(struct loop *loop, struct registrar *registrar)
{
    struct hub *h = NEW(struct hub);

    h->loop = loop;
    h->registrar = registrar;
    h->by_id = map_new();
    list_init(&h->tailnets);
    return h;
}

void hub_set_registrar(struct hub *h, struct registrar *registrar)
{
    h->registrar = registrar;
}

static void tailnet_free(struct hub_tailnet *t)
{
    timer_stop(&t->flush);
    list_remove(&t->tailnets_link);
    netmap_feed_free(t->feed);
    mem_free(t);
}

void hub_free(struct hub *h)
{
    if (!h)
        return;
    LIST_FOR_EACH(t, &h->tailnets, struct hub_tailnet, tailnets_link)
        tailnet_free(t);
    map_free(h->by_id);
    mem_free(h);
}

static const struct hub_tailnet *tailnet_of(const struct hub *h, tailnet_id id)
{
    if (id != 0)
        return map_find_u64(h->by_id, id);
    if (list_is_empty(&h->tailnets))
        return NULL;
    return CONTAINER_OF(list_first(&h->tailnets), struct hub_tailnet, tailnets_link);
}

const struct tailnet_view *hub_view(const struct hub *h, tailnet_id id)
{
    const struct hub_tailnet *t = tailnet_of(h, id);

    return t ? netmap_feed_view(t->feed) : NULL;
}

const struct tailnet_view *hub_view_by_name(const struct hub *h, struct str name)
{
    LIST_FOR_EACH(t, &h->tailnets, struct hub_tailnet, tailnets_link) {
        const struct tailnet_view *view = netmap_feed_view(t->feed);

        if (str_eq(view_info(view)->name, name))
            return view;
    }
    return NULL;
}

const struct tailnet_view *hub_view_at(const struct hub *h, size_t i)
{
    LIST_FOR_EACH(t, &h->tailnets, struct hub_tailnet, tailnets_link) {
        if (i-- == 0)
            return netmap_feed_view(t->feed);
    }
    return NULL;
}

const struct policy *hub_policy(const struct hub *h, tailnet_id id)
{
    const struct hub_tailnet *t = tailnet_of(h, id);

    return t ? netmap_feed_policy(t->feed) : NULL;
}

size_t hub_session_count(const struct hub *h)
{
    return h->n_sessions;
}

void hub_each_feed(const struct hub *h,
                   void (*each)(void *user, const struct netmap_feed *feed, size_t sessions),
                   void *user)
{
    LIST_FOR_EACH(t, &h->tailnets, struct hub_tailnet, tailnets_link) {
        size_t n = 0;

        LIST_FOR_EACH(s, &t->sessions, struct map_session, sessions_link)
            n++;
        each(user, t->feed, n);
    }
}

/* ---- Sessions ---- */

static void session_end(struct map_session *s)
{
    if (!s->x || s->is_ending)
        return;
    s->is_ending = true;
    timer_stop(&s->keep_alive);
    http_stream_end(s->x);
}

static void session_arm_keep_alive(struct map_session *s)
{
    if (s->options.stream && s->options.keep_alive)
        timer_start(&s->keep_alive, KEEP_ALIVE_MS + (int64_t)rand_below(KEEP_ALIVE_JITTER_MS));
}

/* Hands the whole message over. */
static void session_write(struct map_session *s, struct netmap_parcel *p)
{
    while (!netmap_parcel_is_empty(p))
        http_stream_write(s->x, netmap_parcel_next(p, SIZE_MAX));
    netmap_parcel_fini(p);
}

/* Brings the client up to the feed, if it has taken what it had. */
static void session_flush(struct map_session *s)
{
    struct netmap_parcel out = {0};

    if (!s->x || s->is_ending || http_stream_pending(s->x) > 0)
        return;
    if (!netmap_stream_is_behind(s->stream))
        return;
    switch (netmap_stream_pull(s->stream, clock_unix_ms(), &out)) {
    case NETMAP_PULL_SENT:
        metric_add(&messages_sent, 1);
        metric_add(&bytes_sent, (int64_t)netmap_parcel_bytes(&out));
        session_write(s, &out);
        session_arm_keep_alive(s);
        break;
    case NETMAP_PULL_NONE:
        break;
    case NETMAP_PULL_GONE:
        session_end(s);
        break;
    }
}

static void session_on_writable(void *user)
{
    session_flush(user);
}

static void session_on_keep_alive(void *user)
{
    struct map_session *s = user;

    if (!s->x || s->is_ending)
        return;
    /* A client that has not taken the last message does not need to hear that we live. */
    if (http_stream_pending(s->x) == 0) {
        struct netmap_parcel out = {0};

        netmap_stream_keep_alive(s->stream, &out);
        session_write(s, &out);
        metric_add(&keep_alives, 1);
    }
    session_arm_keep_alive(s);
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

    c->call.command = (struct command){.type = COMMAND_STREAM_CLOSE,
                                       .origin = ORIGIN_CLIENT,
                                       .tailnet = o->tailnet,
                                       .id = o->node,
                                       .machine = o->machine,
                                       .key = o->key,
                                       .generation = o->generation};
    c->call.loop = h->loop;
    c->call.done = stream_close_done;
    registrar_submit(h->registrar, &c->call);
}

static void session_on_end(void *user, bool aborted)
{
    struct map_session *s = user;

    (void)aborted;
    s->x = NULL;
    timer_stop(&s->keep_alive);
    list_remove(&s->sessions_link);
    s->hub->n_sessions--;
    metric_add(&sessions_open, -1);
    if (s->options.stream)
        submit_stream_close(s->hub, &s->options);
    netmap_stream_free(s->stream);
    if (s->tailnet->is_orphan && list_is_empty(&s->tailnet->sessions))
        tailnet_free(s->tailnet);
    mem_free(s);
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
    struct map_session *s = NEW(struct map_session);
    const struct netmap_stream_options stream_options = {.viewer = options->node,
                                                         .capver = options->capver,
                                                         .zstd = options->zstd,
                                                         .omit_peers = options->omit_peers};

    s->hub = h;
    s->tailnet = t;
    s->x = x;
    s->options = *options;
    s->stream = netmap_stream_new(t->feed, &stream_options);
    timer_init(&s->keep_alive, h->loop, session_on_keep_alive, s);
    list_push_back(&t->sessions, &s->sessions_link);
    h->n_sessions++;
    metric_add(&sessions_open, 1);
    http_on_end(x, session_on_end, s);
    http_stream_on_writable(x, session_on_writable, s);
    http_stream_start(x, 200, "application/octet-stream");
    session_flush(s);
    if (!options->stream)
        session_end(s);
}

/* ---- Publications ---- */

static void tailnet_flush(struct hub_tailnet *t)
{
    t->flushed_ms = loop_now_ms(t->hub->loop);
    LIST_FOR_EACH(s, &t->sessions, struct map_session, sessions_link) {
        session_flush(s);
    }
}

static void on_flush_timer(void *user)
{
    tailnet_flush(user);
}

static void tailnet_schedule_flush(struct hub_tailnet *t)
{
    int64_t since = loop_now_ms(t->hub->loop) - t->flushed_ms;

    if (timer_is_started(&t->flush))
        return;
    if (since >= HUB_FLUSH_MS)
        tailnet_flush(t);
    else
        timer_start(&t->flush, HUB_FLUSH_MS - since);
}

static struct hub_tailnet *tailnet_add(struct hub *h, const struct publication *p)
{
    struct hub_tailnet *t = NEW(struct hub_tailnet);

    t->id = view_info(p->view)->id;
    t->hub = h;
    t->feed = netmap_feed_new(p->view);
    netmap_feed_set_policy(t->feed, p->policy);
    t->flushed_ms = loop_now_ms(h->loop) - HUB_FLUSH_MS;
    list_init(&t->sessions);
    timer_init(&t->flush, h->loop, on_flush_timer, t);
    list_push_back(&h->tailnets, &t->tailnets_link);
    (void)map_put_u64(h->by_id, t->id, t);
    return t;
}

/* Everything told so far may be wrong: a new feed, and clients start over on new streams. */
static void tailnet_reset(struct hub_tailnet *t, const struct publication *p)
{
    struct hub *h = t->hub;

    (void)map_remove_u64(h->by_id, t->id);
    list_remove(&t->tailnets_link);
    timer_stop(&t->flush);
    t->is_orphan = true;
    (void)tailnet_add(h, p);
    if (list_is_empty(&t->sessions)) {
        tailnet_free(t);
        return;
    }
    LIST_FOR_EACH(s, &t->sessions, struct map_session, sessions_link)
        session_end(s);
}

static void end_stream(struct hub_tailnet *t, node_id node, uint64_t generation)
{
    LIST_FOR_EACH(s, &t->sessions, struct map_session, sessions_link) {
        if (s->options.node == node && s->options.generation == generation && s->options.stream)
            session_end(s);
    }
}

/* The node was removed: its client is told that it has to log in, before its stream ends. */
static void say_farewell(struct hub_tailnet *t, node_id id)
{
    const struct node *last = view_node_find(netmap_feed_view(t->feed), id);

    if (!last)
        return;
    LIST_FOR_EACH(s, &t->sessions, struct map_session, sessions_link) {
        if (s->options.node != id || !s->x || s->is_ending)
            continue;
        struct netmap_parcel out = {0};

        netmap_stream_farewell(s->stream, last, clock_unix_ms(), &out);
        session_write(s, &out);
        session_end(s);
    }
}

void hub_publish(struct hub *h, const struct publication *p)
{
    struct hub_tailnet *t = map_find_u64(h->by_id, view_info(p->view)->id);

    if (!t) {
        (void)tailnet_add(h, p);
        return;
    }
    if (p->reset) {
        tailnet_reset(t, p);
        return;
    }
    /* While the feed still has the view before. */
    for (size_t i = 0; i < p->n_changes; i++)
        if (p->changes[i].kind == CHANGE_NODE_REMOVED)
            say_farewell(t, p->changes[i].id);
    netmap_feed_publish(t->feed, p->view, p->changes, p->n_changes);
    if (netmap_feed_policy(t->feed) != p->policy)
        netmap_feed_set_policy(t->feed, p->policy);
    for (size_t i = 0; i < p->n_changes; i++)
        if (p->changes[i].kind == CHANGE_STREAM_END)
            end_stream(t, p->changes[i].id, p->changes[i].arg);
    tailnet_schedule_flush(t);
}
