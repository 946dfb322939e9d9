/*
 * Random histories of a relay: clients come, go, come twice, read slowly, and send packets cut into
 * the stream anyhow.
 *
 * Laws: no packet is altered, given twice, or given to another key than it was for; those of one
 * sender keep their order; and while nobody is slow, and the receiver is there, none is lost.
 */

#include "../unit.h"

#include <time.h>

#include "harness.h"

#include "core/rand.h"

#define HISTORIES 40
#define STEPS 60
#define NUMBERS (STEPS * 20)
#define NEVER UINT32_MAX /* the number of packets for those who are not here */

struct stamp {
    uint32_t from, to, number, len;
};

static struct {
    struct rand_seeded rng;
    uint32_t next[PARTIES][PARTIES / 2]; /* of what is sent to a key */
    uint32_t least[PARTIES][PARTIES];    /* that may come from a party to a party */
    size_t n_seen[PARTIES][PARTIES / 2];
    bool given[PARTIES][PARTIES / 2][NUMBERS];
    bool has_slow; /* some stop reading; then packets may be lost */
} world;

static size_t below(size_t n)
{
    return (size_t)rand_seeded_below(&world.rng, n);
}

static char byte_of(const struct stamp *s, size_t at)
{
    return (char)(s->number * 31 + s->from * 7 + s->to + at);
}

/* Parties are numbered, keys are shared by neighbours: 0 and 1 have one, 2 and 3 the next. */
static uint32_t key_number(uint32_t party)
{
    return party / 2;
}

static void on_packet(struct party *p, const struct node_key *src, struct str packet)
{
    uint32_t me = (uint32_t)(p->name - 'A');
    struct stamp s;

    assert_true(packet.len >= sizeof(s));
    memcpy(&s, packet.ptr, sizeof(s));
    assert_int_equal(s.len, packet.len);
    assert_true(s.from < PARTIES && s.to < PARTIES / 2);
    assert_int_equal(s.to, key_number(me));
    assert_true(node_key_eq(src, &p->rig->parties[s.from]->public_key));
    for (size_t i = sizeof(s); i < packet.len; i++)
        assert_int_equal(packet.ptr[i], byte_of(&s, i));
    /* In order on one connection; two of one key may be differently slow. And never again. */
    assert_true(s.number < NUMBERS && s.number >= world.least[s.from][me]);
    world.least[s.from][me] = s.number + 1;
    assert_false(world.given[s.from][s.to][s.number]);
    world.given[s.from][s.to][s.number] = true;
    world.n_seen[s.from][s.to]++;
}

static bool key_is_here(const struct rig *rig, uint32_t key)
{
    return rig->parties[2 * key]->client || rig->parties[2 * key + 1]->client;
}

/* Sends some packets; those whose receiver is there are expected. */
static void send_some(struct rig *rig, uint32_t from)
{
    struct party *p = rig->parties[from];
    struct buf packet = BUF(0);
    size_t n = 1 + below(20);

    for (size_t i = 0; i < n; i++) {
        uint32_t to = (uint32_t)below(PARTIES / 2);
        struct stamp s = {from, to, 0, 0};

        s.len = (uint32_t)(sizeof(s) + below(below(10) ? 200 : 6000));
        s.number = key_is_here(rig, to) ? world.next[from][to]++ : NEVER;
        buf_clear(&packet);
        buf_put(&packet, str_bytes(&s, sizeof(s)));
        for (size_t at = sizeof(s); at < s.len; at++)
            buf_put_char(&packet, byte_of(&s, at));
        derp_client_send(p->client, &rig->parties[2 * to]->public_key, buf_str(&packet));
    }
    buf_fini(&packet);
}

static void one_step(struct rig *rig)
{
    uint32_t who = (uint32_t)below(PARTIES);
    struct party *p = rig->parties[who];
    size_t what = below(12);

    if (!p->client) {
        if (what < 6)
            party_join(rig, p, &p->key, (struct derp_client_info){0});
        return;
    }
    if (what == 0) {
        derp_client_close(p->client);
    } else if (what == 1) {
        derp_server_drop(rig->server, &p->public_key);
    } else if (what == 2 && world.has_slow) {
        stream_read_stop(derp_client_stream(p->client));
        return;
    } else if (what == 3) {
        stream_read_start(derp_client_stream(p->client));
    } else {
        send_some(rig, who);
    }
    rig_run(rig);
}

static void one_history(uint64_t seed)
{
    const struct derp_server_options open_relay = {0};
    struct rig *rig = rig_new(open_relay);

    memset(&world, 0, sizeof(world));
    rand_seed(&world.rng, seed);
    world.has_slow = below(2) == 0;
    rig->on_packet = on_packet;
    for (size_t i = 0; i < PARTIES; i++) {
        if (i % 2 == 0)
            (void)rig_join(rig);
        else
            (void)rig_join_as(rig, &rig->parties[i - 1]->key, (struct derp_client_info){0});
    }
    for (size_t step = 0; step < STEPS; step++)
        one_step(rig);
    for (size_t from = 0; from < PARTIES && !world.has_slow; from++)
        for (size_t to = 0; to < PARTIES / 2; to++)
            assert_int_equal(world.n_seen[from][to], world.next[from][to]);
    rig_free(rig);
}

static void histories_keep_the_laws(void **state)
{
    uint64_t seed = (uint64_t)time(NULL);

    (void)state;
    for (uint64_t i = 0; i < HISTORIES; i++) {
        print_message("seed %llu\n", (unsigned long long)(seed + i));
        one_history(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(histories_keep_the_laws)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
