/* PROXY headers: each form, cut at every byte, and what is none. */

#include "../unit.h"

#include "net/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\0\2\1\xc6\x33\x64\7\xc8\x22\1\xbb" /* 192.0.2.1:51234 to 198.51.100.7:443 */

static const struct {
    const char *name;
    struct str in;
    enum proxy_decode want;
    const char *from, *to; /* NULL: the proxy itself */
    size_t behind;         /* bytes that are not the header's */
} cases[] = {
    /* clang-format off */
    {"v1, IPv4", STR_INIT("PROXY TCP4 192.0.2.1 198.51.100.7 51234 443\r\nGET"), PROXY_OK,
     "192.0.2.1:51234", "198.51.100.7:443", 3},
    {"v1, IPv6", STR_INIT("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), PROXY_OK,
     "[2001:db8::1]:1", "[2001:db8::2]:65535", 0},
    {"v1, IPv4 in IPv6", STR_INIT("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n"), PROXY_OK,
     "192.0.2.1:1", "192.0.2.2:2", 0},
    {"v1, unknown", STR_INIT("PROXY UNKNOWN\r\n\r\n"), PROXY_OK, NULL, NULL, 2},
    {"v1, unknown with more", STR_INIT("PROXY UNKNOWN ffff::1 x 9\r\n"), PROXY_OK, NULL, NULL, 0},
    {"v1, families mixed", STR_INIT("PROXY TCP4 192.0.2.1 2001:db8::2 1 2\r\n"), PROXY_BROKEN, 0, 0, 0},
    {"v1, port too large", STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"), PROXY_BROKEN, 0, 0, 0},
    {"v1, port with a zero in front", STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"), PROXY_BROKEN, 0, 0, 0},
    {"v1, no port", STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"), PROXY_BROKEN, 0, 0, 0},
    {"v1, two spaces", STR_INIT("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"), PROXY_BROKEN, 0, 0, 0},
    {"v1, something behind", STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"), PROXY_BROKEN, 0, 0, 0},
    {"v1, no such family", STR_INIT("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"), PROXY_BROKEN, 0, 0, 0},
    {"v1, no end in 107 bytes",
     STR_INIT("PROXY UNKNOWN ............................................................................................................................\r\n"),
     PROXY_BROKEN, 0, 0, 0},
    {"v2, IPv4", STR_INIT(SIGNATURE "\x21\x11\0\x0c" V4 "\x16\3\1"), PROXY_OK, "192.0.2.1:51234",
     "198.51.100.7:443", 3},
    {"v2, with more behind the addresses", STR_INIT(SIGNATURE "\x21\x11\0\x10" V4 "\4\0\1x"), PROXY_OK,
     "192.0.2.1:51234", "198.51.100.7:443", 0},
    {"v2, IPv6", STR_INIT(SIGNATURE "\x21\x21\0\x24" "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
     "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2" "\0\1\0\2"), PROXY_OK, "[2001:db8::1]:1", "[2001:db8::2]:2", 0},
    {"v2, a check of the proxy's own", STR_INIT(SIGNATURE "\x20\0\0\0"), PROXY_OK, NULL, NULL, 0},
    {"v2, its addresses do not count", STR_INIT(SIGNATURE "\x20\x11\0\x0c" V4), PROXY_OK, NULL, NULL, 0},
    {"v2, a Unix socket", STR_INIT(SIGNATURE "\x21\x31\0\2ab"), PROXY_OK, NULL, NULL, 0},
    {"v2, datagrams", STR_INIT(SIGNATURE "\x21\x12\0\x0c" V4), PROXY_OK, NULL, NULL, 0},
    {"v2, too short for its family", STR_INIT(SIGNATURE "\x21\x11\0\x0b" V4), PROXY_BROKEN, 0, 0, 0},
    {"v2, another version", STR_INIT(SIGNATURE "\x11\x11\0\x0c" V4), PROXY_BROKEN, 0, 0, 0},
    {"v2, another command", STR_INIT(SIGNATURE "\x22\x11\0\x0c" V4), PROXY_BROKEN, 0, 0, 0},
    {"v2, longer than we wait for", STR_INIT(SIGNATURE "\x21\x11\x10\1"), PROXY_BROKEN, 0, 0, 0},
    {"HTTP", STR_INIT("GET / HTTP/1.1\r\n"), PROXY_BROKEN, 0, 0, 0},
    {"TLS", STR_INIT("\x16\3\1"), PROXY_BROKEN, 0, 0, 0},
    {"nearly", STR_INIT("PROXX "), PROXY_BROKEN, 0, 0, 0},
    /* clang-format on */
};

static void is_address(struct ip_addrport got, const char *want)
{
    struct ip_addrport ap = {0};

    assert_true(!want || ip_addrport_parse(str_from(want), &ap));
    assert_true(ip_addrport_eq(got, ap));
}

static void decodes_each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct proxy_header h = {0};
        size_t used = 0;

        print_message("%s\n", cases[i].name);
        assert_int_equal(proxy_header_decode(cases[i].in, &h, &used), cases[i].want);
        if (cases[i].want != PROXY_OK)
            continue;
        assert_int_equal(used + cases[i].behind, cases[i].in.len);
        is_address(h.from, cases[i].from);
        is_address(h.to, cases[i].to);
        for (size_t cut = 0; cut < used; cut++) {
            struct proxy_header part = {0};
            size_t n = 0;

            assert_int_equal(proxy_header_decode(str_sub(cases[i].in, 0, cut), &part, &n),
                             PROXY_MORE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decodes_each_case)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
