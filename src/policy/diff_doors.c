/*
 * Which ends are among which sources, which stand in which doors; entities that are treated alike
 * as sources, and as destinations, are groups.
 */

#include "policy/diff_net_internal.h"

static void sum_number(struct sum *to, uint64_t a, uint64_t b)
{
    const uint64_t key[2] = {a, b};
    struct policy_mark m = mark_of(str_bytes(key, sizeof key));

    sum_add(to, (struct sum){.a = m.a, .b = m.b, .count = 1});
}

/* ---- Sources ---- */

static bool source_has(const struct diff *d, int side, uint32_t source, size_t entity, int family)
{
    const struct shape *s = d->p[side]->shape;
    const struct entity *e = &d->entities[entity];

    if (entity < d->n_kinds && d->kinds[entity].cls[side] &&
        class_in(s->sources[source].own, d->kinds[entity].cls[side]))
        return true;
    return source_fixed_overlaps(s, &s->sources[source], ip_range_of_addr(e->addr[family]));
}

static void make_source(struct net *n, int side, uint32_t source)
{
    struct diff *d = n->d;
    roaring_bitmap_t *set = roaring_bitmap_create();

    for (size_t i = 0; i < d->n_entities; i++) {
        if (i >= d->n_kinds && d->places[i - d->n_kinds].internet)
            continue;
        for (int f = 0; f < 2; f++) {
            uint32_t end = d->entities[i].end[f];

            if (end == DIFF_NONE || !source_has(d, side, source, i, f))
                continue;
            roaring_bitmap_add(set, end);
            sum_number(&n->src_sums[end], (uint64_t)side, source);
        }
    }
    n->sources[side][source] = set;
}

static void make_sources(struct net *n)
{
    for (int side = 0; side < SIDES; side++) {
        size_t count = n->d->p[side]->shape->n_sources;

        n->sources[side] = mem_alloc_array(count + 1, sizeof(*n->sources[side]));
        for (size_t i = 0; i < n->n_doors; i++) {
            const struct door *door = &n->doors[i];

            if (door->side == side && !n->sources[side][door->source] &&
                diff_work(n->d, n->d->n_ends))
                make_source(n, side, door->source);
        }
    }
}

/* ---- Doors ---- */

static struct door *door_add(struct net *n, int side, const struct policy_link *l)
{
    struct door *door;

    if ((n->n_doors & (n->n_doors - 1)) == 0)
        n->doors = mem_realloc_array(n->doors, MAX(n->n_doors * 2, (size_t)32), sizeof *n->doors);
    door = &n->doors[n->n_doors++];
    *door = (struct door){
        .side = side, .source = l->source, .proto = l->proto, .ends = roaring_bitmap_create()};
    return door;
}

static void mark_door(struct door *door)
{
    struct policy_mark m = {(uint64_t)(door->proto + 2), 0};

    mark_mix_mark(&m, mark_of(str_bytes(door->ports, door->n_ports * sizeof *door->ports)));
    for (size_t i = 0; door->caps && i < door->caps->n_app; i++) {
        mark_mix_mark(&m, mark_of(door->caps->app[i].name));
        mark_mix_mark(&m, mark_of(door->caps->app[i].values));
    }
    door->mark = m;
}

static void add_kinds(struct net *n, struct door *door, const struct policy_link *l,
                      const struct link_dst *dst)
{
    struct diff *d = n->d;

    for (size_t i = 0; i < d->n_kinds; i++) {
        const struct kind *k = &d->kinds[i];

        if (!k->at[door->side] || !class_in(l->classes, k->cls[door->side]))
            continue;
        for (int f = 0; f < 2; f++)
            if (d->entities[i].end[f] != DIFF_NONE &&
                (!dst ||
                 reach_dst(d->p[door->side], l, dst, k->at[door->side], d->entities[i].addr[f])))
                roaring_bitmap_add(door->ends, d->entities[i].end[f]);
    }
}

/* Places that some router lets the door's packets through to. */
static void add_places(struct net *n, struct door *door, const struct policy_link *l,
                       const struct link_dst *dst)
{
    struct diff *d = n->d;
    const struct policy *p = d->p[door->side];

    for (size_t i = d->n_kinds; i < d->n_entities; i++) {
        int f = ip_addr_is_set(d->entities[i].addr[1]);
        struct ip_addr addr = d->entities[i].addr[f];

        for (size_t r = 0; r < p->routers->len; r++) {
            const struct router *router = &p->routers->items[r];
            const struct policy_class *c = &p->shape->classes[router->cls - 1];

            if (!class_in(l->classes, router->cls) || !reach_routes(c, addr) ||
                !reach_dst(p, l, dst, member_find(p, router->id), addr))
                continue;
            roaring_bitmap_add(door->ends, d->entities[i].end[f]);
            break;
        }
    }
}

static void make_link_doors(struct net *n, int side, const struct policy_link *l)
{
    struct diff *d = n->d;
    uint64_t each = d->n_kinds + d->n_places * d->p[side]->routers->len + 1;

    if (l->self || l->kind == LINK_COMPANION)
        return;
    if (l->kind == LINK_CAPS) {
        struct door *door = door_add(n, side, l);

        door->caps = l->rule;
        mark_door(door);
        if (diff_work(d, d->n_kinds))
            add_kinds(n, door, l, NULL);
        return;
    }
    for (size_t i = 0; i < l->n_dst && diff_work(d, each); i++) {
        struct door *door = door_add(n, side, l);

        door->ports = l->dst[i].ports;
        door->n_ports = l->dst[i].n_ports;
        mark_door(door);
        add_kinds(n, door, l, &l->dst[i]);
        add_places(n, door, l, &l->dst[i]);
    }
}

static void make_doors(struct net *n)
{
    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < n->d->p[side]->shape->n_links; i++)
            make_link_doors(n, side, &n->d->p[side]->shape->links[i]);
    for (size_t i = 0; i < n->n_doors; i++) {
        roaring_uint32_iterator_t it;

        for (roaring_init_iterator(n->doors[i].ends, &it); it.has_value;
             roaring_advance_uint32_iterator(&it))
            sum_number(&n->dst_sums[it.current_value], (uint64_t)n->doors[i].side + 2, i);
    }
}

/* ---- Groups ---- */

static struct crowd *make_groups(struct diff *d, const struct sum *sums, bool is_src, size_t *count)
{
    struct map *ids = map_new();
    struct crowd *groups = NULL;
    size_t n = 0;

    for (uint32_t i = 0; i < d->n_entities; i++) {
        struct entity *e = &d->entities[i];
        struct sum key[2] = {{0}, {0}};
        uint32_t *group = is_src ? &e->src_group : &e->dst_group;
        uintptr_t id;

        for (int f = 0; f < 2; f++) {
            if (e->end[f] != DIFF_NONE)
                key[f] = sums[e->end[f]];
            else
                key[f].a = 1; /* has none: not the same as nothing said of it */
        }
        *group = DIFF_NONE;
        if (key[0].count == 0 && key[1].count == 0)
            continue;
        id = (uintptr_t)map_find(ids, str_bytes(key, sizeof key));
        if (id == 0) {
            if ((n & (n - 1)) == 0)
                groups = mem_realloc_array(groups, MAX(n * 2, (size_t)16), sizeof *groups);
            groups[n++] = (struct crowd){0};
            id = n;
            (void)map_put(ids, str_bytes(key, sizeof key), (void *)id);
        }
        *group = (uint32_t)(id - 1);
        struct crowd *c = &groups[*group];
        if ((c->len & (c->len - 1)) == 0)
            c->items = mem_realloc_array(c->items, MAX(c->len * 2, (size_t)4), sizeof *c->items);
        c->items[c->len++] = i;
    }
    map_free(ids);
    *count = n;
    return groups;
}

static void list_doors(struct net *n)
{
    struct diff *d = n->d;

    for (int f = 0; f < 2; f++) {
        n->of_group[f] = mem_alloc_array(d->n_dst_groups + 1, sizeof *n->of_group[f]);
        for (size_t g = 0; g < d->n_dst_groups && diff_work(d, n->n_doors); g++) {
            struct doors_of *of = &n->of_group[f][g];
            uint32_t end = d->entities[d->dst_groups[g].items[0]].end[f];

            of->items = mem_alloc_array(n->n_doors + 1, sizeof *of->items);
            for (size_t i = 0; i < n->n_doors && end != DIFF_NONE; i++)
                if (roaring_bitmap_contains(n->doors[i].ends, end))
                    of->items[of->len++] = (uint32_t)i;
            of->items = mem_realloc_array(of->items, of->len + 1, sizeof *of->items);
        }
    }
}

/* ---- Life ---- */

void net_init(struct net *n, struct diff *d)
{
    *n = (struct net){.d = d};
    n->src_sums = mem_alloc_array(d->n_ends + 1, sizeof *n->src_sums);
    n->dst_sums = mem_alloc_array(d->n_ends + 1, sizeof *n->dst_sums);
    make_doors(n);
    make_sources(n);
    d->src_groups = make_groups(d, n->src_sums, true, &d->n_src_groups);
    d->dst_groups = make_groups(d, n->dst_sums, false, &d->n_dst_groups);
    list_doors(n);
}

void net_fini(struct net *n)
{
    for (int side = 0; side < SIDES; side++) {
        for (size_t i = 0; i < n->d->p[side]->shape->n_sources; i++)
            if (n->sources[side][i])
                roaring_bitmap_free(n->sources[side][i]);
        mem_free(n->sources[side]);
        access_fini(&n->rights[side].access);
        mem_free(n->rights[side].caps.items);
    }
    for (int f = 0; f < 2; f++) {
        for (size_t g = 0; g < n->d->n_dst_groups; g++)
            mem_free(n->of_group[f][g].items);
        mem_free(n->of_group[f]);
    }
    for (size_t i = 0; i < n->n_doors; i++)
        roaring_bitmap_free(n->doors[i].ends);
    mem_free(n->doors);
    mem_free(n->src_sums);
    mem_free(n->dst_sums);
    access_fini(&n->come);
    access_fini(&n->gone);
}
