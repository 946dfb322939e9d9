/*
 * v2's policy file, settings, contacts, posture attributes and configuration log. headscale.md 3.6;
 * what tailscale-client-go-v2 and the Terraform provider send.
 */

#include "harness.h"

#define ACL "/api/v2/tailnet/-/acl"
#define POLICY                                                              \
    "// who may\n"                                                          \
    "{\"tagOwners\": {\"tag:a\": [\"alice@\"]},\n"                          \
    " \"acls\": [{\"action\": \"accept\", \"src\": [\"alice@\"], \"dst\": " \
    "[\"tag:a:22\"]},],}\n"

static int acl(struct harness *h, const char *method, const char *body, const char *headers)
{
    return harness_ask(
        h, &(struct question){
               .method = method, .path = ACL, .body = str_from(body), .headers = headers});
}

/* The last answer's, with its quotes; good until the next call. */
static struct str etag(struct harness *h)
{
    static char text[128];
    struct str head = str_sub(buf_str(&h->raw), 0, h->raw.len - h->body.len);
    ptrdiff_t at = str_find(head, STR("etag: "));

    assert_true(at > 0);
    struct str rest = str_from_index(head, (size_t)at + STR("etag: ").len);
    struct str line = str_sub(rest, 0, (size_t)str_find(rest, STR("\r")));
    (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(line));
    assert_int_equal(line.len, 66);
    return str_from(text);
}

static const char *if_match(struct str tag)
{
    static char line[256];

    (void)snprintf(line, sizeof(line), "if-match: %.*s\r\n", STR_ARG(tag));
    return line;
}

/* ---- The policy file ---- */

static void a_policy_is_text_of_two_kinds(void **state)
{
    struct harness *h = *state;

    assert_int_equal(acl(h, "GET", "", "accept: application/hujson\r\n"), 200);
    assert_true(got_header(h, "content-type: application/hujson\r\n"));
    assert_true(str_starts(h->body, STR("// ")));
    assert_int_equal(acl(h, "POST", POLICY, "accept: application/hujson\r\n"), 200);
    assert_str(h->body, STR(POLICY));
    struct str tag = str_copy(etag(h));
    assert_int_equal(acl(h, "GET", "", "accept: application/json\r\n"), 200);
    assert_true(got_header(h, "content-type: application/json\r\n"));
    assert_str(etag(h), tag);
    want_got(h, "acls.0.dst.0", "tag:a:22");
    assert_int_equal(str_find(h->body, STR("who may")), -1);
    str_free(&tag);
    /* Empty: back to none. */
    assert_int_equal(acl(h, "POST", "", NULL), 200);
    want_got(h, "acls.0.dst.0", "*:*");
}

static void who_writes_may_say_what_he_saw(void **state)
{
    struct harness *h = *state;

    assert_int_equal(acl(h, "POST", POLICY, "if-match: \"ts-default\"\r\n"), 200);
    struct str first = str_copy(etag(h));
    assert_int_equal(acl(h, "POST", "{}", "if-match: ts-default\r\n"), 412);
    want_got(h, "message", "precondition failed, invalid old hash");
    assert_int_equal(acl(h, "POST", "{\"groups\":{}}", if_match(first)), 200);
    assert_int_equal(acl(h, "POST", "{}", if_match(first)), 412);
    assert_int_equal(acl(h, "POST", POLICY, "if-match: *\r\n"), 200);
    assert_str(etag(h), first);
    assert_int_equal(acl(h, "POST", POLICY, "if-match: \"0\"\r\n"), 412);
    str_free(&first);
}

static void a_bad_policy_is_refused_with_reasons(void **state)
{
    struct harness *h = *state;

    (void)harness_node(h, "laptop", "alice");
    assert_int_equal(acl(h, "POST", "{\"acls\":", NULL), 400);
    assert_true(str_find(got(h, "message"), STR("line ")) >= 0);
    assert_int_equal(acl(h, "POST",
                         "{\"acls\":[],\"tests\":[{\"src\":\"alice@\",\"accept\":"
                         "[\"100.64.0.9:22\",\"100.64.0.8:22\"]}]}",
                         NULL),
                     400);
    want_got(h, "data.0.user", "alice@");
    assert_int_equal(json_len(got_value(h, "data.0.errors")), 2);
}

static void a_policy_is_tried_without_being_kept(void **state)
{
    struct harness *h = *state;

    (void)harness_node(h, "laptop", "alice");
    assert_int_equal(acl(h, "POST", POLICY, NULL), 200);
    want(h, 200, "POST", ACL "/validate", POLICY);
    assert_int_equal(json_len(h->json), 0);
    want(h, 200, "POST", ACL "/validate", "{\"acls\": 7}");
    assert_true(got(h, "message").len > 0);
    want(h, 200, "POST", ACL "/validate", "nonsense");
    assert_true(got(h, "message").len > 0);
    /* Tests alone run against the policy in force. */
    want(h, 200, "POST", ACL "/validate", "[{\"src\":\"alice@\",\"deny\":[\"100.64.0.9:22\"]}]");
    assert_int_equal(json_len(h->json), 0);
    want(h, 200, "POST", ACL "/validate", "[{\"src\":\"alice@\",\"accept\":[\"100.64.0.9:22\"]}]");
    want_got(h, "data.0.user", "alice@");
    want(h, 200, "POST", ACL "/validate", "[]");
    assert_int_equal(json_len(h->json), 0);
}

static void a_preview_names_the_rules(void **state)
{
    struct harness *h = *state;
    const char *user = ACL "/preview?type=user&previewFor=alice";

    (void)harness_node(h, "laptop", "alice");
    /* Without a policy those of the text that stands for it. */
    want(h, 200, "POST", user, "");
    want_got(h, "matches.0.ports.0", "*:*");
    want_got(h, "matches.0.lineNumber", "5");
    assert_int_equal(acl(h, "POST", POLICY, NULL), 200);
    want(h, 200, "POST", user, "");
    want_got(h, "matches.0.users.0", "alice@");
    want_got(h, "matches.0.ports.0", "tag:a:22");
    want_got(h, "matches.0.lineNumber", "3");
    want_got(h, "type", "user");
    want_got(h, "previewFor", "alice");
    /* Of another text, which is not kept and whose tests need not hold. */
    want(h, 200, "POST", ACL "/preview?type=ipport&previewFor=100.64.0.1%3A22",
         "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"alice@:20-30\"]}],"
         "\"tests\":[{\"src\":\"alice@\",\"deny\":[\"100.64.0.1:22\"]}]}");
    want_got(h, "matches.0.ports.0", "alice@:20-30");
    want(h, 200, "POST", ACL "/preview?type=ipport&previewFor=100.64.0.1%3A22", "");
    assert_int_equal(json_len(got_value(h, "matches")), 0);
    want(h, 400, "POST", ACL "/preview", "");
    want(h, 400, "POST", ACL "/preview?type=user", "");
    want(h, 400, "POST", ACL "/preview?type=group&previewFor=x", "");
    want(h, 400, "POST", ACL "/preview?type=user&previewFor=nobody", "");
    want_got(h, "message", "there is no user \"nobody\"");
    want(h, 400, "POST", ACL "/preview?type=ipport&previewFor=100.64.0.1", "");
    want(h, 400, "POST", user, "{\"acls\":");
    assert_true(str_find(got(h, "message"), STR("line ")) >= 0);
}

static void details_wrap_the_text_up(void **state)
{
    struct harness *h = *state;
    struct buf text = BUF(4096);

    assert_int_equal(acl(h, "POST", POLICY, NULL), 200);
    assert_int_equal(harness_ask(h, &(struct question){.method = "GET", .path = ACL "?details=1"}),
                     200);
    assert_true(base64_decode(got(h, "acl"), &text));
    assert_str(buf_str(&text), STR(POLICY));
    assert_true(json_is(got_value(h, "warnings"), JSON_ARRAY));
    buf_fini(&text);
}

static void a_file_s_policy_is_not_written(void **state)
{
    struct harness *h = NEW(struct harness);

    (void)state;
    harness_start(h, &(struct harness_options){.policy_from_file = true});
    assert_int_equal(acl(h, "POST", POLICY, NULL), 400);
    want(h, 200, "GET", "/api/v2/tailnet/-/settings", "");
    want_got(h, "aclsExternallyManagedOn", "true");
    harness_stop(h);
    mem_free(h);
}

/* ---- Settings and contacts ---- */

#define SETTINGS "/api/v2/tailnet/-/settings"

static void settings_are_changed_one_by_one(void **state)
{
    struct harness *h = *state;

    want(h, 200, "GET", SETTINGS, "");
    want_got(h, "devicesKeyDurationDays", "0");
    want(h, 200, "PATCH", SETTINGS, "{\"devicesKeyDurationDays\":90,\"httpsEnabled\":false}");
    want_got(h, "devicesKeyDurationDays", "90");
    want(h, 200, "PATCH", SETTINGS,
         "{\"aclsExternallyManagedOn\":true,\"aclsExternalLink\":\"https://git.example/p\","
         "\"devicesAutoUpdatesOn\":true,\"somethingNew\":1}");
    want(h, 200, "GET", SETTINGS, "");
    want_got(h, "devicesKeyDurationDays", "90");
    want_got(h, "aclsExternallyManagedOn", "true");
    want_got(h, "aclsExternalLink", "https://git.example/p");
    want_got(h, "devicesAutoUpdatesOn", "true");
    want(h, 200, "PATCH", SETTINGS, "{}");
    want(h, 501, "PATCH", SETTINGS, "{\"httpsEnabled\":true}");
    want_got(h, "message", "this server has no such thing: httpsEnabled");
    want(h, 501, "PATCH", SETTINGS, "{\"usersRoleAllowedToJoinExternalTailnets\":\"admin\"}");
    want(h, 400, "PATCH", SETTINGS, "{\"devicesKeyDurationDays\":-1}");
    want(h, 400, "PATCH", SETTINGS, "{\"devicesKeyDurationDays\":1e9}");
    want(h, 400, "PATCH", SETTINGS, "{\"devicesKeyDurationDays\":\"90\"}");
}

#define CONTACTS_PATH "/api/v2/tailnet/-/contacts"

static void contacts_are_kept(void **state)
{
    struct harness *h = *state;

    want(h, 200, "PATCH", CONTACTS_PATH "/security", "{\"email\":\"sec@example.com\"}");
    want(h, 200, "GET", CONTACTS_PATH, "");
    want_got(h, "security.email", "sec@example.com");
    want_got(h, "account.email", "");
    want(h, 400, "PATCH", CONTACTS_PATH "/support", "{\"email\":\"nobody\"}");
    want(h, 200, "PATCH", CONTACTS_PATH "/support", "{}");
    want(h, 404, "PATCH", CONTACTS_PATH "/boss", "{\"email\":\"a@b\"}");
    want(h, 400, "POST", CONTACTS_PATH "/security/resend-verification-email", "");
}

/* ---- Attributes ---- */

static void attributes_of_three_kinds_are_shown_as_such(void **state)
{
    struct harness *h = *state;
    char device[64], path[128];

    (void)snprintf(device, sizeof(device), "/api/v2/device/%llu/attributes",
                   (unsigned long long)harness_node(h, "dev", "alice"));
    (void)snprintf(path, sizeof(path), "%s/custom:tier", device);
    want(h, 200, "POST", path, "{\"value\":\"prod\",\"comment\":\"why\"}");
    want_got(h, "attributes.custom:tier", "prod");
    (void)snprintf(path, sizeof(path), "%s/custom:score", device);
    want(h, 200, "POST", path, "{\"value\":87,\"expiry\":\"2099-01-02T03:04:05Z\"}");
    want_got(h, "expiries.custom:score", "2099-01-02T03:04:05Z");
    (void)snprintf(path, sizeof(path), "%s/custom:managed", device);
    want(h, 200, "POST", path, "{\"value\":true,\"expiry\":\"0001-01-01T00:00:00Z\"}");
    want(h, 200, "GET", device, "");
    assert_true(json_is(got_value(h, "attributes.custom:score"), JSON_NUMBER));
    assert_true(json_is(got_value(h, "attributes.custom:managed"), JSON_BOOL));
    assert_int_equal(json_len(got_value(h, "expiries")), 1);
    want(h, 200, "DELETE", path, "");
    want(h, 404, "DELETE", path, "");
    want(h, 400, "POST", path, "{\"value\":[]}");
    want(h, 400, "POST", path, "{\"value\":1,\"expiry\":\"tomorrow\"}");
    want(h, 400, "POST", path, "{\"value\":1,\"expiry\":\"2001-01-01T00:00:00Z\"}");
    want(h, 404, "POST", "/api/v2/device/99/attributes/custom:a", "{\"value\":1}");
    (void)snprintf(path, sizeof(path), "%s/node:os", device);
    want(h, 400, "POST", path, "{\"value\":\"linux\"}");
}

static void a_posture_asks_for_a_custom_attribute(void **state)
{
    struct harness *h = *state;
    uint64_t id = harness_node(h, "laptop", "alice");
    char path[128];

    assert_int_equal(acl(h, "POST",
                         "{\"postures\":{\"posture:p\":[\"custom:tier == 'prod'\","
                         "\"custom:score >= 9.5\"]},\"hosts\":{\"h\":\"10.0.0.1\"},"
                         "\"acls\":[{\"action\":\"accept\",\"src\":[\"alice@\"],"
                         "\"srcPosture\":[\"posture:p\"],\"dst\":[\"h:22\"]}]}",
                         NULL),
                     200);
    (void)snprintf(path, sizeof(path), "/api/v2/device/%llu/attributes/custom:tier",
                   (unsigned long long)id);
    want(h, 200, "GET", "/api/v1/policy/explain?src=laptop&dst=h:22", "");
    assert_true(str_find(got(h, "explanation"), STR("does not satisfy")) >= 0);
    want(h, 200, "POST", path, "{\"value\":\"prod\"}");
    (void)snprintf(path, sizeof(path), "/api/v2/device/%llu/attributes/custom:score",
                   (unsigned long long)id);
    want(h, 200, "POST", path, "{\"value\":9.25}");
    want(h, 200, "GET", "/api/v1/policy/explain?src=laptop&dst=h:22", "");
    assert_true(str_find(got(h, "explanation"), STR("does not satisfy")) >= 0);
    /* As a number: as a text 10 comes before 9.5. */
    want(h, 200, "POST", path, "{\"value\":10}");
    want(h, 200, "GET", "/api/v1/policy/explain?src=laptop&dst=h:22", "");
    assert_int_equal(str_find(got(h, "explanation"), STR("does not satisfy")), -1);
}

static void a_device_gets_another_address(void **state)
{
    struct harness *h = *state;
    char path[128];

    (void)snprintf(path, sizeof(path), "/api/v2/device/%llu",
                   (unsigned long long)harness_node(h, "dev", "alice"));
    char below[160];
    (void)snprintf(below, sizeof(below), "%s/ip", path);
    want(h, 200, "POST", below, "{\"ipv4\":\"100.64.9.9\"}");
    want(h, 200, "GET", path, "");
    want_got(h, "addresses.0", "100.64.9.9");
    want(h, 400, "POST", below, "{\"ipv4\":\"10.0.0.1\"}");
    want(h, 400, "POST", below, "{\"ipv4\":\"fd7a:115c:a1e0::5\"}");
    want(h, 400, "POST", below, "{}");
}

/* ---- The log ---- */

static void changes_are_logged_the_oldest_first(void **state)
{
    struct harness *h = *state;
    const char *log = "/api/v2/tailnet/-/logging/configuration";

    want(h, 200, "PATCH", SETTINGS, "{\"devicesKeyDurationDays\":7}");
    want(h, 200, "GET", log, "");
    want_got(h, "tailnet", "default");
    const struct json_value *logs = got_value(h, "logs");
    const struct json_value *last = json_at(logs, json_len(logs) - 1);
    assert_str(json_get_str(last, "action"), STR("UPDATE"));
    assert_str(json_get_str(json_get(last, "target"), "type"), STR("TAILNET"));
    assert_str(json_get_str(json_get(last, "target"), "property"), STR("tailnet.settings"));
    assert_str(json_get_str(json_get(last, "actor"), "type"), STR("API_KEY"));
    want(h, 200, "GET",
         "/api/v2/tailnet/-/logging/configuration?start=2001-01-01T00:00:00Z&end="
         "2001-02-01T00:00:00Z",
         "");
    want_got(h, "logs", "[]");
    want(h, 400, "GET", "/api/v2/tailnet/-/logging/configuration?start=x", "");
    want(h, 501, "GET", "/api/v2/tailnet/-/logging/network", "");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_alice, tear_down_harness)
    const struct CMUnitTest tests[] = {
        T(a_policy_is_text_of_two_kinds),
        T(who_writes_may_say_what_he_saw),
        T(a_bad_policy_is_refused_with_reasons),
        T(a_policy_is_tried_without_being_kept),
        T(a_preview_names_the_rules),
        T(details_wrap_the_text_up),
        T(a_file_s_policy_is_not_written),
        T(settings_are_changed_one_by_one),
        T(contacts_are_kept),
        T(attributes_of_three_kinds_are_shown_as_such),
        T(a_posture_asks_for_a_custom_attribute),
        T(a_device_gets_another_address),
        T(changes_are_logged_the_oldest_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
