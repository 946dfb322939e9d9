/* Quantiles of known figures. */

#include "../unit.h"

#include "bench/histogram.h"
#include "core/rand.h"

static void empty_gives_zero(void **state)
{
    static struct histogram h;

    (void)state;
    h = (struct histogram){0};
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
    assert_int_equal(histogram_quantile(&h, 1), 0);
}

static void small_figures_are_exact(void **state)
{
    static struct histogram h;

    (void)state;
    h = (struct histogram){0};
    for (uint64_t v = 0; v < 100; v++)
        histogram_add(&h, v);
    assert_int_equal(histogram_quantile(&h, 0), 0);
    assert_int_equal(histogram_quantile(&h, 0.5), 50);
    assert_int_equal(histogram_quantile(&h, 0.99), 99);
    assert_int_equal(histogram_quantile(&h, 1), 99);
    assert_int_equal(h.max, 99);
}

/* One figure alone: every quantile is that figure, since none is above the largest. */
static void any_figure_has_a_bucket(void **state)
{
    static struct histogram h;
    static const uint64_t edges[] = {0, 63, 64, 127, 128, 1000000, UINT64_MAX - 1, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
        h = (struct histogram){0};
        histogram_add(&h, edges[i]);
        assert_true(histogram_quantile(&h, 0.5) == edges[i]);
    }
}

/* Beside a larger one a figure is told with an error below 1/64, never too small. */
static void errors_are_small(void **state)
{
    static struct histogram h;
    struct rand_seeded r;

    (void)state;
    rand_seed(&r, 7);
    for (int i = 0; i < 2000; i++) {
        uint64_t v = rand_seeded_u64(&r) >> (1 + rand_seeded_below(&r, 63));

        h = (struct histogram){0};
        histogram_add(&h, v);
        histogram_add(&h, UINT64_MAX);
        uint64_t told = histogram_quantile(&h, 0.25);

        assert_true(told >= v);
        assert_true(told - v <= v / 64);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_gives_zero),
        cmocka_unit_test(small_figures_are_exact),
        cmocka_unit_test(any_figure_has_a_bucket),
        cmocka_unit_test(errors_are_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
