/*
 * Anybody's bytes as a token, a key set, a discovery document and claims. Laws: no token is good
 * under keys that nobody here can sign with; what is accepted has its parts inside its bounds; what
 * is read twice is the same; claims that are let in by a rule are let in by no rule, too.
 */

#include "auth/oidc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A public key whose other half is gone: RFC 7517 appendix A.1's P-256. */
static const struct str known_keys =
    STR_INIT("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"1\","
             "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
             "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}");

static void as_token(struct arena *arena, struct str in)
{
    struct jwks *keys = NULL;
    struct jwt one, two;
    struct err err = {0};

    if (jwt_decode(arena, in, &one, &err) < 0)
        return;
    ASSERT(jwt_decode(arena, in, &two, &err) == 0);
    ASSERT(str_eq(one.alg, two.alg) && str_eq(one.kid, two.kid));
    ASSERT(json_eq(one.payload, two.payload));
    ASSERT(!str_starts(one.alg, STR("HS")) && !str_eq_nocase(one.alg, STR("none")));
    ASSERT(jwks_parse(known_keys, &keys, &err) == 0 && jwks_len(keys) == 1);
    ASSERT(jwks_verify(keys, &one) != JWT_GOOD);
    jwks_unref(keys);
}

static void as_keys(struct arena *arena, struct str in)
{
    /* RFC 7515 A.3's token has another key than anybody would come upon. */
    static const struct str text = STR_INIT(
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leG"
        "FtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDx"
        "w5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1A");
    struct jwks *keys = NULL;
    struct jwt token;
    struct err err = {0};

    ASSERT(jwt_decode(arena, text, &token, &err) == 0);
    if (jwks_parse(in, &keys, &err) < 0)
        return;
    ASSERT(jwks_len(keys) <= JWKS_KEYS_MAX);
    IGNORE(jwks_verify(keys, &token));
    jwks_unref(keys);
}

static void as_claims(struct arena *arena, struct str in)
{
    static const struct str some[] = {STR_INIT("a"), STR_INIT("b"), STR_INIT("a@b")};
    const struct json_options options = {.max_nodes = 2000};
    const struct oidc_rules strict = {some, 3, some, 3, some, 3, true}, none = {0};
    struct json_value *v = NULL;
    struct oidc_claims c;
    struct err err = {0};

    if (!json_parse(arena, arena_copy(arena, in), &options, &v, NULL) ||
        oidc_claims_read(arena, v, &c, &err) < 0)
        return;
    ASSERT(c.subject.len > 0 && c.subject.len <= OIDC_SUBJECT_MAX);
    ASSERT(c.n_groups <= OIDC_GROUPS_MAX && c.email.len <= OIDC_TEXT_MAX);
    ASSERT(oidc_rules_refuse(&none, &c) == NULL);
    if (!oidc_rules_refuse(&strict, &c))
        ASSERT(c.email_verified && c.n_groups > 0 && str_find_char(c.email, '@') >= 0);
    /* Said by the user info endpoint as well, it changes nothing. */
    struct oidc_claims again = c;
    ASSERT(oidc_claims_overlay(arena, v, &again));
    ASSERT(str_eq(again.email, c.email) && again.email_verified == c.email_verified &&
           again.n_groups == c.n_groups && str_eq(again.name, c.name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct oidc_provider provider = {.issuer = STR_INIT("https://a")};

    if (size < 1 || size > 65536)
        return 0;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct str in = str_bytes(data + 1, size - 1);
    struct oidc_meta *m = NULL;
    struct err err = {0};

    switch (data[0] % 4) {
    case 0:
        as_token(arena, in);
        break;
    case 1:
        as_keys(arena, in);
        break;
    case 2:
        as_claims(arena, in);
        break;
    default:
        if (oidc_meta_parse(&provider, in, &m, &err) == 0)
            ASSERT(str_starts(m->token_url, STR("https://")) &&
                   str_starts(m->authorize_url, STR("https://")));
        oidc_meta_unref(m);
        break;
    }
    return 0;
}
