#pragma once

/* How many histories a property test lives through, and where they begin. */

#include <stdlib.h>

#include "core/rand.h"
#include "core/str.h"

/* A number of the environment. */
static inline uint64_t property_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t v;

    return text && str_parse_u64(str_from(text), &v) ? v : otherwise;
}

/* PROPERTY_SEED, which repeats a history; else PROPERTY_BEGIN, which ./test draws from the source, so that
 * what passed passes again; else chance. */
static inline uint64_t property_seed(void)
{
    return property_env("PROPERTY_SEED", property_env("PROPERTY_BEGIN", rand_u64() >> 1));
}
