/*
 * What was told last, and a domain made of it.
 *
 * A round whose commit failed is taken back: the domain must be again what everybody was told. The
 * store may not even be readable then, so it is made from the views themselves, which nobody
 * changes: tailnets, users, keys, nodes as they were published. Pending registrations and streams
 * are not in views; their clients come again.
 */

#include "control/registrar_internal.h"

void told_note_view(struct registrar *r, const struct tailnet_view *view,
                    const struct change *changes, size_t n)
{
    tailnet_id id = view_info(view)->id;
    bool gone = false;

    for (size_t i = 0; i < n; i++)
        gone = gone || (changes[i].kind == CHANGE_TAILNET_REMOVED && changes[i].id == id);
    view_unref(gone ? map_remove_u64(r->told_views, id)
                    : map_put_u64(r->told_views, id, view_ref(view)));
}

void told_note_api_keys(struct registrar *r, const struct api_key_set *keys)
{
    struct api_key_set *now = api_key_set_ref(keys);

    api_key_set_unref(r->told_api_keys);
    r->told_api_keys = now;
}

void told_free(struct registrar *r)
{
    struct str key;
    void *view;

    for (size_t at = 0; map_next(r->told_views, &at, &key, &view);)
        view_unref(view);
    map_free(r->told_views);
    api_key_set_unref(r->told_api_keys);
    r->told_views = NULL;
    r->told_api_keys = NULL;
}

/* ---- back ---- */

static int by_id(const void *a, const void *b)
{
    const struct tailnet_view *const *x = a, *const *y = b;

    return view_info(*x)->id < view_info(*y)->id ? -1 : 1;
}

/* By rising id: the first tailnet is the one with the smallest. mem_free. */
static const struct tailnet_view **sorted(struct registrar *r, size_t *n)
{
    const struct tailnet_view **views =
        mem_alloc_array(map_len(r->told_views) + 1, sizeof(const struct tailnet_view *));
    struct str key;
    void *view;

    *n = 0;
    for (size_t at = 0; map_next(r->told_views, &at, &key, &view);)
        views[(*n)++] = view;
    if (*n > 1)
        qsort(views, *n, sizeof(*views), by_id);
    return views;
}

static int put_back(struct domain *d, const struct tailnet_view *view, struct err *err)
{
    size_t n_users = 0, n_keys = 0, at = 0;
    const struct user *const *users = view_users(view, &n_users);
    const struct auth_key *const *keys = view_auth_keys(view, &n_keys);
    int status =
        domain_load_tailnet(d, tailnet_info_clone(view_info(view)), view_revision(view), err);

    for (size_t i = 0; i < n_users && status == 0; i++)
        status = domain_load_user(d, user_clone(users[i]), err);
    for (size_t i = 0; i < n_keys && status == 0; i++)
        status = domain_load_auth_key(d, auth_key_clone(keys[i]), err);
    for (const struct webhook *h; status == 0 && (h = view_webhook_next(view, &at));)
        status = domain_load_webhook(d, webhook_clone(h), err);
    at = 0;
    for (const struct node *n; status == 0 && (n = view_node_next(view, &at));)
        status = domain_load_node(d, node_clone(n), err);
    return status;
}

/* After all nodes: a share is of two tailnets. */
static int put_back_shares(struct domain *d, const struct tailnet_view *view, struct err *err)
{
    const struct share_invite *invite;
    const struct share *share;
    int status = 0;

    for (size_t at = 0; status == 0 && (share = view_share_next(view, &at));)
        if (share->owner == view_info(view)->id)
            status = domain_load_share(d, share_clone(share), err);
    for (size_t at = 0; status == 0 && (invite = view_share_invite_next(view, &at));)
        status = domain_load_share_invite(d, share_invite_clone(invite), err);
    return status;
}

int told_domain(struct registrar *r, struct domain *d, struct err *err)
{
    struct domain_counters next = domain_counters(r->domain);
    size_t n, at = 0;
    const struct tailnet_view **views = sorted(r, &n);
    int status = 0;

    for (size_t i = 0; i < n && status == 0; i++)
        status = put_back(d, views[i], err);
    for (size_t i = 0; i < n && status == 0; i++)
        status = put_back_shares(d, views[i], err);
    mem_free(views);
    for (const struct api_key *k;
         status == 0 && r->told_api_keys && (k = api_key_set_next(r->told_api_keys, &at));)
        status = domain_load_api_key(d, api_key_clone(k), err);
    domain_load_counters(d, &next);
    return status;
}

/* The store may lack what was told and only written behind: every node once more. */
void told_write_again(struct registrar *r)
{
    struct str key;
    void *value;

    for (size_t at = 0; map_next(r->told_views, &at, &key, &value);) {
        const struct tailnet_view *view = value;
        const struct node *n;
        bool durable;

        for (size_t i = 0; (n = view_node_next(view, &i));) {
            const struct change c = {.kind = CHANGE_NODE,
                                     .tailnet = n->tailnet,
                                     .id = n->id,
                                     .mask = NODE_FACTS,
                                     .revision = view_revision(view)};

            store_batch_add(r->batch, view, &c, 1, &durable);
        }
    }
}
