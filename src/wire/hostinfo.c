/*
 * Hostinfo: what the domain needs of it, and the part that peers may see.
 *
 * Peers' clients decode that part strictly, and one wrong type in it would end their polls. So it
 * is written anew from checked values, never cut out of what the client sent.
 */

#include "wire/hostinfo.h"

#include "core/num.h"
#include "wire/wire_internal.h"

#define HOSTNAME_MAX 1024
#define WORD_MAX 256      /* OS, versions, places */
#define SSH_KEY_MAX 4096  /* an RSA key of 16384 bits takes 2800 */
#define SERVICES_MAX 2048 /* looked at; only three are kept */
#define TAG_MAX 256
#define PEER_MAX ((size_t)128 << 10)

static bool service_is_for_peers(struct str proto)
{
    return str_eq(proto, STR("peerapi4")) || str_eq(proto, STR("peerapi6")) ||
           str_eq(proto, STR("peerapi-dns-proxy"));
}

static void put_service(struct wire_reader *r, struct json_writer *w, const struct json_value *v,
                        unsigned *seen)
{
    struct wire_reader s = wire_reader_new(r->arena, v, "Hostinfo.Services[]", r->err);
    struct str proto = wire_read_str(&s, "Proto", WORD_MAX);
    uint64_t port = wire_read_u64(&s, "Port", UINT16_MAX);
    struct str description = wire_read_str(&s, "Description", HOSTNAME_MAX);
    unsigned which = str_eq(proto, STR("peerapi4")) ? 1 : str_eq(proto, STR("peerapi6")) ? 2 : 4;

    if (s.status < 0) {
        r->status = s.status;
        return;
    }
    if (!service_is_for_peers(proto) || (*seen & which))
        return;
    *seen |= which;
    json_begin_object(w);
    json_field_str(w, STR("Proto"), proto);
    json_field_u64(w, STR("Port"), port);
    json_opt_str(w, STR("Description"), description);
    json_end_object(w);
}

static void put_services(struct wire_reader *r, struct json_writer *w)
{
    size_t len = 0;
    const struct json_value *v = wire_read_array(r, "Services", SERVICES_MAX, &len);
    unsigned seen = 0;

    if (len == 0)
        return;
    json_field_array(w, STR("Services"));
    for (; v && r->status == 0; v = v->next)
        put_service(r, w, v, &seen);
    json_end_array(w);
}

static void put_ssh_keys(struct wire_reader *r, struct json_writer *w)
{
    size_t n = 0;
    const struct str *keys = wire_read_strs(r, "sshHostKeys", WIRE_SSH_KEYS_MAX, SSH_KEY_MAX, &n);

    if (n == 0)
        return;
    json_field_array(w, STR("sshHostKeys"));
    for (size_t i = 0; i < n; i++)
        json_str(w, keys[i]);
    json_end_array(w);
}

static void put_coordinate(struct wire_reader *r, struct json_writer *w, const char *name)
{
    const struct json_value *v = wire_read(r, name);

    if (!v)
        return;
    if (!json_is(v, JSON_NUMBER)) {
        wire_reader_fail(r, ERR_INVALID, name, "must be a number");
        return;
    }
    json_field_double(w, str_from(name), json_as_double(v, 0));
}

static void put_location(struct wire_reader *r, struct json_writer *w)
{
    static const char *const texts[] = {"Country", "CountryCode", "City", "CityCode"};
    struct wire_reader l = wire_reader_member(r, "Location");
    const struct json_value *priority = wire_read(&l, "Priority");

    if (l.obj) {
        json_field_object(w, STR("Location"));
        for (size_t i = 0; i < ARRAY_LEN(texts); i++)
            json_opt_str(w, str_from(texts[i]), wire_read_str(&l, texts[i], WORD_MAX));
        put_coordinate(&l, w, "Latitude");
        put_coordinate(&l, w, "Longitude");
        if (priority && (!json_is(priority, JSON_NUMBER) || priority->number == JSON_DOUBLE ||
                         (priority->number == JSON_UNSIGNED && priority->u64 > NUM_JSON_MAX)))
            wire_reader_fail(&l, ERR_INVALID, "Priority", "must be a whole number in range");
        else
            json_opt_i64(w, STR("Priority"), json_as_i64(priority, 0));
        json_end_object(w);
    }
    if (l.status < 0 && r->status == 0)
        r->status = l.status;
}

int wire_hostinfo_put_peer(struct wire_reader *r, struct str *out)
{
    struct buf text = BUF(PEER_MAX);
    struct json_writer w = JSON_WRITER(&text);

    json_begin_object(&w);
    json_opt_str(&w, STR("OS"), wire_read_str(r, "OS", WORD_MAX));
    json_opt_str(&w, STR("Hostname"), wire_read_str(r, "Hostname", HOSTNAME_MAX));
    json_opt_bool(&w, STR("ShareeNode"), wire_read_bool(r, "ShareeNode"));
    put_services(r, &w);
    put_ssh_keys(r, &w);
    if (wire_read(r, "AppConnector"))
        json_field_bool(&w, STR("AppConnector"), wire_read_bool(r, "AppConnector"));
    put_location(r, &w);
    json_end_object(&w);

    if (r->status == 0 && buf_is_full(&text))
        r->status = err_set(r->err, ERR_LIMIT, "Hostinfo is too large for peers");
    if (r->status == 0)
        *out = arena_copy(r->arena, buf_str(&text));
    buf_fini(&text);
    return r->status;
}

int wire_hostinfo_decode(struct arena *a, const struct json_value *value, struct wire_hostinfo *out,
                         struct err *err)
{
    struct wire_reader r = wire_reader_new(a, value, "Hostinfo", err);
    struct wire_hostinfo h = {.raw = r.obj ? r.obj->raw : STR("{}")};

    if (h.raw.len > WIRE_HOSTINFO_MAX)
        return err_set(err, ERR_LIMIT, "Hostinfo is larger than %zu bytes", WIRE_HOSTINFO_MAX);
    h.hostname = wire_read_str(&r, "Hostname", HOSTNAME_MAX);
    h.os = wire_read_str(&r, "OS", WORD_MAX);
    h.ipn_version = wire_read_str(&r, "IPNVersion", WORD_MAX);
    h.routes = wire_read_prefixes(&r, "RoutableIPs", WIRE_ROUTES_MAX, &h.n_routes);
    h.request_tags = wire_read_strs(&r, "RequestTags", WIRE_TAGS_MAX, TAG_MAX, &h.n_request_tags);

    struct wire_reader net = wire_reader_member(&r, "NetInfo");
    h.preferred_derp = (uint32_t)wire_read_u64(&net, "PreferredDERP", INT32_MAX);
    if (r.status == 0)
        r.status = net.status;
    if (wire_hostinfo_put_peer(&r, &h.peer) < 0)
        return r.status;
    *out = h;
    return 0;
}
