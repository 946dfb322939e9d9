/*
 * From one moment of a viewer's netmap to the next.
 *
 * For each node that something happened to: did the client hold it, and should it now?
 *
 *              should not             should
 *   held not   -                      whole card, and its owner's profile
 *   held       PeersRemoved           a patch if a patch can say it, else the card
 *
 * Clients turn a card back into patches where they can, and on the way lose what was unset before
 * (protocol.md 6.6); so a card for a peer that is held comes with a patch for its online state.
 * Patches are applied last, so the two agree.
 *
 * The viewer itself is told of itself only by a whole Node, and only of what it did not say itself.
 */

#include "netmap/netmap_internal.h"

#include "core/mem.h"
#include "netmap/encode.h"
#include "json/writer.h"

/* Parts of the viewer's own node that it must hear of. */
#define SELF_TOLD (NODE_NEW | NODE_CARD | NODE_KEY | NODE_EXPIRY)

enum { DO_REMOVE = 1, DO_CARD = 2, DO_PATCH = 4 };

struct verdict {
    node_id id;
    const struct node *node; /* as it is now; NULL when removed */
    unsigned act;
    unsigned patch;
};

struct delta {
    const struct netmap_step *step;
    const struct node *self_old;
    const struct node *self_now;
    struct verdict *verdicts;
    size_t n;
    user_id *profiles; /* 0: tagged-devices */
    size_t n_profiles;
    bool self;
    bool filter;
    bool ssh;
};

static bool step_is_open(const struct netmap_step *s)
{
    return policy_is_open(s->policy_old) && policy_is_open(s->policy_now);
}

static const struct node *peer_in(const struct policy *policy, const struct tailnet_view *view,
                                  const struct node *viewer, node_id id)
{
    const struct node *n = viewer->id == id ? NULL : view_node_find(view, id);

    return n && policy_sees(policy, viewer->id, id) ? n : NULL;
}

static void add_profile(struct delta *d, user_id id)
{
    for (size_t i = 0; i < d->n_profiles; i++)
        if (d->profiles[i] == id)
            return;
    if ((d->n_profiles & (d->n_profiles - 1)) == 0)
        d->profiles =
            mem_realloc_array(d->profiles, MAX(d->n_profiles * 2, (size_t)4), sizeof *d->profiles);
    d->profiles[d->n_profiles++] = id;
}

static bool last_seen_differs(const struct node *a, const struct node *b)
{
    return a->online != b->online || a->last_seen_ms != b->last_seen_ms;
}

static bool needs_card(const struct node *now, unsigned mask)
{
    if (mask & ~(unsigned)NODE_PATCHABLE)
        return true;
    /* A patch can neither say that a key is no longer expired nor that a number went back to none.
     */
    return (mask & NODE_EXPIRY) || ((mask & NODE_DERP) && now->home_derp == 0) ||
           ((mask & NODE_CAPVER) && now->capver == 0);
}

/* Whether what the policy says of the peer in this viewer's map is another thing now. */
static bool variant_differs(const struct netmap_step *s, const struct node *old,
                            const struct node *now)
{
    struct netmap_variant a, b;
    bool differs;

    if (s->policy_old == s->policy_now)
        return false;
    netmap_variant_of(s->policy_old, s->viewer, old, &a);
    netmap_variant_of(s->policy_now, s->viewer, now, &b);
    differs = !netmap_variant_eq(&a, &b);
    netmap_variant_fini(&a);
    netmap_variant_fini(&b);
    return differs;
}

static void judge_change(const struct netmap_step *s, const struct node *old,
                         const struct node *now, unsigned mask, struct verdict *v)
{
    bool other = variant_differs(s, old, now);

    mask &= ~(unsigned)NODE_UNTOLD;
    if (!other && (old == now || mask == 0))
        return;
    if (!other && !needs_card(now, mask)) {
        v->act = DO_PATCH;
        v->patch = mask;
        return;
    }
    if (!other && str_eq(netmap_card(old), netmap_card(now)))
        return;
    v->act = DO_CARD;
    if (last_seen_differs(old, now)) {
        v->act |= DO_PATCH;
        v->patch = NODE_ONLINE;
    }
}

static void judge(struct delta *d, node_id id, unsigned mask)
{
    const struct netmap_step *s = d->step;
    const struct node *old = peer_in(s->policy_old, s->old, d->self_old, id);
    const struct node *now = peer_in(s->policy_now, s->now, d->self_now, id);
    struct verdict v = {.id = id, .node = now};

    if (old && !now)
        v.act = DO_REMOVE;
    else if (!old && now)
        v.act = DO_CARD;
    else if (old && now)
        judge_change(s, old, now, mask, &v);
    if (v.act == 0)
        return;
    if ((v.act & DO_CARD) && (!old || old->user != now->user))
        add_profile(d, now->user);
    d->verdicts[d->n++] = v;
}

/* Whether what the policy says of pairs may have changed for any pair with this viewer. */
static bool sight_may_change(const struct delta *d)
{
    const struct netmap_step *s = d->step;

    if (s->policy_old == s->policy_now || step_is_open(s))
        return false;
    return !policy_same_lineage(s->policy_old, s->policy_now) ||
           d->self_old->user != d->self_now->user ||
           policy_class_of(s->policy_old, s->viewer) != policy_class_of(s->policy_now, s->viewer);
}

static bool routes_may_change(const struct netmap_step *s)
{
    return s->policy_old != s->policy_now &&
           !policy_mark_eq(policy_routes_mark(s->policy_old), policy_routes_mark(s->policy_now));
}

/* All nodes of both views, by rising id. */
static void judge_all(struct delta *d)
{
    const struct netmap_step *s = d->step;
    size_t at_old = 0, at_now = 0;
    const struct node *old = view_node_next(s->old, &at_old);
    const struct node *now = view_node_next(s->now, &at_now);

    while (old || now) {
        node_id id = !now || (old && old->id < now->id) ? old->id : now->id;
        const struct netmap_touched *t = netmap_span_find(s->span, id);

        judge(d, id, t ? t->mask : 0);
        if (old && old->id == id)
            old = view_node_next(s->old, &at_old);
        if (now && now->id == id)
            now = view_node_next(s->now, &at_now);
    }
}

static void judge_peers(struct delta *d)
{
    const struct netmap_step *s = d->step;
    bool all = sight_may_change(d);
    size_t max = all ? view_node_count(s->old) + view_node_count(s->now) : s->span->n_nodes;

    if (!all && routes_may_change(s))
        max += policy_router_count(s->policy_now);
    d->verdicts = mem_alloc_array(max, sizeof *d->verdicts);
    if (all) {
        judge_all(d);
        return;
    }
    for (size_t i = 0; i < s->span->n_nodes; i++)
        judge(d, s->span->nodes[i].id, s->span->nodes[i].mask);
    /* Who serves a route may move without anything else of either node moving. */
    for (size_t i = 0; routes_may_change(s) && i < policy_router_count(s->policy_now); i++)
        if (!netmap_span_find(s->span, policy_router_at(s->policy_now, i)))
            judge(d, policy_router_at(s->policy_now, i), 0);
}

/* Users that changed, as far as the viewer has a node of theirs or belongs to them. */
static void judge_users(struct delta *d)
{
    const struct netmap_step *s = d->step;
    const struct node *n;
    size_t at = 0;

    if (s->span->n_users == 0)
        return;
    while ((n = view_node_next(s->now, &at))) {
        for (size_t i = 0; i < s->span->n_users; i++)
            if (n->user == s->span->users[i] &&
                (n == d->self_now || peer_in(s->policy_now, s->now, d->self_now, n->id)))
                add_profile(d, n->user);
    }
}

typedef void put_part(struct buf *out, const struct tailnet_info *info, const struct node *viewer);

static bool part_differs(put_part *put, const struct tailnet_info *old, const struct node *self_old,
                         const struct tailnet_info *now, const struct node *self_now)
{
    struct buf a = BUF(0), b = BUF(0);
    bool differs;

    put(&a, old, self_old);
    put(&b, now, self_now);
    differs = !str_eq(buf_str(&a), buf_str(&b));
    buf_fini(&a);
    buf_fini(&b);
    return differs;
}

static void put_caps_part(struct buf *out, const struct tailnet_info *info, const struct node *self)
{
    (void)self;
    netmap_put_caps(out, info);
}

static bool derp_map_differs(const struct netmap_step *s)
{
    struct buf a = BUF(0), b = BUF(0);
    bool differs;

    if (view_info(s->old) == view_info(s->now) &&
        policy_document(s->policy_old) == policy_document(s->policy_now))
        return false;
    netmap_put_derp_map(&a, view_info(s->old), s->policy_old);
    netmap_put_derp_map(&b, view_info(s->now), s->policy_now);
    differs = !str_eq(buf_str(&a), buf_str(&b));
    buf_fini(&a);
    buf_fini(&b);
    return differs;
}

static enum policy_cgnat_route hint_of(const struct policy *p)
{
    const struct policy_document *d = policy_document(p);

    return d ? d->cgnat_route : CGNAT_DEFAULT;
}

static void judge_self(struct delta *d)
{
    const struct netmap_touched *t = netmap_span_find(d->step->span, d->self_now->id);
    const struct tailnet_info *old = view_info(d->step->old), *now = view_info(d->step->now);

    d->self = t && d->self_old != d->self_now && (t->mask & SELF_TOLD);
    if (!netmap_own_routes_eq(d->self_old, d->self_now) ||
        !policy_mark_eq(policy_node_mark(d->step->policy_old, d->step->viewer),
                        policy_node_mark(d->step->policy_now, d->step->viewer)) ||
        hint_of(d->step->policy_old) != hint_of(d->step->policy_now))
        d->self = true;
    if (old != now && part_differs(put_caps_part, old, NULL, now, NULL))
        d->self = true;
    if (d->self_old->user != d->self_now->user)
        add_profile(d, d->self_now->user);
}

static void judge_rules(struct delta *d)
{
    const struct netmap_step *s = d->step;
    enum policy_form form = netmap_form(s->capver);

    if (s->policy_old == s->policy_now)
        return;
    d->filter = !policy_mark_eq(policy_filter_mark(s->policy_old, s->viewer, form),
                                policy_filter_mark(s->policy_now, s->viewer, form));
    d->ssh = !policy_mark_eq(policy_ssh_mark(s->policy_old, s->viewer),
                             policy_ssh_mark(s->policy_now, s->viewer));
}

static void key_follows(struct json_writer *w, struct str key)
{
    json_key(w, key);
    json_value_follows(w);
}

static void put_tailnet(struct json_writer *w, const struct delta *d)
{
    const struct tailnet_info *old = view_info(d->step->old), *now = view_info(d->step->now);
    bool is_new = old != now;

    if (d->step->shared)
        return;
    if (derp_map_differs(d->step)) {
        key_follows(w, STR("DERPMap"));
        netmap_put_derp_map(w->out, now, d->step->policy_now);
    }
    if ((is_new || (d->self_old != d->self_now && netmap_dns_is_personal(now))) &&
        part_differs(netmap_put_dns, old, d->self_old, now, d->self_now)) {
        key_follows(w, STR("DNSConfig"));
        netmap_put_dns(w->out, now, d->self_now);
    }
    if (is_new && !str_eq(old->domain, now->domain))
        json_field_str(w, STR("Domain"), now->domain);
    if (d->filter) {
        netmap_put_filter(w, d->step->policy_old, d->step->policy_now, d->step->viewer,
                          d->step->capver);
    }
    if (d->ssh) {
        key_follows(w, STR("SSHPolicy"));
        policy_put_ssh(d->step->policy_now, d->step->viewer, STR(POLICY_SSH_BASE), w->out);
    }
}

static void put_profiles(struct json_writer *w, const struct delta *d)
{
    if (d->n_profiles == 0)
        return;
    json_field_array(w, STR("UserProfiles"));
    for (size_t i = 0; i < d->n_profiles; i++) {
        const struct user *u = d->profiles[i] ? view_user_find(d->step->now, d->profiles[i]) : NULL;

        if (d->profiles[i] && !u)
            continue;
        json_value_follows(w);
        netmap_put_profile(w->out, u);
    }
    json_end_array(w);
}

static bool any_does(const struct delta *d, unsigned act)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->verdicts[i].act & act)
            return true;
    return false;
}

static void put_peers(struct json_writer *w, const struct delta *d)
{
    if (any_does(d, DO_REMOVE)) {
        json_field_array(w, STR("PeersRemoved"));
        for (size_t i = 0; i < d->n; i++)
            if (d->verdicts[i].act & DO_REMOVE)
                json_u64(w, d->verdicts[i].id);
        json_end_array(w);
    }
    if (any_does(d, DO_CARD)) {
        json_field_array(w, STR("PeersChanged"));
        for (size_t i = 0; i < d->n; i++) {
            if (!(d->verdicts[i].act & DO_CARD))
                continue;
            json_value_follows(w);
            netmap_put_card(w->out, d->step->policy_now, d->step->viewer, d->verdicts[i].node);
        }
        json_end_array(w);
    }
    if (any_does(d, DO_PATCH)) {
        json_field_array(w, STR("PeersChangedPatch"));
        for (size_t i = 0; i < d->n; i++) {
            if (!(d->verdicts[i].act & DO_PATCH))
                continue;
            json_value_follows(w);
            netmap_put_patch(w->out, d->verdicts[i].node, d->verdicts[i].patch);
        }
        json_end_array(w);
    }
}

bool netmap_put_delta(struct buf *out, const struct netmap_step *step)
{
    struct delta d = {.step = step};
    struct json_writer w = JSON_WRITER(out);
    bool any;

    d.self_old = view_node_find(step->old, step->viewer);
    d.self_now = view_node_find(step->now, step->viewer);
    ASSERT(d.self_old && d.self_now);
    if (!step->shared) {
        judge_self(&d);
        judge_rules(&d);
    }
    judge_peers(&d);
    judge_users(&d);

    json_begin_object(&w);
    if (d.self) {
        key_follows(&w, STR("Node"));
        netmap_put_self(out, view_info(step->now), step->policy_now, d.self_now);
    }
    put_tailnet(&w, &d);
    put_profiles(&w, &d);
    put_peers(&w, &d);
    any = w.comma;
    json_end_object(&w);
    mem_free(d.verdicts);
    mem_free(d.profiles);
    return any;
}
