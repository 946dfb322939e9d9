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

void netmap_sights_fini(struct netmap_sights *s)
{
    mem_free(s->known);
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
    s->known = known;
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
