#include "ip/ports.h"

static enum ip_ports_why parse_port(struct str text, uint16_t *out)
{
    uint64_t v = 0;

    if (text.len == 0)
        return IP_PORTS_NOT_NUMBER;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return IP_PORTS_NOT_NUMBER;
    if (!str_parse_u64(text, &v) || v > UINT16_MAX)
        return IP_PORTS_OUT_OF_RANGE;
    *out = (uint16_t)v;
    return IP_PORTS_OK;
}

enum ip_ports_why ip_ports_parse(struct str text, struct ip_ports *out)
{
    struct ip_ports p = {0};
    struct str first, last;
    enum ip_ports_why why;

    if (str_eq(text, STR("*"))) {
        *out = IP_PORTS_ALL;
        return IP_PORTS_OK;
    }
    bool is_range = str_split(text, '-', &first, &last);

    if (is_range && str_find_char(last, '-') >= 0)
        return IP_PORTS_FORMAT;
    why = parse_port(first, &p.first);
    if (why != IP_PORTS_OK)
        return why;
    if (!is_range && p.first == 0)
        return IP_PORTS_ZERO;
    p.last = p.first;
    if (is_range)
        why = parse_port(last, &p.last);
    if (why != IP_PORTS_OK)
        return why;
    if (p.last < p.first)
        return IP_PORTS_BACKWARDS;
    *out = p;
    return IP_PORTS_OK;
}

enum ip_ports_why ip_ports_parse_list(struct str text, struct ip_ports *out, size_t cap, size_t *n,
                                      struct str *bad)
{
    size_t count = 0;
    struct str item;
    bool more;

    do {
        struct ip_ports p = {0};

        more = str_split(text, ',', &item, &text);

        enum ip_ports_why why = ip_ports_parse(item, &p);

        if (why != IP_PORTS_OK) {
            if (bad)
                *bad = item;
            return why;
        }
        if (count < cap)
            out[count] = p;
        count++;
    } while (more);
    *n = count;
    return IP_PORTS_OK;
}

void ip_ports_put(struct buf *out, struct ip_ports p)
{
    if (ip_ports_eq(p, IP_PORTS_ALL)) {
        buf_put_char(out, '*');
        return;
    }
    buf_put_u64(out, p.first);
    if (p.last == p.first && p.first != 0)
        return;
    buf_put_char(out, '-');
    buf_put_u64(out, p.last);
}

bool ip_ports_contains(struct ip_ports p, uint16_t port)
{
    return p.first <= port && port <= p.last;
}

bool ip_ports_eq(struct ip_ports a, struct ip_ports b)
{
    return a.first == b.first && a.last == b.last;
}
