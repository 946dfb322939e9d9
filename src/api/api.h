#pragma once

/*
 * The REST API v1 in headscale's shapes, as the CLI speaks it over the Unix socket. Reads come from
 * this loop's newest view, writes are commands to the registrar.
 *
 * Every call may name a tailnet with the query parameter `tailnet`; without it the first one is
 * meant. Errors are problem+json: {"title","status","detail","errors"}, and "message" for older
 * clients.
 *
 * Access: only mounted on the Unix socket now, whose file mode is the lock. Source:
 * headscale.md 3.1 to 3.3.
 */

#include "control/control.h"
#include "http/server.h"

struct api;

struct api_options {
    struct control *control;
    const char *version;
    bool policy_from_file; /* the first tailnet's; then it cannot be set here */
};
MUST_USE struct api *api_new(const struct api_options *options);
/* Ends what runs beside the loops; before they are freed. */
void api_stop(struct api *api);
void api_free(struct api *api);
/* Routes whose handlers want the api as the server's user pointer. */
const struct http_route *api_routes(size_t *n);
/* The server's version as JSON, also for the outer door's /version. */
void api_put_version(struct buf *out, const char *version);
