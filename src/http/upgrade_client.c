/*
 * HTTP/1.1 upgrade as a client: one request, one 101, and the stream is the caller's.
 *
 *   WAIT --101 and the right Upgrade--> given away (bytes behind it are put back)
 *     |
 *     +--anything else, time over, closed--> stream aborted, on_done with the error from on_close
 */

#include <llhttp.h>

#include "core/rand.h"
#include "http/client.h"
#include "http/http_internal.h"

#define ANSWER_HEAD_MAX ((size_t)32 << 10)
#define ERROR_BODY_MAX 200 /* bytes of an answer's body that an error quotes */

struct upgrade {
    struct stream *stream;
    struct timer timer;
    llhttp_t parser;
    struct buf expected; /* Upgrade's value */
    struct buf accept;   /* WebSocket: the accept value that must come; else empty */
    struct buf field;    /* the header being read */
    struct buf value;
    struct buf error_body;
    size_t head_len;
    bool in_value;
    bool upgrade_fits;
    bool accept_fits;
    bool is_websocket;
    bool has_error;
    struct err err;
    void (*on_done)(void *user, struct stream *s, const struct err *err);
    void *user;
};

static void upgrade_free(struct upgrade *u)
{
    timer_stop(&u->timer);
    buf_fini(&u->expected);
    buf_fini(&u->accept);
    buf_fini(&u->field);
    buf_fini(&u->value);
    buf_fini(&u->error_body);
    mem_free(u);
}

/* The first error counts; on_close reports it. */
static void give_up(struct upgrade *u, enum err_code code, const char *text)
{
    if (u->has_error)
        return;
    u->has_error = true;
    kept(err_set(&u->err, code, "%s", text));
    stream_abort(u->stream);
}

static void give_up_status(struct upgrade *u)
{
    struct str body = str_trim(buf_str(&u->error_body));

    if (u->has_error)
        return;
    u->has_error = true;
    kept(err_set(&u->err, ERR_DENIED, "server answered %d%s%.*s",
                 llhttp_get_status_code(&u->parser), body.len ? ": " : "", STR_ARG(body)));
    stream_abort(u->stream);
}

/* ---- Parsing ---- */

static void finish_header(struct upgrade *u)
{
    struct str value = str_trim(buf_str(&u->value));

    if (str_eq_nocase(buf_str(&u->field), STR("upgrade")))
        u->upgrade_fits = str_eq_nocase(value, buf_str(&u->expected));
    if (str_eq_nocase(buf_str(&u->field), STR("sec-websocket-accept")))
        u->accept_fits = str_eq(value, buf_str(&u->accept));
    buf_clear(&u->field);
    buf_clear(&u->value);
    u->in_value = false;
}

static int put(struct upgrade *u, struct buf *to, const char *at, size_t len)
{
    u->head_len += len;
    if (u->head_len > ANSWER_HEAD_MAX)
        return -1;
    buf_put(to, str_bytes(at, len));
    return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t len)
{
    struct upgrade *u = p->data;

    if (u->in_value)
        finish_header(u);
    return put(u, &u->field, at, len);
}

static int on_field_complete(llhttp_t *p)
{
    struct upgrade *u = p->data;

    u->in_value = true;
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    struct upgrade *u = p->data;

    return put(u, &u->value, at, len);
}

static int on_headers_complete(llhttp_t *p)
{
    struct upgrade *u = p->data;

    finish_header(u);
    return p->status_code == 101 ? 2 : 0; /* 2: what follows is not HTTP */
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct upgrade *u = p->data;

    buf_put(&u->error_body, str_sub(str_bytes(at, len), 0, ERROR_BODY_MAX - u->error_body.len));
    return 0;
}

static int on_complete(llhttp_t *p)
{
    return p->status_code == 101 || p->status_code >= 200 ? HPE_PAUSED : 0;
}

static const llhttp_settings_t *settings(void)
{
    static const llhttp_settings_t table = {
        .on_header_field = on_field,
        .on_header_field_complete = on_field_complete,
        .on_header_value = on_value,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_complete,
    };

    return &table;
}

/* ---- Events ---- */

static void upgraded(struct upgrade *u, struct str rest)
{
    struct stream *stream = u->stream;

    if (rest.len > 0)
        stream_unread(stream, rest);
    if (u->is_websocket)
        stream = websocket_filter(stream, true);
    u->on_done(u->user, stream, NULL);
    upgrade_free(u);
}

static void on_data(void *user, struct str data)
{
    struct upgrade *u = user;

    if (u->has_error)
        return;
    llhttp_errno_t got = llhttp_execute(&u->parser, data.ptr, data.len);

    if (got == HPE_OK)
        return;
    bool is_end = got == HPE_PAUSED || got == HPE_PAUSED_UPGRADE;

    if (!is_end) {
        give_up(u, ERR_INVALID, "the answer is not HTTP");
        return;
    }
    if (llhttp_get_status_code(&u->parser) != 101) {
        give_up_status(u);
        return;
    }
    if (!u->upgrade_fits || (u->is_websocket && !u->accept_fits)) {
        give_up(u, ERR_INVALID, "server upgraded to another protocol");
        return;
    }
    size_t used = (size_t)(llhttp_get_error_pos(&u->parser) - data.ptr);

    upgraded(u, str_from_index(data, used));
}

static void on_close(void *user, const struct err *why)
{
    struct upgrade *u = user;

    if (!u->has_error && u->error_body.len > 0)
        kept(
            err_set(&u->err, ERR_DENIED, "server answered %d", llhttp_get_status_code(&u->parser)));
    else if (!u->has_error)
        kept(err_set(&u->err, ERR_IO, "connection closed%s%s", why ? ": " : "",
                     why ? why->text : ""));
    u->on_done(u->user, NULL, &u->err);
    upgrade_free(u);
}

static void on_timeout(void *user)
{
    give_up(user, ERR_IO, "no answer in time");
}

/* ---- Interface ---- */

static void write_request(struct upgrade *u, const char *method, struct str target, struct str host,
                          const struct http_header *headers, size_t n_headers)
{
    struct buf out = BUF((size_t)1 << 20);

    buf_printf(&out, "%s %.*s HTTP/1.1\r\nHost: %.*s\r\n", method, STR_ARG(target), STR_ARG(host));
    buf_put(&out, STR("User-Agent: hatsize/" HATSIZE_VERSION "\r\n"));
    buf_printf(&out, "Connection: Upgrade\r\nUpgrade: %.*s\r\n", STR_ARG(buf_str(&u->expected)));
    if (strcmp(method, "POST") == 0)
        buf_put(&out, STR("Content-Length: 0\r\n"));
    for (size_t i = 0; i < n_headers; i++)
        buf_printf(&out, "%.*s: %.*s\r\n", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
    buf_put(&out, STR("\r\n"));
    stream_write(u->stream, buf_str(&out));
    buf_fini(&out);
}

static struct upgrade *upgrade_new(struct stream *stream, const char *upgrade, int64_t timeout_ms)
{
    static const struct stream_events events = {.on_data = on_data, .on_close = on_close};
    struct upgrade *u = NEW(struct upgrade);

    u->stream = stream;
    u->expected = BUF(1024);
    u->accept = BUF(64);
    u->field = BUF(ANSWER_HEAD_MAX);
    u->value = BUF(ANSWER_HEAD_MAX);
    u->error_body = BUF(ERROR_BODY_MAX);
    buf_put(&u->expected, str_from(upgrade));
    llhttp_init(&u->parser, HTTP_RESPONSE, settings());
    u->parser.data = u;
    timer_init(&u->timer, stream_loop(stream), on_timeout, u);
    timer_start(&u->timer, timeout_ms > 0 ? timeout_ms : 10000);
    stream_set_events(stream, &events, u);
    return u;
}

void http_client_upgrade(struct stream *stream, const char *method, struct str target,
                         struct str host, const char *upgrade, const struct http_header *headers,
                         size_t n_headers, int64_t timeout_ms,
                         void (*on_done)(void *user, struct stream *s, const struct err *err),
                         void *user)
{
    struct upgrade *u = upgrade_new(stream, upgrade, timeout_ms);

    u->on_done = on_done;
    u->user = user;
    write_request(u, method, target, host, headers, n_headers);
}

void http_client_upgrade_websocket(struct stream *stream, struct str target, struct str host,
                                   const char *protocol, int64_t timeout_ms,
                                   void (*on_done)(void *user, struct stream *s,
                                                   const struct err *err),
                                   void *user)
{
    struct upgrade *u = upgrade_new(stream, "websocket", timeout_ms);
    char nonce[16], accept[WEBSOCKET_ACCEPT_LEN + 1];
    struct buf key = BUF(64);

    rand_bytes(nonce, sizeof(nonce));
    buf_put_base64(&key, str_bytes(nonce, sizeof(nonce)));
    websocket_accept(buf_str(&key), accept);
    buf_put(&u->accept, str_from(accept));
    u->is_websocket = true;
    u->on_done = on_done;
    u->user = user;
    const struct http_header headers[] = {
        {STR("Sec-WebSocket-Version"), STR("13")},
        {STR("Sec-WebSocket-Key"), buf_str(&key)},
        {STR("Sec-WebSocket-Protocol"), str_from(protocol)},
    };

    write_request(u, "GET", target, host, headers, ARRAY_LEN(headers) - !protocol);
    buf_fini(&key);
}
