/* What is true of one user; whether names of a document mean one user of the tailnet.
 * policy.md 3.4. */

#include "policy/policy_internal.h"

#include <stdio.h>

bool token_is_provider_group(struct str token)
{
    struct str head, group;

    return str_starts(token, STR("oidc")) && str_split(token, ':', &head, &group) &&
           (head.len == 4 || head.ptr[4] == '-');
}

bool user_has_role(const struct user *u, enum policy_autogroup a)
{
    static const int roles[AUTOGROUP_DANGER_ALL + 1] = {
        [AUTOGROUP_OWNER] = ROLE_OWNER,
        [AUTOGROUP_ADMIN] = ROLE_ADMIN,
        [AUTOGROUP_NETWORK_ADMIN] = ROLE_NETWORK_ADMIN,
        [AUTOGROUP_IT_ADMIN] = ROLE_IT_ADMIN,
        [AUTOGROUP_BILLING_ADMIN] = ROLE_BILLING_ADMIN,
        [AUTOGROUP_AUDITOR] = ROLE_AUDITOR,
    };

    if (a == AUTOGROUP_MEMBER)
        return true;
    if (a == AUTOGROUP_ADMIN && u->role == ROLE_OWNER)
        return true;
    return roles[a] != ROLE_MEMBER && (int)u->role == roles[a];
}

bool user_in_domain(const struct user *u, struct str domain)
{
    struct str login = u->email.len ? u->email : u->name;
    ptrdiff_t at = str_rfind_char(login, '@');

    return at >= 0 && str_eq(str_from_index(login, (size_t)at + 1), domain);
}

bool user_selected(const struct policy_selector *s, const struct user *u,
                   bool (*means)(const void *context, struct str token, const struct user *u),
                   const void *context)
{
    switch (s->kind) {
    case SELECTOR_USER:
        return means(context, s->user, u);
    case SELECTOR_GROUP:
        for (size_t i = 0; i < s->group->members.len; i++)
            if (means(context, s->group->members.items[i].selector->user, u))
                return true;
        return false;
    case SELECTOR_DOMAIN:
        return user_in_domain(u, s->domain);
    case SELECTOR_AUTOGROUP:
        return user_has_role(u, s->autogroup);
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

/* Users whom the name fits; a provider identifier wins at once. */
static size_t count_fits(const struct user *const *users, size_t n, struct str name)
{
    size_t fits = 0;

    if (token_is_provider_group(name))
        return 0;
    for (size_t i = 0; i < n; i++)
        if (str_eq(users[i]->provider_id, name))
            return 1;
    for (size_t i = 0; i < n; i++)
        fits += str_eq(users[i]->email, name) || str_eq(users[i]->name, name);
    return fits;
}

/* Names that more than one user has: a set of those is far cheaper than asking about each. */
static struct map *shared_names(const struct user *const *users, size_t n)
{
    struct map *seen = map_new(), *twice = map_new();

    for (size_t i = 0; i < n; i++) {
        const struct str names[] = {users[i]->email, users[i]->name};

        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            const struct user *other = names[k].len ? map_find(seen, names[k]) : users[i];

            if (!other)
                (void)map_put(seen, names[k], (void *)(uintptr_t)users[i]);
            else if (other != users[i])
                (void)map_put(twice, names[k], (void *)(uintptr_t)users[i]);
        }
    }
    map_free(seen);
    return twice;
}

static int refuse(const struct policy_selector *s, size_t n, struct policy_complaint *complaint)
{
    (void)snprintf(complaint->text, sizeof complaint->text,
                   "multiple users found: token \"%.*s\" found: %zu users", STR_ARG(s->text), n);
    (void)snprintf(complaint->hint, sizeof complaint->hint,
                   "name the user by a login that only one has: the e-mail address, or the "
                   "identifier of the log-in provider");
    return -ERR_INVALID;
}

int policy_check_users(const struct policy_document *d, const struct tailnet_view *view,
                       struct policy_complaint *complaint)
{
    const struct user *const *users;
    struct map *twice;
    int status = 0;
    size_t n;

    *complaint = (struct policy_complaint){0};
    users = view_users(view, &n);
    twice = shared_names(users, n);
    for (size_t i = 0; i < d->n_selectors && status == 0; i++) {
        const struct policy_selector *s = d->selectors[i];
        size_t fits;

        if (s->kind != SELECTOR_USER || !map_find(twice, s->user))
            continue;
        fits = count_fits(users, n, s->user);
        if (fits > 1)
            status = refuse(s, fits, complaint);
    }
    map_free(twice);
    return status;
}
