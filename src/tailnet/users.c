/* Users: made, renamed, deleted, found. */

#include "tailnet/domain_internal.h"

#define USER_NAME_MAX 255

static bool is_user_name(struct str s)
{
    return s.len > 0 && s.len <= USER_NAME_MAX && str_is_utf8(s) && !str_has_control(s) &&
           s.ptr[0] != ' ' && s.ptr[s.len - 1] != ' ';
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
        list_init(&s->lent_to);
        (void)map_put_u64(d->user_by_id, user->id, s);
    } else {
        if (is_local(s->user))
            (void)map_remove(t->local_users, s->user->name);
        account_remove(d, s);
    }
    if (is_local(user))
        (void)map_put(t->local_users, user->name, s);
    s->user = user;
    account_add(d, s);
    table_put(&t->users, user->id, user);
    id_used(d, ID_USER, user->id);
}

void user_remove(struct domain *d, struct user_state *u)
{
    struct tailnet *t = u->tailnet;
    user_id id = u->user->id;

    shares_drop_user(d, u);
    user_invites_drop(d, t, id);
    if (is_local(u->user))
        (void)map_remove(t->local_users, u->user->name);
    account_remove(d, u);
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

int user_check_room(const struct tailnet *t, struct err *err)
{
    if (t->users.count >= TAILNET_USERS_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d users", TAILNET_USERS_MAX);
    return quota_check(t, QUOTA_USERS, t->users.count, err);
}

struct user *user_make(struct domain *d, const struct tailnet *t)
{
    struct user *u = user_new();

    u->id = id_next(d, t, ID_USER);
    u->tailnet = t->id;
    u->role = ROLE_MEMBER;
    u->created_ms = d->now_ms;
    return u;
}

void user_add(struct domain *d, struct tailnet *t, struct user *u)
{
    user_put(d, t, u);
    domain_emit(d, t, (struct change){.kind = CHANGE_USER, .id = u->id});
}

int user_create(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 || check_name(t, NULL, c->name, err) < 0)
        return -(int)err->code;
    if (c->text.len > TEXT_MAX || c->email.len > TEXT_MAX || c->picture_url.len > TEXT_MAX)
        return err_set(err, ERR_INVALID, "longer than %d bytes", TEXT_MAX);
    if (user_check_room(t, err) < 0)
        return -(int)err->code;

    struct user *u = user_make(d, t);
    u->name = str_copy(c->name);
    u->display_name = str_copy(c->text);
    u->email = str_copy(c->email);
    u->picture_url = str_copy(c->picture_url);
    r->id = u->id;
    r->user = user_ref(u);
    d->of = t;
    user_add(d, t, u);
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
        user_get(d, t, c->id, c->user_name, &s, err) < 0 || check_name(t, s, c->name, err) < 0)
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

void user_set_text(struct str *field, struct str to)
{
    str_free(field);
    *field = str_copy(to);
}

int user_check_texts(const struct command *c, struct err *err)
{
    const struct str all[] = {c->text, c->email, c->picture_url, c->provider, c->provider_id};

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i].len > TEXT_MAX || !str_is_utf8(all[i]))
            return err_set(err, ERR_INVALID, "at most %d bytes of UTF-8", TEXT_MAX);
    return 0;
}

static bool same_user(const struct user *a, const struct user *b)
{
    return str_eq(a->name, b->name) && str_eq(a->display_name, b->display_name) &&
           str_eq(a->email, b->email) && str_eq(a->picture_url, b->picture_url) &&
           str_eq(a->provider, b->provider) && str_eq(a->provider_id, b->provider_id) &&
           str_list_eq(&a->groups, &b->groups) && a->role == b->role && a->status == b->status;
}

/* Takes `with`, which replaces the user if it says anything else. */
void user_replace(struct domain *d, struct user_state *s, struct user *with)
{
    if (same_user(s->user, with)) {
        user_unref(with);
        return;
    }
    bool is_same_status = s->user->status == with->status;

    user_put(d, s->tailnet, with);
    domain_emit(d, s->tailnet, (struct change){.kind = CHANGE_USER, .id = with->id});
    if (!is_same_status)
        holds_user_changed(d, s);
    /* The policy may mean the user by any of these. */
    approve_routes_of(d, s);
}

/* The user leaves one identity for another, or for none. */
static int check_provider(struct domain *d, const struct tailnet *t, const struct user_state *s,
                          const struct command *c, struct err *err)
{
    const struct user_state *same = map_find(t->local_users, s->user->name);

    if ((c->provider.len == 0) != (c->provider_id.len == 0))
        return err_set(err, ERR_INVALID, "provider and provider id belong together");
    if (c->provider_id.len == 0)
        return !is_user_name(s->user->name)
                   ? err_set(err, ERR_INVALID, "a user without a provider needs a name")
               : same && same != s ? err_set(err, ERR_CONFLICT, "user already exists")
                                   : 0;
    same = account_find(d, t, c->provider_id);
    return same && same != s ? err_set(err, ERR_CONFLICT, "another user has this identity already")
                             : 0;
}

static bool is_owner(const struct user *u)
{
    return u->role == ROLE_OWNER && u->status == USER_ACTIVE;
}

int user_check_not_last_owner(const struct user_state *s, struct err *err)
{
    const struct user *u;

    for (size_t at = 0; is_owner(s->user) && (u = table_next(&s->tailnet->users, &at));)
        if (u != s->user && is_owner(u))
            return 0;
    return !is_owner(s->user) ? 0
                              : err_set(err, ERR_CONFLICT,
                                        "this is the tailnet's last owner: make somebody else one "
                                        "first");
}

int user_update(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct tailnet *t = NULL;
    struct user_state *s = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 ||
        user_get(d, t, c->id, c->user_name, &s, err) < 0 || user_check_texts(c, err) < 0)
        return -(int)err->code;
    if ((c->fields & USER_FIELD_PROVIDER) && check_provider(d, t, s, c, err) < 0)
        return -(int)err->code;
    if ((c->fields & USER_FIELD_ROLE) && (unsigned)c->role > ROLE_AUDITOR)
        return err_set(err, ERR_INVALID, "there is no such role");
    if ((c->fields & USER_FIELD_ROLE) && c->role != ROLE_OWNER &&
        user_check_not_last_owner(s, err) < 0)
        return -(int)err->code;

    struct user *u = user_clone(s->user);
    if (c->fields & USER_FIELD_DISPLAY)
        user_set_text(&u->display_name, c->text);
    if (c->fields & USER_FIELD_EMAIL)
        user_set_text(&u->email, c->email);
    if (c->fields & USER_FIELD_PICTURE)
        user_set_text(&u->picture_url, c->picture_url);
    if (c->fields & USER_FIELD_ROLE)
        u->role = c->role;
    if (c->fields & USER_FIELD_PROVIDER) {
        user_set_text(&u->provider, c->provider);
        user_set_text(&u->provider_id, c->provider_id);
    }
    d->of = t;
    r->id = u->id;
    user_replace(d, s, u);
    r->user = user_ref(s->user);
    return 0;
}

/* Every machine of the user. */
static void remove_nodes_of(struct domain *d, const struct user_state *s, struct command_result *r)
{
    const struct tailnet *t = s->tailnet;
    node_id *ids = mem_alloc_array(s->n_nodes + 1, sizeof(*ids));
    const struct node *node;
    size_t n = 0;

    /* Removing may merge chunks, so they are looked up first. */
    for (size_t at = 0; n < s->n_nodes && (node = table_next(&t->nodes, &at));)
        if (node->user == s->user->id)
            ids[n++] = node->id;
    for (size_t i = 0; i < n; i++) {
        struct node_state *state = node_state_by_id(d, ids[i]);

        if (r->lines.len < USER_DELETE_LINES_MAX)
            str_list_add(&r->lines, state->node->given_name);
        node_remove(d, state);
    }
    mem_free(ids);
}

int user_delete(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct tailnet *t = NULL;
    struct user_state *s = NULL;
    const struct auth_key *k;
    size_t at = 0;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 ||
        user_get(d, t, c->id, c->user_name, &s, err) < 0)
        return -(int)err->code;
    if (s->n_nodes > 0 && !c->with_nodes)
        return err_set(err, ERR_CONFLICT, "user not empty: node(s) found");
    if (user_check_not_last_owner(s, err) < 0)
        return -(int)err->code;

    d->of = t;
    r->id = s->user->id;
    remove_nodes_of(d, s, r);
    /* Ids rise, and removing may merge chunks: begin anew after each. */
    while ((k = table_next(&t->auth_keys, &at))) {
        if (k->user != r->id)
            continue;
        auth_key_remove(d, map_find_u64(d->key_by_id, k->id));
        at = 0;
    }
    api_keys_remove_of(d, t->id, r->id);
    user_remove(d, s);
    return 0;
}
