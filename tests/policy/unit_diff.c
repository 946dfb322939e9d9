/* policy_diff on the small tailnet. */

#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "small_tailnet.h"

#define TAGS                                                                                  \
    "\"tagOwners\": {\"tag:db\": [], \"tag:web\": [], \"tag:prod\": [], \"tag:router\": [], " \
    "\"tag:exit\": []}, \"groups\": {\"group:dev\": [\"alice@example.com\", \"bob@example.com\"]}"
#define ACL(src, dst) "{\"action\":\"accept\",\"src\":[\"" src "\"],\"dst\":[\"" dst "\"]}"
#define ACLS(list) "{" TAGS ", \"acls\": [" list "]}"
#define GRANTS(list) "{" TAGS ", \"grants\": [" list "]}"
#define SSH(list) "{" TAGS ", \"ssh\": [" list "]}"

#define SHELL(action, src, dst)                                        \
    "{\"action\":\"" action "\",\"src\":[\"" src "\"],\"dst\":[\"" dst \
    "\"],\"users\":[\"root\",\"autogroup:nonroot\"]}"

static const struct {
    const char *name, *before, *after;
    const char *want;
} cases[] = {
    {"a rule is new", ACLS(""), ACLS(ACL("group:dev", "tag:db:5432")),
     "+ group:dev (3 machines) may reach tag:db (db) on port 5432\n"},
    {"one of a group less, one port more", ACLS(ACL("group:dev", "tag:db:5432")),
     ACLS(ACL("alice@example.com", "tag:db:5432,5433")),
     "+ alice@example.com (2 machines) may reach tag:db (db) on port 5433\n"
     "- bob@example.com (bob-laptop) may no longer reach tag:db (db) on port 5432\n"},
    {"the same in other words", ACLS(ACL("group:dev", "tag:db:80,443")),
     ACLS(ACL("alice@example.com", "tag:db:443,80") "," ACL("bob@example.com", "tag:db:80,443")),
     ""},
    {"what a wider rule covers", ACLS(ACL("*", "*:*")),
     ACLS(ACL("*", "*:*") "," ACL("group:dev", "tag:db:5432")), ""},
    {"nobody is meant", ACLS(""), ACLS(ACL("dave@example.com", "tag:db:5432")), ""},
    {"everything to one's own", ACLS(ACL("*", "*:*")),
     ACLS(ACL("autogroup:member", "autogroup:self:*")),
     "- every machine (8 machines) may no longer reach every machine (8 machines), 10.0.0.0/24 "
     "behind router, the internet on any port\n"
     "- 10.0.0.0/24 behind router may no longer reach every machine (8 machines), 10.0.0.0/24 "
     "behind router, the internet on any port\n"
     "= alice@example.com (2 machines) may reach their user's other machines as before, on any "
     "port\n"
     "- autogroup:member (4 machines), tag:exit (exit), db, web may no longer use the route "
     "10.0.0.0/24 through router\n"
     "- autogroup:member (4 machines), tag:router (router), db, web may no longer use the exit "
     "node exit\n"},
    {"one's own", ACLS(""), ACLS(ACL("autogroup:member", "autogroup:self:22")),
     "+ alice@example.com (2 machines) may reach their user's other machines on port 22\n"},
    {"one's own, in one family", ACLS(ACL("autogroup:member", "autogroup:self:22")),
     ACLS(ACL("alice@example.com", "100.64.0.0/10:22")),
     "+ alice@example.com (2 machines) may reach every machine (8 machines) on port 22 (IPv4 "
     "only)\n"
     "= alice@example.com (2 machines) may reach their user's other machines as before, on port 22 "
     "(IPv4 only)\n"
     "- alice@example.com (2 machines) may no longer reach their user's other machines on port 22 "
     "(IPv6 only)\n"},
    {"half a subnet", ACLS(""),
     GRANTS("{\"src\":[\"bob@example.com\"],\"dst\":[\"10.0.0.0/25\"],\"ip\":[\"tcp:80\"]}"),
     "+ bob@example.com (bob-laptop) may reach 10.0.0.0/25 behind router on tcp 80\n"
     "+ bob@example.com (bob-laptop) may use the route 10.0.0.0/24 through router\n"},
    {"the internet", ACLS(""),
     GRANTS("{\"src\":[\"bob@example.com\"],\"dst\":[\"autogroup:internet\"],\"ip\":[\"*\"]}"),
     "+ bob@example.com (bob-laptop) may reach the internet on any port\n"
     "+ bob@example.com (bob-laptop) may use the exit node exit\n"},
    {"a capability", ACLS(""),
     GRANTS("{\"src\":[\"bob@example.com\"],\"dst\":[\"tag:db\"],"
            "\"app\":{\"example.com/cap/x\":[{\"a\":1}]}}"),
     "+ bob@example.com (bob-laptop) has capability example.com/cap/x [{\"a\":1}] on tag:db "
     "(db)\n"},
    {"one address", ACLS(""), ACLS(ACL("100.64.0.1", "100.64.0.5:22")),
     "+ 100.64.0.1 (alice-laptop) may reach tag:db (db) on port 22 (IPv4 only)\n"},
    {"protocols", ACLS(""),
     GRANTS("{\"src\":[\"bob@example.com\"],\"dst\":[\"tag:db\"],"
            "\"ip\":[\"udp:53\",\"tcp:53\",\"tcp:1-5\",\"icmp:*\",\"gre:*\"]}"),
     "+ bob@example.com (bob-laptop) may reach tag:db (db) on tcp 1-5, 53; udp 53; gre\n"},
    {"a shell", SSH(""), SSH(SHELL("check", "group:dev", "tag:db")),
     "+ group:dev (3 machines) may log in by SSH to tag:db (db) as anyone but root, root with a "
     "check every 12h0m0s\n"},
    {"no shell", SSH(SHELL("accept", "group:dev", "tag:db")), SSH(""),
     "- group:dev (3 machines) may no longer log in by SSH to tag:db (db) as anyone but root, "
     "root\n"},
    {"a check", SSH(SHELL("accept", "group:dev", "tag:db")),
     SSH(SHELL("check", "group:dev", "tag:db")),
     "~ group:dev (3 machines) may log in by SSH to tag:db (db) as anyone but root, root with a "
     "check every 12h0m0s, instead of as anyone but root, root\n"},
    {"a shell on one's own", SSH(""), SSH(SHELL("accept", "autogroup:member", "autogroup:self")),
     "+ alice@example.com (2 machines) may log in by SSH to their user's other machines as anyone "
     "but root, root\n"},
    {"attributes and approval", ACLS(""),
     "{" TAGS ", \"acls\":[],\"nodeAttrs\":[{\"target\":[\"tag:db\"],\"attr\":[\"x\"]}],"
     "\"autoApprovers\":{\"routes\":{\"10.0.0.0/8\":[\"tag:router\"]}}}",
     "+ tag:db (db) gets the attribute x\n"
     "+ router's route 10.9.0.0/16 is approved without asking\n"},
    {"who may tag", ACLS(""),
     "{\"tagOwners\": {\"tag:db\": [\"bob@example.com\"], \"tag:web\": [], \"tag:prod\": [], "
     "\"tag:router\": [], \"tag:exit\": []}, \"acls\": []}",
     "+ bob@example.com may give their machines tag:db\n"},
    {"only seen", ACLS(""),
     GRANTS("{\"src\":[\"bob@example.com\"],\"dst\":[\"10.0.0.0/24\"],\"via\":[\"tag:router\"],"
            "\"app\":{\"example.com/cap/x\":[]}}"),
     "+ bob@example.com (bob-laptop) and tag:router (router) now see each other, with nothing more "
     "to reach\n"
     "+ bob@example.com (bob-laptop) may use the route 10.0.0.0/24 through router\n"},
};

static void tells_each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct small_tailnet t;
        struct buf out = BUF(0);

        print_message("%s\n", cases[i].name);
        small_tailnet_init(&t, cases[i].before);
        AUTO(policy_unref) const struct policy *after = small_tailnet_policy(&t, cases[i].after);
        policy_diff(t.policy, after, t.view, &out);
        if (!str_eq(buf_str(&out), str_from(cases[i].want))) {
            printf("%.*s", STR_ARG(buf_str(&out)));
            fail_msg("want\n%s", cases[i].want);
        }
        buf_fini(&out);
        small_tailnet_fini(&t);
    }
}

/* From no policy to one, and back. */
static void tells_of_no_policy(void **state)
{
    AUTO(policy_unref) const struct policy *open = policy_allow_all();
    struct small_tailnet t;
    struct buf out = BUF(0);

    (void)state;
    small_tailnet_init(&t, ACLS(ACL("*", "*:*")));
    policy_diff(open, t.policy, t.view, &out);
    assert_str(buf_str(&out), STR(""));
    small_tailnet_fini(&t);
    small_tailnet_init(&t, ACLS(""));
    policy_diff(t.policy, open, t.view, &out);
    assert_true(str_starts(buf_str(&out), STR("+ every machine (8 machines) may reach every "
                                              "machine (8 machines), 10.0.0.0/24 behind router, "
                                              "the internet on any port\n")));
    buf_clear(&out);
    policy_diff(open, open, t.view, &out);
    assert_int_equal(out.len, 0);
    buf_fini(&out);
    small_tailnet_fini(&t);
}

/* Many rules, each of its own words: so many lines, and how many more. */
static void is_bounded(void **state)
{
    struct buf text = BUF(0), out = BUF(0);
    struct small_tailnet t;

    (void)state;
    buf_put(&text, STR("{" TAGS ", \"nodeAttrs\": ["));
    for (int i = 0; i < 1500; i++)
        buf_printf(&text, "{\"target\":[\"tag:db\"],\"attr\":[\"a%d\"]},", i);
    buf_put(&text, STR("]}"));
    buf_put_char(&text, 0);
    small_tailnet_init(&t, "{" TAGS "}");
    AUTO(policy_unref) const struct policy *after = small_tailnet_policy(&t, text.ptr);
    policy_diff(t.policy, after, t.view, &out);
    assert_true(str_ends(buf_str(&out), STR("\n... and 500 more\n")));
    buf_fini(&text);
    buf_fini(&out);
    small_tailnet_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tells_each_case),
                                       cmocka_unit_test(tells_of_no_policy),
                                       cmocka_unit_test(is_bounded)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
