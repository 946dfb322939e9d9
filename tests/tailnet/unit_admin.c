/* What administrators do: users, names, tags, expiry, tailnets; and addresses. */

#include "each_fixture.h"

#define BAD_USER_NAME \
    "a user's name has 1 to 255 bytes, no control characters and no space at its ends"

static void users_have_rules(void **state)
{
    struct command create = {.type = COMMAND_USER_CREATE,
                             .name = STR("alice"),
                             .text = STR("Alice"),
                             .email = STR("alice@example.net")};

    (void)state;
    fixture_done(&f, create);
    user_id alice = f.result.id;
    assert_str(f.result.user->display_name, STR("Alice"));
    fixture_refused(&f, create, ERR_CONFLICT, "user already exists");
    static const struct str bad[] = {STR_INIT(""), STR_INIT(" a"), STR_INIT("a "), STR_INIT("a\nb"),
                                     STR_INIT("a\xff")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        fixture_refused(&f, (struct command){.type = COMMAND_USER_CREATE, .name = bad[i]},
                        ERR_INVALID, BAD_USER_NAME);
    fixture_user(&f, "sp ace");

    user_id bob = fixture_user(&f, "bob");
    struct command rename = {.type = COMMAND_USER_RENAME, .id = bob, .name = STR("alice")};
    fixture_refused(&f, rename, ERR_CONFLICT, "user already exists");
    rename.name = STR("robert");
    fixture_done(&f, rename);
    assert_int_equal(fixture_count(&f, CHANGE_USER), 1);
    fixture_done(&f, rename);
    assert_int_equal(f.changes.len, 0);
    fixture_user(&f, "bob");

    char key[128];
    node_id node = fixture_join(&f, 1, alice, "a", "");
    auth_key_id left = fixture_key(&f, (struct key_options){.user = alice}, key);
    struct command delete = {.type = COMMAND_USER_DELETE, .id = alice};
    fixture_refused(&f, delete, ERR_CONFLICT, "user not empty: node(s) found");
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = node});
    fixture_done(&f, delete);
    assert_int_equal(fixture_count(&f, CHANGE_USER_REMOVED), 1);
    assert_int_equal(fixture_count(&f, CHANGE_AUTH_KEY_REMOVED), 2);
    fixture_refused(&f, delete, ERR_NOT_FOUND, "user not found");
    fixture_refused(&f, (struct command){.type = COMMAND_AUTH_KEY_DELETE, .id = left},
                    ERR_NOT_FOUND, "auth-key not found");
}

static void a_user_can_go_with_machines(void **state)
{
    user_id alice = fixture_user(&f, "alice"), bob = fixture_user(&f, "bob");
    node_id laptop = fixture_join(&f, 1, alice, "laptop", "10.1.0.0/24");
    node_id server = fixture_join(&f, 2, alice, "server", "");
    node_id phone = fixture_join(&f, 3, alice, "phone", "");
    node_id other = fixture_join(&f, 4, bob, "other", "10.1.0.0/24");
    struct command delete = {.type = COMMAND_USER_DELETE, .id = alice, .with_nodes = true};
    struct str_list tags = list_of("tag:a");

    (void)state;
    fixture_done(&f, (struct command){.type = COMMAND_NODE_TAG, .id = server, .tags = tags});
    str_list_free(&tags);
    fixture_approve_routes(&f, laptop, "10.1.0.0/24");
    fixture_approve_routes(&f, other, "10.1.0.0/24");
    (void)fixture_open(&f, laptop);
    (void)fixture_open(&f, other);
    assert_int_equal(fixture_node(&f, laptop)->n_serving, 1);

    /* Hers go, what has tags and bob's stay, and bob's serves the subnet. */
    fixture_done(&f, delete);
    assert_int_equal(fixture_count(&f, CHANGE_NODE_REMOVED), 2);
    assert_int_equal(fixture_count(&f, CHANGE_USER_REMOVED), 1);
    assert_null(view_node_find(fixture_view(&f), laptop));
    assert_null(view_node_find(fixture_view(&f), phone));
    assert_non_null(fixture_node(&f, server));
    assert_int_equal(fixture_node(&f, other)->n_serving, 1);
    assert_int_equal(f.result.lines.len, 2);
    assert_str(f.result.lines.items[0], STR("laptop"));
    fixture_refused(&f, delete, ERR_NOT_FOUND, "user not found");
}

static void auth_keys_have_owners(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    struct command c = {.type = COMMAND_AUTH_KEY_CREATE};
    size_t n = 0;

    (void)state;
    fixture_refused(&f, c, ERR_INVALID, "auth-key must be either tagged or owned by user");
    c.user = 99;
    fixture_refused(&f, c, ERR_NOT_FOUND, "user not found");
    c.user = alice;
    c.tags = list_of("web");
    fixture_refused(&f, c, ERR_INVALID, "tag must start with the string 'tag:'");
    str_list_free(&c.tags);
    c.tags = list_of("tag:Web");
    fixture_refused(&f, c, ERR_INVALID, "tag should be lowercase");
    str_list_free(&c.tags);
    fixture_done(&f, c);
    assert_int_equal(f.result.secret.len, 11 + 12 + 1 + 64);
    assert_true(str_starts(f.result.secret, STR("hskey-auth-")));
    assert_int_equal(view_auth_keys(fixture_view(&f), &n)[0]->prefix.len, 12);
    assert_int_equal(n, 1);
    auth_key_id id = f.result.id;
    fixture_done(&f, (struct command){.type = COMMAND_AUTH_KEY_EXPIRE, .id = id});
    assert_true(f.result.auth_key->expiry_ms == f.now);
    f.now++;
    fixture_done(&f, (struct command){.type = COMMAND_AUTH_KEY_EXPIRE, .id = id});
    assert_int_equal(f.changes.len, 0);
}

static void names_stay_unique(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    node_id a = fixture_join(&f, 1, alice, "web", "");
    node_id b = fixture_join(&f, 2, alice, "Web", "");
    node_id c = fixture_join(&f, 3, alice, "web", "");
    struct command rename = {.type = COMMAND_NODE_RENAME, .id = c, .name = STR("WEB")};

    (void)state;
    assert_str(fixture_node(&f, b)->given_name, STR("web-1"));
    assert_str(fixture_node(&f, c)->given_name, STR("web-2"));
    fixture_refused(&f, rename, ERR_CONFLICT, "node name is not unique: WEB");
    rename.name = STR("a.b");
    fixture_refused(&f, rename, ERR_INVALID,
                    "a machine name has letters, digits and '-', and no '-' at its ends");
    rename.name = STR("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg");
    fixture_refused(&f, rename, ERR_INVALID, "too long: a machine name has at most 63 characters");
    rename.name = STR("Server");
    fixture_done(&f, rename);
    assert_int_equal(fixture_mask(&f, c), NODE_CARD);
    assert_str(fixture_node(&f, c)->fqdn, STR("server.example.net."));
    assert_false(fixture_node(&f, c)->name_is_auto);

    /* A renamed machine keeps its name when its host name changes, others follow. */
    struct node_facts *facts = facts_of("database", "", "");
    struct command update = {
        .type = COMMAND_NODE_UPDATE, .machine = machine_of(3), .key = key_of(3), .facts = facts};
    fixture_done(&f, update);
    assert_str(fixture_node(&f, c)->given_name, STR("server"));
    update.machine = machine_of(1);
    update.key = key_of(1);
    fixture_done(&f, update);
    assert_str(fixture_node(&f, a)->given_name, STR("database"));
    node_facts_unref(facts);
    /* What is free again is given again, the lowest first. */
    assert_str(fixture_node(&f, fixture_join(&f, 4, alice, "web", ""))->given_name, STR("web"));
    assert_str(fixture_node(&f, fixture_join(&f, 5, alice, "web", ""))->given_name, STR("web-2"));
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = b});
    assert_str(fixture_node(&f, fixture_join(&f, 6, alice, "web", ""))->given_name, STR("web-1"));
    /* Renaming to the name it has makes it stick. */
    fixture_done(&f,
                 (struct command){.type = COMMAND_NODE_RENAME, .id = a, .name = STR("database")});
    assert_int_equal(fixture_mask(&f, a), NODE_PRIVATE);
}

static void long_names_leave_room_for_the_suffix(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    const char *name = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg";

    (void)state;
    fixture_join(&f, 1, alice, name, "");
    node_id b = fixture_join(&f, 2, alice, name, "");
    assert_str(fixture_node(&f, b)->given_name,
               STR("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg-1"));
}

static void a_thousand_of_one_name(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char key[128];

    (void)state;
    f.is_quiet = true;
    fixture_key(&f, (struct key_options){.user = alice, .reusable = true}, key);
    for (unsigned i = 1; i <= 1000; i++)
        fixture_register(&f, (struct ask){.machine = i, .key = i, .auth_key = key});
    assert_str(f.result.node->given_name, STR("host-999"));
    fixture_check(&f);
}

static void tags_replace_the_owner(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    node_id id = fixture_join(&f, 1, alice, "a", "");
    struct command c = {.type = COMMAND_NODE_TAG, .id = id};

    (void)state;
    fixture_refused(&f, c, ERR_INVALID,
                    "cannot remove all tags from a node - tagged nodes must have at least one "
                    "tag");
    c.tags = list_of("tag:B");
    fixture_refused(&f, c, ERR_INVALID, "tag should be lowercase");
    str_list_free(&c.tags);
    c.tags = list_of("tag:b,tag:a,tag:b");
    fixture_done(
        &f, (struct command){.type = COMMAND_NODE_EXPIRE, .id = id, .expiry_ms = f.now + HOUR_MS});
    fixture_done(&f, c);
    const struct node *n = fixture_node(&f, id);
    assert_true(n->user == 0 && n->tags.len == 2 && n->expiry_ms == 0);
    assert_true(domain_next_tick_ms(f.d) == INT64_MAX);
    fixture_done(&f, c);
    assert_int_equal(f.changes.len, 0);
    str_list_free(&c.tags);
    fixture_done(&f, (struct command){.type = COMMAND_USER_DELETE, .id = alice});
    assert_true(fixture_node(&f, id)->auth_key == 0);
}

static void expiry_can_be_set_and_lifted(void **state)
{
    node_id id = fixture_join(&f, 1, fixture_user(&f, "alice"), "a", "");
    struct command c = {.type = COMMAND_NODE_EXPIRE, .id = id, .expiry_ms = f.now - 5};

    (void)state;
    fixture_done(&f, c);
    assert_true(fixture_node(&f, id)->expired && fixture_node(&f, id)->expiry_ms == f.now);
    f.now += 10;
    fixture_done(&f, c);
    assert_int_equal(f.changes.len, 0);
    c.expiry_ms = f.now + 100;
    fixture_done(&f, c);
    assert_false(fixture_node(&f, id)->expired);
    assert_true(domain_next_tick_ms(f.d) == f.now + 100);
    c.expiry_ms = 0;
    fixture_done(&f, c);
    assert_true(domain_next_tick_ms(f.d) == INT64_MAX);
}

/* ---- Tailnets ---- */

static void tailnets_are_kept_apart(void **state)
{
    struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&f)));
    struct command c = {.type = COMMAND_TAILNET_CREATE, .info = info};

    (void)state;
    fixture_refused(&f, c, ERR_CONFLICT, "tailnet already exists");
    str_free(&info->name);
    c.name = STR("team");
    fixture_refused(&f, c, ERR_CONFLICT, "another tailnet has this base domain");
    str_free(&info->base_domain);
    fixture_done(&f, c);
    tailnet_id team = f.result.id;
    c.name = STR("No");
    fixture_refused(&f, c, ERR_INVALID,
                    "a tailnet's name has 1 to 63 of a-z, 0-9 and '-', and no '-' at its ends");
    tailnet_info_unref(info);

    /* The same user name in both. */
    user_id alice = fixture_user(&f, "alice");
    fixture_done(
        &f, (struct command){.type = COMMAND_USER_CREATE, .tailnet = team, .name = STR("alice")});
    user_id other = f.result.id;
    assert_true(other != alice);
    fixture_refused(&f, (struct command){.type = COMMAND_USER_DELETE, .id = other}, ERR_NOT_FOUND,
                    "user not found");
    AUTO(view_unref) const struct tailnet_view *by_name = domain_view_by_name(f.d, STR("team"));
    assert_true(view_info(by_name)->id == team);

    fixture_refused(&f, (struct command){.type = COMMAND_TAILNET_DELETE}, ERR_INVALID,
                    "the first tailnet cannot be deleted");
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_DELETE, .tailnet = team});
    assert_int_equal(fixture_count(&f, CHANGE_USER_REMOVED), 1);
    assert_int_equal(fixture_count(&f, CHANGE_TAILNET_REMOVED), 1);
    assert_null(domain_view(f.d, team));
    fixture_refused(&f, (struct command){.type = COMMAND_TAILNET_DELETE, .tailnet = team},
                    ERR_NOT_FOUND, "tailnet not found");
}

static void a_new_base_domain_renames_every_machine(void **state)
{
    struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&f)));
    node_id id = fixture_join(&f, 1, fixture_user(&f, "alice"), "a", "");

    (void)state;
    str_free(&info->base_domain);
    info->base_domain = str_copy(STR("corp.test"));
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = info});
    assert_int_equal(fixture_count(&f, CHANGE_INFO), 1);
    assert_int_equal(fixture_mask(&f, id), NODE_CARD);
    assert_str(fixture_node(&f, id)->fqdn, STR("a.corp.test."));
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .name = STR("corp")});
    assert_str(view_info(fixture_view(&f))->name, STR("corp"));
    assert_str(view_info(fixture_view(&f))->base_domain, STR("corp.test"));
    tailnet_info_unref(info);
}

/* ---- Addresses ---- */

static void set_prefixes(const char *v4, const char *v6, enum address_allocation how)
{
    struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&f)));

    info->prefix_v4 = v4 ? prefix_of(v4) : (struct ip_prefix){0};
    info->prefix_v6 = v6 ? prefix_of(v6) : (struct ip_prefix){0};
    info->allocation = how;
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = info});
    tailnet_info_unref(info);
}

static void assert_v4(node_id id, const char *text)
{
    struct ip_addr want;

    assert_true(ip_addr_parse(str_from(text), &want));
    assert_true(ip_addr_eq(fixture_node(&f, id)->v4, want));
}

static void addresses_are_given_once(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    char key[128];

    (void)state;
    set_prefixes("100.64.7.0/29", NULL, ADDRESS_SEQUENTIAL);
    node_id first = fixture_join(&f, 1, alice, "a", "");
    assert_v4(first, "100.64.7.1");
    assert_false(ip_addr_is_set(fixture_node(&f, first)->v6));
    for (unsigned i = 2; i <= 5; i++)
        fixture_join(&f, i, alice, "a", "");
    /* The freed one comes last, after the end of the prefix. */
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = first});
    assert_v4(fixture_join(&f, 6, alice, "a", ""), "100.64.7.6");
    assert_v4(fixture_join(&f, 7, alice, "a", ""), "100.64.7.1");
    fixture_key(&f, (struct key_options){.user = alice}, key);
    struct node_facts *facts = facts_of("a", "", "");
    struct register_request reg = {
        .machine = machine_of(8), .key = key_of(8), .auth_key = str_from(key), .facts = facts};
    fixture_refused(&f, (struct command){.type = COMMAND_REGISTER, .reg = &reg}, ERR_LIMIT,
                    "no address is free in 100.64.7.0/29");
    /* Nothing was spent. */
    set_prefixes("100.64.7.0/28", NULL, ADDRESS_RANDOM);
    fixture_done(&f, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    assert_int_equal(f.result.outcome, REGISTER_DONE);
    node_facts_unref(facts);
    /* Random to the last one. */
    for (unsigned i = 9; i <= 15; i++)
        fixture_join(&f, i, alice, "a", "");
    assert_int_equal(view_node_count(fixture_view(&f)), 14);
}

static void reserved_ranges_are_left_out(void **state)
{
    static const struct {
        const char *prefix;
        const char *second; /* what the second node gets */
    } cases[] = {
        {"100.115.91.252/23", "100.115.90.2"}, {"100.115.92.0/22", "100.115.94.1"},
        {"100.100.100.0/23", "100.100.101.1"}, {"100.0.0.0/8", "100.100.101.3"},
        {"100.100.0.0/23", "100.100.1.1"},
    };
    user_id alice = fixture_user(&f, "alice");

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%s\n", cases[i].prefix);
        set_prefixes(cases[i].prefix, NULL, ADDRESS_SEQUENTIAL);
        fixture_join(&f, 2 * i + 1, alice, "a", "");
        assert_v4(fixture_join(&f, 2 * i + 2, alice, "a", ""), cases[i].second);
    }
    /* fd7a:115c:a1e0::53 would be the 83rd. */
    set_prefixes(NULL, "fd7a:115c:a1e0::50/124", ADDRESS_SEQUENTIAL);
    for (unsigned i = 101; i <= 113; i++) {
        node_id id = fixture_join(&f, i, alice, "v", "");

        assert_int_not_equal(fixture_node(&f, id)->v6.bytes[15], 0x53);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(users_have_rules),
        FIXTURE_TEST(a_user_can_go_with_machines),
        FIXTURE_TEST(auth_keys_have_owners),
        FIXTURE_TEST(names_stay_unique),
        FIXTURE_TEST(long_names_leave_room_for_the_suffix),
        FIXTURE_TEST(a_thousand_of_one_name),
        FIXTURE_TEST(tags_replace_the_owner),
        FIXTURE_TEST(expiry_can_be_set_and_lifted),
        FIXTURE_TEST(tailnets_are_kept_apart),
        FIXTURE_TEST(a_new_base_domain_renames_every_machine),
        FIXTURE_TEST(addresses_are_given_once),
        FIXTURE_TEST(reserved_ranges_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
