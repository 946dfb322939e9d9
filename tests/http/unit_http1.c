/* HTTP/1 through the server on a pair: answers to the byte, limits, times, order, upgrades. */

#include "unit.h"

#include "harness.h"

/* ---- One request or several, sent whole, then byte by byte: the same answer and the same log ----
 */

#define OK_HEAD "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n"
#define HELLO OK_HEAD "\r\nhello"
#define TEXT_HEAD(status, n) \
    "HTTP/1.1 " status "\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: " n "\r\n"
#define BAD TEXT_HEAD("400 Bad Request", "12") "connection: close\r\n\r\nBad Request\n"

static const struct {
    const char *name;
    struct str in;
    struct str out;
    struct str log;
    bool closes;
} cases[] = {
    {"a request", STR("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), STR(HELLO), STR("GET /hello;end;"),
     false},
    {"kept alive",
     STR("GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     STR(HELLO HELLO), STR("GET /hello;end;GET /hello;end;"), false},
    {"line ends between requests",
     STR("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     STR(HELLO HELLO), STR("GET /hello;end;GET /hello;end;"), false},
    {"asked to close", STR("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
     STR(OK_HEAD "connection: close\r\n\r\nhello"), STR("GET /hello;end;"), true},
    {"HTTP/1.0 closes", STR("GET /hello HTTP/1.0\r\n\r\n"),
     STR(OK_HEAD "connection: close\r\n\r\nhello"), STR("GET /hello;end;"), true},
    {"HTTP/1.0 kept alive", STR("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
     STR(OK_HEAD "connection: keep-alive\r\n\r\nhello"), STR("GET /hello;end;"), false},
    {"HEAD has the length and no body", STR("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     STR(OK_HEAD "\r\n"), STR("HEAD /hello;end;"), false},
    {"a body with a length",
     STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nworldGET /hello HTTP/1.1\r\n"
         "Host: a\r\n\r\n"),
     STR(OK_HEAD "\r\nworld" HELLO), STR("POST /echo world;end;GET /hello;end;"), false},
    {"a chunked body with trailers",
     STR("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nwo\r\n3\r\n"
         "rld\r\n0\r\nX-Trailer: 1\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     STR(OK_HEAD "\r\nworld" HELLO), STR("POST /echo world;end;GET /hello;end;"), false},
    {"100-continue",
     STR("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
         "5\r\n\r\nworld"),
     STR("HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD "\r\nworld"), STR("POST /echo world;end;"), false},
    {"no such path",
     STR("GET /nope HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     STR(TEXT_HEAD("404 Not Found", "19") "\r\n404 page not found\n" HELLO), STR("GET /hello;end;"),
     false},
    {"no such method", STR("PUT /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
     STR(TEXT_HEAD("405 Method Not Allowed", "19") "allow: POST\r\n\r\nMethod Not Allowed\n"),
     STR(""), false},
    {"a proxy's target", STR("GET http://b:1/items/7?q=a%20b+c HTTP/1.1\r\nHost: a\r\n\r\n"),
     STR("HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx-evil: a  set-cookie: b\r\n\r\nid=7 q=a b c"),
     STR("GET /items/7?q=a%20b+c;end;"), false},
    {"headers with no value",
     STR("GET /hello HTTP/1.1\r\nA:\r\nB: \r\nHost: a\r\nC:\t x \t\r\n\r\n"), STR(HELLO),
     STR("GET /hello;end;"), false},
    {"no host", STR("GET /hello HTTP/1.1\r\n\r\n"), STR(BAD), STR(""), true},
    {"two hosts", STR("GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), STR(BAD), STR(""),
     true},
    {"not HTTP", STR("GET\1 /hello HTTP/1.1\r\nHost: a\r\n\r\n"), STR(BAD), STR(""), true},
    {"a bare CR does not end a header",
     STR("GET /hello HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 5\r\n\r\n"), STR(BAD), STR(""),
     true},
    {"length and chunked",
     STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: "
         "chunked\r\n\r\n"),
     STR(BAD), STR(""), true},
    {"two lengths",
     STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
     STR(BAD), STR(""), true},
    {"CONNECT", STR("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), STR(BAD), STR(""), true},
    {"a version to come", STR("GET /hello HTTP/3.0\r\nHost: a\r\n\r\n"),
     STR(TEXT_HEAD("505 HTTP Version Not Supported", "27") "connection: close\r\n\r\n"
                                                           "HTTP Version Not Supported\n"),
     STR(""), true},
    {"an upgrade nobody takes",
     STR("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
         "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     STR(HELLO HELLO), STR("GET /hello;end;GET /hello;end;"), false},
};

static void check_case(size_t i, size_t step)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    for (size_t at = 0; at < cases[i].in.len; at += step) {
        struct str part = str_sub(cases[i].in, at, step);

        if (rig->peer)
            stream_write(rig->peer, part);
        loop_run_once(rig->loop, 0);
        loop_run_once(rig->loop, 0);
    }
    rig_run(rig);
    assert_str(buf_str(&rig->got), cases[i].out);
    assert_str(buf_str(&rig->log), cases[i].log);
    assert_int_equal(rig->peer == NULL, cases[i].closes);
    assert_int_equal(rig->conn_closed, cases[i].closes);
    rig_free(rig);
}

static void answers_each(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%s\n", cases[i].name);
        check_case(i, cases[i].in.len);
        check_case(i, 1);
        check_case(i, 7);
    }
}

/* ---- Limits ---- */

static void refuses_large_bodies(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    rig_send(rig, STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"));
    assert_true(str_starts(buf_str(&rig->got), STR("HTTP/1.1 413 ")));
    assert_true(str_find(buf_str(&rig->got), STR("connection: close\r\n")) > 0);
    /* The peer may finish writing and read the answer; then it is over. */
    assert_non_null(rig->peer);
    rig_send(rig, STR("more and more"));
    clock_test_advance_ms(5100);
    rig_run(rig);
    assert_null(rig->peer);
    assert_true(rig->conn_closed);
    assert_str(buf_str(&rig->log), STR(""));
    rig_free(rig);

    rig = rig_new((struct http_server_options){0});
    rig_send(rig,
             STR("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n"));
    for (int i = 0; i < 100; i++)
        rig_send(rig, STR("0123456789"));
    assert_int_equal(rig->got.len, 0);
    rig_send(rig, STR("\r\n1\r\nx\r\n0\r\n\r\n"));
    assert_true(str_starts(buf_str(&rig->got), STR("HTTP/1.1 413 ")));
    assert_str(buf_str(&rig->log), STR(""));
    rig_free(rig);

    /* Who writes far too much before he reads gets the answer, too. */
    struct str big = big_text();

    rig = rig_new((struct http_server_options){0});
    stream_read_stop(rig->peer);
    rig_send(rig, STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n"));
    rig_send(rig, big);
    assert_int_equal(rig->got.len, 0);
    assert_false(rig->conn_closed);
    stream_read_start(rig->peer);
    rig_run(rig);
    assert_true(str_starts(buf_str(&rig->got), STR("HTTP/1.1 413 ")));
    clock_test_advance_ms(5100);
    rig_run(rig);
    assert_true(rig->conn_closed);
    rig_free(rig);
    str_free(&big);

    /* Who sends JSON can read why. */
    rig = rig_new((struct http_server_options){0});
    rig_send(rig, STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                      "Content-Length: 1001\r\n\r\n"));
    assert_true(str_starts(buf_str(&rig->got), STR("HTTP/1.1 413 ")));
    assert_true(str_find(buf_str(&rig->got), STR("content-type: application/problem+json\r\n")) >
                0);
    assert_true(str_ends(buf_str(&rig->got), STR("\r\n\r\n{\"title\":\"Content Too Large\","
                                                 "\"status\":413,"
                                                 "\"message\":\"Content Too Large\"}\n")));
    rig_free(rig);
}

static void refuses_large_heads(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){.max_header_bytes = 500});
    char many[600];

    (void)state;
    memset(many, 'a', sizeof(many));
    rig_send(rig, STR("GET /hello HTTP/1.1\r\nHost: a\r\nX: "));
    rig_send(rig, (struct str){many, sizeof(many)});
    assert_true(str_starts(buf_str(&rig->got), STR("HTTP/1.1 431 ")));
    assert_null(rig->peer);
    rig_free(rig);

    rig = rig_new((struct http_server_options){0});
    rig_send(rig, STR("GET /hello HTTP/1.1\r\nHost: a\r\n"));
    for (int i = 0; i < 99; i++)
        rig_send(rig, STR("A: b\r\n"));
    assert_int_equal(rig->got.len, 0);
    rig_send(rig, STR("A: b\r\n"));
    assert_true(str_starts(buf_str(&rig->got), STR("HTTP/1.1 431 ")));
    rig_free(rig);
}

/* ---- Time ---- */

static void times_out(void **state)
{
    static const struct {
        const char *name;
        struct str in;
        int64_t wait_ms;
        struct str out;
    } waits[] = {
        {"nothing was ever sent", STR(""), 1000, STR("")},
        {"a slow head", STR("GET /hello HTTP/1.1\r\nHo"), 1000, STR("HTTP/1.1 408 ")},
        {"a slow body", STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nwo"), 2000,
         STR("HTTP/1.1 408 ")},
        {"idle", STR("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), 3000, STR(HELLO)},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        struct rig *rig = rig_new(
            (struct http_server_options){.header_ms = 1000, .body_ms = 2000, .idle_ms = 3000});

        print_message("%s\n", waits[i].name);
        rig_run(rig);
        if (waits[i].in.len > 0)
            rig_send(rig, waits[i].in);
        clock_test_advance_ms(waits[i].wait_ms - 200);
        rig_run(rig);
        assert_non_null(rig->peer);
        clock_test_advance_ms(250);
        rig_run(rig);
        assert_null(rig->peer);
        assert_true(str_starts(buf_str(&rig->got), waits[i].out));
        rig_free(rig);
    }
}

static void waits_for_handlers(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){.idle_ms = 1000});

    (void)state;
    rig_send(rig,
             STR("GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_non_null(rig->later);
    for (int i = 0; i < 50; i++) {
        clock_test_advance_ms(10000);
        rig_run(rig);
    }
    assert_str(buf_str(&rig->log), STR("GET /later;"));
    http_respond(rig->later, 200, "text/plain", STR("later"));
    /* Nothing was called from inside. */
    assert_str(buf_str(&rig->log), STR("GET /later;"));
    assert_non_null(rig->later);
    rig_run(rig);
    assert_str(buf_str(&rig->log), STR("GET /later;end;GET /hello;end;"));
    assert_str(buf_str(&rig->got), STR(OK_HEAD "\r\nlater" HELLO));
    rig_free(rig);
}

/* A peer that asks and never reads is cut off. */
static void cuts_off_who_does_not_read(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    stream_read_stop(rig->peer);
    rig_send(rig, STR("GET /big HTTP/1.1\r\nHost: a\r\n\r\n"));
    for (int i = 0; i < 6 && !rig->conn_closed; i++) {
        clock_test_advance_ms(61000);
        rig_run(rig);
    }
    assert_true(rig->conn_closed);
    assert_str(buf_str(&rig->log), STR("GET /big;aborted;"));
    rig_free(rig);
}

/* ---- Answers ---- */

static void streams_in_chunks(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    rig_send(rig, STR("GET /later HTTP/1.1\r\nHost: a\r\n\r\n"));
    http_stream_start(rig->later, 200, NULL);
    rig_run(rig);
    assert_str(buf_str(&rig->got), STR("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"));
    buf_clear(&rig->got);
    http_stream_write(rig->later, STR("one"));
    http_stream_write(rig->later, STR(""));
    rig_run(rig);
    assert_str(buf_str(&rig->got), STR("3\r\none\r\n"));
    assert_int_equal(http_stream_pending(rig->later), 0);
    buf_clear(&rig->got);
    http_stream_write(rig->later, STR("0123456789abcdef"));
    http_stream_end(rig->later);
    rig_run(rig);
    assert_str(buf_str(&rig->got), STR("10\r\n0123456789abcdef\r\n0\r\n\r\n"));
    assert_null(rig->later);
    rig_send(rig, STR("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_str(buf_str(&rig->log), STR("GET /later;end;GET /hello;end;"));
    rig_free(rig);
}

static void answers_big(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});
    struct str big = big_text();

    (void)state;
    rig_send(rig,
             STR("GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    for (int i = 0; i < 10000 && !str_ends(buf_str(&rig->log), STR("GET /hello;end;")); i++)
        loop_run_once(rig->loop, 1);
    rig_run(rig);
    struct str got = buf_str(&rig->got);
    ptrdiff_t at = str_find(got, STR("\r\n\r\n"));

    assert_true(at > 0);
    got = str_from_index(got, (size_t)at + 4);
    assert_true(str_eq(str_sub(got, 0, BIG), big));
    assert_true(str_eq(str_from_index(got, BIG), STR(HELLO)));
    assert_str(buf_str(&rig->log), STR("GET /big;end;GET /hello;end;"));
    str_free(&big);
    rig_free(rig);
}

static void streams_with_backpressure(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    stream_read_stop(rig->peer);
    rig_send(rig, STR("GET /flow HTTP/1.1\r\nHost: a\r\n\r\n"));
    for (int i = 0; i < 50; i++)
        rig_run(rig);
    assert_true(http_stream_pending(rig->flow) > 0);
    assert_true(rig->to_stream > BIG / 2);
    stream_read_start(rig->peer);
    for (int i = 0; i < 100000 && rig->alive > 0; i++)
        loop_run_once(rig->loop, 1);
    rig_run(rig);
    assert_str(buf_str(&rig->log), STR("GET /flow;end;"));
    assert_true(rig->most_pending <= 110000);
    assert_true(rig->got.len > BIG);
    rig_free(rig);
}

/* ---- Ends ---- */

static void ends_when_peer_goes(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    rig_send(rig, STR("GET /later HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_non_null(rig->later);
    stream_abort(rig->peer);
    rig_run(rig);
    assert_str(buf_str(&rig->log), STR("GET /later;aborted;"));
    assert_true(rig->conn_closed);
    rig_free(rig);
}

static void aborts(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    rig_send(rig, STR("GET /abort HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_null(rig->peer);
    assert_int_equal(rig->got.len, 0);
    assert_str(buf_str(&rig->log), STR("GET /abort;aborted;"));
    assert_true(rig->conn_closed);
    rig_free(rig);
}

static void ends_with_the_loop(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    rig_send(rig, STR("GET /later HTTP/1.1\r\nHost: a\r\n\r\n"));
    http_respond(rig->later, 200, NULL, STR("x"));
    loop_free(TAKE(rig->loop));
    assert_int_equal(rig->alive, 0);
    assert_true(rig->conn_closed);
    rig_free(rig);
}

/* ---- Upgrades ---- */

#define UP "GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n"
#define SWITCHED                                                                                 \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: upgrade\r\nderp-version: " \
    "2\r\n\r\n"

static void upgrades(void **state)
{
    static const struct {
        const char *name;
        struct str in;
        struct str out;
        struct str given; /* what the new protocol sees first */
    } ups[] = {
        {"an upgrade", STR(UP "\r\n"), STR(SWITCHED), STR("")},
        {"bytes behind it", STR(UP "\r\nGET / HTTP/1.1\r\n"), STR(SWITCHED "GET / HTTP/1.1\r\n"),
         STR("GET / HTTP/1.1\r\n")},
        {"silent", STR(UP "Fast: 1\r\n\r\nfast"), STR("fast"), STR("fast")},
        {"POST with an empty body",
         STR("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: upgrade\r\n"
             "Upgrade: DERP\r\n\r\nxyz"),
         STR(SWITCHED "xyz"), STR("xyz")},
        {"behind another request", STR("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n" UP "\r\nxyz"),
         STR(HELLO SWITCHED "xyz"), STR("xyz")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ups); i++) {
        for (size_t step = 1; step < 1000; step += 998) {
            struct rig *rig = rig_new((struct http_server_options){0});

            print_message("%s\n", ups[i].name);
            for (size_t at = 0; at < ups[i].in.len; at += step) {
                stream_write(rig->peer, str_sub(ups[i].in, at, step));
                loop_run_once(rig->loop, 0);
            }
            rig_run(rig);
            assert_non_null(rig->upgraded);
            assert_true(rig->conn_closed);
            assert_true(str_ends(buf_str(&rig->log), STR(" /up;end;")));
            assert_str(buf_str(&rig->upgraded_got), ups[i].given);
            assert_str(buf_str(&rig->got), ups[i].out);
            rig_send(rig, STR("later"));
            assert_true(str_ends(buf_str(&rig->got), STR("later")));
            rig_free(rig);
        }
    }
}

/* The answer may come long after, when more was read ahead. */
static void upgrades_later(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    rig_send(rig,
             STR("GET /later HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
    rig_send(rig, STR("one"));
    rig_send(rig, STR("two"));
    struct stream *s = http_upgrade(rig->later, "x", false);

    assert_non_null(s);
    rig_take_stream(rig, s);
    assert_int_equal(rig->upgraded_got.len, 0);
    rig_run(rig);
    assert_str(buf_str(&rig->upgraded_got), STR("onetwo"));
    assert_str(buf_str(&rig->log), STR("GET /later;end;"));
    rig_free(rig);
}

static void pipelines_many(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});
    struct buf in = BUF((size_t)1 << 20);

    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_put(&in, STR("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    stream_write(rig->peer, buf_str(&in));
    for (int i = 0; i < 200; i++)
        loop_run_once(rig->loop, 0);
    assert_int_equal(rig->got.len, 1000 * (sizeof(HELLO) - 1));
    assert_int_equal(rig->log.len, 1000 * (sizeof("GET /hello;end;") - 1));
    buf_fini(&in);
    rig_free(rig);
}

static void refuses_tls_hello(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    rig_send(rig, STR("\x16\x03\x01"));
    assert_null(rig->peer);
    assert_true(rig->conn_closed);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_each),
        cmocka_unit_test(refuses_large_bodies),
        cmocka_unit_test(refuses_large_heads),
        cmocka_unit_test(times_out),
        cmocka_unit_test(waits_for_handlers),
        cmocka_unit_test(cuts_off_who_does_not_read),
        cmocka_unit_test(streams_in_chunks),
        cmocka_unit_test(answers_big),
        cmocka_unit_test(streams_with_backpressure),
        cmocka_unit_test(ends_when_peer_goes),
        cmocka_unit_test(aborts),
        cmocka_unit_test(ends_with_the_loop),
        cmocka_unit_test(upgrades),
        cmocka_unit_test(upgrades_later),
        cmocka_unit_test(pipelines_many),
        cmocka_unit_test(refuses_tls_hello),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
