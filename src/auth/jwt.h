#pragma once

/*
 * Signed tokens of other people: JWTs in compact form (RFC 7519, RFC 7515), checked against a set
 * of public keys (RFC 7517). cjose does the arithmetic; what may come near it is decided here.
 *
 *   text --jwt_decode--> header and payload, not yet to be believed --jwks_verify--> believed
 *
 * Rules
 *   1. Only signatures by public keys: RS, PS and ES with 256, 384, 512. Never "none", never HS (a
 *      public key would be its secret).
 *   2. The key's kind must be the algorithm's, and its own "alg" and "use", if it has them, must
 *      agree.
 *   3. A header with "crit", or that says anything twice, is refused: two readers might read it
 *      differently.
 */

#include "core/err.h"
#include "core/mem.h"
#include "json/value.h"

#define JWT_MAX ((size_t)64 << 10) /* bytes of a token */
#define JWKS_MAX ((size_t)1 << 20) /* bytes of a key set */
#define JWKS_KEYS_MAX 64           /* keys of it that are kept; others are left out */

struct jwt {
    struct str text;                  /* the whole token; borrowed */
    struct str alg;                   /* one of those above */
    struct str kid;                   /* empty: none */
    const struct json_value *payload; /* an object; to be believed only after jwks_verify */
};

/* Everything out lives in the arena, which must live as long; `text` is copied into it. */
MUST_USE int jwt_decode(struct arena *arena, struct str text, struct jwt *out, struct err *err);

struct jwks;

/*
 * Keys that are no use to us (other kinds, other uses, too small, too large) are left out, also all
 * of them. ERR_INVALID: not a key set.
 */
MUST_USE int jwks_parse(struct str json, struct jwks **out, struct err *err);
struct jwks *jwks_ref(struct jwks *set);
void jwks_unref(struct jwks *set);
DEFINE_AUTO(struct jwks, jwks_unref);
size_t jwks_len(const struct jwks *set);

enum jwt_verdict {
    JWT_GOOD,
    JWT_FORGED,     /* the key is known, the signature is not its */
    JWT_UNKNOWN_KEY /* no key of the set fits: it may be older than the token */
};
/* Any number of threads. */
MUST_USE enum jwt_verdict jwks_verify(const struct jwks *set, const struct jwt *token);
