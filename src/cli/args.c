/* See args.h. */

#include "cli/args.h"

/* Whether `word` is one of the space-separated names. */
static bool word_in(struct str word, const char *names)
{
    struct str rest = str_from(names), name;

    while (str_next(&rest, ' ', &name))
        if (name.len > 0 && str_eq(name, word))
            return true;
    return false;
}

static bool is_group(const struct command_spec *c, struct str word)
{
    return c->group[0] && (str_eq(word, str_from(c->group)) || word_in(word, c->aliases));
}

static bool is_name(const struct command_spec *c, struct str word)
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

struct parser {
    const struct command_spec *commands;
    const struct flag_spec *globals;
    struct args *out;
    struct str group; /* the group's word, until its command is known */
};

static const struct flag_spec *lookup(const struct parser *p, struct str name, char letter)
{
    const struct flag_spec *f = NULL;

    if (p->out->command)
        f = find_flag(p->out->command->flags, name, letter);
    return f ? f : find_flag(p->globals, name, letter);
}

static int add_flag(struct parser *p, const struct flag_spec *f, struct str value, struct err *err)
{
    if (p->out->n_flags == ARGS_MAX)
        return err_set(err, ERR_LIMIT, "too many flags");
    p->out->flags[p->out->n_flags].spec = f;
    p->out->flags[p->out->n_flags++].value = value;
    return 0;
}

/* Takes the flag at argv[*at] and its value; *at is then at the last word taken. */
static int take_flag(struct parser *p, int argc, char **argv, int *at, struct err *err)
{
    struct str word = str_from(argv[*at]);
    bool is_long = str_starts(word, STR("--"));
    struct str name = str_from_index(word, 2), value = STR_NONE;
    bool has_value = false;
    const struct flag_spec *f;

    if (is_long) {
        struct str head, tail;

        has_value = str_split(name, '=', &head, &tail);
        name = head;
        value = tail;
        f = lookup(p, name, 0);
    } else {
        f = lookup(p, STR_NONE, word.ptr[1]);
        has_value = word.len > 2;
        value = str_from_index(word, 2);
        if (has_value && value.ptr[0] == '=')
            value = str_from_index(value, 1);
    }
    if (str_eq(word, STR("--help")) || str_eq(word, STR("-h"))) {
        p->out->help = true;
        return 0;
    }
    if (!f)
        return err_set(err, ERR_INVALID, "unknown flag: %s", argv[*at]);
    if (!f->takes_value) {
        if (has_value && is_long && str_eq(value, STR("false")))
            return 0;
        if (has_value && !(is_long && str_eq(value, STR("true"))))
            return err_set(err, ERR_INVALID, "--%s takes no value", f->name);
        return add_flag(p, f, STR("true"), err);
    }
    if (!has_value) {
        if (*at + 1 >= argc)
            return err_set(err, ERR_INVALID, "--%s wants a value", f->name);
        value = str_from(argv[++*at]);
    }
    return add_flag(p, f, value, err);
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
        if (p->group.len == 0 && !c->group[0] && is_name(c, word)) {
            out->command = c;
            return 0;
        }
        if (p->group.len > 0 && is_group(c, p->group) && is_name(c, word)) {
            out->command = c;
            return 0;
        }
    }
    for (const struct command_spec *c = p->commands; c->run && p->group.len == 0; c++) {
        if (!is_group(c, word))
            continue;
        p->group = word;
        out->group = c->group;
        return 0;
    }
    if (p->group.len > 0)
        return err_set(err, ERR_INVALID, "unknown command \"%.*s\" for \"hatsize %.*s\"",
                       STR_ARG(word), STR_ARG(p->group));
    return err_set(err, ERR_INVALID, "unknown command \"%.*s\" for \"hatsize\"", STR_ARG(word));
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
    return out->help ? 0 : check_required(out, err);
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
    for (size_t i = 0; i < a->n_flags; i++)
        if (str_eq(str_from(a->flags[i].spec->name), str_from(name)))
            return true;
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
