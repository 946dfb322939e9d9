#include "crypto/hash.h"

#include <openssl/evp.h>
#include <sodium.h>

#include "core/mem.h"
#include "crypto/crypto_internal.h"

#define HMAC_BLOCK 64

void sha256(struct str data, uint8_t out[HASH_BYTES])
{
    crypto_sodium_ready();
    ASSERT(crypto_hash_sha256(out, (const unsigned char *)data.ptr, data.len) == 0);
}

void sha256_hmac(struct str key, struct str data, uint8_t out[HASH_BYTES])
{
    crypto_auth_hmacsha256_state h;

    crypto_sodium_ready();
    (void)crypto_auth_hmacsha256_init(&h, (const unsigned char *)key.ptr, key.len);
    (void)crypto_auth_hmacsha256_update(&h, (const unsigned char *)data.ptr, data.len);
    (void)crypto_auth_hmacsha256_final(&h, out);
    mem_wipe(&h, sizeof(h));
}

void blake2s(struct str data, uint8_t out[HASH_BYTES])
{
    ASSERT(EVP_Digest(data.ptr, data.len, out, NULL, EVP_blake2s256(), NULL) == 1);
}

void blake2s_init(struct blake2s *h)
{
    h->ctx = EVP_MD_CTX_new();
    ASSERT(h->ctx);
    ASSERT(EVP_DigestInit_ex(h->ctx, EVP_blake2s256(), NULL) == 1);
}

void blake2s_feed(struct blake2s *h, struct str data)
{
    ASSERT(EVP_DigestUpdate(h->ctx, data.ptr, data.len) == 1);
}

void blake2s_final(struct blake2s *h, uint8_t out[HASH_BYTES])
{
    ASSERT(EVP_DigestFinal_ex(h->ctx, out, NULL) == 1);
    blake2s_fini(h);
}

void blake2s_fini(struct blake2s *h)
{
    EVP_MD_CTX_free(h->ctx);
    h->ctx = NULL;
}

/* BLAKE2s over a block made of `key` xored with `pad`, and then `data`. */
static void hmac_pass(const uint8_t key[HMAC_BLOCK], uint8_t pad, struct str data,
                      uint8_t out[HASH_BYTES])
{
    uint8_t block[HMAC_BLOCK];
    struct blake2s h;

    for (size_t i = 0; i < HMAC_BLOCK; i++)
        block[i] = key[i] ^ pad;
    blake2s_init(&h);
    blake2s_feed(&h, str_bytes(block, sizeof(block)));
    blake2s_feed(&h, data);
    blake2s_final(&h, out);
    mem_wipe(block, sizeof(block));
}

void blake2s_hmac(struct str key, struct str data, uint8_t out[HASH_BYTES])
{
    uint8_t block[HMAC_BLOCK] = {0};
    uint8_t inner[HASH_BYTES];

    if (key.len > HMAC_BLOCK)
        blake2s(key, block);
    else if (key.len > 0)
        memcpy(block, key.ptr, key.len);
    hmac_pass(block, 0x36, data, inner);
    hmac_pass(block, 0x5c, str_bytes(inner, sizeof(inner)), out);
    mem_wipe(block, sizeof(block));
    mem_wipe(inner, sizeof(inner));
}

void noise_hkdf(const uint8_t ck[HASH_BYTES], struct str ikm, uint8_t out1[HASH_BYTES],
                uint8_t out2[HASH_BYTES])
{
    uint8_t prk[HASH_BYTES];
    uint8_t second[HASH_BYTES + 1]; /* out1, then 02 */

    blake2s_hmac(str_bytes(ck, HASH_BYTES), ikm, prk);
    blake2s_hmac(str_bytes(prk, HASH_BYTES), STR("\x01"), second);
    second[HASH_BYTES] = 2;
    memcpy(out1, second, HASH_BYTES);
    blake2s_hmac(str_bytes(prk, HASH_BYTES), str_bytes(second, sizeof(second)), out2);
    mem_wipe(prk, sizeof(prk));
    mem_wipe(second, sizeof(second));
}
