/* ssh …: log-ins that a check rule holds until somebody approves them. */

#include "cli/cli_internal.h"

static struct str side(struct cli *cli, const struct json_value *check, const char *which)
{
    const struct json_value *node = json_get_object(check, which);
    struct str name = json_get_str(node, "name"), user = json_get_str(node, "user");
    const struct json_value *tags = json_get_array(node, "tags");

    if (name.len == 0)
        name = arena_printf(cli->arena, "node %.*s", STR_ARG(json_get_str(node, "id")));
    if (user.len > 0)
        return arena_printf(cli->arena, "%.*s (%.*s)", STR_ARG(name), STR_ARG(user));
    if (json_len(tags) > 0)
        return arena_printf(cli->arena, "%.*s (%.*s)", STR_ARG(name),
                            STR_ARG(json_as_str(json_first(tags), STR_NONE)));
    return name;
}

static void put_check(struct cli *cli, struct table *t, const struct json_value *check)
{
    table_cell(t, json_get_str(check, "id"));
    table_cell(t, json_get_str(check, "state"));
    table_cell(t, side(cli, check, "source"));
    table_cell(t, side(cli, check, "destination"));
    table_cell(t, json_get_str(check, "localUser"));
    table_cell_time(t, check, "askedAt", "");
    table_cell_time(t, check, "endsAt", "");
}

int cmd_ssh_list(struct cli *cli)
{
    static const char *const columns[] = {"ID", "State", "From",  "To",
                                          "As", "Asked", "Until", NULL};

    return table_show(cli, columns,
                      cli_call_list(cli, "listing SSH checks", STR("/api/v1/ssh/check"), "checks"),
                      put_check);
}

static int decide(struct cli *cli, const char *doing, const char *verb, const char *done)
{
    const struct json_value *answer = NULL;

    if (cli->args.n_operands != 1)
        return cli_fail(cli, "%s wants one ID, as `hatsize ssh list` and the waiting person see it",
                        verb);
    struct str path = arena_printf(cli->arena, "/api/v1/ssh/check/%.*s/%s",
                                   STR_ARG(cli_escape(cli, cli->args.operands[0])), verb);

    if (!cli_call(cli, doing, "POST", path, NULL, &answer))
        return 1;
    const struct json_value *check = json_get(answer, "check");
    struct str said = arena_printf(
        cli->arena, "%s: %.*s to %.*s as %.*s", done, STR_ARG(side(cli, check, "source")),
        STR_ARG(side(cli, check, "destination")), STR_ARG(json_get_str(check, "localUser")));
    return cli_show(cli, check, said.ptr);
}

int cmd_ssh_approve(struct cli *cli)
{
    return decide(cli, "approving an SSH log-in", "approve", "Approved");
}

int cmd_ssh_reject(struct cli *cli)
{
    return decide(cli, "rejecting an SSH log-in", "reject", "Rejected");
}

int cmd_auth_approve(struct cli *cli)
{
    struct buf body = BUF(16384);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    json_begin_object(&w);
    json_field_str(&w, STR("authId"), args_get(&cli->args, "auth-id"));
    json_end_object(&w);
    bool ok = cli_call(cli, "approving auth request", "POST", STR("/api/v1/auth/approve"), &body,
                       &answer);

    buf_fini(&body);
    return ok ? cli_show(cli, answer, "Auth request approved") : 1;
}
