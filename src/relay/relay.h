#pragma once

/*
 * The stand-alone relay: its options, ports and threads, from start to end.
 */

#include "relay/options.h"

/*
 * Runs the relay until SIGINT or SIGTERM; the options have been checked. Returns the exit status: 0
 * after an orderly end, 1 when it could not start (the log says why).
 */
int relay_run(const struct relay_options *options);
/* The program: reads the command line, says help or version, or runs. */
int relay_main(int argc, char **argv);
