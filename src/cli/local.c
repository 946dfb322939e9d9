/* What runs without a server, or is one: serve, configtest, health, version, private-key. */

#include "cli/cli_internal.h"
#include "crypto/keys.h"
#include "policy/document.h"

int cmd_serve(struct cli *cli)
{
    if (!cli_load_config(cli, true))
        return 1;
    log_init(cli->config->log_level, cli->config->log_format, -1);
    return cli->serve(cli->config);
}

/* The policy too, as far as it can be told without the database who its users are. */
int cmd_configtest(struct cli *cli)
{
    AUTO(policy_document_unref) const struct policy_document *document = NULL;
    struct policy_complaint c = {0};
    struct str text = STR_NONE;
    struct err err = {0};

    if (!cli_load_config(cli, true))
        return 1;
    struct str file = cli->config->policy_path;
    if (cli->config->policy_in_database || file.len == 0)
        return 0;
    if (cli_read_file(cli, file, POLICY_TEXT_MAX, &text, &err) < 0)
        return cli_fail(cli, "%.*s: %s", STR_ARG(file), err.text);
    if (policy_document_parse(text, &(struct policy_parse_options){0}, &document, &c) < 0)
        return policy_fail(cli, file, c.pos.line, c.pos.col, str_from(c.text), str_from(c.hint),
                           STR_NONE);
    return 0;
}

/* Healthy means that the policy in force is the one that was written, too. */
int cmd_health(struct cli *cli)
{
    const struct json_value *answer = NULL;

    if (!cli_call(cli, "asking for health", "GET", STR("/api/v1/health"), NULL, &answer))
        return 1;
    struct str policy = json_get_str(answer, "policy");
    bool is_well = policy.len == 0 || str_eq(policy, STR("pass"));
    int status = str_eq(policy, STR("fail"));

    if (is_well || !cli_is_human(cli)) {
        (void)cli_show(cli, answer, "healthy");
        return status;
    }
    puts(status ? "the policy in force is not the one that was written last:"
                : "healthy, but for the policy in force:");
    JSON_EACH(t, json_get_array(answer, "policyTroubles")) {
        struct str line = arena_printf(
            cli->arena, "tailnet %.*s, %.*s: %.*s\n", STR_ARG(json_get_str(t, "tailnet")),
            STR_ARG(json_get_str(t, "source")), STR_ARG(json_get_str(t, "text")));

        cli_put_text(stdout, line);
    }
    return status;
}

/* A JSON object of one string member, parsed back for showing. */
static const struct json_value *one_member(struct cli *cli, struct str name, struct str value)
{
    struct buf json = BUF(4096);
    struct json_writer w = JSON_WRITER(&json);
    struct json_value *v = NULL;

    json_begin_object(&w);
    json_field_str(&w, name, value);
    json_end_object(&w);
    struct str copy = arena_copy(cli->arena, buf_str(&json));

    buf_fini(&json);
    ASSERT(json_parse(cli->arena, copy, NULL, &v, NULL));
    return v;
}

int cmd_version(struct cli *cli)
{
    return cli_show(cli, one_member(cli, STR("version"), STR(HATSIZE_VERSION)),
                    "hatsize version " HATSIZE_VERSION);
}

int cmd_private_key(struct cli *cli)
{
    struct machine_private key;
    struct buf text = BUF(256);

    machine_private_generate(&key);
    machine_private_put(&text, &key);
    struct str copy = arena_copy(cli->arena, buf_str(&text));
    int status = cli_show(cli, one_member(cli, STR("private_key"), copy), copy.ptr);

    mem_wipe(text.ptr, text.cap);
    buf_fini(&text);
    machine_private_fini(&key);
    return status;
}
