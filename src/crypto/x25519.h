#pragma once

/*
 * X25519: Diffie-Hellman on Curve25519 (RFC 7748).
 */

#include "core/str.h"

#define X25519_BYTES 32

struct x25519_private {
    uint8_t b[X25519_BYTES];
};

/* Random, clamped: byte 0 & 248, byte 31 & 127 | 64. */
void x25519_generate(struct x25519_private *out);
void x25519_clamp(uint8_t key[X25519_BYTES]);
void x25519_public(const struct x25519_private *key, uint8_t pub[X25519_BYTES]);
/*
 * out = key * point. False, and `out` all zero, when the result is all zero: the point has a small
 * order, so the "secret" would be known to everybody. Wipe `out` when done with it.
 */
MUST_USE bool x25519(const struct x25519_private *key, const uint8_t point[X25519_BYTES],
                     uint8_t out[X25519_BYTES]);
/* Wipes; NULL is fine. For AUTO_FINI(x25519_private_fini) too. */
void x25519_private_fini(struct x25519_private *key);
