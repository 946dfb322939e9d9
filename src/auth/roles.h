#pragma once

/*
 * What a user's role in a tailnet lets him do there, by area: one table, for web sessions, for the
 * keys that people make, and for the docs. It is asked at every request, so that another role, or
 * none, is in force at once.
 *
 *   owner, admin    everything of the tailnet; nothing of the server's (AREA_SERVER)
 *   network-admin   writes the policy, DNS and routes; reads the rest
 *   it-admin        writes users, devices, keys and settings; reads the rest
 *   billing-admin   writes whom to write to; reads that, users and settings
 *   auditor         reads everything
 *   member          nothing
 *
 * Source: https://tailscale.com/kb/1138/user-roles.
 */

#include "auth/caller.h"

struct user;

struct permissions permissions_of_role(enum user_role role);
/* What both give. */
struct permissions permissions_both(struct permissions a, struct permissions b);
/* What his role gives, if he is active; NULL (there is no such user), waiting and suspended ones:
 * nothing. */
struct permissions permissions_of_user(const struct user *u);

/*
 * Whether somebody with one role may hand out another: an owner any, an admin any but owner's. Who
 * else may write users may make members (invite and approve them). A change of somebody's role must
 * be asked twice: for the role he has, and for the one he gets.
 */
bool role_may_give(enum user_role giver, enum user_role given);
