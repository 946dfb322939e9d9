/*
 * A key of one tailnet, and its owner's web session, that name something of another: every call of
 * both versions is made twice, with an object of the other tailnet and with one that is nowhere, in
 * every place where one can be named (the path, ?tailnet=, the body), and the two answers must be
 * the same but for the name.
 */

#include "harness.h"

#include <ctype.h>

static struct harness h;
static char *key;         /* of the tailnet blue: everything of it */
static char cookie[1024]; /* header lines of a session of its owner's, asked from a page of ours */
static bool by_session;   /* who asks: the session, or the key */

/* What there is of the first tailnet, and what is nowhere. Numbers of as many digits. */
static struct thing {
    const char *param; /* in patterns and bodies */
    char there[96];
    char nowhere[96];
} things[] = {
    {.param = "id"},          {.param = "oldId"},   {.param = "userId"},  {.param = "nodeId"},
    {.param = "deviceId"},    {.param = "routeId"}, {.param = "shareId"}, {.param = "inviteId"},
    {.param = "endpointId"},  {.param = "prefix"},  {.param = "keyId"},   {.param = "checkId"},
    {.param = "sessionId"},   {.param = "tailnet"}, {.param = "newName"}, {.param = "attributeKey"},
    {.param = "contactType"}, {.param = "logType"},
};

static struct thing *thing_of(struct str param)
{
    for (size_t i = 0; i < ARRAY_LEN(things); i++)
        if (str_eq(str_from(things[i].param), param))
            return &things[i];
    fail_msg("nobody said what %.*s is", STR_ARG(param));
    return NULL;
}

static void is_both(const char *param, struct str there, const char *nowhere)
{
    struct thing *t = thing_of(str_from(param));

    assert_true(there.len > 0);
    (void)snprintf(t->there, sizeof(t->there), "%.*s", STR_ARG(there));
    (void)snprintf(t->nowhere, sizeof(t->nowhere), "%s", nowhere);
}

/* The member of the answer to a call that must go well. */
static void take(const char *param, const char *method, const char *path, const char *body,
                 const char *member)
{
    want(&h, 200, method, path, body);
    is_both(param, got(&h, member), "987654321");
}

/* A session as the log-in makes it, of an owner of blue. */
static void open_session(void)
{
    struct order session = {0};
    struct str scope = STR("all");
    char path[128];
    uint64_t user = 0, tailnet = 0;

    want(&h, 200, "GET", "/api/v1/tailnet/blue", "");
    assert_true(str_parse_u64(got(&h, "tailnet.id"), &tailnet));
    want(&h, 200, "POST", "/api/v1/user?tailnet=blue", "{\"name\":\"mallory\"}");
    assert_true(str_parse_u64(got(&h, "user.id"), &user));
    (void)snprintf(path, sizeof(path), "/api/v1/user/%llu/role?tailnet=blue",
                   (unsigned long long)user);
    want(&h, 200, "POST", path, "{\"role\":\"owner\"}");
    order(&h, &session,
          (struct command){.type = COMMAND_SESSION_CREATE,
                           .tailnet = tailnet,
                           .user = user,
                           .text = STR("mallory"),
                           .scopes = {&scope, 1},
                           .expiry_ms = clock_unix_ms() + 3600000});
    (void)snprintf(cookie, sizeof(cookie),
                   "cookie: hatsize_session=%.*s\r\nx-hatsize-request: 1\r\n",
                   STR_ARG(session.call.result.secret));
    command_result_fini(&session.call.result);
}

static int setup(void **state)
{
    char body[256];

    (void)state;
    harness_start(&h, &(struct harness_options){0});
    take("id", "POST", "/api/v1/user", "{\"name\":\"alice\"}", "user.id");
    take("oldId", "GET", "/api/v1/user?name=alice", "", "users.0.id");
    take("userId", "GET", "/api/v1/user?name=alice", "", "users.0.id");
    (void)harness_node(&h, "laptop", "alice");
    take("nodeId", "GET", "/api/v1/node", "", "nodes.0.id");
    take("deviceId", "GET", "/api/v1/node", "", "nodes.0.id");
    (void)snprintf(body, sizeof(body), "{\"routes\":[\"10.0.0.0/24\"]}");
    char path[128];

    (void)snprintf(path, sizeof(path), "/api/v1/node/%s/approve_routes",
                   thing_of(STR("nodeId"))->there);
    want(&h, 200, "POST", path, body);
    take("routeId", "GET", "/api/v1/routes", "", "routes.0.id");
    want(&h, 200, "POST", "/api/v1/tailnet", "{\"name\":\"blue\"}");
    want(&h, 200, "POST", "/api/v1/tailnet", "{\"name\":\"green\"}");
    take("shareId", "POST", "/api/v1/share", "{\"node\":\"laptop\",\"toTailnet\":\"green\"}", "id");
    take("inviteId", "POST", "/api/v1/user-invite", "", "id");
    take("endpointId", "POST", "/api/v1/webhook",
         "{\"endpointUrl\":\"https://a.example/\",\"subscriptions\":[\"userCreated\"]}",
         "endpointId");
    take("sessionId", "POST", "/api/v1/preauthkey", "{\"user\":\"alice\"}", "preAuthKey.id");
    take("keyId", "GET", "/api/v1/preauthkey", "", "preAuthKeys.0.id");
    want(&h, 200, "POST", "/api/v1/apikey?tailnet=default", "");
    want(&h, 200, "GET", "/api/v1/apikey?tailnet=default", "");
    is_both("prefix", got(&h, "apiKeys.0.prefix"), "hskey-api-000000000000");
    is_both("tailnet", STR("default"), "nonesuch");
    is_both("checkId", STR("hskey-authreq-aaaaaaaaaaaaaaaaaaaaaaaa"),
            "hskey-authreq-bbbbbbbbbbbbbbbbbbbbbbbb");
    is_both("newName", STR("other"), "other");
    is_both("attributeKey", STR("custom:a"), "custom:a");
    is_both("contactType", STR("support"), "support");
    is_both("logType", STR("network"), "network");
    want(&h, 200, "POST", "/api/v1/apikey?tailnet=blue", "");
    key = bearer_of(got(&h, "apiKey"));
    open_session();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mem_free(key);
    harness_stop(&h);
    return 0;
}

/* ---- Asked twice ---- */

/* The answer with the name of the object, where it stands by itself, as '@'. */
static void put_plain(struct buf *out, struct str text, struct str name)
{
    for (size_t i = 0; i < text.len;) {
        bool fits = str_starts(str_from_index(text, i), name);
        char before = i > 0 ? text.ptr[i - 1] : ' ';
        char after = i + name.len < text.len ? text.ptr[i + name.len] : ' ';

        if (fits && !isalnum((unsigned char)before) && !isalnum((unsigned char)after)) {
            buf_put_char(out, '@');
            i += name.len;
        } else {
            buf_put_char(out, text.ptr[i++]);
        }
    }
    buf_put_char(out, '\0');
}

struct answer {
    int status;
    struct buf text;
};

static void ask_once(struct answer *a, const struct api_operation *op, const char *path,
                     const char *body, const char *name)
{
    *a = (struct answer){.text = BUF((size_t)1 << 20)};
    a->status = harness_ask(&h, &(struct question){.method = op->method,
                                                   .path = path,
                                                   .body = str_from(body),
                                                   .key = by_session ? "" : key,
                                                   .headers = by_session ? cookie : NULL});
    put_plain(&a->text, h.body, str_from(name));
}

static void ask_both(const struct api_operation *op, const char *there, const char *nowhere,
                     const char *body_there, const char *body_nowhere, const struct thing *t)
{
    struct answer a, b;

    ask_once(&a, op, there, body_there, t->there);
    ask_once(&b, op, nowhere, body_nowhere, t->nowhere);
    if (a.status != b.status || strcmp(a.text.ptr, b.text.ptr) != 0)
        fail_msg("%s %s %s: %d %s, but %d %s of what is nowhere", op->method, there,
                 body_there ? body_there : "", a.status, a.text.ptr, b.status, b.text.ptr);
    if (a.status == 200)
        fail_msg("%s %s %s: 200 %s", op->method, there, body_there ? body_there : "", a.text.ptr);
    buf_fini(&a.text);
    buf_fini(&b.text);
}

/* The path with `meant` named as it is, or as what is nowhere; other parts are nowhere. */
static void put_path(struct buf *out, const char *pattern, const struct thing *meant, bool there)
{
    struct str rest = str_from(pattern), piece;

    while (str_next(&rest, '/', &piece)) {
        if (piece.len == 0)
            continue;
        buf_put_char(out, '/');
        if (!str_starts(piece, STR("{"))) {
            buf_put(out, piece);
            continue;
        }
        const struct thing *t = thing_of(str_sub(piece, 1, piece.len - 2));

        if (t != meant && str_eq(str_from(t->param), STR("tailnet")))
            buf_put_char(out, '-');
        else
            buf_put(out, str_from(t == meant && there ? t->there : t->nowhere));
    }
    buf_put_char(out, '\0');
}

/* Something in every member that the call reads, so that no handler ends for want of it. */
static void put_body(struct buf *out, enum api_version version, const char *schema)
{
    static const char *const values[] = {
        [KIND_STRING] = "\"auditor\"",  [KIND_ID] = "1",
        [KIND_ID_OR_NAME] = "\"1\"",    [KIND_TIME] = "\"2099-01-01T00:00:00Z\"",
        [KIND_BOOL] = "false",          [KIND_NUMBER] = "1",
        [KIND_STRINGS] = "[\"tag:a\"]", [KIND_ANY] = "null",
        [KIND_OBJECT] = "null",         [KIND_OBJECTS] = "[]",
    };
    const struct api_schema *s = schema ? api_schema_find(version, schema) : NULL;

    if (s) {
        for (size_t i = 0; i < s->n; i++)
            buf_printf(out, "%s\"%s\":%s", i == 0 ? "{" : ",", s->members[i].name,
                       values[s->members[i].kind]);
        buf_put(out, s->n > 0 ? STR("}") : STR("{}"));
    }
    buf_put_char(out, '\0');
}

/* Operations that are about a thing by its number have it as the only one of its kind here. */
static void in_the_path(const struct api_operation *op, enum api_version version)
{
    struct str rest = str_from(op->pattern), piece;
    struct buf body = BUF(8192);

    put_body(&body, version, op->body);

    while (str_next(&rest, '/', &piece)) {
        struct buf there = BUF(1024), nowhere = BUF(1024);

        if (!str_starts(piece, STR("{")))
            continue;
        const struct thing *t = thing_of(str_sub(piece, 1, piece.len - 2));

        put_path(&there, op->pattern, t, true);
        put_path(&nowhere, op->pattern, t, false);
        if (strcmp(there.ptr, nowhere.ptr) != 0) {
            ask_both(op, there.ptr, nowhere.ptr, NULL, NULL, t);
            ask_both(op, there.ptr, nowhere.ptr, body.ptr, body.ptr, t);
        }
        buf_fini(&there);
        buf_fini(&nowhere);
    }
    buf_fini(&body);
}

static void by_the_query(const struct api_operation *op)
{
    const struct thing *t = thing_of(STR("tailnet"));
    struct buf there = BUF(1024), nowhere = BUF(1024);

    if (strstr(op->pattern, "{tailnet}"))
        return;
    put_path(&there, op->pattern, NULL, true);
    put_path(&nowhere, op->pattern, NULL, true);
    /* Without the ends put there. */
    buf_cut(&there, there.len - 1);
    buf_cut(&nowhere, nowhere.len - 1);
    buf_printf(&there, "?tailnet=%s%c", t->there, 0);
    buf_printf(&nowhere, "?tailnet=%s%c", t->nowhere, 0);
    ask_both(op, there.ptr, nowhere.ptr, NULL, NULL, t);
    buf_fini(&there);
    buf_fini(&nowhere);
}

static void walk(enum api_version version)
{
    size_t n = 0;
    const struct api_operation *ops = api_operations(version, &n);

    for (size_t i = 0; i < n; i++) {
        if (ops[i].is_public)
            continue;
        /* About the session that asks: it is a key. */
        if (ops[i].is_own)
            continue;
        in_the_path(&ops[i], version);
        by_the_query(&ops[i]);
    }
}

static void another_s_is_nowhere_in_v1(void **state)
{
    (void)state;
    walk(API_V1);
}

static void another_s_is_nowhere_in_v2(void **state)
{
    (void)state;
    walk(API_V2);
}

/* ---- In bodies and queries of their own ---- */

static void nor_in_bodies(void **state)
{
    static const struct {
        const char *method, *pattern, *body; /* '#': the object */
        const char *thing;
    } cases[] = {
        {"POST", "/api/v1/preauthkey", "{\"user\":\"#\"}", "id"},
        {"GET", "/api/v1/preauthkey?user=#", "", "id"},
        {"GET", "/api/v1/node?user=#", "", "id"},
        {"GET", "/api/v1/machine?user=#", "", "id"},
        {"POST", "/api/v1/preauthkey/expire", "{\"id\":#}", "keyId"},
        {"DELETE", "/api/v1/preauthkey?id=#", "", "keyId"},
        {"DELETE", "/api/v1/apikey?prefix=#", "", "prefix"},
        {"POST", "/api/v1/apikey/expire", "{\"prefix\":\"#\"}", "prefix"},
        {"POST", "/api/v1/node/register",
         "{\"user\":\"#\",\"key\":\"hskey-authreq-"
         "aaaaaaaaaaaaaaaaaaaaaaaa\"}",
         "id"},
        {"POST", "/api/v1/auth/register",
         "{\"user\":\"#\",\"authId\":\"hskey-authreq-aaaaaaaaaaaaaaaaaaaaaaaa\"}", "id"},
        {"POST", "/api/v1/debug/node",
         "{\"user\":\"#\",\"key\":\"hskey-authreq-aaaaaaaaaaaaaaaaaaaaaaaa\",\"name\":\"x\"}",
         "id"},
        {"POST", "/api/v1/share", "{\"node\":\"#\",\"toTailnet\":\"default\"}", "nodeId"},
        {"POST", "/api/v1/share", "{\"node\":\"1\",\"toTailnet\":\"#\"}", "tailnet"},
        {"POST", "/api/v1/share-invite", "{\"node\":\"#\"}", "nodeId"},
        {"POST", "/api/v1/share-invite/accept", "{\"user\":\"#\",\"secret\":\"hskey-share-x\"}",
         "id"},
        {"GET", "/api/v1/policy/explain?src=#&dst=100.64.0.9:22", "", "nodeId"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct thing *t = thing_of(str_from(cases[i].thing));
        const struct api_operation op = {.method = cases[i].method};
        struct buf texts[4];

        print_message("%s %s %s\n", cases[i].method, cases[i].pattern, cases[i].body);
        for (size_t k = 0; k < 4; k++) {
            struct str rest = str_from(k < 2 ? cases[i].pattern : cases[i].body), a = rest, b;
            bool has = str_split(rest, '#', &a, &b);

            texts[k] = BUF(4096);
            buf_put(&texts[k], has ? a : rest);
            if (has) {
                buf_put(&texts[k], str_from(k % 2 == 0 ? t->there : t->nowhere));
                buf_put(&texts[k], b);
            }
            buf_put_char(&texts[k], '\0');
        }
        ask_both(&op, texts[0].ptr, texts[1].ptr, texts[2].ptr, texts[3].ptr, t);
        for (size_t k = 0; k < 4; k++)
            buf_fini(&texts[k]);
    }
}

/* The same by the session, and that it is one: what is blue's it sees. */
static void nor_to_a_web_session(void **state)
{
    by_session = true;
    assert_int_equal(harness_ask(&h, &(struct question){.method = "GET",
                                                        .path = "/api/v1/user",
                                                        .key = "",
                                                        .headers = cookie}),
                     200);
    want_got(&h, "users.0.name", "mallory");
    walk(API_V1);
    walk(API_V2);
    nor_in_bodies(state);
    by_session = false;
}

/* Not even as much is told to a page of somebody else's that the owner of blue looks at. */
static void nor_to_another_page(void **state)
{
    static const char *const pages[] = {"", "origin: https://evil.example\r\n", "origin: null\r\n"};
    const struct str own = STR("x-hatsize-request: 1\r\n");
    size_t n = 0;
    const struct api_operation *ops = api_operations(API_V1, &n);

    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(pages); k++) {
        char headers[sizeof(cookie) + 64];

        (void)snprintf(headers, sizeof(headers), "%.*s%s", (int)(strlen(cookie) - own.len), cookie,
                       pages[k]);
        for (size_t i = 0; i < n; i++) {
            struct buf path = BUF(1024);

            if (ops[i].is_public || ops[i].socket_only || ops[i].reads ||
                strcmp(ops[i].method, "GET") == 0)
                continue;
            put_path(&path, ops[i].pattern, NULL, true);
            if (harness_ask(&h, &(struct question){.method = ops[i].method,
                                                   .path = path.ptr,
                                                   .key = "",
                                                   .headers = headers}) != 403)
                fail_msg("%s %s from \"%s\": %d", ops[i].method, path.ptr, pages[k], h.status);
            buf_fini(&path);
        }
    }
}

/* And nothing of it happened. */
static void nothing_happened(void **state)
{
    (void)state;
    want(&h, 200, "GET", "/api/v1/user", "");
    want_got(&h, "users.0.name", "alice");
    want_got(&h, "users.0.status", "active");
    want(&h, 200, "GET", "/api/v1/node", "");
    want_got(&h, "nodes.0.givenName", "laptop");
    want_got(&h, "nodes.0.approvedRoutes.0", "10.0.0.0/24");
    want(&h, 200, "GET", "/api/v1/share", "");
    assert_int_equal(json_len(got_value(&h, "shares")), 1);
    want(&h, 200, "GET", "/api/v1/user-invite", "");
    assert_int_equal(json_len(got_value(&h, "invitations")), 1);
    want(&h, 200, "GET", "/api/v1/webhook", "");
    assert_int_equal(json_len(got_value(&h, "webhooks")), 1);
    want(&h, 200, "GET", "/api/v1/preauthkey", "");
    assert_int_equal(json_len(got_value(&h, "preAuthKeys")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_s_is_nowhere_in_v1),
        cmocka_unit_test(another_s_is_nowhere_in_v2),
        cmocka_unit_test(nor_in_bodies),
        cmocka_unit_test(nor_to_a_web_session),
        cmocka_unit_test(nor_to_another_page),
        cmocka_unit_test(nothing_happened),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
