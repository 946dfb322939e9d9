/* DNS by both APIs: v1's own calls, and v2's in Tailscale's shapes. */

#include "harness.h"

static struct harness h;

#define DNS "/api/v2/tailnet/-/dns/"

static int setup(void **state)
{
    (void)state;
    harness_start(&h, &(struct harness_options){0});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

static void want_body(const char *text)
{
    struct str body = str_trim(h.body);

    if (!str_eq(body, str_from(text)))
        fail_msg("%.*s\nis not\n%s", STR_ARG(body), text);
}

static void v1_sets_adds_removes_and_resets(void **state)
{
    (void)state;
    want(&h, 200, "GET", "/api/v1/dns", NULL);
    want_body("{\"dns\":{\"magicDns\":true,\"baseDomain\":\"example.internal\","
              "\"overrideLocalDns\":false,\"nameservers\":[],\"splitDns\":[],\"searchPaths\":[],"
              "\"records\":[],\"set\":[]}}");
    want(&h, 200, "PATCH", "/api/v1/dns",
         "{\"nameservers\":[\"1.1.1.1\",{\"address\":\"9.9.9.9\",\"useWithExitNode\":true}],"
         "\"split_dns\":[{\"domain\":\"Corp.Test.\",\"nameservers\":[\"10.0.0.53\"]}],"
         "\"records\":[{\"name\":\"grafana.test\",\"value\":\"100.64.0.3\"}]}");
    want_got(&h, "dns.overrideLocalDns", "true");
    want_got(&h, "dns.nameservers.1.useWithExitNode", "true");
    want_got(&h, "dns.splitDns.0.domain", "corp.test");
    want_got(&h, "dns.records.0.type", "A");
    want_got(&h, "dns.records.0.source", "set");
    want_got(&h, "dns.set", "[\"nameservers\",\"splitDns\",\"records\"]");

    want(&h, 200, "POST", "/api/v1/dns/add",
         "{\"searchPaths\":[\"corp.test\"],\"records\":[{\"name\":\"six.test\",\"value\":\"fd7a::"
         "9\"}]"
         "}");
    want_got(&h, "dns.records.1.type", "AAAA");
    want(&h, 200, "POST", "/api/v1/dns/remove",
         "{\"nameservers\":[\"1.1.1.1\"],\"records\":[{\"name\":\"grafana.test\"}]}");
    want_got(&h, "dns.nameservers.0.address", "9.9.9.9");
    want_got(&h, "dns.records.0.name", "six.test");
    want(&h, 404, "POST", "/api/v1/dns/remove", "{\"nameservers\":[\"1.1.1.1\"]}");
    want(&h, 200, "POST", "/api/v1/dns/reset", "{\"parts\":[\"records\",\"nameservers\"]}");
    want_got(&h, "dns.set", "[\"splitDns\",\"searchPaths\"]");
    want(&h, 200, "POST", "/api/v1/dns/reset", NULL);
    want_got(&h, "dns.set", "[]");
}

static void refuses_what_cannot_be(void **state)
{
    static const struct {
        int status;
        const char *method, *path, *body;
    } cases[] = {
        {400, "PATCH", "/api/v1/dns", "{\"nameservers\":[\"x\"]}"},
        {422, "PATCH", "/api/v1/dns", "{\"nameservers\":\"1.1.1.1\"}"},
        {422, "PATCH", "/api/v1/dns", "{\"nameservers\":[7]}"},
        {422, "PATCH", "/api/v1/dns",
         "{\"nameservers\":[{\"address\":\"1.1.1.1\",\"useWithExitNode\":\"yes\"}]}"},
        {422, "PATCH", "/api/v1/dns", "{\"splitDns\":[{\"nameservers\":[]}]}"},
        {422, "PATCH", "/api/v1/dns", "{\"records\":[{\"name\":7}]}"},
        {422, "PATCH", "/api/v1/dns", "{\"magicDns\":\"on\"}"},
        {400, "PATCH", "/api/v1/dns", "{\"overrideLocalDns\":true}"},
        {400, "PATCH", "/api/v1/dns",
         "{\"records\":[{\"name\":\"a.test\",\"type\":\"CNAME\",\"value\":\"b.test\"}]}"},
        {422, "POST", "/api/v1/dns/reset", "{\"parts\":[\"everything\"]}"},
        {400, "POST", DNS "nameservers", "{}"},
        {400, "POST", DNS "nameservers", "{\"dns\":\"1.1.1.1\"}"},
        {400, "POST", DNS "nameservers", "{\"dns\":[\"dns.example.com\"]}"},
        {400, "POST", DNS "preferences", "{\"magicDNS\":1}"},
        {400, "POST", DNS "searchpaths", "{\"searchPaths\":[\"a..b\"]}"},
        {400, "PUT", DNS "split-dns", "{\"a.test\":\"1.1.1.1\"}"},
        {400, "PUT", DNS "split-dns", "{\"a b\":[\"1.1.1.1\"]}"},
        {400, "PATCH", DNS "split-dns", "{\"a.test\":[7]}"},
        {400, "POST", DNS "configuration", "{\"splitDNS\":[]}"},
        {400, "POST", DNS "configuration", "{\"preferences\":{\"overrideLocalDNS\":true}}"},
        {400, "PUT", DNS "records", "{}"},
        {404, "GET", "/api/v2/tailnet/other/dns/nameservers", NULL},
        {405, "DELETE", DNS "nameservers", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        want(&h, cases[i].status, cases[i].method, cases[i].path, cases[i].body);
    want(&h, 200, "GET", "/api/v1/dns", NULL);
    want_got(&h, "dns.set", "[]");
}

/* What tailscale-client-go-v2 sends, and what it reads. */
static void v2_speaks_tailscales_shapes(void **state)
{
    (void)state;
    want(&h, 200, "GET", DNS "nameservers", NULL);
    want_body("{\"dns\":[]}");
    want(&h, 200, "POST", DNS "nameservers", "{\"dns\":[\"1.1.1.1\",\"8.8.8.8\"]}");
    want_body("{\"dns\":[\"1.1.1.1\",\"8.8.8.8\"],\"magicDNS\":true}");
    want(&h, 200, "POST", DNS "preferences", "{\"magicDNS\":false}");
    want_body("{\"magicDNS\":false}");
    want(&h, 200, "GET", DNS "preferences", NULL);
    want_body("{\"magicDNS\":false}");
    want(&h, 200, "POST", DNS "searchpaths", "{\"searchPaths\":[\"a.test\",\"b.test\"]}");
    want(&h, 200, "GET", DNS "searchpaths", NULL);
    want_body("{\"searchPaths\":[\"a.test\",\"b.test\"]}");

    want(&h, 200, "PUT", DNS "split-dns",
         "{\"a.test\":[\"10.0.0.1\",\"10.0.0.2\"],\"b.test\":[\"10.0.0.3\"],\"c.test\":null}");
    want_body("{\"a.test\":[\"10.0.0.1\",\"10.0.0.2\"],\"b.test\":[\"10.0.0.3\"]}");
    want(&h, 200, "PATCH", DNS "split-dns", "{\"a.test\":null,\"d.test\":[\"10.0.0.4\"]}");
    want_body("{\"b.test\":[\"10.0.0.3\"],\"d.test\":[\"10.0.0.4\"]}");
    want(&h, 200, "PATCH", DNS "split-dns", "{\"d.test\":[],\"never.test\":null}");
    want(&h, 200, "GET", DNS "split-dns", NULL);
    want_body("{\"b.test\":[\"10.0.0.3\"]}");
    want(&h, 200, "PUT", DNS "split-dns", "{}");
    want_body("{}");

    want(&h, 200, "POST", DNS "configuration",
         "{\"nameservers\":[{\"address\":\"8.8.8.8\",\"useWithExitNode\":true}],"
         "\"splitDNS\":{\"c.test\":[{\"address\":\"4.4.4.4\"}]},\"searchPaths\":[\"c.test\"],"
         "\"preferences\":{\"overrideLocalDNS\":true,\"magicDNS\":true}}");
    want(&h, 200, "GET", DNS "configuration", NULL);
    want_body("{\"nameservers\":[{\"address\":\"8.8.8.8\",\"useWithExitNode\":true}],\"splitDNS\":{"
              "\"c.test\":[{\"address\":\"4.4.4.4\",\"useWithExitNode\":false}]},"
              "\"searchPaths\":[\"c.test\"],"
              "\"preferences\":{\"overrideLocalDNS\":true,\"magicDNS\":true}}");
    want(&h, 200, "POST", DNS "configuration", "{}");
    want_body("{\"nameservers\":[],\"splitDNS\":{},\"searchPaths\":[],"
              "\"preferences\":{\"overrideLocalDNS\":false,\"magicDNS\":false}}");
    want(&h, 200, "PUT", DNS "records",
         "{\"records\":[{\"name\":\"a.test\",\"type\":\"A\",\"value\":\"10.0.0.9\"}]}");
    want(&h, 200, "GET", DNS "records", NULL);
    want_body("{\"records\":[{\"name\":\"a.test\",\"type\":\"A\",\"value\":\"10.0.0.9\"}]}");
}

/* A key of the scope "dns:read" looks; it takes "dns" to change. */
static void asks_for_its_scope(void **state)
{
    (void)state;
    want(&h, 200, "POST", "/api/v1/apikey",
         "{\"expiration\":\"2099-01-01T00:00:00Z\",\"scopes\":[\"dns:read\"]}");
    char *key = bearer_of(got(&h, "apiKey"));
    struct question q = {.method = "GET", .path = DNS "split-dns", .key = key};

    assert_int_equal(harness_ask(&h, &q), 200);
    q.path = "/api/v1/dns";
    assert_int_equal(harness_ask(&h, &q), 200);
    q.method = "PATCH";
    q.body = STR("{\"magicDns\":false}");
    assert_int_equal(harness_ask(&h, &q), 403);
    q.path = DNS "split-dns";
    q.body = STR("{}");
    assert_int_equal(harness_ask(&h, &q), 403);
    mem_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(v1_sets_adds_removes_and_resets, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_cannot_be, setup, teardown),
        cmocka_unit_test_setup_teardown(v2_speaks_tailscales_shapes, setup, teardown),
        cmocka_unit_test_setup_teardown(asks_for_its_scope, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
