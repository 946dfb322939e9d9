/* See netmap_state.h. */

#include "client/netmap_state.h"

#include "core/mem.h"

void netmap_state_init(struct netmap_state *s)
{
    *s = (struct netmap_state){.peers = map_new()};
}

static void peer_free(struct netmap_peer *p)
{
    if (!p)
        return;
    str_free(&p->name);
    str_free(&p->key);
    str_free(&p->address);
    str_free(&p->endpoint);
    mem_free(p);
}

static void forget_peers(struct netmap_state *s)
{
    struct str key;
    void *value;

    for (size_t at = 0; map_next(s->peers, &at, &key, &value);)
        peer_free(value);
    map_free(s->peers);
    s->peers = map_new();
}

void netmap_state_fini(struct netmap_state *s)
{
    if (!s->peers)
        return;
    forget_peers(s);
    map_free(s->peers);
    str_free(&s->self_name);
    str_free(&s->self_key);
    s->peers = NULL;
}

static void set(struct str *field, struct str value)
{
    if (str_eq(*field, value))
        return;
    str_free(field);
    *field = str_copy(value);
}

static void told(const struct netmap_state *s, const struct netmap_peer *p)
{
    if (s->on_peer)
        s->on_peer(s->user, p);
}

static struct str first_str(const struct json_value *array)
{
    return json_as_str(json_first(array), STR_NONE);
}

/* A whole node: adds it or takes its place. */
static void put_peer(struct netmap_state *s, const struct json_value *node)
{
    uint64_t id = json_get_u64(node, "ID", 0);
    struct netmap_peer *p = map_find_u64(s->peers, id);

    if (!p) {
        p = NEW(struct netmap_peer);
        p->id = id;
        (void)map_put_u64(s->peers, id, p);
    }
    set(&p->name, json_get_str(node, "Name"));
    set(&p->key, json_get_str(node, "Key"));
    set(&p->address, first_str(json_get_array(node, "Addresses")));
    set(&p->endpoint, first_str(json_get_array(node, "Endpoints")));
    p->online = json_get_bool(node, "Online", false);
    p->home_derp = json_get_u64(node, "HomeDERP", 0);
    told(s, p);
}

/* Unknown ids are ignored; a member that is absent leaves what was. */
static void patch_peer(struct netmap_state *s, const struct json_value *patch)
{
    struct netmap_peer *p = map_find_u64(s->peers, json_get_u64(patch, "NodeID", 0));
    const struct json_value *endpoints = json_get_array(patch, "Endpoints");

    if (!p)
        return;
    if (endpoints)
        set(&p->endpoint, first_str(endpoints));
    if (json_get_u64(patch, "DERPRegion", 0) != 0)
        p->home_derp = json_get_u64(patch, "DERPRegion", 0);
    p->online = json_get_bool(patch, "Online", p->online);
    if (json_get_str(patch, "Key").len > 0)
        set(&p->key, json_get_str(patch, "Key"));
    told(s, p);
}

static void apply_self(struct netmap_state *s, const struct json_value *node)
{
    s->has_self = true;
    s->self_expired = json_get_bool(node, "Expired", false);
    set(&s->self_name, json_get_str(node, "Name"));
    set(&s->self_key, json_get_str(node, "Key"));
}

static void apply_peers(struct netmap_state *s, const struct json_value *m)
{
    const struct json_value *all = json_get_array(m, "Peers");

    if (json_len(all) > 0) {
        /* A complete list: whatever else the message says of peers is not looked at. */
        s->full_maps++;
        forget_peers(s);
        JSON_EACH(node, all)
            put_peer(s, node);
        return;
    }
    JSON_EACH(id, json_get_array(m, "PeersRemoved"))
        peer_free(map_remove_u64(s->peers, json_as_u64(id, 0)));
    JSON_EACH(node, json_get_array(m, "PeersChanged"))
        put_peer(s, node);
    JSON_EACH(member, json_get_object(m, "OnlineChange")) {
        uint64_t id = 0;
        struct netmap_peer *p = str_parse_u64(member->key, &id) ? map_find_u64(s->peers, id) : NULL;

        if (p)
            p->online = json_as_bool(member, p->online);
    }
    JSON_EACH(patch, json_get_array(m, "PeersChangedPatch"))
        patch_peer(s, patch);
}

bool netmap_state_apply(struct netmap_state *s, const struct json_value *m)
{
    const struct json_value *self = json_get_object(m, "Node");

    s->messages++;
    if (json_get_bool(m, "KeepAlive", false)) {
        s->keep_alives++;
        return true;
    }
    if (self)
        apply_self(s, self);
    if (!s->has_self)
        return false;
    s->has_derp_map = s->has_derp_map || json_get_object(m, "DERPMap");
    s->has_filter =
        s->has_filter || json_get_array(m, "PacketFilter") || json_get_object(m, "PacketFilters");
    apply_peers(s, m);
    return true;
}

size_t netmap_state_peers(const struct netmap_state *s)
{
    return map_len(s->peers);
}

const struct netmap_peer *netmap_state_peer(const struct netmap_state *s, uint64_t id)
{
    return map_find_u64(s->peers, id);
}
