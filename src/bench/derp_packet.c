/*
 * Packets that can be checked to the last byte, and cheaply.
 *
 *   0        4      8        16      24        32        40 ...
 *   | 4 0 0 0 | pair | number | sent  | tag     | place   | bytes of the pool |
 *
 * The first four bytes are those of a WireGuard data message. The tag is a mix of what stands
 * before it and of a secret of this run, and where in the pool the rest was cut from follows from
 * pair and number: so a packet of another run, pair or number, or with any byte changed or two
 * packets' parts exchanged, does not pass. Not meant against somebody who tries.
 */

#include <string.h>

#include "bench/derp_internal.h"
#include "core/mem.h"
#include "core/rand.h"

#define HEAD DERP_BENCH_PACKET_MIN
#define CUTS ((size_t)65536) /* places in the pool to cut from; the longest packet still fits */

static const char magic[4] = {4, 0, 0, 0};

static uint64_t mix(uint64_t v)
{
    v ^= v >> 32;
    v *= 0xd6e8feb86659fd93u;
    v ^= v >> 32;
    v *= 0xd6e8feb86659fd93u;
    return v ^ v >> 32;
}

void packet_kit_init(struct packet_kit *kit, uint64_t seed)
{
    struct rand_seeded r;

    rand_seed(&r, seed);
    kit->salt = rand_seeded_u64(&r);
    kit->pool = mem_alloc(PACKET_POOL);
    for (size_t i = 0; i < PACKET_POOL; i += sizeof(uint64_t)) {
        uint64_t v = rand_seeded_u64(&r);

        memcpy(kit->pool + i, &v, sizeof(v));
    }
}

void packet_kit_fini(struct packet_kit *kit)
{
    mem_free(kit->pool);
    *kit = (struct packet_kit){0};
}

/* Numbers stand as this machine has them: nobody else reads them. */
struct head {
    char magic[4];
    uint32_t pair;
    uint64_t number;
    uint64_t sent_ns;
    uint64_t tag;
    uint64_t place; /* mixed from pair and number; its low bits say where the rest is cut */
};
_Static_assert(sizeof(struct head) == HEAD, "no padding");

static void head_init(const struct packet_kit *kit, struct head *h, uint32_t pair, uint64_t number,
                      uint64_t sent_ns, size_t size)
{
    memcpy(h->magic, magic, sizeof(magic));
    h->pair = pair;
    h->number = number;
    h->sent_ns = sent_ns;
    h->place = mix(kit->salt ^ mix(number ^ (uint64_t)pair << 40));
    h->tag = mix(h->place ^ mix(sent_ns ^ (uint64_t)size << 44));
}

void packet_make(const struct packet_kit *kit, uint32_t pair, uint64_t number, uint64_t sent_ns,
                 char *out, size_t size)
{
    struct head h;

    ASSERT(size >= HEAD && size <= CUTS);
    head_init(kit, &h, pair, number, sent_ns, size);
    memcpy(out, &h, HEAD);
    memcpy(out + HEAD, kit->pool + h.place % CUTS, size - HEAD);
}

bool packet_check(const struct packet_kit *kit, uint32_t pair, struct str packet, uint64_t *number,
                  uint64_t *sent_ns)
{
    struct head got, want;

    if (packet.len < HEAD || packet.len > CUTS)
        return false;
    memcpy(&got, packet.ptr, HEAD);
    head_init(kit, &want, pair, got.number, got.sent_ns, packet.len);
    if (memcmp(&got, &want, HEAD) != 0 ||
        memcmp(packet.ptr + HEAD, kit->pool + want.place % CUTS, packet.len - HEAD) != 0)
        return false;
    *number = got.number;
    *sent_ns = got.sent_ns;
    return true;
}

enum packet_order packet_seen_add(struct packet_seen *seen, uint64_t number)
{
    if (number >= seen->next) {
        if (number - seen->next >= SEEN_WINDOW)
            memset(seen->bits, 0, sizeof(seen->bits));
        else
            for (uint64_t n = seen->next; n < number; n++)
                seen->bits[n % SEEN_WINDOW / 64] &= ~((uint64_t)1 << n % 64);
        seen->bits[number % SEEN_WINDOW / 64] |= (uint64_t)1 << number % 64;
        seen->next = number + 1;
        return PACKET_NEWEST;
    }
    uint64_t *word = &seen->bits[number % SEEN_WINDOW / 64], bit = (uint64_t)1 << number % 64;

    if (seen->next - number > SEEN_WINDOW || (*word & bit))
        return PACKET_TWICE;
    *word |= bit;
    return PACKET_LATE;
}
