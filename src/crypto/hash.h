#pragma once

/*
 * Hashes: BLAKE2s-256 (RFC 7693, unkeyed), HMAC over it, the HKDF of the Noise framework, SHA-256.
 */

#include "core/str.h"

#define HASH_BYTES 32 /* of each hash here */

void sha256(struct str data, uint8_t out[HASH_BYTES]);
/* HMAC-SHA-256 (RFC 2104), any length of key. */
void sha256_hmac(struct str key, struct str data, uint8_t out[HASH_BYTES]);

void blake2s(struct str data, uint8_t out[HASH_BYTES]);

/* In pieces: init, any number of feeds, then final, which also frees. */
struct blake2s {
    struct evp_md_ctx_st *ctx;
};
void blake2s_init(struct blake2s *h);
void blake2s_feed(struct blake2s *h, struct str data);
void blake2s_final(struct blake2s *h, uint8_t out[HASH_BYTES]);
/* For giving up without final; a zeroed or finished one is fine. */
void blake2s_fini(struct blake2s *h);

/* HMAC-BLAKE2s (RFC 2104, blocks of 64 bytes). `out` may be part of `key` or `data`. */
void blake2s_hmac(struct str key, struct str data, uint8_t out[HASH_BYTES]);

/*
 * HKDF as Noise defines it, two outputs: prk = HMAC(ck, ikm), out1 = HMAC(prk, 01),
 * out2 = HMAC(prk, out1 || 02). Either output may be `ck` itself.
 */
void noise_hkdf(const uint8_t ck[HASH_BYTES], struct str ikm, uint8_t out1[HASH_BYTES],
                uint8_t out2[HASH_BYTES]);
