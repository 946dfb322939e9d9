#pragma once

/*
 * Files that a program keeps: read whole, written whole or not at all, readable by nobody else.
 *
 * These block; they are for starting, reloading and worker threads.
 */

#include "core/buf.h"
#include "core/err.h"

/* Makes the folder and its parents, 0700; fine if it is there. */
MUST_USE int dir_make(struct str path, struct err *err);
/* Makes the folder that a file is to be in. */
MUST_USE int dir_make_for(struct str file_path, struct err *err);
/* Appends the file to `out`, as much as that may hold; *found false (and 0) when there is none. */
MUST_USE int file_read(struct str path, struct buf *out, bool *found, struct err *err);
/*
 * Writes a new file beside and renames it over: whole or not at all, on disk when it returns. 0600.
 */
MUST_USE int file_write_secret(struct str path, struct str text, struct err *err);
/* ERR_DENIED when others than the owner may read the file; a file that is not there is fine. */
MUST_USE int file_check_private(struct str path, struct err *err);
