#include "../unit.h"

#include "client/skim.h"
#include "core/buf.h"

static const struct {
    const char *name;
    const char *text;
    const char *pieces; /* "key=value;" each; NULL: it fails on the way */
} walks[] = {
    {"empty object", " { } ", ""},
    {"empty array", "[]", ""},
    {"members", "{\"a\":1,\"b\" : \"x,y\" }", "a=1;b=\"x,y\";"},
    {"elements", "[1, {\"a\":[2,3]},\"]\"]", "=1;={\"a\":[2,3]};=\"]\";"},
    {"quotes inside strings", "{\"a\\\"b\":\"c\\\\\",\"d\":\"\\\\\\\"}\"}",
     "a\\\"b=\"c\\\\\";d=\"\\\\\\\"}\";"},
    {"no end", "{\"a\":1", NULL},
    {"a string without end", "[\"a]", NULL},
    {"a bracket without end", "[[1]", NULL},
    {"no comma", "[1 2]", NULL},
    {"no colon", "{\"a\" 1}", NULL},
    {"a key that is none", "{a:1}", NULL},
    {"nothing after the colon", "{\"a\":}", NULL},
    {"something behind", "[1] 2", NULL},
    {"nothing after the comma", "[1,]", NULL},
};

static void walks_members_and_elements(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(walks); i++) {
        struct skim s;
        struct str key, value;
        struct buf out = BUF(4096);

        print_message("%s\n", walks[i].name);
        assert_true(skim_begin(&s, str_from(walks[i].text)));
        while (skim_next(&s, &key, &value))
            buf_printf(&out, "%.*s=%.*s;", STR_ARG(key), STR_ARG(value));
        assert_int_equal(skim_ok(&s), walks[i].pieces != NULL);
        if (walks[i].pieces)
            assert_str(buf_str(&out), str_from(walks[i].pieces));
        buf_fini(&out);
    }
}

static void refuses_what_has_no_parts(void **state)
{
    static const char *const texts[] = {"", "  ", "1", "\"[]\"", "null"};
    struct skim s;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_false(skim_begin(&s, str_from(texts[i])));
}

static const struct {
    const char *text;
    int objects; /* -1: something else is there */
} lists[] = {
    {"{}", 1},      {"{},{}", 2},         {",{\"a\":\"},{\"}", 1},
    {"{},", 1},     {" , {} , {} , ", 2}, {"", 0},
    {",", 0},       {"{}{}", -1},         {"{},1", -1},
    {"{},{", -1},   {"],\"a\":1}", -1},   {"\"a\":{}", -1},
    {"{},,{}", -1}, {"[{}]", -1},
};

static void takes_lists_of_whole_objects(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct str object;
        size_t at = 0;
        int n = 0;
        enum skim_piece got;

        print_message("%s\n", lists[i].text);
        while ((got = skim_objects(str_from(lists[i].text), &at, &object)) == SKIM_OBJECT)
            n++;
        assert_int_equal(got == SKIM_END ? n : -1, lists[i].objects);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_members_and_elements),
        cmocka_unit_test(refuses_what_has_no_parts),
        cmocka_unit_test(takes_lists_of_whole_objects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
