/*
 * What becomes different when one policy takes another's place: see policy_diff in policy.h.
 *
 * Here: the kinds of nodes, and the order of what is told. See diff_internal.h.
 */

#include "policy/diff_internal.h"

#include <string.h>

bool diff_work(struct diff *d, uint64_t n)
{
    d->work += n;
    if (d->work <= DIFF_WORK_MAX)
        return true;
    d->gave_up = true;
    return false;
}

bool diff_line(struct diff *d)
{
    if (d->lines == DIFF_LINES_MAX) {
        d->left_out++;
        return false;
    }
    d->lines++;
    return true;
}

/* ---- Kinds ---- */

/* Sets are told apart node by node: a class only says that one of its addresses is in it. */
static void key_sets(struct buf *key, const struct policy *p, const struct node *n,
                     const struct policy_class *c)
{
    const struct policy_document *doc = p->shape->doc;

    for (size_t i = 0; i < c->p.own.len; i++) {
        const struct policy_selector *s = doc->selectors[c->p.own.items[i]];

        if (s->kind != SELECTOR_IPSET)
            continue;
        buf_put_char(key, ip_addr_is_set(n->v4) && ip_set_contains(&s->ipset->set, n->v4));
        buf_put_char(key, ip_addr_is_set(n->v6) && ip_set_contains(&s->ipset->set, n->v6));
    }
}

static struct str kind_key(const struct diff *d, const struct node *n, struct buf *key)
{
    buf_clear(key);
    buf_put_char(
        key, (char)(node_is_tagged(n) | ip_addr_is_set(n->v4) << 1 | ip_addr_is_set(n->v6) << 2));
    for (int side = 0; side < SIDES; side++) {
        const struct member *m = member_find(d->p[side], n->id);

        buf_put_be32(key, m ? m->cls : 0);
        if (m)
            key_sets(key, d->p[side], n, member_class(d->p[side], m));
    }
    return buf_str(key);
}

static uint32_t kind_add(struct diff *d, const struct node *n)
{
    struct kind *k;

    if ((d->n_kinds & (d->n_kinds - 1)) == 0)
        d->kinds = mem_realloc_array(d->kinds, MAX(d->n_kinds * 2, (size_t)16), sizeof *d->kinds);
    k = &d->kinds[d->n_kinds++];
    *k = (struct kind){.first = n, .tagged = node_is_tagged(n)};
    for (int side = 0; side < SIDES; side++) {
        k->at[side] = member_find(d->p[side], n->id);
        k->cls[side] = k->at[side] ? k->at[side]->cls : 0;
    }
    return (uint32_t)(d->n_kinds - 1);
}

static void sort_nodes(struct diff *d, const uint32_t *of_node)
{
    size_t *next = mem_alloc_array(d->n_kinds + 1, sizeof *next);
    const struct node *n;
    size_t i = 0;

    d->from = arena_alloc(d->arena, (d->n_kinds + 1) * sizeof *d->from);
    d->nodes = arena_alloc(d->arena, (view_node_count(d->view) + 1) * sizeof(*d->nodes));
    for (size_t k = 0; k < d->n_kinds; k++)
        next[k + 1] = d->from[k + 1] = d->from[k] + d->kinds[k].count;
    for (size_t at = 0; (n = policy_node_next(d->view, &at));)
        d->nodes[next[of_node[i++]]++] = n;
    mem_free(next);
}

static void make_kinds(struct diff *d)
{
    uint32_t *of_node = mem_alloc_array(view_node_count(d->view) + 1, sizeof *of_node);
    struct map *ids = map_new();
    struct buf key = BUF(0);
    const struct node *n;
    size_t i = 0;

    for (size_t at = 0; (n = policy_node_next(d->view, &at));) {
        struct str k = kind_key(d, n, &key);
        uintptr_t id = (uintptr_t)map_find(ids, k);

        if (id == 0) {
            id = (uintptr_t)kind_add(d, n) + 1;
            (void)map_put(ids, k, (void *)id);
        }
        of_node[i++] = (uint32_t)(id - 1);
        d->kinds[id - 1].count++;
    }
    sort_nodes(d, of_node);
    mem_free(of_node);
    map_free(ids);
    buf_fini(&key);
}

static void make_entities(struct diff *d)
{
    d->n_entities = d->n_kinds + d->n_places;
    d->entities = arena_alloc(d->arena, (d->n_entities + 1) * sizeof *d->entities);
    d->singles = arena_alloc(d->arena, (d->n_entities + 1) * sizeof *d->singles);
    for (size_t i = 0; i < d->n_entities; i++) {
        struct entity *e = &d->entities[i];

        d->singles[i] = (uint32_t)i;
        if (i < d->n_kinds) {
            e->addr[0] = d->kinds[i].first->v4;
            e->addr[1] = d->kinds[i].first->v6;
        } else {
            struct ip_addr first = d->places[i - d->n_kinds].range.first;

            e->addr[first.family == IP_V6] = first;
        }
        for (int f = 0; f < 2; f++)
            e->end[f] = ip_addr_is_set(e->addr[f]) ? (uint32_t)d->n_ends++ : DIFF_NONE;
    }
}

/* ---- Devices of one user ---- */

#define DEVICES_MAX 64

struct own_pairs {
    uint32_t (*items)[2];
    size_t len;
    struct map *seen;
};

static void add_pair(struct own_pairs *p, uint32_t i, uint32_t j)
{
    const uint32_t key[2] = {i, j};

    if (map_put(p->seen, str_bytes(key, sizeof key), p->seen))
        return;
    if ((p->len & (p->len - 1)) == 0)
        p->items = mem_realloc_array(p->items, MAX(p->len * 2, (size_t)16), sizeof *p->items);
    p->items[p->len][0] = i;
    p->items[p->len++][1] = j;
}

struct devices {
    uint32_t kinds[DEVICES_MAX];
    size_t len;
};

uint32_t (*diff_own_pairs(struct diff *d, size_t *n))[2]
{
    struct own_pairs p = {.seen = map_new()};
    struct map *of_user = map_new();

    for (uint32_t k = 0; k < d->n_kinds; k++)
        for (size_t i = d->from[k]; i < d->from[k + 1] && !d->kinds[k].tagged; i++) {
            struct devices *of = map_find_u64(of_user, d->nodes[i]->user);

            if (!of) {
                of = arena_alloc(d->arena, sizeof *of);
                (void)map_put_u64(of_user, d->nodes[i]->user, of);
            }
            for (size_t j = 0; j < of->len; j++) {
                add_pair(&p, of->kinds[j], k);
                add_pair(&p, k, of->kinds[j]);
            }
            if (of->len < DEVICES_MAX)
                of->kinds[of->len++] = k;
        }
    map_free(of_user);
    map_free(p.seen);
    *n = p.len;
    return p.items;
}

/* ---- The whole ---- */

static void run(struct diff *d)
{
    make_kinds(d);
    diff_make_places(d);
    make_entities(d);
    diff_make_names(d);
    diff_net(d);
    diff_ssh(d);
    diff_visibility(d);
    diff_routes(d);
    diff_guests(d);
    diff_attrs(d);
    diff_approvals(d);
    if (d->left_out)
        buf_printf(d->out, "... and %zu more\n", d->left_out);
    if (d->gave_up)
        buf_put(d->out, STR("... and there is more to compare than can be in one go\n"));
    diff_free_names(d);
}

static void free_groups(struct crowd *groups, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mem_free(groups[i].items);
    mem_free(groups);
}

void policy_diff(const struct policy *a, const struct policy *b, const struct tailnet_view *view,
                 struct buf *out)
{
    AUTO(policy_unref) const struct policy *open = NULL;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct diff d = {.view = view, .arena = arena, .out = out};

    if (a == b)
        return;
    if (a->is_open || b->is_open)
        open = policy_stand_in(view);
    d.no_policy = open != NULL || a->is_stand_in || b->is_stand_in;
    d.p[BEFORE] = a->is_open ? open : a;
    d.p[AFTER] = b->is_open ? open : b;
    if (d.p[BEFORE] == d.p[AFTER])
        return;
    d.touched = map_new();
    run(&d);
    map_free(d.touched);
    free_groups(d.src_groups, d.n_src_groups);
    free_groups(d.dst_groups, d.n_dst_groups);
    mem_free(d.kinds);
}
