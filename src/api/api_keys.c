/*
 * /api/v1/apikey.
 *
 * A key of a tailnet sees and makes keys of that tailnet; the server's see all, and make their like
 * unless the call names a tailnet.
 */

#include "api/api_internal.h"

#include "auth/roles.h"
#include "core/clock.h"

#define NINETY_DAYS_MS ((int64_t)90 * 24 * 3600 * 1000)

/* Whose keys are meant; 0: of the server, or all when it is asked for one. */
static tailnet_id meant(const struct api_call *c)
{
    struct str name;

    return c->caller.tailnet != 0 || api_query(c, "tailnet", &name) ? c->tailnet : 0;
}

void api_api_keys_list(struct api_call *c)
{
    const struct api_key_set *keys = auth_keys(control_auth(c->api->control), c->a->loop);
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    tailnet_id whose = meant(c);
    const struct api_key *k;

    json_begin_object(&w);
    json_field_array(&w, STR("apiKeys"));
    for (size_t at = 0; keys && (k = api_key_set_next(keys, &at));)
        if (k->kind == API_KEY_PLAIN && (whose == 0 || k->tailnet == whose))
            api_put_api_key(&w, k);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

/* ---- Create ---- */

static void done_created(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF(4096);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(c))
        return;
    json_begin_object(&w);
    json_field_str(&w, STR("apiKey"), call->result.secret);
    json_end_object(&w);
    api_respond(c, &body);
}

/* What the key will open: of somebody's never more than his role does, whatever its scopes. */
static struct permissions may_of(const struct api_call *c, const struct command *command)
{
    struct permissions may = permissions_of_scopes(&command->scopes);

    return command->user == 0
               ? may
               : permissions_both(may, permissions_of_user(view_user_find(c->view, command->user)));
}

void api_api_keys_create(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_API_KEY_CREATE);

    command->tailnet = meant(c);
    command->user = c->caller.tailnet == command->tailnet ? c->caller.user : 0;
    command->text = api_text(c, "description");
    command->scopes = api_texts(c, "scopes");
    /* headscale's API would make a key that is dead at birth. */
    command->expiry_ms = clock_unix_ms() + NINETY_DAYS_MS;
    if (api_time(c, "expiration", &command->expiry_ms))
        command->expiry_ms = MAX(command->expiry_ms, (int64_t)1);
    if (!permissions_within(may_of(c, command), c->caller.may))
        api_problem(c, 403, "not permitted", "a key cannot make one that may more than itself");
    else
        api_submit(c, done_created);
}

/* ---- One of them ---- */

/* In the body, the path or the query. */
static struct str said_prefix(const struct api_call *c)
{
    struct str prefix = api_text(c, "prefix");

    if (prefix.len == 0)
        prefix = api_path_text(c, "prefix");
    if (prefix.len == 0)
        (void)api_query(c, "prefix", &prefix);
    return prefix;
}

/* By id or by prefix, one of the two. False: answered. */
static bool choose(struct api_call *c, struct command *command)
{
    struct str prefix = said_prefix(c), text = STR_NONE;
    bool has_id = api_id(c, "id", &command->id);

    if (!has_id && api_query(c, "id", &text)) {
        has_id = true;
        if (!str_parse_u64(text, &command->id) || command->id == 0) {
            api_problem(c, 400, "an id is a positive number", NULL);
            return false;
        }
    }
    if (has_id && prefix.len > 0)
        api_problem(c, 400, "provide either id or prefix, not both", NULL);
    else if (!has_id && prefix.len == 0)
        api_problem(c, 400, "must provide id or prefix", NULL);
    else
        command->name = prefix;
    return has_id != (prefix.len > 0);
}

static void ask_about_one(struct api_call *c, enum command_type type)
{
    struct command *command = api_command(c, type);

    if (!choose(c, command))
        return;
    command->tailnet = meant(c);
    api_submit(c, api_done_empty);
}

void api_api_keys_expire(struct api_call *c)
{
    ask_about_one(c, COMMAND_API_KEY_EXPIRE);
}

void api_api_keys_delete(struct api_call *c)
{
    ask_about_one(c, COMMAND_API_KEY_DELETE);
}
