/* Figures with labels: counters, gauges, histograms, and their bound. */

#include "../unit.h"

#include <pthread.h>
#include <stdio.h>

#include "core/metric.h"
#include "core/metric_family.h"

static const double bounds[] = {0.5, 1};
static struct metric_family counter = METRIC_FAMILY_COUNTER("test_b_total", "Counted.");
static struct metric_family gauge = METRIC_FAMILY_GAUGE("test_a", "Now.");
static struct metric_family histogram = METRIC_FAMILY_HISTOGRAM("test_c_seconds", "Took.", bounds);
static struct metric_family many = METRIC_FAMILY_COUNTER("test_d_total", "Many.");
static struct metric_family shared = METRIC_FAMILY_COUNTER("test_e_total", "Shared.");
static struct metric plain = METRIC_COUNTER("test_plain{x=\"1\"}", "Plain.");

static void puts_families(void **state)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(65536);

    (void)state;
    metric_family_add(&counter, STR("x=\"2\""), 1);
    metric_family_add(&counter, STR("x=\"1\""), 2);
    metric_family_add(&counter, STR("x=\"2\""), 3);
    metric_family_add(&gauge, STR_NONE, 1);
    metric_family_add(&gauge, STR_NONE, -0.5);
    metric_family_observe(&histogram, STR("p=\"/\""), 0.25);
    metric_family_observe(&histogram, STR("p=\"/\""), 1);
    metric_family_observe(&histogram, STR("p=\"/\""), 7);
    metric_family_put_all(&out);
    assert_str(buf_str(&out), STR("# HELP test_a Now.\n# TYPE test_a gauge\ntest_a 0.5\n"
                                  "# HELP test_b_total Counted.\n# TYPE test_b_total counter\n"
                                  "test_b_total{x=\"1\"} 2\ntest_b_total{x=\"2\"} 4\n"
                                  "# HELP test_c_seconds Took.\n# TYPE test_c_seconds histogram\n"
                                  "test_c_seconds_bucket{p=\"/\",le=\"0.5\"} 1\n"
                                  "test_c_seconds_bucket{p=\"/\",le=\"1\"} 2\n"
                                  "test_c_seconds_bucket{p=\"/\",le=\"+Inf\"} 3\n"
                                  "test_c_seconds_sum{p=\"/\"} 8.25\n"
                                  "test_c_seconds_count{p=\"/\"} 3\n"));
}

/* What strangers can make many of ends somewhere. */
static void bounds_series(void **state)
{
    AUTO_FINI(buf_fini) struct buf out = BUF((size_t)1 << 20);
    size_t lines = 0;
    struct str rest, line;
    char label[32];

    (void)state;
    for (int i = 0; i < METRIC_SERIES_MAX + 100; i++) {
        (void)snprintf(label, sizeof(label), "i=\"%d\"", i);
        metric_family_add(&many, str_from(label), 1);
    }
    metric_family_put_all(&out);
    rest = buf_str(&out);
    while (str_next(&rest, '\n', &line))
        lines += str_starts(line, STR("test_d_total"));
    assert_int_equal(lines, METRIC_SERIES_MAX + 1);
    assert_true(str_find(buf_str(&out), STR("\ntest_d_total 100\n")) > 0);
}

static void *add_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10000; i++)
        metric_family_add(&shared, i % 2 ? STR("a=\"1\"") : STR("a=\"0\""), 1);
    return NULL;
}

static void counts_from_every_thread(void **state)
{
    AUTO_FINI(buf_fini) struct buf out = BUF((size_t)1 << 20);
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    metric_family_put_all(&out);
    assert_true(str_find(buf_str(&out), STR("test_e_total{a=\"0\"} 20000\n")) > 0);
    assert_true(str_find(buf_str(&out), STR("test_e_total{a=\"1\"} 20000\n")) > 0);
}

static void finds_by_name(void **state)
{
    (void)state;
    assert_int_equal(metric_find_value(STR("test_plain{x=\"1\"}")), 0);
    metric_add(&plain, 7);
    assert_int_equal(metric_find_value(STR("test_plain{x=\"1\"}")), 7);
    assert_int_equal(metric_find_value(STR("test_plain")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_families),
        cmocka_unit_test(bounds_series),
        cmocka_unit_test(counts_from_every_thread),
        cmocka_unit_test(finds_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
