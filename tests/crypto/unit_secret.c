#include "../unit.h"

#include "crypto/hash.h"
#include "crypto/secret.h"

#define SECRET_A "ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d19d3"

static const struct {
    const char *name;
    struct str text;
    bool ok;
} texts[] = {
    {"a token", STR_INIT("hskey-auth-5cd95d4860a4-" SECRET_A), true},
    {"base64 with dashes in it",
     STR_INIT("hskey-auth-5-_95d4860-4-Zz4d6d0-_d4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d"
              "19d3"),
     true},
    {"another kind", STR_INIT("hskey-api-5cd95d4860a4-" SECRET_A), false},
    {"no secret", STR_INIT("hskey-auth-5cd95d4860a4-"), false},
    {"the kind alone", STR_INIT("hskey-auth-"), false},
    {"nothing", STR_INIT(""), false},
    {"a secret too long", STR_INIT("hskey-auth-5cd95d4860a4-" SECRET_A "0"), false},
    {"an id too short", STR_INIT("hskey-auth-5cd95d4860a-0" SECRET_A), false},
    {"a strange character",
     STR_INIT("hskey-auth-5cd95d4860a4-ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d6d08ad4d"
              "19d%"),
     false},
};

static void splits_each_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct str id = STR("none"), secret = STR("none");

        print_message("%s\n", texts[i].name);
        assert_int_equal(secret_token_split(texts[i].text, STR("hskey-auth-"), &id, &secret),
                         texts[i].ok);
        assert_int_equal(id.len, texts[i].ok ? SECRET_ID_CHARS : 4);
        assert_int_equal(secret.len, texts[i].ok ? SECRET_CHARS : 4);
    }
}

static void made_tokens_split_and_match(void **state)
{
    static const struct str kind = STR_INIT("hskey-auth-");
    struct secret_token a, b;
    struct str id, secret;

    (void)state;
    secret_token_make(&a, kind);
    secret_token_make(&b, kind);
    assert_true(secret_token_split(buf_str(&a.text), kind, &id, &secret));
    assert_str(str_bytes(a.id, sizeof(a.id)), id);
    assert_true(secret_hash_matches(secret, a.hash));
    assert_false(secret_hash_matches(secret, b.hash));
    assert_false(secret_hash_matches(str_sub(secret, 0, 63), a.hash));
    assert_false(secret_hash_matches(STR_NONE, a.hash));
    assert_memory_not_equal(a.id, b.id, sizeof(a.id));
    secret_token_fini(&a);
    secret_token_fini(&b);
    secret_token_fini(&b);
}

static void hash_is_plain_sha256(void **state)
{
    uint8_t got[SECRET_HASH_BYTES], want[HASH_BYTES];

    (void)state;
    secret_hash(STR(SECRET_A), got);
    sha256(STR(SECRET_A), want);
    assert_memory_equal(got, want, sizeof(got));
}

static void hex_has_the_length_asked_for(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++) {
        struct buf out = BUF(1024);
        uint8_t bytes[70];

        secret_put_hex(&out, n);
        assert_int_equal(out.len, 2 * n);
        assert_true(hex_decode(buf_str(&out), bytes, n));
        buf_fini(&out);
    }
}

/* A vector that many bcrypt implementations share. */
#define BCRYPT_ABC "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"

static const struct {
    const char *name;
    struct str secret;
    struct str hash;
    bool is_hash;
    bool ok;
} imported[] = {
    {"the secret", STR_INIT("abc"), STR_INIT(BCRYPT_ABC), true, true},
    {"another secret", STR_INIT("abd"), STR_INIT(BCRYPT_ABC), true, false},
    {"nothing", STR_INIT(""), STR_INIT(BCRYPT_ABC), true, false},
    {"NUL in it", STR_INIT("abc\0d"), STR_INIT(BCRYPT_ABC), true, false},
    {"past 72 bytes",
     STR_INIT("0123456789012345678901234567890123456789012345678901234567890123456789012"),
     STR_INIT(BCRYPT_ABC), true, false},
    {"no hash", STR_INIT("abc"), STR_INIT(""), false, false},
    {"a hash cut short", STR_INIT("abc"),
     STR_INIT("$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0"), false, false},
    {"a cost that takes hours", STR_INIT("abc"),
     STR_INIT("$2a$31$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"), false, false},
    {"another scheme", STR_INIT("abc"),
     STR_INIT("$6$a06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"), false, false},
    {"a failure token of libcrypt", STR_INIT("abc"), STR_INIT("*0"), false, false},
};

static void checks_imported_hashes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(imported); i++) {
        print_message("%s\n", imported[i].name);
        assert_int_equal(secret_is_bcrypt(imported[i].hash), imported[i].is_hash);
        assert_int_equal(secret_bcrypt_matches(imported[i].secret, imported[i].hash),
                         imported[i].ok);
    }
}

/* Made by another implementation (OpenSSL's), with headscale's settings and with cheap ones. */
static const struct {
    const char *name;
    const char *secret;
    const char *hash;
    bool is_hash, matches;
} argon2[] = {
    {"headscale's settings", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
     "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$mB4q+Ox+cVPM8KLWxSX1y4Kdj+"
     "wyf26brGZIIk99dpE",
     true, true},
    {"another secret", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdee",
     "$argon2id$v=19$m=8,t=1,p=1$EBESExQVFhcYGRobHB0eHw$um4x0gwWNyqEWyi0KhqG47INp7hhOt/"
     "InrY8aKuGaVQ",
     true, false},
    {"a short one", "right",
     "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$LA0RbDVlEzUY+"
     "I0j9NnfOqsGoC0YzGX8zeob7BM9nVM",
     true, true},
    {"empty secret", "",
     "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$LA0RbDVlEzUY+"
     "I0j9NnfOqsGoC0YzGX8zeob7BM9nVM",
     true, false},
    {"too much memory", "right",
     "$argon2id$v=19$m=65537,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$LA0RbDVlEzUY+"
     "I0j9NnfOqsGoC0YzGX8zeob7BM9nVM",
     false, false},
    {"too many passes", "right",
     "$argon2id$v=19$m=8,t=9,p=1$AAECAwQFBgcICQoLDA0ODw$LA0RbDVlEzUY+"
     "I0j9NnfOqsGoC0YzGX8zeob7BM9nVM",
     false, false},
    {"two lanes", "right",
     "$argon2id$v=19$m=8,t=1,p=2$AAECAwQFBgcICQoLDA0ODw$LA0RbDVlEzUY+"
     "I0j9NnfOqsGoC0YzGX8zeob7BM9nVM",
     false, false},
    {"argon2i", "right",
     "$argon2i$v=19$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$LA0RbDVlEzUY+I0j9NnfOqsGoC0YzGX8zeob7BM9nVM",
     false, false},
    {"cut short", "right", "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$LA0RbDVlEz", false,
     false},
    {"a number with a zero in front", "right",
     "$argon2id$v=19$m=08,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$LA0RbDVlEzUY+"
     "I0j9NnfOqsGoC0YzGX8zeob7BM9nVM",
     false, false},
    {"nothing behind", "right", "$argon2id$v=19$m=8,t=1,p=1$", false, false},
};

static void argon2_hashes_are_matched(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(argon2); i++) {
        print_message("%s\n", argon2[i].name);
        assert_int_equal(secret_is_argon2id(str_from(argon2[i].hash)), argon2[i].is_hash);
        assert_int_equal(secret_slow_matches(str_from(argon2[i].secret), str_from(argon2[i].hash)),
                         argon2[i].matches);
    }
    assert_true(secret_slow_matches(str_from(imported[0].secret.ptr), imported[0].hash) ==
                secret_bcrypt_matches(imported[0].secret, imported[0].hash));
    assert_false(secret_is_argon2id(STR_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_each_text),       cmocka_unit_test(made_tokens_split_and_match),
        cmocka_unit_test(hash_is_plain_sha256),   cmocka_unit_test(hex_has_the_length_asked_for),
        cmocka_unit_test(checks_imported_hashes), cmocka_unit_test(argon2_hashes_are_matched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
