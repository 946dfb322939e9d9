/* The event stream: what is told, taken up again, kept from whom it does not concern, cut off. */

#include "harness.h"

#include "api/events.h"

#define KEPT 64

struct tail {
    struct harness *h;
    struct stream *stream;
    struct buf got;
    bool closed;
};

static void tail_data(void *user, struct str data)
{
    struct tail *t = user;

    buf_put(&t->got, data);
}

static void tail_close(void *user, const struct err *why)
{
    struct tail *t = user;

    (void)why;
    t->closed = true;
}

static void tail_open(struct harness *h, struct tail *t, const char *path, const char *key,
                      const char *headers)
{
    static const struct stream_events events = {.on_data = tail_data, .on_close = tail_close};
    struct question q = {.method = "GET", .path = path, .key = key, .headers = headers};
    struct stream *pair[2];

    *t = (struct tail){.h = h, .got = BUF((size_t)16 << 20)};
    stream_pair(h->loop, pair);
    t->stream = pair[1];
    stream_set_events(pair[1], &events, t);
    (void)http_serve(h->server, pair[0], NULL, NULL);
    write_request(h, pair[1], &q);
}

static void tail_free(struct tail *t)
{
    if (!t->closed)
        stream_close(t->stream);
    for (int i = 0; i < WAITS && !t->closed; i++)
        loop_run_once(t->h->loop, 10);
    buf_fini(&t->got);
}

/* The text came, or the stream's end. */
static void tail_wait(struct tail *t, const char *text)
{
    for (int i = 0; i < WAITS && !t->closed && str_find(buf_str(&t->got), str_from(text)) < 0; i++)
        loop_run_once(t->h->loop, 10);
    if (str_find(buf_str(&t->got), str_from(text)) < 0)
        fail_msg("no \"%s\" in:\n%.*s", text, STR_ARG(buf_str(&t->got)));
}

static bool tail_has(const struct tail *t, const char *text)
{
    return str_find(buf_str(&t->got), str_from(text)) >= 0;
}

/* Of the last event. */
static void last_id(const struct tail *t, char out[64])
{
    struct str rest = buf_str(&t->got), line;

    out[0] = '\0';
    while (str_next(&rest, '\n', &line))
        if (str_starts(line, STR("id: ")))
            (void)snprintf(out, 64, "%.*s", STR_ARG(str_trim(str_from_index(line, 4))));
    assert_true(out[0] != '\0');
}

static void user(struct harness *h, const char *name)
{
    char body[64];

    (void)snprintf(body, sizeof(body), "{\"name\":\"%s\"}", name);
    want(h, 200, "POST", "/api/v1/user", body);
}

static int setup(void **state)
{
    struct harness *h = NEW(struct harness);

    harness_start(h, &(struct harness_options){0});
    events_set_kept(h->api->events, KEPT);
    *state = h;
    return 0;
}

static void tells_and_goes_on(void **state)
{
    struct harness *h = *state;
    struct tail t;
    char id[64], header[128], path[128];

    tail_open(h, &t, "/api/v1/events", NULL, NULL);
    tail_wait(&t, "event: hello\ndata: {\"tailnet\":\"default\",\"revision\":");
    assert_true(tail_has(&t, "HTTP/1.1 200"));
    assert_true(tail_has(&t, "content-type: text/event-stream"));
    assert_true(tail_has(&t, "x-accel-buffering: no"));
    assert_true(tail_has(&t, "retry: 3000"));
    user(h, "bob");
    tail_wait(&t, "\"name\":\"bob\"");
    assert_true(tail_has(&t, "event: user\ndata: {\"id\":"));
    assert_true(tail_has(&t, "\"op\":\"put\""));
    want(h, 200, "PUT", "/api/v1/policy", "{\"policy\":\"{}\"}");
    tail_wait(&t, "event: policy");
    assert_false(tail_has(&t, "event: settings"));
    last_id(&t, id);
    tail_free(&t);

    /* Meanwhile something happens; what came before is not told again. */
    user(h, "carol");
    (void)snprintf(header, sizeof(header), "last-event-id: %s\r\n", id);
    tail_open(h, &t, "/api/v1/events", NULL, header);
    tail_wait(&t, "\"name\":\"carol\"");
    assert_false(tail_has(&t, "bob"));
    assert_false(tail_has(&t, "event: hello"));
    assert_false(tail_has(&t, "event: reset"));
    last_id(&t, id);
    tail_free(&t);
    (void)snprintf(path, sizeof(path), "/api/v1/events?since=%s", id);
    user(h, "dave");
    tail_open(h, &t, path, NULL, NULL);
    tail_wait(&t, "\"name\":\"dave\"");
    assert_false(tail_has(&t, "carol"));
    tail_free(&t);
}

static void starts_over_where_it_cannot_go_on(void **state)
{
    static const char *const ids[] = {"1", "1-0000000000000000",    "99999999-1", "x",
                                      "-", "18446744073709551616-1"};
    struct harness *h = *state;
    struct tail t;
    char header[128], id[64];

    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        (void)snprintf(header, sizeof(header), "last-event-id: %s\r\n", ids[i]);
        tail_open(h, &t, "/api/v1/events", NULL, header);
        tail_wait(&t, "event: reset");
        last_id(&t, id);
        tail_free(&t);
    }
    /* One that fell off the ring. */
    for (int i = 0; i <= KEPT; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "u%d", i);
        user(h, name);
    }
    (void)snprintf(header, sizeof(header), "last-event-id: %s\r\n", id);
    tail_open(h, &t, "/api/v1/events", NULL, header);
    tail_wait(&t, "event: reset");
    assert_false(tail_has(&t, "event: user"));
    tail_free(&t);
}

static void tells_each_what_it_may_read(void **state)
{
    struct harness *h = *state;
    struct tail t;
    char bearer[256];

    want(h, 200, "POST", "/api/v1/apikey", "{\"scopes\":[\"users:read\"]}");
    (void)snprintf(bearer, sizeof(bearer), "Bearer %.*s", STR_ARG(json_get_str(h->json, "apiKey")));
    tail_open(h, &t, "/api/v1/events", bearer, NULL);
    tail_wait(&t, "event: hello");
    user(h, "erin");
    want(h, 200, "POST", "/api/v1/preauthkey", "{\"user\":\"erin\",\"aclTags\":[]}");
    want(h, 200, "PUT", "/api/v1/policy", "{\"policy\":\"{} // another\"}");
    user(h, "frank");
    tail_wait(&t, "\"name\":\"frank\"");
    assert_false(tail_has(&t, "event: key"));
    assert_false(tail_has(&t, "event: policy"));
    tail_free(&t);
    want(h, 200, "POST", "/api/v1/apikey", "{\"scopes\":[\"logs:configuration:read\"]}");
    (void)snprintf(bearer, sizeof(bearer), "Bearer %.*s", STR_ARG(json_get_str(h->json, "apiKey")));
    assert_int_equal(
        harness_ask(h,
                    &(struct question){.method = "GET", .path = "/api/v1/events", .key = bearer}),
        403);
    assert_int_equal(
        harness_ask(h, &(struct question){.method = "GET", .path = "/api/v1/events", .key = ""}),
        401);
    want(h, 404, "GET", "/api/v1/events?tailnet=nobody-s", NULL);
}

/* Revoking a key ends what it opened. */
static void ends_with_the_key(void **state)
{
    struct harness *h = *state;
    struct tail t;
    char bearer[256], path[128];

    want(h, 200, "POST", "/api/v1/apikey", "{}");
    struct str key = json_get_str(h->json, "apiKey");
    (void)snprintf(bearer, sizeof(bearer), "Bearer %.*s", STR_ARG(key));
    (void)snprintf(path, sizeof(path), "/api/v1/apikey/%.*s", STR_ARG(str_sub(key, 10, 12)));
    tail_open(h, &t, "/api/v1/events", bearer, NULL);
    tail_wait(&t, "event: hello");
    clock_test_advance_ms(EVENTS_BEAT_MS + 1);
    tail_wait(&t, "\n: \n\n");
    want(h, 200, "DELETE", path, NULL);
    clock_test_advance_ms(EVENTS_BEAT_MS + 1);
    for (int i = 0; i < WAITS && !t.closed; i++)
        loop_run_once(h->loop, 10);
    assert_true(t.closed);
    tail_free(&t);
}

/* A user's key hears what his role lets him read, and nothing once he is out. */
static void ends_with_its_user(void **state)
{
    struct harness *h = *state;
    struct order user_order = {0}, key = {0}, role = {0}, out = {0};
    struct tail t;
    char bearer[256];

    order(h, &user_order, (struct command){.type = COMMAND_USER_CREATE, .name = STR("vera")});
    user_id vera = user_order.call.result.id;
    tailnet_id tailnet = user_order.call.result.user->tailnet;
    order(h, &role,
          (struct command){.type = COMMAND_USER_UPDATE,
                           .id = vera,
                           .fields = USER_FIELD_ROLE,
                           .role = ROLE_BILLING_ADMIN});
    order(h, &key,
          (struct command){.type = COMMAND_API_KEY_CREATE, .tailnet = tailnet, .user = vera});
    (void)snprintf(bearer, sizeof(bearer), "Bearer %.*s", STR_ARG(key.call.result.secret));
    tail_open(h, &t, "/api/v1/events", bearer, NULL);
    tail_wait(&t, "event: hello");
    want(h, 200, "PUT", "/api/v1/policy", "{\"policy\":\"{} // of hers\"}");
    user(h, "walter");
    tail_wait(&t, "\"name\":\"walter\"");
    assert_false(tail_has(&t, "event: policy"));
    order(h, &out, (struct command){.type = COMMAND_USER_SUSPEND, .id = vera});
    for (int i = 0; i < WAITS && !t.closed; i++)
        loop_run_once(h->loop, 10);
    assert_true(t.closed);
    assert_false(tail_has(&t, "suspended"));
    assert_int_equal(
        harness_ask(h,
                    &(struct question){.method = "GET", .path = "/api/v1/events", .key = bearer}),
        401);
    tail_free(&t);
    command_result_fini(&user_order.call.result);
    command_result_fini(&role.call.result);
    command_result_fini(&key.call.result);
    command_result_fini(&out.call.result);
}

static void bounds_streams(void **state)
{
    struct harness *h = *state;
    struct tail t[EVENTS_OF_ONE_MAX];

    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        tail_open(h, &t[i], "/api/v1/events", NULL, NULL);
        tail_wait(&t[i], "event: hello");
    }
    want(h, 429, "GET", "/api/v1/events", NULL);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        tail_free(&t[i]);
    /* The server hears of their ends one after the other. */
    for (bool is_in = false; !is_in;) {
        tail_open(h, &t[0], "/api/v1/events", NULL, NULL);
        tail_wait(&t[0], "HTTP/1.1 ");
        is_in = tail_has(&t[0], "HTTP/1.1 200");
        tail_free(&t[0]);
    }
}

/* Who reads nothing costs a place in the ring, and is cut off at its end. */
static void cuts_off_who_does_not_read(void **state)
{
    struct harness *h = *state;
    struct tail t;

    tail_open(h, &t, "/api/v1/events", NULL, NULL);
    tail_wait(&t, "event: hello");
    stream_read_stop(t.stream);
    for (int i = 0; i < 1200 && !t.closed; i++) {
        char name[16], body[1200], title[1024];

        (void)snprintf(name, sizeof(name), "slow%d", i);
        memset(title, 'x', sizeof(title) - 1);
        title[sizeof(title) - 1] = '\0';
        (void)snprintf(body, sizeof(body), "{\"name\":\"%s\",\"displayName\":\"%s\"}", name, title);
        want(h, 200, "POST", "/api/v1/user", body);
    }
    stream_read_start(t.stream);
    for (int i = 0; i < WAITS && !t.closed; i++)
        loop_run_once(h->loop, 10);
    assert_true(t.closed);
    assert_false(tail_has(&t, "slow1199"));
    tail_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_and_goes_on),
        cmocka_unit_test(starts_over_where_it_cannot_go_on),
        cmocka_unit_test(tells_each_what_it_may_read),
        cmocka_unit_test(ends_with_the_key),
        cmocka_unit_test(ends_with_its_user),
        cmocka_unit_test(bounds_streams),
        cmocka_unit_test(cuts_off_who_does_not_read),
    };

    return cmocka_run_group_tests(tests, setup, tear_down_harness);
}
