#pragma once

/*
 * Nodes and tailnets in the words of a MapResponse (protocol.md 6.5, 6.6, 7, 8, 9, 12, 16.11): JSON
 * texts, ready to be put together. No state.
 */

#include "core/buf.h"
#include "tailnet/change.h"
#include "tailnet/view.h"

/* The node as its peers see it: a JSON object. Made once per node, kept in its slot; borrowed from
 * the node. */
struct str netmap_card(const struct node *n);
/* The node as it sees itself: with its own capabilities and full Hostinfo. */
void netmap_put_self(struct buf *out, const struct tailnet_info *info, const struct node *n,
                     uint32_t capver);
/* The part of that which is the tailnet's: the CapMap, a JSON object. */
void netmap_put_caps(struct buf *out, const struct tailnet_info *info);
/* A PeerChange with the parts in `mask` (all in NODE_PATCHABLE) as the node has them now. */
void netmap_put_patch(struct buf *out, const struct node *n, unsigned mask);
void netmap_put_derp_map(struct buf *out, const struct tailnet_info *info);
void netmap_put_dns(struct buf *out, const struct tailnet_info *info, const struct node *viewer);
/* Whether that is another text for each viewer (its name, system and address are in it). */
bool netmap_dns_is_personal(const struct tailnet_info *info);
void netmap_put_profile(struct buf *out, const struct user *u); /* NULL: tagged-devices */
