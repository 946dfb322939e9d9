#pragma once

/*
 * Secrets that people and programs present: made here, kept only as hashes.
 *
 * Our own have 256 random bits, so a plain SHA-256 protects them as well as a slow hash would, and
 * checking costs a microsecond. Imported ones come with bcrypt or Argon2id hashes and are checked
 * as such.
 *
 * The text of a token is `<kind><id>-<secret>`: kind such as "hskey-auth-", an id of 12 characters
 * that lists may show and look-ups use, a secret of 64. Ours are hexadecimal; older servers' were
 * URL-safe base64 of the same lengths, which splitting takes as well.
 *
 * Source: docs/headscale.md, "API keys" and "Pre-auth keys".
 */

#include "core/buf.h"

#define SECRET_ID_CHARS 12
#define SECRET_CHARS 64
#define SECRET_HASH_BYTES 32

/* Appends 2 * n random hexadecimal digits: ids, states, one-time codes. */
void secret_put_hex(struct buf *out, size_t n);

/* A new token. The text holds the secret: show it once, then secret_token_fini. */
struct secret_token {
    char id[SECRET_ID_CHARS];        /* not NUL-terminated */
    uint8_t hash[SECRET_HASH_BYTES]; /* what to keep: secret_hash of the secret */
    struct buf text;                 /* the whole token */
};
void secret_token_make(struct secret_token *t, struct str kind);
void secret_token_fini(struct secret_token *t); /* wipes */

/*
 * Splits `text`; the outputs borrow from it. False, outputs untouched, when it is not
 * kind + 12 characters + "-" + 64 characters out of [0-9A-Za-z_-].
 */
MUST_USE bool secret_token_split(struct str text, struct str kind, struct str *id,
                                 struct str *secret);

/* SHA-256 of the secret's text. */
void secret_hash(struct str secret, uint8_t hash[SECRET_HASH_BYTES]);
/* In constant time. */
MUST_USE bool secret_hash_matches(struct str secret, const uint8_t hash[SECRET_HASH_BYTES]);

/* "$2a$", "$2b$" or "$2y$", 60 characters, cost 4 to SECRET_BCRYPT_COST_MAX. */
#define SECRET_BCRYPT_COST_MAX 14
bool secret_is_bcrypt(struct str hash);
/*
 * False also for a text that is no such hash, and for secrets with NUL or over 72 bytes (where
 * bcrypt stops reading). Costs 50 ms and more at the usual cost of 10: run it on a worker, never on
 * a loop.
 */
MUST_USE bool secret_bcrypt_matches(struct str secret, struct str hash);

/*
 * "$argon2id$v=19$m=…,t=…,p=1$<salt>$<hash>" (the PHC text form, RFC 9106), with at most
 * SECRET_ARGON2_KIB of memory and SECRET_ARGON2_PASSES passes, so that no row of somebody else's
 * database decides what a check costs.
 */
#define SECRET_ARGON2_KIB 65536
#define SECRET_ARGON2_PASSES 8
bool secret_is_argon2id(struct str hash);
/* False also for what is neither. Slow: for workers. */
MUST_USE bool secret_slow_matches(struct str secret, struct str hash);
