#pragma once

/*
 * The record layer of the control protocol: what flows after the handshake.
 *
 * A record is type 04, a big-endian 16-bit length and a ciphertext with its 16-byte tag; at most
 * 4096 bytes in all. Each direction has its own key and counts its records from 0. The nonce is
 * 4 zero bytes and the counter in 64 bits BIG-endian (Noise itself has it little-endian). Records
 * mean nothing to what they carry: cut and join them at will. Bytes in, bytes out, no I/O.
 *
 * Source: docs/protocol.md, "Transport records" and "Early payload"; control/controlbase/conn.go.
 */

#include "core/buf.h"
#include "core/err.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/keys.h"

#define NOISE_RECORD_TYPE 4
#define NOISE_RECORD_HEADER 3
#define NOISE_RECORD_MAX 4096
#define NOISE_RECORD_PLAIN_MAX                                        \
    (NOISE_RECORD_MAX - NOISE_RECORD_HEADER - AEAD_TAG_BYTES) /* 4077 \
                                                               */

/* One side of an established channel. The two directions share nothing. */
struct noise_session {
    struct aead_key seal;
    struct aead_key open;
    uint64_t sealed; /* records so far; the next one's counter */
    uint64_t opened;
    bool broken;              /* the peer's stream failed once: nothing is opened any more */
    uint8_t hash[HASH_BYTES]; /* of the handshake, for channel binding */
};

/* Keys each direction; both counters start at 0. */
void noise_session_init(struct noise_session *s, const uint8_t seal_key[AEAD_KEY_BYTES],
                        const uint8_t open_key[AEAD_KEY_BYTES]);
/* Wipes; NULL and a zeroed one are fine. */
void noise_session_fini(struct noise_session *s);

/* Bytes that noise_seal adds to `out` for so much plain text. */
size_t noise_sealed_len(size_t plain_len);
/*
 * Appends `plain` as records to `out`, as few as possible; none for the empty one. 0, or with
 * nothing appended: ERR_LIMIT when `out` has no room or the counter is used up.
 */
MUST_USE int noise_seal(struct noise_session *s, struct str plain, struct buf *out,
                        struct err *err);
/*
 * Takes every whole record off the front of `in` and appends what they hold to `plain`. On 0, what
 * is left in `in` is less than one record: call again with more behind it. Records without content
 * are legal and vanish.
 *
 * Negative: the channel is broken and stays so, close it. ERR_INVALID: not a record, or not by
 * this peer, not in this order, or changed on the way. ERR_LIMIT: `plain` has no room, or the
 * counter is used up. Records before the bad one are in `plain` by then; no bytes of a bad one
 * ever are.
 *
 * Allocates nothing but room in `plain`. At most NOISE_RECORD_MAX - 1 bytes stay in `in`.
 */
MUST_USE int noise_open(struct noise_session *s, struct buf *in, struct buf *plain,
                        struct err *err);

/* ---- The early payload: what a server may say before its first HTTP/2 byte ---- */

#define NOISE_EARLY_MAX ((size_t)10 << 20) /* bytes of JSON that clients accept */

/* Appends the plain text: ff ff ff 54 53, a 32-bit length, {"nodeKeyChallenge":"chalpub:..."}. */
void noise_early_payload_put(struct buf *plain, const struct challenge_key *challenge);

enum noise_early {
    NOISE_EARLY_OK,
    NOISE_EARLY_NONE,    /* the stream starts with something else (HTTP/2): use it from its start */
    NOISE_EARLY_MORE,    /* cannot tell yet, call again with more bytes */
    NOISE_EARLY_TOO_LONG /* over NOISE_EARLY_MAX: close */
};
/*
 * The client's look at the first plain text of a channel.
 *
 *   json  out, set on OK only: the payload, borrowed from `plain`
 *   used  out, set on OK only: bytes to drop from `plain`; HTTP/2 starts behind them
 */
MUST_USE enum noise_early noise_early_payload_decode(struct str plain, struct str *json,
                                                     size_t *used);
