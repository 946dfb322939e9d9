/*
 * The server and its connections: what protocol the first bytes are, timers, and settling.
 *
 *   SNIFF --0x16--> tls, SNIFF again      SNIFF --"PRI * HTTP/2.0…"--> HTTP2
 *     |                                                 |
 *     +--anything else--> HTTP1 --http_upgrade()--------+--closed--> GONE
 *
 * User code runs only from conn_settle() or from the protocols' receiving, both under a callback of
 * the loop, so that no answering function ever calls back into its caller.
 *
 * The one timer is lazy: it is started for the earliest deadline seen, and asks the protocol again
 * when it fires; moving a deadline back costs nothing.
 */

#include <stdatomic.h>

#include "core/clock.h"
#include "core/metric.h"
#include "core/slots.h"
#include "http/http2_memory.h"
#include "http/http_internal.h"

#define PREFACE STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

static struct metric connections_open =
    METRIC_GAUGE("hatsize_http_connections", "HTTP connections open now.");

struct tls_holder {
    struct tls_server *tls;
    struct tls_holder *older;
};

/* ---- Server ---- */

static void server_set_defaults(struct http_server_options *o)
{
    o->max_header_bytes = o->max_header_bytes ? o->max_header_bytes : (size_t)32 << 10;
    o->max_streams = o->max_streams ? o->max_streams : 250;
    o->header_ms = o->header_ms ? o->header_ms : 10000;
    o->body_ms = o->body_ms ? o->body_ms : 30000;
    o->idle_ms = o->idle_ms ? o->idle_ms : 120000;
}

struct http_server *http_server_new(const struct http_server_options *options)
{
    struct http_server *server = NEW(struct http_server);

    server->options = *options;
    server->options.tls = NULL;
    server_set_defaults(&server->options);
    server->sessions = slots_new(HTTP2_SLOT_BYTES);
    server->router = router_new(options->routes, options->n_routes);
    http_server_set_tls(server, options->tls);
    return server;
}

void http_server_set_body_limit(struct http_server *server, http_body_limit_fn *fn)
{
    server->body_limit = fn;
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    for (struct tls_holder *h = atomic_load(&server->tls); h;) {
        struct tls_holder *older = h->older;

        tls_server_unref(h->tls);
        mem_free(h);
        h = older;
    }
    router_free(server->router);
    slots_free(server->sessions);
    mem_free(server);
}

/* Loops read the newest without a lock, so replaced ones stay until the server goes: they are few.
 */
void http_server_set_tls(struct http_server *server, struct tls_server *tls)
{
    if (!tls)
        return;
    struct tls_holder *holder = NEW(struct tls_holder);

    holder->tls = tls_server_ref(tls);
    holder->older = atomic_load(&server->tls);
    while (!atomic_compare_exchange_weak(&server->tls, &holder->older, holder))
        continue;
}

/* ---- Timer ---- */

static int64_t sniff_deadline(const struct http_conn *c)
{
    return c->opened_ms + c->server->options.header_ms;
}

static bool conn_is_stalled(const struct http_conn *c)
{
    if (stream_pending(c->stream) > 0)
        return true;
    LIST_FOR_EACH(x, &c->live, struct http_exchange, conn_link) {
        if (exchange_out_len(x) > 0)
            return true;
    }
    return false;
}

static int64_t conn_deadline(const struct http_conn *c)
{
    if (c->closing)
        return HTTP_NEVER;
    switch (c->kind) {
    case CONN_SNIFF:
        return sniff_deadline(c);
    case CONN_HTTP1:
        return http1_deadline(c);
    case CONN_HTTP2:
        return http2_deadline(c);
    case CONN_GONE:
    case CONN_KIND_COUNT:
        break;
    }
    return HTTP_NEVER;
}

/* Long limits of many connections are looked at together. */
static int64_t rounded_up(int64_t ms)
{
    return (ms / 1000 + 1) * 1000;
}

/* Starts the timer if what is due comes earlier than what it is set to. */
static void conn_arm(struct http_conn *c)
{
    int64_t due = conn_deadline(c);
    int64_t now = loop_now_ms(c->loop);

    /* Something may wait for a peer that takes nothing. */
    if (!c->closing && (stream_pending(c->stream) > 0 || !list_is_empty(&c->live)))
        due = MIN(due, rounded_up((c->stalled_ms ? c->stalled_ms : now) + HTTP_STALL_MS));
    if (due == HTTP_NEVER)
        return;
    if (!timer_is_started(&c->timer) || due < c->timer.due_ms)
        timer_start(&c->timer, MAX(due - now, (int64_t)0));
}

static void conn_on_timeout(struct http_conn *c)
{
    int64_t now = loop_now_ms(c->loop);

    if (c->closing || c->kind == CONN_GONE)
        return;
    if (!conn_is_stalled(c)) {
        c->stalled_ms = 0;
    } else if (c->stalled_ms == 0) {
        c->stalled_ms = now;
    } else if (now - c->stalled_ms >= HTTP_STALL_MS) {
        conn_abort(c);
        return;
    }
    if (now < conn_deadline(c))
        return;
    if (c->kind == CONN_HTTP1)
        http1_on_timeout(c);
    else if (c->kind == CONN_HTTP2)
        http2_on_timeout(c);
    else
        conn_close(c);
}

static void conn_timer_fired(void *user)
{
    struct http_conn *c = user;

    conn_enter(c);
    conn_on_timeout(c);
    conn_leave(c);
}

/* ---- Settling ---- */

void conn_enter(struct http_conn *c)
{
    c->depth++;
}

void conn_end_exchanges(struct http_conn *c)
{
    ASSERT(c->depth > 0);
    for (struct list_node *n; (n = list_pop_front(&c->ended)) != NULL;)
        exchange_end(CONTAINER_OF(n, struct http_exchange, conn_link));
}

/* Calls out until nothing is owed. What is called may owe more, to a bound: then `later` goes on.
 */
static void conn_settle(struct http_conn *c)
{
    for (int round = 0; round < 256; round++) {
        struct list_node *ended = list_pop_front(&c->ended);
        struct list_node *writable = ended ? NULL : list_pop_front(&c->writable);

        if (ended) {
            exchange_end(CONTAINER_OF(ended, struct http_exchange, conn_link));
        } else if (writable) {
            struct http_exchange *x = CONTAINER_OF(writable, struct http_exchange, writable_link);

            if (x->on_writable && !x->over)
                x->on_writable(x->on_writable_user);
        } else if (c->kind == CONN_HTTP2) {
            http2_pump(c);
            if (list_is_empty(&c->ended) && list_is_empty(&c->writable))
                return;
        } else {
            return;
        }
    }
}

static void conn_free(struct http_conn *c)
{
    timer_stop(&c->timer);
    http1_free(c->h1);
    http2_free(c->h2);
    buf_fini(&c->sniff);
    if (c->on_close)
        c->on_close(c->user);
    mem_free(c);
    metric_add(&connections_open, -1);
}

void conn_leave(struct http_conn *c)
{
    ASSERT(c->depth > 0);
    if (c->depth == 1)
        conn_settle(c);
    c->depth--;
    if (c->depth > 0)
        return;
    if (!list_is_empty(&c->ended) || !list_is_empty(&c->writable) ||
        (c->kind == CONN_HTTP1 && http1_has_more(c)))
        conn_wake(c);
    if (c->kind == CONN_GONE) {
        timer_stop(&c->timer);
        if (c->n_exchanges == 0 && !c->later_posted)
            conn_free(c);
        return;
    }
    conn_arm(c);
}

static void conn_run_later(struct loop_message *msg)
{
    struct http_conn *c = CONTAINER_OF(msg, struct http_conn, later);

    c->later_posted = false;
    conn_enter(c);
    if (c->kind == CONN_HTTP1)
        http1_resume(c);
    conn_leave(c);
}

void conn_wake(struct http_conn *c)
{
    if (c->depth > 0 || c->later_posted)
        return;
    c->later_posted = true;
    loop_post(c->loop, &c->later);
}

void conn_close(struct http_conn *c)
{
    if (c->closing || !c->stream)
        return;
    c->closing = true;
    stream_close(c->stream);
}

void conn_abort(struct http_conn *c)
{
    if (!c->stream)
        return;
    c->closing = true;
    stream_abort(c->stream);
}

struct stream *conn_give_stream(struct http_conn *c)
{
    ASSERT(c->kind == CONN_HTTP1 && !c->closing);
    c->kind = CONN_GONE;
    return TAKE(c->stream);
}

/* ---- Events of the stream ---- */

static void conn_on_data(void *user, struct str data);
static void conn_on_writable(void *user);
static void conn_on_close(void *user, const struct err *why);

static const struct stream_events conn_events = {
    .on_data = conn_on_data,
    .on_writable = conn_on_writable,
    .on_close = conn_on_close,
};

static void conn_start_tls(struct http_conn *c)
{
    struct tls_holder *holder = atomic_load(&c->server->tls);

    if (!holder || c->is_tls) {
        conn_abort(c);
        return;
    }
    stream_unread(c->stream, buf_str(&c->sniff));
    buf_clear(&c->sniff);
    c->stream = c->server->options.tls_h2 ? tls_accept_h2(holder->tls, c->stream)
                                          : tls_accept(holder->tls, c->stream);
    c->is_tls = true;
    c->opened_ms = loop_now_ms(c->loop);
    stream_set_events(c->stream, &conn_events, c);
}

static void conn_sniffed(struct http_conn *c, enum conn_kind kind)
{
    struct buf sniff = c->sniff;

    c->sniff = (struct buf){0};
    c->kind = kind;
    if (kind == CONN_HTTP1) {
        http1_start(c);
        http1_on_data(c, buf_str(&sniff));
    } else {
        http2_start(c);
        if (sniff.len > 0)
            http2_on_data(c, buf_str(&sniff));
    }
    buf_fini(&sniff);
}

static void conn_sniff(struct http_conn *c, struct str data)
{
    buf_put(&c->sniff, data);
    struct str have = buf_str(&c->sniff);

    if (buf_is_full(&c->sniff) || have.len == 0) {
        conn_abort(c);
        return;
    }
    if ((uint8_t)have.ptr[0] == 0x16) {
        conn_start_tls(c);
        return;
    }
    struct str start = str_sub(PREFACE, 0, have.len);

    if (!str_starts(have, start))
        conn_sniffed(c, CONN_HTTP1);
    else if (start.len == PREFACE.len)
        conn_sniffed(c, CONN_HTTP2);
}

static void conn_on_data(void *user, struct str data)
{
    struct http_conn *c = user;

    conn_enter(c);
    if (c->closing) {
        /* Nothing more is wanted. */
    } else if (c->kind == CONN_SNIFF) {
        conn_sniff(c, data);
    } else if (c->kind == CONN_HTTP1) {
        http1_on_data(c, data);
    } else if (c->kind == CONN_HTTP2) {
        http2_on_data(c, data);
    }
    conn_leave(c);
}

static void conn_on_writable(void *user)
{
    struct http_conn *c = user;

    conn_enter(c);
    c->stalled_ms = 0;
    if (c->kind == CONN_HTTP1 && !c->closing)
        http1_on_writable(c);
    else if (c->kind == CONN_HTTP2 && !c->closing)
        http2_pump(c);
    LIST_FOR_EACH(x, &c->live, struct http_exchange, conn_link)
        exchange_has_room(x);
    conn_leave(c); /* settling pumps HTTP/2 */
}

static void conn_on_close(void *user, const struct err *why)
{
    struct http_conn *c = user;

    (void)why;
    conn_enter(c);
    c->kind = CONN_GONE;
    c->stream = NULL;
    c->closing = true;
    while (!list_is_empty(&c->live))
        exchange_over(CONTAINER_OF(list_first(&c->live), struct http_exchange, conn_link), true);
    conn_leave(c);
}

void http_drop(struct http_conn *c)
{
    conn_enter(c);
    conn_abort(c);
    conn_leave(c);
}

struct http_conn *http_serve(struct http_server *server, struct stream *stream, void *conn_user,
                             void (*on_close)(void *conn_user))
{
    struct http_conn *c = NEW(struct http_conn);

    *c = (struct http_conn){
        .server = server,
        .stream = stream,
        .loop = stream_loop(stream),
        .user = conn_user,
        .on_close = on_close,
        .sniff = BUF((size_t)4 << 20),
        .is_tls = stream_is_tls(stream),
        .is_unix = stream_is_unix(stream),
        .peer = stream_peer(stream),
        .later.run = conn_run_later,
    };
    c->opened_ms = loop_now_ms(c->loop);
    list_init(&c->live);
    list_init(&c->ended);
    list_init(&c->writable);
    timer_init(&c->timer, c->loop, conn_timer_fired, c);
    metric_add(&connections_open, 1);
    stream_set_events(stream, &conn_events, c);
    conn_enter(c);
    if (server->options.h2_only)
        conn_sniffed(c, CONN_HTTP2);
    c->depth--; /* nothing to settle, and settling is not for callers' stacks */
    conn_arm(c);
    return c;
}
