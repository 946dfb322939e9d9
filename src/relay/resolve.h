#pragma once

/* Names to addresses, by the system's resolver. Blocks: for threads of the pool. */

#include "core/err.h"
#include "ip/addr.h"

#define RESOLVE_MAX 16

/* Up to RESOLVE_MAX addresses, in the system's order; a literal is itself. Negative: none. */
MUST_USE int resolve_name(struct str name, struct ip_addr out[RESOLVE_MAX], size_t *n,
                          struct err *err);
