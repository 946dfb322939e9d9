/* Cases: what is refused as no case, and what of a case counts. Whole answers are in golden/. */

#include "../unit.h"

#include "policy/eval.h"
#include "json/value.h"

#define USERS "\"users\":[{\"id\":1,\"name\":\"a\",\"email\":\"a@example.com\"}]"
#define NODE(members) "{" USERS ",\"policy\":\"{}\",\"nodes\":[{" members "}]}"

static const struct {
    const char *name;
    const char *text;
    const char *error;
} refused[] = {
    {"nothing", "", "line 1, column 1"},
    {"cut short", "{\"users\":[", "line 1"},
    {"a list", "[]", "it is an array, not an object"},
    {"no users", "{\"nodes\":[],\"policy\":\"\"}", "no lists of users and nodes"},
    {"no nodes", "{\"users\":[],\"policy\":\"\"}", "no lists of users and nodes"},
    {"no policy", "{\"users\":[],\"nodes\":[]}", "no policy"},
    {"a policy that is a number", "{\"users\":[],\"nodes\":[],\"policy\":1}", "no policy"},
    {"a user that is a name", "{\"users\":[\"a\"],\"nodes\":[],\"policy\":\"\"}", "users[0] is"},
    {"a user without id", "{\"users\":[{\"name\":\"a\"}],\"nodes\":[],\"policy\":\"\"}",
     "users[0].id"},
    {"a user without name", "{\"users\":[{\"id\":1}],\"nodes\":[],\"policy\":\"\"}",
     "users[0].name"},
    {"an id too large",
     "{\"users\":[{\"id\":9007199254740992,\"name\":\"a\"}],\"nodes\":[],\"policy\":\"\"}",
     "users[0].id"},
    {"an unknown role",
     "{\"users\":[{\"id\":1,\"name\":\"a\",\"role\":\"king\"}],\"nodes\":[],\"policy\":\"\"}",
     "users[0].role"},
    {"two users of one id",
     "{\"users\":[{\"id\":1,\"name\":\"a\"},{\"id\":1,\"name\":\"b\"}],\"nodes\":[],"
     "\"policy\":\"\"}",
     "user 1 is there twice"},
    {"two users of one name",
     "{\"users\":[{\"id\":1,\"name\":\"a\"},{\"id\":2,\"name\":\"a\"}],\"nodes\":[],"
     "\"policy\":\"\"}",
     "user 2 is there twice"},
    {"a node that is null", "{" USERS ",\"policy\":\"\",\"nodes\":[null]}", "nodes[0] is"},
    {"a node without name", NODE("\"user\":\"a\""), "nodes[0].name"},
    {"a node of nobody", NODE("\"name\":\"n\""), "nodes[0] has neither a user nor tags"},
    {"a node of a stranger", NODE("\"name\":\"n\",\"user\":\"b\""), "nodes[0].user"},
    {"a tag that is a number", NODE("\"name\":\"n\",\"tags\":[1]"), "nodes[0].tags"},
    {"IPv6 for IPv4", NODE("\"name\":\"n\",\"user\":\"a\",\"ipv4\":\"::1\""), "nodes[0].ipv4"},
    {"no address", NODE("\"name\":\"n\",\"user\":\"a\",\"ipv6\":\"x\""), "nodes[0].ipv6"},
    {"no time", NODE("\"name\":\"n\",\"user\":\"a\",\"created\":\"soon\""), "nodes[0].created"},
    {"no prefix", NODE("\"name\":\"n\",\"user\":\"a\",\"routable_ips\":[\"10.0.0.0/33\"]"),
     "nodes[0].routable_ips[0]"},
    {"no prefix approved", NODE("\"name\":\"n\",\"user\":\"a\",\"approved_routes\":[{}]"),
     "nodes[0].approved_routes[0]"},
    {"two nodes of one address",
     "{" USERS ",\"policy\":\"{}\",\"nodes\":["
     "{\"name\":\"n\",\"user\":\"a\",\"ipv4\":\"100.64.0.1\"},"
     "{\"name\":\"m\",\"user\":\"a\",\"ipv4\":\"100.64.0.1\"}]}",
     "nodes[1]: node 2: has another's address"},
};

static void no_case_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct buf out = BUF(0);
        struct err err = {0};

        print_message("%s\n", refused[i].name);
        assert_int_equal(policy_eval_case(str_from(refused[i].text), &out, &err), -ERR_INVALID);
        if (str_find(str_from(err.text), str_from(refused[i].error)) < 0)
            fail_msg("got \"%s\", want \"%s\" in it", err.text, refused[i].error);
        buf_fini(&out);
    }
}

#define TWO(first, second)                                                          \
    "\"nodes\":[{\"name\":\"n\",\"user\":\"a\",\"ipv4\":\"100.64.0.1\"," first "}," \
    "{\"name\":\"m\",\"user\":\"a\",\"ipv4\":\"100.64.0.2\"," second "}]"
#define ROUTE "\"routable_ips\":[\"10.0.0.0/8\"],\"approved_routes\":[\"10.0.0.0/8\"]"
#define CREATED(text) "\"created\":\"2026-01-01T00:00:00" text "Z\""

#define GROUPS(member)                                                                           \
    "{\"users\":[{\"id\":1,\"name\":\"a\",\"groups\":[\"oidc:eng\"]},"                           \
    "{\"id\":2,\"name\":\"b\",\"groups\":[\"oidc-work:eng\",\"eng\"]},"                          \
    "{\"id\":3,\"name\":\"oidc:eng\"},{\"id\":4,\"name\":\"oidc:ops\",\"email\":\"oidc:ops\"}]," \
    "\"policy\":{\"groups\":{\"group:e\":[" member "]},"                                         \
    "\"acls\":[{\"action\":\"accept\",\"src\":[\"group:e\"],\"dst\":[\"*:*\"]}]},\"nodes\":["    \
    "{\"name\":\"n\",\"user\":\"a\",\"ipv4\":\"100.64.0.1\"},"                                   \
    "{\"name\":\"m\",\"user\":\"b\",\"ipv4\":\"100.64.0.2\"},"                                   \
    "{\"name\":\"o\",\"user\":\"oidc:eng\",\"ipv4\":\"100.64.0.3\"},"                            \
    "{\"name\":\"p\",\"user\":\"oidc:ops\",\"ipv4\":\"100.64.0.4\"}]}"

/* What has to be in the answer. */
static const struct {
    const char *name;
    const char *text;
    const char *part;
} answers[] = {
    {"the policy as an object, with a comment",
     "{" USERS ",\"nodes\":[],\"policy\":{/* x */\"acls\":[],},}", "{\"status\":200,\"nodes\":[]}"},
    {"a refusal", "{" USERS ",\"nodes\":[],\"policy\":\"{\\\"acls\\\":1}\"}", "{\"status\":400,"},
    {"what was approved stays approved",
     "{" USERS ",\"policy\":\"{}\"," TWO(ROUTE, CREATED("")) "}",
     "\"self_routes\":[\"10.0.0.0/8\"],\"self_primary\":[\"10.0.0.0/8\"]"},
    {"not announced, not served",
     "{" USERS ",\"policy\":\"{\\\"acls\\\":[]}\"," TWO("\"approved_routes\":[\"10.0.0.0/8\"]",
                                                        CREATED("")) "}",
     "\"name\":\"n\",\"filter\":[],\"ssh\":[],\"peers\":[],\"caps\""},
    {"earlier created serves",
     "{" USERS ",\"policy\":\"{\\\"acls\\\":[]}\"," TWO(ROUTE "," CREATED(".2"),
                                                        ROUTE "," CREATED(".1999999")) "}",
     "\"self_routes\":[\"10.0.0.0/8\"],\"self_primary\":[\"10.0.0.0/8\"],\"peers\":[],\"caps\":"
     "{\"default-auto-update\":[false],\"https://tailscale.com/cap/file-sharing\":null,"
     "\"https://tailscale.com/cap/ssh\":null,\"https://tailscale.com/cap/tailnet-lock\":null,"
     "\"probe-udp-lifetime\":null,\"ssh-behavior-v1\":null,\"ssh-env-vars\":null,"
     "\"store-appc-routes\":null,\"tailnet-display-name\":[\"odin@example.com\"]}}]}"},
    {"of equal age the first of the case serves",
     "{" USERS
     ",\"policy\":\"{\\\"acls\\\":[]}\"," TWO(ROUTE "," CREATED(""), ROUTE "," CREATED(".0")) "}",
     "{\"name\":\"m\",\"filter\":[],\"ssh\":[],\"self_routes\":[\"10.0.0.0/8\"],\"peers\":[]"},
    {"no time is latest",
     "{" USERS ",\"policy\":\"{\\\"acls\\\":[]}\"," TWO(ROUTE, ROUTE "," CREATED("")) "}",
     "{\"name\":\"n\",\"filter\":[],\"ssh\":[],\"self_routes\":[\"10.0.0.0/8\"],\"peers\":[]"},
    {"a domain of another tailnet",
     "{" USERS ",\"tailnet\":{\"name\":\"x.net\"},\"nodes\":[],\"policy\":{\"acls\":[{\"action\":"
     "\"accept\",\"src\":[\"user:*@example.com\"],\"dst\":[\"*:*\"]}]}}",
     "example.com is not associated with this Tailnet"},
    {"a domain of its own",
     "{" USERS ",\"tailnet\":{\"domains\":[\"x.net\",\"example.com\"]},\"nodes\":[],\"policy\":"
     "{\"acls\":[{\"action\":\"accept\",\"src\":[\"user:*@example.com\"],\"dst\":[\"*:*\"]}]}}",
     "\"status\":200"},
    /* A user of the group's name is not it; a group of another provider neither. */
    {"who a provider has in a group", GROUPS("\"oidc:eng@\""),
     "\"name\":\"m\",\"filter\":[{\"SrcIPs\":[\"100.64.0.1\"]"},
    {"who one of several providers has in a group", GROUPS("\"oidc-work:eng@\""),
     "\"name\":\"m\",\"filter\":[{\"SrcIPs\":[\"100.64.0.2\"]"},
    {"a provider's group that nobody is in", GROUPS("\"oidc:ops@\""),
     "\"name\":\"m\",\"filter\":[],"},
    {"MagicDNS",
     "{" USERS ",\"tailnet\":{\"magic_dns\":true,\"dns_name\":\"x.ts.net\"},\"policy\":\"\","
     "\"nodes\":[{\"name\":\"n\",\"user\":\"a\"}]}",
     "\"x.ts.net.\":null},\"Domains\":[\"x.ts.net\"],\"Proxied\":true"},
};

static void answers_hold_what_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct buf out = BUF(0);
        struct err err = {0};

        print_message("%s\n", answers[i].name);
        assert_int_equal(policy_eval_case(str_from(answers[i].text), &out, &err), 0);
        if (str_find(buf_str(&out), str_from(answers[i].part)) < 0)
            fail_msg("got %.*s\nwant %s in it", STR_ARG(buf_str(&out)), answers[i].part);
        buf_fini(&out);
    }
}

static void a_small_buffer_is_an_error(void **state)
{
    struct buf out = BUF(100);
    struct err err = {0};

    (void)state;
    assert_int_equal(policy_eval_case(STR("{" USERS ",\"policy\":\"\",\"nodes\":[{\"name\":\"n\","
                                          "\"user\":\"a\"}]}"),
                                      &out, &err),
                     -ERR_LIMIT);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_case_is_refused),
        cmocka_unit_test(answers_hold_what_counts),
        cmocka_unit_test(a_small_buffer_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
