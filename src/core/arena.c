#include "core/arena.h"

#include <stdarg.h>

#include "core/mem.h"
#include "core/num.h"

/*
 * A list of chunks, the newest first; allocations are cut off the newest. Chunks double from 1 KiB
 * to 64 KiB, so a small request costs one small chunk; what is larger than a quarter of the next
 * chunk gets one of its own, behind the newest.
 */

#define ALIGN _Alignof(max_align_t)
#define FIRST_CHUNK ((size_t)1 << 10)
#define LAST_CHUNK ((size_t)1 << 16)

struct chunk {
    struct chunk *next;
    _Alignas(max_align_t) char bytes[];
};

struct arena {
    struct chunk *chunks;
    size_t used; /* of the newest chunk */
    size_t size; /* of the newest chunk */
    size_t next_size;
    size_t handed_out;
};

struct arena *arena_new(void)
{
    struct arena *a = NEW(struct arena);

    a->next_size = FIRST_CHUNK;
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct chunk *c = a->chunks; c;) {
        struct chunk *next = c->next;

        mem_free(c);
        c = next;
    }
    mem_free(a);
}

static struct chunk *chunk_new(size_t n)
{
    size_t size = 0;

    if (num_add_overflows(sizeof(struct chunk), n, &size))
        size = SIZE_MAX; /* lets mem_alloc abort with its own words */
    return mem_alloc(size);
}

static void *alloc_apart(struct arena *a, size_t n)
{
    struct chunk *c = chunk_new(n);

    if (a->chunks) {
        c->next = a->chunks->next;
        a->chunks->next = c;
    } else {
        a->chunks = c; /* size and used stay 0: nothing more fits in it */
    }
    return c->bytes;
}

static void add_chunk(struct arena *a)
{
    struct chunk *c = chunk_new(a->next_size);

    c->next = a->chunks;
    a->chunks = c;
    a->used = 0;
    a->size = a->next_size;
    a->next_size = MIN(a->next_size * 2, LAST_CHUNK);
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t rounded = 0;

    if (num_add_overflows(MAX(n, (size_t)1), ALIGN - 1, &rounded))
        rounded = SIZE_MAX;
    rounded -= rounded % ALIGN;
    a->handed_out += n;
    if (rounded > a->size - a->used) {
        if (rounded > a->next_size / 4)
            return alloc_apart(a, rounded);
        add_chunk(a);
    }

    void *p = a->chunks->bytes + a->used;

    a->used += rounded;
    return p;
}

struct str arena_copy(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.len + 1);

    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return (struct str){copy, s.len};
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    char small[256];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(small, sizeof(small), fmt, args);
    va_end(args);
    ASSERT(n >= 0);
    if ((size_t)n < sizeof(small))
        return arena_copy(a, str_bytes(small, (size_t)n));

    char *text = arena_alloc(a, (size_t)n + 1);

    va_start(args, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, args);
    va_end(args);
    return (struct str){text, (size_t)n};
}

size_t arena_bytes(const struct arena *a)
{
    return a->handed_out;
}
