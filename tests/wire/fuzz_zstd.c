/* Compression. Laws: bad input leaves the output as it was and good input stays in its limit; what
 * is compressed comes back, also split in two frames at any place. */

#include "wire/response.h"

#define LIMIT ((size_t)1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf back = BUF(0), out = BUF(0);
    struct err err = {0};
    struct str in;

    buf_put(&back, STR("x"));
    if (wire_decompress(str_bytes(data, size), LIMIT, &back, &err) < 0)
        ASSERT(back.len == 1 && err.text[0]);
    else
        ASSERT(back.len <= LIMIT + 1);
    if (size > 0) {
        size_t at;

        in = str_bytes(data + 1, size - 1);
        at = in.len * data[0] / 256;
        ASSERT(wire_compress(str_sub(in, 0, at), 1, &out, &err) == 0);
        ASSERT(wire_compress(str_from_index(in, at), 3, &out, &err) == 0);
        buf_clear(&back);
        ASSERT(wire_decompress(buf_str(&out), in.len, &back, &err) == 0);
        ASSERT(str_eq(buf_str(&back), in));
    }
    buf_fini(&back);
    buf_fini(&out);
    return 0;
}
