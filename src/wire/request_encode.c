/* The client's side of request.h, for simulated nodes and tests. */

#include "wire/request.h"

#include "ip/prefix.h"
#include "json/writer.h"

static void put_hostinfo(struct json_writer *w, struct str hostname, const struct ip_prefix *routes,
                         size_t n_routes, uint32_t preferred_derp)
{
    json_field_object(w, STR("Hostinfo"));
    json_opt_str(w, STR("Hostname"), hostname);
    if (n_routes) {
        json_field_array(w, STR("RoutableIPs"));
        for (size_t i = 0; i < n_routes; i++) {
            json_begin_plain(w);
            ip_prefix_put(w->out, routes[i]);
            json_end_plain(w);
        }
        json_end_array(w);
    }
    if (preferred_derp) {
        json_field_object(w, STR("NetInfo"));
        json_field_u64(w, STR("PreferredDERP"), preferred_derp);
        json_end_object(w);
    }
    json_end_object(w);
}

static void field_node_key(struct json_writer *w, struct str name, const struct node_key *key)
{
    json_key(w, name);
    json_begin_plain(w);
    node_key_put(w->out, key);
    json_end_plain(w);
}

void wire_register_request_encode(const struct wire_register_encode *req, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_field_u64(&w, STR("Version"), req->version);
    field_node_key(&w, STR("NodeKey"), &req->key);
    field_node_key(&w, STR("OldNodeKey"), &req->old_key);
    if (req->auth_key.len) {
        json_field_object(&w, STR("Auth"));
        json_field_str(&w, STR("AuthKey"), req->auth_key);
        json_end_object(&w);
    }
    if (req->has_expiry)
        json_field_time(&w, STR("Expiry"), req->expiry_ms);
    json_field_str(&w, STR("Followup"), req->followup);
    put_hostinfo(&w, req->hostname, req->routes, req->n_routes, 0);
    json_opt_bool(&w, STR("Ephemeral"), req->ephemeral);
    json_end_object(&w);
}

void wire_map_request_encode(const struct wire_map_encode *req, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_field_u64(&w, STR("Version"), req->version);
    json_opt_str(&w, STR("Compress"), req->zstd ? STR("zstd") : STR_NONE);
    json_field_bool(&w, STR("KeepAlive"), req->stream);
    field_node_key(&w, STR("NodeKey"), &req->key);
    json_key(&w, STR("DiscoKey"));
    json_begin_plain(&w);
    disco_key_put(out, &req->disco);
    json_end_plain(&w);
    json_opt_bool(&w, STR("Stream"), req->stream);
    json_opt_bool(&w, STR("OmitPeers"), req->omit_peers);
    put_hostinfo(&w, req->hostname, req->routes, req->n_routes, req->preferred_derp);
    if (req->n_endpoints) {
        json_field_array(&w, STR("Endpoints"));
        for (size_t i = 0; i < req->n_endpoints; i++) {
            json_begin_plain(&w);
            ip_addrport_put(out, req->endpoints[i]);
            json_end_plain(&w);
        }
        json_end_array(&w);
    }
    json_end_object(&w);
}
