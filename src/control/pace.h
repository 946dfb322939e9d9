#pragma once

/*
 * How often something that takes long may be done: at once when it was not done lately, else so
 * that it takes no more than a share of the time.
 *
 *   begin ==cost==> end ........ begin ==cost==> end
 *     |<-- PACE_TIMES x cost, within PACE_MIN..MAX -->|
 *
 * Plain numbers; the clock is the caller's.
 */

#include "core/defs.h"

#define PACE_MIN_NS ((int64_t)10000000)
#define PACE_MAX_NS ((int64_t)1000000000)
#define PACE_TIMES 5

struct pace { /* zero: never done */
    int64_t begun_ns;
    int64_t cost_ns; /* of the last time, or what was spent so far */
    bool was_done;
};

/* How long to wait before beginning again; 0: now. */
int64_t pace_wait_ns(const struct pace *p, int64_t now_ns);
void pace_begin(struct pace *p, int64_t now_ns);
/* A piece of the work took so long. */
void pace_spend(struct pace *p, int64_t ns);
