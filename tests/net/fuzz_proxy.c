/* Cutting a stream never changes what is decoded; a header has its bounds, and nothing waits for
 * more than they allow. */

#include "core/defs.h"
#include "net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct str in = {(const char *)data + 1, size - 1};
    struct str cut = str_sub(in, 0, in.len * data[0] / 256);
    struct proxy_header whole = {0}, part = {0};
    size_t used = 0, part_used = 0;
    enum proxy_decode got = proxy_header_decode(in, &whole, &used);
    enum proxy_decode early = proxy_header_decode(cut, &part, &part_used);

    if (got == PROXY_OK)
        ASSERT(used > 0 && used <= in.len && used <= PROXY_HEADER_MAX &&
               ip_addr_is_set(whole.from.addr) == ip_addr_is_set(whole.to.addr));
    if (in.len >= PROXY_HEADER_MAX)
        ASSERT(got != PROXY_MORE);
    ASSERT(early == PROXY_MORE || early == got);
    if (early == PROXY_OK)
        ASSERT(part_used == used && ip_addrport_eq(part.from, whole.from));
    return 0;
}
