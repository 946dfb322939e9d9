#include "ip/set.h"

#include "core/mem.h"
#include "core/num.h"

/*
 * Invariant, after every function: ranges[i].last + 1 < ranges[i + 1].first, IPv4 before IPv6.
 */

void ip_set_fini(struct ip_set *s)
{
    mem_free(s->ranges);
    *s = (struct ip_set){0};
}

void ip_set_clear(struct ip_set *s)
{
    s->len = 0;
}

static void reserve(struct ip_set *s, size_t n)
{
    if (n <= s->cap)
        return;
    s->cap = MAX(MAX(n, s->cap * 2), (size_t)4);
    s->ranges = mem_realloc_array(s->ranges, s->cap, sizeof(*s->ranges));
}

/* The first range that does not end before addr; len when all do. */
static size_t first_reaching(const struct ip_set *s, struct ip_addr addr)
{
    size_t low = 0, high = s->len;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (ip_addr_cmp(s->ranges[mid].last, addr) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Puts the n ranges of `with` where [from, to) are now. */
static void splice(struct ip_set *s, size_t from, size_t to, const struct ip_range *with, size_t n)
{
    size_t behind = s->len - to, len = from + n + behind;

    reserve(s, len);
    if (behind && from + n != to)
        memmove(s->ranges + from + n, s->ranges + to, behind * sizeof(*s->ranges));
    if (n)
        memcpy(s->ranges + from, with, n * sizeof(*s->ranges));
    s->len = len;
}

/* Whether b begins at or before the address behind a's last: then the two are one range. */
static bool touches(struct ip_range a, struct ip_range b)
{
    struct ip_addr behind;

    if (a.last.family != b.first.family)
        return false;
    return !ip_addr_next(a.last, &behind) || ip_addr_cmp(b.first, behind) <= 0;
}

void ip_set_add(struct ip_set *s, struct ip_range r)
{
    struct ip_addr before = r.first;
    size_t from, to;

    /* At the family's first address there is nothing before to touch. */
    if (!ip_addr_prev(r.first, &before))
        before = r.first;
    from = first_reaching(s, before);
    for (to = from; to < s->len && touches(r, s->ranges[to]); to++) {
        if (ip_addr_cmp(s->ranges[to].first, r.first) < 0)
            r.first = s->ranges[to].first;
        if (ip_addr_cmp(s->ranges[to].last, r.last) > 0)
            r.last = s->ranges[to].last;
    }
    splice(s, from, to, &r, 1);
}

void ip_set_add_prefix(struct ip_set *s, struct ip_prefix p)
{
    ip_set_add(s, ip_range_of_prefix(p));
}

void ip_set_add_addr(struct ip_set *s, struct ip_addr addr)
{
    ip_set_add(s, ip_range_of_addr(addr));
}

/* What of `a` lies before and behind r; returns how many pieces, 0 to 2. They must overlap. */
static size_t cut_out(struct ip_range a, struct ip_range r, struct ip_range pieces[2])
{
    size_t n = 0;
    struct ip_addr edge;

    if (ip_addr_cmp(a.first, r.first) < 0 && ip_addr_prev(r.first, &edge))
        pieces[n++] = (struct ip_range){a.first, edge};
    if (ip_addr_cmp(a.last, r.last) > 0 && ip_addr_next(r.last, &edge))
        pieces[n++] = (struct ip_range){edge, a.last};
    return n;
}

void ip_set_remove(struct ip_set *s, struct ip_range r)
{
    size_t from = first_reaching(s, r.first), to = from, n = 0;
    struct ip_range left[4];

    while (to < s->len && ip_range_overlaps(s->ranges[to], r))
        to++;
    if (from == to)
        return;
    n = cut_out(s->ranges[from], r, left);
    if (to - from > 1)
        n += cut_out(s->ranges[to - 1], r, left + n);
    splice(s, from, to, left, n);
}

void ip_set_remove_prefix(struct ip_set *s, struct ip_prefix p)
{
    ip_set_remove(s, ip_range_of_prefix(p));
}

void ip_set_remove_addr(struct ip_set *s, struct ip_addr addr)
{
    ip_set_remove(s, ip_range_of_addr(addr));
}

/* Adds a range that does not begin before the last one. */
static void append(struct ip_set *s, struct ip_range r)
{
    if (s->len > 0 && touches(s->ranges[s->len - 1], r)) {
        struct ip_range *last = &s->ranges[s->len - 1];

        if (ip_addr_cmp(r.last, last->last) > 0)
            last->last = r.last;
        return;
    }
    reserve(s, s->len + 1);
    s->ranges[s->len++] = r;
}

static void replace(struct ip_set *out, struct ip_set *by)
{
    ip_set_fini(out);
    *out = *by;
}

static int cmp_ranges(const void *a, const void *b)
{
    return ip_range_cmp(*(const struct ip_range *)a, *(const struct ip_range *)b);
}

void ip_set_build(struct ip_set *out, const struct ip_range *ranges, size_t n)
{
    struct ip_range *sorted = mem_dup(ranges, n * sizeof(*ranges));
    struct ip_set result = {0};

    if (n > 1)
        qsort(sorted, n, sizeof(*sorted), cmp_ranges);
    for (size_t i = 0; i < n; i++)
        append(&result, sorted[i]);
    mem_free(sorted);
    replace(out, &result);
}

void ip_set_copy(struct ip_set *out, const struct ip_set *a)
{
    struct ip_set result = {0};

    splice(&result, 0, 0, a->ranges, a->len);
    replace(out, &result);
}

void ip_set_union(struct ip_set *out, const struct ip_set *a, const struct ip_set *b)
{
    struct ip_set result = {0};
    size_t i = 0, j = 0;

    while (i < a->len || j < b->len) {
        bool from_a = j == b->len || (i < a->len && ip_range_cmp(a->ranges[i], b->ranges[j]) <= 0);

        append(&result, from_a ? a->ranges[i++] : b->ranges[j++]);
    }
    replace(out, &result);
}

void ip_set_intersect(struct ip_set *out, const struct ip_set *a, const struct ip_set *b)
{
    struct ip_set result = {0};
    size_t i = 0, j = 0;

    while (i < a->len && j < b->len) {
        struct ip_range x = a->ranges[i], y = b->ranges[j];

        if (ip_range_overlaps(x, y)) {
            struct ip_addr first = ip_addr_cmp(x.first, y.first) > 0 ? x.first : y.first;
            struct ip_addr last = ip_addr_cmp(x.last, y.last) < 0 ? x.last : y.last;

            append(&result, (struct ip_range){first, last});
        }
        if (ip_addr_cmp(x.last, y.last) < 0)
            i++;
        else
            j++;
    }
    replace(out, &result);
}

void ip_set_subtract(struct ip_set *out, const struct ip_set *a, const struct ip_set *b)
{
    struct ip_set result = {0};
    size_t j = 0;

    for (size_t i = 0; i < a->len; i++) {
        struct ip_range rest = a->ranges[i];
        bool left = true;

        while (j < b->len && ip_addr_cmp(b->ranges[j].last, rest.first) < 0)
            j++;
        for (size_t k = j; left && k < b->len && ip_range_overlaps(rest, b->ranges[k]); k++) {
            struct ip_range hole = b->ranges[k];
            struct ip_addr edge;

            if (ip_addr_cmp(rest.first, hole.first) < 0 && ip_addr_prev(hole.first, &edge))
                append(&result, (struct ip_range){rest.first, edge});
            left = ip_addr_cmp(hole.last, rest.last) < 0 && ip_addr_next(hole.last, &rest.first);
        }
        if (left)
            append(&result, rest);
    }
    replace(out, &result);
}

bool ip_set_is_empty(const struct ip_set *s)
{
    return s->len == 0;
}

bool ip_set_eq(const struct ip_set *a, const struct ip_set *b)
{
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        if (!ip_range_eq(a->ranges[i], b->ranges[i]))
            return false;
    return true;
}

bool ip_set_contains(const struct ip_set *s, struct ip_addr addr)
{
    size_t at = first_reaching(s, addr);

    return at < s->len && ip_range_contains(s->ranges[at], addr);
}

bool ip_set_covers(const struct ip_set *s, struct ip_range r)
{
    size_t at = first_reaching(s, r.first);

    return at < s->len && ip_range_covers(s->ranges[at], r);
}

bool ip_set_overlaps(const struct ip_set *s, struct ip_range r)
{
    size_t at = first_reaching(s, r.first);

    return at < s->len && ip_range_overlaps(s->ranges[at], r);
}

bool ip_set_overlaps_set(const struct ip_set *a, const struct ip_set *b)
{
    size_t i = 0, j = 0;

    while (i < a->len && j < b->len) {
        if (ip_range_overlaps(a->ranges[i], b->ranges[j]))
            return true;
        if (ip_addr_cmp(a->ranges[i].last, b->ranges[j].last) < 0)
            i++;
        else
            j++;
    }
    return false;
}

bool ip_set_first_absent(const struct ip_set *s, struct ip_range within, struct ip_addr from,
                         struct ip_addr *out)
{
    if (ip_addr_cmp(from, within.first) < 0)
        from = within.first;
    if (!ip_range_contains(within, from))
        return false;

    size_t at = first_reaching(s, from);

    /* Ranges never touch, so the address behind one is free. */
    if (at < s->len && ip_range_contains(s->ranges[at], from) &&
        !ip_addr_next(s->ranges[at].last, &from))
        return false;
    if (!ip_range_contains(within, from))
        return false;
    *out = from;
    return true;
}

uint64_t ip_set_count(const struct ip_set *s)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < s->len; i++)
        if (num_add_overflows(sum, ip_range_count(s->ranges[i]), &sum))
            return UINT64_MAX;
    return sum;
}

bool ip_set_next_prefix(const struct ip_set *s, struct ip_set_prefixes *it, struct ip_prefix *p)
{
    if (!it->has_rest) {
        if (it->at >= s->len)
            return false;
        it->rest = s->ranges[it->at++];
    }
    it->has_rest = ip_range_take_prefix(&it->rest, p);
    return true;
}
