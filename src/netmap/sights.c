/*
 * What classes see of each other, remembered: asking a policy means to meet two sets of links, and
 * every delta asks for every class about every node in its span. The answers hold as long as
 * policy_sights says, whatever nodes come and go.
 */

#include <string.h>

#include "core/mem.h"
#include "netmap/netmap_internal.h"

/* Two bits a pair, 1 MiB at most. */
#define SIDE_MAX 2048
/* So many classes tell how many see a class. */
#define FAME_SAMPLE 256

void netmap_sights_fini(struct netmap_sights *s)
{
    mem_free(s->known);
    mem_free(s->fame);
    *s = (struct netmap_sights){0};
}

/* Classes are added to a lineage, never taken away. */
static void grow(struct netmap_sights *s, size_t classes)
{
    size_t side = 64;
    uint8_t *known;

    while (side <= classes)
        side *= 2;
    known = mem_alloc_array(side / 4, side);
    for (size_t i = 0; i < s->side; i++)
        memcpy(known + i * (side / 4), s->known + i * (s->side / 4), s->side / 4);
    mem_free(s->known);
    mem_free(s->fame);
    s->known = known;
    s->fame = mem_alloc_array(side, sizeof *s->fame);
    s->famed = classes;
    s->side = side;
}

void netmap_sights_follow(struct netmap_sights *s, const struct policy *p)
{
    size_t classes = policy_class_count(p);

    if (policy_is_open(p) || classes >= SIDE_MAX || policy_sights(p) != s->of)
        netmap_sights_fini(s);
    if (policy_is_open(p) || classes >= SIDE_MAX)
        return;
    s->of = policy_sights(p);
    if (classes >= s->side)
        grow(s, classes);
    /* Counted among few classes it says nothing of many. */
    if (classes > s->famed + s->famed / 4) {
        memset(s->fame, 0, s->side * sizeof *s->fame);
        s->famed = classes;
    }
}

enum policy_sight netmap_sight(struct netmap_sights *s, const struct policy *p, uint32_t a,
                               uint32_t b)
{
    enum policy_sight sight;
    unsigned shift = b % 4 * 2, known;
    uint8_t *at;

    if (a >= s->side || b >= s->side || policy_sights(p) != s->of)
        return policy_class_sight(p, a, b);
    at = &s->known[a * (s->side / 4) + b / 4];
    known = *at >> shift & 3;
    if (known)
        return (enum policy_sight)(known - 1);
    sight = policy_class_sight(p, a, b);
    *at |= (uint8_t)(((unsigned)sight + 1) << shift);
    return sight;
}

static unsigned find_fame(struct netmap_sights *s, const struct policy *p, uint32_t cls)
{
    size_t classes = policy_class_count(p), step = classes / FAME_SAMPLE + 1;
    unsigned n = 0;

    for (size_t viewer = 1; viewer <= classes; viewer += step)
        n += netmap_sight(s, p, (uint32_t)viewer, cls) == POLICY_SIGHT_ALL;
    return n;
}

unsigned netmap_fame(struct netmap_sights *s, const struct policy *p, uint32_t cls)
{
    if (cls >= s->side || policy_sights(p) != s->of)
        return 0;
    if (s->fame[cls] == 0)
        s->fame[cls] = (uint16_t)(find_fame(s, p, cls) + 1);
    return s->fame[cls] - 1u;
}
