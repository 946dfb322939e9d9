/*
 * Batches: what a list of changes means for the tables, one operation per object.
 *
 * Objects are immutable, so an operation holds a reference to what the object had become and the
 * row is made by whoever commits. A later change of an object replaces its operation. An object
 * that is not in the view any more is deleted, whatever the change said of it: a node may come and
 * go within one list.
 */

#include "core/map.h"
#include "store/audit.h"
#include "store/store_internal.h"

/* What an operation is about; with an id, its place in by_object. */
enum object_kind {
    OBJECT_TAILNET,
    OBJECT_USER,
    OBJECT_AUTH_KEY,
    OBJECT_NODE,
    OBJECT_API_KEY,
    OBJECT_AUDIT,
    OBJECT_WEBHOOK,
    OBJECT_DELIVERY,
    OBJECT_SHARE,
    OBJECT_SHARE_INVITE,
    OBJECT_USER_INVITE,
    OBJECT_NONE
};

static enum object_kind object_of(enum store_op_kind kind)
{
    switch (kind) {
    case STORE_PUT_INFO:
    case STORE_DELETE_TAILNET:
        return OBJECT_TAILNET;
    case STORE_PUT_USER:
    case STORE_DELETE_USER:
        return OBJECT_USER;
    case STORE_PUT_AUTH_KEY:
    case STORE_DELETE_AUTH_KEY:
        return OBJECT_AUTH_KEY;
    case STORE_PUT_NODE:
    case STORE_DELETE_NODE:
        return OBJECT_NODE;
    case STORE_PUT_API_KEY:
    case STORE_DELETE_API_KEY:
        return OBJECT_API_KEY;
    case STORE_PUT_AUDIT:
        return OBJECT_AUDIT;
    case STORE_PUT_WEBHOOK:
    case STORE_DELETE_WEBHOOK:
        return OBJECT_WEBHOOK;
    case STORE_PUT_DELIVERY:
    case STORE_DELETE_DELIVERY:
        return OBJECT_DELIVERY;
    case STORE_PUT_SHARE:
    case STORE_DELETE_SHARE:
        return OBJECT_SHARE;
    case STORE_PUT_SHARE_INVITE:
    case STORE_DELETE_SHARE_INVITE:
        return OBJECT_SHARE_INVITE;
    case STORE_PUT_USER_INVITE:
    case STORE_DELETE_USER_INVITE:
        return OBJECT_USER_INVITE;
    }
    return OBJECT_NONE;
}

static void op_unref(struct store_op *op)
{
    switch (op->kind) {
    case STORE_PUT_INFO:
        tailnet_info_unref(op->object);
        break;
    case STORE_PUT_USER:
        user_unref(op->object);
        break;
    case STORE_PUT_AUTH_KEY:
        auth_key_unref(op->object);
        break;
    case STORE_PUT_NODE:
        node_unref(op->object);
        break;
    case STORE_PUT_API_KEY:
        api_key_unref(op->object);
        break;
    case STORE_PUT_AUDIT:
        audit_entry_unref(op->object);
        break;
    case STORE_PUT_WEBHOOK:
        webhook_unref(op->object);
        break;
    case STORE_PUT_DELIVERY:
        delivery_unref(op->object);
        break;
    case STORE_PUT_SHARE:
        share_unref(op->object);
        break;
    case STORE_PUT_SHARE_INVITE:
        share_invite_unref(op->object);
        break;
    case STORE_PUT_USER_INVITE:
        user_invite_unref(op->object);
        break;
    case STORE_DELETE_TAILNET:
    case STORE_DELETE_USER:
    case STORE_DELETE_AUTH_KEY:
    case STORE_DELETE_NODE:
    case STORE_DELETE_API_KEY:
    case STORE_DELETE_WEBHOOK:
    case STORE_DELETE_DELIVERY:
    case STORE_DELETE_SHARE:
    case STORE_DELETE_SHARE_INVITE:
    case STORE_DELETE_USER_INVITE:
        break;
    }
    op->object = NULL;
}

struct store_batch *store_batch_new(void)
{
    struct store_batch *b = NEW(struct store_batch);

    b->by_object = map_new();
    return b;
}

void store_batch_free(struct store_batch *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->len; i++)
        if (!b->ops[i].dropped)
            op_unref(&b->ops[i]);
    map_free(b->by_object);
    mem_free(b->ops);
    mem_free(b->revisions);
    mem_free(b);
}

size_t store_batch_len(const struct store_batch *b)
{
    return b->len - b->dropped;
}

/* Ids are below 2^53, so eleven bits are free. */
static uint64_t place_of(const struct store_op *op)
{
    return op->id << 5 | (uint64_t)object_of(op->kind);
}

/* Takes op.object. */
static void keep(struct store_batch *b, struct store_op op)
{
    /* The map's values are index + 1, dressed as pointers. */
    uintptr_t place = (uintptr_t)map_find_u64(b->by_object, place_of(&op));

    if (place > 0) {
        op_unref(&b->ops[place - 1]);
        b->ops[place - 1] = op;
        return;
    }
    b->ops = mem_room(b->ops, b->len, &b->cap, 16, sizeof(*b->ops));
    b->ops[b->len++] = op;
    map_put_u64(b->by_object, place_of(&op), (void *)(uintptr_t)b->len);
}

/* Nothing may be written for a tailnet that is gone; its rows go with it. */
static void drop_tailnet(struct store_batch *b, tailnet_id tailnet)
{
    for (size_t i = 0; i < b->len; i++) {
        struct store_op *op = &b->ops[i];

        if (op->tailnet != tailnet || op->dropped)
            continue;
        map_remove_u64(b->by_object, place_of(op));
        op_unref(op);
        op->dropped = true;
        b->dropped++;
    }
    for (size_t i = 0; i < b->n_revisions; i++)
        if (b->revisions[i].tailnet == tailnet)
            b->revisions[i--] = b->revisions[--b->n_revisions];
}

static void keep_revision(struct store_batch *b, tailnet_id tailnet, uint64_t revision)
{
    for (size_t i = 0; i < b->n_revisions; i++) {
        if (b->revisions[i].tailnet != tailnet)
            continue;
        b->revisions[i].revision = MAX(b->revisions[i].revision, revision);
        return;
    }
    b->revisions =
        mem_room(b->revisions, b->n_revisions, &b->cap_revisions, 4, sizeof(*b->revisions));
    b->revisions[b->n_revisions++] = (struct store_revision){tailnet, revision};
}

static void add_node(struct store_batch *b, const struct tailnet_view *view, const struct change *c)
{
    const struct node *node = view ? view_node_find(view, c->id) : NULL;

    if (node)
        keep(b, (struct store_op){STORE_PUT_NODE, false, c->tailnet, c->id, node_ref(node)});
    else
        keep(b, (struct store_op){STORE_DELETE_NODE, false, c->tailnet, c->id, NULL});
}

static void add_user(struct store_batch *b, const struct tailnet_view *view, const struct change *c)
{
    const struct user *user = view ? view_user_find(view, c->id) : NULL;

    if (user)
        keep(b, (struct store_op){STORE_PUT_USER, false, c->tailnet, c->id, user_ref(user)});
    else
        keep(b, (struct store_op){STORE_DELETE_USER, false, c->tailnet, c->id, NULL});
}

static void add_auth_key(struct store_batch *b, const struct tailnet_view *view,
                         const struct change *c)
{
    const struct auth_key *key = view ? view_auth_key_find(view, c->id) : NULL;

    if (key)
        keep(b, (struct store_op){STORE_PUT_AUTH_KEY, false, c->tailnet, c->id, auth_key_ref(key)});
    else
        keep(b, (struct store_op){STORE_DELETE_AUTH_KEY, false, c->tailnet, c->id, NULL});
}

static void add_webhook(struct store_batch *b, const struct tailnet_view *view,
                        const struct change *c)
{
    const struct webhook *h = view ? view_webhook_find(view, c->id) : NULL;

    if (h)
        keep(b, (struct store_op){STORE_PUT_WEBHOOK, false, c->tailnet, c->id, webhook_ref(h)});
    else
        keep(b, (struct store_op){STORE_DELETE_WEBHOOK, false, c->tailnet, c->id, NULL});
}

/* Told in both its tailnets, as the same. */
static void add_share(struct store_batch *b, const struct tailnet_view *view,
                      const struct change *c)
{
    const struct share *s = view ? view_share_find(view, c->id) : NULL;

    if (s)
        keep(b, (struct store_op){STORE_PUT_SHARE, false, c->tailnet, c->id, share_ref(s)});
    else
        keep(b, (struct store_op){STORE_DELETE_SHARE, false, c->tailnet, c->id, NULL});
}

static void add_share_invite(struct store_batch *b, const struct tailnet_view *view,
                             const struct change *c)
{
    const struct share_invite *i = view ? view_share_invite_find(view, c->id) : NULL;

    if (i)
        keep(b, (struct store_op){STORE_PUT_SHARE_INVITE, false, c->tailnet, c->id,
                                  share_invite_ref(i)});
    else
        keep(b, (struct store_op){STORE_DELETE_SHARE_INVITE, false, c->tailnet, c->id, NULL});
}

static void add_user_invite(struct store_batch *b, const struct tailnet_view *view,
                            const struct change *c)
{
    const struct user_invite *i = view ? view_user_invite_find(view, c->id) : NULL;

    if (i)
        keep(b, (struct store_op){STORE_PUT_USER_INVITE, false, c->tailnet, c->id,
                                  user_invite_ref(i)});
    else
        keep(b, (struct store_op){STORE_DELETE_USER_INVITE, false, c->tailnet, c->id, NULL});
}

/* False: the change leaves nothing in the tables. */
static bool add_change(struct store_batch *b, const struct tailnet_view *view,
                       const struct change *c)
{
    switch (c->kind) {
    case CHANGE_NODE:
        /* What it may use elsewhere is found out anew at every start. */
        if (c->mask == NODE_ABROAD)
            return false;
        add_node(b, view, c);
        return true;
    case CHANGE_NODE_REMOVED:
        add_node(b, view, c);
        return true;
    case CHANGE_USER:
    case CHANGE_USER_REMOVED:
        add_user(b, view, c);
        return true;
    case CHANGE_AUTH_KEY:
    case CHANGE_AUTH_KEY_REMOVED:
        add_auth_key(b, view, c);
        return true;
    case CHANGE_WEBHOOK:
    case CHANGE_WEBHOOK_REMOVED:
        add_webhook(b, view, c);
        return true;
    case CHANGE_SHARE:
    case CHANGE_SHARE_REMOVED:
        add_share(b, view, c);
        return true;
    case CHANGE_SHARE_INVITE:
    case CHANGE_SHARE_INVITE_REMOVED:
        add_share_invite(b, view, c);
        return true;
    case CHANGE_USER_INVITE:
    case CHANGE_USER_INVITE_REMOVED:
        add_user_invite(b, view, c);
        return true;
    case CHANGE_INFO:
        if (!view)
            return false;
        keep(b, (struct store_op){STORE_PUT_INFO, false, c->tailnet, c->tailnet,
                                  tailnet_info_ref(view_info(view))});
        return true;
    case CHANGE_TAILNET_REMOVED:
        drop_tailnet(b, c->tailnet);
        keep(b, (struct store_op){STORE_DELETE_TAILNET, false, c->tailnet, c->tailnet, NULL});
        return false;
    case CHANGE_API_KEY: /* of no tailnet: store_batch_add_api_keys */
    case CHANGE_API_KEY_REMOVED:
    case CHANGE_GUEST:
    case CHANGE_GUEST_REMOVED:
    case CHANGE_GUEST_USER:
    case CHANGE_NODE_EXPIRING:
    case CHANGE_STREAM_END:
    case CHANGE_PENDING:
        return false;
    }
    return false;
}

static bool is_removed(const struct store_batch *b, tailnet_id tailnet)
{
    struct store_op op = {.kind = STORE_DELETE_TAILNET, .id = tailnet};
    uintptr_t place = (uintptr_t)map_find_u64(b->by_object, place_of(&op));

    return place > 0 && b->ops[place - 1].kind == STORE_DELETE_TAILNET;
}

void store_batch_add(struct store_batch *b, const struct tailnet_view *view,
                     const struct change *changes, size_t n, bool *durable)
{
    bool must = false;

    for (size_t i = 0; i < n; i++) {
        const struct change *c = &changes[i];

        must |= change_is_durable(c);
        /* Ids are never used again, so what is gone stays gone. */
        if (is_removed(b, c->tailnet))
            continue;
        if (add_change(b, view, c))
            keep_revision(b, c->tailnet, c->revision);
    }
    *durable = must;
}

void store_batch_add_api_keys(struct store_batch *b, const struct api_key_set *keys,
                              const struct change *changes, size_t n, bool *durable)
{
    bool must = false;

    for (size_t i = 0; i < n; i++) {
        const struct change *c = &changes[i];
        const struct api_key *k = api_key_set_find(keys, c->id);

        if (c->kind != CHANGE_API_KEY && c->kind != CHANGE_API_KEY_REMOVED)
            continue;
        must |= change_is_durable(c);
        /* Of which tailnet it was, the change does not say: rows of a tailnet that is dropped go
         * with it. */
        if (k)
            keep(b, (struct store_op){STORE_PUT_API_KEY, false, 0, c->id, api_key_ref(k)});
        else
            keep(b, (struct store_op){STORE_DELETE_API_KEY, false, 0, c->id, NULL});
    }
    *durable = must;
}

void store_batch_add_audit(struct store_batch *b, const struct audit_entry *take)
{
    keep(b, (struct store_op){STORE_PUT_AUDIT, false, 0, take->id, take});
}

void store_batch_add_delivery(struct store_batch *b, const struct delivery *d)
{
    keep(b, (struct store_op){STORE_PUT_DELIVERY, false, d->tailnet, d->id, delivery_ref(d)});
}

void store_batch_remove_delivery(struct store_batch *b, uint64_t id)
{
    keep(b, (struct store_op){STORE_DELETE_DELIVERY, false, 0, id, NULL});
}

void store_batch_set_counters(struct store_batch *b, const struct domain_counters *next)
{
    b->counters = *next;
    b->has_counters = true;
}

void store_batch_put_under(struct store_batch *b, struct store_batch *older)
{
    for (size_t i = 0; i < older->len; i++) {
        struct store_op *op = &older->ops[i];

        if (op->dropped)
            continue;
        if (is_removed(b, op->tailnet) || map_find_u64(b->by_object, place_of(op)))
            op_unref(op);
        else
            keep(b, *op);
        op->object = NULL;
        op->dropped = true;
        older->dropped++;
    }
    for (size_t i = 0; i < older->n_revisions; i++)
        if (!is_removed(b, older->revisions[i].tailnet))
            keep_revision(b, older->revisions[i].tailnet, older->revisions[i].revision);
    if (!b->has_counters && older->has_counters)
        store_batch_set_counters(b, &older->counters);
    older->n_revisions = 0;
    older->has_counters = false;
}
