/*
 * A client's side of DERP.
 *
 *   KEY --SERVER_KEY--> INFO --SERVER_INFO opens--> READY
 *    |                   |                            |
 *    +-------------------+------ closed, broken, silent ------> CLOSED --> on_close
 *
 * With the relay's key known beforehand it starts in INFO and skips SERVER_KEY.
 */

#include "derp/client.h"

#include <string.h>

#include "core/mem.h"

#define HANDSHAKE_MS 10000

enum client_state { CLIENT_KEY, CLIENT_INFO, CLIENT_READY, CLIENT_CLOSED };

struct derp_client {
    struct stream *stream;
    enum client_state state;
    struct node_private key;
    struct node_key public_key;
    struct node_key server_key;
    struct box_key box;
    struct derp_client_info info;
    struct derp_client_events events;
    void *user;
    struct buf in;
    struct buf out; /* gathered while corked */
    bool is_corked;
    bool heard; /* a frame came since the timer was started */
    bool has_why;
    struct err why;
    struct timer timer;
};

static void fail(struct derp_client *c, enum err_code code, const char *what)
{
    if (c->state == CLIENT_CLOSED)
        return;
    c->state = CLIENT_CLOSED;
    c->has_why = true;
    IGNORE(err_set(&c->why, code, "relay: %s", what));
    timer_stop(&c->timer);
    stream_abort(c->stream);
}

/* ---- Out ---- */

static struct buf *begin(struct derp_client *c)
{
    return &c->out;
}

static void end(struct derp_client *c)
{
    if (c->is_corked || c->out.len == 0)
        return;
    stream_write(c->stream, buf_str(&c->out));
    buf_fini(&c->out);
}

void derp_client_cork(struct derp_client *c)
{
    ASSERT(!c->is_corked);
    c->is_corked = true;
}

void derp_client_uncork(struct derp_client *c)
{
    ASSERT(c->is_corked);
    c->is_corked = false;
    end(c);
}

void derp_client_send(struct derp_client *c, const struct node_key *dst, struct str packet)
{
    ASSERT(packet.len <= DERP_PACKET_MAX);
    if (c->state != CLIENT_READY)
        return;
    derp_put_packet(begin(c), DERP_SEND_PACKET, dst, packet);
    end(c);
}

void derp_client_note_preferred(struct derp_client *c, bool preferred)
{
    if (c->state != CLIENT_READY)
        return;
    derp_put_note_preferred(begin(c), preferred);
    end(c);
}

void derp_client_ping(struct derp_client *c, const uint8_t data[8])
{
    derp_client_send_frame(c, DERP_PING, str_bytes(data, 8));
}

void derp_client_send_frame(struct derp_client *c, uint8_t type, struct str payload)
{
    if (c->state != CLIENT_READY)
        return;
    derp_put_frame(begin(c), type, payload);
    end(c);
}

/* ---- Handshake ---- */

static bool send_info(struct derp_client *c)
{
    if (!box_key_init(&c->box, &c->key, &c->server_key))
        return false;
    derp_put_client_info(begin(c), &c->box, &c->public_key, &c->info);
    end(c);
    c->state = CLIENT_INFO;
    return true;
}

static void on_server_key(struct derp_client *c, struct str payload)
{
    struct node_key key;

    if (!derp_server_key_decode(payload, &key)) {
        fail(c, ERR_INVALID, "its first frame is no key");
        return;
    }
    c->server_key = key;
    if (!send_info(c))
        fail(c, ERR_INVALID, "its key is none");
}

static void on_server_info(struct derp_client *c, struct str payload)
{
    struct derp_server_info info = {0};
    struct err err = {0};

    if (derp_server_info_open(payload, &c->box, &info, &err) < 0) {
        fail(c, err.code, err.text);
        return;
    }
    c->state = CLIENT_READY;
    c->heard = false;
    box_key_fini(&c->box);
    timer_start(&c->timer, DERP_CLIENT_SILENCE_MS);
    if (c->events.on_ready)
        c->events.on_ready(c->user, &info);
}

/* ---- In ---- */

static void on_packet(struct derp_client *c, struct str payload)
{
    struct node_key src;
    struct str packet;

    if (!derp_packet_decode(payload, &src, &packet))
        fail(c, ERR_INVALID, "a packet without its source");
    else if (c->events.on_packet)
        c->events.on_packet(c->user, &src, packet);
}

static void on_peer_gone(struct derp_client *c, struct str payload)
{
    struct node_key key;
    uint8_t reason;

    if (!derp_peer_gone_decode(payload, &key, &reason))
        fail(c, ERR_INVALID, "nobody is gone");
    else if (c->events.on_peer_gone)
        c->events.on_peer_gone(c->user, &key, reason);
}

static void on_ready_frame(struct derp_client *c, const struct derp_frame *frame)
{
    switch (frame->type) {
    case DERP_RECV_PACKET:
        on_packet(c, frame->payload);
        return;
    case DERP_PEER_GONE:
        on_peer_gone(c, frame->payload);
        return;
    case DERP_PING:
        if (frame->payload.len >= 8)
            derp_client_send_frame(c, DERP_PONG, str_sub(frame->payload, 0, 8));
        return;
    case DERP_PONG:
        if (frame->payload.len >= 8 && c->events.on_pong)
            c->events.on_pong(c->user, str_sub(frame->payload, 0, 8));
        return;
    default:
        if (c->events.on_frame)
            c->events.on_frame(c->user, frame);
    }
}

static void on_frame(struct derp_client *c, const struct derp_frame *frame)
{
    c->heard = true;
    if (c->state == CLIENT_KEY) {
        if (frame->type == DERP_SERVER_KEY)
            on_server_key(c, frame->payload);
        else
            fail(c, ERR_INVALID, "its first frame is no key");
        return;
    }
    if (c->state == CLIENT_INFO) {
        /* SERVER_KEY comes also to who knows it; what else comes early is skipped. */
        if (frame->type == DERP_SERVER_INFO)
            on_server_info(c, frame->payload);
        return;
    }
    on_ready_frame(c, frame);
}

/* Does the whole frames at the front; returns how many bytes they had. */
static size_t feed(struct derp_client *c, struct str data)
{
    size_t done = 0;

    while (c->state != CLIENT_CLOSED) {
        struct derp_frame frame = {0};
        size_t used = 0;

        switch (derp_frame_decode(str_from_index(data, done), DERP_FRAME_MAX, &frame, &used)) {
        case DERP_DECODE_MORE:
            return done;
        case DERP_DECODE_TOO_LONG:
            fail(c, ERR_LIMIT, "a frame is too long");
            return done;
        case DERP_DECODE_OK:
            break;
        }
        on_frame(c, &frame);
        done += used;
    }
    return done;
}

static void on_data(void *user, struct str data)
{
    struct derp_client *c = user;
    struct buf in = c->in;

    if (in.len == 0) {
        buf_put(&c->in, str_from_index(data, feed(c, data)));
        return;
    }
    buf_put(&c->in, data);
    in = c->in;
    buf_drop(&c->in, feed(c, buf_str(&in)));
    if (c->in.len == 0)
        buf_fini(&c->in);
}

static void on_writable(void *user)
{
    struct derp_client *c = user;

    if (c->state == CLIENT_READY && c->events.on_writable)
        c->events.on_writable(c->user);
}

static void on_timer(void *user)
{
    struct derp_client *c = user;

    if (c->state != CLIENT_READY) {
        fail(c, ERR_IO, "no handshake in time");
        return;
    }
    if (!c->heard) {
        fail(c, ERR_IO, "silent for too long");
        return;
    }
    c->heard = false;
    timer_start(&c->timer, DERP_CLIENT_SILENCE_MS);
}

static void on_close(void *user, const struct err *why)
{
    struct derp_client *c = user;

    timer_stop(&c->timer);
    c->state = CLIENT_CLOSED;
    c->events.on_close(c->user, c->has_why ? &c->why : why);
    node_private_fini(&c->key);
    box_key_fini(&c->box);
    derp_client_info_fini(&c->info);
    buf_fini(&c->in);
    buf_fini(&c->out);
    mem_free(c);
}

static const struct stream_events stream_events = {
    .on_data = on_data, .on_writable = on_writable, .on_close = on_close};

/* ---- Life ---- */

struct derp_client *derp_client_new(struct stream *stream, const struct derp_client_options *o)
{
    struct derp_client *c = NEW(struct derp_client);

    c->stream = stream;
    c->key = *o->key;
    node_private_public(&c->key, &c->public_key);
    c->info = o->info;
    if (c->info.version == 0)
        c->info.version = DERP_VERSION;
    c->events = *o->events;
    c->user = o->user;
    c->in = BUF(4 * DERP_FRAME_MAX);
    timer_init(&c->timer, stream_loop(stream), on_timer, c);
    timer_start(&c->timer, HANDSHAKE_MS);
    stream_set_events(stream, &stream_events, c);
    if (!o->server_key)
        return c;
    c->server_key = *o->server_key;
    if (o->fast_start_host.len > 0)
        buf_printf(begin(c),
                   "GET /derp HTTP/1.1\r\nHost: %.*s\r\nConnection: Upgrade\r\n"
                   "Upgrade: DERP\r\nDerp-Fast-Start: 1\r\n\r\n",
                   STR_ARG(o->fast_start_host));
    if (!send_info(c))
        fail(c, ERR_INVALID, "its key is none");
    return c;
}

const struct node_key *derp_client_server_key(const struct derp_client *c)
{
    return &c->server_key;
}

const struct node_key *derp_client_key(const struct derp_client *c)
{
    return &c->public_key;
}

bool derp_client_is_ready(const struct derp_client *c)
{
    return c->state == CLIENT_READY;
}

size_t derp_client_pending(const struct derp_client *c)
{
    return c->out.len + stream_pending(c->stream);
}

void derp_client_close(struct derp_client *c)
{
    if (c->state == CLIENT_CLOSED)
        return;
    c->state = CLIENT_CLOSED;
    timer_stop(&c->timer);
    stream_close(c->stream);
}

struct stream *derp_client_stream(const struct derp_client *c)
{
    return c->stream;
}
