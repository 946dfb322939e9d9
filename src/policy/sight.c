/*
 * Who sees whom, and which of a peer's routes. policy.md 9, 10.
 *
 * A class has the set of links it is a source of and the set of links it receives; two nodes see
 * each other when one's first set meets the other's second, or when a self link joins two devices
 * of one user. A node and a guest do when one has an item for the other.
 */

#include "policy/guests_internal.h"

static bool reaches(const struct policy_class *from, const struct policy_class *to)
{
    return roaring_bitmap_intersect(from->as_source, to->as_dst);
}

bool policy_sees(const struct policy *p, node_id viewer, node_id peer)
{
    const struct member *a, *b;
    const struct policy_class *ca, *cb;

    if (p->is_open)
        return viewer != peer && !open_holds(p, viewer) && !open_holds(p, peer);
    a = member_find(p, viewer);
    b = member_find(p, peer);
    if (p->guests && !a != !b)
        return visit_find(p, a ? viewer : peer, a ? peer : viewer) != NULL;
    if (!a || !b || viewer == peer)
        return false;
    ca = member_class(p, a);
    cb = member_class(p, b);
    if (a->user && a->user == b->user && (ca->self_source || cb->self_source))
        return true;
    return reaches(ca, cb) || reaches(cb, ca);
}

/* NULL for guests, whom rules of a class say nothing of. */
static const struct policy_class *class_at(const struct policy *p, uint32_t cls)
{
    const struct guest_class *over = cls >= GUEST_CLASS ? guest_class_find(p, cls) : NULL;

    if (over)
        cls = over->base;
    return p->shape && cls && cls <= p->shape->n_classes ? &p->shape->classes[cls - 1] : NULL;
}

static bool has_item(const struct guest_class *a, const struct guest_class *b)
{
    return b->node && abroad_find(a->abroad, b->node);
}

/* One of them at least is of GUEST_CLASS on; false where both are own nodes'. */
static bool guest_sight(const struct policy *p, uint32_t a, uint32_t b, enum policy_sight *out)
{
    const struct guest_class *x = guest_class_find(p, a), *y = guest_class_find(p, b);

    if ((!x || x->base) && (!y || y->base))
        return false;
    *out = x && y && !x->base != !y->base && (has_item(x, y) || has_item(y, x)) ? POLICY_SIGHT_ALL
                                                                                : POLICY_SIGHT_NONE;
    return true;
}

enum policy_sight policy_class_sight(const struct policy *p, uint32_t a, uint32_t b)
{
    const struct policy_class *ca = class_at(p, a), *cb = class_at(p, b);
    enum policy_sight sight;

    if (p->is_open)
        return a && b ? POLICY_SIGHT_ALL : POLICY_SIGHT_NONE;
    if ((a >= GUEST_CLASS || b >= GUEST_CLASS) && guest_sight(p, a, b, &sight))
        return sight;
    if (!ca || !cb)
        return POLICY_SIGHT_NONE;
    if (reaches(ca, cb) || reaches(cb, ca))
        return POLICY_SIGHT_ALL;
    return ca->self_source || cb->self_source ? POLICY_SIGHT_SAME_USER : POLICY_SIGHT_NONE;
}

/* Of POLICY_SIGHT_ALL both bits are set: it may be added to what is there. */
static void row_add(uint8_t *row, uint32_t cls, enum policy_sight sight)
{
    row[cls / 4] |= (uint8_t)(((unsigned)sight + 1) << cls % 4 * 2);
}

struct row {
    uint8_t *bits;
    size_t below;
};

static bool row_add_seen(uint32_t cls, void *row)
{
    struct row *r = row;

    if (cls >= r->below)
        return false;
    row_add(r->bits, cls, POLICY_SIGHT_ALL);
    return true;
}

/* Where its links lead, and whence those come that lead to it. */
static void row_add_reached(const struct policy *p, const struct policy_class *c, struct row *r)
{
    const struct shape *s = p->shape;
    roaring_uint32_iterator_t it;

    for (roaring_init_iterator(c->as_source, &it); it.has_value;
         roaring_advance_uint32_iterator(&it))
        (void)roaring_iterate(s->links[it.current_value].classes, row_add_seen, r);
    for (size_t i = 0; i < c->n_links; i++) {
        const struct policy_link *l = &s->links[c->links[i]];

        if (!l->self)
            (void)roaring_iterate(s->sources[l->source].hits, row_add_seen, r);
    }
}

void policy_class_sights(const struct policy *p, uint32_t a, uint8_t *row, size_t below)
{
    const struct policy_class *c = class_at(p, a);
    size_t n = MIN(policy_class_count(p) + 1, below);

    ASSERT(!p->is_open && a < GUEST_CLASS && n > 0);
    row_add(row, 0, POLICY_SIGHT_NONE);
    for (uint32_t b = 1; b < n; b++) {
        bool own = c && (c->self_source || p->shape->classes[b - 1].self_source);

        row_add(row, b, own ? POLICY_SIGHT_SAME_USER : POLICY_SIGHT_NONE);
    }
    if (c)
        row_add_reached(p, c, &(struct row){.bits = row, .below = n});
}

uint32_t policy_sight_class(const struct policy *p, uint32_t cls)
{
    const struct policy_class *c = class_at(p, cls);

    if (p->is_open)
        return cls;
    if (c)
        return c->sight;
    return guest_class_find(p, cls) ? cls : 0;
}

struct str policy_class_caps(const struct policy *p, uint32_t cls)
{
    const struct policy_class *c = class_at(p, cls);

    return c ? c->peer_caps : STR_NONE;
}

bool policy_class_hides_ipv4(const struct policy *p, uint32_t cls)
{
    const struct policy_class *c = class_at(p, cls);

    return c && c->hides_v4;
}

node_id policy_next_device(const struct policy *p, user_id user, node_id after)
{
    struct rows_at at = rows_from(&p->devices, user, after + 1);
    const struct device *d = rows_next(&p->devices, &at);

    return d && user && d->key[0] == user ? d->key[1] : 0;
}

user_id policy_sight_user(const struct policy *p, node_id node)
{
    const struct member *m = member_find(p, node);

    return m && p->shape->has_self ? m->user : 0;
}

/* ---- Addresses and selectors ---- */

bool literal_overlaps(const struct policy_selector *s, struct ip_range r)
{
    if (s->kind == SELECTOR_IPSET)
        return ip_set_overlaps(&s->ipset->set, r);
    return ip_range_overlaps(ip_range_of_prefix(s->prefix), r);
}

static bool member_in(const struct member *m, struct ip_range r)
{
    struct ip_addr v4 = member_v4(m), v6 = member_v6(m);

    return (ip_addr_is_set(v4) && ip_range_contains(r, v4)) ||
           (ip_addr_is_set(v6) && ip_range_contains(r, v6));
}

/* Some node of the classes has an address in the range. */
static bool classes_overlap(const struct policy *p, const roaring_bitmap_t *classes,
                            struct ip_range r)
{
    struct rows_at at = {0};
    const struct member *m;

    if (!classes || roaring_bitmap_is_empty(classes))
        return false;
    while ((m = rows_next(&p->members, &at)))
        if (class_in(classes, m->cls) && member_in(m, r))
            return true;
    return false;
}

static bool texts_overlap(struct str a, struct ip_range r)
{
    struct ip_range x;

    return ip_range_parse_any(a, &x) && ip_range_overlaps(x, r);
}

static bool wild_overlaps(const struct shape *s, struct ip_range r, bool only_routes)
{
    if (!only_routes && (texts_overlap(STR(CGNAT_RANGE_1), r) ||
                         texts_overlap(STR(CGNAT_RANGE_2), r) || texts_overlap(STR(ULA_RANGE), r)))
        return true;
    for (size_t i = 0; i < s->n_wild_routes; i++)
        if (ip_range_overlaps(ip_range_of_prefix(s->wild_routes[i]), r))
            return true;
    return false;
}

/* Without the nodes' own addresses. */
bool source_fixed_overlaps(const struct shape *s, const struct source *src, struct ip_range r)
{
    if (src->everyone)
        return true;
    if ((src->wild || src->wild_routes) && wild_overlaps(s, r, !src->wild))
        return true;
    for (size_t i = 0; i < src->n_literals; i++)
        if (literal_overlaps(src->literals[i], r))
            return true;
    return false;
}

bool source_overlaps(const struct policy *p, uint32_t source, struct ip_range r)
{
    const struct source *src = &p->shape->sources[source];

    return source_fixed_overlaps(p->shape, src, r) || classes_overlap(p, src->own, r);
}

/* ---- Routes ---- */

/* Identity selectors have node addresses only, which no subnet route is about. */
static bool link_reaches_route(const struct policy_link *l, struct ip_range route)
{
    for (size_t i = 0; i < l->n_dst; i++) {
        const struct policy_selector *sel = l->dst[i].selector;

        if (sel->kind == SELECTOR_WILDCARD ||
            (sel->kind == SELECTOR_AUTOGROUP && sel->autogroup == AUTOGROUP_DANGER_ALL) ||
            (selector_is_literal(sel) && literal_overlaps(sel, route)))
            return true;
    }
    return false;
}

struct route_question {
    const struct policy *p;
    const struct policy_class *viewer;
    const struct router *peer;
    struct ip_prefix route;
};

static bool is_primary(const struct router *r, struct ip_prefix route)
{
    return ip_prefix_in(r->serving, r->n_serving, route);
}

/* 3a: a rule that is not via has the viewer as a source and a destination about the route. */
static bool has_access(const struct route_question *q)
{
    const struct shape *s = q->p->shape;
    struct ip_range r = ip_range_of_prefix(q->route);
    roaring_uint32_iterator_t it;

    for (roaring_init_iterator(q->viewer->as_source, &it); it.has_value;
         roaring_advance_uint32_iterator(&it)) {
        const struct policy_link *l = &s->links[it.current_value];

        if (!l->via && link_reaches_route(l, r))
            return true;
    }
    return false;
}

/* 3b: a rule that is not via has the route among its sources and reaches the viewer. */
static bool has_return_path(const struct route_question *q)
{
    const struct shape *s = q->p->shape;
    struct ip_range r = ip_range_of_prefix(q->route);

    for (size_t i = 0; i < q->viewer->n_links; i++) {
        const struct policy_link *l = &s->links[q->viewer->links[i]];

        if (!l->via && !l->self && source_fixed_overlaps(s, &s->sources[l->source], r))
            return true;
    }
    return false;
}

static bool router_has_route(const struct router *r, struct ip_prefix route)
{
    return ip_prefix_in(r->routes, r->n_routes, route);
}

static bool carries_via(const struct shape *s, const struct policy_rule *rule, uint32_t cls)
{
    for (size_t i = 0; i < rule->via.len; i++)
        if (class_in(s->own[rule->via.items[i].selector->index], cls))
            return true;
    return false;
}

/* Whether `b` wins over `a` (NULL: nobody yet): online before offline, then created first. */
static bool wins(const struct router *a, const struct router *b)
{
    if (!a)
        return true;
    if (a->online != b->online)
        return b->online;
    return b->created_ms < a->created_ms || (b->created_ms == a->created_ms && b->id < a->id);
}

/* Whom the grant steers the route to. */
static const struct router *steered_to(const struct route_question *q,
                                       const struct policy_rule *rule)
{
    const struct router *best = NULL;

    for (size_t i = 0; i < q->p->routers->len; i++) {
        const struct router *r = &q->p->routers->items[i];

        if (router_has_route(r, q->route) && carries_via(q->p->shape, rule, r->cls) &&
            wins(best, r))
            best = r;
    }
    return best;
}

enum steering { STEERING_NONE, STEERING_HERE, STEERING_ELSEWHERE };

static enum steering steering(const struct route_question *q)
{
    const struct shape *s = q->p->shape;
    struct ip_range r = ip_range_of_prefix(q->route);
    enum steering found = STEERING_NONE;
    roaring_uint32_iterator_t it;

    for (roaring_init_iterator(q->viewer->as_source, &it); it.has_value;
         roaring_advance_uint32_iterator(&it)) {
        const struct policy_link *l = &s->links[it.current_value];

        if (!l->via || !link_reaches_route(l, r))
            continue;
        if (steered_to(q, l->rule) == q->peer)
            return STEERING_HERE;
        found = STEERING_ELSEWHERE;
    }
    return found;
}

static bool viewer_has_route(const struct route_question *q)
{
    return ip_prefix_in(q->viewer->p.routes, q->viewer->p.n_routes, q->route);
}

static bool shows_route(const struct route_question *q)
{
    bool access;

    if (viewer_has_route(q))
        return is_primary(q->peer, q->route);
    access = has_access(q);
    if (!access && !roaring_bitmap_is_empty(q->p->shape->via_links)) {
        enum steering where = steering(q);

        if (where != STEERING_NONE)
            return where == STEERING_HERE;
    }
    return is_primary(q->peer, q->route) && (access || has_return_path(q));
}

static bool is_internet(const struct policy_selector *s)
{
    if (s->kind == SELECTOR_AUTOGROUP)
        return s->autogroup == AUTOGROUP_INTERNET;
    if (s->kind == SELECTOR_WILDCARD)
        return true;
    return (s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST) && s->prefix.bits == 0;
}

/*
 * Whether `l` lets its sources out into the world by `l->dst[i]` at this node. A via rule comes
 * with nodes of its tags alone, and destinations that are addresses only where a subnet route is.
 */
static bool leads_out(const struct route_question *q, const struct policy_link *l, size_t i)
{
    const struct policy_selector *s = l->dst[i].selector;

    bool is_here =
        s->kind == SELECTOR_AUTOGROUP || (s->kind == SELECTOR_WILDCARD && q->peer->n_routes > 0);

    if (!is_internet(s) || !l->via)
        return is_internet(s);
    for (size_t k = 0; k < q->peer->n_routes && !is_here; k++)
        is_here = ip_prefix_overlaps(s->prefix, q->peer->routes[k]);
    return is_here && carries_via(q->p->shape, l->rule, q->peer->cls);
}

/* Exit routes are for those whom this node lets out. */
static bool shows_exit(const struct route_question *q)
{
    const struct shape *s = q->p->shape;
    roaring_uint32_iterator_t it;

    for (roaring_init_iterator(q->viewer->as_source, &it); it.has_value;
         roaring_advance_uint32_iterator(&it)) {
        const struct policy_link *l = &s->links[it.current_value];

        for (size_t i = 0; l->kind == LINK_PORTS && i < l->n_dst; i++)
            if (leads_out(q, l, i))
                return true;
    }
    return false;
}

static size_t add_route(struct ip_prefix *out, size_t max, size_t n, struct ip_prefix route)
{
    if (n < max)
        out[n] = route;
    return n + 1;
}

size_t policy_class_routes(const struct policy *p, uint32_t viewer, node_id peer,
                           struct ip_prefix *out, size_t max)
{
    const struct router *r = policy_router_find(p, peer);
    struct route_question q = {.p = p, .viewer = class_at(p, viewer), .peer = r};
    const struct guest_class *local = guest_class_find(p, viewer);
    const struct guest *g = local ? guest_find(p, peer) : NULL;
    size_t n = 0;

    if (g)
        return guest_routes(p, local, g, out, max);
    if (!q.viewer || !r)
        return 0;
    for (size_t i = 0; i < r->n_routes; i++) {
        q.route = r->routes[i];
        if (shows_route(&q))
            n = add_route(out, max, n, r->routes[i]);
    }
    if ((!r->exit_v4 && !r->exit_v6) || !shows_exit(&q))
        return n;
    if (r->exit_v4)
        n = add_route(out, max, n, (struct ip_prefix){.addr = {.family = IP_V4}});
    if (r->exit_v6)
        n = add_route(out, max, n, (struct ip_prefix){.addr = {.family = IP_V6}});
    return n;
}

size_t policy_peer_routes(const struct policy *p, node_id viewer, node_id peer,
                          struct ip_prefix *out, size_t max)
{
    if (!policy_sees(p, viewer, peer))
        return 0;
    return policy_class_routes(p, policy_class_of(p, viewer), peer, out, max);
}

static bool is_guest_router(const struct policy *p, node_id id)
{
    const struct guest *g = guest_find(p, id);

    return g && (g->n_routes || g->exit_v4 || g->exit_v6);
}

bool policy_has_routes(const struct policy *p, node_id peer)
{
    return policy_router_find(p, peer) != NULL || is_guest_router(p, peer);
}

size_t policy_router_count(const struct policy *p)
{
    return (p->routers ? p->routers->len : 0) + (p->guests ? p->guests->n_routers : 0);
}

/* The i-th of both lists: how many of them are guests is what is looked for. */
node_id policy_router_at(const struct policy *p, size_t i)
{
    const struct routers *r = p->routers;
    const struct guests *g = p->guests;
    size_t low, high;

    if (!g || g->n_routers == 0)
        return r->items[i].id;
    low = i > r->len ? i - r->len : 0;
    high = MIN(i, g->n_routers);
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (g->routers[mid] < r->items[i - mid - 1].id)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == g->n_routers || (i - low < r->len && r->items[i - low].id < g->routers[low]))
        return r->items[i - low].id;
    return g->routers[low];
}

struct policy_mark policy_routes_mark(const struct policy *p)
{
    struct policy_mark mark = p->routers ? p->routers->mark : (struct policy_mark){0};

    if (p->guests && p->guests->n_routers)
        mark_mix_mark(&mark, p->guests->routes_mark);
    return mark;
}
