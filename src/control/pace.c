/* See pace.h. */

#include "control/pace.h"

int64_t pace_wait_ns(const struct pace *p, int64_t now_ns, size_t newcomers)
{
    int64_t times = PACE_TIMES + (int64_t)MIN(newcomers, (size_t)(PACE_TIMES_MAX - PACE_TIMES));
    int64_t cost = MIN(p->cost_ns, PACE_MAX_NS);
    int64_t interval = MIN(MAX(times * cost, PACE_MIN_NS), PACE_MAX_NS);

    if (!p->was_done)
        return 0;
    return MAX(p->begun_ns + interval - now_ns, (int64_t)0);
}

void pace_begin(struct pace *p, int64_t now_ns)
{
    *p = (struct pace){.begun_ns = now_ns, .was_done = true};
}

void pace_spend(struct pace *p, int64_t ns)
{
    p->cost_ns += ns;
}
