/*
 * HTTP/2 client on a loop, over any stream: simulated nodes speak through it inside Noise.
 *
 *   request --> nghttp2 --> stream       on_headers, on_data as they come, on_end last
 *
 * Invariants
 *   1. Callbacks run only under a callback of the loop (depth > 0): a request that fails at once,
 * or is cancelled, ends through `later`.
 *   2. A request is in `open` until its h2 stream is gone, then in `ended` until on_end was called.
 *   3. The client is freed in leave() only: stream gone, no request, `later` not posted.
 */

#include <nghttp2/nghttp2.h>

#include "core/log.h"
#include "http/client.h"
#include "http/http_internal.h"

#define STREAM_WINDOW (4 << 20) /* what the official clients announce */
#define CONN_WINDOW (1 << 30)

struct h2_request {
    struct h2_client *client;
    struct list_node link; /* open or ended */
    struct h2_request_events events;
    void *user;
    int32_t stream_id; /* 0: never submitted */
    struct str body;   /* owned */
    size_t body_at;
    int status;
    bool has_headers;
    bool is_complete; /* END_STREAM was received */
    bool is_cancelled;
    bool has_error;
    struct err err;
};

struct h2_client {
    struct stream *stream; /* NULL once gone */
    struct loop *loop;
    nghttp2_session *session;
    void (*on_close)(void *user);
    void *user;
    struct list open;
    struct list ended;
    unsigned depth;
    bool in_session;
    bool closing;
    struct loop_message later;
    bool later_posted;
};

/* ---- Ends ---- */

static void wake(struct h2_client *c)
{
    if (c->depth > 0 || c->later_posted)
        return;
    c->later_posted = true;
    loop_post(c->loop, &c->later);
}

static void request_over(struct h2_request *r, const struct err *why)
{
    if (why && !r->has_error) {
        r->has_error = true;
        r->err = *why;
    }
    list_remove(&r->link);
    list_push_back(&r->client->ended, &r->link);
    wake(r->client);
}

static void request_end(struct h2_request *r)
{
    if (r->events.on_end)
        r->events.on_end(r->user, r->has_error ? &r->err : NULL);
    str_free(&r->body);
    mem_free(r);
}

static void pump(struct h2_client *c)
{
    if (c->in_session || c->closing || !c->stream)
        return;
    c->in_session = true;
    int got = nghttp2_session_send(c->session);

    c->in_session = false;
    if (c->closing || !c->stream)
        return;
    if (got != 0 ||
        (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))) {
        c->closing = true;
        stream_close(c->stream);
    }
}

static void leave(struct h2_client *c)
{
    if (c->depth == 1) {
        pump(c);
        for (struct list_node *n; (n = list_pop_front(&c->ended)) != NULL; pump(c))
            request_end(CONTAINER_OF(n, struct h2_request, link));
    }
    c->depth--;
    if (c->depth > 0 || c->stream || c->later_posted)
        return;
    nghttp2_session_del(c->session);
    if (c->on_close)
        c->on_close(c->user);
    mem_free(c);
}

static void run_later(struct loop_message *msg)
{
    struct h2_client *c = CONTAINER_OF(msg, struct h2_client, later);

    c->later_posted = false;
    c->depth++;
    leave(c);
}

/* ---- nghttp2's callbacks ---- */

static struct h2_request *request_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags,
                       void *user)
{
    struct h2_client *c = user;

    (void)session;
    (void)flags;
    if (stream_pending(c->stream) >= HTTP_HIGH_WATER)
        return NGHTTP2_ERR_WOULDBLOCK;
    stream_write(c->stream, str_bytes(data, len));
    return (ssize_t)len;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_request *r = source->ptr;
    struct str part = str_sub(r->body, r->body_at, length);

    (void)session;
    (void)stream_id;
    (void)user;
    if (part.len > 0)
        memcpy(buf, part.ptr, part.len);
    r->body_at += part.len;
    if (r->body_at == r->body.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)part.len;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct h2_request *r = request_of(session, frame->hd.stream_id);
    uint64_t status = 0;

    (void)flags;
    (void)user;
    if (r && str_eq(str_bytes(name, name_len), STR(":status")) &&
        str_parse_u64(str_bytes(value, value_len), &status) && status < 1000)
        r->status = (int)status;
    return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_request *r = request_of(session, frame->hd.stream_id);

    (void)user;
    if (!r || r->is_cancelled)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !r->has_headers && r->status >= 200) {
        r->has_headers = true;
        if (r->events.on_headers)
            r->events.on_headers(r->user, r->status);
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        r->is_complete = true;
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t len, void *user)
{
    struct h2_request *r = request_of(session, stream_id);

    (void)flags;
    (void)user;
    if (r && !r->is_cancelled && r->events.on_data)
        r->events.on_data(r->user, str_bytes(data, len));
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error, void *user)
{
    struct h2_request *r = request_of(session, stream_id);
    struct err err;

    (void)user;
    if (!r)
        return 0;
    (void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    if (r->is_complete && !r->is_cancelled) {
        request_over(r, NULL);
        return 0;
    }
    kept(err_set(&err, ERR_IO, "request %s: %s", r->is_cancelled ? "cancelled" : "ended early",
                 nghttp2_http2_strerror(error)));
    request_over(r, &err);
    return 0;
}

/* A request that nghttp2 queued but could not send (GOAWAY came first). */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
    struct h2_client *c = user;
    struct err err;

    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    /* There is no h2 stream yet that could lead to the request. */
    LIST_FOR_EACH(r, &c->open, struct h2_request, link) {
        if (r->stream_id == frame->hd.stream_id) {
            kept(err_set(&err, ERR_IO, "request not sent: %s", nghttp2_strerror(error)));
            request_over(r, &err);
        }
    }
    return 0;
}

/* ---- Events of the stream ---- */

static void on_data(void *user, struct str data)
{
    struct h2_client *c = user;

    c->depth++;
    if (!c->closing) {
        c->in_session = true;
        ssize_t got = nghttp2_session_mem_recv(c->session, (const uint8_t *)data.ptr, data.len);

        c->in_session = false;
        if (got < 0 && !c->closing) {
            log_event(LOG_DEBUG, "HTTP/2 server is broken",
                      LOG_TXT("error", nghttp2_strerror((int)got)));
            c->closing = true;
            stream_abort(c->stream);
        }
    }
    leave(c);
}

static void on_writable(void *user)
{
    struct h2_client *c = user;

    c->depth++;
    leave(c);
}

static void on_close(void *user, const struct err *why)
{
    struct h2_client *c = user;
    struct err err;

    c->depth++;
    c->stream = NULL;
    c->closing = true;
    kept(err_set(&err, ERR_IO, "connection closed%s%s", why ? ": " : "", why ? why->text : ""));
    while (!list_is_empty(&c->open))
        request_over(CONTAINER_OF(list_first(&c->open), struct h2_request, link), &err);
    leave(c);
}

/* ---- Interface ---- */

static nghttp2_session *session_new(struct h2_client *c)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;

    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option_set_no_closed_streams(option, 1);
    if (nghttp2_session_client_new2(&session, callbacks, c, option) != 0)
        abort();
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

struct h2_client *h2_client_new(struct stream *stream, void (*closed)(void *user), void *user)
{
    static const struct stream_events events = {
        .on_data = on_data,
        .on_writable = on_writable,
        .on_close = on_close,
    };
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
    };
    struct h2_client *c = NEW(struct h2_client);

    c->stream = stream;
    c->loop = stream_loop(stream);
    c->on_close = closed;
    c->user = user;
    c->later.run = run_later;
    list_init(&c->open);
    list_init(&c->ended);
    c->session = session_new(c);
    stream_set_events(stream, &events, c);
    if (nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) !=
            0 ||
        nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW) != 0)
        abort();
    pump(c);
    return c;
}

void h2_client_set_window(struct h2_client *c, uint32_t bytes)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, bytes}};

    if (!c->closing &&
        nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0)
        pump(c);
}

void h2_client_read(struct h2_client *c, bool on)
{
    if (c->closing)
        return;
    if (on)
        stream_read_start(c->stream);
    else
        stream_read_stop(c->stream);
}

static uint8_t *bytes_of(struct str s)
{
    union {
        const char *in;
        uint8_t *out;
    } cast = {.in = s.ptr};

    return cast.out; /* nghttp2's type lacks the const; it only reads, and copies */
}

static nghttp2_nv nv(struct str name, struct str value)
{
    return (nghttp2_nv){bytes_of(name), bytes_of(value), name.len, value.len, 0};
}

static int32_t submit(struct h2_request *r, const char *method, struct str path,
                      struct str authority)
{
    char length[24];
    int n = snprintf(length, sizeof(length), "%zu", r->body.len);
    const nghttp2_nv headers[] = {
        nv(STR(":method"), str_from(method)),
        nv(STR(":scheme"), STR("https")),
        nv(STR(":authority"), authority),
        nv(STR(":path"), path),
        nv(STR("user-agent"), STR("hatsize/" HATSIZE_VERSION)),
        nv(STR("content-length"), (struct str){length, (size_t)n}),
    };
    const nghttp2_data_provider provider = {.source.ptr = r, .read_callback = read_body};
    bool has_body = r->body.len > 0;

    return nghttp2_submit_request(r->client->session, NULL, headers, ARRAY_LEN(headers) - !has_body,
                                  has_body ? &provider : NULL, r);
}

struct h2_request *h2_client_request(struct h2_client *c, const char *method, struct str path,
                                     struct str authority, struct str body,
                                     const struct h2_request_events *events, void *user)
{
    struct h2_request *r = NEW(struct h2_request);
    struct err err;

    r->client = c;
    r->events = *events;
    r->user = user;
    r->body = str_copy(body);
    list_node_init(&r->link);
    list_push_back(&c->open, &r->link);
    if (c->closing) {
        kept(err_set(&err, ERR_IO, "connection is closing"));
        request_over(r, &err);
        return r;
    }
    int32_t id = submit(r, method, path, authority);

    if (id < 0) {
        kept(err_set(&err, ERR_IO, "request refused: %s", nghttp2_strerror(id)));
        request_over(r, &err);
        return r;
    }
    r->stream_id = id;
    if (c->depth == 0)
        pump(c);
    return r;
}

void h2_request_cancel(struct h2_request *r)
{
    struct h2_client *c = r->client;

    if (r->is_cancelled || r->stream_id == 0)
        return;
    r->is_cancelled = true;
    if (c->closing)
        return; /* on_close ends it */
    (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_CANCEL);
    if (c->depth == 0)
        pump(c);
}

void h2_client_close(struct h2_client *c)
{
    if (c->closing)
        return;
    (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
    pump(c);
    if (c->closing)
        return;
    c->closing = true;
    stream_close(c->stream);
}
