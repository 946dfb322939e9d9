#pragma once

/*
 * Answers inside Noise: RegisterResponse, /key, early payload, and the map stream's frames
 * (protocol.md 1.2, 5.2, 6.2): u32 little-endian length, then zstd of one JSON MapResponse, or the
 * bare JSON.
 */

#include "core/buf.h"
#include "core/err.h"
#include "crypto/keys.h"

struct wire_login {
    uint64_t id;
    struct str provider; /* empty is fine */
    struct str login_name;
    struct str display_name;
    struct str picture_url;
};

struct wire_register_response {
    const struct wire_login *login; /* NULL: none yet */
    bool node_key_expired;
    bool machine_authorized;
    struct str auth_url;
    struct str error;
};
void wire_register_response_encode(const struct wire_register_response *r, struct buf *out);

/* {"legacyPublicKey":"mkey:000…","publicKey":"mkey:…"} */
void wire_key_response_encode(const struct machine_key *key, struct buf *out);

/* Appends one frame holding `json`, compressed when `zstd` (level 1, no checksum, content size in
 * the frame). */
void wire_frame_put(struct buf *out, struct str json, bool zstd);
/* Appends the frame of the bytes as they are (already compressed by wire_compress). */
void wire_frame_put_ready(struct buf *out, struct str payload);
/* One whole zstd frame; concatenating several is a valid payload. */
MUST_USE int wire_compress(struct str json, int level, struct buf *out, struct err *err);
/*
 * The same for a frame that follows others in one payload: without its content's size. Decoders
 * that trust the size make room for each frame by itself and copy all that came before.
 */
MUST_USE int wire_compress_part(struct str json, int level, struct buf *out, struct err *err);
/*
 * A frame that holds the text as it is, `sized` or like a part: for texts so short (WIRE_STORE_MAX
 * at most) and so seldom sent that compressing them costs more than their bytes.
 */
#define WIRE_STORE_MAX 1024
void wire_store(struct str json, bool sized, struct buf *out);
/* One or several frames; `limit` bytes at most come out. */
MUST_USE int wire_decompress(struct str payload, size_t limit, struct buf *out, struct err *err);
/* Bytes of the zstd frame at the front of `in`; 0: it is not there whole, or it is none. */
size_t wire_zstd_frame_len(struct str in);

enum wire_frame { WIRE_FRAME_OK, WIRE_FRAME_MORE, WIRE_FRAME_TOO_LONG };
/* Client side: the frame at the front of `in`; payload borrows. `used` is what to drop. */
MUST_USE enum wire_frame wire_frame_decode(struct str in, size_t limit, struct str *payload,
                                           size_t *used);

/* The keep-alive message's JSON: spelled so that no client takes its short cut (protocol.md 6.3).
 */
#define WIRE_KEEP_ALIVE "{\"KeepAlive\": true}"
