/*
 * When a loop rests: with a clock and streams of our own making. Whoever has little to do, or gains
 * nothing, does not wait; who gains goes on resting as long as it does.
 */

#include "../unit.h"

#include "net/net_internal.h"

#define STREAMS 32

struct world {
    struct load load;
    unsigned windows[STREAMS];
    int64_t now_us;
    int64_t rested_us, longest_us;
};

/* One round: a read on each of so many streams, bytes of all, and so long without the rest. */
static void turn(struct world *w, size_t streams, size_t bytes, int64_t us)
{
    for (size_t i = 0; i < streams; i++)
        load_add(&w->load, bytes / streams, &w->windows[i]);
    int64_t rest = load_rest_us(&w->load, w->now_us);

    w->rested_us += rest;
    w->longest_us = MAX(w->longest_us, rest);
    w->now_us += us + rest;
}

static struct world world_new(void)
{
    return (struct world){.now_us = 1000000};
}

static void leaves_the_idle_alone(void **state)
{
    struct world w = world_new();

    (void)state;
    for (int i = 0; i < 10000; i++)
        turn(&w, 1, 100, 300);
    for (int i = 0; i < 10000; i++)
        turn(&w, 0, 0, 1);
    assert_int_equal(w.rested_us, 0);
}

static void leaves_large_reads_alone(void **state)
{
    struct world w = world_new();

    (void)state;
    for (int i = 0; i < 10000; i++)
        turn(&w, 2, 80000, 30);
    assert_int_equal(w.rested_us, 0);
}

/* What comes while it rests is there in the next read: a packet every 10 us on one stream. */
static void rests_while_it_helps(void **state)
{
    struct world w = world_new();
    int64_t seen_us = w.now_us;
    size_t reads = 0, packets = 0;

    (void)state;
    while (w.now_us < 2000000) {
        size_t n = MAX((size_t)(w.now_us - seen_us) / 10, (size_t)1);

        seen_us = w.now_us;
        reads++;
        packets += n;
        turn(&w, 1, 100 * n, 10);
    }
    assert_true(packets > 5 * reads);
    assert_in_range(w.longest_us, 1, 1000);
    /* It goes quiet: at most a window later nobody waits any more. */
    for (int i = 0; i < 20; i++)
        turn(&w, 1, 100, 2000);
    w.rested_us = 0;
    for (int i = 0; i < 1000; i++)
        turn(&w, 1, 100, 2000);
    assert_int_equal(w.rested_us, 0);
}

/* Many streams, each with one packet however long one waits: one poll for all of them. */
static void rests_for_many_streams(void **state)
{
    struct world w = world_new();

    (void)state;
    for (int i = 0; i < 1000; i++)
        turn(&w, STREAMS, 3200, 100);
    assert_in_range(w.longest_us, 500, 1000);
    assert_true(w.rested_us > 900 * 500);
}

/* A few streams are not made to wait as long as many are. */
static void rests_less_for_few_streams(void **state)
{
    struct world w = world_new();
    size_t waiting = 1;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        turn(&w, 2, 200 * waiting, 10);
        waiting = (size_t)w.longest_us / 10 + 1;
    }
    assert_in_range(w.longest_us, 100, 300);
}

/* Rounds that only messages of other loops have caused rest too, but not when the streams are
 * silent. */
static void rests_after_messages(void **state)
{
    struct world w = world_new();

    (void)state;
    for (int i = 0; i < 1000; i++)
        turn(&w, STREAMS, 3200, 100);
    int64_t before = w.rested_us;

    turn(&w, 0, 0, 10);
    assert_true(w.rested_us > before);
    for (int i = 0; i < 1000; i++)
        turn(&w, 0, 0, 100);
    before = w.rested_us;
    for (int i = 0; i < 1000; i++)
        turn(&w, 0, 0, 100);
    assert_int_equal(w.rested_us, before);
}

/* Who waits for each answer sends one packet a round, rest or no rest: soon it is not made to wait.
 */
static void leaves_alone_who_gains_nothing(void **state)
{
    struct world w = world_new();

    (void)state;
    while (w.now_us < 11000000)
        turn(&w, 1, 100, 30);
    assert_true(w.rested_us < 10000000 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_the_idle_alone),
        cmocka_unit_test(leaves_large_reads_alone),
        cmocka_unit_test(rests_while_it_helps),
        cmocka_unit_test(rests_for_many_streams),
        cmocka_unit_test(rests_less_for_few_streams),
        cmocka_unit_test(rests_after_messages),
        cmocka_unit_test(leaves_alone_who_gains_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
