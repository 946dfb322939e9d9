#pragma once

/*
 * What an operator sees of map streams: figures of every loop, gathered when somebody asks.
 *
 *   loops[0] (the request) --> loops[0] --> loops[1] … --> loops[0] (the answer)
 *
 * One message goes from loop to loop and each adds its rows, so a question costs a loop its own
 * streams once and nothing waits.
 */

#include "control/control.h"

/* /metrics: everything the process counts, with the gauges of all loops as they are now. No
 * tailnet is named. */
void control_on_metrics(struct control *c, struct http_exchange *x, const struct http_request *req);
/* A table for people: each tailnet on each loop. It names tailnets: for this machine only. */
void control_on_debug_netmap(struct control *c, struct http_exchange *x,
                             const struct http_request *req);
