#pragma once

/*
 * Tables: counted immutable objects by rising id, in chunks that copies of the table share.
 *
 * A copy costs one reference per chunk. Changing one object copies its chunk only when a copy of
 * the table still has it. So the domain works in its own table, and each view is a copy of it.
 *
 * A table belongs to one thread until it is in a view; then it is read only. Objects begin with
 * `struct ref ref; uint64_t id;`.
 */

#include "core/mem.h"

#define TABLE_CHUNK 128

struct table_chunk;

struct table {
    void (*unref)(const void *object);
    const void *(*ref)(const void *object);
    struct table_chunk **chunks;
    size_t n_chunks;
    size_t cap;
    size_t count;
};

/* An empty table of what name_ref and name_unref count. */
#define TABLE_OF(name) ((struct table){.ref = name##_table_ref_, .unref = name##_table_unref_})
/* What TABLE_OF needs, once a file. */
#define DEFINE_TABLE_OF(name)                                \
    static const void *name##_table_ref_(const void *object) \
    {                                                        \
        return name##_ref(object);                           \
    }                                                        \
    static void name##_table_unref_(const void *object)      \
    {                                                        \
        name##_unref(object);                                \
    }

void table_fini(struct table *t);
void table_copy(struct table *to, const struct table *from);
const void *table_find(const struct table *t, uint64_t id); /* O(log n) */
/* Puts `object` (its reference is taken) under its id, in place of what was there. */
void table_put(struct table *t, uint64_t id, const void *object);
/* Whether it was there. */
bool table_remove(struct table *t, uint64_t id);
/* All by rising id; start with *at = 0; NULL at the end. */
const void *table_next(const struct table *t, size_t *at);
