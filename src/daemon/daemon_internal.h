#pragma once

/* The server's parts and the order of their lives. */

#include "api/api.h"
#include "config/options.h"
#include "control/control.h"
#include "derp/server.h"
#include "grpc/grpc.h"
#include "http/server.h"
#include "stun/responder.h"

#define LOOPS_MAX 16

struct policy_watch;
struct settings;
struct acme;
struct handover;

struct server {
    struct handover *handover;         /* what the service manager gives and is told */
    struct policy_watch *policy_watch; /* NULL: the policy is the database's */
    struct settings *settings;         /* what of the configuration changes meanwhile */
    const struct config *config;       /* as it was at the start */
    tailnet_id first_tailnet;
    struct loop *loops[LOOPS_MAX]; /* loops[0] runs on the main thread */
    size_t n_loops;
    struct store *store;   /* until control has it */
    struct domain *domain; /* until control has it */
    struct machine_private noise_key;
    struct node_private derp_key;
    struct p256_key *id_token_key; /* borrowed by control */
    uint8_t relay_cert_sha256[32];
    bool relay_cert_is_pinned;
    struct worker_pool *pool; /* what waits for others' answers */
    struct tls_server *tls;
    struct acme *acme;         /* where its certificates come from; NULL: from files */
    struct http_server *plain; /* for HTTP-01; NULL: not asked for */
    struct control *control;
    struct oidc_meta *provider_metas[OIDC_PROVIDERS_MAX]; /* until control has them */
    struct derp_server *derp;
    struct api *api;
    struct http_server *outer;
    struct http_route *outer_routes; /* its own and the API's */
    struct http_server *local;       /* on the Unix socket */
    struct http_route *local_routes; /* the API's, and gRPC's */
    struct grpc *grpc;
    struct http_server *grpc_server; /* of grpc_listen_addr; NULL: off */
    struct http_route *grpc_routes;
    struct http_server *watch; /* of metrics_listen_addr; NULL: off */
    struct door *door;         /* of the main port */
    size_t open_files;         /* as many as there may be */
    struct listener *listeners[LOOPS_MAX];
    struct listener *socket;
    struct listener *watch_listener;
    struct listener *grpc_listeners[LOOPS_MAX];
    struct listener *plain_listener;
    struct stun_responder *stun[LOOPS_MAX];
    struct ip_addrport bound; /* what the first listener got */
    bool threads_run;
};

/*
 * confine.c: becomes who `run_as` names, before any file is opened; then writes only in its own
 * folders, before threads are started; then, with every port open, keeps nothing of what only
 * the start needed.
 */
MUST_USE int server_become(struct server *s, struct err *err);
MUST_USE int server_confine_files(struct server *s, struct err *err);
MUST_USE int server_confine(struct server *s, struct err *err);
/*
 * door.c: the main port's, whose room grows with the machines there are. `user` of server_on_nodes
 * is the server; as control_options has it.
 */
void server_make_door(struct server *s);
void server_on_nodes(void *user, struct loop *loop, size_t n);
/*
 * How many connections may be nothing yet: max_handshakes, or two of each machine where that is
 * more, up to half of all connections; never more than half of the open files.
 */
size_t server_max_guests(const struct config_limits *limits, size_t open_files, size_t machines);
/* And how many may be logging in to the relay beside these. */
size_t server_max_logins(size_t max_guests);
/* tls.c: the certificate of the relay and of TLS on the main port. */
MUST_USE int server_load_tls(struct server *s, struct err *err);
/* On the first loop. */
void server_reload_tls(struct server *s);
/* acme.c: certificates that come by themselves, with one more behind each chain (or none). */
MUST_USE int server_load_acme(struct server *s, struct str extra_der, struct err *err);
MUST_USE int server_start_acme(struct server *s, struct err *err);
/* tailnet.c: opens the store, loads the domain, makes or updates the first tailnet from the
 * configuration. */
MUST_USE int server_load_domain(struct server *s, struct err *err);
/* The region of the relay in this process. */
void server_add_region(const struct server *s, struct tailnet_info *info);
/* settings.c: what of the configuration changes while the server runs. Reads what is there. */
MUST_USE int server_read_settings(struct server *s, struct err *err);
MUST_USE int server_start_settings(struct server *s, struct err *err);
/* What the first tailnet is to be; the caller's. `name` may be empty for one that has its name. */
MUST_USE struct tailnet_info *settings_info(const struct settings *st, struct str name);
/* On the first loop. */
void settings_reload(struct settings *st);
/* When loops no longer run; nothing is begun any more. */
void settings_stop(struct settings *st);
/* After pool and loops have been freed. NULL is fine for the last two. */
void settings_free(struct settings *st);
/* policy.c: the policy file, read at the start and whenever SIGHUP comes. */
MUST_USE int server_read_policy(struct server *s, struct err *err);
const struct policy_file *policy_watch_file(const struct policy_watch *w);
/* On the first loop. */
void policy_watch_reload(struct policy_watch *w);
void policy_watch_free(struct policy_watch *w);
/* login.c: what identity providers say of themselves. */
MUST_USE int server_find_providers(struct server *s, struct err *err);
void server_forget_providers(struct server *s);
/* outer.c: the router of the main port. */
MUST_USE struct http_server *outer_server_new(struct server *s);
/* grpc.c: the API on the Unix socket, as REST and as gRPC. */
MUST_USE struct http_server *local_server_new(struct server *s);
/* gRPC on a listener of its own, if the configuration has one and it is safe. */
/* A port of the network under the same limits and proxies as every other. */
struct listener_options server_network_port(struct server *s, struct ip_addrport addr,
                                            void (*accept)(void *user, struct stream *stream));
MUST_USE int server_open_grpc(struct server *s, struct err *err);
/* debug.c: pages about tailnets, for this machine: http_handler_fn, its user the server. */
void debug_on_page(void *server, struct http_exchange *x, const struct http_request *req);
/* watch.c: metrics and debug pages on a listener of their own, if the configuration has one. */
MUST_USE int server_open_watch(struct server *s, struct err *err);
