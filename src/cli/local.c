/* What is not about users, nodes or keys: serve, configtest, health, version, private-key. */

#include "cli/cli_internal.h"
#include "core/build.h"
#include "core/mem.h"
#include "crypto/keys.h"
#include "net/tls.h"
#include "policy/document.h"

#define PEM_MAX ((size_t)1 << 20)

int cmd_serve(struct cli *cli)
{
    if (!cli_load_config(cli, true))
        return 1;
    log_init(cli->config->log_level, cli->config->log_format, -1);
    return cli->serve(cli->config);
}

/* Certificate and key as the server will read them; 0, or the exit status. */
static int check_certificate(struct cli *cli)
{
    const struct config *c = cli->config;
    struct str cert = STR_NONE, key = STR_NONE;
    struct tls_server *tls = NULL;
    struct err err = {0};
    int status = 0;

    if (c->tls_cert_path.len == 0)
        return 0;
    if (cli_read_file(cli, c->tls_cert_path, PEM_MAX, &cert, &err) < 0)
        return cli_fail(cli, "tls_cert_path: %.*s: %s", STR_ARG(c->tls_cert_path), err.text);
    if (cli_read_file(cli, c->tls_key_path, PEM_MAX, &key, &err) < 0)
        return cli_fail(cli, "tls_key_path: %.*s: %s", STR_ARG(c->tls_key_path), err.text);
    const struct tls_server_options options = {.cert_pem = cert, .key_pem = key};

    if (tls_server_new(&options, &tls, &err) < 0)
        status = cli_fail(cli, "tls_cert_path, tls_key_path: %s", err.text);
    tls_server_unref(tls);
    mem_wipe((void *)(uintptr_t)key.ptr, key.len); /* the arena's memory is ours */
    return status;
}

/* The server would start without, and say in its log what is said here. */
static int check_records(struct cli *cli)
{
    struct str path = cli->config->dns.records_path, text = STR_NONE;
    struct config_records records = {0};
    struct err err = {0};

    if (path.len == 0)
        return 0;
    if (cli_read_file(cli, path, CONFIG_FILE_MAX, &text, &err) < 0)
        return cli_fail(cli, "dns.extra_records_path: %.*s: %s", STR_ARG(path), err.text);
    if (config_records_parse(path, text, &records, &err) < 0)
        return cli_fail(cli, "dns.extra_records_path: %s", err.text);
    config_records_fini(&records);
    return 0;
}

/* As the server does at its start, which ends there if it must. */
static int check_providers(struct cli *cli)
{
    struct err err = {0};

    if (args_has(&cli->args, "offline") || config_ask_providers(cli->config, &err) == 0)
        return 0;
    return cli_fail(cli, "%s (--offline does not ask)", err.text);
}

/* The policy too, as far as it can be told without the database who its users are. */
int cmd_configtest(struct cli *cli)
{
    AUTO(policy_document_unref) const struct policy_document *document = NULL;
    struct policy_complaint c = {0};
    struct str text = STR_NONE;
    struct err err = {0};

    if (!cli_load_config(cli, true) || check_certificate(cli) != 0 || check_records(cli) != 0 ||
        check_providers(cli) != 0)
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
    const struct json_value *troubles = json_get_array(answer, "troubles");
    bool is_well =
        (policy.len == 0 || str_eq(policy, STR("pass"))) && (!troubles || json_len(troubles) == 0);
    int status = str_eq(policy, STR("fail"));

    if (is_well || !cli_is_human(cli)) {
        (void)cli_show(cli, answer, "healthy");
        return status;
    }
    (void)fputs(status ? "the policy in force is not the one that was written last:\n"
                       : "healthy, but:\n",
                cli->out);
    JSON_EACH(t, json_get_array(answer, "policyTroubles")) {
        struct str line = arena_printf(
            cli->arena, "policy of tailnet %.*s, %.*s: %.*s\n", STR_ARG(json_get_str(t, "tailnet")),
            STR_ARG(json_get_str(t, "source")), STR_ARG(json_get_str(t, "text")));

        cli_put_text(cli->out, line);
    }
    JSON_EACH(t, troubles) {
        struct str line = arena_printf(cli->arena, "%.*s: %.*s\n", STR_ARG(json_get_str(t, "part")),
                                       STR_ARG(json_get_str(t, "text")));

        cli_put_text(cli->out, line);
    }
    return status;
}

/* ---- The configuration in force ---- */

/* "key: value" lines as an object of strings; a key that comes more than once stays apart. */
static const struct json_value *lines_object(struct cli *cli, struct str lines)
{
    size_t n = 0, most = 1;
    struct str line, name, value;

    for (size_t i = 0; i < lines.len; i++)
        most += lines.ptr[i] == '\n';
    const char **members = arena_alloc(cli->arena, (2 * most + 1) * sizeof(*members));

    while (str_next(&lines, '\n', &line)) {
        if (!str_split(line, ':', &name, &value))
            continue;
        members[n++] = arena_copy(cli->arena, name).ptr;
        members[n++] = arena_copy(cli->arena, str_trim(value)).ptr;
    }
    return cli_object(cli, members);
}

int cmd_dump_config(struct cli *cli)
{
    struct buf text = BUF(BUF_LIMIT_DEFAULT);

    if (!cli_load_config(cli, true))
        return 1;
    config_put(&text, cli->config);
    struct str copy = arena_copy(cli->arena, str_trim(buf_str(&text)));

    buf_fini(&text);
    return cli_show(cli, lines_object(cli, copy), copy.ptr);
}

/* ---- Without any server ---- */

/* headscale's members; there is no Go in this, but scripts may look for what it ran on. */
static const struct json_value *version_object(struct cli *cli)
{
    struct buf json = BUF(4096);
    struct json_writer w = JSON_WRITER(&json);
    struct json_value *v = NULL;

    json_begin_object(&w);
    json_field_str(&w, STR("version"), STR(HATSIZE_VERSION));
    json_field_str(&w, STR("commit"), str_from(build_info.commit));
    json_field_str(&w, STR("buildTime"), str_from(build_info.time));
    json_field_object(&w, STR("go"));
    json_field_str(&w, STR("version"), STR(""));
    json_field_str(&w, STR("os"), STR("linux"));
    json_field_str(&w, STR("arch"), STR(BUILD_ARCH));
    json_end_object(&w);
    json_field_bool(&w, STR("dirty"), build_info.dirty);
    json_field_str(&w, STR("compiler"), STR(BUILD_COMPILER));
    json_end_object(&w);
    struct str copy = arena_copy(cli->arena, buf_str(&json));

    buf_fini(&json);
    ASSERT(json_parse(cli->arena, copy, NULL, &v, NULL));
    return v;
}

int cmd_version(struct cli *cli)
{
    struct str text =
        arena_printf(cli->arena,
                     "hatsize version " HATSIZE_VERSION "\n"
                     "commit: %s%s\n"
                     "build time: %s\n"
                     "built with: " BUILD_COMPILER " linux/" BUILD_ARCH,
                     build_info.commit, build_info.dirty ? " (changed)" : "", build_info.time);

    return cli_show(cli, version_object(cli), text.ptr);
}

int cmd_private_key(struct cli *cli)
{
    struct machine_private key;
    struct buf text = BUF(256);

    machine_private_generate(&key);
    machine_private_put(&text, &key);
    struct str copy = arena_copy(cli->arena, buf_str(&text));
    const char *members[] = {"private_key", copy.ptr, NULL};
    int status = cli_show(cli, cli_object(cli, members), copy.ptr);

    mem_wipe(text.ptr, text.cap);
    mem_wipe((void *)(uintptr_t)copy.ptr, copy.len);
    buf_fini(&text);
    machine_private_fini(&key);
    return status;
}

int cmd_mock_oidc(struct cli *cli)
{
    return cli_fail(cli, "there is no test identity provider in hatsize: run a real one beside it "
                         "(Dex, Keycloak, npm's oidc-provider) and set oidc.issuer");
}
