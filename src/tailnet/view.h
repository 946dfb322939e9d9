#pragma once

/*
 * A view: one tailnet as it stood at one revision. Immutable and counted, so every thread reads it
 * without a lock. Making the next one after a change of one node costs O(nodes / 128), not
 * O(nodes): nodes are kept in chunks that views share.
 */

#include "tailnet/info.h"
#include "tailnet/node.h"

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

const struct user *view_user_find(const struct tailnet_view *v, user_id id);
/* Users by rising id. */
const struct user *const *view_users(const struct tailnet_view *v, size_t *n);
const struct auth_key *view_auth_key_find(const struct tailnet_view *v, auth_key_id id);
const struct auth_key *const *view_auth_keys(const struct tailnet_view *v, size_t *n);
