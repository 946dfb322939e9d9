/*
 * HTTP/1 answering: status line, headers, and a body with a length or in chunks.
 *
 * Bytes go to the stream while it holds less than HTTP_HIGH_WATER, then wait in the exchange's
 * `out`, framed already; on_writable moves them on. The answer is over when `out` is empty.
 */

#include "http/http1_internal.h"

/* To the stream as far as it takes it; the rest waits in order. */
static void write_out(struct http_exchange *x, struct str data)
{
    struct stream *stream = x->conn->stream;

    if (exchange_out_len(x) == 0) {
        size_t pending = stream_pending(stream);
        size_t room = pending < HTTP_HIGH_WATER ? HTTP_HIGH_WATER - pending : 0;
        struct str now = str_sub(data, 0, room);

        stream_write(stream, now);
        data = str_from_index(data, now.len);
    }
    buf_put(&x->out, data);
}

static void put_header(void *to, struct str name, struct str value)
{
    struct buf *out = to;

    buf_put(out, name);
    buf_put(out, STR(": "));
    buf_put(out, value);
    buf_put(out, STR("\r\n"));
}

static bool wants_close(const struct http_exchange *x)
{
    for (size_t i = 0; i < x->n_added; i++)
        if (str_eq(x->added[i].name, STR("connection")) &&
            str_eq_nocase(x->added[i].value, STR("close")))
            return true;
    return false;
}

void http1_answer_start(struct http_exchange *x, const char *content_type, int64_t length)
{
    struct http1 *h = x->conn->h1;
    struct buf head = BUF((size_t)1 << 20);
    bool told = wants_close(x);

    x->chunked = length < 0 && !x->no_body && x->minor == 1;
    if (told || (length < 0 && x->minor == 0 && !x->no_body))
        h->keep_alive = false;
    buf_printf(&head, "HTTP/1.1 %d %s\r\n", x->status, http_status_text(x->status));
    /* 204 and 304 have no length of their own. */
    exchange_each_header(x, content_type, x->status == 204 || x->status == 304 ? -1 : length,
                         put_header, &head);
    if (x->chunked)
        buf_put(&head, STR("transfer-encoding: chunked\r\n"));
    if (!h->keep_alive && !told)
        buf_put(&head, STR("connection: close\r\n"));
    else if (h->keep_alive && x->minor == 0)
        buf_put(&head, STR("connection: keep-alive\r\n"));
    buf_put(&head, STR("\r\n"));
    write_out(x, buf_str(&head));
    buf_fini(&head);
}

void http1_answer_data(struct http_exchange *x, struct str data)
{
    char size[24];

    if (!x->chunked) {
        write_out(x, data);
        return;
    }
    int n = snprintf(size, sizeof(size), "%zx\r\n", data.len);

    write_out(x, (struct str){size, (size_t)n});
    write_out(x, data);
    write_out(x, STR("\r\n"));
}

void http1_finish(struct http_conn *c)
{
    struct http1 *h = c->h1;
    struct http_exchange *x = TAKE(h->x);

    exchange_over(x, false);
    if (h->state >= HTTP1_LINGER)
        return; /* the deadline or the peer ends it */
    http1_set_state(h, h->keep_alive ? HTTP1_IDLE : HTTP1_CLOSING);
}

void http1_answer_end(struct http_exchange *x)
{
    if (x->chunked)
        write_out(x, STR("0\r\n\r\n"));
    if (exchange_out_len(x) == 0)
        http1_finish(x->conn);
}

void http1_on_writable(struct http_conn *c)
{
    struct http_exchange *x = c->h1->x;

    if (x && x->answer != ANSWER_NONE) {
        while (exchange_out_len(x) > 0 && stream_pending(c->stream) < HTTP_HIGH_WATER) {
            struct str part =
                str_sub(exchange_out(x), 0, HTTP_HIGH_WATER - stream_pending(c->stream));

            stream_write(c->stream, part);
            exchange_out_drop(x, part.len);
        }
        if (x->answer == ANSWER_ENDED && exchange_out_len(x) == 0 && !x->aborted)
            http1_finish(c);
    }
    http1_resume(c);
}

void http1_abort(struct http_exchange *x)
{
    conn_abort(x->conn);
}

/* ---- Leaving HTTP ---- */

struct stream *http1_upgrade(struct http_exchange *x, const char *upgrade, bool silent)
{
    struct http_conn *c = x->conn;
    struct http1 *h = c->h1;
    struct buf head = BUF((size_t)1 << 16);

    if (!silent) {
        buf_printf(&head, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\n", upgrade);
        buf_put(&head, STR("Connection: upgrade\r\n"));
        for (size_t i = 0; i < x->n_added; i++)
            put_header(&head, x->added[i].name, x->added[i].value);
        buf_put(&head, STR("\r\n"));
        stream_write(c->stream, buf_str(&head));
    }
    buf_fini(&head);

    /* Called from the handler the rest is what is being parsed; later it is what was read ahead. */
    struct str rest = h->working ? h->rest : buf_str(&h->in);
    bool stopped = h->read_stopped;
    struct stream *stream = conn_give_stream(c);

    stream_set_peer(stream, x->req.peer);

    if (stopped)
        stream_read_start(stream);
    if (rest.len > 0)
        stream_unread(stream, rest);
    h->rest = STR_NONE;
    h->x = NULL;
    x->answer = ANSWER_ENDED;
    exchange_over(x, false);
    return stream;
}
