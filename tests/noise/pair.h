#pragma once

/* The keys of docs/protocol.md, A.1, and a channel made with them. */

#include "../hex.h"
#include "noise/handshake.h"

#define PAIR_VERSION 142

struct pair_keys {
    struct machine_private server, client;
    struct x25519_private server_ephemeral, client_ephemeral;
    struct machine_key server_pub, client_pub;
};

struct pair {
    struct noise_session server, client;
    uint8_t initiation[NOISE_INITIATION_BYTES];
    uint8_t response[NOISE_RESPONSE_BYTES];
};

static inline struct pair_keys pair_keys(void)
{
    struct pair_keys k;

    hex_into("101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e6f", k.server.b, 32);
    hex_into("303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
             k.server_ephemeral.b, 32);
    hex_into("505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f", k.client.b, 32);
    hex_into("707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e4f",
             k.client_ephemeral.b, 32);
    machine_private_public(&k.server, &k.server_pub);
    machine_private_public(&k.client, &k.client_pub);
    return k;
}

/* Both sides, ready to talk; pair_fini. */
static inline struct pair pair_new(void)
{
    struct pair_keys k = pair_keys();
    struct pair p;
    struct noise_client c;
    struct machine_key peer;
    uint16_t version;
    size_t used;

    ASSERT(noise_client_start(&c, &k.client, &k.server_pub, PAIR_VERSION, &k.client_ephemeral,
                              p.initiation, NULL) == 0);
    ASSERT(noise_server_handshake(&k.server, str_bytes(p.initiation, sizeof(p.initiation)),
                                  &k.server_ephemeral, p.response, &p.server, &peer, &version,
                                  NULL) == 0);
    ASSERT(noise_client_finish(&c, str_bytes(p.response, sizeof(p.response)), &used, &p.client,
                               NULL) == NOISE_FINISH_OK);
    noise_client_fini(&c);
    return p;
}

static inline void pair_fini(struct pair *p)
{
    noise_session_fini(&p->server);
    noise_session_fini(&p->client);
}
