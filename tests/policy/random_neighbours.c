/* Guests are clones with other ids and addresses; own nodes are cloned where they have an abroad.
 */

#include "random_neighbours.h"

#include "made_view.h"

static bool chance(struct random_neighbours *t, uint64_t percent)
{
    return random_chance(&t->here.rand, percent);
}

static uint64_t below(struct random_neighbours *t, uint64_t n)
{
    return random_below(&t->here.rand, n);
}

/* ---- Terms ---- */

static void some_terms(struct random_neighbours *t, struct share_terms *out)
{
    static const struct share_ports all[] = {{22, 22}, {80, 90}, {443, 443}, {1000, 1999}};
    struct err err;

    *out = (struct share_terms){
        .exit_node = chance(t, 40), .all_routes = chance(t, 30), .two_way = chance(t, 30)};
    out->routes = mem_alloc_array(random_n_routes, sizeof *out->routes);
    out->ports = mem_alloc_array(ARRAY_LEN(all), sizeof *out->ports);
    for (size_t i = 0; i < random_n_routes; i++)
        if (!out->all_routes && chance(t, 20) &&
            ip_prefix_parse(str_from(random_routes[i]), &out->routes[out->n_routes]))
            out->n_routes++;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (chance(t, 15))
            out->ports[out->n_ports++] = all[i];
    if (share_terms_check(out, &err) < 0)
        ASSERT(false && "terms");
}

/* ---- The view ---- */

static int by_node(const void *a, const void *b)
{
    const struct abroad_item *x = a, *y = b;

    return (x->node > y->node) - (x->node < y->node);
}

/* NULL: nothing is to be said of the node. */
static struct abroad *abroad_of(const struct random_neighbours *t, node_id id, tailnet_id other)
{
    struct abroad *a = abroad_new();

    a->items = mem_alloc_array(t->n_items, sizeof *a->items);
    for (size_t i = 0; i < t->n_items; i++) {
        const struct random_item *x = &t->items[i];

        a->is_lent = a->is_lent || x->to == id;
        if (x->from != id)
            continue;
        a->items[a->n_items] = (struct abroad_item){.node = x->to, .tailnet = other};
        share_terms_copy(&a->items[a->n_items++].terms, &x->terms);
    }
    if (a->n_items)
        qsort(a->items, a->n_items, sizeof *a->items, by_node);
    if (t->aliased == id) {
        a->aliases = NEW(struct abroad_alias);
        a->aliases[a->n_aliases++] =
            (struct abroad_alias){.tailnet = other, .v4 = IP_ADDR_V4(100, 99, 0, 1)};
    }
    if (abroad_eq(a, NULL)) {
        abroad_unref(a);
        return NULL;
    }
    return a;
}

static struct node *own_node(const struct random_neighbours *t, const struct node *n)
{
    struct abroad *a = abroad_of(t, n->id, NEIGHBOUR);
    struct node *copy;

    if (!a)
        return node_ref(n);
    copy = node_clone(n);
    copy->abroad = a;
    return copy;
}

static struct node *guest_of(const struct random_neighbours *t, const struct node *n)
{
    struct node *g = node_clone(n);

    g->id = n->id + NEIGHBOUR_IDS;
    g->tailnet = NEIGHBOUR;
    g->user = n->user ? n->user + NEIGHBOUR_IDS : 0;
    if (ip_addr_is_set(n->v4))
        g->v4 = IP_ADDR_V4(100, n->id % 5 ? 64 : 115, n->id % 5 ? 7 : 92, (uint8_t)n->id);
    if (ip_addr_is_set(n->v6))
        g->v6.bytes[14] = 7;
    g->abroad = abroad_of(t, g->id, 1);
    return g;
}

static void put_guests(const struct random_neighbours *t, struct made_view *m)
{
    size_t n_users = 0, at = 0;
    const struct user *const *list = view_users(t->there.view, &n_users);
    const struct node *n;

    if (t->are_away)
        return;
    while ((n = view_node_next(t->there.view, &at)))
        table_put(&m->guests, n->id + NEIGHBOUR_IDS, guest_of(t, n));
    for (size_t i = 0; i < n_users; i++) {
        struct user *u = user_clone(list[i]);

        u->id += NEIGHBOUR_IDS;
        u->tailnet = NEIGHBOUR;
        table_put(&m->guest_users, u->id, u);
    }
    table_put(&m->infos, NEIGHBOUR, tailnet_info_ref(t->there_info));
}

static void look(struct random_neighbours *t)
{
    const struct tailnet_view *old = t->view, *here = t->here.view;
    size_t n_users = 0, at = 0;
    const struct user *const *list = view_users(here, &n_users);
    const struct node *n;
    struct made_view m;

    made_view_begin(&m);
    while ((n = view_node_next(here, &at)))
        table_put(&m.nodes, n->id, own_node(t, n));
    for (size_t i = 0; i < n_users; i++)
        table_put(&m.users, list[i]->id, user_ref(list[i]));
    put_guests(t, &m);
    t->view = made_view_end(&m, here);
    view_unref(old);
}

/* ---- What happened ---- */

static void tell(struct random_neighbours *t, enum change_kind kind, uint64_t id, unsigned mask)
{
    change_list_add(&t->changes, (struct change){.kind = kind,
                                                 .tailnet = 1,
                                                 .id = id,
                                                 .mask = mask,
                                                 .revision = view_revision(t->here.view)});
}

static void tell_abroad(struct random_neighbours *t, const struct tailnet_view *before)
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(t->view, &at));) {
        const struct node *was = view_node_find(before, n->id);

        if (!abroad_eq(was ? was->abroad : NULL, n->abroad))
            tell(t, CHANGE_NODE, n->id, NODE_ABROAD);
    }
    for (size_t at = 0; (n = view_guest_next(t->view, &at));) {
        const struct node *was = view_guest_find(before, n->id);

        if (!was)
            tell(t, CHANGE_GUEST, n->id, NODE_NEW);
        else if (!abroad_eq(was->abroad, n->abroad))
            tell(t, CHANGE_GUEST, n->id, NODE_ABROAD);
    }
    for (size_t at = 0; (n = view_guest_next(before, &at));)
        if (!view_guest_find(t->view, n->id))
            tell(t, CHANGE_GUEST_REMOVED, n->id, 0);
}

/* What happens to machines and people there is told of guests here. */
static void tell_of_guests(struct random_neighbours *t)
{
    for (size_t i = 0; i < t->there.changes.len && !t->are_away; i++) {
        const struct change *c = &t->there.changes.items[i];

        if (c->kind == CHANGE_NODE)
            tell(t, CHANGE_GUEST, c->id + NEIGHBOUR_IDS, c->mask);
        else if (c->kind == CHANGE_USER || c->kind == CHANGE_USER_REMOVED)
            tell(t, CHANGE_GUEST_USER, c->id + NEIGHBOUR_IDS, 0);
    }
}

/* ---- Things that happen ---- */

static node_id some_own(struct random_neighbours *t)
{
    const struct node *n = random_node(&t->here);

    return n ? n->id : 1;
}

static node_id some_guest(struct random_neighbours *t)
{
    const struct node *n = random_node(&t->there);

    return NEIGHBOUR_IDS + (n ? n->id : 1);
}

static void drop_item(struct random_neighbours *t)
{
    size_t i = below(t, t->n_items);

    share_terms_fini(&t->items[i].terms);
    t->items[i] = t->items[--t->n_items];
}

static void add_item(struct random_neighbours *t)
{
    struct random_item x = {.from = some_own(t), .to = some_guest(t)};

    if (chance(t, 60))
        x = (struct random_item){.from = x.to, .to = x.from};
    for (size_t i = 0; i < t->n_items; i++)
        if (t->items[i].from == x.from && t->items[i].to == x.to)
            return;
    if (t->n_items == ITEMS_MAX)
        drop_item(t);
    /* Often the same, so that machines share a class. */
    if (t->n_items && chance(t, 40))
        share_terms_copy(&x.terms, &t->items[below(t, t->n_items)].terms);
    else
        some_terms(t, &x.terms);
    t->items[t->n_items++] = x;
}

static void something_happens(struct random_neighbours *t)
{
    uint64_t what = below(t, 100);

    if (what < 30) {
        add_item(t);
    } else if (what < 42 && t->n_items) {
        drop_item(t);
    } else if (what < 48) {
        t->aliased = chance(t, 50) ? some_own(t) : 0;
    } else if (what < 53) {
        t->are_away = !t->are_away;
    } else if (what < 75) {
        random_tailnet_step(&t->there);
    } else {
        random_tailnet_step(&t->here);
    }
}

void random_neighbours_step(struct random_neighbours *t)
{
    const struct tailnet_view *before = view_ref(t->view);

    change_list_clear(&t->here.changes);
    change_list_clear(&t->there.changes);
    something_happens(t);
    look(t);
    for (size_t i = 0; i < t->here.changes.len; i++)
        change_list_add(&t->changes, t->here.changes.items[i]);
    tell_of_guests(t);
    tell_abroad(t, before);
    view_unref(before);
}

void random_neighbours_init(struct random_neighbours *t, uint64_t seed)
{
    *t = (struct random_neighbours){0};
    random_tailnet_init(
        &t->here, (struct random_tailnet_options){.seed = seed, .max_nodes = 7, .holds = true});
    random_tailnet_init(&t->there, (struct random_tailnet_options){
                                       .seed = seed + 77777, .max_nodes = 5, .holds = true});
    t->there_info = tailnet_info_clone(view_info(t->there.view));
    t->there_info->id = NEIGHBOUR;
    str_free(&t->there_info->name);
    t->there_info->name = str_copy(STR("other"));
    for (uint64_t n = below(t, 14); n > 0; n--)
        add_item(t);
    t->are_away = chance(t, 10);
    look(t);
}

void random_neighbours_fini(struct random_neighbours *t)
{
    while (t->n_items)
        drop_item(t);
    view_unref(t->view);
    change_list_fini(&t->changes);
    tailnet_info_unref(t->there_info);
    random_tailnet_fini(&t->here);
    random_tailnet_fini(&t->there);
}

void random_neighbours_put(const struct random_neighbours *t, struct buf *out)
{
    random_tailnet_put(&t->here, out);
    buf_printf(out, "and there, ids %d less:%s\n", NEIGHBOUR_IDS, t->are_away ? " (away)" : "");
    random_tailnet_put(&t->there, out);
    for (size_t i = 0; i < t->n_items; i++) {
        const struct share_terms *terms = &t->items[i].terms;

        buf_printf(out, "%llu -> %llu%s%s", (unsigned long long)t->items[i].from,
                   (unsigned long long)t->items[i].to, terms->exit_node ? " exit" : "",
                   terms->all_routes ? " all routes" : "");
        for (size_t k = 0; k < terms->n_routes; k++) {
            buf_put_char(out, ' ');
            ip_prefix_put(out, terms->routes[k]);
        }
        for (size_t k = 0; k < terms->n_ports; k++)
            buf_printf(out, " %u-%u", terms->ports[k].first, terms->ports[k].last);
        buf_put_char(out, '\n');
    }
}
