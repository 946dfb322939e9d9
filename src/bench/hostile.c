/*
 * What a hostile client may try. Each case says what must come back; between the cases a client
 * that behaves must be served as ever.
 */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "bench/bench.h"
#include "client/control_client.h"
#include "client/netmap_state.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"
#include "noise/handshake.h"
#include "wire/request.h"

#define ANSWER_MS 5000
#define SLOW_MS 15000 /* past the server's limit for headers */
#define FLOOD 1500

struct hostile {
    const struct bench_options *o;
    struct machine_key server;
    size_t passed, failed;
};

/* ---- Raw connections ---- */

static int raw_open(const struct hostile *h)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(h->o->addr.port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(&in.sin_addr, h->o->addr.addr.bytes, 4);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void raw_send(int fd, struct str data)
{
    while (data.len > 0) {
        ssize_t n = send(fd, data.ptr, data.len, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        data = str_from_index(data, (size_t)n);
    }
}

/* Reads until the server closes (true) or `ms` have passed (false), or `enough` bytes came (false).
 */
static bool raw_read(int fd, struct buf *got, size_t enough, int64_t ms)
{
    int64_t end = clock_mono_ms() + ms;

    while (got->len < enough) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = end - clock_mono_ms();

        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return false;
        char *at = buf_reserve(got, 4096);
        ssize_t n = at ? read(fd, at, 4096) : 0;

        if (n <= 0)
            return true;
        buf_added(got, (size_t)n);
    }
    return false;
}

static void verdict(struct hostile *h, const char *name, bool ok, struct str detail)
{
    size_t shown = MIN(detail.len, (size_t)80);

    ok ? h->passed++ : h->failed++;
    printf("%s hostile: %s%s%.*s\n", ok ? "ok  " : "FAIL", name, ok ? "" : ": got ",
           ok ? 0 : (int)shown, detail.ptr ? detail.ptr : "");
}

/* Sends once; the answer must begin with `want`, or, if that is NULL, the server must close. */
static void one_shot(struct hostile *h, const char *name, struct str data, const char *want)
{
    struct buf got = BUF((size_t)1 << 20);
    int fd = raw_open(h);
    bool closed = false;

    if (fd >= 0) {
        raw_send(fd, data);
        closed = raw_read(fd, &got, want ? 12 : SIZE_MAX, ANSWER_MS);
        (void)close(fd);
    }
    verdict(h, name, fd >= 0 && (want ? str_starts(buf_str(&got), str_from(want)) : closed),
            buf_str(&got));
    buf_fini(&got);
}

static struct str upgrade_request(struct str handshake_text)
{
    return str_printf(
        "POST /ts2021 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: upgrade\r\n"
        "Upgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: %.*s\r\n\r\n",
        STR_ARG(handshake_text));
}

static void bad_handshake(struct hostile *h, const char *name, size_t bytes, const char *want)
{
    struct buf text = BUF((size_t)4 << 20);
    uint8_t *noise = mem_alloc(bytes + 1);

    rand_bytes(noise, bytes);
    buf_put_base64(&text, str_bytes(noise, bytes));
    struct str request = upgrade_request(buf_str(&text));

    one_shot(h, name, request, want);
    str_free(&request);
    buf_fini(&text);
    mem_free(noise);
}

/* ---- Behind a real handshake ---- */

struct shaken {
    int fd;
    struct noise_session session;
    uint8_t initiation[NOISE_INITIATION_BYTES];
    struct machine_private machine;
};

static bool send_initiation(const struct hostile *h, int fd, const uint8_t *initiation,
                            struct buf *answer)
{
    struct buf text = BUF(4096);

    (void)h;
    buf_put_base64(&text, str_bytes(initiation, NOISE_INITIATION_BYTES));
    struct str request = upgrade_request(buf_str(&text));

    raw_send(fd, request);
    str_free(&request);
    buf_fini(&text);
    for (int i = 0; i < 50; i++) {
        ptrdiff_t end = str_find(buf_str(answer), STR("\r\n\r\n"));

        if (end >= 0 && answer->len >= (size_t)end + 4 + NOISE_RESPONSE_BYTES) {
            buf_drop(answer, (size_t)end + 4);
            return true;
        }
        if (raw_read(fd, answer, answer->len + 1, ANSWER_MS))
            return false;
    }
    return false;
}

static bool shake(const struct hostile *h, struct shaken *s)
{
    struct noise_client client;
    struct buf answer = BUF(65536);
    struct err err = {0};
    size_t used = 0;

    machine_private_generate(&s->machine);
    s->fd = raw_open(h);
    bool ok = s->fd >= 0 && noise_client_start(&client, &s->machine, &h->server, 142, NULL,
                                               s->initiation, &err) == 0;
    if (ok) {
        ok = send_initiation(h, s->fd, s->initiation, &answer) &&
             noise_client_finish(&client, buf_str(&answer), &used, &s->session, &err) ==
                 NOISE_FINISH_OK;
        noise_client_fini(&client);
    }
    buf_fini(&answer);
    return ok;
}

static void shaken_end(struct shaken *s)
{
    noise_session_fini(&s->session);
    if (s->fd >= 0)
        (void)close(s->fd);
}

/* Sends bytes behind the handshake; the server must close. */
static void behind_handshake(struct hostile *h, const char *name, struct str bytes, bool sealed)
{
    struct shaken s = {.fd = -1};
    struct buf out = BUF((size_t)1 << 20), got = BUF((size_t)1 << 20);
    struct err err = {0};
    bool closed = false;

    if (shake(h, &s)) {
        if (!sealed)
            buf_put(&out, bytes);
        else if (noise_seal(&s.session, bytes, &out, &err) < 0)
            buf_clear(&out);
        raw_send(s.fd, buf_str(&out));
        closed = raw_read(s.fd, &got, SIZE_MAX, ANSWER_MS);
    }
    verdict(h, name, closed, STR("no end"));
    shaken_end(&s);
    buf_fini(&out);
    buf_fini(&got);
}

/* An initiation and the records behind it, sent again by somebody who only overheard them. */
static void replay(struct hostile *h)
{
    struct shaken s = {.fd = -1};
    struct buf records = BUF(65536), answer = BUF(65536);
    struct err err = {0};
    int fd = -1;
    bool closed = false;

    if (shake(h, &s) &&
        noise_seal(&s.session, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), &records, &err) == 0) {
        raw_send(s.fd, buf_str(&records));
        fd = raw_open(h);
        if (fd >= 0 && send_initiation(h, fd, s.initiation, &answer)) {
            raw_send(fd, buf_str(&records));
            closed = raw_read(fd, &answer, SIZE_MAX, ANSWER_MS);
        } else {
            closed = fd >= 0; /* refused at once is as good */
        }
    }
    verdict(h, "a replayed initiation with its records", closed, STR("no end"));
    if (fd >= 0)
        (void)close(fd);
    shaken_end(&s);
    buf_fini(&records);
    buf_fini(&answer);
}

static void slow_sender(struct hostile *h)
{
    struct buf got = BUF(65536);
    int fd = raw_open(h);
    int64_t end = clock_mono_ms() + SLOW_MS;
    bool closed = false;

    raw_send(fd, STR("GET /key?v=142 HTTP/1.1\r\nHost: a\r\nX: "));
    while (!closed && clock_mono_ms() < end) {
        raw_send(fd, STR("x"));
        closed = raw_read(fd, &got, SIZE_MAX, 500);
    }
    verdict(h, "headers sent a byte at a time", closed, STR("no end"));
    (void)close(fd);
    buf_fini(&got);
}

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

static bool session_begin(struct hostile *h, struct session *s, struct loop *loop, bool websocket)
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
                                                   .version = 142,
                                                   .websocket = websocket,
                                                   .on_ready = on_ready,
                                                   .on_close = on_close,
                                                   .user = s};
    s->client = control_client_new(&options);
    wait_for(s, &s->ready);
    return s->ready;
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
            raw_send(fds[i], STR("GET /ke"));
    }
    check_good(h, good);
    one_shot(h, "a request while idle connections flood in",
             STR("GET /key?v=142 HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 200");
    for (size_t i = 0; i < open; i++)
        (void)close(fds[i]);
    mem_free(fds);
}

static void strangers(struct hostile *h)
{
    static const char frame[] = "\x04\xff\xff\x01\x02\x03";
    static const char tiny[] = "\x04\x00\x03\x01\x02\x03";
    struct str derp =
        STR("GET /derp HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n"
            "Derp-Fast-Start: 1\r\n\r\n\x02\x7f\xff\xff\xff");

    one_shot(h, "bytes that are no protocol", STR("\x01\x02\x03\x04\r\n\r\n\r\n"), NULL);
    one_shot(h, "a TLS hello that is none", STR("\x16\x03\x01\x00\x05hello world, hello"), NULL);
    one_shot(h, "an upgrade to nothing",
             STR("POST /ts2021 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), "HTTP/1.1 400");
    bad_handshake(h, "a handshake cut short", 50, "HTTP/1.1 400");
    bad_handshake(h, "a handshake that is too long", 150, "HTTP/1.1 400");
    bad_handshake(h, "a handshake without end", 60000, "HTTP/1.1 4");
    bad_handshake(h, "a handshake for another key", NOISE_INITIATION_BYTES, "HTTP/1.1 400");
    one_shot(h, "an unknown page", STR("GET /api/v1/node HTTP/1.1\r\nHost: a\r\n\r\n"),
             "HTTP/1.1 404");
    one_shot(h, "a relay frame without end", derp, NULL);
    behind_handshake(h, "records that are noise", str_bytes(frame, sizeof(frame) - 1), false);
    behind_handshake(h, "a record shorter than its tag", str_bytes(tiny, sizeof(tiny) - 1), false);
    behind_handshake(h, "garbage where HTTP/2 should be",
                     STR("GET / HTTP/1.1\r\nHost: a\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), true);
    replay(h);
    slow_sender(h);
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
        strangers(&h);
        check_good(&h, &good);
        lies(&h, loop, &good);
        check_good(&h, &good);
        over_websocket(&h, loop);
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
