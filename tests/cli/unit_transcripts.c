/*
 * Whole commands against written transcripts (transcripts/NAME.txt), byte for byte. A transcript
 * says what is typed and what a server answers; what the command asks, prints and returns is
 * compared.
 *
 *   # a comment, up to the end of the line
 *   = NAME TEXT          an answer used more than once, as @NAME
 *   % NAME=VALUE         a variable of the next command
 *   & TEXT               a line on its standard input
 *   $ users list -o yaml the command; words may be quoted "…" with \n, \t, \xHH, \" and \\
 *   < 200 {"users":[]}   the server's next answer; "< gone ERRNO TEXT": none
 *
 * and, made by this program:
 *
 *   > GET https://… {…}  a request, with "as KEY" when it carries one
 *   | text               a line of the answer
 *   ! text               a line of complaints
 *   ? 1                  the exit status
 *
 * TRANSCRIPT_WRITE=1 writes the files anew, for reading and committing.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit.h"

#include "cli/cli_internal.h"
#include "cli/transcript_path.h"
#include "core/clock.h"
#include "http/client.h"

#define FILE_MAX ((size_t)4 << 20)
#define WORDS_MAX 64
#define ANSWERS_MAX 16

struct scene {
    struct arena *arena;
    struct str vars[WORDS_MAX];
    size_t n_vars;
    struct str input;
    struct str command;
    struct str answers[ANSWERS_MAX];
    size_t n_answers, at;
    struct str names[WORDS_MAX], texts[WORDS_MAX]; /* of = lines */
    size_t n_names;
    struct buf requests; /* made by the command */
};

static struct scene *scene; /* the one that fake_fetch plays in */

/* ---- Typing ---- */

static char unescape(struct str s, size_t *at)
{
    char c = s.ptr[++*at];

    if (c == 'n' || c == 't')
        return c == 'n' ? '\n' : '\t';
    if (c != 'x')
        return c;
    int high = hex_digit(s.ptr[*at + 1]), low = hex_digit(s.ptr[*at + 2]);

    *at += 2;
    return (char)(high * 16 + low);
}

/* Splits a command into words, argv[0] before them; the words live in the arena. */
static int words(struct str line, char **argv)
{
    int n = 0;
    bool in_word = false, quoted = false;
    char *to = arena_alloc(scene->arena, line.len + 16);

    argv[n++] = to;
    memcpy(to, "hatsize", 8);
    to = arena_alloc(scene->arena, 2 * line.len + 2);
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];

        if (c == ' ' && !quoted) {
            to += in_word;
            in_word = false;
            continue;
        }
        if (!in_word)
            argv[n++] = to;
        in_word = true;
        if (c == '"')
            quoted = !quoted;
        else
            *to++ = c == '\\' && quoted ? unescape(line, &i) : c;
        assert_true(n < WORDS_MAX);
    }
    return n;
}

/* ---- The server ---- */

/* A time to come is shown as how far off it is. */
static void put_request_body(struct str body)
{
    static const struct str key = STR_INIT("\"expiration\":\"");
    ptrdiff_t at = str_find(body, key);
    int64_t ms = 0;

    if (at < 0) {
        buf_put(&scene->requests, body);
        return;
    }
    struct str rest = str_from_index(body, (size_t)at + key.len);
    struct str time = str_sub(rest, 0, (size_t)str_find_char(rest, '"'));

    assert_true(clock_parse_rfc3339(time, &ms));
    buf_put(&scene->requests, str_sub(body, 0, (size_t)at + key.len));
    buf_printf(&scene->requests, "in %lld s", (long long)((ms - clock_unix_ms()) / 1000));
    buf_put(&scene->requests, str_from_index(rest, time.len));
}

static int fake_fetch(const struct http_fetch_options *o, int *status, struct buf *body,
                      struct err *err)
{
    struct str answer, code, text;

    buf_printf(&scene->requests, "> %s %s", o->method, o->url);
    if (o->bearer.len > 0)
        buf_printf(&scene->requests, " as %.*s", STR_ARG(o->bearer));
    if (o->insecure)
        buf_put(&scene->requests, STR(" insecure"));
    if (o->body.len > 0)
        buf_put_char(&scene->requests, ' ');
    put_request_body(o->body);
    buf_put_char(&scene->requests, '\n');
    if (scene->at == scene->n_answers)
        fail_msg("no answer is left for %s", o->url);
    answer = scene->answers[scene->at++];
    buf_printf(&scene->requests, "< %.*s\n", STR_ARG(answer));
    (void)str_split(answer, ' ', &code, &text);
    if (str_eq(code, STR("gone"))) {
        struct str number, why;
        int64_t sys = 0;

        (void)str_split(text, ' ', &number, &why);
        assert_true(str_parse_i64(number, &sys));
        int failed =
            err_set(err, ERR_IO, "%s: %.*s", o->unix_path ? o->unix_path : o->url, STR_ARG(why));

        err->sys = (int)sys;
        return failed;
    }
    uint64_t number = 0;

    assert_true(str_parse_u64(code, &number));
    *status = (int)number;
    for (size_t i = 0; i < scene->n_names; i++)
        if (str_starts(text, STR("@")) && str_eq(str_from_index(text, 1), scene->names[i]))
            text = scene->texts[i];
    buf_put(body, text);
    return 0;
}

/* ---- Playing ---- */

static void put_lines(struct buf *out, char mark, const char *text, size_t len)
{
    struct str rest = str_bytes(text, len), line;

    while (str_next(&rest, '\n', &line))
        buf_printf(out, "%c%s%.*s\n", mark, line.len > 0 ? " " : "", STR_ARG(line));
    if (len > 0 && text[len - 1] != '\n')
        buf_put(out, STR("\\ no line end\n"));
}

static int run_command(struct cli *cli, char **out, size_t *out_len, char **complaints,
                       size_t *complaints_len)
{
    char *argv[WORDS_MAX];
    int argc = words(scene->command, argv), status;
    FILE *terminal = stdin, *input = NULL;

    if (scene->input.len > 0) {
        input = fmemopen((void *)(uintptr_t)scene->input.ptr, scene->input.len, "r");
        stdin = input;
    }
    cli->out = open_memstream(out, out_len);
    cli->complaints = open_memstream(complaints, complaints_len);
    status = cli_run(cli, argc, argv);
    (void)fclose(cli->out);
    (void)fclose(cli->complaints);
    stdin = terminal;
    if (input)
        (void)fclose(input);
    return status;
}

static void play(struct buf *transcript)
{
    const char *vars[WORDS_MAX + 2] = {"HATSIZE_CONFIG=" TRANSCRIPTS "/config.yaml"};
    struct cli *cli = NEW(struct cli);
    char *out = NULL, *complaints = NULL;
    size_t out_len = 0, complaints_len = 0;

    for (size_t i = 0; i < scene->n_vars; i++)
        vars[i + 1] = scene->vars[i].ptr;
    scene->requests = BUF(FILE_MAX);
    cli->arena = arena_new();
    cli->environ = vars;
    cli->fetch = fake_fetch;
    int status = run_command(cli, &out, &out_len, &complaints, &complaints_len);

    buf_put(transcript, buf_str(&scene->requests));
    for (; scene->at < scene->n_answers; scene->at++)
        fail_msg("an answer was not asked for: %.*s", STR_ARG(scene->answers[scene->at]));
    put_lines(transcript, '|', out, out_len);
    put_lines(transcript, '!', complaints, complaints_len);
    buf_printf(transcript, "? %d\n", status);
    buf_fini(&scene->requests);
    free(out);
    free(complaints);
    config_free(cli->config);
    arena_free(cli->arena);
    mem_free(cli);
    scene->command = scene->input = STR_NONE;
    scene->n_vars = scene->n_answers = scene->at = 0;
}

/* One line of the written part; false when it belongs to what is made. */
static bool take_line(struct str line)
{
    struct str rest = str_from_index(line, 2), name, text;

    switch (line.len > 0 ? line.ptr[0] : '#') {
    case '=':
        (void)str_split(rest, ' ', &name, &text);
        assert_true(scene->n_names < WORDS_MAX);
        scene->names[scene->n_names] = name;
        scene->texts[scene->n_names++] = text;
        return true;
    case '%':
        scene->vars[scene->n_vars++] = arena_copy(scene->arena, rest);
        return true;
    case '&':
        scene->input =
            arena_printf(scene->arena, "%.*s%.*s\n", STR_ARG(scene->input), STR_ARG(rest));
        return true;
    case '$':
        scene->command = rest;
        return true;
    case '<':
        assert_true(scene->n_answers < ANSWERS_MAX);
        scene->answers[scene->n_answers++] = rest;
        return false;
    case '#':
        return true;
    default:
        return false;
    }
}

/* Goes through the text and writes it as it should be. */
static void replay(struct str text, struct buf *transcript)
{
    struct str line;

    while (str_next(&text, '\n', &line)) {
        struct str next = str_sub(text, 0, 1);
        bool is_written = take_line(line);

        if (is_written) {
            buf_put(transcript, line);
            buf_put_char(transcript, '\n');
        }
        /* A command ends where the next written line begins. */
        if (scene->command.len > 0 &&
            (next.len == 0 || str_find_char(STR("=%&$#\n"), *next.ptr) >= 0))
            play(transcript);
    }
}

static struct str read_whole(const char *path, struct arena *arena)
{
    FILE *f = fopen(path, "re");
    struct buf b = BUF(FILE_MAX);
    char chunk[4096];
    size_t got;

    if (!f)
        fail_msg("no file %s", path);
    while ((got = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buf_put(&b, str_bytes(chunk, got));
    (void)fclose(f);
    struct str text = arena_copy(arena, buf_str(&b));

    buf_fini(&b);
    return text;
}

static void compare(const char *name, struct str want, struct str got)
{
    struct str a, b;

    for (size_t n = 1; want.len > 0 || got.len > 0; n++) {
        bool more_a = str_next(&want, '\n', &a), more_b = str_next(&got, '\n', &b);

        if (more_a != more_b || (more_a && !str_eq(a, b)))
            fail_msg("%s, line %zu:\nis     %.*s\nshould %.*s", name, n,
                     STR_ARG(more_b ? b : STR_NONE), STR_ARG(more_a ? a : STR_NONE));
    }
}

static void play_file(const char *name)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO_FINI(buf_fini) struct buf got = BUF(FILE_MAX);
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s/%s.txt", TRANSCRIPTS, name);
    print_message("%s\n", name);
    struct str want = read_whole(path, arena);

    scene = NEW(struct scene);
    scene->arena = arena;
    replay(want, &got);
    mem_free(scene);
    scene = NULL;
    if (getenv("TRANSCRIPT_WRITE")) {
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        (void)fwrite(got.ptr, 1, got.len, f);
        assert_int_equal(fclose(f), 0);
        return;
    }
    compare(name, want, buf_str(&got));
}

#define TRANSCRIPT(name)           \
    static void name(void **state) \
    {                              \
        (void)state;               \
        play_file(#name);          \
    }
TRANSCRIPT(users)
TRANSCRIPT(nodes)
TRANSCRIPT(auth_keys)
TRANSCRIPT(api_keys)
TRANSCRIPT(oauth_clients)
TRANSCRIPT(people)
TRANSCRIPT(sessions)
TRANSCRIPT(old_commands)
TRANSCRIPT(errors)
TRANSCRIPT(hostile)
TRANSCRIPT(remote)
TRANSCRIPT(complete)
TRANSCRIPT(dns)
TRANSCRIPT(others)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users),    cmocka_unit_test(nodes),         cmocka_unit_test(auth_keys),
        cmocka_unit_test(api_keys), cmocka_unit_test(oauth_clients), cmocka_unit_test(errors),
        cmocka_unit_test(hostile),  cmocka_unit_test(old_commands),  cmocka_unit_test(remote),
        cmocka_unit_test(complete), cmocka_unit_test(dns),           cmocka_unit_test(others),
        cmocka_unit_test(sessions), cmocka_unit_test(people),
    };
    int nobody = open("/dev/null", O_RDONLY | O_CLOEXEC);

    /* Nobody sits at this terminal; durations come out even. */
    assert_true(nobody >= 0 && dup2(nobody, STDIN_FILENO) == STDIN_FILENO);
    clock_test_stop();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
