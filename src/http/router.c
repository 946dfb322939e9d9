/*
 * Router: from a method and a path to a route.
 *
 * Patterns are a tree of segments. A node has literal children, at most one parameter child and at
 * most one rest child ("*"); routes hang on the node where their pattern ends. The walk tries the
 * literal child first, then the parameter, then the rest, and goes back when a branch has no route
 * for the method. Depth is that of the patterns, and each node is visited once at most per request,
 * so a path cannot make the walk dear.
 */

#include "http/http_internal.h"

struct node {
    struct str literal; /* of a literal child; borrowed from the pattern */
    struct node *next;  /* sibling literal */
    struct node *literals;
    struct node *param;
    struct node *rest;
    const struct http_route **routes;
    size_t n_routes;
};

struct router {
    struct node *root;
};

static bool segment_is_param(struct str s)
{
    return s.len >= 2 && s.ptr[0] == '{' && s.ptr[s.len - 1] == '}';
}

static struct node *node_literal(const struct node *n, struct str segment)
{
    for (struct node *child = n->literals; child; child = child->next)
        if (str_eq(child->literal, segment))
            return child;
    return NULL;
}

static struct node *node_child(struct node *n, struct str segment, bool is_last)
{
    struct node **slot = NULL;

    if (is_last && str_eq(segment, STR("*")))
        slot = &n->rest;
    else if (segment_is_param(segment))
        slot = &n->param;
    if (slot) {
        if (!*slot)
            *slot = NEW(struct node);
        return *slot;
    }
    struct node *child = node_literal(n, segment);

    if (!child) {
        child = NEW(struct node);
        child->literal = segment;
        child->next = n->literals;
        n->literals = child;
    }
    return child;
}

static void node_free(struct node *n)
{
    if (!n)
        return;
    for (struct node *child = n->literals; child;) {
        struct node *next = child->next;

        node_free(child);
        child = next;
    }
    node_free(n->param);
    node_free(n->rest);
    mem_free(n->routes);
    mem_free(n);
}

/* Takes the next segment off a path without its leading '/'; false at the end. */
static bool next_segment(struct str *rest, bool *more, struct str *segment)
{
    if (!*more)
        return false;
    struct str tail = STR_NONE;

    *more = str_split(*rest, '/', segment, &tail);
    *rest = tail;
    return true;
}

struct router *router_new(const struct http_route *routes, size_t n)
{
    struct router *r = NEW(struct router);

    r->root = NEW(struct node);
    for (size_t i = 0; i < n; i++) {
        struct str rest = str_from(routes[i].pattern);
        struct node *at = r->root;
        struct str segment;
        bool more = true;

        ASSERT(rest.len > 0 && rest.ptr[0] == '/');
        rest = str_from_index(rest, 1);
        while (next_segment(&rest, &more, &segment))
            at = node_child(at, segment, !more);
        at->routes = mem_realloc_array(at->routes, at->n_routes + 1, sizeof(struct http_route *));
        at->routes[at->n_routes++] = &routes[i];
    }
    return r;
}

void router_free(struct router *r)
{
    if (!r)
        return;
    node_free(r->root);
    mem_free(r);
}

/* What the walk wants of a node whose pattern fits the whole path; true stops the walk. */
struct walk {
    bool (*at_end)(struct walk *w, const struct node *n);
    struct str method;
    const struct http_route *found;
    bool path_fits;
    struct buf *allow;
};

static bool walk_node(struct walk *w, const struct node *n, struct str rest, bool more)
{
    struct str segment = STR_NONE;

    if (!more)
        return n->n_routes > 0 && w->at_end(w, n);
    struct str whole = rest;

    (void)next_segment(&rest, &more, &segment);
    const struct node *literal = node_literal(n, segment);

    if (literal && walk_node(w, literal, rest, more))
        return true;
    if (n->param && segment.len > 0 && walk_node(w, n->param, rest, more))
        return true;
    return n->rest && walk_node(w, n->rest, whole, false);
}

static bool walk_path(struct walk *w, const struct router *r, struct str path)
{
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    return walk_node(w, r->root, str_from_index(path, 1), true);
}

static bool route_takes(const struct http_route *route, struct str method)
{
    struct str own = str_from(route->method);

    return str_eq(own, STR("*")) || str_eq(own, method);
}

static bool match_method(struct walk *w, const struct node *n)
{
    bool is_head = str_eq(w->method, STR("HEAD"));

    w->path_fits = true;
    for (size_t i = 0; i < n->n_routes && !w->found; i++)
        if (route_takes(n->routes[i], w->method))
            w->found = n->routes[i];
    for (size_t i = 0; is_head && i < n->n_routes && !w->found; i++)
        if (route_takes(n->routes[i], STR("GET")))
            w->found = n->routes[i];
    return w->found != NULL;
}

enum router_result router_find(const struct router *r, struct str method, struct str path,
                               const struct http_route **route)
{
    struct walk w = {.at_end = match_method, .method = method};

    if (walk_path(&w, r, path)) {
        *route = w.found;
        return ROUTER_FOUND;
    }
    return w.path_fits ? ROUTER_NO_METHOD : ROUTER_NO_PATH;
}

static void put_method(struct buf *out, struct str method)
{
    struct str have = buf_str(out), one = STR_NONE;

    while (str_next(&have, ',', &one))
        if (str_eq(str_trim(one), method))
            return;
    if (out->len > 0)
        buf_put(out, STR(", "));
    buf_put(out, method);
}

static bool collect_methods(struct walk *w, const struct node *n)
{
    for (size_t i = 0; i < n->n_routes; i++) {
        struct str method = str_from(n->routes[i]->method);

        put_method(w->allow, method);
        if (str_eq(method, STR("GET")))
            put_method(w->allow, STR("HEAD"));
    }
    return false;
}

void router_put_allow(const struct router *r, struct str path, struct buf *out)
{
    struct walk w = {.at_end = collect_methods, .allow = out};

    (void)walk_path(&w, r, path);
}

struct str percent_decode(struct arena *a, struct str s, bool plus)
{
    if (str_find_char(s, '%') < 0 && (!plus || str_find_char(s, '+') < 0))
        return s;
    char *to = arena_alloc(a, s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '%' && i + 2 < s.len && hex_digit(s.ptr[i + 1]) >= 0 &&
            hex_digit(s.ptr[i + 2]) >= 0) {
            c = (char)(hex_digit(s.ptr[i + 1]) * 16 + hex_digit(s.ptr[i + 2]));
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        to[n++] = c;
    }
    return (struct str){to, n};
}

size_t router_params(const struct http_route *route, struct str path, struct arena *a,
                     const struct http_param **params)
{
    struct str pattern = str_from_index(str_from(route->pattern), 1);
    struct str rest = str_from_index(path, 1);
    struct str name = STR_NONE, value = STR_NONE;
    bool more_pattern = true, more_path = true;
    size_t n = 0;

    /* A pattern has at most one parameter more than it has slashes. */
    size_t most = 1;
    for (size_t i = 0; i < pattern.len; i++)
        most += pattern.ptr[i] == '/';
    struct http_param *list = arena_alloc(a, most * sizeof(*list));

    while (next_segment(&pattern, &more_pattern, &name)) {
        struct str whole = rest;

        if (!next_segment(&rest, &more_path, &value))
            break;
        if (!more_pattern && str_eq(name, STR("*")))
            list[n++] = (struct http_param){name, percent_decode(a, whole, false)};
        else if (segment_is_param(name))
            list[n++] = (struct http_param){str_sub(name, 1, name.len - 2),
                                            percent_decode(a, value, false)};
    }
    *params = list;
    return n;
}
