#pragma once

/*
 * Asking routers whether they are still there. A machine can hold its connection and be of no use:
 * stopped, out of memory, cut off but for old packets. Of those that could serve a subnet together
 * with others each is sent a PingRequest every so often, which a client answers by asking for the
 * request's URL (protocol.md 15.1, headscale.md 6).
 *
 *   every interval --> whom to ask? (registrar) --none--> nothing happens
 *        |
 *        +--> a ping on each one's map stream --URL asked for--> it answers
 *                      |
 *                      +--not within the timeout--> asked once more --not again--> silent
 *
 * Who falls silent hands its routes over (COMMAND_NODE_PROBED), who answers again may serve again.
 * Asking twice costs a timeout and keeps a router that was only busy. Who has just connected, or
 * still waits for its first map, is not asked.
 *
 * One timer and a look at the routes of several routers; nothing per node, nothing at all when no
 * subnet has two. All of it lives on the first loop; answers come on any.
 */

#include "control/hub.h"

struct prober;

struct prober_options {
    struct loop *const *loops;
    struct hub *const *hubs; /* by loop */
    size_t n_loops;
    struct str server_url;
    int64_t interval_ms; /* 0: never */
    int64_t timeout_ms;
};
MUST_USE struct prober *prober_new(const struct prober_options *options);
void prober_set_registrar(struct prober *p, struct registrar *registrar);
/* On the first loop. */
void prober_set_times(struct prober *p, int64_t interval_ms, int64_t timeout_ms);
/* The loops have stopped. */
void prober_stop(struct prober *p);
/* After the loops are freed. NULL is fine. */
void prober_free(struct prober *p);

/* What a ping is called; NUL-terminated. Half of it proves that it is one of this prober's. */
#define PROBER_ID_BYTES 16
void prober_make_id(const struct prober *p, char id[2 * PROBER_ID_BYTES + 1]);
/* Somebody asked for the URL with this id; on any loop. False: that is no id of ours. */
MUST_USE bool prober_answered(struct prober *p, struct str id);
