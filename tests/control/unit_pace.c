/* Pace: at once when idle, a share of the time when not, never longer than the bound. */

#include "../unit.h"

#include "control/pace.h"

#define MS ((int64_t)1000000)

static void the_first_time_is_now(void **state)
{
    struct pace p = {0};

    (void)state;
    assert_int_equal(pace_wait_ns(&p, 0, 0), 0);
    assert_int_equal(pace_wait_ns(&p, 5000 * MS, 100), 0);
}

static const struct {
    const char *name;
    int64_t cost_ms, after_ms;
    size_t newcomers;
    int64_t want_ms;
} cases[] = {
    {"what costs nothing may come every ten milliseconds", 0, 0, 0, 10},
    {"and is due then", 0, 10, 0, 0},
    {"a little sooner is too soon", 0, 9, 0, 1},
    {"what takes long takes half of the time", 40, 40, 0, 40},
    {"what takes very long is not put off for ever", 1000, 0, 0, 1000},
    {"nor after it is over", 1000, 1000, 0, 0},
    {"idle: now", 40, 3600000, 0, 0},
    {"one that came has it wait once more", 40, 40, 1, 80},
    {"three thrice", 40, 40, 3, 160},
    {"a crowd makes it an eighth of the time", 40, 40, 6, 280},
    {"the largest crowd, too", 40, 40, SIZE_MAX, 280},
    {"a crowd puts it off no longer than the bound", 300, 0, 100, 1000},
    {"nor what costs nothing", 0, 0, 100, 10},
    {"and what was long ago it does not put off", 40, 1000, 100, 0},
};

static void waits_by_what_it_cost(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pace p = {0};

        print_message("%s\n", cases[i].name);
        pace_begin(&p, 77 * MS);
        /* In slices. */
        pace_spend(&p, cases[i].cost_ms * MS / 4);
        pace_spend(&p, cases[i].cost_ms * MS - cases[i].cost_ms * MS / 4);
        assert_int_equal(pace_wait_ns(&p, (77 + cases[i].after_ms) * MS, cases[i].newcomers),
                         cases[i].want_ms * MS);
    }
}

static void forgets_what_the_time_before_cost(void **state)
{
    struct pace p = {0};

    (void)state;
    pace_begin(&p, 0);
    pace_spend(&p, 100 * MS);
    pace_begin(&p, 300 * MS);
    pace_spend(&p, MS);
    assert_int_equal(pace_wait_ns(&p, 301 * MS, 0), 9 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_time_is_now),
        cmocka_unit_test(waits_by_what_it_cost),
        cmocka_unit_test(forgets_what_the_time_before_cost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
