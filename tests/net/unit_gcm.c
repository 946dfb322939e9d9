/*
 * AES-128-GCM: against the specification's test cases, against OpenSSL for every length up to 800
 * and made-up ones above, forged; where it is there.
 */

#include "../unit.h"

#include <openssl/evp.h>

#include "core/buf.h"
#include "core/rand.h"
#include "net/gcm_internal.h"

#define LONG 20000
#define GCM_AD_MAX 16

/* McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B: cases 1 to 4. */
static const struct {
    const char *name;
    struct str key, iv, ad, plain, sealed; /* hexadecimal; `sealed` with its tag */
} cases[] = {
    {"one block of zeros", STR("00000000000000000000000000000000"), STR("000000000000000000000000"),
     STR(""), STR("00000000000000000000000000000000"),
     STR("0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf")},
    {"four blocks", STR("feffe9928665731c6d6a8f9467308308"), STR("cafebabefacedbaddecaf888"),
     STR(""),
     STR("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
         "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"),
     STR("42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
         "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
         "4d5c2af327cd64a62cf35abd2ba6fab4")},
};

static size_t unhex(struct str hex, uint8_t *out)
{
    assert_true(hex_decode(hex, out, hex.len / 2));
    return hex.len / 2;
}

static void check_case(size_t i)
{
    uint8_t key[GCM_KEY], iv[GCM_IV], plain[64], sealed[64 + GCM_TAG], got[64 + GCM_TAG];

    print_message("%s\n", cases[i].name);
    unhex(cases[i].key, key);
    unhex(cases[i].iv, iv);
    size_t len = unhex(cases[i].plain, plain), sealed_len = unhex(cases[i].sealed, sealed);
    struct gcm *g = gcm_new(key);

    gcm_seal(g, iv, STR_NONE, plain, len - 1, plain[len - 1], got);
    assert_memory_equal(got, sealed, sealed_len);
    assert_true(gcm_open(g, iv, STR_NONE, sealed, len, got));
    assert_memory_equal(got, plain, len);
    gcm_free(g);
}

static void check_cases(void)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_case(i);
}

static void agrees_with_its_specification(void **state)
{
    (void)state;
    check_cases();
}

/* ---- OpenSSL beside it ---- */

struct message {
    uint8_t key[GCM_KEY], iv[GCM_IV], ad[GCM_AD_MAX];
    size_t ad_len, len;
    uint8_t plain[LONG];
    uint8_t sealed[LONG + GCM_TAG];
};

static void seal_by_openssl(struct message *m)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, last = 0;

    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, m->key, m->iv), 1);
    if (m->ad_len > 0)
        assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &n, m->ad, (int)m->ad_len), 1);
    n = 0;
    if (m->len > 0)
        assert_int_equal(EVP_EncryptUpdate(ctx, m->sealed, &n, m->plain, (int)m->len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, m->sealed + n, &last), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG, m->sealed + m->len),
                     1);
    EVP_CIPHER_CTX_free(ctx);
}

static struct message *make_up(size_t len)
{
    struct message *m = NEW(struct message);

    rand_bytes(m->key, sizeof(m->key));
    rand_bytes(m->iv, sizeof(m->iv));
    rand_bytes(m->ad, sizeof(m->ad));
    rand_bytes(m->plain, len);
    m->ad_len = rand_below(GCM_AD_MAX + 1);
    m->len = len;
    seal_by_openssl(m);
    return m;
}

/* Exactly as much memory as there may be read and written, for the address sanitizer to see. */
static void check_length(size_t len)
{
    struct message *m = make_up(len);
    struct gcm *g = gcm_new(m->key);
    struct str ad = str_bytes(m->ad, m->ad_len);
    uint8_t *sealed = mem_dup(m->sealed, len + GCM_TAG), *plain = mem_alloc(len);

    assert_true(gcm_open(g, m->iv, ad, sealed, len, plain));
    assert_memory_equal(plain, m->plain, len);
    if (len > 0) {
        uint8_t *got = mem_alloc(len + GCM_TAG), *but_one = mem_dup(m->plain, len - 1);

        gcm_seal(g, m->iv, ad, but_one, len - 1, m->plain[len - 1], got);
        assert_memory_equal(got, m->sealed, len + GCM_TAG);
        mem_free(got);
        mem_free(but_one);
    }
    mem_free(sealed);
    mem_free(plain);
    gcm_free(g);
    mem_free(m);
}

static void check_lengths(void)
{
    for (size_t len = 0; len <= 800; len++)
        check_length(len);
    for (size_t i = 0; i < 200; i++)
        check_length(rand_below(LONG + 1));
    check_length(LONG);
}

static void agrees_with_openssl(void **state)
{
    (void)state;
    check_lengths();
}

static void check_forged(void)
{
    static const size_t lengths[] = {1, 16, 102, 300, 1317};
    uint8_t plain[2000];

    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct message *m = make_up(lengths[i]);
        struct gcm *g = gcm_new(m->key);
        struct str ad = str_bytes(m->ad, m->ad_len);

        for (size_t bit = 0; bit < (m->len + GCM_TAG) * 8; bit++) {
            m->sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(gcm_open(g, m->iv, ad, m->sealed, m->len, plain));
            m->sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t bit = 0; bit < m->ad_len * 8; bit++) {
            m->ad[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(gcm_open(g, m->iv, ad, m->sealed, m->len, plain));
            m->ad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        m->iv[rand_below(GCM_IV)] ^= 1;
        assert_false(gcm_open(g, m->iv, ad, m->sealed, m->len, plain));
        gcm_free(g);
        mem_free(m);
    }
}

static void refuses_what_was_forged(void **state)
{
    (void)state;
    check_forged();
}

int main(void)
{
    if (!gcm_is_there()) {
        print_message("not for this processor, or not in this build: nothing to test\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_its_specification),
        cmocka_unit_test(agrees_with_openssl),
        cmocka_unit_test(refuses_what_was_forged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
