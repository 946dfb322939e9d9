/* Nodes in the words of protocol.md 7, and what changed of them in those of 6.6. */

#include "netmap/encode.h"

#include "core/clock.h"
#include "core/mem.h"
#include "ip/prefix.h"
#include "json/writer.h"

#define SLOT_CARD 0
#define CARD_MAX ((size_t)4 << 20)
#define PEER_HOSTINFO_MAX ((size_t)1 << 20)

static user_id node_owner(const struct node *n)
{
    return n->user ? n->user : USER_TAGGED_DEVICES;
}

static void put_prefix(struct json_writer *w, struct ip_prefix p)
{
    json_begin_plain(w);
    ip_prefix_put(w->out, p);
    json_end_plain(w);
}

/* What a node's addresses and routes are in the Node at hand. */
struct routing {
    bool hides_v4;
    const struct ip_prefix *routes; /* AllowedIPs beside its own addresses */
    size_t n_routes;
    const struct ip_prefix *primary; /* NULL: those of the routes that are no exit routes */
    size_t n_primary;
};

static void put_own_addresses(struct json_writer *w, const struct node *n, const struct routing *r)
{
    if (ip_addr_is_set(n->v4) && !r->hides_v4)
        put_prefix(w, ip_prefix_single(n->v4));
    if (ip_addr_is_set(n->v6))
        put_prefix(w, ip_prefix_single(n->v6));
}

/* Addresses, AllowedIPs and PrimaryRoutes. What is routed to a node is AllowedIPs and nothing else.
 */
static void field_routes(struct json_writer *w, const struct node *n, const struct routing *r)
{
    const struct ip_prefix *primary = r->primary ? r->primary : r->routes;
    size_t n_primary = r->primary ? r->n_primary : r->n_routes;
    bool any = false;

    json_field_array(w, STR("Addresses"));
    put_own_addresses(w, n, r);
    json_end_array(w);

    json_field_array(w, STR("AllowedIPs"));
    put_own_addresses(w, n, r);
    for (size_t i = 0; i < r->n_routes; i++)
        put_prefix(w, r->routes[i]);
    json_end_array(w);

    for (size_t i = 0; i < n_primary; i++) {
        if (ip_prefix_is_exit(primary[i]))
            continue;
        if (!any)
            json_field_array(w, STR("PrimaryRoutes"));
        any = true;
        put_prefix(w, primary[i]);
    }
    if (any)
        json_end_array(w);
}

/* Always there: clients overlook a list that merely goes missing. */
static void field_endpoints(struct json_writer *w, const struct node *n)
{
    json_field_array(w, STR("Endpoints"));
    for (size_t i = 0; i < n->n_endpoints; i++) {
        json_begin_plain(w);
        ip_addrport_put(w->out, n->endpoints[i]);
        json_end_plain(w);
    }
    json_end_array(w);
}

#define FIELD_KEY(w, name, kind, key) \
    do {                              \
        json_key((w), STR(name));     \
        json_begin_plain(w);          \
        kind##_put((w)->out, (key));  \
        json_end_plain(w);            \
    } while (0)

static void field_last_seen(struct json_writer *w, const struct node *n)
{
    if (!n->online && n->last_seen_ms)
        json_field_time(w, STR("LastSeen"), n->last_seen_ms);
}

static void opt_addr(struct json_writer *w, struct str name, struct ip_addr addr)
{
    if (!ip_addr_is_set(addr))
        return;
    json_key(w, name);
    json_begin_plain(w);
    ip_addr_put(w->out, addr);
    json_end_plain(w);
}

static void put_guest_terms(struct json_writer *w, const struct netmap_guest_terms *g)
{
    json_opt_u64(w, STR("Sharer"), g->sharer);
    json_opt_bool(w, STR("IsJailed"), g->is_jailed);
    if (!g->alias)
        return;
    opt_addr(w, STR("SelfNodeV4MasqAddrForThisPeer"), g->alias->v4);
    opt_addr(w, STR("SelfNodeV6MasqAddrForThisPeer"), g->alias->v6);
}

/* Everything but the Hostinfo, the capabilities and the machine key; the object stays open. */
static void put_common(struct json_writer *w, const struct node *n, const struct routing *routing,
                       const struct str_list *tags)
{
    json_field_u64(w, STR("ID"), n->id);
    json_field_str(w, STR("StableID"), n->stable_id);
    json_field_str(w, STR("Name"), n->fqdn);
    json_field_u64(w, STR("User"), node_owner(n));
    FIELD_KEY(w, "Key", node_key, &n->key);
    if (n->expiry_ms)
        json_field_time(w, STR("KeyExpiry"), n->expiry_ms);
    if (!disco_key_is_zero(&n->disco))
        FIELD_KEY(w, "DiscoKey", disco_key, &n->disco);
    field_routes(w, n, routing);
    field_endpoints(w, n);
    if (n->home_derp) {
        json_key(w, STR("DERP"));
        json_begin_plain(w);
        buf_put(w->out, STR("127.3.3.40:"));
        buf_put_u64(w->out, n->home_derp);
        json_end_plain(w);
        json_field_u64(w, STR("HomeDERP"), n->home_derp);
    }
    json_field_time(w, STR("Created"), n->created_ms);
    json_opt_u64(w, STR("Cap"), n->capver);
    json_opt_str_list(w, STR("Tags"), tags);
    field_last_seen(w, n);
    json_field_bool(w, STR("Online"), n->online);
    json_field_bool(w, STR("MachineAuthorized"), node_has_access(n));
    json_opt_bool(w, STR("Expired"), n->expired);
}

/* ---- Cards ---- */

/* All the node serves, exit routes last. Heap. */
static struct ip_prefix *served_routes(const struct node *n, size_t *len)
{
    struct ip_prefix *all = mem_alloc_array(n->n_serving + 2, sizeof *all);

    *len = 0;
    for (size_t i = 0; i < n->n_serving; i++)
        all[(*len)++] = n->serving[i];
    if (n->exit_node) {
        all[(*len)++] = (struct ip_prefix){.addr = {.family = IP_V4}};
        all[(*len)++] = (struct ip_prefix){.addr = {.family = IP_V6}};
    }
    return all;
}

/* `guest` is NULL for the tailnet's own. */
static void put_card(struct buf *out, const struct node *n, const struct routing *routing,
                     const struct netmap_guest_terms *guest)
{
    struct str hostinfo = n->facts->hostinfo_peer;
    struct json_writer w = JSON_WRITER(out);

    if (hostinfo.len == 0 || hostinfo.len > PEER_HOSTINFO_MAX)
        hostinfo = STR("{}");
    json_begin_object(&w);
    put_common(&w, n, routing, guest ? &(struct str_list){0} : &n->tags);
    if (guest) {
        put_guest_terms(&w, guest);
        json_key(&w, STR("Hostinfo"));
        json_value_follows(&w);
        netmap_put_guest_hostinfo(out, n, guest);
    } else {
        json_field_raw(&w, STR("Hostinfo"), hostinfo);
    }
    json_end_object(&w);
}

struct str netmap_card(const struct node *n)
{
    struct blob *card = node_slot_get(n, SLOT_CARD);
    struct routing routing = {0};
    struct ip_prefix *routes;
    struct buf text = BUF(CARD_MAX);

    if (card)
        return blob_str(card);
    routing.routes = routes = served_routes(n, &routing.n_routes);
    put_card(&text, n, &routing, NULL);
    mem_free(routes);
    /* The domain bounds routes, tags, endpoints and names far below the ceiling. */
    ASSERT(!buf_is_full(&text));
    card = node_slot_fill(n, SLOT_CARD, blob_new(buf_str(&text)));
    buf_fini(&text);
    return blob_str(card);
}

static bool same_routes(const struct ip_prefix *a, size_t n_a, const struct ip_prefix *b,
                        size_t n_b)
{
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++)
        if (!ip_prefix_eq(a[i], b[i]))
            return false;
    return true;
}

static void variant_routes(const struct policy *p, uint32_t viewer, const struct node *n,
                           struct netmap_variant *out)
{
    size_t max = n->n_approved + 2, n_served;
    struct ip_prefix *served;

    out->routes = mem_alloc_array(max, sizeof *out->routes);
    out->n_routes = MIN(policy_class_routes(p, viewer, n->id, out->routes, max), max);
    served = served_routes(n, &n_served);
    out->all_routes = same_routes(out->routes, out->n_routes, served, n_served);
    mem_free(served);
}

bool netmap_routes_vary(const struct policy *p, const struct node *n)
{
    return !policy_is_open(p) && (policy_has_routes(p, n->id) || n->n_serving || n->exit_node);
}

/* Only what the share is for, whatever the policy shows. */
static void guest_variant(const struct policy *p, const struct netmap_eye *viewer,
                          const struct node *n, struct netmap_variant *out)
{
    const struct abroad_item *item = abroad_find(viewer->self->abroad, n->id);
    size_t kept = 0;

    out->is_guest = true;
    out->all_routes = false;
    out->guest.alias = abroad_alias_find(viewer->self->abroad, n->tailnet);
    if (!item)
        return;
    out->guest.is_lent = true;
    out->guest.is_jailed = !abroad_find(n->abroad, viewer->self->id);
    out->guest.is_exit = item->terms.exit_node;
    out->guest.sharer = item->sharer ? item->sharer : node_owner(n);
    if (netmap_routes_vary(p, n))
        variant_routes(p, viewer->cls, n, out);
    out->all_routes = false;
    for (size_t i = 0; i < out->n_routes; i++) {
        struct ip_prefix r = out->routes[i];

        if (ip_prefix_is_exit(r) ? item->terms.exit_node
                                 : item->terms.all_routes ||
                                       ip_prefix_in(item->terms.routes, item->terms.n_routes, r))
            out->routes[kept++] = r;
    }
    out->n_routes = kept;
}

void netmap_variant_of(const struct policy *p, const struct netmap_eye *viewer,
                       const struct node *n, struct netmap_variant *out)
{
    uint32_t cls;

    *out = (struct netmap_variant){.all_routes = true};
    if (policy_is_open(p))
        return;
    cls = policy_class_of(p, n->id);
    out->hides_v4 = policy_class_hides_ipv4(p, cls) || policy_class_hides_ipv4(p, viewer->cls);
    out->caps = policy_class_caps(p, cls);
    if (viewer->self && viewer->self->tailnet != n->tailnet)
        guest_variant(p, viewer, n, out);
    else if (netmap_routes_vary(p, n))
        variant_routes(p, viewer->cls, n, out);
}

void netmap_variant_fini(struct netmap_variant *v)
{
    mem_free(v->routes);
    *v = (struct netmap_variant){0};
}

static bool alias_eq(const struct abroad_alias *a, const struct abroad_alias *b)
{
    if (!a || !b)
        return a == b;
    return ip_addr_eq(a->v4, b->v4) && ip_addr_eq(a->v6, b->v6);
}

static bool guest_terms_eq(const struct netmap_guest_terms *a, const struct netmap_guest_terms *b)
{
    return a->is_lent == b->is_lent && a->is_jailed == b->is_jailed && a->is_exit == b->is_exit &&
           a->sharer == b->sharer && alias_eq(a->alias, b->alias);
}

bool netmap_variant_eq(const struct netmap_variant *a, const struct netmap_variant *b)
{
    if (a->hides_v4 != b->hides_v4 || a->all_routes != b->all_routes)
        return false;
    if (a->is_guest != b->is_guest || (a->is_guest && !guest_terms_eq(&a->guest, &b->guest)))
        return false;
    return a->all_routes || same_routes(a->routes, a->n_routes, b->routes, b->n_routes);
}

/* The text of an object with one more member. */
static void put_with_caps(struct buf *out, struct str object, struct str caps)
{
    if (caps.len == 0) {
        buf_put(out, object);
        return;
    }
    buf_put(out, str_sub(object, 0, object.len - 1));
    buf_put(out, STR(",\"CapMap\":"));
    buf_put(out, caps);
    buf_put_char(out, '}');
}

void netmap_put_card(struct buf *out, const struct node *n, const struct netmap_variant *v)
{
    struct ip_prefix *served = NULL;
    struct routing routing = {.hides_v4 = v->hides_v4, v->routes, v->n_routes, NULL, 0};
    struct buf text = BUF(CARD_MAX);

    if (v->all_routes && !v->hides_v4) {
        put_with_caps(out, netmap_card(n), v->caps);
        return;
    }
    if (v->all_routes)
        routing.routes = served = served_routes(n, &routing.n_routes);
    put_card(&text, n, &routing, v->is_guest ? &v->guest : NULL);
    put_with_caps(out, buf_str(&text), v->caps);
    mem_free(served);
    buf_fini(&text);
}

void netmap_put_card_for(struct buf *out, const struct policy *p, const struct netmap_eye *viewer,
                         const struct node *n)
{
    struct netmap_variant v;

    if (policy_is_open(p)) {
        buf_put(out, netmap_card(n));
        return;
    }
    netmap_variant_of(p, viewer, n, &v);
    netmap_put_card(out, n, &v);
    netmap_variant_fini(&v);
}

/* ---- The node itself ---- */

void netmap_put_caps(struct buf *out, const struct tailnet_info *info)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_field_null(&w, STR("https://tailscale.com/cap/is-admin"));
    json_field_null(&w, STR("https://tailscale.com/cap/ssh"));
    if (info->taildrop)
        json_field_null(&w, STR("https://tailscale.com/cap/file-sharing"));
    if (info->randomize_client_port)
        json_field_null(&w, STR("randomize-client-port"));
    json_field_array(&w, STR("default-auto-update"));
    json_bool(&w, info->auto_update);
    json_end_array(&w);
    if (info->domain.len) {
        json_field_array(&w, STR("tailnet-display-name"));
        json_str(&w, info->domain);
        json_end_array(&w);
    }
    json_end_object(&w);
}

static bool caps_have(const struct tailnet_info *info, struct str name)
{
    return str_eq(name, STR("https://tailscale.com/cap/is-admin")) ||
           str_eq(name, STR("https://tailscale.com/cap/ssh")) ||
           str_eq(name, STR("default-auto-update")) ||
           (info->taildrop && str_eq(name, STR("https://tailscale.com/cap/file-sharing"))) ||
           (info->randomize_client_port && str_eq(name, STR("randomize-client-port"))) ||
           (info->domain.len && str_eq(name, STR("tailnet-display-name")));
}

/* A hint for one system only (policy.md 5.11). */
static void put_cgnat_hint(struct json_writer *w, const struct policy *p, const struct node *n)
{
    const struct policy_document *d = policy_document(p);

    if (!d || d->cgnat_route == CGNAT_DEFAULT || !str_eq_nocase(n->facts->os, STR("macOS")))
        return;
    json_field_null(w, d->cgnat_route == CGNAT_MAC_ALWAYS ? STR("one-cgnat?v=true")
                                                          : STR("one-cgnat?v=false"));
}

static void put_own_caps(struct json_writer *w, const struct tailnet_info *info,
                         const struct policy *p, const struct node *n)
{
    const struct str *names;
    size_t len;

    netmap_put_caps(w->out, info);
    buf_cut(w->out, w->out->len - 1);
    len = policy_attrs(p, n->id, &names);
    for (size_t i = 0; i < len; i++)
        if (!caps_have(info, names[i]))
            json_field_null(w, names[i]);
    put_cgnat_hint(w, p, n);
    policy_put_attr_app(p, n->id, w);
    json_end_object(w);
}

/* Of its routes it is told all that are approved, and for which it is primary. */
static struct ip_prefix *approved_routes(const struct node *n, size_t *len)
{
    struct ip_prefix *all = mem_alloc_array(n->n_approved, sizeof *all);

    *len = 0;
    for (int exit = 0; exit < 2; exit++)
        for (size_t i = 0; i < n->n_approved; i++)
            if (ip_prefix_is_exit(n->approved[i]) == exit &&
                ip_prefix_in(n->facts->routes, n->facts->n_routes, n->approved[i]))
                all[(*len)++] = n->approved[i];
    return all;
}

bool netmap_own_routes_eq(const struct node *a, const struct node *b)
{
    struct ip_prefix *x, *y;
    size_t n_x, n_y;
    bool same;

    if (a == b)
        return true;
    x = approved_routes(a, &n_x);
    y = approved_routes(b, &n_y);
    same = same_routes(x, n_x, y, n_y);
    mem_free(x);
    mem_free(y);
    return same;
}

void netmap_put_self(struct buf *out, const struct tailnet_info *info, const struct policy *p,
                     const struct node *n)
{
    static const struct ip_prefix none;
    struct json_writer w = JSON_WRITER(out), caps;
    struct routing routing = {.hides_v4 = policy_hides_ipv4(p, n->id),
                              .primary = n->n_serving ? n->serving : &none,
                              .n_primary = n->n_serving};
    struct ip_prefix *routes;

    routing.routes = routes = approved_routes(n, &routing.n_routes);
    json_begin_object(&w);
    put_common(&w, n, &routing, &n->tags);
    FIELD_KEY(&w, "Machine", machine_key, &n->machine);
    json_field_raw(&w, STR("Hostinfo"), n->facts->hostinfo.len ? n->facts->hostinfo : STR("{}"));
    json_key(&w, STR("CapMap"));
    json_value_follows(&w);
    caps = (struct json_writer){.out = out, .comma = true, .depth = 1};
    put_own_caps(&caps, info, p, n);
    json_end_object(&w);
    mem_free(routes);
}

void netmap_put_patch(struct buf *out, const struct node *n, unsigned mask, struct str caps)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_field_u64(&w, STR("NodeID"), n->id);
    if (mask & NODE_DERP)
        json_opt_u64(&w, STR("DERPRegion"), n->home_derp);
    if (mask & NODE_CAPVER)
        json_opt_u64(&w, STR("Cap"), n->capver);
    if (mask & NODE_ENDPOINTS)
        field_endpoints(&w, n);
    if (mask & NODE_KEY)
        FIELD_KEY(&w, "Key", node_key, &n->key);
    if (mask & NODE_DISCO)
        FIELD_KEY(&w, "DiscoKey", disco_key, &n->disco);
    /* A new disco key is believed at once only from a peer that is said to be online. */
    if ((mask & NODE_ONLINE) || ((mask & NODE_DISCO) && n->online))
        json_field_bool(&w, STR("Online"), n->online);
    if (mask & NODE_ONLINE)
        field_last_seen(&w, n);
    /* The zero time takes an expiry away. */
    if (mask & NODE_EXPIRY)
        json_field_time(&w, STR("KeyExpiry"), n->expiry_ms ? n->expiry_ms : CLOCK_ZERO);
    if (caps.len)
        json_field_raw(&w, STR("CapMap"), caps);
    json_end_object(&w);
}
