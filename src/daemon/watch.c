/* The operators' listener: figures for everybody who reaches it, debug pages for this machine. */

#include "control/watching.h"
#include "daemon/daemon_internal.h"
#include "http/local.h"

#define WATCH_STREAMS_MAX 256

static void on_metrics(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_metrics(((struct server *)user)->control, x, req);
}

static void on_varz(void *user, struct http_exchange *x, const struct http_request *req)
{
    if (!http_refuse_stranger(x, req))
        on_metrics(user, x, req);
}

static void on_netmap(void *user, struct http_exchange *x, const struct http_request *req)
{
    if (!http_refuse_stranger(x, req))
        control_on_debug_netmap(((struct server *)user)->control, x, req);
}

static void on_debug(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)user;
    if (!http_refuse_stranger(x, req))
        http_respond(x, 200, "text/plain; charset=utf-8",
                     STR("hatsize " HATSIZE_VERSION "\n\n"
                         "/debug/overview   nodes, users, policy and relays in figures\n"
                         "/debug/config     the configuration in force, without secrets\n"
                         "/debug/policy     the policy as its author wrote it\n"
                         "/debug/routes     who announces and who serves which route\n"
                         "/debug/derp       the relay map\n"
                         "/debug/nodestore  all nodes\n"
                         "/debug/batcher    who is connected\n"
                         "/debug/netmap     map streams, tailnet by tailnet and loop by loop\n"
                         "/debug/varz       the same as /metrics\n"));
}

static void on_config(void *user, struct http_exchange *x, const struct http_request *req)
{
    const struct server *s = user;
    AUTO_FINI(buf_fini) struct buf body = BUF((size_t)4 << 20);

    if (http_refuse_stranger(x, req))
        return;
    config_put(&body, s->config);
    http_respond(x, 200, "text/plain; charset=utf-8", buf_str(&body));
}

/* What is not there is no stranger's business either. */
static void on_other(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)user;
    if (!http_refuse_stranger(x, req))
        http_respond_text(x, 404, "404 page not found");
}

static struct http_server *watch_server_new(struct server *s)
{
    static const struct http_route routes[] = {
        {"GET", "/metrics", on_metrics, 0},
        {"GET", "/debug", on_debug, 0},
        {"GET", "/debug/", on_debug, 0},
        {"GET", "/debug/netmap", on_netmap, 0},
        {"GET", "/debug/varz", on_varz, 0},
        {"GET", "/debug/config", on_config, 0},
        {"GET", "/debug/overview", debug_on_page, 0},
        {"GET", "/debug/policy", debug_on_page, 0},
        {"GET", "/debug/routes", debug_on_page, 0},
        {"GET", "/debug/derp", debug_on_page, 0},
        {"GET", "/debug/nodestore", debug_on_page, 0},
        {"GET", "/debug/batcher", debug_on_page, 0},
        {"*", "/debug/*", on_other, 0},
    };
    const struct http_server_options options = {
        .routes = routes, .n_routes = ARRAY_LEN(routes), .user = s};

    return http_server_new(&options);
}

static void on_accept(void *user, struct stream *stream)
{
    struct server *s = user;

    http_serve(s->watch, stream, NULL, NULL);
}

int server_open_watch(struct server *s, struct err *err)
{
    const struct listener_options options = {.addr = s->config->metrics_listen,
                                             .max_streams = WATCH_STREAMS_MAX,
                                             .on_accept = on_accept,
                                             .user = s};

    if (options.addr.addr.family == IP_NONE)
        return 0;
    s->watch = watch_server_new(s);
    if (listener_open_each(s->loops, 1, &options, &s->watch_listener, err) < 0)
        return err_wrap(err, "metrics (metrics_listen_addr)");
    return 0;
}
