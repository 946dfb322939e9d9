/* See route_id.h. */

#include "tailnet/route_id.h"

#include <inttypes.h>

#include "core/buf.h"
#include "crypto/hash.h"

uint64_t route_id(node_id node, struct ip_prefix prefix)
{
    uint8_t hash[HASH_BYTES];
    struct buf text = BUF(128);

    buf_printf(&text, "route %" PRIu64 " ", node);
    ip_prefix_put(&text, ip_prefix_masked(prefix));
    sha256(buf_str(&text), hash);
    buf_fini(&text);
    uint64_t id = str_be64(str_bytes(hash, sizeof(hash)), 0) >> 11;
    return id > 0 ? id : 1;
}
