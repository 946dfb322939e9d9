/*
 * What rules say of guests: who has one as a source, what of a node or of a guest a destination is,
 * as far as the terms of a share go.
 *
 *   destination of a link, terms --doors--> ranges of addresses, ports
 *
 * Rules that are for one's own devices, and via, are never about guests.
 */

#include "policy/guests_internal.h"

static const struct share_terms any_terms = {.all_routes = true, .exit_node = true};

/* ---- Sources ---- */

static unsigned all_of(const struct guest *g)
{
    return (ip_addr_is_set(g->v4) ? GUEST_V4 : 0u) | (ip_addr_is_set(g->v6) ? GUEST_V6 : 0u);
}

static unsigned literal_of(const struct policy_selector *s, const struct guest *g)
{
    unsigned by = 0;

    if (ip_addr_is_set(g->v4) && literal_overlaps(s, ip_range_of_addr(g->v4)))
        by |= GUEST_V4;
    if (ip_addr_is_set(g->v6) && literal_overlaps(s, ip_range_of_addr(g->v6)))
        by |= GUEST_V6;
    return by;
}

unsigned source_guest(const struct policy *p, const struct source *src, const struct guest *g)
{
    unsigned by = 0;

    if (src->everyone || src->wild)
        return all_of(g);
    for (size_t i = 0; i < src->n_terms; i++) {
        const struct term *t = &p->shape->terms[src->terms[i]];

        /* The state of a machine elsewhere is not asked for here. */
        if (t->postures.len == 0 && t->selector->kind != SELECTOR_WILDCARD &&
            picks_have(&g->picks, (uint32_t)t->selector->index))
            return all_of(g);
    }
    for (size_t i = 0; i < src->n_literals; i++)
        by |= literal_of(src->literals[i], g);
    return by;
}

bool selector_has_guest(const struct policy_selector *s, const struct guest *g)
{
    if (s->kind == SELECTOR_WILDCARD ||
        (s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_DANGER_ALL))
        return true;
    return selector_is_literal(s) ? literal_of(s, g) != 0
                                  : picks_have(&g->picks, (uint32_t)s->index);
}

static bool concerns_guests(const struct policy_link *l)
{
    return !l->self && !l->via;
}

/* ---- Doors ---- */

void doors_fini(struct doors *d)
{
    mem_free(d->ranges);
    mem_free(d->ports);
    *d = (struct doors){0};
}

static void add_range(struct doors *d, struct ip_range r)
{
    if (d->n_ranges == d->cap_ranges) {
        d->cap_ranges = MAX(d->cap_ranges * 2, (size_t)8);
        d->ranges = mem_realloc_array(d->ranges, d->cap_ranges, sizeof *d->ranges);
    }
    d->ranges[d->n_ranges++] = r;
}

static void add_addr(struct doors *d, struct ip_addr a)
{
    if (ip_addr_is_set(a))
        add_range(d, ip_range_of_addr(a));
}

static void add_ports(struct doors *d, struct ip_ports ports)
{
    if (d->n_ports == d->cap_ports) {
        d->cap_ports = MAX(d->cap_ports * 2, (size_t)4);
        d->ports = mem_realloc_array(d->ports, d->cap_ports, sizeof *d->ports);
    }
    d->ports[d->n_ports++] = ports;
}

/* Those of the rule that the terms have too. Where ports do not count, single ports are none. */
static void find_ports(struct doors *d, int proto, const struct link_dst *dst,
                       const struct share_terms *terms)
{
    d->n_ports = 0;
    for (size_t i = 0; i < dst->n_ports; i++) {
        if (terms->n_ports == 0)
            add_ports(d, dst->ports[i]);
        for (size_t k = 0; (proto < 0 || reach_has_ports(proto)) && k < terms->n_ports; k++) {
            const struct ip_ports both = {(uint16_t)MAX(dst->ports[i].first, terms->ports[k].first),
                                          (uint16_t)MIN(dst->ports[i].last, terms->ports[k].last)};

            if (both.first <= both.last)
                add_ports(d, both);
        }
    }
}

/* What a literal and a range have in common. */
static void add_common(struct doors *d, const struct policy_selector *s, struct ip_range r)
{
    struct ip_set literal = {0}, common = {0};

    if (s->kind == SELECTOR_IPSET)
        ip_set_copy(&literal, &s->ipset->set);
    else
        ip_set_add_prefix(&literal, s->prefix);
    ip_set_add(&common, r);
    ip_set_intersect(&common, &common, &literal);
    for (size_t i = 0; i < common.len; i++)
        add_range(d, common.ranges[i]);
    ip_set_fini(&common);
    ip_set_fini(&literal);
}

static bool terms_have_route(const struct share_terms *t, struct ip_prefix route)
{
    for (size_t i = 0; i < t->n_routes; i++)
        if (ip_prefix_covers(t->routes[i], route))
            return true;
    return t->all_routes;
}

static void add_internet(struct doors *d)
{
    for (size_t i = 0; i < ARRAY_LEN(policy_internet_ranges); i++) {
        struct ip_range r;

        if (ip_range_parse_any(policy_internet_ranges[i], &r))
            add_range(d, r);
    }
}

/* A node as a destination, here or elsewhere. */
struct target {
    struct ip_addr v4, v6;
    const struct ip_prefix *routes;
    size_t n_routes;
    bool exit;
    bool is_picked; /* by identity */
};

static bool find_doors(struct doors *d, const struct target *t, const struct policy_selector *s,
                       const struct share_terms *terms)
{
    bool literal = selector_is_literal(s), wild = s->kind == SELECTOR_WILDCARD;

    d->n_ranges = 0;
    if (wild || t->is_picked) {
        add_addr(d, t->v4);
        add_addr(d, t->v6);
    }
    if (literal && ip_addr_is_set(t->v4))
        add_common(d, s, ip_range_of_addr(t->v4));
    if (literal && ip_addr_is_set(t->v6))
        add_common(d, s, ip_range_of_addr(t->v6));
    for (size_t i = 0; (wild || literal) && i < t->n_routes; i++) {
        if (!terms_have_route(terms, t->routes[i]))
            continue;
        if (wild)
            add_range(d, ip_range_of_prefix(t->routes[i]));
        else
            add_common(d, s, ip_range_of_prefix(t->routes[i]));
    }
    if (t->exit && terms->exit_node &&
        (wild || (s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_INTERNET)))
        add_internet(d);
    return d->n_ranges > 0;
}

bool doors_of_member(struct doors *d, const struct policy *p, const struct policy_link *l,
                     const struct link_dst *dst, const struct member *m,
                     const struct share_terms *terms)
{
    const struct policy_class *c = member_class(p, m);
    const struct target t = {.v4 = member_v4(m),
                             .v6 = member_v6(m),
                             .routes = c->p.routes,
                             .n_routes = c->p.n_routes,
                             .exit = c->p.exit,
                             .is_picked = dst->selector->kind != SELECTOR_WILDCARD &&
                                          !selector_is_literal(dst->selector) &&
                                          class_in(p->shape->own[dst->selector->index], c->id)};

    find_ports(d, l->proto, dst, terms);
    return d->n_ports > 0 && find_doors(d, &t, dst->selector, terms);
}

/* The same for what a member may reach of a guest. */
static bool doors_of_guest(struct doors *d, const struct policy_link *l, const struct link_dst *dst,
                           const struct guest *g, const struct share_terms *terms)
{
    const struct target t = {.v4 = g->v4,
                             .v6 = g->v6,
                             .routes = g->routes,
                             .n_routes = g->n_routes,
                             .exit = g->exit_v4 || g->exit_v6,
                             .is_picked = dst->selector->kind != SELECTOR_WILDCARD &&
                                          !selector_is_literal(dst->selector) &&
                                          picks_have(&g->picks, (uint32_t)dst->selector->index)};

    find_ports(d, l->proto, dst, terms);
    return d->n_ports > 0 && find_doors(d, &t, dst->selector, terms);
}

static bool doors_have(const struct doors *d, struct ip_addr addr, int proto, uint16_t port)
{
    for (size_t i = 0; i < d->n_ranges; i++)
        if (ip_range_contains(d->ranges[i], addr))
            return reach_ports(d->ports, d->n_ports, proto, port);
    return false;
}

/* ---- One packet ---- */

bool guest_lets_in(const struct policy *p, const struct member *at, const struct visit *v,
                   struct ip_addr src, struct ip_addr dst, int proto, uint16_t port)
{
    const struct policy_class *c = member_class(p, at);
    const struct guest *g = &p->guests->items[v->guest];
    unsigned from = src.family == IP_V4 ? GUEST_V4 : GUEST_V6;
    struct doors d = {0};
    bool does = false;

    for (size_t i = 0; v->in && i < c->n_links && !does; i++) {
        const struct policy_link *l = &p->shape->links[c->links[i]];

        if (l->kind != LINK_PORTS || !concerns_guests(l) || !reach_proto(l->proto, proto) ||
            !(source_guest(p, &p->shape->sources[l->source], g) & from))
            continue;
        for (size_t k = 0; k < l->n_dst && !does; k++)
            does = doors_of_member(&d, p, l, &l->dst[k], at, &v->in->terms) &&
                   doors_have(&d, dst, proto, port);
    }
    doors_fini(&d);
    return does;
}

/* The member itself, not what is behind it. */
static bool source_has_member(const struct policy *p, const struct policy_link *l,
                              const struct member *m, struct ip_addr addr)
{
    const struct source *src = &p->shape->sources[l->source];

    return class_in(src->own, m->cls) ||
           (ip_addr_is_set(addr) && source_fixed_overlaps(p->shape, src, ip_range_of_addr(addr)));
}

bool guest_lets_out(const struct policy *p, const struct member *from, const struct visit *v,
                    struct ip_addr src, struct ip_addr dst, int proto, uint16_t port)
{
    const struct guest *g = &p->guests->items[v->guest];
    roaring_uint32_iterator_t it;
    struct doors d = {0};
    bool does = false;

    if (!v->out)
        return false;
    for (roaring_init_iterator(member_class(p, from)->as_source, &it); it.has_value && !does;
         roaring_advance_uint32_iterator(&it)) {
        const struct policy_link *l = &p->shape->links[it.current_value];

        if (l->kind != LINK_PORTS || !concerns_guests(l) || !reach_proto(l->proto, proto) ||
            !source_has_member(p, l, from, src))
            continue;
        for (size_t k = 0; k < l->n_dst && !does; k++)
            does = doors_of_guest(&d, l, &l->dst[k], g, &v->out->terms) &&
                   doors_have(&d, dst, proto, port);
    }
    doors_fini(&d);
    return does;
}

/* ---- Whether rules would ---- */

static bool would_let_in(const struct policy *p, const struct guest *g, const struct member *at)
{
    const struct policy_class *c = member_class(p, at);
    struct doors d = {0};
    bool would = false;

    for (size_t i = 0; i < c->n_links && !would; i++) {
        const struct policy_link *l = &p->shape->links[c->links[i]];

        if (l->kind != LINK_PORTS || !concerns_guests(l) ||
            !source_guest(p, &p->shape->sources[l->source], g))
            continue;
        for (size_t k = 0; k < l->n_dst && !would; k++)
            would = doors_of_member(&d, p, l, &l->dst[k], at, &any_terms);
    }
    doors_fini(&d);
    return would;
}

static bool would_let_out(const struct policy *p, const struct member *from, const struct guest *g)
{
    roaring_uint32_iterator_t it;
    struct doors d = {0};
    bool would = false;

    for (roaring_init_iterator(member_class(p, from)->as_source, &it); it.has_value && !would;
         roaring_advance_uint32_iterator(&it)) {
        const struct policy_link *l = &p->shape->links[it.current_value];

        if (l->kind != LINK_PORTS || !concerns_guests(l) ||
            (!source_has_member(p, l, from, member_v4(from)) &&
             !source_has_member(p, l, from, member_v6(from))))
            continue;
        for (size_t k = 0; k < l->n_dst && !would; k++)
            would = doors_of_guest(&d, l, &l->dst[k], g, &any_terms);
    }
    doors_fini(&d);
    return would;
}

bool policy_would_reach(const struct policy *p, node_id src, node_id dst)
{
    const struct member *a = member_find(p, src), *b = member_find(p, dst);
    const struct guest *g = guest_find(p, src), *h = guest_find(p, dst);

    if (p->is_open)
        return !open_holds(p, src) && !open_holds(p, dst);
    if (g && b)
        return p->is_stand_in || would_let_in(p, g, b);
    return a && h && (p->is_stand_in || would_let_out(p, a, h));
}

/* ---- Routes ---- */

/* Whether a rule takes somebody of the class to what is behind the guest. */
static bool rules_lead_to(const struct policy *p, const struct policy_class *c,
                          const struct ip_prefix *route)
{
    roaring_uint32_iterator_t it;
    struct doors d = {0};
    bool do_lead = false;

    for (roaring_init_iterator(c->as_source, &it); it.has_value && !do_lead;
         roaring_advance_uint32_iterator(&it)) {
        const struct policy_link *l = &p->shape->links[it.current_value];
        const struct source *src = &p->shape->sources[l->source];
        const struct target t = {.routes = route, .n_routes = route ? 1 : 0, .exit = !route};
        bool is_source = class_in(src->own, c->id) || src->everyone || (src->wild && c->p.in_wild);

        for (size_t i = 0; i < src->n_literals && !is_source; i++)
            is_source = picks_have(&c->p.own, (uint32_t)src->literals[i]->index);
        for (size_t i = 0;
             l->kind == LINK_PORTS && concerns_guests(l) && is_source && !do_lead && i < l->n_dst;
             i++)
            do_lead = l->dst[i].n_ports > 0 && find_doors(&d, &t, l->dst[i].selector, &any_terms);
    }
    doors_fini(&d);
    return do_lead;
}

static size_t put_route(struct ip_prefix *out, size_t max, size_t n, struct ip_prefix route)
{
    if (n < max)
        out[n] = route;
    return n + 1;
}

size_t guest_routes(const struct policy *p, const struct guest_class *viewer, const struct guest *g,
                    struct ip_prefix *out, size_t max)
{
    const struct abroad_item *item = abroad_find(viewer->abroad, g->id);
    const struct policy_class *c;
    size_t n = 0;

    if (!item || viewer->base == 0)
        return 0;
    c = &p->shape->classes[viewer->base - 1];
    for (size_t i = 0; i < g->n_routes; i++)
        if (terms_have_route(&item->terms, g->routes[i]) &&
            ip_prefix_in(g->serving, g->n_serving, g->routes[i]) &&
            rules_lead_to(p, c, &g->routes[i]))
            n = put_route(out, max, n, g->routes[i]);
    if (!item->terms.exit_node || (!g->exit_v4 && !g->exit_v6) || !rules_lead_to(p, c, NULL))
        return n;
    if (g->exit_v4)
        n = put_route(out, max, n, (struct ip_prefix){.addr = {.family = IP_V4}});
    if (g->exit_v6)
        n = put_route(out, max, n, (struct ip_prefix){.addr = {.family = IP_V6}});
    return n;
}
