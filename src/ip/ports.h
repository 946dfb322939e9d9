#pragma once

/*
 * Port ranges as policies spell them: "80", "80-90", "*" and comma lists of these.
 *
 * Source: docs of Tailscale's policy file; the wording of complaints is the caller's.
 */

#include "core/buf.h"

struct ip_ports {
    uint16_t first; /* inclusive */
    uint16_t last;
};

#define IP_PORTS_ALL ((struct ip_ports){0, 65535})

enum ip_ports_why {
    IP_PORTS_OK,
    IP_PORTS_NOT_NUMBER,   /* empty, white space, a sign, letters */
    IP_PORTS_OUT_OF_RANGE, /* a number over 65535 */
    IP_PORTS_ZERO,         /* a single port 0; a range may begin at 0 */
    IP_PORTS_BACKWARDS,    /* "90-80" */
    IP_PORTS_FORMAT,       /* more than one dash */
};

/* One item: "80", "80-90" or "*". `out` is set on OK only. */
MUST_USE enum ip_ports_why ip_ports_parse(struct str text, struct ip_ports *out);
/*
 * A comma list. Every item must be good ("80," is not); at most `cap` are stored, *n says how many
 * there are, so cap 0 with out NULL counts. On a complaint *bad, if not NULL, is the item.
 */
MUST_USE enum ip_ports_why ip_ports_parse_list(struct str text, struct ip_ports *out, size_t cap,
                                               size_t *n, struct str *bad);
/* "*", "80" or "80-90". */
void ip_ports_put(struct buf *out, struct ip_ports p);
bool ip_ports_contains(struct ip_ports p, uint16_t port);
bool ip_ports_eq(struct ip_ports a, struct ip_ports b);
