/* The policy as a part of the tailnet, and what it says of tags and routes at each turn. */

#include "each_fixture.h"

/* What the policy under test approves by itself, and what it was asked. */
static const char *approves;
static user_id approves_owner; /* 0: of tagged nodes */
static size_t n_asked;

static bool route_is_approved(void *user, tailnet_id tailnet, const struct node *node,
                              const struct user *owner, struct ip_prefix route)
{
    assert_ptr_equal(user, &f);
    assert_true(tailnet == 1);
    assert_int_equal(owner ? owner->id : 0, node->user);
    assert_true((owner == NULL) == (node->tags.len > 0));
    n_asked++;
    return approves && node->user == approves_owner &&
           ip_prefix_covers(prefix_of(approves), route) && !ip_prefix_is_exit(route);
}

static int set_up(void **state)
{
    const struct domain_policy_hooks hooks = {.route_is_approved = route_is_approved, .user = &f};

    (void)set_up_fixture(state);
    domain_set_policy_hooks(f.d, &hooks);
    approves = NULL;
    approves_owner = 0;
    n_asked = 0;
    return 0;
}

static void set_policy(const char *text)
{
    fixture_done(&f, (struct command){.type = COMMAND_POLICY_SET,
                                      .author = STR("socket"),
                                      .text = str_from(text)});
}

static void assert_approved(node_id id, const char *routes)
{
    struct str_list list = list_of(routes);
    const struct node *n = fixture_node(&f, id);

    assert_int_equal(n->n_approved, list.len);
    for (size_t i = 0; i < list.len; i++) {
        struct buf text = BUF(64);

        ip_prefix_put(&text, n->approved[i]);
        assert_str(buf_str(&text), list.items[i]);
        buf_fini(&text);
    }
    str_list_free(&list);
}

static void a_policy_belongs_to_the_tailnet(void **state)
{
    const struct tailnet_info *info;
    char *large = mem_alloc(TAILNET_POLICY_MAX + 1);

    (void)state;
    set_policy("// mine\n{}");
    assert_int_equal(f.changes.len, 1);
    assert_int_equal(f.changes.items[0].kind, CHANGE_INFO);
    assert_true(change_is_durable(&f.changes.items[0]));
    info = view_info(fixture_view(&f));
    int64_t first = info->policy_updated_ms;
    assert_str(info->policy, STR("// mine\n{}"));
    assert_str(info->policy_author, STR("socket"));
    assert_true(first == f.now);

    /* The same again is no change; another within the millisecond is a later one. */
    set_policy("// mine\n{}");
    assert_int_equal(f.changes.len, 0);
    set_policy("{}");
    info = view_info(fixture_view(&f));
    assert_true(info->policy_updated_ms > first);

    /* Settings come and go beside it; another tailnet has its own. */
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE});
    assert_str(view_info(fixture_view(&f))->policy, STR("{}"));
    struct tailnet_info *settings = tailnet_info_clone(view_info(fixture_view(&f)));
    str_free(&settings->name);
    str_free(&settings->base_domain);
    fixture_done(&f, (struct command){
                         .type = COMMAND_TAILNET_CREATE, .name = STR("other"), .info = settings});
    tailnet_info_unref(settings);
    assert_int_equal(view_info(f.result.view)->policy.len, 0);
    assert_int_equal(view_info(f.result.view)->policy_updated_ms, 0);

    fixture_refused(&f,
                    (struct command){.type = COMMAND_POLICY_SET,
                                     .text = str_bytes(large, TAILNET_POLICY_MAX + 1)},
                    ERR_LIMIT, "a policy has at most 4194304 bytes");
    fixture_refused(&f, (struct command){.type = COMMAND_POLICY_SET, .tailnet = 99}, ERR_NOT_FOUND,
                    "tailnet not found");
    mem_free(large);
    set_policy("");
    assert_int_equal(view_info(fixture_view(&f))->policy.len, 0);
    assert_true(view_info(fixture_view(&f))->policy_updated_ms > first);
}

static void routes_are_approved_as_they_are_announced(void **state)
{
    user_id alice = fixture_user(&f, "alice");

    (void)state;
    approves = "10.0.0.0/8";
    approves_owner = alice;
    node_id id = fixture_join(&f, 1, alice, "a", "10.1.0.0/16,192.168.0.0/24,0.0.0.0/0,::/0");
    assert_approved(id, "10.1.0.0/16");
    fixture_open(&f, id);
    assert_int_equal(fixture_node(&f, id)->n_serving, 1);

    /* Another announcement: what is new is approved, what was stays. */
    const struct node *n = fixture_node(&f, id);
    struct node_facts *facts = facts_of("a", "10.2.0.0/16", "");
    struct command update = {
        .type = COMMAND_NODE_UPDATE, .machine = n->machine, .key = n->key, .facts = facts};
    fixture_done(&f, update);
    assert_approved(id, "10.1.0.0/16,10.2.0.0/16");
    assert_int_equal(fixture_node(&f, id)->n_serving, 1);
    assert_true(ip_prefix_eq(fixture_node(&f, id)->serving[0], prefix_of("10.2.0.0/16")));
    assert_int_equal(fixture_mask(&f, id) & NODE_CARD, NODE_CARD);

    /* The same announcement asks nothing. */
    n_asked = 0;
    fixture_done(&f, update);
    node_facts_unref(facts);
    assert_int_equal(n_asked, 0);

    /* What an administrator took back stays so until it is announced anew. */
    fixture_approve_routes(&f, id, "");
    assert_approved(id, "");
}

static void a_new_policy_approves_what_was_announced_before(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    node_id id = fixture_join(&f, 1, alice, "a", "10.1.0.0/16,172.16.0.0/12");

    (void)state;
    assert_approved(id, "");
    fixture_approve_routes(&f, id, "172.16.0.0/12");
    approves = "10.0.0.0/8";
    approves_owner = alice;
    set_policy("{}");
    assert_approved(id, "10.1.0.0/16,172.16.0.0/12");

    /* A policy that approves nothing takes nothing back. */
    approves = NULL;
    set_policy("{ }");
    assert_approved(id, "10.1.0.0/16,172.16.0.0/12");
}

static void another_owner_is_another_question(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    node_id id = fixture_join(&f, 1, alice, "a", "10.1.0.0/16");
    struct str_list tags = list_of("tag:router");

    (void)state;
    approves = "10.0.0.0/8";
    fixture_done(&f, (struct command){.type = COMMAND_NODE_TAG, .id = id, .tags = tags});
    str_list_free(&tags);
    assert_approved(id, "10.1.0.0/16");

    node_id second = fixture_join(&f, 2, alice, "b", "10.2.0.0/16");
    approves_owner = alice;
    assert_approved(second, "");
    fixture_done(&f, (struct command){.type = COMMAND_USER_RENAME, .id = alice, .name = STR("al")});
    assert_approved(second, "10.2.0.0/16");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_policy_belongs_to_the_tailnet),
        TEST(routes_are_approved_as_they_are_announced),
        TEST(a_new_policy_approves_what_was_announced_before),
        TEST(another_owner_is_another_question),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
