#pragma once

/*
 * What it means that something holds a node back (enum node_hold): everything is as if it were not
 * there. So whatever is asked naively is asked of the view without such nodes.
 */

#include "policy/policy.h"

/* Without them, guests likewise. Counted. */
MUST_USE const struct tailnet_view *view_without_held(const struct tailnet_view *v);
/* Whether the policy says nothing of those nodes, be it to them or to others; false: `why` says
 * what. */
#define HELD_WHY 256
MUST_USE bool held_are_left_out(const struct policy *p, const struct tailnet_view *v,
                                char why[HELD_WHY]);
