/* OAuth clients, their access tokens, and web sessions: who has them, how they end. */

#include "each_fixture.h"

#include "core/buf.h"
#include "crypto/secret.h"

static struct str scopes[] = {STR_INIT("devices:core"), STR_INIT("auth_keys")};
static struct str tags[] = {STR_INIT("tag:k8s"), STR_INIT("tag:ci")};

/* As it is now; borrowed until the next command. */
static const struct api_key *key_now(api_key_id id)
{
    const struct api_key_set *set = domain_api_keys(f.d);

    api_key_set_unref(set); /* the domain keeps it until the next change */
    return api_key_set_find(set, id);
}

static api_key_id new_client(void)
{
    fixture_done(&f, (struct command){.type = COMMAND_OAUTH_CLIENT_CREATE,
                                      .tailnet = 1,
                                      .text = STR("operator"),
                                      .scopes = {scopes, 2},
                                      .tags = {tags, 2}});
    return f.result.id;
}

static api_key_id new_token(api_key_id client)
{
    fixture_done(&f, (struct command){.type = COMMAND_OAUTH_TOKEN_CREATE,
                                      .id = client,
                                      .scopes = {scopes, 1},
                                      .tags = {tags, 1}});
    return f.result.id;
}

/* headscale.md 11 #115, the domain's part. */
static void a_client_is_made_and_goes_with_its_tokens(void **state)
{
    enum api_key_kind kind;
    struct str prefix, secret;
    char text[128];

    (void)state;
    api_key_id client = new_client();
    snprintf(text, sizeof(text), "%.*s", STR_ARG(f.result.secret));
    assert_true(str_starts(str_from(text), STR("hskey-client-")));
    assert_true(api_key_split_any(str_from(text), &kind, &prefix, &secret));
    assert_int_equal(kind, API_KEY_OAUTH_CLIENT);
    assert_false(api_key_split(str_from(text), &prefix, &secret));
    assert_str(key_now(client)->prefix, prefix);
    assert_true(secret_hash_matches(secret, key_now(client)->hash));
    assert_str(key_now(client)->tags.items[0], STR("tag:ci")); /* sorted */
    assert_true(key_now(client)->tailnet == 1 && key_now(client)->user == 0);

    api_key_id a = new_token(client);
    assert_true(str_starts(f.result.secret, STR("hskey-oauthtok-")));
    assert_true(key_now(a)->client == client && key_now(a)->kind == API_KEY_OAUTH_TOKEN);
    assert_true(key_now(a)->expiry_ms == f.now + OAUTH_TOKEN_MS);
    assert_int_equal(key_now(a)->scopes.len, 1);
    api_key_id b = new_token(client), other = new_token(new_client());

    /* It is no API key: those calls do not find it. */
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_DELETE, .id = client},
                    ERR_NOT_FOUND, "API key not found");
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_EXPIRE, .id = a}, ERR_NOT_FOUND,
                    "API key not found");
    fixture_refused(&f, (struct command){.type = COMMAND_OAUTH_CLIENT_DELETE, .id = a},
                    ERR_NOT_FOUND, "OAuth client not found");
    fixture_done(
        &f, (struct command){.type = COMMAND_OAUTH_CLIENT_DELETE, .tailnet = 1, .name = prefix});
    assert_int_equal(fixture_count(&f, CHANGE_API_KEY_REMOVED), 3);
    assert_true(!key_now(client) && !key_now(a) && !key_now(b) && key_now(other));
    fixture_refused(
        &f,
        (struct command){.type = COMMAND_OAUTH_TOKEN_CREATE, .id = client, .scopes = {scopes, 1}},
        ERR_NOT_FOUND, "OAuth client not found");
}

static void clients_have_rules(void **state)
{
    struct str bad = STR("nottag:x");
    struct command c = {.type = COMMAND_OAUTH_CLIENT_CREATE, .tailnet = 1};

    (void)state;
    fixture_refused(&f, c, ERR_INVALID, "at least one scope is required");
    c.scopes = (struct str_list){scopes, 1};
    c.tags = (struct str_list){&bad, 1};
    fixture_refused(&f, c, ERR_INVALID, "tag must start with the string 'tag:'");
    c.tags = (struct str_list){0};
    c.tailnet = 7;
    fixture_refused(&f, c, ERR_NOT_FOUND, "tailnet not found");
    c.tailnet = 1;
    c.text = STR("a\xff");
    fixture_refused(&f, c, ERR_INVALID, "a description has at most 255 bytes of UTF-8");
}

static void tokens_end(void **state)
{
    api_key_id client = new_client(), first = new_token(client);

    (void)state;
    assert_true(domain_next_tick_ms(f.d) == f.now + OAUTH_TOKEN_MS);
    fixture_tick(&f, OAUTH_TOKEN_MS / 2);
    api_key_id second = new_token(client);
    fixture_tick(&f, OAUTH_TOKEN_MS / 2);
    assert_true(!key_now(first) && key_now(second) && key_now(client));
    fixture_tick(&f, OAUTH_TOKEN_MS);
    assert_null(key_now(second));
    assert_true(domain_next_tick_ms(f.d) == INT64_MAX);
}

static void a_client_has_so_many_tokens(void **state)
{
    api_key_id client = new_client(), other = new_token(new_client()), first = new_token(client);

    (void)state;
    f.is_quiet = true;
    for (int i = 1; i < OAUTH_TOKENS_OF_CLIENT_MAX; i++)
        IGNORE(new_token(client));
    assert_non_null(key_now(first));
    IGNORE(new_token(client));
    assert_true(!key_now(first) && key_now(other));
}

static void less_for_a_client_ends_its_tokens(void **state)
{
    api_key_id client = new_client(), token = new_token(client);
    struct command c = {.type = COMMAND_OAUTH_CLIENT_UPDATE,
                        .id = client,
                        .tailnet = 1,
                        .text = STR("new"),
                        .scopes = {scopes, 2},
                        .tags = {tags, 2}};

    (void)state;
    fixture_done(&f, c);
    assert_str(key_now(client)->description, STR("new"));
    assert_non_null(key_now(token));
    c.tags.len = 1;
    fixture_done(&f, c);
    assert_null(key_now(token));
    assert_int_equal(key_now(client)->tags.len, 1);
    c.scopes.len = 0;
    fixture_refused(&f, c, ERR_INVALID, "at least one scope is required");
}

static void sessions_are_a_users(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    struct command c = {.type = COMMAND_SESSION_CREATE,
                        .tailnet = 1,
                        .user = alice,
                        .scopes = {scopes, 1},
                        .expiry_ms = f.now + HOUR_MS};
    api_key_id ids[SESSIONS_OF_USER_MAX + 1];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        fixture_done(&f, c);
        assert_true(str_starts(f.result.secret, STR("hskey-session-")));
        ids[i] = f.result.id;
    }
    assert_true(!key_now(ids[0]) && key_now(ids[1]));
    fixture_done(&f, (struct command){.type = COMMAND_SESSION_DELETE, .tailnet = 1, .id = ids[1]});
    assert_null(key_now(ids[1]));
    fixture_refused(&f, (struct command){.type = COMMAND_SESSION_DELETE, .id = ids[1]},
                    ERR_NOT_FOUND, "session not found");
    fixture_tick(&f, HOUR_MS);
    assert_null(key_now(ids[2]));
    c.expiry_ms = f.now;
    fixture_refused(&f, c, ERR_INVALID, "a session has scopes and ends later than it begins");
    c.expiry_ms = f.now + 1;
    fixture_done(&f, c);
    api_key_id last = f.result.id;
    fixture_done(&f, (struct command){.type = COMMAND_USER_DELETE, .id = alice});
    assert_null(key_now(last));
}

static struct api_key *loaded(api_key_id id, enum api_key_kind kind, api_key_id client)
{
    struct api_key *k = api_key_new();
    char prefix[16];

    snprintf(prefix, sizeof(prefix), "aaaaaaaaaa%02u", (unsigned)id);
    k->id = id;
    k->kind = kind;
    k->client = client;
    k->tailnet = 1;
    k->prefix = str_copy(str_from(prefix));
    str_list_add(&k->scopes, scopes[0]);
    k->expiry_ms = kind == API_KEY_OAUTH_TOKEN ? f.now + HOUR_MS : 0;
    return k;
}

static void what_is_loaded_belongs_to_somebody(void **state)
{
    struct err err = {0};

    (void)state;
    assert_int_equal(domain_load_api_key(f.d, loaded(5, API_KEY_OAUTH_CLIENT, 0), &err), 0);
    assert_int_equal(domain_load_api_key(f.d, loaded(6, API_KEY_OAUTH_TOKEN, 5), &err), 0);
    assert_int_equal(domain_load_api_key(f.d, loaded(7, API_KEY_OAUTH_TOKEN, 4), &err),
                     -ERR_INVALID);
    assert_string_equal(err.text, "API key 7: is an access token of no client");
    assert_int_equal(domain_load_api_key(f.d, loaded(8, API_KEY_SESSION, 0), &err), -ERR_INVALID);
    assert_int_equal(domain_load_api_key(f.d, loaded(9, API_KEY_KINDS, 0), &err), -ERR_INVALID);
    fixture_tick(&f, HOUR_MS);
    assert_true(key_now(5) && !key_now(6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_client_is_made_and_goes_with_its_tokens),
        FIXTURE_TEST(clients_have_rules),
        FIXTURE_TEST(tokens_end),
        FIXTURE_TEST(a_client_has_so_many_tokens),
        FIXTURE_TEST(less_for_a_client_ends_its_tokens),
        FIXTURE_TEST(sessions_are_a_users),
        FIXTURE_TEST(what_is_loaded_belongs_to_somebody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
