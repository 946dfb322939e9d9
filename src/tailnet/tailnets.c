/*
 * Tailnets: made, changed, suspended, deleted.
 *
 * The first is what the configuration says. The others follow it in what is the server's: the relay
 * map, resolvers, expiry, switches (`follow`); names, records, search domains and policy are each
 * one's own. Nothing of a tailnet but that it is there says anything about another.
 */

#include "tailnet/dns.h"
#include "tailnet/dns_internal.h"
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

static void replace_str(struct str *s, struct str with)
{
    struct str copy = str_copy(with);

    str_free(s);
    *s = copy;
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

/* ---- What the others have of the first ---- */

/* Resolvers, and whether to use them; the names that the first has are its own. */
static struct dns_settings *followed_dns(const struct tailnet_info *first)
{
    struct dns_settings *all = tailnet_info_configured_dns(first);

    dns_clear(all, DNS_SPLITS | DNS_SEARCH | DNS_RECORDS);
    all->parts = DNS_ALL;
    return all;
}

static const struct derp_region *configured_regions(const struct tailnet_info *i, size_t *n)
{
    bool has_own = (i->settings.set & SETTING_RELAYS) != 0;

    *n = has_own ? i->settings.n_configured_regions : i->n_regions;
    return has_own ? i->settings.configured_regions : i->regions;
}

static int64_t configured_expiry(const struct tailnet_info *i)
{
    return i->settings.set & SETTING_KEY_DURATION ? i->settings.configured_key_duration_ms
                                                  : i->node_expiry_ms;
}

static bool configured_update(const struct tailnet_info *i)
{
    return i->settings.set & SETTING_AUTO_UPDATE ? i->settings.configured_auto_update
                                                 : i->auto_update;
}

/* `i` has nothing set over it: what is configured is what it has. */
static void follow(struct tailnet_info *i, const struct tailnet_info *first)
{
    size_t n = 0;
    const struct derp_region *regions = configured_regions(first, &n);

    derp_regions_free(i->regions, i->n_regions);
    i->regions = derp_regions_copy(regions, n);
    i->n_regions = n;
    i->node_expiry_ms = configured_expiry(first);
    i->auto_update = configured_update(first);
    i->ephemeral_timeout_ms = first->ephemeral_timeout_ms;
    i->taildrop = first->taildrop;
    i->logtail = first->logtail;
    i->randomize_client_port = first->randomize_client_port;
    tailnet_info_settle_dns(i, followed_dns(first), dns_settings_copy(i->dns_own));
}

static bool follows_already(const struct tailnet_info *i, const struct tailnet_info *first)
{
    AUTO(dns_settings_free) struct dns_settings *want = followed_dns(first);
    AUTO(dns_settings_free) struct dns_settings *have = tailnet_info_configured_dns(i);
    size_t n = 0, n_first = 0;
    const struct derp_region *regions = configured_regions(i, &n);
    const struct derp_region *of_first = configured_regions(first, &n_first);

    return derp_regions_eq(regions, n, of_first, n_first) && dns_settings_eq(have, want) &&
           configured_expiry(i) == configured_expiry(first) &&
           configured_update(i) == configured_update(first) &&
           i->ephemeral_timeout_ms == first->ephemeral_timeout_ms &&
           i->taildrop == first->taildrop && i->logtail == first->logtail &&
           i->randomize_client_port == first->randomize_client_port;
}

/* Takes `info`, with nothing set over it yet, as the tailnet's, with what was set. */
static void replace_info(struct domain *d, struct tailnet *t, struct tailnet_info *info,
                         const struct tailnet_settings *settings)
{
    const struct tailnet_info *old = t->info;

    tailnet_info_settle_settings(info, settings);
    (void)map_remove(d->tailnet_by_name, old->name);
    t->info = info;
    (void)map_put(d->tailnet_by_name, t->info->name, t);
    domain_emit(d, t, (struct change){.kind = CHANGE_INFO, .id = t->id});
    tailnet_info_unref(old);
}

/* The first was configured anew: so are the others. */
static void others_follow(struct domain *d, const struct tailnet_info *first)
{
    LIST_FOR_EACH(t, &d->tailnets, struct tailnet, tailnets_link) {
        struct tailnet_settings settings = {0};
        struct tailnet_info *info;

        if (t->id == first->id || follows_already(t->info, first))
            continue;
        info = tailnet_info_clone(t->info);
        tailnet_settings_copy(&settings, &info->settings);
        tailnet_info_settle_settings(info, NULL);
        follow(info, first);
        replace_info(d, t, info, &settings);
        tailnet_settings_fini(&settings);
    }
}

/* ---- Commands ---- */

static void replace_policy(struct tailnet_info *info, struct str text, struct str author,
                           int64_t updated_ms)
{
    replace_str(&info->policy, text);
    replace_str(&info->policy_author, author);
    info->policy_updated_ms = updated_ms;
}

static bool overlap(struct ip_prefix a, struct ip_prefix b)
{
    return ip_prefix_is_set(a) && ip_prefix_is_set(b) && a.addr.family == b.addr.family &&
           (ip_prefix_contains(a, b.addr) || ip_prefix_contains(b, a.addr));
}

/* Ranges of its own must be nobody else's, unless it is said that they may. */
static int check_ranges(const struct domain *d, const struct command *c, struct err *err)
{
    bool apart = c->settings && (c->settings->set & SETTING_ADDRESSES_APART);

    if (apart && c->n_routes == 0)
        return err_set(err, ERR_INVALID,
                       "addresses that others may have, too, need a range of the tailnet's own");
    LIST_FOR_EACH(t, &d->tailnets, struct tailnet, tailnets_link) {
        for (size_t i = 0; i < c->n_routes && !apart; i++)
            if (overlap(c->routes[i], t->info->prefix_v4) ||
                overlap(c->routes[i], t->info->prefix_v6))
                return err_set(err, ERR_CONFLICT,
                               "the range is another tailnet's, too; say that it may overlap");
    }
    return 0;
}

static int take_ranges(struct tailnet_info *info, const struct command *c, struct err *err)
{
    if (c->n_routes == 0)
        return 0;
    info->prefix_v4 = info->prefix_v6 = (struct ip_prefix){0};
    for (size_t i = 0; i < c->n_routes; i++) {
        struct ip_prefix p = ip_prefix_masked(c->routes[i]);
        struct ip_prefix *at = p.addr.family == IP_V4 ? &info->prefix_v4 : &info->prefix_v6;

        if (ip_prefix_is_set(*at))
            return err_set(err, ERR_INVALID, "a tailnet has one range a family");
        if (p.bits > ip_addr_width(p.addr) - 3 || p.bits < 8)
            return err_set(err, ERR_INVALID,
                           "a range has room for 8 addresses at least, and is "
                           "no wider than /8");
        *at = p;
    }
    return 0;
}

/* What a further tailnet is unless more is said. Addresses of a range that all share come by
 * chance: gaps would tell of others. */
static struct tailnet_info *further_info(const struct domain *d, const struct command *c)
{
    const struct tailnet *first = domain_tailnet(d, 0);
    struct tailnet_info *info = tailnet_info_new();

    if (first) {
        follow(info, first->info);
        info->prefix_v4 = first->info->prefix_v4;
        info->prefix_v6 = first->info->prefix_v6;
        info->allocation = c->n_routes == 0 ? ADDRESS_RANDOM : first->info->allocation;
    }
    info->name = str_copy(c->name);
    info->base_domain = str_copy(c->text);
    return info;
}

int tailnet_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    AUTO(tailnet_info_unref) const struct tailnet_info *owned = NULL;
    AUTO_FINI(tailnet_settings_fini) struct tailnet_settings settings = {0};
    struct tailnet_info *info = c->info ? tailnet_info_clone(c->info) : further_info(d, c);

    owned = info;
    if (info->name.len == 0)
        replace_str(&info->name, c->name);
    default_domain(d, info);
    if (take_ranges(info, c, err) < 0 || check_ranges(d, c, err) < 0 ||
        (c->settings && tailnet_settings_check(c->settings, err) < 0))
        return -(int)err->code;
    info->prefix_v4 = ip_prefix_masked(info->prefix_v4);
    info->prefix_v6 = ip_prefix_masked(info->prefix_v6);
    if (tailnet_info_check(info, err) < 0 || check_unique(d, NULL, info, err) < 0)
        return -(int)err->code;

    info->id = id_next(d, NULL, ID_TAILNET);
    info->created_ms = d->now_ms;
    /* One that was made from another's does not take its policy along, nor its own DNS settings. */
    replace_policy(info, STR_NONE, STR_NONE, 0);
    tailnet_info_settle_dns(info, tailnet_info_configured_dns(info), NULL);
    tailnet_info_settle_settings(info, NULL);
    if (info->domain.len == 0)
        replace_str(&info->domain, info->base_domain);
    if (!c->info)
        quotas_begin(d, &settings);
    if (c->settings)
        tailnet_settings_put_over(&settings, c->settings);
    if (settings.set)
        tailnet_info_settle_settings(info, &settings);
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
    tailnet_info_settle_dns(info, tailnet_info_configured_dns(info),
                            dns_settings_copy(t->info->dns_own));
    replace_policy(info, t->info->policy, t->info->policy_author, t->info->policy_updated_ms);
    if (c->name.len > 0)
        replace_str(&info->name, c->name);
    else if (info->name.len == 0)
        replace_str(&info->name, t->info->name);
    info->prefix_v4 = ip_prefix_masked(info->prefix_v4);
    info->prefix_v6 = ip_prefix_masked(info->prefix_v6);
    if (tailnet_info_check(info, err) < 0 || check_unique(d, t, info, err) < 0)
        return -(int)err->code;

    const struct tailnet_info *old = tailnet_info_ref(t->info);
    owned = NULL;
    replace_info(d, t, info, &old->settings);
    d->of = t;
    r->id = t->id;
    if (!str_eq(old->base_domain, t->info->base_domain))
        rename_machines(d, t);
    tailnet_info_unref(old);
    if (t == domain_tailnet(d, 0)) {
        if (c->new_quotas)
            domain_set_new_quotas(d, *c->new_quotas);
        others_follow(d, t->info);
    }
    return 0;
}

int tailnet_set(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    AUTO(tailnet_info_unref) const struct tailnet_info *owned = NULL;
    AUTO_FINI(tailnet_settings_fini) struct tailnet_settings settings = {0};
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 ||
        (c->settings && tailnet_settings_check(c->settings, err) < 0))
        return -(int)err->code;
    if (c->text.len > 0 && t == domain_tailnet(d, 0))
        return err_set(
            err, ERR_INVALID,
            "the base domain of the first tailnet is the configuration's (dns.base_domain)");
    struct tailnet_info *info = tailnet_info_clone(t->info);
    owned = info;
    tailnet_settings_copy(&settings, &info->settings);
    tailnet_info_settle_settings(info, NULL);
    if (c->settings)
        tailnet_settings_put_over(&settings, c->settings);
    tailnet_settings_unset(&settings, c->unset);
    if (c->name.len > 0)
        replace_str(&info->name, c->name);
    if (c->text.len > 0) {
        replace_str(&info->base_domain, c->text);
        replace_str(&info->domain, c->text);
    }
    if (tailnet_info_check(info, err) < 0 || check_unique(d, t, info, err) < 0)
        return -(int)err->code;

    owned = NULL;
    replace_info(d, t, info, &settings);
    d->of = t;
    r->id = t->id;
    if (c->text.len > 0)
        rename_machines(d, t);
    return 0;
}

static int set_suspended(struct domain *d, const struct command *c, bool suspended,
                         struct command_result *r, struct err *err)
{
    AUTO_FINI(tailnet_settings_fini) struct tailnet_settings settings = {0};
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    d->of = t;
    r->id = t->id;
    if (t->info->suspended == suspended)
        return 0;
    struct tailnet_info *info = tailnet_info_clone(t->info);
    tailnet_settings_copy(&settings, &info->settings);
    settings.set = (settings.set & ~(unsigned)SETTING_SUSPENDED) |
                   (suspended ? (unsigned)SETTING_SUSPENDED : 0);
    tailnet_info_settle_settings(info, NULL);
    replace_info(d, t, info, &settings);
    return 0;
}

int tailnet_suspend(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err)
{
    return set_suspended(d, c, true, r, err);
}

int tailnet_resume(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    return set_suspended(d, c, false, r, err);
}

int tailnet_check_open(const struct tailnet *t, struct err *err)
{
    return t->info->suspended ? err_set(err, ERR_DENIED, TAILNET_SUSPENDED) : 0;
}

int policy_set(struct domain *d, const struct command *c, struct command_result *r, struct err *err)
{
    struct tailnet *t = NULL;
    const struct node *n;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (c->text.len > TAILNET_POLICY_MAX)
        return err_set(err, ERR_LIMIT, "a policy has at most %zu bytes", TAILNET_POLICY_MAX);
    if (c->is_guarded && c->policy_seen_ms != t->info->policy_updated_ms)
        return err_set(err, ERR_CONFLICT, "the policy was changed in the meantime");
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
    const struct node *n;
    size_t at = 0;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (t == domain_tailnet(d, 0))
        return err_set(err, ERR_INVALID, "the first tailnet cannot be deleted");
    /* Removing may merge chunks: begin anew after each. */
    while (at = 0, (n = table_next(&t->nodes, &at)))
        node_remove(d, node_state_by_id(d, n->id));
    routes_elect(d);
    shares_drop_tailnet(d, t);
    user_invites_drop(d, t, 0);
    while (at = 0, (k = table_next(&t->auth_keys, &at)))
        auth_key_remove(d, map_find_u64(d->key_by_id, k->id));
    while (at = 0, (u = table_next(&t->users, &at)))
        user_remove(d, map_find_u64(d->user_by_id, u->id));
    api_keys_remove_of(d, t->id, 0);
    webhooks_remove_all(d, t);
    domain_emit(d, t, (struct change){.kind = CHANGE_TAILNET_REMOVED, .id = t->id});
    r->id = t->id;
    r->view = view_ref(tailnet_view(t));
    (void)map_remove_u64(d->tailnet_by_id, t->id);
    (void)map_remove(d->tailnet_by_name, t->info->name);
    list_remove(&t->tailnets_link);
    tailnet_free(t);
    return 0;
}
