/*
 * Hashes of contents. They tell whether two texts are the same, not more: an administrator who
 * finds a collision delays a message to his own tailnet.
 */

#include "policy/policy_internal.h"

#include <string.h>

#define PRIME_1 0x9e3779b97f4a7c15u
#define PRIME_2 0xc2b2ae3d27d4eb4fu

static uint64_t scramble(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

void mark_mix(struct policy_mark *m, uint64_t x)
{
    m->a = scramble(m->a + x + PRIME_1);
    m->b = scramble((m->b ^ x) * PRIME_2 + PRIME_1);
}

void mark_mix_mark(struct policy_mark *m, struct policy_mark x)
{
    mark_mix(m, x.a);
    mark_mix(m, x.b);
}

struct policy_mark mark_of(struct str bytes)
{
    struct policy_mark m = {bytes.len, PRIME_1};

    while (bytes.len >= 8) {
        uint64_t word;

        memcpy(&word, bytes.ptr, sizeof word);
        mark_mix(&m, word);
        bytes = str_from_index(bytes, 8);
    }
    if (bytes.len) {
        uint64_t word = 0;

        memcpy(&word, bytes.ptr, bytes.len);
        mark_mix(&m, word);
    }
    return m;
}

bool policy_mark_eq(struct policy_mark x, struct policy_mark y)
{
    return x.a == y.a && x.b == y.b;
}

void sum_add(struct sum *to, struct sum s)
{
    to->a += s.a;
    to->b += s.b;
    to->count += s.count;
    to->tags += s.tags;
}

void sum_sub(struct sum *from, struct sum s)
{
    from->a -= s.a;
    from->b -= s.b;
    from->count -= s.count;
    from->tags -= s.tags;
}

void sum_add_text(struct sum *to, struct str text)
{
    struct policy_mark m = mark_of(text);

    sum_add(to, (struct sum){m.a, m.b, 1, 0});
}

bool sum_eq(struct sum x, struct sum y)
{
    return x.a == y.a && x.b == y.b && x.count == y.count;
}
