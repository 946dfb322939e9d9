/* policy_put_preview on the small tailnet. */

#include "../unit.h"

#include "small_tailnet.h"

static const char text[] =
    "{\n"
    "  \"groups\": {\"group:dev\": [\"alice@example.com\"]},\n"
    "  \"hosts\": {\"laptops\": \"100.64.0.0/30\"},\n"
    "  \"ipsets\": {\"ipset:lan\": [\"10.0.0.0/24\", \"fd7a:115c:a1e0::5\"]},\n"
    "  \"tagOwners\": {\"tag:db\": [], \"tag:web\": [], \"tag:prod\": [], \"tag:router\": [],\n"
    "                \"tag:exit\": [], \"tag:via\": []},\n"
    "  \"postures\": {\"posture:mac\": [\"node:os == 'macos'\", \"custom:tier > 3\"],\n"
    "               \"posture:unused\": [\"node:os == 'linux'\"]},\n"
    "  \"acls\": [\n"
    "    {\"action\": \"accept\", \"src\": [\"group:dev\"], \"dst\": [\"tag:db:22,5432-5433\"]},\n"
    "    {\"action\": \"accept\", \"src\": [\"tag:web\"], \"dst\": [\"tag:db:*\"]},\n"
    "    {\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": "
    "[\"autogroup:self:*\"]},\n"
    "    {\"action\": \"accept\", \"src\": [\"laptops\"], \"proto\": \"udp\", \"dst\": "
    "[\"ipset:lan:53\"]},\n"
    "  ],\n"
    "  \"grants\": [\n"
    "    {\"src\": [\"carol@other.org\", \"tag:prod\"], \"dst\": [\"tag:web\"], \"ip\": "
    "[\"tcp:443\", \"icmp:*\", \"80\"],\n"
    "     \"srcPosture\": [\"posture:mac\"]},\n"
    "    {\"src\": [\"bob@example.com\"], \"dst\": [\"10.0.0.64/26\"], \"ip\": [\"tcp:80\"],\n"
    "     \"via\": [\"tag:via\"]},\n"
    "    {\"src\": [\"bob@example.com\"], \"dst\": [\"autogroup:internet\"], \"ip\": [\"*\"]},\n"
    "    {\"src\": [\"*\"], \"dst\": [\"tag:web\"], \"app\": {\"example.com/cap/x\": [{}]}},\n"
    "    {\"src\": [\"tag:db\"], \"dst\": [\"fd7a:115c:a1e0::6\"], \"ip\": [\"8080\"]},\n"
    "  ],\n"
    "}\n";

#define DB                                                                              \
    "{\"users\":[\"group:dev\"],\"ports\":[\"tag:db:22,5432-5433\"],\"lineNumber\":10," \
    "\"postures\":[]}"
#define WEB_DB \
    "{\"users\":[\"tag:web\"],\"ports\":[\"tag:db:*\"],\"lineNumber\":11,\"postures\":[]}"
#define SELF                                                                                \
    "{\"users\":[\"autogroup:member\"],\"ports\":[\"autogroup:self:*\"],\"lineNumber\":12," \
    "\"postures\":[]}"
#define LAN                                                                        \
    "{\"users\":[\"laptops\"],\"ports\":[\"ipset:lan:udp:53\"],\"lineNumber\":13," \
    "\"postures\":[]}"
#define CAROL                                                                       \
    "{\"users\":[\"carol@other.org\",\"tag:prod\"],\"ports\":[\"tag:web:tcp:443\"," \
    "\"tag:web:icmp:*\",\"tag:web:80\"],\"lineNumber\":16,\"postures\":[\"posture:mac\"]}"
#define VIA                                                                                   \
    "{\"users\":[\"bob@example.com\"],\"ports\":[\"10.0.0.64/26:tcp:80\"],\"lineNumber\":18," \
    "\"via\":[\"tag:via\"],\"postures\":[]}"
#define INTERNET                                                                               \
    "{\"users\":[\"bob@example.com\"],\"ports\":[\"autogroup:internet:*\"],\"lineNumber\":20," \
    "\"postures\":[]}"
#define APP "{\"users\":[\"*\"],\"ports\":[],\"lineNumber\":21,\"postures\":[]}"
#define V6                                                                                \
    "{\"users\":[\"tag:db\"],\"ports\":[\"[fd7a:115c:a1e0::6]:8080\"],\"lineNumber\":22," \
    "\"postures\":[]}"
#define MAC ",\"postures\":{\"posture:mac\":[\"node:os == 'macos'\",\"custom:tier > 3\"]}}"
#define NO_POSTURES ",\"postures\":{}}"
#define EVERYTHING "{\"users\":[\"*\"],\"ports\":[\"*:*\"],\"lineNumber\":0,\"postures\":[]}"

static const struct {
    enum policy_preview kind;
    const char *who;
    const char *want;
} cases[] = {
    {POLICY_PREVIEW_USER, "alice@example.com", DB "," SELF "," LAN "," APP "]" NO_POSTURES},
    {POLICY_PREVIEW_USER, "bob@example.com",
     SELF "," LAN "," VIA "," INTERNET "," APP "]" NO_POSTURES},
    {POLICY_PREVIEW_USER, "carol@other.org", SELF "," CAROL "," APP "]" MAC},
    {POLICY_PREVIEW_IPPORT, "100.64.0.5:22", DB "," WEB_DB "]" NO_POSTURES},
    {POLICY_PREVIEW_IPPORT, "100.64.0.5:53", WEB_DB "]" NO_POSTURES},
    {POLICY_PREVIEW_IPPORT, "[fd7a:115c:a1e0::5]:53", WEB_DB "," LAN "]" NO_POSTURES},
    {POLICY_PREVIEW_IPPORT, "100.64.0.1:80", SELF "]" NO_POSTURES},
    {POLICY_PREVIEW_IPPORT, "100.64.0.6:443", CAROL "]" MAC},
    {POLICY_PREVIEW_IPPORT, "100.64.0.6:22", "]" NO_POSTURES}, /* icmp has no ports */
    {POLICY_PREVIEW_IPPORT, "[fd7a:115c:a1e0::6]:8080", V6 "]" NO_POSTURES},
    {POLICY_PREVIEW_IPPORT, "10.0.0.70:80", VIA "]" NO_POSTURES},
    {POLICY_PREVIEW_IPPORT, "10.0.0.70:53", LAN "]" NO_POSTURES},
    {POLICY_PREVIEW_IPPORT, "192.0.2.1:443", INTERNET "]" NO_POSTURES},
    {POLICY_PREVIEW_IPPORT, "10.9.0.70:80", "]" NO_POSTURES},
};

static void preview(const struct small_tailnet *t, const struct policy *p, enum policy_preview kind,
                    const char *who, const char *want)
{
    struct buf out = BUF(0);
    struct json_writer w = JSON_WRITER(&out);
    struct err err = {0};
    char whole[4096];

    print_message("%s\n", who);
    json_begin_object(&w);
    if (policy_put_preview(p, t->view, kind, str_from(who), &w, &err) < 0)
        fail_msg("%s", err.text);
    json_end_object(&w);
    (void)snprintf(whole, sizeof(whole), "{\"matches\":[%s", want);
    assert_str(buf_str(&out), str_from(whole));
    buf_fini(&out);
}

static void names_the_rules_of_each_case(void **state)
{
    struct small_tailnet t;

    (void)state;
    small_tailnet_init(&t, text);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        preview(&t, t.policy, cases[i].kind, cases[i].who, cases[i].want);
    small_tailnet_fini(&t);
}

static void a_policy_without_rules_allows_everything(void **state)
{
    AUTO(policy_unref) const struct policy *open = policy_allow_all();
    struct small_tailnet t;

    (void)state;
    small_tailnet_init(&t, "{\"groups\": {}}");
    preview(&t, t.policy, POLICY_PREVIEW_USER, "alice@example.com", EVERYTHING "]}");
    preview(&t, open, POLICY_PREVIEW_IPPORT, "100.64.0.5:1", EVERYTHING "]}");
    AUTO(policy_unref) const struct policy *shut = small_tailnet_policy(&t, "{\"acls\": []}");
    preview(&t, shut, POLICY_PREVIEW_USER, "alice@example.com", "]" NO_POSTURES);
    small_tailnet_fini(&t);
}

static void refuses_what_is_neither(void **state)
{
    static const struct {
        enum policy_preview kind;
        const char *who;
    } bad[] = {
        {POLICY_PREVIEW_USER, ""},
        {POLICY_PREVIEW_USER, "@"},
        {POLICY_PREVIEW_USER, "nobody@"},
        {POLICY_PREVIEW_USER, "tag:db"},
        {POLICY_PREVIEW_IPPORT, ""},
        {POLICY_PREVIEW_IPPORT, "100.64.0.5"},
        {POLICY_PREVIEW_IPPORT, "db:22"},
        {POLICY_PREVIEW_IPPORT, "100.64.0.5:65536"},
        {POLICY_PREVIEW_IPPORT, "fd7a::1:2"},
    };
    struct small_tailnet t;
    struct buf out = BUF(0);
    struct json_writer w = JSON_WRITER(&out);

    (void)state;
    small_tailnet_init(&t, text);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};

        assert_int_equal(
            policy_put_preview(t.policy, t.view, bad[i].kind, str_from(bad[i].who), &w, &err),
            -ERR_INVALID);
        assert_true(err.text[0] != '\0');
    }
    assert_int_equal(out.len, 0);
    buf_fini(&out);
    small_tailnet_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_the_rules_of_each_case),
        cmocka_unit_test(a_policy_without_rules_allows_everything),
        cmocka_unit_test(refuses_what_is_neither),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
