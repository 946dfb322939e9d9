#pragma once

/* Key files of the server: made once, readable by nobody else. */

#include "core/file.h"
#include "crypto/keys.h"

/*
 * The key in the file, "privkey:" and 64 hex digits; made and stored when there is no file. A file
 * that others may read is refused.
 */
MUST_USE int key_file_machine(struct str path, struct machine_private *out, struct err *err);
MUST_USE int key_file_node(struct str path, struct node_private *out, struct err *err);
