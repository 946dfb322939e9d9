/* The checks go node by node; the texts of one node are parsed once. */

#include "decisions.h"

#include <stdio.h>

#include "decisions_words.h"
#include "model_client.h"
#include "naive.h"
#include "random_policy.h"
#include "without_held.h"

#define ROUTES_MAX 64

/* ---- Addresses worth trying ---- */

struct pool {
    struct ip_addr *items;
    size_t len;
};

static void pool_add(struct pool *p, struct ip_addr a)
{
    if (!ip_addr_is_set(a))
        return;
    p->items = mem_realloc_array(p->items, p->len + 1, sizeof(*p->items));
    p->items[p->len++] = a;
}

/* Both ends, and what is just outside. */
static void pool_add_range(struct pool *p, struct ip_range r)
{
    struct ip_addr a;

    pool_add(p, r.first);
    pool_add(p, r.last);
    if (ip_addr_prev(r.first, &a))
        pool_add(p, a);
    if (ip_addr_next(r.last, &a))
        pool_add(p, a);
}

static void pool_add_fixed(struct pool *p)
{
    static const char *const ranges[] = {
        "100.115.92.0/23", "100.64.0.0/10",  "fd7a:115c:a1e0::/48", "8.8.8.8",     "10.0.0.0/8",
        "172.16.0.0/12",   "192.168.0.0/16", "169.254.0.0/16",      "2000::/3",    "1.1.1.0/24",
        "10.1.2.0/25",     "10.33.0.9",      "192.168.1.77",        "fd00:1::/48", "0.0.0.0/0"};

    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        struct ip_range r;

        if (ip_range_parse_any(str_from(ranges[i]), &r))
            pool_add_range(p, r);
    }
}

static void pool_init(struct pool *p, const struct decisions *in)
{
    const struct node *n;

    *p = (struct pool){0};
    pool_add_fixed(p);
    for (size_t at = 0; (n = view_node_next(in->view, &at));)
        for (size_t i = 0; i < n->facts->n_routes; i++)
            pool_add_range(p, ip_range_of_prefix(n->facts->routes[i]));
    for (size_t i = 0; in->document && i < in->document->n_selectors; i++) {
        const struct policy_selector *s = in->document->selectors[i];

        if (ip_prefix_is_set(s->prefix))
            pool_add_range(p, ip_range_of_prefix(s->prefix));
        for (size_t k = 0; s->ipset && k < s->ipset->set.len; k++)
            pool_add_range(p, s->ipset->set.ranges[k]);
    }
}

static const struct node *owner_of(const struct tailnet_view *v, struct ip_addr a)
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(v, &at));)
        if (naive_owns(n, a))
            return n;
    return NULL;
}

static struct ip_addr some_address(const struct decisions *in, const struct pool *p)
{
    size_t n = view_node_count(in->view), at = 0;
    const struct node *node = NULL;

    if (n == 0 || random_chance(in->rand, 35))
        return p->items[random_below(in->rand, p->len)];
    for (uint64_t skip = random_below(in->rand, n) + 1; skip > 0; skip--)
        node = view_node_next(in->view, &at);
    struct ip_addr a = random_chance(in->rand, 60) ? node->v4 : node->v6;
    return ip_addr_is_set(a) ? a : ip_addr_is_set(node->v4) ? node->v4 : node->v6;
}

/* Whether a packet to dst can arrive at the node at all. */
static bool arrives(const struct tailnet_view *v, const struct node *n, struct ip_addr dst)
{
    if (naive_owns(n, dst))
        return true;
    for (size_t i = 0; i < n->facts->n_routes; i++)
        if (naive_has_route(n, n->facts->routes[i]) && ip_prefix_contains(n->facts->routes[i], dst))
            return !owner_of(v, dst);
    return false;
}

/* What comes from there is decisions_guests.c's to judge. */
static bool is_guests(const struct tailnet_view *v, struct ip_addr a)
{
    const struct node *n;

    for (size_t at = 0; (n = view_guest_next(v, &at));)
        if (naive_owns(n, a))
            return true;
    return false;
}

/* One that arrives there, if one can be found. */
static struct ip_addr some_destination(const struct decisions *in, const struct pool *p,
                                       const struct node *n)
{
    if (n->facts->n_routes > 0 && random_chance(in->rand, 60))
        for (int tries = 0; tries < 50; tries++) {
            struct ip_addr a = p->items[random_below(in->rand, p->len)];

            if (arrives(in->view, n, a))
                return a;
        }
    if (ip_addr_is_set(n->v4) && (!ip_addr_is_set(n->v6) || random_chance(in->rand, 50)))
        return n->v4;
    return n->v6;
}

/* ---- Filters ---- */

struct checked_node {
    const struct decisions *in;
    const struct node *node;
    const struct pool *pool;
    struct naive_rules rules;
    struct model_filter canonical;
    struct model_filter compact;
};

static void parse_filter(const struct decisions *in, const struct node *n, enum policy_form form,
                         struct model_filter *out)
{
    struct buf text = BUF((size_t)1 << 30);

    policy_put_filter(in->policy, n->id, form, &text);
    model_filter_parse(out, buf_str(&text));
    buf_fini(&text);
}

/* The sender as node n knows it: only a peer it sees has capabilities, and only by the addresses it
 * is shown. */
static void peer_init(struct model_peer *peer, const struct decisions *in, const struct node *n,
                      struct ip_addr src)
{
    const struct node *owner = owner_of(in->view, src);

    *peer = (struct model_peer){.addr = src};
    if (owner && owner != n && policy_sees(in->policy, n->id, owner->id))
        model_cap_names(policy_peer_caps(in->policy, owner->id), &peer->caps);
}

/* Not by an address that is shown to nobody. */
static bool is_askable(const struct decisions *in, const struct node *n, struct ip_addr src)
{
    const struct node *owner = owner_of(in->view, src);

    if (!owner || src.family != IP_V4)
        return true;
    return !policy_hides_ipv4(in->policy, n->id) && !policy_hides_ipv4(in->policy, owner->id);
}

static bool check_packet(const struct checked_node *c, struct ip_addr src, struct ip_addr dst,
                         int proto, uint16_t port, char why[DECISIONS_WHY])
{
    bool want = naive_rules_allow(&c->rules, src, dst, proto, port);
    struct model_peer peer;
    char a[64], b[64];

    peer_init(&peer, c->in, c->node, src);
    bool canonical = model_filter_allows(&c->canonical, &peer, dst, proto, port);
    bool compact = model_filter_allows(&c->compact, &peer, dst, proto, port);
    str_list_free(&peer.caps);
    if (canonical != want)
        return differs(why,
                       "canonical filter of node %llu: %s -> %s proto %d port %u: %s, naive %s",
                       id_of(c->node), text_of(src, a), text_of(dst, b), proto, port,
                       canonical ? "in" : "out", want ? "in" : "out");
    /* Nobody sends to himself through the net; and no cap: source is oneself. */
    if (compact != want && !naive_owns(c->node, src) && is_askable(c->in, c->node, src))
        return differs(why, "compact filter of node %llu: %s -> %s proto %d port %u: %s, naive %s",
                       id_of(c->node), text_of(src, a), text_of(dst, b), proto, port,
                       compact ? "in" : "out", want ? "in" : "out");
    return true;
}

static bool check_packets(const struct checked_node *c, char why[DECISIONS_WHY])
{
    static const uint16_t ports[] = {0,   1,    21,  22,   23,   79,   80,   81,   90,    91,   442,
                                     443, 8080, 999, 1000, 1023, 1024, 2000, 2001, 65534, 65535};
    static const int protos[] = {6, 6, 6, 6, 17, 17, 1, 58, 132, 47, 99, 50};
    struct rand_seeded *r = c->in->rand;
    size_t n = c->in->packets ? c->in->packets : 40;

    for (size_t i = 0; i < n; i++) {
        struct ip_addr src = some_address(c->in, c->pool);
        struct ip_addr dst = some_destination(c->in, c->pool, c->node);
        int proto = protos[random_below(r, ARRAY_LEN(protos))];
        uint16_t port = ports[random_below(r, ARRAY_LEN(ports))];

        if (src.family != dst.family && random_chance(r, 95))
            src = some_address(c->in, c->pool);
        if (!is_guests(c->in->view, src) && !check_packet(c, src, dst, proto, port, why))
            return false;
    }
    return true;
}

static bool check_cap(const struct checked_node *c, struct ip_addr src, struct ip_addr dst,
                      char why[DECISIONS_WHY])
{
    struct model_peer peer;
    bool same = true;
    char a[64];

    if (!ip_addr_is_set(src) || !ip_addr_is_set(dst))
        return true;
    peer_init(&peer, c->in, c->node, src);
    for (size_t i = 0; i < random_n_caps && same; i++) {
        struct str cap = str_from(random_caps[i]);
        bool want = naive_rules_have_cap(&c->rules, src, dst, cap);
        bool canonical = model_filter_has_cap(&c->canonical, &peer, dst, cap);
        bool compact = model_filter_has_cap(&c->compact, &peer, dst, cap);

        same = canonical == want &&
               (compact == want || naive_owns(c->node, src) || !is_askable(c->in, c->node, src));
        if (!same)
            (void)differs(why, "%s from %s at node %llu: canonical %s, compact %s, naive %s",
                          random_caps[i], text_of(src, a), id_of(c->node),
                          canonical ? "has" : "has not", compact ? "has" : "has not",
                          want ? "has" : "has not");
    }
    str_list_free(&peer.caps);
    return same;
}

static bool check_caps(const struct checked_node *c, char why[DECISIONS_WHY])
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(c->in->view, &at));)
        if (!check_cap(c, n->v4, c->node->v4, why) || !check_cap(c, n->v6, c->node->v6, why))
            return false;
    return true;
}

static bool check_filter(const struct decisions *in, const struct pool *pool, const struct node *n,
                         char why[DECISIONS_WHY])
{
    struct checked_node c = {.in = in, .node = n, .pool = pool};
    bool same = true;

    naive_rules_init(&c.rules, in->document, in->view, n);
    parse_filter(in, n, POLICY_CANONICAL, &c.canonical);
    parse_filter(in, n, POLICY_COMPACT, &c.compact);
    if (c.canonical.complaint[0] || c.compact.complaint[0])
        same = differs(why, "filter of node %llu: %s%s", id_of(n), c.canonical.complaint,
                       c.compact.complaint);
    same = same && check_packets(&c, why) && check_caps(&c, why);
    model_filter_fini(&c.canonical);
    model_filter_fini(&c.compact);
    naive_rules_fini(&c.rules);
    return same;
}

/* The explanation begins with the decision. */
static bool check_explain(const struct decisions *in, struct ip_addr src, struct ip_addr dst,
                          bool want, char why[DECISIONS_WHY])
{
    struct buf out = BUF(0);
    struct err err;
    char a[64], b[64];
    int status = policy_explain(in->policy, in->view, str_from(text_of(src, a)),
                                str_from(text_of(dst, b)), 443, 6, &out, &err);
    bool same = status == 0 && str_starts(buf_str(&out), want ? STR("ALLOWED") : STR("DENIED"));

    if (!same)
        (void)differs(why, "explaining %s -> %s tcp 443, naive %s: %.*s", a, b, want ? "yes" : "no",
                      STR_ARG(buf_str(&out)));
    buf_fini(&out);
    return same;
}

/* policy_allows is about whoever dst belongs to or is routed by. */
static bool check_allows(const struct decisions *in, const struct pool *pool,
                         char why[DECISIONS_WHY])
{
    for (int i = 0; i < 30; i++) {
        struct ip_addr src = some_address(in, pool), dst = some_address(in, pool);
        bool want = naive_allows(in->document, in->view, src, dst, 6, 443);
        char a[64], b[64];

        if (is_guests(in->view, src) || is_guests(in->view, dst))
            continue;
        if (policy_allows(in->policy, src, dst, 6, 443) != want)
            return differs(why, "policy_allows %s -> %s tcp 443: %s, naive %s", text_of(src, a),
                           text_of(dst, b), want ? "no" : "yes", want ? "yes" : "no");
        if (src.family == dst.family && owner_of(in->view, src) && owner_of(in->view, dst) &&
            owner_of(in->view, src) != owner_of(in->view, dst) &&
            !check_explain(in, src, dst, want, why))
            return false;
    }
    return true;
}

/* ---- Peers and routes ---- */

static void put_prefixes(struct buf *out, const struct ip_prefix *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_put(out, i ? STR(" ") : STR_NONE);
        ip_prefix_put(out, p[i]);
    }
}

static bool check_routes(const struct decisions *in, const struct node *viewer,
                         const struct node *peer, char why[DECISIONS_WHY])
{
    struct ip_prefix got[ROUTES_MAX], want[ROUTES_MAX];
    size_t n_got = policy_peer_routes(in->policy, viewer->id, peer->id, got, ROUTES_MAX);
    size_t n_want = naive_peer_routes(in->document, in->view, viewer, peer, want, ROUTES_MAX);
    bool same = n_got == n_want, after_exit = false, in_order = true;

    for (size_t i = 0; i < n_got && same; i++) {
        same = ip_prefix_in(want, n_want, got[i]);
        in_order = in_order && (!after_exit || ip_prefix_is_exit(got[i]));
        after_exit = after_exit || ip_prefix_is_exit(got[i]);
    }
    if (same && !policy_has_routes(in->policy, peer->id) && n_got > 0) {
        size_t served = 0;

        for (size_t i = 0; i < peer->facts->n_routes; i++)
            served += naive_is_served(peer, peer->facts->routes[i]) ||
                      (ip_prefix_is_exit(peer->facts->routes[i]) &&
                       naive_has_route(peer, peer->facts->routes[i]));
        if (n_got != served)
            return differs(why,
                           "node %llu has no routes that depend on the viewer, yet %llu sees "
                           "%zu of %zu",
                           id_of(peer), id_of(viewer), n_got, served);
    }
    if (same && in_order)
        return true;
    struct buf text = BUF(0);
    buf_printf(&text, "routes of %llu that %llu sees: ", id_of(peer), id_of(viewer));
    put_prefixes(&text, got, MIN(n_got, (size_t)ROUTES_MAX));
    buf_put(&text, STR(", naive: "));
    put_prefixes(&text, want, MIN(n_want, (size_t)ROUTES_MAX));
    (void)differs(why, "%.*s%s", STR_ARG(buf_str(&text)),
                  in_order ? "" : " (exit routes not last)");
    buf_fini(&text);
    return false;
}

static bool check_pair(const struct decisions *in, const struct node *a, const struct node *b,
                       char why[DECISIONS_WHY])
{
    bool got = policy_sees(in->policy, a->id, b->id);

    if (got != policy_sees(in->policy, b->id, a->id))
        return differs(why, "of %llu and %llu only one sees the other", id_of(a), id_of(b));
    if (got != naive_sees(in->document, in->view, a, b))
        return differs(why, "%llu and %llu: %s, naive disagrees", id_of(a), id_of(b),
                       got ? "peers" : "no peers");
    /* The policy of a tailnet that was given none knows no nodes: whoever asks sees it is open. */
    if (policy_is_open(in->policy))
        return true;
    return check_routes(in, a, b, why) && check_routes(in, b, a, why);
}

/* All that a class sees at once is what is said of it and each other class. */
static bool check_row(const struct decisions *in, uint32_t cls, char why[DECISIONS_WHY])
{
    size_t n = policy_class_count(in->policy) + 1;
    size_t below = 1 + random_below(in->rand, n + 4);
    uint8_t *row = mem_alloc(n / 4 + 2);
    bool fine = true;

    policy_class_sights(in->policy, cls, row, below);
    for (uint32_t b = 0; b < n + 4 && fine; b++) {
        unsigned got = (unsigned)row[b / 4] >> b % 4 * 2 & 3;
        unsigned want = b < MIN(n, below) ? policy_class_sight(in->policy, cls, b) + 1u : 0;

        if (got != want)
            fine = differs(why, "classes %u and %u: %u at once, else %u", cls, b, got, want);
    }
    mem_free(row);
    return fine;
}

static bool check_rows(const struct decisions *in, char why[DECISIONS_WHY])
{
    if (policy_is_open(in->policy))
        return true;
    for (uint32_t cls = 0; cls <= policy_class_count(in->policy); cls++)
        if (!check_row(in, cls, why))
            return false;
    return true;
}

/* ---- SSH ---- */

static bool check_ssh_pair(const struct decisions *in, const struct node *src,
                           const struct node *dst, struct str text, char why[DECISIONS_WHY])
{
    static const char *const words[] = {"none", "accept", "check", "broken"};
    struct ip_addr from =
        !ip_addr_is_set(src->v4) || (ip_addr_is_set(src->v6) && random_chance(in->rand, 30))
            ? src->v6
            : src->v4;

    for (size_t i = 0; i < random_n_logins; i++) {
        struct str login = str_from(random_logins[i]);
        int got = (int)model_ssh(text, from, login);
        int want = (int)naive_ssh(in->document, in->view, src, dst, login);

        if (got != want)
            return differs(why, "ssh from %llu to %s at %llu: %s, naive %s: %.*s", id_of(src),
                           random_logins[i], id_of(dst), words[got], words[want], STR_ARG(text));
    }
    int64_t got = policy_ssh_check_ms(in->policy, src->id, dst->id);
    int64_t want = naive_ssh_check_ms(in->document, in->view, src, dst);
    if (got != want)
        return differs(why, "ssh check period from %llu to %llu: %lld, naive %lld", id_of(src),
                       id_of(dst), (long long)got, (long long)want);
    struct buf action = BUF(0);
    bool answers = policy_put_ssh_accept(in->policy, src->id, dst->id, &action);
    bool is_empty = action.len == 0;
    buf_fini(&action);
    if (answers != (want >= 0) || is_empty == answers)
        return differs(why, "what an approved log-in from %llu to %llu is answered", id_of(src),
                       id_of(dst));
    return true;
}

static bool check_ssh(const struct decisions *in, const struct node *dst, char why[DECISIONS_WHY])
{
    struct buf text = BUF(0);
    const struct node *src;
    bool same = true;

    policy_put_ssh(in->policy, dst->id, STR("https://h"), &text);
    for (size_t at = 0; same && (src = view_node_next(in->view, &at));)
        same = check_ssh_pair(in, src, dst, buf_str(&text), why);
    buf_fini(&text);
    return same;
}

/* ---- Attributes ---- */

static bool check_attrs(const struct decisions *in, const struct node *n, char why[DECISIONS_WHY])
{
    const struct str *names = NULL;
    size_t n_names = policy_attrs(in->policy, n->id, &names), n_want = 0;
    struct str_list caps;

    for (size_t i = 0; i < random_n_attrs; i++) {
        struct str name = str_from(random_attrs[i]);
        bool want = naive_has_attr(in->document, in->view, n, name);

        n_want += want;
        if (policy_has_attr(in->policy, n->id, name) != want)
            return differs(why, "attribute %s of %llu: naive %s", random_attrs[i], id_of(n),
                           want ? "has it" : "has it not");
    }
    for (size_t i = 1; i < n_names; i++)
        if (str_cmp(names[i - 1], names[i]) >= 0)
            return differs(why, "attributes of %llu are not sorted", id_of(n));
    if (n_names != n_want)
        return differs(why, "node %llu has %zu attributes, naive %zu", id_of(n), n_names, n_want);
    if (policy_hides_ipv4(in->policy, n->id) !=
        naive_has_attr(in->document, in->view, n, STR("disable-ipv4")))
        return differs(why, "node %llu: IPv4 hidden or not", id_of(n));

    model_cap_names(policy_peer_caps(in->policy, n->id), &caps);
    bool suggested = str_list_has(&caps, STR("suggest-exit-node"));
    str_list_free(&caps);
    /* In the captures peers see it of every approved exit node, with the attribute or without. */
    if (in->document && suggested != naive_is_exit(n))
        return differs(why, "peers of %llu: suggest-exit-node %s", id_of(n),
                       suggested ? "is there" : "is missing");
    return true;
}

/* ---- All of it ---- */

static bool agree(const struct decisions *in, char why[DECISIONS_WHY])
{
    const struct node *a, *b;
    struct pool pool;
    bool same = true;

    pool_init(&pool, in);
    for (size_t at = 0; same && (a = view_node_next(in->view, &at));) {
        same = check_filter(in, &pool, a, why) && check_ssh(in, a, why) && check_attrs(in, a, why);
        for (size_t k = at; same && (b = view_node_next(in->view, &k));)
            same = check_pair(in, a, b, why);
    }
    same = same && check_rows(in, why) && (!in->document || check_allows(in, &pool, why));
    mem_free(pool.items);
    return same;
}

bool decisions_agree(const struct decisions *in, char why[DECISIONS_WHY])
{
    AUTO(view_unref) const struct tailnet_view *rest = view_without_held(in->view);
    struct decisions of = *in;
    char held[HELD_WHY];

    why[0] = '\0';
    of.view = rest;
    if (policy_is_open(in->policy) != (!in->document && view_guest_count(in->view) == 0))
        return differs(why, "open while guests are there, or not open without");
    return (held_are_left_out(in->policy, in->view, held) || differs(why, "%s", held)) &&
           agree(&of, why);
}

static bool check_approvals(const struct policy_document *d, const struct tailnet_view *v,
                            const struct node *n, char why[DECISIONS_WHY])
{
    const struct user *owner = view_user_find(v, n->user);

    for (size_t i = 0; i < random_n_routes + 2; i++) {
        const char *text = i < random_n_routes    ? random_routes[i]
                           : i == random_n_routes ? "0.0.0.0/0"
                                                  : "::/0";
        struct ip_prefix p;

        ASSERT(ip_prefix_parse(str_from(text), &p));
        bool want = naive_approves_route(d, n, owner, p);
        if (policy_approves_route(d, n, owner, p) != want)
            return differs(why, "route %s of node %llu: naive says %s", text, id_of(n),
                           want ? "approved" : "not approved");
    }
    return true;
}

static bool check_tag(const struct policy_document *d, const struct user *u, const struct node *n,
                      char why[DECISIONS_WHY])
{
    for (size_t i = 0; i < random_n_tags; i++) {
        struct str tag = str_printf("tag:%s", random_tags[i]);
        bool want = naive_may_request_tag(d, u, n, tag);
        bool got = policy_tag_may_be_requested(d, u, n, tag);

        str_free(&tag);
        if (got != want)
            return differs(why, "tag:%s for user %llu, node %llu: naive says %s", random_tags[i],
                           u ? (unsigned long long)u->id : 0, n ? id_of(n) : 0,
                           want ? "may" : "may not");
    }
    return true;
}

bool decisions_approvals_agree(const struct policy_document *d, const struct tailnet_view *v,
                               char why[DECISIONS_WHY])
{
    size_t n_users = 0;
    const struct user *const *users = view_users(v, &n_users);
    const struct node *n;

    why[0] = '\0';
    for (size_t at = 0; (n = view_node_next(v, &at));)
        if (!check_approvals(d, v, n, why) || !check_tag(d, view_user_find(v, n->user), n, why))
            return false;
    for (size_t i = 0; i < n_users; i++)
        if (!check_tag(d, users[i], NULL, why))
            return false;
    return true;
}
