/* /api/v1/node. */

#include "api/api_internal.h"

#include "core/clock.h"

#define TAGGED STR("tagged-devices")

/* Up to headscale 0.22 they were machines. */
static bool says_machine(const struct api_call *c)
{
    return str_starts(str_from(c->op->pattern), STR("/api/v1/machine"));
}

void api_nodes_list(struct api_call *c)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct str whose = STR_NONE;
    const struct user *user = NULL;
    const struct node *n;

    if (api_query(c, "user", &whose)) {
        user = api_find_user(c->view, whose);
        if (!user && !str_eq(whose, TAGGED)) {
            api_problem(c, 404, "listing nodes", "user not found");
            return;
        }
    }
    json_begin_object(&w);
    json_field_array(&w, says_machine(c) ? STR("machines") : STR("nodes"));
    for (size_t at = 0; (n = view_node_next(c->view, &at));)
        if (whose.len == 0 || n->user == (user ? user->id : 0))
            api_put_node(&w, c->view, n);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

static void respond_node(struct api_call *c, const struct tailnet_view *view, const struct node *n)
{
    struct buf body = BUF((size_t)1 << 20);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_key(&w, says_machine(c) ? STR("machine") : STR("node"));
    api_put_node(&w, view, n);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_nodes_get(struct api_call *c)
{
    uint64_t id = 0;

    if (!api_path_id(c, "nodeId", &id))
        return;
    const struct node *n = view_node_find(c->view, id);
    if (n)
        respond_node(c, c->view, n);
    else
        api_problem(c, 404, "node not found", NULL);
}

void api_done_node(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);

    if (!api_refused(c))
        respond_node(c, call->result.view, call->result.node);
}

/* The command about the node in the path; NULL after answering. */
static struct command *ask_node(struct api_call *c, enum command_type type)
{
    uint64_t id = 0;

    if (!api_path_id(c, "nodeId", &id))
        return NULL;
    struct command *command = api_command(c, type);
    command->id = id;
    return command;
}

void api_nodes_delete(struct api_call *c)
{
    if (ask_node(c, COMMAND_NODE_DELETE))
        api_submit(c, api_done_empty);
}

void api_nodes_rename(struct api_call *c)
{
    struct command *command = ask_node(c, COMMAND_NODE_RENAME);

    if (!command)
        return;
    command->name = api_path_text(c, "newName");
    api_submit(c, api_done_node);
}

/* Body or query, as different releases of headscale take it; nothing at all means now. */
void api_nodes_expire(struct api_call *c)
{
    struct command *command = ask_node(c, COMMAND_NODE_EXPIRE);
    struct str text = STR_NONE, never = STR_NONE;
    int64_t expiry = clock_unix_ms();

    if (!command)
        return;
    bool has_expiry = api_time(c, "expiry", &expiry);
    if (!has_expiry && api_query(c, "expiry", &text)) {
        has_expiry = true;
        if (!clock_parse_rfc3339(text, &expiry)) {
            api_problem(c, 400, "parsing expiry", "expected string to be RFC 3339 date-time");
            return;
        }
    }
    bool disable = api_bool(c, "disableExpiry");
    if (!disable && api_query(c, "disableExpiry", &never))
        disable = str_eq(never, STR("true")) || str_eq(never, STR("1"));
    if (disable && has_expiry) {
        api_problem(c, 400, "expiry and disableExpiry exclude each other", NULL);
        return;
    }
    /* What lies before 1970 has passed, too. */
    command->expiry_ms = disable ? 0 : MAX(expiry, (int64_t)1);
    api_submit(c, api_done_node);
}

void api_nodes_tags(struct api_call *c)
{
    struct command *command = ask_node(c, COMMAND_NODE_TAG);

    if (!command)
        return;
    command->tags = api_texts(c, "tags");
    if (command->tags.len > NODE_TAGS_MAX)
        api_problem(c, 400, "too many tags", NULL);
    else
        api_submit(c, api_done_node);
}

bool api_prefixes(struct api_call *c, const char *name, struct ip_prefix **out, size_t *n)
{
    struct str_list texts = api_texts(c, name);

    if (texts.len > NODE_ROUTES_MAX) {
        api_problem(c, 400, "too many routes", NULL);
        return false;
    }
    struct ip_prefix *prefixes = arena_alloc(api_arena(c), (texts.len + 1) * sizeof(*prefixes));
    for (size_t i = 0; i < texts.len; i++) {
        if (ip_prefix_parse(texts.items[i], &prefixes[i]))
            continue;
        struct str text = str_sub(texts.items[i], 0, 64);
        struct str why = arena_printf(api_arena(c), "\"%.*s\" is not a prefix such as 10.0.0.0/24",
                                      STR_ARG(text));

        api_problem(c, 400, "parsing route", why.ptr);
        return false;
    }
    *out = prefixes;
    *n = texts.len;
    return true;
}

/* Nothing at all means yes. */
void api_nodes_approve(struct api_call *c)
{
    struct command *command = ask_node(c, COMMAND_NODE_APPROVE);

    if (!command)
        return;
    command->revokes = !json_as_bool(api_member(c, "approved"), true);
    api_submit(c, api_done_node);
}

void api_nodes_approve_routes(struct api_call *c)
{
    struct command *command = ask_node(c, COMMAND_NODE_APPROVE_ROUTES);
    struct ip_prefix *prefixes = NULL;
    size_t n = 0;

    if (!command)
        return;
    if (!api_member(c, "routes")) {
        api_problem(c, 400, "the body wants the routes: {\"routes\": [\"10.0.0.0/24\"]}", NULL);
        return;
    }
    if (!api_prefixes(c, "routes", &prefixes, &n))
        return;
    command->routes = prefixes;
    command->n_routes = n;
    api_submit(c, api_done_node);
}

/* Removed in headscale 0.28, asked for by consoles ever since. */
void api_nodes_move(struct api_call *c)
{
    struct command *command = ask_node(c, COMMAND_NODE_MOVE);

    if (!command)
        return;
    struct str whose = api_text(c, "user");
    if (whose.len == 0)
        (void)api_query(c, "user", &whose);
    const struct user *user = api_find_user(c->view, whose);
    if (!user) {
        api_problem(c, 404, "user not found", NULL);
        return;
    }
    command->user = user->id;
    api_submit(c, api_done_node);
}

static void done_backfill(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(c))
        return;
    json_begin_object(&w);
    json_field_str_list(&w, STR("changes"), &call->result.lines);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_nodes_backfill(struct api_call *c)
{
    struct str confirmed = STR_NONE;

    if (!api_query(c, "confirmed", &confirmed) || !str_eq(confirmed, STR("true"))) {
        api_problem(c, 400, "backfilling node IPs", "not confirmed, aborting");
        return;
    }
    (void)api_command(c, COMMAND_NODES_BACKFILL);
    api_submit(c, done_backfill);
}

/* ---- Debugging ---- */

static struct node_facts *make_facts(struct str name, const struct ip_prefix *routes, size_t n)
{
    struct node_facts *facts = node_facts_new();
    struct buf info = BUF(BUF_LIMIT_DEFAULT);
    struct json_writer w = JSON_WRITER(&info);

    json_begin_object(&w);
    json_field_str(&w, STR("Hostname"), name);
    json_field_array(&w, STR("RoutableIPs"));
    for (size_t i = 0; i < n; i++) {
        json_begin_plain(&w);
        ip_prefix_put(&info, routes[i]);
        json_end_plain(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    str_free(&facts->hostinfo);
    facts->hostinfo = buf_take(&info);
    str_free(&facts->hostname);
    facts->hostname = str_copy(name);
    mem_free(facts->routes);
    facts->routes = n > 0 ? mem_dup(routes, n * sizeof(*routes)) : NULL;
    facts->n_routes = n;
    return facts;
}

void api_debug_node(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_REGISTER_FABRICATE);
    const struct user *user = api_find_user(c->view, api_text(c, "user"));
    struct ip_prefix *routes = NULL;
    size_t n = 0;

    if (!user) {
        api_problem(c, 404, "user not found", NULL);
        return;
    }
    if (!api_prefixes(c, "routes", &routes, &n))
        return;
    for (size_t i = 0; i < n; i++)
        routes[i] = ip_prefix_masked(routes[i]);
    n = ip_prefix_sort_unique(routes, n);
    command->user = user->id;
    if (!api_auth_id(c, api_text(c, "key"), &command->name))
        return;
    c->a->facts = make_facts(api_text(c, "name"), routes, n);
    command->facts = c->a->facts;
    api_submit(c, api_done_node);
}
