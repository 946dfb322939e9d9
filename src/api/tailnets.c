/* /api/v1/tailnet. */

#include "api/api_internal.h"

static void put_tailnet(struct json_writer *w, const struct tailnet_view *view)
{
    const struct tailnet_info *info = view_info(view);
    size_t users = 0;

    (void)view_users(view, &users);
    json_begin_object(w);
    api_field_id(w, STR("id"), info->id);
    json_field_str(w, STR("name"), info->name);
    json_field_str(w, STR("baseDomain"), info->base_domain);
    json_field_time(w, STR("createdAt"), info->created_ms);
    json_field_u64(w, STR("users"), users);
    json_field_u64(w, STR("nodes"), view_node_count(view));
    json_end_object(w);
}

void api_tailnets_list(struct api_call *c)
{
    struct hub *hub = control_hub(c->api->control, c->a->loop);
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct tailnet_view *view;

    json_begin_object(&w);
    json_field_array(&w, STR("tailnets"));
    for (size_t i = 0; (view = hub_view_at(hub, i)); i++)
        if (caller_may_name(&c->caller, view_info(view)->id))
            put_tailnet(&w, view);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

static void done_tailnet(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    tailnet_info_unref(c->a->more);
    if (api_refused(c))
        return;
    json_begin_object(&w);
    json_key(&w, STR("tailnet"));
    put_tailnet(&w, call->result.view);
    json_end_object(&w);
    api_respond(c, &body);
}

/* A further tailnet takes its settings from the first; its machines live under a label of its own.
 */
void api_tailnets_create(struct api_call *c)
{
    if (c->caller.tailnet != 0) {
        api_problem(c, 403, "not permitted", "the key is one tailnet's, not the server's");
        return;
    }
    struct command *command = api_command(c, COMMAND_TAILNET_CREATE);
    const struct tailnet_view *first = hub_view(control_hub(c->api->control, c->a->loop), 0);
    struct str name = api_text(c, "name");
    struct tailnet_info *info = tailnet_info_clone(view_info(first));

    info->id = 0;
    str_free(&info->name);
    info->name = str_copy(name);
    str_free(&info->base_domain);
    info->base_domain =
        str_printf("%.*s.%.*s", STR_ARG(name), STR_ARG(view_info(first)->base_domain));
    command->name = name;
    command->info = info;
    c->a->more = info;
    api_submit(c, done_tailnet);
}
