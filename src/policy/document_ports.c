/*
 * Ports and protocols: "host:ports" of acls, "proto:ports" of grants, protocols by name or number
 * (policy.md 4). White space is not trimmed around ports.
 */

#include "policy/document_internal.h"

#include <stdio.h>
#include <string.h>

/* Names of the same number: the first is the one we print. */
static const struct {
    const char *name;
    int proto;
} protos[] = {
    {"icmp", 1}, {"igmp", 2},       {"ipv4", 4},   {"ip-in-ip", 4}, {"tcp", 6},
    {"egp", 8},  {"igp", 9},        {"udp", 17},   {"gre", 47},     {"esp", 50},
    {"ah", 51},  {"ipv6-icmp", 58}, {"sctp", 132}, {"fc", 133},
};

int policy_proto_parse(struct str text)
{
    uint64_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
        if (str_eq_nocase(text, str_from(protos[i].name)))
            return protos[i].proto;
    }
    if (text.len > 3 || str_starts(text, STR("0")) || !str_parse_u64(text, &n) || n > 255)
        return -1;
    return (int)n;
}

const char *policy_proto_name(int proto)
{
    for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
        if (protos[i].proto == proto)
            return protos[i].name;
    }
    return NULL;
}

static bool refuse_proto(struct doc_reader *r, struct str text, struct policy_pos pos)
{
    bool digits = text.len > 0;

    for (size_t i = 0; i < text.len; i++)
        digits = digits && text.ptr[i] >= '0' && text.ptr[i] <= '9';
    if (str_eq(text, STR("*")))
        return doc_refuse(r, pos,
                          "proto name \"*\" not known; use protocol number 0-255 or protocol name "
                          "(icmp, tcp, udp, etc.)");
    if (digits && text.ptr[0] == '0')
        return doc_refuse(r, pos, "leading 0 not permitted in protocol number: %s", QUOTED(text));
    if (digits)
        return doc_refuse(r, pos, "protocol number out of range (0-255): %.*s",
                          (int)MIN(text.len, (size_t)40), text.ptr);
    doc_refuse(r, pos,
               "invalid protocol number: %s must be a known protocol name or valid protocol "
               "number 0-255",
               QUOTED(text));
    return doc_hint(r, "tcp, udp, icmp, ipv6-icmp, sctp, gre, esp, ah, igmp or a number");
}

bool doc_acl_proto(struct doc_reader *r, const struct json_value *v, int *out)
{
    *out = -1;
    if (!v)
        return true;
    if (!json_is(v, JSON_NUMBER) && !doc_is(r, v, JSON_STRING, "proto"))
        return false;
    struct str text = json_is(v, JSON_NUMBER) ? v->raw : v->str;
    if (text.len == 0)
        return true;
    *out = policy_proto_parse(text);
    return *out >= 0 || refuse_proto(r, text, doc_pos(v));
}

/* ---- Ports ---- */

static const char *port_words(enum ip_ports_why why, struct str bad)
{
    struct str head = {0}, tail = {0};
    struct ip_ports ports = {0};

    switch (why) {
    case IP_PORTS_NOT_NUMBER:
        if (str_split(bad, '-', &head, &tail) &&
            ip_ports_parse(head, &ports) != IP_PORTS_NOT_NUMBER)
            return "invalid last integer";
        return "invalid first integer";
    case IP_PORTS_OUT_OF_RANGE:
        return "port number out of range";
    case IP_PORTS_ZERO:
        return "first port must be >0, or use '*' for wildcard";
    case IP_PORTS_BACKWARDS:
        return "invalid port range: first port is greater than last port";
    case IP_PORTS_FORMAT:
    case IP_PORTS_OK:
        break;
    }
    return "invalid port range format";
}

/* `dst` goes before the complaint unless empty. */
static bool read_ports(struct doc_reader *r, struct str dst, struct str text, struct policy_pos pos,
                       struct ip_ports **out, size_t *n)
{
    struct str bad = {0};
    enum ip_ports_why why = ip_ports_parse_list(text, NULL, 0, n, &bad);

    if (why != IP_PORTS_OK) {
        const char *words = port_words(why, bad);

        if (dst.len > 0)
            doc_refuse(r, pos, "dst=%s: port range %s: %s", QUOTED(dst), QUOTED(text), words);
        else
            doc_refuse(r, pos, "port range %s: %s", QUOTED(text), words);
        return doc_hint(r, "ports are \"*\" or a list like 22,80,8000-8080");
    }
    if (!doc_count(r, pos, *n))
        return false;
    *out = NEW_ITEMS(r, struct ip_ports, *n);
    IGNORE(ip_ports_parse_list(text, *out, *n, n, &bad));
    return true;
}

static bool refuse_dst(struct doc_reader *r, struct str dst, struct policy_pos pos,
                       const char *words)
{
    doc_refuse(r, pos, "dst=%s: %s", QUOTED(dst), words);
    return doc_hint(r, "a destination of acls is a selector, a colon and ports: tag:web:80,443");
}

/* "[fd7a::1]" and "[fd7a::1]/64" without the brackets. */
static bool without_brackets(struct doc_reader *r, struct str *host)
{
    struct ip_addr addr = {0};
    ptrdiff_t end = str_find_char(*host, ']');

    if (end < 0)
        return false;
    struct str inner = str_sub(*host, 1, (size_t)end - 1);
    struct str rest = str_from_index(*host, (size_t)end + 1);
    if (!ip_addr_parse(inner, &addr) || addr.family != IP_V6)
        return false;
    if (rest.len > 0 && rest.ptr[0] != '/')
        return false;
    char *joined = NEW_ITEMS(r, char, inner.len + rest.len);
    memcpy(joined, inner.ptr, inner.len);
    if (rest.len > 0)
        memcpy(joined + inner.len, rest.ptr, rest.len);
    *host = (struct str){joined, inner.len + rest.len};
    return true;
}

bool doc_acl_target(struct doc_reader *r, const struct json_value *v, struct policy_target *out)
{
    struct policy_pos pos = doc_pos(v);

    if (!doc_is(r, v, JSON_STRING, "dst"))
        return false;
    struct str host = v->str, ports = {0};
    ptrdiff_t colon = str_rfind_char(host, ':');
    if (colon < 0)
        return refuse_dst(r, v->str, pos, "hostport must contain a colon");
    if (colon == 0)
        return refuse_dst(r, v->str, pos, "input cannot start with a colon character");
    if ((size_t)colon + 1 == host.len)
        return refuse_dst(r, v->str, pos, "input cannot end with a colon character");
    ports = str_from_index(host, (size_t)colon + 1);
    host = str_trim(str_sub(host, 0, (size_t)colon));
    if (str_starts(host, STR("[")) && !without_brackets(r, &host))
        return refuse_dst(r, v->str, pos, "square brackets are only valid around IPv6 addresses");
    return read_ports(r, v->str, ports, pos, &out->ports, &out->n_ports) &&
           doc_ref(r, PLACE_ACL_DST, host, pos, &out->ref);
}

struct str doc_test_host(struct doc_reader *r, struct str text)
{
    ptrdiff_t colon = str_rfind_char(text, ':');

    if (colon <= 0)
        return STR_NONE;
    struct str host = str_trim(str_sub(text, 0, (size_t)colon));
    if (str_starts(host, STR("[")) && !without_brackets(r, &host))
        return STR_NONE;
    return host;
}

/* As Go prints a list of strings: "[tcp 80 90](3)". */
static bool refuse_colons(struct doc_reader *r, struct str text, struct policy_pos pos)
{
    char pieces[200] = "";
    size_t n = 1, len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        n += c == ':';
        if (len + 1 < sizeof(pieces) && (uint8_t)c >= 0x20 && (uint8_t)c < 0x7f)
            pieces[len++] = c == ':' ? ' ' : c;
    }
    return doc_refuse(r, pos,
                      "expected only one colon in Internet protocol and port type, got: [%s](%zu)",
                      pieces, n);
}

bool doc_proto_ports(struct doc_reader *r, const struct json_value *v,
                     struct policy_proto_ports *out)
{
    struct str proto = {0}, ports = {0};

    if (!doc_is(r, v, JSON_STRING, "ip"))
        return false;
    *out = (struct policy_proto_ports){.proto = -1, .pos = doc_pos(v)};
    if (!str_split(v->str, ':', &proto, &ports))
        return read_ports(r, STR_NONE, v->str, out->pos, &out->ports, &out->n_ports);
    if (str_find_char(ports, ':') >= 0)
        return refuse_colons(r, v->str, out->pos);
    out->proto = policy_proto_parse(proto);
    if (out->proto < 0)
        return refuse_proto(r, proto, out->pos);
    return read_ports(r, STR_NONE, ports, out->pos, &out->ports, &out->n_ports);
}
