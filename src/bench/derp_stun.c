/*
 * STUN: how many questions a server answers per second of its CPU.
 *
 * A few connected sockets, each with a window of questions under way. An answer counts when its
 * transaction is one that this socket has asked and not yet had answered, and the address in it is
 * this socket's own.
 *
 * A crowd: every question of a window comes from an address of its own (127.x.y.z, so only with a
 * server there), as each client of a relay asks once now and then. A few: the sockets' own
 * addresses, so that many questions in a row come from one.
 *
 * So that the server is what is measured, whichever it is: a window is one system call, and
 * where it comes from one address the kernel cuts it into datagrams (UDP_SEGMENT), which come to
 * the server one by one all the same; answers are read in batches; and nobody sleeps on the
 * sockets, since on one machine the server would pay for waking the generator. It naps when there
 * is nothing to read.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/derp_internal.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"
#include "stun/codec.h"

#define SOCKETS 8
#define WINDOW 32                          /* questions under way per socket, and per call */
#define STALL_NS ((uint64_t)100 * 1000000) /* without an answer, those of a window are lost */
#define NAP_NS 50000
#define ANSWER_ROOM 128

struct asker {
    int fd;
    struct ip_addrport own, server;
    bool is_crowd;
    uint64_t salt;
    uint64_t next;       /* number of the next question; those of one window are next - WINDOW on */
    uint64_t answered;   /* bits of the window */
    unsigned n_answered; /* of the window */
    uint64_t heard_ns;   /* when it last asked or had an answer */
    bool can_cut;        /* the kernel cuts one write into datagrams */
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

static bool asker_open(struct asker *a, struct ip_addrport server, bool is_crowd)
{
    struct sockaddr_storage sa;
    socklen_t len = to_sockaddr(server, &sa);

    a->server = server;
    a->is_crowd = is_crowd;
    a->salt = rand_u64();
    a->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        return false;
    if (is_crowd) {
        len = to_sockaddr((struct ip_addrport){.addr = IP_ADDR_V4(0, 0, 0, 0)}, &sa);
        if (bind(a->fd, (struct sockaddr *)&sa, len) != 0)
            return false;
    } else if (connect(a->fd, (struct sockaddr *)&sa, len) != 0) {
        return false;
    }
    len = sizeof(sa);
    if (getsockname(a->fd, (struct sockaddr *)&sa, &len) != 0)
        return false;
    a->own = from_sockaddr(&sa);
    a->can_cut = !is_crowd && setsockopt(a->fd, IPPROTO_UDP, UDP_SEGMENT,
                                         &(int){STUN_REQUEST_BYTES}, sizeof(int)) == 0;
    return true;
}

/* Where the question of that number comes from. */
static struct ip_addrport source_of(const struct asker *a, uint64_t number)
{
    struct ip_addrport own = a->own;

    if (a->is_crowd)
        own.addr = IP_ADDR_V4(127, 1, (uint8_t)(number / 128 % 256), (uint8_t)(number % 128 + 1));
    return own;
}

static void send_each(struct asker *a)
{
    struct mmsghdr messages[WINDOW] = {0};
    struct iovec parts[WINDOW];
    _Alignas(struct cmsghdr) char control[WINDOW][CMSG_SPACE(sizeof(struct in_pktinfo))] = {{0}};
    struct sockaddr_storage to;
    socklen_t len = to_sockaddr(a->server, &to);

    for (size_t i = 0; i < WINDOW; i++) {
        struct msghdr *msg = &messages[i].msg_hdr;

        parts[i] = (struct iovec){a->requests[i], STUN_REQUEST_BYTES};
        *msg = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        if (!a->is_crowd)
            continue;
        struct in_pktinfo from = {.ipi_ifindex = 0};
        struct ip_addrport source = source_of(a, a->next - WINDOW + i);

        memcpy(&from.ipi_spec_dst, source.addr.bytes, 4);
        msg->msg_name = &to;
        msg->msg_namelen = len;
        msg->msg_control = control[i];
        msg->msg_controllen = sizeof(control[i]);
        struct cmsghdr *c = CMSG_FIRSTHDR(msg);

        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(from)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
        memcpy(CMSG_DATA(c), &from, sizeof(from));
    }
    (void)sendmmsg(a->fd, messages, WINDOW, 0);
}

/* A transaction id is the question's number, then its socket's salt. */
static void ask_all(struct asker *a, uint64_t now)
{
    struct buf out = BUF(sizeof(a->requests));

    for (size_t i = 0; i < WINDOW; i++) {
        struct stun_txid id;
        uint64_t number = a->next++;

        memcpy(id.b, &number, 8);
        memcpy(id.b + 8, &a->salt, 4);
        stun_request_encode(&out, &id);
    }
    ASSERT(out.len == sizeof(a->requests));
    memcpy(a->requests, out.ptr, sizeof(a->requests));
    buf_fini(&out);
    a->answered = 0;
    a->n_answered = 0;
    a->heard_ns = now;
    if (a->can_cut && send(a->fd, a->requests, sizeof(a->requests), 0) < 0 && errno == EIO)
        a->can_cut = false; /* this way out cannot */
    if (!a->can_cut)
        send_each(a);
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
    if (number >= a->next || !ip_addrport_eq(seen, source_of(a, number))) {
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

/* False: there was nothing. */
static bool hear(struct derp_run *r, struct asker *a, uint64_t now, struct derp_stun_figures *out)
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
    if (n <= 0)
        return false;
    a->heard_ns = now;
    return true;
}

static void ask_and_hear(struct derp_run *r, struct asker *askers, struct derp_stun_figures *out)
{
    uint64_t now = clock_mono_ns(), until = now + (uint64_t)r->o->run_ms * 1000000;

    for (size_t i = 0; i < SOCKETS; i++)
        ask_all(&askers[i], now);
    out->sent += SOCKETS * WINDOW;
    for (; now < until && r->failures < COMPLAINTS_MAX; now = clock_mono_ns()) {
        bool is_idle = true;

        for (size_t i = 0; i < SOCKETS; i++) {
            struct asker *a = &askers[i];

            if (hear(r, a, now, out))
                is_idle = false;
            if (a->n_answered < WINDOW && now - a->heard_ns < STALL_NS)
                continue;
            ask_all(a, now);
            out->sent += WINDOW;
        }
        if (is_idle)
            (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
}

bool derp_stun_can_crowd(const struct derp_bench_target *t)
{
    return t->stun.addr.family == IP_V4 && ip_addr_is_loopback(t->stun.addr);
}

bool derp_stun_run(struct derp_run *r, bool is_crowd, struct derp_stun_figures *out)
{
    struct asker *askers = mem_alloc_array(SOCKETS, sizeof(*askers));
    long pid = r->target->pid;
    bool ok = true;

    *out = (struct derp_stun_figures){0};
    for (size_t i = 0; i < SOCKETS; i++)
        askers[i].fd = -1;
    for (size_t i = 0; i < SOCKETS && ok; i++)
        ok = asker_open(&askers[i], r->target->stun, is_crowd);
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
