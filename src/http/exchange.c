/*
 * The exchange: one request and its answer, whichever protocol carries it.
 *
 *   RECEIVING --complete--> handler --http_respond / http_stream_end--> sent --+
 *       |                      |                                               v
 *       +-- peer gone, abort --+--------------------------------------------> over --settle-->
 * on_end
 *
 * exchange_over() is the only way into conn->ended, exchange_end() the only way out of it. Between
 * the two, and after the answer was given, answering functions find `over` or `answer` set and do
 * nothing.
 */

#include "core/log.h"
#include "core/metric.h"
#include "http/forwarded.h"
#include "http/http_internal.h"

static struct metric requests_total =
    METRIC_COUNTER("hatsize_http_requests_total", "HTTP requests received.");
static struct metric refused_total = METRIC_COUNTER(
    "hatsize_http_refused_total", "HTTP requests refused before any handler saw them.");

/* ---- Life ---- */

struct http_exchange *exchange_new(struct http_conn *c)
{
    struct http_exchange *x = NEW(struct http_exchange);

    x->conn = c;
    x->head = BUF(c->server->options.max_header_bytes + 1);
    x->body = BUF(HTTP_BODY_DEFAULT);
    x->out = BUF(HTTP_OUT_MAX);
    list_node_init(&x->conn_link);
    list_node_init(&x->writable_link);
    list_node_init(&x->receiving_link);
    list_push_back(&c->live, &x->conn_link);
    c->n_exchanges++;
    metric_add(&requests_total, 1);
    return x;
}

/* Bodies and headers carry keys and tokens. */
static void wipe_and_free(struct buf *b)
{
    if (b->ptr)
        mem_wipe(b->ptr, b->len);
    buf_fini(b);
}

static void request_free(struct http_exchange *x)
{
    wipe_and_free(&x->head);
    wipe_and_free(&x->body);
    mem_free(x->header_spans);
    mem_free(x->headers);
    arena_free(x->arena);
}

void exchange_end(struct http_exchange *x)
{
    struct http_conn *c = x->conn;

    http_observe_end(x);
    if (x->on_end)
        x->on_end(x->on_end_user, x->aborted);
    if (x->between)
        x->between->over(x->between_user);
    c->n_exchanges--;
    list_remove(&x->writable_link);
    request_free(x);
    buf_fini(&x->out);
    mem_free(x);
}

void http_forget_request(struct http_exchange *x)
{
    if (!x->received || x->answer == ANSWER_NONE)
        return;
    request_free(x);
    x->head = x->body = (struct buf){0};
    x->header_spans = NULL;
    x->headers = NULL;
    x->n_headers = 0;
    x->arena = NULL;
    x->added = NULL;
    x->n_added = x->added_cap = 0;
    x->trailers = NULL;
    x->n_trailers = x->trailers_cap = 0;
    x->req = (struct http_request){.version = x->req.version,
                                   .is_tls = x->req.is_tls,
                                   .is_unix = x->req.is_unix,
                                   .peer = x->req.peer,
                                   .conn_user = x->req.conn_user,
                                   .loop = x->req.loop};
}

void exchange_over(struct http_exchange *x, bool aborted)
{
    if (x->over)
        return;
    x->over = true;
    x->aborted = aborted || x->aborted;
    list_remove(&x->writable_link);
    list_remove(&x->receiving_link);
    list_remove(&x->conn_link);
    list_push_back(&x->conn->ended, &x->conn_link);
    conn_wake(x->conn);
}

struct arena *exchange_arena(struct http_exchange *x)
{
    if (!x->arena)
        x->arena = arena_new();
    return x->arena;
}

/* ---- Receiving ---- */

bool exchange_put_head(struct http_exchange *x, struct str s, struct span *span)
{
    if (x->head.len + s.len > x->conn->server->options.max_header_bytes)
        return false;
    if (span->len == 0)
        span->at = (uint32_t)x->head.len;
    ASSERT(span->at + span->len == x->head.len);
    buf_put(&x->head, s);
    span->len += (uint32_t)s.len;
    return true;
}

struct header_span *exchange_add_header_span(struct http_exchange *x)
{
    if (x->n_headers >= HTTP_HEADERS_MAX)
        return NULL;
    if (x->n_headers % 16 == 0)
        x->header_spans =
            mem_realloc_array(x->header_spans, x->n_headers + 16, sizeof(*x->header_spans));
    x->header_spans[x->n_headers] = (struct header_span){0};
    return &x->header_spans[x->n_headers++];
}

struct str exchange_text(const struct http_exchange *x, struct span span)
{
    return str_sub(buf_str(&x->head), span.at, span.len);
}

/* "http://host/path" as to a proxy: the path and the host of the URL count. */
static struct str strip_absolute(struct str target, struct str *authority)
{
    struct str rest = target;
    size_t scheme = str_starts(target, STR("http://"))    ? 7
                    : str_starts(target, STR("https://")) ? 8
                                                          : 0;
    if (scheme == 0)
        return target;
    rest = str_from_index(target, scheme);
    size_t end = 0;

    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    *authority = str_sub(rest, 0, end);
    rest = str_from_index(rest, end);
    return rest.len > 0 && rest.ptr[0] == '/' ? rest : STR("/");
}

/* Browsers may split cookies over several fields in HTTP/2; handlers see one. */
static void join_cookies(struct http_exchange *x)
{
    struct http_header *first = NULL;
    size_t kept = 0;

    for (size_t i = 0; i < x->n_headers; i++) {
        struct http_header h = x->headers[i];

        if (first && str_eq(h.name, STR("cookie"))) {
            first->value = arena_printf(exchange_arena(x), "%.*s; %.*s", STR_ARG(first->value),
                                        STR_ARG(h.value));
            continue;
        }
        x->headers[kept] = h;
        if (str_eq(h.name, STR("cookie")))
            first = &x->headers[kept];
        kept++;
    }
    x->n_headers = kept;
}

static void build_headers(struct http_exchange *x)
{
    if (x->n_headers > 0)
        x->headers = mem_alloc_array(x->n_headers, sizeof(*x->headers));
    for (size_t i = 0; i < x->n_headers; i++) {
        x->headers[i].name = exchange_text(x, x->header_spans[i].name);
        x->headers[i].value = exchange_text(x, x->header_spans[i].value);
    }
    join_cookies(x);
}

static size_t body_limit(const struct http_exchange *x)
{
    const struct http_server *server = x->conn->server;
    size_t limit = x->route->max_body ? x->route->max_body : HTTP_BODY_DEFAULT;

    if (limit == HTTP_BODY_STREAMED)
        limit = HTTP_BODY_DEFAULT;
    if (!server->body_limit)
        return limit;
    return MIN(limit, server->body_limit(server->options.user, &x->req, x->route));
}

static void find_route(struct http_exchange *x)
{
    switch (router_find(x->conn->server->router, x->req.method, x->req.path, &x->route)) {
    case ROUTER_FOUND:
        x->body.limit = body_limit(x);
        x->is_streamed = x->req.version == 2 && x->route->max_body == HTTP_BODY_STREAMED;
        break;
    case ROUTER_NO_PATH:
        x->refusal = 404;
        break;
    case ROUTER_NO_METHOD:
        x->refusal = 405;
        break;
    }
}

void exchange_begin(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    struct str target = exchange_text(x, x->target);
    struct str authority = exchange_text(x, x->authority);

    build_headers(x);
    x->req = (struct http_request){
        .method = exchange_text(x, x->method),
        .headers = x->headers,
        .n_headers = x->n_headers,
        .version = c->kind == CONN_HTTP2 ? 2 : 1,
        .is_tls = c->is_tls,
        .is_unix = c->is_unix,
        .peer = c->peer,
        .conn_user = c->user,
        .loop = c->loop,
    };
    if (c->server->options.n_proxies > 0)
        x->req.peer = http_forwarded_peer(&x->req, c->peer, c->server->options.proxies,
                                          c->server->options.n_proxies);
    if (authority.len == 0)
        authority = http_header_get(&x->req, STR("host"));
    target = strip_absolute(target, &authority);
    (void)str_split(target, '?', &x->req.path, &x->req.query);
    x->req.authority = authority;
    x->is_head = str_eq(x->req.method, STR("HEAD"));
    if (!x->refusal && (x->req.path.len == 0 || x->req.path.ptr[0] != '/') &&
        !str_eq(x->req.path, STR("*")))
        x->refusal = 400;
    if (!x->refusal)
        find_route(x);
    http_observe_begin(x);
}

/* Who sends JSON is answered in JSON, as RFC 9457 has it; `message` is for consoles. */
static void respond_problem(struct http_exchange *x, int status)
{
    const char *title = http_status_text(status);
    struct buf body = BUF(512);

    buf_printf(&body, "{\"title\":\"%s\",\"status\":%d,\"message\":\"%s\"}\n", title, status,
               title);
    http_respond(x, status, "application/problem+json", buf_str(&body));
    buf_fini(&body);
}

/* gRPC's clients look at its own status only, which comes with 200. 0: it has no word for it. */
static int grpc_status_of(const struct http_exchange *x)
{
    if (!str_starts(http_header_get(&x->req, STR("content-type")), STR("application/grpc")))
        return 0;
    if (x->refusal == 413 || x->refusal == 431)
        return 8;                     /* RESOURCE_EXHAUSTED */
    return x->refusal == 408 ? 4 : 0; /* DEADLINE_EXCEEDED */
}

static void answer_refusal(struct http_exchange *x)
{
    int grpc_status = grpc_status_of(x);

    metric_add(&refused_total, 1);
    if (grpc_status != 0) {
        http_add_header(x, STR("grpc-status"), grpc_status == 8 ? STR("8") : STR("4"));
        http_add_header(x, STR("grpc-message"), str_from(http_status_text(x->refusal)));
        http_respond(x, 200, "application/grpc", STR_NONE);
        return;
    }
    if (x->refusal == 404) {
        http_respond_text(x, 404, "404 page not found");
        return;
    }
    if (x->refusal == 405) {
        struct buf allow = BUF(4096);

        router_put_allow(x->conn->server->router, x->req.path, &allow);
        http_add_header(x, STR("allow"), buf_str(&allow));
        buf_fini(&allow);
    }
    if (str_starts(http_header_get(&x->req, STR("content-type")), STR("application/json")))
        respond_problem(x, x->refusal);
    else
        http_respond_text(x, x->refusal, http_status_text(x->refusal));
}

void exchange_dispatch(struct http_exchange *x)
{
    list_remove(&x->receiving_link);
    if (x->over || x->answer != ANSWER_NONE)
        return;
    if (x->refusal) {
        answer_refusal(x);
        return;
    }
    x->req.body = buf_str(&x->body);
    x->req.route = x->route;
    if (str_find_char(str_from(x->route->pattern), '{') >= 0 ||
        str_ends(str_from(x->route->pattern), STR("/*")))
        x->req.n_params = router_params(x->route, x->req.path, exchange_arena(x), &x->req.params);
    x->route->handler(x->conn->server->options.user, x, &x->req);
}

/* ---- Reading the request ---- */

struct str http_header_get(const struct http_request *req, struct str name)
{
    for (size_t i = 0; i < req->n_headers; i++)
        if (str_eq(req->headers[i].name, name))
            return req->headers[i].value;
    return STR_NONE;
}

struct str http_param_get(const struct http_request *req, struct str name)
{
    for (size_t i = 0; i < req->n_params; i++)
        if (str_eq(req->params[i].name, name))
            return req->params[i].value;
    return STR_NONE;
}

bool http_query_get(struct http_exchange *x, struct str name, struct str *value)
{
    struct str rest = x->req.query, pair = STR_NONE;

    while (str_next(&rest, '&', &pair)) {
        struct str key = STR_NONE, val = STR_NONE;

        (void)str_split(pair, '=', &key, &val);
        if (str_eq(percent_decode(exchange_arena(x), key, true), name)) {
            *value = percent_decode(exchange_arena(x), val, true);
            return true;
        }
    }
    return false;
}

bool http_query_next(struct http_exchange *x, struct str *rest, struct str *name, struct str *value)
{
    struct str pair = STR_NONE, key = STR_NONE, val = STR_NONE;

    if (!str_next(rest, '&', &pair))
        return false;
    (void)str_split(pair, '=', &key, &val);
    *name = percent_decode(exchange_arena(x), key, true);
    *value = percent_decode(exchange_arena(x), val, true);
    return true;
}

/* ---- Answering ---- */

size_t exchange_out_len(const struct http_exchange *x)
{
    return x->out.len - x->out_at + x->lent.len;
}

struct str exchange_out(const struct http_exchange *x)
{
    return x->out_at < x->out.len ? str_from_index(buf_str(&x->out), x->out_at) : x->lent;
}

static bool is_h2(const struct http_exchange *x)
{
    return x->conn->kind == CONN_HTTP2;
}

static size_t exchange_room(const struct http_exchange *x)
{
    const struct http_conn *c = x->conn;
    size_t queued = c->stream ? stream_pending(c->stream) : HTTP_HIGH_WATER;

    if (is_h2(x))
        queued += http2_gathered(c);
    return exchange_out_len(x) > 0 || queued >= HTTP_HIGH_WATER ? 0 : HTTP_HIGH_WATER - queued;
}

void exchange_has_room(struct http_exchange *x)
{
    if (!x->starved || exchange_room(x) == 0)
        return;
    x->starved = false;
    if (x->answer != ANSWER_OPEN || x->over)
        return;
    list_remove(&x->writable_link);
    list_push_back(&x->conn->writable, &x->writable_link);
    conn_wake(x->conn);
}

/*
 * The front moves; the bytes only when half of the buffer is behind it, so draining is linear. An
 * answer that waits for nothing holds no memory.
 */
void exchange_out_drop(struct http_exchange *x, size_t n)
{
    x->conn->stalled_ms = 0;
    if (x->out_at == x->out.len) {
        x->lent = str_from_index(x->lent, n);
        return;
    }
    x->out_at += n;
    ASSERT(x->out_at <= x->out.len);
    if (x->out_at == x->out.len) {
        size_t limit = x->out.limit;

        buf_fini(&x->out);
        x->out = BUF(limit);
        x->out_at = 0;
        exchange_has_room(x);
    } else if (x->out_at > x->out.len / 2) {
        buf_drop(&x->out, x->out_at);
        x->out_at = 0;
    }
}

static bool header_was_added(const struct http_exchange *x, struct str name)
{
    for (size_t i = 0; i < x->n_added; i++)
        if (str_eq(x->added[i].name, name))
            return true;
    return false;
}

void exchange_each_header(const struct http_exchange *x, const char *content_type,
                          int64_t content_length,
                          void (*put)(void *to, struct str name, struct str value), void *to)
{
    const struct http_server_options *o = &x->conn->server->options;
    char number[24];

    for (size_t i = 0; i < o->n_headers; i++)
        if (!header_was_added(x, o->headers[i].name))
            put(to, o->headers[i].name, o->headers[i].value);
    if (content_type)
        put(to, STR("content-type"), str_from(content_type));
    if (content_length >= 0) {
        int n = snprintf(number, sizeof(number), "%lld", (long long)content_length);

        put(to, STR("content-length"), (struct str){number, (size_t)n});
    }
    for (size_t i = 0; i < x->n_added; i++)
        put(to, x->added[i].name, x->added[i].value);
}

static bool can_answer(const struct http_exchange *x, enum answer_state want)
{
    return !x->over && !x->aborted && x->answer == want && x->conn->stream != NULL &&
           !x->conn->closing;
}

static void answer_start(struct http_exchange *x, int status, const char *content_type,
                         int64_t length)
{
    x->answer = ANSWER_OPEN;
    x->status = status;
    x->no_body = x->is_head || status == 204 || status == 304;
    if (is_h2(x))
        http2_answer_start(x, content_type, length);
    else
        http1_answer_start(x, content_type, length);
}

static void answer_data(struct http_exchange *x, struct str data)
{
    if (x->no_body || data.len == 0)
        return;
    if (is_h2(x))
        http2_answer_data(x, data);
    else
        http1_answer_data(x, data);
}

static void answer_end(struct http_exchange *x)
{
    x->answer = ANSWER_ENDED;
    if (is_h2(x))
        http2_answer_end(x);
    else
        http1_answer_end(x);
}

/* Inside a callback of nghttp2's nothing happens; settling comes after it. */
static void answer_flush(struct http_exchange *x)
{
    if (is_h2(x))
        http2_pump(x->conn);
}

void http_on_end(struct http_exchange *x, void (*fn)(void *user, bool aborted), void *user)
{
    x->on_end = fn;
    x->on_end_user = user;
}

void http_on_body(struct http_exchange *x, void (*fn)(void *user, struct str data, bool is_end),
                  void *user)
{
    x->on_body = fn;
    x->on_body_user = user;
}

/* A value that came from outside must not end the header line. */
static struct str copy_clean(struct arena *a, struct str s)
{
    char *to = arena_alloc(a, s.len + 1);

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        to[i] = c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
    }
    return str_trim((struct str){to, s.len});
}

static void add_field(struct arena *a, struct http_header **fields, size_t *n, size_t *cap,
                      struct http_header field)
{
    if (*n == *cap) {
        size_t more = *cap ? *cap * 2 : 8;
        struct http_header *grown = arena_alloc(a, more * sizeof(*grown));

        for (size_t i = 0; i < *n; i++)
            grown[i] = (*fields)[i];
        *fields = grown;
        *cap = more;
    }
    (*fields)[(*n)++] = (struct http_header){copy_clean(a, field.name), copy_clean(a, field.value)};
}

void http_add_header(struct http_exchange *x, struct str name, struct str value)
{
    if (x->answer == ANSWER_NONE)
        add_field(exchange_arena(x), &x->added, &x->n_added, &x->added_cap,
                  (struct http_header){name, value});
}

void http_add_trailer(struct http_exchange *x, struct str name, struct str value)
{
    if (is_h2(x) && x->answer != ANSWER_ENDED)
        add_field(exchange_arena(x), &x->trailers, &x->n_trailers, &x->trailers_cap,
                  (struct http_header){name, value});
}

void http_stand_between(struct http_exchange *x, const struct http_request *req,
                        const struct http_between *events, void *user)
{
    x->req = *req;
    x->between = events;
    x->between_user = user;
}

static void answer_between(struct http_exchange *x, int status, struct str body)
{
    if (x->between_answered || !can_answer(x, ANSWER_NONE))
        return;
    x->between_answered = true;
    x->between->answer(x->between_user, status, body);
}

void http_respond(struct http_exchange *x, int status, const char *content_type, struct str body)
{
    if (x->between) {
        answer_between(x, status, body);
        return;
    }
    if (!can_answer(x, ANSWER_NONE)) {
        if (x->answer != ANSWER_NONE && !x->over && !x->aborted)
            log_event(LOG_ERROR, "a request was answered twice", LOG_STR("path", x->req.path));
        return;
    }
    x->out.limit = MAX(x->out.limit, body.len + 4096);
    answer_start(x, status, content_type, (int64_t)body.len);
    answer_data(x, body);
    answer_end(x);
    answer_flush(x);
}

void http_respond_text(struct http_exchange *x, int status, const char *text)
{
    struct buf body = BUF((size_t)1 << 20);

    buf_put(&body, str_sub(str_from(text), 0, ((size_t)1 << 20) - 1));
    buf_put_char(&body, '\n');
    http_respond(x, status, "text/plain; charset=utf-8", buf_str(&body));
    buf_fini(&body);
}

void http_stream_start(struct http_exchange *x, int status, const char *content_type)
{
    if (!can_answer(x, ANSWER_NONE))
        return;
    answer_start(x, status, content_type, -1);
    answer_flush(x);
}

/* What goes out at once is never copied. */
static void stream_lend(struct http_exchange *x, struct str data)
{
    if (http2_write_past(x, data))
        return;
    x->lent = data;
    http2_answer_lent(x);
    data = x->lent;
    x->lent = STR_NONE;
    buf_put(&x->out, data);
}

void http_stream_write(struct http_exchange *x, struct str data)
{
    if (!can_answer(x, ANSWER_OPEN) || data.len == 0 || x->no_body)
        return;
    if (is_h2(x))
        stream_lend(x, data);
    else
        answer_data(x, data);
    if (buf_is_full(&x->out)) {
        log_event(LOG_WARN, "a streamed answer outgrew its queue; it was cut off",
                  LOG_STR("path", x->req.path));
        http_abort(x);
        return;
    }
    (void)http_stream_room(x);
}

size_t http_stream_room(struct http_exchange *x)
{
    size_t room = exchange_room(x);

    x->starved = x->starved || room == 0;
    return room;
}

void http_stream_flush(struct http_exchange *x)
{
    struct http_conn *c = x->conn;

    if (!can_answer(x, ANSWER_OPEN) || !is_h2(x) || c->depth > 0 || !stream_flush(c->stream))
        return;
    /* What conn_on_writable does, which does not come now. */
    c->stalled_ms = 0;
    if (http2_is_held(c))
        conn_wake(c);
    LIST_FOR_EACH(other, &c->live, struct http_exchange, conn_link)
        exchange_has_room(other);
}

size_t http_stream_pending(const struct http_exchange *x)
{
    return exchange_out_len(x);
}

void http_stream_on_writable(struct http_exchange *x, void (*fn)(void *user), void *user)
{
    x->on_writable = fn;
    x->on_writable_user = user;
}

void http_stream_end(struct http_exchange *x)
{
    if (!can_answer(x, ANSWER_OPEN))
        return;
    answer_end(x);
    answer_flush(x);
}

void http_abort(struct http_exchange *x)
{
    if (x->over || x->aborted)
        return;
    x->aborted = true;
    x->answer = ANSWER_ENDED;
    if (x->conn->stream == NULL)
        return;
    if (is_h2(x))
        http2_abort(x);
    else
        http1_abort(x);
    answer_flush(x);
}

struct stream *http_upgrade(struct http_exchange *x, const char *upgrade, bool silent)
{
    if (!can_answer(x, ANSWER_NONE) || x->conn->kind != CONN_HTTP1 || x->minor != 1 ||
        x->conn->closing)
        return NULL;
    return http1_upgrade(x, upgrade, silent);
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].status == status)
            return table[i].text;
    return "Status";
}
