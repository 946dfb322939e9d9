/*
 * TCP and Unix sockets on libuv.
 *
 * Writes gather in `out` during a round; at its end, or when flushed, they go to the kernel at
 * once, and only what it does not take is handed to libuv (`in_flight`). Reads land in the loop's
 * one read buffer.
 *
 * A write that fails because the peer has gone does not end the stream while it reads: the peer's
 * last words are still in the socket, and the end comes behind them.
 */

#include "net/tcp_internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define LEAVE_READS 256 /* of 4 KiB */

static void on_flush(struct deferred *d);

static size_t tcp_pending(const struct stream *s)
{
    const struct tcp *t = CONTAINER_OF_CONST(s, struct tcp, stream);

    return t->out.len + t->in_flight.len;
}

static void tcp_free(struct stream *s)
{
    struct tcp *t = CONTAINER_OF(s, struct tcp, stream);

    buf_fini(&t->out);
    buf_fini(&t->in_flight);
    mem_free(t);
}

static void on_uv_closed(uv_handle_t *handle)
{
    struct tcp *t = handle->data;

    if (t->on_closed)
        t->on_closed(t->on_closed_user, &t->counted);
    stream_gone(&t->stream);
}

static void tcp_abort(struct stream *s)
{
    struct tcp *t = CONTAINER_OF(s, struct tcp, stream);

    timer_stop(&t->grace);
    loop_undefer(&t->flush);
    if (!uv_is_closing(&t->uv.handle))
        uv_close(&t->uv.handle, on_uv_closed);
}

/*
 * The end in order. What has come and nobody wants is taken first: closing over unread bytes makes
 * the kernel send a reset, and that may destroy what we have just written.
 */
static void leave(struct tcp *t)
{
    char waste[4096];
    uv_os_fd_t fd;

    if (!uv_is_closing(&t->uv.handle) && uv_fileno(&t->uv.handle, &fd) == 0)
        for (int i = 0; i < LEAVE_READS && recv(fd, waste, sizeof(waste), MSG_DONTWAIT) > 0; i++)
            ;
    tcp_abort(&t->stream);
}

static void on_grace(void *user)
{
    struct tcp *t = user;

    tcp_abort(&t->stream);
}

static void tcp_close(struct stream *s)
{
    struct tcp *t = CONTAINER_OF(s, struct tcp, stream);

    (void)uv_read_stop(&t->uv.stream);
    if (tcp_pending(s) == 0) {
        leave(t);
        return;
    }
    timer_start(&t->grace, CLOSE_GRACE_MS);
    loop_defer(s->loop, &t->flush);
}

static void tcp_fail(struct tcp *t, int status, const char *doing)
{
    struct err err = {0};

    IGNORE(err_set(&err, ERR_IO, "%s: %s", doing, uv_strerror(status)));
    stream_fail(&t->stream, &err);
}

static void write_failed(struct tcp *t, int status)
{
    if (t->stream.state != STREAM_OPEN || t->stream.read_stopped) {
        tcp_fail(t, status, "writing");
        return;
    }
    t->write_failed = status;
    buf_fini(&t->out);
    t->out = BUF((size_t)1 << 40);
}

static void after_written(struct tcp *t)
{
    if (tcp_pending(&t->stream) > 0)
        return;
    if (t->stream.state == STREAM_CLOSING)
        leave(t);
    else
        stream_drained(&t->stream);
}

static void on_uv_written(uv_write_t *req, int status)
{
    struct tcp *t = req->data;

    loop_buf_give(t->stream.loop, &t->in_flight);
    t->in_flight = (struct buf){0};
    if (uv_is_closing(&t->uv.handle))
        return;
    if (status < 0) {
        write_failed(t, status);
        return;
    }
    if (t->out.len > 0)
        loop_defer(t->stream.loop, &t->flush);
    after_written(t);
}

/* What uv_try_write does, where libuv has nothing queued, but as to a socket: `write` would go
 * through all that files have. */
static ssize_t try_send(struct tcp *t)
{
    uv_os_fd_t fd;
    ssize_t sent;

    if (uv_fileno(&t->uv.handle, &fd) != 0)
        return UV_EBADF;
    do
        sent = send(fd, t->out.ptr, t->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == ENOBUFS ? 0 : uv_translate_sys_error(errno);
}

/* Whether all of `out` is gone; libuv has the rest then, or the stream its failure. */
static bool write_out(struct tcp *t)
{
    ssize_t sent = try_send(t);
    uv_buf_t chunk;

    if (sent < 0) {
        write_failed(t, (int)sent);
        return false;
    }
    if ((size_t)sent == t->out.len) {
        /* An idle connection holds no memory. */
        loop_buf_give(t->stream.loop, &t->out);
        return true;
    }
    buf_drop(&t->out, (size_t)sent);
    t->in_flight = t->out;
    t->out = BUF((size_t)1 << 40);
    chunk = uv_buf_init(t->in_flight.ptr, (unsigned)t->in_flight.len);
    t->write_req.data = t;
    int status = uv_write(&t->write_req, &t->uv.stream, &chunk, 1, on_uv_written);

    if (status < 0) {
        buf_fini(&t->in_flight);
        t->in_flight = (struct buf){0};
        write_failed(t, status);
    }
    return false;
}

static bool has_to_write(const struct tcp *t)
{
    return !uv_is_closing(&t->uv.handle) && t->in_flight.len == 0 && t->out.len > 0;
}

static void on_flush(struct deferred *d)
{
    struct tcp *t = CONTAINER_OF(d, struct tcp, flush);

    if (has_to_write(t) && write_out(t))
        after_written(t);
}

static void tcp_flush(struct stream *s)
{
    struct tcp *t = CONTAINER_OF(s, struct tcp, stream);

    if (!has_to_write(t))
        return;
    loop_undefer(&t->flush);
    (void)write_out(t);
}

static void tcp_write(struct stream *s, struct str data)
{
    struct tcp *t = CONTAINER_OF(s, struct tcp, stream);

    if (t->write_failed)
        return;
    loop_buf_take(s->loop, &t->out);
    buf_put(&t->out, data);
    if (t->in_flight.len == 0)
        loop_defer(s->loop, &t->flush);
}

static struct buf *tcp_write_begin(struct stream *s)
{
    struct tcp *t = CONTAINER_OF(s, struct tcp, stream);

    if (t->write_failed)
        return NULL;
    loop_buf_take(s->loop, &t->out);
    return &t->out;
}

static void tcp_write_end(struct stream *s)
{
    struct tcp *t = CONTAINER_OF(s, struct tcp, stream);

    if (t->out.len > 0 && t->in_flight.len == 0)
        loop_defer(s->loop, &t->flush);
}

static void on_uv_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct tcp *t = handle->data;

    (void)suggested;
    if (!t->stream.loop->read_buffer)
        t->stream.loop->read_buffer = mem_alloc(READ_BUFFER);
    *out = uv_buf_init(t->stream.loop->read_buffer, READ_BUFFER);
}

static void on_uv_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *chunk)
{
    struct tcp *t = handle->data;

    if (n > 0) {
        load_add(&t->stream.loop->load, (size_t)n, &t->load_window);
        stream_deliver(&t->stream, str_bytes(chunk->base, (size_t)n));
    } else if (n < 0 && t->write_failed) {
        tcp_fail(t, t->write_failed, "writing");
    } else if (n == UV_EOF) {
        stream_fail(&t->stream, NULL);
    } else if (n < 0) {
        tcp_fail(t, (int)n, "reading");
    }
}

static void tcp_update_reading(struct stream *s)
{
    struct tcp *t = CONTAINER_OF(s, struct tcp, stream);

    if (s->read_stopped && t->write_failed)
        tcp_fail(t, t->write_failed, "writing");
    else if (s->read_stopped)
        (void)uv_read_stop(&t->uv.stream);
    else
        (void)uv_read_start(&t->uv.stream, on_uv_alloc, on_uv_read);
}

static const struct stream_ops tcp_ops = {.write = tcp_write,
                                          .write_begin = tcp_write_begin,
                                          .write_end = tcp_write_end,
                                          .pending = tcp_pending,
                                          .flush = tcp_flush,
                                          .update_reading = tcp_update_reading,
                                          .close = tcp_close,
                                          .abort = tcp_abort,
                                          .free = tcp_free};

struct tcp *tcp_new(struct loop *loop, bool is_unix)
{
    struct tcp *t = NEW(struct tcp);

    stream_init(&t->stream, loop, &tcp_ops);
    t->stream.is_unix = is_unix;
    t->flush.run = on_flush;
    t->out = BUF((size_t)1 << 40);
    timer_init(&t->grace, loop, on_grace, t);
    if (is_unix)
        (void)uv_pipe_init(&loop->uv, &t->uv.pipe, 0);
    else
        (void)uv_tcp_init(&loop->uv, &t->uv.tcp);
    t->uv.handle.data = t;
    return t;
}

struct ip_addrport addrport_from_sockaddr(const struct sockaddr *sa)
{
    struct ip_addrport out = {0};

    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sa, sizeof(in));
        IGNORE(ip_addr_from_bytes(str_bytes(&in.sin_addr, 4), &out.addr));
        out.port = ntohs(in.sin_port);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sa, sizeof(in6));
        IGNORE(ip_addr_from_bytes(str_bytes(&in6.sin6_addr, 16), &out.addr));
        out.addr = ip_addr_unmap(out.addr);
        out.port = ntohs(in6.sin6_port);
    }
    return out;
}

socklen_t addrport_to_sockaddr(struct ip_addrport ap, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (ap.addr.family == IP_V4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(ap.port)};

        memcpy(&in.sin_addr, ap.addr.bytes, 4);
        memcpy(out, &in, sizeof(in));
        return sizeof(in);
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(ap.port)};

    memcpy(&in6.sin6_addr, ap.addr.bytes, 16);
    memcpy(out, &in6, sizeof(in6));
    return sizeof(in6);
}

/* Small messages go at once; a peer that is gone is noticed within two minutes. */
static void tune(struct tcp *t)
{
    const unsigned timeout_ms = 90000;
    uv_os_fd_t fd;

    (void)uv_tcp_nodelay(&t->uv.tcp, 1);
    (void)uv_tcp_keepalive(&t->uv.tcp, 1, 60);
    if (uv_fileno(&t->uv.handle, &fd) == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

void tcp_opened(struct tcp *t)
{
    struct sockaddr_storage sa;
    int len = sizeof(sa);

    if (!t->stream.is_unix) {
        tune(t);
        if (uv_tcp_getpeername(&t->uv.tcp, (struct sockaddr *)&sa, &len) == 0)
            t->stream.peer = addrport_from_sockaddr((struct sockaddr *)&sa);
        len = sizeof(sa);
        if (uv_tcp_getsockname(&t->uv.tcp, (struct sockaddr *)&sa, &len) == 0)
            t->stream.local = addrport_from_sockaddr((struct sockaddr *)&sa);
    }
    tcp_update_reading(&t->stream);
}

bool stream_is_own_user(const struct stream *s)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    uv_os_fd_t fd;

    if (s->ops != &tcp_ops || !s->is_unix)
        return false;
    const struct tcp *t = CONTAINER_OF_CONST(s, struct tcp, stream);

    return uv_fileno(&t->uv.handle, &fd) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.uid == geteuid();
}

/* ---- Outgoing ---- */

struct connecting {
    struct tcp *tcp;
    uv_connect_t req;
    struct timer limit;
    struct deferred refused; /* an error that is known at once is still told later */
    stream_connect_fn *on_done;
    void *user;
    struct err err;
    bool failed;
};

static void connect_closed(void *user, const struct err *why)
{
    struct connecting *c = user;

    (void)why;
    if (!c->failed)
        IGNORE(err_set(&c->err, ERR_IO, "the loop is closing"));
    timer_stop(&c->limit);
    loop_undefer(&c->refused);
    c->on_done(c->user, NULL, &c->err);
    mem_free(c);
}

static void connect_data(void *user, struct str data)
{
    (void)user;
    (void)data;
}

static const struct stream_events connect_events = {.on_data = connect_data,
                                                    .on_close = connect_closed};

static void connect_failed(struct connecting *c, const char *text)
{
    if (c->failed)
        return;
    c->failed = true;
    IGNORE(err_set(&c->err, ERR_IO, "connecting: %s", text));
    stream_abort(&c->tcp->stream);
}

static void on_connect_limit(void *user)
{
    connect_failed(user, "no answer in time");
}

static void on_refused(struct deferred *d)
{
    struct connecting *c = CONTAINER_OF(d, struct connecting, refused);

    stream_abort(&c->tcp->stream);
}

static void on_uv_connected(uv_connect_t *req, int status)
{
    struct connecting *c = req->data;
    struct tcp *t = c->tcp;

    if (uv_is_closing(&t->uv.handle))
        return;
    if (status < 0) {
        connect_failed(c, uv_strerror(status));
        return;
    }
    timer_stop(&c->limit);
    stream_set_events(&t->stream, NULL, NULL);
    tcp_opened(t);
    c->on_done(c->user, &t->stream, NULL);
    mem_free(c);
}

static struct connecting *connecting_new(struct loop *loop, bool is_unix, int64_t timeout_ms,
                                         stream_connect_fn *on_done, void *user)
{
    struct connecting *c = NEW(struct connecting);

    c->tcp = tcp_new(loop, is_unix);
    c->on_done = on_done;
    c->user = user;
    c->req.data = c;
    c->refused.run = on_refused;
    timer_init(&c->limit, loop, on_connect_limit, c);
    timer_start(&c->limit, timeout_ms);
    stream_set_events(&c->tcp->stream, &connect_events, c);
    return c;
}

static int tcp_bind(struct tcp *t, struct ip_addr from)
{
    struct sockaddr_storage sa;

    if (from.family == IP_NONE)
        return 0;
    (void)addrport_to_sockaddr((struct ip_addrport){.addr = from}, &sa);
    return uv_tcp_bind(&t->uv.tcp, (struct sockaddr *)&sa, 0);
}

void stream_connect_tcp(struct loop *loop, struct ip_addrport to, int64_t timeout_ms,
                        stream_connect_fn *on_done, void *user)
{
    stream_connect_tcp_from(loop, (struct ip_addr){0}, to, timeout_ms, on_done, user);
}

void stream_connect_tcp_from(struct loop *loop, struct ip_addr from, struct ip_addrport to,
                             int64_t timeout_ms, stream_connect_fn *on_done, void *user)
{
    struct connecting *c = connecting_new(loop, false, timeout_ms, on_done, user);
    struct sockaddr_storage sa;
    int status = tcp_bind(c->tcp, from);

    (void)addrport_to_sockaddr(to, &sa);
    if (status == 0)
        status = uv_tcp_connect(&c->req, &c->tcp->uv.tcp, (struct sockaddr *)&sa, on_uv_connected);
    if (status < 0) {
        c->failed = true;
        IGNORE(err_set(&c->err, ERR_IO, "connecting: %s", uv_strerror(status)));
        loop_defer(loop, &c->refused);
    }
}

socklen_t abstract_to_sockaddr(struct str path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (path.len < 2 || path.len > sizeof(out->sun_path))
        return 0;
    memcpy(out->sun_path + 1, path.ptr + 1, path.len - 1);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len);
}

static int open_abstract(struct tcp *t, struct str path)
{
    struct sockaddr_un sun;
    socklen_t len = abstract_to_sockaddr(path, &sun);
    int fd = len == 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return len == 0 ? UV_ENAMETOOLONG : uv_translate_sys_error(errno);
    int status = connect(fd, (struct sockaddr *)&sun, len) < 0 ? uv_translate_sys_error(errno)
                                                               : uv_pipe_open(&t->uv.pipe, fd);

    if (status < 0)
        (void)close(fd);
    return status;
}

/* Connected at once or not at all; told later, as always. */
static void on_abstract(struct deferred *d)
{
    struct connecting *c = CONTAINER_OF(d, struct connecting, refused);

    on_uv_connected(&c->req, 0);
}

static void connect_abstract(struct connecting *c, struct str path)
{
    int status = open_abstract(c->tcp, path);

    if (status == 0) {
        c->refused.run = on_abstract;
    } else {
        c->failed = true;
        IGNORE(err_set(&c->err, ERR_IO, "connecting: %s", uv_strerror(status)));
    }
    loop_defer(c->tcp->stream.loop, &c->refused);
}

void stream_connect_unix(struct loop *loop, struct str path, stream_connect_fn *on_done, void *user)
{
    struct connecting *c = connecting_new(loop, true, CLOSE_GRACE_MS, on_done, user);

    if (str_starts(path, STR("@"))) {
        connect_abstract(c, path);
        return;
    }
    char *text = str_dup(path);

    uv_pipe_connect(&c->req, &c->tcp->uv.pipe, text, on_uv_connected);
    mem_free(text);
}
