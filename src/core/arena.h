#pragma once

/*
 * Memory freed all at once: one request, one compile, one message. Allocations never fail; what a
 * peer can make large must be bounded before it gets here.
 */

#include "core/str.h"

struct arena;

MUST_USE struct arena *arena_new(void);
void arena_free(struct arena *a);                              /* NULL is fine */
MUST_USE void *arena_alloc(struct arena *a, size_t n);         /* zeroed, aligned for anything */
MUST_USE struct str arena_copy(struct arena *a, struct str s); /* NUL behind it */
MUST_USE PRINTF_LIKE(2, 3) struct str arena_printf(struct arena *a, const char *fmt, ...);
size_t arena_bytes(const struct arena *a); /* handed out so far */

DEFINE_AUTO(struct arena, arena_free);
