#include "../unit.h"

#include <errno.h>

#include "core/err.h"

static void sets_wraps_and_returns(void **state)
{
    (void)state;
    struct err err = {0};

    assert_int_equal(err_set(&err, ERR_CONFLICT, "name %s is taken", "db"), -ERR_CONFLICT);
    assert_int_equal(err_wrap(&err, "renaming node %d", 7), -ERR_CONFLICT);
    assert_string_equal(err.text, "renaming node 7: name db is taken");
    assert_int_equal(err_sys(&err, ENOENT, "opening"), -ERR_IO);
    assert_int_equal(err.sys, ENOENT);
    assert_string_equal(err.text, "opening: No such file or directory");
    assert_int_equal(err_sys(&err, 99999, "opening"), -ERR_IO);
    assert_string_equal(err.text, "opening: error 99999");
    assert_int_equal(err_set(NULL, ERR_LIMIT, "x"), -ERR_LIMIT);
    assert_int_equal(err_sys(NULL, EIO, "x"), -ERR_IO);
    assert_int_equal(err_wrap(NULL, "x"), -ERR_INTERNAL);
}

static void cuts_long_text_between_characters(void **state)
{
    (void)state;
    for (size_t pad = 0; pad < 8; pad++) {
        struct err err = {0};
        char fill[300];
        size_t n = 250 + pad;

        memset(fill, 'x', n);
        memcpy(fill + n, "\xe2\x82\xac\xf0\x9f\x98\x80", 8);
        assert_int_equal(err_set(&err, ERR_INVALID, "%s", fill), -ERR_INVALID);
        assert_true(str_is_utf8(str_from(err.text)));
        assert_true(strlen(err.text) >= 250 && strlen(err.text) <= 255);
        assert_int_equal(err_wrap(&err, "outer"), -ERR_INVALID);
        assert_true(str_is_utf8(str_from(err.text)));
        assert_true(str_starts(str_from(err.text), STR("outer: xxx")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_wraps_and_returns),
        cmocka_unit_test(cuts_long_text_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
