/*
 * A feed: the newest view of a tailnet and a window of what led to it.
 *
 *   publish --records--> ring [floor ........ newest]
 *                                ^ a moment's revision, from where netmap_feed_span collapses
 *
 * Streams that were told of the same view under the same policy share a moment, which keeps both;
 * so a delta is the difference of two views, and the journal only says where to look. Views share
 * what did not change between them; the window bounds how many versions of nodes the slowest stream
 * keeps alive, and a moment that falls off gives its view up.
 *
 * Invariants
 *   1. The records in the ring are every change in (floor, view_revision(view)].
 *   2. `moments` are by rising revision; each has streams; none below the floor has a view.
 *   3. A way leads to the aim, or without one to the present view and policy: a change of what it
 *      leads to frees all of them.
 *   4. The aim has a view. Streams at it or behind it in `moments` have nothing to be told yet.
 *
 * Cost: a publication is its number of changes; a stream that moves on changes two counts.
 */

#include "core/mem.h"
#include "netmap/netmap_internal.h"
#include "wire/response.h"

struct netmap_feed *netmap_feed_new(const struct tailnet_view *view)
{
    struct netmap_feed *f = NEW(struct netmap_feed);

    f->view = view_ref(view);
    f->policy = policy_allow_all();
    f->floor = view_revision(view);
    list_init(&f->moments);
    f->own_json = BUF(NETMAP_MESSAGE_MAX);
    f->json = &f->own_json;
    netmap_book_init(&f->book, f);
    netmap_feed_set_limits(f, &(struct netmap_limits){0});
    return f;
}

void netmap_feed_lend(struct netmap_feed *f, struct buf *scratch)
{
    buf_fini(&f->own_json);
    f->json = scratch;
}

void netmap_feed_set_limits(struct netmap_feed *f, const struct netmap_limits *limits)
{
    f->limits = (struct netmap_limits){
        .block_cards = limits->block_cards ? limits->block_cards : NETMAP_BLOCK_CARDS,
        .delta_cards = limits->delta_cards ? limits->delta_cards : NETMAP_DELTA_CARDS,
        .loose_classes = limits->loose_classes ? limits->loose_classes : NETMAP_LOOSE_CLASSES,
        .loose_least = limits->loose_least ? limits->loose_least : NETMAP_LOOSE_LEAST,
        .bunch_least = limits->bunch_least ? limits->bunch_least : NETMAP_BUNCH_LEAST,
    };
}

void netmap_feed_free(struct netmap_feed *f)
{
    if (!f)
        return;
    netmap_feed_drop_aim(f);
    ASSERT(list_is_empty(&f->moments));
    netmap_book_fini(&f->book);
    netmap_seen_fini(&f->sights);
    view_unref(f->view);
    policy_unref(f->policy);
    mem_free(f->ring);
    buf_fini(&f->own_json);
    for (int form = 0; form < NETMAP_FORMS; form++)
        blob_unref(f->keep_alive[form]);
    mem_free(f);
}

const struct tailnet_view *netmap_feed_view(const struct netmap_feed *f)
{
    return f->view;
}

const struct policy *netmap_feed_policy(const struct netmap_feed *f)
{
    return f->policy;
}

/* ---- Moments ---- */

static void moment_forget_way(struct netmap_moment *m)
{
    netmap_way_free(m->way);
    m->way = NULL;
}

static void moment_fall(struct netmap_moment *m)
{
    moment_forget_way(m);
    view_unref(m->view);
    policy_unref(m->policy);
    m->view = NULL;
    m->policy = NULL;
}

static void forget_ways(struct netmap_feed *f)
{
    LIST_FOR_EACH(m, &f->moments, struct netmap_moment, moments) {
        moment_forget_way(m);
    }
}

/* The present is about to be another: nobody is at it any more. */
static void leave_present(struct netmap_feed *f)
{
    if (!f->aim)
        forget_ways(f);
    f->newest = NULL;
}

struct netmap_moment *netmap_feed_arrive(struct netmap_feed *f)
{
    if (!f->newest) {
        struct netmap_moment *m = NEW(struct netmap_moment);

        m->number = ++f->moments_made;
        m->revision = view_revision(f->view);
        m->view = view_ref(f->view);
        m->policy = policy_ref(f->policy);
        list_push_back(&f->moments, &m->moments);
        f->newest = m;
    }
    f->newest->streams++;
    return f->newest;
}

void netmap_feed_leave(struct netmap_feed *f, struct netmap_moment *m)
{
    if (--m->streams > 0)
        return;
    if (f->newest == m)
        f->newest = NULL;
    list_remove(&m->moments);
    moment_fall(m);
    mem_free(m);
}

struct netmap_moment *netmap_feed_arrive_aim(struct netmap_feed *f)
{
    if (!f->aim)
        return netmap_feed_arrive(f);
    f->aim->streams++;
    return f->aim;
}

void netmap_feed_drop_aim(struct netmap_feed *f)
{
    struct netmap_moment *was = f->aim;

    if (!was)
        return;
    forget_ways(f);
    f->aim = NULL;
    netmap_feed_leave(f, was);
}

void netmap_feed_take_aim(struct netmap_feed *f)
{
    struct netmap_moment *aim = netmap_feed_arrive(f);

    netmap_feed_drop_aim(f);
    forget_ways(f);
    f->aim = aim;
    netmap_seen_aim(&f->sights);
}

void netmap_feed_set_policy(struct netmap_feed *f, const struct policy *policy)
{
    if (policy == f->policy)
        return;
    leave_present(f);
    policy_ref(policy);
    policy_unref(f->policy);
    f->policy = policy;
    netmap_seen_follow(&f->sights, policy);
}

/* ---- Journal ---- */

static struct netmap_record *ring_at(const struct netmap_feed *f, size_t i)
{
    return &f->ring[(f->head + i) % f->cap];
}

static void ring_grow(struct netmap_feed *f)
{
    size_t cap = f->cap ? MIN(f->cap * 2, (size_t)NETMAP_JOURNAL_MAX) : 8;
    struct netmap_record *ring = mem_alloc_array(cap, sizeof *ring);

    for (size_t i = 0; i < f->len; i++)
        ring[i] = *ring_at(f, i);
    mem_free(f->ring);
    f->ring = ring;
    f->head = 0;
    f->cap = cap;
}

static void ring_add(struct netmap_feed *f, const struct change *c)
{
    if (f->len == f->cap && f->cap < NETMAP_JOURNAL_MAX)
        ring_grow(f);
    if (f->len == f->cap) {
        f->floor = f->ring[f->head].revision;
        f->head = (f->head + 1) % f->cap;
        f->len--;
    }
    *ring_at(f, f->len++) = (struct netmap_record){
        .revision = c->revision, .id = c->id, .kind = c->kind, .mask = c->mask};
}

static bool change_is_told(const struct change *c)
{
    switch (c->kind) {
    case CHANGE_NODE: /* of what no peer is told the node itself may be: its approved routes */
    case CHANGE_NODE_REMOVED:
    case CHANGE_USER:
    case CHANGE_USER_REMOVED:
    case CHANGE_GUEST:
    case CHANGE_GUEST_REMOVED:
    case CHANGE_GUEST_USER:
    case CHANGE_INFO:
        return true;
    case CHANGE_AUTH_KEY:
    case CHANGE_AUTH_KEY_REMOVED:
    case CHANGE_WEBHOOK:
    case CHANGE_WEBHOOK_REMOVED:
    case CHANGE_NODE_EXPIRING:
    case CHANGE_API_KEY:
    case CHANGE_API_KEY_REMOVED:
    case CHANGE_TAILNET_REMOVED:
    case CHANGE_STREAM_END:
    case CHANGE_PENDING:
    case CHANGE_SHARE:
    case CHANGE_SHARE_REMOVED:
    case CHANGE_SHARE_INVITE:
    case CHANGE_SHARE_INVITE_REMOVED:
    case CHANGE_USER_INVITE:
    case CHANGE_USER_INVITE_REMOVED:
        return false;
    }
    return false;
}

/* Forgets the window: whoever is behind gets a full map. */
static void ring_reset(struct netmap_feed *f, uint64_t floor)
{
    f->head = 0;
    f->len = 0;
    f->floor = floor;
}

void netmap_feed_publish(struct netmap_feed *f, const struct tailnet_view *view,
                         const struct change *changes, size_t n)
{
    tailnet_id id = view_info(view)->id;
    uint64_t last = view_revision(f->view), revision = view_revision(view);

    if (revision <= last)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct change *c = &changes[i];

        if (c->tailnet != id || c->revision <= last)
            continue;
        if (c->revision > last + 1)
            ring_reset(f, revision);
        last = c->revision;
        if (change_is_told(c))
            ring_add(f, c);
    }
    if (last != revision)
        ring_reset(f, revision);

    leave_present(f);
    view_ref(view);
    view_unref(f->view);
    f->view = view;
    if (f->aim && f->aim->revision < f->floor)
        netmap_feed_drop_aim(f);
    LIST_FOR_EACH(m, &f->moments, struct netmap_moment, moments) {
        if (m->revision >= f->floor)
            break;
        if (m->view) {
            netmap_count(f, NETMAP_FALLEN, m->streams - (m == f->aim));
            moment_fall(m);
        }
    }
}

void netmap_span_fini(struct netmap_span *s)
{
    mem_free(s->nodes);
    mem_free(s->users);
    *s = (struct netmap_span){0};
}

static int by_id(const void *a, const void *b)
{
    const struct netmap_touched *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

const struct netmap_touched *netmap_span_find(const struct netmap_span *s, node_id id)
{
    struct netmap_touched key = {.id = id};

    return s->n_nodes ? bsearch(&key, s->nodes, s->n_nodes, sizeof key, by_id) : NULL;
}

static void span_collapse(struct netmap_span *s)
{
    size_t n = 0;

    if (s->n_nodes)
        qsort(s->nodes, s->n_nodes, sizeof *s->nodes, by_id);
    for (size_t i = 0; i < s->n_nodes; i++) {
        if (n && s->nodes[n - 1].id == s->nodes[i].id)
            s->nodes[n - 1].mask |= s->nodes[i].mask;
        else
            s->nodes[n++] = s->nodes[i];
    }
    s->n_nodes = n;
    s->n_users = netmap_ids_sort(s->users, s->n_users);
}

static bool is_of_node(enum change_kind kind)
{
    return kind == CHANGE_NODE || kind == CHANGE_NODE_REMOVED || kind == CHANGE_GUEST ||
           kind == CHANGE_GUEST_REMOVED;
}

static void span_add(struct netmap_span *s, const struct netmap_record *r)
{
    if (is_of_node(r->kind))
        s->nodes[s->n_nodes++] = (struct netmap_touched){r->id, r->mask};
    else if (r->kind == CHANGE_USER || r->kind == CHANGE_GUEST_USER)
        s->users[s->n_users++] = r->id;
}

void netmap_feed_span(const struct netmap_feed *f, uint64_t revision, uint64_t until,
                      struct netmap_span *out)
{
    size_t low = 0, high = f->len;

    *out = (struct netmap_span){0};
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (ring_at(f, mid)->revision <= revision)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == f->len)
        return;
    out->nodes = mem_alloc_array(f->len - low, sizeof *out->nodes);
    out->users = mem_alloc_array(f->len - low, sizeof *out->users);
    for (; low < f->len && ring_at(f, low)->revision <= until; low++)
        span_add(out, ring_at(f, low));
    span_collapse(out);
}
