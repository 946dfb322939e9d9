/*
 * Ways: what lies between a moment and the aim, as far as it is the same for everyone who walks
 * it. Found out once, when the first stream comes along.
 *
 * Nodes fall in two parts. Those that something happened to, and those whose routes may have moved,
 * are in the span and judged one by one. All others can be news to a viewer only because a policy
 * is: they are judged by class, as shifts, and only where the policies are not of one lineage or
 * the viewer itself is of another class now.
 */

#include "core/mem.h"
#include "netmap/netmap_internal.h"
#include "json/writer.h"

struct netmap_eye netmap_eye_of(const struct policy *p, node_id viewer)
{
    return (struct netmap_eye){.cls = policy_class_of(p, viewer),
                               .user = policy_sight_user(p, viewer)};
}

/* ---- Making one ---- */

/* Who serves a route may move without anything else of either node moving. */
static void add_routers(struct netmap_way *w, const struct policy *p)
{
    struct netmap_span *s = &w->span;
    size_t n = policy_router_count(p), were = s->n_nodes;
    struct netmap_touched *all;

    if (n == 0)
        return;
    all = mem_alloc_array(were + n, sizeof *all);
    s->n_nodes = 0;
    for (size_t i = 0, k = 0; i < were || k < n;) {
        node_id router = k < n ? policy_router_at(p, k) : UINT64_MAX;

        if (i < were && s->nodes[i].id <= router) {
            k += s->nodes[i].id == router;
            all[s->n_nodes++] = s->nodes[i++];
        } else {
            all[s->n_nodes++] = (struct netmap_touched){.id = router};
            k++;
        }
    }
    mem_free(s->nodes);
    s->nodes = all;
}

struct netmap_subject netmap_way_subject(const struct netmap_way *w, node_id id)
{
    struct netmap_subject s = {.id = id,
                               .old = view_any_find(w->old, id),
                               .now = view_any_find(w->now, id),
                               .old_cls = policy_class_of(w->before, id),
                               .now_cls = policy_class_of(w->after, id),
                               .old_user = policy_sight_user(w->before, id),
                               .now_user = policy_sight_user(w->after, id)};

    s.routes_vary = (s.old && netmap_routes_vary(w->before, s.old)) ||
                    (s.now && netmap_routes_vary(w->after, s.now));
    s.hides_v4 = s.now && policy_class_hides_ipv4(w->after, s.now_cls);
    s.is_guest = (s.now && s.now->tailnet != view_info(w->now)->id) ||
                 (s.old && s.old->tailnet != view_info(w->old)->id);
    return s;
}

static void find_subjects(struct netmap_way *w)
{
    w->subjects = mem_alloc_array(w->span.n_nodes, sizeof *w->subjects);
    for (size_t i = 0; i < w->span.n_nodes; i++) {
        w->subjects[i] = netmap_way_subject(w, w->span.nodes[i].id);
        w->subjects[i].place = (uint32_t)i;
    }
}

struct rank {
    uint64_t rank;
    size_t at;
};

static int by_rank(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Whole cards first, as those of newcomers are; then by how many hear of it, then by who. */
static uint64_t rank_of(const struct netmap_way *w, const struct netmap_subject *s, unsigned mask)
{
    unsigned fame = netmap_fame(&w->feed->sights, w->after, s->now_cls);
    uint64_t kind = !s->now ? 3 : !s->old ? 0 : (mask & ~(unsigned)NODE_PATCHABLE) ? 1 : 2;

    return kind << 62 | (uint64_t)(UINT16_MAX - fame) << 32 |
           policy_sight_class(w->after, s->now_cls);
}

static void find_places(struct netmap_way *w)
{
    struct rank *ranks = mem_alloc_array(w->span.n_nodes, sizeof *ranks);

    for (size_t i = 0; i < w->span.n_nodes; i++)
        ranks[i] = (struct rank){rank_of(w, &w->subjects[i], w->span.nodes[i].mask), i};
    if (w->span.n_nodes)
        qsort(ranks, w->span.n_nodes, sizeof *ranks, by_rank);
    for (size_t i = 0; i < w->span.n_nodes; i++)
        w->subjects[ranks[i].at].place = (uint32_t)i;
    mem_free(ranks);
}

static int by_owner(const void *a, const void *b)
{
    const struct netmap_owned *x = a, *y = b;

    return (x->user > y->user) - (x->user < y->user);
}

static void find_owned(struct netmap_way *w)
{
    w->owned = mem_alloc_array(w->span.n_nodes * 2, sizeof *w->owned);
    for (size_t i = 0; i < w->span.n_nodes; i++) {
        const struct netmap_subject *x = &w->subjects[i];

        if (x->old_user)
            w->owned[w->n_owned++] = (struct netmap_owned){x->old_user, x->id};
        if (x->now_user && x->now_user != x->old_user)
            w->owned[w->n_owned++] = (struct netmap_owned){x->now_user, x->id};
    }
    if (w->n_owned)
        qsort(w->owned, w->n_owned, sizeof *w->owned, by_owner);
}

bool netmap_way_owns(const struct netmap_way *w, user_id user)
{
    const struct netmap_owned key = {.user = user};

    return w->n_owned && bsearch(&key, w->owned, w->n_owned, sizeof key, by_owner);
}

static void find_renamed(struct netmap_way *w)
{
    struct view_any_at at = {0};
    const struct node *n;

    if (w->span.n_users == 0)
        return;
    w->renamed =
        mem_alloc_array(view_node_count(w->now) + view_guest_count(w->now), sizeof *w->renamed);
    while ((n = view_any_next(w->now, &at)))
        if (n->user && netmap_ids_have(w->span.users, w->span.n_users, n->user))
            w->renamed[w->n_renamed++] = (struct netmap_owned){n->user, n->id};
}

static bool texts_differ(struct buf *a, struct buf *b)
{
    bool differ = !str_eq(buf_str(a), buf_str(b));

    buf_fini(a);
    buf_fini(b);
    return differ;
}

static bool caps_differ(const struct tailnet_info *old, const struct tailnet_info *now)
{
    struct buf a = BUF(0), b = BUF(0);

    netmap_put_caps(&a, old);
    netmap_put_caps(&b, now);
    return texts_differ(&a, &b);
}

static bool derp_map_differs(const struct netmap_way *w)
{
    struct buf a = BUF(0), b = BUF(0);

    netmap_put_derp_map(&a, view_info(w->old), w->before, NULL);
    netmap_put_derp_map(&b, view_info(w->now), w->after, NULL);
    return texts_differ(&a, &b);
}

static bool dns_differs(const struct tailnet_info *old, const struct tailnet_info *now)
{
    struct buf a = BUF(0), b = BUF(0);

    netmap_put_dns(&a, old, NULL, NULL);
    netmap_put_dns(&b, now, NULL, NULL);
    return texts_differ(&a, &b);
}

static enum policy_cgnat_route hint_of(const struct policy *p)
{
    const struct policy_document *d = policy_document(p);

    return d ? d->cgnat_route : CGNAT_DEFAULT;
}

static void find_tailnet(struct netmap_way *w)
{
    const struct tailnet_info *old = view_info(w->old), *now = view_info(w->now);
    struct json_writer out = MEMBERS_WRITER(&w->tailnet), common = MEMBERS_WRITER(&w->common);

    w->dns_is_own = netmap_dns_is_personal(old) || netmap_dns_is_personal(now);
    w->nodes_differ =
        (old != now && caps_differ(old, now)) || hint_of(w->before) != hint_of(w->after);
    if ((old != now || policy_document(w->before) != policy_document(w->after)) &&
        derp_map_differs(w)) {
        netmap_key(&common, STR("DERPMap"));
        netmap_put_derp_map(common.out, now, w->after, NULL);
    }
    if (old != now && !w->dns_is_own && dns_differs(old, now)) {
        netmap_key(&common, STR("DNSConfig"));
        netmap_put_dns(common.out, now, NULL, NULL);
    }
    if (old != now && !str_eq(old->domain, now->domain))
        json_field_str(&out, STR("Domain"), now->domain);
}

/* Whether the home relay and the endpoints of one node changed. */
static bool moves_twice(const struct netmap_span *s)
{
    for (size_t i = 0; i < s->n_nodes; i++)
        if ((s->nodes[i].mask & NODE_DERP) && (s->nodes[i].mask & NODE_ENDPOINTS))
            return true;
    return false;
}

/* What no list of relays and no name server has to do with. */
#define GUEST_PATCHES \
    (NODE_KEY | NODE_DISCO | NODE_ENDPOINTS | NODE_ONLINE | NODE_EXPIRY | NODE_CAPVER | NODE_UNTOLD)

/* Nobody says of the tailnet a guest comes from that it changed. */
static bool guest_homes_differ(const struct netmap_way *w)
{
    tailnet_id last = 0;
    const struct node *g;

    for (size_t at = 0; (g = view_guest_next(w->now, &at));) {
        if (g->tailnet != last &&
            view_guest_info_find(w->old, g->tailnet) != view_guest_info_find(w->now, g->tailnet))
            return true;
        last = g->tailnet;
    }
    return false;
}

static bool guests_differ(const struct netmap_way *w)
{
    for (size_t i = 0; i < w->span.n_nodes; i++) {
        const struct netmap_subject *s = &w->subjects[i];

        if (s->is_guest &&
            (!s->old || !s->now || (w->span.nodes[i].mask & ~(unsigned)GUEST_PATCHES)))
            return true;
    }
    return w->common.len > 0 || guest_homes_differ(w);
}

static struct netmap_way *way_new(struct netmap_feed *f, const struct netmap_moment *m)
{
    struct netmap_way *w = NEW(struct netmap_way);

    w->feed = f;
    w->old = m->view;
    w->now = f->aim ? f->aim->view : f->view;
    w->before = m->policy;
    w->after = f->aim ? f->aim->policy : f->policy;
    w->tailnet = BUF(NETMAP_MESSAGE_MAX);
    w->common = BUF(NETMAP_MESSAGE_MAX);
    w->has_guests = view_guest_count(w->old) || view_guest_count(w->now);
    w->one_lineage = policy_same_lineage(w->before, w->after);
    netmap_feed_span(f, m->revision, view_revision(w->now), &w->span);
    if (w->before != w->after &&
        !policy_mark_eq(policy_routes_mark(w->before), policy_routes_mark(w->after))) {
        add_routers(w, w->before);
        add_routers(w, w->after);
    }
    find_subjects(w);
    if (policy_class_count(w->after) > f->limits.loose_classes)
        find_places(w);
    if (!policy_is_open(w->before) || !policy_is_open(w->after))
        find_owned(w);
    find_renamed(w);
    find_tailnet(w);
    w->moves_twice = moves_twice(&w->span);
    w->guests_differ = w->has_guests && guests_differ(w);
    w->is_quiet = w->before == w->after && view_info(w->old) == view_info(w->now) &&
                  w->span.n_users == 0 && !w->guests_differ;
    w->is_calm = w->one_lineage && !w->nodes_differ && w->span.n_users == 0 && !w->guests_differ &&
                 (!w->dns_is_own || view_info(w->old) == view_info(w->now));
    return w;
}

struct netmap_way *netmap_feed_way(struct netmap_feed *f, struct netmap_moment *m)
{
    if (!m->way)
        m->way = way_new(f, m);
    return m->way;
}

void netmap_way_free(struct netmap_way *w)
{
    if (!w)
        return;
    netmap_way_drop_bodies(w);
    for (size_t i = 0; i < w->span.n_nodes; i++)
        netmap_loose_free(w->subjects[i].loose);
    mem_free(w->subjects);
    mem_free(w->places);
    mem_free(w->slots);
    netmap_span_fini(&w->span);
    buf_fini(&w->tailnet);
    buf_fini(&w->common);
    mem_free(w->owned);
    mem_free(w->renamed);
    mem_free(w->shifts);
    mem_free(w->shifted);
    mem_free(w->varying);
    mem_free(w);
}

/* ---- Shifts ---- */

struct shifted {
    uint32_t old, now;
    const struct node *node;
};

static int by_classes(const void *a, const void *b)
{
    const struct shifted *x = a, *y = b;

    if (x->old != y->old)
        return x->old < y->old ? -1 : 1;
    if (x->now != y->now)
        return x->now < y->now ? -1 : 1;
    return (x->node->id > y->node->id) - (x->node->id < y->node->id);
}

/* Where routes vary a class says too little: those are left to be judged one by one. */
static size_t gather_shifted(struct netmap_way *w, struct shifted *all)
{
    const struct node *n;
    size_t at = 0, len = 0;

    while ((n = view_node_next(w->now, &at))) {
        if (netmap_span_find(&w->span, n->id))
            continue;
        if (netmap_routes_vary(w->before, n) || netmap_routes_vary(w->after, n))
            w->varying[w->n_varying++] = n->id;
        else
            all[len++] = (struct shifted){policy_class_of(w->before, n->id),
                                          policy_class_of(w->after, n->id), n};
    }
    if (len)
        qsort(all, len, sizeof *all, by_classes);
    return len;
}

struct str netmap_caps_patch(struct str was, struct str is)
{
    if (str_eq(was, is))
        return STR_NONE;
    return is.len ? is : STR("{}");
}

static struct netmap_shift shift_of(const struct netmap_way *w, uint32_t old, uint32_t now)
{
    return (struct netmap_shift){
        .old = old,
        .now = now,
        .caps =
            netmap_caps_patch(policy_class_caps(w->before, old), policy_class_caps(w->after, now)),
        .hid = policy_class_hides_ipv4(w->before, old),
        .hides = policy_class_hides_ipv4(w->after, now),
    };
}

static void cut_shifts(struct netmap_way *w, const struct shifted *all, size_t len)
{
    struct netmap_shift *last = NULL;

    w->shifts = mem_alloc_array(len, sizeof *w->shifts);
    w->shifted = mem_alloc_array(len, sizeof *w->shifted);
    for (size_t i = 0; i < len; i++) {
        if (!last || last->old != all[i].old || last->now != all[i].now) {
            last = &w->shifts[w->n_shifts++];
            *last = shift_of(w, all[i].old, all[i].now);
            last->from = i;
        }
        last->len++;
        w->shifted[i] = all[i].node;
    }
}

void netmap_way_shifts(struct netmap_way *w)
{
    struct shifted *all;
    size_t len;

    if (w->has_shifts)
        return;
    w->has_shifts = true;
    w->varying = mem_alloc_array(view_node_count(w->now), sizeof *w->varying);
    all = mem_alloc_array(view_node_count(w->now), sizeof *all);
    len = gather_shifted(w, all);
    cut_shifts(w, all, len);
    mem_free(all);
}
