#pragma once

/* `hatsize serve`: the parts wired together, from configuration to shutdown. */

#include "config/options.h"

/*
 * Runs the server until SIGINT or SIGTERM. Returns the exit status: 0 after an orderly end, 1 when
 * it could not start (the log says why).
 */
int serve(const struct config *config);
