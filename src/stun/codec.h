#pragma once

/*
 * STUN binding requests and responses (RFC 8489), as strict as the official relay: a client learns
 * from the response which address its packets come from. No I/O.
 *
 * A request is 40 bytes: header (type, length, cookie, 12 bytes of transaction id), SOFTWARE
 * "tailnode", FINGERPRINT. Whatever is not exactly such a request gets no answer, which keeps a
 * responder from being of use to anybody who forges source addresses. A response is 32 bytes
 * (IPv4) or 44 (IPv6) and never longer than that for one request.
 *
 * Source: docs/protocol.md, "STUN and netcheck"; tailscale net/stun/stun.go.
 */

#include "core/buf.h"
#include "ip/addrport.h"

#define STUN_TXID_BYTES 12
#define STUN_REQUEST_BYTES 40 /* as clients write it */
#define STUN_RESPONSE_MAX 44  /* as we write it */
#define STUN_MESSAGE_MAX 1500 /* longer ones are not looked at */

struct stun_txid {
    uint8_t b[STUN_TXID_BYTES];
};

/* False: not a binding request of an official client; send nothing. `txid` is set on true only. */
MUST_USE bool stun_request_decode(struct str packet, struct stun_txid *txid);
void stun_request_encode(struct buf *out, const struct stun_txid *txid);

/* `seen` is where the request came from; an IPv4 address in IPv6 clothes is reported as IPv4. */
void stun_response_encode(struct buf *out, const struct stun_txid *txid, struct ip_addrport seen);
/*
 * The client's side: a success response with XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS where that is
 * all there is (old servers). False, outputs untouched, on anything else.
 */
MUST_USE bool stun_response_decode(struct str packet, struct stun_txid *txid,
                                   struct ip_addrport *seen);
