/* See args.h. */

#include "cli/args.h"

#include "cli/near.h"

/* Whether `word` is one of the space-separated names. */
static bool word_in(struct str word, const char *names)
{
    struct str rest = str_from(names), name;

    while (str_next(&rest, ' ', &name))
        if (name.len > 0 && str_eq(name, word))
            return true;
    return false;
}

bool args_is_group(const struct command_spec *c, struct str word)
{
    return c->group[0] && (str_eq(word, str_from(c->group)) || word_in(word, c->aliases));
}

bool args_is_command(const struct command_spec *c, struct str word)
{
    return str_eq(word, str_from(c->name)) || word_in(word, c->name_aliases);
}

static const struct flag_spec *find_flag(const struct flag_spec *flags, struct str name,
                                         char letter)
{
    for (const struct flag_spec *f = flags; f && f->name; f++)
        if (letter ? f->letter == letter : str_eq(name, str_from(f->name)))
            return f;
    return NULL;
}

/* Spellings of headscale's older command lines, for every command that has the flag of today. */
static const struct {
    const char *name;
    char letter;
    const char *today;
} old_flags[] = {
    {"namespace", 'n', "user"},
};

const struct flag_spec *args_find_flag(const struct command_spec *command,
                                       const struct flag_spec *globals, struct str name,
                                       char letter)
{
    const struct flag_spec *flags = command ? command->flags : NULL;
    const struct flag_spec *f = find_flag(flags, name, letter);

    if (!f)
        f = find_flag(globals, name, letter);
    for (size_t i = 0; i < ARRAY_LEN(old_flags) && !f; i++)
        if (letter ? letter == old_flags[i].letter : str_eq(name, str_from(old_flags[i].name)))
            f = find_flag(flags, str_from(old_flags[i].today), 0);
    return f;
}

struct parser {
    const struct command_spec *commands;
    const struct flag_spec *globals;
    struct args *out;
    struct str group; /* the group's word, until its command is known */
};

/* ---- Flags ---- */

static int add_flag(struct parser *p, const struct flag_spec *f, struct str value, struct err *err)
{
    if (p->out->n_flags == ARGS_MAX)
        return err_set(err, ERR_LIMIT, "too many flags");
    p->out->flags[p->out->n_flags].spec = f;
    p->out->flags[p->out->n_flags++].value = value;
    return 0;
}

static int refuse_flag(const struct parser *p, struct str name, bool is_long, const char *word,
                       struct err *err)
{
    const struct command_spec *c = p->out->command;
    struct near n = NEAR(name);

    for (const struct flag_spec *f = c ? c->flags : NULL; f && f->name; f++)
        if (f->help)
            near_look(&n, f->name);
    for (const struct flag_spec *f = p->globals; f->name; f++)
        near_look(&n, f->name);
    if (is_long && n.best)
        return err_set(err, ERR_INVALID, "unknown flag: %.80s; did you mean --%s?", word, n.best);
    if (!c)
        return err_set(err, ERR_INVALID,
                       "unknown flag: %.80s; a command's own flags stand behind it", word);
    return err_set(err, ERR_INVALID, "unknown flag: %.80s; `hatsize %s%s%s --help` shows them all",
                   word, c->group, c->group[0] ? " " : "", c->name);
}

/* "true" and "false" in the forms that Go takes. */
static bool parse_switch(struct str s, struct str *value)
{
    static const char words[] = "1 t T TRUE true True", no_words[] = "0 f F FALSE false False";

    *value = word_in(s, words) ? STR("true") : STR("false");
    return word_in(s, words) || word_in(s, no_words);
}

static int take_switch(struct parser *p, const struct flag_spec *f, bool has_value,
                       struct str value, struct err *err)
{
    struct str on = STR("true");

    if (has_value && !parse_switch(value, &on))
        return err_set(err, ERR_INVALID, "--%s takes no value", f->name);
    return add_flag(p, f, on, err);
}

/* Takes the flag at argv[*at] and its value; *at is then at the last word taken. */
static int take_flag(struct parser *p, int argc, char **argv, int *at, struct err *err)
{
    struct str word = str_from(argv[*at]), value = STR_NONE, name;
    bool is_long = str_starts(word, STR("--"));
    bool has_value;

    if (str_eq(word, STR("--help")) || str_eq(word, STR("-h"))) {
        p->out->help = true;
        return 0;
    }
    if (is_long) {
        has_value = str_split(str_from_index(word, 2), '=', &name, &value);
    } else {
        name = str_sub(word, 1, 1);
        value = str_from_index(word, 2);
        has_value = value.len > 0;
        if (has_value && value.ptr[0] == '=')
            value = str_from_index(value, 1);
    }
    const struct flag_spec *f =
        args_find_flag(p->out->command, p->globals, name, is_long ? 0 : name.ptr[0]);

    if (!f)
        return refuse_flag(p, name, is_long, argv[*at], err);
    if (!f->takes_value)
        return take_switch(p, f, has_value, value, err);
    if (!has_value) {
        if (*at + 1 >= argc)
            return err_set(err, ERR_INVALID, "--%s wants a value", f->name);
        value = str_from(argv[++*at]);
    }
    return add_flag(p, f, value, err);
}

/* ---- Words ---- */

/* Names the known word nearest to the one that is unknown. */
static int refuse_word(const struct parser *p, struct str word, struct err *err)
{
    struct near n = NEAR(word);
    struct str shown = str_sub(word, 0, 60), group = str_sub(p->group, 0, 60);

    for (const struct command_spec *c = p->commands; c->run; c++) {
        if (c->hidden || (p->group.len > 0 && !args_is_group(c, p->group)))
            continue;
        near_look(&n, p->group.len > 0 || !c->group[0] ? c->name : c->group);
    }
    return err_set(err, ERR_INVALID, "unknown command \"%.*s\" for \"hatsize%s%.*s\"%s%s%s",
                   STR_ARG(shown), group.len > 0 ? " " : "", STR_ARG(group),
                   n.best ? "; did you mean " : "", n.best ? n.best : "", n.best ? "?" : "");
}

/* The command that a group's word alone is: "import FILE" beside "import headscale". */
static const struct command_spec *alone_named(const struct parser *p, struct str word)
{
    for (const struct command_spec *c = p->commands; c->run; c++)
        if (!c->group[0] && str_eq(word, str_from(c->name)))
            return c;
    return NULL;
}

bool args_is_group_too(const struct command_spec *commands, const struct command_spec *alone)
{
    for (const struct command_spec *c = commands; c->run && !alone->group[0]; c++)
        if (c->group[0] && str_eq(str_from(c->group), str_from(alone->name)))
            return true;
    return false;
}

/* A word that is no flag: part of the command's name until that is known, then an operand. */
static int take_word(struct parser *p, struct str word, struct err *err)
{
    struct args *out = p->out;

    if (out->command) {
        if (out->n_operands == ARGS_MAX)
            return err_set(err, ERR_LIMIT, "too many arguments");
        out->operands[out->n_operands++] = word;
        return 0;
    }
    for (const struct command_spec *c = p->commands; c->run; c++) {
        if (p->group.len > 0 ? !args_is_group(c, p->group) : c->group[0] != 0)
            continue;
        if (!args_is_command(c, word) || args_is_group_too(p->commands, c))
            continue;
        out->command = c;
        return 0;
    }
    out->command = p->group.len > 0 ? alone_named(p, p->group) : NULL;
    if (out->command)
        return take_word(p, word, err);
    for (const struct command_spec *c = p->commands; c->run && p->group.len == 0; c++) {
        if (!args_is_group(c, word))
            continue;
        p->group = word;
        out->group = c->group;
        return 0;
    }
    return refuse_word(p, word, err);
}

/* The usage line says how many operands there may be: one for each of its words. */
static size_t operands_max(const struct command_spec *c)
{
    struct str rest = str_from(c->operands), word;
    size_t n = 0;

    while (str_next(&rest, ' ', &word))
        n += word.len > 0;
    return str_find(str_from(c->operands), STR("...")) < 0 ? n : ARGS_MAX;
}

static int check_operands(const struct args *a, struct err *err)
{
    size_t max = a->command ? operands_max(a->command) : ARGS_MAX;

    if (a->n_operands <= max)
        return 0;
    struct str word = str_sub(a->operands[max], 0, 60);

    return err_set(err, ERR_INVALID, "unexpected \"%.*s\" behind \"hatsize %s%s%s\"", STR_ARG(word),
                   a->command->group, a->command->group[0] ? " " : "", a->command->name);
}

static int check_required(const struct args *a, struct err *err)
{
    for (const struct flag_spec *f = a->command ? a->command->flags : NULL; f && f->name; f++)
        if (f->is_required && !args_has(a, f->name))
            return err_set(err, ERR_INVALID, "required flag(s) \"%s\" not set", f->name);
    return 0;
}

int args_parse(int argc, char **argv, const struct command_spec *commands,
               const struct flag_spec *globals, struct args *out, struct err *err)
{
    struct parser p = {.commands = commands, .globals = globals, .out = out};
    bool flags_end = false;

    *out = (struct args){0};
    for (int i = 1; i < argc; i++) {
        struct str word = str_from(argv[i]);
        int status;

        if (!flags_end && str_eq(word, STR("--"))) {
            flags_end = true;
            continue;
        }
        if (!flags_end && word.len > 1 && word.ptr[0] == '-')
            status = take_flag(&p, argc, argv, &i, err);
        else
            status = take_word(&p, word, err);
        if (status < 0)
            return status;
    }
    if (out->help)
        return 0;
    if (check_operands(out, err) < 0)
        return -(int)err->code;
    return check_required(out, err);
}

struct str args_get(const struct args *a, const char *name)
{
    for (size_t i = a->n_flags; i-- > 0;)
        if (str_eq(str_from(a->flags[i].spec->name), str_from(name)))
            return a->flags[i].value;
    return STR_NONE;
}

bool args_has(const struct args *a, const char *name)
{
    for (size_t i = a->n_flags; i-- > 0;)
        if (str_eq(str_from(a->flags[i].spec->name), str_from(name)))
            return a->flags[i].spec->takes_value || str_eq(a->flags[i].value, STR("true"));
    return false;
}

struct str_list args_list(const struct args *a, const char *name, struct arena *arena)
{
    struct str_list list = {0};
    size_t most = 0;

    for (size_t i = 0; i < a->n_flags; i++)
        most += 1 + a->flags[i].value.len;
    list.items = arena_alloc(arena, (most + 1) * sizeof(*list.items));
    for (size_t i = 0; i < a->n_flags; i++) {
        struct str rest = a->flags[i].value, item;

        if (!str_eq(str_from(a->flags[i].spec->name), str_from(name)))
            continue;
        while (str_next(&rest, ',', &item)) {
            item = str_trim(item);
            if (item.len > 0)
                list.items[list.len++] = item;
        }
    }
    return list;
}
