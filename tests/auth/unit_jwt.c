/* Tokens and key sets, with keys made for the run: what is signed well passes, nothing else does.
 */

#include "tokens.h"

static const struct str claims = STR_INIT("{\"sub\":\"248289761001\"}");

struct fixture {
    struct arena *arena;
    struct signer rsa, other, ec;
    struct jwks *keys; /* rsa and ec */
};

static int set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);
    struct err err = {0};

    f->arena = arena_new();
    f->rsa = signer_new("one", "RS256");
    f->other = signer_new("one", "RS256");
    f->ec = signer_new("two", "ES256");
    const struct signer known[] = {f->rsa, f->ec};
    assert_int_equal(
        jwks_parse(signers_jwks(known, 2, f->arena, "\"use\":\"sig\","), &f->keys, &err), 0);
    assert_int_equal(jwks_len(f->keys), 2);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    jwks_unref(f->keys);
    signer_free(&f->rsa);
    signer_free(&f->other);
    signer_free(&f->ec);
    arena_free(f->arena);
    mem_free(f);
    return 0;
}

static enum jwt_verdict verdict_of(struct fixture *f, const struct jwks *keys, struct str text)
{
    struct jwt token;
    struct err err = {0};

    assert_int_equal(jwt_decode(f->arena, text, &token, &err), 0);
    return jwks_verify(keys, &token);
}

static void every_algorithm_is_verified(void **state)
{
    static const char *const algs[] = {"RS256", "RS384", "RS512", "PS256", "PS384",
                                       "PS512", "ES256", "ES384", "ES512"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
        struct signer s = signer_new("k", algs[i]);
        struct jwks *keys = NULL;
        struct jwt token;
        struct err err = {0};

        print_message("%s\n", algs[i]);
        assert_int_equal(jwks_parse(signers_jwks(&s, 1, f->arena, ""), &keys, &err), 0);
        struct str text = signer_sign(&s, f->arena, NULL, claims);
        assert_int_equal(jwt_decode(f->arena, text, &token, &err), 0);
        assert_int_equal(jwks_verify(keys, &token), JWT_GOOD);
        assert_str(token.alg, str_from(algs[i]));
        assert_str(token.kid, STR("k"));
        assert_str(json_get_str(token.payload, "sub"), STR("248289761001"));
        jwks_unref(keys);
        signer_free(&s);
    }
}

static void another_hand_is_a_forgery(void **state)
{
    struct fixture *f = *state;
    struct signer renamed = f->other;

    assert_int_equal(verdict_of(f, f->keys, signer_sign(&f->other, f->arena, NULL, claims)),
                     JWT_FORGED);
    renamed.kid = "three";
    assert_int_equal(verdict_of(f, f->keys, signer_sign(&renamed, f->arena, NULL, claims)),
                     JWT_UNKNOWN_KEY);
    renamed.kid = NULL;
    assert_int_equal(verdict_of(f, f->keys, signer_sign(&renamed, f->arena, NULL, claims)),
                     JWT_UNKNOWN_KEY);
    assert_int_equal(verdict_of(f, NULL, signer_sign(&f->rsa, f->arena, NULL, claims)),
                     JWT_UNKNOWN_KEY);
}

/* Each byte of the token counts. */
static void a_changed_byte_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct str good = signer_sign(&f->ec, f->arena, NULL, claims);

    assert_int_equal(verdict_of(f, f->keys, good), JWT_GOOD);
    for (size_t i = 0; i < good.len; i++) {
        struct str bad = arena_copy(f->arena, good);
        char *at = (char *)(uintptr_t)&bad.ptr[i];
        struct jwt token;
        struct err err = {0};

        /* The last digit of a part may hold bits that belong to no byte. */
        if (*at == '.' || i + 1 == good.len || good.ptr[i + 1] == '.')
            continue;
        *at = *at == 'A' ? 'B' : 'A';
        if (jwt_decode(f->arena, bad, &token, &err) == 0)
            assert_int_not_equal(jwks_verify(f->keys, &token), JWT_GOOD);
    }
}

static struct str token_of(struct fixture *f, const char *header, const char *payload,
                           const char *signature)
{
    struct buf out = BUF(1 << 20);

    buf_put_base64url(&out, str_from(header));
    buf_put_char(&out, '.');
    buf_put_base64url(&out, str_from(payload));
    buf_put_char(&out, '.');
    buf_put(&out, str_from(signature));
    struct str text = arena_copy(f->arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

static void what_is_no_token_is_refused(void **state)
{
    static const struct {
        const char *name, *header, *payload, *signature;
    } cases[] = {
        {"no algorithm at all", "{\"alg\":\"none\"}", "{}", "AAAA"},
        {"none, spelled otherwise", "{\"alg\":\"NoNe\"}", "{}", "AAAA"},
        {"a shared secret", "{\"alg\":\"HS256\"}", "{}", "AAAA"},
        {"no alg", "{\"kid\":\"one\"}", "{}", "AAAA"},
        {"alg is no text", "{\"alg\":256}", "{}", "AAAA"},
        {"encrypted", "{\"alg\":\"RSA-OAEP\",\"enc\":\"A128GCM\"}", "{}", "AAAA"},
        {"alg twice", "{\"alg\":\"RS256\",\"alg\":\"RS256\"}", "{}", "AAAA"},
        {"crit", "{\"alg\":\"RS256\",\"crit\":[\"x\"]}", "{}", "AAAA"},
        {"not encoded", "{\"alg\":\"RS256\",\"b64\":false}", "{}", "AAAA"},
        {"kid is no text", "{\"alg\":\"RS256\",\"kid\":7}", "{}", "AAAA"},
        {"header is a list", "[]", "{}", "AAAA"},
        {"payload is a list", "{\"alg\":\"RS256\"}", "[]", "AAAA"},
        {"payload is no JSON", "{\"alg\":\"RS256\"}", "{", "AAAA"},
        {"a claim twice", "{\"alg\":\"RS256\"}", "{\"sub\":\"a\",\"sub\":\"b\"}", "AAAA"},
        {"no signature", "{\"alg\":\"RS256\"}", "{}", ""},
        {"four parts", "{\"alg\":\"RS256\"}", "{}", "AAAA.AAAA"},
        {"padding", "{\"alg\":\"RS256\"}", "{}", "AAA="},
    };
    struct fixture *f = *state;
    struct jwt token;
    struct err err = {0};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%s\n", cases[i].name);
        assert_true(jwt_decode(f->arena,
                               token_of(f, cases[i].header, cases[i].payload, cases[i].signature),
                               &token, &err) < 0);
    }
    struct buf big = BUF(0);
    for (size_t i = 0; i <= JWT_MAX; i++)
        buf_put_char(&big, 'A');
    assert_int_equal(jwt_decode(f->arena, buf_str(&big), &token, &err), -ERR_LIMIT);
    buf_fini(&big);
    assert_true(jwt_decode(f->arena, STR_NONE, &token, &err) < 0);
}

/* RFC 8725 3.1: the key's own word about what it is for. */
static void a_key_is_used_for_what_it_is_for(void **state)
{
    struct fixture *f = *state;
    struct str text = signer_sign(&f->rsa, f->arena, "PS256", claims);
    struct jwks *keys = NULL;
    struct err err = {0};

    assert_int_equal(verdict_of(f, f->keys, text), JWT_GOOD);
    assert_int_equal(
        jwks_parse(signers_jwks(&f->rsa, 1, f->arena, "\"alg\":\"RS256\","), &keys, &err), 0);
    assert_int_equal(verdict_of(f, keys, text), JWT_UNKNOWN_KEY);
    jwks_unref(keys);
    assert_int_equal(
        jwks_parse(signers_jwks(&f->rsa, 1, f->arena, "\"use\":\"enc\","), &keys, &err), 0);
    assert_int_equal(jwks_len(keys), 0);
    jwks_unref(keys);
}

static void useless_keys_are_left_out(void **state)
{
    static const struct {
        const char *name, *text;
        int status;
    } cases[] = {
        {"none", "{\"keys\":[]}", 0},
        {"no list", "{\"keys\":{}}", -ERR_INVALID},
        {"nothing", "{}", -ERR_INVALID},
        {"no JSON", "{\"keys\":[", -ERR_INVALID},
        {"a secret", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", 0},
        {"Edwards", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}", 0},
        {"no numbers", "{\"keys\":[{\"kty\":\"RSA\"},{\"kty\":\"EC\"},7,null,\"x\"]}", 0},
        {"512 bits",
         "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
         0},
        {"no point of the curve",
         "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
         "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
         "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}",
         0},
        {"padding amid a coordinate",
         "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
         "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8TussubHvRVEU\","
         "\"y\":\"x_FEzRu9m36HL=_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
         0},
        {"a coordinate of a length that no bytes have",
         "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
         "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8TussubHvRVEUAA\","
         "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
         0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct jwks *keys = NULL;
        struct err err = {0};

        print_message("%s\n", cases[i].name);
        assert_int_equal(jwks_parse(str_from(cases[i].text), &keys, &err), cases[i].status);
        assert_int_equal(jwks_len(keys), 0);
        jwks_unref(keys);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_algorithm_is_verified, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_hand_is_a_forgery, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_changed_byte_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_token_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_is_used_for_what_it_is_for, set_up, tear_down),
        cmocka_unit_test(useless_keys_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
