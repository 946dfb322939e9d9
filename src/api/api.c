/* The API's life, its doors, and what it says of the server itself. */

#include "api/api_internal.h"

#include "control/watching.h"
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
    json_field_str(&w, STR("commit"), STR("none"));
    json_field_str(&w, STR("buildTime"), STR("unknown"));
    json_field_object(&w, STR("go"));
    json_field_str(&w, STR("version"), STR("none"));
    json_field_str(&w, STR("os"), STR("linux"));
    json_field_str(&w, STR("arch"), STR("none"));
    json_end_object(&w);
    json_field_bool(&w, STR("dirty"), false);
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
    static const struct http_route nobody_serves[] = {{"*", "/api/v1/*", api_serve, 0}};
    size_t n_ops = 0, n = 0;
    const struct api_operation *ops = api_operations(&n_ops);
    struct http_route *routes = mem_alloc_array(n_ops + ARRAY_LEN(nobody_serves), sizeof(*routes));

    for (size_t i = 0; i < n_ops; i++)
        if (door == API_DOOR_SOCKET || !ops[i].socket_only)
            routes[n++] = (struct http_route){.method = ops[i].method,
                                              .pattern = ops[i].pattern,
                                              .handler = api_serve,
                                              .max_body = ops[i].max_body};
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
    api->version = str_from(version);
    api->policy_from_file = options->policy_from_file;
    str_list_copy(&api->origins, &options->origins);
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

void api_free(struct api *api)
{
    if (!api)
        return;
    api_stop(api);
    mem_free(api->routes[API_DOOR_SOCKET]);
    mem_free(api->routes[API_DOOR_NETWORK]);
    str_list_free(&api->origins);
    str_free(&api->version);
    mem_free(api);
}
