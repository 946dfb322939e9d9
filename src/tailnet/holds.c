/*
 * Who has access: people approved, suspended and restored, machines approved, and the nodes that
 * are held because of it (enum node_hold).
 *
 *   HOLD_USER    the owner is not active; follows him, so it is never stored
 *   HOLD_DEVICE  the tailnet asks for approval, and nobody approved the machine
 *
 * A held node is registered and keeps its map stream. It is no guest, lends nothing and serves no
 * route; what that means for clients is others' business, who are told by NODE_ACCESS.
 */

#include "tailnet/domain_internal.h"

bool user_is_active(const struct domain *d, user_id id)
{
    const struct user_state *s = map_find_u64(d->user_by_id, id);

    return s && s->user->status == USER_ACTIVE;
}

const char *user_inactive_text(const struct user *u)
{
    return u->status == USER_PENDING
               ? "the user waits for the approval of one of the tailnet's administrators"
               : "the user is suspended: ask one of the tailnet's administrators";
}

bool is_approval_asked(const struct tailnet *t)
{
    const struct tailnet_settings *s = &t->info->settings;

    return (s->set & SETTING_DEVICE_APPROVAL) && s->device_approval;
}

/* ---- Nodes ---- */

unsigned holds_of_owner(const struct domain *d, user_id owner)
{
    return owner == 0 || user_is_active(d, owner) ? 0 : (unsigned)HOLD_USER;
}

void node_set_holds(struct domain *d, struct node_state *s, unsigned holds)
{
    unsigned was = node_now(s)->holds;

    if (was == holds)
        return;
    s->tailnet->n_unapproved -= (was & HOLD_DEVICE) != 0;
    s->tailnet->n_unapproved += (holds & HOLD_DEVICE) != 0;
    node_edit(d, s, NODE_ACCESS)->holds = holds;
    if ((was == 0) == (holds == 0))
        return;
    routes_touch_node(d, s);
    guests_node(d, s);
}

void node_follow_owner(struct domain *d, struct node_state *s)
{
    const struct node *n = node_now(s);

    node_set_holds(d, s, (n->holds & ~(unsigned)HOLD_USER) | holds_of_owner(d, n->user));
}

void holds_user_changed(struct domain *d, const struct user_state *s)
{
    const struct node *n;

    for (size_t at = 0; s->n_nodes > 0 && (n = table_next(&s->tailnet->nodes, &at));)
        if (n->user == s->user->id)
            node_follow_owner(d, node_state_by_id(d, n->id));
    api_keys_follow_user(d, s);
}

void holds_info_changed(struct domain *d, struct tailnet *t)
{
    const struct node *n;

    if (t->n_unapproved == 0 || is_approval_asked(t))
        return;
    for (size_t at = 0; (n = table_next(&t->nodes, &at));) {
        struct node_state *s = node_state_by_id(d, n->id);

        node_set_holds(d, s, node_now(s)->holds & ~(unsigned)HOLD_DEVICE);
    }
}

int node_approve(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    struct node_state *s = NULL;

    (void)r;
    if (node_get(d, c, &s, err) < 0)
        return -(int)err->code;
    if (c->revokes && !is_approval_asked(s->tailnet))
        return err_set(err, ERR_CONFLICT,
                       "machines need no approval in this tailnet: turn device approval on first");
    if (c->revokes)
        node_set_holds(d, s, s->node->holds | HOLD_DEVICE);
    else
        node_set_holds(d, s, s->node->holds & ~(unsigned)HOLD_DEVICE);
    return 0;
}

/* ---- Users ---- */

static int user_find(struct domain *d, const struct command *c, struct user_state **out,
                     struct err *err)
{
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 ||
        user_get(d, t, c->id, c->user_name, out, err) < 0)
        return -(int)err->code;
    d->of = t;
    return 0;
}

static void set_status(struct domain *d, struct user_state *s, enum user_status status,
                       struct command_result *r)
{
    struct user *with = user_clone(s->user);

    with->status = status;
    user_replace(d, s, with);
    r->id = s->user->id;
    r->user = user_ref(s->user);
}

int user_approve(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    struct user_state *s = NULL;

    if (user_find(d, c, &s, err) < 0)
        return -(int)err->code;
    if (s->user->status != USER_PENDING)
        return err_set(err, ERR_CONFLICT, "the user does not wait for approval");
    set_status(d, s, USER_ACTIVE, r);
    return 0;
}

int user_suspend(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    struct user_state *s = NULL;

    if (user_find(d, c, &s, err) < 0)
        return -(int)err->code;
    if (s->user->status == USER_SUSPENDED)
        return err_set(err, ERR_CONFLICT, "the user is suspended already");
    if (user_check_not_last_owner(s, err) < 0)
        return -(int)err->code;
    set_status(d, s, USER_SUSPENDED, r);
    return 0;
}

int user_restore(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    struct user_state *s = NULL;

    if (user_find(d, c, &s, err) < 0)
        return -(int)err->code;
    if (s->user->status != USER_SUSPENDED)
        return err_set(err, ERR_CONFLICT, "the user is not suspended");
    set_status(d, s, USER_ACTIVE, r);
    return 0;
}
