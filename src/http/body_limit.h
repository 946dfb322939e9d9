#pragma once

/*
 * How much of a body is taken before its handler is asked, by what the headers say: strangers need
 * not be let upload what only known callers may send.
 */

#include "http/server.h"

/*
 * Called on the connection's loop when a request's headers are complete and its route is found,
 * with the server's user pointer; `req` has no body and no params yet. The answer, in bytes, counts
 * when it is less than the route's own limit; what is larger is refused with 413. Before the server
 * serves anything.
 */
typedef size_t http_body_limit_fn(void *user, const struct http_request *req,
                                  const struct http_route *route);
void http_server_set_body_limit(struct http_server *server, http_body_limit_fn *fn);
