#pragma once

/*
 * From a command to its entry in the audit log: what the object was, what it became. Around the
 * command, on the domain's thread:
 *
 *   struct audit_note note;
 *   audit_note_begin(&note, d, &c);
 *   status = domain_apply(d, &c, …);
 *   entry = audit_note_end(&note, d, &c, status == 0 ? &result : NULL);
 *   if (entry)
 *       store_batch_add_audit(batch, entry);
 *
 * There is no entry for a refused command, for one that changed nothing an administrator knows of,
 * and for what clients say all day long (endpoints, streams, facts).
 */

#include "store/audit.h"

struct audit_note {
    const struct tailnet_view *view; /* counted, as all of these; before the command */
    const struct api_key_set *keys;
    const struct node *node; /* COMMAND_REGISTER: the one that had the key */
};
void audit_note_begin(struct audit_note *n, struct domain *d, const struct command *c);
/* r NULL: the command was refused. The entry (count 1, of the domain's next audit id), or NULL. */
MUST_USE const struct audit_entry *audit_note_end(struct audit_note *n, struct domain *d,
                                                  const struct command *c,
                                                  const struct command_result *r);
