#pragma once

/*
 * One small tailnet to ask about in words, under any policy.
 *
 *   users  alice@example.com (owner), bob@example.com, carol@other.org
 *   nodes  alice-laptop, alice-phone, bob-laptop, carol-mac
 *          db (tag:db), web (tag:web, tag:prod)
 *          router (tag:router): 10.0.0.0/24 approved, 10.9.0.0/16 not
 *          exit (tag:exit): an approved exit node
 *   addresses 100.64.0.1 to .8 and fd7a:115c:a1e0::1 to ::8, in that order
 */

#include "policy/policy.h"

struct small_tailnet {
    const struct policy_document *document;
    const struct tailnet_view *view;
    const struct policy *policy;
};
/* Aborts when the text is refused. */
void small_tailnet_init(struct small_tailnet *t, const char *policy);
void small_tailnet_fini(struct small_tailnet *t);
/* Another policy for the same view. */
const struct policy *small_tailnet_policy(const struct small_tailnet *t, const char *policy);
