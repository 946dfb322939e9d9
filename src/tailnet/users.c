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

static void set_text(struct str *field, struct str to)
{
    str_free(field);
    *field = str_copy(to);
}

static int check_texts(const struct command *c, struct err *err)
{
    const struct str all[] = {c->text, c->email, c->picture_url, c->provider, c->provider_id};

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i].len > TEXT_MAX || !str_is_utf8(all[i]))
            return err_set(err, ERR_INVALID, "at most %d bytes of UTF-8", TEXT_MAX);
    return 0;
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

static bool same_user(const struct user *a, const struct user *b)
{
    return str_eq(a->name, b->name) && str_eq(a->display_name, b->display_name) &&
           str_eq(a->email, b->email) && str_eq(a->picture_url, b->picture_url) &&
           str_eq(a->provider, b->provider) && str_eq(a->provider_id, b->provider_id) &&
           str_list_eq(&a->groups, &b->groups) && a->role == b->role;
}

/* Takes `with`, which replaces the user if it says anything else. */
static void replace(struct domain *d, struct user_state *s, struct user *with)
{
    if (same_user(s->user, with)) {
        user_unref(with);
        return;
    }
    user_put(d, s->tailnet, with);
    domain_emit(d, s->tailnet, (struct change){.kind = CHANGE_USER, .id = with->id});
    /* The policy may mean the user by any of these. */
    approve_routes_of(d, s);
}

static struct user_state *find_by_provider(struct domain *d, const struct tailnet *t,
                                           struct str provider_id)
{
    const struct user *u;

    for (size_t at = 0; (u = table_next(&t->users, &at));)
        if (str_eq(u->provider_id, provider_id))
            return map_find_u64(d->user_by_id, u->id);
    return NULL;
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
    same = find_by_provider(d, t, c->provider_id);
    return same && same != s ? err_set(err, ERR_CONFLICT, "another user has this identity already")
                             : 0;
}

int user_update(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct tailnet *t = NULL;
    struct user_state *s = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 ||
        user_get(d, t, c->id, c->user_name, &s, err) < 0 || check_texts(c, err) < 0)
        return -(int)err->code;
    if ((c->fields & USER_FIELD_PROVIDER) && check_provider(d, t, s, c, err) < 0)
        return -(int)err->code;
    if ((c->fields & USER_FIELD_ROLE) && (unsigned)c->role > ROLE_AUDITOR)
        return err_set(err, ERR_INVALID, "there is no such role");

    struct user *u = user_clone(s->user);
    if (c->fields & USER_FIELD_DISPLAY)
        set_text(&u->display_name, c->text);
    if (c->fields & USER_FIELD_EMAIL)
        set_text(&u->email, c->email);
    if (c->fields & USER_FIELD_PICTURE)
        set_text(&u->picture_url, c->picture_url);
    if (c->fields & USER_FIELD_ROLE)
        u->role = c->role;
    if (c->fields & USER_FIELD_PROVIDER) {
        set_text(&u->provider, c->provider);
        set_text(&u->provider_id, c->provider_id);
    }
    d->of = t;
    r->id = u->id;
    replace(d, s, u);
    r->user = user_ref(s->user);
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

static struct user *user_of_login(struct domain *d, const struct tailnet *t,
                                  const struct command *c)
{
    struct user *u = user_new();

    if (d->next.user == USER_TAGGED_DEVICES)
        d->next.user++;
    u->id = d->next.user;
    u->tailnet = t->id;
    u->provider_id = str_copy(c->provider_id);
    u->role = ROLE_MEMBER;
    u->created_ms = d->now_ms;
    return u;
}

/* Found by issuer and subject only: a name or an address may be given to somebody else. */
int user_login(struct domain *d, const struct command *c, struct command_result *r, struct err *err)
{
    struct tailnet *t = NULL;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 || check_texts(c, err) < 0 ||
        check_groups(c, err) < 0)
        return -(int)err->code;
    if (c->provider.len == 0 || c->provider_id.len == 0)
        return err_set(err, ERR_INVALID, "a log-in has a provider and an identity");
    struct user_state *s = find_by_provider(d, t, c->provider_id);
    if (!s && t->users.count >= TAILNET_USERS_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d users", TAILNET_USERS_MAX);

    struct user *u = s ? user_clone(s->user) : user_of_login(d, t, c);
    set_text(&u->provider, c->provider);
    if (is_provider_name(c->name))
        set_text(&u->name, c->name);
    if (c->text.len > 0)
        set_text(&u->display_name, c->text);
    if (c->email.len > 0)
        set_text(&u->email, c->email);
    if (c->picture_url.len > 0)
        set_text(&u->picture_url, c->picture_url);
    str_list_free(&u->groups);
    str_list_copy(&u->groups, &c->groups);
    str_list_sort_unique(&u->groups);
    d->of = t;
    r->id = u->id;
    if (s) {
        replace(d, s, u);
        r->user = user_ref(s->user);
        return 0;
    }
    user_put(d, t, u);
    r->user = user_ref(u);
    domain_emit(d, t, (struct change){.kind = CHANGE_USER, .id = u->id});
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
        user_get(d, t, c->id, c->user_name, &s, err) < 0)
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
    api_keys_remove_of(d, t->id, r->id);
    user_remove(d, s);
    return 0;
}
