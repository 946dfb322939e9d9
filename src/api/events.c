/* See events.h. */

#include "api/events.h"

#include <stdatomic.h>

#include "api/api_internal.h"
#include "core/clock.h"
#include "core/list.h"
#include "core/map.h"
#include "core/metric.h"
#include "core/rand.h"

#define RETRY_MS 3000
#define EVENT_MAX ((size_t)1 << 20) /* bytes of one */
#define SENT_AT_ONCE 64             /* events between two looks at the loop */

static struct metric streams_open =
    METRIC_GAUGE("hatsize_event_streams", "Event streams that are open.");
static struct metric streams_slow = METRIC_COUNTER("hatsize_event_streams_slow_total",
                                                   "Event streams that ended: readers too slow.");

enum record_kind {
    RECORD_NODE,
    RECORD_USER,
    RECORD_KEY,
    RECORD_POLICY,
    RECORD_SETTINGS,
    RECORD_HOOK
};

static const struct {
    const char *event;
    enum area area;
} kinds[] = {
    [RECORD_NODE] = {"node", AREA_DEVICES},          [RECORD_USER] = {"user", AREA_USERS},
    [RECORD_KEY] = {"key", AREA_AUTH_KEYS},          [RECORD_POLICY] = {"policy", AREA_POLICY},
    [RECORD_SETTINGS] = {"settings", AREA_SETTINGS}, [RECORD_HOOK] = {"webhook", AREA_WEBHOOKS},
};

struct record {
    uint64_t revision;
    uint64_t id;
    enum record_kind kind;
};

/* One tailnet on one loop. */
struct ring {
    tailnet_id tailnet;
    struct record *items; /* by rising revision, from `head` on, around */
    size_t head, len, cap;
    size_t kept;
    uint64_t floor; /* changes up to this revision are not known */
    int64_t policy_ms;
    struct list streams;
};

struct events_loop {
    struct loop *loop;
    struct map *rings; /* tailnet id -> struct ring */
};

struct events {
    struct control *control;
    uint64_t epoch;
    size_t kept;
    struct events_loop *loops;
    size_t n_loops;
    _Atomic(size_t) streams;
};

struct stream {
    struct events *events;
    struct ring *ring; /* NULL: its tailnet is gone */
    struct loop *loop;
    struct http_exchange *x;
    struct caller caller;
    tailnet_id tailnet;
    uint64_t sent; /* revision */
    bool is_ending;
    struct timer beat;
    struct timer more;
    struct list_node streams_link;
};

/* ---- Rings ---- */

static struct events_loop *loop_of(struct events *e, const struct loop *loop)
{
    for (size_t i = 0; i < e->n_loops; i++)
        if (e->loops[i].loop == loop)
            return &e->loops[i];
    return NULL;
}

static struct ring *ring_get(const struct events *e, struct events_loop *l, tailnet_id id)
{
    struct ring *r = map_find_u64(l->rings, id);

    if (!r) {
        r = NEW(struct ring);
        r->tailnet = id;
        r->kept = e->kept;
        list_init(&r->streams);
        (void)map_put_u64(l->rings, id, r);
    }
    return r;
}

static void ring_add(struct ring *r, struct record record)
{
    if (r->len == r->cap && r->cap < r->kept) {
        size_t cap = MIN(r->cap ? r->cap * 2 : 8, r->kept);
        struct record *items = mem_alloc_array(cap, sizeof(*items));

        for (size_t i = 0; i < r->len; i++)
            items[i] = r->items[(r->head + i) % r->cap];
        mem_free(r->items);
        r->items = items;
        r->head = 0;
        r->cap = cap;
    }
    if (r->len == r->cap) {
        r->floor = r->items[r->head].revision;
        r->head = (r->head + 1) % r->cap;
        r->len--;
    }
    r->items[(r->head + r->len++) % r->cap] = record;
}

/* The first after the revision; NULL: there is none. */
static const struct record *ring_after(const struct ring *r, uint64_t revision)
{
    size_t from = 0, to = r->len;

    while (from < to) {
        size_t middle = (from + to) / 2;

        if (r->items[(r->head + middle) % r->cap].revision <= revision)
            from = middle + 1;
        else
            to = middle;
    }
    return from < r->len ? &r->items[(r->head + from) % r->cap] : NULL;
}

/* What nobody looks at changes all the time: endpoints, keys for them, relays. */
#define NODE_SHOWN \
    (NODE_NEW | NODE_CARD | NODE_FACTS | NODE_ONLINE | NODE_EXPIRY | NODE_PRIVATE | NODE_ACCESS)

static void note_info(struct ring *r, const struct tailnet_view *view, uint64_t revision)
{
    int64_t policy_ms = view_info(view)->policy_updated_ms;
    bool is_policy = policy_ms != r->policy_ms;

    r->policy_ms = policy_ms;
    ring_add(r, (struct record){revision, r->tailnet, is_policy ? RECORD_POLICY : RECORD_SETTINGS});
}

static void note(struct ring *r, const struct tailnet_view *view, const struct change *c)
{
    if (c->kind == CHANGE_NODE_REMOVED || (c->kind == CHANGE_NODE && (c->mask & NODE_SHOWN)))
        ring_add(r, (struct record){c->revision, c->id, RECORD_NODE});
    if (c->kind == CHANGE_USER || c->kind == CHANGE_USER_REMOVED)
        ring_add(r, (struct record){c->revision, c->id, RECORD_USER});
    if (c->kind == CHANGE_AUTH_KEY || c->kind == CHANGE_AUTH_KEY_REMOVED)
        ring_add(r, (struct record){c->revision, c->id, RECORD_KEY});
    if (c->kind == CHANGE_WEBHOOK || c->kind == CHANGE_WEBHOOK_REMOVED)
        ring_add(r, (struct record){c->revision, c->id, RECORD_HOOK});
    if (c->kind == CHANGE_INFO)
        note_info(r, view, c->revision);
}

/* ---- Events ---- */

static void begin_event(struct buf *out, const struct stream *s, uint64_t revision,
                        const char *event)
{
    buf_put(out, STR("id: "));
    buf_put_u64(out, revision);
    buf_printf(out, "-%016llx\nevent: %s\ndata: ", (unsigned long long)s->events->epoch, event);
}

static void end_event(struct buf *out)
{
    buf_put(out, STR("\n\n"));
}

static void put_state(struct buf *out, const struct stream *s, const struct tailnet_view *view,
                      const char *event)
{
    struct json_writer w = JSON_WRITER(out);

    begin_event(out, s, view_revision(view), event);
    json_begin_object(&w);
    json_field_str(&w, STR("tailnet"), view_info(view)->name);
    api_field_id(&w, STR("revision"), view_revision(view));
    json_end_object(&w);
    end_event(out);
}

/* Whether it is still there; its object is put if so. */
static bool put_object(struct json_writer *w, const struct record *r,
                       const struct tailnet_view *view)
{
    const struct node *node = r->kind == RECORD_NODE ? view_node_find(view, r->id) : NULL;
    const struct user *user = r->kind == RECORD_USER ? view_user_find(view, r->id) : NULL;
    const struct auth_key *key = r->kind == RECORD_KEY ? view_auth_key_find(view, r->id) : NULL;

    if (node) {
        json_key(w, STR("node"));
        api_put_node(w, view, node);
    }
    if (user) {
        json_key(w, STR("user"));
        api_put_user(w, user);
    }
    if (key) {
        json_key(w, STR("key"));
        api_put_auth_key(w, view, key, STR_NONE);
    }
    return node || user || key || r->kind == RECORD_POLICY || r->kind == RECORD_SETTINGS ||
           (r->kind == RECORD_HOOK && view_webhook_find(view, r->id));
}

static void put_record(struct buf *out, const struct stream *s, const struct record *r,
                       const struct tailnet_view *view)
{
    struct buf object = BUF(EVENT_MAX);
    struct json_writer w = JSON_WRITER(&object);

    json_begin_object(&w);
    api_field_id(&w, STR("id"), r->id);
    bool is_there = put_object(&w, r, view);
    json_field_str(&w, STR("op"), is_there ? STR("put") : STR("delete"));
    json_end_object(&w);
    if (!buf_is_full(&object)) {
        begin_event(out, s, r->revision, kinds[r->kind].event);
        buf_put(out, buf_str(&object));
        end_event(out);
    }
    buf_fini(&object);
}

/* ---- Streams ---- */

static void stream_end(struct stream *s)
{
    if (s->is_ending)
        return;
    s->is_ending = true;
    http_stream_end(s->x);
}

static void stream_cut(struct stream *s)
{
    if (s->is_ending)
        return;
    s->is_ending = true;
    metric_add(&streams_slow, 1);
    http_abort(s->x);
}

/* Writes what it lacks, as far as there is room. */
static void stream_pull(struct stream *s)
{
    const struct tailnet_view *view =
        hub_view(control_hub(s->events->control, s->loop), s->tailnet);
    const struct record *r;

    if (s->is_ending)
        return;
    if (!s->ring || !view || (s->caller.tailnet != 0 && view_info(view)->suspended)) {
        stream_end(s);
        return;
    }
    if (s->sent < s->ring->floor) {
        stream_cut(s);
        return;
    }
    for (size_t n = 0; (r = ring_after(s->ring, s->sent));) {
        if (!caller_may_read(&s->caller, kinds[r->kind].area)) {
            s->sent = r->revision;
            continue;
        }
        if (n++ == SENT_AT_ONCE) {
            timer_start(&s->more, 0);
            return;
        }
        if (http_stream_room(s->x) == 0)
            return; /* on_writable follows */
        struct buf out = BUF(EVENT_MAX * 2);

        put_record(&out, s, r, view);
        s->sent = r->revision;
        http_stream_write(s->x, buf_str(&out));
        buf_fini(&out);
    }
}

static void on_writable(void *user)
{
    stream_pull(user);
}

static void on_end(void *user, bool aborted)
{
    struct stream *s = user;

    (void)aborted;
    timer_stop(&s->beat);
    timer_stop(&s->more);
    list_remove(&s->streams_link);
    atomic_fetch_sub(&s->events->streams, 1);
    metric_add(&streams_open, -1);
    caller_fini(&s->caller);
    mem_free(s);
}

/* Keys are revoked and expire; people get other roles. */
static bool is_still_good(struct stream *s)
{
    return auth_again(control_auth(s->events->control), s->loop, &s->caller) &&
           s->caller.may.read != 0;
}

static void on_beat(void *user)
{
    struct stream *s = user;

    if (!is_still_good(s)) {
        stream_end(s);
        return;
    }
    if (http_stream_room(s->x) > 0)
        http_stream_write(s->x, STR(": \n\n"));
    timer_start(&s->beat, EVENTS_BEAT_MS);
}

/* "<revision>-<epoch>" of this life. */
static bool parse_id(const struct events *e, struct str id, uint64_t *revision)
{
    char epoch[32];
    struct str number, rest;

    (void)snprintf(epoch, sizeof(epoch), "%016llx", (unsigned long long)e->epoch);
    return str_split(id, '-', &number, &rest) && str_eq(rest, str_from(epoch)) &&
           str_parse_u64(number, revision);
}

static size_t of_author(const struct events_loop *l, const char *author)
{
    struct str key;
    void *value;
    size_t n = 0;

    for (size_t at = 0; map_next(l->rings, &at, &key, &value);) {
        LIST_FOR_EACH(s, &((struct ring *)value)->streams, struct stream, streams_link) {
            n += strcmp(s->caller.author, author) == 0;
        }
    }
    return n;
}

/* Those of the tailnet's own keys; whoever runs the server has room of his own. */
static size_t of_tailnet(const struct events_loop *l, tailnet_id id)
{
    const struct ring *r = map_find_u64(l->rings, id);
    size_t n = 0;

    if (!r || id == 0)
        return 0;
    LIST_FOR_EACH(s, &r->streams, struct stream, streams_link) {
        n += s->caller.tailnet == id;
    }
    return n;
}

static bool is_full(struct api_call *c, const struct events_loop *l)
{
    return of_tailnet(l, c->caller.tailnet) >= EVENTS_OF_TAILNET_MAX ||
           atomic_load(&c->api->events->streams) >= EVENTS_STREAMS_MAX ||
           of_author(l, c->caller.author) >= EVENTS_OF_ONE_MAX;
}

static struct stream *stream_new(struct api_call *c, struct events_loop *l)
{
    struct stream *s = NEW(struct stream);

    s->events = c->api->events;
    s->ring = ring_get(s->events, l, c->tailnet);
    s->loop = c->a->loop;
    s->x = c->a->x;
    s->caller = caller_copy(&c->caller);
    s->tailnet = c->tailnet;
    timer_init(&s->beat, s->loop, on_beat, s);
    timer_init(&s->more, s->loop, on_writable, s);
    list_push_back(&s->ring->streams, &s->streams_link);
    atomic_fetch_add(&s->events->streams, 1);
    metric_add(&streams_open, 1);
    return s;
}

void api_events(struct api_call *c)
{
    struct events_loop *l = loop_of(c->api->events, c->a->loop);
    struct str last = http_header_get(c->a->req, STR("last-event-id"));
    const struct tailnet_view *view = c->view;
    uint64_t revision = 0;
    bool goes_on;

    if (last.len == 0)
        (void)api_query(c, "since", &last);
    if (!l || is_full(c, l)) {
        http_add_header(c->a->x, STR("retry-after"), STR("10"));
        api_problem(c, 429, "too many event streams are open", NULL);
        return;
    }
    if (str_eq(c->a->req->method, STR("HEAD"))) {
        http_respond(c->a->x, 200, "text/event-stream", STR_NONE);
        api_end(c);
        return;
    }
    goes_on = parse_id(c->api->events, last, &revision);
    struct stream *s = stream_new(c, l);
    goes_on = goes_on && revision >= s->ring->floor && revision <= view_revision(view);
    struct buf out = BUF(4096);

    /* What waits for answers of the registrar ends here; the exchange lives on. */
    bool has_last = last.len > 0;
    api_end(c);
    http_on_end(s->x, on_end, s);
    http_stream_on_writable(s->x, on_writable, s);
    http_add_header(s->x, STR("x-accel-buffering"), STR("no"));
    http_stream_start(s->x, 200, "text/event-stream");
    http_forget_request(s->x);
    s->sent = goes_on ? revision : view_revision(view);
    buf_printf(&out, "retry: %d\n\n", RETRY_MS);
    if (!goes_on)
        put_state(&out, s, view, has_last ? "reset" : "hello");
    http_stream_write(s->x, buf_str(&out));
    buf_fini(&out);
    timer_start(&s->beat, EVENTS_BEAT_MS);
    stream_pull(s);
}

/* ---- Publications ---- */

static void reset_all(struct ring *r, const struct tailnet_view *view)
{
    r->len = 0;
    r->head = 0;
    r->floor = view_revision(view);
    r->policy_ms = view_info(view)->policy_updated_ms;
    LIST_FOR_EACH(s, &r->streams, struct stream, streams_link) {
        struct buf out = BUF(4096);

        s->sent = r->floor;
        if (!s->is_ending && http_stream_room(s->x) > 0) {
            put_state(&out, s, view, "reset");
            http_stream_write(s->x, buf_str(&out));
        } else {
            stream_cut(s);
        }
        buf_fini(&out);
    }
}

/* Who may no more, hears of nothing that came with it or later. */
static void ask_again(struct ring *r, const struct publication *p)
{
    bool is_about_people = p->reset;

    for (size_t i = 0; i < p->n_changes && !is_about_people; i++)
        is_about_people =
            p->changes[i].kind == CHANGE_USER || p->changes[i].kind == CHANGE_USER_REMOVED;
    if (!is_about_people)
        return;
    LIST_FOR_EACH(s, &r->streams, struct stream, streams_link) {
        if (!is_still_good(s))
            stream_end(s);
    }
}

static bool is_removed(const struct publication *p)
{
    for (size_t i = 0; i < p->n_changes; i++)
        if (p->changes[i].kind == CHANGE_TAILNET_REMOVED)
            return true;
    return false;
}

/* The tailnet is gone: its streams end, and nobody comes back. */
static void drop_ring(struct events_loop *l, tailnet_id id)
{
    struct ring *r = map_remove_u64(l->rings, id);

    if (!r)
        return;
    LIST_FOR_EACH(s, &r->streams, struct stream, streams_link) {
        list_remove(&s->streams_link);
        s->ring = NULL;
        stream_end(s);
    }
    mem_free(r->items);
    mem_free(r);
}

void events_publish(void *user, struct loop *loop, const struct publication *p)
{
    struct events_loop *l = loop_of(user, loop);
    struct ring *r;

    if (!l)
        return;
    if (is_removed(p)) {
        drop_ring(l, view_info(p->view)->id);
        return;
    }
    r = map_find_u64(l->rings, view_info(p->view)->id);
    if (!r || p->reset) {
        r = ring_get(user, l, view_info(p->view)->id);
        ask_again(r, p);
        reset_all(r, p->view);
        return;
    }
    for (size_t i = 0; i < p->n_changes; i++)
        note(r, p->view, &p->changes[i]);
    ask_again(r, p);
    LIST_FOR_EACH(s, &r->streams, struct stream, streams_link) {
        stream_pull(s);
    }
}

/* ---- Life ---- */

struct events *events_new(struct control *control)
{
    struct events *e = NEW(struct events);
    struct loop *const *loops = control_loops(control, &e->n_loops);

    e->control = control;
    e->epoch = rand_u64();
    e->kept = EVENTS_KEPT;
    e->loops = mem_alloc_array(e->n_loops + 1, sizeof(*e->loops));
    for (size_t i = 0; i < e->n_loops; i++)
        e->loops[i] = (struct events_loop){.loop = loops[i], .rings = map_new()};
    control_on_publication(control, events_publish, e);
    return e;
}

void events_set_kept(struct events *e, size_t n)
{
    struct str key;
    void *value;

    e->kept = MIN(n, (size_t)EVENTS_KEPT);
    for (size_t i = 0; i < e->n_loops; i++)
        for (size_t at = 0; map_next(e->loops[i].rings, &at, &key, &value);)
            ((struct ring *)value)->kept = e->kept;
}

void events_free(struct events *e)
{
    struct str key;
    void *value;

    if (!e)
        return;
    for (size_t i = 0; i < e->n_loops; i++) {
        for (size_t at = 0; map_next(e->loops[i].rings, &at, &key, &value);) {
            struct ring *r = value;

            mem_free(r->items);
            mem_free(r);
        }
        map_free(e->loops[i].rings);
    }
    mem_free(e->loops);
    mem_free(e);
}
