/*
 * WebSocket: the upgrade, and a stream filter whose plain side is the concatenation of the binary
 * messages (RFC 6455; wslay does the frames).
 *
 * A message's boundaries mean nothing here, so frames are passed on as they come and nothing is
 * collected: memory does not grow with a frame's claimed length. Each write becomes one binary
 * message. Control frames (pong, close) go to the stream below past the filter's encoder; frames
 * are written whole, so they cannot cut one another. A text message is not ours: close 1003.
 */

#include <wslay/wslay.h>

#include "core/rand.h"
#include "http/http_internal.h"

#define IN_LIMIT ((size_t)1 << 20)
/* wslay counts a message's length even when it does not keep it. */
#define FRAME_LIMIT ((uint64_t)1 << 40)

struct websocket {
    struct stream *below;
    wslay_event_context_ptr events; /* receiving, and control frames */
    wslay_frame_context_ptr frames; /* sending data */
    bool is_client;
    bool is_closing;
    bool frame_is_data;
    struct buf *in;    /* while decoding */
    struct buf *plain; /* while decoding */
    struct buf *out;   /* while encoding */
};

/* ---- The accept value: SHA-1 of the key and a constant. No secret is in it. ---- */

struct sha1 {
    uint32_t h[5];
};

static uint32_t rotl(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static void sha1_block(struct sha1 *s, const char block[64])
{
    uint32_t w[80], v[5];
    struct str bytes = {block, 64};

    for (size_t i = 0; i < 16; i++)
        w[i] = str_be32(bytes, i * 4);
    for (size_t i = 16; i < 80; i++)
        w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (size_t i = 0; i < 5; i++)
        v[i] = s->h[i];
    for (size_t i = 0; i < 80; i++) {
        uint32_t f, k;

        if (i < 20) {
            f = (v[1] & v[2]) | (~v[1] & v[3]);
            k = 0x5a827999;
        } else if (i < 40) {
            f = v[1] ^ v[2] ^ v[3];
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3]);
            k = 0x8f1bbcdc;
        } else {
            f = v[1] ^ v[2] ^ v[3];
            k = 0xca62c1d6;
        }
        uint32_t next = rotl(v[0], 5) + f + v[4] + k + w[i];

        v[4] = v[3];
        v[3] = v[2];
        v[2] = rotl(v[1], 30);
        v[1] = v[0];
        v[0] = next;
    }
    for (size_t i = 0; i < 5; i++)
        s->h[i] += v[i];
}

static void sha1_digest(struct str text, struct buf *out)
{
    struct sha1 s = {{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
    struct buf padded = BUF(text.len + 128);

    buf_put(&padded, text);
    buf_put_char(&padded, (char)0x80);
    while (padded.len % 64 != 56)
        buf_put_char(&padded, 0);
    buf_put_be64(&padded, (uint64_t)text.len * 8);
    for (size_t at = 0; at < padded.len; at += 64)
        sha1_block(&s, padded.ptr + at);
    for (size_t i = 0; i < 5; i++)
        buf_put_be32(out, s.h[i]);
    buf_fini(&padded);
}

void websocket_accept(struct str key, char out[WEBSOCKET_ACCEPT_LEN + 1])
{
    struct buf text = BUF(1024), digest = BUF(64), encoded = BUF(64);

    buf_put(&text, str_sub(key, 0, 256));
    buf_put(&text, STR("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    sha1_digest(buf_str(&text), &digest);
    buf_put_base64(&encoded, buf_str(&digest));
    ASSERT(encoded.len == WEBSOCKET_ACCEPT_LEN);
    memcpy(out, encoded.ptr, WEBSOCKET_ACCEPT_LEN);
    out[WEBSOCKET_ACCEPT_LEN] = '\0';
    buf_fini(&text);
    buf_fini(&digest);
    buf_fini(&encoded);
}

/* ---- Receiving ---- */

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *to, size_t len, int flags, void *user)
{
    struct websocket *ws = user;
    size_t n = MIN(len, ws->in->len);

    (void)flags;
    if (n == 0 || ws->is_closing) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(to, ws->in->ptr, n);
    buf_drop(ws->in, n);
    return (ssize_t)n;
}

/* Control frames only: what is queued on the event context goes out at once. */
static ssize_t on_send_control(wslay_event_context_ptr ctx, const uint8_t *data, size_t len,
                               int flags, void *user)
{
    struct websocket *ws = user;

    (void)ctx;
    (void)flags;
    stream_write(ws->below, str_bytes(data, len));
    return (ssize_t)len;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *to, size_t len, void *user)
{
    (void)ctx;
    (void)user;
    rand_bytes(to, len);
    return 0;
}

static void say_close(struct websocket *ws, uint16_t code)
{
    if (ws->is_closing)
        return;
    (void)wslay_event_queue_close(ws->events, code, NULL, 0);
}

static void on_frame_start(wslay_event_context_ptr ctx,
                           const struct wslay_event_on_frame_recv_start_arg *arg, void *user)
{
    struct websocket *ws = user;

    (void)ctx;
    ws->frame_is_data = !wslay_is_ctrl_frame(arg->opcode);
    if (arg->opcode == WSLAY_TEXT_FRAME) {
        say_close(ws, WSLAY_CODE_UNSUPPORTED_DATA);
        ws->is_closing = true;
    }
}

static void on_frame_chunk(wslay_event_context_ptr ctx,
                           const struct wslay_event_on_frame_recv_chunk_arg *arg, void *user)
{
    struct websocket *ws = user;

    (void)ctx;
    if (ws->frame_is_data && !ws->is_closing)
        buf_put(ws->plain, str_bytes(arg->data, arg->data_length));
}

static int ws_decode(void *codec, struct buf *in, struct buf *plain, struct err *err)
{
    struct websocket *ws = codec;

    if (ws->is_closing) {
        buf_drop(in, in->len);
        return 0;
    }
    ws->in = in;
    ws->plain = plain;
    if (wslay_event_recv(ws->events) != 0)
        return err_set(err, ERR_INVALID, "broken WebSocket frame");
    (void)wslay_event_send(ws->events);
    buf_drop(in, in->len);
    if (ws->is_closing || !wslay_event_get_read_enabled(ws->events)) {
        ws->is_closing = true;
        stream_close(ws->below);
    }
    return 0;
}

/* ---- Sending ---- */

static ssize_t on_send_data(const uint8_t *data, size_t len, int flags, void *user)
{
    struct websocket *ws = user;

    (void)flags;
    buf_put(ws->out, str_bytes(data, len));
    return buf_is_full(ws->out) ? -1 : (ssize_t)len;
}

static int on_mask_data(uint8_t *to, size_t len, void *user)
{
    (void)user;
    rand_bytes(to, len);
    return 0;
}

static int ws_encode(void *codec, struct str plain, struct buf *out, struct err *err)
{
    struct websocket *ws = codec;
    struct wslay_frame_iocb frame = {
        .fin = 1,
        .opcode = WSLAY_BINARY_FRAME,
        .payload_length = plain.len,
        .mask = ws->is_client,
        .data = (const uint8_t *)plain.ptr,
        .data_length = plain.len,
    };

    if (ws->is_closing)
        return 0;
    ws->out = out;
    if (wslay_frame_send(ws->frames, &frame) != (ssize_t)plain.len)
        return err_set(err, ERR_LIMIT, "WebSocket message too large to send");
    return 0;
}

static void ws_free(void *codec)
{
    struct websocket *ws = codec;

    wslay_event_context_free(ws->events);
    wslay_frame_context_free(ws->frames);
    mem_free(ws);
}

struct stream *websocket_filter(struct stream *below, bool is_client)
{
    static const struct stream_filter_ops ops = {
        .decode = ws_decode,
        .encode = ws_encode,
        .free = ws_free,
        .in_limit = IN_LIMIT,
    };
    const struct wslay_event_callbacks events = {
        .recv_callback = on_recv,
        .send_callback = on_send_control,
        .genmask_callback = on_mask,
        .on_frame_recv_start_callback = on_frame_start,
        .on_frame_recv_chunk_callback = on_frame_chunk,
    };
    const struct wslay_frame_callbacks frames = {
        .send_callback = on_send_data,
        .genmask_callback = on_mask_data,
    };
    struct websocket *ws = NEW(struct websocket);
    int got = is_client ? wslay_event_context_client_init(&ws->events, &events, ws)
                        : wslay_event_context_server_init(&ws->events, &events, ws);

    if (got != 0 || wslay_frame_context_init(&ws->frames, &frames, ws) != 0)
        abort();
    wslay_event_config_set_no_buffering(ws->events, 1);
    wslay_event_config_set_max_recv_msg_length(ws->events, FRAME_LIMIT);
    ws->below = below;
    ws->is_client = is_client;
    return stream_filter(below, &ops, ws);
}

/* ---- The server's upgrade ---- */

/* Whether a comma-separated header value has the token, letter case aside. */
static bool has_token(struct str value, struct str token)
{
    struct str one = STR_NONE;

    while (str_next(&value, ',', &one))
        if (str_eq_nocase(str_trim(one), token))
            return true;
    return false;
}

bool http_is_websocket(const struct http_request *req, const char *protocol)
{
    if (req->version != 1 || !str_eq(req->method, STR("GET")))
        return false;
    if (!has_token(http_header_get(req, STR("upgrade")), STR("websocket")) ||
        !has_token(http_header_get(req, STR("connection")), STR("upgrade")))
        return false;
    if (!protocol)
        return true;
    for (size_t i = 0; i < req->n_headers; i++)
        if (str_eq(req->headers[i].name, STR("sec-websocket-protocol")) &&
            has_token(req->headers[i].value, str_from(protocol)))
            return true;
    return false;
}

static bool key_is_valid(struct str key)
{
    struct buf bytes = BUF(64);
    bool ok = key.len == 24 && base64_decode(key, &bytes) && bytes.len == 16;

    buf_fini(&bytes);
    return ok;
}

struct stream *http_upgrade_websocket(struct http_exchange *x, const char *protocol)
{
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    struct str key = http_header_get(&x->req, STR("sec-websocket-key"));

    if (!http_is_websocket(&x->req, NULL) || !key_is_valid(key) ||
        !str_eq(http_header_get(&x->req, STR("sec-websocket-version")), STR("13")))
        return NULL;
    websocket_accept(key, accept);
    http_add_header(x, STR("sec-websocket-accept"), str_from(accept));
    if (protocol)
        http_add_header(x, STR("sec-websocket-protocol"), str_from(protocol));
    struct stream *below = http_upgrade(x, "websocket", false);

    return below ? websocket_filter(below, false) : NULL;
}
