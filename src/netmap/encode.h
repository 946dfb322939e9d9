#pragma once

/*
 * Nodes and tailnets in the words of a MapResponse (protocol.md 6.5, 6.6, 7, 8, 9, 12, 16.11): JSON
 * texts, ready to be put together. No state.
 */

#include "core/buf.h"
#include "policy/policy.h"
#include "tailnet/change.h"
#include "tailnet/view.h"

/* What of a viewer decides whom it sees, and how. */
struct netmap_eye {
    uint32_t cls;            /* 0: it has no access */
    user_id user;            /* 0: the policy does not look at owners */
    const struct node *self; /* some viewer of that class; NULL: one that guests are nothing to */
};
/* Whether nodes of other tailnets are anything to it. */
bool netmap_eye_is_abroad(const struct netmap_eye *e);
/* Whether it has a relay map and DNS of its own: it is abroad, or has no access. */
bool netmap_eye_is_apart(const struct netmap_eye *e);

/* The node as its peers see it, where no policy has a say: a JSON object. Made once per node, kept
 * in its slot; borrowed from the node, which must be of the tailnet. */
struct str netmap_card(const struct node *n);
/* How a guest stands to a viewer (protocol.md 7.3). */
struct netmap_guest_terms {
    bool is_lent;   /* the viewer may begin connections; else it is a visitor */
    bool is_jailed; /* and it may not */
    bool is_exit;   /* it may be used as an exit node */
    user_id sharer; /* as its card says it; 0: it is not lent */
    /* What its tailnet knows the viewer by, borrowed from that; NULL: its own addresses. */
    const struct abroad_alias *alias;
};
/* What of a card is not the node's alone, for viewers of one class who see the node. */
struct netmap_variant {
    bool hides_v4;
    bool all_routes;          /* everything it serves, as in the plain card */
    struct ip_prefix *routes; /* else these */
    size_t n_routes;
    struct str caps; /* CapMap, a JSON object; empty: none. Borrowed from the policy */
    bool is_guest;
    struct netmap_guest_terms guest;
};
void netmap_variant_of(const struct policy *p, const struct netmap_eye *viewer,
                       const struct node *n, struct netmap_variant *out);
void netmap_variant_fini(struct netmap_variant *v);
/* Whether they differ in nothing but the CapMap, which a patch can say. */
bool netmap_variant_eq(const struct netmap_variant *a, const struct netmap_variant *b);
/* Whether the routes in its card may differ by the viewer's class. */
bool netmap_routes_vary(const struct policy *p, const struct node *n);
void netmap_put_card(struct buf *out, const struct node *n, const struct netmap_variant *v);
/* Both in one. */
void netmap_put_card_for(struct buf *out, const struct policy *p, const struct netmap_eye *viewer,
                         const struct node *n);
/* guests.c: the Hostinfo of a guest, as far as a stranger may see it: a JSON object. */
void netmap_put_guest_hostinfo(struct buf *out, const struct node *n,
                               const struct netmap_guest_terms *g);
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
/* A viewer among guests: what they add to its relay map and to its DNS. */
struct netmap_host {
    const struct tailnet_view *view;
    const struct policy *policy;
    const struct node *viewer; /* of the view */
};
/* guests.c: the guests it sees, lent ones first; start with *at = 0; NULL at the end. */
const struct node *netmap_guest_next(const struct netmap_host *h, size_t *at);
/* Whether it may begin connections to that guest. */
bool netmap_guest_is_lent(const struct node *viewer, const struct node *guest);
/* Whose profile goes with that, beside the owner's: 0 for tagged-devices or nobody's. */
user_id netmap_guest_sharer(const struct node *viewer, const struct node *guest);
/* The tailnet's relays, and those of the policy in their place; then those at which its guests are
 * at home, which are not for its own (NULL: no guests). */
void netmap_put_derp_map(struct buf *out, const struct tailnet_info *info,
                         const struct policy *policy, const struct netmap_host *host);
/* With the names of what is lent to the host (NULL: nothing is). `viewer` is NULL where nothing is
 * personal. One without access is told nothing of the tailnet's. */
void netmap_put_dns(struct buf *out, const struct tailnet_info *info, const struct node *viewer,
                    const struct netmap_host *host);
/* Whether that is another text for each viewer (its name, system and address are in it). */
bool netmap_dns_is_personal(const struct tailnet_info *info);
void netmap_put_profile(struct buf *out, const struct user *u); /* NULL: tagged-devices */
/* The same for whoever has, or lent, nodes or guests of the view; false, and nothing, for others.
 * 0: tagged-devices. People of other tailnets are told apart by log-in names that have a domain. */
bool netmap_put_profile_of(struct buf *out, const struct tailnet_view *view, user_id id);
