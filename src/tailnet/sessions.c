/*
 * Web sessions: a user who logged in, until they log out, the session ends, or the user goes. What
 * the user may is decided by who makes the session.
 */

#include "tailnet/domain_internal.h"

int session_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    struct tailnet *t = NULL;
    struct user_state *owner = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 || tailnet_check_open(t, err) < 0 ||
        user_get(d, t, c->user, STR_NONE, &owner, err) < 0)
        return -(int)err->code;
    if (owner->user->status != USER_ACTIVE)
        return err_set(err, ERR_DENIED, "%s", user_inactive_text(owner->user));
    if (c->scopes.len == 0 || c->expiry_ms <= d->now_ms)
        return err_set(err, ERR_INVALID, "a session has scopes and ends later than it begins");
    if (api_key_check_scopes(&c->scopes, err) < 0 || api_key_check_note(c->text, err) < 0)
        return -(int)err->code;
    if (d->n_api_keys[API_KEY_SESSION] >= SESSIONS_MAX)
        return err_set(err, ERR_LIMIT, "too many people are logged in; try again later");
    if (quota_check_share(d, t, API_KEY_SESSION, SESSIONS_MAX, err) < 0)
        return -(int)err->code;
    api_key_make_room(d, API_KEY_SESSION, 0, owner->user->id, SESSIONS_OF_USER_MAX);

    struct api_key *k = api_key_make(d, API_KEY_SESSION, r);
    k->tailnet = t->id;
    k->user = owner->user->id;
    k->description = str_copy(c->text);
    str_list_copy(&k->scopes, &c->scopes);
    k->expiry_ms = c->expiry_ms;
    r->user = user_ref(owner->user);
    d->of = t;
    api_key_add(d, k, r);
    return 0;
}

int session_delete(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    const struct api_key *k = c->id != 0 ? table_find(&d->api_keys, c->id) : NULL;

    if (!k || k->kind != API_KEY_SESSION || (c->tailnet != 0 && k->tailnet != c->tailnet))
        return err_set(err, ERR_NOT_FOUND, "session not found");
    r->id = k->id;
    r->api_key = api_key_ref(k);
    d->of = domain_tailnet(d, k->tailnet);
    api_key_remove(d, k);
    return 0;
}
