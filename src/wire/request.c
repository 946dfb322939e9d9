#include "wire/request.h"

#include "core/clock.h"
#include "ip/prefix.h"
#include "wire/wire_internal.h"

#define AUTH_KEY_MAX 8192 /* wrapped keys carry a signature */
#define FOLLOWUP_MAX 4096
#define TAILNET_MAX 1024
#define COMPRESS_MAX 64
#define KEY_TEXT_MAX 256

static int body_parse(struct arena *a, struct str body, struct json_value **out, struct err *err)
{
    const struct json_options options = {.max_nodes = WIRE_NODES_MAX, .max_bytes = WIRE_BODY_MAX};
    struct json_error error = {0};

    if (!json_parse(a, body, &options, out, &error))
        return err_set(err, ERR_INVALID, "line %u, column %u: %s", error.line, error.col,
                       error.text);
    return 0;
}

/* An absent or null member leaves the zero key. */
#define READ_KEY(r, name, kind, out)                                                       \
    do {                                                                                   \
        const struct json_value *key_ = wire_read((r), (name));                            \
        if (key_ && !kind##_parse(wire_value_str((r), key_, (name), KEY_TEXT_MAX), (out))) \
            wire_reader_fail((r), ERR_INVALID, (name), "is no key of its kind");           \
    } while (0)

static void read_node_key(struct wire_reader *r, struct node_key *key)
{
    READ_KEY(r, "NodeKey", node_key, key);
    if (r->status == 0 && node_key_is_zero(key))
        wire_reader_fail(r, ERR_INVALID, "NodeKey", "is missing");
}

/* Go's zero time says nothing. */
static void read_expiry(struct wire_reader *r, struct wire_register_request *out)
{
    const struct json_value *v = wire_read(r, "Expiry");

    if (!v)
        return;
    if (!json_is(v, JSON_STRING) || !clock_parse_rfc3339(v->str, &out->expiry_ms))
        wire_reader_fail(r, ERR_INVALID, "Expiry", "is no time");
    out->has_expiry = r->status == 0 && out->expiry_ms != CLOCK_ZERO;
    if (!out->has_expiry)
        out->expiry_ms = 0;
}

static void read_hostinfo(struct wire_reader *r, struct wire_hostinfo *out)
{
    const struct json_value *v = wire_read(r, "Hostinfo");

    if (r->status == 0)
        r->status = wire_hostinfo_decode(r->arena, v, out, r->err);
}

int wire_register_request_decode(struct arena *a, struct str body,
                                 struct wire_register_request *out, struct err *err)
{
    struct wire_register_request req = {0};
    struct json_value *root = NULL;

    if (body_parse(a, body, &root, err) < 0)
        return err_wrap(err, "register request");

    struct wire_reader r = wire_reader_new(a, root, "", err);
    req.version = (uint32_t)wire_read_u64(&r, "Version", INT32_MAX);
    read_node_key(&r, &req.key);
    READ_KEY(&r, "OldNodeKey", node_key, &req.old_key);
    READ_KEY(&r, "NLKey", nl_key, &req.nl);
    read_expiry(&r, &req);
    req.followup = wire_read_str(&r, "Followup", FOLLOWUP_MAX);
    req.ephemeral = wire_read_bool(&r, "Ephemeral");
    req.tailnet = wire_read_str(&r, "Tailnet", TAILNET_MAX);

    struct wire_reader auth = wire_reader_member(&r, "Auth");
    req.auth_key = wire_read_str(&auth, "AuthKey", AUTH_KEY_MAX);
    if (r.status == 0)
        r.status = auth.status;
    read_hostinfo(&r, &req.hostinfo);

    if (wire_reader_status(&r) < 0)
        return err_wrap(err, "register request");
    *out = req;
    return 0;
}

/*
 * Zones mean nothing to a peer and Go's zero address is empty: both are passed over. So is what is
 * past the ceiling; clients put their best candidates first.
 */
static void read_endpoints(struct wire_reader *r, struct wire_map_request *out)
{
    const struct json_value *list = wire_read(r, "Endpoints");
    const struct json_value *types = wire_read(r, "EndpointTypes");
    size_t len = 0, types_len = 0;
    const struct json_value *v = wire_read_array(r, "Endpoints", WIRE_NODES_MAX, &len);
    const struct json_value *t = wire_read_array(r, "EndpointTypes", WIRE_NODES_MAX, &types_len);
    struct ip_addrport *endpoints = arena_alloc(r->arena, WIRE_ENDPOINTS_MAX * sizeof *endpoints);
    uint8_t *kinds = arena_alloc(r->arena, WIRE_ENDPOINTS_MAX);

    out->has_endpoints = list != NULL;
    (void)types;
    for (; v && r->status == 0; v = v->next, t = t ? t->next : NULL) {
        struct str text = wire_value_str(r, v, "Endpoints", KEY_TEXT_MAX);
        uint64_t kind = json_as_u64(t, 0);

        if (t && (!json_is(t, JSON_NUMBER) || t->number == JSON_DOUBLE))
            wire_reader_fail(r, ERR_INVALID, "EndpointTypes", "must hold whole numbers");
        if (text.len == 0 || str_find_char(text, '%') >= 0)
            continue;
        if (out->n_endpoints == WIRE_ENDPOINTS_MAX)
            continue;
        if (!ip_addrport_parse(text, &endpoints[out->n_endpoints])) {
            wire_reader_fail(r, ERR_INVALID, "Endpoints", "holds something that is no address");
            return;
        }
        kinds[out->n_endpoints++] = kind <= UINT8_MAX ? (uint8_t)kind : 0;
    }
    out->endpoints = endpoints;
    out->endpoint_types = kinds;
}

/* Of the client's remarks about itself the one that means something here. */
static bool says_forwarding_off(struct wire_reader *r)
{
    JSON_EACH(flag, wire_read(r, "DebugFlags")) {
        if (str_eq(json_as_str(flag, STR_NONE), STR("warn-ip-forwarding-off")))
            return true;
    }
    return false;
}

int wire_map_request_decode(struct arena *a, struct str body, struct wire_map_request *out,
                            struct err *err)
{
    struct wire_map_request req = {0};
    struct json_value *root = NULL;

    if (body_parse(a, body, &root, err) < 0)
        return err_wrap(err, "map request");

    struct wire_reader r = wire_reader_new(a, root, "", err);
    req.version = (uint32_t)wire_read_u64(&r, "Version", INT32_MAX);
    req.zstd = str_eq(wire_read_str(&r, "Compress", COMPRESS_MAX), STR("zstd"));
    req.keep_alive = wire_read_bool(&r, "KeepAlive");
    req.stream = wire_read_bool(&r, "Stream");
    req.omit_peers = wire_read_bool(&r, "OmitPeers");
    req.read_only = wire_read_bool(&r, "ReadOnly");
    req.forwarding_off = says_forwarding_off(&r);
    read_node_key(&r, &req.key);
    READ_KEY(&r, "DiscoKey", disco_key, &req.disco);
    req.has_hostinfo = wire_read(&r, "Hostinfo") != NULL;
    read_hostinfo(&r, &req.hostinfo);
    read_endpoints(&r, &req);

    if (wire_reader_status(&r) < 0)
        return err_wrap(err, "map request");
    *out = req;
    return 0;
}
