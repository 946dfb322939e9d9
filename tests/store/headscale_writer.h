#pragma once

/*
 * Writes databases as headscale's releases leave them: our own account of their schemas
 * (docs/headscale.md, "Database"), for tests of the import.
 */

#include <sqlite3.h>

#include "core/str.h"

enum hs_release {
    HS_0_12, /* to 0.14 */
    HS_0_16, /* 0.15, 0.16 */
    HS_0_22, /* 0.17 to 0.22 */
    HS_0_23,
    HS_0_25, /* 0.24, 0.25 */
    HS_0_27, /* 0.26, 0.27 */
    HS_0_28,
    HS_0_29,
    HS_0_30,
    HS_RELEASES
};
/* "0.24 or 0.25", as the import says it. */
const char *hs_release_words(enum hs_release r);

/* The release's empty tables in the file (":memory:" too). Aborts when it cannot. */
sqlite3 *hs_make(const char *path, enum hs_release r);
/* Any statements. Aborts when refused. */
void hs_sql(sqlite3 *db, const char *sql);
/*
 * A row: columns and their values as SQL literals in turn, NULL at the end. What the release has no
 * column or table for is passed over, and "nodes" and "users" are what it calls them.
 */
void hs_put(sqlite3 *db, const char *table, ...) __attribute__((sentinel));

/*
 * The same small network in every release's words:
 *
 *   users  1 alice, 2 bob (by log-in, from 0.24 on), 3 gone (deleted)
 *   keys   1 alice's, reusable; 2 used; 3 expired; 4 tagged, used by node 2; 5 ephemeral
 *   api    1 good, 2 expired (from 0.15 on)
 *   nodes  1 laptop of alice, 2 web with tag:web, 3 router of bob with routes, 5 eph, 6 deleted
 *   policy two texts, the second is HS_POLICY (from 0.23 on)
 */
void hs_fill(sqlite3 *db, enum hs_release r);
#define HS_POLICY                                                       \
    "{ /* mine */ \"tagOwners\": {\"tag:web\": [\"bob@\"]}, \"acls\": " \
    "[{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}] }"

/* What was hashed: keys of the new form, and what stands behind the prefix of API keys. */
#define HS_SECRET_AUTH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HS_HASH_AUTH "$2a$04$abcdefghijklmnopqrstuuQSLmioUYOEmKTL16wobTks4j4shJ2JG"
#define HS_HASH_API64 "$2a$04$abcdefghijklmnopqrstuum3CgIstH2PK45baiaFTPBlCd5gXikhO"
#define HS_HASH_API32 "$2a$04$abcdefghijklmnopqrstuudzwqTQSvBod5saWv8fcaQIlV8vX0Mm."
#define HS_HASH_API43 "$2a$04$abcdefghijklmnopqrstuur0ObIoTFQm2Ylmv8wTDguBv5v2qjiQu"
/* Argon2id of 64 characters, with cheap settings. */
#define HS_HASH_OAUTH \
    "$argon2id$v=19$m=8,t=1,p=1$EBESExQVFhcYGRobHB0eHw$um4x0gwWNyqEWyi0KhqG47INp7hhOt/InrY8aKuGaVQ"
/* Key 1 in clear, up to 0.27. */
#define HS_CLEAR_KEY "00112233445566778899aabbccddeeff0011223344556677"
