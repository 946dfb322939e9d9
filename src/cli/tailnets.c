/* tailnets …: made, seen, changed, suspended, exported, deleted (docs/tailnets.md). */

#include <stdio.h>
#include <unistd.h>

#include "cli/cli_internal.h"
#include "config/options.h"
#include "core/clock.h"
#include "core/file.h"
#include "store/regions.h"

#define BODY_MAX ((size_t)1 << 20)
#define RELAY_FILE_MAX ((size_t)1 << 20)

/* "/api/v1/tailnet/NAME" of the only operand, and what comes behind. Empty: said what is missing.
 */
static struct str path_of(struct cli *cli, const char *rest)
{
    if (cli->args.n_operands == 0 || cli->args.operands[0].len == 0) {
        (void)cli_fail(cli, "missing parameters: tailnets %s NAME", cli->args.command->name);
        return STR_NONE;
    }
    return arena_printf(cli->arena, "/api/v1/tailnet/%.*s%s",
                        STR_ARG(cli_escape(cli, cli->args.operands[0])), rest);
}

static bool has_operands(struct cli *cli, size_t n, const char *usage)
{
    if (cli->args.n_operands == n)
        return true;
    (void)cli_fail(cli, "usage: hatsize tailnets %s", usage);
    return false;
}

/* ---- Seen ---- */

static void put_tailnet(struct cli *cli, struct table *t, const struct json_value *tailnet)
{
    bool suspended = json_as_bool(json_get(tailnet, "suspended"), false);

    (void)cli;
    table_cell_id(t, tailnet, "id");
    table_cell(t, json_get_str(tailnet, "name"));
    table_cell(t, json_get_str(tailnet, "baseDomain"));
    table_cell(t, json_get_raw(tailnet, "users"));
    table_cell(t, json_get_raw(tailnet, "nodes"));
    table_cell_time(t, tailnet, "createdAt", "");
    table_cell(t, suspended ? STR("yes") : STR("no"));
}

int cmd_tailnets_list(struct cli *cli)
{
    static const char *const columns[] = {"ID",    "Name",    "Base domain", "Users",
                                          "Nodes", "Created", "Suspended",   NULL};

    return table_show(cli, columns,
                      cli_call_list(cli, "listing tailnets", STR("/api/v1/tailnet"), "tailnets"),
                      put_tailnet);
}

static void put_line(struct cli *cli, const char *what, struct str value)
{
    (void)fprintf(cli->out, "%-14s ", what);
    cli_put_word(cli->out, value);
    (void)fputc('\n', cli->out);
}

static void put_quota(struct cli *cli, const struct json_value *t, const char *what,
                      const char *have, const char *max)
{
    uint64_t most = json_as_u64(json_get(t, max), 0);
    struct str quota =
        most > 0 ? arena_printf(cli->arena, "at most %llu", (unsigned long long)most) : STR("");
    struct str n = have ? json_get_raw(t, have) : STR("");

    put_line(cli, what,
             arena_printf(cli->arena, "%.*s%s%.*s", STR_ARG(n),
                          n.len > 0 && quota.len > 0 ? ", "
                          : n.len + quota.len > 0    ? ""
                                                     : "no quota",
                          STR_ARG(quota)));
}

static struct str strings_of(struct cli *cli, const struct json_value *list, const char *member)
{
    struct str all = STR_NONE;

    JSON_EACH(v, list) {
        struct str one = member ? json_get_str(v, member) : json_as_str(v, STR_NONE);

        all = arena_printf(cli->arena, "%.*s%s%.*s", STR_ARG(all), all.len > 0 ? ", " : "",
                           STR_ARG(one));
    }
    return all;
}

static void put_switch(struct cli *cli, const struct json_value *t, const char *what,
                       const char *member)
{
    put_line(cli, what,
             json_get_bool(t, member, false) ? STR("wait for approval") : STR("need no approval"));
}

static int show(struct cli *cli, const struct json_value *t)
{
    int64_t expiry = json_get_i64(t, "keyExpirySeconds", 0);

    if (!cli_is_human(cli))
        return cli_show(cli, t, "");
    put_line(cli, "ID:", json_get_str(t, "id"));
    put_line(cli, "Name:", json_get_str(t, "name"));
    put_line(cli, "Base domain:", json_get_str(t, "baseDomain"));
    put_line(cli, "Created:", json_get_str(t, "createdAt"));
    put_line(cli,
             "Suspended:", json_as_bool(json_get(t, "suspended"), false) ? STR("yes") : STR("no"));
    put_line(
        cli, "Addresses:",
        arena_printf(
            cli->arena, "%.*s%s", STR_ARG(strings_of(cli, json_get_array(t, "prefixes"), NULL)),
            json_as_bool(json_get(t, "mayOverlap"), false) ? " (others may have them, too)" : ""));
    put_quota(cli, t, "Nodes:", "nodes", "maxNodes");
    put_quota(cli, t, "Users:", "users", "maxUsers");
    put_quota(cli, t, "Keys:", NULL, "maxKeys");
    put_line(cli, "Keys expire:",
             expiry == 0 ? STR("never")
                         : arena_printf(cli->arena, "after %lld days",
                                        (long long)((expiry + 86399) / 86400)));
    put_line(cli, "Own relays:", strings_of(cli, json_get_array(t, "relays"), "code"));
    put_line(cli, "Joining:", cli_joining_text(cli, t));
    put_switch(cli, t, "New users:", "userApproval");
    put_switch(cli, t, "New devices:", "deviceApproval");
    return 0;
}

int cmd_tailnets_show(struct cli *cli)
{
    const struct json_value *answer = NULL;
    struct str path = path_of(cli, "");

    if (path.len == 0 || !cli_call(cli, "showing tailnet", "GET", path, NULL, &answer))
        return 1;
    return show(cli, json_get(answer, "tailnet"));
}

/* ---- What is set ---- */

/* False: said what is wrong. */
static bool put_number(struct cli *cli, struct json_writer *w, const char *flag, const char *member)
{
    struct str text = args_get(&cli->args, flag);
    uint64_t n = 0;

    if (!args_has(&cli->args, flag))
        return true;
    if (!str_parse_u64(text, &n) || n > UINT32_MAX) {
        (void)cli_fail(cli, "--%s wants a number, 0 for no quota, not \"%.*s\"", flag,
                       STR_ARG(text));
        return false;
    }
    json_field_u64(w, str_from(member), n);
    return true;
}

static bool put_expiry(struct cli *cli, struct json_writer *w)
{
    struct str text = args_get(&cli->args, "key-expiry");
    int64_t ms = 0;

    if (!args_has(&cli->args, "key-expiry") || str_eq(text, STR("default")))
        return true;
    if (!str_eq(text, STR("0")) && !clock_parse_duration(text, &ms)) {
        (void)cli_fail(cli,
                       "--key-expiry wants a duration such as 90d, 0 for never, or default, not "
                       "\"%.*s\"",
                       STR_ARG(text));
        return false;
    }
    json_field_i64(w, STR("keyExpirySeconds"), ms / 1000);
    return true;
}

/* The file is a DERP map, as derp.paths of the configuration takes it. */
static bool put_relays(struct cli *cli, struct json_writer *w)
{
    struct str path = args_get(&cli->args, "relays"), text = STR_NONE;
    struct config_regions regions = {0};
    struct err err = {0};

    if (!args_has(&cli->args, "relays") || str_eq(path, STR("default")))
        return true;
    if (cli_read_file(cli, path, RELAY_FILE_MAX, &text, &err) < 0 ||
        config_regions_parse(path, text, &regions, &err) < 0) {
        (void)cli_fail(cli, "--relays: %s", err.text);
        return false;
    }
    json_field_array(w, STR("relays"));
    regions_put(w, regions.items, regions.len, REGIONS_API);
    json_end_array(w);
    config_regions_fini(&regions);
    return true;
}

/* Members of both create and set. */
static bool put_settings(struct cli *cli, struct json_writer *w)
{
    struct str domain = args_get(&cli->args, "base-domain");

    if (domain.len > 0)
        json_field_str(w, STR("baseDomain"), domain);
    return put_number(cli, w, "max-nodes", "maxNodes") &&
           put_number(cli, w, "max-users", "maxUsers") &&
           put_number(cli, w, "max-keys", "maxKeys") && put_expiry(cli, w) && put_relays(cli, w) &&
           cli_put_joining(cli, w);
}

static void put_reset(struct cli *cli, struct json_writer *w)
{
    json_field_array(w, STR("reset"));
    if (str_eq(args_get(&cli->args, "key-expiry"), STR("default")))
        json_str(w, STR("keyExpirySeconds"));
    if (str_eq(args_get(&cli->args, "relays"), STR("default")))
        json_str(w, STR("relays"));
    if (cli_joins_default(cli))
        json_str(w, STR("joining"));
    json_end_array(w);
}

static int send(struct cli *cli, const char *doing, const char *method, struct str path,
                const struct buf *body, const char *human)
{
    const struct json_value *answer = NULL;

    if (!cli_call(cli, doing, method, path, body, &answer))
        return 1;
    return cli_show(cli, json_get(answer, "tailnet"), human);
}

int cmd_tailnets_create(struct cli *cli)
{
    AUTO_FINI(buf_fini) struct buf body = BUF(BODY_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct str name = args_get(&cli->args, "name");

    if (name.len == 0 && cli->args.n_operands == 1)
        name = cli->args.operands[0];
    if (name.len == 0 || cli->args.n_operands > 1)
        return cli_fail(cli, "missing parameters: tailnets create NAME");
    json_begin_object(&w);
    json_field_str(&w, STR("name"), name);
    if (!put_settings(cli, &w))
        return 1;
    if (args_has(&cli->args, "prefixes")) {
        struct str_list ranges = args_list(&cli->args, "prefixes", cli->arena);

        json_field_str_list(&w, STR("prefixes"), &ranges);
    }
    if (args_has(&cli->args, "may-overlap"))
        json_field_bool(&w, STR("mayOverlap"), true);
    json_end_object(&w);
    return send(cli, "creating tailnet", "POST", STR("/api/v1/tailnet"), &body, "Tailnet created");
}

int cmd_tailnets_set(struct cli *cli)
{
    AUTO_FINI(buf_fini) struct buf body = BUF(BODY_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct str path = path_of(cli, "");

    if (path.len == 0)
        return 1;
    json_begin_object(&w);
    if (!put_settings(cli, &w))
        return 1;
    put_reset(cli, &w);
    json_end_object(&w);
    return send(cli, "changing tailnet", "PATCH", path, &body, "Tailnet changed");
}

int cmd_tailnets_rename(struct cli *cli)
{
    AUTO_FINI(buf_fini) struct buf body = BUF(BODY_MAX);
    struct json_writer w = JSON_WRITER(&body);

    if (!has_operands(cli, 2, "rename OLD NEW"))
        return 1;
    json_begin_object(&w);
    json_field_str(&w, STR("name"), cli->args.operands[1]);
    json_end_object(&w);
    return send(cli, "renaming tailnet", "PATCH", path_of(cli, ""), &body, "Tailnet renamed");
}

/* ---- Suspended, gone, exported ---- */

int cmd_tailnets_suspend(struct cli *cli)
{
    struct str path = path_of(cli, "/suspend");

    if (path.len == 0)
        return 1;
    if (!cli_confirm(cli, "Shall all machines of this tailnet lose access?"))
        return cli_result(cli, "Tailnet not suspended");
    return send(cli, "suspending tailnet", "POST", path, NULL, "Tailnet suspended");
}

int cmd_tailnets_resume(struct cli *cli)
{
    struct str path = path_of(cli, "/resume");

    if (path.len == 0)
        return 1;
    return send(cli, "resuming tailnet", "POST", path, NULL, "Tailnet resumed");
}

/* The name, typed once more, or --force. */
static bool is_sure(struct cli *cli, struct str name)
{
    bool is_terminal = isatty(STDIN_FILENO) == 1;
    char line[256];

    if (args_has(&cli->args, "force"))
        return true;
    if (is_terminal) {
        (void)fputs("All of this tailnet will be gone. Type its name to delete it: ",
                    cli->complaints);
        (void)fflush(cli->complaints);
    }
    cli->deadline_ms = 0; /* a person may think */
    if (fgets(line, sizeof(line), stdin) && str_eq(str_trim(str_from(line)), name))
        return true;
    (void)cli_fail(cli, "not deleted: that was not its name; --force deletes without asking");
    return false;
}

int cmd_tailnets_delete(struct cli *cli)
{
    struct str path = path_of(cli, "");

    if (path.len == 0 || !has_operands(cli, 1, "delete NAME") ||
        !is_sure(cli, cli->args.operands[0]) ||
        !cli_call(cli, "deleting tailnet", "DELETE", path, NULL, NULL))
        return 1;
    return cli_result(cli, "Tailnet deleted");
}

int cmd_tailnets_export(struct cli *cli)
{
    struct str path = path_of(cli, "/export"), text = STR_NONE;
    struct str file = cli->args.n_operands == 2 ? cli->args.operands[1] : STR("-");
    struct err err = {0};
    int status = 0;

    if (path.len == 0 || !cli_load_config(cli, false))
        return 1;
    if (cli_ask(cli, "GET", path, NULL, &status, &text, &err) < 0)
        return cli_fail_unreached(cli, "exporting tailnet", &err);
    if (status != 200)
        return cli_fail_refused(cli, "exporting tailnet", status, text);
    if (str_eq(file, STR("-"))) {
        if (fwrite(text.ptr, 1, text.len, cli->out) != text.len || fflush(cli->out) != 0)
            return cli_fail(cli, "the export could not be written: is the disk full?");
        return 0;
    }
    if (file_write_secret(file, text, &err) < 0)
        return cli_fail(cli, "nothing was exported: %s", err.text);
    return cli_result(cli, arena_printf(cli->arena, "export written to %.*s", STR_ARG(file)).ptr);
}
