/* Registration: the order of decisions, auth keys, what a returning machine becomes. */

#include "each_fixture.h"

static void assert_failed_with(struct ask a, const char *text)
{
    assert_int_equal(fixture_register(&f, a), REGISTER_FAILED);
    assert_string_equal(f.result.text, text);
    assert_int_equal(f.changes.len, 0);
}

static void first_node_gets_the_first_addresses(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    struct ip_addr v4, v6;

    (void)state;
    node_id id = fixture_join(&f, 1, alice, "Laptop", "");
    const struct node *n = fixture_node(&f, id);
    assert_true(ip_addr_parse(STR("100.64.0.1"), &v4) &&
                ip_addr_parse(STR("fd7a:115c:a1e0::1"), &v6));
    assert_true(ip_addr_eq(n->v4, v4) && ip_addr_eq(n->v6, v6));
    assert_str(n->given_name, STR("laptop"));
    assert_str(n->fqdn, STR("laptop.example.net."));
    assert_true(n->user == alice && n->method == REGISTER_AUTH_KEY);
    assert_ptr_equal(f.result.node, n);
    assert_true(f.result.user->id == alice);
    assert_int_equal(fixture_mask(&f, id), NODE_NEW | NODE_CARD);
}

static void of_a_thousand_joins_with_a_one_off_key_one_wins(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char key[128];
    size_t won = 0;

    (void)state;
    fixture_key(&f, (struct key_options){.user = alice}, key);
    f.is_quiet = true;
    for (unsigned i = 1; i <= 1000; i++) {
        enum register_outcome o =
            fixture_register(&f, (struct ask){.machine = i, .key = i, .auth_key = key});

        won += o == REGISTER_DONE;
        if (o != REGISTER_DONE)
            assert_string_equal(f.result.text, "authkey already used");
    }
    assert_int_equal(won, 1);
    assert_int_equal(view_node_count(fixture_view(&f)), 1);
    fixture_check(&f);
}

static void auth_key_faults_are_told(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char key[128], reusable[128], tagged[128], expiring[128], wrong[128];

    (void)state;
    fixture_key(&f, (struct key_options){.user = alice}, key);
    fixture_key(&f, (struct key_options){.user = alice, .reusable = true}, reusable);
    fixture_key(&f, (struct key_options){.tags = "tag:web"}, tagged);
    fixture_key(&f, (struct key_options){.user = alice, .expiry_ms = f.now + 1000}, expiring);
    snprintf(wrong, sizeof(wrong), "%s", key);
    wrong[strlen(wrong) - 1] = wrong[strlen(wrong) - 1] == '0' ? '1' : '0';

    assert_failed_with((struct ask){.machine = 1, .key = 1, .auth_key = wrong},
                       "invalid pre auth key");
    assert_failed_with((struct ask){.machine = 1, .key = 1, .auth_key = "x"},
                       "invalid pre auth key");
    assert_failed_with((struct ask){.machine = 1, .key = 1, .auth_key = reusable, .tags = "tag:x"},
                       "requested tags [tag:x] are invalid or not permitted");
    assert_failed_with(
        (struct ask){.machine = 1, .key = 1, .auth_key = tagged, .tags = "tag:web,tag:y"},
        "requested tags [tag:web tag:y] are invalid or not permitted");
    f.now += 1000;
    assert_failed_with((struct ask){.machine = 1, .key = 1, .auth_key = expiring},
                       "authkey expired");
    /* A refused attempt spends nothing. */
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1, .auth_key = key}),
                     REGISTER_DONE);
    assert_failed_with((struct ask){.machine = 2, .key = 2, .auth_key = key},
                       "authkey already used");
}

static void a_restart_with_a_spent_key_succeeds(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char key[128];
    struct ask a = {.machine = 1, .key = 1, .auth_key = key};

    (void)state;
    auth_key_id key_id = fixture_key(&f, (struct key_options){.user = alice}, key);
    assert_int_equal(fixture_register(&f, a), REGISTER_DONE);
    node_id id = f.result.id;
    assert_int_equal(fixture_register(&f, a), REGISTER_DONE);
    assert_true(f.result.id == id && f.changes.len == 0);
    fixture_done(&f, (struct command){.type = COMMAND_AUTH_KEY_DELETE, .id = key_id});
    assert_int_equal(fixture_mask(&f, id), NODE_PRIVATE);
    assert_true(fixture_node(&f, id)->auth_key == 0);
    assert_int_equal(fixture_register(&f, a), REGISTER_DONE);
    assert_true(f.result.id == id && f.changes.len == 0);
    /* A new node key needs a valid auth key. */
    a.key = 2;
    a.old_key = 1;
    assert_failed_with(a, "invalid pre auth key");
}

/* Clients register twice in a row with one key and two node keys. */
static void whom_a_one_off_key_let_in_may_show_it_again(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char key[128];
    struct ask a = {.machine = 1, .key = 1, .auth_key = key};
    struct ask other = {.machine = 2, .key = 9, .auth_key = key};

    (void)state;
    (void)fixture_key(&f, (struct key_options){.user = alice}, key);
    assert_int_equal(fixture_register(&f, a), REGISTER_DONE);
    node_id id = f.result.id;

    assert_failed_with(other, "authkey already used");
    a.key = 2;
    a.old_key = 1;
    assert_int_equal(fixture_register(&f, a), REGISTER_DONE);
    assert_true(f.result.id == id);
    /* Put out by an administrator, it may not come back with it. */
    fixture_done(&f, (struct command){.type = COMMAND_NODE_EXPIRE, .id = id, .expiry_ms = f.now});
    a.key = 3;
    a.old_key = 2;
    assert_failed_with(a, "authkey already used");
}

static void another_machine_cannot_use_a_node_key(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    struct node_facts *facts = facts_of("evil", "", "");
    struct register_request reg = {.machine = machine_of(9), .key = key_of(1), .facts = facts};
    struct command c = {.type = COMMAND_REGISTER, .reg = &reg};

    (void)state;
    fixture_join(&f, 1, alice, "laptop", "");
    fixture_refused(&f, c, ERR_DENIED, "node key belongs to another machine");
    reg.has_expiry = true;
    reg.expiry_ms = 123000;
    fixture_refused(&f, c, ERR_DENIED, "node key belongs to another machine");
    fixture_refused(
        &f,
        (struct command){.type = COMMAND_NODE_UPDATE, .machine = machine_of(9), .key = key_of(1)},
        ERR_NOT_FOUND, "node not found");
    fixture_refused(
        &f,
        (struct command){.type = COMMAND_STREAM_OPEN, .machine = machine_of(9), .key = key_of(1)},
        ERR_NOT_FOUND, "node not found");
    fixture_refused(
        &f,
        (struct command){.type = COMMAND_STREAM_OPEN, .machine = machine_of(1), .key = key_of(5)},
        ERR_NOT_FOUND, "node not found");
    node_facts_unref(facts);
}

static void a_rotated_key_keeps_the_node(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char key[128];

    (void)state;
    node_id id = fixture_join(&f, 1, alice, "laptop", "10.0.0.0/8");
    fixture_approve_routes(&f, id, "10.0.0.0/8");
    struct ip_addr v4 = fixture_node(&f, id)->v4;
    fixture_key(&f, (struct key_options){.user = alice}, key);
    /* With the former key, and without: then by machine and user. */
    for (unsigned next = 2; next <= 3; next++) {
        struct ask a = {.machine = 1,
                        .key = next,
                        .old_key = next == 2 ? 1 : 0,
                        .auth_key = key,
                        .hostname = "laptop",
                        .routes = "10.0.0.0/8"};
        assert_int_equal(fixture_register(&f, a), REGISTER_DONE);
        assert_true(f.result.id == id);
        assert_true(fixture_mask(&f, id) & NODE_KEY);
        assert_false(fixture_mask(&f, id) & NODE_CARD);
        fixture_key(&f, (struct key_options){.user = alice}, key);
    }
    const struct node *n = fixture_node(&f, id);
    assert_true(ip_addr_eq(n->v4, v4) && n->n_approved == 1);
    assert_str(n->given_name, STR("laptop"));
    assert_null(domain_node_by_key(f.d, &(struct node_key){.b = {0x22, 0, 0, 0, 1}}));
    assert_int_equal(view_node_count(fixture_view(&f)), 1);
}

static void another_users_key_makes_a_second_node(void **state)
{
    user_id alice = fixture_user(&f, "alice"), bob = fixture_user(&f, "bob");
    char key[128];

    (void)state;
    node_id id = fixture_join(&f, 1, alice, "laptop", "");
    fixture_key(&f, (struct key_options){.user = bob}, key);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1,
                                                       .key = 2,
                                                       .old_key = 1,
                                                       .auth_key = key,
                                                       .hostname = "laptop"}),
                     REGISTER_DONE);
    assert_true(f.result.id != id);
    assert_str(f.result.node->given_name, STR("laptop-1"));
    assert_true(fixture_node(&f, id)->user == alice);
    /* And back. */
    fixture_key(&f, (struct key_options){.user = alice}, key);
    fixture_register(&f, (struct ask){.machine = 1, .key = 3, .old_key = 2, .auth_key = key});
    assert_true(f.result.id == id);
}

static void the_key_of_an_expired_node_can_move_to_another_user(void **state)
{
    user_id alice = fixture_user(&f, "alice"), bob = fixture_user(&f, "bob");
    char key[128];

    (void)state;
    node_id id = fixture_join(&f, 1, alice, "laptop", "");
    fixture_done(&f, (struct command){.type = COMMAND_NODE_EXPIRE, .id = id, .expiry_ms = f.now});
    fixture_key(&f, (struct key_options){.user = bob}, key);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1, .auth_key = key}),
                     REGISTER_DONE);
    struct node_key k = key_of(1);
    assert_true(domain_node_by_key(f.d, &k)->user == bob);
    assert_true(fixture_node(&f, id)->user == alice && fixture_node(&f, id)->expired);
}

static void tags_convert_as_in_headscale(void **state)
{
    user_id alice = fixture_user(&f, "alice"), bob = fixture_user(&f, "bob");
    char tagged[128], plain[128], bobs[128];

    (void)state;
    node_id id = fixture_join(&f, 1, alice, "laptop", "");
    fixture_key(&f, (struct key_options){.user = bob, .tags = "tag:b", .reusable = true}, bobs);
    fixture_key(&f, (struct key_options){.user = alice, .tags = "tag:web,tag:a", .reusable = true},
                tagged);
    fixture_key(&f, (struct key_options){.user = alice, .reusable = true}, plain);

    /* Another user's tagged key leaves alice's node alone. */
    fixture_register(&f, (struct ask){.machine = 1, .key = 2, .auth_key = bobs});
    node_id second = f.result.id;
    assert_true(second != id && f.result.user == NULL);
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = second});

    /* Her own converts it. */
    fixture_register(&f, (struct ask){.machine = 1, .key = 3, .auth_key = tagged});
    assert_true(f.result.id == id);
    const struct node *n = fixture_node(&f, id);
    assert_int_equal(n->tags.len, 2);
    assert_str(n->tags.items[0], STR("tag:a"));
    assert_true(n->user == 0 && n->expiry_ms == 0);

    /* What an administrator tags outlives another log-in with the same key… */
    struct str_list admin = list_of("tag:admin");
    fixture_done(&f, (struct command){.type = COMMAND_NODE_TAG, .id = id, .tags = admin});
    str_list_free(&admin);
    fixture_register(&f, (struct ask){.machine = 1, .key = 4, .auth_key = tagged});
    assert_true(f.result.id == id && fixture_node(&f, id)->tags.len == 1);
    /* …and with a user's. */
    fixture_register(&f, (struct ask){.machine = 1, .key = 5, .auth_key = plain});
    assert_true(f.result.id == id && node_is_tagged(fixture_node(&f, id)));
}

static void expiry_is_the_tailnets_or_sooner(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&f)));
    char key[128], tagged[128];

    (void)state;
    info->node_expiry_ms = HOUR_MS;
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = info});
    tailnet_info_unref(info);
    fixture_key(&f, (struct key_options){.user = alice, .reusable = true}, key);
    fixture_key(&f, (struct key_options){.tags = "tag:a"}, tagged);
    fixture_register(&f, (struct ask){.machine = 1, .key = 1, .auth_key = key});
    assert_true(f.result.node->expiry_ms == f.now + HOUR_MS);
    fixture_register(
        &f,
        (struct ask){.machine = 2, .key = 2, .auth_key = key, .expiry_ms = f.now + 2 * HOUR_MS});
    assert_true(f.result.node->expiry_ms == f.now + HOUR_MS);
    fixture_register(
        &f, (struct ask){.machine = 3, .key = 3, .auth_key = key, .expiry_ms = f.now + 1000});
    assert_true(f.result.node->expiry_ms == f.now + 1000);
    node_id id = f.result.id;
    fixture_register(&f, (struct ask){.machine = 4, .key = 4, .auth_key = tagged});
    assert_true(f.result.node->expiry_ms == 0);
    assert_true(domain_next_tick_ms(f.d) == f.now + 1000);

    /* Sooner is fine, later is not. */
    assert_int_equal(
        fixture_register(&f, (struct ask){.machine = 3, .key = 3, .expiry_ms = f.now + 500}),
        REGISTER_DONE);
    assert_int_equal(fixture_mask(&f, id), NODE_EXPIRY);
    assert_failed_with((struct ask){.machine = 3, .key = 3, .expiry_ms = f.now + 501},
                       "extending key is not allowed");

    fixture_tick(&f, 500);
    assert_int_equal(fixture_mask(&f, id), NODE_EXPIRY);
    assert_true(fixture_node(&f, id)->expired);
    /* Expired: what it knows is not enough any more, a log-in brings it back. */
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 3, .key = 3}), REGISTER_PENDING);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 3, .key = 7, .auth_key = key}),
                     REGISTER_DONE);
    assert_true(f.result.id == id && !f.result.node->expired);
}

static void logout_expires_and_removes_the_ephemeral(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char key[128], ephemeral[128];

    (void)state;
    node_id id = fixture_join(&f, 1, alice, "laptop", "");
    fixture_key(&f, (struct key_options){.user = alice, .reusable = true}, key);
    assert_int_equal(
        fixture_register(
            &f, (struct ask){.machine = 1, .key = 1, .auth_key = key, .expiry_ms = 123000}),
        REGISTER_LOGGED_OUT);
    assert_true(fixture_node(&f, id)->expired && fixture_node(&f, id)->expiry_ms == f.now);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1, .expiry_ms = 123}),
                     REGISTER_LOGGED_OUT);
    assert_int_equal(f.changes.len, 0);
    fixture_register(&f, (struct ask){.machine = 1, .key = 2, .auth_key = key});
    assert_true(f.result.id == id && !f.result.node->expired);

    fixture_key(&f, (struct key_options){.user = alice, .ephemeral = true}, ephemeral);
    fixture_register(&f, (struct ask){.machine = 2, .key = 9, .auth_key = ephemeral});
    assert_true(f.result.node->ephemeral);
    fixture_open(&f, f.result.id);
    fixture_register(&f, (struct ask){.machine = 2, .key = 9, .expiry_ms = 123000});
    assert_int_equal(f.result.outcome, REGISTER_LOGGED_OUT);
    assert_int_equal(fixture_count(&f, CHANGE_NODE_REMOVED), 1);
    assert_int_equal(fixture_count(&f, CHANGE_STREAM_END), 1);
    /* An unknown key that logs out is told yes. */
    assert_int_equal(
        fixture_register(&f, (struct ask){.machine = 8, .key = 80, .expiry_ms = 123000}),
        REGISTER_LOGGED_OUT);
}

static void legacy_keys_match_whole(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    struct auth_key *k = auth_key_new();

    (void)state;
    k->id = 77;
    k->tailnet = 1;
    k->user = alice;
    k->legacy = str_copy(STR("0123456789abcdef0123456789abcdef0123456789abcdef"));
    assert_int_equal(domain_load_auth_key(f.d, k, &f.err), 0);
    assert_failed_with((struct ask){.machine = 1, .key = 1, .auth_key = "0123456789abcdef"},
                       "invalid pre auth key");
    assert_int_equal(
        fixture_register(
            &f, (struct ask){.machine = 1,
                             .key = 1,
                             .auth_key = "0123456789abcdef0123456789abcdef0123456789abcdef"}),
        REGISTER_DONE);
}

static void a_key_leads_to_its_own_tailnet(void **state)
{
    struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&f)));

    (void)state;
    str_free(&info->base_domain);
    str_free(&info->name);
    info->name = str_copy(STR("team"));
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info});
    tailnet_info_unref(info);
    tailnet_id team = f.result.id;
    assert_str(view_info(f.result.view)->base_domain, STR("team.example.net"));

    struct str_list tags = list_of("tag:web");
    fixture_done(&f,
                 (struct command){.type = COMMAND_AUTH_KEY_CREATE, .tailnet = team, .tags = tags});
    str_list_free(&tags);
    char key[128];
    snprintf(key, sizeof(key), "%.*s", STR_ARG(f.result.secret));
    fixture_register(&f, (struct ask){.machine = 1, .key = 1, .auth_key = key});
    assert_int_equal(f.result.outcome, REGISTER_DONE);
    assert_true(f.result.node->tailnet == team);
    assert_true(view_info(f.result.view)->id == team);
    /* Whoever asks about a key, as relays do, need not know whose tailnet it is. */
    const struct node_key its_key = key_of(1);
    assert_ptr_equal(domain_node_by_key(f.d, &its_key), f.result.node);
    assert_str(f.result.node->fqdn, STR("host.team.example.net."));
    assert_int_equal(view_node_count(fixture_view(&f)), 0);
    fixture_refused(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = f.result.id},
                    ERR_NOT_FOUND, "node not found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(first_node_gets_the_first_addresses),
        FIXTURE_TEST(of_a_thousand_joins_with_a_one_off_key_one_wins),
        FIXTURE_TEST(auth_key_faults_are_told),
        FIXTURE_TEST(a_restart_with_a_spent_key_succeeds),
        FIXTURE_TEST(whom_a_one_off_key_let_in_may_show_it_again),
        FIXTURE_TEST(another_machine_cannot_use_a_node_key),
        FIXTURE_TEST(a_rotated_key_keeps_the_node),
        FIXTURE_TEST(another_users_key_makes_a_second_node),
        FIXTURE_TEST(the_key_of_an_expired_node_can_move_to_another_user),
        FIXTURE_TEST(tags_convert_as_in_headscale),
        FIXTURE_TEST(expiry_is_the_tailnets_or_sooner),
        FIXTURE_TEST(logout_expires_and_removes_the_ephemeral),
        FIXTURE_TEST(legacy_keys_match_whole),
        FIXTURE_TEST(a_key_leads_to_its_own_tailnet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
