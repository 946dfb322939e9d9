/*
 * The law of the map streams, kind by kind: every kind of change (lab_kinds.c) under every feature
 * of policies, told to every kind of client, alone and together with others, in time, late, and
 * after the journal has passed the client by.
 *
 * A run goes through all policies and under each through all kinds, in an order of its own; each
 * pair of policies follows on each other in some run. PROPERTY_RUNS and PROPERTY_SEED change how
 * many runs there are and where they begin.
 */

#include "../property.h"
#include "unit.h"

#include "netmap/follower.h"
#include "netmap/lab.h"

#define RUNS 1
#define KINDS_MAX 80
#define POLICIES_MAX 24

#define LATE_PERCENT 25

static const struct {
    const char *name;
    const char *text; /* NULL: no policy */
} policies[] = {
    {"none", NULL},
    {"nobody", "{\"acls\":[]}"},
    {"all", "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:*\"]}]}"},
    {"self", "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
             "\"dst\":[\"autogroup:self:*\",\"autogroup:tagged:22\"]}]}"},
    {"groups and tags",
     "{\"groups\":{\"group:g\":[\"ann@example.com\",\"eve@\"]},"
     "\"tagOwners\":{\"tag:a\":[],\"tag:b\":[]},"
     "\"acls\":[{\"action\":\"accept\",\"src\":[\"group:g\"],\"dst\":[\"tag:a:*\","
     "\"10.0.0.0/16:80\"]},{\"action\":\"accept\",\"src\":[\"tag:a\"],"
     "\"dst\":[\"tag:b:443\",\"autogroup:internet:*\"]}]}"},
    {"the other way round",
     "{\"groups\":{\"group:g\":[\"bob@\"]},\"tagOwners\":{\"tag:a\":[],\"tag:c\":[]},"
     "\"acls\":[{\"action\":\"accept\",\"src\":[\"tag:a\",\"tag:c\"],\"dst\":[\"group:g:*\"]}]}"},
    {"via", "{\"tagOwners\":{\"tag:a\":[],\"tag:c\":[]},"
            "\"grants\":[{\"src\":[\"ann@example.com\"],\"dst\":[\"10.0.0.0/24\"],\"ip\":[\"*\"],"
            "\"via\":[\"tag:c\"]},{\"src\":[\"bob@\"],\"dst\":[\"10.0.0.0/24\"],\"ip\":[\"*\"],"
            "\"via\":[\"tag:a\"]},{\"src\":[\"eve@\"],\"dst\":[\"10.0.0.0/16\"],\"ip\":[\"*\"]}]}"},
    {"via an exit node",
     "{\"tagOwners\":{\"tag:b\":[],\"tag:d\":[]},"
     "\"grants\":[{\"src\":[\"ann@example.com\"],\"dst\":[\"autogroup:internet\"],"
     "\"ip\":[\"*\"],\"via\":[\"tag:b\"]},{\"src\":[\"autogroup:tagged\"],"
     "\"dst\":[\"autogroup:member\"],\"ip\":[\"22\"]}]}"},
    {"posture", "{\"postures\":{\"posture:mac\":[\"node:os == 'macos'\"],"
                "\"posture:new\":[\"node:tsVersion >= '1.80'\"]},"
                "\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
                "\"srcPosture\":[\"posture:mac\"],\"dst\":[\"autogroup:tagged:*\"]},"
                "{\"action\":\"accept\",\"src\":[\"*\"],\"srcPosture\":[\"posture:new\"],"
                "\"dst\":[\"autogroup:member:443\"]}]}"},
    {"attributes", "{\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"ip\":[\"*\"]}],"
                   "\"nodeAttrs\":[{\"target\":[\"autogroup:tagged\"],"
                   "\"attr\":[\"funnel\",\"suggest-exit-node\",\"x\"]},"
                   "{\"target\":[\"ann@example.com\"],\"attr\":[\"nextdns:abc\"]}],"
                   "\"randomizeClientPort\":true}"},
    {"no IPv4", "{\"tagOwners\":{\"tag:a\":[]},"
                "\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"ip\":[\"*\"]}],"
                "\"nodeAttrs\":[{\"target\":[\"tag:a\",\"bob@\"],\"attr\":[\"disable-ipv4\"]}]}"},
    {"applications",
     "{\"tagOwners\":{\"tag:a\":[]},"
     "\"grants\":[{\"src\":[\"autogroup:member\"],\"dst\":[\"tag:a\"],"
     "\"app\":{\"example.com/cap/x\":[{\"y\":1}],\"tailscale.com/cap/drive\":[{\"shares\":"
     "[\"*\"],\"access\":\"rw\"}]}}]}"},
    {"ssh", "{\"groups\":{\"group:g\":[\"ann@example.com\"]},\"tagOwners\":{\"tag:a\":[]},"
            "\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:22\"]}],"
            "\"ssh\":[{\"action\":\"check\",\"src\":[\"group:g\"],\"dst\":[\"tag:a\"],"
            "\"users\":[\"root\"]},{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
            "\"dst\":[\"autogroup:self\"],\"users\":[\"autogroup:nonroot\"]}]}"},
    {"addresses", "{\"hosts\":{\"h\":\"100.64.0.3\"},"
                  "\"acls\":[{\"action\":\"accept\",\"src\":[\"100.64.0.1\",\"10.0.1.0/24\"],"
                  "\"dst\":[\"h:*\",\"100.64.0.4/30:80\",\"fd7a:115c:a1e0::/48:443\"]}]}"},
    {"relays", "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:*\"]}],"
               "\"derpMap\":{\"regions\":{\"900\":null,\"77\":{\"RegionID\":77,"
               "\"RegionCode\":\"x\",\"RegionName\":\"X\"}}}}"},
    {"only its relays", "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:*\"]}],"
                        "\"derpMap\":{\"OmitDefaultRegions\":true,\"regions\":{\"78\":{"
                        "\"RegionID\":78,\"RegionCode\":\"y\",\"RegionName\":\"Y\"}}}}"},
    {"a route for the Mac", "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],"
                            "\"dst\":[\"*:*\"]}],\"OneCGNATRoute\":\"mac-always\"}"},
};

#define CLIENTS (LAB_NODES * 3 * 2)

struct run {
    struct lab lab;
    struct follower followers[CLIENTS]; /* node, capver, zstd */
    char story[200];
};

static struct {
    uint64_t told[KINDS_MAX][3][2];          /* messages, by kind, capver, zstd */
    uint64_t under[KINDS_MAX][POLICIES_MAX]; /* revisions, by kind and policy */
    uint64_t switched[POLICIES_MAX];
    uint64_t late, fallen, gone, checks;
} totals;

static struct follower *follower_at(struct run *r, size_t node, size_t capver, size_t zstd)
{
    return &r->followers[(node * 3 + capver) * 2 + zstd];
}

/* Everybody who is there and does not follow begins to. */
static void all_follow(struct run *r)
{
    const struct tailnet_view *view = netmap_feed_view(r->lab.feed);

    for (size_t i = 0; i < CLIENTS; i++) {
        struct follower *f = &r->followers[i];
        const struct lab_machine *m = &r->lab.machines[i / 6];

        if (!f->stream && m->id && view_node_find(view, m->id))
            follower_begin(f, r->lab.feed, m->id, follower_capvers[i / 2 % 3], i % 2);
    }
}

static bool may_sleep(struct run *r, const struct follower *f)
{
    return f->model.started && rand_seeded_below(&r->lab.rand, 100) < LATE_PERCENT;
}

/* The clients of one node and version: what they are told, then held against one fresh map. */
static void look(struct run *r, size_t node, size_t capver, size_t kind)
{
    const struct follower *looked[2];
    size_t n = 0;

    for (size_t zstd = 0; zstd < 2; zstd++) {
        struct follower *f = follower_at(r, node, capver, zstd);

        if (!f->stream || (kind < KINDS_MAX && may_sleep(r, f))) {
            totals.late += f->stream != NULL;
            continue;
        }
        switch (follower_pull(f, r->lab.feed, r->lab.now_ms, r->story)) {
        case NETMAP_PULL_GONE:
            totals.gone++;
            continue;
        case NETMAP_PULL_SENT:
            if (kind < KINDS_MAX)
                totals.told[kind][capver][zstd]++;
            break;
        case NETMAP_PULL_NONE:
            break;
        }
        /* One that was sent away may have begun again as what its machine is now. */
        if (n > 0 && looked[0]->id != f->id)
            follower_check(f, r->lab.feed, r->lab.now_ms, r->story);
        else
            looked[n++] = f;
    }
    totals.checks += n;
    if (n > 0)
        followers_check(looked, n, r->lab.feed, r->lab.now_ms, r->story);
}

static void all_look(struct run *r, size_t kind)
{
    for (size_t node = 0; node < LAB_NODES; node++)
        for (size_t capver = 0; capver < 3; capver++)
            look(r, node, capver, kind);
}

static void happens(struct run *r, size_t kind, size_t policy, uint64_t seed)
{
    uint64_t before = view_revision(r->lab.view);
    bool gap = rand_seeded_below(&r->lab.rand, 100) < 4;

    (void)snprintf(r->story, sizeof r->story, "PROPERTY_SEED=%llu, %s%s, policy %s",
                   (unsigned long long)seed, lab_kinds[kind].name, gap ? " (unheard)" : "",
                   policies[policy].name);
    lab_kinds[kind].happen(&r->lab);
    totals.under[kind][policy] += view_revision(r->lab.view) - before;
    totals.fallen += gap;
    lab_publish(&r->lab, gap);
    all_look(r, kind);
    all_follow(r);
}

static void shuffle(struct lab *l, size_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; i > 1; i--) {
        size_t k = rand_seeded_below(&l->rand, i), t = order[k];

        order[k] = order[i - 1];
        order[i - 1] = t;
    }
}

static void run_once(uint64_t seed)
{
    static struct run r;
    size_t order[POLICIES_MAX], kinds[KINDS_MAX];

    r = (struct run){0};
    lab_begin(&r.lab, seed);
    shuffle(&r.lab, order, ARRAY_LEN(policies));
    for (size_t p = 0; p < ARRAY_LEN(policies); p++) {
        (void)snprintf(r.story, sizeof r.story, "PROPERTY_SEED=%llu, policy %s comes in force",
                       (unsigned long long)seed, policies[order[p]].name);
        lab_set_policy(&r.lab, policies[order[p]].text);
        lab_publish(&r.lab, false);
        all_follow(&r);
        all_look(&r, KINDS_MAX);
        totals.switched[order[p]]++;
        shuffle(&r.lab, kinds, lab_n_kinds);
        for (size_t k = 0; k < lab_n_kinds; k++)
            happens(&r, kinds[k], order[p], seed);
        all_look(&r, KINDS_MAX);
    }
    for (size_t i = 0; i < CLIENTS; i++)
        follower_end(&r.followers[i]);
    lab_end(&r.lab);
}

/* Kinds of which no client hears. */
static bool is_silent(size_t kind)
{
    static const char *const silent[] = {"nothing", "an_auth_key_is_made", "a_user_comes",
                                         "blinks"};

    for (size_t i = 0; i < ARRAY_LEN(silent); i++)
        if (str_eq(str_from(lab_kinds[kind].name), str_from(silent[i])))
            return true;
    return false;
}

/* A matrix with holes proves nothing where they are. */
static void check_coverage(uint64_t runs)
{
    for (size_t k = 0; k < lab_n_kinds; k++) {
        uint64_t revisions = 0;

        for (size_t p = 0; p < ARRAY_LEN(policies); p++)
            revisions += totals.under[k][p];
        if (revisions == 0 && !is_silent(k))
            fail_msg("%s never happened", lab_kinds[k].name);
        for (size_t c = 0; c < 3; c++)
            for (size_t z = 0; z < 2; z++)
                if (totals.told[k][c][z] == 0 && !is_silent(k))
                    fail_msg("capver %u, zstd %zu never heard of %s", follower_capvers[c], z,
                             lab_kinds[k].name);
    }
    for (size_t p = 0; p < ARRAY_LEN(policies); p++)
        assert_int_equal(totals.switched[p], runs);
    assert_true(totals.late > 1000 * runs && totals.fallen > 10 * runs && totals.gone > 0);
}

static void every_kind_under_every_policy(void **state)
{
    uint64_t runs = property_env("PROPERTY_RUNS", RUNS);
    uint64_t seed = property_seed();

    (void)state;
    assert_true(lab_n_kinds <= KINDS_MAX && ARRAY_LEN(policies) <= POLICIES_MAX);
    print_message("PROPERTY_SEED=%llu, %llu runs of %zu kinds under %zu policies\n",
                  (unsigned long long)seed, (unsigned long long)runs, lab_n_kinds,
                  ARRAY_LEN(policies));
    for (uint64_t i = 0; i < runs; i++)
        run_once(seed + i);
    print_message("%llu checks, %llu looks put off, %llu gaps, %llu clients whose node went\n",
                  (unsigned long long)totals.checks, (unsigned long long)totals.late,
                  (unsigned long long)totals.fallen, (unsigned long long)totals.gone);
    check_coverage(runs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind_under_every_policy)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
