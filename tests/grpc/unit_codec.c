/* Frames, statuses and messages, each against a table; messages also against protobuf-c's own. */

#include "../unit.h"

#include <headscale.pb-c.h>

/* protobuf-c's initial values cast an empty constant. */
#pragma GCC diagnostic ignored "-Wcast-qual"

#include "grpc/frame.h"
#include "grpc/proto.h"
#include "grpc/status.h"

/* ---- Frames ---- */

static const struct {
    const char *name;
    struct str in;
    enum grpc_frame want;
    struct str message;
    bool more;
} frames[] = {
    {"nothing", STR_INIT(""), GRPC_FRAME_MORE, STR_INIT(""), false},
    {"header cut short", STR_INIT("\0\0\0\0"), GRPC_FRAME_MORE, STR_INIT(""), false},
    {"message cut short", STR_INIT("\0\0\0\0\3ab"), GRPC_FRAME_MORE, STR_INIT(""), false},
    {"an empty one", STR_INIT("\0\0\0\0\0"), GRPC_FRAME_OK, STR_INIT(""), false},
    {"one", STR_INIT("\0\0\0\0\2ab"), GRPC_FRAME_OK, STR_INIT("ab"), false},
    {"another behind it", STR_INIT("\0\0\0\0\2ab\0"), GRPC_FRAME_OK, STR_INIT("ab"), true},
    {"at the limit", STR_INIT("\0\0\0\0\4abcd"), GRPC_FRAME_OK, STR_INIT("abcd"), false},
    {"over the limit", STR_INIT("\0\0\0\0\5"), GRPC_FRAME_TOO_LONG, STR_INIT(""), false},
    {"four GiB", STR_INIT("\0\xff\xff\xff\xff"), GRPC_FRAME_TOO_LONG, STR_INIT(""), false},
    {"compressed", STR_INIT("\1"), GRPC_FRAME_COMPRESSED, STR_INIT(""), false},
    {"flags that mean nothing", STR_INIT("\2\0\0\0\0"), GRPC_FRAME_BROKEN, STR_INIT(""), false},
};

static void reads_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        struct str message = STR_NONE;
        bool more = false;

        print_message("%s\n", frames[i].name);
        assert_int_equal(grpc_frame_only(frames[i].in, 4, &message, &more), frames[i].want);
        assert_str(message, frames[i].message);
        assert_int_equal(more, frames[i].more);
    }
}

static void writes_frames(void **state)
{
    struct buf out = BUF(1024);

    (void)state;
    grpc_frame_put(&out, STR("abc"));
    grpc_frame_put(&out, STR(""));
    assert_str(buf_str(&out), STR("\0\0\0\0\3abc\0\0\0\0\0"));
    buf_fini(&out);
}

/* ---- Statuses ---- */

static void encodes_messages(void **state)
{
    static const struct {
        struct str text, want;
    } cases[] = {
        {STR_INIT("node not found"), STR_INIT("node not found")},
        {STR_INIT("100% of \"x\""), STR_INIT("100%25 of \"x\"")},
        {STR_INIT("gr\xc3\xbc\xc3\x9f\n~\x7f"), STR_INIT("gr%C3%BC%C3%9F%0A~%7F")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF(256);

        grpc_put_message(&out, cases[i].text);
        assert_str(buf_str(&out), cases[i].want);
        buf_fini(&out);
    }
}

static void parses_timeouts(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } cases[] = {
        {"1S", 1000},    {"100m", 100}, {"2M", 120000},
        {"1H", 3600000}, {"1u", 1},     {"1500u", 2},
        {"1n", 1},       {"0m", 0},     {"99999999H", 99999999LL * 3600000},
        {"", -1},        {"m", -1},     {"1", -1},
        {"1x", -1},      {"-1m", -1},   {"123456789m", -1},
        {"1 S", -1},     {"1Sx", -1},   {"0x1m", -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = -1;
        bool ok = grpc_parse_timeout(str_from(cases[i].text), &ms);

        print_message("%s\n", cases[i].text);
        assert_int_equal(ok, cases[i].ms >= 0);
        assert_int_equal(ms, cases[i].ms);
    }
}

static void maps_statuses(void **state)
{
    (void)state;
    /* headscale.md 3.4 */
    assert_int_equal(grpc_code_of_http(200), GRPC_OK);
    assert_int_equal(grpc_code_of_http(400), GRPC_INVALID_ARGUMENT);
    assert_int_equal(grpc_code_of_http(401), GRPC_UNAUTHENTICATED);
    assert_int_equal(grpc_code_of_http(403), GRPC_PERMISSION_DENIED);
    assert_int_equal(grpc_code_of_http(404), GRPC_NOT_FOUND);
    assert_int_equal(grpc_code_of_http(409), GRPC_ALREADY_EXISTS);
    assert_int_equal(grpc_code_of_http(429), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_code_of_http(500), GRPC_INTERNAL);
    assert_int_equal(grpc_code_of_http(501), GRPC_UNIMPLEMENTED);
    assert_int_equal(grpc_code_of_http(503), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_code_of_http(418), GRPC_UNKNOWN);
}

static void knows_its_content_types(void **state)
{
    (void)state;
    assert_true(grpc_is_proto(STR("application/grpc")));
    assert_true(grpc_is_proto(STR("application/grpc+proto")));
    assert_true(grpc_is_proto(STR("Application/gRPC ; x=y")));
    assert_false(grpc_is_proto(STR("application/grpc+json")));
    assert_false(grpc_is_proto(STR("application/grpc-web")));
    assert_false(grpc_is_proto(STR("application/json")));
    assert_false(grpc_is_proto(STR("")));
}

/* ---- Messages, read ---- */

#define EXPIRE (&headscale__v1__expire_node_request__descriptor)
#define TAGS (&headscale__v1__set_tags_request__descriptor)
#define USERS (&headscale__v1__list_users_request__descriptor)

/* What is read, as one line. */
static void put_read(struct buf *out, const struct proto_message *m)
{
    for (unsigned i = 0; i < m->is->n_fields; i++) {
        const struct proto_field *f = &m->fields[i];

        if (!f->present)
            continue;
        buf_printf(out, "%s=", f->is->name);
        if (f->is->label == PROTOBUF_C_LABEL_REPEATED)
            for (size_t j = 0; j < f->n_list; j++)
                buf_printf(out, "%.*s,", STR_ARG(f->list[j]));
        else if (f->is_text)
            buf_printf(out, "\"%.*s\"", STR_ARG(f->text));
        else
            buf_put_u64(out, f->number);
        buf_put_char(out, ';');
    }
}

static const struct {
    const char *name;
    const ProtobufCMessageDescriptor *is;
    struct str in;
    const char *want; /* NULL: refused */
} messages[] = {
    {"nothing", EXPIRE, STR_INIT(""), ""},
    {"all of it", EXPIRE, STR_INIT("\x08\x96\x01\x12\x08\x08\x80\x80\x80\x80\x04\x10\x00\x18\x01"),
     "node_id=150;expiry=\"2004-01-10T13:37:04Z\";disable_expiry=1;"},
    {"nanoseconds become milliseconds", EXPIRE, STR_INIT("\x12\x06\x08\x01\x10\xc0\x84\x3d"),
     "expiry=\"1970-01-01T00:00:01.001Z\";"},
    {"a time before 1970", EXPIRE, STR_INIT("\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
     "expiry=\"1969-12-31T23:59:59Z\";"},
    {"the last of two counts", EXPIRE, STR_INIT("\x08\x01\x08\x02"), "node_id=2;"},
    {"unknown fields are skipped", EXPIRE,
     STR_INIT("\x80\x01\x05\x8a\x01\x02hi\x95\x01zzzz\x99\x01zzzzzzzz\x08\x07"), "node_id=7;"},
    {"a list", TAGS, STR_INIT("\x12\x05tag:a\x08\x03\x12\x05tag:b\x12\x00"),
     "node_id=3;tags=tag:a,tag:b,,;"},
    {"a text where a number is meant, as old releases", USERS,
     STR_INIT("\x0a\x05"
              "alice"),
     "id=\"alice\";"},
    {"a number where a text is meant", USERS, STR_INIT("\x10\x2a"), "name=42;"},
    {"NUL stays in its text", USERS,
     STR_INIT("\x12\x03"
              "a\0b"),
     "name=\"a"},
    {"the largest number", USERS, STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
     "id=18446744073709551615;"},
    {"a varint that is too long", USERS,
     STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), NULL},
    {"a varint that is too large", USERS, STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
     NULL},
    {"field zero", USERS, STR_INIT("\x00\x01"), NULL},
    {"a tag alone", USERS, STR_INIT("\x08"), NULL},
    {"a text cut short", USERS,
     STR_INIT("\x12\x05"
              "abc"),
     NULL},
    {"a length of many bytes", USERS, STR_INIT("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01z"),
     NULL},
    {"a group", USERS, STR_INIT("\x0b\x0c"), NULL},
    {"wire type 7", USERS, STR_INIT("\x0f\x00"), NULL},
    {"not UTF-8", USERS, STR_INIT("\x12\x02\xc3\x28"), NULL},
    {"a number in a list of texts", TAGS, STR_INIT("\x10\x01"), NULL},
    {"a number for a time", EXPIRE, STR_INIT("\x10\x01"), NULL},
    {"a text for a bool", EXPIRE, STR_INIT("\x1a\x01x"), NULL},
    {"a broken time", EXPIRE, STR_INIT("\x12\x01\x08"), NULL},
    {"a time past the year 9999", EXPIRE, STR_INIT("\x12\x07\x08\x80\x80\x80\x80\x80\x60"), NULL},
    {"nanoseconds past a second", EXPIRE, STR_INIT("\x12\x06\x10\x80\x94\xeb\xdc\x03"), NULL},
};

static void reads_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        struct arena *arena = arena_new();
        struct buf out = BUF(1024);
        struct proto_message m;
        const char *why = NULL;
        bool ok = proto_read(arena, messages[i].is, messages[i].in, &m, &why);

        print_message("%s\n", messages[i].name);
        assert_int_equal(ok, messages[i].want != NULL);
        if (ok)
            put_read(&out, &m);
        else
            assert_non_null(why);
        /* NUL ends what a C string can say; the rest is compared below. */
        assert_true(str_starts(buf_str(&out), str_from(messages[i].want ? messages[i].want : "")));
        if (ok && str_find_char(messages[i].in, 'b') >= 0 && messages[i].is == USERS)
            assert_int_equal(m.fields[1].text.len, 3);
        buf_fini(&out);
        arena_free(arena);
    }
}

static void names_fields_as_json_does(void **state)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(&headscale__v1__node__descriptor, 11);

    (void)state;
    assert_true(proto_is_named(f, STR("preAuthKey")));
    assert_false(proto_is_named(f, STR("preAuthKe")));
    assert_false(proto_is_named(f, STR("preAuthKeys")));
    assert_false(proto_is_named(f, STR("preauthkey")));
    assert_false(proto_is_named(f, STR("")));
}

/* ---- Messages, written ---- */

static const char node_json[] =
    "{\"node\":{\"id\":\"300\",\"machineKey\":\"mkey:aa\",\"nodeKey\":\"\",\"ipAddresses\":"
    "[\"100.64.0.1\",\"fd7a::1\"],\"name\":\"h\xc3\xa9\",\"user\":{\"id\":\"1\",\"name\":\"alice\","
    "\"createdAt\":\"2026-11-21T04:28:02.5Z\",\"displayName\":null},\"lastSeen\":null,"
    "\"expiry\":\"0001-01-01T00:00:00Z\",\"preAuthKey\":{\"user\":{\"id\":\"1\",\"name\":\"alice\"}"
    ","
    "\"id\":\"7\",\"key\":\"hskey-auth-x-***\",\"reusable\":true,\"aclTags\":[\"tag:a\"]},"
    "\"createdAt\":\"1969-12-31T23:59:59.999Z\",\"registerMethod\":\"REGISTER_METHOD_OIDC\","
    "\"givenName\":\"h\",\"online\":true,\"approvedRoutes\":[],\"tags\":[\"\",\"tag:b\"],"
    "\"ephemeral\":true,\"unknown\":{\"x\":[1,2]}}}";

static struct str put_json(struct arena *arena, const ProtobufCMessageDescriptor *is,
                           const char *json, const struct proto_swap *swap)
{
    struct json_value *v = NULL;
    struct buf out = BUF((size_t)1 << 20);

    assert_true(json_parse(arena, str_from(json), NULL, &v, NULL));
    proto_put(&out, is, v, swap);
    struct str bytes = arena_copy(arena, buf_str(&out));

    buf_fini(&out);
    return bytes;
}

static void writes_a_node(void **state)
{
    struct arena *arena = arena_new();
    struct str bytes =
        put_json(arena, &headscale__v1__get_node_response__descriptor, node_json, NULL);
    Headscale__V1__GetNodeResponse *got =
        headscale__v1__get_node_response__unpack(NULL, bytes.len, (const uint8_t *)bytes.ptr);

    (void)state;
    assert_non_null(got);
    const Headscale__V1__Node *n = got->node;

    assert_int_equal(n->id, 300);
    assert_string_equal(n->machine_key, "mkey:aa");
    assert_string_equal(n->node_key, "");
    assert_int_equal(n->n_ip_addresses, 2);
    assert_string_equal(n->ip_addresses[1], "fd7a::1");
    assert_string_equal(n->name, "h\xc3\xa9");
    assert_string_equal(n->user->name, "alice");
    assert_int_equal(n->user->created_at->seconds, 1795235282);
    assert_int_equal(n->user->created_at->nanos, 500000000);
    assert_null(n->last_seen);
    assert_int_equal(n->expiry->seconds, -62135596800);
    assert_int_equal(n->pre_auth_key->id, 7);
    assert_string_equal(n->pre_auth_key->user->name, "alice");
    assert_true(n->pre_auth_key->reusable);
    assert_int_equal(n->created_at->seconds, -1);
    assert_int_equal(n->created_at->nanos, 999000000);
    assert_int_equal(n->register_method, HEADSCALE__V1__REGISTER_METHOD__REGISTER_METHOD_OIDC);
    assert_true(n->online);
    assert_int_equal(n->n_approved_routes, 0);
    assert_int_equal(n->n_tags, 2);
    assert_string_equal(n->tags[0], "");
    assert_int_equal(n->base.n_unknown_fields, 0);
    headscale__v1__get_node_response__free_unpacked(got, NULL);
    arena_free(arena);
}

/* Up to 0.25 a key's user and id were texts. */
static void writes_keys_for_old_clients(void **state)
{
    const struct proto_swap swap = {&headscale__v1__pre_auth_key__descriptor,
                                    &headscale__v1__pre_auth_key_up_to25__descriptor};
    struct arena *arena = arena_new();
    struct str bytes =
        put_json(arena, &headscale__v1__get_node_response__descriptor, node_json, &swap);
    struct proto_piece node, piece;
    struct str key = STR_NONE;

    (void)state;
    assert_true(proto_next(&bytes, &node));
    while (node.bytes.len > 0) {
        assert_true(proto_next(&node.bytes, &piece));
        if (piece.field == 11)
            key = piece.bytes;
    }
    Headscale__V1__PreAuthKeyUpTo25 *got =
        headscale__v1__pre_auth_key_up_to25__unpack(NULL, key.len, (const uint8_t *)key.ptr);
    assert_non_null(got);
    assert_string_equal(got->user, "alice");
    assert_string_equal(got->id, "7");
    assert_int_equal(got->n_acl_tags, 1);
    headscale__v1__pre_auth_key_up_to25__free_unpacked(got, NULL);
    arena_free(arena);
}

/* Lengths of one, two and three bytes, where the gap in front has to grow. */
static void writes_long_messages(void **state)
{
    static const size_t sizes[] = {1, 100, 121, 122, 123, 127, 128, 16370, 16383, 16384, 70000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct arena *arena = arena_new();
        char *json = arena_alloc(arena, sizes[i] + 64);
        int n = snprintf(json, 64, "{\"user\":{\"name\":\"");

        memset(json + n, 'x', sizes[i]);
        memcpy(json + (size_t)n + sizes[i], "\"}}", 4);
        struct str bytes =
            put_json(arena, &headscale__v1__create_user_response__descriptor, json, NULL);
        Headscale__V1__CreateUserResponse *got = headscale__v1__create_user_response__unpack(
            NULL, bytes.len, (const uint8_t *)bytes.ptr);

        assert_non_null(got);
        assert_int_equal(strlen(got->user->name), sizes[i]);
        assert_int_equal(headscale__v1__create_user_response__get_packed_size(got), bytes.len);
        headscale__v1__create_user_response__free_unpacked(got, NULL);
        arena_free(arena);
    }
}

/* What JSON says in another kind than the table's is left out, and nothing breaks. */
static void leaves_other_kinds_out(void **state)
{
    static const char *const odd[] = {
        "{\"node\":null}",
        "{\"node\":[]}",
        "{\"node\":\"x\"}",
        "[]",
        "1",
        "\"x\"",
        "{\"node\":{\"id\":-1,\"name\":5,\"user\":[],\"online\":\"yes\",\"expiry\":8}}",
    };
    static const size_t want[] = {0, 0, 0, 0, 0, 0, 2};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        struct arena *arena = arena_new();

        assert_int_equal(
            put_json(arena, &headscale__v1__get_node_response__descriptor, odd[i], NULL).len,
            want[i]);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_frames),         cmocka_unit_test(writes_frames),
        cmocka_unit_test(encodes_messages),     cmocka_unit_test(parses_timeouts),
        cmocka_unit_test(maps_statuses),        cmocka_unit_test(knows_its_content_types),
        cmocka_unit_test(reads_messages),       cmocka_unit_test(names_fields_as_json_does),
        cmocka_unit_test(writes_a_node),        cmocka_unit_test(writes_keys_for_old_clients),
        cmocka_unit_test(writes_long_messages), cmocka_unit_test(leaves_other_kinds_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
