/*
 * Why a policy is refused: the words and the place. In texts ' stands for ", ` for ', and ^ is not
 * part of the text but stands before the place the complaint must name.
 */

#include "../unit.h"

#include <stdio.h>

#include "core/err.h"
#include "policy/document.h"

struct row {
    const char *name, *text, *words;
};

#define NAMES                                                                                \
    "'groups': {'group:dev': ['a@x', 'b@x']}, 'tagOwners': {'tag:a': [], 'tag:b': ['a@x']}," \
    "'hosts': {'db': '10.0.0.5'}, 'ipsets': {'ipset:s': ['10.0.0.0/8']},\n"
#define ACL(members) "{" NAMES "'acls': [{'action':'accept'," members "}]}"
#define GRANT(members) "{" NAMES "'grants': [{" members "}]}"
#define SSH(members) "{" NAMES "'ssh': [{" members "}]}"
#define SHELL(members) SSH("'action':'check','users':['root']," members)
#define IPSET(ops) "{'hosts':{'h':'10.0.0.1'},'ipsets':{'ipset:a':" ops ",'ipset:b':['ipset:a']}}"
#define POSTURE(assertion) "{'postures':{'posture:a':[^'" assertion "']}}"
#define SELF "autogroup:self can only be used with users, groups, or supported autogroups"

/* ---- Form ---- */

static const struct row form[] = {
    {"not an object", "^[]", "a policy must be an object, not an array"},
    {"no HuJSON", "{'acls': ^}", ""},
    {"a comment without end", "{} ^/* ", ""},
    {"unknown section", "{^'acl': []}", "unknown field: \"acl\""},
    {"unknown field", GRANT("'src':[],^'to':[]"), "unknown field: \"to\""},
    {"notes only in acls", GRANT("^'#note':1,'src':[]"), "unknown field: \"#note\""},
    {"a section twice", "{'acls': [],\n ^'acls': []}", "duplicate field: \"acls\""},
    {"a section twice, spelled otherwise", "{'tagOwners': {},\n ^'Tag_owners': {}}",
     "duplicate field: \"Tag_owners\""},
    {"a section twice, once null", "{'acls': null, ^'ACLs': []}", "duplicate field: \"ACLs\""},
    {"old and new name at once", ACL("'src':[],^'users':[],'dst':[]"),
     "duplicate field: \"users\""},
    {"a group twice", "{'groups': {'group:a': [],\n ^'group:a': []}}",
     "duplicate field: \"group:a\""},
    {"a host twice, one escaped", "{'hosts': {'a': '::1',\n ^'\\u0061': '::1'}}",
     "duplicate field: \"a\""},
    {"twice among many",
     "{'hosts':{'a':'::1','b':'::1','c':'::1','d':'::1','e':'::1','f':'::1','g':'::1','h':'::1',"
     "'i':'::1',^'e':'::2'}}",
     "duplicate field: \"e\""},
    {"twice deep in a value", "{'grants':[{'app':{'x.y/z':[{'a':1,^'a':2}]}}]}",
     "duplicate field: \"a\""},
    {"a section of another type", "{'acls': ^{}}", "acls must be an array, not an object"},
    {"a list that is a string", ACL("'src':^'*','dst':[]"), "src must be an array, not a string"},
    {"an element that is no string", ACL("'src':['*',^1],'dst':[]"),
     "src must be a string, not a number"},
    {"an element that is null", ACL("'src':[^null],'dst':[]"), "src must be a string, not null"},
    {"a switch that is a string", "{'disableIPv4': ^'yes'}",
     "disableIPv4 must be true or false, not a string"},
    {"no such CGNAT route", "{'OneCGNATRoute': ^'always'}",
     "OneCGNATRoute: \"always\" is not valid"},
    {"a region that is no number", "{'derpMap': {'regions': {^'x': null}}}",
     "derpMap: \"x\" is no region"},
    {"a region under another number",
     "{'derpMap': {'regions': {'900': {'RegionID': ^901, 'RegionCode': 'a', 'RegionName': 'b'}}}}",
     "derpMap: RegionID is not the region's"},
    {"a relay without a name",
     "{'derpMap': {'regions': {'9': {'RegionID': 9, 'RegionCode': 'a', 'RegionName': 'b', "
     "'Nodes': [^{'RegionID': 9, 'HostName': 'x'}]}}}}",
     "derpMap: Name is missing"},
    {"a DERP map that is a list", "{'derpMap': ^[]}", "derpMap must be an object, not an array"},
    {"tests of another type", "{'tests': [{'src':^['a']}]}", "src must be a string, not an array"},
    {"SSH tests of another type", "{'sshTests': [{'dst':^'a'}]}",
     "dst must be an array, not a string"},
};

/* ---- Names ---- */

static const struct row names[] = {
    {"a group without prefix", "{'groups': {^'dev': []}}",
     "group must start with 'group:', got: \"dev\""},
    {"a group that is no list", "{'groups': {'group:g': ^'x'}}",
     "group value must be an array of users: group \"group:g\" got string: \"x\""},
    {"a member without '@'", "{'groups': {'group:g': ['a@', ^'alice']}}",
     "username must contain @, got: \"alice\""},
    {"a domain as a member", "{'groups': {'group:g': [^'user:*@x']}}",
     "username must contain @, got: \"user:*@x\""},
    {"a tag as a member", "{'groups': {'group:g': [^'tag:a']}}",
     "username must contain @, got: \"tag:a\""},
    {"a group in a group", "{'groups': {'group:outer': ['a@x', ^'group:inner']}}",
     "groups[\"group:outer\"]: \"group:inner\": group members cannot be recursive"},
    {"the greatest group first, its members in order",
     "{'groups': {'group:b': [^'group:d','group:c'], 'group:a': ['group:b'], 'group:c': []}}",
     "groups[\"group:b\"]: \"group:d\": group members cannot be recursive"},
    {"a host with a colon", "{'hosts': {^'a:b': '::1'}}", "invalid hostname: \"a:b\""},
    {"a host with an '@'", "{'hosts': {^'a@b': '::1'}}", "invalid hostname: \"a@b\""},
    {"a host without an address", "{'hosts': {'a': ^'b'}}",
     "hostname contains invalid IP address: hostname \"a\" address \"b\""},
    {"a tag without prefix", "{'tagOwners': {^'web': []}}",
     "tag must start with 'tag:', got: \"web\""},
    {"a tag that begins with a digit", "{'tagOwners': {^'tag:1': []}}",
     "tagOwners[\"tag:1\"]: tag names must start with a letter, after 'tag:'"},
    {"a tag in Cyrillic", "{'tagOwners': {^'tag:сервер': []}}",
     "tagOwners[\"tag:сервер\"]: tag names must start with a letter, after 'tag:'"},
    {"a tag without name", "{'tagOwners': {^'tag:': []}}",
     "tagOwners[\"tag:\"]: tag names must start with a letter, after 'tag:'"},
    {"an owner tag that is not defined", "{'tagOwners': {'tag:a': [^'tag:b']}}",
     "tag \"tag:a\" references undefined tag \"tag:b\": tag not found: \"tag:b\""},
    {"an owner group that is not defined", "{'tagOwners': {'tag:a': [^'group:b']}}",
     "group not defined in policy: \"group:b\""},
    {"an owner that is an address", "{'tagOwners': {'tag:a': [^'1.2.3.4']}}",
     "alias not supported for tag owners: \"1.2.3.4\""},
    {"an owner without '@'", "{'tagOwners': {'tag:a': [^'alice']}}", "\"alice\": invalid address"},
    {"an owner that has no owner", "{'tagOwners': {'tag:a': [^'autogroup:self']}}",
     "autogroup not supported for tag owners: \"autogroup:self\", can be [autogroup:member "
     "autogroup:tagged autogroup:owner autogroup:admin autogroup:network-admin "
     "autogroup:it-admin autogroup:billing-admin autogroup:auditor]"},
    {"a set without prefix", "{'ipsets': {^'prod': []}}",
     "ipset must start with 'ipset:', got: \"prod\""},
    {"a set of users", IPSET("[^'add a@x']"),
     "ipsets[\"ipset:a\"]: \"add a@x\": not an address, range, host:, ipset: or "
     "autogroup:internet"},
    {"another operation", IPSET("[^'sub 10.0.0.1']"),
     "ipsets[\"ipset:a\"]: \"sub 10.0.0.1\": the operation must be add or remove"},
    {"adding without a word beside removing", IPSET("[^'10.0.0.0/8','remove 10.0.0.1']"),
     "ipsets[\"ipset:a\"]: \"10.0.0.0/8\": where something is removed, add must be written too"},
    {"a set with an unknown host", IPSET("['add host:h', ^'add host:i']"),
     "host not defined in policy: \"i\""},
    {"a set with an unknown set", IPSET("[^'ipset:c']"),
     "ipset not defined in policy: \"ipset:c\""},
    {"a set of itself", IPSET("[^'ipset:a']"),
     "ipsets[\"ipset:a\"]: \"ipset:a\": a set cannot be part of itself"},
    {"sets in a circle",
     "{'ipsets':{'ipset:a':['ipset:b'],'ipset:b':['ipset:c'],'ipset:c':['::1', ^'ipset:a']}}",
     "ipsets[\"ipset:c\"]: \"ipset:a\": a set cannot be part of itself"},
    {"a posture without prefix", "{'postures':{^'a':[]}}",
     "posture must start with 'posture:', got: \"a\""},
    {"a posture nobody knows", "{'defaultSrcPosture':[^'posture:a']}",
     "posture not found: \"posture:a\""},
    {"a rule's posture nobody knows", GRANT("'ip':['*'],'srcPosture':[^'posture:a']"),
     "posture not found: \"posture:a\""},
    {"an assertion without operator", POSTURE("node:os"), "invalid posture assertion \"node:os\""},
    {"an assertion without value", POSTURE("node:os =="),
     "invalid posture assertion \"node:os ==\""},
    {"an attribute without namespace", POSTURE("os == 1"), "invalid posture assertion \"os == 1\""},
    {"a quote without end", POSTURE("node:os == `a"),
     "invalid posture assertion \"node:os == 'a\""},
    {"a list without end", POSTURE("node:os IN [`a`"),
     "invalid posture assertion \"node:os IN ['a'\""},
    {"more behind it", POSTURE("node:os == 1 2"), "invalid posture assertion \"node:os == 1 2\""},
    {"half an operator", POSTURE("node:os IS 1"), "invalid posture assertion \"node:os IS 1\""},
};

/* ---- acls and grants ---- */

static const struct row acls[] = {
    {"another action", "{'acls':[{'action':^'deny'}]}", "action=\"deny\" is not supported"},
    {"no action", "{'acls':[^{'src':[]}]}", "action=\"\" is not supported"},
    {"a tag that is not defined", ACL("'src':['*',^'tag:z'],'dst':[]"),
     "src=tag not found: \"tag:z\""},
    {"the same as dst", ACL("'src':['*'],'dst':['tag:a:1',^'tag:z:22']"),
     "dst=\"tag:z\": tag not found: \"tag:z\""},
    {"a group that is not defined", ACL("'src':[^'group:z'],'dst':[]"),
     "src=group not defined in policy: \"group:z\""},
    {"no host of that name", ACL("'src':[^'%bogus%'],'dst':[]"),
     "src=\"%bogus%\": invalid address"},
    {"no host of that name as dst", ACL("'src':['*'],'dst':[^'bogus:1']"),
     "dst=\"bogus\": \"bogus\": invalid address"},
    {"no such set", ACL("'src':[^'ipset:z'],'dst':[]"),
     "src=ipset not defined in policy: \"ipset:z\""},
    {"a service as source", ACL("'src':[^'svc:z'],'dst':[]"),
     "src=\"svc:z\": a service cannot be a source"},
    {"self as source", ACL("'src':[^'autogroup:self'],'dst':['tag:a:*']"),
     "\"autogroup:self\" not valid on the src side of a rule"},
    {"internet as source", ACL("'src':[^'autogroup:internet'],'dst':[]"),
     "autogroup:internet can only be used in ACL destinations"},
    {"nonroot as source", ACL("'src':[^'autogroup:nonroot'],'dst':[]"),
     "autogroup not supported for ACL sources: \"autogroup:nonroot\", can be ["},
    {"nonroot as destination", ACL("'src':['*'],'dst':[^'autogroup:nonroot:*']"),
     "autogroup not supported for ACL destinations: \"autogroup:nonroot\", can be ["},
    {"danger-all as destination", ACL("'src':['*'],'dst':[^'autogroup:danger-all:*']"),
     "cannot use autogroup:danger-all as a dst"},
    {"self for tags", ACL("'src':['a@x',^'tag:a'],'dst':['*:*','autogroup:self:*']"), SELF},
    {"self for tagged", ACL("'src':[^'autogroup:tagged'],'dst':['autogroup:self:*']"), SELF},
    {"self for everything", ACL("'src':[^'autogroup:danger-all'],'dst':['autogroup:self:*']"),
     SELF},
    {"self for addresses", ACL("'src':[^'1.2.3.4'],'dst':['autogroup:self:*']"), SELF},
    {"self for hosts", ACL("'src':[^'db'],'dst':['autogroup:self:*']"), SELF},
    {"no ports", ACL("'src':['*'],'dst':[^'db']"), "dst=\"db\": hostport must contain a colon"},
    {"no host", ACL("'src':['*'],'dst':[^':22']"),
     "dst=\":22\": input cannot start with a colon character"},
    {"nothing behind the colon", ACL("'src':['*'],'dst':[^'db:']"),
     "dst=\"db:\": input cannot end with a colon character"},
    {"the name as ports", ACL("'src':['*'],'dst':[^'tag:a']"),
     "dst=\"tag:a\": port range \"a\": invalid first integer"},
    {"not a number", ACL("'src':['*'],'dst':[^'tag:a:ssh']"),
     "dst=\"tag:a:ssh\": port range \"ssh\": invalid first integer"},
    {"not a number later", ACL("'src':['*'],'dst':[^'tag:a:22, 80']"),
     "dst=\"tag:a:22, 80\": port range \"22, 80\": invalid first integer"},
    {"no last port", ACL("'src':['*'],'dst':[^'tag:a:22-x']"),
     "dst=\"tag:a:22-x\": port range \"22-x\": invalid last integer"},
    {"too great a port", ACL("'src':['*'],'dst':[^'tag:a:65536']"), "port number out of range"},
    {"port 0", ACL("'src':['*'],'dst':[^'tag:a:0']"),
     "first port must be >0, or use '*' for wildcard"},
    {"a range backwards", ACL("'src':['*'],'dst':[^'tag:a:2-1']"),
     "invalid port range: first port is greater than last port"},
    {"two dashes", ACL("'src':['*'],'dst':[^'tag:a:1-2-3']"), "invalid port range format"},
    {"brackets around IPv4", ACL("'src':['*'],'dst':[^'[1.2.3.4]:1']"),
     "square brackets are only valid around IPv6 addresses"},
    {"NUL behind a prefix", ACL("'src':['*'],'dst':[^'[::]/12\\u0000:1']"),
     "dst=\"::/12\\x00\": \"::/12\\x00\": invalid address"},
    {"more behind brackets", ACL("'src':['*'],'dst':[^'[::1]x:1']"),
     "square brackets are only valid around IPv6 addresses"},
    {"an open bracket", ACL("'src':['*'],'dst':[^'[::1:1']"),
     "square brackets are only valid around IPv6 addresses"},
    {"ports for a protocol without", ACL("'proto':'icmp','src':['*'],'dst':['*:*',^'*:22']"),
     "protocol does not support specific ports: \"icmp\", only \"*\" is allowed"},
    {"the same by number", ACL("'proto':99,'src':['*'],'dst':[^'*:22']"),
     "protocol does not support specific ports: \"99\", only \"*\" is allowed"},
    {"all protocols", ACL("'proto':^'*'"),
     "proto name \"*\" not known; use protocol number 0-255 or protocol name (icmp, tcp, udp, "
     "etc.)"},
    {"protocol 0", ACL("'proto':^0"), "leading 0 not permitted in protocol number: \"0\""},
    {"leading 0", ACL("'proto':^'06'"), "leading 0 not permitted in protocol number: \"06\""},
    {"too great a protocol", ACL("'proto':^'256'"), "protocol number out of range (0-255): 256"},
    {"unknown protocol", ACL("'proto':^'quic'"),
     "invalid protocol number: \"quic\" must be a known protocol name or valid protocol number "
     "0-255"},
    {"a negative protocol", ACL("'proto':^-1"),
     "invalid protocol number: \"-1\" must be a known protocol name or valid protocol number "
     "0-255"},
    {"the first of two faults", ACL("'src':[^'tag:y'],'dst':['tag:z:1']"),
     "src=tag not found: \"tag:y\""},
};

static const struct row grants[] = {
    {"a tag that is not defined", GRANT("'src':[^'tag:z'],'dst':[],'ip':['*']"),
     "src=tag not found: \"tag:z\""},
    {"the same as dst", GRANT("'src':[],'dst':[^'tag:z'],'ip':['*']"), "tag not found: \"tag:z\""},
    {"neither ip nor app", "{'grants':[^{'src':['*'],'dst':['*'],'ip':[],'app':{}}]}",
     "ip and app can not both be empty"},
    {"all of IPv4", GRANT("'src':['*'],'dst':[^'0.0.0.0/0'],'ip':['*']"),
     "dst \"0.0.0.0/0\": to allow all IP addresses, use \"*\" or \"autogroup:internet\""},
    {"all of IPv6", GRANT("'src':['*'],'dst':[^'::/0'],'ip':['*']"),
     "dst \"::/0\": to allow all IP addresses, use \"*\" or \"autogroup:internet\""},
    {"self for everyone", GRANT("'src':[^'*'],'dst':['autogroup:self'],'ip':['*']"), SELF},
    {"self as source", GRANT("'src':[^'autogroup:self'],'dst':['*'],'ip':['*']"),
     "\"autogroup:self\" not valid on the src side of a rule"},
    {"danger-all as destination", GRANT("'src':[],'dst':[^'autogroup:danger-all'],'ip':['*']"),
     "cannot use autogroup:danger-all as a dst"},
    {"a protocol alone", GRANT("'ip':[^'icmp']"), "port range \"icmp\": invalid first integer"},
    {"an unknown protocol", GRANT("'ip':['*',^'quic:1']"),
     "invalid protocol number: \"quic\" must be a known protocol name"},
    {"ports that are none", GRANT("'ip':[^'tcp:x']"), "port range \"x\": invalid first integer"},
    {"two colons", GRANT("'ip':[^'tcp:80:90']"),
     "expected only one colon in Internet protocol and port type, got: [tcp 80 90](3)"},
    {"a URL as a capability", GRANT("'app':{^'https://tailscale.com/cap/x':[]}"),
     "capability name must have the form {domain}/{path}"},
    {"Tailscale's own capability", GRANT("'app':{^'tailscale.com/cap/relay-target':[]}"),
     "capability name must not be in the tailscale.com domain"},
    {"capability values that are no list", GRANT("'app':{'x.y/z':^{}}"),
     "a capability's values must be an array, not an object"},
    {"a capability on the internet",
     GRANT("'src':['*'],'dst':['*',^'autogroup:internet'],'ip':['*'],'app':{'x.y/z':[]}"),
     "cannot use app grants with autogroup:internet"},
    {"via something else", GRANT("'ip':['*'],'via':['tag:a',^'autogroup:tagged']"),
     "via can only be a tag"},
    {"via what is not even a selector", GRANT("'ip':['*'],'via':[^'nohost']"),
     "via can only be a tag"},
    {"via an unknown tag", GRANT("'ip':['*'],'via':[^'tag:z']"), "tag \"tag:z\" not found"},
};

/* ---- SSH, attributes, approvers ---- */

static const struct row ssh[] = {
    {"no action", "{'ssh':[^{'users':['root']}]}", "action must be specified"},
    {"an empty action", SSH("'action':^''"), "action must be specified"},
    {"case of an action", SSH("'action':^'Accept'"), "\"Accept\" is not a valid action"},
    {"no users", "{'ssh':[^{'action':'accept'}]}", "users must be specified"},
    {"users that are null", "{'ssh':[^{'action':'accept','users':null}]}",
     "users must be specified"},
    {"no user in users", SSH("'action':'accept','users':^[]"), "users must be specified"},
    {"an empty user", SSH("'action':'accept','users':['root',^' ']"), "user \"\" is not valid"},
    {"any user", SSH("'action':'accept','users':[^'*']"), "user \"*\" is not valid"},
    {"log-ins of the domain *", SSH("'action':'accept','users':[^'localpart:*@*']"),
     "* is not associated with this Tailnet and cannot be used in user:*@<domain> expressions"},
    {"an empty variable", SHELL("'acceptEnv':['A',^'']"), "acceptEnv values cannot be empty"},
    {"no duration", SHELL("'checkPeriod':^'abc'"), "time: invalid duration \"abc\""},
    {"no unit", SHELL("'checkPeriod':^'5'"), "time: missing unit in duration \"5\""},
    {"no unit of time", SHELL("'checkPeriod':^'1d'"),
     "time: unknown unit \"d\" in duration \"1d\""},
    {"no number", SHELL("'checkPeriod':^'.s'"), "time: invalid duration \".s\""},
    {"a sign alone", SHELL("'checkPeriod':^'-'"), "time: invalid duration \"-\""},
    {"too many hours", SHELL("'checkPeriod':^'99999999999h'"),
     "time: invalid duration \"99999999999h\""},
    {"a negative period", SHELL("'checkPeriod':^'-1m'"),
     "checkPeriod -1m0s must be a positive duration"},
    {"more than a week", SHELL("'checkPeriod':^'168h0m1s'"),
     "checkPeriod 168h0m1s is above the max (168h)"},
    {"a fraction of a week too much", SHELL("'checkPeriod':^'168.5h'"),
     "checkPeriod 168h30m0s is above the max (168h)"},
    {"a period for accept", SSH("'action':'accept','users':['a'],'checkPeriod':^'1h'"),
     "checkPeriod is only valid with action \"check\""},
    {"a host as destination", SHELL("'src':['a@x'],'dst':[^'db']"), "invalid dst \"db\""},
    {"an unknown host as destination", SHELL("'src':['a@x'],'dst':[^'srv']"),
     "invalid dst \"srv\""},
    {"an address as destination", SHELL("'src':['a@x'],'dst':[^'1.2.3.4']"),
     "alias not supported for SSH destination: \"1.2.3.4\""},
    {"a group as destination", SHELL("'src':['a@x'],'dst':[^'group:dev']"),
     "alias not supported for SSH destination: \"group:dev\""},
    {"everything as destination", SHELL("'src':['a@x'],'dst':[^'*']"),
     "wildcard (*) is not supported as SSH destination; use 'autogroup:member' for user-owned "
     "devices, 'autogroup:tagged' for tagged devices, or specific tags/users"},
    {"a role as destination", SHELL("'src':['a@x'],'dst':[^'autogroup:admin']"),
     "autogroup not supported for SSH destinations: \"autogroup:admin\", can be [autogroup:self "
     "autogroup:member autogroup:tagged]"},
    {"everything as source", SHELL("'src':[^'*']"), "alias not supported for SSH source: \"*\""},
    {"an address as source", SHELL("'src':[^'10.0.0.0/8']"),
     "alias not supported for SSH source: \"10.0.0.0/8\""},
    {"a host as source", SHELL("'src':[^'db']"), "alias not supported for SSH source: \"db\""},
    {"self as source", SHELL("'src':[^'autogroup:self']"),
     "autogroup not supported for SSH sources: \"autogroup:self\", can be ["},
    {"a tag that is not defined", SHELL("'src':[^'tag:z']"), "tag not found: \"tag:z\""},
    {"a user's devices from tags", SHELL("'src':[^'tag:a'],'dst':['a@x']"),
     "tags in SSH source cannot access user-owned devices (a@x); use autogroup:tagged or specific "
     "tags as destinations instead"},
    {"a user's devices from others", SHELL("'src':['b@x'],'dst':[^'a@x']"),
     "user destination requires source to contain only that same user \"a@x\"; use autogroup:self "
     "instead for same-user SSH access"},
    {"a user's devices from more", SHELL("'src':['a@x','b@x'],'dst':['tag:a',^'a@x']"),
     "user destination requires source to contain only that same user \"a@x\""},
    {"self from tags", SHELL("'src':['a@x',^'autogroup:tagged'],'dst':['autogroup:self']"),
     "autogroup:self destination requires source to contain only users or groups, not tags or "
     "autogroup:tagged"},
    {"members from tags", SHELL("'src':[^'tag:a'],'dst':['autogroup:member']"),
     "tags in SSH source cannot access autogroup:member (user-owned devices)"},
    {"a recorder that is no tag", SHELL("'recorder':[^'a@x']"), "recorder can only be a tag"},
    {"an unknown recorder", SHELL("'recorder':[^'tag:z']"), "tag not found: \"tag:z\""},
};

static const struct row attrs[] = {
    {"no such target", "{'nodeAttrs':[{'target':['*',^'%bogus%']}]}",
     "\"%bogus%\": invalid address"},
    {"self as target", "{'nodeAttrs':[{'target':[^'autogroup:self']}]}", "internal server error"},
    {"internet as target", "{'nodeAttrs':[{'target':[^'autogroup:internet']}]}",
     "autogroup not supported for node attribute targets: \"autogroup:internet\", can be ["},
    {"a service as target", "{'nodeAttrs':[{'target':[^'svc:a']}]}",
     "alias not supported for node attribute targets: \"svc:a\""},
    {"a reserved pool", "{'nodeAttrs':[{'target':['*'],'ipPool':[^'100.100.100.0/25']}]}",
     "IPPool(100.100.100.0/25): network within reserved range"},
    {"a pool around the reserved", "{'nodeAttrs':[{'target':['*'],'ipPool':[^'100.112.0.0/12']}]}",
     "IPPool(100.112.0.0/12): network within reserved range"},
    {"a pool elsewhere", "{'nodeAttrs':[{'target':['*'],'ipPool':[^'10.0.0.0/8']}]}",
     "IPPool(10.0.0.0/8): not a network inside 100.64.0.0/10"},
    {"a route that is none", "{'autoApprovers':{'routes':{^'10.0.0':[]}}}",
     "\"10.0.0\": invalid address"},
    {"an unknown approver", "{'autoApprovers':{'routes':{'::/0':[^'tag:z']}}}",
     "tag not found: \"tag:z\""},
    {"an address as approver", "{'autoApprovers':{'exitNode':[^'1.2.3.4']}}",
     "alias not supported for auto approvers: \"1.2.3.4\""},
    {"a service without prefix", "{'autoApprovers':{'services':{^'web':[]}}}",
     "service must start with 'svc:', got: \"web\""},
    {"an unknown member", "{'autoApprovers':{^'exits':[]}}", "unknown field: \"exits\""},
};

/* ---- Running them ---- */

/* The text without its mark, and where that was. */
static struct str spelled(const char *text, struct policy_pos *pos)
{
    struct buf out = BUF(1 << 20);
    struct policy_pos at = {1, 1};

    for (const char *c = text; *c; c++) {
        if (*c == '^') {
            *pos = at;
            continue;
        }
        buf_put_char(&out, *c == '\'' ? '"' : *c == '`' ? '\'' : *c);
        at.line += *c == '\n';
        at.col = *c == '\n' ? 1 : at.col + (((uint8_t)*c & 0xc0) != 0x80);
    }
    return buf_take(&out);
}

static void run(const struct row *rows, size_t n, const struct policy_parse_options *options)
{
    for (size_t i = 0; i < n; i++) {
        const struct policy_document *d = NULL;
        struct policy_complaint c = {0};
        struct policy_pos want = {0};
        struct str text = spelled(rows[i].text, &want);

        if (policy_document_parse(text, options, &d, &c) != -ERR_INVALID)
            fail_msg("%s: accepted", rows[i].name);
        if (str_find(str_from(c.text), str_from(rows[i].words)) < 0 || c.text[0] == 0)
            fail_msg("%s: %s (%s)", rows[i].name, c.text, c.hint);
        if (want.line > 0 && (c.pos.line != want.line || c.pos.col != want.col))
            fail_msg("%s: at %u:%u, want %u:%u: %s", rows[i].name, c.pos.line, c.pos.col, want.line,
                     want.col, c.text);
        assert_true(str_is_utf8(str_from(c.text)) && str_is_utf8(str_from(c.hint)));
        str_free(&text);
    }
}

#define COMPLAINTS(rows)                     \
    static void refuses_##rows(void **state) \
    {                                        \
        (void)state;                         \
        run(rows, ARRAY_LEN(rows), NULL);    \
    }
COMPLAINTS(form)
COMPLAINTS(names)
COMPLAINTS(acls)
COMPLAINTS(grants)
COMPLAINTS(ssh)
COMPLAINTS(attrs)

/* Exact words, and the hint that goes with them. */
static void hints_at_what_is_right(void **state)
{
    static const struct row rows[] = {
        {"unknown field", "{'groups':{},'grant':[]}",
         "a policy has: groups, hosts, ipsets, tagOwners"},
        {"twice", "{'acls': [],\n'acls': []}", "it is given on line 1 already"},
        {"tag", ACL("'src':['tag:z'],'dst':[]"), "a tag is defined in tagOwners before it is used"},
        {"self", "{'nodeAttrs':[{'target':['autogroup:self']}]}",
         "autogroup:self is no target of node attributes"},
        {"ports", ACL("'src':['*'],'dst':['db']"), "tag:web:80,443"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct policy_document *d = NULL;
        struct policy_complaint c = {0};
        struct policy_pos pos = {0};
        struct str text = spelled(rows[i].text, &pos);

        assert_int_equal(policy_document_parse(text, NULL, &d, &c), -ERR_INVALID);
        if (str_find(str_from(c.hint), str_from(rows[i].words)) < 0)
            fail_msg("%s: %s", rows[i].name, c.hint);
        str_free(&text);
    }
}

#define FOREIGN(domain)                                                                  \
    domain " is not associated with this Tailnet and cannot be used in user:*@<domain> " \
           "expressions"

static void refuses_foreign_domains(void **state)
{
    static const struct row rows[] = {
        {"as a source", GRANT("'ip':['*'],'src':['user:*@x.y',^'user:*@z']"), FOREIGN("z")},
        {"in upper case", GRANT("'ip':['*'],'dst':[^'user:*@X.y']"), FOREIGN("X.y")},
        {"as a source of SSH", SHELL("'src':[^'user:*@z']"), "[ssh] " FOREIGN("z")},
        {"as log-in", SSH("'action':'accept','users':['localpart:*@x.y',^'localpart:*@z']"),
         FOREIGN("z")},
        {"behind the last @", SSH("'action':'accept','users':[^'localpart:*@x.y@*']"),
         FOREIGN("*")},
        {"as a target", "{'nodeAttrs':[{'target':[^'user:*@z']}]}", FOREIGN("z")},
    };
    struct str items[] = {STR("q"), STR("x.y")};
    const struct str_list domains = {items, 2};
    const struct policy_parse_options options = {.domains = &domains};

    (void)state;
    run(rows, ARRAY_LEN(rows), &options);
}

/* ---- Bounds ---- */

static void refuse_built(struct buf *text, const char *words)
{
    const struct policy_document *d = NULL;
    struct policy_complaint c = {0};

    assert_false(buf_is_full(text));
    assert_int_equal(policy_document_parse(buf_str(text), NULL, &d, &c), -ERR_INVALID);
    if (str_find(str_from(c.text), str_from(words)) < 0)
        fail_msg("%s, want: %s", c.text, words);
}

static void repeat(struct buf *text, const char *head, const char *each, size_t n, const char *tail)
{
    buf_clear(text);
    buf_put(text, str_from(head));
    for (size_t i = 0; i < n; i++) {
        for (const char *c = each; *c; c++) {
            if (*c == '#')
                buf_put_u64(text, i);
            else
                buf_put_char(text, *c);
        }
    }
    buf_put(text, str_from(tail));
}

static void names_the_bounds(void **state)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(64 << 20);

    (void)state;
    repeat(&text, "", " ", POLICY_TEXT_MAX + 1, "");
    refuse_built(&text, "at most 4194304 bytes");
    repeat(&text, "{\"groups\":{", "\"group:#\":[],", POLICY_NAMES_MAX + 1, "}}");
    refuse_built(&text, "groups: 20001 entries, at most 20000 are allowed");
    repeat(&text, "{\"tagOwners\":{", "\"tag:a#\":[],", POLICY_NAMES_MAX + 1, "}}");
    refuse_built(&text, "tagOwners: 20001 entries, at most 20000 are allowed");
    repeat(&text, "{\"grants\":[{\"ip\":[\"*\"]}],\"acls\":[", "{\"action\":\"accept\"},",
           POLICY_RULES_MAX, "]}");
    refuse_built(&text, "too many rules: acls and grants together may have 20000");
    repeat(&text, "{\"acls\":[{\"action\":\"accept\",\"src\":[", "\"*\",", POLICY_SELECTORS_MAX + 1,
           "]}]}");
    refuse_built(&text, "all lists of a policy together may have 200000 entries");
    repeat(&text, "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:1", ",1",
           POLICY_SELECTORS_MAX, "\"]}]}");
    refuse_built(&text, "all lists of a policy together may have 200000 entries");
    repeat(&text, "", "[", 100000, "");
    refuse_built(&text, "");
    repeat(&text, "{\"ipsets\":{\"ipset:a\":[", "\"::#:0\",", POLICY_SET_RANGES_MAX, "]}}");
    refuse_built(&text, ""); /* more than four digits of a group */
}

/* 2-adic: addresses that never touch. */
static void bounds_sets(void **state)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(64 << 20);

    (void)state;
    buf_put(&text, STR("{\"ipsets\":{\"ipset:a\":["));
    for (unsigned i = 0; i <= POLICY_SET_RANGES_MAX; i++)
        buf_printf(&text, "\"10.%u.%u.%u\",", i >> 15, (i >> 7) & 255, (i & 127) * 2);
    buf_put(&text, STR("]}}"));
    refuse_built(&text, "an ipset may have 100000 ranges at most");

    /* Twice as much at each step, and a chain of ten thousand. */
    buf_clear(&text);
    buf_put(&text, STR("{\"ipsets\":{\"ipset:0\":["));
    for (unsigned i = 0; i < 50000; i++)
        buf_printf(&text, "\"10.%u.%u.%u\",", i >> 15, (i >> 7) & 255, (i & 127) * 2);
    buf_put(&text, STR("]"));
    for (unsigned i = 1; i < 10000; i++)
        buf_printf(&text, ",\"ipset:%u\":[\"ipset:%u\",\"ipset:%u\"]", i, i - 1, i - 1);
    buf_put(&text, STR("}}"));
    refuse_built(&text, "ipsets refer to each other too often: more than 4000000 ranges");
}

/* What is large but allowed is read. */
static void reads_the_largest(void **state)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(64 << 20);
    AUTO(policy_document_unref) const struct policy_document *d = NULL;
    struct policy_complaint c = {0};

    (void)state;
    repeat(&text, "{\"groups\":{", "\"group:#\":[\"a@x\",\"u#@x\"],", POLICY_NAMES_MAX,
           "},\"acls\":[{\"action\":\"accept\",\"src\":[");
    for (size_t i = 0; i < POLICY_NAMES_MAX; i++)
        buf_printf(&text, "\"group:%zu\",", i);
    buf_put(&text, STR("],\"dst\":[]}]}"));
    if (policy_document_parse(buf_str(&text), NULL, &d, &c) < 0)
        fail_msg("%s", c.text);
    assert_int_equal(d->n_groups, POLICY_NAMES_MAX);
    assert_int_equal(d->n_selectors, 2 * POLICY_NAMES_MAX + 1);
    assert_ptr_equal(d->groups[7].members.items[0].selector,
                     d->groups[9].members.items[0].selector);
}

/* A name too long for a complaint is cut between characters, wherever it stands. */
static void cuts_all_long_words(void **state)
{
    static const struct {
        const char *head, *tail;
    } texts[] = {
        {"{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:", "\"]}]}"},
        {"{\"acls\":[{\"action\":\"", "\"}]}"},
        {"{\"acls\":[{\"action\":\"accept\",\"src\":[\"user:*@*", "\"]}]}"},
        {"{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"x", ":1\"]}]}"},
        {"{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:x", "\"]}]}"},
        {"{\"acls\":[{\"action\":\"accept\",\"proto\":\"", "\"}]}"},
        {"{\"grants\":[{\"ip\":[\"a:b:c", "\"]}]}"},
        {"{\"groups\":{\"group:", "\":[\"group:a\"]}}"},
        {"{\"groups\":{\"group:a\":[\"group:", "\"]}}"},
        {"{\"ssh\":[{\"action\":\"check\",\"users\":[\"a\"],\"checkPeriod\":\"", "\"}]}"},
        {"{\"ssh\":[{\"action\":\"check\",\"users\":[\"a\"],\"checkPeriod\":\"1", "\"}]}"},
        {"{\"ssh\":[{\"action\":\"check\",\"users\":[\"a\"],\"src\":[\"a@\"],\"dst\":[\"b@",
         "\"]}]}"},
        {"{\"tagOwners\":{\"tag:a\":[]},\"ssh\":[{\"action\":\"check\",\"users\":[\"a\"],"
         "\"src\":[\"tag:a\"],\"dst\":[\"b@",
         "\"]}]}"},
        {"{\"nodeAttrs\":[{\"ipPool\":[\"", "\"]}]}"},
        {"{\"ipsets\":{\"ipset:", "\":[\"x\"]}}"},
        {"{\"", "\":1}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        for (size_t n = 1; n < 300; n += 7) {
            AUTO_FINI(buf_fini) struct buf text = BUF(1 << 20);
            const struct policy_document *d = NULL;
            struct policy_complaint c = {0};

            repeat(&text, texts[i].head, "aé🚀", n, texts[i].tail);
            if (policy_document_parse(buf_str(&text), NULL, &d, &c) != -ERR_INVALID)
                fail_msg("accepted: %s%s", texts[i].head, texts[i].tail);
            assert_true(str_is_utf8(str_from(c.text)) && str_is_utf8(str_from(c.hint)));
            assert_true(c.text[0] && c.pos.line == 1);
        }
    }
}

static void cuts_long_words(void **state)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(1 << 20);
    const struct policy_document *d = NULL;
    struct policy_complaint c = {0};

    (void)state;
    repeat(&text, "{\"tagOwners\":{\"tag:a\":[\"tag:", "é", 5000, "\"]}}");
    assert_int_equal(policy_document_parse(buf_str(&text), NULL, &d, &c), -ERR_INVALID);
    assert_true(str_is_utf8(str_from(c.text)));
    assert_true(
        str_starts(str_from(c.text), STR("tag \"tag:a\" references undefined tag \"tag:éé")));
    assert_true(str_find(str_from(c.text), STR("é…\"")) > 0);
}

/* Sources times destinations would be 10^10. */
static void is_linear_in_pairs(void **state)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(64 << 20);
    AUTO(policy_document_unref) const struct policy_document *d = NULL;
    struct policy_complaint c = {0};

    (void)state;
    repeat(&text, "{\"ssh\":[{\"action\":\"accept\",\"users\":[\"a\"],\"src\":[", "\"u#@\",",
           POLICY_SELECTORS_MAX / 2 - 10, "],\"dst\":[");
    for (size_t i = 0; i < POLICY_SELECTORS_MAX / 2; i++)
        buf_put(&text, i % 2 ? STR("\"autogroup:self\",") : STR("\"autogroup:member\","));
    buf_put(&text, STR("]}]}"));
    if (policy_document_parse(buf_str(&text), NULL, &d, &c) < 0)
        fail_msg("%s", c.text);
    assert_int_equal(d->ssh[0].dst.len, POLICY_SELECTORS_MAX / 2);
}

static void quotes_as_go_does(void **state)
{
    static const struct row rows[] = {
        {"controls and quotes", "{^'a\\u0000\\n\\t\\'\\\\\\u001b\\u007f':1}",
         "unknown field: \"a\\x00\\n\\t\\\"\\\\\\x1b\\x7f\""},
        {"letters of any script", "{^'ключ🚀':1}", "unknown field: \"ключ🚀\""},
        {"what does not show", "{^'a\\u200bb\\u202ec\\u00a0d\\u0085':1}",
         "unknown field: \"a\\u200bb\\u202ec\\u00a0d\\u0085\""},
    };

    (void)state;
    run(rows, ARRAY_LEN(rows), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_form),
        cmocka_unit_test(refuses_names),
        cmocka_unit_test(refuses_acls),
        cmocka_unit_test(refuses_grants),
        cmocka_unit_test(refuses_ssh),
        cmocka_unit_test(refuses_attrs),
        cmocka_unit_test(hints_at_what_is_right),
        cmocka_unit_test(refuses_foreign_domains),
        cmocka_unit_test(names_the_bounds),
        cmocka_unit_test(bounds_sets),
        cmocka_unit_test(reads_the_largest),
        cmocka_unit_test(cuts_long_words),
        cmocka_unit_test(cuts_all_long_words),
        cmocka_unit_test(is_linear_in_pairs),
        cmocka_unit_test(quotes_as_go_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
