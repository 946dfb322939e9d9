/* Packets, capabilities, peers and routes. The paragraphs meant by numbers are those of policy.md.
 */

#include "naive.h"

/* ---- Nodes ---- */

bool naive_has_route(const struct node *n, struct ip_prefix p)
{
    return ip_prefix_in(n->facts->routes, n->facts->n_routes, p) &&
           ip_prefix_in(n->approved, n->n_approved, p);
}

bool naive_is_exit(const struct node *n)
{
    for (size_t i = 0; i < n->facts->n_routes; i++)
        if (ip_prefix_is_exit(n->facts->routes[i]) && naive_has_route(n, n->facts->routes[i]))
            return true;
    return false;
}

bool naive_is_served(const struct node *n, struct ip_prefix p)
{
    return ip_prefix_in(n->serving, n->n_serving, p);
}

bool naive_routes_overlap(const struct node *n, const struct ip_set *set)
{
    for (size_t i = 0; i < n->facts->n_routes; i++) {
        struct ip_prefix p = n->facts->routes[i];

        if (!ip_prefix_is_exit(p) && naive_has_route(n, p) &&
            ip_set_overlaps(set, ip_range_of_prefix(p)))
            return true;
    }
    return false;
}

bool naive_owns(const struct node *n, struct ip_addr a)
{
    return ip_addr_is_set(a) && (ip_addr_eq(n->v4, a) || ip_addr_eq(n->v6, a));
}

bool naive_has_own(const struct node *n, const struct ip_set *set)
{
    return (ip_addr_is_set(n->v4) && ip_set_contains(set, n->v4)) ||
           (ip_addr_is_set(n->v6) && ip_set_contains(set, n->v6));
}

bool naive_matches(const struct node *n, const struct ip_set *set)
{
    return naive_has_own(n, set) || naive_routes_overlap(n, set);
}

static void add_addresses(struct ip_set *set, const struct node *n)
{
    if (ip_addr_is_set(n->v4))
        ip_set_add_addr(set, n->v4);
    if (ip_addr_is_set(n->v6))
        ip_set_add_addr(set, n->v6);
}

static bool same_owner(const struct node *a, const struct node *b)
{
    return !node_is_tagged(a) && !node_is_tagged(b) && a->user == b->user;
}

/* ---- Address sets ---- */

static void add_text(struct ip_set *set, const char *range)
{
    struct ip_range r;

    ASSERT(ip_range_parse_any(str_from(range), &r));
    ip_set_add(set, r);
}

static void add_everything(struct ip_set *set)
{
    add_text(set, "0.0.0.0/0");
    add_text(set, "::/0");
}

/* 7.7 */
static void add_internet(struct ip_set *set)
{
    add_text(set, "0.0.0.0/0");
    add_text(set, "2000::/3");
    ip_set_remove(set, ip_range_of_prefix((struct ip_prefix){IP_ADDR_V4(10, 0, 0, 0), 8}));
    ip_set_remove(set, ip_range_of_prefix((struct ip_prefix){IP_ADDR_V4(100, 64, 0, 0), 10}));
    ip_set_remove(set, ip_range_of_prefix((struct ip_prefix){IP_ADDR_V4(169, 254, 0, 0), 16}));
    ip_set_remove(set, ip_range_of_prefix((struct ip_prefix){IP_ADDR_V4(172, 16, 0, 0), 12}));
    ip_set_remove(set, ip_range_of_prefix((struct ip_prefix){IP_ADDR_V4(192, 168, 0, 0), 16}));
}

/* 3.2; with a posture the ranges give way to the nodes that have it. */
static void add_wildcard_source(struct ip_set *set, const struct policy_postures *p,
                                const struct tailnet_view *v)
{
    const struct node *n;

    if (p->len == 0) {
        add_text(set, "100.64.0.0-100.115.91.255");
        add_text(set, "100.115.94.0-100.127.255.255");
        add_text(set, "fd7a:115c:a1e0::/48");
    }
    for (size_t at = 0; (n = view_node_next(v, &at));) {
        if (p->len > 0 && naive_passes(p, n))
            add_addresses(set, n);
        for (size_t i = 0; i < n->facts->n_routes; i++)
            if (!ip_prefix_is_exit(n->facts->routes[i]) && naive_has_route(n, n->facts->routes[i]))
                ip_set_add_prefix(set, n->facts->routes[i]);
    }
}

static void add_source(struct ip_set *set, const struct policy_selector *s,
                       const struct policy_postures *p, const struct tailnet_view *v)
{
    const struct node *n;

    if (s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST) {
        ip_set_add_prefix(set, s->prefix);
    } else if (s->kind == SELECTOR_IPSET) {
        ip_set_union(set, set, &s->ipset->set);
    } else if (s->kind == SELECTOR_WILDCARD) {
        add_wildcard_source(set, p, v);
    } else if (s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_DANGER_ALL) {
        add_everything(set);
    } else {
        for (size_t at = 0; (n = view_node_next(v, &at));)
            if (naive_selects(s, v, n) && naive_passes(p, n))
                add_addresses(set, n);
    }
}

void naive_add_sources(struct ip_set *set, const struct policy_rule *r,
                       const struct tailnet_view *v)
{
    for (size_t i = 0; i < r->src.len; i++)
        add_source(set, r->src.items[i].selector, &r->postures, v);
}

/* All a destination stands for, the same everywhere; nothing for self and internet. */
void naive_add_destination(struct ip_set *set, const struct policy_selector *s,
                           const struct tailnet_view *v)
{
    static const struct policy_postures any = {0};

    if (s->kind == SELECTOR_WILDCARD)
        add_everything(set);
    else
        add_source(set, s, &any, v);
}

bool naive_is_autogroup(const struct policy_selector *s, enum policy_autogroup g)
{
    return s->kind == SELECTOR_AUTOGROUP && s->autogroup == g;
}

/* ---- What a rule comes to at a node ---- */

static struct naive_rule *add_rule(struct naive_rules *r, size_t number)
{
    r->items = mem_realloc_array(r->items, r->len + 1, sizeof(*r->items));
    r->items[r->len] = (struct naive_rule){.number = number};
    return &r->items[r->len++];
}

static struct ip_set *add_dst(struct naive_rule *r)
{
    r->dst = mem_realloc_array(r->dst, r->n_dst + 1, sizeof(*r->dst));
    r->dst[r->n_dst] = (struct ip_set){0};
    return &r->dst[r->n_dst++];
}

/* Address by address, prefix by prefix: each is kept or dropped for itself (7.9). */
static void add_dst_parts(struct naive_rule *r, const struct policy_selector *s,
                          const struct tailnet_view *v)
{
    const struct node *n;

    if (s->kind == SELECTOR_WILDCARD)
        add_everything(add_dst(r));
    else if (s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST)
        ip_set_add_prefix(add_dst(r), s->prefix);
    else if (s->kind == SELECTOR_IPSET)
        for (size_t i = 0; i < s->ipset->set.len; i++)
            ip_set_add(add_dst(r), s->ipset->set.ranges[i]);
    else
        for (size_t at = 0; (n = view_node_next(v, &at));)
            if (naive_selects(s, v, n)) {
                if (ip_addr_is_set(n->v4))
                    ip_set_add_addr(add_dst(r), n->v4);
                if (ip_addr_is_set(n->v6))
                    ip_set_add_addr(add_dst(r), n->v6);
            }
}

bool naive_is_literal(const struct policy_selector *s)
{
    return s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST || s->kind == SELECTOR_IPSET ||
           s->kind == SELECTOR_WILDCARD;
}

bool naive_carries_via(const struct policy_rule *rule, const struct node *n)
{
    for (size_t i = 0; i < rule->via.len; i++)
        if (str_list_has(&n->tags, rule->via.items[i].selector->tag->name))
            return true;
    return false;
}

/* 7.9, 7.10. */
static void drop_dst(struct naive_rule *r, const struct policy_rule *rule,
                     const struct policy_selector *s, const struct node *n)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->n_dst; i++) {
        bool keep = r->to_internet;

        if (rule && rule->via.len > 0)
            keep = keep || (naive_is_literal(s) && naive_routes_overlap(n, &r->dst[i]));
        else
            keep = keep || naive_matches(n, &r->dst[i]);
        if (keep)
            r->dst[kept++] = r->dst[i];
        else
            ip_set_fini(&r->dst[i]);
    }
    r->n_dst = kept;
}

static void narrow_to_owner(struct naive_rule *r, const struct tailnet_view *v,
                            const struct node *n)
{
    struct ip_set own = {0};
    const struct node *other;

    for (size_t at = 0; (other = view_node_next(v, &at));)
        if (same_owner(n, other))
            add_addresses(&own, other);
    ip_set_intersect(&r->src, &r->src, &own);
    ip_set_fini(&own);
}

/* Sources and destinations of one destination selector of the rule at the node. */
static void fill(struct naive_rule *r, const struct policy_rule *rule,
                 const struct policy_selector *s, const struct tailnet_view *v,
                 const struct node *n)
{
    r->is_via = rule->via.len > 0;
    if (r->is_via && !naive_carries_via(rule, n))
        return;
    naive_add_sources(&r->src, rule, v);
    if (naive_is_autogroup(s, AUTOGROUP_SELF)) {
        if (node_is_tagged(n))
            return;
        narrow_to_owner(r, v, n);
        add_addresses(add_dst(r), n);
    } else if (naive_is_autogroup(s, AUTOGROUP_INTERNET)) {
        r->to_internet = true;
        if (naive_is_exit(n))
            add_internet(add_dst(r));
    } else {
        add_dst_parts(r, s, v);
    }
    drop_dst(r, rule, s, n);
}

/* 7.8: only the node's own addresses. */
static void keep_own_addresses(struct naive_rule *r, const struct node *n)
{
    struct ip_set own = {0};

    add_addresses(&own, n);
    for (size_t i = 0; i < r->n_dst; i++)
        ip_set_intersect(&r->dst[i], &r->dst[i], &own);
    ip_set_fini(&own);
}

struct str naive_companion(struct str cap)
{
    if (str_eq(cap, STR("tailscale.com/cap/drive")))
        return STR("tailscale.com/cap/drive-sharer");
    if (str_eq(cap, STR("tailscale.com/cap/relay")))
        return STR("tailscale.com/cap/relay-target");
    return STR_NONE;
}

void naive_add_companion_source(struct ip_set *set, const struct policy_selector *s,
                                const struct tailnet_view *v)
{
    static const struct policy_postures any = {0};

    add_source(set, s, &any, v);
}

/* 7.8: from the grant's destinations to its sources. */
static void fill_companion(struct naive_rule *r, const struct policy_rule *rule,
                           const struct policy_selector *s, const struct tailnet_view *v,
                           const struct node *n)
{
    struct ip_set *dst = add_dst(r);
    const struct node *other;

    naive_add_sources(dst, rule, v);
    if (naive_is_autogroup(s, AUTOGROUP_SELF)) {
        for (size_t at = 0; (other = view_node_next(v, &at));)
            if (same_owner(n, other))
                add_addresses(&r->src, other);
    } else {
        naive_add_companion_source(&r->src, s, v);
    }
    keep_own_addresses(r, n);
}

static void add_app(struct naive_rules *out, size_t number, const struct policy_rule *rule,
                    const struct policy_selector *s, const struct tailnet_view *v,
                    const struct node *n)
{
    for (size_t i = 0; i < rule->n_app; i++) {
        struct naive_rule *r = add_rule(out, number);

        fill(r, rule, s, v, n);
        if (r->is_via)
            continue;
        r->cap = rule->app[i].name;
        keep_own_addresses(r, n);
        struct str companion = naive_companion(r->cap);
        if (companion.len == 0)
            continue;
        r = add_rule(out, number);
        r->cap = companion;
        fill_companion(r, rule, s, v, n);
    }
}

static void add_policy_rule(struct naive_rules *out, size_t number, const struct policy_rule *rule,
                            const struct tailnet_view *v, const struct node *n)
{
    for (size_t i = 0; i < rule->n_dst; i++) {
        const struct policy_target *t = &rule->dst[i];
        struct naive_rule *r;

        if (rule->is_acl) {
            r = add_rule(out, number);
            r->is_packets = true;
            r->proto = rule->proto;
            r->ports = t->ports;
            r->n_ports = t->n_ports;
            fill(r, rule, t->ref.selector, v, n);
        }
        for (size_t k = 0; k < rule->n_ip; k++) {
            r = add_rule(out, number);
            r->is_packets = true;
            r->proto = rule->ip[k].proto;
            r->ports = rule->ip[k].ports;
            r->n_ports = rule->ip[k].n_ports;
            fill(r, rule, t->ref.selector, v, n);
        }
        add_app(out, number, rule, t->ref.selector, v, n);
    }
}

/* 14 */
static void add_allow_all(struct naive_rules *out, const struct policy_document *d,
                          const struct tailnet_view *v)
{
    static const struct ip_ports all = {0, 65535};
    static const struct policy_postures any = {0};
    struct naive_rule *r = add_rule(out, 0);

    r->is_packets = true;
    r->proto = -1;
    r->ports = &all;
    r->n_ports = 1;
    if (d)
        add_wildcard_source(&r->src, &any, v);
    else
        add_everything(&r->src);
    add_everything(add_dst(r));
}

void naive_rules_init(struct naive_rules *out, const struct policy_document *d,
                      const struct tailnet_view *v, const struct node *n)
{
    *out = (struct naive_rules){0};
    if (!d || !d->has_rules)
        add_allow_all(out, d, v);
    for (size_t i = 0; d && i < d->n_grants; i++)
        add_policy_rule(out, i, &d->grants[i], v, n);
    for (size_t i = 0; d && i < d->n_acls; i++)
        add_policy_rule(out, d->n_grants + i, &d->acls[i], v, n);
}

void naive_rules_fini(struct naive_rules *r)
{
    for (size_t i = 0; i < r->len; i++) {
        for (size_t k = 0; k < r->items[i].n_dst; k++)
            ip_set_fini(&r->items[i].dst[k]);
        mem_free(r->items[i].dst);
        ip_set_fini(&r->items[i].src);
    }
    mem_free(r->items);
    *r = (struct naive_rules){0};
}

/* ---- Questions about rules ---- */

static bool takes(const struct naive_rule *r, int proto, uint16_t port)
{
    bool has_ports = proto == 6 || proto == 17 || proto == 132;

    if (r->proto == -1 && proto != 6 && proto != 17 && proto != 1 && proto != 58)
        return false;
    if (r->proto != -1 && r->proto != proto)
        return false;
    for (size_t i = 0; i < r->n_ports; i++)
        if (!has_ports || ip_ports_contains(r->ports[i], port))
            return true;
    return false;
}

static bool goes_to(const struct naive_rule *r, struct ip_addr dst)
{
    for (size_t i = 0; i < r->n_dst; i++)
        if (ip_set_contains(&r->dst[i], dst))
            return true;
    return false;
}

bool naive_rules_allow(const struct naive_rules *r, struct ip_addr src, struct ip_addr dst,
                       int proto, uint16_t port)
{
    for (size_t i = 0; i < r->len; i++)
        if (r->items[i].is_packets && ip_set_contains(&r->items[i].src, src) &&
            goes_to(&r->items[i], dst) && takes(&r->items[i], proto, port))
            return true;
    return false;
}

bool naive_rules_have_cap(const struct naive_rules *r, struct ip_addr src, struct ip_addr dst,
                          struct str cap)
{
    for (size_t i = 0; i < r->len; i++)
        if (r->items[i].cap.len > 0 && str_eq(r->items[i].cap, cap) &&
            ip_set_contains(&r->items[i].src, src) && goes_to(&r->items[i], dst))
            return true;
    return false;
}

bool naive_allows(const struct policy_document *d, const struct tailnet_view *v, struct ip_addr src,
                  struct ip_addr dst, int proto, uint16_t port)
{
    const struct node *n;
    bool allows = false;

    for (size_t at = 0; (n = view_node_next(v, &at)) && !allows;) {
        struct naive_rules r;
        bool is_here = naive_owns(n, dst);

        for (size_t i = 0; i < n->facts->n_routes; i++)
            is_here = is_here || (naive_has_route(n, n->facts->routes[i]) &&
                                  ip_prefix_contains(n->facts->routes[i], dst));
        if (!is_here)
            continue;
        naive_rules_init(&r, d, v, n);
        allows = naive_rules_allow(&r, src, dst, proto, port);
        naive_rules_fini(&r);
    }
    return allows;
}

bool naive_has_cap(const struct policy_document *d, const struct tailnet_view *v,
                   struct ip_addr src, const struct node *dst, struct str cap)
{
    struct naive_rules r;

    naive_rules_init(&r, d, v, dst);
    bool has = naive_rules_have_cap(&r, src, src.family == IP_V4 ? dst->v4 : dst->v6, cap);
    naive_rules_fini(&r);
    return has;
}

/* ---- Peers (9) ---- */

static bool reaches(const struct policy_document *d, const struct tailnet_view *v,
                    const struct node *from, const struct node *to)
{
    struct naive_rules r;
    bool does = false;

    naive_rules_init(&r, d, v, to);
    for (size_t i = 0; i < r.len && !does; i++) {
        bool has_dst = false;

        for (size_t k = 0; k < r.items[i].n_dst; k++)
            has_dst = has_dst || !ip_set_is_empty(&r.items[i].dst[k]);
        does = has_dst && naive_matches(from, &r.items[i].src);
    }
    naive_rules_fini(&r);
    return does;
}

bool naive_sees(const struct policy_document *d, const struct tailnet_view *v, const struct node *a,
                const struct node *b)
{
    return a->id != b->id && (reaches(d, v, a, b) || reaches(d, v, b, a));
}
