#include "crypto/p256.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/ec.h>
#include <openssl/encoder.h>
#include <openssl/evp.h>

#include "core/mem.h"

#define PEM_MAX ((size_t)64 << 10)

struct p256_key {
    EVP_PKEY *key;
};

static struct p256_key *wrap(EVP_PKEY *key)
{
    struct p256_key *k = NEW(struct p256_key);

    k->key = key;
    return k;
}

struct p256_key *p256_key_new(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    ASSERT(key);
    return wrap(key);
}

static bool is_on_p256(const EVP_PKEY *key)
{
    char name[64];
    size_t n = 0;

    return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof(name),
                                          &n) == 1 &&
           str_eq(str_bytes(name, n), STR("prime256v1"));
}

struct p256_key *p256_key_parse(struct str pem)
{
    const unsigned char *at = (const unsigned char *)pem.ptr;
    EVP_PKEY *key = NULL;
    size_t left = pem.len;
    OSSL_DECODER_CTX *ctx =
        OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, "EC", EVP_PKEY_KEYPAIR, NULL, NULL);

    /* An empty passphrase: OpenSSL would ask on the terminal. */
    bool ok = ctx && pem.len <= PEM_MAX &&
              OSSL_DECODER_CTX_set_passphrase(ctx, (const unsigned char *)"", 0) == 1 &&
              OSSL_DECODER_from_data(ctx, &at, &left) == 1 && key && is_on_p256(key);

    OSSL_DECODER_CTX_free(ctx);
    if (ok)
        return wrap(key);
    EVP_PKEY_free(key);
    return NULL;
}

void p256_key_free(struct p256_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->key);
    mem_free(key);
}

void p256_key_put(struct buf *out, const struct p256_key *key)
{
    unsigned char *data = NULL;
    size_t n = 0;
    OSSL_ENCODER_CTX *ctx =
        OSSL_ENCODER_CTX_new_for_pkey(key->key, EVP_PKEY_KEYPAIR, "PEM", "type-specific", NULL);

    ASSERT(ctx && OSSL_ENCODER_to_data(ctx, &data, &n) == 1);
    buf_put(out, str_bytes(data, n));
    OPENSSL_clear_free(data, n);
    OSSL_ENCODER_CTX_free(ctx);
}

static void put_number(const EVP_PKEY *key, const char *name, uint8_t out[P256_BYTES])
{
    BIGNUM *n = NULL;

    ASSERT(EVP_PKEY_get_bn_param(key, name, &n) == 1);
    ASSERT(BN_bn2binpad(n, out, P256_BYTES) == P256_BYTES);
    BN_free(n);
}

void p256_key_public(const struct p256_key *key, uint8_t x[P256_BYTES], uint8_t y[P256_BYTES])
{
    put_number(key->key, OSSL_PKEY_PARAM_EC_PUB_X, x);
    put_number(key->key, OSSL_PKEY_PARAM_EC_PUB_Y, y);
}

void p256_sign(const struct p256_key *key, struct str data, uint8_t out[P256_SIGNATURE_BYTES])
{
    unsigned char der[80];
    const unsigned char *at = der;
    size_t n = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    ASSERT(ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->key) == 1);
    ASSERT(EVP_DigestSign(ctx, der, &n, (const unsigned char *)data.ptr, data.len) == 1);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)n);

    ASSERT(sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, P256_BYTES) == P256_BYTES &&
           BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + P256_BYTES, P256_BYTES) == P256_BYTES);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
}
