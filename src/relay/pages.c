/* The relay's pages: what a stranger may see, and behind them what only this machine may. */

#include "core/clock.h"
#include "core/mem.h"
#include "core/metric.h"
#include "http/local.h"
#include "relay/relay_internal.h"

#define BODY_MAX 4096

/* ---- For everybody ---- */

#define RELAY_PAGE(name)                                                                       \
    static void on_##name(void *user, struct http_exchange *x, const struct http_request *req) \
    {                                                                                          \
        derp_http_##name(((struct relay *)user)->derp, x, req);                                \
    }                                                                                          \
    struct relay_page_##name##_needs_semicolon

RELAY_PAGE(probe);
RELAY_PAGE(generate_204);
RELAY_PAGE(robots);

static void on_derp(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct relay *r = user;

    if (r->o->derp)
        derp_http_upgrade(r->derp, x, req);
    else
        http_respond_text(x, 404, "derp server disabled");
}

static void on_bootstrap(void *user, struct http_exchange *x, const struct http_request *req)
{
    bootstrap_answer(((struct relay *)user)->bootstrap, x, req);
}

static void on_home(void *user, struct http_exchange *x, const struct http_request *req)
{
    const struct relay *r = user;

    (void)req;
    if (str_eq(r->o->home, STR("blank"))) {
        http_respond(x, 200, "text/html; charset=utf-8", STR_NONE);
        return;
    }
    if (r->o->home.len > 0) {
        http_add_header(x, STR("location"), r->o->home);
        http_respond(x, 302, NULL, STR_NONE);
        return;
    }
    http_respond(x, 200, "text/html; charset=utf-8",
                 STR("<!doctype html>\n<title>DERP</title>\n<h1>DERP</h1>\n"
                     "<p>This is a relay for the nodes of private networks. What it carries is "
                     "encrypted from end to end.</p>\n"));
}

/* ---- For this machine ---- */

static void on_metrics(void *user, struct http_exchange *x, const struct http_request *req)
{
    AUTO_FINI(buf_fini) struct buf out = BUF((size_t)1 << 20);

    (void)user;
    if (http_refuse_stranger(x, req))
        return;
    derp_put_metrics(&out);
    metric_put_all(&out);
    http_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&out));
}

static void on_debug(void *user, struct http_exchange *x, const struct http_request *req)
{
    AUTO_FINI(buf_fini) struct buf out = BUF((size_t)64 << 10);
    const struct relay *r = user;

    if (http_refuse_stranger(x, req))
        return;
    buf_printf(&out, "hatsize-derp " HATSIZE_VERSION "\nup %lld s, %zu loops\n",
               (long long)((clock_mono_ms() - r->started_ms) / 1000), r->n_loops);
    buf_printf(&out, "TLS hostname: %.*s\nmesh key: %s\nclients: %zu\n", STR_ARG(r->o->hostname),
               r->has_mesh_key ? "true" : "false", derp_server_clients(r->derp));
    buf_put(&out, STR("metrics: /debug/varz or /metrics\n"));
    http_respond(x, 200, "text/plain; charset=utf-8", buf_str(&out));
}

static const struct http_header headers[] = {
    {STR_INIT("x-frame-options"), STR_INIT("DENY")},
    {STR_INIT("content-security-policy"), STR_INIT("default-src 'none'; frame-ancestors 'none'")},
    {STR_INIT("x-content-type-options"), STR_INIT("nosniff")},
    {STR_INIT("referrer-policy"), STR_INIT("no-referrer")},
};

struct http_server *relay_main_server(struct relay *r)
{
    static const struct http_route routes[] = {
        {"*", "/derp", on_derp, BODY_MAX},
        {"*", "/derp/probe", on_probe, BODY_MAX},
        {"*", "/derp/latency-check", on_probe, BODY_MAX},
        {"*", "/generate_204", on_generate_204, BODY_MAX},
        {"GET", "/bootstrap-dns", on_bootstrap, 0},
        {"GET", "/robots.txt", on_robots, 0},
        {"GET", "/", on_home, 0},
        {"GET", "/debug", on_debug, 0},
        {"GET", "/debug/", on_debug, 0},
        {"GET", "/debug/varz", on_metrics, 0},
        {"GET", "/metrics", on_metrics, 0},
    };
    const struct http_server_options options = {.routes = routes,
                                                .n_routes = ARRAY_LEN(routes),
                                                .user = r,
                                                .tls = r->tls,
                                                .headers = headers,
                                                .n_headers = ARRAY_LEN(headers)};

    return http_server_new(&options);
}

/* ---- Beside HTTPS ---- */

/* What may come after "https://": nothing that could be something else than a host. */
static bool is_host(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-' && c != '.' && c != ':' && c != '[' && c != ']')
            return false;
    }
    return s.len > 0 && s.len < 300;
}

static struct str without_port(struct str authority)
{
    ptrdiff_t colon = str_rfind_char(authority, ':'), bracket = str_rfind_char(authority, ']');

    return colon > bracket ? str_sub(authority, 0, (size_t)colon) : authority;
}

static void on_plain(void *user, struct http_exchange *x, const struct http_request *req)
{
    AUTO_FINI(buf_fini) struct buf to = BUF((size_t)64 << 10);
    const struct relay *r = user;
    bool is_get = str_eq(req->method, STR("GET")) || str_eq(req->method, STR("HEAD"));

    if (!is_get || !is_host(req->authority)) {
        http_respond_text(x, 400, "Use HTTPS");
        return;
    }
    buf_put(&to, STR("https://"));
    buf_put(&to, without_port(req->authority));
    if (r->bound.port != 443)
        buf_printf(&to, ":%u", (unsigned)r->bound.port);
    buf_put(&to, req->path);
    if (req->query.len > 0)
        buf_printf(&to, "?%.*s", STR_ARG(req->query));
    http_add_header(x, STR("location"), buf_str(&to));
    http_respond(x, 302, NULL, STR_NONE);
}

static void on_challenge(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct relay *r = user;

    if (r->acme)
        acme_answer_challenge(r->acme, x, http_param_get(req, STR("token")));
    else
        on_plain(user, x, req);
}

struct http_server *relay_plain_server(struct relay *r)
{
    static const struct http_route routes[] = {
        {"*", "/generate_204", on_generate_204, BODY_MAX},
        {"GET", ACME_CHALLENGE_PATH, on_challenge, 0},
        {"*", "/*", on_plain, BODY_MAX},
    };
    const struct http_server_options options = {.routes = routes,
                                                .n_routes = ARRAY_LEN(routes),
                                                .user = r,
                                                .headers = headers,
                                                .n_headers = ARRAY_LEN(headers)};

    return http_server_new(&options);
}
