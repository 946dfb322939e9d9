/*
 * Equal changes told together.
 *
 * For one text, the pairs it is true of are a relation between sources and destinations. Sources
 * with the same destinations go into one line, or destinations with the same sources: whichever
 * makes fewer lines.
 */

#include "policy/diff_internal.h"

#include <stdlib.h>
#include <string.h>

struct pair {
    uint32_t side[2]; /* crowds: from, to */
};
struct bucket {
    char sign;
    struct str verb, text;
    struct pair *pairs;
    size_t len;
};

struct change_set {
    struct diff *d;
    struct map *bucket_ids, *crowd_ids;
    struct bucket *buckets;
    size_t n_buckets;
    struct crowd *crowds;
    size_t n_crowds;
};

struct change_set *changes_new(struct diff *d)
{
    struct change_set *c = NEW(struct change_set);

    c->d = d;
    c->bucket_ids = map_new();
    c->crowd_ids = map_new();
    return c;
}

static uint32_t crowd_id(struct change_set *c, struct crowd crowd)
{
    struct str key = str_bytes(&crowd.items, sizeof crowd.items);
    uintptr_t id = (uintptr_t)map_find(c->crowd_ids, key);

    if (id)
        return (uint32_t)(id - 1);
    if ((c->n_crowds & (c->n_crowds - 1)) == 0)
        c->crowds =
            mem_realloc_array(c->crowds, MAX(c->n_crowds * 2, (size_t)16), sizeof *c->crowds);
    c->crowds[c->n_crowds++] = crowd;
    (void)map_put(c->crowd_ids, key, (void *)(uintptr_t)c->n_crowds);
    return (uint32_t)(c->n_crowds - 1);
}

static struct bucket *bucket_of(struct change_set *c, char sign, struct str verb, struct str text)
{
    struct buf key = BUF(0);
    uintptr_t id;

    buf_printf(&key, "%c%.*s\n%.*s", sign, STR_ARG(verb), STR_ARG(text));
    id = (uintptr_t)map_find(c->bucket_ids, buf_str(&key));
    if (id == 0) {
        if ((c->n_buckets & (c->n_buckets - 1)) == 0)
            c->buckets =
                mem_realloc_array(c->buckets, MAX(c->n_buckets * 2, (size_t)8), sizeof *c->buckets);
        c->buckets[c->n_buckets++] = (struct bucket){.sign = sign,
                                                     .verb = arena_copy(c->d->arena, verb),
                                                     .text = arena_copy(c->d->arena, text)};
        id = c->n_buckets;
        (void)map_put(c->bucket_ids, buf_str(&key), (void *)id);
    }
    buf_fini(&key);
    return &c->buckets[id - 1];
}

void changes_add(struct change_set *c, char sign, struct str verb, struct str text,
                 struct crowd from, struct crowd to)
{
    struct pair pair = {{crowd_id(c, from), crowd_id(c, to)}};
    struct bucket *b = bucket_of(c, sign, verb, text);

    if ((b->len & (b->len - 1)) == 0)
        b->pairs = mem_realloc_array(b->pairs, MAX(b->len * 2, (size_t)4), sizeof *b->pairs);
    b->pairs[b->len++] = pair;
}

/* ---- Folding ---- */

static int by_from(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;

    if (x->side[0] != y->side[0])
        return x->side[0] < y->side[0] ? -1 : 1;
    return (x->side[1] > y->side[1]) - (x->side[1] < y->side[1]);
}

static void turn(struct bucket *b)
{
    for (size_t i = 0; i < b->len; i++) {
        uint32_t t = b->pairs[i].side[0];

        b->pairs[i].side[0] = b->pairs[i].side[1];
        b->pairs[i].side[1] = t;
    }
}

static void sort_unique(struct bucket *b)
{
    size_t n = 0;

    qsort(b->pairs, b->len, sizeof *b->pairs, by_from);
    for (size_t i = 0; i < b->len; i++)
        if (n == 0 || by_from(&b->pairs[n - 1], &b->pairs[i]) != 0)
            b->pairs[n++] = b->pairs[i];
    b->len = n;
}

/* A line to be: the firsts that have the same seconds. */
struct block {
    uint32_t *firsts;
    size_t len;
    size_t from, n; /* the seconds: pairs of one first */
};
struct blocks {
    struct block *items;
    size_t len;
};

static void blocks_fini(struct blocks *b)
{
    for (size_t i = 0; i < b->len; i++)
        mem_free(b->items[i].firsts);
    mem_free(b->items);
}

static struct blocks fold(const struct bucket *b)
{
    struct map *ids = map_new();
    struct blocks out = {0};
    struct buf key = BUF(0);

    for (size_t i = 0, n; i < b->len; i += n) {
        uintptr_t id;

        buf_clear(&key);
        for (n = 0; i + n < b->len && b->pairs[i + n].side[0] == b->pairs[i].side[0]; n++)
            buf_put_be32(&key, b->pairs[i + n].side[1]);
        id = (uintptr_t)map_find(ids, buf_str(&key));
        if (id == 0) {
            if ((out.len & (out.len - 1)) == 0)
                out.items =
                    mem_realloc_array(out.items, MAX(out.len * 2, (size_t)8), sizeof *out.items);
            out.items[out.len++] = (struct block){.from = i, .n = n};
            id = out.len;
            (void)map_put(ids, buf_str(&key), (void *)id);
        }
        struct block *block = &out.items[id - 1];
        if ((block->len & (block->len - 1)) == 0)
            block->firsts =
                mem_realloc_array(block->firsts, MAX(block->len * 2, (size_t)4), sizeof(uint32_t));
        block->firsts[block->len++] = b->pairs[i].side[0];
    }
    buf_fini(&key);
    map_free(ids);
    return out;
}

/* ---- Lines ---- */

static int by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void crowd_join(struct crowd *to, struct crowd more)
{
    if (more.len == 0)
        return;
    to->items = mem_realloc_array(to->items, to->len + more.len, sizeof *to->items);
    memcpy(to->items + to->len, more.items, more.len * sizeof *to->items);
    to->len += more.len;
}

static void crowd_settle(struct crowd *c)
{
    size_t n = 0;

    if (c->len)
        qsort(c->items, c->len, sizeof *c->items, by_number);
    for (size_t i = 0; i < c->len; i++)
        if (n == 0 || c->items[n - 1] != c->items[i])
            c->items[n++] = c->items[i];
    c->len = n;
}

static void put_line(struct change_set *c, const struct bucket *b, struct crowd from,
                     struct crowd to)
{
    struct buf *out = c->d->out;

    if (!diff_line(c->d))
        return;
    buf_printf(out, "%c ", b->sign);
    diff_put_crowd(c->d, from);
    buf_printf(out, " %.*s", STR_ARG(b->verb));
    if (to.len) {
        buf_put_char(out, ' ');
        diff_put_crowd(c->d, to);
    }
    if (b->text.len)
        buf_printf(out, " %.*s", STR_ARG(b->text));
    buf_put_char(out, '\n');
}

static void put_blocks(struct change_set *c, const struct bucket *b, const struct blocks *blocks,
                       bool turned)
{
    for (size_t i = 0; i < blocks->len; i++) {
        const struct block *block = &blocks->items[i];
        struct crowd firsts = {0}, seconds = {0};

        for (size_t k = 0; k < block->len; k++)
            crowd_join(&firsts, c->crowds[block->firsts[k]]);
        for (size_t k = 0; k < block->n; k++)
            crowd_join(&seconds, c->crowds[b->pairs[block->from + k].side[1]]);
        crowd_settle(&firsts);
        crowd_settle(&seconds);
        put_line(c, b, turned ? seconds : firsts, turned ? firsts : seconds);
        mem_free(firsts.items);
        mem_free(seconds.items);
    }
}

static void put_bucket(struct change_set *c, struct bucket *b)
{
    struct blocks straight, turned;

    turn(b);
    sort_unique(b);
    turned = fold(b);
    turn(b);
    sort_unique(b);
    straight = fold(b);
    if (straight.len <= turned.len) {
        put_blocks(c, b, &straight, false);
    } else {
        turn(b);
        sort_unique(b);
        put_blocks(c, b, &turned, true);
    }
    blocks_fini(&straight);
    blocks_fini(&turned);
}

void changes_put(struct change_set *c)
{
    for (size_t i = 0; i < c->n_buckets; i++) {
        put_bucket(c, &c->buckets[i]);
        mem_free(c->buckets[i].pairs);
    }
    mem_free(c->buckets);
    mem_free(c->crowds);
    map_free(c->bucket_ids);
    map_free(c->crowd_ids);
    mem_free(c);
}
