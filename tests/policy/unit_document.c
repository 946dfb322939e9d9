/*
 * What a policy text becomes. Texts here are written with ' for " where that reads better; lines
 * looked for are those of document_dump.h.
 */

#include "../unit.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "document_dump.h"
#include "policy/golden_path.h"
#include "random_policy.h"
#include "json/value.h"

/* ' becomes "; ` becomes '. */
static struct str spelled(const char *text)
{
    struct str s = str_copy(str_from(text));

    for (size_t i = 0; i < s.len; i++) {
        char *c = (char *)(uintptr_t)&s.ptr[i];

        *c = *c == '\'' ? '"' : *c == '`' ? '\'' : *c;
    }
    return s;
}

static const struct policy_document *parsed(const char *text)
{
    const struct policy_document *d = NULL;
    struct policy_complaint c = {0};
    struct str s = spelled(text);

    if (policy_document_parse(s, NULL, &d, &c) < 0)
        fail_msg("%s\n%u:%u: %s (%s)", text, c.pos.line, c.pos.col, c.text, c.hint);
    assert_str(d->text, s);
    str_free(&s);
    return d;
}

/* ---- What each section says ---- */

#define NAMES                                                    \
    "'groups': {'group:dev': ['a@x', 'b@x'], 'group:none': []}," \
    "'tagOwners': {'tag:a': [], 'tag:b': ['a@x']},"              \
    "'hosts': {'db': '10.0.0.5', 'net': '10.1.2.3/16'},"         \
    "'ipsets': {'ipset:s': ['10.0.0.0/8']},"                     \
    "'postures': {'posture:p': ['node:os == `linux`'], 'posture:q': []},"

static const struct {
    const char *name, *text, *line;
} lines[] = {
    {"groups come by name, members in the text's order",
     "{'groups': {'group:b': ['z@x', ' a@x '], 'group:a': []}}",
     "group group:a\ngroup group:b of <user z@x> <user a@x>\n"},
    {"headscale's users drop their '@'", "{'groups': {'group:a': ['z@']}}",
     "group group:a of <user z>\n"},
    {"a synced group may have an '@' in its name",
     "{'groups': {'group:a@x': []}, 'acls': [{'action':'accept','src':['group:a@x'],'dst':[]}]}",
     "acl 0 src <group group:a@x> dst\n"},
    {"hosts are masked", "{'hosts': {'n': '10.1.2.3/8', 'm': 'FD7A::1'}}",
     "host m fd7a::1/128\nhost n 10.0.0.0/8\n"},
    {"null is nothing", "{'groups': null, 'acls': null, 'tagOwners': {'tag:x': null}}",
     "tag tag:x\nexit\nrules 0"},
    {"names of fields in any spelling",
     "{'Tag-Owners': {'tag:x': ['A@']}, 'ACLS': [{'Action': 'accept', 'SRC': ['*'], 'd_s-t': "
     "['tag:x:*']}]}",
     "acl 0 src <*> dst <tag tag:x>:*\n"},
    {"owners may be tags defined later",
     "{'tagOwners': {'tag:x': ['tag:y', 'autogroup:admin', 'a@x'], 'tag:y': ['tag:x']}}",
     "tag tag:x of <tag tag:y> <autogroup 6> <user a@x>\ntag tag:y of <tag tag:x>\n"},
    {"every form of ports",
     "{'acls': [{'action':'accept','src':['*'],'dst':['*:*','10.0.0.1:80,443,0-5','fd7a::1:22',"
     "'[fd7a::2]:22','[fd7a::]/64:22','fd00::/64:1']}]}",
     "acl 0 src <*> dst <*>:* <prefix 10.0.0.1/32>:80,443,0-5 <prefix fd7a::1/128>:22 "
     "<prefix fd7a::2/128>:22 <prefix fd7a::/64>:22 <prefix fd00::/64>:1\n"},
    {"protocols by name and number",
     "{'acls': [{'action':'accept','proto':'TCP','src':[],'dst':[]},"
     "{'action':'accept','proto':17,'src':[],'dst':[]},"
     "{'action':'accept','proto':'icmp','src':['*'],'dst':['*:*']},"
     "{'action':'accept','proto':'','src':[],'dst':[]}]}",
     "acl 0 proto 6 dst\nacl 1 proto 17 dst\nacl 2 proto 1 src <*> dst <*>:*\nacl 3 dst\n"},
    {"old names in acls, and notes of a web console",
     "{'acls': [{'#ha-meta': {'a': 1}, 'action':'accept','users':['a@x'],'ports':['*:22']}]}",
     "acl 0 src <user a@x> dst <*>:22\n"},
    {"every selector as a source",
     "{" NAMES "'acls': [{'action':'accept','src':['100.64.0.9/8','*','a@','user:*@x.y',"
     "'group:dev','tag:a','autogroup:members','autogroup:danger-all','ipset:s','db','net'],"
     "'dst':[]}]}",
     "acl 0 src <prefix 100.0.0.0/8> <*> <user a> <domain x.y> <group group:dev> <tag tag:a> "
     "<autogroup 3> <autogroup 13> <ipset ipset:s> <host db=10.0.0.5/32> <host net=10.1.0.0/16> "
     "dst\n"},
    {"self for people",
     "{" NAMES "'acls': [{'action':'accept','src':['*','a@x','group:dev','autogroup:member',"
     "'autogroup:owner','user:*@x'],'dst':['autogroup:self:*']}]}",
     "dst <autogroup 1>:*\n"},
    {"grants with everything",
     "{" NAMES "'grants': [{'src':['tag:a'],'dst':['10.0.0.0/8','autogroup:internet','svc:web'],"
     "'ip':['*','22','tcp:80-90,443','icmp:*','6:1','80,90'],'via':['tag:b'],"
     "'srcPosture':['posture:q','posture:p']}]}",
     "grant 0 posture posture:q posture posture:p src <tag tag:a> dst <prefix 10.0.0.0/8> "
     "<autogroup 2> <service svc:web> ip -1:* ip -1:22 ip 6:80-90,443 ip 1:* ip 6:1 ip -1:80,90 "
     "via <tag tag:b>\n"},
    {"values of capabilities stay, layout goes",
     "{'grants': [{'src':[],'dst':[],'app':{'x.y/cap': [ {'a' : 1.50 /* c */, }, null, 'q', ],"
     "'x.y/none': [], 'tailscale.com/cap/drive': null}}]}",
     "grant 0 dst app x.y/cap=[{\"a\":1.50},null,\"q\"] app x.y/none=[] app "
     "tailscale.com/cap/drive=[]\n"},
    {"the default posture is for rules that name none",
     "{" NAMES "'defaultSrcPosture':['posture:p'],"
     "'acls':[{'action':'accept','src':[],'dst':[]},"
     "{'action':'accept','src':[],'dst':[],'srcPosture':['posture:q']}]}",
     "acl 0 posture posture:p dst\nacl 1 posture posture:q dst\n"},
    {"SSH with everything",
     "{" NAMES "'ssh':[{'action':' check ','src':[' a@x','tag:a'],'dst':['tag:b'],"
     "'users':['root','autogroup:nonroot','\\tubuntu','localpart:*@x.y','localpart:','tag:q'],"
     "'checkPeriod':'1h30m','acceptEnv':['LC_*',' X'],'recorder':['tag:a'],"
     "'enforceRecorder':true,'srcPosture':['posture:p']}]}",
     "ssh 0 check 1h30m0s posture posture:p src <user a@x> <tag tag:a> dst <tag tag:b> root "
     "nonroot "
     "logins 'ubuntu' 'localpart:' 'tag:q' localparts 'x.y' env 'LC_*' ' X' recorder <tag tag:a> "
     "enforced\n"},
    {"SSH periods",
     "{'ssh':[{'action':'check','users':['a'],'checkPeriod':'always'},"
     "{'action':'check','users':['a'],'checkPeriod':null},"
     "{'action':'check','users':['a'],'checkPeriod':'168h'},"
     "{'action':'accept','users':['localpart:*@','a']}]}",
     "ssh 0 check 0s logins 'a'\nssh 1 check 12h0m0s logins 'a'\nssh 2 check 168h0m0s logins "
     "'a'\nssh 3 accept logins 'localpart:*@' 'a'\n"},
    {"a user's own devices by SSH",
     "{'ssh':[{'action':'accept','src':['a@x'],'dst':['a@x','autogroup:self'],'users':['root']}]}",
     "ssh 0 accept src <user a@x> dst <user a@x> <autogroup 1> root\n"},
    {"node attributes",
     "{" NAMES "'nodeAttrs':[{'target':['*','autogroup:tagged','db','10.0.0.0/8'],"
     "'attr':['funnel',''],'app':{'tailscale.com/app-connectors':[{'name':'x'}]}},"
     "{'target':['a@x'],'ipPool':['100.81.3.0/16']},{'target':[]}]}",
     "nodeattr target <*> <autogroup 4> <host db=10.0.0.5/32> <prefix 10.0.0.0/8> attr 'funnel' "
     "'' app tailscale.com/app-connectors=[{\"name\":\"x\"}]\nnodeattr target <user a@x> pool "
     "100.81.0.0/16\nnodeattr\n"},
    {"approvers, prefixes masked",
     "{" NAMES "'autoApprovers':{'routes':{'10.9.9.9/8':['tag:a','autogroup:member'],'::/0':[]},"
     "'exitNode':['group:dev'],'services':{'svc:w':['tag:b']}}}",
     "route 10.0.0.0/8 of <tag tag:a> <autogroup 3>\nroute ::/0\nservice svc:w of <tag "
     "tag:b>\nexit of <group group:dev>\n"},
    {"tests with old and new names",
     "{'tests':[{'src':'a@x','proto':6,'accept':['b:1'],'deny':[]},{'user':'b','allow':['c:2']},"
     "{}],'sshTests':[{'src':'a','dst':['b'],'accept':['r'],'check':['c'],'deny':['d']}]}",
     "test src 'a@x' proto '6' accept 'b:1'\ntest src 'b' accept 'c:2'\ntest\nsshtest src 'a' dst "
     "'b' accept 'r' check 'c' deny 'd'\n"},
    {"switches",
     "{'randomizeClientPort':true,'disableIPv4':true,'OneCGNATRoute':'mac-never',"
     "'derpMap':{'regions':{'900':null,},}}",
     "rules 0 random 1 noipv4 1 cgnat 2 derp 0\nregion 900 \n"},
    {"relays of its own",
     "{'derpMap':{'omitDefaultRegions':true,'regions':{'901':{'regionID':901,'regionCode':'r',"
     "'RegionName':'R','nodes':[{'name':'a','regionid':901,'hostName':'r.example.com',"
     "'stunport':-1,}],},}}}",
     "derp 1\nregion 901 {\"RegionID\":901,\"RegionCode\":\"r\",\"RegionName\":\"R\","
     "\"Nodes\":[{\"Name\":\"a\",\"RegionID\":901,\"HostName\":\"r.example.com\","
     "\"STUNPort\":-1}]}\n"},
    {"an empty list of rules is a list of rules", "{'grants':[]}", "rules 1"},
    {"an empty object has none", "{}", "exit\nrules 0"},
    {"so has no text", "", "exit\nrules 0"},
    {"nor comments alone", " // a \n /* b { */ // c", "exit\nrules 0"},
};

static void reads_each_section(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        AUTO(policy_document_unref) const struct policy_document *d = NULL;
        AUTO_FINI(buf_fini) struct buf dump = BUF(1 << 20);

        d = parsed(lines[i].text);
        dump_document(d, false, &dump);
        if (str_find(buf_str(&dump), str_from(lines[i].line)) < 0)
            fail_msg("%s: want\n%sgot\n%.*s", lines[i].name, lines[i].line,
                     STR_ARG(buf_str(&dump)));
    }
}

/* ---- Positions, identity, lookup ---- */

static void tells_where_things_stand(void **state)
{
    AUTO_FINI(buf_fini) struct buf dump = BUF(1 << 20);
    AUTO(policy_document_unref)
    const struct policy_document *d = parsed("{\n"
                                             "  'groups': {'group:é': ['ä@x', 'b@x']},\n"
                                             "  'acls': [\n"
                                             "    {'action': 'accept', 'src': ['group:é'],\n"
                                             "     'dst': ['b@x:1']}]}\n");

    (void)state;
    dump_document(d, true, &dump);
    assert_str(buf_str(&dump), STR("@2:14 group group:é of @2:26 <user ä@x> @2:33 <user b@x>\n"
                                   "@4:5 acl 0 src @4:34 <group group:é> dst @5:14 <user b@x>:1\n"
                                   "exit\nrules 1 random 0 noipv4 0 cgnat 0 derp 0\n"));
}

/* Equal meaning, one struct; other meaning, another. */
static void shares_equal_selectors(void **state)
{
    AUTO(policy_document_unref)
    const struct policy_document *d =
        parsed("{'hosts':{'h':'10.0.0.0/8','i':'10.0.0.0/8'},"
               "'grants':[{'ip':['*'],'dst':[],'src':['10.0.0.0/8',' 10.0.0.7/8','h','h','i',"
               "'autogroup:member','autogroup:members','a@x','a@x@','*',' *','1.2.3.4',"
               "'1.2.3.4/32','FD7A::1','fd7a:0::1','user:*@x','user:*@x ','a\\u0040x']}]}");
    const struct policy_refs *src = &d->grants[0].src;
    static const size_t same[] = {0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 4};

    (void)state;
    assert_int_equal(src->len, ARRAY_LEN(same));
    assert_int_equal(d->n_selectors, 9);
    for (size_t i = 0; i < src->len; i++) {
        assert_int_equal(src->items[i].selector->index, same[i]);
        assert_ptr_equal(src->items[i].selector, d->selectors[same[i]]);
    }
}

static const struct {
    const char *text, *meaning; /* or the complaint */
} asked[] = {
    {" 100.64.0.1 ", "prefix 100.64.0.1/32"},
    {"tag:a", "tag tag:a"},
    {"group:dev", "group group:dev"},
    {"db", "host db=10.0.0.5/32"},
    {"ipset:s", "ipset ipset:s"},
    {"svc:x", "service svc:x"},
    {"autogroup:nonroot", "autogroup 12"},
    {"a@", "user a"},
    {"user:*@x.y", "domain x.y"},
    {"*", "*"},
    {"tag:z", "tag not found: \"tag:z\""},
    {"group:z", "group not defined in policy: \"group:z\""},
    {"ipset:z", "ipset not defined in policy: \"ipset:z\""},
    {"nohost", "\"nohost\": invalid address"},
    {"a:b", "\"a:b\": invalid address"},
    {"", "\"\": invalid address"},
    {"@", "\"@\": invalid address"},
    {"svc:", "\"svc:\": invalid address"},
    {"user:a@x", "\"user:a@x\": invalid address"},
    {"user:*@", "\"user:*@\": invalid address"},
    {"10.0.0.0/33", "\"10.0.0.0/33\": invalid address"},
    {"autogroup:Member",
     "invalid autogroup: got \"autogroup:Member\", must be one of [autogroup:self "
     "autogroup:internet autogroup:member autogroup:tagged autogroup:owner autogroup:admin "
     "autogroup:network-admin autogroup:it-admin autogroup:billing-admin autogroup:auditor "
     "autogroup:shared autogroup:nonroot autogroup:danger-all]"},
};

static void resolves_selectors_from_outside(void **state)
{
    AUTO(policy_document_unref) const struct policy_document *d = parsed("{" NAMES "}");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        AUTO_FINI(buf_fini) struct buf got = BUF(1 << 16);
        struct policy_selector s = {0};
        struct policy_complaint c = {0};

        if (policy_selector_parse(d, str_from(asked[i].text), &s, &c))
            dump_selector(&s, &got);
        else
            buf_put(&got, str_from(c.text));
        assert_str(buf_str(&got), str_from(asked[i].meaning));
    }
}

static void finds_by_name(void **state)
{
    AUTO(policy_document_unref) const struct policy_document *d = parsed("{" NAMES "}");

    (void)state;
    assert_str(policy_tag_find(d, STR("tag:b"))->name, STR("tag:b"));
    assert_null(policy_tag_find(d, STR("tag:")));
    assert_str(policy_group_find(d, STR("group:none"))->name, STR("group:none"));
    assert_null(policy_group_find(d, STR("group:zz")));
    assert_str(policy_host_find(d, STR("db"))->name, STR("db"));
    assert_null(policy_host_find(d, STR("DB")));
}

static void is_counted(void **state)
{
    const struct policy_document *d = parsed("{'ipsets':{'ipset:a':['10.0.0.1']}}");

    (void)state;
    assert_ptr_equal(policy_document_ref(d), d);
    policy_document_unref(d);
    assert_int_equal(d->n_ipsets, 1);
    policy_document_unref(d);
    policy_document_unref(NULL);
}

/* ---- ipsets and postures ---- */

static const struct {
    const char *name, *ops, *ranges;
} sets[] = {
    {"additive without words", "['10.0.0.0/30','10.0.0.9-10.0.0.11','fd7a::1']",
     " 10.0.0.0/30 10.0.0.9-10.0.0.11 fd7a::1"},
    {"in order", "['add 10.0.0.0/30','remove 10.0.0.1','add 10.0.0.1','remove 10.0.0.3']",
     " 10.0.0.0-10.0.0.2"},
    {"by host and set, later ones too", "['add host:h','remove ipset:z']", " 10.1.0.1-10.1.0.255"},
    {"the internet", "['autogroup:internet','add 10.0.0.0/8']", NULL},
    {"nothing", "[]", ""},
};

static void works_out_ipsets(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        AUTO(policy_document_unref) const struct policy_document *d = NULL;
        AUTO_FINI(buf_fini) struct buf text = BUF(1 << 16);
        AUTO_FINI(buf_fini) struct buf got = BUF(1 << 16);

        buf_printf(&text,
                   "{'hosts':{'h':'10.1.0.0/24'},'ipsets':{'ipset:a':%s,'ipset:z':"
                   "['ipset:y'],'ipset:y':['10.1.0.0']}}",
                   sets[i].ops);
        buf_put_char(&text, 0);
        d = parsed(text.ptr);
        for (size_t k = 0; k < d->ipsets[0].set.len; k++) {
            buf_put_char(&got, ' ');
            ip_range_put(&got, d->ipsets[0].set.ranges[k]);
        }
        if (sets[i].ranges) {
            assert_str(buf_str(&got), str_from(sets[i].ranges));
            continue;
        }
        struct ip_addr in[] = {IP_ADDR_V4(8, 8, 8, 8), IP_ADDR_V4(10, 9, 9, 9)};
        struct ip_addr out[] = {IP_ADDR_V4(192, 168, 0, 1), IP_ADDR_V4(100, 64, 0, 1)};
        for (size_t k = 0; k < 2; k++) {
            assert_true(ip_set_contains(&d->ipsets[0].set, in[k]));
            assert_false(ip_set_contains(&d->ipsets[0].set, out[k]));
        }
    }
}

static const struct {
    const char *text, *meaning;
} assertions[] = {
    {"node:os IN [`macos`,`linux`]", "(node:os IN 'macos' 'linux')"},
    {"node:os not in [ ]", "(node:os NOT IN)"},
    {"node:tsVersion>=`1.40`", "(node:tsVersion >= '1.40')"},
    {" node:osVersion  <  10.2 ", "(node:osVersion < '10.2')"},
    {"custom:tier != true", "(custom:tier != 'true')"},
    {"custom:tier == ``", "(custom:tier == '')"},
    {"custom:tier IS SET", "(custom:tier IS SET)"},
    {"custom:tier NOT SET", "(custom:tier NOT SET)"},
    {"x:y > 1", "(x:y > '1')"},
    {"x:y <= 1", "(x:y <= '1')"},
};

static void reads_assertions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(assertions); i++) {
        AUTO(policy_document_unref) const struct policy_document *d = NULL;
        AUTO_FINI(buf_fini) struct buf text = BUF(1 << 16);
        AUTO_FINI(buf_fini) struct buf got = BUF(1 << 16);

        buf_printf(&text, "{'postures':{'posture:p':['%s']}}", assertions[i].text);
        buf_put_char(&text, 0);
        d = parsed(text.ptr);
        dump_document(d, false, &got);
        if (str_find(buf_str(&got), str_from(assertions[i].meaning)) < 0)
            fail_msg("%s: %.*s", assertions[i].text, STR_ARG(buf_str(&got)));
    }
}

/* ---- What cannot be delivered ---- */

static void tells_what_is_not_delivered(void **state)
{
    AUTO_FINI(buf_fini) struct buf dump = BUF(1 << 20);
    AUTO(policy_document_unref)
    const struct policy_document *d =
        parsed("{\n"
               "'postures':{'posture:a':['node:os == 1','node:osVersion == 1',\n"
               "'node:tsVersion == 1',\n"
               "'ip:country == 1']},\n"
               "'nodeAttrs':[{'target':['*'],'attr':['x'],\n"
               "'ipPool':['100.81.0.0/16']}],\n"
               "'grants':[{'src':[\n"
               "'autogroup:shared'],'dst':[\n"
               "'svc:a'],'ip':['*']}],\n"
               "'autoApprovers':{'services':\n"
               "{'svc:a':[]}},'randomizeClientPort':true,'disableIPv4':true,'OneCGNATRoute':\n"
               "'mac-always','derpMap':{},\n"
               "'tests':[{'src':'a','srcPostureAttrs':\n"
               "{}}],\n"
               "'attrConfig':\n"
               "{'custom:x':{}}}");
    static const uint32_t at[] = {4, 6, 9, 11, 14, 16};

    (void)state;
    dump_document(d, true, &dump);
    print_message("%.*s", STR_ARG(buf_str(&dump)));
    assert_int_equal(d->undelivered.len, ARRAY_LEN(at));
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        assert_int_equal(d->undelivered.items[i].pos.line, at[i]);
        assert_true(d->undelivered.items[i].text.len > 0);
    }
}

/* ---- Protocols and durations ---- */

static void knows_protocols(void **state)
{
    (void)state;
    assert_int_equal(policy_proto_parse(STR("tcp")), 6);
    assert_int_equal(policy_proto_parse(STR("Ip-In-Ip")), 4);
    assert_int_equal(policy_proto_parse(STR("255")), 255);
    assert_int_equal(policy_proto_parse(STR("256")), -1);
    assert_int_equal(policy_proto_parse(STR("0")), -1);
    assert_int_equal(policy_proto_parse(STR("06")), -1);
    assert_int_equal(policy_proto_parse(STR("-1")), -1);
    assert_int_equal(policy_proto_parse(STR("")), -1);
    assert_string_equal(policy_proto_name(58), "ipv6-icmp");
    assert_string_equal(policy_proto_name(4), "ipv4");
    assert_null(policy_proto_name(7));
}

static void prints_durations(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {-60000, "-1m0s"},
        {POLICY_CHECK_PERIOD_DEFAULT_MS, "12h0m0s"},
        {30000, "30s"},
        {100, "100ms"},
        {1500, "1.5s"},
        {3600000 + 50, "1h0m0.05s"},
        {(int64_t)200 * 3600000, "200h0m0s"},
        {INT64_MAX, "2562047h47m16.854775807s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FINI(buf_fini) struct buf got = BUF(100);

        policy_put_duration(&got, cases[i].ms);
        assert_str(buf_str(&got), str_from(cases[i].text));
    }
}

/* ---- Random texts ---- */

/* Reading what was kept gives the same again. */
static void keeps_the_text(void **state)
{
    struct rand_seeded rand;
    size_t valid = 0, n = 500;

    (void)state;
    rand_seed(&rand, 20260411);
    for (size_t i = 0; i < n; i++) {
        AUTO(policy_document_unref) const struct policy_document *a = NULL, *b = NULL;
        AUTO_FINI(buf_fini) struct buf text = BUF(1 << 20), x = BUF(1 << 22), y = BUF(1 << 22);
        struct policy_complaint c = {0};

        random_policy_put(&rand, (struct random_policy_options){0}, &text);
        if (policy_document_parse(buf_str(&text), NULL, &a, &c) < 0) {
            print_message("%zu: %u:%u: %s\n", i, c.pos.line, c.pos.col, c.text);
            continue;
        }
        valid++;
        assert_int_equal(policy_document_parse(a->text, NULL, &b, &c), 0);
        dump_document(a, true, &x);
        dump_document(b, true, &y);
        assert_str(buf_str(&x), buf_str(&y));
    }
    print_message("%zu of %zu random policies are valid\n", valid, n);
    assert_true(valid > n / 2);
}

/* ---- The captures ---- */

struct totals {
    size_t read, refused, failing_later;
};

/* What a compiled policy says, later. */
static bool is_said_later(struct str message)
{
    return str_eq(message, STR("test(s) failed")) || str_starts(message, STR("SSH tests dst"));
}

static void judge(const char *path, const struct json_value *c, struct totals *t)
{
    struct str domain = STR("example.com");
    const struct str_list domains = {&domain, 1};
    const struct policy_parse_options options = {.domains = &domains};
    AUTO(policy_document_unref) const struct policy_document *d = NULL;
    const struct json_value *expect = json_get_object(c, "expect");
    struct str message = json_get_str(expect, "message");
    struct policy_complaint complaint = {0};

    bool ok = policy_document_parse(json_get_str(c, "policy"), &options, &d, &complaint) == 0;
    if (json_get_u64(expect, "status", 0) == 200 || is_said_later(message)) {
        if (!ok)
            fail_msg("%s: %s", path, complaint.text);
        *(message.len > 0 ? &t->failing_later : &t->read) += 1;
        return;
    }
    if (ok)
        fail_msg("%s: accepted, want: %.*s", path, STR_ARG(message));
    if (str_find(str_from(complaint.text), message) < 0)
        fail_msg("%s: %s, want: %.*s", path, complaint.text, STR_ARG(message));
    assert_true(complaint.pos.line > 0);
    t->refused++;
}

static void judge_file(const char *path, struct totals *t)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO_FINI(buf_fini) struct buf text = BUF(16 << 20);
    struct json_value *c = NULL;
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    for (;;) {
        char *at = buf_reserve(&text, 65536);
        assert_non_null(at);
        size_t n = fread(at, 1, 65536, f);
        if (n == 0)
            break;
        buf_added(&text, n);
    }
    (void)fclose(f);
    assert_true(json_parse(arena, buf_str(&text), NULL, &c, NULL));
    judge(path, c, t);
}

static void judge_dir(const char *dir, struct totals *t)
{
    DIR *d = opendir(dir);
    const struct dirent *e = NULL;

    assert_non_null(d);
    while ((e = readdir(d))) {
        struct stat st;
        char path[4096];

        if (e->d_name[0] == '.' ||
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= (int)sizeof(path) ||
            stat(path, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            judge_dir(path, t);
        else if (str_ends(str_from(path), STR(".json")))
            judge_file(path, t);
    }
    closedir(d);
}

static void agrees_with_captures(void **state)
{
    const char *golden = getenv("HATSIZE_GOLDEN");
    struct totals t = {0};
    struct stat st;
    char dir[4000];

    (void)state;
    snprintf(dir, sizeof(dir), "%s/policy", golden ? golden : GOLDEN_DIR);
    if (stat(dir, &st) < 0) {
        print_message("skipped: no captures in %s\n", dir);
        skip();
    }
    judge_dir(dir, &t);
    print_message("%zu read, %zu refused, %zu left to their tests\n", t.read, t.refused,
                  t.failing_later);
    assert_true(t.read > 0 && t.refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_section),
        cmocka_unit_test(tells_where_things_stand),
        cmocka_unit_test(shares_equal_selectors),
        cmocka_unit_test(resolves_selectors_from_outside),
        cmocka_unit_test(finds_by_name),
        cmocka_unit_test(is_counted),
        cmocka_unit_test(works_out_ipsets),
        cmocka_unit_test(reads_assertions),
        cmocka_unit_test(tells_what_is_not_delivered),
        cmocka_unit_test(knows_protocols),
        cmocka_unit_test(prints_durations),
        cmocka_unit_test(keeps_the_text),
        cmocka_unit_test(agrees_with_captures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
