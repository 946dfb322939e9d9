/* users … */

#include "cli/cli_internal.h"

int cmd_users_create(struct cli *cli)
{
    struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    if (cli->args.n_operands != 1)
        return cli_fail(cli, "missing parameters: users create NAME");
    json_begin_object(&w);
    json_field_str(&w, STR("name"), cli->args.operands[0]);
    json_field_str(&w, STR("displayName"), args_get(&cli->args, "display-name"));
    json_field_str(&w, STR("email"), args_get(&cli->args, "email"));
    json_field_str(&w, STR("pictureUrl"), args_get(&cli->args, "picture-url"));
    json_end_object(&w);
    bool ok = cli_call(cli, "creating user", "POST", STR("/api/v1/user"), &body, &answer);

    buf_fini(&body);
    return ok ? cli_show(cli, json_get(answer, "user"), "User created") : 1;
}

/* --identifier, where -1 and 0 are headscale's ways to say nothing. */
static struct str identifier(struct cli *cli)
{
    struct str id = args_get(&cli->args, "identifier");

    return str_eq(id, STR("-1")) || str_eq(id, STR("0")) ? STR_NONE : id;
}

/* The users that the filter of the command leaves: the first of name, address and id that is set.
 */
static const struct json_value *list_users(struct cli *cli, struct str id, struct str name,
                                           struct str email)
{
    const char *filter = name.len ? "?name=" : email.len ? "?email=" : id.len ? "?id=" : "";
    struct str value = name.len ? name : email.len ? email : id;
    struct str path =
        arena_printf(cli->arena, "/api/v1/user%s%.*s", filter, STR_ARG(cli_escape(cli, value)));

    return cli_call_list(cli, "listing users", path, "users");
}

const struct json_value *cli_find_user(struct cli *cli, struct str id, struct str name)
{
    const struct json_value *users = list_users(cli, id, id.len ? STR_NONE : name, STR_NONE);

    if (!users)
        return NULL;
    if (json_len(users) == 1)
        return json_first(users);
    if (json_len(users) == 0)
        (void)cli_fail(cli, "no user %.*s; `hatsize users list` shows them all",
                       STR_ARG(id.len ? id : name));
    else
        (void)cli_fail(cli, "multiple users match query, specify an ID");
    return NULL;
}

int cmd_users_list(struct cli *cli)
{
    static const char *const columns[] = {"ID",      "Name", "Username", "Email",
                                          "Created", "Role", "Status",   NULL};
    static const char *const old[] = {"ID", "Name", "Username", "Email", "Created", NULL};
    const struct json_value *users = list_users(cli, identifier(cli), args_get(&cli->args, "name"),
                                                args_get(&cli->args, "email"));

    if (!users)
        return 1;
    if (!cli_is_human(cli))
        return cli_show(cli, users, "");
    /* headscale's own answers do not say what somebody may. */
    bool has_roles = json_get(json_first(users), "role") != NULL;
    struct table *t = table_new(cli, has_roles ? columns : old);

    JSON_EACH(user, users) {
        table_row(t);
        table_cell_id(t, user, "id");
        table_cell(t, json_get_str(user, "displayName"));
        table_cell(t, json_get_str(user, "name"));
        table_cell(t, json_get_str(user, "email"));
        table_cell_time(t, user, "createdAt", "");
        if (!has_roles)
            continue;
        bool is_active = str_eq(json_get_str(user, "status"), STR("active"));

        table_cell(t, json_get_str(user, "role"));
        table_cell_colour(t, json_get_str(user, "status"), is_active ? '2' : '1');
    }
    table_print(t);
    return 0;
}

const struct json_value *cli_named_user(struct cli *cli, struct str otherwise)
{
    struct str id = identifier(cli), name = args_get(&cli->args, "name");

    if (id.len == 0 && name.len == 0)
        name = otherwise;
    if (id.len == 0 && name.len == 0) {
        (void)cli_fail(cli, "--name or --identifier flag is required");
        return NULL;
    }
    return cli_find_user(cli, id, name);
}

int cmd_users_destroy(struct cli *cli)
{
    const struct args *args = &cli->args;
    const struct json_value *answer = NULL;
    const struct json_value *user =
        cli_named_user(cli, args->n_operands > 0 ? args->operands[0] : STR_NONE);

    if (!user)
        return 1;
    struct str name = json_get_str(user, "name");
    struct str question = arena_printf(
        cli->arena, "Do you want to remove the user \"%.*s\" and their auth keys?", STR_ARG(name));
    enum cli_answer said = cli_ask_person(cli, question.ptr);

    if (said != CLI_YES)
        return said == CLI_NO ? cli_result(cli, "User not destroyed") : 1;
    struct str path =
        arena_printf(cli->arena, "/api/v1/user/%.*s", STR_ARG(json_get_str(user, "id")));
    if (!cli_call(cli, "destroying user", "DELETE", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, "User destroyed");
}

/* --new-name with --identifier or --name; or, as up to headscale 0.23, OLD and NEW. */
int cmd_users_rename(struct cli *cli)
{
    const struct args *args = &cli->args;
    struct str name = args_get(args, "new-name");
    bool old_form = name.len == 0 && args->n_operands == 2;
    const struct json_value *answer = NULL;

    if (old_form)
        name = args->operands[1];
    if (name.len == 0)
        return cli_fail(cli, "required flag(s) \"new-name\" not set");
    const struct json_value *user = cli_named_user(cli, old_form ? args->operands[0] : STR_NONE);

    if (!user)
        return 1;
    struct str path =
        arena_printf(cli->arena, "/api/v1/user/%.*s/rename/%.*s", STR_ARG(json_get_str(user, "id")),
                     STR_ARG(cli_escape(cli, name)));
    if (!cli_call(cli, "renaming user", "POST", path, NULL, &answer))
        return 1;
    return cli_show(cli, json_get(answer, "user"), "User renamed");
}
