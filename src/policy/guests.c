/*
 * From a view with guests to what lies over its policy. See guests_internal.h.
 *
 * Cost: linear in guests and what their `abroad` says; own nodes are looked through once, when the
 * first guest comes.
 */

#include "policy/guests_internal.h"

#include <string.h>

/* ---- Finding ---- */

#define BY_ID(items, n, wanted)                          \
    do {                                                 \
        size_t low_ = 0, high_ = (n);                    \
                                                         \
        while (low_ < high_) {                           \
            size_t mid_ = low_ + (high_ - low_) / 2;     \
                                                         \
            if ((items)[mid_].id < (wanted))             \
                low_ = mid_ + 1;                         \
            else                                         \
                high_ = mid_;                            \
        }                                                \
        if (low_ == (n) || (items)[low_].id != (wanted)) \
            return NULL;                                 \
        return &(items)[low_];                           \
    } while (0)

static struct guest *guest_in(const struct guests *g, node_id id)
{
    BY_ID(g->items, g->len, id);
}

static struct local *local_in(const struct guests *g, node_id id)
{
    BY_ID(g->locals, g->n_locals, id);
}

static const struct guest_class *class_in_guests(const struct guests *g, uint32_t cls)
{
    BY_ID(g->classes, g->n_classes, cls);
}

const struct guest *guest_find(const struct policy *p, node_id id)
{
    return p->guests ? guest_in(p->guests, id) : NULL;
}

const struct guest *guest_at(const struct policy *p, struct ip_addr addr)
{
    for (size_t i = 0; p->guests && i < p->guests->len; i++)
        if (ip_addr_eq(p->guests->items[i].v4, addr) || ip_addr_eq(p->guests->items[i].v6, addr))
            return &p->guests->items[i];
    return NULL;
}

const struct local *local_find(const struct policy *p, node_id id)
{
    return p->guests ? local_in(p->guests, id) : NULL;
}

const struct guest_class *guest_class_find(const struct policy *p, uint32_t cls)
{
    return p->guests && cls >= GUEST_CLASS ? class_in_guests(p->guests, cls) : NULL;
}

const struct visit *visit_find(const struct policy *p, node_id own, node_id guest)
{
    const struct local *l = local_find(p, own);

    for (size_t i = 0; l && i < l->n_visits; i++)
        if (p->guests->items[l->visits[i].guest].id == guest)
            return &l->visits[i];
    return NULL;
}

/* ---- Ids that somebody has an item for ---- */

struct ids {
    node_id *items;
    size_t len;
    size_t cap;
};

static void ids_add(struct ids *s, node_id id)
{
    if (s->len == s->cap) {
        s->cap = MAX(s->cap * 2, (size_t)16);
        s->items = mem_realloc_array(s->items, s->cap, sizeof *s->items);
    }
    s->items[s->len++] = id;
}

static void ids_add_items(struct ids *s, const struct abroad *a)
{
    for (size_t i = 0; a && i < a->n_items; i++)
        ids_add(s, a->items[i].node);
}

static int by_id(const void *a, const void *b)
{
    const node_id *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void ids_sort(struct ids *s)
{
    size_t kept = 0;

    if (s->len)
        qsort(s->items, s->len, sizeof *s->items, by_id);
    for (size_t i = 0; i < s->len; i++)
        if (kept == 0 || s->items[kept - 1] != s->items[i])
            s->items[kept++] = s->items[i];
    s->len = kept;
}

static bool ids_have(const struct ids *s, node_id id)
{
    return s->len && bsearch(&id, s->items, s->len, sizeof id, by_id);
}

/* ---- Guests ---- */

static void keep_routes(struct guests *g, struct guest *to, const struct node *n)
{
    to->routes = arena_alloc(g->arena, n->n_approved * sizeof *to->routes);
    for (size_t i = 0; i < n->n_approved; i++) {
        struct ip_prefix route = n->approved[i];

        if (!ip_prefix_in(n->facts->routes, n->facts->n_routes, route))
            continue;
        if (!ip_prefix_is_exit(route))
            to->routes[to->n_routes++] = route;
        else if (route.addr.family == IP_V4)
            to->exit_v4 = true;
        else
            to->exit_v6 = true;
    }
    to->n_routes = ip_prefix_sort_unique(to->routes, to->n_routes);
    to->serving = arena_alloc(g->arena, n->n_serving * sizeof *to->serving);
    to->n_serving = n->n_serving;
    if (n->n_serving)
        memcpy(to->serving, n->serving, n->n_serving * sizeof *to->serving);
}

static void add_guests(struct guests *g, const struct policy *p, const struct tailnet_view *view)
{
    const struct node *n;
    size_t at = 0;

    g->items = arena_alloc(g->arena, view_guest_count(view) * sizeof *g->items);
    while ((n = policy_guest_next(view, &at))) {
        const struct tailnet_info *home = view_guest_info_find(view, n->tailnet);
        const struct user *owner = node_is_tagged(n) ? NULL : view_guest_user_find(view, n->user);
        struct guest *x = &g->items[g->len++];

        *x = (struct guest){.id = n->id, .v4 = n->v4, .v6 = n->v6};
        x->abroad = n->abroad ? abroad_ref(n->abroad) : NULL;
        matcher_guest(p->shape->matcher, owner, home ? home->name : STR_NONE, g->arena, &x->picks);
        keep_routes(g, x, n);
        if (x->n_routes || x->exit_v4 || x->exit_v6)
            g->n_routers++;
    }
}

/* ---- Own nodes ---- */

/* Those that may be one: all with an abroad when the first guest comes; later who was one, whom
 * something happened to, and whom guests have items for. */
static void find_candidates(const struct policy *p, const struct policy_input *in,
                            const struct guests *before, struct ids *out)
{
    const struct node *n;
    size_t at = 0;

    if (!before || in->before->shape->doc != p->shape->doc) {
        while ((n = policy_node_next(in->view, &at)))
            if (n->abroad)
                ids_add(out, n->id);
        return;
    }
    for (size_t i = 0; i < before->n_locals; i++)
        ids_add(out, before->locals[i].id);
    for (size_t i = 0; i < in->n_changes; i++)
        if (in->changes[i].kind == CHANGE_NODE && in->changes[i].tailnet == view_info(in->view)->id)
            ids_add(out, in->changes[i].id);
}

static void add_locals(struct guests *g, const struct policy *p, const struct policy_input *in,
                       const struct guests *before, const struct ids *wanted)
{
    struct ids all = {0};

    find_candidates(p, in, before, &all);
    for (size_t i = 0; i < wanted->len; i++)
        ids_add(&all, wanted->items[i]);
    ids_sort(&all);
    g->locals = arena_alloc(g->arena, all.len * sizeof *g->locals);
    for (size_t i = 0; i < all.len; i++) {
        const struct node *n = policy_node_find(in->view, all.items[i]);
        const struct member *m = member_find(p, all.items[i]);

        if (!n || !m || (abroad_eq(n->abroad, NULL) && !ids_have(wanted, n->id)))
            continue;
        g->locals[g->n_locals++] = (struct local){
            .id = n->id, .base = m->cls, .abroad = n->abroad ? abroad_ref(n->abroad) : NULL};
    }
    mem_free(all.items);
}

/* ---- Visits ---- */

struct meeting {
    uint32_t local, guest;
    const struct abroad_item *in, *out;
};

static int by_pair(const void *a, const void *b)
{
    const struct meeting *x = a, *y = b;

    if (x->local != y->local)
        return x->local < y->local ? -1 : 1;
    return (x->guest > y->guest) - (x->guest < y->guest);
}

static size_t find_meetings(const struct guests *g, struct meeting *out)
{
    size_t n = 0;

    for (size_t i = 0; i < g->len; i++)
        for (size_t k = 0; g->items[i].abroad && k < g->items[i].abroad->n_items; k++) {
            const struct abroad_item *item = &g->items[i].abroad->items[k];
            const struct local *l = local_in(g, item->node);

            if (l)
                out[n++] = (struct meeting){(uint32_t)(l - g->locals), (uint32_t)i, item, NULL};
        }
    for (size_t i = 0; i < g->n_locals; i++)
        for (size_t k = 0; g->locals[i].abroad && k < g->locals[i].abroad->n_items; k++) {
            const struct abroad_item *item = &g->locals[i].abroad->items[k];
            const struct guest *x = guest_in(g, item->node);

            if (x)
                out[n++] = (struct meeting){(uint32_t)i, (uint32_t)(x - g->items), NULL, item};
        }
    if (n)
        qsort(out, n, sizeof *out, by_pair);
    return n;
}

static void add_visits(struct guests *g, size_t max)
{
    struct meeting *all = mem_alloc_array(max, sizeof *all);
    size_t n = find_meetings(g, all);
    struct visit *v = arena_alloc(g->arena, n * sizeof *v);

    for (size_t i = 0; i < n; i++) {
        struct local *l = &g->locals[all[i].local];

        /* Both may have an item for the other. */
        if (l->n_visits && v[-1].guest == all[i].guest) {
            v[-1].out = all[i].out ? all[i].out : v[-1].out;
            v[-1].in = all[i].in ? all[i].in : v[-1].in;
            continue;
        }
        if (l->n_visits++ == 0)
            l->visits = v;
        *v++ = (struct visit){all[i].guest, all[i].in, all[i].out};
    }
    mem_free(all);
}

/* ---- Classes ---- */

static void key_addr(struct buf *b, struct ip_addr a)
{
    buf_put_char(b, (char)a.family);
    if (ip_addr_is_set(a))
        buf_put(b, ip_addr_bytes(&a));
}

static void key_terms(struct buf *b, const struct share_terms *t)
{
    buf_put_char(b, (char)(t->exit_node | t->all_routes << 1 | t->two_way << 2));
    buf_put_be32(b, (uint32_t)t->n_routes);
    for (size_t i = 0; i < t->n_routes; i++) {
        buf_put_char(b, (char)t->routes[i].bits);
        key_addr(b, t->routes[i].addr);
    }
    buf_put_be32(b, (uint32_t)t->n_ports);
    for (size_t i = 0; i < t->n_ports; i++) {
        buf_put_be16(b, t->ports[i].first);
        buf_put_be16(b, t->ports[i].last);
    }
}

static void put_key(struct buf *b, const struct guest_class *c)
{
    const struct abroad *a = c->abroad;

    buf_clear(b);
    buf_put_be32(b, c->base);
    buf_put_be64(b, c->node);
    buf_put_be32(b, a ? (uint32_t)a->n_items : 0);
    for (size_t i = 0; a && i < a->n_items; i++) {
        buf_put_be64(b, a->items[i].node);
        buf_put_be64(b, a->items[i].tailnet);
        buf_put_be64(b, a->items[i].sharer);
        key_terms(b, &a->items[i].terms);
    }
    for (size_t i = 0; a && i < a->n_aliases; i++) {
        buf_put_be64(b, a->aliases[i].tailnet);
        key_addr(b, a->aliases[i].v4);
        key_addr(b, a->aliases[i].v6);
    }
}

/* Never one that was used before, be it that all guests went and others came. */
static uint32_t new_class(void)
{
    static _Atomic(uint64_t) used;

    return GUEST_CLASS + (uint32_t)(atomic_fetch_add(&used, 1) % (UINT32_MAX - GUEST_CLASS));
}

/* A guest's class, or an own node's. `is_alone`: somebody has an item for it. */
static uint32_t class_of_node(struct guests *g, const struct guests *before, struct buf *key,
                              struct guest_class c, node_id id, bool is_alone)
{
    const struct guest_class *known;

    if (is_alone || (c.abroad && (c.abroad->is_lent || c.abroad->n_aliases)))
        c.node = id;
    put_key(key, &c);
    known = map_find(g->class_ids, buf_str(key));
    if (known)
        return known->id;
    known = before ? map_find(before->class_ids, buf_str(key)) : NULL;
    c.id = known ? known->id : new_class();
    c.key = arena_copy(g->arena, buf_str(key));
    g->classes[g->n_classes] = c;
    (void)map_put(g->class_ids, c.key, &g->classes[g->n_classes++]);
    return c.id;
}

static int by_class(const void *a, const void *b)
{
    const struct guest_class *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

static void make_classes(struct guests *g, const struct guests *before,
                         const struct ids *wanted_guests, const struct ids *wanted_locals)
{
    const struct guests *same = before && before->sights == g->sights ? before : NULL;
    struct buf key = BUF((size_t)256 << 20);

    g->classes = arena_alloc(g->arena, (g->len + g->n_locals) * sizeof *g->classes);
    for (size_t i = 0; i < g->n_locals; i++) {
        struct local *l = &g->locals[i];

        l->cls =
            class_of_node(g, same, &key, (struct guest_class){.base = l->base, .abroad = l->abroad},
                          l->id, ids_have(wanted_locals, l->id));
    }
    for (size_t i = 0; i < g->len; i++) {
        struct guest *x = &g->items[i];

        x->cls = class_of_node(g, same, &key, (struct guest_class){.abroad = x->abroad}, x->id,
                               ids_have(wanted_guests, x->id));
    }
    buf_fini(&key);
    if (g->n_classes)
        qsort(g->classes, g->n_classes, sizeof *g->classes, by_class);
    /* They have moved. */
    for (size_t i = 0; i < g->n_classes; i++)
        (void)map_put(g->class_ids, g->classes[i].key, &g->classes[i]);
}

/* ---- Routers ---- */

static void list_routers(struct guests *g)
{
    size_t n = 0;

    g->routers = arena_alloc(g->arena, g->n_routers * sizeof *g->routers);
    for (size_t i = 0; i < g->len; i++) {
        const struct guest *x = &g->items[i];

        if (x->n_routes == 0 && !x->exit_v4 && !x->exit_v6)
            continue;
        g->routers[n++] = x->id;
        mark_mix(&g->routes_mark, x->id);
        mark_mix(&g->routes_mark,
                 (uint64_t)x->exit_v4 | (uint64_t)x->exit_v6 << 1 | (uint64_t)x->n_routes << 2);
        mark_mix(&g->routes_mark, x->n_serving);
        for (size_t k = 0; k < x->n_routes; k++) {
            mark_mix(&g->routes_mark, x->routes[k].bits);
            mark_mix_mark(&g->routes_mark, mark_of(ip_addr_bytes(&x->routes[k].addr)));
        }
        for (size_t k = 0; k < x->n_serving; k++) {
            mark_mix(&g->routes_mark, x->serving[k].bits);
            mark_mix_mark(&g->routes_mark, mark_of(ip_addr_bytes(&x->serving[k].addr)));
        }
    }
}

/* ---- Whether anything has changed ---- */

static bool prefixes_eq(const struct ip_prefix *a, size_t n, const struct ip_prefix *b, size_t m)
{
    for (size_t i = 0; n == m && i < n; i++)
        if (!ip_prefix_eq(a[i], b[i]))
            return false;
    return n == m;
}

static bool addr_eq(struct ip_addr a, struct ip_addr b)
{
    return a.family == b.family && (!ip_addr_is_set(a) || ip_addr_eq(a, b));
}

static bool guest_eq(const struct guest *a, const struct guest *b)
{
    return a->id == b->id && addr_eq(a->v4, b->v4) && addr_eq(a->v6, b->v6) &&
           a->picks.len == b->picks.len &&
           (a->picks.len == 0 ||
            memcmp(a->picks.items, b->picks.items, a->picks.len * sizeof *a->picks.items) == 0) &&
           a->exit_v4 == b->exit_v4 && a->exit_v6 == b->exit_v6 &&
           prefixes_eq(a->routes, a->n_routes, b->routes, b->n_routes) &&
           prefixes_eq(a->serving, a->n_serving, b->serving, b->n_serving) &&
           abroad_eq(a->abroad, b->abroad);
}

static bool guests_eq(const struct guests *a, const struct guests *b)
{
    if (a->sights != b->sights || a->len != b->len || a->n_locals != b->n_locals)
        return false;
    for (size_t i = 0; i < a->len; i++)
        if (!guest_eq(&a->items[i], &b->items[i]))
            return false;
    for (size_t i = 0; i < a->n_locals; i++)
        if (a->locals[i].id != b->locals[i].id || a->locals[i].base != b->locals[i].base ||
            !abroad_eq(a->locals[i].abroad, b->locals[i].abroad))
            return false;
    return true;
}

/* ---- Life ---- */

static void finish(struct guests *g, const struct guests *before, const struct ids *wanted_locals)
{
    struct ids wanted_guests = {0};
    size_t max;

    for (size_t i = 0; i < g->n_locals; i++)
        ids_add_items(&wanted_guests, g->locals[i].abroad);
    max = wanted_guests.len;
    for (size_t i = 0; i < g->len; i++)
        max += g->items[i].abroad ? g->items[i].abroad->n_items : 0;
    ids_sort(&wanted_guests);
    add_visits(g, max);
    g->class_ids = map_new();
    make_classes(g, before, &wanted_guests, wanted_locals);
    list_routers(g);
    mem_free(wanted_guests.items);
}

const struct guests *guests_new(const struct policy *p, const struct policy_input *in,
                                const struct guests *before)
{
    struct ids wanted = {0};
    struct guests *g;

    if (view_guest_count(in->view) == 0)
        return NULL;
    g = NEW(struct guests);
    ref_init(&g->ref);
    g->arena = arena_new();
    g->sights = p->shape->sights;
    add_guests(g, p, in->view);
    for (size_t i = 0; i < g->len; i++)
        ids_add_items(&wanted, g->items[i].abroad);
    ids_sort(&wanted);
    add_locals(g, p, in, before, &wanted);
    if (before && guests_eq(before, g)) {
        guests_unref(g);
        g = NULL;
    } else {
        finish(g, before, &wanted);
    }
    mem_free(wanted.items);
    return g ? g : guests_ref(before);
}

static struct guests *owned(const struct guests *g)
{
    return (struct guests *)(uintptr_t)g; /* only the count changes */
}

const struct guests *guests_ref(const struct guests *g)
{
    if (g)
        ref_take(&owned(g)->ref);
    return g;
}

void guests_unref(const struct guests *guests)
{
    struct guests *g = owned(guests);

    if (!g || !ref_drop(&g->ref))
        return;
    for (size_t i = 0; i < g->len; i++)
        abroad_unref(g->items[i].abroad);
    for (size_t i = 0; i < g->n_locals; i++)
        abroad_unref(g->locals[i].abroad);
    map_free(g->class_ids);
    arena_free(g->arena);
    mem_free(g);
}
