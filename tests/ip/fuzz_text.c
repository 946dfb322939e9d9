/*
 * Formatting undoes parsing: what a parser accepts has one canonical text, and that text reads back
 * as the same value. And the C library agrees about what an address is.
 */

#include <arpa/inet.h>

#include "ip/addrport.h"
#include "ip/ports.h"
#include "ip/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LAW(type, in, parse, put, eq)                                    \
    do {                                                                 \
        struct type got_ = {0}, again_ = {0};                            \
                                                                         \
        if (parse((in), &got_)) {                                        \
            AUTO_FINI(buf_fini) struct buf text_ = BUF(200);             \
            AUTO_FINI(buf_fini) struct buf more_ = BUF(200);             \
                                                                         \
            put(&text_, got_);                                           \
            ASSERT(!buf_is_full(&text_));                                \
            ASSERT(parse(buf_str(&text_), &again_) && eq(got_, again_)); \
            put(&more_, again_);                                         \
            ASSERT(str_eq(buf_str(&text_), buf_str(&more_)));            \
        }                                                                \
    } while (0)

static void agrees_with_libc(struct str in)
{
    char text[64];
    struct ip_addr got = {0};
    uint8_t theirs[16] = {0};

    if (in.len >= sizeof(text) || str_find_char(in, 0) >= 0)
        return;
    memcpy(text, in.ptr, in.len);
    text[in.len] = 0;

    bool ours = ip_addr_parse(in, &got);
    int v4 = inet_pton(AF_INET, text, theirs);
    int v6 = v4 == 1 ? 0 : inet_pton(AF_INET6, text, theirs);

    ASSERT(ours == (v4 == 1 || v6 == 1));
    if (ours) {
        ASSERT(got.family == (v4 == 1 ? IP_V4 : IP_V6));
        ASSERT(memcmp(theirs, got.bytes, sizeof(theirs)) == 0);
    }
}

static bool parse_ports(struct str in, struct ip_ports *out)
{
    return ip_ports_parse(in, out) == IP_PORTS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_bytes(size ? (const char *)data : "", size);

    LAW(ip_addr, in, ip_addr_parse, ip_addr_put, ip_addr_eq);
    LAW(ip_addrport, in, ip_addrport_parse, ip_addrport_put, ip_addrport_eq);
    LAW(ip_prefix, in, ip_prefix_parse, ip_prefix_put, ip_prefix_eq);
    LAW(ip_prefix, in, ip_prefix_parse_or_addr, ip_prefix_put_short, ip_prefix_eq);
    LAW(ip_range, in, ip_range_parse_any, ip_range_put, ip_range_eq);
    LAW(ip_ports, in, parse_ports, ip_ports_put, ip_ports_eq);
    agrees_with_libc(in);
    return 0;
}
