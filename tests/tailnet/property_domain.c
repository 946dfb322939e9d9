/*
 * Random histories of commands. After each, beside the rules the fixture checks from the views:
 *
 *   - what a change list says of a node is exactly what differs between the views before and after;
 *   - a refused command leaves the views the very same;
 *   - routes are served by whom a naive election over all routes would choose;
 *   - a node is online by the streams we opened and closed;
 *   - a tick leaves nothing that was due, and the next one is never announced too late.
 */

#include "../property.h"
#include "fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MACHINES 14
#define STEPS 5000
#define ROUTES 5

static const char *const route_texts[ROUTES] = {"10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/24",
                                                "fd00::/64", "0.0.0.0/0,::/0"};
static const char *const hostnames[] = {"web", "Web", "web-1", "db", "我", "laptop.local"};

/* What we know of a node's streams. */
struct stream {
    node_id id;
    uint64_t generation; /* 0: none was opened */
    bool is_live;
    int64_t ended_ms;
};

struct world {
    struct fixture f;
    struct rand_seeded r;
    tailnet_id tailnets[2];
    char keys[8][128]; /* auth keys made lately */
    char auth_ids[8][64];
    unsigned next_key;
    struct map *streams;   /* node id -> struct stream */
    struct map *primaries; /* tailnet and prefix -> node id as uintptr_t */
    size_t done, refused;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return rand_seeded_below(&w->r, n);
}

static tailnet_id any_tailnet(struct world *w)
{
    return w->tailnets[below(w, 4) == 0];
}

/* ---- Models ---- */

static struct stream *stream_of(struct world *w, node_id id)
{
    struct stream *s = map_find_u64(w->streams, id);

    if (!s) {
        s = NEW(struct stream);
        s->id = id;
        (void)map_put_u64(w->streams, id, s);
    }
    return s;
}

static bool has_route(const struct ip_prefix *list, size_t n, struct ip_prefix p)
{
    for (size_t i = 0; i < n; i++)
        if (ip_prefix_eq(list[i], p))
            return true;
    return false;
}

static bool is_candidate(const struct node *n, struct ip_prefix p)
{
    return n && n->online && !n->expired && has_route(n->facts->routes, n->facts->n_routes, p) &&
           has_route(n->approved, n->n_approved, p);
}

/* Who should serve, after `was` did. 0: nobody. */
static node_id elect(struct world *w, const struct tailnet_view *v, struct ip_prefix p, node_id was)
{
    const struct node *n, *old = was ? view_node_find(v, was) : NULL;
    node_id live = 0, graced = 0;

    if (is_candidate(old, p) && stream_of(w, was)->is_live)
        return was;
    for (size_t at = 0; (n = view_node_next(v, &at));) {
        if (!is_candidate(n, p))
            continue;
        if (stream_of(w, n->id)->is_live && live == 0)
            live = n->id;
        if (graced == 0)
            graced = n->id;
    }
    if (live != 0)
        return live;
    return is_candidate(old, p) ? was : graced;
}

static void check_elections(struct world *w, const struct tailnet_view *v)
{
    for (size_t i = 0; i < ROUTES - 1; i++) {
        struct ip_prefix p = prefix_of(route_texts[i]);
        uint64_t key[2] = {view_info(v)->id, i};
        struct str k = str_bytes(key, sizeof(key));
        node_id was = (node_id)(uintptr_t)map_find(w->primaries, k);
        node_id want = elect(w, v, p, was);
        const struct node *n;

        for (size_t at = 0; (n = view_node_next(v, &at));)
            assert_int_equal(has_route(n->serving, n->n_serving, p), n->id == want);
        if (want != 0)
            (void)map_put(w->primaries, k, (void *)(uintptr_t)want);
        else
            (void)map_remove(w->primaries, k);
    }
}

static void check_online(struct world *w, const struct tailnet_view *v)
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(v, &at));) {
        const struct stream *s = stream_of(w, n->id);

        if (s->is_live)
            assert_true(n->online);
        if (s->generation == 0)
            assert_false(n->online);
        if (!s->is_live && n->online)
            assert_true(domain_next_tick_ms(w->f.d) <= s->ended_ms + OFFLINE_GRACE_MS);
        if (n->expiry_ms != 0 && !n->expired)
            assert_true(domain_next_tick_ms(w->f.d) <= n->expiry_ms);
    }
}

/* ---- What changed, by looking ---- */

static bool same_prefixes(const struct ip_prefix *a, size_t n_a, const struct ip_prefix *b,
                          size_t n_b)
{
    for (size_t i = 0; n_a == n_b && i < n_a; i++)
        if (!ip_prefix_eq(a[i], b[i]))
            return false;
    return n_a == n_b;
}

static bool same_endpoints(const struct node *a, const struct node *b)
{
    for (size_t i = 0; a->n_endpoints == b->n_endpoints && i < a->n_endpoints; i++)
        if (!ip_addrport_eq(a->endpoints[i], b->endpoints[i]))
            return false;
    return a->n_endpoints == b->n_endpoints;
}

static unsigned difference(const struct node *a, const struct node *b)
{
    unsigned mask = 0;

    if (!node_key_eq(&a->key, &b->key))
        mask |= NODE_KEY;
    if (!disco_key_eq(&a->disco, &b->disco))
        mask |= NODE_DISCO;
    if (!same_endpoints(a, b))
        mask |= NODE_ENDPOINTS;
    if (a->home_derp != b->home_derp)
        mask |= NODE_DERP;
    if (a->online != b->online)
        mask |= NODE_ONLINE;
    if (a->expiry_ms != b->expiry_ms || a->expired != b->expired)
        mask |= NODE_EXPIRY;
    if (a->capver != b->capver)
        mask |= NODE_CAPVER;
    if (!str_eq(a->facts->hostinfo_peer, b->facts->hostinfo_peer))
        mask |= NODE_FACTS;
    if (!str_eq(a->given_name, b->given_name) || !str_eq(a->fqdn, b->fqdn) ||
        !ip_addr_eq(a->v4, b->v4) || !ip_addr_eq(a->v6, b->v6) || a->user != b->user ||
        !str_list_eq(&a->tags, &b->tags) || a->exit_node != b->exit_node ||
        !same_prefixes(a->serving, a->n_serving, b->serving, b->n_serving))
        mask |= NODE_CARD;
    return mask;
}

static unsigned told(const struct world *w, enum change_kind kind, node_id id, size_t *times)
{
    unsigned mask = 0;

    *times = 0;
    for (size_t i = 0; i < w->f.changes.len; i++) {
        const struct change *c = &w->f.changes.items[i];

        if (c->kind != kind || c->id != id)
            continue;
        ++*times;
        mask = c->mask;
    }
    return mask;
}

static void check_told(const struct world *w, const struct tailnet_view *before,
                       const struct tailnet_view *after)
{
    const struct node *n;
    size_t times = 0;

    for (size_t at = 0; (n = view_node_next(before, &at));) {
        if (view_node_find(after, n->id))
            continue;
        (void)told(w, CHANGE_NODE_REMOVED, n->id, &times);
        assert_int_equal(times, 1);
        (void)told(w, CHANGE_NODE, n->id, &times);
        assert_int_equal(times, 0);
    }
    for (size_t at = 0; (n = view_node_next(after, &at));) {
        const struct node *old = view_node_find(before, n->id);
        unsigned mask = told(w, CHANGE_NODE, n->id, &times);

        assert_int_equal(times, n != old);
        if (!old)
            assert_int_equal(mask, NODE_NEW | NODE_CARD);
        else if (n != old)
            assert_int_equal(mask & ~(unsigned)NODE_UNTOLD, difference(old, n));
    }
}

/* ---- One command ---- */

static int apply(struct world *w, struct command c)
{
    const struct tailnet_view *before[2], *after[2];

    for (size_t i = 0; i < 2; i++)
        before[i] = domain_view(w->f.d, w->tailnets[i]);
    int status = fixture_apply(&w->f, c);
    if (status == 0) {
        w->done++;
        if (c.type == COMMAND_STREAM_OPEN)
            *stream_of(w, w->f.result.id) = (struct stream){
                .id = w->f.result.id, .generation = w->f.result.generation, .is_live = true};
        struct stream *s = c.type == COMMAND_STREAM_CLOSE ? map_find_u64(w->streams, c.id) : NULL;
        if (s && s->is_live && s->generation == c.generation) {
            s->is_live = false;
            s->ended_ms = w->f.now;
        }
    } else {
        w->refused++;
    }
    for (size_t i = 0; i < 2; i++) {
        after[i] = domain_view(w->f.d, w->tailnets[i]);
        if (status < 0)
            assert_ptr_equal(before[i], after[i]);
        check_told(w, before[i], after[i]);
        check_elections(w, after[i]);
        check_online(w, after[i]);
        view_unref(before[i]);
        view_unref(after[i]);
    }
    return status;
}

/* ---- Picking ---- */

static const struct node *any_node(struct world *w, tailnet_id t)
{
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, t);
    size_t at = 0, n = view_node_count(v);
    const struct node *node = NULL;

    if (n == 0)
        return NULL;
    for (uint64_t skip = below(w, n) + 1; skip > 0; skip--)
        node = view_node_next(v, &at);
    return node;
}

static user_id any_user(struct world *w, tailnet_id t)
{
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, t);
    size_t n = 0;
    const struct user *const *users = view_users(v, &n);

    return n > 0 ? users[below(w, n)]->id : 0;
}

static auth_key_id any_key(struct world *w, tailnet_id t)
{
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, t);
    size_t n = 0;
    const struct auth_key *const *keys = view_auth_keys(v, &n);

    return n > 0 ? keys[below(w, n)]->id : 0;
}

static void any_routes(struct world *w, char out[256])
{
    out[0] = '\0';
    for (size_t i = 0; i < ROUTES; i++) {
        size_t len = strlen(out);

        if (below(w, 3) == 0)
            snprintf(out + len, 256 - len, "%s%s", len > 0 ? "," : "", route_texts[i]);
    }
}

static struct node_facts *any_facts(struct world *w)
{
    static const char *const tags[] = {"", "", "", "", "tag:a", "Tag:x"};
    char routes[256];

    any_routes(w, routes);
    struct node_facts *facts = facts_of(hostnames[below(w, ARRAY_LEN(hostnames))], routes,
                                        tags[below(w, ARRAY_LEN(tags))]);
    if (below(w, 3) == 0) {
        str_free(&facts->hostinfo_peer);
        facts->hostinfo_peer = str_printf("{\"n\":%d}", (int)below(w, 3));
    }
    return facts;
}

static struct str_list any_tags(struct world *w)
{
    static const char *const tags[] = {"tag:a", "tag:b,tag:a", "", "tag:B", "x"};

    return list_of(tags[below(w, ARRAY_LEN(tags))]);
}

static int64_t any_time(struct world *w)
{
    switch (below(w, 4)) {
    case 0:
        return 0;
    case 1:
        return w->f.now - (int64_t)below(w, HOUR_MS);
    default:
        return w->f.now + 1 + (int64_t)below(w, 4 * HOUR_MS);
    }
}

/* ---- Commands ---- */

static void do_user(struct world *w)
{
    static const char *const names[] = {"alice", "bob", "carol", "dave", " bad"};
    static const enum command_type types[] = {COMMAND_USER_CREATE, COMMAND_USER_RENAME,
                                              COMMAND_USER_UPDATE, COMMAND_USER_LOGIN,
                                              COMMAND_USER_DELETE};
    tailnet_id t = any_tailnet(w);
    struct str provider = below(w, 3) ? STR("p") : STR_NONE;

    (void)apply(w, (struct command){.type = types[below(w, ARRAY_LEN(types))],
                                    .tailnet = t,
                                    .id = any_user(w, t),
                                    .provider = provider,
                                    .provider_id = provider,
                                    .fields = (unsigned)below(w, 2 * USER_FIELD_PROVIDER),
                                    .role = (enum user_role)below(w, ROLE_AUDITOR + 1),
                                    .with_nodes = below(w, 3) == 0,
                                    .name = str_from(names[below(w, ARRAY_LEN(names))])});
}

static void do_auth_key(struct world *w)
{
    tailnet_id t = any_tailnet(w);
    struct str_list tags = below(w, 3) == 0 ? any_tags(w) : (struct str_list){0};
    struct command c = {.type = COMMAND_AUTH_KEY_CREATE,
                        .tailnet = t,
                        .user = below(w, 5) == 0 ? 0 : any_user(w, t),
                        .tags = tags,
                        .reusable = below(w, 2) == 0,
                        .ephemeral = below(w, 4) == 0,
                        .expiry_ms = below(w, 2) == 0 ? 0 : w->f.now + (int64_t)below(w, HOUR_MS)};

    if (below(w, 4) == 0)
        c = (struct command){.type = below(w, 2)   ? COMMAND_AUTH_KEY_EXPIRE
                                     : below(w, 2) ? COMMAND_AUTH_KEY_REVOKE
                                                   : COMMAND_AUTH_KEY_DELETE,
                             .tailnet = t,
                             .id = any_key(w, t)};
    if (apply(w, c) == 0 && c.type == COMMAND_AUTH_KEY_CREATE)
        snprintf(w->keys[below(w, 8)], 128, "%.*s", STR_ARG(w->f.result.secret));
    str_list_free(&tags);
}

/* The machine's newest node key, sometimes a new one, sometimes somebody else's. */
static unsigned key_for(struct world *w, unsigned machine)
{
    switch (below(w, 6)) {
    case 0:
        return MACHINES + w->next_key++;
    case 1:
        return 1 + (unsigned)below(w, MACHINES);
    default:
        return machine;
    }
}

static void do_register(struct world *w)
{
    unsigned machine = 1 + (unsigned)below(w, MACHINES);
    struct node_facts *facts = any_facts(w);
    const struct node *n = any_node(w, any_tailnet(w));
    struct register_request reg = {.machine = machine_of(machine),
                                   .key = key_of(key_for(w, machine)),
                                   .capver = 100 + (uint32_t)below(w, 2),
                                   .ephemeral = below(w, 10) == 0,
                                   .facts = facts};

    if (n && below(w, 2) == 0) {
        reg.machine = n->machine;
        if (below(w, 2) == 0)
            reg.key = n->key;
        else
            reg.old_key = n->key;
    }
    if (below(w, 2) == 0)
        reg.auth_key = str_from(w->keys[below(w, 8)]);
    if (below(w, 4) == 0)
        reg.followup = str_from(w->auth_ids[below(w, 8)]);
    if (below(w, 8) == 0) {
        reg.has_expiry = true;
        reg.expiry_ms = any_time(w);
    }
    if (apply(w, (struct command){.type = COMMAND_REGISTER, .reg = &reg}) == 0 &&
        w->f.result.outcome == REGISTER_PENDING)
        snprintf(w->auth_ids[below(w, 8)], 64, "%s", w->f.result.auth_id);
    node_facts_unref(facts);
}

static void do_decide(struct world *w)
{
    tailnet_id t = any_tailnet(w);

    (void)apply(w, (struct command){.type = below(w, 5) ? COMMAND_REGISTER_APPROVE
                                                        : COMMAND_REGISTER_REJECT,
                                    .tailnet = t,
                                    .name = str_from(w->auth_ids[below(w, 8)]),
                                    .user = any_user(w, t)});
}

static void do_update(struct world *w)
{
    const struct node *n = any_node(w, any_tailnet(w));
    struct ip_addrport ap[2] = {{IP_ADDR_V4(1, 2, 3, (uint8_t)below(w, 3)), 1},
                                {IP_ADDR_V4(1, 2, 3, 4), 2}};

    if (!n)
        return;
    struct command c = {.type = below(w, 2) ? COMMAND_NODE_UPDATE : COMMAND_STREAM_OPEN,
                        .machine = n->machine,
                        .key = n->key,
                        .is_update = below(w, 2) == 0,
                        .capver = 100 + (uint32_t)below(w, 2),
                        .disco = {{(uint8_t)below(w, 3)}},
                        .facts = below(w, 2) ? any_facts(w) : NULL,
                        .endpoints = ap,
                        .n_endpoints = below(w, 3),
                        .has_endpoints = below(w, 2) == 0,
                        .home_derp = (uint32_t)below(w, 3)};
    if (below(w, 10) == 0)
        c.machine = machine_of(99);
    (void)apply(w, c);
    node_facts_unref(c.facts);
}

static void do_close(struct world *w)
{
    const struct node *n = any_node(w, any_tailnet(w));

    if (!n)
        return;
    uint64_t generation = stream_of(w, n->id)->generation;
    (void)apply(w, (struct command){.type = COMMAND_STREAM_CLOSE,
                                    .id = n->id,
                                    .generation = below(w, 5) ? generation : generation - 1});
}

static void do_node(struct world *w)
{
    static const enum command_type types[] = {
        COMMAND_NODE_RENAME,         COMMAND_NODE_EXPIRE,         COMMAND_NODE_TAG,
        COMMAND_NODE_APPROVE_ROUTES, COMMAND_NODE_APPROVE_ROUTES, COMMAND_NODE_MOVE,
        COMMAND_NODES_BACKFILL,      COMMAND_NODE_DELETE};
    static const char *const names[] = {"web", "Node", "web-2", "bad.name", "db", ""};
    tailnet_id t = any_tailnet(w);
    const struct node *n = any_node(w, t);
    struct str_list tags = any_tags(w);
    char routes[256];

    any_routes(w, routes);
    struct node_facts *list = facts_of("", routes, "");
    (void)apply(w, (struct command){.type = types[below(w, ARRAY_LEN(types) - (below(w, 4) != 0))],
                                    .tailnet = below(w, 20) ? t : w->tailnets[0],
                                    .id = n ? n->id : 0,
                                    .user = any_user(w, t),
                                    .name = str_from(names[below(w, ARRAY_LEN(names))]),
                                    .tags = tags,
                                    .expiry_ms = any_time(w),
                                    .routes = list->routes,
                                    .n_routes = list->n_routes});
    node_facts_unref(list);
    str_list_free(&tags);
}

static void do_tick(struct world *w)
{
    static const int64_t steps[] = {1, 1000, OFFLINE_GRACE_MS, MINUTE_MS, 20 * MINUTE_MS};
    int64_t next = domain_next_tick_ms(w->f.d);

    /* Exactly when it is due, one before, or whenever. */
    if (below(w, 2) == 0 && next != INT64_MAX && next > w->f.now + 1) {
        w->f.now = next - 1;
        (void)apply(w, (struct command){.type = COMMAND_TICK});
        assert_int_equal(w->f.changes.len, 0);
        w->f.now = next;
    } else {
        w->f.now += steps[below(w, ARRAY_LEN(steps))];
    }
    bool is_due = domain_next_tick_ms(w->f.d) <= w->f.now;
    assert_int_equal(apply(w, (struct command){.type = COMMAND_TICK}), 0);
    assert_true(domain_next_tick_ms(w->f.d) > w->f.now);
    if (!is_due)
        assert_int_equal(w->f.changes.len, 0);
}

static void do_tailnet(struct world *w)
{
    static const int64_t expiries[] = {0, HOUR_MS};
    tailnet_id t = any_tailnet(w);
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, t);
    struct tailnet_info *info = tailnet_info_clone(view_info(v));

    info->node_expiry_ms = expiries[below(w, 2)];
    info->prefix_v6 = below(w, 3) ? prefix_of("fd7a:115c:a1e0::/48") : (struct ip_prefix){0};
    info->allocation = below(w, 2) ? ADDRESS_RANDOM : ADDRESS_SEQUENTIAL;
    str_free(&info->base_domain);
    info->base_domain = str_printf("d%d.net", (int)below(w, 3));
    (void)apply(w, (struct command){.type = COMMAND_TAILNET_UPDATE, .tailnet = t, .info = info});
    tailnet_info_unref(info);
}

static void step(struct world *w)
{
    static void (*const kinds[])(struct world *) = {
        do_register, do_register, do_register, do_decide, do_decide,   do_update, do_update,
        do_update,   do_close,    do_close,    do_node,   do_node,     do_node,   do_tick,
        do_tick,     do_user,     do_auth_key, do_update, do_register, do_close};

    /* Wholesale renaming now and then only: it hides what single commands tell. */
    if (below(w, 200) == 0)
        do_tailnet(w);
    kinds[below(w, ARRAY_LEN(kinds))](w);
}

static void run(uint64_t seed)
{
    struct world w = {.streams = map_new(), .primaries = map_new(), .next_key = 1};
    struct str key;
    void *value;

    rand_seed(&w.r, seed);
    fixture_init(&w.f);
    struct tailnet_info *info = tailnet_info_clone(view_info(fixture_view(&w.f)));
    str_free(&info->name);
    str_free(&info->base_domain);
    info->name = str_copy(STR("team"));
    info->prefix_v4 = prefix_of("100.64.0.0/27"); /* small, and inside the other's */
    fixture_done(&w.f, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info});
    tailnet_info_unref(info);
    w.tailnets[0] = 1;
    w.tailnets[1] = w.f.result.id;
    for (size_t i = 0; i < STEPS; i++)
        step(&w);
    print_message("seed %" PRIu64 ": %zu done, %zu refused\n", seed, w.done, w.refused);
    assert_true(w.done > STEPS / 3 && w.refused > STEPS / 50);
    for (size_t at = 0; map_next(w.streams, &at, &key, &value);)
        mem_free(value);
    map_free(w.streams);
    map_free(w.primaries);
    fixture_fini(&w.f);
}

static void histories_keep_the_rules(void **state)
{
    const char *given = getenv("PROPERTY_SEED");

    (void)state;
    if (given) {
        run(strtoull(given, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= 4; seed++)
        run(seed);
    uint64_t fresh = property_seed();
    print_message("fresh seed %" PRIu64 " (PROPERTY_SEED repeats it)\n", fresh);
    run(fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(histories_keep_the_rules)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
