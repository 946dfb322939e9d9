#include "without_held.h"

#include <stdio.h>

#include "made_view.h"

static void put_guest(struct made_view *m, const struct tailnet_view *v, const struct node *g)
{
    const struct user *u = view_guest_user_find(v, g->user);
    const struct tailnet_info *home = view_guest_info_find(v, g->tailnet);

    table_put(&m->guests, g->id, node_ref(g));
    if (u)
        table_put(&m->guest_users, u->id, user_ref(u));
    if (home)
        table_put(&m->infos, home->id, tailnet_info_ref(home));
}

const struct tailnet_view *view_without_held(const struct tailnet_view *v)
{
    struct made_view m;
    size_t n_users = 0;
    const struct user *const *list = view_users(v, &n_users);
    const struct node *n;

    made_view_begin(&m);
    for (size_t at = 0; (n = view_node_next(v, &at));)
        if (n->holds == 0)
            table_put(&m.nodes, n->id, node_ref(n));
    for (size_t at = 0; (n = view_guest_next(v, &at));)
        if (n->holds == 0)
            put_guest(&m, v, n);
    for (size_t i = 0; i < n_users; i++)
        table_put(&m.users, list[i]->id, user_ref(list[i]));
    return made_view_end(&m, v);
}

static bool is(bool left_out, const struct node *held, const char *what, char why[HELD_WHY])
{
    if (!left_out)
        (void)snprintf(why, HELD_WHY, "%llu is held back, and %s", (unsigned long long)held->id,
                       what);
    return left_out;
}

static bool text_is(const struct buf *text, const char *want)
{
    return str_eq(buf_str(text), str_from(want));
}

/* What it is told itself. */
static bool is_told_nothing(const struct policy *p, const struct node *held, char why[HELD_WHY])
{
    struct buf canonical = BUF(0), compact = BUF(0), named = BUF(0), ssh = BUF(0);
    const struct str *names;
    bool same;

    policy_put_filter(p, held->id, POLICY_CANONICAL, &canonical);
    policy_put_filter(p, held->id, POLICY_COMPACT, &compact);
    policy_put_named_filter(NULL, p, held->id, POLICY_CANONICAL, &named);
    policy_put_ssh(p, held->id, STR_NONE, &ssh);
    same =
        is(text_is(&canonical, "[]") && text_is(&compact, "[]") && text_is(&named, "{\"*\":null}"),
           held, "lets something in", why) &&
        is(text_is(&ssh, "{\"rules\":[]}"), held, "gives shells", why) &&
        is(policy_attrs(p, held->id, &names) == 0 && !policy_has_routes(p, held->id), held,
           "has attributes or routes", why);
    buf_fini(&canonical);
    buf_fini(&compact);
    buf_fini(&named);
    buf_fini(&ssh);
    return same;
}

static bool is_nothing_to(const struct policy *p, const struct node *held, const struct node *other,
                          char why[HELD_WHY])
{
    struct ip_prefix route;
    uint32_t a = policy_class_of(p, held->id), b = policy_class_of(p, other->id);

    return is(a == 0, held, "has a class", why) &&
           is(!policy_sees(p, held->id, other->id) && !policy_sees(p, other->id, held->id) &&
                  policy_class_sight(p, a, b) == POLICY_SIGHT_NONE &&
                  policy_class_sight(p, b, a) == POLICY_SIGHT_NONE,
              held, "sees or is seen", why) &&
           is(policy_ssh_check_ms(p, held->id, other->id) < 0 &&
                  policy_ssh_check_ms(p, other->id, held->id) < 0,
              held, "logs in or is logged in to", why) &&
           is(!policy_would_reach(p, held->id, other->id) &&
                  !policy_would_reach(p, other->id, held->id),
              held, "would reach or be reached", why) &&
           is(policy_peer_routes(p, other->id, held->id, &route, 1) == 0, held, "serves routes",
              why);
}

bool held_are_left_out(const struct policy *p, const struct tailnet_view *v, char why[HELD_WHY])
{
    const struct node *held, *other;
    bool same = true;

    for (struct view_any_at at = {0}; same && (held = view_any_next(v, &at));) {
        bool is_guest = held->tailnet != view_info(v)->id;

        if (held->holds == 0 || (is_guest && policy_is_open(p)))
            continue;
        same = is_told_nothing(p, held, why);
        for (struct view_any_at k = {0}; same && (other = view_any_next(v, &k));)
            same = is_nothing_to(p, held, other, why);
    }
    return same;
}
