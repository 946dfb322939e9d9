/* UDP: families, who answers, batches and what becomes of them when the kernel says no. */

#include "harness.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/metric.h"
#include "net/udp.h"

/*
 * The system call, which a test may have fail: what the next calls say instead of sending, 0 for
 * what is to be sent. On loopback a send buffer is never full by itself.
 */
static struct kernel {
    int errors[8];
    size_t at;
    size_t n_calls, n_messages;
    unsigned most; /* messages taken of a call, 0: all */
} kernel;

int sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags)
{
    int error = kernel.at < ARRAY_LEN(kernel.errors) ? kernel.errors[kernel.at++] : 0;

    kernel.n_calls++;
    assert_true(flags & MSG_DONTWAIT);
    if (error) {
        errno = error;
        return -1;
    }
    if (kernel.most > 0)
        n = MIN(n, kernel.most);
    kernel.n_messages += n;
    return (int)syscall(SYS_sendmmsg, fd, messages, n, flags);
}

static int64_t n_dropped(void)
{
    struct buf out = BUF((size_t)1 << 20);
    struct str name = STR("\nhatsize_udp_dropped_total ");
    uint64_t n = 0;

    metric_put_all(&out);
    const char *at = out.len > 0 ? memmem(out.ptr, out.len, name.ptr, name.len) : NULL;

    if (at) {
        struct str rest = str_from_index(buf_str(&out), (size_t)(at - out.ptr) + name.len), line;

        assert_true(str_next(&rest, '\n', &line));
        assert_true(str_parse_u64(line, &n));
    }
    buf_fini(&out);
    return (int64_t)n;
}

struct post {
    struct udp *udp;
    size_t n;
    struct ip_addrport from;
    char got[2048];
    size_t len;
    bool echoes;
    bool closes;
};

static void on_datagram(void *user, struct udp *udp, struct ip_addrport from, struct str data)
{
    struct post *p = user;

    assert_ptr_equal(udp, p->udp);
    p->n++;
    p->from = from;
    p->len = data.len;
    assert_true(data.len <= sizeof(p->got));
    memcpy(p->got, data.ptr, data.len);
    if (p->echoes)
        udp_send(udp, from, data);
    if (p->closes)
        udp_close(TAKE(p->udp));
}

static void post_open(struct post *p, struct loop *loop, const char *at)
{
    struct err err = {0};

    assert_int_equal(udp_open(loop, addrport(at), on_datagram, p, &p->udp, &err), 0);
    assert_true(udp_addr(p->udp).port != 0);
}

/* The echo comes from the very address that was asked, whichever of the many it is. */
static void answers_from_where_it_was_asked(void **state)
{
    static const struct {
        const char *name, *listen, *from, *ask;
    } rows[] = {
        {"IPv4", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
        {"any IPv4, not the first address", "0.0.0.0:0", "127.0.0.1:0", "127.0.0.9"},
        {"any, asked over IPv4", "[::]:0", "127.0.0.1:0", "127.0.0.1"},
        {"any, over IPv4, not the first address", "[::]:0", "127.0.0.3:0", "127.0.0.9"},
        {"IPv6", "[::1]:0", "[::1]:0", "::1"},
        {"any, asked over IPv6", "[::]:0", "[::1]:0", "::1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct loop *loop = new_loop();
        struct post server = {.echoes = true}, client = {0};

        print_message("%s\n", rows[i].name);
        post_open(&server, loop, rows[i].listen);
        post_open(&client, loop, rows[i].from);
        struct ip_addrport to = {.port = udp_addr(server.udp).port};

        assert_true(ip_addr_parse(str_from(rows[i].ask), &to.addr));
        udp_send(client.udp, to, STR("where am I"));
        RUN_UNTIL(loop, client.n == 1);
        /* An IPv4 peer is one also for an IPv6 socket. */
        assert_true(ip_addrport_eq(server.from, udp_addr(client.udp)));
        assert_true(ip_addrport_eq(client.from, to));
        assert_str(str_bytes(client.got, client.len), STR("where am I"));
        udp_close(server.udp);
        udp_close(client.udp);
        loop_free(loop);
    }
}

static void drops_what_is_too_long(void **state)
{
    struct str data = noise(1, 1501);
    struct loop *loop = new_loop();
    struct post server = {0}, client = {0};

    (void)state;
    post_open(&server, loop, "127.0.0.1:0");
    post_open(&client, loop, "127.0.0.1:0");
    udp_send(client.udp, udp_addr(server.udp), data);
    udp_send(client.udp, udp_addr(server.udp), str_sub(data, 0, 1500));
    udp_send(client.udp, udp_addr(server.udp), STR_NONE);
    RUN_UNTIL(loop, server.n == 2); /* the empty one is a datagram too */
    assert_int_equal(server.len, 0);
    assert_memory_equal(server.got, data.ptr, 1500);
    loop_free(loop); /* closes both */
    str_free(&data);
}

/* Nobody at the other end: the kernel says so at the next call, and the socket lives on. */
static void survives_being_refused(void **state)
{
    struct loop *loop = new_loop();
    struct post server = {.echoes = true}, client = {0}, gone = {0};

    (void)state;
    post_open(&server, loop, "127.0.0.1:0");
    post_open(&client, loop, "127.0.0.1:0");
    post_open(&gone, loop, "127.0.0.1:0");
    struct ip_addrport nobody = udp_addr(gone.udp);

    udp_close(gone.udp);
    RUN_ROUNDS(loop, 3);
    udp_send(client.udp, nobody, STR("hello?"));
    RUN_ROUNDS(loop, 5);
    udp_send(client.udp, udp_addr(server.udp), STR("you then"));
    RUN_UNTIL(loop, client.n == 1);
    loop_free(loop);
}

static void closes_from_inside(void **state)
{
    struct loop *loop = new_loop();
    struct post server = {.closes = true, .echoes = true}, client = {0};

    (void)state;
    post_open(&server, loop, "127.0.0.1:0");
    post_open(&client, loop, "127.0.0.1:0");
    for (int i = 0; i < 5; i++)
        udp_send(client.udp, udp_addr(server.udp), STR("once"));
    RUN_UNTIL(loop, client.n == 1);
    RUN_ROUNDS(loop, 5);
    assert_int_equal(server.n, 1);
    udp_close(NULL);
    loop_free(loop);
}

/* Two servers on one port would each get some of the questions, or one of them all. */
static void refuses_a_taken_port(void **state)
{
    struct loop *loop = new_loop();
    struct post first = {0}, second = {0};
    struct err err = {0};

    (void)state;
    post_open(&first, loop, "127.0.0.1:0");
    assert_int_equal(udp_open(loop, udp_addr(first.udp), on_datagram, &second, &second.udp, &err),
                     -ERR_IO);
    loop_free(loop);
}

/* ---- Batches ---- */

#define MANY 200 /* several batches */

/* One that asks in numbers and hears the numbers again. */
struct asker {
    struct udp *udp;
    struct ip_addrport to;
    char heard[MANY];
    size_t n;
};

static void on_number(void *user, struct udp *udp, struct ip_addrport from, struct str data)
{
    struct asker *a = user;

    assert_ptr_equal(udp, a->udp);
    assert_true(ip_addrport_eq(from, a->to));
    assert_true(data.len > 0 && a->n < MANY);
    for (size_t i = 1; i < data.len; i++) /* each byte of a datagram is its number */
        assert_int_equal(data.ptr[i], data.ptr[0]);
    a->heard[a->n++] = data.ptr[0];
}

static void asker_open(struct asker *a, struct loop *loop, const char *at,
                       const struct post *server)
{
    struct err err = {0};

    *a = (struct asker){.to = addrport(at)};
    a->to.port = udp_addr(server->udp).port;
    assert_int_equal(udp_open(loop, addrport(at), on_number, a, &a->udp, &err), 0);
}

static void ask(struct asker *a, int number, size_t len)
{
    char bytes[1501];

    memset(bytes, number, sizeof(bytes));
    udp_send(a->udp, a->to, str_bytes(bytes, len));
}

static void assert_heard(const struct asker *a, size_t n, int first, int step)
{
    assert_int_equal(a->n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal((uint8_t)a->heard[i], first + (int)i * step);
}

/* More than a batch at once, from one peer or several by turns: each hears its own, in order. */
static void answers_more_than_a_batch(void **state)
{
    static const struct {
        const char *name, *listen, *ask;
        size_t askers;
        size_t len; /* of the first; the second is a byte longer when `grows`, and so on, mod 3 */
        bool grows;
        size_t messages_max;
    } rows[] = {
        {"one peer", "127.0.0.1:0", "127.0.0.1:0", 1, 32, false, 8},
        {"one peer, IPv6", "[::1]:0", "[::1]:0", 1, 44, false, 8},
        {"one peer, any address", "[::]:0", "127.0.0.1:0", 1, 32, false, 8},
        {"one peer, IPv6, any address", "[::]:0", "[::1]:0", 1, 32, false, 8},
        {"one peer, lengths differ", "0.0.0.0:0", "127.0.0.1:0", 1, 1, true, MANY},
        {"peers by turns", "127.0.0.1:0", "127.0.0.1:0", 5, 32, false, MANY},
        {"peers by turns, any address", "[::]:0", "127.0.0.1:0", 5, 32, true, MANY},
        {"longer than what is gathered", "127.0.0.1:0", "127.0.0.1:0", 2, 127, true, MANY},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct loop *loop = new_loop();
        struct post server = {.echoes = true};
        struct asker askers[5];
        size_t k = rows[i].askers;

        print_message("%s\n", rows[i].name);
        post_open(&server, loop, rows[i].listen);
        for (size_t a = 0; a < k; a++)
            asker_open(&askers[a], loop, rows[i].ask, &server);
        kernel = (struct kernel){0};
        for (size_t n = 0; n < MANY; n++)
            ask(&askers[n % k], (int)n, rows[i].len + (rows[i].grows ? n % 3 : 0));
        RUN_UNTIL(loop, server.n == MANY);
        RUN_ROUNDS(loop, 20);
        for (size_t a = 0; a < k; a++)
            assert_heard(&askers[a], MANY / k, (int)a, (int)k);
        assert_true(kernel.n_messages <= rows[i].messages_max);
        assert_true(rows[i].len > 100 || kernel.n_calls <= 8);
        loop_free(loop);
    }
}

static void on_two(void *user, struct udp *udp, struct ip_addrport from, struct str data)
{
    const struct asker *other = user;

    udp_send(udp, from, data);
    udp_send(udp, udp_addr(other->udp), data); /* whoever asked: a copy for the other */
}

/* A receiver may send more than it hears, and to others: twice a batch from one batch. */
static void sends_to_others_as_well(void **state)
{
    struct loop *loop = new_loop();
    struct asker asker, other;
    struct post server = {0};
    struct err err = {0};

    (void)state;
    assert_int_equal(udp_open(loop, addrport("[::]:0"), on_two, &other, &server.udp, &err), 0);
    asker_open(&asker, loop, "127.0.0.1:0", &server);
    asker_open(&other, loop, "127.0.0.1:0", &server);
    for (int n = 0; n < 100; n++)
        ask(&asker, n, 20);
    RUN_UNTIL(loop, asker.n >= 100 && other.n >= 100);
    RUN_ROUNDS(loop, 5);
    assert_heard(&asker, 100, 0, 1);
    assert_heard(&other, 100, 0, 1);
    loop_free(loop);
}

/* Good ones among such as are too long, empty, or of no interest: nothing moves to another place.
 */
static void keeps_apart_good_and_bad(void **state)
{
    struct loop *loop = new_loop();
    struct post server = {.echoes = true};
    struct asker asker, quiet;

    (void)state;
    post_open(&server, loop, "127.0.0.1:0");
    asker_open(&asker, loop, "127.0.0.1:0", &server);
    asker_open(&quiet, loop, "127.0.0.1:0", &server);
    for (int n = 0; n < 60; n++) {
        ask(&quiet, n, 1501);
        ask(&asker, n, 1 + (size_t)n);
        if (n % 7 == 0)
            ask(&asker, 60, 1501);
    }
    RUN_UNTIL(loop, asker.n >= 60);
    RUN_ROUNDS(loop, 5);
    assert_heard(&asker, 60, 0, 1);
    assert_int_equal(quiet.n, 0);
    assert_int_equal(server.n, 60);
    loop_free(loop);
}

/* What the kernel does not take is dropped and counted; nothing waits, what is left still goes. */
static void drops_what_the_kernel_does_not_take(void **state)
{
    static const struct {
        const char *name;
        size_t askers;
        unsigned most;
        int errors[4];
        size_t heard; /* of 12 */
        int64_t dropped;
    } rows[] = {
        {"no room", 2, 0, {EAGAIN}, 0, 12},
        {"no room after five", 2, 5, {0, EAGAIN}, 5, 7},
        {"no memory", 2, 0, {ENOBUFS}, 0, 12},
        {"one that may not go", 2, 0, {EPERM}, 11, 1},
        {"one in the middle", 2, 5, {0, EHOSTUNREACH}, 11, 1},
        {"a signal", 2, 0, {EINTR, EINTR}, 12, 0},
        {"a few at a time", 2, 1, {0}, 12, 0},
        {"no room for one peer's", 1, 0, {EAGAIN}, 0, 12},
        {"one peer's cannot be cut", 1, 0, {EIO}, 12, 0},
        {"one peer's may not be cut", 1, 0, {EINVAL}, 12, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct loop *loop = new_loop();
        struct post server = {.echoes = true};
        struct asker askers[2];
        size_t k = rows[i].askers, n_heard = 0;
        int64_t before = n_dropped();

        print_message("%s\n", rows[i].name);
        post_open(&server, loop, "127.0.0.1:0");
        for (size_t a = 0; a < k; a++)
            asker_open(&askers[a], loop, "127.0.0.1:0", &server);
        for (size_t n = 0; n < 12; n++)
            ask(&askers[n % k], (int)n, 32);
        kernel = (struct kernel){.most = rows[i].most};
        memcpy(kernel.errors, rows[i].errors, sizeof(rows[i].errors));
        RUN_UNTIL(loop, server.n == 12);
        RUN_ROUNDS(loop, 5);
        for (size_t a = 0; a < k; a++)
            n_heard += askers[a].n;
        assert_int_equal(n_heard, rows[i].heard);
        assert_int_equal(n_dropped() - before, rows[i].dropped);
        /* And the socket is as it was. */
        kernel = (struct kernel){0};
        ask(&askers[0], 99, 32);
        RUN_UNTIL(loop, askers[0].n > 0 && askers[0].heard[askers[0].n - 1] == 99);
        loop_free(loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_from_where_it_was_asked),
        cmocka_unit_test(drops_what_is_too_long),
        cmocka_unit_test(survives_being_refused),
        cmocka_unit_test(closes_from_inside),
        cmocka_unit_test(refuses_a_taken_port),
        cmocka_unit_test(answers_more_than_a_batch),
        cmocka_unit_test(sends_to_others_as_well),
        cmocka_unit_test(keeps_apart_good_and_bad),
        cmocka_unit_test(drops_what_the_kernel_does_not_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
