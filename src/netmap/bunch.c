/*
 * Bunches: small blocks that lie beside each other and are sent as one frame to who sees them all.
 *
 * Under rules a tailnet has as many groups as there are kinds of people, of some nodes each, and a
 * frame of a few cards is twice the bytes a card of one of many. In the order of how many see them
 * (netmap_fame) neighbours are mostly seen together: who sees one that few see sees its neighbours,
 * or has them block by block as before.
 *
 * Invariants
 *   1. Bunches are of small blocks of groups whose routes are the same to all; a block is in one at
 *      most.
 *   2. What drops the texts of a block drops those of its bunch. A block that goes dissolves it.
 *   3. What joins a group begins a block beside its bunched ones, so that newcomers drop nothing.
 *      When there are too many such, all are put in order anew.
 */

#include "core/mem.h"
#include "netmap/netmap_internal.h"

/* ---- Texts ---- */

void netmap_bunch_drop_cards(struct netmap_bunch *x)
{
    for (int i = 0; x && i < 4 * NETMAP_FORMS; i++) {
        struct blob **cards = &x->cards[i / 4][i / 2 % 2][i % 2];

        blob_unref(*cards);
        *cards = NULL;
    }
}

void netmap_bunch_drop_profiles(struct netmap_bunch *x)
{
    for (int form = 0; x && form < NETMAP_FORMS; form++) {
        blob_unref(x->profiles[form]);
        x->profiles[form] = NULL;
    }
}

struct blob *netmap_bunch_cards(struct netmap_book *b, struct netmap_bunch *x,
                                struct netmap_want want)
{
    bool hides = policy_class_hides_ipv4(b->policy, want.viewer);
    struct blob **cards = &x->cards[want.is_first][hides][want.zstd];
    struct buf text = BUF(NETMAP_MESSAGE_MAX);

    netmap_count(b->feed, *cards ? NETMAP_BLOCK_REUSED : NETMAP_BLOCK_MADE, 1);
    if (*cards)
        return *cards;
    for (size_t i = 0; i < x->n; i++) {
        netmap_block_put_cards(&text, b->policy, x->blocks[i].block, want);
        want.is_first = false;
    }
    if (!buf_is_full(&text))
        *cards = netmap_part(buf_str(&text), want.zstd);
    buf_fini(&text);
    return *cards;
}

struct blob *netmap_bunch_profiles(struct netmap_book *b, struct netmap_bunch *x, bool zstd)
{
    struct buf text = BUF(NETMAP_MESSAGE_MAX);
    size_t n = 0, at = 0;
    user_id *owners;

    if (x->profiles[zstd])
        return x->profiles[zstd];
    for (size_t i = 0; i < x->n; i++)
        n += x->blocks[i].block->n;
    owners = mem_alloc_array(n, sizeof *owners);
    for (size_t i = 0; i < x->n; i++)
        for (size_t k = 0; k < x->blocks[i].block->n; k++)
            owners[at++] = x->blocks[i].block->nodes[k]->user;
    netmap_put_owners(&text, b->view, owners, n);
    x->profiles[zstd] = netmap_part(buf_str(&text), zstd);
    mem_free(owners);
    buf_fini(&text);
    return x->profiles[zstd];
}

/* ---- Which blocks ---- */

static void bunch_free(struct netmap_bunch *x)
{
    for (size_t i = 0; i < x->n; i++)
        x->blocks[i].block->bunch = NULL;
    netmap_bunch_drop_cards(x);
    netmap_bunch_drop_profiles(x);
    mem_free(x->blocks);
    mem_free(x);
}

void netmap_bunches_free(struct netmap_book *b)
{
    for (size_t i = 0; i < b->n_bunches; i++)
        bunch_free(b->bunches[i]);
    mem_free(b->bunches);
    b->bunches = NULL;
    b->n_bunches = b->cap_bunches = 0;
}

void netmap_bunch_dissolve(struct netmap_book *b, struct netmap_bunch *x)
{
    for (size_t i = 0; x && i < b->n_bunches; i++) {
        if (b->bunches[i] == x) {
            b->bunches[i] = b->bunches[--b->n_bunches];
            bunch_free(x);
            return;
        }
    }
}

struct ranked {
    unsigned fame;
    struct netmap_bunched at;
};

static int by_fame(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    node_id i = x->at.block->nodes[0]->id, k = y->at.block->nodes[0]->id;

    if (x->fame != y->fame)
        return x->fame > y->fame ? -1 : 1;
    if (x->at.sight != y->at.sight)
        return x->at.sight < y->at.sight ? -1 : 1;
    return (i > k) - (i < k);
}

static bool is_small(const struct netmap_book *b, const struct netmap_block *x)
{
    return x->n <= b->feed->limits.block_cards / 2;
}

/* Small blocks, those in bunches and the others. */
static void count_small(const struct netmap_book *b, size_t *bunched, size_t *single)
{
    *bunched = *single = 0;
    for (size_t i = 0; i < b->n_groups; i++) {
        const struct netmap_group *g = b->groups[i];

        for (size_t k = 0; !g->varies && k < g->n; k++) {
            *bunched += g->blocks[k]->bunch != NULL;
            *single += !g->blocks[k]->bunch && is_small(b, g->blocks[k]);
        }
    }
}

static size_t rank_small(struct netmap_book *b, struct ranked *all)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n_groups; i++) {
        const struct netmap_group *g = b->groups[i];
        unsigned fame = netmap_fame(&b->feed->sights, b->policy, g->sight);

        for (size_t k = 0; !g->varies && k < g->n; k++)
            if (is_small(b, g->blocks[k]))
                all[n++] = (struct ranked){fame, {g->blocks[k], g->sight}};
    }
    if (n)
        qsort(all, n, sizeof *all, by_fame);
    return n;
}

static void add_bunch(struct netmap_book *b, const struct ranked *all, size_t n)
{
    struct netmap_bunch *x;

    if (n < 2)
        return;
    x = NEW(struct netmap_bunch);
    x->blocks = mem_alloc_array(n, sizeof *x->blocks);
    x->n = n;
    for (size_t i = 0; i < n; i++) {
        x->blocks[i] = all[i].at;
        all[i].at.block->bunch = x;
    }
    b->bunches = mem_room(b->bunches, b->n_bunches, &b->cap_bunches, 8, sizeof *b->bunches);
    b->bunches[b->n_bunches++] = x;
}

static void cut(struct netmap_book *b, const struct ranked *all, size_t n)
{
    size_t most = b->feed->limits.block_cards * 3 / 2;

    for (size_t from = 0, to; from < n; from = to) {
        size_t cards = all[from].at.block->n;

        for (to = from + 1; to < n && cards + all[to].at.block->n <= most; to++)
            cards += all[to].at.block->n;
        add_bunch(b, all + from, to - from);
    }
}

void netmap_bunches_update(struct netmap_book *b)
{
    size_t bunched, single;
    struct ranked *all;

    count_small(b, &bunched, &single);
    if (single <= b->feed->limits.bunch_least + bunched / 3)
        return;
    netmap_bunches_free(b);
    netmap_book_merge(b);
    all = mem_alloc_array(bunched + single, sizeof *all);
    cut(b, all, rank_small(b, all));
    mem_free(all);
}

bool netmap_bunch_is_seen(const struct netmap_book *b, const struct netmap_bunch *x,
                          uint32_t viewer)
{
    for (size_t i = 0; i < x->n; i++)
        if (netmap_sight(&b->feed->sights, b->policy, viewer, x->blocks[i].sight) !=
            POLICY_SIGHT_ALL)
            return false;
    return true;
}
