/* users approve, suspend, restore, role; and invitations of people. */

#include "cli/cli_internal.h"

#define INVITES STR("/api/v1/user-invite")

/* ---- Status and role ---- */

/* Calls POST /api/v1/user/ID/WHAT about the user that is meant, and shows him. */
static int change(struct cli *cli, const struct json_value *user, const char *doing,
                  const char *what, const struct buf *body, const char *said)
{
    const struct json_value *answer = NULL;

    if (!user)
        return 1;
    struct str path =
        arena_printf(cli->arena, "/api/v1/user/%.*s/%s", STR_ARG(json_get_str(user, "id")), what);
    if (!cli_call(cli, doing, "POST", path, body, &answer))
        return 1;
    return cli_show(cli, json_get(answer, "user"), said);
}

/* The user of --identifier, --name or the only operand. */
static const struct json_value *meant(struct cli *cli)
{
    return cli_named_user(cli, cli->args.n_operands > 0 ? cli->args.operands[0] : STR_NONE);
}

int cmd_users_approve(struct cli *cli)
{
    return change(cli, meant(cli), "approving user", "approve", NULL, "User approved");
}

int cmd_users_suspend(struct cli *cli)
{
    const struct json_value *user = meant(cli);

    if (!user)
        return 1;
    struct str question =
        arena_printf(cli->arena, "Shall the user \"%.*s\" and all their machines lose access?",
                     STR_ARG(json_get_str(user, "name")));
    enum cli_answer said = cli_ask_person(cli, question.ptr);

    if (said != CLI_YES)
        return said == CLI_NO ? cli_result(cli, "User not suspended") : 1;
    return change(cli, user, "suspending user", "suspend", NULL, "User suspended");
}

int cmd_users_restore(struct cli *cli)
{
    return change(cli, meant(cli), "restoring user", "restore", NULL, "User restored");
}

/* NAME ROLE; or ROLE alone behind --identifier or --name. */
int cmd_users_role(struct cli *cli)
{
    const struct args *args = &cli->args;
    AUTO_FINI(buf_fini) struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);

    if (args->n_operands < 1 || args->n_operands > 2)
        return cli_fail(cli, "missing parameters: users role NAME ROLE");
    json_begin_object(&w);
    json_field_str(&w, STR("role"), args->operands[args->n_operands - 1]);
    json_end_object(&w);
    return change(cli, cli_named_user(cli, args->n_operands == 2 ? args->operands[0] : STR_NONE),
                  "changing role", "role", &body, "Role changed");
}

/* ---- Invitations ---- */

int cmd_users_invite(struct cli *cli)
{
    struct str role = args_get(&cli->args, "role"), email = args_get(&cli->args, "email");
    AUTO_FINI(buf_fini) struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    json_begin_object(&w);
    if (role.len > 0)
        json_field_str(&w, STR("role"), role);
    if (email.len > 0)
        json_field_str(&w, STR("email"), email);
    if (!cli_put_time(cli, &w, "expiration", STR("expiration"), 0))
        return 1;
    json_end_object(&w);
    if (!cli_call(cli, "inviting", "POST", INVITES, &body, &answer))
        return 1;
    cli_notice(cli, "send this link to one person; it is good once, and shown only now");
    return cli_show_member(cli, answer, "url");
}

static void put_invite(struct cli *cli, struct table *t, const struct json_value *i)
{
    (void)cli;
    struct str email = json_get_str(i, "email"), inviter = json_get_str(i, "inviter");

    table_cell_id(t, i, "id");
    table_cell(t, json_get_str(i, "role"));
    table_cell(t, email.len > 0 ? email : STR("whoever has the link"));
    table_cell(t, inviter.len > 0 ? inviter : STR("the operator"));
    table_cell_time(t, i, "createdAt", "");
    table_cell_time(t, i, "expiration", "never");
}

int cmd_users_invites(struct cli *cli)
{
    static const char *const columns[] = {"ID",      "Role",       "For", "Invited by",
                                          "Created", "Expiration", NULL};

    return table_show(cli, columns,
                      cli_call_list(cli, "listing invitations", INVITES, "invitations"),
                      put_invite);
}

int cmd_users_uninvite(struct cli *cli)
{
    const struct json_value *answer = NULL;

    if (cli->args.n_operands != 1)
        return cli_fail(cli, "users uninvite wants one ID, as `hatsize users invites` shows it");
    struct str path = arena_printf(cli->arena, "%.*s/%.*s", STR_ARG(INVITES),
                                   STR_ARG(cli_escape(cli, cli->args.operands[0])));
    if (!cli_call(cli, "revoking the invitation", "DELETE", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, "Invitation revoked");
}
