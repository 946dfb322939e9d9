/*
 * Who may do what, by role: every call of both versions is asked by a key of somebody with each
 * role, and the answers are held against the tables here and in roles.h, which were written apart
 * from the code, and against the one in docs/people.md.
 *
 * A call that may be made is told from one that may not by a tailnet that is not there: who may is
 * told so (404), and nothing happens. What handlers refuse beyond their areas (roles that one may
 * not give, what only the operator sets) follows below.
 */

#include "roles.h"

#include "api/docs_path.h"
#include "auth/roles.h"
#include "core/file.h"

/* ---- The tables ---- */

/*
 * Which area a call is of: the first line that the method ("": any) and the pattern begin with.
 * "+" adds an area that will do as well; "own": everybody's who is somebody; "POST?": it reads.
 */
static const struct {
    const char *method, *pattern, *areas;
} calls[] = {
    {"", "/api/v1/session/", "users"},
    {"", "/api/v1/sessions", "users"},
    {"", "/api/v1/session", "own"},
    {"", "/api/v1/user", "users"},
    {"", "/api/v1/node/{nodeId}/approve_routes", "devices:routes"},
    {"", "/api/v1/node/{nodeId}/routes", "devices:routes"},
    {"", "/api/v1/machine/{nodeId}/routes", "devices:routes"},
    {"", "/api/v1/routes", "devices:routes"},
    {"", "/api/v1/node", "devices:core"},
    {"", "/api/v1/machine", "devices:core"},
    {"", "/api/v1/debug/node", "devices:core"},
    {"", "/api/v1/auth/", "devices:core"},
    {"", "/api/v1/ssh/check", "devices:core"},
    {"", "/api/v1/share", "devices:core"},
    {"", "/api/v1/preauthkey", "auth_keys"},
    {"", "/api/v1/apikey", "api_access_tokens"},
    {"POST?", "/api/v1/policy/check", "policy_file"},
    {"POST?", "/api/v1/policy/diff", "policy_file"},
    {"", "/api/v1/policy", "policy_file"},
    {"", "/api/v1/webhook", "webhooks"},
    {"", "/api/v1/dns", "dns"},
    {"", "/api/v1/tailnet/{tailnet}/", "server"},
    {"GET", "/api/v1/tailnet", "feature_settings"},
    {"PATCH", "/api/v1/tailnet/{tailnet}", "feature_settings+server"},
    {"", "/api/v1/tailnet", "server"},
    {"", "/api/v1/audit", "logs:configuration"},
    {"", "/api/v1/events", "devices:core+users+auth_keys+policy_file+feature_settings+webhooks"},
    {"", "/api/v1/health", "feature_settings"},

    {"", "/api/v2/device/{deviceId}/routes", "devices:routes"},
    {"", "/api/v2/device/{deviceId}/attributes", "devices:posture_attributes+devices:core"},
    {"", "/api/v2/device/", "devices:core"},
    {"", "/api/v2/tailnet/{tailnet}/devices", "devices:core"},
    {"", "/api/v2/tailnet/{tailnet}/services", "devices:core"},
    {"", "/api/v2/tailnet/{tailnet}/user", "users"},
    {"", "/api/v2/user", "users"},
    {"", "/api/v2/tailnet/{tailnet}/dns/", "dns"},
    {"POST?", "/api/v2/tailnet/{tailnet}/acl/", "policy_file"},
    {"", "/api/v2/tailnet/{tailnet}/acl", "policy_file"},
    {"PUT", "/api/v2/tailnet/{tailnet}/keys", "oauth_keys"},
    {"POST", "/api/v2/tailnet/{tailnet}/keys", "auth_keys+oauth_keys"},
    {"", "/api/v2/tailnet/{tailnet}/keys", "auth_keys+oauth_keys+api_access_tokens"},
    {"", "/api/v2/tailnet/{tailnet}/webhooks", "webhooks"},
    {"", "/api/v2/webhooks/", "webhooks"},
    {"", "/api/v2/tailnet/{tailnet}/settings", "feature_settings"},
    {"", "/api/v2/tailnet/{tailnet}/posture/", "feature_settings"},
    {"", "/api/v2/tailnet/{tailnet}/contacts", "account_settings"},
    {"", "/api/v2/tailnet/{tailnet}/logging/", "logs:configuration"},
};

/* Whether somebody with the role may make the call, as the tables have it. */
static bool expected(const struct api_operation *op, size_t role)
{
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        struct str method = str_from(calls[i].method), rest = str_from(calls[i].areas), area;
        bool reads = str_ends(method, STR("?"));

        if (reads)
            method.len--;
        if ((method.len > 0 && !str_eq(method, str_from(op->method))) ||
            !str_starts(str_from(op->pattern), str_from(calls[i].pattern)))
            continue;
        reads = reads || str_eq(str_from(op->method), STR("GET"));
        if (str_eq(rest, STR("own")))
            return roles[role] != ROLE_MEMBER;
        while (str_next(&rest, '+', &area)) {
            char may = may_of(area, role);

            if (may == 'w' || (reads && may == 'r'))
                return true;
        }
        return false;
    }
    fail_msg("%s %s: nobody said what it is about", op->method, op->pattern);
    return false;
}

/* ---- Somebody with each role ---- */

static struct harness h;
static uint64_t users[ROLES];
static char *keys[ROLES];

static uint64_t make_user(const char *name, enum user_role role)
{
    char body[256];
    uint64_t id = 0;

    (void)snprintf(body, sizeof(body), "{\"name\":\"%s\"}", name);
    want(&h, 200, "POST", "/api/v1/user", body);
    assert_true(str_parse_u64(got(&h, "user.id"), &id));
    give_role(&h, id, role);
    want_got(&h, "user.role", user_role_name(role).ptr);
    want_got(&h, "user.status", "active");
    return id;
}

static int setup(void **state)
{
    (void)state;
    harness_start(&h, &(struct harness_options){0});
    for (size_t i = 0; i < ROLES; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "user%zu", i);
        users[i] = make_user(name, roles[i]);
        keys[i] = key_of(&h, 1, users[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROLES; i++)
        mem_free(keys[i]);
    harness_stop(&h);
    return 0;
}

static int ask_as(size_t role, const char *method, const char *path, const char *body)
{
    return harness_ask(
        &h, &(struct question){
                .method = method, .path = path, .body = str_from(body), .key = keys[role]});
}

/* ---- Every call ---- */

/* The pattern with names for its parts; the tailnet is one that is not there. */
static void put_path(struct buf *out, const char *pattern)
{
    struct str rest = str_from(pattern), piece;

    while (str_next(&rest, '/', &piece)) {
        if (piece.len == 0)
            continue;
        buf_put_char(out, '/');
        buf_put(out, str_starts(piece, STR("{")) ? STR("nonesuch") : piece);
    }
    buf_put(out, STR("?tailnet=nonesuch"));
    buf_put_char(out, '\0');
}

static void walk(enum api_version version, size_t role)
{
    size_t n = 0;
    const struct api_operation *ops = api_operations(version, &n);

    for (size_t i = 0; i < n; i++) {
        struct buf path = BUF(1024);

        if (ops[i].is_public)
            continue;
        put_path(&path, ops[i].pattern);
        int status = ask_as(role, ops[i].method, path.ptr, NULL);
        bool refused =
            status == 401 || (status == 403 && str_find(h.body, STR(" is missing the ")) >= 0);

        if (!refused && (status != 404 || (str_find(h.body, STR("tailnet not found")) < 0 &&
                                           str_find(h.body, STR("there is no session")) < 0)))
            fail_msg("%s %s: %d %.*s", ops[i].method, path.ptr, status, STR_ARG(h.body));
        if (refused == expected(&ops[i], role))
            fail_msg("%.*s: %s %s is %s", STR_ARG(user_role_name(roles[role])), ops[i].method,
                     ops[i].pattern, refused ? "refused" : "allowed");
        buf_fini(&path);
    }
}

static void every_call_asks_for_the_role(void **state)
{
    (void)state;
    for (size_t role = 0; role < ROLES; role++) {
        print_message("%.*s\n", STR_ARG(user_role_name(roles[role])));
        walk(API_V1, role);
        walk(API_V2, role);
    }
}

/* ---- The tables against each other ---- */

static void the_table_is_the_code_s(void **state)
{
    (void)state;
    assert_int_equal(ARRAY_LEN(table), AREA_COUNT);
    for (enum area area = 0; area < AREA_COUNT; area++)
        for (size_t role = 0; role < ROLES; role++) {
            struct permissions p = permissions_of_role(roles[role]);
            char may = may_of(str_from(area_scope(area)), role);

            assert_int_equal((p.write & BIT(area)) != 0, may == 'w');
            assert_int_equal((p.read & BIT(area)) != 0, may != '-');
        }
}

/* The next cell of a row "| a | b |", without what marks it. */
static bool next_cell(struct str *row, struct str *cell)
{
    if (!str_next(row, '|', cell))
        return false;
    *cell = str_trim(*cell);
    if (cell->len >= 2 && cell->ptr[0] == '`')
        *cell = str_sub(*cell, 1, cell->len - 2);
    return true;
}

/* A line of docs/people.md; whether it is one of the table. */
static bool check_line(struct str line, const size_t *columns)
{
    struct str area = STR_NONE, cell;
    char may[ROLES];
    size_t n = 0;

    if (!str_starts(line, STR("| `")))
        return false;
    line = str_from_index(line, 1);
    assert_true(next_cell(&line, &area));
    while (n < ROLES && next_cell(&line, &cell)) {
        may[columns[n]] = str_eq(cell, STR("writes"))  ? 'w'
                          : str_eq(cell, STR("reads")) ? 'r'
                                                       : '-';
        if (may[columns[n]] == '-')
            assert_str(cell, STR("–"));
        n++;
    }
    assert_int_equal(n, ROLES);
    for (size_t role = 0; role < ROLES; role++)
        if (may[role] != may_of(area, role))
            fail_msg("docs/people.md: %.*s of %.*s", STR_ARG(area),
                     STR_ARG(user_role_name(roles[role])));
    return true;
}

/* "| scope | owner | …": which role each column is. */
static bool read_head(struct str line, size_t *columns)
{
    struct str cell;
    size_t n = 0;

    if (!str_starts(line, STR("| scope |")))
        return false;
    line = str_from_index(line, STR("| scope |").len);
    while (n < ROLES && next_cell(&line, &cell)) {
        enum user_role role = ROLE_MEMBER;
        size_t i = 0;

        assert_true(user_role_find(cell, &role));
        while (roles[i] != role)
            i++;
        columns[n++] = i;
    }
    assert_int_equal(n, ROLES);
    return true;
}

static void the_docs_say_the_same(void **state)
{
    struct buf text = BUF((size_t)1 << 20);
    struct str rest, line;
    struct err err = {0};
    bool found = false;
    size_t columns[ROLES] = {0}, rows = 0;
    bool in_table = false;

    (void)state;
    assert_int_equal(file_read(STR(PEOPLE_MD), &text, &found, &err), 0);
    assert_true(found);
    rest = buf_str(&text);
    while (str_next(&rest, '\n', &line)) {
        if (read_head(line, columns))
            in_table = true;
        else if (line.len == 0)
            in_table = false;
        else if (in_table)
            rows += check_line(line, columns);
    }
    /* What is the server's is no role's. */
    assert_int_equal(rows, ARRAY_LEN(table) - 1);
    buf_fini(&text);
}

/* ---- What a role may not give ---- */

/* Who is asked to give whom with which role which role. */
static bool naive_gives(enum user_role giver, enum user_role has, enum user_role given)
{
    if (giver == ROLE_OWNER)
        return true;
    if (giver == ROLE_ADMIN)
        return has != ROLE_OWNER && given != ROLE_OWNER;
    return giver == ROLE_IT_ADMIN && has == ROLE_MEMBER && given == ROLE_MEMBER;
}

static void roles_are_given_by_who_has_more(void **state)
{
    (void)state;
    for (size_t target = 0; target < ROLES; target++) {
        char name[32], path[2][96], body[64];

        (void)snprintf(name, sizeof(name), "target%zu", target);
        uint64_t id = make_user(name, roles[target]);
        (void)snprintf(path[0], sizeof(path[0]), "/api/v1/user/%llu/role", (unsigned long long)id);
        (void)snprintf(path[1], sizeof(path[1]), "/api/v2/users/%llu/role", (unsigned long long)id);
        for (size_t giver = 0; giver < ROLES; giver++)
            for (size_t given = 0; given < ROLES; given++) {
                bool gives = naive_gives(roles[giver], roles[target], roles[given]);

                (void)snprintf(body, sizeof(body), "{\"role\":\"%.*s\"}",
                               STR_ARG(user_role_name(roles[given])));
                int status = ask_as(giver, "POST", path[given % 2], body);

                if ((status == 200) != gives || (!gives && status != 403 && status != 401))
                    fail_msg("%.*s gives %.*s the role %.*s: %d",
                             STR_ARG(user_role_name(roles[giver])),
                             STR_ARG(user_role_name(roles[target])),
                             STR_ARG(user_role_name(roles[given])), status);
                if (!gives)
                    continue;
                (void)snprintf(body, sizeof(body), "{\"role\":\"%.*s\"}",
                               STR_ARG(user_role_name(roles[target])));
                want(&h, 200, "POST", path[0], body);
            }
    }
}

/* Owner and admin; the rest follows from the areas. */
static void nobody_rises_by_the_back_door(void **state)
{
    static const struct {
        const char *what, *method, *path, *body;
        enum user_role least; /* this one may, ROLE_IT_ADMIN may not */
    } cases[] = {
        {"an invitation", "POST", "/api/v1/user-invite", "{\"role\":\"admin\"}", ROLE_ADMIN},
        {"an invitation of v2", "POST", "/api/v2/tailnet/-/user-invites", "[{\"role\":\"admin\"}]",
         ROLE_ADMIN},
        {"a joining rule", "PATCH", "/api/v1/tailnet/default",
         "{\"joining\":[{\"by\":\"anyone\",\"role\":\"admin\"}]}", ROLE_ADMIN},
        {"an OAuth client", "POST", "/api/v2/tailnet/-/keys",
         "{\"keyType\":\"client\",\"scopes\":[\"users\"]}", ROLE_ADMIN},
        {"suspending an owner", "POST", "/api/v1/user/user0/suspend", "", ROLE_OWNER},
        {"deleting an owner", "DELETE", "/api/v1/user/user0", "", ROLE_OWNER},
        {"renaming a tailnet", "PATCH", "/api/v1/tailnet/default", "{\"name\":\"mine\"}",
         ROLE_MEMBER},
        {"lifting a quota", "PATCH", "/api/v1/tailnet/default", "{\"maxNodes\":0}", ROLE_MEMBER},
        {"relays of one's own", "PATCH", "/api/v1/tailnet/default", "{\"reset\":[\"relays\"]}",
         ROLE_MEMBER},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%s\n", cases[i].what);
        assert_int_equal(ask_as(3, cases[i].method, cases[i].path, cases[i].body), 403);
        assert_int_equal(ask_as(2, cases[i].method, cases[i].path, cases[i].body), 403);
        if (cases[i].least == ROLE_MEMBER) /* nobody of the tailnet */
            assert_int_equal(ask_as(0, cases[i].method, cases[i].path, cases[i].body), 403);
        if (cases[i].least != ROLE_ADMIN)
            assert_int_equal(ask_as(1, cases[i].method, cases[i].path, cases[i].body), 403);
        else
            assert_int_equal(ask_as(1, cases[i].method, cases[i].path, cases[i].body), 200);
    }
    /* What was there already nobody gives: an IT admin may add to it. */
    assert_int_equal(ask_as(3, "PATCH", "/api/v1/tailnet/default",
                            "{\"joining\":[{\"by\":\"anyone\",\"role\":\"admin\"},"
                            "{\"by\":\"group\",\"value\":\"oidc:x\"}]}"),
                     200);
    assert_int_equal(ask_as(3, "PATCH", "/api/v1/tailnet/default", "{\"reset\":[\"joining\"]}"),
                     200);
    assert_true(json_is(got_value(&h, "tailnet.joining"), JSON_NULL));
    assert_int_equal(ask_as(3, "POST", "/api/v1/user-invite", "{\"role\":\"member\"}"), 200);
}

/* A key for which no scopes are said is for what its maker's role may, and no key makes a wider
 * one. */
static void a_key_of_one_s_own_is_for_what_one_may(void **state)
{
    static const char *const tries[] = {"/api/v1/node", "/api/v1/policy", "/api/v1/apikey"};

    (void)state;
    for (size_t role = 0; role < ROLES; role++) {
        bool makes = may_of(STR("api_access_tokens"), role) == 'w';
        int status = ask_as(role, "POST", "/api/v1/apikey", "{}");

        print_message("%.*s\n", STR_ARG(user_role_name(roles[role])));
        assert_true(makes ? status == 200 : status == 403 || status == 401);
        if (!makes)
            continue;
        char *key = bearer_of(got(&h, "apiKey"));

        for (size_t i = 0; i < ARRAY_LEN(tries); i++)
            for (size_t write = 0; write < 2; write++) {
                struct question q = {.method = write ? "PUT" : "GET", .path = tries[i], .key = key};
                struct question his = q;

                his.key = keys[role];
                assert_int_equal(harness_ask(&h, &q), harness_ask(&h, &his));
            }
        assert_int_equal(harness_ask(&h, &(struct question){.method = "POST",
                                                            .path = "/api/v1/tailnet",
                                                            .body = STR("{\"name\":\"mine\"}"),
                                                            .key = key}),
                         403);
        assert_int_equal(harness_ask(&h, &(struct question){.method = "POST",
                                                            .path = "/api/v1/apikey",
                                                            .body = STR("{\"scopes\":[\"all\"]}"),
                                                            .key = key}),
                         200);
        mem_free(key);
    }
    /* One that is for less makes none for more. */
    assert_int_equal(ask_as(0, "POST", "/api/v1/apikey",
                            "{\"scopes\":[\"api_access_tokens\",\"devices:core\"]}"),
                     200);
    char *key = bearer_of(got(&h, "apiKey"));
    struct question q = {.method = "POST", .path = "/api/v1/apikey", .key = key};

    assert_int_equal(harness_ask(&h, &q), 403);
    q.body = STR("{\"scopes\":[\"users\"]}");
    assert_int_equal(harness_ask(&h, &q), 403);
    q.body = STR("{\"scopes\":[\"devices:core\"]}");
    assert_int_equal(harness_ask(&h, &q), 200);
    mem_free(key);
}

static void another_role_counts_at_once(void **state)
{
    char path[64];

    (void)state;
    uint64_t id = make_user("eve", ROLE_AUDITOR);
    char *key = key_of(&h, 1, id);
    struct question q = {.method = "GET", .path = "/api/v1/node", .key = key};

    (void)snprintf(path, sizeof(path), "/api/v1/user/%llu/role", (unsigned long long)id);
    assert_int_equal(harness_ask(&h, &q), 200);
    want(&h, 200, "POST", path, "{\"role\":\"billing-admin\"}");
    assert_int_equal(harness_ask(&h, &q), 403);
    want(&h, 200, "POST", path, "{\"role\":\"member\"}");
    assert_int_equal(harness_ask(&h, &q), 401);
    want(&h, 200, "POST", path, "{\"role\":\"admin\"}");
    assert_int_equal(harness_ask(&h, &q), 200);
    (void)snprintf(path, sizeof(path), "/api/v1/user/%llu/suspend", (unsigned long long)id);
    want(&h, 200, "POST", path, "");
    assert_int_equal(harness_ask(&h, &q), 401);
    (void)snprintf(path, sizeof(path), "/api/v1/user/%llu/restore", (unsigned long long)id);
    want(&h, 200, "POST", path, "");
    assert_int_equal(harness_ask(&h, &q), 200);
    mem_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_the_code_s),
        cmocka_unit_test(the_docs_say_the_same),
        cmocka_unit_test(every_call_asks_for_the_role),
        cmocka_unit_test(roles_are_given_by_who_has_more),
        cmocka_unit_test(nobody_rises_by_the_back_door),
        cmocka_unit_test(a_key_of_one_s_own_is_for_what_one_may),
        cmocka_unit_test(another_role_counts_at_once),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
