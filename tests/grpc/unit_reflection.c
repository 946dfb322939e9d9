/* What tools ask of a service they have no definition of. */

#include "harness.h"

#define V1 STR("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
#define V1ALPHA STR("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")

/* The server of the other door. */
static struct http_server *to_socket(struct rig *rig)
{
    size_t n = 0;
    const struct http_route *routes = grpc_routes(rig->grpc, API_DOOR_SOCKET, &n);
    struct http_server *network = rig->server;

    close_peer(rig);
    rig->server = http_server_new(
        &(struct http_server_options){.routes = routes, .n_routes = n, .user = rig->grpc});
    connect_peer(rig);
    return network;
}

static struct h2_reply *begin(struct rig *rig, struct str path)
{
    const struct h2_field fields[] = {{STR("content-type"), TYPE}};

    rig->reply = h2_peer_open(rig->peer, "POST", path, fields, 1);
    return rig->reply;
}

/* Waits for the message behind the first `at` bytes of the answers; borrowed. */
static struct str next_answer(struct rig *rig, size_t *at)
{
    struct str message = STR_NONE;
    size_t used = 0;

    for (int i = 0; i < WAITS; i++) {
        struct str rest = str_from_index(buf_str(&rig->reply->body), *at);

        if (grpc_frame_read(rest, (size_t)4 << 20, &message, &used) == GRPC_FRAME_OK) {
            *at += used;
            return message;
        }
        loop_run_once(rig->h.loop, 10);
    }
    fail_msg("no answer");
    return STR_NONE;
}

static void ask_about(struct rig *rig, uint32_t field, struct str text)
{
    struct buf question = BUF(8192), frame = BUF(8192);

    proto_put_bytes(&question, 1, STR("host"));
    proto_put_bytes(&question, field, text);
    grpc_frame_put(&frame, buf_str(&question));
    h2_peer_send(rig->peer, rig->reply, buf_str(&frame), false);
    buf_fini(&question);
    buf_fini(&frame);
}

static struct str piece_of(struct str message, uint32_t field)
{
    struct proto_piece piece;

    while (message.len > 0) {
        assert_true(proto_next(&message, &piece));
        if (piece.field == field)
            return piece.bytes;
    }
    return STR_NONE;
}

static void talk(struct rig *rig, struct str path)
{
    size_t at = 0;
    struct proto_piece piece;

    (void)begin(rig, path);
    ask_about(rig, 7, STR("*"));
    struct str got = next_answer(rig, &at);

    assert_str(piece_of(got, 1), STR("host"));
    assert_str(piece_of(got, 2), STR("\x0a\4host\x3a\1*"));
    assert_str(piece_of(piece_of(piece_of(got, 6), 1), 1), STR("headscale.v1.HeadscaleService"));

    /* The file with what it imports, by any symbol in it or by its name. */
    static const struct {
        uint32_t field;
        struct str text;
        size_t files;
    } cases[] = {
        {4, STR_INIT("headscale.v1.HeadscaleService"), 2},
        {4, STR_INIT("headscale.v1.HeadscaleService.ListNodes"), 2},
        {4, STR_INIT("headscale.v1.Node"), 2},
        {4, STR_INIT("headscale.v1.RegisterMethod"), 2},
        {4, STR_INIT("google.protobuf.Timestamp"), 1},
        {3, STR_INIT("headscale.proto"), 2},
        {3, STR_INIT("google/protobuf/timestamp.proto"), 1},
        {4, STR_INIT("headscale.v1.Nod"), 0},
        {4, STR_INIT("headscale.v1"), 0},
        {4, STR_INIT(""), 0},
        {3, STR_INIT("nothing.proto"), 0},
        {3, STR_INIT(""), 0},
        {5, STR_INIT("x"), 0},
        {6, STR_INIT("x"), 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t n = 0;

        ask_about(rig, cases[i].field, cases[i].text);
        got = next_answer(rig, &at);
        for (struct str files = piece_of(got, 4); files.len > 0; n++)
            assert_true(proto_next(&files, &piece) && piece.field == 1 && piece.bytes.len > 0);
        print_message("%.*s\n", STR_ARG(cases[i].text));
        assert_int_equal(n, cases[i].files);
        assert_int_equal(piece_of(got, 7).len > 0, n == 0);
    }
    h2_peer_send(rig->peer, rig->reply, STR_NONE, true);
    wait_end(rig, rig->reply);
    assert_int_equal(status_of(rig), 0);
}

static void tells_of_the_service(void **state)
{
    struct rig *rig = *state;
    struct http_server *network = to_socket(rig);

    talk(rig, V1);
    talk(rig, V1ALPHA);
    http_server_free(network);
}

static void refuses_odd_questions(void **state)
{
    struct rig *rig = *state;
    struct http_server *network = to_socket(rig);
    static const struct {
        struct str bytes;
        int status;
    } cases[] = {
        {STR_INIT(""), 0},           {STR_INIT("\0\0\0"), 13}, {STR_INIT("\1\0\0\0\0"), 12},
        {STR_INIT("\0\0\1\0\0"), 8}, {STR_INIT("\2"), 8},      {STR_INIT("\0\0\0\0\1\x0b"), 3},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct h2_reply *r = begin(rig, V1);

        h2_peer_send(rig->peer, r, cases[i].bytes, true);
        wait_end(rig, r);
        assert_int_equal(status_of(rig), cases[i].status);
    }
    http_server_free(network);
}

/* Questions without end, by a client that takes no answer. */
static void bounds_what_is_not_read(void **state)
{
    struct rig *rig = *state;
    struct http_server *network = to_socket(rig);
    struct h2_reply *r = begin(rig, V1);

    loop_run_once(rig->h.loop, 0);
    stream_read_stop(rig->peer->stream);
    for (int i = 0; i < 400; i++) {
        ask_about(rig, 4, STR("headscale.v1.Node"));
        loop_run_once(rig->h.loop, 0);
    }
    stream_read_start(rig->peer->stream);
    wait_end(rig, r);
    assert_int_equal(status_of(rig), 8);
    assert_true(r->body.len > 1 << 19 && r->body.len < 2 << 20);
    http_server_free(network);
}

/* Strangers are not told. */
static void is_not_on_the_network(void **state)
{
    struct rig *rig = *state;

    h2_peer_send(rig->peer, begin(rig, V1), STR("\0\0\0\0\3\x3a\1*"), true);
    wait_end(rig, rig->reply);
    assert_int_equal(status_of(rig), 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALL_TEST(tells_of_the_service),
        CALL_TEST(refuses_odd_questions),
        CALL_TEST(bounds_what_is_not_read),
        CALL_TEST(is_not_on_the_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
