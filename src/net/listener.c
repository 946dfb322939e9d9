/*
 * Listeners: accepting within limits, counted per peer address.
 *
 * The counts outlive the listener as long as its streams do, so they are an object of their own;
 * listeners on several loops may have them in common, so they have a lock, held for a look-up.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "core/map.h"
#include "core/metric.h"
#include "net/bind.h"
#include "net/tcp_internal.h"

#define BACKLOG 1024
#define EMFILE_PAUSE_MS 200
#define ACCEPTS 16 /* twice a round: the rest of it belongs to those that are here */

static struct metric accepted =
    METRIC_COUNTER("hatsize_streams_accepted_total", "Connections accepted.");
static struct metric over_limit =
    METRIC_COUNTER("hatsize_streams_refused_total", "Connections closed because of a limit.");

struct counts {
    pthread_mutex_t mutex; /* of all that follows */
    size_t refs;           /* the listeners and each stream */
    size_t open;
    struct map *by_address; /* address -> number, as a pointer */
};

struct listener {
    struct loop_owned owned;
    struct loop *loop;
    struct listener_options options;
    char *unix_path;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct timer pause;
    struct deferred more;
    unsigned accepted; /* since `more` ran */
    bool has_more;     /* libuv has one for us, and waits */
    struct counts *counts;
};

static struct counts *counts_new(void)
{
    struct counts *c = NEW(struct counts);

    (void)pthread_mutex_init(&c->mutex, NULL);
    c->refs = 1;
    c->by_address = map_new();
    return c;
}

static struct counts *counts_ref(struct counts *c)
{
    (void)pthread_mutex_lock(&c->mutex);
    c->refs++;
    (void)pthread_mutex_unlock(&c->mutex);
    return c;
}

/* With the mutex, which it gives back. */
static void unlock_unref(struct counts *c)
{
    bool is_last = --c->refs == 0;

    (void)pthread_mutex_unlock(&c->mutex);
    if (!is_last)
        return;
    (void)pthread_mutex_destroy(&c->mutex);
    map_free(c->by_address);
    mem_free(c);
}

static void counts_unref(struct counts *c)
{
    (void)pthread_mutex_lock(&c->mutex);
    unlock_unref(c);
}

/* An IPv6 peer may have a whole /64 to itself. */
static struct str address_key(const struct ip_addrport *peer)
{
    return str_bytes(peer->addr.bytes, peer->addr.family == IP_V6 ? 8 : 4);
}

static size_t count_of(const struct counts *c, const struct ip_addrport *peer)
{
    return (size_t)(uintptr_t)map_find(c->by_address, address_key(peer));
}

/* With the mutex. */
static void count_add(struct counts *c, const struct ip_addrport *peer, bool up)
{
    if (!ip_addr_is_set(peer->addr))
        return;
    size_t n = up ? count_of(c, peer) + 1 : count_of(c, peer) - 1;

    if (n == 0)
        (void)map_remove(c->by_address, address_key(peer));
    else
        (void)map_put(c->by_address, address_key(peer), (void *)(uintptr_t)n);
}

static void on_stream_closed(void *user, const struct ip_addrport *peer)
{
    struct counts *c = user;

    (void)pthread_mutex_lock(&c->mutex);
    c->open--;
    count_add(c, peer, false);
    unlock_unref(c);
}

/* With the mutex. */
static bool has_room(const struct counts *c, const struct ip_addrport *peer, size_t max_per_address)
{
    return max_per_address == 0 || !ip_addr_is_set(peer->addr) ||
           count_of(c, peer) < max_per_address;
}

/* Counts the stream, unless there are too many already. */
static bool counts_take(struct counts *c, const struct listener_options *o, struct tcp *t)
{
    size_t total = o->max_streams ? o->max_streams : 65536;

    (void)pthread_mutex_lock(&c->mutex);
    bool fits = c->open < total && has_room(c, &t->counted, o->max_per_address);

    if (fits) {
        c->open++;
        count_add(c, &t->counted, true);
        c->refs++;
        t->on_closed = on_stream_closed;
        t->on_closed_user = c;
    }
    (void)pthread_mutex_unlock(&c->mutex);
    return fits;
}

bool listener_count_peer(struct tcp *t, size_t max_per_address)
{
    struct counts *c = t->on_closed_user;

    (void)pthread_mutex_lock(&c->mutex);
    bool fits = has_room(c, &t->stream.peer, max_per_address);

    if (fits) {
        count_add(c, &t->counted, false);
        t->counted = t->stream.peer;
        count_add(c, &t->counted, true);
    }
    (void)pthread_mutex_unlock(&c->mutex);
    if (!fits)
        metric_add(&over_limit, 1);
    return fits;
}

static bool is_proxy(const struct listener_options *o, const struct ip_addrport *peer)
{
    for (size_t i = 0; i < o->n_proxies; i++)
        if (ip_prefix_contains(o->proxies[i], peer->addr))
            return true;
    return false;
}

static void on_connection(uv_stream_t *server, int status);

static void on_pause_over(void *user)
{
    struct listener *l = user;

    on_connection(&l->uv.stream, 0);
}

static void on_more(struct deferred *d)
{
    struct listener *l = CONTAINER_OF(d, struct listener, more);

    l->accepted = 0;
    if (!l->has_more)
        return;
    l->has_more = false;
    on_connection(&l->uv.stream, 0);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct listener *l = server->data;
    struct tcp *t;

    if (status < 0) {
        log_event(LOG_WARN, "cannot accept a connection", LOG_TXT("error", uv_strerror(status)));
        return;
    }
    loop_defer(l->loop, &l->more);
    if (l->accepted++ >= ACCEPTS) {
        l->has_more = true; /* libuv accepts no more before this one is taken */
        return;
    }
    t = tcp_new(l->loop, l->options.unix_path.len > 0);
    status = uv_accept(server, &t->uv.stream);
    if (status < 0) {
        stream_abort(&t->stream);
        /* Out of descriptors: libuv asks again when we accept; not at once, that would spin. */
        if (status == UV_EMFILE || status == UV_ENFILE)
            timer_start(&l->pause, EMFILE_PAUSE_MS);
        return;
    }
    tcp_opened(t);
    metric_add(&accepted, 1);
    bool is_proxied = is_proxy(&l->options, &t->stream.peer);

    t->counted = is_proxied ? (struct ip_addrport){0} : t->stream.peer;
    if (!counts_take(l->counts, &l->options, t)) {
        metric_add(&over_limit, 1);
        stream_abort(&t->stream);
        return;
    }
    if (is_proxied && l->options.proxy_header)
        proxied_begin(t, &l->options);
    else
        l->options.on_accept(l->options.user, &t->stream);
}

static int fail(struct err *err, int status, const char *doing)
{
    return err_set(err, ERR_IO, "%s: %s", doing, uv_strerror(status));
}

/* Accepted sockets have these from the one that listens. */
static void set_tcp_options(int fd, const struct listener_options *o)
{
    int on = 1, keep_s = (int)MIN(MAX(o->keep_alive_ms / 1000, (int64_t)1), (int64_t)32767);
    unsigned user_ms = (unsigned)MIN(o->user_timeout_ms, (int64_t)INT32_MAX);

    if (o->keep_alive_ms > 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keep_s, sizeof(keep_s));
    }
    if (o->user_timeout_ms > 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms, sizeof(user_ms));
}

/* The socket is made by hand: libuv 1.44 knows no SO_REUSEPORT. */
static int bind_tcp(const struct listener_options *o, struct err *err)
{
    struct sockaddr_storage sa;
    socklen_t len = addrport_to_sockaddr(o->addr, &sa);
    int on = 1, off = 0;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_sys(err, errno, "making a socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (sa.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, (struct sockaddr *)&sa, len) < 0) {
        int status = err_sys(err, errno, "binding");

        (void)close(fd);
        return status;
    }
    return fd;
}

static int open_tcp(struct listener *l, struct err *err)
{
    (void)uv_tcp_init(&l->loop->uv, &l->uv.tcp);
    l->uv.handle.data = l;
    int fd = l->options.fd > 0 ? l->options.fd : bind_tcp(&l->options, err);

    if (fd < 0)
        return fd;
    set_tcp_options(fd, &l->options);
    int status = uv_tcp_open(&l->uv.tcp, fd); /* which makes it not block */

    if (status < 0) {
        (void)close(fd);
        return fail(err, status, "opening the socket");
    }
    status = uv_listen(&l->uv.stream, BACKLOG, on_connection);
    return status < 0 ? fail(err, status, "listening") : 0;
}

/* A socket file that nobody answers on is left over; one that answers is somebody's. */
static int remove_stale(const char *path, struct err *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct stat st;
    int fd;

    if (strlen(path) >= sizeof(sun.sun_path))
        return err_set(err, ERR_INVALID, "the socket's path is longer than %zu bytes",
                       sizeof(sun.sun_path) - 1);
    memcpy(sun.sun_path, path, strlen(path) + 1);
    /* Any other file is not ours to remove; binding will fail. */
    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return 0;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, errno, "making a socket");
    bool answers = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 || errno == EAGAIN;
    bool is_stale = !answers && errno == ECONNREFUSED;

    (void)close(fd);
    if (answers)
        return err_set(err, ERR_CONFLICT, "another server answers on this socket");
    if (is_stale)
        (void)unlink(path);
    return 0;
}

static int open_abstract(struct listener *l, struct err *err)
{
    struct sockaddr_un sun;
    socklen_t len = abstract_to_sockaddr(l->options.unix_path, &sun);

    if (len == 0)
        return err_set(err, ERR_INVALID, "the socket's name is empty or too long");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_sys(err, errno, "making a socket");
    int status = bind(fd, (struct sockaddr *)&sun, len) < 0 ? uv_translate_sys_error(errno)
                                                            : uv_pipe_open(&l->uv.pipe, fd);

    if (status < 0) {
        (void)close(fd);
        return fail(err, status, "binding");
    }
    status = uv_listen(&l->uv.stream, BACKLOG, on_connection);
    return status < 0 ? fail(err, status, "listening") : 0;
}

static int open_unix(struct listener *l, struct err *err)
{
    mode_t before;
    int status;

    (void)uv_pipe_init(&l->loop->uv, &l->uv.pipe, 0);
    l->uv.handle.data = l;
    if (str_starts(l->options.unix_path, STR("@")))
        return open_abstract(l, err);
    l->unix_path = str_dup(l->options.unix_path);
    status = remove_stale(l->unix_path, err);
    if (status < 0)
        return status;
    /* Nobody else from the first moment; then what was asked for. */
    before = umask(0177);
    status = uv_pipe_bind(&l->uv.pipe, l->unix_path);
    (void)umask(before);
    if (status < 0)
        return fail(err, status, "binding");
    (void)chmod(l->unix_path, l->options.unix_mode ? l->options.unix_mode : 0700);
    status = uv_listen(&l->uv.stream, BACKLOG, on_connection);
    return status < 0 ? fail(err, status, "listening") : 0;
}

static void close_owned(struct loop_owned *o)
{
    listener_close(CONTAINER_OF(o, struct listener, owned));
}

int listener_open(struct loop *loop, const struct listener_options *options, struct listener **out,
                  struct err *err)
{
    struct listener *l = NEW(struct listener);

    l->loop = loop;
    l->options = *options;
    l->options.like = NULL; /* it may go before */
    l->counts = options->like ? counts_ref(options->like->counts) : counts_new();
    l->owned.close = close_owned;
    list_push_back(&loop->owned, &l->owned.link);
    timer_init(&l->pause, loop, on_pause_over, l);
    l->more.run = on_more;
    int status = options->unix_path.len > 0 ? open_unix(l, err) : open_tcp(l, err);

    if (status < 0) {
        listener_close(l);
        return status;
    }
    *out = l;
    return 0;
}

int listener_open_each(struct loop *const *loops, size_t n_loops,
                       const struct listener_options *options, struct listener **out,
                       struct err *err)
{
    struct listener_options o = *options;

    o.addr = bind_usable(o.addr);
    if (o.n_given == 0 && bind_check_tcp(o.addr, err) < 0)
        return err_wrap(err, "listening (is it running already?)");
    for (size_t i = 0; i < n_loops; i++) {
        if (o.n_given > 0)
            o.fd = fcntl(o.given[i % o.n_given], F_DUPFD_CLOEXEC, 3);
        if (o.fd < 0)
            return err_sys(err, errno, "sharing a socket");
        if (listener_open(loops[i], &o, &out[i], err) < 0)
            return err_wrap(err, "listening");
        o.addr = listener_addr(out[i]);
        if (i == 0 && !o.like)
            o.like = out[0];
    }
    return 0;
}

int listener_fd(const struct listener *l)
{
    uv_os_fd_t fd = -1;

    (void)uv_fileno(&l->uv.handle, &fd);
    return fd;
}

struct ip_addrport listener_addr(const struct listener *l)
{
    struct sockaddr_storage sa;
    int len = sizeof(sa);

    if (l->options.unix_path.len > 0 ||
        uv_tcp_getsockname(&l->uv.tcp, (struct sockaddr *)&sa, &len) < 0)
        return (struct ip_addrport){0};
    struct ip_addrport addr = addrport_from_sockaddr((struct sockaddr *)&sa);

    addr.addr = l->options.addr.addr; /* as asked for, not unmapped */
    return addr;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;

    counts_unref(l->counts);
    mem_free(l->unix_path);
    mem_free(l);
}

void listener_finish(struct listener *l)
{
    if (!l)
        return;
    l->accepted = 0;
    if (l->has_more)
        on_connection(&l->uv.stream, 0);
    listener_close(l);
}

void listener_close(struct listener *l)
{
    if (!l || uv_is_closing(&l->uv.handle))
        return;
    timer_stop(&l->pause);
    loop_undefer(&l->more);
    list_remove(&l->owned.link);
    uv_close(&l->uv.handle, on_listener_closed); /* libuv unlinks the socket file */
}
