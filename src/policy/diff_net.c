/*
 * Packets and capabilities: what each group of sources may reach at each group of destinations,
 * before and after.
 *
 * Sources are asked once for each end, doors once for each end they can be about; ends with the
 * same answers form a group. A pair of groups is compared by the marks of the doors that the
 * sources may go through, and only where these differ by ports and names.
 *
 * Devices of one user have more doors (autogroup:self); they are compared once more, with these.
 */

#include "policy/diff_internal.h"

#include <stdlib.h>

struct door {
    int side;
    uint32_t source;
    int proto;
    const struct ip_ports *ports;
    size_t n_ports;
    const struct policy_rule *caps; /* LINK_CAPS: no packets */
    roaring_bitmap_t *ends;
    struct policy_mark mark;
};

/* Doors that one group of destinations stands in, by family. */
struct doors_of {
    uint32_t *items;
    size_t len;
};

struct texts {
    struct str *items;
    size_t len;
};

/* What may be done from one end to another under one policy. */
struct rights {
    struct access access;
    struct texts caps;
};

struct net {
    struct diff *d;
    roaring_bitmap_t **sources[SIDES]; /* per source: ends */
    struct door *doors;
    size_t n_doors;
    struct sum *src_sums, *dst_sums; /* per end */
    struct doors_of *of_group[2];    /* per family: per destination group */
    struct change_set *changes, *own;
    struct rights rights[SIDES];
    struct access gone, come;
};

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

/* ---- Rights ---- */

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void add_caps(struct net *n, struct texts *t, const struct policy_rule *rule)
{
    t->items = mem_realloc_array(t->items, t->len + rule->n_app + 1, sizeof *t->items);
    for (size_t i = 0; i < rule->n_app; i++) {
        struct str values = rule->app[i].values;

        t->items[t->len++] = arena_printf(
            n->d->arena, "%.*s%s%.*s", STR_ARG(rule->app[i].name),
            str_eq(values, STR("[]")) ? "" : " ",
            str_eq(values, STR("[]")) ? 0 : (int)MIN(values.len, (size_t)200), values.ptr);
    }
}

static void rights_clear(struct rights *r)
{
    access_clear(&r->access);
    r->caps.len = 0;
}

static void rights_settle(struct rights *r)
{
    size_t n = 0;

    access_settle(&r->access);
    if (r->caps.len)
        qsort(r->caps.items, r->caps.len, sizeof *r->caps.items, by_text);
    for (size_t i = 0; i < r->caps.len; i++)
        if (n == 0 || !str_eq(r->caps.items[n - 1], r->caps.items[i]))
            r->caps.items[n++] = r->caps.items[i];
    r->caps.len = n;
}

/* The doors between the groups, both sides together: their marks summed by side. */
static bool doors_differ(const struct net *n, const struct doors_of *of, uint32_t src_end)
{
    struct sum sums[SIDES] = {{0}, {0}};

    for (size_t i = 0; i < of->len; i++) {
        const struct door *door = &n->doors[of->items[i]];
        const roaring_bitmap_t *source = n->sources[door->side][door->source];

        if (source && roaring_bitmap_contains(source, src_end))
            sum_add(&sums[door->side],
                    (struct sum){.a = door->mark.a, .b = door->mark.b, .count = 1});
    }
    return !sum_eq(sums[BEFORE], sums[AFTER]);
}

static void add_rights(struct net *n, const struct doors_of *of, uint32_t src_end)
{
    for (size_t i = 0; i < of->len; i++) {
        const struct door *door = &n->doors[of->items[i]];
        const roaring_bitmap_t *source = n->sources[door->side][door->source];

        if (!source || !roaring_bitmap_contains(source, src_end))
            continue;
        if (door->caps)
            add_caps(n, &n->rights[door->side].caps, door->caps);
        else
            access_add(&n->rights[door->side].access, door->proto, door->ports, door->n_ports);
    }
}

/* ---- Changes ---- */

/* No target: the devices of the same user. */
static void put_access(struct change_set *to, const struct access *a, char sign, const char *suffix,
                       struct crowd from, struct crowd target)
{
    struct buf text = BUF(0), verb = BUF(0);

    if (a->len) {
        buf_put(&verb, sign == '+' ? STR("may reach") : STR("may no longer reach"));
        if (target.len == 0)
            buf_put(&verb, STR(" their user's other machines"));
        buf_put(&text, STR("on "));
        access_put(&text, a);
        buf_put(&text, str_from(suffix));
        changes_add(to, sign, buf_str(&verb), buf_str(&text), from, target);
    }
    buf_fini(&text);
    buf_fini(&verb);
}

static bool texts_have(const struct texts *t, struct str text)
{
    return t->len && bsearch(&text, t->items, t->len, sizeof text, by_text);
}

static void put_caps(struct net *n, struct change_set *to, const char *suffix, struct crowd from,
                     struct crowd target)
{
    struct buf verb = BUF(0);

    for (int side = 0; side < SIDES; side++) {
        const struct texts *t = &n->rights[side].caps;

        for (size_t i = 0; i < t->len; i++) {
            if (texts_have(&n->rights[1 - side].caps, t->items[i]))
                continue;
            buf_clear(&verb);
            buf_printf(&verb, "%s capability %.*s%s on%s", side == AFTER ? "has" : "no longer has",
                       STR_ARG(t->items[i]), suffix,
                       target.len ? "" : " their user's other machines");
            changes_add(to, side == AFTER ? '+' : '-', buf_str(&verb), STR_NONE, from, target);
        }
    }
    buf_fini(&verb);
}

static void touch(struct diff *d, uint32_t from, uint32_t to)
{
    const uint32_t key[2] = {from, to};

    (void)map_put(d->touched, str_bytes(key, sizeof key), d);
}

/* What differs in n->rights. */
static bool put_difference(struct net *n, struct change_set *to, const char *suffix,
                           struct crowd from, struct crowd target)
{
    const struct rights *r = n->rights;
    bool caps = r[BEFORE].caps.len != r[AFTER].caps.len;

    for (size_t i = 0; i < r[AFTER].caps.len && !caps; i++)
        caps = !str_eq(r[BEFORE].caps.items[i], r[AFTER].caps.items[i]);
    access_subtract(&n->come, &r[AFTER].access, &r[BEFORE].access);
    access_subtract(&n->gone, &r[BEFORE].access, &r[AFTER].access);
    put_access(to, &n->come, '+', suffix, from, target);
    put_access(to, &n->gone, '-', suffix, from, target);
    if (caps)
        put_caps(n, to, suffix, from, target);
    return caps || n->come.len || n->gone.len;
}

static bool is_itself(const struct diff *d, struct crowd from, struct crowd to)
{
    return from.len == 1 && to.len == 1 && from.items[0] == to.items[0] &&
           from.items[0] < d->n_kinds && d->kinds[from.items[0]].count == 1;
}

static bool find_rights(struct net *n, uint32_t sg, uint32_t dg, int f)
{
    const struct entity *e = &n->d->entities[n->d->src_groups[sg].items[0]];

    rights_clear(&n->rights[BEFORE]);
    rights_clear(&n->rights[AFTER]);
    if (e->end[f] == DIFF_NONE || !doors_differ(n, &n->of_group[f][dg], e->end[f]))
        return false;
    add_rights(n, &n->of_group[f][dg], e->end[f]);
    rights_settle(&n->rights[BEFORE]);
    rights_settle(&n->rights[AFTER]);
    return true;
}

static bool has_family(const struct diff *d, uint32_t sg, uint32_t dg, int f)
{
    return d->entities[d->src_groups[sg].items[0]].end[f] != DIFF_NONE &&
           d->entities[d->dst_groups[dg].items[0]].end[f] != DIFF_NONE;
}

/* What differs in n->rights, to compare with. */
static void put_difference_text(struct net *n, struct buf *out)
{
    access_subtract(&n->come, &n->rights[AFTER].access, &n->rights[BEFORE].access);
    access_subtract(&n->gone, &n->rights[BEFORE].access, &n->rights[AFTER].access);
    buf_put(out, str_bytes(n->come.items, n->come.len * sizeof *n->come.items));
    buf_put_char(out, '/');
    buf_put(out, str_bytes(n->gone.items, n->gone.len * sizeof *n->gone.items));
    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < n->rights[side].caps.len; i++)
            if (!texts_have(&n->rights[1 - side].caps, n->rights[side].caps.items[i]))
                buf_printf(out, "/%d%.*s", side, STR_ARG(n->rights[side].caps.items[i]));
}

/* Whether both families say the same of the pair; then one of them is enough. */
static bool families_agree(struct net *n, uint32_t sg, uint32_t dg)
{
    struct buf text[2] = {BUF(0), BUF(0)};
    bool agree;

    for (int f = 0; f < 2; f++) {
        (void)find_rights(n, sg, dg, f);
        put_difference_text(n, &text[f]);
    }
    agree = str_eq(buf_str(&text[0]), buf_str(&text[1]));
    buf_fini(&text[0]);
    buf_fini(&text[1]);
    return agree;
}

static void compare_pair(struct net *n, uint32_t sg, uint32_t dg)
{
    static const char *const suffixes[] = {" (IPv4 only)", " (IPv6 only)"};
    struct diff *d = n->d;
    bool both = has_family(d, sg, dg, 0) && has_family(d, sg, dg, 1);
    bool one = false, any = false;

    for (int f = 0; f < 2 && !one; f++) {
        if (!has_family(d, sg, dg, f) || !find_rights(n, sg, dg, f))
            continue;
        one = both && f == 0 && families_agree(n, sg, dg);
        (void)find_rights(n, sg, dg, f);
        any |= put_difference(n, n->changes, both && !one ? suffixes[f] : "", d->src_groups[sg],
                              d->dst_groups[dg]);
    }
    if (any)
        touch(d, sg, dg);
}

static void compare_groups(struct net *n)
{
    struct diff *d = n->d;

    for (uint32_t sg = 0; sg < d->n_src_groups; sg++)
        for (uint32_t dg = 0; dg < d->n_dst_groups; dg++) {
            if (is_itself(d, d->src_groups[sg], d->dst_groups[dg]))
                continue;
            if (!diff_work(d, n->of_group[0][dg].len + n->of_group[1][dg].len + 1))
                return;
            compare_pair(n, sg, dg);
        }
}

/* ---- autogroup:self ---- */

static bool add_self(struct net *n, uint32_t kind)
{
    bool any = false;

    for (int side = 0; side < SIDES; side++) {
        const struct policy *p = n->d->p[side];
        const struct member *m = n->d->kinds[kind].at[side];

        for (size_t i = 0; m && p->shape->has_self && i < p->shape->n_links; i++) {
            const struct policy_link *l = &p->shape->links[i];

            if (!l->self || l->kind == LINK_COMPANION || !self_lists(p, l, m))
                continue;
            any = true;
            if (l->kind == LINK_CAPS)
                add_caps(n, &n->rights[side].caps, l->rule);
            else
                access_add(&n->rights[side].access, l->proto, l->ports, l->n_ports);
        }
    }
    return any;
}

/* What was told of everyone is not so for devices of one user. */
static void put_kept(struct net *n, uint32_t kind)
{
    struct buf text = BUF(0);

    if (n->rights[AFTER].access.len) {
        buf_put(&text, STR("on "));
        access_put(&text, &n->rights[AFTER].access);
        changes_add(n->own, '=', STR("may reach their user's other machines as before,"),
                    buf_str(&text), crowd_of(n->d, kind), (struct crowd){0});
    }
    buf_fini(&text);
}

static void compare_own(struct net *n, uint32_t i, uint32_t j)
{
    struct diff *d = n->d;
    const struct entity *from = &d->entities[i], *to = &d->entities[j];
    int f = from->end[0] != DIFF_NONE && to->end[0] != DIFF_NONE ? 0 : 1;
    struct buf plain = BUF(0), own = BUF(0);

    rights_clear(&n->rights[BEFORE]);
    rights_clear(&n->rights[AFTER]);
    if (from->src_group != DIFF_NONE && to->dst_group != DIFF_NONE && from->end[f] != DIFF_NONE)
        add_rights(n, &n->of_group[f][to->dst_group], from->end[f]);
    rights_settle(&n->rights[BEFORE]);
    rights_settle(&n->rights[AFTER]);
    put_difference_text(n, &plain);
    if (add_self(n, i)) {
        rights_settle(&n->rights[BEFORE]);
        rights_settle(&n->rights[AFTER]);
        put_difference_text(n, &own);
        /* The same for everyone has been told. */
        if (!str_eq(buf_str(&plain), buf_str(&own))) {
            if (put_difference(n, n->own, "", crowd_of(d, i), (struct crowd){0}))
                touch(d, i | 0x80000000u, j);
            else
                put_kept(n, i);
        }
    }
    buf_fini(&plain);
    buf_fini(&own);
}

static void compare_devices(struct net *n)
{
    uint32_t(*pairs)[2];
    size_t len;

    if (!n->d->p[BEFORE]->shape->has_self && !n->d->p[AFTER]->shape->has_self)
        return;
    pairs = diff_own_pairs(n->d, &len);
    for (size_t i = 0; i < len; i++)
        if (diff_work(n->d, n->d->p[BEFORE]->shape->n_links + n->d->p[AFTER]->shape->n_links))
            compare_own(n, pairs[i][0], pairs[i][1]);
    mem_free(pairs);
}

/* ---- The whole ---- */

static void net_fini(struct net *n)
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

void diff_net(struct diff *d)
{
    struct net n = {.d = d};

    n.src_sums = mem_alloc_array(d->n_ends + 1, sizeof *n.src_sums);
    n.dst_sums = mem_alloc_array(d->n_ends + 1, sizeof *n.dst_sums);
    make_doors(&n);
    make_sources(&n);
    d->src_groups = make_groups(d, n.src_sums, true, &d->n_src_groups);
    d->dst_groups = make_groups(d, n.dst_sums, false, &d->n_dst_groups);
    list_doors(&n);
    n.changes = changes_new(d);
    n.own = changes_new(d);
    compare_groups(&n);
    compare_devices(&n);
    changes_put(n.changes);
    changes_put(n.own);
    net_fini(&n);
}
