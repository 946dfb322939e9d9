#pragma once

/*
 * A rollout: to which part of the clients an unpublished name of /bootstrap-dns is told. A TXT
 * record has a number from 0 to 100; whoever runs the relays raises it without touching them.
 *
 * Source: tailscale cmd/derper/bootstrap_dns.go; RFC 1035 3.3.14 and 4.1 for the record.
 */

#include "core/err.h"
#include "ip/addr.h"

/*
 * The number in the name's TXT record; 0 when there is none or it is no such number. Negative: it
 * could not be asked. Blocks: for threads of the pool.
 */
MUST_USE int rollout_look_up(struct str name, unsigned *percent, struct err *err);
/* The same of a DNS answer as it came. False: it is broken; then it has no number. */
MUST_USE bool rollout_parse(struct str answer, unsigned *percent);
/* Whether the client is among the first `percent` of a hundred: the same one always is. */
bool rollout_has(unsigned percent, struct ip_addr client);
