#pragma once

/*
 * Strangers who break things, on a thread of their own with plain sockets: half-closed and cut off
 * connections, frames cut short, garbage, mesh frames without the key, clients that never read.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/rand.h"
#include "derp/frame.h"
#include "derp/handshake.h"
#include "net/raw.h"

/* Like assert, but from any thread. */
#define must(condition)                                                                   \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

#define EXPECT_MS 10000

struct vandals {
    pthread_t thread;
    struct rand_seeded rand;
    struct ip_addrport relay;
    struct node_key relay_key;
    _Atomic(bool) may, is_at_it, is_over;
};

static int vandal_dial(const struct vandals *v)
{
    int fd = raw_connect((struct ip_addrport){IP_ADDR_V4(127, 0, 0, 1), v->relay.port}, 1000);

    must(fd >= 0);
    return fd;
}

/* Reads until the relay ends it, which it does in time. */
static void must_end(int fd, int64_t ms)
{
    AUTO_FINI(buf_fini) struct buf waste = BUF((size_t)256 << 20);

    must(raw_read(fd, &waste, SIZE_MAX, ms));
}

/* A fast start and CLIENT_INFO of a new key. */
static void vandal_log_in(const struct vandals *v, int fd)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(4096);
    const struct derp_client_info info = {.version = DERP_VERSION};
    struct node_private key;
    struct node_key public_key;
    struct box_key box;

    node_private_generate(&key);
    node_private_public(&key, &public_key);
    must(box_key_init(&box, &key, &v->relay_key));
    buf_put(&out, STR("GET /derp HTTP/1.1\r\nHost: relay\r\nUpgrade: DERP\r\n"
                      "Connection: Upgrade\r\nDerp-Fast-Start: 1\r\n\r\n"));
    derp_put_client_info(&out, &box, &public_key, &info);
    (void)raw_send(fd, buf_str(&out));
    box_key_fini(&box);
    node_private_fini(&key);
}

/* The other half still comes: everything the relay has to say, then its end. */
static void half_close(const struct vandals *v, int fd)
{
    vandal_log_in(v, fd);
    (void)shutdown(fd, SHUT_WR);
    must_end(fd, EXPECT_MS);
}

static void vandal_reset(const struct vandals *v, int fd)
{
    const struct linger now = {.l_onoff = 1};

    vandal_log_in(v, fd);
    (void)raw_send(fd, STR("\x04\0\0\x05\0half a frame"));
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void never_read(const struct vandals *v, int fd)
{
    AUTO_FINI(buf_fini) struct buf out = BUF((size_t)1 << 20);
    struct node_key nobody;

    vandal_log_in(v, fd);
    rand_bytes(&nobody, sizeof(nobody));
    for (int i = 0; i < 300; i++) {
        buf_clear(&out);
        derp_put_frame(&out, DERP_PING, STR("12345678"));
        derp_put_packet(&out, DERP_SEND_PACKET, &nobody, STR("TS\xf0\x9f\x92\xac to nobody"));
        if (!raw_send(fd, buf_str(&out)))
            return;
    }
}

static void vandal_garbage(struct vandals *v, int fd)
{
    char bytes[3000];

    if (rand_seeded_below(&v->rand, 2))
        vandal_log_in(v, fd);
    rand_bytes(bytes, sizeof(bytes));
    (void)raw_send(fd, str_bytes(bytes, (size_t)rand_seeded_below(&v->rand, sizeof(bytes))));
    (void)shutdown(fd, SHUT_WR);
    must_end(fd, EXPECT_MS);
}

static void mesh_frame(struct vandals *v, int fd)
{
    static const struct str frames[] = {
        STR_INIT("\x10\0\0\0\0"),
        STR_INIT("\x11\0\0\0\x20"
                 "0123456789abcdef0123456789abcdef"),
        STR_INIT("\x0a\0\0\0\x41"
                 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdefx"),
        STR_INIT("\x04\0\x20\0\0"), STR_INIT("\xee\xff\xff\xff\xff")};

    vandal_log_in(v, fd);
    (void)raw_send(fd, frames[rand_seeded_below(&v->rand, ARRAY_LEN(frames))]);
    must_end(fd, EXPECT_MS);
}

static void dawdle(struct vandals *v, int fd)
{
    static const struct str beginnings[] = {STR_INIT("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
                                            STR_INIT("GET /derp HTT"), STR_INIT("P")};

    (void)raw_send(fd, beginnings[rand_seeded_below(&v->rand, ARRAY_LEN(beginnings))]);
    if (rand_seeded_below(&v->rand, 4) == 0)
        must_end(fd, 2 * EXPECT_MS); /* it is ended, in time */
    else
        (void)usleep(20000);
}

static void vandal_one(struct vandals *v)
{
    int fd = vandal_dial(v);

    switch (rand_seeded_below(&v->rand, 6)) {
    case 0:
        half_close(v, fd);
        break;
    case 1:
        vandal_reset(v, fd);
        break;
    case 2:
        never_read(v, fd);
        break;
    case 3:
        vandal_garbage(v, fd);
        break;
    case 4:
        mesh_frame(v, fd);
        break;
    default:
        dawdle(v, fd);
    }
    (void)close(fd);
}

static void *vandal_run(void *arg)
{
    struct vandals *v = arg;

    while (!atomic_load(&v->is_over)) {
        atomic_store(&v->is_at_it, true);
        if (atomic_load(&v->may))
            vandal_one(v);
        atomic_store(&v->is_at_it, false);
        (void)usleep(1000);
    }
    return NULL;
}

static inline struct vandals *vandals_start(uint64_t seed, const struct ip_addrport *relay,
                                            const struct node_key *relay_key)
{
    struct vandals *v = NEW(struct vandals);

    v->relay = *relay;
    v->relay_key = *relay_key;
    rand_seed(&v->rand, seed + 1);
    must(pthread_create(&v->thread, NULL, vandal_run, v) == 0);
    return v;
}

/* False: waits until none is at it. */
static inline void vandals_may(struct vandals *v, bool may)
{
    atomic_store(&v->may, may);
    while (!may && atomic_load(&v->is_at_it))
        (void)usleep(1000);
}

static inline void vandals_stop(struct vandals *v)
{
    atomic_store(&v->is_over, true);
    (void)pthread_join(v->thread, NULL);
    mem_free(v);
}
