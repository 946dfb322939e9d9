#pragma once

/*
 * The client protocol: the outer door (GET /key, /ts2021), the Noise channel, and what clients ask
 * inside it.
 *
 *   /ts2021 --upgrade--> Noise handshake --> channel (machine key) --HTTP/2--> register, map, …
 *
 * Rules
 *   1. The machine key of the channel is the only thing believed; every node key in a body is a
 * claim that the domain checks against it.
 *   2. What is not there answers 501 with a text, never hangs.
 *   3. A refusal tells the client's user what is wrong, and a stranger nothing.
 *
 * Sources: protocol.md 1 to 6; tailscale control/controlhttp, control/controlbase.
 */

#include "auth/auth.h"
#include "auth/oidc.h"
#include "control/hub.h"
#include "control/registrar.h"
#include "control/ssh_desk.h"
#include "crypto/keys.h"
#include "http/server.h"

struct control;
struct p256_key;

struct control_options {
    struct loop *const *loops;
    size_t n_loops;
    const struct machine_private *noise_key;
    const struct p256_key *id_token_key; /* signs machines' ID tokens; borrowed; NULL: none */
    struct str server_url; /* http(s)://host[:port], no path, no slash at the end */
    struct store *store;   /* taken */
    struct domain *domain; /* taken; loaded */
    /* The first tailnet's policy comes from a file: how that is at the start. NULL: from the
     * database. Borrowed for the call. */
    const struct policy_file *policy_file;
    /* Identity providers to log in with; borrowed. None: pages say what to type. `provider_metas`
     * as login_desk_options has it; borrowed for the call, may be NULL. */
    const struct oidc_provider *providers;
    size_t n_providers;
    struct oidc_meta *const *provider_metas;
    /* Routers of the same subnet are asked every so often whether they are there; 0: never. */
    int64_t ha_interval_ms;
    int64_t ha_timeout_ms;
    bool webhooks_allow_local; /* webhooks may be on this machine */
    /* A node's key is no longer good (deleted, expired, rotated); on any loop's thread. May be
     * NULL. */
    void (*on_key_gone)(void *user, const struct node_key *key);
    /* As many nodes as all tailnets have, as far as this loop has heard; on each loop, whenever
     * that is another number, so at the start. May be NULL. */
    void (*on_nodes)(void *user, struct loop *loop, size_t n);
    void *user;
};
/* Starts the registrar. */
MUST_USE int control_new(const struct control_options *options, struct control **out,
                         struct err *err);
/* Stops the registrar; call when the loops have stopped, before they are freed. */
void control_stop(struct control *c);
/* After the loops are freed. */
void control_free(struct control *c);

struct registrar *control_registrar(struct control *c);
/* Checks API keys, on any of the loops; knows them all. */
struct auth *control_auth(struct control *c);
/* The hub of the loop a request came on. */
struct hub *control_hub(struct control *c, const struct loop *loop);
struct ssh_desk *control_ssh_desk(struct control *c);

/* As the options have it; on the first loop. */
void control_set_ha_times(struct control *c, int64_t interval_ms, int64_t timeout_ms);
/*
 * Who may administer in a browser, as a newer configuration says it of the same providers: also of
 * whom a session was given to. On the first loop; the lists are borrowed until the next time.
 */
void control_set_admins(struct control *c, const struct oidc_provider *providers, size_t n);
/* All loops, borrowed. NULL and 0 without a control. */
struct loop *const *control_loops(const struct control *c, size_t *n);
/* `fn` hears each publication on each loop, after the hub. Before the loops run; one at most. */
void control_on_publication(struct control *c,
                            void (*fn)(void *user, struct loop *loop, const struct publication *p),
                            void *user);

/* Handlers for the outer router; each answers the exchange. */
void control_on_key(struct control *c, struct http_exchange *x, const struct http_request *req);
void control_on_ts2021(struct control *c, struct http_exchange *x, const struct http_request *req);
/* Who signs ID tokens (control/id_token.h): the discovery document, and the key. */
void control_on_openid_configuration(struct control *c, struct http_exchange *x);
void control_on_jwks(struct control *c, struct http_exchange *x);
void control_on_health(struct control *c, struct http_exchange *x, const struct http_request *req);
/*
 * The pages behind AuthURLs, /register/{id} and /auth/{id}: to the log-in, or what to type to let
 * the machine or the SSH log-in in. The others are for log-ins only (control/login.h).
 */
void control_on_register_page(struct control *c, struct http_exchange *x,
                              const struct http_request *req);
void control_on_check_page(struct control *c, struct http_exchange *x,
                           const struct http_request *req);
/* /login: to a provider and back with a session's cookie, for administrators; /login/confirm: of
 * which tailnet. */
void control_on_session_page(struct control *c, struct http_exchange *x,
                             const struct http_request *req);
void control_on_session_confirm(struct control *c, struct http_exchange *x,
                                const struct http_request *req);
/* /invite/{secret}: a link that makes somebody a member; /invite/confirm: the yes. */
void control_on_invite_page(struct control *c, struct http_exchange *x,
                            const struct http_request *req);
void control_on_invite_confirm(struct control *c, struct http_exchange *x,
                               const struct http_request *req);
void control_on_login_back(struct control *c, struct http_exchange *x,
                           const struct http_request *req);
void control_on_register_confirm(struct control *c, struct http_exchange *x,
                                 const struct http_request *req);
void control_on_check_confirm(struct control *c, struct http_exchange *x,
                              const struct http_request *req);
/* A router answers a ping; also inside the channel. */
void control_on_ping_response(struct control *c, struct http_exchange *x,
                              const struct http_request *req);
/* A relay asks whether it may serve a key (protocol.md 16.9). */
void control_on_verify(struct control *c, struct http_exchange *x, const struct http_request *req);

/*
 * Whether a node key belongs to a node; for the embedded relay. `done` is called once on `loop`,
 * not from inside.
 */
void control_admit(struct control *c, struct loop *loop, const struct node_key *key,
                   void (*done)(void *user, bool known), void *user);
