/*
 * Why something is allowed or not: see policy_explain in policy.h.
 *
 *   ALLOWED: laptop may reach db on tcp 5432       the decision, for each pair of the two sides
 *   Allowed by                                     each rule once, with an example
 *     acl at line 12, column 5
 *       from "group:dev" (line 12, column 32): laptop belongs to alice@example.com, a member of ...
 *       to "tag:db" (line 12, column 50) on port 5432: db carries tag:db
 *   Rules that come close                          only where something is denied
 *   Who they are
 *   Tailscale SSH                                  where port 22 or no port was asked
 *
 * A tailnet without a policy is explained with a policy that says the same.
 */

#include "policy/explain_internal.h"

static const struct str open_text = STR_INIT(
    "{\"grants\": [{\"src\": [\"autogroup:danger-all\"], \"dst\": [\"*\"], \"ip\": [\"*\"]}]}");

const struct policy_document *policy_open_document(void)
{
    const struct policy_document *d = NULL;
    struct policy_complaint complaint;

    ASSERT(policy_document_parse(open_text, NULL, &d, &complaint) == 0);
    return d;
}

const struct policy *policy_stand_in(const struct tailnet_view *view)
{
    const struct policy_document *d = policy_open_document();
    const struct policy *p;

    p = policy_compile(&(struct policy_input){.document = d, .view = view});
    policy_document_unref(d);
    return p;
}

/* ---- The headline ---- */

static void put_asked(const struct explain *x)
{
    const char *name = policy_proto_name(x->proto);

    buf_put(x->out, STR(" on "));
    if (name)
        buf_put(x->out, str_from(name));
    else
        buf_printf(x->out, "protocol %d", x->proto);
    if (reach_has_ports(x->proto))
        buf_printf(x->out, " %d", x->port);
}

static void put_side(const struct explain *x, const struct side *s)
{
    bool same = s->len == 1 && str_eq_nocase(s->items[0].name, s->text);

    if (s->len != 1) {
        buf_put(x->out, s->text);
        return;
    }
    buf_put(x->out, s->items[0].name);
    if (!same)
        buf_printf(x->out, " (%.*s)", STR_ARG(s->text));
}

struct tally {
    size_t pairs;
    size_t allowed;
    struct access access; /* of all pairs together */
    bool differs;         /* not the same for all pairs */
};

static void count_pairs(struct explain *x, struct tally *t)
{
    struct access one = {0};

    x->allowed = arena_alloc(x->arena, x->src.len * x->dst.len * sizeof *x->allowed);
    for (size_t f = 0; f < x->src.len; f++)
        for (size_t k = 0; k < x->dst.len; k++) {
            bool *ok = &x->allowed[f * x->dst.len + k];

            if (!explain_is_pair(x, &x->src.items[f], &x->dst.items[k]))
                continue;
            access_clear(&one);
            *ok = explain_pair(x, &x->src.items[f], &x->dst.items[k], &one);
            access_settle(&one);
            for (size_t i = 0; i < one.len; i++)
                access_add(&t->access, one.items[i].proto, &one.items[i].ports, 1);
            access_settle(&t->access);
            t->differs |= t->pairs && !access_eq(&one, &t->access);
            t->allowed += *ok;
            t->pairs++;
        }
    access_fini(&one);
}

static void put_headline(const struct explain *x, const struct tally *t)
{
    if (t->allowed == 0)
        buf_put(x->out, STR("DENIED: "));
    else
        buf_put(x->out, t->allowed == t->pairs ? STR("ALLOWED: ") : STR("PARTLY: "));
    put_side(x, &x->src);
    buf_put(x->out, t->allowed ? STR(" may reach ") : STR(" may not reach "));
    put_side(x, &x->dst);
    if (x->port >= 0 || (x->port < 0 && !t->allowed)) {
        if (x->port >= 0)
            put_asked(x);
    } else {
        buf_put(x->out, t->differs ? STR(", in all, on ") : STR(" on "));
        access_put(x->out, &t->access);
    }
    if (t->allowed && t->allowed < t->pairs)
        buf_printf(x->out, ": %zu of %zu pairs", t->allowed, t->pairs);
    buf_put_char(x->out, '\n');
    if (x->src.left_out || x->dst.left_out)
        buf_printf(x->out, "Looked at %zu of %zu sources and %zu of %zu destinations\n", x->src.len,
                   x->src.len + x->src.left_out, x->dst.len, x->dst.len + x->dst.left_out);
}

static void put_names(const struct explain *x, size_t from, bool allowed)
{
    size_t n = 0;

    for (size_t t = 0; t < x->dst.len; t++) {
        if (x->allowed[from * x->dst.len + t] != allowed ||
            !explain_is_pair(x, &x->src.items[from], &x->dst.items[t]) || ++n > EXPLAIN_LINES_MAX)
            continue;
        buf_printf(x->out, "%s%.*s", n == 1 ? (allowed ? " may reach " : " may not reach ") : ", ",
                   STR_ARG(x->dst.items[t].name));
    }
    if (n > EXPLAIN_LINES_MAX)
        buf_printf(x->out, " and %zu more", n - EXPLAIN_LINES_MAX);
    if (n)
        buf_put_char(x->out, ';');
}

/* Which pairs, where it is not all or none. */
static void put_parts(const struct explain *x, const struct tally *t)
{
    if (t->allowed == 0 || t->allowed == t->pairs)
        return;
    for (size_t f = 0; f < MIN(x->src.len, (size_t)EXPLAIN_LINES_MAX * 2); f++) {
        buf_printf(x->out, "  %.*s", STR_ARG(x->src.items[f].name));
        put_names(x, f, true);
        put_names(x, f, false);
        if (str_ends(buf_str(x->out), STR(";")))
            buf_cut(x->out, x->out->len - 1);
        buf_put_char(x->out, '\n');
    }
    if (x->src.len > (size_t)EXPLAIN_LINES_MAX * 2)
        buf_printf(x->out, "  ... and %zu more\n", x->src.len - (size_t)EXPLAIN_LINES_MAX * 2);
}

/* ---- What is in the way besides rules ---- */

static void put_announcers(const struct explain *x, struct ip_addr addr)
{
    const struct node *n;
    size_t shown = 0;

    for (size_t at = 0; (n = policy_node_next(x->view, &at)) && shown < EXPLAIN_LINES_MAX;) {
        for (size_t i = 0; i < n->facts->n_routes; i++) {
            struct ip_prefix r = n->facts->routes[i];

            if (!ip_prefix_contains(r, addr) || ip_prefix_in(n->approved, n->n_approved, r))
                continue;
            buf_printf(x->out, "  %.*s announces ", STR_ARG(n->given_name));
            ip_prefix_put(x->out, r);
            buf_put(x->out, STR(", which nobody has approved\n"));
            shown++;
            break;
        }
    }
}

static bool is_routed(const struct explain *x, struct ip_addr addr, bool by_exit)
{
    for (size_t i = 0; i < x->p->routers->len; i++) {
        const struct router *r = &x->p->routers->items[i];

        for (size_t k = 0; k < r->n_routes; k++)
            if (ip_prefix_contains(r->routes[k], addr))
                return true;
        if (by_exit && (addr.family == IP_V4 ? r->exit_v4 : r->exit_v6))
            return true;
    }
    return false;
}

/* An address that no machine owns or routes. */
static void put_nowhere(const struct explain *x)
{
    for (size_t t = 0; t < x->dst.len; t++) {
        const struct end *e = &x->dst.items[t];

        if (e->node || is_routed(x, e->addrs[0], x->dst.is_internet))
            continue;
        if (x->dst.is_internet)
            buf_printf(x->out, "No approved exit node leads to IPv%d addresses\n",
                       e->addrs[0].family);
        else
            buf_printf(x->out, "No machine is %.*s, and no approved subnet route has it\n",
                       STR_ARG(e->name));
        put_announcers(x, e->addrs[0]);
    }
}

/* Allowed by the filter, but the source is not told of the way. */
static void put_no_way(const struct explain *x)
{
    size_t n = 0;

    for (size_t f = 0; f < x->src.len; f++)
        for (size_t t = 0; t < x->dst.len && n < EXPLAIN_LINES_MAX; t++) {
            const struct end *from = &x->src.items[f], *to = &x->dst.items[t];
            struct ip_prefix routes[64];
            bool told = false;

            if (!from->member || to->node || !x->allowed[f * x->dst.len + t])
                continue;
            for (size_t i = 0; i < x->p->routers->len && !told; i++) {
                node_id id = x->p->routers->items[i].id;
                size_t len =
                    policy_peer_routes(x->p, from->node->id, id, routes, ARRAY_LEN(routes));

                told = id == from->node->id || len > ARRAY_LEN(routes);
                for (size_t k = 0; k < MIN(len, ARRAY_LEN(routes)) && !told; k++)
                    told = ip_prefix_contains(routes[k], to->addrs[0]);
            }
            if (told)
                continue;
            n++;
            buf_printf(x->out, "But %.*s is given no route to %.*s\n", STR_ARG(from->name),
                       STR_ARG(to->name));
        }
}

static void put_ping(struct explain *x)
{
    struct access any = {0};
    int port = x->port;
    bool open = false;

    if (x->port < 0 || (x->proto != PROTO_ICMP && x->proto != PROTO_ICMPV6))
        return;
    x->port = -1;
    for (size_t f = 0; f < x->src.len && !open; f++)
        for (size_t t = 0; t < x->dst.len && !open; t++)
            open = !x->allowed[f * x->dst.len + t] &&
                   explain_pair(x, &x->src.items[f], &x->dst.items[t], &any);
    x->port = port;
    access_fini(&any);
    if (open)
        buf_put(x->out, STR("Official clients answer a ping all the same from wherever any port is "
                            "open\n"));
}

static void put_who(const struct explain *x)
{
    buf_put(x->out, STR("Who they are\n"));
    for (size_t i = 0; i < MIN(x->src.len, (size_t)EXPLAIN_LINES_MAX); i++)
        explain_put_who(x, &x->src.items[i], true);
    for (size_t i = 0; i < MIN(x->dst.len, (size_t)EXPLAIN_LINES_MAX); i++) {
        bool twice = false;

        for (size_t k = 0; k < MIN(x->src.len, (size_t)EXPLAIN_LINES_MAX); k++)
            twice |= x->dst.items[i].node && x->dst.items[i].node == x->src.items[k].node;
        if (!twice)
            explain_put_who(x, &x->dst.items[i], false);
    }
}

/* ---- The whole ---- */

static void put_nobody(const struct explain *x, const struct side *s)
{
    buf_printf(x->out, "DENIED: %.*s has no machine at present\n", STR_ARG(s->text));
}

static void explain(struct explain *x)
{
    struct tally t = {0};

    explain_bound(x);
    count_pairs(x, &t);
    if (t.pairs == 0) {
        buf_put(x->out, STR("DENIED: there is no pair of two different machines to ask about\n"));
        access_fini(&t.access);
        return;
    }
    put_headline(x, &t);
    put_parts(x, &t);
    access_fini(&t.access);
    if (x->no_policy) {
        buf_put(x->out, STR("The tailnet has no policy: everyone may reach everyone, and nobody "
                            "gets a shell by Tailscale SSH\n"));
        put_nowhere(x);
        return;
    }
    if (t.allowed)
        explain_allowing_rules(x);
    put_no_way(x);
    if (t.allowed < t.pairs) {
        put_nowhere(x);
        explain_near_misses(x);
        put_ping(x);
    }
    put_who(x);
    explain_ssh(x);
}

static int refuse(struct str text, const struct policy_complaint *why, struct err *err)
{
    return err_set(err, ERR_INVALID, "\"%.*s\" is no machine's name and no selector: %.100s",
                   (int)MIN(text.len, (size_t)60), text.ptr ? text.ptr : "", why->text);
}

static int run(struct explain *x, struct str src, struct str dst, struct err *err)
{
    struct policy_complaint complaint = {0};

    if (explain_held(x, src, dst) || explain_guests(x, src, dst))
        return 0;
    if (!explain_resolve(x, src, false, &x->src, &complaint))
        return refuse(src, &complaint, err);
    if (!explain_resolve(x, dst, true, &x->dst, &complaint))
        return refuse(dst, &complaint, err);
    if (x->src.len == 0)
        put_nobody(x, &x->src);
    else if (x->dst.len == 0)
        put_nobody(x, &x->dst);
    else
        explain(x);
    return 0;
}

int policy_explain(const struct policy *p, const struct tailnet_view *view, struct str src,
                   struct str dst, int port, int proto, struct buf *out, struct err *err)
{
    AUTO(policy_unref) const struct policy *stand_in = p->is_open ? policy_stand_in(view) : NULL;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct explain x = {.p = stand_in ? stand_in : p,
                        .no_policy = p->is_open || p->is_stand_in,
                        .view = view,
                        .arena = arena,
                        .out = out,
                        .proto = proto,
                        .port = port};
    int status = run(&x, src, dst, err);

    mem_free(x.src.items);
    mem_free(x.dst.items);
    return status;
}
