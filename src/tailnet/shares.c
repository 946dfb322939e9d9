/*
 * Shares in the domain: made, accepted, changed, revoked, and put in force or out of it.
 *
 *   create --> WAITING --accept--> IN FORCE --revoke, expiry, node or user or tailnet gone--> gone
 *                 ^                  |  ^
 *                 +---- two_way new -+  +-- one of the tailnets is suspended: out of force as long
 *
 * What being in force leads to is in guests.c and abroad.c.
 */

#include "tailnet/domain_internal.h"

/* From one tailnet to another; the guest's administrators must be able to read them all. */
#define WAITING_MAX 100

struct what {
    node_id node;
    tailnet_id guest;
    user_id user;
};

static struct str what_key(const struct what *w)
{
    return str_bytes(w, sizeof(*w));
}

struct share_state *share_find(const struct domain *d, node_id node, tailnet_id guest, user_id user)
{
    const struct what w = {node, guest, user};

    return map_len(d->share_by_what) > 0 ? map_find(d->share_by_what, what_key(&w)) : NULL;
}

const struct share *share_in_force(const struct domain *d, node_id node, tailnet_id guest,
                                   user_id user)
{
    const struct share_state *s = share_find(d, node, guest, user);

    return s && s->is_in_force ? s->share : NULL;
}

void shares_init(struct domain *d)
{
    d->share_by_id = map_new();
    d->share_by_what = map_new();
    invitations_init(&d->share_invites);
    d->stay_by_what = map_new();
    d->bonds = map_new();
    list_init(&d->new_stays);
    list_init(&d->unsettled);
}

void shares_fini(struct domain *d)
{
    struct str key;
    void *value;

    for (size_t at = 0; map_next(d->share_by_id, &at, &key, &value);)
        mem_free(value);
    map_free(d->share_by_id);
    map_free(d->share_by_what);
    invitations_fini(&d->share_invites);
    map_free(d->stay_by_what);
    map_free(d->bonds);
}

/* ---- Tables ---- */

struct share_state *share_add(struct domain *d, const struct share *share)
{
    const struct what w = {share->node, share->guest, share->user};
    struct share_state *s = NEW(struct share_state);

    s->share = share;
    s->owner = domain_tailnet(d, share->owner);
    s->guest = domain_tailnet(d, share->guest);
    s->node = node_state_by_id(d, share->node);
    s->end.kind = DEADLINE_SHARE;
    list_push_back(&outside_of(s->node)->shares, &s->node_link);
    (void)map_put_u64(d->share_by_id, share->id, s);
    (void)map_put(d->share_by_what, what_key(&w), s);
    table_put(&s->owner->shares, share->id, share);
    table_put(&s->guest->shares, share->id, share_ref(share));
    s->owner->n_lends++;
    id_used(d, ID_SHARE, share->id);
    return s;
}

static void emit(struct domain *d, const struct share_state *s, enum change_kind kind)
{
    domain_emit(d, s->owner, (struct change){.kind = kind, .id = s->share->id});
    domain_emit(d, s->guest, (struct change){.kind = kind, .id = s->share->id});
}

static struct list *guest_list(const struct domain *d, const struct share_state *s)
{
    struct user_state *u = s->share->user ? map_find_u64(d->user_by_id, s->share->user) : NULL;

    return u ? &u->lent_to : &s->guest->lent_to_all;
}

static void enter(struct domain *d, struct share_state *s)
{
    s->is_in_force = true;
    list_push_back(guest_list(d, s), &s->guest_link);
    if (s->share->sharer != 0)
        guest_user_known(d, s->share->sharer, s->guest, true);
    guests_share(d, s, true);
}

static void leave(struct domain *d, struct share_state *s)
{
    s->is_in_force = false;
    list_remove(&s->guest_link);
    guests_share(d, s, false);
    if (s->share->sharer != 0)
        guest_user_known(d, s->share->sharer, s->guest, false);
}

void share_settle(struct domain *d, struct share_state *s)
{
    bool is_wanted =
        s->share->accepted_ms != 0 && !s->owner->info->suspended && !s->guest->info->suspended;

    if (s->share->expiry_ms != 0)
        schedule_set(&d->schedule, &s->end, s->share->expiry_ms);
    else
        schedule_clear(&d->schedule, &s->end);
    if (is_wanted && !s->is_in_force)
        enter(d, s);
    else if (!is_wanted && s->is_in_force)
        leave(d, s);
}

/* Takes `with`, another version of it, and tells it. */
static void replace(struct domain *d, struct share_state *s, const struct share *with)
{
    bool was_in_force = s->is_in_force;
    bool same_terms = share_terms_eq(&s->share->terms, &with->terms);
    bool same_sharer = s->share->sharer == with->sharer;

    s->share = with;
    table_put(&s->owner->shares, with->id, share_ref(with));
    table_put(&s->guest->shares, with->id, with);
    emit(d, s, CHANGE_SHARE);
    share_settle(d, s);
    /* The items that it covers say its terms and its sharer. */
    if (was_in_force && s->is_in_force && !(same_terms && same_sharer)) {
        abroad_recheck(d, s->node);
        abroad_recheck_users(d, s->node);
    }
}

static void note_end(struct domain *d, const struct share_state *s)
{
    d->ended = mem_room(d->ended, d->n_ended, &d->cap_ended, 4, sizeof(*d->ended));
    d->ended[d->n_ended++] = (struct share_end){.share = share_ref(s->share),
                                                .owner = tailnet_snapshot(s->owner),
                                                .guest = tailnet_snapshot(s->guest)};
}

void share_remove(struct domain *d, struct share_state *s)
{
    const struct what w = {s->share->node, s->share->guest, s->share->user};
    share_id id = s->share->id;

    note_end(d, s);
    schedule_clear(&d->schedule, &s->end);
    if (s->is_in_force)
        leave(d, s);
    emit(d, s, CHANGE_SHARE_REMOVED);
    list_remove(&s->node_link);
    (void)map_remove(d->share_by_what, what_key(&w));
    (void)map_remove_u64(d->share_by_id, id);
    s->owner->n_lends--;
    table_remove(&s->owner->shares, id);
    table_remove(&s->guest->shares, id);
    mem_free(s);
}

/* ---- What goes with others ---- */

void shares_drop_node(struct domain *d, struct node_state *s)
{
    invites_drop(d, s->tailnet, node_now(s)->id, 0);
    if (!s->outside)
        return;
    s->outside->is_leaving = true;
    LIST_FOR_EACH(share, &s->outside->shares, struct share_state, node_link) {
        share_remove(d, share);
    }
    guests_node(d, s);
}

void shares_drop_user(struct domain *d, struct user_state *u)
{
    struct tailnet *t = u->tailnet;
    const struct share *share;

    invites_drop(d, t, 0, u->user->id);
    /* Removing merges chunks, so the table is gone through again after each. */
    for (size_t at = 0; (share = table_next(&t->shares, &at));) {
        if (share->user != u->user->id)
            continue;
        share_remove(d, map_find_u64(d->share_by_id, share->id));
        at = 0;
    }
    for (size_t at = 0; (share = table_next(&t->shares, &at));) {
        if (share->sharer != u->user->id)
            continue;
        struct share_state *s = map_find_u64(d->share_by_id, share->id);
        struct share *with = share_clone(share);

        if (s->is_in_force)
            guest_user_known(d, share->sharer, s->guest, false);
        with->sharer = 0;
        replace(d, s, with);
    }
    guests_user_gone(d, u);
}

void shares_drop_tailnet(struct domain *d, struct tailnet *t)
{
    const struct share *share;
    size_t at;

    while (at = 0, (share = table_next(&t->shares, &at)))
        share_remove(d, map_find_u64(d->share_by_id, share->id));
    invites_drop(d, t, 0, 0);
}

void shares_resettle(struct domain *d, struct tailnet *t)
{
    const struct share *share;

    for (size_t at = 0; (share = table_next(&t->shares, &at));)
        share_settle(d, map_find_u64(d->share_by_id, share->id));
}

/* ---- Commands ---- */

int share_check_room(const struct tailnet *owner, struct err *err)
{
    if (owner->n_lends + owner->share_invites.count >= TAILNET_SHARES_MAX)
        return err_set(err, ERR_LIMIT,
                       "a tailnet lends at most %d times, open invitations counted; revoke some",
                       TAILNET_SHARES_MAX);
    return 0;
}

static int check_expiry(const struct domain *d, int64_t expiry_ms, struct err *err)
{
    return expiry_ms != 0 && expiry_ms <= d->now_ms
               ? err_set(err, ERR_INVALID, "the share's expiry has passed")
               : 0;
}

/* Whose the node and the users are. */
static int check_ends(const struct domain *d, const struct tailnet *owner,
                      const struct tailnet *guest, const struct share *share, struct err *err)
{
    const struct node_state *n = node_state_by_id(d, share->node);
    const struct user_state *u = share->user ? map_find_u64(d->user_by_id, share->user) : NULL;
    const struct user_state *by = share->sharer ? map_find_u64(d->user_by_id, share->sharer) : NULL;

    if (!n || n->tailnet != owner)
        return err_set(err, ERR_NOT_FOUND, "node not found");
    if (owner == guest)
        return err_set(err, ERR_INVALID, "a node is not shared with its own tailnet");
    if (share->user != 0 && (!u || u->tailnet != guest))
        return err_set(err, ERR_NOT_FOUND, "no such user in the tailnet to share with");
    if (share->sharer != 0 && (!by || by->tailnet != owner))
        return err_set(err, ERR_NOT_FOUND, "user not found");
    return 0;
}

static int check_waiting(const struct tailnet *owner, const struct tailnet *guest, struct err *err)
{
    const struct share *share;
    size_t n = 0;

    for (size_t at = 0; (share = table_next(&guest->shares, &at));)
        n += share->owner == owner->id && share->accepted_ms == 0;
    if (n >= WAITING_MAX)
        return err_set(err, ERR_LIMIT, "%d shares with this tailnet wait to be accepted already",
                       WAITING_MAX);
    return 0;
}

static void answer(struct domain *d, struct tailnet *t, const struct share_state *s,
                   struct command_result *r)
{
    d->of = t;
    r->id = s->share->id;
    r->share = share_ref(s->share);
}

int share_create(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    AUTO(share_unref) const struct share *owned = NULL;
    struct tailnet *owner = NULL;
    struct tailnet *guest = c->share->guest ? domain_tailnet(d, c->share->guest) : NULL;

    if (domain_tailnet_get(d, c->tailnet, &owner, err) < 0)
        return -(int)err->code;
    if (!guest)
        return err_set(err, ERR_NOT_FOUND, "the tailnet to share with is not found");
    struct share *share = share_clone(c->share);
    owned = share;
    if (check_ends(d, owner, guest, share, err) < 0 || share_terms_check(&share->terms, err) < 0 ||
        check_expiry(d, share->expiry_ms, err) < 0 || share_check_room(owner, err) < 0 ||
        (!c->is_accepted && check_waiting(owner, guest, err) < 0))
        return -(int)err->code;
    if (share_find(d, share->node, guest->id, share->user))
        return err_set(err, ERR_CONFLICT, "the node is shared with them already");

    share->id = id_next(d, owner, ID_SHARE);
    share->owner = owner->id;
    share->created_ms = d->now_ms;
    share->accepted_ms = c->is_accepted ? MAX(d->now_ms, (int64_t)1) : 0;
    struct share_state *s = share_add(d, TAKE(owned));
    emit(d, s, CHANGE_SHARE);
    share_settle(d, s);
    answer(d, owner, s, r);
    return 0;
}

/* A share of the command's tailnet. */
static int get(struct domain *d, const struct command *c, struct tailnet **t,
               struct share_state **out, struct err *err)
{
    struct share_state *s = map_find_u64(d->share_by_id, c->id);

    if (domain_tailnet_get(d, c->tailnet, t, err) < 0)
        return -(int)err->code;
    if (!s || (s->owner != *t && s->guest != *t))
        return err_set(err, ERR_NOT_FOUND, "share not found");
    *out = s;
    return 0;
}

int share_accept(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    struct tailnet *t = NULL;
    struct share_state *s = NULL;

    if (get(d, c, &t, &s, err) < 0)
        return -(int)err->code;
    if (s->guest != t)
        return err_set(err, ERR_DENIED, "a share is accepted by those it is made for");
    if (check_expiry(d, s->share->expiry_ms, err) < 0)
        return -(int)err->code;
    if (s->share->accepted_ms == 0) {
        struct share *with = share_clone(s->share);

        with->accepted_ms = MAX(d->now_ms, (int64_t)1);
        replace(d, s, with);
    }
    answer(d, t, s, r);
    return 0;
}

int share_update(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    AUTO(share_unref) const struct share *owned = NULL;
    struct tailnet *t = NULL;
    struct share_state *s = NULL;

    if (get(d, c, &t, &s, err) < 0)
        return -(int)err->code;
    if (s->owner != t)
        return err_set(err, ERR_DENIED, "a share's terms are its owner's to change");
    struct share *with = share_clone(s->share);
    owned = with;
    share_terms_fini(&with->terms);
    share_terms_copy(&with->terms, &c->share->terms);
    with->expiry_ms = c->share->expiry_ms;
    if (share_terms_check(&with->terms, err) < 0 || check_expiry(d, with->expiry_ms, err) < 0)
        return -(int)err->code;
    /* Nobody's machines are opened to others without being asked. */
    if (with->terms.two_way && !s->share->terms.two_way && !c->is_accepted)
        with->accepted_ms = 0;
    if (!share_terms_eq(&with->terms, &s->share->terms) || with->expiry_ms != s->share->expiry_ms)
        replace(d, s, TAKE(owned));
    answer(d, t, s, r);
    return 0;
}

int share_revoke(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    struct tailnet *t = NULL;
    struct share_state *s = NULL;

    if (get(d, c, &t, &s, err) < 0)
        return -(int)err->code;
    answer(d, t, s, r);
    share_remove(d, s);
    return 0;
}
