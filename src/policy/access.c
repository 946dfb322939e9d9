/* Sets of protocols and ports. See access_internal.h. */

#include "policy/access_internal.h"

#include <stdlib.h>

#include "core/mem.h"
#include "policy/document.h"
#include "policy/reach_internal.h"

/* Ranges of one protocol that are written out; the rest is counted. */
#define WORDS_MAX 16

void access_fini(struct access *a)
{
    mem_free(a->items);
    *a = (struct access){0};
}

void access_clear(struct access *a)
{
    a->len = 0;
}

static void push(struct access *a, int proto, struct ip_ports ports)
{
    a->items = mem_room(a->items, a->len, &a->cap, 8, sizeof *a->items);
    a->items[a->len++] = (struct access_item){(uint16_t)proto, ports};
}

static void add_proto(struct access *a, int proto, const struct ip_ports *ports, size_t n)
{
    if (n && !reach_has_ports(proto)) {
        push(a, proto, IP_PORTS_ALL);
        return;
    }
    for (size_t i = 0; i < n; i++)
        push(a, proto, ports[i]);
}

void access_add(struct access *a, int proto, const struct ip_ports *ports, size_t n)
{
    if (proto >= 0) {
        add_proto(a, proto, ports, n);
        return;
    }
    add_proto(a, PROTO_ICMP, ports, n);
    add_proto(a, PROTO_TCP, ports, n);
    add_proto(a, PROTO_UDP, ports, n);
    add_proto(a, PROTO_ICMPV6, ports, n);
}

static int by_place(const void *x, const void *y)
{
    const struct access_item *a = x, *b = y;

    if (a->proto != b->proto)
        return a->proto < b->proto ? -1 : 1;
    return (a->ports.first > b->ports.first) - (a->ports.first < b->ports.first);
}

void access_settle(struct access *a)
{
    size_t n = 0;

    if (a->len)
        qsort(a->items, a->len, sizeof *a->items, by_place);
    for (size_t i = 0; i < a->len; i++) {
        struct access_item *last = n ? &a->items[n - 1] : NULL;

        if (last && last->proto == a->items[i].proto &&
            a->items[i].ports.first <= (uint32_t)last->ports.last + 1)
            last->ports.last = (uint16_t)MAX(last->ports.last, a->items[i].ports.last);
        else
            a->items[n++] = a->items[i];
    }
    a->len = n;
}

static bool item_eq(const struct access_item *x, const struct access_item *y)
{
    return x->proto == y->proto && ip_ports_eq(x->ports, y->ports);
}

bool access_eq(const struct access *a, const struct access *b)
{
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        if (!item_eq(&a->items[i], &b->items[i]))
            return false;
    return true;
}

/* What of one range the sorted list leaves; what ends before the range begins is skipped. */
static void push_rest(struct access *out, struct access_item x, const struct access *y, size_t *at)
{
    uint32_t from = x.ports.first;

    while (*at < y->len &&
           (y->items[*at].proto < x.proto ||
            (y->items[*at].proto == x.proto && y->items[*at].ports.last < x.ports.first)))
        (*at)++;
    for (size_t i = *at; i < y->len && from <= x.ports.last; i++) {
        const struct access_item *cut = &y->items[i];

        if (cut->proto != x.proto || cut->ports.first > x.ports.last)
            break;
        if (cut->ports.first > from)
            push(out, x.proto, (struct ip_ports){(uint16_t)from, (uint16_t)(cut->ports.first - 1)});
        from = (uint32_t)cut->ports.last + 1;
    }
    if (from <= x.ports.last)
        push(out, x.proto, (struct ip_ports){(uint16_t)from, x.ports.last});
}

void access_subtract(struct access *out, const struct access *x, const struct access *y)
{
    size_t at = 0;

    access_clear(out);
    for (size_t i = 0; i < x->len; i++)
        push_rest(out, x->items[i], y, &at);
}

/* ---- Words ---- */

struct run {
    const struct access_item *items;
    size_t len;
};

static struct run run_of(const struct access *a, int proto)
{
    struct run r = {0};

    for (size_t i = 0; i < a->len; i++) {
        if (a->items[i].proto != proto)
            continue;
        if (r.len == 0)
            r.items = &a->items[i];
        r.len++;
    }
    return r;
}

static bool run_eq(struct run x, struct run y)
{
    if (x.len != y.len)
        return false;
    for (size_t i = 0; i < x.len; i++)
        if (!ip_ports_eq(x.items[i].ports, y.items[i].ports))
            return false;
    return true;
}

static bool run_is_all(struct run r)
{
    return r.len == 1 && r.items[0].ports.first <= 1 && r.items[0].ports.last == UINT16_MAX;
}

static void put_ranges(struct buf *out, struct run r)
{
    for (size_t i = 0; i < MIN(r.len, (size_t)WORDS_MAX); i++) {
        buf_put(out, i ? STR(", ") : STR_NONE);
        ip_ports_put(out, r.items[i].ports);
    }
    if (r.len > WORDS_MAX)
        buf_printf(out, " and %zu more", r.len - WORDS_MAX);
}

static void next_word(struct buf *out, size_t start)
{
    if (out->len > start)
        buf_put(out, STR("; "));
}

/* "any port", "port 22", "ports 80, 443". */
static void put_any_proto(struct buf *out, struct run r)
{
    if (run_is_all(r)) {
        buf_put(out, STR("any port"));
        return;
    }
    buf_put(out, r.len == 1 && r.items[0].ports.first == r.items[0].ports.last ? STR("port ")
                                                                               : STR("ports "));
    put_ranges(out, r);
}

static void put_named(struct buf *out, size_t start, const char *name, struct run r)
{
    if (r.len == 0)
        return;
    next_word(out, start);
    if (run_is_all(r)) {
        buf_printf(out, "any %s port", name);
        return;
    }
    buf_printf(out, "%s ", name);
    put_ranges(out, r);
}

static void put_other(struct buf *out, size_t start, int proto)
{
    const char *name = policy_proto_name(proto);

    next_word(out, start);
    if (name)
        buf_put(out, str_from(name));
    else
        buf_printf(out, "protocol %d", proto);
}

void access_drop_icmp(struct access *a)
{
    size_t n = 0;

    if (run_of(a, PROTO_TCP).len == 0 && run_of(a, PROTO_UDP).len == 0)
        return;
    for (size_t i = 0; i < a->len; i++)
        if (a->items[i].proto != PROTO_ICMP && a->items[i].proto != PROTO_ICMPV6)
            a->items[n++] = a->items[i];
    a->len = n;
}

void access_put(struct buf *out, const struct access *a)
{
    struct run tcp = run_of(a, PROTO_TCP), udp = run_of(a, PROTO_UDP);
    bool both = tcp.len && run_eq(tcp, udp);
    bool ping = run_of(a, PROTO_ICMP).len && run_of(a, PROTO_ICMPV6).len;
    size_t start = out->len;

    if (a->len == 0)
        buf_put(out, STR("nothing"));
    if (both) {
        put_any_proto(out, tcp);
    } else {
        put_named(out, start, "tcp", tcp);
        put_named(out, start, "udp", udp);
    }
    put_named(out, start, "sctp", run_of(a, PROTO_SCTP));
    for (size_t i = 0; i < a->len; i++) {
        int proto = a->items[i].proto;

        if (reach_has_ports(proto) ||
            ((proto == PROTO_ICMP || proto == PROTO_ICMPV6) && both && ping))
            continue;
        put_other(out, start, proto);
    }
}
