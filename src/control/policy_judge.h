#pragma once

/*
 * Judging a policy before it is put in force: does it parse, does it mean something in this
 * tailnet, do its own tests hold. Any thread.
 */

#include "policy/policy.h"

enum policy_judgement {
    POLICY_GOOD,
    POLICY_UNPARSABLE, /* it is no policy at all */
    POLICY_AMBIGUOUS,  /* it names a user that several are */
    POLICY_TESTS_FAIL, /* its own tests do not hold in this tailnet */
};

struct policy_verdict {
    enum policy_judgement judgement;
    struct policy_complaint complaint; /* the hosted service's words; empty when good */
    struct str details;                /* owned: a line for each test that failed */
};
void policy_verdict_fini(struct policy_verdict *v);

/*
 * Unless it is unparsable *document and *policy are set and counted: the text as a document (NULL:
 * the text is empty, there is none) and that compiled against the view. Each may be NULL.
 */
void policy_judge(struct str text, const struct tailnet_view *view,
                  const struct policy_document **document, const struct policy **policy,
                  struct policy_verdict *v);
/* The second half, for a document that is in force. `policy` is it compiled against some view. */
void policy_judge_again(const struct policy_document *document, const struct policy *policy,
                        const struct tailnet_view *view, struct policy_verdict *v);

/*
 * The complaint as one text for people: the exact words, then what else is known.
 * `tag not found: "tag:x" (line 4, column 9): define it in tagOwners`; details in lines below.
 */
void policy_verdict_put(struct buf *out, const struct policy_verdict *v);
