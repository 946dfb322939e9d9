/*
 * Guests in a filter: rules of their own for those that may begin connections, and lists of sources
 * in which those in sight are not.
 *
 *   rules for own nodes: "100.64.0.0-100.115.91.255" --guests in sight cut out--> two ranges
 *   rules for guests:    links that have them as a source, cut to the terms of the share
 *
 * A source that lists own nodes by address or by capability has no guest in it. One that spells a
 * range or `*` may; nothing else than the guests' rules is to let them in.
 */

#include "policy/filter_internal.h"

/* ---- Who is in sight ---- */

void filter_meet_guests(struct filter *f)
{
    const struct guests *all = f->p->guests;

    f->local = all ? local_find(f->p, f->m->key[0]) : NULL;
    if (f->local && f->local->n_visits == 0)
        f->local = NULL;
    for (size_t i = 0; f->local && i < f->local->n_visits; i++) {
        const struct guest *g = &all->items[f->local->visits[i].guest];

        if (ip_addr_is_set(g->v4))
            ip_set_add_addr(&f->cut, g->v4);
        if (ip_addr_is_set(g->v6))
            ip_set_add_addr(&f->cut, g->v6);
    }
}

/* ---- Cutting them out ---- */

/* The ranges a spelled source stands for; none for capabilities. */
static void add_spelled(struct ip_set *set, struct str text)
{
    struct ip_range r;

    if (str_eq(text, STR("*"))) {
        ip_set_add_prefix(set, (struct ip_prefix){.addr = {.family = IP_V4}});
        ip_set_add_prefix(set, (struct ip_prefix){.addr = {.family = IP_V6}});
    } else if (ip_range_parse_any(text, &r)) {
        ip_set_add(set, r);
    }
}

static void add_ranges(struct listing *to, const struct ip_set *set)
{
    struct buf text = BUF(0);

    for (size_t i = 0; i < set->len; i++) {
        buf_clear(&text);
        ip_range_put(&text, set->ranges[i]);
        listing_add(to, buf_str(&text));
    }
    buf_fini(&text);
}

void filter_cut(const struct filter *f, struct listing *list)
{
    size_t n = list->len, kept = 0;
    struct ip_set set = {0};

    for (size_t i = 0; i < n; i++) {
        ip_set_clear(&set);
        add_spelled(&set, list->items[i]);
        if (!ip_set_overlaps_set(&set, &f->cut))
            continue;
        ip_set_subtract(&set, &set, &f->cut);
        add_ranges(list, &set);
        list->items[i] = STR_NONE;
    }
    for (size_t i = 0; i < list->len; i++)
        if (list->items[i].len)
            list->items[kept++] = list->items[i];
    list->len = kept;
    ip_set_fini(&set);
}

bool filter_is_cut_away(const struct filter *f, const struct policy_link *l, struct sum sum)
{
    const struct source *src = &f->p->shape->sources[l->source];
    enum policy_form form = link_form(l, f->form);
    struct listing list;
    bool is;

    if (l->self || sum.count > src->fixed[form].count ||
        (form == POLICY_COMPACT && src->caps.count > 0))
        return false;
    listing_init(&list);
    filter_each_fixed(f, l, &list);
    filter_cut(f, &list);
    is = list.len == 0;
    listing_fini(&list);
    return is;
}

/* Each string that is cut, and what of it. */
void filter_put_cut_mark(struct filter *f, const struct policy_link *l)
{
    struct ip_set set = {0};
    struct listing list;

    if (l->self)
        return;
    listing_init(&list);
    filter_each_fixed(f, l, &list);
    listing_sort(&list);
    for (size_t i = 0; i < list.len; i++) {
        ip_set_clear(&set);
        add_spelled(&set, list.items[i]);
        ip_set_intersect(&set, &set, &f->cut);
        if (set.len)
            buf_printf(f->w.out, "-%.*s", STR_ARG(list.items[i]));
        for (size_t k = 0; k < set.len; k++) {
            buf_put_char(f->w.out, ' ');
            ip_range_put(f->w.out, set.ranges[k]);
        }
    }
    listing_fini(&list);
    ip_set_fini(&set);
}

/* ---- Rules for guests ---- */

/* Destinations and protocol, or a capability, behind the sources; false: nothing. */
static bool put_body(const struct filter *f, const struct policy_link *l,
                     const struct share_terms *terms, struct buf *out)
{
    struct filter one = *f;
    struct doors d = {0};
    struct buf text = BUF(0);
    size_t empty;

    buf_clear(out);
    one.as_mark = false;
    one.w = JSON_WRITER(out);
    json_begin_object(&one.w);
    empty = out->len;
    if (l->kind != LINK_PORTS) {
        (void)filter_put_grant(&one, l);
        return out->len > empty;
    }
    if (l->proto >= 0) {
        json_field_array(&one.w, STR("IPProto"));
        json_u64(&one.w, (uint64_t)l->proto);
        json_end_array(&one.w);
    }
    json_field_array(&one.w, STR("DstPorts"));
    empty = out->len;
    for (size_t i = 0; i < l->n_dst; i++) {
        if (!doors_of_member(&d, f->p, l, &l->dst[i], f->m, terms))
            continue;
        for (size_t k = 0; k < d.n_ranges; k++) {
            buf_clear(&text);
            ip_range_put(&text, d.ranges[k]);
            filter_put_dst(&one, buf_str(&text), d.ports, d.n_ports);
        }
    }
    empty = out->len > empty;
    json_end_array(&one.w);
    doors_fini(&d);
    buf_fini(&text);
    return empty;
}

static struct guest_rule *rule_of(struct guest_rules *r, struct map *by_body, struct str body)
{
    uintptr_t at = (uintptr_t)map_find(by_body, body);

    if (at)
        return &r->items[at - 1];
    r->items = mem_room(r->items, r->len, &r->cap, 8, sizeof *r->items);
    r->items[r->len] = (struct guest_rule){.body = arena_copy(r->arena, body)};
    listing_init(&r->items[r->len].sources);
    (void)map_put(by_body, body, (void *)(uintptr_t)(r->len + 1));
    return &r->items[r->len++];
}

static void add_addr(struct listing *to, struct ip_addr a)
{
    struct buf text = BUF(0);

    ip_addr_put(&text, a);
    listing_add(to, buf_str(&text));
    buf_fini(&text);
}

static void add_link(const struct filter *f, const struct policy_link *l, struct guest_rules *out,
                     struct map *by_body)
{
    const struct source *src = &f->p->shape->sources[l->source];
    const struct share_terms *terms = NULL; /* that the body is for */
    struct buf body = BUF((size_t)64 << 20);
    bool has_body = false;

    for (size_t i = 0; i < f->local->n_visits; i++) {
        const struct visit *v = &f->local->visits[i];
        const struct guest *g = &f->p->guests->items[v->guest];
        unsigned by = v->in ? source_guest(f->p, src, g) : 0;
        struct guest_rule *rule;

        if (!by)
            continue;
        if (!terms || !share_terms_eq(terms, &v->in->terms))
            has_body = put_body(f, l, &v->in->terms, &body);
        terms = &v->in->terms;
        if (!has_body)
            continue;
        rule = rule_of(out, by_body, str_from_index(buf_str(&body), 1));
        if (by & GUEST_V4)
            add_addr(&rule->sources, g->v4);
        if (by & GUEST_V6)
            add_addr(&rule->sources, g->v6);
    }
    buf_fini(&body);
}

void filter_guest_rules(const struct filter *f, struct guest_rules *out)
{
    struct map *by_body;

    *out = (struct guest_rules){0};
    if (!f->local)
        return;
    out->arena = arena_new();
    by_body = map_new();
    for (size_t i = 0; i < f->c->n_links; i++) {
        const struct policy_link *l = &f->p->shape->links[f->c->links[i]];

        if (!l->self && !l->via)
            add_link(f, l, out, by_body);
    }
    map_free(by_body);
    for (size_t i = 0; i < out->len; i++)
        listing_sort(&out->items[i].sources);
}

void guest_rules_fini(struct guest_rules *r)
{
    for (size_t i = 0; i < r->len; i++)
        listing_fini(&r->items[i].sources);
    mem_free(r->items);
    arena_free(r->arena);
    *r = (struct guest_rules){0};
}

void guest_rule_put(const struct guest_rule *r, struct json_writer *w)
{
    json_begin_object(w);
    json_field_array(w, STR("SrcIPs"));
    for (size_t i = 0; i < r->sources.len; i++)
        json_str(w, r->sources.items[i]);
    json_end_array(w);
    buf_put_char(w->out, ',');
    buf_put(w->out, r->body);
    json_end_object(w);
}
