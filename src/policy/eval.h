#pragma once

/*
 * One case in the format of the golden captures: a policy and a tailnet in, what every node gets
 * out. What a policy means can so be compared with any other server, without one running.
 *
 *   {"users": […], "nodes": […], "policy": "…", "tailnet": {…}} --> {"status": 200, "nodes": […]}
 *
 * Input, all other members are ignored:
 *
 *   users    {id, name, email?, role?, groups?}; groups as a log-in provider has them, each as
 *            policies name it ("oidc:eng"); role as "member" (when absent), "owner", "admin",
 *            "network-admin", "it-admin", "billing-admin", "auditor"
 *   nodes    {name, user | tags, ipv4?, ipv6?, created?, routable_ips?, approved_routes?}; user is
 *            a user's name. Approved is what the case says and what the policy's autoApprovers say.
 *            Of several routers of a prefix the one created first serves it
 *   policy   the text as a string, or the policy itself as an object
 *   tailnet  {magic_dns?, devices_auto_updates_on?, name?, domains?, dns_name?}: no, no,
 *            "odin@example.com", what is behind the '@' of the name, no DNS name
 *
 * Every node is online. The answer's `caps` and `dns` begin with what the hosted service gives
 * every node (policy.md 12), for that is what the captures hold.
 */

#include "core/buf.h"
#include "core/err.h"

/* Bounds of a case; what is over is refused. */
#define POLICY_EVAL_CASE_MAX ((size_t)16 << 20) /* bytes */
#define POLICY_EVAL_NODES_MAX 2000
#define POLICY_EVAL_USERS_MAX 2000

/*
 * Appends the `expect` object. A policy that is refused is an answer too: {"status": 400,
 * "message": …}. -ERR_INVALID: the case itself cannot be read. -ERR_LIMIT: the answer does not fit
 * into `out`.
 */
MUST_USE int policy_eval_case(struct str case_json, struct buf *out, struct err *err);
