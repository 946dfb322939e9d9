#pragma once

/*
 * The service on a stream pair, in front of the whole API; requests and answers are made and read
 * by protobuf-c's own code.
 */

#include "../api/harness.h"
#include "../http/h2_peer.h"

#include <headscale.pb-c.h>

/* protobuf-c's initial values cast an empty constant. */
#pragma GCC diagnostic ignored "-Wcast-qual"

#include "grpc/frame.h"
#include "grpc/grpc.h"
#include "grpc/proto.h"

#define PATH "/headscale.v1.HeadscaleService/"
#define TYPE STR("application/grpc")
#define AUTH_ID "hskey-authreq-abcdefghijklmnopqrstuvwx"
#define SECOND_ID "hskey-authreq-abcdefghijklmnopqrstuvwy"

struct rig {
    struct harness h;
    struct grpc *grpc;
    struct http_server *server;
    struct h2_peer *peer;
    /* Of the last call. */
    struct h2_reply *reply;
    ProtobufCMessage *got; /* NULL: none */
};

static inline void drop_got(struct rig *rig)
{
    protobuf_c_message_free_unpacked(rig->got, NULL);
    rig->got = NULL;
}

static inline void connect_peer(struct rig *rig)
{
    struct stream *ends[2];

    stream_pair(rig->h.loop, ends);
    (void)http_serve(rig->server, ends[0], NULL, NULL);
    rig->peer = h2_peer_new(ends[1]);
}

static inline size_t limit_body(void *user, const struct http_request *req,
                                const struct http_route *route)
{
    (void)user;
    (void)route;
    return str_find(http_header_get(req, STR("authorization")), STR("hskey-api-")) >= 0
               ? SIZE_MAX
               : API_STRANGER_BODY_MAX;
}

static inline int set_up(void **state)
{
    struct rig *rig = NEW(struct rig);
    size_t n = 0;

    harness_start(&rig->h, &(struct harness_options){0});
    rig->grpc = grpc_new(rig->h.api);
    const struct http_route *routes = grpc_routes(rig->grpc, API_DOOR_NETWORK, &n);

    rig->server = http_server_new(
        &(struct http_server_options){.routes = routes, .n_routes = n, .user = rig->grpc});
    http_server_set_body_limit(rig->server, limit_body);
    connect_peer(rig);
    *state = rig;
    return 0;
}

static inline void close_peer(struct rig *rig)
{
    h2_peer_close(rig->peer);
    for (int i = 0; i < WAITS && rig->peer->stream; i++)
        loop_run_once(rig->h.loop, 10);
    for (int i = 0; i < WAITS && atomic_load(&rig->h.api->calls) > 0; i++)
        loop_run_once(rig->h.loop, 10);
    h2_peer_free(rig->peer);
}

static inline int tear_down(void **state)
{
    struct rig *rig = *state;

    drop_got(rig);
    close_peer(rig);
    for (int i = 0; i < 10; i++)
        loop_run_once(rig->h.loop, 0);
    /* The harness frees the loop, and with it what it still carries. */
    struct http_server *server = rig->server;
    struct grpc *grpc = rig->grpc;

    harness_stop(&rig->h);
    http_server_free(server);
    grpc_free(grpc);
    mem_free(rig);
    return 0;
}

/* ---- Asking ---- */

static inline void wait_end(struct rig *rig, struct h2_reply *r)
{
    for (int i = 0; i < WAITS && !r->ended && rig->peer->stream; i++)
        loop_run_once(rig->h.loop, 10);
    assert_true(r->ended);
}

static inline struct str field(const struct buf *fields, const char *name)
{
    struct str rest = buf_str(fields), line = STR_NONE;

    while (str_next(&rest, '\n', &line))
        if (str_starts(line, str_from(name)))
            return str_from_index(line, strlen(name));
    return STR_NONE;
}

static inline int status_of(struct rig *rig)
{
    uint64_t status = 0;

    assert_str(field(&rig->reply->headers, ":status: "), STR("200"));
    assert_str(field(&rig->reply->headers, "content-type: "), TYPE);
    assert_true(str_parse_u64(field(&rig->reply->trailers, "grpc-status: "), &status));
    return (int)status;
}

/* Further fields of the request, over the usual ones. */
struct extra {
    const char *key; /* NULL: the harness's; "": none */
    struct h2_field fields[4];
    size_t n;
};

static inline struct h2_reply *open_call(struct rig *rig, const char *call,
                                         const struct extra *extra)
{
    struct h2_field fields[8] = {{STR("content-type"), TYPE}, {STR("te"), STR("trailers")}};
    struct buf key = BUF(256), path = BUF(256);
    size_t n = 2;

    if (rig->peer->n == H2_PEER_STREAMS) {
        close_peer(rig);
        connect_peer(rig);
    }
    buf_printf(&path, PATH "%s", call);
    if (extra->key)
        buf_put(&key, str_from(extra->key));
    else
        buf_printf(&key, "Bearer %.*s", STR_ARG(rig->h.key));
    if (key.len > 0)
        fields[n++] = (struct h2_field){STR("authorization"), buf_str(&key)};
    for (size_t i = 0; i < extra->n; i++)
        fields[n++] = extra->fields[i];
    struct h2_reply *r = h2_peer_open(rig->peer, "POST", buf_str(&path), fields, n);

    buf_fini(&key);
    buf_fini(&path);
    rig->reply = r;
    return r;
}

static inline void put_message(struct buf *out, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = mem_alloc(n + 1);

    (void)protobuf_c_message_pack(m, bytes);
    grpc_frame_put(out, str_bytes(bytes, n));
    mem_free(bytes);
}

static const ProtobufCMethodDescriptor *method(const char *call)
{
    const ProtobufCMethodDescriptor *found = protobuf_c_service_descriptor_get_method_by_name(
        &headscale__v1__headscale_service__descriptor, call);

    assert_non_null(found);
    return found;
}

/* Reads what came of it into rig->got; returns the status. */
static inline int read_reply(struct rig *rig, const ProtobufCMessageDescriptor *is)
{
    struct str message = STR_NONE;
    bool more = false;
    int status = status_of(rig);

    drop_got(rig);
    if (status != 0) {
        assert_int_equal(rig->reply->body.len, 0);
        return status;
    }
    assert_int_equal(grpc_frame_only(buf_str(&rig->reply->body), (size_t)64 << 20, &message, &more),
                     GRPC_FRAME_OK);
    assert_false(more);
    rig->got = protobuf_c_message_unpack(is, NULL, message.len, (const uint8_t *)message.ptr);
    assert_non_null(rig->got);
    assert_int_equal(rig->got->n_unknown_fields, 0);
    return 0;
}

static inline int call_with(struct rig *rig, const char *call, const ProtobufCMessage *m,
                            const struct extra *extra)
{
    struct buf frame = BUF((size_t)16 << 20);
    struct h2_reply *r = open_call(rig, call, extra);

    put_message(&frame, m);
    h2_peer_send(rig->peer, r, buf_str(&frame), true);
    buf_fini(&frame);
    wait_end(rig, r);
    return read_reply(rig, method(call)->output);
}

static inline void want_call(struct rig *rig, int status, const char *call,
                             const ProtobufCMessage *m)
{
    int got = call_with(rig, call, m, &(struct extra){0});

    if (got != status)
        fail_msg("%s: %d, not %d: %.*s", call, got, status,
                 STR_ARG(field(&rig->reply->trailers, "grpc-message: ")));
}

static inline void want_message(struct rig *rig, const char *text)
{
    assert_str(field(&rig->reply->trailers, "grpc-message: "), str_from(text));
}

#define GOT(type) ((const type *)rig->got)

static inline void make_user(struct rig *rig, const char *name)
{
    union {
        const char *in;
        char *out;
    } cast = {.in = name};
    Headscale__V1__CreateUserRequest req = HEADSCALE__V1__CREATE_USER_REQUEST__INIT;

    req.name = cast.out;
    want_call(rig, 0, "CreateUser", &req.base);
}

#define TEXT(lit) \
    (char[])      \
    {             \
        lit       \
    }

static inline void make_node(struct rig *rig)
{
    Headscale__V1__DebugCreateNodeRequest pending = HEADSCALE__V1__DEBUG_CREATE_NODE_REQUEST__INIT;
    Headscale__V1__RegisterNodeRequest req = HEADSCALE__V1__REGISTER_NODE_REQUEST__INIT;
    char *routes[] = {TEXT("10.0.0.0/24"), TEXT("10.1.0.0/24")};

    make_user(rig, "alice");
    pending.user = TEXT("alice");
    pending.key = TEXT(AUTH_ID);
    pending.name = TEXT("laptop");
    pending.routes = routes;
    pending.n_routes = 2;
    want_call(rig, 0, "DebugCreateNode", &pending.base);
    req.user = TEXT("alice");
    req.key = TEXT(AUTH_ID);
    want_call(rig, 0, "RegisterNode", &req.base);
}

#define CALL_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
