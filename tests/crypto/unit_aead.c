#include "../unit.h"

#include <pthread.h>

#include "../hex.h"
#include "crypto/aead.h"

/* RFC 8439, 2.8.2. */
static const char rfc_key[] = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
static const char rfc_nonce[] = "070000004041424344454647";
static const struct str rfc_ad = STR_INIT("\x50\x51\x52\x53\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7");
static const struct str rfc_plain =
    STR_INIT("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
             "future, sunscreen would be it.");
static const char rfc_sealed[] =
    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
    "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
    "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
    "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691";

struct fixture {
    uint8_t key[AEAD_KEY_BYTES];
    uint8_t nonce[AEAD_NONCE_BYTES];
    struct aead_key seal, open;
};

static int set_up(void **state)
{
    static struct fixture f;

    hex_into(rfc_key, f.key, sizeof(f.key));
    hex_into(rfc_nonce, f.nonce, sizeof(f.nonce));
    aead_key_init(&f.seal, AEAD_SEAL, f.key);
    aead_key_init(&f.open, AEAD_OPEN, f.key);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    aead_key_fini(&f->seal);
    aead_key_fini(&f->open);
    aead_key_fini(&f->open);
    return 0;
}

static void agrees_with_the_rfc_again_and_again(void **state)
{
    struct fixture *f = *state;
    uint8_t sealed[256], plain[256];
    size_t len = rfc_plain.len + AEAD_TAG_BYTES;

    for (int i = 0; i < 3; i++) {
        aead_seal(&f->seal, f->nonce, rfc_ad, rfc_plain, sealed);
        assert_hex(sealed, len, rfc_sealed);
        assert_true(aead_open(&f->open, f->nonce, rfc_ad, str_bytes(sealed, len), plain));
        assert_str(str_bytes(plain, rfc_plain.len), rfc_plain);
    }
    aead_seal_once(f->key, f->nonce, rfc_ad, rfc_plain, sealed);
    assert_hex(sealed, len, rfc_sealed);
    assert_true(aead_open_once(f->key, f->nonce, rfc_ad, str_bytes(sealed, len), plain));
    assert_str(str_bytes(plain, rfc_plain.len), rfc_plain);
}

static void works_in_place(void **state)
{
    struct fixture *f = *state;
    uint8_t data[256];
    size_t len = rfc_plain.len + AEAD_TAG_BYTES;

    memcpy(data, rfc_plain.ptr, rfc_plain.len);
    aead_seal(&f->seal, f->nonce, rfc_ad, str_bytes(data, rfc_plain.len), data);
    assert_hex(data, len, rfc_sealed);
    assert_true(aead_open(&f->open, f->nonce, rfc_ad, str_bytes(data, len), data));
    assert_str(str_bytes(data, rfc_plain.len), rfc_plain);
}

static void every_flipped_bit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct buf sealed = from_hex(rfc_sealed);
    uint8_t plain[256];

    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        memset(plain, 0xa5, sizeof(plain));
        sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ (1 << bit % 8));
        assert_false(aead_open(&f->open, f->nonce, rfc_ad, buf_str(&sealed), plain));
        for (size_t i = 0; i < rfc_plain.len; i++)
            assert_int_equal(plain[i], 0);
        assert_false(aead_open_once(f->key, f->nonce, rfc_ad, buf_str(&sealed), plain));
        sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ (1 << bit % 8));
    }
    assert_true(aead_open(&f->open, f->nonce, rfc_ad, buf_str(&sealed), plain));
    buf_fini(&sealed);
}

static void wrong_surroundings_are_refused(void **state)
{
    struct fixture *f = *state;
    struct buf sealed = from_hex(rfc_sealed);
    uint8_t plain[256], nonce[AEAD_NONCE_BYTES];

    memcpy(nonce, f->nonce, sizeof(nonce));
    nonce[11] ^= 1;
    assert_false(aead_open(&f->open, nonce, rfc_ad, buf_str(&sealed), plain));
    assert_false(aead_open(&f->open, f->nonce, STR_NONE, buf_str(&sealed), plain));
    for (size_t len = 0; len < sealed.len; len++)
        assert_false(
            aead_open(&f->open, f->nonce, rfc_ad, str_sub(buf_str(&sealed), 0, len), plain));
    buf_fini(&sealed);
}

static void empty_text_has_a_tag(void **state)
{
    struct fixture *f = *state;
    uint8_t tag[AEAD_TAG_BYTES], once[AEAD_TAG_BYTES], nothing[1];

    aead_seal(&f->seal, f->nonce, STR_NONE, STR_NONE, tag);
    aead_seal_once(f->key, f->nonce, STR_NONE, STR_NONE, once);
    assert_memory_equal(tag, once, sizeof(tag));
    assert_true(aead_open(&f->open, f->nonce, STR_NONE, str_bytes(tag, sizeof(tag)), nothing));
    assert_true(aead_open_once(f->key, f->nonce, STR_NONE, str_bytes(tag, sizeof(tag)), nothing));
    tag[0] ^= 1;
    assert_false(aead_open(&f->open, f->nonce, STR_NONE, str_bytes(tag, sizeof(tag)), nothing));
}

#define THREADS 4
#define LONG 3000

/* Contexts are a thread's own, and go with it. */
static void *seal_and_open(void *user)
{
    const struct fixture *f = user;
    uint8_t text[LONG] = {7}, sealed[LONG + AEAD_TAG_BYTES], plain[LONG];

    for (unsigned i = 0; i < 50; i++) {
        text[0] = (uint8_t)i;
        aead_seal(&f->seal, f->nonce, STR_NONE, str_bytes(text, sizeof(text)), sealed);
        if (!aead_open(&f->open, f->nonce, STR_NONE, str_bytes(sealed, sizeof(sealed)), plain) ||
            memcmp(plain, text, sizeof(text)) != 0)
            return NULL;
    }
    return user;
}

static void threads_share_keys(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, seal_and_open, f), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *done = NULL;

        assert_int_equal(pthread_join(threads[i], &done), 0);
        assert_non_null(done);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(agrees_with_the_rfc_again_and_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(works_in_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_flipped_bit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_surroundings_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_text_has_a_tag, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_share_keys, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
