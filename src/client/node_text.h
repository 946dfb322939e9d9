#pragma once

/*
 * A node as text, and what becomes of it by the official client's rules: a whole node that differs
 * from the one held only in what a patch could say is made one ("patchify"), with what such a patch
 * cannot say lost; a patch replaces members (protocol.md 6.5, 6.6).
 *
 * Go's zero values say the same as absence, for Online it counts whether it is said.
 */

#include "core/buf.h"
#include "json/value.h"

/* Appends the node a client holds after it held `was` (empty: nothing) and was sent `now` whole. */
void node_text_put_changed(struct buf *out, struct str was, const struct json_value *now);
/* Whether that is another node than `now`. */
bool node_text_loses(struct str was, const struct json_value *now);
/* Appends the node a client holds after it held `was` and was sent a PeerChange. */
void node_text_put_patched(struct buf *out, struct str was, const struct json_value *patch);

/* What is not compared: members by name. */
struct node_text_ignored {
    const char *const *names;
    size_t n;
};
/*
 * Whether two nodes say the same. False: `why` names the first difference, of the node `id`, as
 * "is a's, should be b's".
 */
MUST_USE bool node_text_same(struct str a, struct str b, const struct node_text_ignored *ignored,
                             uint64_t id, char *why, size_t why_len);
/* Any two JSON texts; the empty one equals itself only. */
bool node_text_eq_json(struct str a, struct str b);

/* What a client's own node need not agree in: what the client said itself. */
extern const struct node_text_ignored node_text_own;
/* Of a peer that is online: when it was last seen. */
extern const struct node_text_ignored node_text_online;
