/* Web sessions at the gate: whose they are, what other pages cannot do, their end. */

#include "harness.h"

static char cookie[256];
static const struct str subjects[] = {STR_INIT("alice"), STR_INIT("bob")};
static const struct str groups[] = {STR_INIT("ops")};
static const struct str mails[] = {STR_INIT("carol@example.com")};
static const struct oidc_provider provider = {
    .issuer = STR_INIT("https://id.example"),
    .client_id = STR_INIT("us"),
    .group_prefix = STR_INIT("oidc:"),
    .admins = {.users = mails,
               .n_users = 1,
               .groups = groups,
               .n_groups = 1,
               .subjects = subjects,
               .n_subjects = 2},
};

/* As the desk does it. */
static user_id log_in(struct harness *h, const char *subject, const char *mail, const char *group)
{
    struct order login = {0};
    struct str list = str_from(group);
    char identity[64];
    user_id id;

    (void)snprintf(identity, sizeof(identity), "https://id.example/%s", subject);
    order(h, &login,
          (struct command){.type = COMMAND_USER_LOGIN,
                           .provider = STR("oidc"),
                           .provider_id = str_from(identity),
                           .name = str_from(subject),
                           .email = str_from(mail),
                           .groups = {&list, list.len > 0}});
    id = login.call.result.user->id;
    command_result_fini(&login.call.result);
    return id;
}

static void open_session(struct harness *h, user_id user)
{
    struct order session = {0};
    struct str scope = STR("all");

    order(h, &session,
          (struct command){.type = COMMAND_SESSION_CREATE,
                           .user = user,
                           .text = STR("alice"),
                           .scopes = {&scope, 1},
                           .expiry_ms = clock_unix_ms() + 3600000});
    (void)snprintf(cookie, sizeof(cookie), "%.*s", STR_ARG(session.call.result.secret));
    command_result_fini(&session.call.result);
}

static int setup(void **state)
{
    struct harness *h = NEW(struct harness);

    harness_start(h, &(struct harness_options){.providers = &provider, .n_providers = 1});
    open_session(h, log_in(h, "alice", "", ""));
    *state = h;
    return 0;
}

/* `name`: the cookie's; `more`: a further header line or "". */
static int browse(struct harness *h, const char *method, const char *path, const char *body,
                  const char *name, const char *more)
{
    char headers[1024];

    assert_true((size_t)snprintf(headers, sizeof(headers), "cookie: a=b; %s=%s\r\n%s", name, cookie,
                                 more) < sizeof(headers));
    return harness_ask(
        h,
        &(struct question){
            .method = method, .path = path, .body = str_from(body), .key = "", .headers = headers});
}

#define NAME "hatsize_session"
#define USERS "/api/v1/user"

static void a_cookie_opens_both_versions(void **state)
{
    struct harness *h = *state;

    assert_int_equal(browse(h, "GET", USERS, "", NAME, ""), 200);
    assert_int_equal(browse(h, "GET", "/api/v2/tailnet/-/devices", "", NAME, ""), 200);
    assert_int_equal(browse(h, "GET", USERS, "", "other", ""), 401);
    /* Of http the plain name only, so that a neighbour's cookie of https is not taken. */
    assert_int_equal(browse(h, "GET", USERS, "", "__Host-" NAME, ""), 401);
    /* As a key it is nothing. */
    char bearer[300];
    (void)snprintf(bearer, sizeof(bearer), "Bearer %s", cookie);
    assert_int_equal(
        harness_ask(h, &(struct question){.method = "GET", .path = USERS, .key = bearer}), 401);
    /* A key that is shown counts, not the cookie. */
    assert_int_equal(harness_ask(h, &(struct question){.method = "GET",
                                                       .path = USERS,
                                                       .key = "Bearer x",
                                                       .headers = "cookie: " NAME "=x\r\n"}),
                     401);
    assert_int_equal(browse(h, "GET", "/api/v1/session", "", NAME, ""), 200);
    want_got(h, "login", "alice");
    want_got(h, "user.name", "alice");
    want(h, 404, "GET", "/api/v1/session", "");
}

static void other_pages_change_nothing(void **state)
{
    static const struct {
        const char *header;
        int status;
    } cases[] = {
        {"", 403},
        {"origin: null\r\n", 403},
        {"origin: http://evil.example\r\n", 403},
        {"origin: http://127.0.0.1:8080.evil.example\r\n", 403},
        {"origin: https://127.0.0.1:8080\r\n", 403},
        {"origin: http://evil.example\r\nx-hatsize-request: 1\r\n", 403},
        {"origin: http://127.0.0.1:8080\r\n", 200},
        {"x-hatsize-request: 1\r\n", 200},
    };
    struct harness *h = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[64];

        print_message("%s\n", cases[i].header);
        (void)snprintf(body, sizeof(body), "{\"name\":\"user%zu\"}", i);
        assert_int_equal(browse(h, "POST", USERS, body, NAME, cases[i].header), cases[i].status);
    }
    want(h, 200, "GET", USERS "?name=user0", "");
    assert_int_equal(json_len(json_get_array(h->json, "users")), 0);
}

static void logging_out_ends_it(void **state)
{
    struct harness *h = *state;

    want(h, 404, "DELETE", "/api/v1/session", "");
    assert_int_equal(browse(h, "DELETE", "/api/v1/session", "", NAME, ""), 403);
    assert_int_equal(browse(h, "DELETE", "/api/v1/session", "", NAME, "x-hatsize-request: 1\r\n"),
                     200);
    assert_true(
        got_header(h, "set-cookie: " NAME "=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax\r\n"));
    assert_int_equal(browse(h, "GET", USERS, "", NAME, ""), 401);
}

/* The session in the cookie ends without being asked; at latest after WAITS. */
static void ends(struct harness *h)
{
    int status = 200;

    for (int i = 0; i < WAITS && status == 200; i++) {
        loop_run_once(h->loop, 10);
        status = browse(h, "GET", USERS, "", NAME, "");
    }
    assert_int_equal(status, 401);
}

static void goes_on(struct harness *h)
{
    assert_int_equal(browse(h, "GET", USERS, "", NAME, ""), 200);
}

static void it_goes_with_what_it_was_given_for(void **state)
{
    static const struct str other_groups[] = {STR_INIT("others")};
    struct harness *h = *state;
    struct oidc_provider now = provider;
    user_id greta = log_in(h, "greta", "", "oidc:ops");

    /* Out of the group, as a log-in for whatever reason shows. */
    open_session(h, greta);
    goes_on(h);
    (void)log_in(h, "greta", "", "oidc:others");
    ends(h);
    /* Another address than the one that is named. */
    open_session(h, log_in(h, "carol", "carol@example.com", ""));
    (void)log_in(h, "carol", "carol@example.com", "oidc:x");
    goes_on(h);
    (void)log_in(h, "carol", "carol@example.org", "");
    ends(h);
    /* Groups of the configuration; only what it says now counts. */
    now.admins.groups = other_groups;
    control_set_admins(h->control, &now, 1);
    open_session(h, log_in(h, "greta", "", "oidc:others"));
    goes_on(h);
    control_set_admins(h->control, &provider, 1);
    ends(h);
    /* Struck from the list, and for a moment only: it does not come back. */
    open_session(h, log_in(h, "bob", "", ""));
    now.admins.subjects = NULL;
    now.admins.n_subjects = 0;
    control_set_admins(h->control, &provider, 1);
    goes_on(h);
    control_set_admins(h->control, &now, 1);
    control_set_admins(h->control, &provider, 1);
    ends(h);
    /* The whole provider. */
    open_session(h, log_in(h, "bob", "", ""));
    goes_on(h);
    control_set_admins(h->control, NULL, 0);
    ends(h);
    control_set_admins(h->control, &provider, 1);
    /* Somebody of that name at another provider is somebody else; one that is nobody's neither. */
    now = provider;
    now.client_id = STR("other");
    open_session(h, log_in(h, "bob", "", ""));
    control_set_admins(h->control, &now, 1);
    ends(h);
    control_set_admins(h->control, &provider, 1);
}

/* Changes the user; `role`: ROLES for none. */
static void change(struct harness *h, user_id user, enum command_type type, unsigned role)
{
    struct order o = {0};

    order(h, &o,
          (struct command){.type = type,
                           .id = user,
                           .fields = USER_FIELD_ROLE,
                           .role = role < ROLES ? (enum user_role)role : ROLE_MEMBER});
    command_result_fini(&o.call.result);
}

static int write_user(struct harness *h, const char *body)
{
    return browse(h, "POST", USERS, body, NAME, "x-hatsize-request: 1\r\n");
}

/* Who is named by no list: what the role is now, the session is good for now. */
static void a_role_counts_at_once(void **state)
{
    struct harness *h = *state;
    user_id dora = log_in(h, "dora", "", "");

    change(h, dora, COMMAND_USER_UPDATE, ROLE_AUDITOR);
    open_session(h, dora);
    goes_on(h);
    assert_int_equal(browse(h, "GET", "/api/v1/policy", "", NAME, ""), 200);
    assert_int_equal(write_user(h, "{\"name\":\"by-dora\"}"), 403);
    change(h, dora, COMMAND_USER_UPDATE, ROLE_IT_ADMIN);
    assert_int_equal(write_user(h, "{\"name\":\"by-dora\"}"), 200);
    change(h, dora, COMMAND_USER_UPDATE, ROLE_BILLING_ADMIN);
    goes_on(h);
    assert_int_equal(browse(h, "GET", "/api/v1/policy", "", NAME, ""), 403);
    assert_int_equal(write_user(h, "{\"name\":\"by-dora-too\"}"), 403);
    /* Out at once, and for good. */
    change(h, dora, COMMAND_USER_SUSPEND, ROLES);
    assert_int_equal(browse(h, "GET", USERS, "", NAME, ""), 401);
    ends(h);
    change(h, dora, COMMAND_USER_RESTORE, ROLES);
    open_session(h, dora);
    goes_on(h);
    change(h, dora, COMMAND_USER_UPDATE, ROLE_MEMBER);
    assert_int_equal(browse(h, "GET", USERS, "", NAME, ""), 401);
    ends(h);
}

/* Being named lets nobody in who is suspended. */
static void the_named_are_owners_while_they_are_active(void **state)
{
    struct harness *h = *state;
    user_id bob = log_in(h, "bob", "", "");

    open_session(h, bob);
    assert_int_equal(write_user(h, "{\"name\":\"by-bob\"}"), 200);
    change(h, bob, COMMAND_USER_SUSPEND, ROLES);
    assert_int_equal(browse(h, "GET", USERS, "", NAME, ""), 401);
    ends(h);
    change(h, bob, COMMAND_USER_RESTORE, ROLES);
}

static void administrators_see_and_end_them(void **state)
{
    struct harness *h = *state;
    user_id bob = log_in(h, "bob", "", "");
    char path[64];

    open_session(h, bob);
    want(h, 200, "GET", "/api/v1/sessions", "");
    size_t n = json_len(json_get_array(h->json, "sessions"));
    assert_true(n > 0);
    assert_int_equal(browse(h, "GET", "/api/v1/sessions", "", NAME, ""), 200);
    (void)snprintf(path, sizeof(path), "sessions.%zu.isCurrent", n - 1);
    want_got(h, path, "true");
    (void)snprintf(path, sizeof(path), "sessions.%zu.user.name", n - 1);
    want_got(h, path, "bob");
    (void)snprintf(path, sizeof(path), "sessions.%zu.id", n - 1);
    (void)snprintf(path, sizeof(path), "/api/v1/sessions/%.*s", STR_ARG(got(h, path)));
    want(h, 400, "DELETE", "/api/v1/sessions/x", "");
    want(h, 404, "DELETE", "/api/v1/sessions/9999", "");
    want(h, 404, "DELETE", "/api/v1/sessions/1", ""); /* an API key */
    goes_on(h);
    want(h, 200, "DELETE", path, "");
    assert_int_equal(browse(h, "GET", USERS, "", NAME, ""), 401);
    want(h, 404, "DELETE", path, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cookie_opens_both_versions),
        cmocka_unit_test(other_pages_change_nothing),
        cmocka_unit_test(logging_out_ends_it),
        cmocka_unit_test(it_goes_with_what_it_was_given_for),
        cmocka_unit_test(a_role_counts_at_once),
        cmocka_unit_test(the_named_are_owners_while_they_are_active),
        cmocka_unit_test(administrators_see_and_end_them),
    };

    return cmocka_run_group_tests(tests, setup, tear_down_harness);
}
