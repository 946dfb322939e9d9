#pragma once

/* What the kernel lets this process have. */

#include "core/defs.h"

/*
 * How many files may be open, after asking for as many as may be asked for: a client is a socket,
 * and the usual limit is for programs with fewer.
 */
size_t limits_open_files(void);
