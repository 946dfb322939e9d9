/* Invitations: links that make shares. Known by the hash of their secret only. */

#include "tailnet/domain_internal.h"

/* ---- Tables ---- */

static struct invite_state *state_of(struct invitation *i)
{
    return i ? CONTAINER_OF(i, struct invite_state, head) : NULL;
}

void invite_add(struct domain *d, const struct share_invite *invite)
{
    struct invite_state *s = NEW(struct invite_state);

    s->invite = invite;
    s->head.id = invite->id;
    s->head.tailnet = domain_tailnet(d, invite->tailnet);
    s->head.end.kind = DEADLINE_SHARE_INVITE;
    memcpy(s->head.hash, invite->hash, sizeof(s->head.hash));
    invitation_add(d, &d->share_invites, &s->head, invite->expiry_ms);
    table_put(&s->head.tailnet->share_invites, invite->id, invite);
    id_used(d, ID_SHARE_INVITE, invite->id);
}

void invite_remove(struct domain *d, struct invite_state *s)
{
    struct tailnet *t = s->head.tailnet;
    share_invite_id id = s->head.id;

    invitation_remove(d, &d->share_invites, &s->head);
    table_remove(&t->share_invites, id);
    domain_emit(d, t, (struct change){.kind = CHANGE_SHARE_INVITE_REMOVED, .id = id});
}

void invites_drop(struct domain *d, struct tailnet *t, node_id node, user_id sharer)
{
    const struct share_invite *i;

    /* Removing may merge chunks: begin anew after each. */
    for (size_t at = 0; (i = table_next(&t->share_invites, &at));) {
        if ((node != 0 && i->node != node) || (sharer != 0 && i->sharer != sharer))
            continue;
        invite_remove(d, state_of(map_find_u64(d->share_invites.by_id, i->id)));
        at = 0;
    }
}

/* ---- Commands ---- */

static int check(const struct domain *d, const struct tailnet *t, const struct share_invite *i,
                 struct err *err)
{
    const struct node_state *n = node_state_by_id(d, i->node);
    const struct user_state *by = i->sharer ? map_find_u64(d->user_by_id, i->sharer) : NULL;

    if (!n || n->tailnet != t)
        return err_set(err, ERR_NOT_FOUND, "node not found");
    if (i->sharer != 0 && (!by || by->tailnet != t))
        return err_set(err, ERR_NOT_FOUND, "user not found");
    if (i->uses_left == 0)
        return err_set(err, ERR_INVALID, "an invitation is for one use at least");
    if (i->expiry_ms != 0 && i->expiry_ms <= d->now_ms)
        return err_set(err, ERR_INVALID, "the invitation's expiry has passed");
    if (i->share_expiry_ms != 0 && i->share_expiry_ms <= d->now_ms)
        return err_set(err, ERR_INVALID, "the share's expiry has passed");
    return 0;
}

int share_invite_make(struct domain *d, const struct command *c, struct command_result *r,
                      struct err *err)
{
    AUTO(share_invite_unref) const struct share_invite *owned = NULL;
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    struct share_invite *i = share_invite_clone(c->invite);
    owned = i;
    if (check(d, t, i, err) < 0 || share_terms_check(&i->terms, err) < 0 ||
        share_check_room(t, err) < 0)
        return -(int)err->code;

    r->secret = invitation_secret(SHARE_INVITE_KIND, i->hash);
    i->id = id_next(d, t, ID_SHARE_INVITE);
    i->tailnet = t->id;
    i->uses = 0;
    i->created_ms = d->now_ms;
    i->expiry_ms = i->expiry_ms != 0 ? i->expiry_ms : d->now_ms + SHARE_INVITE_MS;
    invite_add(d, TAKE(owned));
    r->id = i->id;
    r->invite = share_invite_ref(i);
    d->of = t;
    domain_emit(d, t, (struct change){.kind = CHANGE_SHARE_INVITE, .id = i->id});
    return 0;
}

int share_invite_revoke(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err)
{
    struct invitation *i = NULL;

    if (invitation_get(d, &d->share_invites, c, &i, err) < 0)
        return -(int)err->code;
    struct invite_state *s = state_of(i);
    r->id = i->id;
    r->invite = share_invite_ref(s->invite);
    invite_remove(d, s);
    return 0;
}

/* Who shows a secret that is none learns nothing more. */
static struct invite_state *find_by_secret(const struct domain *d, struct str text)
{
    struct invite_state *s = state_of(invitation_find(&d->share_invites, SHARE_INVITE_KIND, text));

    return s && (s->invite->expiry_ms == 0 || s->invite->expiry_ms > d->now_ms) &&
                   (s->invite->share_expiry_ms == 0 || s->invite->share_expiry_ms > d->now_ms) &&
                   !s->head.tailnet->info->suspended &&
                   (s->invite->sharer == 0 || user_is_active(d, s->invite->sharer))
               ? s
               : NULL;
}

static void spend(struct domain *d, struct invite_state *s)
{
    struct share_invite *with;

    if (s->invite->uses_left == 1) {
        invite_remove(d, s);
        return;
    }
    with = share_invite_clone(s->invite);
    with->uses_left--;
    with->uses++;
    s->invite = with;
    table_put(&s->head.tailnet->share_invites, with->id, with);
    domain_emit(d, s->head.tailnet, (struct change){.kind = CHANGE_SHARE_INVITE, .id = with->id});
}

static const struct share *share_of(struct domain *d, const struct share_invite *i,
                                    const struct tailnet *guest, user_id user)
{
    struct share *share = share_new();

    share->id = id_next(d, domain_tailnet(d, i->tailnet), ID_SHARE);
    share->owner = i->tailnet;
    share->node = i->node;
    share->sharer = i->sharer;
    share->guest = guest->id;
    share->user = user;
    share_terms_copy(&share->terms, &i->terms);
    share->created_ms = d->now_ms;
    share->accepted_ms = MAX(d->now_ms, (int64_t)1);
    share->expiry_ms = i->share_expiry_ms;
    return share;
}

int share_invite_accept(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err)
{
    struct invite_state *i = find_by_secret(d, c->text);
    const struct user_state *u = c->user ? map_find_u64(d->user_by_id, c->user) : NULL;
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (!i)
        return err_set(err, ERR_NOT_FOUND,
                       "there is no such invitation, or it was used, revoked or has expired");
    if (c->user != 0 && (!u || u->tailnet != t))
        return err_set(err, ERR_NOT_FOUND, "user not found");
    if (i->head.tailnet == t)
        return err_set(err, ERR_INVALID, "a node is not shared with its own tailnet");
    if (c->user == 0 && !i->invite->whole_tailnet)
        return err_set(err, ERR_DENIED, "this invitation is for one person, not for a tailnet");
    if (share_find(d, i->invite->node, t->id, c->user))
        return err_set(err, ERR_CONFLICT, "the node is shared with them already");
    /* The invitation counts until it is used up. */
    if (i->invite->uses_left > 1 && share_check_room(i->head.tailnet, err) < 0)
        return -(int)err->code;

    struct share_state *s = share_add(d, share_of(d, i->invite, t, c->user));
    domain_emit(d, s->owner, (struct change){.kind = CHANGE_SHARE, .id = s->share->id});
    domain_emit(d, s->guest, (struct change){.kind = CHANGE_SHARE, .id = s->share->id});
    spend(d, i);
    share_settle(d, s);
    d->of = t;
    r->id = s->share->id;
    r->share = share_ref(s->share);
    return 0;
}
