/* Each question goes through all rules, selector by selector. */

#include "naive_guests.h"

static const struct ip_ports all_ports = {0, 65535};

bool naive_guest_sees(const struct node *x, const struct node *g)
{
    return abroad_find(x->abroad, g->id) || abroad_find(g->abroad, x->id);
}

/* ---- Who a selector means ---- */

static bool is_ours(const struct tailnet_view *v, struct str token)
{
    size_t n = 0;
    const struct user *const *users = view_users(v, &n);

    for (size_t i = 0; i < n; i++)
        if (str_eq(users[i]->name, token) || str_eq(users[i]->email, token) ||
            str_eq(users[i]->provider_id, token))
            return true;
    return false;
}

static bool is_guest_by_name(const struct policy_selector *s, const struct tailnet_view *v,
                             const struct node *g)
{
    const struct user *u = g->tags.len > 0 ? NULL : view_guest_user_find(v, g->user);
    const struct tailnet_info *home = view_guest_info_find(v, g->tailnet);
    struct str login = u ? (u->email.len > 0 ? u->email : u->name) : STR_NONE;
    ptrdiff_t at = str_rfind_char(login, '@');
    bool is_real = at > 0 && (size_t)at < login.len - 1;

    if (s->kind == SELECTOR_TAILNET)
        return home && str_eq(home->name, s->tailnet);
    if (s->kind == SELECTOR_USER)
        return is_real && str_eq(s->user, login) && !is_ours(v, login);
    if (s->kind == SELECTOR_DOMAIN)
        return is_real && str_eq(str_from_index(login, (size_t)at + 1), s->domain);
    return naive_is_autogroup(s, AUTOGROUP_SHARED);
}

static bool literal_has(const struct policy_selector *s, struct ip_addr a)
{
    if (s->kind == SELECTOR_IPSET)
        return ip_set_contains(&s->ipset->set, a);
    return (s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST) &&
           ip_prefix_contains(s->prefix, a);
}

/* Whether one of the sources has the guest's address. */
static bool has_guest(const struct policy_refs *refs, const struct policy_postures *postures,
                      const struct tailnet_view *v, const struct node *g, struct ip_addr a)
{
    for (size_t i = 0; i < refs->len; i++) {
        const struct policy_selector *s = refs->items[i].selector;

        if (naive_is_autogroup(s, AUTOGROUP_DANGER_ALL) || literal_has(s, a))
            return true;
        if (postures->len == 0 && (s->kind == SELECTOR_WILDCARD || is_guest_by_name(s, v, g)))
            return true;
    }
    return false;
}

/* ---- What the share says ---- */

static bool has_ports(int proto)
{
    return proto == 6 || proto == 17 || proto == 132;
}

static bool terms_have_route(const struct share_terms *t, struct ip_prefix route)
{
    bool have = t->all_routes;

    for (size_t i = 0; i < t->n_routes; i++)
        have = have || ip_prefix_covers(t->routes[i], route);
    return have;
}

/* Whether the rule's ports and the share's together let the packet pass. */
static bool ports_pass(const struct share_terms *t, int rule_proto, const struct ip_ports *ports,
                       size_t n, int proto, uint16_t port)
{
    if (rule_proto >= 0 ? rule_proto != proto
                        : !(has_ports(proto) && proto != 132) && proto != 1 && proto != 58)
        return false;
    for (unsigned p = 0; p <= 65535; p++) {
        bool in_rule = false, in_terms = t->n_ports == 0;

        if (has_ports(proto) && p != port)
            continue;
        for (size_t i = 0; i < n; i++)
            in_rule = in_rule || ip_ports_contains(ports[i], (uint16_t)p);
        for (size_t i = 0; i < t->n_ports; i++)
            in_terms = in_terms || (t->ports[i].first <= p && p <= t->ports[i].last);
        /* Single ports are of TCP, UDP and SCTP; with these pings come. */
        if (t->n_ports > 0 && rule_proto >= 0 && !has_ports(rule_proto))
            in_terms = false;
        if (in_rule && in_terms)
            return true;
    }
    return false;
}

static bool is_internet(struct ip_addr a)
{
    static const char *const not_it[] = {"10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16",
                                         "172.16.0.0/12", "192.168.0.0/16"};
    struct ip_prefix p;

    for (size_t i = 0; i < ARRAY_LEN(not_it); i++)
        if (ip_prefix_parse(str_from(not_it[i]), &p) && ip_prefix_contains(p, a))
            return false;
    return a.family == IP_V4 || (a.bytes[0] & 0xe0) == 0x20;
}

/* Whether a destination of a rule has the address, which is the node's or behind it as the share
 * says. `means`: the selector means the node itself. */
static bool dst_has(const struct policy_selector *s, const struct node *n, bool means,
                    const struct share_terms *t, struct ip_addr dst)
{
    if (naive_owns(n, dst) && (s->kind == SELECTOR_WILDCARD || literal_has(s, dst) || means))
        return true;
    for (size_t i = 0; i < n->facts->n_routes; i++) {
        struct ip_prefix r = n->facts->routes[i];

        if (!ip_prefix_is_exit(r) && naive_has_route(n, r) && terms_have_route(t, r) &&
            ip_prefix_contains(r, dst) && (s->kind == SELECTOR_WILDCARD || literal_has(s, dst)))
            return true;
    }
    return t->exit_node && naive_is_exit(n) && is_internet(dst) &&
           (s->kind == SELECTOR_WILDCARD || naive_is_autogroup(s, AUTOGROUP_INTERNET));
}

/* ---- Packets ---- */

static const struct policy_rule *rule_at(const struct policy_document *d, size_t i)
{
    return i < d->n_grants ? &d->grants[i] : &d->acls[i - d->n_grants];
}

/* Whether the rule's ports for this destination let the packet pass. */
static bool target_passes(const struct policy_rule *rule, const struct policy_target *to,
                          const struct share_terms *t, int proto, uint16_t port)
{
    if (rule->is_acl)
        return ports_pass(t, rule->proto, to->ports, to->n_ports, proto, port);
    for (size_t i = 0; i < rule->n_ip; i++)
        if (ports_pass(t, rule->ip[i].proto, rule->ip[i].ports, rule->ip[i].n_ports, proto, port))
            return true;
    return false;
}

static const struct policy_selector everything = {.kind = SELECTOR_WILDCARD};

bool naive_guest_in(const struct policy_document *d, const struct tailnet_view *v,
                    const struct node *x, const struct node *g, struct ip_addr src,
                    struct ip_addr dst, int proto, uint16_t port)
{
    const struct abroad_item *item = abroad_find(g->abroad, x->id);

    if (!item)
        return false;
    if (!d || !d->has_rules)
        return dst_has(&everything, x, true, &item->terms, dst) &&
               ports_pass(&item->terms, -1, &all_ports, 1, proto, port);
    for (size_t i = 0; i < d->n_grants + d->n_acls; i++) {
        const struct policy_rule *rule = rule_at(d, i);

        if (rule->via.len > 0 || !has_guest(&rule->src, &rule->postures, v, g, src))
            continue;
        for (size_t k = 0; k < rule->n_dst; k++) {
            const struct policy_selector *s = rule->dst[k].ref.selector;

            if (dst_has(s, x, naive_selects(s, v, x), &item->terms, dst) &&
                target_passes(rule, &rule->dst[k], &item->terms, proto, port))
                return true;
        }
    }
    return false;
}

/* Whether the rule has the node's own address as a source. */
static bool is_source(const struct policy_rule *rule, const struct tailnet_view *v,
                      struct ip_addr src)
{
    struct ip_set set = {0};

    naive_add_sources(&set, rule, v);
    bool is = ip_addr_is_set(src) && ip_set_contains(&set, src);
    ip_set_fini(&set);
    return is;
}

/* 3.2: `*` as a source is the Tailscale ranges. */
static bool all_may_go(const struct policy_document *d, const struct tailnet_view *v,
                       struct ip_addr src)
{
    struct ip_set set = {0};

    naive_add_companion_source(&set, &everything, v);
    bool may = !d || (ip_addr_is_set(src) && ip_set_contains(&set, src));
    ip_set_fini(&set);
    return may;
}

bool naive_guest_out(const struct policy_document *d, const struct tailnet_view *v,
                     const struct node *x, const struct node *g, struct ip_addr src,
                     struct ip_addr dst, int proto, uint16_t port)
{
    const struct abroad_item *item = abroad_find(x->abroad, g->id);

    if (!item)
        return false;
    if (!d || !d->has_rules)
        return all_may_go(d, v, src) && dst_has(&everything, g, true, &item->terms, dst) &&
               ports_pass(&item->terms, -1, &all_ports, 1, proto, port);
    for (size_t i = 0; i < d->n_grants + d->n_acls; i++) {
        const struct policy_rule *rule = rule_at(d, i);

        if (rule->via.len > 0 || !is_source(rule, v, src))
            continue;
        for (size_t k = 0; k < rule->n_dst; k++) {
            const struct policy_selector *s = rule->dst[k].ref.selector;

            if (dst_has(s, g, is_guest_by_name(s, v, g), &item->terms, dst) &&
                target_passes(rule, &rule->dst[k], &item->terms, proto, port))
                return true;
        }
    }
    return false;
}

/* ---- Whether rules would ---- */

static bool has_any_port(const struct policy_rule *rule, const struct policy_target *to)
{
    bool has = rule->is_acl && to->n_ports > 0;

    for (size_t i = 0; i < rule->n_ip; i++)
        has = has || rule->ip[i].n_ports > 0;
    return has;
}

static bool leads_to(const struct policy_selector *s, const struct node *n, bool means)
{
    struct ip_set set = {0};
    bool does = means || s->kind == SELECTOR_WILDCARD ||
                (naive_is_autogroup(s, AUTOGROUP_INTERNET) && naive_is_exit(n));

    if (s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST)
        ip_set_add_prefix(&set, s->prefix);
    if (s->kind == SELECTOR_IPSET)
        ip_set_copy(&set, &s->ipset->set);
    does = does || naive_matches(n, &set);
    ip_set_fini(&set);
    return does;
}

bool naive_would_reach(const struct policy_document *d, const struct tailnet_view *v,
                       const struct node *src, const struct node *dst)
{
    bool from_guest = view_guest_find(v, src->id) != NULL;

    if (!d)
        return true;
    if (!d->has_rules)
        return from_guest || all_may_go(d, v, src->v4) || all_may_go(d, v, src->v6);
    for (size_t i = 0; i < d->n_grants + d->n_acls; i++) {
        const struct policy_rule *rule = rule_at(d, i);
        bool goes = from_guest ? has_guest(&rule->src, &rule->postures, v, src, src->v4) ||
                                     has_guest(&rule->src, &rule->postures, v, src, src->v6)
                               : is_source(rule, v, src->v4) || is_source(rule, v, src->v6);

        for (size_t k = 0; goes && rule->via.len == 0 && k < rule->n_dst; k++) {
            const struct policy_selector *s = rule->dst[k].ref.selector;
            bool means = from_guest ? naive_selects(s, v, dst) : is_guest_by_name(s, v, dst);

            if (has_any_port(rule, &rule->dst[k]) && leads_to(s, dst, means))
                return true;
        }
    }
    return false;
}

/* ---- Routes ---- */

static bool leads_behind(const struct policy_selector *s, const struct ip_prefix *route)
{
    struct ip_set set = {0};
    bool does = s->kind == SELECTOR_WILDCARD;

    if (!route)
        return does || naive_is_autogroup(s, AUTOGROUP_INTERNET);
    if (s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST)
        ip_set_add_prefix(&set, s->prefix);
    if (s->kind == SELECTOR_IPSET)
        ip_set_copy(&set, &s->ipset->set);
    does = does || ip_set_overlaps(&set, ip_range_of_prefix(*route));
    ip_set_fini(&set);
    return does;
}

/* NULL: the internet. */
static bool may_go_behind(const struct policy_document *d, const struct tailnet_view *v,
                          const struct node *x, const struct ip_prefix *route)
{
    if (!d || !d->has_rules)
        return all_may_go(d, v, x->v4) || all_may_go(d, v, x->v6);
    for (size_t i = 0; i < d->n_grants + d->n_acls; i++) {
        const struct policy_rule *rule = rule_at(d, i);

        if (rule->via.len > 0 || (!is_source(rule, v, x->v4) && !is_source(rule, v, x->v6)))
            continue;
        for (size_t k = 0; k < rule->n_dst; k++)
            if (has_any_port(rule, &rule->dst[k]) && leads_behind(rule->dst[k].ref.selector, route))
                return true;
    }
    return false;
}

size_t naive_guest_routes(const struct policy_document *d, const struct tailnet_view *v,
                          const struct node *x, const struct node *g, struct ip_prefix *out,
                          size_t max)
{
    const struct abroad_item *item = abroad_find(x->abroad, g->id);
    size_t n = 0;

    for (int exits = 0; item && exits < 2; exits++)
        for (size_t i = 0; i < g->facts->n_routes; i++) {
            struct ip_prefix r = g->facts->routes[i];

            if (ip_prefix_is_exit(r) != (exits == 1) || !naive_has_route(g, r))
                continue;
            if (exits ? !item->terms.exit_node || !may_go_behind(d, v, x, NULL)
                      : !terms_have_route(&item->terms, r) || !naive_is_served(g, r) ||
                            !may_go_behind(d, v, x, &r))
                continue;
            if (n < max)
                out[n] = r;
            n++;
        }
    return n;
}

/* ---- Capabilities ---- */

static bool is_at(const struct policy_selector *s, const struct tailnet_view *v,
                  const struct node *x, struct ip_addr own)
{
    return s->kind == SELECTOR_WILDCARD || literal_has(s, own) || naive_selects(s, v, x);
}

/* 7.8: what the grant's destinations get at its sources. */
static bool has_companion(const struct policy_rule *rule, const struct tailnet_view *v,
                          const struct node *g, struct ip_addr src, struct ip_addr dst)
{
    for (size_t k = 0; k < rule->n_dst; k++) {
        const struct policy_selector *s = rule->dst[k].ref.selector;

        if ((s->kind == SELECTOR_WILDCARD || literal_has(s, src) || is_guest_by_name(s, v, g)) &&
            is_source(rule, v, dst))
            return true;
    }
    return false;
}

bool naive_guest_has_cap(const struct policy_document *d, const struct tailnet_view *v,
                         const struct node *x, const struct node *g, struct ip_addr src,
                         struct ip_addr dst, struct str cap)
{
    if (!d || !abroad_find(g->abroad, x->id))
        return false;
    for (size_t i = 0; i < d->n_grants; i++) {
        const struct policy_rule *rule = &d->grants[i];

        for (size_t a = 0; rule->via.len == 0 && a < rule->n_app; a++) {
            if (str_eq(naive_companion(rule->app[a].name), cap) &&
                has_companion(rule, v, g, src, dst))
                return true;
            if (!str_eq(rule->app[a].name, cap) ||
                !has_guest(&rule->src, &rule->postures, v, g, src))
                continue;
            for (size_t k = 0; k < rule->n_dst; k++)
                if (is_at(rule->dst[k].ref.selector, v, x, dst))
                    return true;
        }
    }
    return false;
}

/* ---- SSH ---- */

static bool takes_login(const struct policy_ssh_rule *r, struct str login)
{
    for (size_t i = 0; i < r->logins.len; i++)
        if (str_eq(r->logins.items[i].text, login))
            return true;
    return str_eq(login, STR("root")) ? r->root : r->nonroot;
}

/* Checks come first, and are not for guests. */
enum naive_ssh naive_guest_ssh(const struct policy_document *d, const struct tailnet_view *v,
                               const struct node *x, const struct node *g, struct str login)
{
    const struct abroad_item *item = abroad_find(g->abroad, x->id);
    bool has_port = item && item->terms.n_ports == 0;

    for (size_t i = 0; item && i < item->terms.n_ports; i++)
        has_port =
            has_port || (item->terms.ports[i].first <= 22 && item->terms.ports[i].last >= 22);
    for (int pass = 0; has_port && pass < 2; pass++)
        for (size_t i = 0; d && i < d->n_ssh; i++) {
            const struct policy_ssh_rule *r = &d->ssh[i];
            bool is_dst = false;

            for (size_t k = 0; k < r->dst.len; k++)
                is_dst = is_dst || naive_selects(r->dst.items[k].selector, v, x);
            if ((r->action == SSH_CHECK) != (pass == 0) || !is_dst ||
                !has_guest(&r->src, &r->postures, v, g, g->v4))
                continue;
            if (pass == 0 || naive_lacks_recorder(r, v))
                return NAIVE_SSH_NONE;
            if (takes_login(r, login))
                return NAIVE_SSH_ACCEPT;
        }
    return NAIVE_SSH_NONE;
}
