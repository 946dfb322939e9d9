/*
 * HTTP/2, both directions, with nghttp2.
 *
 * nghttp2 keeps frames, HPACK and windows; this file keeps exchanges and says no in time.
 *
 *   http2_on_data --> session_mem_recv --> callbacks --> exchange_begin / exchange_dispatch
 *   answers --> exchange's out --> read_answer (as windows allow) --> send_data --> stream
 *
 * Invariants
 *   1. Frames are made only while the stream holds less than HTTP_HIGH_WATER: an answer waits in
 * its exchange, where http_stream_pending() sees it, and nowhere else.
 *   2. session_send runs from http2_pump() and settle() only, never inside a callback of the
 * session.
 *   3. An exchange whose h2 stream is gone (is_closed) is over at once.
 *   4. While there is debt, nghttp2 has nothing to send; it is settled before nghttp2 hears of
 * anything else. So its windows are the peer's whenever it looks at them.
 *
 * The short way: an exchange that writes a small message now and then, when nothing waits, has its
 * DATA frame made here (http2_write_past), which costs a tenth of nghttp2's way. What was sent so
 * is a debt to nghttp2's windows, within what they were when last looked at (`lease`). It is
 * settled by DATA frames that nghttp2 sends and nobody writes.
 *
 * Floods: streams are capped by SETTINGS and by the exchanges alive; resets by nghttp2's bucket;
 * frames that cost the peer nothing (PING, SETTINGS, PRIORITY, empty DATA, WINDOW_UPDATE, what is
 * invalid) by a bucket of our own, which answering refills, so that fast readers never meet it.
 * Frames of unknown types are skipped, and do not keep an idle connection alive.
 */

#include <nghttp2/nghttp2.h>

#include "core/log.h"
#include "core/metric.h"
#include "http/http2_memory.h"
#include "http/http_internal.h"

#define WINDOW (1 << 20)
#define CHEAP_FRAMES 1000    /* the bucket */
#define CHEAP_PER_SECOND 100 /* refilled by time */
#define CHEAP_PER_DATA 4     /* refilled by each DATA frame of ours */
#define FRAME_HEADER 9
#define PAST_MAX ((size_t)4 << 10) /* bytes of a message that may go past nghttp2 */
#define LEASE_MAX (64 << 10)

static struct metric floods_total =
    METRIC_COUNTER("hatsize_http2_floods_total", "HTTP/2 connections closed for flooding.");

struct http2 {
    struct http_conn *conn;
    nghttp2_session *session;
    struct http2_memory memory; /* the session's */
    struct list receiving;      /* exchanges whose body is coming, oldest first */
    struct buf gathered;        /* while it is pumped: what the stream is given in one go */
    bool in_session;            /* nghttp2 is on the stack */
    bool broken;
    bool saying_goodbye;
    struct http_exchange *heading; /* its header block is being received, else NULL */
    int64_t greeting_due_ms;       /* NEVER once the first frame was there */
    int64_t idle_since_ms;
    int64_t credit; /* cheap frames left */
    int64_t credit_ms;
    bool is_held; /* nghttp2 could not send all: the stream was full */
    /* Written past nghttp2: */
    bool is_settling;
    struct http_exchange
        *debtor;  /* whose frames; NULL: nobody's, there is neither debt nor lease */
    size_t debt;  /* bytes that nghttp2 does not know of yet */
    size_t lease; /* bytes of debt that there may be */
};

/* ---- Sending ---- */

/* Below may be a cipher that makes a record of each write; a message is one record then, not two.
 */
static bool gather(struct http2 *h, struct str bytes)
{
    if (h->gathered.cap == 0) {
        h->gathered = BUF(4 * HTTP_HIGH_WATER);
        loop_buf_take(h->conn->loop, &h->gathered);
    }
    buf_put(&h->gathered, bytes);
    return !buf_is_full(&h->gathered);
}

static bool is_at_high_water(const struct http2 *h)
{
    return stream_pending(h->conn->stream) + h->gathered.len >= HTTP_HIGH_WATER;
}

size_t http2_gathered(const struct http_conn *c)
{
    return c->h2->gathered.len;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags,
                       void *user)
{
    struct http2 *h = user;

    (void)session;
    (void)flags;
    if (h->conn->closing)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (is_at_high_water(h)) {
        h->is_held = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    return gather(h, str_bytes(data, len)) ? (ssize_t)len : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int submit_trailers(struct http2 *h, const struct http_exchange *x);

static ssize_t read_answer(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    const struct http2 *h = user;
    struct http_exchange *x = source->ptr;
    size_t n = MIN(length, exchange_out(x).len);

    (void)session;
    (void)stream_id;
    (void)buf;
    if (h->is_settling && h->debt > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        return (ssize_t)MIN(length, h->debt);
    }
    if (h->is_settling)
        n = 0;
    if (n == exchange_out_len(x) && x->answer == ANSWER_ENDED && !h->is_settling) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (x->n_trailers > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (submit_trailers(user, x) != 0)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    if (n > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    } else if (x->answer != ANSWER_ENDED || h->is_settling) {
        x->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                        size_t length, nghttp2_data_source *source, void *user)
{
    struct http2 *h = user;
    struct http_exchange *x = source->ptr;

    (void)session;
    (void)frame;
    if (h->is_settling) {
        h->debt -= length;
        return 0;
    }
    if (h->conn->closing)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (is_at_high_water(h)) {
        h->is_held = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    if (!gather(h, str_bytes(header, 9)) || !gather(h, str_sub(exchange_out(x), 0, length)))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    exchange_out_drop(x, length);
    h->credit = MIN(h->credit + CHEAP_PER_DATA, (int64_t)CHEAP_FRAMES);
    return 0;
}

/* An answer given before the request was complete: the rest of the request is not wanted. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_exchange *x = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    bool is_message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;

    (void)user;
    if (x && is_message && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && !x->received)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_NO_ERROR);
    return 0;
}

static void fail(struct http2 *h)
{
    h->broken = true;
    conn_abort(h->conn);
}

static void resume(struct http_exchange *x)
{
    if (!x->is_deferred || x->is_closed)
        return;
    x->is_deferred = false;
    (void)nghttp2_session_resume_data(x->conn->h2->session, x->stream_id);
}

/* Before nghttp2 hears of anything: it does not write anything now. */
static void settle(struct http2 *h)
{
    struct http_exchange *x = TAKE(h->debtor);

    h->lease = 0;
    if (h->debt == 0)
        return;
    if (h->broken || h->conn->closing) {
        h->debt = 0;
        return;
    }
    ASSERT(x->is_deferred && !h->in_session);
    resume(x);
    h->in_session = h->is_settling = true;
    int got = nghttp2_session_send(h->session);

    h->in_session = h->is_settling = false;
    if (got != 0 || h->debt > 0)
        fail(h);
    h->debt = 0;
}

static void write_gathered(struct http2 *h)
{
    struct buf gathered = h->gathered;

    h->gathered = (struct buf){0};
    if (!h->conn->closing)
        stream_write(h->conn->stream, buf_str(&gathered));
    loop_buf_give(h->conn->loop, &gathered);
    buf_fini(&gathered);
}

void http2_pump(struct http_conn *c)
{
    struct http2 *h = c->h2;

    if (h->in_session || h->broken || c->closing)
        return;
    settle(h);
    h->is_held = false;
    h->in_session = true;
    int got = nghttp2_session_send(h->session);

    h->in_session = false;
    write_gathered(h);
    if (c->closing)
        return;
    if (got != 0) {
        fail(h);
        return;
    }
    if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session))
        conn_close(c);
}

/* ---- Past nghttp2 ---- */

bool http2_is_held(const struct http_conn *c)
{
    return c->h2->is_held;
}

/* Nothing is owed now, so nghttp2's windows are true. */
static void borrow(struct http2 *h, struct http_exchange *x)
{
    int32_t of_conn = nghttp2_session_get_remote_window_size(h->session);
    int32_t of_stream = nghttp2_session_get_stream_remote_window_size(h->session, x->stream_id);
    int32_t least = MIN(MIN(of_conn, of_stream), LEASE_MAX);

    if (least <= 0 || nghttp2_session_want_write(h->session))
        return;
    h->debtor = x;
    h->lease = (size_t)least;
}

static bool has_lease(struct http2 *h, struct http_exchange *x, size_t n)
{
    if (h->debtor == x && h->lease - h->debt >= n)
        return true;
    settle(h);
    if (!h->broken)
        borrow(h, x);
    return h->lease >= n;
}

bool http2_write_past(struct http_exchange *x, struct str data)
{
    struct http2 *h = x->conn->h2;

    if (data.len > PAST_MAX || !x->is_deferred || h->in_session || h->broken || h->is_held ||
        exchange_out_len(x) > 0 || is_at_high_water(h) || !has_lease(h, x, data.len))
        return false;
    h->gathered = BUF(FRAME_HEADER + PAST_MAX);
    loop_buf_take(x->conn->loop, &h->gathered);
    buf_put_be32(&h->gathered, (uint32_t)data.len << 8 | NGHTTP2_DATA);
    buf_put_char(&h->gathered, NGHTTP2_FLAG_NONE);
    buf_put_be32(&h->gathered, (uint32_t)x->stream_id);
    buf_put(&h->gathered, data);
    write_gathered(h);
    h->debt += data.len;
    h->credit = MIN(h->credit + CHEAP_PER_DATA, (int64_t)CHEAP_FRAMES);
    x->conn->stalled_ms = 0;
    return true;
}

/* ---- Floods ---- */

static int spend_credit(struct http2 *h)
{
    int64_t now = loop_now_ms(h->conn->loop);
    int64_t earned = (now - h->credit_ms) * CHEAP_PER_SECOND / 1000;

    if (earned > 0) {
        h->credit = MIN(h->credit + earned, (int64_t)CHEAP_FRAMES);
        h->credit_ms = now;
    }
    if (h->credit > 0) {
        h->credit--;
        return 0;
    }
    if (!h->saying_goodbye) {
        h->saying_goodbye = true;
        metric_add(&floods_total, 1);
        (void)nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user)
{
    (void)session;
    (void)frame;
    (void)error;
    return spend_credit(user);
}

/* ---- Receiving ---- */

static struct http_exchange *exchange_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static bool is_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2 *h = user;
    struct http_conn *c = h->conn;

    if (!is_request(frame))
        return 0;
    if (c->n_exchanges >= c->server->options.max_streams || h->saying_goodbye) {
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_REFUSED_STREAM);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    struct http_exchange *x = exchange_new(c);

    x->stream_id = frame->hd.stream_id;
    x->minor = 1;
    x->body_due_ms = loop_now_ms(c->loop) + c->server->options.header_ms;
    h->heading = x;
    if (nghttp2_session_set_stream_user_data(session, x->stream_id, x) != 0) {
        h->heading = NULL;
        exchange_over(x, true);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
}

static bool keep_header(struct http_exchange *x, struct str name, struct str value)
{
    if (str_eq(name, STR(":method")))
        return exchange_put_head(x, value, &x->method);
    if (str_eq(name, STR(":path")))
        return exchange_put_head(x, value, &x->target);
    if (str_eq(name, STR(":authority")))
        return exchange_put_head(x, value, &x->authority);
    if (str_starts(name, STR(":")))
        return true;
    struct header_span *span = exchange_add_header_span(x);

    return span && exchange_put_head(x, name, &span->name) &&
           exchange_put_head(x, value, &span->value);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct http_exchange *x = exchange_of(session, frame->hd.stream_id);

    (void)flags;
    (void)user;
    if (!is_request(frame) || !x || x->refusal)
        return 0;
    if (!keep_header(x, str_bytes(name, name_len), str_bytes(value, value_len)))
        x->refusal = 431;
    return 0;
}

static void on_request(struct http2 *h, struct http_exchange *x, bool is_complete)
{
    uint64_t length = 0;

    h->heading = NULL;
    exchange_begin(x);
    x->received = is_complete;
    if (!is_complete && !x->refusal &&
        str_parse_u64(http_header_get(&x->req, STR("content-length")), &length) &&
        length > x->body.limit && !x->is_streamed)
        x->refusal = 413;
    if (is_complete || x->refusal) {
        exchange_dispatch(x);
        if (x->is_streamed && x->on_body)
            x->on_body(x->on_body_user, STR_NONE, true);
        return;
    }
    x->body_due_ms = loop_now_ms(h->conn->loop) + h->conn->server->options.body_ms;
    if (x->is_streamed)
        exchange_dispatch(x);
    list_push_back(&h->receiving, &x->receiving_link);
    if (str_eq_nocase(http_header_get(&x->req, STR("expect")), STR("100-continue"))) {
        uint8_t name[] = ":status", value[] = "100";
        const nghttp2_nv nv = {name, value, sizeof(name) - 1, sizeof(value) - 1, 0};

        (void)nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, x->stream_id, NULL, &nv, 1,
                                     NULL);
    }
}

static void on_complete(struct http_exchange *x)
{
    if (x->received)
        return;
    x->received = true;
    if (!x->is_streamed) {
        exchange_dispatch(x);
        return;
    }
    list_remove(&x->receiving_link);
    if (x->on_body)
        x->on_body(x->on_body_user, STR_NONE, true);
}

/* Every frame of a type that HTTP/2 knows passes here first. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    (void)session;
    if (hd->type == NGHTTP2_HEADERS)
        return 0;
    if (hd->type == NGHTTP2_DATA && (hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM)))
        return 0;
    return spend_credit(user);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2 *h = user;
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    h->greeting_due_ms = HTTP_NEVER;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct http_exchange *x = exchange_of(session, frame->hd.stream_id);

    if (!x || x->over)
        return 0;
    if (is_request(frame))
        on_request(h, x, is_end);
    else if (is_end)
        on_complete(x);
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t len, void *user)
{
    struct http_exchange *x = exchange_of(session, stream_id);

    (void)flags;
    (void)user;
    if (!x || x->over || x->refusal)
        return 0;
    if (x->is_streamed) {
        if (x->on_body)
            x->on_body(x->on_body_user, str_bytes(data, len), false);
        return 0;
    }
    buf_put(&x->body, str_bytes(data, len));
    if (buf_is_full(&x->body)) {
        x->refusal = 413;
        exchange_dispatch(x);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error, void *user)
{
    struct http2 *h = user;
    struct http_exchange *x = exchange_of(session, stream_id);

    (void)error;
    if (!x)
        return 0;
    bool sent = x->answer == ANSWER_ENDED && exchange_out_len(x) == 0;

    (void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    if (h->heading == x)
        h->heading = NULL;
    x->is_closed = true;
    exchange_over(x, !sent || !x->received);
    h->idle_since_ms = loop_now_ms(h->conn->loop);
    return 0;
}

void http2_on_data(struct http_conn *c, struct str data)
{
    struct http2 *h = c->h2;

    settle(h);
    if (h->broken)
        return;
    h->in_session = true;
    ssize_t got = nghttp2_session_mem_recv(h->session, (const uint8_t *)data.ptr, data.len);

    h->in_session = false;
    if (got < 0) {
        /* Bad preface and such: nothing sensible can be said. */
        if (!c->closing)
            fail(h);
    }
}

/* ---- Answers ---- */

struct nv_list {
    nghttp2_nv nv[HTTP_HEADERS_MAX];
    size_t n;
    char status[4];
    struct arena *arena;
};

static uint8_t *text_bytes(struct nv_list *list, struct str s)
{
    struct str copy = arena_copy(list->arena, s);
    union {
        const char *in;
        uint8_t *out;
    } cast = {.in = copy.ptr};

    return cast.out; /* nghttp2's type lacks the const; it only reads */
}

static bool is_connection_header(struct str name)
{
    static const struct str names[] = {STR_INIT("connection"), STR_INIT("upgrade"),
                                       STR_INIT("keep-alive"), STR_INIT("proxy-connection"),
                                       STR_INIT("transfer-encoding")};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

static void put_nv(void *to, struct str name, struct str value)
{
    struct nv_list *list = to;

    if (list->n == ARRAY_LEN(list->nv) || is_connection_header(name))
        return;
    list->nv[list->n++] = (nghttp2_nv){text_bytes(list, name), text_bytes(list, value), name.len,
                                       value.len, NGHTTP2_NV_FLAG_NONE};
}

static int submit_trailers(struct http2 *h, const struct http_exchange *x)
{
    struct nv_list list = {.arena = arena_new()};

    for (size_t i = 0; i < x->n_trailers; i++)
        put_nv(&list, x->trailers[i].name, x->trailers[i].value);
    int got = nghttp2_submit_trailer(h->session, x->stream_id, list.nv, list.n);

    arena_free(list.arena);
    return got;
}

void http2_answer_start(struct http_exchange *x, const char *content_type, int64_t length)
{
    struct http2 *h = x->conn->h2;
    struct nv_list list = {.arena = arena_new()};
    const nghttp2_data_provider provider = {.source.ptr = x, .read_callback = read_answer};
    bool has_body = !x->no_body && length != 0;

    settle(h);
    /* Without this one large answer would go out whole before the next begins. */
    const nghttp2_extpri in_turn = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};

    (void)nghttp2_session_change_extpri_stream_priority(h->session, x->stream_id, &in_turn, 1);
    put_nv(&list, STR(":status"), arena_printf(list.arena, "%d", x->status));
    exchange_each_header(x, content_type, x->status == 204 || x->status == 304 ? -1 : length,
                         put_nv, &list);
    int got = nghttp2_submit_response(h->session, x->stream_id, list.nv, list.n,
                                      has_body ? &provider : NULL);

    arena_free(list.arena);
    if (got != 0) {
        log_event(LOG_WARN, "an answer could not be sent", LOG_TXT("error", nghttp2_strerror(got)));
        x->aborted = true;
        (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, x->stream_id,
                                        NGHTTP2_INTERNAL_ERROR);
    }
}

/* There is more of it. */
static void go_on(struct http_exchange *x)
{
    settle(x->conn->h2);
    resume(x);
}

void http2_answer_data(struct http_exchange *x, struct str data)
{
    buf_put(&x->out, data);
    go_on(x);
}

void http2_answer_lent(struct http_exchange *x)
{
    go_on(x);
    http2_pump(x->conn);
}

void http2_answer_end(struct http_exchange *x)
{
    go_on(x);
}

void http2_abort(struct http_exchange *x)
{
    settle(x->conn->h2);
    (void)nghttp2_submit_rst_stream(x->conn->h2->session, NGHTTP2_FLAG_NONE, x->stream_id,
                                    NGHTTP2_INTERNAL_ERROR);
}

/* ---- Time ---- */

int64_t http2_deadline(const struct http_conn *c)
{
    const struct http2 *h = c->h2;
    int64_t idle_ms = c->server->options.idle_ms;
    int64_t due = h->greeting_due_ms;
    struct list_node *first = list_first(&h->receiving);

    if (h->heading)
        due = MIN(due, h->heading->body_due_ms);
    if (first)
        due = MIN(due, CONTAINER_OF(first, struct http_exchange, receiving_link)->body_due_ms);
    if (c->n_exchanges == 0 && idle_ms >= 0)
        due = MIN(due, h->idle_since_ms + idle_ms);
    return due;
}

void http2_on_timeout(struct http_conn *c)
{
    struct http2 *h = c->h2;
    int64_t now = loop_now_ms(c->loop);
    struct list_node *first = list_first(&h->receiving);

    settle(h);
    if (now >= h->greeting_due_ms || (h->heading && now >= h->heading->body_due_ms)) {
        fail(h);
        return;
    }
    if (first) {
        struct http_exchange *x = CONTAINER_OF(first, struct http_exchange, receiving_link);

        if (now >= x->body_due_ms && x->is_streamed) {
            list_remove(&x->receiving_link);
            http_abort(x);
            return;
        }
        if (now >= x->body_due_ms) {
            x->refusal = 408;
            exchange_dispatch(x);
            return;
        }
    }
    if (h->saying_goodbye) {
        conn_close(c);
        return;
    }
    h->saying_goodbye = true;
    (void)nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
}

/* ---- Life ---- */

static nghttp2_session *session_new(struct http2 *h)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;

    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option_set_stream_reset_rate_limit(option, 400, 40);
    nghttp2_option_set_max_outbound_ack(option, 200);
    nghttp2_option_set_no_closed_streams(option, 1);
    /* Our answers name few headers; a table for them would be kept for each connection. */
    nghttp2_option_set_max_deflate_dynamic_table_size(option, 0);
    http2_memory_init(&h->memory, h->conn->server->sessions);
    if (nghttp2_session_server_new3(&session, callbacks, h, option, &h->memory.mem) != 0)
        abort();
    http2_memory_close(&h->memory);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

void http2_start(struct http_conn *c)
{
    const struct http_server_options *o = &c->server->options;
    struct http2 *h = NEW(struct http2);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)o->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)o->max_header_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0},
    };
    /* A client of the control protocol makes a few requests in days: a table of its headers would
     * be half a KiB kept for each. */
    size_t n_settings = ARRAY_LEN(settings) - (o->h2_only ? 0 : 1);

    h->conn = c;
    h->idle_since_ms = loop_now_ms(c->loop);
    h->greeting_due_ms = h->idle_since_ms + o->header_ms;
    h->credit = CHEAP_FRAMES;
    h->credit_ms = h->idle_since_ms;
    list_init(&h->receiving);
    c->h2 = h;
    h->session = session_new(h);
    if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, n_settings) != 0 ||
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0)
        fail(h);
    http2_pump(c);
}

void http2_free(struct http2 *h)
{
    if (!h)
        return;
    nghttp2_session_del(h->session);
    http2_memory_fini(&h->memory);
    mem_free(h);
}
