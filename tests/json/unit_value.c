#include "../unit.h"

#include "json/value.h"

static const struct json_options hujson = {.hujson = true};

static const struct {
    const char *name;
    struct str in;
    const char *json;   /* written again; NULL: refused as JSON */
    const char *hujson; /* the same as HuJSON */
} texts[] = {
    {"words", STR_INIT(" [true,false , null]\n"), "[true,false,null]", "[true,false,null]"},
    {"empty containers", STR_INIT("{\"a\":[ ],\"b\":{ }}"), "{\"a\":[],\"b\":{}}",
     "{\"a\":[],\"b\":{}}"},
    {"numbers keep their spelling", STR_INIT("[0,-0,1.50,1e2,-7E-1,18446744073709551616]"),
     "[0,-0,1.50,1e2,-7E-1,18446744073709551616]", "[0,-0,1.50,1e2,-7E-1,18446744073709551616]"},
    {"escapes", STR_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\""), "\"\\\"\\\\/\\b\\f\\n\\r\\tA\"",
     "\"\\\"\\\\/\\b\\f\\n\\r\\tA\""},
    {"escaped key", STR_INIT("{\"\\u0061\":1}"), "{\"a\":1}", "{\"a\":1}"},
    {"surrogate pair", STR_INIT("\"\\ud83d\\ude00\""), "\"\xf0\x9f\x98\x80\"",
     "\"\xf0\x9f\x98\x80\""},
    {"half a pair", STR_INIT("\"\\ud83dx\""), "\"\xef\xbf\xbdx\"", "\"\xef\xbf\xbdx\""},
    {"half a pair and an escape", STR_INIT("\"\\ud83d\\u0041\""),
     "\"\xef\xbf\xbd"
     "A\"",
     "\"\xef\xbf\xbd"
     "A\""},
    {"low half alone", STR_INIT("\"\\ude00\""), "\"\xef\xbf\xbd\"", "\"\xef\xbf\xbd\""},
    {"two- and three-byte escapes", STR_INIT("\"\\u00e9\\u20ac\""), "\"\xc3\xa9\xe2\x82\xac\"",
     "\"\xc3\xa9\xe2\x82\xac\""},
    {"NUL escaped", STR_INIT("\"a\\u0000b\""), "\"a\\u0000b\"", "\"a\\u0000b\""},
    {"repeated keys stay", STR_INIT("{\"a\":1,\"a\":2}"), "{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"},
    {"trailing comma in an array", STR_INIT("[1,]"), NULL, "[1]"},
    {"trailing comma in an object", STR_INIT("{\"a\":1, }"), NULL, "{\"a\":1}"},
    {"line comment", STR_INIT("// hi\n[1, // one\n2] // end"), NULL, "[1,2]"},
    {"block comments", STR_INIT("/**/[/* a\n* / b */1/***/,/**/]"), NULL, "[1]"},
    {"comment between key and value", STR_INIT("{\"a\"/*x*/:/*y*/1}"), NULL, "{\"a\":1}"},
    {"a comma alone", STR_INIT("[,]"), NULL, NULL},
    {"two commas", STR_INIT("[1,,]"), NULL, NULL},
    {"comment without end", STR_INIT("[1] /* x *"), NULL, NULL},
    {"shortest comment without end", STR_INIT("[1] /*/"), NULL, NULL},
    {"a lone slash", STR_INIT("[1] /"), NULL, NULL},
    {"empty", STR_INIT(""), NULL, NULL},
    {"only a comment", STR_INIT("// x"), NULL, NULL},
    {"two values", STR_INIT("1 2"), NULL, NULL},
    {"open array", STR_INIT("[1"), NULL, NULL},
    {"open object", STR_INIT("{\"a\":1"), NULL, NULL},
    {"wrong bracket", STR_INIT("[1}"), NULL, NULL},
    {"missing comma", STR_INIT("[1 2]"), NULL, NULL},
    {"missing colon", STR_INIT("{\"a\" 1}"), NULL, NULL},
    {"missing value", STR_INIT("{\"a\":}"), NULL, NULL},
    {"bare key", STR_INIT("{a:1}"), NULL, NULL},
    {"single quotes", STR_INIT("['a']"), NULL, NULL},
    {"word cut short", STR_INIT("[tru]"), NULL, NULL},
    {"word too long", STR_INIT("[nullx]"), NULL, NULL},
    {"capital word", STR_INIT("[True]"), NULL, NULL},
    {"leading zero", STR_INIT("[01]"), NULL, NULL},
    {"plus", STR_INIT("[+1]"), NULL, NULL},
    {"minus alone", STR_INIT("[-]"), NULL, NULL},
    {"dot without digits", STR_INIT("[1.]"), NULL, NULL},
    {"dot first", STR_INIT("[.5]"), NULL, NULL},
    {"exponent without digits", STR_INIT("[1e+]"), NULL, NULL},
    {"hexadecimal", STR_INIT("[0x10]"), NULL, NULL},
    {"number past any double", STR_INIT("[1e999]"), NULL, NULL},
    {"not a number", STR_INIT("[NaN]"), NULL, NULL},
    {"raw newline in a string", STR_INIT("\"a\nb\""), NULL, NULL},
    {"raw NUL in a string", STR_INIT("\"a\0b\""), NULL, NULL},
    {"raw NUL between", STR_INIT("[1,\0 2]"), NULL, NULL},
    {"unknown escape", STR_INIT("\"\\x41\""), NULL, NULL},
    {"escaped NUL byte", STR_INIT("\"\\\0\""), NULL, NULL},
    {"escape cut short", STR_INIT("\"\\u00"), NULL, NULL},
    {"escape with a sign", STR_INIT("\"\\u+123\""), NULL, NULL},
    {"open string", STR_INIT("\"abc"), NULL, NULL},
    {"backslash at the end", STR_INIT("\"\\"), NULL, NULL},
    {"not UTF-8", STR_INIT("\"\xff\""), NULL, NULL},
    {"not UTF-8 in a comment", STR_INIT("// \xff\n1"), NULL, NULL},
    {"byte order mark",
     STR_INIT("\xef\xbb\xbf"
              "1"),
     NULL, NULL},
    {"form feed is no space", STR_INIT("\f1"), NULL, NULL},
};

static void check(struct str in, const struct json_options *options, const char *want)
{
    AUTO(arena_free) struct arena *a = arena_new();
    AUTO_FINI(buf_fini) struct buf out = BUF(0);
    struct json_writer w = JSON_WRITER(&out);
    struct json_value *v = NULL;
    struct json_error error = {0};

    assert_int_equal(json_parse(a, in, options, &v, &error), want != NULL);
    if (!want) {
        assert_null(v);
        assert_true(error.line > 0 && error.col > 0 && error.text[0]);
        return;
    }
    json_value_write(&w, v);
    assert_str(buf_str(&out), str_from(want));
}

static void reads_both_dialects(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        print_message("%s\n", texts[i].name);
        check(texts[i].in, NULL, texts[i].json);
        check(texts[i].in, &hujson, texts[i].hujson);
    }
}

static struct json_value *parse(struct arena *a, struct str text)
{
    struct json_value *v = NULL;
    struct json_error error = {0};

    if (!json_parse(a, text, &hujson, &v, &error))
        fail_msg("%u:%u: %s", error.line, error.col, error.text);
    return v;
}

static void knows_where_things_stand(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new();
    struct json_value *v = parse(a, STR("// head\n{\n  \"\xe2\x82\xac\": [1, /* \xe2\x82\xac\n */ "
                                        "\"x\"],\n\t\"b\" : {\"c\": true} }"));
    const struct json_value *list = json_get(v, "\xe2\x82\xac"), *b = json_get(v, "b");
    const struct json_value *x = json_at(list, 1), *c = json_get(b, "c");

    assert_int_equal(v->line, 2);
    assert_int_equal(v->col, 1);
    assert_int_equal(list->key_line, 3);
    assert_int_equal(list->key_col, 3);
    assert_int_equal(list->line, 3);
    assert_int_equal(list->col, 8);
    assert_int_equal(x->line, 4);
    assert_int_equal(x->col, 5);
    assert_int_equal(b->key_line, 5);
    assert_int_equal(b->key_col, 2);
    assert_int_equal(c->line, 5);
    assert_int_equal(c->col, 14);
    assert_str(b->raw, STR("{\"c\": true}"));
    assert_str(x->raw, STR("\"x\""));
    assert_str(json_get_raw(v, "b"), STR("{\"c\": true}"));
    assert_str(json_get_raw(v, "none"), STR(""));
}

static const struct {
    const char *name;
    struct str in;
    uint32_t line;
    uint32_t col;
    const char *text;
} complaints[] = {
    {"bad value", STR_INIT("{\n \"a\": tru\n}"), 2, 7, "expected a value"},
    {"missing comma", STR_INIT("[\"\xe2\x82\xac\" 2]"), 1, 6, "expected a comma or ']'"},
    {"open comment is shown where it began", STR_INIT("[1,\n /* x\n\n"), 2, 2,
     "this comment has no end"},
    {"not UTF-8", STR_INIT("[1,\n\"\xe2\x82\xac\xff\"]"), 2, 3, "not UTF-8"},
    {"open string", STR_INIT("[\"ab\n]"), 1, 5, "this string does not end on its line"},
    {"the end", STR_INIT("[1,\n"), 2, 1, "expected a value, found the end"},
    {"more", STR_INIT("1\n2"), 2, 1, "expected nothing more"},
};

static void complains_with_a_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(complaints); i++) {
        AUTO(arena_free) struct arena *a = arena_new();
        struct json_value *v = NULL;
        struct json_error error = {0};

        print_message("%s\n", complaints[i].name);
        assert_false(json_parse(a, complaints[i].in, &hujson, &v, &error));
        assert_string_equal(error.text, complaints[i].text);
        assert_int_equal(error.line, complaints[i].line);
        assert_int_equal(error.col, complaints[i].col);
    }
}

static void keeps_integers_exactly(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new();
    struct json_value *v = parse(a, STR("[18446744073709551615,-9223372036854775808,"
                                        "9223372036854775808,-9223372036854775809,1.0,-0,1e2]"));

    assert_true(json_as_u64(json_at(v, 0), 7) == UINT64_MAX);
    assert_true(json_as_i64(json_at(v, 0), 7) == 7);
    assert_true(json_as_i64(json_at(v, 1), 7) == INT64_MIN);
    assert_true(json_as_u64(json_at(v, 1), 7) == 7);
    assert_true(json_as_u64(json_at(v, 2), 7) == (uint64_t)1 << 63);
    assert_true(json_as_i64(json_at(v, 3), 7) == 7);
    assert_int_equal(json_at(v, 3)->number, JSON_DOUBLE);
    assert_true(json_as_u64(json_at(v, 4), 7) == 7);
    assert_true(json_as_double(json_at(v, 4), 7) == 1.0);
    assert_true(json_as_i64(json_at(v, 5), 7) == 0);
    assert_true(json_as_double(json_at(v, 6), 7) == 100);
    assert_true(json_as_double(json_at(v, 1), 7) == -9223372036854775808.0);
    assert_null(json_at(v, 7));
}

static void looks_up(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new();
    struct json_value *v =
        parse(a, STR("{\"Name\":\"x\",\"n\":5,\"b\":true,\"Name\":\"y\","
                     "\"NAME\":\"z\",\"l\":[1],\"o\":{},\"null\":null,\"d\":1.5}"));
    size_t n = 0;

    assert_str(json_get_str(v, "Name"), STR("y"));
    assert_str(json_as_str(json_get_nocase(v, "name"), STR_NONE), STR("z"));
    assert_null(json_get(v, "name"));
    assert_true(json_get_u64(v, "n", 0) == 5 && json_get_i64(v, "n", 0) == 5);
    assert_true(json_get_u64(v, "b", 9) == 9);
    assert_true(json_get_bool(v, "b", false));
    assert_true(json_get_bool(v, "null", true));
    assert_true(json_get_double(v, "d", 0) == 1.5);
    assert_int_equal(json_len(json_get_array(v, "l")), 1);
    assert_null(json_get_array(v, "o"));
    assert_non_null(json_get_object(v, "o"));
    assert_true(json_is(json_get(v, "null"), JSON_NULL));
    assert_null(json_get(NULL, "x"));
    assert_null(json_get(json_get(v, "l"), "x"));
    assert_null(json_at(v, 0));
    assert_int_equal(json_len(NULL), 0);
    assert_string_equal(json_type_name(json_get(v, "l")), "an array");
    assert_string_equal(json_type_name(NULL), "nothing");
    JSON_EACH(member, v)
        n += member->key.len;
    assert_int_equal(n, 4 + 1 + 1 + 4 + 4 + 1 + 1 + 4 + 1);
    JSON_EACH(member, json_get(v, "n"))
        fail_msg("a number has no members: %p", (const void *)member);
}

static void nests(struct buf *out, size_t depth)
{
    buf_clear(out);
    for (size_t i = 0; i < depth; i++)
        buf_put_char(out, '[');
    for (size_t i = 0; i < depth; i++)
        buf_put_char(out, ']');
}

static void stays_in_bounds(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new();
    AUTO_FINI(buf_fini) struct buf text = BUF(0);
    struct json_value *v = NULL;
    struct json_error error;
    const struct json_options few = {.max_nodes = 4}, small = {.max_bytes = 4};

    nests(&text, JSON_DEPTH_MAX);
    assert_true(json_parse(a, buf_str(&text), NULL, &v, &error));
    nests(&text, JSON_DEPTH_MAX + 1);
    assert_false(json_parse(a, buf_str(&text), NULL, &v, &error));
    assert_string_equal(error.text, "nested deeper than 64");
    nests(&text, 1000000);
    assert_false(json_parse(a, buf_str(&text), NULL, &v, &error));
    assert_true(json_parse(a, STR("[1,2,3]"), &few, &v, &error));
    assert_false(json_parse(a, STR("[1,2,3,4]"), &few, &v, &error));
    assert_string_equal(error.text, "too many values");
    assert_true(json_parse(a, STR("1234"), &small, &v, &error));
    assert_false(json_parse(a, STR("12345"), &small, &v, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_both_dialects),
        cmocka_unit_test(knows_where_things_stand),
        cmocka_unit_test(complains_with_a_place),
        cmocka_unit_test(keeps_integers_exactly),
        cmocka_unit_test(looks_up),
        cmocka_unit_test(stays_in_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
