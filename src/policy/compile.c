/*
 * From a document and a view to a policy; from one view to the next.
 *
 *   policy_compile --nothing it reads changed--> the policy before
 *                  --nodes of known classes came, went, moved--> its shape, new rows and sums
 *                  --anything else--> a new shape
 *
 * Cost: a new shape is linear in nodes plus classes times links. A node of a known class that joins
 * costs one chunk of rows and an addition for each source that lists it.
 */

#include "policy/policy_internal.h"

#include <string.h>

/* ---- Members ---- */

const struct member *member_find(const struct policy *p, node_id id)
{
    return p->shape ? rows_find(&p->members, id, 0) : NULL;
}

const struct policy_class *member_class(const struct policy *p, const struct member *m)
{
    return &p->shape->classes[m->cls - 1];
}

struct ip_addr member_v4(const struct member *m)
{
    struct ip_addr a = {0};

    if (m->v4_is_set) {
        a.family = IP_V4;
        memcpy(a.bytes, m->v4, sizeof m->v4);
    }
    return a;
}

struct ip_addr member_v6(const struct member *m)
{
    struct ip_addr a = {0};

    if (m->v6_is_set) {
        a.family = IP_V6;
        memcpy(a.bytes, m->v6, sizeof m->v6);
    }
    return a;
}

static void sum_add_addr(struct sum *to, struct ip_addr addr)
{
    struct buf text = BUF(0);

    if (!ip_addr_is_set(addr))
        return;
    ip_addr_put(&text, addr);
    sum_add_text(to, buf_str(&text));
    buf_fini(&text);
}

struct sum member_sum(const struct member *m)
{
    struct sum s = {0};

    sum_add_addr(&s, member_v4(m));
    sum_add_addr(&s, member_v6(m));
    s.tags = s.a * m->n_tags;
    return s;
}

static struct member member_of(const struct node *n, uint32_t cls)
{
    struct member m = {.key = {n->id, 0}, .user = n->user, .cls = cls};

    m.n_tags = (uint16_t)n->tags.len;
    if ((m.v4_is_set = ip_addr_is_set(n->v4)))
        memcpy(m.v4, n->v4.bytes, sizeof m.v4);
    if ((m.v6_is_set = ip_addr_is_set(n->v6)))
        memcpy(m.v6, n->v6.bytes, sizeof m.v6);
    return m;
}

static bool member_eq(const struct member *a, const struct member *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void put_device(struct policy *p, const struct member *m)
{
    if (p->shape->has_self && m->user)
        rows_put(&p->devices, &(struct device){{m->user, m->key[0]}});
}

/* ---- Routers ---- */

static struct routers *routers_new(void)
{
    struct routers *r = NEW(struct routers);

    ref_init(&r->ref);
    return r;
}

static void routers_unref(struct routers *r)
{
    if (!r || !ref_drop(&r->ref))
        return;
    for (size_t i = 0; i < r->len; i++)
        mem_free(r->items[i].serving);
    mem_free(r->items);
    mem_free(r);
}

static void router_put(struct routers *r, const struct policy_class *c, const struct node *n)
{
    struct router *x = &r->items[r->len++];

    *x = (struct router){.id = n->id,
                         .cls = c->id,
                         .created_ms = n->created_ms,
                         .online = n->online,
                         .exit_v4 = c->p.exit_v4,
                         .exit_v6 = c->p.exit_v6,
                         .routes = c->p.routes,
                         .n_routes = c->p.n_routes,
                         .n_serving = n->n_serving};
    x->serving = mem_alloc_array(n->n_serving, sizeof *x->serving);
    if (n->n_serving)
        memcpy(x->serving, n->serving, n->n_serving * sizeof *x->serving);
}

static void mark_routers(struct routers *r)
{
    struct policy_mark m = {0};

    for (size_t i = 0; i < r->len; i++) {
        const struct router *x = &r->items[i];

        mark_mix(&m, x->id);
        mark_mix(&m, x->cls);
        mark_mix(&m, (uint64_t)x->created_ms);
        mark_mix(&m, (uint64_t)x->online | (uint64_t)x->n_serving << 1);
        for (size_t k = 0; k < x->n_serving; k++) {
            mark_mix(&m, x->serving[k].bits);
            mark_mix_mark(&m, mark_of(ip_addr_bytes(&x->serving[k].addr)));
        }
    }
    r->mark = m;
}

static bool is_router(const struct policy_class *c)
{
    return c->p.n_routes > 0 || c->p.exit;
}

const struct router *policy_router_find(const struct policy *p, node_id id)
{
    size_t low = 0, high = p->routers ? p->routers->len : 0;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (p->routers->items[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return p->routers && low < p->routers->len && p->routers->items[low].id == id
               ? &p->routers->items[low]
               : NULL;
}

/* ---- Sums and groups ---- */

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void source_each_fixed(const struct shape *s, const struct source *src,
                       void (*visit)(void *user, struct str text), void *user)
{
    struct buf text = BUF(0);

    if (src->wild) {
        visit(user, STR(CGNAT_RANGE_1));
        visit(user, STR(CGNAT_RANGE_2));
        visit(user, STR(ULA_RANGE));
    }
    for (size_t i = 0; (src->wild || src->wild_routes) && i < s->n_wild_routes; i++) {
        buf_clear(&text);
        ip_prefix_put_short(&text, s->wild_routes[i]);
        visit(user, buf_str(&text));
    }
    for (size_t i = 0; i < src->n_literals; i++) {
        const struct policy_selector *sel = src->literals[i];

        for (size_t k = 0; sel->kind == SELECTOR_IPSET && k < sel->ipset->set.len; k++) {
            buf_clear(&text);
            ip_range_put(&text, sel->ipset->set.ranges[k]);
            visit(user, buf_str(&text));
        }
        if (sel->kind == SELECTOR_IPSET)
            continue;
        buf_clear(&text);
        ip_prefix_put_short(&text, sel->prefix);
        visit(user, buf_str(&text));
    }
    buf_fini(&text);
}

struct texts {
    struct arena *arena;
    struct str *items;
    size_t len;
    size_t cap;
};

static void collect(void *user, struct str text)
{
    struct texts *t = user;

    if (t->len == t->cap) {
        t->cap = MAX(t->cap * 2, (size_t)16);
        t->items = mem_realloc_array(t->items, t->cap, sizeof *t->items);
    }
    t->items[t->len++] = arena_copy(t->arena, text);
}

/* Sorted, unique. */
static void collect_fixed(const struct shape *s, const struct source *src, struct texts *t)
{
    size_t n = 0;

    t->len = 0;
    source_each_fixed(s, src, collect, t);
    if (t->len)
        qsort(t->items, t->len, sizeof *t->items, by_text);
    for (size_t i = 0; i < t->len; i++)
        if (n == 0 || !str_eq(t->items[n - 1], t->items[i]))
            t->items[n++] = t->items[i];
    t->len = n;
}

static bool texts_have(const struct texts *t, struct ip_addr addr)
{
    struct buf b = BUF(0);
    struct str key;
    bool found;

    if (t->len == 0 || !ip_addr_is_set(addr))
        return false;
    ip_addr_put(&b, addr);
    key = buf_str(&b);
    found = bsearch(&key, t->items, t->len, sizeof key, by_text) != NULL;
    buf_fini(&b);
    return found;
}

/* Members whose addresses the policy names one by one. */
static const struct member **named_members(const struct policy *p, size_t *n)
{
    const struct member **list = NULL, *m;
    struct rows_at at = {0};

    *n = 0;
    while ((m = rows_next(&p->members, &at))) {
        if (!member_class(p, m)->p.has_literal)
            continue;
        if ((*n & (*n - 1)) == 0)
            list = mem_realloc_array(list, MAX(*n * 2, (size_t)8), sizeof(*list));
        list[(*n)++] = m;
    }
    return list;
}

/* An address that is listed as a node's is not listed again as a literal. */
static void fix_source(struct policy *p, struct source *src, const struct member **named,
                       size_t n_named, struct texts *t)
{
    src->fixed[POLICY_CANONICAL] = src->fixed[POLICY_COMPACT] = (struct sum){0};
    if (src->everyone) {
        sum_add_text(&src->fixed[POLICY_CANONICAL], STR("*"));
        src->fixed[POLICY_COMPACT] = src->fixed[POLICY_CANONICAL];
        return;
    }
    collect_fixed(p->shape, src, t);
    for (size_t i = 0; i < t->len; i++)
        sum_add_text(&src->fixed[POLICY_CANONICAL], t->items[i]);
    src->fixed[POLICY_COMPACT] = src->fixed[POLICY_CANONICAL];
    sum_add(&src->fixed[POLICY_COMPACT], src->caps);
    for (size_t i = 0; i < n_named; i++) {
        struct sum twice = {0};

        if (texts_have(t, member_v4(named[i])))
            sum_add_addr(&twice, member_v4(named[i]));
        if (texts_have(t, member_v6(named[i])))
            sum_add_addr(&twice, member_v6(named[i]));
        if (class_in(src->own, named[i]->cls))
            sum_sub(&src->fixed[POLICY_CANONICAL], twice);
        if (class_in(src->rest, named[i]->cls))
            sum_sub(&src->fixed[POLICY_COMPACT], twice);
    }
}

static void fix_sources(struct policy *p)
{
    struct texts t = {.arena = arena_new()};
    const struct member **named;
    size_t n;

    named = named_members(p, &n);
    for (size_t i = 0; i < p->shape->n_sources; i++)
        fix_source(p, &p->shape->sources[i], named, n, &t);
    mem_free(named);
    mem_free(t.items);
    arena_free(t.arena);
}

static void add_classes(struct sum *to, const roaring_bitmap_t *set, const struct sum *of_class)
{
    roaring_uint32_iterator_t it;

    for (roaring_init_iterator(set, &it); it.has_value; roaring_advance_uint32_iterator(&it))
        sum_add(to, of_class[it.current_value - 1]);
}

static void make_sums(struct policy *p)
{
    const struct shape *s = p->shape;
    struct sum *of_class = mem_alloc_array(s->n_classes, sizeof *of_class);
    struct rows_at at = {0};
    const struct member *m;

    while ((m = rows_next(&p->members, &at)))
        sum_add(&of_class[m->cls - 1], member_sum(m));
    for (int form = 0; form < 2; form++)
        p->sums[form] = mem_alloc_array(s->n_sources, sizeof *p->sums[form]);
    for (size_t i = 0; i < s->n_sources; i++) {
        const struct source *src = &s->sources[i];

        p->sums[POLICY_CANONICAL][i] = src->fixed[POLICY_CANONICAL];
        p->sums[POLICY_COMPACT][i] = src->fixed[POLICY_COMPACT];
        if (src->everyone)
            continue;
        add_classes(&p->sums[POLICY_CANONICAL][i], src->own, of_class);
        add_classes(&p->sums[POLICY_COMPACT][i], src->rest, of_class);
    }
    mem_free(of_class);
    p->term_counts = mem_alloc_array(s->n_terms, sizeof *p->term_counts);
    for (size_t i = 0; i < s->n_terms; i++)
        p->term_counts[i] = s->terms[i].count;
}

#define COMPARE(x, y)                  \
    do {                               \
        if ((x) != (y))                \
            return (x) < (y) ? -1 : 1; \
    } while (0)

/* By key, then the earlier link first. */
int group_cmp(const struct group *x, const struct group *y)
{
    COMPARE(x->sum.a, y->sum.a);
    COMPARE(x->sum.b, y->sum.b);
    COMPARE(x->sum.count, y->sum.count);
    COMPARE(x->proto, y->proto);
    COMPARE(x->first, y->first);
    return 0;
}

static int by_group(const void *a, const void *b)
{
    return group_cmp(a, b);
}

static void make_groups(struct policy *p, enum policy_form form)
{
    const struct shape *s = p->shape;
    struct group *g = mem_alloc_array(s->n_links, sizeof *g);
    size_t n = 0;

    for (uint32_t i = 0; i < s->n_links; i++) {
        const struct policy_link *l = &s->links[i];

        if (l->kind == LINK_PORTS && !l->self && !l->via)
            g[n++] = (struct group){p->sums[link_form(l, form)][l->source], l->proto, i};
    }
    if (n)
        qsort(g, n, sizeof *g, by_group);
    p->groups[form] = g;
    p->n_groups[form] = n;
}

uint32_t group_find(const struct policy *p, enum policy_form form, struct sum sum, int proto)
{
    const struct group key = {sum, proto, 0}, *g = p->groups[form];
    size_t low = 0, high = p->n_groups[form];

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (group_cmp(&g[mid], &key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == p->n_groups[form] || !sum_eq(g[low].sum, sum) || g[low].proto != proto)
        return UINT32_MAX;
    return g[low].first;
}

static void make_derived(struct policy *p)
{
    make_groups(p, POLICY_CANONICAL);
    make_groups(p, POLICY_COMPACT);
    p->class_marks = mem_alloc_array(p->shape->n_classes * LAZY_N, sizeof *p->class_marks);
}

/* ---- From scratch ---- */

static struct policy *policy_empty(void)
{
    struct policy *p = NEW(struct policy);

    ref_init(&p->ref);
    rows_init(&p->members, sizeof(struct member));
    rows_init(&p->devices, sizeof(struct device));
    return p;
}

static const struct policy *compile_all(const struct policy_input *in)
{
    uint32_t *of_node = mem_alloc_array(view_node_count(in->view), sizeof *of_node);
    struct policy *p = policy_empty();
    size_t at = 0, i = 0, n_routers = 0;
    const struct node *n;

    p->shape = shape_new(in->document, in->view, of_node);
    while ((n = view_node_next(in->view, &at))) {
        struct member m = member_of(n, of_node[i++]);

        n_routers += is_router(member_class(p, &m));
        rows_put(&p->members, &m);
        put_device(p, &m);
    }
    p->routers = routers_new();
    p->routers->items = mem_alloc_array(n_routers, sizeof *p->routers->items);
    at = i = 0;
    while ((n = view_node_next(in->view, &at))) {
        const struct policy_class *c = &p->shape->classes[of_node[i++] - 1];

        if (is_router(c))
            router_put(p->routers, c, n);
    }
    mark_routers(p->routers);
    mem_free(of_node);
    fix_sources(p);
    make_sums(p);
    make_derived(p);
    return p;
}

/* ---- From the policy before ---- */

struct step {
    const struct policy_input *in;
    const struct policy *before;
    struct policy *p; /* NULL until something differs */
    struct profile_scratch scratch;
    bool routers_moved;
};

static void step_begin(struct step *st)
{
    const struct policy *b = st->before;
    struct policy *p;

    if (st->p)
        return;
    p = policy_empty();
    p->shape = shape_ref(b->shape);
    rows_fini(&p->members);
    rows_copy(&p->members, &b->members);
    rows_fini(&p->devices);
    rows_copy(&p->devices, &b->devices);
    ref_take(&b->routers->ref);
    p->routers = b->routers;
    for (int form = 0; form < 2; form++)
        p->sums[form] = mem_dup(b->sums[form], b->shape->n_sources * sizeof *b->sums[form]);
    p->term_counts = mem_dup(b->term_counts, b->shape->n_terms * sizeof *b->term_counts);
    st->p = p;
}

/* Adds a member's addresses to whatever lists its class, or takes them away. */
static bool count_member(struct policy *p, const struct member *m, bool add)
{
    const struct shape *s = p->shape;
    struct sum sum = member_sum(m);

    for (size_t i = 0; i < s->n_terms; i++) {
        if (!class_in(s->terms[i].classes, m->cls))
            continue;
        p->term_counts[i] += add ? 1 : (size_t)-1;
        if ((s->terms[i].count >= COMPACT_MIN) != (p->term_counts[i] >= COMPACT_MIN))
            return false;
    }
    for (size_t i = 0; i < s->n_sources; i++) {
        const struct source *src = &s->sources[i];

        if (src->everyone)
            continue;
        if (class_in(src->own, m->cls))
            (add ? sum_add : sum_sub)(&p->sums[POLICY_CANONICAL][i], sum);
        if (class_in(src->rest, m->cls))
            (add ? sum_add : sum_sub)(&p->sums[POLICY_COMPACT][i], sum);
    }
    return true;
}

static bool remove_member(struct step *st, const struct member *old)
{
    const struct policy_class *c = member_class(st->before, old);
    struct member copy = *old;

    if (is_router(c) || c->p.has_literal)
        return false;
    step_begin(st);
    (void)rows_remove(&st->p->members, copy.key[0], 0);
    if (copy.user)
        (void)rows_remove(&st->p->devices, copy.user, copy.key[0]);
    return count_member(st->p, &copy, false);
}

static bool add_member(struct step *st, const struct member *now, const struct policy_class *c)
{
    if (is_router(c) || c->p.has_literal)
        return false;
    step_begin(st);
    rows_put(&st->p->members, now);
    put_device(st->p, now);
    return count_member(st->p, now, true);
}

/* False: this takes a new shape. */
static bool step_node(struct step *st, node_id id)
{
    const struct policy *base = st->p ? st->p : st->before;
    const struct member *old = member_find(base, id);
    const struct node *n = view_node_find(st->in->view, id);
    const struct policy_class *c;
    struct profile profile;
    struct member now;

    if (!n)
        return !old || remove_member(st, old);
    matcher_profile(base->shape->matcher, n, &st->scratch, &profile);
    c = shape_class(base->shape, &profile, &st->scratch);
    if (!c)
        return false;
    now = member_of(n, c->id);
    if (old && is_router(c) && old->cls == c->id)
        st->routers_moved = true;
    if (old && member_eq(old, &now))
        return true;
    if (old && !remove_member(st, old))
        return false;
    return add_member(st, &now, c);
}

static bool step_routers(struct step *st)
{
    const struct routers *old = st->before->routers;
    struct routers *r;

    if (!st->routers_moved)
        return true;
    r = routers_new();
    r->items = mem_alloc_array(old->len, sizeof *r->items);
    for (size_t i = 0; i < old->len; i++) {
        const struct node *n = view_node_find(st->in->view, old->items[i].id);

        if (!n) {
            routers_unref(r);
            return false;
        }
        router_put(r, &st->before->shape->classes[old->items[i].cls - 1], n);
    }
    mark_routers(r);
    if (policy_mark_eq(r->mark, old->mark)) {
        routers_unref(r);
        return true;
    }
    step_begin(st);
    routers_unref(st->p->routers);
    st->p->routers = r;
    return true;
}

/* Routes that are announced or approved and not served are told of as facts and private changes. */
#define MASKS_READ \
    (NODE_NEW | NODE_CARD | NODE_ONLINE | NODE_PRIVATE | NODE_FACTS | NODE_FACTS_PRIVATE)

static bool step_changes(struct step *st)
{
    tailnet_id tailnet = view_info(st->in->view)->id;

    for (size_t i = 0; i < st->in->n_changes; i++) {
        const struct change *c = &st->in->changes[i];

        if (c->tailnet != tailnet)
            continue;
        if (c->kind == CHANGE_USER || c->kind == CHANGE_USER_REMOVED)
            return false;
        if (c->kind == CHANGE_NODE_REMOVED && !step_node(st, c->id))
            return false;
        if (c->kind == CHANGE_NODE && (c->mask & MASKS_READ) && !step_node(st, c->id))
            return false;
    }
    return step_routers(st);
}

static const struct policy *compile_step(const struct policy_input *in)
{
    struct step st = {.in = in, .before = in->before};
    bool done = step_changes(&st);

    profile_scratch_fini(&st.scratch);
    if (!done) {
        policy_unref(st.p);
        return NULL;
    }
    if (!st.p)
        return policy_ref(in->before);
    make_derived(st.p);
    return st.p;
}

const struct policy *policy_compile(const struct policy_input *in)
{
    const struct policy *p = NULL;

    if (!in->document)
        return in->before && in->before->is_open ? policy_ref(in->before) : policy_allow_all();
    if (in->before && in->before->shape && in->before->shape->doc == in->document)
        p = compile_step(in);
    return p ? p : compile_all(in);
}

/* ---- Life ---- */

const struct policy *policy_allow_all(void)
{
    struct policy *p = policy_empty();

    p->is_open = true;
    return p;
}

static struct policy *owned(const struct policy *p)
{
    return (struct policy *)(uintptr_t)p; /* only the count changes */
}

const struct policy *policy_ref(const struct policy *p)
{
    ref_take(&owned(p)->ref);
    return p;
}

void policy_unref(const struct policy *policy)
{
    struct policy *p = owned(policy);

    if (!p || !ref_drop(&p->ref))
        return;
    rows_fini(&p->members);
    rows_fini(&p->devices);
    routers_unref(p->routers);
    for (int form = 0; form < 2; form++) {
        mem_free(p->sums[form]);
        mem_free(p->groups[form]);
    }
    mem_free(p->term_counts);
    mem_free(p->class_marks);
    shape_unref(p->shape);
    mem_free(p);
}

const struct policy_document *policy_document(const struct policy *p)
{
    return p->shape ? p->shape->doc : NULL;
}

bool policy_is_open(const struct policy *p)
{
    return p->is_open;
}

bool policy_same_lineage(const struct policy *a, const struct policy *b)
{
    if (!a->shape || !b->shape)
        return a->is_open && b->is_open;
    return a->shape->lineage == b->shape->lineage;
}

uint32_t policy_class_of(const struct policy *p, node_id node)
{
    const struct member *m = member_find(p, node);

    return m ? m->cls : 0;
}
