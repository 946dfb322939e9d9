/* What roles let people do, and who may hand out which. */

#include "../unit.h"

#include "auth/roles.h"
#include "tailnet/info.h"

#define R 1 /* may read */
#define W 3 /* and write */

/* One row an area; nobody who is of a tailnet has the server's. */
static const struct {
    enum area area;
    unsigned may[ROLES];
} table[AREA_COUNT] = {
    /* area           member admin owner network it billing auditor */
    {AREA_DEVICES, {0, W, W, R, W, 0, R}},   {AREA_ROUTES, {0, W, W, W, R, 0, R}},
    {AREA_AUTH_KEYS, {0, W, W, R, W, 0, R}}, {AREA_OAUTH_KEYS, {0, W, W, R, W, 0, R}},
    {AREA_POLICY, {0, W, W, W, R, 0, R}},    {AREA_SETTINGS, {0, W, W, R, W, R, R}},
    {AREA_USERS, {0, W, W, R, W, R, R}},     {AREA_DNS, {0, W, W, W, R, 0, R}},
    {AREA_API_KEYS, {0, W, W, R, W, 0, R}},  {AREA_LOGS, {0, W, W, R, R, 0, R}},
    {AREA_WEBHOOKS, {0, W, W, R, R, 0, R}},  {AREA_POSTURE, {0, W, W, R, W, 0, R}},
    {AREA_ACCOUNT, {0, W, W, R, R, W, R}},   {AREA_SERVER, {0, 0, 0, 0, 0, 0, 0}},
};

static void each_role_may_what_the_table_says(void **state)
{
    (void)state;
    for (unsigned role = 0; role < ROLES; role++) {
        struct permissions p = permissions_of_role((enum user_role)role);

        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
            bool reads = (p.read & BIT(table[i].area)) != 0;
            bool writes = (p.write & BIT(table[i].area)) != 0;

            print_message("role %u, %s\n", role, area_scope(table[i].area));
            assert_int_equal(reads, table[i].may[role] != 0);
            assert_int_equal(writes, table[i].may[role] == W);
        }
        assert_true(permissions_within((struct permissions){p.write, 0}, p));
    }
}

static void only_who_is_active_may_anything(void **state)
{
    struct user u = {.role = ROLE_OWNER, .status = USER_ACTIVE};

    (void)state;
    assert_int_equal(permissions_of_user(&u).write, permissions_of_role(ROLE_OWNER).write);
    u.status = USER_PENDING;
    assert_int_equal(permissions_of_user(&u).read, 0);
    u.status = USER_SUSPENDED;
    assert_int_equal(permissions_of_user(&u).read, 0);
    assert_int_equal(permissions_of_user(NULL).read, 0);
}

static void both_is_what_either_gives_alone(void **state)
{
    struct permissions a = {0x7, 0x3}, b = {0x5, 0x4};

    (void)state;
    assert_int_equal(permissions_both(a, b).read, 0x5);
    assert_int_equal(permissions_both(a, b).write, 0);
}

static void owners_make_owners_and_admins_the_rest(void **state)
{
    (void)state;
    for (unsigned given = 0; given < ROLES; given++) {
        enum user_role role = (enum user_role)given;

        assert_true(role_may_give(ROLE_OWNER, role));
        assert_int_equal(role_may_give(ROLE_ADMIN, role), role != ROLE_OWNER);
        assert_int_equal(role_may_give(ROLE_IT_ADMIN, role), role == ROLE_MEMBER);
        assert_false(role_may_give(ROLE_NETWORK_ADMIN, role));
        assert_false(role_may_give(ROLE_BILLING_ADMIN, role));
        assert_false(role_may_give(ROLE_AUDITOR, role));
        assert_false(role_may_give(ROLE_MEMBER, role));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_role_may_what_the_table_says),
        cmocka_unit_test(only_who_is_active_may_anything),
        cmocka_unit_test(both_is_what_either_gives_alone),
        cmocka_unit_test(owners_make_owners_and_admins_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
