/* Memberships in words: why a selector means a machine, and who a machine is. */

#include "policy/explain_internal.h"

void explain_put_pos(struct buf *out, struct policy_pos pos)
{
    buf_printf(out, "line %u, column %u", pos.line, pos.col);
}

static struct str login_of(const struct user *u)
{
    return u->email.len ? u->email : u->name;
}

static void put_owner(struct buf *out, const struct end *e, const struct user *u)
{
    buf_printf(out, "%.*s belongs to %.*s", STR_ARG(e->name), STR_ARG(login_of(u)));
}

static const char *role_word(enum user_role role)
{
    switch (role) {
    case ROLE_MEMBER:
        return "member";
    case ROLE_ADMIN:
        return "admin";
    case ROLE_OWNER:
        return "owner";
    case ROLE_NETWORK_ADMIN:
        return "network admin";
    case ROLE_IT_ADMIN:
        return "IT admin";
    case ROLE_BILLING_ADMIN:
        return "billing admin";
    case ROLE_AUDITOR:
        return "auditor";
    }
    return "";
}

/* ---- Why a selector has it ---- */

/* The entry of the group that means the user; NULL: none. */
static const struct policy_ref *member_ref(const struct explain *x, const struct policy_group *g,
                                           const struct user *u)
{
    for (size_t i = 0; i < g->members.len; i++)
        if (explain_is_user(x, g->members.items[i].selector, u))
            return &g->members.items[i];
    return NULL;
}

static bool why_group(const struct explain *x, const struct policy_selector *s, const struct end *e,
                      struct buf *out)
{
    const struct user *u = e->node ? explain_owner(x, e->node) : NULL;
    const struct policy_ref *r = u ? member_ref(x, s->group, u) : NULL;

    if (!r)
        return false;
    put_owner(out, e, u);
    buf_printf(out, ", a member of %.*s (", STR_ARG(s->group->name));
    explain_put_pos(out, r->pos);
    buf_put(out, STR(")"));
    return true;
}

static bool why_user(const struct explain *x, const struct policy_selector *s, const struct end *e,
                     struct buf *out)
{
    const struct user *u = e->node ? explain_owner(x, e->node) : NULL;

    if (!u || !explain_is_user(x, s, u))
        return false;
    put_owner(out, e, u);
    if (s->kind == SELECTOR_AUTOGROUP && s->autogroup != AUTOGROUP_MEMBER)
        buf_printf(out, ", who is %s", role_word(u->role));
    if (s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_MEMBER)
        buf_put(out, STR(" and carries no tag"));
    return true;
}

static bool why_tag(const struct policy_selector *s, const struct end *e, struct buf *out)
{
    if (!e->node || !str_list_has(&e->node->tags, s->tag->name))
        return false;
    buf_printf(out, "%.*s carries %.*s", STR_ARG(e->name), STR_ARG(s->tag->name));
    return true;
}

static void put_addr_of(struct buf *out, const struct end *e, struct ip_addr addr)
{
    if (e->node)
        buf_printf(out, "%.*s is ", STR_ARG(e->name));
    ip_addr_put(out, addr);
}

static bool why_literal(const struct policy_selector *s, const struct end *e, struct ip_addr addr,
                        struct buf *out)
{
    if (s->kind == SELECTOR_IPSET) {
        if (!ip_set_contains(&s->ipset->set, addr))
            return false;
        put_addr_of(out, e, addr);
        buf_put(out, STR(", which the set has ("));
        explain_put_pos(out, s->ipset->pos);
        buf_put(out, STR(")"));
        return true;
    }
    if (!ip_prefix_contains(s->prefix, addr))
        return false;
    put_addr_of(out, e, addr);
    if (s->kind == SELECTOR_HOST || !ip_prefix_is_single(s->prefix)) {
        buf_put(out, s->kind == SELECTOR_HOST ? STR("; the host is ") : STR(", inside "));
        ip_prefix_put_short(out, s->prefix);
    }
    return true;
}

static bool why_autogroup(const struct explain *x, const struct policy_selector *s,
                          const struct end *e, struct buf *out)
{
    if (s->autogroup == AUTOGROUP_DANGER_ALL) {
        buf_put(out, STR("everything there is"));
        return true;
    }
    if (s->autogroup == AUTOGROUP_TAGGED) {
        if (!e->node || !node_is_tagged(e->node))
            return false;
        buf_printf(out, "%.*s carries %.*s", STR_ARG(e->name), STR_ARG(e->node->tags.items[0]));
        return true;
    }
    if (s->autogroup == AUTOGROUP_INTERNET) {
        buf_put(out, STR("a public address, through an approved exit node"));
        return true;
    }
    return why_user(x, s, e, out);
}

static bool why_wildcard(const struct explain *x, const struct end *e, struct ip_addr addr,
                         bool is_dst, struct buf *out)
{
    const struct shape *s = x->p->shape;

    if (is_dst) {
        buf_put(out, STR("everything"));
        return true;
    }
    for (size_t i = 0; i < s->n_wild_routes; i++) {
        if (e->node || !ip_prefix_contains(s->wild_routes[i], addr))
            continue;
        ip_addr_put(out, addr);
        buf_put(out, STR(" is in the approved route "));
        ip_prefix_put_short(out, s->wild_routes[i]);
        return true;
    }
    if (!e->node)
        return false;
    buf_printf(out, "every machine, and so %.*s", STR_ARG(e->name));
    return true;
}

bool explain_put_why(const struct explain *x, const struct policy_selector *s, const struct end *e,
                     struct ip_addr addr, bool is_dst, struct buf *out)
{
    switch (s->kind) {
    case SELECTOR_WILDCARD:
        return why_wildcard(x, e, addr, is_dst, out);
    case SELECTOR_PREFIX:
    case SELECTOR_HOST:
    case SELECTOR_IPSET:
        return why_literal(s, e, addr, out);
    case SELECTOR_USER:
    case SELECTOR_DOMAIN:
        return why_user(x, s, e, out);
    case SELECTOR_GROUP:
        return why_group(x, s, e, out);
    case SELECTOR_TAG:
        return why_tag(s, e, out);
    case SELECTOR_AUTOGROUP:
        return why_autogroup(x, s, e, out);
    case SELECTOR_TAILNET:
    case SELECTOR_SERVICE:
        return false;
    }
    return false;
}

/* ---- Who it is ---- */

static void put_groups(const struct explain *x, const struct user *u)
{
    const struct policy_document *d = x->p->shape->doc;
    size_t n = 0;

    for (size_t i = 0; i < d->n_groups; i++) {
        const struct policy_ref *r = member_ref(x, &d->groups[i], u);

        if (!r || ++n > EXPLAIN_LINES_MAX)
            continue;
        buf_printf(x->out, "%s%.*s (", n == 1 ? "; a member of " : ", ",
                   STR_ARG(d->groups[i].name));
        explain_put_pos(x->out, r->pos);
        buf_put(x->out, STR(")"));
    }
    if (n > EXPLAIN_LINES_MAX)
        buf_printf(x->out, " and %zu more groups", n - EXPLAIN_LINES_MAX);
    if (n == 0)
        buf_put(x->out, STR("; in no group"));
}

static void put_tags(const struct explain *x, const struct node *n)
{
    for (size_t i = 0; i < n->tags.len; i++) {
        const struct policy_tag *t = policy_tag_find(x->p->shape->doc, n->tags.items[i]);

        buf_printf(x->out, "%s%.*s (", i ? ", " : "carries ", STR_ARG(n->tags.items[i]));
        if (t)
            explain_put_pos(x->out, t->pos);
        else
            buf_put(x->out, STR("not in this policy"));
        buf_put(x->out, STR(")"));
    }
    buf_put(x->out, STR(", and so is nobody's: rules for users are not about it"));
}

static void put_routes(const struct explain *x, const struct node *n)
{
    for (size_t i = 0; i < n->facts->n_routes; i++) {
        struct ip_prefix r = n->facts->routes[i];

        buf_put(x->out, STR("; announces "));
        if (ip_prefix_is_exit(r))
            buf_put(x->out, STR("itself as an exit node, "));
        ip_prefix_put(x->out, r);
        buf_put(x->out, ip_prefix_in(n->approved, n->n_approved, r) ? STR(" (approved)")
                                                                    : STR(" (not approved)"));
        if (i == EXPLAIN_LINES_MAX)
            break;
    }
}

static void put_postures(const struct explain *x, const struct node *n)
{
    const struct policy_document *d = x->p->shape->doc;

    for (size_t i = 0; i < MIN(d->n_postures, (size_t)EXPLAIN_LINES_MAX); i++)
        buf_printf(x->out, "; %s %.*s",
                   posture_holds(&d->postures[i], n) ? "satisfies" : "does not satisfy",
                   STR_ARG(d->postures[i].name));
}

static void put_behind(const struct explain *x, struct ip_addr addr)
{
    size_t n = 0;

    for (size_t i = 0; i < x->p->routers->len && n < EXPLAIN_LINES_MAX; i++) {
        const struct router *r = &x->p->routers->items[i];
        const struct node *node = policy_node_find(x->view, r->id);

        if (!node || !reach_routes(&x->p->shape->classes[r->cls - 1], addr))
            continue;
        buf_printf(x->out, "%s%.*s", n++ ? ", " : ", reached through ", STR_ARG(node->given_name));
    }
    buf_put_char(x->out, '\n');
}

void explain_put_who(const struct explain *x, const struct end *e, bool is_src)
{
    const struct user *u = e->node ? explain_owner(x, e->node) : NULL;

    buf_printf(x->out, "  %.*s", STR_ARG(e->name));
    if (!e->node) {
        buf_put(x->out, x->dst.is_internet && !is_src ? STR(" stands for the internet")
                                                      : STR(" is no machine's own address"));
        put_behind(x, e->addrs[0]);
        return;
    }
    for (size_t i = 0; i < e->n_addrs; i++) {
        buf_put(x->out, i ? STR(", ") : STR(" ("));
        ip_addr_put(x->out, e->addrs[i]);
    }
    buf_put(x->out, e->n_addrs ? STR(") ") : STR(" "));
    if (node_is_tagged(e->node)) {
        put_tags(x, e->node);
    } else if (u) {
        buf_printf(x->out, "belongs to %.*s", STR_ARG(login_of(u)));
        if (u->role != ROLE_MEMBER)
            buf_printf(x->out, " (%s)", role_word(u->role));
        put_groups(x, u);
    } else {
        buf_put(x->out, STR("belongs to nobody known"));
    }
    put_routes(x, e->node);
    if (is_src)
        put_postures(x, e->node);
    buf_put_char(x->out, '\n');
}
