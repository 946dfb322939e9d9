/*
 * Whether a packet is let in, asked of the links rather than of the filter's text.
 *
 *   dst --who owns it, who routes it--> nodes --the links of their class--> source, destination,
 *   protocol and port all match: in
 *
 * A packet is let in when some such node lets it in: which router of a route carries it is decided
 * by the sender, and all of them are told the same but for via.
 */

#include "policy/guests_internal.h"

bool reach_owns(const struct member *m, struct ip_addr addr)
{
    return ip_addr_is_set(addr) &&
           (ip_addr_eq(member_v4(m), addr) || ip_addr_eq(member_v6(m), addr));
}

const struct member *reach_member_at(const struct policy *p, struct ip_addr addr)
{
    struct rows_at at = {0};
    const struct member *m;

    while (p->shape && (m = rows_next(&p->members, &at)))
        if (reach_owns(m, addr))
            return m;
    return NULL;
}

bool reach_routes(const struct policy_class *c, struct ip_addr addr)
{
    for (size_t i = 0; i < c->p.n_routes; i++)
        if (ip_prefix_contains(c->p.routes[i], addr))
            return true;
    return addr.family == IP_V4 ? c->p.exit_v4 : c->p.exit_v6;
}

/* ---- Parts of a link ---- */

bool reach_source(const struct policy *p, const struct policy_link *l, const struct member *at,
                  const struct reach_end *src)
{
    const struct source *s = &p->shape->sources[l->source];
    const struct guest *g = src->member ? NULL : guest_at(p, src->addr);

    if (g) {
        const struct visit *v = visit_find(p, at->key[0], g->id);

        return v && v->in && !l->self && !l->via &&
               (source_guest(p, s, g) & (src->addr.family == IP_V4 ? GUEST_V4 : GUEST_V6));
    }
    if (l->self)
        return src->member && src->member->user && src->member->user == at->user &&
               self_lists(p, l, src->member);
    return (src->member && class_in(s->own, src->member->cls)) ||
           source_fixed_overlaps(p->shape, s, ip_range_of_addr(src->addr));
}

/* Whether the node serves something in the range, or is in it itself. */
static bool range_is_here(const struct policy *p, const struct policy_link *l,
                          const struct member *at, struct ip_range r)
{
    const struct policy_class *c = member_class(p, at);
    struct ip_addr v4 = member_v4(at), v6 = member_v6(at);

    if (!l->via && ((ip_addr_is_set(v4) && ip_range_contains(r, v4)) ||
                    (ip_addr_is_set(v6) && ip_range_contains(r, v6))))
        return true;
    for (size_t i = 0; i < c->p.n_routes; i++)
        if (ip_range_overlaps(ip_range_of_prefix(c->p.routes[i]), r))
            return true;
    return false;
}

static bool is_internet(struct ip_addr addr)
{
    for (size_t i = 0; i < ARRAY_LEN(policy_internet_ranges); i++) {
        struct ip_range r;

        if (ip_range_parse(policy_internet_ranges[i], &r) && ip_range_contains(r, addr))
            return true;
    }
    return false;
}

static bool reach_set(const struct policy *p, const struct policy_link *l, const struct ip_set *set,
                      const struct member *at, struct ip_addr addr)
{
    for (size_t i = 0; i < set->len; i++)
        if (ip_range_contains(set->ranges[i], addr))
            return range_is_here(p, l, at, set->ranges[i]);
    return false;
}

bool reach_dst(const struct policy *p, const struct policy_link *l, const struct link_dst *d,
               const struct member *at, struct ip_addr addr)
{
    const struct policy_selector *sel = d->selector;
    const struct policy_class *c = member_class(p, at);

    if (sel->kind == SELECTOR_WILDCARD)
        return !l->via || c->p.n_routes > 0;
    if (sel->kind == SELECTOR_PREFIX || sel->kind == SELECTOR_HOST)
        return ip_prefix_contains(sel->prefix, addr) &&
               range_is_here(p, l, at, ip_range_of_prefix(sel->prefix));
    if (sel->kind == SELECTOR_IPSET)
        return reach_set(p, l, &sel->ipset->set, at, addr);
    if (sel->kind == SELECTOR_AUTOGROUP && sel->autogroup == AUTOGROUP_INTERNET)
        return c->p.exit && is_internet(addr);
    return !l->via && class_in(p->shape->own[sel->index], c->id) && reach_owns(at, addr);
}

bool reach_has_ports(int proto)
{
    return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP;
}

bool reach_proto(int of_link, int proto)
{
    if (of_link >= 0)
        return of_link == proto;
    return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_ICMP || proto == PROTO_ICMPV6;
}

bool reach_ports(const struct ip_ports *ports, size_t n, int proto, uint16_t port)
{
    for (size_t i = 0; i < n; i++)
        if (!reach_has_ports(proto) || ip_ports_contains(ports[i], port))
            return true;
    return false;
}

/* ---- The whole question ---- */

static bool link_has_dst(const struct policy *p, const struct policy_link *l,
                         const struct member *at, struct ip_addr dst, int proto, uint16_t port)
{
    if (l->self)
        return reach_ports(l->ports, l->n_ports, proto, port) && reach_owns(at, dst);
    for (size_t i = 0; i < l->n_dst; i++)
        if (reach_ports(l->dst[i].ports, l->dst[i].n_ports, proto, port) &&
            reach_dst(p, l, &l->dst[i], at, dst))
            return true;
    return false;
}

bool reach_lets_in(const struct policy *p, const struct member *at, const struct reach_end *src,
                   struct ip_addr dst, int proto, uint16_t port)
{
    const struct policy_class *c = member_class(p, at);
    const struct guest *g = src->member ? NULL : guest_at(p, src->addr);

    if (g) {
        const struct visit *v = visit_find(p, at->key[0], g->id);

        return v && guest_lets_in(p, at, v, src->addr, dst, proto, port);
    }
    for (size_t i = 0; i < c->n_links; i++) {
        const struct policy_link *l = &p->shape->links[c->links[i]];

        if (l->kind == LINK_PORTS && reach_proto(l->proto, proto) &&
            link_has_dst(p, l, at, dst, proto, port) && reach_source(p, l, at, src))
            return true;
    }
    return false;
}

bool policy_allows(const struct policy *p, struct ip_addr src, struct ip_addr dst, int proto,
                   uint16_t port)
{
    struct reach_end from = {.addr = src};
    struct rows_at at = {0};
    const struct member *m;

    if (!ip_addr_is_set(src) || !ip_addr_is_set(dst))
        return false;
    if (p->is_open)
        return reach_proto(-1, proto);
    from.member = reach_member_at(p, src);
    if (from.member && guest_at(p, dst)) {
        const struct guest *g = guest_at(p, dst);
        const struct visit *v = visit_find(p, from.member->key[0], g->id);

        return v && guest_lets_out(p, from.member, v, src, dst, proto, port);
    }
    while ((m = rows_next(&p->members, &at)))
        if ((reach_owns(m, dst) || reach_routes(member_class(p, m), dst)) &&
            reach_lets_in(p, m, &from, dst, proto, port))
            return true;
    return false;
}
