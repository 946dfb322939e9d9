/* The API's life, its doors, and what it says of the server itself. */

#include "api/api_internal.h"
#include "api/events.h"

#include "control/watching.h"
#include "core/build.h"
#include "core/log.h"

/* headscale's release whose API this is; consoles decide by it what they may ask for. */
#define SPEAKS_LIKE "v0.30.0-hatsize."

void api_put_version(struct buf *out, const char *version)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_key(&w, STR("version"));
    json_begin_plain(&w);
    buf_printf(out, SPEAKS_LIKE "%s", version);
    json_end_plain(&w);
    json_field_str(&w, STR("commit"), str_from(build_info.commit));
    json_field_str(&w, STR("buildTime"), str_from(build_info.time));
    json_field_object(&w, STR("go"));
    json_field_str(&w, STR("version"), STR("none"));
    json_field_str(&w, STR("os"), STR("linux"));
    json_field_str(&w, STR("arch"), STR(BUILD_ARCH));
    json_end_object(&w);
    json_field_bool(&w, STR("dirty"), build_info.dirty);
    json_field_str(&w, STR("server"), STR("hatsize"));
    json_field_str(&w, STR("hatsizeVersion"), str_from(version));
    json_end_object(&w);
}

void api_version(struct api_call *c)
{
    struct buf body = BUF(1024);

    api_put_version(&body, c->api->version.ptr);
    api_respond(c, &body);
}

/* Answers later, and by itself. */
void api_metrics(struct api_call *c)
{
    struct control *control = c->api->control;
    struct http_exchange *x = c->a->x;
    const struct http_request *req = c->a->req;

    api_end(c);
    control_on_metrics(control, x, req);
}

/* ---- Doors ---- */

const struct http_route *api_routes(const struct api *api, enum api_door door, size_t *n)
{
    *n = api->n_routes[door];
    return api->routes[door];
}

static void make_routes(struct api *api, enum api_door door)
{
    static const struct http_route nobody_serves[] = {{"*", "/api/v1/*", api_serve, 0},
                                                      {"*", "/api/v2/*", api_serve, 0}};
    size_t n_v1 = 0, n_v2 = 0, n = 0;
    const struct api_operation *v1 = api_operations(API_V1, &n_v1);
    const struct api_operation *v2 = api_operations(API_V2, &n_v2);
    struct http_route *routes =
        mem_alloc_array(n_v1 + n_v2 + ARRAY_LEN(nobody_serves), sizeof(*routes));

    for (size_t i = 0; i < n_v1 + n_v2; i++) {
        const struct api_operation *op = i < n_v1 ? &v1[i] : &v2[i - n_v1];

        if (door == API_DOOR_SOCKET || !op->socket_only)
            routes[n++] = (struct http_route){.method = op->method,
                                              .pattern = op->pattern,
                                              .handler = api_serve,
                                              .max_body = op->max_body};
    }
    for (size_t i = 0; i < ARRAY_LEN(nobody_serves); i++)
        routes[n++] = nobody_serves[i];
    api->routes[door] = routes;
    api->n_routes[door] = n;
}

/* ---- Life ---- */

struct api *api_new(const struct api_options *options)
{
    struct api *api = NEW(struct api);
    char *version = str_dup(str_from(options->version));
    struct err err = {0};

    api->control = options->control;
    guard_init(&api->guard);
    api->version = str_from(version);
    api->policy_from_file = options->policy_from_file;
    str_list_copy(&api->origins, &options->origins);
    api->server_url = str_copy(options->server_url);
    api->events = events_new(options->control);
    make_routes(api, API_DOOR_SOCKET);
    make_routes(api, API_DOOR_NETWORK);
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

struct worker_pool *api_pool(const struct api *api)
{
    return api->pool;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    api_stop(api);
    mem_free(api->routes[API_DOOR_SOCKET]);
    mem_free(api->routes[API_DOOR_NETWORK]);
    str_list_free(&api->origins);
    str_free(&api->server_url);
    events_free(api->events);
    str_free(&api->version);
    mem_free(api);
}
