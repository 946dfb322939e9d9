/*
 * Limits on what clients bring, each and all together, over minutes of a test's clock: the total is
 * kept and used, the busiest share what is left in equal parts, and who sends less never waits.
 */

#include "harness.h"

#include "../unit.h"

#define GREEDY 3
#define MODEST 4
#define SINK (GREEDY + MODEST)
#define STEP_MS 20
#define TOTAL 300000       /* bytes per second */
#define MODEST_PACKET 2000 /* bytes, each MODEST_EVERY_MS: 20,000 a second */
#define MODEST_EVERY_MS 100
#define GREEDY_PACKET 16000

static struct {
    int64_t now_ms;
    uint64_t bytes[PARTIES];
    size_t n[PARTIES];
    int64_t slowest_ms; /* of modest packets */
} seen;

static void on_packet(struct party *p, const struct node_key *src, struct str packet)
{
    size_t from = (size_t)(rig_name(p->rig, src) - 'A');
    int64_t sent_ms;

    assert_true(from < SINK && packet.len >= sizeof(sent_ms));
    memcpy(&sent_ms, packet.ptr, sizeof(sent_ms));
    seen.bytes[from] += packet.len;
    seen.n[from]++;
    if (from >= GREEDY)
        seen.slowest_ms = MAX(seen.slowest_ms, seen.now_ms - sent_ms);
}

static void send_stamped(struct rig *rig, size_t from, size_t len)
{
    static char packet[GREEDY_PACKET];

    memcpy(packet, &seen.now_ms, sizeof(seen.now_ms));
    derp_client_send(rig->parties[from]->client, &rig->parties[SINK]->public_key,
                     str_bytes(packet, len));
}

/* One step: the greedy always have something waiting, the modest send at their times. */
static void step(struct rig *rig, size_t n_greedy)
{
    for (size_t i = 0; i < n_greedy; i++)
        for (int k = 0; k < 8 && derp_client_pending(rig->parties[i]->client) < 100000; k++)
            send_stamped(rig, i, GREEDY_PACKET);
    for (size_t i = GREEDY; i < SINK && seen.now_ms % MODEST_EVERY_MS == 0; i++)
        send_stamped(rig, i, MODEST_PACKET);
    for (int i = 0; i < 6; i++)
        loop_run_once(rig->loop, 0);
    clock_test_advance_ms(STEP_MS);
    loop_run_once(rig->loop, 0);
    seen.now_ms += STEP_MS;
}

static void run_for(struct rig *rig, int64_t ms, size_t n_greedy)
{
    memset(seen.bytes, 0, sizeof(seen.bytes));
    memset(seen.n, 0, sizeof(seen.n));
    seen.slowest_ms = 0;
    for (int64_t end = seen.now_ms + ms; seen.now_ms < end;)
        step(rig, n_greedy);
}

static uint64_t sum(size_t from, size_t to)
{
    uint64_t bytes = 0;

    for (size_t i = from; i < to; i++)
        bytes += seen.bytes[i];
    return bytes;
}

static struct rig *crowd(struct derp_server_options options)
{
    struct rig *rig = rig_new(options);

    memset(&seen, 0, sizeof(seen));
    for (size_t i = 0; i <= SINK; i++)
        (void)rig_join(rig);
    rig->on_packet = on_packet;
    return rig;
}

static void check_modest(int64_t ms)
{
    for (size_t i = GREEDY; i < SINK; i++)
        assert_in_range(seen.n[i], ms / MODEST_EVERY_MS - 1, ms / MODEST_EVERY_MS + 1);
    assert_true(seen.slowest_ms <= 2 * STEP_MS);
}

static void total_is_kept_and_the_busiest_share_it(void **state)
{
    const int64_t ms = 60000;
    struct rig *rig = crowd(
        (struct derp_server_options){.total_bytes_per_second = TOTAL, .total_burst_bytes = 200000});

    (void)state;
    run_for(rig, ms, GREEDY);
    check_modest(ms); /* from the first moment, not only once it has settled */
    assert_in_range(sum(0, SINK), TOTAL / 10 * 8 * (uint64_t)(ms / 1000),
                    TOTAL / 10 * 11 * (uint64_t)(ms / 1000));

    run_for(rig, ms, GREEDY);
    check_modest(ms);
    assert_in_range(sum(0, SINK), TOTAL / 10 * 8 * (uint64_t)(ms / 1000),
                    TOTAL / 20 * 21 * (uint64_t)(ms / 1000));
    for (size_t i = 0; i < GREEDY; i++) {
        print_message("greedy %zu: %llu bytes\n", i, (unsigned long long)seen.bytes[i]);
        assert_in_range(seen.bytes[i], sum(0, GREEDY) / 4, sum(0, GREEDY) / 2);
    }

    /* When all but one have gone, what they had is the one's. */
    run_for(rig, ms / 6, 1);
    run_for(rig, ms, 1);
    check_modest(ms);
    assert_in_range(seen.bytes[0],
                    (uint64_t)(TOTAL - MODEST * 20000) / 10 * 8 * (uint64_t)(ms / 1000),
                    (uint64_t)TOTAL / 20 * 21 * (uint64_t)(ms / 1000));
    rig_free(rig);
}

static void limits_hold_beside_each_other(void **state)
{
    const int64_t ms = 30000;
    struct rig *rig = crowd((struct derp_server_options){.client_bytes_per_second = 50000,
                                                         .total_bytes_per_second = 10 * TOTAL});

    (void)state;
    run_for(rig, ms, GREEDY);
    for (size_t i = 0; i < GREEDY; i++)
        assert_in_range(seen.bytes[i], 40000 * ms / 1000, 60000 * ms / 1000);
    check_modest(ms);
    /* Set anew, they hold at once, also for those who wait. */
    derp_server_set_rate(rig->server, 0, 0);
    derp_server_set_total_rate(rig->server, 0, 0);
    run_for(rig, 1000, GREEDY);
    run_for(rig, 1000, GREEDY);
    assert_true(seen.bytes[0] > 500000);
    derp_server_set_total_rate(rig->server, TOTAL, 0);
    run_for(rig, ms, GREEDY);
    assert_true(sum(0, SINK) < (uint64_t)TOTAL / 10 * 12 * (uint64_t)(ms / 1000));
    check_modest(ms);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(total_is_kept_and_the_busiest_share_it),
        cmocka_unit_test(limits_hold_beside_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
