/*
 * Who may do what over gRPC: every call of the service is made by a key of somebody with each role,
 * and by nobody, and what is refused is held against the table below and the one of roles, which
 * were written apart from the code. The messages are empty, so what may be called does little and
 * says what is missing.
 */

#include "harness.h"

#include "../api/roles.h"
#include "grpc/status.h"

enum may { READS = 'r', WRITES = 'w' };

static const struct {
    const char *call;
    enum may needs;
    const char *area;
} calls[] = {
    {"CreateUser", WRITES, "users"},
    {"RenameUser", WRITES, "users"},
    {"DeleteUser", WRITES, "users"},
    {"ListUsers", READS, "users"},
    {"GetUser", READS, "users"},
    {"CreatePreAuthKey", WRITES, "auth_keys"},
    {"ExpirePreAuthKey", WRITES, "auth_keys"},
    {"DeletePreAuthKey", WRITES, "auth_keys"},
    {"ListPreAuthKeys", READS, "auth_keys"},
    {"DebugCreateNode", WRITES, "devices:core"},
    {"GetNode", READS, "devices:core"},
    {"SetTags", WRITES, "devices:core"},
    {"SetApprovedRoutes", WRITES, "devices:routes"},
    {"RegisterNode", WRITES, "devices:core"},
    {"DeleteNode", WRITES, "devices:core"},
    {"ExpireNode", WRITES, "devices:core"},
    {"RenameNode", WRITES, "devices:core"},
    {"ListNodes", READS, "devices:core"},
    {"BackfillNodeIPs", WRITES, "devices:core"},
    {"MoveNode", WRITES, "devices:core"},
    {"AuthRegister", WRITES, "devices:core"},
    {"AuthApprove", WRITES, "devices:core"},
    {"AuthReject", WRITES, "devices:core"},
    {"CreateApiKey", WRITES, "api_access_tokens"},
    {"ExpireApiKey", WRITES, "api_access_tokens"},
    {"ListApiKeys", READS, "api_access_tokens"},
    {"DeleteApiKey", WRITES, "api_access_tokens"},
    {"GetPolicy", READS, "policy_file"},
    {"SetPolicy", WRITES, "policy_file"},
    {"CheckPolicy", READS, "policy_file"},
    {"Health", READS, "feature_settings"},
    {"GetRoutes", READS, "devices:routes"},
    {"EnableRoute", WRITES, "devices:routes"},
    {"DisableRoute", WRITES, "devices:routes"},
    {"GetNodeRoutes", READS, "devices:routes"},
    {"DeleteRoute", WRITES, "devices:routes"},
};

static bool expected(const char *call, size_t role)
{
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        char may = may_of(str_from(calls[i].area), role);

        if (strcmp(calls[i].call, call) == 0)
            return may == WRITES || may == (char)calls[i].needs;
    }
    fail_msg("%s: nobody said who may", call);
    return false;
}

/* Somebody of the first tailnet with the role; "Bearer …" of a key that he made. */
static char *somebody(struct rig *rig, size_t role)
{
    char name[32];
    uint64_t id = 0;

    (void)snprintf(name, sizeof(name), "user%zu", role);
    make_user(rig, name);
    id = GOT(Headscale__V1__CreateUserResponse)->user->id;
    give_role(&rig->h, id, roles[role]);
    return key_of(&rig->h, 1, id);
}

/* The status of a call with an empty message. */
static int call_as(struct rig *rig, const char *call, const char *key)
{
    struct buf frame = BUF(64);
    struct h2_reply *r = open_call(rig, call, &(struct extra){.key = key});

    grpc_frame_put(&frame, STR_NONE);
    h2_peer_send(rig->peer, r, buf_str(&frame), true);
    buf_fini(&frame);
    wait_end(rig, r);
    return read_reply(rig, method(call)->output);
}

static void every_call_asks_for_the_role(void **state)
{
    struct rig *rig = *state;
    const ProtobufCServiceDescriptor *service = &headscale__v1__headscale_service__descriptor;

    assert_int_equal(service->n_methods, ARRAY_LEN(calls));
    for (size_t role = 0; role < ARRAY_LEN(roles); role++) {
        char *key = somebody(rig, role);

        print_message("%.*s\n", STR_ARG(user_role_name(roles[role])));
        for (size_t i = 0; i < service->n_methods; i++) {
            const char *call = service->methods[i].name;
            int status = call_as(rig, call, key);
            struct str words = field(&rig->reply->trailers, "grpc-message: ");
            /* For the area, and not for what is asked within it. */
            bool refused =
                status == GRPC_UNAUTHENTICATED ||
                (status == GRPC_PERMISSION_DENIED && str_find(words, STR(" is missing the ")) >= 0);

            if (refused == expected(call, role))
                fail_msg("%.*s: %s is %s: %d %.*s", STR_ARG(user_role_name(roles[role])), call,
                         refused ? "refused" : "allowed", status, STR_ARG(words));
            /* And nothing is broken by an empty message. */
            assert_int_not_equal(status, GRPC_INTERNAL);
            assert_int_not_equal(status, GRPC_UNKNOWN);
        }
        mem_free(key);
    }
}

static void nobody_may_anything(void **state)
{
    static const char *const keys[] = {"", "Bearer x",
                                       ("Bearer hskey-api-000000000000-0000000000000000000000000000"
                                        "000000000000000000000000000000000000")};
    struct rig *rig = *state;
    const ProtobufCServiceDescriptor *service = &headscale__v1__headscale_service__descriptor;

    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        for (size_t i = 0; i < service->n_methods; i++)
            if (call_as(rig, service->methods[i].name, keys[k]) != GRPC_UNAUTHENTICATED)
                fail_msg("%s with the key \"%s\"", service->methods[i].name, keys[k]);
}

/* Asked at every call: another role counts at once, on a connection that is open. */
static void another_role_counts_at_once(void **state)
{
    static const struct {
        const char *path, *body;
        int status;
    } turns[] = {
        {"role", "{\"role\":\"auditor\"}", GRPC_PERMISSION_DENIED},
        {"role", "{\"role\":\"admin\"}", GRPC_INVALID_ARGUMENT},
        {"suspend", "", GRPC_UNAUTHENTICATED},
        {"restore", "", GRPC_INVALID_ARGUMENT},
        {"role", "{\"role\":\"member\"}", GRPC_UNAUTHENTICATED},
    };
    struct rig *rig = *state;
    char *key = somebody(rig, 1);

    assert_int_equal(call_as(rig, "CreateUser", key), GRPC_INVALID_ARGUMENT);
    for (size_t i = 0; i < ARRAY_LEN(turns); i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/api/v1/user/1/%s", turns[i].path);
        want(&rig->h, 200, "POST", path, turns[i].body);
        assert_int_equal(call_as(rig, "CreateUser", key), turns[i].status);
    }
    mem_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALL_TEST(every_call_asks_for_the_role),
        CALL_TEST(nobody_may_anything),
        CALL_TEST(another_role_counts_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
