/* The router of REST v1 and what its handlers share. */

#include "api/api_internal.h"

#include "control/watching.h"
#include "core/log.h"

static const char *status_title(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not Found";
    case 409:
        return "Conflict";
    case 429:
        return "Too Many Requests";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

void api_problem(struct http_exchange *x, int status, const char *detail, const char *message)
{
    struct buf body = BUF(8192);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_str(&w, STR("title"), str_from(status_title(status)));
    json_field_u64(&w, STR("status"), (uint64_t)status);
    json_field_str(&w, STR("detail"), str_from(detail));
    json_field_str(&w, STR("message"), str_from(message ? message : detail));
    if (message) {
        json_field_array(&w, STR("errors"));
        json_begin_object(&w);
        json_field_str(&w, STR("message"), str_from(message));
        json_end_object(&w);
        json_end_array(&w);
    }
    json_end_object(&w);
    buf_put_char(&body, '\n');
    http_respond(x, status, "application/problem+json", buf_str(&body));
    buf_fini(&body);
}

void api_respond_err(struct http_exchange *x, const struct err *err)
{
    api_problem(x, asked_status(err->code), err->text, NULL);
}

void api_respond(struct http_exchange *x, struct buf *body)
{
    if (buf_is_full(body)) {
        api_problem(x, 500, "the answer is too large", NULL);
    } else {
        buf_put_char(body, '\n');
        http_respond(x, 200, "application/json", buf_str(body));
    }
    buf_fini(body);
}

void api_respond_empty(struct http_exchange *x)
{
    http_respond(x, 200, "application/json", STR("{}\n"));
}

const struct tailnet_view *api_view(struct api *api, struct http_exchange *x,
                                    const struct http_request *req)
{
    struct hub *hub = control_hub(api->control, req->loop);
    struct str name;
    const struct tailnet_view *view;

    if (http_query_get(x, STR("tailnet"), &name) && name.len > 0)
        view = hub_view_by_name(hub, name);
    else
        view = hub_view(hub, 0);
    if (!view)
        api_problem(x, 404, "tailnet not found", NULL);
    return view;
}

struct asked *api_ask(struct api *api, struct http_exchange *x, const struct http_request *req,
                      enum command_type type, const struct json_value **body)
{
    const struct tailnet_view *view = api_view(api, x, req);
    struct json_error error;
    struct json_value *value = NULL;

    if (!view)
        return NULL;
    struct asked *a = asked_new(api, control_registrar(api->control), x, req);
    /* What the command borrows must outlive a client that leaves. */
    struct str text = arena_copy(a->arena, req->body);
    if (text.len > 0 && !json_parse(a->arena, text, NULL, &value, &error)) {
        struct str why =
            arena_printf(a->arena, "line %u, column %u: %s", error.line, error.col, error.text);

        api_problem(x, 400, "the body is not JSON", why.ptr);
        asked_free(a);
        return NULL;
    }
    if (body)
        *body = value;
    a->call.command = (struct command){.type = type,
                                       .origin = req->is_unix ? ORIGIN_SOCKET : ORIGIN_API,
                                       .author = req->is_unix ? STR("socket") : STR("api"),
                                       .tailnet = view_info(view)->id};
    return a;
}

bool api_path_id(struct http_exchange *x, const struct http_request *req, const char *name,
                 uint64_t *id)
{
    struct str text = http_param_get(req, str_from(name));

    if (str_parse_u64(text, id) && *id > 0)
        return true;
    api_problem(x, 400, "an id is a positive number", NULL);
    return false;
}

bool api_body_id(const struct json_value *body, const char *name, uint64_t *id)
{
    const struct json_value *v = json_get_nocase(body, name);

    if (json_is(v, JSON_STRING))
        return str_parse_u64(json_as_str(v, STR_NONE), id);
    if (!json_is(v, JSON_NUMBER))
        return false;
    *id = json_as_u64(v, 0);
    return *id > 0;
}

bool api_refused(struct asked *a)
{
    if (a->call.status == 0 && a->x)
        return false;
    if (a->x)
        api_respond_err(a->x, &a->call.err);
    asked_free(a);
    return true;
}

void api_done_empty(struct registrar_call *call)
{
    struct asked *a = asked_of(call);

    if (api_refused(a))
        return;
    api_respond_empty(a->x);
    asked_free(a);
}

/* ---- The server itself ---- */

void api_put_version(struct buf *out, const char *version)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_field_str(&w, STR("version"), str_from(version));
    json_end_object(&w);
}

static void on_version(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct api *api = user;
    struct buf body = BUF(1024);

    (void)req;
    api_put_version(&body, api->version.ptr);
    api_respond(x, &body);
}

static void on_metrics(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_metrics(((struct api *)user)->control, x, req);
}

static const struct http_route routes[] = {
    {"GET", "/api/v1/user", api_users_list, 0},
    {"POST", "/api/v1/user", api_users_create, API_BODY_MAX},
    {"POST", "/api/v1/user/{id}/rename/{name}", api_users_rename, 0},
    {"DELETE", "/api/v1/user/{id}", api_users_delete, 0},
    {"GET", "/api/v1/node", api_nodes_list, 0},
    {"POST", "/api/v1/node/register", api_nodes_register, 0},
    {"GET", "/api/v1/node/{id}", api_nodes_get, 0},
    {"DELETE", "/api/v1/node/{id}", api_nodes_delete, 0},
    {"POST", "/api/v1/node/{id}/expire", api_nodes_expire, API_BODY_MAX},
    {"POST", "/api/v1/node/{id}/rename/{name}", api_nodes_rename, 0},
    {"POST", "/api/v1/node/{id}/tags", api_nodes_tags, API_BODY_MAX},
    {"POST", "/api/v1/node/{id}/approve_routes", api_nodes_approve_routes, API_BODY_MAX},
    {"GET", "/api/v1/preauthkey", api_auth_keys_list, 0},
    {"POST", "/api/v1/preauthkey", api_auth_keys_create, API_BODY_MAX},
    {"POST", "/api/v1/preauthkey/expire", api_auth_keys_expire, API_BODY_MAX},
    {"DELETE", "/api/v1/preauthkey", api_auth_keys_delete, 0},
    {"POST", "/api/v1/auth/register", api_auth_register, API_BODY_MAX},
    {"POST", "/api/v1/auth/reject", api_auth_reject, API_BODY_MAX},
    {"POST", "/api/v1/auth/approve", api_auth_approve, API_BODY_MAX},
    {"GET", "/api/v1/ssh/check", api_ssh_checks_list, 0},
    {"POST", "/api/v1/ssh/check/{id}/approve", api_ssh_checks_approve, API_BODY_MAX},
    {"POST", "/api/v1/ssh/check/{id}/reject", api_ssh_checks_reject, API_BODY_MAX},
    {"GET", "/api/v1/tailnet", api_tailnets_list, 0},
    {"POST", "/api/v1/tailnet", api_tailnets_create, API_BODY_MAX},
    {"GET", "/api/v1/policy", api_policy_get, 0},
    {"PUT", "/api/v1/policy", api_policy_set, API_POLICY_BODY_MAX},
    {"POST", "/api/v1/policy/check", api_policy_check, API_POLICY_BODY_MAX},
    {"POST", "/api/v1/policy/diff", api_policy_diff, API_POLICY_BODY_MAX},
    {"GET", "/api/v1/policy/explain", api_policy_explain, 0},
    {"GET", "/api/v1/health", api_health, 0},
    {"GET", "/version", on_version, 0},
    {"GET", "/metrics", on_metrics, 0},
};

const struct http_route *api_routes(size_t *n)
{
    *n = ARRAY_LEN(routes);
    return routes;
}

struct api *api_new(const struct api_options *options)
{
    struct api *api = NEW(struct api);
    char *version = str_dup(str_from(options->version));
    struct err err = {0};

    api->control = options->control;
    api->version = str_from(version);
    api->policy_from_file = options->policy_from_file;
    if (worker_pool_new(1, &api->pool, &err) < 0)
        log_event(LOG_WARN, "policies are judged on the network's threads", LOG_ERR(&err));
    return api;
}

void api_stop(struct api *api)
{
    if (!api)
        return;
    worker_pool_free(api->pool);
    api->pool = NULL;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    api_stop(api);
    str_free(&api->version);
    mem_free(api);
}
