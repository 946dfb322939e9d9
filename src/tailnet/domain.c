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
    [COMMAND_TAILNET_DELETE] = tailnet_delete,
    [COMMAND_POLICY_SET] = policy_set,
    [COMMAND_USER_CREATE] = user_create,
    [COMMAND_USER_RENAME] = user_rename,
    [COMMAND_USER_UPDATE] = user_update,
    [COMMAND_USER_LOGIN] = user_login,
    [COMMAND_USER_DELETE] = user_delete,
    [COMMAND_AUTH_KEY_CREATE] = auth_key_create,
    [COMMAND_AUTH_KEY_EXPIRE] = auth_key_expire,
    [COMMAND_AUTH_KEY_REVOKE] = auth_key_revoke,
    [COMMAND_AUTH_KEY_DELETE] = auth_key_delete,
    [COMMAND_API_KEY_CREATE] = api_key_create,
    [COMMAND_API_KEY_EXPIRE] = api_key_expire,
    [COMMAND_API_KEY_DELETE] = api_key_delete,
    [COMMAND_API_KEY_SEEN] = api_key_seen,
    [COMMAND_REGISTER] = register_node,
    [COMMAND_REGISTER_APPROVE] = register_approve,
    [COMMAND_REGISTER_REJECT] = register_reject,
    [COMMAND_REGISTER_FABRICATE] = register_fabricate,
    [COMMAND_NODE_UPDATE] = node_update,
    [COMMAND_STREAM_OPEN] = node_stream_open,
    [COMMAND_STREAM_CLOSE] = node_stream_close,
    [COMMAND_NODE_RENAME] = node_rename,
    [COMMAND_NODE_DELETE] = node_delete,
    [COMMAND_NODE_EXPIRE] = node_expire,
    [COMMAND_NODE_MOVE] = node_move,
    [COMMAND_NODE_TAG] = node_tag,
    [COMMAND_NODE_APPROVE_ROUTES] = node_approve_routes,
    [COMMAND_NODES_BACKFILL] = nodes_backfill,
    [COMMAND_TICK] = domain_tick,
};

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
    d->key_by_id = map_new();
    d->key_by_prefix = map_new();
    d->key_by_legacy = map_new();
    api_keys_init(d);
    d->revoked_retention_ms = REVOKED_RETENTION_MS;
    d->pending_limits = (struct pending_limits){PENDING_MS, PENDING_MAX};
    pending_set_init(&d->pending);
    d->next = (struct domain_counters){
        .tailnet = 1, .user = 1, .auth_key = 1, .node = 1, .api_key = 1, .audit = 1};
    /* A stream of an earlier domain that ends late must not match one of this domain's. */
    d->next_generation = 1 + rand_below(NUM_JSON_MAX / 2);
    list_init(&d->drafts);
    list_init(&d->touched);
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
    for (struct list_node *n = list_pop_front(&d->tailnets); n; n = list_pop_front(&d->tailnets))
        tailnet_free(CONTAINER_OF(n, struct tailnet, tailnets_link));
    map_free(d->tailnet_by_id);
    map_free(d->tailnet_by_name);
    map_free(d->node_by_id);
    map_free(d->node_by_key);
    map_free(d->node_by_machine);
    map_free(d->node_by_addr);
    free_values(d->user_by_id);
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

static const void *ref_node(const void *n)
{
    return node_ref(n);
}

static void unref_node(const void *n)
{
    node_unref(n);
}

static const void *ref_user(const void *u)
{
    return user_ref(u);
}

static void unref_user(const void *u)
{
    user_unref(u);
}

static const void *ref_auth_key(const void *k)
{
    return auth_key_ref(k);
}

static void unref_auth_key(const void *k)
{
    auth_key_unref(k);
}

struct tailnet *tailnet_add(struct domain *d, const struct tailnet_info *info)
{
    struct tailnet *t = NEW(struct tailnet);
    struct list_node *at = &d->tailnets.head;

    t->id = info->id;
    t->info = info;
    t->nodes = (struct table){.ref = ref_node, .unref = unref_node};
    t->users = (struct table){.ref = ref_user, .unref = unref_user};
    t->auth_keys = (struct table){.ref = ref_auth_key, .unref = unref_auth_key};
    t->names = map_new();
    t->suffixes = map_new();
    t->local_users = map_new();
    t->routes = map_new();
    while (at->prev != &d->tailnets.head &&
           CONTAINER_OF(at->prev, struct tailnet, tailnets_link)->id > t->id)
        at = at->prev;
    list_insert_before(at, &t->tailnets_link);
    (void)map_put_u64(d->tailnet_by_id, t->id, t);
    (void)map_put(d->tailnet_by_name, info->name, t);
    d->next.tailnet = MAX(d->next.tailnet, t->id + 1);
    return t;
}

void tailnet_free(struct tailnet *t)
{
    routes_free(t);
    names_free(t);
    map_free(t->local_users);
    view_unref(t->view);
    table_fini(&t->nodes);
    table_fini(&t->users);
    table_fini(&t->auth_keys);
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

const struct tailnet_view *tailnet_view(struct tailnet *t)
{
    if (t->view && view_revision(t->view) == t->revision)
        return t->view;
    view_unref(t->view);
    t->view = view_new(t->info, t->revision, &t->nodes, &t->users, &t->auth_keys);
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

uint64_t domain_take_audit_id(struct domain *d)
{
    return d->next.audit++;
}

/* ---- Applying ---- */

void domain_emit(struct domain *d, struct tailnet *t, struct change change)
{
    if (t) {
        change.tailnet = t->id;
        change.revision = ++t->revision;
    }
    change_list_add(d->changes, change);
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
    int status = handlers[c->type](d, c, &r, err);
    if (status == 0) {
        routes_elect(d);
        nodes_publish(d);
        fill_result(d, c, &r);
        *result = r;
    }
    ASSERT(list_is_empty(&d->drafts) && list_is_empty(&d->touched));
    d->changes = NULL;
    return status;
}
