/*
 * Words, NUL-terminated, to a command. Law: what is accepted, written the longest way (group,
 * command,
 * --flag=value for each, "--", operands), is accepted again and means the same; so no two ways of
 * writing a thing differ.
 */

#include <string.h>

#include "cli/cli_internal.h"

#define WORDS_MAX 64

struct line {
    char *argv[4 * WORDS_MAX];
    int argc;
};

static void add(struct line *l, struct str word)
{
    ASSERT(l->argc < 4 * WORDS_MAX);
    l->argv[l->argc++] = str_dup(word);
}

static void line_fini(struct line *l)
{
    for (int i = 0; i < l->argc; i++)
        mem_free(l->argv[i]);
}

static void add_flags(struct line *l, const struct args *a)
{
    for (size_t i = 0; i < a->n_flags; i++) {
        struct str flag =
            str_printf("--%s=%.*s", a->flags[i].spec->name, STR_ARG(a->flags[i].value));

        add(l, flag);
        str_free(&flag);
    }
}

static void write_out(struct line *l, const struct args *a)
{
    add(l, STR("hatsize"));
    if (a->command && a->command->group[0])
        add(l, str_from(a->command->group));
    else if (!a->command && a->group)
        add(l, str_from(a->group));
    if (a->command)
        add(l, str_from(a->command->name));
    if (a->help)
        add(l, STR("--help"));
    add_flags(l, a);
    add(l, STR("--"));
    for (size_t i = 0; i < a->n_operands; i++)
        add(l, a->operands[i]);
}

static bool is_same(const struct args *a, const struct args *b)
{
    bool same = a->command == b->command && a->help == b->help && a->n_flags == b->n_flags &&
                a->n_operands == b->n_operands;

    for (size_t i = 0; same && i < a->n_flags; i++)
        same = a->flags[i].spec == b->flags[i].spec && str_eq(a->flags[i].value, b->flags[i].value);
    for (size_t i = 0; same && i < a->n_operands; i++)
        same = str_eq(a->operands[i], b->operands[i]);
    return same;
}

/* A command whose name is a group's too is told from it by its operand only. */
static bool is_ambiguous(const struct args *a)
{
    for (const struct command_spec *c = cli_commands; a->command && c->run; c++)
        if (!a->command->group[0] && str_eq(str_from(c->group), str_from(a->command->name)))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct line given = {0}, again = {0};
    struct str rest = {(const char *)data, size}, word;
    struct args *a = NEW(struct args), *b = NEW(struct args);
    struct err err = {0};

    add(&given, STR("hatsize"));
    while (given.argc < WORDS_MAX && str_next(&rest, '\0', &word))
        add(&given, word);
    if (args_parse(given.argc, given.argv, cli_commands, cli_globals, a, &err) < 0) {
        ASSERT(err.text[0] != '\0');
    } else if (!is_ambiguous(a)) {
        write_out(&again, a);
        ASSERT(args_parse(again.argc, again.argv, cli_commands, cli_globals, b, &err) == 0);
        ASSERT(is_same(a, b));
    }
    line_fini(&given);
    line_fini(&again);
    mem_free(a);
    mem_free(b);
    return 0;
}
