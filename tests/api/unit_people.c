/*
 * People and machines that wait, are suspended, invited: v1's calls, and v2's as Tailscale has
 * them. docs/people.md.
 */

#include "harness.h"

static struct harness h;

static int setup(void **state)
{
    (void)state;
    harness_start(&h, &(struct harness_options){0});
    want(&h, 200, "POST", "/api/v1/user", "{\"name\":\"alice\"}");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

/* Somebody logs in with a verified address. */
static user_id log_in(const char *subject, const char *mail)
{
    struct order login = {0};
    char identity[64];

    (void)snprintf(identity, sizeof(identity), "https://id.example/%s", subject);
    order(&h, &login,
          (struct command){.type = COMMAND_USER_LOGIN,
                           .provider = STR("oidc"),
                           .issuer = STR("https://id.example"),
                           .provider_id = str_from(identity),
                           .name = str_from(subject),
                           .email = str_from(mail),
                           .email_verified = true});
    user_id id = login.call.result.user->id;

    command_result_fini(&login.call.result);
    return id;
}

static const char *path_of(const char *format, uint64_t id)
{
    static char path[128];
    struct buf text = BUF(sizeof(path));
    struct str rest = str_from(format), a, b;

    assert_true(str_split(rest, '#', &a, &b));
    buf_printf(&text, "%.*s%llu%.*s", STR_ARG(a), (unsigned long long)id, STR_ARG(b));
    (void)snprintf(path, sizeof(path), "%.*s", STR_ARG(buf_str(&text)));
    buf_fini(&text);
    return path;
}

static void want_status(user_id id, const char *status)
{
    want(&h, 200, "GET", path_of("/api/v1/user?id=#", id), "");
    want_got(&h, "users.0.status", status);
    want(&h, 200, "GET", path_of("/api/v2/users/#", id), "");
    want_got(&h, "status", status);
}

static void joining_rules_are_kept_as_they_are_said(void **state)
{
    static const char *const bad[] = {
        "{\"joining\":{}}",
        "{\"joining\":[1]}",
        "{\"joining\":[{}]}",
        "{\"joining\":[{\"by\":\"mail\"}]}",
        "{\"joining\":[{\"by\":\"anyone\",\"role\":\"king\"}]}",
        "{\"joining\":[{\"by\":\"anyone\",\"role\":\"owner\"}]}",
        "{\"joining\":[{\"by\":\"domain\"}]}",
        "{\"joining\":[{\"by\":\"domain\",\"value\":\"localhost\"}]}",
    };

    (void)state;
    want(&h, 200, "GET", "/api/v1/tailnet/default", "");
    assert_true(json_is(got_value(&h, "tailnet.joining"), JSON_NULL));
    want_got(&h, "tailnet.userApproval", "false");
    want(
        &h, 200, "PATCH", "/api/v1/tailnet/default",
        "{\"joining\":[{\"by\":\"domain\",\"value\":\"example.com\"},{\"by\":\"group\",\"value\":"
        "\"oidc:it\",\"role\":\"it-admin\",\"provider\":\"https://id.example\"},{\"by\":\"anyone\","
        "\"needs_approval\":true,\"needsApproval\":true}],\"deviceApproval\":true}");
    want(&h, 200, "GET", "/api/v1/tailnet/default", "");
    want_got(&h, "tailnet.joining.0.by", "domain");
    want_got(&h, "tailnet.joining.0.needsApproval", "true");
    want_got(&h, "tailnet.joining.0.role", "member");
    want_got(&h, "tailnet.joining.1.value", "oidc:it");
    want_got(&h, "tailnet.joining.1.needsApproval", "false");
    want_got(&h, "tailnet.joining.1.role", "it-admin");
    want_got(&h, "tailnet.joining.1.provider", "https://id.example");
    want_got(&h, "tailnet.joining.2.needsApproval", "true");
    want_got(&h, "tailnet.deviceApproval", "true");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int status = ask(&h, "PATCH", "/api/v1/tailnet/default", bad[i]);

        print_message("%s\n", bad[i]);
        assert_true(status == 400 || status == 422);
    }
    want(&h, 200, "PATCH", "/api/v1/tailnet/default", "{\"joining\":[]}");
    assert_int_equal(json_len(got_value(&h, "tailnet.joining")), 0);
    assert_true(json_is(got_value(&h, "tailnet.joining"), JSON_ARRAY));
    want(&h, 200, "PATCH", "/api/v1/tailnet/default",
         "{\"reset\":[\"joining\"],\"deviceApproval\":false}");
    assert_true(json_is(got_value(&h, "tailnet.joining"), JSON_NULL));
}

static void who_waits_is_let_in(void **state)
{
    (void)state;
    want(&h, 200, "PATCH", "/api/v1/tailnet/default", "{\"userApproval\":true}");
    user_id id = log_in("ann", "ann@example.com");

    want_status(id, "needs-approval");
    want(&h, 200, "POST", path_of("/api/v1/user/#/approve", id), "");
    want_got(&h, "user.status", "active");
    want_status(id, "active");
    want(&h, 409, "POST", path_of("/api/v1/user/#/approve", id), "");
    /* Tailscale's says nothing to that. */
    want(&h, 200, "POST", path_of("/api/v2/users/#/approve", id), "");
    id = log_in("ben", "ben@example.com");
    want(&h, 200, "POST", path_of("/api/v2/users/#/approve", id), "");
    want_status(id, "active");
    want(&h, 404, "POST", "/api/v1/user/999/approve", "");
    want(&h, 404, "POST", "/api/v2/users/999/approve", "");
    want(&h, 200, "PATCH", "/api/v1/tailnet/default", "{\"userApproval\":false}");
    want_status(log_in("cleo", "cleo@example.com"), "active");
}

static void who_is_suspended_comes_back(void **state)
{
    (void)state;
    user_id id = log_in("dora", "dora@example.com");

    want(&h, 200, "POST", path_of("/api/v1/user/#/suspend", id), "");
    want_got(&h, "user.status", "suspended");
    want_status(id, "suspended");
    want(&h, 200, "POST", path_of("/api/v2/users/#/suspend", id), "");
    want(&h, 409, "POST", path_of("/api/v1/user/#/approve", id), "");
    want(&h, 200, "POST", path_of("/api/v2/users/#/restore", id), "");
    want_status(id, "active");
    want(&h, 200, "POST", path_of("/api/v2/users/#/suspend", id), "");
    want(&h, 200, "POST", path_of("/api/v1/user/#/restore", id), "");
    want_status(id, "active");
    want(&h, 409, "POST", path_of("/api/v1/user/#/restore", id), "");
    want(&h, 200, "POST", path_of("/api/v2/users/#/role", id), "{\"role\":\"owner\"}");
    want(&h, 409, "POST", path_of("/api/v1/user/#/suspend", id), "");
    want(&h, 400, "POST", path_of("/api/v1/user/#/role", id), "{\"role\":\"king\"}");
    want(&h, 400, "POST", path_of("/api/v1/user/#/role", id), "{}");
    want_status(id, "active");
}

static void a_suspended_user_s_machines_say_why(void **state)
{
    (void)state;
    uint64_t node = harness_node(&h, "laptop", "alice");

    want(&h, 200, "POST", "/api/v1/user/alice/suspend", "");
    want(&h, 200, "GET", path_of("/api/v1/node/#", node), "");
    want_got(&h, "node.approved", "true");
    want_got(&h, "node.holds.0", "user-suspended");
    want(&h, 200, "POST", "/api/v1/user/alice/restore", "");
    want(&h, 200, "GET", path_of("/api/v1/node/#", node), "");
    assert_int_equal(json_len(got_value(&h, "node.holds")), 0);
}

static void machines_wait_where_that_is_asked(void **state)
{
    (void)state;
    uint64_t old = harness_node(&h, "old", "alice");

    want(&h, 200, "PATCH", "/api/v2/tailnet/-/settings",
         "{\"devicesApprovalOn\":true,\"usersApprovalOn\":true}");
    want_got(&h, "devicesApprovalOn", "true");
    want_got(&h, "usersApprovalOn", "true");
    want(&h, 200, "GET", "/api/v1/tailnet/default", "");
    want_got(&h, "tailnet.userApproval", "true");
    want(&h, 200, "GET", path_of("/api/v2/device/#", old), "");
    want_got(&h, "authorized", "true");
    /* An administrator's own yes is one. */
    uint64_t node = harness_node(&h, "new", "alice");

    want(&h, 200, "POST", path_of("/api/v1/node/#/approve", node), "{\"approved\":false}");
    want_got(&h, "node.approved", "false");
    want_got(&h, "node.holds.0", "device-needs-approval");
    want(&h, 200, "GET", path_of("/api/v2/device/#", node), "");
    want_got(&h, "authorized", "false");
    want(&h, 200, "GET", "/api/v2/tailnet/-/devices?authorized=false", "");
    assert_int_equal(json_len(got_value(&h, "devices")), 1);
    want(&h, 200, "POST", path_of("/api/v2/device/#/authorized", node), "{\"authorized\":true}");
    want(&h, 200, "POST", path_of("/api/v2/device/#/authorized", node), "{\"authorized\":true}");
    want(&h, 200, "GET", path_of("/api/v2/device/#", node), "");
    want_got(&h, "authorized", "true");
    want(&h, 200, "POST", path_of("/api/v2/device/#/authorized", node), "{\"authorized\":false}");
    want(&h, 200, "POST", path_of("/api/v1/node/#/approve", node), "");
    want_got(&h, "node.approved", "true");
    want(&h, 400, "POST", path_of("/api/v2/device/#/authorized", node), "{}");
    want(&h, 404, "POST", "/api/v1/node/999/approve", "");
    want(&h, 200, "PATCH", "/api/v2/tailnet/-/settings",
         "{\"devicesApprovalOn\":false,\"usersApprovalOn\":false}");
    want_got(&h, "devicesApprovalOn", "false");
}

static void keys_say_whether_their_machines_wait(void **state)
{
    (void)state;
    want(&h, 200, "POST", "/api/v1/preauthkey", "{\"user\":\"alice\",\"preauthorized\":true}");
    want_got(&h, "preAuthKey.preauthorized", "true");
    want(&h, 200, "POST", "/api/v1/preauthkey", "{\"user\":\"alice\"}");
    want_got(&h, "preAuthKey.preauthorized", "false");
    want(
        &h, 200, "POST", "/api/v2/tailnet/-/keys",
        "{\"capabilities\":{\"devices\":{\"create\":{\"preauthorized\":true,\"tags\":[\"tag:a\"]}}}"
        "}");
    want_got(&h, "capabilities.devices.create.preauthorized", "true");
    want(&h, 200, "POST", "/api/v2/tailnet/-/keys",
         "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":[\"tag:a\"]}}}}");
    want_got(&h, "capabilities.devices.create.preauthorized", "false");
}

static void invitations_are_links_told_once(void **state)
{
    uint64_t id = 0;

    (void)state;
    want(&h, 200, "POST", "/api/v1/user-invite",
         "{\"role\":\"auditor\",\"email\":\"ann@example.com\",\"expiration\":"
         "\"2099-01-01T00:00:00Z\"}");
    assert_true(str_starts(got(&h, "url"), STR("http://127.0.0.1:8080/invite/hskey-invite-")));
    want_got(&h, "role", "auditor");
    want_got(&h, "email", "ann@example.com");
    want_got(&h, "expiration", "2099-01-01T00:00:00Z");
    assert_true(str_parse_u64(got(&h, "id"), &id));
    want(&h, 200, "POST", "/api/v1/user-invite", "");
    want_got(&h, "role", "member");
    want_got(&h, "email", "");
    want(&h, 200, "GET", "/api/v1/user-invite", "");
    assert_int_equal(json_len(got_value(&h, "invitations")), 2);
    assert_int_equal(str_find(h.body, STR("hskey-invite")), -1);
    want(&h, 400, "POST", "/api/v1/user-invite", "{\"role\":\"king\"}");
    want(&h, 400, "POST", "/api/v1/user-invite", "{\"expiration\":\"1999-01-01T00:00:00Z\"}");
    want(&h, 200, "DELETE", path_of("/api/v1/user-invite/#", id), "");
    want(&h, 404, "DELETE", path_of("/api/v1/user-invite/#", id), "");
    want(&h, 200, "GET", "/api/v1/user-invite", "");
    assert_int_equal(json_len(got_value(&h, "invitations")), 1);
    assert_true(str_parse_u64(got(&h, "invitations.0.id"), &id));
    want(&h, 200, "GET", path_of("/api/v2/user-invites/#", id), "");
    want_got(&h, "role", "member");
    want_got(&h, "inviterId", "0");
    want(&h, 501, "POST", path_of("/api/v2/user-invites/#/resend", id), "");
    want(&h, 200, "DELETE", path_of("/api/v2/user-invites/#", id), "");
    want(&h, 404, "GET", path_of("/api/v2/user-invites/#", id), "");
}

static void v2_makes_a_list_of_them(void **state)
{
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "[1]",
                                      "[{\"role\":\"king\"}]",
                                      "[{},",
                                      "[{\"role\":\"member\"},{\"role\":\"king\"}]"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        want(&h, 400, "POST", "/api/v2/tailnet/-/user-invites", bad[i]);
    want(&h, 200, "GET", "/api/v2/tailnet/-/user-invites", "");
    assert_int_equal(json_len(h.json), 0);
    want(&h, 200, "POST", "/api/v2/tailnet/-/user-invites",
         "[{\"role\":\"member\",\"email\":\"ann@example.com\"},{\"role\":\"it-admin\"},{}]");
    assert_int_equal(json_len(h.json), 3);
    JSON_EACH(i, h.json) {
        assert_fits(i, API_V2, "UserInvite");
        assert_true(str_find(json_get_str(i, "inviteUrl"), STR("/invite/hskey-invite-")) > 0);
    }
    want_got(&h, "0.email", "ann@example.com");
    want_got(&h, "1.role", "it-admin");
    want(&h, 200, "GET", "/api/v2/tailnet/-/user-invites", "");
    assert_int_equal(json_len(h.json), 3);
    JSON_EACH(i, h.json) {
        assert_fits(i, API_V2, "UserInvite");
        assert_null(json_get(i, "inviteUrl"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(joining_rules_are_kept_as_they_are_said, setup, teardown),
        cmocka_unit_test_setup_teardown(who_waits_is_let_in, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_suspended_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_suspended_user_s_machines_say_why, setup, teardown),
        cmocka_unit_test_setup_teardown(machines_wait_where_that_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_say_whether_their_machines_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(invitations_are_links_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(v2_makes_a_list_of_them, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
