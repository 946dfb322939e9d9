#pragma once

/*
 * The door of a program that strangers reach: connections that are nothing yet. Handshakes of TLS,
 * headers that are still to come, pages and probes that are kept open; until they are upgraded to
 * something that has limits of its own.
 *
 *   accepted --door_enter--> guest --upgraded, or gone--> no longer
 *      |                       |
 *      |                       +-- too many: the oldest is dropped
 *      +-- too many at a time, or the door is shut: closed
 *
 * Rules
 *   1. There are at most `max_guests` guests, a part of them on each loop. The newest always comes
 *      in: who means it is through within a moment, who only sits there is the oldest sooner or
 *      later.
 *   2. An address (/64 for IPv6) that has half of a loop's places or more makes room itself: a
 *      crowd from one place does not push the others out.
 *   3. door_enter_paced takes from a bucket that all loops share: it holds `accept_burst`
 *      connections and fills at `accepts_per_second`.
 *
 * door_enter belongs to the stream's loop, door_set_max_guests to its own; door_shut to anybody.
 */

#include "http/server.h"

struct door;

struct door_options {
    struct loop *const *loops; /* array copied; every stream's loop is among them */
    size_t n_loops;
    size_t max_guests;         /* of all loops together; each has at least two */
    double accepts_per_second; /* INFINITY: no limit; 0: nobody */
    int64_t accept_burst;      /* at least one */
};

MUST_USE struct door *door_new(const struct door_options *options);
/* When its loops have been freed. NULL is fine. */
void door_free(struct door *door);
/* Serves HTTP on the stream, which it takes, as http_serve. False: it was refused and is gone. */
bool door_enter(struct door *door, struct http_server *server, struct stream *stream);
/* The same at the pace that the options allow. */
bool door_enter_paced(struct door *door, struct http_server *server, struct stream *stream);
/* Another max_guests, of all loops together, of which this loop takes its part. On the loop. */
void door_set_max_guests(struct door *door, const struct loop *loop, size_t n);
/* Nobody comes in from now on; who is in stays. */
void door_shut(struct door *door);
/* Of the loop with this number. */
size_t door_guests(const struct door *door, size_t loop);
