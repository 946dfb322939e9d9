/* /api/v1/user; and who may give which role, in both versions. */

#include "api/api_internal.h"
#include "api/schema_words_internal.h"
#include "auth/roles.h"

const struct api_member api_user_role_members[1] = {
    {.name = "role", .kind = KIND_STRING, .about = "owner, admin, network-admin, it-admin, ..."},
};

/* What is asked for: the first of name, mail address and id that is given. */
struct user_filter {
    struct str name, email;
    uint64_t id;
};

/* False: answered. */
static bool read_filter(struct api_call *c, struct user_filter *f)
{
    struct str id;

    if (api_query(c, "name", &f->name) || api_query(c, "email", &f->email) ||
        !api_query(c, "id", &id) || str_parse_u64(id, &f->id))
        return true;
    api_problem(c, 400, "an id is a number", NULL);
    return false;
}

static bool user_matches(const struct user_filter *f, const struct user *u)
{
    if (f->name.len > 0)
        return str_eq(f->name, u->name);
    if (f->email.len > 0)
        return str_eq(f->email, u->email);
    return f->id == 0 || f->id == u->id;
}

void api_users_list(struct api_call *c)
{
    struct user_filter filter = {0};
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    size_t n = 0;

    if (!read_filter(c, &filter))
        return;
    const struct user *const *users = view_users(c->view, &n);
    json_begin_object(&w);
    json_field_array(&w, STR("users"));
    for (size_t i = 0; i < n; i++)
        if (user_matches(&filter, users[i]))
            api_put_user(&w, users[i]);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

static void respond_user(struct api_call *c, const struct user *u)
{
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_key(&w, STR("user"));
    api_put_user(&w, u);
    json_end_object(&w);
    api_respond(c, &body);
}

static void done_user(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);

    if (!api_refused(c))
        respond_user(c, call->result.user);
}

void api_users_create(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_USER_CREATE);

    command->name = api_text(c, "name");
    command->text = api_text(c, "displayName");
    command->email = api_text(c, "email");
    command->picture_url = api_text(c, "pictureUrl");
    api_submit(c, done_user);
}

/* By number; by name as up to 0.23. False: answered. */
static bool user_in_path(struct api_call *c, const char *name, uint64_t *id)
{
    const struct user *user = api_find_user(c->view, api_path_text(c, name));

    if (!user || str_parse_u64(api_path_text(c, name), id))
        return api_path_id(c, name, id);
    *id = user->id;
    return true;
}

void api_users_rename(struct api_call *c)
{
    uint64_t id = 0;

    if (!user_in_path(c, "oldId", &id))
        return;
    struct command *command = api_command(c, COMMAND_USER_RENAME);
    command->id = id;
    command->name = api_path_text(c, "newName");
    api_submit(c, done_user);
}

void api_users_delete(struct api_call *c)
{
    uint64_t id = 0;

    if (!user_in_path(c, "id", &id))
        return;
    if (!api_may_change_user(c, view_user_find(c->view, id)))
        return;
    api_command(c, COMMAND_USER_DELETE)->id = id;
    api_submit(c, api_done_empty);
}

/* ---- Roles ---- */

bool api_may_give(struct api_call *c, enum user_role role)
{
    if (c->caller.kind == CALLER_OAUTH && c->caller.user == 0) {
        /* Who may write settings makes members by joining rules, and no more. */
        if (role == ROLE_MEMBER || (role != ROLE_OWNER && caller_may_write(&c->caller, AREA_USERS)))
            return true;
    } else if (c->caller.user == 0 || role_may_give(c->caller.role, role)) {
        /* Other keys that are nobody's come from an operator. */
        return true;
    }
    api_problem(c, 403, "not permitted",
                arena_printf(api_arena(c), "whoever has the role %.*s may not give or take %.*s",
                             STR_ARG(user_role_name(c->caller.role)),
                             STR_ARG(user_role_name(role)))
                    .ptr);
    return false;
}

bool api_may_change_user(struct api_call *c, const struct user *u)
{
    return !u || api_may_give(c, u->role);
}

bool api_role(struct api_call *c, enum user_role *role)
{
    struct str text = api_text(c, "role");

    if (text.len == 0 || user_role_find(text, role))
        return true;
    api_problem(c, 400,
                "there is no such role: owner, admin, network-admin, it-admin, billing-admin, "
                "auditor, member",
                NULL);
    return false;
}

bool api_ask_role(struct api_call *c, const struct user *u)
{
    enum user_role to = ROLE_MEMBER;

    if (api_text(c, "role").len == 0) {
        api_problem(c, 400, "the body wants the role: {\"role\": \"auditor\"}", NULL);
        return false;
    }
    if (!api_role(c, &to) || !api_may_change_user(c, u) || !api_may_give(c, to))
        return false;
    struct command *command = api_command(c, COMMAND_USER_UPDATE);
    command->id = u->id;
    command->fields = USER_FIELD_ROLE;
    command->role = to;
    return true;
}

/* The one in the path. NULL: answered. */
static const struct user *find_user(struct api_call *c)
{
    uint64_t id = 0;
    const struct user *u = NULL;

    if (!user_in_path(c, "id", &id))
        return NULL;
    u = view_user_find(c->view, id);
    if (!u)
        api_problem(c, 404, "user not found", NULL);
    return u;
}

static void done_changed(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);

    if (!api_refused(c))
        respond_user(c, view_user_find(call->result.view, call->command.id));
}

void api_user_role(struct api_call *c)
{
    const struct user *u = find_user(c);

    if (u && api_ask_role(c, u))
        api_submit(c, done_changed);
}

/* ---- Status ---- */

static void change_status(struct api_call *c, enum command_type type)
{
    const struct user *u = find_user(c);

    if (!u || !api_may_change_user(c, u))
        return;
    api_command(c, type)->id = u->id;
    api_submit(c, done_changed);
}

void api_user_approve(struct api_call *c)
{
    change_status(c, COMMAND_USER_APPROVE);
}

void api_user_suspend(struct api_call *c)
{
    change_status(c, COMMAND_USER_SUSPEND);
}

void api_user_restore(struct api_call *c)
{
    change_status(c, COMMAND_USER_RESTORE);
}
