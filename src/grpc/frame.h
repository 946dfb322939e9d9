#pragma once

/*
 * gRPC's messages on a stream of bytes: a byte of flags, the length as 32 bits big-endian, the
 * message.
 *
 * Source: grpc PROTOCOL-HTTP2.md, "Length-Prefixed-Message".
 */

#include "core/buf.h"
#include "core/str.h"

#define GRPC_FRAME_HEADER 5 /* bytes */

enum grpc_frame {
    GRPC_FRAME_OK,
    GRPC_FRAME_MORE,       /* call again with more bytes */
    GRPC_FRAME_COMPRESSED, /* only what is not compressed is read here */
    GRPC_FRAME_TOO_LONG,
    GRPC_FRAME_BROKEN, /* flags that mean nothing */
};

/*
 * Reads the message at the front of `in`; at most `limit` bytes long. On OK *message points into
 * `in` and *used is how many bytes of it to drop; else neither is set. A message that is refused is
 * refused by its header, before its bytes are there.
 */
MUST_USE enum grpc_frame grpc_frame_read(struct str in, size_t limit, struct str *message,
                                         size_t *used);
/* The one message that a whole body holds; MORE: it is cut short, or empty. *more: others follow.
 */
MUST_USE enum grpc_frame grpc_frame_only(struct str body, size_t limit, struct str *message,
                                         bool *more);
void grpc_frame_put(struct buf *out, struct str message);
