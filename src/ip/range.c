#include "ip/range.h"

bool ip_range_make(struct ip_addr first, struct ip_addr last, struct ip_range *out)
{
    if (!ip_addr_is_set(first) || first.family != last.family || ip_addr_cmp(first, last) > 0)
        return false;
    *out = (struct ip_range){first, last};
    return true;
}

bool ip_range_parse(struct str text, struct ip_range *out)
{
    struct ip_addr first = {0}, last = {0};
    struct str a, b;

    return str_split(text, '-', &a, &b) && ip_addr_parse(a, &first) && ip_addr_parse(b, &last) &&
           ip_range_make(first, last, out);
}

bool ip_range_parse_any(struct str text, struct ip_range *out)
{
    struct ip_prefix p = {0};

    if (!ip_prefix_parse_or_addr(text, &p))
        return ip_range_parse(text, out);
    *out = ip_range_of_prefix(p);
    return true;
}

void ip_range_put(struct buf *out, struct ip_range r)
{
    struct ip_prefix p = {0};

    if (ip_range_as_prefix(r, &p)) {
        ip_prefix_put_short(out, p);
        return;
    }
    ip_addr_put(out, r.first);
    buf_put_char(out, '-');
    ip_addr_put(out, r.last);
}

struct ip_range ip_range_of_prefix(struct ip_prefix p)
{
    ASSERT(ip_prefix_is_set(p));
    return (struct ip_range){ip_prefix_first(p), ip_prefix_last(p)};
}

struct ip_range ip_range_of_addr(struct ip_addr addr)
{
    ASSERT(ip_addr_is_set(addr));
    return (struct ip_range){addr, addr};
}

bool ip_range_contains(struct ip_range r, struct ip_addr addr)
{
    return ip_addr_cmp(r.first, addr) <= 0 && ip_addr_cmp(addr, r.last) <= 0;
}

bool ip_range_covers(struct ip_range outer, struct ip_range inner)
{
    return ip_range_contains(outer, inner.first) && ip_range_contains(outer, inner.last);
}

bool ip_range_overlaps(struct ip_range a, struct ip_range b)
{
    return ip_addr_cmp(a.first, b.last) <= 0 && ip_addr_cmp(b.first, a.last) <= 0;
}

bool ip_range_eq(struct ip_range a, struct ip_range b)
{
    return ip_range_cmp(a, b) == 0;
}

int ip_range_cmp(struct ip_range a, struct ip_range b)
{
    int order = ip_addr_cmp(a.first, b.first);

    return order ? order : ip_addr_cmp(a.last, b.last);
}

bool ip_range_as_prefix(struct ip_range r, struct ip_prefix *out)
{
    struct ip_range rest = r;
    struct ip_prefix p = {0};

    if (ip_range_take_prefix(&rest, &p))
        return false;
    *out = p;
    return true;
}

uint64_t ip_range_count(struct ip_range r)
{
    size_t width = ip_addr_width(r.first) / 8;
    uint64_t distance = 0;
    bool far = false;
    int borrow = 0;

    for (size_t i = width; i-- > 0;) {
        int d = r.last.bytes[i] - r.first.bytes[i] - borrow;
        size_t place = width - 1 - i;

        borrow = d < 0;
        if (place < 8)
            distance |= (uint64_t)(d & 0xff) << (8 * place);
        else
            far = far || (d & 0xff) != 0;
    }
    return far || distance == UINT64_MAX ? UINT64_MAX : distance + 1;
}

/* How many low bits of the address are zero, at most its width. */
static unsigned zero_bits(struct ip_addr addr)
{
    unsigned n = 0;

    for (size_t i = ip_addr_width(addr) / 8; i-- > 0; n += 8)
        if (addr.bytes[i])
            return n + (unsigned)__builtin_ctz(addr.bytes[i]);
    return n;
}

bool ip_range_take_prefix(struct ip_range *r, struct ip_prefix *p)
{
    unsigned width = ip_addr_width(r->first);
    struct ip_prefix best = {r->first, (uint8_t)(width - zero_bits(r->first))};

    while (best.bits < width && ip_addr_cmp(ip_prefix_last(best), r->last) > 0)
        best.bits++;
    *p = best;
    return ip_addr_next(ip_prefix_last(best), &r->first) && ip_addr_cmp(r->first, r->last) <= 0;
}
