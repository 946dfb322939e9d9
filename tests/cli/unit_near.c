#include "../unit.h"

#include "cli/near.h"

static const struct {
    const char *a, *b;
    size_t distance;
} distances[] = {
    {"", "", 0},           {"nodes", "nodes", 0}, {"", "abc", 3},           {"nods", "nodes", 1},
    {"ndoes", "nodes", 1}, {"list", "lsit", 1},   {"kitten", "sitting", 3}, {"abcd", "", 4},
};

static void counts_the_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(distances); i++) {
        struct str a = str_from(distances[i].a), b = str_from(distances[i].b);

        print_message("%s %s\n", distances[i].a, distances[i].b);
        assert_int_equal(near_distance(a, b), distances[i].distance);
        assert_int_equal(near_distance(b, a), distances[i].distance);
    }
}

static void bears_long_words(void **state)
{
    static const char many[4096] = {[0 ... 4094] = 'x'};

    (void)state;
    assert_int_equal(near_distance(str_from(many), STR("nodes")), 4095);
}

static const struct {
    const char *word;
    const char *want; /* NULL: none */
} guesses[] = {
    {"nod", "nodes"},   {"nodse", "nodes"}, {"usrs", "users"}, {"preauth", "preauthkeys"},
    {"policies", NULL}, {"x", NULL},        {"", NULL},        {"no", NULL},
};

static void guesses_what_was_meant(void **state)
{
    static const char *const known[] = {"nodes", "users", "preauthkeys", "policy"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(guesses); i++) {
        struct near n = NEAR(str_from(guesses[i].word));

        print_message("%s\n", guesses[i].word);
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            near_look(&n, known[k]);
        assert_str(str_from(n.best), str_from(guesses[i].want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_the_differences),
        cmocka_unit_test(bears_long_words),
        cmocka_unit_test(guesses_what_was_meant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
