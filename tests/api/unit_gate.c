/*
 * Who may, and what comes of nonsense: keys that are missing, malformed, unknown, expired or
 * another tailnet's; scopes; methods, paths and bodies that nobody means well. Whatever comes, the
 * answer is a clear refusal, and nothing has changed.
 *
 * Of headscale.md 11: #106.
 */

#include "harness.h"

#include "core/clock.h"

static struct harness h;

static int setup(void **state)
{
    static struct str origins[] = {STR_INIT("https://ui.example")};

    (void)state;
    harness_start(&h, &(struct harness_options){.origins = {origins, 1}});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

static int ask_with(const char *key, const char *method, const char *path, const char *body)
{
    return harness_ask(
        &h, &(struct question){.method = method, .path = path, .body = str_from(body), .key = key});
}

/* ---- Keys: headscale.md 11 #106 ---- */

static void keys_that_open_nothing(void **state)
{
    static const char *const keys[] = {
        "",
        "Bearer ",
        "Bearer garbage",
        "bearer hskey-api-000000000000-"
        "0000000000000000000000000000000000000000000000000000000000000000",
        "Bearer hskey-api-000000000000-"
        "0000000000000000000000000000000000000000000000000000000000000000",
        "Bearer hskey-auth-000000000000-"
        "0000000000000000000000000000000000000000000000000000000000000000",
        "Bearer ' OR 1=1 --",
        "Bearer abcdefg.0123456789012345678901234567890a",
        "Basic YWRtaW46YWRtaW4=",
        "Negotiate x",
    };
    struct buf first = BUF(4096);

    (void)state;
    want(&h, 200, "GET", "/api/v1/user", NULL);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        print_message("%s\n", keys[i]);
        assert_int_equal(ask_with(keys[i], "GET", "/api/v1/user", NULL), 401);
        assert_true(h.body.len < 100);
        assert_true(str_find(h.body, STR("Unauthorized")) >= 0);
        assert_true(got_header(&h, "www-authenticate: Bearer\r\n"));
        /* Not by a byte do they differ. */
        if (i == 0)
            buf_put(&first, h.body);
        assert_str(h.body, buf_str(&first));
        assert_int_equal(ask_with(keys[i], "POST", "/api/v1/user", "{\"name\":\"thief\"}"), 401);
        assert_int_equal(ask_with(keys[i], "GET", "/api/v1/health", NULL), 401);
    }
    /* Consoles know the bare word only. */
    (void)harness_ask(&h, &(struct question){.method = "GET",
                                             .path = "/api/v1/user",
                                             .key = "",
                                             .headers = "accept: application/json\r\n"});
    assert_str(h.body, STR("Unauthorized"));
    want(&h, 200, "GET", "/api/v1/user?name=thief", NULL);
    assert_int_equal(json_len(got_value(&h, "users")), 0);
    buf_fini(&first);
}

static void a_key_s_last_character_counts(void **state)
{
    char *key = bearer_of(h.key);
    size_t last = strlen(key) - 1;

    (void)state;
    key[last] = key[last] == '0' ? '1' : '0';
    assert_int_equal(ask_with(key, "GET", "/api/v1/user", NULL), 401);
    key[last] = '\0';
    assert_int_equal(ask_with(key, "GET", "/api/v1/user", NULL), 401);
    mem_free(key);
}

static void expired_and_deleted_keys_open_nothing(void **state)
{
    (void)state;
    want(&h, 200, "POST", "/api/v1/apikey", "{\"expiration\":\"2001-01-01T00:00:00Z\"}");
    char *expired = bearer_of(got(&h, "apiKey"));
    want(&h, 200, "POST", "/api/v1/apikey", NULL);
    char *deleted = bearer_of(got(&h, "apiKey"));

    assert_int_equal(ask_with(expired, "GET", "/api/v1/user", NULL), 401);
    assert_int_equal(ask_with(deleted, "GET", "/api/v1/user", NULL), 200);
    /* It may take itself away. */
    struct str body = str_printf("{\"prefix\":\"%s\"}", deleted + strlen("Bearer "));
    char *text = str_dup(body);
    assert_int_equal(ask_with(deleted, "POST", "/api/v1/apikey/expire", text), 200);
    assert_int_equal(ask_with(deleted, "GET", "/api/v1/user", NULL), 401);
    str_free(&body);
    mem_free(text);
    mem_free(expired);
    mem_free(deleted);
}

static void a_tailnet_s_key_sees_its_tailnet_only(void **state)
{
    (void)state;
    want(&h, 200, "POST", "/api/v1/user", "{\"name\":\"alice\"}");
    uint64_t node = harness_node(&h, "n1", "alice");
    want(&h, 200, "POST", "/api/v1/tailnet", "{\"name\":\"other\"}");
    want(&h, 200, "POST", "/api/v1/apikey?tailnet=other", NULL);
    char *key = bearer_of(got(&h, "apiKey"));
    char path[64];

    assert_int_equal(ask_with(key, "GET", "/api/v1/user", NULL), 200);
    assert_int_equal(json_len(got_value(&h, "users")), 0);
    assert_int_equal(ask_with(key, "GET", "/api/v1/node", NULL), 200);
    assert_int_equal(json_len(got_value(&h, "nodes")), 0);
    assert_int_equal(ask_with(key, "GET", "/api/v1/tailnet", NULL), 200);
    assert_int_equal(json_len(got_value(&h, "tailnets")), 1);
    want_got(&h, "tailnets.0.name", "other");
    assert_int_equal(ask_with(key, "GET", "/api/v1/apikey", NULL), 200);
    assert_int_equal(json_len(got_value(&h, "apiKeys")), 1);
    assert_int_equal(ask_with(key, "GET", "/api/v1/audit", NULL), 200);
    JSON_EACH(entry, got_value(&h, "entries")) {
        assert_false(str_eq(json_get_str(entry, "tailnetId"), STR("1")));
    }
    /* Another's is as if it were not there, by whatever name. */
    assert_int_equal(ask_with(key, "GET", "/api/v1/node?tailnet=default", NULL), 404);
    assert_int_equal(ask_with(key, "GET", "/api/v1/node?tailnet=none", NULL), 404);
    (void)snprintf(path, sizeof(path), "/api/v1/node/%llu", (unsigned long long)node);
    assert_int_equal(ask_with(key, "GET", path, NULL), 404);
    assert_int_equal(ask_with(key, "DELETE", path, NULL), 404);
    assert_int_equal(ask_with(key, "DELETE", "/api/v1/user/1", NULL), 404);
    assert_int_equal(ask_with(key, "POST", "/api/v1/preauthkey", "{\"user\":1}"), 404);
    assert_int_equal(ask_with(key, "POST", "/api/v1/apikey/expire", "{\"id\":1}"), 404);
    assert_int_equal(ask_with(key, "DELETE", "/api/v1/apikey?id=1", NULL), 404);
    assert_int_equal(ask_with(key, "POST", "/api/v1/tailnet", "{\"name\":\"third\"}"), 403);
    /* The key it makes is no more than itself. */
    assert_int_equal(ask_with(key, "POST", "/api/v1/apikey", NULL), 200);
    char *child = bearer_of(got(&h, "apiKey"));
    assert_int_equal(ask_with(child, "GET", "/api/v1/node?tailnet=default", NULL), 404);
    assert_int_equal(ask_with(child, "POST", "/api/v1/tailnet", "{\"name\":\"third\"}"), 403);
    want(&h, 200, "GET", path, NULL);
    mem_free(child);
    mem_free(key);
}

static void a_scope_is_all_a_key_may(void **state)
{
    (void)state;
    want(&h, 200, "POST", "/api/v1/apikey", "{\"scopes\":[\"devices:core:read\"]}");
    char *key = bearer_of(got(&h, "apiKey"));

    assert_int_equal(ask_with(key, "GET", "/api/v1/node", NULL), 200);
    assert_int_equal(ask_with(key, "DELETE", "/api/v1/node/1", NULL), 403);
    want_got(&h, "code", "7");
    assert_int_equal(ask_with(key, "GET", "/api/v1/policy", NULL), 403);
    assert_int_equal(ask_with(key, "GET", "/api/v1/preauthkey", NULL), 403);
    assert_int_equal(ask_with(key, "POST", "/api/v1/apikey", NULL), 403);
    mem_free(key);
    want(&h, 200, "POST", "/api/v1/apikey", "{\"scopes\":[\"policy_file:read\"]}");
    key = bearer_of(got(&h, "apiKey"));
    assert_int_equal(ask_with(key, "POST", "/api/v1/policy/check", "{\"policy\":\"{}\"}"), 200);
    assert_int_equal(ask_with(key, "PUT", "/api/v1/policy", "{\"policy\":\"{}\"}"), 403);
    mem_free(key);
}

/* ---- Methods, paths, browsers ---- */

static void paths_and_methods(void **state)
{
    static const struct {
        const char *method, *path;
        int status;
        const char *allow;
    } cases[] = {
        {"GET", "/api/v1/nothing", 404, NULL},
        {"GET", "/api/v1/", 404, NULL},
        {"GET", "/api/v1/node/", 404, NULL},
        {"GET", "/api/v1/node/1/", 404, NULL},
        {"OPTIONS", "/api/v1/nothing", 404, NULL},
        {"PATCH", "/api/v1/user", 405, "GET, HEAD, POST, OPTIONS"},
        {"PUT", "/api/v1/node/1", 405, "GET, HEAD, DELETE, OPTIONS"},
        {"GET", "/api/v1/node/1/expire", 405, "POST, OPTIONS"},
        {"OPTIONS", "/api/v1/policy", 204, "GET, HEAD, PUT, OPTIONS"},
        /* Of the socket alone. */
        {"POST", "/api/v1/../../metrics", 404, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%s %s\n", cases[i].method, cases[i].path);
        (void)harness_ask(&h, &(struct question){.method = cases[i].method,
                                                 .path = cases[i].path,
                                                 .unchecked = cases[i].status == 204});
        assert_int_equal(h.status, cases[i].status);
        if (cases[i].allow) {
            struct str line = str_printf("allow: %s\r\n", cases[i].allow);
            char *text = str_dup(line);

            assert_true(got_header(&h, text));
            str_free(&line);
            mem_free(text);
        }
    }
    (void)harness_ask(
        &h, &(struct question){.method = "HEAD", .path = "/api/v1/user", .unchecked = true});
    assert_int_equal(h.status, 200);
    assert_int_equal(h.body.len, 0);
    (void)harness_ask(
        &h,
        &(struct question){.method = "HEAD", .path = "/api/v1/user", .key = "", .unchecked = true});
    assert_int_equal(h.status, 401);
}

static void browsers_of_allowed_origins_may_call(void **state)
{
    static const char preflight[] = "origin: https://ui.example\r\n"
                                    "access-control-request-method: POST\r\n"
                                    "access-control-request-headers: authorization\r\n";

    (void)state;
    (void)harness_ask(&h, &(struct question){.method = "OPTIONS",
                                             .path = "/api/v1/user",
                                             .key = "",
                                             .headers = preflight,
                                             .unchecked = true});
    assert_int_equal(h.status, 204);
    assert_true(got_header(&h, "access-control-allow-origin: https://ui.example\r\n"));
    assert_true(
        got_header(&h, "access-control-allow-headers: Authorization, Content-Type, Accept"));
    assert_true(got_header(&h, "access-control-allow-methods: GET, POST, PUT, PATCH, DELETE, OPTIONS"));
    assert_true(got_header(&h, "vary: Origin\r\n"));
    (void)harness_ask(&h, &(struct question){.method = "GET",
                                             .path = "/api/v1/user",
                                             .headers = "origin: https://ui.example\r\n"});
    assert_int_equal(h.status, 200);
    assert_true(got_header(&h, "access-control-allow-origin: https://ui.example\r\n"));
    /* Also when it is refused: else a page could not tell why. */
    (void)harness_ask(&h, &(struct question){.method = "GET",
                                             .path = "/api/v1/user",
                                             .key = "",
                                             .headers = "origin: https://ui.example\r\n"});
    assert_true(got_header(&h, "access-control-allow-origin: https://ui.example\r\n"));
    (void)harness_ask(&h, &(struct question){.method = "GET",
                                             .path = "/api/v1/user",
                                             .headers = "origin: https://evil.example\r\n"});
    assert_int_equal(h.status, 200);
    assert_false(got_header(&h, "access-control-allow-origin"));
}

/* ---- Nonsense ---- */

static void post_raw(const char *path, struct str body, const char *headers)
{
    (void)harness_ask(
        &h, &(struct question){.method = "POST", .path = path, .body = body, .headers = headers});
}

static void bodies_that_are_none(void **state)
{
    static const struct {
        struct str body;
        int status;
    } cases[] = {
        {STR_INIT("{"), 400},
        {STR_INIT("}"), 400},
        {STR_INIT("name=thief"), 400},
        {STR_INIT("{\"name\":\"\xff\xfe\"}"), 400},
        {STR_INIT("{\"name\":\"a\"} {}"), 400},
        {STR_INIT("\xef\xbb\xbf{\"name\":\"a\"}"), 400},
        {STR_INIT("{\"name\":\"a\x01"
                  "b\"}"),
         400},
        {STR_INIT("[]"), 422},
        {STR_INIT("\"name\""), 422},
        {STR_INIT("7"), 422},
        {STR_INIT("true"), 422},
        {STR_INIT("{\"name\":7}"), 422},
        {STR_INIT("{\"name\":[\"a\"]}"), 422},
        {STR_INIT("{\"name\":{}}"), 422},
        {STR_INIT("{\"name\":true}"), 422},
        {STR_INIT("null"), 400},
        {STR_INIT("{}"), 400},
        {STR_INIT("{\"name\":null}"), 400},
        {STR_INIT("{\"name\":\"\"}"), 400},
        {STR_INIT("{\"name\":\" a\"}"), 400},
        {STR_INIT("{\"name\":\"a\\u0000b\"}"), 400},
        {STR_INIT("{\"name\":\"a\\nb\"}"), 400},
    };

    (void)state;
    want(&h, 200, "GET", "/api/v1/user", NULL);
    size_t before = json_len(got_value(&h, "users"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%.*s\n", STR_ARG(cases[i].body));
        post_raw("/api/v1/user", cases[i].body, NULL);
        assert_int_equal(h.status, cases[i].status);
        assert_true(got(&h, "message").len > 0);
    }
    want(&h, 200, "GET", "/api/v1/user", NULL);
    assert_int_equal(json_len(got_value(&h, "users")), before);
}

static void deep_and_large_bodies(void **state)
{
    struct buf deep = BUF((size_t)4 << 20), large = BUF((size_t)4 << 20);

    (void)state;
    buf_put(&deep, STR("{\"name\":"));
    for (int i = 0; i < 20000; i++)
        buf_put_char(&deep, '[');
    post_raw("/api/v1/user", buf_str(&deep), NULL);
    assert_int_equal(h.status, 400);
    /* A name of 1 MiB: over what the call takes, and over what a tag's call takes of names. */
    buf_put(&large, STR("{\"name\":\""));
    for (int i = 0; i < 1 << 20; i++)
        buf_put_char(&large, 'a');
    buf_put(&large, STR("\"}"));
    (void)harness_ask(&h, &(struct question){.method = "POST",
                                             .path = "/api/v1/user",
                                             .body = buf_str(&large),
                                             .unchecked = true});
    assert_int_equal(h.status, 413);
    buf_clear(&large);
    buf_put(&large, STR("{\"tags\":[\"tag:"));
    for (int i = 0; i < 1000000; i++)
        buf_put_char(&large, 'a');
    buf_put(&large, STR("\"]}"));
    post_raw("/api/v1/node/1/tags", buf_str(&large), NULL);
    assert_int_equal(h.status, 400);
    buf_clear(&large);
    buf_put(&large, STR("{\"tags\":["));
    for (int i = 0; i < 50000; i++)
        buf_printf(&large, "%s\"tag:a%d\"", i ? "," : "", i);
    buf_put(&large, STR("]}"));
    post_raw("/api/v1/node/1/tags", buf_str(&large), NULL);
    assert_int_equal(h.status, 400);
    want(&h, 200, "GET", "/api/v1/node/1", NULL);
    assert_int_equal(json_len(got_value(&h, "node.tags")), 0);
    buf_fini(&deep);
    buf_fini(&large);
}

/* Nor is a large body taken of somebody whose key cannot be one. */
static void strangers_upload_little(void **state)
{
    struct buf body = BUF((size_t)1 << 20);

    (void)state;
    buf_put(&body, STR("{\"policy\":\""));
    for (int i = 0; i < 100000; i++)
        buf_put_char(&body, ' ');
    buf_put(&body, STR("\"}"));
    const struct question stranger = {.method = "PUT",
                                      .path = "/api/v1/policy",
                                      .body = buf_str(&body),
                                      .key = "Bearer hskey-api-000000000000-"
                                             "00000000000000000000000000000000"
                                             "00000000000000000000000000000000",
                                      .unchecked = true};
    struct question known = {.method = "PUT", .path = "/api/v1/policy", .body = buf_str(&body)};
    assert_int_equal(harness_ask(&h, &stranger), 413);
    assert_int_equal(harness_ask(&h, &known), 200);
    buf_fini(&body);
}

static void any_content_type_is_taken(void **state)
{
    (void)state;
    post_raw("/api/v1/user", STR("{\"name\":\"plain\"}"),
             "content-type: text/plain;charset=UTF-8\r\n");
    assert_int_equal(h.status, 200);
    post_raw("/api/v1/user", STR("{\"NAME\":\"json\"}"), "content-type: application/json\r\n");
    assert_int_equal(h.status, 200);
}

/* Names that mean something to a database stay names. */
static void names_that_are_hostile(void **state)
{
    static const char *const names[] = {
        "Robert'); DROP TABLE users;--",
        "\\\" OR \\\"\\\"=\\\"",
        "%27%20OR%201",
        "$1",
        "?",
        "NULL",
        "a;b",
        "\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7",
        "<script>alert(1)</script>",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct str body = str_printf("{\"name\":\"%s\"}", names[i]);
        char path[64];

        print_message("%s\n", names[i]);
        post_raw("/api/v1/user", body, NULL);
        assert_int_equal(h.status, 200);
        struct str name = str_copy(got(&h, "user.name")), id = str_copy(got(&h, "user.id"));
        (void)snprintf(path, sizeof(path), "/api/v1/user?id=%.*s", STR_ARG(id));
        want(&h, 200, "GET", path, NULL);
        assert_str(got(&h, "users.0.name"), name);
        (void)snprintf(path, sizeof(path), "/api/v1/user/%.*s", STR_ARG(id));
        want(&h, 200, "DELETE", path, NULL);
        str_free(&body);
        str_free(&name);
        str_free(&id);
    }
    want(&h, 200, "GET", "/api/v1/user?name=alice", NULL);
    assert_int_equal(json_len(got_value(&h, "users")), 1);
}

static void segments_are_names(void **state)
{
    static const char *const paths[] = {
        "/api/v1/user/1/rename/..%2f..%2fpolicy",
        "/api/v1/user/1/rename/%2e%2e",
        "/api/v1/user/1/rename/a%2fb",
        "/api/v1/user/1/rename/a%00b",
        "/api/v1/user/1/rename/%ff%fe",
        "/api/v1/user/1/rename/a%0d%0aSet-Cookie:x",
        "/api/v1/node/1/rename/%ff",
        "/api/v1/node/%31%00/expire",
        "/api/v1/node/-1/expire",
        "/api/v1/node/1e3/expire",
        "/api/v1/node/0/expire",
        "/api/v1/node/99999999999999999999/expire",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        print_message("%s\n", paths[i]);
        want(&h, 400, "POST", paths[i], NULL);
    }
    want(&h, 400, "GET", "/api/v1/user?name=%ff", NULL);
    want(&h, 400, "GET", "/api/v1/node?user=%c3%28", NULL);
    want(&h, 200, "GET", "/api/v1/user?id=1", NULL);
    want_got(&h, "users.0.name", "alice");
    /* One percent-decoding, no second. */
    want(&h, 200, "POST", "/api/v1/user/1/rename/a%252fb", NULL);
    want_got(&h, "user.name", "a%2fb");
    want(&h, 200, "POST", "/api/v1/user/1/rename/alice", NULL);
}

static void a_client_that_leaves_takes_nothing_along(void **state)
{
    static const struct stream_events events = {.on_data = peer_data, .on_close = peer_close};
    struct peer p = {.h = &h};
    struct stream *pair[2];
    struct buf out = BUF(4096);

    (void)state;
    stream_pair(h.loop, pair);
    stream_set_events(pair[1], &events, &p);
    (void)http_serve(h.server, pair[0], NULL, NULL);
    buf_printf(&out,
               "POST /api/v1/user HTTP/1.1\r\nhost: test\r\nauthorization: Bearer %.*s\r\n"
               "content-length: 16\r\n\r\n{\"name\":\"leaver\"}",
               STR_ARG(h.key));
    stream_write(pair[1], buf_str(&out));
    stream_close(pair[1]);
    for (int i = 0; i < WAITS && !(p.closed && atomic_load(&h.api->calls) == 0); i++)
        loop_run_once(h.loop, 10);
    assert_true(p.closed && atomic_load(&h.api->calls) == 0);
    want(&h, 200, "GET", "/api/v1/user?name=alice", NULL);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_open_nothing),
        cmocka_unit_test(a_key_s_last_character_counts),
        cmocka_unit_test(expired_and_deleted_keys_open_nothing),
        cmocka_unit_test(a_tailnet_s_key_sees_its_tailnet_only),
        cmocka_unit_test(a_scope_is_all_a_key_may),
        cmocka_unit_test(paths_and_methods),
        cmocka_unit_test(browsers_of_allowed_origins_may_call),
        cmocka_unit_test(bodies_that_are_none),
        cmocka_unit_test(deep_and_large_bodies),
        cmocka_unit_test(strangers_upload_little),
        cmocka_unit_test(any_content_type_is_taken),
        cmocka_unit_test(names_that_are_hostile),
        cmocka_unit_test(segments_are_names),
        cmocka_unit_test(a_client_that_leaves_takes_nothing_along),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
