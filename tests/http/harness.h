#pragma once

/*
 * A server on one end of a stream pair and a raw peer on the other, on one loop. What handlers see
 * is written to `log`, so that a test compares one text.
 */

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "http/server.h"
#include "net/loop.h"
#include "net/stream.h"

#define BIG ((size_t)20 << 20)

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct stream *peer; /* NULL once closed */
    struct buf got;      /* what the peer received */
    struct buf log;
    struct http_exchange *later; /* of GET /later, until it ends */
    struct stream *upgraded;
    struct buf upgraded_got;
    bool conn_closed;
    unsigned alive; /* exchanges handed to handlers and not ended */
    unsigned most_alive;
    size_t to_stream; /* bytes left of GET /flow */
    size_t most_pending;
    bool by_room; /* GET /room: writes no more than there is room for */
    struct http_exchange *flow;
};

/* ---- Handlers ---- */

static inline void rig_on_end(void *user, bool aborted)
{
    struct rig *rig = user;

    rig->alive--;
    rig->later = NULL;
    buf_put(&rig->log, aborted ? STR("aborted;") : STR("end;"));
}

static inline struct rig *rig_request(void *user, struct http_exchange *x,
                                      const struct http_request *req)
{
    struct rig *rig = user;

    buf_printf(&rig->log, "%.*s %.*s", STR_ARG(req->method), STR_ARG(req->path));
    if (req->query.len > 0)
        buf_printf(&rig->log, "?%.*s", STR_ARG(req->query));
    if (req->body.len > 0)
        buf_printf(&rig->log, " %.*s", STR_ARG(str_sub(req->body, 0, 200)));
    buf_put_char(&rig->log, ';');
    rig->alive++;
    rig->most_alive = MAX(rig->most_alive, rig->alive);
    http_on_end(x, rig_on_end, rig);
    return rig;
}

static inline void rig_hello(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)rig_request(user, x, req);
    http_respond(x, 200, "text/plain", STR("hello"));
}

static inline void rig_echo(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)rig_request(user, x, req);
    http_respond(x, 200, "text/plain", req->body);
}

static inline void rig_later(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct rig *rig = rig_request(user, x, req);

    rig->later = x;
}

static inline void rig_item(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct str q = STR_NONE;
    struct buf text = BUF(4096);

    (void)rig_request(user, x, req);
    (void)http_query_get(x, STR("q"), &q);
    buf_printf(&text, "id=%.*s q=%.*s", STR_ARG(http_param_get(req, STR("id"))), STR_ARG(q));
    http_add_header(x, STR("x-evil"), STR("a\r\nset-cookie: b"));
    http_respond(x, 200, NULL, buf_str(&text));
    buf_fini(&text);
}

static inline void rig_abort(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)rig_request(user, x, req);
    http_abort(x);
    http_respond(x, 200, NULL, STR("nobody reads this"));
}

static inline char big_byte(size_t at)
{
    return (char)('a' + at % 23);
}

static inline struct str big_text(void)
{
    char *text = mem_alloc(BIG);

    for (size_t i = 0; i < BIG; i++)
        text[i] = big_byte(i);
    return (struct str){text, BIG};
}

static inline void rig_big(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct str text = big_text();

    (void)rig_request(user, x, req);
    http_respond(x, 200, NULL, text);
    str_free(&text);
}

/* Streams BIG bytes in pieces of 100,000, waiting whenever something is pending. */
static inline void rig_flow_on(void *user)
{
    struct rig *rig = user;
    char piece[100000];

    while (rig->to_stream > 0 && http_stream_pending(rig->flow) == 0) {
        size_t n = MIN(sizeof(piece), rig->to_stream);

        if (rig->by_room)
            n = MIN(n, http_stream_room(rig->flow));
        if (n == 0)
            return;

        for (size_t i = 0; i < n; i++)
            piece[i] = big_byte(BIG - rig->to_stream + i);
        http_stream_write(rig->flow, (struct str){piece, n});
        rig->to_stream -= n;
        rig->most_pending = MAX(rig->most_pending, http_stream_pending(rig->flow));
    }
    if (rig->to_stream == 0 && http_stream_pending(rig->flow) == 0)
        http_stream_end(rig->flow);
}

static inline void rig_flow(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct rig *rig = rig_request(user, x, req);

    rig->flow = x;
    rig->to_stream = BIG;
    http_stream_start(x, 200, "application/octet-stream");
    http_stream_on_writable(x, rig_flow_on, rig);
    rig_flow_on(rig);
}

static inline void rig_room(void *user, struct http_exchange *x, const struct http_request *req)
{
    ((struct rig *)user)->by_room = true;
    rig_flow(user, x, req);
    http_forget_request(x);
}

static inline void rig_upgraded_data(void *user, struct str data)
{
    struct rig *rig = user;

    buf_put(&rig->upgraded_got, data);
    stream_write(rig->upgraded, data);
}

static inline void rig_upgraded_close(void *user, const struct err *why)
{
    struct rig *rig = user;

    (void)why;
    rig->upgraded = NULL;
}

static inline void rig_take_stream(struct rig *rig, struct stream *s)
{
    static const struct stream_events events = {
        .on_data = rig_upgraded_data,
        .on_close = rig_upgraded_close,
    };

    rig->upgraded = s;
    stream_set_events(s, &events, rig);
}

static inline void rig_upgrade(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct rig *rig = rig_request(user, x, req);
    bool silent = http_header_get(req, STR("fast")).len > 0;

    http_add_header(x, STR("derp-version"), STR("2"));
    struct stream *s = http_upgrade(x, "DERP", silent);

    if (s)
        rig_take_stream(rig, s);
    else
        http_respond_text(x, 426, "upgrade required");
}

static inline void rig_socket(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct rig *rig = rig_request(user, x, req);
    struct stream *s = http_is_websocket(req, "chat") ? http_upgrade_websocket(x, "chat") : NULL;

    if (s)
        rig_take_stream(rig, s);
    else
        http_respond_text(x, 400, "not a websocket");
}

/* Two pieces, a field in front and two behind. */
static inline void rig_trailers(void *user, struct http_exchange *x, const struct http_request *req)
{
    bool has_data = !str_eq(req->query, STR("empty"));

    (void)rig_request(user, x, req);
    http_add_header(x, STR("x-front"), STR("1"));
    http_stream_start(x, 200, "text/plain");
    if (has_data) {
        http_stream_write(x, STR("one "));
        http_stream_write(x, STR("two"));
    }
    http_add_trailer(x, STR("x-behind"), STR("2"));
    http_add_trailer(x, STR("x-last"), STR("3\r\nx-evil: 4"));
    http_stream_end(x);
    http_add_trailer(x, STR("x-late"), STR("5"));
}

static inline void rig_on_body(void *user, struct str data, bool is_end)
{
    struct rig *rig = user;

    buf_printf(&rig->log, "%s%.*s;", is_end ? "all" : "+", STR_ARG(str_sub(data, 0, 20)));
    if (is_end)
        http_stream_end(rig->flow);
    else
        http_stream_write(rig->flow, data);
}

static inline void rig_talk(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct rig *rig = rig_request(user, x, req);

    rig->flow = x;
    http_on_body(x, rig_on_body, rig);
    http_stream_start(x, 200, "text/plain");
    if (req->version == 1)
        http_stream_end(x);
}

static const struct http_route rig_routes[] = {
    {"GET", "/hello", rig_hello, 0},
    {"POST", "/echo", rig_echo, 1000},
    {"GET", "/later", rig_later, 0},
    {"GET", "/items/{id}", rig_item, 0},
    {"GET", "/abort", rig_abort, 0},
    {"GET", "/big", rig_big, 0},
    {"GET", "/flow", rig_flow, 0},
    {"GET", "/room", rig_room, 0},
    {"GET", "/up", rig_upgrade, 0},
    {"POST", "/up", rig_upgrade, 0},
    {"GET", "/socket", rig_socket, 0},
    {"*", "/trailers", rig_trailers, 0},
    {"POST", "/talk", rig_talk, HTTP_BODY_STREAMED},
};

/* ---- The rig ---- */

static inline void rig_peer_data(void *user, struct str data)
{
    struct rig *rig = user;

    buf_put(&rig->got, data);
}

static inline void rig_peer_close(void *user, const struct err *why)
{
    struct rig *rig = user;

    (void)why;
    rig->peer = NULL;
}

static inline void rig_conn_close(void *user)
{
    struct rig *rig = user;

    rig->conn_closed = true;
}

static const struct stream_events rig_peer_events = {
    .on_data = rig_peer_data,
    .on_close = rig_peer_close,
};

/* A server with these options (routes and user are set here) and nothing connected. */
static inline struct rig *rig_new_bare(struct http_server_options options)
{
    struct rig *rig = NEW(struct rig);
    struct err err;

    options.routes = rig_routes;
    options.n_routes = ARRAY_LEN(rig_routes);
    options.user = rig;
    rig->got = BUF((size_t)256 << 20);
    rig->upgraded_got = BUF((size_t)64 << 20);
    if (loop_new("test", &rig->loop, &err) < 0)
        abort();
    rig->server = http_server_new(&options);
    return rig;
}

/* One end of a new pair is served, the other returned. */
static inline struct stream *rig_connect(struct rig *rig)
{
    struct stream *ends[2];

    stream_pair(rig->loop, ends);
    http_serve(rig->server, ends[0], rig, rig_conn_close);
    return ends[1];
}

static inline struct rig *rig_new(struct http_server_options options)
{
    struct rig *rig = rig_new_bare(options);

    rig->peer = rig_connect(rig);
    stream_set_events(rig->peer, &rig_peer_events, rig);
    return rig;
}

static inline void rig_free(struct rig *rig)
{
    loop_free(rig->loop);
    http_server_free(rig->server);
    buf_fini(&rig->got);
    buf_fini(&rig->log);
    buf_fini(&rig->upgraded_got);
    mem_free(rig);
}

/* Rounds of the loop until nothing seems to move any more. */
static inline void rig_run(struct rig *rig)
{
    for (int i = 0; i < 12; i++)
        loop_run_once(rig->loop, 0);
}

static inline void rig_send(struct rig *rig, struct str data)
{
    if (rig->peer)
        stream_write(rig->peer, data);
    rig_run(rig);
}
