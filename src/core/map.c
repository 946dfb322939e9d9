#include "core/map.h"

#include <pthread.h>

#include "core/mem.h"
#include "core/rand.h"

/*
 * Open addressing with linear steps, in a table of a power of two.
 *
 * Invariants
 *   1. A slot with a value is taken; no marks of removed keys exist.
 *   2. Between a key's home slot and its slot every slot is taken, so a search ends at the first
 *      free one. Removal moves later keys back to keep this.
 *   3. At most three quarters of the slots are taken, so there is always a free one.
 *
 * The hash is SipHash-1-3 (Aumasson and Bernstein) under a key drawn once per process: a peer that
 * chooses keys cannot choose collisions. Keys of up to eight bytes live in the slot itself.
 */

#define SMALL_KEY 8
#define FIRST_CAP ((size_t)4)

struct slot {
    uint64_t hash;
    void *value; /* NULL: free */
    size_t len;
    union {
        char small[SMALL_KEY];
        char *large; /* owned, when len > SMALL_KEY */
    } key;
};

struct map {
    struct slot *slots;
    size_t cap; /* a power of two, or 0 */
    size_t len;
};

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void draw_seed(void)
{
    rand_bytes(seed, sizeof(seed));
}

static uint64_t rotl(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static uint64_t hash_key(struct str key)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)key.len << 56;
    size_t at = 0;

    for (; key.len - at >= 8; at += 8) {
        uint64_t word;

        memcpy(&word, key.ptr + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; at + i < key.len; i++)
        last |= (uint64_t)(unsigned char)key.ptr[at + i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static struct str slot_key(const struct slot *s)
{
    return (struct str){s->len > SMALL_KEY ? s->key.large : s->key.small, s->len};
}

static void slot_free_key(struct slot *s)
{
    if (s->len > SMALL_KEY)
        mem_free(s->key.large);
}

struct map *map_new(void)
{
    pthread_once(&seed_once, draw_seed);
    return NEW(struct map);
}

void map_free(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value)
            slot_free_key(&m->slots[i]);
    mem_free(m->slots);
    mem_free(m);
}

size_t map_len(const struct map *m)
{
    return m->len;
}

/* The key's slot, or the free one where it belongs. The table must not be empty. */
static struct slot *probe(const struct map *m, struct str key, uint64_t hash)
{
    size_t at = hash & (m->cap - 1);

    for (;; at = (at + 1) & (m->cap - 1)) {
        struct slot *s = &m->slots[at];

        if (!s->value || (s->hash == hash && str_eq(slot_key(s), key)))
            return s;
    }
}

static void grow(struct map *m)
{
    struct map bigger = {.cap = m->cap ? m->cap * 2 : FIRST_CAP, .len = m->len};

    bigger.slots = mem_alloc_array(bigger.cap, sizeof(struct slot));
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value)
            *probe(&bigger, slot_key(&m->slots[i]), m->slots[i].hash) = m->slots[i];
    mem_free(m->slots);
    *m = bigger;
}

void *map_find(const struct map *m, struct str key)
{
    if (m->len == 0)
        return NULL;
    return probe(m, key, hash_key(key))->value;
}

void *map_put(struct map *m, struct str key, void *value)
{
    uint64_t hash = hash_key(key);

    ASSERT(value);
    if (m->len >= m->cap / 4 * 3)
        grow(m);

    struct slot *s = probe(m, key, hash);
    void *old = s->value;

    s->value = value;
    if (old)
        return old;
    s->hash = hash;
    s->len = key.len;
    if (key.len > SMALL_KEY)
        s->key.large = mem_dup(key.ptr, key.len);
    else if (key.len > 0)
        memcpy(s->key.small, key.ptr, key.len);
    m->len++;
    return NULL;
}

/* Whether a key at home `home`, now at `at`, may move to the hole: the hole is not before home. */
static bool may_fill(size_t hole, size_t home, size_t at, size_t mask)
{
    return ((at - home) & mask) >= ((at - hole) & mask);
}

void *map_remove(struct map *m, struct str key)
{
    if (m->len == 0)
        return NULL;

    struct slot *s = probe(m, key, hash_key(key));
    void *value = s->value;
    size_t mask = m->cap - 1, hole = (size_t)(s - m->slots);

    if (!value)
        return NULL;
    slot_free_key(s);
    for (size_t at = (hole + 1) & mask; m->slots[at].value; at = (at + 1) & mask) {
        if (!may_fill(hole, m->slots[at].hash & mask, at, mask))
            continue;
        m->slots[hole] = m->slots[at];
        hole = at;
    }
    m->slots[hole] = (struct slot){0};
    m->len--;
    return value;
}

bool map_next(const struct map *m, size_t *at, struct str *key, void **value)
{
    for (; *at < m->cap; (*at)++) {
        const struct slot *s = &m->slots[*at];

        if (!s->value)
            continue;
        if (key)
            *key = slot_key(s);
        if (value)
            *value = s->value;
        (*at)++;
        return true;
    }
    return false;
}

void *map_find_u64(const struct map *m, uint64_t key)
{
    return map_find(m, str_bytes(&key, sizeof(key)));
}

void *map_put_u64(struct map *m, uint64_t key, void *value)
{
    return map_put(m, str_bytes(&key, sizeof(key)), value);
}

void *map_remove_u64(struct map *m, uint64_t key)
{
    return map_remove(m, str_bytes(&key, sizeof(key)));
}
