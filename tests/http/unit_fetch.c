/* http_fetch against our own server in another thread: Unix socket and TCP. */

#include <signal.h>
#include <unistd.h>

#include "unit.h"

#include "core/clock.h"
#include "harness.h"
#include "http/client.h"

static void on_accept(void *user, struct stream *s)
{
    struct rig *rig = user;

    http_serve(rig->server, s, rig, NULL);
}

struct place {
    struct rig *rig;
    struct listener *tcp;
    struct listener *local;
    char path[64];
    char url[64];
};

static int place_open(void **state)
{
    struct place *p = NEW(struct place);
    struct err err;

    /* As the server does: writing to a client that went is an error, not an end. */
    (void)signal(SIGPIPE, SIG_IGN);

    p->rig = rig_new_bare((struct http_server_options){0});
    (void)snprintf(p->path, sizeof(p->path), "/tmp/hatsize-fetch-%d.sock", (int)getpid());
    struct listener_options unix_options = {
        .unix_path = str_from(p->path), .on_accept = on_accept, .user = p->rig};
    struct listener_options tcp_options = {.on_accept = on_accept, .user = p->rig};

    assert_true(ip_addrport_parse(STR("127.0.0.1:0"), &tcp_options.addr));
    assert_int_equal(listener_open(p->rig->loop, &unix_options, &p->local, &err), 0);
    assert_int_equal(listener_open(p->rig->loop, &tcp_options, &p->tcp, &err), 0);
    (void)snprintf(p->url, sizeof(p->url), "http://127.0.0.1:%u", listener_addr(p->tcp).port);
    assert_int_equal(loop_thread_start(p->rig->loop, &err), 0);
    *state = p;
    return 0;
}

static int place_close(void **state)
{
    struct place *p = *state;

    loop_stop(p->rig->loop);
    loop_thread_join(p->rig->loop);
    rig_free(p->rig);
    (void)unlink(p->path);
    mem_free(p);
    return 0;
}

static int get(const struct place *p, bool local, const char *path, struct http_fetch_options o,
               struct buf *body, struct err *err)
{
    char url[200];
    int status = 0;

    (void)snprintf(url, sizeof(url), "%s%s", local ? "http://local" : p->url, path);
    o.url = url;
    o.unix_path = local ? p->path : NULL;
    buf_clear(body);
    int got = http_fetch(&o, &status, body, err);

    return got < 0 ? got : status;
}

static void fetches(void **state)
{
    const struct place *p = *state;
    struct buf body = BUF((size_t)64 << 20);
    struct str big = big_text();
    struct err err;

    for (int local = 0; local < 2; local++) {
        assert_int_equal(get(p, local, "/hello", (struct http_fetch_options){0}, &body, &err), 200);
        assert_str(buf_str(&body), STR("hello"));
        assert_int_equal(
            get(p, local, "/echo", (struct http_fetch_options){.body = STR("world")}, &body, &err),
            200);
        assert_str(buf_str(&body), STR("world"));
        assert_int_equal(
            get(p, local, "/echo", (struct http_fetch_options){.method = "POST"}, &body, &err),
            200);
        assert_str(buf_str(&body), STR(""));
        assert_int_equal(
            get(p, local, "/echo", (struct http_fetch_options){.body = big}, &body, &err), 413);
        assert_int_equal(
            get(p, local, "/hello", (struct http_fetch_options){.method = "DELETE"}, &body, &err),
            405);
        assert_int_equal(
            get(p, local, "/hello", (struct http_fetch_options){.method = "HEAD"}, &body, &err),
            200);
        assert_int_equal(get(p, local, "/nope", (struct http_fetch_options){0}, &body, &err), 404);
        assert_int_equal(get(p, local, "/big", (struct http_fetch_options){0}, &body, &err), 200);
        assert_true(str_eq(buf_str(&body), big));
    }
    str_free(&big);
    buf_fini(&body);
}

static void reports_failures(void **state)
{
    const struct place *p = *state;
    struct buf body = BUF((size_t)64 << 20);
    struct err err;

    assert_int_equal(
        get(p, true, "/big", (struct http_fetch_options){.max_body = 1000}, &body, &err),
        -ERR_LIMIT);
    assert_int_equal(
        get(p, true, "/later", (struct http_fetch_options){.timeout_ms = 200}, &body, &err),
        -ERR_IO);
    assert_int_equal(
        get(p, true, "/hello", (struct http_fetch_options){.bearer = STR("a\nb")}, &body, &err),
        -ERR_INVALID);
    int status = 0;
    struct http_fetch_options nobody = {.url = "http://x/", .unix_path = "/nonexistent/socket"};

    assert_int_equal(http_fetch(&nobody, &status, &body, &err), -ERR_IO);
    assert_true(str_find(str_from(err.text), STR("/nonexistent/socket")) >= 0);
    struct http_fetch_options file = {.url = "file:///etc/passwd"};

    assert_true(http_fetch(&file, &status, &body, &err) < 0);
    buf_fini(&body);
}

static void keep_length(void *user, struct str name, struct str value)
{
    if (str_eq_nocase(name, STR("content-length")))
        assert_true(str_parse_u64(value, user));
}

static void tells_headers(void **state)
{
    const struct place *p = *state;
    struct buf body = BUF((size_t)64 << 20);
    uint64_t length = 0;
    struct err err;

    assert_int_equal(get(p, false, "/hello",
                         (struct http_fetch_options){.on_header = keep_length, .user = &length},
                         &body, &err),
                     200);
    assert_int_equal(length, 5);
    buf_fini(&body);
}

/* Long before its time is over. */
static void can_be_cancelled(void **state)
{
    const struct place *p = *state;
    _Atomic(bool) cancelled = true;
    struct buf body = BUF(1000);
    struct err err;
    int64_t began = clock_mono_ms();

    assert_int_equal(get(p, false, "/later",
                         (struct http_fetch_options){.timeout_ms = 60000, .cancelled = &cancelled},
                         &body, &err),
                     -ERR_IO);
    assert_in_range(clock_mono_ms() - began, 0, 10000);
    buf_fini(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetches),
        cmocka_unit_test(reports_failures),
        cmocka_unit_test(tells_headers),
        cmocka_unit_test(can_be_cancelled),
    };

    return cmocka_run_group_tests(tests, place_open, place_close);
}
