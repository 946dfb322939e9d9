/* Users: made, renamed, deleted, found. */

#include "tailnet/domain_internal.h"

#define USER_NAME_MAX 255

static bool is_user_name(struct str s)
{
    if (s.len == 0 || s.len > USER_NAME_MAX || !str_is_utf8(s) || s.ptr[0] == ' ' ||
        s.ptr[s.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    return true;
}

static bool is_local(const struct user *u)
{
    return u->provider_id.len == 0;
}

/* Local users' names are unique; those of an identity provider may repeat. self: NULL for a new
 * one. */
static int check_name(const struct tailnet *t, const struct user_state *self, struct str name,
                      struct err *err)
{
    const struct user_state *same = map_find(t->local_users, name);

    if (!is_user_name(name))
        return err_set(err, ERR_INVALID,
                       "a user's name has 1 to 255 bytes, no control characters and no space at "
                       "its ends");
    if (same && same != self && (!self || is_local(self->user)))
        return err_set(err, ERR_CONFLICT, "user already exists");
    return 0;
}

void user_put(struct domain *d, struct tailnet *t, const struct user *user)
{
    struct user_state *s = map_find_u64(d->user_by_id, user->id);

    if (!s) {
        s = NEW(struct user_state);
        s->tailnet = t;
        (void)map_put_u64(d->user_by_id, user->id, s);
    } else if (is_local(s->user)) {
        (void)map_remove(t->local_users, s->user->name);
    }
    if (is_local(user))
        (void)map_put(t->local_users, user->name, s);
    s->user = user;
    table_put(&t->users, user->id, user);
    d->next.user = MAX(d->next.user, user->id + 1);
}

void user_remove(struct domain *d, struct user_state *u)
{
    struct tailnet *t = u->tailnet;
    user_id id = u->user->id;

    if (is_local(u->user))
        (void)map_remove(t->local_users, u->user->name);
    (void)map_remove_u64(d->user_by_id, id);
    table_remove(&t->users, id);
    mem_free(u);
    domain_emit(d, t, (struct change){.kind = CHANGE_USER_REMOVED, .id = id});
}

static int find_by_name(struct domain *d, const struct tailnet *t, struct str name,
                        struct user_state **out, struct err *err)
{
    const struct user *u, *match = NULL;

    for (size_t at = 0; (u = table_next(&t->users, &at));) {
        if (!str_eq(u->name, name))
            continue;
        if (match)
            return err_set(err, ERR_CONFLICT, "multiple users match query, specify an ID");
        match = u;
    }
    if (!match)
        return err_set(err, ERR_NOT_FOUND, "user not found");
    *out = map_find_u64(d->user_by_id, match->id);
    return 0;
}

int user_get(struct domain *d, const struct tailnet *t, user_id id, struct str name,
             struct user_state **out, struct err *err)
{
    struct user_state *u = id != 0 ? map_find_u64(d->user_by_id, id) : NULL;

    if (id == 0 && name.len > 0)
        return find_by_name(d, t, name, out, err);
    if (!u || u->tailnet != t)
        return err_set(err, ERR_NOT_FOUND, "user not found");
    *out = u;
    return 0;
}

int user_create(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 || check_name(t, NULL, c->name, err) < 0)
        return -(int)err->code;
    if (c->text.len > TEXT_MAX || c->email.len > TEXT_MAX || c->picture_url.len > TEXT_MAX)
        return err_set(err, ERR_INVALID, "longer than %d bytes", TEXT_MAX);
    if (t->users.count >= TAILNET_USERS_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d users", TAILNET_USERS_MAX);

    struct user *u = user_new();
    if (d->next.user == USER_TAGGED_DEVICES)
        d->next.user++;
    u->id = d->next.user;
    u->tailnet = t->id;
    u->name = str_copy(c->name);
    u->display_name = str_copy(c->text);
    u->email = str_copy(c->email);
    u->picture_url = str_copy(c->picture_url);
    u->role = ROLE_MEMBER;
    u->created_ms = d->now_ms;
    user_put(d, t, u);
    r->id = u->id;
    r->user = user_ref(u);
    d->of = t;
    domain_emit(d, t, (struct change){.kind = CHANGE_USER, .id = u->id});
    return 0;
}

/* The policy may mean the user by the new name. */
static void approve_routes_of(struct domain *d, const struct user_state *s)
{
    const struct node *n;

    for (size_t at = 0; (n = table_next(&s->tailnet->nodes, &at));)
        if (n->user == s->user->id)
            routes_auto_approve(d, node_state_by_id(d, n->id));
}

int user_rename(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct tailnet *t = NULL;
    struct user_state *s = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 ||
        user_get(d, t, c->id, STR_NONE, &s, err) < 0 || check_name(t, s, c->name, err) < 0)
        return -(int)err->code;

    d->of = t;
    r->id = s->user->id;
    if (!str_eq(s->user->name, c->name)) {
        struct user *u = user_clone(s->user);

        str_free(&u->name);
        u->name = str_copy(c->name);
        user_put(d, t, u);
        domain_emit(d, t, (struct change){.kind = CHANGE_USER, .id = u->id});
        approve_routes_of(d, s);
    }
    r->user = user_ref(s->user);
    return 0;
}

int user_delete(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct tailnet *t = NULL;
    struct user_state *s = NULL;
    const struct auth_key *k;
    size_t at = 0;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 ||
        user_get(d, t, c->id, STR_NONE, &s, err) < 0)
        return -(int)err->code;
    if (s->n_nodes > 0)
        return err_set(err, ERR_CONFLICT, "user not empty: node(s) found");

    d->of = t;
    r->id = s->user->id;
    /* Ids rise, and removing may merge chunks: begin anew after each. */
    while ((k = table_next(&t->auth_keys, &at))) {
        if (k->user != r->id)
            continue;
        auth_key_remove(d, map_find_u64(d->key_by_id, k->id));
        at = 0;
    }
    user_remove(d, s);
    return 0;
}
