/*
 * Register requests. Laws: what decodes is whole (a key, bounded lists, routes sorted); the part
 * for peers is an object of the few members they need; said again by the encoder it decodes to the
 * same.
 */

#include "ip/prefix.h"
#include "wire/request.h"
#include "json/value.h"

static void check_peer(struct arena *a, struct str text)
{
    static const char *const may[] = {"OS",          "Hostname",     "ShareeNode", "Services",
                                      "sshHostKeys", "AppConnector", "Location"};
    struct json_value *v = NULL;

    ASSERT(json_parse(a, text, NULL, &v, NULL) && json_is(v, JSON_OBJECT));
    JSON_EACH(m, v) {
        bool known = false;

        for (size_t i = 0; i < ARRAY_LEN(may); i++)
            known = known || str_eq(m->key, str_from(may[i]));
        ASSERT(known);
    }
    ASSERT(json_len(json_get(v, "Services")) <= 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct wire_register_request r, again;
    struct buf text = BUF(0);
    struct err err = {0};

    if (wire_register_request_decode(a, str_bytes(data, size), &r, &err) < 0) {
        ASSERT(err.text[0] && (err.code == ERR_INVALID || err.code == ERR_LIMIT));
        return 0;
    }
    ASSERT(!node_key_is_zero(&r.key));
    for (size_t i = 1; i < r.hostinfo.n_routes; i++)
        ASSERT(ip_prefix_cmp(r.hostinfo.routes[i - 1], r.hostinfo.routes[i]) < 0);
    check_peer(a, r.hostinfo.peer);

    wire_register_request_encode(&(struct wire_register_encode){.version = r.version,
                                                                .key = r.key,
                                                                .old_key = r.old_key,
                                                                .auth_key = r.auth_key,
                                                                .followup = r.followup,
                                                                .hostname = r.hostinfo.hostname,
                                                                .has_expiry = r.has_expiry,
                                                                .expiry_ms = r.expiry_ms,
                                                                .ephemeral = r.ephemeral,
                                                                .routes = r.hostinfo.routes,
                                                                .n_routes = r.hostinfo.n_routes},
                                 &text);
    ASSERT(wire_register_request_decode(a, buf_str(&text), &again, &err) == 0);
    ASSERT(again.version == r.version && node_key_eq(&again.key, &r.key));
    ASSERT(node_key_eq(&again.old_key, &r.old_key) && str_eq(again.auth_key, r.auth_key));
    ASSERT(str_eq(again.followup, r.followup) && again.ephemeral == r.ephemeral);
    ASSERT(again.has_expiry == r.has_expiry && again.expiry_ms == r.expiry_ms);
    ASSERT(str_eq(again.hostinfo.hostname, r.hostinfo.hostname));
    ASSERT(again.hostinfo.n_routes == r.hostinfo.n_routes);
    for (size_t i = 0; i < r.hostinfo.n_routes; i++)
        ASSERT(ip_prefix_eq(again.hostinfo.routes[i], r.hostinfo.routes[i]));
    buf_fini(&text);
    return 0;
}
