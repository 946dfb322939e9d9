#pragma once

/* A server that the bench starts itself, so that it can be ended and started anew. */

#include "core/err.h"

/* Starts `command` (words between blanks, no quoting). It ends when we do. Its pid, or an error. */
MUST_USE int own_server_start(const char *command, long *pid, struct err *err);
/* Until it answers GET {url}/key. */
MUST_USE int own_server_wait(const char *url, long pid, struct err *err);
/* Asks it to end and waits for that; after a minute it is made to. Whether it ended in order. */
MUST_USE bool own_server_end(long pid);
/* By SIGKILL. */
void own_server_kill(long pid);
