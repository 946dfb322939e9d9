/*
 * The part of a delta that all of a class share: what happened to the peers.
 *
 * For each node that may be news: did the client hold it, and should it now?
 *
 *              should not             should
 *   held not   -                      whole card, and its owner's profile
 *   held       PeersRemoved           a patch if a patch can say it, else the card
 *
 * Clients turn a card back into patches where they can, and on the way lose what was unset before
 * (protocol.md 6.6); so a card for a peer that is held comes with a patch for its online state.
 * Patches are applied last, so the two agree.
 *
 * A viewer is judged like any other node of its class. Being told that it is removed, or of another
 * CapMap of its own, does no harm: clients have no such peer. Where it would be given a card or a
 * patch of itself, it gets the same text without (a cut body).
 *
 * Cost: nodes in the span; where policies differ in more than the nodes they know, pairs of classes
 * as well, and the members of those for which something changes. Once a class, not once a viewer.
 */

#include "core/mem.h"
#include "netmap/netmap_internal.h"
#include "json/writer.h"

enum { DO_REMOVE = 1, DO_CARD = 2, DO_PATCH = 4 };

struct verdict {
    node_id id;
    struct netmap_subject *subject; /* in the span; NULL: it is not */
    const struct node *node;        /* as it is now; NULL when removed */
    unsigned act;
    unsigned patch;
    struct str caps; /* to be patched; empty: not */
    bool is_new;     /* it is its owner's first: his profile goes with it */
    bool is_unsaid;  /* no delta says it */
};

struct judging {
    struct netmap_way *way;
    struct netmap_eye old, now;
    struct verdict *all;
    size_t n, cap;
    user_id *profiles; /* 0: tagged-devices */
    size_t n_profiles, profiles_cap;
    node_id *devices; /* sorted; judged one by one because their owner counts */
    size_t n_devices;
    size_t n_seen; /* now; a guess where only the span was looked at */
    size_t n_cards;
    bool needs_whole_map;
    struct netmap_body *body; /* where the span's are loose; NULL: they are written out */
    bool loose[NETMAP_LOOSE_KINDS];
};

static void judging_fini(struct judging *j)
{
    mem_free(j->all);
    mem_free(j->profiles);
    mem_free(j->devices);
}

static void add_profile(struct judging *j, user_id id)
{
    if (j->n_profiles && j->profiles[j->n_profiles - 1] == id)
        return;
    j->profiles = mem_room(j->profiles, j->n_profiles, &j->profiles_cap, 8, sizeof *j->profiles);
    j->profiles[j->n_profiles++] = id;
}

static void add_verdict(struct judging *j, const struct verdict *v)
{
    j->all = mem_room(j->all, j->n, &j->cap, 8, sizeof *j->all);
    j->all[j->n++] = *v;
    j->n_cards += (v->act & DO_CARD) != 0;
    j->needs_whole_map |= v->is_unsaid;
}

/* ---- One node ---- */

static bool needs_card(unsigned mask)
{
    if (mask & ~(unsigned)NODE_PATCHABLE)
        return true;
    /* A patch cannot say that a key is no longer expired. */
    return mask & NODE_EXPIRY;
}

/* A number that went back to none: no patch says it, and of a card clients make patches. */
static bool only_whole_maps_say(const struct node *old, const struct node *now)
{
    return (old->home_derp && !now->home_derp) || (old->capver && !now->capver);
}

/* Whether what the policy says of the peer to this viewer, its CapMap aside, is another thing now.
 */
static bool variant_differs(const struct judging *j, const struct netmap_subject *s,
                            struct str *caps)
{
    const struct netmap_way *w = j->way;
    struct netmap_variant a, b;
    bool differs;

    if (!s->is_guest && j->old.cls == j->now.cls &&
        (w->before == w->after || (w->one_lineage && s->old_cls == s->now_cls && !s->routes_vary)))
        return false;
    netmap_variant_of(w->before, &j->old, s->old, &a);
    netmap_variant_of(w->after, &j->now, s->now, &b);
    differs = !netmap_variant_eq(&a, &b);
    *caps = netmap_caps_patch(a.caps, b.caps);
    netmap_variant_fini(&a);
    netmap_variant_fini(&b);
    return differs;
}

/* Whether a card says the same of both, where nothing but the node itself may have changed. */
static bool reads_the_same(const struct judging *j, const struct netmap_subject *s)
{
    struct buf a = BUF(0), b = BUF(0);
    bool same;

    if (!s->is_guest)
        return str_eq(netmap_card(s->old), netmap_card(s->now));
    netmap_put_card_for(&a, j->way->before, &j->old, s->old);
    netmap_put_card_for(&b, j->way->after, &j->now, s->now);
    same = str_eq(buf_str(&a), buf_str(&b));
    buf_fini(&a);
    buf_fini(&b);
    return same;
}

static void judge_held(const struct judging *j, const struct netmap_subject *s, unsigned mask,
                       struct verdict *v)
{
    const struct node *old = s->old, *now = s->now;
    struct str caps = STR_NONE;
    bool other = variant_differs(j, s, &caps);

    /* What a node has to do with other tailnets is in the variants. */
    mask &= ~(unsigned)(NODE_UNTOLD | NODE_ABROAD);
    if (old == now)
        mask = 0;
    if (!other && mask == 0 && caps.len == 0)
        return;
    v->is_unsaid = only_whole_maps_say(old, now);
    if (!other && !needs_card(mask) && !v->is_unsaid) {
        v->act = DO_PATCH;
        v->patch = mask;
        v->caps = caps;
        return;
    }
    if (!other && caps.len == 0 && reads_the_same(j, s))
        return;
    v->act = DO_CARD;
    if (old->online != now->online || old->last_seen_ms != now->last_seen_ms) {
        v->act |= DO_PATCH;
        v->patch = NODE_ONLINE;
    }
}

/* Whether such a viewer sees such a node, which may be itself: then, as others of its kind do. */
static bool sees(const struct judging *j, const struct policy *p, struct netmap_eye eye,
                 uint32_t cls, user_id user)
{
    switch (netmap_sight(&j->way->feed->sights, p, eye.cls, cls)) {
    case POLICY_SIGHT_ALL:
        return true;
    case POLICY_SIGHT_SAME_USER:
        return eye.user && eye.user == user;
    case POLICY_SIGHT_NONE:
        return false;
    }
    return false;
}

/* Of guests no open policy knows, and their users are nobody's here. */
static bool sees_guest(const struct judging *j, const struct policy *p,
                       const struct netmap_eye *eye, uint32_t cls)
{
    return netmap_eye_is_abroad(eye) && !policy_is_open(p) &&
           netmap_sight(&j->way->feed->sights, p, eye->cls, cls) == POLICY_SIGHT_ALL;
}

static bool saw(const struct judging *j, const struct netmap_subject *s)
{
    if (s->is_guest)
        return s->old && sees_guest(j, j->way->before, &j->old, s->old_cls);
    return s->old && sees(j, j->way->before, j->old, s->old_cls, s->old_user);
}

static bool sees_now(const struct judging *j, const struct netmap_subject *s)
{
    if (s->is_guest)
        return s->now && sees_guest(j, j->way->after, &j->now, s->now_cls);
    return s->now && sees(j, j->way->after, j->now, s->now_cls, s->now_user);
}

/* Whether something is to be told. */
static bool judge(const struct judging *j, const struct netmap_subject *s, unsigned mask,
                  struct verdict *v)
{
    bool held = saw(j, s), holds = sees_now(j, s);

    *v = (struct verdict){.id = s->id, .node = holds ? s->now : NULL};
    if (held && !holds)
        v->act = DO_REMOVE;
    else if (!held && holds)
        v->act = DO_CARD;
    else if (held && holds)
        judge_held(j, s, mask, v);
    v->is_new = (v->act & DO_CARD) && !s->is_guest && (!held || s->old->user != s->now->user);
    return v->act != 0;
}

/* Whose they are and who lent them goes with every card of a guest: either may be new. */
static void add_guest_profiles(struct judging *j, const struct node *guest)
{
    user_id sharer = netmap_guest_sharer(j->now.self, guest);

    add_profile(j, guest->user);
    if (sharer)
        add_profile(j, sharer);
}

/* `in_span`: the subject is the way's own. */
static void judge_subject(struct judging *j, struct netmap_subject *s, unsigned mask, bool in_span)
{
    struct verdict v;

    if (judge(j, s, mask, &v)) {
        v.subject = in_span ? s : NULL;
        add_verdict(j, &v);
    }
    j->n_seen += v.node != NULL;
    if (s->is_guest && (v.act & DO_CARD))
        add_guest_profiles(j, s->now);
}

static void judge_one(struct judging *j, node_id id)
{
    struct netmap_subject s = netmap_way_subject(j->way, id);

    judge_subject(j, &s, 0, false);
}

/* ---- All of a class ---- */

static bool is_device(const struct judging *j, node_id id)
{
    return netmap_ids_have(j->devices, j->n_devices, id);
}

/* Whether the viewer's class makes its peers' IPv4 addresses go, before and now. */
struct hiding {
    bool hid, hides;
};

static void judge_shift(struct judging *j, const struct netmap_shift *s, struct hiding viewer)
{
    const struct netmap_way *w = j->way;
    struct netmap_seen *known = &w->feed->sights;
    bool was = netmap_sight(known, w->before, j->old.cls, s->old) == POLICY_SIGHT_ALL;
    bool is = netmap_sight(known, w->after, j->now.cls, s->now) == POLICY_SIGHT_ALL;
    struct verdict v = {.act = was ? DO_REMOVE : DO_CARD};

    if (is)
        j->n_seen += s->len;
    if (!was && !is)
        return;
    if (was && is) {
        v.caps = s->caps;
        v.act = (s->hid || viewer.hid) != (s->hides || viewer.hides) ? DO_CARD
                : v.caps.len                                         ? DO_PATCH
                                                                     : 0;
        if (v.act == 0)
            return;
    }
    for (size_t i = 0; i < s->len; i++) {
        const struct node *n = w->shifted[s->from + i];

        if (is_device(j, n->id))
            continue;
        v.id = n->id;
        v.node = n;
        v.is_new = !was;
        add_verdict(j, &v);
    }
}

static bool is_by_class(const struct judging *j)
{
    return !j->way->one_lineage || j->old.cls != j->now.cls;
}

static void add_devices(struct judging *j, const struct policy *p, user_id user, size_t *cap)
{
    node_id id = 0;

    while (user && (id = policy_next_device(p, user, id))) {
        j->devices = mem_room(j->devices, j->n_devices, cap, 8, sizeof *j->devices);
        j->devices[j->n_devices++] = id;
    }
}

static void find_devices(struct judging *j)
{
    size_t cap = 0;

    if (!is_by_class(j) && j->old.user == j->now.user)
        return;
    add_devices(j, j->way->before, j->old.user, &cap);
    add_devices(j, j->way->after, j->now.user, &cap);
    j->n_devices = netmap_ids_sort(j->devices, j->n_devices);
}

static int by_id(const void *a, const void *b)
{
    const struct verdict *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/* The span's come in order, and mostly there are no others. */
static void sort_verdicts(struct judging *j)
{
    for (size_t i = 1; i < j->n; i++) {
        if (j->all[i].id < j->all[i - 1].id) {
            qsort(j->all, j->n, sizeof *j->all, by_id);
            return;
        }
    }
}

static void judge_by_class(struct judging *j)
{
    struct netmap_way *w = j->way;
    const struct hiding viewer = {policy_class_hides_ipv4(w->before, j->old.cls),
                                  policy_class_hides_ipv4(w->after, j->now.cls)};

    netmap_way_shifts(w);
    for (size_t i = 0; i < w->n_varying; i++)
        if (!is_device(j, w->varying[i]))
            judge_one(j, w->varying[i]);
    for (size_t i = 0; i < w->n_shifts; i++)
        judge_shift(j, &w->shifts[i], viewer);
}

/* Guests that nothing happened to are news where something happened to the viewer. */
static void judge_guests(struct judging *j)
{
    const struct netmap_way *w = j->way;
    const struct node *guest;

    if (!w->has_guests || (!netmap_eye_is_abroad(&j->old) && !netmap_eye_is_abroad(&j->now)))
        return;
    if (!is_by_class(j) && j->old.self == j->now.self)
        return;
    for (size_t at = 0; (guest = view_guest_next(w->now, &at));)
        if (!netmap_span_find(&w->span, guest->id))
            judge_one(j, guest->id);
}

/* Those of people who lent something are in no list of nodes. */
static void add_renamed_sharers(struct judging *j)
{
    const struct netmap_way *w = j->way;
    const struct abroad *a = netmap_eye_is_abroad(&j->now) ? j->now.self->abroad : NULL;

    for (size_t i = 0; a && i < a->n_items; i++)
        if (netmap_ids_have(w->span.users, w->span.n_users, a->items[i].sharer))
            add_profile(j, a->items[i].sharer);
}

static bool sees_renamed(const struct judging *j, const struct netmap_owned *owned)
{
    const struct policy *p = j->way->after;
    uint32_t cls = policy_class_of(p, owned->node);

    if (j->way->has_guests && view_guest_find(j->way->now, owned->node))
        return sees_guest(j, p, &j->now, cls);
    return sees(j, p, j->now, cls, policy_sight_user(p, owned->node));
}

static void judge_all(struct judging *j)
{
    const struct netmap_way *w = j->way;

    find_devices(j);
    for (size_t i = 0; i < w->span.n_nodes; i++)
        judge_subject(j, &w->subjects[i], w->span.nodes[i].mask, true);
    for (size_t i = 0; i < j->n_devices; i++)
        if (!netmap_span_find(&w->span, j->devices[i]))
            judge_one(j, j->devices[i]);
    if (is_by_class(j))
        judge_by_class(j);
    else
        j->n_seen = view_node_count(w->now);
    judge_guests(j);
    sort_verdicts(j);
    for (size_t i = 0; i < w->n_renamed; i++)
        if (sees_renamed(j, &w->renamed[i]))
            add_profile(j, w->renamed[i].user);
    add_renamed_sharers(j);
}

/* ---- Writing ---- */

/* The next verdict that does this, but for one node's; NULL: none. */
static const struct verdict *next_that(const struct judging *j, unsigned act, node_id but,
                                       size_t *at)
{
    while (*at < j->n) {
        const struct verdict *v = &j->all[(*at)++];

        if ((v->act & act) && v->id != but)
            return v;
    }
    return NULL;
}

static bool is_loose(const struct judging *j, const struct verdict *v, enum netmap_loose_kind kind)
{
    return v->subject && j->loose[kind];
}

/* In the order of places, each of which is there once. */
static void sort_gap(struct netmap_way *w, struct netmap_gap *gap)
{
    size_t n = 0;

    if (!w->places)
        w->places = mem_alloc_array(w->span.n_nodes, sizeof *w->places);
    for (size_t i = 0; i < gap->n; i++)
        w->places[gap->loose[i]->place] = gap->loose[i];
    for (size_t i = 0; n < gap->n; i++)
        if (w->places[i])
            gap->loose[n++] = TAKE(w->places[i]);
}

/* At the end of a list. */
static void leave_gap(struct json_writer *w, const struct judging *j, enum netmap_loose_kind kind)
{
    struct netmap_gap *gap = j->body ? &j->body->gaps[kind] : NULL;

    if (!gap || gap->n == 0)
        return;
    gap->at = w->out->len;
    gap->is_first = !w->comma;
    sort_gap(j->way, gap);
    j->body->is_loose = true;
}

static void add_loose(const struct judging *j, struct netmap_loose *l)
{
    struct netmap_gap *gap = &j->body->gaps[l->kind];

    if (!gap->loose)
        gap->loose = mem_alloc_array(j->n, sizeof *gap->loose);
    gap->loose[gap->n++] = l;
}

/* A few profiles or patches are no more than the frames around them. */
static void choose_loose(struct judging *j)
{
    size_t least = j->way->feed->limits.loose_least, n_new = 0, n_patches = 0;

    if (!j->body)
        return;
    for (size_t i = 0; i < j->n; i++) {
        n_new += j->all[i].is_new;
        n_patches += (j->all[i].act & DO_PATCH) != 0;
    }
    j->loose[NETMAP_LOOSE_PROFILE] = n_new >= least;
    j->loose[NETMAP_LOOSE_CARD] = true;
    j->loose[NETMAP_LOOSE_PATCH] = n_patches >= least;
}

/* The profile of what is tagged is one for all: it is not loose. */
static void part_profile(struct judging *j, const struct verdict *v)
{
    user_id user = v->node->user;

    if (user == 0 || !is_loose(j, v, NETMAP_LOOSE_PROFILE))
        add_profile(j, user);
    else if (view_any_user_find(j->way->now, user))
        add_loose(j, netmap_loose_profile(v->subject));
}

static void part_loose(struct judging *j)
{
    choose_loose(j);
    for (size_t i = 0; i < j->n; i++) {
        const struct verdict *v = &j->all[i];

        if (v->is_new)
            part_profile(j, v);
        if ((v->act & DO_CARD) && is_loose(j, v, NETMAP_LOOSE_CARD))
            add_loose(j, netmap_loose_card(j->way, v->subject, &j->now));
        if ((v->act & DO_PATCH) && is_loose(j, v, NETMAP_LOOSE_PATCH))
            add_loose(j, netmap_loose_patch(v->subject, v->patch, v->caps));
    }
}

static void put_profiles(struct json_writer *w, struct judging *j)
{
    j->n_profiles = netmap_ids_sort(j->profiles, j->n_profiles);
    if (j->n_profiles == 0 && !(j->body && j->body->gaps[NETMAP_LOOSE_PROFILE].n))
        return;
    json_field_array(w, STR("UserProfiles"));
    for (size_t i = 0; i < j->n_profiles; i++) {
        user_id id = j->profiles[i];

        if (id && !view_any_user_find(j->way->now, id))
            continue;
        json_value_follows(w);
        (void)netmap_put_profile_of(w->out, j->way->now, id);
    }
    leave_gap(w, j, NETMAP_LOOSE_PROFILE);
    json_end_array(w);
}

static void put_cards(struct json_writer *w, const struct judging *j, node_id but)
{
    const struct verdict *v;
    size_t at = 0;

    if (!next_that(j, DO_CARD, but, &at))
        return;
    at = 0;
    json_field_array(w, STR("PeersChanged"));
    while ((v = next_that(j, DO_CARD, but, &at))) {
        if (is_loose(j, v, NETMAP_LOOSE_CARD))
            continue;
        json_value_follows(w);
        netmap_put_card_for(w->out, j->way->after, &j->now, v->node);
    }
    leave_gap(w, j, NETMAP_LOOSE_CARD);
    json_end_array(w);
}

static void put_patches(struct json_writer *w, const struct judging *j, node_id but)
{
    const struct verdict *v;
    size_t at = 0;

    if (!next_that(j, DO_PATCH, but, &at))
        return;
    at = 0;
    json_field_array(w, STR("PeersChangedPatch"));
    while ((v = next_that(j, DO_PATCH, but, &at))) {
        if (is_loose(j, v, NETMAP_LOOSE_PATCH))
            continue;
        json_value_follows(w);
        netmap_put_patch(w->out, v->node, v->patch, v->caps);
    }
    leave_gap(w, j, NETMAP_LOOSE_PATCH);
    json_end_array(w);
}

static void put_peers(struct json_writer *w, const struct judging *j, node_id but)
{
    const struct verdict *v;
    size_t at = 0;

    if ((v = next_that(j, DO_REMOVE, but, &at))) {
        json_field_array(w, STR("PeersRemoved"));
        for (; v; v = next_that(j, DO_REMOVE, but, &at))
            json_u64(w, v->id);
        json_end_array(w);
    }
    put_cards(w, j, but);
    put_patches(w, j, but);
}

static void put_members(struct json_writer *out, struct str members)
{
    if (members.len == 0)
        return;
    if (out->comma)
        buf_put_char(out->out, ',');
    buf_put(out->out, members);
    out->comma = true;
}

static void put_body(struct json_writer *out, struct judging *j, node_id but)
{
    put_members(out, buf_str(&j->way->tailnet));
    /* Others have their own. */
    if (!netmap_eye_is_apart(&j->old) && !netmap_eye_is_apart(&j->now))
        put_members(out, buf_str(&j->way->common));
    part_loose(j);
    put_profiles(out, j);
    put_peers(out, j, but);
}

/* ---- Bodies ---- */

static void body_free(struct netmap_body *b)
{
    blob_unref(b->json);
    for (int form = 0; form < NETMAP_FORMS; form++) {
        blob_unref(b->whole[form]);
        blob_unref(b->rest[form]);
    }
    for (int kind = 0; kind < NETMAP_LOOSE_KINDS; kind++)
        mem_free(b->gaps[kind].loose);
    mem_free(b->own);
    mem_free(b);
}

void netmap_way_drop_bodies(struct netmap_way *w)
{
    while (w->bodies) {
        struct netmap_body *b = w->bodies;

        w->bodies = b->next;
        body_free(b);
    }
    for (size_t i = 0; i < w->cap; i++) {
        policy_filter_step_free(w->slots[i].step[0]);
        policy_filter_step_free(w->slots[i].step[1]);
        w->slots[i] = (struct netmap_slot){0};
    }
    netmap_bundles_free(TAKE(w->bundles));
    w->n_slots = 0;
    w->last = NULL;
    w->bytes = 0;
}

/* Compressed together many cards are a third of the bytes: better where many are sent the body. */
static bool loose_pays(const struct judging *j)
{
    const struct netmap_way *w = j->way;

    return j->n_cards <= 2 || policy_class_count(w->after) > w->feed->limits.loose_classes;
}

static struct netmap_body *body_new(struct netmap_way *w, struct netmap_eye old,
                                    struct netmap_eye now)
{
    struct netmap_body *b = NEW(struct netmap_body);
    struct judging j = {.way = w, .old = old, .now = now};
    struct buf text = BUF(NETMAP_MESSAGE_MAX);
    struct json_writer out = MEMBERS_WRITER(&text);

    judge_all(&j);
    if (loose_pays(&j))
        j.body = b;
    b->is_too_much =
        j.needs_whole_map || (j.n_cards > w->feed->limits.delta_cards && j.n_cards * 2 > j.n_seen);
    b->own = mem_alloc_array(j.n, sizeof *b->own);
    for (size_t i = 0; i < j.n; i++)
        if ((j.all[i].act & DO_CARD) || j.all[i].patch)
            b->own[b->n_own++] = j.all[i].id;
    if (!b->is_too_much)
        put_body(&out, &j, 0);
    b->is_too_much |= buf_is_full(&text);
    if (text.len && !b->is_too_much)
        b->json = blob_new(buf_str(&text));
    w->bytes += text.len + b->n_own * sizeof *b->own;
    buf_fini(&text);
    judging_fini(&j);
    b->next = w->bodies;
    w->bodies = b;
    return b;
}

/* A lent node is like no other; all others of one class have the same to do with guests. */
static bool same_abroad(const struct node *a, const struct node *b)
{
    const struct abroad *x = a ? a->abroad : NULL, *y = b ? b->abroad : NULL;

    return a == b || (abroad_eq(x, y) && !(x && x->is_lent) && !(y && y->is_lent));
}

static bool slot_is(const struct netmap_way *w, const struct netmap_slot *s,
                    const struct netmap_eye *old, const struct netmap_eye *now)
{
    if (s->old.cls != old->cls || s->now.cls != now->cls || s->old.user != old->user ||
        s->now.user != now->user)
        return false;
    return !w->has_guests ||
           (same_abroad(s->old.self, old->self) && same_abroad(s->now.self, now->self));
}

static size_t slot_hash(const struct netmap_eye *old, const struct netmap_eye *now)
{
    uint64_t h = (old->cls ^ (uint64_t)now->cls << 32) * 0x9e3779b97f4a7c15u;

    h ^= (old->user ^ now->user << 20) * 0xc2b2ae3d27d4eb4fu;
    return (size_t)(h ^ h >> 29);
}

static struct netmap_slot *slot_at(const struct netmap_way *w, const struct netmap_eye *old,
                                   const struct netmap_eye *now)
{
    size_t i = slot_hash(old, now) & (w->cap - 1);

    while (w->slots[i].body && !slot_is(w, &w->slots[i], old, now))
        i = (i + 1) & (w->cap - 1);
    return &w->slots[i];
}

static void slots_grow(struct netmap_way *w)
{
    struct netmap_slot *old = w->slots;
    size_t cap = w->cap;

    if (w->n_slots * 2 < cap)
        return;
    w->last = NULL;
    w->cap = MAX(cap * 2, (size_t)8);
    w->slots = mem_alloc_array(w->cap, sizeof *w->slots);
    for (size_t i = 0; i < cap; i++)
        if (old[i].body)
            *slot_at(w, &old[i].old, &old[i].now) = old[i];
    mem_free(old);
}

/* Whether the node is news to viewers of that user other than to those of their class. */
static bool device_matters(struct netmap_way *w, const struct netmap_walker *v, node_id id)
{
    const struct netmap_subject s = netmap_way_subject(w, id);
    struct judging with = {.way = w, .old = v->old, .now = v->now};
    struct judging without = {.way = w, .old = {.cls = v->old.cls}, .now = {.cls = v->now.cls}};
    struct verdict a, b;

    (void)judge(&with, &s, 0, &a);
    (void)judge(&without, &s, 0, &b);
    return a.act != b.act || a.patch != b.patch || !str_eq(a.caps, b.caps);
}

static bool any_device_matters(struct netmap_way *w, const struct netmap_walker *v,
                               const struct policy *p, user_id user)
{
    node_id id = 0;

    while (user && (id = policy_next_device(p, user, id)))
        if (device_matters(w, v, id))
            return true;
    return false;
}

/* Most of what happens looks the same to all of a class, whoever owns the viewer. */
static bool user_matters(struct netmap_way *w, const struct netmap_walker *v)
{
    if (v->old.user == 0 && v->now.user == 0)
        return false;
    if (netmap_way_owns(w, v->old.user) || netmap_way_owns(w, v->now.user) ||
        v->old.user != v->now.user)
        return true;
    if (w->one_lineage && v->old.cls == v->now.cls)
        return false;
    return any_device_matters(w, v, w->before, v->old.user) ||
           any_device_matters(w, v, w->after, v->now.user);
}

struct netmap_slot *netmap_way_slot(struct netmap_way *w, const struct netmap_walker *v)
{
    struct netmap_slot *slot;
    struct netmap_body *b;

    if (w->last && slot_is(w, w->last, &v->old, &v->now))
        return w->last;
    if (w->cap && (slot = slot_at(w, &v->old, &v->now))->body)
        return w->last = slot;
    if (w->bytes > NETMAP_BODIES_MAX)
        netmap_way_drop_bodies(w);
    if ((v->old.user || v->now.user) && !user_matters(w, v)) {
        const struct netmap_walker anybody = {.viewer = v->viewer,
                                              .old = {.cls = v->old.cls, .self = v->old.self},
                                              .now = {.cls = v->now.cls, .self = v->now.self}};

        b = netmap_way_slot(w, &anybody)->body;
    } else {
        b = body_new(w, v->old, v->now);
    }
    slots_grow(w);
    slot = slot_at(w, &v->old, &v->now);
    *slot = (struct netmap_slot){.old = v->old, .now = v->now, .body = b};
    w->n_slots++;
    return w->last = slot;
}

/* Its own profile goes with a new owner, or when that one changed. */
static bool needs_own_profile(const struct netmap_way *w, const struct netmap_walker *v)
{
    const struct node *old, *now;

    if (!v->touched && w->n_renamed == 0)
        return false;
    old = view_node_find(w->old, v->viewer);
    now = view_node_find(w->now, v->viewer);
    if (old->user != now->user)
        return true;
    for (size_t i = 0; i < w->n_renamed; i++)
        if (w->renamed[i].user == now->user)
            return true;
    return false;
}

bool netmap_body_is_cut(const struct netmap_way *w, const struct netmap_body *b,
                        const struct netmap_walker *v)
{
    if (netmap_ids_have(b->own, b->n_own, v->viewer))
        return true;
    return needs_own_profile(w, v);
}

void netmap_put_cut_body(struct json_writer *out, struct netmap_way *w,
                         const struct netmap_walker *v)
{
    struct judging j = {.way = w, .old = v->old, .now = v->now};

    judge_all(&j);
    if (needs_own_profile(w, v))
        add_profile(&j, view_node_find(w->now, v->viewer)->user);
    put_body(out, &j, v->viewer);
    judging_fini(&j);
}
