/*
 * A feed: the newest view of a tailnet and a window of what led to it.
 *
 *   publish --records--> ring [floor ........ newest]
 *                                ^ a stream's revision, from where netmap_feed_span collapses
 *
 * A stream keeps the view it was last told of, so a delta is the difference of two views, and the
 * journal only says where to look. Views share what did not change between them; the window bounds
 * how many versions of nodes the slowest stream keeps alive, and one that falls off gives its view
 * up.
 *
 * Invariants
 *   1. The records in the ring are every change in (floor, view_revision(view)].
 *   2. `streams` holds exactly the streams with a view, by rising revision, none below the floor.
 *   3. `shared` holds deltas that lead to the present view.
 *
 * Cost: a publication is its number of changes; a span is the number of records in it, sorted.
 */

#include "netmap/netmap_internal.h"

#include "core/mem.h"
#include "wire/response.h"

struct netmap_feed *netmap_feed_new(const struct tailnet_view *view)
{
    struct netmap_feed *f = NEW(struct netmap_feed);

    f->view = view_ref(view);
    f->policy = policy_allow_all();
    f->floor = view_revision(view);
    list_init(&f->streams);
    f->json = BUF(NETMAP_MESSAGE_MAX);
    return f;
}

static void shared_clear(struct netmap_feed *f)
{
    for (size_t i = 0; i < f->n_shared; i++) {
        struct netmap_shared *s = &f->shared[i];

        policy_unref(s->policy_from);
        blob_unref(s->json);
        blob_unref(s->frames[0]);
        blob_unref(s->frames[1]);
        *s = (struct netmap_shared){0};
    }
    f->n_shared = 0;
}

static void spans_clear(struct netmap_feed *f)
{
    for (size_t i = 0; i < f->n_spans; i++)
        netmap_span_fini(&f->spans[i].span);
    f->n_spans = 0;
}

void netmap_feed_free(struct netmap_feed *f)
{
    if (!f)
        return;
    ASSERT(list_is_empty(&f->streams));
    shared_clear(f);
    spans_clear(f);
    view_unref(f->view);
    policy_unref(f->policy);
    mem_free(f->ring);
    buf_fini(&f->json);
    blob_unref(f->keep_alive[0]);
    blob_unref(f->keep_alive[1]);
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

void netmap_feed_set_policy(struct netmap_feed *f, const struct policy *policy)
{
    if (policy != f->policy)
        shared_clear(f);
    policy_ref(policy);
    policy_unref(f->policy);
    f->policy = policy;
}

static struct netmap_record *ring_at(const struct netmap_feed *f, size_t i)
{
    return &f->ring[(f->head + i) % f->cap];
}

static void ring_grow(struct netmap_feed *f)
{
    size_t cap = f->cap ? MIN(f->cap * 2, (size_t)NETMAP_JOURNAL_MAX) : 64;
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
    case CHANGE_INFO:
        return true;
    case CHANGE_AUTH_KEY:
    case CHANGE_AUTH_KEY_REMOVED:
    case CHANGE_TAILNET_REMOVED:
    case CHANGE_STREAM_END:
    case CHANGE_PENDING:
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
    struct list_node *first;

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

    shared_clear(f);
    spans_clear(f);
    view_ref(view);
    view_unref(f->view);
    f->view = view;
    while ((first = list_first(&f->streams))) {
        struct netmap_stream *s = CONTAINER_OF(first, struct netmap_stream, streams);

        if (view_revision(s->view) >= f->floor)
            break;
        netmap_stream_fall(s);
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

static int by_u64(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
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

    n = 0;
    if (s->n_users)
        qsort(s->users, s->n_users, sizeof *s->users, by_u64);
    for (size_t i = 0; i < s->n_users; i++)
        if (n == 0 || s->users[n - 1] != s->users[i])
            s->users[n++] = s->users[i];
    s->n_users = n;
}

void netmap_feed_span(const struct netmap_feed *f, uint64_t revision, struct netmap_span *out)
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
    for (; low < f->len; low++) {
        const struct netmap_record *r = ring_at(f, low);

        if (r->kind == CHANGE_NODE || r->kind == CHANGE_NODE_REMOVED)
            out->nodes[out->n_nodes++] = (struct netmap_touched){r->id, r->mask};
        else if (r->kind == CHANGE_USER)
            out->users[out->n_users++] = r->id;
    }
    span_collapse(out);
}

const struct netmap_span *netmap_feed_span_from(struct netmap_feed *f, uint64_t revision)
{
    struct netmap_kept_span *k;

    for (size_t i = 0; i < f->n_spans; i++)
        if (f->spans[i].from == revision)
            return &f->spans[i].span;
    if (f->n_spans == NETMAP_SPANS_MAX)
        spans_clear(f);
    k = &f->spans[f->n_spans++];
    k->from = revision;
    netmap_feed_span(f, revision, &k->span);
    return &k->span;
}

static bool shared_fits(const struct netmap_shared *x, const struct netmap_shared *key)
{
    return x->from == key->from && x->policy_from == key->policy_from && x->cls == key->cls &&
           x->user == key->user;
}

/*
 * A viewer that was not touched itself and whose rules stay hears what everyone of its class hears.
 */
static bool is_like_its_class(const struct netmap_feed *f, const struct netmap_stream *s,
                              const struct netmap_shared *key)
{
    enum policy_form form = netmap_form(s->capver);

    if (view_info(s->view) != view_info(f->view) || !policy_same_lineage(s->policy, f->policy) ||
        policy_class_of(f->policy, s->viewer) != key->cls)
        return false;
    return s->policy == f->policy ||
           (policy_mark_eq(policy_filter_mark(s->policy, s->viewer, form),
                           policy_filter_mark(f->policy, s->viewer, form)) &&
            policy_mark_eq(policy_ssh_mark(s->policy, s->viewer),
                           policy_ssh_mark(f->policy, s->viewer)));
}

static struct netmap_shared *shared_make(struct netmap_feed *f, const struct netmap_stream *s,
                                         const struct netmap_shared *key,
                                         const struct netmap_span *span)
{
    struct netmap_shared *x;

    if (f->n_shared == NETMAP_SHARED_MAX)
        shared_clear(f);
    x = &f->shared[f->n_shared++];
    *x = *key;
    policy_ref(x->policy_from);
    netmap_count(f, NETMAP_MADE, 1);
    buf_clear(&f->json);
    if (netmap_put_delta(&f->json, &(struct netmap_step){.old = s->view,
                                                         .now = f->view,
                                                         .policy_old = s->policy,
                                                         .policy_now = f->policy,
                                                         .viewer = s->viewer,
                                                         .shared = true,
                                                         .capver = s->capver,
                                                         .span = span}))
        x->json = blob_new(buf_str(&f->json));
    return x;
}

struct netmap_shared *netmap_feed_shared(struct netmap_feed *f, const struct netmap_stream *s,
                                         const struct netmap_span *span)
{
    const struct netmap_shared key = {.from = view_revision(s->view),
                                      .policy_from = s->policy,
                                      .cls = policy_class_of(s->policy, s->viewer),
                                      .user = policy_sight_user(s->policy, s->viewer)};
    struct netmap_shared *found = NULL;

    if (netmap_span_find(span, s->viewer) || !is_like_its_class(f, s, &key))
        return NULL;
    for (size_t i = 0; i < f->n_shared && !found; i++)
        if (shared_fits(&f->shared[i], &key))
            found = &f->shared[i];
    if (!found)
        found = shared_make(f, s, &key, span);
    return found;
}
