/*
 * Who sees whom where nothing else changes, and the routes and exit nodes that each kind of machine
 * is given. policy.md 9, 10.
 */

#include "policy/diff_internal.h"

/* ---- Visibility ---- */

struct sight {
    struct diff *d;
    struct crowd *groups;
    size_t n;
    struct change_set *changes;
};

static void mark_set(struct policy_mark *m, const roaring_bitmap_t *set)
{
    roaring_uint32_iterator_t it;

    for (roaring_init_iterator(set, &it); it.has_value; roaring_advance_uint32_iterator(&it))
        mark_mix(m, it.current_value + 1);
    mark_mix(m, 0);
}

static struct policy_mark sight_mark(const struct diff *d, uint32_t kind)
{
    struct policy_mark m = {0};

    for (int side = 0; side < SIDES; side++) {
        const struct policy_class *c;

        mark_mix(&m, (uint64_t)side);
        if (d->kinds[kind].cls[side] == 0)
            continue;
        c = &d->p[side]->shape->classes[d->kinds[kind].cls[side] - 1];
        mark_set(&m, c->as_source);
        mark_set(&m, c->as_dst);
        mark_mix(&m, c->p.n_routes > 0 || c->p.exit);
    }
    return m;
}

static void group_kinds(struct sight *s)
{
    struct map *ids = map_new();

    for (uint32_t k = 0; k < s->d->n_kinds; k++) {
        struct policy_mark m = sight_mark(s->d, k);
        uintptr_t id = (uintptr_t)map_find(ids, str_bytes(&m, sizeof m));

        if (id == 0) {
            if ((s->n & (s->n - 1)) == 0)
                s->groups =
                    mem_realloc_array(s->groups, MAX(s->n * 2, (size_t)8), sizeof *s->groups);
            s->groups[s->n++] = (struct crowd){0};
            id = s->n;
            (void)map_put(ids, str_bytes(&m, sizeof m), (void *)id);
        }
        struct crowd *c = &s->groups[id - 1];
        if ((c->len & (c->len - 1)) == 0)
            c->items = mem_realloc_array(c->items, MAX(c->len * 2, (size_t)4), sizeof *c->items);
        c->items[c->len++] = k;
    }
    map_free(ids);
}

static bool sees(const struct diff *d, int side, uint32_t i, uint32_t j)
{
    const struct policy_class *a, *b;

    if (d->kinds[i].cls[side] == 0 || d->kinds[j].cls[side] == 0)
        return false;
    a = &d->p[side]->shape->classes[d->kinds[i].cls[side] - 1];
    b = &d->p[side]->shape->classes[d->kinds[j].cls[side] - 1];
    return roaring_bitmap_intersect(a->as_source, b->as_dst) ||
           roaring_bitmap_intersect(b->as_source, a->as_dst);
}

static bool is_touched(const struct diff *d, uint32_t from, uint32_t to)
{
    const uint32_t key[2] = {d->entities[from].src_group, d->entities[to].dst_group};

    return key[0] != DIFF_NONE && key[1] != DIFF_NONE &&
           map_find(d->touched, str_bytes(key, sizeof key));
}

/* A place behind the router is about the router. */
static bool is_behind(const struct diff *d, const struct place *place, uint32_t kind)
{
    for (int side = 0; side < SIDES; side++) {
        uint32_t cls = d->kinds[kind].cls[side];

        if (cls && reach_routes(&d->p[side]->shape->classes[cls - 1], place->range.first))
            return true;
    }
    return false;
}

static bool is_told_one_way(const struct diff *d, uint32_t from, uint32_t to)
{
    if (is_touched(d, from, to))
        return true;
    for (size_t i = 0; i < d->n_places; i++) {
        uint32_t entity = (uint32_t)(d->n_kinds + i);

        if ((is_behind(d, &d->places[i], to) && is_touched(d, from, entity)) ||
            (is_behind(d, &d->places[i], from) && is_touched(d, entity, to)))
            return true;
    }
    return false;
}

static void compare_sight(struct sight *s, const struct crowd *a, const struct crowd *b)
{
    struct diff *d = s->d;
    uint32_t i = a->items[0], j = b->items[0];
    bool before = sees(d, BEFORE, i, j), after = sees(d, AFTER, i, j);

    if (before == after || is_told_one_way(d, i, j) || is_told_one_way(d, j, i))
        return;
    changes_add(s->changes, after ? '+' : '-', STR("and"),
                after ? STR("now see each other, with nothing more to reach")
                      : STR("no longer see each other, with nothing less to reach"),
                *a, *b);
}

void diff_visibility(struct diff *d)
{
    struct sight s = {.d = d};

    group_kinds(&s);
    s.changes = changes_new(d);
    for (size_t i = 0; i < s.n; i++)
        for (size_t k = i; k < s.n && diff_work(d, 8); k++)
            if (i != k || s.groups[i].len > 1 || d->kinds[s.groups[i].items[0]].count > 1)
                compare_sight(&s, &s.groups[i], &s.groups[k]);
    changes_put(s.changes);
    for (size_t i = 0; i < s.n; i++)
        mem_free(s.groups[i].items);
    mem_free(s.groups);
}

/* ---- Routes ---- */

#define ROUTES_MAX 256

struct given {
    struct ip_prefix items[ROUTES_MAX];
    size_t len;
};

static void put_route(struct change_set *c, struct diff *d, bool come, struct ip_prefix route,
                      const struct node *router, uint32_t kind)
{
    struct buf verb = BUF(0);

    if (ip_prefix_is_exit(route)) {
        buf_printf(&verb, "may %suse the exit node %.*s", come ? "" : "no longer ",
                   STR_ARG(router->given_name));
    } else {
        buf_put(&verb, come ? STR("may use the route ") : STR("may no longer use the route "));
        ip_prefix_put(&verb, route);
        buf_printf(&verb, " through %.*s", STR_ARG(router->given_name));
    }
    changes_add(c, come ? '+' : '-', buf_str(&verb), STR_NONE, crowd_of(d, kind),
                (struct crowd){0});
    buf_fini(&verb);
}

static void compare_routes(struct diff *d, struct change_set *c, uint32_t kind,
                           const struct node *router)
{
    const struct node *viewer = d->nodes[d->from[kind]];
    struct given given[SIDES];

    if (viewer == router && d->kinds[kind].count > 1)
        viewer = d->nodes[d->from[kind] + 1];
    for (int side = 0; side < SIDES; side++)
        given[side].len = MIN(
            policy_peer_routes(d->p[side], viewer->id, router->id, given[side].items, ROUTES_MAX),
            (size_t)ROUTES_MAX);
    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < given[side].len; i++)
            if (!ip_prefix_in(given[1 - side].items, given[1 - side].len, given[side].items[i]))
                put_route(c, d, side == AFTER, given[side].items[i], router, kind);
}

void diff_routes(struct diff *d)
{
    struct change_set *c = changes_new(d);

    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < d->p[side]->routers->len; i++) {
            node_id id = d->p[side]->routers->items[i].id;
            const struct node *router = policy_node_find(d->view, id);

            if (!router || (side == AFTER && policy_router_find(d->p[BEFORE], id)))
                continue;
            for (uint32_t k = 0; k < d->n_kinds && diff_work(d, 32); k++)
                compare_routes(d, c, k, router);
        }
    changes_put(c);
}
