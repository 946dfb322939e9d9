#pragma once

/*
 * The policies in force, one for each tailnet; the registrar's, on its thread only.
 *
 *   the domain's text --judged--> document --with each publication's view--> struct policy
 *
 * The document is that of the domain as it stands, commands included that are applied and not told
 * yet: the domain's hooks answer from it. A publication is compiled with the document of its own
 * time.
 *
 * Rules
 *   1. What is bad is never put in force: a command is refused, a bad file noted, and the policy
 *      that was in force stays.
 *   2. A stored text that is good no more does not stop the server. The newest one before it that
 *      parses takes its place; where there is none, nobody may reach anybody.
 *   3. Tests that fail later, and names that become ambiguous, are reported, nothing else.
 */

#include "control/policy_judge.h"
#include "store/store.h"
#include "tailnet/domain.h"

struct policies;

/* What is wrong with a tailnet's policy, for the operator. Borrowed. */
struct policy_trouble {
    tailnet_id tailnet;
    struct str source; /* "file", "database", "tests" */
    struct str text;
};

MUST_USE struct policies *policies_new(void);
void policies_free(struct policies *p);
struct domain_policy_hooks policies_hooks(struct policies *p);
/*
 * Makes the documents those of the domain's texts, after the domain was read from the store; what
 * is the same stays. What was told is forgotten.
 */
void policies_load(struct policies *p, struct domain *d, struct store *store);
/* Borrowed until the next command; NULL: none. */
const struct policy_document *policies_document(const struct policies *p, tailnet_id id);

/*
 * COMMAND_POLICY_SET: judges the text and applies the command, or refuses both. *policy (counted)
 * is the new document compiled against the view before the command, NULL when nothing is to be
 * told. At the start failing tests are noted and no reason to refuse. The verdict is the caller's.
 */
MUST_USE int policies_set(struct policies *p, struct domain *d, const struct command *c,
                          bool is_start, struct change_list *changes, struct command_result *result,
                          const struct policy **policy, struct policy_verdict *verdict,
                          struct err *err);
/* Until the tailnet has a good policy nobody may reach anybody. Where none was ever set. */
void policies_close(struct policies *p, tailnet_id id);

/*
 * What a publication gives: `document` compiled against its view. `before` and the changes since
 * may be given, NULL: the last publication's are used if they are of the same document. Counted;
 * kept as what was told.
 */
MUST_USE const struct policy *policies_tell(struct policies *p,
                                            const struct policy_document *document,
                                            const struct tailnet_view *view,
                                            const struct policy *before,
                                            const struct change *changes, size_t n);
/* What was told last; borrowed, NULL: nothing yet. */
const struct policy *policies_told(const struct policies *p, tailnet_id id);
/* The tailnet is gone. */
void policies_drop(struct policies *p, tailnet_id id);

/* Whether something was told that policies_judge_next has not looked at yet. */
bool policies_are_unjudged(const struct policies *p);
/* Users and tests of what is in force in the tailnet that has waited longest of those where it
 * changed since. */
void policies_judge_next(struct policies *p, struct domain *d);
/* What is wrong with where the policy comes from, as its file; empty: nothing any more. */
void policies_note(struct policies *p, tailnet_id id, struct str text);
/* Every trouble; the number of tailnets that have some. */
size_t policies_troubles(const struct policies *p,
                         void (*each)(void *user, const struct policy_trouble *t), void *user);
