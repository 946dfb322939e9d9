/* Machines that are held: by their user, or because nobody approved them. */

#include "each_fixture.h"

static user_id alice, bob;

static int set_up(void **state)
{
    (void)set_up_fixture(state);
    alice = fixture_user(&f, "alice");
    bob = fixture_user(&f, "bob");
    return 0;
}

static void set_approval(bool on)
{
    struct tailnet_settings s = {.set = SETTING_DEVICE_APPROVAL, .device_approval = on};

    fixture_done(&f, (struct command){.type = COMMAND_SETTINGS_SET, .settings = &s});
}

static void change(enum command_type type, uint64_t id)
{
    fixture_done(&f, (struct command){.type = type, .id = id});
}

static unsigned holds(node_id id)
{
    return fixture_node(&f, id)->holds;
}

/* ---- By the user ---- */

static void machines_follow_their_user_at_once(void **state)
{
    node_id a = fixture_join(&f, 1, alice, "a", ""), b = fixture_join(&f, 2, alice, "b", "");
    node_id of_bob = fixture_join(&f, 3, bob, "c", "");
    struct str_list tags = list_of("tag:web");

    (void)state;
    change(COMMAND_USER_SUSPEND, alice);
    assert_int_equal(fixture_mask(&f, a), NODE_ACCESS);
    assert_int_equal(fixture_mask(&f, b), NODE_ACCESS);
    assert_int_equal(fixture_count(&f, CHANGE_NODE), 2);
    assert_true(holds(a) == HOLD_USER && !node_has_access(fixture_node(&f, b)));
    assert_int_equal(holds(of_bob), 0);
    /* It stays a node: its stream opens, and what it says is heard. */
    fixture_open(&f, a);
    assert_true(fixture_node(&f, a)->online);

    fixture_done(&f, (struct command){.type = COMMAND_NODE_MOVE, .id = a, .user = bob});
    assert_int_equal(fixture_mask(&f, a), NODE_CARD | NODE_ACCESS);
    assert_int_equal(holds(a), 0);
    fixture_done(&f, (struct command){.type = COMMAND_NODE_MOVE, .id = of_bob, .user = alice});
    assert_int_equal(holds(of_bob), HOLD_USER);
    fixture_done(&f, (struct command){.type = COMMAND_NODE_TAG, .id = b, .tags = tags});
    assert_int_equal(holds(b), 0);
    str_list_free(&tags);

    change(COMMAND_USER_RESTORE, alice);
    assert_int_equal(fixture_mask(&f, of_bob), NODE_ACCESS);
    assert_int_equal(holds(of_bob), 0);
}

static void routes_go_to_somebody_else(void **state)
{
    node_id a = fixture_join(&f, 1, alice, "a", "10.0.0.0/24");
    node_id b = fixture_join(&f, 2, bob, "b", "10.0.0.0/24");

    (void)state;
    fixture_approve_routes(&f, a, "10.0.0.0/24");
    fixture_approve_routes(&f, b, "10.0.0.0/24");
    fixture_open(&f, a);
    fixture_open(&f, b);
    assert_int_equal(fixture_node(&f, a)->n_serving, 1);
    change(COMMAND_USER_SUSPEND, alice);
    assert_int_equal(fixture_node(&f, a)->n_serving, 0);
    assert_int_equal(fixture_node(&f, b)->n_serving, 1);
    change(COMMAND_USER_SUSPEND, bob);
    assert_int_equal(fixture_node(&f, b)->n_serving, 0);
    change(COMMAND_USER_RESTORE, alice);
    assert_int_equal(fixture_node(&f, a)->n_serving, 1);
}

static void keys_of_who_is_not_active_open_nothing(void **state)
{
    struct str scope = STR("all");
    char key[128];

    (void)state;
    fixture_key(&f, (struct key_options){.user = alice, .reusable = true}, key);
    fixture_done(&f, (struct command){.type = COMMAND_API_KEY_CREATE, .tailnet = 1, .user = alice});
    api_key_id plain = f.result.id;
    struct command session = {.type = COMMAND_SESSION_CREATE,
                              .user = alice,
                              .scopes = {&scope, 1},
                              .expiry_ms = f.now + HOUR_MS};
    fixture_done(&f, session);
    api_key_id web = f.result.id;

    change(COMMAND_USER_SUSPEND, alice);
    assert_int_equal(fixture_count(&f, CHANGE_API_KEY), 1);
    assert_int_equal(fixture_count(&f, CHANGE_API_KEY_REMOVED), 1);
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(f.d);
    assert_true(api_key_set_find(keys, plain)->is_asleep);
    assert_null(api_key_set_find(keys, web));
    fixture_refused(&f, session, ERR_DENIED,
                    "the user is suspended: ask one of the tailnet's administrators");
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1, .auth_key = key}),
                     REGISTER_FAILED);
    assert_string_equal(f.result.text, "the owner of this auth key is suspended, or waits for "
                                       "approval: ask one of the tailnet's administrators");

    change(COMMAND_USER_RESTORE, alice);
    AUTO(api_key_set_unref) const struct api_key_set *again = domain_api_keys(f.d);
    assert_false(api_key_set_find(again, plain)->is_asleep);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1, .auth_key = key}),
                     REGISTER_DONE);
    fixture_done(&f, session);
}

static void who_waits_brings_machines_that_wait(void **state)
{
    struct tailnet_settings s = {.set = SETTING_USER_APPROVAL, .user_approval = true};
    struct command approve = {.type = COMMAND_REGISTER_APPROVE, .is_oidc = true};
    char id[64];

    (void)state;
    fixture_done(&f, (struct command){.type = COMMAND_SETTINGS_SET, .settings = &s});
    fixture_done(&f, (struct command){.type = COMMAND_USER_LOGIN,
                                      .provider = STR("oidc"),
                                      .provider_id = STR("idp/1")});
    approve.user = f.result.id;
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1}), REGISTER_PENDING);
    memcpy(id, f.result.auth_id, sizeof(id));
    approve.name = str_from(id);
    fixture_done(&f, approve);
    node_id node = f.result.node->id;
    assert_int_equal(holds(node), HOLD_USER);
    /* The machine asks again and is in, and held. */
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1}), REGISTER_DONE);
    assert_int_equal(f.result.node->holds, HOLD_USER);
    change(COMMAND_USER_APPROVE, approve.user);
    assert_int_equal(holds(node), 0);

    change(COMMAND_USER_SUSPEND, approve.user);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 2, .key = 2}), REGISTER_PENDING);
    memcpy(id, f.result.auth_id, sizeof(id));
    fixture_refused(&f, approve, ERR_DENIED,
                    "the user is suspended: ask one of the tailnet's administrators");
}

/* ---- By nobody's approval ---- */

static void new_machines_wait_where_that_is_asked(void **state)
{
    node_id old = fixture_join(&f, 1, alice, "old", "");
    char key[128];

    (void)state;
    set_approval(true);
    assert_int_equal(holds(old), 0);
    node_id fresh = fixture_join(&f, 2, alice, "new", "");
    assert_int_equal(holds(fresh), HOLD_DEVICE);
    assert_int_equal(fixture_mask(&f, fresh), NODE_NEW | NODE_CARD);
    fixture_key(&f, (struct key_options){.user = alice, .preauthorized = true}, key);
    assert_true(f.result.auth_key->preauthorized);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 3, .key = 3, .auth_key = key}),
                     REGISTER_DONE);
    assert_int_equal(f.result.node->holds, 0);
    fixture_key(&f, (struct key_options){.tags = "tag:web"}, key);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 4, .key = 4, .auth_key = key}),
                     REGISTER_DONE);
    assert_int_equal(f.result.node->holds, HOLD_DEVICE);
    node_id web = f.result.node->id;
    fixture_key(&f, (struct key_options){.tags = "tag:web", .preauthorized = true}, key);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 5, .key = 5, .auth_key = key}),
                     REGISTER_DONE);
    assert_int_equal(f.result.node->holds, 0);

    /* A machine that comes back is no new one; with a key that needs no approval it has it. */
    fixture_key(&f, (struct key_options){.user = alice}, key);
    assert_int_equal(
        fixture_register(&f, (struct ask){.machine = 1, .key = 11, .old_key = 1, .auth_key = key}),
        REGISTER_DONE);
    assert_true(f.result.node->id == old && f.result.node->holds == 0);
    fixture_key(&f, (struct key_options){.user = alice, .preauthorized = true}, key);
    assert_int_equal(
        fixture_register(&f, (struct ask){.machine = 2, .key = 12, .old_key = 2, .auth_key = key}),
        REGISTER_DONE);
    assert_true(f.result.node->id == fresh && f.result.node->holds == 0);

    /* Both reasons, each on its own. */
    change(COMMAND_NODE_APPROVE, web);
    assert_int_equal(holds(web), 0);
    node_id both = fixture_join(&f, 6, bob, "both", "");
    change(COMMAND_USER_SUSPEND, bob);
    assert_int_equal(holds(both), HOLD_DEVICE | HOLD_USER);
    change(COMMAND_NODE_APPROVE, both);
    assert_int_equal(holds(both), HOLD_USER);
    change(COMMAND_USER_RESTORE, bob);
    assert_int_equal(holds(both), 0);
}

static void approval_is_taken_back_and_turned_off(void **state)
{
    node_id a = fixture_join(&f, 1, alice, "a", "");
    struct command revoke = {.type = COMMAND_NODE_APPROVE, .id = a, .revokes = true};

    (void)state;
    fixture_refused(&f, revoke, ERR_CONFLICT,
                    "machines need no approval in this tailnet: turn device approval on first");
    set_approval(true);
    fixture_done(&f, revoke);
    assert_int_equal(fixture_mask(&f, a), NODE_ACCESS);
    assert_int_equal(holds(a), HOLD_DEVICE);
    fixture_done(&f, revoke);
    assert_int_equal(f.changes.len, 0);
    change(COMMAND_NODE_APPROVE, a);
    assert_int_equal(holds(a), 0);
    fixture_done(&f, revoke);
    node_id b = fixture_join(&f, 2, bob, "b", "");
    change(COMMAND_USER_SUSPEND, bob);
    /* Turned off nobody waits for it, whichever way that is said. */
    set_approval(false);
    assert_true(holds(a) == 0 && holds(b) == HOLD_USER);
    assert_int_equal(fixture_mask(&f, a), NODE_ACCESS);
    set_approval(true);
    assert_int_equal(holds(a), 0);
    fixture_done(&f, revoke);
    fixture_done(&f,
                 (struct command){.type = COMMAND_TAILNET_SET, .unset = SETTING_DEVICE_APPROVAL});
    assert_int_equal(holds(a), 0);
}

/* ---- Elsewhere ---- */

static node_id join_in(tailnet_id t, unsigned machine, user_id user)
{
    struct node_facts *facts = facts_of("host", "", "");

    fixture_done(&f, (struct command){.type = COMMAND_AUTH_KEY_CREATE, .tailnet = t, .user = user});
    struct str key = str_copy(f.result.secret);
    struct register_request reg = {
        .machine = machine_of(machine), .key = key_of(machine), .auth_key = key, .facts = facts};
    fixture_done(&f, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    str_free(&key);
    node_facts_unref(facts);
    return f.result.id;
}

static size_t guests_of(tailnet_id t)
{
    AUTO(view_unref) const struct tailnet_view *v = domain_view(f.d, t);

    return view_guest_count(v);
}

static void held_machines_are_no_guests_and_lend_nothing(void **state)
{
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("other")});
    tailnet_id other = f.result.id;
    fixture_done(
        &f, (struct command){.type = COMMAND_USER_CREATE, .tailnet = other, .name = STR("carol")});
    user_id carol = f.result.id;
    node_id phone = join_in(other, 9, carol), web = fixture_join(&f, 1, alice, "web", "");
    const struct share share = {.node = web, .guest = other};
    struct abroad *items = abroad_new();

    (void)state;
    fixture_done(
        &f, (struct command){
                .type = COMMAND_SHARE_CREATE, .tailnet = 1, .share = &share, .is_accepted = true});
    items->items = mem_alloc_array(1, sizeof(*items->items));
    items->items[0].node = web;
    items->n_items = 1;
    struct command use = {.type = COMMAND_NODE_ABROAD, .id = phone, .abroad = items};
    fixture_done(&f, use);
    assert_true(fixture_node(&f, web)->abroad->is_lent);
    assert_true(guests_of(1) == 1 && guests_of(other) == 1);

    change(COMMAND_USER_SUSPEND, alice);
    assert_true(guests_of(other) == 0 && guests_of(1) == 1);
    assert_int_equal(fixture_count(&f, CHANGE_GUEST_REMOVED), 1);
    assert_null(fixture_node(&f, phone)->abroad);
    fixture_done(&f, use);
    assert_null(fixture_node(&f, phone)->abroad);
    change(COMMAND_USER_RESTORE, alice);
    assert_int_equal(guests_of(other), 1);
    fixture_done(&f, use);
    assert_true(abroad_find(fixture_node(&f, phone)->abroad, web));

    fixture_done(&f, (struct command){.type = COMMAND_USER_SUSPEND, .tailnet = other, .id = carol});
    assert_int_equal(guests_of(1), 0);
    assert_null(fixture_node(&f, web)->abroad);
    fixture_done(&f, (struct command){.type = COMMAND_USER_RESTORE, .tailnet = other, .id = carol});
    assert_int_equal(guests_of(1), 1);
    abroad_unref(items);
}

/* What is put back at a start: the owner decides, and approval counts where it is asked. */
static void starts_with_what_holds(void **state)
{
    static const struct {
        bool asked;
        enum user_status status;
        unsigned stored, want;
    } cases[] = {{false, USER_ACTIVE, HOLD_DEVICE, 0},
                 {true, USER_ACTIVE, HOLD_DEVICE, HOLD_DEVICE},
                 {true, USER_PENDING, 0, HOLD_USER},
                 {true, USER_ACTIVE, HOLD_USER, 0},
                 {false, USER_SUSPENDED, HOLD_DEVICE, HOLD_USER}};
    node_id id = fixture_join(&f, 1, alice, "a", "");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct domain *fresh = domain_new();
        struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&f)));
        struct user *u = user_clone(view_user_find(fixture_view(&f), alice));
        struct node *n = node_clone(fixture_node(&f, id));
        struct tailnet_settings s = {.set = SETTING_DEVICE_APPROVAL,
                                     .device_approval = cases[i].asked};
        struct err err = {0};

        tailnet_info_settle_settings(info, &s);
        u->status = cases[i].status;
        n->holds = cases[i].stored;
        n->auth_key = 0;
        assert_int_equal(domain_load_tailnet(fresh, info, 7, &err), 0);
        assert_int_equal(domain_load_user(fresh, u, &err), 0);
        assert_int_equal(domain_load_node(fresh, n, &err), 0);
        domain_load_done(fresh, f.now);
        assert_int_equal(domain_node_by_id(fresh, id)->holds, cases[i].want);
        domain_free(fresh);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(machines_follow_their_user_at_once),
        TEST(routes_go_to_somebody_else),
        TEST(keys_of_who_is_not_active_open_nothing),
        TEST(who_waits_brings_machines_that_wait),
        TEST(new_machines_wait_where_that_is_asked),
        TEST(approval_is_taken_back_and_turned_off),
        TEST(held_machines_are_no_guests_and_lend_nothing),
        TEST(starts_with_what_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
