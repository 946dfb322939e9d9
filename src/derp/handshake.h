#pragma once

/*
 * The DERP handshake: three frames by which both sides learn and prove their node keys.
 *
 *   relay                                      client
 *     |---- SERVER_KEY: magic, relay's key ----->|
 *     |<--- CLIENT_INFO: client's key, box ------|   opening the box proves the client's key
 *     |---- SERVER_INFO: box ------------------->|   opening the box proves the relay's key
 *
 * Bytes in, bytes out: payloads here are frames' payloads (frame.h), no I/O. A box is sealed
 * between the two keys, so nothing a stranger says is looked at before his key has been proved.
 *
 * Source: docs/protocol.md 16.4, known answer in A.2; tailscale derp/derp_client.go, derpserver.
 */

#include "core/err.h"
#include "crypto/box.h"
#include "crypto/keys.h"

/* Payload of CLIENT_INFO. The reference takes 256 KiB; real clients send less than 300 bytes. */
#define DERP_CLIENT_INFO_MAX 8192
#define DERP_SERVER_INFO_MAX 8192 /* as much */
#define DERP_SERVER_KEY_MAX 1024  /* payload of SERVER_KEY: magic, key, room to grow */
#define DERP_MESH_KEY_BYTES 32

/* ---- SERVER_KEY ---- */

/* Appends the whole frame. */
void derp_put_server_key(struct buf *out, const struct node_key *key);
/* False: no magic, too short or too long; out untouched. */
MUST_USE bool derp_server_key_decode(struct str payload, struct node_key *key);

/* ---- CLIENT_INFO ---- */

struct derp_client_info {
    uint64_t version;
    bool can_ack_pings;
    bool is_prober;
    bool has_mesh_key;
    uint8_t mesh_key[DERP_MESH_KEY_BYTES]; /* a secret: wipe with derp_client_info_fini */
};
void derp_client_info_fini(struct derp_client_info *info);

/* Relay: appends nothing, learns who it is. */
struct derp_proof {
    struct node_key peer;         /* proved */
    struct box_key box;           /* for sealing SERVER_INFO; wipe with box_key_fini */
    struct derp_client_info info; /* wipe with derp_client_info_fini */
};
/*
 * Opens a CLIENT_INFO with the relay's key. Costs one X25519 (some 50 us). Negative: too short or
 * long, not sealed by that key to us, the key is zero, or the JSON inside is wrong; *out untouched.
 */
MUST_USE int derp_client_info_open(struct str payload, const struct node_private *own,
                                   struct derp_proof *out, struct err *err);
/* Wipes; NULL is fine. */
void derp_proof_fini(struct derp_proof *proof);

/* Client: appends the whole frame. `box` is between own and the relay's key. */
void derp_put_client_info(struct buf *out, const struct box_key *box, const struct node_key *own,
                          const struct derp_client_info *info);

/* ---- SERVER_INFO ---- */

struct derp_server_info {
    uint64_t version;
    uint64_t bytes_per_second; /* what a client may send; 0: no limit */
    uint64_t burst_bytes;
};
/* Relay: appends the whole frame. */
void derp_put_server_info(struct buf *out, const struct box_key *box,
                          const struct derp_server_info *info);
/* Client. Negative: not sealed by the relay to us, or the JSON inside is wrong; *out untouched. */
MUST_USE int derp_server_info_open(struct str payload, const struct box_key *box,
                                   struct derp_server_info *out, struct err *err);
