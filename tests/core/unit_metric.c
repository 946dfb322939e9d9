#include "../unit.h"

#include <pthread.h>

#include "core/metric.h"
#include "core/rand.h"

static struct metric unused = METRIC_COUNTER("hatsize_test_unused_total", "Never touched.");
static struct metric zebras = METRIC_COUNTER("hatsize_test_zebras_total", "Zebras\nwith \\.");
static struct metric apples = METRIC_GAUGE("hatsize_test_apples", "Apples.");
static struct metric sent_a = METRIC_COUNTER("hatsize_test_sent{to=\"a\"}", "Sent.");
static struct metric sent_b = METRIC_COUNTER("hatsize_test_sent{to=\"b\"}", "Sent.");
static struct metric sent_bytes = METRIC_COUNTER("hatsize_test_sent_bytes", "Bytes.");
static struct metric races[8] = {
    METRIC_COUNTER("hatsize_test_zz0", "."), METRIC_COUNTER("hatsize_test_zz1", "."),
    METRIC_COUNTER("hatsize_test_zz2", "."), METRIC_COUNTER("hatsize_test_zz3", "."),
    METRIC_COUNTER("hatsize_test_zz4", "."), METRIC_COUNTER("hatsize_test_zz5", "."),
    METRIC_COUNTER("hatsize_test_zz6", "."), METRIC_COUNTER("hatsize_test_zz7", "."),
};

static void puts_sorted_families(void **state)
{
    (void)state;
    AUTO_FINI(buf_fini) struct buf out = BUF(0);

    metric_add(&sent_b, 2);
    metric_add(&zebras, 3);
    metric_add(&zebras, 4);
    metric_set(&apples, -5);
    metric_add(&sent_bytes, 9);
    metric_add(&sent_a, 1);
    metric_put_all(&out);
    assert_str(buf_str(&out), STR("# HELP hatsize_test_apples Apples.\n"
                                  "# TYPE hatsize_test_apples gauge\n"
                                  "hatsize_test_apples -5\n"
                                  "# HELP hatsize_test_sent Sent.\n"
                                  "# TYPE hatsize_test_sent counter\n"
                                  "hatsize_test_sent{to=\"a\"} 1\n"
                                  "hatsize_test_sent{to=\"b\"} 2\n"
                                  "# HELP hatsize_test_sent_bytes Bytes.\n"
                                  "# TYPE hatsize_test_sent_bytes counter\n"
                                  "hatsize_test_sent_bytes 9\n"
                                  "# HELP hatsize_test_zebras_total Zebras\\nwith \\\\.\n"
                                  "# TYPE hatsize_test_zebras_total counter\n"
                                  "hatsize_test_zebras_total 7\n"));
    assert_int_equal(metric_get(&unused), 0);
    assert_int_equal(metric_get(&zebras), 7);
}

static void *add_many(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < 10000; i++) {
        metric_add(&races[i % ARRAY_LEN(races)], 1);
        if (i % 1000 == 0) {
            AUTO_FINI(buf_fini) struct buf out = BUF(0);

            metric_put_all(&out);
        }
    }
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[4];
    AUTO_FINI(buf_fini) struct buf out = BUF(0);

    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    metric_put_all(&out);
    for (size_t i = 0; i < ARRAY_LEN(races); i++) {
        struct str line = str_printf("\nhatsize_test_zz%zu 5000\n", i);

        assert_true(str_find(buf_str(&out), line) > 0);
        str_free(&line);
    }
}

static void randomness_stays_in_bounds(void **state)
{
    (void)state;
    bool seen[7] = {0};
    char bytes[1000] = {0};
    struct rand_seeded a, b;
    size_t zeros = 0;

    for (size_t i = 0; i < 2000; i++)
        seen[rand_below(ARRAY_LEN(seen))] = true;
    for (size_t i = 0; i < ARRAY_LEN(seen); i++)
        assert_true(seen[i]);
    rand_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        zeros += bytes[i] == 0;
    assert_true(zeros < 50);
    rand_seed(&a, 5);
    rand_seed(&b, 5);
    for (size_t i = 0; i < 100; i++)
        assert_true(rand_seeded_u64(&a) == rand_seeded_u64(&b));
    assert_true(rand_seeded_below(&a, 1) == 0);
    rand_seed(&b, 6);
    assert_true(rand_seeded_u64(&a) != rand_seeded_u64(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_sorted_families),
        cmocka_unit_test(threads_lose_nothing),
        cmocka_unit_test(randomness_stays_in_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
