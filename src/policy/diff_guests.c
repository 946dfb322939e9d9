/* What changes between guests and the nodes that shares are about, share by share. */

#include "policy/diff_internal.h"

#define NAMES_MAX 4

/* Whom a share is about, so far as the two policies differ. */
struct differing {
    const struct share *share;
    bool lent_here; /* the node is this tailnet's, and guests come; else it is a guest */
};

static bool is_about(const struct share *s, const struct node *n)
{
    return n->tailnet == s->guest && (s->user == 0 || n->user == s->user);
}

/* +1: only the new policy lets it begin connections, -1: only the old one. */
static int differs(const struct diff *d, node_id from, node_id to)
{
    return (int)policy_would_reach(d->p[AFTER], from, to) -
           (int)policy_would_reach(d->p[BEFORE], from, to);
}

/* The next node that the share is for: a guest, or an own node. */
static const struct node *next_user(const struct diff *d, const struct differing *x, size_t *at)
{
    const struct node *n;

    while ((n = x->lent_here ? policy_guest_next(d->view, at) : policy_node_next(d->view, at)))
        if (is_about(x->share, n))
            return n;
    return NULL;
}

static void put_line(struct diff *d, const struct differing *x, const struct node *lent, int way)
{
    size_t n = 0, at = 0;
    const struct node *from;

    while ((from = next_user(d, x, &at))) {
        if (!diff_work(d, 64) || differs(d, from->id, lent->id) != way)
            continue;
        if (n == 0 && !diff_line(d))
            return;
        if (n == 0)
            buf_printf(d->out, "%c ", way > 0 ? '+' : '-');
        if (n++ < NAMES_MAX) {
            struct str name = x->lent_here ? node_dns_name(from) : from->given_name;

            buf_printf(d->out, "%s%.*s", n > 1 ? ", " : "", STR_ARG(name));
        }
    }
    if (n == 0)
        return;
    if (n > NAMES_MAX)
        buf_printf(d->out, " and %zu more", n - NAMES_MAX);
    buf_printf(d->out, " may %sreach %.*s, as far as the share goes\n", way > 0 ? "" : "no longer ",
               STR_ARG(x->lent_here ? lent->given_name : node_dns_name(lent)));
}

void diff_guests(struct diff *d)
{
    const struct share *s;
    size_t at = 0;

    if (view_guest_count(d->view) == 0)
        return;
    while ((s = view_share_next(d->view, &at))) {
        const struct differing x = {s, s->owner == view_info(d->view)->id};
        const struct node *lent =
            x.lent_here ? policy_node_find(d->view, s->node) : policy_guest_find(d->view, s->node);

        if (!s->accepted_ms || !lent)
            continue;
        put_line(d, &x, lent, 1);
        put_line(d, &x, lent, -1);
    }
}
