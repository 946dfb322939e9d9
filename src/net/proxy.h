#pragma once

/*
 * PROXY headers, versions 1 and 2: what a proxy in front of us says first on a connection, about
 * who is behind it. No I/O.
 *
 *   v1  "PROXY TCP4 192.0.2.1 198.51.100.7 51234 443\r\n"
 *   v2  12 bytes of signature, version and command, family, 16-bit length, addresses, more
 * (skipped)
 *
 * Who is not known to be a proxy must not be asked for one: anybody could claim to be anybody.
 *
 * Source: HAProxy's doc/proxy-protocol.txt (2020/03/05), sections 2.1 and 2.2.
 */

#include "core/str.h"
#include "ip/addrport.h"

#define PROXY_V1_MAX 107             /* bytes with the line's end */
#define PROXY_HEADER_MAX (16 + 4096) /* as much as we wait for; the addresses take 232 at most */

enum proxy_decode { PROXY_OK, PROXY_MORE, PROXY_BROKEN };

struct proxy_header {
    /* Family IP_NONE: the proxy speaks for itself (LOCAL), or does not know (UNKNOWN, Unix). */
    struct ip_addrport from;
    struct ip_addrport to;
};

/*
 * Reads the header at the front of `in`, which may be any part of it or more.
 *
 *   header  out, set on OK only; IPv4 in IPv6 clothes is told as IPv4
 *   used    out, set on OK only: bytes of the header
 *
 * MORE: never once `in` has PROXY_HEADER_MAX bytes. BROKEN: it is no header, or a longer one.
 */
MUST_USE enum proxy_decode proxy_header_decode(struct str in, struct proxy_header *header,
                                               size_t *used);
