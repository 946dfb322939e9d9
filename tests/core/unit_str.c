#include "../unit.h"

#include "core/mem.h"

static void compares(void **state)
{
    (void)state;
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_true(str_eq(STR_NONE, STR("")));
    assert_true(str_eq_nocase(STR("NodeKey"), STR("nodekey")));
    assert_false(str_eq_nocase(STR("@"), STR("`"))); /* differ by the case bit, are no letters */
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("b"), STR("ab")) > 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_cmp(STR_NONE, STR("")), 0);
    assert_true(str_eq_secret(STR("secret"), STR("secret")));
    assert_false(str_eq_secret(STR("secret"), STR("secreT")));
    assert_false(str_eq_secret(STR("secret"), STR("secre")));
}

static void cuts(void **state)
{
    (void)state;
    struct str s = STR("hello");

    assert_str(str_sub(s, 1, 3), STR("ell"));
    assert_str(str_sub(s, 3, SIZE_MAX), STR("lo"));
    assert_str(str_sub(s, 9, 1), STR(""));
    assert_str(str_from_index(s, 5), STR(""));
    assert_str(str_trim(STR(" \t a b\r\n")), STR("a b"));
    assert_str(str_trim(STR("  ")), STR(""));
    assert_true(str_starts(s, STR("he")) && !str_starts(s, STR("hello!")) &&
                str_starts(s, STR("")));
    assert_true(str_ends(s, STR("llo")) && !str_ends(s, STR("ohello")) && str_ends(s, STR("")));
    assert_true(str_starts(STR_NONE, STR_NONE));
}

static void searches(void **state)
{
    (void)state;
    assert_int_equal(str_find_char(STR("a.b.c"), '.'), 1);
    assert_int_equal(str_rfind_char(STR("a.b.c"), '.'), 3);
    assert_int_equal(str_find_char(STR_NONE, '.'), -1);
    assert_int_equal(str_rfind_char(STR("abc"), '.'), -1);
    assert_int_equal(str_find(STR("abcabd"), STR("abd")), 3);
    assert_int_equal(str_find(STR("ab"), STR("abc")), -1);
    assert_int_equal(str_find(STR("ab"), STR("")), 0);
}

static void splits(void **state)
{
    (void)state;
    struct str head, tail, rest = STR("a,,b,"), piece;

    assert_true(str_split(STR("k=v=w"), '=', &head, &tail));
    assert_str(head, STR("k"));
    assert_str(tail, STR("v=w"));
    assert_false(str_split(STR("k"), '=', &head, &tail));
    assert_str(head, STR("k"));
    assert_str(tail, STR(""));
    assert_true(str_next(&rest, ',', &piece));
    assert_str(piece, STR("a"));
    assert_true(str_next(&rest, ',', &piece));
    assert_str(piece, STR(""));
    assert_true(str_next(&rest, ',', &piece));
    assert_str(piece, STR("b"));
    assert_false(str_next(&rest, ',', &piece));
    rest = STR("");
    assert_false(str_next(&rest, ',', &piece));
}

static const struct {
    const char *name;
    struct str in;
    size_t len; /* of the first sequence */
    bool all;
} utf8[] = {
    {"empty", STR_INIT(""), 0, true},
    {"ASCII with NUL", STR_INIT("a\0"), 1, true},
    {"two bytes", STR_INIT("\xc2\x80"), 2, true},
    {"three bytes", STR_INIT("\xe2\x82\xac"), 3, true},
    {"four bytes", STR_INIT("\xf4\x8f\xbf\xbf"), 4, true},
    {"past U+10FFFF", STR_INIT("\xf4\x90\x80\x80"), 0, false},
    {"long form of a slash", STR_INIT("\xc0\xaf"), 0, false},
    {"long form in three", STR_INIT("\xe0\x9f\xbf"), 0, false},
    {"long form in four", STR_INIT("\xf0\x8f\xbf\xbf"), 0, false},
    {"surrogate", STR_INIT("\xed\xa0\x80"), 0, false},
    {"just below the surrogates", STR_INIT("\xed\x9f\xbf"), 3, true},
    {"cut short", STR_INIT("\xe2\x82"), 0, false},
    {"lone continuation", STR_INIT("\x80"), 0, false},
    {"bad third byte", STR_INIT("\xe2\x82\x41"), 0, false},
    {"good, then bad", STR_INIT("\xc2\xa9\xff"), 2, false},
};

static void knows_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(utf8); i++) {
        print_message("%s\n", utf8[i].name);
        assert_int_equal(str_utf8_len(utf8[i].in), utf8[i].len);
        assert_int_equal(str_is_utf8(utf8[i].in), utf8[i].all);
    }
    assert_true(str_is_ascii(STR("plain\x7f")));
    assert_false(str_is_ascii(STR("\x80")));
}

static void reads_integers(void **state)
{
    (void)state;
    struct str s = STR("\x00\x01\x02\x03\x04\x05\x06\xff\x08");

    assert_int_equal(str_be16(s, 6), 0x06ff);
    assert_int_equal(str_be32(s, 1), 0x01020304);
    assert_true(str_be64(s, 1) == 0x010203040506ff08u);
    assert_int_equal(str_le32(s, 1), 0x04030201);
}

static void parses_numbers(void **state)
{
    (void)state;
    uint64_t u = 7;
    int64_t i = 7;

    assert_true(str_parse_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_true(str_parse_u64(STR("007"), &u) && u == 7);
    assert_false(str_parse_u64(STR("18446744073709551616"), &u));
    assert_false(str_parse_u64(STR("99999999999999999999"), &u));
    assert_false(str_parse_u64(STR(""), &u) || str_parse_u64(STR("+1"), &u) ||
                 str_parse_u64(STR(" 1"), &u) || str_parse_u64(STR("1a"), &u) ||
                 str_parse_u64(STR("-1"), &u));
    assert_true(u == 7);
    assert_true(str_parse_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(str_parse_i64(STR("9223372036854775807"), &i) && i == INT64_MAX);
    assert_false(str_parse_i64(STR("9223372036854775808"), &i));
    assert_false(str_parse_i64(STR("-9223372036854775809"), &i));
    assert_false(str_parse_i64(STR("-"), &i) || str_parse_i64(STR("--1"), &i));
    assert_true(i == INT64_MAX);
}

static void copies(void **state)
{
    (void)state;
    AUTO(mem_free) char *text = str_dup(STR("x\0y"));
    struct str owned = str_copy(STR("abc")), none = str_copy(STR(""));
    struct str printed = str_printf("%d-%s", 7, "seven"), nothing = str_printf("%s", "");

    assert_memory_equal(text, "x\0y", 4);
    assert_str(owned, STR("abc"));
    assert_null(none.ptr);
    assert_null(nothing.ptr);
    assert_str(printed, STR("7-seven"));
    str_free(&owned);
    str_free(&printed);
    str_free(&none);
    assert_null(owned.ptr);
}

static void lists(void **state)
{
    (void)state;
    struct str_list list = {0}, copy = {0};

    for (size_t i = 0; i < 100; i++) {
        struct str s = str_printf("%zu", i % 10);

        str_list_add(&list, s);
        str_free(&s);
    }
    assert_int_equal(list.len, 100);
    str_list_sort_unique(&list);
    assert_int_equal(list.len, 10);
    assert_str(list.items[0], STR("0"));
    assert_str(list.items[9], STR("9"));
    str_list_copy(&copy, &list);
    assert_true(str_list_eq(&copy, &list));
    str_list_add(&copy, STR("tag:x"));
    assert_false(str_list_eq(&copy, &list));
    assert_true(str_list_has(&copy, STR("tag:x")));
    assert_false(str_list_has(&list, STR("tag:x")));
    str_list_free(&list);
    str_list_free(&copy);
    assert_int_equal(copy.len, 0);
}

static void finds_control_characters(void **state)
{
    (void)state;
    assert_false(str_has_control(STR_NONE));
    assert_false(str_has_control(STR(" ~\xc3\xa9")));
    assert_true(str_has_control(STR("a\n")));
    assert_true(str_has_control(STR("\x1f")));
    assert_true(str_has_control(STR("a\x7f")));
    assert_true(str_has_control(str_bytes("a\0b", 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),       cmocka_unit_test(cuts),
        cmocka_unit_test(searches),       cmocka_unit_test(splits),
        cmocka_unit_test(knows_utf8),     cmocka_unit_test(reads_integers),
        cmocka_unit_test(parses_numbers), cmocka_unit_test(copies),
        cmocka_unit_test(lists),          cmocka_unit_test(finds_control_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
