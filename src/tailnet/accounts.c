/*
 * People as identity providers know them, over all tailnets: who logs in, where, and as whom.
 *
 * A member is found by issuer and subject, never by name or address, which may be given to somebody
 * else. Who is no member becomes one where a joining rule admits him; the first tailnet admits
 * whoever a provider lets in until it has rules of its own.
 *
 * Cost: a log-in looks at the person's own users; the choices also at every tailnet's rules.
 */

#include "tailnet/domain_internal.h"

#define USER_NAME_MAX 255

/* ---- The index ---- */

void account_add(struct domain *d, struct user_state *s)
{
    if (s->user->provider_id.len > 0)
        s->account_next = map_put(d->user_by_account, s->user->provider_id, s);
}

void account_remove(struct domain *d, struct user_state *s)
{
    struct str account = s->user->provider_id;
    struct user_state *at = account.len > 0 ? map_find(d->user_by_account, account) : NULL;

    if (at == s && s->account_next)
        (void)map_put(d->user_by_account, account, s->account_next);
    else if (at == s)
        (void)map_remove(d->user_by_account, account);
    for (; at && at != s; at = at->account_next)
        if (at->account_next == s)
            at->account_next = s->account_next;
    s->account_next = NULL;
}

struct user_state *account_find(const struct domain *d, const struct tailnet *t,
                                struct str provider_id)
{
    struct user_state *s = provider_id.len > 0 ? map_find(d->user_by_account, provider_id) : NULL;

    while (s && s->tailnet != t)
        s = s->account_next;
    return s;
}

/* ---- Who it is ---- */

static struct identity identity_of(const struct command *c)
{
    return (struct identity){.issuer = c->issuer,
                             .email = c->email,
                             .email_verified = c->email_verified,
                             .groups = c->groups};
}

static int check_groups(const struct command *c, struct err *err)
{
    if (c->groups.len > USER_GROUPS_MAX)
        return err_set(err, ERR_INVALID, "a user is in at most %d groups", USER_GROUPS_MAX);
    for (size_t i = 0; i < c->groups.len; i++)
        if (c->groups.items[i].len > TEXT_MAX || !str_is_utf8(c->groups.items[i]))
            return err_set(err, ERR_INVALID, "at most %d bytes of UTF-8", TEXT_MAX);
    return 0;
}

int account_check_identity(const struct command *c, struct err *err)
{
    if (user_check_texts(c, err) < 0 || check_groups(c, err) < 0)
        return -(int)err->code;
    if (c->provider.len == 0 || c->provider_id.len == 0)
        return err_set(err, ERR_INVALID, "a log-in has a provider and an identity");
    return 0;
}

/*
 * headscale's rule for names that providers give (headscale.md 5.1): two characters or more, a
 * letter first, then letters, digits, '-', '.', '_' and one '@'. Others are not taken.
 */
static bool is_provider_name(struct str name)
{
    size_t ats = 0;

    if (name.len < 2 || name.len > USER_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!is_letter &&
            (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '@')))
            return false;
        ats += c == '@';
    }
    return ats <= 1;
}

static void bring_up_to_date(struct user *u, const struct command *c)
{
    user_set_text(&u->provider, c->provider);
    if (is_provider_name(c->name))
        user_set_text(&u->name, c->name);
    if (c->text.len > 0)
        user_set_text(&u->display_name, c->text);
    if (c->email.len > 0)
        user_set_text(&u->email, c->email);
    if (c->picture_url.len > 0)
        user_set_text(&u->picture_url, c->picture_url);
    str_list_free(&u->groups);
    str_list_copy(&u->groups, &c->groups);
    str_list_sort_unique(&u->groups);
}

void account_settle(struct domain *d, struct tailnet *t, struct user_state *s,
                    const struct command *c, enum user_role role, enum user_status status,
                    struct command_result *r)
{
    struct user *u = s ? user_clone(s->user) : user_make(d, t);
    user_id id = u->id;

    if (!s) {
        u->provider_id = str_copy(c->provider_id);
        u->role = role;
    }
    u->status = status;
    bring_up_to_date(u, c);
    if (s)
        user_replace(d, s, u);
    else
        user_add(d, t, u);
    d->of = t;
    r->id = id;
    r->user = user_ref(((struct user_state *)map_find_u64(d->user_by_id, id))->user);
}

/* ---- Who may come ---- */

/* What somebody who is no member would become; false: no rule of the tailnet admits him. */
static bool would_join(const struct domain *d, const struct tailnet *t, const struct identity *who,
                       enum user_role *role, enum user_status *status)
{
    static const struct join_rule everybody = {.by = JOIN_ANYONE, .role = ROLE_MEMBER};
    const struct tailnet_settings *s = &t->info->settings;
    const struct join_rule *rule = t == domain_tailnet(d, 0) ? &everybody : NULL;

    if (s->set & SETTING_JOINING)
        rule = join_rules_admit(s->joining, s->n_joining, who);
    if (!rule)
        return false;
    *role = rule->role;
    *status = rule->needs_approval || ((s->set & SETTING_USER_APPROVAL) && s->user_approval)
                  ? USER_PENDING
                  : USER_ACTIVE;
    return true;
}

int user_login(struct domain *d, const struct command *c, struct command_result *r, struct err *err)
{
    const struct identity who = identity_of(c);
    enum user_role role = ROLE_MEMBER;
    enum user_status status = USER_ACTIVE;
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 || tailnet_check_open(t, err) < 0 ||
        account_check_identity(c, err) < 0)
        return -(int)err->code;
    struct user_state *s = account_find(d, t, c->provider_id);
    if (s && s->user->status == USER_SUSPENDED)
        return err_set(err, ERR_DENIED, USER_IS_SUSPENDED);
    if (s)
        status = s->user->status;
    else if (!would_join(d, t, &who, &role, &status))
        return err_set(err, ERR_DENIED,
                       "you are no member of this tailnet, and it does not admit you by a log-in: "
                       "ask one of its administrators for an invitation");
    else if (user_check_room(t, err) < 0)
        return -(int)err->code;
    account_settle(d, t, s, c, role, status, r);
    return 0;
}

/* ---- Where somebody may log in ---- */

/* NULL: there are too many already. */
static struct login_choice *add_choice(struct command_result *r, const struct tailnet *t)
{
    struct login_choice *choice;

    if (r->n_choices == LOGIN_CHOICES_MAX)
        return NULL;
    choice = &r->choices[r->n_choices++];
    *choice = (struct login_choice){.tailnet = t->id, .name = str_copy(t->info->name)};
    return choice;
}

static void add_membership(struct command_result *r, const struct user_state *s)
{
    struct login_choice *choice = add_choice(r, s->tailnet);

    if (!choice)
        return;
    choice->user = s->user->id;
    choice->role = s->user->role;
    choice->status = s->user->status;
}

/* The log-in name is the provider's word for him, or his address. */
static void mark_hinted(struct command_result *r, const struct command *c)
{
    struct str hint = login_hint(c->name);

    if (hint.len == 0)
        hint = login_hint(c->email);
    for (size_t i = 0; i < r->n_choices; i++)
        r->choices[i].is_hinted = hint.len > 0 && str_eq_nocase(r->choices[i].name, hint);
}

int login_choices(struct domain *d, const struct command *c, struct command_result *r,
                  struct err *err)
{
    const struct identity who = identity_of(c);
    bool was_suspended = false;

    if (account_check_identity(c, err) < 0)
        return -(int)err->code;
    r->choices = mem_alloc_array(LOGIN_CHOICES_MAX, sizeof(*r->choices));
    LIST_FOR_EACH(t, &d->tailnets, struct tailnet, tailnets_link) {
        const struct user_state *s = account_find(d, t, c->provider_id);

        if (s && s->user->status == USER_SUSPENDED)
            was_suspended = true;
        else if (s && !t->info->suspended)
            add_membership(r, s);
    }
    LIST_FOR_EACH(t, &d->tailnets, struct tailnet, tailnets_link) {
        enum user_status status = USER_ACTIVE;
        enum user_role role = ROLE_MEMBER;
        struct login_choice *choice;

        if (t->info->suspended || account_find(d, t, c->provider_id) ||
            !would_join(d, t, &who, &role, &status) || !(choice = add_choice(r, t)))
            continue;
        choice->role = role;
        choice->status = status;
    }
    mark_hinted(r, c);
    if (r->n_choices == 0)
        snprintf(r->text, sizeof(r->text), "%s",
                 was_suspended ? USER_IS_SUSPENDED
                               : "you are a member of no tailnet here, and none admits you by a "
                                 "log-in: ask for an invitation");
    return 0;
}
