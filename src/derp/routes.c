/*
 * Whom a session has sent to: so that a packet to the same destination needs neither lock nor
 * look-up in the registry, and so that PEER_GONE reaches those who heard of the session.
 *
 * A table with open addressing and a keyed hash: destinations are the client's choice, and must not
 * be a way to make probing slow. Peers that have left are swept out before the table grows.
 */

#include <string.h>

#include "derp/server_internal.h"

#define ROUTES_CAP_MIN 4u

__extension__ typedef unsigned __int128 wide;

static uint64_t fold(uint64_t a, uint64_t b)
{
    wide product = (wide)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t routes_hash(const struct derp_server *s, const struct node_key *key)
{
    uint64_t k[4];

    memcpy(k, key->b, sizeof(k));
    return fold(fold(k[0] ^ s->seed[0], k[1] ^ s->seed[1]) ^ s->seed[2],
                fold(k[2] ^ s->seed[2], k[3] ^ s->seed[3]) ^ s->seed[0]);
}

/* The key's place, or the free one where it would be. The table is not full. */
static uint32_t place(const struct derp_server *s, const struct routes *r,
                      const struct node_key *key)
{
    uint32_t at = (uint32_t)routes_hash(s, key) & (r->cap - 1);

    while (r->slots[at] && memcmp(r->slots[at]->key.b, key->b, KEY_BYTES) != 0)
        at = (at + 1) & (r->cap - 1);
    return at;
}

struct peer *routes_find(const struct derp_server *s, const struct routes *r,
                         const struct node_key *key)
{
    return r->cap ? r->slots[place(s, r, key)] : NULL;
}

/* Into a table of twice the size, or of the same when enough of the peers have left. */
static void rebuild(struct derp_server *s, struct routes *r)
{
    struct routes old = *r;
    uint32_t alive = 0;

    for (uint32_t i = 0; i < old.cap; i++) {
        if (old.slots[i] && atomic_load(&old.slots[i]->where) == 0 &&
            atomic_load(&old.slots[i]->via) == 0) {
            registry_unref(s, old.slots[i]);
            old.slots[i] = NULL;
        }
        alive += old.slots[i] != NULL;
    }
    uint32_t cap = MAX(ROUTES_CAP_MIN, old.cap);

    while (cap < 2 * alive + 2)
        cap *= 2;
    *r = (struct routes){mem_alloc_array(cap, sizeof(*r->slots)), alive, cap, 0};
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.slots[i])
            r->slots[place(s, r, &old.slots[i]->key)] = old.slots[i];
    mem_free(old.slots);
}

bool routes_add(struct derp_server *s, struct routes *r, struct peer *peer)
{
    if (r->n >= ROUTES_MAX) {
        /* Sweeping costs as much as there are: not for every packet. */
        if (++r->refused % 1024 == 0)
            rebuild(s, r);
        if (r->n >= ROUTES_MAX)
            return false;
    }
    if (4 * (r->n + 1) > 3 * r->cap)
        rebuild(s, r);
    uint32_t at = place(s, r, &peer->key);

    ASSERT(!r->slots[at]);
    r->slots[at] = peer;
    r->n++;
    return true;
}

void routes_fini(struct derp_server *s, struct routes *r)
{
    for (uint32_t i = 0; i < r->cap; i++)
        registry_unref(s, r->slots[i]);
    mem_free(r->slots);
    *r = (struct routes){0};
}
