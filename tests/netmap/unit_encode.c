/*
 * Encodings against golden files (golden/NAME.json), compared as trees. GOLDEN_WRITE=1 writes them
 * anew; look at the difference before committing it.
 */

#include "unit.h"

#include "core/mem.h"
#include "ip/prefix.h"
#include "netmap/encode.h"
#include "netmap/golden_dir.h"
#include "json/value.h"

static struct str read_file(const char *path)
{
    struct buf data = BUF(0);
    FILE *file = fopen(path, "rb");

    for (size_t n = 1; file && n > 0;) {
        char *at = buf_reserve(&data, 4096);

        n = fread(at, 1, 4096, file);
        buf_added(&data, n);
    }
    if (file)
        (void)fclose(file);
    return buf_take(&data);
}

static void golden(const char *name, struct str got)
{
    AUTO(arena_free) struct arena *a = arena_new();
    const char *path = arena_printf(a, "%s/%s.json", GOLDEN_DIR, name).ptr;
    struct json_value *tree = NULL, *want = NULL;
    struct json_error error = {0};
    struct str text;

    print_message("%s\n", name);
    if (!json_parse(a, got, NULL, &tree, &error))
        fail_msg("%s: not JSON at %u: %s", name, error.col, error.text);
    if (getenv("GOLDEN_WRITE")) {
        struct buf pretty = BUF(0);
        struct json_writer w = JSON_WRITER_PRETTY(&pretty);
        FILE *file = fopen(path, "wb");

        assert_non_null(file);
        json_value_write(&w, tree);
        buf_put_char(&pretty, '\n');
        assert_int_equal(fwrite(pretty.ptr, 1, pretty.len, file), pretty.len);
        (void)fclose(file);
        buf_fini(&pretty);
    }
    text = read_file(path);
    if (!json_parse(a, text, NULL, &want, &error))
        fail_msg("%s: the golden file is missing or no JSON", path);
    if (!json_eq(tree, want))
        fail_msg("%s: got %.*s", path, STR_ARG(got));
    str_free(&text);
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;

    assert_true(ip_prefix_parse(str_from(text), &p));
    return p;
}

static struct node *empty_node(void)
{
    struct node_facts *facts = node_facts_new();
    struct node *n = node_clone(&(struct node){.facts = facts});

    node_facts_unref(facts);
    return n;
}

static void replace(struct str *s, struct str with)
{
    str_free(s);
    *s = str_copy(with);
}

/* As much of a node as there can be. */
static struct node *rich_node(void)
{
    struct node *n = empty_node();

    n->id = 7;
    n->stable_id = str_copy(STR("n00112233"));
    str_list_add(&n->tags, STR("tag:router"));
    n->machine.b[0] = 0x11;
    n->key.b[0] = 0x22;
    n->disco.b[0] = 0x33;
    n->fqdn = str_copy(STR("router.a.test."));
    n->v4 = IP_ADDR_V4(100, 64, 0, 7);
    assert_true(ip_addr_parse(STR("fd7a:115c:a1e0::7"), &n->v6));
    n->created_ms = 1700000000000;
    n->expiry_ms = 1800000000000;
    n->last_seen_ms = 1700000001500;
    n->expired = true;
    n->capver = 142;
    replace(&n->facts->hostinfo, STR("{\"Hostname\":\"Router\",\"NetInfo\":{}}"));
    replace(&n->facts->hostinfo_peer, STR("{\"Hostname\":\"Router\"}"));
    n->facts->hostname = str_copy(STR("Joe's router"));
    n->facts->os = str_copy(STR("linux"));
    n->endpoints = mem_alloc_array(2, sizeof *n->endpoints);
    n->endpoints[0] = (struct ip_addrport){IP_ADDR_V4(192, 0, 2, 1), 41641};
    n->endpoints[1] = (struct ip_addrport){n->v6, 1};
    n->endpoint_types = mem_alloc(2);
    n->n_endpoints = 2;
    n->home_derp = 900;
    n->serving = NEW(struct ip_prefix);
    n->serving[0] = prefix("10.0.0.0/24");
    n->n_serving = 1;
    n->exit_node = true;
    n->approved = mem_alloc_array(3, sizeof *n->approved);
    n->approved[0] = prefix("0.0.0.0/0");
    n->approved[1] = prefix("10.0.0.0/24");
    n->approved[2] = prefix("::/0");
    n->n_approved = 3;
    n->facts->routes = mem_dup(n->approved, 3 * sizeof *n->approved);
    n->facts->n_routes = 3;
    return n;
}

/* As little. */
static struct node *bare_node(void)
{
    struct node *n = empty_node();

    n->id = 8;
    n->user = 3;
    n->stable_id = str_copy(STR("n1"));
    n->key.b[0] = 0x44;
    n->fqdn = str_copy(STR("bare.a.test."));
    n->v4 = IP_ADDR_V4(100, 64, 0, 8);
    n->created_ms = 1700000000123;
    n->online = true;
    n->last_seen_ms = 1700000001500;
    return n;
}

static struct tailnet_info *rich_info(void)
{
    struct tailnet_info *i = tailnet_info_new();

    i->name = str_copy(STR("default"));
    i->base_domain = str_copy(STR("a.test"));
    i->domain = str_copy(STR("hq.example"));
    i->prefix_v4 = prefix("100.64.0.0/10");
    i->prefix_v6 = prefix("fd7a:115c:a1e0::/48");
    i->taildrop = true;
    i->randomize_client_port = true;
    i->auto_update = true;
    i->magic_dns = true;
    i->override_local_dns = true;
    i->n_resolvers = 2;
    i->resolvers = mem_alloc_array(2, sizeof *i->resolvers);
    i->resolvers[0].addr = str_copy(STR("1.1.1.1"));
    i->resolvers[1].addr = str_copy(STR("https://dns.nextdns.io/abc123"));
    i->n_splits = 3;
    i->splits = mem_alloc_array(3, sizeof *i->splits);
    i->splits[0].suffix = str_copy(STR("corp.example"));
    i->splits[0].n_resolvers = 1;
    i->splits[0].resolvers = NEW(struct dns_resolver);
    i->splits[0].resolvers[0].addr = str_copy(STR("10.0.0.53"));
    i->splits[1].suffix = str_copy(STR(".Corp.Example.")); /* the same again */
    i->splits[2].suffix = str_copy(STR("65.100.in-addr.arpa"));
    str_list_add(&i->search_domains, STR("example.org."));
    i->n_records = 1;
    i->records = NEW(struct dns_record);
    i->records[0].name = str_copy(STR("grafana.a.test"));
    i->records[0].type = str_copy(STR("A"));
    i->records[0].value = str_copy(STR("100.64.0.7"));
    i->n_regions = 2;
    i->regions = mem_alloc_array(2, sizeof *i->regions);
    i->regions[0].id = 900;
    i->regions[0].code = str_copy(STR("own"));
    i->regions[0].name = str_copy(STR("Own relay"));
    i->regions[0].n_nodes = 1;
    i->regions[0].nodes = NEW(struct derp_node);
    i->regions[0].nodes[0] = (struct derp_node){.name = str_copy(STR("900a")),
                                                .host_name = str_copy(STR("192.0.2.1")),
                                                .cert_name = str_copy(STR("sha256-raw:00")),
                                                .ipv4 = str_copy(STR("192.0.2.1")),
                                                .ipv6 = str_copy(STR("none")),
                                                .stun_port = -1,
                                                .derp_port = 8080,
                                                .can_port80 = true};
    i->regions[1].id = 901;
    i->regions[1].code = str_copy(STR("two"));
    i->regions[1].name = str_copy(STR("Second"));
    i->regions[1].avoid = true;
    i->regions[1].no_measure_no_home = true;
    return i;
}

static void encodes_nodes(void **state)
{
    struct node *rich = rich_node(), *bare = bare_node();
    struct tailnet_info *info = rich_info();
    const struct policy *open = policy_allow_all();
    struct buf out = BUF(0);

    (void)state;
    golden("card_rich", netmap_card(rich));
    golden("card_bare", netmap_card(bare));
    assert_ptr_equal(netmap_card(rich).ptr, netmap_card(rich).ptr); /* made once */
    netmap_put_self(&out, info, open, rich);
    golden("self_rich", buf_str(&out));
    buf_clear(&out);
    info->taildrop = false;
    info->randomize_client_port = false;
    info->auto_update = false;
    netmap_put_self(&out, info, open, bare);
    golden("self_bare", buf_str(&out));
    buf_fini(&out);
    policy_unref(open);
    node_unref(rich);
    node_unref(bare);
    tailnet_info_unref(info);
}

/* The machine as its own tailnet would see it, and nothing more of it than strangers may. */
static void golden_guest(const char *name, struct node *n, const struct netmap_variant *v)
{
    struct buf out = BUF(0);

    replace(&n->facts->hostinfo_peer,
            STR("{\"OS\":\"linux\",\"Hostname\":\"Router\",\"Services\":[{\"Proto\":\"peerapi4\","
                "\"Port\":4711}],\"sshHostKeys\":[\"ssh-ed25519 AAAA\"],\"AppConnector\":true,"
                "\"Location\":{\"City\":\"Rome\"}}"));
    netmap_put_card(&out, n, v);
    golden(name, buf_str(&out));
    buf_fini(&out);
}

/* Both sides of a share: the lent node as its guests see it, a guest as the lent node sees it. */
static void encodes_guests(void **state)
{
    struct node *lent = rich_node(), *visitor = bare_node();
    struct ip_prefix route = prefix("10.0.0.0/24");
    const struct abroad_alias alias = {.v4 = IP_ADDR_V4(100, 64, 9, 9)};
    struct netmap_variant v = {.is_guest = true,
                               .guest = {.is_lent = true, .is_jailed = true, .sharer = 5}};

    (void)state;
    golden_guest("guest_lent", lent, &v);
    v.routes = &route;
    v.n_routes = 1;
    v.guest.is_exit = true;
    v.guest.is_jailed = false;
    visitor->v6 = lent->v6;
    v.guest.alias = &(struct abroad_alias){.v6 = lent->v6};
    golden_guest("guest_lent_widely", lent, &v);
    v = (struct netmap_variant){.is_guest = true, .guest = {.alias = &alias}};
    golden_guest("guest_visitor", visitor, &v);
    v.hides_v4 = true;
    golden_guest("guest_visitor_without_ipv4", visitor, &v);
    node_unref(lent);
    node_unref(visitor);
}

static void encodes_patches(void **state)
{
    static const struct {
        const char *name;
        unsigned mask;
        bool online;
    } cases[] = {
        {"patch_all", NODE_PATCHABLE, true},       {"patch_offline", NODE_ONLINE, false},
        {"patch_disco_online", NODE_DISCO, true},  {"patch_disco_offline", NODE_DISCO, false},
        {"patch_endpoints", NODE_ENDPOINTS, true},
    };
    struct buf out = BUF(0);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = rich_node();

        n->online = cases[i].online;
        buf_clear(&out);
        netmap_put_patch(&out, n, cases[i].mask, STR_NONE);
        golden(cases[i].name, buf_str(&out));
        node_unref(n);
    }
    struct node *bare = bare_node();
    buf_clear(&out);
    netmap_put_patch(&out, bare, NODE_ENDPOINTS | NODE_EXPIRY | NODE_DERP | NODE_CAPVER, STR_NONE);
    golden("patch_cleared", buf_str(&out)); /* [] and the zero time take away; no zero numbers */
    buf_fini(&out);
    node_unref(bare);
}

static void encodes_the_tailnet(void **state)
{
    struct node *rich = rich_node();
    struct tailnet_info *info = rich_info();
    struct buf out = BUF(0);
    struct user *u = user_new();
    const struct policy *open = policy_allow_all();

    (void)state;
    netmap_put_derp_map(&out, info, open, NULL);
    policy_unref(open);
    golden("derp_map", buf_str(&out));
    buf_clear(&out);
    assert_true(netmap_dns_is_personal(info));
    netmap_put_dns(&out, info, rich, NULL);
    golden("dns_rich", buf_str(&out));
    buf_clear(&out);
    info->magic_dns = false;
    info->override_local_dns = false;
    info->n_resolvers = 1;
    assert_false(netmap_dns_is_personal(info));
    netmap_put_dns(&out, info, rich, NULL);
    golden("dns_fallback", buf_str(&out));
    info->n_resolvers = 2;
    info->magic_dns = true;
    info->prefix_v4 = prefix("10.1.128.0/17");
    info->prefix_v6 = prefix("fd00:1200::/23");
    buf_clear(&out);
    netmap_put_dns(&out, info, rich, NULL);
    golden("dns_odd_prefixes", buf_str(&out));

    buf_clear(&out);
    netmap_put_profile(&out, NULL);
    golden("profile_tagged", buf_str(&out));
    u->id = 5;
    u->name = str_copy(STR("ann"));
    u->display_name = str_copy(STR("Ann \"A\""));
    u->email = str_copy(STR("ann@example.org"));
    u->picture_url = str_copy(STR("https://p/a.png"));
    buf_clear(&out);
    netmap_put_profile(&out, u);
    golden("profile_user", buf_str(&out));
    buf_fini(&out);
    user_unref(u);
    node_unref(rich);
    tailnet_info_unref(info);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_nodes),
        cmocka_unit_test(encodes_guests),
        cmocka_unit_test(encodes_patches),
        cmocka_unit_test(encodes_the_tailnet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
