/*
 * The floor on io_uring: the same forwarder as derp_floor.c, with other system calls.
 *
 *   sender --multishot receive--> [buffer][buffer].. --one send for all of a round--> receiver
 *
 * Every connection has one receive that goes on by itself and takes its buffers from a ring of
 * them; what came for a receiver in one round of the loop is sent from those buffers by one
 * request, and the next one for it is made when that has ended, so that nothing overtakes. All
 * requests of a round are submitted, and the next events waited for, with one io_uring_enter.
 *
 * The ring is spoken to without a library: a few memory barriers, and nothing to depend on.
 *
 * Invariants
 *   1. A buffer belongs to the kernel's ring, or to exactly one receiver's queue.
 *   2. A receiver has at most one send under way, for the first `n_sending` buffers of its queue.
 *   3. An end is freed when its socket is closed, no request names it, and the same holds for the
 *      other end.
 */

#include "bench/derp_floor_internal.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/map.h"
#include "core/mem.h"

#define REQUESTS 4096u
#define COMPLETIONS (4 * REQUESTS)
#define BUFFERS 512u
#define BUFFER ((size_t)16 << 10)
#define GATHER 16 /* buffers in one send */
#define WAIT_NS 1000000
#define FEAT_MIN_TIMEOUT \
    (1u << 15) /* newer than Debian 12's headers: `pad` is a wait's least time */

enum request { ACCEPT, HELLO, RECEIVE, END, SEND, REQUEST_MASK = 7 };

struct end {
    int fd;
    unsigned n_requests; /* that name it and have not ended */
    struct end *other;   /* NULL until it is there */
    char hello[FLOOR_HELLO];
    bool is_known; /* the hello is here */
    bool sends;
    uint32_t pair;
    bool is_dropped;
    struct list_node starved; /* a sender: there was no buffer, receive again */
    /* Of a receiver: what is to be sent to it. */
    uint16_t ids[BUFFERS];
    unsigned lens[BUFFERS];
    size_t first, n_queue;
    size_t n_sending, sending_bytes;
    struct iovec parts[GATHER];
    struct msghdr message;
    bool is_listed;
    struct end *next_listed;
};

struct ring {
    int fd;
    _Atomic(unsigned) *sq_tail, *cq_head, *cq_tail;
    unsigned sq_mask, cq_mask;
    unsigned n_new; /* requests not submitted */
    bool can_rest;  /* a wait may have a least time */
    struct io_uring_sqe *requests;
    struct io_uring_cqe *completions;
};

struct floor {
    struct ring ring;
    int listener;
    struct map *waiting; /* pair number plus one to the end that came first */
    struct io_uring_buf_ring *buffers;
    char *memory;
    uint16_t buffers_tail;
    struct list starved;
    struct end *listed; /* receivers with something new */
    unsigned n_sends;   /* made in this round */
};
/* ---- The rings ---- */

static bool ring_map(struct ring *ring, const struct io_uring_params *p)
{
    size_t sq_len = p->sq_off.array + p->sq_entries * sizeof(unsigned);
    size_t cq_len = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    char *rings = mmap(NULL, MAX(sq_len, cq_len), PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
                       IORING_OFF_SQ_RING);
    void *requests = mmap(NULL, p->sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
                          MAP_SHARED, ring->fd, IORING_OFF_SQES);

    if (rings == MAP_FAILED || requests == MAP_FAILED)
        return false;
    unsigned *array = (void *)(rings + p->sq_off.array);

    for (unsigned i = 0; i < p->sq_entries; i++)
        array[i] = i;
    ring->sq_tail = (void *)(rings + p->sq_off.tail);
    ring->sq_mask = p->sq_entries - 1;
    ring->cq_head = (void *)(rings + p->cq_off.head);
    ring->cq_tail = (void *)(rings + p->cq_off.tail);
    ring->cq_mask = p->cq_entries - 1;
    ring->requests = requests;
    ring->completions = (void *)(rings + p->cq_off.cqes);
    return true;
}

static bool ring_init(struct ring *ring)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_CQSIZE,
                                .cq_entries = COMPLETIONS};

    ring->fd = (int)syscall(SYS_io_uring_setup, REQUESTS, &p);
    ring->can_rest = p.features & FEAT_MIN_TIMEOUT;
    return ring->fd >= 0 && p.features & IORING_FEAT_SINGLE_MMAP && ring_map(ring, &p);
}

/*
 * Submits what is new and waits for so many completions, but WAIT_NS at most when there is more
 * than one to wait for. With a rest, it waits for that long unless there are more than anybody has.
 */
static void ring_enter(struct ring *ring, unsigned n_wait, unsigned rest_us)
{
    struct __kernel_timespec limit = {.tv_nsec = WAIT_NS};
    struct io_uring_getevents_arg arg = {.ts = n_wait > 1 ? (uintptr_t)&limit : 0};

    if (rest_us > 0) {
        arg.pad = rest_us;
        n_wait = COMPLETIONS;
    }
    long n = syscall(SYS_io_uring_enter, ring->fd, ring->n_new, n_wait,
                     IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof(arg));

    if (n > 0)
        ring->n_new -= (unsigned)n;
    else if (n < 0 && (errno == ETIME || errno == EINTR))
        ring->n_new = 0; /* submitting comes before waiting */
}

static struct io_uring_sqe *ring_request(struct ring *ring, enum request what, struct end *e)
{
    if (ring->n_new > ring->sq_mask)
        ring_enter(ring, 0, 0);
    unsigned tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
    struct io_uring_sqe *request = &ring->requests[tail & ring->sq_mask];

    *request = (struct io_uring_sqe){.user_data = (uintptr_t)e | what, .fd = e ? e->fd : -1};
    if (e)
        e->n_requests++;
    atomic_store_explicit(ring->sq_tail, tail + 1, memory_order_release);
    ring->n_new++;
    return request;
}

/* ---- Buffers ---- */

static bool buffers_init(struct floor *f)
{
    size_t len = BUFFERS * sizeof(struct io_uring_buf);
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)at, .ring_entries = BUFFERS};

    if (at == MAP_FAILED ||
        syscall(SYS_io_uring_register, f->ring.fd, IORING_REGISTER_PBUF_RING, &reg, 1) != 0)
        return false;
    f->buffers = at;
    f->memory = mem_alloc_array(BUFFERS, BUFFER);
    return true;
}

static char *buffer(const struct floor *f, uint16_t id)
{
    return f->memory + id * BUFFER;
}

static void buffer_give(struct floor *f, uint16_t id)
{
    struct io_uring_buf *b = &f->buffers->bufs[f->buffers_tail++ & (BUFFERS - 1)];

    b->addr = (uintptr_t)buffer(f, id);
    b->len = BUFFER;
    b->bid = id;
    atomic_store_explicit((_Atomic(uint16_t) *)&f->buffers->tail, f->buffers_tail,
                          memory_order_release);
}

/* ---- Ends ---- */

/* It and its other end are told by their requests' ends. */
static void drop(struct end *e)
{
    if (e->is_dropped)
        return;
    e->is_dropped = true;
    (void)shutdown(e->fd, SHUT_RDWR);
    if (e->other)
        drop(e->other);
}

static void close_when_done(struct floor *f, struct end *e)
{
    if (e->fd < 0 || !e->is_dropped || e->n_requests > 0 || e->is_listed)
        return;
    (void)close(e->fd);
    e->fd = -1;
    list_remove(&e->starved);
    for (; e->n_queue > 0; e->n_queue--)
        buffer_give(f, e->ids[e->first++ & (BUFFERS - 1)]);
    if (!e->other && e->is_known)
        IGNORE(map_remove_u64(f->waiting, (uint64_t)e->pair + 1) == e);
}

static void bury(struct floor *f, struct end *e)
{
    struct end *other = e->other;

    close_when_done(f, e);
    if (other)
        close_when_done(f, other);
    if (e->fd >= 0 || (other && other->fd >= 0))
        return;
    mem_free(other);
    mem_free(e);
}

static void receive(struct floor *f, struct end *e)
{
    struct io_uring_sqe *request = ring_request(&f->ring, e->sends ? RECEIVE : END, e);

    request->opcode = IORING_OP_RECV;
    if (e->sends) {
        request->ioprio = IORING_RECV_MULTISHOT;
        request->flags = IOSQE_BUFFER_SELECT;
    } else {
        request->addr = (uintptr_t)e->hello; /* a receiver says nothing: this is its end */
        request->len = 1;
    }
}

static void on_accept(struct floor *f, int fd)
{
    int one = 1;

    if (fd < 0)
        return;
    struct end *e = NEW(struct end);

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    e->fd = fd;
    list_node_init(&e->starved);
    struct io_uring_sqe *request = ring_request(&f->ring, HELLO, e);

    request->opcode = IORING_OP_RECV;
    request->addr = (uintptr_t)e->hello;
    request->len = FLOOR_HELLO;
    request->msg_flags = MSG_WAITALL;
}

static void on_hello(struct floor *f, struct end *e, int n)
{
    if (n < FLOOR_HELLO) {
        drop(e);
        return;
    }
    e->is_known = true;
    e->sends = e->hello[0] == 'S';
    e->pair = str_be32(str_bytes(e->hello, FLOOR_HELLO), 1);
    struct end *other = map_remove_u64(f->waiting, (uint64_t)e->pair + 1);

    if (!other) {
        IGNORE(map_put_u64(f->waiting, (uint64_t)e->pair + 1, e));
        return;
    }
    e->other = other;
    other->other = e;
    receive(f, e);
    receive(f, other);
}

/* ---- Forwarding ---- */

static void list_it(struct floor *f, struct end *to)
{
    if (to->is_listed || to->n_sending > 0)
        return;
    to->is_listed = true;
    to->next_listed = f->listed;
    f->listed = to;
}

static void on_receive(struct floor *f, struct end *e, int n, unsigned flags)
{
    struct end *to = e->other;

    if (flags & IORING_CQE_F_BUFFER) {
        uint16_t id = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);

        if (n > 0 && !to->is_dropped) {
            size_t at = (to->first + to->n_queue++) & (BUFFERS - 1);

            to->ids[at] = id;
            to->lens[at] = (unsigned)n;
            list_it(f, to);
        } else {
            buffer_give(f, id);
        }
    }
    if (n == -ENOBUFS)
        list_push_back(&f->starved, &e->starved);
    else if (n <= 0)
        drop(e);
    else if (!(flags & IORING_CQE_F_MORE) && !e->is_dropped)
        receive(f, e);
}

static void send_queue(struct floor *f, struct end *to)
{
    struct io_uring_sqe *request;

    to->is_listed = false;
    if (to->is_dropped || to->n_queue == 0)
        return;
    to->n_sending = MIN(to->n_queue, (size_t)GATHER);
    to->sending_bytes = 0;
    for (size_t i = 0; i < to->n_sending; i++) {
        size_t at = (to->first + i) & (BUFFERS - 1);

        to->parts[i] = (struct iovec){buffer(f, to->ids[at]), to->lens[at]};
        to->sending_bytes += to->lens[at];
    }
    request = ring_request(&f->ring, SEND, to);
    request->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
    if (to->n_sending == 1) {
        request->opcode = IORING_OP_SEND;
        request->addr = (uintptr_t)to->parts[0].iov_base;
        request->len = (unsigned)to->parts[0].iov_len;
    } else {
        to->message = (struct msghdr){.msg_iov = to->parts, .msg_iovlen = to->n_sending};
        request->opcode = IORING_OP_SENDMSG;
        request->addr = (uintptr_t)&to->message;
        request->len = 1;
    }
    f->n_sends++;
}

static void on_sent(struct floor *f, struct end *to, int n)
{
    bool is_whole = n >= 0 && (size_t)n == to->sending_bytes;

    for (; to->n_sending > 0; to->n_sending--, to->n_queue--)
        buffer_give(f, to->ids[to->first++ & (BUFFERS - 1)]);
    if (!is_whole)
        drop(to);
    else if (to->n_queue > 0)
        list_it(f, to);
    for (struct list_node *l; (l = list_first(&f->starved)) != NULL;) {
        struct end *e = CONTAINER_OF(l, struct end, starved);

        list_remove(l);
        if (!e->is_dropped)
            receive(f, e);
    }
}

static void on_completion(struct floor *f, const struct io_uring_cqe *c)
{
    struct end *e = (void *)(uintptr_t)(c->user_data & ~(uint64_t)REQUEST_MASK);
    enum request what = c->user_data & REQUEST_MASK;

    if (e && !(c->flags & IORING_CQE_F_MORE))
        e->n_requests--;
    if (what == ACCEPT)
        on_accept(f, c->res);
    else if (what == HELLO)
        on_hello(f, e, c->res);
    else if (what == RECEIVE)
        on_receive(f, e, c->res, c->flags);
    else if (what == SEND)
        on_sent(f, e, c->res);
    else
        drop(e);
    if (e && e->is_dropped)
        bury(f, e);
}

static void complete_all(struct floor *f)
{
    struct ring *ring = &f->ring;
    unsigned head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
    unsigned tail = atomic_load_explicit(ring->cq_tail, memory_order_acquire);

    for (unsigned at = head; at != tail; at++) {
        struct io_uring_cqe c = ring->completions[at & ring->cq_mask];

        atomic_store_explicit(ring->cq_head, at + 1, memory_order_release);
        on_completion(f, &c);
    }
    f->n_sends = 0;
    while (f->listed) {
        struct end *to = f->listed;

        f->listed = to->next_listed;
        send_queue(f, to);
        if (to->is_dropped)
            bury(f, to);
    }
}

static bool floor_init(struct floor *f)
{
    if (!ring_init(&f->ring) || !buffers_init(f))
        return false;
    for (size_t i = 0; i < BUFFERS; i++)
        buffer_give(f, (uint16_t)i);
    f->waiting = map_new();
    list_init(&f->starved);
    return true;
}

/* The process that serves never ends but with its parent; this is for one that only asks. */
bool floor_has_uring(void)
{
    struct floor f = {.ring.fd = -1};
    bool has = ring_init(&f.ring) && buffers_init(&f);

    mem_free(f.memory);
    if (f.ring.fd >= 0)
        (void)close(f.ring.fd);
    return has;
}

NO_RETURN void floor_serve_uring(int listener, bool rests)
{
    struct floor *f = NEW(struct floor);

    if (!floor_init(f))
        _exit(1);
    struct io_uring_sqe *request = ring_request(&f->ring, ACCEPT, NULL);

    request->opcode = IORING_OP_ACCEPT;
    request->fd = listener;
    request->ioprio = IORING_ACCEPT_MULTISHOT;
    request->accept_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    for (;;) {
        /* What is sent ends at once as a rule: waiting for one more is waiting for news. */
        ring_enter(&f->ring, f->n_sends + 1,
                   rests && f->ring.can_rest ? floor_rest_us(f->n_sends) : 0);
        complete_all(f);
    }
}
