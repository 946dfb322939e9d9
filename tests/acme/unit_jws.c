/* Signatures, against the examples of RFC 7515 and 7638's rule. */

#include "es256.h"

#include "acme/jws.h"
#include "json/value.h"

#define X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"

static bool verify(struct str input, struct str signature)
{
    AUTO_FINI(buf_fini) struct buf x = BUF(100), y = BUF(100), raw = BUF(100);

    return es256_verify(es256_decode(STR(X), &x), es256_decode(STR(Y), &y), input,
                        es256_decode(signature, &raw));
}

/* The verifier of these tests, before it judges anything. */
static void knows_the_rfcs_signature(void **state)
{
    struct str input = STR("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
                           "Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
    struct str signature = STR("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApm"
                               "WQxfKTUJqPP3-Kg6NU1Q");
    struct str other = STR("EtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApm"
                           "WQxfKTUJqPP3-Kg6NU1Q");

    (void)state;
    assert_true(verify(input, signature));
    assert_false(verify(input, other));
    assert_false(verify(STR("eyJhbGciOiJFUzI1NiJ9."), signature));
}

/* Takes a flat JWS apart; `header` is decoded into the arena's text. */
static struct json_value *take_apart(struct arena *a, struct str text, struct buf *input,
                                     struct str *signature, struct buf *payload)
{
    struct json_value *flat = NULL, *header = NULL;
    struct buf decoded = BUF(4096);

    assert_true(json_parse(a, text, NULL, &flat, NULL));
    assert_int_equal(json_len(flat), 3);
    buf_printf(input, "%.*s.%.*s", STR_ARG(json_get_str(flat, "protected")),
               STR_ARG(json_get_str(flat, "payload")));
    (void)es256_decode(json_get_str(flat, "payload"), payload);
    *signature = json_get_str(flat, "signature");
    assert_true(json_parse(a,
                           arena_copy(a, es256_decode(json_get_str(flat, "protected"), &decoded)),
                           NULL, &header, NULL));
    buf_fini(&decoded);
    return header;
}

static void signs_as_the_account(void **state)
{
    struct p256_key *key = p256_key_parse(STR(RFC7515_KEY));
    static const char *const kids[] = {"", "https://ca.example/acct/7"};

    (void)state;
    assert_non_null(key);
    for (size_t i = 0; i < ARRAY_LEN(kids); i++) {
        AUTO_FINI(buf_fini) struct buf text = BUF(65536), input = BUF(65536), payload = BUF(4096);
        AUTO(arena_free) struct arena *a = arena_new();
        struct acme_jws jws = {key, str_from(kids[i]), STR("n0nce"), STR("https://ca.example/x")};
        struct str signature;

        acme_put_jws(&text, &jws, i == 0 ? STR("{\"a\":1}") : STR_NONE);
        const struct json_value *h = take_apart(a, buf_str(&text), &input, &signature, &payload);

        assert_true(verify(buf_str(&input), signature));
        assert_str(buf_str(&payload), i == 0 ? STR("{\"a\":1}") : STR_NONE);
        assert_str(json_get_str(h, "alg"), STR("ES256"));
        assert_str(json_get_str(h, "nonce"), STR("n0nce"));
        assert_str(json_get_str(h, "url"), STR("https://ca.example/x"));
        assert_str(json_get_str(h, "kid"), str_from(kids[i]));
        /* One of the two, never both. */
        assert_true((json_get(h, "jwk") != NULL) == (i == 0));
        if (i == 0) {
            assert_str(json_get_str(json_get(h, "jwk"), "x"), STR(X));
            assert_str(json_get_str(json_get(h, "jwk"), "y"), STR(Y));
            assert_str(json_get_str(json_get(h, "jwk"), "kty"), STR("EC"));
        }
    }
    p256_key_free(key);
}

static void knows_its_thumbprint(void **state)
{
    struct p256_key *key = p256_key_parse(STR(RFC7515_KEY));
    AUTO_FINI(buf_fini) struct buf text = BUF(1024);

    (void)state;
    acme_put_key_authorization(&text, key, STR("to-ken"));
    assert_str(buf_str(&text), STR("to-ken.oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"));
    p256_key_free(key);
}

/* The MAC is HS256's of RFC 7515 A.1 as far as the function goes (crypto/hash); here what is in it.
 */
static void binds_to_a_customer(void **state)
{
    AUTO_FINI(buf_fini)
    struct buf text = BUF(65536), input = BUF(65536), payload = BUF(4096), mac = BUF(100);
    AUTO(arena_free) struct arena *a = arena_new();
    struct p256_key *key = p256_key_parse(STR(RFC7515_KEY));
    struct str secret = STR("0123456789abcdef"), signature;
    unsigned char want[32];

    (void)state;
    acme_put_binding(&text, key, STR("kid-1"), secret, STR("https://ca.example/new-acct"));
    const struct json_value *h = take_apart(a, buf_str(&text), &input, &signature, &payload);

    assert_str(json_get_str(h, "alg"), STR("HS256"));
    assert_str(json_get_str(h, "kid"), STR("kid-1"));
    assert_str(json_get_str(h, "url"), STR("https://ca.example/new-acct"));
    assert_null(json_get(h, "nonce"));
    assert_str(buf_str(&payload),
               STR("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"" X "\",\"y\":\"" Y "\"}"));
    assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, secret.ptr, secret.len,
                              (const unsigned char *)input.ptr, input.len, want, sizeof(want),
                              NULL));
    assert_str(es256_decode(signature, &mac), str_bytes(want, sizeof(want)));
    p256_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_rfcs_signature),
        cmocka_unit_test(signs_as_the_account),
        cmocka_unit_test(knows_its_thumbprint),
        cmocka_unit_test(binds_to_a_customer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
