#pragma once

/*
 * Numbers for a node's routes. Up to headscale 0.25 a route was a row with a number, and its REST,
 * gRPC and command line name routes by that. Here a route is a node and a prefix, so the number is
 * made of these two: it is always the same for the same route, and hardly ever (2^-53) another's.
 */

#include "ip/prefix.h"
#include "tailnet/types.h"

/* 1 to 2^53 - 1. */
uint64_t route_id(node_id node, struct ip_prefix prefix);
