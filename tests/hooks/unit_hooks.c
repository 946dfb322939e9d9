/* The threads that send, against a receiver of our own. */

#include <pthread.h>
#include <signal.h>

#include "../tailnet/fixture.h"

#include "core/buf.h"
#include "core/clock.h"
#include "crypto/hash.h"
#include "hooks/hooks.h"
#include "http/server.h"

struct receiver {
    struct loop *loop;
    struct http_server *server;
    struct listener *listener;
    char url[64];
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct str secret;
    int refusals; /* that many are answered 503 first */
    size_t refused, taken, forged;
    struct buf bodies; /* of those taken, one a line */
    uint64_t done[64];
    size_t n_done;
};

/* t=…,v1=… over what came. */
static bool is_signed(const struct receiver *r, const struct http_request *req)
{
    struct str header = http_header_get(req, STR("tailscale-webhook-signature")), t, v1;
    struct buf text = BUF(65536), want = BUF(128);
    uint8_t mac[HASH_BYTES];
    bool ok;

    if (!str_split(header, ',', &t, &v1) || !str_starts(t, STR("t=")) ||
        !str_starts(v1, STR("v1=")))
        return false;
    buf_printf(&text, "%.*s.%.*s", STR_ARG(str_from_index(t, 2)), STR_ARG(req->body));
    sha256_hmac(r->secret, buf_str(&text), mac);
    buf_put_hex(&want, str_bytes(mac, sizeof(mac)));
    ok = str_eq(buf_str(&want), str_from_index(v1, 3));
    buf_fini(&text);
    buf_fini(&want);
    return ok;
}

static void on_hook(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct receiver *r = user;
    int status = 204;

    (void)pthread_mutex_lock(&r->lock);
    if (r->refusals > 0) {
        r->refusals--;
        r->refused++;
        status = 503;
    } else if (!is_signed(r, req)) {
        r->forged++;
    } else {
        r->taken++;
        buf_put(&r->bodies, req->body);
        buf_put_char(&r->bodies, '\n');
    }
    (void)pthread_cond_broadcast(&r->more);
    (void)pthread_mutex_unlock(&r->lock);
    http_respond(x, status, NULL, STR_NONE);
}

static void on_redirect(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct receiver *r = user;

    (void)req;
    (void)pthread_mutex_lock(&r->lock);
    r->refused++;
    (void)pthread_cond_broadcast(&r->more);
    (void)pthread_mutex_unlock(&r->lock);
    http_add_header(x, STR("location"), STR("/hook"));
    http_respond(x, 307, NULL, STR_NONE);
}

static void on_accept(void *user, struct stream *s)
{
    struct receiver *r = user;

    http_serve(r->server, s, r, NULL);
}

static void on_done(void *user, const uint64_t *ids, size_t n)
{
    struct receiver *r = user;

    (void)pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < n; i++)
        r->done[r->n_done++] = ids[i];
    (void)pthread_cond_broadcast(&r->more);
    (void)pthread_mutex_unlock(&r->lock);
}

static void wait_for(struct receiver *r, const size_t *what, size_t at_least)
{
    (void)pthread_mutex_lock(&r->lock);
    while (*what < at_least)
        (void)pthread_cond_wait(&r->more, &r->lock); /* the test's own time limit ends it */
    (void)pthread_mutex_unlock(&r->lock);
}

static void receiver_open(struct receiver *r)
{
    static const struct http_route routes[] = {
        {"POST", "/hook", on_hook, 0},
        {"POST", "/moved", on_redirect, 0},
    };
    const struct http_server_options options = {
        .routes = routes, .n_routes = ARRAY_LEN(routes), .user = r};
    struct listener_options listen = {.on_accept = on_accept, .user = r};
    struct err err;

    *r = (struct receiver){.bodies = BUF(65536)};
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->more, NULL);
    assert_int_equal(loop_new("receiver", &r->loop, &err), 0);
    r->server = http_server_new(&options);
    assert_true(ip_addrport_parse(STR("127.0.0.1:0"), &listen.addr));
    assert_int_equal(listener_open(r->loop, &listen, &r->listener, &err), 0);
    (void)snprintf(r->url, sizeof(r->url), "http://127.0.0.1:%u", listener_addr(r->listener).port);
    assert_int_equal(loop_thread_start(r->loop, &err), 0);
}

static void receiver_close(struct receiver *r)
{
    loop_stop(r->loop);
    loop_thread_join(r->loop);
    listener_close(r->listener);
    loop_free(r->loop);
    http_server_free(r->server);
    str_free(&r->secret);
    buf_fini(&r->bodies);
    (void)pthread_mutex_destroy(&r->lock);
    (void)pthread_cond_destroy(&r->more);
}

static struct hooks *start(struct receiver *r, bool allow_local)
{
    const struct hooks_options options = {
        .allow_local = allow_local, .on_done = on_done, .user = r};
    struct hooks *h = NULL;
    struct err err;

    assert_int_equal(hooks_new(&options, &h, &err), 0);
    return h;
}

static webhook_id make(struct fixture *f, struct receiver *r, const char *path)
{
    struct str_list list = list_of("categoryTailnetManagement");
    struct str url = str_printf("%s%s", r->url, path);

    fixture_done(f, (struct command){.type = COMMAND_WEBHOOK_CREATE, .text = url, .scopes = list});
    str_free(&r->secret);
    r->secret = str_copy(f->result.secret);
    str_list_free(&list);
    str_free(&url);
    return f->result.id;
}

static void send(struct hooks *h, webhook_id to, uint64_t id, const char *body)
{
    struct delivery *d = delivery_new();

    d->id = id;
    d->webhook = to;
    d->tailnet = 1;
    d->event = EVENT_NODE_CREATED;
    d->created_ms = clock_unix_ms();
    d->body = str_copy(str_from(body));
    hooks_send(h, d);
    delivery_unref(d);
}

static void delivers_in_order_after_a_failure(void **state)
{
    struct receiver r;
    struct fixture f;

    (void)state;
    receiver_open(&r);
    fixture_init(&f);
    webhook_id id = make(&f, &r, "/hook");
    r.refusals = 1;
    struct hooks *h = start(&r, true);
    hooks_set_endpoints(h, 1, fixture_view(&f));
    send(h, id, 1, "{\"n\":1}");
    wait_for(&r, &r.refused, 1);
    send(h, id, 2, "{\"n\":2}");
    send(h, id, 3, "{\"n\":3}");
    wait_for(&r, &r.n_done, 3);
    hooks_stop(h);
    assert_int_equal(r.forged, 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(r.done[i], i + 1);
    /* However they were put together. */
    struct str got = buf_str(&r.bodies);
    ptrdiff_t one = str_find(got, STR("{\"n\":1}")), two = str_find(got, STR("{\"n\":2}")),
              three = str_find(got, STR("{\"n\":3}"));
    assert_true(one >= 0 && one < two && two < three);
    hooks_free(h);
    fixture_fini(&f);
    receiver_close(&r);
}

static void follows_nobody_elsewhere(void **state)
{
    struct receiver r;
    struct fixture f;

    (void)state;
    receiver_open(&r);
    fixture_init(&f);
    webhook_id id = make(&f, &r, "/moved");
    struct hooks *h = start(&r, true);
    hooks_set_endpoints(h, 1, fixture_view(&f));
    send(h, id, 1, "{}");
    /* It is tried where it was, twice. */
    wait_for(&r, &r.refused, 2);
    assert_int_equal(r.taken, 0);
    assert_int_equal(r.n_done, 0);
    /* The endpoint goes: so does what waits for it. */
    fixture_done(&f, (struct command){.type = COMMAND_WEBHOOK_DELETE, .id = id});
    hooks_set_endpoints(h, 1, fixture_view(&f));
    wait_for(&r, &r.n_done, 1);
    send(h, id, 2, "{}");
    wait_for(&r, &r.n_done, 2);
    hooks_free(h);
    fixture_fini(&f);
    receiver_close(&r);
}

static void stays_off_this_machine_unless_told(void **state)
{
    struct receiver r;
    struct fixture f;

    (void)state;
    receiver_open(&r);
    fixture_init(&f);
    webhook_id id = make(&f, &r, "/hook");
    struct hooks *h = start(&r, false);
    hooks_set_endpoints(h, 1, fixture_view(&f));
    send(h, id, 1, "{}");
    /* One that is allowed and was sent later has gone through meanwhile, twice over. */
    struct hooks *other = start(&r, true);
    hooks_set_endpoints(other, 1, fixture_view(&f));
    r.refusals = 1;
    send(other, id, 2, "{}");
    wait_for(&r, &r.n_done, 1);
    assert_int_equal(r.done[0], 2);
    assert_int_equal(r.taken, 1);
    hooks_free(h);
    hooks_free(other);
    fixture_fini(&f);
    receiver_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers_in_order_after_a_failure),
        cmocka_unit_test(follows_nobody_elsewhere),
        cmocka_unit_test(stays_off_this_machine_unless_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
