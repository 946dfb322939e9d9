/*
 * Why something is allowed or not: see policy_explain in policy.h.
 */

#include "policy/reach_internal.h"

static const struct node *node_named(const struct tailnet_view *view, struct str name)
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(view, &at));) {
        struct ip_addr addr;
        bool is_addr = ip_addr_parse(name, &addr);

        if (str_eq_nocase(n->given_name, name) || str_eq_nocase(n->fqdn, name) ||
            str_eq(n->stable_id, name))
            return n;
        if (is_addr && (ip_addr_eq(n->v4, addr) || ip_addr_eq(n->v6, addr)))
            return n;
    }
    return NULL;
}

int policy_explain(const struct policy *p, const struct tailnet_view *view, struct str src,
                   struct str dst, int port, int proto, struct buf *out, struct err *err)
{
    const struct node *from = node_named(view, src), *to = node_named(view, dst);
    bool allowed;

    if (!from)
        return err_set(err, ERR_INVALID, "no machine is called \"%.*s\"", STR_ARG(src));
    if (!to)
        return err_set(err, ERR_INVALID, "no machine is called \"%.*s\"", STR_ARG(dst));
    allowed = policy_allows(p, from->v4, to->v4, proto, (uint16_t)MAX(port, 0)) ||
              policy_allows(p, from->v6, to->v6, proto, (uint16_t)MAX(port, 0));
    buf_printf(out, "%s: %.*s to %.*s\n", allowed ? "ALLOWED" : "DENIED", STR_ARG(from->given_name),
               STR_ARG(to->given_name));
    return 0;
}
