/*
 * The present as blocks of cards.
 *
 *   group (one sight; routes that vary by viewer apart) --> blocks of about a hundred nodes
 *                                                              --> prints: texts, compressed once
 *
 * A viewer sees a group whole, or only its own user's nodes of it, or not at all; so a full map is
 * made of prints that lie ready, but for the block the viewer itself is in. Prints are made when a
 * map wants them first and go when a node of their block changes.
 *
 * Invariants
 *   1. Every node of the view is in exactly one block, of the group for its sight under the policy.
 *   2. Blocks of a group, and nodes of a block, are by rising id; no block is empty.
 *   3. A print says what a map of the book's view under its policy says.
 *
 * Cost: what happened since the last full map; a policy of another lineage lays all nodes out anew,
 * and keeps the prints of blocks that come out as they were.
 */

#include <string.h>

#include "core/mem.h"
#include "crypto/hash.h"
#include "netmap/netmap_internal.h"
#include "json/writer.h"

void netmap_book_init(struct netmap_book *b, struct netmap_feed *f)
{
    *b = (struct netmap_book){.feed = f, .by_key = map_new()};
}

/* ---- Blocks ---- */

static void drop_prints(struct netmap_block *x)
{
    for (size_t i = 0; i < x->n_prints; i++)
        for (int form = 0; form < NETMAP_FORMS; form++)
            blob_unref(x->prints[i].form[form]);
    mem_free(x->prints);
    x->prints = NULL;
    x->n_prints = 0;
    netmap_bunch_drop_cards(x->bunch);
}

static void drop_profiles(struct netmap_block *x)
{
    for (int form = 0; form < NETMAP_FORMS; form++) {
        blob_unref(x->profiles[form]);
        x->profiles[form] = NULL;
    }
    netmap_bunch_drop_profiles(x->bunch);
}

static void block_free(struct netmap_block *x)
{
    drop_prints(x);
    drop_profiles(x);
    mem_free(x->nodes);
    mem_free(x);
}

static void block_insert(struct netmap_block *x, size_t at, const struct node *n)
{
    x->nodes = mem_room(x->nodes, x->n, &x->cap, 4, sizeof *x->nodes);
    memmove(x->nodes + at + 1, x->nodes + at, (x->n - at) * sizeof *x->nodes);
    x->nodes[at] = n;
    x->n++;
}

/* Where the node is, or would be. */
static size_t block_place(const struct netmap_block *x, node_id id)
{
    size_t low = 0, high = x->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (x->nodes[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ---- Groups ---- */

static void group_free(struct netmap_group *g)
{
    for (size_t i = 0; i < g->n; i++)
        block_free(g->blocks[i]);
    mem_free(g->blocks);
    mem_free(g);
}

static struct netmap_block *group_add_block(struct netmap_group *g, size_t at)
{
    g->blocks = mem_room(g->blocks, g->n, &g->cap, 2, sizeof(*g->blocks));
    memmove(g->blocks + at + 1, g->blocks + at, (g->n - at) * sizeof(*g->blocks));
    g->n++;
    return g->blocks[at] = NEW(struct netmap_block);
}

/* The last block that begins at the node or before; 0 when it is before all. */
static size_t group_place(const struct netmap_group *g, node_id id)
{
    size_t low = 0, high = g->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (g->blocks[mid]->nodes[0]->id <= id)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? low - 1 : 0;
}

struct netmap_block *netmap_group_find(const struct netmap_group *g, node_id id, size_t *at)
{
    struct netmap_block *x;

    if (g->n == 0)
        return NULL;
    x = g->blocks[group_place(g, id)];
    *at = block_place(x, id);
    return *at < x->n && x->nodes[*at]->id == id ? x : NULL;
}

static void split(struct netmap_group *g, size_t at)
{
    struct netmap_block *x = g->blocks[at], *y = group_add_block(g, at + 1);
    size_t half = x->n / 2;

    for (size_t i = half; i < x->n; i++)
        block_insert(y, y->n, x->nodes[i]);
    x->n = half;
}

static void group_insert(struct netmap_group *g, const struct node *n, size_t cards)
{
    size_t at = g->n ? group_place(g, n->id) : 0;
    struct netmap_block *x;

    if (g->n == 0)
        (void)group_add_block(g, 0);
    x = g->blocks[at];
    /* New nodes have the highest ids: a full block stays as it is, and the next begins. */
    if (at + 1 == g->n && (x->n >= cards || x->bunch) && x->n && x->nodes[x->n - 1]->id < n->id) {
        block_insert(group_add_block(g, g->n), 0, n);
        return;
    }
    block_insert(x, block_place(x, n->id), n);
    drop_prints(x);
    drop_profiles(x);
    if (x->n > cards + cards / 2)
        split(g, at);
}

static void group_remove(struct netmap_book *b, struct netmap_group *g, node_id id)
{
    size_t i, at = g->n ? group_place(g, id) : 0;
    struct netmap_block *x = netmap_group_find(g, id, &i);

    ASSERT(x);
    memmove(x->nodes + i, x->nodes + i + 1, (x->n - i - 1) * sizeof *x->nodes);
    x->n--;
    drop_prints(x);
    drop_profiles(x);
    if (x->n)
        return;
    netmap_bunch_dissolve(b, x->bunch);
    block_free(x);
    memmove(g->blocks + at, g->blocks + at + 1, (g->n - at - 1) * sizeof(*g->blocks));
    g->n--;
}

/* The second of two neighbours goes. */
static void group_join(struct netmap_group *g, size_t at)
{
    struct netmap_block *x = g->blocks[at], *y = g->blocks[at + 1];

    for (size_t i = 0; i < y->n; i++)
        block_insert(x, x->n, y->nodes[i]);
    drop_prints(x);
    drop_profiles(x);
    block_free(y);
    g->n--;
    memmove(g->blocks + at + 1, g->blocks + at + 2, (g->n - at - 1) * sizeof(*g->blocks));
}

void netmap_book_merge(struct netmap_book *b)
{
    size_t small = b->feed->limits.block_cards / 2;

    for (size_t i = 0; i < b->n_groups; i++) {
        struct netmap_group *g = b->groups[i];

        for (size_t k = 0; k + 1 < g->n;) {
            if (g->blocks[k]->n <= small && g->blocks[k + 1]->n <= small)
                group_join(g, k);
            else
                k++;
        }
    }
}

/* A newer version of a node stays where it is. */
static void group_replace(struct netmap_group *g, const struct node *old, const struct node *now,
                          unsigned mask)
{
    size_t i;
    struct netmap_block *x = netmap_group_find(g, now->id, &i);

    ASSERT(x);
    x->nodes[i] = now;
    if (mask & ~(unsigned)NODE_UNTOLD)
        drop_prints(x);
    if (old->user != now->user)
        drop_profiles(x);
}

/* ---- The book ---- */

static uint64_t key_of(const struct policy *p, const struct node *n)
{
    uint64_t sight = policy_sight_class(p, policy_class_of(p, n->id));

    return sight << 1 | (netmap_routes_vary(p, n) ? 1 : 0);
}

static struct netmap_group *group_for(struct netmap_book *b, uint64_t key)
{
    struct netmap_group *g = map_find_u64(b->by_key, key);

    if (g)
        return g;
    g = NEW(struct netmap_group);
    g->sight = (uint32_t)(key >> 1);
    g->varies = key & 1;
    b->groups = mem_realloc_array(b->groups, b->n_groups + 1, sizeof(*b->groups));
    b->groups[b->n_groups++] = g;
    (void)map_put_u64(b->by_key, key, g);
    return g;
}

const struct netmap_group *netmap_book_group(const struct netmap_book *b, const struct node *n)
{
    return map_find_u64(b->by_key, key_of(b->policy, n));
}

static void free_groups(struct netmap_group **groups, size_t n)
{
    for (size_t i = 0; i < n; i++)
        group_free(groups[i]);
    mem_free(groups);
}

static void drop_common(struct netmap_book *b)
{
    for (int own = 0; own < 2; own++) {
        for (int form = 0; form < NETMAP_FORMS; form++) {
            blob_unref(b->common[own][form]);
            b->common[own][form] = NULL;
        }
    }
    tailnet_info_unref(b->info);
    policy_document_unref(b->document);
    b->info = NULL;
    b->document = NULL;
}

void netmap_book_fini(struct netmap_book *b)
{
    netmap_bunches_free(b);
    free_groups(b->groups, b->n_groups);
    map_free(b->by_key);
    drop_common(b);
    for (int form = 0; form < NETMAP_FORMS; form++)
        blob_unref(b->end[form]);
    view_unref(b->view);
    policy_unref(b->policy);
    *b = (struct netmap_book){0};
}

/* The old blocks, by their first node. */
struct before {
    struct netmap_group **groups;
    size_t n_groups;
    const struct policy *policy;
    struct map *starts;
};

static void before_take(struct before *was, struct netmap_book *b)
{
    netmap_bunches_free(b);
    *was = (struct before){b->groups, b->n_groups, b->policy, map_new()};
    for (size_t i = 0; i < b->n_groups; i++)
        for (size_t k = 0; !b->groups[i]->varies && k < b->groups[i]->n; k++)
            (void)map_put_u64(was->starts, b->groups[i]->blocks[k]->nodes[0]->id,
                              b->groups[i]->blocks[k]);
    b->groups = NULL;
    b->n_groups = 0;
    map_free(b->by_key);
    b->by_key = map_new();
}

static bool looks_the_same(const struct policy *a, const struct policy *b, node_id id)
{
    uint32_t x = policy_class_of(a, id), y = policy_class_of(b, id);

    return policy_class_hides_ipv4(a, x) == policy_class_hides_ipv4(b, y) &&
           str_eq(policy_class_caps(a, x), policy_class_caps(b, y));
}

/* Same nodes, same looks: the prints are still right. */
static void reuse(const struct before *was, const struct policy *now, struct netmap_block *x)
{
    struct netmap_block *old = map_find_u64(was->starts, x->nodes[0]->id);

    if (!old || old->n != x->n || memcmp(old->nodes, x->nodes, x->n * sizeof *x->nodes) != 0)
        return;
    for (size_t i = 0; i < x->n; i++)
        if (!looks_the_same(was->policy, now, x->nodes[i]->id))
            return;
    x->prints = TAKE(old->prints);
    x->n_prints = old->n_prints;
    old->n_prints = 0;
    for (int form = 0; form < NETMAP_FORMS; form++)
        x->profiles[form] = TAKE(old->profiles[form]);
}

static void append(struct netmap_group *g, const struct before *was, const struct node *n,
                   size_t cards)
{
    struct netmap_block *x = g->n ? g->blocks[g->n - 1] : NULL;

    /* Where a block began before, one begins again, so that those after it find theirs. */
    if (!x || x->n >= cards || (x->n >= cards / 2 && map_find_u64(was->starts, n->id)))
        x = group_add_block(g, g->n);
    block_insert(x, x->n, n);
}

static void lay_out(struct netmap_book *b, bool users_stay)
{
    const struct tailnet_view *view = b->feed->view;
    const struct policy *policy = b->feed->policy;
    struct before was;
    const struct node *n;
    size_t at = 0;

    before_take(&was, b);
    while ((n = view_node_next(view, &at)))
        append(group_for(b, key_of(policy, n)), &was, n, b->feed->limits.block_cards);
    for (size_t i = 0; users_stay && i < b->n_groups; i++)
        for (size_t k = 0; !b->groups[i]->varies && k < b->groups[i]->n; k++)
            reuse(&was, policy, b->groups[i]->blocks[k]);
    free_groups(was.groups, was.n_groups);
    map_free(was.starts);
}

static void step_node(struct netmap_book *b, const struct netmap_touched *t)
{
    const struct netmap_feed *f = b->feed;
    const struct node *old = view_node_find(b->view, t->id);
    const struct node *now = view_node_find(f->view, t->id);
    struct netmap_group *from = old ? group_for(b, key_of(b->policy, old)) : NULL;
    struct netmap_group *to = now ? group_for(b, key_of(f->policy, now)) : NULL;

    if (from && from == to) {
        group_replace(to, old, now, t->mask);
        return;
    }
    if (from)
        group_remove(b, from, t->id);
    if (to)
        group_insert(to, now, f->limits.block_cards);
}

static void step(struct netmap_book *b, const struct netmap_span *span)
{
    bool routes_stay =
        policy_mark_eq(policy_routes_mark(b->policy), policy_routes_mark(b->feed->policy));

    for (size_t i = 0; i < span->n_nodes; i++)
        step_node(b, &span->nodes[i]);
    for (size_t i = 0; i < b->n_groups; i++) {
        struct netmap_group *g = b->groups[i];

        for (size_t k = 0; k < g->n; k++) {
            if (!routes_stay && g->varies)
                drop_prints(g->blocks[k]);
            if (span->n_users)
                drop_profiles(g->blocks[k]);
        }
    }
}

void netmap_book_update(struct netmap_book *b)
{
    const struct netmap_feed *f = b->feed;
    struct netmap_span span = {0};
    bool known = b->view && view_revision(b->view) >= f->floor;

    if (b->view == f->view && b->policy == f->policy)
        return;
    if (known)
        netmap_feed_span(f, view_revision(b->view), UINT64_MAX, &span);
    if (known && policy_same_lineage(b->policy, f->policy))
        step(b, &span);
    else
        lay_out(b, known && span.n_users == 0);
    netmap_span_fini(&span);
    view_ref(f->view);
    view_unref(b->view);
    b->view = f->view;
    policy_ref(f->policy);
    policy_unref(b->policy);
    b->policy = f->policy;
    netmap_bunches_update(b);
}

/* ---- Texts ---- */

void netmap_block_put_cards(struct buf *out, const struct policy *p, const struct netmap_block *x,
                            struct netmap_want want)
{
    const struct netmap_eye eye = {.cls = want.viewer};

    IGNORE(buf_reserve(out, x->n * NETMAP_CARD_GUESS));
    for (size_t i = 0; i < x->n; i++) {
        if (i || !want.is_first)
            buf_put_char(out, ',');
        netmap_put_card_for(out, p, &eye, x->nodes[i]);
    }
}

static struct netmap_print *print_for(struct netmap_block *x, uint32_t key)
{
    for (size_t i = 0; i < x->n_prints; i++)
        if (x->prints[i].key == key)
            return &x->prints[i];
    x->prints = mem_realloc_array(x->prints, x->n_prints + 1, sizeof *x->prints);
    x->prints[x->n_prints] = (struct netmap_print){.key = key};
    return &x->prints[x->n_prints++];
}

/* Most classes are shown the same routes: one print in memory for them. */
static bool share(struct netmap_block *x, struct netmap_print *print, int form)
{
    for (size_t i = 0; i < x->n_prints; i++) {
        const struct netmap_print *other = &x->prints[i];

        if (other->form[form] && memcmp(other->sum, print->sum, sizeof print->sum) == 0) {
            print->form[form] = blob_ref(other->form[form]);
            return true;
        }
    }
    return false;
}

struct blob *netmap_block_cards(struct netmap_book *b, const struct netmap_group *g,
                                struct netmap_block *x, struct netmap_want want)
{
    uint32_t whom = g->varies ? want.viewer : policy_class_hides_ipv4(b->policy, want.viewer);
    uint32_t key = whom << 1 | want.is_first;
    struct netmap_print *print = print_for(x, key);
    struct buf text = BUF(NETMAP_MESSAGE_MAX);

    if (print->form[want.zstd]) {
        netmap_count(b->feed, NETMAP_BLOCK_REUSED, 1);
        return print->form[want.zstd];
    }
    netmap_block_put_cards(&text, b->policy, x, want);
    if (g->varies)
        sha256(buf_str(&text), print->sum);
    if (!g->varies || !share(x, print, want.zstd)) {
        netmap_count(b->feed, NETMAP_BLOCK_MADE, 1);
        if (!buf_is_full(&text))
            print->form[want.zstd] = netmap_part(buf_str(&text), want.zstd);
    }
    buf_fini(&text);
    return print->form[want.zstd];
}

void netmap_put_owners(struct buf *out, const struct tailnet_view *view, user_id *owners, size_t n)
{
    n = netmap_ids_sort(owners, n);
    for (size_t i = 0; i < n; i++) {
        const struct user *u = owners[i] ? view_user_find(view, owners[i]) : NULL;

        if (owners[i] && !u)
            continue;
        buf_put_char(out, ',');
        netmap_put_profile(out, u);
    }
}

static void put_profiles(struct buf *text, const struct tailnet_view *view,
                         const struct netmap_block *x)
{
    user_id *owners = mem_alloc_array(x->n, sizeof *owners);

    for (size_t i = 0; i < x->n; i++)
        owners[i] = x->nodes[i]->user;
    netmap_put_owners(text, view, owners, x->n);
    mem_free(owners);
}

struct blob *netmap_block_profiles(struct netmap_book *b, struct netmap_block *x, bool zstd)
{
    struct buf text = BUF(NETMAP_MESSAGE_MAX);

    if (!x->profiles[zstd]) {
        put_profiles(&text, b->view, x);
        x->profiles[zstd] = netmap_part(buf_str(&text), zstd);
        buf_fini(&text);
    }
    return x->profiles[zstd];
}

struct blob *netmap_book_end(struct netmap_book *b, bool zstd)
{
    if (!b->end[zstd])
        b->end[zstd] = netmap_part(STR("]}"), zstd);
    return b->end[zstd];
}

static void put_common(struct buf *text, const struct tailnet_info *info,
                       const struct policy *policy, bool own)
{
    struct json_writer w = {.out = text, .comma = true, .depth = 1};

    buf_put_char(text, ']');
    if (!own) {
        netmap_key(&w, STR("DERPMap"));
        netmap_put_derp_map(text, info, policy, NULL);
    }
    if (!own && !netmap_dns_is_personal(info)) {
        netmap_key(&w, STR("DNSConfig"));
        netmap_put_dns(text, info, NULL, NULL);
    }
    json_field_str(&w, STR("Domain"), info->domain);
    json_field_bool(&w, STR("CollectServices"), false);
    if (!info->logtail) {
        json_field_object(&w, STR("Debug"));
        json_field_bool(&w, STR("DisableLogTail"), true);
        json_end_object(&w);
    }
}

struct blob *netmap_book_common(struct netmap_book *b, bool own, bool zstd)
{
    struct blob **common = &b->common[own][zstd];
    const struct tailnet_info *info = view_info(b->view);
    const struct policy_document *document = policy_document(b->policy);
    struct buf text = BUF(NETMAP_MESSAGE_MAX);

    if (b->info != info || b->document != document) {
        drop_common(b);
        b->info = tailnet_info_ref(info);
        b->document = document ? policy_document_ref(document) : NULL;
    }
    if (!*common) {
        put_common(&text, info, b->policy, own);
        if (!buf_is_full(&text))
            *common = netmap_part(buf_str(&text), zstd);
        buf_fini(&text);
    }
    return *common;
}
