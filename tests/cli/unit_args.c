#include "../unit.h"

#include "cli/args.h"

static int nothing(struct cli *cli)
{
    (void)cli;
    return 0;
}

static const struct flag_spec globals[] = {
    {"config", 'c', true, false, ""}, {"force", 0, false, false, ""}, {0}};
static const struct flag_spec rename_flags[] = {
    {"identifier", 'i', true, true, ""}, {"tags", 't', true, false, ""}, {0}};
static const struct flag_spec list_flags[] = {
    {"user", 'u', true, false, ""}, {"all", 'a', false, false, ""}, {0}};
static const struct command_spec commands[] = {
    {"nodes", "node n", "rename", "mv", "NAME", "", rename_flags, nothing, false},
    {"nodes", "node n", "list", "ls", "", "", list_flags, nothing, false},
    {"", "", "serve", "", "", "", NULL, nothing, false},
    {0},
};

#define WORDS_MAX 12

static const struct {
    const char *name;
    const char *words[WORDS_MAX];
    const char *error;   /* a part of it; NULL: accepted */
    const char *command; /* NULL: none */
    const char *config, *identifier;
    const char *operand;
} cases[] = {
    {"no word at all", {NULL}, NULL, NULL, NULL, NULL, NULL},
    {"a command of its own", {"serve"}, NULL, "serve", NULL, NULL, NULL},
    {"flags before the command", {"--config", "f", "serve"}, NULL, "serve", "f", NULL, NULL},
    {"flags after the command", {"serve", "-c", "f"}, NULL, "serve", "f", NULL, NULL},
    {"flag with =", {"serve", "--config=f"}, NULL, "serve", "f", NULL, NULL},
    {"letter with its value attached", {"serve", "-cf"}, NULL, "serve", "f", NULL, NULL},
    {"aliases", {"n", "mv", "new", "-i", "3"}, NULL, "rename", NULL, "3", "new"},
    {"operand before and flag between",
     {"node", "rename", "-i", "3", "new"},
     NULL,
     "rename",
     NULL,
     "3",
     "new"},
    {"words after -- are operands",
     {"nodes", "rename", "-i", "3", "--", "-x"},
     NULL,
     "rename",
     NULL,
     "3",
     "-x"},
    {"the last of two wins", {"serve", "-c", "a", "-c", "b"}, NULL, "serve", "b", NULL, NULL},
    {"a required flag is missing",
     {"nodes", "rename", "x"},
     "\"identifier\" not set",
     NULL,
     NULL,
     NULL,
     NULL},
    {"unknown flag", {"serve", "--bogus"}, "unknown flag: --bogus", NULL, NULL, NULL, NULL},
    {"another command's flag", {"serve", "-i", "3"}, "unknown flag: -i", NULL, NULL, NULL, NULL},
    {"value missing", {"serve", "--config"}, "wants a value", NULL, NULL, NULL, NULL},
    {"value for a switch", {"serve", "--force=maybe"}, "takes no value", NULL, NULL, NULL, NULL},
    {"unknown command",
     {"bogus"},
     "unknown command \"bogus\" for \"hatsize\"",
     NULL,
     NULL,
     NULL,
     NULL},
    {"unknown command of a group",
     {"nodes", "bogus"},
     "for \"hatsize nodes\"",
     NULL,
     NULL,
     NULL,
     NULL},
    {"unknown command, a near one known",
     {"nodse", "list"},
     "did you mean nodes?",
     NULL,
     NULL,
     NULL,
     NULL},
    {"unknown command of a group, a near one known",
     {"node", "renmae"},
     "did you mean rename?",
     NULL,
     NULL,
     NULL,
     NULL},
    {"unknown flag, a near one known",
     {"nodes", "rename", "--identifer", "3"},
     "did you mean --identifier?",
     NULL,
     NULL,
     NULL,
     NULL},
    {"a command's flag before the command",
     {"--identifier", "3", "nodes"},
     "behind it",
     NULL,
     NULL,
     NULL,
     NULL},
    {"operand too many",
     {"nodes", "rename", "-i", "3", "a", "b"},
     "unexpected \"b\"",
     NULL,
     NULL,
     NULL,
     NULL},
    {"operand where none may be", {"serve", "now"}, "unexpected \"now\"", NULL, NULL, NULL, NULL},
    {"value -1 is no flag", {"nodes", "rename", "-i", "-1", "x"}, NULL, "rename", NULL, "-1", "x"},
    {"empty value", {"serve", "--config="}, NULL, "serve", "", NULL, NULL},
    {"a lone dash is an operand",
     {"nodes", "rename", "-i", "3", "-"},
     NULL,
     "rename",
     NULL,
     "3",
     "-"},
    {"help needs no required flag",
     {"nodes", "rename", "--help"},
     NULL,
     "rename",
     NULL,
     NULL,
     NULL},
};

static void parses_each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *argv[WORDS_MAX + 1] = {str_dup(STR("hatsize"))};
        int argc = 1;
        struct args *args = NEW(struct args);
        struct err err = {0};

        print_message("%s\n", cases[i].name);
        for (; cases[i].words[argc - 1]; argc++)
            argv[argc] = str_dup(str_from(cases[i].words[argc - 1]));
        int status = args_parse(argc, argv, commands, globals, args, &err);

        assert_int_equal(status < 0, cases[i].error != NULL);
        if (cases[i].error) {
            assert_non_null(strstr(err.text, cases[i].error));
        } else {
            assert_str(str_from(args->command ? args->command->name : NULL),
                       str_from(cases[i].command));
            assert_str(args_get(args, "config"), str_from(cases[i].config));
            assert_str(args_get(args, "identifier"), str_from(cases[i].identifier));
            assert_str(args->n_operands ? args->operands[0] : STR_NONE, str_from(cases[i].operand));
        }
        for (int k = 0; k < argc; k++)
            mem_free(argv[k]);
        mem_free(args);
    }
}

static void lists_join_commas_and_repeats(void **state)
{
    char *argv[] = {str_dup(STR("hatsize")), str_dup(STR("nodes")), str_dup(STR("rename")),
                    str_dup(STR("-i=1")),    str_dup(STR("-t")),    str_dup(STR("a, b,,")),
                    str_dup(STR("--tags")),  str_dup(STR("c"))};
    AUTO(arena_free) struct arena *arena = arena_new();
    struct args *args = NEW(struct args);
    struct err err = {0};

    (void)state;
    assert_int_equal(args_parse((int)ARRAY_LEN(argv), argv, commands, globals, args, &err), 0);
    struct str_list list = args_list(args, "tags", arena);
    assert_int_equal(list.len, 3);
    assert_str(list.items[0], STR("a"));
    assert_str(list.items[1], STR("b"));
    assert_str(list.items[2], STR("c"));
    for (size_t i = 0; i < ARRAY_LEN(argv); i++)
        mem_free(argv[i]);
    mem_free(args);
}

/* Parses `words` behind "hatsize"; they may be up to eight. */
static void parse(struct args *args, const char *const *words)
{
    char *argv[9] = {str_dup(STR("hatsize"))};
    int argc = 1;
    struct err err = {0};

    for (; words[argc - 1]; argc++)
        argv[argc] = str_dup(str_from(words[argc - 1]));
    assert_int_equal(args_parse(argc, argv, commands, globals, args, &err), 0);
    for (int k = 0; k < argc; k++)
        mem_free(argv[k]);
}

static void switches_are_taken_back(void **state)
{
    static const struct {
        const char *words[5];
        bool on;
    } given[] = {
        {{"serve", NULL}, false},
        {{"serve", "--force", NULL}, true},
        {{"serve", "--force=true", NULL}, true},
        {{"serve", "--force=1", NULL}, true},
        {{"serve", "--force=FALSE", NULL}, false},
        {{"serve", "--force", "--force=false", NULL}, false},
        {{"serve", "--force=f", "--force", NULL}, true},
    };
    struct args *args = NEW(struct args);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        parse(args, given[i].words);
        assert_int_equal(args_has(args, "force"), given[i].on);
    }
    parse(args, (const char *const[]){"nodes", "list", "-a=false", NULL});
    assert_false(args_has(args, "all"));
    mem_free(args);
}

/* --namespace and -n are --user, for the commands that have that. */
static void older_spellings_mean_todays(void **state)
{
    struct args *args = NEW(struct args);
    struct err err = {0};
    char *argv[] = {str_dup(STR("hatsize")), str_dup(STR("serve")), str_dup(STR("--namespace=x"))};

    (void)state;
    assert_non_null(args_find_flag(&commands[1], globals, STR("namespace"), 0));
    assert_ptr_equal(args_find_flag(&commands[1], globals, STR_NONE, 'n'), &list_flags[0]);
    assert_null(args_find_flag(&commands[0], globals, STR("namespace"), 0));
    assert_null(args_find_flag(NULL, globals, STR_NONE, 'n'));
    assert_true(args_parse(3, argv, commands, globals, args, &err) < 0);
    for (size_t i = 0; i < ARRAY_LEN(argv); i++)
        mem_free(argv[i]);
    mem_free(args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switches_are_taken_back),
        cmocka_unit_test(older_spellings_mean_todays),
        cmocka_unit_test(parses_each_case),
        cmocka_unit_test(lists_join_commas_and_repeats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
