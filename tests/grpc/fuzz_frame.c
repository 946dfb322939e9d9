/*
 * Laws of frames: cutting a stream never changes what is decoded before the cut, what is decoded
 * lies inside what came, and what is written is read back.
 */

#include "core/defs.h"
#include "grpc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct str in = str_bytes(data + 1, size - 1), rest = in;
    struct str cut = str_sub(in, 0, in.len * data[0] / 256);
    struct str message = STR_NONE, early = STR_NONE;
    size_t used = 0, early_used = 0;

    enum grpc_frame whole = grpc_frame_read(in, 64, &message, &used);
    enum grpc_frame part = grpc_frame_read(cut, 64, &early, &early_used);

    ASSERT(part == GRPC_FRAME_MORE || part == whole);
    if (part == GRPC_FRAME_OK)
        ASSERT(early_used == used && str_eq(early, message));
    while (grpc_frame_read(rest, 64, &message, &used) == GRPC_FRAME_OK) {
        struct buf again = BUF(256);

        ASSERT(used == message.len + GRPC_FRAME_HEADER && used <= rest.len && message.len <= 64);
        grpc_frame_put(&again, message);
        ASSERT(str_eq(buf_str(&again), str_sub(rest, 0, used)));
        buf_fini(&again);
        rest = str_from_index(rest, used);
    }
    return 0;
}
