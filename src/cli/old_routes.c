/*
 * routes list, enable, disable, delete: headscale's up to 0.25, for scripts that still call them. A
 * route had a number of its own there; here its id is NODE:PREFIX, which no other route can get. The
 * API's numbers are taken, too.
 */

#include "cli/cli_internal.h"

static bool has(const struct json_value *list, struct str prefix)
{
    JSON_EACH(item, list) {
        if (str_eq(json_as_str(item, STR_NONE), prefix))
            return true;
    }
    return false;
}

static const char *word(bool yes)
{
    return yes ? "true" : "false";
}

struct routes {
    struct cli *cli;
    struct table *table; /* NULL: as JSON */
    struct buf json;
    struct json_writer w;
};

static void put_route(struct routes *r, const struct json_value *node, struct str prefix)
{
    bool advertised = has(json_get_array(node, "availableRoutes"), prefix);
    bool enabled = has(json_get_array(node, "approvedRoutes"), prefix);
    bool primary = has(json_get_array(node, "subnetRoutes"), prefix);
    struct str id = arena_printf(r->cli->arena, "%.*s:%.*s", STR_ARG(json_get_str(node, "id")),
                                 STR_ARG(prefix));

    if (r->table) {
        table_row(r->table);
        table_cell(r->table, id);
        table_cell(r->table, json_get_str(node, "givenName"));
        table_cell(r->table, prefix);
        table_cell(r->table, str_from(word(advertised)));
        table_cell(r->table, str_from(word(enabled)));
        table_cell(r->table, str_from(word(primary)));
        return;
    }
    json_begin_object(&r->w);
    json_field_str(&r->w, STR("id"), id);
    json_field_str(&r->w, STR("prefix"), prefix);
    json_field_bool(&r->w, STR("advertised"), advertised);
    json_field_bool(&r->w, STR("enabled"), enabled);
    json_field_bool(&r->w, STR("isPrimary"), primary);
    json_key(&r->w, STR("node"));
    json_value_write(&r->w, node);
    json_end_object(&r->w);
}

static void put_routes(struct routes *r, const struct json_value *nodes, struct str only)
{
    JSON_EACH(node, nodes) {
        const struct json_value *available = json_get_array(node, "availableRoutes");

        if (only.len > 0 && !str_eq(json_get_str(node, "id"), only))
            continue;
        JSON_EACH(route, available) {
            put_route(r, node, json_as_str(route, STR_NONE));
        }
        JSON_EACH(route, json_get_array(node, "approvedRoutes")) {
            if (!has(available, json_as_str(route, STR_NONE)))
                put_route(r, node, json_as_str(route, STR_NONE));
        }
    }
}

int cmd_routes_list(struct cli *cli)
{
    static const char *const columns[] = {"ID",      "Node",    "Prefix", "Advertised",
                                          "Enabled", "Primary", NULL};
    struct routes r = {.cli = cli, .json = BUF(0)};
    struct str only = args_get(&cli->args, "identifier");
    const struct json_value *answer = NULL;
    struct json_value *list = NULL;

    if (!cli_call(cli, "listing routes", "GET", STR("/api/v1/node"), NULL, &answer))
        return 1;
    r.table = cli_is_human(cli) ? table_new(cli, columns) : NULL;
    r.w = JSON_WRITER(&r.json);
    json_begin_array(&r.w);
    put_routes(&r, json_get_array(answer, "nodes"), only);
    json_end_array(&r.w);
    struct str text = arena_copy(cli->arena, buf_str(&r.json));

    buf_fini(&r.json);
    if (r.table) {
        table_print(r.table);
        return 0;
    }
    if (!json_parse(cli->arena, text, &(struct json_options){.max_nodes = (size_t)1 << 26}, &list,
                    NULL))
        return cli_fail(cli, "listing routes: there are too many");
    return cli_show(cli, list, "");
}

/* The exit routes go together: enabling one enables both on the server, so does disabling. */
static bool same_route(struct str a, struct str b)
{
    bool a_exit = str_eq(a, STR("0.0.0.0/0")) || str_eq(a, STR("::/0"));
    bool b_exit = str_eq(b, STR("0.0.0.0/0")) || str_eq(b, STR("::/0"));

    return str_eq(a, b) || (a_exit && b_exit);
}

/* Sets the node's approved routes to those it has, with or without this one. */
static int approve(struct cli *cli, const struct json_value *node, struct str prefix, bool with)
{
    struct buf body = BUF((size_t)1 << 20);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;
    struct str path = arena_printf(cli->arena, "/api/v1/node/%.*s/approve_routes",
                                   STR_ARG(json_get_str(node, "id")));

    json_begin_object(&w);
    json_field_array(&w, STR("routes"));
    JSON_EACH(route, json_get_array(node, "approvedRoutes")) {
        if (!same_route(json_as_str(route, STR_NONE), prefix))
            json_value_write(&w, route);
    }
    if (with)
        json_str(&w, prefix);
    json_end_array(&w);
    json_end_object(&w);
    bool ok = cli_call(cli, "approving routes", "POST", path, &body, &answer);

    buf_fini(&body);
    if (!ok)
        return 1;
    return cli_show(cli, json_get(answer, "node"), with ? "Route enabled" : "Route disabled");
}

/* As the API gives them out; see tailnet/route_id.h. */
static int change_by_number(struct cli *cli, uint64_t number, bool with)
{
    const struct json_value *answer = NULL;
    struct str path = arena_printf(cli->arena, "/api/v1/routes/%llu/%s",
                                   (unsigned long long)number, with ? "enable" : "disable");

    if (!cli_call(cli, with ? "enabling route" : "disabling route", "POST", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, with ? "Route enabled" : "Route disabled");
}

static int change(struct cli *cli, bool with)
{
    struct str text = args_get(&cli->args, "route"), id, prefix;
    const struct json_value *answer = NULL;
    uint64_t number = 0;

    if (str_parse_u64(text, &number))
        return change_by_number(cli, number, with);
    if (!str_split(text, ':', &id, &prefix) || !str_parse_u64(id, &number) || number == 0)
        return cli_fail(cli,
                        "--route wants an id that `hatsize routes list` shows, like "
                        "3:10.0.0.0/24, not \"%.*s\"",
                        STR_ARG(text));
    struct str path = arena_printf(cli->arena, "/api/v1/node/%.*s", STR_ARG(id));

    if (!cli_call(cli, "looking up node", "GET", path, NULL, &answer))
        return 1;
    return approve(cli, json_get(answer, "node"), prefix, with);
}

int cmd_routes_enable(struct cli *cli)
{
    return change(cli, true);
}

int cmd_routes_disable(struct cli *cli)
{
    return change(cli, false);
}
