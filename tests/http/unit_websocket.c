/* WebSocket: the handshake, our client against our server, raw frames, and the plain upgrade
 * client. */

#include "unit.h"

#include "harness.h"
#include "http/client.h"
#include "http/http_internal.h"

#define ASK                                                                                        \
    "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: other, chat\r\n"                         \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
#define SWITCHED                                                                        \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" \
    "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\n\r\n"
#define MASK "\0\0\0\0"

static const struct {
    const char *name;
    struct str in;   /* behind the handshake */
    struct str out;  /* behind the answer */
    struct str data; /* what the consumer got */
    bool closes;
} cases[] = {
    {"nothing", STR(""), STR(""), STR(""), false},
    {"a binary message", STR("\x82\x83" MASK "abc"), STR("\x82\3abc"), STR("abc"), false},
    {"masked for real", STR("\x82\x83\1\2\3\4```"),
     STR("\x82\3"
         "abc"),
     STR("abc"), false},
    {"two in one", STR("\x82\x81" MASK "a\x82\x81" MASK "b"), STR(""), STR("ab"), false},
    {"in fragments", STR("\x02\x81" MASK "a\x80\x81" MASK "b"), STR(""), STR("ab"), false},
    {"an empty message", STR("\x82\x80" MASK "\x82\x81" MASK "b"), STR(""), STR("b"), false},
    {"ping", STR("\x89\x82" MASK "hi"), STR("\x8a\2hi"), STR(""), false},
    {"ping between fragments", STR("\x02\x81" MASK "a\x89\x80" MASK "\x80\x81" MASK "b"), STR(""),
     STR("ab"), false},
    {"close", STR("\x88\x82" MASK "\3\xe8"), STR("\x88\2\3\xe8"), STR(""), true},
    {"nothing counts behind close", STR("\x88\x80" MASK "\x82\x81" MASK "b"), STR("\x88\0"),
     STR(""), true},
    {"text is not ours", STR("\x81\x81" MASK "a"), STR("\x88\2\3\xeb"), STR(""), true},
    {"not masked", STR("\x82\1a"), STR(""), STR(""), true},
    {"a reserved bit", STR("\xc2\x81" MASK "a"), STR(""), STR(""), true},
    {"a control frame too long", STR("\x89\xfe\0\x7e" MASK "a"), STR(""), STR(""), true},
};

static void check_case(size_t i, size_t step)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    rig_send(rig, STR(ASK));
    assert_str(buf_str(&rig->got), STR(SWITCHED));
    buf_clear(&rig->got);
    for (size_t at = 0; at < cases[i].in.len; at += step) {
        if (rig->peer)
            stream_write(rig->peer, str_sub(cases[i].in, at, step));
        rig_run(rig);
    }
    rig_run(rig);
    assert_int_equal(rig->upgraded == NULL, cases[i].closes);
    assert_str(buf_str(&rig->upgraded_got), cases[i].data);
    if (cases[i].out.len > 0 && step > 1)
        assert_str(buf_str(&rig->got), cases[i].out);
    rig_free(rig);
}

static void speaks_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("%s\n", cases[i].name);
        check_case(i, 10000);
        check_case(i, 1);
    }
}

static void refuses(void **state)
{
    static const struct str asks[] = {
        STR_INIT("GET /socket HTTP/1.1\r\nHost: a\r\n\r\n"),
        STR_INIT(
            "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
        STR_INIT("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n"
                 "Sec-WebSocket-Key: short\r\n\r\n"),
        STR_INIT("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Protocol: chat\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
        struct rig *rig = rig_new((struct http_server_options){0});

        rig_send(rig, asks[i]);
        assert_true(str_starts(buf_str(&rig->got), STR("HTTP/1.1 400 ")));
        assert_null(rig->upgraded);
        rig_free(rig);
    }
}

/* ---- Our client ---- */

struct outcome {
    bool done;
    struct stream *stream;
    struct err err;
    struct buf got;
    bool closed;
};

static void on_client_data(void *user, struct str data)
{
    struct outcome *o = user;

    buf_put(&o->got, data);
}

static void on_client_close(void *user, const struct err *why)
{
    struct outcome *o = user;

    (void)why;
    o->closed = true;
}

static void on_done(void *user, struct stream *s, const struct err *err)
{
    static const struct stream_events events = {
        .on_data = on_client_data,
        .on_close = on_client_close,
    };
    struct outcome *o = user;

    assert_false(o->done);
    o->done = true;
    o->stream = s;
    if (err)
        o->err = *err;
    else
        stream_set_events(s, &events, o);
}

static void talks_to_itself(void **state)
{
    struct rig *rig = rig_new_bare((struct http_server_options){0});
    struct outcome o = {.got = BUF((size_t)8 << 20)};
    char *text = mem_alloc(300000);

    (void)state;
    for (size_t i = 0; i < 300000; i++)
        text[i] = big_byte(i);
    http_client_upgrade_websocket(rig_connect(rig), STR("/socket"), STR("a"), "chat", 5000, on_done,
                                  &o);
    rig_run(rig);
    assert_true(o.done);
    assert_non_null(o.stream);
    stream_write(o.stream, STR("hello"));
    rig_run(rig);
    assert_str(buf_str(&o.got), STR("hello"));
    buf_clear(&o.got);
    stream_write(o.stream, (struct str){text, 300000});
    for (int i = 0; i < 1000 && o.got.len < 300000; i++)
        loop_run_once(rig->loop, 1);
    assert_true(str_eq(buf_str(&o.got), (struct str){text, 300000}));
    stream_close(rig->upgraded);
    rig_run(rig);
    assert_true(o.closed);
    buf_fini(&o.got);
    mem_free(text);
    rig_free(rig);
}

static void upgrades_as_client(void **state)
{
    static const struct {
        const char *name;
        const char *upgrade;
        struct str path;
        bool ok;
        const char *error;
    } ups[] = {
        {"upgraded", "DERP", STR("/up"), true, NULL},
        {"letter case aside", "derp", STR("/up"), true, NULL},
        {"another protocol", "other", STR("/up"), false, "another protocol"},
        {"no such path", "DERP", STR("/nope"), false, "404"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ups); i++) {
        struct rig *rig = rig_new_bare((struct http_server_options){0});
        struct outcome o = {.got = BUF(1000)};

        print_message("%s\n", ups[i].name);
        http_client_upgrade(rig_connect(rig), "POST", ups[i].path, STR("a:1"), ups[i].upgrade, NULL,
                            0, 5000, on_done, &o);
        rig_run(rig);
        assert_true(o.done);
        assert_int_equal(o.stream != NULL, ups[i].ok);
        if (ups[i].ok) {
            stream_write(rig->upgraded, STR("first"));
            rig_run(rig);
            assert_str(buf_str(&o.got), STR("first"));
        } else {
            assert_true(str_find(str_from(o.err.text), str_from(ups[i].error)) >= 0);
        }
        buf_fini(&o.got);
        rig_free(rig);
    }
}

static void gives_up_in_time(void **state)
{
    struct rig *rig = rig_new_bare((struct http_server_options){0});
    struct outcome o = {.got = BUF(1000)};

    (void)state;
    http_client_upgrade(rig_connect(rig), "GET", STR("/later"), STR("a"), "x", NULL, 0, 1000,
                        on_done, &o);
    rig_run(rig);
    assert_false(o.done);
    clock_test_advance_ms(1100);
    rig_run(rig);
    assert_true(o.done);
    assert_null(o.stream);
    assert_str(buf_str(&rig->log), STR("GET /later;aborted;"));
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speaks_frames),    cmocka_unit_test(refuses),
        cmocka_unit_test(talks_to_itself),  cmocka_unit_test(upgrades_as_client),
        cmocka_unit_test(gives_up_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
