/*
 * A bump allocator over one slot, open while the session is being made. Freeing within the slot
 * does nothing, growing within it copies out to the heap.
 *
 * Invariants
 *   1. head <= SLOTS_PAGE, or the one large piece was placed and the front is full.
 *   2. tail is a whole number of pages, past the front.
 */

#include "http/http2_memory.h"

#include "core/mem.h"

#define FRONT_BYTES (5 * SLOTS_PAGE)
#define LARGE (2 * SLOTS_PAGE) /* pieces from this size on are written at their beginning only */
#define RING_LEAST ((size_t)512)
#define ALIGN ((size_t)16)

static size_t rounded(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static bool is_in_slot(const struct http2_memory *m, const void *p)
{
    uintptr_t at = (uintptr_t)p, slot = (uintptr_t)m->slot;

    return at >= slot && at < slot + HTTP2_SLOT_BYTES;
}

static void *place(struct http2_memory *m, size_t n, bool unused)
{
    size_t at = rounded(m->head, ALIGN);

    if (m->is_closed || n == 0 || n > HTTP2_SLOT_BYTES)
        return NULL;
    if ((!unused && at + n <= SLOTS_PAGE) ||
        (n >= LARGE && at < SLOTS_PAGE && at + n <= FRONT_BYTES)) {
        m->head = at + n;
        return m->slot + at;
    }
    at = m->tail;
    if (at + n > HTTP2_SLOT_BYTES)
        return NULL;
    m->tail = at + rounded(n, SLOTS_PAGE);
    return m->slot + at;
}

/*
 * nghttp2 takes NULL for an answer; the rest of us end when memory does. The first of this size is
 * the ring for headers of ours that the peer remembers: none, so it is never written.
 */
static void *memory_malloc(size_t n, void *user)
{
    struct http2_memory *m = user;
    bool unused = n >= RING_LEAST && m->n_rings++ == 0;
    void *p = place(m, n, unused);

    return p ? p : mem_alloc(n);
}

static void *memory_calloc(size_t n, size_t size, void *user)
{
    void *p = size && n <= SIZE_MAX / size ? place(user, n * size, false) : NULL;

    return p ? p : mem_alloc_array(n, size);
}

static void memory_free(void *p, void *user)
{
    if (!is_in_slot(user, p))
        mem_free(p);
}

/* How large a piece of the slot was is not noted; what lies behind it may be read, to its end. */
static void *memory_realloc(void *p, size_t n, void *user)
{
    struct http2_memory *m = user;

    if (!p)
        return memory_malloc(n, user);
    if (!is_in_slot(m, p))
        return mem_realloc_array(p, n, 1);
    char *grown = mem_alloc(n);

    memcpy(grown, p, MIN(n, (size_t)(m->slot + HTTP2_SLOT_BYTES - (char *)p)));
    return grown;
}

void http2_memory_init(struct http2_memory *m, struct slots *slots)
{
    *m = (struct http2_memory){.slots = slots,
                               .slot = slots_get(slots),
                               .tail = FRONT_BYTES,
                               .mem = {.mem_user_data = m,
                                       .malloc = memory_malloc,
                                       .free = memory_free,
                                       .calloc = memory_calloc,
                                       .realloc = memory_realloc}};
}

void http2_memory_close(struct http2_memory *m)
{
    m->is_closed = true;
}

void http2_memory_fini(struct http2_memory *m)
{
    if (m->slot)
        slots_put(m->slots, m->slot);
    m->slot = NULL;
}
