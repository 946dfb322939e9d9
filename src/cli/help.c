/* Help, out of the table of commands. */

#include "cli/cli_internal.h"

static void print_flags(const struct cli *cli, const struct flag_spec *flags)
{
    for (const struct flag_spec *f = flags; f && f->name; f++) {
        char name[64];

        if (!f->help)
            continue;
        (void)snprintf(name, sizeof(name), "--%s%s", f->name, f->takes_value ? " VALUE" : "");
        if (f->letter)
            (void)fprintf(cli->out, "  -%c, ", f->letter);
        else
            (void)fputs("      ", cli->out);
        (void)fprintf(cli->out, "%-24s %s%s\n", name, f->help, f->is_required ? " (required)" : "");
    }
}

static void print_commands(const struct cli *cli, const char *group)
{
    for (const struct command_spec *c = cli_commands; c->run; c++) {
        char name[64];

        if (c->hidden || (group && !str_eq(str_from(group), str_from(c->group))))
            continue;
        (void)snprintf(name, sizeof(name), "%s%s%s %s", c->group, c->group[0] ? " " : "", c->name,
                       c->operands);
        (void)fprintf(cli->out, "  %-36s %s\n", name, c->help);
    }
}

/* "also: …" when there are other words for it. */
static void print_aliases(const struct cli *cli, const char *aliases)
{
    struct str rest = str_from(aliases), word;
    const char *before = "also: ";

    while (str_next(&rest, ' ', &word)) {
        (void)fprintf(cli->out, "%s%.*s", before, STR_ARG(word));
        before = ", ";
    }
    if (aliases[0])
        (void)fputs("\n", cli->out);
}

static const char *aliases_of(const char *group)
{
    for (const struct command_spec *c = cli_commands; c->run; c++)
        if (str_eq(str_from(c->group), str_from(group)))
            return c->aliases;
    return "";
}

void cli_usage(struct cli *cli, const char *group, const struct command_spec *c)
{
    if (c && c->run != cmd_help) {
        (void)fprintf(cli->out, "hatsize %s%s%s%s%s: %s\n", c->group, c->group[0] ? " " : "",
                      c->name, c->operands[0] ? " " : "", c->operands, c->help);
        print_aliases(cli, c->name_aliases);
        (void)fputs("\n", cli->out);
        print_flags(cli, c->flags);
        (void)fprintf(cli->out, "%severywhere:\n", c->flags ? "\n" : "");
    } else {
        (void)fputs("hatsize: a self-hosted control plane for Tailscale clients\n\n", cli->out);
        if (group)
            print_aliases(cli, aliases_of(group));
        (void)fputs("commands:\n", cli->out);
        print_commands(cli, group);
        (void)fputs("\neverywhere:\n", cli->out);
    }
    print_flags(cli, cli_globals);
    (void)fputs("  -h, --help                   what a command takes\n", cli->out);
}

/* help nodes list, help nodes, help serve. */
int cmd_help(struct cli *cli)
{
    const struct args *a = &cli->args;
    struct str first = a->n_operands > 0 ? a->operands[0] : STR_NONE;
    const char *group = NULL;

    for (const struct command_spec *c = cli_commands; c->run && first.len > 0; c++) {
        bool is_group = args_is_group(c, first);
        struct str name = is_group && a->n_operands > 1 ? a->operands[1] : first;

        if (is_group)
            group = c->group;
        if (is_group ? a->n_operands < 2 : c->group[0] != 0)
            continue;
        if (!args_is_command(c, name))
            continue;
        cli_usage(cli, group, c);
        return 0;
    }
    if (first.len > 0 && !group)
        return cli_fail(cli, "unknown command \"%.*s\" for \"hatsize\"", STR_ARG(first));
    cli_usage(cli, group, NULL);
    return 0;
}
