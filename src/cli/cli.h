#pragma once

/*
 * The command line: headscale's words, spoken to the server over its Unix socket.
 *
 *   argv --args--> command and flags --call--> REST v1 --output--> table, JSON or YAML
 *
 * `--config FILE` and `--data-dir DIR` stand before or after any subcommand and find the server's
 * socket the way the server was started. Exit status: 0 done, 1 refused or failed.
 */

#include "config/options.h"

/* `serve` is what `hatsize serve` runs with the loaded configuration. Returns the exit status. */
int cli_main(int argc, char **argv, int (*serve)(const struct config *config));
