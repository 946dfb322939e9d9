/* What authorities answer: what is taken, and what is not. */

#include "../unit.h"

#include "acme/answer.h"

static void reads_directories(void **state)
{
    static const struct {
        const char *name, *text;
        bool plain, ok;
    } cases[] = {
        {"as Let's Encrypt's",
         "{\"Yxq3\":\"random\",\"keyChange\":\"https://a/k\",\"meta\":{\"caaIdentities\":[\"a\"]},"
         "\"newAccount\":\"https://a/acct\",\"newNonce\":\"https://a/nonce\",\"newOrder\":"
         "\"https://a/order\",\"renewalInfo\":\"https://a/renew\"}",
         false, true},
        {"no order", "{\"newAccount\":\"https://a/acct\",\"newNonce\":\"https://a/nonce\"}", false,
         false},
        {"without TLS",
         "{\"newAccount\":\"http://a/acct\",\"newNonce\":\"http://a/nonce\",\"newOrder\":\"http://"
         "a/order\"}",
         false, false},
        {"without TLS, as its directory",
         "{\"newAccount\":\"http://a/acct\",\"newNonce\":\"http://a/nonce\",\"newOrder\":\"http://"
         "a/order\"}",
         true, true},
        {"a file",
         "{\"newAccount\":\"file:///etc/passwd\",\"newNonce\":\"https://a/n\",\"newOrder\":"
         "\"https://a/o\"}",
         true, false},
        {"a line end in a URL",
         "{\"newAccount\":\"https://a/\\r\\nx: y\",\"newNonce\":\"https://a/n\",\"newOrder\":"
         "\"https://a/o\"}",
         true, false},
        {"a list", "[]", true, false},
        {"HTML", "<html>", true, false},
        {"nothing", "", true, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena_free) struct arena *a = arena_new();
        struct acme_directory d = {0};

        print_message("%s\n", cases[i].name);
        assert_int_equal(acme_read_directory(a, str_from(cases[i].text), cases[i].plain, &d),
                         cases[i].ok);
        if (i == 0) {
            assert_str(d.new_order, STR("https://a/order"));
            assert_str(d.renewal_info, STR("https://a/renew"));
        }
    }
}

static void reads_orders(void **state)
{
    static const struct {
        const char *name, *text;
        bool ok;
        enum acme_status status;
        size_t n;
    } cases[] = {
        {"pending",
         "{\"status\":\"pending\",\"finalize\":\"https://a/f\",\"authorizations\":[\"https://a/1\","
         "\"https://a/2\"]}",
         true, ACME_PENDING, 2},
        {"valid has its certificate",
         "{\"status\":\"valid\",\"finalize\":\"https://a/f\",\"certificate\":\"https://a/c\"}",
         true, ACME_VALID, 0},
        {"valid without one", "{\"status\":\"valid\",\"finalize\":\"https://a/f\"}", false, 0, 0},
        {"invalid, and why",
         "{\"status\":\"invalid\",\"finalize\":\"https://a/f\",\"error\":{\"type\":"
         "\"urn:ietf:params:acme:error:caa\",\"detail\":\"no\"}}",
         true, ACME_INVALID, 0},
        {"another status", "{\"status\":\"sleepy\",\"finalize\":\"https://a/f\"}", false, 0, 0},
        {"nine authorizations",
         "{\"status\":\"pending\",\"finalize\":\"https://a/f\",\"authorizations\":[\"https://a\","
         "\"https://a\",\"https://a\",\"https://a\",\"https://a\",\"https://a\",\"https://a\","
         "\"https://a\",\"https://a\"]}",
         false, 0, 0},
        {"an authorization that is a number",
         "{\"status\":\"pending\",\"finalize\":\"https://a/f\",\"authorizations\":[1]}", false, 0,
         0},
        {"cut short", "{\"status\":\"pending\",\"finalize\":\"https://a/f\",\"auth", false, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena_free) struct arena *a = arena_new();
        struct acme_order o = {0};

        print_message("%s\n", cases[i].name);
        assert_int_equal(acme_read_order(a, str_from(cases[i].text), false, &o), cases[i].ok);
        assert_int_equal(o.status, cases[i].status);
        assert_int_equal(o.n_authorizations, cases[i].n);
        if (o.status == ACME_INVALID)
            assert_str(o.problem.type, STR("caa"));
    }
}

static void reads_authorizations(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct acme_authorization z;

    (void)state;
    assert_true(acme_read_authorization(
        a,
        STR("{\"identifier\":{\"type\":\"dns\",\"value\":\"a\"},\"status\":\"pending\","
            "\"challenges\":[{\"type\":\"dns-01\",\"url\":\"https://a/1\",\"token\":\"t1\"},"
            "{\"type\":\"http-01\",\"url\":\"https://a/2\",\"token\":\"t_-2\"},"
            "{\"type\":\"tls-alpn-01\",\"url\":\"https://a/3\",\"token\":\"../../etc\"}]}"),
        false, &z));
    assert_int_equal(z.status, ACME_PENDING);
    assert_str(z.challenges[ACME_HTTP_01].url, STR("https://a/2"));
    assert_str(z.challenges[ACME_HTTP_01].token, STR("t_-2"));
    assert_int_equal(z.challenges[ACME_TLS_ALPN_01].url.len, 0); /* no token at all */
    assert_true(acme_read_authorization(
        a,
        STR("{\"status\":\"deactivated\",\"challenges\":[{\"type\":\"http-01\",\"error\":{\"type\":"
            "\"urn:ietf:params:acme:error:connection\",\"detail\":\"refused\"}}]}"),
        false, &z));
    assert_int_equal(z.status, ACME_INVALID);
    assert_str(z.problem.detail, STR("refused"));
    assert_false(acme_read_authorization(a, STR("{\"challenges\":[]}"), false, &z));
}

static void knows_problems(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new();

    (void)state;
#define KIND(type) \
    acme_read_problem(a, STR("{\"type\":\"urn:ietf:params:acme:error:" type "\"}")).kind
    assert_int_equal(KIND("badNonce"), ACME_PROBLEM_BAD_NONCE);
    assert_int_equal(KIND("rateLimited"), ACME_PROBLEM_RATE_LIMITED);
    assert_int_equal(KIND("accountDoesNotExist"), ACME_PROBLEM_NO_ACCOUNT);
    assert_int_equal(KIND("malformed"), ACME_PROBLEM_OTHER);
#undef KIND
    assert_int_equal(acme_read_problem(a, STR("<html>502")).type.len, 0);
}

static void reads_when_to_come_back(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"0", 0},
        {"120", 120000},
        {"99999999999", (int64_t)7 * 86400 * 1000},
        {"-5", -1},
        {"soon", -1},
        {"", -1},
        {"Sat, 21 Nov 2026 00:01:00 GMT", 60000},
        {"Fri, 20 Nov 2026 00:00:00 GMT", 0},
        {"Sat, 21 Nov 2036 00:01:00 GMT", (int64_t)7 * 86400 * 1000},
        {"Sat, 21 vNo 2026 00:01:00 GMT", -1},
        {"Sat, 21 Nov 2026 00:01:00 CET", -1},
        {"Sat, 99 Nov 2026 00:01:00 GMT", -1},
    };
    int64_t now = (int64_t)1795219200 * 1000; /* 2026-11-21 */

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%s\n", cases[i].text);
        assert_int_equal(acme_read_retry_after(str_from(cases[i].text), now), cases[i].ms);
    }
}

static void reads_windows_and_chains(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct acme_window w = {0};

    (void)state;
    assert_true(acme_read_window(a,
                                 STR("{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\","
                                     "\"end\":\"2025-01-03T04:00:00Z\"}}"),
                                 &w));
    assert_int_equal(w.end_unix_ms - w.start_unix_ms, 86400000);
    assert_false(acme_read_window(a,
                                  STR("{\"suggestedWindow\":{\"start\":\"2025-01-03T04:00:00Z\","
                                      "\"end\":\"2025-01-02T04:00:00Z\"}}"),
                                  &w));
    assert_false(acme_read_window(a, STR("{}"), &w));
    assert_true(acme_is_chain(STR("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")));
    assert_false(acme_is_chain(STR("-----BEGIN CERTIFICATE-----\nx\n-----BEGIN PRIVATE KEY-----")));
    assert_false(acme_is_chain(STR("-----BEGIN CERTIFICATE REQUEST-----")));
    assert_false(acme_is_chain(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_directories),       cmocka_unit_test(reads_orders),
        cmocka_unit_test(reads_authorizations),    cmocka_unit_test(knows_problems),
        cmocka_unit_test(reads_when_to_come_back), cmocka_unit_test(reads_windows_and_chains),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
