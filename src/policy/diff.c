/*
 * What becomes different when one policy takes another's place: see policy_diff in policy.h.
 */

#include "policy/reach_internal.h"

void policy_diff(const struct policy *a, const struct policy *b, const struct tailnet_view *view,
                 struct buf *out)
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(view, &at));) {
        struct buf x = BUF(0), y = BUF(0);

        policy_put_filter(a, n->id, POLICY_CANONICAL, &x);
        policy_put_filter(b, n->id, POLICY_CANONICAL, &y);
        if (!str_eq(buf_str(&x), buf_str(&y)))
            buf_printf(out, "~ what may reach %.*s changes\n", STR_ARG(n->given_name));
        buf_fini(&x);
        buf_fini(&y);
    }
}
