#pragma once

/*
 * What clients ask inside Noise, decoded: register and map requests (protocol.md 5.1, 6.1).
 * Everything borrows from the body or the arena. Unknown members are ignored; member names match in
 * any case.
 */

#include "crypto/keys.h"
#include "ip/addrport.h"
#include "wire/hostinfo.h"

struct wire_register_request {
    uint32_t version;
    struct node_key key;
    struct node_key old_key; /* zero: none */
    struct nl_key nl;
    struct str auth_key;
    bool has_expiry;
    int64_t expiry_ms;   /* unix */
    struct str followup; /* the URL as the client repeats it */
    bool ephemeral;
    struct str tailnet;
    struct wire_hostinfo hostinfo;
};
MUST_USE int wire_register_request_decode(struct arena *a, struct str body,
                                          struct wire_register_request *out, struct err *err);

struct wire_map_request {
    uint32_t version;
    bool zstd;
    bool keep_alive;
    bool stream;
    bool omit_peers;
    bool read_only;
    bool forwarding_off; /* it announces routes, and says that its system forwards nothing */
    struct node_key key;
    struct disco_key disco;
    bool has_hostinfo;
    struct wire_hostinfo hostinfo;
    bool has_endpoints;
    const struct ip_addrport *endpoints;
    const uint8_t *endpoint_types; /* parallel; 0 where not said */
    size_t n_endpoints;
};
MUST_USE int wire_map_request_decode(struct arena *a, struct str body, struct wire_map_request *out,
                                     struct err *err);

/* Encoders of the same, for simulated nodes. */
struct wire_register_encode {
    uint32_t version;
    struct node_key key;
    struct node_key old_key;
    struct str auth_key;
    struct str followup;
    struct str hostname;
    bool has_expiry;
    int64_t expiry_ms;
    bool ephemeral;
    const struct ip_prefix *routes;
    size_t n_routes;
};
void wire_register_request_encode(const struct wire_register_encode *req, struct buf *out);
struct wire_map_encode {
    uint32_t version;
    struct node_key key;
    struct disco_key disco;
    bool zstd;
    bool stream;
    bool omit_peers;
    struct str hostname;
    uint32_t preferred_derp;
    const struct ip_addrport *endpoints;
    size_t n_endpoints;
    const struct ip_prefix *routes;
    size_t n_routes;
};
void wire_map_request_encode(const struct wire_map_encode *req, struct buf *out);
