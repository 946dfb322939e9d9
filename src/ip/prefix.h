#pragma once

/*
 * Prefixes: an address and how many of its leading bits count. All zero (family IP_NONE) is "no
 * prefix". Functions that ask about membership look at the counting bits only; those that compare
 * look at the whole value, so mask what you keep.
 */

#include "ip/addr.h"

struct ip_prefix {
    struct ip_addr addr;
    uint8_t bits; /* 0..32 or 0..128 */
};

/* Longest text. */
#define IP_PREFIX_TEXT_MAX (IP_ADDR_TEXT_MAX + 4)

/* "10.0.0.0/8"; bits decimal without leading zeros. Host bits may be set and are kept. */
MUST_USE bool ip_prefix_parse(struct str text, struct ip_prefix *out);
/* As above, and false when a host bit is set. */
MUST_USE bool ip_prefix_parse_masked(struct str text, struct ip_prefix *out);
/* A prefix, or a bare address as its /32 or /128. Host bits are kept. */
MUST_USE bool ip_prefix_parse_or_addr(struct str text, struct ip_prefix *out);
/* Always with "/bits". IP_NONE puts nothing. */
void ip_prefix_put(struct buf *out, struct ip_prefix p);
/* A single address without "/32" or "/128", anything else with its bits: the packet filter's form.
 */
void ip_prefix_put_short(struct buf *out, struct ip_prefix p);

struct ip_prefix ip_prefix_single(struct ip_addr addr); /* /32 or /128 */
bool ip_prefix_is_set(struct ip_prefix p);
bool ip_prefix_is_single(struct ip_prefix p);
bool ip_prefix_is_masked(struct ip_prefix p);
struct ip_prefix ip_prefix_masked(struct ip_prefix p); /* host bits cleared */
/* 0.0.0.0/0 or ::/0, what an exit node announces. */
bool ip_prefix_is_exit(struct ip_prefix p);

bool ip_prefix_contains(struct ip_prefix p, struct ip_addr addr);      /* same family and inside */
bool ip_prefix_covers(struct ip_prefix outer, struct ip_prefix inner); /* every address of inner */
bool ip_prefix_overlaps(struct ip_prefix a, struct ip_prefix b);
bool ip_prefix_eq(struct ip_prefix a, struct ip_prefix b);
/* By address (None, IPv4, IPv6), then shorter prefix first. */
int ip_prefix_cmp(struct ip_prefix a, struct ip_prefix b);

struct ip_addr ip_prefix_first(struct ip_prefix p); /* all host bits 0 */
struct ip_addr ip_prefix_last(struct ip_prefix p);  /* all host bits 1 */

/* Sorts by ip_prefix_cmp and drops repeats; returns how many are left. */
size_t ip_prefix_sort_unique(struct ip_prefix *items, size_t n);
/* Whether `p` is among the n (any order). */
bool ip_prefix_in(const struct ip_prefix *items, size_t n, struct ip_prefix p);
