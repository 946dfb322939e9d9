/*
 * The captures of the hosted service, and a few cases of our own in the same format, through the
 * evaluator. Captures are read in place: $HATSIZE_GOLDEN, or ../shared/golden beside the source.
 * HATSIZE_CASE=acl-a runs only those whose path has that in it.
 */

#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "golden.h"
#include "policy/golden_path.h"

/* ---- The comparison itself ---- */

#define NODE(members) "{\"status\":200,\"nodes\":[{\"name\":\"n\"," members "}]}"
#define FILTER(rules) NODE("\"filter\":[" rules "],\"peers\":[]")
#define SSH(rules) NODE("\"filter\":[],\"ssh\":[" rules "],\"peers\":[]")
#define PORT(ip, port) "{\"IP\":\"" ip "\",\"Ports\":{\"First\":" port ",\"Last\":" port "}}"
#define RULE(src, dst) "{\"SrcIPs\":[" src "],\"DstPorts\":[" dst "]}"

static const struct {
    const char *name;
    const char *want, *got;
    size_t differences;
    const char *path; /* of the first difference */
} pairs[] = {
    {"refused alike, with more words around", "{\"status\":400,\"message\":\"no\"}",
     "{\"status\":400,\"message\":\"line 1: no\"}", 0, NULL},
    {"refused for something else", "{\"status\":400,\"message\":\"no\"}",
     "{\"status\":400,\"message\":\"oh\"}", 1, " message"},
    {"accepted where refusal was due", "{\"status\":400,\"message\":\"no\"}",
     "{\"status\":200,\"nodes\":[]}", 1, " status"},
    {"another status of refusal", "{\"status\":500,\"message\":\"no\"}",
     "{\"status\":400,\"message\":\"no\"}", 1, " status"},
    {"sources in another order", FILTER(RULE("\"a\",\"b\"", PORT("x", "1"))),
     FILTER(RULE("\"b\",\"a\"", PORT("x", "1"))), 0, NULL},
    {"a source too many", FILTER(RULE("\"a\"", PORT("x", "1"))),
     FILTER(RULE("\"b\",\"a\"", PORT("x", "1"))), 1, " nodes[n].filter[0].SrcIPs"},
    {"destinations in another order", FILTER(RULE("\"a\"", PORT("x", "1") "," PORT("y", "2"))),
     FILTER(RULE("\"a\"", PORT("y", "2") "," PORT("x", "1"))), 0, NULL},
    {"a destination twice", FILTER(RULE("\"a\"", PORT("x", "1"))),
     FILTER(RULE("\"a\"", PORT("x", "1") "," PORT("x", "1"))), 1, " nodes[n].filter[0].DstPorts"},
    {"another port", FILTER(RULE("\"a\"", PORT("x", "1"))), FILTER(RULE("\"a\"", PORT("x", "2"))),
     1, " nodes[n].filter[0].DstPorts"},
    {"rules in another order",
     FILTER(RULE("\"a\"", PORT("x", "1")) "," RULE("\"b\"", PORT("x", "1"))),
     FILTER(RULE("\"b\"", PORT("x", "1")) "," RULE("\"a\"", PORT("x", "1"))), 2,
     " nodes[n].filter[0].SrcIPs"},
    {"a rule too few", FILTER(RULE("\"a\"", PORT("x", "1"))), FILTER(""), 1, " nodes[n].filter"},
    {"no protocol is an empty list of them", FILTER("{\"SrcIPs\":[\"a\"],\"IPProto\":[]}"),
     FILTER("{\"SrcIPs\":[\"a\"]}"), 0, NULL},
    {"another protocol", FILTER("{\"SrcIPs\":[\"a\"],\"IPProto\":[6]}"),
     FILTER("{\"SrcIPs\":[\"a\"],\"IPProto\":[17]}"), 1, " nodes[n].filter[0].IPProto"},
    {"capability destinations in another order",
     FILTER("{\"SrcIPs\":[],\"CapGrant\":[{\"Dsts\":[\"a\",\"b\"],\"CapMap\":{\"c\":null}}]}"),
     FILTER("{\"SrcIPs\":[],\"CapGrant\":[{\"CapMap\":{\"c\":null},\"Dsts\":[\"b\",\"a\"]}]}"), 0,
     NULL},
    {"null is not the empty list",
     FILTER("{\"SrcIPs\":[],\"CapGrant\":[{\"Dsts\":[\"a\"],\"CapMap\":{\"c\":null}}]}"),
     FILTER("{\"SrcIPs\":[],\"CapGrant\":[{\"Dsts\":[\"a\"],\"CapMap\":{\"c\":[]}}]}"), 1,
     " nodes[n].filter[0].CapGrant[0].CapMap"},
    {"principals in another order",
     SSH("{\"principals\":[{\"nodeIP\":\"a\"},{\"nodeIP\":\"b\"}],\"sshUsers\":{\"root\":\"\"}}"),
     SSH("{\"principals\":[{\"nodeIP\":\"b\"},{\"nodeIP\":\"a\"}],\"sshUsers\":{\"root\":\"\"}}"),
     0, NULL},
    {"a principal once instead of twice",
     SSH("{\"principals\":[{\"nodeIP\":\"a\"},{\"nodeIP\":\"a\"}]}"),
     SSH("{\"principals\":[{\"nodeIP\":\"a\"}]}"), 1, " nodes[n].ssh[0].principals"},
    {"other base of the check", SSH("{\"action\":{\"holdAndDelegate\":\"https://unused/a/b?c\"}}"),
     SSH("{\"action\":{\"holdAndDelegate\":\"http://x:1/a/b?c\"}}"), 0, NULL},
    {"other path of the check", SSH("{\"action\":{\"holdAndDelegate\":\"https://unused/a\"}}"),
     SSH("{\"action\":{\"holdAndDelegate\":\"https://unused/b\"}}"), 1,
     " nodes[n].ssh[0].action.holdAndDelegate"},
    {"other SSH users", SSH("{\"sshUsers\":{\"root\":\"\"}}"),
     SSH("{\"sshUsers\":{\"root\":\"root\"}}"), 1, " nodes[n].ssh[0].sshUsers"},
    {"SSH rules and capabilities that the capture leaves out", NODE("\"peers\":[]"),
     NODE("\"peers\":[],\"ssh\":[{}],\"caps\":{\"x\":null}"), 0, NULL},
    {"a capability too many", NODE("\"caps\":{\"x\":null}"),
     NODE("\"caps\":{\"x\":null,\"y\":null}"), 1, " nodes[n].caps"},
    {"a peer too few", NODE("\"peers\":[\"a\",\"b\"]"), NODE("\"peers\":[\"a\"]"), 1,
     " nodes[n].peers"},
    {"a route of a peer too many", NODE("\"peer_info\":[{\"peer\":\"a\",\"routes\":[\"r\"]}]"),
     NODE("\"peer_info\":[{\"peer\":\"a\",\"routes\":[\"s\",\"r\"]}]"), 1,
     " nodes[n].peer_info[a].routes"},
    {"a peer with nothing to say", NODE("\"peers\":[]"),
     NODE("\"peers\":[],\"peer_info\":[{\"peer\":\"a\",\"routes\":[\"s\"]}]"), 1,
     " nodes[n].peer_info[a]"},
    {"own routes in another order", NODE("\"self_routes\":[\"r\",\"s\"]"),
     NODE("\"self_routes\":[\"s\",\"r\"]"), 0, NULL},
    {"an own route where there is none", NODE("\"peers\":[]"),
     NODE("\"peers\":[],\"self_primary\":[\"r\"]"), 1, " nodes[n].self_primary"},
    {"a node is missing", NODE("\"peers\":[]"), "{\"status\":200,\"nodes\":[]}", 1, " nodes[n]"},
    {"a node nobody knows", "{\"status\":200,\"nodes\":[]}", NODE("\"peers\":[]"), 1, " nodes[n]"},
    {"a node that was not read", "{\"status\":200,\"missing\":[\"n\"],\"nodes\":[]}",
     NODE("\"peers\":[]"), 0, NULL},
};

static const struct json_value *parsed(struct arena *a, const char *text)
{
    struct json_value *v = NULL;

    assert_true(json_parse(a, str_from(text), NULL, &v, NULL));
    return v;
}

static void comparison_knows_what_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct arena *a = arena_new();
        struct buf report = BUF(0);
        size_t n;

        print_message("%s\n", pairs[i].name);
        n = golden_compare(STR("case"), parsed(a, pairs[i].want), parsed(a, pairs[i].got), &report);
        assert_int_equal(n, pairs[i].differences);
        assert_int_equal(report.len > 0, n > 0);
        if (n > 0)
            assert_true(str_starts(buf_str(&report), arena_printf(a, "case%s\n", pairs[i].path)));
        buf_fini(&report);
        arena_free(a);
    }
}

/* ---- The runner ---- */

#define INPUT                                                                            \
    "\"id\":\"made\",\"users\":[{\"id\":1,\"name\":\"a\",\"email\":\"a@example.com\"}]," \
    "\"nodes\":[{\"name\":\"m\",\"user\":\"a\",\"ipv4\":\"100.64.0.1\"}],"               \
    "\"policy\":\"{\\\"acls\\\": []}\","

static const struct {
    const char *name;
    const char *text;
    enum golden_outcome want;
} runs[] = {
    {"what it is",
     "{" INPUT
     "\"expect\":{\"status\":200,\"nodes\":[{\"name\":\"m\",\"filter\":[],\"peers\":[]}]}}",
     GOLDEN_AGREES},
    {"what it is not",
     "{" INPUT
     "\"expect\":{\"status\":200,\"nodes\":[{\"name\":\"m\",\"filter\":[],\"peers\":[\"o\"]}]}}",
     GOLDEN_DIFFERS},
    {"refusal expected", "{" INPUT "\"expect\":{\"status\":400,\"message\":\"no\"}}",
     GOLDEN_DIFFERS},
    {"not to be relied upon", "{" INPUT "\"unreliable\":\"no\",\"expect\":{\"status\":400}}",
     GOLDEN_UNRELIABLE},
    {"no case", "{\"expect\":{\"status\":400,\"message\":\"\"}}", GOLDEN_DIFFERS},
    {"no JSON", "{", GOLDEN_DIFFERS},
};

static void runner_tells_outcomes_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        struct buf report = BUF(0);

        print_message("%s\n", runs[i].name);
        assert_int_equal(golden_run_case(str_from(runs[i].text), &report), runs[i].want);
        assert_int_equal(report.len > 0, runs[i].want == GOLDEN_DIFFERS);
        buf_fini(&report);
    }
}

/* ---- The cases ---- */

static void run(const char *dir, size_t at_least)
{
    struct golden_totals t = {0};
    const char *only = getenv("HATSIZE_CASE");

    assert_true(golden_run_dir(dir, only, &t));
    print_message("%zu cases, %zu agree, %zu differ, %zu unreliable\n", t.cases, t.agree, t.differ,
                  t.unreliable);
    if (!only)
        assert_true(t.cases >= at_least);
    assert_int_equal(t.differ, 0);
}

static void our_cases_agree(void **state)
{
    (void)state;
    run(OWN_CASES, 1);
}

static void captures_agree(void **state)
{
    const char *golden = getenv("HATSIZE_GOLDEN");
    char dir[4096];

    (void)state;
    (void)snprintf(dir, sizeof(dir), "%s/policy", golden ? golden : GOLDEN_DIR);
    if (access(dir, R_OK) < 0) {
        print_message("skipped: no captures in %s\n", dir);
        skip();
    }
    run(dir, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparison_knows_what_counts),
        cmocka_unit_test(runner_tells_outcomes_apart),
        cmocka_unit_test(our_cases_agree),
        cmocka_unit_test(captures_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
