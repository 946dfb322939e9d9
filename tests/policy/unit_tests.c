/* The author's tests (policy.md 13): what passes, what fails, and in which words. */

#include "../unit.h"

#include "policy/eval_internal.h"
#include "policy/policy.h"

/* ann has one device, cy two; two servers, of which one is tagged prod too; a router. */
#define TAILNET                                                                                    \
    "\"users\":[{\"id\":1,\"name\":\"ann\",\"email\":\"ann@example.com\",\"role\":\"owner\"},"     \
    "{\"id\":2,\"name\":\"cy\",\"email\":\"cy@example.com\"},"                                     \
    "{\"id\":3,\"name\":\"no\",\"email\":\"no@example.com\"}],"                                    \
    "\"nodes\":["                                                                                  \
    "{\"name\":\"a\",\"user\":\"ann\",\"ipv4\":\"100.64.0.1\",\"ipv6\":\"fd7a:115c:a1e0::1\"},"    \
    "{\"name\":\"c1\",\"user\":\"cy\",\"ipv4\":\"100.64.0.2\",\"ipv6\":\"fd7a:115c:a1e0::2\"},"    \
    "{\"name\":\"c2\",\"user\":\"cy\",\"ipv4\":\"100.64.0.3\",\"ipv6\":\"fd7a:115c:a1e0::3\"},"    \
    "{\"name\":\"s\",\"tags\":[\"tag:srv\"],\"ipv4\":\"100.64.0.4\","                              \
    "\"ipv6\":\"fd7a:115c:a1e0::4\"},"                                                             \
    "{\"name\":\"p\",\"tags\":[\"tag:srv\",\"tag:prod\"],\"ipv4\":\"100.64.0.5\","                 \
    "\"ipv6\":\"fd7a:115c:a1e0::5\"},"                                                             \
    "{\"name\":\"r\",\"tags\":[\"tag:r\"],\"ipv4\":\"100.64.0.6\",\"ipv6\":\"fd7a:115c:a1e0::6\"," \
    "\"routable_ips\":[\"10.0.0.0/8\"],\"approved_routes\":[\"10.0.0.0/8\"]}]"

#define NAMES                                                                        \
    "\"groups\":{\"group:g\":[\"cy@\"],\"group:empty\":[]},"                         \
    "\"hosts\":{\"db\":\"10.0.0.7\",\"net\":\"10.0.0.0/24\",\"s4\":\"100.64.0.4\"}," \
    "\"tagOwners\":{\"tag:srv\":[],\"tag:prod\":[],\"tag:r\":[],\"tag:idle\":[]}"

#define ACLS                                                                               \
    "\"acls\":[{\"action\":\"accept\",\"src\":[\"cy@\"],\"dst\":[\"tag:srv:22,80-90\"]},"  \
    "{\"action\":\"accept\",\"proto\":\"udp\",\"src\":[\"ann@\"],\"dst\":[\"db:53\"]},"    \
    "{\"action\":\"accept\",\"src\":[\"100.64.0.1\"],\"dst\":[\"tag:prod:443\"]},"         \
    "{\"action\":\"accept\",\"src\":[\"group:g\"],\"dst\":[\"autogroup:self:*\"]},"        \
    "{\"action\":\"accept\",\"src\":[\"tag:prod\"],\"dst\":[\"autogroup:internet:443\"]}," \
    "{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"tag:r:1\"]}],"                      \
    "\"grants\":[{\"src\":[\"ann@\"],\"dst\":[\"10.0.0.0/8\"],\"ip\":[\"tcp:99\"],"        \
    "\"via\":[\"tag:r\"]}]"

#define SSH                                                                                  \
    "\"ssh\":[{\"action\":\"accept\",\"src\":[\"cy@\"],\"dst\":[\"tag:srv\"],"               \
    "\"users\":[\"autogroup:nonroot\"]},"                                                    \
    "{\"action\":\"check\",\"src\":[\"ann@\"],\"dst\":[\"tag:prod\"],\"users\":[\"root\"]}," \
    "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\"],"    \
    "\"users\":[\"localpart:*@example.com\"]}]"

static const struct {
    const char *name;
    const char *tests; /* elements of tests */
    const char *line;  /* of the details; NULL: it holds */
} cases[] = {
    {"allowed", "{\"src\":\"cy@\",\"accept\":[\"tag:srv:22\",\"tag:srv:85\"]}", NULL},
    {"one of the destination's nodes will do", "{\"src\":\"cy@\",\"accept\":[\"tag:prod:22\"]}",
     NULL},
    {"port beside the range", "{\"src\":\"cy@\",\"accept\":[\"tag:srv:91\"]}",
     "cy@ -> tag:srv:91: expected ALLOWED, got DENIED\n"},
    {"denied", "{\"src\":\"ann@\",\"deny\":[\"tag:srv:22\"]}", NULL},
    {"not denied", "{\"src\":\"cy@example.com\",\"deny\":[\"100.64.0.4:22\"]}",
     "cy@example.com -> 100.64.0.4:22: expected DENIED, got ALLOWED\n"},
    {"every line is told",
     "{\"src\":\"cy@\",\"accept\":[\"tag:srv:1\"],\"deny\":[\"tag:srv:80\",\"s4:22\"]}",
     "cy@ -> tag:srv:1: expected ALLOWED, got DENIED\n"
     "cy@ -> tag:srv:80: expected DENIED, got ALLOWED\n"
     "cy@ -> s4:22: expected DENIED, got ALLOWED\n"},
    {"all sources have to reach it", "{\"src\":\"autogroup:member\",\"accept\":[\"tag:srv:22\"]}",
     "autogroup:member -> tag:srv:22: expected ALLOWED, got DENIED\n"},
    {"both addresses of a source have to", "{\"src\":\"ann@\",\"accept\":[\"tag:prod:443\"]}",
     "ann@ -> tag:prod:443: expected ALLOWED, got DENIED\n"},
    {"the one that may", "{\"src\":\"100.64.0.1\",\"accept\":[\"tag:prod:443\"]}", NULL},
    {"the one that may not", "{\"src\":\"fd7a:115c:a1e0::1\",\"deny\":[\"tag:prod:443\"]}", NULL},
    {"a range as a source needs an overlap only",
     "{\"src\":\"100.64.0.0/24\",\"accept\":[\"tag:prod:443\"]}", NULL},
    {"an address of no node", "{\"src\":\"ann@\",\"proto\":\"udp\",\"accept\":[\"db:53\"]}", NULL},
    {"another protocol", "{\"src\":\"ann@\",\"proto\":\"tcp\",\"accept\":[\"db:53\"]}",
     "ann@ -> db:53 (tcp): expected ALLOWED, got DENIED\n"},
    {"protocol by number", "{\"src\":\"ann@\",\"proto\":\"17\",\"accept\":[\"10.0.0.7:53\"]}",
     NULL},
    {"no protocol: any of four", "{\"src\":\"ann@\",\"accept\":[\"db:53\"]}", NULL},
    {"what a grant steers by via does not count", "{\"src\":\"ann@\",\"deny\":[\"db:99\"]}", NULL},
    {"* is everybody", "{\"src\":\"autogroup:tagged\",\"accept\":[\"tag:r:1\"]}", NULL},
    {"* as a source", "{\"src\":\"*\",\"accept\":[\"tag:r:1\"]}", NULL},
    {"* as a source of less", "{\"src\":\"*\",\"accept\":[\"tag:srv:22\"]}",
     "* -> tag:srv:22: expected ALLOWED, got DENIED\n"},
    {"a public address", "{\"src\":\"tag:prod\",\"accept\":[\"8.8.8.8:443\"]}", NULL},
    {"a private address is not public", "{\"src\":\"tag:prod\",\"deny\":[\"10.0.0.7:443\"]}", NULL},
    {"own devices", "{\"src\":\"group:g\",\"accept\":[\"autogroup:self:5\"]}", NULL},
    {"own devices of one whom no rule names",
     "{\"src\":\"ann@\",\"accept\":[\"autogroup:self:5\"]}",
     "ann@ -> autogroup:self:5: expected ALLOWED, got DENIED\n"},
    {"own devices do not count for others", "{\"src\":\"cy@\",\"deny\":[\"cy@:5\"]}", NULL},
    {"a user's nodes as a destination", "{\"src\":\"ann@\",\"deny\":[\"cy@:5\"]}", NULL},
    {"IPv6 in brackets", "{\"src\":\"cy@\",\"accept\":[\"[fd7a:115c:a1e0::4]:22\"]}", NULL},
    {"IPv6 without", "{\"src\":\"cy@\",\"accept\":[\"fd7a:115c:a1e0::4:22\"]}", NULL},
    {"old names", "{\"user\":\"cy@\",\"allow\":[\"tag:srv:22\"]}", NULL},
    /* Shapes. */
    {"no source", "{\"accept\":[\"tag:srv:22\"]}", "test of \"\": src is missing\n"},
    {"unknown group", "{\"src\":\"group:x\",\"deny\":[\"tag:srv:1\"]}",
     "test of \"group:x\": src is unknown\n"},
    {"unknown user", "{\"src\":\"who@\",\"deny\":[\"tag:srv:1\"]}",
     "test of \"who@\": src is unknown\n"},
    {"a user without nodes", "{\"src\":\"no@\",\"deny\":[\"tag:srv:1\"]}",
     "test of \"no@\": src is nobody at present\n"},
    {"an empty group", "{\"src\":\"group:empty\",\"deny\":[\"tag:srv:1\"]}",
     "test of \"group:empty\": src is nobody at present\n"},
    {"autogroup:self as a source", "{\"src\":\"autogroup:self\",\"deny\":[\"tag:srv:1\"]}",
     "test of \"autogroup:self\": src is nobody at present\n"},
    {"neither accept nor deny", "{\"src\":\"cy@\"}",
     "test of \"cy@\": it has neither accept nor deny\n"},
    {"icmp", "{\"src\":\"cy@\",\"proto\":\"icmp\",\"deny\":[\"tag:srv:1\"]}",
     "test of \"cy@\": proto is tcp, udp or sctp\n"},
    {"no protocol of that name", "{\"src\":\"cy@\",\"proto\":\"x\",\"deny\":[\"tag:srv:1\"]}",
     "test of \"cy@\": proto is tcp, udp or sctp\n"},
    {"no port", "{\"src\":\"cy@\",\"deny\":[\"db\"]}",
     "cy@ -> db: a destination is a host, a colon and a port\n"},
    {"the tag's name as a port", "{\"src\":\"cy@\",\"deny\":[\"tag:srv\"]}",
     "cy@ -> tag:srv: a destination has one port\n"},
    {"all ports", "{\"src\":\"cy@\",\"deny\":[\"db:*\"]}",
     "cy@ -> db:*: a destination has one port\n"},
    {"a list of ports", "{\"src\":\"cy@\",\"deny\":[\"db:1,2\"]}",
     "cy@ -> db:1,2: a destination has one port\n"},
    {"a range of ports", "{\"src\":\"cy@\",\"deny\":[\"db:1-1\"]}",
     "cy@ -> db:1-1: a destination has one port\n"},
    {"a prefix of one address", "{\"src\":\"cy@\",\"deny\":[\"100.64.0.4/32:1\"]}",
     "cy@ -> 100.64.0.4/32:1: a destination is one host, not a range of them\n"},
    {"a host name for many", "{\"src\":\"cy@\",\"deny\":[\"net:1\"]}",
     "cy@ -> net:1: a destination is one host, not a range of them\n"},
    {"unknown tag", "{\"src\":\"cy@\",\"deny\":[\"tag:x:1\"]}",
     "cy@ -> tag:x:1: the destination is unknown\n"},
    {"unknown host", "{\"src\":\"cy@\",\"deny\":[\"ghost:1\"]}",
     "cy@ -> ghost:1: the destination is unknown\n"},
    {"autogroup:internet", "{\"src\":\"cy@\",\"deny\":[\"autogroup:internet:1\"]}",
     "cy@ -> autogroup:internet:1: this autogroup is no destination of tests\n"},
    {"own devices denied", "{\"src\":\"ann@\",\"deny\":[\"autogroup:self:1\"]}",
     "ann@ -> autogroup:self:1: autogroup:self cannot be denied\n"},
    {"own devices of a machine", "{\"src\":\"tag:prod\",\"accept\":[\"autogroup:self:1\"]}",
     "tag:prod -> autogroup:self:1: expected ALLOWED, got DENIED\n"},
    {"a tag nobody carries, denied", "{\"src\":\"cy@\",\"deny\":[\"tag:idle:22\"]}", NULL},
    {"a tag nobody carries", "{\"src\":\"cy@\",\"accept\":[\"tag:idle:22\"]}",
     "cy@ -> tag:idle:22: expected ALLOWED, got DENIED\n"},
};

static const struct {
    const char *name;
    const char *tests; /* elements of sshTests */
    const char *line;  /* of the details; NULL: it holds */
    const char *words; /* of the refusal; NULL: "test(s) failed" where there is a line */
} ssh_cases[] = {
    {"any name but root", "{\"src\":\"cy@\",\"dst\":[\"tag:srv\"],\"accept\":[\"x\",\"cy\"]}", NULL,
     NULL},
    {"root is not any name", "{\"src\":\"cy@\",\"dst\":[\"tag:srv\"],\"accept\":[\"root\"]}",
     "cy@ -> tag:srv (ssh as root): expected ALLOWED, got DENIED\n", NULL},
    {"root denied", "{\"src\":\"cy@\",\"dst\":[\"tag:srv\",\"s4\"],\"deny\":[\"root\"]}", NULL,
     NULL},
    {"accepted is not checked", "{\"src\":\"cy@\",\"dst\":[\"tag:srv\"],\"check\":[\"x\"]}",
     "cy@ -> tag:srv (ssh as x): expected CHECKED, got NOT CHECKED\n", NULL},
    {"checked", "{\"src\":\"ann@\",\"dst\":[\"tag:prod\"],\"check\":[\"root\"]}", NULL, NULL},
    {"checked is accepted", "{\"src\":\"ann@\",\"dst\":[\"100.64.0.5\"],\"accept\":[\"root\"]}",
     NULL, NULL},
    {"all destinations", "{\"src\":\"ann@\",\"dst\":[\"tag:srv\"],\"accept\":[\"root\"]}",
     "ann@ -> tag:srv (ssh as root): expected ALLOWED, got DENIED\n", NULL},
    {"all sources", "{\"src\":\"autogroup:member\",\"dst\":[\"tag:prod\"],\"accept\":[\"root\"]}",
     "autogroup:member -> tag:prod (ssh as root): expected ALLOWED, got DENIED\n", NULL},
    {"own devices, own name", "{\"src\":\"cy@\",\"dst\":[\"cy@\"],\"accept\":[\"cy\"]}", NULL,
     NULL},
    {"own devices, named so",
     "{\"src\":\"autogroup:member\",\"dst\":[\"autogroup:self\"],\"deny\":[\"root\"]}", NULL, NULL},
    {"own devices, another's name", "{\"src\":\"cy@\",\"dst\":[\"cy@\"],\"deny\":[\"ann\"]}", NULL,
     NULL},
    {"another's devices", "{\"src\":\"cy@\",\"dst\":[\"ann@\"],\"deny\":[\"cy\",\"ann\"]}", NULL,
     NULL},
    {"own devices of a machine",
     "{\"src\":\"tag:prod\",\"dst\":[\"autogroup:self\"],\"deny\":[\"root\"]}",
     "tag:prod -> autogroup:self (ssh): a tagged node has no devices of its own\n", NULL},
    {"an address as a source", "{\"src\":\"100.64.0.2\",\"dst\":[\"tag:srv\"],\"accept\":[\"x\"]}",
     NULL, NULL},
    {"an address of nobody as a source",
     "{\"src\":\"100.64.9.9\",\"dst\":[\"tag:srv\"],\"accept\":[\"x\"]}",
     "100.64.9.9 -> tag:srv (ssh as x): expected ALLOWED, got DENIED\n", NULL},
    {"the same name accepted and denied",
     "{\"src\":\"cy@\",\"dst\":[\"tag:srv\"],\"accept\":[\"x\"],\"deny\":[\"x\"]}",
     "cy@ -> tag:srv (ssh as x): expected DENIED, got ALLOWED\n", NULL},
    {"no list", "{\"src\":\"cy@\",\"dst\":[\"tag:srv\"]}",
     "SSH test of \"cy@\": it has neither accept nor check nor deny\n", NULL},
    {"an empty name", "{\"src\":\"cy@\",\"dst\":[\"tag:srv\"],\"deny\":[\"\"]}",
     "SSH test of \"cy@\": a login name is empty\n", NULL},
    {"no source", "{\"src\":\"\",\"dst\":[\"tag:srv\"],\"deny\":[\"x\"]}",
     "SSH test of \"\": src is missing\n", NULL},
    {"no destination", "{\"src\":\"cy@\",\"dst\":[],\"deny\":[\"x\"]}",
     "SSH test of \"cy@\": dst is missing\n", NULL},
    {"a destination that is no node", "{\"src\":\"cy@\",\"dst\":[\"db\"],\"deny\":[\"x\"]}",
     "cy@ -> db (ssh): the destination is no node at present\n", NULL},
    {"an unknown user", "{\"src\":\"cy@\",\"dst\":[\"who@\"],\"deny\":[\"x\"]}",
     "cy@ -> who@ (ssh): the destination is unknown\n", NULL},
    {"an unknown tag", "{\"src\":\"cy@\",\"dst\":[\"tag:srv:22\"],\"deny\":[\"x\"]}", NULL,
     "SSH tests dst contains unknown tag \"tag:srv:22\""},
    {"a range", "{\"src\":\"\",\"dst\":[\"10.0.0.0/8\"]}", NULL,
     "SSH tests dst contains disallowed element \"10.0.0.0/8\""},
    {"a host name for many", "{\"src\":\"cy@\",\"dst\":[\"net\"],\"deny\":[\"x\"]}", NULL,
     "SSH tests dst contains disallowed element \"net\""},
    {"the internet", "{\"src\":\"cy@\",\"dst\":[\"autogroup:internet\"],\"deny\":[\"x\"]}", NULL,
     "SSH tests dst contains disallowed element \"autogroup:internet\""},
};

/* What policy_run_tests says of the policy in the tailnet above. */
static int judge(const char *kind, const char *tests, struct policy_complaint *complaint,
                 struct buf *details)
{
    struct str text = str_printf(
        "{" TAILNET ",\"policy\":{" NAMES "," ACLS "," SSH ",\"%s\":[%s]}}", kind, tests);
    const struct policy_document *document = NULL;
    const struct tailnet_view *view = NULL;
    const struct policy *policy;
    struct eval_case c;
    struct err err = {0};
    int status;

    assert_int_equal(eval_case_read(text, &c, &err), 0);
    assert_int_equal(policy_document_parse(c.policy, NULL, &document, complaint), 0);
    assert_int_equal(eval_case_view(&c, document, &view, &err), 0);
    policy = policy_compile(&(struct policy_input){.document = document, .view = view});
    status = policy_run_tests(policy, complaint, details);
    policy_unref(policy);
    view_unref(view);
    policy_document_unref(document);
    eval_case_fini(&c);
    str_free(&text);
    return status;
}

static void check(const char *kind, const char *tests, const char *line, const char *words)
{
    struct policy_complaint complaint = {0};
    struct buf details = BUF(0);
    int status = judge(kind, tests, &complaint, &details);

    if (line && !words)
        words = "test(s) failed";
    assert_str(buf_str(&details), str_from(line));
    assert_int_equal(status, words ? -ERR_INVALID : 0);
    if (words) {
        assert_str(str_from(complaint.text), str_from(words));
        assert_true(complaint.pos.line == 1 && complaint.pos.col > 1);
        assert_true(complaint.hint[0] != 0);
    }
    buf_fini(&details);
}

static void tests_hold_or_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%s\n", cases[i].name);
        check("tests", cases[i].tests, cases[i].line, NULL);
    }
}

static void ssh_tests_hold_or_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ssh_cases); i++) {
        print_message("%s\n", ssh_cases[i].name);
        check("sshTests", ssh_cases[i].tests, ssh_cases[i].line, ssh_cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tests_hold_or_fail),
        cmocka_unit_test(ssh_tests_hold_or_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
