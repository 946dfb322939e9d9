/* Start-up: what the store has is put back. Nothing is told to anybody; what cannot be true is
 * refused. */

#include "tailnet/domain_internal.h"

int domain_load_tailnet(struct domain *d, struct tailnet_info *info, uint64_t revision,
                        struct err *err)
{
    AUTO(tailnet_info_unref) const struct tailnet_info *owned = info;

    if (info->id == 0 || domain_tailnet(d, info->id) || map_find(d->tailnet_by_name, info->name))
        return err_set(err, ERR_CONFLICT, "tailnet %" PRIu64 " is there twice", info->id);
    if (tailnet_info_check(info, err) < 0)
        return err_wrap(err, "tailnet %" PRIu64, info->id);
    tailnet_add(d, TAKE(owned))->revision = revision;
    return 0;
}

/* What was loaded is not in a view yet that somebody made before. */
static void forget_view(struct tailnet *t)
{
    view_unref(t->view);
    t->view = NULL;
}

int domain_load_user(struct domain *d, struct user *user, struct err *err)
{
    AUTO(user_unref) const struct user *owned = user;
    struct tailnet *t = user->tailnet ? domain_tailnet(d, user->tailnet) : NULL;

    if (!t)
        return err_set(err, ERR_INVALID, "user %" PRIu64 " is of no tailnet", user->id);
    if ((unsigned)user->status > USER_SUSPENDED || (unsigned)user->role >= ROLES)
        return err_set(err, ERR_INVALID, "user %" PRIu64 " has no role or status there is",
                       user->id);
    if (user->id == 0 || map_find_u64(d->user_by_id, user->id) ||
        (user->provider_id.len == 0 ? map_find(t->local_users, user->name) != NULL
                                    : account_find(d, t, user->provider_id) != NULL))
        return err_set(err, ERR_CONFLICT, "user %" PRIu64 " is there twice", user->id);
    user_put(d, t, TAKE(owned));
    forget_view(t);
    return 0;
}

int domain_load_auth_key(struct domain *d, struct auth_key *key, struct err *err)
{
    AUTO(auth_key_unref) const struct auth_key *owned = key;
    struct tailnet *t = key->tailnet ? domain_tailnet(d, key->tailnet) : NULL;
    const struct user_state *u = key->user ? map_find_u64(d->user_by_id, key->user) : NULL;

    if (!t || (key->user != 0 && (!u || u->tailnet != t)))
        return err_set(err, ERR_INVALID, "auth key %" PRIu64 " is of no tailnet or user", key->id);
    if (key->id == 0 || map_find_u64(d->key_by_id, key->id) ||
        (key->prefix.len > 0 && map_find(d->key_by_prefix, key->prefix)))
        return err_set(err, ERR_CONFLICT, "auth key %" PRIu64 " is there twice", key->id);
    auth_key_put(d, t, TAKE(owned));
    forget_view(t);
    return 0;
}

static bool addr_is_taken(const struct domain *d, const struct tailnet *t,
                          const struct ip_addr *addr)
{
    return ip_addr_is_set(*addr) && address_holder(d, t, addr);
}

static int check_node(const struct domain *d, const struct tailnet *t, const struct node *n,
                      struct err *err)
{
    const struct user_state *u = n->user ? map_find_u64(d->user_by_id, n->user) : NULL;

    if (!t || (n->user != 0 && (!u || u->tailnet != t)))
        return err_set(err, ERR_INVALID, "is of no tailnet or user");
    if ((n->user == 0) != node_is_tagged(n))
        return err_set(err, ERR_INVALID, "must have an owner or tags, and not both");
    if (n->id == 0 || node_state_by_id(d, n->id))
        return err_set(err, ERR_CONFLICT, "is there twice");
    if (node_key_is_zero(&n->key) || node_state_by_key(d, &n->key))
        return err_set(err, ERR_CONFLICT, "has no node key or another's");
    if (addr_is_taken(d, t, &n->v4) || addr_is_taken(d, t, &n->v6))
        return err_set(err, ERR_CONFLICT, "has another's address");
    if (!name_is_label(n->given_name) || name_find(t, n->given_name))
        return err_set(err, ERR_CONFLICT, "has no DNS label as its name or another's");
    return 0;
}

int domain_load_node(struct domain *d, struct node *node, struct err *err)
{
    AUTO(node_unref) const struct node *owned = node;
    struct tailnet *t = node->tailnet ? domain_tailnet(d, node->tailnet) : NULL;

    if (check_node(d, t, node, err) < 0)
        return err_wrap(err, "node %" PRIu64, node->id);
    /* Nobody shares it yet. Streams do not outlive the server, and who serves is decided anew. */
    node->online = false;
    node->expired = false;
    node->n_serving = 0;
    node->exit_node = false;
    node->holds =
        (is_approval_asked(t) ? node->holds & HOLD_DEVICE : 0) | holds_of_owner(d, node->user);
    abroad_unref(node->abroad);
    node->abroad = NULL;
    if (!node->facts)
        node->facts = node_facts_new();
    name_make_fqdn(node, t->info);
    owned = NULL;
    struct node_state *s = node_add(d, t, node);
    if (!name_take(t, s, node->given_name))
        ASSERT(false && "checked before");
    routes_update_node(d, s);
    list_remove(&s->drafts_link);
    s->node = TAKE(s->draft);
    s->mask = 0;
    table_put(&t->nodes, s->node->id, s->node);
    forget_view(t);
    /* Without an online candidate nothing is to be decided. */
    routes_elect(d);
    return 0;
}

int domain_load_find_addresses(struct domain *d, tailnet_id tailnet, struct ip_addr *v4,
                               struct ip_addr *v6, struct err *err)
{
    const struct tailnet *t = domain_tailnet(d, tailnet);

    if (!t)
        return err_set(err, ERR_NOT_FOUND, "tailnet not found");
    return addresses_find(d, t, v4, v6, err);
}

void domain_load_counters(struct domain *d, const struct domain_counters *next)
{
    ids_restore(d, next);
}

int domain_load_share(struct domain *d, struct share *share, struct err *err)
{
    AUTO(share_unref) const struct share *owned = share;
    const struct node_state *n = node_state_by_id(d, share->node);
    struct tailnet *owner = share->owner ? domain_tailnet(d, share->owner) : NULL;
    struct tailnet *guest = share->guest ? domain_tailnet(d, share->guest) : NULL;
    const struct user_state *u = share->user ? map_find_u64(d->user_by_id, share->user) : NULL;
    const struct user_state *by = share->sharer ? map_find_u64(d->user_by_id, share->sharer) : NULL;

    if (!owner || !guest || owner == guest || !n || n->tailnet != owner ||
        (share->user != 0 && (!u || u->tailnet != guest)) ||
        (share->sharer != 0 && (!by || by->tailnet != owner)))
        return err_set(err, ERR_INVALID,
                       "share %" PRIu64 " is of no tailnet, machine or user, or of the wrong one",
                       share->id);
    if (share->id == 0 || map_find_u64(d->share_by_id, share->id) ||
        share_find(d, share->node, share->guest, share->user))
        return err_set(err, ERR_CONFLICT, "share %" PRIu64 " is there twice", share->id);
    if (share_terms_check(&share->terms, err) < 0)
        return err_wrap(err, "share %" PRIu64, share->id);
    d->is_quiet = true;
    share_settle(d, share_add(d, TAKE(owned)));
    d->is_quiet = false;
    forget_view(owner);
    forget_view(guest);
    return 0;
}

int domain_load_share_invite(struct domain *d, struct share_invite *invite, struct err *err)
{
    AUTO(share_invite_unref) const struct share_invite *owned = invite;
    const struct node_state *n = node_state_by_id(d, invite->node);
    struct tailnet *t = invite->tailnet ? domain_tailnet(d, invite->tailnet) : NULL;
    const struct user_state *by =
        invite->sharer ? map_find_u64(d->user_by_id, invite->sharer) : NULL;

    if (!t || !n || n->tailnet != t || invite->uses_left == 0 ||
        (invite->sharer != 0 && (!by || by->tailnet != t)))
        return err_set(err, ERR_INVALID, "invitation %" PRIu64 " is of no tailnet, machine or user",
                       invite->id);
    if (invite->id == 0 || invitation_is_there(&d->share_invites, invite->id, invite->hash))
        return err_set(err, ERR_CONFLICT, "invitation %" PRIu64 " is there twice", invite->id);
    if (share_terms_check(&invite->terms, err) < 0)
        return err_wrap(err, "invitation %" PRIu64, invite->id);
    invite_add(d, TAKE(owned));
    forget_view(t);
    return 0;
}

int domain_load_user_invite(struct domain *d, struct user_invite *invite, struct err *err)
{
    AUTO(user_invite_unref) const struct user_invite *owned = invite;
    struct tailnet *t = invite->tailnet ? domain_tailnet(d, invite->tailnet) : NULL;
    const struct user_state *by =
        invite->inviter ? map_find_u64(d->user_by_id, invite->inviter) : NULL;

    if (!t || (invite->inviter != 0 && (!by || by->tailnet != t)) ||
        (unsigned)invite->role >= ROLES || invite->expiry_ms == 0)
        return err_set(err, ERR_INVALID,
                       "invitation of people %" PRIu64
                       " is of no tailnet, user or role, or endless",
                       invite->id);
    if (invite->id == 0 || invitation_is_there(&d->user_invites, invite->id, invite->hash))
        return err_set(err, ERR_CONFLICT, "invitation of people %" PRIu64 " is there twice",
                       invite->id);
    user_invite_add(d, TAKE(owned));
    forget_view(t);
    return 0;
}

/* Guests, and by what addresses they are known, are as nobody was told of before. */
static void publish_guests(struct domain *d)
{
    struct change_list untold = {0};

    d->is_quiet = true;
    d->changes = &untold;
    nodes_publish(d);
    d->changes = NULL;
    d->is_quiet = false;
    change_list_fini(&untold);
    LIST_FOR_EACH(t, &d->tailnets, struct tailnet, tailnets_link) {
        if (t->shares.count > 0)
            forget_view(t);
    }
}

void domain_load_done(struct domain *d, int64_t now_ms)
{
    struct change_list untold = {0};
    struct str key;
    void *value;

    d->now_ms = now_ms;
    publish_guests(d);
    for (size_t at = 0; map_next(d->node_by_id, &at, &key, &value);) {
        struct node_state *s = value;

        node_set_expiry(d, s, s->node->expiry_ms);
        attributes_schedule(d, s);
        expiring_schedule(d, s, true);
        ephemeral_schedule(d, s, now_ms);
    }
    routes_elect(d);
    /* Those that expired while the server was away: told like any change, only nobody listens yet.
     */
    d->changes = &untold;
    nodes_publish(d);
    d->changes = NULL;
    change_list_fini(&untold);
}
