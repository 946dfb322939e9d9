#pragma once

/*
 * ChaCha20-Poly1305 with 12-byte nonces (RFC 8439): output = ciphertext, then the 16-byte tag.
 *
 * `struct aead_key` is for streams of records: one key, one direction, and no more than that, as a
 * server has two for each of its connections. Sealing and opening allocate nothing but, once a
 * thread, a context. The _once forms are for keys that serve one message.
 *
 * Outputs may be the very bytes of the input (in place); any other overlap is not allowed.
 */

#include "core/str.h"

#define AEAD_KEY_BYTES 32
#define AEAD_NONCE_BYTES 12
#define AEAD_TAG_BYTES 16
#define AEAD_MAX_BYTES ((size_t)1 << 30) /* of one message */

enum aead_use { AEAD_SEAL, AEAD_OPEN };

struct aead_key {
    uint8_t key[AEAD_KEY_BYTES];
    enum aead_use use;
};

/* The key is copied in; wiping the caller's is the caller's matter. */
void aead_key_init(struct aead_key *k, enum aead_use use, const uint8_t key[AEAD_KEY_BYTES]);
/* Wipes; a zeroed struct is fine. */
void aead_key_fini(struct aead_key *k);

/*
 * Writes plain.len + AEAD_TAG_BYTES to `out`. `k` must be for AEAD_SEAL. A nonce must never be
 * used twice with one key. plain.len <= AEAD_MAX_BYTES.
 */
void aead_seal(const struct aead_key *k, const uint8_t nonce[AEAD_NONCE_BYTES], struct str ad,
               struct str plain, void *out);
/*
 * Writes sealed.len - AEAD_TAG_BYTES to `out`. False: not sealed with this key, nonce and ad (or
 * shorter than a tag, or longer than allowed); `out` then holds zeros where anything was written.
 * `k` must be for AEAD_OPEN.
 */
MUST_USE bool aead_open(const struct aead_key *k, const uint8_t nonce[AEAD_NONCE_BYTES],
                        struct str ad, struct str sealed, void *out);

void aead_seal_once(const uint8_t key[AEAD_KEY_BYTES], const uint8_t nonce[AEAD_NONCE_BYTES],
                    struct str ad, struct str plain, void *out);
MUST_USE bool aead_open_once(const uint8_t key[AEAD_KEY_BYTES],
                             const uint8_t nonce[AEAD_NONCE_BYTES], struct str ad,
                             struct str sealed, void *out);
