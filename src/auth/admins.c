/* Administrators by the configuration: asked of claims, and of what is kept of a user. */

#include "auth/admins.h"

struct admin_lists {
    struct ref ref;
    size_t n;
    struct oidc_admins of[];
};

/* ---- Copies ---- */

static const struct str *texts_copy(const struct str *texts, size_t n)
{
    struct str *copy = mem_alloc_array(n, sizeof(*copy));

    for (size_t i = 0; i < n; i++)
        copy[i] = str_copy(texts[i]);
    return copy;
}

static void texts_free(const struct str *texts, size_t n)
{
    struct str *mine = MUTABLE(struct str, texts);

    for (size_t i = 0; i < n; i++)
        str_free(&mine[i]);
    mem_free(mine);
}

static struct oidc_admins list_copy(const struct oidc_admins *a)
{
    struct oidc_admins copy = *a;

    copy.users = texts_copy(a->users, a->n_users);
    copy.groups = texts_copy(a->groups, a->n_groups);
    copy.subjects = texts_copy(a->subjects, a->n_subjects);
    return copy;
}

static void list_free(const struct oidc_admins *a)
{
    texts_free(a->users, a->n_users);
    texts_free(a->groups, a->n_groups);
    texts_free(a->subjects, a->n_subjects);
}

static void lists_unref(struct admin_lists *l)
{
    if (!l || !ref_drop(&l->ref))
        return;
    for (size_t i = 0; i < l->n; i++)
        list_free(&l->of[i]);
    mem_free(l);
}

/* What a configuration says of a provider; nothing if it names it no more. */
static struct oidc_admins found(const struct oidc_provider *p, const struct oidc_provider *now,
                                size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(now[i].issuer, p->issuer) && str_eq(now[i].client_id, p->client_id))
            return now[i].admins;
    return (struct oidc_admins){0};
}

void admins_init(struct admins *a, const struct oidc_provider *providers, size_t n)
{
    *a = (struct admins){.providers = providers, .n = n};
    admins_follow(a, providers, n);
}

void admins_fini(struct admins *a)
{
    lists_unref(a->lists);
    *a = (struct admins){0};
}

struct admins admins_share(const struct admins *a)
{
    struct admins other = *a;

    ref_take(&other.lists->ref);
    return other;
}

void admins_follow(struct admins *a, const struct oidc_provider *now, size_t n)
{
    struct admin_lists *l = mem_alloc(sizeof(*l) + a->n * sizeof(l->of[0]));

    ref_init(&l->ref);
    l->n = a->n;
    for (size_t i = 0; i < a->n; i++) {
        struct oidc_admins list = found(&a->providers[i], now, n);

        l->of[i] = list_copy(&list);
    }
    lists_unref(a->lists);
    a->lists = l;
}

bool admins_have(const struct admins *a, size_t provider, const struct oidc_claims *claims)
{
    return oidc_admins_have(&a->lists->of[provider], claims);
}

static bool list_has(const struct str *list, size_t n, struct str s)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i], s))
            return true;
    return false;
}

bool admins_name_group(const struct admins *a, size_t provider, struct str group)
{
    const struct oidc_admins *list = &a->lists->of[provider];

    return list_has(list->groups, list->n_groups, group);
}

/* ---- What is kept of a user ---- */

static bool is_identity(const struct user *u, struct str issuer, struct str subject)
{
    struct buf text = BUF(8192);
    bool is;

    oidc_identity_put(&text, issuer, subject);
    is = !buf_is_full(&text) && str_eq(buf_str(&text), u->provider_id);
    buf_fini(&text);
    return is;
}

/* Identities of an issuer begin as that of nobody does. */
static bool is_of(const struct oidc_provider *p, const struct user *u)
{
    struct buf start = BUF(8192);
    bool is;

    oidc_identity_put(&start, p->issuer, STR_NONE);
    is = !buf_is_full(&start) && str_starts(u->provider_id, buf_str(&start));
    buf_fini(&start);
    return is;
}

static bool has_group(const struct user *u, struct str prefix, struct str group)
{
    for (size_t i = 0; i < u->groups.len; i++)
        if (str_starts(u->groups.items[i], prefix) &&
            str_eq(str_from_index(u->groups.items[i], prefix.len), group))
            return true;
    return false;
}

static bool names(const struct oidc_provider *p, const struct oidc_admins *list,
                  const struct user *u)
{
    for (size_t i = 0; i < list->n_subjects; i++)
        if (list->subjects[i].len > 0 && is_identity(u, p->issuer, list->subjects[i]))
            return true;
    if (u->email.len > 0 && list_has(list->users, list->n_users, u->email))
        return true;
    for (size_t i = 0; i < list->n_groups; i++)
        if (has_group(u, p->group_prefix, list->groups[i]))
            return true;
    return false;
}

bool admins_still_have(const struct admins *a, const struct user *u)
{
    for (size_t i = 0; u->provider_id.len > 0 && i < a->n; i++)
        if (is_of(&a->providers[i], u) && names(&a->providers[i], &a->lists->of[i], u))
            return true;
    return false;
}

bool admins_role(const struct admins *a, const struct user *u, bool is_first, enum user_role *role)
{
    if (!u || u->status != USER_ACTIVE)
        return false;
    *role = is_first && admins_still_have(a, u) ? ROLE_OWNER : u->role;
    return true;
}
