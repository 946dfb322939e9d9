/*
 * Rule by rule: which let a pair through, and which nearly do.
 *
 * A rule is told of once, with the pair that it comes closest for as the example.
 */

#include "policy/explain_internal.h"

/* ---- One link, one pair ---- */

/* The machines whose filter decides about the address: its owner, then its routers. */
static const struct member *next_at(const struct explain *x, const struct end *to,
                                    struct ip_addr addr, size_t *i)
{
    const struct policy *p = x->p;

    if (*i == 0) {
        *i = 1;
        if (to->member)
            return to->member;
    }
    while (*i <= p->routers->len) {
        const struct member *m = member_find(p, p->routers->items[(*i)++ - 1].id);

        if (m && m != to->member && reach_routes(member_class(p, m), addr))
            return m;
    }
    return NULL;
}

static bool receives(const struct policy_link *l, const struct member *at)
{
    return l->self ? at->user != 0 : class_in(l->classes, at->cls);
}

static bool takes(const struct explain *x, int proto, const struct ip_ports *ports, size_t n)
{
    if (x->port < 0)
        return n > 0;
    return reach_proto(proto, x->proto) && reach_ports(ports, n, x->proto, (uint16_t)x->port);
}

static void better(struct hit *best, const struct hit *h, enum near near)
{
    if (near <= best->near)
        return;
    *best = *h;
    best->near = near;
}

static enum near grade(bool src, bool dst, bool ports)
{
    if (src && dst)
        return ports ? NEAR_HIT : NEAR_PORT;
    if (dst && ports)
        return NEAR_DST;
    return src ? NEAR_SRC : NEAR_NOT;
}

static void try_at(const struct explain *x, struct hit h, struct hit *best)
{
    const struct policy_link *l = h.link;
    struct reach_end from = {h.src_addr, h.from->member};
    bool src = reach_source(x->p, l, h.at, &from);

    if (l->self) {
        better(best, &h,
               grade(src, reach_owns(h.at, h.dst_addr), takes(x, l->proto, l->ports, l->n_ports)));
        return;
    }
    for (size_t i = 0; i < l->n_dst; i++) {
        const struct link_dst *d = &l->dst[i];
        bool dst = reach_dst(x->p, l, d, h.at, h.dst_addr);

        h.dst = dst ? d : NULL;
        better(best, &h, grade(src, dst, takes(x, l->proto, d->ports, d->n_ports)));
    }
}

/* A via link that other machines would have received. */
static void try_via(const struct explain *x, struct hit h, struct hit *best)
{
    struct reach_end from = {h.src_addr, h.from->member};

    for (size_t i = 0; i < h.link->n_dst; i++) {
        const struct policy_selector *s = h.link->dst[i].selector;
        bool internet = s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_INTERNET;

        if ((selector_is_literal(s) && literal_overlaps(s, ip_range_of_addr(h.dst_addr))) ||
            (internet && x->dst.is_internet))
            if (reach_source(x->p, h.link, h.at, &from))
                better(best, &h, NEAR_VIA);
    }
}

static void try_pair(const struct explain *x, const struct policy_link *l, const struct end *from,
                     const struct end *to, struct hit *best)
{
    struct hit h = {.link = l, .from = from, .to = to};

    for (size_t s = 0; s < from->n_addrs; s++) {
        for (size_t d = 0; d < to->n_addrs; d++) {
            h.src_addr = from->addrs[s];
            h.dst_addr = to->addrs[d];
            if (h.src_addr.family != h.dst_addr.family)
                continue;
            for (size_t i = 0; (h.at = next_at(x, to, h.dst_addr, &i));) {
                if (receives(l, h.at))
                    try_at(x, h, best);
                else if (l->via)
                    try_via(x, h, best);
            }
        }
    }
}

/* ---- All links, one pair ---- */

static bool add_link(const struct explain *x, const struct policy_link *l, const struct hit *h,
                     struct access *out)
{
    struct reach_end from = {h->src_addr, h->from->member};
    bool any = false;

    if (l->kind != LINK_PORTS || !reach_source(x->p, l, h->at, &from))
        return false;
    if (l->self && reach_owns(h->at, h->dst_addr)) {
        any = takes(x, l->proto, l->ports, l->n_ports);
        access_add(out, l->proto, l->ports, l->n_ports);
    }
    for (size_t i = 0; i < l->n_dst; i++) {
        const struct link_dst *d = &l->dst[i];

        if (!reach_dst(x->p, l, d, h->at, h->dst_addr))
            continue;
        any |= takes(x, l->proto, d->ports, d->n_ports);
        access_add(out, l->proto, d->ports, d->n_ports);
    }
    return any;
}

bool explain_pair(const struct explain *x, const struct end *from, const struct end *to,
                  struct access *out)
{
    struct hit h = {.from = from, .to = to};
    bool any = false;

    for (size_t s = 0; s < from->n_addrs; s++) {
        for (size_t d = 0; d < to->n_addrs; d++) {
            h.src_addr = from->addrs[s];
            h.dst_addr = to->addrs[d];
            if (h.src_addr.family != h.dst_addr.family)
                continue;
            for (size_t i = 0; (h.at = next_at(x, to, h.dst_addr, &i));) {
                const struct policy_class *c = member_class(x->p, h.at);

                for (size_t k = 0; k < c->n_links; k++)
                    any |= add_link(x, &x->p->shape->links[c->links[k]], &h, out);
            }
        }
    }
    return any;
}

/* ---- A rule in words ---- */

static const struct policy_ref *dst_ref(const struct policy_rule *rule, const struct hit *h)
{
    for (size_t i = 0; i < rule->n_dst; i++) {
        const struct policy_selector *s = rule->dst[i].ref.selector;
        bool self = s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_SELF;

        if (h->link->self ? self : (h->dst && s == h->dst->selector))
            return &rule->dst[i].ref;
    }
    return NULL;
}

static void put_ref(struct buf *out, const struct policy_ref *r)
{
    buf_printf(out, "\"%.*s\" (", STR_ARG(r->selector->text));
    explain_put_pos(out, r->pos);
    buf_put(out, STR(")"));
}

static void put_source(const struct explain *x, const struct policy_rule *rule, const struct hit *h)
{
    struct buf why = BUF(0);

    for (size_t i = 0; i < rule->src.len; i++) {
        const struct policy_ref *r = &rule->src.items[i];

        buf_clear(&why);
        if (!explain_put_why(x, r->selector, h->from, h->src_addr, false, &why))
            continue;
        buf_put(x->out, STR("    from "));
        put_ref(x->out, r);
        buf_printf(x->out, ": %.*s\n", STR_ARG(buf_str(&why)));
        break;
    }
    buf_fini(&why);
}

static void put_route(const struct explain *x, const struct hit *h)
{
    const struct policy_class *c = member_class(x->p, h->at);
    const struct node *n = policy_node_find(x->view, h->at->key[0]);

    if (!n || reach_owns(h->at, h->dst_addr))
        return;
    buf_printf(x->out, ", behind %.*s", STR_ARG(n->given_name));
    for (size_t i = 0; i < c->p.n_routes; i++) {
        if (!ip_prefix_contains(c->p.routes[i], h->dst_addr))
            continue;
        buf_put(x->out, STR(" by its approved route "));
        ip_prefix_put_short(x->out, c->p.routes[i]);
        return;
    }
    buf_put(x->out, STR(" as an exit node"));
}

static void put_destination(const struct explain *x, const struct policy_rule *rule,
                            const struct hit *h)
{
    const struct policy_ref *r = dst_ref(rule, h);
    struct access a = {0};

    if (!r)
        return;
    buf_put(x->out, STR("    to "));
    put_ref(x->out, r);
    if (h->link->self)
        access_add(&a, h->link->proto, h->link->ports, h->link->n_ports);
    else
        access_add(&a, h->link->proto, h->dst->ports, h->dst->n_ports);
    access_settle(&a);
    buf_put(x->out, STR(" on "));
    access_put(x->out, &a);
    access_fini(&a);
    buf_put(x->out, STR(": "));
    if (h->link->self)
        buf_printf(x->out, "%.*s belongs to the same user", STR_ARG(h->to->name));
    else
        (void)explain_put_why(x, r->selector, h->to, h->dst_addr, true, x->out);
    put_route(x, h);
    buf_put_char(x->out, '\n');
}

void explain_put_refs(struct buf *out, const struct policy_refs *refs)
{
    for (size_t i = 0; i < MIN(refs->len, (size_t)EXPLAIN_LINES_MAX); i++)
        buf_printf(out, "%s%.*s", i ? ", " : "", STR_ARG(refs->items[i].selector->text));
    if (refs->len > EXPLAIN_LINES_MAX)
        buf_printf(out, " and %zu more", refs->len - EXPLAIN_LINES_MAX);
}

static void put_rule_place(const struct explain *x, const struct policy_rule *rule)
{
    buf_printf(x->out, "  %s at ", rule->is_acl ? "acl" : "grant");
    explain_put_pos(x->out, rule->pos);
}

static void put_postures(const struct explain *x, const struct policy_rule *rule)
{
    for (size_t i = 0; i < MIN(rule->postures.len, (size_t)EXPLAIN_LINES_MAX); i++) {
        buf_printf(x->out, "%s%.*s (", i ? " or " : "", STR_ARG(rule->postures.items[i]->name));
        explain_put_pos(x->out, rule->postures.items[i]->pos);
        buf_put(x->out, STR(")"));
    }
}

static void put_hit(const struct explain *x, const struct hit *h)
{
    const struct policy_rule *rule = h->link->rule;

    if (!rule) {
        buf_put(x->out, STR("  the policy has neither acls nor grants: everything is allowed\n"));
        return;
    }
    put_rule_place(x, rule);
    if (rule->via.len) {
        buf_put(x->out, STR(", via "));
        explain_put_refs(x->out, &rule->via);
    }
    buf_put_char(x->out, '\n');
    put_source(x, rule, h);
    if (rule->postures.len) {
        buf_printf(x->out, "    in a state that satisfies ");
        put_postures(x, rule);
        buf_put_char(x->out, '\n');
    }
    put_destination(x, rule, h);
}

/* ---- Nearly ---- */

static bool is_member(const struct explain *x, const struct policy_rule *rule, const struct hit *h)
{
    struct buf scratch = BUF(0);
    bool is = false;

    for (size_t i = 0; i < rule->src.len && !is; i++)
        is = explain_put_why(x, rule->src.items[i].selector, h->from, h->src_addr, false, &scratch);
    buf_fini(&scratch);
    return is;
}

static void put_missing_source(const struct explain *x, const struct policy_rule *rule,
                               const struct hit *h)
{
    if (h->link->self &&
        (!h->from->member || h->from->member->user != h->at->user || h->at->user == 0)) {
        buf_printf(x->out,
                   "leads to the user's own machines only, and %.*s and %.*s are not of "
                   "one user\n",
                   STR_ARG(h->from->name), STR_ARG(h->to->name));
    } else if (rule->postures.len && is_member(x, rule, h)) {
        buf_printf(x->out, "wants %.*s to satisfy ", STR_ARG(h->from->name));
        put_postures(x, rule);
        buf_put(x->out, STR(", which it does not\n"));
    } else {
        buf_put(x->out, STR("its destination matches, but it is for "));
        explain_put_refs(x->out, &rule->src);
        buf_printf(x->out, " and %.*s is not among them\n", STR_ARG(h->from->name));
    }
}

static void put_other_ports(const struct explain *x, const struct hit *h)
{
    struct access a = {0};

    if (h->link->self)
        access_add(&a, h->link->proto, h->link->ports, h->link->n_ports);
    else if (h->dst)
        access_add(&a, h->link->proto, h->dst->ports, h->dst->n_ports);
    access_settle(&a);
    if (a.len) {
        buf_put(x->out, STR("source and destination match, but it is about "));
        access_put(x->out, &a);
        buf_put(x->out, STR(" only\n"));
    } else {
        buf_put(x->out, STR("gives app capabilities only, no network access\n"));
    }
    access_fini(&a);
}

static void put_other_targets(const struct explain *x, const struct policy_rule *rule,
                              const struct hit *h)
{
    buf_printf(x->out, "is for %.*s, but leads to ", STR_ARG(h->from->name));
    for (size_t i = 0; i < MIN(rule->n_dst, (size_t)EXPLAIN_LINES_MAX); i++)
        buf_printf(x->out, "%s%.*s", i ? ", " : "", STR_ARG(rule->dst[i].ref.selector->text));
    if (rule->n_dst > EXPLAIN_LINES_MAX)
        buf_printf(x->out, " and %zu more", rule->n_dst - EXPLAIN_LINES_MAX);
    buf_printf(x->out, ", not to %.*s\n", STR_ARG(h->to->name));
}

static void put_near(const struct explain *x, const struct hit *h)
{
    const struct policy_rule *rule = h->link->rule;

    put_rule_place(x, rule);
    buf_put(x->out, STR(": "));
    switch (h->near) {
    case NEAR_PORT:
        put_other_ports(x, h);
        return;
    case NEAR_DST:
        put_missing_source(x, rule, h);
        return;
    case NEAR_VIA:
        buf_put(x->out, STR("goes only through machines with "));
        explain_put_refs(x->out, &rule->via);
        buf_put_char(x->out, '\n');
        return;
    case NEAR_SRC:
        put_other_targets(x, rule, h);
        return;
    case NEAR_NOT:
    case NEAR_HIT:
        return;
    }
}

/* ---- All rules ---- */

/* The closest the rule at the link comes over all pairs that are (not) allowed; *i moves behind its
 * links. */
static struct hit best_of_rule(const struct explain *x, bool allowed, size_t *i)
{
    const struct shape *s = x->p->shape;
    const struct policy_rule *rule = s->links[*i].rule;
    struct hit best = {0};

    for (; *i < s->n_links && s->links[*i].rule == rule; (*i)++) {
        if (s->links[*i].kind != LINK_PORTS)
            continue;
        for (size_t f = 0; f < x->src.len; f++)
            for (size_t t = 0; t < x->dst.len && best.near < NEAR_HIT; t++)
                if (x->allowed[f * x->dst.len + t] == allowed &&
                    explain_is_pair(x, &x->src.items[f], &x->dst.items[t]))
                    try_pair(x, &s->links[*i], &x->src.items[f], &x->dst.items[t], &best);
    }
    return best;
}

void explain_allowing_rules(struct explain *x)
{
    size_t n = 0;

    for (size_t i = 0; i < x->p->shape->n_links;) {
        struct hit h = best_of_rule(x, true, &i);

        if (h.near != NEAR_HIT || ++n > EXPLAIN_LINES_MAX)
            continue;
        if (n == 1)
            buf_put(x->out, STR("Allowed by\n"));
        put_hit(x, &h);
    }
    if (n > EXPLAIN_LINES_MAX)
        buf_printf(x->out, "  ... and %zu more rules\n", n - EXPLAIN_LINES_MAX);
}

void explain_near_misses(struct explain *x)
{
    const struct shape *s = x->p->shape;
    struct hit *all = mem_alloc_array(s->n_links + 1, sizeof *all);
    size_t n = 0, shown = 0, hidden = 0;

    for (size_t i = 0; i < s->n_links;) {
        struct hit h = best_of_rule(x, false, &i);

        if (h.near > NEAR_NOT && h.near < NEAR_HIT && h.link->rule)
            all[n++] = h;
    }
    for (int near = NEAR_PORT; near > NEAR_NOT; near--) {
        /* Where a rule for the source leads says little once something closer was said. */
        if (near == NEAR_SRC && shown)
            break;
        for (size_t i = 0; i < n; i++) {
            if ((int)all[i].near != near)
                continue;
            if (shown == EXPLAIN_LINES_MAX) {
                hidden++;
                continue;
            }
            if (shown++ == 0)
                buf_put(x->out, STR("Rules that come close\n"));
            put_near(x, &all[i]);
        }
    }
    if (hidden)
        buf_printf(x->out, "  ... and %zu more\n", hidden);
    if (shown == 0)
        buf_put(x->out, STR("No rule comes close\n"));
    mem_free(all);
}
