#pragma once

/*
 * Hash maps from byte strings to pointers, safe against chosen keys (keyed hash, seed per process).
 *
 * Keys are copied; values are the caller's. Not for sharing between threads.
 */

#include "core/str.h"

struct map;

MUST_USE struct map *map_new(void);
/* Frees the map and its keys; values are not touched. */
void map_free(struct map *m);
size_t map_len(const struct map *m);
/* NULL when absent. */
void *map_find(const struct map *m, struct str key);
/* Sets key to value (not NULL), returns the value it replaced or NULL. */
void *map_put(struct map *m, struct str key, void *value);
/* Returns the value removed, or NULL. */
void *map_remove(struct map *m, struct str key);
/* Visits all, in no order; start with *at = 0. False at the end. Do not change the map meanwhile.
 */
bool map_next(const struct map *m, size_t *at, struct str *key, void **value);

/* Keys that are 64-bit integers. */
void *map_find_u64(const struct map *m, uint64_t key);
void *map_put_u64(struct map *m, uint64_t key, void *value);
void *map_remove_u64(struct map *m, uint64_t key);
