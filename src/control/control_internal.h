#pragma once

/* What the files of this room share: the channel, and the handlers inside it. */

#include "control/asked.h"
#include "control/control.h"
#include "control/login.h"
#include "control/prober.h"
#include "control/session_keeper.h"
#include "core/arena.h"

/* Clients older than this have no chance (protocol.md 17.3): 1.70. */
#define CAPVER_MIN 102
#define CHANNEL_BODY_MAX ((size_t)1 << 20)

struct control {
    struct control_options options;
    struct loop **loops;
    struct hub **hubs; /* one per loop */
    size_t *n_nodes;   /* of all tailnets; one per loop, touched on that only */
    size_t n_loops;
    struct machine_private noise_key;
    struct machine_key noise_public;
    struct str server_url;
    const struct p256_key *id_token_key; /* borrowed; NULL: no such tokens */
    struct registrar *registrar;
    struct auth *auth;
    struct ssh_desk *ssh;            /* on loops[0] */
    struct prober *prober;           /* on loops[0] */
    struct admins *admins;           /* one a loop, touched on that only */
    struct session_keeper *sessions; /* on loops[0] */
    struct login_desk *login;        /* on loops[0]; NULL: no identity provider */
    struct http_server *inner;
    void (*on_publication)(void *user, struct loop *loop, const struct publication *p);
    void *publication_user;
};

/* One Noise connection; lives until its HTTP/2 session is gone. */
struct channel {
    struct control *control;
    struct machine_key machine;
    uint16_t version; /* the capability version the handshake was made with */
    struct ip_addrport peer;
};

struct wire_hostinfo;
/* The domain's form of a decoded Hostinfo; count 1. */
struct node_facts *facts_from_wire(const struct wire_hostinfo *h);

/* The channel a request came over. */
struct channel *request_channel(const struct http_request *req);

void on_register(void *user, struct http_exchange *x, const struct http_request *req);
void on_map(void *user, struct http_exchange *x, const struct http_request *req);
http_handler_fn on_ssh_recording, on_id_token;
struct http_server *inner_server_new(struct control *c);
