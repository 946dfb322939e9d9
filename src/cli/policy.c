/* policy …: read, set, check, compare, explain. */

#include <errno.h>
#include <stdio.h>

#include "cli/cli_internal.h"
#include "policy/document.h"

/* ---- Files ---- */

static int read_stream(FILE *f, size_t max, struct buf *in, struct err *err)
{
    char chunk[16384];
    size_t got = 1;

    while (got > 0 && !buf_is_full(in)) {
        got = fread(chunk, 1, sizeof(chunk), f);
        buf_put(in, str_bytes(chunk, got));
    }
    if (ferror(f))
        return err_sys(err, errno, "reading it");
    return buf_is_full(in) ? err_set(err, ERR_LIMIT, "it is over %zu KiB", max >> 10) : 0;
}

int cli_read_file(struct cli *cli, struct str path, size_t max, struct str *text, struct err *err)
{
    struct buf in = BUF(max);
    FILE *f = stdin;
    int status;

    if (!str_eq(path, STR("-")))
        f = fopen(arena_copy(cli->arena, path).ptr, "re");
    if (!f)
        return err_sys(err, errno, "opening it");
    status = read_stream(f, max, &in, err);
    if (f != stdin)
        (void)fclose(f);
    *text = arena_copy(cli->arena, buf_str(&in));
    buf_fini(&in);
    return status;
}

/* The file of --file or the operand; false: printed. */
static bool policy_file(struct cli *cli, struct str *file, struct str *text)
{
    struct err err = {0};

    *file = args_get(&cli->args, "file");
    if (file->len == 0 && cli->args.n_operands == 1)
        *file = cli->args.operands[0];
    if (file->len == 0) {
        (void)cli_fail(cli, "which file? Name it: policy %s FILE", cli->args.command->name);
        return false;
    }
    if (cli_read_file(cli, *file, POLICY_TEXT_MAX, text, &err) == 0)
        return true;
    (void)cli_fail(cli, "%.*s: %s", STR_ARG(*file), err.text);
    return false;
}

/* Sends the text as the API has it; as cli_ask. */
static int ask_about(struct cli *cli, const char *method, struct str path, struct str text,
                     int *status, struct str *got, struct err *err)
{
    struct buf body = BUF(0);
    struct json_writer w = JSON_WRITER(&body);
    int reached;

    json_begin_object(&w);
    json_field_str(&w, STR("policy"), text);
    json_end_object(&w);
    reached = cli_ask(cli, method, path, &body, status, got, err);
    buf_fini(&body);
    return reached;
}

/* ---- Refusals ---- */

int policy_fail(struct cli *cli, struct str file, uint64_t line, uint64_t col, struct str text,
                struct str hint, struct str details)
{
    struct str place = STR_NONE;

    if (line > 0)
        place = arena_printf(cli->arena, ":%llu:%llu", (unsigned long long)line,
                             (unsigned long long)col);
    /* The details say more of the same. */
    struct str more = details.len > 0 ? details : hint;
    return cli_fail(cli, "%.*s%.*s: %.*s%s%.*s", STR_ARG(file), STR_ARG(place), STR_ARG(text),
                    more.len > 0 ? "\n" : "", STR_ARG(more));
}

/* What the server said against the file; false when it was something else. */
static bool print_complaint(struct cli *cli, struct str file, struct str answer)
{
    struct json_value *v = NULL;
    const struct json_value *first;

    if (!json_parse(cli->arena, answer, NULL, &v, NULL))
        return false;
    first = json_first(json_get_array(v, "errors"));
    if (!first || json_get_str(first, "text").len == 0)
        return false;
    (void)policy_fail(cli, file, json_as_u64(json_get(first, "line"), 0),
                      json_as_u64(json_get(first, "column"), 0), json_get_str(first, "text"),
                      json_get_str(first, "hint"), json_get_str(first, "details"));
    return true;
}

/* ---- The commands ---- */

int cmd_policy_get(struct cli *cli)
{
    const struct json_value *answer = NULL;

    if (policy_bypass_wanted(cli))
        return policy_bypass_get(cli);
    if (!cli_call(cli, "reading policy", "GET", STR("/api/v1/policy"), NULL, &answer))
        return 1;
    struct str text = json_get_str(answer, "policy");
    (void)fwrite(text.ptr ? text.ptr : "", 1, text.len, cli->out);
    return 0;
}

int cmd_policy_set(struct cli *cli)
{
    struct str file = STR_NONE, text = STR_NONE, got = STR_NONE;
    struct json_value *answer = NULL;
    struct err err = {0};
    int status = 0;

    if (!policy_file(cli, &file, &text) || !cli_load_config(cli, false))
        return 1;
    if (policy_bypass_wanted(cli))
        return policy_bypass_set(cli, file, text);
    int reached = ask_about(cli, "PUT", STR("/api/v1/policy"), text, &status, &got, &err);

    if (reached < 0)
        return cli_fail_unreached(cli, "setting policy", &err);
    if (status == 200)
        return cli_result(cli, "Policy updated.");
    /* In headscale's words, which name the place at the end. */
    const struct json_value *first = NULL;
    if (json_parse(cli->arena, got, NULL, &answer, NULL))
        first = json_first(json_get_array(answer, "errors"));
    if (first && json_get_str(first, "text").len > 0)
        return cli_fail(cli, "setting policy: %.*s", STR_ARG(json_get_str(first, "message")));
    return cli_fail_refused(cli, "setting policy", status, got);
}

static void print_findings(struct cli *cli, struct str file, const struct json_value *findings)
{
    JSON_EACH(f, findings) {
        struct str line = arena_printf(cli->arena, "%.*s:%llu:%llu: %.*s\n", STR_ARG(file),
                                       (unsigned long long)json_as_u64(json_get(f, "line"), 0),
                                       (unsigned long long)json_as_u64(json_get(f, "column"), 0),
                                       STR_ARG(json_get_str(f, "text")));

        cli_put_text(cli->out, line);
    }
}

/* Without a server: whether it is a policy at all. Who its users are nobody can tell. */
static int check_alone(struct cli *cli, struct str file, struct str text)
{
    AUTO(policy_document_unref) const struct policy_document *document = NULL;
    struct policy_complaint c = {0};

    if (policy_document_parse(text, &(struct policy_parse_options){0}, &document, &c) < 0)
        return policy_fail(cli, file, c.pos.line, c.pos.col, str_from(c.text), str_from(c.hint),
                           STR_NONE);
    for (size_t i = 0; cli_is_human(cli) && i < document->undelivered.len; i++) {
        const struct policy_finding *f = &document->undelivered.items[i];

        cli_put_text(cli->out, arena_printf(cli->arena, "%.*s:%u:%u: %.*s\n", STR_ARG(file),
                                            f->pos.line, f->pos.col, STR_ARG(f->text)));
    }
    return cli_result(cli, "Policy is valid as far as can be told without a running server; its "
                           "users were not looked up and its tests were not run");
}

int cmd_policy_check(struct cli *cli)
{
    struct str file = STR_NONE, text = STR_NONE, got = STR_NONE;
    struct json_value *answer = NULL;
    struct err err = {0};
    int status = 0;

    if (!policy_file(cli, &file, &text) || !cli_load_config(cli, false))
        return 1;
    if (policy_bypass_wanted(cli))
        return policy_bypass_check(cli, file, text);
    int reached = ask_about(cli, "POST", STR("/api/v1/policy/check"), text, &status, &got, &err);

    if (reached < 0)
        return check_alone(cli, file, text);
    if (status == 400 && print_complaint(cli, file, got))
        return 1;
    if (status != 200 || !json_parse(cli->arena, got, NULL, &answer, NULL))
        return cli_fail_refused(cli, "checking policy", status, got);
    if (cli_is_human(cli))
        print_findings(cli, file, json_get_array(answer, "findings"));
    return cli_show(cli, answer, "Policy is valid");
}

int cmd_policy_diff(struct cli *cli)
{
    struct str file = STR_NONE, text = STR_NONE, got = STR_NONE;
    struct json_value *answer = NULL;
    struct err err = {0};
    int status = 0;

    if (!policy_file(cli, &file, &text) || !cli_load_config(cli, false))
        return 1;
    int reached = ask_about(cli, "POST", STR("/api/v1/policy/diff"), text, &status, &got, &err);

    if (reached < 0)
        return cli_fail_unreached(cli, "comparing policy", &err);
    if (status == 400 && print_complaint(cli, file, got))
        return 1;
    if (status != 200 || !json_parse(cli->arena, got, NULL, &answer, NULL))
        return cli_fail_refused(cli, "comparing policy", status, got);
    struct str diff = json_get_str(answer, "diff");
    if (!cli_is_human(cli))
        return cli_show(cli, answer, "");
    cli_put_text(cli->out, diff.len > 0 ? diff : STR("No connection appears or vanishes.\n"));
    return 0;
}

int cmd_policy_explain(struct cli *cli)
{
    const struct json_value *answer = NULL;

    if (cli->args.n_operands != 2)
        return cli_fail(cli, "policy explain SRC DST[:PORT[/PROTO]]: who connects, and to what");
    struct str path = arena_printf(cli->arena, "/api/v1/policy/explain?src=%.*s&dst=%.*s",
                                   STR_ARG(cli_escape(cli, cli->args.operands[0])),
                                   STR_ARG(cli_escape(cli, cli->args.operands[1])));
    if (!cli_call(cli, "explaining", "GET", path, NULL, &answer))
        return 1;
    if (!cli_is_human(cli))
        return cli_show(cli, answer, "");
    cli_put_text(cli->out, json_get_str(answer, "explanation"));
    return 0;
}
