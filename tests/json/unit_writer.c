#include "../unit.h"

#include <math.h>

#include "core/clock.h"
#include "json/value.h"

static void writes_commas_by_itself(void **state)
{
    (void)state;
    AUTO_FINI(buf_fini) struct buf out = BUF(0);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_object(&w);
    json_field_str(&w, STR("name"), STR("db"));
    json_field_array(&w, STR("list"));
    json_u64(&w, 1);
    json_i64(&w, -2);
    json_begin_object(&w);
    json_end_object(&w);
    json_begin_array(&w);
    json_end_array(&w);
    json_null(&w);
    json_bool(&w, true);
    json_end_array(&w);
    json_field_raw(&w, STR("raw"), STR("{\"x\":1}"));
    json_field_raw(&w, STR("none"), STR(""));
    json_field_object(&w, STR("in"));
    json_field_bool(&w, STR("b"), false);
    json_field_null(&w, STR("n"));
    json_end_object(&w);
    json_field_u64(&w, STR("max"), UINT64_MAX);
    json_field_i64(&w, STR("min"), INT64_MIN);
    json_field_time(&w, STR("t"), CLOCK_ZERO);
    json_field_base64(&w, STR("b64"), STR("\xff\xff"));
    json_field_hex(&w, STR("key"), STR("nodekey:"), STR("\x01\xab"));
    json_end_object(&w);
    assert_str(buf_str(&out),
               STR("{\"name\":\"db\",\"list\":[1,-2,{},[],null,true],\"raw\":{\"x\":1},"
                   "\"none\":null,\"in\":{\"b\":false,\"n\":null},\"max\":18446744073709551615,"
                   "\"min\":-9223372036854775808,\"t\":\"0001-01-01T00:00:00Z\",\"b64\":\"//8=\","
                   "\"key\":\"nodekey:01ab\"}"));
}

static void indents_when_pretty(void **state)
{
    (void)state;
    AUTO_FINI(buf_fini) struct buf out = BUF(0);
    struct json_writer w = JSON_WRITER_PRETTY(&out);

    json_begin_object(&w);
    json_field_u64(&w, STR("a"), 1);
    json_field_array(&w, STR("b"));
    json_str(&w, STR("x"));
    json_begin_object(&w);
    json_end_object(&w);
    json_end_array(&w);
    json_field_array(&w, STR("c"));
    json_end_array(&w);
    json_end_object(&w);
    assert_str(buf_str(&out),
               STR("{\n\t\"a\": 1,\n\t\"b\": [\n\t\t\"x\",\n\t\t{}\n\t],\n\t\"c\": []\n}"));
}

static const struct {
    const char *name;
    struct str in;
    struct str out;
} strings[] = {
    {"plain", STR_INIT("hello, world, of more than eight"),
     STR_INIT("\"hello, world, of more than eight\"")},
    {"empty", STR_INIT(""), STR_INIT("\"\"")},
    {"quotes and backslashes", STR_INIT("\"a\\"), STR_INIT("\"\\\"a\\\\\"")},
    {"control characters", STR_INIT("\0\b\f\n\r\t\x1f\x7f"),
     STR_INIT("\"\\u0000\\b\\f\\n\\r\\t\\u001f\x7f\"")},
    {"a quote in a later word", STR_INIT("0123456789abcd\"f"), STR_INIT("\"0123456789abcd\\\"f\"")},
    {"UTF-8 over a word's edge",
     STR_INIT("0123456\xe2\x82\xac"
              "bc"),
     STR_INIT("\"0123456\xe2\x82\xac"
              "bc\"")},
    {"a bad byte each",
     STR_INIT("a\xff\xfe"
              "b"),
     STR_INIT("\"a\xef\xbf\xbd\xef\xbf\xbd"
              "b\"")},
    {"UTF-8 cut short", STR_INIT("\xe2\x82"), STR_INIT("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
    {"surrogate", STR_INIT("\xed\xa0\x80"), STR_INIT("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
    {"markup stays", STR_INIT("<&>"), STR_INIT("\"<&>\"")},
};

static void escapes_strings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        AUTO_FINI(buf_fini) struct buf out = BUF(0);
        struct json_writer w = JSON_WRITER(&out);

        print_message("%s\n", strings[i].name);
        json_str(&w, strings[i].in);
        assert_str(buf_str(&out), strings[i].out);
    }
}

/* Each byte at each place of a word: the fast path must not overlook any. */
static void every_byte_at_every_place(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        for (size_t at = 0; at < 17; at++) {
            AUTO_FINI(buf_fini) struct buf out = BUF(0);
            struct json_writer w = JSON_WRITER(&out);
            char text[17];
            bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

            memset(text, 'x', sizeof(text));
            text[at] = (char)c;
            json_str(&w, str_bytes(text, sizeof(text)));
            assert_int_equal(out.len == sizeof(text) + 2, plain);
        }
    }
}

static const struct {
    double v;
    const char *text;
} doubles[] = {
    {0.1, "0.1"},
    {1e300, "1e+300"},
    {-0.5, "-0.5"},
    {0, "0"},
    {5e-324, "4.94065645841247e-324"},
    {1.0 / 3, "0.3333333333333333"},
    {123456789012345680.0, "1.2345678901234568e+17"},
    {INFINITY, "null"},
    {NAN, "null"},
};

static void writes_doubles(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(doubles); i++) {
        AUTO_FINI(buf_fini) struct buf out = BUF(0);
        struct json_writer w = JSON_WRITER(&out);

        json_double(&w, doubles[i].v);
        assert_str(buf_str(&out), str_from(doubles[i].text));
    }
}

static void leaves_out_zero_values(void **state)
{
    (void)state;
    AUTO_FINI(buf_fini) struct buf out = BUF(0);
    struct json_writer w = JSON_WRITER(&out);
    struct str_list none = {0}, one = {0};

    str_list_add(&one, STR("tag:x"));
    json_begin_object(&w);
    json_opt_str(&w, STR("a"), STR(""));
    json_opt_u64(&w, STR("b"), 0);
    json_opt_i64(&w, STR("c"), 0);
    json_opt_bool(&w, STR("d"), false);
    json_opt_raw(&w, STR("e"), STR(""));
    json_opt_str_list(&w, STR("f"), &none);
    json_field_str_list(&w, STR("g"), &none);
    json_opt_str(&w, STR("A"), STR("x"));
    json_opt_u64(&w, STR("B"), 1);
    json_opt_i64(&w, STR("C"), -1);
    json_opt_bool(&w, STR("D"), true);
    json_opt_raw(&w, STR("E"), STR("[]"));
    json_opt_str_list(&w, STR("F"), &one);
    json_end_object(&w);
    assert_str(buf_str(&out), STR("{\"g\":[],\"A\":\"x\",\"B\":1,\"C\":-1,\"D\":true,\"E\":[],"
                                  "\"F\":[\"tag:x\"]}"));
    str_list_free(&one);
}

static void the_ceiling_is_seen_at_the_end(void **state)
{
    (void)state;
    AUTO_FINI(buf_fini) struct buf out = BUF(20);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_array(&w);
    for (size_t i = 0; i < 100; i++)
        json_str(&w, STR("element"));
    json_end_array(&w);
    assert_true(buf_is_full(&out));
    assert_true(out.len <= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_commas_by_itself),
        cmocka_unit_test(indents_when_pretty),
        cmocka_unit_test(escapes_strings),
        cmocka_unit_test(every_byte_at_every_place),
        cmocka_unit_test(writes_doubles),
        cmocka_unit_test(leaves_out_zero_values),
        cmocka_unit_test(the_ceiling_is_seen_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
