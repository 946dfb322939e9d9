/* Map requests. Law: what decodes is bounded, and said again by the encoder decodes to the same. */

#include "wire/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct wire_map_request r, again;
    struct buf text = BUF(0);
    struct err err = {0};

    if (wire_map_request_decode(a, str_bytes(data, size), &r, &err) < 0) {
        ASSERT(err.text[0] && (err.code == ERR_INVALID || err.code == ERR_LIMIT));
        return 0;
    }
    ASSERT(!node_key_is_zero(&r.key) && r.n_endpoints <= 64);
    ASSERT(r.has_endpoints || r.n_endpoints == 0);
    wire_map_request_encode(&(struct wire_map_encode){.version = r.version,
                                                      .key = r.key,
                                                      .disco = r.disco,
                                                      .zstd = r.zstd,
                                                      .stream = r.stream,
                                                      .omit_peers = r.omit_peers,
                                                      .hostname = r.hostinfo.hostname,
                                                      .preferred_derp = r.hostinfo.preferred_derp,
                                                      .endpoints = r.endpoints,
                                                      .n_endpoints = r.n_endpoints,
                                                      .routes = r.hostinfo.routes,
                                                      .n_routes = r.hostinfo.n_routes},
                            &text);
    ASSERT(wire_map_request_decode(a, buf_str(&text), &again, &err) == 0);
    ASSERT(again.version == r.version && again.zstd == r.zstd && again.stream == r.stream);
    ASSERT(again.omit_peers == r.omit_peers && node_key_eq(&again.key, &r.key));
    ASSERT(disco_key_eq(&again.disco, &r.disco) && again.n_endpoints == r.n_endpoints);
    for (size_t i = 0; i < r.n_endpoints; i++)
        ASSERT(ip_addrport_eq(again.endpoints[i], r.endpoints[i]));
    ASSERT(str_eq(again.hostinfo.hostname, r.hostinfo.hostname));
    ASSERT(again.hostinfo.preferred_derp == r.hostinfo.preferred_derp);
    ASSERT(again.hostinfo.n_routes == r.hostinfo.n_routes);
    buf_fini(&text);
    return 0;
}
