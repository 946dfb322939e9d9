#pragma once

/* Randomness from the kernel; aborts if there is none. */

#include "core/str.h"

void rand_bytes(void *out, size_t n);
uint64_t rand_u64(void);
/* Uniform in [0, below); below > 0. */
uint64_t rand_below(uint64_t below);

/* A seeded generator for tests and generators only (never for secrets): the same seed, the same
 * history. */
struct rand_seeded {
    uint64_t s[4];
};
void rand_seed(struct rand_seeded *r, uint64_t seed);
uint64_t rand_seeded_u64(struct rand_seeded *r);
uint64_t rand_seeded_below(struct rand_seeded *r, uint64_t below);
