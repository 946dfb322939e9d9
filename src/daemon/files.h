#pragma once

/* Files the server keeps: keys and certificates, made once, readable by nobody else. */

#include "core/buf.h"
#include "core/err.h"
#include "crypto/keys.h"

/* Makes the folder and its parents, 0700; fine if it is there. */
MUST_USE int dir_make(struct str path, struct err *err);
/* Makes the folder that a file is to be in. */
MUST_USE int dir_make_for(struct str file_path, struct err *err);
/* Appends the file to `out`, as much as that may hold; *found false (and 0) when there is none. */
MUST_USE int file_read(struct str path, struct buf *out, bool *found, struct err *err);
/* Writes a new file beside and renames it over: whole or not at all, on disk when it returns. 0600.
 */
MUST_USE int file_write_secret(struct str path, struct str text, struct err *err);

/*
 * The key in the file, "privkey:" and 64 hex digits; made and stored when there is no file. A file
 * that others may read is refused.
 */
MUST_USE int key_file_machine(struct str path, struct machine_private *out, struct err *err);
MUST_USE int key_file_node(struct str path, struct node_private *out, struct err *err);
