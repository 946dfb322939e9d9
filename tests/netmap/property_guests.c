/*
 * The law of the map streams where tailnets lend each other machines: whatever happens in any of
 * three of them, every client that applied the deltas holds what a fresh full map gives, that map
 * says what a naive writer would, and of guests it says what their shares do.
 *
 * The three have users and machines of the same names; the last has the first's addresses as well,
 * so that what they lend each other goes by other addresses.
 *
 * PROPERTY_RUNS and PROPERTY_SEED change how many histories there are and where they begin.
 */

#include "../property.h"
#include "unit.h"

#include "netmap/follower.h"
#include "netmap/lab_internal.h"
#include "netmap/lab_shares.h"

#define RUNS 2
#define STEPS 160
#define SIDES 3
#define LATE_PERCENT 25
#define KINDS_MAX 16

static const char *const policies[] = {
    NULL,
    "{\"acls\":[]}",
    "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:*\"]}]}",
    "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:shared\"],\"dst\":[\"*:22\"]},"
    "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self:*\"]}]}",
    "{\"tagOwners\":{\"tag:a\":[],\"tag:c\":[]},"
    "\"grants\":[{\"src\":[\"*\"],\"dst\":[\"10.0.0.0/16\"],\"ip\":[\"*\"],\"via\":[\"tag:c\"]},"
    "{\"src\":[\"*\"],\"dst\":[\"*\"],\"ip\":[\"443\"]}]}",
    "{\"tagOwners\":{\"tag:a\":[]},"
    "\"grants\":[{\"src\":[\"*\",\"autogroup:shared\"],\"dst\":[\"*\"],\"ip\":[\"*\"]}],"
    "\"nodeAttrs\":[{\"target\":[\"tag:a\",\"bob@\"],\"attr\":[\"disable-ipv4\",\"x\"]}]}",
    "{\"acls\":[{\"action\":\"accept\",\"src\":[\"ann@example.com\",\"autogroup:tagged\"],"
    "\"dst\":[\"*:*\",\"autogroup:internet:*\"]}],"
    "\"derpMap\":{\"OmitDefaultRegions\":true,\"regions\":{\"78\":{\"RegionID\":78,"
    "\"RegionCode\":\"y\",\"RegionName\":\"Y\"}}}}",
};

struct side {
    struct lab lab;
    struct follower followers[LAB_NODES];
};

struct world {
    struct side sides[SIDES];
    struct rand_seeded rand;
    char story[200];
};

static struct {
    uint64_t happened[KINDS_MAX];
    uint64_t checks, lent, jailed, free, visitors, aliased, routed, told, regions, numbered;
} totals;

static uint64_t below(struct world *w, uint64_t n)
{
    return rand_seeded_below(&w->rand, n);
}

/* ---- What is told of a guest, by what shares say of it ---- */

static struct str field(const struct model_record *r, const char *name)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (str_eq(r->fields[i].name, str_from(name)))
            return r->fields[i].value;
    return STR_NONE;
}

static const struct model_record *peer(const struct model_client *m, node_id id)
{
    for (size_t i = 0; i < m->n_peers; i++)
        if (m->peers[i].id == id)
            return &m->peers[i];
    return NULL;
}

static void expect(const struct world *w, const struct model_record *r, const char *name,
                   struct str want)
{
    struct str got = field(r, name);

    if (!str_eq(got, want))
        fail_msg("%s: guest %llu: %s is %.*s, should be %.*s", w->story, (unsigned long long)r->id,
                 name, STR_ARG(got), STR_ARG(want));
}

static void expect_addr(const struct world *w, const struct model_record *r, const char *name,
                        struct ip_addr addr)
{
    struct buf text = BUF(0);

    if (ip_addr_is_set(addr)) {
        buf_put_char(&text, '"');
        ip_addr_put(&text, addr);
        buf_put_char(&text, '"');
    }
    expect(w, r, name, buf_str(&text));
    buf_fini(&text);
}

static void expect_name(const struct world *w, const struct model_client *m,
                        const struct model_record *r, const struct node *guest, bool is_lent)
{
    struct str name = str_printf("\"%.*s\"", STR_ARG(guest->fqdn));
    struct str route = str_printf("\"%.*s\":[]", STR_ARG(node_dns_name(guest)));
    struct str record = str_printf("\"Name\":\"%.*s\"", STR_ARG(node_dns_name(guest)));
    struct str dns = field(&m->rest, "DNSConfig");

    expect(w, r, "Name", name);
    if ((str_find(dns, route) >= 0) != is_lent ||
        (is_lent && (ip_addr_is_set(guest->v6)) && str_find(dns, record) < 0))
        fail_msg("%s: guest %.*s in DNS: %.*s", w->story, STR_ARG(name), STR_ARG(dns));
    str_free(&name);
    str_free(&route);
    str_free(&record);
}

static const struct derp_region *region_of(const struct tailnet_info *info, uint32_t id)
{
    for (size_t i = 0; info && i < info->n_regions; i++)
        if (info->regions[i].id == id)
            return &info->regions[i];
    return NULL;
}

/* The region of that number in the client's map; the empty str when it has none. */
static struct str region_told(struct str map, uint32_t id)
{
    struct str head = str_printf("\"RegionID\":%u,\"RegionCode\"", id);
    ptrdiff_t at = str_find(map, head), end;
    struct str rest = at < 0 ? STR_NONE : str_from_index(map, (size_t)at + head.len);

    if (str_find(rest, head) >= 0)
        fail_msg("%.*s twice in %.*s", STR_ARG(head), STR_ARG(map));
    end = str_find(rest, STR("\"RegionCode\""));
    str_free(&head);
    return end < 0 ? rest : str_sub(rest, 0, (size_t)end);
}

/* Its relays are those where it is at home, and no other region's that has the number here. */
static void expect_region(const struct world *w, const struct side *s, const struct model_client *m,
                          const struct node *guest)
{
    const struct tailnet_view *view = netmap_feed_view(s->lab.feed);
    const struct derp_region *r =
        region_of(view_guest_info_find(view, guest->tailnet), guest->home_derp);

    if (!r || r->n_nodes == 0)
        return;
    struct str host = str_printf("\"HostName\":\"%.*s\"", STR_ARG(r->nodes[0].host_name));
    struct str map = field(&m->rest, "DERPMap");

    totals.regions += !region_of(view_info(view), guest->home_derp);
    totals.numbered += r->id >= 32768;
    if (str_find(region_told(map, r->id), host) < 0)
        fail_msg("%s: guest %llu is at home at %.*s, number %u, in %.*s", w->story,
                 (unsigned long long)guest->id, STR_ARG(host), r->id, STR_ARG(map));
    str_free(&host);
}

static void check_guest(const struct world *w, const struct side *s, const struct model_client *m,
                        const struct node *viewer, const struct node *guest)
{
    const struct abroad_item *item = abroad_find(viewer->abroad, guest->id);
    const struct abroad_alias *alias = abroad_alias_find(viewer->abroad, guest->tailnet);
    const struct model_record *r = peer(m, guest->id);
    bool comes = abroad_find(guest->abroad, viewer->id);

    if (!r != (!item && !comes))
        fail_msg("%s: node %llu and guest %llu, lent %d, comes %d, told %d", w->story,
                 (unsigned long long)viewer->id, (unsigned long long)guest->id, item != NULL, comes,
                 r != NULL);
    if (!r)
        return;
    totals.lent += item != NULL;
    totals.jailed += item && !comes;
    totals.free += item && comes;
    totals.visitors += !item;
    totals.aliased += alias != NULL;
    totals.routed += field(r, "PrimaryRoutes").len > 0;
    expect(w, r, "Tags", STR_NONE);
    expect(w, r, "CapMap", STR_NONE);
    expect(w, r, "Machine", STR_NONE);
    expect(w, r, "IsJailed", item && !comes ? STR("true") : STR_NONE);
    expect_addr(w, r, "SelfNodeV4MasqAddrForThisPeer", alias ? alias->v4 : (struct ip_addr){0});
    expect_addr(w, r, "SelfNodeV6MasqAddrForThisPeer", alias ? alias->v6 : (struct ip_addr){0});
    if ((field(r, "Sharer").len > 0) != (item != NULL) ||
        (str_find(field(r, "Hostinfo"), STR("\"ShareeNode\":true")) >= 0) != (item == NULL))
        fail_msg("%s: guest %llu, lent %d: sharer %.*s, %.*s", w->story,
                 (unsigned long long)guest->id, item != NULL, STR_ARG(field(r, "Sharer")),
                 STR_ARG(field(r, "Hostinfo")));
    if (item ? !item->terms.all_routes && !item->terms.n_routes : true)
        expect(w, r, "PrimaryRoutes", STR_NONE);
    if ((!item || !item->terms.exit_node) &&
        str_find(field(r, "AllowedIPs"), STR("\"0.0.0.0/0\"")) >= 0)
        fail_msg("%s: guest %llu is an exit node", w->story, (unsigned long long)guest->id);
    expect_name(w, m, r, guest, item != NULL);
    expect_region(w, s, m, guest);
}

/* Peers are of the tailnet or its guests, and nothing else. */
static void check_peers(const struct world *w, const struct side *s, const struct follower *f)
{
    const struct tailnet_view *view = netmap_feed_view(s->lab.feed);
    const struct node *viewer = view_node_find(view, f->id), *guest;

    for (size_t i = 0; i < f->model.n_peers; i++)
        if (!view_any_find(view, f->model.peers[i].id))
            fail_msg("%s: peer %llu is a stranger", w->story,
                     (unsigned long long)f->model.peers[i].id);
    for (size_t at = 0; (guest = view_guest_next(view, &at));)
        check_guest(w, s, &f->model, viewer, guest);
    totals.checks++;
}

/* ---- Histories ---- */

static void all_follow(struct world *w, struct side *s)
{
    static const uint32_t capvers[] = {75, 93, 106, 142};

    for (size_t i = 0; i < LAB_NODES; i++) {
        const struct lab_machine *m = &s->lab.machines[i];

        if (!s->followers[i].stream && m->id &&
            view_node_find(netmap_feed_view(s->lab.feed), m->id))
            follower_begin(&s->followers[i], s->lab.feed, m->id,
                           capvers[below(w, ARRAY_LEN(capvers))], below(w, 2));
    }
}

static void all_look(struct world *w, struct side *s, uint64_t late)
{
    for (size_t i = 0; i < LAB_NODES; i++) {
        struct follower *f = &s->followers[i];

        if (!f->stream || (f->model.started && below(w, 100) < late))
            continue;
        switch (follower_pull(f, s->lab.feed, s->lab.now_ms, w->story)) {
        case NETMAP_PULL_GONE:
            continue;
        case NETMAP_PULL_SENT:
            totals.told++;
            break;
        case NETMAP_PULL_NONE:
            break;
        }
        follower_check(f, s->lab.feed, s->lab.now_ms, w->story);
        check_peers(w, s, f);
    }
}

static void something_happens(struct world *w, uint64_t seed, size_t step)
{
    struct lab *l = &w->sides[below(w, SIDES)].lab;
    size_t kind = below(w, lab_n_share_kinds);
    const struct lab_kind *k = &lab_share_kinds[kind];

    if (below(w, 100) < 50)
        k = &lab_kinds[below(w, lab_n_kinds)];
    else
        totals.happened[kind]++;
    (void)snprintf(w->story, sizeof w->story, "PROPERTY_SEED=%llu, step %zu: %s in tailnet %llu",
                   (unsigned long long)seed, step, k->name, (unsigned long long)l->tailnet);
    k->happen(l);
    if (below(w, 100) < 8)
        lab_restore(l);
    if (below(w, 100) < 30)
        lab_settle(l, 100);
    if (below(w, 100) < 6)
        lab_set_policy(l, policies[below(w, ARRAY_LEN(policies))]);
}

static void world_begin(struct world *w, uint64_t seed)
{
    rand_seed(&w->rand, seed);
    lab_begin(&w->sides[0].lab, seed);
    lab_begin_beside(&w->sides[1].lab, &w->sides[0].lab, seed + 1, "other", false);
    lab_begin_beside(&w->sides[2].lab, &w->sides[0].lab, seed + 2, "apart", true);
    (void)snprintf(w->story, sizeof w->story, "PROPERTY_SEED=%llu, at first",
                   (unsigned long long)seed);
    for (size_t i = 0; i < SIDES; i++)
        all_follow(w, &w->sides[i]);
    lab_lend(&w->sides[0].lab, ROUTER, &w->sides[2].lab, true);
    lab_lend(&w->sides[1].lab, EXIT, &w->sides[0].lab, false);
    lab_settle(&w->sides[0].lab, 100);
    for (size_t i = 0; i < SIDES; i++) {
        lab_publish(&w->sides[i].lab, false);
        all_look(w, &w->sides[i], 0);
    }
}

static void world_end(struct world *w)
{
    for (size_t i = SIDES; i-- > 0;) {
        for (size_t k = 0; k < LAB_NODES; k++)
            follower_end(&w->sides[i].followers[k]);
        lab_end(&w->sides[i].lab);
    }
}

static void run_once(uint64_t seed)
{
    static struct world w;

    w = (struct world){0};
    world_begin(&w, seed);
    for (size_t step = 0; step < STEPS; step++) {
        something_happens(&w, seed, step);
        for (size_t i = 0; i < SIDES; i++) {
            if (below(&w, 100) < 15)
                continue;
            lab_publish(&w.sides[i].lab, below(&w, 100) < 2);
            all_look(&w, &w.sides[i], LATE_PERCENT);
            all_follow(&w, &w.sides[i]);
        }
    }
    for (size_t i = 0; i < SIDES; i++) {
        lab_publish(&w.sides[i].lab, false);
        all_look(&w, &w.sides[i], 0);
    }
    world_end(&w);
}

/* A generator that makes nothing happen proves nothing. */
static void check_coverage(uint64_t runs)
{
    uint64_t happened = 0;

    for (size_t i = 0; i < lab_n_share_kinds; i++)
        happened += totals.happened[i];
    assert_true(happened > 10 * runs);
    assert_true(totals.checks > 300 * runs && totals.told > 100 * runs);
    assert_true(totals.jailed > 0 && totals.free > 0 && totals.visitors > 0);
    assert_true(totals.aliased > 0 && totals.routed > 0 && totals.regions > 0 &&
                totals.numbered > 0);
}

static void guests_are_told_like_peers(void **state)
{
    uint64_t runs = property_env("PROPERTY_RUNS", RUNS);
    uint64_t seed = property_seed();

    (void)state;
    assert_true(lab_n_share_kinds <= KINDS_MAX);
    print_message("PROPERTY_SEED=%llu, %llu histories\n", (unsigned long long)seed,
                  (unsigned long long)runs);
    for (uint64_t i = 0; i < runs; i++)
        run_once(seed + i);
    print_message("%llu checks, %llu messages; guests: %llu lent, %llu of them jailed, %llu not, "
                  "%llu visitors, %llu under other addresses, %llu with routes, %llu relays, "
                  "%llu under other numbers\n",
                  (unsigned long long)totals.checks, (unsigned long long)totals.told,
                  (unsigned long long)totals.lent, (unsigned long long)totals.jailed,
                  (unsigned long long)totals.free, (unsigned long long)totals.visitors,
                  (unsigned long long)totals.aliased, (unsigned long long)totals.routed,
                  (unsigned long long)totals.regions, (unsigned long long)totals.numbered);
    check_coverage(runs);
}

/* ---- What histories came upon ---- */

static void all_hear(struct world *w)
{
    for (size_t i = 0; i < SIDES; i++) {
        lab_publish(&w->sides[i].lab, false);
        all_look(w, &w->sides[i], 0);
    }
}

static void expect_home(const struct world *w, const struct follower *host, node_id guest,
                        const char *home)
{
    const struct model_record *r = peer(&host->model, guest);

    assert_non_null(r);
    expect(w, r, "HomeDERP", str_from(home));
}

/* A guest is at home where nobody knows; then its host gives that number to a region. */
static void a_guest_is_no_longer_at_home(void **state)
{
    static struct world w;
    struct derp_node relay = {.name = STR("904a"), .host_name = STR("derp.host.test")};
    struct derp_region region = {
        .id = 904, .code = STR("host"), .name = STR("Host"), .nodes = &relay, .n_nodes = 1};
    struct tailnet_settings has = {.set = SETTING_RELAYS, .relays = &region, .n_relays = 1};
    struct side *host = &w.sides[0], *home = &w.sides[1];

    (void)state;
    w = (struct world){0};
    world_begin(&w, 1000);
    node_id guest = home->lab.machines[EXIT].id;
    assert_true(lab_say(&home->lab, EXIT,
                        (struct command){.type = COMMAND_NODE_UPDATE, .home_derp = 904}));
    all_hear(&w);
    expect_home(&w, &host->followers[BOB], guest, "904");
    assert_true(
        lab_do(&host->lab, (struct command){.type = COMMAND_TAILNET_SET, .settings = &has}));
    all_hear(&w);
    expect_home(&w, &host->followers[BOB], guest, "");
    has.n_relays = 0;
    assert_true(
        lab_do(&host->lab, (struct command){.type = COMMAND_TAILNET_SET, .settings = &has}));
    all_hear(&w);
    expect_home(&w, &host->followers[BOB], guest, "904");
    world_end(&w);
}

/* What is lent waits for approval: machines have other addresses there, and see no guest. Something
 * happens to one of them when all are told of relays. */
static void a_host_sees_no_guest(void **state)
{
    static struct world w;
    struct tailnet_settings asks = {.set = SETTING_DEVICE_APPROVAL, .device_approval = true};
    struct tailnet_settings has_none = {.set = SETTING_RELAYS};
    struct lab *owner = &w.sides[0].lab, *host = &w.sides[2].lab;

    (void)state;
    w = (struct world){0};
    world_begin(&w, 1000);
    assert_true(lab_do(owner, (struct command){.type = COMMAND_TAILNET_SET, .settings = &asks}));
    assert_true(lab_do(owner, (struct command){.type = COMMAND_NODE_APPROVE,
                                               .id = owner->machines[ROUTER].id,
                                               .revokes = true}));
    all_hear(&w);
    assert_int_equal(view_guest_count(host->view), 0);
    assert_non_null(lab_node(host, BOB)->abroad);
    assert_true(lab_do(host, (struct command){.type = COMMAND_TAILNET_SET, .settings = &has_none}));
    assert_true(
        lab_say(host, BOB, (struct command){.type = COMMAND_NODE_UPDATE, .home_derp = 905}));
    all_hear(&w);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guests_are_told_like_peers),
        cmocka_unit_test(a_guest_is_no_longer_at_home),
        cmocka_unit_test(a_host_sees_no_guest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
