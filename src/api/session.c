/*
 * /api/v1/session: the web session that asks, and its end. Who comes with a key has none.
 * /api/v1/sessions: those of everybody, for administrators.
 *
 * A session comes by GET /login (control/login.h) and lives in a cookie, which a browser sends with
 * whatever page makes it ask; so what changes something must show that it comes from a page of this
 * server: by Origin, or by a header that other pages cannot send.
 */

#include "api/api_internal.h"
#include "auth/browser.h"

static bool is_tls(const struct api *api)
{
    return str_starts(api->server_url, STR("https://"));
}

struct str api_session_token(const struct api *api, const struct http_request *req)
{
    struct str value;

    for (size_t i = 0; i < req->n_headers; i++)
        if (str_eq(req->headers[i].name, STR("cookie")) &&
            cookie_get(req->headers[i].value, session_cookie_name(is_tls(api)), &value))
            return value;
    return STR_NONE;
}

bool api_is_from_here(const struct api *api, const struct http_request *req)
{
    struct str origin = http_header_get(req, STR("origin"));

    if (origin.len > 0)
        return str_eq(origin, api->server_url);
    return http_header_get(req, STR("x-hatsize-request")).len > 0;
}

/* False: answered. */
static bool has_session(struct api_call *c)
{
    if (c->caller.kind == CALLER_SESSION)
        return true;
    api_problem(c, 404, "there is no session: this is a key", NULL);
    return false;
}

void api_session_get(struct api_call *c)
{
    const struct api_key_set *keys = auth_keys(control_auth(c->api->control), c->a->loop);
    const struct api_key *k = keys ? api_key_set_find(keys, c->caller.api_key) : NULL;
    struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);

    if (!has_session(c))
        return;
    json_begin_object(&w);
    json_key(&w, STR("user"));
    api_put_user(&w, view_user_find(c->view, c->caller.user));
    json_field_str(&w, STR("login"), k ? k->description : STR_NONE);
    json_field_time(&w, STR("expiration"), k ? k->expiry_ms : 0);
    json_field_str_list(&w, STR("scopes"), k ? &k->scopes : &(struct str_list){0});
    json_end_object(&w);
    api_respond(c, &body);
}

static void done_deleted(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf cookie = BUF(1024);

    if (api_refused(c))
        return;
    cookie_put(&cookie, &(struct cookie){.name = session_cookie_name(is_tls(c->api)),
                                         .value = STR_NONE,
                                         .path = STR("/"),
                                         .is_secure = is_tls(c->api)});
    http_add_header(c->a->x, STR("set-cookie"), buf_str(&cookie));
    buf_fini(&cookie);
    api_respond_empty(c);
}

void api_session_delete(struct api_call *c)
{
    if (!has_session(c))
        return;
    api_command(c, COMMAND_SESSION_DELETE)->id = c->caller.api_key;
    api_submit(c, done_deleted);
}

/* ---- Everybody's ---- */

static void put_session(struct api_call *c, struct json_writer *w, const struct api_key *k)
{
    json_begin_object(w);
    api_field_id(w, STR("id"), k->id);
    json_key(w, STR("user"));
    api_put_user(w, view_user_find(c->view, k->user));
    json_field_str(w, STR("login"), k->description);
    json_field_str_list(w, STR("scopes"), &k->scopes);
    json_field_time(w, STR("createdAt"), k->created_ms);
    if (k->last_seen_ms != 0)
        json_field_time(w, STR("lastSeen"), k->last_seen_ms);
    json_field_time(w, STR("expiration"), k->expiry_ms);
    json_field_bool(w, STR("isCurrent"), k->id == c->caller.api_key);
    json_end_object(w);
}

void api_sessions_list(struct api_call *c)
{
    const struct api_key_set *keys = auth_keys(control_auth(c->api->control), c->a->loop);
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct api_key *k;

    json_begin_object(&w);
    json_field_array(&w, STR("sessions"));
    for (size_t at = 0; keys && (k = api_key_set_next(keys, &at));)
        if (k->kind == API_KEY_SESSION && k->tailnet == c->tailnet)
            put_session(c, &w, k);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_sessions_delete(struct api_call *c)
{
    uint64_t id = 0;

    if (!api_path_id(c, "sessionId", &id))
        return;
    api_command(c, COMMAND_SESSION_DELETE)->id = id;
    api_submit(c, api_done_empty);
}
