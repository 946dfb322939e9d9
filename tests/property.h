#pragma once

/* How many histories a property test lives through, and where they begin: PROPERTY_RUNS,
 * PROPERTY_SEED. */

#include <stdlib.h>

#include "core/str.h"

static inline uint64_t property_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t v;

    return text && str_parse_u64(str_from(text), &v) ? v : otherwise;
}
