#pragma once

/*
 * Certificates that come by themselves (ACME, RFC 8555): got when there are none, kept in a folder,
 * renewed while connections live.
 *
 *   home loop: what is due? --one attempt at a time--> pool: a step (order.h) --> home loop: wait,
 *              the next step, or install it for connections to come and keep it in the folder
 *
 * A server speaks TLS with acme_tls() and, on port 80, gives acme_answer_challenge the requests
 * below ACME_CHALLENGE_PATH. Until a name has a certificate, its handshakes are refused.
 *
 * The folder is that of Go's autocert and of the official relay: `acme_account+key`, HOSTNAME with
 * key and chain, ADDRESS.key and ADDRESS.crt (colons as dots). What is in there goes on being used.
 *
 * Source: RFC 8555, 8737, 8738, 9773; golang.org/x/crypto/acme/autocert; tailscale cmd/derper
 * (cert.go, ipcert.go).
 */

#include "acme/ca.h"
#include "http/server.h"
#include "net/loop.h"
#include "net/tls.h"

#define ACME_CHALLENGE_PATH "/.well-known/acme-challenge/{token}"
#define ACME_ADDRESSES_MAX 16

struct acme;

struct acme_options { /* all copied */
    struct str dir;
    struct str directory_url;    /* empty: Let's Encrypt */
    struct str ca_file;          /* whom to trust about that server; empty: the system's */
    struct str email;            /* may be empty */
    struct str eab_kid, eab_key; /* external account binding, the key in base64; both or none */
    const struct str *names;     /* DNS names and IP literals */
    size_t n_names;
    bool own_addresses; /* also for addresses of ours that clients connect to without a name */
    bool http_01;       /* which challenges can be answered */
    bool tls_alpn_01;
    struct str extra_der; /* a certificate to append to each chain, or empty */
};
/* Reads the folder; makes it, and the account's key, if need be. */
MUST_USE int acme_new(const struct acme_options *options, struct acme **out, struct err *err);
/* Borrowed; for its life. */
struct tls_server *acme_tls(struct acme *a);
/* Begins to get what is missing; on the home loop's thread, or before it runs. */
void acme_start(struct acme *a, struct loop *home, struct worker_pool *pool);
/* Reads the certificates in the folder again; on the home loop. */
void acme_reload(struct acme *a);
/* Nothing is begun any more, and what is under way gives up. When loops no longer run, and before
 * the pool is freed. */
void acme_stop(struct acme *a);
/* After pool and loops have been freed. NULL is fine for the last two. */
void acme_free(struct acme *a);

/* Answers a request for http-01: what proves that we are who ordered, or 404. On any loop. */
void acme_answer_challenge(struct acme *a, struct http_exchange *x, struct str token);
