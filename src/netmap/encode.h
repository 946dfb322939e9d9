#pragma once

/*
 * Nodes and tailnets in the words of a MapResponse (protocol.md 6.5, 6.6, 7, 8, 9, 12, 16.11): JSON
 * texts, ready to be put together. No state.
 */

#include "core/buf.h"
#include "policy/policy.h"
#include "tailnet/change.h"
#include "tailnet/view.h"

/* The node as its peers see it, where no policy has a say: a JSON object. Made once per node, kept
 * in its slot; borrowed from the node. */
struct str netmap_card(const struct node *n);
/* What of a card is the policy's, for viewers of one class who see the node. */
struct netmap_variant {
    bool hides_v4;
    bool all_routes;          /* everything it serves, as in the plain card */
    struct ip_prefix *routes; /* else these */
    size_t n_routes;
    struct str caps; /* CapMap, a JSON object; empty: none. Borrowed from the policy */
};
void netmap_variant_of(const struct policy *p, uint32_t viewer, const struct node *n,
                       struct netmap_variant *out);
void netmap_variant_fini(struct netmap_variant *v);
/* Whether they differ in nothing but the CapMap, which a patch can say. */
bool netmap_variant_eq(const struct netmap_variant *a, const struct netmap_variant *b);
/* Whether the routes in its card may differ by the viewer's class. */
bool netmap_routes_vary(const struct policy *p, const struct node *n);
void netmap_put_card(struct buf *out, const struct node *n, const struct netmap_variant *v);
/* Both in one. */
void netmap_put_card_for(struct buf *out, const struct policy *p, uint32_t viewer,
                         const struct node *n);
/* The node as it sees itself: with its own capabilities, all its approved routes and full Hostinfo.
 */
void netmap_put_self(struct buf *out, const struct tailnet_info *info, const struct policy *p,
                     const struct node *n);
/* Whether both versions of a node have the same approved routes, as its own Node tells them. */
bool netmap_own_routes_eq(const struct node *a, const struct node *b);
/* The part of that which is the tailnet's: the CapMap, a JSON object, as far as no policy adds to
 * it. */
void netmap_put_caps(struct buf *out, const struct tailnet_info *info);
/* A PeerChange with the parts in `mask` (all in NODE_PATCHABLE) as the node has them now, and with
 * `caps` for its CapMap unless that is empty ("{}" takes all away). */
void netmap_put_patch(struct buf *out, const struct node *n, unsigned mask, struct str caps);
/* The tailnet's relays, and those of the policy in their place. */
void netmap_put_derp_map(struct buf *out, const struct tailnet_info *info,
                         const struct policy *policy);
void netmap_put_dns(struct buf *out, const struct tailnet_info *info, const struct node *viewer);
/* Whether that is another text for each viewer (its name, system and address are in it). */
bool netmap_dns_is_personal(const struct tailnet_info *info);
void netmap_put_profile(struct buf *out, const struct user *u); /* NULL: tagged-devices */
