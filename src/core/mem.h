#pragma once

/*
 * The heap, for sizes we choose: running out aborts, so callers have no error path. What a peer
 * chooses the size of goes through `struct buf` with a ceiling instead.
 */

#include "core/defs.h"

/* Zeroed memory; n == 0 gives a pointer that may be freed. Never NULL. Free with mem_free. */
MUST_USE void *mem_alloc(size_t n);
/* Zeroed array; aborts when n * size overflows. */
MUST_USE void *mem_alloc_array(size_t n, size_t size);
/* Grows or shrinks an array; what is new is not zeroed. Never NULL. */
MUST_USE void *mem_realloc_array(void *p, size_t n, size_t size);
/* Room in an array for one item behind its `len`: as it is, or doubled, to `first` items at least.
 * x->items = mem_room(x->items, x->len, &x->cap, 16, sizeof(*x->items)); */
MUST_USE void *mem_room(void *items, size_t len, size_t *cap, size_t first, size_t size);
MUST_USE void *mem_dup(const void *p, size_t n);
/* NULL is fine. */
void mem_free(void *p);
/* Overwrites secrets; the compiler does not drop it. */
void mem_wipe(void *p, size_t n);

#define NEW(type) ((type *)mem_alloc(sizeof(type)))

static inline void mem_free_auto_(void *p)
{
    mem_free(*(void **)p);
}

/*
 * A count of owners, for immutable things shared between threads. Starts at 1. ref_drop returns
 * true to the one owner who must now free.
 */
struct ref {
    _Atomic(unsigned) count;
};
void ref_init(struct ref *ref);
void ref_take(struct ref *ref);
MUST_USE bool ref_drop(struct ref *ref);
/*
 * Makes `to` a copy of the first `size` bytes of a counted struct, with a count of 1. The count is
 * its first member and not read: other owners may be changing it.
 */
void ref_copy(void *to, const void *from, size_t size);
/* Counting does not change what an object says, so it goes through const. */
#define MUTABLE(type, p) \
    (((union {           \
         const type *in; \
         type *out;      \
     }){.in = (p)})      \
         .out)
