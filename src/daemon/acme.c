/*
 * Certificates that come by themselves: the authority's challenges are answered on the main port
 * (TLS-ALPN-01) or on one of its own, which sends everybody else to the server's URL.
 */

#include "acme/acme.h"

#include "daemon/daemon_internal.h"

#define PLAIN_STREAMS_MAX 1024

int server_load_acme(struct server *s, struct str extra_der, struct err *err)
{
    const struct config_acme *c = &s->config->acme;
    const struct acme_options options = {
        .dir = c->dir,
        .directory_url = c->url,
        .ca_file = c->ca_file,
        .email = c->email,
        .names = &c->host,
        .n_names = 1,
        .http_01 = !c->tls_alpn_01,
        .tls_alpn_01 = c->tls_alpn_01,
        .extra_der = extra_der,
    };

    if (acme_new(&options, &s->acme, err) < 0)
        return err_wrap(err, "tls_letsencrypt_hostname");
    s->tls = tls_server_ref(acme_tls(s->acme));
    return 0;
}

/* ---- The port for HTTP-01 ---- */

static void on_challenge(void *user, struct http_exchange *x, const struct http_request *req)
{
    acme_answer_challenge(((struct server *)user)->acme, x, http_param_get(req, STR("token")));
}

/* Path and query are as they came: the exchange makes line ends in them harmless. */
static void on_plain(void *user, struct http_exchange *x, const struct http_request *req)
{
    AUTO_FINI(buf_fini) struct buf to = BUF((size_t)64 << 10);
    const struct server *s = user;

    if (!str_eq(req->method, STR("GET")) && !str_eq(req->method, STR("HEAD"))) {
        http_respond_text(x, 400, "Use HTTPS");
        return;
    }
    buf_put(&to, s->config->server_url);
    if (str_starts(req->path, STR("/")))
        buf_put(&to, req->path);
    if (req->query.len > 0)
        buf_printf(&to, "?%.*s", STR_ARG(req->query));
    http_add_header(x, STR("location"), buf_str(&to));
    http_respond(x, 302, NULL, STR_NONE);
}

static void on_accept(void *user, struct stream *stream)
{
    http_serve(((struct server *)user)->plain, stream, NULL, NULL);
}

static int open_plain(struct server *s, struct err *err)
{
    static const struct http_route routes[] = {
        {"GET", ACME_CHALLENGE_PATH, on_challenge, 0},
        {"*", "/*", on_plain, 0},
    };
    const struct http_server_options server = {
        .routes = routes, .n_routes = ARRAY_LEN(routes), .user = s};
    const struct listener_options options = {.addr = s->config->acme.listen,
                                             .max_streams = PLAIN_STREAMS_MAX,
                                             .on_accept = on_accept,
                                             .user = s};

    s->plain = http_server_new(&server);
    if (listener_open_each(s->loops, 1, &options, &s->plain_listener, err) < 0)
        return err_wrap(err, "HTTP-01 (tls_letsencrypt_listen)");
    return 0;
}

int server_start_acme(struct server *s, struct err *err)
{
    if (!s->acme)
        return 0;
    if (!s->config->acme.tls_alpn_01 && open_plain(s, err) < 0)
        return -(int)err->code;
    acme_start(s->acme, s->loops[0], s->pool);
    return 0;
}
