#include "../unit.h"

#include "ip/ports.h"
#include "ip/set.h"

static struct ip_range range(const char *text)
{
    struct ip_range r = {0};

    assert_true(ip_range_parse_any(str_from(text), &r));
    return r;
}

static struct ip_set set_of(const char *list)
{
    struct ip_set s = {0};
    struct str rest = str_from(list), item;

    while (str_next(&rest, ' ', &item)) {
        struct ip_range r = {0};

        assert_true(ip_range_parse_any(item, &r));
        ip_set_add(&s, r);
    }
    return s;
}

#define assert_set(set_ptr, want)                      \
    do {                                               \
        AUTO_FINI(buf_fini) struct buf text_ = BUF(0); \
                                                       \
        put_set(&text_, (set_ptr));                    \
        assert_str(buf_str(&text_), STR(want));        \
    } while (0)

static void put_set(struct buf *out, const struct ip_set *s)
{
    for (size_t i = 0; i < s->len; i++) {
        if (i)
            buf_put_char(out, ' ');
        ip_range_put(out, s->ranges[i]);
    }
}

static void merges_and_cuts(void **state)
{
    (void)state;
    AUTO_FINI(ip_set_fini) struct ip_set s = set_of("10.0.1.0/24 10.0.3.0/24 ::/64 10.0.2.0/24");

    assert_set(&s, "10.0.1.0-10.0.3.255 ::/64");
    ip_set_remove(&s, range("10.0.2.5"));
    assert_set(&s, "10.0.1.0-10.0.2.4 10.0.2.6-10.0.3.255 ::/64");
    ip_set_add(&s, range("10.0.2.5"));
    assert_set(&s, "10.0.1.0-10.0.3.255 ::/64");
    ip_set_remove(&s, range("10.0.1.128-10.0.3.127"));
    assert_set(&s, "10.0.1.0/25 10.0.3.128/25 ::/64");
    ip_set_remove(&s, range("9.0.0.0-10.0.3.200"));
    assert_set(&s, "10.0.3.201-10.0.3.255 ::/64");
    ip_set_remove(&s, range("0.0.0.0/0"));
    assert_set(&s, "::/64");
    ip_set_remove(&s, range("::/0"));
    assert_true(ip_set_is_empty(&s));
    ip_set_remove(&s, range("::/0"));
}

static void the_ends_do_not_wrap(void **state)
{
    (void)state;
    AUTO_FINI(ip_set_fini) struct ip_set s = set_of("255.255.255.255 :: 0.0.0.0");

    assert_set(&s, "0.0.0.0 255.255.255.255 ::");
    ip_set_add(&s, range("0.0.0.0/0"));
    assert_set(&s, "0.0.0.0/0 ::");
    ip_set_add(&s, range("::/0"));
    assert_set(&s, "0.0.0.0/0 ::/0");
    assert_true(ip_set_count(&s) == UINT64_MAX);
    ip_set_remove(&s, range("255.255.255.255"));
    ip_set_remove(&s, range("0.0.0.0"));
    assert_set(&s, "0.0.0.1-255.255.255.254 ::/0");
}

static void asks(void **state)
{
    (void)state;
    AUTO_FINI(ip_set_fini) struct ip_set s = set_of("10.0.0.0/24 10.0.2.0/24 fd7a::/64");
    AUTO_FINI(ip_set_fini) struct ip_set t = set_of("10.0.1.0/24 fd7a::5");
    AUTO_FINI(ip_set_fini) struct ip_set u = {0};

    assert_true(ip_set_contains(&s, IP_ADDR_V4(10, 0, 2, 255)));
    assert_false(ip_set_contains(&s, IP_ADDR_V4(10, 0, 1, 0)));
    assert_true(ip_set_covers(&s, range("10.0.2.0/25")));
    assert_false(ip_set_covers(&s, range("10.0.0.0-10.0.2.0")));
    assert_true(ip_set_overlaps(&s, range("10.0.0.255-10.0.2.0")));
    assert_false(ip_set_overlaps(&s, range("10.0.1.0/24")));
    assert_true(ip_set_overlaps_set(&s, &t));
    ip_set_union(&u, &s, &t);
    assert_set(&u, "10.0.0.0-10.0.2.255 fd7a::/64");
    assert_true(ip_set_count(&t) == 257);
    ip_set_intersect(&u, &u, &t);
    assert_true(ip_set_eq(&u, &t));
    ip_set_subtract(&u, &u, &u);
    assert_true(ip_set_is_empty(&u));
    assert_false(ip_set_overlaps_set(&s, &u));
    ip_set_copy(&u, &s);
    assert_true(ip_set_eq(&u, &s));
    ip_set_clear(&u);
    assert_false(ip_set_contains(&u, IP_ADDR_V4(10, 0, 0, 0)));
}

static void finds_a_free_address(void **state)
{
    (void)state;
    AUTO_FINI(ip_set_fini) struct ip_set used = set_of("100.64.0.0-100.64.0.3 100.64.0.5");
    struct ip_range pool = range("100.64.0.0/29");
    struct ip_addr a = {0};

    assert_true(ip_set_first_absent(&used, pool, pool.first, &a));
    assert_true(ip_addr_eq(a, IP_ADDR_V4(100, 64, 0, 4)));
    assert_true(ip_set_first_absent(&used, pool, IP_ADDR_V4(100, 64, 0, 5), &a));
    assert_true(ip_addr_eq(a, IP_ADDR_V4(100, 64, 0, 6)));
    assert_true(ip_set_first_absent(&used, pool, IP_ADDR_V4(1, 1, 1, 1), &a));
    assert_true(ip_addr_eq(a, IP_ADDR_V4(100, 64, 0, 4)));
    assert_false(ip_set_first_absent(&used, pool, IP_ADDR_V4(100, 64, 0, 8), &a));
    ip_set_add(&used, pool);
    assert_false(ip_set_first_absent(&used, pool, pool.first, &a));
    ip_set_add(&used, range("0.0.0.0/0"));
    assert_false(ip_set_first_absent(&used, range("0.0.0.0/0"), pool.first, &a));
}

static void lists_the_fewest_prefixes(void **state)
{
    (void)state;
    AUTO_FINI(ip_set_fini) struct ip_set s = set_of("10.0.0.1-10.0.0.6 fd7a::/127 0.0.0.0/8");
    AUTO_FINI(buf_fini) struct buf out = BUF(0);
    struct ip_set_prefixes it = {0};
    struct ip_prefix p;

    while (ip_set_next_prefix(&s, &it, &p)) {
        ip_prefix_put(&out, p);
        buf_put_char(&out, ' ');
    }
    assert_str(buf_str(&out), STR("0.0.0.0/8 10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32 "
                                  "fd7a::/127 "));
}

static const struct {
    const char *in;
    enum ip_ports_why why;
    const char *out;
} ports[] = {
    {"80", IP_PORTS_OK, "80"},
    {"80-90", IP_PORTS_OK, "80-90"},
    {"80-80", IP_PORTS_OK, "80"},
    {"0-0", IP_PORTS_OK, "0-0"},
    {"*", IP_PORTS_OK, "*"},
    {"0-65535", IP_PORTS_OK, "*"},
    {"0", IP_PORTS_ZERO, NULL},
    {"65536", IP_PORTS_OUT_OF_RANGE, NULL},
    {"99999999999999999999999", IP_PORTS_OUT_OF_RANGE, NULL},
    {"1-65536", IP_PORTS_OUT_OF_RANGE, NULL},
    {"90-80", IP_PORTS_BACKWARDS, NULL},
    {"1-2-3", IP_PORTS_FORMAT, NULL},
    {"", IP_PORTS_NOT_NUMBER, NULL},
    {"-5", IP_PORTS_NOT_NUMBER, NULL},
    {"5-", IP_PORTS_NOT_NUMBER, NULL},
    {" 80", IP_PORTS_NOT_NUMBER, NULL},
    {"http", IP_PORTS_NOT_NUMBER, NULL},
    {"**", IP_PORTS_NOT_NUMBER, NULL},
};

static void reads_ports(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        AUTO_FINI(buf_fini) struct buf out = BUF(100);
        struct ip_ports p = {0};

        print_message("%s\n", ports[i].in);
        assert_int_equal(ip_ports_parse(str_from(ports[i].in), &p), ports[i].why);
        if (!ports[i].out)
            continue;
        ip_ports_put(&out, p);
        assert_str(buf_str(&out), str_from(ports[i].out));
    }
}

static void reads_lists_of_ports(void **state)
{
    (void)state;
    struct ip_ports p[2] = {0};
    struct str bad = STR_NONE;
    size_t n = 0;

    assert_int_equal(ip_ports_parse_list(STR("22,80-90,443"), p, ARRAY_LEN(p), &n, &bad),
                     IP_PORTS_OK);
    assert_int_equal(n, 3);
    assert_true(ip_ports_contains(p[1], 80) && ip_ports_contains(p[1], 90) &&
                !ip_ports_contains(p[1], 91));
    assert_int_equal(ip_ports_parse_list(STR("22"), NULL, 0, &n, NULL), IP_PORTS_OK);
    assert_int_equal(n, 1);
    assert_int_equal(ip_ports_parse_list(STR("22,9-8"), p, 2, &n, &bad), IP_PORTS_BACKWARDS);
    assert_str(bad, STR("9-8"));
    assert_int_equal(ip_ports_parse_list(STR("22,"), p, 2, &n, &bad), IP_PORTS_NOT_NUMBER);
    assert_int_equal(ip_ports_parse_list(STR(""), p, 2, &n, NULL), IP_PORTS_NOT_NUMBER);
    assert_int_equal(n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_and_cuts),
        cmocka_unit_test(the_ends_do_not_wrap),
        cmocka_unit_test(asks),
        cmocka_unit_test(finds_a_free_address),
        cmocka_unit_test(lists_the_fewest_prefixes),
        cmocka_unit_test(reads_ports),
        cmocka_unit_test(reads_lists_of_ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
