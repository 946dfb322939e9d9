#include "core/rand.h"

#include <errno.h>
#include <sys/random.h>

void rand_bytes(void *out, size_t n)
{
    char *to = out;

    while (n > 0) {
        ssize_t got = getrandom(to, MIN(n, (size_t)256), 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            fputs("the kernel gives no randomness\n", stderr);
            abort();
        }
        to += got;
        n -= (size_t)got;
    }
}

uint64_t rand_u64(void)
{
    uint64_t v = 0;

    rand_bytes(&v, sizeof(v));
    return v;
}

/* Values under this would make the small remainders likelier than the others. */
static uint64_t uneven(uint64_t below)
{
    return (0 - below) % below;
}

uint64_t rand_below(uint64_t below)
{
    ASSERT(below > 0);
    for (;;) {
        uint64_t v = rand_u64();

        if (v >= uneven(below))
            return v % below;
    }
}

/* splitmix64: spreads one word over the state so that near seeds give far histories. */
void rand_seed(struct rand_seeded *r, uint64_t seed)
{
    for (size_t i = 0; i < ARRAY_LEN(r->s); i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r->s[i] = z ^ z >> 31;
    }
}

static uint64_t rotl(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

/* xoshiro256** of Blackman and Vigna. */
uint64_t rand_seeded_u64(struct rand_seeded *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9, shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rand_seeded_below(struct rand_seeded *r, uint64_t below)
{
    ASSERT(below > 0);
    for (;;) {
        uint64_t v = rand_seeded_u64(r);

        if (v >= uneven(below))
            return v % below;
    }
}
