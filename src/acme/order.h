#pragma once

/*
 * One attempt to get one certificate, in steps. A step makes a request or a few and blocks for
 * them; what is waited for otherwise is waited for between steps, by whoever runs them.
 *
 *   OPEN --> REGISTER --> ORDER --> AUTHORIZE --> VALIDATE --> READY --> FINALIZE --> ISSUE -->
 * done ^           ^  |          |  |                              (downloads) |           |  | |
 * +-- the next authorization --> AUTHORIZE |           +--+          |
 *                           +--- invalid: with the next kind of challenge
 *
 * An order whose authorizations are all valid goes to READY at once. VALIDATE, READY and ISSUE ask
 * again until the authority has made up its mind, as often as it likes to be asked.
 *
 * Source: RFC 8555 section 7.4; RFC 8738 (addresses); profiles: draft-ietf-acme-profiles.
 */

#include "acme/ca.h"

struct acme_run;

struct acme_run_options {
    struct acme_ca *ca; /* borrowed for the run's life */
    struct str name;    /* DNS name or IP literal, copied */
    struct str
        replaces;     /* renewal id of the certificate that is to be replaced, or empty; copied */
    bool tls_alpn_01; /* for DNS names only: addresses have http-01 */
    bool http_01;
    /*
     * Puts the answer to a challenge where the authority will look, until it is withdrawn (empty
     * token): http-01 the token itself, tls-alpn-01 the hash of the key authorization.
     */
    int (*present)(void *user, enum acme_challenge_kind kind, struct str name, struct str token,
                   const uint8_t sha256[32], struct err *err);
    void *user;
};
MUST_USE struct acme_run *acme_run_new(const struct acme_run_options *options);
/* Withdraws what is presented. NULL is fine. */
void acme_run_free(struct acme_run *r);

enum acme_step { ACME_STEP_AGAIN, ACME_STEP_DONE, ACME_STEP_FAILED };

/* AGAIN: call once more, after *wait_ms. FAILED: *wait_ms is what the authority asked for before
 * the next attempt, or -1. */
MUST_USE enum acme_step acme_run_step(struct acme_run *r, int64_t *wait_ms, struct err *err);
/* After DONE: key and chain as PEM, the key first; checked to be for the name and to fit. */
struct str acme_run_result(const struct acme_run *r);
