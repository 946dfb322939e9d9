/*
 * A viewer's packet filter. policy.md 7.
 *
 *   the class's links --key (sources, protocol)--> parts, each at the place of the first link with
 *   its key --> one rule per place
 *
 * A rule stands where the first link with its key stands, even if that link gives this viewer
 * nothing (7.1), so rules come in the same order everywhere. Links of one node only (self, via)
 * take part in this as if they stood in the list.
 *
 * The mark of a filter is the hash of the same text with each source list replaced by its sum; it
 * is worked out once per class with stand-ins for the node's own addresses.
 */

#include "policy/filter_internal.h"

#include <string.h>

const struct str policy_internet_ranges[7] = {
    STR_INIT("0.0.0.0-9.255.255.255"),
    STR_INIT("11.0.0.0-100.63.255.255"),
    STR_INIT("100.128.0.0-169.253.255.255"),
    STR_INIT("169.255.0.0-172.15.255.255"),
    STR_INIT("172.32.0.0-192.167.255.255"),
    STR_INIT("192.169.0.0-255.255.255.255"),
    STR_INIT("2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
};

/* ---- Destinations ---- */

void filter_put_dst(struct filter *f, struct str ip, const struct ip_ports *ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_begin_object(&f->w);
        json_field_str(&f->w, STR("IP"), ip);
        json_field_object(&f->w, STR("Ports"));
        json_field_u64(&f->w, STR("First"), ports[i].first);
        json_field_u64(&f->w, STR("Last"), ports[i].last);
        json_end_object(&f->w);
        json_end_object(&f->w);
    }
}

static void put_dst_addr(struct filter *f, struct ip_addr addr, const struct ip_ports *ports,
                         size_t n)
{
    struct buf text = BUF(0);

    if (!ip_addr_is_set(addr))
        return;
    ip_addr_put(&text, addr);
    filter_put_dst(f, buf_str(&text), ports, n);
    buf_fini(&text);
}

static void put_own(struct filter *f, const struct ip_ports *ports, size_t n)
{
    if (f->as_mark) {
        f->used_own = true;
        filter_put_dst(f, STR("own"), ports, n);
        return;
    }
    put_dst_addr(f, member_v4(f->m), ports, n);
    put_dst_addr(f, member_v6(f->m), ports, n);
}

/* Whether the viewer serves something in the range, or is in it itself. */
static bool range_is_here(const struct filter *f, struct ip_range r, bool only_routes)
{
    struct ip_addr v4 = member_v4(f->m), v6 = member_v6(f->m);

    if (!only_routes && ((ip_addr_is_set(v4) && ip_range_contains(r, v4)) ||
                         (ip_addr_is_set(v6) && ip_range_contains(r, v6))))
        return true;
    for (size_t i = 0; i < f->c->p.n_routes; i++)
        if (ip_range_overlaps(ip_range_of_prefix(f->c->p.routes[i]), r))
            return true;
    return false;
}

static void put_set(struct filter *f, const struct link_dst *d, bool only_routes)
{
    const struct ip_set *set = &d->selector->ipset->set;
    struct buf text = BUF(0);

    for (size_t i = 0; i < set->len; i++) {
        if (!range_is_here(f, set->ranges[i], only_routes))
            continue;
        buf_clear(&text);
        ip_range_put(&text, set->ranges[i]);
        filter_put_dst(f, buf_str(&text), d->ports, d->n_ports);
    }
    buf_fini(&text);
}

static void put_prefix(struct filter *f, const struct link_dst *d, bool only_routes)
{
    struct buf text = BUF(0);

    if (!range_is_here(f, ip_range_of_prefix(d->selector->prefix), only_routes))
        return;
    ip_prefix_put_short(&text, d->selector->prefix);
    filter_put_dst(f, buf_str(&text), d->ports, d->n_ports);
    buf_fini(&text);
}

static void put_link_dst(struct filter *f, const struct policy_link *l, const struct link_dst *d)
{
    const struct policy_selector *sel = d->selector;

    switch (sel->kind) {
    case SELECTOR_WILDCARD:
        if (!l->via || f->c->p.n_routes)
            filter_put_dst(f, STR("*"), d->ports, d->n_ports);
        return;
    case SELECTOR_PREFIX:
    case SELECTOR_HOST:
        put_prefix(f, d, l->via);
        return;
    case SELECTOR_IPSET:
        put_set(f, d, l->via);
        return;
    case SELECTOR_AUTOGROUP:
        if (sel->autogroup == AUTOGROUP_INTERNET) {
            for (size_t i = 0; f->c->p.exit && i < ARRAY_LEN(policy_internet_ranges); i++)
                filter_put_dst(f, policy_internet_ranges[i], d->ports, d->n_ports);
            return;
        }
        break;
    case SELECTOR_USER:
    case SELECTOR_DOMAIN:
    case SELECTOR_GROUP:
    case SELECTOR_TAG:
    case SELECTOR_TAILNET:
    case SELECTOR_SERVICE:
        break;
    }
    if (!l->via && class_in(f->p->shape->own[sel->index], f->c->id))
        put_own(f, d->ports, d->n_ports);
}

static void put_ports_of(struct filter *f, const struct policy_link *l)
{
    if (l->self) {
        put_own(f, l->ports, l->n_ports);
        return;
    }
    for (size_t i = 0; i < l->n_dst; i++)
        put_link_dst(f, l, &l->dst[i]);
}

/* ---- Rules ---- */

/* All parts of one rule. Nothing is put when they come to no destination. */
static void put_ports_rule(struct filter *f, const struct part *parts, size_t n)
{
    const struct policy_link *l = &f->p->shape->links[parts[0].link];
    struct json_writer before = f->w;
    size_t len = f->w.out->len, mark;

    if (f->local && filter_is_cut_away(f, l, parts[0].sum))
        return;
    json_begin_object(&f->w);
    if (f->as_mark)
        filter_put_sources_mark(f, l, parts[0].sum);
    else
        filter_put_sources(f, l);
    if (l->proto >= 0) {
        json_field_array(&f->w, STR("IPProto"));
        json_u64(&f->w, (uint64_t)l->proto);
        json_end_array(&f->w);
    }
    json_field_array(&f->w, STR("DstPorts"));
    mark = f->w.out->len;
    for (size_t i = 0; i < n; i++)
        put_ports_of(f, &f->p->shape->links[parts[i].link]);
    if (f->w.out->len == mark) {
        buf_cut(f->w.out, len);
        f->w = before;
        return;
    }
    json_end_array(&f->w);
    json_end_object(&f->w);
}

static bool dst_has(const struct filter *f, const struct link_dst *d, struct ip_addr addr)
{
    const struct policy_selector *sel = d->selector;

    if (sel->kind == SELECTOR_WILDCARD ||
        (sel->kind == SELECTOR_AUTOGROUP && sel->autogroup == AUTOGROUP_DANGER_ALL))
        return true;
    if (selector_is_literal(sel))
        return literal_overlaps(sel, ip_range_of_addr(addr));
    return class_in(f->p->shape->own[sel->index], f->c->id);
}

/* Under postures the sources of a companion's grant are fewer than its selectors say. */
static bool companion_lands(const struct filter *f, const struct policy_link *l)
{
    const struct policy_postures *any = &l->rule->postures;

    for (size_t i = 0; i < any->len; i++)
        if (picks_have(&f->c->p.postures, (uint32_t)any->items[i]->index))
            return true;
    return any->len == 0;
}

static bool cap_lands(const struct filter *f, const struct policy_link *l, struct ip_addr addr)
{
    if (!ip_addr_is_set(addr))
        return false;
    if (l->self)
        return l->kind != LINK_COMPANION || self_lists(f->p, l, f->m);
    for (size_t i = 0; i < l->n_dst; i++) {
        const struct policy_selector *sel = l->dst[i].selector;
        bool unasked = l->kind != LINK_COMPANION || selector_is_literal(sel) ||
                       (sel->kind == SELECTOR_AUTOGROUP && sel->autogroup == AUTOGROUP_DANGER_ALL);

        if (dst_has(f, &l->dst[i], addr) && (unasked || companion_lands(f, l)))
            return true;
    }
    return false;
}

static void put_cap_dst(struct filter *f, struct ip_addr addr)
{
    if (f->as_mark) {
        f->used_own = true;
        json_str(&f->w, addr.family == IP_V4 ? STR("own4") : STR("own6"));
        return;
    }
    json_begin_plain(&f->w);
    ip_prefix_put(f->w.out, ip_prefix_single(addr));
    json_end_plain(&f->w);
}

static void put_cap_map(struct filter *f, const struct policy_link *l)
{
    json_field_object(&f->w, STR("CapMap"));
    if (l->kind == LINK_COMPANION)
        json_field_null(&f->w, str_from(l->companion));
    for (size_t i = 0; l->kind == LINK_CAPS && i < l->rule->n_app; i++)
        json_field_raw(&f->w, l->rule->app[i].name, l->rule->app[i].values);
    json_end_object(&f->w);
}

/* Which of the node's addresses have it; false: none. */
static bool grant_lands(const struct filter *f, const struct policy_link *l, bool lands[2])
{
    lands[0] = cap_lands(f, l, member_v4(f->m));
    lands[1] = cap_lands(f, l, member_v6(f->m));
    return lands[0] || lands[1];
}

static void put_grant(struct filter *f, const struct policy_link *l, const bool lands[2])
{
    json_field_array(&f->w, STR("CapGrant"));
    json_begin_object(&f->w);
    json_field_array(&f->w, STR("Dsts"));
    if (lands[0])
        put_cap_dst(f, member_v4(f->m));
    if (lands[1])
        put_cap_dst(f, member_v6(f->m));
    json_end_array(&f->w);
    put_cap_map(f, l);
    json_end_object(&f->w);
    json_end_array(&f->w);
}

bool filter_put_grant(struct filter *f, const struct policy_link *l)
{
    bool lands[2];

    if (!grant_lands(f, l, lands))
        return false;
    put_grant(f, l, lands);
    return true;
}

static void put_caps_rule(struct filter *f, const struct part *part)
{
    const struct policy_link *l = &f->p->shape->links[part->link];
    bool lands[2];

    if (!grant_lands(f, l, lands))
        return;
    json_begin_object(&f->w);
    if (f->as_mark)
        filter_put_sources_mark(f, l, part->sum);
    else
        filter_put_sources(f, l);
    put_grant(f, l, lands);
    json_end_object(&f->w);
}

/* ---- Parts ---- */

static bool is_own_link(const struct policy_link *l)
{
    return l->self || l->via;
}

static void find_parts(struct filter *f)
{
    f->parts = mem_alloc_array(f->c->n_links, sizeof *f->parts);
    for (size_t i = 0; i < f->c->n_links; i++) {
        uint32_t index = f->c->links[i], first;
        const struct policy_link *l = &f->p->shape->links[index];
        struct part part = {.link = index, .place = index, .proto = l->proto};

        part.merges = l->kind == LINK_PORTS;
        part.sum = l->self ? filter_self_sum(f, l) : f->p->sums[link_form(l, f->form)][l->source];
        if (part.sum.count == 0 && (part.merges || l->self))
            continue;
        if (part.merges) {
            first = group_find(f->p, f->form, part.sum, l->proto);
            part.place = is_own_link(l) ? MIN(first, index) : first;
        }
        f->parts[f->n++] = part;
    }
}

/* Capabilities last, then by key, the first place first. */
static int by_key(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    const struct group gx = {x->sum, x->proto, 0}, gy = {y->sum, y->proto, 0};
    int c = group_cmp(&gx, &gy);

    if (x->merges != y->merges)
        return x->merges ? -1 : 1;
    return c ? c : (x->place > y->place) - (x->place < y->place);
}

static int by_place(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return (x->link > y->link) - (x->link < y->link);
}

static bool same_key(const struct part *x, const struct part *y)
{
    return x->merges && y->merges && x->proto == y->proto && sum_eq(x->sum, y->sum);
}

/* A link of this node only may stand before the others of its key. */
static void settle_places(struct filter *f)
{
    qsort(f->parts, f->n, sizeof *f->parts, by_key);
    for (size_t i = 1; i < f->n; i++)
        if (same_key(&f->parts[i - 1], &f->parts[i]))
            f->parts[i].place = f->parts[i - 1].place;
}

size_t filter_put_rule(struct filter *f, size_t at)
{
    size_t n = 1;

    if (!f->parts[at].merges) {
        put_caps_rule(f, &f->parts[at]);
        return 1;
    }
    while (at + n < f->n && f->parts[at + n].place == f->parts[at].place)
        n++;
    put_ports_rule(f, &f->parts[at], n);
    return n;
}

static bool has_own_links(const struct filter *f)
{
    for (size_t i = 0; i < f->c->n_links; i++)
        if (is_own_link(&f->p->shape->links[f->c->links[i]]))
            return true;
    return false;
}

bool filter_init(struct filter *f, const struct policy *p, node_id viewer, enum policy_form form)
{
    *f = (struct filter){.p = p, .form = form, .m = member_find(p, viewer)};
    if (!f->m)
        return false;
    f->c = member_class(p, f->m);
    if (p->guests)
        filter_meet_guests(f);
    find_parts(f);
    if (f->n > 1 && has_own_links(f))
        settle_places(f);
    if (f->n > 1)
        qsort(f->parts, f->n, sizeof *f->parts, by_place);
    return true;
}

void filter_fini(struct filter *f)
{
    mem_free(f->parts);
    ip_set_fini(&f->cut);
    f->parts = NULL;
    f->n = 0;
}

static void put_guest_rules(struct filter *f)
{
    struct guest_rules r;

    filter_guest_rules(f, &r);
    for (size_t i = 0; i < r.len; i++)
        guest_rule_put(&r.items[i], &f->w);
    guest_rules_fini(&r);
}

static void put_filter(struct filter *f)
{
    json_begin_array(&f->w);
    for (size_t i = 0; i < f->n;)
        i += filter_put_rule(f, i);
    if (f->local)
        put_guest_rules(f);
    json_end_array(&f->w);
}

void policy_put_filter(const struct policy *p, node_id viewer, enum policy_form form,
                       struct buf *out)
{
    struct filter f;

    if (p->is_open) {
        buf_put(out, open_holds(p, viewer) ? STR("[]") : STR("[" FILTER_OPEN_RULE "]"));
        return;
    }
    if (!filter_init(&f, p, viewer, form)) {
        buf_put(out, STR("[]"));
        return;
    }
    f.w = JSON_WRITER(out);
    put_filter(&f);
    filter_fini(&f);
}

/* ---- Marks ---- */

void filter_mix_own(struct policy_mark *mark, const struct member *m)
{
    struct ip_addr v4 = member_v4(m), v6 = member_v6(m);

    mark_mix_mark(mark, mark_of(ip_addr_bytes(&v4)));
    mark_mix_mark(mark, mark_of(ip_addr_bytes(&v6)));
}

enum { LAZY_READY = 1, LAZY_USED_OWN = 2 };

static struct policy_mark make_mark(struct filter *f)
{
    struct buf text = BUF((size_t)1 << 30);
    struct policy_mark mark;

    f->as_mark = true;
    f->w = JSON_WRITER(&text);
    put_filter(f);
    mark = mark_of(buf_str(&text));
    buf_fini(&text);
    return mark;
}

/* Self links depend on the user, sets on the address. */
bool filter_is_for_class(const struct policy *p, const struct policy_class *c)
{
    if (c->p.has_literal)
        return false;
    for (size_t i = 0; p->shape->has_self && i < c->n_links; i++)
        if (p->shape->links[c->links[i]].self)
            return false;
    return true;
}

/* Whoever is second stores the same. */
static void keep_mark(struct lazy_mark *lazy, struct policy_mark mark, bool used_own)
{
    atomic_store_explicit(&lazy->a, mark.a, memory_order_relaxed);
    atomic_store_explicit(&lazy->b, mark.b, memory_order_relaxed);
    atomic_store_explicit(&lazy->ready, (uint8_t)(LAZY_READY | (used_own ? LAZY_USED_OWN : 0)),
                          memory_order_release);
}

static struct lazy_mark *marks_of(const struct policy *p, const struct member *m)
{
    const struct local *l = local_find(p, m->key[0]);

    if (l)
        return p->guest_marks + (size_t)(guest_class_find(p, l->cls) - p->guests->classes) * LAZY_N;
    return p->class_marks + (m->cls - 1) * LAZY_N;
}

struct policy_mark policy_filter_mark(const struct policy *p, node_id viewer, enum policy_form form)
{
    const struct member *m = member_find(p, viewer);
    struct policy_mark mark = {1, 0};
    struct lazy_mark *lazy;
    struct filter f;
    unsigned ready;

    if (!m)
        return p->is_open && !open_holds(p, viewer) ? mark : mark_of(STR("[]"));
    lazy = marks_of(p, m) + (form == POLICY_COMPACT);
    ready = atomic_load_explicit(&lazy->ready, memory_order_acquire);
    if (ready) {
        mark = (struct policy_mark){atomic_load_explicit(&lazy->a, memory_order_relaxed),
                                    atomic_load_explicit(&lazy->b, memory_order_relaxed)};
        if (ready & LAZY_USED_OWN)
            filter_mix_own(&mark, m);
        return mark;
    }
    IGNORE(filter_init(&f, p, viewer, form));
    mark = make_mark(&f);
    if (filter_is_for_class(p, f.c))
        keep_mark(lazy, mark, f.used_own);
    if (f.used_own)
        filter_mix_own(&mark, m);
    filter_fini(&f);
    return mark;
}
