#include "../unit.h"

#include "core/buf.h"
#include "core/num.h"

static void puts_each_kind(void **state)
{
    (void)state;
    AUTO_FINI(buf_fini) struct buf b = BUF(0);

    buf_put_be16(&b, 0x0102);
    buf_put_be32(&b, 0x03040506);
    buf_put_be64(&b, 0x0708090a0b0c0d0eu);
    buf_put_le32(&b, 0x01020304);
    assert_str(buf_str(&b), STR("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e"
                                "\x04\x03\x02\x01"));
    buf_clear(&b);
    buf_put_u64(&b, 0);
    buf_put_char(&b, ' ');
    buf_put_u64(&b, UINT64_MAX);
    buf_put_char(&b, ' ');
    buf_put_i64(&b, INT64_MIN);
    buf_put_char(&b, ' ');
    buf_put_i64(&b, 42);
    assert_str(buf_str(&b), STR("0 18446744073709551615 -9223372036854775808 42"));
    buf_clear(&b);
    buf_printf(&b, "%s:%d", "x", 5);
    buf_printf(&b, "%0700d", 1);
    assert_int_equal(b.len, 703);
    buf_clear(&b);
    buf_put_lower(&b, STR("AZ[@`az\xc3\x89"));
    assert_str(buf_str(&b), STR("az[@`az\xc3\x89"));
}

static void stops_at_the_ceiling(void **state)
{
    (void)state;
    AUTO_FINI(buf_fini) struct buf b = BUF(10);

    buf_put(&b, STR("0123456789"));
    assert_false(buf_is_full(&b));
    buf_put_char(&b, 'x');
    assert_true(buf_is_full(&b));
    assert_str(buf_str(&b), STR("0123456789"));
    buf_cut(&b, 2);
    buf_put_char(&b, 'x'); /* full stays full, even with room */
    assert_str(buf_str(&b), STR("01"));
    buf_clear(&b);
    buf_put(&b, STR("again"));
    assert_str(buf_str(&b), STR("again"));
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_clear(&b);
    buf_printf(&b, "%01000d", 1);
    assert_true(buf_is_full(&b));
    assert_int_equal(b.len, 0);
}

static void reserves_drops_and_takes(void **state)
{
    (void)state;
    struct buf b = BUF(1000);
    char *to = buf_reserve(&b, 100);

    assert_non_null(to);
    memcpy(to, "abcdef", 6);
    buf_added(&b, 6);
    buf_drop(&b, 2);
    assert_str(buf_str(&b), STR("cdef"));
    buf_drop(&b, 4);
    assert_int_equal(b.len, 0);
    buf_put(&b, STR("keep"));

    struct str owned = buf_take(&b);

    assert_str(owned, STR("keep"));
    assert_int_equal(b.len, 0);
    str_free(&owned);
    assert_non_null(buf_reserve(&b, 1));
    owned = buf_take(&b);
    assert_null(owned.ptr);
    assert_int_equal(b.limit, 1000);
}

static const struct {
    struct str bytes;
    struct str text;
} base64[] = {
    {STR_INIT(""), STR_INIT("")},
    {STR_INIT("f"), STR_INIT("Zg==")},
    {STR_INIT("fo"), STR_INIT("Zm8=")},
    {STR_INIT("foo"), STR_INIT("Zm9v")},
    {STR_INIT("foobar"), STR_INIT("Zm9vYmFy")},
    {STR_INIT("\xfb\xff\xfe\0"), STR_INIT("+//+AA==")},
};

static void base64_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(base64); i++) {
        AUTO_FINI(buf_fini) struct buf text = BUF(100);
        AUTO_FINI(buf_fini) struct buf bytes = BUF(100);
        struct str bare = base64[i].text;

        buf_put_base64(&text, base64[i].bytes);
        assert_str(buf_str(&text), base64[i].text);
        assert_true(base64_decode(base64[i].text, &bytes));
        assert_str(buf_str(&bytes), base64[i].bytes);
        while (str_ends(bare, STR("=")))
            bare.len--;
        buf_clear(&bytes);
        assert_true(base64_decode(bare, &bytes));
        assert_str(buf_str(&bytes), base64[i].bytes);
    }
}

static void base64url_is_bare(void **state)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(100), small = BUF(5);

    (void)state;
    buf_put(&out, STR("a=/+"));
    buf_put_base64url(&out, STR("\xfb\xff\xfe\0"));
    assert_str(buf_str(&out), STR("a=/+-__-AA")); /* what was there stays */
    buf_put_base64url(&out, STR_NONE);
    assert_str(buf_str(&out), STR("a=/+-__-AA"));
    buf_put_base64url(&small, STR("abcd"));
    assert_true(buf_is_full(&small));
}

static void base64_refuses(void **state)
{
    (void)state;
    static const struct str bad[] = {
        STR_INIT("A"),    STR_INIT("Zg="),    STR_INIT("Zg==="), STR_INIT("Zh=="),
        STR_INIT("Zm9="), STR_INIT("Zm9v="),  STR_INIT("Z g="),  STR_INIT("===="),
        STR_INIT("Z=g="), STR_INIT("Zm9v\n"),
    };
    AUTO_FINI(buf_fini) struct buf out = BUF(100);

    buf_put(&out, STR("kept"));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        print_message("%.*s\n", STR_ARG(bad[i]));
        assert_false(base64_decode(bad[i], &out));
    }
    assert_str(buf_str(&out), STR("kept"));
    assert_true(base64_decode(STR("-__-AA"), &out));
    assert_str(buf_str(&out), STR("kept\xfb\xff\xfe\0"));
}

static void hex_both_ways(void **state)
{
    (void)state;
    AUTO_FINI(buf_fini) struct buf text = BUF(100);
    char out[3] = "..";

    buf_put_hex(&text, STR("\x00\x9a\xff"));
    assert_str(buf_str(&text), STR("009aff"));
    assert_true(hex_decode(STR("009AfF"), out, 3));
    assert_memory_equal(out, "\x00\x9a\xff", 3);
    assert_false(hex_decode(STR("00"), out, 3));
    assert_false(hex_decode(STR("0000000"), out, 3));
    assert_false(hex_decode(STR("1122g3"), out, 3));
    assert_memory_equal(out, "\x00\x9a\xff", 3);
    assert_true(hex_decode(STR(""), NULL, 0));
}

static void blobs_are_counted(void **state)
{
    (void)state;
    struct blob *b = blob_new(STR("shared\0bytes"));
    struct blob *other = blob_ref(b);

    blob_unref(b);
    assert_str(blob_str(other), STR("shared\0bytes"));
    blob_unref(other);
    blob_unref(NULL);
    assert_int_equal(blob_str(NULL).len, 0);
}

static void sums_are_checked(void **state)
{
    (void)state;
    size_t out = 0;
    uint16_t small = 0;

    assert_true(num_add_overflows(SIZE_MAX, (size_t)1, &out));
    assert_true(num_mul_overflows(256u, 256u, &small));
    assert_true(num_sub_overflows((size_t)1, (size_t)2, &out));
    assert_false(num_add_overflows(1u, 2u, &small));
    assert_int_equal(small, 3);
    assert_int_equal(MIN(1, MAX(2, 3)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_each_kind),
        cmocka_unit_test(stops_at_the_ceiling),
        cmocka_unit_test(reserves_drops_and_takes),
        cmocka_unit_test(base64_both_ways),
        cmocka_unit_test(base64url_is_bare),
        cmocka_unit_test(base64_refuses),
        cmocka_unit_test(hex_both_ways),
        cmocka_unit_test(blobs_are_counted),
        cmocka_unit_test(sums_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
