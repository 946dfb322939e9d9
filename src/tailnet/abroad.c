/*
 * What nodes may use of other tailnets' nodes.
 *
 * Who that is the server decides, with both policies (COMMAND_NODE_ABROAD); how far is said here,
 * by the shares in force, and what none of them covers goes in the command that ends it.
 *
 *   x has an item for y    iff told so, and y is lent to x, or x to y's owner and two_way, and
 *                          nothing holds either
 *   y.is_lent              iff y.used_by is not empty
 */

#include "tailnet/domain_internal.h"

static bool is_leaving(const struct node_state *s)
{
    return s->outside && s->outside->is_leaving;
}

/* Of two shares what either allows; the sharer of the older one. */
static void add_terms(struct abroad_item *item, bool *any, const struct share_terms *terms)
{
    if (*any)
        share_terms_add(&item->terms, terms);
    else
        share_terms_copy(&item->terms, terms);
    *any = true;
}

/* Whether shares in force let x begin connections to y; then *out is how far, its terms owned. */
static bool covers(const struct domain *d, const struct node_state *x, const struct node_state *y,
                   struct abroad_item *out)
{
    const struct node *nx = node_now(x), *ny = node_now(y);
    const struct share *all = share_in_force(d, ny->id, nx->tailnet, 0);
    const struct share *own = nx->user ? share_in_force(d, ny->id, nx->tailnet, nx->user) : NULL;
    const struct share *back_all = share_in_force(d, nx->id, ny->tailnet, 0);
    const struct share *back_own =
        ny->user ? share_in_force(d, nx->id, ny->tailnet, ny->user) : NULL;
    bool any = false;

    *out = (struct abroad_item){.node = ny->id, .tailnet = ny->tailnet};
    if (is_leaving(x) || is_leaving(y) || !node_has_access(nx) || !node_has_access(ny))
        return false;
    if (all)
        add_terms(out, &any, &all->terms);
    if (own)
        add_terms(out, &any, &own->terms);
    if (all || own)
        out->sharer = (!own || (all && all->id < own->id) ? all : own)->sharer;
    for (int i = 0; i < 2; i++) {
        const struct share *back = i == 0 ? back_all : back_own;

        /* Ports bind both directions; exit node and routes are those of the lent node alone. */
        if (back && back->terms.two_way)
            add_terms(
                out, &any,
                &(struct share_terms){.ports = back->terms.ports, .n_ports = back->terms.n_ports});
    }
    out->terms.two_way = false;
    return any;
}

/* ---- Setting ---- */

static void free_items(struct abroad_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        share_terms_fini(&items[i].terms);
    mem_free(items);
}

static int cmp_alias(const void *a, const void *b)
{
    const struct abroad_alias *x = a, *y = b;

    return (x->tailnet > y->tailnet) - (x->tailnet < y->tailnet);
}

static void put_aliases(struct abroad *a, const struct outside *o)
{
    size_t n = 0;

    LIST_FOR_EACH(stay, &o->stays, struct stay, node_link) {
        n += stay->v4.is_alias || stay->v6.is_alias;
    }
    a->aliases = n > 0 ? mem_alloc_array(n, sizeof(*a->aliases)) : NULL;
    LIST_FOR_EACH(stay, &o->stays, struct stay, node_link) {
        if (!stay->v4.is_alias && !stay->v6.is_alias)
            continue;
        a->aliases[a->n_aliases++] = (struct abroad_alias){
            .tailnet = stay->in->id,
            .v4 = stay->v4.is_alias ? stay->v4.addr : (struct ip_addr){0},
            .v6 = stay->v6.is_alias ? stay->v6.addr : (struct ip_addr){0},
        };
    }
    if (n > 1)
        qsort(a->aliases, n, sizeof(*a->aliases), cmp_alias);
}

/* Takes the items, sorted. */
static void set(struct domain *d, struct node_state *s, struct abroad_item *items, size_t n)
{
    AUTO(abroad_unref) const struct abroad *owned = NULL;
    struct abroad *a = abroad_new();

    owned = a;
    a->items = items;
    a->n_items = n;
    if (s->outside) {
        put_aliases(a, s->outside);
        a->is_lent = s->outside->used_by && map_len(s->outside->used_by) > 0;
    }
    if (is_leaving(s) || abroad_eq(a, node_now(s)->abroad))
        return;
    struct node *draft = node_edit(d, s, NODE_ABROAD);
    abroad_unref(draft->abroad);
    draft->abroad = abroad_eq(a, NULL) ? NULL : TAKE(owned);
}

static struct abroad_item *copy_items(const struct abroad *a)
{
    struct abroad_item *items = NULL;

    if (!a || a->n_items == 0)
        return NULL;
    items = mem_dup(a->items, a->n_items * sizeof(*items));
    for (size_t i = 0; i < a->n_items; i++)
        share_terms_copy(&items[i].terms, &a->items[i].terms);
    return items;
}

void abroad_refresh(struct domain *d, struct node_state *s)
{
    const struct abroad *a = node_now(s)->abroad;

    set(d, s, copy_items(a), a ? a->n_items : 0);
}

/* x begins to have an item for y, or ceases to. */
static void use(struct domain *d, struct node_state *x, struct node_state *y, bool add)
{
    struct outside *o = outside_of(y);
    node_id id = node_now(x)->id;

    if (!o->used_by)
        o->used_by = map_new();
    if (add)
        (void)map_put_u64(o->used_by, id, x);
    else
        (void)map_remove_u64(o->used_by, id);
    if (map_len(o->used_by) == (add ? 1 : 0))
        abroad_refresh(d, y);
}

/*
 * Gives x items for the `wanted` nodes (sorted, none twice) as far as they are covered. `old` is
 * what it has; the nodes in it know.
 */
static void assign(struct domain *d, struct node_state *x, const struct abroad *old,
                   const node_id *wanted, size_t n)
{
    struct abroad_item *items = n > 0 ? mem_alloc_array(n, sizeof(*items)) : NULL;
    AUTO(abroad_unref) const struct abroad *before = abroad_ref(old);
    struct abroad now = {.items = items};

    for (size_t i = 0; i < n; i++) {
        struct node_state *y = node_state_by_id(d, wanted[i]);

        if (y && y->tailnet != x->tailnet && covers(d, x, y, &items[now.n_items]))
            now.n_items++;
    }
    /* Who comes and who goes is known before the items are handed over. */
    node_id *gone = mem_alloc_array((before ? before->n_items : 0) + 1, sizeof(*gone));
    node_id *come = mem_alloc_array(now.n_items + 1, sizeof(*come));
    size_t n_gone = 0, n_come = 0;
    for (size_t i = 0; before && i < before->n_items; i++)
        if (!abroad_find(&now, before->items[i].node))
            gone[n_gone++] = before->items[i].node;
    for (size_t i = 0; i < now.n_items; i++)
        if (!abroad_find(before, items[i].node))
            come[n_come++] = items[i].node;
    if (is_leaving(x))
        free_items(items, now.n_items);
    else
        set(d, x, items, now.n_items);
    for (size_t i = 0; i < n_gone; i++)
        use(d, x, node_state_by_id(d, gone[i]), false);
    for (size_t i = 0; i < n_come; i++)
        use(d, x, node_state_by_id(d, come[i]), true);
    mem_free(gone);
    mem_free(come);
}

void abroad_recheck(struct domain *d, struct node_state *s)
{
    const struct abroad *a = node_now(s)->abroad;

    if (!a || a->n_items == 0)
        return;
    node_id *wanted = mem_alloc_array(a->n_items, sizeof(*wanted));
    for (size_t i = 0; i < a->n_items; i++)
        wanted[i] = a->items[i].node;
    assign(d, s, a, wanted, a->n_items);
    mem_free(wanted);
}

void abroad_recheck_users(struct domain *d, struct node_state *s)
{
    struct map *used_by = s->outside ? s->outside->used_by : NULL;
    size_t n = 0, len = used_by ? map_len(used_by) : 0;
    struct node_state **users;
    struct str key;
    void *value;

    if (len == 0)
        return;
    users = mem_alloc_array(len, sizeof(struct node_state *));
    for (size_t at = 0; map_next(used_by, &at, &key, &value);)
        users[n++] = value;
    for (size_t i = 0; i < n; i++)
        abroad_recheck(d, users[i]);
    mem_free(users);
}

/* ---- The command ---- */

static int cmp_ids(const void *a, const void *b)
{
    const node_id *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int node_set_abroad(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err)
{
    struct node_state *s = node_state_by_id(d, c->id);
    size_t n = c->abroad ? c->abroad->n_items : 0, kept = 0;

    (void)r;
    if (!s)
        return err_set(err, ERR_NOT_FOUND, "node not found");
    d->subject = s;
    node_id *wanted = mem_alloc_array(n + 1, sizeof(*wanted));
    for (size_t i = 0; i < n; i++)
        wanted[i] = c->abroad->items[i].node;
    qsort(wanted, n, sizeof(*wanted), cmp_ids);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || wanted[i] != wanted[i - 1])
            wanted[kept++] = wanted[i];
    assign(d, s, node_now(s)->abroad, wanted, kept);
    mem_free(wanted);
    return 0;
}
