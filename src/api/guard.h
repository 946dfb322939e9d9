#pragma once

/*
 * Who guesses too often: wrong credentials counted by address, a minute at a time, on every loop.
 *
 * A table of so many counters, found by a keyed hash of the address (of IPv6 its /64), so it does
 * not grow, and nobody can choose with whom to share a counter. No locks: a counter is one atomic
 * word.
 */

#include <stdatomic.h>

#include "ip/addrport.h"

#define GUARD_SLOTS 4096
#define GUARD_MISSES_MAX 20 /* a minute; then the address waits for the next one */

struct guard {
    uint64_t seed;
    _Atomic(uint64_t) slots[GUARD_SLOTS]; /* minute << 16 | misses */
};
void guard_init(struct guard *g);
/* Whether the address must wait; *wait_s: until when. Addresses that are none never do. */
bool guard_must_wait(struct guard *g, struct ip_addr who, int64_t now_ms, int64_t *wait_s);
void guard_missed(struct guard *g, struct ip_addr who, int64_t now_ms);
