#pragma once

/*
 * What one may reach at another: protocols and, where they count, ports; in words. access.c.
 *
 * A rule without a protocol adds what clients take it to mean: TCP, UDP, ICMP and ICMPv6.
 */

#include "core/buf.h"
#include "ip/ports.h"

struct access_item {
    uint16_t proto;
    struct ip_ports ports; /* all where they do not count */
};
/* Zero is nothing. Settled: sorted, not touching, so that equal sets are equal lists. */
struct access {
    struct access_item *items;
    size_t len;
    size_t cap;
};

void access_fini(struct access *a);
void access_clear(struct access *a); /* keeps the memory */
/* proto -1: none given. Nothing without ports. Settle when all is added. */
void access_add(struct access *a, int proto, const struct ip_ports *ports, size_t n);
void access_settle(struct access *a);
bool access_eq(const struct access *a, const struct access *b);
/* What of settled x is not in settled y; `out` is neither of them. Settled. */
void access_subtract(struct access *out, const struct access *x, const struct access *y);
/* Clients answer pings from wherever any port is open, so beside ports ICMP says nothing. */
void access_drop_icmp(struct access *a);
/* TCP and UDP alike, with ICMP or without, are just ports: "any port", "port 5432", "tcp 22, 80-90;
 * udp 53; icmp", "nothing". */
void access_put(struct buf *out, const struct access *a);
