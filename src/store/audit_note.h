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
 *   if (note.other)
 *       store_batch_add_audit(batch, note.other);
 *
 * There is no entry for a refused command, for one that changed nothing an administrator knows of,
 * and for what clients say all day long (endpoints, streams, facts).
 */

#include "store/audit.h"

struct audit_note {
    const struct tailnet_view *view; /* counted, as all of these; before the command */
    const struct api_key_set *keys;
    const struct node *node; /* COMMAND_REGISTER: the one that had the key */
    /* After audit_note_end: the entry of the other tailnet that a share is with, or NULL; whoever
     * calls has it then. */
    const struct audit_entry *other;
};
void audit_note_begin(struct audit_note *n, struct domain *d, const struct command *c);
/*
 * Shares that the command ended without being about them (their time, a node, a user or a tailnet
 * was up): an entry "share.end" for each of the two tailnets that is there still. How many.
 */
size_t audit_note_ended(struct store_batch *b, struct domain *d, const struct command *c,
                        const struct command_result *r);
/* What it is called in the log: "node.rename"; NULL: it never gets an entry. */
const char *audit_action(enum command_type type);
/* r NULL: the command was refused. The entry (count 1, of the domain's next audit id), or NULL. */
MUST_USE const struct audit_entry *audit_note_end(struct audit_note *n, struct domain *d,
                                                  const struct command *c,
                                                  const struct command_result *r);
