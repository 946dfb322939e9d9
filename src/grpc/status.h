#pragma once

/*
 * gRPC's status: what a call ended with, and how it is said in HTTP/2's fields.
 *
 * Source: grpc PROTOCOL-HTTP2.md ("Status-Message", "TimeoutValue"), statuscodes.md; headscale.md
 * 3.4 for the table between them and HTTP's.
 */

#include "core/buf.h"
#include "core/str.h"

enum grpc_code {
    GRPC_OK = 0,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16, /* the last there is */
};

/* Of an answer that says nothing but an HTTP status. */
enum grpc_code grpc_code_of_http(int status);
/* Printable ASCII as it is, everything else and '%' as %XX. */
void grpc_put_message(struct buf *out, struct str text);
/* "100m", "5S": up to eight digits and a unit, in milliseconds, rounded up. False: no timeout. */
MUST_USE bool grpc_parse_timeout(struct str text, int64_t *ms);
/* Whether a content type is gRPC's with protobuf messages: application/grpc, …+proto. */
bool grpc_is_proto(struct str content_type);
