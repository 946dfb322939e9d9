/*
 * Classes of the nodes of a view, and what follows for each. See policy_internal.h.
 *
 *   nodes --profile--> classes --> per selector: the classes it selects
 *                                    --> terms, sources: whose addresses are listed
 *                                    --> links: who receives them
 *                                  --> per class: its links, shells, attributes, capabilities
 *
 * Cost: a profile per node; after that everything is between classes, selectors and links.
 */

#include "policy/policy_internal.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"

static _Atomic(uint64_t) next_lineage = 1;

bool class_in(const roaring_bitmap_t *set, uint32_t cls)
{
    return set && roaring_bitmap_contains(set, cls);
}

/* ---- Classes ---- */

static struct picks keep_picks(struct arena *a, const struct picks *p)
{
    struct picks kept = {.len = p->len, .items = arena_alloc(a, p->len * sizeof *p->items)};

    if (p->len)
        memcpy(kept.items, p->items, p->len * sizeof *p->items);
    return kept;
}

static struct policy_class *class_add(struct shape *s, const struct profile *p)
{
    struct policy_class *c;

    if ((s->n_classes & (s->n_classes - 1)) == 0)
        s->classes =
            mem_realloc_array(s->classes, MAX(s->n_classes * 2, (size_t)16), sizeof *s->classes);
    c = &s->classes[s->n_classes++];
    *c = (struct policy_class){.p = *p, .id = (uint32_t)s->n_classes};
    c->p.own = keep_picks(s->arena, &p->own);
    c->p.route = keep_picks(s->arena, &p->route);
    c->p.postures = keep_picks(s->arena, &p->postures);
    c->p.routes = arena_alloc(s->arena, p->n_routes * sizeof *p->routes);
    if (p->n_routes)
        memcpy(c->p.routes, p->routes, p->n_routes * sizeof *p->routes);
    return c;
}

const struct policy_class *shape_class(const struct shape *s, const struct profile *p,
                                       struct profile_scratch *scratch)
{
    uintptr_t id = (uintptr_t)map_find(s->class_ids, profile_key(p, scratch));

    return id ? &s->classes[id - 1] : NULL;
}

static void add_wild_routes(struct shape *s, const struct profile *p)
{
    if (p->n_routes == 0)
        return;
    if (s->n_wild_routes + p->n_routes > s->wild_routes_cap) {
        s->wild_routes_cap = (s->n_wild_routes + p->n_routes) * 2;
        s->wild_routes =
            mem_realloc_array(s->wild_routes, s->wild_routes_cap, sizeof *s->wild_routes);
    }
    memcpy(s->wild_routes + s->n_wild_routes, p->routes, p->n_routes * sizeof *p->routes);
    s->n_wild_routes += p->n_routes;
}

/* Nodes of each class, by id - 1; `of_node` gets each node's class in the view's order. */
static size_t *make_classes(struct shape *s, const struct tailnet_view *view, uint32_t *of_node)
{
    struct profile_scratch scratch = {0};
    size_t *counts = NULL, cap = 0, at = 0;
    const struct node *n;
    struct profile p;

    while ((n = policy_node_next(view, &at))) {
        uintptr_t id;

        matcher_profile(s->matcher, n, &scratch, &p);
        id = (uintptr_t)map_find(s->class_ids, profile_key(&p, &scratch));
        if (id == 0) {
            id = class_add(s, &p)->id;
            (void)map_put(s->class_ids, buf_str(&scratch.key), (void *)id);
        }
        if (id > cap) {
            counts = mem_realloc_array(counts, MAX(cap * 2, (size_t)64), sizeof *counts);
            memset(counts + cap, 0, (MAX(cap * 2, (size_t)64) - cap) * sizeof *counts);
            cap = MAX(cap * 2, (size_t)64);
        }
        counts[id - 1]++;
        *of_node++ = (uint32_t)id;
        add_wild_routes(s, &p);
    }
    s->n_wild_routes = ip_prefix_sort_unique(s->wild_routes, s->n_wild_routes);
    profile_scratch_fini(&scratch);
    return counts ? counts : mem_alloc_array(1, sizeof *counts);
}

static void put_in(roaring_bitmap_t **sets, uint32_t index, uint32_t cls)
{
    if (!sets[index])
        sets[index] = roaring_bitmap_create();
    roaring_bitmap_add(sets[index], cls);
}

static void map_selectors(struct shape *s)
{
    s->own = mem_alloc_array(s->doc->n_selectors, sizeof *s->own);
    s->route = mem_alloc_array(s->doc->n_selectors, sizeof *s->route);
    for (size_t i = 0; i < s->n_classes; i++) {
        const struct policy_class *c = &s->classes[i];

        for (size_t k = 0; k < c->p.own.len; k++)
            put_in(s->own, c->p.own.items[k], c->id);
        for (size_t k = 0; k < c->p.route.len; k++)
            put_in(s->route, c->p.route.items[k], c->id);
    }
}

/* ---- Terms and sources ---- */

static bool class_satisfies(const struct policy_class *c, const struct policy_postures *any)
{
    for (size_t i = 0; i < any->len; i++)
        if (picks_have(&c->p.postures, (uint32_t)any->items[i]->index))
            return true;
    return any->len == 0;
}

static void fill_term(struct shape *s, struct term *t, const size_t *counts)
{
    const roaring_bitmap_t *all =
        t->selector->kind == SELECTOR_WILDCARD ? NULL : s->own[t->selector->index];

    t->classes = roaring_bitmap_create();
    for (size_t i = 0; i < s->n_classes; i++) {
        const struct policy_class *c = &s->classes[i];

        if (t->selector->kind != SELECTOR_WILDCARD && !class_in(all, c->id))
            continue;
        if (!class_satisfies(c, &t->postures))
            continue;
        roaring_bitmap_add(t->classes, c->id);
        t->count += counts[i];
    }
}

static void name_term(struct term *t, struct map *taken)
{
    struct buf text = BUF(0);
    struct policy_mark m;

    buf_put(&text, t->selector->text);
    for (size_t i = 0; i < t->postures.len; i++) {
        buf_put_char(&text, '\n');
        buf_put(&text, t->postures.items[i]->name);
    }
    m = mark_of(buf_str(&text));
    (void)snprintf(t->cap, sizeof t->cap, SOURCE_CAP "%016llx", (unsigned long long)(m.a ^ m.b));
    buf_fini(&text);
    /* Two of one name would let in each other's nodes. */
    t->compact = t->count >= COMPACT_MIN && !map_find(taken, str_from(t->cap));
    (void)map_put(taken, str_from(t->cap), t);
}

static void make_terms(struct shape *s, const size_t *counts)
{
    struct map *taken = map_new();

    for (size_t i = 0; i < s->n_terms; i++) {
        fill_term(s, &s->terms[i], counts);
        name_term(&s->terms[i], taken);
    }
    map_free(taken);
}

static void hit_classes(const struct shape *s, const struct policy_selector *sel,
                        roaring_bitmap_t *to)
{
    if (s->own[sel->index])
        roaring_bitmap_or_inplace(to, s->own[sel->index]);
    if (s->route[sel->index])
        roaring_bitmap_or_inplace(to, s->route[sel->index]);
}

static void fill_source(struct shape *s, struct source *src)
{
    src->own = roaring_bitmap_create();
    src->rest = roaring_bitmap_create();
    for (size_t i = 0; i < src->n_terms; i++) {
        const struct term *t = &s->terms[src->terms[i]];

        roaring_bitmap_or_inplace(src->own, t->classes);
        if (t->compact)
            sum_add_text(&src->caps, str_from(t->cap));
        else
            roaring_bitmap_or_inplace(src->rest, t->classes);
    }
    src->hits = roaring_bitmap_copy(src->own);
    for (size_t i = 0; i < src->n_literals; i++)
        hit_classes(s, src->literals[i], src->hits);
    for (size_t i = 0; i < s->n_classes; i++) {
        const struct policy_class *c = &s->classes[i];

        if (src->everyone || (src->wild && c->p.in_wild) ||
            ((src->wild || src->wild_routes) && c->p.n_routes))
            roaring_bitmap_add(src->hits, c->id);
    }
}

/* ---- Links ---- */

static bool is_autogroup(const struct policy_selector *sel, enum policy_autogroup a)
{
    return sel->kind == SELECTOR_AUTOGROUP && sel->autogroup == a;
}

static void add_class_if(const struct shape *s, roaring_bitmap_t *to, const struct policy_link *l,
                         const struct policy_selector *sel)
{
    for (size_t i = 0; i < s->n_classes; i++) {
        const struct policy_class *c = &s->classes[i];

        if (sel->kind == SELECTOR_WILDCARD) {
            if (!l->via || c->p.n_routes)
                roaring_bitmap_add(to, c->id);
        } else if (c->p.exit) {
            roaring_bitmap_add(to, c->id);
        }
    }
}

/* A route may lie in what also holds the router's own address. */
static void add_own_with_routes(const struct shape *s, const struct policy_selector *sel,
                                roaring_bitmap_t *to)
{
    for (size_t i = 0; i < s->n_classes; i++) {
        const struct policy_class *c = &s->classes[i];

        for (size_t k = 0; class_in(s->own[sel->index], c->id) && k < c->p.n_routes; k++)
            if (literal_overlaps(sel, ip_range_of_prefix(c->p.routes[k])))
                roaring_bitmap_add(to, c->id);
    }
}

static void add_dst(const struct shape *s, const struct policy_link *l,
                    const struct policy_selector *sel, roaring_bitmap_t *to)
{
    bool by_route = l->kind == LINK_PORTS && selector_is_literal(sel);

    if (sel->kind == SELECTOR_WILDCARD || is_autogroup(sel, AUTOGROUP_INTERNET)) {
        add_class_if(s, to, l, sel);
        return;
    }
    if (!l->via && s->own[sel->index])
        roaring_bitmap_or_inplace(to, s->own[sel->index]);
    if (by_route && s->route[sel->index])
        roaring_bitmap_or_inplace(to, s->route[sel->index]);
    if (by_route && l->via)
        add_own_with_routes(s, sel, to);
}

/* The nodes that a grant has as sources: who satisfies its postures, where they are asked. */
static void add_grant_source(const struct shape *s, const struct policy_rule *rule,
                             const struct policy_selector *sel, roaring_bitmap_t *to)
{
    bool unasked = selector_is_literal(sel) || is_autogroup(sel, AUTOGROUP_DANGER_ALL);

    for (size_t i = 0; i < s->n_classes; i++) {
        const struct policy_class *c = &s->classes[i];
        bool selected = sel->kind == SELECTOR_WILDCARD || is_autogroup(sel, AUTOGROUP_DANGER_ALL) ||
                        class_in(s->own[sel->index], c->id);

        if (selected && (unasked || class_satisfies(c, &rule->postures)))
            roaring_bitmap_add(to, c->id);
    }
}

static void keep_via(const struct shape *s, struct policy_link *l)
{
    roaring_bitmap_t *carry = roaring_bitmap_create();

    for (size_t i = 0; i < l->rule->via.len; i++) {
        const roaring_bitmap_t *tag = s->own[l->rule->via.items[i].selector->index];

        if (tag)
            roaring_bitmap_or_inplace(carry, tag);
    }
    roaring_bitmap_and_inplace(l->classes, carry);
    roaring_bitmap_free(carry);
}

static void fill_link(struct shape *s, struct policy_link *l, uint32_t index)
{
    if (l->self)
        return;
    l->classes = roaring_bitmap_create();
    for (size_t i = 0; i < l->n_dst; i++) {
        if (l->kind == LINK_COMPANION)
            add_grant_source(s, l->rule, l->dst[i].selector, l->classes);
        else
            add_dst(s, l, l->dst[i].selector, l->classes);
    }
    if (l->via) {
        keep_via(s, l);
        roaring_bitmap_add(s->via_links, index);
    }
}

/* Link indices by class, gathered in order. */
struct gather {
    uint32_t *ids;
    size_t len;
    size_t cap;
};

static void gather_add(struct gather *g, uint32_t id)
{
    if (g->len == g->cap) {
        g->cap = MAX(g->cap * 2, (size_t)8);
        g->ids = mem_realloc_array(g->ids, g->cap, sizeof *g->ids);
    }
    g->ids[g->len++] = id;
}

static void gather_all(struct gather *of, const roaring_bitmap_t *classes, uint32_t index)
{
    roaring_uint32_iterator_t it;

    for (roaring_init_iterator(classes, &it); it.has_value; roaring_advance_uint32_iterator(&it))
        gather_add(&of[it.current_value - 1], index);
}

static bool lists_devices(const struct source *src, const struct policy_class *c)
{
    return class_in(src->own, c->id) || (src->wild && c->p.in_wild);
}

static void gather_self(struct shape *s, struct gather *dst, uint32_t index)
{
    const struct source *src = &s->sources[s->links[index].source];

    for (size_t i = 0; i < s->n_classes; i++) {
        struct policy_class *c = &s->classes[i];

        if (c->p.tagged)
            continue;
        gather_add(&dst[i], index);
        c->self_source |= lists_devices(src, c);
    }
}

/* Classes with the same links see, and are seen by, the same: the first of them stands for all. */
static uint32_t sight_of(struct map *sights, struct buf *key, struct policy_class *c,
                         const struct gather *src, const struct gather *dst)
{
    const struct policy_class *first;

    buf_clear(key);
    buf_put_u64(key, src->len);
    buf_put_char(key, c->self_source ? '+' : '-');
    buf_put(key, (struct str){(const char *)src->ids, src->len * sizeof *src->ids});
    buf_put(key, (struct str){(const char *)dst->ids, dst->len * sizeof *dst->ids});
    first = buf_is_full(key) ? NULL : map_find(sights, buf_str(key));
    if (first)
        return first->id;
    if (!buf_is_full(key))
        (void)map_put(sights, buf_str(key), c);
    return c->id;
}

static void make_links(struct shape *s)
{
    struct map *sights = map_new();
    struct buf key = BUF(0);
    struct gather *dst = mem_alloc_array(s->n_classes, sizeof *dst);
    struct gather *src = mem_alloc_array(s->n_classes, sizeof *src);

    s->via_links = roaring_bitmap_create();
    for (uint32_t i = 0; i < s->n_links; i++) {
        struct policy_link *l = &s->links[i];

        fill_link(s, l, i);
        if (l->self) {
            gather_self(s, dst, i);
            continue;
        }
        gather_all(dst, l->classes, i);
        gather_all(src, s->sources[l->source].hits, i);
    }
    for (size_t i = 0; i < s->n_classes; i++) {
        struct policy_class *c = &s->classes[i];

        c->as_dst = roaring_bitmap_of_ptr(dst[i].len, dst[i].ids);
        c->as_source = roaring_bitmap_of_ptr(src[i].len, src[i].ids);
        c->links = dst[i].ids;
        c->n_links = dst[i].len;
        c->sight = sight_of(sights, &key, c, &src[i], &dst[i]);
        mem_free(src[i].ids);
    }
    map_free(sights);
    buf_fini(&key);
    mem_free(dst);
    mem_free(src);
}

/* ---- Shells ---- */

static bool ssh_concerns(const struct shape *s, const struct ssh_link *l,
                         const struct policy_class *c)
{
    if (class_in(l->dst, c->id) || (l->self && !c->p.tagged))
        return true;
    /* With localpart a source hears of itself (policy.md 8.3). */
    return l->rule->localparts.len && lists_devices(&s->sources[l->source], c);
}

static void make_ssh(struct shape *s)
{
    for (size_t i = 0; i < s->n_ssh; i++) {
        struct ssh_link *l = &s->ssh[i];

        l->dst = roaring_bitmap_create();
        for (size_t k = 0; k < l->rule->dst.len; k++) {
            const roaring_bitmap_t *own = s->own[l->rule->dst.items[k].selector->index];

            if (own)
                roaring_bitmap_or_inplace(l->dst, own);
        }
    }
    for (size_t i = 0; i < s->n_classes; i++) {
        struct policy_class *c = &s->classes[i];
        struct gather of = {0};

        for (size_t k = 0; k < s->n_ssh; k++)
            if (ssh_concerns(s, &s->ssh[k], c))
                gather_add(&of, (uint32_t)k);
        c->ssh = of.ids;
        c->n_ssh = of.len;
    }
}

static void mark_logins(struct shape *s, const struct tailnet_view *view)
{
    const struct user *const *users;
    size_t n;

    if (!s->has_localpart)
        return;
    users = view_users(view, &n);
    for (size_t i = 0; i < n; i++) {
        mark_mix(&s->logins, users[i]->id);
        mark_mix_mark(&s->logins, mark_of(users[i]->email.len ? users[i]->email : users[i]->name));
    }
}

/* ---- Life ---- */

struct shape *shape_new(const struct policy_document *d, const struct tailnet_view *view,
                        uint32_t *of_node)
{
    struct shape *s = NEW(struct shape);
    size_t *counts;

    ref_init(&s->ref);
    s->lineage = s->sights = atomic_fetch_add(&next_lineage, 1);
    s->doc = policy_document_ref(d);
    s->arena = arena_new();
    s->class_ids = map_new();
    s->term_ids = map_new();
    s->source_ids = map_new();
    s->matcher = matcher_new(d, view);
    shape_make_links(s);
    counts = make_classes(s, view, of_node);
    map_selectors(s);
    make_terms(s, counts);
    mem_free(counts);
    for (size_t i = 0; i < s->n_sources; i++)
        fill_source(s, &s->sources[i]);
    make_links(s);
    make_ssh(s);
    mark_logins(s, view);
    shape_make_attrs(s);
    map_free(s->term_ids);
    map_free(s->source_ids);
    s->term_ids = s->source_ids = NULL;
    return s;
}

struct shape *shape_ref(struct shape *s)
{
    ref_take(&s->ref);
    return s;
}

static void free_sets(roaring_bitmap_t **sets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sets[i])
            roaring_bitmap_free(sets[i]);
    mem_free(sets);
}

static void free_class(struct policy_class *c)
{
    mem_free(c->links);
    mem_free(c->ssh);
    mem_free(c->attr_apps);
    roaring_bitmap_free(c->as_dst);
    roaring_bitmap_free(c->as_source);
}

static void free_sources(struct shape *s)
{
    for (size_t i = 0; i < s->n_terms; i++)
        roaring_bitmap_free(s->terms[i].classes);
    for (size_t i = 0; i < s->n_sources; i++) {
        roaring_bitmap_free(s->sources[i].own);
        roaring_bitmap_free(s->sources[i].rest);
        roaring_bitmap_free(s->sources[i].hits);
    }
    mem_free(s->terms);
    mem_free(s->sources);
}

void shape_unref(struct shape *s)
{
    if (!s || !ref_drop(&s->ref))
        return;
    for (size_t i = 0; i < s->n_classes; i++)
        free_class(&s->classes[i]);
    free_sources(s);
    for (size_t i = 0; i < s->n_links; i++)
        if (s->links[i].classes)
            roaring_bitmap_free(s->links[i].classes);
    for (size_t i = 0; i < s->n_ssh; i++)
        roaring_bitmap_free(s->ssh[i].dst);
    free_sets(s->own, s->doc->n_selectors);
    free_sets(s->route, s->doc->n_selectors);
    roaring_bitmap_free(s->via_links);
    mem_free(s->wild_routes);
    mem_free(s->classes);
    mem_free(s->links);
    map_free(s->class_ids);
    matcher_free(s->matcher);
    arena_free(s->arena);
    policy_document_unref(s->doc);
    mem_free(s);
}
