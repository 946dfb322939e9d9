#pragma once

/*
 * Sets of addresses of both families, as ranges that are sorted, disjoint and not even touching;
 * so two sets are equal exactly when their ranges are. Zero is the empty set.
 *
 * Adding or removing in the middle moves what is behind it; to build from many ranges in any order
 * use ip_set_build. Union, intersection and difference are
 * linear. A set owns its memory: ip_set_fini. What a peer can make large must be bounded before.
 */

#include "ip/range.h"

struct ip_set {
    struct ip_range *ranges; /* read freely, in order; change through the functions only */
    size_t len;
    size_t cap;
};

void ip_set_fini(struct ip_set *s);
void ip_set_clear(struct ip_set *s); /* keeps the memory */

void ip_set_add(struct ip_set *s, struct ip_range r);
void ip_set_add_prefix(struct ip_set *s, struct ip_prefix p);
void ip_set_add_addr(struct ip_set *s, struct ip_addr addr);
void ip_set_remove(struct ip_set *s, struct ip_range r);
void ip_set_remove_prefix(struct ip_set *s, struct ip_prefix p);
void ip_set_remove_addr(struct ip_set *s, struct ip_addr addr);

/* Replaces what `out` held; `out` may be an operand. n log n. */
void ip_set_build(struct ip_set *out, const struct ip_range *ranges, size_t n);
void ip_set_copy(struct ip_set *out, const struct ip_set *a);
void ip_set_union(struct ip_set *out, const struct ip_set *a, const struct ip_set *b);
void ip_set_intersect(struct ip_set *out, const struct ip_set *a, const struct ip_set *b);
void ip_set_subtract(struct ip_set *out, const struct ip_set *a, const struct ip_set *b);

bool ip_set_is_empty(const struct ip_set *s);
bool ip_set_eq(const struct ip_set *a, const struct ip_set *b);
bool ip_set_contains(const struct ip_set *s, struct ip_addr addr); /* log n */
bool ip_set_covers(const struct ip_set *s, struct ip_range r);     /* all of r; log n */
bool ip_set_overlaps(const struct ip_set *s, struct ip_range r);   /* any of r; log n */
bool ip_set_overlaps_set(const struct ip_set *a, const struct ip_set *b);

/*
 * The first address of `within`, from `from` on, that is not in the set: how a free address is
 * found. False: none. `from` outside `within` on the left counts as its first. log n.
 */
MUST_USE bool ip_set_first_absent(const struct ip_set *s, struct ip_range within,
                                  struct ip_addr from, struct ip_addr *out);
/* How many addresses of both families; UINT64_MAX when it is that many or more. */
uint64_t ip_set_count(const struct ip_set *s);

/*
 * The fewest prefixes that make up the set, in order: start with a zero iterator; false at the end.
 */
struct ip_set_prefixes {
    size_t at;
    struct ip_range rest;
    bool has_rest;
};
bool ip_set_next_prefix(const struct ip_set *s, struct ip_set_prefixes *it, struct ip_prefix *p);
