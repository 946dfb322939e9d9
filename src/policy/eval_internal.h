#pragma once

/* A case as read; eval.h. Everything but the view lives in the arena. */

#include "policy/policy.h"

struct eval_case {
    struct arena *arena;
    struct str policy; /* the text */

    struct str tailnet;      /* its name, as clients show it */
    struct str dns_name;     /* what its machines' names end in; empty: none */
    struct str dns_route;    /* the same with the trailing dot */
    struct str_list domains; /* that the tailnet is associated with */
    bool magic_dns;
    bool auto_updates;

    const struct user **users; /* in the case's order, counted */
    size_t n_users;
    struct eval_node *nodes; /* in the case's order */
    size_t n_nodes;
    struct eval_node **by_age; /* the same by id */
};

struct eval_node {
    struct str name;
    node_id id;              /* in the order of creation, from 1 */
    const struct user *user; /* NULL: tagged */
    bool has_created;
    int64_t created_ms;
    struct str created; /* as written: its fraction tells nodes of one millisecond apart */
    struct node *node;  /* until it is in a view: counted */
};

MUST_USE int eval_case_read(struct str json, struct eval_case *c, struct err *err);
void eval_case_fini(struct eval_case *c);
/*
 * The tailnet of the case, approved routes added as the document's autoApprovers have it. Once for
 * each case: the nodes go into the view. Counted.
 */
MUST_USE int eval_case_view(struct eval_case *c, const struct policy_document *d,
                            const struct tailnet_view **view, struct err *err);

/* ---- The answer, node by node ---- */

struct eval_answer {
    const struct eval_case *c;
    const struct policy_document *document;
    const struct tailnet_view *view;
    const struct policy *policy;
    struct ip_prefix *routes; /* room for NODE_ROUTES_MAX */
    struct json_writer *w;
};

void eval_put_caps(const struct eval_answer *a, const struct eval_node *en);
/* Nothing, and false, for a peer that has none. */
bool eval_put_peer_caps(const struct eval_answer *a, const struct eval_node *peer);
void eval_put_dns(const struct eval_answer *a);
