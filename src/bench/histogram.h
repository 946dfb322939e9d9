#pragma once

/*
 * Durations counted in buckets: some 4,000 of them take any 64-bit number of nanoseconds with an
 * error below 1.6 %, so that a million figures cost 32 KB and quantiles need no sorting.
 */

#include "core/defs.h"

#define HISTOGRAM_BUCKETS (59 * 64)

/* All zero: empty. */
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t n;
    uint64_t max;
};

void histogram_add(struct histogram *h, uint64_t ns);
/*
 * The smallest figure that `share` (0 to 1) of all are not above, rounded up to its bucket's end
 * but never above the largest; 0 when there are none.
 */
uint64_t histogram_quantile(const struct histogram *h, double share);
