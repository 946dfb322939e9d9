/*
 * Backfilling: the configuration gained or lost an address family, and every node follows. Nodes
 * keep the addresses they have, also those outside of a prefix that changed. headscale.md 5.3.
 */

#include "tailnet/domain_internal.h"

static void note(struct command_result *r, const char *done, uint8_t family, struct ip_addr addr,
                 const char *where, const struct node *n)
{
    struct buf line = BUF(1024);

    buf_printf(&line, "%s IPv%d \"", done, family == IP_V4 ? 4 : 6);
    ip_addr_put(&line, addr);
    buf_printf(&line, "\" %s Node(%" PRIu64 ") \"%.*s\"", where, n->id, STR_ARG(n->given_name));
    str_list_add(&r->lines, buf_str(&line));
    buf_fini(&line);
}

static void note_none(struct command_result *r, uint8_t family, const struct node *n)
{
    struct buf line = BUF(1024);

    buf_printf(&line, "no free IPv%d address for Node(%" PRIu64 ") \"%.*s\"",
               family == IP_V4 ? 4 : 6, n->id, STR_ARG(n->given_name));
    str_list_add(&r->lines, buf_str(&line));
    buf_fini(&line);
}

static void backfill(struct domain *d, struct node_state *s, uint8_t family,
                     struct command_result *r)
{
    const struct tailnet_info *info = s->tailnet->info;
    bool wanted = ip_prefix_is_set(family == IP_V4 ? info->prefix_v4 : info->prefix_v6);
    const struct node *n = node_now(s);
    struct ip_addr addr = family == IP_V4 ? n->v4 : n->v6;

    if (wanted == ip_addr_is_set(addr))
        return;
    if (!wanted) {
        address_set(d, s, family, (struct ip_addr){0});
        note(r, "removing", family, addr, "from", node_now(s));
    } else if (address_find(d, s->tailnet, family, &addr)) {
        address_set(d, s, family, addr);
        note(r, "assigned", family, addr, "to", node_now(s));
    } else {
        note_none(r, family, n);
    }
}

int nodes_backfill(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    struct tailnet *t = NULL;
    const struct node *n;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    d->of = t;
    r->id = t->id;
    for (size_t at = 0; (n = table_next(&t->nodes, &at));) {
        struct node_state *s = node_state_by_id(d, n->id);

        /* What it gains first: a node is never without an address. */
        uint8_t first = ip_prefix_is_set(t->info->prefix_v4) ? IP_V4 : IP_V6;
        backfill(d, s, first, r);
        backfill(d, s, first == IP_V4 ? IP_V6 : IP_V4, r);
    }
    return 0;
}
