#pragma once

/*
 * IP addresses, both families in one value.
 *
 * IPv4 keeps its four bytes first and the other twelve zero, so two addresses are the same address
 * exactly when they are the same bytes, and bytewise order within a family is numeric order. All
 * zero (family IP_NONE) is "no address". An IPv4-mapped IPv6 address stays IPv6 until
 * ip_addr_unmap: the two look alike on a socket but are told apart in a policy.
 *
 * Text is RFC 5952: lower case, the longest run of zero groups (leftmost of equals, at least two)
 * as "::", mapped addresses as "::ffff:1.2.3.4". Zones ("%eth0") are refused.
 */

#include "core/buf.h"

#define IP_NONE 0
#define IP_V4 4
#define IP_V6 6

/* Longest text, "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255" and shorter. */
#define IP_ADDR_TEXT_MAX 45

struct ip_addr {
    uint8_t family; /* IP_NONE, IP_V4, IP_V6 */
    uint8_t bytes[16];
};

#define IP_ADDR_V4(a, b, c, d) ((struct ip_addr){.family = IP_V4, .bytes = {(a), (b), (c), (d)}})

/* False: not an address, out untouched. "1.2.3.4" without leading zeros, or any IPv6 spelling. */
MUST_USE bool ip_addr_parse(struct str text, struct ip_addr *out);
/* IP_NONE puts nothing. */
void ip_addr_put(struct buf *out, struct ip_addr addr);

/* 4 or 16 bytes in network order, as databases and packets have them. False: another length. */
MUST_USE bool ip_addr_from_bytes(struct str bytes, struct ip_addr *out);
/* The address's own 4 or 16 bytes; borrows from *addr. IP_NONE gives the empty str. */
struct str ip_addr_bytes(const struct ip_addr *addr);

bool ip_addr_is_set(struct ip_addr addr); /* has a family */
bool ip_addr_eq(struct ip_addr a, struct ip_addr b);
/* None first, then IPv4 before IPv6, then numeric: <0, 0, >0. */
int ip_addr_cmp(struct ip_addr a, struct ip_addr b);
/* ::ffff:1.2.3.4 becomes 1.2.3.4; others stay. */
struct ip_addr ip_addr_unmap(struct ip_addr addr);

/* 32, 128, or 0 for IP_NONE. */
unsigned ip_addr_width(struct ip_addr addr);
bool ip_addr_is_unspecified(struct ip_addr addr); /* 0.0.0.0 or :: */
bool ip_addr_is_loopback(struct ip_addr addr);    /* 127.0.0.0/8, ::1; mapped ones too */
bool ip_addr_is_link_local(struct ip_addr addr);  /* 169.254.0.0/16, fe80::/10; mapped ones too */
bool ip_addr_is_multicast(struct ip_addr addr);   /* 224.0.0.0/4, ff00::/8; mapped ones too */

/* Adds n to the address seen as a number. False: past the family's last one, out untouched. */
MUST_USE bool ip_addr_add(struct ip_addr addr, uint64_t n, struct ip_addr *out);
/* The neighbours. False at the family's end. */
MUST_USE bool ip_addr_next(struct ip_addr addr, struct ip_addr *out);
MUST_USE bool ip_addr_prev(struct ip_addr addr, struct ip_addr *out);
