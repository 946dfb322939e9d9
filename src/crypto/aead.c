/*
 * Two libraries behind one shape. Records go through OpenSSL, whose combined assembly is the
 * fastest there is for kilobytes but whose context costs an allocation and a look-up to make, so it
 * is made once per direction. Single messages go through libsodium, which needs no context.
 */

#include "crypto/aead.h"

#include <openssl/evp.h>
#include <sodium.h>

#include "core/mem.h"
#include "crypto/crypto_internal.h"

static const unsigned char *bytes_of(struct str s)
{
    return (const unsigned char *)s.ptr;
}

void aead_key_init(struct aead_key *k, enum aead_use use, const uint8_t key[AEAD_KEY_BYTES])
{
    k->ctx = EVP_CIPHER_CTX_new();
    ASSERT(k->ctx);
    ASSERT(EVP_CipherInit_ex(k->ctx, EVP_chacha20_poly1305(), NULL, key, NULL, use == AEAD_SEAL) ==
           1);
}

void aead_key_fini(struct aead_key *k)
{
    EVP_CIPHER_CTX_free(k->ctx); /* wipes the key; NULL is fine */
    k->ctx = NULL;
}

/* Starts a message: nonce and associated data. */
static void message_start(EVP_CIPHER_CTX *ctx, const uint8_t nonce[AEAD_NONCE_BYTES], struct str ad)
{
    int n = 0;

    ASSERT(ad.len <= AEAD_MAX_BYTES);
    ASSERT(EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1) == 1);
    if (ad.len > 0)
        ASSERT(EVP_CipherUpdate(ctx, NULL, &n, bytes_of(ad), (int)ad.len) == 1);
}

void aead_seal(struct aead_key *k, const uint8_t nonce[AEAD_NONCE_BYTES], struct str ad,
               struct str plain, void *out)
{
    unsigned char *to = out;
    int n = 0;

    ASSERT(plain.len <= AEAD_MAX_BYTES);
    ASSERT(EVP_CIPHER_CTX_is_encrypting(k->ctx));
    message_start(k->ctx, nonce, ad);
    if (plain.len > 0)
        ASSERT(EVP_EncryptUpdate(k->ctx, to, &n, bytes_of(plain), (int)plain.len) == 1);
    ASSERT(EVP_EncryptFinal_ex(k->ctx, to + plain.len, &n) == 1);
    ASSERT(EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, to + plain.len) == 1);
}

bool aead_open(struct aead_key *k, const uint8_t nonce[AEAD_NONCE_BYTES], struct str ad,
               struct str sealed, void *out)
{
    unsigned char tag[AEAD_TAG_BYTES];
    unsigned char *to = out;
    int n = 0;

    ASSERT(!EVP_CIPHER_CTX_is_encrypting(k->ctx));
    if (sealed.len < AEAD_TAG_BYTES || sealed.len > AEAD_MAX_BYTES)
        return false;
    size_t len = sealed.len - AEAD_TAG_BYTES;
    memcpy(tag, sealed.ptr + len, sizeof(tag));
    message_start(k->ctx, nonce, ad);
    ASSERT(EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_BYTES, tag) == 1);
    if (len > 0)
        ASSERT(EVP_DecryptUpdate(k->ctx, to, &n, bytes_of(sealed), (int)len) == 1);
    if (EVP_DecryptFinal_ex(k->ctx, tag, &n) == 1)
        return true;
    if (len > 0)
        mem_wipe(to, len);
    return false;
}

void aead_seal_once(const uint8_t key[AEAD_KEY_BYTES], const uint8_t nonce[AEAD_NONCE_BYTES],
                    struct str ad, struct str plain, void *out)
{
    ASSERT(plain.len <= AEAD_MAX_BYTES);
    crypto_sodium_ready();
    ASSERT(crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, bytes_of(plain), plain.len,
                                                     bytes_of(ad), ad.len, NULL, nonce, key) == 0);
}

bool aead_open_once(const uint8_t key[AEAD_KEY_BYTES], const uint8_t nonce[AEAD_NONCE_BYTES],
                    struct str ad, struct str sealed, void *out)
{
    if (sealed.len < AEAD_TAG_BYTES || sealed.len > AEAD_MAX_BYTES)
        return false;
    crypto_sodium_ready();
    /* Checks the tag first and zeroes what it would have written. */
    return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, bytes_of(sealed), sealed.len,
                                                     bytes_of(ad), ad.len, nonce, key) == 0;
}
