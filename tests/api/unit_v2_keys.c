/*
 * OAuth clients, their tokens, and keys of v2. headscale.md 3.6; 11 #115, #119 (the calls that
 * Tailscale's operator makes).
 */

#include "harness.h"

#define KEYS "/api/v2/tailnet/-/keys"
#define TOKEN "/api/v2/oauth/token"

struct text {
    char t[256];
};

static struct text copy_of(struct str s)
{
    struct text t = {0};

    (void)snprintf(t.t, sizeof(t.t), "%.*s", STR_ARG(s));
    return t;
}

static struct text with(const char *before, const char *s)
{
    struct text t = {0};

    assert_true((size_t)snprintf(t.t, sizeof(t.t), "%s%s", before, s) < sizeof(t.t));
    return t;
}

static int as(struct harness *h, const char *token, const char *method, const char *path,
              const char *body)
{
    struct text header = with("Bearer ", token);

    return harness_ask(
        h, &(struct question){
               .method = method, .path = path, .body = str_from(body), .key = header.t});
}

static int form(struct harness *h, const char *body, const char *header)
{
    return harness_ask(
        h, &(struct question){.method = "POST",
                              .path = TOKEN,
                              .body = str_from(body),
                              .key = header,
                              .headers = "content-type: application/x-www-form-urlencoded\r\n",
                              .unchecked = true});
}

/* A new client's secret; its id follows "hskey-client-". */
static struct text new_client(struct harness *h, const char *scopes, const char *tags)
{
    char body[512];

    (void)snprintf(body, sizeof(body),
                   "{\"keyType\":\"client\",\"scopes\":%s,\"tags\":%s,\"description\":\"k8s\"}",
                   scopes, tags);
    want(h, 200, "POST", KEYS, body);
    return copy_of(got(h, "key"));
}

static struct text id_of(const struct text *secret)
{
    return copy_of(str_sub(str_from(secret->t), strlen("hskey-client-"), 12));
}

static struct text token_of(struct harness *h, const struct text *secret, const char *more)
{
    struct text body = with("grant_type=client_credentials&client_secret=", secret->t);

    body = with(body.t, more);
    assert_int_equal(form(h, body.t, ""), 200);
    return copy_of(got(h, "access_token"));
}

/* headscale.md 11 #115: the secret is shown once. */
static void clients_are_made_listed_and_deleted(void **state)
{
    struct harness *h = *state;
    struct text secret = new_client(h, "[\"auth_keys\",\"devices:core\"]", "[\"tag:k8s\"]");
    struct text id = id_of(&secret), path = with(KEYS "/", id.t);

    want_got(h, "id", id.t);
    want_got(h, "keyType", "client");
    want_got(h, "tags.0", "tag:k8s");
    assert_true(got_header(h, "cache-control: no-store\r\n"));
    want(h, 200, "GET", KEYS "?all=true", "");
    assert_true(str_find(h->body, str_from(id.t)) > 0);
    assert_true(str_find(h->body, str_from(secret.t + 26)) < 0);
    want(h, 200, "GET", path.t, "");
    want_got(h, "description", "k8s");
    assert_null(json_get(h->json, "key"));
    /* It is in no list of v1. */
    want(h, 200, "GET", "/api/v1/apikey", "");
    assert_true(str_find(h->body, str_from(id.t)) < 0);

    want(h, 200, "PUT", path.t,
         "{\"scopes\":[\"users:read\"],\"tags\":[],\"description\":\"less\"}");
    want_got(h, "description", "less");
    want_got(h, "scopes.0", "users:read");
    want(h, 400, "PUT", path.t, "{\"scopes\":[\"auth_keys\"]}");
    want(h, 200, "DELETE", path.t, "");
    want(h, 404, "DELETE", path.t, "");
    want(h, 404, "GET", path.t, "");
    want(h, 404, "PUT", path.t, "{\"scopes\":[\"users:read\"]}");
}

/* headscale.md 11 #115: scopes and tags are looked at. */
static void what_a_client_may_have_is_checked(void **state)
{
    static const struct {
        const char *body, *message;
    } cases[] = {
        {"{\"keyType\":\"client\"}", "an OAuth client must declare at least one scope"},
        {"{\"keyType\":\"client\",\"scopes\":[\"nonsense\"]}", "there is no scope \"nonsense\""},
        {"{\"keyType\":\"client\",\"scopes\":[\"devices:core\"]}",
         "tags are required when scopes include devices:core or auth_keys"},
        {"{\"keyType\":\"client\",\"scopes\":[\"auth_keys\"],\"tags\":[]}",
         "tags are required when scopes include devices:core or auth_keys"},
        {"{\"keyType\":\"client\",\"scopes\":[\"all\"],\"tags\":[\"k8s\"]}",
         "tag must start with the string 'tag:'"},
        {"{\"keyType\":\"federated\",\"scopes\":[\"all\"]}", "keyType is \"auth\" or \"client\""},
        {"{\"keyType\":\"client\",\"scopes\":[\"all\"],\"description\":\"a23456789 123456789 "
         "123456789 "
         "123456789 123456789 1\"}",
         "a description has at most 50 characters"},
    };
    struct harness *h = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        want(h, 400, "POST", KEYS, cases[i].body);
        want_got(h, "message", cases[i].message);
    }
    want(h, 200, "POST", KEYS, "{\"keyType\":\"client\",\"scopes\":[\"all:read\",\"services\"]}");
}

static void a_secret_gets_a_token_that_does_what_it_may(void **state)
{
    struct harness *h = *state;
    struct text secret =
        new_client(h, "[\"auth_keys\",\"devices:core\",\"services\"]", "[\"tag:k8s\",\"tag:ci\"]");
    struct text token = token_of(h, &secret, "&client_id=some-client-id");

    want_got(h, "token_type", "Bearer");
    want_got(h, "expires_in", "3600");
    want_got(h, "scope", "auth_keys devices:core services");
    assert_true(got_header(h, "cache-control: no-store\r\n"));
    assert_true(str_starts(str_from(token.t), STR("hskey-oauthtok-")));

    assert_int_equal(as(h, token.t, "GET", "/api/v2/tailnet/-/devices", ""), 200);
    assert_int_equal(as(h, token.t, "GET", "/api/v2/tailnet/-/users", ""), 403);
    /* v1 is not for it (headscale.md 3.1). */
    assert_int_equal(as(h, token.t, "GET", "/api/v1/node", ""), 401);
    /* Nor is the secret a key. */
    assert_int_equal(as(h, secret.t, "GET", "/api/v2/tailnet/-/devices", ""), 401);

    /* What the operator does: a tagged key, nothing else. */
    assert_int_equal(
        as(h, token.t, "POST", KEYS,
           "{\"capabilities\":{\"devices\":{\"create\":{\"reusable\":false,\"ephemeral\":false,"
           "\"preauthorized\":true,\"tags\":[\"tag:k8s\"]}}},\"expirySeconds\":0}"),
        200);
    want_got(h, "capabilities.devices.create.tags.0", "tag:k8s");
    struct text path = with(KEYS "/", copy_of(got(h, "id")).t);
    assert_int_equal(as(h, token.t, "POST", KEYS, "{}"), 403);
    want_got(h, "message", "an OAuth client must create tagged auth keys");
    assert_int_equal(
        as(h, token.t, "POST", KEYS,
           "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":[\"tag:k8s\",\"tag:other\"]}}}}"),
        403);
    want_got(h, "message", "the token may not give tag:other");
    assert_int_equal(as(h, token.t, "POST", KEYS, "{\"keyType\":\"client\",\"scopes\":[\"all\"]}"),
                     403);
    assert_int_equal(as(h, token.t, "DELETE", path.t, ""), 200);
    /* It cannot see the client it comes from. */
    path = with(KEYS "/", id_of(&secret).t);
    assert_int_equal(as(h, token.t, "GET", path.t, ""), 404);

    /* It goes with its client. */
    want(h, 200, "DELETE", path.t, "");
    assert_int_equal(as(h, token.t, "GET", "/api/v2/tailnet/-/devices", ""), 401);
}

static void a_token_can_be_less_than_its_client(void **state)
{
    struct harness *h = *state;
    struct text secret =
        new_client(h, "[\"auth_keys\",\"policy_file\"]", "[\"tag:k8s\",\"tag:ci\"]");
    struct text token = token_of(h, &secret, "&scope=auth_keys&tags=tag:ci");

    want_got(h, "scope", "auth_keys");
    assert_int_equal(as(h, token.t, "POST", KEYS,
                        "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":[\"tag:k8s\"]}}}}"),
                     403);
    assert_int_equal(as(h, token.t, "POST", KEYS,
                        "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":[\"tag:ci\"]}}}}"),
                     200);
    struct text body = with("scope=devices:core&client_secret=", secret.t);
    assert_int_equal(form(h, body.t, ""), 400);
    want_got(h, "error", "invalid_scope");
    body = with("tags=tag:x&client_secret=", secret.t);
    assert_int_equal(form(h, body.t, ""), 400);
    want_got(h, "error", "invalid_target");
    assert_true(str_find(h->body, STR("hskey")) < 0);
}

static void a_tag_s_owner_may_give_the_tag(void **state)
{
    struct harness *h = *state;
    struct text secret = new_client(h, "[\"auth_keys\"]", "[\"tag:operator\"]");

    want(h, 200, "PUT", "/api/v1/policy",
         "{\"policy\":\"{\\\"tagOwners\\\":{\\\"tag:operator\\\":[],\\\"tag:k8s\\\":[\\\"tag:"
         "operator\\\"],"
         "\\\"tag:web\\\":[]},\\\"acls\\\":[]}\"}");
    struct text token = token_of(h, &secret, "");
    assert_int_equal(as(h, token.t, "POST", KEYS,
                        "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":[\"tag:k8s\"]}}}}"),
                     200);
    assert_int_equal(as(h, token.t, "POST", KEYS,
                        "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":[\"tag:web\"]}}}}"),
                     403);
    want(h, 200, "PUT", "/api/v1/policy", "{\"policy\":\"\"}");
}

static void a_client_made_by_a_token_is_no_more_than_it(void **state)
{
    struct harness *h = *state;
    struct text secret = new_client(h, "[\"oauth_keys\",\"auth_keys\"]", "[\"tag:k8s\"]");
    struct text token = token_of(h, &secret, "");

    assert_int_equal(
        as(h, token.t, "POST", KEYS,
           "{\"keyType\":\"client\",\"scopes\":[\"auth_keys\"],\"tags\":[\"tag:k8s\"]}"),
        200);
    assert_int_equal(as(h, token.t, "POST", KEYS, "{\"keyType\":\"client\",\"scopes\":[\"all\"]}"),
                     403);
    assert_int_equal(as(h, token.t, "POST", KEYS,
                        "{\"keyType\":\"client\",\"scopes\":[\"auth_keys\"],\"tags\":[\"tag:x\"]}"),
                     403);
}

static void auth_keys_are_revoked_softly(void **state)
{
    struct harness *h = *state;

    want(h, 400, "POST", KEYS, "{}");
    want_got(h, "message", "an auth key without tags must be created with a user-owned API key");
    want(h, 400, "POST", KEYS, "{\"expirySeconds\":-1}");
    want(h, 400, "POST", KEYS, "{\"expirySeconds\":9223372036854775807}");
    want(h, 200, "POST", KEYS,
         "{\"description\":\"one\",\"expirySeconds\":60,\"capabilities\":{\"devices\":{\"create\":"
         "{\"reusable\":true,\"tags\":[\"tag:a\"]}}}}");
    assert_true(str_starts(got(h, "key"), STR("hskey-auth-")));
    want_got(h, "expirySeconds", "60");
    want_got(h, "keyType", "auth");
    struct text path = with(KEYS "/", copy_of(got(h, "id")).t);
    want(h, 200, "GET", path.t, "");
    assert_null(json_get(h->json, "key"));
    want_got(h, "invalid", "false");
    want(h, 200, "DELETE", path.t, "");
    want(h, 200, "GET", path.t, "");
    want_got(h, "invalid", "true");
    assert_non_null(json_get(h->json, "revoked"));
    want(h, 404, "DELETE", path.t, "");
    want(h, 404, "GET", KEYS "/999", "");
    want(h, 404, "GET", KEYS "/nonsense", "");
}

static void refusals_are_those_of_rfc_6749(void **state)
{
    static const struct {
        const char *body, *header, *error;
        int status;
    } cases[] = {
        {"", "", "invalid_client", 401},
        {"client_secret=hskey-client-000000000000-"
         "0000000000000000000000000000000000000000000000000000000000000000",
         "", "invalid_client", 401},
        {"client_secret=a&client_secret=b", "", "invalid_request", 400},
        {"grant_type=authorization_code&client_secret=a", "", "unsupported_grant_type", 400},
        {"grant_type=client_credentials", "Basic OmE=", "invalid_client", 401},
    };
    struct harness *h = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(form(h, cases[i].body, cases[i].header), cases[i].status);
        want_got(h, "error", cases[i].error);
        assert_true(got(h, "error_description").len > 0);
        assert_true(got_header(h, "cache-control: no-store\r\n"));
        if (cases[i].status == 401)
            assert_true(got_header(h, "www-authenticate: Basic realm=\"oauth\"\r\n"));
    }
}

static void api_keys_are_keys_too(void **state)
{
    struct harness *h = *state;

    want(h, 200, "POST", "/api/v1/apikey", "{\"scopes\":[\"dns\"]}");
    struct text key = copy_of(got(h, "apiKey"));
    struct text path = with(KEYS "/", copy_of(str_sub(str_from(key.t), 10, 12)).t);
    want(h, 200, "GET", path.t, "");
    want_got(h, "keyType", "api");
    want(h, 200, "DELETE", path.t, "");
    assert_int_equal(as(h, key.t, "GET", "/api/v2/tailnet/-/devices", ""), 401);
}

static void guessing_is_slowed_down(void **state)
{
    struct guard *g = NEW(struct guard);
    struct ip_addr a = IP_ADDR_V4(192, 0, 2, 1), six, near;
    int64_t wait = 0, now = 1800000000000 + 500;

    (void)state;
    guard_init(g);
    assert_true(ip_addr_parse(STR("2001:db8::1"), &six) &&
                ip_addr_parse(STR("2001:db8::ffff:1"), &near));
    for (int i = 0; i < GUARD_MISSES_MAX; i++) {
        assert_false(guard_must_wait(g, a, now, &wait) || guard_must_wait(g, six, now, &wait));
        guard_missed(g, a, now);
        guard_missed(g, six, now);
    }
    assert_true(guard_must_wait(g, a, now, &wait));
    assert_int_equal(wait, 60);
    assert_true(guard_must_wait(g, near, now, &wait));
    assert_false(guard_must_wait(g, a, now + 60000, &wait));
    guard_missed(g, a, now + 60000);
    assert_false(guard_must_wait(g, a, now + 60000, &wait));
    assert_false(guard_must_wait(g, (struct ip_addr){0}, now, &wait));
    mem_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_are_made_listed_and_deleted),
        cmocka_unit_test(what_a_client_may_have_is_checked),
        cmocka_unit_test(a_secret_gets_a_token_that_does_what_it_may),
        cmocka_unit_test(a_token_can_be_less_than_its_client),
        cmocka_unit_test(a_tag_s_owner_may_give_the_tag),
        cmocka_unit_test(a_client_made_by_a_token_is_no_more_than_it),
        cmocka_unit_test(auth_keys_are_revoked_softly),
        cmocka_unit_test(refusals_are_those_of_rfc_6749),
        cmocka_unit_test(api_keys_are_keys_too),
        cmocka_unit_test(guessing_is_slowed_down),
    };

    return cmocka_run_group_tests(tests, set_up_alice, tear_down_harness);
}
