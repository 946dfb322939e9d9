#include "../unit.h"

#include "core/clock.h"
#include "core/rand.h"

static const struct {
    const char *text;
    int64_t ms;
    const char *back; /* NULL: as text */
} times[] = {
    {"1970-01-01T00:00:00Z", 0, NULL},
    {"2026-11-21T04:28:02Z", 1795235282000, NULL},
    {"2026-11-21T04:28:02.5Z", 1795235282500, "2026-11-21T04:28:02.500Z"},
    {"2026-11-21T04:28:02.123456789Z", 1795235282123, "2026-11-21T04:28:02.123Z"},
    {"2026-11-21T06:28:02+02:00", 1795235282000, "2026-11-21T04:28:02Z"},
    {"2026-11-20T23:58:02-04:30", 1795235282000, "2026-11-21T04:28:02Z"},
    {"0001-01-01T00:00:00Z", CLOCK_ZERO, NULL},
    {"9999-12-31T23:59:59.999Z", 253402300799999, NULL},
    {"1969-12-31T23:59:59.999Z", -1, NULL},
    {"2000-02-29T12:00:00Z", 951825600000, NULL},
    {"1900-03-01T00:00:00Z", -2203891200000, NULL},
};

static void times_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        AUTO_FINI(buf_fini) struct buf out = BUF(100);
        int64_t ms = 0;

        print_message("%s\n", times[i].text);
        assert_true(clock_parse_rfc3339(str_from(times[i].text), &ms));
        assert_true(ms == times[i].ms);
        clock_put_rfc3339(&out, ms);
        assert_str(buf_str(&out), str_from(times[i].back ? times[i].back : times[i].text));
    }
}

static void refuses_what_is_no_time(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026-11-21",
        "2026-11-21T04:28:02",
        "2026-11-21 04:28:02Z",
        "2026-11-21T04:28:02z",
        "2026-13-21T04:28:02Z",
        "2026-00-21T04:28:02Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T04:60:02Z",
        "2026-11-21T04:28:60Z",
        "2026-11-21T04:28:02.Z",
        "2026-11-21T04:28:02+2:00",
        "2026-11-21T04:28:02+0200",
        "2026-11-21T04:28:02+24:00",
        "2026-11-21T04:28:02Zx",
        "+026-11-21T04:28:02Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    };
    int64_t ms = 7;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        print_message("%s\n", bad[i]);
        assert_false(clock_parse_rfc3339(str_from(bad[i]), &ms));
    }
    assert_true(ms == 7);
}

static void out_of_range_is_clamped(void **state)
{
    (void)state;
    AUTO_FINI(buf_fini) struct buf out = BUF(100);

    clock_put_rfc3339(&out, INT64_MIN);
    clock_put_rfc3339(&out, INT64_MAX);
    assert_str(buf_str(&out), STR("0001-01-01T00:00:00Z9999-12-31T23:59:59.999Z"));
}

static void every_time_reads_back(void **state)
{
    (void)state;
    struct rand_seeded r;

    rand_seed(&r, 1);
    for (size_t i = 0; i < 20000; i++) {
        AUTO_FINI(buf_fini) struct buf out = BUF(100);
        int64_t ms = CLOCK_ZERO + (int64_t)rand_seeded_below(&r, 315537897600000u), back = 0;

        clock_put_rfc3339(&out, ms);
        assert_true(clock_parse_rfc3339(buf_str(&out), &back));
        assert_true(back == ms);
    }
}

static const struct {
    const char *text;
    int64_t ms;
} durations[] = {
    {"1h30m", 5400000},
    {"800ms", 800},
    {"1.5s", 1500},
    {".5s", 500},
    {"1.s", 1000},
    {"0s", 0},
    {"90d", 7776000000},
    {"1w", 604800000},
    {"1y", 31536000000},
    {"1h1ns", 3600000},
    {"1999us", 1},
    {"2000\xc2\xb5s", 2},
    {"2000\xce\xbcs", 2},
    {"-1m", -60000},
    {"+1m", 60000},
    {"292y", 9208512000000},
    {"0.0000000000000000000000001h", 0},
};

static void reads_durations(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",       "5",           "0",    "h",   "1",  "1h30", ".s",   "1..5s",
        "1.5.5s", "-",           "--1s", "1 h", "1H", "1mo",  "293y", "99999999999999999999s",
        "1h-1m",  "9223372037s", "1x",
    };
    int64_t ms = 0;

    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        print_message("%s\n", durations[i].text);
        assert_true(clock_parse_duration(str_from(durations[i].text), &ms));
        assert_true(ms == durations[i].ms);
    }
    ms = 7;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        print_message("%s\n", bad[i]);
        assert_false(clock_parse_duration(str_from(bad[i]), &ms));
    }
    assert_true(ms == 7);
}

static void tests_can_turn_the_clocks(void **state)
{
    (void)state;
    int64_t unix_ms = clock_unix_ms(), mono_ms = clock_mono_ms();
    uint64_t mono_ns = clock_mono_ns();

    assert_true(unix_ms > 1700000000000);
    clock_test_advance_ms(3600000);
    assert_true(clock_unix_ms() - unix_ms >= 3600000);
    assert_true(clock_mono_ms() - mono_ms >= 3600000);
    assert_true(clock_mono_ns() - mono_ns >= 3600000000000u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_both_ways),         cmocka_unit_test(refuses_what_is_no_time),
        cmocka_unit_test(out_of_range_is_clamped), cmocka_unit_test(every_time_reads_back),
        cmocka_unit_test(reads_durations),         cmocka_unit_test(tests_can_turn_the_clocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
