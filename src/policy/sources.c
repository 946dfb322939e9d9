/*
 * What each source lists: sums of it, and which links' lists are the same.
 *
 * A source is listed as strings: addresses of nodes, literals, the wildcard's ranges and routes.
 * Its sum counts each string once, in both spellings of filters.
 */

#include "policy/policy_internal.h"

#include <string.h>

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

static void collect_fixed(const struct shape *s, const struct source *src, struct listing *t)
{
    t->len = 0;
    source_each_fixed(s, src, listing_add, t);
    listing_sort(t);
}

static bool listing_has(const struct listing *t, struct ip_addr addr)
{
    struct buf b = BUF(0);
    struct str key;
    bool found;

    if (t->len == 0 || !ip_addr_is_set(addr))
        return false;
    ip_addr_put(&b, addr);
    key = buf_str(&b);
    found = bsearch(&key, t->items, t->len, sizeof key, text_cmp) != NULL;
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
                       size_t n_named, struct listing *t)
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

        if (listing_has(t, member_v4(named[i])))
            sum_add_addr(&twice, member_v4(named[i]));
        if (listing_has(t, member_v6(named[i])))
            sum_add_addr(&twice, member_v6(named[i]));
        if (class_in(src->own, named[i]->cls))
            sum_sub(&src->fixed[POLICY_CANONICAL], twice);
        if (class_in(src->rest, named[i]->cls))
            sum_sub(&src->fixed[POLICY_COMPACT], twice);
    }
}

void policy_fix_sources(struct policy *p)
{
    const struct member **named;
    struct listing t;
    size_t n;

    listing_init(&t);
    named = named_members(p, &n);
    for (size_t i = 0; i < p->shape->n_sources; i++)
        fix_source(p, &p->shape->sources[i], named, n, &t);
    mem_free(named);
    listing_fini(&t);
}

static void add_classes(struct sum *to, const roaring_bitmap_t *set, const struct sum *of_class)
{
    roaring_uint32_iterator_t it;

    for (roaring_init_iterator(set, &it); it.has_value; roaring_advance_uint32_iterator(&it))
        sum_add(to, of_class[it.current_value - 1]);
}

void policy_make_sums(struct policy *p)
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

void policy_make_groups(struct policy *p, enum policy_form form)
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
