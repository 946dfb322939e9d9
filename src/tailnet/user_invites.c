/* Invitations of people: links that make members. Known by the hash of their secret only. */

#include "tailnet/domain_internal.h"

/* ---- Tables ---- */

static struct user_invite_state *state_of(struct invitation *i)
{
    return i ? CONTAINER_OF(i, struct user_invite_state, head) : NULL;
}

void user_invite_add(struct domain *d, const struct user_invite *invite)
{
    struct user_invite_state *s = NEW(struct user_invite_state);

    s->invite = invite;
    s->head.id = invite->id;
    s->head.tailnet = domain_tailnet(d, invite->tailnet);
    s->head.end.kind = DEADLINE_USER_INVITE;
    memcpy(s->head.hash, invite->hash, sizeof(s->head.hash));
    invitation_add(d, &d->user_invites, &s->head, invite->expiry_ms);
    table_put(&s->head.tailnet->user_invites, invite->id, invite);
    id_used(d, ID_USER_INVITE, invite->id);
}

void user_invite_remove(struct domain *d, struct user_invite_state *s)
{
    struct tailnet *t = s->head.tailnet;
    user_invite_id id = s->head.id;

    invitation_remove(d, &d->user_invites, &s->head);
    table_remove(&t->user_invites, id);
    domain_emit(d, t, (struct change){.kind = CHANGE_USER_INVITE_REMOVED, .id = id});
}

void user_invites_drop(struct domain *d, struct tailnet *t, user_id inviter)
{
    const struct user_invite *i;

    /* Removing may merge chunks: begin anew after each. */
    for (size_t at = 0; (i = table_next(&t->user_invites, &at));) {
        if (inviter != 0 && i->inviter != inviter)
            continue;
        user_invite_remove(d, state_of(map_find_u64(d->user_invites.by_id, i->id)));
        at = 0;
    }
}

/* ---- Commands ---- */

/* An inviter can give what he has at most: only an owner, or an operator, makes owners. */
static bool may_give(const struct domain *d, user_id inviter, enum user_role role)
{
    const struct user_state *by = inviter ? map_find_u64(d->user_by_id, inviter) : NULL;

    return inviter == 0 || (by && by->user->status == USER_ACTIVE &&
                            (role != ROLE_OWNER || by->user->role == ROLE_OWNER));
}

static bool is_address(struct str s)
{
    ptrdiff_t at = str_find_char(s, '@');

    return at > 0 && (size_t)at + 1 < s.len && s.len <= TEXT_MAX && str_is_utf8(s) &&
           !str_has_control(s) && str_find_char(s, ' ') < 0;
}

static int check_make(struct domain *d, const struct tailnet *t, const struct command *c,
                      struct err *err)
{
    struct user_state *by = NULL;

    if (c->user != 0 && user_get(d, t, c->user, STR_NONE, &by, err) < 0)
        return -(int)err->code;
    if ((unsigned)c->role >= ROLES)
        return err_set(err, ERR_INVALID, "there is no such role");
    if (!may_give(d, c->user, c->role))
        return err_set(err, ERR_DENIED, "the inviter may not give this role");
    if (c->email.len > 0 && !is_address(c->email))
        return err_set(err, ERR_INVALID, "an invitation is for one mail address, or for any");
    if (c->expiry_ms != 0 && c->expiry_ms <= d->now_ms)
        return err_set(err, ERR_INVALID, "the invitation's expiry has passed");
    if (t->user_invites.count >= TAILNET_USER_INVITES_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d invitations; revoke some",
                       TAILNET_USER_INVITES_MAX);
    return 0;
}

int user_invite_make(struct domain *d, const struct command *c, struct command_result *r,
                     struct err *err)
{
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 || check_make(d, t, c, err) < 0)
        return -(int)err->code;

    struct user_invite *i = user_invite_new();
    r->secret = invitation_secret(USER_INVITE_KIND, i->hash);
    i->id = id_next(d, t, ID_USER_INVITE);
    i->tailnet = t->id;
    i->inviter = c->user;
    i->role = c->role;
    i->email = str_copy(c->email);
    i->created_ms = d->now_ms;
    i->expiry_ms = c->expiry_ms != 0 ? c->expiry_ms : d->now_ms + USER_INVITE_MS;
    user_invite_add(d, i);
    r->id = i->id;
    r->user_invite = user_invite_ref(i);
    d->of = t;
    domain_emit(d, t, (struct change){.kind = CHANGE_USER_INVITE, .id = i->id});
    return 0;
}

int user_invite_revoke(struct domain *d, const struct command *c, struct command_result *r,
                       struct err *err)
{
    struct invitation *i = NULL;

    if (invitation_get(d, &d->user_invites, c, &i, err) < 0)
        return -(int)err->code;
    struct user_invite_state *s = state_of(i);
    r->id = i->id;
    r->user_invite = user_invite_ref(s->invite);
    user_invite_remove(d, s);
    return 0;
}

/* Who shows a secret that is none, or is good for nothing now, learns nothing more. */
static struct user_invite_state *find_by_secret(const struct domain *d, struct str text,
                                                int64_t now_ms)
{
    struct user_invite_state *s =
        state_of(invitation_find(&d->user_invites, USER_INVITE_KIND, text));

    return s && s->invite->expiry_ms > now_ms && !s->head.tailnet->info->suspended &&
                   may_give(d, s->invite->inviter, s->invite->role)
               ? s
               : NULL;
}

const struct user_invite *domain_user_invite_find(const struct domain *d, struct str secret,
                                                  int64_t now_ms)
{
    const struct user_invite_state *s = find_by_secret(d, secret, now_ms);

    return s ? s->invite : NULL;
}

int user_invite_accept(struct domain *d, const struct command *c, struct command_result *r,
                       struct err *err)
{
    struct user_invite_state *i = find_by_secret(d, c->secret, d->now_ms);

    if (account_check_identity(c, err) < 0)
        return -(int)err->code;
    if (!i || (c->tailnet != 0 && i->head.tailnet->id != c->tailnet))
        return err_set(err, ERR_NOT_FOUND,
                       "there is no such invitation, or it was used, revoked or has expired");
    struct tailnet *t = i->head.tailnet;
    struct user_state *s = account_find(d, t, c->provider_id);
    if (i->invite->email.len > 0 &&
        (!c->email_verified || !str_eq_nocase(i->invite->email, c->email)))
        return err_set(err, ERR_DENIED,
                       "this invitation is for another mail address: log in with the account it "
                       "was sent to");
    if (s && s->user->status == USER_SUSPENDED)
        return err_set(err, ERR_DENIED, USER_IS_SUSPENDED);
    if (!s && user_check_room(t, err) < 0)
        return -(int)err->code;

    r->user_invite = user_invite_ref(i->invite);
    account_settle(d, t, s, c, i->invite->role, USER_ACTIVE, r);
    user_invite_remove(d, i);
    return 0;
}
