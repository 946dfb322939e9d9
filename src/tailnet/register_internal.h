#pragma once

/*
 * Joining: a machine, its keys and an owner become a node, new or the one the machine already had.
 * Both ways in, auth key and approval, end here.
 */

#include "tailnet/domain_internal.h"

struct join {
    struct tailnet *tailnet;
    struct machine_key machine;
    struct node_key key;
    struct node_key old_key;
    struct nl_key nl;
    uint32_t capver;
    bool ephemeral;
    struct node_facts *facts; /* borrowed */
    enum register_method method;

    user_id user;         /* who brings it; 0: tags only */
    struct str_list tags; /* what it is to have; empty: it is to be the user's. Borrowed */
    auth_key_id auth_key;
    bool keeps_tags;  /* a node that has tags keeps those it has */
    bool is_approved; /* nobody needs to approve the machine */

    int64_t expiry_ms; /* wanted; 0: none */
    bool is_fixed;     /* that is the end of it, the tailnet's own limit does not count */
};

/* The machine's node that this join would re-use, or NULL. */
struct node_state *join_find(const struct domain *d, const struct join *j);
/* All that can refuse it: limits, addresses, keys. Outputs are for join_apply. */
struct join_plan {
    struct node_state *existing;
    struct ip_addr v4;
    struct ip_addr v6;
};
MUST_USE int join_check(const struct domain *d, const struct join *j, struct join_plan *plan,
                        struct err *err);
/* Cannot fail; sets the result's subject. */
void join_apply(struct domain *d, const struct join *j, const struct join_plan *plan);

struct pending *pending_of_keys(const struct domain *d, const struct machine_key *machine,
                                const struct node_key *key);
