/* Messages on a stream of bytes. */

#include "grpc/frame.h"

enum grpc_frame grpc_frame_read(struct str in, size_t limit, struct str *message, size_t *used)
{
    if (in.len < 1)
        return GRPC_FRAME_MORE;
    if (in.ptr[0] == 1)
        return GRPC_FRAME_COMPRESSED;
    if (in.ptr[0] != 0)
        return GRPC_FRAME_BROKEN;
    if (in.len < GRPC_FRAME_HEADER)
        return GRPC_FRAME_MORE;
    size_t len = str_be32(in, 1);

    if (len > limit)
        return GRPC_FRAME_TOO_LONG;
    if (in.len - GRPC_FRAME_HEADER < len)
        return GRPC_FRAME_MORE;
    *message = str_sub(in, GRPC_FRAME_HEADER, len);
    *used = GRPC_FRAME_HEADER + len;
    return GRPC_FRAME_OK;
}

enum grpc_frame grpc_frame_only(struct str body, size_t limit, struct str *message, bool *more)
{
    size_t used = 0;
    enum grpc_frame got = grpc_frame_read(body, limit, message, &used);

    *more = got == GRPC_FRAME_OK && used < body.len;
    return got;
}

void grpc_frame_put(struct buf *out, struct str message)
{
    ASSERT(message.len <= UINT32_MAX);
    buf_put_char(out, 0);
    buf_put_be32(out, (uint32_t)message.len);
    buf_put(out, message);
}
