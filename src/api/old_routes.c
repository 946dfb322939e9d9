/*
 * Routes by number, as headscale had them up to 0.25 (headscale.md 3.4): lists, enable, disable,
 * delete. Consoles and gRPC clients of that time ask for them. See tailnet/route_id.h.
 */

#include "api/api_internal.h"
#include "tailnet/route_id.h"

static bool has(const struct ip_prefix *list, size_t n, struct ip_prefix p)
{
    for (size_t i = 0; i < n; i++)
        if (ip_prefix_eq(ip_prefix_masked(list[i]), p))
            return true;
    return false;
}

/* The i-th route of the node, announced or approved; false past the last. */
static bool route_at(const struct node *n, size_t i, struct ip_prefix *p)
{
    const struct node_facts *facts = n->facts;

    if (i < facts->n_routes) {
        *p = ip_prefix_masked(facts->routes[i]);
        return true;
    }
    if (i - facts->n_routes >= n->n_approved)
        return false;
    *p = ip_prefix_masked(n->approved[i - facts->n_routes]);
    return true;
}

/* Once, at its first place. */
static bool is_first(const struct node *n, size_t i, struct ip_prefix p)
{
    return i < n->facts->n_routes ? !has(n->facts->routes, i, p)
                                  : !has(n->facts->routes, n->facts->n_routes, p) &&
                                        !has(n->approved, i - n->facts->n_routes, p);
}

static void put_routes(struct json_writer *w, const struct tailnet_view *view, const struct node *n)
{
    struct ip_prefix p;

    for (size_t i = 0; route_at(n, i, &p); i++) {
        if (!is_first(n, i, p))
            continue;
        bool announced = has(n->facts->routes, n->facts->n_routes, p);
        bool enabled = has(n->approved, n->n_approved, p);

        json_begin_object(w);
        api_field_id(w, STR("id"), route_id(n->id, p));
        json_key(w, STR("node"));
        api_put_node(w, view, n);
        json_key(w, STR("prefix"));
        json_begin_plain(w);
        ip_prefix_put(w->out, p);
        json_end_plain(w);
        json_field_bool(w, STR("advertised"), announced);
        json_field_bool(w, STR("enabled"), enabled);
        json_field_bool(w, STR("isPrimary"), has(n->serving, n->n_serving, p));
        json_field_time(w, STR("createdAt"), n->created_ms);
        json_field_time(w, STR("updatedAt"), n->created_ms);
        json_field_null(w, STR("deletedAt"));
        json_end_object(w);
    }
}

/* `only` NULL: of every node. */
static void answer(struct api_call *c, const struct node *only)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct node *n;

    json_begin_object(&w);
    json_field_array(&w, STR("routes"));
    for (size_t at = 0; (n = view_node_next(c->view, &at));)
        if (!only || n == only)
            put_routes(&w, c->view, n);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_routes_list(struct api_call *c)
{
    answer(c, NULL);
}

void api_node_routes_list(struct api_call *c)
{
    uint64_t id = 0;

    if (!api_path_id(c, "nodeId", &id))
        return;
    const struct node *n = view_node_find(c->view, id);
    if (n)
        answer(c, n);
    else
        api_problem(c, 404, "node not found", NULL);
}

/* The node and the prefix of the number in the path; NULL: answered. */
static const struct node *find_route(struct api_call *c, struct ip_prefix *p)
{
    const struct node *n;
    uint64_t id = 0;

    if (!api_path_id(c, "routeId", &id))
        return NULL;
    for (size_t at = 0; (n = view_node_next(c->view, &at));)
        for (size_t i = 0; route_at(n, i, p); i++)
            if (route_id(n->id, *p) == id)
                return n;
    api_problem(c, 404, "route not found", NULL);
    return NULL;
}

/* What is approved, with the route or without it; exit routes go together. */
static void approve(struct api_call *c, bool with)
{
    struct ip_prefix p;
    const struct node *n = find_route(c, &p);

    if (!n)
        return;
    struct command *command = api_command(c, COMMAND_NODE_APPROVE_ROUTES);
    struct ip_prefix *routes = arena_alloc(api_arena(c), (n->n_approved + 1) * sizeof(*routes));
    size_t len = 0;

    for (size_t i = 0; i < n->n_approved; i++)
        if (!ip_prefix_eq(n->approved[i], p) &&
            !(ip_prefix_is_exit(p) && ip_prefix_is_exit(n->approved[i])))
            routes[len++] = n->approved[i];
    if (with)
        routes[len++] = p;
    command->id = n->id;
    command->routes = routes;
    command->n_routes = len;
    api_submit(c, api_done_empty);
}

void api_route_enable(struct api_call *c)
{
    approve(c, true);
}

void api_route_disable(struct api_call *c)
{
    approve(c, false);
}
