#pragma once

/*
 * What the files of this room share: the connection, the exchange, the router, and what HTTP/1 and
 * HTTP/2 do for an exchange.
 *
 *   server.c    connections: first bytes, timers, settling   exchange.c  request built, answer API
 *   http1.c     receiving HTTP/1        http1_answer.c  answering it        http2.c  both for
 * HTTP/2
 *
 * Rules
 *   1. User code (handlers, on_end, on_writable, on_close) runs only from a callback of the loop:
 *      conn->depth > 0. Answering from elsewhere puts work on the connection's lists and posts
 *      `later`; conn_settle() then calls out.
 *   2. An exchange is in conn->live until it is over, then in conn->ended until on_end was called
 *      and it is freed. conn->n_exchanges counts both.
 *   3. A connection is freed in conn_settle() only: stream gone, no exchange, `later` not posted.
 */

#include "core/arena.h"
#include "core/buf.h"
#include "core/list.h"
#include "core/mem.h"
#include "http/body_limit.h"
#include "http/server.h"

#define HTTP_HEADERS_MAX 100
#define HTTP_BODY_DEFAULT ((size_t)64 << 10)
/* What we let a stream queue before answers wait in their exchange: the kernel's buffer is behind
 * it, so more would only be memory. */
#define HTTP_HIGH_WATER ((size_t)64 << 10)
/* An answer that waits: the most an exchange holds of a streamed one. */
#define HTTP_OUT_MAX ((size_t)64 << 20)
/* A peer that takes nothing for so long while an answer waits is cut off. */
#define HTTP_STALL_MS 120000
#define HTTP_NEVER INT64_MAX

/* ---- Router ---- */

struct router;

enum router_result { ROUTER_FOUND, ROUTER_NO_PATH, ROUTER_NO_METHOD };

/* The routes are borrowed for the router's life. */
MUST_USE struct router *router_new(const struct http_route *routes, size_t n);
void router_free(struct router *r);
/* Sets *route on FOUND only. */
MUST_USE enum router_result router_find(const struct router *r, struct str method, struct str path,
                                        const struct http_route **route);
/* The methods that the path answers to: "GET, HEAD, POST". */
void router_put_allow(const struct router *r, struct str path, struct buf *out);
/* The parameters of the route's pattern in the path, decoded into the arena. */
size_t router_params(const struct http_route *route, struct str path, struct arena *a,
                     const struct http_param **params);
/* Percent-decoding; '+' becomes a space if `plus`. A broken escape stays as it is. */
MUST_USE struct str percent_decode(struct arena *a, struct str s, bool plus);

/* ---- Server and connection ---- */

struct slots;
struct tls_holder;

struct http_server {
    struct http_server_options options; /* with the defaults filled in */
    http_body_limit_fn *body_limit;     /* may be NULL */
    struct router *router;
    struct slots *sessions;           /* of HTTP/2; http2_memory.h */
    _Atomic(struct tls_holder *) tls; /* newest first; older ones are kept until the end */
};

struct http1;
struct http2;

enum conn_kind {
    CONN_SNIFF, /* first bytes not yet understood */
    CONN_HTTP1,
    CONN_HTTP2,
    CONN_GONE, /* stream closed or handed on */
    CONN_KIND_COUNT
};

struct http_conn {
    struct http_server *server;
    struct stream *stream; /* NULL when GONE */
    struct loop *loop;
    void *user;
    void (*on_close)(void *conn_user);
    enum conn_kind kind;
    bool is_tls;
    bool is_unix;
    struct ip_addrport peer;
    bool closing; /* stream_close or stream_abort was called; only on_close is to come */
    struct buf sniff;
    struct http1 *h1;
    struct http2 *h2;
    struct list live;
    struct list ended;
    struct list writable; /* exchanges whose on_writable is due */
    size_t n_exchanges;
    unsigned depth; /* callbacks of the loop on the stack */
    struct loop_message later;
    bool later_posted;
    struct timer timer;
    int64_t opened_ms;
    int64_t stalled_ms; /* since when an answer waits with no progress, 0: it does not */
};

/* Around every callback of the loop. conn_leave may free the connection. */
void conn_enter(struct http_conn *c);
void conn_leave(struct http_conn *c);
/* Calls on_end of what is over; from a callback of the loop. */
void conn_end_exchanges(struct http_conn *c);
/* Something awaits conn_settle: runs it soon unless a callback is on the stack anyway. */
void conn_wake(struct http_conn *c);
/* Writes out what is queued, then closes; open exchanges end as aborted with on_close. */
void conn_close(struct http_conn *c);
void conn_abort(struct http_conn *c);
/* Lets go of the stream, which somebody else owns from here on. */
MUST_USE struct stream *conn_give_stream(struct http_conn *c);

/* ---- Exchange ---- */

struct span {
    uint32_t at;
    uint32_t len;
};

struct header_span {
    struct span name;
    struct span value;
};

enum answer_state { ANSWER_NONE, ANSWER_OPEN, ANSWER_ENDED };

struct http_exchange {
    struct http_conn *conn;
    struct list_node conn_link;      /* live or ended */
    struct list_node writable_link;  /* conn->writable */
    struct list_node receiving_link; /* http2's receiving */
    struct http_request req;

    /* The request as it comes in: all text in `head`, spans into it. */
    struct buf head;
    struct span method;
    struct span target;
    struct span authority;
    struct header_span *header_spans;
    size_t n_headers;
    struct http_header *headers;
    struct buf body;
    struct arena *arena; /* NULL until needed */
    const struct http_route *route;
    int refusal; /* status to answer with instead of calling a handler, 0: none */
    int minor;   /* HTTP/1.x */
    bool is_head;
    bool received;    /* the whole request is here */
    bool is_streamed; /* the body goes to on_body, as it comes */
    void (*on_body)(void *user, struct str data, bool is_end);
    void *on_body_user;
    int64_t body_due_ms;

    /* The answer. */
    enum answer_state answer;
    int status;
    bool no_body; /* HEAD, 204, 304: data is dropped */
    bool chunked; /* HTTP/1 */
    bool aborted;
    bool over;
    bool starved;              /* on_writable is owed, once there is room again */
    struct http_header *added; /* in the arena */
    size_t n_added;
    size_t added_cap;
    struct http_header *trailers; /* in the arena */
    size_t n_trailers;
    size_t trailers_cap;
    struct buf out; /* from out_at on: not yet handed to the connection */
    size_t out_at;
    struct str lent; /* behind out: the rest of what http_stream_write was given, while it runs */
    int64_t began_ms;        /* observe.c's, as the next */
    const char *method_name; /* NULL: it is not observed */
    void (*on_end)(void *user, bool aborted);
    void *on_end_user;
    const struct http_between *between; /* NULL: nobody */
    void *between_user;
    bool between_answered;
    void (*on_writable)(void *user);
    void *on_writable_user;

    /* HTTP/2 */
    int32_t stream_id;
    bool is_closed;   /* the h2 stream is gone */
    bool is_deferred; /* the data provider waits for us */
};

MUST_USE struct http_exchange *exchange_new(struct http_conn *c);
/* Appends to the head; false when the server's header limit is passed. */
MUST_USE bool exchange_put_head(struct http_exchange *x, struct str s, struct span *span);
/* Starts a header; NULL when there are too many. */
MUST_USE struct header_span *exchange_add_header_span(struct http_exchange *x);
struct str exchange_text(const struct http_exchange *x, struct span span);
/* Headers complete: fills in req, finds the route, sets refusal and the body's limit. */
void exchange_begin(struct http_exchange *x);
/* observe.c: it has its route; it is over. */
void http_observe_begin(struct http_exchange *x);
void http_observe_end(const struct http_exchange *x);
/* The request is complete or refused: calls the handler or answers the refusal. */
void exchange_dispatch(struct http_exchange *x);
/* Moves to conn->ended. Once; later calls do nothing. */
void exchange_over(struct http_exchange *x, bool aborted);
/* conn_settle's: calls on_end and frees. */
void exchange_end(struct http_exchange *x);
struct arena *exchange_arena(struct http_exchange *x);
size_t exchange_out_len(const struct http_exchange *x);
/* The front of it, as far as it lies in one piece. */
struct str exchange_out(const struct http_exchange *x);
/* The front n bytes of out were handed on. */
void exchange_out_drop(struct http_exchange *x, size_t n);
/* The stream below has room again. */
void exchange_has_room(struct http_exchange *x);

/*
 * The headers of the answer in order: the server's, content-type, content-length, added ones.
 * Calls put for each; content_length < 0: none.
 */
void exchange_each_header(const struct http_exchange *x, const char *content_type,
                          int64_t content_length,
                          void (*put)(void *to, struct str name, struct str value), void *to);

/* ---- HTTP/1 ---- */

void http1_start(struct http_conn *c);
void http1_free(struct http1 *h);
void http1_on_data(struct http_conn *c, struct str data);
/* Goes on with what was read ahead. */
void http1_resume(struct http_conn *c);
/* Whether resuming would get on. */
bool http1_has_more(const struct http_conn *c);
void http1_on_writable(struct http_conn *c);
/* The answer of h->x went out in full: on to the next request, or close. */
void http1_finish(struct http_conn *c);
void http1_on_timeout(struct http_conn *c);
int64_t http1_deadline(const struct http_conn *c);
void http1_answer_start(struct http_exchange *x, const char *content_type, int64_t length);
void http1_answer_data(struct http_exchange *x, struct str data);
void http1_answer_end(struct http_exchange *x);
void http1_abort(struct http_exchange *x);
MUST_USE struct stream *http1_upgrade(struct http_exchange *x, const char *upgrade, bool silent);

/* ---- HTTP/2 ---- */

void http2_start(struct http_conn *c);
void http2_free(struct http2 *h);
void http2_on_data(struct http_conn *c, struct str data);
/* Hands frames to the stream as far as it and the peer's windows allow. */
void http2_pump(struct http_conn *c);
/* Bytes of frames that the stream is given when the pump is done. */
size_t http2_gathered(const struct http_conn *c);
/* Something waits for the stream to drain. */
bool http2_is_held(const struct http_conn *c);
void http2_on_timeout(struct http_conn *c);
int64_t http2_deadline(const struct http_conn *c);
void http2_answer_start(struct http_exchange *x, const char *content_type, int64_t length);
void http2_answer_data(struct http_exchange *x, struct str data);
/* x->lent is there: sends what can be sent now. */
void http2_answer_lent(struct http_exchange *x);
/* Writes all of it as one frame without asking nghttp2, or false: go the long way. */
MUST_USE bool http2_write_past(struct http_exchange *x, struct str data);
void http2_answer_end(struct http_exchange *x);
void http2_abort(struct http_exchange *x);

/* ---- WebSocket ---- */

/* The value of Sec-WebSocket-Accept for a key; 28 characters. */
#define WEBSOCKET_ACCEPT_LEN 28
void websocket_accept(struct str key, char out[WEBSOCKET_ACCEPT_LEN + 1]);
/* Takes the stream; the result carries the concatenated binary messages. */
MUST_USE struct stream *websocket_filter(struct stream *below, bool is_client);

/* For an err_set() whose error is kept for later: the code is in the error, too. */
static inline void kept(int code)
{
    (void)code;
}

/* The reason phrase for a status. */
const char *http_status_text(int status);
