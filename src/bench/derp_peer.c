/*
 * One client of a relay, or one end of a pair at the floor.
 *
 *   connect --TCP--> [TLS] --request of a fast start--> handshake --> ready --> closed
 *
 * The request goes before the relay's key is known and its answer, the frame SERVER_KEY, is what a
 * client waits for; so one round trip is saved and no HTTP answer need be read.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench/derp_internal.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"
#include "derp/client.h"

#define CONNECT_MS 30000
#define END_MS 3000

/* ---- The run ---- */

bool derp_run_init(struct derp_run *r, const struct derp_bench_options *o,
                   const struct derp_bench_target *target, int64_t deadline_ms, struct err *err)
{
    *r = (struct derp_run){.o = o, .target = target, .deadline_ms = deadline_ms};
    list_init(&r->peers);
    packet_kit_init(&r->kit, rand_u64());
    return loop_new("bench", &r->loop, err) == 0 && tls_client_new(&r->tls, err) == 0;
}

static bool any_open(const struct derp_run *r)
{
    return r->closed < r->connecting;
}

void derp_run_fini(struct derp_run *r)
{
    int64_t until = clock_mono_ms() + END_MS;

    r->is_ending = true;
    LIST_FOR_EACH(p, &r->peers, struct derp_peer, link) {
        if (p->client && !p->is_closed)
            derp_client_close(p->client);
        else if (p->stream && !p->is_closed)
            stream_abort(p->stream);
    }
    while (r->loop && any_open(r) && clock_mono_ms() < until)
        loop_run_once(r->loop, 10);
    loop_free(TAKE(r->loop));
    tls_client_unref(TAKE(r->tls));
    packet_kit_fini(&r->kit);
}

bool derp_run_turn(struct derp_run *r, int ms)
{
    loop_run_once(r->loop, ms);
    return clock_mono_ms() < r->deadline_ms && r->failures < COMPLAINTS_MAX;
}

bool derp_run_until_ready(struct derp_run *r)
{
    while (r->ready < r->connecting && r->closed == 0)
        if (!derp_run_turn(r, 10))
            return false;
    return r->closed == 0;
}

void derp_run_complain(struct derp_run *r, const char *fmt, ...)
{
    va_list args;

    r->failures++;
    if (r->failures > COMPLAINTS_MAX)
        return;
    (void)fprintf(stderr, "FAILED (%.*s): ", STR_ARG(r->target->name));
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

/* ---- Events ---- */

static void became_ready(struct derp_peer *p)
{
    p->is_ready = true;
    p->run->ready++;
    if (p->events->on_ready)
        p->events->on_ready(p->user);
}

static void became_closed(struct derp_peer *p, const struct err *why)
{
    p->is_closed = true;
    p->is_ready = false;
    p->stream = NULL;
    p->client = NULL;
    p->run->closed++;
    if (!p->run->is_ending && !p->may_close)
        (void)fprintf(stderr, "%.*s: a connection ended: %s\n", STR_ARG(p->run->target->name),
                      why ? why->text : "by the server");
    if (p->events->on_close)
        p->events->on_close(p->user, why);
}

static void on_client_ready(void *user, const struct derp_server_info *info)
{
    (void)info;
    became_ready(user);
}

static void on_client_packet(void *user, const struct node_key *src, struct str packet)
{
    struct derp_peer *p = user;

    if (p->events->on_packet)
        p->events->on_packet(p->user, src, packet);
}

static void on_close(void *user, const struct err *why)
{
    became_closed(user, why);
}

static const struct derp_client_events client_events = {
    .on_ready = on_client_ready, .on_packet = on_client_packet, .on_close = on_close};

/* ---- The floor's end: frames as a relay would hand them over ---- */

static size_t floor_feed(struct derp_peer *p, struct str data)
{
    size_t done = 0, used = 0;
    struct derp_frame frame;

    while (derp_frame_decode(str_from_index(data, done), DERP_FRAME_MAX, &frame, &used) ==
           DERP_DECODE_OK) {
        struct node_key src;
        struct str packet;

        if (frame.type != DERP_RECV_PACKET || !derp_packet_decode(frame.payload, &src, &packet))
            derp_run_complain(p->run, "the forwarder made a frame of its own");
        else
            on_client_packet(p, &src, packet);
        done += used;
    }
    return done;
}

static void on_floor_data(void *user, struct str data)
{
    struct derp_peer *p = user;

    if (p->in.len == 0) {
        buf_put(&p->in, str_from_index(data, floor_feed(p, data)));
        return;
    }
    buf_put(&p->in, data);
    buf_drop(&p->in, floor_feed(p, buf_str(&p->in)));
}

static const struct stream_events floor_events = {.on_data = on_floor_data, .on_close = on_close};

static void floor_hello(struct derp_peer *p)
{
    struct buf hello = BUF(16);

    buf_put_char(&hello, p->floor_sends ? 'S' : 'R');
    buf_put_be32(&hello, p->floor_pair);
    stream_write(p->stream, buf_str(&hello));
    buf_fini(&hello);
    p->in = BUF((size_t)4 * DERP_FRAME_MAX);
    stream_set_events(p->stream, &floor_events, p);
    became_ready(p);
}

/* ---- Connecting ---- */

static void begin_derp(struct derp_peer *p)
{
    const struct derp_client_options options = {.key = &p->private_key,
                                                .info = {.can_ack_pings = true},
                                                .events = &client_events,
                                                .user = p};
    struct buf request = BUF(1024);

    buf_printf(&request,
               "GET /derp HTTP/1.1\r\nHost: %.*s\r\nConnection: Upgrade\r\n"
               "Upgrade: DERP\r\nDerp-Fast-Start: 1\r\n\r\n",
               STR_ARG(p->run->target->host));
    stream_write(p->stream, buf_str(&request));
    buf_fini(&request);
    p->client = derp_client_new(p->stream, &options);
}

static void on_connected(void *user, struct stream *s, const struct err *why)
{
    struct derp_peer *p = user;
    const struct derp_bench_target *target = p->run->target;
    struct err err = {0};

    if (!s) {
        became_closed(p, why);
        return;
    }
    if (p->run->is_ending || p->is_leaving) {
        stream_abort(s);
        became_closed(p, NULL);
        return;
    }
    if (target->is_floor) {
        p->stream = s;
        floor_hello(p);
        return;
    }
    if (target->is_tls) {
        struct tls_client_options options = {.shared = p->run->tls, .insecure = !target->has_pin};

        options.has_pin = target->has_pin;
        memcpy(options.pin_sha256, target->pin, sizeof(options.pin_sha256));
        if (tls_connect(&options, s, &s, &err) < 0) {
            became_closed(p, &err);
            return;
        }
    }
    p->stream = s;
    begin_derp(p);
}

void derp_peer_init(struct derp_peer *p, struct derp_run *r, uint32_t pair, bool sends,
                    const struct derp_peer_events *events, void *user)
{
    *p = (struct derp_peer){
        .run = r, .events = events, .user = user, .floor_pair = pair, .floor_sends = sends};
    node_private_generate(&p->private_key);
    node_private_public(&p->private_key, &p->key);
    list_push_back(&r->peers, &p->link);
    r->connecting++;
    stream_connect_tcp(r->loop, r->target->addr, CONNECT_MS, on_connected, p);
}

void derp_peer_leave(struct derp_peer *p)
{
    p->is_leaving = true;
    if (p->is_closed || !p->stream)
        return;
    if (p->is_ready)
        derp_client_close(p->client);
    else
        stream_abort(p->stream);
}

void derp_peer_fini(struct derp_peer *p)
{
    list_remove(&p->link);
    buf_fini(&p->in);
    node_private_fini(&p->private_key);
}

/* ---- Sending ---- */

static void floor_send(struct derp_peer *p, const char *packets, size_t size, size_t n)
{
    struct buf out = BUF(n * (size + KEY_BYTES + DERP_FRAME_HEADER));

    for (size_t i = 0; i < n; i++)
        derp_put_packet(&out, DERP_RECV_PACKET, &p->key, str_bytes(packets + i * size, size));
    stream_write(p->stream, buf_str(&out));
    buf_fini(&out);
}

void derp_peer_send(struct derp_peer *p, const struct derp_peer *dst, const char *packets,
                    size_t size, size_t n)
{
    if (!p->is_ready)
        return;
    if (!p->client) {
        floor_send(p, packets, size, n);
        return;
    }
    derp_client_cork(p->client);
    for (size_t i = 0; i < n; i++)
        derp_client_send(p->client, &dst->key, str_bytes(packets + i * size, size));
    derp_client_uncork(p->client);
}

size_t derp_peer_pending(const struct derp_peer *p)
{
    if (p->client)
        return derp_client_pending(p->client);
    return p->stream ? stream_pending(p->stream) : 0;
}

void derp_peer_stop_reading(struct derp_peer *p)
{
    if (p->stream)
        stream_read_stop(p->stream);
}
