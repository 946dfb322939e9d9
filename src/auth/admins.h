#pragma once

/*
 * Who may administer this server in a browser, as the configuration says now. At a log-in the
 * provider's claims are asked; later, whether a session may go on, what is kept of its user: the
 * identity, the mail address and the groups of the last log-in.
 *
 * The providers are those of the start; what a newer configuration says of each, found by issuer
 * and client, stands in place of what it said then. One that is named no more has none.
 *
 * One thread for one `struct admins`; what it knows is copied once a configuration and shared by
 * all of them (admins_share).
 */

#include "auth/oidc.h"
#include "tailnet/info.h"

struct admin_lists; /* one a provider; immutable, counted */

struct admins {
    const struct oidc_provider *providers; /* borrowed */
    size_t n;
    struct admin_lists *lists;
};
void admins_init(struct admins *a, const struct oidc_provider *providers, size_t n);
void admins_fini(struct admins *a);
/* Copies the lists; those of providers that are named no more are empty. */
void admins_follow(struct admins *a, const struct oidc_provider *now, size_t n);
/* Another that says the same, for another thread; admins_fini both. */
struct admins admins_share(const struct admins *a);

/* Whether the provider says of somebody what makes an administrator. */
bool admins_have(const struct admins *a, size_t provider, const struct oidc_claims *claims);
/* Whether somebody who was one still is, by what is kept of him. */
bool admins_still_have(const struct admins *a, const struct user *u);
/*
 * The role that counts for a user in his tailnet, now: the one he has, or, in the server's first
 * tailnet, owner for an administrator by the configuration. False: none, for who is not active, or
 * is nobody (NULL).
 */
bool admins_role(const struct admins *a, const struct user *u, bool is_first, enum user_role *role);
/* Whether one of the lists has the group, as the provider calls it. */
bool admins_name_group(const struct admins *a, size_t provider, struct str group);
