/* Who may do what; scopes; the Authorization header taken apart. */

#include "../unit.h"

#include "auth/caller.h"
#include "core/buf.h"
#include "tailnet/command.h"

static void scopes_give_areas(void **state)
{
    static const struct {
        const char *scope;
        bool known;
        uint32_t read, write;
    } cases[] = {
        {"all", true, BIT(AREA_COUNT) - 1, BIT(AREA_COUNT) - 1},
        {"all:read", true, BIT(AREA_COUNT) - 1, 0},
        {"devices:core", true, BIT(AREA_DEVICES), BIT(AREA_DEVICES)},
        {"devices:core:read", true, BIT(AREA_DEVICES), 0},
        {"policy_file", true, BIT(AREA_POLICY), BIT(AREA_POLICY)},
        {"users:read", true, BIT(AREA_USERS), 0},
        {"logs:configuration:read", true, BIT(AREA_LOGS), 0},
        {"devices", false, 0, 0},
        {"devices:core:write", false, 0, 0},
        {":read", false, 0, 0},
        {"", false, 0, 0},
        {"ALL", false, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct permissions p = {0};

        print_message("%s\n", cases[i].scope);
        assert_int_equal(permissions_add_scope(&p, str_from(cases[i].scope)), cases[i].known);
        assert_int_equal(p.read, cases[i].read);
        assert_int_equal(p.write, cases[i].write);
    }
    /* Every area has a scope of its own that gives it. */
    for (unsigned area = 0; area < AREA_COUNT; area++) {
        struct permissions p = {0};

        assert_true(permissions_add_scope(&p, str_from(area_scope((enum area)area))));
        assert_int_equal(p.write, BIT(area));
    }
}

static void no_scopes_mean_everything_and_unknown_ones_nothing(void **state)
{
    struct str_list none = {0}, odd = {0};

    (void)state;
    str_list_add(&odd, STR("fly"));
    assert_int_equal(permissions_of_scopes(&none).write, PERMISSIONS_ALL.write);
    assert_int_equal(permissions_of_scopes(&odd).read, 0);
    assert_true(permissions_within(PERMISSIONS_READ, PERMISSIONS_ALL));
    assert_false(permissions_within(PERMISSIONS_ALL, PERMISSIONS_READ));
    str_list_free(&odd);
}

static void callers_are_held_to_their_tailnet(void **state)
{
    struct caller socket = caller_socket();
    struct caller user = caller_session(7, 3, STR("alice@example.com"), PERMISSIONS_ALL);
    struct caller nobody = CALLER_NOBODY;

    (void)state;
    assert_true(caller_may_write(&socket, AREA_SERVER) && caller_may_name(&socket, 9));
    assert_true(caller_may_write(&user, AREA_POLICY) && caller_may_name(&user, 7));
    assert_false(caller_may_name(&user, 9));
    /* What concerns no single tailnet is the server's. */
    assert_false(caller_may_read(&user, AREA_SERVER) || caller_may_write(&user, AREA_SERVER));
    assert_false(caller_may_read(&nobody, AREA_DEVICES) || caller_may_name(&nobody, 7));
    assert_string_equal(user.author, "user:alice@example.com");
}

static void what_is_done_carries_its_author(void **state)
{
    struct caller c = caller_session(1, 2, STR("a\nb\x7f\xc3\xa4"), PERMISSIONS_READ);
    struct command command = {0};
    struct buf longer = BUF(0);

    (void)state;
    caller_set_from(&c, (struct ip_addrport){IP_ADDR_V4(192, 0, 2, 7), 4711});
    caller_stamp(&c, &command);
    assert_str(command.author, STR("user:a?b?\xc3\xa4"));
    assert_str(command.from, STR("192.0.2.7"));
    assert_int_equal(command.origin, ORIGIN_API);
    assert_false(caller_may_write(&c, AREA_USERS));

    /* Too long a name is cut between characters. */
    for (int i = 0; i < 100; i++)
        buf_put(&longer, STR("\xc3\xa4"));
    c = caller_session(1, 2, buf_str(&longer), PERMISSIONS_READ);
    assert_true(str_is_utf8(str_from(c.author)) && strlen(c.author) > 120);
    buf_fini(&longer);
}

static void headers_come_apart(void **state)
{
    static const struct {
        const char *name;
        struct str header;
        bool good;
        struct str user, password;
    } cases[] = {
        {"bearer", STR_INIT("Bearer abc-def"), true, STR_INIT("abc-def"), STR_INIT("")},
        {"basic, empty password", STR_INIT("Basic aHNrZXk6"), true, STR_INIT("hskey"),
         STR_INIT("")},
        {"basic, colons in the password", STR_INIT("Basic YTpiOmM="), true, STR_INIT("a"),
         STR_INIT("b:c")},
        {"nothing", STR_INIT(""), false, STR_INIT(""), STR_INIT("")},
        {"a key alone", STR_INIT("hskey-api-x"), false, STR_INIT(""), STR_INIT("")},
        {"another case", STR_INIT("bearer abc"), false, STR_INIT(""), STR_INIT("")},
        {"two spaces", STR_INIT("Bearer  abc"), false, STR_INIT(""), STR_INIT("")},
        {"nothing behind", STR_INIT("Bearer "), false, STR_INIT(""), STR_INIT("")},
        {"no space", STR_INIT("Bearerabc"), false, STR_INIT(""), STR_INIT("")},
        {"a NUL", STR_INIT("Bearer a\0b"), false, STR_INIT(""), STR_INIT("")},
        {"basic without colon", STR_INIT("Basic YWJj"), false, STR_INIT(""), STR_INIT("")},
        {"basic without name", STR_INIT("Basic OmFiYw=="), false, STR_INIT(""), STR_INIT("")},
        {"no base64", STR_INIT("Basic ???"), false, STR_INIT(""), STR_INIT("")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct auth_credentials c;

        print_message("%s\n", cases[i].name);
        assert_int_equal(auth_credentials_parse(cases[i].header, &c), cases[i].good);
        assert_str(str_bytes(c.name, c.name_len), cases[i].user);
        assert_str(str_bytes(c.password, c.password_len), cases[i].password);
        auth_credentials_fini(&c);
    }
}

static void long_headers_hold_nothing(void **state)
{
    static char header[AUTH_HEADER_MAX + 1];
    struct auth_credentials c;

    (void)state;
    memset(header, 'x', sizeof(header));
    memcpy(header, "Bearer ", 7);
    assert_false(auth_credentials_parse(str_bytes(header, sizeof(header)), &c));
    assert_true(auth_credentials_parse(str_bytes(header, sizeof(header) - 1), &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes_give_areas),
        cmocka_unit_test(no_scopes_mean_everything_and_unknown_ones_nothing),
        cmocka_unit_test(callers_are_held_to_their_tailnet),
        cmocka_unit_test(what_is_done_carries_its_author),
        cmocka_unit_test(headers_come_apart),
        cmocka_unit_test(long_headers_hold_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
