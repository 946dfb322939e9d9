/*
 * Every call and what comes of it. Shows headscale.md 11 #107 for gRPC: what the remote command
 * line asks is what curl asks.
 */

#include "harness.h"

/* ---- Users ---- */

static void serves_users(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__CreateUserRequest create = HEADSCALE__V1__CREATE_USER_REQUEST__INIT;
    Headscale__V1__ListUsersRequest list = HEADSCALE__V1__LIST_USERS_REQUEST__INIT;
    Headscale__V1__GetUserRequest get = HEADSCALE__V1__GET_USER_REQUEST__INIT;
    Headscale__V1__RenameUserRequest rename = HEADSCALE__V1__RENAME_USER_REQUEST__INIT;
    Headscale__V1__DeleteUserRequest delete = HEADSCALE__V1__DELETE_USER_REQUEST__INIT;

    create.name = TEXT("alice");
    create.display_name = TEXT("Alice A & B=c");
    create.email = TEXT("alice@example.com");
    create.picture_url = TEXT("https://example.com/a.png");
    want_call(rig, 0, "CreateUser", &create.base);
    const Headscale__V1__User *user = GOT(Headscale__V1__CreateUserResponse)->user;

    assert_int_equal(user->id, 1);
    assert_string_equal(user->display_name, "Alice A & B=c");
    assert_string_equal(user->profile_pic_url, "https://example.com/a.png");
    assert_true(user->created_at->seconds > 1700000000);
    want_call(rig, 6, "CreateUser", &create.base);
    make_user(rig, "bob");

    want_call(rig, 0, "ListUsers", &list.base);
    assert_int_equal(GOT(Headscale__V1__ListUsersResponse)->n_users, 2);
    list.name = TEXT("bob");
    want_call(rig, 0, "ListUsers", &list.base);
    assert_int_equal(GOT(Headscale__V1__ListUsersResponse)->n_users, 1);
    assert_int_equal(GOT(Headscale__V1__ListUsersResponse)->users[0]->id, 2);
    list.name = TEXT("a&id=1 +%");
    want_call(rig, 0, "ListUsers", &list.base);
    assert_int_equal(GOT(Headscale__V1__ListUsersResponse)->n_users, 0);
    list.name = TEXT("");
    list.email = TEXT("alice@example.com");
    want_call(rig, 0, "ListUsers", &list.base);
    assert_int_equal(GOT(Headscale__V1__ListUsersResponse)->n_users, 1);
    list.email = TEXT("");
    list.id = 2;
    want_call(rig, 0, "ListUsers", &list.base);
    assert_string_equal(GOT(Headscale__V1__ListUsersResponse)->users[0]->name, "bob");

    get.name = TEXT("bob");
    want_call(rig, 0, "GetUser", &get.base);
    assert_int_equal(GOT(Headscale__V1__GetUserResponse)->user->id, 2);
    get.name = TEXT("carol");
    want_call(rig, 5, "GetUser", &get.base);
    want_message(rig, "user not found");

    rename.old_id = 2;
    rename.new_name = TEXT("carol");
    want_call(rig, 0, "RenameUser", &rename.base);
    assert_string_equal(GOT(Headscale__V1__RenameUserResponse)->user->name, "carol");
    rename.old_id = 9;
    want_call(rig, 5, "RenameUser", &rename.base);
    want_message(rig, "renaming user: user not found");

    delete.id = 2;
    want_call(rig, 0, "DeleteUser", &delete.base);
    want_call(rig, 5, "DeleteUser", &delete.base);
    delete.id = 0;
    want_call(rig, 3, "DeleteUser", &delete.base);
}

/* ---- Keys ---- */

static void serves_auth_keys(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__CreatePreAuthKeyRequest create =
        HEADSCALE__V1__CREATE_PRE_AUTH_KEY_REQUEST__INIT;
    Headscale__V1__ListPreAuthKeysRequest list = HEADSCALE__V1__LIST_PRE_AUTH_KEYS_REQUEST__INIT;
    Headscale__V1__ExpirePreAuthKeyRequest expire =
        HEADSCALE__V1__EXPIRE_PRE_AUTH_KEY_REQUEST__INIT;
    Headscale__V1__DeletePreAuthKeyRequest delete =
        HEADSCALE__V1__DELETE_PRE_AUTH_KEY_REQUEST__INIT;
    Google__Protobuf__Timestamp at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    char *tags[] = {TEXT("tag:a")};

    make_user(rig, "alice");
    at.seconds = 4102444800;
    at.nanos = 5000000;
    create.user = 1;
    create.reusable = true;
    create.expiration = &at;
    want_call(rig, 0, "CreatePreAuthKey", &create.base);
    const Headscale__V1__PreAuthKey *k = GOT(Headscale__V1__CreatePreAuthKeyResponse)->pre_auth_key;
    struct str whole = str_copy(str_from(k->key));

    assert_int_equal(whole.len, 11 + 12 + 1 + 64);
    assert_true(k->reusable && !k->ephemeral && !k->used);
    assert_int_equal(k->expiration->seconds, 4102444800);
    assert_int_equal(k->expiration->nanos, 5000000);
    assert_string_equal(k->user->name, "alice");
    create.user = 0;
    want_call(rig, 3, "CreatePreAuthKey", &create.base);
    create.acl_tags = tags;
    create.n_acl_tags = 1;
    create.ephemeral = true;
    want_call(rig, 0, "CreatePreAuthKey", &create.base);
    assert_null(GOT(Headscale__V1__CreatePreAuthKeyResponse)->pre_auth_key->user);

    want_call(rig, 0, "ListPreAuthKeys", &list.base);
    assert_int_equal(GOT(Headscale__V1__ListPreAuthKeysResponse)->n_pre_auth_keys, 2);
    list.user = 1;
    want_call(rig, 0, "ListPreAuthKeys", &list.base);
    assert_int_equal(GOT(Headscale__V1__ListPreAuthKeysResponse)->n_pre_auth_keys, 1);
    const char *masked = GOT(Headscale__V1__ListPreAuthKeysResponse)->pre_auth_keys[0]->key;

    assert_true(str_ends(str_from(masked), STR("-***")));
    list.user = 7;
    want_call(rig, 5, "ListPreAuthKeys", &list.base);

    expire.id = 2;
    want_call(rig, 0, "ExpirePreAuthKey", &expire.base);
    /* Up to 0.27: the user and the key itself. */
    expire.id = 1;
    expire.key = str_dup(whole);
    want_call(rig, 0, "ExpirePreAuthKey", &expire.base);
    mem_free(expire.key);
    list.user = 0;
    want_call(rig, 0, "ListPreAuthKeys", &list.base);
    for (int i = 0; i < 2; i++)
        assert_true(
            GOT(Headscale__V1__ListPreAuthKeysResponse)->pre_auth_keys[i]->expiration->seconds <
            4102444800);
    delete.id = 1;
    want_call(rig, 0, "DeletePreAuthKey", &delete.base);
    want_call(rig, 5, "DeletePreAuthKey", &delete.base);
    str_free(&whole);
}

static void serves_api_keys(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__CreateApiKeyRequest create = HEADSCALE__V1__CREATE_API_KEY_REQUEST__INIT;
    Headscale__V1__ListApiKeysRequest list = HEADSCALE__V1__LIST_API_KEYS_REQUEST__INIT;
    Headscale__V1__ExpireApiKeyRequest expire = HEADSCALE__V1__EXPIRE_API_KEY_REQUEST__INIT;
    Headscale__V1__DeleteApiKeyRequest delete = HEADSCALE__V1__DELETE_API_KEY_REQUEST__INIT;
    Google__Protobuf__Timestamp at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    struct extra as_new = {0};

    at.seconds = 4102444800;
    create.expiration = &at;
    want_call(rig, 0, "CreateApiKey", &create.base);
    struct str key = str_copy(str_from(GOT(Headscale__V1__CreateApiKeyResponse)->api_key));
    char *bearer = bearer_of(key);

    want_call(rig, 0, "ListApiKeys", &list.base);
    assert_int_equal(GOT(Headscale__V1__ListApiKeysResponse)->n_api_keys, 2);
    assert_int_equal(GOT(Headscale__V1__ListApiKeysResponse)->api_keys[1]->expiration->seconds,
                     4102444800);
    as_new.key = bearer;
    assert_int_equal(call_with(rig, "ListApiKeys", &list.base, &as_new), 0);
    expire.id = 2;
    want_call(rig, 0, "ExpireApiKey", &expire.base);
    assert_int_equal(call_with(rig, "ListApiKeys", &list.base, &as_new), 16);
    want_message(rig, "invalid token");

    expire.prefix = TEXT("x");
    want_call(rig, 3, "ExpireApiKey", &expire.base);
    want_message(rig, "provide either id or prefix, not both");
    delete.prefix = TEXT("x");
    delete.id = 2;
    want_call(rig, 3, "DeleteApiKey", &delete.base);
    delete.prefix = TEXT("");
    delete.id = 0;
    want_call(rig, 3, "DeleteApiKey", &delete.base);
    want_message(rig, "must provide id or prefix");
    delete.id = 2;
    want_call(rig, 0, "DeleteApiKey", &delete.base);
    want_call(rig, 5, "DeleteApiKey", &delete.base);
    str_free(&key);
    mem_free(bearer);

    want_call(rig, 0, "CreateApiKey", &create.base);
    delete.id = 0;
    delete.prefix = str_dup(str_sub(str_from(GOT(Headscale__V1__CreateApiKeyResponse)->api_key),
                                    strlen("hskey-api-"), 12));
    want_call(rig, 0, "DeleteApiKey", &delete.base);
    mem_free(delete.prefix);
}

/* ---- Nodes ---- */

static void serves_nodes(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__ListNodesRequest list = HEADSCALE__V1__LIST_NODES_REQUEST__INIT;
    Headscale__V1__GetNodeRequest get = HEADSCALE__V1__GET_NODE_REQUEST__INIT;
    Headscale__V1__RenameNodeRequest rename = HEADSCALE__V1__RENAME_NODE_REQUEST__INIT;
    Headscale__V1__MoveNodeRequest move = HEADSCALE__V1__MOVE_NODE_REQUEST__INIT;
    Headscale__V1__DeleteNodeRequest delete = HEADSCALE__V1__DELETE_NODE_REQUEST__INIT;
    Headscale__V1__BackfillNodeIPsRequest backfill = HEADSCALE__V1__BACKFILL_NODE_IPS_REQUEST__INIT;

    make_node(rig);
    get.node_id = 1;
    want_call(rig, 0, "GetNode", &get.base);
    const Headscale__V1__Node *n = GOT(Headscale__V1__GetNodeResponse)->node;

    assert_string_equal(n->given_name, "laptop");
    assert_string_equal(n->user->name, "alice");
    assert_int_equal(n->n_ip_addresses, 2);
    assert_int_equal(n->n_available_routes, 2);
    assert_int_equal(n->register_method, HEADSCALE__V1__REGISTER_METHOD__REGISTER_METHOD_CLI);
    assert_null(n->pre_auth_key);
    get.node_id = 5;
    want_call(rig, 5, "GetNode", &get.base);
    want_message(rig, "node not found");

    want_call(rig, 0, "ListNodes", &list.base);
    assert_int_equal(GOT(Headscale__V1__ListNodesResponse)->n_nodes, 1);
    list.user = TEXT("alice");
    want_call(rig, 0, "ListNodes", &list.base);
    assert_int_equal(GOT(Headscale__V1__ListNodesResponse)->n_nodes, 1);
    list.user = TEXT("nobody");
    want_call(rig, 5, "ListNodes", &list.base);

    rename.node_id = 1;
    rename.new_name = TEXT("desk");
    want_call(rig, 0, "RenameNode", &rename.base);
    assert_string_equal(GOT(Headscale__V1__RenameNodeResponse)->node->given_name, "desk");
    rename.new_name = TEXT("a/b");
    want_call(rig, 3, "RenameNode", &rename.base);
    rename.new_name = TEXT("");
    want_call(rig, 3, "RenameNode", &rename.base);

    make_user(rig, "bob");
    move.node_id = 1;
    move.user = 2;
    want_call(rig, 0, "MoveNode", &move.base);
    assert_string_equal(GOT(Headscale__V1__MoveNodeResponse)->node->user->name, "bob");
    move.user = 9;
    want_call(rig, 5, "MoveNode", &move.base);

    want_call(rig, 3, "BackfillNodeIPs", &backfill.base);
    backfill.confirmed = true;
    want_call(rig, 0, "BackfillNodeIPs", &backfill.base);

    delete.node_id = 1;
    want_call(rig, 0, "DeleteNode", &delete.base);
    want_call(rig, 5, "DeleteNode", &delete.base);
}

static void sets_tags_routes_and_expiry(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__SetTagsRequest tags = HEADSCALE__V1__SET_TAGS_REQUEST__INIT;
    Headscale__V1__SetApprovedRoutesRequest routes =
        HEADSCALE__V1__SET_APPROVED_ROUTES_REQUEST__INIT;
    Headscale__V1__ExpireNodeRequest expire = HEADSCALE__V1__EXPIRE_NODE_REQUEST__INIT;
    Google__Protobuf__Timestamp at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    char *these[] = {TEXT("10.1.0.0/24")}, *bad[] = {TEXT("10.1.0.0")};
    char *tag[] = {TEXT("tag:server")};

    make_node(rig);
    routes.node_id = 1;
    routes.routes = these;
    routes.n_routes = 1;
    want_call(rig, 0, "SetApprovedRoutes", &routes.base);
    assert_string_equal(GOT(Headscale__V1__SetApprovedRoutesResponse)->node->approved_routes[0],
                        "10.1.0.0/24");
    routes.routes = bad;
    want_call(rig, 3, "SetApprovedRoutes", &routes.base);
    /* None is a word, too: protobuf does not write an empty list. */
    routes.n_routes = 0;
    want_call(rig, 0, "SetApprovedRoutes", &routes.base);
    assert_int_equal(GOT(Headscale__V1__SetApprovedRoutesResponse)->node->n_approved_routes, 0);

    at.seconds = 4102444800;
    expire.node_id = 1;
    expire.expiry = &at;
    want_call(rig, 0, "ExpireNode", &expire.base);
    assert_int_equal(GOT(Headscale__V1__ExpireNodeResponse)->node->expiry->seconds, 4102444800);
    expire.disable_expiry = true;
    want_call(rig, 3, "ExpireNode", &expire.base);
    expire.expiry = NULL;
    want_call(rig, 0, "ExpireNode", &expire.base);
    assert_null(GOT(Headscale__V1__ExpireNodeResponse)->node->expiry);
    expire.disable_expiry = false;
    want_call(rig, 0, "ExpireNode", &expire.base);
    assert_non_null(GOT(Headscale__V1__ExpireNodeResponse)->node->expiry);

    tags.node_id = 1;
    want_call(rig, 3, "SetTags", &tags.base);
    tags.tags = tag;
    tags.n_tags = 1;
    want_call(rig, 0, "SetTags", &tags.base);
    const Headscale__V1__Node *n = GOT(Headscale__V1__SetTagsResponse)->node;

    assert_int_equal(n->n_tags, 1);
    assert_string_equal(n->forced_tags[0], "tag:server");
}

/* Up to 0.25: routes have numbers, as REST gives them. */
static void serves_routes(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__GetRoutesRequest all = HEADSCALE__V1__GET_ROUTES_REQUEST__INIT;
    Headscale__V1__GetNodeRoutesRequest of_node = HEADSCALE__V1__GET_NODE_ROUTES_REQUEST__INIT;
    Headscale__V1__EnableRouteRequest enable = HEADSCALE__V1__ENABLE_ROUTE_REQUEST__INIT;
    Headscale__V1__DisableRouteRequest disable = HEADSCALE__V1__DISABLE_ROUTE_REQUEST__INIT;
    Headscale__V1__DeleteRouteRequest delete = HEADSCALE__V1__DELETE_ROUTE_REQUEST__INIT;

    make_node(rig);
    want_call(rig, 0, "GetRoutes", &all.base);
    assert_int_equal(GOT(Headscale__V1__GetRoutesResponse)->n_routes, 2);
    const Headscale__V1__Route *route = GOT(Headscale__V1__GetRoutesResponse)->routes[0];
    uint64_t id = route->id;

    assert_true(id > 0);
    assert_string_equal(route->node->name, "laptop");
    assert_string_equal(route->prefix, "10.0.0.0/24");
    assert_true(route->advertised && !route->enabled);
    enable.route_id = disable.route_id = delete.route_id = id;
    want_call(rig, 0, "EnableRoute", &enable.base);
    of_node.node_id = 1;
    want_call(rig, 0, "GetNodeRoutes", &of_node.base);
    assert_int_equal(GOT(Headscale__V1__GetNodeRoutesResponse)->routes[0]->id, id);
    assert_true(GOT(Headscale__V1__GetNodeRoutesResponse)->routes[0]->enabled);
    assert_false(GOT(Headscale__V1__GetNodeRoutesResponse)->routes[1]->enabled);
    want_call(rig, 0, "DisableRoute", &disable.base);
    want_call(rig, 0, "GetRoutes", &all.base);
    assert_false(GOT(Headscale__V1__GetRoutesResponse)->routes[0]->enabled);
    want_call(rig, 0, "EnableRoute", &enable.base);
    want_call(rig, 0, "DeleteRoute", &delete.base);
    want_call(rig, 0, "GetRoutes", &all.base);
    assert_false(GOT(Headscale__V1__GetRoutesResponse)->routes[0]->enabled);
    of_node.node_id = 7;
    want_call(rig, 5, "GetNodeRoutes", &of_node.base);
}

static void serves_registrations(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__DebugCreateNodeRequest pending = HEADSCALE__V1__DEBUG_CREATE_NODE_REQUEST__INIT;
    Headscale__V1__AuthRegisterRequest in = HEADSCALE__V1__AUTH_REGISTER_REQUEST__INIT;
    Headscale__V1__AuthRejectRequest out = HEADSCALE__V1__AUTH_REJECT_REQUEST__INIT;
    Headscale__V1__AuthApproveRequest approve = HEADSCALE__V1__AUTH_APPROVE_REQUEST__INIT;

    make_user(rig, "alice");
    in.user = TEXT("alice");
    in.auth_id = TEXT(AUTH_ID);
    want_call(rig, 5, "AuthRegister", &in.base);
    in.auth_id = TEXT("what");
    want_call(rig, 3, "AuthRegister", &in.base);
    assert_true(str_starts(field(&rig->reply->trailers, "grpc-message: "), STR("invalid auth_id")));
    pending.user = TEXT("alice");
    pending.key = TEXT(AUTH_ID);
    pending.name = TEXT("laptop");
    want_call(rig, 0, "DebugCreateNode", &pending.base);
    out.auth_id = TEXT(AUTH_ID);
    want_call(rig, 0, "AuthReject", &out.base);
    in.auth_id = TEXT(AUTH_ID);
    want_call(rig, 5, "AuthRegister", &in.base);
    pending.key = in.auth_id = TEXT(SECOND_ID);
    want_call(rig, 0, "DebugCreateNode", &pending.base);
    want_call(rig, 0, "AuthRegister", &in.base);
    assert_string_equal(GOT(Headscale__V1__AuthRegisterResponse)->node->name, "laptop");
    approve.auth_id = TEXT(AUTH_ID);
    want_call(rig, 5, "AuthApprove", &approve.base);
}

/* ---- Policy, health ---- */

static void serves_policies(void **state)
{
    struct rig *rig = *state;
    Headscale__V1__GetPolicyRequest get = HEADSCALE__V1__GET_POLICY_REQUEST__INIT;
    Headscale__V1__SetPolicyRequest set = HEADSCALE__V1__SET_POLICY_REQUEST__INIT;
    Headscale__V1__CheckPolicyRequest check = HEADSCALE__V1__CHECK_POLICY_REQUEST__INIT;
    Headscale__V1__HealthRequest health = HEADSCALE__V1__HEALTH_REQUEST__INIT;
    char *large = mem_alloc((size_t)3 << 20);

    check.policy = TEXT("{\"acls\": []} // ours\n");
    want_call(rig, 0, "CheckPolicy", &check.base);
    set.policy = TEXT("{\"acls\": []} // \"ours\"\n");
    want_call(rig, 0, "SetPolicy", &set.base);
    assert_true(GOT(Headscale__V1__SetPolicyResponse)->updated_at->seconds > 1700000000);
    want_call(rig, 0, "GetPolicy", &get.base);
    assert_string_equal(GOT(Headscale__V1__GetPolicyResponse)->policy, set.policy);
    check.policy = TEXT("{\"acls\": [{\"action\": \"drop\"}]}");
    want_call(rig, 3, "CheckPolicy", &check.base);
    assert_true(str_find(field(&rig->reply->trailers, "grpc-message: "),
                         STR("action=\"drop\" is not supported")) > 0);
    want_call(rig, 3, "SetPolicy", &check.base);
    /* A policy may be longer than any other message. */
    memset(large, ' ', (size_t)3 << 20);
    memcpy(large, "{}", 2);
    large[((size_t)3 << 20) - 1] = '\0';
    set.policy = large;
    want_call(rig, 0, "SetPolicy", &set.base);
    mem_free(large);

    want_call(rig, 0, "Health", &health.base);
    assert_true(GOT(Headscale__V1__HealthResponse)->database_connectivity);
}

/* ---- Clients of older releases ---- */

static int call_raw(struct rig *rig, const char *call, struct str message, const char *agent)
{
    struct buf frame = BUF(1024);
    struct extra extra = {.fields = {{STR("user-agent"), str_from(agent)}}, .n = 1};
    struct h2_reply *r = open_call(rig, call, &extra);

    grpc_frame_put(&frame, message);
    h2_peer_send(rig->peer, r, buf_str(&frame), true);
    buf_fini(&frame);
    wait_end(rig, r);
    return status_of(rig);
}

static void serves_old_clients(void **state)
{
    struct rig *rig = *state;
    struct str message = STR_NONE, rest;
    struct proto_piece piece, key;
    size_t used = 0;

    make_user(rig, "alice");
    /* 0.25: the user's name where newer ones have its number, and so in the answer. */
    assert_int_equal(call_raw(rig, "CreatePreAuthKey", STR("\x0a\5alice\x10\1"), "grpc-go/1.69.0"),
                     0);
    assert_int_equal(grpc_frame_read(buf_str(&rig->reply->body), 4096, &message, &used),
                     GRPC_FRAME_OK);
    assert_true(proto_next(&message, &key));
    rest = key.bytes;
    assert_true(proto_next(&rest, &piece) && piece.field == 1);
    assert_str(piece.bytes, STR("alice"));
    assert_true(proto_next(&rest, &piece) && piece.field == 2);
    assert_str(piece.bytes, STR("1"));
    /* 0.26: a number, and a user. */
    assert_int_equal(call_raw(rig, "CreatePreAuthKey", STR("\x08\1\x10\1"), "grpc-go/1.72.0"), 0);
    assert_int_equal(read_reply(rig, method("CreatePreAuthKey")->output), 0);
    assert_int_equal(GOT(Headscale__V1__CreatePreAuthKeyResponse)->pre_auth_key->user->id, 1);
    assert_int_equal(call_raw(rig, "ListPreAuthKeys", STR("\x0a\5alice"), "grpc-go/1.69.0"), 0);
    assert_int_equal(call_raw(rig, "ListPreAuthKeys", STR("\x0a\3bob"), "grpc-go/1.69.0"), 5);
    /* 0.23: users by name. */
    assert_int_equal(call_raw(rig, "RenameUser",
                              STR("\x0a\5alice\x12\4"
                                  "anna"),
                              "grpc-go/1.66.0"),
                     0);
    assert_int_equal(call_raw(rig, "DeleteUser", STR("\x0a\5alice"), "grpc-go/1.66.0"), 3);
    assert_int_equal(call_raw(rig, "DeleteUser",
                              STR("\x0a\4"
                                  "anna"),
                              "grpc-go/1.66.0"),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALL_TEST(serves_users),
        CALL_TEST(serves_auth_keys),
        CALL_TEST(serves_api_keys),
        CALL_TEST(serves_nodes),
        CALL_TEST(sets_tags_routes_and_expiry),
        CALL_TEST(serves_routes),
        CALL_TEST(serves_registrations),
        CALL_TEST(serves_policies),
        CALL_TEST(serves_old_clients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
