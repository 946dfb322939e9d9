#pragma once

/* The parts of the stand-alone relay and the order of their lives. */

#include "acme/acme.h"
#include "crypto/keys.h"
#include "derp/server.h"
#include "http/server.h"
#include "relay/admission.h"
#include "relay/options.h"
#include "stun/responder.h"

#define RELAY_LOOPS_MAX DERP_LOOPS_MAX

struct bootstrap;

struct relay {
    const struct relay_options *o;
    struct loop *loops[RELAY_LOOPS_MAX]; /* loops[0] runs on the main thread */
    size_t n_loops;
    struct worker_pool *pool;
    struct node_private key;
    bool has_mesh_key;
    uint8_t mesh_key[DERP_MESH_KEY_BYTES];
    struct tls_server *tls; /* NULL: plain HTTP */
    struct acme *acme;      /* where its certificates come from; NULL: from files */
    struct admission_urls urls;
    struct admission *admission; /* NULL: everybody */
    struct derp_server *derp;
    struct derp_mesh *mesh;       /* NULL: alone */
    struct derp_sibling *sibling; /* NULL: no other process will have these sockets */
    struct bootstrap *bootstrap;
    struct http_server *main;
    struct http_server *plain; /* beside HTTPS */
    struct handover *handover;
    struct closing {
        struct loop_message message;
        struct relay *relay;
        size_t loop;
    } closings[RELAY_LOOPS_MAX]; /* of the ports, on each loop */
    struct door *door;           /* both ports' */
    struct listener *listeners[RELAY_LOOPS_MAX];
    struct listener *plain_listeners[RELAY_LOOPS_MAX];
    struct stun_responder *stun[RELAY_LOOPS_MAX];
    struct ip_addrport bound;
    int64_t started_ms;
    struct timer ending;
    bool is_ending;
    bool threads_run;
    _Atomic(bool) is_stopped;
};

/* files.c */
MUST_USE int relay_load_key(struct relay *r, struct err *err);
MUST_USE int relay_load_mesh_key(struct relay *r, struct err *err);
struct relay_rates {
    uint64_t bytes_per_second, burst_bytes; /* of each client */
    uint64_t total_per_second, total_burst; /* of all together */
};
/* Zero when there is no such file named. */
MUST_USE int relay_load_rates(const struct relay_options *o, struct relay_rates *out,
                              struct err *err);
/*
 * The certificate for -hostname, made where that is the mode; a new reference in *out. What a relay
 * map must pin goes to the log.
 */
MUST_USE int relay_load_tls(const struct relay_options *o, const struct node_private *key,
                            struct tls_server **out, struct err *err);

/* The same for ACME's modes: reads what there is, and r->acme gets the rest when it is started. */
MUST_USE int relay_open_acme(struct relay *r, struct err *err);

/* mesh.c; the loops do not run yet. */
MUST_USE int relay_open_mesh(struct relay *r, struct err *err);

/* bootstrap.c: what /bootstrap-dns tells; looked up at once and every ten minutes, by the pool. */
struct bootstrap *bootstrap_new(struct loop *const *loops, size_t n_loops, struct worker_pool *pool,
                                struct str published, struct str unpublished);
/* No look-up begins any more. Before the pool is freed. */
void bootstrap_stop(struct bootstrap *b);
/* After the loops have been freed. NULL is fine. */
void bootstrap_free(struct bootstrap *b);
void bootstrap_answer(struct bootstrap *b, struct http_exchange *x, const struct http_request *req);

/* pages.c */
MUST_USE struct http_server *relay_main_server(struct relay *r);
MUST_USE struct http_server *relay_plain_server(struct relay *r);
