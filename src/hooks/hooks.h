#pragma once

/*
 * The thread that owns every endpoint's queue, and the threads that send.
 *
 *   registrar --committed--> hooks_send, hooks_set_endpoints --message--> the hooks' loop
 *                                                                           | queue: due
 *                                                 a worker thread: POST <---+
 *                                                           |
 *   registrar <--on_done: these may be deleted--- settled <-+
 */

#include "core/err.h"
#include "tailnet/view.h"

struct hooks;

struct hooks_options {
    bool allow_local;    /* endpoints on this machine and link-local ones */
    const char *ca_file; /* PEM, for tests; NULL: the system's authorities. Borrowed */
    /* Deliveries that were taken, or given up; on the hooks' thread. */
    void (*on_done)(void *user, const uint64_t *ids, size_t n);
    void *user;
};
MUST_USE int hooks_new(const struct hooks_options *options, struct hooks **out, struct err *err);
/* Ends what is under way; on_done is not called any more. What follows is taken and forgotten. */
void hooks_stop(struct hooks *h);
void hooks_free(struct hooks *h);

/* The endpoints of the tailnet are the view's from now on; NULL: it has none. Any thread. */
void hooks_set_endpoints(struct hooks *h, tailnet_id tailnet, const struct tailnet_view *view);
/* Refers to it. Those of unknown endpoints are done at once. Any thread, in order. */
void hooks_send(struct hooks *h, const struct delivery *d);
