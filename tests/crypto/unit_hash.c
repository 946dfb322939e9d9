#include "../unit.h"

#include "../hex.h"
#include "core/buf.h"
#include "crypto/hash.h"

/* RFC 7693, FIPS 180-4, and for the rest an independent implementation (Python's hashlib, hmac). */

static void hashes_known_texts(void **state)
{
    uint8_t got[HASH_BYTES];

    (void)state;
    blake2s(STR("abc"), got);
    assert_hex(got, 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
    blake2s(STR_NONE, got);
    assert_hex(got, 32, "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9");
    blake2s(STR("Noise_IK_25519_ChaChaPoly_BLAKE2s"), got);
    assert_hex(got, 32, "bbea022b948cf3bc5857d70804229179e1116bc40cb8cc074835349c464bca36");
    sha256(STR("abc"), got);
    assert_hex(got, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(STR_NONE, got);
    assert_hex(got, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void pieces_make_the_whole(void **state)
{
    uint8_t data[1000], got[HASH_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i % 251);
    for (size_t step = 1; step <= sizeof(data); step += 37) {
        struct blake2s h;

        blake2s_init(&h);
        for (size_t at = 0; at < sizeof(data); at += step)
            blake2s_feed(&h, str_sub(str_bytes(data, sizeof(data)), at, step));
        blake2s_final(&h, got);
        assert_hex(got, 32, "1c067a5e746fb0f6734efac9a8cdb0e11061f0077f255184365c690115392501");
        blake2s_fini(&h);
    }
}

/* RFC 4231, and the example of RFC 7515 A.1. */
static void hmac_sha256_of_known_texts(void **state)
{
    static const char key[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUu"
        "TwjAzZr1Z9CAow";
    AUTO_FINI(buf_fini) struct buf raw = BUF(100), text = BUF(100);
    uint8_t got[HASH_BYTES];
    char long_key[131];

    (void)state;
    sha256_hmac(STR("Jefe"), STR("what do ya want for nothing?"), got);
    assert_hex(got, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(long_key, 0xaa, sizeof(long_key));
    sha256_hmac(str_bytes(long_key, sizeof(long_key)),
                STR("Test Using Larger Than Block-Size Key - Hash Key First"), got);
    assert_hex(got, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_true(base64_decode(str_from(key), &raw));
    sha256_hmac(buf_str(&raw),
                STR("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4M"
                    "TkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"),
                got);
    buf_put_base64url(&text, str_bytes(got, sizeof(got)));
    assert_str(buf_str(&text), STR("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
}

static void hmac_of_short_and_long_keys(void **state)
{
    uint8_t key[32], long_key[100], got[HASH_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    memset(long_key, 'k', sizeof(long_key));
    blake2s_hmac(str_bytes(key, sizeof(key)), STR("hats of every size"), got);
    assert_hex(got, 32, "c9f67eb745649c93241587b049102f53dd104e15e674de4db9ad493a3abbb28e");
    blake2s_hmac(str_bytes(long_key, sizeof(long_key)), STR_NONE, got);
    assert_hex(got, 32, "7f7edc0fafb7f1209dcfcac6a608318cc8fb329dafea8601c52c4495215249d0");
    /* The output may be the key. */
    blake2s_hmac(str_bytes(key, sizeof(key)), STR("hats of every size"), key);
    assert_hex(key, 32, "c9f67eb745649c93241587b049102f53dd104e15e674de4db9ad493a3abbb28e");
}

static void hkdf_gives_two_keys(void **state)
{
    static const char first[] = "a9bd82696b0cd8ebdd9da9cb4ddf3323823f963a5bbf7a639c53aaa5a7c38c43";
    static const char second[] = "4957ba7c09affa9cf1268e5e23787c403371060be3c8fb4fc101fa745baa621c";
    uint8_t ck[32], ikm[32], one[32], two[32];

    (void)state;
    for (size_t i = 0; i < sizeof(ck); i++)
        ck[i] = (uint8_t)i;
    memset(ikm, 7, sizeof(ikm));
    noise_hkdf(ck, str_bytes(ikm, sizeof(ikm)), one, two);
    assert_hex(one, 32, first);
    assert_hex(two, 32, second);
    noise_hkdf(ck, str_bytes(ikm, sizeof(ikm)), ck, two);
    assert_hex(ck, 32, first);
    assert_hex(two, 32, second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_known_texts),          cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(hmac_of_short_and_long_keys), cmocka_unit_test(hmac_sha256_of_known_texts),
        cmocka_unit_test(hkdf_gives_two_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
