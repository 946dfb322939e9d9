/*
 * `hatsize doctor`: asks the server's public URL as a client would, and says in plain words what
 * something in between breaks and what to write there.
 */

#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"
#include "cli/doctor_try.h"
#include "core/file.h"
#include "http/client.h"

#define FETCH_MS 10000
#define WAIT_DEFAULT_S 5
#define WAIT_MAX_S 600
#define CHALLENGE "doctor"

enum proxy {
    PROXY_NONE,
    PROXY_OTHER,
    PROXY_NGINX,
    PROXY_APACHE,
    PROXY_CADDY,
    PROXY_CLOUDFLARE,
    PROXY_ENVOY,
    PROXY_TRAEFIK
};

struct doctor {
    struct cli *cli;
    struct doctor_target target;
    struct str url, host;
    uint16_t port;
    enum proxy proxy;
    struct str proxy_name;
    struct str challenged; /* x-tailscale-response of the last answer */
    struct machine_key key;
    size_t failures;
    struct buf json;
    struct json_writer w;
};

/* ---- Words ---- */

/* What lets an upgrade through. */
static const char *upgrade_words(enum proxy p)
{
    switch (p) {
    case PROXY_NGINX:
        return "in http { }: map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n"
               "in location / { }: proxy_http_version 1.1; proxy_set_header Upgrade "
               "$http_upgrade; proxy_set_header Connection $connection_upgrade; proxy_buffering "
               "off;";
    case PROXY_APACHE:
        return "ProxyPass / http://ADDRESS:PORT/ upgrade=any";
    case PROXY_ENVOY:
        return "upgrade_configs: [{upgrade_type: tailscale-control-protocol}, {upgrade_type: "
               "DERP}, {upgrade_type: websocket}]";
    case PROXY_CLOUDFLARE:
        return "Cloudflare's proxy lets no such upgrade through: switch it off for this name (DNS "
               "only)";
    case PROXY_CADDY:
        return "reverse_proxy ADDRESS:PORT and nothing that touches the headers Connection and "
               "Upgrade";
    case PROXY_TRAEFIK:
        return "no middleware that touches the headers Connection and Upgrade, and no buffering";
    case PROXY_NONE:
    case PROXY_OTHER:
        break;
    }
    return "what stands in between must pass the headers Connection and Upgrade on, over HTTP/1.1, "
           "for every protocol and for POST too; or pass TCP through as it is";
}

/* What lets a silent stream live. */
static const char *patience_words(enum proxy p)
{
    if (p == PROXY_NGINX)
        return "in location / { }: proxy_read_timeout 1h; proxy_send_timeout 1h;";
    if (p == PROXY_APACHE)
        return "ProxyTimeout 3600";
    return "let a connection be silent for two minutes at least; haproxy: timeout tunnel 1h";
}

/* One line for each check; advice may be NULL. */
static void tell(struct doctor *d, const char *check, bool is_good, const char *text,
                 const char *advice)
{
    d->failures += is_good ? 0 : 1;
    json_begin_object(&d->w);
    json_field_str(&d->w, STR("check"), str_from(check));
    json_key(&d->w, STR("ok"));
    json_bool(&d->w, is_good);
    json_field_str(&d->w, STR("text"), str_from(text));
    if (advice)
        json_field_str(&d->w, STR("advice"), str_from(advice));
    json_end_object(&d->w);
    if (!cli_is_human(d->cli))
        return;
    printf("%s  %-10s ", is_good ? "ok  " : "FAIL", check);
    cli_put_text(stdout, str_from(text));
    puts("");
    for (struct str rest = str_from(advice ? advice : ""), line; str_next(&rest, '\n', &line);) {
        printf("      %-10s ", line.ptr == advice ? "write:" : "");
        cli_put_text(stdout, line);
        puts("");
    }
}

/* ---- Requests ---- */

/* Proxies that say who they are; our own server says nothing. */
static void on_header(void *user, struct str name, struct str value)
{
    static const struct {
        const char *word;
        enum proxy proxy;
    } known[] = {{"nginx", PROXY_NGINX},           {"openresty", PROXY_NGINX},
                 {"apache", PROXY_APACHE},         {"caddy", PROXY_CADDY},
                 {"cloudflare", PROXY_CLOUDFLARE}, {"envoy", PROXY_ENVOY},
                 {"traefik", PROXY_TRAEFIK}};
    struct doctor *d = user;

    if (str_eq_nocase(name, STR("x-tailscale-response")))
        d->challenged = arena_copy(d->cli->arena, value);
    if (!str_eq_nocase(name, STR("server")) && !str_eq_nocase(name, STR("via")))
        return;
    d->proxy_name = arena_copy(d->cli->arena, value);
    if (d->proxy == PROXY_NONE)
        d->proxy = PROXY_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        for (size_t at = 0; at < value.len; at++)
            if (str_eq_nocase(str_sub(value, at, strlen(known[i].word)), str_from(known[i].word)))
                d->proxy = known[i].proxy;
}

static int fetch(struct doctor *d, const char *path, int *status, struct buf *body, struct err *err)
{
    struct str url = arena_printf(d->cli->arena, "%.*s%s", STR_ARG(d->url), path);
    const struct http_header challenge = {STR("x-tailscale-challenge"), STR(CHALLENGE)};
    const struct http_fetch_options options = {.url = url.ptr,
                                               .headers = &challenge,
                                               .n_headers = 1,
                                               .timeout_ms = FETCH_MS,
                                               .ca_file = getenv("SSL_CERT_FILE"),
                                               .max_body = (size_t)1 << 20,
                                               .on_header = on_header,
                                               .user = d};

    return http_fetch(&options, status, body, err);
}

/* ---- Checks ---- */

static bool check_address(struct doctor *d)
{
    AUTO_FINI(buf_fini) struct buf addr = BUF(256);
    struct err err = {0};

    if (doctor_resolve(d->host, &d->target.addr.addr, &err) < 0) {
        tell(d, "address", false,
             arena_printf(d->cli->arena, "%.*s: %s", STR_ARG(d->host), err.text).ptr,
             "a DNS record for this name, or another name in server_url");
        return false;
    }
    d->target.addr.port = d->port;
    ip_addrport_put(&addr, d->target.addr);
    tell(d, "address", true,
         arena_printf(d->cli->arena, "%.*s is %.*s", STR_ARG(d->host), STR_ARG(buf_str(&addr))).ptr,
         NULL);
    return true;
}

/* The key in the file beside us, if this is the server's machine and we may read it. */
static bool is_own_key(struct doctor *d)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(4096);
    struct machine_private own;
    struct machine_key public_key;
    struct err err = {0};
    bool found = false;

    if (file_read(d->cli->config->noise_key_path, &text, &found, &err) < 0 || !found ||
        !machine_private_parse(str_trim(buf_str(&text)), &own))
        return true;
    machine_private_public(&own, &public_key);
    machine_private_fini(&own);
    mem_wipe(text.ptr, text.cap);
    return memcmp(&public_key, &d->key, sizeof(public_key)) == 0;
}

static bool check_key(struct doctor *d)
{
    AUTO_FINI(buf_fini) struct buf body = BUF((size_t)1 << 21);
    struct json_value *answer = NULL;
    struct err err = {0};
    int status = 0;

    if (fetch(d, "/key?v=113", &status, &body, &err) < 0) {
        tell(d, "key", false,
             arena_printf(d->cli->arena, "%.*s/key: %s", STR_ARG(d->url), err.text).ptr,
             "make this URL reach the server: DNS, firewall, certificate, listen_addr, the proxy's "
             "address of the server");
        return false;
    }
    if (status != 200 || !json_parse(d->cli->arena, buf_str(&body), NULL, &answer, NULL) ||
        !machine_key_parse(json_get_str(answer, "publicKey"), &d->key)) {
        tell(d, "key", false,
             arena_printf(d->cli->arena, "%.*s/key answers %d, and it is not the server that does",
                          STR_ARG(d->url), status)
                 .ptr,
             "the proxy must pass every path on as it came, / and all below it");
        return false;
    }
    if (!is_own_key(d)) {
        tell(d, "key", false, "another server answers there: its key is not this one's",
             "the right address in server_url, or in the proxy");
        return false;
    }
    tell(d, "key", true, "the server's key", NULL);
    return true;
}

static void check_proxy(struct doctor *d)
{
    if (d->proxy == PROXY_NONE)
        return;
    tell(d, "proxy", true,
         arena_printf(d->cli->arena, "%.*s stands in front%s", STR_ARG(d->proxy_name),
                      d->cli->config->n_trusted_proxies > 0
                          ? ""
                          : "; the server takes its address for everybody's")
             .ptr,
         d->cli->config->n_trusted_proxies > 0
             ? NULL
             : "its address in trusted_proxies of the server's configuration");
}

static void check_upgrade(struct doctor *d, bool websocket, int64_t wait_ms)
{
    const char *check = websocket ? "websocket" : "upgrade";
    struct doctor_channel c;

    doctor_try_channel(&d->target, &d->key, websocket, wait_ms, &c);
    if (!c.is_open) {
        tell(d, check, false,
             arena_printf(d->cli->arena, "%s: %s: %s",
                          websocket ? "GET /ts2021 as WebSocket" : "POST /ts2021 with an upgrade",
                          c.err.text,
                          websocket ? "clients in browsers cannot log in" : "no machine can log in")
                 .ptr,
             upgrade_words(d->proxy));
        return;
    }
    tell(d, check, true, websocket ? "clients in browsers can log in" : "machines can log in",
         NULL);
    if (wait_ms == 0)
        return;
    if (c.lasted_ms >= 0)
        tell(d, "stream", false,
             arena_printf(d->cli->arena,
                          "a silent connection was cut after %.1f s: machines connect again and "
                          "again, and show as offline",
                          (double)c.lasted_ms / 1000)
                 .ptr,
             patience_words(d->proxy));
    else
        tell(d, "stream", true,
             arena_printf(d->cli->arena, "a silent connection lived for %lld s",
                          (long long)(wait_ms / 1000))
                 .ptr,
             NULL);
}

static void check_relay(struct doctor *d)
{
    struct err err = {0};
    /* The relay is spoken to over TLS, whatever the URL says. */
    const char *words = d->target.tls_name.len > 0
                            ? upgrade_words(d->proxy)
                            : "clients speak TLS to the relay, also behind http://: let the proxy "
                              "do https and write "
                              "https:// in server_url, or pass TCP through as it is";

    if (doctor_try_relay(&d->target, false, &err) < 0)
        tell(d, "relay", false,
             arena_printf(d->cli->arena,
                          "GET /derp with an upgrade: %s: machines without a direct path cannot "
                          "reach each other",
                          err.text)
                 .ptr,
             words);
    else
        tell(d, "relay", true, "the relay greets", NULL);
    if (doctor_try_relay(&d->target, true, &err) < 0)
        tell(d, "relay-ws", false,
             arena_printf(d->cli->arena,
                          "GET /derp as WebSocket: %s: clients in browsers have no relay", err.text)
                 .ptr,
             words);
    else
        tell(d, "relay-ws", true, "the relay greets over WebSocket", NULL);
}

static void check_204(struct doctor *d)
{
    AUTO_FINI(buf_fini) struct buf body = BUF((size_t)1 << 21);
    struct err err = {0};
    int status = 0;

    d->challenged = STR_NONE;
    if (fetch(d, "/generate_204", &status, &body, &err) == 0 && status == 204 &&
        str_eq(d->challenged, STR("response " CHALLENGE))) {
        tell(d, "portal", true, "the captive portal check is answered", NULL);
        return;
    }
    tell(
        d, "portal", false,
        arena_printf(d->cli->arena,
                     "/generate_204: %s%d: clients think that they sit behind a "
                     "captive portal",
                     err.text[0] ? err.text : "answers ", status)
            .ptr,
        "the proxy must pass this path on, with the header X-Tailscale-Challenge, and the answer's "
        "X-Tailscale-Response back");
}

static void check_stun(struct doctor *d)
{
    struct ip_addrport to = {d->target.addr.addr, d->cli->config->derp.stun_listen.port}, seen;
    AUTO_FINI(buf_fini) struct buf addr = BUF(256);
    struct err err = {0};

    if (doctor_try_stun(to, &seen, &err) < 0) {
        tell(d, "stun", false,
             arena_printf(d->cli->arena,
                          "UDP port %u: %s: machines do not learn their public addresses, and "
                          "rarely find direct paths",
                          to.port, err.text)
                 .ptr,
             "let this UDP port through to the server, past the proxy, which does not carry it");
        return;
    }
    ip_addrport_put(&addr, seen);
    tell(d, "stun", true,
         arena_printf(d->cli->arena, "seen from there as %.*s", STR_ARG(buf_str(&addr))).ptr, NULL);
}

/* ---- The whole ---- */

static void set_target(struct doctor *d)
{
    const struct config *c = d->cli->config;

    d->url = c->server_url;
    d->host = c->server_host;
    d->port = c->server_port;
    d->target.authority = str_from_index(d->url, c->server_is_tls ? 8 : 7);
    d->target.host = d->host;
    d->target.tls_name = c->server_is_tls ? d->host : STR_NONE;
}

static bool read_wait(struct cli *cli, int64_t *ms)
{
    struct str text = args_get(&cli->args, "wait");
    uint64_t s = WAIT_DEFAULT_S;

    if (text.len > 0 && (!str_parse_u64(text, &s) || s > WAIT_MAX_S)) {
        (void)cli_fail(cli, "--wait is a number of seconds, at most %d", WAIT_MAX_S);
        return false;
    }
    *ms = (int64_t)s * 1000;
    return true;
}

static void check_all(struct doctor *d, int64_t wait_ms)
{
    if (!check_address(d) || !check_key(d))
        return;
    check_proxy(d);
    check_upgrade(d, false, wait_ms);
    check_upgrade(d, true, 0);
    if (!d->cli->config->derp.enabled)
        return;
    check_relay(d);
    check_204(d);
    check_stun(d);
}

int cmd_doctor(struct cli *cli)
{
    struct doctor d = {.cli = cli, .json = BUF((size_t)1 << 20)};
    struct json_value *all = NULL;
    int64_t wait_ms = 0;

    if (!cli_load_config(cli, false) || !read_wait(cli, &wait_ms))
        return 1;
    d.w = JSON_WRITER(&d.json);
    set_target(&d);
    if (cli_is_human(cli))
        printf("asking %.*s as a client would\n", STR_ARG(d.url));
    json_begin_array(&d.w);
    check_all(&d, wait_ms);
    json_end_array(&d.w);
    if (!cli_is_human(cli) &&
        json_parse(cli->arena, arena_copy(cli->arena, buf_str(&d.json)), NULL, &all, NULL))
        (void)cli_show(cli, all, "");
    else if (d.failures == 0)
        puts("all is well");
    buf_fini(&d.json);
    return d.failures > 0;
}
