/* Invitations of people: a link, once, for a while. */

#include "each_fixture.h"

static tailnet_id team;

#define NONE "there is no such invitation, or it was used, revoked or has expired"

static int set_up(void **state)
{
    (void)set_up_fixture(state);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("team")});
    team = f.result.id;
    return 0;
}

static user_invite_id invite(struct command c, char secret[128])
{
    c.type = COMMAND_USER_INVITE_CREATE;
    c.tailnet = team;
    fixture_done(&f, c);
    snprintf(secret, 128, "%.*s", STR_ARG(f.result.secret));
    assert_int_equal(fixture_count(&f, CHANGE_USER_INVITE), 1);
    return f.result.id;
}

static struct command accept_by(const char *identity, const char *secret)
{
    return (struct command){.type = COMMAND_USER_INVITE_ACCEPT,
                            .secret = str_from(secret),
                            .provider = STR("oidc"),
                            .provider_id = str_from(identity),
                            .name = STR("carol"),
                            .email = STR("Carol@Example.com"),
                            .email_verified = true};
}

static const struct user_invite *invite_find(user_invite_id id)
{
    AUTO(view_unref) const struct tailnet_view *v = domain_view(f.d, team);

    return view_user_invite_find(v, id);
}

static user_id member(const char *name, enum user_role role)
{
    fixture_done(
        &f, (struct command){.type = COMMAND_USER_CREATE, .tailnet = team, .name = str_from(name)});
    user_id id = f.result.id;
    fixture_done(&f, (struct command){.type = COMMAND_USER_UPDATE,
                                      .tailnet = team,
                                      .id = id,
                                      .fields = USER_FIELD_ROLE,
                                      .role = role});
    return id;
}

static void a_link_makes_one_member_once(void **state)
{
    char secret[128];
    user_invite_id id = invite((struct command){.role = ROLE_NETWORK_ADMIN}, secret);

    (void)state;
    assert_true(str_starts(str_from(secret), USER_INVITE_KIND));
    assert_true(f.result.user_invite->id == id && f.result.user_invite->inviter == 0);
    assert_int_equal(f.result.user_invite->expiry_ms, f.now + USER_INVITE_MS);
    assert_ptr_equal(domain_user_invite_find(f.d, str_from(secret), f.now), invite_find(id));
    assert_null(domain_user_invite_find(f.d, str_from(secret), f.now + USER_INVITE_MS));

    fixture_done(&f, accept_by("idp/1", secret));
    assert_true(view_info(f.result.view)->id == team);
    assert_true(f.result.user->role == ROLE_NETWORK_ADMIN && f.result.user->tailnet == team &&
                f.result.user->status == USER_ACTIVE);
    assert_str(f.result.user->email, STR("Carol@Example.com"));
    assert_int_equal(fixture_count(&f, CHANGE_USER_INVITE_REMOVED), 1);
    assert_null(invite_find(id));
    fixture_refused(&f, accept_by("idp/2", secret), ERR_NOT_FOUND, NONE);
    fixture_refused(&f, accept_by("idp/2", "hskey-invite-"), ERR_NOT_FOUND, NONE);
    fixture_refused(&f, accept_by("", secret), ERR_INVALID,
                    "a log-in has a provider and an identity");
}

static void it_ends_by_itself_by_hand_and_with_who_made_it(void **state)
{
    char a[128], b[128], c[128], d[128];
    user_id root = member("root", ROLE_ADMIN);
    user_invite_id first = invite((struct command){.expiry_ms = f.now + 5000}, a);
    user_invite_id second = invite((struct command){0}, b);
    user_invite_id third = invite((struct command){.user = root}, c);

    (void)state;
    assert_int_equal(domain_next_tick_ms(f.d), f.now + 5000);
    fixture_tick(&f, 5000);
    assert_int_equal(fixture_count(&f, CHANGE_USER_INVITE_REMOVED), 1);
    assert_null(invite_find(first));
    fixture_refused(&f, accept_by("idp/1", a), ERR_NOT_FOUND, NONE);

    fixture_refused(&f, (struct command){.type = COMMAND_USER_INVITE_REVOKE, .id = second},
                    ERR_NOT_FOUND, "invitation not found");
    fixture_done(
        &f, (struct command){.type = COMMAND_USER_INVITE_REVOKE, .tailnet = team, .id = second});
    assert_true(f.result.user_invite->id == second);
    fixture_refused(&f, accept_by("idp/1", b), ERR_NOT_FOUND, NONE);

    /* While the inviter is suspended it waits; when he goes, it goes. */
    fixture_done(&f, (struct command){.type = COMMAND_USER_SUSPEND, .tailnet = team, .id = root});
    assert_int_equal(fixture_apply(&f, accept_by("idp/1", c)), -ERR_NOT_FOUND);
    assert_non_null(invite_find(third));
    fixture_done(&f, (struct command){.type = COMMAND_USER_DELETE, .tailnet = team, .id = root});
    assert_int_equal(fixture_count(&f, CHANGE_USER_INVITE_REMOVED), 1);
    assert_null(invite_find(third));

    invite((struct command){0}, d);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_SUSPEND, .tailnet = team});
    assert_int_equal(fixture_apply(&f, accept_by("idp/1", d)), -ERR_NOT_FOUND);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_DELETE, .tailnet = team});
    assert_int_equal(fixture_count(&f, CHANGE_USER_INVITE_REMOVED), 1);
    assert_int_equal(domain_next_tick_ms(f.d), INT64_MAX);
}

static void it_may_be_for_one_address(void **state)
{
    char secret[128];
    struct command c;

    (void)state;
    invite((struct command){.email = STR("carol@example.com")}, secret);
    c = accept_by("idp/1", secret);
    c.email_verified = false;
    fixture_refused(&f, c, ERR_DENIED,
                    "this invitation is for another mail address: log in with the account it was "
                    "sent to");
    c.email_verified = true;
    c.email = STR("carol@example.com.evil.example");
    assert_int_equal(fixture_apply(&f, c), -ERR_DENIED);
    c.email = STR("CAROL@example.com");
    fixture_done(&f, c);
}

static void a_member_stays_what_he_is(void **state)
{
    char secret[128];
    struct join_rule anyone = {.by = JOIN_ANYONE, .role = ROLE_AUDITOR, .needs_approval = true};
    struct tailnet_settings s = {.set = SETTING_JOINING, .joining = &anyone, .n_joining = 1};
    struct command login;

    (void)state;
    fixture_done(&f,
                 (struct command){.type = COMMAND_SETTINGS_SET, .tailnet = team, .settings = &s});
    login = accept_by("idp/1", "");
    login.type = COMMAND_USER_LOGIN;
    login.tailnet = team;
    fixture_done(&f, login);
    user_id id = f.result.id;
    assert_int_equal(f.result.user->status, USER_PENDING);
    /* An invitation is approval, but no other role. */
    invite((struct command){.role = ROLE_ADMIN}, secret);
    fixture_done(&f, accept_by("idp/1", secret));
    assert_true(f.result.id == id && f.result.user->role == ROLE_AUDITOR &&
                f.result.user->status == USER_ACTIVE);
    /* And no pardon. */
    fixture_done(&f, (struct command){.type = COMMAND_USER_SUSPEND, .tailnet = team, .id = id});
    user_invite_id left = invite((struct command){0}, secret);
    fixture_refused(&f, accept_by("idp/1", secret), ERR_DENIED,
                    "your account in this tailnet is suspended: ask one of the tailnet's "
                    "administrators");
    assert_non_null(invite_find(left));
}

static void an_inviter_gives_what_he_may(void **state)
{
    char secret[128];
    user_id admin = member("admin", ROLE_ADMIN), owner = member("owner", ROLE_OWNER);
    user_id second = member("second", ROLE_OWNER);
    struct command make = {.type = COMMAND_USER_INVITE_CREATE, .tailnet = team, .role = ROLE_OWNER};

    (void)state;
    make.user = admin;
    fixture_refused(&f, make, ERR_DENIED, "the inviter may not give this role");
    make.user = owner;
    invite(make, secret);
    /* Who is no owner any more made nobody one. */
    fixture_done(&f, (struct command){.type = COMMAND_USER_UPDATE,
                                      .tailnet = team,
                                      .id = owner,
                                      .fields = USER_FIELD_ROLE,
                                      .role = ROLE_MEMBER});
    assert_int_equal(fixture_apply(&f, accept_by("idp/1", secret)), -ERR_NOT_FOUND);
    make.user = second;
    invite(make, secret);
    fixture_done(&f, accept_by("idp/1", secret));
    assert_int_equal(f.result.user->role, ROLE_OWNER);
    make.user = 0;
    invite(make, secret);

    make.user = 99;
    assert_int_equal(fixture_apply(&f, make), -ERR_NOT_FOUND);
    make.user = 0;
    make.role = (enum user_role)ROLES;
    fixture_refused(&f, make, ERR_INVALID, "there is no such role");
    make.role = ROLE_MEMBER;
    make.email = STR("no address");
    fixture_refused(&f, make, ERR_INVALID, "an invitation is for one mail address, or for any");
    make.email = STR_NONE;
    make.expiry_ms = f.now;
    fixture_refused(&f, make, ERR_INVALID, "the invitation's expiry has passed");
}

static void quotas_hold_for_invitations(void **state)
{
    char secret[128];
    struct tailnet_settings s = {.set = SETTING_MAX_USERS, .max = {[QUOTA_USERS] = 1}};

    (void)state;
    (void)member("one", ROLE_MEMBER);
    fixture_done(&f,
                 (struct command){.type = COMMAND_TAILNET_SET, .tailnet = team, .settings = &s});
    user_invite_id id = invite((struct command){0}, secret);
    fixture_refused(&f, accept_by("idp/1", secret), ERR_LIMIT,
                    "this tailnet may have 1 users, and has as many");
    assert_non_null(invite_find(id));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_link_makes_one_member_once), TEST(it_ends_by_itself_by_hand_and_with_who_made_it),
        TEST(it_may_be_for_one_address),    TEST(a_member_stays_what_he_is),
        TEST(an_inviter_gives_what_he_may), TEST(quotas_hold_for_invitations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
