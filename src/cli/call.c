/* The configuration, the call to the server, and how refusals are put. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/cli_internal.h"
#include "core/clock.h"
#include "http/client.h"

#define ANSWER_MAX ((size_t)1 << 30)
#define CLOCK_SLACK_MS 20 /* by which libcurl may give up early */

/* One complaint in the form that is asked for. */
static void complain(const struct cli *cli, struct str text)
{
    struct buf out = BUF(ANSWER_MAX);
    struct json_writer w = cli->format == CLI_JSON ? JSON_WRITER_PRETTY(&out) : JSON_WRITER(&out);

    if (cli->format == CLI_HUMAN) {
        buf_put(&out, STR("Error: "));
        buf_put(&out, text);
    } else if (cli->format == CLI_YAML) {
        buf_put(&out, STR("error: "));
        json_str(&w, text);
    } else {
        json_begin_object(&w);
        json_field_str(&w, STR("error"), text);
        json_end_object(&w);
    }
    cli_put_text(cli->complaints, buf_str(&out));
    (void)fputc('\n', cli->complaints);
    buf_fini(&out);
}

int cli_fail(const struct cli *cli, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    complain(cli, len < 0 ? STR("out of memory") : str_from(text));
    if (len >= 0)
        free(text);
    return 1;
}

void cli_notice(const struct cli *cli, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    if (!cli_is_human(cli))
        return;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0)
        return;
    (void)fputs("Notice: ", cli->complaints);
    cli_put_text(cli->complaints, str_from(text));
    (void)fputc('\n', cli->complaints);
    free(text);
}

/* ---- The configuration ---- */

/* Whether a variable of this process says where the server is. */
static bool is_remote_by_variable(const char *const *vars)
{
    static const struct str names[] = {STR_INIT("HATSIZE_CLI_ADDRESS="),
                                       STR_INIT("HEADSCALE_CLI_ADDRESS=")};

    for (; vars && *vars; vars++)
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (str_starts(str_from(*vars), names[i]) && (*vars)[names[i].len] != '\0')
                return true;
    return false;
}

/* A person's error a line; a program's in one object. */
static void put_remarks(struct cli *cli, const struct config_remarks *remarks, bool with_notices)
{
    struct buf all = BUF(BUF_LIMIT_DEFAULT);

    for (size_t i = 0; i < remarks->len; i++) {
        const struct config_remark *r = &remarks->items[i];
        struct buf line = BUF(8192);

        config_remark_put(&line, r);
        if (!r->is_error && with_notices)
            cli_notice(cli, "%.*s", STR_ARG(buf_str(&line)));
        if (r->is_error && cli_is_human(cli))
            complain(cli, buf_str(&line));
        if (r->is_error && !cli_is_human(cli))
            buf_printf(&all, "%s%.*s", all.len > 0 ? "\n" : "", STR_ARG(buf_str(&line)));
        buf_fini(&line);
    }
    if (all.len > 0)
        (void)cli_fail(cli, "configuration error: %.*s", STR_ARG(buf_str(&all)));
    buf_fini(&all);
}

bool cli_load_config(struct cli *cli, bool with_notices)
{
    struct config_request req = config_request_here();
    struct config_remarks remarks = {0};
    struct err err = {0};

    if (cli->config)
        return true;
    if (cli->environ)
        req.environ = cli->environ;
    req.path = args_get(&cli->args, "config");
    req.data_dir = args_get(&cli->args, "data-dir");
    /* A server elsewhere needs no file of this machine, which may be another server's. */
    if (!with_notices && is_remote_by_variable(req.environ))
        req.default_file = STR_NONE;
    int status = config_load(&req, &cli->config, &remarks, &err);

    put_remarks(cli, &remarks, with_notices);
    if (status < 0 && remarks.len == 0)
        (void)cli_fail(cli, "configuration error: %s", err.text);
    config_remarks_fini(&remarks);
    return status == 0;
}

/* ---- Requests ---- */

struct str cli_escape(struct cli *cli, struct str s)
{
    char *out = arena_alloc(cli->arena, 3 * s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~';

        if (plain)
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", c);
    }
    return str_bytes(out, n);
}

/* What a refusal that is not the API's own may mean. */
static int fail_foreign(struct cli *cli, const char *doing, int status)
{
    struct target t = {0};
    struct err err = {0};

    if (target_find(cli, &t, &err) < 0)
        return cli_fail(cli, "%s: %s", doing, err.text);
    if (status >= 300 && status < 400)
        return cli_fail(cli, "%s: %.*s sends elsewhere (%d): name the final address, https perhaps",
                        doing, STR_ARG(t.base), status);
    if (t.unix_path)
        return cli_fail(cli, "%s: the server answered %d, and not what was expected", doing,
                        status);
    err.code = ERR_IO;
    return cli_fail(cli, "%s: %.*s answered %d, but not as a Hatsize server does%.*s", doing,
                    STR_ARG(t.base), status, STR_ARG(target_advice(cli, &t, &err)));
}

/* "detail: message" out of a refusal, as headscale's command line words it. */
int cli_fail_refused(struct cli *cli, const char *doing, int status, struct str body)
{
    struct json_value *v = NULL;
    const struct json_value *first;
    struct str detail, message;

    if (status == 401)
        return cli_fail(cli,
                        "%s: unexpected response status: Unauthorized\nThe server does not know "
                        "the API key, or it has expired: see HATSIZE_CLI_API_KEY.",
                        doing);
    if (!json_parse(cli->arena, body, NULL, &v, NULL))
        return fail_foreign(cli, doing, status);
    /* v2's shape. */
    message = json_get_str(v, "message");
    if (json_get_str(v, "detail").len == 0 && message.len > 0)
        return cli_fail(cli, "%s: api error (%d): %.*s", doing, status, STR_ARG(message));
    if (json_get_str(v, "detail").len == 0)
        return fail_foreign(cli, doing, status);
    detail = json_get_str(v, "detail");
    first = json_first(json_get_array(v, "errors"));
    message = first ? json_get_str(first, "message") : STR_NONE;
    if (str_eq(detail, str_from(doing)) && message.len > 0)
        return cli_fail(cli, "%s: %.*s", doing, STR_ARG(message));
    return cli_fail(cli, "%s: %.*s%s%.*s", doing, STR_ARG(detail), message.len ? ": " : "",
                    STR_ARG(message));
}

struct str cli_tailnet(const struct cli *cli)
{
    static const struct str names[] = {STR_INIT("HATSIZE_TAILNET="),
                                       STR_INIT("HEADSCALE_TAILNET=")};
    const char *const *vars = cli->environ ? cli->environ : config_request_here().environ;
    struct str name = args_get(&cli->args, "tailnet");

    for (; name.len == 0 && vars && *vars; vars++)
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (str_starts(str_from(*vars), names[i]))
                name = str_from_index(str_from(*vars), names[i].len);
    return name;
}

/* Calls about tailnets have them in their path. */
static struct str with_tailnet(struct cli *cli, struct str path)
{
    struct str name = cli_tailnet(cli);

    if (name.len == 0 || str_starts(path, STR("/api/v1/tailnet")))
        return path;
    return arena_printf(cli->arena, "%.*s%ctailnet=%.*s", STR_ARG(path),
                        str_find_char(path, '?') < 0 ? '?' : '&', STR_ARG(cli_escape(cli, name)));
}

/* What is left of the command's time, in milliseconds, at least one. */
static int64_t time_left(struct cli *cli)
{
    int64_t now = clock_mono_ms();

    if (cli->deadline_ms == 0)
        cli->deadline_ms = now + cli->config->cli.timeout_ms;
    return MAX(cli->deadline_ms - now, (int64_t)1);
}

/*
 * One exchange. A socket whose queue is full says so at once and has taken nothing: then it is
 * tried again as long as there is time.
 */
static int fetch(struct cli *cli, struct http_fetch_options *options, int *status, struct buf *got,
                 struct err *err)
{
    const struct timespec moment = {.tv_nsec = 20 * 1000000};

    for (;;) {
        options->timeout_ms = time_left(cli);
        int result = cli->fetch ? cli->fetch(options, status, got, err)
                                : http_fetch(options, status, got, err);

        cli->timed_out = result < 0 && clock_mono_ms() + CLOCK_SLACK_MS >= cli->deadline_ms;
        if (result == 0 || err->sys != EAGAIN || cli->timed_out)
            return result;
        (void)nanosleep(&moment, NULL);
    }
}

int cli_ask(struct cli *cli, const char *method, struct str path, const struct buf *body,
            int *status, struct str *text, struct err *err)
{
    struct buf got = BUF(ANSWER_MAX);
    struct target t = {0};

    *text = STR_NONE;
    if (target_find(cli, &t, err) < 0)
        return -(int)err->code;
    struct str url =
        arena_printf(cli->arena, "%.*s%.*s", STR_ARG(t.base), STR_ARG(with_tailnet(cli, path)));
    struct http_fetch_options options = {.url = url.ptr,
                                         .unix_path = t.unix_path,
                                         .method = method,
                                         .body = body ? buf_str(body) : STR_NONE,
                                         .content_type = body ? "application/json" : NULL,
                                         .bearer = t.bearer,
                                         .insecure = cli->config->cli.insecure,
                                         .max_body = ANSWER_MAX};
    int result = fetch(cli, &options, status, &got, err);

    if (result == 0)
        *text = arena_copy(cli->arena, buf_str(&got));
    buf_fini(&got);
    return result;
}

int cli_fail_unreached(struct cli *cli, const char *doing, const struct err *err)
{
    struct target t = {0};
    struct err ignored = {0};

    if (err->code != ERR_IO || target_find(cli, &t, &ignored) < 0)
        return cli_fail(cli, "%s: %s", doing, err->text);
    return cli_fail(cli, "%s: no answer: %s%.*s", doing, err->text,
                    STR_ARG(target_advice(cli, &t, err)));
}

bool cli_call(struct cli *cli, const char *doing, const char *method, struct str path,
              const struct buf *body, const struct json_value **answer)
{
    struct json_value *value = NULL;
    struct str text = STR_NONE;
    struct err err = {0};
    int status = 0;

    if (!cli_load_config(cli, false))
        return false;
    if (cli_ask(cli, method, path, body, &status, &text, &err) < 0) {
        (void)cli_fail_unreached(cli, doing, &err);
        return false;
    }
    if (status != 200) {
        (void)cli_fail_refused(cli, doing, status, text);
        return false;
    }
    if (answer &&
        !json_parse(cli->arena, text,
                    &(struct json_options){.max_nodes = (size_t)1 << 26, .max_bytes = ANSWER_MAX},
                    &value, NULL)) {
        (void)fail_foreign(cli, doing, status);
        return false;
    }
    if (answer)
        *answer = value;
    return true;
}

const struct json_value *cli_call_list(struct cli *cli, const char *doing, struct str path,
                                       const char *member)
{
    const struct json_value *answer = NULL, *list;

    if (!cli_call(cli, doing, "GET", path, NULL, &answer))
        return NULL;
    list = json_get_array(answer, member);
    if (!list)
        (void)fail_foreign(cli, doing, 200);
    return list;
}

bool cli_id(struct cli *cli, const char *flag, uint64_t *id)
{
    struct str text = args_get(&cli->args, flag);

    if (str_parse_u64(text, id) && *id > 0)
        return true;
    (void)cli_fail(cli, "--%s wants a number from the ID column, not \"%.*s\"", flag,
                   STR_ARG(text));
    return false;
}

bool cli_put_time(struct cli *cli, struct json_writer *w, const char *flag, struct str member,
                  int64_t otherwise_ms)
{
    struct str text = args_get(&cli->args, flag);
    int64_t ms = otherwise_ms;

    if (text.len > 0 && !clock_parse_duration(text, &ms)) {
        (void)cli_fail(cli, "--%s wants a duration such as 30m, 24h or 90d, not \"%.*s\"", flag,
                       STR_ARG(text));
        return false;
    }
    if (text.len > 0 || otherwise_ms != 0)
        json_field_time(w, member, clock_unix_ms() + ms);
    return true;
}
