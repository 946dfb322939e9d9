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
    assert_true(logins_start(l, LOGIN_REGISTER, STR("hskey-authreq-1"), STR_NONE, 3, 0, &one));
    assert_true(logins_start(l, LOGIN_SSH_CHECK, STR("sshcheck-1"), STR_NONE, 0, 0, &two));
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
    assert_false(logins_start(l, LOGIN_REGISTER, STR_NONE, STR_NONE, 0, 0, &one));
    logins_free(l);
}

static void old_ones_end(void **state)
{
    struct logins *l = logins_new();
    struct login one, got;
    struct login_question q = {.subject = "s", .options = {{1, 7}}, .n_options = 1}, answer;

    (void)state;
    assert_true(logins_start(l, LOGIN_REGISTER, STR("s"), STR_NONE, 0, 1000, &one));
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
    assert_true(logins_start(l, LOGIN_REGISTER, STR("first"), STR_NONE, 0, 0, &first));
    for (size_t i = 0; i < ARRAY_LEN(of_one); i++)
        assert_true(logins_start(l, LOGIN_REGISTER, STR("same"), STR_NONE, 0, 0, &of_one[i]));
    assert_false(logins_take(l, state_of(&of_one[0]), 0, &got));
    assert_true(logins_take(l, state_of(&of_one[1]), 0, &got));
    for (size_t i = 0; i < LOGINS_MAX; i++) {
        char subject[32];
        struct login any;

        (void)snprintf(subject, sizeof(subject), "n%zu", i);
        assert_true(logins_start(l, LOGIN_REGISTER, str_from(subject), STR_NONE, 0, 0, &any));
    }
    assert_int_equal(logins_len(l), LOGINS_MAX);
    assert_false(logins_take(l, state_of(&first), 0, &got));
    logins_free(l);
}

static void a_yes_is_about_one_thing(void **state)
{
    struct logins *l = logins_new();
    struct login_question q = {.purpose = LOGIN_REGISTER,
                               .subject = "s",
                               .options = {{1, 7}, {2, 0}},
                               .n_options = 2,
                               .expiry_ms = 5};
    struct login_question again = q, got;

    (void)state;
    logins_ask(l, &q, 0);
    logins_ask(l, &again, 0);
    assert_false(str_eq(str_from(q.token), str_from(again.token)));
    assert_false(logins_answer(l, LOGIN_REGISTER, STR("t"), str_from(q.token), 0, &got));
    assert_false(logins_answer(l, LOGIN_SSH_CHECK, STR("s"), str_from(q.token), 0, &got));
    assert_true(logins_answer(l, LOGIN_REGISTER, STR("s"), str_from(q.token), 0, &got));
    assert_int_equal(got.options[0].user, 7);
    assert_int_equal(got.expiry_ms, 5);
    assert_false(logins_answer(l, LOGIN_REGISTER, STR("s"), str_from(q.token), 0, &got));
    assert_true(logins_answer(l, LOGIN_REGISTER, STR("s"), str_from(again.token), 0, &got));
    logins_free(l);
}

/* The answer names one of those that were asked about, or there is one only. */
static void an_answer_is_one_of_the_options(void **state)
{
    const struct login_question two = {.options = {{3, 7}, {5, 0}}, .n_options = 2};
    const struct login_question one = {.options = {{5, 0}}, .n_options = 1}, none = {0};

    (void)state;
    assert_ptr_equal(login_option_find(&two, STR("3")), &two.options[0]);
    assert_ptr_equal(login_option_find(&two, STR("5")), &two.options[1]);
    assert_ptr_equal(login_option_find(&one, STR_NONE), &one.options[0]);
    assert_null(login_option_find(&two, STR_NONE));
    assert_null(login_option_find(&two, STR("4")));
    assert_null(login_option_find(&two, STR("0")));
    assert_null(login_option_find(&two, STR("5 ")));
    assert_null(login_option_find(&one, STR("3")));
    assert_null(login_option_find(&none, STR_NONE));
    assert_null(login_option_find(&none, STR("0")));
}

/* Who logged in is kept with the question, and goes with it, answered or not. */
static void a_question_keeps_the_person(void **state)
{
    struct str groups[] = {STR("oidc:ops")};
    const struct login_person alice = {.issuer = STR("https://idp"),
                                       .provider_id = STR("https://idp/alice"),
                                       .email = STR("alice@example.com"),
                                       .email_verified = true,
                                       .groups = {groups, 1}};
    struct logins *l = logins_new();
    struct login_question got = {0};
    struct login begun, back;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct login_question q = {.purpose = LOGIN_INVITE,
                                   .subject = "hash",
                                   .secret = "secret",
                                   .person = login_person_copy(&alice)};

        logins_ask(l, &q, 0);
        assert_null(q.person);
        if (i > 0)
            continue;
        /* Any subject: the token says which. */
        assert_true(logins_answer(l, LOGIN_INVITE, STR_NONE, str_from(q.token), 0, &got));
        assert_false(logins_answer(l, LOGIN_INVITE, STR_NONE, str_from(q.token), 0, &got));
    }
    assert_str(got.person->email, STR("alice@example.com"));
    assert_true(got.person->email_verified && got.person->groups.len == 1);
    assert_str(str_from(got.secret), STR("secret"));
    login_question_fini(&got);
    assert_null(got.person);

    assert_true(logins_start(l, LOGIN_INVITE, STR("hash"), STR("hskey-invite-x"), 0, 0, &begun));
    assert_true(logins_take(l, state_of(&begun), 0, &back));
    assert_str(str_from(back.secret), STR("hskey-invite-x"));
    logins_free(l);
}

/* Sessions are all about the same: one person's do not push out another's. */
static void many_log_in_at_once(void **state)
{
    struct logins *l = logins_new();
    struct login first, any;

    (void)state;
    assert_true(logins_start(l, LOGIN_SESSION, STR("session"), STR_NONE, 0, 0, &first));
    for (size_t i = 0; i < 2 * (size_t)LOGINS_PER_SUBJECT_MAX; i++)
        assert_true(logins_start(l, LOGIN_SESSION, STR("session"), STR_NONE, 0, 0, &any));
    assert_true(logins_take(l, state_of(&first), 0, &any));
    logins_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_gone),
        cmocka_unit_test(old_ones_end),
        cmocka_unit_test(there_is_room_for_so_many),
        cmocka_unit_test(a_yes_is_about_one_thing),
        cmocka_unit_test(an_answer_is_one_of_the_options),
        cmocka_unit_test(a_question_keeps_the_person),
        cmocka_unit_test(many_log_in_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
