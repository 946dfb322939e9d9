/*
 * What a shell may offer next. The shells' scripts (completion.c) ask `hatsize __complete --
 * WORD…`, the last word being the one at the cursor; the answer is a line for each candidate,
 * "word<TAB>what it is", and last ":files", ":dirs" or ":none", what the shell is to offer besides.
 * So the table of commands is the only list of words there is.
 */

#include <string.h>

#include "cli/cli_internal.h"

#define ANSWER_MS 1500 /* for what only the server knows */

/* ---- Where the words before the cursor lead ---- */

struct walk {
    const char *group;                /* NULL: none yet */
    const struct command_spec *alone; /* the command that the group's word is by itself; NULL */
    const struct command_spec *command;
    const struct flag_spec *pending; /* waits for its value */
    size_t n_operands;
    bool flags_end;
    bool is_lost; /* behind a word that is no command */
};

/* Flags such as --config tell where to ask; they count as if given to __complete itself. */
static void keep_flag(struct cli *cli, const struct flag_spec *f, struct str value)
{
    struct args *a = &cli->args;

    if (a->n_flags == ARGS_MAX)
        return;
    a->flags[a->n_flags].spec = f;
    a->flags[a->n_flags++].value = value;
}

static void step_flag(struct cli *cli, struct walk *w, struct str word)
{
    bool is_long = str_starts(word, STR("--"));
    struct str name = str_sub(word, 1, 1), value = str_from_index(word, 2);
    bool has_value = value.len > 0;

    if (is_long)
        has_value = str_split(str_from_index(word, 2), '=', &name, &value);
    const struct flag_spec *f =
        args_find_flag(w->command, cli_globals, name, is_long ? 0 : name.ptr[0]);

    if (!f || !f->takes_value)
        return;
    if (has_value)
        keep_flag(cli, f, value);
    else
        w->pending = f;
}

/* The command of a group ("": of none) that is called so; NULL. */
static const struct command_spec *find_command(const char *group, struct str word)
{
    for (const struct command_spec *c = cli_commands; c->run; c++)
        if (str_eq(str_from(c->group), str_from(group)) && args_is_command(c, word))
            return c;
    return NULL;
}

static const char *find_group(struct str word)
{
    for (const struct command_spec *c = cli_commands; c->run; c++)
        if (args_is_group(c, word))
            return c->group;
    return NULL;
}

static void step_word(struct walk *w, struct str word)
{
    if (w->command) {
        w->n_operands++;
        return;
    }
    const struct command_spec *c = find_command(w->group ? w->group : "", word);

    if (!w->group && find_group(word)) {
        w->group = find_group(word);
        w->alone = c;
        return;
    }
    w->command = c ? c : w->alone;
    w->n_operands += !c && w->alone;
    w->is_lost = !w->command;
    if (c && c->run == cmd_help) /* whose operands are commands again */
        w->command = NULL;
}

static void step(struct cli *cli, struct walk *w, struct str word)
{
    if (w->pending) {
        keep_flag(cli, w->pending, word);
        w->pending = NULL;
    } else if (!w->flags_end && str_eq(word, STR("--"))) {
        w->flags_end = true;
    } else if (!w->flags_end && word.len > 1 && word.ptr[0] == '-') {
        step_flag(cli, w, word);
    } else {
        step_word(w, word);
    }
}

/* ---- Candidates ---- */

/* `before` stands in front of the candidate: "--output=". */
static void offer(const struct cli *cli, struct str before, struct str typed, struct str word,
                  struct str help)
{
    if (word.len == 0 || !str_starts(word, typed))
        return;
    cli_put_word(cli->out, before);
    cli_put_word(cli->out, word);
    if (help.len > 0)
        (void)fputc('\t', cli->out);
    cli_put_word(cli->out, help);
    (void)fputc('\n', cli->out);
}

static void end(const struct cli *cli, const char *besides)
{
    (void)fprintf(cli->out, ":%s\n", besides);
}

/* Lists that only the server has. */
struct source {
    const char *path, *list, *member, *help;
};
static const struct source users_by_id = {"/api/v1/user", "users", "id", "name"};
static const struct source users_by_name = {"/api/v1/user", "users", "name", "displayName"};
static const struct source nodes_by_id = {"/api/v1/node", "nodes", "id", "givenName"};
static const struct source auth_keys = {"/api/v1/preauthkey", "preAuthKeys", "id", "key"};
static const struct source api_keys = {"/api/v1/apikey", "apiKeys", "id", "prefix"};
static const struct source ssh_checks = {"/api/v1/ssh/check", "checks", "id", "state"};
static const struct source user_invites = {"/api/v1/user-invite", "invitations", "id", "email"};
static const struct source tailnets = {"/api/v1/tailnet", "tailnets", "name", "baseDomain"};

#define ROLES_WORDS "owner admin network-admin it-admin billing-admin auditor member"

/* What the value of a flag, or an operand by its name in the usage line, may be. */
static const struct {
    const char *group; /* NULL: any */
    const char *what;
    const struct source *source;
    const char *words; /* space-separated; ":files" and ":dirs" are the shell's to list */
} values[] = {
    {"users", "identifier", &users_by_id, NULL},
    {"users", "name", &users_by_name, NULL},
    {"users", "[NAME]", &users_by_name, NULL},
    {"users", "ID", &user_invites, NULL},
    {"users", "ROLE", NULL, ROLES_WORDS},
    {NULL, "role", NULL, ROLES_WORDS},
    {NULL, "user-approval", NULL, "on off"},
    {NULL, "device-approval", NULL, "on off"},
    {NULL, "join", NULL, "anyone group: domain: none default"},
    {"users", "[OLD", &users_by_name, NULL},
    {"nodes", "identifier", &nodes_by_id, NULL},
    {"routes", "identifier", &nodes_by_id, NULL},
    {"preauthkeys", "id", &auth_keys, NULL},
    {"apikeys", "id", &api_keys, NULL},
    {"ssh", "ID", &ssh_checks, NULL},
    {"tailnets", "NAME", &tailnets, NULL},
    {"tailnets", "OLD", &tailnets, NULL},
    {NULL, "user", &users_by_name, NULL},
    {NULL, "tailnet", &tailnets, NULL},
    {NULL, "output", NULL, "json json-line yaml"},
    {NULL, "expiration", NULL, "1h 24h 30d 90d 365d"},
    {NULL, "config", NULL, ":files"},
    {NULL, "file", NULL, ":files"},
    {NULL, "FILE", NULL, ":files"},
    {NULL, "CASE.json", NULL, ":files"},
    {NULL, "FILE.json", NULL, ":files"},
    {NULL, "data-dir", NULL, ":dirs"},
};

/* Nothing at all when the server does not answer: a shell is no place for complaints. */
static void offer_source(struct cli *cli, const struct source *source, struct str before,
                         struct str typed)
{
    const struct json_value *answer = NULL;

    if (!cli_load_config(cli, false))
        return;
    cli->config->cli.timeout_ms = MIN(cli->config->cli.timeout_ms, (int64_t)ANSWER_MS);
    if (!cli_call(cli, "completing", "GET", str_from(source->path), NULL, &answer))
        return;
    JSON_EACH(item, json_get_array(answer, source->list)) {
        offer(cli, before, typed, json_get_str(item, source->member),
              json_get_str(item, source->help));
    }
}

static void offer_words(struct cli *cli, struct str words, char between, struct str before,
                        struct str typed)
{
    struct str word;

    while (str_next(&words, between, &word))
        offer(cli, before, typed, word, STR_NONE);
}

/* The values of a flag or an operand called `what`. */
static void offer_values(struct cli *cli, const char *group, struct str what, struct str before,
                         struct str typed)
{
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        const char *words = values[i].words;

        if (!str_eq(str_from(values[i].what), what) ||
            (values[i].group && !str_eq(str_from(values[i].group), str_from(group))))
            continue;
        if (values[i].source)
            offer_source(cli, values[i].source, before, typed);
        else if (words[0] != ':')
            offer_words(cli, str_from(words), ' ', before, typed);
        end(cli, words && words[0] == ':' ? words + 1 : "none");
        return;
    }
    if (str_find_char(what, '|') >= 0)
        offer_words(cli, what, '|', before, typed);
    end(cli, "none");
}

static void offer_flags(struct cli *cli, const struct flag_spec *flags, struct str typed)
{
    for (const struct flag_spec *f = flags; f && f->name; f++) {
        if (f->help)
            offer(cli, STR("--"), str_from_index(typed, 2), str_from(f->name), str_from(f->help));
    }
}

/* A group is offered once, by its first command, and says what it holds. */
static void offer_groups(struct cli *cli, struct str typed)
{
    const char *last = "";

    for (const struct command_spec *c = cli_commands; c->run; c++) {
        if (c->hidden || !c->group[0] || str_eq(str_from(c->group), str_from(last)))
            continue;
        last = c->group;
        if (find_command("", str_from(last)))
            continue;
        struct str help = str_from(c->name);

        for (const struct command_spec *next = c + 1; next->run; next++)
            if (!next->hidden && str_eq(str_from(next->group), str_from(last)))
                help = arena_printf(cli->arena, "%.*s, %s", STR_ARG(help), next->name);
        offer(cli, STR_NONE, typed, str_from(last), help);
    }
}

static void offer_commands(struct cli *cli, const char *group, struct str typed)
{
    for (const struct command_spec *c = cli_commands; c->run; c++)
        if (!c->hidden && str_eq(str_from(c->group), str_from(group)))
            offer(cli, STR_NONE, typed, str_from(c->name), str_from(c->help));
    if (!group[0])
        offer_groups(cli, typed);
}

/* The n-th word of a usage line's operands; the last one again when it goes on for ever. */
static struct str operand_name(const struct command_spec *c, size_t n)
{
    struct str rest = str_from(c->operands), word;

    for (size_t i = 0; str_next(&rest, ' ', &word); i++)
        if (i == n || str_ends(word, STR("...")))
            return word;
    return STR_NONE;
}

static void offer_next(struct cli *cli, const struct walk *w, struct str typed)
{
    const char *group = w->group ? w->group : "";
    struct str name, value;

    if (w->is_lost) {
        end(cli, "none");
    } else if (w->pending) {
        offer_values(cli, group, str_from(w->pending->name), STR_NONE, typed);
    } else if (!w->flags_end && str_starts(typed, STR("--")) &&
               str_split(typed, '=', &name, &value)) {
        struct str before = str_sub(typed, 0, name.len + 1);
        const struct flag_spec *f =
            args_find_flag(w->command, cli_globals, str_from_index(name, 2), 0);

        offer_values(cli, group, f ? str_from(f->name) : STR_NONE, before, value);
    } else if (!w->flags_end && str_starts(typed, STR("-"))) {
        offer_flags(cli, w->command ? w->command->flags : NULL, typed);
        offer_flags(cli, cli_globals, typed);
        offer(cli, STR("--"), str_from_index(typed, 2), STR("help"), STR("what a command takes"));
        end(cli, "none");
    } else if (w->command) {
        offer_values(cli, group, operand_name(w->command, w->n_operands), STR_NONE, typed);
    } else {
        offer_commands(cli, group, typed);
        offer_values(cli, group, w->alone ? operand_name(w->alone, 0) : STR_NONE, STR_NONE, typed);
    }
}

int cmd_complete(struct cli *cli)
{
    const struct args *a = &cli->args;
    struct walk w = {0};

    for (size_t i = 0; i + 1 < a->n_operands; i++)
        step(cli, &w, a->operands[i]);
    offer_next(cli, &w, a->n_operands > 0 ? a->operands[a->n_operands - 1] : STR_NONE);
    return 0;
}
