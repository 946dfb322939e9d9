#include "netmap/lab_shares.h"

#include "core/mem.h"
#include "ip/prefix.h"
#include "netmap/lab_internal.h"
#include "unit.h"

/* ---- Treaties ---- */

static bool covers(const struct share *s, const struct node *n)
{
    return s->accepted_ms && n->tailnet == s->guest && (!s->user || s->user == n->user);
}

static void add_item(struct abroad *a, const struct share *s, node_id node, tailnet_id tailnet)
{
    size_t at = 0;

    while (at < a->n_items && a->items[at].node < node)
        at++;
    if (at < a->n_items && a->items[at].node == node) {
        share_terms_add(&a->items[at].terms, &s->terms);
        return;
    }
    a->items = mem_realloc_array(a->items, a->n_items + 1, sizeof *a->items);
    for (size_t i = a->n_items++; i > at; i--)
        a->items[i] = a->items[i - 1];
    a->items[at] = (struct abroad_item){.node = node, .tailnet = tailnet, .sharer = s->sharer};
    share_terms_copy(&a->items[at].terms, &s->terms);
}

static const struct lab *lab_of(const struct lab *l, tailnet_id tailnet)
{
    for (size_t i = 0; i < l->n_others; i++)
        if (l->others[i]->tailnet == tailnet)
            return l->others[i];
    return l;
}

/* All who may come, where the lent one may go to them, too. */
static void add_callers(struct lab *l, struct abroad *a, const struct share *s, uint64_t percent)
{
    const struct lab *there = lab_of(l, s->guest);
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(there->view, &at));)
        if (covers(s, n) && lab_below(l, 100) < percent)
            add_item(a, s, n->id, s->guest);
}

static void settle_node(struct lab *l, const struct node *n, uint64_t percent)
{
    struct abroad *a = abroad_new();
    const struct share *s;

    for (size_t at = 0; (s = view_share_next(l->view, &at));) {
        if (s->guest == l->tailnet && covers(s, n) && lab_below(l, 100) < percent)
            add_item(a, s, s->node, s->owner);
        if (s->owner == l->tailnet && s->node == n->id && s->accepted_ms && s->terms.two_way)
            add_callers(l, a, s, percent);
    }
    (void)lab_do(l, (struct command){.type = COMMAND_NODE_ABROAD, .id = n->id, .abroad = a});
    abroad_unref(a);
}

static void settle_tailnet(struct lab *l, uint64_t percent)
{
    const struct tailnet_view *view = view_ref(l->view);
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(view, &at));)
        settle_node(l, n, percent);
    view_unref(view);
}

void lab_settle(struct lab *l, uint64_t percent)
{
    settle_tailnet(l, percent);
    for (size_t i = 0; i < l->n_others; i++)
        settle_tailnet(l->others[i], percent);
}

/* ---- Shares ---- */

static const struct node *any_node(struct lab *l)
{
    enum lab_node start = (enum lab_node)lab_below(l, LAB_NODES);

    for (enum lab_node i = 0; i < LAB_NODES; i++)
        if (lab_node(l, (start + i) % LAB_NODES))
            return lab_node(l, (start + i) % LAB_NODES);
    return NULL;
}

static void random_terms(struct lab *l, struct share_terms *t)
{
    struct err err;

    t->exit_node = lab_below(l, 3) == 0;
    t->all_routes = lab_below(l, 4) == 0;
    t->two_way = lab_below(l, 3) == 0;
    if (!t->all_routes && lab_below(l, 2)) {
        t->routes = NEW(struct ip_prefix);
        t->n_routes = ip_prefix_parse(STR("10.0.0.0/24"), t->routes);
    }
    if (lab_below(l, 3) == 0) {
        t->ports = NEW(struct share_ports);
        t->ports[0].first = (uint16_t)(20 + lab_below(l, 100));
        t->ports[0].last = (uint16_t)(t->ports[0].first + lab_below(l, 9));
        t->n_ports = 1;
    }
    ASSERT(share_terms_check(t, &err) == 0);
}

static void lend(struct lab *l, const struct node *n, bool is_accepted, int64_t expiry_ms)
{
    static const char *const users[] = {"ann", "bob", "eve"};
    const struct lab *to = l->others[lab_below(l, l->n_others)];
    struct share *s;

    if (!n)
        return;
    s = share_new();
    s->owner = l->tailnet;
    s->node = n->id;
    s->sharer = lab_below(l, 3) ? lab_user(l, users[lab_below(l, 3)]) : 0;
    s->guest = to->tailnet;
    s->user = lab_below(l, 3) ? lab_user(to, users[lab_below(l, 3)]) : 0;
    s->expiry_ms = expiry_ms;
    random_terms(l, &s->terms);
    (void)lab_do(
        l, (struct command){.type = COMMAND_SHARE_CREATE, .share = s, .is_accepted = is_accepted});
    share_unref(s);
}

void lab_lend(struct lab *l, enum lab_node which, const struct lab *to, bool is_wide)
{
    struct share *s = share_new();

    s->owner = l->tailnet;
    s->node = l->machines[which].id;
    s->guest = to->tailnet;
    s->terms.all_routes = s->terms.exit_node = s->terms.two_way = is_wide;
    if (!lab_do(l, (struct command){.type = COMMAND_SHARE_CREATE, .share = s, .is_accepted = true}))
        fail_msg("a machine cannot be lent");
    share_unref(s);
}

static const struct share *some_share(struct lab *l)
{
    const struct share *s, *found = NULL;
    uint64_t n = 0;

    for (size_t at = 0; (s = view_share_next(l->view, &at));)
        if (lab_below(l, ++n) == 0)
            found = s;
    return found;
}

static void machine_is_lent(struct lab *l)
{
    lend(l, any_node(l), true, 0);
    lab_settle(l, 100);
}

static void machine_is_offered(struct lab *l)
{
    lend(l, any_node(l), false, 0);
}

static void offer_is_taken(struct lab *l)
{
    const struct share *s;

    for (size_t at = 0; (s = view_share_next(l->view, &at));) {
        if (s->guest != l->tailnet || s->accepted_ms)
            continue;
        (void)lab_do(l, (struct command){.type = COMMAND_SHARE_ACCEPT, .id = s->id});
        break;
    }
    lab_settle(l, 100);
}

static void lent_for_a_while(struct lab *l)
{
    lend(l, any_node(l), true, l->now_ms + 5000);
    lab_settle(l, 100);
    if (lab_below(l, 2))
        lab_pass(l, 6000);
}

static void lent_to_each_other(struct lab *l)
{
    struct lab *other = l->others[lab_below(l, l->n_others)];

    lend(l, any_node(l), true, 0);
    lend(other, any_node(other), true, 0);
    lab_settle(l, 100);
}

static void terms_change(struct lab *l)
{
    const struct share *s = some_share(l);
    struct share *next;

    if (!s || s->owner != l->tailnet)
        return;
    next = share_clone(s);
    share_terms_fini(&next->terms);
    random_terms(l, &next->terms);
    next->expiry_ms = lab_below(l, 4) ? 0 : l->now_ms + 3600000;
    (void)lab_do(l, (struct command){.type = COMMAND_SHARE_UPDATE, .id = next->id, .share = next});
    share_unref(next);
}

static void share_is_revoked(struct lab *l)
{
    const struct share *s = some_share(l);

    if (s)
        (void)lab_do(l, (struct command){.type = COMMAND_SHARE_REVOKE, .id = s->id});
}

static void policies_agree(struct lab *l)
{
    lab_settle(l, 100);
}

static void policies_differ(struct lab *l)
{
    lab_settle(l, 50);
}

static void policies_refuse(struct lab *l)
{
    lab_settle(l, 0);
}

#define KIND(name)  \
    {               \
#name, name \
    }
const struct lab_kind lab_share_kinds[] = {
    KIND(machine_is_lent),  KIND(machine_is_offered), KIND(offer_is_taken),
    KIND(lent_for_a_while), KIND(lent_to_each_other), KIND(terms_change),
    KIND(share_is_revoked), KIND(policies_agree),     KIND(policies_differ),
    KIND(policies_refuse),
};
const size_t lab_n_share_kinds = ARRAY_LEN(lab_share_kinds);
