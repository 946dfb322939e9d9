/* apikeys … */

#include "cli/cli_internal.h"

#define API_KEY_MS ((int64_t)90 * 86400 * 1000)

int cmd_api_keys_create(struct cli *cli)
{
    struct str_list scopes = args_list(&cli->args, "scope", cli->arena);
    AUTO_FINI(buf_fini) struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    json_begin_object(&w);
    if (!cli_put_time(cli, &w, "expiration", STR("expiration"), API_KEY_MS))
        return 1;
    json_opt_str(&w, STR("description"), args_get(&cli->args, "description"));
    json_opt_str_list(&w, STR("scopes"), &scopes);
    json_end_object(&w);
    if (!cli_call(cli, "creating API key", "POST", STR("/api/v1/apikey"), &body, &answer))
        return 1;
    return cli_show_str(cli, json_get_str(answer, "apiKey"));
}

/* NULL after printing. */
static const struct json_value *list_keys(struct cli *cli)
{
    return cli_call_list(cli, "listing API keys", STR("/api/v1/apikey"), "apiKeys");
}

/* With stars for the part that nobody sees, which not every server puts. */
static struct str masked(struct cli *cli, const struct json_value *key)
{
    struct str prefix = json_get_str(key, "prefix");

    if (str_ends(prefix, STR("*")))
        return prefix;
    return arena_printf(cli->arena, "%.*s-***", STR_ARG(prefix));
}

/* The last day that can be written stands for never. */
static bool ends(const struct json_value *key)
{
    return !str_starts(json_get_str(key, "expiration"), STR("9999-"));
}

static void put_key(struct cli *cli, struct table *t, const struct json_value *key)
{
    table_cell_id(t, key, "id");
    table_cell(t, masked(cli, key));
    table_cell_time(t, ends(key) ? key : NULL, "expiration", "never");
    table_cell_time(t, key, "createdAt", "");
}

int cmd_api_keys_list(struct cli *cli)
{
    static const char *const columns[] = {"ID", "Prefix", "Expiration", "Created", NULL};

    return table_show(cli, columns, list_keys(cli), put_key);
}

/* Exactly one of --id and --prefix; false: printed. */
static bool one_selector(struct cli *cli)
{
    bool id = args_get(&cli->args, "id").len > 0, prefix = args_get(&cli->args, "prefix").len > 0;

    if (id != prefix)
        return true;
    (void)cli_fail(cli, id ? "only one of --id or --prefix can be provided"
                           : "either --id or --prefix must be provided");
    return false;
}

int cmd_api_keys_expire(struct cli *cli)
{
    struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    struct str prefix = args_get(&cli->args, "prefix");
    const struct json_value *answer = NULL;
    uint64_t id = 0;

    if (!one_selector(cli) || (prefix.len == 0 && !cli_id(cli, "id", &id)))
        return 1;
    json_begin_object(&w);
    if (prefix.len > 0)
        json_field_str(&w, STR("prefix"), prefix);
    else
        json_field_u64(&w, STR("id"), id);
    json_end_object(&w);
    bool ok =
        cli_call(cli, "expiring API key", "POST", STR("/api/v1/apikey/expire"), &body, &answer);

    buf_fini(&body);
    return ok ? cli_show(cli, answer, "Key expired") : 1;
}

/* The path names a prefix, so an id is looked up first; empty after printing. */
static struct str prefix_of_id(struct cli *cli, struct str id)
{
    const struct json_value *keys = list_keys(cli);

    if (!keys)
        return STR_NONE;
    JSON_EACH(key, keys) {
        if (str_eq(json_get_str(key, "id"), id))
            return json_get_str(key, "prefix");
    }
    (void)cli_fail(cli, "deleting API key: no key %.*s; `hatsize apikeys list` shows them all",
                   STR_ARG(id));
    return STR_NONE;
}

int cmd_api_keys_delete(struct cli *cli)
{
    struct str prefix = args_get(&cli->args, "prefix");
    const struct json_value *answer = NULL;
    uint64_t id = 0;

    if (!one_selector(cli) || (prefix.len == 0 && !cli_id(cli, "id", &id)))
        return 1;
    if (prefix.len == 0)
        prefix = prefix_of_id(cli, args_get(&cli->args, "id"));
    if (prefix.len == 0)
        return 1;
    struct str path =
        arena_printf(cli->arena, "/api/v1/apikey/%.*s", STR_ARG(cli_escape(cli, prefix)));

    if (!cli_call(cli, "deleting API key", "DELETE", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, "Key deleted");
}
