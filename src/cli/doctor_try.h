#pragma once

/*
 * What a client does at its server's URL, tried once each and watched: the upgrades, a stream that
 * lasts, STUN. Each blocks until it is answered or some seconds are over.
 */

#include "core/err.h"
#include "crypto/keys.h"
#include "ip/addrport.h"

struct doctor_target {
    struct str authority; /* "host[:port]" as in the URL */
    struct str host;
    struct str tls_name; /* the host; empty: http */
    struct ip_addrport addr;
};

/* Looks the host up; IPv4 first, as most clients have it. */
MUST_USE int doctor_resolve(struct str host, struct ip_addr *out, struct err *err);

struct doctor_channel {
    bool is_open;      /* the channel was made */
    int64_t lasted_ms; /* how long it was there, when it went too early; else -1 */
    struct err err;    /* why not */
};
/*
 * Upgrades to the Noise channel, with POST or as WebSocket, asks something through it, leaves it
 * silent for `wait_ms` and asks again.
 */
void doctor_try_channel(const struct doctor_target *t, const struct machine_key *server,
                        bool websocket, int64_t wait_ms, struct doctor_channel *out);
/*
 * Upgrades to the relay's protocol and waits for its greeting. Over TLS in any case, as clients do
 * it; where the URL is http the relay map pins a certificate, which is not looked at here.
 */
MUST_USE int doctor_try_relay(const struct doctor_target *t, bool websocket, struct err *err);
/* Asks over UDP from where it is seen. */
MUST_USE int doctor_try_stun(struct ip_addrport to, struct ip_addrport *seen, struct err *err);
