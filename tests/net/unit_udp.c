/* UDP: families, and who answers. */

#include "harness.h"

#include "net/udp.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_from_where_it_was_asked),
        cmocka_unit_test(drops_what_is_too_long),
        cmocka_unit_test(survives_being_refused),
        cmocka_unit_test(closes_from_inside),
        cmocka_unit_test(refuses_a_taken_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
