#pragma once

/* People in the audit log (audit_people.c); shares, from one side (audit_share.c). The texts are
 * owned, but for the name. */

#include "store/audit_note.h"

struct json_writer;
/* Within settings: how people and machines come in, as far as that is set. */
void audit_put_joining(struct json_writer *w, const struct tailnet_settings *s);
/* NULL: "". */
struct str audit_user_invite_json(struct domain *d, const struct user_invite *i);
/* "" where there is none; in `scratch`. */
struct str audit_login_of(const struct tailnet_view *v, user_id id, struct buf *scratch);
/* A text of at most so many bytes as a column of an entry has. Owned. */
struct str audit_cut(struct str s);
/* NULL: "". */
struct str audit_share_json(struct domain *d, const struct share *s, bool is_owner);
struct str audit_share_invite_json(struct domain *d, const struct share_invite *i);
/* The machine's: as its owner calls it, or in full for the others. Borrowed from the domain. */
struct str audit_share_name(struct domain *d, const struct share *s, bool is_owner);
