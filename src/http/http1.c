/*
 * HTTP/1 receiving: llhttp finds the pieces, this file bounds and keeps them.
 *
 * Invariants
 *   1. At most one exchange is open on a connection; pipelined requests wait as bytes in `in`.
 *   2. The parser stops behind each request (HPE_PAUSED) and at nothing else but errors, so what
 *      follows a request belongs to the next one, or to the protocol the connection changes to.
 *   3. After a parser error nothing is parsed any more: 4xx and close.
 */

#include "http/http1_internal.h"

#define READ_AHEAD ((size_t)64 << 10)    /* beyond it the stream is not read */
#define READ_AHEAD_MAX ((size_t)8 << 20) /* one wake-up's data on top of it */
#define REQUESTS_PER_ROUND 64
#define LINGER_MS 5000
#define LINGER_BYTES ((size_t)1 << 20)

static const unsigned state_next[HTTP1_STATE_COUNT] = {
    [HTTP1_IDLE] = BIT(HTTP1_HEAD) | BIT(HTTP1_CLOSING),
    [HTTP1_HEAD] = BIT(HTTP1_BODY) | BIT(HTTP1_ANSWER) | BIT(HTTP1_LINGER) | BIT(HTTP1_CLOSING),
    [HTTP1_BODY] = BIT(HTTP1_ANSWER) | BIT(HTTP1_LINGER) | BIT(HTTP1_CLOSING),
    [HTTP1_ANSWER] = BIT(HTTP1_IDLE) | BIT(HTTP1_CLOSING),
    [HTTP1_LINGER] = BIT(HTTP1_CLOSING),
    [HTTP1_CLOSING] = 0,
};

/* The only writer of h->state; every state has its deadline. */
void http1_set_state(struct http1 *h, enum http1_state next)
{
    const struct http_server_options *o = &h->conn->server->options;
    int64_t now = loop_now_ms(h->conn->loop);

    ASSERT(state_next[h->state] & BIT(next));
    h->state = next;
    h->deadline_ms = HTTP_NEVER;
    switch (next) {
    case HTTP1_IDLE:
        if (o->idle_ms >= 0)
            h->deadline_ms = now + o->idle_ms;
        break;
    case HTTP1_HEAD:
        h->deadline_ms = now + o->header_ms;
        break;
    case HTTP1_BODY:
        h->deadline_ms = now + o->body_ms;
        break;
    case HTTP1_LINGER:
        h->deadline_ms = now + LINGER_MS;
        break;
    case HTTP1_CLOSING:
        conn_close(h->conn);
        break;
    case HTTP1_ANSWER:
    case HTTP1_STATE_COUNT:
        break;
    }
}

/* ---- llhttp's callbacks ---- */

static int stop(struct http1 *h, int refusal)
{
    h->refusal = refusal;
    return -1;
}

static int put_head(struct http1 *h, const char *at, size_t len, struct span *span)
{
    if (!exchange_put_head(h->x, str_bytes(at, len), span))
        return stop(h, 431);
    return 0;
}

static int on_message_begin(llhttp_t *p)
{
    struct http1 *h = p->data;

    h->x = exchange_new(h->conn);
    h->in_trailers = false;
    h->body_comes = false;
    h->in_value = false;
    return 0;
}

static int on_method(llhttp_t *p, const char *at, size_t len)
{
    struct http1 *h = p->data;

    return put_head(h, at, len, &h->x->method);
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    struct http1 *h = p->data;

    return put_head(h, at, len, &h->x->target);
}

static struct header_span *current_header(struct http1 *h)
{
    ASSERT(h->x->n_headers > 0);
    return &h->x->header_spans[h->x->n_headers - 1];
}

/* The name in lower case, the value without white space at its end. */
static void finish_header(struct http1 *h)
{
    if (h->x->n_headers == 0)
        return;
    struct header_span *span = current_header(h);
    struct str value = exchange_text(h->x, span->value);

    for (uint32_t i = 0; i < span->name.len; i++) {
        char *c = &h->x->head.ptr[span->name.at + i];

        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    span->value.len = (uint32_t)value.len;
}

static int on_header_field(llhttp_t *p, const char *at, size_t len)
{
    struct http1 *h = p->data;

    if (h->in_trailers)
        return 0;
    if (h->in_value || h->x->n_headers == 0) {
        finish_header(h);
        if (!exchange_add_header_span(h->x))
            return stop(h, 431);
        h->in_value = false;
    }
    return put_head(h, at, len, &current_header(h)->name);
}

static int on_header_field_complete(llhttp_t *p)
{
    struct http1 *h = p->data;

    h->in_value = true;
    return 0;
}

static int on_header_value(llhttp_t *p, const char *at, size_t len)
{
    struct http1 *h = p->data;

    if (h->in_trailers)
        return 0;
    if (h->x->n_headers == 0)
        return stop(h, 400);
    return put_head(h, at, len, &current_header(h)->value);
}

static size_t count_header(const struct http_request *req, struct str name)
{
    size_t n = 0;

    for (size_t i = 0; i < req->n_headers; i++)
        n += str_eq(req->headers[i].name, name);
    return n;
}

static bool expects_continue(const struct http_exchange *x)
{
    return x->minor == 1 &&
           str_eq_nocase(http_header_get(&x->req, STR("expect")), STR("100-continue"));
}

static int on_headers_complete(llhttp_t *p)
{
    struct http1 *h = p->data;
    struct http_exchange *x = h->x;
    bool has_body = (p->flags & F_CHUNKED) != 0 || p->content_length > 0;

    x->minor = p->http_minor;
    h->body_comes = has_body;
    if (p->http_major != 1 || p->http_minor > 1)
        return stop(h, 505);
    finish_header(h);
    exchange_begin(x);
    size_t hosts = count_header(&x->req, STR("host"));

    if (hosts > 1 || (hosts == 0 && x->minor == 1) || p->method == HTTP_CONNECT)
        return stop(h, 400);
    if (has_body && x->refusal)
        return stop(h, x->refusal);
    if ((p->flags & F_CONTENT_LENGTH) && p->content_length > x->body.limit)
        return stop(h, 413);
    if (has_body && expects_continue(x))
        stream_write(h->conn->stream, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    h->in_trailers = true;
    http1_set_state(h, HTTP1_BODY);
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct http1 *h = p->data;

    buf_put(&h->x->body, str_bytes(at, len));
    return buf_is_full(&h->x->body) ? stop(h, 413) : 0;
}

static int on_message_complete(llhttp_t *p)
{
    struct http1 *h = p->data;

    h->keep_alive = llhttp_should_keep_alive(p) != 0;
    h->x->received = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t *parser_settings(void)
{
    static const llhttp_settings_t settings = {
        .on_message_begin = on_message_begin,
        .on_method = on_method,
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_field_complete = on_header_field_complete,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_message_complete,
    };

    return &settings;
}

/* ---- Parsing ---- */

/* The request cannot be taken: answers with the status, and says good-bye. */
static void refuse(struct http1 *h, int status)
{
    struct http_exchange *x = h->x;

    h->keep_alive = false;
    if (!x) {
        http1_set_state(h, HTTP1_CLOSING);
        return;
    }
    x->refusal = status;
    http1_set_state(h, h->body_comes ? HTTP1_LINGER : HTTP1_ANSWER);
    exchange_dispatch(x);
}

static void dispatch(struct http1 *h)
{
    http1_set_state(h, HTTP1_ANSWER);
    exchange_dispatch(h->x);
}

/* Takes what belongs to one request off h->rest, and dispatches it when it is complete. */
static void parse(struct http1 *h)
{
    if (h->state == HTTP1_IDLE) {
        /* Line ends between requests are nobody's. */
        while (h->rest.len > 0 && (h->rest.ptr[0] == '\r' || h->rest.ptr[0] == '\n'))
            h->rest = str_from_index(h->rest, 1);
        if (h->rest.len == 0)
            return;
        http1_set_state(h, HTTP1_HEAD);
    }
    struct str data = h->rest;
    llhttp_errno_t got = llhttp_execute(&h->parser, data.ptr, data.len);

    if (got == HPE_PAUSED_UPGRADE) {
        /* Behind a request that could have changed the protocol, and was answered otherwise. */
        size_t used = (size_t)(llhttp_get_error_pos(&h->parser) - data.ptr);

        llhttp_resume_after_upgrade(&h->parser);
        h->rest = str_from_index(data, used);
        return;
    }
    if (got == HPE_PAUSED) {
        h->rest = str_from_index(data, (size_t)(llhttp_get_error_pos(&h->parser) - data.ptr));
        llhttp_resume(&h->parser);
        dispatch(h);
        return;
    }
    h->rest = STR_NONE;
    if (got != HPE_OK)
        refuse(h, h->refusal ? h->refusal : got == HPE_INVALID_VERSION ? 505 : 400);
}

static bool may_parse(const struct http1 *h)
{
    return h->rest.len > 0 && h->conn->kind == CONN_HTTP1 && h->state <= HTTP1_BODY &&
           stream_pending(h->conn->stream) < HTTP_HIGH_WATER;
}

static void set_reading(struct http1 *h, bool on)
{
    if (on == !h->read_stopped || h->conn->closing)
        return;
    h->read_stopped = !on;
    if (on)
        stream_read_start(h->conn->stream);
    else
        stream_read_stop(h->conn->stream);
}

/* Parses what is in h->rest and keeps what cannot be parsed now in `in`. */
static void work(struct http_conn *c)
{
    struct http1 *h = c->h1;
    int budget = REQUESTS_PER_ROUND;

    h->working = true;
    while (budget-- > 0 && may_parse(h)) {
        parse(h);
        conn_end_exchanges(c); /* one is told of its end before the next begins */
    }
    h->working = false;
    if (c->kind != CONN_HTTP1)
        return; /* http_upgrade() took the rest along */
    if (h->state >= HTTP1_LINGER)
        h->rest = STR_NONE;
    if (h->rest_in_in)
        buf_drop(&h->in, h->in.len - h->rest.len);
    else
        buf_put(&h->in, h->rest);
    h->rest = STR_NONE;
    h->rest_in_in = false;
    if (buf_is_full(&h->in)) {
        conn_abort(c);
        return;
    }
    set_reading(h, h->in.len < READ_AHEAD);
    if (h->in.len == 0 && h->in.cap > 0)
        buf_fini(&h->in);
}

/* Whether bytes read ahead could be parsed now; asked after callbacks, so that `later` goes on. */
static bool has_more(const struct http1 *h)
{
    return h->in.len > 0 && h->state <= HTTP1_BODY && !h->conn->closing &&
           stream_pending(h->conn->stream) < HTTP_HIGH_WATER;
}

void http1_resume(struct http_conn *c)
{
    struct http1 *h = c->h1;

    if (!has_more(h))
        return;
    conn_end_exchanges(c);
    h->rest = buf_str(&h->in);
    h->rest_in_in = true;
    work(c);
}

bool http1_has_more(const struct http_conn *c)
{
    return has_more(c->h1);
}

static void linger(struct http1 *h, size_t n)
{
    h->lingered += n;
    /* Closing now would reset the connection, and the answer may not have been read. */
    if (h->lingered > LINGER_BYTES)
        set_reading(h, false);
}

void http1_on_data(struct http_conn *c, struct str data)
{
    struct http1 *h = c->h1;

    if (h->state == HTTP1_LINGER) {
        linger(h, data.len);
        return;
    }
    if (h->in.len > 0) {
        buf_put(&h->in, data);
        h->rest = buf_str(&h->in);
        h->rest_in_in = true;
    } else {
        h->rest = data;
    }
    work(c);
}

/* ---- Life ---- */

void http1_start(struct http_conn *c)
{
    struct http1 *h = NEW(struct http1);

    h->conn = c;
    h->in = BUF(READ_AHEAD_MAX);
    h->deadline_ms = c->opened_ms + c->server->options.header_ms;
    llhttp_init(&h->parser, HTTP_REQUEST, parser_settings());
    h->parser.data = h;
    c->h1 = h;
}

void http1_free(struct http1 *h)
{
    if (!h)
        return;
    buf_fini(&h->in);
    mem_free(h);
}

int64_t http1_deadline(const struct http_conn *c)
{
    return c->h1->deadline_ms;
}

void http1_on_timeout(struct http_conn *c)
{
    struct http1 *h = c->h1;

    /* A peer in the middle of a request is told; an idle one is not. */
    if (h->x && (h->state == HTTP1_HEAD || h->state == HTTP1_BODY)) {
        h->keep_alive = false;
        h->x->refusal = 408;
        http1_set_state(h, HTTP1_ANSWER);
        exchange_dispatch(h->x);
        return;
    }
    http1_set_state(h, HTTP1_CLOSING);
}
