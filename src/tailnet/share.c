/* Shares, invitations and what nodes have abroad as objects: made, copied, counted, compared. */

#include "tailnet/share.h"

#include <stdlib.h>
#include <string.h>

/* ---- Terms ---- */

void share_terms_copy(struct share_terms *to, const struct share_terms *from)
{
    *to = *from;
    to->routes =
        from->n_routes > 0 ? mem_dup(from->routes, from->n_routes * sizeof(*from->routes)) : NULL;
    to->ports =
        from->n_ports > 0 ? mem_dup(from->ports, from->n_ports * sizeof(*from->ports)) : NULL;
}

void share_terms_fini(struct share_terms *t)
{
    mem_free(t->routes);
    mem_free(t->ports);
    *t = (struct share_terms){0};
}

static bool same_routes(const struct share_terms *a, const struct share_terms *b)
{
    for (size_t i = 0; a->n_routes == b->n_routes && i < a->n_routes; i++)
        if (!ip_prefix_eq(a->routes[i], b->routes[i]))
            return false;
    return a->n_routes == b->n_routes;
}

static bool same_ports(const struct share_terms *a, const struct share_terms *b)
{
    for (size_t i = 0; a->n_ports == b->n_ports && i < a->n_ports; i++)
        if (a->ports[i].first != b->ports[i].first || a->ports[i].last != b->ports[i].last)
            return false;
    return a->n_ports == b->n_ports;
}

bool share_terms_eq(const struct share_terms *a, const struct share_terms *b)
{
    return a->exit_node == b->exit_node && a->all_routes == b->all_routes &&
           a->two_way == b->two_way && same_routes(a, b) && same_ports(a, b);
}

static int cmp_ports(const void *a, const void *b)
{
    const struct share_ports *x = a, *y = b;

    return x->first != y->first ? (x->first > y->first) - (x->first < y->first)
                                : (x->last > y->last) - (x->last < y->last);
}

/* Overlapping and neighbouring ranges become one. */
static void settle_ports(struct share_terms *t)
{
    size_t n = 0;

    if (t->n_ports == 0)
        return;
    qsort(t->ports, t->n_ports, sizeof(*t->ports), cmp_ports);
    for (size_t i = 1; i < t->n_ports; i++) {
        struct share_ports *last = &t->ports[n];

        if (t->ports[i].first <= (unsigned)last->last + 1)
            last->last = t->ports[i].last > last->last ? t->ports[i].last : last->last;
        else
            t->ports[++n] = t->ports[i];
    }
    t->n_ports = n + 1;
}

static void drop_routes(struct share_terms *t)
{
    mem_free(t->routes);
    t->routes = NULL;
    t->n_routes = 0;
}

static void drop_ports(struct share_terms *t)
{
    mem_free(t->ports);
    t->ports = NULL;
    t->n_ports = 0;
}

void share_terms_add(struct share_terms *to, const struct share_terms *more)
{
    to->exit_node |= more->exit_node;
    to->all_routes |= more->all_routes;
    to->two_way |= more->two_way;
    if (to->all_routes) {
        drop_routes(to);
    } else if (more->n_routes > 0) {
        to->routes =
            mem_realloc_array(to->routes, to->n_routes + more->n_routes, sizeof(*to->routes));
        memcpy(to->routes + to->n_routes, more->routes, more->n_routes * sizeof(*to->routes));
        to->n_routes = ip_prefix_sort_unique(to->routes, to->n_routes + more->n_routes);
    }
    if (to->n_ports == 0 || more->n_ports == 0) {
        drop_ports(to);
        return;
    }
    to->ports = mem_realloc_array(to->ports, to->n_ports + more->n_ports, sizeof(*to->ports));
    memcpy(to->ports + to->n_ports, more->ports, more->n_ports * sizeof(*to->ports));
    to->n_ports += more->n_ports;
    settle_ports(to);
}

int share_terms_check(struct share_terms *t, struct err *err)
{
    if (t->n_routes > SHARE_ROUTES_MAX)
        return err_set(err, ERR_LIMIT, "a share names at most %d routes", SHARE_ROUTES_MAX);
    if (t->n_ports > SHARE_PORTS_MAX)
        return err_set(err, ERR_LIMIT, "a share names at most %d ranges of ports", SHARE_PORTS_MAX);
    if (t->all_routes && t->n_routes > 0)
        return err_set(err, ERR_INVALID, "a share is for all routes or for some, not for both");
    for (size_t i = 0; i < t->n_routes; i++) {
        if (!ip_prefix_is_set(t->routes[i]) || !ip_prefix_is_masked(t->routes[i]))
            return err_set(err, ERR_INVALID, "a shared route is a prefix without host bits");
        if (ip_prefix_is_exit(t->routes[i]))
            return err_set(err, ERR_INVALID,
                           "a share is for use as an exit node by its own option, not by a route");
    }
    for (size_t i = 0; i < t->n_ports; i++)
        if (t->ports[i].first == 0 || t->ports[i].first > t->ports[i].last)
            return err_set(err, ERR_INVALID, "ports go from 1 to 65535, the smaller one first");
    t->n_routes = ip_prefix_sort_unique(t->routes, t->n_routes);
    settle_ports(t);
    return 0;
}

/* ---- Shares ---- */

struct share *share_new(void)
{
    struct share *s = NEW(struct share);

    ref_init(&s->ref);
    return s;
}

struct share *share_clone(const struct share *s)
{
    struct share *c = NEW(struct share);

    ref_copy(c, s, sizeof(*c));
    share_terms_copy(&c->terms, &s->terms);
    return c;
}

struct share *share_ref(const struct share *s)
{
    struct share *m = MUTABLE(struct share, s);

    ref_take(&m->ref);
    return m;
}

void share_unref(const struct share *s)
{
    struct share *m = MUTABLE(struct share, s);

    if (!m || !ref_drop(&m->ref))
        return;
    share_terms_fini(&m->terms);
    mem_free(m);
}

/* ---- Invitations ---- */

struct share_invite *share_invite_new(void)
{
    struct share_invite *i = NEW(struct share_invite);

    ref_init(&i->ref);
    return i;
}

struct share_invite *share_invite_clone(const struct share_invite *i)
{
    struct share_invite *c = NEW(struct share_invite);

    ref_copy(c, i, sizeof(*c));
    share_terms_copy(&c->terms, &i->terms);
    return c;
}

struct share_invite *share_invite_ref(const struct share_invite *i)
{
    struct share_invite *m = MUTABLE(struct share_invite, i);

    ref_take(&m->ref);
    return m;
}

void share_invite_unref(const struct share_invite *i)
{
    struct share_invite *m = MUTABLE(struct share_invite, i);

    if (!m || !ref_drop(&m->ref))
        return;
    share_terms_fini(&m->terms);
    mem_free(m);
}

/* ---- Abroad ---- */

struct abroad *abroad_new(void)
{
    struct abroad *a = NEW(struct abroad);

    ref_init(&a->ref);
    return a;
}

struct abroad *abroad_ref(const struct abroad *a)
{
    struct abroad *m = MUTABLE(struct abroad, a);

    if (m)
        ref_take(&m->ref);
    return m;
}

void abroad_unref(const struct abroad *a)
{
    struct abroad *m = MUTABLE(struct abroad, a);

    if (!m || !ref_drop(&m->ref))
        return;
    for (size_t i = 0; i < m->n_items; i++)
        share_terms_fini(&m->items[i].terms);
    mem_free(m->items);
    mem_free(m->aliases);
    mem_free(m);
}

static bool same_item(const struct abroad_item *a, const struct abroad_item *b)
{
    return a->node == b->node && a->tailnet == b->tailnet && a->sharer == b->sharer &&
           share_terms_eq(&a->terms, &b->terms);
}

static bool same_alias(const struct abroad_alias *a, const struct abroad_alias *b)
{
    return a->tailnet == b->tailnet && ip_addr_eq(a->v4, b->v4) && ip_addr_eq(a->v6, b->v6);
}

bool abroad_eq(const struct abroad *a, const struct abroad *b)
{
    static const struct abroad nothing;

    a = a ? a : &nothing;
    b = b ? b : &nothing;
    if (a == b)
        return true;
    if (a->n_items != b->n_items || a->n_aliases != b->n_aliases || a->is_lent != b->is_lent)
        return false;
    for (size_t i = 0; i < a->n_items; i++)
        if (!same_item(&a->items[i], &b->items[i]))
            return false;
    for (size_t i = 0; i < a->n_aliases; i++)
        if (!same_alias(&a->aliases[i], &b->aliases[i]))
            return false;
    return true;
}

const struct abroad_item *abroad_find(const struct abroad *a, node_id node)
{
    size_t low = 0, high = a ? a->n_items : 0;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (a->items[mid].node == node)
            return &a->items[mid];
        if (a->items[mid].node < node)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct abroad_alias *abroad_alias_find(const struct abroad *a, tailnet_id tailnet)
{
    size_t low = 0, high = a ? a->n_aliases : 0;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (a->aliases[mid].tailnet == tailnet)
            return &a->aliases[mid];
        if (a->aliases[mid].tailnet < tailnet)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}
