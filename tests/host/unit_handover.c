/* Sockets that are handed over, and what the service manager is told. */

#include "../unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "host/handover.h"

#define GIVEN 4

/* What is handed over comes as 3, 4, 5… */
static int out_of_the_way(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 50);

    assert_true(high >= 50);
    (void)close(fd);
    return high;
}

static int bound(int type, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = out_of_the_way(socket(AF_INET, type | SOCK_CLOEXEC, 0));

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static struct ip_addrport at_port(uint16_t port)
{
    return (struct ip_addrport){IP_ADDR_V4(127, 0, 0, 1), port};
}

static void set_number(const char *name, unsigned n)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%u", n);
    assert_int_equal(setenv(name, text, 1), 0);
}

/* As 3, 4, 5…, where the protocol has them; what was there comes back. */
struct places {
    int was[GIVEN];
};

static void put(struct places *p, const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p->was[i] = fcntl(3 + (int)i, F_DUPFD_CLOEXEC, 100);
        assert_int_equal(dup2(fds[i], 3 + (int)i), 3 + i);
    }
}

static void put_back(const struct places *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p->was[i] < 0) {
            (void)close(3 + (int)i);
            continue;
        }
        assert_int_equal(dup2(p->was[i], 3 + (int)i), 3 + i);
        (void)close(p->was[i]);
    }
}

static void name_of(int fd, char *out, size_t size)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(un);

    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&un, &len), 0);
    (void)snprintf(out, size, "@%.*s", (int)(len - sizeof(sa_family_t) - 1), un.sun_path + 1);
}

/* What the manager hears next, and the socket that came with it. */
static struct str hear(int manager, char *text, size_t size, int *fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = text, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(manager, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *fd = -1;
    if (n < 0)
        return STR_NONE;
    if (CMSG_FIRSTHDR(&msg))
        memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*fd));
    return str_bytes(text, (size_t)n);
}

static void picks_by_type_and_address(void **state)
{
    uint16_t tcp, udp, other;
    const int fds[] = {bound(SOCK_STREAM, &tcp), bound(SOCK_DGRAM, &udp),
                       bound(SOCK_STREAM, &other)};
    struct places places;
    const int *got = NULL;

    (void)state;
    put(&places, fds, ARRAY_LEN(fds));
    set_number("LISTEN_PID", (unsigned)getpid());
    set_number("LISTEN_FDS", ARRAY_LEN(fds));
    (void)setenv("LISTEN_FDNAMES", "main:stun:old", 1);
    struct handover *h = handover_take();

    assert_null(getenv("LISTEN_FDS"));
    assert_false(handover_outlives(h));
    assert_int_equal(handover_pick(h, SOCK_DGRAM, at_port(tcp), &got), 0);
    assert_int_equal(handover_pick(h, SOCK_STREAM, at_port(tcp), &got), 1);
    assert_int_equal(got[0], 3);
    assert_int_equal(handover_pick(h, SOCK_STREAM, at_port(tcp), &got), 0);
    assert_int_equal(handover_pick(h, SOCK_DGRAM, at_port(udp), &got), 1);
    assert_int_equal(got[0], 4);
    handover_settle(h);
    assert_true(fcntl(5, F_GETFD) < 0); /* nobody's */
    assert_int_equal(fcntl(3, F_GETFD), FD_CLOEXEC);
    assert_true(handover_outlives(h));
    handover_free(h);
    put_back(&places, ARRAY_LEN(fds));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
}

static void takes_nothing_that_is_for_others(void **state)
{
    const int *got = NULL;
    uint16_t port;
    const int fd = bound(SOCK_STREAM, &port);
    struct places places;

    (void)state;
    put(&places, &fd, 1);
    set_number("LISTEN_PID", (unsigned)getpid() + 1);
    set_number("LISTEN_FDS", 1);
    struct handover *h = handover_take();

    assert_int_equal(handover_pick(h, SOCK_STREAM, at_port(port), &got), 0);
    handover_settle(h);
    assert_true(fcntl(3, F_GETFD) >= 0);
    handover_free(h);
    (void)setenv("LISTEN_FDS", "none", 1);
    handover_free(handover_take());
    put_back(&places, 1);
    (void)close(fd);
}

static void tells_the_service_manager(void **state)
{
    int manager = out_of_the_way(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), fd = -1;
    char name[128], text[256];
    uint16_t port, theirs;
    const int own = bound(SOCK_STREAM, &port);
    const int *got = NULL;

    (void)state;
    name_of(manager, name, sizeof(name));
    (void)setenv("NOTIFY_SOCKET", name, 1);
    struct handover *h = handover_take();

    assert_null(getenv("NOTIFY_SOCKET"));
    assert_int_equal(handover_pick(h, SOCK_STREAM, at_port(port), &got), 0);
    handover_keep(h, "main", own);
    assert_str(hear(manager, text, sizeof(text), &fd), STR("FDSTORE=1\nFDNAME=main"));
    struct sockaddr_in at;
    socklen_t len = sizeof(at);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(ntohs(at.sin_port), port);
    (void)close(fd);
    assert_true(handover_outlives(h));
    handover_say(h, "READY=1");
    assert_str(hear(manager, text, sizeof(text), &fd), STR("READY=1"));
    assert_int_equal(fd, -1);
    handover_free(h);

    /* One that was handed over and is not wanted is forgotten; a manager that has gone is no help.
     */
    const int old = bound(SOCK_STREAM, &theirs);
    struct places places;

    put(&places, &old, 1);
    set_number("LISTEN_PID", (unsigned)getpid());
    set_number("LISTEN_FDS", 1);
    (void)setenv("LISTEN_FDNAMES", "old", 1);
    (void)setenv("NOTIFY_SOCKET", name, 1);
    h = handover_take();
    handover_settle(h);
    assert_str(hear(manager, text, sizeof(text), &fd), STR("FDSTOREREMOVE=1\nFDNAME=old"));
    (void)close(manager);
    handover_keep(h, "main", own);
    assert_false(handover_outlives(h));
    handover_free(h);
    put_back(&places, 1);
    (void)close(old);
    (void)close(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picks_by_type_and_address),
        cmocka_unit_test(takes_nothing_that_is_for_others),
        cmocka_unit_test(tells_the_service_manager),
    };

    log_init(LOG_OFF, LOG_TEXT, -1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
