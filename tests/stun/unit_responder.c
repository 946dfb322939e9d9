#include "../unit.h"

#include "core/rand.h"
#include "net/udp.h"
#include "stun/codec.h"
#include "stun/responder.h"

struct asker {
    struct buf got;
    size_t n;
};

static void on_receive(void *user, struct udp *udp, struct ip_addrport from, struct str data)
{
    struct asker *a = user;

    (void)udp;
    (void)from;
    buf_clear(&a->got);
    buf_put(&a->got, data);
    a->n++;
}

static void run_until(struct loop *loop, const struct asker *a, size_t n)
{
    for (int i = 0; i < 200 && a->n < n; i++)
        loop_run_once(loop, 10);
}

static void answers_on(const char *listen, const char *ask_from, const char *ask_at)
{
    struct asker asker = {.got = BUF(4096)};
    struct stun_responder *responder;
    struct ip_addrport at, from, seen;
    struct stun_txid txid, back;
    struct buf request = BUF(4096);
    struct loop *loop;
    struct udp *udp;
    struct err err = {0};

    assert_true(ip_addrport_parse(str_from(listen), &at));
    assert_true(ip_addrport_parse(str_from(ask_from), &from));
    assert_int_equal(loop_new("test", &loop, &err), 0);
    assert_int_equal(stun_responder_open_each(&loop, 1, at, &responder, &err), 0);
    assert_int_equal(udp_open(loop, from, on_receive, &asker, &udp, &err), 0);
    struct ip_addrport to = stun_responder_addr(responder);

    assert_true(ip_addr_parse(str_from(ask_at), &to.addr));
    rand_bytes(txid.b, sizeof(txid.b));
    stun_request_encode(&request, &txid);
    /* Not a request: no answer comes before the one to the request. */
    udp_send(udp, to, STR("hello"));
    udp_send(udp, to, buf_str(&request));
    run_until(loop, &asker, 1);
    assert_int_equal(asker.n, 1);
    assert_true(stun_response_decode(buf_str(&asker.got), &back, &seen));
    assert_memory_equal(back.b, txid.b, sizeof(txid.b));
    assert_int_equal(seen.port, udp_addr(udp).port);
    assert_true(ip_addr_eq(seen.addr, to.addr));
    udp_close(udp);
    stun_responder_close(responder);
    loop_free(loop);
    buf_fini(&asker.got);
    buf_fini(&request);
}

static void answers_each_family(void **state)
{
    (void)state;
    answers_on("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1");
    answers_on("[::]:0", "127.0.0.1:0", "127.0.0.1");
    answers_on("[::1]:0", "[::1]:0", "::1");
    answers_on("[::]:0", "[::1]:0", "::1");
}

/* As many sockets as loops on one port; each client is answered by one of them. */
static void answers_on_every_loop(void **state)
{
    struct ip_addrport at = {.addr = IP_ADDR_V4(127, 0, 0, 1)};
    struct stun_responder *responders[3] = {NULL}, *refused[1] = {NULL};
    struct asker askers[16];
    struct udp *udps[16];
    struct loop *loops[3];
    struct buf request = BUF(4096);
    struct stun_txid txid;
    struct err err = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(loop_new("test", &loops[i], &err), 0);
    assert_int_equal(stun_responder_open_each(loops, 3, at, responders, &err), 0);
    struct ip_addrport to = stun_responder_addr(responders[2]);

    assert_true(ip_addrport_eq(to, stun_responder_addr(responders[0])));
    /* Sharing is among these: nobody else gets the port, nor does this function twice. */
    assert_true(stun_responder_open_each(loops, 1, to, refused, &err) < 0);
    rand_bytes(txid.b, sizeof(txid.b));
    stun_request_encode(&request, &txid);
    for (size_t i = 0; i < ARRAY_LEN(udps); i++) {
        askers[i] = (struct asker){.got = BUF(4096)};
        assert_int_equal(udp_open(loops[0], at, on_receive, &askers[i], &udps[i], &err), 0);
        udp_send(udps[i], to, buf_str(&request));
    }
    for (size_t i = 0; i < ARRAY_LEN(udps); i++) {
        for (int n = 0; n < 600 && askers[i].n == 0; n++)
            loop_run_once(loops[n % 3], 1);
        assert_int_equal(askers[i].n, 1);
        buf_fini(&askers[i].got);
    }
    buf_fini(&request);
    for (size_t i = 0; i < 3; i++) {
        stun_responder_close(responders[i]);
        loop_free(loops[i]);
    }
}

struct crowd {
    struct stun_txid ids[100];
    unsigned answers[100];
    size_t n;
};

static void on_answer(void *user, struct udp *udp, struct ip_addrport from, struct str data)
{
    struct crowd *c = user;
    struct stun_txid id;
    struct ip_addrport seen;

    (void)from;
    assert_true(stun_response_decode(data, &id, &seen));
    assert_true(ip_addrport_eq(seen, udp_addr(udp)));
    size_t i = id.b[0];

    assert_true(i < ARRAY_LEN(c->ids));
    assert_memory_equal(id.b, c->ids[i].b, sizeof(id.b));
    c->answers[i]++;
    c->n++;
}

/* Several batches, every third no question: each question has its own answer, once. */
static void answers_many_at_once(void **state)
{
    struct ip_addrport at = {.addr = IP_ADDR_V4(127, 0, 0, 1)};
    struct crowd crowd = {.n = 0};
    struct stun_responder *responder;
    struct buf request = BUF(4096);
    struct loop *loop;
    struct udp *udp;
    struct err err = {0};

    (void)state;
    assert_int_equal(loop_new("test", &loop, &err), 0);
    assert_int_equal(stun_responder_open_each(&loop, 1, at, &responder, &err), 0);
    assert_int_equal(udp_open(loop, at, on_answer, &crowd, &udp, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(crowd.ids); i++) {
        rand_bytes(crowd.ids[i].b, sizeof(crowd.ids[i].b));
        crowd.ids[i].b[0] = (uint8_t)i;
        buf_clear(&request);
        stun_request_encode(&request, &crowd.ids[i]);
        udp_send(udp, stun_responder_addr(responder), buf_str(&request));
        request.ptr[39] = (char)(request.ptr[39] ^ 1); /* the fingerprint */
        udp_send(udp, stun_responder_addr(responder), buf_str(&request));
        udp_send(udp, stun_responder_addr(responder), STR_NONE);
    }
    for (int i = 0; i < 500 && crowd.n < ARRAY_LEN(crowd.ids); i++)
        loop_run_once(loop, 10);
    for (int i = 0; i < 5; i++)
        loop_run_once(loop, 1);
    for (size_t i = 0; i < ARRAY_LEN(crowd.ids); i++)
        assert_int_equal(crowd.answers[i], 1);
    stun_responder_close(responder);
    loop_free(loop);
    buf_fini(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_each_family),
        cmocka_unit_test(answers_on_every_loop),
        cmocka_unit_test(answers_many_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
