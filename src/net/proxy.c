/* See proxy.h. */

#include "net/proxy.h"

#include <string.h>

#include "core/defs.h"

#define V2_FIXED 16
#define V2_LOCAL 0x20
#define V2_PROXY 0x21

static const struct str signature = STR_INIT("\r\n\r\n\0\r\nQUIT\n");

/* ---- Version 1 ---- */

static bool read_port(struct str text, uint16_t *port)
{
    uint64_t v = 0;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[0] == '0') ||
        !str_parse_u64(text, &v) || v > UINT16_MAX)
        return false;
    *port = (uint16_t)v;
    return true;
}

static bool read_v1_addresses(struct str rest, uint8_t family, struct proxy_header *h)
{
    struct str from, to, from_port, to_port;

    return str_split(rest, ' ', &from, &rest) && str_split(rest, ' ', &to, &rest) &&
           str_split(rest, ' ', &from_port, &to_port) && ip_addr_parse(from, &h->from.addr) &&
           ip_addr_parse(to, &h->to.addr) && h->from.addr.family == family &&
           h->to.addr.family == family && read_port(from_port, &h->from.port) &&
           read_port(to_port, &h->to.port);
}

static enum proxy_decode decode_v1(struct str in, struct proxy_header *out, size_t *used)
{
    struct proxy_header h = {0};
    ptrdiff_t end = str_find(str_sub(in, 0, PROXY_V1_MAX), STR("\r\n"));
    struct str line;

    if (end < 0)
        return in.len < PROXY_V1_MAX ? PROXY_MORE : PROXY_BROKEN;
    line = str_sub(in, 6, (size_t)end - 6);
    if (str_starts(line, STR("TCP4 "))) {
        if (!read_v1_addresses(str_from_index(line, 5), IP_V4, &h))
            return PROXY_BROKEN;
    } else if (str_starts(line, STR("TCP6 "))) {
        if (!read_v1_addresses(str_from_index(line, 5), IP_V6, &h))
            return PROXY_BROKEN;
    } else if (!str_eq(line, STR("UNKNOWN")) && !str_starts(line, STR("UNKNOWN "))) {
        return PROXY_BROKEN;
    }
    *out = h;
    *used = (size_t)end + 2;
    return PROXY_OK;
}

/* ---- Version 2 ---- */

static struct ip_addr addr_at(struct str in, size_t at, uint8_t family)
{
    struct ip_addr addr = {.family = family};

    memcpy(addr.bytes, in.ptr + at, family == IP_V4 ? 4 : 16);
    return addr;
}

static enum proxy_decode decode_v2(struct str in, struct proxy_header *out, size_t *used)
{
    struct proxy_header h = {0};
    size_t len;

    if (in.len < V2_FIXED)
        return PROXY_MORE;
    uint8_t command = (uint8_t)in.ptr[12], kind = (uint8_t)in.ptr[13];

    len = str_be16(in, 14);
    if ((command != V2_LOCAL && command != V2_PROXY) || len > PROXY_HEADER_MAX - V2_FIXED)
        return PROXY_BROKEN;
    if (in.len < V2_FIXED + len)
        return PROXY_MORE;
    /* High half: 1 IPv4, 2 IPv6; low half: 1 stream. Others carry nobody that we could name. */
    if (command == V2_PROXY && (kind == 0x11 || kind == 0x21)) {
        uint8_t family = kind == 0x11 ? IP_V4 : IP_V6;
        size_t size = family == IP_V4 ? 4 : 16;

        if (len < 2 * size + 4)
            return PROXY_BROKEN;
        h.from =
            (struct ip_addrport){addr_at(in, V2_FIXED, family), str_be16(in, V2_FIXED + 2 * size)};
        h.to = (struct ip_addrport){addr_at(in, V2_FIXED + size, family),
                                    str_be16(in, V2_FIXED + 2 * size + 2)};
    }
    *out = h;
    *used = V2_FIXED + len;
    return PROXY_OK;
}

enum proxy_decode proxy_header_decode(struct str in, struct proxy_header *header, size_t *used)
{
    struct proxy_header h = {0};
    size_t n = 0;
    enum proxy_decode got = PROXY_BROKEN;

    if (str_starts(str_sub(signature, 0, in.len), str_sub(in, 0, signature.len)))
        got = in.len < signature.len ? PROXY_MORE : decode_v2(in, &h, &n);
    else if (str_starts(in, STR("PROXY ")))
        got = decode_v1(in, &h, &n);
    else if (in.len < 6 && str_starts(STR("PROXY "), in))
        got = PROXY_MORE;
    if (got != PROXY_OK)
        return got;
    h.from.addr = ip_addr_unmap(h.from.addr);
    h.to.addr = ip_addr_unmap(h.to.addr);
    *header = h;
    *used = n;
    return PROXY_OK;
}
