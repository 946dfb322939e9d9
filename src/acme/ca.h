#pragma once

/*
 * A certificate authority as one account of ours sees it: where things are, the account, nonces,
 * signed requests. Blocks; used by one thread at a time.
 *
 * A request costs a nonce. Each answer brings the next one; one that the authority no longer likes
 * is replaced and the request made again, a few times.
 */

#include <stdatomic.h>

#include "acme/answer.h"
#include "core/err.h"
#include "crypto/p256.h"

#define ACME_LETS_ENCRYPT STR("https://acme-v02.api.letsencrypt.org/directory")
#define ACME_GOOGLE STR("https://dv.acme-v02.api.pki.goog/directory")

struct acme_ca;

struct acme_ca_options { /* all copied */
    struct str directory_url;
    struct str ca_file; /* PEM: whom to trust about the authority itself; empty: the system's */
    struct str email;   /* may be empty */
    struct str eab_kid; /* external account binding; empty: none */
    struct str eab_key; /* raw bytes */
    const struct p256_key *key;     /* the account's; borrowed for life */
    const _Atomic(bool) *cancelled; /* ends a request that is under way; may be NULL */
};

MUST_USE struct acme_ca *acme_ca_new(const struct acme_ca_options *options);
void acme_ca_free(struct acme_ca *ca); /* NULL is fine */
const struct p256_key *acme_ca_key(const struct acme_ca *ca);
/* It was named by an http:// URL, so its own may be such. */
bool acme_ca_is_plain(const struct acme_ca *ca);

struct acme_reply {
    int status;
    struct buf body;
    struct str location;            /* owned */
    int64_t retry_after_ms;         /* -1: it did not say */
    enum acme_problem_kind problem; /* of a request that failed */
};
void acme_reply_fini(struct acme_reply *r);

/*
 * Both fill `r`, which is emptied before (so `url` is not of its body). Negative: no answer, or one
 * that is not 2xx; then r->problem and r->retry_after_ms say more.
 */
MUST_USE int acme_ca_get(struct acme_ca *ca, struct str url, struct acme_reply *r, struct err *err);
MUST_USE int acme_ca_post(struct acme_ca *ca, struct str url, struct str payload,
                          struct acme_reply *r, struct err *err);

/* Where things are, asked anew; before anything else. */
MUST_USE int acme_ca_open(struct acme_ca *ca, struct acme_reply *r, struct err *err);
/* Makes the account, or finds it again by its key; nothing when it is known. */
MUST_USE int acme_ca_register(struct acme_ca *ca, struct acme_reply *r, struct err *err);
/* Empty before acme_ca_open. */
struct str acme_ca_new_order_url(const struct acme_ca *ca);
struct str acme_ca_renewal_url(const struct acme_ca *ca);
