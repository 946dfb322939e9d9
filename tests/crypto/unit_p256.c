/* Keys on P-256: in both their spellings, and what is none. Signatures are tested with room acme.
 */

#include "../unit.h"

#include "../hex.h"
#include "crypto/p256.h"

#define PKCS8                                                            \
    "-----BEGIN PRIVATE KEY-----\n"                                      \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgIYqFkcVpSLQ5SKBJ\n" \
    "ZRLBsYwaq6sGLKlwFkiLFYueFpGhRANCAAThXZY9iOhwgnD0cfg0itatkrt17ZIi\n" \
    "blTz/DVTj2Nl+fG/oU8ioLUsn6SO72Trszz4WcKaMCyWbims/6TJThSt\n"         \
    "-----END PRIVATE KEY-----\n"
#define P384                                                             \
    "-----BEGIN EC PRIVATE KEY-----\n"                                   \
    "MIGkAgEBBDAYB5sE5yKJykJW+lzJqolCPZx1A+sjYAHdIg0G5hqyuSaxU1PTT8Or\n" \
    "NeI9feWT1MqgBwYFK4EEACKhZANiAASoRaEXwlageK507C8zW7t1XNTRS7ZN9V2C\n" \
    "pZylDIhrq7oYTxa10BOQ/ag8MqsIcckP3kRWR8i4oBWlIPYQ/VlYaUm5oRSVTUz0\n" \
    "DDFvpKn+ckZKPxKazw402qjlQkMF7LY=\n"                                 \
    "-----END EC PRIVATE KEY-----\n"

static void reads_what_it_writes(void **state)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(4096), again = BUF(4096);
    struct p256_key *key = p256_key_new(), *same, *other = p256_key_new();
    uint8_t x[32], y[32], x2[32], y2[32];

    (void)state;
    p256_key_put(&text, key);
    assert_true(str_starts(buf_str(&text), STR("-----BEGIN EC PRIVATE KEY-----\n")));
    same = p256_key_parse(buf_str(&text));
    assert_non_null(same);
    p256_key_put(&again, same);
    assert_str(buf_str(&again), buf_str(&text));
    p256_key_public(key, x, y);
    p256_key_public(same, x2, y2);
    assert_memory_equal(x, x2, 32);
    assert_memory_equal(y, y2, 32);
    p256_key_public(other, x2, y2);
    assert_memory_not_equal(x, x2, 32);
    p256_key_free(key);
    p256_key_free(same);
    p256_key_free(other);
}

static void reads_pkcs8(void **state)
{
    struct p256_key *key = p256_key_parse(STR(PKCS8));
    uint8_t x[32], y[32];

    (void)state;
    assert_non_null(key);
    p256_key_public(key, x, y);
    assert_hex(x, 32, "e15d963d88e8708270f471f8348ad6ad92bb75ed92226e54f3fc35538f6365f9");
    p256_key_free(key);
}

static void refuses_what_is_none(void **state)
{
    static const char *const texts[] = {
        "",
        "rubbish",
        P384,
        "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n"
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4V2WPYjocIJw9HH4NIrWrZK7de2S\n"
        "Im5U8/w1U49jZfnxv6FPIqC1LJ+kju9k67M8+FnCmjAslm4prP+kyU4UrQ==\n"
        "-----END PUBLIC KEY-----\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_null(p256_key_parse(str_from(texts[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(reads_pkcs8),
        cmocka_unit_test(refuses_what_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
