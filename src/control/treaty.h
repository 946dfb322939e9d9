#pragma once

/*
 * Treaties: which nodes may begin connections to which of another tailnet's, where shares lend
 * machines.
 *
 *   share in force + both tailnets' policies agree --> `abroad` of the node (tailnet/share.h)
 *
 * The domain knows what shares cover and takes away at once what they no longer do; only what both
 * policies say is found out here, after each publication, and given to the domain by
 * COMMAND_NODE_ABROAD. Policies are asked for their rules alone (policy_would_reach), never for
 * what came out here, so that one look is enough.
 */

#include "policy/policy.h"
#include "tailnet/view.h"

/* A tailnet as it was told last. Both NULL: unknown, nothing is agreed with it. Borrowed. */
struct treaty_side {
    const struct tailnet_view *view;
    const struct policy *policy;
};

struct treaty_terms {
    struct treaty_side of;
    /* Another tailnet's side. */
    struct treaty_side (*side)(void *user, tailnet_id id);
    /* The node of `of` may from now on use those of `wanted`, of which only the nodes are filled
     * in; not called for one whose `abroad` says the same already. */
    void (*each)(void *user, const struct node *n, const struct abroad *wanted);
    void *user;
};
/* Looks at every node of `of` that a share in force lets out. O(what shares cover). */
void treaty_look(const struct treaty_terms *t);
/* Tailnets that a share in force joins with the one of the view, sorted, each once; mem_free. */
MUST_USE tailnet_id *treaty_partners(const struct tailnet_view *view, size_t *n);
