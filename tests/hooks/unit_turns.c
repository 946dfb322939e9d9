/* Whose message goes next: tailnet by tailnet, slow receivers apart. */

#include "../unit.h"

#include "hooks/turns.h"

struct fixture {
    struct turns *turns;
    struct turn of[100];
};

static int setup(void **state)
{
    struct fixture *f = NEW(struct fixture);

    f->turns = turns_new();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    turns_free(f->turns);
    mem_free(f);
    return 0;
}

static size_t next(struct fixture *f)
{
    struct turn *t = turns_next(f->turns);

    return t ? (size_t)(t - f->of) : SIZE_MAX;
}

static void tailnets_take_turns(void **state)
{
    struct fixture *f = *state;

    /* Ten of the first, one of the second and two of the third, which came last. */
    for (size_t i = 0; i < 10; i++)
        turns_add(f->turns, &f->of[i], 1, false);
    turns_add(f->turns, &f->of[10], 2, false);
    turns_add(f->turns, &f->of[11], 3, false);
    turns_add(f->turns, &f->of[12], 3, false);
    turns_add(f->turns, &f->of[0], 1, false); /* waits already */
    assert_int_equal(next(f), 0);
    assert_int_equal(next(f), 10);
    assert_int_equal(next(f), 11);
    assert_int_equal(next(f), 1);
    assert_int_equal(next(f), 12);
    assert_int_equal(next(f), 2);
    assert_int_equal(next(f), 3);
    assert_int_equal(next(f), SIZE_MAX);      /* four of the first are under way */
    turns_add(f->turns, &f->of[0], 1, false); /* as is this one */
    turns_done(f->turns, &f->of[2]);
    assert_int_equal(next(f), 4);
    assert_int_equal(next(f), SIZE_MAX);
    /* Gone while it waited, and while it sent. */
    turns_done(f->turns, &f->of[5]);
    turns_done(f->turns, &f->of[5]);
    turns_done(f->turns, &f->of[4]);
    assert_int_equal(next(f), 6);
    turns_add(f->turns, &f->of[4], 1, false);
    turns_done(f->turns, &f->of[0]);
    assert_int_equal(next(f), 7);
}

static void slow_ones_hold_up_nobody_else(void **state)
{
    struct fixture *f = *state;

    /* Thirty tailnets with two slow receivers each: each has one under way, and half the threads.
     */
    for (size_t i = 0; i < 60; i++)
        turns_add(f->turns, &f->of[i], 1 + i / 2, true);
    for (size_t i = 0; i < TURNS_SLOW_MAX; i++)
        assert_int_equal(next(f), 2 * i);
    assert_int_equal(next(f), SIZE_MAX);
    /* A quick one, even of a tailnet that has slow ones, goes at once. */
    turns_add(f->turns, &f->of[60], 1, false);
    turns_add(f->turns, &f->of[61], 99, false);
    assert_int_equal(next(f), 60);
    assert_int_equal(next(f), 61);
    assert_int_equal(next(f), SIZE_MAX);
    /* The first tailnet's second comes after everybody's first. */
    turns_done(f->turns, &f->of[0]);
    assert_int_equal(next(f), 16);
    for (size_t i = 1; i < 30; i++) {
        turns_done(f->turns, &f->of[2 * i]);
        (void)next(f);
    }
    assert_int_equal(f->of[1].state, TURN_SENDING);
}

static void no_more_than_there_are_threads(void **state)
{
    struct fixture *f = *state;
    size_t n = 0;

    for (size_t i = 0; i < 100; i++)
        turns_add(f->turns, &f->of[i], 1 + i, i % 2);
    while (next(f) != SIZE_MAX)
        n++;
    assert_int_equal(n, TURNS_MAX);
    for (size_t i = 0; i < 100; i++)
        turns_done(f->turns, &f->of[i]);
    assert_int_equal(next(f), SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tailnets_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_ones_hold_up_nobody_else, setup, teardown),
        cmocka_unit_test_setup_teardown(no_more_than_there_are_threads, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
