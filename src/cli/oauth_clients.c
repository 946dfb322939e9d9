/* oauth-clients … (headscale.md 2.2), over REST v2. */

#include "cli/cli_internal.h"

#define KEYS "/api/v2/tailnet/-/keys"

int cmd_oauth_clients_create(struct cli *cli)
{
    struct str_list scopes = args_list(&cli->args, "scope", cli->arena);
    struct str_list tags = args_list(&cli->args, "tag", cli->arena);
    struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    if (scopes.len == 0)
        return cli_fail(cli, "at least one --scope is required, such as devices:core or auth_keys");
    json_begin_object(&w);
    json_field_str(&w, STR("keyType"), STR("client"));
    json_field_str_list(&w, STR("scopes"), &scopes);
    json_opt_str_list(&w, STR("tags"), &tags);
    json_opt_str(&w, STR("description"), args_get(&cli->args, "description"));
    json_end_object(&w);
    bool ok = cli_call(cli, "creating OAuth client", "POST", STR(KEYS), &body, &answer);

    buf_fini(&body);
    if (!ok)
        return 1;
    struct str id = json_get_str(answer, "id"), secret = json_get_str(answer, "key");

    return cli_show(cli, answer,
                    arena_printf(cli->arena,
                                 "OAuth client %.*s created.\n"
                                 "Secret (shown once, store it now): %.*s",
                                 STR_ARG(id), STR_ARG(secret))
                        .ptr);
}

/* Those of all keys that are OAuth clients, as a list; NULL after printing. */
static const struct json_value *list_clients(struct cli *cli)
{
    const struct json_value *answer = NULL;
    struct json_value *clients = arena_alloc(cli->arena, sizeof(*clients));
    struct json_value **tail = &clients->list.first;

    if (!cli_call(cli, "listing OAuth clients", "GET", STR(KEYS), NULL, &answer))
        return NULL;
    clients->type = JSON_ARRAY;
    JSON_EACH(key, json_get_array(answer, "keys")) {
        if (!str_eq(json_get_str(key, "keyType"), STR("client")))
            continue;
        struct json_value *copy = arena_alloc(cli->arena, sizeof(*copy));

        *copy = *key;
        copy->next = NULL;
        *tail = copy;
        tail = &copy->next;
        clients->list.len++;
    }
    return clients;
}

static void put_client(struct cli *cli, struct table *t, const struct json_value *client)
{
    (void)cli;
    table_cell(t, json_get_str(client, "id"));
    table_cell_list(t, json_get_array(client, "scopes"));
    table_cell_list(t, json_get_array(client, "tags"));
    table_cell(t, json_get_str(client, "description"));
    table_cell_time(t, client, "created", "");
}

int cmd_oauth_clients_list(struct cli *cli)
{
    static const char *const columns[] = {"ID", "Scopes", "Tags", "Description", "Created", NULL};

    return table_show(cli, columns, list_clients(cli), put_client);
}

int cmd_oauth_clients_delete(struct cli *cli)
{
    struct str id = args_get(&cli->args, "id");
    const struct json_value *clients, *answer = NULL;

    if (id.len == 0)
        return cli_fail(cli, "--id is required: `hatsize oauth-clients list` shows them");
    /* The path takes other keys' ids, too. */
    clients = list_clients(cli);
    if (!clients)
        return 1;
    JSON_EACH(client, clients) {
        if (!str_eq(json_get_str(client, "id"), id))
            continue;
        struct str path = arena_printf(cli->arena, KEYS "/%.*s", STR_ARG(cli_escape(cli, id)));

        if (!cli_call(cli, "deleting OAuth client", "DELETE", path, NULL, &answer))
            return 1;
        return cli_show(cli, answer,
                        arena_printf(cli->arena, "OAuth client %.*s deleted", STR_ARG(id)).ptr);
    }
    return cli_fail(cli,
                    "deleting OAuth client: no client %.*s; `hatsize oauth-clients list` shows "
                    "them all",
                    STR_ARG(id));
}
