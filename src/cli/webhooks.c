/* webhooks …: who is told of what happens. */

#include "cli/cli_internal.h"

static const char all_events[] = "categoryTailnetManagement,categoryDeviceMisconfigurations";

/* Prints what may be seen only now. */
static int show_secret(struct cli *cli, const struct json_value *webhook)
{
    cli_notice(cli, "webhook %.*s; its secret is shown only now",
               STR_ARG(json_get_str(webhook, "endpointId")));
    return cli_show_member(cli, webhook, "secret");
}

int cmd_webhooks_create(struct cli *cli)
{
    struct str_list events = args_list(&cli->args, "subscribe", cli->arena);
    AUTO_FINI(buf_fini) struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;
    struct str rest = str_from(all_events), piece;

    if (cli->args.n_operands != 1)
        return cli_fail(cli, "webhooks create wants one URL, such as https://example.com/hook");
    json_begin_object(&w);
    json_field_str(&w, STR("endpointUrl"), cli->args.operands[0]);
    json_field_str(&w, STR("providerType"), args_get(&cli->args, "provider"));
    json_field_array(&w, STR("subscriptions"));
    for (size_t i = 0; i < events.len; i++)
        json_str(&w, events.items[i]);
    while (events.len == 0 && str_next(&rest, ',', &piece))
        json_str(&w, piece);
    json_end_array(&w);
    json_end_object(&w);
    if (!cli_call(cli, "creating webhook", "POST", STR("/api/v1/webhook"), &body, &answer))
        return 1;
    return show_secret(cli, answer);
}

static void put_webhook(struct cli *cli, struct table *t, const struct json_value *h)
{
    (void)cli;
    table_cell_id(t, h, "endpointId");
    table_cell(t, json_get_str(h, "endpointUrl"));
    table_cell(t, json_get_str(h, "providerType"));
    table_cell(t, json_get_str(h, "creatorLoginName"));
    table_cell_time(t, h, "created", "");
    table_cell_list(t, json_get_array(h, "subscriptions"));
}

int cmd_webhooks_list(struct cli *cli)
{
    static const char *const columns[] = {"ID",      "URL",           "Provider", "Creator",
                                          "Created", "Subscriptions", NULL};

    return table_show(cli, columns,
                      cli_call_list(cli, "listing webhooks", STR("/api/v1/webhook"), "webhooks"),
                      put_webhook);
}

/* The path of the one that is named; empty after printing. */
static struct str path_of(struct cli *cli, const char *verb, const char *more)
{
    if (cli->args.n_operands == 1)
        return arena_printf(cli->arena, "/api/v1/webhook/%.*s%s",
                            STR_ARG(cli_escape(cli, cli->args.operands[0])), more);
    (void)cli_fail(cli, "webhooks %s wants one ID, as `hatsize webhooks list` shows it", verb);
    return STR_NONE;
}

int cmd_webhooks_delete(struct cli *cli)
{
    struct str path = path_of(cli, "delete", "");
    const struct json_value *answer = NULL;

    if (path.len == 0 || !cli_call(cli, "deleting webhook", "DELETE", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, "Webhook deleted");
}

int cmd_webhooks_test(struct cli *cli)
{
    struct str path = path_of(cli, "test", "/test");
    const struct json_value *answer = NULL;

    if (path.len == 0 || !cli_call(cli, "testing webhook", "POST", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, "Test event is on its way");
}

int cmd_webhooks_rotate(struct cli *cli)
{
    struct str path = path_of(cli, "rotate", "/rotate");
    const struct json_value *answer = NULL;

    if (path.len == 0 ||
        !cli_call(cli, "rotating the webhook's secret", "POST", path, NULL, &answer))
        return 1;
    return show_secret(cli, answer);
}
