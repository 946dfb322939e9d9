#pragma once

/*
 * Log-in in the browser: the pages behind AuthURLs when there is an identity provider.
 *
 *   GET /register/{id}  --302--> provider --302--> GET /oidc/callback --page--> POST
 *   GET /auth/{id}                                                     /register/confirm/{id}
 *                                                                      /auth/confirm/{id}
 *   GET /login          likewise, but back it comes with a session's cookie, for administrators, or
 *                       with the question in which tailnet:          /login/confirm
 *   GET /invite/{secret} likewise                                    /invite/confirm
 *
 * The desk lives on one loop, which owns the log-ins under way (auth/logins.h) and what is known of
 * the providers; requests come from any loop and are answered there. What asks a provider runs on
 * worker threads.
 *
 * Rules
 *   1. Nothing is registered or approved before the person has seen what, and said yes.
 *   2. A state is good once, for the browser that has its cookie; a yes likewise.
 *   3. Who somebody is, is issuer and subject. A check may be approved by the user whose machine
 *      asks, and nobody else.
 *   4. Strangers get a page by status; why is in the log.
 *   5. A key nobody knows makes the provider's keys be read anew, one reading at a time and at most
 *      one in LOGIN_ASK_MS; log-ins wait for it.
 *
 *   6. A session is given to whom the configuration names as an administrator, in the first
 * tailnet, and to members whose role lets them do anything: nobody else, and nobody for being the
 * first.
 *   7. Nobody becomes a member before the yes; it names one of the tailnets that were asked about.
 *      Of others nothing is said.
 *
 * Source: headscale.md 4.1, 4.5, 4.6.
 */

#include "auth/admins.h"
#include "auth/logins.h"
#include "auth/oidc.h"
#include "control/ssh_desk.h"

#define LOGIN_ASK_MS ((int64_t)10 * 1000)
#define LOGIN_JOBS_MAX 64 /* log-ins that ask a provider at the same time */
#define LOGIN_WORKERS 4
#define LOGIN_SESSION_MS ((int64_t)12 * 3600 * 1000)

struct login_desk;

struct login_desk_options {
    struct loop *loop;
    const struct hub *hub; /* of that loop */
    struct ssh_desk *ssh;
    struct str server_url;                 /* borrowed */
    const struct oidc_provider *providers; /* borrowed; at least one */
    size_t n_providers;
    const struct admins *admins; /* of these providers; borrowed */
    /* What was learnt at the start; NULL for those that did not answer, which are asked again when
     * somebody wants to log in. Referenced. */
    struct oidc_meta *const *metas;
};
MUST_USE int login_desk_new(const struct login_desk_options *options, struct login_desk **out,
                            struct err *err);
void login_desk_set_registrar(struct login_desk *d, struct registrar *registrar);
/* When the loops have stopped, before they are freed: ends the workers. NULL is fine. */
void login_desk_stop(struct login_desk *d);
/* After the loops are freed. */
void login_desk_free(struct login_desk *d);

/* Handlers on any loop. `id` is the path's. */
void login_desk_start(struct login_desk *d, enum login_purpose purpose, struct http_exchange *x,
                      const struct http_request *req);
void login_desk_back(struct login_desk *d, struct http_exchange *x, const struct http_request *req);
void login_desk_confirm(struct login_desk *d, enum login_purpose purpose, struct http_exchange *x,
                        const struct http_request *req);
