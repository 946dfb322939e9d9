/* See joining.h. */

#include "tailnet/joining.h"

#include "tailnet/domain_internal.h"

static const struct str by_names[] = {
    [JOIN_ANYONE] = STR_INIT("anyone"),
    [JOIN_GROUP] = STR_INIT("group"),
    [JOIN_DOMAIN] = STR_INIT("domain"),
};

struct str join_by_name(enum join_by by)
{
    ASSERT((size_t)by < ARRAY_LEN(by_names));
    return by_names[by];
}

bool join_by_find(struct str name, enum join_by *by)
{
    for (size_t i = 0; i < ARRAY_LEN(by_names); i++)
        if (str_eq(by_names[i], name)) {
            *by = (enum join_by)i;
            return true;
        }
    return false;
}

/* ---- Rules ---- */

struct join_rule *join_rules_copy(const struct join_rule *r, size_t n)
{
    struct join_rule *out = n > 0 ? mem_alloc_array(n, sizeof(*out)) : NULL;

    for (size_t i = 0; i < n; i++) {
        out[i] = r[i];
        out[i].provider = str_copy(r[i].provider);
        out[i].value = str_copy(r[i].value);
    }
    return out;
}

void join_rules_free(struct join_rule *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        str_free(&r[i].provider);
        str_free(&r[i].value);
    }
    mem_free(r);
}

bool join_rules_eq(const struct join_rule *a, size_t n_a, const struct join_rule *b, size_t n_b)
{
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++)
        if (a[i].by != b[i].by || a[i].needs_approval != b[i].needs_approval ||
            a[i].role != b[i].role || !str_eq(a[i].provider, b[i].provider) ||
            !str_eq(a[i].value, b[i].value))
            return false;
    return true;
}

static bool is_line(struct str s)
{
    return s.len <= TEXT_MAX && str_is_utf8(s) && !str_has_control(s);
}

/* A mail address's, or a rule's: a label and a label behind a dot at least. */
static bool is_mail_domain(struct str s)
{
    return s.len > 2 && is_line(s) && str_find_char(s, '@') < 0 && str_find_char(s, ' ') < 0 &&
           str_find_char(s, '.') > 0 && s.ptr[s.len - 1] != '.';
}

int join_rules_check(const struct join_rule *r, size_t n, struct err *err)
{
    if (n > JOIN_RULES_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d joining rules", JOIN_RULES_MAX);
    for (size_t i = 0; i < n; i++) {
        if ((size_t)r[i].by >= ARRAY_LEN(by_names))
            return err_set(err, ERR_INVALID, "a joining rule is for anyone, a group or a domain");
        if ((unsigned)r[i].role >= ROLES || r[i].role == ROLE_OWNER)
            return err_set(err, ERR_INVALID, "a joining rule gives a role, but not that of owner");
        if (!is_line(r[i].provider) || !is_line(r[i].value))
            return err_set(err, ERR_INVALID, "a joining rule has lines of text");
        if ((r[i].by == JOIN_ANYONE) != (r[i].value.len == 0))
            return err_set(err, ERR_INVALID,
                           "a joining rule names a group or a domain, or is for anyone");
        if (r[i].by == JOIN_DOMAIN && !is_mail_domain(r[i].value))
            return err_set(err, ERR_INVALID, "a joining rule's domain is one of mail addresses");
    }
    return 0;
}

static bool has_domain(const struct identity *who, struct str domain)
{
    ptrdiff_t at = str_find_char(who->email, '@');
    struct str behind;

    if (!who->email_verified || at <= 0)
        return false;
    behind = str_sub(who->email, (size_t)at + 1, who->email.len);
    return str_find_char(behind, '@') < 0 && str_eq_nocase(behind, domain);
}

static bool admits(const struct join_rule *r, const struct identity *who)
{
    if (r->provider.len > 0 && !str_eq(r->provider, who->issuer))
        return false;
    switch (r->by) {
    case JOIN_ANYONE:
        return true;
    case JOIN_GROUP:
        for (size_t i = 0; i < who->groups.len; i++)
            if (str_eq(who->groups.items[i], r->value))
                return true;
        return false;
    case JOIN_DOMAIN:
        return has_domain(who, r->value);
    }
    return false;
}

const struct join_rule *join_rules_admit(const struct join_rule *r, size_t n,
                                         const struct identity *who)
{
    for (size_t i = 0; i < n; i++)
        if (admits(&r[i], who))
            return &r[i];
    return NULL;
}

struct str login_hint(struct str login)
{
    ptrdiff_t at = str_find_char(login, '@');
    struct str local = at >= 0 ? str_sub(login, 0, (size_t)at) : login;
    ptrdiff_t plus = str_find_char(local, '+');

    return plus > 0 ? str_sub(local, (size_t)plus + 1, local.len) : STR_NONE;
}

/* ---- Invitations ---- */

struct user_invite *user_invite_new(void)
{
    struct user_invite *i = NEW(struct user_invite);

    ref_init(&i->ref);
    return i;
}

struct user_invite *user_invite_clone(const struct user_invite *i)
{
    struct user_invite *c = NEW(struct user_invite);

    ref_copy(c, i, sizeof(*c));
    c->email = str_copy(i->email);
    return c;
}

struct user_invite *user_invite_ref(const struct user_invite *i)
{
    struct user_invite *m = MUTABLE(struct user_invite, i);

    ref_take(&m->ref);
    return m;
}

void user_invite_unref(const struct user_invite *i)
{
    struct user_invite *m = MUTABLE(struct user_invite, i);

    if (!m || !ref_drop(&m->ref))
        return;
    str_free(&m->email);
    mem_free(m);
}
