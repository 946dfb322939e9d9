#include "unit.h"

#include "core/clock.h"
#include "ip/prefix.h"
#include "wire/request.h"

#define KEY_A "nodekey:aa00000000000000000000000000000000000000000000000000000000000001"
#define DISCO "discokey:dd00000000000000000000000000000000000000000000000000000000000001"
#define NODE_A "\"NodeKey\":\"" KEY_A "\""

static void reads_a_register_request(void **state)
{
    struct str body = STR(
        "{\"Version\":142," NODE_A ",\"OldNodeKey\":\"nodekey:"
        "0000000000000000000000000000000000000000000000000000000000000000\","
        "\"NLKey\":\"nlpub:bb00000000000000000000000000000000000000000000000000000000000002\","
        "\"Auth\":{\"AuthKey\":\"hskey-auth-x-y\"},\"Expiry\":\"1970-01-01T00:02:03Z\","
        "\"Followup\":\"https://h/register/abc\",\"Ephemeral\":true,\"Tailnet\":\"required:x\","
        "\"Unknown\":[{}],\"Hostinfo\":{\"Hostname\":\"box\",\"OS\":\"linux\","
        "\"IPNVersion\":\"1.102\",\"RoutableIPs\":[\"10.1.2.3/8\",\"0.0.0.0/0\",\"10.0.0.0/8\"],"
        "\"RequestTags\":[\"tag:a\"],\"NetInfo\":{\"PreferredDERP\":900}}}");
    AUTO(arena_free) struct arena *a = arena_new();
    struct wire_register_request r;
    struct err err;

    (void)state;
    if (wire_register_request_decode(a, body, &r, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(r.version, 142);
    assert_int_equal(r.key.b[0], 0xaa);
    assert_true(node_key_is_zero(&r.old_key));
    assert_int_equal(r.nl.b[0], 0xbb);
    assert_str(r.auth_key, STR("hskey-auth-x-y"));
    assert_true(r.has_expiry);
    assert_int_equal(r.expiry_ms, 123000);
    assert_str(r.followup, STR("https://h/register/abc"));
    assert_true(r.ephemeral);
    assert_str(r.tailnet, STR("required:x"));
    assert_str(r.hostinfo.hostname, STR("box"));
    assert_str(r.hostinfo.os, STR("linux"));
    assert_str(r.hostinfo.ipn_version, STR("1.102"));
    assert_int_equal(r.hostinfo.preferred_derp, 900);
    assert_int_equal(r.hostinfo.n_routes, 2); /* masked, sorted, once */
    assert_true(ip_prefix_is_exit(r.hostinfo.routes[0]));
    assert_int_equal(r.hostinfo.routes[1].addr.bytes[1], 0);
    assert_int_equal(r.hostinfo.n_request_tags, 1);
    assert_str(r.hostinfo.request_tags[0], STR("tag:a"));
    assert_true(str_starts(r.hostinfo.raw, STR("{\"Hostname\"")));
}

static void has_gos_manners(void **state)
{
    struct str body = STR("{\"nodekey\":\"" KEY_A "\",\"AUTH\":null,\"expiry\":"
                          "\"0001-01-01T00:00:00Z\",\"hostinfo\":null,\"Version\":1,\"version\":2,"
                          "\"Followup\":null,\"NLKey\":null}");
    AUTO(arena_free) struct arena *a = arena_new();
    struct wire_register_request r;

    (void)state;
    assert_int_equal(wire_register_request_decode(a, body, &r, NULL), 0);
    assert_int_equal(r.version, 2);
    assert_int_equal(r.auth_key.len, 0);
    assert_false(r.has_expiry);
    assert_str(r.hostinfo.raw, STR("{}"));
    assert_str(r.hostinfo.peer, STR("{}"));
}

static const struct {
    const char *name;
    struct str body;
    enum err_code code;
    const char *says;
} bad[] = {
    {"not JSON", STR("{"), ERR_INVALID, "line 1"},
    {"not an object", STR("[1]"), ERR_INVALID, "the request is an array"},
    {"no node key", STR("{}"), ERR_INVALID, "NodeKey is missing"},
    {"empty node key", STR("{\"NodeKey\":\"\"}"), ERR_INVALID, "NodeKey is no key"},
    {"node key of another kind",
     STR("{\"NodeKey\":\"mkey:aa00000000000000000000000000000000000000000000000000000000000001\"}"),
     ERR_INVALID, "NodeKey is no key"},
    {"version as text", STR("{" NODE_A ",\"Version\":\"1\"}"), ERR_INVALID, "Version must be"},
    {"version with a fraction", STR("{" NODE_A ",\"Version\":1.5}"), ERR_INVALID, "Version"},
    {"version below zero", STR("{" NODE_A ",\"Version\":-1}"), ERR_INVALID, "Version"},
    {"hostinfo as text", STR("{" NODE_A ",\"Hostinfo\":\"x\"}"), ERR_INVALID,
     "Hostinfo is a string"},
    {"net info as list", STR("{" NODE_A ",\"Hostinfo\":{\"NetInfo\":[]}}"), ERR_INVALID,
     "Hostinfo.NetInfo is an array"},
    {"relay as text", STR("{" NODE_A ",\"Hostinfo\":{\"NetInfo\":{\"PreferredDERP\":\"1\"}}}"),
     ERR_INVALID, "Hostinfo.NetInfo.PreferredDERP"},
    {"route that is none", STR("{" NODE_A ",\"Hostinfo\":{\"RoutableIPs\":[\"10.0.0.0/99\"]}}"),
     ERR_INVALID, "Hostinfo.RoutableIPs"},
    {"NUL in a name", STR("{" NODE_A ",\"Hostinfo\":{\"Hostname\":\"a\\u0000b\"}}"), ERR_INVALID,
     "Hostinfo.Hostname holds a NUL"},
    {"service port too high",
     STR("{" NODE_A ",\"Hostinfo\":{\"Services\":[{\"Proto\":\"tcp\",\"Port\":65536}]}}"),
     ERR_INVALID, "Port"},
    {"place with words for numbers",
     STR("{" NODE_A ",\"Hostinfo\":{\"Location\":{\"Latitude\":\"north\"}}}"), ERR_INVALID,
     "Hostinfo.Location.Latitude"},
};

static void names_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(arena_free) struct arena *a = arena_new();
        struct wire_register_request r;
        struct wire_map_request m;
        struct err err = {0};

        print_message("%s\n", bad[i].name);
        assert_int_equal(wire_register_request_decode(a, bad[i].body, &r, &err), -(int)bad[i].code);
        if (!strstr(err.text, bad[i].says))
            fail_msg("\"%s\" lacks \"%s\"", err.text, bad[i].says);
        assert_int_equal(wire_map_request_decode(a, bad[i].body, &m, &err), -(int)bad[i].code);
    }
}

static void reads_a_map_request(void **state)
{
    struct str body =
        STR("{\"Version\":113,\"Compress\":\"zstd\",\"KeepAlive\":true," NODE_A
            ",\"DiscoKey\":\"" DISCO "\",\"Stream\":true,\"OmitPeers\":true,"
            "\"Endpoints\":[\"1.2.3.4:5\",\"\",\"[fe80::1%eth0]:6\",\"[2001:db8::1]:7\"],"
            "\"EndpointTypes\":[1,2,3,4],\"DebugFlags\":[7,\"x\",\"warn-ip-forwarding-off\"]}");
    AUTO(arena_free) struct arena *a = arena_new();
    struct wire_map_request r;
    struct err err;

    (void)state;
    if (wire_map_request_decode(a, body, &r, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(r.zstd && r.keep_alive && r.stream && r.omit_peers && !r.read_only);
    assert_true(r.forwarding_off);
    assert_int_equal(r.disco.b[0], 0xdd);
    assert_false(r.has_hostinfo);
    assert_true(r.has_endpoints);
    assert_int_equal(r.n_endpoints, 2);
    assert_int_equal(r.endpoints[0].port, 5);
    assert_int_equal(r.endpoint_types[0], 1);
    assert_int_equal(r.endpoints[1].port, 7);
    assert_int_equal(r.endpoint_types[1], 4);
}

static void tells_absent_from_empty_endpoints(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct wire_map_request r;

    (void)state;
    assert_int_equal(wire_map_request_decode(a, STR("{" NODE_A "}"), &r, NULL), 0);
    assert_false(r.has_endpoints);
    assert_int_equal(wire_map_request_decode(a, STR("{" NODE_A ",\"Endpoints\":null}"), &r, NULL),
                     0);
    assert_false(r.has_endpoints);
    assert_int_equal(wire_map_request_decode(a, STR("{" NODE_A ",\"Endpoints\":[]}"), &r, NULL), 0);
    assert_true(r.has_endpoints);
    assert_int_equal(r.n_endpoints, 0);
}

/* More endpoints than are kept are cut, more routes than are kept refused. */
static void bounds_lists(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct buf many = BUF(0);
    struct wire_map_request r;
    struct err err = {0};

    (void)state;
    buf_put(&many, STR("{" NODE_A ",\"Endpoints\":[\"1.2.3.4:1\""));
    for (unsigned i = 2; i < 200; i++)
        buf_printf(&many, ",\"1.2.3.4:%u\"", i);
    buf_put(&many, STR("]}"));
    assert_int_equal(wire_map_request_decode(a, buf_str(&many), &r, &err), 0);
    assert_int_equal(r.n_endpoints, 64);
    assert_int_equal(r.endpoints[63].port, 64);

    buf_clear(&many);
    buf_put(&many, STR("{" NODE_A ",\"Hostinfo\":{\"RoutableIPs\":[\"10.0.0.0/8\""));
    for (unsigned i = 0; i < 1024; i++)
        buf_printf(&many, ",\"10.%u.%u.0/24\"", i / 256, i % 256);
    buf_put(&many, STR("]}}"));
    assert_int_equal(wire_map_request_decode(a, buf_str(&many), &r, &err), -ERR_LIMIT);
    assert_non_null(strstr(err.text, "Hostinfo.RoutableIPs has too many"));
    buf_fini(&many);
}

static void shows_peers_what_they_need_only(void **state)
{
    struct str body =
        STR("{" NODE_A
            ",\"Hostinfo\":{\"BackendLogID\":\"secret\",\"OS\":\"linux\",\"OSVersion\":\"6\","
            "\"Hostname\":\"b\\\"x\",\"NetInfo\":{\"PreferredDERP\":1},\"RequestTags\":[\"tag:a\"],"
            "\"Services\":[{\"Proto\":\"tcp\",\"Port\":22,\"Description\":\"sshd\"},"
            "{\"Proto\":\"peerapi4\",\"Port\":4000},{\"Proto\":\"peerapi4\",\"Port\":4001},"
            "{\"Proto\":\"peerapi-dns-proxy\",\"Port\":1}],\"sshHostKeys\":[\"ssh-ed25519 AAA\"],"
            "\"AppConnector\":false,\"Location\":{\"Country\":\"X\",\"Latitude\":1.5,\"Priority\":-"
            "2}}}");
    AUTO(arena_free) struct arena *a = arena_new();
    struct wire_register_request r;

    (void)state;
    assert_int_equal(wire_register_request_decode(a, body, &r, NULL), 0);
    assert_str(
        r.hostinfo.peer,
        STR("{\"OS\":\"linux\",\"Hostname\":\"b\\\"x\",\"Services\":[{\"Proto\":\"peerapi4\","
            "\"Port\":4000},{\"Proto\":\"peerapi-dns-proxy\",\"Port\":1}],"
            "\"sshHostKeys\":[\"ssh-ed25519 AAA\"],\"AppConnector\":false,"
            "\"Location\":{\"Country\":\"X\",\"Latitude\":1.5,\"Priority\":-2}}"));
}

static void reads_back_what_it_writes(void **state)
{
    const struct ip_addrport endpoints[] = {{IP_ADDR_V4(1, 2, 3, 4), 41641}};
    const struct ip_prefix routes[] = {{IP_ADDR_V4(10, 0, 0, 0), 8}};
    struct wire_register_encode reg = {.version = 120,
                                       .key = {{1, 2, 3}},
                                       .old_key = {{9}},
                                       .auth_key = STR("k\"ey"),
                                       .followup = STR("u"),
                                       .hostname = STR("h\n"),
                                       .has_expiry = true,
                                       .expiry_ms = 1700000000123,
                                       .ephemeral = true,
                                       .routes = routes,
                                       .n_routes = 1};
    struct wire_map_encode map = {.version = 121,
                                  .key = {{4}},
                                  .disco = {{5}},
                                  .zstd = true,
                                  .stream = true,
                                  .omit_peers = true,
                                  .hostname = STR("m"),
                                  .preferred_derp = 7,
                                  .endpoints = endpoints,
                                  .n_endpoints = 1,
                                  .routes = routes,
                                  .n_routes = 1};
    AUTO(arena_free) struct arena *a = arena_new();
    struct wire_register_request r;
    struct wire_map_request m;
    struct buf text = BUF(0);

    (void)state;
    wire_register_request_encode(&reg, &text);
    assert_int_equal(wire_register_request_decode(a, buf_str(&text), &r, NULL), 0);
    assert_int_equal(r.version, 120);
    assert_true(node_key_eq(&r.key, &reg.key) && node_key_eq(&r.old_key, &reg.old_key));
    assert_str(r.auth_key, reg.auth_key);
    assert_str(r.followup, reg.followup);
    assert_str(r.hostinfo.hostname, reg.hostname);
    assert_true(r.has_expiry && r.ephemeral);
    assert_int_equal(r.expiry_ms, reg.expiry_ms);
    assert_int_equal(r.hostinfo.n_routes, 1);
    assert_true(ip_prefix_eq(r.hostinfo.routes[0], routes[0]));

    struct buf other = BUF(0);
    wire_map_request_encode(&map, &other);
    assert_int_equal(wire_map_request_decode(a, buf_str(&other), &m, NULL), 0);
    assert_int_equal(m.version, 121);
    assert_true(node_key_eq(&m.key, &map.key) && disco_key_eq(&m.disco, &map.disco));
    assert_true(m.zstd && m.stream && m.omit_peers && m.has_hostinfo && m.has_endpoints);
    assert_str(m.hostinfo.hostname, map.hostname);
    assert_int_equal(m.hostinfo.preferred_derp, 7);
    assert_int_equal(m.n_endpoints, 1);
    assert_true(ip_addrport_eq(m.endpoints[0], endpoints[0]));
    assert_int_equal(m.hostinfo.n_routes, 1);
    buf_fini(&text);
    buf_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_register_request),
        cmocka_unit_test(has_gos_manners),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(reads_a_map_request),
        cmocka_unit_test(tells_absent_from_empty_endpoints),
        cmocka_unit_test(bounds_lists),
        cmocka_unit_test(shows_peers_what_they_need_only),
        cmocka_unit_test(reads_back_what_it_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
