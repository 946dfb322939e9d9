#pragma once

/*
 * NaCl's crypto_box (X25519, XSalsa20-Poly1305) between two node keys: the relay's handshake.
 *
 * The shared key is computed once per peer (some 50 us), a box then costs only its bytes. A box is
 * the 16-byte tag and then the ciphertext; sealed text here is `nonce(24) || box`.
 *
 * Source: docs/protocol.md, "Key encodings" and "Handshake boxes".
 */

#include "crypto/keys.h"

#define BOX_NONCE_BYTES 24
#define BOX_TAG_BYTES 16
#define BOX_OVERHEAD (BOX_NONCE_BYTES + BOX_TAG_BYTES) /* of sealed text */

struct box_key {
    uint8_t b[32];
};

/* False: the peer's key is one of the few points with which no secret is possible. */
MUST_USE bool box_key_init(struct box_key *k, const struct node_private *own,
                           const struct node_key *peer);
/* Wipes. */
void box_key_fini(struct box_key *k);

/* Appends nonce || box with a random nonce, or with the given one (tests; never use one twice). */
void box_seal(const struct box_key *k, struct str plain, struct buf *out);
void box_seal_with(const struct box_key *k, const uint8_t nonce[BOX_NONCE_BYTES], struct str plain,
                   struct buf *out);
/*
 * Appends the plain text of nonce || box. False: too short, not from that peer to us, or `out` is
 * full; nothing is appended then.
 */
MUST_USE bool box_open(const struct box_key *k, struct str sealed, struct buf *out);
