/* Start-up: a domain put back from a view is the same one; what cannot be true is refused. */

#include "each_fixture.h"

/* What a store does: the objects of the view into an empty domain. */
static struct domain *reload(struct fixture *from)
{
    const struct tailnet_view *v = fixture_view(from);
    const struct domain_counters next = domain_counters(from->d);
    struct domain *d = domain_new();
    struct err err = {0};
    size_t n_users = 0, n_keys = 0;
    const struct user *const *users = view_users(v, &n_users);
    const struct auth_key *const *keys = view_auth_keys(v, &n_keys);
    const struct node *n;

    assert_int_equal(
        domain_load_tailnet(d, tailnet_info_clone(view_info(v)), view_revision(v), &err), 0);
    for (size_t i = 0; i < n_users; i++)
        assert_int_equal(domain_load_user(d, user_clone(users[i]), &err), 0);
    for (size_t i = 0; i < n_keys; i++)
        assert_int_equal(domain_load_auth_key(d, auth_key_clone(keys[i]), &err), 0);
    for (size_t at = 0; (n = view_node_next(v, &at));)
        assert_int_equal(domain_load_node(d, node_clone(n), &err), 0);
    domain_load_counters(d, &next);
    domain_load_done(d, from->now);
    return d;
}

static void restart(void)
{
    struct domain *d = reload(&f);

    domain_free(f.d);
    f.d = d;
    fixture_check(&f);
}

static void a_restart_keeps_what_matters(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char one_off[128], spent[128];

    (void)state;
    fixture_key(&f, (struct key_options){.user = alice}, one_off);
    fixture_key(&f, (struct key_options){.user = alice}, spent);
    node_id a = fixture_join(&f, 1, alice, "web", "10.0.0.0/8,0.0.0.0/0,::/0");
    fixture_approve_routes(&f, a, "10.0.0.0/8,0.0.0.0/0");
    uint64_t old = fixture_open(&f, a);
    fixture_register(&f, (struct ask){.machine = 2, .key = 2, .auth_key = spent});
    node_id b = f.result.id;
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = b});
    uint64_t revision = view_revision(fixture_view(&f));
    assert_int_equal(fixture_node(&f, a)->n_serving, 1);

    restart();
    assert_true(view_revision(fixture_view(&f)) >= revision);
    const struct node *n = fixture_node(&f, a);
    assert_false(n->online);
    assert_int_equal(n->n_serving, 0);
    assert_true(n->exit_node);
    /* A stream of before the restart ends late. */
    fixture_close(&f, a, old);
    uint64_t g = fixture_open(&f, a);
    assert_true(g != old);
    assert_int_equal(fixture_node(&f, a)->n_serving, 1);
    fixture_close(&f, a, old);
    assert_true(domain_next_tick_ms(f.d) == INT64_MAX);

    assert_int_equal(fixture_register(&f, (struct ask){.machine = 3, .key = 3, .auth_key = spent}),
                     REGISTER_FAILED);
    assert_int_equal(
        fixture_register(
            &f, (struct ask){.machine = 3, .key = 3, .auth_key = one_off, .hostname = "web"}),
        REGISTER_DONE);
    /* Ids are never used again, and addresses go on behind the last one there is. */
    assert_true(f.result.id > b);
    assert_str(f.result.node->given_name, STR("web-1"));
    fixture_refused(&f, (struct command){.type = COMMAND_USER_CREATE, .name = STR("alice")},
                    ERR_CONFLICT, "user already exists");
}

static void what_passed_meanwhile_has_happened(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char key[128];

    (void)state;
    node_id a = fixture_join(&f, 1, alice, "web", "");
    fixture_done(
        &f, (struct command){.type = COMMAND_NODE_EXPIRE, .id = a, .expiry_ms = f.now + HOUR_MS});
    fixture_key(&f, (struct key_options){.user = alice, .ephemeral = true}, key);
    fixture_register(&f, (struct ask){.machine = 2, .key = 2, .auth_key = key});
    node_id e = f.result.id;
    f.now += 2 * HOUR_MS;
    restart();
    assert_true(fixture_node(&f, a)->expired);
    assert_non_null(domain_node_by_id(f.d, e));
    assert_true(domain_next_tick_ms(f.d) == f.now + 30 * MINUTE_MS);
    fixture_tick(&f, 30 * MINUTE_MS);
    assert_null(domain_node_by_id(f.d, e));
}

static void what_cannot_be_is_refused(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    node_id a = fixture_join(&f, 1, alice, "web", "");
    const struct node *good = fixture_node(&f, a);
    struct str_list tags = list_of("tag:a");

    (void)state;
    for (int fault = 0; fault < 9; fault++) {
        struct node *n = node_clone(good);

        n->id = fault == 0 ? a : 50;
        n->key = fault == 1 ? good->key : key_of(50);
        if (fault != 2)
            n->v4 = IP_ADDR_V4(100, 64, 0, 50);
        if (fault != 3)
            n->v6.bytes[15] = 50;
        if (fault != 4) {
            str_free(&n->given_name);
            n->given_name = str_copy(fault == 5 ? STR("no label") : STR("other"));
        }
        if (fault == 6)
            n->user = 99;
        if (fault == 7)
            n->tailnet = 9;
        if (fault == 8)
            str_list_copy(&n->tags, &tags);
        struct err err = {0};
        print_message("fault %d\n", fault);
        assert_true(domain_load_node(f.d, n, &err) < 0);
        print_message("  %s\n", err.text);
    }
    str_list_free(&tags);
    fixture_check(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_restart_keeps_what_matters),
        FIXTURE_TEST(what_passed_meanwhile_has_happened),
        FIXTURE_TEST(what_cannot_be_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
