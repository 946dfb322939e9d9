/* events: what changes, as it changes. A stream that breaks is taken up again where it was. */

#include <time.h>

#include "cli/cli_internal.h"
#include "config/options.h"
#include "core/clock.h"
#include "http/client.h"

#define EVENT_LINE_MAX ((size_t)2 << 20)
#define PAUSE_MS 1000

struct following {
    struct cli *cli;
    struct buf line; /* not yet ended */
    struct buf refusal;
    char event[32];
    char id[64];
    uint64_t left; /* events to print; 0: no end */
    bool is_over;
    bool has_begun; /* anything of a stream came */
};

/* "node put 7 alice" */
static void print_event(struct following *f, struct str data)
{
    static const char *const objects[] = {"node", "user", "key"};
    struct cli *cli = f->cli;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;
    struct str name = STR_NONE;

    if (!cli_is_human(cli)) {
        fprintf(cli->out, "{\"id\":\"%s\",\"event\":\"%s\",\"data\":%.*s}\n", f->id, f->event,
                STR_ARG(data));
        (void)fflush(cli->out);
        return;
    }
    if (!json_parse(arena, data, NULL, &v, NULL))
        return;
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        const struct json_value *object = json_get_object(v, objects[i]);

        if (object)
            name = json_get_str(object, i == 0 ? "givenName" : i == 1 ? "name" : "key");
    }
    cli_put_word(cli->out, str_from(f->event));
    (void)fputc(' ', cli->out);
    cli_put_word(cli->out, json_get_str(v, json_get(v, "op") ? "op" : "tailnet"));
    (void)fputc(' ', cli->out);
    cli_put_word(cli->out, json_get_str(v, json_get(v, "op") ? "id" : "revision"));
    (void)fputc(name.len > 0 ? ' ' : '\n', cli->out);
    if (name.len > 0) {
        cli_put_word(cli->out, name);
        (void)fputc('\n', cli->out);
    }
    (void)fflush(cli->out);
}

static void keep_word(char *out, size_t room, struct str word)
{
    size_t n = MIN(word.len, room - 1);

    /* Only what cannot break a line of JSON. */
    for (size_t i = 0; i < n; i++)
        out[i] =
            word.ptr[i] > ' ' && word.ptr[i] < 0x7f && word.ptr[i] != '"' && word.ptr[i] != '\\'
                ? word.ptr[i]
                : '.';
    out[n] = '\0';
}

static void take_line(struct following *f, struct str line)
{
    if (str_starts(line, STR("id: "))) {
        keep_word(f->id, sizeof(f->id), str_from_index(line, 4));
    } else if (str_starts(line, STR("event: "))) {
        keep_word(f->event, sizeof(f->event), str_from_index(line, 7));
    } else if (str_starts(line, STR("data: "))) {
        print_event(f, str_from_index(line, 6));
        f->is_over = f->left == 1;
        f->left -= f->left > 0;
    }
}

static bool on_data(void *user, struct str data)
{
    struct following *f = user;
    ptrdiff_t end;

    f->has_begun = true;
    buf_put(&f->line, data);
    while (!f->is_over && (end = str_find_char(buf_str(&f->line), '\n')) >= 0) {
        take_line(f, str_sub(buf_str(&f->line), 0, (size_t)end));
        buf_drop(&f->line, (size_t)end + 1);
    }
    return !f->is_over && !buf_is_full(&f->line) && !ferror(f->cli->out);
}

/* One stream to its end; the exit status, or -1: again. */
static int follow(struct following *f)
{
    struct cli *cli = f->cli;
    struct target t = {0};
    struct err err = {0};
    struct str tailnet = cli_tailnet(cli);
    int status = 0;

    if (target_find(cli, &t, &err) < 0)
        return cli_fail(cli, "following events: %s", err.text);
    struct str url =
        arena_printf(cli->arena, "%.*s/api/v1/events?since=%s%s%.*s", STR_ARG(t.base), f->id,
                     tailnet.len > 0 ? "&tailnet=" : "", STR_ARG(cli_escape(cli, tailnet)));
    const struct http_fetch_options options = {.url = url.ptr,
                                               .unix_path = t.unix_path,
                                               .bearer = t.bearer,
                                               .insecure = cli->config->cli.insecure,
                                               .timeout_ms = -1,
                                               .on_data = on_data,
                                               .user = f};

    buf_clear(&f->line);
    f->has_begun = false;
    int got = cli->fetch ? cli->fetch(&options, &status, &f->refusal, &err)
                         : http_fetch(&options, &status, &f->refusal, &err);
    if (f->is_over)
        return 0;
    if (got == 0 && status != 200)
        return cli_fail_refused(cli, "following events", status, buf_str(&f->line));
    if (got < 0 && !f->has_begun && f->id[0] == '\0')
        return cli_fail_unreached(cli, "following events", &err);
    return ferror(cli->out) ? 1 : -1;
}

int cmd_events(struct cli *cli)
{
    const struct timespec pause = {.tv_sec = PAUSE_MS / 1000};
    struct following f = {.cli = cli, .line = BUF(EVENT_LINE_MAX), .refusal = BUF(65536)};
    struct str count = args_get(&cli->args, "count");
    int status = -1;

    if (count.len > 0 && (!str_parse_u64(count, &f.left) || f.left == 0))
        return cli_fail(cli, "--count wants a number, not \"%.*s\"", STR_ARG(count));
    if (!cli_load_config(cli, false))
        return 1;
    keep_word(f.id, sizeof(f.id), args_get(&cli->args, "since"));
    while ((status = follow(&f)) < 0)
        (void)nanosleep(&pause, NULL);
    buf_fini(&f.line);
    buf_fini(&f.refusal);
    return status;
}
