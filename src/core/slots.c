/*
 * Regions of SLOTS_PER_REGION slots, mapped when the last one is full and kept until the end: an
 * empty region is address space and nothing else. Free slots are a stack beside them, so that
 * remembering one touches none of its pages.
 *
 * Huge pages are refused: they would make all of a region real at its first byte.
 */

#include "core/slots.h"

#include <pthread.h>
#include <sys/mman.h>

#include "core/mem.h"

#define SLOTS_PER_REGION 64

struct slots {
    pthread_mutex_t lock;
    size_t slot_bytes;
    void **regions;
    size_t n_regions;
    void **free; /* room for all there are */
    size_t n_free;
};

struct slots *slots_new(size_t slot_bytes)
{
    struct slots *s = NEW(struct slots);

    ASSERT(slot_bytes > 0 && slot_bytes <= SIZE_MAX / SLOTS_PER_REGION / 2);
    (void)pthread_mutex_init(&s->lock, NULL);
    s->slot_bytes = (slot_bytes + SLOTS_PAGE - 1) / SLOTS_PAGE * SLOTS_PAGE;
    return s;
}

void slots_free(struct slots *s)
{
    if (!s)
        return;
    ASSERT(s->n_free == s->n_regions * SLOTS_PER_REGION);
    for (size_t i = 0; i < s->n_regions; i++)
        (void)munmap(s->regions[i], s->slot_bytes * SLOTS_PER_REGION);
    (void)pthread_mutex_destroy(&s->lock);
    mem_free(s->regions);
    mem_free(s->free);
    mem_free(s);
}

static void add_region(struct slots *s)
{
    size_t bytes = s->slot_bytes * SLOTS_PER_REGION;
    char *region = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (region == MAP_FAILED) {
        fputs("out of memory\n", stderr);
        abort();
    }
    (void)madvise(region, bytes, MADV_NOHUGEPAGE);
    s->regions = mem_realloc_array(s->regions, s->n_regions + 1, sizeof(*s->regions));
    s->regions[s->n_regions++] = region;
    s->free = mem_realloc_array(s->free, s->n_regions * SLOTS_PER_REGION, sizeof(*s->free));
    for (size_t i = SLOTS_PER_REGION; i > 0; i--)
        s->free[s->n_free++] = region + (i - 1) * s->slot_bytes;
}

void *slots_get(struct slots *s)
{
    (void)pthread_mutex_lock(&s->lock);
    if (s->n_free == 0)
        add_region(s);
    void *slot = s->free[--s->n_free];

    (void)pthread_mutex_unlock(&s->lock);
    return slot;
}

void slots_put(struct slots *s, void *slot)
{
    /* Without this the next one would find what this one wrote, and its pages would stay. */
    if (madvise(slot, s->slot_bytes, MADV_DONTNEED) != 0)
        memset(slot, 0, s->slot_bytes);
    (void)pthread_mutex_lock(&s->lock);
    s->free[s->n_free++] = slot;
    (void)pthread_mutex_unlock(&s->lock);
}

size_t slots_used(struct slots *s)
{
    (void)pthread_mutex_lock(&s->lock);
    size_t used = s->n_regions * SLOTS_PER_REGION - s->n_free;

    (void)pthread_mutex_unlock(&s->lock);
    return used;
}
