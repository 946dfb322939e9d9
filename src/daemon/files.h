#pragma once

/* Key files of the server: made once, readable by nobody else. */

#include "core/file.h"
#include "crypto/keys.h"
#include "crypto/p256.h"

/*
 * The key in the file, "privkey:" and 64 hex digits; made and stored when there is no file. A file
 * that others may read is refused.
 */
MUST_USE int key_file_machine(struct str path, struct machine_private *out, struct err *err);
MUST_USE int key_file_node(struct str path, struct node_private *out, struct err *err);
/* Likewise a PEM file with the key that signs ID tokens, beside the file of another key. */
#define KEY_FILE_ID_TOKEN "id_token_private.pem"
MUST_USE int key_file_id_token(struct str beside, struct p256_key **out, struct err *err);
