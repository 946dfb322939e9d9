#include "../unit.h"

#include <string.h>

#include "client/netmap_state.h"

#define KEY(n) "nodekey:000000000000000000000000000000000000000000000000000000000000000" n
#define SELF "\"Node\":{\"ID\":1,\"Name\":\"a.x.\",\"User\":7,\"Key\":\"" KEY("1") "\"}"
#define PROFILES "\"UserProfiles\":[{\"ID\":7,\"LoginName\":\"u\"}]"
#define PEER_2                                                                              \
    "\"ID\":2,\"Name\":\"b.x.\",\"User\":7,\"Key\":\"" KEY(                                 \
        "2") "\",\"Addresses\":[\"100.64.0.2/32\","                                         \
             "\"fd7a::2/"                                                                   \
             "128\"],\"Online\":true,\"HomeDERP\":7,\"DERP\":\"127.3.3.40:7\",\"Cap\":142," \
             "\"LastSeen\":\"2026-01-01T00:00:00Z\""
#define ENDPOINTS_2 ",\"Endpoints\":[\"1.2.3.4:5\",\"[2001:db8::1]:6\"]"
#define PEER_3 "\"ID\":3,\"Name\":\"c.x.\",\"User\":7,\"Key\":\"" KEY("3") "\",\"Online\":false"
#define FIRST                                                                           \
    "{" SELF "," PROFILES                                                               \
    ",\"DERPMap\":{\"Regions\":{}},\"PacketFilter\":[],\"Peers\":[{" PEER_2 ENDPOINTS_2 \
    "},{" PEER_3 "}]}"

static bool apply(struct netmap_state *s, const char *text)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;
    struct json_error error = {0};

    if (!json_parse(arena, str_from(text), NULL, &v, &error))
        fail_msg("column %u: %s: %s", error.col, error.text, text);
    return netmap_state_apply(s, v);
}

static void begin(struct netmap_state *s, bool keep_json)
{
    netmap_state_init(s);
    s->keep_json = keep_json;
    assert_true(apply(s, FIRST));
    assert_string_equal(s->complaint, "");
}

static void keeps_what_identifies_and_moves(void **state)
{
    struct netmap_state s;
    const struct netmap_peer *p;
    struct ip_addrport endpoint;

    (void)state;
    begin(&s, false);
    assert_int_equal(netmap_state_peers(&s), 2);
    assert_true(s.has_derp_map && s.has_filter);
    assert_str(s.self.name, STR("a.x."));
    assert_int_equal(s.self.id, 1);
    p = netmap_state_peer(&s, 2);
    assert_str(p->name, STR("b.x."));
    assert_int_equal(p->key.b[31], 2);
    assert_true(ip_addr_eq(p->v4, IP_ADDR_V4(100, 64, 0, 2)));
    assert_int_equal(p->v6.family, IP_V6);
    assert_true(p->online);
    assert_int_equal(p->home_derp, 7);
    assert_true(ip_addrport_parse(STR("1.2.3.4:5"), &endpoint));
    assert_true(ip_addrport_eq(p->endpoint, endpoint));
    assert_int_equal(p->json.len, 0);
    netmap_state_fini(&s);
    netmap_state_fini(&s);
}

static void deltas_do_what_clients_do(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        struct netmap_state s;

        begin(&s, full);
        /* An empty list means no change; nothing is legal; null is nothing. */
        assert_true(apply(&s, "{\"Peers\":[]}"));
        assert_true(apply(&s, "{}"));
        assert_true(apply(&s, "{\"Peers\":null,\"PeersRemoved\":null,\"Node\":null}"));
        assert_int_equal(netmap_state_peers(&s), 2);
        /* Removed first, then changed, then patched. */
        assert_true(
            apply(&s, "{\"PeersRemoved\":[3,4],\"PeersChanged\":[{\"ID\":4,\"User\":7}],"
                      "\"PeersChangedPatch\":[{\"NodeID\":2,\"Online\":false,\"DERPRegion\":9,"
                      "\"Key\":\"" KEY("9") "\",\"Endpoints\":[]},{\"NodeID\":99,\"Online\":true},"
                                            "{\"NodeID\":4,\"Online\":true}]}"));
        assert_null(netmap_state_peer(&s, 3));
        assert_true(netmap_state_peer(&s, 4)->online);
        assert_null(netmap_state_peer(&s, 99));
        assert_false(netmap_state_peer(&s, 2)->online);
        assert_int_equal(netmap_state_peer(&s, 2)->home_derp, 9);
        assert_int_equal(netmap_state_peer(&s, 2)->key.b[31], 9);
        assert_int_equal(netmap_state_peer(&s, 2)->endpoint.addr.family, 0);
        /* Region 0 in a patch is lost, as in a client. */
        assert_true(apply(&s, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"DERPRegion\":0}]}"));
        assert_int_equal(netmap_state_peer(&s, 2)->home_derp, 9);
        assert_true(apply(&s, "{\"OnlineChange\":{\"2\":true,\"98\":true,\"x\":true}}"));
        assert_true(netmap_state_peer(&s, 2)->online);
        /* A complete list replaces, and the rest of its message is not looked at. */
        assert_true(apply(&s, "{\"Peers\":[{\"ID\":5,\"User\":7}],\"PeersRemoved\":[5],"
                              "\"PeersChangedPatch\":[{\"NodeID\":5,\"Online\":true}]}"));
        assert_int_equal(netmap_state_peers(&s), 1);
        assert_false(netmap_state_peer(&s, 5)->online);
        assert_int_equal(s.full_maps, 2);
        assert_string_equal(s.complaint, "");
        netmap_state_fini(&s);
    }
}

static void keep_alives_say_nothing_else(void **state)
{
    struct netmap_state s;

    (void)state;
    begin(&s, false);
    assert_true(apply(&s, "{\"KeepAlive\":true,\"PeersRemoved\":[2]}"));
    assert_int_equal(s.keep_alives, 1);
    assert_int_equal(s.messages, 2);
    assert_non_null(netmap_state_peer(&s, 2));
    netmap_state_fini(&s);
}

/* What makes a client drop the stream. */
static const struct {
    const char *name, *message, *says;
} broken[] = {
    {"no node in the first message", "{\"Peers\":[{\"ID\":2}]}", "no Node"},
    {"self without id", "{\"Node\":{\"Name\":\"a.\"}}", "no id"},
    {"self with a key of another kind",
     "{\"Node\":{\"ID\":1,\"Key\":\"mkey:"
     "0000000000000000000000000000000000000000000000000000000000000001\"}}",
     "key is none"},
    {"peer without id", "{" SELF ",\"Peers\":[{\"Name\":\"b.\"}]}", "no id"},
    {"empty key", "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":\"\"}]}", "key is none"},
    {"key that is a number", "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":5}]}", "key is none"},
    {"address without bits", "{" SELF ",\"Peers\":[{\"ID\":2,\"Addresses\":[\"100.64.0.2\"]}]}",
     "address of node 2"},
    {"endpoint without port", "{" SELF ",\"Peers\":[{\"ID\":2,\"Endpoints\":[\"1.2.3.4\"]}]}",
     "endpoint of node 2"},
    {"second endpoint is none",
     "{" SELF ",\"Peers\":[{\"ID\":2,\"Endpoints\":[\"1.2.3.4:5\",\"\"]}]}", "endpoint of node 2"},
    {"patch with a broken key",
     "{" SELF "," PROFILES ",\"PeersChanged\":[{\"ID\":2,\"User\":7}],"
     "\"PeersChangedPatch\":[{\"NodeID\":2,\"Key\":\"x\"}]}",
     "key is none"},
};

static void refuses_what_a_client_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct netmap_state s;

        print_message("%s\n", broken[i].name);
        netmap_state_init(&s);
        assert_true(apply(&s, "{\"KeepAlive\":true}"));
        assert_false(apply(&s, broken[i].message));
        /* A peer without profile may have been complained of before. */
        if (!strstr(s.complaint, broken[i].says) && !strstr(s.complaint, "without profile"))
            fail_msg("says \"%s\"", s.complaint);
        netmap_state_fini(&s);
    }
}

/* What a client bears and a server must not do. */
static const struct {
    const char *name, *message, *says;
} sloppy[] = {
    {"its own peer", "{\"PeersChanged\":[{\"ID\":1,\"User\":7}]}", "its own peer"},
    {"a user without profile", "{\"PeersChanged\":[{\"ID\":4,\"User\":8}]}", "without profile"},
    {"an id twice", "{\"Peers\":[{\"ID\":3,\"User\":7},{\"ID\":3,\"User\":7}]}", "listed twice"},
};

static void complains_of_what_a_client_bears(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sloppy); i++) {
        struct netmap_state s;

        print_message("%s\n", sloppy[i].name);
        begin(&s, false);
        assert_true(apply(&s, sloppy[i].message));
        if (!strstr(s.complaint, sloppy[i].says))
            fail_msg("says \"%s\"", s.complaint);
        netmap_state_fini(&s);
    }
    struct netmap_state s;

    /* A profile in the same message is early enough. */
    begin(&s, false);
    assert_true(apply(&s, "{\"PeersChanged\":[{\"ID\":4,\"User\":8}],"
                          "\"UserProfiles\":[{\"ID\":8}]}"));
    assert_string_equal(s.complaint, "");
    netmap_state_fini(&s);
}

/* One delta on FIRST, and the whole map it should come to, or not. */
static const struct {
    const char *name, *delta, *fresh, *differs; /* differs NULL: the same */
} pairs[] = {
    {"nothing happened", "{}", FIRST, NULL},
    {"online by patch", "{\"PeersChangedPatch\":[{\"NodeID\":3,\"Online\":true}]}",
     "{\"Peers\":[{" PEER_2 ENDPOINTS_2
     "},{\"ID\":3,\"Name\":\"c.x.\",\"User\":7,\"Key\":\"" KEY("3") "\",\"Online\":true}]}",
     NULL},
    {"online by OnlineChange", "{\"OnlineChange\":{\"3\":true}}",
     "{\"Peers\":[{" PEER_2 ENDPOINTS_2
     "},{\"ID\":3,\"Name\":\"c.x.\",\"User\":7,\"Key\":\"" KEY("3") "\",\"Online\":true}]}",
     NULL},
    {"home relay in both spellings",
     "{\"PeersChangedPatch\":[{\"NodeID\":3,\"DERPRegion\":9,\"Cap\":99}]}",
     "{\"Peers\":[{" PEER_2 ENDPOINTS_2 "},{" PEER_3
     ",\"HomeDERP\":9,\"DERP\":\"127.3.3.40:9\",\"Cap\":99}]}",
     NULL},
    {"a whole node in another order",
     "{\"PeersChanged\":[{\"Name\":\"d.x.\",\"User\":7,\"ID\":3,\"Online\":false,\"Key\":\"" KEY(
         "3") "\",\"Tags\":null}]}",
     "{\"Peers\":[{" PEER_2 ENDPOINTS_2
     "},{\"ID\":3,\"Name\":\"d.x.\",\"User\":7,\"Key\":\"" KEY("3") "\",\"Online\":false}]}",
     NULL},
    {"when an online peer was last seen",
     "{\"PeersChangedPatch\":[{\"NodeID\":2,\"LastSeen\":\"2026-02-02T00:00:00Z\"}]}", FIRST, NULL},
    {"a patch to no endpoints", "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Endpoints\":[]}]}",
     "{\"Peers\":[{" PEER_2 ",\"Endpoints\":[]},{" PEER_3 "}]}", NULL},
    {"a node whose endpoints went is taken for a patch that says nothing",
     "{\"PeersChanged\":[{" PEER_2 "}]}", "{\"Peers\":[{" PEER_2 "},{" PEER_3 "}]}", "Endpoints"},
    {"a node whose online was not said before, and nothing else",
     "{\"PeersChangedPatch\":[],\"PeersChanged\":[{" PEER_3
     ",\"LastSeen\":\"2026-02-02T00:00:00Z\"}]}",
     "{\"Peers\":[{" PEER_2 ENDPOINTS_2 "},{" PEER_3 ",\"LastSeen\":\"2026-02-02T00:00:00Z\"}]}",
     "LastSeen"},
    {"a peer that stayed", "{}", "{\"Peers\":[{" PEER_3 "}]}", "2 peers, should be 1"},
    {"another peer", "{\"PeersRemoved\":[2],\"PeersChanged\":[{\"ID\":4,\"User\":7}]}", FIRST,
     "peer 2 is missing"},
    {"an old name", "{}",
     "{\"Peers\":[{" PEER_2 ENDPOINTS_2
     "},{\"ID\":3,\"Name\":\"d.x.\",\"User\":7,\"Key\":\"" KEY("3") "\",\"Online\":false}]}",
     "Name"},
    {"online that is not said", "{}",
     "{\"Peers\":[{" PEER_2 ENDPOINTS_2
     "},{\"ID\":3,\"Name\":\"c.x.\",\"User\":7,\"Key\":\"" KEY("3") "\"}]}",
     "Online"},
    {"an old relay map", "{\"DERPMap\":{\"Regions\":{\"1\":{}}}}", FIRST, "DERPMap"},
    {"an old self", "{\"Node\":{\"ID\":1,\"Name\":\"z.x.\",\"User\":7}}", FIRST, "node 1"},
    {"what a node said itself", "{" SELF "}", FIRST, NULL},
};

static void compares_with_a_fresh_map(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct netmap_state s, fresh;
        char why[200] = "";

        print_message("%s\n", pairs[i].name);
        begin(&s, true);
        assert_true(apply(&s, pairs[i].delta));
        /* A full list of peers replaces FIRST's. */
        begin(&fresh, true);
        assert_true(apply(&fresh, pairs[i].fresh));
        bool same = netmap_state_same(&s, &fresh, why, sizeof(why));

        if (same != !pairs[i].differs)
            fail_msg("%s: \"%s\"", same ? "taken for the same" : "differs", why);
        if (pairs[i].differs && !strstr(why, pairs[i].differs))
            fail_msg("says \"%s\"", why);
        netmap_state_fini(&s);
        netmap_state_fini(&fresh);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_identifies_and_moves),
        cmocka_unit_test(deltas_do_what_clients_do),
        cmocka_unit_test(keep_alives_say_nothing_else),
        cmocka_unit_test(refuses_what_a_client_refuses),
        cmocka_unit_test(complains_of_what_a_client_bears),
        cmocka_unit_test(compares_with_a_fresh_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
