/* The relay's HTTP: how a client gets in, and the small pages by which clients probe networks. */

#include "derp/server_internal.h"
#include "json/writer.h"

#define CHALLENGE_MAX 64

/* ---- /derp ---- */

static void refuse(struct http_exchange *x)
{
    http_add_header(x, STR("upgrade"), STR("DERP"));
    http_add_header(x, STR("connection"), STR("upgrade"));
    http_respond_text(x, 426,
                      "DERP requires connection upgrade\n"
                      "This is a relay for nodes of a private network, not a web page.");
}

static struct stream *upgrade_plain(struct derp_server *s, struct http_exchange *x,
                                    const struct http_request *req)
{
    AUTO_FINI(buf_fini) struct buf hex = BUF(2 * KEY_BYTES);
    bool is_fast = str_eq(http_header_get(req, STR("derp-fast-start")), STR("1"));

    if (!is_fast) {
        buf_put_hex(&hex, node_key_str(&s->public_key));
        http_add_header(x, STR("derp-version"), STR("2"));
        http_add_header(x, STR("derp-public-key"), buf_str(&hex));
    }
    return http_upgrade(x, "DERP", is_fast);
}

void derp_http_upgrade(struct derp_server *s, struct http_exchange *x,
                       const struct http_request *req)
{
    struct str upgrade = http_header_get(req, STR("upgrade"));
    struct stream *stream = NULL;
    /* By POST comes tailscale-rs. */
    bool is_fit = str_eq(req->method, STR("GET")) || str_eq(req->method, STR("POST"));

    if (req->version != 1 || !is_fit ||
        (!str_eq_nocase(upgrade, STR("derp")) && !str_eq_nocase(upgrade, STR("websocket")))) {
        refuse(x);
        return;
    }
    /* A WebSocket that does not name the subprotocol is an old client's way to ask for plain DERP.
     */
    if (http_is_websocket(req, "derp"))
        stream = http_upgrade_websocket(x, "derp");
    else
        stream = upgrade_plain(s, x, req);
    if (stream)
        derp_server_accept(s, stream);
    else
        http_respond_text(x, 400, "this connection cannot be upgraded");
}

/* ---- Probes ---- */

static bool is_get(const struct http_request *req)
{
    return str_eq(req->method, STR("GET")) || str_eq(req->method, STR("HEAD"));
}

static bool refuse_other_methods(struct http_exchange *x, const struct http_request *req)
{
    if (is_get(req))
        return false;
    http_add_header(x, STR("allow"), STR("GET, HEAD"));
    http_respond_text(x, 405, "bogus probe method");
    return true;
}

void derp_http_probe(struct derp_server *s, struct http_exchange *x, const struct http_request *req)
{
    (void)s;
    if (refuse_other_methods(x, req))
        return;
    http_add_header(x, STR("access-control-allow-origin"), STR("*"));
    http_respond(x, 200, NULL, STR_NONE);
}

/* What may be echoed into a header. */
static bool is_challenge(struct str s)
{
    if (s.len == 0 || s.len > CHALLENGE_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i];

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z') && !(ch >= '0' && ch <= '9') &&
            ch != '.' && ch != '-' && ch != '_' && ch != ':')
            return false;
    }
    return true;
}

void derp_http_generate_204(struct derp_server *s, struct http_exchange *x,
                            const struct http_request *req)
{
    AUTO_FINI(buf_fini) struct buf answer = BUF(128);
    struct str challenge = http_header_get(req, STR("x-tailscale-challenge"));

    (void)s;
    if (refuse_other_methods(x, req))
        return;
    if (is_challenge(challenge)) {
        buf_printf(&answer, "response %.*s", STR_ARG(challenge));
        http_add_header(x, STR("x-tailscale-response"), buf_str(&answer));
    }
    http_add_header(x, STR("cache-control"), STR("no-cache, no-store, must-revalidate, max-age=0"));
    http_respond(x, 204, NULL, STR_NONE);
}

void derp_http_robots(struct derp_server *s, struct http_exchange *x,
                      const struct http_request *req)
{
    (void)s;
    if (!refuse_other_methods(x, req))
        http_respond(x, 200, "text/plain; charset=utf-8", STR("User-agent: *\nDisallow: /\n"));
}

/* ---- /bootstrap-dns ---- */

void derp_http_bootstrap_dns(struct derp_server *s, struct http_exchange *x,
                             const struct http_request *req)
{
    AUTO_FINI(buf_fini) struct buf body = BUF((size_t)1 << 20);
    struct json_writer w = JSON_WRITER(&body);
    struct str name = STR_NONE;

    if (refuse_other_methods(x, req))
        return;
    bool has_name = http_query_get(x, STR("q"), &name) && name.len > 0;

    json_begin_object(&w);
    for (size_t i = 0; i < s->n_bootstrap; i++)
        if (!has_name || str_eq_nocase(s->bootstrap[i].name, name))
            json_field_raw(&w, s->bootstrap[i].name, s->bootstrap[i].addrs_json);
    json_end_object(&w);
    http_add_header(x, STR("connection"), STR("close"));
    http_respond(x, 200, "application/json", buf_str(&body));
}

static struct str addrs_json(const struct derp_bootstrap_host *host)
{
    struct buf out = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_array(&w);
    for (size_t i = 0; i < host->n_addrs; i++) {
        json_begin_plain(&w);
        ip_addr_put(&out, host->addrs[i]);
        json_end_plain(&w);
    }
    json_end_array(&w);
    return buf_take(&out);
}

void pages_init(struct derp_server *s, const struct derp_bootstrap_host *hosts, size_t n)
{
    s->bootstrap = mem_alloc_array(n, sizeof(*s->bootstrap));
    s->n_bootstrap = n;
    for (size_t i = 0; i < n; i++)
        s->bootstrap[i] = (struct bootstrap){str_copy(hosts[i].name), addrs_json(&hosts[i])};
}

void pages_fini(struct derp_server *s)
{
    for (size_t i = 0; i < s->n_bootstrap; i++) {
        str_free(&s->bootstrap[i].name);
        str_free(&s->bootstrap[i].addrs_json);
    }
    mem_free(s->bootstrap);
}
