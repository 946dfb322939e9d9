/* See handover.h. */

#include "host/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"

#define FIRST_FD 3
#define GIVEN_MAX 1024

struct given {
    int fd, type;
    struct ip_addrport addr; /* family 0: no address of IP */
    bool is_used;
    struct str name; /* owned */
};

struct handover {
    struct given given[GIVEN_MAX];
    size_t n;
    int picked[GIVEN_MAX]; /* the last pick's answer, one behind the other */
    size_t n_picked;
    struct sockaddr_un manager; /* sun_path empty: there is none */
    socklen_t manager_len;
    size_t n_kept, n_lost; /* sockets of our own: in the store, and not */
};

/* ---- What was given ---- */

static struct ip_addrport addr_of(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    struct ip_addrport out = {0};

    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return out;
    if (sa.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&sa;

        out.addr.family = IP_V4;
        memcpy(out.addr.bytes, &in->sin_addr, 4);
        out.port = ntohs(in->sin_port);
    } else if (sa.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&sa;

        out.addr.family = IP_V6;
        memcpy(out.addr.bytes, &in6->sin6_addr, 16);
        out.port = ntohs(in6->sin6_port);
    }
    return out;
}

/* -1: no socket. */
static int type_of(int fd)
{
    int type = -1;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ? -1 : type;
}

static uint64_t number_of(const char *variable)
{
    const char *text = getenv(variable);
    uint64_t n = 0;

    return text && str_parse_u64(str_from(text), &n) ? n : 0;
}

static void take_given(struct handover *h)
{
    const char *names = getenv("LISTEN_FDNAMES");
    struct str rest = str_from(names ? names : ""), name;
    size_t n = number_of("LISTEN_PID") == (uint64_t)getpid() ? number_of("LISTEN_FDS") : 0;

    for (size_t i = 0; i < MIN(n, (size_t)GIVEN_MAX); i++) {
        struct given *g = &h->given[h->n++];

        g->fd = FIRST_FD + (int)i;
        g->name = str_copy(str_next(&rest, ':', &name) ? name : STR_NONE);
        (void)fcntl(g->fd, F_SETFD, FD_CLOEXEC);
        g->type = type_of(g->fd);
        g->addr = addr_of(g->fd);
    }
}

static void take_manager(struct handover *h)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;

    if ((len > 0 && path[0] != '/' && path[0] != '@') || len < 2 ||
        len >= sizeof(h->manager.sun_path))
        return;
    h->manager.sun_family = AF_UNIX;
    memcpy(h->manager.sun_path, path, len);
    if (path[0] == '@')
        h->manager.sun_path[0] = '\0';
    h->manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

struct handover *handover_take(void)
{
    struct handover *h = NEW(struct handover);

    take_given(h);
    take_manager(h);
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    (void)unsetenv("NOTIFY_SOCKET");
    return h;
}

size_t handover_pick(struct handover *h, int type, struct ip_addrport addr, const int **fds)
{
    size_t from = h->n_picked;

    for (size_t i = 0; i < h->n; i++) {
        struct given *g = &h->given[i];

        if (g->is_used || g->type != type || !ip_addrport_eq(g->addr, addr))
            continue;
        g->is_used = true;
        h->picked[h->n_picked++] = g->fd;
    }
    *fds = h->picked + from;
    return h->n_picked - from;
}

/* ---- The service manager ---- */

static bool tell(const struct handover *h, struct str text, int fd)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text.ptr, .iov_len = text.len};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_name = (void *)(uintptr_t)&h->manager,
                         .msg_namelen = h->manager_len,
                         .msg_iov = &iov,
                         .msg_iovlen = 1};

    if (h->manager_len == 0)
        return false;
    if (fd >= 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);
        control.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    }
    int at = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = at >= 0 && sendmsg(at, &msg, MSG_NOSIGNAL) >= 0;

    if (!ok) {
        struct err err = {0};

        IGNORE(err_sys(&err, errno, "telling the service manager"));
        log_event(LOG_WARN, "restarts may refuse clients", LOG_ERR(&err));
    }
    if (at >= 0)
        (void)close(at);
    return ok;
}

void handover_say(const struct handover *h, const char *state)
{
    IGNORE(tell(h, str_from(state), -1));
}

static bool is_given(const struct handover *h, int fd)
{
    struct ip_addrport addr = addr_of(fd);
    int type = type_of(fd);

    for (size_t i = 0; i < h->n; i++)
        if (h->given[i].is_used && h->given[i].type == type &&
            ip_addrport_eq(h->given[i].addr, addr))
            return true;
    return false;
}

/* What was given is with whoever gave it already. */
void handover_keep(struct handover *h, const char *name, int fd)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(256);

    if (is_given(h, fd))
        return;
    buf_printf(&text, "FDSTORE=1\nFDNAME=%s", name);
    if (tell(h, buf_str(&text), fd))
        h->n_kept++;
    else
        h->n_lost++;
}

bool handover_outlives(const struct handover *h)
{
    return h->n_picked + h->n_kept > 0 && h->n_lost == 0;
}

static void forget(const struct handover *h, const struct given *g)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(1024), addr = BUF(256);

    ip_addrport_put(&addr, g->addr);
    log_event(LOG_WARN, "a socket that was handed over is not for these flags: closed",
              LOG_STR("addr", buf_str(&addr)));
    buf_printf(&text, "FDSTOREREMOVE=1\nFDNAME=%.*s", STR_ARG(g->name));
    if (g->name.len > 0)
        IGNORE(tell(h, buf_str(&text), -1));
}

void handover_settle(struct handover *h)
{
    for (size_t i = 0; i < h->n; i++) {
        struct given *g = &h->given[i];

        if (g->is_used || g->fd < 0)
            continue;
        forget(h, g);
        (void)close(g->fd);
        g->fd = -1;
    }
}

void handover_free(struct handover *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n; i++) {
        if (h->given[i].fd >= 0)
            (void)close(h->given[i].fd);
        str_free(&h->given[i].name);
    }
    mem_free(h);
}
