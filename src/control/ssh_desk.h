#pragma once

/*
 * The desk of SSH checks: brings the questions of machines and people, which come on any loop, to
 * the one loop that owns the registry (ssh_check.h), and the answers back.
 *
 *   loop k: GET /machine/ssh/action/… --message--> desk's loop: ssh_checks --message--> loop k:
 * answer
 *
 * What a machine hears is always an SSHAction with status 200, since clients ask anew for half an
 * hour after anything else: accept, reject with a text, or holdAndDelegate. The first answer shows
 * the person a text and names the check in the next URL; that URL is held until there is a verdict,
 * for at most SSH_CHECK_HOLD_MS, then comes again. A stranger (a machine that is not the one the
 * log-in is to) gets 404.
 *
 * Sources: protocol.md 11.2; tailscale ssh/tailssh/tailssh.go (clientAuth, fetchSSHAction).
 */

#include "control/hub.h"
#include "control/ssh_check.h"

struct ssh_desk;

struct ssh_desk_options {
    struct loop *loop;     /* owns the checks */
    const struct hub *hub; /* that loop's */
    struct str server_url; /* borrowed while the desk lives */
    bool has_login;        /* the owner may approve by logging in at /auth/<id> */
};
MUST_USE struct ssh_desk *ssh_desk_new(const struct ssh_desk_options *options);
/* When the loops have stopped, before they are freed. */
void ssh_desk_stop(struct ssh_desk *d);
/* After the loops are freed. */
void ssh_desk_free(struct ssh_desk *d);

/* On the desk's loop, after its hub has taken it up. */
void ssh_desk_publish(struct ssh_desk *d, const struct publication *p);

/*
 * A machine's question; answers the exchange. `hub` is that of the request's loop, `machine` the
 * key of its channel.
 */
void ssh_desk_serve(struct ssh_desk *d, const struct hub *hub, const struct machine_key *machine,
                    struct http_exchange *x, const struct http_request *req);

/* A look at the checks on their loop; `run` there, then `done` on the loop given, always. */
struct ssh_desk_query {
    void (*run)(struct ssh_desk_query *q, struct ssh_checks *checks); /* not when it goes down */
    void (*done)(struct ssh_desk_query *q);
    struct loop *loop;
    struct loop_message message;
    struct ssh_desk *desk;
};
void ssh_desk_ask(struct ssh_desk *d, struct ssh_desk_query *q);
