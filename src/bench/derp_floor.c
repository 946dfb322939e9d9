/*
 * The floor: what copying bytes between two TCP connections costs, without TLS, keys or queues.
 *
 * A connection says in its first five bytes which end of which pair it is ('S' or 'R', a big-endian
 * number). Once both ends are there, what comes from the sender is written to the receiver. What
 * the receiver does not take waits, and the sender is not read meanwhile.
 *
 *   sender --read--> [chunk] --write--> receiver
 *
 * One process, one thread, epoll, level triggered; or io_uring, which is derp_floor_uring.c. It
 * ends with its parent. One that rests sleeps a little after each round in which it sent, as the
 * relay's loops do under load, so that a read brings more.
 */

#include "bench/derp_floor_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/map.h"
#include "core/mem.h"

#define CHUNK ((size_t)64 << 10)
#define EVENTS 128
#define REST_US 100u /* and for each connection sent on */
#define REST_EACH_US 30u
#define REST_MAX_US 1000u

struct end {
    int fd;
    struct end *other; /* NULL until it is there */
    char hello[FLOOR_HELLO];
    size_t n_hello;
    bool sends;
    uint32_t pair;
    char *left; /* of a receiver: what it has not taken */
    size_t n_left, at_left;
};

struct floor {
    int epoll, listener;
    struct map *waiting; /* pair number plus one to the end that came first */
    size_t n_sent;       /* in this round */
    char chunk[CHUNK];
};

unsigned floor_rest_us(size_t n)
{
    return n == 0 ? 0 : (unsigned)MIN(REST_US + n * REST_EACH_US, (size_t)REST_MAX_US);
}

static void watch(struct floor *f, struct end *e, int op, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = e};

    (void)epoll_ctl(f->epoll, op, e->fd, &event);
}

/* Only its socket: the pair's two ends are freed together when the second goes. */
static void drop(struct floor *f, struct end *e)
{
    if (e->fd < 0)
        return;
    (void)close(e->fd);
    e->fd = -1;
    mem_free(TAKE(e->left));
    if (e->other && e->other->fd >= 0)
        (void)shutdown(e->other->fd, SHUT_RDWR); /* it will be told, and come here too */
    else if (!e->other && e->n_hello == FLOOR_HELLO)
        IGNORE(map_remove_u64(f->waiting, (uint64_t)e->pair + 1) == e);
}

static void take(struct floor *f)
{
    int fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

    if (fd < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct end *e = NEW(struct end);

    e->fd = fd;
    watch(f, e, EPOLL_CTL_ADD, EPOLLIN);
}

static void read_hello(struct floor *f, struct end *e)
{
    ssize_t n = recv(e->fd, e->hello + e->n_hello, FLOOR_HELLO - e->n_hello, 0);

    if (n <= 0) {
        drop(f, e);
        return;
    }
    e->n_hello += (size_t)n;
    if (e->n_hello < FLOOR_HELLO)
        return;
    e->sends = e->hello[0] == 'S';
    e->pair = str_be32(str_bytes(e->hello, FLOOR_HELLO), 1);
    struct end *other = map_remove_u64(f->waiting, (uint64_t)e->pair + 1);

    if (!other) {
        IGNORE(map_put_u64(f->waiting, (uint64_t)e->pair + 1, e));
        watch(f, e, EPOLL_CTL_MOD, e->sends ? 0 : EPOLLIN);
        return;
    }
    e->other = other;
    other->other = e;
    watch(f, e, EPOLL_CTL_MOD, EPOLLIN);
    watch(f, other, EPOLL_CTL_MOD, EPOLLIN);
}

static void forward(struct floor *f, struct end *e)
{
    ssize_t n = recv(e->fd, f->chunk, CHUNK, 0);
    ssize_t wrote = n > 0 ? send(e->other->fd, f->chunk, (size_t)n, MSG_NOSIGNAL) : -1;

    f->n_sent++;
    if (n <= 0 || (wrote < 0 && errno != EAGAIN)) {
        drop(f, e);
        return;
    }
    wrote = MAX(wrote, (ssize_t)0);
    if (wrote == n)
        return;
    struct end *to = e->other;

    to->n_left = (size_t)(n - wrote);
    to->at_left = 0;
    to->left = mem_dup(f->chunk + wrote, to->n_left);
    watch(f, e, EPOLL_CTL_MOD, 0);
    watch(f, to, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void write_left(struct floor *f, struct end *e)
{
    ssize_t wrote = send(e->fd, e->left + e->at_left, e->n_left, MSG_NOSIGNAL);

    if (wrote < 0 && errno != EAGAIN) {
        drop(f, e);
        return;
    }
    wrote = MAX(wrote, (ssize_t)0);
    e->at_left += (size_t)wrote;
    e->n_left -= (size_t)wrote;
    if (e->n_left > 0)
        return;
    mem_free(TAKE(e->left));
    watch(f, e, EPOLL_CTL_MOD, EPOLLIN);
    if (e->other->fd >= 0)
        watch(f, e->other, EPOLL_CTL_MOD, EPOLLIN);
}

static void on_event(struct floor *f, struct end *e, uint32_t events)
{
    if (e->n_hello < FLOOR_HELLO)
        read_hello(f, e);
    else if (events & (EPOLLERR | EPOLLHUP))
        drop(f, e);
    else if (events & EPOLLOUT)
        write_left(f, e);
    else if (e->sends && e->other)
        forward(f, e);
    else
        drop(f, e); /* a receiver says nothing: this is its end */
}

/* Both ends of a pair are closed: no event can name them any more. */
static void sweep(struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        struct end *e = events[i].data.ptr, *other = e ? e->other : NULL;

        if (!e || e->fd >= 0 || (other && other->fd >= 0))
            continue;
        for (int k = i + 1; k < n; k++)
            if (events[k].data.ptr == e || (other && events[k].data.ptr == other))
                events[k].data.ptr = NULL;
        mem_free(other);
        mem_free(e);
    }
}

NO_RETURN void floor_serve_epoll(int listener, bool rests)
{
    struct floor *f = NEW(struct floor);
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN};

    f->listener = listener;
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    f->waiting = map_new();
    (void)epoll_ctl(f->epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(f->epoll, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            struct end *e = events[i].data.ptr;

            if (!e)
                take(f);
            else if (e->fd >= 0)
                on_event(f, e, events[i].events);
        }
        sweep(events, n);
        if (rests && f->n_sent > 0) {
            struct timespec rest = {.tv_nsec = 1000L * floor_rest_us(f->n_sent)};

            (void)nanosleep(&rest, NULL);
        }
        f->n_sent = 0;
    }
}

static int open_listener(struct ip_addrport *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);

    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return -1;
    *addr = (struct ip_addrport){.addr = IP_ADDR_V4(127, 0, 0, 1), .port = ntohs(sa.sin_port)};
    return fd;
}

bool derp_floor_start(enum derp_floor kind, struct ip_addrport *addr, long *pid, struct err *err)
{
    if (kind & DERP_FLOOR_URING && !floor_has_uring()) {
        IGNORE(err_set(err, ERR_IO, "the kernel has no io_uring for us, or too old a one"));
        return false;
    }
    int fd = open_listener(addr);
    pid_t parent = getpid(), child = fd < 0 ? -1 : fork();

    if (child < 0) {
        IGNORE(err_sys(err, errno, "starting the forwarder"));
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        if (kind & DERP_FLOOR_URING)
            floor_serve_uring(fd, kind & DERP_FLOOR_RESTS);
        floor_serve_epoll(fd, kind & DERP_FLOOR_RESTS);
    }
    (void)close(fd);
    *pid = child;
    return true;
}

void derp_floor_stop(long pid)
{
    if (pid <= 0)
        return;
    (void)kill((pid_t)pid, SIGKILL);
    (void)waitpid((pid_t)pid, NULL, 0);
}
