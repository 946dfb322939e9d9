/* The questions, asked of an HTTP server of the test's own. */

#include "../unit.h"

#include <stdatomic.h>

#include "core/log.h"
#include "http/server.h"
#include "relay/admission.h"

struct site {
    struct loop *loop;
    struct http_server *server;
    struct listener *listener;
    struct str url; /* owned */
    int status;
    struct str answer;
    struct buf got; /* the last body */
    struct worker_pool *pool;
    struct worker_job job;
    struct str ask_url;
    struct ip_addr from;
    enum verdict verdict;
    bool is_done;
};

static void on_verify(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct site *s = user;

    buf_clear(&s->got);
    buf_put(&s->got, req->body);
    http_respond(x, s->status, "application/json", s->answer);
}

static void on_accept(void *user, struct stream *stream)
{
    http_serve(((struct site *)user)->server, stream, NULL, NULL);
}

static const struct node_key key = {.b = {0xab, 0xcd}};

static void work(struct worker_job *job)
{
    struct site *s = CONTAINER_OF(job, struct site, job);
    struct admission_urls urls = {.url = s->ask_url};

    s->verdict = admission_ask_urls(&urls, &key, s->from);
}

static void done(struct worker_job *job)
{
    CONTAINER_OF(job, struct site, job)->is_done = true;
}

static enum verdict ask(struct site *s, struct str url, int status, const char *answer)
{
    s->status = status;
    s->answer = str_from(answer);
    s->ask_url = url;
    s->is_done = false;
    s->job = (struct worker_job){.work = work, .done = done, .loop = s->loop};
    worker_submit(s->pool, &s->job);
    for (int i = 0; i < 2000 && !s->is_done; i++)
        loop_run_once(s->loop, 5);
    assert_true(s->is_done);
    return s->verdict;
}

static void believes_what_the_server_says(void **state)
{
    static const struct http_route routes[] = {{"POST", "/verify", on_verify, 4096}};
    struct site s = {.got = BUF(8192), .from = IP_ADDR_V4(192, 0, 2, 7)};
    const struct http_server_options options = {.routes = routes, .n_routes = 1, .user = &s};
    struct err err = {0};
    char large[6000];

    (void)state;
    log_init(LOG_OFF, LOG_TEXT, -1);
    assert_int_equal(loop_new("test", &s.loop, &err), 0);
    assert_int_equal(worker_pool_new(1, &s.pool, &err), 0);
    s.server = http_server_new(&options);
    const struct listener_options at = {
        .addr.addr = IP_ADDR_V4(127, 0, 0, 1), .on_accept = on_accept, .user = &s};

    assert_int_equal(listener_open(s.loop, &at, &s.listener, &err), 0);
    s.url = str_printf("http://127.0.0.1:%u/verify", listener_addr(s.listener).port);

    assert_int_equal(ask(&s, s.url, 200, "{\"Allow\":true}"), VERDICT_ALLOW);
    assert_str(buf_str(&s.got),
               STR("{\"NodePublic\":\"nodekey:abcd00000000000000000000000000000000000"
                   "0000000000000000000000000\",\"Source\":\"192.0.2.7\"}"));
    /* IPv4 in IPv6 clothes is told as IPv4. */
    s.from = (struct ip_addr){.family = IP_V6, .bytes = {[10] = 0xff, 0xff, 192, 0, 2, 8}};
    assert_int_equal(ask(&s, s.url, 200, "{\"Allow\":false}"), VERDICT_DENY);
    assert_true(str_find(buf_str(&s.got), STR("\"Source\":\"192.0.2.8\"")) > 0);

    assert_int_equal(ask(&s, s.url, 200, "{}"), VERDICT_DENY);
    assert_int_equal(ask(&s, s.url, 200, "{\"Allow\":\"true\"}"), VERDICT_DENY);
    assert_int_equal(ask(&s, s.url, 200, "[true]"), VERDICT_DENY);
    assert_int_equal(ask(&s, s.url, 200, "yes"), VERDICT_DENY);
    assert_int_equal(ask(&s, s.url, 200, ""), VERDICT_DENY);
    assert_int_equal(ask(&s, s.url, 500, "{\"Allow\":true}"), VERDICT_DENY);
    assert_int_equal(ask(&s, s.url, 404, "{\"Allow\":true}"), VERDICT_DENY);
    memset(large, ' ', sizeof(large));
    memcpy(large + sizeof(large) - 15, "{\"Allow\":true}", 15);
    assert_int_equal(ask(&s, s.url, 200, large), VERDICT_DENY);

    listener_close(s.listener);
    for (int i = 0; i < 5; i++)
        loop_run_once(s.loop, 1);
    assert_int_equal(ask(&s, s.url, 200, "{\"Allow\":true}"), VERDICT_UNREACHABLE);
    assert_int_equal(ask(&s, STR("http://127.0.0.1:1/verify"), 200, ""), VERDICT_UNREACHABLE);

    worker_pool_free(s.pool);
    loop_free(s.loop);
    http_server_free(s.server);
    buf_fini(&s.got);
    str_free(&s.url);
}

/* Without a tailscaled that answers nobody comes in, whatever a URL would say. */
static void needs_tailscaled_when_told_so(void **state)
{
    struct admission_urls urls = {.tailscaled = true, .socket = STR("/nowhere/tailscaled.sock")};

    (void)state;
    log_init(LOG_OFF, LOG_TEXT, -1);
    assert_int_equal(admission_ask_urls(&urls, &key, IP_ADDR_V4(192, 0, 2, 1)), VERDICT_DENY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(believes_what_the_server_says),
        cmocka_unit_test(needs_tailscaled_when_told_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
