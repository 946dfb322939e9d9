/*
 * Places: the approved routes of both policies' views, cut wherever a rule of either begins or ends
 * inside them, and the internet.
 *
 *   route      |-----------------|
 *   literals        |---|
 *   places     |---||---||-------|
 */

#include "policy/diff_internal.h"

#include <stdlib.h>

/* Addresses for the internet; reserved for documentation, so no policy is about them. */
#define PUBLIC_V4 "192.0.2.1"
#define PUBLIC_V6 "2001:db8::1"

struct cuts {
    struct ip_addr *items;
    size_t len;
    size_t cap;
    struct ip_set routed;
};

static void cut_at(struct cuts *c, struct ip_addr at)
{
    c->items = mem_room(c->items, c->len, &c->cap, 64, sizeof *c->items);
    c->items[c->len++] = at;
}

static void cut_range(struct cuts *c, struct ip_range r)
{
    struct ip_addr behind;

    if (!ip_set_overlaps(&c->routed, r) || c->len >= DIFF_CUTS_MAX)
        return;
    cut_at(c, r.first);
    if (ip_addr_next(r.last, &behind))
        cut_at(c, behind);
}

static void cut_selectors(struct cuts *c, const struct policy_document *d)
{
    for (size_t i = 0; i < d->n_selectors; i++) {
        const struct policy_selector *s = d->selectors[i];

        if (s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST)
            cut_range(c, ip_range_of_prefix(s->prefix));
        for (size_t k = 0; s->kind == SELECTOR_IPSET && k < s->ipset->set.len; k++)
            cut_range(c, s->ipset->set.ranges[k]);
    }
}

static int by_addr(const void *a, const void *b)
{
    return ip_addr_cmp(*(const struct ip_addr *)a, *(const struct ip_addr *)b);
}

static void add_place(struct diff *d, struct ip_range r, bool internet)
{
    if ((d->n_places & (d->n_places - 1)) == 0) {
        struct place *more =
            arena_alloc(d->arena, MAX(d->n_places * 2, (size_t)8) * sizeof *d->places);

        for (size_t i = 0; i < d->n_places; i++)
            more[i] = d->places[i];
        d->places = more;
    }
    d->places[d->n_places++] = (struct place){r, internet};
}

/* From one cut to the next, inside one range of the routed set. */
static void add_between(struct diff *d, const struct cuts *c, struct ip_range whole)
{
    struct ip_range rest = whole, piece;

    for (size_t i = 0; i < c->len; i++) {
        struct ip_addr before;

        if (ip_addr_cmp(c->items[i], rest.first) <= 0 || ip_addr_cmp(c->items[i], rest.last) > 0 ||
            !ip_addr_prev(c->items[i], &before) || !ip_range_make(rest.first, before, &piece))
            continue;
        add_place(d, piece, false);
        rest.first = c->items[i];
    }
    add_place(d, rest, false);
}

static void add_internet(struct diff *d)
{
    static const struct str texts[] = {STR_INIT(PUBLIC_V4), STR_INIT(PUBLIC_V6)};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct ip_addr addr;

        if (ip_addr_parse(texts[i], &addr))
            add_place(d, ip_range_of_addr(addr), true);
    }
}

void diff_make_places(struct diff *d)
{
    struct cuts c = {0};

    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < d->p[side]->shape->n_wild_routes; i++)
            ip_set_add_prefix(&c.routed, d->p[side]->shape->wild_routes[i]);
    for (int side = 0; side < SIDES; side++) {
        for (size_t i = 0; i < d->p[side]->shape->n_wild_routes; i++)
            cut_range(&c, ip_range_of_prefix(d->p[side]->shape->wild_routes[i]));
        cut_selectors(&c, d->p[side]->shape->doc);
    }
    if (c.len)
        qsort(c.items, c.len, sizeof *c.items, by_addr);
    for (size_t i = 0; i < c.routed.len; i++)
        add_between(d, &c, c.routed.ranges[i]);
    add_internet(d);
    mem_free(c.items);
    ip_set_fini(&c.routed);
}
