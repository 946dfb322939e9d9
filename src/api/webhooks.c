/* Webhooks: the same calls and objects in both versions, in Tailscale's form. */

#include "api/schema_words_internal.h"
#include "api/v2_internal.h"

/* ---- Objects ---- */

const struct api_member api_webhook_members[8] = {
    ID("endpointId"),
    S("endpointUrl"),
    {.name = "providerType",
     .kind = KIND_STRING,
     .about = "slack, mattermost, googlechat, discord, or empty: signed events as JSON"},
    S("creatorLoginName"),
    TIME("created"),
    TIME("lastModified"),
    STRINGS("subscriptions"),
    {.name = "secret",
     .kind = KIND_STRING,
     .optional = true,
     .about = "what signs; only where it is made"},
};
const struct api_member api_webhooks_members[1] = {OBJECTS("webhooks", "Webhook")};
const struct api_member api_create_webhook_members[3] = {
    S("endpointUrl"),
    S("providerType"),
    STRINGS("subscriptions"),
};
const struct api_member api_update_webhook_members[1] = {STRINGS("subscriptions")};

/* ---- Shape ---- */

static void put_webhook(struct json_writer *w, const struct webhook *h, struct str secret)
{
    json_begin_object(w);
    api_field_id(w, STR("endpointId"), h->id);
    json_field_str(w, STR("endpointUrl"), h->url);
    json_field_str(w, STR("providerType"), str_from(webhook_provider_name(h->provider)));
    json_field_str(w, STR("creatorLoginName"), h->creator);
    json_field_time(w, STR("created"), h->created_ms);
    json_field_time(w, STR("lastModified"), h->modified_ms);
    json_field_array(w, STR("subscriptions"));
    for (unsigned i = 0; i < EVENT_TEST; i++)
        if (h->subscriptions & BIT(i))
            json_str(w, str_from(webhook_event_name((enum webhook_event)i)));
    json_end_array(w);
    if (secret.len > 0)
        json_field_str(w, STR("secret"), secret);
    json_end_object(w);
}

static void respond(struct api_call *c, const struct webhook *h, struct str secret)
{
    struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);

    put_webhook(&w, h, secret);
    api_respond(c, &body);
}

/* done: the webhook, with its secret if it got a new one. */
static void done_webhook(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);

    if (!api_refused(c))
        respond(c, call->result.webhook, call->result.secret);
}

/* ---- Which ---- */

/* The one in the path, in whichever tailnet the caller may name; the call is then about that one.
 * NULL: answered. */
static const struct webhook *find(struct api_call *c)
{
    const struct tailnet_view *view;
    uint64_t id = 0;

    if (!str_parse_u64(api_path_text(c, "endpointId"), &id))
        id = 0; /* none's */
    for (size_t at = 0; (view = api_next_view(c, &at));) {
        const struct webhook *h = view_webhook_find(view, id);

        if (!h)
            continue;
        api_turn_to(c, view);
        return h;
    }
    api_problem(c, 404, "webhook not found", NULL);
    return NULL;
}

/* The command about it; NULL after answering. */
static struct command *ask(struct api_call *c, enum command_type type)
{
    const struct webhook *h = find(c);

    if (!h)
        return NULL;
    struct command *command = api_command(c, type);
    command->id = h->id;
    return command;
}

/* ---- Calls ---- */

void api_webhooks_list(struct api_call *c)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct webhook *h;

    json_begin_object(&w);
    json_field_array(&w, STR("webhooks"));
    for (size_t at = 0; (h = view_webhook_next(c->view, &at));)
        put_webhook(&w, h, STR_NONE);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

/* As people know who asks; in the arena. */
static struct str caller_name(const struct api_call *c)
{
    const struct user *u = c->caller.user ? view_user_find(c->view, c->caller.user) : NULL;
    struct buf scratch = BUF(64);
    struct str name = u ? user_login_name(u, &scratch) : str_from(c->caller.author);

    name = arena_copy(api_arena(c), name);
    buf_fini(&scratch);
    return name;
}

void api_webhooks_create(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_WEBHOOK_CREATE);

    command->text = api_text(c, "endpointUrl");
    command->provider = api_text(c, "providerType");
    command->scopes = api_texts(c, "subscriptions");
    command->name = caller_name(c);
    api_submit(c, done_webhook);
}

void api_webhook_get(struct api_call *c)
{
    const struct webhook *h = find(c);

    if (h)
        respond(c, h, STR_NONE);
}

void api_webhook_update(struct api_call *c)
{
    struct command *command = ask(c, COMMAND_WEBHOOK_UPDATE);

    if (!command)
        return;
    command->scopes = api_texts(c, "subscriptions");
    api_submit(c, done_webhook);
}

void api_webhook_rotate(struct api_call *c)
{
    if (ask(c, COMMAND_WEBHOOK_ROTATE))
        api_submit(c, done_webhook);
}

void api_webhook_delete(struct api_call *c)
{
    if (ask(c, COMMAND_WEBHOOK_DELETE))
        api_submit(c, api_done_empty);
}

void api_webhook_test(struct api_call *c)
{
    if (ask(c, COMMAND_WEBHOOK_TEST))
        api_submit(c, api_done_empty);
}
