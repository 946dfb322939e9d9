/* policy eval: what every node of a case gets; no server needed. */

#include <errno.h>
#include <stdio.h>

#include "cli/cli_internal.h"
#include "policy/eval.h"

#define ANSWER_MAX ((size_t)256 << 20)
#define ANSWER_NODES_MAX ((size_t)4000000)

/* A refusal of the policy is an answer like any other; only a case that makes no sense fails. */
int cmd_policy_eval(struct cli *cli)
{
    const struct json_options options = {.max_bytes = ANSWER_MAX, .max_nodes = ANSWER_NODES_MAX};
    struct buf answer = BUF(ANSWER_MAX);
    struct json_value *value = NULL;
    struct str text = STR_NONE;
    struct err err = {0};
    int status = 1;

    if (cli->args.n_operands != 1)
        return cli_fail(cli, "policy eval takes one case: a file, or - for the standard input");
    struct str path = cli->args.operands[0];
    if (cli_read_file(cli, path, POLICY_EVAL_CASE_MAX, &text, &err) < 0 ||
        policy_eval_case(text, &answer, &err) < 0)
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
    buf_fini(&answer);
    return status;
}
