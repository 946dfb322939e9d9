/*
 * What administrators set of a tailnet and of its machines: settings over configured ones, custom
 * attributes that end, addresses.
 */

#include "each_fixture.h"

static user_id alice;
static node_id dev;

static int set_up(void **state)
{
    (void)set_up_fixture(state);
    alice = fixture_user(&f, "alice");
    dev = fixture_join(&f, 1, alice, "dev", "");
    return 0;
}

/* ---- Settings ---- */

static const struct tailnet_info *info(void)
{
    return view_info(fixture_view(&f));
}

static void set(const struct tailnet_settings *s)
{
    fixture_done(&f, (struct command){.type = COMMAND_SETTINGS_SET, .settings = s});
    assert_int_equal(fixture_count(&f, CHANGE_INFO), 1);
}

static void configure(int64_t expiry_ms, bool auto_update)
{
    struct tailnet_info *i = tailnet_info_clone(info());

    tailnet_info_settle_settings(i, NULL);
    i->node_expiry_ms = expiry_ms;
    i->auto_update = auto_update;
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = i});
    tailnet_info_unref(i);
}

static void settings_stand_over_what_is_configured(void **state)
{
    (void)state;
    configure(5 * HOUR_MS, true);
    assert_int_equal(info()->node_expiry_ms, 5 * HOUR_MS);
    set(&(struct tailnet_settings){.set = SETTING_KEY_DURATION, .key_duration_ms = HOUR_MS});
    assert_int_equal(info()->node_expiry_ms, HOUR_MS);
    assert_true(info()->auto_update);

    /* The configuration changes under it, as at a start. */
    configure(7 * HOUR_MS, false);
    assert_int_equal(info()->node_expiry_ms, HOUR_MS);
    assert_int_equal(info()->settings.configured_key_duration_ms, 7 * HOUR_MS);
    assert_false(info()->auto_update);

    set(&(struct tailnet_settings){.set = SETTING_AUTO_UPDATE, .auto_update = true});
    assert_true(info()->auto_update);
    assert_int_equal(info()->node_expiry_ms, HOUR_MS);
    /* A machine that joins has a key of that length. */
    node_id late = fixture_join(&f, 2, alice, "late", "");
    assert_int_equal(fixture_node(&f, late)->expiry_ms, f.now + HOUR_MS);
}

static void contacts_and_links_are_kept_one_by_one(void **state)
{
    (void)state;
    set(&(struct tailnet_settings){.set = SETTING_CONTACT_SECURITY | SETTING_POLICY_LINK,
                                   .policy_link = STR("https://git.example/policy"),
                                   .contacts[CONTACT_SECURITY] = STR("sec@example.com")});
    set(&(struct tailnet_settings){.set = SETTING_CONTACT_SUPPORT,
                                   .contacts[CONTACT_SUPPORT] = STR("help@example.com")});
    assert_str(info()->settings.contacts[CONTACT_SECURITY], STR("sec@example.com"));
    assert_str(info()->settings.contacts[CONTACT_SUPPORT], STR("help@example.com"));
    assert_str(info()->settings.policy_link, STR("https://git.example/policy"));
    assert_int_equal(info()->settings.contacts[CONTACT_ACCOUNT].len, 0);
}

static void settings_that_mean_nothing_are_refused(void **state)
{
    static const struct {
        struct tailnet_settings s;
        const char *text;
    } cases[] = {
        {{.set = SETTING_KEY_DURATION, .key_duration_ms = -1},
         "node keys last 0 (for ever) to 36500 days"},
        {{.set = SETTING_CONTACT_SUPPORT, .contacts[CONTACT_SUPPORT] = STR_INIT("nobody")},
         "a contact is a mail address"},
        {{.set = SETTING_CONTACT_SUPPORT, .contacts[CONTACT_SUPPORT] = STR_INIT("a@")},
         "a contact is a mail address"},
        {{.set = SETTING_CONTACT_ACCOUNT, .contacts[CONTACT_ACCOUNT] = STR_INIT("a b@c")},
         "a contact is a mail address"},
        {{.set = SETTING_POLICY_LINK, .policy_link = STR_INIT("a\nb")},
         "the link to the policy is no line of text"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        fixture_refused(&f, (struct command){.type = COMMAND_SETTINGS_SET, .settings = &cases[i].s},
                        ERR_INVALID, cases[i].text);
}

/* A tailnet that is made from another's info starts without its settings. */
static void settings_are_one_tailnet_s(void **state)
{
    struct tailnet_info *i;

    (void)state;
    configure(5 * HOUR_MS, false);
    set(&(struct tailnet_settings){.set = SETTING_KEY_DURATION, .key_duration_ms = HOUR_MS});
    i = tailnet_info_clone(info());
    str_free(&i->name);
    str_free(&i->base_domain);
    i->name = str_copy(STR("other"));
    i->base_domain = str_copy(STR("other.example"));
    fixture_done(&f, (struct command){.type = COMMAND_TAILNET_CREATE, .info = i});
    tailnet_info_unref(i);

    AUTO(view_unref) const struct tailnet_view *other = domain_view_by_name(f.d, STR("other"));

    assert_int_equal(view_info(other)->node_expiry_ms, 5 * HOUR_MS);
    assert_int_equal(view_info(other)->settings.set, 0);
}

/* ---- Attributes ---- */

static void give(const char *name, const char *value, int64_t expiry_ms)
{
    const struct node_attribute a = {
        .name = str_from(name), .value = str_from(value), .expiry_ms = expiry_ms};

    fixture_done(&f,
                 (struct command){.type = COMMAND_NODE_ATTRIBUTE_SET, .id = dev, .attribute = &a});
    assert_int_equal(fixture_mask(&f, dev), NODE_PRIVATE);
}

static struct str value_of(const char *name)
{
    const struct node_attribute *a = node_attribute_find(fixture_node(&f, dev), str_from(name));

    return a ? a->value : STR("-");
}

static void attributes_are_set_replaced_and_taken(void **state)
{
    (void)state;
    give("custom:tier", "prod", 0);
    give("custom:age", "3", 0);
    give("custom:tier", "test", 0);
    assert_str(value_of("custom:tier"), STR("test"));
    assert_int_equal(fixture_node(&f, dev)->n_attributes, 2);
    assert_str(fixture_node(&f, dev)->attributes[0].name, STR("custom:age"));
    fixture_done(&f, (struct command){.type = COMMAND_NODE_ATTRIBUTE_DELETE,
                                      .id = dev,
                                      .name = STR("custom:age")});
    assert_str(value_of("custom:age"), STR("-"));
    fixture_refused(&f,
                    (struct command){.type = COMMAND_NODE_ATTRIBUTE_DELETE,
                                     .id = dev,
                                     .name = STR("custom:age")},
                    ERR_NOT_FOUND, "attribute not found");
}

static void attributes_end_when_they_were_told_to(void **state)
{
    (void)state;
    give("custom:b", "1", f.now + HOUR_MS);
    give("custom:a", "2", f.now + 2 * HOUR_MS);
    give("custom:c", "3", 0);
    fixture_tick(&f, HOUR_MS - 1);
    assert_int_equal(fixture_node(&f, dev)->n_attributes, 3);
    fixture_tick(&f, 1);
    assert_str(value_of("custom:b"), STR("-"));
    assert_int_equal(fixture_mask(&f, dev), NODE_PRIVATE);
    assert_int_equal(fixture_node(&f, dev)->n_attributes, 2);
    /* Put off. */
    give("custom:a", "2", f.now + 5 * HOUR_MS);
    fixture_tick(&f, 2 * HOUR_MS);
    assert_str(value_of("custom:a"), STR("2"));
    fixture_tick(&f, 3 * HOUR_MS);
    assert_str(value_of("custom:a"), STR("-"));
    assert_str(value_of("custom:c"), STR("3"));
}

static void attributes_have_names_and_bounds(void **state)
{
    static char long_text[ATTRIBUTE_TEXT_MAX + 2];
    static const struct {
        const char *name, *value;
    } cases[] = {
        {"tier", "x"},        {"custom:", "x"},         {"node:os", "linux"},
        {"custom:a b", "x"},  {"custom:a/b", "x"},      {"custom:tier", ""},
        {"custom:a", "x\ny"}, {"custom:a", long_text},  {"custom:a", "\xff"},
        {"CUSTOM:a", "x"},    {"custom:\xc3\xa4", "x"},
    };

    (void)state;
    memset(long_text, 'x', sizeof(long_text) - 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct node_attribute a = {.name = str_from(cases[i].name),
                                         .value = str_from(cases[i].value)};

        print_message("%s\n", cases[i].name);
        assert_int_equal(fixture_apply(&f, (struct command){.type = COMMAND_NODE_ATTRIBUTE_SET,
                                                            .id = dev,
                                                            .attribute = &a}),
                         -ERR_INVALID);
    }
    for (int i = 0; i < NODE_ATTRIBUTES_MAX; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "custom:n%d", i);
        give(name, "x", 0);
    }
    const struct node_attribute more = {.name = STR("custom:more"), .value = STR("x")};
    fixture_refused(
        &f, (struct command){.type = COMMAND_NODE_ATTRIBUTE_SET, .id = dev, .attribute = &more},
        ERR_LIMIT, "a device has at most 128 attributes");
    give("custom:n7", "y", 0);
}

/* ---- Addresses ---- */

static void a_node_gets_a_free_address(void **state)
{
    struct command c = {.type = COMMAND_NODE_ADDRESS, .id = dev};
    node_id other = fixture_join(&f, 2, alice, "other", "");

    (void)state;
    c.addr = IP_ADDR_V4(100, 64, 7, 7);
    fixture_done(&f, c);
    assert_true(ip_addr_eq(fixture_node(&f, dev)->v4, c.addr));
    assert_true(fixture_mask(&f, dev) & NODE_CARD);
    fixture_done(&f, c);
    assert_int_equal(fixture_mask(&f, dev), 0);

    c.id = other;
    fixture_refused(&f, c, ERR_CONFLICT, "the address is not free");
    c.addr = IP_ADDR_V4(10, 0, 0, 1);
    fixture_refused(&f, c, ERR_INVALID, "the address is not one of this tailnet's");
    c.addr = IP_ADDR_V4(100, 100, 100, 100);
    fixture_refused(&f, c, ERR_CONFLICT, "the address is not free");
    c.addr = ip_prefix_first(info()->prefix_v4);
    fixture_refused(&f, c, ERR_CONFLICT, "the address is not free");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settings_stand_over_what_is_configured), TEST(contacts_and_links_are_kept_one_by_one),
        TEST(settings_that_mean_nothing_are_refused), TEST(settings_are_one_tailnet_s),
        TEST(attributes_are_set_replaced_and_taken),  TEST(attributes_end_when_they_were_told_to),
        TEST(attributes_have_names_and_bounds),       TEST(a_node_gets_a_free_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
