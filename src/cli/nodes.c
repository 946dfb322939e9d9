/* nodes … */

#include "cli/cli_internal.h"
#include "core/clock.h"

static const struct json_value *list_nodes(struct cli *cli, struct str user)
{
    struct str path = arena_printf(cli->arena, "/api/v1/node%s%.*s", user.len ? "?user=" : "",
                                   STR_ARG(cli_escape(cli, user)));

    return cli_call_list(cli, "listing nodes", path, "nodes");
}

/* "[" and five base64 characters "]": how Tailscale's own tools shorten a key. */
static struct str short_key(struct cli *cli, struct str text)
{
    uint8_t raw[32];
    struct str hex = STR_NONE, prefix;
    struct buf out = BUF(128);

    if (!str_split(text, ':', &prefix, &hex) || !hex_decode(hex, raw, sizeof(raw)))
        return STR("-");
    buf_put_base64(&out, str_bytes(raw, sizeof(raw)));
    struct str s = arena_printf(cli->arena, "[%.5s]", out.ptr);
    buf_fini(&out);
    return s;
}

/* headscale's own answers do not say it. */
static bool is_expired(const struct json_value *node)
{
    int64_t expiry = 0;

    if (json_get(node, "expired"))
        return json_get_bool(node, "expired", false);
    return clock_parse_rfc3339(json_get_str(node, "expiry"), &expiry) && expiry <= clock_unix_ms();
}

/* Likewise: then it is what its auth key says. */
static struct str ephemeral(const struct json_value *node)
{
    const struct json_value *from =
        json_get(node, "ephemeral") ? node : json_get_object(node, "preAuthKey");

    return json_get_bool(from, "ephemeral", false) ? STR("true") : STR("false");
}

static struct str user_shown(const struct json_value *node)
{
    if (json_len(json_get_array(node, "tags")) > 0)
        return STR("tagged-devices");
    return json_get_str(json_get_object(node, "user"), "name");
}

static bool is_any_held(const struct json_value *nodes)
{
    JSON_EACH(node, nodes) {
        if (json_len(json_get_array(node, "holds")) > 0)
            return true;
    }
    return false;
}

int cmd_nodes_list(struct cli *cli)
{
    static const char *const columns[] = {"ID",        "Hostname",  "Name",       "MachineKey",
                                          "NodeKey",   "User",      "Tags",       "IP addresses",
                                          "Ephemeral", "Last seen", "Expiration", "Connected",
                                          "Expired",   NULL,        NULL};
    const char *shown[ARRAY_LEN(columns)];
    const struct json_value *nodes = list_nodes(cli, args_get(&cli->args, "user"));

    if (!nodes)
        return 1;
    if (!cli_is_human(cli))
        return cli_show(cli, nodes, "");
    /* Where nobody waits there is headscale's own table. */
    bool has_held = is_any_held(nodes);

    memcpy(shown, columns, sizeof(shown));
    if (has_held)
        shown[ARRAY_LEN(shown) - 2] = "No access";
    struct table *t = table_new(cli, shown);

    JSON_EACH(node, nodes) {
        table_row(t);
        table_cell_id(t, node, "id");
        table_cell(t, json_get_str(node, "name"));
        table_cell(t, json_get_str(node, "givenName"));
        table_cell(t, short_key(cli, json_get_str(node, "machineKey")));
        table_cell(t, short_key(cli, json_get_str(node, "nodeKey")));
        table_cell(t, user_shown(node));
        table_cell_list(t, json_get_array(node, "tags"));
        table_cell_list(t, json_get_array(node, "ipAddresses"));
        table_cell(t, ephemeral(node));
        table_cell_time(t, node, "lastSeen", "N/A");
        table_cell_time(t, node, "expiry", "N/A");
        bool online = json_get_bool(node, "online", false), expired = is_expired(node);

        table_cell_colour(t, online ? STR("online") : STR("offline"), online ? '2' : '1');
        table_cell_colour(t, expired ? STR("yes") : STR("no"), expired ? '1' : '2');
        if (has_held)
            table_cell_list(t, json_get_array(node, "holds"));
    }
    table_print(t);
    return 0;
}

static bool has_routes(const struct json_value *node)
{
    return json_len(json_get_array(node, "approvedRoutes")) > 0 ||
           json_len(json_get_array(node, "availableRoutes")) > 0;
}

/* The nodes of a list that have routes, as an array of their own in the arena. */
static const struct json_value *with_routes(struct cli *cli, const struct json_value *nodes,
                                            struct str id)
{
    struct json_value *out = arena_alloc(cli->arena, sizeof(*out));
    struct json_value **tail = &out->list.first;

    out->type = JSON_ARRAY;
    JSON_EACH(node, nodes) {
        if (!has_routes(node) || (id.len > 0 && !str_eq(id, json_get_str(node, "id"))))
            continue;
        struct json_value *copy = arena_alloc(cli->arena, sizeof(*copy));

        *copy = *node;
        copy->next = NULL;
        *tail = copy;
        tail = &copy->next;
        out->list.len++;
    }
    return out;
}

static void put_routes(struct cli *cli, struct table *t, const struct json_value *node)
{
    (void)cli;
    table_cell_id(t, node, "id");
    table_cell(t, json_get_str(node, "name"));
    table_cell_list(t, json_get_array(node, "approvedRoutes"));
    table_cell_list(t, json_get_array(node, "availableRoutes"));
    table_cell_list(t, json_get_array(node, "subnetRoutes"));
}

int cmd_nodes_routes(struct cli *cli)
{
    static const char *const columns[] = {"ID",        "Hostname",          "Approved",
                                          "Available", "Serving (Primary)", NULL};
    const struct json_value *nodes = list_nodes(cli, STR_NONE);

    if (!nodes)
        return 1;
    nodes = with_routes(cli, nodes, args_get(&cli->args, "identifier"));
    return table_show(cli, columns, nodes, put_routes);
}

/* Calls POST /api/v1/node/{--identifier}/{what} and shows the node. */
static int change_node(struct cli *cli, const char *doing, struct str what, const struct buf *body,
                       const char *said)
{
    const struct json_value *answer = NULL;
    uint64_t id = 0;

    if (!cli_id(cli, "identifier", &id))
        return 1;
    struct str path =
        arena_printf(cli->arena, "/api/v1/node/%llu/%.*s", (unsigned long long)id, STR_ARG(what));
    if (!cli_call(cli, doing, "POST", path, body, &answer))
        return 1;
    return cli_show(cli, json_get(answer, "node"), said);
}

int cmd_nodes_rename(struct cli *cli)
{
    if (cli->args.n_operands != 1)
        return cli_fail(cli, "missing parameters: nodes rename NEW_NAME --identifier ID");
    struct str what =
        arena_printf(cli->arena, "rename/%.*s", STR_ARG(cli_escape(cli, cli->args.operands[0])));
    return change_node(cli, "renaming node", what, NULL, "Node renamed");
}

int cmd_nodes_expire(struct cli *cli)
{
    struct buf body = BUF(4096);
    struct json_writer w = JSON_WRITER(&body);
    struct str when = args_get(&cli->args, "expiry");
    bool disable = args_has(&cli->args, "disable");
    int64_t ms = 0;

    if (when.len > 0 && disable)
        return cli_fail(cli, "--expiry and --disable exclude each other");
    if (when.len > 0 && !clock_parse_rfc3339(when, &ms))
        return cli_fail(cli, "parsing expiry: \"%.*s\" is not a time such as 2027-01-31T00:00:00Z",
                        STR_ARG(when));
    json_begin_object(&w);
    if (when.len > 0)
        json_field_str(&w, STR("expiry"), when);
    if (disable)
        json_field_bool(&w, STR("disableExpiry"), true);
    json_end_object(&w);
    int status = change_node(cli, "expiring node", STR("expire"), &body,
                             disable    ? "Node expiry disabled"
                             : when.len ? "Node expiration updated"
                                        : "Node expired");

    buf_fini(&body);
    return status;
}

static int change_list(struct cli *cli, const char *flag, const char *doing, struct str what,
                       struct str member)
{
    struct buf body = BUF((size_t)1 << 20);
    struct json_writer w = JSON_WRITER(&body);
    struct str_list list = args_list(&cli->args, flag, cli->arena);

    json_begin_object(&w);
    json_field_str_list(&w, member, &list);
    json_end_object(&w);
    int status = change_node(cli, doing, what, &body, "Node updated");

    buf_fini(&body);
    return status;
}

int cmd_nodes_tag(struct cli *cli)
{
    return change_list(cli, "tags", "tagging node", STR("tags"), STR("tags"));
}

static int approve(struct cli *cli, bool approved)
{
    AUTO_FINI(buf_fini) struct buf body = BUF(4096);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_bool(&w, STR("approved"), approved);
    json_end_object(&w);
    return change_node(cli, approved ? "approving node" : "taking the approval back",
                       STR("approve"), &body,
                       approved ? "Node approved" : "Node not approved any more");
}

int cmd_nodes_approve(struct cli *cli)
{
    return approve(cli, true);
}

int cmd_nodes_unapprove(struct cli *cli)
{
    return approve(cli, false);
}

int cmd_nodes_approve_routes(struct cli *cli)
{
    return change_list(cli, "routes", "approving routes", STR("approve_routes"), STR("routes"));
}

int cmd_nodes_delete(struct cli *cli)
{
    const struct json_value *answer = NULL;
    uint64_t id = 0;

    if (!cli_id(cli, "identifier", &id))
        return 1;
    struct str path = arena_printf(cli->arena, "/api/v1/node/%llu", (unsigned long long)id);
    if (!cli_call(cli, "looking up node", "GET", path, NULL, &answer))
        return 1;
    struct str name = json_get_str(json_get_object(answer, "node"), "givenName");
    struct str question =
        arena_printf(cli->arena, "Do you want to remove the node %.*s?", STR_ARG(name));
    enum cli_answer said = cli_ask_person(cli, question.ptr);

    if (said != CLI_YES)
        return said == CLI_NO ? cli_result(cli, "Node not deleted") : 1;
    if (!cli_call(cli, "deleting node", "DELETE", path, NULL, NULL))
        return 1;
    return cli_result(cli, "Node deleted");
}

int cmd_nodes_backfill(struct cli *cli)
{
    const struct json_value *answer = NULL;
    enum cli_answer said = cli_ask_person(
        cli,
        "Do you want to give every node the addresses that it lacks, and take those of a family "
        "that is no longer configured?");

    if (said != CLI_YES)
        return said == CLI_NO ? cli_result(cli, "Node IPs not backfilled") : 1;
    if (!cli_call(cli, "backfilling node IPs", "POST",
                  STR("/api/v1/node/backfillips?confirmed=true"), NULL, &answer))
        return 1;
    if (cli_is_human(cli))
        JSON_EACH(change, json_get_array(answer, "changes")) {
            cli_put_word(cli->out, json_as_str(change, STR_NONE));
            (void)fputc('\n', cli->out);
        }
    return cli_show(cli, answer, "Node IPs backfilled successfully");
}

/* Of headscale up to 0.27. A node with tags belongs to nobody and stays so. */
int cmd_nodes_move(struct cli *cli)
{
    struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_str(&w, STR("user"), args_get(&cli->args, "user"));
    json_end_object(&w);
    int status = change_node(cli, "moving node", STR("user"), &body, "Node moved to another user");

    buf_fini(&body);
    return status;
}

int cmd_debug_node(struct cli *cli)
{
    struct buf body = BUF((size_t)1 << 20);
    struct json_writer w = JSON_WRITER(&body);
    struct str_list routes = args_list(&cli->args, "route", cli->arena);
    const struct json_value *answer = NULL;

    json_begin_object(&w);
    json_field_str(&w, STR("user"), args_get(&cli->args, "user"));
    json_field_str(&w, STR("key"), args_get(&cli->args, "key"));
    json_field_str(&w, STR("name"), args_get(&cli->args, "name"));
    json_field_str_list(&w, STR("routes"), &routes);
    json_end_object(&w);
    bool ok = cli_call(cli, "creating node", "POST", STR("/api/v1/debug/node"), &body, &answer);

    buf_fini(&body);
    if (!ok)
        return 1;
    const struct json_value *node = json_get(answer, "node");
    struct str said = arena_printf(cli->arena, "Node %.*s waits to be registered",
                                   STR_ARG(json_get_str(node, "name")));
    return cli_show(cli, node, said.ptr);
}
