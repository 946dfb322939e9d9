/* preauthkeys … and auth … */

#include "cli/cli_internal.h"

#define AUTH_KEY_MS ((int64_t)3600 * 1000)

/* Where a key's owner is named: a user's number, or, kinder than headscale, a name. */
static bool put_owner(struct cli *cli, struct json_writer *w, struct str user)
{
    uint64_t id = 0;

    if (user.len == 0)
        return true;
    if (!str_parse_u64(user, &id)) {
        const struct json_value *found = cli_find_user(cli, STR_NONE, user);

        if (!found)
            return false;
        user = json_get_str(found, "id");
    }
    json_field_str(w, STR("user"), user);
    return true;
}

static void put_tags(struct cli *cli, struct json_writer *w)
{
    struct str_list tags = args_list(&cli->args, "tags", cli->arena);

    json_field_str_list(w, STR("aclTags"), &tags);
}

/* Makes a key; the answer's preAuthKey object, or NULL after printing. */
static const struct json_value *create_key(struct cli *cli, struct str user)
{
    struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    json_begin_object(&w);
    bool ok = put_owner(cli, &w, user) &&
              cli_put_time(cli, &w, "expiration", STR("expiration"), AUTH_KEY_MS);

    if (ok) {
        json_field_bool(&w, STR("reusable"), args_has(&cli->args, "reusable"));
        json_field_bool(&w, STR("ephemeral"), args_has(&cli->args, "ephemeral"));
        if (args_has(&cli->args, "preauthorized"))
            json_field_bool(&w, STR("preauthorized"), true);
        put_tags(cli, &w);
        json_end_object(&w);
        ok = cli_call(cli, "creating auth key", "POST", STR("/api/v1/preauthkey"), &body, &answer);
    }
    buf_fini(&body);
    return ok ? json_get(answer, "preAuthKey") : NULL;
}

int cmd_keys_create(struct cli *cli)
{
    const struct json_value *key = create_key(cli, args_get(&cli->args, "user"));

    if (!key)
        return 1;
    return cli_show_member(cli, key, "key");
}

/* NULL after printing. */
static const struct json_value *list_keys(struct cli *cli)
{
    return cli_call_list(cli, "listing auth keys", STR("/api/v1/preauthkey"), "preAuthKeys");
}

static struct str owner_of(struct cli *cli, const struct json_value *key)
{
    const struct json_value *tags = json_get_array(key, "aclTags");
    struct str text = STR_NONE;

    JSON_EACH(tag, tags) {
        text = arena_printf(cli->arena, "%.*s%s%.*s", STR_ARG(text), text.len ? "\n" : "",
                            STR_ARG(json_as_str(tag, STR_NONE)));
    }
    if (text.len > 0)
        return text;
    text = json_get_str(json_get_object(key, "user"), "name");
    return text.len > 0 ? text : STR("-");
}

static void put_key(struct cli *cli, struct table *t, const struct json_value *key)
{
    table_cell_id(t, key, "id");
    table_cell(t, json_get_str(key, "key"));
    table_cell(t, json_get_raw(key, "reusable"));
    table_cell(t, json_get_raw(key, "ephemeral"));
    table_cell(t, json_get_raw(key, "used"));
    table_cell_time(t, key, "expiration", "never");
    table_cell_time(t, key, "createdAt", "");
    table_cell_lines(t, owner_of(cli, key));
}

int cmd_keys_list(struct cli *cli)
{
    static const char *const columns[] = {"ID",        "Key/Prefix", "Reusable",
                                          "Ephemeral", "Used",       "Expiration",
                                          "Created",   "Owner",      NULL};

    return table_show(cli, columns, list_keys(cli), put_key);
}

/* The key's id out of the list, by the key itself or its masked form; 0 after printing. */
static uint64_t id_of_key(struct cli *cli, struct str text)
{
    const struct json_value *keys = list_keys(cli);
    uint64_t id = 0;

    if (!keys)
        return 0;
    JSON_EACH(key, keys) {
        struct str shown = json_get_str(key, "key");
        struct str open = str_ends(shown, STR("***")) ? str_sub(shown, 0, shown.len - 3) : shown;

        if (!str_eq(shown, text) && (open.len == shown.len || !str_starts(text, open)))
            continue;
        (void)!str_parse_u64(json_get_str(key, "id"), &id);
        return id;
    }
    (void)cli_fail(cli, "no such auth key; `hatsize preauthkeys list` shows them all");
    return 0;
}

/* --id, or the key itself as the operand (headscale up to 0.27). False: printed. */
static bool named_key(struct cli *cli, uint64_t *id)
{
    if (args_has(&cli->args, "id"))
        return cli_id(cli, "id", id);
    if (cli->args.n_operands == 0) {
        (void)cli_fail(cli, "missing --id parameter");
        return false;
    }
    *id = id_of_key(cli, cli->args.operands[0]);
    return *id > 0;
}

int cmd_keys_expire(struct cli *cli)
{
    struct buf body = BUF(4096);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;
    uint64_t id = 0;

    if (!named_key(cli, &id))
        return 1;
    json_begin_object(&w);
    json_field_u64(&w, STR("id"), id);
    json_end_object(&w);
    bool ok = cli_call(cli, "expiring auth key", "POST", STR("/api/v1/preauthkey/expire"), &body,
                       &answer);

    buf_fini(&body);
    return ok ? cli_show(cli, answer, "Key expired") : 1;
}

int cmd_keys_delete(struct cli *cli)
{
    const struct json_value *answer = NULL;
    uint64_t id = 0;

    if (!named_key(cli, &id))
        return 1;
    struct str path =
        arena_printf(cli->arena, "/api/v1/preauthkey?id=%llu", (unsigned long long)id);
    if (!cli_call(cli, "deleting auth key", "DELETE", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, "Key deleted");
}

/* ---- Pending registrations ---- */

static int register_node(struct cli *cli, struct str auth_id, struct str user)
{
    struct buf body = BUF(16384);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    json_begin_object(&w);
    json_field_str(&w, STR("user"), user);
    json_field_str(&w, STR("authId"), auth_id);
    json_end_object(&w);
    bool ok =
        cli_call(cli, "registering node", "POST", STR("/api/v1/auth/register"), &body, &answer);

    buf_fini(&body);
    if (!ok)
        return 1;
    const struct json_value *node = json_get(answer, "node");
    struct str said =
        arena_printf(cli->arena, "Node %.*s registered", STR_ARG(json_get_str(node, "givenName")));
    return cli_show(cli, node, said.ptr);
}

int cmd_auth_register(struct cli *cli)
{
    return register_node(cli, args_get(&cli->args, "auth-id"), args_get(&cli->args, "user"));
}

int cmd_nodes_register(struct cli *cli)
{
    cli_notice(cli,
               "`nodes register` is deprecated: write `auth register --auth-id ID --user NAME`");
    return register_node(cli, args_get(&cli->args, "key"), args_get(&cli->args, "user"));
}

int cmd_auth_reject(struct cli *cli)
{
    struct buf body = BUF(16384);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    json_begin_object(&w);
    json_field_str(&w, STR("authId"), args_get(&cli->args, "auth-id"));
    json_end_object(&w);
    bool ok =
        cli_call(cli, "rejecting auth request", "POST", STR("/api/v1/auth/reject"), &body, &answer);

    buf_fini(&body);
    return ok ? cli_show(cli, answer, "Auth request rejected") : 1;
}

/* ---- The first machine ---- */

static const struct json_value *user_or_new(struct cli *cli, struct str name)
{
    const struct json_value *answer = NULL;
    struct str path =
        arena_printf(cli->arena, "/api/v1/user?name=%.*s", STR_ARG(cli_escape(cli, name)));

    if (!cli_call(cli, "listing users", "GET", path, NULL, &answer))
        return NULL;
    if (json_len(json_get_array(answer, "users")) > 0)
        return json_first(json_get_array(answer, "users"));
    struct buf body = BUF(16384);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_str(&w, STR("name"), name);
    json_end_object(&w);
    bool ok = cli_call(cli, "creating user", "POST", STR("/api/v1/user"), &body, &answer);

    buf_fini(&body);
    return ok ? json_get(answer, "user") : NULL;
}

/* What machines use: the configured URL, or the address that this command line uses. */
static struct str url_for_machines(struct cli *cli)
{
    struct target t = {0};
    struct err err = {0};

    if (target_find(cli, &t, &err) == 0 && !t.unix_path)
        return t.base;
    return cli->config->server_url;
}

int cmd_quickstart(struct cli *cli)
{
    struct str name = args_get(&cli->args, "user"), time = args_get(&cli->args, "expiration");
    const struct json_value *user = user_or_new(cli, name.len ? name : STR("admin"));
    const struct json_value *key = user ? create_key(cli, json_get_str(user, "id")) : NULL;

    if (!key)
        return 1;
    struct str url = arena_copy(cli->arena, url_for_machines(cli));
    struct str secret = arena_copy(cli->arena, json_get_str(key, "key"));
    struct str line = arena_printf(cli->arena, "tailscale up --login-server=%.*s --auth-key=%.*s",
                                   STR_ARG(url), STR_ARG(secret));

    if (!cli_is_human(cli)) {
        const char *members[] = {"command", line.ptr,   "serverUrl", url.ptr,
                                 "key",     secret.ptr, NULL};

        return cli_show(cli, cli_object(cli, members), "");
    }
    (void)fprintf(cli->out,
                  "\nHatsize is running. On a machine with Tailscale installed, join with:\n\n"
                  "  %.*s\n\n"
                  "The key is good for %s, for %.*s; `hatsize preauthkeys create` makes more.\n"
                  "State lives in %.*s\n\n",
                  STR_ARG(line),
                  args_has(&cli->args, "reusable") ? "any number of machines" : "one machine",
                  STR_ARG(time.len > 0 ? time : STR("an hour")), STR_ARG(cli->config->data_dir));
    return 0;
}
