/* Each section is a function; lists are written through one comma keeper. */

#include "random_policy.h"

#include <stdio.h>

const char *const random_logins[] = {"root", "ubuntu", "alice",
                                     "bob",  "nobody", "autogroup:member"};
const size_t random_n_logins = ARRAY_LEN(random_logins);
const char *const random_caps[] = {"example.com/cap/one",
                                   "example.com/cap/two",
                                   "tailscale.com/cap/drive",
                                   "tailscale.com/cap/relay",
                                   "tailscale.com/cap/drive-sharer",
                                   "tailscale.com/cap/relay-target"};
const size_t random_n_caps = ARRAY_LEN(random_caps);
const char *const random_attrs[] = {"funnel",
                                    "suggest-exit-node",
                                    "disable-ipv4",
                                    "nextdns:abc",
                                    "own-attribute",
                                    "randomize-client-port",
                                    "https://tailscale.com/cap/warn-funnel-no-https",
                                    "https://tailscale.com/cap/funnel-ports?ports=443,8443,10000"};
const size_t random_n_attrs = ARRAY_LEN(random_attrs);

static const char *const role_groups[] = {"autogroup:owner",         "autogroup:admin",
                                          "autogroup:network-admin", "autogroup:it-admin",
                                          "autogroup:billing-admin", "autogroup:auditor"};
static const char *const literals[] = {
    "100.64.0.1",    "100.64.0.2",  "100.64.0.3/32",       "100.64.0.0/29",
    "100.64.0.0/10", "10.1.2.3",    "10.1.2.0/25",         "10.1.0.0/16",
    "10.0.0.0/7",    "10.33.0.9",   "192.168.1.77",        "192.168.0.0/16",
    "172.20.1.0/24", "8.8.8.8",     "1.1.1.0/24",          "fd7a:115c:a1e0::2",
    "fd00:1::5",     "fd00:1::/48", "fd7a:115c:a1e0::/48", "fd7a:115c:a1e0::1/128",
    "100.115.92.7",  "10.1.2.3/8",  "2606:4700::1111"};

struct gen {
    struct rand_seeded *r;
    struct buf *out;
    struct random_policy_options o;
    bool has_postures;
};

static uint64_t below(struct gen *g, uint64_t n)
{
    return random_choice(&g->o.choices, g->r, n);
}

static bool chance(struct gen *g, uint64_t percent)
{
    return below(g, 100) < percent;
}

#define PICK(g, list) ((list)[below((g), ARRAY_LEN(list))])

/* One to four mostly. */
static uint64_t some(struct gen *g)
{
    uint64_t n = 1;

    while (n < 6 && chance(g, 40))
        n++;
    return n;
}

static void comma(struct gen *g, bool *first)
{
    if (!*first)
        buf_put(g->out, STR(","));
    *first = false;
}

static void end_list(struct gen *g, const char *bracket)
{
    if (!g->o.plain && chance(g, 5))
        buf_put(g->out, STR(" // the end\n"));
    buf_put(g->out, str_from(bracket));
}

/* ---- Selectors; `out` has room for any ---- */

#define SELECTOR_MAX 80

static void user(struct gen *g, char out[SELECTOR_MAX])
{
    const struct random_user *u = &random_users[below(g, random_n_users)];

    if (chance(g, 3))
        (void)snprintf(out, SELECTOR_MAX, "nobody@example.com");
    else if (u->email[0] && chance(g, 80))
        (void)snprintf(out, SELECTOR_MAX, "%s", u->email);
    else
        (void)snprintf(out, SELECTOR_MAX, "%s@", u->name);
}

static void tag(struct gen *g, char out[SELECTOR_MAX])
{
    (void)snprintf(out, SELECTOR_MAX, "tag:%s", random_tags[below(g, random_n_tags)]);
}

/* Users in any number: what autogroup:self may have as its source. */
static void people(struct gen *g, char out[SELECTOR_MAX])
{
    uint64_t what = below(g, 100);

    if (what < 45)
        user(g, out);
    else if (what < 70)
        (void)snprintf(out, SELECTOR_MAX, "group:g%u", (unsigned)below(g, 4));
    else if (what < 85)
        (void)snprintf(out, SELECTOR_MAX, "autogroup:member");
    else
        (void)snprintf(out, SELECTOR_MAX, "%s", PICK(g, role_groups));
}

static void identity(struct gen *g, char out[SELECTOR_MAX])
{
    uint64_t what = below(g, 100);

    if (what < 50)
        people(g, out);
    else if (what < 80)
        tag(g, out);
    else if (what < 90)
        (void)snprintf(out, SELECTOR_MAX, "autogroup:tagged");
    else
        (void)snprintf(out, SELECTOR_MAX, "user:*@example.%s", chance(g, 60) ? "com" : "org");
}

static void literal(struct gen *g, char out[SELECTOR_MAX])
{
    uint64_t what = below(g, 100);

    if (what < 20)
        (void)snprintf(out, SELECTOR_MAX, "host%u", (unsigned)below(g, 4));
    else if (what < 35)
        (void)snprintf(out, SELECTOR_MAX, "ipset:s%u", (unsigned)below(g, 3));
    else if (what < 60)
        (void)snprintf(out, SELECTOR_MAX, "%s", random_routes[below(g, random_n_routes)]);
    else if (what < 75)
        (void)snprintf(out, SELECTOR_MAX, "100.64.0.%u", 1 + (unsigned)below(g, 12));
    else
        (void)snprintf(out, SELECTOR_MAX, "%s", PICK(g, literals));
}

static void source(struct gen *g, char out[SELECTOR_MAX])
{
    uint64_t what = below(g, 100);

    if (what < 12)
        (void)snprintf(out, SELECTOR_MAX, "*");
    else if (what < 14)
        (void)snprintf(out, SELECTOR_MAX, "autogroup:danger-all");
    else if (what < 16)
        (void)snprintf(out, SELECTOR_MAX, "autogroup:shared");
    else if (what < 18)
        (void)snprintf(out, SELECTOR_MAX, "tailnet:%s", chance(g, 70) ? "other" : "third");
    else if (what < 20)
        (void)snprintf(out, SELECTOR_MAX, "autogroup:members");
    else if (what < 40)
        literal(g, out);
    else
        identity(g, out);
}

static void destination(struct gen *g, char out[SELECTOR_MAX])
{
    uint64_t what = below(g, 100);

    if (what < 12)
        (void)snprintf(out, SELECTOR_MAX, "*");
    else if (what < 55)
        literal(g, out);
    else
        identity(g, out);
}

static void put_strings(struct gen *g, void (*one)(struct gen *g, char out[SELECTOR_MAX]),
                        uint64_t n)
{
    char text[SELECTOR_MAX];
    bool first = true;

    buf_put(g->out, STR("["));
    while (n-- > 0) {
        one(g, text);
        comma(g, &first);
        buf_printf(g->out, "\"%s\"", text);
    }
    if (!first && !g->o.plain && chance(g, 5))
        buf_put(g->out, STR(","));
    end_list(g, "]");
}

static void put_field(struct gen *g, const char *name)
{
    buf_printf(g->out, "\"%s\":", name);
}

/* ---- Definitions ---- */

static void put_groups(struct gen *g)
{
    put_field(g, "groups");
    buf_put(g->out, STR("{"));
    for (unsigned i = 0; i < 4; i++) {
        buf_printf(g->out, "%s\"group:g%u\":", i ? "," : "", i);
        put_strings(g, user, below(g, 4));
    }
    buf_put(g->out, STR("},\n"));
}

static void tag_owner(struct gen *g, char out[SELECTOR_MAX])
{
    if (chance(g, 40))
        tag(g, out);
    else
        people(g, out);
}

static void put_tags(struct gen *g)
{
    put_field(g, "tagOwners");
    buf_put(g->out, STR("{"));
    for (size_t i = 0; i < random_n_tags; i++) {
        buf_printf(g->out, "%s\"tag:%s\":", i ? "," : "", random_tags[i]);
        put_strings(g, tag_owner, below(g, 3));
    }
    buf_put(g->out, STR("},\n"));
}

static void put_hosts(struct gen *g)
{
    put_field(g, "hosts");
    buf_put(g->out, STR("{"));
    for (unsigned i = 0; i < 4; i++)
        buf_printf(g->out, "%s\"host%u\":\"%s\"", i ? "," : "", i,
                   chance(g, 70) ? PICK(g, literals) : random_routes[below(g, random_n_routes)]);
    buf_put(g->out, STR("},\n"));
}

static void set_operation(struct gen *g, char out[SELECTOR_MAX])
{
    static const char *const operations[] = {
        "add 10.1.0.0/16",  "remove 10.1.2.0/24",    "add 100.64.0.1-100.64.0.5",
        "add host:host1",   "remove 100.64.0.3",     "add fd7a:115c:a1e0::1-fd7a:115c:a1e0::4",
        "add 192.168.1.77", "add 172.16.0.0/12",     "remove host:host2",
        "add fd00:1::/64",  "remove 192.168.0.0/16", "add 10.1.2.3"};

    (void)snprintf(out, SELECTOR_MAX, "%s", PICK(g, operations));
}

static void put_ipsets(struct gen *g)
{
    put_field(g, "ipsets");
    buf_put(g->out, STR("{"));
    for (unsigned i = 0; i < 3; i++) {
        buf_printf(g->out, "%s\"ipset:s%u\":", i ? "," : "", i);
        put_strings(g, set_operation, some(g));
    }
    buf_put(g->out, STR("},\n"));
}

static void assertion(struct gen *g, char out[SELECTOR_MAX])
{
    static const char *const assertions[] = {"node:os == 'linux'",
                                             "node:os != 'windows'",
                                             "node:os IN ['macos','linux']",
                                             "node:os NOT IN ['ios']",
                                             "node:tsVersion >= '1.40'",
                                             "node:tsVersion < '1.80'",
                                             "node:tsVersion > '2'",
                                             "node:osVersion >= '7.1'",
                                             "node:osVersion <= '12'",
                                             "node:tsReleaseTrack == 'stable'",
                                             "custom:tier IS SET",
                                             "custom:tier NOT SET",
                                             "node:os IS SET",
                                             "node:tsVersion NOT SET"};

    (void)snprintf(out, SELECTOR_MAX, "%s", PICK(g, assertions));
}

static void posture(struct gen *g, char out[SELECTOR_MAX])
{
    (void)snprintf(out, SELECTOR_MAX, "posture:p%u", (unsigned)below(g, 3));
}

static void put_postures(struct gen *g)
{
    g->has_postures = true;
    put_field(g, "postures");
    buf_put(g->out, STR("{"));
    for (unsigned i = 0; i < 3; i++) {
        buf_printf(g->out, "%s\"posture:p%u\":", i ? "," : "", i);
        put_strings(g, assertion, 1 + below(g, 2));
    }
    buf_put(g->out, STR("},\n"));
    if (!chance(g, 15))
        return;
    put_field(g, "defaultSrcPosture");
    put_strings(g, posture, 1);
    buf_put(g->out, STR(",\n"));
}

static void put_rule_posture(struct gen *g)
{
    if (!g->has_postures || !chance(g, 30))
        return;
    buf_put(g->out, STR(","));
    put_field(g, "srcPosture");
    put_strings(g, posture, 1 + below(g, 2));
}

/* ---- Rules ---- */

static const char *ports(struct gen *g)
{
    static const char *const lists[] = {"*",      "22",    "80,443",        "1000-2000",
                                        "0-1023", "65535", "22,80-90,8080", "1-65535"};

    return PICK(g, lists);
}

static void source_of_self_acl(struct gen *g, char out[SELECTOR_MAX])
{
    if (chance(g, 15))
        (void)snprintf(out, SELECTOR_MAX, "*");
    else
        people(g, out);
}

static void put_acl(struct gen *g)
{
    static const char *const ported[] = {"tcp", "udp", "6", "17", "sctp"};
    static const char *const portless[] = {"icmp", "ipv6-icmp", "gre", "99", "58", "esp"};
    bool self = chance(g, 20), is_portless = chance(g, 10), first = true;
    char text[SELECTOR_MAX];

    buf_put(g->out, STR("{\"action\":\"accept\",\"src\":"));
    put_strings(g, self ? source_of_self_acl : source, chance(g, 3) ? 0 : some(g));
    if (is_portless || chance(g, 25))
        buf_printf(g->out, ",\"proto\":\"%s\"", is_portless ? PICK(g, portless) : PICK(g, ported));
    put_rule_posture(g);
    buf_put(g->out, STR(",\"dst\":["));
    for (uint64_t n = some(g); n > 0; n--) {
        destination(g, text);
        if (self && (n == 1 || chance(g, 30)))
            (void)snprintf(text, sizeof(text), "autogroup:self");
        else if (chance(g, 10))
            (void)snprintf(text, sizeof(text), "autogroup:internet");
        comma(g, &first);
        bool is_v6 = text[0] == 'f' && text[1] == 'd';
        buf_printf(g->out,
                   is_v6 && chance(g, 50) && !strchr(text, '/') ? "\"[%s]:%s\"" : "\"%s:%s\"", text,
                   is_portless ? "*" : ports(g));
    }
    end_list(g, "]");
    buf_put(g->out, STR("}"));
}

static void ip_entry(struct gen *g, char out[SELECTOR_MAX])
{
    static const char *const protos[] = {"tcp", "udp", "6", "sctp"};
    static const char *const portless[] = {"icmp:*", "gre:*", "ipv6-icmp:*", "47:*"};
    uint64_t what = below(g, 100);

    if (what < 15)
        (void)snprintf(out, SELECTOR_MAX, "*");
    else if (what < 40)
        (void)snprintf(out, SELECTOR_MAX, "%s", ports(g));
    else if (what < 88)
        (void)snprintf(out, SELECTOR_MAX, "%s:%s", PICK(g, protos), ports(g));
    else
        (void)snprintf(out, SELECTOR_MAX, "%s", PICK(g, portless));
}

static void put_app(struct gen *g)
{
    static const char *const values[] = {
        "[]", "[{\"a\":1}]", "[{\"shares\":[\"*\"],\"access\":\"rw\"}]", "[1,\"two\",null]"};
    bool first = true;

    put_field(g, "app");
    buf_put(g->out, STR("{"));
    for (size_t i = 0; i < 4; i++)
        if (chance(g, 40)) {
            comma(g, &first);
            buf_printf(g->out, "\"%s\":%s", random_caps[i], PICK(g, values));
        }
    if (first)
        buf_put(g->out, STR("\"example.com/cap/one\":[true]"));
    buf_put(g->out, STR("}"));
}

/* What a via grant leads to. */
static void far_destination(struct gen *g, char out[SELECTOR_MAX])
{
    uint64_t what = below(g, 100);

    if (what < 70)
        (void)snprintf(out, SELECTOR_MAX, "%s", random_routes[below(g, random_n_routes)]);
    else if (what < 90)
        literal(g, out);
    else
        destination(g, out);
}

static void put_grant(struct gen *g)
{
    bool via = chance(g, 30), self = !via && chance(g, 20);
    bool app = chance(g, 35), internet = !app && chance(g, 20), first = true;
    char text[SELECTOR_MAX];

    buf_put(g->out, STR("{\"src\":"));
    put_strings(g, self ? people : source, chance(g, 3) ? 0 : some(g));
    put_rule_posture(g);
    buf_put(g->out, STR(",\"dst\":["));
    for (uint64_t n = some(g); n > 0; n--) {
        if (via)
            far_destination(g, text);
        else
            destination(g, text);
        if (self && (n == 1 || chance(g, 30)))
            (void)snprintf(text, sizeof(text), "autogroup:self");
        else if (internet && n == 1)
            (void)snprintf(text, sizeof(text), "autogroup:internet");
        comma(g, &first);
        buf_printf(g->out, "\"%s\"", text);
    }
    end_list(g, "],");
    if (via) {
        put_field(g, "via");
        put_strings(g, tag, 1 + below(g, 2));
        buf_put(g->out, STR(","));
    }
    if (app)
        put_app(g);
    if (!app || chance(g, 50)) {
        buf_put(g->out, app ? STR(",") : STR_NONE);
        put_field(g, "ip");
        put_strings(g, ip_entry, some(g));
    }
    buf_put(g->out, STR("}"));
}

/* ---- SSH ---- */

static void ssh_user(struct gen *g, char out[SELECTOR_MAX])
{
    uint64_t what = below(g, 100);

    if (what < 30)
        (void)snprintf(out, SELECTOR_MAX, "autogroup:nonroot");
    else if (what < 50)
        (void)snprintf(out, SELECTOR_MAX, "root");
    else if (what < 70)
        (void)snprintf(out, SELECTOR_MAX, "localpart:*@example.%s", chance(g, 70) ? "com" : "org");
    else
        (void)snprintf(out, SELECTOR_MAX, "%s", random_logins[1 + below(g, random_n_logins - 1)]);
}

static void tagged(struct gen *g, char out[SELECTOR_MAX])
{
    if (chance(g, 25))
        (void)snprintf(out, SELECTOR_MAX, "autogroup:tagged");
    else
        tag(g, out);
}

static void members(struct gen *g, char out[SELECTOR_MAX])
{
    (void)g;
    (void)snprintf(out, SELECTOR_MAX, "autogroup:member");
}

static void self_or_tagged(struct gen *g, char out[SELECTOR_MAX])
{
    if (chance(g, 60))
        (void)snprintf(out, SELECTOR_MAX, "autogroup:self");
    else
        tagged(g, out);
}

/* The combinations of 8.2. */
/* Who may be of another tailnet. */
static void outsiders(struct gen *g, char out[SELECTOR_MAX])
{
    if (chance(g, 40))
        (void)snprintf(out, SELECTOR_MAX, "autogroup:shared");
    else if (chance(g, 30))
        (void)snprintf(out, SELECTOR_MAX, "tailnet:other");
    else
        user(g, out);
}

static void put_ssh_ends(struct gen *g)
{
    uint64_t what = below(g, 100);
    char text[SELECTOR_MAX];

    put_field(g, "src");
    if (what < 15) {
        user(g, text);
        buf_printf(g->out, "[\"%s\"],\"dst\":[\"%s\"]", text, text);
        return;
    }
    put_strings(g, what >= 55 && what < 65 ? outsiders : what < 80 ? people : tagged, some(g));
    buf_put(g->out, STR(","));
    put_field(g, "dst");
    if (what < 45)
        put_strings(g, self_or_tagged, some(g));
    else if (what < 55)
        put_strings(g, members, 1);
    else
        put_strings(g, tagged, some(g));
}

static void put_ssh(struct gen *g)
{
    static const char *const periods[] = {"\"always\"", "\"20h\"", "\"1m30s\"", "null"};
    bool check = chance(g, 40);

    buf_printf(g->out, "{\"action\":\"%s\",", check ? "check" : "accept");
    put_ssh_ends(g);
    buf_put(g->out, STR(",\"users\":"));
    put_strings(g, ssh_user, some(g));
    if (check && chance(g, 60))
        buf_printf(g->out, ",\"checkPeriod\":%s", PICK(g, periods));
    if (chance(g, 20))
        buf_put(g->out, STR(",\"acceptEnv\":[\"GIT_*\",\"LANG\"]"));
    if (chance(g, 10))
        buf_put(g->out, STR(",\"recorder\":[\"tag:a\"],\"enforceRecorder\":true"));
    put_rule_posture(g);
    buf_put(g->out, STR("}"));
}

/* ---- Attributes and approvals ---- */

static void target(struct gen *g, char out[SELECTOR_MAX])
{
    uint64_t what = below(g, 100);

    if (what < 20)
        (void)snprintf(out, SELECTOR_MAX, "*");
    else if (what < 40)
        literal(g, out);
    else
        identity(g, out);
}

static void attribute(struct gen *g, char out[SELECTOR_MAX])
{
    (void)snprintf(out, SELECTOR_MAX, "%s", random_attrs[below(g, 6)]);
}

static void put_node_attr(struct gen *g)
{
    buf_put(g->out, STR("{\"target\":"));
    put_strings(g, target, below(g, 3));
    buf_put(g->out, STR(",\"attr\":"));
    put_strings(g, attribute, some(g));
    buf_put(g->out, STR("}"));
}

static void approver(struct gen *g, char out[SELECTOR_MAX])
{
    if (chance(g, 50))
        tag(g, out);
    else
        people(g, out);
}

static void put_approvers(struct gen *g)
{
    bool first = true;

    put_field(g, "autoApprovers");
    buf_put(g->out, STR("{\"routes\":{"));
    for (size_t i = 0; i < random_n_routes; i++)
        if (chance(g, 25)) {
            comma(g, &first);
            buf_printf(g->out, "\"%s\":", random_routes[i]);
            put_strings(g, approver, below(g, 3));
        }
    if (chance(g, 20)) {
        comma(g, &first);
        buf_put(g->out, STR("\"0.0.0.0/0\":"));
        put_strings(g, approver, 1);
    }
    buf_put(g->out, STR("},\"exitNode\":"));
    put_strings(g, approver, below(g, 3));
    buf_put(g->out, STR("},\n"));
}

static void put_rules(struct gen *g, const char *name, void (*one)(struct gen *g))
{
    uint64_t n = below(g, (g->o.max_rules ? g->o.max_rules : 5) + 1);
    bool first = true;

    put_field(g, name);
    buf_put(g->out, STR("[\n"));
    while (n-- > 0) {
        comma(g, &first);
        if (!g->o.plain && chance(g, 5))
            buf_put(g->out, STR("/* one more */ "));
        one(g);
        buf_put(g->out, STR("\n"));
    }
    end_list(g, "],\n");
}

void random_policy_put(struct rand_seeded *r, struct random_policy_options o, struct buf *out)
{
    struct gen g = {.r = r, .out = out, .o = o};

    buf_put(out, STR("{\n"));
    put_groups(&g);
    put_tags(&g);
    put_hosts(&g);
    put_ipsets(&g);
    if (chance(&g, 40))
        put_postures(&g);
    if (chance(&g, 85))
        put_rules(&g, "acls", put_acl);
    if (chance(&g, 85))
        put_rules(&g, "grants", put_grant);
    if (chance(&g, 80))
        put_rules(&g, "ssh", put_ssh);
    if (chance(&g, 60))
        put_rules(&g, "nodeAttrs", put_node_attr);
    if (chance(&g, 60))
        put_approvers(&g);
    if (chance(&g, 5))
        buf_put(out, STR("\"disableIPv4\":true,\n"));
    buf_printf(out, "\"randomizeClientPort\":%s}\n", chance(&g, 10) ? "true" : "false");
}
