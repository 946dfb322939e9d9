#pragma once

/*
 * headscale.v1.HeadscaleService, as headscale served it up to 0.29: for its command line over the
 * network and over the Unix socket, and for consoles that speak gRPC.
 *
 * Every call is one of REST v1's, as it was with headscale's gateway, only the other way around:
 *
 *   message --grpc_serve--> request of REST --api_serve--> the gate, the handler
 *      client <-- message and status <-- answer or problem <--+
 *
 * So who calls, what he may, what the audit log says and what a refusal says is the api room's.
 *
 * Source: headscale.md 3.7.
 */

#include "api/api.h"

struct grpc;

/* The api is borrowed. */
MUST_USE struct grpc *grpc_new(struct api *api);
/* When no exchange is left. NULL is fine. */
void grpc_free(struct grpc *grpc);
/*
 * The routes of a door, borrowed for the life of `grpc`: on the socket the service and what tells
 * of it, beside REST's; on the network the service and everything else there, which is answered in
 * gRPC's way. Handlers as in api_routes: they want the grpc as the server's user pointer, or
 * somebody calls grpc_serve for them.
 */
const struct http_route *grpc_routes(const struct grpc *grpc, enum api_door door, size_t *n);
void grpc_serve(void *grpc, struct http_exchange *x, const struct http_request *req);
