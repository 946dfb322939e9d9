/* Log-ins under way: once, for a while, so many. */

#include "../unit.h"

#include "auth/logins.h"

static struct str state_of(const struct login *l)
{
    return str_from(l->secrets.state);
}

static void what_is_taken_is_gone(void **state)
{
    struct logins *l = logins_new();
    struct login one, two, got;

    (void)state;
    assert_true(logins_start(l, LOGIN_REGISTER, STR("hskey-authreq-1"), 3, 0, &one));
    assert_true(logins_start(l, LOGIN_SSH_CHECK, STR("sshcheck-1"), 0, 0, &two));
    assert_false(str_eq(state_of(&one), state_of(&two)));
    assert_int_equal(state_of(&one).len, 48);
    assert_false(logins_take(l, STR("x"), 0, &got));
    assert_false(logins_take(l, STR_NONE, 0, &got));
    assert_true(logins_take(l, state_of(&one), 0, &got));
    assert_int_equal(got.provider, 3);
    assert_int_equal(got.purpose, LOGIN_REGISTER);
    assert_str(str_from(got.subject), STR("hskey-authreq-1"));
    assert_false(logins_take(l, state_of(&one), 0, &got));
    assert_true(logins_take(l, state_of(&two), 0, &got));
    assert_int_equal(logins_len(l), 0);
    assert_false(logins_start(l, LOGIN_REGISTER, STR_NONE, 0, 0, &one));
    logins_free(l);
}

static void old_ones_end(void **state)
{
    struct logins *l = logins_new();
    struct login one, got;
    struct login_question q = {.subject = "s", .user = 7}, answer;

    (void)state;
    assert_true(logins_start(l, LOGIN_REGISTER, STR("s"), 0, 1000, &one));
    logins_ask(l, &q, 1000);
    assert_int_equal(logins_len(l), 2);
    assert_false(logins_take(l, state_of(&one), 1000 + LOGIN_MS, &got));
    assert_false(
        logins_answer(l, LOGIN_REGISTER, STR("s"), str_from(q.token), 1000 + LOGIN_MS, &answer));
    assert_int_equal(logins_len(l), 0);
    logins_free(l);
}

/* Two tabs of one browser (headscale.md 11 #38) and many people, but not any number. */
static void there_is_room_for_so_many(void **state)
{
    struct logins *l = logins_new();
    struct login first, got, of_one[LOGINS_PER_SUBJECT_MAX + 1];

    (void)state;
    assert_true(logins_start(l, LOGIN_REGISTER, STR("first"), 0, 0, &first));
    for (size_t i = 0; i < ARRAY_LEN(of_one); i++)
        assert_true(logins_start(l, LOGIN_REGISTER, STR("same"), 0, 0, &of_one[i]));
    assert_false(logins_take(l, state_of(&of_one[0]), 0, &got));
    assert_true(logins_take(l, state_of(&of_one[1]), 0, &got));
    for (size_t i = 0; i < LOGINS_MAX; i++) {
        char subject[32];
        struct login any;

        (void)snprintf(subject, sizeof(subject), "n%zu", i);
        assert_true(logins_start(l, LOGIN_REGISTER, str_from(subject), 0, 0, &any));
    }
    assert_int_equal(logins_len(l), LOGINS_MAX);
    assert_false(logins_take(l, state_of(&first), 0, &got));
    logins_free(l);
}

static void a_yes_is_about_one_thing(void **state)
{
    struct logins *l = logins_new();
    struct login_question q = {
        .purpose = LOGIN_REGISTER, .subject = "s", .user = 7, .expiry_ms = 5};
    struct login_question again = q, got;

    (void)state;
    logins_ask(l, &q, 0);
    logins_ask(l, &again, 0);
    assert_false(str_eq(str_from(q.token), str_from(again.token)));
    assert_false(logins_answer(l, LOGIN_REGISTER, STR("t"), str_from(q.token), 0, &got));
    assert_false(logins_answer(l, LOGIN_SSH_CHECK, STR("s"), str_from(q.token), 0, &got));
    assert_true(logins_answer(l, LOGIN_REGISTER, STR("s"), str_from(q.token), 0, &got));
    assert_int_equal(got.user, 7);
    assert_int_equal(got.expiry_ms, 5);
    assert_false(logins_answer(l, LOGIN_REGISTER, STR("s"), str_from(q.token), 0, &got));
    assert_true(logins_answer(l, LOGIN_REGISTER, STR("s"), str_from(again.token), 0, &got));
    logins_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_gone),
        cmocka_unit_test(old_ones_end),
        cmocka_unit_test(there_is_room_for_so_many),
        cmocka_unit_test(a_yes_is_about_one_thing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
