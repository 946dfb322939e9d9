/* sessions …: who is logged in to the API in a browser. */

#include "cli/cli_internal.h"

#define SESSIONS "/api/v1/sessions"

static void put_session(struct cli *cli, struct table *t, const struct json_value *session)
{
    (void)cli;
    table_cell(t, json_get_str(session, "id"));
    table_cell(t, json_get_str(session, "login"));
    table_cell_time(t, session, "createdAt", "");
    table_cell_time(t, session, "lastSeen", "");
    table_cell_time(t, session, "expiration", "");
}

int cmd_sessions_list(struct cli *cli)
{
    static const char *const columns[] = {"ID", "User", "Created", "Last seen", "Expiration", NULL};

    return table_show(cli, columns,
                      cli_call_list(cli, "listing sessions", STR(SESSIONS), "sessions"),
                      put_session);
}

int cmd_sessions_delete(struct cli *cli)
{
    struct str id = args_get(&cli->args, "id");
    const struct json_value *answer = NULL;

    if (id.len == 0)
        return cli_fail(cli, "--id is required: `hatsize sessions list` shows them");
    struct str path = arena_printf(cli->arena, SESSIONS "/%.*s", STR_ARG(cli_escape(cli, id)));

    if (!cli_call(cli, "ending the session", "DELETE", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, arena_printf(cli->arena, "Session %.*s ended", STR_ARG(id)).ptr);
}
