/* Several tailnets: made, set, suspended, deleted; quotas; what one has to do with another. */

#include "fixture.h"

#include <string.h>

static struct command make(const char *name)
{
    return (struct command){.type = COMMAND_TAILNET_CREATE, .name = str_from(name)};
}

static tailnet_id made(struct fixture *f, const char *name)
{
    fixture_done(f, make(name));
    return f->result.id;
}

static const struct tailnet_info *info_of(struct fixture *f, tailnet_id id)
{
    const struct tailnet_view *v = domain_view(f->d, id);
    const struct tailnet_info *i = view_info(v);

    view_unref(v); /* the domain has it, too */
    return i;
}

static user_id user_in(struct fixture *f, tailnet_id t, const char *name)
{
    fixture_done(
        f, (struct command){.type = COMMAND_USER_CREATE, .tailnet = t, .name = str_from(name)});
    return f->result.id;
}

static void key_in(struct fixture *f, tailnet_id t, user_id user, char out[128])
{
    fixture_done(
        f, (struct command){
               .type = COMMAND_AUTH_KEY_CREATE, .tailnet = t, .user = user, .reusable = true});
    snprintf(out, 128, "%.*s", STR_ARG(f->result.secret));
}

static node_id join(struct fixture *f, unsigned machine, const char *key, const char *hostname)
{
    assert_int_equal(fixture_register(f, (struct ask){.machine = machine,
                                                      .key = machine,
                                                      .auth_key = key,
                                                      .hostname = hostname}),
                     REGISTER_DONE);
    return f->result.node->id;
}

static void follows_the_first(void **state)
{
    struct fixture f = {0};
    struct tailnet_info *info;

    (void)state;
    fixture_init(&f);
    tailnet_id blue = made(&f, "blue");
    struct derp_region region = {.id = 7, .code = STR("x"), .name = STR("X")};
    info = tailnet_info_clone(info_of(&f, 0));
    info->regions = derp_regions_copy(&region, 1);
    info->n_regions = 1;
    info->logtail = true;
    info->node_expiry_ms = HOUR_MS;
    struct dns_settings *dns = dns_settings_new();
    (void)dns_add_resolver(dns, STR("9.9.9.9"), false);
    dns_add_record(dns, STR("secret.example"), STR("A"), STR("1.2.3.4"));
    dns_add_search(dns, STR("corp.example"));
    dns->parts = DNS_ALL;
    tailnet_info_settle_dns(info, dns, NULL);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = info});

    const struct tailnet_info *i = info_of(&f, blue);
    assert_int_equal(i->n_regions, 1);
    assert_true(i->logtail);
    assert_int_equal(i->node_expiry_ms, HOUR_MS);
    assert_int_equal(i->n_resolvers, 1);
    assert_int_equal(i->n_records, 0);
    assert_int_equal(i->search_domains.len, 0);
    assert_int_equal(fixture_count(&f, CHANGE_INFO), 2);
    /* What is the same already is not told again. */
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = info});
    assert_int_equal(fixture_count(&f, CHANGE_INFO), 1);
    /* Regions of its own go over, and back. */
    struct derp_region own[] = {{.id = 7, .code = STR("mine"), .name = STR("M")},
                                {.id = 8, .code = STR("more"), .name = STR("N")}};
    struct tailnet_settings s = {.set = SETTING_RELAYS, .relays = own, .n_relays = 2};
    fixture_done(&f,
                 (struct command){.type = COMMAND_TAILNET_SET, .tailnet = blue, .settings = &s});
    assert_int_equal(info_of(&f, blue)->n_regions, 2);
    assert_true(str_eq(info_of(&f, blue)->regions[0].code, STR("mine")));
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = info});
    assert_int_equal(info_of(&f, blue)->n_regions, 2);
    fixture_done(&f, (struct command){
                         .type = COMMAND_TAILNET_SET, .tailnet = blue, .unset = SETTING_RELAYS});
    assert_int_equal(info_of(&f, blue)->n_regions, 1);
    assert_true(str_eq(info_of(&f, blue)->regions[0].code, STR("x")));
    tailnet_info_unref(info);
    fixture_fini(&f);
}

static void has_ranges_of_its_own(void **state)
{
    struct fixture f = {0};
    struct ip_prefix ten = prefix_of("10.7.0.0/29"), part = prefix_of("10.7.0.0/30");
    struct ip_prefix shared = prefix_of("100.64.0.0/16");
    struct tailnet_settings apart = {.set = SETTING_ADDRESSES_APART};
    struct command c = make("blue"), d = make("green");
    char blue_key[128], green_key[128];

    (void)state;
    fixture_init(&f);
    c.routes = &shared;
    c.n_routes = 1;
    fixture_refused(&f, c, ERR_CONFLICT,
                    "the range is another tailnet's, too; say that it may overlap");
    c.routes = &part;
    fixture_refused(&f, c, ERR_INVALID,
                    "a range has room for 8 addresses at least, and is no wider than /8");
    c.routes = &ten;
    fixture_done(&f, c);
    tailnet_id blue = f.result.id;
    d.routes = &ten;
    d.n_routes = 1;
    fixture_refused(&f, d, ERR_CONFLICT,
                    "the range is another tailnet's, too; say that it may overlap");
    d.settings = &apart;
    fixture_done(&f, d);
    tailnet_id green = f.result.id;
    key_in(&f, blue, user_in(&f, blue, "ann"), blue_key);
    key_in(&f, green, user_in(&f, green, "ann"), green_key);
    const struct node *a = fixture_node(&f, join(&f, 1, blue_key, "laptop"));
    const struct node *b = fixture_node(&f, join(&f, 2, green_key, "laptop"));
    assert_true(ip_addr_eq(a->v4, b->v4));
    assert_false(ip_addr_is_set(a->v6));
    assert_true(str_eq(a->given_name, b->given_name));
    /* Freed in one, it is still the other's. */
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .tailnet = green, .id = b->id});
    const struct node *again = fixture_node(&f, join(&f, 3, blue_key, "desktop"));
    assert_false(ip_addr_eq(again->v4, a->v4));
    fixture_fini(&f);
}

static void keeps_quotas(void **state)
{
    struct fixture f = {0};
    struct tailnet_settings s = {.set = SETTING_MAX_NODES | SETTING_MAX_USERS | SETTING_MAX_KEYS,
                                 .max = {1, 1, 2}};
    struct command c = make("blue");
    char key[128];

    (void)state;
    fixture_init(&f);
    c.settings = &s;
    fixture_done(&f, c);
    tailnet_id blue = f.result.id;
    user_id ann = user_in(&f, blue, "ann");
    fixture_refused(
        &f, (struct command){.type = COMMAND_USER_CREATE, .tailnet = blue, .name = STR("bob")},
        ERR_LIMIT, "this tailnet may have 1 users, and has as many");
    key_in(&f, blue, ann, key);
    fixture_done(&f, (struct command){.type = COMMAND_API_KEY_CREATE, .tailnet = blue});
    fixture_refused(&f, (struct command){.type = COMMAND_API_KEY_CREATE, .tailnet = blue},
                    ERR_LIMIT, "this tailnet may have 2 keys, and has as many");
    fixture_refused(&f,
                    (struct command){.type = COMMAND_AUTH_KEY_CREATE, .tailnet = blue, .user = ann},
                    ERR_LIMIT, "this tailnet may have 2 keys, and has as many");
    (void)join(&f, 1, key, "one");
    struct node_facts *facts = facts_of("two", "", "");
    struct register_request reg = {
        .machine = machine_of(2), .key = key_of(2), .auth_key = str_from(key), .facts = facts};
    fixture_refused(&f, (struct command){.type = COMMAND_REGISTER, .reg = &reg}, ERR_LIMIT,
                    "this tailnet may have 1 nodes, and has as many");
    /* Others have none, and 0 takes one back. */
    (void)user_in(&f, 0, "carl");
    (void)user_in(&f, 0, "dora");
    s = (struct tailnet_settings){.set = SETTING_MAX_NODES};
    fixture_done(&f,
                 (struct command){.type = COMMAND_TAILNET_SET, .tailnet = blue, .settings = &s});
    (void)join(&f, 2, key, "two");
    node_facts_unref(facts);
    fixture_fini(&f);
}

/* Those made from then on; what is said of one goes before, and the first has none. */
static void begins_with_quotas(void **state)
{
    struct fixture f = {0};
    struct tailnet_settings s = {.set = SETTING_MAX_USERS, .max = {0, 0, 0}};
    struct quotas quotas = {{5, 1, 0}};
    struct command c = make("green");

    (void)state;
    fixture_init(&f);
    tailnet_id red = made(&f, "red");
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .new_quotas = &quotas});
    tailnet_id blue = made(&f, "blue");
    c.settings = &s;
    fixture_done(&f, c);
    tailnet_id green = f.result.id;

    assert_int_equal(info_of(&f, 0)->settings.set, 0);
    assert_int_equal(info_of(&f, red)->settings.set, 0);
    assert_int_equal(info_of(&f, blue)->settings.set, SETTING_MAX_NODES | SETTING_MAX_USERS);
    assert_int_equal(info_of(&f, blue)->settings.max[QUOTA_NODES], 5);
    assert_int_equal(info_of(&f, green)->settings.max[QUOTA_NODES], 5);
    assert_int_equal(info_of(&f, green)->settings.max[QUOTA_USERS], 0);
    (void)user_in(&f, blue, "ann");
    fixture_refused(
        &f, (struct command){.type = COMMAND_USER_CREATE, .tailnet = blue, .name = STR("bob")},
        ERR_LIMIT, "this tailnet may have 1 users, and has as many");
    for (int i = 0; i < 2; i++) {
        (void)user_in(&f, green, i ? "bob" : "ann");
        (void)user_in(&f, red, i ? "bob" : "ann");
        (void)user_in(&f, 0, i ? "bob" : "ann");
    }

    /* Another tailnet's update says nothing of them; an update without leaves them. */
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE,
                                      .tailnet = blue,
                                      .new_quotas = &(struct quotas){{1, 1, 1}}});
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE});
    assert_int_equal(info_of(&f, made(&f, "pink"))->settings.max[QUOTA_NODES], 5);
    fixture_done(
        &f, (struct command){.type = COMMAND_TAILNET_UPDATE, .new_quotas = &(struct quotas){{0}}});
    assert_int_equal(info_of(&f, made(&f, "grey"))->settings.set, 0);
    assert_int_equal(info_of(&f, blue)->settings.max[QUOTA_NODES], 5);
    fixture_fini(&f);
}

/* What the server has of something is not one tailnet's to use up. */
static void has_a_share(void **state)
{
    struct fixture f = {0};
    struct str_list scopes = list_of("devices:core");

    (void)state;
    fixture_init(&f);
    f.is_quiet = true;
    tailnet_id blue = made(&f, "blue"), green = made(&f, "green");
    struct command c = {.type = COMMAND_OAUTH_CLIENT_CREATE, .tailnet = blue, .scopes = scopes};
    for (int i = 0; i < OAUTH_CLIENTS_MAX / 10; i++)
        fixture_done(&f, c);
    fixture_refused(&f, c, ERR_LIMIT, "this tailnet has 100 of these, the most it may have");
    c.tailnet = green;
    fixture_done(&f, c);
    c.tailnet = 0;
    for (int i = 0; i < OAUTH_CLIENTS_MAX / 10 + 1; i++)
        fixture_done(&f, c);
    str_list_free(&scopes);
    fixture_fini(&f);
}

static void suspends(void **state)
{
    struct fixture f = {0};
    char key[128];

    (void)state;
    fixture_init(&f);
    tailnet_id blue = made(&f, "blue");
    user_id ann = user_in(&f, blue, "ann");
    key_in(&f, blue, ann, key);
    node_id n = join(&f, 1, key, "one");
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_SUSPEND, .tailnet = blue});
    assert_true(info_of(&f, blue)->suspended);
    assert_false(info_of(&f, 0)->suspended);

    const char *why = "this tailnet is suspended: ask whoever runs the server";
    fixture_refused(
        &f,
        (struct command){.type = COMMAND_STREAM_OPEN, .machine = machine_of(1), .key = key_of(1)},
        ERR_DENIED, why);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1}), REGISTER_FAILED);
    assert_string_equal(f.result.text, why);
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 2, .key = 2, .auth_key = key}),
                     REGISTER_FAILED);
    assert_string_equal(f.result.text, why);
    fixture_refused(&f,
                    (struct command){.type = COMMAND_USER_LOGIN,
                                     .tailnet = blue,
                                     .provider = STR("oidc"),
                                     .provider_id = STR("x")},
                    ERR_DENIED, why);
    /* Its operator may go on. */
    fixture_done(&f, (struct command){
                         .type = COMMAND_NODE_EXPIRE, .tailnet = blue, .id = n, .expiry_ms = 0});
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_SUSPEND, .tailnet = blue});
    assert_int_equal(f.changes.len, 0);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_RESUME, .tailnet = blue});
    assert_false(info_of(&f, blue)->suspended);
    (void)fixture_open(&f, n);
    fixture_fini(&f);
}

static void goes_whole(void **state)
{
    struct fixture f = {0};
    char key[128];

    (void)state;
    fixture_init(&f);
    tailnet_id blue = made(&f, "blue");
    key_in(&f, blue, user_in(&f, blue, "ann"), key);
    for (unsigned i = 1; i < 20; i++) {
        node_id n = join(&f, i, key, "host");

        if (i % 3 == 0)
            (void)fixture_open(&f, n);
    }
    user_id here = user_in(&f, 0, "ann");
    node_id stays = fixture_join(&f, 100, here, "host", NULL);
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_DELETE, .tailnet = blue});
    assert_int_equal(fixture_count(&f, CHANGE_NODE_REMOVED), 19);
    assert_int_equal(fixture_count(&f, CHANGE_STREAM_END), 6);
    assert_int_equal(f.changes.items[f.changes.len - 1].kind, CHANGE_TAILNET_REMOVED);
    assert_null(domain_view(f.d, blue));
    assert_non_null(fixture_node(&f, stays));
    assert_int_equal(fixture_register(&f, (struct ask){.machine = 1, .key = 1, .auth_key = key}),
                     REGISTER_FAILED);
    assert_string_equal(f.result.text, "invalid pre auth key");
    /* Its name and domain are free, its id is not. */
    assert_int_not_equal(made(&f, "blue"), blue);
    fixture_fini(&f);
}

static void is_renamed(void **state)
{
    struct fixture f = {0};
    char key[128];

    (void)state;
    fixture_init(&f);
    tailnet_id blue = made(&f, "blue");
    key_in(&f, blue, user_in(&f, blue, "ann"), key);
    node_id n = join(&f, 1, key, "one");
    fixture_done(
        &f, (struct command){.type = COMMAND_TAILNET_SET, .tailnet = blue, .name = STR("green")});
    assert_int_equal(f.result.id, blue);
    assert_int_equal(fixture_count(&f, CHANGE_NODE), 0);
    fixture_done(&f, (struct command){
                         .type = COMMAND_TAILNET_SET, .tailnet = blue, .text = STR("g.example")});
    assert_true(str_eq(fixture_node(&f, n)->fqdn, STR("one.g.example.")));
    assert_true(str_eq(info_of(&f, blue)->domain, STR("g.example")));
    fixture_refused(
        &f, (struct command){.type = COMMAND_TAILNET_SET, .tailnet = blue, .name = STR("default")},
        ERR_CONFLICT, "tailnet already exists");
    fixture_refused(&f, (struct command){.type = COMMAND_TAILNET_SET, .text = STR("h.example")},
                    ERR_INVALID,
                    "the base domain of the first tailnet is the configuration's "
                    "(dns.base_domain)");
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_first), cmocka_unit_test(has_ranges_of_its_own),
        cmocka_unit_test(keeps_quotas),      cmocka_unit_test(begins_with_quotas),
        cmocka_unit_test(has_a_share),       cmocka_unit_test(suspends),
        cmocka_unit_test(goes_whole),        cmocka_unit_test(is_renamed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
