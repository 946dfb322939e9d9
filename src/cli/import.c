/*
 * import headscale: a headscale server's database into one of ours. Works on files, beside no
 * server.
 *
 *   --config     headscale's own file: where its database, keys and policy are. `hatsize serve`
 * takes the same file afterwards
 *   --database   another place of the database than the file says
 *
 * The keys stay where the file has them, and are only looked at: who cannot read them at the start
 * would lose every client.
 */

#include "cli/import_internal.h"

#include "core/clock.h"
#include "core/file.h"
#include "crypto/keys.h"
#include "policy/policy.h"

#define HEADSCALE_CONFIG "/etc/headscale/config.yaml"

/* ---- what hooks know ---- */

/* 0 and the document (NULL: no policy); negative with the complaint in err. */
static int read_document(struct str text, const struct policy_document **out, struct err *err)
{
    struct policy_complaint c = {0};

    *out = NULL;
    if (str_trim(text).len == 0)
        return 0;
    if (policy_document_parse(text, &(struct policy_parse_options){0}, out, &c) == 0)
        return 0;
    return err_set(err, ERR_INVALID, "line %u, column %u: %.150s%s%.60s", (unsigned)c.pos.line,
                   (unsigned)c.pos.col, c.text, c.hint[0] ? ": " : "", c.hint);
}

static int judge_policy(void *hook, struct str text, const struct tailnet_view *view,
                        struct err *err)
{
    struct import_run *run = hook;
    struct policy_complaint c = {0};

    if (run->cli->config->policy_in_database && read_document(text, &run->document, err) < 0)
        return -(int)err->code;
    if (run->document && policy_check_users(run->document, view, &c) < 0)
        return err_set(err, ERR_INVALID, "line %u, column %u: %.200s", (unsigned)c.pos.line,
                       (unsigned)c.pos.col, c.text);
    return 0;
}

/* Without a policy no tag was ever valid. */
static bool tag_may_be_requested(void *hook, const struct user *owner, struct str tag)
{
    const struct import_run *run = hook;

    return run->document && policy_tag_may_be_requested(run->document, owner, NULL, tag);
}

/* The policy file: its tags are needed, and a bad one is better known now. */
static void read_policy_file(struct import_run *run)
{
    const struct config *config = run->cli->config;
    struct err err = {0};
    struct str text = STR_NONE;

    if (config->policy_in_database || config->policy_path.len == 0)
        return;
    if (cli_read_file(run->cli, config->policy_path, POLICY_TEXT_MAX, &text, &err) < 0 ||
        read_document(text, &run->document, &err) < 0)
        run->policy_trouble = arena_copy(run->cli->arena, str_from(err.text));
}

/* ---- keys ---- */

static enum import_key_state look_at_key(struct str path, struct str *trouble, struct arena *arena)
{
    struct buf text = BUF((size_t)1 << 16);
    struct machine_private key;
    struct err err = {0};
    bool found = false;
    enum import_key_state state = KEY_GOOD;

    if (file_read(path, &text, &found, &err) < 0) {
        *trouble = arena_copy(arena, str_from(err.text));
        state = KEY_BAD;
    } else if (!found) {
        state = KEY_MISSING;
    } else if (!machine_private_parse(str_trim(buf_str(&text)), &key)) {
        *trouble = STR("it is no key file (\"privkey:\" and 64 hex digits)");
        state = KEY_BAD;
    } else if (file_check_private(path, &err) < 0) {
        *trouble = arena_copy(arena, str_from(err.text));
        state = KEY_BAD;
    }
    machine_private_fini(&key);
    mem_wipe(text.ptr, text.cap);
    buf_fini(&text);
    return state;
}

/* False: the server could not be the one that clients know. */
static bool look_at_keys(struct import_run *run)
{
    const struct config *config = run->cli->config;

    run->noise = look_at_key(config->noise_key_path, &run->noise_trouble, run->cli->arena);
    run->relay = look_at_key(config->derp.private_key_path, &run->relay_trouble, run->cli->arena);
    return run->noise == KEY_GOOD;
}

/* ---- source and target ---- */

static bool is_postgres(struct str database)
{
    return str_starts(database, STR("postgres://")) || str_starts(database, STR("postgresql://"));
}

/* False: said what is missing. */
static bool find_source(struct import_run *run)
{
    struct cli *cli = run->cli;
    struct str database = args_get(&cli->args, "database");

    if (is_postgres(database)) {
        run->options.postgres_url = database;
        run->source = STR("PostgreSQL");
        return true;
    }
    if (database.len == 0 && cli->config->file.len == 0) {
        (void)cli_fail(cli,
                       "which headscale? Give its configuration: hatsize import headscale --config "
                       "%s, or its database: --database FILE",
                       HEADSCALE_CONFIG);
        return false;
    }
    if (database.len == 0 && cli->config->postgres.is_used) {
        run->options.postgres = config_store_options(cli->config, &run->room)->postgres;
        run->source = arena_printf(cli->arena, "PostgreSQL database %.*s",
                                   STR_ARG(cli->config->postgres.name));
        return true;
    }
    run->options.sqlite_path = database.len > 0 ? database : cli->config->sqlite_path;
    run->source = run->options.sqlite_path;
    return true;
}

/* The file that the configuration means for us; headscale's own is never it. */
static void find_target(struct import_run *run)
{
    const struct config *config = run->cli->config;
    struct str path;

    if (config->postgres.is_used) {
        config_store_fini(&run->room);
        run->target = *config_store_options(config, &run->room);
        run->target_name = arena_printf(run->cli->arena, "PostgreSQL database %.*s",
                                        STR_ARG(config->postgres.name));
        return;
    }
    path = import_path_of(config->sqlite_path);
    if (import_is_headscale(path) || str_eq(path, run->options.sqlite_path)) {
        str_free(&path);
        path = import_path_beside(config->sqlite_path);
    }
    run->target = (struct store_options){.sqlite_path = arena_copy(run->cli->arena, path),
                                         .wal = config->sqlite_wal};
    run->target_name = run->target.sqlite_path;
    str_free(&path);
}

/* ---- the command ---- */

static int fail_without_key(struct import_run *run)
{
    const struct config *config = run->cli->config;

    if (run->noise == KEY_MISSING)
        return cli_fail(
            run->cli,
            "the old server's key is not at %.*s. Without it every client has to log in "
            "again: copy it there (noise.private_key_path of the old configuration), or "
            "go on without by --force",
            STR_ARG(config->noise_key_path));
    return cli_fail(run->cli, "the old server's key at %.*s cannot be used: %.*s",
                    STR_ARG(config->noise_key_path), STR_ARG(run->noise_trouble));
}

static int run_import(struct import_run *run)
{
    struct cli *cli = run->cli;
    struct err err = {0};
    bool has_key, forced = args_has(&cli->args, "force");

    run->is_dry = args_has(&cli->args, "dry-run");
    if (!cli_load_config(cli, cli_is_human(cli)) || !find_source(run))
        return 1;
    find_target(run);
    has_key = look_at_keys(run);
    read_policy_file(run);
    run->options.info = config_tailnet_info(cli->config, STR("default"));
    run->options.take_policy = cli->config->policy_in_database;
    run->options.force = forced;
    run->options.identities = args_list(&cli->args, "identity", cli->arena);
    run->options.skip_damaged = args_has(&cli->args, "skip-damaged");
    run->options.now_ms = clock_unix_ms();
    run->options.tag_may_be_requested = tag_may_be_requested;
    run->options.judge_policy = judge_policy;
    run->options.hook = run;

    bool is_dry = run->is_dry || (!has_key && !forced);
    int status =
        import_headscale_into(&run->options, &run->target, is_dry, cli->arena, &run->report, &err);

    run->is_written = status == 0 && !is_dry;
    if (status == 0 || run->report.release.len > 0)
        import_show(run);
    if (status < 0)
        return cli_fail(cli, "importing %.*s: %s", STR_ARG(run->source), err.text);
    return has_key || forced || run->is_dry ? 0 : fail_without_key(run);
}

int cmd_import_headscale(struct cli *cli)
{
    struct import_run run = {.cli = cli};
    int status = run_import(&run);

    config_store_fini(&run.room);
    policy_document_unref(run.document);
    tailnet_info_unref(run.options.info);
    return status;
}
