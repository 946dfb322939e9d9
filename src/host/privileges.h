#pragma once

/* Giving up what only the start needed. */

#include "core/err.h"
#include "core/str.h"

/*
 * Becomes `user` with that user's group alone (empty: stays who it is), asks the kernel for no new
 * privileges ever and drops every capability. Before other threads are started: each thread has
 * its own. A user who cannot be become is an error; a kernel that lacks one of the other steps is
 * told of in the log, and we go on.
 */
MUST_USE int privileges_drop(struct str user, struct err *err);
/*
 * For a server that is started as root and opens files and ports first: becomes `user` for good,
 * and keeps one capability, to bind ports below 1024, until privileges_drop. Makes the folders
 * (0700) that are not there, and gives those to the user. Without effect for whoever is not root.
 */
MUST_USE int privileges_become(struct str user, const struct str *folders, size_t n,
                               struct err *err);
