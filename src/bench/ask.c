/*
 * One machine with a key of its own, asking over its Noise channel what standard input says: a line
 * "PATH BODY" each. Each answer is a line, [STATUS, "TEXT"]; the status is 0 when none came. For
 * tests of what a machine is told.
 */

#include <errno.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "client/control_client.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "json/writer.h"

#define ANSWER_MS 10000
#define LINE_BYTES ((size_t)256 << 10)

struct asking {
    bool is_ready, is_gone, is_answered;
    int status;
    struct buf text;
};

static void on_ready(void *user, const struct err *err)
{
    struct asking *a = user;

    a->is_ready = err == NULL;
    if (err)
        (void)fprintf(stderr, "Error: %s\n", err->text);
}

static void on_close(void *user)
{
    struct asking *a = user;

    a->is_gone = true;
}

static void on_answer(void *user, int status, struct str body, const struct err *err)
{
    struct asking *a = user;

    a->is_answered = true;
    a->status = err ? 0 : status;
    buf_clear(&a->text);
    buf_put(&a->text, err ? str_from(err->text) : body);
}

static void wait_for(struct loop *loop, const struct asking *a, const bool *flag)
{
    int64_t end = clock_mono_ms() + ANSWER_MS;

    while (!*flag && !a->is_gone && clock_mono_ms() < end)
        loop_run_once(loop, 20);
}

static void print_answer(const struct asking *a)
{
    struct buf line = BUF((size_t)8 << 20);
    struct json_writer w = JSON_WRITER(&line);

    json_begin_array(&w);
    json_u64(&w, a->is_answered ? (uint64_t)a->status : 0);
    json_str(&w, buf_str(&a->text));
    json_end_array(&w);
    (void)printf("%.*s\n", STR_ARG(buf_str(&line)));
    (void)fflush(stdout);
    buf_fini(&line);
}

static void ask(struct loop *loop, struct control_client *client, struct asking *a, char *line)
{
    struct str text = str_trim(str_from(line));
    size_t space = 0;

    while (space < text.len && text.ptr[space] != ' ')
        space++;
    a->is_answered = false;
    buf_clear(&a->text);
    control_client_post(client, str_sub(text, 0, space), str_trim(str_sub(text, space, text.len)),
                        on_answer, a);
    wait_for(loop, a, &a->is_answered);
    print_answer(a);
}

int bench_ask(const struct bench_options *o)
{
    struct asking a = {.text = BUF((size_t)4 << 20)};
    struct machine_private machine;
    struct machine_key server;
    struct loop *loop = NULL;
    struct err err = {0};

    if (control_fetch_key(o->url, &server, &err) < 0 || loop_new("ask", &loop, &err) < 0) {
        (void)fprintf(stderr, "Error: %s\n", err.text);
        return 1;
    }
    machine_private_generate(&machine);
    struct control_client *client =
        control_client_new(&(struct control_client_options){.loop = loop,
                                                            .addr = o->addr,
                                                            .authority = o->authority,
                                                            .server = server,
                                                            .machine = &machine,
                                                            .version = 130,
                                                            .on_ready = on_ready,
                                                            .on_close = on_close,
                                                            .user = &a});
    char *line = mem_alloc(LINE_BYTES);
    wait_for(loop, &a, &a.is_ready);
    while (a.is_ready && !a.is_gone && fgets(line, (int)LINE_BYTES, stdin))
        ask(loop, client, &a, line);
    if (!a.is_gone)
        control_client_close(client);
    while (!a.is_gone)
        loop_run_once(loop, 20);
    loop_free(loop);
    machine_private_fini(&machine);
    mem_free(line);
    buf_fini(&a.text);
    return a.is_ready ? 0 : 1;
}
