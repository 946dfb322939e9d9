#pragma once

/* What the floor's two engines share. */

#include "bench/derp_internal.h"

#define FLOOR_HELLO 5 /* bytes that a connection begins with: 'S' or 'R', its pair's number */

/* Serve what the listener accepts, for ever. `rests`: after each round, as a loop under load. */
NO_RETURN void floor_serve_epoll(int listener, bool rests);
NO_RETURN void floor_serve_uring(int listener, bool rests);
/* Whether the kernel has what that takes, and lets us. */
MUST_USE bool floor_has_uring(void);

/* A loop under load rests after a round in which it sent on `n` connections: net/load.c's rule. */
unsigned floor_rest_us(size_t n);
