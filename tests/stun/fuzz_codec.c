/*
 * Laws: what is accepted as a request keeps its transaction id through our own encoder; an answer
 * that is accepted encodes again to one that says the same; nothing is both.
 */

#include <string.h>

#include "stun/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_bytes(data, size);
    struct stun_txid txid, again;
    struct ip_addrport seen, same;
    struct buf out = BUF(4096);
    bool is_request = stun_request_decode(in, &txid);

    if (is_request) {
        stun_request_encode(&out, &txid);
        ASSERT(stun_request_decode(buf_str(&out), &again));
        ASSERT(memcmp(txid.b, again.b, sizeof(txid.b)) == 0);
    }
    if (stun_response_decode(in, &txid, &seen)) {
        ASSERT(!is_request);
        buf_clear(&out);
        stun_response_encode(&out, &txid, seen);
        ASSERT(stun_response_decode(buf_str(&out), &again, &same));
        ASSERT(memcmp(txid.b, again.b, sizeof(txid.b)) == 0);
        ASSERT(ip_addrport_eq(same, seen));
    }
    buf_fini(&out);
    return 0;
}
