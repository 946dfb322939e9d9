#pragma once

/*
 * Web sessions of those who may nothing any more: ended as soon as their role, a suspension, the
 * configuration, or what a provider says of somebody at a log-in, takes away what they were given
 * the session for. What is left of it is asked at each request (auth/auth.h).
 *
 * Lives on one loop. It looks at all sessions whenever something may have changed for one of them;
 * there are SESSIONS_MAX at most.
 */

#include "auth/admins.h"
#include "control/registrar.h"

struct auth;
struct hub;

/* The role that counts for a user now (auth/admins.h); false: none. */
bool session_role(const struct hub *hub, const struct admins *admins, tailnet_id tailnet,
                  user_id id, enum user_role *role);

struct session_keeper;

struct session_keeper_options {
    struct loop *loop;
    const struct hub *hub;       /* of that loop */
    const struct admins *admins; /* borrowed; touched on that loop only */
};
MUST_USE struct session_keeper *session_keeper_new(const struct session_keeper_options *options);
/* NULL: the server goes down. */
void session_keeper_set_registrar(struct session_keeper *k, struct registrar *registrar);
/* After the loops are freed. NULL is fine. */
void session_keeper_free(struct session_keeper *k);

/* On the loop, when the hub knows already. */
void session_keeper_publish(struct session_keeper *k, const struct publication *p);
void session_keeper_set_keys(struct session_keeper *k, const struct api_key_set *keys);
/* On the loop: other people are administrators by the configuration now. */
void session_keeper_check(struct session_keeper *k);
