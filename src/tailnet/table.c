/*
 * Invariants
 *   1. Ids rise within a chunk and from chunk to chunk; no chunk is empty.
 *   2. A chunk with more than one owner is never written to.
 *   3. Each chunk holds one reference on each of its objects.
 */

#include "tailnet/table_internal.h"

#include <stdatomic.h>

struct table_chunk {
    struct ref ref;
    size_t n;
    uint64_t ids[TABLE_CHUNK];
    const void *objects[TABLE_CHUNK];
};

static struct table_chunk *chunk_new(void)
{
    struct table_chunk *c = NEW(struct table_chunk);

    ref_init(&c->ref);
    return c;
}

static void chunk_unref(const struct table *t, struct table_chunk *c)
{
    if (!ref_drop(&c->ref))
        return;
    for (size_t i = 0; i < c->n; i++)
        t->unref(c->objects[i]);
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

        if (t->chunks[mid]->ids[0] <= id)
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

        if (c->ids[mid] < id)
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

    return at < c->n && c->ids[at] == id ? c->objects[at] : NULL;
}

/* The chunk as one that may be written to. */
static struct table_chunk *own_chunk(struct table *t, size_t index)
{
    struct table_chunk *c = t->chunks[index];

    if (atomic_load_explicit(&c->ref.count, memory_order_acquire) == 1)
        return c;

    struct table_chunk *copy = chunk_new();

    copy->n = c->n;
    memcpy(copy->ids, c->ids, c->n * sizeof(c->ids[0]));
    for (size_t i = 0; i < c->n; i++)
        copy->objects[i] = t->ref(c->objects[i]);
    chunk_unref(t, c);
    t->chunks[index] = copy;
    return copy;
}

static void insert_chunk(struct table *t, size_t index, struct table_chunk *c)
{
    if (t->n_chunks == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 4;
        t->chunks = mem_realloc_array(t->chunks, t->cap, sizeof(*t->chunks));
    }
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

    memcpy(to->ids + to->n, c->ids + from, n * sizeof(c->ids[0]));
    memcpy(to->objects + to->n, c->objects + from, n * sizeof(c->objects[0]));
    to->n += n;
    c->n = from;
}

static void insert_item(struct table_chunk *c, size_t at, uint64_t id, const void *object)
{
    memmove(c->ids + at + 1, c->ids + at, (c->n - at) * sizeof(c->ids[0]));
    memmove(c->objects + at + 1, c->objects + at, (c->n - at) * sizeof(c->objects[0]));
    c->ids[at] = id;
    c->objects[at] = object;
    c->n++;
}

void table_put(struct table *t, uint64_t id, const void *object)
{
    if (t->n_chunks == 0)
        insert_chunk(t, 0, chunk_new());

    size_t index = chunk_of(t, id);
    struct table_chunk *c = own_chunk(t, index);
    size_t at = place_of(c, id);

    if (at < c->n && c->ids[at] == id) {
        const void *old = c->objects[at];

        c->objects[at] = object;
        t->unref(old);
        return;
    }
    t->count++;
    if (c->n == TABLE_CHUNK) {
        /* New ids come at the end, where chunks are left full; elsewhere one is cut in half. */
        struct table_chunk *next = chunk_new();

        move_items(next, c, at == TABLE_CHUNK ? TABLE_CHUNK : TABLE_CHUNK / 2);
        insert_chunk(t, index + 1, next);
        if (at > c->n || c->n == TABLE_CHUNK) {
            at -= c->n;
            c = next;
        }
    }
    insert_item(c, at, id, object);
}

/* Puts two neighbours that are half a chunk together into one. */
static void merge(struct table *t, size_t index)
{
    if (index + 1 >= t->n_chunks || t->chunks[index]->n + t->chunks[index + 1]->n > TABLE_CHUNK / 2)
        return;
    move_items(own_chunk(t, index), own_chunk(t, index + 1), 0);
    remove_chunk(t, index + 1);
}

bool table_remove(struct table *t, uint64_t id)
{
    if (!table_find(t, id))
        return false;

    size_t index = chunk_of(t, id);
    struct table_chunk *c = own_chunk(t, index);
    size_t at = place_of(c, id);

    t->unref(c->objects[at]);
    c->n--;
    t->count--;
    memmove(c->ids + at, c->ids + at + 1, (c->n - at) * sizeof(c->ids[0]));
    memmove(c->objects + at, c->objects + at + 1, (c->n - at) * sizeof(c->objects[0]));
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
    return t->chunks[index]->objects[place];
}
