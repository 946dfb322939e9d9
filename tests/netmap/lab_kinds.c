/* Each kind of change, as the commands that make it. A kind puts back what it needs to find. */

#include "core/mem.h"
#include "ip/prefix.h"
#include "netmap/lab_internal.h"

/* Whoever owns it may be suspended: then he is no more. */
static void must_join(struct lab *l, enum lab_node which)
{
    const char *owner = lab_owner(which);

    if (strncmp(owner, "tag:", 4) != 0)
        (void)lab_do(l, (struct command){.type = COMMAND_USER_RESTORE, .id = lab_user(l, owner)});
    bool is_there = lab_join(l, which, owner, which == EVE_SHORT);
    ASSERT(is_there);
}

/* Somebody who is there; mostly people's machines. */
static enum lab_node somebody(struct lab *l)
{
    enum lab_node start = (enum lab_node)lab_below(l, EXTRA);

    for (enum lab_node i = 0; i < EXTRA; i++)
        if (lab_node(l, (start + i) % EXTRA))
            return (start + i) % EXTRA;
    must_join(l, ANN_LAPTOP);
    return ANN_LAPTOP;
}

static enum lab_node there(struct lab *l, enum lab_node which)
{
    if (!lab_node(l, which)) {
        must_join(l, which);
        lab_come(l, which);
        lab_approve_all(l, which);
    }
    return which;
}

static void admin(struct lab *l, enum lab_node which, enum command_type type)
{
    (void)lab_do(l, (struct command){.type = type, .id = l->machines[which].id});
}

/* ---- Nodes come and go ---- */

static void joins(struct lab *l)
{
    if (lab_node(l, EXTRA))
        admin(l, EXTRA, COMMAND_NODE_DELETE);
    (void)lab_join(l, EXTRA, lab_below(l, 2) ? "ann" : "bob", false);
    lab_come(l, EXTRA);
}

static void joins_tagged(struct lab *l)
{
    if (lab_node(l, EXTRA))
        admin(l, EXTRA, COMMAND_NODE_DELETE);
    (void)lab_join(l, EXTRA, lab_below(l, 2) ? "tag:a" : "tag:d", false);
}

/* The first machine of a user nobody had heard of. */
static void joins_of_a_new_user(struct lab *l)
{
    struct str name = str_printf("new%llu", (unsigned long long)++l->serial);

    (void)lab_do(l, (struct command){.type = COMMAND_USER_CREATE, .name = name});
    if (lab_node(l, EXTRA))
        admin(l, EXTRA, COMMAND_NODE_DELETE);
    (void)lab_join(l, EXTRA, name.ptr, false);
    str_free(&name);
}

static void is_deleted(struct lab *l)
{
    admin(l, somebody(l), COMMAND_NODE_DELETE);
}

static void comes_back_as_another(struct lab *l)
{
    enum lab_node who = somebody(l);

    admin(l, who, COMMAND_NODE_DELETE);
    (void)there(l, who);
}

static void is_ephemeral_and_goes(struct lab *l)
{
    lab_go(l, there(l, EVE_SHORT));
    lab_pass(l, 100000);
}

void lab_restore(struct lab *l)
{
    for (enum lab_node i = 0; i < EXTRA; i++) {
        (void)there(l, i);
        if (!l->machines[i].generation)
            lab_come(l, i);
    }
}

static void everybody_is_back(struct lab *l)
{
    lab_restore(l);
}

static void nearly_all_go(struct lab *l)
{
    for (enum lab_node i = 0; i < LAB_NODES; i++)
        if (i != BOB && lab_node(l, i))
            admin(l, i, COMMAND_NODE_DELETE);
}

/* ---- Access ---- */

static void approve_devices(struct lab *l, bool on)
{
    struct tailnet_settings s = {.set = SETTING_DEVICE_APPROVAL, .device_approval = on};

    (void)lab_do(l, (struct command){.type = COMMAND_TAILNET_SET, .settings = &s});
}

static void is_held_back(struct lab *l)
{
    approve_devices(l, true);
    (void)lab_do(l, (struct command){.type = COMMAND_NODE_APPROVE,
                                     .id = l->machines[somebody(l)].id,
                                     .revokes = true});
}

static void is_let_go(struct lab *l)
{
    for (enum lab_node i = 0; i < LAB_NODES; i++)
        if (lab_node(l, i) && !node_has_access(lab_node(l, i))) {
            admin(l, i, COMMAND_NODE_APPROVE);
            return;
        }
}

static void is_held_back_and_let_go(struct lab *l)
{
    is_held_back(l);
    is_let_go(l);
}

/* And waits for approval. */
static void joins_and_waits(struct lab *l)
{
    approve_devices(l, true);
    joins(l);
}

static void needs_no_approval_any_more(struct lab *l)
{
    approve_devices(l, false);
}

static void a_user_is_suspended(struct lab *l)
{
    const char *const names[] = {"ann", "bob", "eve"};

    (void)lab_do(l, (struct command){.type = COMMAND_USER_SUSPEND,
                                     .id = lab_user(l, names[lab_below(l, 3)])});
}

static void users_are_restored(struct lab *l)
{
    const char *const names[] = {"ann", "bob", "eve"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)lab_do(l,
                     (struct command){.type = COMMAND_USER_RESTORE, .id = lab_user(l, names[i])});
}

/* ---- What a node says of itself ---- */

static void new_endpoints(struct lab *l)
{
    struct ip_addrport e[3];
    size_t n = 1 + lab_below(l, 3);

    for (size_t i = 0; i < n; i++)
        e[i] = (struct ip_addrport){IP_ADDR_V4(198, 51, 100, (uint8_t)++l->serial),
                                    (uint16_t)(1 + lab_below(l, 60000))};
    (void)lab_say(
        l, somebody(l),
        (struct command){
            .type = COMMAND_NODE_UPDATE, .has_endpoints = true, .endpoints = e, .n_endpoints = n});
}

static void no_endpoints(struct lab *l)
{
    (void)lab_say(l, somebody(l),
                  (struct command){.type = COMMAND_NODE_UPDATE, .has_endpoints = true});
}

static void another_relay(struct lab *l)
{
    (void)lab_say(l, somebody(l),
                  (struct command){.type = COMMAND_NODE_UPDATE,
                                   .home_derp = 900 + (uint32_t)(++l->serial % 7)});
}

static void another_disco_key(struct lab *l)
{
    struct command c = {.type = COMMAND_NODE_UPDATE};

    c.disco.b[0] = (uint8_t)(++l->serial);
    c.disco.b[1] = 7;
    (void)lab_say(l, somebody(l), c);
}

static void another_version(struct lab *l)
{
    (void)lab_say(l, somebody(l),
                  (struct command){.type = COMMAND_NODE_UPDATE,
                                   .capver = 102 + (uint32_t)(++l->serial % 50)});
}

static void with_facts(struct lab *l, enum lab_node who, struct node_facts *f)
{
    (void)lab_say(l, who, (struct command){.type = COMMAND_NODE_UPDATE, .facts = f});
    node_facts_unref(f);
}

static void facts_for_itself(struct lab *l)
{
    enum lab_node who = somebody(l);

    with_facts(l, who, lab_facts(l, who));
}

static void facts_for_peers(struct lab *l)
{
    enum lab_node who = somebody(l);
    struct node_facts *f = lab_facts(l, who);

    str_free(&f->hostinfo_peer);
    f->hostinfo_peer =
        str_printf("{\"Hostname\":\"h\",\"N\":%llu}", (unsigned long long)++l->serial);
    with_facts(l, who, f);
}

static void another_host_name(struct lab *l)
{
    enum lab_node who = somebody(l);
    struct node_facts *f = lab_facts(l, who);

    str_free(&f->hostname);
    f->hostname = str_printf("other%llu", (unsigned long long)++l->serial);
    with_facts(l, who, f);
}

/* What postures look at. */
static void another_system(struct lab *l)
{
    enum lab_node who = somebody(l);
    struct node_facts *f = lab_facts(l, who);

    str_free(&f->os);
    str_free(&f->ipn_version);
    f->os = str_copy(lab_below(l, 2) ? STR("linux") : STR("macOS"));
    f->ipn_version = str_copy(lab_below(l, 2) ? STR("1.50.0") : STR("1.96.0"));
    with_facts(l, who, f);
}

static void another_node_key(struct lab *l)
{
    enum lab_node who = somebody(l);

    (void)lab_join(l, who, lab_owner(who), who == EVE_SHORT);
}

static void another_owner(struct lab *l)
{
    static const char *const owners[] = {"ann", "bob", "eve", "tag:a"};
    enum lab_node who = (enum lab_node)lab_below(l, EVE);

    (void)lab_join(l, there(l, who), owners[lab_below(l, 4)], false);
}

static void logs_out(struct lab *l)
{
    enum lab_node who = somebody(l);
    struct register_request reg = {.machine = l->machines[who].machine,
                                   .key = l->machines[who].key,
                                   .capver = 142,
                                   .has_expiry = true,
                                   .expiry_ms = l->now_ms - 1000,
                                   .facts = lab_facts(l, who)};

    (void)lab_do(l, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    node_facts_unref(reg.facts);
}

static void goes_offline(struct lab *l)
{
    lab_go(l, somebody(l));
    lab_pass(l, OFFLINE_GRACE_MS + 1);
}

/* Comes back within its grace: nobody is to hear of it. */
static void blinks(struct lab *l)
{
    enum lab_node who = somebody(l);

    lab_go(l, who);
    lab_pass(l, OFFLINE_GRACE_MS / 2);
    lab_come(l, who);
}

static void comes_online(struct lab *l)
{
    enum lab_node who = somebody(l);

    if (!lab_node(l, who)->online) {
        lab_come(l, who);
        return;
    }
    lab_go(l, who);
    lab_pass(l, OFFLINE_GRACE_MS + 1);
    lab_come(l, who);
}

/* What a client says and gets lost when it is said while offline. */
static void another_disco_key_offline(struct lab *l)
{
    enum lab_node who = somebody(l);
    struct command c = {.type = COMMAND_NODE_UPDATE};

    lab_go(l, who);
    lab_pass(l, OFFLINE_GRACE_MS + 1);
    c.disco.b[0] = (uint8_t)(++l->serial);
    c.disco.b[1] = 9;
    (void)lab_say(l, who, c);
}

/* ---- What an administrator does to a node ---- */

static void is_renamed(struct lab *l)
{
    struct str name = str_printf("name%llu", (unsigned long long)++l->serial);

    (void)lab_do(l, (struct command){.type = COMMAND_NODE_RENAME,
                                     .id = l->machines[somebody(l)].id,
                                     .name = name});
    str_free(&name);
}

static void set_expiry(struct lab *l, enum lab_node who, int64_t ms)
{
    (void)lab_do(l, (struct command){
                        .type = COMMAND_NODE_EXPIRE, .id = l->machines[who].id, .expiry_ms = ms});
}

static void is_expired(struct lab *l)
{
    set_expiry(l, somebody(l), l->now_ms);
}

static void gets_an_expiry(struct lab *l)
{
    set_expiry(l, somebody(l), l->now_ms + 3600000 + (int64_t)++l->serial * 1000);
}

static void loses_its_expiry(struct lab *l)
{
    enum lab_node who = somebody(l);

    set_expiry(l, who, l->now_ms + 5000);
    set_expiry(l, who, 0);
}

static void expires_in_time(struct lab *l)
{
    set_expiry(l, somebody(l), l->now_ms + 5000);
    lab_pass(l, 6000);
}

static void is_valid_again(struct lab *l)
{
    for (enum lab_node i = 0; i < LAB_NODES; i++)
        if (lab_node(l, i) && lab_node(l, i)->expired)
            set_expiry(l, i, lab_below(l, 2) ? 0 : l->now_ms + 9000000);
}

static void is_tagged(struct lab *l)
{
    static const char *const tags[] = {"tag:a", "tag:b", "tag:c", "tag:d"};
    struct command c = {.type = COMMAND_NODE_TAG, .id = l->machines[somebody(l)].id};

    for (size_t n = 1 + lab_below(l, 2); n > 0; n--)
        str_list_add(&c.tags, str_from(tags[lab_below(l, 4)]));
    str_list_sort_unique(&c.tags);
    (void)lab_do(l, c);
    str_list_free(&c.tags);
}

/* ---- Routes ---- */

static void announces_more(struct lab *l)
{
    enum lab_node who = lab_below(l, 2) ? ANN_LAPTOP : there(l, VIA);
    struct node_facts *f = lab_facts(l, there(l, who));

    f->n_routes = 0;
    if (ip_prefix_parse(lab_below(l, 2) ? STR("10.0.1.0/24") : STR("fd00:1::/64"), &f->routes[0]))
        f->n_routes = 1;
    with_facts(l, who, f);
    lab_approve_all(l, who);
}

static void announces_none(struct lab *l)
{
    enum lab_node who = there(l, lab_below(l, 2) ? ROUTER : EXIT);
    struct node_facts *f = lab_facts(l, who);

    f->n_routes = 0;
    with_facts(l, who, f);
}

static void announces_as_ever(struct lab *l)
{
    for (enum lab_node i = ROUTER; i <= VIA; i++) {
        with_facts(l, there(l, i), lab_facts(l, i));
        lab_approve_all(l, i);
    }
}

static void routes_are_withdrawn(struct lab *l)
{
    lab_approve(l, there(l, lab_below(l, 2) ? ROUTER : VIA), NULL, 0);
}

static void an_exit_node_less(struct lab *l)
{
    lab_approve(l, there(l, EXIT), NULL, 0);
}

static void routes_fail_over(struct lab *l)
{
    for (enum lab_node i = ROUTER; i <= SPARE; i++)
        lab_approve_all(l, there(l, i));
    for (enum lab_node i = ROUTER; i <= VIA; i++)
        if (lab_node(l, i) && lab_node(l, i)->n_serving && lab_node(l, i)->online) {
            lab_go(l, i);
            break;
        }
    lab_pass(l, OFFLINE_GRACE_MS + 1);
}

/* ---- Users ---- */

/* One who has machines: of others nobody is told. */
static const struct user *some_owner(struct lab *l)
{
    enum lab_node start = (enum lab_node)lab_below(l, LAB_NODES);

    for (enum lab_node i = 0; i < LAB_NODES; i++) {
        const struct node *n = lab_node(l, (start + i) % LAB_NODES);

        if (n && n->user)
            return view_user_find(l->view, n->user);
    }
    return view_user_find(l->view, lab_user(l, "ann"));
}

static void a_user_is_renamed(struct lab *l)
{
    const struct user *u = some_owner(l);
    /* Keeps the letters lab_user looks for; what policies name comes and goes. */
    struct str name = str_sub(u->name, 0, MIN(u->name.len, (size_t)3));
    struct str full = u->name.len > 3 && lab_below(l, 2)
                          ? str_copy(name)
                          : str_printf("%.*s%llu", STR_ARG(name), (unsigned long long)++l->serial);

    (void)lab_do(l, (struct command){.type = COMMAND_USER_RENAME, .id = u->id, .name = full});
    str_free(&full);
}

static void a_user_comes(struct lab *l)
{
    struct str name = str_printf("new%llu", (unsigned long long)++l->serial);

    (void)lab_do(l, (struct command){.type = COMMAND_USER_CREATE, .name = name});
    str_free(&name);
}

/* With the machines it had, which go first. */
static void a_user_goes(struct lab *l)
{
    for (enum lab_node i = 0; i < LAB_NODES; i++)
        if (lab_node(l, i) && lab_node(l, i)->user == lab_user(l, "eve"))
            admin(l, i, COMMAND_NODE_DELETE);
    (void)lab_do(l, (struct command){.type = COMMAND_USER_DELETE, .id = lab_user(l, "eve")});
    (void)lab_do(l, (struct command){.type = COMMAND_USER_CREATE, .name = STR("eve")});
}

/* ---- The tailnet ---- */

static void replace(struct str *s, struct str with)
{
    str_free(s);
    *s = with;
}

static void set_resolver(struct tailnet_info *i, struct str addr)
{
    if (i->n_resolvers == 0) {
        i->resolvers = NEW(struct dns_resolver);
        i->n_resolvers = 1;
    }
    replace(&i->resolvers[0].addr, addr);
}

static struct tailnet_info *info_begin(struct lab *l)
{
    return tailnet_info_clone(view_info(l->view));
}

static void info_end(struct lab *l, struct tailnet_info *i)
{
    (void)lab_do(l, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = i});
    tailnet_info_unref(i);
}

/* A kind that only edits the tailnet's info. */
#define INFO_KIND(name, edit)                   \
    static void name(struct lab *l)             \
    {                                           \
        struct tailnet_info *i = info_begin(l); \
                                                \
        l->serial++;                            \
        edit;                                   \
        info_end(l, i);                         \
    }                                           \
    struct kind_##name##_needs_semicolon

static void add_split(struct tailnet_info *i, uint64_t serial)
{
    struct dns_split *s;

    if (i->n_splits == 0) {
        i->splits = NEW(struct dns_split);
        i->n_splits = 1;
        i->splits[0].resolvers = NEW(struct dns_resolver);
        i->splits[0].n_resolvers = 1;
    }
    s = &i->splits[0];
    replace(&s->suffix, str_printf("s%llu.test", (unsigned long long)serial));
    replace(&s->resolvers[0].addr, str_copy(STR("10.0.0.53")));
}

static void add_record(struct tailnet_info *i, uint64_t serial)
{
    if (i->n_records == 0) {
        i->records = NEW(struct dns_record);
        i->n_records = 1;
        i->records[0].type = str_copy(STR("A"));
    }
    replace(&i->records[0].name, str_copy(STR("printer.a.test")));
    replace(&i->records[0].value, str_printf("10.0.0.%llu", (unsigned long long)serial % 250));
}

static void set_region(struct tailnet_info *i, uint64_t serial)
{
    if (i->n_regions == 0) {
        i->regions = NEW(struct derp_region);
        i->n_regions = 1;
        i->regions[0].id = 900;
        i->regions[0].nodes = NEW(struct derp_node);
        i->regions[0].n_nodes = 1;
        i->regions[0].nodes[0].name = str_copy(STR("900a"));
    }
    replace(&i->regions[0].name, str_printf("Region %llu", (unsigned long long)serial));
    replace(&i->regions[0].nodes[0].host_name,
            str_printf("derp%llu.test", (unsigned long long)serial));
}

INFO_KIND(resolver_changes,
          set_resolver(i, str_printf("1.1.1.%llu", (unsigned long long)l->serial % 250)));
INFO_KIND(resolver_is_personal, set_resolver(i, str_printf("https://dns.nextdns.io/x%llu",
                                                           (unsigned long long)l->serial)));
INFO_KIND(split_dns_changes, add_split(i, l->serial));
INFO_KIND(dns_records_change, add_record(i, l->serial));
INFO_KIND(search_domains_change,
          str_list_add(&i->search_domains, l->serial % 2 ? STR("corp.test") : STR("lan.test")));
INFO_KIND(local_dns_is_overridden, i->override_local_dns = !i->override_local_dns);
INFO_KIND(magic_dns_toggles, i->magic_dns = !i->magic_dns);
INFO_KIND(resolver_goes_past_exit_nodes, {
    set_resolver(i, str_copy(STR("9.9.9.9")));
    i->resolvers[0].with_exit_node = !i->resolvers[0].with_exit_node;
});

/* As administrators set it: over what is configured, and back to that. */
static void dns_is_set(struct lab *l)
{
    AUTO(dns_settings_free) struct dns_settings *dns = dns_settings_new();
    struct str text = str_printf("10.9.%llu.53", (unsigned long long)++l->serial % 250);

    if (l->serial % 2)
        (void)dns_add_resolver(dns, text, l->serial % 4 == 1);
    else
        dns_split_add(dns_add_split(dns, STR("own.test")), text, l->serial % 4 == 0);
    dns_add_record(dns, STR("own.a.test"), STR("A"), text);
    if (l->serial % 5 == 0)
        dns_add_search(dns, STR("own.test"));
    str_free(&text);
    (void)lab_do(l, (struct command){.type = COMMAND_DNS_SET, .dns = dns, .dns_how = DNS_MERGE});
}

static void dns_is_reset(struct lab *l)
{
    AUTO(dns_settings_free) struct dns_settings *dns = dns_settings_new();

    dns->parts = ++l->serial % 3 ? (unsigned)DNS_ALL : DNS_RECORDS | DNS_RESOLVERS;
    (void)lab_do(l, (struct command){.type = COMMAND_DNS_SET, .dns = dns, .dns_how = DNS_RESET});
}

INFO_KIND(base_domain_changes,
          replace(&i->base_domain, str_printf("b%llu.test", (unsigned long long)l->serial)));
INFO_KIND(domain_changes,
          replace(&i->domain, str_printf("d%llu.example", (unsigned long long)l->serial)));
INFO_KIND(relays_change, set_region(i, l->serial));
INFO_KIND(taildrop_toggles, i->taildrop = !i->taildrop);
INFO_KIND(random_port_toggles, i->randomize_client_port = !i->randomize_client_port);
INFO_KIND(auto_update_toggles, i->auto_update = !i->auto_update);

/* ---- Nothing to tell ---- */

static void an_auth_key_is_made(struct lab *l)
{
    (void)lab_do(l, (struct command){.type = COMMAND_AUTH_KEY_CREATE, .user = lab_user(l, "ann")});
}

static void nothing(struct lab *l)
{
    lab_pass(l, 1);
}

static void much_at_once(struct lab *l)
{
    for (size_t n = 3 + lab_below(l, 10); n > 0; n--) {
        const struct lab_kind *k = &lab_kinds[lab_below(l, lab_n_kinds)];

        if (k->happen != much_at_once)
            k->happen(l);
    }
}

#define KIND(name)  \
    {               \
#name, name \
    }
const struct lab_kind lab_kinds[] = {
    KIND(joins),
    KIND(joins_tagged),
    KIND(joins_of_a_new_user),
    KIND(is_deleted),
    KIND(comes_back_as_another),
    KIND(is_ephemeral_and_goes),
    KIND(everybody_is_back),
    KIND(nearly_all_go),
    KIND(is_held_back),
    KIND(is_let_go),
    KIND(is_held_back_and_let_go),
    KIND(joins_and_waits),
    KIND(needs_no_approval_any_more),
    KIND(a_user_is_suspended),
    KIND(users_are_restored),
    KIND(new_endpoints),
    KIND(no_endpoints),
    KIND(another_relay),
    KIND(another_disco_key),
    KIND(another_disco_key_offline),
    KIND(another_version),
    KIND(facts_for_itself),
    KIND(facts_for_peers),
    KIND(another_host_name),
    KIND(another_system),
    KIND(another_node_key),
    KIND(another_owner),
    KIND(logs_out),
    KIND(goes_offline),
    KIND(blinks),
    KIND(comes_online),
    KIND(is_renamed),
    KIND(is_expired),
    KIND(gets_an_expiry),
    KIND(loses_its_expiry),
    KIND(expires_in_time),
    KIND(is_valid_again),
    KIND(is_tagged),
    KIND(announces_more),
    KIND(announces_none),
    KIND(announces_as_ever),
    KIND(routes_are_withdrawn),
    KIND(an_exit_node_less),
    KIND(routes_fail_over),
    KIND(a_user_is_renamed),
    KIND(a_user_comes),
    KIND(a_user_goes),
    KIND(resolver_changes),
    KIND(resolver_is_personal),
    KIND(split_dns_changes),
    KIND(dns_records_change),
    KIND(search_domains_change),
    KIND(local_dns_is_overridden),
    KIND(magic_dns_toggles),
    KIND(resolver_goes_past_exit_nodes),
    KIND(dns_is_set),
    KIND(dns_is_reset),
    KIND(base_domain_changes),
    KIND(domain_changes),
    KIND(relays_change),
    KIND(taildrop_toggles),
    KIND(random_port_toggles),
    KIND(auto_update_toggles),
    KIND(an_auth_key_is_made),
    KIND(nothing),
    KIND(much_at_once),
};
const size_t lab_n_kinds = ARRAY_LEN(lab_kinds);
