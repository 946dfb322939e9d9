/*
 * The author's tests of reachability, policy.md 13.1, and what they share with those of SSH.
 *
 *   destination, protocol, port --> links that let it in --> does each source stand in one of
 * these?
 *
 * A destination is allowed when every address of the source reaches it by some rule for all nodes.
 * What only some nodes are told (self, via) does not count, except that autogroup:self as a
 * destination asks for just that.
 *
 * Sources are asked by class first: nodes of one class are listed by the same links. Only what a
 * literal or a range lists has to be looked at address by address.
 */

#include "policy/policy_test_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMPV6 58
#define PROTO_SCTP 132

/* ---- Failing ---- */

void test_fail(struct test_run *t, struct policy_pos pos, const char *fmt, ...)
{
    char line[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (t->failures++ == 0) {
        t->pos = pos;
        buf_put(&t->first, str_from(line));
    }
    if (t->details) {
        buf_put(t->details, str_from(line));
        buf_put_char(t->details, '\n');
    }
}

bool test_step(struct test_run *t, struct policy_pos pos, uint64_t n)
{
    if (t->steps > POLICY_TEST_STEPS_MAX)
        return false;
    t->steps += n;
    if (t->steps > POLICY_TEST_STEPS_MAX)
        test_fail(t, pos, "the tests take too long: name fewer sources and destinations");
    return t->steps <= POLICY_TEST_STEPS_MAX;
}

/* ---- Members by class and by address ---- */

static void index_members(struct test_run *t)
{
    size_t n = t->p->shape->n_classes;
    size_t *next = mem_alloc_array(n + 2, sizeof(*next));
    struct rows_at at = {0};
    const struct member *m;

    t->members = arena_alloc(t->arena, (t->p->members.count + 1) * sizeof(*t->members));
    t->from = arena_alloc(t->arena, (n + 2) * sizeof(*t->from));
    while ((m = rows_next(&t->p->members, &at)))
        t->from[m->cls + 1]++;
    for (size_t i = 1; i < n + 2; i++)
        next[i] = t->from[i] += t->from[i - 1];
    at = (struct rows_at){0};
    while ((m = rows_next(&t->p->members, &at)))
        t->members[next[m->cls]++] = m;
    mem_free(next);
}

static int by_user(const void *x, const void *y)
{
    const struct member *a = *(const struct member *const *)x;
    const struct member *b = *(const struct member *const *)y;

    return (a->user > b->user) - (a->user < b->user);
}

static void index_users(struct test_run *t)
{
    t->by_user = arena_alloc(t->arena, (t->p->members.count + 1) * sizeof(*t->by_user));
    for (size_t i = 0; i < t->p->members.count; i++)
        if (t->members[i]->user != 0)
            t->by_user[t->n_by_user++] = t->members[i];
    if (t->n_by_user > 0)
        qsort(t->by_user, t->n_by_user, sizeof(*t->by_user), by_user);
}

const struct member **test_devices(const struct test_run *t, user_id user, size_t *n)
{
    size_t low = 0, high = t->n_by_user;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (t->by_user[mid]->user < user)
            low = mid + 1;
        else
            high = mid;
    }
    *n = 0;
    while (low + *n < t->n_by_user && t->by_user[low + *n]->user == user)
        ++*n;
    return t->by_user + low;
}

static int by_addr(const void *x, const void *y)
{
    return ip_addr_cmp(((const struct test_addr *)x)->addr, ((const struct test_addr *)y)->addr);
}

static void index_addresses(struct test_run *t)
{
    t->addrs = arena_alloc(t->arena, (2 * t->p->members.count + 1) * sizeof(*t->addrs));
    for (size_t i = 0; i < t->p->members.count; i++) {
        const struct member *m = t->members[i];

        if (m->v4_is_set)
            t->addrs[t->n_addrs++] = (struct test_addr){member_v4(m), m};
        if (m->v6_is_set)
            t->addrs[t->n_addrs++] = (struct test_addr){member_v6(m), m};
    }
    if (t->n_addrs > 0)
        qsort(t->addrs, t->n_addrs, sizeof(*t->addrs), by_addr);
}

const struct member *test_member_at(const struct test_run *t, struct ip_addr addr)
{
    const struct test_addr key = {.addr = addr};
    const struct test_addr *found =
        t->n_addrs > 0 ? bsearch(&key, t->addrs, t->n_addrs, sizeof(key), by_addr) : NULL;

    return found ? found->member : NULL;
}

/* ---- Who is meant ---- */

/* Tailscale's ranges and every route. */
static void list_everywhere(struct test_run *t)
{
    const struct shape *s = t->p->shape;

    t->everywhere =
        arena_alloc(t->arena, (ARRAY_LEN(t->wild) + s->n_wild_routes) * sizeof(*t->everywhere));
    for (size_t i = 0; i < ARRAY_LEN(t->wild); i++)
        t->everywhere[t->n_everywhere++] = t->wild[i];
    for (size_t i = 0; i < s->n_wild_routes; i++)
        t->everywhere[t->n_everywhere++] = ip_range_of_prefix(s->wild_routes[i]);
}

struct test_named test_name(struct test_run *t, const struct policy_selector *s)
{
    struct test_named n = {.is = s};

    if (!s)
        return n;
    switch (s->kind) {
    case SELECTOR_USER:
    case SELECTOR_DOMAIN:
    case SELECTOR_GROUP:
    case SELECTOR_TAG:
    case SELECTOR_AUTOGROUP:
        n.classes = t->p->shape->own[s->index];
        break;
    case SELECTOR_PREFIX:
    case SELECTOR_HOST:
        n.ranges = arena_alloc(t->arena, sizeof(*n.ranges));
        n.ranges[n.n_ranges++] = ip_range_of_prefix(s->prefix);
        break;
    case SELECTOR_IPSET:
        n.ranges = s->ipset->set.ranges;
        n.n_ranges = s->ipset->set.len;
        break;
    case SELECTOR_WILDCARD:
        n.ranges = t->everywhere;
        n.n_ranges = t->n_everywhere;
        break;
    case SELECTOR_TAILNET:
    case SELECTOR_SERVICE:
        break;
    }
    return n;
}

bool test_name_is_empty(const struct test_named *n)
{
    return n->n_ranges == 0 && (!n->classes || roaring_bitmap_is_empty(n->classes));
}

bool test_is_unknown(const struct test_run *t, const struct policy_selector *s)
{
    return !s || (s->kind == SELECTOR_USER && matcher_user(t->p->shape->matcher, s) == 0);
}

/* ---- Destinations ---- */

struct wanted {
    struct policy_pos pos;
    struct test_named dst;
    int proto; /* -1: none given */
    uint16_t port;
};

static bool overlaps_internet(const struct test_named *dst)
{
    for (size_t i = 0; i < ARRAY_LEN(policy_internet_ranges); i++) {
        struct ip_range r;

        if (dst->n_ranges > 0 && ip_range_parse(policy_internet_ranges[i], &r) &&
            ip_range_overlaps(r, dst->ranges[0]))
            return true;
    }
    return false;
}

/* Whether what a rule names as a destination has an address of the test's. */
static bool meets(const struct test_run *t, const struct policy_selector *sel,
                  const struct test_named *dst)
{
    const roaring_bitmap_t *own;
    const struct member *m;

    if (sel->kind == SELECTOR_WILDCARD)
        return true;
    if (sel->kind == SELECTOR_AUTOGROUP && sel->autogroup == AUTOGROUP_INTERNET)
        return overlaps_internet(dst);
    own = t->p->shape->own[sel->index];
    if (dst->n_ranges == 0)
        return own && roaring_bitmap_intersect(own, dst->classes);
    if (selector_is_literal(sel))
        return literal_overlaps(sel, dst->ranges[0]);
    m = test_member_at(t, dst->ranges[0].first);
    return m && class_in(own, m->cls);
}

static bool proto_matches(int of_rule, int wanted)
{
    if (of_rule < 0 || of_rule == wanted)
        return true;
    return wanted < 0 && (of_rule == PROTO_TCP || of_rule == PROTO_UDP || of_rule == PROTO_ICMP ||
                          of_rule == PROTO_ICMPV6);
}

static bool ports_have(const struct ip_ports *ports, size_t n, uint16_t port)
{
    for (size_t i = 0; i < n; i++)
        if (ip_ports_contains(ports[i], port))
            return true;
    return false;
}

static bool link_lets_in(const struct test_run *t, const struct policy_link *l,
                         const struct wanted *w)
{
    if (l->kind != LINK_PORTS || l->self || l->via || !proto_matches(l->proto, w->proto))
        return false;
    for (size_t i = 0; i < l->n_dst; i++)
        if (ports_have(l->dst[i].ports, l->dst[i].n_ports, w->port) &&
            meets(t, l->dst[i].selector, &w->dst))
            return true;
    return false;
}

/* Sources of the links that let it in. */
struct doors {
    uint32_t *sources;
    size_t len;
};

static bool find_doors(struct test_run *t, const struct wanted *w, struct doors *out)
{
    const struct shape *s = t->p->shape;

    *out = (struct doors){.sources = mem_alloc_array(s->n_links + 1, sizeof(*out->sources))};
    for (size_t i = 0; i < s->n_links; i++)
        if (link_lets_in(t, &s->links[i], w))
            out->sources[out->len++] = s->links[i].source;
    return test_step(t, w->pos, s->n_links);
}

/* ---- Sources ---- */

static bool has_class(const struct test_run *t, const struct doors *doors, uint32_t cls)
{
    for (size_t i = 0; i < doors->len; i++) {
        const struct source *src = &t->p->shape->sources[doors->sources[i]];

        if (src->everyone || class_in(src->own, cls))
            return true;
    }
    return false;
}

/* Listed by a range or a literal rather than as a node. */
static bool has_addr(const struct test_run *t, const struct source *src, struct ip_addr addr)
{
    const struct shape *s = t->p->shape;

    for (size_t i = 0; src->wild && i < ARRAY_LEN(t->wild); i++)
        if (ip_range_contains(t->wild[i], addr))
            return true;
    for (size_t i = 0; (src->wild || src->wild_routes) && i < s->n_wild_routes; i++)
        if (ip_prefix_contains(s->wild_routes[i], addr))
            return true;
    for (size_t i = 0; i < src->n_literals; i++)
        if (literal_overlaps(src->literals[i], ip_range_of_addr(addr)))
            return true;
    return false;
}

static bool addr_gets_in(struct test_run *t, const struct wanted *w, const struct doors *doors,
                         struct ip_addr addr)
{
    if (!ip_addr_is_set(addr))
        return true;
    for (size_t i = 0; i < doors->len; i++) {
        const struct source *src = &t->p->shape->sources[doors->sources[i]];

        if (!test_step(t, w->pos, 1 + src->n_literals))
            return false;
        if (has_addr(t, src, addr))
            return true;
    }
    return false;
}

static bool class_gets_in(struct test_run *t, const struct wanted *w, const struct doors *doors,
                          uint32_t cls)
{
    if (has_class(t, doors, cls))
        return true;
    for (size_t i = t->from[cls]; i < t->from[cls + 1]; i++)
        if (!addr_gets_in(t, w, doors, member_v4(t->members[i])) ||
            !addr_gets_in(t, w, doors, member_v6(t->members[i])))
            return false;
    return true;
}

static bool range_gets_in(struct test_run *t, const struct wanted *w, const struct doors *doors,
                          struct ip_range r)
{
    for (size_t i = 0; i < doors->len; i++)
        if (!test_step(t, w->pos, t->p->members.count) ||
            source_overlaps(t->p, doors->sources[i], r))
            return true;
    return false;
}

static bool all_get_in(struct test_run *t, const struct test_named *src, const struct wanted *w)
{
    struct doors doors;
    roaring_uint32_iterator_t it;
    bool ok = find_doors(t, w, &doors) && doors.len > 0;

    for (size_t i = 0; ok && i < src->n_ranges; i++)
        ok = range_gets_in(t, w, &doors, src->ranges[i]);
    if (ok && src->classes)
        for (roaring_init_iterator(src->classes, &it); ok && it.has_value;
             roaring_advance_uint32_iterator(&it))
            ok = class_gets_in(t, w, &doors, it.current_value);
    mem_free(doors.sources);
    return ok;
}

/* ---- autogroup:self as a destination ---- */

static bool self_lets_in(const struct test_run *t, const struct member *m, const struct wanted *w)
{
    const struct shape *s = t->p->shape;

    for (size_t i = 0; i < s->n_links; i++) {
        const struct policy_link *l = &s->links[i];

        if (l->kind == LINK_PORTS && l->self && proto_matches(l->proto, w->proto) &&
            ports_have(l->ports, l->n_ports, w->port) && self_lists(t->p, l, m))
            return true;
    }
    return false;
}

/* Each source has its own user's devices before it; a tagged one has none. */
static bool all_get_home(struct test_run *t, const struct test_named *src, const struct wanted *w)
{
    roaring_uint32_iterator_t it;

    for (size_t i = 0; i < src->n_ranges; i++) {
        const struct member *m = test_member_at(t, src->ranges[i].first);

        if (!m || m->user == 0 || !self_lets_in(t, m, w))
            return false;
    }
    if (!src->classes)
        return true;
    for (roaring_init_iterator(src->classes, &it); it.has_value;
         roaring_advance_uint32_iterator(&it)) {
        /* One for all of its class: who is listed is decided by class. */
        const struct member *m = t->members[t->from[it.current_value]];

        if (m->user == 0 || !self_lets_in(t, m, w))
            return false;
    }
    return true;
}

/* ---- One test ---- */

struct line { /* of a test: one destination */
    const struct policy_test *test;
    struct policy_word dst;
    const struct policy_selector *is;
    bool wants_allowed;
};

#define LINE "%.*s -> %.*s%s%.*s%s"
#define LINE_ARG(l)                                                                 \
    (int)MIN((l)->test->src.text.len, (size_t)120), (l)->test->src.text.ptr,        \
        (int)MIN((l)->dst.text.len, (size_t)120), (l)->dst.text.ptr,                \
        (l)->test->proto.text.len > 0 ? " (" : "",                                  \
        (int)MIN((l)->test->proto.text.len, (size_t)20), (l)->test->proto.text.ptr, \
        (l)->test->proto.text.len > 0 ? ")" : ""

static bool is_autogroup(const struct policy_selector *s, enum policy_autogroup a)
{
    return s->kind == SELECTOR_AUTOGROUP && s->autogroup == a;
}

/* One host and one port. NULL: it is; else why not. */
static const char *shape_of(const struct test_run *t, const struct line *l, uint16_t *port)
{
    struct str text = l->dst.text;
    ptrdiff_t colon = str_rfind_char(text, ':');
    const struct policy_selector *s = l->is;
    struct ip_ports ports;

    if (colon <= 0)
        return "a destination is a host, a colon and a port";
    if (str_find_char(str_sub(text, 0, (size_t)colon), '/') >= 0)
        return "a destination is one host, not a range of them";
    text = str_from_index(text, (size_t)colon + 1);
    if (str_find_char(text, '-') >= 0 || ip_ports_parse(text, &ports) != IP_PORTS_OK ||
        ports.first != ports.last)
        return "a destination has one port";
    *port = ports.first;
    if (test_is_unknown(t, s))
        return "the destination is unknown";
    if (is_autogroup(s, AUTOGROUP_SELF))
        return l->wants_allowed ? NULL : "autogroup:self cannot be denied";
    if (s->kind == SELECTOR_WILDCARD || s->kind == SELECTOR_IPSET || s->kind == SELECTOR_TAILNET ||
        s->kind == SELECTOR_SERVICE ||
        (s->kind == SELECTOR_HOST && !ip_prefix_is_single(s->prefix)))
        return "a destination is one host, not a range of them";
    if (is_autogroup(s, AUTOGROUP_INTERNET) || is_autogroup(s, AUTOGROUP_DANGER_ALL) ||
        is_autogroup(s, AUTOGROUP_NONROOT) || is_autogroup(s, AUTOGROUP_SHARED))
        return "this autogroup is no destination of tests";
    return NULL;
}

static void run_line(struct test_run *t, const struct line *l, const struct test_named *src,
                     int proto)
{
    struct wanted w = {.pos = l->dst.pos, .dst = test_name(t, l->is), .proto = proto};
    const char *wrong = shape_of(t, l, &w.port);
    bool allowed;

    if (wrong) {
        test_fail(t, l->dst.pos, LINE ": %s", LINE_ARG(l), wrong);
        return;
    }
    if (is_autogroup(l->is, AUTOGROUP_SELF))
        allowed = all_get_home(t, src, &w);
    else
        allowed = !test_name_is_empty(&w.dst) && all_get_in(t, src, &w);
    if (allowed != l->wants_allowed)
        test_fail(t, l->dst.pos, LINE ": expected %s, got %s", LINE_ARG(l),
                  l->wants_allowed ? "ALLOWED" : "DENIED", allowed ? "ALLOWED" : "DENIED");
}

/* Why it cannot be run at all; NULL: it can. */
static const char *shape_of_test(const struct test_run *t, const struct policy_test *test,
                                 const struct test_named *src, int *proto)
{
    struct str text = str_trim(test->proto.text);

    *proto = text.len > 0 ? policy_proto_parse(text) : -1;
    if (test->src.text.len == 0)
        return "src is missing";
    if (test_is_unknown(t, test->src_is))
        return "src is unknown";
    if (test_name_is_empty(src))
        return "src is nobody at present";
    if (test->accept.len == 0 && test->deny.len == 0)
        return "it has neither accept nor deny";
    if (text.len > 0 && *proto != PROTO_TCP && *proto != PROTO_UDP && *proto != PROTO_SCTP)
        return "proto is tcp, udp or sctp";
    return NULL;
}

static void run_test(struct test_run *t, const struct policy_test *test)
{
    struct test_named src = test_name(t, test->src_is);
    int proto;
    const char *wrong = shape_of_test(t, test, &src, &proto);

    if (wrong) {
        test_fail(t, test->pos, "test of \"%.*s\": %s", (int)MIN(test->src.text.len, (size_t)120),
                  test->src.text.ptr, wrong);
        return;
    }
    for (size_t i = 0; i < test->accept.len; i++)
        run_line(t, &(struct line){test, test->accept.items[i], test->accept_is[i], true}, &src,
                 proto);
    for (size_t i = 0; i < test->deny.len; i++)
        run_line(t, &(struct line){test, test->deny.items[i], test->deny_is[i], false}, &src,
                 proto);
}

/* ---- All of them ---- */

static void run_init(struct test_run *t, const struct policy *p, struct buf *details)
{
    static const struct str wild[] = {STR_INIT(CGNAT_RANGE_1), STR_INIT(CGNAT_RANGE_2),
                                      STR_INIT(ULA_RANGE)};

    *t = (struct test_run){.p = p, .arena = arena_new(), .details = details, .first = BUF(1024)};
    for (size_t i = 0; i < ARRAY_LEN(wild); i++)
        ASSERT(ip_range_parse_any(wild[i], &t->wild[i]));
    list_everywhere(t);
    index_members(t);
    index_users(t);
    index_addresses(t);
}

static int run_verdict(struct test_run *t, struct policy_complaint *complaint)
{
    if (t->failures == 0)
        return 0;
    *complaint = (struct policy_complaint){.pos = t->pos};
    (void)snprintf(complaint->text, sizeof(complaint->text), "test(s) failed");
    (void)snprintf(complaint->hint, sizeof(complaint->hint), "%.*s", STR_ARG(buf_str(&t->first)));
    return -ERR_INVALID;
}

int policy_run_tests(const struct policy *p, struct policy_complaint *complaint,
                     struct buf *details)
{
    const struct policy_document *d = policy_document(p);
    struct test_run t;
    int status;

    if (!d || (d->n_tests == 0 && d->n_ssh_tests == 0))
        return 0;
    if (!ssh_tests_well_formed(d, complaint))
        return -ERR_INVALID;
    run_init(&t, p, details);
    for (size_t i = 0; i < d->n_tests; i++)
        run_test(&t, &d->tests[i]);
    ssh_tests_run(&t, d);
    status = run_verdict(&t, complaint);
    buf_fini(&t.first);
    arena_free(t.arena);
    return status;
}
