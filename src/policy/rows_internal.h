#pragma once

/*
 * Rows: fixed-size records sorted by a key of two numbers, in counted chunks that copies share.
 *
 * A copy costs one reference per chunk; changing a row copies its chunk only while another copy has
 * it. So a policy keeps a row per node, and the next policy copies what a joining node touches.
 *
 * Rows begin with `uint64_t key[2]`. A copy that is shared with other threads is read only.
 */

#include "core/mem.h"

#define ROWS_CHUNK 128

struct rows_chunk;

struct rows {
    size_t row_size; /* bytes, a multiple of 8 */
    struct rows_chunk **chunks;
    size_t n_chunks;
    size_t cap;
    size_t count;
};

void rows_init(struct rows *r, size_t row_size);
void rows_fini(struct rows *r);
void rows_copy(struct rows *to, const struct rows *from);
/* Borrowed until the next change; NULL when absent. log n. */
const void *rows_find(const struct rows *r, uint64_t key0, uint64_t key1);
/* Adds the row, or replaces the one with its key. Appending in order is cheapest. */
void rows_put(struct rows *r, const void *row);
/* Whether it was there. */
bool rows_remove(struct rows *r, uint64_t key0, uint64_t key1);

/* Rows in order from the first with a key not below the given one. NULL at the end. */
struct rows_at {
    size_t chunk;
    size_t row;
};
struct rows_at rows_from(const struct rows *r, uint64_t key0, uint64_t key1);
const void *rows_next(const struct rows *r, struct rows_at *at);
