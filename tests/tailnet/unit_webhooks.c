/* Webhook endpoints in the domain. */

#include "fixture.h"

#include "tailnet/webhook.h"

static struct command make(const char *url, const char *provider, struct str_list events)
{
    return (struct command){.type = COMMAND_WEBHOOK_CREATE,
                            .text = str_from(url),
                            .provider = str_from(provider),
                            .name = STR("alice"),
                            .scopes = events};
}

static void makes_changes_and_deletes(void **state)
{
    struct str_list events = list_of("nodeCreated,policyUpdate"), one = list_of("userCreated");
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_done(&f, make("https://example.com/hook?x=1", "slack", events));
    webhook_id id = f.result.id;
    struct str secret = str_copy(f.result.secret);
    assert_true(str_starts(secret, WEBHOOK_KIND));
    assert_int_equal(fixture_count(&f, CHANGE_WEBHOOK), 1);
    assert_int_equal(domain_webhook_count(f.d), 1);
    const struct webhook *h = view_webhook_find(fixture_view(&f), id);
    assert_str(h->url, STR("https://example.com/hook?x=1"));
    assert_int_equal(h->provider, WEBHOOK_SLACK);
    assert_int_equal(h->subscriptions, BIT(EVENT_NODE_CREATED) | BIT(EVENT_POLICY_UPDATE));
    assert_str(h->secret, secret);
    assert_str(webhook_origin(h->url), STR("https://example.com"));
    assert_int_equal(h->created_ms, T0);

    f.now += 1000;
    fixture_done(&f, (struct command){.type = COMMAND_WEBHOOK_UPDATE, .id = id, .scopes = one});
    assert_int_equal(f.result.webhook->subscriptions, BIT(EVENT_USER_CREATED));
    assert_int_equal(f.result.webhook->modified_ms, f.now);
    assert_int_equal(f.result.secret.len, 0);
    /* The same again is no change. */
    fixture_done(&f, (struct command){.type = COMMAND_WEBHOOK_UPDATE, .id = id, .scopes = one});
    assert_int_equal(f.changes.len, 0);

    fixture_done(&f, (struct command){.type = COMMAND_WEBHOOK_ROTATE, .id = id});
    assert_false(str_eq(f.result.secret, secret));
    assert_str(view_webhook_find(fixture_view(&f), id)->secret, f.result.secret);

    fixture_done(&f, (struct command){.type = COMMAND_WEBHOOK_TEST, .id = id});
    assert_int_equal(f.changes.len, 0);
    fixture_done(&f, (struct command){.type = COMMAND_WEBHOOK_DELETE, .id = id});
    assert_int_equal(fixture_count(&f, CHANGE_WEBHOOK_REMOVED), 1);
    assert_int_equal(domain_webhook_count(f.d), 0);
    fixture_refused(&f, (struct command){.type = COMMAND_WEBHOOK_DELETE, .id = id}, ERR_NOT_FOUND,
                    "webhook not found");
    /* Ids are never used again. */
    fixture_done(&f, make("https://example.com/", "", events));
    assert_true(f.result.id > id);
    str_free(&secret);
    str_list_free(&events);
    str_list_free(&one);
    fixture_fini(&f);
}

static void refused(struct fixture *f, struct command c, enum err_code code)
{
    assert_int_equal(fixture_apply(f, c), -(int)code);
    assert_int_equal(f->changes.len, 0);
}

static void refuses_what_is_none(void **state)
{
    static const char *const urls[] = {"",
                                       "ftp://example.com/",
                                       "https://",
                                       "https:///path",
                                       "https://:8080/",
                                       "https://user:pass@example.com/",
                                       "https://example.com/ x",
                                       "https://example.com/\nx",
                                       "https://example.com/#x",
                                       "https://ex\\ample.com/",
                                       "javascript:alert(1)"};
    struct str_list events = list_of("nodeCreated"), wrong = list_of("nodeCreated,nothing"),
                    test = list_of("test");
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        print_message("%s\n", urls[i]);
        refused(&f, make(urls[i], "", events), ERR_INVALID);
    }
    char *long_url = mem_alloc(WEBHOOK_URL_MAX + 2);
    memset(long_url, 'x', WEBHOOK_URL_MAX + 1);
    long_url[WEBHOOK_URL_MAX + 1] = '\0';
    memcpy(long_url, "https://", 8);
    refused(&f, make(long_url, "", events), ERR_INVALID);
    mem_free(long_url);
    refused(&f, make("https://x/", "teams", events), ERR_INVALID);
    refused(&f, make("https://x/", "", wrong), ERR_INVALID);
    assert_string_equal(f.err.text, "no such subscription: \"nothing\"");
    refused(&f, make("https://x/", "", test), ERR_INVALID);
    refused(&f, make("https://x/", "", (struct str_list){0}), ERR_INVALID);
    for (int i = 0; i < WEBHOOKS_MAX; i++)
        fixture_done(&f, make("https://x/", "", events));
    refused(&f, make("https://x/", "", events), ERR_LIMIT);
    str_list_free(&events);
    str_list_free(&wrong);
    str_list_free(&test);
    fixture_fini(&f);
}

static void wants_by_name_and_by_category(void **state)
{
    struct webhook h = {.subscriptions = BIT(EVENT_CATEGORY_MISCONFIGURATIONS)};

    (void)state;
    assert_true(webhook_wants(&h, EVENT_SUBNET_FORWARDING_OFF));
    assert_true(webhook_wants(&h, EVENT_TEST));
    assert_false(webhook_wants(&h, EVENT_NODE_CREATED));
    h.subscriptions = BIT(EVENT_CATEGORY_MANAGEMENT);
    assert_true(webhook_wants(&h, EVENT_NODE_CREATED));
    assert_true(webhook_wants(&h, EVENT_USER_ROLE_UPDATED));
    assert_false(webhook_wants(&h, EVENT_EXIT_FORWARDING_OFF));
    for (unsigned i = 0; i < EVENT_TEST; i++) {
        enum webhook_event found = EVENT_TEST;

        assert_true(webhook_event_find(str_from(webhook_event_name(i)), &found));
        assert_int_equal(found, i);
    }
}

/* Deadlines a day ahead are there only while somebody wants to hear of them. */
static void reminds_only_where_it_is_wanted(void **state)
{
    struct str_list events = list_of("nodeKeyExpiringInOneDay");
    struct fixture f;

    (void)state;
    fixture_init(&f);
    user_id alice = fixture_user(&f, "alice");
    node_id id = fixture_join(&f, 1, alice, "laptop", "");
    fixture_done(&f, (struct command){
                         .type = COMMAND_NODE_EXPIRE, .id = id, .expiry_ms = f.now + 72 * HOUR_MS});
    assert_true(domain_next_tick_ms(f.d) == f.now + 72 * HOUR_MS);
    fixture_done(&f, make("https://x/", "", events));
    webhook_id hook = f.result.id;
    assert_true(domain_next_tick_ms(f.d) == f.now + 48 * HOUR_MS);
    fixture_done(&f, (struct command){.type = COMMAND_WEBHOOK_DELETE, .id = hook});
    assert_true(domain_next_tick_ms(f.d) == f.now + 72 * HOUR_MS);
    fixture_done(&f, make("https://x/", "", events));
    fixture_tick(&f, 48 * HOUR_MS);
    assert_int_equal(fixture_count(&f, CHANGE_NODE_EXPIRING), 1);
    assert_true(domain_next_tick_ms(f.d) == f.now + 24 * HOUR_MS);
    fixture_done(&f, (struct command){.type = COMMAND_NODE_DELETE, .id = id});
    str_list_free(&events);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_changes_and_deletes),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(wants_by_name_and_by_category),
        cmocka_unit_test(reminds_only_where_it_is_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
