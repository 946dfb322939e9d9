/* v2's users. */

#include "api/v2_internal.h"

#include "core/map.h"

/* ---- Which ---- */

const struct user *api_v2_user(struct api_call *c)
{
    const struct tailnet_view *view;
    uint64_t id = 0;

    if (!str_parse_u64(api_path_text(c, "userId"), &id))
        id = 0; /* nobody's */
    for (size_t at = 0; (view = api_next_view(c, &at));) {
        const struct user *u = view_user_find(view, id);

        if (!u)
            continue;
        api_turn_to(c, view);
        return u;
    }
    api_problem(c, 404, "user not found", NULL);
    return NULL;
}

/* ---- Shape ---- */

/* What the devices of one user add up to. */
struct devices {
    size_t n;
    int64_t last_seen_ms;
    bool online;
};

static void count(struct devices *d, const struct node *n)
{
    d->n++;
    d->last_seen_ms = MAX(d->last_seen_ms, n->last_seen_ms);
    d->online = d->online || n->online;
}

static void put_user(struct json_writer *w, const struct user *u, const struct devices *d)
{
    struct buf login = BUF(1024), display = BUF(1024);

    json_begin_object(w);
    api_field_id(w, STR("id"), u->id);
    json_field_str(w, STR("displayName"), user_display(u, &display));
    json_field_str(w, STR("loginName"), user_login_name(u, &login));
    json_field_str(w, STR("profilePicUrl"), u->picture_url);
    api_field_id(w, STR("tailnetId"), u->tailnet);
    json_field_time(w, STR("created"), u->created_ms);
    json_field_str(w, STR("type"), STR("member"));
    json_field_str(w, STR("role"), user_role_name(u->role));
    json_field_str(w, STR("status"), user_status_name(u->status));
    json_field_u64(w, STR("deviceCount"), d->n);
    if (d->last_seen_ms != 0)
        json_field_time(w, STR("lastSeen"), d->last_seen_ms);
    json_field_bool(w, STR("currentlyConnected"), d->online);
    json_end_object(w);
    buf_fini(&login);
    buf_fini(&display);
}

/* ---- Calls ---- */

/* A filter that is not there, or is "all", lets everybody pass. */
static bool passes(const struct api_call *c, const char *name, struct str value)
{
    struct str wanted = STR_NONE;

    return !api_query(c, name, &wanted) || str_eq(wanted, STR("all")) || str_eq(wanted, value);
}

void api_v2_users_list(struct api_call *c)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct map *by_user = map_new();
    size_t n_users = 0;
    const struct user *const *users = view_users(c->view, &n_users);
    struct devices *devices = arena_alloc(api_arena(c), (n_users + 1) * sizeof(*devices));
    const struct node *n;

    for (size_t i = 0; i < n_users; i++) {
        devices[i] = (struct devices){0};
        (void)map_put_u64(by_user, users[i]->id, &devices[i]);
    }
    for (size_t at = 0; (n = view_node_next(c->view, &at));) {
        struct devices *d = n->user ? map_find_u64(by_user, n->user) : NULL;

        if (d)
            count(d, n);
    }
    json_begin_object(&w);
    json_field_array(&w, STR("users"));
    for (size_t i = 0; i < n_users; i++)
        if (passes(c, "type", STR("member")) && passes(c, "role", user_role_name(users[i]->role)))
            put_user(&w, users[i], &devices[i]);
    json_end_array(&w);
    json_end_object(&w);
    map_free(by_user);
    api_respond(c, &body);
}

void api_v2_user_get(struct api_call *c)
{
    const struct user *u = api_v2_user(c);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);
    struct devices devices = {0};
    const struct node *n;

    if (!u)
        return;
    for (size_t at = 0; (n = view_node_next(c->view, &at));)
        if (n->user == u->id)
            count(&devices, n);
    put_user(&w, u, &devices);
    api_respond(c, &body);
}

void api_v2_user_delete(struct api_call *c)
{
    const struct user *u = api_v2_user(c);

    if (!u || !api_may_change_user(c, u))
        return;
    struct command *command = api_command(c, COMMAND_USER_DELETE);
    command->id = u->id;
    command->with_nodes = true;
    api_submit(c, api_done_empty);
}

void api_v2_user_role(struct api_call *c)
{
    const struct user *u = api_v2_user(c);

    if (u && api_ask_role(c, u))
        api_submit(c, api_done_empty);
}

/* Who has the status already needs nothing, as Tailscale has it. */
static void change_status(struct api_call *c, enum command_type type, enum user_status to)
{
    const struct user *u = api_v2_user(c);

    if (!u || !api_may_change_user(c, u))
        return;
    if (u->status == to) {
        api_respond_empty(c);
        return;
    }
    api_command(c, type)->id = u->id;
    api_submit(c, api_done_empty);
}

void api_v2_user_approve(struct api_call *c)
{
    change_status(c, COMMAND_USER_APPROVE, USER_ACTIVE);
}

void api_v2_user_suspend(struct api_call *c)
{
    change_status(c, COMMAND_USER_SUSPEND, USER_SUSPENDED);
}

void api_v2_user_restore(struct api_call *c)
{
    change_status(c, COMMAND_USER_RESTORE, USER_ACTIVE);
}

void api_v2_not_here(struct api_call *c)
{
    api_problem(c, 501, "this server has no such thing", c->op->summary);
}
