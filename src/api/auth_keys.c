/* /api/v1/preauthkey and /api/v1/auth. */

#include "api/api_internal.h"

#include "core/clock.h"

void api_auth_keys_list(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct tailnet_view *view = api_view(owner, x, req);
    struct buf body = BUF(BUF_LIMIT_DEFAULT);
    struct json_writer w = JSON_WRITER(&body);
    size_t n = 0;

    if (!view)
        return;
    const struct auth_key *const *keys = view_auth_keys(view, &n);
    json_begin_object(&w);
    json_field_array(&w, STR("preAuthKeys"));
    for (size_t i = 0; i < n; i++)
        api_put_auth_key(&w, view, keys[i], STR_NONE);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(x, &body);
}

static void done_created(struct registrar_call *call)
{
    struct asked *a = asked_of(call);
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    if (api_refused(a))
        return;
    json_begin_object(&w);
    json_key(&w, STR("preAuthKey"));
    api_put_auth_key(&w, call->result.view, call->result.auth_key, call->result.secret);
    json_end_object(&w);
    http_add_header(a->x, STR("cache-control"), STR("no-store"));
    http_respond(a->x, 200, "application/json", buf_str(&body));
    mem_wipe(body.ptr, body.len);
    buf_fini(&body);
    asked_free(a);
}

/* Adds the strings of a JSON array; false if there is anything else in it. */
static bool read_tags(struct asked *a, const struct json_value *array, struct str_list *tags)
{
    size_t n = json_len(array);

    if (array && !json_is(array, JSON_ARRAY) && !json_is(array, JSON_NULL))
        return false;
    if (n > NODE_TAGS_MAX)
        return false;
    tags->items = arena_alloc(a->arena, (n + 1) * sizeof(*tags->items));
    JSON_EACH(tag, json_is(array, JSON_ARRAY) ? array : NULL) {
        if (!json_is(tag, JSON_STRING))
            return false;
        tags->items[tags->len++] = json_as_str(tag, STR_NONE);
    }
    return true;
}

/* A time in a body: absent or null leaves *ms; false if it is something else. */
static bool read_time(const struct json_value *v, int64_t *ms)
{
    if (!v || json_is(v, JSON_NULL))
        return true;
    return clock_parse_rfc3339(json_as_str(v, STR_NONE), ms);
}

void api_auth_keys_create(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    struct asked *a = api_ask(owner, x, req, COMMAND_AUTH_KEY_CREATE, &body);

    if (!a)
        return;
    struct command *c = &a->call.command;
    /* An hour, as the command line gives, where headscale's API would make a key that is dead at
     * birth. */
    c->expiry_ms = clock_unix_ms() + 3600 * 1000;
    c->reusable = json_as_bool(json_get_nocase(body, "reusable"), false);
    c->ephemeral = json_as_bool(json_get_nocase(body, "ephemeral"), false);
    (void)api_body_id(body, "user", &c->user);
    if (!read_time(json_get_nocase(body, "expiration"), &c->expiry_ms)) {
        api_problem(x, 400, "expiration is not a time", NULL);
        asked_free(a);
        return;
    }
    if (!read_tags(a, json_get_nocase(body, "aclTags"), &c->tags)) {
        api_problem(x, 400, "aclTags is a list of tags", NULL);
        asked_free(a);
        return;
    }
    asked_submit(a, done_created);
}

void api_auth_keys_expire(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    struct asked *a = api_ask(owner, x, req, COMMAND_AUTH_KEY_EXPIRE, &body);

    if (!a)
        return;
    if (!api_body_id(body, "id", &a->call.command.id)) {
        api_problem(x, 400, "missing id parameter", NULL);
        asked_free(a);
        return;
    }
    asked_submit(a, api_done_empty);
}

void api_auth_keys_delete(void *owner, struct http_exchange *x, const struct http_request *req)
{
    struct str text = STR_NONE;
    uint64_t id = 0;

    if (!http_query_get(x, STR("id"), &text) || !str_parse_u64(text, &id) || id == 0) {
        api_problem(x, 400, "missing id parameter", NULL);
        return;
    }
    struct asked *a = api_ask(owner, x, req, COMMAND_AUTH_KEY_DELETE, NULL);
    if (!a)
        return;
    a->call.command.id = id;
    asked_submit(a, api_done_empty);
}

/* ---- Pending registrations ---- */

/* The id in any of the forms people paste: bare, or the whole URL. */
static struct str auth_id_of(struct str text)
{
    ptrdiff_t slash = str_rfind_char(text, '/');

    return slash < 0 ? text : str_from_index(text, (size_t)slash + 1);
}

static void approve(struct asked *a, struct str user, struct str auth_id)
{
    a->call.command.user_name = user;
    a->call.command.name = auth_id_of(str_trim(auth_id));
    asked_submit(a, api_done_node);
}

void api_auth_register(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    struct asked *a = api_ask(owner, x, req, COMMAND_REGISTER_APPROVE, &body);

    if (!a)
        return;
    approve(a, json_as_str(json_get_nocase(body, "user"), STR_NONE),
            json_as_str(json_get_nocase(body, "authId"), STR_NONE));
}

void api_nodes_register(void *owner, struct http_exchange *x, const struct http_request *req)
{
    struct asked *a = api_ask(owner, x, req, COMMAND_REGISTER_APPROVE, NULL);
    struct str user = STR_NONE, key = STR_NONE;

    if (!a)
        return;
    (void)http_query_get(x, STR("user"), &user);
    (void)http_query_get(x, STR("key"), &key);
    approve(a, arena_copy(a->arena, user), arena_copy(a->arena, key));
}

static struct str body_auth_id(const struct json_value *body)
{
    return auth_id_of(str_trim(json_as_str(json_get_nocase(body, "authId"), STR_NONE)));
}

/* The id is an SSH check's, which does not wait for the registrar; takes `a`. */
static void decide_check(struct asked *a, struct str id, bool approve)
{
    struct api *api = a->owner;
    struct http_exchange *x = a->x;
    const struct http_request *req = a->req;
    struct str copy = str_copy(id);

    asked_free(a);
    api_ssh_check_decide(api, x, req, copy, approve);
    str_free(&copy);
}

void api_auth_reject(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    struct asked *a = api_ask(owner, x, req, COMMAND_REGISTER_REJECT, &body);

    if (!a)
        return;
    a->call.command.name = body_auth_id(body);
    if (str_starts(a->call.command.name, STR(SSH_CHECK_ID_PREFIX)))
        decide_check(a, a->call.command.name, false);
    else
        asked_submit(a, api_done_empty);
}

/* headscale approves SSH checks with it; a machine's registration needs a user and has a call of
 * its own. */
void api_auth_approve(void *owner, struct http_exchange *x, const struct http_request *req)
{
    const struct json_value *body = NULL;
    struct asked *a = api_ask(owner, x, req, COMMAND_REGISTER_APPROVE, &body);

    if (a)
        decide_check(a, body_auth_id(body), true);
}
