#include "../unit.h"

#include "ip/range.h"

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p = {0};

    assert_true(ip_prefix_parse(str_from(text), &p));
    return p;
}

static struct ip_addr addr(const char *text)
{
    struct ip_addr a = {0};

    assert_true(ip_addr_parse(str_from(text), &a));
    return a;
}

static const struct {
    const char *in;
    bool good;
    bool masked;
    const char *mask;
    const char *last;
} texts[] = {
    {"10.0.0.0/8", true, true, "10.0.0.0/8", "10.255.255.255"},
    {"10.0.0.5/8", true, false, "10.0.0.0/8", "10.255.255.255"},
    {"0.0.0.0/0", true, true, "0.0.0.0/0", "255.255.255.255"},
    {"1.2.3.4/0", true, false, "0.0.0.0/0", "255.255.255.255"},
    {"1.2.3.4/32", true, true, "1.2.3.4/32", "1.2.3.4"},
    {"192.168.1.130/25", true, false, "192.168.1.128/25", "192.168.1.255"},
    {"100.64.0.0/10", true, true, "100.64.0.0/10", "100.127.255.255"},
    {"::/0", true, true, "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"fd7a:115c:a1e0::/48", true, true, "fd7a:115c:a1e0::/48",
     "fd7a:115c:a1e0:ffff:ffff:ffff:ffff:ffff"},
    {"fd7a:115c:a1e0::53/128", true, true, "fd7a:115c:a1e0::53/128", "fd7a:115c:a1e0::53"},
    {"fe80::1/65", true, false, "fe80::/65", "fe80::7fff:ffff:ffff:ffff"},
    {"10.0.0.0/33", false, false, NULL, NULL},
    {"::/129", false, false, NULL, NULL},
    {"10.0.0.0/", false, false, NULL, NULL},
    {"10.0.0.0/08", false, false, NULL, NULL},
    {"10.0.0.0/-1", false, false, NULL, NULL},
    {"10.0.0.0/8/8", false, false, NULL, NULL},
    {"10.0.0.0", false, false, NULL, NULL},
    {"/8", false, false, NULL, NULL},
    {"", false, false, NULL, NULL},
};

static void texts_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_FINI(buf_fini) struct buf out = BUF(100);
        struct ip_prefix p = {0}, strict = {0};

        print_message("%s\n", texts[i].in);
        assert_int_equal(ip_prefix_parse(str_from(texts[i].in), &p), texts[i].good);
        assert_int_equal(ip_prefix_parse_masked(str_from(texts[i].in), &strict), texts[i].masked);
        if (!texts[i].good)
            continue;
        ip_prefix_put(&out, p);
        assert_str(buf_str(&out), str_from(texts[i].in));
        assert_int_equal(ip_prefix_is_masked(p), texts[i].masked);
        assert_true(ip_prefix_eq(ip_prefix_masked(p), prefix(texts[i].mask)));
        assert_true(ip_addr_eq(ip_prefix_last(p), addr(texts[i].last)));
    }
}

static void takes_bare_addresses_too(void **state)
{
    (void)state;
    AUTO_FINI(buf_fini) struct buf out = BUF(100);
    struct ip_prefix p = {0};

    assert_true(ip_prefix_parse_or_addr(STR("1.2.3.4"), &p) && p.bits == 32);
    assert_true(ip_prefix_is_single(p));
    ip_prefix_put_short(&out, p);
    assert_true(ip_prefix_parse_or_addr(STR("fd7a::1"), &p) && p.bits == 128);
    assert_true(ip_prefix_parse_or_addr(STR("10.0.0.0/8"), &p) && p.bits == 8);
    ip_prefix_put_short(&out, p);
    assert_str(buf_str(&out), STR("1.2.3.410.0.0.0/8"));
    assert_false(ip_prefix_parse_or_addr(STR("db"), &p));
    assert_false(ip_prefix_is_set((struct ip_prefix){0}));
}

static const struct {
    const char *outer;
    const char *inner;
    bool covers;
    bool overlaps;
} pairs[] = {
    {"10.0.0.0/8", "10.1.0.0/16", true, true}, {"10.1.0.0/16", "10.0.0.0/8", false, true},
    {"10.0.0.0/8", "10.0.0.0/8", true, true},  {"10.0.0.0/8", "11.0.0.0/8", false, false},
    {"0.0.0.0/0", "::/0", false, false},       {"0.0.0.0/0", "9.9.9.9/32", true, true},
    {"::/0", "fd7a::/16", true, true},         {"fe80::/10", "fec0::/10", false, false},
    {"10.9.9.9/8", "10.1.2.3/16", true, true},
};

static void contains_and_covers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct ip_prefix outer = prefix(pairs[i].outer), inner = prefix(pairs[i].inner);

        print_message("%s %s\n", pairs[i].outer, pairs[i].inner);
        assert_int_equal(ip_prefix_covers(outer, inner), pairs[i].covers);
        assert_int_equal(ip_prefix_overlaps(outer, inner), pairs[i].overlaps);
        assert_int_equal(ip_prefix_overlaps(inner, outer), pairs[i].overlaps);
    }
    assert_true(ip_prefix_contains(prefix("100.64.0.0/10"), addr("100.127.255.255")));
    assert_false(ip_prefix_contains(prefix("100.64.0.0/10"), addr("100.128.0.0")));
    assert_false(ip_prefix_contains(prefix("0.0.0.0/0"), addr("::ffff:1.2.3.4")));
    assert_false(ip_prefix_contains((struct ip_prefix){0}, (struct ip_addr){0}));
    assert_true(ip_prefix_is_exit(prefix("0.0.0.0/0")) && ip_prefix_is_exit(prefix("::/0")));
    assert_false(ip_prefix_is_exit(prefix("0.0.0.0/1")) || ip_prefix_is_exit(prefix("::1/0")) ||
                 ip_prefix_is_exit((struct ip_prefix){0}));
}

static void sorts(void **state)
{
    (void)state;
    struct ip_prefix items[] = {prefix("::/0"),       prefix("10.0.0.0/16"), prefix("10.0.0.0/8"),
                                prefix("9.0.0.0/24"), prefix("10.0.0.0/16"), prefix("::/0")};

    assert_int_equal(ip_prefix_sort_unique(items, ARRAY_LEN(items)), 4);
    assert_true(ip_prefix_eq(items[0], prefix("9.0.0.0/24")));
    assert_true(ip_prefix_eq(items[1], prefix("10.0.0.0/8")));
    assert_true(ip_prefix_eq(items[2], prefix("10.0.0.0/16")));
    assert_true(ip_prefix_eq(items[3], prefix("::/0")));
    assert_true(ip_prefix_in(items, 4, prefix("10.0.0.0/8")));
    assert_false(ip_prefix_in(items, 4, prefix("10.0.0.0/9")));
    assert_int_equal(ip_prefix_sort_unique(NULL, 0), 0);
}

static const struct {
    const char *in;
    const char *out; /* NULL: refused */
    uint64_t count;
} ranges[] = {
    {"10.0.0.0-10.0.0.255", "10.0.0.0/24", 256},
    {"10.0.0.1-10.0.0.1", "10.0.0.1", 1},
    {"10.0.0.1-10.0.0.2", "10.0.0.1-10.0.0.2", 2},
    {"10.0.0.7/8", "10.0.0.0/8", 1 << 24},
    {"::1", "::1", 1},
    {"0.0.0.0-255.255.255.255", "0.0.0.0/0", (uint64_t)1 << 32},
    {"::/0", "::/0", UINT64_MAX},
    {"::-::ffff:ffff:ffff:fffe", "::-::ffff:ffff:ffff:fffe", UINT64_MAX},
    {"::-::ffff:ffff:ffff:fffd", "::-::ffff:ffff:ffff:fffd", UINT64_MAX - 1},
    {"0:0:0:1::-0:0:0:2::", "0:0:0:1::-0:0:0:2::", UINT64_MAX},
    {"10.0.0.2-10.0.0.1", NULL, 0},
    {"10.0.0.1-::1", NULL, 0},
    {"10.0.0.1-", NULL, 0},
    {"-10.0.0.1", NULL, 0},
    {"10.0.0.1 - 10.0.0.2", NULL, 0},
    {"10.0.0.0/24-10.0.1.0/24", NULL, 0},
};

static void reads_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        AUTO_FINI(buf_fini) struct buf out = BUF(100);
        struct ip_range r = {0};

        print_message("%s\n", ranges[i].in);
        assert_int_equal(ip_range_parse_any(str_from(ranges[i].in), &r), ranges[i].out != NULL);
        if (!ranges[i].out)
            continue;
        ip_range_put(&out, r);
        assert_str(buf_str(&out), str_from(ranges[i].out));
        assert_true(ip_range_count(r) == ranges[i].count);
    }
}

static void worst_range_takes_all_prefixes(void **state)
{
    (void)state;
    struct ip_range r = {0};
    struct ip_prefix p = {0};
    size_t n = 1;

    assert_true(ip_range_parse(STR("0.0.0.1-255.255.255.254"), &r));
    while (ip_range_take_prefix(&r, &p))
        n++;
    assert_int_equal(n, 62);
    assert_true(ip_range_parse(STR("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), &r));
    for (n = 1; ip_range_take_prefix(&r, &p);)
        n++;
    assert_int_equal(n, 254);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_both_ways),     cmocka_unit_test(takes_bare_addresses_too),
        cmocka_unit_test(contains_and_covers), cmocka_unit_test(sorts),
        cmocka_unit_test(reads_ranges),        cmocka_unit_test(worst_range_takes_all_prefixes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
