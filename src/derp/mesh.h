#pragma once

/*
 * The mesh: this relay keeps a link (link.h) to each of the other relays of its region.
 *
 *   WAITING --time--> LOOKING UP --addresses--> CONNECTING --> UPGRADING --> LINKED
 *      ^                  |                         |              |            |
 *      +------------------+------- it failed -------+--------------+------------+
 *                                                                               +--> SELF: no more
 *
 * Who cannot be reached is tried again after MESH_WAIT_MIN_MS, then after twice as long, up to
 * MESH_WAIT_MAX_MS; each wait is up to half as long again, so that relays that were restarted
 * together do not knock together. A link that has stood for a while begins anew.
 *
 * Source: docs/protocol.md 16.6; tailscale cmd/derper/mesh.go.
 */

#include "core/err.h"
#include "derp/server.h"

#define MESH_WAIT_MIN_MS 250
#define MESH_WAIT_MAX_MS 5000
#define MESH_RELAYS_MAX 64
#define MESH_ADDRS_MAX 16

struct derp_mesh;
/* A name to be looked up; whoever is asked answers it exactly once. */
struct derp_mesh_lookup;

struct derp_mesh_relay {
    struct str name;      /* for TLS and HTTP: a DNS name or an IP address */
    struct str dial_name; /* to look up and connect to; often the same */
    uint16_t port;
    bool has_pin; /* of its certificate's SHA-256, instead of the system's authorities */
    uint8_t pin_sha256[32];
};

/*
 * "name", "name:port", "name/dial", "name:port/dial", with commas between; and
 * "name=sha256-raw:hex" for those whose certificates are pinned. An IPv6 address is in brackets.
 * Fills in at most MESH_RELAYS_MAX, names borrowed from `with`.
 */
MUST_USE int derp_mesh_parse(struct str with, struct str pins,
                             struct derp_mesh_relay out[MESH_RELAYS_MAX], size_t *n,
                             struct err *err);

struct derp_mesh_options {
    struct derp_server *server; /* has a mesh key */
    struct loop *const *loops;  /* the server's; links are spread over them; array copied */
    size_t n_loops;
    const struct derp_mesh_relay *relays; /* copied */
    size_t n_relays;
    /* On a loop of these; answers with derp_mesh_found, from any thread. */
    void (*look_up)(void *user, struct str name, struct derp_mesh_lookup *lookup);
    void *user;
};
/* The loops do not run yet. */
MUST_USE int derp_mesh_new(const struct derp_mesh_options *options, struct derp_mesh **out,
                           struct err *err);
/* n 0: the name has no address, or it could not be looked up. From any thread. */
void derp_mesh_found(struct derp_mesh_lookup *lookup, const struct ip_addr *addrs, size_t n);
/* Nothing is tried any more; from any thread, before the loops are freed. */
void derp_mesh_stop(struct derp_mesh *mesh);
/* After the loops have been freed, and when no look-up is under way. NULL is fine. */
void derp_mesh_free(struct derp_mesh *mesh);
