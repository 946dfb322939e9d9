#pragma once

/* Inclusive ranges of addresses of one family: first <= last always. */

#include "ip/prefix.h"

struct ip_range {
    struct ip_addr first;
    struct ip_addr last;
};

/* "a-b" with a <= b of one family. False: anything else, out untouched. */
MUST_USE bool ip_range_parse(struct str text, struct ip_range *out);
/* "a-b", a prefix (host bits ignored) or a bare address. */
MUST_USE bool ip_range_parse_any(struct str text, struct ip_range *out);
/* The shortest of "a", "p/bits" and "a-b": what a packet filter takes. */
void ip_range_put(struct buf *out, struct ip_range r);

/* False when the families differ or a > b. */
MUST_USE bool ip_range_make(struct ip_addr first, struct ip_addr last, struct ip_range *out);
struct ip_range ip_range_of_prefix(struct ip_prefix p); /* p must be set */
struct ip_range ip_range_of_addr(struct ip_addr addr);  /* addr must be set */

bool ip_range_contains(struct ip_range r, struct ip_addr addr);
bool ip_range_covers(struct ip_range outer, struct ip_range inner);
bool ip_range_overlaps(struct ip_range a, struct ip_range b);
bool ip_range_eq(struct ip_range a, struct ip_range b);
/* By first, then last. */
int ip_range_cmp(struct ip_range a, struct ip_range b);
/* The prefix with exactly these addresses; false when there is none. */
MUST_USE bool ip_range_as_prefix(struct ip_range r, struct ip_prefix *out);
/* How many addresses; UINT64_MAX when it is that many or more. */
uint64_t ip_range_count(struct ip_range r);
/*
 * Takes the largest prefix that begins at r->first off the front. False: that was all, and *r is
 * not to be used again. At most 62 (IPv4) or 254 (IPv6) calls use up any range.
 */
bool ip_range_take_prefix(struct ip_range *r, struct ip_prefix *p);
