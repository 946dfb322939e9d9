#include "../unit.h"

#include "client/netmap_state.h"

static bool apply(struct netmap_state *s, const char *text)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;

    assert_true(json_parse(arena, str_from(text), NULL, &v, NULL));
    return netmap_state_apply(s, v);
}

#define FIRST                                                                                   \
    "{\"Node\":{\"ID\":1,\"Name\":\"a.x.\",\"Key\":\"nodekey:1\"},\"DERPMap\":{},"              \
    "\"PacketFilter\":[],"                                                                      \
    "\"Peers\":[{\"ID\":2,\"Name\":\"b.x.\",\"Key\":\"nodekey:2\",\"Addresses\":[\"100.64.0.2/" \
    "32\"],"                                                                                    \
    "\"Online\":true,\"HomeDERP\":7,\"Endpoints\":[\"1.2.3.4:5\"]},"                            \
    "{\"ID\":3,\"Name\":\"c.x.\",\"Key\":\"nodekey:3\"}]}"

static void the_first_message_needs_the_node(void **state)
{
    struct netmap_state s;

    (void)state;
    netmap_state_init(&s);
    assert_true(apply(&s, "{\"KeepAlive\":true}"));
    assert_false(apply(&s, "{\"Peers\":[{\"ID\":2}]}"));
    netmap_state_fini(&s);
}

static void deltas_do_what_clients_do(void **state)
{
    struct netmap_state s;

    (void)state;
    netmap_state_init(&s);
    assert_true(apply(&s, FIRST));
    assert_int_equal(netmap_state_peers(&s), 2);
    assert_true(s.has_derp_map && s.has_filter);
    assert_str(netmap_state_peer(&s, 2)->endpoint, STR("1.2.3.4:5"));

    /* An empty list means no change. */
    assert_true(apply(&s, "{\"Peers\":[]}"));
    assert_int_equal(netmap_state_peers(&s), 2);
    /* Removed first, then changed, then patched. */
    assert_true(apply(&s, "{\"PeersRemoved\":[3],\"PeersChanged\":[{\"ID\":4,\"Name\":\"d.x.\"}],"
                          "\"PeersChangedPatch\":[{\"NodeID\":2,\"Online\":false,\"DERPRegion\":9,"
                          "\"Endpoints\":[]},{\"NodeID\":99,\"Online\":true}]}"));
    assert_null(netmap_state_peer(&s, 3));
    assert_non_null(netmap_state_peer(&s, 4));
    assert_null(netmap_state_peer(&s, 99));
    assert_false(netmap_state_peer(&s, 2)->online);
    assert_int_equal(netmap_state_peer(&s, 2)->home_derp, 9);
    assert_int_equal(netmap_state_peer(&s, 2)->endpoint.len, 0);
    /* Region 0 in a patch is lost, as in a client. */
    assert_true(apply(&s, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"DERPRegion\":0}]}"));
    assert_int_equal(netmap_state_peer(&s, 2)->home_derp, 9);
    assert_true(apply(&s, "{\"OnlineChange\":{\"2\":true}}"));
    assert_true(netmap_state_peer(&s, 2)->online);
    /* A complete list replaces, and the rest of its message is not looked at. */
    assert_true(apply(&s, "{\"Peers\":[{\"ID\":5}],\"PeersRemoved\":[5]}"));
    assert_int_equal(netmap_state_peers(&s), 1);
    assert_non_null(netmap_state_peer(&s, 5));
    assert_int_equal(s.full_maps, 2);
    netmap_state_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_message_needs_the_node),
        cmocka_unit_test(deltas_do_what_clients_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
