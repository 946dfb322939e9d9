/* The router of the main port: what a stranger may ask. */

#include "auth/pages.h"
#include "daemon/daemon_internal.h"
#include "http/body_limit.h"

#define STRANGER_BODY_MAX 4096

static void on_key(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_key(((struct server *)user)->control, x, req);
}

static void on_ts2021(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_ts2021(((struct server *)user)->control, x, req);
}

static void on_health(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_health(((struct server *)user)->control, x, req);
}

static void on_register_page(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_register_page(((struct server *)user)->control, x, req);
}

static void on_check_page(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_check_page(((struct server *)user)->control, x, req);
}

static void on_session_page(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_session_page(((struct server *)user)->control, x, req);
}

static void on_session_confirm(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_session_confirm(((struct server *)user)->control, x, req);
}

static void on_invite_page(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_invite_page(((struct server *)user)->control, x, req);
}

static void on_invite_confirm(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_invite_confirm(((struct server *)user)->control, x, req);
}

static void on_login_back(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_login_back(((struct server *)user)->control, x, req);
}

static void on_register_confirm(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_register_confirm(((struct server *)user)->control, x, req);
}

static void on_check_confirm(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_check_confirm(((struct server *)user)->control, x, req);
}

static void on_ping_response(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_ping_response(((struct server *)user)->control, x, req);
}

static void on_openid_configuration(void *user, struct http_exchange *x,
                                    const struct http_request *req)
{
    (void)req;
    control_on_openid_configuration(((struct server *)user)->control, x);
}

static void on_jwks(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)req;
    control_on_jwks(((struct server *)user)->control, x);
}

/* ---- How to point a client here ---- */

static void on_apple(void *user, struct http_exchange *x, const struct http_request *req)
{
    const struct server *s = user;
    struct buf page = BUF(PAGE_MAX);

    (void)req;
    page_apple(&page, s->config->server_url);
    http_respond(x, 200, PAGE_TYPE, buf_str(&page));
    buf_fini(&page);
}

static void on_apple_profile(void *user, struct http_exchange *x, const struct http_request *req)
{
    const struct server *s = user;
    struct buf profile = BUF(PAGE_MAX);

    if (page_apple_profile(&profile, http_param_get(req, STR("platform")), s->config->server_url))
        http_respond(x, 200, PROFILE_TYPE, buf_str(&profile));
    else
        http_respond_text(x, 400, "platform must be ios, macos-app-store or macos-standalone");
    buf_fini(&profile);
}

static void on_windows(void *user, struct http_exchange *x, const struct http_request *req)
{
    const struct server *s = user;
    struct buf page = BUF(PAGE_MAX);

    (void)req;
    page_windows(&page, s->config->server_url);
    http_respond(x, 200, PAGE_TYPE, buf_str(&page));
    buf_fini(&page);
}

static void on_verify(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_verify(((struct server *)user)->control, x, req);
}

static void on_version(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct buf body = BUF(1024);

    (void)user;
    (void)req;
    api_put_version(&body, HATSIZE_VERSION);
    buf_put_char(&body, '\n');
    http_respond(x, 200, "application/json", buf_str(&body));
    buf_fini(&body);
}

static void on_robots(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)user;
    (void)req;
    http_respond(x, 200, "text/plain", STR("User-agent: *\nDisallow: /\n"));
}

static void on_root(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)user;
    (void)req;
    http_respond(x, 200, "text/html; charset=utf-8", STR("<!doctype html>\n<title></title>\n"));
}

/* The relay's pages exist only while it is on. */
#define RELAY_HANDLER(name)                                                                    \
    static void on_##name(void *user, struct http_exchange *x, const struct http_request *req) \
    {                                                                                          \
        struct server *s = user;                                                               \
                                                                                               \
        if (s->derp)                                                                           \
            derp_http_##name(s->derp, x, req);                                                 \
        else                                                                                   \
            http_respond_text(x, 404, "404 page not found");                                   \
    }                                                                                          \
    struct relay_handler_##name##_needs_semicolon

RELAY_HANDLER(upgrade);
RELAY_HANDLER(probe);
RELAY_HANDLER(generate_204);
RELAY_HANDLER(bootstrap_dns);

static void on_api(void *user, struct http_exchange *x, const struct http_request *req)
{
    api_serve(((struct server *)user)->api, x, req);
}

static const struct http_route routes[] = {
    {"GET", "/key", on_key, 0},
    {"*", "/ts2021", on_ts2021, STRANGER_BODY_MAX},
    {"GET", "/health", on_health, 0},
    {"GET", "/version", on_version, 0},
    {"GET", "/register/{id}", on_register_page, 0},
    {"GET", "/auth/{id}", on_check_page, 0},
    {"GET", "/login", on_session_page, 0},
    {"POST", "/login/confirm", on_session_confirm, STRANGER_BODY_MAX},
    {"GET", "/invite/{secret}", on_invite_page, 0},
    {"POST", "/invite/confirm", on_invite_confirm, STRANGER_BODY_MAX},
    {"GET", "/oidc/callback", on_login_back, 0},
    {"POST", "/register/confirm/{id}", on_register_confirm, STRANGER_BODY_MAX},
    {"POST", "/auth/confirm/{id}", on_check_confirm, STRANGER_BODY_MAX},
    {"GET", "/.well-known/openid-configuration", on_openid_configuration, 0},
    {"GET", "/.well-known/jwks.json", on_jwks, 0},
    {"GET", "/apple", on_apple, 0},
    {"GET", "/apple/{platform}", on_apple_profile, 0},
    {"GET", "/windows", on_windows, 0},
    {"POST", "/verify", on_verify, STRANGER_BODY_MAX},
    {"*", "/machine/ping-response", on_ping_response, STRANGER_BODY_MAX},
    {"*", "/derp", on_upgrade, STRANGER_BODY_MAX},
    {"*", "/derp/probe", on_probe, STRANGER_BODY_MAX},
    {"*", "/derp/latency-check", on_probe, STRANGER_BODY_MAX},
    {"GET", "/generate_204", on_generate_204, 0},
    {"GET", "/bootstrap-dns", on_bootstrap_dns, 0},
    {"GET", "/robots.txt", on_robots, 0},
    {"GET", "/", on_root, 0},
};

static const struct http_header headers[] = {
    {STR_INIT("x-frame-options"), STR_INIT("DENY")},
    {STR_INIT("content-security-policy"), STR_INIT(PAGE_CSP)},
    {STR_INIT("x-content-type-options"), STR_INIT("nosniff")},
    {STR_INIT("referrer-policy"), STR_INIT("no-referrer")},
};

static size_t body_limit(void *user, const struct http_request *req, const struct http_route *route)
{
    return route->handler == on_api ? api_body_limit(((struct server *)user)->api, req) : SIZE_MAX;
}

/* The strangers' routes, and behind them the API's, which asks for keys itself. */
static size_t make_routes(struct server *s)
{
    size_t n = 0;
    const struct http_route *of_api = api_routes(s->api, API_DOOR_NETWORK, &n);

    s->outer_routes = mem_alloc_array(ARRAY_LEN(routes) + n, sizeof(*s->outer_routes));
    memcpy(s->outer_routes, routes, sizeof(routes));
    for (size_t i = 0; i < n; i++) {
        s->outer_routes[ARRAY_LEN(routes) + i] = of_api[i];
        s->outer_routes[ARRAY_LEN(routes) + i].handler = on_api;
    }
    return ARRAY_LEN(routes) + n;
}

struct http_server *outer_server_new(struct server *s)
{
    size_t n = make_routes(s);
    const struct http_server_options options = {.routes = s->outer_routes,
                                                .n_routes = n,
                                                .user = s,
                                                .observed = true,
                                                .proxies = s->config->trusted_proxies,
                                                .n_proxies = s->config->n_trusted_proxies,
                                                .tls = s->tls,
                                                .headers = headers,
                                                .n_headers = ARRAY_LEN(headers)};

    struct http_server *server = http_server_new(&options);
    http_server_set_body_limit(server, body_limit);
    return server;
}
