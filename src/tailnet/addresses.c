/*
 * Addresses: given once each over the whole server, freed when the node goes.
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

static bool is_free(const struct domain *d, struct ip_addr addr)
{
    return !reserved_with(addr) && !map_find(d->node_by_addr, addr_key(&addr));
}

/* The first free one from `from` to `to`, both included. */
static bool find_between(const struct domain *d, struct ip_addr from, struct ip_addr to,
                         struct ip_addr *out)
{
    struct ip_addr at = from;

    while (ip_addr_cmp(at, to) <= 0) {
        const struct reserved *r = reserved_with(at);

        if (!r && !map_find(d->node_by_addr, addr_key(&at))) {
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

/* Cryptographically random within the prefix. */
static struct ip_addr random_addr(struct ip_prefix p)
{
    struct ip_addr a = p.addr;
    uint8_t noise[16];

    rand_bytes(noise, sizeof(noise));
    for (unsigned bit = p.bits; bit < ip_addr_width(a); bit++)
        a.bytes[bit / 8] |= (uint8_t)(noise[bit / 8] & (0x80u >> (bit % 8)));
    return a;
}

static bool find_in(const struct domain *d, struct ip_prefix p, struct ip_addr last_given,
                    enum address_allocation how, struct ip_addr *out)
{
    struct ip_addr first, last, start;

    /* Without the network's and the broadcast address. */
    if (!ip_addr_next(ip_prefix_first(p), &first) || !ip_addr_prev(ip_prefix_last(p), &last) ||
        ip_addr_cmp(first, last) > 0)
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
        if (is_free(d, a))
            break;
    }
    if (find_between(d, start, last, out))
        return true;
    return ip_addr_cmp(start, first) > 0 && ip_addr_prev(start, &start) &&
           find_between(d, first, start, out);
}

static int find_one(const struct domain *d, const struct tailnet *t, struct ip_prefix p,
                    struct ip_addr last_given, struct ip_addr *out, struct err *err)
{
    struct buf text = BUF(64);

    *out = (struct ip_addr){0};
    if (!ip_prefix_is_set(p) || find_in(d, p, last_given, t->info->allocation, out))
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

void address_set(struct domain *d, struct node_state *s, uint8_t family, struct ip_addr addr)
{
    struct node *n = node_edit(d, s, NODE_CARD);
    struct ip_addr *at = family == IP_V4 ? &n->v4 : &n->v6;

    if (ip_addr_is_set(*at))
        (void)map_remove(d->node_by_addr, addr_key(at));
    *at = addr;
    if (!ip_addr_is_set(addr))
        return;
    (void)map_put(d->node_by_addr, addr_key(at), s);
    *(family == IP_V4 ? &s->tailnet->last_v4 : &s->tailnet->last_v6) = addr;
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
        (void)map_put(d->node_by_addr, addr_key(&n->v4), s);
        s->tailnet->last_v4 = n->v4;
    }
    if (ip_addr_is_set(n->v6)) {
        (void)map_put(d->node_by_addr, addr_key(&n->v6), s);
        s->tailnet->last_v6 = n->v6;
    }
}

void addresses_free(struct domain *d, const struct node_state *s)
{
    const struct node *n = node_now(s);

    if (ip_addr_is_set(n->v4))
        (void)map_remove(d->node_by_addr, addr_key(&n->v4));
    if (ip_addr_is_set(n->v6))
        (void)map_remove(d->node_by_addr, addr_key(&n->v6));
}
