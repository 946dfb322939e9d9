/* policy_lint on the small tailnet. */

#include "../unit.h"

#include <stdio.h>

#include "small_tailnet.h"

#define LINE(text) text "\n"
static const struct {
    const char *name, *text, *want;
} cases[] = {
    {"nothing to say",
     LINE("{\"groups\": {\"group:dev\": [\"alice@example.com\", \"bob@example.com\"]},") LINE(
         "\"tagOwners\": {\"tag:db\": [\"group:dev\"]}, \"hosts\": {\"printer\": \"10.0.0.9\"},")
         LINE("\"acls\": [") LINE(
             "{\"action\": \"accept\", \"src\": [\"group:dev\"], \"dst\": [\"tag:db:22,5432\"]},")
             LINE("{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": "
                  "[\"printer:631\"]},")
                 LINE("{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": "
                      "[\"autogroup:internet:*\"]},")
                     LINE("{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": "
                          "[\"autogroup:self:*\"]}],")
                         LINE("\"ssh\": [{\"action\": \"check\", \"src\": [\"group:dev\"], "
                              "\"dst\": [\"tag:db\"], \"users\": [\"root\"]},")
                             LINE("{\"action\": \"check\", \"src\": [\"autogroup:member\"], "
                                  "\"dst\": [\"autogroup:self\"], \"users\": [\"root\"]}]}"),
     ""},
    {"groups",
     LINE("{\"groups\": {\"group:a\": [], \"group:b\": [\"dave@example.com\"],")
         LINE("\"group:c\": [\"bob@example.com\", \"dave@example.com\"]},")
             LINE("\"acls\": [{\"action\": \"accept\", \"src\": [\"group:a\", \"group:b\"], "
                  "\"dst\": [\"group:c:22\"]}]}"),
     LINE("1:13: group:a has no members") LINE(
         "1:28: nobody is in group:b at present: none of its members is a user here")
         LINE("2:32: no user is called \"dave@example.com\" at present") LINE(
             "3:10: this acl can match nothing at present: nothing is \"group:a\", \"group:b\"")},
    {"tags",
     LINE(
         "{\"tagOwners\": {\"tag:db\": [], \"tag:none\": [], \"tag:later\": [\"bob@example.com\"],")
         LINE("\"tag:unused\": [\"dave@example.com\"], \"tag:orphan\": []},")
             LINE("\"acls\": [{\"action\": \"accept\", \"src\": [\"tag:none\", \"tag:db\"], "
                  "\"dst\": [\"tag:later:22\"]}]}"),
     LINE("1:30: no machine carries tag:none at present, and nobody owns it: only an administrator "
          "can give it") LINE("1:46: no machine carries tag:later at present")
         LINE("2:1: nothing else here names tag:unused")
             LINE("2:16: no user is called \"dave@example.com\" at present")
                 LINE("2:37: nobody owns tag:orphan and nothing else here names it") LINE(
                     "3:10: this acl can match nothing at present: nothing is at \"tag:later\"")},
    {"names",
     LINE("{\"hosts\": {\"a\": \"10.0.0.1\", \"b\": \"10.0.0.2\", \"c\": \"10.7.0.1\"},")
         LINE("\"ipsets\": {\"ipset:s\": [\"host:b\"], \"ipset:t\": [\"add 10.0.0.3\", \"remove "
              "10.0.0.3\"]},") LINE("\"postures\": {\"posture:p\": [\"node:os == 'linux'\"], "
                                    "\"posture:q\": [\"node:os == 'macos'\"]},")
             LINE("\"acls\": [{\"action\": \"accept\", \"src\": [\"ipset:s\"], \"dst\": [\"c:22\", "
                  "\"10.0.0.7:80\"]},")
                 LINE("{\"action\": \"accept\", \"src\": [\"bob@example.com\"], \"dst\": "
                      "[\"10.0.0.7:80\"], \"srcPosture\": [\"posture:q\"]}]}"),
     LINE("1:12: host \"a\" is used nowhere") LINE("2:35: ipset:t is empty")
         LINE("2:35: ipset:t is used nowhere") LINE("3:14: posture:p is used nowhere")
             LINE("4:59: no machine and no approved route is in \"c\" at present")
                 LINE("5:1: this acl can match nothing at present: no machine of its source "
                      "satisfies its posture")},
    {"wide",
     LINE("{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]},")
         LINE("{\"action\": \"accept\", \"src\": [\"bob@example.com\"], \"dst\": "
              "[\"10.0.0.0/24:80\"]}],") LINE("\"grants\": [{\"src\": [\"autogroup:danger-all\"], "
                                              "\"dst\": [\"*\"], \"ip\": [\"tcp:80\"]},")
             LINE("{\"src\": [\"bob@example.com\"], \"dst\": [\"autogroup:tagged\"], \"ip\": "
                  "[\"tcp:1-100\"]}]}"),
     LINE("1:11: this acl lets everyone reach everything: no other rule narrows it")
         LINE("2:1: this acl changes nothing: the acl at line 1, column 11 covers it")
             LINE("3:21: autogroup:danger-all is every address there is, also from outside the "
                  "tailnet; \"*\" is every machine and approved route")
                 LINE("4:1: this grant changes nothing: the acl at line 1, column 11 covers it")},
    {"no rules", LINE("{}"),
     LINE("1:1: there are neither acls nor grants: everyone may reach everything")},
    {"covered",
     LINE("{\"groups\": {\"group:dev\": [\"alice@example.com\", \"bob@example.com\"]},")
         LINE("\"tagOwners\": {\"tag:db\": []}, \"acls\": [") LINE(
             "{\"action\": \"accept\", \"src\": [\"bob@example.com\"], \"dst\": [\"tag:db:22\"]},")
             LINE("{\"action\": \"accept\", \"src\": [\"group:dev\"], \"dst\": "
                  "[\"tag:db:20-30\"]},") LINE(
                 "{\"action\": \"accept\", \"src\": [\"group:dev\"], \"dst\": [\"tag:db:20-30\"]},")
                 LINE("{\"action\": \"accept\", \"src\": [\"carol@other.org\"], \"dst\": "
                      "[\"tag:db:22\"]},") LINE("{\"action\": \"accept\", \"src\": "
                                                "[\"bob@example.com\"], \"dst\": [\"tag:db:31\"]},")
                     LINE("{\"action\": \"accept\", \"src\": [\"bob@example.com\"], \"proto\": "
                          "\"sctp\", \"dst\": [\"tag:db:22\"]},")
                         LINE("{\"action\": \"accept\", \"src\": [\"bob@example.com\"], \"proto\": "
                              "\"tcp\", \"dst\": [\"tag:db:22\"]}") LINE("]}"),
     LINE("3:1: this acl changes nothing: the acl at line 4, column 1 covers it")
         LINE("5:1: this acl changes nothing: the acl at line 4, column 1 covers it")
             LINE("9:1: this acl changes nothing: the acl at line 3, column 1 covers it")},
    {"ssh",
     LINE("{\"tagOwners\": {\"tag:db\": [], \"tag:none\": []}, \"acls\": [") LINE(
         "{\"action\": \"accept\", \"src\": [\"bob@example.com\"], \"dst\": [\"tag:db:22\"]}], "
         "\"ssh\": [") LINE("{\"action\": \"accept\", \"src\": [\"bob@example.com\"], \"dst\": "
                            "[\"tag:db\"], \"users\": [\"root\"]},")
         LINE("{\"action\": \"accept\", \"src\": [\"carol@other.org\"], \"dst\": [\"tag:db\"], "
              "\"users\": [\"root\"]},") LINE(
             "{\"action\": \"accept\", \"src\": [\"bob@example.com\"], \"dst\": [\"tag:none\"], "
             "\"users\": [\"root\"]},") LINE("{\"action\": \"accept\", \"src\": [\"tag:none\"], "
                                             "\"dst\": [\"tag:db\"], \"users\": [\"root\"]},")
             LINE("{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": "
                  "[\"autogroup:self\"], \"users\": [\"root\"]}") LINE("]}"),
     LINE("1:30: no machine carries tag:none at present, and nobody owns it: only an administrator "
          "can give it") LINE("4:1: this ssh rule gives no shell at present: no acl or grant lets "
                              "its sources reach tcp 22 there")
         LINE("5:1: this ssh rule leads to no machine at present")
             LINE("6:1: this ssh rule is for nobody at present")
                 LINE("7:1: this ssh rule gives no shell at present: no acl or grant lets its "
                      "sources reach tcp 22 there")},
};

static void lints_each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct policy_findings found;
        struct small_tailnet t;
        struct buf out = BUF(0);

        print_message("%s\n", cases[i].name);
        small_tailnet_init(&t, cases[i].text);
        policy_lint(t.policy, arena, &found);
        for (size_t k = 0; k < found.len; k++)
            buf_printf(&out, "%u:%u: %.*s\n", found.items[k].pos.line, found.items[k].pos.col,
                       STR_ARG(found.items[k].text));
        if (!str_eq(buf_str(&out), str_from(cases[i].want))) {
            printf("%.*s", STR_ARG(buf_str(&out)));
            fail_msg("want\n%s", cases[i].want);
        }
        buf_fini(&out);
        small_tailnet_fini(&t);
    }
}

/* A tailnet without a policy has no author to tell. */
static void says_nothing_of_no_policy(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(policy_unref) const struct policy *open = policy_allow_all();
    struct policy_findings found;

    (void)state;
    policy_lint(open, arena, &found);
    assert_int_equal(found.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lints_each_case),
                                       cmocka_unit_test(says_nothing_of_no_policy)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
