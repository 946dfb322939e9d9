/*
 * What classes see of each other, remembered: asking a policy means to meet two sets of links, and
 * every delta asks for every class about every node in its span. The answers hold as long as
 * policy_sights says, whatever nodes come and go.
 *
 * The first question about a class answers for all that are there, its row; classes that come later
 * are asked about one by one. Another policy leads to deltas that ask about every pair under both:
 * so what was known under the old one is kept until those are told.
 */

#include <string.h>

#include "core/mem.h"
#include "netmap/netmap_internal.h"

/* Two bits a pair, 1 MiB at most. */
#define SIDE_MAX 2048
/* So many classes tell how many see a class. */
#define FAME_SAMPLE 256

static void forget(struct netmap_sights *s)
{
    mem_free(s->known);
    mem_free(s->fame);
    *s = (struct netmap_sights){0};
}

void netmap_seen_fini(struct netmap_seen *s)
{
    forget(&s->now);
    forget(&s->before);
}

void netmap_seen_aim(struct netmap_seen *s)
{
    if (s->is_told)
        forget(&s->before);
    s->is_told = true;
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

void netmap_seen_follow(struct netmap_seen *s, const struct policy *p)
{
    size_t classes = policy_class_count(p);
    bool is_large = policy_is_open(p) || classes >= SIDE_MAX;

    if (s->now.side && (is_large || policy_sights(p) != s->now.of)) {
        forget(&s->before);
        s->before = s->now;
        s->now = (struct netmap_sights){0};
        s->is_told = false;
    }
    if (is_large)
        return;
    s->now.of = policy_sights(p);
    if (classes >= s->now.side)
        grow(&s->now, classes);
    /* Counted among few classes it says nothing of many. */
    if (classes > s->now.famed + s->now.famed / 4) {
        memset(s->now.fame, 0, s->now.side * sizeof *s->now.fame);
        s->now.famed = classes;
    }
}

static unsigned known_of(const uint8_t *row, uint32_t b)
{
    return (unsigned)row[b / 4] >> b % 4 * 2 & 3;
}

static enum policy_sight sight_in(struct netmap_sights *s, const struct policy *p, uint32_t a,
                                  uint32_t b)
{
    uint8_t *row = s->known + a * (s->side / 4);
    enum policy_sight sight;

    if (known_of(row, b))
        return (enum policy_sight)(known_of(row, b) - 1);
    if (!known_of(row, 0)) {
        policy_class_sights(p, a, row, s->side);
        if (known_of(row, b))
            return (enum policy_sight)(known_of(row, b) - 1);
    }
    sight = policy_class_sight(p, a, b);
    row[b / 4] |= (uint8_t)(((unsigned)sight + 1) << b % 4 * 2);
    return sight;
}

enum policy_sight netmap_sight(struct netmap_seen *s, const struct policy *p, uint32_t a,
                               uint32_t b)
{
    uint64_t of = policy_sights(p);

    if (of && of == s->now.of && a < s->now.side && b < s->now.side)
        return sight_in(&s->now, p, a, b);
    if (of && of == s->before.of && a < s->before.side && b < s->before.side)
        return sight_in(&s->before, p, a, b);
    return policy_class_sight(p, a, b);
}

static unsigned find_fame(struct netmap_seen *s, const struct policy *p, uint32_t cls)
{
    size_t classes = policy_class_count(p), step = classes / FAME_SAMPLE + 1;
    unsigned n = 0;

    for (size_t viewer = 1; viewer <= classes; viewer += step)
        n += netmap_sight(s, p, (uint32_t)viewer, cls) == POLICY_SIGHT_ALL;
    return n;
}

unsigned netmap_fame(struct netmap_seen *s, const struct policy *p, uint32_t cls)
{
    uint16_t *fame;

    if (cls >= s->now.side || policy_sights(p) != s->now.of)
        return 0;
    fame = &s->now.fame[cls];
    if (*fame == 0)
        *fame = (uint16_t)(find_fame(s, p, cls) + 1);
    return *fame - 1u;
}
