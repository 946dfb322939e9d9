#pragma once

/*
 * The control protocol's handshake, Noise_IK_25519_ChaChaPoly_BLAKE2s, both sides.
 *
 *   client                                          server
 *     noise_client_start  -- initiation, 101 -->      noise_server_handshake
 *     noise_client_finish <-- response, 51 ---        (or an error message: 03, length, text)
 *
 * The client knows the server's machine key beforehand; the server learns the client's, and that
 * the client holds its private half. The initiation's version is the client's capability version
 * and part of the transcript. Bytes in, bytes out, no I/O.
 *
 * A server must not act on an initiation alone: it can be replayed. The first record that opens
 * proves the client is there now.
 *
 * Source: docs/protocol.md, "Noise transport"; control/controlbase/handshake.go.
 */

#include "core/buf.h"
#include "core/err.h"
#include "crypto/keys.h"
#include "crypto/x25519.h"
#include "noise/record.h"

#define NOISE_INITIATION_BYTES 101
#define NOISE_RESPONSE_BYTES 51
#define NOISE_ERROR_TEXT_MAX 1024 /* bytes of an error message that we write or believe */

/* Chaining key and transcript hash, as Noise calls them; between the two messages. */
struct noise_transcript {
    uint8_t ck[HASH_BYTES];
    uint8_t h[HASH_BYTES];
};

/*
 * Answers an initiation: about 0.2 ms of arithmetic.
 *
 *   ephemeral  NULL for a random one; tests give theirs
 *   response   out, what to send before anything else
 *   session    out, to be finished with noise_session_fini
 *   client     out, the peer's machine key
 *   version    out, the peer's capability version
 *
 * 0, or ERR_INVALID with no output set: not an initiation, or not meant for this key.
 */
MUST_USE int noise_server_handshake(const struct machine_private *server, struct str initiation,
                                    const struct x25519_private *ephemeral,
                                    uint8_t response[NOISE_RESPONSE_BYTES],
                                    struct noise_session *session, struct machine_key *client,
                                    uint16_t *version, struct err *err);

/* Appends an error message, sent in place of the response. Text past the maximum is cut. */
void noise_error_put(struct buf *out, struct str text);

/* A client that has sent its initiation. */
struct noise_client {
    struct noise_transcript transcript;
    struct machine_private machine;
    struct x25519_private ephemeral;
};

/*
 * Makes the initiation. `ephemeral` NULL for a random one. 0 and `c` to be finished with
 * noise_client_fini; or ERR_INVALID, nothing set: no secret is possible with such a server key.
 */
MUST_USE int noise_client_start(struct noise_client *c, const struct machine_private *machine,
                                const struct machine_key *server, uint16_t version,
                                const struct x25519_private *ephemeral,
                                uint8_t initiation[NOISE_INITIATION_BYTES], struct err *err);

enum noise_finish {
    NOISE_FINISH_OK,
    NOISE_FINISH_MORE,    /* call again with more bytes */
    NOISE_FINISH_REFUSED, /* the server sent an error message; err has its words (ERR_DENIED) */
    NOISE_FINISH_BROKEN   /* not a response, or not from that server (ERR_INVALID) */
};
/*
 * Reads the server's answer at the front of `in`. OK only: `used` is what to drop from `in`, and
 * `session` is to be finished with noise_session_fini. The words of an error message are nobody's:
 * anyone on the way could have written them.
 */
MUST_USE enum noise_finish noise_client_finish(struct noise_client *c, struct str in, size_t *used,
                                               struct noise_session *session, struct err *err);
/* Wipes; NULL is fine. */
void noise_client_fini(struct noise_client *c);
