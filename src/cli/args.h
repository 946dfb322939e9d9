#pragma once

/*
 * Arguments: which command, its flags, what is left. Flags may stand anywhere behind or before the
 * command's words: --name VALUE, --name=VALUE, -n VALUE, -nVALUE; "--" ends them.
 */

#include "core/arena.h"
#include "core/err.h"

struct cli;

struct flag_spec {
    const char *name;
    char letter; /* 0: none */
    bool takes_value;
    bool is_required;
    const char *help; /* NULL: understood, for older scripts, and not shown */
};

struct command_spec {
    const char *group;   /* "users"; "" for a command of its own */
    const char *aliases; /* of the group, space-separated */
    const char *name;
    const char *name_aliases;
    const char *operands; /* for the usage line: "NAME"; "" */
    const char *help;
    const struct flag_spec *flags; /* ends with a NULL name; may be NULL */
    int (*run)(struct cli *cli);
    bool hidden;
};

#define ARGS_MAX 512 /* flags or operands */

struct args {
    const struct command_spec *command; /* NULL: none was named */
    const char *group;                  /* named without a known command behind it; NULL: not */
    bool help;
    struct {
        const struct flag_spec *spec;
        struct str value;
    } flags[ARGS_MAX];
    size_t n_flags;
    struct str operands[ARGS_MAX];
    size_t n_operands;
};

/*
 * `commands` ends with a NULL run. Refusals are worded for the person at the terminal, and name the
 * known word that is nearest. What was read before the refusal stays in *out.
 */
MUST_USE int args_parse(int argc, char **argv, const struct command_spec *commands,
                        const struct flag_spec *globals, struct args *out, struct err *err);
/* The last value given, or the empty str. */
struct str args_get(const struct args *a, const char *name);
/* Whether it was given; of a switch, whether it is on: --force=false takes a --force back. */
bool args_has(const struct args *a, const char *name);
/* The commands' words as they are read: whether `word` names the group, or the command in it. */
bool args_is_group(const struct command_spec *c, struct str word);
/* Whether a command without a group has the name of one: "import FILE", "import headscale". */
bool args_is_group_too(const struct command_spec *commands, const struct command_spec *alone);
bool args_is_command(const struct command_spec *c, struct str word);
/* The flag of a command or a global one, by name or (not 0) letter, older spellings included; NULL
 * if there is none. `command` may be NULL. */
const struct flag_spec *args_find_flag(const struct command_spec *command,
                                       const struct flag_spec *globals, struct str name,
                                       char letter);
/* Every value, also of comma lists: "a,b" and two flags are the same. In the arena. */
struct str_list args_list(const struct args *a, const char *name, struct arena *arena);
