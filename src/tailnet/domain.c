/*
 * The domain's tables and the way of a command through it; what each command does is in the files
 * named by domain_internal.h.
 */

#include "core/num.h"
#include "core/rand.h"
#include "tailnet/domain_internal.h"

typedef int handler(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err);

static handler *const handlers[] = {
    [COMMAND_TAILNET_CREATE] = tailnet_create,
    [COMMAND_TAILNET_UPDATE] = tailnet_update,
    [COMMAND_TAILNET_SET] = tailnet_set,
    [COMMAND_TAILNET_SUSPEND] = tailnet_suspend,
    [COMMAND_TAILNET_RESUME] = tailnet_resume,
    [COMMAND_TAILNET_DELETE] = tailnet_delete,
    [COMMAND_POLICY_SET] = policy_set,
    [COMMAND_DNS_SET] = dns_set,
    [COMMAND_SETTINGS_SET] = settings_set,
    [COMMAND_USER_CREATE] = user_create,
    [COMMAND_USER_RENAME] = user_rename,
    [COMMAND_USER_UPDATE] = user_update,
    [COMMAND_USER_LOGIN] = user_login,
    [COMMAND_LOGIN_CHOICES] = login_choices,
    [COMMAND_USER_APPROVE] = user_approve,
    [COMMAND_USER_SUSPEND] = user_suspend,
    [COMMAND_USER_RESTORE] = user_restore,
    [COMMAND_USER_INVITE_CREATE] = user_invite_make,
    [COMMAND_USER_INVITE_REVOKE] = user_invite_revoke,
    [COMMAND_USER_INVITE_ACCEPT] = user_invite_accept,
    [COMMAND_USER_DELETE] = user_delete,
    [COMMAND_AUTH_KEY_CREATE] = auth_key_create,
    [COMMAND_AUTH_KEY_EXPIRE] = auth_key_expire,
    [COMMAND_AUTH_KEY_REVOKE] = auth_key_revoke,
    [COMMAND_AUTH_KEY_DELETE] = auth_key_delete,
    [COMMAND_API_KEY_CREATE] = api_key_create,
    [COMMAND_API_KEY_EXPIRE] = api_key_expire,
    [COMMAND_API_KEY_DELETE] = api_key_delete,
    [COMMAND_API_KEY_SEEN] = api_key_seen,
    [COMMAND_OAUTH_CLIENT_CREATE] = oauth_client_create,
    [COMMAND_OAUTH_CLIENT_UPDATE] = oauth_client_update,
    [COMMAND_OAUTH_CLIENT_DELETE] = oauth_client_delete,
    [COMMAND_OAUTH_TOKEN_CREATE] = oauth_token_create,
    [COMMAND_SESSION_CREATE] = session_create,
    [COMMAND_SESSION_DELETE] = session_delete,
    [COMMAND_REGISTER] = register_node,
    [COMMAND_REGISTER_APPROVE] = register_approve,
    [COMMAND_REGISTER_REJECT] = register_reject,
    [COMMAND_REGISTER_FABRICATE] = register_fabricate,
    [COMMAND_NODE_UPDATE] = node_update,
    [COMMAND_STREAM_OPEN] = node_stream_open,
    [COMMAND_STREAM_CLOSE] = node_stream_close,
    [COMMAND_NODE_PROBED] = node_probed,
    [COMMAND_NODE_RENAME] = node_rename,
    [COMMAND_NODE_DELETE] = node_delete,
    [COMMAND_NODE_EXPIRE] = node_expire,
    [COMMAND_NODE_MOVE] = node_move,
    [COMMAND_NODE_TAG] = node_tag,
    [COMMAND_NODE_APPROVE] = node_approve,
    [COMMAND_NODE_APPROVE_ROUTES] = node_approve_routes,
    [COMMAND_NODE_ADDRESS] = node_set_address,
    [COMMAND_NODE_ATTRIBUTE_SET] = node_attribute_set,
    [COMMAND_NODE_ATTRIBUTE_DELETE] = node_attribute_delete,
    [COMMAND_NODES_BACKFILL] = nodes_backfill,
    [COMMAND_SHARE_CREATE] = share_create,
    [COMMAND_SHARE_ACCEPT] = share_accept,
    [COMMAND_SHARE_UPDATE] = share_update,
    [COMMAND_SHARE_REVOKE] = share_revoke,
    [COMMAND_SHARE_INVITE_CREATE] = share_invite_make,
    [COMMAND_SHARE_INVITE_REVOKE] = share_invite_revoke,
    [COMMAND_SHARE_INVITE_ACCEPT] = share_invite_accept,
    [COMMAND_NODE_ABROAD] = node_set_abroad,
    [COMMAND_WEBHOOK_CREATE] = webhook_create,
    [COMMAND_WEBHOOK_UPDATE] = webhook_update,
    [COMMAND_WEBHOOK_ROTATE] = webhook_rotate,
    [COMMAND_WEBHOOK_TEST] = webhook_test,
    [COMMAND_WEBHOOK_DELETE] = webhook_delete,
    [COMMAND_TICK] = domain_tick,
};

size_t domain_command_types(void)
{
    return ARRAY_LEN(handlers);
}

struct domain *domain_new(void)
{
    struct domain *d = NEW(struct domain);

    list_init(&d->tailnets);
    d->tailnet_by_id = map_new();
    d->tailnet_by_name = map_new();
    d->node_by_id = map_new();
    d->node_by_key = map_new();
    d->node_by_machine = map_new();
    d->node_by_addr = map_new();
    d->user_by_id = map_new();
    d->user_by_account = map_new();
    d->key_by_id = map_new();
    d->key_by_prefix = map_new();
    d->key_by_legacy = map_new();
    api_keys_init(d);
    d->revoked_retention_ms = REVOKED_RETENTION_MS;
    d->pending_limits = (struct pending_limits){PENDING_MS, PENDING_MAX};
    pending_set_init(&d->pending);
    d->next = (struct domain_counters){.tailnet = 1,
                                       .user = 1,
                                       .auth_key = 1,
                                       .node = 1,
                                       .api_key = 1,
                                       .audit = 1,
                                       .webhook = 1,
                                       .event = 1,
                                       .share = 1,
                                       .share_invite = 1,
                                       .user_invite = 1};
    /* A stream of an earlier domain that ends late must not match one of this domain's. */
    d->next_generation = 1 + rand_below(NUM_JSON_MAX / 2);
    list_init(&d->drafts);
    list_init(&d->touched);
    list_init(&d->shared);
    shares_init(d);
    invitations_init(&d->user_invites);
    return d;
}

static void free_values(struct map *m)
{
    struct str key;
    void *value;

    for (size_t at = 0; map_next(m, &at, &key, &value);)
        mem_free(value);
    map_free(m);
}

void domain_free(struct domain *d)
{
    struct str key;
    void *value;

    if (!d)
        return;
    pending_set_fini(d);
    for (size_t at = 0; map_next(d->node_by_id, &at, &key, &value);)
        node_state_free(d, value);
    shares_fini(d);
    invitations_fini(&d->user_invites);
    for (struct list_node *n = list_pop_front(&d->tailnets); n; n = list_pop_front(&d->tailnets))
        tailnet_free(CONTAINER_OF(n, struct tailnet, tailnets_link));
    map_free(d->tailnet_by_id);
    map_free(d->tailnet_by_name);
    map_free(d->node_by_id);
    map_free(d->node_by_key);
    map_free(d->node_by_machine);
    map_free(d->node_by_addr);
    for (size_t at = 0; map_next(d->user_by_id, &at, &key, &value);)
        mem_free(((struct user_state *)value)->knowers.items);
    free_values(d->user_by_id);
    map_free(d->user_by_account);
    free_values(d->key_by_id);
    map_free(d->key_by_prefix);
    map_free(d->key_by_legacy);
    api_keys_fini(d);
    schedule_fini(&d->schedule);
    mem_free(d);
}

void domain_set_policy_hooks(struct domain *d, const struct domain_policy_hooks *hooks)
{
    d->hooks = hooks ? *hooks : (struct domain_policy_hooks){0};
}

/* ---- Tailnets as tables ---- */

DEFINE_TABLE_OF(node)
DEFINE_TABLE_OF(user)
DEFINE_TABLE_OF(auth_key)
DEFINE_TABLE_OF(tailnet_info)
DEFINE_TABLE_OF(share)
DEFINE_TABLE_OF(share_invite)
DEFINE_TABLE_OF(user_invite)
DEFINE_TABLE_OF(webhook)

struct tailnet *tailnet_add(struct domain *d, const struct tailnet_info *info)
{
    struct tailnet *t = NEW(struct tailnet);
    struct list_node *at = &d->tailnets.head;

    t->id = info->id;
    t->info = info;
    t->nodes = TABLE_OF(node);
    t->users = TABLE_OF(user);
    t->auth_keys = TABLE_OF(auth_key);
    t->webhooks = TABLE_OF(webhook);
    t->guests = TABLE_OF(node);
    t->guest_users = TABLE_OF(user);
    t->guest_infos = TABLE_OF(tailnet_info);
    t->shares = TABLE_OF(share);
    t->share_invites = TABLE_OF(share_invite);
    t->user_invites = TABLE_OF(user_invite);
    list_init(&t->lent_to_all);
    list_init(&t->stays);
    t->names = map_new();
    t->suffixes = map_new();
    t->local_users = map_new();
    t->routes = map_new();
    if (info->settings.set & SETTING_ADDRESSES_APART)
        t->node_by_addr = map_new();
    while (at->prev != &d->tailnets.head &&
           CONTAINER_OF(at->prev, struct tailnet, tailnets_link)->id > t->id)
        at = at->prev;
    list_insert_before(at, &t->tailnets_link);
    (void)map_put_u64(d->tailnet_by_id, t->id, t);
    (void)map_put(d->tailnet_by_name, info->name, t);
    id_used(d, ID_TAILNET, t->id);
    return t;
}

void tailnet_free(struct tailnet *t)
{
    routes_free(t);
    names_free(t);
    map_free(t->local_users);
    map_free(t->node_by_addr);
    view_unref(t->view);
    table_fini(&t->nodes);
    table_fini(&t->users);
    table_fini(&t->auth_keys);
    table_fini(&t->webhooks);
    table_fini(&t->guests);
    table_fini(&t->guest_users);
    table_fini(&t->guest_infos);
    table_fini(&t->shares);
    table_fini(&t->share_invites);
    table_fini(&t->user_invites);
    map_free(t->guest_addrs);
    mem_free(t->knowers.items);
    list_remove(&t->unsettled_link);
    tailnet_info_unref(t->told);
    derp_regions_free(t->relays, t->n_relays);
    tailnet_info_unref(t->info);
    mem_free(t);
}

struct tailnet *domain_tailnet(const struct domain *d, tailnet_id id)
{
    struct list_node *first = list_first(&d->tailnets);

    if (id != 0)
        return map_find_u64(d->tailnet_by_id, id);
    return first ? CONTAINER_OF(first, struct tailnet, tailnets_link) : NULL;
}

int domain_tailnet_get(const struct domain *d, tailnet_id id, struct tailnet **out, struct err *err)
{
    struct tailnet *t = domain_tailnet(d, id);

    if (!t)
        return err_set(err, ERR_NOT_FOUND, "tailnet not found");
    *out = t;
    return 0;
}

const struct tailnet_view *tailnet_snapshot(const struct tailnet *t)
{
    return view_new(t->info, t->revision,
                    &(struct view_tables){.nodes = &t->nodes,
                                          .users = &t->users,
                                          .auth_keys = &t->auth_keys,
                                          .webhooks = &t->webhooks,
                                          .guests = &t->guests,
                                          .guest_users = &t->guest_users,
                                          .guest_infos = &t->guest_infos,
                                          .shares = &t->shares,
                                          .share_invites = &t->share_invites,
                                          .user_invites = &t->user_invites});
}

const struct tailnet_view *tailnet_view(struct tailnet *t)
{
    if (t->view && view_revision(t->view) == t->revision)
        return t->view;
    view_unref(t->view);
    t->view = tailnet_snapshot(t);
    return t->view;
}

/* ---- Looking ---- */

const struct tailnet_view *domain_view(struct domain *d, tailnet_id id)
{
    struct tailnet *t = domain_tailnet(d, id);

    return t ? view_ref(tailnet_view(t)) : NULL;
}

const struct tailnet_view *domain_view_by_name(struct domain *d, struct str name)
{
    struct tailnet *t = map_find(d->tailnet_by_name, name);

    return t ? view_ref(tailnet_view(t)) : NULL;
}

size_t domain_tailnet_ids(const struct domain *d, tailnet_id *out, size_t max)
{
    size_t n = 0;

    LIST_FOR_EACH(t, &d->tailnets, struct tailnet, tailnets_link) {
        if (n < max)
            out[n++] = t->id;
    }
    return n;
}

static tailnet_id *list_ids(const struct domain *d, bool with_webhooks, size_t *n)
{
    tailnet_id *ids = mem_alloc_array(map_len(d->tailnet_by_id) + 1, sizeof(*ids));

    *n = 0;
    LIST_FOR_EACH(t, &d->tailnets, struct tailnet, tailnets_link) {
        if (!with_webhooks || t->webhooks.count > 0)
            ids[(*n)++] = t->id;
    }
    return ids;
}

tailnet_id *domain_all_tailnets(const struct domain *d, size_t *n)
{
    return list_ids(d, false, n);
}

tailnet_id *domain_webhook_tailnets(const struct domain *d, size_t *n)
{
    *n = 0;
    return d->n_webhooks > 0 ? list_ids(d, true, n) : NULL;
}

const struct node *domain_node_by_key(const struct domain *d, const struct node_key *key)
{
    const struct node_state *s = node_state_by_key(d, key);

    return s ? s->node : NULL;
}

const struct node *domain_node_by_id(const struct domain *d, node_id id)
{
    const struct node_state *s = node_state_by_id(d, id);

    return s ? s->node : NULL;
}

int64_t domain_next_tick_ms(const struct domain *d)
{
    return schedule_next_ms(&d->schedule);
}

struct domain_counters domain_counters(const struct domain *d)
{
    return d->next;
}

/* ---- Applying ---- */

void domain_tell(struct domain *d, struct tailnet *t, struct change change)
{
    if (d->is_quiet)
        return;
    if (t) {
        change.tailnet = t->id;
        change.revision = ++t->revision;
    }
    change_list_add(d->changes, change);
}

void domain_emit(struct domain *d, struct tailnet *t, struct change change)
{
    if (d->is_quiet)
        return;
    domain_tell(d, t, change);
    /* What others know of it follows. */
    if (t && change.kind == CHANGE_INFO) {
        holds_info_changed(d, t);
        guests_info_changed(d, t);
    }
    if (t && change.kind == CHANGE_USER)
        guests_user_changed(d, change.id);
}

static void fill_result(struct domain *d, const struct command *c, struct command_result *r)
{
    struct tailnet *t = d->of;

    if (d->subject) {
        const struct node *n = d->subject->node;
        const struct user_state *owner = n->user ? map_find_u64(d->user_by_id, n->user) : NULL;

        t = d->subject->tailnet;
        r->id = n->id;
        r->node = node_ref(n);
        if (owner && !r->user)
            r->user = user_ref(owner->user);
    }
    if (!t)
        t = domain_tailnet(d, c->tailnet);
    if (t && !r->view)
        r->view = view_ref(tailnet_view(t));
}

int domain_apply(struct domain *d, const struct command *c, struct change_list *changes,
                 struct command_result *result, struct err *err)
{
    struct command_result r = {0};
    struct err unwanted;

    err = err ? err : &unwanted;
    ASSERT((size_t)c->type < ARRAY_LEN(handlers));
    d->now_ms = c->now_ms;
    d->changes = changes;
    d->subject = NULL;
    d->of = NULL;
    ASSERT(d->n_ended == 0);
    int status = handlers[c->type](d, c, &r, err);
    if (status == 0) {
        routes_elect(d);
        nodes_publish(d);
        fill_result(d, c, &r);
        r.ended = TAKE(d->ended);
        r.n_ended = d->n_ended;
        d->n_ended = d->cap_ended = 0;
        *result = r;
    }
    ASSERT(list_is_empty(&d->drafts) && list_is_empty(&d->touched) && list_is_empty(&d->new_stays) &&
           list_is_empty(&d->unsettled));
    d->changes = NULL;
    return status;
}
