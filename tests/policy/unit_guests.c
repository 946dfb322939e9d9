/*
 * Two tailnets of one domain with a share between them: what each policy says, text for text, as
 * the share comes and goes.
 *
 *   tailnet 1  "default": ann@example.com has web (1) and desk (2)
 *   tailnet 2  "other":   bob@other.org has laptop (3), which serves 10.7.0.0/16
 */

#include "../unit.h"

#include <stdio.h>

#include "policy/policy.h"
#include "tailnet/domain.h"

struct world {
    struct domain *d;
    const struct tailnet_view *view[3]; /* by tailnet */
    const struct policy_document *document[3];
    const struct policy *policy[3];
    struct change_list changes;
};

#define WEB 1
#define DESK 2
#define LAPTOP 3

/* ---- The world ---- */

static struct ip_prefix prefix_of(const char *text)
{
    struct ip_prefix p;

    assert_true(ip_prefix_parse(str_from(text), &p));
    return p;
}

static void load_tailnet(struct world *w, tailnet_id id, const char *name)
{
    struct tailnet_info *info = tailnet_info_new();
    struct err err;

    info->id = id;
    info->name = str_copy(str_from(name));
    info->base_domain = str_printf("%s.net", name);
    info->prefix_v4 = prefix_of("100.64.0.0/10");
    info->prefix_v6 = prefix_of("fd7a:115c:a1e0::/48");
    assert_int_equal(domain_load_tailnet(w->d, info, 1, &err), 0);
}

static void load_user(struct world *w, user_id id, tailnet_id tailnet, const char *email)
{
    struct user *u = user_new();
    struct err err;

    u->id = id;
    u->tailnet = tailnet;
    u->name = str_copy(str_from(email));
    u->email = str_copy(str_from(email));
    assert_int_equal(domain_load_user(w->d, u, &err), 0);
}

static void load_node(struct world *w, node_id id, tailnet_id tailnet, user_id user,
                      const char *name, const char *route)
{
    struct node *n = NEW(struct node);
    struct err err;

    ref_init(&n->ref);
    n->id = id;
    n->tailnet = tailnet;
    n->user = user;
    n->stable_id = str_printf("n%lluCNTRL", (unsigned long long)id);
    n->given_name = str_copy(str_from(name));
    n->machine.b[0] = n->key.b[0] = (uint8_t)id;
    n->v4 = IP_ADDR_V4(100, 64, 0, (uint8_t)id);
    n->created_ms = 1;
    n->facts = node_facts_new();
    if (route) {
        struct ip_prefix p = prefix_of(route);

        n->facts->routes = mem_dup(&p, sizeof p);
        n->approved = mem_dup(&p, sizeof p);
        n->facts->n_routes = n->n_approved = 1;
    }
    assert_int_equal(domain_load_node(w->d, n, &err), 0);
}

/* What the server does after each change. */
static void follow(struct world *w)
{
    for (tailnet_id t = 1; t <= 2; t++) {
        const struct policy *before = w->policy[t];
        struct change *all = w->changes.items;

        view_unref(w->view[t]);
        w->view[t] = domain_view(w->d, t);
        w->policy[t] = policy_compile(&(struct policy_input){.document = w->document[t],
                                                             .view = w->view[t],
                                                             .before = before,
                                                             .changes = all,
                                                             .n_changes = w->changes.len});
        policy_unref(before);
    }
    change_list_clear(&w->changes);
}

static struct command_result apply(struct world *w, struct command c)
{
    struct command_result r = {0};
    struct err err;

    c.now_ms = 1000;
    if (domain_apply(w->d, &c, &w->changes, &r, &err) < 0)
        fail_msg("refused: %s", err.text);
    return r;
}

static const struct policy_document *parse(const char *text)
{
    const struct policy_document *d = NULL;
    struct policy_complaint c = {0};

    if (text && policy_document_parse(str_from(text), NULL, &d, &c) < 0)
        fail_msg("%u:%u: %s", c.pos.line, c.pos.col, c.text);
    return d;
}

/* NULL: no policy. */
static void world_init(struct world *w, const char *here, const char *there)
{
    *w = (struct world){.d = domain_new()};
    load_tailnet(w, 1, "default");
    load_tailnet(w, 2, "other");
    load_user(w, 1, 1, "ann@example.com");
    load_user(w, 2, 2, "bob@other.org");
    load_node(w, WEB, 1, 1, "web", NULL);
    load_node(w, DESK, 1, 1, "desk", NULL);
    load_node(w, LAPTOP, 2, 2, "laptop", "10.7.0.0/16");
    domain_load_counters(w->d, &(struct domain_counters){.tailnet = 3, .user = 3, .node = 4});
    domain_load_done(w->d, 1000);
    /* Who is not online serves no routes. */
    struct command_result r = apply(
        w, (struct command){.type = COMMAND_STREAM_OPEN, .machine.b = {LAPTOP}, .key.b = {LAPTOP}});
    command_result_fini(&r);
    w->document[1] = parse(here);
    w->document[2] = parse(there);
    follow(w);
}

static void world_fini(struct world *w)
{
    for (tailnet_id t = 1; t <= 2; t++) {
        policy_unref(w->policy[t]);
        policy_document_unref(w->document[t]);
        view_unref(w->view[t]);
    }
    change_list_fini(&w->changes);
    domain_free(w->d);
}

/* Lends web to bob, or what `terms` says of it. */
static share_id lend(struct world *w, node_id node, struct share_terms terms)
{
    tailnet_id owner = node == LAPTOP ? 2 : 1;
    const struct share s = {.node = node, .guest = 3 - owner, .user = 3 - owner, .terms = terms};
    struct command_result r = apply(
        w, (struct command){
               .type = COMMAND_SHARE_CREATE, .tailnet = owner, .share = &s, .is_accepted = true});
    share_id id = r.id;

    command_result_fini(&r);
    follow(w);
    return id;
}

static void allow(struct world *w, node_id from, node_id to)
{
    struct abroad *a = abroad_new();

    a->items = NEW(struct abroad_item);
    a->items[a->n_items++].node = to;
    struct command_result r =
        apply(w, (struct command){.type = COMMAND_NODE_ABROAD, .id = from, .abroad = a});
    command_result_fini(&r);
    abroad_unref(a);
    follow(w);
}

static void take_back(struct world *w, tailnet_id owner, share_id id)
{
    struct command_result r =
        apply(w, (struct command){.type = COMMAND_SHARE_REVOKE, .tailnet = owner, .id = id});

    command_result_fini(&r);
    follow(w);
}

static void check_filter(const struct world *w, tailnet_id t, node_id node, const char *want)
{
    struct buf text = BUF(0);

    policy_put_filter(w->policy[t], node, POLICY_CANONICAL, &text);
    assert_str(buf_str(&text), str_from(want));
    buf_clear(&text);
    policy_put_filter(w->policy[t], node, POLICY_COMPACT, &text);
    assert_str(buf_str(&text), str_from(want));
    buf_fini(&text);
}

/* ---- Tests ---- */

#define ALL_PORTS "\"Ports\":{\"First\":0,\"Last\":65535}"
#define OPEN "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\"," ALL_PORTS "}]}]"
/* 100.64.0.3 is the guest. */
#define CUT                                                                                      \
    "{\"SrcIPs\":[\"0.0.0.0-100.64.0.2\",\"100.64.0.4-255.255.255.255\",\"::/0\"],\"DstPorts\":" \
    "[{\"IP\":\"*\"," ALL_PORTS "}]}"

static void open_tailnets_close_for_guests(void **state)
{
    struct world w;
    share_id id;

    (void)state;
    world_init(&w, NULL, NULL);
    assert_true(policy_is_open(w.policy[1]));
    id = lend(&w, WEB, (struct share_terms){0});
    assert_false(policy_is_open(w.policy[1]));
    assert_null(policy_document(w.policy[1]));
    assert_true(policy_would_reach(w.policy[1], LAPTOP, WEB));
    assert_true(policy_sees(w.policy[1], WEB, DESK));
    assert_false(policy_sees(w.policy[1], WEB, LAPTOP));
    check_filter(&w, 1, WEB, OPEN);

    allow(&w, LAPTOP, WEB);
    assert_true(policy_sees(w.policy[1], WEB, LAPTOP));
    assert_true(policy_sees(w.policy[1], LAPTOP, WEB));
    assert_false(policy_sees(w.policy[1], DESK, LAPTOP));
    check_filter(&w, 1, DESK, OPEN);
    check_filter(&w, 1, WEB,
                 "[" CUT
                 ",{\"SrcIPs\":[\"100.64.0.3\"],\"DstPorts\":[{\"IP\":\"100.64.0.1\"," ALL_PORTS
                 "}]}]");
    /* On the other side web is there, and is let in by nothing. */
    assert_true(policy_sees(w.policy[2], LAPTOP, WEB));
    check_filter(&w, 2, LAPTOP,
                 "[{\"SrcIPs\":[\"0.0.0.0-100.64.0.0\",\"100.64.0.2-255.255.255.255\",\"::/0\"],"
                 "\"DstPorts\":[{\"IP\":\"*\"," ALL_PORTS "}]}]");
    take_back(&w, 1, id);
    assert_true(policy_is_open(w.policy[1]));
    assert_true(policy_is_open(w.policy[2]));
    check_filter(&w, 1, WEB, OPEN);
    world_fini(&w);
}

/* Rules say who and where, the share says which ports. */
static void shares_narrow_rules(void **state)
{
    struct share_ports ssh = {22, 22};
    struct world w;

    (void)state;
    world_init(&w,
               "{\"grants\": [{\"src\": [\"tailnet:other\"], \"dst\": [\"ann@example.com\"], "
               "\"ip\": [\"tcp:20-25\", \"udp:*\"]}]}",
               "{\"grants\": [{\"src\": [\"bob@other.org\"], \"dst\": [\"*\"], \"ip\": [\"*\"]}]}");
    (void)lend(&w, WEB, (struct share_terms){.ports = &ssh, .n_ports = 1});
    check_filter(&w, 1, WEB, "[]");
    assert_true(policy_would_reach(w.policy[1], LAPTOP, WEB));
    assert_true(policy_would_reach(w.policy[2], LAPTOP, WEB));
    assert_false(policy_would_reach(w.policy[2], WEB, LAPTOP));
    allow(&w, LAPTOP, WEB);
    check_filter(&w, 1, WEB,
                 "[{\"SrcIPs\":[\"100.64.0.3\"],\"IPProto\":[6],\"DstPorts\":[{\"IP\":"
                 "\"100.64.0.1\",\"Ports\":{\"First\":22,\"Last\":22}}]},"
                 "{\"SrcIPs\":[\"100.64.0.3\"],\"IPProto\":[17],\"DstPorts\":[{\"IP\":"
                 "\"100.64.0.1\",\"Ports\":{\"First\":22,\"Last\":22}}]}]");
    check_filter(&w, 1, DESK, "[]");
    world_fini(&w);
}

static void routes_go_as_far_as_terms(void **state)
{
    struct ip_prefix routes[4], one = prefix_of("10.7.0.0/16");
    struct world w;

    (void)state;
    world_init(&w, "{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]}",
               "{\"acls\": [{\"action\": \"accept\", \"src\": [\"autogroup:shared\"], \"dst\": "
               "[\"10.7.1.0/24:443\"]}]}");
    share_id id = lend(&w, LAPTOP, (struct share_terms){0});
    allow(&w, WEB, LAPTOP);
    assert_int_equal(policy_peer_routes(w.policy[1], WEB, LAPTOP, routes, 4), 0);
    check_filter(&w, 2, LAPTOP, "[]");
    take_back(&w, 2, id);
    (void)lend(&w, LAPTOP, (struct share_terms){.routes = &one, .n_routes = 1});
    allow(&w, WEB, LAPTOP);
    assert_int_equal(policy_peer_routes(w.policy[1], WEB, LAPTOP, routes, 4), 1);
    assert_true(ip_prefix_eq(routes[0], one));
    assert_int_equal(policy_peer_routes(w.policy[1], DESK, LAPTOP, routes, 4), 0);
    check_filter(&w, 2, LAPTOP,
                 "[{\"SrcIPs\":[\"100.64.0.1\"],\"DstPorts\":[{\"IP\":\"10.7.1.0/24\","
                 "\"Ports\":{\"First\":443,\"Last\":443}}]}]");
    world_fini(&w);
}

static void check_words(const struct world *w, const char *src, const char *dst, const char *want)
{
    struct buf text = BUF(0);
    struct err err;

    assert_int_equal(
        policy_explain(w->policy[1], w->view[1], str_from(src), str_from(dst), 22, 6, &text, &err),
        0);
    assert_str(buf_str(&text), str_from(want));
    buf_fini(&text);
}

static void explains(void **state)
{
    struct world w;

    (void)state;
    world_init(&w,
               "{\"acls\": [{\"action\": \"accept\", \"src\": [\"bob@other.org\"], \"dst\": "
               "[\"100.64.0.1:22\"]}]}",
               NULL);
    (void)lend(&w, WEB, (struct share_terms){0});
    check_words(&w, "laptop.other.net", "web",
                "DENIED: laptop.other.net may not reach web on tcp 22\n"
                "  laptop.other.net to web: no share, or not the other tailnet's policy, lets it "
                "begin connections; a rule here allows it\n"
                "laptop.other.net is a machine of the tailnet \"other\"\n");
    allow(&w, LAPTOP, WEB);
    check_words(&w, "100.64.0.3", "web",
                "ALLOWED: laptop.other.net may reach web on tcp 22\n"
                "  laptop.other.net to web: a share allows it on all ports; a rule here allows it\n"
                "laptop.other.net is a machine of the tailnet \"other\"\n");
    check_words(
        &w, "desk", "laptop.other.net",
        "DENIED: desk may not reach laptop.other.net on tcp 22\n"
        "  desk to laptop.other.net: nothing lets it begin connections; no rule here allows "
        "it\n"
        "laptop.other.net is a machine of the tailnet \"other\"\n");
    world_fini(&w);
}

static void lints(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct policy_findings found;
    struct world w;

    (void)state;
    world_init(&w,
               "{\"acls\": [{\"action\": \"accept\", \"src\": [\"autogroup:shared\", "
               "\"bob@other.org\"], \"dst\": [\"ann@example.com:22\"]}]}",
               NULL);
    policy_lint(w.policy[1], arena, &found);
    assert_int_equal(found.len, 2);
    assert_str(found.items[1].text, STR("no user is called \"bob@other.org\" at present"));
    (void)lend(&w, WEB, (struct share_terms){0});
    policy_lint(w.policy[1], arena, &found);
    assert_int_equal(found.len, 0);
    world_fini(&w);
}

static void tells_differences(void **state)
{
    AUTO(policy_document_unref)
    const struct policy_document *other =
        parse("{\"acls\": [{\"action\": \"accept\", \"src\": [\"autogroup:shared\"], \"dst\": "
              "[\"100.64.0.1:22\"]}]}");
    struct buf text = BUF(0);
    struct world w;

    (void)state;
    world_init(&w, "{\"acls\": []}", NULL);
    (void)lend(&w, WEB, (struct share_terms){0});
    AUTO(policy_unref)
    const struct policy *after =
        policy_compile(&(struct policy_input){.document = other, .view = w.view[1]});
    policy_diff(w.policy[1], after, w.view[1], &text);
    assert_str(buf_str(&text), STR("+ laptop.other.net may reach web, as far as the share goes\n"));
    buf_clear(&text);
    policy_diff(after, w.policy[1], w.view[1], &text);
    assert_str(buf_str(&text),
               STR("- laptop.other.net may no longer reach web, as far as the share goes\n"));
    buf_fini(&text);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_tailnets_close_for_guests),
        cmocka_unit_test(shares_narrow_rules),
        cmocka_unit_test(routes_go_as_far_as_terms),
        cmocka_unit_test(explains),
        cmocka_unit_test(lints),
        cmocka_unit_test(tells_differences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
