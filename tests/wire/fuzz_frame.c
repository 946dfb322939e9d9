/* Frames. Laws: cutting a stream never changes what is decoded; what is put comes back. */

#include "wire/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in, cut, whole = STR_NONE, part = STR_NONE;
    size_t used = 0, part_used = 0;
    struct buf out = BUF(0);

    if (size < 1)
        return 0;
    in = str_bytes(data + 1, size - 1);
    cut = str_sub(in, 0, in.len * data[0] / 256);

    enum wire_frame got = wire_frame_decode(in, 1024, &whole, &used);
    enum wire_frame early = wire_frame_decode(cut, 1024, &part, &part_used);

    if (got == WIRE_FRAME_OK)
        ASSERT(used <= in.len && whole.len + 4 == used && whole.len <= 1024);
    ASSERT(early == WIRE_FRAME_MORE || early == got);
    if (early == WIRE_FRAME_OK)
        ASSERT(part_used == used && str_eq(part, whole));

    wire_frame_put(&out, in, false);
    ASSERT(wire_frame_decode(buf_str(&out), in.len, &whole, &used) == WIRE_FRAME_OK);
    ASSERT(used == out.len && str_eq(whole, in));
    buf_fini(&out);
    return 0;
}
