/* What a provider says of itself, the way to it, and its answer, short of asking anybody. */

#include "tokens.h"

#include "auth/browser.h"
#include "auth/oidc.h"
#include "core/clock.h"
#include "crypto/hash.h"

static const struct str scopes[] = {STR_INIT("openid"), STR_INIT("email")};
static const struct oidc_param extra[] = {{STR_INIT("domain_hint"), STR_INIT("a&b c")}};

static struct oidc_provider provider_new(void)
{
    return (struct oidc_provider){.issuer = STR("https://idp"),
                                  .client_id = STR("us"),
                                  .client_secret = STR("s"),
                                  .scopes = scopes,
                                  .n_scopes = 2,
                                  .extra = extra,
                                  .n_extra = 1,
                                  .pkce = OIDC_PKCE_S256};
}

#define ENDPOINTS(scheme)                                                            \
    "\"authorization_endpoint\":\"" scheme "://idp/a\",\"token_endpoint\":\"" scheme \
    "://idp/t\",\"jwks_uri\":\"" scheme "://idp/k\""

static void discovery_is_believed_within_bounds(void **state)
{
    static const struct {
        const char *name, *text;
        bool good;
    } cases[] = {
        {"plain", "{\"issuer\":\"https://idp\"," ENDPOINTS("https") "}", true},
        {"another issuer", "{\"issuer\":\"https://idp/\"," ENDPOINTS("https") "}", false},
        {"no issuer", "{" ENDPOINTS("https") "}", false},
        {"endpoints in the open", "{\"issuer\":\"https://idp\"," ENDPOINTS("http") "}", false},
        {"endpoints on the disk", "{\"issuer\":\"https://idp\"," ENDPOINTS("file") "}", false},
        {"an endpoint is missing",
         "{\"issuer\":\"https://idp\",\"authorization_endpoint\":\"https://idp/a\"}", false},
        {"a blank in an address",
         "{\"issuer\":\"https://idp\",\"userinfo_endpoint\":\"https://idp/ x\"," ENDPOINTS(
             "https") "}",
         false},
        {"a line end in an address",
         "{\"issuer\":\"https://idp\",\"userinfo_endpoint\":\"https://idp/\\r\\nx\"," ENDPOINTS(
             "https") "}",
         false},
        {"a list", "[]", false},
        {"nothing", "", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct oidc_provider p = provider_new();
        struct oidc_meta *m = NULL;
        struct err err = {0};

        print_message("%s\n", cases[i].name);
        int got = oidc_meta_parse(&p, str_from(cases[i].text), &m, &err);
        assert_int_equal(got == 0, cases[i].good);
        assert_int_equal(m != NULL, cases[i].good);
        oidc_meta_unref(m);
    }
}

static struct oidc_meta *meta_new(const char *more)
{
    const struct oidc_provider p = provider_new();
    struct oidc_meta *m = NULL;
    struct str text = str_printf("{\"issuer\":\"https://idp\",%s" ENDPOINTS("https") "}", more);
    struct err err = {0};

    assert_int_equal(oidc_meta_parse(&p, text, &m, &err), 0);
    str_free(&text);
    return m;
}

static void the_secret_goes_where_it_is_wanted(void **state)
{
    static const struct {
        const char *more;
        bool in_body;
    } cases[] = {
        {"", false},
        {"\"token_endpoint_auth_methods_supported\":[\"client_secret_post\"],", true},
        {"\"token_endpoint_auth_methods_supported\":[\"client_secret_post\","
         "\"client_secret_basic\"],",
         false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct oidc_meta *m = meta_new(cases[i].more);

        assert_int_equal(m->secret_in_body, cases[i].in_body);
        oidc_meta_unref(m);
    }
}

static struct str query_of(struct arena *arena, struct str url, const char *name)
{
    struct str path, query, value = STR_NONE;

    (void)str_split(url, '?', &path, &query);
    if (!form_get(arena, query, str_from(name), &value))
        return STR("(absent)");
    return value;
}

/* headscale.md 11 #35, and 4.5: what the browser is sent with. */
static void the_way_there_says_everything(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct oidc_provider p = provider_new();
    struct oidc_meta *m = meta_new("");
    struct oidc_secrets s;
    struct buf url = BUF(8192), challenge = BUF(256);
    uint8_t hash[HASH_BYTES];

    (void)state;
    oidc_secrets_make(&s);
    oidc_put_authorize_url(&url, &p, m, &s, STR("https://vpn/oidc/callback"));
    assert_true(str_starts(buf_str(&url), STR("https://idp/a?client_id=us&")));
    assert_str(query_of(arena, buf_str(&url), "redirect_uri"), STR("https://vpn/oidc/callback"));
    assert_str(query_of(arena, buf_str(&url), "response_type"), STR("code"));
    assert_str(query_of(arena, buf_str(&url), "scope"), STR("openid email"));
    assert_str(query_of(arena, buf_str(&url), "state"), str_from(s.state));
    assert_str(query_of(arena, buf_str(&url), "nonce"), str_from(s.nonce));
    assert_str(query_of(arena, buf_str(&url), "domain_hint"), STR("a&b c"));
    sha256(str_from(s.verifier), hash);
    buf_put_base64url(&challenge, str_bytes(hash, sizeof(hash)));
    assert_str(query_of(arena, buf_str(&url), "code_challenge"), buf_str(&challenge));
    assert_str(query_of(arena, buf_str(&url), "code_challenge_method"), STR("S256"));
    assert_true(str_find(buf_str(&url), str_from(s.verifier)) < 0);

    buf_clear(&url);
    p.pkce = OIDC_PKCE_PLAIN;
    oidc_put_authorize_url(&url, &p, m, &s, STR("https://vpn/oidc/callback"));
    assert_str(query_of(arena, buf_str(&url), "code_challenge"), str_from(s.verifier));
    assert_str(query_of(arena, buf_str(&url), "code_challenge_method"), STR("plain"));

    buf_clear(&url);
    p.pkce = OIDC_PKCE_NONE;
    str_free(&m->authorize_url);
    m->authorize_url = str_copy(STR("https://idp/a?tenant=1"));
    oidc_put_authorize_url(&url, &p, m, &s, STR("https://vpn/oidc/callback"));
    assert_true(str_starts(buf_str(&url), STR("https://idp/a?tenant=1&client_id=us&")));
    assert_str(query_of(arena, buf_str(&url), "code_challenge"), STR("(absent)"));
    buf_fini(&challenge);
    buf_fini(&url);
    oidc_meta_unref(m);
}

/* Signature, claims and keys together, as after a code was redeemed. */
static void the_token_is_taken_or_not(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct signer old = signer_new("old", "RS256"), fresh = signer_new("new", "ES256");
    const struct oidc_provider p = provider_new();
    struct oidc_meta *m = meta_new("");
    struct oidc_secrets s;
    struct err err = {0};
    int64_t now = clock_unix_ms();

    (void)state;
    oidc_secrets_make(&s);
    assert_int_equal(jwks_parse(signers_jwks(&old, 1, arena, ""), &m->keys, &err), 0);
    struct str claims =
        arena_printf(arena,
                     "{\"iss\":\"https://idp\",\"aud\":\"us\",\"sub\":\"alice\",\"nonce\":\"%s\","
                     "\"iat\":%lld,\"exp\":%lld}",
                     s.nonce, (long long)(now / 1000), (long long)(now / 1000 + 60));
    struct oidc_exchange x = {.provider = &p, .meta = m, .secrets = &s, .arena = arena};

    x.id_token = signer_sign(&old, arena, NULL, claims);
    assert_int_equal(oidc_exchange_verify(&x, now), OIDC_OK);
    assert_str(x.claims.subject, STR("alice"));
    assert_int_equal(oidc_exchange_verify(&x, now + 121000), OIDC_REFUSED);

    /* A key that came since; then it is there. */
    x.id_token = signer_sign(&fresh, arena, NULL, claims);
    assert_int_equal(oidc_exchange_verify(&x, now), OIDC_UNKNOWN_KEY);
    jwks_unref(m->keys);
    assert_int_equal(jwks_parse(signers_jwks(&fresh, 1, arena, ""), &m->keys, &err), 0);
    assert_int_equal(oidc_exchange_verify(&x, now), OIDC_OK);

    /* Another log-in's. */
    oidc_secrets_make(&s);
    assert_int_equal(oidc_exchange_verify(&x, now), OIDC_REFUSED);
    x.id_token = STR("not.a.token");
    assert_int_equal(oidc_exchange_verify(&x, now), OIDC_REFUSED);
    oidc_meta_unref(m);
    signer_free(&old);
    signer_free(&fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(discovery_is_believed_within_bounds),
        cmocka_unit_test(the_secret_goes_where_it_is_wanted),
        cmocka_unit_test(the_way_there_says_everything),
        cmocka_unit_test(the_token_is_taken_or_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
