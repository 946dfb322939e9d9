/*
 * Invariants
 *   1. Ids rise within a chunk and from chunk to chunk; no chunk is empty.
 *   2. A chunk with more than one owner is never written to.
 *   3. Each chunk holds one reference on each of its objects.
 *   4. A chunk grows as it is filled: most tables of a small tailnet hold a few things.
 */

#include "tailnet/table_internal.h"

#include <stdatomic.h>

#define CHUNK_LEAST 8

struct table_chunk {
    struct ref ref;
    size_t n, cap;
    struct table_item {
        uint64_t id;
        const void *object;
    } items[];
};

static struct table_chunk *chunk_new(size_t cap)
{
    struct table_chunk *c =
        mem_alloc(sizeof(*c) + MAX(cap, (size_t)CHUNK_LEAST) * sizeof(c->items[0]));

    ref_init(&c->ref);
    c->cap = MAX(cap, (size_t)CHUNK_LEAST);
    return c;
}

static void chunk_unref(const struct table *t, struct table_chunk *c)
{
    if (!ref_drop(&c->ref))
        return;
    for (size_t i = 0; i < c->n; i++)
        t->unref(c->items[i].object);
    mem_free(c);
}

void table_fini(struct table *t)
{
    for (size_t i = 0; i < t->n_chunks; i++)
        chunk_unref(t, t->chunks[i]);
    mem_free(t->chunks);
    t->chunks = NULL;
    t->n_chunks = t->cap = t->count = 0;
}

void table_copy(struct table *to, const struct table *from)
{
    *to = *from;
    to->cap = from->n_chunks;
    to->chunks = to->cap > 0 ? mem_dup(from->chunks, to->cap * sizeof(*to->chunks)) : NULL;
    for (size_t i = 0; i < to->n_chunks; i++)
        ref_take(&to->chunks[i]->ref);
}

/* The last chunk that begins at or before `id`; 0 if none does. */
static size_t chunk_of(const struct table *t, uint64_t id)
{
    size_t low = 0, high = t->n_chunks;

    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;

        if (t->chunks[mid]->items[0].id <= id)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* The first place in the chunk whose id is not below `id`. */
static size_t place_of(const struct table_chunk *c, uint64_t id)
{
    size_t low = 0, high = c->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (c->items[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const void *table_find(const struct table *t, uint64_t id)
{
    if (t->n_chunks == 0)
        return NULL;

    const struct table_chunk *c = t->chunks[chunk_of(t, id)];
    size_t at = place_of(c, id);

    return at < c->n && c->items[at].id == id ? c->items[at].object : NULL;
}

/* The chunk as one that may be written to. */
static struct table_chunk *own_chunk(struct table *t, size_t index)
{
    struct table_chunk *c = t->chunks[index];

    if (atomic_load_explicit(&c->ref.count, memory_order_acquire) == 1)
        return c;

    struct table_chunk *copy = chunk_new(c->cap);

    copy->n = c->n;
    for (size_t i = 0; i < c->n; i++)
        copy->items[i] = (struct table_item){c->items[i].id, t->ref(c->items[i].object)};
    chunk_unref(t, c);
    t->chunks[index] = copy;
    return copy;
}

/* One that may be written to, with room for so many. */
static struct table_chunk *chunk_grow(struct table *t, size_t index, size_t n)
{
    struct table_chunk *c = t->chunks[index];

    if (n <= c->cap)
        return c;
    size_t cap = MIN(MAX(n, c->cap * 2), (size_t)TABLE_CHUNK);
    c = mem_realloc_array(c, 1, sizeof(*c) + cap * sizeof(c->items[0]));
    c->cap = cap;
    t->chunks[index] = c;
    return c;
}

static void insert_chunk(struct table *t, size_t index, struct table_chunk *c)
{
    t->chunks = mem_room(t->chunks, t->n_chunks, &t->cap, 4, sizeof(*t->chunks));
    memmove(t->chunks + index + 1, t->chunks + index, (t->n_chunks - index) * sizeof(*t->chunks));
    t->chunks[index] = c;
    t->n_chunks++;
}

static void remove_chunk(struct table *t, size_t index)
{
    chunk_unref(t, t->chunks[index]);
    t->n_chunks--;
    memmove(t->chunks + index, t->chunks + index + 1, (t->n_chunks - index) * sizeof(*t->chunks));
}

/* Moves what stands from `from` on to the end of `to`, references and all. */
static void move_items(struct table_chunk *to, struct table_chunk *c, size_t from)
{
    size_t n = c->n - from;

    memcpy(to->items + to->n, c->items + from, n * sizeof(c->items[0]));
    to->n += n;
    c->n = from;
}

static void insert_item(struct table_chunk *c, size_t at, uint64_t id, const void *object)
{
    memmove(c->items + at + 1, c->items + at, (c->n - at) * sizeof(c->items[0]));
    c->items[at] = (struct table_item){id, object};
    c->n++;
}

void table_put(struct table *t, uint64_t id, const void *object)
{
    if (t->n_chunks == 0)
        insert_chunk(t, 0, chunk_new(0));

    size_t index = chunk_of(t, id);
    struct table_chunk *c = own_chunk(t, index);
    size_t at = place_of(c, id);

    if (at < c->n && c->items[at].id == id) {
        const void *old = c->items[at].object;

        c->items[at].object = object;
        t->unref(old);
        return;
    }
    t->count++;
    if (c->n == TABLE_CHUNK) {
        /* New ids come at the end, where chunks are left full; elsewhere one is cut in half. */
        struct table_chunk *next = chunk_new(at == TABLE_CHUNK ? 0 : TABLE_CHUNK);

        move_items(next, c, at == TABLE_CHUNK ? TABLE_CHUNK : TABLE_CHUNK / 2);
        insert_chunk(t, index + 1, next);
        if (at > c->n || c->n == TABLE_CHUNK) {
            at -= c->n;
            c = next;
        }
    }
    if (c->n == c->cap)
        c = chunk_grow(t, t->chunks[index] == c ? index : index + 1, c->n + 1);
    insert_item(c, at, id, object);
}

/* Puts two neighbours that are half a chunk together into one. */
static void merge(struct table *t, size_t index)
{
    if (index + 1 >= t->n_chunks || t->chunks[index]->n + t->chunks[index + 1]->n > TABLE_CHUNK / 2)
        return;
    size_t n = t->chunks[index]->n + t->chunks[index + 1]->n;
    (void)own_chunk(t, index);
    move_items(chunk_grow(t, index, n), own_chunk(t, index + 1), 0);
    remove_chunk(t, index + 1);
}

bool table_remove(struct table *t, uint64_t id)
{
    if (!table_find(t, id))
        return false;

    size_t index = chunk_of(t, id);
    struct table_chunk *c = own_chunk(t, index);
    size_t at = place_of(c, id);

    t->unref(c->items[at].object);
    c->n--;
    t->count--;
    memmove(c->items + at, c->items + at + 1, (c->n - at) * sizeof(c->items[0]));
    if (c->n == 0) {
        remove_chunk(t, index);
        return true;
    }
    merge(t, index);
    if (index > 0)
        merge(t, index - 1);
    return true;
}

const void *table_next(const struct table *t, size_t *at)
{
    size_t index = *at / TABLE_CHUNK, place = *at % TABLE_CHUNK;

    if (index < t->n_chunks && place >= t->chunks[index]->n) {
        index++;
        place = 0;
    }
    if (index >= t->n_chunks)
        return NULL;
    *at = index * TABLE_CHUNK + place + 1;
    return t->chunks[index]->items[place].object;
}
