/*
 * The relay bench finds what a relay may do wrong. Between its pairs stands a forwarder on a thread
 * that copies, or that alters, doubles, drops or exchanges packets; a faithful one fails no check,
 * a dropping one is told as loss, any other fails the run.
 */

#include "../unit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/derp_internal.h"
#include "core/clock.h"
#include "core/mem.h"
#include "derp/frame.h"

#define PAIRS 2
#define SIZE 100
#define FRAME (DERP_FRAME_HEADER + KEY_BYTES + SIZE)
#define HELLO 5

enum fault { FAITHFUL, DROPS, ALTERS, DOUBLES, MISDELIVERS, LIES_ABOUT_SOURCE };

struct forwarder {
    int listener;
    struct ip_addrport addr;
    enum fault fault;
    pthread_t thread;
};

static bool read_whole(int fd, char *out, size_t n)
{
    return recv(fd, out, n, MSG_WAITALL) == (ssize_t)n;
}

static void write_whole(int fd, const char *data, size_t n)
{
    if (send(fd, data, n, MSG_NOSIGNAL) != (ssize_t)n)
        print_message("the receiver has gone\n");
}

/* The n-th frame of a pair, with every tenth treated as the fault says. */
static void forward(const struct forwarder *f, const int *receivers, uint32_t pair, uint64_t n,
                    char frame[FRAME])
{
    bool now = n % 10 == 9;

    if (now && f->fault == DROPS)
        return;
    if (now && f->fault == ALTERS)
        frame[FRAME - 1] ^= 1;
    if (now && f->fault == LIES_ABOUT_SOURCE)
        frame[DERP_FRAME_HEADER + 3] ^= 1;
    if (now && f->fault == MISDELIVERS)
        pair = !pair;
    write_whole(receivers[pair], frame, FRAME);
    if (now && f->fault == DOUBLES)
        write_whole(receivers[pair], frame, FRAME);
}

static void *forwarder_main(void *arg)
{
    const struct forwarder *f = arg;
    int senders[PAIRS] = {-1, -1}, receivers[PAIRS] = {-1, -1};
    uint64_t n[PAIRS] = {0};
    char hello[HELLO], frame[FRAME];

    for (size_t i = 0; i < (size_t)2 * PAIRS; i++) {
        int fd = accept(f->listener, NULL, NULL);

        assert_true(fd >= 0 && read_whole(fd, hello, HELLO));
        uint32_t pair = str_be32(str_bytes(hello, HELLO), 1);

        assert_true(pair < PAIRS);
        *(hello[0] == 'S' ? &senders[pair] : &receivers[pair]) = fd;
    }
    for (bool going = true; going;) {
        struct pollfd polls[PAIRS] = {{senders[0], POLLIN, 0}, {senders[1], POLLIN, 0}};

        going = poll(polls, PAIRS, 10000) > 0;
        for (uint32_t pair = 0; pair < PAIRS && going; pair++) {
            if (polls[pair].revents == 0)
                continue;
            going = read_whole(senders[pair], frame, FRAME);
            if (going)
                forward(f, receivers, pair, n[pair]++, frame);
        }
    }
    for (size_t i = 0; i < PAIRS; i++) {
        (void)close(senders[i]);
        (void)close(receivers[i]);
    }
    return NULL;
}

static void forwarder_start(struct forwarder *f, enum fault fault)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);

    f->fault = fault;
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(f->listener, 16), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&sa, &len), 0);
    f->addr = (struct ip_addrport){.addr = IP_ADDR_V4(127, 0, 0, 1), .port = ntohs(sa.sin_port)};
    assert_int_equal(pthread_create(&f->thread, NULL, forwarder_main, f), 0);
}

static void forwarder_join(struct forwarder *f)
{
    (void)pthread_join(f->thread, NULL);
    (void)close(f->listener);
}

static const struct {
    const char *name;
    enum fault fault;
    bool fails, loses; /* loses: of those that do not fail */
    size_t rate;
} cases[] = {
    {"copies", FAITHFUL, false, false, 0},
    {"copies at a rate", FAITHFUL, false, false, 2000},
    {"drops", DROPS, false, true, 0},
    {"drops at a rate", DROPS, false, true, 2000},
    {"alters a byte", ALTERS, true, false, 0},
    {"sends some twice", DOUBLES, true, false, 0},
    {"hands some to another", MISDELIVERS, true, false, 0},
    {"says another source", LIES_ABOUT_SOURCE, true, false, 0},
};

static void finds_each_fault(void **state)
{
    const struct derp_bench_options o = {
        .window = 32, .burst = 1, .run_ms = 300, .warm_ms = 50, .limit_ms = 20000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct derp_bench_target target = {.name = STR("forwarder"), .is_floor = true};
        const struct derp_load what = {.pairs = PAIRS, .size = SIZE, .rate = cases[i].rate};
        struct derp_load_figures figures;
        struct forwarder f;
        struct derp_run run;
        struct err err = {0};

        print_message("%s\n", cases[i].name);
        forwarder_start(&f, cases[i].fault);
        target.addr = f.addr;
        assert_true(derp_run_init(&run, &o, &target, clock_mono_ms() + o.limit_ms, &err));
        bool ok = derp_load_run(&run, &what, &figures);

        forwarder_join(&f);
        assert_int_equal(run.failures > 0, cases[i].fails);
        if (!cases[i].fails) {
            assert_true(ok);
            assert_true(figures.got > 100);
            assert_int_equal(figures.sent - figures.got, figures.lost);
            assert_int_equal(figures.lost > 0, cases[i].loses);
        }
    }
}

/* Each floor as it is used: a process of its own. */
static void floor_forwards(void **state)
{
    static const struct {
        const char *name;
        enum derp_floor kind;
    } rows[] = {
        {"epoll", DERP_FLOOR_EPOLL},
        {"epoll that rests", DERP_FLOOR_RESTS},
        {"io_uring", DERP_FLOOR_URING},
        {"io_uring that rests", DERP_FLOOR_URING | DERP_FLOOR_RESTS},
    };
    const struct derp_bench_options o = {
        .window = 8, .burst = 2, .gather = true, .run_ms = 200, .warm_ms = 50, .limit_ms = 20000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct derp_bench_target target = {.name = STR("floor"), .is_floor = true};
        const struct derp_load what = {.pairs = 5, .size = 40000};
        struct derp_load_figures figures;
        struct derp_run run;
        struct err err = {0};

        print_message("%s\n", rows[i].name);
        if (!derp_floor_start(rows[i].kind, &target.addr, &target.pid, &err)) {
            /* Kernels and containers may refuse io_uring, and nothing else. */
            assert_true(rows[i].kind & DERP_FLOOR_URING);
            print_message("  %s\n", err.text);
            continue;
        }
        for (int k = 0; k < 2; k++) {
            assert_true(derp_run_init(&run, &o, &target, clock_mono_ms() + o.limit_ms, &err));
            assert_true(derp_load_run(&run, &what, &figures));
            assert_int_equal(run.failures, 0);
            assert_int_equal(figures.lost, 0);
            assert_true(figures.got > 10);
        }
        derp_floor_stop(target.pid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_each_fault),
        cmocka_unit_test(floor_forwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
