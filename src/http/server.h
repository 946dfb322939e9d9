#pragma once

/*
 * The HTTP server: HTTP/1.1 and HTTP/2 (prior knowledge) over any stream, one handler for both.
 *
 *   stream --first byte 0x16 and TLS configured--> tls --+
 *     |                                                  v
 *     +-- "PRI * HTTP/2.0" --> h2 session       HTTP/1.1 --> upgrade: the stream leaves HTTP
 *               \                                 /
 *                +--> router --> handler(exchange) --> answer now, later, or as a stream
 *
 * Rules
 *   1. An exchange is one request and its answer. Its request stays readable until the exchange
 * ends.
 *   2. It ends once: answered, or the client gone. on_end is the last call about it and always
 * comes; after on_end neither exchange nor request may be touched.
 *   3. A handler gets the whole body (bounded by its route); larger ones were refused with 413.
 *   4. Answering never fails and never calls on_end from inside.
 */

#include "core/err.h"
#include "core/str.h"
#include "ip/addrport.h"
#include "net/stream.h"
#include "net/tls.h"

struct http_server;
struct http_exchange;

struct http_header {
    struct str name; /* lower case */
    struct str value;
};

struct http_request {
    struct str method;
    struct str path;      /* as sent, without the query; percent-decoded only in params */
    struct str query;     /* without the '?' */
    struct str authority; /* Host or :authority */
    const struct http_header *headers;
    size_t n_headers;
    struct str body;
    int version; /* 1 or 2 */
    bool is_tls;
    bool is_unix;
    struct ip_addrport peer; /* whom a proxy names, with port 0; else who is connected */
    void *conn_user;         /* from http_serve */
    struct loop *loop;
    const struct http_param *params; /* of the route's pattern */
    size_t n_params;
    const struct http_route *route; /* as the server was given it */
};

struct http_param {
    struct str name;
    struct str value; /* percent-decoded */
};

/* The header's value (name in lower case), or the empty str. */
struct str http_header_get(const struct http_request *req, struct str name);
/* A "{name}" of the route's pattern, percent-decoded; the empty str if there is none. */
struct str http_param_get(const struct http_request *req, struct str name);
/* A query parameter, percent-decoded (also '+') into the exchange's memory; false if absent. */
bool http_query_get(struct http_exchange *x, struct str name, struct str *value);
/* All of them in their order, decoded likewise: `rest` begins as req->query. False: no more. */
bool http_query_next(struct http_exchange *x, struct str *rest, struct str *name,
                     struct str *value);

typedef void http_handler_fn(void *user, struct http_exchange *x, const struct http_request *req);

/*
 * Patterns: literal segments and "{name}" for exactly one segment. "*" alone as the last segment
 * takes the rest. Literal beats parameter. A method of "*" takes any. HEAD goes to GET's handler.
 */
struct http_route {
    const char *method;
    const char *pattern;
    http_handler_fn *handler;
    size_t max_body; /* bytes; 0: 64 KiB */
};
/*
 * As a route's max_body: with HTTP/2 the handler is called when the headers are there, and the body
 * goes to what http_on_body sets, as it comes and however long it is; within the server's body_ms.
 * With HTTP/1 a route like any other.
 */
#define HTTP_BODY_STREAMED SIZE_MAX

struct http_server_options {
    const struct http_route *routes; /* borrowed for the server's life */
    size_t n_routes;
    void *user; /* handed to handlers */
    /* Whose word about who is behind them is believed (forwarded.h); borrowed. */
    const struct ip_prefix *proxies;
    size_t n_proxies;
    struct tls_server *tls;            /* NULL: a TLS hello is refused by closing */
    const struct http_header *headers; /* added to every answer (names lower case); borrowed */
    size_t n_headers;
    size_t max_header_bytes; /* 0: 32 KiB */
    size_t max_streams;      /* HTTP/2 streams per connection, 0: 250 */
    int64_t header_ms;       /* from the first byte to the end of the headers, 0: 10 s */
    int64_t body_ms;         /* to the end of the body, 0: 30 s */
    int64_t idle_ms; /* HTTP/1 keep-alive and HTTP/2 with no open stream, 0: 2 min; -1: for ever */
    bool h2_only;    /* inside Noise */
    bool observed;   /* counted by path and status (observe.c) */
    bool tls_h2;     /* under TLS, HTTP/2 is offered: no route upgrades */
};
/* One server may serve on many loops. Free it when no stream is left (or the loops are freed). */
MUST_USE struct http_server *http_server_new(const struct http_server_options *options);
void http_server_free(struct http_server *server);
/* Replaces the certificate for connections to come; from any thread. */
void http_server_set_tls(struct http_server *server, struct tls_server *tls);

struct http_conn;

/*
 * Serves HTTP on the stream, which it takes. `conn_user` is handed to each request; `on_close` (may
 * be NULL) is called when the connection is gone or has been upgraded away, after the last on_end.
 * The result is good for http_drop until then.
 */
struct http_conn *http_serve(struct http_server *server, struct stream *stream, void *conn_user,
                             void (*on_close)(void *conn_user));
/* Ends the connection now, whatever it is at; on_close comes later. Not from its own handlers. */
void http_drop(struct http_conn *conn);

/* ---- Answers ---- */

/*
 * Where the body of an HTTP_BODY_STREAMED route goes; set by its handler. `data` is borrowed; the
 * last call has `is_end` and no data, and does not come when the client goes first.
 */
void http_on_body(struct http_exchange *x, void (*fn)(void *user, struct str data, bool is_end),
                  void *user);
/*
 * For who carries one protocol inside another: from here on the handler's request is `req`, which
 * has the old one's connection in it and is borrowed until `over`; and the whole answer that
 * somebody gives (http_respond) goes to `answer`, once, instead of the client, whom `answer` or who
 * else stands here answers by streaming. What is answered after that is dropped.
 */
struct http_between {
    void (*answer)(void *user, int status, struct str body);
    void (*over)(void *user); /* last, after on_end, always */
};
void http_stand_between(struct http_exchange *x, const struct http_request *req,
                        const struct http_between *events, void *user);
/* Called once when the exchange is over; `aborted` if the client went before it was answered in
 * full. */
void http_on_end(struct http_exchange *x, void (*fn)(void *user, bool aborted), void *user);
/* Adds a header to the answer to come. Name in lower case. Both copied. */
void http_add_header(struct http_exchange *x, struct str name, struct str value);
/* The whole answer. content_type may be NULL for none. Body copied. */
void http_respond(struct http_exchange *x, int status, const char *content_type, struct str body);
/* text/plain with the text and a newline. */
void http_respond_text(struct http_exchange *x, int status, const char *text);

/* A streamed answer: start sends the headers at once; no content-length. */
void http_stream_start(struct http_exchange *x, int status, const char *content_type);
void http_stream_write(struct http_exchange *x, struct str data); /* copies */
/* Bytes written and not yet handed to the connection (flow control, slow reader). */
size_t http_stream_pending(const struct http_exchange *x);
/*
 * Bytes that may be written now without making anything wait for the peer; 0 while something does.
 * Who writes no more than that holds little memory however slow the peer is. After an answer of 0,
 * or a write that left no room, on_writable follows.
 */
size_t http_stream_room(struct http_exchange *x);
/*
 * What was written goes to the kernel now instead of at the end of the loop's round, where the
 * stream can do that: for who writes a message each to many connections, one after the other.
 */
void http_stream_flush(struct http_exchange *x);
/* Called when there is room again. */
void http_stream_on_writable(struct http_exchange *x, void (*fn)(void *user), void *user);
void http_stream_end(struct http_exchange *x);
/*
 * Adds a field that goes out behind a streamed answer's data; before http_stream_end. Name in lower
 * case. Both copied. With HTTP/1 it is dropped.
 */
void http_add_trailer(struct http_exchange *x, struct str name, struct str value);
/*
 * For streams that last: the request is not needed any more, its memory is given back. After
 * http_stream_start; from here on only version, peer, loop and conn_user may be read.
 */
void http_forget_request(struct http_exchange *x);
/* Gives the exchange up: RST_STREAM, or closing an HTTP/1 connection. on_end follows (aborted). */
void http_abort(struct http_exchange *x);

/*
 * HTTP/1.1 only: answers 101 with `upgrade` as the Upgrade header and the headers added before, and
 * hands the connection's stream to the caller, who sets its events at once; bytes that followed the
 * request come as its first data. The exchange is over (on_end is called, not aborted). With
 * `silent`, no answer at all is written (DERP fast start). NULL when the request is not HTTP/1.1
 * (then answer it as usual).
 */
MUST_USE struct stream *http_upgrade(struct http_exchange *x, const char *upgrade, bool silent);
/* Same for WebSocket with a subprotocol (may be NULL): the stream carries the concatenated binary
 * messages. */
MUST_USE struct stream *http_upgrade_websocket(struct http_exchange *x, const char *protocol);
/* Whether the request is a WebSocket upgrade, offering `protocol` if not NULL. */
bool http_is_websocket(const struct http_request *req, const char *protocol);
