/* API keys, and what becomes of auth keys: revoked, kept for a while, proven by somebody else. */

#include "each_fixture.h"

#include "core/buf.h"
#include "crypto/secret.h"

#define DAY_MS (24 * HOUR_MS)

/* ---- API keys ---- */

static api_key_id new_key(struct command c, char text[128])
{
    c.type = COMMAND_API_KEY_CREATE;
    fixture_done(&f, c);
    snprintf(text, 128, "%.*s", STR_ARG(f.result.secret));
    return f.result.id;
}

/* As it is now; borrowed until the next command. */
static const struct api_key *key_now(api_key_id id)
{
    const struct api_key_set *set = domain_api_keys(f.d);

    api_key_set_unref(set); /* the domain keeps it until the next change */
    return api_key_set_find(set, id);
}

/* headscale.md 11 #113, the domain's part. */
static void api_keys_live_and_die(void **state)
{
    char a[128], b[128];
    struct str prefix, secret;

    (void)state;
    uint64_t revision = view_revision(fixture_view(&f));
    api_key_id first = new_key((struct command){.expiry_ms = f.now + DAY_MS}, a);
    assert_int_equal(fixture_count(&f, CHANGE_API_KEY), 1);
    assert_true(change_is_durable(&f.changes.items[0]));
    assert_true(f.changes.items[0].tailnet == 0);
    api_key_id second = new_key((struct command){.tailnet = 1, .text = STR("ci")}, b);
    /* They are no part of any tailnet's view. */
    assert_true(view_revision(fixture_view(&f)) == revision);

    assert_true(api_key_split(str_from(a), &prefix, &secret));
    assert_int_equal(secret.len, SECRET_CHARS);
    assert_str(key_now(first)->prefix, prefix);
    assert_true(secret_hash_matches(secret, key_now(first)->hash));
    assert_true(key_now(first)->tailnet == 0 && key_now(second)->tailnet == 1);
    assert_str(key_now(second)->description, STR("ci"));

    /* By id, by prefix, by what a list shows, by the key itself. */
    fixture_done(&f, (struct command){.type = COMMAND_API_KEY_EXPIRE, .id = first});
    assert_true(key_now(first)->expiry_ms == f.now);
    fixture_done(&f, (struct command){.type = COMMAND_API_KEY_EXPIRE, .id = first});
    assert_int_equal(f.changes.len, 0);
    struct buf masked = BUF(0);
    api_key_put_masked(&masked, key_now(second));
    fixture_done(&f, (struct command){.type = COMMAND_API_KEY_EXPIRE, .name = buf_str(&masked)});
    assert_true(key_now(second)->expiry_ms == f.now);
    buf_fini(&masked);
    fixture_refused(
        &f, (struct command){.type = COMMAND_API_KEY_DELETE, .tailnet = 1, .name = str_from(a)},
        ERR_NOT_FOUND, "API key not found");
    fixture_done(&f, (struct command){.type = COMMAND_API_KEY_DELETE, .name = str_from(a)});
    assert_int_equal(fixture_count(&f, CHANGE_API_KEY_REMOVED), 1);
    assert_null(key_now(first));
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_DELETE, .id = first},
                    ERR_NOT_FOUND, "API key not found");
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_DELETE}, ERR_NOT_FOUND,
                    "API key not found");
    fixture_done(&f, (struct command){.type = COMMAND_API_KEY_DELETE, .tailnet = 1, .id = second});
    /* Ids are never used again. */
    assert_true(new_key((struct command){0}, a) > second);
}

static void api_keys_have_rules(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    struct str odd[] = {STR("devices:core"), STR("f\xc3\xbc")};
    char key[128];

    (void)state;
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_CREATE, .tailnet = 9},
                    ERR_NOT_FOUND, "tailnet not found");
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_CREATE, .user = alice},
                    ERR_INVALID, "a user's key is of the user's tailnet: name it");
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_CREATE, .tailnet = 1, .user = 99},
                    ERR_NOT_FOUND, "user not found");
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_CREATE, .expiry_ms = -1},
                    ERR_INVALID, "expiry is before 1970");
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_CREATE, .scopes = {odd, 2}},
                    ERR_INVALID, "a scope has 1 to 64 ASCII characters");
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_CREATE, .text = STR("a\xff")},
                    ERR_INVALID, "a description has at most 255 bytes of UTF-8");
    /* A user's key goes with the user. */
    api_key_id id = new_key((struct command){.tailnet = 1, .user = alice, .scopes = {odd, 1}}, key);
    assert_true(key_now(id)->user == alice && key_now(id)->scopes.len == 1);
    fixture_done(&f, (struct command){.type = COMMAND_USER_DELETE, .id = alice});
    assert_int_equal(fixture_count(&f, CHANGE_API_KEY_REMOVED), 1);
    assert_null(key_now(id));
}

static void a_tailnets_keys_go_with_it(void **state)
{
    struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&f)));
    char key[128];

    (void)state;
    str_free(&info->base_domain);
    str_free(&info->name);
    info->name = str_copy(STR("team"));
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info});
    tailnet_info_unref(info);
    tailnet_id team = f.result.id;
    api_key_id server = new_key((struct command){0}, key);
    api_key_id first = new_key((struct command){.tailnet = 1}, key);
    api_key_id own = new_key((struct command){.tailnet = team}, key);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_DELETE, .tailnet = team});
    assert_null(key_now(own));
    assert_true(key_now(server) && key_now(first));
}

static void last_use_is_written_behind_and_seldom(void **state)
{
    char key[128];

    (void)state;
    api_key_id id = new_key((struct command){0}, key);
    struct command seen = {.type = COMMAND_API_KEY_SEEN, .id = id};
    fixture_done(&f, seen);
    assert_int_equal(fixture_count(&f, CHANGE_API_KEY), 1);
    assert_false(change_is_durable(&f.changes.items[0]));
    assert_true(key_now(id)->last_seen_ms == f.now);
    f.now += API_KEY_SEEN_MS - 1;
    fixture_done(&f, seen);
    assert_int_equal(f.changes.len, 0);
    f.now++;
    fixture_done(&f, seen);
    assert_true(key_now(id)->last_seen_ms == f.now);
}

static void prefixes_are_read_in_every_form(void **state)
{
    static const struct {
        const char *text, *prefix;
    } cases[] = {
        {"f6840197145f", "f6840197145f"},
        {" f6840197145f\n", "f6840197145f"},
        {"hskey-api-f6840197145f-***", "f6840197145f"},
        {"hskey-api-f6840197145f", "f6840197145f"},
        {"hskey-api-f6-4-1971453-***", "f6-4-1971453"},
        {"hskey-api-f684-197_45f-"
         "ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08",
         "f684-197_45f"},
        {"abcdefg***", "abcdefg"},
        {"abcdefg.0123456789abcdef0123456789abcdef", "abcdefg"},
        {"", ""},
        {"***", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%s\n", cases[i].text);
        assert_str(api_key_prefix_of(str_from(cases[i].text)), str_from(cases[i].prefix));
    }
}

/* ---- Auth keys ---- */

static void assert_failed_with(struct ask a, const char *text)
{
    assert_int_equal(fixture_register(&f, a), REGISTER_FAILED);
    assert_string_equal(f.result.text, text);
}

static void revoked_keys_are_kept_for_a_while(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char text[128];

    (void)state;
    auth_key_id id = fixture_key(&f, (struct key_options){.user = alice, .reusable = true}, text);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1, .auth_key = text}),
                     REGISTER_DONE);
    node_id node = f.result.id;
    struct command revoke = {.type = COMMAND_AUTH_KEY_REVOKE, .id = id};
    fixture_done(&f, revoke);
    assert_true(view_auth_key_find(fixture_view(&f), id)->revoked_ms == f.now);
    fixture_refused(&f, revoke, ERR_NOT_FOUND, "auth-key not found");
    assert_failed_with((struct ask){.machine = 2, .key = 2, .auth_key = text}, "authkey revoked");
    /* Who is in stays in, and may start again. */
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1, .auth_key = text}),
                     REGISTER_DONE);

    fixture_tick(&f, REVOKED_RETENTION_MS - 1);
    assert_non_null(view_auth_key_find(fixture_view(&f), id));
    fixture_tick(&f, 1);
    assert_int_equal(fixture_count(&f, CHANGE_AUTH_KEY_REMOVED), 1);
    assert_null(view_auth_key_find(fixture_view(&f), id));
    assert_true(fixture_node(&f, node)->auth_key == 0);
    assert_failed_with((struct ask){.machine = 2, .key = 2, .auth_key = text},
                       "invalid pre auth key");
}

static void the_retention_may_be_another(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char text[128];

    (void)state;
    auth_key_id id = fixture_key(&f, (struct key_options){.user = alice}, text);
    fixture_done(&f, (struct command){.type = COMMAND_AUTH_KEY_REVOKE, .id = id});
    domain_set_revoked_retention(f.d, HOUR_MS);
    assert_true(domain_next_tick_ms(f.d) == f.now + HOUR_MS);
    fixture_tick(&f, HOUR_MS);
    assert_null(view_auth_key_find(fixture_view(&f), id));
    assert_true(domain_revoked_retention(f.d) == HOUR_MS);
    /* Deleted before its time, nothing is left to be done. */
    id = fixture_key(&f, (struct key_options){.user = alice}, text);
    fixture_done(&f, (struct command){.type = COMMAND_AUTH_KEY_REVOKE, .id = id});
    fixture_done(&f, (struct command){.type = COMMAND_AUTH_KEY_DELETE, .id = id});
    assert_true(domain_next_tick_ms(f.d) == INT64_MAX);
    /* 0: for ever. */
    domain_set_revoked_retention(f.d, 0);
    id = fixture_key(&f, (struct key_options){.user = alice}, text);
    fixture_done(&f, (struct command){.type = COMMAND_AUTH_KEY_REVOKE, .id = id});
    assert_true(domain_next_tick_ms(f.d) == INT64_MAX);
}

static auth_key_id import_key(const char *prefix, const char *legacy, user_id user)
{
    struct auth_key *k = auth_key_new();

    k->id = domain_counters(f.d).auth_key;
    k->tailnet = 1;
    k->user = user;
    k->prefix = str_copy(str_from(prefix));
    k->legacy = str_copy(str_from(legacy));
    assert_int_equal(domain_load_auth_key(f.d, k, &f.err), 0);
    return domain_counters(f.d).auth_key - 1;
}

#define BCRYPT "$2a$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde"
#define SECRET "ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d-_8x"

static enum register_outcome register_proven(const char *key, auth_key_id proven)
{
    struct node_facts *facts = facts_of("host", "", "");
    struct register_request reg = {.machine = machine_of(1),
                                   .key = key_of(1),
                                   .capver = 100,
                                   .auth_key = str_from(key),
                                   .proven = proven,
                                   .facts = facts};

    fixture_done(&f, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    node_facts_unref(facts);
    return f.result.outcome;
}

static void imported_keys_want_to_be_proven(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    auth_key_id id = import_key("5cd95d4860a4", BCRYPT, alice);
    auth_key_id other = import_key("5cd95d48-_a4", BCRYPT, alice);

    (void)state;
    assert_int_equal(register_proven("hskey-auth-5cd95d4860a4-" SECRET, 0), REGISTER_PROVE);
    assert_true(f.result.auth_key->id == id && f.changes.len == 0);
    /* What was proven of another key counts nothing. */
    assert_int_equal(register_proven("hskey-auth-5cd95d4860a4-" SECRET, other), REGISTER_PROVE);
    assert_int_equal(register_proven("hskey-auth-5cd95d48-_a4-" SECRET, other), REGISTER_DONE);
    assert_true(f.result.node->auth_key == other);
    /* The hash itself is no key. */
    assert_failed_with((struct ask){.machine = 2, .key = 2, .auth_key = BCRYPT},
                       "invalid pre auth key");
    fixture_done(&f, (struct command){.type = COMMAND_AUTH_KEY_DELETE, .id = id});
    assert_int_equal(register_proven("hskey-auth-5cd95d4860a4-" SECRET, id), REGISTER_DONE);
    assert_failed_with(
        (struct ask){.machine = 3, .key = 3, .auth_key = "hskey-auth-5cd95d4860a4-" SECRET},
        "invalid pre auth key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(api_keys_live_and_die),
        FIXTURE_TEST(api_keys_have_rules),
        FIXTURE_TEST(a_tailnets_keys_go_with_it),
        FIXTURE_TEST(last_use_is_written_behind_and_seldom),
        FIXTURE_TEST(prefixes_are_read_in_every_form),
        FIXTURE_TEST(revoked_keys_are_kept_for_a_while),
        FIXTURE_TEST(the_retention_may_be_another),
        FIXTURE_TEST(imported_keys_want_to_be_proven),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
