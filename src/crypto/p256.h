#pragma once

/*
 * Keys on NIST P-256 and ECDSA with SHA-256 (ES256 of RFC 7518), for talking to certificate
 * authorities.
 */

#include "core/buf.h"

#define P256_BYTES 32           /* a coordinate */
#define P256_SIGNATURE_BYTES 64 /* r and s, big-endian */

struct p256_key; /* private; wiped when freed */

struct p256_key *p256_key_new(void);
/* A PEM text with a private key, SEC1 ("EC PRIVATE KEY") or PKCS #8. NULL: none on this curve. */
struct p256_key *p256_key_parse(struct str pem);
void p256_key_free(struct p256_key *key); /* NULL is fine */
/* As "EC PRIVATE KEY", appended. */
void p256_key_put(struct buf *out, const struct p256_key *key);
void p256_key_public(const struct p256_key *key, uint8_t x[P256_BYTES], uint8_t y[P256_BYTES]);
void p256_sign(const struct p256_key *key, struct str data, uint8_t out[P256_SIGNATURE_BYTES]);
