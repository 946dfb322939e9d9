/* /api/v1/user and /api/v1/tailnet. */

#include "api/api_internal.h"

static bool user_matches(struct http_exchange *x, const struct user *u)
{
    struct str want;
    uint64_t id = 0;

    if (http_query_get(x, STR("name"), &want) && want.len > 0)
        return str_eq(want, u->name);
    if (http_query_get(x, STR("email"), &want) && want.len > 0)
        return str_eq(want, u->email);
    if (http_query_get(x, STR("id"), &want) && str_parse_u64(want, &id) && id != 0)
        return id == u->id;
    return true;
}

void api_users_list(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct tailnet_view *view = api_view(owner, x, req);
    struct buf body = BUF(BUF_LIMIT_DEFAULT);
    struct json_writer w = JSON_WRITER(&body);
    size_t n = 0;

    if (!view)
        return;
    const struct user *const *users = view_users(view, &n);
    json_begin_object(&w);
    json_field_array(&w, STR("users"));
    for (size_t i = 0; i < n; i++)
        if (user_matches(x, users[i]))
            api_put_user(&w, users[i]);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(x, &body);
}

static void done_user(struct registrar_call *call)
{
    struct asked *a = asked_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(a))
        return;
    json_begin_object(&w);
    json_key(&w, STR("user"));
    api_put_user(&w, call->result.user);
    json_end_object(&w);
    api_respond(a->x, &body);
    asked_free(a);
}

void api_users_create(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    struct asked *a = api_ask(owner, x, req, COMMAND_USER_CREATE, &body);

    if (!a)
        return;
    a->call.command.name = json_as_str(json_get_nocase(body, "name"), STR_NONE);
    a->call.command.text = json_as_str(json_get_nocase(body, "displayName"), STR_NONE);
    a->call.command.email = json_as_str(json_get_nocase(body, "email"), STR_NONE);
    a->call.command.picture_url = json_as_str(json_get_nocase(body, "pictureUrl"), STR_NONE);
    asked_submit(a, done_user);
}

void api_users_rename(void *owner, struct http_exchange *x, const struct http_request *req)
{
    uint64_t id = 0;

    if (!api_path_id(x, req, "id", &id))
        return;
    struct asked *a = api_ask(owner, x, req, COMMAND_USER_RENAME, NULL);
    if (!a)
        return;
    a->call.command.id = id;
    a->call.command.name = arena_copy(a->arena, http_param_get(req, STR("name")));
    asked_submit(a, done_user);
}

void api_users_delete(void *owner, struct http_exchange *x, const struct http_request *req)
{
    uint64_t id = 0;

    if (!api_path_id(x, req, "id", &id))
        return;
    struct asked *a = api_ask(owner, x, req, COMMAND_USER_DELETE, NULL);
    if (!a)
        return;
    a->call.command.id = id;
    asked_submit(a, api_done_empty);
}

/* ---- Tailnets ---- */

static void put_tailnet(struct json_writer *w, const struct tailnet_view *view)
{
    const struct tailnet_info *info = view_info(view);
    size_t users = 0;

    (void)view_users(view, &users);
    json_begin_object(w);
    json_key(w, STR("id"));
    json_begin_plain(w);
    buf_put_u64(w->out, info->id);
    json_end_plain(w);
    json_field_str(w, STR("name"), info->name);
    json_field_str(w, STR("baseDomain"), info->base_domain);
    json_field_time(w, STR("createdAt"), info->created_ms);
    json_field_u64(w, STR("users"), users);
    json_field_u64(w, STR("nodes"), view_node_count(view));
    json_end_object(w);
}

void api_tailnets_list(void *owner, struct http_exchange *x, const struct http_request *req)
{
    struct api *api = owner;
    struct hub *hub = control_hub(api->control, req->loop);
    struct buf body = BUF(BUF_LIMIT_DEFAULT);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_array(&w, STR("tailnets"));
    for (size_t i = 0; hub_view_at(hub, i); i++)
        put_tailnet(&w, hub_view_at(hub, i));
    json_end_array(&w);
    json_end_object(&w);
    api_respond(x, &body);
}

static void done_tailnet(struct registrar_call *call)
{
    struct asked *a = asked_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    tailnet_info_unref(a->more);
    if (api_refused(a))
        return;
    json_begin_object(&w);
    json_key(&w, STR("tailnet"));
    put_tailnet(&w, call->result.view);
    json_end_object(&w);
    api_respond(a->x, &body);
    asked_free(a);
}

/* A further tailnet takes its settings from the first; its machines live under a label of its own.
 */
void api_tailnets_create(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    struct asked *a = api_ask(owner, x, req, COMMAND_TAILNET_CREATE, &body);

    if (!a)
        return;
    const struct tailnet_view *first =
        hub_view(control_hub(((struct api *)owner)->control, req->loop), 0);
    struct str name = json_as_str(json_get_nocase(body, "name"), STR_NONE);
    struct tailnet_info *info = tailnet_info_clone(view_info(first));

    info->id = 0;
    str_free(&info->name);
    info->name = str_copy(name);
    str_free(&info->base_domain);
    info->base_domain =
        str_printf("%.*s.%.*s", STR_ARG(name), STR_ARG(view_info(first)->base_domain));
    a->call.command.name = name;
    a->call.command.info = info;
    a->more = info;
    asked_submit(a, done_tailnet);
}
