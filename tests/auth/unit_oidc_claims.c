/* What is asked of claims, one wrong thing at a time. */

#include "../unit.h"

#include "auth/oidc_claims.h"

#define NOW ((int64_t)1800000000000)

static const struct json_value *parse(struct arena *arena, const char *text)
{
    struct json_value *v = NULL;

    assert_true(json_parse(arena, arena_copy(arena, str_from(text)), NULL, &v, NULL));
    return v;
}

/* headscale.md 11 #33 needs exp; the rest is OpenID Connect Core 3.1.3.7. */
static void every_wrong_claim_is_refused(void **state)
{
#define GOOD "\"iss\":\"https://idp\",\"aud\":\"us\",\"exp\":1800000100,\"iat\":1800000000"
    static const struct {
        const char *name, *claims;
        bool good;
    } cases[] = {
        {"good", "{" GOOD ",\"nonce\":\"n\"}", true},
        {"several audiences",
         "{\"iss\":\"https://idp\",\"aud\":[\"x\",\"us\"],\"azp\":\"us\",\"exp\":1800000100,"
         "\"iat\":1800000000,\"nonce\":\"n\"}",
         true},
        {"several audiences, nobody it was given to",
         "{\"iss\":\"https://idp\",\"aud\":[\"x\",\"us\"],\"exp\":1800000100,"
         "\"iat\":1800000000,\"nonce\":\"n\"}",
         false},
        {"given to another", "{" GOOD ",\"azp\":\"x\",\"nonce\":\"n\"}", false},
        {"given to a number", "{" GOOD ",\"azp\":7,\"nonce\":\"n\"}", false},
        {"no nonce", "{" GOOD "}", false},
        {"empty nonce", "{" GOOD ",\"nonce\":\"\"}", false},
        {"another nonce", "{" GOOD ",\"nonce\":\"m\"}", false},
        {"not yet", "{" GOOD ",\"nonce\":\"n\",\"nbf\":1800000061}", false},
        {"almost", "{" GOOD ",\"nonce\":\"n\",\"nbf\":1800000060}", true},
        {"nbf is a text", "{" GOOD ",\"nonce\":\"n\",\"nbf\":\"now\"}", false},
        {"no issuer", "{\"aud\":\"us\",\"exp\":1800000100,\"iat\":1800000000,\"nonce\":\"n\"}",
         false},
        {"another issuer",
         "{\"iss\":\"https://idp/\",\"aud\":\"us\",\"exp\":1800000100,\"iat\":1800000000,"
         "\"nonce\":\"n\"}",
         false},
        {"another audience",
         "{\"iss\":\"https://idp\",\"aud\":\"usx\",\"exp\":1800000100,\"iat\":1800000000,"
         "\"nonce\":\"n\"}",
         false},
        {"audience is an object",
         "{\"iss\":\"https://idp\",\"aud\":{\"us\":1},\"exp\":1800000100,\"iat\":1800000000,"
         "\"nonce\":\"n\"}",
         false},
        {"audience with a number",
         "{\"iss\":\"https://idp\",\"aud\":[\"us\",7],\"azp\":\"us\",\"exp\":1800000100,"
         "\"iat\":1800000000,\"nonce\":\"n\"}",
         false},
        {"no end", "{\"iss\":\"https://idp\",\"aud\":\"us\",\"iat\":1800000000,\"nonce\":\"n\"}",
         false},
        {"expired",
         "{\"iss\":\"https://idp\",\"aud\":\"us\",\"exp\":1799999940,\"iat\":1799999000,"
         "\"nonce\":\"n\"}",
         false},
        {"expired within what clocks may differ",
         "{\"iss\":\"https://idp\",\"aud\":\"us\",\"exp\":1799999941,\"iat\":1799999000,"
         "\"nonce\":\"n\"}",
         true},
        {"end without end",
         "{\"iss\":\"https://idp\",\"aud\":\"us\",\"exp\":1e300,\"iat\":1800000000,"
         "\"nonce\":\"n\"}",
         false},
        {"negative end",
         "{\"iss\":\"https://idp\",\"aud\":\"us\",\"exp\":-1,\"iat\":1800000000,"
         "\"nonce\":\"n\"}",
         false},
        {"from the future",
         "{\"iss\":\"https://idp\",\"aud\":\"us\",\"exp\":1800009999,\"iat\":1800000061,"
         "\"nonce\":\"n\"}",
         false},
        {"no beginning",
         "{\"iss\":\"https://idp\",\"aud\":\"us\",\"exp\":1800000100,\"nonce\":\"n\"}", false},
    };
    const struct oidc_expectation expected = {
        .issuer = STR("https://idp"), .client_id = STR("us"), .nonce = STR("n"), .now_ms = NOW};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct err err = {0};

        print_message("%s\n", cases[i].name);
        int got = oidc_claims_check(parse(arena, cases[i].claims), &expected, &err);
        assert_int_equal(got, cases[i].good ? 0 : -ERR_DENIED);
    }
}

/* headscale.md 11 #34: which claims become a user. */
static void claims_are_read_leniently(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct oidc_claims c;
    struct err err = {0};

    (void)state;
    assert_int_equal(
        oidc_claims_read(arena,
                         parse(arena, "{\"sub\":\"s\",\"name\":\"Al Ice\",\"email\":\"a@b\","
                                      "\"email_verified\":\"true\",\"groups\":\"one\","
                                      "\"picture\":7,\"exp\":12.5}"),
                         &c, &err),
        0);
    assert_str(c.name, STR("Al Ice"));
    assert_true(c.email_verified);
    assert_int_equal(c.n_groups, 1);
    assert_str(c.groups[0], STR("one"));
    assert_str(c.picture, STR_NONE);
    assert_int_equal(c.expiry_ms, 12500);

    assert_int_equal(oidc_claims_read(arena, parse(arena, "{\"name\":\"x\"}"), &c, &err),
                     -ERR_INVALID);
    assert_int_equal(oidc_claims_read(arena, parse(arena, "{\"sub\":7}"), &c, &err), -ERR_INVALID);
    assert_int_equal(oidc_claims_read(arena, parse(arena, "{\"sub\":\"a\\u0000b\"}"), &c, &err),
                     -ERR_INVALID);
    assert_int_equal(oidc_claims_read(arena,
                                      parse(arena, "{\"sub\":\"s\",\"name\":\"a\\nb\","
                                                   "\"groups\":[\"x\",7,\"\",\"y\"]}"),
                                      &c, &err),
                     0);
    assert_str(c.name, STR_NONE);
    assert_int_equal(c.n_groups, 2);
}

static void user_info_overrides_of_the_same_person_only(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct oidc_claims c;
    struct err err = {0};

    (void)state;
    assert_int_equal(oidc_claims_read(arena,
                                      parse(arena, "{\"sub\":\"s\",\"email\":\"a@b\","
                                                   "\"email_verified\":true,\"name\":\"A\"}"),
                                      &c, &err),
                     0);
    assert_false(oidc_claims_overlay(arena, parse(arena, "{\"sub\":\"t\",\"name\":\"B\"}"), &c));
    assert_false(oidc_claims_overlay(arena, parse(arena, "{\"name\":\"B\"}"), &c));
    assert_str(c.name, STR("A"));
    assert_true(oidc_claims_overlay(
        arena, parse(arena, "{\"sub\":\"s\",\"groups\":[\"g\"],\"preferred_username\":\"al\"}"),
        &c));
    assert_str(c.name, STR("A"));
    assert_str(c.preferred_username, STR("al"));
    assert_true(c.email_verified);
    assert_int_equal(c.n_groups, 1);
    /* Another address is not verified because the first one was. */
    assert_true(oidc_claims_overlay(arena, parse(arena, "{\"sub\":\"s\",\"email\":\"x@y\"}"), &c));
    assert_false(c.email_verified);
}

static void filters_are_headscales(void **state)
{
    static const struct str d[] = {STR_INIT("example.com")}, u[] = {STR_INIT("al@example.com")},
                            g[] = {STR_INIT("/vpn")};
    static const struct {
        const char *name, *claims, *want;
        bool domains, users, groups, unverified;
    } cases[] = {
        {"no filter", "{\"sub\":\"s\"}", NULL, .domains = false},
        {"domain", "{\"sub\":\"s\",\"email\":\"x@example.com\",\"email_verified\":true}", NULL,
         .domains = true},
        {"domain, not verified", "{\"sub\":\"s\",\"email\":\"x@example.com\"}", "unverified email",
         .domains = true},
        {"domain, need not be verified", "{\"sub\":\"s\",\"email\":\"x@example.com\"}", NULL,
         .domains = true, .unverified = true},
        {"a longer domain", "{\"sub\":\"s\",\"email\":\"x@evilexample.com\"}",
         "unauthorised domain", .domains = true, .unverified = true},
        {"a sub-domain", "{\"sub\":\"s\",\"email\":\"x@a.example.com\"}", "unauthorised domain",
         .domains = true, .unverified = true},
        {"the part after the last @", "{\"sub\":\"s\",\"email\":\"x@example.com@evil\"}",
         "unauthorised domain", .domains = true, .unverified = true},
        {"case counts", "{\"sub\":\"s\",\"email\":\"x@Example.com\"}", "unauthorised domain",
         .domains = true, .unverified = true},
        {"no address", "{\"sub\":\"s\"}", "unauthorised domain", .domains = true,
         .unverified = true},
        {"user", "{\"sub\":\"s\",\"email\":\"al@example.com\",\"email_verified\":true}", NULL,
         .users = true},
        {"another user", "{\"sub\":\"s\",\"email\":\"bo@example.com\",\"email_verified\":true}",
         "unauthorised user", .users = true},
        {"group", "{\"sub\":\"s\",\"groups\":[\"x\",\"/vpn\"]}", NULL, .groups = true},
        {"no group", "{\"sub\":\"s\"}", "unauthorised group", .groups = true},
        {"almost the group", "{\"sub\":\"s\",\"groups\":[\"vpn\"]}", "unauthorised group",
         .groups = true},
        {"group, not the user",
         "{\"sub\":\"s\",\"groups\":[\"/vpn\"],\"email\":\"bo@example.com\"}", "unauthorised user",
         .groups = true, .users = true, .unverified = true},
        {"user, not the group", "{\"sub\":\"s\",\"email\":\"al@example.com\"}",
         "unauthorised group", .groups = true, .users = true, .unverified = true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        const struct oidc_rules rules = {.domains = d,
                                         .n_domains = cases[i].domains,
                                         .users = u,
                                         .n_users = cases[i].users,
                                         .groups = g,
                                         .n_groups = cases[i].groups,
                                         .email_verified_required = !cases[i].unverified};
        struct oidc_claims c;
        struct err err = {0};

        print_message("%s\n", cases[i].name);
        assert_int_equal(oidc_claims_read(arena, parse(arena, cases[i].claims), &c, &err), 0);
        const char *got = oidc_rules_refuse(&rules, &c);
        assert_true((got == NULL) == (cases[i].want == NULL));
        assert_true(got == NULL || strcmp(got, cases[i].want) == 0);
    }
}

/* Nobody by default; by any list; by a mail address only if it is verified. */
static void administrators_are_named(void **state)
{
    static const struct str users[] = {STR_INIT("a@b.c"), STR_INIT("")};
    static const struct str groups[] = {STR_INIT("ops")};
    static const struct str subjects[] = {STR_INIT("7"), STR_INIT("")};
    const struct oidc_admins nobody = {0}, all = {users, 2, groups, 1, subjects, 2};
    static const struct {
        const char *claims;
        bool is_admin;
    } cases[] = {
        {"{\"sub\":\"1\",\"email\":\"a@b.c\",\"email_verified\":true}", true},
        {"{\"sub\":\"1\",\"email\":\"a@b.c\"}", false},
        {"{\"sub\":\"1\",\"email\":\"A@b.c\",\"email_verified\":true}", false},
        {"{\"sub\":\"1\",\"email_verified\":true}", false},
        {"{\"sub\":\"7\"}", true},
        {"{\"sub\":\"77\",\"groups\":[\"op\"]}", false},
        {"{\"sub\":\"1\",\"groups\":[\"x\",\"ops\"]}", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct oidc_claims c;
        struct err err = {0};

        print_message("%s\n", cases[i].claims);
        assert_int_equal(oidc_claims_read(arena, parse(arena, cases[i].claims), &c, &err), 0);
        assert_int_equal(oidc_admins_have(&all, &c), cases[i].is_admin);
        assert_false(oidc_admins_have(&nobody, &c));
    }
}

static void identities_are_headscales_and_apart(void **state)
{
    static const struct {
        const char *issuer, *subject, *want;
    } cases[] = {
        {"https://idp.example.com", "abc", "https://idp.example.com/abc"},
        {"https://idp.example.com/", "abc", "https://idp.example.com/abc"},
        {"https://idp//realms/x//", "abc", "https://idp/realms/x/abc"},
        {"https://x.auth0.com/", "auth0|5f", "https://x.auth0.com/auth0%7C5f"},
        {"https://idp", "a%7Cb", "https://idp/a%257Cb"},
        {"https://idp", "a@b.c", "https://idp/a@b.c"},
        {"https://idp", "../x", "https://idp/../x"},
        {"https://idp", "a//b", "https://idp/a//b"},
        {"", "abc", "/abc"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF(4096);

        oidc_identity_put(&out, str_from(cases[i].issuer), str_from(cases[i].subject));
        assert_str(buf_str(&out), str_from(cases[i].want));
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wrong_claim_is_refused),
        cmocka_unit_test(claims_are_read_leniently),
        cmocka_unit_test(user_info_overrides_of_the_same_person_only),
        cmocka_unit_test(filters_are_headscales),
        cmocka_unit_test(administrators_are_named),
        cmocka_unit_test(identities_are_headscales_and_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
