/*
 * Every call of the API as a stranger with a key makes it, against a whole server but for the
 * network. Each answer is held against the table of calls by the harness.
 *
 * Of headscale.md 11: #26 to #29, #31, #55, #56, #106, #108 to #114, #117.
 */

#include "harness.h"

static struct harness h;

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

/* ---- Users: headscale.md 11 #108, #109 ---- */

static void answers_about_users(void **state)
{
    (void)state;
    want(&h, 200, "GET", "/api/v1/user", NULL);
    assert_int_equal(json_len(got_value(&h, "users")), 0);
    want(&h, 200, "POST", "/api/v1/user",
         "{\"name\":\"alice\",\"displayName\":\"Alice A\",\"email\":\"alice@example.com\","
         "\"pictureUrl\":\"https://example.com/a.png\"}");
    want_got(&h, "user.id", "1");
    want_got(&h, "user.displayName", "Alice A");
    want_got(&h, "user.email", "alice@example.com");
    want_got(&h, "user.profilePicUrl", "https://example.com/a.png");
    want_got(&h, "user.provider", "");
    /* headscale up to 0.29 took snake_case; what it does not know passes. */
    want(&h, 200, "POST", "/api/v1/user",
         "{\"name\":\"bob\",\"display_name\":\"Bob B\",\"bogus\":{\"a\":[1]}}");
    want_got(&h, "user.displayName", "Bob B");
    want(&h, 409, "POST", "/api/v1/user", "{\"name\":\"bob\"}");
    want_got(&h, "detail", "user already exists");
    want_got(&h, "code", "6");
    want_got(&h, "message", "user already exists");

    want(&h, 200, "GET", "/api/v1/user?name=bob", NULL);
    want_got(&h, "users.0.id", "2");
    assert_int_equal(json_len(got_value(&h, "users")), 1);
    want(&h, 200, "GET", "/api/v1/user?email=alice%40example.com", NULL);
    want_got(&h, "users.0.name", "alice");
    want(&h, 200, "GET", "/api/v1/user?id=2", NULL);
    want_got(&h, "users.0.name", "bob");
    want(&h, 200, "GET", "/api/v1/user?id=0", NULL);
    assert_int_equal(json_len(got_value(&h, "users")), 2);
    want(&h, 200, "GET", "/api/v1/user?name=nobody", NULL);
    assert_int_equal(json_len(got_value(&h, "users")), 0);
    want(&h, 400, "GET", "/api/v1/user?id=x", NULL);

    want(&h, 200, "POST", "/api/v1/user/2/rename/robert", NULL);
    want_got(&h, "user.name", "robert");
    want(&h, 409, "POST", "/api/v1/user/2/rename/alice", NULL);
    want_got(&h, "detail", "renaming user");
    want(&h, 404, "POST", "/api/v1/user/99/rename/x", NULL);
    want_got(&h, "errors.0.message", "user not found");
    want_got(&h, "message", "renaming user: user not found");
    want(&h, 400, "POST", "/api/v1/user/x/rename/y", NULL);
    want(&h, 200, "DELETE", "/api/v1/user/2", NULL);
    want(&h, 404, "DELETE", "/api/v1/user/2", NULL);
}

/* ---- Nodes: #110, #111, #112, #55, #56 ---- */

static void answers_about_nodes(void **state)
{
    (void)state;
    uint64_t first = harness_node(&h, "n1", "alice");

    assert_int_equal(first, 1);
    want(&h, 200, "GET", "/api/v1/node/1", NULL);
    want_got(&h, "node.givenName", "n1");
    want_got(&h, "node.user.name", "alice");
    want_got(&h, "node.registerMethod", "REGISTER_METHOD_CLI");
    want_got(&h, "node.ipAddresses.0", "100.64.0.1");
    want_got(&h, "node.expiry", "null");
    want_got(&h, "node.preAuthKey", "null");
    want(&h, 404, "GET", "/api/v1/node/99", NULL);
    want_got(&h, "detail", "node not found");
    want_got(&h, "code", "5");
    want(&h, 400, "GET", "/api/v1/node/x", NULL);
    want(&h, 400, "GET", "/api/v1/node/18446744073709551616", NULL);

    /* Five at once. */
    for (int i = 2; i <= 5; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "n%d", i);
        (void)harness_node(&h, name, "alice");
    }
    want(&h, 200, "GET", "/api/v1/node", NULL);
    assert_int_equal(json_len(got_value(&h, "nodes")), 5);
    want_got(&h, "nodes.4.id", "5");
    want(&h, 200, "GET", "/api/v1/node?user=alice", NULL);
    assert_int_equal(json_len(got_value(&h, "nodes")), 5);
    want(&h, 404, "GET", "/api/v1/node?user=nobody", NULL);
    want_got(&h, "detail", "listing nodes");

    want(&h, 200, "POST", "/api/v1/node/1/rename/first", NULL);
    want_got(&h, "node.givenName", "first");
    want(&h, 400, "POST", "/api/v1/node/2/rename/first", NULL);
    want(&h, 400, "POST", "/api/v1/node/1/rename/no_such_label!", NULL);
    want(&h, 400, "POST",
         "/api/v1/node/1/rename/"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         NULL);

    want(&h, 200, "POST", "/api/v1/node/1/tags", "{\"tags\":[\"tag:a\",\"tag:b\"]}");
    want_got(&h, "node.tags.1", "tag:b");
    want_got(&h, "node.forcedTags.0", "tag:a");
    want_got(&h, "node.user.name", "tagged-devices");
    want_got(&h, "node.user.id", "2147455555");
    want(&h, 200, "GET", "/api/v1/node", NULL);
    want_got(&h, "nodes.0.user.name", "tagged-devices");
    want(&h, 400, "POST", "/api/v1/node/1/tags", "{\"tags\":[]}");
    want_got(&h, "detail",
             "cannot remove all tags from a node - tagged nodes must have at least one tag");
    want(&h, 400, "POST", "/api/v1/node/1/tags", "{}");
    want(&h, 400, "POST", "/api/v1/node/1/tags", "{\"tags\":[\"a\"]}");
    want_got(&h, "detail", "tag must start with the string 'tag:'");
    want(&h, 400, "POST", "/api/v1/node/1/tags", "{\"tags\":[\"tag:A\"]}");
    want_got(&h, "detail", "tag should be lowercase");
    want(&h, 422, "POST", "/api/v1/node/1/tags", "{\"tags\":\"tag:a\"}");
    want_got(&h, "errors.0.location", "body.tags");
    want(&h, 422, "POST", "/api/v1/node/1/tags", "{\"tags\":[1]}");

    want(&h, 200, "POST", "/api/v1/node/2/expire", NULL);
    want_got(&h, "node.expired", "true");
    want(&h, 200, "POST", "/api/v1/node/2/expire", "{\"disableExpiry\":true}");
    want_got(&h, "node.expiry", "null");
    want_got(&h, "node.expired", "false");
    want(&h, 200, "POST", "/api/v1/node/2/expire", "{\"expiry\":\"2099-01-02T03:04:05Z\"}");
    want_got(&h, "node.expiry", "2099-01-02T03:04:05Z");
    want(&h, 200, "POST", "/api/v1/node/2/expire?expiry=2098-01-02T03:04:05Z", NULL);
    want_got(&h, "node.expiry", "2098-01-02T03:04:05Z");
    want(&h, 200, "POST", "/api/v1/node/2/expire?disable_expiry=true", NULL);
    want_got(&h, "node.expiry", "null");
    want(&h, 400, "POST", "/api/v1/node/2/expire",
         "{\"expiry\":\"2099-01-02T03:04:05Z\",\"disableExpiry\":true}");
    want(&h, 422, "POST", "/api/v1/node/2/expire", "{\"expiry\":\"tomorrow\"}");
    want(&h, 400, "POST", "/api/v1/node/2/expire?expiry=tomorrow", NULL);
    want(&h, 200, "POST", "/api/v1/node/2/expire", "{\"expiry\":\"0001-01-01T00:00:00Z\"}");
    want_got(&h, "node.expired", "true");

    want(&h, 200, "POST", "/api/v1/node/3/approve_routes",
         "{\"routes\":[\"10.1.0.0/16\",\"0.0.0.0/0\",\"10.1.0.0/16\"]}");
    assert_int_equal(json_len(got_value(&h, "node.approvedRoutes")), 3);
    want(&h, 400, "POST", "/api/v1/node/3/approve_routes", "{\"routes\":[\"10.1.0.0/99\"]}");
    want_got(&h, "detail", "parsing route");
    want(&h, 400, "POST", "/api/v1/node/3/approve_routes", "{}");
    want(&h, 200, "POST", "/api/v1/node/3/approve_routes", "{\"routes\":[]}");
    assert_int_equal(json_len(got_value(&h, "node.approvedRoutes")), 0);

    want(&h, 200, "POST", "/api/v1/user", "{\"name\":\"carol\"}");
    want(&h, 200, "POST", "/api/v1/node/4/user", "{\"user\":\"carol\"}");
    want_got(&h, "node.user.name", "carol");
    want(&h, 200, "POST", "/api/v1/node/4/user", "{\"user\":1}");
    want_got(&h, "node.user.name", "alice");
    want(&h, 404, "POST", "/api/v1/node/4/user", "{\"user\":\"nobody\"}");
    assert_true(ask(&h, "POST", "/api/v1/node/1/user", "{\"user\":1}") >= 400); /* tagged */

    want(&h, 400, "POST", "/api/v1/node/backfillips", NULL);
    want_got(&h, "detail", "backfilling node IPs");
    want_got(&h, "errors.0.message", "not confirmed, aborting");
    want(&h, 200, "POST", "/api/v1/node/backfillips?confirmed=true", NULL);
    assert_int_equal(json_len(got_value(&h, "changes")), 0);

    want(&h, 200, "DELETE", "/api/v1/node/5", NULL);
    want(&h, 404, "DELETE", "/api/v1/node/5", NULL);
    want(&h, 400, "DELETE", "/api/v1/user/1", NULL);
    want_got(&h, "detail", "user not empty: node(s) found");
}

/* ---- Auth keys: #26 to #29, #31 ---- */

static void answers_about_auth_keys(void **state)
{
    (void)state;
    want(&h, 200, "POST", "/api/v1/preauthkey",
         "{\"user\":\"1\",\"reusable\":true,\"ephemeral\":true,"
         "\"expiration\":\"2099-01-01T00:00:00Z\",\"aclTags\":[]}");
    struct str whole = got(&h, "preAuthKey.key");
    char key[128];

    assert_int_equal(whole.len, 11 + 12 + 1 + 64);
    (void)snprintf(key, sizeof(key), "%.*s", STR_ARG(whole));
    want_got(&h, "preAuthKey.reusable", "true");
    want_got(&h, "preAuthKey.ephemeral", "true");
    want_got(&h, "preAuthKey.used", "false");
    want_got(&h, "preAuthKey.expiration", "2099-01-01T00:00:00Z");
    want_got(&h, "preAuthKey.user.name", "alice");
    assert_true(got_header(&h, "cache-control: no-store\r\n"));

    /* Tags only, ids as numbers, snake_case, nothing said of the time: an hour. */
    want(&h, 200, "POST", "/api/v1/preauthkey",
         "{\"user\":0,\"acl_tags\":[\"tag:x\"],\"expiration\":null}");
    want_got(&h, "preAuthKey.user", "null");
    want_got(&h, "preAuthKey.aclTags.0", "tag:x");
    assert_false(str_eq(got(&h, "preAuthKey.expiration"), STR("null")));
    want(&h, 200, "POST", "/api/v1/preauthkey", "{\"user\":1}");
    want(&h, 200, "POST", "/api/v1/preauthkey", "{\"user\":\"carol\"}");
    want(&h, 400, "POST", "/api/v1/preauthkey", "{}");
    want_got(&h, "detail", "auth-key must be either tagged or owned by user");
    want(&h, 400, "POST", "/api/v1/preauthkey", "{\"aclTags\":[\"nope\"]}");
    want(&h, 404, "POST", "/api/v1/preauthkey", "{\"user\":\"99\"}");
    want(&h, 422, "POST", "/api/v1/preauthkey", "{\"user\":1,\"reusable\":\"yes\"}");
    want_got(&h, "errors.0.message", "expected boolean");

    want(&h, 200, "GET", "/api/v1/preauthkey", NULL);
    assert_int_equal(json_len(got_value(&h, "preAuthKeys")), 4);
    assert_true(str_ends(got(&h, "preAuthKeys.0.key"), STR("-***")));
    assert_true(str_find(h.body, str_sub(str_from(key), 24, 64)) < 0);
    want(&h, 200, "GET", "/api/v1/preauthkey?user=1", NULL);
    assert_int_equal(json_len(got_value(&h, "preAuthKeys")), 2);
    want(&h, 404, "GET", "/api/v1/preauthkey?user=99", NULL);

    want(&h, 200, "POST", "/api/v1/preauthkey/expire", "{\"id\":\"3\"}");
    want(&h, 404, "POST", "/api/v1/preauthkey/expire", "{\"id\":\"99\"}");
    want(&h, 400, "POST", "/api/v1/preauthkey/expire", "{}");
    want(&h, 422, "POST", "/api/v1/preauthkey/expire", "{\"id\":\"x\"}");
    /* As headscale-ui and headscale-admin do: by the text, whole or as it is listed. */
    char body[256];
    (void)snprintf(body, sizeof(body), "{\"user\":\"1\",\"key\":\"%s\"}", key);
    want(&h, 200, "POST", "/api/v1/preauthkey/expire", body);
    key[23] = '\0';
    (void)snprintf(body, sizeof(body), "{\"user\":\"1\",\"key\":\"%s-***\"}", key);
    want(&h, 200, "POST", "/api/v1/preauthkey/expire", body);
    want(&h, 404, "POST", "/api/v1/preauthkey/expire", "{\"key\":\"hskey-auth-000000000000\"}");

    want(&h, 200, "DELETE", "/api/v1/preauthkey?id=3", NULL);
    want(&h, 404, "DELETE", "/api/v1/preauthkey?id=3", NULL);
    want(&h, 400, "DELETE", "/api/v1/preauthkey", NULL);
    want(&h, 400, "DELETE", "/api/v1/preauthkey?id=-1", NULL);
    want(&h, 200, "GET", "/api/v1/preauthkey", NULL);
    assert_int_equal(json_len(got_value(&h, "preAuthKeys")), 3);
}

/* ---- API keys: #113 ---- */

static void answers_about_api_keys(void **state)
{
    char body[256], prefix[64], path[128];

    (void)state;
    want(&h, 200, "POST", "/api/v1/apikey", "{\"expiration\":\"2099-01-01T00:00:00Z\"}");
    struct str whole = got(&h, "apiKey");
    assert_int_equal(whole.len, 10 + 12 + 1 + 64);
    (void)snprintf(prefix, sizeof(prefix), "%.*s", 22, whole.ptr);
    want(&h, 200, "POST", "/api/v1/apikey", NULL);
    want(&h, 200, "POST", "/api/v1/apikey", "{}");

    want(&h, 200, "GET", "/api/v1/apikey", NULL);
    assert_int_equal(json_len(got_value(&h, "apiKeys")), 4);
    /* Consoles find their own key by what it begins with. */
    assert_true(str_starts(h.key, got(&h, "apiKeys.0.prefix")));
    want_got(&h, "apiKeys.1.prefix", prefix);
    want_got(&h, "apiKeys.1.expiration", "2099-01-01T00:00:00Z");

    want(&h, 400, "POST", "/api/v1/apikey/expire", "{}");
    (void)snprintf(body, sizeof(body), "{\"id\":\"2\",\"prefix\":\"%s\"}", prefix);
    want(&h, 400, "POST", "/api/v1/apikey/expire", body);
    want_got(&h, "detail", "provide either id or prefix, not both");
    (void)snprintf(body, sizeof(body), "{\"prefix\":\"%s-***\"}", prefix);
    want(&h, 200, "POST", "/api/v1/apikey/expire", body);
    want(&h, 200, "POST", "/api/v1/apikey/expire", "{\"id\":3}");
    want(&h, 404, "POST", "/api/v1/apikey/expire", "{\"id\":99}");
    want(&h, 404, "POST", "/api/v1/apikey/expire", "{\"prefix\":\"000000000000\"}");

    (void)snprintf(path, sizeof(path), "/api/v1/apikey/%s?id=2", prefix);
    want(&h, 400, "DELETE", path, NULL);
    (void)snprintf(path, sizeof(path), "/api/v1/apikey/%s", prefix + 10);
    want(&h, 200, "DELETE", path, NULL);
    want(&h, 404, "DELETE", path, NULL);
    want(&h, 200, "DELETE", "/api/v1/apikey?id=3", NULL);
    want(&h, 400, "DELETE", "/api/v1/apikey", NULL);
    want(&h, 200, "GET", "/api/v1/apikey", NULL);
    assert_int_equal(json_len(got_value(&h, "apiKeys")), 2);
}

/* ---- Registrations: #114 ---- */

static void answers_about_registrations(void **state)
{
    char path[256], body[256];

    (void)state;
    struct str id = harness_pending(&h, "waiting");
    /* Query, with the page's URL. */
    (void)snprintf(path, sizeof(path),
                   "/api/v1/node/register?user=alice&key=https%%3A%%2F%%2Fhs%%2Fregister%%2F%.*s",
                   STR_ARG(id));
    want(&h, 200, "POST", path, NULL);
    want_got(&h, "node.name", "waiting");
    /* The body, with the bare id and the mail address. */
    id = str_from_index(harness_pending(&h, "waiting2"), 14);
    (void)snprintf(body, sizeof(body), "{\"user\":\"alice@example.com\",\"key\":\"%.*s\"}",
                   STR_ARG(id));
    want(&h, 200, "POST", "/api/v1/node/register", body);
    /* One in each. */
    id = harness_pending(&h, "waiting3");
    (void)snprintf(path, sizeof(path), "/api/v1/node/register?key=%.*s", STR_ARG(id));
    want(&h, 200, "POST", path, "{\"user\":1}");

    id = harness_pending(&h, "unwanted");
    (void)snprintf(body, sizeof(body), "{\"authId\":\"%.*s\"}", STR_ARG(id));
    want(&h, 200, "POST", "/api/v1/auth/reject", body);
    want(&h, 404, "POST", "/api/v1/auth/reject", body);
    for (size_t i = 0; i < 3; i++) {
        static const char *const calls[] = {"register", "approve", "reject"};

        (void)snprintf(path, sizeof(path), "/api/v1/auth/%s", calls[i]);
        want(&h, 400, "POST", path, "{\"user\":\"alice\",\"authId\":\"nonsense\"}");
        want(&h, 400, "POST", path, "{\"user\":\"alice\"}");
        want(&h, 404, "POST", path,
             "{\"user\":\"alice\",\"authId\":\"hskey-authreq-000000000000000000000000\"}");
    }
    want(&h, 404, "POST", "/api/v1/auth/register",
         "{\"user\":\"nobody\",\"authId\":\"hskey-authreq-000000000000000000000000\"}");
    want_got(&h, "detail", "looking up user");

    want(&h, 200, "GET", "/api/v1/ssh/check", NULL);
    assert_true(ask(&h, "POST", "/api/v1/ssh/check/sshcheck-1/approve", NULL) >= 400);
    assert_true(ask(&h, "POST", "/api/v1/ssh/check/sshcheck-1/reject", NULL) >= 400);
    assert_true(ask(&h, "POST", "/api/v1/auth/approve", "{\"authId\":\"sshcheck-1\"}") >= 400);
}

/* ---- Policy ---- */

static void answers_about_policy(void **state)
{
    (void)state;
    /* None: consoles must not take it for a failure. */
    want(&h, 200, "GET", "/api/v1/policy", NULL);
    want_got(&h, "policy", "");
    assert_false(str_eq(got(&h, "updatedAt"), STR("null")));
    want(&h, 400, "PUT", "/api/v1/policy", "{\"policy\":\"{\\\"acls\\\": [\"}");
    assert_true(str_find(got(&h, "message"), STR("parsing HuJSON:")) >= 0);
    assert_non_null(got_value(&h, "errors.0.line"));
    want(&h, 400, "PUT", "/api/v1/policy",
         "{\"policy\":\"{\\\"acls\\\":[{\\\"action\\\":\\\"drop\\\",\\\"src\\\":[\\\"*\\\"],"
         "\\\"dst\\\":[\\\"*:*\\\"]}]}\"}");
    want_got(&h, "detail", "setting policy");
    assert_true(str_find(got(&h, "message"), STR("parsing policy from bytes:")) >= 0);
    want(&h, 400, "PUT", "/api/v1/policy", "{\"polcy\":\"{}\"}");
    want(&h, 400, "POST", "/api/v1/policy/check", "{}");
    want(&h, 400, "PUT", "/api/v1/policy", NULL);
    want(&h, 422, "PUT", "/api/v1/policy", "{\"policy\":{}}");
    want(&h, 200, "GET", "/api/v1/policy", NULL);
    want_got(&h, "policy", "");

    static const char good[] =
        "{\"policy\":\"{\\\"tagOwners\\\":{\\\"tag:ok\\\":[\\\"alice@\\\"]},// so\\n\\\"acls\\\":["
        "{\\\"action\\\":\\\"accept\\\",\\\"src\\\":[\\\"*\\\"],\\\"dst\\\":[\\\"*:*\\\"],"
        "\\\"#ha-meta\\\":{\\\"name\\\":\\\"a\\\",\\\"open\\\":true}}]}\"}";
    want(&h, 200, "POST", "/api/v1/policy/check", good);
    want(&h, 200, "POST", "/api/v1/policy/diff", good);
    want(&h, 200, "PUT", "/api/v1/policy", good);
    want(&h, 200, "GET", "/api/v1/policy", NULL);
    assert_true(str_find(got(&h, "policy"), STR("// so\n")) > 0);
    assert_true(str_find(got(&h, "policy"), STR("#ha-meta")) > 0);
    want(&h, 400, "POST", "/api/v1/policy/check", "{\"policy\":\"[]\"}");
    want_got(&h, "detail", "checking policy");
    want(&h, 200, "GET", "/api/v1/policy/explain?src=n3&dst=n4:22", NULL);
    want(&h, 400, "GET", "/api/v1/policy/explain?src=n3", NULL);
    assert_true(ask(&h, "GET", "/api/v1/policy/explain?src=nobody&dst=nothing", NULL) >= 400);

    /* headscale.md 11 #55: only tags that the policy defines. */
    want(&h, 400, "POST", "/api/v1/node/3/tags", "{\"tags\":[\"tag:undefined\"]}");
    want_got(&h, "detail", "requested tags [tag:undefined] are invalid or not permitted");
    want(&h, 200, "POST", "/api/v1/node/3/tags", "{\"tags\":[\"tag:ok\"]}");

    /* What generated clients make of an empty text. */
    want(&h, 200, "PUT", "/api/v1/policy", "{}");
    want(&h, 200, "GET", "/api/v1/policy", NULL);
    want_got(&h, "policy", "");
}

static void answers_about_the_server(void **state)
{
    (void)state;
    want(&h, 200, "GET", "/api/v1/health", NULL);
    want_got(&h, "databaseConnectivity", "true");
    want_got(&h, "policy", "pass");
    want(&h, 200, "GET", "/api/v1/tailnet", NULL);
    want_got(&h, "tailnets.0.name", "default");
    want(&h, 200, "POST", "/api/v1/tailnet", "{\"name\":\"other\"}");
    want_got(&h, "tailnet.baseDomain", "other.example.internal");
    want(&h, 409, "POST", "/api/v1/tailnet", "{\"name\":\"other\"}");
    want(&h, 400, "POST", "/api/v1/tailnet", "{\"name\":\"Not A Name\"}");
    want(&h, 400, "POST", "/api/v1/tailnet", NULL);
    want(&h, 200, "GET", "/api/v1/node?tailnet=other", NULL);
    assert_int_equal(json_len(got_value(&h, "nodes")), 0);
    want(&h, 404, "GET", "/api/v1/node?tailnet=nobody-s", NULL);
    want(&h, 404, "GET", "/api/v1/node/1?tailnet=other", NULL);
    want(&h, 404, "DELETE", "/api/v1/node/1?tailnet=other", NULL);
}

/* The same in both versions. */
static void answers_about_webhooks(void **state)
{
    static const char body[] = "{\"endpointUrl\":\"https://example.com/x\",\"providerType\":"
                               "\"slack\",\"subscriptions\":[\"nodeCreated\"]}";
    static const char *const lists[] = {"/api/v1/webhook", "/api/v2/tailnet/-/webhooks"};
    static const char *const ones[] = {"/api/v1/webhook", "/api/v2/webhooks"};
    char path[128], id[32];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        want(&h, 200, "POST", lists[i], body);
        assert_true(str_starts(got(&h, "secret"), STR("hskey-webhook-")));
        struct str secret = str_copy(got(&h, "secret"));
        (void)snprintf(id, sizeof(id), "%.*s", STR_ARG(got(&h, "endpointId")));
        want_got(&h, "providerType", "slack");
        want(&h, 200, "GET", lists[i], NULL);
        assert_int_equal(json_len(got_value(&h, "webhooks")), 1);
        assert_true(str_find(h.body, str_sub(secret, 30, 40)) < 0);
        (void)snprintf(path, sizeof(path), "%s/%s", ones[i], id);
        want(&h, 200, "PATCH", path, "{\"subscriptions\":[\"userCreated\",\"policyUpdate\"]}");
        want_got(&h, "subscriptions.1", "userCreated");
        assert_null(got_value(&h, "secret"));
        want(&h, 400, "PATCH", path, "{\"subscriptions\":[\"nothing\"]}");
        want(&h, 200, "GET", path, NULL);
        want_got(&h, "endpointUrl", "https://example.com/x");
        (void)snprintf(path, sizeof(path), "%s/%s/rotate", ones[i], id);
        want(&h, 200, "POST", path, NULL);
        assert_false(str_eq(got(&h, "secret"), secret));
        (void)snprintf(path, sizeof(path), "%s/%s", ones[i], id);
        want(&h, 200, "DELETE", path, NULL);
        want(&h, 404, "GET", path, NULL);
        want(&h, 404, "DELETE", path, NULL);
        want(&h, 400, "POST", lists[i], "{\"endpointUrl\":\"gopher://x\"}");
        str_free(&secret);
    }
}

/* Everything that was done above is in the log, with who did it, and without its secrets. */
static void keeps_a_log(void **state)
{
    (void)state;
    want(&h, 200, "GET", "/api/v1/audit?limit=3", NULL);
    assert_int_equal(json_len(got_value(&h, "entries")), 3);
    want_got(&h, "entries.0.action", "tailnet.create");
    want_got(&h, "entries.0.origin", "api");
    assert_true(str_starts(got(&h, "entries.0.author"), STR("key:")));
    assert_true(str_find(h.key, str_from_index(got(&h, "entries.0.author"), 4)) > 0);
    char path[64];
    (void)snprintf(path, sizeof(path), "/api/v1/audit?limit=1000&before=%.*s",
                   STR_ARG(got(&h, "next")));
    want(&h, 200, "GET", path, NULL);
    assert_true(json_len(got_value(&h, "entries")) > 20);
    want_got(&h, "next", "null");
    assert_true(str_find(h.body, str_sub(h.key, 23, 64)) < 0);
    assert_true(str_find(h.body, STR("user.rename")) > 0);
    want(&h, 200, "GET", "/api/v1/audit?since=2099-01-01T00:00:00Z", NULL);
    assert_int_equal(json_len(got_value(&h, "entries")), 0);
    want(&h, 400, "GET", "/api/v1/audit?since=yesterday", NULL);
    want(&h, 400, "GET", "/api/v1/audit?before=x", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_about_users),
        cmocka_unit_test(answers_about_nodes),
        cmocka_unit_test(answers_about_auth_keys),
        cmocka_unit_test(answers_about_api_keys),
        cmocka_unit_test(answers_about_registrations),
        cmocka_unit_test(answers_about_policy),
        cmocka_unit_test(answers_about_webhooks),
        cmocka_unit_test(answers_about_the_server),
        cmocka_unit_test(keeps_a_log),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
