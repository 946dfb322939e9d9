/*
 * Random histories of shares between tailnets whose users, machines and addresses come and go.
 * After each command, from the views alone:
 *
 *   - the guests of a view are exactly the nodes that shares in force bring there, as they stand,
 *     but for those that are held;
 *   - a node's items are covered by a share in force, say what those shares say, and is_lent is
 *     whether some node has it in its items;
 *   - nobody in a tailnet has an address that a guest is known by there;
 *   - what changed of guests was told;
 *   - a tailnet without shares has no guest, knows nobody, and its machines have nothing abroad;
 *   - what is put into a fresh domain as a start would has the same guests.
 */

#include "../property.h"
#include "fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TAILNETS 4 /* the last one is in no share */
#define LIVES 20
#define STEPS 1200

struct world {
    struct fixture f;
    struct rand_seeded r;
    tailnet_id tailnets[TAILNETS];
    user_id users[TAILNETS][3];
    unsigned next_machine;
    size_t done, guests, items;
    int64_t most_ms;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return rand_seeded_below(&w->r, n);
}

static bool chance(struct world *w, unsigned percent)
{
    return below(w, 100) < percent;
}

/* ---- The law ---- */

/* Accepted, and neither of its tailnets is suspended. */
static bool is_in_force(struct world *w, const struct share *s)
{
    AUTO(view_unref) const struct tailnet_view *owner = domain_view(w->f.d, s->owner);
    AUTO(view_unref) const struct tailnet_view *guest = domain_view(w->f.d, s->guest);

    return s->accepted_ms != 0 && !view_info(owner)->suspended && !view_info(guest)->suspended;
}

static bool share_covers(struct world *w, const struct share *s, const struct node *lent,
                         const struct node *device)
{
    return node_has_access(lent) && node_has_access(device) && s->node == lent->id &&
           s->guest == device->tailnet && (s->user == 0 || s->user == device->user) &&
           is_in_force(w, s);
}

/* Whether the share in force brings the node into the view of that tailnet. */
static bool brings(struct world *w, const struct share *s, const struct node *n, tailnet_id in)
{
    return node_has_access(n) &&
           ((s->node == n->id && s->guest == in) ||
            (s->owner == in && s->guest == n->tailnet && (s->user == 0 || s->user == n->user))) &&
           is_in_force(w, s);
}

static bool is_guest(struct world *w, const struct tailnet_view *v, const struct node *n)
{
    const struct share *s;

    if (n->tailnet == view_info(v)->id)
        return false;
    for (size_t at = 0; (s = view_share_next(v, &at));)
        if (brings(w, s, n, view_info(v)->id))
            return true;
    return false;
}

static void check_guest(const struct tailnet_view *v, const struct node *n, const struct node *g)
{
    const struct abroad_alias *alias = abroad_alias_find(n->abroad, view_info(v)->id);

    assert_true(g->tailnet == n->tailnet && g->user == n->user && g->online == n->online &&
                g->expired == n->expired);
    assert_ptr_equal(g->abroad, n->abroad);
    assert_ptr_equal(g->facts, n->facts);
    assert_str(g->fqdn, n->fqdn);
    assert_int_equal(g->n_endpoints, n->n_endpoints);
    assert_true(ip_addr_eq(g->v4, alias && ip_addr_is_set(alias->v4) ? alias->v4 : n->v4));
    assert_true(ip_addr_eq(g->v6, alias && ip_addr_is_set(alias->v6) ? alias->v6 : n->v6));
    assert_non_null(view_guest_info_find(v, n->tailnet));
    assert_true(n->user == 0 || view_guest_user_find(v, n->user));
}

static void check_view(struct world *w, const struct tailnet_view *v)
{
    struct map *addrs = map_new();
    size_t wanted = 0;

    for (size_t i = 0; i < TAILNETS; i++) {
        AUTO(view_unref) const struct tailnet_view *other = domain_view(w->f.d, w->tailnets[i]);
        const struct node *n;

        for (size_t at = 0; (n = view_node_next(other, &at));) {
            const struct node *g = view_guest_find(v, n->id);

            assert_int_equal(g != NULL, is_guest(w, v, n));
            wanted += g != NULL;
            if (g)
                check_guest(v, n, g);
        }
    }
    assert_int_equal(view_guest_count(v), wanted);
    w->guests += wanted;

    struct view_any_at at = {0};
    for (const struct node *n; (n = view_any_next(v, &at));) {
        static int mark;

        assert_ptr_equal(view_any_find(v, n->id), n);
        if (ip_addr_is_set(n->v4))
            assert_null(map_put(addrs, str_bytes(&n->v4, sizeof(n->v4)), &mark));
        if (ip_addr_is_set(n->v6))
            assert_null(map_put(addrs, str_bytes(&n->v6, sizeof(n->v6)), &mark));
    }
    map_free(addrs);
}

/* What the shares that let x begin connections to y say together; false: none does. */
static bool terms_of(struct world *w, const struct tailnet_view *v, const struct node *x,
                     const struct node *y, struct share_terms *out)
{
    const struct share *s;
    bool any = false;

    for (size_t at = 0; (s = view_share_next(v, &at));) {
        bool lent = share_covers(w, s, y, x), back = s->terms.two_way && share_covers(w, s, x, y);
        struct share_terms t =
            lent ? s->terms
                 : (struct share_terms){.ports = s->terms.ports, .n_ports = s->terms.n_ports};

        if (!lent && !back)
            continue;
        if (any)
            share_terms_add(out, &t);
        else
            share_terms_copy(out, &t);
        any = true;
    }
    out->two_way = false;
    return any;
}

static void check_abroad(struct world *w, const struct tailnet_view *v, struct map *lent)
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(v, &at));) {
        for (size_t i = 0; n->abroad && i < n->abroad->n_items; i++) {
            const struct abroad_item *item = &n->abroad->items[i];
            const struct node *y = domain_node_by_id(w->f.d, item->node);
            struct share_terms terms = {0};

            assert_non_null(y);
            assert_true(item->tailnet == y->tailnet);
            assert_true(i == 0 || n->abroad->items[i - 1].node < item->node);
            assert_true(terms_of(w, v, n, y, &terms));
            assert_true(share_terms_eq(&terms, &item->terms));
            assert_ptr_equal(abroad_find(n->abroad, y->id), item);
            share_terms_fini(&terms);
            (void)map_put_u64(lent, y->id, w);
            w->items++;
        }
        for (size_t i = 0; n->abroad && i < n->abroad->n_aliases; i++)
            assert_true(i == 0 ||
                        n->abroad->aliases[i - 1].tailnet < n->abroad->aliases[i].tailnet);
    }
}

static void check(struct world *w)
{
    struct map *lent = map_new();

    for (size_t i = 0; i < TAILNETS; i++) {
        AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, w->tailnets[i]);

        check_view(w, v);
        check_abroad(w, v, lent);
    }
    for (size_t i = 0; i < TAILNETS; i++) {
        AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, w->tailnets[i]);
        size_t none = 0;
        const struct node *n;

        for (size_t at = 0; (n = view_node_next(v, &at));) {
            assert_int_equal(n->abroad && n->abroad->is_lent, map_find_u64(lent, n->id) != NULL);
            if (!view_share_next(v, &none))
                assert_null(n->abroad);
            none = 0;
        }
        if (view_share_next(v, &none))
            continue;
        for (size_t k = 0; k < TAILNETS; k++)
            assert_null(view_guest_info_find(v, w->tailnets[k]));
        assert_int_equal(view_guest_count(v), 0);
    }
    map_free(lent);
}

/* ---- What was told ---- */

struct before {
    const struct tailnet_view *views[TAILNETS];
};

static const struct change *told_of(const struct world *w, tailnet_id t, enum change_kind kind,
                                    node_id id)
{
    const struct change *last = NULL;

    for (size_t i = 0; i < w->f.changes.len; i++) {
        const struct change *c = &w->f.changes.items[i];

        if (c->tailnet == t && c->kind == kind && c->id == id)
            last = c;
    }
    return last;
}

static void check_told(struct world *w, const struct before *b)
{
    for (size_t i = 0; i < TAILNETS; i++) {
        AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, w->tailnets[i]);
        const struct node *g;

        for (size_t at = 0; (g = view_guest_next(v, &at));) {
            const struct node *was = view_guest_find(b->views[i], g->id);
            const struct change *c = told_of(w, w->tailnets[i], CHANGE_GUEST, g->id);

            if (!was)
                assert_true(c && (c->mask & NODE_NEW));
            if (was && !abroad_eq(was->abroad, g->abroad))
                assert_true(c && (c->mask & (NODE_ABROAD | NODE_NEW)));
            if (was && (was->user != g->user || !str_eq(was->fqdn, g->fqdn)))
                assert_true(c && (c->mask & NODE_CARD));
            if (c)
                assert_int_equal(c->mask & NODE_UNTOLD, 0);
        }
        for (size_t at = 0; (g = view_guest_next(b->views[i], &at));)
            if (!view_guest_find(v, g->id))
                assert_non_null(told_of(w, w->tailnets[i], CHANGE_GUEST_REMOVED, g->id));
    }
}

/* ---- Starting anew ---- */

static void load_into(struct world *w, struct domain *d)
{
    struct domain_counters next = domain_counters(w->f.d);
    struct err err = {0};
    const struct tailnet_view *views[TAILNETS];

    for (size_t i = 0; i < TAILNETS; i++) {
        views[i] = domain_view(w->f.d, w->tailnets[i]);
        assert_int_equal(domain_load_tailnet(d, tailnet_info_clone(view_info(views[i])),
                                             view_revision(views[i]), &err),
                         0);
    }
    for (size_t i = 0; i < TAILNETS; i++) {
        size_t n;
        const struct user *const *users = view_users(views[i], &n);
        const struct node *node;

        for (size_t k = 0; k < n; k++)
            assert_int_equal(domain_load_user(d, user_clone(users[k]), &err), 0);
        for (size_t at = 0; (node = view_node_next(views[i], &at));) {
            struct node *copy = node_clone(node);

            copy->auth_key = 0;
            assert_int_equal(domain_load_node(d, copy, &err), 0);
        }
    }
    for (size_t i = 0; i < TAILNETS; i++) {
        const struct share *s;

        for (size_t at = 0; (s = view_share_next(views[i], &at));)
            if (s->owner == w->tailnets[i])
                assert_int_equal(domain_load_share(d, share_clone(s), &err), 0);
        view_unref(views[i]);
    }
    domain_load_counters(d, &next);
    domain_load_done(d, w->f.now);
}

static void start_anew(struct world *w)
{
    struct domain *old = w->f.d, *d = domain_new();
    uint64_t revisions[TAILNETS];

    load_into(w, d);
    for (size_t i = 0; i < TAILNETS; i++) {
        AUTO(view_unref) const struct tailnet_view *was = domain_view(old, w->tailnets[i]);
        AUTO(view_unref) const struct tailnet_view *now = domain_view(d, w->tailnets[i]);

        assert_int_equal(view_guest_count(was), view_guest_count(now));
        revisions[i] = view_revision(now);
        assert_true(revisions[i] >= view_revision(was));
    }
    w->f.d = d;
    check(w);
    domain_free(old);
}

/* ---- Steps ---- */

static const struct node *any_node(struct world *w, tailnet_id t)
{
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, t);
    size_t at = 0, skip, n = view_node_count(v);
    const struct node *node = NULL;

    if (n == 0)
        return NULL;
    for (skip = below(w, n) + 1; skip > 0; skip--)
        node = view_node_next(v, &at);
    return node;
}

static const struct share *any_share(struct world *w, tailnet_id t)
{
    AUTO(view_unref) const struct tailnet_view *v = domain_view(w->f.d, t);
    const struct share *s, *found = NULL;
    size_t at = 0, n = 0;

    while ((s = view_share_next(v, &at)))
        if (below(w, ++n) == 0)
            found = s;
    return found;
}

/* Not of the last one. */
static size_t any_place(struct world *w)
{
    return below(w, TAILNETS - 1);
}

static void apply(struct world *w, struct command c)
{
    struct before b;

    for (size_t i = 0; i < TAILNETS; i++)
        b.views[i] = domain_view(w->f.d, w->tailnets[i]);
    w->done += fixture_apply(&w->f, c) == 0;
    check_told(w, &b);
    for (size_t i = 0; i < TAILNETS; i++)
        view_unref(b.views[i]);
    check(w);
}

static user_id any_user(struct world *w, size_t place)
{
    return w->users[place][below(w, 3)];
}

static void join(struct world *w)
{
    size_t place = below(w, TAILNETS);
    struct str tag = STR("tag:t");
    bool tagged = chance(w, 20);

    apply(w, (struct command){.type = COMMAND_AUTH_KEY_CREATE,
                              .tailnet = w->tailnets[place],
                              .user = tagged ? 0 : any_user(w, place),
                              .tags = {&tag, tagged}});
    struct str key = str_copy(w->f.result.secret);
    struct node_facts *facts = facts_of("host", "", "");
    unsigned n = chance(w, 80) ? ++w->next_machine : 1 + (unsigned)below(w, w->next_machine + 1);
    struct register_request reg = {.machine = machine_of(n),
                                   .key = key_of(++w->next_machine),
                                   .capver = 100,
                                   .auth_key = key,
                                   .ephemeral = chance(w, 10),
                                   .facts = facts};
    apply(w, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    str_free(&key);
    node_facts_unref(facts);
}

static void share_something(struct world *w)
{
    size_t from = any_place(w), to = any_place(w);
    const struct node *n = any_node(w, w->tailnets[from]);
    struct share_ports ports = {(uint16_t)(1 + below(w, 50)), (uint16_t)(50 + below(w, 50))};
    struct ip_prefix route = prefix_of("10.0.0.0/8");
    struct share_terms terms = {
        .exit_node = chance(w, 30), .all_routes = chance(w, 20), .two_way = chance(w, 40)};

    if (chance(w, 40)) {
        terms.ports = &ports;
        terms.n_ports = 1;
    }
    if (!terms.all_routes && chance(w, 30)) {
        terms.routes = &route;
        terms.n_routes = 1;
    }
    const struct share s = {.node = n ? n->id : 0,
                            .guest = w->tailnets[to],
                            .user = chance(w, 60) ? any_user(w, to) : 0,
                            .sharer = chance(w, 50) ? any_user(w, from) : 0,
                            .terms = terms,
                            .expiry_ms = chance(w, 50) ? 0 : w->f.now + (int64_t)below(w, 99999)};
    const struct share *old = any_share(w, w->tailnets[from]);
    bool again = old && chance(w, 30);

    apply(w, (struct command){.type = again ? COMMAND_SHARE_UPDATE : COMMAND_SHARE_CREATE,
                              .tailnet = w->tailnets[from],
                              .id = again ? old->id : 0,
                              .share = &s,
                              .is_accepted = chance(w, 80)});
}

static void end_something(struct world *w)
{
    tailnet_id t = w->tailnets[any_place(w)];
    const struct share *s = any_share(w, t);

    if (s)
        apply(w,
              (struct command){.type = chance(w, 50) ? COMMAND_SHARE_REVOKE : COMMAND_SHARE_ACCEPT,
                               .tailnet = t,
                               .id = s->id});
}

/* As the treaty would, and more than it may. */
static void set_abroad(struct world *w)
{
    const struct node *x = any_node(w, w->tailnets[any_place(w)]);
    struct abroad *a;

    if (!x)
        return;
    a = abroad_new();
    a->items = mem_alloc_array(8, sizeof(*a->items));
    for (size_t i = 0; i < 8; i++) {
        const struct node *y = any_node(w, w->tailnets[below(w, TAILNETS)]);

        if (y && chance(w, 80))
            a->items[a->n_items++].node = y->id;
    }
    apply(w, (struct command){.type = COMMAND_NODE_ABROAD, .id = x->id, .abroad = a});
    abroad_unref(a);
}

static void change_node(struct world *w)
{
    size_t place = any_place(w);
    tailnet_id t = w->tailnets[place];
    const struct node *n = any_node(w, t);
    struct str tag = STR("tag:t");
    struct command c = {.tailnet = t, .user = any_user(w, place), .tags = {&tag, 1}};
    static const enum command_type types[] = {COMMAND_NODE_MOVE,    COMMAND_NODE_TAG,
                                              COMMAND_NODE_DELETE,  COMMAND_STREAM_OPEN,
                                              COMMAND_NODE_ADDRESS, COMMAND_NODES_BACKFILL};

    if (!n)
        return;
    c.type = types[below(w, ARRAY_LEN(types))];
    c.id = n->id;
    c.machine = n->machine;
    c.key = n->key;
    c.addr = IP_ADDR_V4(10, 9, 0, (uint8_t)below(w, 64));
    apply(w, c);
}

/* Who leaves, and comes back as somebody else. */
static void replace_user(struct world *w)
{
    size_t place = any_place(w), i = below(w, 3);
    char name[32];

    apply(w, (struct command){.type = COMMAND_USER_DELETE,
                              .tailnet = w->tailnets[place],
                              .with_nodes = below(w, 6) == 0,
                              .id = w->users[place][i]});
    if (w->f.err.code != 0)
        return;
    snprintf(name, sizeof(name), "user%u", ++w->next_machine);
    apply(w, (struct command){.type = COMMAND_USER_CREATE,
                              .tailnet = w->tailnets[place],
                              .name = str_from(name)});
    w->users[place][i] = w->f.result.id;
}

/* Users suspended and restored, machines approved and not any more: most are well most of the time.
 */
static void hold_something(struct world *w)
{
    size_t place = any_place(w);
    const struct tailnet_settings approval = {.set = SETTING_DEVICE_APPROVAL,
                                              .device_approval = chance(w, 70)};
    const struct node *n = any_node(w, w->tailnets[place]);
    struct command c = {.tailnet = w->tailnets[place], .settings = &approval};

    if (chance(w, 50) && n) {
        c.type = COMMAND_NODE_APPROVE;
        c.id = n->id;
        c.revokes = chance(w, 20);
    } else if (chance(w, 80)) {
        c.type = chance(w, 30) ? COMMAND_USER_SUSPEND : COMMAND_USER_RESTORE;
        c.id = any_user(w, place);
    } else {
        c.type = COMMAND_SETTINGS_SET;
    }
    apply(w, c);
}

static void step(struct world *w)
{
    uint64_t what = below(w, 100);

    w->f.now += (int64_t)below(w, 2000);
    if (what < 14)
        join(w);
    else if (what < 34)
        share_something(w);
    else if (what < 42)
        end_something(w);
    else if (what < 62)
        set_abroad(w);
    else if (what < 80)
        change_node(w);
    else if (what < 84)
        replace_user(w);
    else if (what < 86)
        apply(w, (struct command){.type = chance(w, 30) ? COMMAND_TAILNET_SUSPEND
                                                        : COMMAND_TAILNET_RESUME,
                                  .tailnet = w->tailnets[1]});
    else if (what < 88)
        start_anew(w);
    else if (what < 92)
        hold_something(w);
    else
        apply(w, (struct command){.type = COMMAND_TICK});
}

static void begin(struct world *w)
{
    struct tailnet_settings apart = {.set = SETTING_ADDRESSES_APART};
    struct ip_prefix range = prefix_of("10.9.0.0/22");

    fixture_init(&w->f);
    (void)domain_tailnet_ids(w->f.d, w->tailnets, 1);
    for (size_t i = 1; i < TAILNETS; i++) {
        char name[16];
        bool own = i == 1 || i == 2;

        snprintf(name, sizeof(name), "t%zu", i);
        fixture_done(&w->f, (struct command){.type = COMMAND_TAILNET_CREATE,
                                             .name = str_from(name),
                                             .routes = &range,
                                             .n_routes = own,
                                             .settings = own ? &apart : NULL});
        w->tailnets[i] = w->f.result.id;
    }
    for (size_t i = 0; i < TAILNETS; i++)
        for (size_t k = 0; k < 3; k++) {
            char name[16];

            snprintf(name, sizeof(name), "user%zu", k);
            fixture_done(&w->f, (struct command){.type = COMMAND_USER_CREATE,
                                                 .tailnet = w->tailnets[i],
                                                 .name = str_from(name)});
            w->users[i][k] = w->f.result.id;
        }
}

static void guests_are_what_shares_cover(void **state)
{
    uint64_t seed = property_seed();
    size_t lives = 0, done = 0, guests = 0, items = 0;
    struct rand_seeded r;

    (void)state;
    print_message("seed %" PRIu64 "\n", seed);
    rand_seed(&r, seed);
    /* A life in which somebody is suspended early sees little: then another is looked at. */
    for (; lives < LIVES && (guests <= 100 || items <= 10); lives++) {
        struct world w = {.next_machine = 100, .r = r};

        begin(&w);
        for (size_t i = 0; i < STEPS; i++)
            step(&w);
        r = w.r;
        done += w.done;
        guests += w.guests;
        items += w.items;
        fixture_fini(&w.f);
    }
    print_message("%zu lives, %zu commands, %zu guests, %zu items\n", lives, done, guests, items);
    assert_true(done > lives * STEPS / 4);
    assert_true(guests > 100 && items > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(guests_are_what_shares_cover)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
