#include "ip/prefix.h"

bool ip_prefix_parse(struct str text, struct ip_prefix *out)
{
    struct ip_prefix p = {0};
    struct str addr, digits;
    uint64_t bits = 0;

    if (!str_split(text, '/', &addr, &digits) || !ip_addr_parse(addr, &p.addr))
        return false;
    if (digits.len > 1 && digits.ptr[0] == '0')
        return false;
    if (!str_parse_u64(digits, &bits) || bits > ip_addr_width(p.addr))
        return false;
    p.bits = (uint8_t)bits;
    *out = p;
    return true;
}

bool ip_prefix_parse_masked(struct str text, struct ip_prefix *out)
{
    struct ip_prefix p = {0};

    if (!ip_prefix_parse(text, &p) || !ip_prefix_is_masked(p))
        return false;
    *out = p;
    return true;
}

bool ip_prefix_parse_or_addr(struct str text, struct ip_prefix *out)
{
    struct ip_addr addr = {0};

    if (!ip_addr_parse(text, &addr))
        return ip_prefix_parse(text, out);
    *out = ip_prefix_single(addr);
    return true;
}

void ip_prefix_put(struct buf *out, struct ip_prefix p)
{
    if (!ip_prefix_is_set(p))
        return;
    ip_addr_put(out, p.addr);
    buf_put_char(out, '/');
    buf_put_u64(out, p.bits);
}

void ip_prefix_put_short(struct buf *out, struct ip_prefix p)
{
    if (ip_prefix_is_single(p))
        ip_addr_put(out, p.addr);
    else
        ip_prefix_put(out, p);
}

struct ip_prefix ip_prefix_single(struct ip_addr addr)
{
    return (struct ip_prefix){addr, (uint8_t)ip_addr_width(addr)};
}

bool ip_prefix_is_set(struct ip_prefix p)
{
    return ip_addr_is_set(p.addr);
}

bool ip_prefix_is_single(struct ip_prefix p)
{
    return ip_prefix_is_set(p) && p.bits == ip_addr_width(p.addr);
}

/* The mask of byte `i`: ones where the prefix counts. */
static uint8_t mask_at(unsigned bits, size_t i)
{
    if (bits >= 8 * i + 8)
        return 0xff;
    if (bits <= 8 * i)
        return 0;
    return (uint8_t)(0xffu << (8 * i + 8 - bits));
}

bool ip_prefix_is_masked(struct ip_prefix p)
{
    return ip_addr_eq(p.addr, ip_prefix_first(p));
}

struct ip_prefix ip_prefix_masked(struct ip_prefix p)
{
    p.addr = ip_prefix_first(p);
    return p;
}

bool ip_prefix_is_exit(struct ip_prefix p)
{
    return ip_addr_is_unspecified(p.addr) && p.bits == 0;
}

bool ip_prefix_contains(struct ip_prefix p, struct ip_addr addr)
{
    if (!ip_prefix_is_set(p) || p.addr.family != addr.family)
        return false;
    for (size_t i = 0; 8 * i < p.bits; i++)
        if ((p.addr.bytes[i] ^ addr.bytes[i]) & mask_at(p.bits, i))
            return false;
    return true;
}

bool ip_prefix_covers(struct ip_prefix outer, struct ip_prefix inner)
{
    return outer.bits <= inner.bits && ip_prefix_contains(outer, inner.addr);
}

bool ip_prefix_overlaps(struct ip_prefix a, struct ip_prefix b)
{
    return ip_prefix_covers(a, b) || ip_prefix_covers(b, a);
}

bool ip_prefix_eq(struct ip_prefix a, struct ip_prefix b)
{
    return ip_prefix_cmp(a, b) == 0;
}

int ip_prefix_cmp(struct ip_prefix a, struct ip_prefix b)
{
    int order = ip_addr_cmp(a.addr, b.addr);

    return order ? order : (a.bits > b.bits) - (a.bits < b.bits);
}

struct ip_addr ip_prefix_first(struct ip_prefix p)
{
    size_t width = ip_addr_width(p.addr) / 8;

    for (size_t i = 0; i < width; i++)
        p.addr.bytes[i] = (uint8_t)(p.addr.bytes[i] & mask_at(p.bits, i));
    return p.addr;
}

struct ip_addr ip_prefix_last(struct ip_prefix p)
{
    size_t width = ip_addr_width(p.addr) / 8;

    for (size_t i = 0; i < width; i++)
        p.addr.bytes[i] = (uint8_t)(p.addr.bytes[i] | ~mask_at(p.bits, i));
    return p.addr;
}

static int cmp_items(const void *a, const void *b)
{
    return ip_prefix_cmp(*(const struct ip_prefix *)a, *(const struct ip_prefix *)b);
}

size_t ip_prefix_sort_unique(struct ip_prefix *items, size_t n)
{
    size_t kept = 0;

    if (n > 1)
        qsort(items, n, sizeof(*items), cmp_items);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !ip_prefix_eq(items[i], items[kept - 1]))
            items[kept++] = items[i];
    return kept;
}

bool ip_prefix_in(const struct ip_prefix *items, size_t n, struct ip_prefix p)
{
    for (size_t i = 0; i < n; i++)
        if (ip_prefix_eq(items[i], p))
            return true;
    return false;
}
