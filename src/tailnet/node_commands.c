/* What administrators do to nodes, and what clients say of themselves. */

#include "tailnet/domain_internal.h"

int node_get(struct domain *d, const struct command *c, struct node_state **out, struct err *err)
{
    struct tailnet *t = NULL;
    struct node_state *s = node_state_by_id(d, c->id);

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (!s || s->tailnet != t)
        return err_set(err, ERR_NOT_FOUND, "node not found");
    d->subject = s;
    *out = s;
    return 0;
}

int node_rename(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct node_state *s = NULL;

    (void)r;
    if (node_get(d, c, &s, err) < 0)
        return -(int)err->code;
    if (c->name.len > LABEL_MAX)
        return err_set(err, ERR_INVALID, "too long: a machine name has at most %d characters",
                       LABEL_MAX);
    if (!name_is_label(c->name))
        return err_set(err, ERR_INVALID,
                       "a machine name has letters, digits and '-', and no '-' at its ends");
    const struct node_state *holder = name_find(s->tailnet, c->name);
    if (holder && holder != s)
        return err_set(err, ERR_CONFLICT, "node name is not unique: %.*s", STR_ARG(c->name));
    if (s->node->name_is_auto || !str_eq_nocase(s->node->given_name, c->name))
        name_give(d, s, c->name, false);
    return 0;
}

int node_delete(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct node_state *s = NULL;

    if (node_get(d, c, &s, err) < 0)
        return -(int)err->code;
    d->subject = NULL;
    d->of = s->tailnet;
    r->id = c->id;
    node_remove(d, s);
    return 0;
}

int node_expire(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct node_state *s = NULL;

    (void)r;
    if (node_get(d, c, &s, err) < 0)
        return -(int)err->code;
    if (c->expiry_ms == 0 || c->expiry_ms > d->now_ms)
        node_set_expiry(d, s, c->expiry_ms);
    else if (!node_has_expired(s->node, d->now_ms))
        node_set_expiry(d, s, d->now_ms);
    return 0;
}

int node_move(struct domain *d, const struct command *c, struct command_result *r, struct err *err)
{
    struct node_state *s = NULL;
    struct user_state *owner = NULL;

    (void)r;
    if (node_get(d, c, &s, err) < 0 ||
        user_get(d, s->tailnet, c->user, c->user_name, &owner, err) < 0)
        return -(int)err->code;
    if (node_is_tagged(s->node))
        return err_set(err, ERR_INVALID,
                       "a tagged node belongs to nobody; log in on it again without tags to give "
                       "it to a user");
    node_set_owner(d, s, owner->user->id, NULL);
    routes_auto_approve(d, s);
    return 0;
}

int node_tag(struct domain *d, const struct command *c, struct command_result *r, struct err *err)
{
    struct node_state *s = NULL;
    struct str_list tags = {0};

    (void)r;
    if (node_get(d, c, &s, err) < 0)
        return -(int)err->code;
    if (c->tags.len == 0)
        return err_set(err, ERR_INVALID,
                       "cannot remove all tags from a node - tagged nodes must have at least one "
                       "tag");
    for (size_t i = 0; d->hooks.tag_is_defined && i < c->tags.len; i++)
        if (tag_is_valid(c->tags.items[i]) &&
            !d->hooks.tag_is_defined(d->hooks.user, s->tailnet->id, c->tags.items[i]))
            return err_set(err, ERR_INVALID, "requested tags [%.*s] are invalid or not permitted",
                           STR_ARG(c->tags.items[i]));
    if (tags_check(&c->tags, &tags, err) < 0)
        return -(int)err->code;
    if (!node_is_tagged(s->node))
        node_set_expiry(d, s, 0);
    node_set_owner(d, s, 0, &tags);
    routes_auto_approve(d, s);
    str_list_free(&tags);
    return 0;
}

static bool same_prefixes(const struct ip_prefix *a, size_t n_a, const struct ip_prefix *b,
                          size_t n_b)
{
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++)
        if (!ip_prefix_eq(a[i], b[i]))
            return false;
    return true;
}

/* Masked, sorted, and with both exit routes if there is one. */
static struct ip_prefix *wanted_routes(const struct command *c, size_t *n)
{
    struct ip_prefix *out = mem_alloc_array(c->n_routes + 2, sizeof(*out));
    bool exit = false;

    *n = 0;
    for (size_t i = 0; i < c->n_routes; i++) {
        if (!ip_prefix_is_set(c->routes[i]))
            continue;
        out[*n] = ip_prefix_masked(c->routes[i]);
        exit = exit || ip_prefix_is_exit(out[*n]);
        ++*n;
    }
    if (exit) {
        out[(*n)++] = (struct ip_prefix){.addr.family = IP_V4};
        out[(*n)++] = (struct ip_prefix){.addr.family = IP_V6};
    }
    *n = ip_prefix_sort_unique(out, *n);
    return out;
}

int node_approve_routes(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err)
{
    struct node_state *s = NULL;
    size_t n = 0;

    (void)r;
    if (node_get(d, c, &s, err) < 0)
        return -(int)err->code;
    if (c->n_routes > NODE_ROUTES_MAX)
        return err_set(err, ERR_LIMIT, "a node has at most %d routes", NODE_ROUTES_MAX);
    struct ip_prefix *wanted = wanted_routes(c, &n);
    if (same_prefixes(wanted, n, s->node->approved, s->node->n_approved)) {
        mem_free(wanted);
        return 0;
    }
    struct node *draft = node_edit(d, s, NODE_PRIVATE);
    mem_free(draft->approved);
    draft->approved = wanted;
    draft->n_approved = n;
    routes_update_node(d, s);
    return 0;
}

/* ---- What a client says ---- */

static void set_endpoints(struct domain *d, struct node_state *s, const struct command *c)
{
    const struct node *now = node_now(s);
    size_t n = MIN(c->n_endpoints, (size_t)NODE_ENDPOINTS_MAX);
    bool same = n == now->n_endpoints;

    for (size_t i = 0; same && i < n; i++)
        same = ip_addrport_eq(c->endpoints[i], now->endpoints[i]) &&
               (c->endpoint_types ? c->endpoint_types[i] : 0) == now->endpoint_types[i];
    if (same)
        return;

    struct node *draft = node_edit(d, s, NODE_ENDPOINTS);
    mem_free(draft->endpoints);
    mem_free(draft->endpoint_types);
    draft->endpoints = n > 0 ? mem_dup(c->endpoints, n * sizeof(*c->endpoints)) : NULL;
    draft->endpoint_types = n > 0 ? mem_alloc(n) : NULL;
    if (n > 0 && c->endpoint_types)
        memcpy(draft->endpoint_types, c->endpoint_types, n);
    draft->n_endpoints = n;
}

/* Also the first half of stream_open, where facts count only if it is an update. */
int node_update(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct node_state *s = node_state_by_key(d, &c->key);
    bool says_more = c->type == COMMAND_NODE_UPDATE || c->is_update;

    (void)r;
    /* Another machine's is as good as none: who asks learns nothing of it. */
    if (!s || !machine_key_eq(&s->node->machine, &c->machine))
        return err_set(err, ERR_NOT_FOUND, "node not found");
    if (tailnet_check_open(s->tailnet, err) < 0)
        return -(int)err->code;
    if (says_more && c->facts && facts_check(c->facts, err) < 0)
        return -(int)err->code;

    d->subject = s;
    if (c->capver != 0 && c->capver != s->node->capver)
        node_edit(d, s, NODE_CAPVER)->capver = c->capver;
    if (!disco_key_is_zero(&c->disco) && !disco_key_eq(&c->disco, &s->node->disco))
        node_edit(d, s, NODE_DISCO)->disco = c->disco;
    if (!says_more)
        return 0;
    if (c->home_derp != 0 && c->home_derp != s->node->home_derp)
        node_edit(d, s, NODE_DERP)->home_derp = c->home_derp;
    if (c->has_endpoints)
        set_endpoints(d, s, c);
    if (c->facts) {
        bool announces_else = !facts_same_routes(s->node->facts, c->facts);

        node_set_facts(d, s, c->facts);
        if (announces_else)
            routes_auto_approve(d, s);
    }
    return 0;
}
