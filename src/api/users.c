/* /api/v1/user. */

#include "api/api_internal.h"

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

static void done_user(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(c))
        return;
    json_begin_object(&w);
    json_key(&w, STR("user"));
    api_put_user(&w, call->result.user);
    json_end_object(&w);
    api_respond(c, &body);
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

void api_users_rename(struct api_call *c)
{
    uint64_t id = 0;

    if (!api_path_id(c, "oldId", &id))
        return;
    struct command *command = api_command(c, COMMAND_USER_RENAME);
    command->id = id;
    command->name = api_path_text(c, "newName");
    api_submit(c, done_user);
}

void api_users_delete(struct api_call *c)
{
    uint64_t id = 0;

    if (!api_path_id(c, "id", &id))
        return;
    api_command(c, COMMAND_USER_DELETE)->id = id;
    api_submit(c, api_done_empty);
}
