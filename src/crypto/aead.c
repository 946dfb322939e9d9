/*
 * Two libraries behind one shape. libsodium needs no context and is the faster one for a few
 * hundred bytes, OpenSSL's combined assembly for more: twice as fast at four kilobytes. An OpenSSL
 * context takes a kilobyte and an allocation, but a new key hardly any time, so there is one a
 * thread and direction, keyed anew for each message.
 */

#include "crypto/aead.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>

#include "core/mem.h"
#include "crypto/crypto_internal.h"

/* From so many bytes on OpenSSL is the faster one (measured: equal at 300, 1.5 times at 1,000). */
#define LARGE 512

static const unsigned char *bytes_of(struct str s)
{
    return (const unsigned char *)s.ptr;
}

void aead_key_init(struct aead_key *k, enum aead_use use, const uint8_t key[AEAD_KEY_BYTES])
{
    k->use = use;
    memcpy(k->key, key, AEAD_KEY_BYTES);
}

void aead_key_fini(struct aead_key *k)
{
    mem_wipe(k->key, sizeof(k->key));
}

/* ---- The threads' contexts ---- */

static _Thread_local EVP_CIPHER_CTX *contexts[2]; /* by use */
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_contexts(void *user)
{
    EVP_CIPHER_CTX **of_thread = user;

    for (size_t i = 0; i < ARRAY_LEN(contexts); i++) {
        EVP_CIPHER_CTX_free(of_thread[i]); /* wipes the last key; NULL is fine */
        of_thread[i] = NULL;
    }
}

static void make_thread_end(void)
{
    ASSERT(pthread_key_create(&at_thread_end, free_contexts) == 0);
}

static EVP_CIPHER_CTX *context_new(enum aead_use use)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    ASSERT(ctx);
    ASSERT(EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, NULL, NULL, use == AEAD_SEAL) ==
           1);
    ASSERT(pthread_once(&once, make_thread_end) == 0);
    ASSERT(pthread_setspecific(at_thread_end, contexts) == 0);
    return ctx;
}

/* Starts a message: key, nonce and associated data. */
static EVP_CIPHER_CTX *message_start(const struct aead_key *k,
                                     const uint8_t nonce[AEAD_NONCE_BYTES], struct str ad)
{
    EVP_CIPHER_CTX *ctx = contexts[k->use];
    int n = 0;

    if (!ctx)
        ctx = contexts[k->use] = context_new(k->use);
    ASSERT(ad.len <= AEAD_MAX_BYTES);
    ASSERT(EVP_CipherInit_ex(ctx, NULL, NULL, k->key, nonce, -1) == 1);
    if (ad.len > 0)
        ASSERT(EVP_CipherUpdate(ctx, NULL, &n, bytes_of(ad), (int)ad.len) == 1);
    return ctx;
}

/* ---- Records ---- */

void aead_seal(const struct aead_key *k, const uint8_t nonce[AEAD_NONCE_BYTES], struct str ad,
               struct str plain, void *out)
{
    unsigned char *to = out;
    int n = 0;

    ASSERT(k->use == AEAD_SEAL && plain.len <= AEAD_MAX_BYTES);
    if (plain.len < LARGE) {
        aead_seal_once(k->key, nonce, ad, plain, out);
        return;
    }
    EVP_CIPHER_CTX *ctx = message_start(k, nonce, ad);

    ASSERT(EVP_EncryptUpdate(ctx, to, &n, bytes_of(plain), (int)plain.len) == 1);
    ASSERT(EVP_EncryptFinal_ex(ctx, to + plain.len, &n) == 1);
    ASSERT(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, to + plain.len) == 1);
}

bool aead_open(const struct aead_key *k, const uint8_t nonce[AEAD_NONCE_BYTES], struct str ad,
               struct str sealed, void *out)
{
    unsigned char tag[AEAD_TAG_BYTES];
    unsigned char *to = out;
    int n = 0;

    ASSERT(k->use == AEAD_OPEN);
    if (sealed.len < LARGE)
        return aead_open_once(k->key, nonce, ad, sealed, out);
    if (sealed.len > AEAD_MAX_BYTES)
        return false;
    size_t len = sealed.len - AEAD_TAG_BYTES;
    EVP_CIPHER_CTX *ctx = message_start(k, nonce, ad);

    memcpy(tag, sealed.ptr + len, sizeof(tag));
    ASSERT(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_BYTES, tag) == 1);
    ASSERT(EVP_DecryptUpdate(ctx, to, &n, bytes_of(sealed), (int)len) == 1);
    if (EVP_DecryptFinal_ex(ctx, tag, &n) == 1)
        return true;
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
