/* Forms, queries and cookies as browsers and others send them. */

#include "../unit.h"

#include "auth/browser.h"

static void fields_are_decoded_and_unique(void **state)
{
    static const struct {
        const char *name;
        struct str text;
        bool there;
        struct str value;
    } cases[] = {
        {"alone", STR_INIT("code=x"), true, STR_INIT("x")},
        {"among others", STR_INIT("a=1&code=x%2By+z&b=2"), true, STR_INIT("x+y z")},
        {"empty", STR_INIT("code="), true, STR_INIT("")},
        {"without a value", STR_INIT("a&code"), true, STR_INIT("")},
        {"name in escapes", STR_INIT("%63ode=x"), true, STR_INIT("x")},
        {"NUL", STR_INIT("code=%00"), true, STR_INIT("\0")},
        {"an equals sign", STR_INIT("code=a=b"), true, STR_INIT("a=b")},
        {"absent", STR_INIT("cod=x&codes=y&xcode=z"), false, STR_INIT("")},
        {"nothing", STR_INIT(""), false, STR_INIT("")},
        {"twice", STR_INIT("code=x&code=x"), false, STR_INIT("")},
        {"twice, in disguise", STR_INIT("code=x&%63ode=y"), false, STR_INIT("")},
        {"half an escape", STR_INIT("code=%4"), false, STR_INIT("")},
        {"no escape", STR_INIT("code=%zz"), false, STR_INIT("")},
        {"another field's escape is its own business", STR_INIT("a=%zz&code=x"), true,
         STR_INIT("x")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct str value = STR_NONE;

        print_message("%s\n", cases[i].name);
        assert_int_equal(form_get(arena, cases[i].text, STR("code"), &value), cases[i].there);
        assert_str(value, cases[i].value);
    }
}

static void cookies_are_found(void **state)
{
    static const struct {
        struct str header;
        bool there;
        struct str value;
    } cases[] = {
        {STR_INIT("a=1; state_abc=x; b=2"), true, STR_INIT("x")},
        {STR_INIT("state_abc=\"x\""), true, STR_INIT("x")},
        {STR_INIT("state_abc=;state_abc=y"), true, STR_INIT("")},
        {STR_INIT("xstate_abc=x; state_ab=y; state_abc"), false, STR_INIT("")},
        {STR_INIT("; ;;"), false, STR_INIT("")},
        {STR_INIT(""), false, STR_INIT("")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str value = STR_NONE;

        assert_int_equal(cookie_get(cases[i].header, STR("state_abc"), &value), cases[i].there);
        assert_str(value, cases[i].value);
    }
}

static void cookies_are_kept_close(void **state)
{
    struct buf out = BUF(1024);

    (void)state;
    cookie_put(&out, &(struct cookie){.name = STR("n"),
                                      .value = STR("v"),
                                      .path = STR("/p"),
                                      .max_age_s = 60,
                                      .is_strict = true,
                                      .is_secure = true});
    assert_str(buf_str(&out), STR("n=v; Path=/p; Max-Age=60; HttpOnly; SameSite=Strict; Secure"));
    buf_clear(&out);
    cookie_put(&out, &(struct cookie){.name = STR("n"), .value = STR(""), .path = STR("/")});
    assert_str(buf_str(&out), STR("n=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_decoded_and_unique),
        cmocka_unit_test(cookies_are_found),
        cmocka_unit_test(cookies_are_kept_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
