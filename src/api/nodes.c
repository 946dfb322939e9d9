/* /api/v1/node. */

#include "api/api_internal.h"

#include "core/clock.h"

/* The user a list is asked for: *want is NULL for all. False: answered 404. */
static bool user_filter(struct http_exchange *x, const struct tailnet_view *view,
                        const struct user **want)
{
    struct str name = STR_NONE;
    size_t n = 0;
    const struct user *const *users = view_users(view, &n);

    *want = NULL;
    if (!http_query_get(x, STR("user"), &name) || name.len == 0)
        return true;
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(users[i]->name, name))
            continue;
        *want = users[i];
        return true;
    }
    api_problem(x, 404, "listing nodes", "user not found");
    return false;
}

void api_nodes_list(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct tailnet_view *view = api_view(owner, x, req);
    struct buf body = BUF((size_t)512 << 20);
    struct json_writer w = JSON_WRITER(&body);
    const struct user *want = NULL;
    const struct node *n;

    if (!view || !user_filter(x, view, &want))
        return;
    json_begin_object(&w);
    json_field_array(&w, STR("nodes"));
    for (size_t at = 0; (n = view_node_next(view, &at));)
        if (!want || n->user == want->id)
            api_put_node(&w, view, n, true);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(x, &body);
}

static void respond_node(struct http_exchange *x, const struct tailnet_view *view,
                         const struct node *n)
{
    struct buf body = BUF((size_t)1 << 20);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_key(&w, STR("node"));
    api_put_node(&w, view, n, false);
    json_end_object(&w);
    api_respond(x, &body);
}

void api_nodes_get(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct tailnet_view *view = api_view(owner, x, req);
    uint64_t id = 0;

    if (!view || !api_path_id(x, req, "id", &id))
        return;
    const struct node *n = view_node_find(view, id);
    if (!n) {
        api_problem(x, 404, "node not found", NULL);
        return;
    }
    respond_node(x, view, n);
}

void api_done_node(struct registrar_call *call)
{
    struct asked *a = asked_of(call);

    if (api_refused(a))
        return;
    respond_node(a->x, call->result.view, call->result.node);
    asked_free(a);
}

/* The command about the node in the path; NULL after answering. */
static struct asked *ask_node(void *owner, struct http_exchange *x, const struct http_request *req,
                              enum command_type type, const struct json_value **body)
{
    uint64_t id = 0;

    if (!api_path_id(x, req, "id", &id))
        return NULL;
    struct asked *a = api_ask(owner, x, req, type, body);
    if (a)
        a->call.command.id = id;
    return a;
}

void api_nodes_delete(void *owner, struct http_exchange *x, const struct http_request *req)
{
    struct asked *a = ask_node(owner, x, req, COMMAND_NODE_DELETE, NULL);

    if (a)
        asked_submit(a, api_done_empty);
}

void api_nodes_rename(void *owner, struct http_exchange *x, const struct http_request *req)
{
    struct asked *a = ask_node(owner, x, req, COMMAND_NODE_RENAME, NULL);

    if (!a)
        return;
    a->call.command.name = arena_copy(a->arena, http_param_get(req, STR("name")));
    asked_submit(a, api_done_node);
}

/* Body or query, as different releases of headscale take it; nothing at all means now. */
void api_nodes_expire(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    struct asked *a = ask_node(owner, x, req, COMMAND_NODE_EXPIRE, &body);
    struct str text = STR_NONE, disable_text = STR_NONE;
    int64_t expiry = clock_unix_ms();

    if (!a)
        return;
    if (!http_query_get(x, STR("expiry"), &text))
        text = json_as_str(json_get_nocase(body, "expiry"), STR_NONE);
    bool disable = json_as_bool(json_get_nocase(body, "disableExpiry"), false);
    if (http_query_get(x, STR("disable_expiry"), &disable_text))
        disable = str_eq(disable_text, STR("true"));
    if (disable && text.len > 0) {
        api_problem(x, 400, "expiry and disableExpiry exclude each other", NULL);
        asked_free(a);
        return;
    }
    if (text.len > 0 && !clock_parse_rfc3339(text, &expiry)) {
        api_problem(x, 400, "parsing expiry", "not an RFC 3339 time");
        asked_free(a);
        return;
    }
    a->call.command.expiry_ms = disable ? 0 : expiry;
    asked_submit(a, api_done_node);
}

void api_nodes_tags(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    struct asked *a = ask_node(owner, x, req, COMMAND_NODE_TAG, &body);
    const struct json_value *tags = json_get_nocase(body, "tags");
    size_t n = json_len(tags);

    if (!a)
        return;
    if (n > NODE_TAGS_MAX) {
        api_problem(x, 400, "too many tags", NULL);
        asked_free(a);
        return;
    }
    struct str_list *list = &a->call.command.tags;
    list->items = arena_alloc(a->arena, (n + 1) * sizeof(*list->items));
    JSON_EACH(tag, tags) {
        list->items[list->len++] = json_as_str(tag, STR_NONE);
    }
    asked_submit(a, api_done_node);
}

void api_nodes_approve_routes(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    struct asked *a = ask_node(owner, x, req, COMMAND_NODE_APPROVE_ROUTES, &body);
    const struct json_value *routes = json_get_nocase(body, "routes");
    size_t n = json_len(routes), i = 0;

    if (!a)
        return;
    if (n > NODE_ROUTES_MAX) {
        api_problem(x, 400, "too many routes", NULL);
        asked_free(a);
        return;
    }
    struct ip_prefix *prefixes = arena_alloc(a->arena, (n + 1) * sizeof(*prefixes));
    JSON_EACH(route, routes) {
        struct str text = json_as_str(route, STR_NONE);

        if (!ip_prefix_parse(text, &prefixes[i])) {
            struct str why = arena_printf(a->arena, "\"%.*s\" is not a prefix such as 10.0.0.0/24",
                                          (int)MIN(text.len, (size_t)64), text.ptr ? text.ptr : "");

            api_problem(x, 400, "parsing route", why.ptr);
            asked_free(a);
            return;
        }
        i++;
    }
    a->call.command.routes = prefixes;
    a->call.command.n_routes = n;
    asked_submit(a, api_done_node);
}
