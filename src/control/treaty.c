/* See treaty.h. */

#include "control/treaty.h"

#include <stdlib.h>

/* One node may use another. */
struct pair {
    node_id from;
    node_id to;
};

struct pairs {
    struct pair *items;
    size_t len;
    size_t cap;
};

static void pairs_add(struct pairs *p, node_id from, node_id to)
{
    p->items = mem_room(p->items, p->len, &p->cap, 64, sizeof *p->items);
    p->items[p->len++] = (struct pair){from, to};
}

static int pair_cmp(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;

    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return x->to < y->to ? -1 : x->to > y->to;
}

static bool both_agree(const struct treaty_side *x, const struct treaty_side *y, node_id from,
                       node_id to)
{
    return policy_would_reach(x->policy, from, to) && policy_would_reach(y->policy, from, to);
}

static bool is_covered(const struct share *s, const struct node *device)
{
    return s->user == 0 || device->user == s->user;
}

/* A machine that is lent to `of`. */
struct loan {
    user_id user; /* 0: to all */
    node_id node;
    struct treaty_side owner;
};

struct loans {
    struct loan *items; /* by user */
    size_t len;
    size_t cap;
};

static void loans_add(const struct treaty_terms *t, const struct share *s, struct loans *l)
{
    struct loan loan = {s->user, s->node, t->side(t->user, s->owner)};

    if (!loan.owner.view || !loan.owner.policy)
        return;
    l->items = mem_room(l->items, l->len, &l->cap, 16, sizeof *l->items);
    l->items[l->len++] = loan;
}

static int loan_cmp(const void *a, const void *b)
{
    const struct loan *x = a, *y = b;

    return x->user < y->user ? -1 : x->user > y->user;
}

/* The device goes to what is lent to that user. */
static void look_as_guest(const struct treaty_terms *t, const struct loans *l, user_id user,
                          const struct node *device, struct pairs *out)
{
    size_t low = 0, high = l->len;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (l->items[mid].user < user)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < l->len && l->items[low].user == user; low++)
        if (both_agree(&t->of, &l->items[low].owner, device->id, l->items[low].node))
            pairs_add(out, device->id, l->items[low].node);
}

static void look_as_guests(const struct treaty_terms *t, struct loans *l, struct pairs *out)
{
    const struct node *device;

    if (l->len == 0)
        return;
    qsort(l->items, l->len, sizeof *l->items, loan_cmp);
    for (size_t at = 0; (device = view_node_next(t->of.view, &at));) {
        look_as_guest(t, l, 0, device, out);
        if (device->user)
            look_as_guest(t, l, device->user, device, out);
    }
}

/* A machine of `of` that is lent both ways goes to the guests' devices. */
static void look_as_owner(const struct treaty_terms *t, const struct share *s, struct pairs *out)
{
    struct treaty_side guest = t->side(t->user, s->guest);
    const struct node *device;

    if (!guest.view || !guest.policy || !s->terms.two_way)
        return;
    for (size_t at = 0; (device = view_node_next(guest.view, &at));)
        if (is_covered(s, device) && both_agree(&t->of, &guest, s->node, device->id))
            pairs_add(out, s->node, device->id);
}

static struct pairs agreed(const struct treaty_terms *t)
{
    tailnet_id self = view_info(t->of.view)->id;
    const struct share *s;
    struct pairs all = {0};
    struct loans loans = {0};
    size_t kept = 0;

    for (size_t at = 0; (s = view_share_next(t->of.view, &at));) {
        if (s->accepted_ms == 0)
            continue;
        if (s->guest == self)
            loans_add(t, s, &loans);
        else
            look_as_owner(t, s, &all);
    }
    look_as_guests(t, &loans, &all);
    mem_free(loans.items);
    if (all.len > 0)
        qsort(all.items, all.len, sizeof *all.items, pair_cmp);
    for (size_t i = 0; i < all.len; i++)
        if (kept == 0 || pair_cmp(&all.items[kept - 1], &all.items[i]) != 0)
            all.items[kept++] = all.items[i];
    all.len = kept;
    return all;
}

/* Whether the node has just these. */
static bool has(const struct node *n, const struct pair *pairs, size_t len)
{
    if (!n->abroad)
        return len == 0;
    if (n->abroad->n_items != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (n->abroad->items[i].node != pairs[i].to)
            return false;
    return true;
}

static void tell(const struct treaty_terms *t, const struct node *n, const struct pair *pairs,
                 size_t len)
{
    struct abroad *wanted = abroad_new();

    wanted->items = mem_alloc_array(len, sizeof *wanted->items);
    wanted->n_items = len;
    for (size_t i = 0; i < len; i++)
        wanted->items[i] = (struct abroad_item){.node = pairs[i].to};
    t->each(t->user, n, wanted);
    abroad_unref(wanted);
}

void treaty_look(const struct treaty_terms *t)
{
    struct pairs all;
    const struct node *n;
    size_t i = 0;

    if (!t->of.view || !t->of.policy)
        return;
    all = agreed(t);
    for (size_t at = 0; (n = view_node_next(t->of.view, &at));) {
        while (i < all.len && all.items[i].from < n->id)
            i++;
        size_t from = i;
        while (i < all.len && all.items[i].from == n->id)
            i++;
        if (!has(n, all.items + from, i - from))
            tell(t, n, all.items + from, i - from);
    }
    mem_free(all.items);
}

static int id_cmp(const void *a, const void *b)
{
    const tailnet_id *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

tailnet_id *treaty_partners(const struct tailnet_view *view, size_t *n)
{
    tailnet_id self = view_info(view)->id, *ids = NULL;
    size_t len = 0, cap = 0, kept = 0;
    const struct share *s;

    for (size_t at = 0; (s = view_share_next(view, &at));) {
        if (s->accepted_ms == 0)
            continue;
        ids = mem_room(ids, len, &cap, 16, sizeof *ids);
        ids[len++] = s->owner == self ? s->guest : s->owner;
    }
    if (len > 0)
        qsort(ids, len, sizeof *ids, id_cmp);
    for (size_t i = 0; i < len; i++)
        if (kept == 0 || ids[kept - 1] != ids[i])
            ids[kept++] = ids[i];
    *n = kept;
    return ids;
}
