/* Tailnets: made, changed, deleted. */

#include "tailnet/domain_internal.h"

static bool is_tailnet_name(struct str s)
{
    if (!name_is_label(s))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z')
            return false;
    return true;
}

/* Labels of letters, digits, '-' and '_', joined by single dots. */
static bool is_domain_name(struct str s)
{
    struct str label, rest = s;

    if (s.len == 0 || s.ptr[s.len - 1] == '.')
        return false;
    while (str_next(&rest, '.', &label)) {
        if (label.len == 0 || label.len > LABEL_MAX)
            return false;
        for (size_t i = 0; i < label.len; i++) {
            char c = label.ptr[i];

            if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
                c != '-' && c != '_')
                return false;
        }
    }
    return true;
}

int tailnet_info_check(const struct tailnet_info *info, struct err *err)
{
    if (!is_tailnet_name(info->name))
        return err_set(err, ERR_INVALID,
                       "a tailnet's name has 1 to 63 of a-z, 0-9 and '-', and no '-' at its ends");
    if (info->base_domain.len > BASE_DOMAIN_MAX)
        return err_set(err, ERR_INVALID, "base domain is longer than %d bytes", BASE_DOMAIN_MAX);
    if (info->base_domain.len > 0 && !is_domain_name(info->base_domain))
        return err_set(err, ERR_INVALID, "base domain is not a DNS name");
    if (!ip_prefix_is_set(info->prefix_v4) && !ip_prefix_is_set(info->prefix_v6))
        return err_set(err, ERR_INVALID, "a tailnet needs an IPv4 or an IPv6 prefix");
    if (ip_prefix_is_set(info->prefix_v4) && info->prefix_v4.addr.family != IP_V4)
        return err_set(err, ERR_INVALID, "the IPv4 prefix is not one");
    if (ip_prefix_is_set(info->prefix_v6) && info->prefix_v6.addr.family != IP_V6)
        return err_set(err, ERR_INVALID, "the IPv6 prefix is not one");
    if (info->node_expiry_ms < 0 || info->ephemeral_timeout_ms < 0)
        return err_set(err, ERR_INVALID, "times must not be negative");
    return 0;
}

/* Names and domains are nobody else's. `self` is the tailnet itself, or NULL. */
static int check_unique(const struct domain *d, const struct tailnet *self,
                        const struct tailnet_info *info, struct err *err)
{
    const struct tailnet *same = map_find(d->tailnet_by_name, info->name);

    if (same && same != self)
        return err_set(err, ERR_CONFLICT, "tailnet already exists");
    LIST_FOR_EACH(t, &d->tailnets, struct tailnet, tailnets_link) {
        if (t != self && str_eq_nocase(t->info->base_domain, info->base_domain))
            return err_set(err, ERR_CONFLICT, "another tailnet has this base domain");
    }
    return 0;
}

/* A further tailnet lives under a label of its own unless it was given a domain. */
static void default_domain(const struct domain *d, struct tailnet_info *info)
{
    const struct tailnet *first = domain_tailnet(d, 0);

    if (info->base_domain.len > 0 || !first)
        return;
    info->base_domain =
        first->info->base_domain.len > 0
            ? str_printf("%.*s.%.*s", STR_ARG(info->name), STR_ARG(first->info->base_domain))
            : str_copy(info->name);
}

static void replace_str(struct str *s, struct str with)
{
    struct str copy = str_copy(with);

    str_free(s);
    *s = copy;
}

static void replace_policy(struct tailnet_info *info, struct str text, struct str author,
                           int64_t updated_ms)
{
    replace_str(&info->policy, text);
    replace_str(&info->policy_author, author);
    info->policy_updated_ms = updated_ms;
}

int tailnet_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    AUTO(tailnet_info_unref) const struct tailnet_info *owned = NULL;
    struct tailnet_info *info = c->info ? tailnet_info_clone(c->info) : tailnet_info_new();

    owned = info;
    if (info->name.len == 0)
        replace_str(&info->name, c->name);
    default_domain(d, info);
    info->prefix_v4 = ip_prefix_masked(info->prefix_v4);
    info->prefix_v6 = ip_prefix_masked(info->prefix_v6);
    if (tailnet_info_check(info, err) < 0 || check_unique(d, NULL, info, err) < 0)
        return -(int)err->code;

    info->id = d->next.tailnet;
    info->created_ms = d->now_ms;
    /* One that was made from another's does not take its policy along. */
    replace_policy(info, STR_NONE, STR_NONE, 0);
    struct tailnet *t = tailnet_add(d, TAKE(owned));
    d->of = t;
    r->id = t->id;
    domain_emit(d, t, (struct change){.kind = CHANGE_INFO, .id = t->id});
    return 0;
}

/* Every machine's name ends in the base domain. */
static void rename_machines(struct domain *d, struct tailnet *t)
{
    const struct node *n;

    for (size_t at = 0; (n = table_next(&t->nodes, &at));)
        name_make_fqdn(node_edit(d, node_state_by_id(d, n->id), NODE_CARD), t->info);
}

int tailnet_update(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    AUTO(tailnet_info_unref) const struct tailnet_info *owned = NULL;
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    struct tailnet_info *info = tailnet_info_clone(c->info ? c->info : t->info);
    owned = info;
    info->id = t->id;
    info->created_ms = t->info->created_ms;
    replace_policy(info, t->info->policy, t->info->policy_author, t->info->policy_updated_ms);
    if (c->name.len > 0)
        replace_str(&info->name, c->name);
    else if (info->name.len == 0)
        replace_str(&info->name, t->info->name);
    info->prefix_v4 = ip_prefix_masked(info->prefix_v4);
    info->prefix_v6 = ip_prefix_masked(info->prefix_v6);
    if (tailnet_info_check(info, err) < 0 || check_unique(d, t, info, err) < 0)
        return -(int)err->code;

    const struct tailnet_info *old = t->info;
    (void)map_remove(d->tailnet_by_name, old->name);
    t->info = TAKE(owned);
    (void)map_put(d->tailnet_by_name, t->info->name, t);
    d->of = t;
    r->id = t->id;
    domain_emit(d, t, (struct change){.kind = CHANGE_INFO, .id = t->id});
    if (!str_eq(old->base_domain, t->info->base_domain))
        rename_machines(d, t);
    tailnet_info_unref(old);
    return 0;
}

int policy_set(struct domain *d, const struct command *c, struct command_result *r, struct err *err)
{
    struct tailnet *t = NULL;
    const struct node *n;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (c->text.len > TAILNET_POLICY_MAX)
        return err_set(err, ERR_LIMIT, "a policy has at most %zu bytes", TAILNET_POLICY_MAX);
    d->of = t;
    r->id = t->id;
    if (!str_eq(c->text, t->info->policy)) {
        struct tailnet_info *info = tailnet_info_clone(t->info);

        replace_policy(info, c->text, str_sub(c->author, 0, TEXT_MAX),
                       MAX(d->now_ms, t->info->policy_updated_ms + 1));
        tailnet_info_unref(t->info);
        t->info = info;
        domain_emit(d, t, (struct change){.kind = CHANGE_INFO, .id = t->id});
    }
    for (size_t at = 0; (n = table_next(&t->nodes, &at));)
        routes_auto_approve(d, node_state_by_id(d, n->id));
    return 0;
}

int tailnet_delete(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    struct tailnet *t = NULL;
    const struct user *u;
    const struct auth_key *k;
    size_t at = 0;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (t == domain_tailnet(d, 0))
        return err_set(err, ERR_INVALID, "the first tailnet cannot be deleted");
    if (t->nodes.count > 0)
        return err_set(err, ERR_CONFLICT, "tailnet not empty: node(s) found");

    while (at = 0, (k = table_next(&t->auth_keys, &at)))
        auth_key_remove(d, map_find_u64(d->key_by_id, k->id));
    while (at = 0, (u = table_next(&t->users, &at)))
        user_remove(d, map_find_u64(d->user_by_id, u->id));
    api_keys_remove_of(d, t->id, 0);
    domain_emit(d, t, (struct change){.kind = CHANGE_TAILNET_REMOVED, .id = t->id});
    r->id = t->id;
    r->view = view_ref(tailnet_view(t));
    (void)map_remove_u64(d->tailnet_by_id, t->id);
    (void)map_remove(d->tailnet_by_name, t->info->name);
    list_remove(&t->tailnets_link);
    tailnet_free(t);
    return 0;
}
