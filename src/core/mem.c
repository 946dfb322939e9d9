#include "core/mem.h"

#include <stdatomic.h>

#include "core/num.h"

static void *must_have(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t n)
{
    return must_have(calloc(1, n ? n : 1));
}

void *mem_alloc_array(size_t n, size_t size)
{
    size_t bytes = 0;

    if (num_mul_overflows(n, size, &bytes))
        must_have(NULL);
    return mem_alloc(bytes);
}

void *mem_realloc_array(void *p, size_t n, size_t size)
{
    size_t bytes = 0;

    if (num_mul_overflows(n, size, &bytes))
        must_have(NULL);
    return must_have(realloc(p, bytes ? bytes : 1));
}

void *mem_room(void *items, size_t len, size_t *cap, size_t first, size_t size)
{
    if (len < *cap)
        return items;
    *cap = MAX(*cap * 2, first);
    return mem_realloc_array(items, *cap, size);
}

void *mem_dup(const void *p, size_t n)
{
    void *copy = mem_alloc(n);

    if (n)
        memcpy(copy, p, n);
    return copy;
}

void mem_free(void *p)
{
    free(p);
}

void mem_wipe(void *p, size_t n)
{
    if (n)
        explicit_bzero(p, n);
}

void ref_init(struct ref *ref)
{
    atomic_init(&ref->count, 1);
}

void ref_take(struct ref *ref)
{
    unsigned before = atomic_fetch_add_explicit(&ref->count, 1, memory_order_relaxed);

    ASSERT(before > 0 && before < UINT32_MAX);
}

/* Acquire-release, so what other owners wrote before dropping is seen by the one who frees. */
bool ref_drop(struct ref *ref)
{
    unsigned before = atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel);

    ASSERT(before > 0);
    return before == 1;
}

void ref_copy(void *to, const void *from, size_t size)
{
    memcpy((char *)to + sizeof(struct ref), (const char *)from + sizeof(struct ref),
           size - sizeof(struct ref));
    ref_init(to);
}
