#pragma once

/*
 * How often something that takes long may be done: at once when it was not done lately, else so
 * that it takes no more than a share of the time.
 *
 *   begin ==cost==> end ........ begin ==cost==> end
 *     |<-- PACE_TIMES x cost, within PACE_MIN..MAX -->|
 *
 * While many come, what is done now will be done again for those behind them, and takes from them
 * what they wait for: each that came since the last time makes it wait once more what it cost, up
 * to PACE_TIMES_MAX. Of what happened before that nothing is kept, so the first change after a
 * crowd waits as little as any.
 *
 * Plain numbers; the clock is the caller's.
 */

#include "core/defs.h"

#define PACE_MIN_NS ((int64_t)10000000)
#define PACE_MAX_NS ((int64_t)1000000000)
#define PACE_TIMES 2
#define PACE_TIMES_MAX 8

struct pace { /* zero: never done */
    int64_t begun_ns;
    int64_t cost_ns; /* of the last time, or what was spent so far */
    bool was_done;
};

/* How long to wait before beginning again; 0: now. `newcomers`: since it was begun. */
int64_t pace_wait_ns(const struct pace *p, int64_t now_ns, size_t newcomers);
void pace_begin(struct pace *p, int64_t now_ns);
/* A piece of the work took so long. */
void pace_spend(struct pace *p, int64_t ns);
