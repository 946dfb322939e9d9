/* Who may log in where, as what: joining rules, choices, approval, suspension, owners. */

#include "each_fixture.h"

#define ISSUER STR("https://idp.example")
#define NOT_ADMITTED                                                                            \
    "you are no member of this tailnet, and it does not admit you by a log-in: ask one of its " \
    "administrators for an invitation"
#define SUSPENDED \
    "your account in this tailnet is suspended: ask one of the tailnet's administrators"

static struct command login_of(const char *identity, tailnet_id tailnet)
{
    return (struct command){.type = COMMAND_USER_LOGIN,
                            .tailnet = tailnet,
                            .issuer = ISSUER,
                            .provider = STR("oidc"),
                            .provider_id = str_from(identity),
                            .name = STR("alice"),
                            .email = STR("alice@Acme.example"),
                            .email_verified = true};
}

static tailnet_id another(const char *name)
{
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_CREATE, .name = str_from(name)});
    return f.result.id;
}

static void set(tailnet_id t, struct tailnet_settings s)
{
    fixture_done(&f, (struct command){.type = COMMAND_SETTINGS_SET, .tailnet = t, .settings = &s});
}

static void set_rules(tailnet_id t, struct join_rule *rules, size_t n)
{
    set(t, (struct tailnet_settings){.set = SETTING_JOINING, .joining = rules, .n_joining = n});
}

static void change(tailnet_id t, enum command_type type, user_id id)
{
    fixture_done(&f, (struct command){.type = type, .tailnet = t, .id = id});
}

static user_id log_in(struct command c)
{
    fixture_done(&f, c);
    return f.result.id;
}

static const struct login_choice *choices(struct command c)
{
    c.type = COMMAND_LOGIN_CHOICES;
    fixture_done(&f, c);
    assert_int_equal(f.changes.len, 0);
    return f.result.choices;
}

/* ---- Rules ---- */

static void only_the_first_tailnet_admits_without_rules(void **state)
{
    tailnet_id other = another("other");

    (void)state;
    log_in(login_of("idp/1", 0));
    assert_int_equal(f.result.user->status, USER_ACTIVE);
    assert_int_equal(f.result.user->role, ROLE_MEMBER);
    fixture_refused(&f, login_of("idp/1", other), ERR_DENIED, NOT_ADMITTED);
    /* No rules at all: by invitation only. */
    set_rules(0, NULL, 0);
    log_in(login_of("idp/1", 0));
    fixture_refused(&f, login_of("idp/2", 0), ERR_DENIED, NOT_ADMITTED);
}

static void rules_admit_whom_they_name(void **state)
{
    static const struct {
        const char *name;
        struct join_rule rule;
        bool unverified, admitted;
    } cases[] = {
        {"anyone", {.by = JOIN_ANYONE}, false, true},
        {"anyone of the provider",
         {.by = JOIN_ANYONE, .provider = STR_INIT("https://idp.example")},
         false,
         true},
        {"another provider",
         {.by = JOIN_ANYONE, .provider = STR_INIT("https://other.example")},
         false,
         false},
        {"a group", {.by = JOIN_GROUP, .value = STR_INIT("oidc:eng")}, false, true},
        {"another group", {.by = JOIN_GROUP, .value = STR_INIT("oidc:ops")}, false, false},
        {"a domain, whatever its case",
         {.by = JOIN_DOMAIN, .value = STR_INIT("aCME.example")},
         false,
         true},
        {"its parent", {.by = JOIN_DOMAIN, .value = STR_INIT("le.example")}, false, false},
        {"a domain nobody verified",
         {.by = JOIN_DOMAIN, .value = STR_INIT("acme.example")},
         true,
         false},
    };
    struct str group = STR("oidc:eng");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct command c = login_of("", 0);
        struct join_rule rule = cases[i].rule;
        char identity[32];

        print_message("%s\n", cases[i].name);
        rule.role = ROLE_AUDITOR;
        set_rules(0, &rule, 1);
        snprintf(identity, sizeof(identity), "idp/%zu", i);
        c.provider_id = str_from(identity);
        c.email_verified = !cases[i].unverified;
        c.groups = (struct str_list){&group, 1};
        assert_int_equal(choices(c) && f.result.n_choices == 1, cases[i].admitted);
        if (!cases[i].admitted) {
            assert_true(str_starts(str_from(f.result.text), STR("you are a member of no tailnet")));
            fixture_refused(&f, c, ERR_DENIED, NOT_ADMITTED);
            continue;
        }
        assert_true(f.result.choices[0].user == 0 && f.result.choices[0].role == ROLE_AUDITOR);
        log_in(c);
        assert_int_equal(f.result.user->role, ROLE_AUDITOR);
    }
}

static void approval_is_asked_by_rule_or_setting(void **state)
{
    struct join_rule rules[] = {
        {.by = JOIN_DOMAIN, .value = STR("acme.example"), .needs_approval = true},
        {.by = JOIN_ANYONE, .role = ROLE_IT_ADMIN}};
    struct command unverified = login_of("idp/2", 0);

    (void)state;
    set_rules(0, rules, 2);
    user_id waiting = log_in(login_of("idp/1", 0));
    assert_int_equal(f.result.user->status, USER_PENDING);
    /* The first rule that admits him says it; another log-in changes nothing about it. */
    log_in(login_of("idp/1", 0));
    assert_int_equal(f.changes.len, 0);
    unverified.email_verified = false;
    log_in(unverified);
    assert_true(f.result.user->status == USER_ACTIVE && f.result.user->role == ROLE_IT_ADMIN);
    set(0, (struct tailnet_settings){.set = SETTING_USER_APPROVAL, .user_approval = true});
    unverified.provider_id = STR("idp/3");
    log_in(unverified);
    assert_int_equal(f.result.user->status, USER_PENDING);

    change(0, COMMAND_USER_APPROVE, waiting);
    assert_int_equal(f.result.user->status, USER_ACTIVE);
    assert_int_equal(fixture_count(&f, CHANGE_USER), 1);
    fixture_refused(&f, (struct command){.type = COMMAND_USER_APPROVE, .id = waiting}, ERR_CONFLICT,
                    "the user does not wait for approval");
    log_in(login_of("idp/1", 0));
    assert_int_equal(f.result.user->status, USER_ACTIVE);
}

static void rules_are_checked(void **state)
{
    struct join_rule bad[] = {{.by = JOIN_GROUP},
                              {.by = JOIN_ANYONE, .value = STR("x")},
                              {.by = JOIN_DOMAIN, .value = STR("@a.example")},
                              {.by = JOIN_DOMAIN, .value = STR("example")},
                              {.by = JOIN_ANYONE, .role = ROLE_OWNER},
                              {.by = (enum join_by)9}};
    struct err err = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(join_rules_check(&bad[i], 1, &err) < 0);
    assert_int_equal(
        fixture_apply(
            &f, (struct command){.type = COMMAND_SETTINGS_SET,
                                 .settings = &(struct tailnet_settings){.set = SETTING_JOINING,
                                                                        .joining = bad,
                                                                        .n_joining = 1}}),
        -ERR_INVALID);
}

/* ---- Accounts ---- */

static void a_person_is_a_user_in_each_tailnet(void **state)
{
    tailnet_id b = another("acme"), c = another("blue");
    struct join_rule anyone = {.by = JOIN_ANYONE, .role = ROLE_ADMIN};
    struct command login = login_of("idp/1", 0);

    (void)state;
    set_rules(b, &anyone, 1);
    user_id in_a = log_in(login);
    user_id in_b = log_in(login_of("idp/1", b));
    assert_true(in_a != in_b);
    assert_int_equal(f.result.user->role, ROLE_ADMIN);
    assert_true(view_info(f.result.view)->id == b);
    set_rules(c, &anyone, 1);

    /* Members first, then who would admit him; what is suspended is left out. */
    const struct login_choice *all = choices(login);
    assert_int_equal(f.result.n_choices, 3);
    assert_true(all[2].tailnet == c && all[2].user == 0 && all[2].role == ROLE_ADMIN);
    for (size_t i = 0; i < 2; i++) {
        bool is_b = all[i].tailnet == b;

        assert_true(is_b ? all[i].user == in_b && all[i].role == ROLE_ADMIN
                         : all[i].user == in_a && all[i].role == ROLE_MEMBER);
        assert_str(all[i].name, is_b ? STR("acme") : STR("default"));
        assert_false(all[i].is_hinted);
    }
    login.email = STR("alice+ACME@example.com");
    all = choices(login);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(all[i].is_hinted, all[i].tailnet == b);
    login.name = STR("alice+blue");
    all = choices(login);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(all[i].is_hinted, all[i].tailnet == c);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_SUSPEND, .tailnet = b});
    choices(login);
    assert_int_equal(f.result.n_choices, 2);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_RESUME, .tailnet = b});

    /* Each on its own: suspended there, gone here. */
    change(b, COMMAND_USER_SUSPEND, in_b);
    choices(login);
    assert_int_equal(f.result.n_choices, 2);
    log_in(login_of("idp/1", 0));
    assert_int_equal(fixture_apply(&f, login_of("idp/1", b)), -ERR_DENIED);
    assert_string_equal(f.err.text, SUSPENDED);
    change(0, COMMAND_USER_DELETE, in_a);
    set_rules(0, NULL, 0);
    set_rules(c, NULL, 0);
    choices(login);
    assert_int_equal(f.result.n_choices, 0);
    assert_string_equal(f.result.text, SUSPENDED);
    change(b, COMMAND_USER_RESTORE, in_b);
    assert_true(log_in(login_of("idp/1", b)) == in_b);
}

static void an_identity_is_taken_once_a_tailnet(void **state)
{
    user_id local = fixture_user(&f, "bob");
    tailnet_id b = another("b");
    struct command take = {.type = COMMAND_USER_UPDATE,
                           .id = local,
                           .fields = USER_FIELD_PROVIDER,
                           .provider = STR("oidc"),
                           .provider_id = STR("idp/1")};

    (void)state;
    user_id alice = log_in(login_of("idp/1", 0));
    fixture_refused(&f, take, ERR_CONFLICT, "another user has this identity already");
    fixture_done(&f, (struct command){.type = COMMAND_USER_CREATE, .tailnet = b, .name = STR("x")});
    take.tailnet = b;
    take.id = f.result.id;
    fixture_done(&f, take);
    assert_true(log_in(login_of("idp/1", b)) == take.id);
    assert_true(log_in(login_of("idp/1", 0)) == alice);
    /* And given up again. */
    take.provider = take.provider_id = STR_NONE;
    fixture_done(&f, take);
    fixture_refused(&f, login_of("idp/1", b), ERR_DENIED, NOT_ADMITTED);
    assert_true(log_in(login_of("idp/1", 0)) == alice);
}

static void quotas_hold_for_log_ins(void **state)
{
    (void)state;
    set(0, (struct tailnet_settings){.set = SETTING_MAX_USERS, .max = {[QUOTA_USERS] = 1}});
    log_in(login_of("idp/1", 0));
    fixture_refused(&f, login_of("idp/2", 0), ERR_LIMIT,
                    "this tailnet may have 1 users, and has as many");
    log_in(login_of("idp/1", 0));
}

/* ---- Suspension, owners ---- */

static void suspending_is_for_those_who_are_not(void **state)
{
    user_id bob = fixture_user(&f, "bob");

    (void)state;
    fixture_refused(&f, (struct command){.type = COMMAND_USER_RESTORE, .id = bob}, ERR_CONFLICT,
                    "the user is not suspended");
    change(0, COMMAND_USER_SUSPEND, bob);
    assert_int_equal(f.result.user->status, USER_SUSPENDED);
    fixture_refused(&f, (struct command){.type = COMMAND_USER_SUSPEND, .id = bob}, ERR_CONFLICT,
                    "the user is suspended already");
    fixture_refused(&f, (struct command){.type = COMMAND_USER_APPROVE, .id = bob}, ERR_CONFLICT,
                    "the user does not wait for approval");
    fixture_done(&f, (struct command){.type = COMMAND_USER_RESTORE, .user_name = STR("bob")});
    assert_int_equal(f.result.user->status, USER_ACTIVE);
    fixture_refused(&f, (struct command){.type = COMMAND_USER_SUSPEND, .id = 99}, ERR_NOT_FOUND,
                    "user not found");
}

static struct command role(user_id id, enum user_role role)
{
    return (struct command){
        .type = COMMAND_USER_UPDATE, .id = id, .fields = USER_FIELD_ROLE, .role = role};
}

static void somebody_owns_the_tailnet(void **state)
{
    static const char last[] = "this is the tailnet's last owner: make somebody else one first";
    user_id alice = fixture_user(&f, "alice"), bob = fixture_user(&f, "bob");

    (void)state;
    /* Where nobody owns it, nobody must. */
    change(0, COMMAND_USER_SUSPEND, bob);
    change(0, COMMAND_USER_RESTORE, bob);
    fixture_done(&f, role(alice, ROLE_OWNER));
    fixture_done(&f, role(alice, ROLE_OWNER));
    fixture_refused(&f, (struct command){.type = COMMAND_USER_SUSPEND, .id = alice}, ERR_CONFLICT,
                    last);
    fixture_refused(&f, (struct command){.type = COMMAND_USER_DELETE, .id = alice}, ERR_CONFLICT,
                    last);
    fixture_refused(&f, role(alice, ROLE_ADMIN), ERR_CONFLICT, last);
    /* One who is suspended owns nothing. */
    fixture_done(&f, role(bob, ROLE_OWNER));
    change(0, COMMAND_USER_SUSPEND, bob);
    fixture_refused(&f, role(alice, ROLE_ADMIN), ERR_CONFLICT, last);
    fixture_done(&f, role(bob, ROLE_MEMBER));
    fixture_done(&f, role(bob, ROLE_OWNER));
    change(0, COMMAND_USER_RESTORE, bob);
    fixture_done(&f, role(alice, ROLE_ADMIN));
    fixture_refused(&f, (struct command){.type = COMMAND_USER_SUSPEND, .id = bob}, ERR_CONFLICT,
                    last);
    /* The tailnet itself may go. */
    tailnet_id other = another("other");
    fixture_done(&f,
                 (struct command){.type = COMMAND_USER_CREATE, .tailnet = other, .name = STR("x")});
    struct command own = role(f.result.id, ROLE_OWNER);
    own.tailnet = other;
    fixture_done(&f, own);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_DELETE, .tailnet = other});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(only_the_first_tailnet_admits_without_rules),
        FIXTURE_TEST(rules_admit_whom_they_name),
        FIXTURE_TEST(approval_is_asked_by_rule_or_setting),
        FIXTURE_TEST(rules_are_checked),
        FIXTURE_TEST(a_person_is_a_user_in_each_tailnet),
        FIXTURE_TEST(an_identity_is_taken_once_a_tailnet),
        FIXTURE_TEST(quotas_hold_for_log_ins),
        FIXTURE_TEST(suspending_is_for_those_who_are_not),
        FIXTURE_TEST(somebody_owns_the_tailnet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
