/*
 * v2's gate: who comes in and how, which tailnet a path means, what refusals look like.
 * headscale.md 3.6.
 */

#include "harness.h"

#define DEVICES "/api/v2/tailnet/-/devices"

static int ask_as(struct harness *h, const char *path, const char *key)
{
    return harness_ask(h, &(struct question){.method = "GET", .path = path, .key = key});
}

/* Good until the next one. */
static const char *basic(struct str name, const char *password)
{
    static char header[2048];
    struct buf text = BUF(1024), base64 = BUF(sizeof(header) - 8);

    buf_printf(&text, "%.*s:%s", STR_ARG(name), password);
    buf_put_base64(&base64, buf_str(&text));
    (void)snprintf(header, sizeof(header), "Basic %.*s", STR_ARG(buf_str(&base64)));
    buf_fini(&text);
    buf_fini(&base64);
    return header;
}

static void a_key_comes_as_bearer_or_as_basic_s_user_name(void **state)
{
    struct harness *h = *state;
    struct str key = str_copy(h->key);

    assert_int_equal(ask(h, "GET", DEVICES, ""), 200);
    assert_int_equal(ask_as(h, DEVICES, basic(key, "")), 200);
    assert_int_equal(ask_as(h, DEVICES, basic(key, "whatever")), 200);
    assert_int_equal(ask_as(h, DEVICES, basic(STR("hskey-api-nobody"), "")), 401);
    assert_int_equal(ask_as(h, DEVICES, ""), 401);
    assert_str(h->body, STR("{\"message\":\"unauthorized\",\"status\":401}\n"));
    /* v1 knows no Basic (headscale.md 3.1). */
    assert_int_equal(ask_as(h, "/api/v1/node", basic(key, "")), 401);
    str_free(&key);
}

static void a_path_names_a_tailnet_or_means_the_caller_s(void **state)
{
    struct harness *h = *state;

    want(h, 200, "POST", "/api/v1/tailnet", "{\"name\":\"other\"}");
    want(h, 200, "POST", "/api/v1/user?tailnet=other", "{\"name\":\"olga\"}");
    want(h, 200, "GET", "/api/v2/tailnet/default/devices", "");
    want(h, 200, "GET", "/api/v2/tailnet/other/devices", "");
    want(h, 404, "GET", "/api/v2/tailnet/nobody/devices", "");
    want_got(h, "message", "tailnet not found");
    want_got(h, "status", "404");

    /* One of a tailnet sees that one only, under either name. */
    want(h, 200, "POST", "/api/v1/apikey?tailnet=other", "{}");
    char *key = bearer_of(got(h, "apiKey"));

    assert_int_equal(ask_as(h, "/api/v2/tailnet/-/devices", key), 200);
    assert_int_equal(ask_as(h, "/api/v2/tailnet/other/devices", key), 200);
    assert_int_equal(ask_as(h, "/api/v2/tailnet/default/devices", key), 404);
    mem_free(key);
}

static void a_scope_is_asked_for_by_its_name(void **state)
{
    struct harness *h = *state;

    want(h, 200, "POST", "/api/v1/apikey", "{\"scopes\":[\"dns\"]}");
    char *key = bearer_of(got(h, "apiKey"));

    assert_int_equal(ask_as(h, DEVICES, key), 403);
    want_got(h, "message", "token is missing the required scope devices:core:read");
    assert_int_equal(harness_ask(h, &(struct question){"DELETE", "/api/v2/device/1", .key = key}),
                     403);
    want_got(h, "message", "token is missing the required scope devices:core");
    mem_free(key);
}

static void what_nobody_serves_is_a_problem_of_v2(void **state)
{
    struct harness *h = *state;

    want(h, 404, "GET", "/api/v2/nothing", "");
    want_got(h, "message", "404 page not found");
    want(h, 405, "PUT", DEVICES, "");
    assert_true(got_header(h, "allow: GET, HEAD, OPTIONS\r\n"));
}

static void devices_are_found_by_either_id_in_any_tailnet(void **state)
{
    struct harness *h = *state;
    uint64_t id = harness_node(h, "dev", "alice");
    char path[160];

    want(h, 200, "GET", DEVICES, "");
    (void)snprintf(path, sizeof(path), "/api/v2/device/%llu", (unsigned long long)id);
    want(h, 200, "GET", path, "");
    want_got(h, "name", "dev.example.internal");
    want_got(h, "user", "alice");
    assert_false(json_get(h->json, "enabledRoutes"));
    (void)snprintf(path, sizeof(path), "/api/v2/device/%.*s?fields=all", STR_ARG(got(h, "nodeId")));
    want(h, 200, "GET", path, "");
    assert_non_null(json_get(h->json, "enabledRoutes"));
    want(h, 404, "GET", "/api/v2/device/999", "");
    want_got(h, "message", "device not found");
    (void)snprintf(path, sizeof(path), "/api/v2/device/%llu", (unsigned long long)id);
    want(h, 200, "DELETE", path, "");
    want(h, 404, "DELETE", path, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_comes_as_bearer_or_as_basic_s_user_name),
        cmocka_unit_test(a_path_names_a_tailnet_or_means_the_caller_s),
        cmocka_unit_test(a_scope_is_asked_for_by_its_name),
        cmocka_unit_test(what_nobody_serves_is_a_problem_of_v2),
        cmocka_unit_test(devices_are_found_by_either_id_in_any_tailnet),
    };

    return cmocka_run_group_tests(tests, set_up_alice, tear_down_harness);
}
