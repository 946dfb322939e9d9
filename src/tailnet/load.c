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
    if (user->id == 0 || map_find_u64(d->user_by_id, user->id) ||
        (user->provider_id.len == 0 && map_find(t->local_users, user->name)))
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

static bool addr_is_taken(const struct domain *d, const struct ip_addr *addr)
{
    return ip_addr_is_set(*addr) && map_find(d->node_by_addr, str_bytes(addr, sizeof(*addr)));
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
    if (addr_is_taken(d, &n->v4) || addr_is_taken(d, &n->v6))
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
    d->next.tailnet = MAX(d->next.tailnet, next->tailnet);
    d->next.user = MAX(d->next.user, next->user);
    d->next.auth_key = MAX(d->next.auth_key, next->auth_key);
    d->next.node = MAX(d->next.node, next->node);
    d->next.api_key = MAX(d->next.api_key, next->api_key);
    d->next.audit = MAX(d->next.audit, next->audit);
}

void domain_load_done(struct domain *d, int64_t now_ms)
{
    struct change_list untold = {0};
    struct str key;
    void *value;

    d->now_ms = now_ms;
    for (size_t at = 0; map_next(d->node_by_id, &at, &key, &value);) {
        struct node_state *s = value;

        node_set_expiry(d, s, s->node->expiry_ms);
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
