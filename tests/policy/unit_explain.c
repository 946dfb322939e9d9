/* policy_explain and policy_allows on the small tailnet. */

#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "small_tailnet.h"

static const char text[] =
    "{\n"
    "  \"groups\": {\n"
    "    \"group:dev\": [\"alice@example.com\", \"bob@example.com\"],\n"
    "  },\n"
    "  \"hosts\": {\"printer\": \"10.0.0.9\"},\n"
    "  \"tagOwners\": {\"tag:db\": [], \"tag:web\": [], \"tag:prod\": [], \"tag:router\": [],\n"
    "                \"tag:exit\": [], \"tag:via\": []},\n"
    "  \"postures\": {\"posture:mac\": [\"node:os == 'macos'\"]},\n"
    "  \"acls\": [\n"
    "    {\"action\": \"accept\", \"src\": [\"group:dev\"], \"dst\": [\"tag:db:5432\"]},\n"
    "    {\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": "
    "[\"autogroup:self:*\"]},\n"
    "    {\"action\": \"accept\", \"src\": [\"bob@example.com\"], \"dst\": [\"printer:631\"]},\n"
    "  ],\n"
    "  \"grants\": [\n"
    "    {\"src\": [\"carol@other.org\"], \"dst\": [\"tag:web\"], \"ip\": [\"tcp:443\"],\n"
    "     \"srcPosture\": [\"posture:mac\"]},\n"
    "    {\"src\": [\"bob@example.com\"], \"dst\": [\"10.0.0.64/26\"], \"ip\": [\"tcp:80\"],\n"
    "     \"via\": [\"tag:via\"]},\n"
    "    {\"src\": [\"alice@example.com\"], \"dst\": [\"autogroup:internet\"], \"ip\": [\"*\"]},\n"
    "  ],\n"
    "  \"ssh\": [\n"
    "    {\"action\": \"check\", \"src\": [\"group:dev\"], \"dst\": [\"tag:db\"],\n"
    "     \"users\": [\"root\", \"autogroup:nonroot\"]},\n"
    "  ],\n"
    "}\n";

static const struct {
    const char *src, *dst;
    int port, proto;
    const char *want[8];
} cases[] = {
    {"alice-laptop",
     "db",
     5432,
     6,
     {"ALLOWED: alice-laptop may reach db on tcp 5432\n", "  acl at line 10, column 5\n",
      "from \"group:dev\" (line 10, column 34): alice-laptop belongs to alice@example.com, a "
      "member "
      "of group:dev (line 3, column 19)\n",
      "to \"tag:db\" (line 10, column 56) on port 5432: db carries tag:db\n"}},
    {"alice-laptop",
     "100.64.0.5",
     5432,
     6,
     {"ALLOWED: alice-laptop may reach db (100.64.0.5) on tcp 5432\n"}},
    {"alice-laptop",
     "db",
     -1,
     6,
     {"ALLOWED: alice-laptop may reach db on port 5432\n",
      "ssh rule at line 22, column 5: alice-laptop to db as root, anyone but root, checked every "
      "12h0m0s\n",
      "but without network access to tcp 22 nobody gets there\n"}},
    {"alice-laptop",
     "db",
     22,
     6,
     {"DENIED: alice-laptop may not reach db on tcp 22\n",
      "acl at line 10, column 5: source and destination match, but it is about port 5432 only\n"}},
    {"web",
     "db",
     5432,
     6,
     {"DENIED: ", "it is for group:dev and web is not among them\n",
      "web (100.64.0.6, fd7a:115c:a1e0::6) carries tag:prod (line 6, column 46), tag:web (line 6, "
      "column 31), and so is nobody's"}},
    {"web", "db", 22, 17, {"DENIED: web may not reach db on udp 22\n", "No rule comes close\n"}},
    {"alice-laptop",
     "alice-phone",
     80,
     6,
     {"ALLOWED: ", "to \"autogroup:self\" (line 11, column 63) on any port: alice-phone belongs to "
                   "the same user\n"}},
    {"alice-laptop",
     "bob-laptop",
     80,
     6,
     {"DENIED: ", "alice-laptop and bob-laptop are not of one user\n"}},
    {"bob-laptop",
     "printer",
     631,
     6,
     {"ALLOWED: bob-laptop may reach 10.0.0.9 (printer) on tcp 631\n",
      "behind router by its approved route 10.0.0.0/24\n"}},
    {"bob-laptop", "10.0.0.70", 80, 6, {"DENIED: ", "goes only through machines with tag:via\n"}},
    {"bob-laptop",
     "10.9.0.70",
     80,
     6,
     {"DENIED: ", "No machine is 10.9.0.70, and no approved subnet route has it\n",
      "router announces 10.9.0.0/16, which nobody has approved\n"}},
    {"carol-mac",
     "web",
     443,
     6,
     {"DENIED: ", "wants carol-mac to satisfy posture:mac (line 8, column 16), which it does not\n",
      "does not satisfy posture:mac\n"}},
    {"alice-laptop",
     "autogroup:internet",
     443,
     6,
     {"ALLOWED: ",
      "a public address, through an approved exit node, behind exit as an exit node\n"}},
    {"bob-laptop",
     "autogroup:internet",
     443,
     6,
     {"DENIED: ", "it is for alice@example.com and bob-laptop is not among them\n"}},
    {"group:dev", "autogroup:self", 443, 6, {"ALLOWED: group:dev may reach autogroup:self on tcp"}},
    {"group:dev",
     "*",
     5432,
     6,
     {"PARTLY: group:dev may reach * on tcp 5432: 5 of 21 pairs\n",
      "alice-laptop may reach alice-phone, db; may not reach bob-laptop, carol-mac, web, router, "
      "exit\n"}},
    {"tag:via", "db", 443, 6, {"DENIED: tag:via has no machine at present\n"}},
    {"alice-laptop", "db", 0, 1, {"ALLOWED: alice-laptop may reach db on icmp\n"}},
    {"carol-mac", "db", 0, 1, {"DENIED: "}},
};

static void explains(struct small_tailnet *t, size_t i)
{
    struct buf out = BUF(0);
    struct err err = {0};

    print_message("%s to %s, %d/%d\n", cases[i].src, cases[i].dst, cases[i].port, cases[i].proto);
    if (policy_explain(t->policy, t->view, str_from(cases[i].src), str_from(cases[i].dst),
                       cases[i].port, cases[i].proto, &out, &err) < 0)
        fail_msg("%s", err.text);
    if (getenv("UNIT_PRINT"))
        printf("%.*s\n", STR_ARG(buf_str(&out)));
    for (size_t k = 0; k < ARRAY_LEN(cases[i].want) && cases[i].want[k]; k++)
        if (str_find(buf_str(&out), str_from(cases[i].want[k])) < 0) {
            printf("%.*s\n", STR_ARG(buf_str(&out)));
            fail_msg("not there: %s", cases[i].want[k]);
        }
    buf_fini(&out);
}

static void explains_each_case(void **state)
{
    struct small_tailnet t;

    (void)state;
    small_tailnet_init(&t, text);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        explains(&t, i);
    small_tailnet_fini(&t);
}

static void knows_all_names(void **state)
{
    struct small_tailnet t;
    struct buf out = BUF(0);
    struct err err = {0};

    (void)state;
    small_tailnet_init(&t, text);
    const struct node *n = view_node_find(t.view, 1);
    const struct str names[] = {n->given_name, n->fqdn, str_sub(n->fqdn, 0, n->fqdn.len - 1),
                                n->stable_id, STR("fd7a:115c:a1e0::1")};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        buf_clear(&out);
        assert_int_equal(policy_explain(t.policy, t.view, names[i], STR("db"), 5432, 6, &out, &err),
                         0);
        assert_true(str_starts(buf_str(&out), STR("ALLOWED: alice-laptop")));
    }
    buf_fini(&out);
    small_tailnet_fini(&t);
}

static void refuses_what_is_neither(void **state)
{
    static const char *const bad[][2] = {{"nobody", "db"},
                                         {"db", "nobody"},
                                         {"", "db"},
                                         {"db", "tag:none"},
                                         {"autogroup:self", "db"}};
    struct small_tailnet t;
    struct buf out = BUF(0);

    (void)state;
    small_tailnet_init(&t, text);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};

        assert_int_equal(policy_explain(t.policy, t.view, str_from(bad[i][0]), str_from(bad[i][1]),
                                        22, 6, &out, &err),
                         -ERR_INVALID);
        assert_true(err.text[0] != 0);
    }
    assert_int_equal(out.len, 0);
    small_tailnet_fini(&t);
}

static void explains_no_policy(void **state)
{
    AUTO(policy_unref) const struct policy *open = policy_allow_all();
    struct small_tailnet t;
    struct buf out = BUF(0);
    struct err err = {0};

    (void)state;
    small_tailnet_init(&t, text);
    assert_int_equal(policy_explain(open, t.view, STR("db"), STR("web"), 22, 6, &out, &err), 0);
    assert_true(str_starts(buf_str(&out), STR("ALLOWED: db may reach web on tcp 22\n")));
    assert_true(str_find(buf_str(&out), STR("has no policy")) > 0);
    buf_fini(&out);
    small_tailnet_fini(&t);
}

static const struct {
    const char *src, *dst;
    int proto;
    uint16_t port;
    bool want;
} packets[] = {
    {"100.64.0.1", "100.64.0.5", 6, 5432, true},
    {"fd7a:115c:a1e0::1", "fd7a:115c:a1e0::5", 17, 5432, true},
    {"100.64.0.1", "100.64.0.5", 6, 5433, false},
    {"100.64.0.1", "100.64.0.5", 1, 0, true},       /* no protocol given: ICMP too */
    {"100.64.0.1", "100.64.0.5", 132, 5432, false}, /* but not SCTP */
    {"100.64.0.4", "100.64.0.5", 6, 5432, false},
    {"100.64.0.1", "100.64.0.2", 6, 22, true},  /* her own */
    {"100.64.0.1", "100.64.0.3", 6, 22, false}, /* his */
    {"100.64.0.3", "10.0.0.9", 6, 631, true},
    {"100.64.0.3", "10.0.0.8", 6, 631, false},
    {"100.64.0.3", "10.0.0.70", 6, 80, false}, /* via other routers */
    {"100.64.0.1", "8.8.8.8", 6, 443, true},
    {"100.64.0.1", "10.9.0.1", 6, 443, false}, /* the internet is not that */
    {"100.64.0.3", "8.8.8.8", 6, 443, false},
    {"100.64.0.99", "100.64.0.5", 6, 5432, false},
};

static void allows_single_packets(void **state)
{
    struct small_tailnet t;

    (void)state;
    small_tailnet_init(&t, text);
    for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
        struct ip_addr src = {0}, dst = {0};

        print_message("%s to %s %d/%d\n", packets[i].src, packets[i].dst, packets[i].port,
                      packets[i].proto);
        assert_true(ip_addr_parse(str_from(packets[i].src), &src));
        assert_true(ip_addr_parse(str_from(packets[i].dst), &dst));
        assert_int_equal(policy_allows(t.policy, src, dst, packets[i].proto, packets[i].port),
                         packets[i].want);
    }
    small_tailnet_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(explains_each_case), cmocka_unit_test(knows_all_names),
        cmocka_unit_test(refuses_what_is_neither), cmocka_unit_test(explains_no_policy),
        cmocka_unit_test(allows_single_packets)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
