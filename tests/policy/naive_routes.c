/* Which routes of a peer a viewer is shown. Numbers are policy.md's paragraphs. */

#include "naive.h"

/* ---- Routes (10) ---- */

static bool overlaps_prefix(const struct ip_set *set, struct ip_prefix p)
{
    return ip_set_overlaps(set, ip_range_of_prefix(p));
}

/* Whether one of the rule's destinations overlaps r. */
static bool leads_to(const struct policy_rule *rule, const struct tailnet_view *v,
                     struct ip_prefix route)
{
    bool does = false;

    for (size_t i = 0; i < rule->n_dst && !does; i++) {
        const struct policy_selector *s = rule->dst[i].ref.selector;
        struct ip_set set = {0};

        if (rule->via.len == 0 || naive_is_literal(s))
            naive_add_destination(&set, s, v);
        does = overlaps_prefix(&set, route);
        ip_set_fini(&set);
    }
    return does;
}

/*
 * Whether one of them contains the viewer's addresses, overlaps its routes, or is its internet: the
 * viewer receives the rule. A capability alone is received at the node's own addresses only.
 */
static bool leads_to_node(const struct policy_rule *rule, const struct tailnet_view *v,
                          const struct node *viewer)
{
    bool does = false;

    for (size_t i = 0; i < rule->n_dst && !does; i++) {
        const struct policy_selector *s = rule->dst[i].ref.selector;
        struct ip_set set = {0};

        naive_add_destination(&set, s, v);
        bool is_for_routes = rule->is_acl || rule->n_ip > 0;
        does = (is_for_routes ? naive_matches(viewer, &set) : naive_has_own(viewer, &set)) ||
               (naive_is_autogroup(s, AUTOGROUP_INTERNET) && naive_is_exit(viewer));
        ip_set_fini(&set);
    }
    return does;
}

static bool is_source_of(const struct policy_rule *rule, const struct tailnet_view *v,
                         const struct node *n)
{
    struct ip_set set = {0};

    naive_add_sources(&set, rule, v);
    bool is = naive_matches(n, &set);
    ip_set_fini(&set);
    return is;
}

static bool route_is_source_of(const struct policy_rule *rule, const struct tailnet_view *v,
                               struct ip_prefix route)
{
    struct ip_set set = {0};

    naive_add_sources(&set, rule, v);
    bool is = overlaps_prefix(&set, route);
    ip_set_fini(&set);
    return is;
}

static const struct policy_rule *rule_at(const struct policy_document *d, size_t i)
{
    return i < d->n_grants ? &d->grants[i] : &d->acls[i - d->n_grants];
}

/*
 * The first made of the nodes that carry one of the via tags and have the route; who is offline
 * only where nobody is online.
 */
static bool wins_via(const struct policy_rule *rule, const struct tailnet_view *v,
                     const struct node *peer, struct ip_prefix route)
{
    const struct node *best = NULL, *n;

    for (size_t at = 0; (n = view_node_next(v, &at));) {
        bool is_candidate = naive_carries_via(rule, n) && naive_has_route(n, route);

        if (is_candidate && (!best || (n->online && !best->online) ||
                             (n->online == best->online && n->created_ms < best->created_ms)))
            best = n;
    }
    return best == peer;
}

/* 7.8: the companion's rule goes from the destinations to the sources, and is a rule like others.
 */
static bool companion_leads_to(const struct policy_rule *rule, const struct tailnet_view *v,
                               const struct node *viewer, struct ip_prefix route)
{
    struct ip_set from = {0};
    bool does = false;

    for (size_t i = 0; i < rule->n_dst; i++)
        naive_add_companion_source(&from, rule->dst[i].ref.selector, v);
    for (size_t i = 0; i < rule->n_app; i++)
        does = does || naive_companion(rule->app[i].name).len > 0;
    does = does && naive_matches(viewer, &from) && route_is_source_of(rule, v, route);
    ip_set_fini(&from);
    return does;
}

static bool shows_route(const struct policy_document *d, const struct tailnet_view *v,
                        const struct node *viewer, const struct node *peer, struct ip_prefix route)
{
    bool is_steered = false, wins = false, has_access = false, answers = false;

    if (!d || !d->has_rules || naive_has_route(viewer, route))
        return naive_is_served(peer, route);
    for (size_t i = 0; i < d->n_grants + d->n_acls; i++) {
        const struct policy_rule *rule = rule_at(d, i);
        bool goes = is_source_of(rule, v, viewer) && leads_to(rule, v, route);

        if (rule->via.len > 0) {
            is_steered = is_steered || goes;
            wins = wins || (goes && wins_via(rule, v, peer, route));
            continue;
        }
        has_access = has_access || goes || companion_leads_to(rule, v, viewer, route);
        answers = answers || (route_is_source_of(rule, v, route) && leads_to_node(rule, v, viewer));
    }
    if (is_steered && !has_access)
        return wins;
    return naive_is_served(peer, route) && (has_access || answers);
}

/* Whether a rule that the peer receives lets the viewer through to the world. */
static bool shows_exit(const struct policy_document *d, const struct tailnet_view *v,
                       const struct node *viewer, const struct node *peer)
{
    struct ip_addr v4_world = IP_ADDR_V4(8, 8, 8, 8), v6_world;
    struct naive_rules r;
    bool shows = false;

    ASSERT(ip_addr_parse(STR("2001:4860:4860::8888"), &v6_world));
    naive_rules_init(&r, d, v, peer);
    for (size_t i = 0; i < r.len; i++)
        for (size_t k = 0; k < r.items[i].n_dst; k++) {
            const struct ip_set *dst = &r.items[i].dst[k];
            bool is_world = r.items[i].to_internet ||
                            (ip_set_contains(dst, v4_world) && ip_set_contains(dst, v6_world));

            shows = shows || (is_world && naive_matches(viewer, &r.items[i].src));
        }
    naive_rules_fini(&r);
    return shows;
}

size_t naive_peer_routes(const struct policy_document *d, const struct tailnet_view *v,
                         const struct node *viewer, const struct node *peer, struct ip_prefix *out,
                         size_t max)
{
    size_t n = 0;

    if (!naive_sees(d, v, viewer, peer))
        return 0;
    for (int exits = 0; exits < 2; exits++)
        for (size_t i = 0; i < peer->facts->n_routes; i++) {
            struct ip_prefix p = peer->facts->routes[i];

            if (ip_prefix_is_exit(p) != (exits == 1) || !naive_has_route(peer, p))
                continue;
            if (exits ? !shows_exit(d, v, viewer, peer) : !shows_route(d, v, viewer, peer, p))
                continue;
            if (n < max)
                out[n] = p;
            n++;
        }
    return n;
}
