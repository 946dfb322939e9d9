/*
 * Sorted rows in shared chunks. See rows_internal.h.
 *
 * Invariants
 *   1. No chunk is empty; keys rise strictly through all chunks.
 *   2. A chunk with more than one owner is never written.
 */

#include "policy/rows_internal.h"

#include <stdatomic.h>
#include <string.h>

struct rows_chunk {
    struct ref ref;
    size_t len;
    uint64_t data[]; /* ROWS_CHUNK rows */
};

void rows_init(struct rows *r, size_t row_size)
{
    ASSERT(row_size % sizeof(uint64_t) == 0 && row_size >= 2 * sizeof(uint64_t));
    *r = (struct rows){.row_size = row_size};
}

static size_t chunk_bytes(const struct rows *r)
{
    return sizeof(struct rows_chunk) + ROWS_CHUNK * r->row_size;
}

static struct rows_chunk *chunk_new(const struct rows *r)
{
    struct rows_chunk *c = mem_alloc(chunk_bytes(r));

    ref_init(&c->ref);
    return c;
}

static void chunk_unref(struct rows_chunk *c)
{
    if (ref_drop(&c->ref))
        mem_free(c);
}

static uint64_t *row_of(const struct rows *r, struct rows_chunk *c, size_t i)
{
    return c->data + i * (r->row_size / sizeof(uint64_t));
}

void rows_fini(struct rows *r)
{
    for (size_t i = 0; i < r->n_chunks; i++)
        chunk_unref(r->chunks[i]);
    mem_free(r->chunks);
    rows_init(r, r->row_size);
}

void rows_copy(struct rows *to, const struct rows *from)
{
    *to = *from;
    to->chunks = mem_alloc_array(from->n_chunks, sizeof *to->chunks);
    to->cap = from->n_chunks;
    for (size_t i = 0; i < from->n_chunks; i++) {
        ref_take(&from->chunks[i]->ref);
        to->chunks[i] = from->chunks[i];
    }
}

static int key_cmp(const uint64_t *row, uint64_t key0, uint64_t key1)
{
    if (row[0] != key0)
        return row[0] < key0 ? -1 : 1;
    return (row[1] > key1) - (row[1] < key1);
}

/* The chunk that has the key or would get it; n_chunks > 0. */
static size_t chunk_for(const struct rows *r, uint64_t key0, uint64_t key1)
{
    size_t low = 0, high = r->n_chunks;

    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;

        if (key_cmp(row_of(r, r->chunks[mid], 0), key0, key1) <= 0)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* The first row of the chunk not below the key; len when there is none. */
static size_t row_for(const struct rows *r, struct rows_chunk *c, uint64_t key0, uint64_t key1)
{
    size_t low = 0, high = c->len;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (key_cmp(row_of(r, c, mid), key0, key1) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const void *rows_find(const struct rows *r, uint64_t key0, uint64_t key1)
{
    struct rows_chunk *c;
    size_t i;

    if (r->n_chunks == 0)
        return NULL;
    c = r->chunks[chunk_for(r, key0, key1)];
    i = row_for(r, c, key0, key1);
    if (i == c->len || key_cmp(row_of(r, c, i), key0, key1) != 0)
        return NULL;
    return row_of(r, c, i);
}

static void chunk_insert(struct rows *r, size_t at, struct rows_chunk *c)
{
    r->chunks = mem_room(r->chunks, r->n_chunks, &r->cap, 8, sizeof *r->chunks);
    memmove(r->chunks + at + 1, r->chunks + at, (r->n_chunks - at) * sizeof *r->chunks);
    r->chunks[at] = c;
    r->n_chunks++;
}

/* The chunk for writing: a copy when others have it too. */
static struct rows_chunk *chunk_own(struct rows *r, size_t at)
{
    struct rows_chunk *c = r->chunks[at], *copy;

    if (atomic_load(&c->ref.count) == 1)
        return c;
    copy = chunk_new(r);
    copy->len = c->len;
    memcpy(copy->data, c->data, c->len * r->row_size);
    chunk_unref(c);
    r->chunks[at] = copy;
    return copy;
}

/* A full chunk gives its upper half to a new one; appending at the very end starts an empty one. */
static void chunk_split(struct rows *r, size_t at, bool is_append)
{
    struct rows_chunk *c, *upper = chunk_new(r);

    if (is_append) {
        chunk_insert(r, at + 1, upper);
        return;
    }
    c = chunk_own(r, at);
    upper->len = c->len / 2;
    c->len -= upper->len;
    memcpy(upper->data, row_of(r, c, c->len), upper->len * r->row_size);
    chunk_insert(r, at + 1, upper);
}

void rows_put(struct rows *r, const void *row)
{
    const uint64_t *key = row;
    struct rows_chunk *c;
    size_t at, i;

    if (r->n_chunks == 0)
        chunk_insert(r, 0, chunk_new(r));
    at = chunk_for(r, key[0], key[1]);
    i = row_for(r, r->chunks[at], key[0], key[1]);
    if (i < r->chunks[at]->len && key_cmp(row_of(r, r->chunks[at], i), key[0], key[1]) == 0) {
        memcpy(row_of(r, chunk_own(r, at), i), row, r->row_size);
        return;
    }
    if (r->chunks[at]->len == ROWS_CHUNK) {
        chunk_split(r, at, i == ROWS_CHUNK && at + 1 == r->n_chunks);
        if (i > r->chunks[at]->len || (i == ROWS_CHUNK && r->chunks[at]->len == ROWS_CHUNK)) {
            i -= r->chunks[at]->len;
            at++;
        }
    }
    c = chunk_own(r, at);
    memmove(row_of(r, c, i + 1), row_of(r, c, i), (c->len - i) * r->row_size);
    memcpy(row_of(r, c, i), row, r->row_size);
    c->len++;
    r->count++;
}

bool rows_remove(struct rows *r, uint64_t key0, uint64_t key1)
{
    struct rows_chunk *c;
    size_t at, i;

    if (!rows_find(r, key0, key1))
        return false;
    at = chunk_for(r, key0, key1);
    c = chunk_own(r, at);
    i = row_for(r, c, key0, key1);
    memmove(row_of(r, c, i), row_of(r, c, i + 1), (c->len - i - 1) * r->row_size);
    c->len--;
    r->count--;
    if (c->len == 0) {
        chunk_unref(c);
        memmove(r->chunks + at, r->chunks + at + 1, (r->n_chunks - at - 1) * sizeof *r->chunks);
        r->n_chunks--;
    }
    return true;
}

struct rows_at rows_from(const struct rows *r, uint64_t key0, uint64_t key1)
{
    struct rows_at at = {0};

    if (r->n_chunks == 0)
        return at;
    at.chunk = chunk_for(r, key0, key1);
    at.row = row_for(r, r->chunks[at.chunk], key0, key1);
    return at;
}

const void *rows_next(const struct rows *r, struct rows_at *at)
{
    while (at->chunk < r->n_chunks && at->row >= r->chunks[at->chunk]->len) {
        at->chunk++;
        at->row = 0;
    }
    if (at->chunk >= r->n_chunks)
        return NULL;
    return row_of(r, r->chunks[at->chunk], at->row++);
}
