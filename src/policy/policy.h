#pragma once

/*
 * Policy: who sees whom, and what each node's filter lets in.
 *
 * Immutable and counted; any thread may ask one. Today there is the policy of a tailnet that was
 * given none: everyone may reach everyone (headscale.md 10.2). The text and its compiler come later
 * behind these functions.
 *
 * Questions are about one view; a viewer is the node a netmap is for.
 */

#include "core/buf.h"
#include "tailnet/view.h"

struct policy;

MUST_USE const struct policy *policy_allow_all(void);
const struct policy *policy_ref(const struct policy *p);
void policy_unref(const struct policy *p); /* NULL is fine */
DEFINE_AUTO(const struct policy, policy_unref);

/*
 * Every node sees every other, and filter and SSH rules are the same for all and for ever: what is
 * made for one viewer serves all, and no change of a node touches another's rules.
 */
bool policy_is_open(const struct policy *p);

/* Whether `peer` is in `viewer`'s netmap; both are of `view` and not the same node. */
bool policy_sees(const struct policy *p, const struct tailnet_view *view, const struct node *viewer,
                 const struct node *peer);
/* The viewer's packet filter: a JSON array of FilterRule, "[]" lets nothing in. protocol.md 9. */
void policy_put_filter(const struct policy *p, const struct tailnet_view *view,
                       const struct node *viewer, struct buf *out);
/* The viewer's SSHPolicy, a JSON object; {"rules":[]} lets nobody in. protocol.md 11.1. */
void policy_put_ssh(const struct policy *p, const struct tailnet_view *view,
                    const struct node *viewer, struct buf *out);
