/*
 * The policy of a tailnet that was given none: everybody sees everybody, but for the nodes that
 * something holds back (enum node_hold), which it therefore remembers, and nothing else.
 *
 * Cost: a view from scratch is looked through once; later what changed.
 */

#include "policy/policy_internal.h"

#include <string.h>

struct held {
    node_id *items;
    size_t len;
    size_t cap;
};

static void add(struct held *h, node_id id)
{
    if (h->len == h->cap) {
        h->cap = MAX(h->cap * 2, (size_t)8);
        h->items = mem_realloc_array(h->items, h->cap, sizeof *h->items);
    }
    h->items[h->len++] = id;
}

static int by_id(const void *a, const void *b)
{
    const node_id *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static bool have(const node_id *ids, size_t n, node_id id)
{
    return n && bsearch(&id, ids, n, sizeof id, by_id);
}

bool open_holds(const struct policy *p, node_id id)
{
    return have(p->held, p->n_held, id);
}

static bool is_held(const struct tailnet_view *view, node_id id)
{
    const struct node *n = view_node_find(view, id);

    return n && !node_has_access(n);
}

static bool may_move(const struct policy_input *in, const struct change *c)
{
    return c->tailnet == view_info(in->view)->id &&
           (c->kind == CHANGE_NODE_REMOVED ||
            (c->kind == CHANGE_NODE && (c->mask & (NODE_NEW | NODE_ACCESS))));
}

/* Those of before that are so still, and whoever joined them. */
static void follow(const struct policy_input *in, struct held *out)
{
    for (size_t i = 0; i < in->before->n_held; i++)
        if (is_held(in->view, in->before->held[i]))
            add(out, in->before->held[i]);
    for (size_t i = 0; i < in->n_changes; i++)
        if (may_move(in, &in->changes[i]) && is_held(in->view, in->changes[i].id))
            add(out, in->changes[i].id);
}

static void look_through(const struct tailnet_view *view, struct held *out)
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(view, &at));)
        if (!node_has_access(n))
            add(out, n->id);
}

static void sort(struct held *h)
{
    size_t kept = 0;

    if (h->len)
        qsort(h->items, h->len, sizeof *h->items, by_id);
    for (size_t i = 0; i < h->len; i++)
        if (kept == 0 || h->items[kept - 1] != h->items[i])
            h->items[kept++] = h->items[i];
    h->len = kept;
}

static bool is_as_before(const struct policy *before, const struct held *h)
{
    return before->n_held == h->len &&
           (h->len == 0 || memcmp(before->held, h->items, h->len * sizeof *h->items) == 0);
}

const struct policy *open_compile(const struct policy_input *in)
{
    const struct policy *before = in->before && in->before->is_open ? in->before : NULL;
    struct held held = {0};
    struct policy *p;

    if (before)
        follow(in, &held);
    else
        look_through(in->view, &held);
    sort(&held);
    if (before && is_as_before(before, &held)) {
        mem_free(held.items);
        return policy_ref(before);
    }
    p = policy_empty();
    p->is_open = true;
    p->held = held.items;
    p->n_held = held.len;
    return p;
}
