/*
 * Addresses: given once each over the whole server, freed when the node goes. A tailnet that was
 * told so (settings.addresses_apart) gives its own whoever else has them, once each within itself.
 *
 * Sequential allocation goes on behind the address given last and starts over at the prefix's end,
 * so an address that was freed is not given to another machine soon. Asking whether one is taken is
 * a hash look-up; a run of taken ones is walked only after the prefix was used up once.
 *
 * Never given: the first and the last of the prefix, and the ranges below (protocol.md 7.2).
 */

#include "core/rand.h"
#include "tailnet/domain_internal.h"

#define RANDOM_TRIES 64

struct reserved {
    struct ip_addr addr;
    uint8_t bits;
};

static const struct reserved reserved[] = {
    {IP_ADDR_V4(100, 100, 0, 0), 24},   /* services of the client */
    {IP_ADDR_V4(100, 100, 100, 0), 24}, /* 100.100.100.100 and its neighbours */
    {IP_ADDR_V4(100, 115, 92, 0), 23},  /* ChromeOS gives these to its containers */
    /* fd7a:115c:a1e0::53, the client's resolver */
    {{IP_V6, {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53}}, 128},
    /* fd7a:115c:a1e0:b1a::/64, IPv4 subnets routed by IPv6 */
    {{IP_V6, {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0x0b, 0x1a}}, 64},
};

static struct str addr_key(const struct ip_addr *addr)
{
    return str_bytes(addr, sizeof(*addr));
}

static const struct reserved *reserved_with(struct ip_addr addr)
{
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        struct ip_prefix p = {reserved[i].addr, reserved[i].bits};

        if (ip_prefix_contains(p, addr))
            return &reserved[i];
    }
    return NULL;
}

/* Where the tailnet's addresses are looked up. */
static struct map *map_of(const struct domain *d, const struct tailnet *t)
{
    return t->node_by_addr ? t->node_by_addr : d->node_by_addr;
}

struct node_state *address_holder(const struct domain *d, const struct tailnet *t,
                                  const struct ip_addr *addr)
{
    return map_find(map_of(d, t), addr_key(addr));
}

/* Those of nodes, and those by which guests are known. */
struct taken {
    const struct map *nodes;
    const struct map *guests; /* NULL: there are none */
};

static struct taken taken_in(const struct domain *d, const struct tailnet *t)
{
    return (struct taken){map_of(d, t), t->guest_addrs};
}

static bool is_taken(const struct taken *taken, struct ip_addr addr)
{
    return map_find(taken->nodes, addr_key(&addr)) ||
           (taken->guests && map_find(taken->guests, addr_key(&addr)));
}

static bool is_free(const struct taken *taken, struct ip_addr addr)
{
    return !reserved_with(addr) && !is_taken(taken, addr);
}

bool address_is_free(const struct domain *d, const struct tailnet *t, struct ip_prefix p,
                     struct ip_addr addr)
{
    const struct taken taken = taken_in(d, t);

    return is_free(&taken, addr) && !ip_addr_eq(addr, ip_prefix_first(p)) &&
           !ip_addr_eq(addr, ip_prefix_last(p));
}

/* The first free one from `from` to `to`, both included. */
static bool find_between(const struct taken *taken, struct ip_addr from, struct ip_addr to,
                         struct ip_addr *out)
{
    struct ip_addr at = from;

    while (ip_addr_cmp(at, to) <= 0) {
        const struct reserved *r = reserved_with(at);

        if (!r && !is_taken(taken, at)) {
            *out = at;
            return true;
        }
        if (r)
            at = ip_prefix_last((struct ip_prefix){r->addr, r->bits});
        if (!ip_addr_next(at, &at))
            return false;
    }
    return false;
}

/* The prefix with host bits of the noise. */
static struct ip_addr addr_of(struct ip_prefix p, const uint8_t noise[16])
{
    struct ip_addr a = p.addr;

    for (unsigned bit = p.bits; bit < ip_addr_width(a); bit++)
        a.bytes[bit / 8] |= (uint8_t)(noise[bit / 8] & (0x80u >> (bit % 8)));
    return a;
}

/* Cryptographically random within the prefix. */
static struct ip_addr random_addr(struct ip_prefix p)
{
    uint8_t noise[16];

    rand_bytes(noise, sizeof(noise));
    return addr_of(p, noise);
}

/* Without the network's and the broadcast address. False: nothing is left. */
static bool usable(struct ip_prefix p, struct ip_addr *first, struct ip_addr *last)
{
    return ip_addr_next(ip_prefix_first(p), first) && ip_addr_prev(ip_prefix_last(p), last) &&
           ip_addr_cmp(*first, *last) <= 0;
}

static bool find_in(const struct taken *taken, struct ip_prefix p, struct ip_addr last_given,
                    enum address_allocation how, struct ip_addr *out)
{
    struct ip_addr first, last, start;

    if (!usable(p, &first, &last))
        return false;
    start = first;
    if (ip_addr_cmp(last_given, first) >= 0 && ip_addr_cmp(last_given, last) < 0 &&
        !ip_addr_next(last_given, &start))
        return false;
    for (int i = 0; how == ADDRESS_RANDOM && i < RANDOM_TRIES; i++) {
        struct ip_addr a = random_addr(p);

        if (ip_addr_cmp(a, first) < 0 || ip_addr_cmp(a, last) > 0)
            continue;
        start = a;
        if (is_free(taken, a))
            break;
    }
    if (find_between(taken, start, last, out))
        return true;
    return ip_addr_cmp(start, first) > 0 && ip_addr_prev(start, &start) &&
           find_between(taken, first, start, out);
}

static int find_one(const struct domain *d, const struct tailnet *t, struct ip_prefix p,
                    struct ip_addr last_given, struct ip_addr *out, struct err *err)
{
    const struct taken taken = taken_in(d, t);
    struct buf text = BUF(64);

    *out = (struct ip_addr){0};
    if (!ip_prefix_is_set(p) || find_in(&taken, p, last_given, t->info->allocation, out))
        return 0;
    ip_prefix_put(&text, p);
    int status = err_set(err, ERR_LIMIT, "no address is free in %.*s", STR_ARG(buf_str(&text)));
    buf_fini(&text);
    return status;
}

bool address_find(const struct domain *d, const struct tailnet *t, uint8_t family,
                  struct ip_addr *out)
{
    struct err ignored = {0};
    bool is_v4 = family == IP_V4;

    return find_one(d, t, is_v4 ? t->info->prefix_v4 : t->info->prefix_v6,
                    is_v4 ? t->last_v4 : t->last_v6, out, &ignored) == 0 &&
           ip_addr_is_set(*out);
}

bool address_find_alias(const struct domain *d, const struct tailnet *t, uint8_t family,
                        node_id guest, struct ip_addr *out)
{
    struct ip_prefix p = family == IP_V4 ? t->info->prefix_v4 : t->info->prefix_v6;
    const struct taken taken = taken_in(d, t);
    uint64_t mixed = guest;
    struct ip_addr first, last, start;
    uint8_t noise[16];

    if (!ip_prefix_is_set(p) || !usable(p, &first, &last))
        return false;
    /* Spread over the prefix, so that a restart finds the same one. */
    for (size_t i = 0; i < sizeof(noise); i++) {
        mixed = (mixed ^ (mixed >> 29)) * UINT64_C(0x9e3779b97f4a7c15);
        noise[i] = (uint8_t)(mixed >> 56);
    }
    start = addr_of(p, noise);
    if (ip_addr_cmp(start, first) < 0 || ip_addr_cmp(start, last) > 0)
        start = first;
    if (find_between(&taken, start, last, out))
        return true;
    return ip_addr_prev(start, &start) && ip_addr_cmp(start, first) >= 0 &&
           find_between(&taken, first, start, out);
}

void address_set(struct domain *d, struct node_state *s, uint8_t family, struct ip_addr addr)
{
    struct node *n = node_edit(d, s, NODE_CARD);
    struct ip_addr *at = family == IP_V4 ? &n->v4 : &n->v6;

    if (ip_addr_is_set(*at))
        (void)map_remove(map_of(d, s->tailnet), addr_key(at));
    *at = addr;
    if (ip_addr_is_set(addr)) {
        (void)map_put(map_of(d, s->tailnet), addr_key(at), s);
        *(family == IP_V4 ? &s->tailnet->last_v4 : &s->tailnet->last_v6) = addr;
    }
    guests_readdress(d, s);
}

int addresses_find(const struct domain *d, const struct tailnet *t, struct ip_addr *v4,
                   struct ip_addr *v6, struct err *err)
{
    int status = find_one(d, t, t->info->prefix_v4, t->last_v4, v4, err);

    return status < 0 ? status : find_one(d, t, t->info->prefix_v6, t->last_v6, v6, err);
}

void addresses_take(struct domain *d, struct node_state *s)
{
    const struct node *n = node_now(s);

    if (ip_addr_is_set(n->v4)) {
        (void)map_put(map_of(d, s->tailnet), addr_key(&n->v4), s);
        s->tailnet->last_v4 = n->v4;
    }
    if (ip_addr_is_set(n->v6)) {
        (void)map_put(map_of(d, s->tailnet), addr_key(&n->v6), s);
        s->tailnet->last_v6 = n->v6;
    }
}

void addresses_free(struct domain *d, const struct node_state *s)
{
    const struct node *n = node_now(s);

    if (ip_addr_is_set(n->v4))
        (void)map_remove(map_of(d, s->tailnet), addr_key(&n->v4));
    if (ip_addr_is_set(n->v6))
        (void)map_remove(map_of(d, s->tailnet), addr_key(&n->v6));
}
