/*
 * Subnet routes: who of those that may serve a prefix does.
 *
 * A node is a candidate for what it announces and an administrator approved. Of the candidates that
 * are online, that nothing holds, and whose key has not expired, one serves:
 *
 *   the present one, while a stream of it lives and it answers when it is asked;
 *   else the lowest id with a living stream that answers;
 *   else the present one, while a stream of it lives;
 *   else the lowest id with a living stream;
 *   else the present one, in its grace;
 *   else the lowest id in its grace; else nobody, and the route is withdrawn.
 *
 * So a node that comes back does not take its route back, a fail-over does not wait for the grace,
 * and when nobody answers (who asks may be the one that is cut off) nothing changes. Exit routes
 * are not elected: every exit node serves them.
 *
 * Whoever shares a route with others is worth asking: domain_each_ha_node.
 *
 * Whatever can change the answer touches the routes it concerns; each touched route is decided
 * once, at the end of the command.
 */

#include "tailnet/domain_internal.h"

static struct str prefix_key(const struct ip_prefix *p)
{
    return str_bytes(p, sizeof(*p));
}

static void touch(struct domain *d, struct route *r)
{
    if (!list_node_is_linked(&r->touched_link))
        list_push_back(&d->touched, &r->touched_link);
}

/* ---- What a node serves ---- */

static void serving_add(struct domain *d, struct node_state *s, struct ip_prefix p)
{
    struct node *n = node_edit(d, s, NODE_CARD);

    n->serving = mem_realloc_array(n->serving, n->n_serving + 1, sizeof(p));
    n->serving[n->n_serving++] = p;
    n->n_serving = ip_prefix_sort_unique(n->serving, n->n_serving);
}

static void serving_remove(struct domain *d, struct node_state *s, struct ip_prefix p)
{
    struct node *n = node_edit(d, s, NODE_CARD);
    size_t kept = 0;

    for (size_t i = 0; i < n->n_serving; i++)
        if (!ip_prefix_eq(n->serving[i], p))
            n->serving[kept++] = n->serving[i];
    n->n_serving = kept;
}

/* ---- Candidates ---- */

static void candidate_add(struct domain *d, struct node_state *s, struct ip_prefix p)
{
    struct map *routes = s->tailnet->routes;
    struct route *r = map_find(routes, prefix_key(&p));

    if (!r) {
        r = NEW(struct route);
        r->prefix = p;
        r->tailnet = s->tailnet;
        list_node_init(&r->shared_link);
        (void)map_put(routes, prefix_key(&p), r);
    }
    r->candidates = mem_room(r->candidates, r->n_candidates, &r->cap, 2, sizeof(*r->candidates));
    r->candidates[r->n_candidates++] = s;
    touch(d, r);
}

/* `stays`: the node does not go with it. */
static void candidate_remove(struct domain *d, struct node_state *s, struct ip_prefix p, bool stays)
{
    struct route *r = map_find(s->tailnet->routes, prefix_key(&p));
    size_t at = 0;

    while (r->candidates[at] != s)
        at++;
    r->candidates[at] = r->candidates[--r->n_candidates];
    if (r->primary == s) {
        r->primary = NULL;
        if (stays)
            serving_remove(d, s, p);
    }
    touch(d, r);
}

static struct ip_prefix *sorted_copy(const struct ip_prefix *items, size_t *n)
{
    struct ip_prefix *copy = mem_alloc_array(*n + 1, sizeof(*copy));

    for (size_t i = 0; i < *n; i++)
        copy[i] = ip_prefix_masked(items[i]);
    *n = ip_prefix_sort_unique(copy, *n);
    return copy;
}

/* Announced and approved: subnets sorted into `out`; *exits counts 0.0.0.0/0 and ::/0. */
static size_t intersect(const struct node *n, struct ip_prefix **out, unsigned *exits)
{
    size_t n_announced = n->facts->n_routes, n_approved = n->n_approved, len = 0;
    struct ip_prefix *announced = sorted_copy(n->facts->routes, &n_announced);
    struct ip_prefix *approved = sorted_copy(n->approved, &n_approved);

    *exits = 0;
    for (size_t i = 0, k = 0; i < n_announced && k < n_approved;) {
        int order = ip_prefix_cmp(announced[i], approved[k]);

        if (order == 0 && ip_prefix_is_exit(announced[i]))
            ++*exits;
        else if (order == 0)
            announced[len++] = announced[i];
        i += order <= 0;
        k += order >= 0;
    }
    mem_free(approved);
    *out = announced;
    return len;
}

void routes_update_node(struct domain *d, struct node_state *s)
{
    const struct node *n = node_now(s);
    struct ip_prefix *now = NULL, *was = s->eligible;
    size_t n_was = s->n_eligible;
    unsigned exits = 0;
    size_t n_now = intersect(n, &now, &exits);

    if (n->exit_node != (exits == 2))
        node_edit(d, s, NODE_CARD)->exit_node = exits == 2;
    s->eligible = now;
    s->n_eligible = n_now;
    for (size_t i = 0, k = 0; i < n_was || k < n_now;) {
        int order = i == n_was ? 1 : k == n_now ? -1 : ip_prefix_cmp(was[i], now[k]);

        if (order < 0)
            candidate_remove(d, s, was[i], true);
        else if (order > 0)
            candidate_add(d, s, now[k]);
        i += order <= 0;
        k += order >= 0;
    }
    mem_free(was);
}

static bool is_approved(const struct node *n, struct ip_prefix p)
{
    for (size_t i = 0; i < n->n_approved; i++)
        if (ip_prefix_eq(n->approved[i], p))
            return true;
    return false;
}

void routes_auto_approve(struct domain *d, struct node_state *s)
{
    const struct node *n = node_now(s);
    const struct node_facts *facts = n->facts;
    const struct user_state *owner = n->user ? map_find_u64(d->user_by_id, n->user) : NULL;
    struct node *draft = NULL;

    for (size_t i = 0; d->hooks.route_is_approved && i < facts->n_routes; i++) {
        struct ip_prefix route = ip_prefix_masked(facts->routes[i]);

        n = node_now(s);
        if (n->n_approved >= NODE_ROUTES_MAX || is_approved(n, route) ||
            !d->hooks.route_is_approved(d->hooks.user, s->tailnet->id, n,
                                        owner ? owner->user : NULL, route))
            continue;
        draft = node_edit(d, s, NODE_PRIVATE);
        draft->approved = mem_realloc_array(draft->approved, draft->n_approved + 1, sizeof(route));
        draft->approved[draft->n_approved++] = route;
    }
    if (!draft)
        return;
    draft->n_approved = ip_prefix_sort_unique(draft->approved, draft->n_approved);
    routes_update_node(d, s);
}

void routes_drop_node(struct domain *d, struct node_state *s)
{
    for (size_t i = 0; i < s->n_eligible; i++)
        candidate_remove(d, s, s->eligible[i], false);
    s->n_eligible = 0;
}

void routes_touch_node(struct domain *d, struct node_state *s)
{
    for (size_t i = 0; i < s->n_eligible; i++)
        touch(d, map_find(s->tailnet->routes, prefix_key(&s->eligible[i])));
}

/* ---- Election ---- */

static bool can_serve(const struct node_state *s)
{
    return s && node_now(s)->online && !node_now(s)->expired && node_has_access(node_now(s));
}

/* 0: it cannot serve; else the more the better. */
static int standing(const struct node_state *s)
{
    if (!can_serve(s))
        return 0;
    return !s->is_live ? 1 : s->is_silent ? 2 : 3;
}

static struct node_state *elect(const struct route *r)
{
    struct node_state *best = r->primary;
    int most = standing(best);

    if (most == 0)
        best = NULL;
    for (size_t i = 0; i < r->n_candidates; i++) {
        struct node_state *s = r->candidates[i];
        int has = standing(s);

        /* The present one stays among its equals; of others the lowest id. */
        if (has > most || (has == most && has > 0 && best != r->primary &&
                           node_now(s)->id < node_now(best)->id)) {
            best = s;
            most = has;
        }
    }
    return best;
}

static void route_free(struct route *r)
{
    list_remove(&r->shared_link);
    mem_free(r->candidates);
    mem_free(r);
}

void routes_elect(struct domain *d)
{
    for (struct list_node *node = list_pop_front(&d->touched); node;
         node = list_pop_front(&d->touched)) {
        struct route *r = CONTAINER_OF(node, struct route, touched_link);
        struct node_state *next = elect(r);

        if (next != r->primary) {
            if (r->primary)
                serving_remove(d, r->primary, r->prefix);
            if (next)
                serving_add(d, next, r->prefix);
            r->primary = next;
        }
        list_remove(&r->shared_link);
        if (r->n_candidates > 1)
            list_push_back(&d->shared, &r->shared_link);
        if (r->n_candidates > 0)
            continue;
        (void)map_remove(r->tailnet->routes, prefix_key(&r->prefix));
        route_free(r);
    }
}

static bool is_asked(const struct node_state *s)
{
    return can_serve(s) && s->is_live;
}

static void each_of(const struct route *r, void (*each)(void *user, const struct domain_ha_node *n),
                    void *user)
{
    size_t live = 0;

    for (size_t i = 0; i < r->n_candidates; i++)
        live += is_asked(r->candidates[i]);
    for (size_t i = 0; live > 1 && i < r->n_candidates; i++) {
        const struct node_state *s = r->candidates[i];
        const struct domain_ha_node n = {.tailnet = r->tailnet->id,
                                         .node = s->node->id,
                                         .generation = s->generation,
                                         .opened_ms = s->opened_ms,
                                         .is_silent = s->is_silent};

        if (is_asked(s))
            each(user, &n);
    }
}

void domain_each_ha_node(const struct domain *d,
                         void (*each)(void *user, const struct domain_ha_node *n), void *user)
{
    LIST_FOR_EACH(r, &d->shared, struct route, shared_link)
        each_of(r, each, user);
}

void routes_free(struct tailnet *t)
{
    struct str key;
    void *value;

    for (size_t at = 0; map_next(t->routes, &at, &key, &value);)
        route_free(value);
    map_free(t->routes);
}
