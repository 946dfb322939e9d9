#pragma once

/*
 * The door: connections that are not clients of the relay, or not yet. Handshakes of TLS, headers
 * that are still to come, pages and probes that are kept open.
 *
 *   accepted --door_enter--> guest --upgraded to DERP, or gone--> no longer
 *                              |
 *                              +-- too many: the oldest is dropped
 *
 * Rules
 *   1. There are at most `max` guests. The newest always comes in: who means it is through within
 *      a moment, who only sits there is the oldest sooner or later.
 *   2. An address (/64 for IPv6) that has half of the places or more makes room itself: a crowd
 *      from one place does not push the others out.
 *
 * A door belongs to its loop.
 */

#include "http/server.h"

struct door;

/* `max` is at least 2. */
MUST_USE struct door *door_new(size_t max);
/* When its loop has been freed. NULL is fine. */
void door_free(struct door *door);
/* Serves HTTP on the stream, which it takes, as http_serve. */
void door_enter(struct door *door, struct http_server *server, struct stream *stream);
size_t door_guests(const struct door *door);
