/*
 * STUN: how many questions a server answers per second of its CPU.
 *
 * A few connected sockets, each with a window of questions under way, sent and received in batches
 * so that the generator costs little beside the server, which has one datagram a call or more as it
 * likes. An answer counts when its transaction is one that this socket has asked and not yet had
 * answered, and the address in it is this socket's own.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/derp_internal.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"
#include "stun/codec.h"

#define SOCKETS 8
#define WINDOW 32 /* questions under way per socket, and per call */
#define STALL_MS 100
#define ANSWER_ROOM 128

struct asker {
    int fd;
    struct ip_addrport own;
    uint64_t salt;
    uint64_t next;       /* number of the next question; those of one window are next - WINDOW on */
    uint64_t answered;   /* bits of the window */
    unsigned n_answered; /* of the window */
    char requests[WINDOW][STUN_REQUEST_BYTES];
};

static struct ip_addrport from_sockaddr(const struct sockaddr_storage *sa)
{
    struct ip_addrport ap = {0};

    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;

        IGNORE(ip_addr_from_bytes(str_bytes(&in->sin_addr, 4), &ap.addr));
        ap.port = ntohs(in->sin_port);
    } else {
        const struct sockaddr_in6 *in6 = (const void *)sa;

        IGNORE(ip_addr_from_bytes(str_bytes(&in6->sin6_addr, 16), &ap.addr));
        ap.port = ntohs(in6->sin6_port);
    }
    return ap;
}

static socklen_t to_sockaddr(struct ip_addrport ap, struct sockaddr_storage *out)
{
    struct str bytes = ip_addr_bytes(&ap.addr);

    memset(out, 0, sizeof(*out));
    if (ap.addr.family == IP_V4) {
        struct sockaddr_in *in = (void *)out;

        in->sin_family = AF_INET;
        in->sin_port = htons(ap.port);
        memcpy(&in->sin_addr, bytes.ptr, 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (void *)out;

    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(ap.port);
    memcpy(&in6->sin6_addr, bytes.ptr, 16);
    return sizeof(*in6);
}

static bool asker_open(struct asker *a, struct ip_addrport server)
{
    struct sockaddr_storage sa;
    socklen_t len = to_sockaddr(server, &sa);

    a->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    a->salt = rand_u64();
    if (a->fd < 0 || connect(a->fd, (struct sockaddr *)&sa, len) != 0)
        return false;
    len = sizeof(sa);
    if (getsockname(a->fd, (struct sockaddr *)&sa, &len) != 0)
        return false;
    a->own = from_sockaddr(&sa);
    return true;
}

/* A transaction id is the question's number, then its socket's salt. */
static void ask_all(struct asker *a)
{
    struct mmsghdr messages[WINDOW] = {0};
    struct iovec parts[WINDOW];

    for (size_t i = 0; i < WINDOW; i++) {
        struct stun_txid id;
        struct buf out = BUF(STUN_REQUEST_BYTES);
        uint64_t number = a->next++;

        memcpy(id.b, &number, 8);
        memcpy(id.b + 8, &a->salt, 4);
        stun_request_encode(&out, &id);
        ASSERT(out.len == STUN_REQUEST_BYTES);
        memcpy(a->requests[i], out.ptr, STUN_REQUEST_BYTES);
        buf_fini(&out);
        parts[i] = (struct iovec){a->requests[i], STUN_REQUEST_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    a->answered = 0;
    a->n_answered = 0;
    (void)sendmmsg(a->fd, messages, WINDOW, 0);
}

static void on_answer(struct derp_run *r, struct asker *a, struct str packet,
                      struct derp_stun_figures *out)
{
    struct stun_txid id;
    struct ip_addrport seen;
    uint64_t number = 0;

    if (!stun_response_decode(packet, &id, &seen) || memcmp(id.b + 8, &a->salt, 4) != 0) {
        derp_run_complain(r, "%zu bytes that are no answer to a question of ours", packet.len);
        return;
    }
    memcpy(&number, id.b, 8);
    if (number >= a->next || !ip_addrport_eq(seen, a->own)) {
        derp_run_complain(r, "a STUN answer with another address than ours, or never asked for");
        return;
    }
    if (a->next - number > WINDOW)
        return; /* given up meanwhile */
    uint64_t bit = (uint64_t)1 << (a->next - 1 - number);

    if (a->answered & bit) {
        derp_run_complain(r, "a question was answered twice");
        return;
    }
    a->answered |= bit;
    a->n_answered++;
    out->answers++;
}

static void hear(struct derp_run *r, struct asker *a, struct derp_stun_figures *out)
{
    struct mmsghdr messages[WINDOW] = {0};
    struct iovec parts[WINDOW];
    char room[WINDOW][ANSWER_ROOM];

    for (size_t i = 0; i < WINDOW; i++) {
        parts[i] = (struct iovec){room[i], ANSWER_ROOM};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(a->fd, messages, WINDOW, 0, NULL);

    for (int i = 0; i < n; i++)
        on_answer(r, a, str_bytes(room[i], messages[i].msg_len), out);
}

static void ask_and_hear(struct derp_run *r, struct asker *askers, struct derp_stun_figures *out)
{
    uint64_t until = clock_mono_ns() + (uint64_t)r->o->run_ms * 1000000;
    struct pollfd polls[SOCKETS];

    for (size_t i = 0; i < SOCKETS; i++) {
        ask_all(&askers[i]);
        out->sent += WINDOW;
        polls[i] = (struct pollfd){.fd = askers[i].fd, .events = POLLIN};
    }
    while (clock_mono_ns() < until && r->failures < COMPLAINTS_MAX) {
        bool is_silent = poll(polls, SOCKETS, STALL_MS) == 0;

        for (size_t i = 0; i < SOCKETS; i++) {
            if (polls[i].revents & POLLIN)
                hear(r, &askers[i], out);
            if (is_silent || askers[i].n_answered == WINDOW) {
                ask_all(&askers[i]);
                out->sent += WINDOW;
            }
        }
    }
}

bool derp_stun_run(struct derp_run *r, struct derp_stun_figures *out)
{
    struct asker *askers = mem_alloc_array(SOCKETS, sizeof(*askers));
    long pid = r->target->pid;
    bool ok = true;

    *out = (struct derp_stun_figures){0};
    for (size_t i = 0; i < SOCKETS; i++)
        askers[i].fd = -1;
    for (size_t i = 0; i < SOCKETS && ok; i++)
        ok = asker_open(&askers[i], r->target->stun);
    struct bench_usage server = bench_usage_of(pid), own = bench_usage_of(getpid());
    uint64_t start = clock_mono_ns();

    if (ok)
        ask_and_hear(r, askers, out);
    out->seconds = (double)(clock_mono_ns() - start) / 1e9;
    out->server_cpu = bench_usage_of(pid).cpu_seconds - server.cpu_seconds;
    out->own_cpu = bench_usage_of(getpid()).cpu_seconds - own.cpu_seconds;
    out->server_us = out->answers > 0 ? out->server_cpu * 1e6 / (double)out->answers : 0;
    for (size_t i = 0; i < SOCKETS; i++)
        if (askers[i].fd >= 0)
            (void)close(askers[i].fd);
    mem_free(askers);
    if (out->answers == 0)
        (void)fprintf(stderr, "%.*s: no STUN answer\n", STR_ARG(r->target->name));
    derp_run_fini(r);
    return out->answers > 0;
}
