/* What a connection is to, as people write it. */

#include "api/api_internal.h"

/* Outputs are untouched where it is none. */
static bool parse_port(struct str text, int *port, int *proto)
{
    struct str number, name;
    int named = *proto;
    uint64_t n = 0;

    if (str_split(text, '/', &number, &name))
        named = policy_proto_parse(name);
    bool is_any = str_eq(number, STR("*"));
    if (named < 0 || (!is_any && (!str_parse_u64(number, &n) || n > UINT16_MAX)))
        return false;
    *proto = named;
    *port = is_any ? -1 : (int)n;
    return true;
}

void api_parse_target(struct str text, struct str *dst, int *port, int *proto)
{
    ptrdiff_t colon = str_rfind_char(text, ':'), close = str_find_char(text, ']');
    struct ip_prefix whole;

    *dst = text;
    *port = -1;
    *proto = 6;
    if (str_starts(text, STR("["))) {
        struct str rest = str_from_index(text, (size_t)(close + 1));

        if (close < 0)
            return;
        if (rest.len == 0 ||
            (rest.ptr[0] == ':' && parse_port(str_from_index(rest, 1), port, proto)))
            *dst = str_sub(text, 1, (size_t)close - 1);
        return;
    }
    if (colon > 0 && !ip_prefix_parse_or_addr(text, &whole) &&
        parse_port(str_from_index(text, (size_t)colon + 1), port, proto))
        *dst = str_sub(text, 0, (size_t)colon);
}
