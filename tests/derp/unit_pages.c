/* The relay's HTTP: upgrades of each kind and the probes. */

#include "../unit.h"

#include "harness.h"

#include "core/buf.h"
#include "http/server.h"

static const struct ip_addr addrs[] = {IP_ADDR_V4(192, 0, 2, 1),
                                       {IP_V6, {0x20, 1, 0xd, 0xb8, [15] = 7}}};
static const struct derp_bootstrap_host hosts[] = {
    {STR_INIT("control.example"), addrs, 2},
    {STR_INIT("relay.example"), addrs, 1},
};

/* ---- A server with the relay's pages, and one raw client of it ---- */

struct web {
    struct rig *rig;
    struct http_server *http;
    struct stream *peer;
    struct buf got;
};

#define PAGE(name)                                                                             \
    static void on_##name(void *user, struct http_exchange *x, const struct http_request *req) \
    {                                                                                          \
        derp_http_##name(((struct web *)user)->rig->server, x, req);                           \
    }                                                                                          \
    struct page_##name##_needs_semicolon

PAGE(upgrade);
PAGE(probe);
PAGE(generate_204);
PAGE(bootstrap_dns);
PAGE(robots);

static const struct http_route routes[] = {
    {"*", "/derp", on_upgrade, 0},
    {"*", "/derp/probe", on_probe, 0},
    {"*", "/derp/latency-check", on_probe, 0},
    {"*", "/generate_204", on_generate_204, 0},
    {"*", "/bootstrap-dns", on_bootstrap_dns, 0},
    {"*", "/robots.txt", on_robots, 0},
};

static void on_peer_data(void *user, struct str data)
{
    buf_put(&((struct web *)user)->got, data);
}

static void on_peer_close(void *user, const struct err *why)
{
    (void)why;
    ((struct web *)user)->peer = NULL;
}

static const struct stream_events peer_events = {.on_data = on_peer_data,
                                                 .on_close = on_peer_close};

static struct web *web_new(void)
{
    const struct derp_server_options options = {.hosts = hosts, .n_hosts = ARRAY_LEN(hosts)};
    struct web *web = NEW(struct web);
    const struct http_server_options http = {
        .routes = routes, .n_routes = ARRAY_LEN(routes), .user = web};

    web->rig = rig_new(options);
    web->http = http_server_new(&http);
    return web;
}

static void web_free(struct web *web)
{
    if (web->peer)
        stream_abort(web->peer);
    rig_run(web->rig);
    rig_free(web->rig);
    http_server_free(web->http);
    buf_fini(&web->got);
    mem_free(web);
}

static struct stream *web_connect(struct web *web)
{
    struct stream *ends[2];

    stream_pair(web->rig->loop, ends);
    http_serve(web->http, ends[0], NULL, NULL);
    return ends[1];
}

/* Everything that comes back on a new connection. */
static struct str ask(struct web *web, struct str request)
{
    if (web->peer)
        stream_abort(web->peer);
    rig_run(web->rig);
    buf_clear(&web->got);
    web->peer = web_connect(web);
    stream_set_events(web->peer, &peer_events, web);
    stream_write(web->peer, request);
    rig_run(web->rig);
    return buf_str(&web->got);
}

static bool has(struct str text, struct str part)
{
    return str_find(text, part) >= 0;
}

#define assert_has(text, part)                                       \
    do {                                                             \
        struct str text_ = (text);                                   \
                                                                     \
        if (!has(text_, STR(part)))                                  \
            fail_msg("no \"%s\" in \"%.*s\"", part, STR_ARG(text_)); \
    } while (0)

#define END "\r\nhost: relay.example\r\n\r\n"

/* ---- Tests ---- */

static void probes_answer_get_and_head(void **state)
{
    struct web *web = web_new();
    struct str got;

    (void)state;
    got = ask(web, STR("GET /derp/probe HTTP/1.1" END));
    assert_has(got, "HTTP/1.1 200 ");
    assert_has(got, "access-control-allow-origin: *\r\n");
    assert_has(got, "content-length: 0\r\n");
    assert_has(ask(web, STR("HEAD /derp/latency-check HTTP/1.1" END)), "HTTP/1.1 200 ");
    assert_has(ask(web, STR("POST /derp/probe HTTP/1.1" END)), "HTTP/1.1 405 ");
    assert_has(ask(web, STR("GET /robots.txt HTTP/1.1" END)), "Disallow: /\n");
    web_free(web);
}

static void captive_portal_check_echoes_a_decent_challenge(void **state)
{
    static const struct {
        struct str challenge;
        bool echoed;
    } cases[] = {
        {STR_INIT("ts_relay.example"), true},
        {STR_INIT("aZ09.-_:"), true},
        {STR_INIT("0123456789012345678901234567890123456789012345678901234567890123"), true},
        {STR_INIT("01234567890123456789012345678901234567890123456789012345678901234"), false},
        {STR_INIT("a b"), false},
        {STR_INIT("<script>"), false},
    };
    struct web *web = web_new();

    (void)state;
    struct str got = ask(web, STR("GET /generate_204 HTTP/1.1" END));
    assert_has(got, "HTTP/1.1 204 ");
    assert_has(got, "cache-control: no-cache, no-store, must-revalidate, max-age=0\r\n");
    assert_false(has(got, STR("x-tailscale-response")));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf request = BUF(1024), want = BUF(1024);

        buf_printf(&request,
                   "GET /generate_204 HTTP/1.1\r\nX-Tailscale-Challenge: %.*s\r\nhost: a\r\n\r\n",
                   STR_ARG(cases[i].challenge));
        buf_printf(&want, "x-tailscale-response: response %.*s\r\n", STR_ARG(cases[i].challenge));
        got = ask(web, buf_str(&request));
        assert_has(got, "HTTP/1.1 204 ");
        assert_int_equal(has(got, buf_str(&want)), cases[i].echoed);
        assert_int_equal(has(got, STR("x-tailscale-response")), cases[i].echoed);
        buf_fini(&request);
        buf_fini(&want);
    }
    web_free(web);
}

static void bootstrap_dns_tells_what_it_knows(void **state)
{
    struct web *web = web_new();
    struct str got;

    (void)state;
    got = ask(web, STR("GET /bootstrap-dns HTTP/1.1" END));
    assert_has(got, "content-type: application/json\r\n");
    assert_has(got, "\r\n\r\n{\"control.example\":[\"192.0.2.1\",\"2001:db8::7\"],"
                    "\"relay.example\":[\"192.0.2.1\"]}");
    assert_has(ask(web, STR("GET /bootstrap-dns?q=Relay.Example HTTP/1.1" END)),
               "\r\n\r\n{\"relay.example\":[\"192.0.2.1\"]}");
    assert_has(ask(web, STR("GET /bootstrap-dns?q=other.example HTTP/1.1" END)), "\r\n\r\n{}");
    web_free(web);
}

static void derp_wants_an_upgrade(void **state)
{
    struct web *web = web_new();
    struct str got;

    (void)state;
    got = ask(web, STR("GET /derp HTTP/1.1" END));
    assert_has(got, "HTTP/1.1 426 ");
    assert_has(got, "DERP requires connection upgrade\n");
    assert_has(ask(web, STR("GET /derp HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c" END)),
               "HTTP/1.1 426 ");
    assert_has(ask(web, STR("PUT /derp HTTP/1.1\r\nconnection: upgrade\r\nupgrade: DERP" END)),
               "HTTP/1.1 426 ");
    assert_int_equal(derp_server_clients(web->rig->server), 0);
    web_free(web);
}

static void derp_upgrades_with_its_key(void **state)
{
    struct web *web = web_new();
    struct buf hex = BUF(64), want = BUF(200);
    struct str got, frames;

    (void)state;
    got = ask(web, STR("GET /derp HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: derp" END));
    buf_put_hex(&hex, node_key_str(derp_server_key(web->rig->server)));
    buf_printf(&want, "derp-public-key: %.*s\r\n", STR_ARG(buf_str(&hex)));
    assert_has(got, "HTTP/1.1 101 ");
    assert_true(has(got, buf_str(&want)));
    assert_has(got, "derp-version: 2\r\n");
    assert_has(got, "pgrade: DERP\r\n");
    frames = str_from_index(got, (size_t)str_find(got, STR("\r\n\r\n")) + 4);
    assert_int_equal(frames.len, 45);
    assert_int_equal(frames.ptr[0], DERP_SERVER_KEY);
    /* As tailscale-rs asks. */
    got = ask(web, STR("POST /derp HTTP/1.1\r\nupgrade: DERP\r\nconnection: Upgrade" END));
    assert_has(got, "HTTP/1.1 101 ");
    assert_true(has(got, buf_str(&want)));
    /* Old clients say websocket and mean this. */
    got = ask(web, STR("GET /derp HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket" END));
    assert_has(got, "pgrade: DERP\r\n");
    buf_fini(&hex);
    buf_fini(&want);
    web_free(web);
}

/* The first byte back is the relay's; the client, which knows the key, has sent its own already. */
static void fast_start_gets_no_answer(void **state)
{
    struct web *web = web_new();
    struct rig *rig = web->rig;
    struct str got;

    (void)state;
    got = ask(web, STR("GET /derp HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n"
                       "Derp-Fast-Start: 1" END));
    assert_int_equal(got.len, 45);
    assert_int_equal(got.ptr[0], DERP_SERVER_KEY);

    struct party *p = NEW(struct party);
    p->rig = rig;
    p->name = 'A';
    rig->parties[rig->n_parties++] = p;
    node_private_generate(&p->key);
    p->client = derp_client_new(web_connect(web), &(struct derp_client_options){
                                                      .key = &p->key,
                                                      .server_key = derp_server_key(rig->server),
                                                      .fast_start_host = STR("relay.example"),
                                                      .events = &party_events,
                                                      .user = p,
                                                  });
    rig_run(rig);
    assert_str(party_log(p), STR("ready "));
    web_free(web);
}

/* A masked binary message of at most 125 bytes. */
static void put_message(struct buf *out, struct str payload)
{
    const char head[] = {(char)0x82, (char)(0x80 | payload.len), 0, 0, 0, 0};

    buf_put(out, str_bytes(head, sizeof(head)));
    buf_put(out, payload);
}

static void websockets_carry_frames(void **state)
{
    struct web *web = web_new();
    struct buf info = BUF(512), messages = BUF(1024);
    struct node_private key;
    struct str got;

    (void)state;
    got = ask(web, STR("GET /derp HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: derp\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" END));
    assert_has(got, "HTTP/1.1 101 ");
    assert_has(got, "sec-websocket-protocol: derp\r\n");
    assert_has(got, "\r\n\r\n\x82\x2d\x01");
    /* The box in two messages. */
    node_private_generate(&key);
    rig_put_info(web->rig, &key, &info);
    put_message(&messages, str_sub(buf_str(&info), 0, 50));
    put_message(&messages, str_from_index(buf_str(&info), 50));
    stream_write(web->peer, buf_str(&messages));
    rig_run(web->rig);
    assert_int_equal(derp_server_clients(web->rig->server), 1);
    buf_fini(&info);
    buf_fini(&messages);
    web_free(web);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probes_answer_get_and_head),
        cmocka_unit_test(captive_portal_check_echoes_a_decent_challenge),
        cmocka_unit_test(bootstrap_dns_tells_what_it_knows),
        cmocka_unit_test(derp_wants_an_upgrade),
        cmocka_unit_test(derp_upgrades_with_its_key),
        cmocka_unit_test(fast_start_gets_no_answer),
        cmocka_unit_test(websockets_carry_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
