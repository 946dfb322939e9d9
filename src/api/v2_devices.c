/* v2's devices: what v1 calls nodes. */

#include "api/v2_internal.h"

#include "core/clock.h"

/* ---- Which ---- */

static const struct node *find_in(const struct tailnet_view *view, struct str text)
{
    uint64_t id = 0;
    const struct node *n = str_parse_u64(text, &id) ? view_node_find(view, id) : NULL;

    if (n)
        return n;
    for (size_t at = 0; (n = view_node_next(view, &at));)
        if (str_eq(n->stable_id, text))
            return n;
    return NULL;
}

const struct node *api_v2_device(struct api_call *c)
{
    struct str text = api_path_text(c, "deviceId");
    const struct tailnet_view *view;

    for (size_t at = 0; (view = api_next_view(c, &at));) {
        const struct node *n = find_in(view, text);

        if (!n)
            continue;
        api_turn_to(c, view);
        return n;
    }
    api_problem(c, 404, "device not found", NULL);
    return NULL;
}

/* ---- Shape ---- */

static void field_user(struct json_writer *w, const struct tailnet_view *view, const struct node *n)
{
    const struct user *user = n->user ? view_user_find(view, n->user) : NULL;
    struct buf scratch = BUF(1024);

    json_field_str(w, STR("user"), user ? user_login_name(user, &scratch) : STR("tagged-devices"));
    buf_fini(&scratch);
}

static void put_device(struct json_writer *w, const struct tailnet_view *view, const struct node *n,
                       bool all)
{
    json_begin_object(w);
    api_field_addresses(w, STR("addresses"), n);
    json_field_str(w, STR("name"), node_dns_name(n));
    api_field_id(w, STR("id"), n->id);
    json_field_str(w, STR("nodeId"), n->stable_id);
    json_field_bool(w, STR("authorized"), (n->holds & HOLD_DEVICE) == 0);
    field_user(w, view, n);
    json_field_str_list(w, STR("tags"), &n->tags);
    json_field_bool(w, STR("keyExpiryDisabled"), n->expiry_ms == 0);
    json_field_bool(w, STR("blocksIncomingConnections"), false);
    json_field_str(w, STR("clientVersion"), n->facts->ipn_version);
    json_field_time(w, STR("created"), n->created_ms);
    if (n->expiry_ms != 0)
        json_field_time(w, STR("expires"), n->expiry_ms);
    json_field_str(w, STR("hostname"), n->facts->hostname);
    json_field_bool(w, STR("isEphemeral"), n->ephemeral);
    json_field_bool(w, STR("isExternal"), false);
    json_field_bool(w, STR("connectedToControl"), n->online);
    if (!n->online && n->last_seen_ms != 0)
        json_field_time(w, STR("lastSeen"), n->last_seen_ms);
    api_field_key(w, STR("machineKey"), "mkey:", n->machine.b);
    api_field_key(w, STR("nodeKey"), "nodekey:", n->key.b);
    json_field_str(w, STR("os"), n->facts->os);
    json_field_str(w, STR("tailnetLockKey"), STR_NONE);
    json_field_str(w, STR("tailnetLockError"), STR_NONE);
    json_field_bool(w, STR("updateAvailable"), false);
    if (all) {
        api_field_prefixes(w, STR("advertisedRoutes"), n->facts->routes, n->facts->n_routes);
        api_field_prefixes(w, STR("enabledRoutes"), n->approved, n->n_approved);
    }
    json_end_object(w);
}

/* ---- Calls ---- */

static bool wants_all(const struct api_call *c)
{
    struct str fields = STR_NONE;

    return api_query(c, "fields", &fields) && str_eq_nocase(fields, STR("all"));
}

void api_v2_devices_list(struct api_call *c)
{
    const struct api_v2_filter *filter = api_v2_device_filter(c);
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct node *n;

    if (!filter)
        return;
    bool all = wants_all(c);
    json_begin_object(&w);
    json_field_array(&w, STR("devices"));
    for (size_t at = 0; (n = view_node_next(c->view, &at));)
        if (api_v2_device_passes(filter, c->view, n))
            put_device(&w, c->view, n, all);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_v2_device_get(struct api_call *c)
{
    const struct node *n = api_v2_device(c);
    struct buf body = BUF((size_t)1 << 20);
    struct json_writer w = JSON_WRITER(&body);

    if (!n)
        return;
    put_device(&w, c->view, n, wants_all(c));
    api_respond(c, &body);
}

/* The command about the node in the path; NULL after answering. */
static struct command *ask_device(struct api_call *c, enum command_type type)
{
    const struct node *n = api_v2_device(c);

    if (!n)
        return NULL;
    struct command *command = api_command(c, type);
    command->id = n->id;
    return command;
}

void api_v2_device_delete(struct api_call *c)
{
    if (ask_device(c, COMMAND_NODE_DELETE))
        api_submit(c, api_done_empty);
}

/* One that is so already needs nothing. */
void api_v2_device_authorize(struct api_call *c)
{
    const struct json_value *v = api_member(c, "authorized");
    bool approves = json_as_bool(v, false), is_said = v != NULL;
    /* Without one it is answered, and the body gone. */
    const struct node *n = api_v2_device(c);

    if (!n)
        return;
    if (!is_said) {
        api_problem(c, 400, "the body wants \"authorized\"", NULL);
        return;
    }
    if (approves == ((n->holds & HOLD_DEVICE) == 0)) {
        api_respond_empty(c);
        return;
    }
    struct command *command = api_command(c, COMMAND_NODE_APPROVE);
    command->id = n->id;
    command->revokes = !approves;
    api_submit(c, api_done_empty);
}

void api_v2_device_expire(struct api_call *c)
{
    struct command *command = ask_device(c, COMMAND_NODE_EXPIRE);

    if (!command)
        return;
    command->expiry_ms = clock_unix_ms();
    api_submit(c, api_done_empty);
}

/* A bare name, or one whole as lists show it. */
void api_v2_device_name(struct api_call *c)
{
    struct str name = api_text(c, "name");
    struct command *command = ask_device(c, COMMAND_NODE_RENAME);
    struct str label = name, domain = STR_NONE;

    if (!command)
        return;
    if (name.len == 0) {
        api_problem(c, 400, "the body wants the name: {\"name\": \"laptop\"}", NULL);
        return;
    }
    if (str_ends(name, STR(".")))
        name.len--;
    if (str_split(name, '.', &label, &domain) &&
        !str_eq_nocase(domain, view_info(c->view)->base_domain)) {
        api_problem(c, 400, "the name is of another domain than this tailnet's", NULL);
        return;
    }
    command->name = label;
    api_submit(c, api_done_empty);
}

void api_v2_device_tags(struct api_call *c)
{
    struct command *command = ask_device(c, COMMAND_NODE_TAG);

    if (!command)
        return;
    command->tags = api_texts(c, "tags");
    if (command->tags.len == 0)
        api_respond_empty(c); /* a tagged node stays one (headscale.md 3.6) */
    else if (api_v2_may_give(c, &command->tags))
        api_submit(c, api_done_empty);
}

void api_v2_device_key(struct api_call *c)
{
    const struct json_value *v = api_member(c, "keyExpiryDisabled");
    const struct node *n = api_v2_device(c);

    if (!n)
        return;
    if (!v) {
        api_problem(c, 400, "the body wants \"keyExpiryDisabled\"", NULL);
        return;
    }
    /* What a key's end would be is not known once it has none (headscale.md 3.6). */
    if (!json_as_bool(v, false) || n->expiry_ms == 0) {
        api_respond_empty(c);
        return;
    }
    struct command *command = api_command(c, COMMAND_NODE_EXPIRE);
    command->id = n->id;
    command->expiry_ms = 0;
    api_submit(c, api_done_empty);
}

/* ---- Routes ---- */

static void respond_routes(struct api_call *c, const struct node *n)
{
    struct buf body = BUF((size_t)1 << 20);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    api_field_prefixes(&w, STR("advertisedRoutes"), n->facts->routes, n->facts->n_routes);
    api_field_prefixes(&w, STR("enabledRoutes"), n->approved, n->n_approved);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_v2_device_routes_get(struct api_call *c)
{
    const struct node *n = api_v2_device(c);

    if (n)
        respond_routes(c, n);
}

static void done_routes(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);

    if (!api_refused(c))
        respond_routes(c, call->result.node);
}

void api_v2_device_routes_set(struct api_call *c)
{
    struct command *command = ask_device(c, COMMAND_NODE_APPROVE_ROUTES);
    struct ip_prefix *prefixes = NULL;
    size_t n = 0;

    if (!command)
        return;
    if (!api_member(c, "routes"))
        api_problem(c, 400, "the body wants the routes: {\"routes\": [\"10.0.0.0/24\"]}", NULL);
    else if (api_prefixes(c, "routes", &prefixes, &n)) {
        command->routes = prefixes;
        command->n_routes = n;
        api_submit(c, done_routes);
    }
}
