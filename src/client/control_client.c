/* See control_client.h. */

#include "client/control_client.h"

#include "client/noise_stream.h"
#include "core/mem.h"
#include "http/client.h"
#include "net/tls.h"
#include "wire/response.h"

#define CONNECT_MS 30000
#define BODY_MAX ((size_t)1 << 20)
#define FRAME_MAX ((size_t)256 << 20)

struct control_client {
    struct control_client_options options;
    struct noise_client handshake;
    bool has_handshake;
    struct h2_client *h2;
    bool is_closing;
};

/* ---- Connecting ---- */

static void client_gone(struct control_client *c)
{
    void (*on_close)(void *) = c->options.on_close;
    void *user = c->options.user;

    if (c->has_handshake)
        noise_client_fini(&c->handshake);
    mem_free(c);
    if (on_close)
        on_close(user);
}

static void fail(struct control_client *c, const struct err *err)
{
    if (!c->is_closing)
        c->options.on_ready(c->options.user, err);
    client_gone(c);
}

static void on_h2_close(void *user)
{
    client_gone(user);
}

static void on_channel(void *user, struct stream *s, const struct err *err)
{
    struct control_client *c = user;

    if (!s) {
        fail(c, err);
        return;
    }
    c->h2 = h2_client_new(s, on_h2_close, c);
    if (c->options.window)
        h2_client_set_window(c->h2, c->options.window);
    if (c->is_closing)
        h2_client_close(c->h2);
    else
        c->options.on_ready(c->options.user, NULL);
}

static void on_upgraded(void *user, struct stream *s, const struct err *err)
{
    struct control_client *c = user;

    if (!s) {
        fail(c, err);
        return;
    }
    c->has_handshake = false;
    noise_stream_finish(s, &c->handshake, on_channel, c);
}

static void upgrade_plain(struct control_client *c, struct stream *s, struct str handshake)
{
    const struct http_header header = {STR("x-tailscale-handshake"), handshake};

    http_client_upgrade(s, "POST", STR("/ts2021"), c->options.authority,
                        "tailscale-control-protocol", &header, 1, CONNECT_MS, on_upgraded, c);
}

/* Base64 in a query: '+', '/' and '=' have to be escaped. */
static void upgrade_websocket(struct control_client *c, struct stream *s, struct str handshake)
{
    struct buf target = BUF(4096);

    buf_put(&target, STR("/ts2021?X-Tailscale-Handshake="));
    for (size_t i = 0; i < handshake.len; i++) {
        char ch = handshake.ptr[i];

        if (ch == '+' || ch == '/' || ch == '=')
            buf_printf(&target, "%%%02X", (unsigned)ch);
        else
            buf_put_char(&target, ch);
    }
    http_client_upgrade_websocket(s, buf_str(&target), c->options.authority,
                                  "tailscale-control-protocol", CONNECT_MS, on_upgraded, c);
    buf_fini(&target);
}

static void on_connected(void *user, struct stream *s, const struct err *err)
{
    struct control_client *c = user;
    uint8_t initiation[NOISE_INITIATION_BYTES];
    struct buf text = BUF(1024);
    struct err why = {0};

    if (!s) {
        fail(c, err);
        return;
    }
    const struct tls_client_options tls = {.server_name = c->options.tls_name};

    if (c->options.tls_name.len > 0 && tls_connect(&tls, s, &s, &why) < 0) {
        fail(c, &why);
        return;
    }
    if (noise_client_start(&c->handshake, c->options.machine, &c->options.server,
                           c->options.version, NULL, initiation, &why) < 0) {
        stream_abort(s);
        fail(c, &why);
        return;
    }
    c->has_handshake = true;
    buf_put_base64(&text, str_bytes(initiation, sizeof(initiation)));
    if (c->options.websocket)
        upgrade_websocket(c, s, buf_str(&text));
    else
        upgrade_plain(c, s, buf_str(&text));
    buf_fini(&text);
}

struct control_client *control_client_new(const struct control_client_options *options)
{
    struct control_client *c = NEW(struct control_client);

    c->options = *options;
    stream_connect_tcp_from(options->loop, options->from, options->addr, CONNECT_MS, on_connected,
                            c);
    return c;
}

void control_client_close(struct control_client *c)
{
    c->is_closing = true;
    if (c->h2)
        h2_client_close(c->h2);
}

void control_client_read(struct control_client *c, bool on)
{
    if (c->h2 && !c->is_closing)
        h2_client_read(c->h2, on);
}

/* ---- Requests with a whole answer ---- */

struct post {
    control_answer_fn *on_answer;
    void *user;
    int status;
    struct buf body;
};

static void post_headers(void *user, int status)
{
    struct post *p = user;

    p->status = status;
}

static void post_data(void *user, struct str data)
{
    struct post *p = user;

    buf_put(&p->body, data);
}

static void post_end(void *user, const struct err *err)
{
    struct post *p = user;

    p->on_answer(p->user, p->status, buf_str(&p->body), err);
    buf_fini(&p->body);
    mem_free(p);
}

static const struct h2_request_events post_events = {
    .on_headers = post_headers, .on_data = post_data, .on_end = post_end};

void control_client_post(struct control_client *c, struct str path, struct str body,
                         control_answer_fn *on_answer, void *user)
{
    struct post *p = NEW(struct post);

    p->on_answer = on_answer;
    p->user = user;
    p->body = BUF(BODY_MAX);
    (void)h2_client_request(c->h2, "POST", path, c->options.authority, body, &post_events, p);
}

/* ---- Map streams ---- */

struct control_map {
    struct h2_request *request;
    const struct control_map_events *events;
    void *user;
    bool zstd;
    int status;
    struct buf in;
    struct err err;
};

static void map_headers(void *user, int status)
{
    struct control_map *m = user;

    m->status = status;
}

static void map_fail(struct control_map *m, const char *text)
{
    IGNORE(err_set(&m->err, ERR_INVALID, "%s", text));
    h2_request_cancel(m->request);
}

static void map_frame(struct control_map *m, struct str payload)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct buf json = BUF(FRAME_MAX);
    struct json_value *message = NULL;
    const struct json_options options = {.max_nodes = (size_t)1 << 26, .max_bytes = FRAME_MAX};
    struct str text = payload;

    if (m->zstd) {
        if (wire_decompress(payload, FRAME_MAX, &json, &m->err) < 0) {
            h2_request_cancel(m->request);
            buf_fini(&json);
            return;
        }
        text = buf_str(&json);
    }
    if (json_parse(arena, text, &options, &message, NULL))
        m->events->on_message(m->user, message, payload.len + 4);
    else
        map_fail(m, "a map message is not JSON");
    buf_fini(&json);
}

static void map_data(void *user, struct str data)
{
    struct control_map *m = user;
    struct str payload;
    size_t used = 0;

    if (m->events->on_bytes) {
        if (m->status == 200)
            m->events->on_bytes(m->user, data);
        return;
    }
    buf_put(&m->in, data);
    while (m->status == 200 && m->err.code == 0) {
        enum wire_frame got = wire_frame_decode(buf_str(&m->in), FRAME_MAX, &payload, &used);

        if (got == WIRE_FRAME_MORE)
            break;
        if (got == WIRE_FRAME_TOO_LONG) {
            map_fail(m, "a map message is too long");
            break;
        }
        map_frame(m, payload);
        buf_drop(&m->in, used);
    }
    if (m->in.len == 0) {
        buf_fini(&m->in);
        m->in = BUF(FRAME_MAX);
    }
}

static void map_end(void *user, const struct err *err)
{
    struct control_map *m = user;

    m->events->on_end(m->user, m->status, m->err.code ? &m->err : err);
    buf_fini(&m->in);
    mem_free(m);
}

static const struct h2_request_events map_events = {
    .on_headers = map_headers, .on_data = map_data, .on_end = map_end};

struct control_map *control_client_map(struct control_client *c, struct str body, bool zstd,
                                       const struct control_map_events *events, void *user)
{
    struct control_map *m = NEW(struct control_map);

    m->events = events;
    m->user = user;
    m->zstd = zstd;
    m->in = BUF(FRAME_MAX);
    m->request = h2_client_request(c->h2, "POST", STR("/machine/map"), c->options.authority, body,
                                   &map_events, m);
    return m;
}

void control_map_cancel(struct control_map *m)
{
    h2_request_cancel(m->request);
}

/* ---- The server's key ---- */

int control_fetch_key(const char *url, struct machine_key *key, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct buf body = BUF(65536);
    struct str full = arena_printf(arena, "%s/key?v=142", url);
    const struct http_fetch_options options = {.url = full.ptr, .timeout_ms = 10000};
    struct json_value *answer = NULL;
    int status = 0, result = http_fetch(&options, &status, &body, err);

    if (result == 0 && (status != 200 || !json_parse(arena, buf_str(&body), NULL, &answer, NULL) ||
                        !machine_key_parse(json_get_str(answer, "publicKey"), key)))
        result = err_set(err, ERR_INVALID, "%s gives no key (status %d)", full.ptr, status);
    buf_fini(&body);
    return result;
}
