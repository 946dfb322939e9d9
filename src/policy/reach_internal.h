#pragma once

/*
 * Single questions of a compiled policy, asked address by address: what explain, diff and lint are
 * made of. reach.c.
 *
 * Nothing here is fast: finding a node by its address looks at every node. Whoever asks often finds
 * the nodes once.
 */

#include "policy/policy_internal.h"

#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMPV6 58
#define PROTO_SCTP 132

/* An address with the node it belongs to. */
struct reach_end {
    struct ip_addr addr;
    const struct member *member; /* NULL: no node's own address */
};

/* The node with the address, NULL: none. O(nodes). */
const struct member *reach_member_at(const struct policy *p, struct ip_addr addr);
/* Whether the address is the member's own. */
bool reach_owns(const struct member *m, struct ip_addr addr);
/* Whether one of the class's approved routes, exit routes too, has the address. */
bool reach_routes(const struct policy_class *c, struct ip_addr addr);

/* Whether a link's sources have the address. `at` is the node whose filter decides: self links list
 * the devices of its user. */
bool reach_source(const struct policy *p, const struct policy_link *l, const struct member *at,
                  const struct reach_end *src);
/* Whether a destination of a link that is not self, as it stands in the filter of `at`, has the
 * address. policy.md 7.9, 7.10. */
bool reach_dst(const struct policy *p, const struct policy_link *l, const struct link_dst *d,
               const struct member *at, struct ip_addr addr);
/* Whether a link of this protocol (-1: none given) is about packets of `proto`. */
bool reach_proto(int of_link, int proto);
/* Whether ports count for the protocol. */
bool reach_has_ports(int proto);
bool reach_ports(const struct ip_ports *ports, size_t n, int proto, uint16_t port);
/* Whether the filter of `at` lets the packet in. */
bool reach_lets_in(const struct policy *p, const struct member *at, const struct reach_end *src,
                   struct ip_addr dst, int proto, uint16_t port);

/* A compiled policy that says what no policy says (policy_allow_all), rule by rule; explain.c. */
MUST_USE const struct policy *policy_stand_in(const struct tailnet_view *view);
