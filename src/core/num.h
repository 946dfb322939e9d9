#pragma once

/* Arithmetic on sizes that somebody else chose. True means it overflowed and *out is not to be
 * used. */

#include "core/defs.h"

#define num_add_overflows(a, b, out) __builtin_add_overflow((a), (b), (out))
#define num_sub_overflows(a, b, out) __builtin_sub_overflow((a), (b), (out))
#define num_mul_overflows(a, b, out) __builtin_mul_overflow((a), (b), (out))

/* Ids and counters of the protocol stay below this (JSON numbers are doubles elsewhere). */
#define NUM_JSON_MAX ((uint64_t)1 << 53)
