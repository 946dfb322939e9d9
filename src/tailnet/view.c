/*
 * Views. The tables are shared with the domain chunk by chunk; the flat arrays of users and auth
 * keys are made when somebody first asks, by whichever thread that is.
 */

#include "tailnet/view.h"

#include <stdatomic.h>

#include "tailnet/view_internal.h"

struct tailnet_view {
    struct ref ref;
    uint64_t revision;
    const struct tailnet_info *info;
    struct table nodes;
    struct table users;
    struct table auth_keys;
    struct table webhooks;
    struct table guests;
    struct table guest_users;
    struct table guest_infos;
    struct table shares;
    struct table share_invites;
    struct table user_invites;
    /* Borrow from the tables; go from NULL to an array once. */
    _Atomic(const void **) flat_users;
    _Atomic(const void **) flat_auth_keys;
};

struct tailnet_view *view_new(const struct tailnet_info *info, uint64_t revision,
                              const struct view_tables *tables)
{
    struct tailnet_view *v = NEW(struct tailnet_view);

    ref_init(&v->ref);
    v->revision = revision;
    v->info = tailnet_info_ref(info);
    table_copy(&v->nodes, tables->nodes);
    table_copy(&v->users, tables->users);
    table_copy(&v->auth_keys, tables->auth_keys);
    table_copy(&v->webhooks, tables->webhooks);
    table_copy(&v->guests, tables->guests);
    table_copy(&v->guest_users, tables->guest_users);
    table_copy(&v->guest_infos, tables->guest_infos);
    table_copy(&v->shares, tables->shares);
    table_copy(&v->share_invites, tables->share_invites);
    table_copy(&v->user_invites, tables->user_invites);
    return v;
}

/* Counting and filling the flat arrays do not change what the view says. */
static struct tailnet_view *mutable_view(const struct tailnet_view *v)
{
    union {
        const struct tailnet_view *in;
        struct tailnet_view *out;
    } u = {.in = v};

    return u.out;
}

struct tailnet_view *view_ref(const struct tailnet_view *v)
{
    struct tailnet_view *m = mutable_view(v);

    ref_take(&m->ref);
    return m;
}

void view_unref(const struct tailnet_view *v)
{
    struct tailnet_view *m = mutable_view(v);

    if (!m || !ref_drop(&m->ref))
        return;
    mem_free(atomic_load_explicit(&m->flat_users, memory_order_acquire));
    mem_free(atomic_load_explicit(&m->flat_auth_keys, memory_order_acquire));
    table_fini(&m->nodes);
    table_fini(&m->users);
    table_fini(&m->auth_keys);
    table_fini(&m->webhooks);
    table_fini(&m->guests);
    table_fini(&m->guest_users);
    table_fini(&m->guest_infos);
    table_fini(&m->shares);
    table_fini(&m->share_invites);
    table_fini(&m->user_invites);
    tailnet_info_unref(m->info);
    mem_free(m);
}

uint64_t view_revision(const struct tailnet_view *v)
{
    return v->revision;
}

const struct tailnet_info *view_info(const struct tailnet_view *v)
{
    return v->info;
}

size_t view_node_count(const struct tailnet_view *v)
{
    return v->nodes.count;
}

const struct node *view_node_find(const struct tailnet_view *v, node_id id)
{
    return table_find(&v->nodes, id);
}

const struct node *view_node_next(const struct tailnet_view *v, size_t *at)
{
    return table_next(&v->nodes, at);
}

/* ---- Guests and shares ---- */

size_t view_guest_count(const struct tailnet_view *v)
{
    return v->guests.count;
}

const struct node *view_guest_find(const struct tailnet_view *v, node_id id)
{
    return table_find(&v->guests, id);
}

const struct node *view_guest_next(const struct tailnet_view *v, size_t *at)
{
    return table_next(&v->guests, at);
}

const struct node *view_any_find(const struct tailnet_view *v, node_id id)
{
    const struct node *n = table_find(&v->nodes, id);

    return n ? n : table_find(&v->guests, id);
}

const struct node *view_any_next(const struct tailnet_view *v, struct view_any_at *at)
{
    const struct node *n = table_next(&v->nodes, &at->nodes);

    return n ? n : table_next(&v->guests, &at->guests);
}

const struct user *view_guest_user_find(const struct tailnet_view *v, user_id id)
{
    return table_find(&v->guest_users, id);
}

const struct user *view_any_user_find(const struct tailnet_view *v, user_id id)
{
    const struct user *u = table_find(&v->users, id);

    return u ? u : table_find(&v->guest_users, id);
}

const struct tailnet_info *view_guest_info_find(const struct tailnet_view *v, tailnet_id id)
{
    return table_find(&v->guest_infos, id);
}

const struct share *view_share_find(const struct tailnet_view *v, share_id id)
{
    return table_find(&v->shares, id);
}

const struct share *view_share_next(const struct tailnet_view *v, size_t *at)
{
    return table_next(&v->shares, at);
}

const struct share_invite *view_share_invite_find(const struct tailnet_view *v, share_invite_id id)
{
    return table_find(&v->share_invites, id);
}

const struct share_invite *view_share_invite_next(const struct tailnet_view *v, size_t *at)
{
    return table_next(&v->share_invites, at);
}

const struct user_invite *view_user_invite_find(const struct tailnet_view *v, user_invite_id id)
{
    return table_find(&v->user_invites, id);
}

const struct user_invite *view_user_invite_next(const struct tailnet_view *v, size_t *at)
{
    return table_next(&v->user_invites, at);
}

/* ---- Users, keys, webhooks ---- */

const struct user *view_user_find(const struct tailnet_view *v, user_id id)
{
    return table_find(&v->users, id);
}

const struct auth_key *view_auth_key_find(const struct tailnet_view *v, auth_key_id id)
{
    return table_find(&v->auth_keys, id);
}

const struct webhook *view_webhook_find(const struct tailnet_view *v, webhook_id id)
{
    return table_find(&v->webhooks, id);
}

const struct webhook *view_webhook_next(const struct tailnet_view *v, size_t *at)
{
    return table_next(&v->webhooks, at);
}

static const void **flat(const struct table *t, _Atomic(const void **) *slot)
{
    const void **items = atomic_load_explicit(slot, memory_order_acquire);
    const void **was = NULL;
    size_t at = 0, n = 0;

    if (items)
        return items;
    items = mem_alloc_array(t->count + 1, sizeof(*items));
    for (const void *object; (object = table_next(t, &at));)
        items[n++] = object;
    if (atomic_compare_exchange_strong_explicit(slot, &was, items, memory_order_acq_rel,
                                                memory_order_acquire))
        return items;
    mem_free(items);
    return was;
}

const struct user *const *view_users(const struct tailnet_view *v, size_t *n)
{
    *n = v->users.count;
    return (const struct user *const *)(const void *)flat(&v->users, &mutable_view(v)->flat_users);
}

const struct auth_key *const *view_auth_keys(const struct tailnet_view *v, size_t *n)
{
    *n = v->auth_keys.count;
    return (const struct auth_key *const *)(const void *)flat(&v->auth_keys,
                                                              &mutable_view(v)->flat_auth_keys);
}
