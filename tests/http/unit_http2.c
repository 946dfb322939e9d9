/* HTTP/2: our client against our server on a pair, and raw frames against the server. */

#include "unit.h"

#include <nghttp2/nghttp2.h>

#include "h2_peer.h"
#include "harness.h"
#include "http/client.h"

struct answer {
    struct rig *rig;
    int status;
    struct buf body;
    bool ended;
    bool failed;
    struct err err;
};

static void on_headers(void *user, int status)
{
    struct answer *a = user;

    assert_int_equal(a->status, 0);
    a->status = status;
}

static void on_data(void *user, struct str data)
{
    struct answer *a = user;

    assert_false(a->ended);
    buf_put(&a->body, data);
}

static void on_end(void *user, const struct err *err)
{
    struct answer *a = user;

    assert_false(a->ended);
    a->ended = true;
    a->failed = err != NULL;
    if (err)
        a->err = *err;
}

static const struct h2_request_events request_events = {on_headers, on_data, on_end};

static void on_client_close(void *user)
{
    bool *closed = user;

    *closed = true;
}

struct client {
    struct rig *rig;
    struct stream *stream;
    struct h2_client *h2;
    bool closed;
};

static struct client *client_new(struct http_server_options options)
{
    struct client *c = NEW(struct client);

    c->rig = rig_new_bare(options);
    c->stream = rig_connect(c->rig);
    c->h2 = h2_client_new(c->stream, on_client_close, &c->closed);
    return c;
}

static void client_free(struct client *c)
{
    if (!c->closed)
        h2_client_close(c->h2);
    for (int i = 0; i < 1000 && !(c->closed && c->rig->conn_closed); i++)
        loop_run_once(c->rig->loop, 1);
    assert_true(c->closed);
    assert_true(c->rig->conn_closed);
    assert_int_equal(c->rig->alive, 0);
    rig_free(c->rig);
    mem_free(c);
}

static struct h2_request *ask(struct client *c, struct answer *a, const char *method,
                              struct str path, struct str body)
{
    *a = (struct answer){.rig = c->rig, .body = BUF((size_t)64 << 20)};
    return h2_client_request(c->h2, method, path, STR("unused"), body, &request_events, a);
}

static void wait_end(struct client *c, const struct answer *a)
{
    for (int i = 0; i < 100000 && !a->ended; i++)
        loop_run_once(c->rig->loop, 1);
    assert_true(a->ended);
    rig_run(c->rig);
}

static void check_answer(struct answer *a, int status, struct str body)
{
    assert_true(a->ended);
    assert_false(a->failed);
    assert_int_equal(a->status, status);
    assert_str(buf_str(&a->body), body);
    buf_fini(&a->body);
}

/* ---- Requests ---- */

static void answers(void **state)
{
    struct client *c = client_new((struct http_server_options){0});
    struct answer a;

    (void)state;
    (void)ask(c, &a, "GET", STR("/hello"), STR(""));
    assert_false(a.ended);
    wait_end(c, &a);
    check_answer(&a, 200, STR("hello"));
    (void)ask(c, &a, "POST", STR("/echo"), STR("world"));
    wait_end(c, &a);
    check_answer(&a, 200, STR("world"));
    (void)ask(c, &a, "GET", STR("/items/a%20b?q=1"), STR(""));
    wait_end(c, &a);
    check_answer(&a, 200, STR("id=a b q=1"));
    (void)ask(c, &a, "HEAD", STR("/hello"), STR(""));
    wait_end(c, &a);
    check_answer(&a, 200, STR(""));
    (void)ask(c, &a, "GET", STR("/nope"), STR(""));
    wait_end(c, &a);
    check_answer(&a, 404, STR("404 page not found\n"));
    (void)ask(c, &a, "PUT", STR("/echo"), STR("x"));
    wait_end(c, &a);
    check_answer(&a, 405, STR("Method Not Allowed\n"));
    (void)ask(c, &a, "GET", STR("/up"), STR(""));
    wait_end(c, &a);
    check_answer(&a, 426, STR("upgrade required\n"));
    assert_str(buf_str(&c->rig->log),
               STR("GET /hello;end;POST /echo world;end;GET /items/a%20b?q=1;end;HEAD /hello;end;"
                   "GET /up;end;"));
    client_free(c);
}

static void refuses_large_bodies(void **state)
{
    struct client *c = client_new((struct http_server_options){.h2_only = true});
    struct str big = big_text();
    struct answer a;

    (void)state;
    (void)ask(c, &a, "POST", STR("/echo"), big);
    wait_end(c, &a);
    assert_int_equal(a.status, 413);
    buf_fini(&a.body);
    (void)ask(c, &a, "GET", STR("/hello"), STR(""));
    wait_end(c, &a);
    check_answer(&a, 200, STR("hello"));
    assert_str(buf_str(&c->rig->log), STR("GET /hello;end;"));
    str_free(&big);
    client_free(c);
}

static void answers_big(void **state)
{
    struct client *c = client_new((struct http_server_options){0});
    struct str big = big_text();
    struct answer a, b;

    (void)state;
    (void)ask(c, &a, "GET", STR("/big"), STR(""));
    (void)ask(c, &b, "GET", STR("/hello"), STR(""));
    wait_end(c, &b);
    assert_false(a.ended); /* one large answer does not hold up the others */
    check_answer(&b, 200, STR("hello"));
    wait_end(c, &a);
    assert_true(str_eq(buf_str(&a.body), big));
    buf_fini(&a.body);
    str_free(&big);
    client_free(c);
}

/* The answer waits in the exchange, where http_stream_pending sees it, and not in between. */
static void streams_with_backpressure(void **state)
{
    struct client *c = client_new((struct http_server_options){0});
    struct str big = big_text();
    struct answer a;

    (void)state;
    (void)ask(c, &a, "GET", STR("/flow"), STR(""));
    for (int i = 0; i < 1000 && !c->rig->flow; i++)
        loop_run_once(c->rig->loop, 1);
    stream_read_stop(c->stream);
    for (int i = 0; i < 50; i++)
        rig_run(c->rig);
    assert_true(http_stream_pending(c->rig->flow) > 0);
    assert_true(c->rig->to_stream > BIG / 2);
    stream_read_start(c->stream);
    wait_end(c, &a);
    assert_true(str_eq(buf_str(&a.body), big));
    assert_true(c->rig->most_pending <= 100000);
    assert_str(buf_str(&c->rig->log), STR("GET /flow;end;"));
    buf_fini(&a.body);
    str_free(&big);
    client_free(c);
}

static void writes_no_more_than_there_is_room_for(void **state)
{
    struct client *c = client_new((struct http_server_options){0});
    struct str big = big_text();
    struct answer a;
    size_t left;

    (void)state;
    (void)ask(c, &a, "GET", STR("/room"), STR(""));
    for (int i = 0; i < 1000 && !c->rig->flow; i++)
        loop_run_once(c->rig->loop, 1);
    stream_read_stop(c->stream);
    for (int i = 0; i < 50; i++)
        rig_run(c->rig);
    left = c->rig->to_stream;
    assert_true(left > BIG / 2);
    for (int i = 0; i < 50; i++)
        rig_run(c->rig);
    assert_int_equal(c->rig->to_stream, left);
    assert_int_equal(http_stream_room(c->rig->flow), 0);
    stream_read_start(c->stream);
    wait_end(c, &a);
    assert_true(str_eq(buf_str(&a.body), big));
    /* The first piece was written by the handler, inside nghttp2's callback. */
    assert_true(c->rig->most_pending <= (size_t)64 << 10);
    assert_str(buf_str(&c->rig->log), STR("GET /room;end;"));
    buf_fini(&a.body);
    str_free(&big);
    client_free(c);
}

/* Many small messages, now and then another request or a client that does not read: all comes, in
 * order, within the windows (our client's are 64 KiB until it gives more). */
static void streams_small_messages(void **state)
{
    struct client *c = client_new((struct http_server_options){.max_streams = 10});
    struct buf want = BUF((size_t)64 << 20);
    struct answer a, b;
    uint32_t size = 1;

    (void)state;
    (void)ask(c, &a, "GET", STR("/later"), STR(""));
    rig_run(c->rig);
    struct http_exchange *x = c->rig->later;

    http_stream_start(x, 200, NULL);
    http_forget_request(x);
    for (int i = 0; i < 4000; i++) {
        char message[5000];

        size = (size * 1103515245 + 12345) & 0x7fffffff;
        struct str text = {message, 1 + (i % 3 == 0 ? size >> 8 : size >> 24) % sizeof(message)};

        memset(message, 'a' + i % 26, text.len);
        if (i % 400 == 100)
            stream_read_stop(c->stream);
        if (i % 400 == 150)
            stream_read_start(c->stream);
        http_stream_write(x, text);
        buf_put(&want, text);
        if (i % 2)
            http_stream_flush(x);
        if (i % 7 == 0)
            loop_run_once(c->rig->loop, 0);
        if (i % 500 == 250) {
            (void)ask(c, &b, "POST", STR("/echo"), STR("between"));
            http_stream_write(x, STR("while it comes"));
            buf_put(&want, STR("while it comes"));
            wait_end(c, &b);
            check_answer(&b, 200, STR("between"));
        }
    }
    http_stream_write(x, STR("last"));
    buf_put(&want, STR("last"));
    http_stream_end(x);
    wait_end(c, &a);
    assert_false(a.failed);
    assert_true(str_eq(buf_str(&a.body), buf_str(&want)));
    buf_fini(&a.body);
    buf_fini(&want);
    client_free(c);
}

static void cancels(void **state)
{
    struct client *c = client_new((struct http_server_options){0});
    struct answer a;
    struct h2_request *r = ask(c, &a, "GET", STR("/later"), STR(""));

    (void)state;
    rig_run(c->rig);
    assert_non_null(c->rig->later);
    http_stream_start(c->rig->later, 200, NULL);
    http_stream_write(c->rig->later, STR("one"));
    rig_run(c->rig);
    assert_str(buf_str(&a.body), STR("one"));
    h2_request_cancel(r);
    assert_false(a.ended);
    rig_run(c->rig);
    assert_true(a.ended && a.failed);
    assert_str(buf_str(&c->rig->log), STR("GET /later;aborted;"));
    buf_fini(&a.body);

    /* Cancelled before it was even sent. */
    r = ask(c, &a, "GET", STR("/later"), STR(""));
    h2_request_cancel(r);
    rig_run(c->rig);
    assert_true(a.ended && a.failed);
    (void)ask(c, &a, "GET", STR("/hello"), STR(""));
    wait_end(c, &a);
    check_answer(&a, 200, STR("hello"));
    client_free(c);
}

static void aborts(void **state)
{
    struct client *c = client_new((struct http_server_options){0});
    struct answer a;

    (void)state;
    (void)ask(c, &a, "GET", STR("/abort"), STR(""));
    wait_end(c, &a);
    assert_true(a.failed);
    assert_str(buf_str(&c->rig->log), STR("GET /abort;aborted;"));
    client_free(c);
}

static void serves_many_streams(void **state)
{
    struct client *c = client_new((struct http_server_options){.max_streams = 20});
    struct answer a[300];

    (void)state;
    /* The server's SETTINGS first: a client may open 100 before it knows better. */
    rig_run(c->rig);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        (void)ask(c, &a[i], "POST", STR("/echo"), STR("many"));
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        wait_end(c, &a[i]);
        check_answer(&a[i], 200, STR("many"));
    }
    assert_true(c->rig->most_alive <= 20);
    client_free(c);
}

static void ends_with_the_connection(void **state)
{
    struct client *c = client_new((struct http_server_options){0});
    struct answer a;

    (void)state;
    (void)ask(c, &a, "GET", STR("/later"), STR(""));
    rig_run(c->rig);
    assert_non_null(c->rig->later);
    stream_abort(c->stream);
    rig_run(c->rig);
    assert_true(a.ended && a.failed);
    assert_true(c->closed);
    assert_str(buf_str(&c->rig->log), STR("GET /later;aborted;"));
    client_free(c);
}

static void closes_when_idle(void **state)
{
    struct client *c = client_new((struct http_server_options){.idle_ms = 5000});
    struct answer a;

    (void)state;
    (void)ask(c, &a, "GET", STR("/later"), STR(""));
    rig_run(c->rig);
    clock_test_advance_ms(20000);
    rig_run(c->rig);
    assert_false(c->rig->conn_closed);
    http_respond(c->rig->later, 200, NULL, STR("x"));
    wait_end(c, &a);
    check_answer(&a, 200, STR("x"));
    clock_test_advance_ms(4000);
    rig_run(c->rig);
    assert_false(c->rig->conn_closed);
    clock_test_advance_ms(1100);
    rig_run(c->rig);
    assert_true(c->rig->conn_closed);
    assert_true(c->closed);
    client_free(c);
}

/* ---- Raw frames ---- */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS "\0\0\0\4\0\0\0\0\0"
#define PING               \
    "\0\0\x08\6\0\0\0\0\0" \
    "12345678"

static void closes_floods(void **state)
{
    static const struct {
        const char *name;
        struct str frame;
    } floods[] = {
        {"PING", STR(PING)},
        {"SETTINGS", STR(SETTINGS)},
        {"PRIORITY", STR("\0\0\5\2\0\0\0\0\1\0\0\0\0\x10")},
        {"WINDOW_UPDATE", STR("\0\0\4\x08\0\0\0\0\0\0\0\0\1")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
        struct rig *rig = rig_new((struct http_server_options){0});
        struct buf in = BUF((size_t)1 << 20);

        print_message("%s\n", floods[i].name);
        rig_send(rig, STR(PREFACE SETTINGS));
        for (int n = 0; n < 50; n++)
            buf_put(&in, floods[i].frame);
        for (int n = 0; n < 50 && rig->peer; n++)
            rig_send(rig, buf_str(&in));
        rig_run(rig);
        assert_null(rig->peer);
        assert_true(rig->conn_closed);
        buf_fini(&in);
        rig_free(rig);
    }
}

/* HEADERS and RST_STREAM in turn: handlers are bounded, and the connection ends. */
static void closes_rapid_resets(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){.max_streams = 10});
    struct buf in = BUF((size_t)1 << 20);

    (void)state;
    rig_send(rig, STR(PREFACE SETTINGS));
    for (uint32_t id = 1; id < 4001; id += 2) {
        /* GET https /later, authority "a" */
        buf_put(&in, STR("\0\0\x0d\1\5"));
        buf_put_be32(&in, id);
        buf_put(&in, STR("\x82\x87\x04\x06/later\x41\x01"
                         "a"));
        buf_put(&in, STR("\0\0\4\3\0"));
        buf_put_be32(&in, id);
        buf_put_be32(&in, 8);
    }
    rig_send(rig, buf_str(&in));
    rig_run(rig);
    assert_null(rig->peer);
    assert_true(rig->most_alive > 0 && rig->most_alive <= 10);
    assert_int_equal(rig->alive, 0);
    buf_fini(&in);
    rig_free(rig);
}

static void wants_a_preface(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){.h2_only = true, .header_ms = 1000});

    (void)state;
    rig_send(rig, STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_null(rig->peer);
    rig_free(rig);

    rig = rig_new((struct http_server_options){.h2_only = true, .header_ms = 1000, .idle_ms = -1});
    rig_send(rig, STR("PRI"));
    clock_test_advance_ms(1100);
    rig_run(rig);
    assert_null(rig->peer);
    rig_free(rig);
}

/* A peer that opens no window gets nothing, holds little, and does not hold others up. */
static void honours_closed_windows(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    /* INITIAL_WINDOW_SIZE 0 */
    rig_send(rig, STR(PREFACE "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0"));
    rig_send(rig, STR("\0\0\x0c\1\5\0\0\0\1\x82\x87\x04\x05/flow\x41\x01"
                      "a"));
    assert_non_null(rig->flow);
    for (int i = 0; i < 10; i++)
        rig_run(rig);
    assert_true(rig->got.len < 1000);
    assert_int_equal(http_stream_pending(rig->flow), 100000);
    /* WINDOW_UPDATE of the stream by 10,000 */
    rig_send(rig, STR("\0\0\4\x08\0\0\0\0\1\0\0\x27\x10"));
    assert_int_equal(http_stream_pending(rig->flow), 90000);
    rig_send(rig, STR("\0\0\4\3\0\0\0\0\1\0\0\0\x08"));
    assert_str(buf_str(&rig->log), STR("GET /flow;aborted;"));
    rig_free(rig);
}

static struct http_exchange *later_of(struct rig *rig)
{
    rig_send(rig, STR("\0\0\x0d\1\5\0\0\0\1\x82\x87\x04\x06/later\x41\x01"
                      "a"));
    assert_non_null(rig->later);
    http_stream_start(rig->later, 200, NULL);
    rig_run(rig);
    buf_clear(&rig->got);
    return rig->later;
}

/* Frames of ours that nghttp2 does not see count against the windows as those that it sends do. */
static void messages_stay_within_the_window(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    /* INITIAL_WINDOW_SIZE 10 */
    rig_send(rig, STR(PREFACE "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\x0a"));
    struct http_exchange *x = later_of(rig);

    http_stream_write(x, STR("four"));
    http_stream_write(x, STR("more"));
    rig_run(rig);
    assert_str(buf_str(&rig->got), STR("\0\0\4\0\0\0\0\0\1four\0\0\4\0\0\0\0\0\1more"));
    buf_clear(&rig->got);
    http_stream_write(x, STR("and on"));
    rig_run(rig);
    assert_str(buf_str(&rig->got), STR("\0\0\2\0\0\0\0\0\1an"));
    assert_int_equal(http_stream_pending(x), 4);
    buf_clear(&rig->got);
    /* WINDOW_UPDATE by 5: the rest, and one byte more is free. */
    rig_send(rig, STR("\0\0\4\x08\0\0\0\0\1\0\0\0\5"));
    assert_str(buf_str(&rig->got), STR("\0\0\4\0\0\0\0\0\1d on"));
    buf_clear(&rig->got);
    http_stream_write(x, STR("!"));
    http_stream_write(x, STR("?"));
    rig_run(rig);
    assert_str(buf_str(&rig->got), STR("\0\0\1\0\0\0\0\0\1!"));
    assert_int_equal(http_stream_pending(x), 1);
    /* SETTINGS may take back what was not used. */
    rig_send(rig, STR("\0\0\4\x08\0\0\0\0\1\0\0\0\x65"));
    assert_int_equal(http_stream_pending(x), 0);
    buf_clear(&rig->got);
    http_stream_write(x, STR("fifty bytes, fifty bytes, fifty bytes, fifty bytes"));
    rig_run(rig);
    assert_int_equal(rig->got.len, 59);
    rig_send(rig, STR("\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0"));
    buf_clear(&rig->got);
    http_stream_write(x, STR("fifty bytes, fifty bytes, fifty bytes, fifty bytes"));
    rig_run(rig);
    assert_int_equal(http_stream_pending(x), 10);
    rig_send(rig, STR("\0\0\4\3\0\0\0\0\1\0\0\0\x08"));
    assert_str(buf_str(&rig->log), STR("GET /later;aborted;"));
    rig_free(rig);
}

/* The largest window there is may be given again as soon as it was used. */
static void windows_may_be_as_large_as_they_get(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    rig_send(rig, STR(PREFACE "\0\0\6\4\0\0\0\0\0\0\4\x7f\xff\xff\xff"));
    /* The connection's, which began with 65,535. */
    rig_send(rig, STR("\0\0\4\x08\0\0\0\0\0\x7f\xff\0\0"));
    struct http_exchange *x = later_of(rig);

    for (int i = 0; i < 20; i++) {
        buf_clear(&rig->got);
        http_stream_write(x, STR("ten bytes!"));
        rig_run(rig);
        assert_str(buf_str(&rig->got), STR("\0\0\x0a\0\0\0\0\0\1ten bytes!"));
        rig_send(rig, STR("\0\0\4\x08\0\0\0\0\0\0\0\0\x0a\0\0\4\x08\0\0\0\0\1\0\0\0\x0a"));
    }
    http_respond_text(x, 500, "too late");
    http_stream_end(x);
    rig_run(rig);
    assert_str(buf_str(&rig->log), STR("GET /later;end;"));
    assert_non_null(rig->peer);
    rig_free(rig);
}

/* ---- Trailers, and bodies as they come ---- */

static void peer_end(struct rig *rig, struct h2_peer *p)
{
    h2_peer_close(p);
    rig_run(rig);
    assert_null(p->stream);
    assert_int_equal(rig->alive, 0);
    h2_peer_free(p);
    rig_free(rig);
}

static void sends_trailers(void **state)
{
    struct rig *rig = rig_new_bare((struct http_server_options){0});
    struct h2_peer *p = h2_peer_new(rig_connect(rig));

    (void)state;
    struct h2_reply *full = h2_peer_open(p, "POST", STR("/trailers"), NULL, 0);
    struct h2_reply *empty = h2_peer_open(p, "GET", STR("/trailers?empty"), NULL, 0);
    struct h2_reply *plain = h2_peer_open(p, "GET", STR("/hello"), NULL, 0);

    h2_peer_send(p, full, STR_NONE, true);
    h2_peer_send(p, empty, STR_NONE, true);
    h2_peer_send(p, plain, STR_NONE, true);
    rig_run(rig);
    assert_str(buf_str(&full->headers),
               STR(":status: 200\ncontent-type: text/plain\nx-front: 1\n"));
    assert_str(buf_str(&full->body), STR("one two"));
    assert_str(buf_str(&full->trailers), STR("x-behind: 2\nx-last: 3  x-evil: 4\n"));
    assert_true(full->ended && full->error == 0);
    assert_str(buf_str(&empty->body), STR(""));
    assert_str(buf_str(&empty->trailers), buf_str(&full->trailers));
    assert_true(empty->ended && empty->error == 0);
    assert_str(buf_str(&plain->trailers), STR(""));
    assert_true(plain->ended);
    peer_end(rig, p);
}

/* Under windows that hold the data back, trailers wait behind it. */
static void trailers_wait_for_the_data(void **state)
{
    struct rig *rig = rig_new((struct http_server_options){0});

    (void)state;
    rig_send(rig, STR(PREFACE "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0"));
    rig_send(rig, STR("\0\0\x10\1\5\0\0\0\1\x82\x87\x04\x09/trailers\x41\x01"
                      "a"));
    assert_str(buf_str(&rig->log), STR("GET /trailers;"));
    buf_clear(&rig->got);
    rig_send(rig, STR("\0\0\4\x08\0\0\0\0\1\0\0\0\6"));
    assert_str(buf_str(&rig->got), STR("\0\0\6\0\0\0\0\0\1one tw"));
    buf_clear(&rig->got);
    rig_send(rig, STR("\0\0\4\x08\0\0\0\0\1\0\0\0\1"));
    assert_true(str_starts(buf_str(&rig->got), STR("\0\0\1\0\0\0\0\0\1o")));
    /* HEADERS with END_STREAM and END_HEADERS */
    assert_true(
        str_starts(str_from_index(str_from_index(buf_str(&rig->got), 10), 3), STR("\1\5\0\0\0\1")));
    assert_str(buf_str(&rig->log), STR("GET /trailers;end;"));
    rig_free(rig);
}

static void hands_bodies_on_as_they_come(void **state)
{
    struct rig *rig = rig_new_bare((struct http_server_options){0});
    struct h2_peer *p = h2_peer_new(rig_connect(rig));
    struct h2_reply *r = h2_peer_open(p, "POST", STR("/talk"), NULL, 0);

    (void)state;
    rig_run(rig);
    assert_true(r->has_headers);
    h2_peer_send(p, r, STR("first"), false);
    rig_run(rig);
    assert_str(buf_str(&r->body), STR("first"));
    h2_peer_send(p, r, STR("second"), false);
    rig_run(rig);
    assert_str(buf_str(&r->body), STR("firstsecond"));
    h2_peer_send(p, r, STR_NONE, true);
    rig_run(rig);
    assert_true(r->ended && r->error == 0);
    assert_str(buf_str(&rig->log), STR("POST /talk;+first;+second;all;end;"));
    peer_end(rig, p);
}

/* There is no end to what may come, but to the time it may take. */
static void bodies_that_come_take_no_memory_and_end(void **state)
{
    struct rig *rig = rig_new_bare((struct http_server_options){.body_ms = 1000});
    struct h2_peer *p = h2_peer_new(rig_connect(rig));
    struct h2_reply *r = h2_peer_open(p, "POST", STR("/talk"), NULL, 0);
    char piece[10000];

    (void)state;
    memset(piece, 'x', sizeof(piece));
    for (int i = 0; i < 100; i++) {
        h2_peer_send(p, r, (struct str){piece, sizeof(piece)}, false);
        rig_run(rig);
    }
    assert_int_equal(r->body.len, 100 * sizeof(piece));
    clock_test_advance_ms(1100);
    rig_run(rig);
    assert_true(r->ended && r->error != 0);
    assert_int_equal(rig->alive, 0);
    peer_end(rig, p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(refuses_large_bodies),
        cmocka_unit_test(answers_big),
        cmocka_unit_test(streams_with_backpressure),
        cmocka_unit_test(writes_no_more_than_there_is_room_for),
        cmocka_unit_test(streams_small_messages),
        cmocka_unit_test(cancels),
        cmocka_unit_test(aborts),
        cmocka_unit_test(serves_many_streams),
        cmocka_unit_test(ends_with_the_connection),
        cmocka_unit_test(closes_when_idle),
        cmocka_unit_test(closes_floods),
        cmocka_unit_test(closes_rapid_resets),
        cmocka_unit_test(wants_a_preface),
        cmocka_unit_test(honours_closed_windows),
        cmocka_unit_test(messages_stay_within_the_window),
        cmocka_unit_test(windows_may_be_as_large_as_they_get),
        cmocka_unit_test(sends_trailers),
        cmocka_unit_test(trailers_wait_for_the_data),
        cmocka_unit_test(hands_bodies_on_as_they_come),
        cmocka_unit_test(bodies_that_come_take_no_memory_and_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
