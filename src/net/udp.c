/*
 * UDP sockets for question and answer.
 *
 *   recvmmsg --> [slot][slot].. --on_receive, one by one--> [answer][answer].. --> sendmmsg
 *
 * A round of the loop reads at most one batch. What the receiver sends from inside its callback is
 * gathered and goes out, in order, behind the last callback of the batch; what is longer than a
 * gathered answer may be, and what is sent at other times, goes at once.
 *
 * Answers in a row to one peer are one message, which the kernel or the network card cuts into
 * datagrams again (UDP_SEGMENT). A crowd, each asking once, gains nothing by it; one that floods us
 * with questions costs one way through the kernel instead of many.
 *
 * Invariants
 *   1. A gathered answer to the peer that is being heard points at its slot's address and control
 *      bytes, so a slot is not written again before the answers have gone.
 *   2. No call waits: an answer that the kernel has no room for is dropped, and so is the rest of
 *      its batch.
 */

#include "net/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

#include "core/metric.h"
#include "net/tcp_internal.h"

#define DATAGRAM 1500
#define BATCH 64
#define ANSWER_MAX 128 /* bytes that are gathered */
#define CONTROL_MAX 64 /* bytes: the packet information of either family */
#define JOINED_CONTROL (CONTROL_MAX + CMSG_SPACE(sizeof(uint16_t)))
#define RECEIVE_ROOM 0x100000 /* bytes asked of the kernel, so that a burst fits */

static struct metric dropped = METRIC_COUNTER(
    "hatsize_udp_dropped_total", "Datagrams not sent because the kernel did not take them.");

/* A datagram that came: from where, to which of our addresses, what. */
struct slot {
    struct sockaddr_storage from;
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_MAX];
    uint8_t data[DATAGRAM];
};

struct batch {
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_parts[BATCH], out_parts[BATCH];
    struct sockaddr_storage to[BATCH]; /* of what goes to others than the asker */
    uint8_t answers[BATCH][ANSWER_MAX];
    _Alignas(struct cmsghdr) uint8_t joined[BATCH][JOINED_CONTROL]; /* control bytes of messages */
    struct slot slots[BATCH];
};

struct udp {
    struct loop_owned owned;
    struct loop *loop;
    int fd;
    uv_poll_t poll;
    struct ip_addrport addr;
    bool is_v6;
    bool is_any;   /* bound to no address: an answer names the one that was asked */
    bool can_join; /* the kernel cuts a message into datagrams */
    udp_receive_fn *on_receive;
    void *user;
    struct msghdr *asked;    /* what is being handled, NULL: nothing, */
    struct ip_addrport from; /* and who sent it */
    unsigned n_out;
    struct batch *batch;
};

/* ---- Sending ---- */

/* The same peer, the same address of ours, the same length. */
static bool is_like(const struct msghdr *a, const struct msghdr *b)
{
    return a->msg_iov->iov_len == b->msg_iov->iov_len && a->msg_iov->iov_len > 0 &&
           a->msg_namelen == b->msg_namelen && a->msg_controllen == b->msg_controllen &&
           memcmp(a->msg_name, b->msg_name, a->msg_namelen) == 0 &&
           (a->msg_controllen == 0 ||
            memcmp(a->msg_control, b->msg_control, a->msg_controllen) == 0);
}

/* Makes one message of `n` alike that follow each other: their parts do too. */
static void join(struct msghdr *msg, size_t n, uint8_t control[JOINED_CONTROL])
{
    uint16_t len = (uint16_t)msg->msg_iov->iov_len;
    struct cmsghdr cut = {
        .cmsg_len = CMSG_LEN(sizeof(len)), .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT};
    uint8_t *at = control + msg->msg_controllen;

    if (msg->msg_controllen > 0)
        memcpy(control, msg->msg_control, msg->msg_controllen);
    memcpy(at, &cut, sizeof(cut));
    memcpy(at + CMSG_LEN(0), &len, sizeof(len));
    msg->msg_control = control;
    msg->msg_controllen += CMSG_SPACE(sizeof(len));
    msg->msg_iovlen = n;
}

/* How many messages are left. */
static unsigned join_all(struct batch *b, unsigned n)
{
    unsigned kept = 0;

    for (unsigned i = 0, run; i < n; i += run) {
        struct msghdr msg = b->out[i].msg_hdr;

        for (run = 1; i + run < n && is_like(&msg, &b->out[i + run].msg_hdr); run++)
            ;
        if (run > 1)
            join(&msg, run, b->joined[kept]);
        b->out[kept++].msg_hdr = msg;
    }
    return kept;
}

/* Joined answers that cannot be cut on this way out go one by one after all. */
static void send_parts(struct udp *u, struct msghdr msg)
{
    size_t n = msg.msg_iovlen;

    msg.msg_controllen -= CMSG_SPACE(sizeof(uint16_t));
    msg.msg_iovlen = 1;
    for (; n > 0; n--, msg.msg_iov++)
        if (sendmsg(u->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            metric_add(&dropped, 1);
}

/* In order. What cannot go is dropped: that one, or all the rest when there is no room. */
static void flush(struct udp *u)
{
    struct batch *b = u->batch;
    unsigned n = u->can_join ? join_all(b, u->n_out) : u->n_out;
    int sent;

    u->n_out = 0;
    for (unsigned at = 0; at < n; at += (unsigned)sent) {
        sent = sendmmsg(u->fd, b->out + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0)
            continue;
        bool is_full = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;

        sent = errno == EINTR ? 0 : is_full ? (int)(n - at) : 1;
        if (sent == 1 && !is_full && b->out[at].msg_hdr.msg_iovlen > 1) {
            u->can_join = errno != EIO;
            send_parts(u, b->out[at].msg_hdr);
            continue;
        }
        for (int i = 0; i < sent; i++)
            metric_add(&dropped, (int64_t)b->out[at + (unsigned)i].msg_hdr.msg_iovlen);
    }
}

/* `sa` is where `to` may be kept. An answer takes its addresses as they came, scope and all. */
static struct msghdr message_to(const struct udp *u, struct ip_addrport to,
                                struct sockaddr_storage *sa, struct iovec *part)
{
    struct msghdr msg = {.msg_iov = part, .msg_iovlen = 1};

    if (u->asked && ip_addrport_eq(to, u->from)) {
        msg.msg_name = u->asked->msg_name;
        msg.msg_namelen = u->asked->msg_namelen;
    } else {
        if (u->is_v6 && to.addr.family == IP_V4) {
            struct ip_addr v4 = to.addr;

            to.addr = (struct ip_addr){.family = IP_V6, .bytes = {[10] = 0xff, [11] = 0xff}};
            memcpy(to.addr.bytes + 12, v4.bytes, 4);
        }
        msg.msg_namelen = addrport_to_sockaddr(to, sa);
        msg.msg_name = sa;
    }
    if (u->asked && u->asked->msg_controllen > 0) {
        msg.msg_control = u->asked->msg_control;
        msg.msg_controllen = u->asked->msg_controllen;
    }
    return msg;
}

static void send_now(struct udp *u, struct ip_addrport to, struct str data)
{
    struct sockaddr_storage sa;
    struct iovec part = {.iov_len = data.len};
    struct msghdr msg = message_to(u, to, &sa, &part);

    memcpy(&part.iov_base, &data.ptr, sizeof(part.iov_base)); /* iovec has no const */
    if (sendmsg(u->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        metric_add(&dropped, 1);
}

void udp_send(struct udp *u, struct ip_addrport to, struct str data)
{
    struct batch *b = u->batch;

    if (u->n_out == BATCH || data.len > ANSWER_MAX)
        flush(u);
    if (!u->asked || data.len > ANSWER_MAX) {
        send_now(u, to, data);
        return;
    }
    unsigned at = u->n_out++;

    if (data.len > 0)
        memcpy(b->answers[at], data.ptr, data.len);
    b->out_parts[at] = (struct iovec){b->answers[at], data.len};
    b->out[at].msg_hdr = message_to(u, to, &b->to[at], &b->out_parts[at]);
}

/* ---- Receiving ---- */

/* Leaves of a datagram's control bytes what its answer is to be sent with. */
static void keep_destination(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO;
        bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO;

        if (!v4 && !v6)
            continue;
        if (v4) {
            /* The answer's source is the address asked, not the interface's. */
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            info.ipi_ifindex = 0;
            info.ipi_spec_dst = info.ipi_addr;
            memcpy(CMSG_DATA(c), &info, sizeof(info));
        }
        msg->msg_control = c;
        msg->msg_controllen = CMSG_ALIGN(c->cmsg_len);
        return;
    }
    msg->msg_controllen = 0;
}

/* A slot is to be filled (again). */
static void prepare(struct udp *u, size_t at)
{
    struct slot *slot = &u->batch->slots[at];

    u->batch->in_parts[at] = (struct iovec){slot->data, DATAGRAM};
    u->batch->in[at].msg_hdr = (struct msghdr){.msg_name = &slot->from,
                                               .msg_namelen = sizeof(slot->from),
                                               .msg_iov = &u->batch->in_parts[at],
                                               .msg_iovlen = 1,
                                               .msg_control = u->is_any ? slot->control : NULL,
                                               .msg_controllen = u->is_any ? CONTROL_MAX : 0};
}

static void hear(struct udp *u, size_t at)
{
    struct msghdr *msg = &u->batch->in[at].msg_hdr;

    if (msg->msg_flags & MSG_TRUNC)
        return;
    keep_destination(msg);
    u->asked = msg;
    u->from = addrport_from_sockaddr(msg->msg_name);
    u->on_receive(u->user, u, u->from,
                  str_bytes(u->batch->slots[at].data, u->batch->in[at].msg_len));
    u->asked = NULL;
}

/* Many small datagrams are worth a rest, of which a full batch has had enough. */
static void note_load(struct load *l, size_t n)
{
    l->reads += n;
    l->bytes += n < BATCH ? n * ANSWER_MAX : n * READ_BUFFER;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct udp *u = poll->data;

    (void)events;
    int n = status == 0 ? recvmmsg(u->fd, u->batch->in, BATCH, MSG_DONTWAIT, NULL) : 0;

    for (int i = 0; i < n && !uv_is_closing((uv_handle_t *)poll); i++)
        hear(u, (size_t)i);
    flush(u);
    if (n > 0)
        note_load(&u->loop->load, (size_t)n);
    for (int i = 0; i < n; i++)
        prepare(u, (size_t)i);
}

/* ---- Opening and closing ---- */

static void close_owned(struct loop_owned *o)
{
    udp_close(CONTAINER_OF(o, struct udp, owned));
}

static int bind_udp(struct ip_addrport addr, bool is_shared, struct err *err)
{
    struct sockaddr_storage sa;
    socklen_t len = addrport_to_sockaddr(addr, &sa);
    int on = 1, off = 0;
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_sys(err, errno, "making a UDP socket");
    if (is_shared)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (sa.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, (struct sockaddr *)&sa, len) < 0) {
        int status = err_sys(err, errno, "binding a UDP socket");

        (void)close(fd);
        return status;
    }
    return fd;
}

static struct ip_addrport addr_of(int fd, bool *is_v6)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);

    (void)getsockname(fd, (struct sockaddr *)&sa, &len);
    *is_v6 = sa.ss_family == AF_INET6;
    return addrport_from_sockaddr((struct sockaddr *)&sa);
}

/* Takes the socket. `addr` is as it was asked for, or as the socket has it. */
static struct udp *start(struct loop *loop, int fd, const struct ip_addrport *addr,
                         udp_receive_fn *on_receive, void *user)
{
    struct udp *u = NEW(struct udp);
    int on = 1, room = RECEIVE_ROOM;

    u->loop = loop;
    u->fd = fd;
    u->addr = addr_of(fd, &u->is_v6);
    if (addr)
        u->addr.addr = addr->addr; /* not unmapped */
    u->is_any = ip_addr_is_unspecified(u->addr.addr);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    if (u->is_any && u->is_v6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    else if (u->is_any)
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    u->can_join = setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &(int){0}, sizeof(int)) == 0;
    u->batch = NEW(struct batch);
    for (size_t i = 0; i < BATCH; i++)
        prepare(u, i);
    u->on_receive = on_receive;
    u->user = user;
    (void)uv_poll_init(&loop->uv, &u->poll, fd);
    u->poll.data = u;
    u->owned.close = close_owned;
    list_push_back(&loop->owned, &u->owned.link);
    (void)uv_poll_start(&u->poll, UV_READABLE, on_readable);
    return u;
}

static int open_socket(struct loop *loop, struct ip_addrport addr, bool is_shared,
                       udp_receive_fn *on_receive, void *user, struct udp **out, struct err *err)
{
    int fd = bind_udp(addr, is_shared, err);

    if (fd < 0)
        return fd;
    *out = start(loop, fd, &addr, on_receive, user);
    return 0;
}

int udp_open_given(struct loop *loop, int fd, udp_receive_fn *on_receive, void *user,
                   struct udp **out, struct err *err)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (own < 0)
        return err_sys(err, errno, "sharing a UDP socket");
    *out = start(loop, own, NULL, on_receive, user);
    return 0;
}

int udp_fd(const struct udp *u)
{
    return u->fd;
}

int udp_open(struct loop *loop, struct ip_addrport addr, udp_receive_fn *on_receive, void *user,
             struct udp **out, struct err *err)
{
    return open_socket(loop, addr, false, on_receive, user, out, err);
}

int udp_open_shared(struct loop *loop, struct ip_addrport addr, udp_receive_fn *on_receive,
                    void *user, struct udp **out, struct err *err)
{
    return open_socket(loop, addr, true, on_receive, user, out, err);
}

struct ip_addrport udp_addr(const struct udp *u)
{
    return u->addr;
}

static void on_closed(uv_handle_t *handle)
{
    struct udp *u = handle->data;

    (void)close(u->fd);
    mem_free(u->batch);
    mem_free(u);
}

void udp_close(struct udp *u)
{
    if (!u || uv_is_closing((uv_handle_t *)&u->poll))
        return;
    list_remove(&u->owned.link);
    uv_close((uv_handle_t *)&u->poll, on_closed);
}
