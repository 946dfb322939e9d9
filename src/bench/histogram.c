/*
 * Buckets: one per number below 64, then 64 of equal width for each power of two.
 */

#include "bench/histogram.h"

#define HALF 64 /* buckets per power of two */

static size_t bucket_of(uint64_t v)
{
    if (v < HALF)
        return (size_t)v;
    unsigned shift = 57 - (unsigned)__builtin_clzll(v); /* of 7 significant bits, the lowest */

    return (size_t)shift * HALF + (size_t)(v >> shift);
}

/* The largest number that falls into the bucket. */
static uint64_t bucket_end(size_t at)
{
    if (at < HALF)
        return at;
    size_t shift = at / HALF - 1;

    return ((uint64_t)(at - shift * HALF + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    h->counts[bucket_of(ns)]++;
    h->n++;
    h->max = MAX(h->max, ns);
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
    uint64_t want = (uint64_t)(share * (double)h->n), seen = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > want || (seen == h->n && seen > 0))
            return MIN(bucket_end(i), h->max);
    }
    return 0;
}
