/* Identities, postures, SSH, attributes, approvals and tags. Numbers are policy.md's paragraphs. */

#include "naive.h"
#include "json/value.h"

/* ---- Users and identities (3) ---- */

bool naive_user_is(const struct policy_selector *s, const struct user *u)
{
    if (u->provider_id.len > 0 && str_eq(u->provider_id, s->user))
        return true;
    return (u->email.len > 0 && str_eq(u->email, s->user)) || str_eq(u->name, s->user);
}

/* Splits at the last '@'; false when there is none. */
static bool login_split(const struct user *u, struct buf *scratch, struct str *local,
                        struct str *domain)
{
    struct str login = user_login_name(u, scratch);
    ptrdiff_t at = str_rfind_char(login, '@');

    if (at < 0)
        return false;
    *local = str_sub(login, 0, (size_t)at);
    *domain = str_from_index(login, (size_t)at + 1);
    return true;
}

static bool user_is_in_domain(const struct user *u, struct str wanted)
{
    struct buf scratch = BUF(0);
    struct str local, domain;
    bool is = login_split(u, &scratch, &local, &domain) && str_eq(domain, wanted);

    buf_fini(&scratch);
    return is;
}

static bool user_is_in_group(const struct policy_group *g, const struct user *u)
{
    for (size_t i = 0; i < g->members.len; i++)
        if (naive_user_is(g->members.items[i].selector, u))
            return true;
    return false;
}

static bool user_has_role(enum policy_autogroup g, const struct user *u)
{
    return (g == AUTOGROUP_OWNER && u->role == ROLE_OWNER) ||
           (g == AUTOGROUP_ADMIN && (u->role == ROLE_ADMIN || u->role == ROLE_OWNER)) ||
           (g == AUTOGROUP_NETWORK_ADMIN && u->role == ROLE_NETWORK_ADMIN) ||
           (g == AUTOGROUP_IT_ADMIN && u->role == ROLE_IT_ADMIN) ||
           (g == AUTOGROUP_BILLING_ADMIN && u->role == ROLE_BILLING_ADMIN) ||
           (g == AUTOGROUP_AUDITOR && u->role == ROLE_AUDITOR);
}

/* Whether the selector means this user, as owner of an untagged machine. */
static bool selects_user(const struct policy_selector *s, const struct user *u)
{
    return (s->kind == SELECTOR_USER && naive_user_is(s, u)) ||
           (s->kind == SELECTOR_DOMAIN && user_is_in_domain(u, s->domain)) ||
           (s->kind == SELECTOR_GROUP && user_is_in_group(s->group, u)) ||
           (s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_MEMBER) ||
           (s->kind == SELECTOR_AUTOGROUP && user_has_role(s->autogroup, u));
}

static bool selects_tagged(const struct policy_selector *s, const struct node *n)
{
    return (s->kind == SELECTOR_TAG && str_list_has(&n->tags, s->tag->name)) ||
           (s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_TAGGED);
}

static bool selects(const struct policy_selector *s, const struct user *owner, const struct node *n)
{
    return node_is_tagged(n) ? selects_tagged(s, n) : owner && selects_user(s, owner);
}

bool naive_selects(const struct policy_selector *s, const struct tailnet_view *v,
                   const struct node *n)
{
    return selects(s, view_user_find(v, n->user), n);
}

/* ---- Postures (5.10) ---- */

struct value {
    bool is_set;
    char text[128];
};

static struct value attribute(const struct node *n, struct str name)
{
    struct value out = {0};
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *info = NULL;
    struct str text = STR_NONE;
    bool lower = false, track = false;

    if (!json_parse(arena, n->facts->hostinfo, NULL, &info, NULL))
        return out;
    if (str_eq(name, STR("node:os"))) {
        text = json_get_str(info, "OS");
        lower = true;
    } else if (str_eq(name, STR("node:osVersion"))) {
        text = json_get_str(info, "OSVersion");
    } else if (str_eq(name, STR("node:tsVersion")) || str_eq(name, STR("node:tsReleaseTrack"))) {
        struct str rest = STR_NONE;

        (void)str_split(json_get_str(info, "IPNVersion"), '-', &text, &rest);
        track = str_eq(name, STR("node:tsReleaseTrack"));
    }
    out.is_set = text.len > 0;
    (void)snprintf(out.text, sizeof(out.text), "%.*s", STR_ARG(text));
    for (char *c = out.text; lower && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    if (track && out.is_set) {
        struct str rest = text, piece = STR_NONE;
        bool has_minor = str_next(&rest, '.', &piece) && str_next(&rest, '.', &piece);
        bool is_odd = has_minor && piece.len > 0 && (piece.ptr[piece.len - 1] - '0') % 2 == 1;

        (void)snprintf(out.text, sizeof(out.text), "%s", is_odd ? "unstable" : "stable");
    }
    return out;
}

/* "1.76.1" against "1.8": number by number, what is missing is 0. */
static int compare_versions(struct str a, struct str b)
{
    while (a.len > 0 || b.len > 0) {
        struct str x = STR_NONE, y = STR_NONE;
        uint64_t n = 0, m = 0;

        if (str_next(&a, '.', &x) && !str_parse_u64(x, &n))
            n = 0;
        if (str_next(&b, '.', &y) && !str_parse_u64(y, &m))
            m = 0;
        if (n != m)
            return n < m ? -1 : 1;
    }
    return 0;
}

static bool assertion_holds(const struct policy_assertion *a, const struct node *n)
{
    struct value v = attribute(n, a->attribute);
    struct str text = str_from(v.text);
    bool is_in = false;

    if (a->op == ASSERT_NOT_SET)
        return !v.is_set;
    if (!v.is_set || a->op == ASSERT_IS_SET)
        return v.is_set;
    for (size_t i = 0; i < a->values.len; i++)
        is_in = is_in || str_eq(a->values.items[i].text, text);
    if (a->op == ASSERT_EQ || a->op == ASSERT_IN)
        return is_in;
    if (a->op == ASSERT_NE || a->op == ASSERT_NOT_IN)
        return !is_in;
    int order = compare_versions(text, a->values.items[0].text);
    return (a->op == ASSERT_LT && order < 0) || (a->op == ASSERT_LE && order <= 0) ||
           (a->op == ASSERT_GT && order > 0) || (a->op == ASSERT_GE && order >= 0);
}

bool naive_passes(const struct policy_postures *p, const struct node *n)
{
    for (size_t i = 0; i < p->len; i++) {
        bool all = true;

        for (size_t k = 0; k < p->items[i]->n_assertions; k++)
            all = all && assertion_holds(&p->items[i]->assertions[k], n);
        if (all)
            return true;
    }
    return p->len == 0;
}

bool naive_is_source(const struct policy_refs *refs, const struct policy_postures *p,
                     const struct tailnet_view *v, const struct node *n)
{
    for (size_t i = 0; i < refs->len; i++)
        if (naive_selects(refs->items[i].selector, v, n))
            return naive_passes(p, n);
    return false;
}

/* ---- SSH (8) ---- */

static bool is_self(const struct policy_selector *s)
{
    return s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_SELF;
}

/* Whether the rule goes from src to dst. */
static bool ssh_connects(const struct policy_ssh_rule *r, const struct tailnet_view *v,
                         const struct node *src, const struct node *dst)
{
    if (!naive_is_source(&r->src, &r->postures, v, src))
        return false;
    for (size_t i = 0; i < r->dst.len; i++) {
        const struct policy_selector *s = r->dst.items[i].selector;

        if (is_self(s) ? !node_is_tagged(src) && !node_is_tagged(dst) && src->user == dst->user
                       : naive_selects(s, v, dst))
            return true;
    }
    return false;
}

static bool is_localpart(const struct policy_ssh_rule *r, const struct user *u, struct str login)
{
    struct buf scratch = BUF(0);
    struct str local, domain;
    bool is = false;

    if (u && login_split(u, &scratch, &local, &domain) && str_eq(local, login))
        for (size_t i = 0; i < r->localparts.len; i++)
            is = is || str_eq(r->localparts.items[i].text, domain);
    buf_fini(&scratch);
    return is;
}

static bool ssh_takes_login(const struct policy_ssh_rule *r, const struct tailnet_view *v,
                            const struct node *src, struct str login)
{
    for (size_t i = 0; i < r->logins.len; i++)
        if (str_eq(r->logins.items[i].text, login))
            return true;
    if (!node_is_tagged(src) && is_localpart(r, view_user_find(v, src->user), login))
        return true;
    return str_eq(login, STR("root")) ? r->root : r->nonroot;
}

/* Must record, and nobody is there to: 8.1. */
bool naive_lacks_recorder(const struct policy_ssh_rule *r, const struct tailnet_view *v)
{
    const struct node *n;

    if (!r->enforce_recorder || r->recorders.len == 0)
        return false;
    for (size_t at = 0; (n = view_node_next(v, &at));)
        for (size_t i = 0; i < r->recorders.len; i++)
            if (naive_selects(r->recorders.items[i].selector, v, n))
                return false;
    return true;
}

enum naive_ssh naive_ssh(const struct policy_document *d, const struct tailnet_view *v,
                         const struct node *src, const struct node *dst, struct str login)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; d && i < d->n_ssh; i++) {
            const struct policy_ssh_rule *r = &d->ssh[i];
            /* 8.3, 9: by a localpart rule a source reaches itself. */
            bool to_itself = src == dst && r->localparts.len > 0 && r->dst.len > 0 &&
                             naive_is_source(&r->src, &r->postures, v, src);

            if ((r->action == SSH_CHECK) != (pass == 0))
                continue;
            if (!to_itself && !ssh_connects(r, v, src, dst))
                continue;
            if (naive_lacks_recorder(r, v))
                return NAIVE_SSH_NONE;
            if (ssh_takes_login(r, v, src, login))
                return pass == 0 ? NAIVE_SSH_CHECK : NAIVE_SSH_ACCEPT;
        }
    return NAIVE_SSH_NONE;
}

int64_t naive_ssh_check_ms(const struct policy_document *d, const struct tailnet_view *v,
                           const struct node *src, const struct node *dst)
{
    for (size_t i = 0; d && i < d->n_ssh; i++)
        if (d->ssh[i].action == SSH_CHECK && ssh_connects(&d->ssh[i], v, src, dst))
            return d->ssh[i].period_ms;
    return -1;
}

/* ---- Attributes (12) ---- */

static bool is_target(const struct policy_selector *s, const struct tailnet_view *v,
                      const struct node *n)
{
    if (s->kind == SELECTOR_WILDCARD)
        return true;
    if (s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST)
        return ip_prefix_contains(s->prefix, n->v4) || ip_prefix_contains(s->prefix, n->v6);
    if (s->kind == SELECTOR_IPSET)
        return (ip_addr_is_set(n->v4) && ip_set_contains(&s->ipset->set, n->v4)) ||
               (ip_addr_is_set(n->v6) && ip_set_contains(&s->ipset->set, n->v6));
    return naive_selects(s, v, n);
}

static bool is_given_attr(const struct policy_document *d, const struct tailnet_view *v,
                          const struct node *n, struct str name)
{
    for (size_t i = 0; i < d->n_node_attrs; i++) {
        const struct policy_node_attr *a = &d->node_attrs[i];
        bool is_named = false;

        for (size_t k = 0; k < a->attrs.len; k++)
            is_named = is_named || str_eq(a->attrs.items[k].text, name);
        for (size_t k = 0; is_named && k < a->targets.len; k++)
            if (is_target(a->targets.items[k].selector, v, n))
                return true;
    }
    return false;
}

bool naive_has_attr(const struct policy_document *d, const struct tailnet_view *v,
                    const struct node *n, struct str name)
{
    if (!d)
        return false;
    if (is_given_attr(d, v, n, name))
        return true;
    if (str_eq(name, STR("randomize-client-port")))
        return d->randomize_client_port;
    if (str_eq(name, STR("disable-ipv4")))
        return d->disable_ipv4;
    if (str_eq(name, STR("https://tailscale.com/cap/funnel-ports?ports=443,8443,10000")) ||
        str_eq(name, STR("https://tailscale.com/cap/warn-funnel-no-https")))
        return is_given_attr(d, v, n, STR("funnel"));
    return false;
}

/* ---- Approvals (11) ---- */

static bool approves(const struct policy_refs *refs, const struct node *n, const struct user *owner)
{
    for (size_t i = 0; i < refs->len; i++)
        if (selects(refs->items[i].selector, owner, n))
            return true;
    return false;
}

bool naive_approves_route(const struct policy_document *d, const struct node *n,
                          const struct user *owner, struct ip_prefix route)
{
    if (!d)
        return false;
    if (ip_prefix_is_exit(route))
        return approves(&d->exit_approvers, n, owner);
    for (size_t i = 0; i < d->n_route_approvers; i++)
        if (ip_prefix_covers(d->route_approvers[i].prefix, route) &&
            approves(&d->route_approvers[i].approvers, n, owner))
            return true;
    return false;
}

/* ---- Tags (5.4) ---- */

/* Depth bounds the cycles: a chain of owners is no longer than there are tags. */
static bool owns_tag(const struct policy_document *d, const struct policy_tag *t,
                     const struct user *owner, const struct node *n, size_t depth)
{
    for (size_t i = 0; i < t->owners.len; i++) {
        const struct policy_selector *s = t->owners.items[i].selector;

        if (s->kind != SELECTOR_TAG) {
            if ((owner && selects_user(s, owner)) ||
                (n && node_is_tagged(n) && selects_tagged(s, n)))
                return true;
            continue;
        }
        if (n && str_list_has(&n->tags, s->tag->name))
            return true;
        if (depth > 0 && owns_tag(d, s->tag, owner, n, depth - 1))
            return true;
    }
    return false;
}

bool naive_may_request_tag(const struct policy_document *d, const struct user *owner,
                           const struct node *n, struct str tag)
{
    if (!d)
        return true;
    for (size_t i = 0; i < d->n_tags; i++) {
        if (!str_eq(d->tags[i].name, tag))
            continue;
        return (owner && (owner->role == ROLE_OWNER || owner->role == ROLE_ADMIN ||
                          owner->role == ROLE_NETWORK_ADMIN)) ||
               owns_tag(d, &d->tags[i], owner, n, d->n_tags);
    }
    return false;
}
