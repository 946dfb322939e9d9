#pragma once

/*
 * The REST API v1 in headscale's shapes, for the CLI, for scripts and for the consoles that exist.
 * Reads come from a loop's newest view, writes are commands to the registrar.
 *
 * Two doors lead here: the Unix socket, whose file mode is the lock, and the main port, where each
 * request brings a key (auth/caller.h). Which calls there are, what they take and what they answer
 * is one table (operations.c); the document at /api/v1/openapi.json is written from the same table.
 *
 * Source: headscale.md 3.1 to 3.5, console.md 6.
 */

#include "control/control.h"
#include "http/server.h"

struct api;

struct api_options {
    struct control *control;
    const char *version;
    struct str server_url; /* http(s)://host[:port]: whose pages may act for a session; copied */
    bool policy_from_file; /* the first tailnet's; then it cannot be set here */
    /* Pages of these origins may call from a browser ("https://ui.example"); "*": of all. Copied.
     */
    struct str_list origins;
};
MUST_USE struct api *api_new(const struct api_options *options);
/* Its worker, for what would hold a loop up; NULL: there is none. Borrowed. */
struct worker_pool *api_pool(const struct api *api);
/* Ends what runs beside the loops; before they are freed. */
void api_stop(struct api *api);
void api_free(struct api *api);

enum api_door { API_DOOR_SOCKET, API_DOOR_NETWORK };
/*
 * The routes of a door, borrowed for the api's life. Their handlers want the api as the server's
 * user pointer; a server whose user is something else copies the rows, puts a handler of its own in
 * them and calls api_serve from it.
 */
const struct http_route *api_routes(const struct api *api, enum api_door door, size_t *n);
/* Answers a request that came on one of the routes: http_handler_fn. */
void api_serve(void *api, struct http_exchange *x, const struct http_request *req);
/*
 * How much of a body is taken of who sends these headers: all its call allows of a caller whose key
 * is known by its prefix, API_STRANGER_BODY_MAX of anybody else.
 */
#define API_STRANGER_BODY_MAX ((size_t)64 << 10)
size_t api_body_limit(const struct api *api, const struct http_request *req);
/* The server's version as JSON, also for the outer door's /version. */
void api_put_version(struct buf *out, const char *version);
