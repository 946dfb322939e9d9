#pragma once

/*
 * An OpenID Connect provider, seen from a client of it: discovery, the address to send a browser
 * to, a code made into claims.
 *
 * Everything that asks the provider blocks, for worker threads and the start. What was learnt is an
 * immutable, counted `struct oidc_meta`, so any number of threads may use it, and who owns the
 * provider's state (one loop) puts a newer one in its place.
 *
 *   oidc_discover --meta--> oidc_put_authorize_url … browser … oidc_exchange --> oidc_claims
 *                     ^                                            | OIDC_UNKNOWN_KEY
 *                     +------------ oidc_fetch_keys <--------------+ (keys rotate)
 *
 * Rules
 *   1. The discovery document must name the issuer exactly as it is configured.
 *   2. Where the issuer is https, so are all endpoints.
 *   3. The client's secret goes to the token endpoint only and is never logged.
 *   4. Answers are bounded in bytes and time; no redirects are followed.
 *
 * Sources: OpenID Connect Core 1.0 and Discovery 1.0, RFC 6749, RFC 7636; headscale.md 1.2, 4.5.
 */

#include "auth/jwt.h"
#include "auth/oidc_claims.h"

#define OIDC_PROVIDERS_MAX 16
#define OIDC_CODE_MAX 4096 /* bytes of an authorization code */

enum oidc_pkce { OIDC_PKCE_NONE, OIDC_PKCE_S256, OIDC_PKCE_PLAIN };

struct oidc_param {
    struct str name;
    struct str value;
};

/* As configured; all borrowed for the life of whoever uses it. */
struct oidc_provider {
    struct str name;         /* [a-z0-9-], in URLs of the pick page; "" for the only one */
    struct str group_prefix; /* before its groups in policies: "oidc:", "oidc-<name>:" */
    struct str title;        /* what the pick page calls it; empty: the issuer's host */
    struct str tailnet;      /* the only one that its people may log in to; empty: any */
    struct str issuer;
    struct str client_id;
    struct str client_secret;
    const struct str *scopes;
    size_t n_scopes;
    const struct oidc_param *extra; /* of the authorization URL */
    size_t n_extra;
    struct oidc_rules rules;
    struct oidc_admins admins;
    enum oidc_pkce pkce;
    bool use_expiry_from_token;
    const char *ca_file; /* tests: trust this; NULL: the system's authorities */
};

/* What the provider says of itself; immutable, counted. */
struct oidc_meta {
    struct ref ref;
    struct str authorize_url;
    struct str token_url;
    struct str userinfo_url; /* empty: none */
    struct str jwks_url;
    bool secret_in_body; /* client_secret_post is all it takes */
    struct jwks *keys;
};
struct oidc_meta *oidc_meta_ref(struct oidc_meta *m);
void oidc_meta_unref(struct oidc_meta *m);
DEFINE_AUTO(struct oidc_meta, oidc_meta_unref);

/* The discovery document alone; `keys` is NULL. No I/O. */
MUST_USE int oidc_meta_parse(const struct oidc_provider *p, struct str json, struct oidc_meta **out,
                             struct err *err);
/* Document and keys. `cancelled` may be NULL. */
MUST_USE int oidc_discover(const struct oidc_provider *p, const _Atomic(bool) *cancelled,
                           struct oidc_meta **out, struct err *err);
/* The same with keys asked for anew. */
MUST_USE int oidc_fetch_keys(const struct oidc_provider *p, const struct oidc_meta *m,
                             const _Atomic(bool) *cancelled, struct oidc_meta **out,
                             struct err *err);

/* One log-in's secrets. NUL-terminated lower-case hexadecimal. */
#define OIDC_STATE_BYTES 24
struct oidc_secrets {
    char state[2 * OIDC_STATE_BYTES + 1];
    char nonce[2 * OIDC_STATE_BYTES + 1];
    char verifier[2 * 32 + 1]; /* PKCE; 64 characters */
};
void oidc_secrets_make(struct oidc_secrets *s);

/* Where to send the browser. */
void oidc_put_authorize_url(struct buf *out, const struct oidc_provider *p,
                            const struct oidc_meta *m, const struct oidc_secrets *s,
                            struct str redirect_uri);
/* Percent-encoded for a query or a form. */
void oidc_put_encoded(struct buf *out, struct str s);

enum oidc_outcome {
    OIDC_OK,
    OIDC_UNKNOWN_KEY, /* signed by a key that `m` does not have; id_token is set */
    OIDC_REFUSED,     /* err says why, for the log: the code or the token is no good */
    OIDC_NO_TOKEN,    /* the provider gave no ID token */
    OIDC_AWAY,        /* the provider does not answer */
};
struct oidc_exchange {
    const struct oidc_provider *provider;
    struct oidc_meta *meta;
    const struct oidc_secrets *secrets;
    struct str redirect_uri;
    struct str code; /* empty: id_token and access_token are already there */
    const _Atomic(bool) *cancelled;

    /* Set here; all in `arena`. */
    struct arena *arena;
    struct str answer; /* the token endpoint's, in which the tokens are */
    struct str id_token;
    struct str access_token;
    struct oidc_claims claims;
    struct err err;
};
/* Blocks. */
MUST_USE enum oidc_outcome oidc_exchange_run(struct oidc_exchange *x, int64_t now_ms);
/* Wipes the tokens; before the arena goes. */
void oidc_exchange_fini(struct oidc_exchange *x);
/* The part without I/O: signature and claims of x->id_token. */
MUST_USE enum oidc_outcome oidc_exchange_verify(struct oidc_exchange *x, int64_t now_ms);
