/*
 * Who may have a tag, whose routes are approved: questions about one user or node, asked while the
 * domain applies a command, when there is no view to compile against. policy.md 5.4, 11.
 */

#include "policy/policy_internal.h"

#include <string.h>

/* How far owners of owners are followed. */
#define OWNERS_DEPTH_MAX 64

static bool user_is(const void *context, struct str token, const struct user *u)
{
    (void)context;
    if (token_is_provider_group(token))
        return str_list_has(&u->groups, token);
    return token.len &&
           (str_eq(u->provider_id, token) || str_eq(u->email, token) || str_eq(u->name, token));
}

static bool selects_user(const struct policy_selector *s, const struct user *u)
{
    return user_selected(s, u, user_is, NULL);
}

bool policy_tag_is_defined(const struct policy_document *d, struct str tag)
{
    return !d || policy_tag_find(d, tag) != NULL;
}

struct claim {
    const struct user *owner;
    const struct node *node;
    /* Tags already asked about on the way, so that cycles end. */
    const struct policy_tag *seen[OWNERS_DEPTH_MAX];
    size_t n_seen;
};

static bool claim_holds(struct claim *c, const struct policy_tag *tag);

static bool owner_claims(struct claim *c, const struct policy_selector *s)
{
    if (s->kind == SELECTOR_TAG) {
        if (c->node && str_list_has(&c->node->tags, s->tag->name))
            return true;
        return claim_holds(c, s->tag);
    }
    if (s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_TAGGED)
        return c->node && node_is_tagged(c->node);
    return c->owner && selects_user(s, c->owner);
}

static bool claim_holds(struct claim *c, const struct policy_tag *tag)
{
    for (size_t i = 0; i < c->n_seen; i++)
        if (c->seen[i] == tag)
            return false;
    if (c->n_seen == OWNERS_DEPTH_MAX)
        return false;
    c->seen[c->n_seen++] = tag;
    for (size_t i = 0; i < tag->owners.len; i++)
        if (owner_claims(c, tag->owners.items[i].selector))
            return true;
    return false;
}

static bool may_apply_any(const struct user *owner)
{
    return owner && (owner->role == ROLE_OWNER || owner->role == ROLE_ADMIN ||
                     owner->role == ROLE_NETWORK_ADMIN);
}

bool policy_tag_may_be_requested(const struct policy_document *d, const struct user *owner,
                                 const struct node *node, struct str tag)
{
    struct claim c = {.owner = owner, .node = node};
    const struct policy_tag *t;

    if (!d)
        return true;
    t = policy_tag_find(d, tag);
    return t && (may_apply_any(owner) || claim_holds(&c, t));
}

static bool approver_matches(const struct policy_refs *approvers, const struct node *node,
                             const struct user *owner)
{
    for (size_t i = 0; i < approvers->len; i++) {
        const struct policy_selector *s = approvers->items[i].selector;

        if (!node_is_tagged(node)) {
            if (owner && selects_user(s, owner))
                return true;
            continue;
        }
        if (s->kind == SELECTOR_TAG && str_list_has(&node->tags, s->tag->name))
            return true;
        if (s->kind == SELECTOR_AUTOGROUP && s->autogroup == AUTOGROUP_TAGGED)
            return true;
    }
    return false;
}

bool policy_approves_route(const struct policy_document *d, const struct node *node,
                           const struct user *owner, struct ip_prefix route)
{
    if (!d)
        return false;
    if (ip_prefix_is_exit(route))
        return approver_matches(&d->exit_approvers, node, owner);
    for (size_t i = 0; i < d->n_route_approvers; i++)
        if (ip_prefix_covers(d->route_approvers[i].prefix, route) &&
            approver_matches(&d->route_approvers[i].approvers, node, owner))
            return true;
    return false;
}
