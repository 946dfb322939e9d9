/* The manual page hatsize(1), out of the table of commands. */

#include "cli/cli_internal.h"

/* A line's text: nothing in it is a request, and hyphens stay hyphens. */
static void put(const struct cli *cli, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (c == text && (*c == '.' || *c == '\''))
            (void)fputs("\\&", cli->out);
        if (*c == '\\')
            (void)fputs("\\e", cli->out);
        else if (*c == '-')
            (void)fputs("\\-", cli->out);
        else
            (void)fputc(*c, cli->out);
    }
}

static void put_flags(const struct cli *cli, const struct flag_spec *flags)
{
    for (const struct flag_spec *f = flags; f && f->name; f++) {
        if (!f->help)
            continue;
        (void)fputs(".TP\n", cli->out);
        if (f->letter)
            (void)fprintf(cli->out, "\\fB\\-%c\\fR, ", f->letter);
        (void)fputs("\\fB\\-\\-", cli->out);
        put(cli, f->name);
        (void)fprintf(cli->out, "\\fR%s\n", f->takes_value ? " \\fIVALUE\\fR" : "");
        put(cli, f->help);
        (void)fputs(f->is_required ? " (required)\n" : "\n", cli->out);
    }
}

static void put_aliases(const struct cli *cli, const char *what, const char *aliases)
{
    struct str rest = str_from(aliases), word;
    const char *before = what;

    while (str_next(&rest, ' ', &word)) {
        (void)fprintf(cli->out, "%s\\fB%.*s\\fR", before, STR_ARG(word));
        before = ", ";
    }
    if (aliases[0])
        (void)fputs(".\n", cli->out);
}

static void put_command(const struct cli *cli, const struct command_spec *c)
{
    (void)fputs(".SS \"hatsize ", cli->out);
    put(cli, c->group);
    (void)fputs(c->group[0] ? " " : "", cli->out);
    put(cli, c->name);
    (void)fputs(c->operands[0] ? " " : "", cli->out);
    put(cli, c->operands);
    (void)fputs("\"\n", cli->out);
    put(cli, c->help);
    (void)fputs(".\n", cli->out);
    put_aliases(cli, "Also: ", c->name_aliases);
    put_aliases(cli, "The group is also called ", c->aliases);
    put_flags(cli, c->flags);
}

static const char head[] =
    ".TH HATSIZE 1 \"\" \"hatsize " HATSIZE_VERSION "\" \"Administrator Commands\"\n"
    ".SH NAME\n"
    "hatsize \\- a self\\-hosted control plane for Tailscale clients\n"
    ".SH SYNOPSIS\n"
    ".B hatsize serve\n"
    "[\\fB\\-\\-config\\fR \\fIFILE\\fR] [\\fB\\-\\-data\\-dir\\fR \\fIDIR\\fR]\n"
    ".br\n"
    ".B hatsize\n"
    "\\fIGROUP\\fR \\fICOMMAND\\fR [\\fIFLAGS\\fR] [\\fIOPERANDS\\fR]\n"
    ".SH DESCRIPTION\n"
    ".B hatsize serve\n"
    "runs the server. Every other command speaks to it, over the Unix socket of this machine or, "
    "with\n"
    ".B HATSIZE_CLI_ADDRESS\n"
    "and an API key, over the network. Flags may stand anywhere behind their command.\n"
    ".SH OPTIONS\n"
    "Understood by every command:\n";

static const char tail[] =
    ".SH OUTPUT\n"
    "With \\fB\\-\\-output json\\fR, \\fBjson\\-line\\fR or \\fByaml\\fR a command prints the "
    "objects\n"
    "of the REST API, lists as bare arrays, and a failure is an object with the member "
    "\\fBerror\\fR\n"
    "on the standard error.\n"
    ".SH EXIT STATUS\n"
    "0 when it was done, or when a question was answered with no; 1 when it was refused or "
    "failed.\n"
    ".SH ENVIRONMENT\n"
    "Each variable is also read with \\fBHEADSCALE\\fR in place of \\fBHATSIZE\\fR.\n"
    ".TP\n"
    ".B HATSIZE_CONFIG\n"
    "The configuration file, if \\fB\\-\\-config\\fR does not name it.\n"
    ".TP\n"
    ".B HATSIZE_TAILNET\n"
    "The tailnet, if \\fB\\-\\-tailnet\\fR does not name it. Unless one is named it is the "
    "first.\n"
    ".TP\n"
    ".B HATSIZE_CLI_ADDRESS\n"
    "The server's address, like https://vpn.example.com, in place of the Unix socket.\n"
    ".TP\n"
    ".B HATSIZE_CLI_API_KEY\n"
    "The API key for it.\n"
    ".TP\n"
    ".B HATSIZE_CLI_TIMEOUT\n"
    "How long a command may wait for the server; 5s.\n"
    ".TP\n"
    ".B HATSIZE_CLI_INSECURE\n"
    "true: do not check the server's certificate.\n"
    ".TP\n"
    ".B HATSIZE_CLI_JSON\n"
    "0.29: print the JSON of headscale up to that release.\n"
    ".TP\n"
    ".B NO_COLOR\n"
    "Set: no colours.\n"
    ".SH FILES\n"
    ".TP\n"
    ".I /etc/hatsize/config.yaml\n"
    "The configuration, when nothing else is named.\n"
    ".SH SEE ALSO\n"
    "\\fBtailscale\\fR(8)\n";

int cmd_man(struct cli *cli)
{
    (void)fputs(head, cli->out);
    put_flags(cli, cli_globals);
    (void)fputs(".SH COMMANDS\n", cli->out);
    for (const struct command_spec *c = cli_commands; c->run; c++)
        if (!c->hidden)
            put_command(cli, c);
    (void)fputs(tail, cli->out);
    return 0;
}
