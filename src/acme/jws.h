#pragma once

/*
 * Signed requests in ACME's form: flattened JSON of protected header, payload and signature.
 *
 * Source: RFC 8555 sections 6.2, 7.3.4 and 8.1; RFC 7515, 7518 (ES256, HS256), 7638.
 */

#include "crypto/p256.h"

/* The hash of the public key, base64url, appended. */
void acme_put_thumbprint(struct buf *out, const struct p256_key *key);
/* What proves to the authority that the challenge's `token` was answered by this key's account. */
void acme_put_key_authorization(struct buf *out, const struct p256_key *key, struct str token);

struct acme_jws {
    const struct p256_key *key;
    struct str kid; /* the account's URL; empty: the public key itself goes with it */
    struct str nonce;
    struct str url;
};
/* The empty payload is how ACME spells GET. */
void acme_put_jws(struct buf *out, const struct acme_jws *j, struct str payload);

/*
 * The external account binding: the authority's customer, known by `kid` and `mac_key` (raw bytes),
 * vouches for the key. `url` is where the account is made.
 */
void acme_put_binding(struct buf *out, const struct p256_key *key, struct str kid,
                      struct str mac_key, struct str url);
