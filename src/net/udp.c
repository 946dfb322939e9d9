/*
 * UDP sockets for question and answer: read in batches, answered from the address that was asked.
 */

#include "net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "net/tcp_internal.h"

#define DATAGRAM 1500
#define PER_WAKEUP 64

struct udp {
    struct loop_owned owned;
    struct loop *loop;
    int fd;
    uv_poll_t poll;
    struct ip_addrport addr;
    bool is_v6;
    udp_receive_fn *on_receive;
    void *user;
    /* Where the datagram being handled was sent to. */
    uint8_t control[128];
    size_t control_len;
};

/* Keeps the packet information of a received datagram, to be sent back with the answer. */
static void keep_destination(struct udp *u, struct msghdr *msg)
{
    u->control_len = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO;
        bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO;

        if ((!v4 && !v6) || c->cmsg_len > sizeof(u->control))
            continue;
        memcpy(u->control, c, c->cmsg_len);
        u->control_len = CMSG_ALIGN(c->cmsg_len);
        if (v4) {
            /* The answer's source is the address asked, not the interface's. */
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            info.ipi_ifindex = 0;
            info.ipi_spec_dst = info.ipi_addr;
            memcpy(u->control + (CMSG_DATA(c) - (unsigned char *)c), &info, sizeof(info));
        }
        return;
    }
}

static bool receive_one(struct udp *u)
{
    uint8_t data[DATAGRAM];
    _Alignas(struct cmsghdr) uint8_t control[256];
    struct sockaddr_storage from;
    struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
    struct msghdr msg = {.msg_name = &from,
                         .msg_namelen = sizeof(from),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(u->fd, &msg, MSG_DONTWAIT);

    if (n < 0)
        return errno == EINTR;
    if (msg.msg_flags & MSG_TRUNC)
        return true;
    keep_destination(u, &msg);
    u->on_receive(u->user, u, addrport_from_sockaddr((struct sockaddr *)&from),
                  str_bytes(data, (size_t)n));
    u->control_len = 0;
    return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct udp *u = poll->data;

    (void)events;
    for (int i = 0; status == 0 && i < PER_WAKEUP && !uv_is_closing((uv_handle_t *)poll); i++)
        if (!receive_one(u))
            return;
}

void udp_send(struct udp *u, struct ip_addrport to, struct str data)
{
    struct sockaddr_storage sa;
    struct ip_addrport mapped = to;
    struct iovec iov;
    char *bytes = NULL;

    memcpy(&bytes, &data.ptr, sizeof(bytes)); /* iovec has no const */
    iov = (struct iovec){.iov_base = bytes, .iov_len = data.len};
    if (u->is_v6 && to.addr.family == IP_V4) {
        mapped.addr = (struct ip_addr){.family = IP_V6, .bytes = {[10] = 0xff, [11] = 0xff}};
        memcpy(mapped.addr.bytes + 12, to.addr.bytes, 4);
    }
    socklen_t len = addrport_to_sockaddr(mapped, &sa);
    struct msghdr msg = {.msg_name = &sa,
                         .msg_namelen = len,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = u->control_len ? u->control : NULL,
                         .msg_controllen = u->control_len};

    (void)sendmsg(u->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void close_owned(struct loop_owned *o)
{
    udp_close(CONTAINER_OF(o, struct udp, owned));
}

static int open_socket(struct loop *loop, struct ip_addrport addr, bool is_shared,
                       udp_receive_fn *on_receive, void *user, struct udp **out, struct err *err)
{
    struct sockaddr_storage sa;
    socklen_t len = addrport_to_sockaddr(addr, &sa);
    int on = 1, off = 0;
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_sys(err, errno, "making a UDP socket");
    if (is_shared)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (sa.ss_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    } else {
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    }
    if (bind(fd, (struct sockaddr *)&sa, len) < 0) {
        int status = err_sys(err, errno, "binding a UDP socket");

        (void)close(fd);
        return status;
    }
    struct udp *u = NEW(struct udp);

    u->loop = loop;
    u->fd = fd;
    u->is_v6 = sa.ss_family == AF_INET6;
    u->on_receive = on_receive;
    u->user = user;
    u->addr = addr;
    len = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        u->addr.port = addrport_from_sockaddr((struct sockaddr *)&sa).port;
    (void)uv_poll_init(&loop->uv, &u->poll, fd);
    u->poll.data = u;
    u->owned.close = close_owned;
    list_push_back(&loop->owned, &u->owned.link);
    (void)uv_poll_start(&u->poll, UV_READABLE, on_readable);
    *out = u;
    return 0;
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
    mem_free(u);
}

void udp_close(struct udp *u)
{
    if (!u || uv_is_closing((uv_handle_t *)&u->poll))
        return;
    list_remove(&u->owned.link);
    uv_close((uv_handle_t *)&u->poll, on_closed);
}
