/*
 * A key of one tailnet that names something of another over gRPC: every call is made twice, with an
 * object of the other tailnet and with one that is nowhere, and status, words and answer must be
 * the same but for the name.
 */

#include "harness.h"

#include <ctype.h>

#include "grpc/status.h"

static char *key; /* of the tailnet blue: everything of it */

/* What there is of the first tailnet, and what is nowhere. Numbers of as many digits as texts. */
enum thing { USER, USER_NAME, NODE, ROUTE, AUTH_KEY, API_KEY, API_PREFIX, THINGS };

static struct {
    char there[64], nowhere[64];
} things[THINGS];

static void is_both(enum thing t, const char *there, const char *nowhere)
{
    (void)snprintf(things[t].there, sizeof(things[t].there), "%s", there);
    (void)snprintf(things[t].nowhere, sizeof(things[t].nowhere), "%s", nowhere);
}

/* Each field as name=value; '#' is the object. */
static const struct row {
    const char *call;
    const char *fields;
    enum thing thing;
} rows[] = {
    {"RenameUser", "old_id=# new_name=evil", USER},
    {"DeleteUser", "id=#", USER},
    {"ListUsers", "id=#", USER},
    {"ListUsers", "name=#", USER_NAME},
    {"ListUsers", "email=#@example.com", USER_NAME},
    {"GetUser", "name=#", USER_NAME},
    {"CreatePreAuthKey", "user=#", USER},
    {"ExpirePreAuthKey", "id=#", AUTH_KEY},
    {"DeletePreAuthKey", "id=#", AUTH_KEY},
    {"DebugCreateNode", "user=# key=hskey-authreq-bbbbbbbbbbbbbbbbbbbbbbbb name=x", USER_NAME},
    {"GetNode", "node_id=#", NODE},
    {"SetTags", "node_id=# tags=tag:evil", NODE},
    {"SetApprovedRoutes", "node_id=# routes=10.9.0.0/24", NODE},
    {"RegisterNode", "user=# key=" SECOND_ID, USER_NAME},
    {"DeleteNode", "node_id=#", NODE},
    {"ExpireNode", "node_id=#", NODE},
    {"RenameNode", "node_id=# new_name=evil", NODE},
    {"ListNodes", "user=#", USER_NAME},
    {"MoveNode", "node_id=# user=987654321", NODE},
    {"AuthRegister", "user=# auth_id=" SECOND_ID, USER_NAME},
    {"ExpireApiKey", "prefix=#", API_PREFIX},
    {"ExpireApiKey", "id=#", API_KEY},
    {"DeleteApiKey", "prefix=#", API_PREFIX},
    {"DeleteApiKey", "id=#", API_KEY},
    {"EnableRoute", "route_id=#", ROUTE},
    {"DisableRoute", "route_id=#", ROUTE},
    {"GetNodeRoutes", "node_id=#", NODE},
    {"DeleteRoute", "route_id=#", ROUTE},
};

/*
 * These name nothing, or what is nobody's: a machine that waits is of no tailnet yet, and whoever
 * was shown its id may let it in or turn it away. (Log-ins by SSH that wait are somebody's: they
 * are played end to end.) What they tell is of the caller's tailnet.
 */
static const char *const nameless[] = {
    "CreateUser",  "CreateApiKey",    "ListApiKeys", "GetPolicy",       "SetPolicy",
    "CheckPolicy", "Health",          "GetRoutes",   "BackfillNodeIPs", "ListUsers",
    "ListNodes",   "ListPreAuthKeys", "AuthApprove", "AuthReject",
};

static int prepare(void **state)
{
    assert_int_equal(set_up(state), 0);
    struct rig *rig = *state;
    char text[64];
    Headscale__V1__GetRoutesRequest routes = HEADSCALE__V1__GET_ROUTES_REQUEST__INIT;

    make_node(rig);
    is_both(USER, "1", "987654321");
    is_both(USER_NAME, "alice", "nobody");
    is_both(NODE, "1", "987654321");
    want_call(rig, 0, "GetRoutes", &routes.base);
    (void)snprintf(text, sizeof(text), "%llu",
                   (unsigned long long)GOT(Headscale__V1__GetRoutesResponse)->routes[0]->id);
    is_both(ROUTE, text, "987654321");
    want(&rig->h, 200, "POST", "/api/v1/preauthkey", "{\"user\":\"alice\"}");
    is_both(AUTH_KEY, "1", "987654321");
    want(&rig->h, 200, "POST", "/api/v1/apikey?tailnet=default", "");
    want(&rig->h, 200, "GET", "/api/v1/apikey?tailnet=default", "");
    struct str prefix = got(&rig->h, "apiKeys.0.prefix"), id = got(&rig->h, "apiKeys.0.id");

    (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(str_from_index(prefix, prefix.len - 12)));
    is_both(API_PREFIX, text, "000000000000");
    (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(id));
    is_both(API_KEY, text, "987654321");
    want(&rig->h, 200, "POST", "/api/v1/debug/node",
         "{\"user\":\"alice\",\"key\":\"hskey-authreq-aaaaaaaaaaaaaaaaaaaaaaaa\",\"name\":"
         "\"phone\"}");
    want(&rig->h, 200, "POST", "/api/v1/tailnet", "{\"name\":\"blue\"}");
    want(&rig->h, 200, "POST", "/api/v1/apikey?tailnet=blue", "");
    key = bearer_of(got(&rig->h, "apiKey"));
    return 0;
}

static int clean_up(void **state)
{
    mem_free(key);
    return tear_down(state);
}

/* ---- Asking ---- */

static void put_varint(struct buf *out, uint64_t v)
{
    for (; v > 127; v >>= 7)
        buf_put_char(out, (char)((v & 127) | 128));
    buf_put_char(out, (char)v);
}

static void put_field(struct buf *out, const char *call, struct str name, struct str value)
{
    char copy[64];

    (void)snprintf(copy, sizeof(copy), "%.*s", STR_ARG(name));
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(method(call)->input, copy);
    uint64_t number = 0;

    if (!f)
        fail_msg("%s has no field %s", call, copy);
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        put_varint(out, (uint64_t)f->id << 3 | 2);
        put_varint(out, value.len);
        buf_put(out, value);
        return;
    }
    assert_int_equal(f->type, PROTOBUF_C_TYPE_UINT64);
    assert_true(str_parse_u64(value, &number));
    put_varint(out, (uint64_t)f->id << 3);
    put_varint(out, number);
}

static void put_fields(struct buf *out, const struct row *row, const char *object)
{
    struct str rest = str_from(row->fields), one, name, value, before, after;

    while (str_next(&rest, ' ', &one)) {
        struct buf text = BUF(256);

        assert_true(str_split(one, '=', &name, &value));
        if (str_split(value, '#', &before, &after)) {
            buf_put(&text, before);
            buf_put(&text, str_from(object));
            buf_put(&text, after);
        } else {
            buf_put(&text, value);
        }
        put_field(out, row->call, name, buf_str(&text));
        buf_fini(&text);
    }
}

/* Without the name of the object, where it stands by itself. */
static void put_plain(struct buf *out, struct str text, struct str name)
{
    for (size_t i = 0; i < text.len;) {
        char before = i > 0 ? text.ptr[i - 1] : ' ';
        char after = i + name.len < text.len ? text.ptr[i + name.len] : ' ';

        if (name.len > 0 && str_starts(str_from_index(text, i), name) &&
            !isalnum((unsigned char)before) && !isalnum((unsigned char)after)) {
            buf_put_char(out, '@');
            i += name.len;
        } else {
            buf_put_char(out, text.ptr[i++]);
        }
    }
}

/* The status; into `said` the words and the message of the answer. */
static int ask_of(struct rig *rig, const struct row *row, const char *object, struct buf *said)
{
    struct buf message = BUF(1024), frame = BUF(2048);
    struct h2_reply *r = open_call(rig, row->call, &(struct extra){.key = key});

    put_fields(&message, row, object);
    grpc_frame_put(&frame, buf_str(&message));
    h2_peer_send(rig->peer, r, buf_str(&frame), true);
    buf_fini(&message);
    buf_fini(&frame);
    wait_end(rig, r);
    put_plain(said, field(&r->trailers, "grpc-message: "), str_from(object));
    buf_put_char(said, '|');
    buf_put(said, buf_str(&r->body));
    return read_reply(rig, method(row->call)->output);
}

static void another_s_is_nowhere(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct buf a = BUF(1 << 16), b = BUF(1 << 16);
        int there = ask_of(rig, row, things[row->thing].there, &a);
        int nowhere = ask_of(rig, row, things[row->thing].nowhere, &b);

        print_message("%s %s: %d %.*s\n", row->call, row->fields, nowhere, STR_ARG(buf_str(&b)));
        if (there != nowhere || !str_eq(buf_str(&a), buf_str(&b)))
            fail_msg("%s %s: %d %.*s, but %d %.*s of what is nowhere", row->call, row->fields,
                     there, STR_ARG(buf_str(&a)), nowhere, STR_ARG(buf_str(&b)));
        /* A search finds nothing; all else is refused, and not for how it was asked. */
        if (there == 0)
            assert_true(str_eq(str_from(row->call), STR("ListUsers")) && rig->reply->body.len == 5);
        else if (there != GRPC_NOT_FOUND)
            fail_msg("%s %s: %d %.*s", row->call, row->fields, there, STR_ARG(buf_str(&a)));
        buf_fini(&a);
        buf_fini(&b);
    }
}

static void what_names_nothing_tells_of_its_own(void **state)
{
    static const char *const words[] = {"alice", "laptop", "phone", "10.0.0.0", "100.64"};
    struct rig *rig = *state;

    for (size_t i = 0; i < ARRAY_LEN(nameless); i++) {
        const struct row row = {.call = nameless[i], .fields = ""};
        struct buf said = BUF(1 << 16);

        (void)ask_of(rig, &row, "", &said);
        for (size_t k = 0; k < ARRAY_LEN(words); k++)
            if (str_find(buf_str(&said), str_from(words[k])) >= 0)
                fail_msg("%s tells of %s", nameless[i], words[k]);
        buf_fini(&said);
    }
}

static bool is_played(const char *call)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].call, call) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(nameless); i++)
        if (strcmp(nameless[i], call) == 0)
            return true;
    return false;
}

static void every_call_is_played(void **state)
{
    const ProtobufCServiceDescriptor *service = &headscale__v1__headscale_service__descriptor;

    (void)state;
    for (size_t i = 0; i < service->n_methods; i++)
        if (!is_played(service->methods[i].name))
            fail_msg("%s", service->methods[i].name);
}

/* And nothing of it happened. */
static void nothing_happened(void **state)
{
    struct rig *rig = *state;
    struct harness *h = &rig->h;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf said = BUF(1 << 16);

        (void)ask_of(rig, &rows[i], things[rows[i].thing].there, &said);
        buf_fini(&said);
    }
    want(h, 200, "GET", "/api/v1/user", "");
    assert_int_equal(json_len(got_value(h, "users")), 1);
    want_got(h, "users.0.name", "alice");
    want(h, 200, "GET", "/api/v1/node", "");
    assert_int_equal(json_len(got_value(h, "nodes")), 1);
    want_got(h, "nodes.0.givenName", "laptop");
    assert_int_equal(json_len(got_value(h, "nodes.0.tags")), 0);
    assert_int_equal(json_len(got_value(h, "nodes.0.approvedRoutes")), 0);
    want(h, 200, "GET", "/api/v1/preauthkey", "");
    assert_int_equal(json_len(got_value(h, "preAuthKeys")), 1);
    want(h, 200, "GET", "/api/v1/apikey?tailnet=default", "");
    assert_int_equal(json_len(got_value(h, "apiKeys")), 1);
    /* It waits still. */
    want(h, 200, "POST", "/api/v1/auth/register",
         "{\"user\":\"alice\",\"authId\":\"hskey-authreq-aaaaaaaaaaaaaaaaaaaaaaaa\"}");
}

#define STRANGER_TEST(fn) cmocka_unit_test_setup_teardown(fn, prepare, clean_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_played),
        STRANGER_TEST(another_s_is_nowhere),
        STRANGER_TEST(what_names_nothing_tells_of_its_own),
        STRANGER_TEST(nothing_happened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
