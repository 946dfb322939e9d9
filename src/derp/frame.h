#pragma once

/*
 * DERP frames: splitting a byte stream into frames, and what each kind carries.
 *
 * A frame is one type byte, a big-endian 32-bit payload length, and the payload. The codec does
 * no I/O and copies nothing: a decoded payload borrows from the input. The same code serves the
 * relay, clients, tests and fuzzers.
 *
 * Source: docs/protocol.md 16.3; tailscale derp/derp.go, protocol version 2.
 */

#include "core/buf.h"
#include "crypto/keys.h"
#include "ip/addrport.h"

#define DERP_VERSION 2
#define DERP_FRAME_HEADER 5   /* bytes */
#define DERP_PACKET_MAX 65536 /* bytes of the packet itself */
#define DERP_FRAME_MAX                                                         \
    (1u << 20) /* payload; a client drops the connection on more, and so do we \
                */
#define DERP_CLIENT_SILENCE_MS 120000 /* without any frame, a client gives the connection up */

/* Who sends it: C a client, S a relay, M a relay of the same mesh. */
enum derp_type {
    DERP_SERVER_KEY = 0x01,     /* S: magic, key */
    DERP_CLIENT_INFO = 0x02,    /* C: key, sealed JSON */
    DERP_SERVER_INFO = 0x03,    /* S: sealed JSON */
    DERP_SEND_PACKET = 0x04,    /* C: destination, packet */
    DERP_RECV_PACKET = 0x05,    /* S: source, packet */
    DERP_KEEP_ALIVE = 0x06,     /* S: nothing */
    DERP_NOTE_PREFERRED = 0x07, /* C: one byte, 1: this is my home */
    DERP_PEER_GONE = 0x08,      /* S: key, reason */
    DERP_PEER_PRESENT = 0x09,   /* S to M: key, address, port, flags */
    DERP_FORWARD_PACKET = 0x0a, /* M: source, destination, packet */
    DERP_WATCH_CONNS = 0x10,    /* M: nothing */
    DERP_CLOSE_PEER = 0x11,     /* M: key */
    DERP_PING = 0x12,           /* both: 8 bytes and perhaps more */
    DERP_PONG = 0x13,           /* both: the ping's first 8 bytes */
    DERP_HEALTH = 0x14,         /* S: text, empty when well */
    DERP_RESTARTING = 0x15,     /* S: reconnect in, try for: milliseconds */
};

enum derp_gone {
    DERP_GONE_DISCONNECTED = 0,
    DERP_GONE_NOT_HERE = 1, /* was not here when a packet for it came */
};

/* ---- Splitting ---- */

enum derp_decode { DERP_DECODE_OK, DERP_DECODE_MORE, DERP_DECODE_TOO_LONG };

struct derp_frame {
    uint8_t type; /* enum derp_type; unknown values pass through, skipping them is up to you */
    struct str payload;
};

/*
 * Reads the frame at the front of `in`.
 *
 *   in     bytes received so far, at most one partial frame at the end
 *   limit  largest payload this state of the connection accepts, in bytes
 *   frame  out, set on OK only; `frame->payload` points into `in`
 *   used   out, set on OK only; header and payload, in bytes, to drop from `in`
 *
 * OK: one frame. MORE: call again with more bytes; `in` may be empty. TOO_LONG: the peer is
 * broken or hostile, close the connection. Constant time, no allocation.
 */
MUST_USE enum derp_decode derp_frame_decode(struct str in, size_t limit, struct derp_frame *frame,
                                            size_t *used);

/* The header alone, for whoever wants to judge or skip a frame before it is whole. False: too few
 * bytes. */
MUST_USE bool derp_frame_peek(struct str in, uint8_t *type, size_t *payload_len);

/* ---- Payloads: false, and outputs untouched, when the payload cannot be one of that type ---- */

/* SEND_PACKET, RECV_PACKET: at most DERP_PACKET_MAX behind the key; the packet borrows. */
MUST_USE bool derp_packet_decode(struct str payload, struct node_key *key, struct str *packet);
/* FORWARD_PACKET. */
MUST_USE bool derp_forward_decode(struct str payload, struct node_key *src, struct node_key *dst,
                                  struct str *packet);
/* PEER_GONE: old relays send no reason, which then is DISCONNECTED. Later bytes are skipped. */
MUST_USE bool derp_peer_gone_decode(struct str payload, struct node_key *key, uint8_t *reason);
/* RESTARTING. */
MUST_USE bool derp_restarting_decode(struct str payload, uint32_t *reconnect_in_ms,
                                     uint32_t *try_for_ms);

enum derp_present_flag {
    DERP_PRESENT_REGULAR = 0x01,
    DERP_PRESENT_MESH_PEER = 0x02,
    DERP_PRESENT_PROBER = 0x04,
    DERP_PRESENT_NOT_IDEAL = 0x08,
};
struct derp_peer_present {
    struct node_key key;
    struct ip_addrport from; /* unset (IP_NONE) when the relay did not say */
    uint8_t flags;           /* of enum derp_present_flag */
};
/* PEER_PRESENT: the key alone, as old relays send it, or all 51 bytes; later bytes are skipped. */
MUST_USE bool derp_peer_present_decode(struct str payload, struct derp_peer_present *out);

/*
 * Whether a packet looks like path discovery (6 bytes of magic, a disco key, a nonce) rather than
 * WireGuard. Anybody can make one: it decides about queues and hints, not about trust.
 */
bool derp_is_disco(struct str packet);

/* ---- Writing: each appends one whole frame, but the first only its header ---- */

void derp_put_header(struct buf *out, uint8_t type, size_t payload_len);
void derp_put_frame(struct buf *out, uint8_t type, struct str payload);
/* SEND_PACKET with the destination or RECV_PACKET with the source. */
void derp_put_packet(struct buf *out, uint8_t type, const struct node_key *key, struct str packet);
void derp_put_forward(struct buf *out, const struct node_key *src, const struct node_key *dst,
                      struct str packet);
void derp_put_note_preferred(struct buf *out, bool preferred);
void derp_put_peer_gone(struct buf *out, const struct node_key *key, uint8_t reason);
void derp_put_peer_present(struct buf *out, const struct derp_peer_present *present);
void derp_put_restarting(struct buf *out, uint32_t reconnect_in_ms, uint32_t try_for_ms);
