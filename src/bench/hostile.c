/*
 * What a hostile client may try. Each case says what must come back; between the cases a client
 * that behaves must be served as ever.
 */

#include <unistd.h>

#include "bench/hostile_internal.h"
#include "client/control_client.h"
#include "client/netmap_state.h"
#include "core/clock.h"
#include "core/mem.h"
#include "wire/request.h"

#define FLOOD 1500

/* ---- A client that behaves, and one that lies inside its channel ---- */

struct session {
    struct loop *loop;
    struct control_client *client;
    struct machine_private machine;
    struct node_key key;
    struct netmap_state state;
    struct control_map *map;
    bool ready, failed, gone, answered, first_ended;
    int status;
    struct buf body;
};

static void on_ready(void *user, const struct err *err)
{
    struct session *s = user;

    s->ready = err == NULL;
    s->failed = err != NULL;
}

static void on_close(void *user)
{
    struct session *s = user;

    s->gone = true;
    s->client = NULL;
}

static void on_answer(void *user, int status, struct str body, const struct err *err)
{
    struct session *s = user;

    (void)err;
    s->answered = true;
    s->status = status;
    buf_clear(&s->body);
    buf_put(&s->body, body);
}

static void on_message(void *user, const struct json_value *message, size_t frame_bytes)
{
    struct session *s = user;

    (void)frame_bytes;
    IGNORE(netmap_state_apply(&s->state, message));
}

static void on_map_end(void *user, int status, const struct err *err)
{
    struct session *s = user;

    (void)status;
    (void)err;
    s->map = NULL;
    s->first_ended = true;
}

static const struct control_map_events map_events = {.on_message = on_message,
                                                     .on_end = on_map_end};

static void wait_for(struct session *s, const bool *flag)
{
    int64_t end = clock_mono_ms() + ANSWER_MS;

    while (!*flag && !s->failed && !s->gone && clock_mono_ms() < end)
        loop_run_once(s->loop, 20);
}

/* Until there were more messages than that. */
static void wait_message(struct session *s, size_t before)
{
    int64_t end = clock_mono_ms() + ANSWER_MS;

    while (s->state.messages <= before && !s->failed && !s->gone && clock_mono_ms() < end)
        loop_run_once(s->loop, 20);
}

static bool session_begin_as(struct hostile *h, struct session *s, struct loop *loop,
                             uint16_t version, bool websocket)
{
    struct node_private node;

    *s = (struct session){.loop = loop, .body = BUF((size_t)1 << 20)};
    machine_private_generate(&s->machine);
    node_private_generate(&node);
    node_private_public(&node, &s->key);
    netmap_state_init(&s->state);
    const struct control_client_options options = {.loop = loop,
                                                   .addr = h->o->addr,
                                                   .authority = h->o->authority,
                                                   .server = h->server,
                                                   .machine = &s->machine,
                                                   .version = version,
                                                   .websocket = websocket,
                                                   .on_ready = on_ready,
                                                   .on_close = on_close,
                                                   .user = s};
    s->client = control_client_new(&options);
    wait_for(s, &s->ready);
    return s->ready;
}

static bool session_begin(struct hostile *h, struct session *s, struct loop *loop, bool websocket)
{
    return session_begin_as(h, s, loop, 142, websocket);
}

static void session_end(struct session *s)
{
    if (s->client)
        control_client_close(s->client);
    wait_for(s, &s->gone);
    netmap_state_fini(&s->state);
    buf_fini(&s->body);
}

/* The status of a POST, 0 when none came. */
static int ask(struct session *s, struct str path, struct str body)
{
    s->answered = false;
    s->status = 0;
    control_client_post(s->client, path, body, on_answer, s);
    wait_for(s, &s->answered);
    return s->status;
}

static bool join(struct hostile *h, struct session *s, const char *hostname)
{
    struct buf body = BUF(65536);
    const struct wire_register_encode reg = {
        .version = 142, .key = s->key, .auth_key = h->o->auth_key, .hostname = str_from(hostname)};
    const struct wire_map_encode map = {
        .version = 142, .key = s->key, .zstd = true, .stream = true};

    wire_register_request_encode(&reg, &body);
    bool ok = ask(s, STR("/machine/register"), buf_str(&body)) == 200 &&
              str_find(buf_str(&s->body), STR("\"Error\":\"\"")) >= 0;

    if (!ok)
        ok = s->status == 200 && str_find(buf_str(&s->body), STR("Error")) < 0;
    if (ok) {
        buf_clear(&body);
        wire_map_request_encode(&map, &body);
        s->map = control_client_map(s->client, buf_str(&body), true, &map_events, s);
        wait_for(s, &s->state.has_self);
    }
    buf_fini(&body);
    return ok && s->state.has_self;
}

/* The one that behaves still has its stream and is answered. */
static void check_good(struct hostile *h, struct session *good)
{
    struct buf body = BUF(65536);
    const struct wire_map_encode lite = {
        .version = 142, .key = good->key, .zstd = true, .omit_peers = true};

    wire_map_request_encode(&lite, &body);
    int status = good->client ? ask(good, STR("/machine/map"), buf_str(&body)) : 0;

    if (status != 200 || !good->map)
        verdict(h, "the client that behaves is served meanwhile", false, buf_str(&good->body));
    buf_fini(&body);
}

static void expect_status(struct hostile *h, struct session *s, const char *name, struct str path,
                          struct str body, int want, int or_want)
{
    int status = s->client ? ask(s, path, body) : 0;
    char text[32];

    (void)snprintf(text, sizeof(text), "status %d", status);
    verdict(h, name, status == want || status == or_want, str_from(text));
}

static void lies(struct hostile *h, struct loop *loop, const struct session *good)
{
    struct session s;
    struct buf body = BUF((size_t)8 << 20);
    const struct wire_map_encode theirs = {
        .version = 142, .key = good->key, .zstd = true, .omit_peers = true};
    const struct wire_map_encode their_stream = {
        .version = 142, .key = good->key, .zstd = true, .stream = true};
    const struct wire_register_encode reg = {
        .version = 142, .key = good->key, .hostname = STR("thief")};

    if (!session_begin(h, &s, loop, false)) {
        verdict(h, "a channel for the liar", false, STR("none"));
        session_end(&s);
        return;
    }
    wire_map_request_encode(&theirs, &body);
    expect_status(h, &s, "another node's key in a lite update", STR("/machine/map"), buf_str(&body),
                  401, 404);
    buf_clear(&body);
    wire_map_request_encode(&their_stream, &body);
    expect_status(h, &s, "another node's key in a map stream", STR("/machine/map"), buf_str(&body),
                  401, 404);
    buf_clear(&body);
    wire_register_request_encode(&reg, &body);
    expect_status(h, &s, "another node's key in a registration", STR("/machine/register"),
                  buf_str(&body), 401, 401);
    expect_status(h, &s, "a body that is not JSON", STR("/machine/map"), STR("{\"NodeKey\":"), 400,
                  400);
    expect_status(h, &s, "a member of the wrong type", STR("/machine/register"),
                  STR("{\"NodeKey\":[1,2,3]}"), 400, 400);
    expect_status(h, &s, "what is not offered", STR("/machine/tka/init/begin"), STR("{}"), 501,
                  404);
    buf_clear(&body);
    for (int i = 0; i < 70000; i++)
        buf_put(&body, STR("[[[[[[[[[[[[[["));
    expect_status(h, &s, "a body nested without end", STR("/machine/map"),
                  str_sub(buf_str(&body), 0, 500000), 400, 400);
    expect_status(h, &s, "a body of two megabytes", STR("/machine/map"),
                  str_sub(buf_str(&body), 0, 2000000 > body.len ? body.len : 2000000),
                  body.len > ((size_t)1 << 20) ? 413 : 400, 413);
    buf_fini(&body);
    session_end(&s);
}

/* Not hostile, but only browsers do it: the channel over a WebSocket. */
static void over_websocket(struct hostile *h, struct loop *loop)
{
    struct session s;

    bool joined = session_begin(h, &s, loop, true) && join(h, &s, "browser");

    verdict(h, "a client joins over a WebSocket", joined, buf_str(&s.body));
    session_end(&s);
}

/* Nor is this: a release too old to be served learns so, in words that its command line shows. */
static void too_old(struct hostile *h, struct loop *loop, uint16_t version)
{
    struct session s;
    struct buf body = BUF(65536);
    const struct wire_register_encode reg = {
        .version = version, .key = {{1}}, .auth_key = h->o->auth_key, .hostname = STR("old")};
    const struct wire_map_encode map = {.version = version, .key = {{1}}, .stream = true};
    bool begun = session_begin_as(h, &s, loop, version, false);

    wire_register_request_encode(&reg, &body);
    int status = begun ? ask(&s, STR("/machine/register"), buf_str(&body)) : 0;
    bool told = status == 200 && str_find(buf_str(&s.body), STR("client is too old")) >= 0;
    verdict(h, "a release too old is told so when it registers", told, buf_str(&s.body));
    buf_clear(&body);
    wire_map_request_encode(&map, &body);
    status = begun ? ask(&s, STR("/machine/map"), buf_str(&body)) : 0;
    told = status == 400 && str_find(buf_str(&s.body), STR("client is too old")) >= 0;
    verdict(h, "a release too old is told so when it asks for a map", told, buf_str(&s.body));
    buf_fini(&body);
    session_end(&s);
}

/* Gone before the answer: what they sent goes with them, and nothing may still be read of it. */
static void leave_while_registering(struct hostile *h, struct loop *loop)
{
    struct session s;
    struct buf body = BUF(65536);
    size_t left = 0;

    for (int i = 0; i < 24; i++) {
        struct wire_register_encode reg = {
            .version = 142, .auth_key = h->o->auth_key, .hostname = STR("gone")};

        if (session_begin(h, &s, loop, false)) {
            reg.key = s.key;
            buf_clear(&body);
            wire_register_request_encode(&reg, &body);
            control_client_post(s.client, STR("/machine/register"), buf_str(&body), on_answer, &s);
            for (int turn = 0; turn < i % 4; turn++)
                loop_run_once(loop, 0);
            left++;
        }
        session_end(&s);
    }
    buf_fini(&body);
    verdict(h, "clients leave while they register", left == 24, STR("some had no channel"));
}

/* A second stream of one node takes over: the first ends, in order, and the second goes on. */
static void second_stream(struct hostile *h, struct session *good)
{
    struct buf body = BUF(65536);
    const struct wire_map_encode map = {
        .version = 142, .key = good->key, .zstd = true, .stream = true};
    size_t before = good->state.messages;

    good->first_ended = false;
    wire_map_request_encode(&map, &body);
    struct control_map *second =
        control_client_map(good->client, buf_str(&body), true, &map_events, good);

    wait_for(good, &good->first_ended);
    wait_message(good, before);
    good->map = second;
    verdict(h, "a second stream of one node takes over",
            good->first_ended && good->state.messages > before, STR("the first stayed"));
    buf_fini(&body);
}

static void flood(struct hostile *h, struct session *good)
{
    int *fds = mem_alloc_array(FLOOD, sizeof(*fds));
    size_t open = 0;

    for (size_t i = 0; i < FLOOD; i++) {
        fds[i] = raw_open(h);
        if (fds[i] < 0)
            break;
        open++;
        if (i % 3 == 0)
            (void)raw_send(fds[i], STR("GET /ke"));
    }
    check_good(h, good);
    one_shot(h, "a request while idle connections flood in",
             STR("GET /key?v=142 HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 200");
    for (size_t i = 0; i < open; i++)
        (void)close(fds[i]);
    mem_free(fds);
}

int bench_hostile(const struct bench_options *o)
{
    struct hostile h = {.o = o};
    struct session good = {0};
    struct loop *loop = NULL;
    struct err err = {0};

    if (o->addr.addr.family != IP_V4) {
        (void)fprintf(stderr, "Error: the hostile cases want an IPv4 address\n");
        return 1;
    }
    if (control_fetch_key(o->url, &h.server, &err) < 0 || loop_new("hostile", &loop, &err) < 0) {
        (void)fprintf(stderr, "Error: %s\n", err.text);
        return 1;
    }
    bool joined = session_begin(&h, &good, loop, false) && join(&h, &good, "good");

    verdict(&h, "a client that behaves joins", joined, buf_str(&good.body));
    if (joined) {
        hostile_strangers(&h);
        check_good(&h, &good);
        lies(&h, loop, &good);
        check_good(&h, &good);
        hostile_h2(&h);
        check_good(&h, &good);
        over_websocket(&h, loop);
        too_old(&h, loop, 101);
        too_old(&h, loop, 68);
        leave_while_registering(&h, loop);
        second_stream(&h, &good);
        check_good(&h, &good);
        flood(&h, &good);
        check_good(&h, &good);
        verdict(&h, "the client that behaves kept its stream", good.map != NULL, STR("it ended"));
    }
    session_end(&good);
    loop_free(loop);
    printf("%zu passed, %zu failed\n", h.passed, h.failed);
    return h.failed > 0;
}
