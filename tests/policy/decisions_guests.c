/* Node by node, guest by guest; the texts of one node are parsed once. */

#include "decisions_guests.h"

#include "decisions_words.h"
#include "model_client.h"
#include "naive_guests.h"
#include "random_policy.h"
#include "without_held.h"
#include "json/value.h"

#define ROUTES_MAX 64

/* ---- Addresses worth trying ---- */

/* One of the node's own, one in a route of it, or one of the internet. */
static struct ip_addr some_address(struct rand_seeded *r, const struct node *n, bool v4)
{
    struct ip_addr own = v4 ? n->v4 : n->v6, a;
    uint64_t what = random_below(r, 10);

    if (what < 2 && ip_addr_parse(v4 ? STR("8.8.8.8") : STR("2606:4700::1111"), &a))
        return a;
    for (size_t i = 0; what < 6 && i < n->facts->n_routes; i++) {
        struct ip_prefix p = n->facts->routes[i];

        if (p.addr.family == own.family && !ip_prefix_is_exit(p) && random_chance(r, 40)) {
            struct ip_range range = ip_range_of_prefix(p);

            return random_chance(r, 50) ? range.first : range.last;
        }
    }
    return own;
}

static const int protos[] = {6, 6, 6, 17, 1, 58, 132, 47};
static const uint16_t ports[] = {22, 80, 443, 85, 90, 1, 1000, 1500, 2000, 8080, 65535, 0};

/* ---- Filters ---- */

struct texts {
    struct model_filter form[2];
    struct buf ssh;
};

static bool texts_init(struct texts *t, const struct policy *p, const struct node *x,
                       char why[DECISIONS_WHY])
{
    struct buf text = BUF((size_t)1 << 30);

    *t = (struct texts){.ssh = BUF(0)};
    for (int form = 0; form < 2; form++) {
        buf_clear(&text);
        policy_put_filter(p, x->id, (enum policy_form)form, &text);
        model_filter_parse(&t->form[form], buf_str(&text));
    }
    policy_put_ssh(p, x->id, STR("https://h"), &t->ssh);
    buf_fini(&text);
    if (t->form[0].complaint[0] || t->form[1].complaint[0])
        return differs(why, "filter of node %llu: %s%s", id_of(x), t->form[0].complaint,
                       t->form[1].complaint);
    return true;
}

static void texts_fini(struct texts *t)
{
    model_filter_fini(&t->form[0]);
    model_filter_fini(&t->form[1]);
    buf_fini(&t->ssh);
}

static bool check_packet(const struct decisions *in, const struct texts *t, const struct node *x,
                         const struct node *g, char why[DECISIONS_WHY])
{
    bool v4 = ip_addr_is_set(g->v4) && (!ip_addr_is_set(g->v6) || random_chance(in->rand, 60));
    const struct model_peer peer = {.addr = v4 ? g->v4 : g->v6};
    struct ip_addr dst = some_address(in->rand, x, v4);
    int proto = protos[random_below(in->rand, ARRAY_LEN(protos))];
    uint16_t port = ports[random_below(in->rand, ARRAY_LEN(ports))];
    bool want, allows;
    char a[64], b[64];

    if (!ip_addr_is_set(peer.addr) || !ip_addr_is_set(dst))
        return true;
    want = naive_guest_in(in->document, in->view, x, g, peer.addr, dst, proto, port);
    for (int form = 0; form < 2; form++)
        if (model_filter_allows(&t->form[form], &peer, dst, proto, port) != want)
            return differs(why, "%s filter of %llu: guest %llu, %s -> %s proto %d port %u: %s",
                           form ? "compact" : "canonical", id_of(x), id_of(g),
                           text_of(peer.addr, a), text_of(dst, b), proto, port,
                           want ? "out, naive in" : "in, naive out");
    /* policy_allows asks whoever has dst, also other routers. */
    allows = policy_allows(in->policy, peer.addr, dst, proto, port);
    if (naive_owns(x, dst) && allows != want)
        return differs(why, "policy_allows guest %llu -> %llu, %s -> %s proto %d port %u: %s",
                       id_of(g), id_of(x), text_of(peer.addr, a), text_of(dst, b), proto, port,
                       want ? "no, naive yes" : "yes, naive no");
    return true;
}

static bool check_way_out(const struct decisions *in, const struct node *x, const struct node *g,
                          char why[DECISIONS_WHY])
{
    bool v4 = random_chance(in->rand, 60);
    struct ip_addr src = v4 ? x->v4 : x->v6, dst = v4 ? g->v4 : g->v6;
    int proto = protos[random_below(in->rand, ARRAY_LEN(protos))];
    uint16_t port = ports[random_below(in->rand, ARRAY_LEN(ports))];

    if (!ip_addr_is_set(src) || !ip_addr_is_set(dst) ||
        policy_allows(in->policy, src, dst, proto, port) ==
            naive_guest_out(in->document, in->view, x, g, src, dst, proto, port))
        return true;
    return differs(why, "policy_allows %llu -> guest %llu proto %d port %u", id_of(x), id_of(g),
                   proto, port);
}

static bool check_caps(const struct decisions *in, const struct texts *t, const struct node *x,
                       const struct node *g, struct ip_addr src, struct ip_addr dst,
                       char why[DECISIONS_WHY])
{
    const struct model_peer peer = {.addr = src};

    if (!ip_addr_is_set(src) || !ip_addr_is_set(dst))
        return true;
    for (size_t i = 0; i < random_n_caps; i++) {
        struct str cap = str_from(random_caps[i]);
        bool want = naive_guest_has_cap(in->document, in->view, x, g, src, dst, cap);

        for (int form = 0; form < 2; form++)
            if (model_filter_has_cap(&t->form[form], &peer, dst, cap) != want)
                return differs(why, "%s of guest %llu at %llu: naive %s", random_caps[i], id_of(g),
                               id_of(x), want ? "has" : "has not");
    }
    return true;
}

static bool check_ssh(const struct decisions *in, const struct texts *t, const struct node *x,
                      const struct node *g, char why[DECISIONS_WHY])
{
    for (size_t i = 0; ip_addr_is_set(g->v4) && i < random_n_logins; i++) {
        struct str login = str_from(random_logins[i]);
        int got = (int)model_ssh(buf_str(&t->ssh), g->v4, login);
        int want = (int)naive_guest_ssh(in->document, in->view, x, g, login);

        if (got != want)
            return differs(why, "ssh from guest %llu to %s at %llu: %d, naive %d: %.*s", id_of(g),
                           random_logins[i], id_of(x), got, want, STR_ARG(buf_str(&t->ssh)));
    }
    if (policy_ssh_check_ms(in->policy, g->id, x->id) != -1)
        return differs(why, "a check for guest %llu", id_of(g));
    return true;
}

/* ---- Sight and routes ---- */

/* What classes say of a pair is what is said of the pair. */
static bool check_classes(const struct policy *p, const struct node *a, const struct node *b,
                          char why[DECISIONS_WHY])
{
    uint32_t x = policy_class_of(p, a->id), y = policy_class_of(p, b->id);
    enum policy_sight sight = policy_class_sight(p, x, y);
    bool sees = sight == POLICY_SIGHT_ALL ||
                (sight == POLICY_SIGHT_SAME_USER && policy_sight_user(p, a->id) &&
                 policy_sight_user(p, a->id) == policy_sight_user(p, b->id));

    if (a == b || (sees == policy_sees(p, a->id, b->id) && policy_class_sight(p, y, x) == sight))
        return true;
    return differs(why, "%llu and %llu: classes %x and %x: %d, policy_sees %d", id_of(a), id_of(b),
                   x, y, (int)sight, policy_sees(p, a->id, b->id));
}

static bool check_routes(const struct decisions *in, const struct node *x, const struct node *g,
                         char why[DECISIONS_WHY])
{
    struct ip_prefix got[ROUTES_MAX], want[ROUTES_MAX];
    size_t n_got = policy_peer_routes(in->policy, x->id, g->id, got, ROUTES_MAX);
    size_t n_want = naive_guest_routes(in->document, in->view, x, g, want, ROUTES_MAX);
    bool same = n_got == n_want;

    for (size_t i = 0; i < n_got && same; i++)
        same = ip_prefix_in(want, n_want, got[i]);
    if (!same)
        return differs(why, "routes of guest %llu that %llu sees: %zu, naive %zu", id_of(g),
                       id_of(x), n_got, n_want);
    if (n_got && !policy_has_routes(in->policy, g->id))
        return differs(why, "guest %llu has no routes, and some are shown", id_of(g));
    return policy_peer_routes(in->policy, g->id, x->id, got, ROUTES_MAX) == 0 ||
           differs(why, "routes for guest %llu", id_of(g));
}

static bool check_pair(const struct decisions *in, const struct texts *t, const struct node *x,
                       const struct node *g, char why[DECISIONS_WHY])
{
    bool sees = naive_guest_sees(x, g);

    if (policy_sees(in->policy, x->id, g->id) != sees ||
        policy_sees(in->policy, g->id, x->id) != sees)
        return differs(why, "%llu and guest %llu: naive %s", id_of(x), id_of(g),
                       sees ? "peers" : "no peers");
    if (policy_would_reach(in->policy, x->id, g->id) !=
        naive_would_reach(in->document, in->view, x, g))
        return differs(why, "would %llu reach guest %llu", id_of(x), id_of(g));
    if (policy_would_reach(in->policy, g->id, x->id) !=
        naive_would_reach(in->document, in->view, g, x))
        return differs(why, "would guest %llu reach %llu", id_of(g), id_of(x));
    if (!check_classes(in->policy, x, g, why) || !check_routes(in, x, g, why))
        return false;
    if (!sees)
        return true;
    for (int i = 0; i < 20; i++)
        if (!check_packet(in, t, x, g, why) || !check_way_out(in, x, g, why))
            return false;
    return check_caps(in, t, x, g, g->v4, x->v4, why) &&
           check_caps(in, t, x, g, g->v6, x->v6, why) && check_ssh(in, t, x, g, why);
}

/* Routers are listed by rising id, and are all that have routes. */
static bool check_routers(const struct policy *p, const struct tailnet_view *v,
                          char why[DECISIONS_WHY])
{
    struct view_any_at at = {0};
    const struct node *n;
    size_t count = 0;

    for (size_t i = 1; i < policy_router_count(p); i++)
        if (policy_router_at(p, i - 1) >= policy_router_at(p, i))
            return differs(why, "routers are not in order");
    while ((n = view_any_next(v, &at)))
        count += policy_has_routes(p, n->id);
    return count == policy_router_count(p) ||
           differs(why, "%zu nodes with routes, %zu routers", count, policy_router_count(p));
}

static bool agree(const struct decisions *in, char why[DECISIONS_WHY])
{
    const struct node *x, *g;
    bool same = check_routers(in->policy, in->view, why);

    for (size_t at = 0; same && (x = view_node_next(in->view, &at));) {
        struct texts t;

        same = texts_init(&t, in->policy, x, why);
        for (size_t k = 0; same && (g = view_node_next(in->view, &k));)
            same = check_classes(in->policy, x, g, why);
        for (size_t k = 0; same && (g = view_guest_next(in->view, &k));)
            same = check_pair(in, &t, x, g, why);
        texts_fini(&t);
    }
    for (size_t at = 0; same && (x = view_guest_next(in->view, &at));)
        for (size_t k = 0; same && (g = view_guest_next(in->view, &k));)
            same = (!policy_sees(in->policy, x->id, g->id) || differs(why, "guests see guests")) &&
                   check_classes(in->policy, x, g, why);
    return same;
}

bool decisions_guests_agree(const struct decisions *in, char why[DECISIONS_WHY])
{
    AUTO(view_unref) const struct tailnet_view *rest = view_without_held(in->view);
    struct decisions of = *in;
    char held[HELD_WHY];

    of.view = rest;
    return (held_are_left_out(in->policy, in->view, held) || differs(why, "%s", held)) &&
           agree(&of, why);
}

/* ---- One policy and another ---- */

static bool same_pair(const struct policy *a, const struct policy *b, const struct node *x,
                      const struct node *g, bool same_routers, char why[DECISIONS_WHY])
{
    struct ip_prefix r[ROUTES_MAX], s[ROUTES_MAX];
    size_t n_r = policy_peer_routes(a, x->id, g->id, r, ROUTES_MAX);
    size_t n_s = policy_peer_routes(b, x->id, g->id, s, ROUTES_MAX);
    bool same = n_r == n_s;

    if (policy_sees(a, x->id, g->id) != policy_sees(b, x->id, g->id))
        return differs(why, "%llu sees guest %llu or not", id_of(x), id_of(g));
    for (size_t i = 0; same && i < n_r; i++)
        same = ip_prefix_eq(r[i], s[i]);
    return same || !same_routers ||
           differs(why, "routes of guest %llu for %llu: %zu, %zu", id_of(g), id_of(x), n_r, n_s);
}

bool decisions_guests_same(const struct policy *a, const struct policy *b,
                           const struct tailnet_view *v, char why[DECISIONS_WHY])
{
    const struct node *x, *g;

    for (size_t at = 0; (x = view_node_next(v, &at));)
        for (size_t k = 0; (g = view_guest_next(v, &k));) {
            if (!same_pair(a, b, x, g, true, why))
                return false;
            if (policy_would_reach(a, x->id, g->id) != policy_would_reach(b, x->id, g->id) ||
                policy_would_reach(a, g->id, x->id) != policy_would_reach(b, g->id, x->id))
                return differs(why, "whether rules let %llu and %llu meet", id_of(x), id_of(g));
            if (!check_classes(a, x, g, why))
                return false;
        }
    if (policy_router_count(a) != policy_router_count(b) ||
        policy_is_open(a) != policy_is_open(b) || policy_document(a) != policy_document(b))
        return differs(why, "routers, openness or document");
    return true;
}

bool decisions_guests_lineage_holds(const struct policy *before, const struct policy *after,
                                    const struct tailnet_view *view_before,
                                    const struct tailnet_view *view_after, char why[DECISIONS_WHY])
{
    bool same_routers = policy_mark_eq(policy_routes_mark(before), policy_routes_mark(after));
    const struct node *x, *g;

    if (!policy_same_lineage(before, after))
        return true;
    for (size_t at = 0; (x = view_node_next(view_after, &at));) {
        if (!view_node_find(view_before, x->id) ||
            policy_class_of(before, x->id) != policy_class_of(after, x->id))
            continue;
        for (size_t k = 0; (g = view_guest_next(view_after, &k));)
            if (view_guest_find(view_before, g->id) &&
                policy_class_of(before, g->id) == policy_class_of(after, g->id) &&
                !same_pair(before, after, x, g, same_routers, why))
                return false;
    }
    return true;
}
