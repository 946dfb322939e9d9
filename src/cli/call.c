/* The call to the server, and how its refusals are put. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_internal.h"
#include "http/client.h"

#define ANSWER_MAX ((size_t)1 << 30)

int cli_fail(const struct cli *cli, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0)
        text = strdup("out of memory");
    if (cli->format == CLI_HUMAN) {
        (void)fprintf(stderr, "Error: %s\n", text ? text : "");
        free(text);
        return 1;
    }
    struct buf out = BUF(ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (cli->format == CLI_YAML) {
        buf_put(&out, STR("error: "));
        json_str(&w, str_from(text));
    } else {
        json_begin_object(&w);
        json_field_str(&w, STR("error"), str_from(text));
        json_end_object(&w);
    }
    (void)fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&out)));
    buf_fini(&out);
    free(text);
    return 1;
}

bool cli_load_config(struct cli *cli, bool with_notices)
{
    struct config_request req = config_request_here();
    struct config_remarks remarks = {0};
    struct err err = {0};

    if (cli->config)
        return true;
    req.path = args_get(&cli->args, "config");
    req.data_dir = args_get(&cli->args, "data-dir");
    int status = config_load(&req, &cli->config, &remarks, &err);

    for (size_t i = 0; i < remarks.len; i++) {
        struct buf line = BUF(8192);

        if (!remarks.items[i].is_error && !with_notices)
            continue;
        config_remark_put(&line, &remarks.items[i]);
        (void)fprintf(stderr, "%s: %.*s\n", remarks.items[i].is_error ? "Error" : "Notice",
                      STR_ARG(buf_str(&line)));
        buf_fini(&line);
    }
    if (status < 0 && remarks.len == 0)
        (void)cli_fail(cli, "configuration error: %s", err.text);
    config_remarks_fini(&remarks);
    return status == 0;
}

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

/* "detail: message" out of a refusal, as headscale's command line words it. */
int cli_fail_refused(struct cli *cli, const char *doing, int status, struct str body)
{
    struct json_value *v = NULL;
    const struct json_value *first;
    struct str detail, message;

    if (!json_parse(cli->arena, body, NULL, &v, NULL)) {
        return cli_fail(cli, "%s: the server answered %d", doing, status);
    }
    detail = json_get_str(v, "detail");
    first = json_first(json_get_array(v, "errors"));
    message = first ? json_get_str(first, "message") : STR_NONE;
    return cli_fail(cli, "%s: %.*s%s%.*s", doing, STR_ARG(detail), message.len ? ": " : "",
                    STR_ARG(message));
}

static struct str with_tailnet(struct cli *cli, struct str path)
{
    struct str name = args_get(&cli->args, "tailnet");

    if (name.len == 0)
        return path;
    return arena_printf(cli->arena, "%.*s%ctailnet=%.*s", STR_ARG(path),
                        str_find_char(path, '?') < 0 ? '?' : '&', STR_ARG(cli_escape(cli, name)));
}

int cli_ask(struct cli *cli, const char *method, struct str path, const struct buf *body,
            int *status, struct str *text, struct err *err)
{
    struct buf got = BUF(ANSWER_MAX);
    struct str url = arena_printf(cli->arena, "http://local%.*s", STR_ARG(with_tailnet(cli, path)));
    struct str socket = arena_copy(cli->arena, config_socket_path(cli->config));
    const struct http_fetch_options options = {.url = url.ptr,
                                               .unix_path = socket.ptr,
                                               .method = method,
                                               .body = body ? buf_str(body) : STR_NONE,
                                               .content_type = body ? "application/json" : NULL,
                                               .timeout_ms = cli->config->cli.timeout_ms,
                                               .max_body = ANSWER_MAX};
    int result = http_fetch(&options, status, &got, err);

    *text = result == 0 ? arena_copy(cli->arena, buf_str(&got)) : STR_NONE;
    buf_fini(&got);
    return result;
}

int cli_fail_unreached(struct cli *cli, const char *doing, const struct err *err)
{
    return cli_fail(
        cli,
        "%s: no answer on %.*s: %s\nIs the server running? Start it with `hatsize serve` "
        "and name it as it was started (--config, --data-dir).",
        doing, STR_ARG(config_socket_path(cli->config)), err->text);
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
        (void)cli_fail(cli, "%s: the server's answer is not JSON", doing);
        return false;
    }
    if (answer)
        *answer = value;
    return true;
}

bool cli_confirm(const struct cli *cli, const char *question)
{
    char line[64];
    struct str answer;

    if (args_has(&cli->args, "force"))
        return true;
    (void)fprintf(stderr, "%s [y/n] ", question);
    if (!fgets(line, sizeof(line), stdin))
        return false;
    answer = str_trim(str_from(line));
    return str_eq_nocase(answer, STR("y")) || str_eq_nocase(answer, STR("yes")) ||
           str_eq_nocase(answer, STR("sure"));
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
