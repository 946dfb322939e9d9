/* One port for TLS and plain HTTP: the first byte decides. */

#include "unit.h"

#include "harness.h"
#include "http/client.h"

static struct tls_server *certificate(uint8_t sha256[32])
{
    const struct str name = STR_INIT("relay.test");
    struct buf cert = BUF((size_t)64 << 10), key = BUF((size_t)64 << 10);
    struct tls_server *tls = NULL;
    struct err err;

    assert_int_equal(tls_self_signed(&name, 1, &cert, &key, sha256, &err), 0);
    struct tls_server_options options = {.cert_pem = buf_str(&cert), .key_pem = buf_str(&key)};

    assert_int_equal(tls_server_new(&options, &tls, &err), 0);
    buf_fini(&cert);
    buf_fini(&key);
    return tls;
}

/* Connects through TLS with the pin and asks for /hello. */
static bool get_hello(struct rig *rig, const uint8_t pin[32])
{
    struct tls_client_options options = {.server_name = STR("relay.test"), .has_pin = true};
    struct err err;

    memcpy(options.pin_sha256, pin, 32);
    buf_clear(&rig->got);
    assert_int_equal(tls_connect(&options, rig_connect(rig), &rig->peer, &err), 0);
    stream_set_events(rig->peer, &rig_peer_events, rig);
    stream_write(rig->peer, STR("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    for (int i = 0; i < 200 && rig->peer; i++)
        loop_run_once(rig->loop, 5);
    assert_null(rig->peer);
    return str_ends(buf_str(&rig->got), STR("\r\n\r\nhello"));
}

static void tells_tls_from_http(void **state)
{
    uint8_t first[32], second[32];
    struct tls_server *one = certificate(first), *two = certificate(second);
    struct rig *rig = rig_new((struct http_server_options){.tls = one});

    (void)state;
    tls_server_unref(one);
    rig_send(rig, STR("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    assert_true(str_ends(buf_str(&rig->got), STR("\r\n\r\nhello")));
    assert_null(rig->peer);

    assert_true(get_hello(rig, first));
    assert_false(get_hello(rig, second));
    http_server_set_tls(rig->server, two);
    tls_server_unref(two);
    assert_true(get_hello(rig, second));
    assert_false(get_hello(rig, first));
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tells_tls_from_http)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
