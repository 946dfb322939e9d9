/* See netmap_state.h. */

#include "client/netmap_state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "client/node_text.h"
#include "core/mem.h"
#include "ip/prefix.h"

static const char *const kept_names[NETMAP_KEPT] = {
    "DERPMap", "DNSConfig", "Domain", "PacketFilter", "SSHPolicy", "CollectServices", "Health"};

PRINTF_LIKE(2, 3) static void complain(struct netmap_state *s, const char *fmt, ...)
{
    va_list args;

    if (s->complaint[0])
        return;
    va_start(args, fmt);
    (void)vsnprintf(s->complaint, sizeof(s->complaint), fmt, args);
    va_end(args);
}

/* ---- Life ---- */

void netmap_state_init(struct netmap_state *s)
{
    *s = (struct netmap_state){.peers = map_new(), .profiles = map_new()};
}

static void peer_fini(struct netmap_peer *p)
{
    str_free(&p->name);
    str_free(&p->json);
}

static void peer_free(struct netmap_peer *p)
{
    if (!p)
        return;
    peer_fini(p);
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
    map_free(s->profiles);
    peer_fini(&s->self);
    for (size_t i = 0; i < NETMAP_KEPT; i++)
        str_free(&s->kept[i]);
    s->peers = NULL;
}

static void set(struct str *field, struct str value)
{
    if (str_eq(*field, value))
        return;
    struct str copy = str_copy(value);

    str_free(field);
    *field = copy;
}

/* Makes p->json what it becomes by a whole node or by a patch. */
static void keep_json(struct netmap_peer *p, const struct json_value *v, bool is_patching)
{
    struct buf text = BUF((size_t)1 << 20);

    if (is_patching)
        node_text_put_patched(&text, p->json, v);
    else
        node_text_put_changed(&text, p->json, v);
    str_free(&p->json);
    p->json = buf_take(&text);
}

/* ---- What identifies a node and what moves ---- */

static bool read_key(struct netmap_state *s, const struct json_value *v, struct node_key *key)
{
    if (!v || json_is(v, JSON_NULL))
        return true;
    if (node_key_parse(json_as_str(v, STR_NONE), key))
        return true;
    complain(s, "a node's key is none");
    return false;
}

static bool read_addresses(struct netmap_state *s, struct netmap_peer *p,
                           const struct json_value *array)
{
    p->v4 = p->v6 = (struct ip_addr){0};
    JSON_EACH(item, array) {
        struct ip_prefix prefix;

        if (!ip_prefix_parse(json_as_str(item, STR_NONE), &prefix)) {
            complain(s, "an address of node %" PRIu64 " is none", p->id);
            return false;
        }
        *(prefix.addr.family == IP_V4 ? &p->v4 : &p->v6) = prefix.addr;
    }
    return true;
}

static bool read_endpoints(struct netmap_state *s, struct netmap_peer *p,
                           const struct json_value *array)
{
    struct ip_addrport first = {0};

    JSON_EACH(item, array) {
        struct ip_addrport at;

        if (!ip_addrport_parse(json_as_str(item, STR_NONE), &at)) {
            complain(s, "an endpoint of node %" PRIu64 " is none", p->id);
            return false;
        }
        if (first.addr.family == 0)
            first = at;
    }
    p->endpoint = first;
    return true;
}

static bool read_node(struct netmap_state *s, struct netmap_peer *p, const struct json_value *node)
{
    p->id = json_get_u64(node, "ID", 0);
    if (p->id == 0) {
        complain(s, "a node has no id");
        return false;
    }
    set(&p->name, json_get_str(node, "Name"));
    p->online = json_get_bool(node, "Online", false);
    p->home_derp = json_get_u64(node, "HomeDERP", 0);
    if (s->keep_json)
        keep_json(p, node, false);
    return read_key(s, json_get(node, "Key"), &p->key) &&
           read_addresses(s, p, json_get_array(node, "Addresses")) &&
           read_endpoints(s, p, json_get_array(node, "Endpoints"));
}

/* ---- Messages ---- */

static void told(const struct netmap_state *s, const struct netmap_peer *p)
{
    if (s->on_peer)
        s->on_peer(s->user, p);
}

/* A whole node: adds it or takes its place. */
static bool put_peer(struct netmap_state *s, const struct json_value *node)
{
    uint64_t id = json_get_u64(node, "ID", 0);
    struct netmap_peer *p = map_find_u64(s->peers, id);

    if (!p) {
        p = NEW(struct netmap_peer);
        (void)map_put_u64(s->peers, id, p);
    }
    if (!read_node(s, p, node))
        return false;
    if (id == s->self.id)
        complain(s, "node %" PRIu64 " is its own peer", id);
    if (!map_find_u64(s->profiles, json_get_u64(node, "User", 0)))
        complain(s, "peer %" PRIu64 " has a user without profile", id);
    told(s, p);
    return true;
}

/* Unknown ids are ignored; a member that is absent leaves what was. */
static bool patch_peer(struct netmap_state *s, const struct json_value *patch)
{
    struct netmap_peer *p = map_find_u64(s->peers, json_get_u64(patch, "NodeID", 0));
    const struct json_value *endpoints = json_get_array(patch, "Endpoints");
    uint64_t region = json_get_u64(patch, "DERPRegion", 0);

    if (!p)
        return true;
    if (s->keep_json)
        keep_json(p, patch, true);
    if (region != 0)
        p->home_derp = region;
    p->online = json_get_bool(patch, "Online", p->online);
    if (!read_key(s, json_get(patch, "Key"), &p->key) ||
        (endpoints && !read_endpoints(s, p, endpoints)))
        return false;
    told(s, p);
    return true;
}

static void set_online(struct netmap_state *s, const struct json_value *member)
{
    uint64_t id = 0;
    struct netmap_peer *p = str_parse_u64(member->key, &id) ? map_find_u64(s->peers, id) : NULL;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *patch = NULL;

    if (!p || !json_is(member, JSON_BOOL))
        return;
    p->online = member->boolean;
    if (s->keep_json &&
        json_parse(arena, p->online ? STR("{\"Online\":true}") : STR("{\"Online\":false}"), NULL,
                   &patch, NULL))
        keep_json(p, patch, true);
    told(s, p);
}

static bool apply_all_peers(struct netmap_state *s, const struct json_value *all)
{
    s->full_maps++;
    forget_peers(s);
    JSON_EACH(node, all) {
        if (map_find_u64(s->peers, json_get_u64(node, "ID", 0)))
            complain(s, "peer %" PRIu64 " is listed twice", json_get_u64(node, "ID", 0));
        if (!put_peer(s, node))
            return false;
    }
    return true;
}

static bool apply_peers(struct netmap_state *s, const struct json_value *m)
{
    const struct json_value *all = json_get_array(m, "Peers");

    /* A complete list: whatever else the message says of peers is not looked at. */
    if (json_len(all) > 0)
        return apply_all_peers(s, all);
    JSON_EACH(id, json_get_array(m, "PeersRemoved"))
        peer_free(map_remove_u64(s->peers, json_as_u64(id, 0)));
    JSON_EACH(node, json_get_array(m, "PeersChanged"))
        if (!put_peer(s, node))
            return false;
    JSON_EACH(member, json_get_object(m, "OnlineChange"))
        set_online(s, member);
    JSON_EACH(patch, json_get_array(m, "PeersChangedPatch"))
        if (!patch_peer(s, patch))
            return false;
    return true;
}

static void apply_rest(struct netmap_state *s, const struct json_value *m)
{
    s->has_derp_map = s->has_derp_map || json_get_object(m, "DERPMap");
    s->has_filter =
        s->has_filter || json_get_array(m, "PacketFilter") || json_get_object(m, "PacketFilters");
    JSON_EACH(profile, json_get_array(m, "UserProfiles"))
        (void)map_put_u64(s->profiles, json_get_u64(profile, "ID", 0), s);
    for (size_t i = 0; s->keep_json && i < NETMAP_KEPT; i++) {
        const struct json_value *v = json_get(m, kept_names[i]);

        if (v && !json_is(v, JSON_NULL))
            set(&s->kept[i], v->raw);
    }
}

static bool apply_self(struct netmap_state *s, const struct json_value *node)
{
    if (!node)
        return true;
    s->has_self = true;
    s->self_expired = json_get_bool(node, "Expired", false);
    str_free(&s->self.json); /* replaced whole, nothing is lost on the way */
    return read_node(s, &s->self, node);
}

bool netmap_state_apply(struct netmap_state *s, const struct json_value *m)
{
    s->messages++;
    if (json_get_bool(m, "KeepAlive", false)) {
        s->keep_alives++;
        return true;
    }
    if (!apply_self(s, json_get_object(m, "Node")))
        return false;
    if (!s->has_self) {
        complain(s, "the first message has no Node");
        return false;
    }
    apply_rest(s, m);
    return apply_peers(s, m);
}

size_t netmap_state_peers(const struct netmap_state *s)
{
    return map_len(s->peers);
}

const struct netmap_peer *netmap_state_peer(const struct netmap_state *s, uint64_t id)
{
    return map_find_u64(s->peers, id);
}

/* ---- Comparing ---- */

bool netmap_state_same(const struct netmap_state *s, const struct netmap_state *fresh, char *why,
                       size_t why_len)
{
    static const struct node_text_ignored all = {NULL, 0};
    struct str key;
    void *value;

    for (size_t i = 0; i < NETMAP_KEPT; i++) {
        if (!node_text_eq_json(s->kept[i], fresh->kept[i])) {
            (void)snprintf(why, why_len, "%s differs", kept_names[i]);
            return false;
        }
    }
    if (!node_text_same(s->self.json, fresh->self.json, &node_text_own, s->self.id, why, why_len))
        return false;
    if (netmap_state_peers(s) != netmap_state_peers(fresh)) {
        (void)snprintf(why, why_len, "%zu peers, should be %zu", netmap_state_peers(s),
                       netmap_state_peers(fresh));
        return false;
    }
    for (size_t at = 0; map_next(fresh->peers, &at, &key, &value);) {
        const struct netmap_peer *b = value, *a = netmap_state_peer(s, b->id);

        if (!a) {
            (void)snprintf(why, why_len, "peer %" PRIu64 " is missing", b->id);
            return false;
        }
        if (!node_text_same(a->json, b->json, b->online ? &node_text_online : &all, b->id, why,
                            why_len))
            return false;
    }
    return true;
}
