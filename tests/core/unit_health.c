/* What is wrong with the server, part by part. */

#include "../unit.h"

#include "core/health.h"

#define T0 ((int64_t)1700000000000)

static void says_what_is_wrong_until_it_is_well(void **state)
{
    AUTO_FINI(buf_fini) struct buf why = BUF(4096);
    char long_text[2000];

    (void)state;
    for (enum health_part part = 0; part < HEALTH_PARTS; part++) {
        buf_clear(&why);
        assert_false(health_is_ill(part, T0, &why));
        health_note(part, str_from(health_part_name(part)));
        assert_true(health_is_ill(part, T0, &why));
        assert_str(buf_str(&why), str_from(health_part_name(part)));
        health_note(part, STR_NONE);
        assert_false(health_is_ill(part, T0, &why));
    }
    memset(long_text, 'x', sizeof(long_text));
    health_note(HEALTH_LOGIN, str_bytes(long_text, sizeof(long_text)));
    buf_clear(&why);
    assert_true(health_is_ill(HEALTH_LOGIN, T0, &why));
    assert_in_range(why.len, 100, 1000);
    health_note(HEALTH_LOGIN, STR_NONE);
}

static void certificates_end(void **state)
{
    AUTO_FINI(buf_fini) struct buf why = BUF(4096);

    (void)state;
    health_note_certificate_end(T0 + HEALTH_CERTIFICATE_MS);
    assert_false(health_is_ill(HEALTH_CERTIFICATE, T0, &why));
    assert_true(health_is_ill(HEALTH_CERTIFICATE, T0 + 1, &why));
    assert_true(str_starts(buf_str(&why), STR("it ends at 2023-11-21T")));
    buf_clear(&why);
    health_note(HEALTH_CERTIFICATE, STR("cannot be read"));
    assert_true(health_is_ill(HEALTH_CERTIFICATE, T0 + HEALTH_CERTIFICATE_MS, &why));
    assert_true(str_starts(buf_str(&why), STR("cannot be read; it ended at 2023-")));
    health_note_certificate_end(0);
    health_note(HEALTH_CERTIFICATE, STR_NONE);
    assert_false(health_is_ill(HEALTH_CERTIFICATE, T0, &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_wrong_until_it_is_well),
        cmocka_unit_test(certificates_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
