#include "api/guard.h"

#include "core/rand.h"

#define MINUTE_MS 60000
#define COUNT_BITS 16

void guard_init(struct guard *g)
{
    g->seed = rand_u64();
    for (size_t i = 0; i < GUARD_SLOTS; i++)
        atomic_init(&g->slots[i], 0);
}

/* NULL: not of an address. */
static _Atomic(uint64_t) *slot_of(struct guard *g, struct ip_addr who)
{
    /* What somebody has for himself: one IPv4 address, or 2^64 of the others. */
    size_t n = who.family == IP_V4 ? 4 : 8;
    uint64_t hash = g->seed;

    if (!ip_addr_is_set(who))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ who.bytes[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return &g->slots[(hash ^ who.family) % GUARD_SLOTS];
}

static uint64_t misses(uint64_t slot, uint64_t minute)
{
    return slot >> COUNT_BITS == minute ? slot & (BIT(COUNT_BITS) - 1) : 0;
}

bool guard_must_wait(struct guard *g, struct ip_addr who, int64_t now_ms, int64_t *wait_s)
{
    _Atomic(uint64_t) *slot = slot_of(g, who);

    *wait_s = 0;
    if (!slot || misses(atomic_load(slot), (uint64_t)now_ms / MINUTE_MS) < GUARD_MISSES_MAX)
        return false;
    *wait_s = (MINUTE_MS - now_ms % MINUTE_MS + 999) / 1000;
    return true;
}

void guard_missed(struct guard *g, struct ip_addr who, int64_t now_ms)
{
    _Atomic(uint64_t) *slot = slot_of(g, who);
    uint64_t minute = (uint64_t)now_ms / MINUTE_MS;

    if (!slot)
        return;
    uint64_t was = atomic_load(slot), is;
    do {
        is = minute << COUNT_BITS | MIN(misses(was, minute) + 1, (uint64_t)GUARD_MISSES_MAX);
    } while (!atomic_compare_exchange_weak(slot, &was, is));
}
