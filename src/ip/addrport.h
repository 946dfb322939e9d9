#pragma once

/* An address with a port, as "1.2.3.4:41641" or "[2001:db8::1]:41641". */

#include "ip/addr.h"

struct ip_addrport {
    struct ip_addr addr;
    uint16_t port;
};

/*
 * Both parts must be there; IPv6 only in brackets, IPv4 never in them; the port is decimal without
 * leading zeros, 0 to 65535. False: anything else, out untouched.
 */
MUST_USE bool ip_addrport_parse(struct str text, struct ip_addrport *out);
/* IP_NONE puts ":port". */
void ip_addrport_put(struct buf *out, struct ip_addrport ap);
bool ip_addrport_eq(struct ip_addrport a, struct ip_addrport b);
/* By address, then port. */
int ip_addrport_cmp(struct ip_addrport a, struct ip_addrport b);
