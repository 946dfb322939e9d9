/* Streams, the grace, ephemeral nodes, and who serves which route. */

#include "each_fixture.h"

static user_id alice;

static int set_up(void **state)
{
    (void)set_up_fixture(state);
    alice = fixture_user(&f, "alice");
    return 0;
}

static const struct change *find(enum change_kind kind)
{
    for (size_t i = 0; i < f.changes.len; i++)
        if (f.changes.items[i].kind == kind)
            return &f.changes.items[i];
    return NULL;
}

static void a_newer_stream_replaces_the_older(void **state)
{
    node_id id = fixture_join(&f, 1, alice, "a", "");

    (void)state;
    uint64_t first = fixture_open(&f, id);
    assert_int_equal(fixture_mask(&f, id), NODE_ONLINE);
    assert_true(f.result.node->online);
    assert_null(find(CHANGE_STREAM_END));
    uint64_t second = fixture_open(&f, id);
    assert_true(second > first);
    assert_int_equal(f.changes.len, 1);
    const struct change *end = find(CHANGE_STREAM_END);

    assert_true(end && end->id == id && end->arg == first);
    /* The older one's end means nothing. */
    fixture_close(&f, id, first);
    assert_int_equal(f.changes.len, 0);
    assert_true(domain_next_tick_ms(f.d) == INT64_MAX);
    fixture_close(&f, id, second);
    assert_int_equal(f.changes.len, 0);
    assert_true(fixture_node(&f, id)->online);
    assert_true(domain_next_tick_ms(f.d) == f.now + OFFLINE_GRACE_MS);
    int64_t ended = f.now;
    fixture_tick(&f, OFFLINE_GRACE_MS - 1);
    assert_true(fixture_node(&f, id)->online);
    fixture_tick(&f, 1);
    assert_int_equal(fixture_mask(&f, id), NODE_ONLINE);
    assert_false(fixture_node(&f, id)->online);
    assert_true(fixture_node(&f, id)->last_seen_ms == ended);
    /* Closing twice. */
    fixture_close(&f, id, second);
    assert_true(domain_next_tick_ms(f.d) == INT64_MAX);
}

static void coming_back_in_the_grace_changes_nothing(void **state)
{
    node_id id = fixture_join(&f, 1, alice, "a", "");

    (void)state;
    fixture_close(&f, id, fixture_open(&f, id));
    f.now += OFFLINE_GRACE_MS - 1;
    fixture_open(&f, id);
    assert_int_equal(f.changes.len, 0);
    fixture_tick(&f, HOUR_MS);
    assert_true(fixture_node(&f, id)->online);
}

static void ephemeral_nodes_go_when_they_stay_away(void **state)
{
    char key[128];

    (void)state;
    fixture_key(&f, (struct key_options){.user = alice, .ephemeral = true, .reusable = true}, key);
    fixture_register(&f, (struct ask){.machine = 1, .key = 1, .auth_key = key});
    node_id id = f.result.id;
    fixture_register(&f, (struct ask){.machine = 2, .key = 2, .auth_key = key});
    node_id never_came = f.result.id;
    uint64_t g = fixture_open(&f, id);
    fixture_tick(&f, 30 * MINUTE_MS);
    assert_int_equal(fixture_count(&f, CHANGE_NODE_REMOVED), 1);
    assert_null(domain_node_by_id(f.d, never_came));
    fixture_close(&f, id, g);
    fixture_tick(&f, 29 * MINUTE_MS);
    g = fixture_open(&f, id); /* back in time */
    fixture_tick(&f, 2 * MINUTE_MS);
    fixture_close(&f, id, g);
    fixture_tick(&f, 30 * MINUTE_MS - 1);
    assert_non_null(domain_node_by_id(f.d, id));
    fixture_tick(&f, 1);
    assert_null(domain_node_by_id(f.d, id));
    assert_int_equal(view_node_count(fixture_view(&f)), 0);
}

static void updates_tell_only_what_changed(void **state)
{
    node_id id = fixture_join(&f, 1, alice, "a", "");
    struct ip_addrport ap = {IP_ADDR_V4(1, 2, 3, 4), 41641};
    const uint8_t type = 1;
    struct node_facts *facts = facts_of("a", "", "");
    struct command c = {.type = COMMAND_NODE_UPDATE,
                        .machine = machine_of(1),
                        .key = key_of(1),
                        .is_update = true,
                        .capver = 100,
                        .disco = {{7}},
                        .facts = facts,
                        .endpoints = &ap,
                        .endpoint_types = &type,
                        .n_endpoints = 1,
                        .has_endpoints = true,
                        .home_derp = 3};

    (void)state;
    fixture_done(&f, c);
    assert_int_equal(fixture_mask(&f, id), NODE_DISCO | NODE_ENDPOINTS | NODE_DERP);
    assert_false(change_is_durable(&f.changes.items[0]));
    fixture_done(&f, c);
    assert_int_equal(f.changes.len, 0);
    c.home_derp = 0;
    c.capver = 101;
    fixture_done(&f, c);
    assert_int_equal(fixture_mask(&f, id), NODE_CAPVER);
    assert_int_equal(fixture_node(&f, id)->home_derp, 3);

    struct node_facts *more = facts_of("a", "", "");
    str_free(&more->hostinfo);
    more->hostinfo = str_copy(STR("{\"NetInfo\":{}}"));
    c.facts = more;
    fixture_done(&f, c);
    assert_int_equal(fixture_mask(&f, id), NODE_FACTS_PRIVATE);
    assert_false(change_is_durable(&f.changes.items[0]));
    node_facts_unref(more);
    more = facts_of("b", "", "");
    str_free(&more->hostinfo_peer);
    more->hostinfo_peer = str_copy(STR("{\"Hostname\":\"b\"}"));
    c.facts = more;
    fixture_done(&f, c);
    assert_int_equal(fixture_mask(&f, id), NODE_FACTS | NODE_CARD);
    assert_str(fixture_node(&f, id)->given_name, STR("b"));
    /* A stream that only reads. */
    c.type = COMMAND_STREAM_OPEN;
    c.is_update = false;
    c.facts = facts;
    c.home_derp = 9;
    c.n_endpoints = 0;
    fixture_done(&f, c);
    assert_int_equal(fixture_mask(&f, id), NODE_ONLINE);
    node_facts_unref(more);

    /* Too much of something: cut, or refused. */
    struct ip_addrport many[NODE_ENDPOINTS_MAX + 1] = {{{0}, 0}};
    c = (struct command){.type = COMMAND_NODE_UPDATE,
                         .machine = machine_of(1),
                         .key = key_of(1),
                         .endpoints = many,
                         .n_endpoints = ARRAY_LEN(many),
                         .has_endpoints = true};
    fixture_done(&f, c);
    assert_int_equal(fixture_node(&f, id)->n_endpoints, NODE_ENDPOINTS_MAX);
    facts->n_routes = NODE_ROUTES_MAX + 1;
    c.facts = facts;
    fixture_refused(&f, c, ERR_LIMIT, "a node announces at most 1024 routes");
    facts->n_routes = 0;
    node_facts_unref(facts);
}

/* ---- Routes ---- */

static node_id router(unsigned machine, const char *routes)
{
    node_id id = fixture_join(&f, machine, alice, "router", routes);

    fixture_approve_routes(&f, id, routes);
    return id;
}

static bool serves(node_id id)
{
    return fixture_node(&f, id)->n_serving > 0;
}

static void a_route_fails_over_and_does_not_flap(void **state)
{
    node_id a = router(1, "10.0.0.0/8"), b = router(2, "10.0.0.0/8");

    (void)state;
    assert_false(serves(a) || serves(b));
    uint64_t gb = fixture_open(&f, b);
    assert_int_equal(fixture_mask(&f, b), NODE_ONLINE | NODE_CARD);
    uint64_t ga = fixture_open(&f, a);
    assert_true(serves(b) && !serves(a));
    assert_int_equal(fixture_mask(&f, b), 0);
    /* At once, not after the grace. */
    fixture_close(&f, b, gb);
    assert_true(serves(a) && !serves(b));
    assert_int_equal(fixture_mask(&f, a), NODE_CARD);
    assert_int_equal(fixture_mask(&f, b), NODE_CARD);
    gb = fixture_open(&f, b);
    assert_true(serves(a) && !serves(b));
    /* Nobody else lives: kept through the grace, then withdrawn. */
    fixture_close(&f, b, gb);
    fixture_tick(&f, OFFLINE_GRACE_MS);
    fixture_close(&f, a, ga);
    assert_true(serves(a));
    fixture_tick(&f, OFFLINE_GRACE_MS);
    assert_false(serves(a) || serves(b));
    fixture_open(&f, b);
    assert_true(serves(b));
}

static void approval_and_announcement_both_count(void **state)
{
    node_id a = fixture_join(&f, 1, alice, "a", "10.1.0.0/16,10.2.0.0/16");
    struct node_facts *less = facts_of("a", "10.1.0.0/16", "");
    struct command c = {
        .type = COMMAND_NODE_UPDATE, .machine = machine_of(1), .key = key_of(1), .facts = less};

    (void)state;
    fixture_open(&f, a);
    assert_false(serves(a));
    fixture_approve_routes(&f, a, "10.2.0.0/16,10.3.0.0/16");
    assert_int_equal(fixture_mask(&f, a), NODE_PRIVATE | NODE_CARD);
    assert_true(change_is_durable(&f.changes.items[0]));
    assert_int_equal(fixture_node(&f, a)->n_serving, 1);
    /* The announcement goes, the approval stays. */
    fixture_done(&f, c);
    assert_false(serves(a));
    assert_int_equal(fixture_node(&f, a)->n_approved, 2);
    node_facts_unref(less);
    less = facts_of("a", "10.1.0.0/16,10.2.0.0/16", "");
    c.facts = less;
    fixture_done(&f, c);
    assert_true(serves(a));
    fixture_approve_routes(&f, a, "");
    assert_false(serves(a));
    fixture_approve_routes(&f, a, "");
    assert_int_equal(f.changes.len, 0);
    node_facts_unref(less);
}

static void exit_routes_come_in_pairs_and_are_not_elected(void **state)
{
    node_id a = fixture_join(&f, 1, alice, "a", "0.0.0.0/0,::/0");
    node_id b = fixture_join(&f, 2, alice, "b", "0.0.0.0/0,::/0");

    (void)state;
    fixture_approve_routes(&f, a, "0.0.0.0/0");
    fixture_approve_routes(&f, b, "::/0");
    assert_int_equal(fixture_node(&f, a)->n_approved, 2);
    assert_true(fixture_node(&f, a)->exit_node && fixture_node(&f, b)->exit_node);
    fixture_open(&f, a);
    assert_false(serves(a));
    fixture_approve_routes(&f, a, "10.0.0.0/8");
    assert_false(fixture_node(&f, a)->exit_node);
}

static void an_expired_or_deleted_router_hands_over(void **state)
{
    node_id a = router(1, "10.0.0.0/8"), b = router(2, "10.0.0.0/8"), c = router(3, "10.0.0.0/8");

    (void)state;
    fixture_open(&f, a);
    fixture_open(&f, b);
    fixture_open(&f, c);
    assert_true(serves(a));
    fixture_done(&f, (struct command){.type = COMMAND_NODE_EXPIRE, .id = a, .expiry_ms = f.now});
    assert_true(serves(b));
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = b});
    assert_int_equal(fixture_count(&f, CHANGE_STREAM_END), 1);
    assert_int_equal(fixture_count(&f, CHANGE_NODE_REMOVED), 1);
    assert_true(serves(c));
    fixture_done(&f, (struct command){.type = COMMAND_NODE_EXPIRE, .id = a, .expiry_ms = 0});
    assert_true(serves(c) && !serves(a));
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = c});
    assert_true(serves(a));
}

/* ---- Asked whether they are there ---- */

static void probed(node_id id, uint64_t generation, bool answers)
{
    fixture_done(&f, (struct command){.type = COMMAND_NODE_PROBED,
                                      .id = id,
                                      .generation = generation,
                                      .answers = answers});
}

/* "2 3!" : whom to ask, in the order of ids, "!" for who is silent. */
static void note_asked(void *user, const struct domain_ha_node *n)
{
    bool *seen = user;

    assert_int_equal(n->tailnet, 1);
    assert_int_equal(n->opened_ms, f.now);
    seen[n->node * 2 + n->is_silent] = true;
}

static void assert_asked(const char *wanted)
{
    bool seen[32] = {0};
    struct buf out = BUF(64);

    domain_each_ha_node(f.d, note_asked, seen);
    for (size_t i = 0; i < ARRAY_LEN(seen); i++)
        if (seen[i])
            buf_printf(&out, "%s%zu%s", out.len > 0 ? " " : "", i / 2, i % 2 ? "!" : "");
    buf_put_char(&out, '\0');
    assert_string_equal(out.ptr, wanted);
    buf_fini(&out);
}

/* headscale.md 11 #95: connected, and does not answer. */
static void who_does_not_answer_hands_over(void **state)
{
    node_id a = router(1, "10.0.0.0/8"), b = router(2, "10.0.0.0/8"), c = router(3, "10.0.0.0/8");
    uint64_t ga = fixture_open(&f, a);

    (void)state;
    assert_asked(""); /* nobody else could serve */
    uint64_t gb = fixture_open(&f, b), gc = fixture_open(&f, c);
    assert_asked("1 2 3");
    probed(a, ga, true);
    assert_int_equal(f.changes.len, 0);
    probed(a, ga, false);
    assert_true(serves(b) && !serves(a));
    assert_asked("1! 2 3");
    probed(a, ga, false);
    assert_int_equal(f.changes.len, 0);
    /* There again: it does not take its route back. */
    probed(a, ga, true);
    assert_true(serves(b) && !serves(a));
    /* Nobody answers: nothing changes. */
    probed(a, ga, false);
    probed(c, gc, false);
    probed(b, gb, false);
    assert_true(serves(b));
    /* The first to answer serves. */
    probed(c, gc, true);
    assert_true(serves(c));
    probed(b, gb, true);
    probed(a, ga, true);
    assert_true(serves(c));
    /* What is said of an older stream is no matter; a new one is good until asked. */
    probed(c, gc, false);
    assert_true(serves(a));
    uint64_t newer = fixture_open(&f, a);
    probed(a, ga, false);
    assert_true(serves(a));
    assert_asked("1 2 3!");
    gc = fixture_open(&f, c);
    assert_asked("1 2 3");
    fixture_close(&f, c, gc);
    fixture_close(&f, b, gb);
    assert_asked("");
    probed(a, newer, false);
    assert_true(serves(a)); /* the only one with a stream */
    fixture_refused(&f, (struct command){.type = COMMAND_NODE_PROBED, .id = 99}, ERR_NOT_FOUND,
                    "node not found");
}

static void a_silent_router_is_better_than_an_absent_one(void **state)
{
    node_id a = router(1, "10.0.0.0/8"), b = router(2, "10.0.0.0/8");
    uint64_t ga = fixture_open(&f, a), gb = fixture_open(&f, b);

    (void)state;
    probed(b, gb, false);
    fixture_close(&f, a, ga);
    assert_true(serves(b));
    fixture_open(&f, a);
    assert_true(serves(a)); /* one that answers is better */
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = a});
    assert_true(serves(b));
    assert_asked("");
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = b});
    assert_asked("");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_newer_stream_replaces_the_older),
        TEST(coming_back_in_the_grace_changes_nothing),
        TEST(ephemeral_nodes_go_when_they_stay_away),
        TEST(updates_tell_only_what_changed),
        TEST(a_route_fails_over_and_does_not_flap),
        TEST(approval_and_announcement_both_count),
        TEST(exit_routes_come_in_pairs_and_are_not_elected),
        TEST(an_expired_or_deleted_router_hands_over),
        TEST(who_does_not_answer_hands_over),
        TEST(a_silent_router_is_better_than_an_absent_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
