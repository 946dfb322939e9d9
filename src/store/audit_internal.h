#pragma once

/*
 * Objects in the audit log (audit_objects.c); people (audit_people.c); shares, from one side
 * (audit_share.c). The texts are owned, but for names.
 */

#include "store/audit_note.h"

enum audit_object {
    OBJECT_NONE,
    OBJECT_TAILNET,
    OBJECT_POLICY,
    OBJECT_DNS,
    OBJECT_USER,
    OBJECT_AUTH_KEY,
    OBJECT_API_KEY,
    OBJECT_OAUTH_CLIENT, /* these are API keys of another kind */
    OBJECT_OAUTH_TOKEN,
    OBJECT_SESSION,
    OBJECT_NODE,
    OBJECT_REGISTRATION,
    OBJECT_WEBHOOK,
    OBJECT_SHARE,
    OBJECT_SHARE_INVITE,
    OBJECT_USER_INVITE,
};

/* "" for NULL. Not of registrations, shares and their invitations. */
struct str audit_object_json(enum audit_object kind, const void *object);
/* A user and the machines that went with him. */
struct str audit_user_json(const struct user *u, const struct str_list *nodes);
/* Borrowed; empty for NULL. */
struct str audit_object_name(enum audit_object kind, const void *object);

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
