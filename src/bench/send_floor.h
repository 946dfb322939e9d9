#pragma once

/*
 * The floor under a fan-out: sealing a message for each viewer under a key of its own and handing it
 * to a TCP connection on loopback, and nothing else.
 */

#include "core/err.h"

/* Microseconds of CPU a viewer: means over several rounds. */
struct send_floor {
    double cipher_us;
    double send_us;
};
/* `bytes` of plain text to each of `viewers` (fewer when sockets get short). */
MUST_USE int send_floor_measure(size_t viewers, size_t bytes, struct send_floor *out,
                                struct err *err);
