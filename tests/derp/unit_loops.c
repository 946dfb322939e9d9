/*
 * Clients on several loops, each a thread of its own: what goes between them, under load, while
 * others come, go and are dropped. Worth most under the thread sanitizer.
 */

#include "../unit.h"

#include <stdatomic.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "derp/client.h"
#include "derp/server.h"

#define LOOPS 3
#define PATIENCE_MS 20000

struct rig {
    struct loop *loops[LOOPS];
    struct derp_server *server;
    struct node_private key;
};

/* A client on a loop. What it counts may be read from any thread. */
struct party {
    struct rig *rig;
    size_t home;
    struct node_private key;
    struct node_key public_key;
    struct derp_client *client; /* its loop's */
    _Atomic(bool) is_ready, is_closed;
    _Atomic(size_t) n_packets, n_gone;
    size_t next; /* of what it is sent, in order */
    bool is_disordered;
};

static void on_ready(void *user, const struct derp_server_info *info)
{
    (void)info;
    atomic_store(&((struct party *)user)->is_ready, true);
}

static void on_packet(void *user, const struct node_key *src, struct str packet)
{
    struct party *p = user;
    size_t number = 0;

    (void)src;
    if (packet.len >= sizeof(number)) {
        memcpy(&number, packet.ptr, sizeof(number));
        p->is_disordered |= number < p->next;
        p->next = number + 1;
    }
    atomic_fetch_add(&p->n_packets, 1);
}

static void on_peer_gone(void *user, const struct node_key *key, uint8_t reason)
{
    (void)key;
    (void)reason;
    atomic_fetch_add(&((struct party *)user)->n_gone, 1);
}

static void on_close(void *user, const struct err *why)
{
    struct party *p = user;

    (void)why;
    p->client = NULL;
    atomic_store(&p->is_closed, true);
}

static const struct derp_client_events events = {.on_ready = on_ready,
                                                 .on_packet = on_packet,
                                                 .on_peer_gone = on_peer_gone,
                                                 .on_close = on_close};

/* ---- Doing things on a party's loop ---- */

struct deed {
    struct loop_message message;
    struct party *p;
    void (*fn)(struct party *p, const struct party *to, size_t n);
    const struct party *to;
    size_t n;
};

static void deed_run(struct loop_message *msg)
{
    struct deed *d = CONTAINER_OF(msg, struct deed, message);

    if (!msg->cancelled)
        d->fn(d->p, d->to, d->n);
    mem_free(d);
}

static void party_do(struct party *p, void (*fn)(struct party *p, const struct party *to, size_t n),
                     const struct party *to, size_t n)
{
    struct deed *d = NEW(struct deed);

    *d = (struct deed){{.run = deed_run}, p, fn, to, n};
    loop_post(p->rig->loops[p->home], &d->message);
}

static void do_join(struct party *p, const struct party *to, size_t n)
{
    struct stream *ends[2];

    (void)to;
    (void)n;
    atomic_store(&p->is_ready, false);
    atomic_store(&p->is_closed, false);
    stream_pair(p->rig->loops[p->home], ends);
    derp_server_accept(p->rig->server, ends[0]);
    p->client = derp_client_new(
        ends[1], &(struct derp_client_options){.key = &p->key, .events = &events, .user = p});
}

static void do_leave(struct party *p, const struct party *to, size_t n)
{
    (void)to;
    (void)n;
    if (p->client)
        derp_client_close(p->client);
}

/* Numbered packets n*100 and 99 more. */
static void do_send(struct party *p, const struct party *to, size_t n)
{
    char packet[200] = {0};

    if (!p->client)
        return;
    for (size_t i = 100 * n; i < 100 * (n + 1); i++) {
        memcpy(packet, &i, sizeof(i));
        derp_client_send(p->client, &to->public_key, str_bytes(packet, sizeof(packet)));
    }
}

#define wait_for(condition)                             \
    do {                                                \
        int64_t until_ = clock_mono_ms() + PATIENCE_MS; \
                                                        \
        while (!(condition)) {                          \
            if (clock_mono_ms() > until_)               \
                fail_msg("never: %s", #condition);      \
            (void)usleep(500);                          \
        }                                               \
    } while (0)

/* ---- The rig ---- */

static void rig_start(struct rig *rig, struct derp_server_options options)
{
    struct err err;

    *rig = (struct rig){0};
    log_init(LOG_OFF, LOG_TEXT, -1);
    node_private_generate(&rig->key);
    for (size_t i = 0; i < LOOPS; i++)
        assert_int_equal(loop_new("test", &rig->loops[i], &err), 0);
    options.key = &rig->key;
    options.loops = rig->loops;
    options.n_loops = LOOPS;
    rig->server = derp_server_new(&options);
    for (size_t i = 0; i < LOOPS; i++)
        assert_int_equal(loop_thread_start(rig->loops[i], &err), 0);
}

static void rig_stop(struct rig *rig)
{
    for (size_t i = 0; i < LOOPS; i++) {
        loop_stop(rig->loops[i]);
        loop_thread_join(rig->loops[i]);
    }
    for (size_t i = 0; i < LOOPS; i++)
        loop_free(rig->loops[i]);
    derp_server_free(rig->server);
}

static void party_init(struct party *p, struct rig *rig, size_t home)
{
    *p = (struct party){.rig = rig, .home = home};
    node_private_generate(&p->key);
    node_private_public(&p->key, &p->public_key);
}

static void party_join(struct party *p, struct rig *rig, size_t home)
{
    party_init(p, rig, home);
    party_do(p, do_join, NULL, 0);
    wait_for(atomic_load(&p->is_ready));
}

/* ---- Tests ---- */

static const struct derp_server_options open_relay = {0};

static void packets_cross_loops_in_order(void **state)
{
    struct rig rig;
    struct party from, to;

    (void)state;
    rig_start(&rig, open_relay);
    party_join(&from, &rig, 0);
    party_join(&to, &rig, 1);
    for (size_t n = 0; n < 50; n++) {
        party_do(&from, do_send, &to, n);
        wait_for(atomic_load(&to.n_packets) == 100 * (n + 1));
    }
    /* Faster than they are taken some may be dropped, but none overtakes another. */
    for (size_t n = 50; n < 500; n++)
        party_do(&from, do_send, &to, n);
    wait_for(atomic_load(&to.n_packets) > 5000);
    party_do(&from, do_leave, NULL, 0);
    wait_for(atomic_load(&to.n_gone) == 1);
    rig_stop(&rig);
    assert_false(to.is_disordered);
    assert_true(atomic_load(&to.n_packets) <= 50000);
}

static void duplicates_may_sit_on_different_loops(void **state)
{
    struct rig rig;
    struct party a, one, two;

    (void)state;
    rig_start(&rig, open_relay);
    party_join(&a, &rig, 0);
    party_join(&one, &rig, 1);
    party_init(&two, &rig, 2);
    two.key = one.key;
    two.public_key = one.public_key;
    party_do(&two, do_join, NULL, 0);
    wait_for(atomic_load(&two.is_ready));

    party_do(&a, do_send, &one, 0);
    wait_for(atomic_load(&two.n_packets) == 100);
    party_do(&one, do_send, &a, 0);
    wait_for(atomic_load(&a.n_packets) == 100);
    party_do(&a, do_send, &one, 1);
    wait_for(atomic_load(&one.n_packets) == 100);
    /* The one that had sent something goes first: its peer hears of it when the last goes. */
    party_do(&one, do_leave, NULL, 0);
    wait_for(atomic_load(&one.is_closed) && derp_server_clients(rig.server) == 2);
    assert_int_equal(atomic_load(&a.n_gone), 0);
    derp_server_drop(rig.server, &one.public_key); /* from a third thread */
    wait_for(atomic_load(&two.is_closed));
    wait_for(atomic_load(&a.n_gone) == 1);
    rig_stop(&rig);
}

/* Everybody sends to everybody while keys come, go and are dropped. */
static void holds_while_clients_come_and_go(void **state)
{
    struct rig rig;
    struct party parties[12];

    (void)state;
    rig_start(&rig, open_relay);
    for (size_t i = 0; i < ARRAY_LEN(parties); i++)
        party_join(&parties[i], &rig, i % LOOPS);
    for (size_t round = 0; round < 60; round++) {
        struct party *leaver = &parties[round % ARRAY_LEN(parties)];

        for (size_t i = 0; i < ARRAY_LEN(parties); i++)
            party_do(&parties[i], do_send, &parties[(i + round) % ARRAY_LEN(parties)], round);
        if (round % 3 == 0)
            derp_server_drop(rig.server, &leaver->public_key);
        else
            party_do(leaver, do_leave, NULL, 0);
        wait_for(atomic_load(&leaver->is_closed));
        party_do(leaver, do_join, NULL, 0);
        wait_for(atomic_load(&leaver->is_ready));
    }
    wait_for(derp_server_clients(rig.server) == ARRAY_LEN(parties));
    for (size_t i = 0; i < ARRAY_LEN(parties); i++)
        assert_true(atomic_load(&parties[i].n_packets) > 0);
    rig_stop(&rig);
}

/* ---- Admission from another thread ---- */

static _Atomic(size_t) n_asked;
static _Atomic(struct derp_admission *) asked;

static void ask_main(void *user, const struct node_key *key, struct ip_addr from,
                     struct derp_admission *ticket)
{
    (void)user;
    (void)key;
    (void)from;
    atomic_fetch_add(&n_asked, 1);
    atomic_store(&asked, ticket);
}

static struct derp_admission *next_question(void)
{
    wait_for(atomic_load(&asked));
    return atomic_exchange(&asked, NULL);
}

static void admission_is_answered_from_anywhere(void **state)
{
    const struct derp_server_options asking = {.admit = ask_main};
    struct rig rig;
    struct party p[3];

    (void)state;
    rig_start(&rig, asking);
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        party_init(&p[i], &rig, i);
        party_do(&p[i], do_join, NULL, 0);
        if (i == 2)
            break;
        derp_admission_answer(next_question(), i == 0);
    }
    wait_for(atomic_load(&p[0].is_ready));
    wait_for(atomic_load(&p[1].is_closed));
    /* Left before the answer; and one that is still waiting when all ends. */
    struct derp_admission *ticket = next_question();
    party_do(&p[2], do_leave, NULL, 0);
    wait_for(atomic_load(&p[2].is_closed));
    derp_admission_answer(ticket, true);
    party_do(&p[2], do_join, NULL, 0);
    (void)next_question();
    wait_for(derp_server_clients(rig.server) == 1);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_cross_loops_in_order),
        cmocka_unit_test(duplicates_may_sit_on_different_loops),
        cmocka_unit_test(holds_while_clients_come_and_go),
        cmocka_unit_test(admission_is_answered_from_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
