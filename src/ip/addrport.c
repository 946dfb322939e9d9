#include "ip/addrport.h"

bool ip_addrport_parse(struct str text, struct ip_addrport *out)
{
    ptrdiff_t colon = str_rfind_char(text, ':');
    struct ip_addrport ap = {0};
    uint64_t port = 0;

    if (colon < 0)
        return false;

    struct str host = str_sub(text, 0, (size_t)colon);
    struct str digits = str_from_index(text, (size_t)colon + 1);
    bool bracketed = str_starts(host, STR("[")) && str_ends(host, STR("]"));

    if (bracketed)
        host = str_sub(host, 1, host.len - 2);
    if (!ip_addr_parse(host, &ap.addr) || (ap.addr.family == IP_V6) != bracketed)
        return false;
    if (digits.len > 1 && digits.ptr[0] == '0')
        return false;
    if (!str_parse_u64(digits, &port) || port > UINT16_MAX)
        return false;
    ap.port = (uint16_t)port;
    *out = ap;
    return true;
}

void ip_addrport_put(struct buf *out, struct ip_addrport ap)
{
    bool brackets = ap.addr.family == IP_V6;

    if (brackets)
        buf_put_char(out, '[');
    ip_addr_put(out, ap.addr);
    if (brackets)
        buf_put_char(out, ']');
    buf_put_char(out, ':');
    buf_put_u64(out, ap.port);
}

bool ip_addrport_eq(struct ip_addrport a, struct ip_addrport b)
{
    return ip_addrport_cmp(a, b) == 0;
}

int ip_addrport_cmp(struct ip_addrport a, struct ip_addrport b)
{
    int order = ip_addr_cmp(a.addr, b.addr);

    return order ? order : (a.port > b.port) - (a.port < b.port);
}
