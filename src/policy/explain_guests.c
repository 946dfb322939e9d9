/*
 * Explaining about one machine of another tailnet, named by its full name or an address: a share
 * and a rule must both let it be reached, or let it in.
 */

#include "policy/explain_internal.h"
#include "policy/guests_internal.h"

#include <stdio.h>

/* The guest that the text names; NULL: it names none. */
static const struct node *guest_named(const struct explain *x, struct str text)
{
    const struct node *n;
    struct ip_addr addr;
    bool is_addr;

    text = str_trim(text);
    is_addr = ip_addr_parse(text, &addr);
    if (str_ends(text, STR(".")))
        text = str_sub(text, 0, text.len - 1);
    for (size_t at = 0; text.len && (n = policy_guest_next(x->view, &at));)
        if (is_addr ? ip_addr_eq(n->v4, addr) || ip_addr_eq(n->v6, addr)
                    : str_eq_nocase(node_dns_name(n), text) || str_eq(n->stable_id, text))
            return n;
    return NULL;
}

static struct end guest_end(const struct node *g)
{
    struct end e = {.node = g, .name = node_dns_name(g)};

    if (ip_addr_is_set(g->v4))
        e.addrs[e.n_addrs++] = g->v4;
    if (ip_addr_is_set(g->v6))
        e.addrs[e.n_addrs++] = g->v6;
    return e;
}

static bool is_allowed(const struct explain *x, const struct end *from, const struct end *to,
                       const struct abroad_item *item)
{
    if (x->port < 0)
        return item && to->node && policy_would_reach(x->p, from->node->id, to->node->id);
    for (size_t i = 0; i < from->n_addrs; i++)
        for (size_t k = 0; k < to->n_addrs; k++)
            if (from->addrs[i].family == to->addrs[k].family &&
                policy_allows(x->p, from->addrs[i], to->addrs[k], x->proto, (uint16_t)x->port))
                return true;
    return false;
}

static void put_terms(struct buf *out, const struct share_terms *t)
{
    for (size_t i = 0; i < t->n_ports; i++) {
        buf_put(out, i ? STR(", ") : STR(" on the ports "));
        if (t->ports[i].first == t->ports[i].last)
            buf_printf(out, "%u", t->ports[i].first);
        else
            buf_printf(out, "%u-%u", t->ports[i].first, t->ports[i].last);
    }
    buf_put(out, t->n_ports ? STR(" only") : STR(" on all ports"));
}

/* A line: what share and rules say of the pair. */
static void put_pair(const struct explain *x, const struct end *from, const struct end *to,
                     const struct abroad_item *item)
{
    bool would = to->node && from->node && policy_would_reach(x->p, from->node->id, to->node->id);

    buf_printf(x->out, "  %.*s to %.*s: ", STR_ARG(from->name), STR_ARG(to->name));
    if (item) {
        buf_put(x->out, STR("a share allows it"));
        put_terms(x->out, &item->terms);
    } else {
        buf_put(x->out, would ? STR("no share, or not the other tailnet's policy, lets it begin "
                                    "connections")
                              : STR("nothing lets it begin connections"));
    }
    if (to->node && from->node)
        buf_put(x->out,
                would ? STR("; a rule here allows it\n") : STR("; no rule here allows it\n"));
    else
        buf_put_char(x->out, '\n');
}

static void put_headline(const struct explain *x, size_t allowed, size_t pairs, struct str src,
                         struct str dst)
{
    buf_put(x->out, allowed == 0       ? STR("DENIED: ")
                    : allowed == pairs ? STR("ALLOWED: ")
                                       : STR("PARTLY: "));
    buf_printf(x->out, "%.*s may %sreach %.*s", STR_ARG(src), allowed ? "" : "not ", STR_ARG(dst));
    if (x->port >= 0 && policy_proto_name(x->proto))
        buf_printf(x->out, " on %s %d", policy_proto_name(x->proto), x->port);
    if (allowed && allowed < pairs)
        buf_printf(x->out, ": %zu of %zu pairs", allowed, pairs);
    buf_put_char(x->out, '\n');
}

/* The guest is one side, `own` the other. */
static void explain_pairs(const struct explain *x, const struct node *g, const struct side *own,
                          bool is_src)
{
    const struct tailnet_info *home = view_guest_info_find(x->view, g->tailnet);
    struct end guest = guest_end(g);
    struct buf lines = BUF(0), *out = x->out;
    struct explain y = *x;
    size_t allowed = 0, n = MIN(own->len, (size_t)1000);

    y.out = &lines;
    for (size_t i = 0; i < n; i++) {
        const struct end *from = is_src ? &guest : &own->items[i];
        const struct end *to = is_src ? &own->items[i] : &guest;
        const struct abroad_item *item =
            from->node && to->node ? abroad_find(from->node->abroad, to->node->id) : NULL;

        allowed += is_allowed(x, from, to, item);
        if (i < EXPLAIN_LINES_MAX)
            put_pair(&y, from, to, item);
    }
    put_headline(x, allowed, n, is_src ? guest.name : own->text, is_src ? own->text : guest.name);
    buf_put(out, buf_str(&lines));
    if (n > EXPLAIN_LINES_MAX)
        buf_printf(out, "  ... and %zu more\n", n - EXPLAIN_LINES_MAX);
    buf_printf(out, "%.*s is a machine of the tailnet \"%.*s\"\n", STR_ARG(guest.name),
               STR_ARG(home ? home->name : STR_NONE));
    buf_fini(&lines);
}

bool explain_guests(struct explain *x, struct str src, struct str dst)
{
    const struct node *g = guest_named(x, src), *h = guest_named(x, dst);
    struct policy_complaint complaint = {0};
    struct side *own = g ? &x->dst : &x->src;

    if (!g && !h)
        return false;
    if (g && h) {
        buf_printf(x->out, "DENIED: %.*s and %.*s are both machines of other tailnets\n",
                   STR_ARG(node_dns_name(g)), STR_ARG(node_dns_name(h)));
        return true;
    }
    /* Who is no machine here is told of as ever. */
    if (!explain_resolve(x, g ? dst : src, g != NULL, own, &complaint) || own->len == 0) {
        mem_free(own->items);
        *own = (struct side){0};
        return false;
    }
    explain_pairs(x, g ? g : h, own, g != NULL);
    return true;
}
