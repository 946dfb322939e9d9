/*
 * gRPC's two doors: the Unix socket, where it stands beside REST (the first bytes tell HTTP/2 from
 * HTTP/1), and a port of its own.
 *
 * The port is open where headscale's was: with a certificate that clients know, or when the
 * configuration says that it may be without. With a certificate a key that comes in the clear is
 * refused.
 */

#include "core/log.h"
#include "core/mem.h"
#include "daemon/daemon_internal.h"
#include "http/body_limit.h"
#include "http/door.h"

/* ---- The Unix socket ---- */

static void on_local_api(void *user, struct http_exchange *x, const struct http_request *req)
{
    api_serve(((struct server *)user)->api, x, req);
}

static void on_local_grpc(void *user, struct http_exchange *x, const struct http_request *req)
{
    grpc_serve(((struct server *)user)->grpc, x, req);
}

struct http_server *local_server_new(struct server *s)
{
    size_t n_api = 0, n_grpc = 0;
    const struct http_route *api = api_routes(s->api, API_DOOR_SOCKET, &n_api);
    const struct http_route *grpc = grpc_routes(s->grpc, API_DOOR_SOCKET, &n_grpc);
    struct http_route *routes = mem_alloc_array(n_api + n_grpc, sizeof(*routes));

    for (size_t i = 0; i < n_api + n_grpc; i++) {
        routes[i] = i < n_api ? api[i] : grpc[i - n_api];
        routes[i].handler = i < n_api ? on_local_api : on_local_grpc;
    }
    s->local_routes = routes;
    return http_server_new(
        &(struct http_server_options){.routes = routes, .n_routes = n_api + n_grpc, .user = s});
}

/* ---- The port ---- */

static bool has_certificate(const struct config *c)
{
    return c->tls_cert_path.len > 0 || c->acme.host.len > 0;
}

static void on_grpc(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct server *s = user;

    if (!req->is_tls && !s->config->grpc_allow_insecure)
        http_respond_text(x, 403, "this port wants TLS");
    else
        grpc_serve(s->grpc, x, req);
}

static size_t body_limit(void *user, const struct http_request *req, const struct http_route *route)
{
    (void)route;
    return api_body_limit(((struct server *)user)->api, req);
}

static struct http_server *network_server_new(struct server *s)
{
    size_t n = 0;
    const struct http_route *of_grpc = grpc_routes(s->grpc, API_DOOR_NETWORK, &n);
    struct http_route *routes = mem_alloc_array(n, sizeof(*routes));

    for (size_t i = 0; i < n; i++) {
        routes[i] = of_grpc[i];
        routes[i].handler = on_grpc;
    }
    s->grpc_routes = routes;
    struct http_server *server = http_server_new(
        &(struct http_server_options){.routes = routes,
                                      .n_routes = n,
                                      .user = s,
                                      .proxies = s->config->trusted_proxies,
                                      .n_proxies = s->config->n_trusted_proxies,
                                      .tls = has_certificate(s->config) ? s->tls : NULL,
                                      .tls_h2 = true});

    http_server_set_body_limit(server, body_limit);
    return server;
}

static void on_accept(void *user, struct stream *stream)
{
    struct server *s = user;

    IGNORE(door_enter_paced(s->door, s->grpc_server, stream));
}

/* Who did not ask for the port is not kept from starting by somebody else who has it. */
static int not_opened(struct server *s, struct err *err)
{
    if (s->config->grpc_is_asked_for)
        return err_wrap(err, "gRPC (grpc_listen_addr)");
    log_event(LOG_WARN, "gRPC is not served on the network: set grpc_listen_addr", LOG_ERR(err));
    return 0;
}

int server_open_grpc(struct server *s, struct err *err)
{
    const struct listener_options options =
        server_network_port(s, s->config->grpc_listen, on_accept);
    struct buf addr = BUF(256);

    if (options.addr.addr.family == IP_NONE ||
        (!has_certificate(s->config) && !s->config->grpc_allow_insecure))
        return 0;
    s->grpc_server = network_server_new(s);
    if (listener_open_each(s->loops, s->n_loops, &options, s->grpc_listeners, err) < 0)
        return not_opened(s, err);
    ip_addrport_put(&addr, listener_addr(s->grpc_listeners[0]));
    log_event(LOG_INFO, "serving gRPC", LOG_STR("listen", buf_str(&addr)),
              LOG_BOOL("tls", has_certificate(s->config)));
    buf_fini(&addr);
    return 0;
}
