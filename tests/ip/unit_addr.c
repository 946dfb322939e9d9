#include "../unit.h"

#include "ip/addrport.h"

static const struct {
    const char *in;
    const char *out; /* NULL: refused */
} texts[] = {
    {"1.2.3.4", "1.2.3.4"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"256.1.1.1", NULL},
    {"1.2.3", NULL},
    {"1.2.3.4.5", NULL},
    {"1.2.3.", NULL},
    {".1.2.3", NULL},
    {"01.2.3.4", NULL},
    {"1.2.3.004", NULL},
    {"1.2.3.4 ", NULL},
    {"+1.2.3.4", NULL},
    {"", NULL},
    {"::", "::"},
    {"::1", "::1"},
    {"1::", "1::"},
    {"fd7a:115c:a1e0::53", "fd7a:115c:a1e0::53"},
    {"FD7A:115C:A1E0:0:0:0:0:53", "fd7a:115c:a1e0::53"},
    {"2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"},
    {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
    {"0:0:1:1:1:1:0:0", "::1:1:1:1:0:0"},
    {"1:1:1:1:1:1:0:0", "1:1:1:1:1:1::"},
    {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
    {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
    {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
    {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
    {"::ffff:102:304", "::ffff:1.2.3.4"},
    {"64:ff9b::1.2.3.4", "64:ff9b::102:304"},
    {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"1:2:3:4:5:6:7:1.2.3.4", NULL},
    {"1.2.3.4::", NULL},
    {"1:2:3:4:5:6:7:8:9", NULL},
    {"1:2:3:4:5:6:7:8::", NULL},
    {"1:2:3:4::5:6:7:8", NULL},
    {"1::2::3", NULL},
    {":::", NULL},
    {":1", NULL},
    {"1:", NULL},
    {":", NULL},
    {"1:2", NULL},
    {"12345::", NULL},
    {"g::", NULL},
    {"fe80::1%eth0", NULL},
    {"[::1]", NULL},
    {"::1.2.3", NULL},
    {"::01.2.3.4", NULL},
};

static void texts_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_FINI(buf_fini) struct buf out = BUF(100);
        struct ip_addr addr = IP_ADDR_V4(9, 9, 9, 9);

        print_message("%s\n", texts[i].in);
        assert_int_equal(ip_addr_parse(str_from(texts[i].in), &addr), texts[i].out != NULL);
        ip_addr_put(&out, addr);
        assert_str(buf_str(&out), str_from(texts[i].out ? texts[i].out : "9.9.9.9"));
    }
}

static struct ip_addr addr(const char *text)
{
    struct ip_addr a = {0};

    assert_true(ip_addr_parse(str_from(text), &a));
    return a;
}

static void compares_and_converts(void **state)
{
    (void)state;
    struct ip_addr a = addr("1.2.3.4"), none = {0}, out = none;

    assert_true(ip_addr_eq(a, IP_ADDR_V4(1, 2, 3, 4)));
    assert_false(ip_addr_eq(a, addr("::ffff:1.2.3.4")));
    assert_true(ip_addr_eq(a, ip_addr_unmap(addr("::ffff:1.2.3.4"))));
    assert_true(ip_addr_eq(addr("::1.2.3.4"), ip_addr_unmap(addr("::1.2.3.4"))));
    assert_true(ip_addr_cmp(a, addr("1.2.3.5")) < 0);
    assert_true(ip_addr_cmp(addr("255.0.0.0"), addr("::")) < 0);
    assert_true(ip_addr_cmp(none, a) < 0);
    assert_false(ip_addr_is_set(none));
    assert_true(ip_addr_from_bytes(ip_addr_bytes(&a), &out) && ip_addr_eq(a, out));
    a = addr("fd7a::1");
    assert_int_equal(ip_addr_bytes(&a).len, 16);
    assert_true(ip_addr_from_bytes(ip_addr_bytes(&a), &out) && ip_addr_eq(a, out));
    assert_false(ip_addr_from_bytes(STR("12345"), &out));
    assert_int_equal(ip_addr_bytes(&none).len, 0);
    assert_int_equal(ip_addr_width(none), 0);
}

static void knows_kinds(void **state)
{
    (void)state;
    assert_true(ip_addr_is_unspecified(addr("0.0.0.0")) && ip_addr_is_unspecified(addr("::")));
    assert_false(ip_addr_is_unspecified((struct ip_addr){0}));
    assert_true(ip_addr_is_loopback(addr("127.9.9.9")) && ip_addr_is_loopback(addr("::1")) &&
                ip_addr_is_loopback(addr("::ffff:127.0.0.1")));
    assert_false(ip_addr_is_loopback(addr("128.0.0.1")) || ip_addr_is_loopback(addr("::2")));
    assert_true(ip_addr_is_link_local(addr("169.254.0.1")) &&
                ip_addr_is_link_local(addr("febf::1")));
    assert_false(ip_addr_is_link_local(addr("fec0::1")) ||
                 ip_addr_is_link_local(addr("169.253.0.1")));
    assert_true(ip_addr_is_multicast(addr("239.1.1.1")) && ip_addr_is_multicast(addr("ff02::1")));
    assert_false(ip_addr_is_multicast(addr("240.0.0.1")) || ip_addr_is_multicast(addr("fe80::1")));
}

static void steps(void **state)
{
    (void)state;
    struct ip_addr out = addr("9.9.9.9");

    assert_false(ip_addr_next(addr("255.255.255.255"), &out));
    assert_false(ip_addr_prev(addr("0.0.0.0"), &out));
    assert_false(ip_addr_prev(addr("::"), &out));
    assert_false(ip_addr_add(addr("255.255.255.0"), 256, &out));
    assert_false(ip_addr_add(addr("0.0.0.0"), (uint64_t)1 << 32, &out));
    assert_false(ip_addr_add((struct ip_addr){0}, 0, &out));
    assert_true(ip_addr_eq(out, addr("9.9.9.9")));
    assert_true(ip_addr_next(addr("1.2.255.255"), &out) && ip_addr_eq(out, addr("1.3.0.0")));
    assert_true(ip_addr_prev(addr("1.3.0.0"), &out) && ip_addr_eq(out, addr("1.2.255.255")));
    assert_true(ip_addr_next(addr("::ffff:ffff:ffff:ffff"), &out) &&
                ip_addr_eq(out, addr("0:0:0:1::")));
    assert_true(ip_addr_prev(addr("1::"), &out) &&
                ip_addr_eq(out, addr("0:ffff:ffff:ffff:ffff:ffff:ffff:ffff")));
    assert_true(ip_addr_add(addr("::1"), UINT64_MAX, &out) && ip_addr_eq(out, addr("0:0:0:1::")));
    assert_true(ip_addr_add(addr("100.64.0.0"), 65537, &out) &&
                ip_addr_eq(out, addr("100.65.0.1")));
}

static const struct {
    const char *text;
    bool good;
} ports[] = {
    {"1.2.3.4:41641", true},
    {"[::1]:1", true},
    {"[2001:db8::1]:65535", true},
    {"0.0.0.0:0", true},
    {"1.2.3.4:65536", false},
    {"1.2.3.4:", false},
    {"1.2.3.4", false},
    {"[1.2.3.4]:1", false},
    {"::1:1", false},
    {"[::1]", false},
    {"[::1]1", false},
    {"[::1:1", false},
    {"::1]:1", false},
    {"[]:1", false},
    {":1", false},
    {"1.2.3.4:01", false},
    {"1.2.3.4:+1", false},
    {"1.2.3.4:99999999999999999999", false},
    {"", false},
    {"[:1", false},
    {"]:1", false},
};

static void address_and_port(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        AUTO_FINI(buf_fini) struct buf out = BUF(100);
        struct ip_addrport ap = {0};

        print_message("%s\n", ports[i].text);
        assert_int_equal(ip_addrport_parse(str_from(ports[i].text), &ap), ports[i].good);
        if (!ports[i].good)
            continue;
        ip_addrport_put(&out, ap);
        assert_str(buf_str(&out), str_from(ports[i].text));
    }
    struct ip_addrport a = {addr("1.2.3.4"), 1}, b = {addr("1.2.3.4"), 2}, c = {addr("::"), 0};

    assert_true(ip_addrport_cmp(a, b) < 0 && ip_addrport_cmp(b, c) < 0 && ip_addrport_eq(a, a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_both_ways),  cmocka_unit_test(compares_and_converts),
        cmocka_unit_test(knows_kinds),      cmocka_unit_test(steps),
        cmocka_unit_test(address_and_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
