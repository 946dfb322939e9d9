#pragma once

/*
 * Everything a compiled policy says about a tailnet, held against the naive evaluator: what the
 * texts it makes for clients come to (model_client.h), who sees whom and by which routes, who gets
 * a shell, attributes, approvals. And one compiled policy held against another.
 *
 * Each returns true, or false with the first difference in `why`.
 */

#include "core/rand.h"
#include "policy/policy.h"

#define DECISIONS_WHY 2048

struct decisions {
    const struct policy_document *document; /* NULL: none */
    const struct tailnet_view *view;
    const struct policy *policy;
    struct rand_seeded *rand; /* which packets are tried */
    size_t packets;           /* tried for each node; 0: 40 */
};

bool decisions_agree(const struct decisions *in, char why[DECISIONS_WHY]);
/* Approvals and tags, which need no compiled policy. */
bool decisions_approvals_agree(const struct policy_document *d, const struct tailnet_view *v,
                               char why[DECISIONS_WHY]);
/*
 * Whether two policies compiled for one view say the same, text for text and mark for mark: the
 * law of incremental compilation.
 */
bool decisions_same(const struct policy *a, const struct policy *b, const struct tailnet_view *v,
                    char why[DECISIONS_WHY]);
/*
 * What a step from one policy to the next of its lineage promises: a pair of nodes of which neither
 * changed class is told the same of each other.
 */
bool decisions_lineage_holds(const struct policy *before, const struct policy *after,
                             const struct tailnet_view *view_before,
                             const struct tailnet_view *view_after, char why[DECISIONS_WHY]);
/* Equal marks if and only if equal texts, over all nodes. */
bool decisions_marks_hold(const struct policy *p, const struct tailnet_view *v,
                          char why[DECISIONS_WHY]);
