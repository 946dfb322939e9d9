/* "DST[:PORT[/PROTO]]" for policy explain. */

#include "../unit.h"

#include "api/api_internal.h"

static const struct {
    struct str text;
    struct str dst;
    int port;
    int proto;
} cases[] = {
    {STR_INIT("bob@example.com"), STR_INIT("bob@example.com"), -1, 6},
    {STR_INIT("tag:web"), STR_INIT("tag:web"), -1, 6},
    {STR_INIT("tag:web:443"), STR_INIT("tag:web"), 443, 6},
    {STR_INIT("tag:web:53/udp"), STR_INIT("tag:web"), 53, 17},
    {STR_INIT("tag:web:53/UDP"), STR_INIT("tag:web"), 53, 17},
    {STR_INIT("web:*/icmp"), STR_INIT("web"), -1, 1},
    {STR_INIT("web:*"), STR_INIT("web"), -1, 6},
    {STR_INIT("web:65536"), STR_INIT("web:65536"), -1, 6},
    {STR_INIT("web:80/nothing"), STR_INIT("web:80/nothing"), -1, 6},
    {STR_INIT("web:"), STR_INIT("web:"), -1, 6},
    {STR_INIT(":80"), STR_INIT(":80"), -1, 6},
    {STR_INIT("10.0.0.1:22"), STR_INIT("10.0.0.1"), 22, 6},
    {STR_INIT("10.0.0.0/8:22/tcp"), STR_INIT("10.0.0.0/8"), 22, 6},
    {STR_INIT("fd7a::1"), STR_INIT("fd7a::1"), -1, 6},
    {STR_INIT("fd7a::1:80"), STR_INIT("fd7a::1:80"), -1, 6},
    {STR_INIT("fd7a::/48"), STR_INIT("fd7a::/48"), -1, 6},
    {STR_INIT("[fd7a::1]:80"), STR_INIT("fd7a::1"), 80, 6},
    {STR_INIT("[fd7a::1]"), STR_INIT("fd7a::1"), -1, 6},
    {STR_INIT("[fd7a::1]80"), STR_INIT("[fd7a::1]80"), -1, 6},
    {STR_INIT("[fd7a::1"), STR_INIT("[fd7a::1"), -1, 6},
    {STR_INIT(""), STR_INIT(""), -1, 6},
};

static void reads_each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str dst;
        int port, proto;

        print_message("%.*s\n", STR_ARG(cases[i].text));
        api_parse_target(cases[i].text, &dst, &port, &proto);
        assert_str(dst, cases[i].dst);
        assert_int_equal(port, cases[i].port);
        assert_int_equal(proto, cases[i].proto);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_each_case)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
