/*
 * Rules that say nothing new: another rule covers all of their sources, destinations, protocols and
 * ports, whoever is there. Judged by what selectors mean, not by who they select at present, so
 * that a rule which matters tomorrow is not called superfluous today.
 *
 * Only one rule that covers all is looked for. Of two that cover each other the earlier one stays.
 */

#include "policy/lint_internal.h"

static bool is_autogroup(const struct policy_selector *s, enum policy_autogroup a)
{
    return s->kind == SELECTOR_AUTOGROUP && s->autogroup == a;
}

/* People, and what autogroup:member is all of. */
static bool is_people(const struct policy_selector *s)
{
    switch (s->kind) {
    case SELECTOR_USER:
    case SELECTOR_DOMAIN:
    case SELECTOR_GROUP:
        return true;
    case SELECTOR_AUTOGROUP:
        switch (s->autogroup) {
        case AUTOGROUP_MEMBER:
        case AUTOGROUP_OWNER:
        case AUTOGROUP_ADMIN:
        case AUTOGROUP_NETWORK_ADMIN:
        case AUTOGROUP_IT_ADMIN:
        case AUTOGROUP_BILLING_ADMIN:
        case AUTOGROUP_AUDITOR:
            return true;
        case AUTOGROUP_NONE:
        case AUTOGROUP_SELF:
        case AUTOGROUP_INTERNET:
        case AUTOGROUP_TAGGED:
        case AUTOGROUP_SHARED:
        case AUTOGROUP_NONROOT:
        case AUTOGROUP_DANGER_ALL:
            return false;
        }
        return false;
    case SELECTOR_PREFIX:
    case SELECTOR_WILDCARD:
    case SELECTOR_TAG:
    case SELECTOR_IPSET:
    case SELECTOR_HOST:
    case SELECTOR_TAILNET:
    case SELECTOR_SERVICE:
        return false;
    }
    return false;
}

static bool group_has(const struct policy_group *g, const struct policy_selector *user)
{
    for (size_t i = 0; i < g->members.len; i++)
        if (g->members.items[i].selector == user)
            return true;
    return false;
}

static bool group_covers(const struct policy_group *g, const struct policy_selector *s)
{
    if (s->kind == SELECTOR_USER)
        return group_has(g, s);
    if (s->kind != SELECTOR_GROUP || s->group->members.len == 0)
        return false;
    for (size_t i = 0; i < s->group->members.len; i++)
        if (!group_has(g, s->group->members.items[i].selector))
            return false;
    return true;
}

static bool has_prefix(const struct policy_selector *s)
{
    return s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST;
}

/* Whether `a` is at least what `b` is, for identities and addresses alike. */
static bool selector_covers(const struct policy_selector *a, const struct policy_selector *b)
{
    if (a == b)
        return true;
    if (has_prefix(a) && has_prefix(b))
        return ip_prefix_covers(a->prefix, b->prefix);
    if (a->kind == SELECTOR_IPSET && has_prefix(b))
        return ip_set_covers(&a->ipset->set, ip_range_of_prefix(b->prefix));
    if (a->kind == SELECTOR_GROUP)
        return group_covers(a->group, b);
    if (is_autogroup(a, AUTOGROUP_MEMBER))
        return is_people(b);
    if (is_autogroup(a, AUTOGROUP_ADMIN))
        return is_autogroup(b, AUTOGROUP_OWNER);
    return is_autogroup(a, AUTOGROUP_TAGGED) && b->kind == SELECTOR_TAG;
}

/* As sources: `*` is every machine and approved route, danger-all everything. */
static bool source_covers(const struct policy_selector *a, const struct policy_selector *b)
{
    if (is_autogroup(a, AUTOGROUP_DANGER_ALL))
        return true;
    if (a->kind == SELECTOR_WILDCARD)
        return b->kind == SELECTOR_WILDCARD || is_people(b) || b->kind == SELECTOR_TAG ||
               b->kind == SELECTOR_TAILNET || is_autogroup(b, AUTOGROUP_TAGGED) ||
               is_autogroup(b, AUTOGROUP_SHARED);
    if (is_autogroup(a, AUTOGROUP_SHARED) && b->kind == SELECTOR_TAILNET)
        return true;
    return selector_covers(a, b);
}

/* Groups and roles have people of this tailnet only, a log-in name may be a guest's. */
static bool loses_guests(const struct lint *l, const struct policy_selector *a,
                         const struct policy_selector *b)
{
    return a != b && (a->kind == SELECTOR_GROUP || a->kind == SELECTOR_AUTOGROUP) &&
           !is_autogroup(a, AUTOGROUP_SHARED) && !is_autogroup(a, AUTOGROUP_DANGER_ALL) &&
           lint_has_guest(l, b);
}

static bool sources_cover(struct lint *l, const struct policy_rule *a, const struct policy_rule *b)
{
    if (!lint_work(l, a->src.len * b->src.len + 1))
        return false;
    for (size_t i = 0; i < b->src.len; i++) {
        bool covered = false;

        for (size_t k = 0; k < a->src.len && !covered; k++)
            covered = source_covers(a->src.items[k].selector, b->src.items[i].selector) &&
                      !loses_guests(l, a->src.items[k].selector, b->src.items[i].selector);
        if (!covered)
            return false;
    }
    return b->src.len > 0;
}

/* Any of a's postures suffices, so a must have all of b's. */
static bool postures_cover(const struct policy_postures *a, const struct policy_postures *b)
{
    if (a->len == 0)
        return true;
    for (size_t i = 0; i < b->len; i++) {
        bool has = false;

        for (size_t k = 0; k < a->len && !has; k++)
            has = a->items[k] == b->items[i];
        if (!has)
            return false;
    }
    return b->len > 0;
}

static bool dst_covers(const struct policy_selector *a, const struct policy_selector *b)
{
    /* To one's own machines leads whatever leads to every person's. */
    if (is_autogroup(b, AUTOGROUP_SELF))
        return a == b || a->kind == SELECTOR_WILDCARD || is_autogroup(a, AUTOGROUP_MEMBER);
    if (is_autogroup(a, AUTOGROUP_SELF))
        return false;
    return a->kind == SELECTOR_WILDCARD || selector_covers(a, b);
}

/* ---- Ports ---- */

static void target_access(struct access *out, const struct policy_rule *rule, size_t target)
{
    access_clear(out);
    if (rule->is_acl)
        access_add(out, rule->proto, rule->dst[target].ports, rule->dst[target].n_ports);
    for (size_t i = 0; i < rule->n_ip; i++)
        access_add(out, rule->ip[i].proto, rule->ip[i].ports, rule->ip[i].n_ports);
    access_settle(out);
}

struct cover {
    struct lint *l;
    struct access want, have, rest;
};

/* Whether a alone lets through what b does to one of its targets. */
static bool covers_target(struct cover *c, const struct policy_rule *a, const struct policy_rule *b,
                          size_t target)
{
    for (size_t i = 0; i < a->n_dst; i++) {
        if (!dst_covers(a->dst[i].ref.selector, b->dst[target].ref.selector))
            continue;
        target_access(&c->have, a, i);
        access_subtract(&c->rest, &c->want, &c->have);
        if (c->rest.len == 0)
            return true;
    }
    return false;
}

/* App capabilities and via are more than reachability; such rules are left alone. */
static bool is_plain(const struct policy_rule *r)
{
    return r->n_app == 0 && r->via.len == 0 && r->n_dst > 0 && r->src.len > 0;
}

static bool may_cover(struct cover *c, const struct policy_rule *a, const struct policy_rule *b)
{
    return a->via.len == 0 && postures_cover(&a->postures, &b->postures) &&
           sources_cover(c->l, a, b);
}

/* All of b by a alone. */
static bool covers(struct cover *c, const struct policy_rule *a, const struct policy_rule *b)
{
    if (!may_cover(c, a, b))
        return false;
    for (size_t i = 0; i < b->n_dst; i++) {
        target_access(&c->want, b, i);
        if (!covers_target(c, a, b, i))
            return false;
    }
    return true;
}

/* ---- All rules ---- */

static const struct policy_rule *rule_at(const struct policy_document *d, size_t i)
{
    return i < d->n_grants ? &d->grants[i] : &d->acls[i - d->n_grants];
}

static bool is_before(const struct policy_rule *a, const struct policy_rule *b)
{
    return a->pos.line < b->pos.line || (a->pos.line == b->pos.line && a->pos.col < b->pos.col);
}

static void lint_rule(struct cover *c, const struct policy_rule *b)
{
    const struct policy_document *d = c->l->d;

    for (size_t i = 0; i < d->n_grants + d->n_acls; i++) {
        const struct policy_rule *a = rule_at(d, i);

        if (a == b || !lint_work(c->l, 4) || !covers(c, a, b))
            continue;
        /* Of two that are the same the later one is superfluous. */
        if (is_before(b, a) && is_plain(a) && covers(c, b, a))
            continue;
        lint_find(c->l, b->pos, "this %s changes nothing: the %s at line %u, column %u covers it",
                  b->is_acl ? "acl" : "grant", a->is_acl ? "acl" : "grant", a->pos.line,
                  a->pos.col);
        return;
    }
}

void lint_covered(struct lint *l)
{
    struct cover c = {.l = l};

    for (size_t i = 0; i < l->d->n_grants + l->d->n_acls; i++)
        if (is_plain(rule_at(l->d, i)))
            lint_rule(&c, rule_at(l->d, i));
    access_fini(&c.want);
    access_fini(&c.have);
    access_fini(&c.rest);
}
