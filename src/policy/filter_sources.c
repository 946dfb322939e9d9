/* SrcIPs of a viewer's rules: the strings a source lists, sorted as the hosted service does. */

#include "policy/filter_internal.h"

static void list_add_addr(struct listing *l, struct ip_addr addr)
{
    struct buf text = BUF(0);

    if (!ip_addr_is_set(addr))
        return;
    ip_addr_put(&text, addr);
    listing_add(l, buf_str(&text));
    buf_fini(&text);
}

static void list_add_member(struct listing *l, const struct member *m)
{
    list_add_addr(l, member_v4(m));
    list_add_addr(l, member_v6(m));
}

bool self_lists(const struct policy *p, const struct policy_link *l, const struct member *m)
{
    const struct source *src = &p->shape->sources[l->source];

    return class_in(src->own, m->cls) || (src->wild && member_class(p, m)->p.in_wild);
}

/*
 * The devices of the viewer's user, as far as the source lists them; all of them in a companion,
 * whose sources are what the grant had as destinations.
 */
static const struct member *next_device(const struct filter *f, const struct policy_link *l,
                                        struct rows_at *at)
{
    const struct device *d;

    while ((d = rows_next(&f->p->devices, at)) && d->key[0] == f->m->user) {
        const struct member *m = member_find(f->p, d->key[1]);

        if (m && (l->kind == LINK_COMPANION || self_lists(f->p, l, m)))
            return m;
    }
    return NULL;
}

struct sum filter_self_sum(const struct filter *f, const struct policy_link *l)
{
    struct rows_at at = rows_from(&f->p->devices, f->m->user, 0);
    const struct member *m;
    struct sum sum = {0};

    while ((m = next_device(f, l, &at)))
        sum_add(&sum, member_sum(m));
    return sum;
}

static void collect_self(const struct filter *f, const struct policy_link *l, struct listing *list)
{
    struct rows_at at = rows_from(&f->p->devices, f->m->user, 0);
    const struct member *m;

    while ((m = next_device(f, l, &at)))
        list_add_member(list, m);
}

void filter_each_fixed(const struct filter *f, const struct policy_link *l, struct listing *out)
{
    const struct source *src = &f->p->shape->sources[l->source];

    if (src->everyone)
        listing_add(out, STR("*"));
    else
        source_each_fixed(f->p->shape, src, listing_add, out);
}

static void collect_source(const struct filter *f, const struct policy_link *l,
                           struct listing *list)
{
    const struct shape *s = f->p->shape;
    const struct source *src = &s->sources[l->source];
    enum policy_form form = link_form(l, f->form);
    const roaring_bitmap_t *listed = form == POLICY_COMPACT ? src->rest : src->own;
    struct rows_at at = {0};
    const struct member *m;

    filter_each_fixed(f, l, list);
    if (f->local)
        filter_cut(f, list);
    if (src->everyone)
        return;
    for (size_t i = 0; form == POLICY_COMPACT && i < src->n_terms; i++)
        if (s->terms[src->terms[i]].compact)
            listing_add(list, arena_printf(list->arena, "cap:%s", s->terms[src->terms[i]].cap));
    if (roaring_bitmap_is_empty(listed))
        return;
    while ((m = rows_next(&f->p->members, &at)))
        if (class_in(listed, m->cls))
            list_add_member(list, m);
}

enum policy_form link_form(const struct policy_link *l, enum policy_form form)
{
    static const int parsed[] = {-1, 1, 6, 17, 58, 132};

    if (l->kind != LINK_PORTS)
        return POLICY_CANONICAL;
    for (size_t i = 0; i < ARRAY_LEN(parsed); i++)
        if (l->proto == parsed[i])
            return form;
    return POLICY_CANONICAL;
}

void filter_spell_sources(const struct filter *f, const struct policy_link *l,
                          struct json_writer *w)
{
    struct listing list;

    listing_init(&list);
    if (l->self)
        collect_self(f, l, &list);
    else
        collect_source(f, l, &list);
    listing_sort(&list);
    for (size_t i = 0; i < list.len; i++)
        json_str(w, list.items[i]);
    json_end_array(w);
    listing_fini(&list);
}

void filter_put_sources(struct filter *f, const struct policy_link *l)
{
    if (f->sources.len) {
        json_field_raw(&f->w, STR("SrcIPs"), f->sources);
        return;
    }
    json_field_array(&f->w, STR("SrcIPs"));
    filter_spell_sources(f, l, &f->w);
}

void filter_put_sources_mark(struct filter *f, const struct policy_link *l, struct sum sum)
{
    sum.tags = 0;
    buf_put(f->w.out, str_bytes(&sum, sizeof sum));
    if (f->local)
        filter_put_cut_mark(f, l);
}
