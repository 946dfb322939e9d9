/* Who is behind a proxy: headscale.md 9.5. */

#include "../unit.h"

#include "http/forwarded.h"

#define HEADERS_MAX 4
#define PROXY "10.0.0.5"

static const struct {
    const char *name;
    const char *peer;
    const char *headers[2 * HEADERS_MAX]; /* name, value, ... */
    const char *want;
} cases[] = {
    /* clang-format off */
    {"a stranger's word", "192.0.2.9", {"x-real-ip", "1.1.1.1", "x-forwarded-for", "2.2.2.2"}, "192.0.2.9"},
    {"nothing said", PROXY, {0}, PROXY},
    {"the list's end", PROXY, {"x-forwarded-for", "6.6.6.6, 192.0.2.1"}, "192.0.2.1"},
    {"a proxy behind a proxy", PROXY, {"x-forwarded-for", "6.6.6.6, 192.0.2.1 , 10.0.0.6,10.0.0.7"}, "192.0.2.1"},
    {"several lists", PROXY, {"x-forwarded-for", "6.6.6.6", "x-forwarded-for", "10.0.0.6"}, "6.6.6.6"},
    {"proxies only", PROXY, {"x-forwarded-for", "10.0.0.6, 10.0.0.7"}, PROXY},
    {"a word in the list", PROXY, {"x-forwarded-for", "6.6.6.6, unknown, 10.0.0.6"}, PROXY},
    {"an empty list", PROXY, {"x-forwarded-for", ""}, PROXY},
    {"with ports", PROXY, {"x-forwarded-for", "192.0.2.1:5555"}, "192.0.2.1"},
    {"IPv6", PROXY, {"x-forwarded-for", "2001:db8::1"}, "2001:db8::1"},
    {"IPv6 in brackets", PROXY, {"x-forwarded-for", "[2001:db8::1]"}, "2001:db8::1"},
    {"IPv6 with a port", PROXY, {"x-forwarded-for", "[2001:db8::1]:80"}, "2001:db8::1"},
    {"IPv4 in IPv6", PROXY, {"x-real-ip", "::ffff:192.0.2.1"}, "192.0.2.1"},
    {"the order", PROXY, {"x-forwarded-for", "3.3.3.3", "x-real-ip", "2.2.2.2", "true-client-ip", "1.1.1.1"}, "1.1.1.1"},
    {"the order without the first", PROXY, {"x-forwarded-for", "3.3.3.3", "x-real-ip", "2.2.2.2"}, "2.2.2.2"},
    {"what is no address is passed over", PROXY, {"x-real-ip", "me", "x-forwarded-for", "3.3.3.3"}, "3.3.3.3"},
    {"Unix sockets have no proxies", "", {"x-real-ip", "1.1.1.1"}, ""},
    /* clang-format on */
};

static struct ip_addr address(const char *text)
{
    struct ip_addr addr = {0};

    assert_true(text[0] == '\0' || ip_addr_parse(str_from(text), &addr));
    return addr;
}

static void believes_proxies_only(void **state)
{
    struct ip_prefix proxies[2];

    (void)state;
    assert_true(ip_prefix_parse(STR("10.0.0.0/28"), &proxies[0]));
    assert_true(ip_prefix_parse(STR("fd00::/64"), &proxies[1]));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_header headers[HEADERS_MAX];
        struct http_request req = {.headers = headers};
        struct ip_addrport peer = {address(cases[i].peer), 77}, got;

        print_message("%s\n", cases[i].name);
        for (size_t k = 0; k < HEADERS_MAX && cases[i].headers[2 * k]; k++)
            headers[req.n_headers++] = (struct http_header){str_from(cases[i].headers[2 * k]),
                                                            str_from(cases[i].headers[2 * k + 1])};
        got = http_forwarded_peer(&req, peer, proxies, ARRAY_LEN(proxies));
        assert_true(ip_addr_eq(got.addr, address(cases[i].want)));
        assert_int_equal(got.port, strcmp(cases[i].peer, cases[i].want) == 0 ? 77 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(believes_proxies_only)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
