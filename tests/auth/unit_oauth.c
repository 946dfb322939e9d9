/* Token requests: what comes, and what it gets. headscale.md 3.6, RFC 6749. */

#include "../unit.h"

#include "auth/oauth.h"

static const struct {
    const char *name;
    const char *type, *header, *body;
    const char *code; /* NULL: taken */
    const char *client_id, *secret;
    size_t n_scopes, n_tags;
} cases[] = {
    {"all in the form", "application/x-www-form-urlencoded", "",
     "grant_type=client_credentials&client_id=0123456789ab&client_secret=abc&scope=a+b&tags=tag:x",
     NULL, "0123456789ab", "abc", 2, 1},
    {"a charset behind the type", "application/x-www-form-urlencoded; charset=UTF-8", "",
     "client_secret=abc", NULL, "", "abc", 0, 0},
    {"any word for a client id", "", "", "client_id=some-client-id&client_secret=abc", NULL, "",
     "abc", 0, 0},
    {"attributes behind the secret", "", "", "client_secret=abc%3Fephemeral%3Dtrue", NULL, "",
     "abc", 0, 0},
    {"Basic, as x/oauth2 tries first", "", "Basic MDEyMzQ1Njc4OWFiOmFiYw==",
     "grant_type=client_credentials", NULL, "0123456789ab", "abc", 0, 0},
    {"Basic, encoded", "", "Basic YSUyRmI6YSUyNWI=", "", NULL, "", "a%b", 0, 0},
    {"spaces at both ends", "", "", "client_secret=abc&scope=+a++b+", NULL, "", "abc", 2, 0},
    {"nothing at all", "", "", "", "invalid_client", 0, 0, 0, 0},
    {"no secret", "", "", "client_id=0123456789ab", "invalid_client", 0, 0, 0, 0},
    {"Basic without a password", "", "Basic YWJjOg==", "", "invalid_client", 0, 0, 0, 0},
    {"a bearer's token", "", "Bearer abc", "", "invalid_client", 0, 0, 0, 0},
    {"both ways", "", "Basic YTpi", "client_secret=abc", "invalid_request", 0, 0, 0, 0},
    {"another grant", "", "", "grant_type=password&client_secret=a", "unsupported_grant_type", 0, 0,
     0, 0},
    {"JSON", "application/json", "", "{}", "invalid_request", 0, 0, 0, 0},
    {"twice", "", "", "client_secret=a&client_secret=b", "invalid_request", 0, 0, 0, 0},
    {"broken escapes", "", "", "client_secret=a%zz", "invalid_request", 0, 0, 0, 0},
    {"no UTF-8", "", "", "client_secret=a&scope=%ff", "invalid_request", 0, 0, 0, 0},
};

static void requests_are_taken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct oauth_request r;
        struct oauth_error e;

        print_message("%s\n", cases[i].name);
        bool good = oauth_request_parse(arena, str_from(cases[i].type), str_from(cases[i].header),
                                        str_from(cases[i].body), &r, &e);
        if (cases[i].code) {
            assert_false(good);
            assert_string_equal(e.code, cases[i].code);
            assert_non_null(e.why);
            continue;
        }
        assert_true(good);
        assert_str(r.client_id, str_from(cases[i].client_id));
        assert_str(r.secret, str_from(cases[i].secret));
        assert_int_equal(r.scopes.len, cases[i].n_scopes);
        assert_int_equal(r.tags.len, cases[i].n_tags);
    }
}

/* What is asked of a client with some scopes and the tags tag:a, tag:b. */
static const struct {
    const char *has, *scope, *tags, *code;
} narrowed[] = {
    {"devices:core auth_keys", "", "", NULL},
    {"devices:core auth_keys", "devices:core", "tag:a", NULL},
    {"devices:core", "devices:core:read", "", NULL}, /* writing implies reading */
    {"devices:core:read", "devices:core", "", "invalid_scope"},
    {"all", "policy_file dns services", "", NULL},
    {"all:read", "policy_file:read", "", NULL},
    {"all:read", "policy_file", "", "invalid_scope"},
    {"devices:core", "auth_keys", "", "invalid_scope"},
    {"devices:core", "nonsense", "", "invalid_scope"},
    {"devices:core services", "services", "", NULL},
    {"devices:core", "services", "", "invalid_scope"},
    {"devices:core", "", "tag:a tag:c", "invalid_target"},
    {"all", "", "tag:c", NULL},
    {"all", "", "c", "invalid_target"},
};

static void a_token_gets_no_more_than_its_client_has(void **state)
{
    struct str owns[] = {STR("tag:a"), STR("tag:b")};
    const struct str_list tags = {owns, 2};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(narrowed); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct str form = arena_printf(arena, "client_secret=a&scope=%s&tags=%s", narrowed[i].scope,
                                       narrowed[i].tags);
        struct str rest = str_from(narrowed[i].has), word;
        struct str_list has = {0}, scopes, got_tags;
        struct oauth_request r;
        struct oauth_error e = {0};

        print_message("%s: %s, %s\n", narrowed[i].has, narrowed[i].scope, narrowed[i].tags);
        while (str_next(&rest, ' ', &word))
            str_list_add(&has, word);
        assert_true(oauth_request_parse(arena, STR_NONE, STR_NONE, form, &r, &e));
        bool good = oauth_narrow(arena, &r, &has, &tags, &scopes, &got_tags, &e);
        assert_int_equal(good, !narrowed[i].code);
        if (!good)
            assert_string_equal(e.code, narrowed[i].code);
        else
            assert_true(scopes.len == (r.scopes.len ? r.scopes.len : has.len) &&
                        got_tags.len == (r.tags.len ? r.tags.len : 2));
        str_list_free(&has);
    }
}

static void some_scopes_want_tags(void **state)
{
    struct str core[] = {STR("users:read"), STR("devices:core")}, read[] = {STR("auth_keys:read")};

    (void)state;
    assert_true(oauth_scopes_want_tags(&(struct str_list){core, 2}));
    assert_false(oauth_scopes_want_tags(&(struct str_list){core, 1}));
    assert_false(oauth_scopes_want_tags(&(struct str_list){read, 1}));
    assert_true(oauth_scope_is_known(STR("services:read")) && oauth_scope_is_known(STR("all")));
    assert_false(oauth_scope_is_known(STR("service")) || oauth_scope_is_known(STR_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_taken_apart),
        cmocka_unit_test(a_token_gets_no_more_than_its_client_has),
        cmocka_unit_test(some_scopes_want_tags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
