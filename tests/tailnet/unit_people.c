/*
 * Users as log-ins and administrators change them; nodes given to others; addresses filled in;
 * registrations made up for debugging.
 */

#include "each_fixture.h"

#include "tailnet/name.h"

/* ---- Users ---- */

static struct command login_of(const char *identity, const char *name)
{
    return (struct command){.type = COMMAND_USER_LOGIN,
                            .provider = STR("oidc"),
                            .provider_id = str_from(identity),
                            .name = str_from(name),
                            .text = STR("Alice A"),
                            .email = STR("alice@example.com")};
}

/* headscale.md 11 #34: equal local names coexist; the identity alone says who it is. */
static void log_ins_are_found_by_identity(void **state)
{
    user_id local = fixture_user(&f, "alice");
    struct command login = login_of("https://idp.example/1", "alice");

    (void)state;
    fixture_done(&f, login);
    user_id alice = f.result.id;
    assert_true(alice != local && f.result.user->id == alice);
    assert_str(f.result.user->name, STR("alice"));
    assert_str(f.result.user->email, STR("alice@example.com"));
    assert_int_equal(fixture_count(&f, CHANGE_USER), 1);
    fixture_done(&f, login);
    assert_true(f.result.id == alice && f.changes.len == 0);

    /* Another person, the same name and address: another user. */
    fixture_done(&f, login_of("https://idp.example/2", "alice"));
    assert_true(f.result.id != alice);
    fixture_refused(&f,
                    (struct command){.type = COMMAND_REGISTER_APPROVE,
                                     .name = STR("x"),
                                     .user_name = STR("alice")},
                    ERR_NOT_FOUND,
                    "no pending auth session for auth_id x; it may have expired: log in again on "
                    "the machine");

    /* What the provider does not say any more stays; what it says anew is taken. */
    login.name = STR("alice2");
    login.text = STR_NONE;
    login.email = STR("a2@example.com");
    fixture_done(&f, login);
    assert_str(f.result.user->name, STR("alice2"));
    assert_str(f.result.user->display_name, STR("Alice A"));
    assert_str(f.result.user->email, STR("a2@example.com"));
    fixture_refused(&f, (struct command){.type = COMMAND_USER_LOGIN, .provider = STR("oidc")},
                    ERR_INVALID, "a log-in has a provider and an identity");
}

/* What the provider says at the last log-in is what there is. */
static void groups_are_those_of_the_last_log_in(void **state)
{
    struct str items[USER_GROUPS_MAX + 1] = {STR("oidc:b"), STR("oidc:a"), STR("oidc:b")};
    struct command login = login_of("https://idp.example/1", "alice");

    (void)state;
    login.groups = (struct str_list){items, 3};
    fixture_done(&f, login);
    assert_int_equal(f.result.user->groups.len, 2);
    assert_str(f.result.user->groups.items[0], STR("oidc:a"));
    fixture_done(&f, login);
    assert_int_equal(f.changes.len, 0);
    login.groups.len = 1;
    fixture_done(&f, login);
    assert_int_equal(fixture_count(&f, CHANGE_USER), 1);
    assert_int_equal(f.result.user->groups.len, 1);
    login.groups.len = 0;
    fixture_done(&f, login);
    assert_int_equal(f.result.user->groups.len, 0);
    login.groups.len = USER_GROUPS_MAX + 1;
    fixture_refused(&f, login, ERR_INVALID, "a user is in at most 256 groups");
}

/* headscale.md 5.1: names a provider gives are taken if they follow the rule. */
static void names_of_providers_follow_the_rule(void **state)
{
    static const struct {
        const char *name;
        bool taken;
    } cases[] = {{"al", true},     {"al.ice-1_x", true}, {"a@example.com", true},
                 {"a", false},     {"1bad", false},      {"sp ace", false},
                 {"a@b@c", false}, {"", false},          {"al\xc3\xa9", false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char identity[32];

        print_message("%s\n", cases[i].name);
        snprintf(identity, sizeof(identity), "idp/%zu", i);
        fixture_done(&f, login_of(identity, cases[i].name));
        assert_str(f.result.user->name, cases[i].taken ? str_from(cases[i].name) : STR_NONE);
    }
}

static void administrators_update_users(void **state)
{
    user_id alice = fixture_user(&f, "alice"), bob = fixture_user(&f, "bob");
    struct command c = {.type = COMMAND_USER_UPDATE,
                        .id = alice,
                        .text = STR("Alice B"),
                        .email = STR("b@example.com"),
                        .picture_url = STR("https://x/y.png"),
                        .role = ROLE_ADMIN,
                        .provider = STR("oidc"),
                        .provider_id = STR("idp/7")};

    (void)state;
    fixture_done(&f, c);
    assert_int_equal(f.changes.len, 0);
    c.fields = USER_FIELD_DISPLAY | USER_FIELD_ROLE;
    fixture_done(&f, c);
    assert_str(f.result.user->display_name, STR("Alice B"));
    assert_int_equal(f.result.user->role, ROLE_ADMIN);
    assert_str(f.result.user->email, STR_NONE);
    c.fields = USER_FIELD_EMAIL | USER_FIELD_PICTURE | USER_FIELD_PROVIDER;
    fixture_done(&f, c);
    assert_str(f.result.user->email, STR("b@example.com"));
    assert_str(f.result.user->provider_id, STR("idp/7"));
    /* From now on the log-in is hers, and her name free for a local user. */
    fixture_done(&f, login_of("idp/7", "alice"));
    assert_true(f.result.id == alice);
    fixture_user(&f, "alice");

    c.id = bob;
    fixture_refused(&f, c, ERR_CONFLICT, "another user has this identity already");
    c = (struct command){.type = COMMAND_USER_UPDATE, .id = alice, .fields = USER_FIELD_PROVIDER};
    fixture_refused(&f, c, ERR_CONFLICT, "user already exists");
    c.provider = STR("oidc");
    fixture_refused(&f, c, ERR_INVALID, "provider and provider id belong together");
    fixture_refused(&f, (struct command){.type = COMMAND_USER_UPDATE, .id = 99}, ERR_NOT_FOUND,
                    "user not found");
    fixture_refused(&f,
                    (struct command){.type = COMMAND_USER_UPDATE,
                                     .id = bob,
                                     .fields = USER_FIELD_DISPLAY,
                                     .text = STR("\xff")},
                    ERR_INVALID, "at most 1024 bytes of UTF-8");
    /* Nobody's name is left without a user to be found by. */
    fixture_done(&f, login_of("idp/8", "1bad"));
    c = (struct command){
        .type = COMMAND_USER_UPDATE, .id = f.result.id, .fields = USER_FIELD_PROVIDER};
    fixture_refused(&f, c, ERR_INVALID, "a user without a provider needs a name");
}

/* ---- Nodes ---- */

static void nodes_move_between_users(void **state)
{
    user_id alice = fixture_user(&f, "alice"), bob = fixture_user(&f, "bob");
    node_id id = fixture_join(&f, 1, alice, "a", "");
    struct command move = {.type = COMMAND_NODE_MOVE, .id = id, .user = bob};
    struct str_list tags = list_of("tag:web");

    (void)state;
    fixture_done(&f, move);
    assert_true(fixture_node(&f, id)->user == bob && f.result.user->id == bob);
    assert_int_equal(fixture_mask(&f, id), NODE_CARD);
    fixture_done(&f, (struct command){.type = COMMAND_USER_DELETE, .id = alice});
    move.user = 0;
    move.user_name = STR("nobody");
    fixture_refused(&f, move, ERR_NOT_FOUND, "user not found");
    fixture_done(&f, (struct command){.type = COMMAND_NODE_TAG, .id = id, .tags = tags});
    str_list_free(&tags);
    move.user_name = STR("bob");
    fixture_refused(&f, move, ERR_INVALID,
                    "a tagged node belongs to nobody; log in on it again without tags to give it "
                    "to a user");
}

static void set_prefixes(const char *v4, const char *v6)
{
    struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&f)));

    info->prefix_v4 = *v4 ? prefix_of(v4) : (struct ip_prefix){0};
    info->prefix_v6 = *v6 ? prefix_of(v6) : (struct ip_prefix){0};
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = info});
    tailnet_info_unref(info);
}

/* headscale.md 11 #112, the domain's part; 5.3. */
static void addresses_are_filled_in(void **state)
{
    user_id alice = fixture_user(&f, "alice");
    struct command backfill = {.type = COMMAND_NODES_BACKFILL};

    (void)state;
    set_prefixes("100.64.0.0/10", "");
    node_id a = fixture_join(&f, 1, alice, "a", ""), b = fixture_join(&f, 2, alice, "b", "");
    assert_false(ip_addr_is_set(fixture_node(&f, a)->v6));
    fixture_done(&f, backfill);
    assert_true(f.changes.len == 0 && f.result.lines.len == 0);

    set_prefixes("100.64.0.0/10", "fd7a:115c:a1e0::/48");
    fixture_done(&f, backfill);
    assert_int_equal(f.result.lines.len, 2);
    assert_str(f.result.lines.items[0],
               STR("assigned IPv6 \"fd7a:115c:a1e0::1\" to Node(1) \"a\""));
    assert_int_equal(fixture_mask(&f, b), NODE_CARD);
    assert_true(ip_addr_is_set(fixture_node(&f, b)->v6));

    set_prefixes("", "fd7a:115c:a1e0::/48");
    fixture_done(&f, backfill);
    assert_str(f.result.lines.items[0], STR("removing IPv4 \"100.64.0.1\" from Node(1) \"a\""));
    assert_false(ip_addr_is_set(fixture_node(&f, a)->v4));
    /* What was freed is given again; what is not enough goes to the first. */
    set_prefixes("100.64.0.0/30", "fd7a:115c:a1e0::/48");
    node_id c = fixture_join(&f, 3, alice, "c", "");
    assert_true(ip_addr_is_set(fixture_node(&f, c)->v4));
    fixture_done(&f, backfill);
    assert_int_equal(f.result.lines.len, 2);
    assert_true(ip_addr_is_set(fixture_node(&f, a)->v4));
    assert_false(ip_addr_is_set(fixture_node(&f, b)->v4));
    assert_str(f.result.lines.items[1], STR("no free IPv4 address for Node(2) \"b\""));
}

static void registrations_are_made_up(void **state)
{
    static const char id[] = "hskey-authreq-0123456789abcdefABCD-_67";
    user_id alice = fixture_user(&f, "alice");
    struct node_facts *facts = facts_of("Debug Box", "10.0.0.0/24", "");
    struct command c = {.type = COMMAND_REGISTER_FABRICATE,
                        .name = STR("short"),
                        .user_name = STR("alice"),
                        .facts = facts};

    (void)state;
    fixture_refused(&f, c, ERR_INVALID, "invalid auth_id");
    c.name = str_from(id);
    fixture_done(&f, c);
    assert_int_equal(f.changes.len, 0);
    assert_string_equal(f.result.auth_id, id);
    assert_true(f.result.node->id == 0 && f.result.user->id == alice);
    assert_str(f.result.node->given_name, STR("debug-box"));
    fixture_refused(&f, c, ERR_CONFLICT, "a registration with this auth_id waits already");
    c.user_name = STR("nobody");
    c.name = STR("hskey-authreq-000000000000000000000000");
    fixture_refused(&f, c, ERR_NOT_FOUND, "user not found");

    struct command approve = {
        .type = COMMAND_REGISTER_APPROVE, .name = str_from(id), .user = alice};
    fixture_done(&f, approve);
    assert_str(f.result.node->given_name, STR("debug-box"));
    assert_int_equal(f.result.node->facts->n_routes, 1);
    node_facts_unref(facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(log_ins_are_found_by_identity),
        FIXTURE_TEST(groups_are_those_of_the_last_log_in),
        FIXTURE_TEST(names_of_providers_follow_the_rule),
        FIXTURE_TEST(administrators_update_users),
        FIXTURE_TEST(nodes_move_between_users),
        FIXTURE_TEST(addresses_are_filled_in),
        FIXTURE_TEST(registrations_are_made_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
