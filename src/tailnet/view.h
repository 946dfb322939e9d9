#pragma once

/*
 * A view: one tailnet as it stood at one revision. Immutable and counted, so every thread reads it
 * without a lock. Making the next one after a change of one node costs O(nodes / 128), not
 * O(nodes): nodes are kept in chunks that views share.
 */

#include "tailnet/info.h"
#include "tailnet/joining.h"
#include "tailnet/node.h"
#include "tailnet/webhook.h"

struct tailnet_view;

struct tailnet_view *view_ref(const struct tailnet_view *v);
void view_unref(const struct tailnet_view *v); /* NULL is fine */
DEFINE_AUTO(const struct tailnet_view, view_unref);

/* Raised by every change of the tailnet. */
uint64_t view_revision(const struct tailnet_view *v);
const struct tailnet_info *view_info(const struct tailnet_view *v);

size_t view_node_count(const struct tailnet_view *v);
/* NULL when there is none. O(log nodes). */
const struct node *view_node_find(const struct tailnet_view *v, node_id id);
/* All, by rising id; start with *at = 0; NULL at the end. */
const struct node *view_node_next(const struct tailnet_view *v, size_t *at);

/*
 * Guests: nodes of other tailnets that shares bring here, as they stand there, but for v4 and v6,
 * which are the addresses this tailnet knows them by, and home_derp, the number it knows that
 * region by (guest_infos.c). `tailnet` says whose they are, fqdn is the name they have there. They
 * are no nodes of this tailnet: the calls above know none of them.
 * Whether one is seen by a node n: abroad_find(n->abroad, guest) or abroad_find(guest->abroad, n).
 */
size_t view_guest_count(const struct tailnet_view *v);
const struct node *view_guest_find(const struct tailnet_view *v, node_id id);
const struct node *view_guest_next(const struct tailnet_view *v, size_t *at);
/* A node or a guest; ids of nodes are unique over the server. */
const struct node *view_any_find(const struct tailnet_view *v, node_id id);
/* Nodes, then guests, each by rising id; start with {0}. */
struct view_any_at {
    size_t nodes;
    size_t guests;
};
const struct node *view_any_next(const struct tailnet_view *v, struct view_any_at *at);
/* Owners of guests, and users elsewhere who lent them. */
const struct user *view_guest_user_find(const struct tailnet_view *v, user_id id);
const struct user *view_any_user_find(const struct tailnet_view *v, user_id id);
/* What is known here of a tailnet that guests come from; NULL: none do. Of the whole info only
 * name, domain, base_domain and regions are for this tailnet's eyes. */
const struct tailnet_info *view_guest_info_find(const struct tailnet_view *v, tailnet_id id);
/* Shares that the tailnet lends or is lent, waiting ones too, and its invitations. By rising id. */
const struct share *view_share_find(const struct tailnet_view *v, share_id id);
const struct share *view_share_next(const struct tailnet_view *v, size_t *at);
const struct share_invite *view_share_invite_find(const struct tailnet_view *v, share_invite_id id);
const struct share_invite *view_share_invite_next(const struct tailnet_view *v, size_t *at);

/* Invitations of people, by rising id. */
const struct user_invite *view_user_invite_find(const struct tailnet_view *v, user_invite_id id);
const struct user_invite *view_user_invite_next(const struct tailnet_view *v, size_t *at);

const struct user *view_user_find(const struct tailnet_view *v, user_id id);
/* Users by rising id. */
const struct user *const *view_users(const struct tailnet_view *v, size_t *n);
const struct auth_key *view_auth_key_find(const struct tailnet_view *v, auth_key_id id);
const struct auth_key *const *view_auth_keys(const struct tailnet_view *v, size_t *n);
const struct webhook *view_webhook_find(const struct tailnet_view *v, webhook_id id);
/* By rising id; start with *at = 0; NULL at the end. */
const struct webhook *view_webhook_next(const struct tailnet_view *v, size_t *at);
