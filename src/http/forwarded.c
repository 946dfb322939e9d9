/* See forwarded.h. */

#include "http/forwarded.h"

static bool is_proxy(struct ip_addr addr, const struct ip_prefix *proxies, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ip_prefix_contains(proxies[i], addr))
            return true;
    return false;
}

/* Some add the port, and brackets then. */
static bool read_address(struct str text, struct ip_addr *out)
{
    struct ip_addrport ap;
    struct ip_addr addr;

    text = str_trim(text);
    if (ip_addrport_parse(text, &ap))
        addr = ap.addr;
    else if (text.len > 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']' &&
             ip_addr_parse(str_sub(text, 1, text.len - 2), &addr) && addr.family == IP_V6)
        ;
    else if (!ip_addr_parse(text, &addr))
        return false;
    *out = ip_addr_unmap(addr);
    return true;
}

/* The last entry, which is taken off the list. */
static struct str take_last(struct str *list)
{
    ptrdiff_t comma = str_rfind_char(*list, ',');
    struct str last = str_from_index(*list, (size_t)(comma + 1));

    *list = comma < 0 ? STR_NONE : str_sub(*list, 0, (size_t)comma);
    return last;
}

/* Each proxy adds whom it heard at the end, in the last of the headers. */
static bool from_list(const struct http_request *req, const struct ip_prefix *proxies, size_t n,
                      struct ip_addr *out)
{
    for (size_t i = req->n_headers; i-- > 0;) {
        struct str list = req->headers[i].value;

        if (!str_eq(req->headers[i].name, STR("x-forwarded-for")))
            continue;
        while (list.len > 0) {
            if (!read_address(take_last(&list), out))
                return false;
            if (!is_proxy(*out, proxies, n))
                return true;
        }
    }
    return false;
}

struct ip_addrport http_forwarded_peer(const struct http_request *req, struct ip_addrport peer,
                                       const struct ip_prefix *proxies, size_t n_proxies)
{
    struct ip_addr addr;

    if (!ip_addr_is_set(peer.addr) || !is_proxy(ip_addr_unmap(peer.addr), proxies, n_proxies))
        return peer;
    if (read_address(http_header_get(req, STR("true-client-ip")), &addr) ||
        read_address(http_header_get(req, STR("x-real-ip")), &addr) ||
        from_list(req, proxies, n_proxies, &addr))
        return (struct ip_addrport){.addr = addr};
    return peer;
}
