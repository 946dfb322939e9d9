#pragma once

/* The folder of keys and certificates; files.c. Blocks. */

#include "core/err.h"
#include "crypto/p256.h"

#define ACME_FILE_MAX ((size_t)1 << 20)

/* What may be a file's name and a host: DNS names in lower case, and IP literals. */
bool acme_is_name(struct str name);
/* The account's key, made if there is none. */
MUST_USE int acme_load_account(struct str dir, struct p256_key **out, struct err *err);
/*
 * Key and chain as one PEM text, checked: for the name, of the key, good now. *found false: nothing
 * there that could be used.
 */
MUST_USE int acme_load_cert(struct str dir, struct str name, struct buf *pem, bool *found,
                            struct err *err);
MUST_USE int acme_save_cert(struct str dir, struct str name, struct str pem, struct err *err);
