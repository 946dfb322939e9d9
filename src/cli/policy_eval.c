/* policy eval: what every node of a case gets; no server needed. */

#include <errno.h>
#include <stdio.h>

#include "cli/cli_internal.h"
#include "policy/eval.h"

#define ANSWER_MAX ((size_t)256 << 20)
#define ANSWER_NODES_MAX ((size_t)4000000)

static int read_stream(FILE *f, struct buf *in, struct err *err)
{
    char chunk[16384];
    size_t got = 1;

    while (got > 0 && !buf_is_full(in)) {
        got = fread(chunk, 1, sizeof(chunk), f);
        buf_put(in, str_bytes(chunk, got));
    }
    if (ferror(f))
        return err_sys(err, errno, "reading it");
    if (buf_is_full(in))
        return err_set(err, ERR_LIMIT, "it is over %zu MiB", POLICY_EVAL_CASE_MAX >> 20);
    return 0;
}

/* The whole of a file, "-" being the standard input. */
static int read_case(struct cli *cli, struct str path, struct buf *in, struct err *err)
{
    FILE *f;
    int status;

    if (str_eq(path, STR("-")))
        return read_stream(stdin, in, err);
    f = fopen(arena_copy(cli->arena, path).ptr, "re");
    if (!f)
        return err_sys(err, errno, "opening it");
    status = read_stream(f, in, err);
    (void)fclose(f);
    return status;
}

/* A refusal of the policy is an answer like any other; only a case that makes no sense fails. */
int cmd_policy_eval(struct cli *cli)
{
    const struct json_options options = {.max_bytes = ANSWER_MAX, .max_nodes = ANSWER_NODES_MAX};
    struct buf answer = BUF(ANSWER_MAX);
    struct json_value *value = NULL;
    struct buf in = BUF(POLICY_EVAL_CASE_MAX);
    struct err err = {0};
    int status = 1;

    if (cli->args.n_operands != 1)
        return cli_fail(cli, "policy eval takes one case: a file, or - for the standard input");
    struct str path = cli->args.operands[0];
    if (read_case(cli, path, &in, &err) < 0 || policy_eval_case(buf_str(&in), &answer, &err) < 0)
        (void)cli_fail(cli, "%.*s: %s", STR_ARG(path), err.text);
    else if (!json_parse(cli->arena, buf_str(&answer), &options, &value, NULL))
        (void)cli_fail(cli, "the answer is too large");
    else
        status = 0;
    if (status == 0) {
        if (cli_is_human(cli))
            cli->format = CLI_JSON; /* it has no other form */
        status = cli_show(cli, value, "");
    }
    buf_fini(&in);
    buf_fini(&answer);
    return status;
}
