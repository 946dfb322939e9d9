/* Who is let in, and requests that are none: odd frames, pieces, deadlines, clients that leave. */

#include "harness.h"

/* ---- Who asks ---- */

static void asks_for_a_key(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__ListUsersRequest list = HEADSCALE__V1__LIST_USERS_REQUEST__INIT;
    static const struct {
        const char *key;
        const char *said;
    } cases[] = {
        {"", "authorization token not supplied"},
        {"hskey-api-000000000000-x", "missing \"Bearer \" prefix in \"Authorization\" header"},
        {"bearer x", "missing \"Bearer \" prefix in \"Authorization\" header"},
        {"Bearer nope", "invalid token"},
        {"Bearer hskey-api-000000000000-"
         "0000000000000000000000000000000000000000000000000000000000000000",
         "invalid token"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int status = call_with(rig, "ListUsers", &list.base, &(struct extra){.key = cases[i].key});

        assert_int_equal(status, 16);
        want_message(rig, cases[i].said);
    }
    /* The same call is another's, over the network, without a key that is good. */
    for (unsigned i = 0; i < headscale__v1__headscale_service__descriptor.n_methods; i++) {
        const ProtobufCMethodDescriptor *m =
            &headscale__v1__headscale_service__descriptor.methods[i];
        int status = call_with(rig, m->name, &list.base, &(struct extra){.key = "Bearer x"});

        if (status != 16)
            fail_msg("%s: %d", m->name, status);
    }
}

/* ---- Requests that are none ---- */

struct odd {
    const char *name;
    struct str body;
    const char *header, *value; /* one more; content-type and te replace the usual */
    int status;
};

static void refuses_odd_requests(void **state)
{
    struct rig *rig = *state;
    static const struct odd cases[] = {
        {"no message", STR_INIT(""), NULL, NULL, 13},
        {"half a header", STR_INIT("\0\0\0"), NULL, NULL, 13},
        {"half a message",
         STR_INIT("\0\0\0\0\x09"
                  "ab"),
         NULL, NULL, 13},
        {"two messages", STR_INIT("\0\0\0\0\0\0\0\0\0\0"), NULL, NULL, 13},
        {"odd flags", STR_INIT("\x80\0\0\0\0"), NULL, NULL, 13},
        {"compressed", STR_INIT("\1\0\0\0\0"), "grpc-encoding", "gzip", 12},
        {"said to be compressed, and is not", STR_INIT("\0\0\0\0\0"), "grpc-encoding", "gzip", 0},
        {"too long", STR_INIT("\0\0\x20\0\0"), NULL, NULL, 8},
        {"broken protobuf", STR_INIT("\0\0\0\0\1\x0f"), NULL, NULL, 3},
        {"a timeout that is none", STR_INIT("\0\0\0\0\0"), "grpc-timeout", "soon", 13},
        {"a timeout that is over", STR_INIT("\0\0\0\0\0"), "grpc-timeout", "0m", 4},
        {"a timeout that is long", STR_INIT("\0\0\0\0\0"), "grpc-timeout", "99999999H", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct extra extra = {0};

        print_message("%s\n", cases[i].name);
        if (cases[i].header)
            extra.fields[extra.n++] =
                (struct h2_field){str_from(cases[i].header), str_from(cases[i].value)};
        struct h2_reply *r = open_call(rig, "ListUsers", &extra);

        h2_peer_send(rig->peer, r, cases[i].body, true);
        wait_end(rig, r);
        assert_int_equal(status_of(rig), cases[i].status);
        assert_str(field(&r->headers, "grpc-accept-encoding: "), STR("identity"));
        assert_int_equal(r->error, 0);
    }
}

static struct h2_reply *ask_at(struct rig *rig, const char *verb, const char *path,
                               const char *type)
{
    const struct h2_field fields[] = {{STR("content-type"), str_from(type)}};
    struct h2_reply *r = h2_peer_open(rig->peer, verb, str_from(path), fields, 1);

    h2_peer_send(rig->peer, r, STR("\0\0\0\0\0"), true);
    wait_end(rig, r);
    rig->reply = r;
    return r;
}

static void serves_nothing_else(void **state)
{
    struct rig *rig = *state;

    (void)ask_at(rig, "POST", PATH "Fly", "application/grpc");
    assert_int_equal(status_of(rig), 12);
    want_message(rig, "unknown method Fly for service headscale.v1.HeadscaleService");
    (void)ask_at(rig, "POST", "/headscale.v2.Service/Fly", "application/grpc");
    assert_int_equal(status_of(rig), 12);
    want_message(rig, "unknown service");
    (void)ask_at(rig, "POST", PATH "ListUsers", "application/grpc+json");
    assert_int_equal(status_of(rig), 12);
    assert_str(
        field(&ask_at(rig, "POST", PATH "ListUsers", "application/json")->headers, ":status: "),
        STR("415"));
    assert_str(
        field(&ask_at(rig, "GET", PATH "ListUsers", "application/grpc")->headers, ":status: "),
        STR("405"));
    /* REST is not on this port. */
    assert_str(field(&ask_at(rig, "GET", "/api/v1/user", "application/json")->headers, ":status: "),
               STR("405"));
}

/* However the bytes of a message come. */
static void takes_messages_in_pieces(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__CreateUserRequest create = HEADSCALE__V1__CREATE_USER_REQUEST__INIT;
    struct buf frame = BUF(1024);
    struct h2_reply *r = open_call(rig, "CreateUser", &(struct extra){0});

    create.name = TEXT("alice");
    create.email = TEXT("alice@example.com");
    put_message(&frame, &create.base);
    for (size_t i = 0; i < frame.len; i++) {
        h2_peer_send(rig->peer, r, str_sub(buf_str(&frame), i, 1), false);
        loop_run_once(rig->h.loop, 0);
    }
    h2_peer_send(rig->peer, r, STR_NONE, true);
    wait_end(rig, r);
    assert_int_equal(read_reply(rig, method("CreateUser")->output), 0);
    assert_string_equal(GOT(Headscale__V1__CreateUserResponse)->user->email, "alice@example.com");
    buf_fini(&frame);
}

/* Strangers may not send as much as somebody with a key. */
static void takes_little_of_strangers(void **state)
{
    struct rig *rig = *state;
    struct extra stranger = {.key = "Bearer nope"};
    struct h2_reply *r = open_call(rig, "SetPolicy", &stranger);
    struct buf body = BUF((size_t)1 << 20);

    buf_put(&body, STR("\0\0\2\0\0"));
    for (int i = 0; i < 128 << 10; i++)
        buf_put_char(&body, 'x');
    h2_peer_send(rig->peer, r, buf_str(&body), false);
    wait_end(rig, r);
    assert_str(field(&r->headers, ":status: "), STR("200"));
    assert_str(field(&r->headers, "content-type: "), STR("application/grpc"));
    assert_str(field(&r->headers, "grpc-status: "), STR("8")); /* RESOURCE_EXHAUSTED */
    buf_fini(&body);
}

/* Many at once on one connection, and a client that leaves in the middle of them. */
static void survives_clients_that_leave(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__CreateUserRequest create = HEADSCALE__V1__CREATE_USER_REQUEST__INIT;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            char name[32];
            struct buf frame = BUF(256);
            struct h2_reply *r =
                open_call(rig, "CreateUser",
                          &(struct extra){.fields = {{STR("grpc-timeout"), STR("10S")}}, .n = 1});

            (void)snprintf(name, sizeof(name), "user-%d-%d", round, i);
            create.name = name;
            put_message(&frame, &create.base);
            h2_peer_send(rig->peer, r, buf_str(&frame), true);
            buf_fini(&frame);
        }
        for (int i = 0; i < round; i++)
            loop_run_once(rig->h.loop, 0);
        close_peer(rig);
        connect_peer(rig);
    }
    make_user(rig, "last");
}

/* The deadline passes while the answer is under way. */
static void keeps_deadlines(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__CheckPolicyRequest check = HEADSCALE__V1__CHECK_POLICY_REQUEST__INIT;
    struct buf frame = BUF(4096);
    struct h2_reply *r = open_call(
        rig, "CheckPolicy", &(struct extra){.fields = {{STR("grpc-timeout"), STR("1S")}}, .n = 1});

    check.policy = TEXT("{\"acls\": []}");
    put_message(&frame, &check.base);
    h2_peer_send(rig->peer, r, buf_str(&frame), true);
    /* Until it is in, and its answer waits for us to look; then the clock jumps. */
    for (int i = 0; i < WAITS && atomic_load(&rig->h.api->calls) == 0; i++)
        loop_run_once(rig->h.loop, 0);
    clock_test_advance_ms(5000);
    wait_end(rig, r);
    int status = status_of(rig);

    /* The key's check or the judgement may have been quicker than the clock. */
    assert_true(status == 4 || status == 0);
    if (status == 4)
        want_message(rig, "context deadline exceeded");
    buf_fini(&frame);
    for (int i = 0; i < WAITS && atomic_load(&rig->h.api->calls) > 0; i++)
        loop_run_once(rig->h.loop, 10);
    make_user(rig, "after");
}

/* Answers that a worker turns into messages; and clients that are gone before it has. */
static void answers_at_length(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__GetPolicyRequest get = HEADSCALE__V1__GET_POLICY_REQUEST__INIT;
    Headscale__V1__SetPolicyRequest set = HEADSCALE__V1__SET_POLICY_REQUEST__INIT;
    const size_t len = (size_t)600 << 10;
    char *text = mem_alloc(len);
    struct buf frame = BUF(64);

    memset(text, ' ', len);
    memcpy(text, "{}", 2);
    text[len - 1] = '\0';
    set.policy = text;
    want_call(rig, 0, "SetPolicy", &set.base);
    put_message(&frame, &get.base);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 5; i++)
            h2_peer_send(rig->peer, open_call(rig, "GetPolicy", &(struct extra){0}),
                         buf_str(&frame), true);
        for (int i = 0; i < 2 * round; i++)
            loop_run_once(rig->h.loop, 0);
        close_peer(rig);
        connect_peer(rig);
    }
    buf_fini(&frame);
    want_call(rig, 0, "GetPolicy", &get.base);
    assert_string_equal(GOT(Headscale__V1__GetPolicyResponse)->policy, text);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALL_TEST(asks_for_a_key),
        CALL_TEST(refuses_odd_requests),
        CALL_TEST(serves_nothing_else),
        CALL_TEST(takes_messages_in_pieces),
        CALL_TEST(takes_little_of_strangers),
        CALL_TEST(survives_clients_that_leave),
        CALL_TEST(keeps_deadlines),
        CALL_TEST(answers_at_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
