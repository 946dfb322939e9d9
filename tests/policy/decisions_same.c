/* One compiled policy held against another, and against its own marks. */

#include "decisions_words.h"

#define ROUTES_MAX 64

static void put_about_node(const struct policy *p, const struct node *n, struct buf *out)
{
    const struct str *names = NULL;
    size_t n_names = policy_attrs(p, n->id, &names);

    for (size_t i = 0; i < n_names; i++)
        buf_printf(out, "%.*s,", STR_ARG(names[i]));
    buf_printf(out, " peer caps %.*s, IPv4 %s, routes %d", STR_ARG(policy_peer_caps(p, n->id)),
               policy_hides_ipv4(p, n->id) ? "hidden" : "shown", policy_has_routes(p, n->id));
    struct json_writer w = JSON_WRITER(out);
    json_begin_object(&w);
    policy_put_attr_app(p, n->id, &w);
    json_end_object(&w);
}

/* kind: 0 canonical, 1 compact, 2 ssh, 3 node. */
#define KINDS 4
static const char *const kinds[KINDS] = {"canonical filter", "compact filter", "ssh", "node"};

static struct policy_mark put_kind(const struct policy *p, const struct node *n, int kind,
                                   struct buf *out)
{
    buf_clear(out);
    switch (kind) {
    case 0:
        policy_put_filter(p, n->id, POLICY_CANONICAL, out);
        return policy_filter_mark(p, n->id, POLICY_CANONICAL);
    case 1:
        policy_put_filter(p, n->id, POLICY_COMPACT, out);
        return policy_filter_mark(p, n->id, POLICY_COMPACT);
    case 2:
        policy_put_ssh(p, n->id, STR_NONE, out);
        return policy_ssh_mark(p, n->id);
    default:
        put_about_node(p, n, out);
        return policy_node_mark(p, n->id);
    }
}

static bool same_peer_routes(const struct policy *a, const struct policy *b, const struct node *x,
                             const struct node *y, char why[DECISIONS_WHY])
{
    struct ip_prefix r[ROUTES_MAX], s[ROUTES_MAX];
    size_t n_r = policy_peer_routes(a, x->id, y->id, r, ROUTES_MAX);
    size_t n_s = policy_peer_routes(b, x->id, y->id, s, ROUTES_MAX);
    bool same = n_r == n_s;

    for (size_t i = 0; same && i < n_r; i++)
        same = ip_prefix_eq(r[i], s[i]);
    if (!same)
        return differs(why, "routes of %llu that %llu sees: %zu, %zu", id_of(y), id_of(x), n_r,
                       n_s);
    return true;
}

static bool same_pair(const struct policy *a, const struct policy *b, const struct node *x,
                      const struct node *y, char why[DECISIONS_WHY])
{
    if (policy_sees(a, x->id, y->id) != policy_sees(b, x->id, y->id))
        return differs(why, "%llu sees %llu or not", id_of(x), id_of(y));
    if (policy_ssh_check_ms(a, x->id, y->id) != policy_ssh_check_ms(b, x->id, y->id))
        return differs(why, "check period from %llu to %llu", id_of(x), id_of(y));
    return true;
}

bool decisions_same(const struct policy *a, const struct policy *b, const struct tailnet_view *v,
                    char why[DECISIONS_WHY])
{
    struct buf x = BUF((size_t)1 << 30), y = BUF((size_t)1 << 30);
    const struct node *n, *other;
    bool same = true;

    why[0] = '\0';
    for (size_t at = 0; same && (n = view_node_next(v, &at));) {
        for (int kind = 0; same && kind < KINDS; kind++) {
            struct policy_mark m = put_kind(a, n, kind, &x), o = put_kind(b, n, kind, &y);

            if (!str_eq(buf_str(&x), buf_str(&y)))
                same = differs(why, "%s of %llu:\n%.*s\n%.*s", kinds[kind], id_of(n),
                               MIN((int)x.len, 900), x.ptr, MIN((int)y.len, 900), y.ptr);
            else if (!policy_mark_eq(m, o))
                same = differs(why, "%s of %llu: same text, another mark", kinds[kind], id_of(n));
        }
        for (size_t k = 0; same && (other = view_node_next(v, &k));)
            same = same_pair(a, b, n, other, why) && same_peer_routes(a, b, n, other, why);
    }
    buf_fini(&x);
    buf_fini(&y);
    return same;
}

static bool keeps_class(const struct policy *before, const struct policy *after,
                        const struct tailnet_view *view_before, const struct node *n)
{
    const struct node *was = view_node_find(view_before, n->id);

    return was && was->user == n->user &&
           policy_class_of(before, n->id) == policy_class_of(after, n->id);
}

bool decisions_lineage_holds(const struct policy *before, const struct policy *after,
                             const struct tailnet_view *view_before,
                             const struct tailnet_view *view_after, char why[DECISIONS_WHY])
{
    /* A router that goes offline moves routes to another one, and tells of it by this mark. */
    bool same_routers = policy_mark_eq(policy_routes_mark(before), policy_routes_mark(after));
    const struct node *n, *other;

    why[0] = '\0';
    if (!policy_same_lineage(before, after))
        return true;
    for (size_t at = 0; (n = view_node_next(view_after, &at));) {
        if (!keeps_class(before, after, view_before, n))
            continue;
        for (size_t k = 0; (other = view_node_next(view_after, &k));) {
            if (!keeps_class(before, after, view_before, other))
                continue;
            if (!same_pair(before, after, n, other, why) ||
                (same_routers && !same_peer_routes(before, after, n, other, why)))
                return false;
        }
    }
    return true;
}

bool decisions_marks_hold(const struct policy *p, const struct tailnet_view *v,
                          char why[DECISIONS_WHY])
{
    struct buf x = BUF((size_t)1 << 30), y = BUF((size_t)1 << 30);
    const struct node *n, *other;
    bool same = true;

    why[0] = '\0';
    for (size_t at = 0; same && (n = view_node_next(v, &at));)
        for (int kind = 0; same && kind < 3; kind++) {
            struct policy_mark m = put_kind(p, n, kind, &x);

            for (size_t k = at; same && (other = view_node_next(v, &k));) {
                struct policy_mark o = put_kind(p, other, kind, &y);
                bool same_text = str_eq(buf_str(&x), buf_str(&y));

                /* A shell's rules may be made in two ways that come to the same. */
                if (policy_mark_eq(m, o) != same_text && !(same_text && kind == 2))
                    same = differs(why, "%s of %llu and %llu: %s texts, %s marks:\n%.*s\n%.*s",
                                   kinds[kind], id_of(n), id_of(other),
                                   same_text ? "equal" : "different",
                                   same_text ? "different" : "equal", MIN((int)x.len, 900), x.ptr,
                                   MIN((int)y.len, 900), y.ptr);
            }
        }
    buf_fini(&x);
    buf_fini(&y);
    return same;
}
