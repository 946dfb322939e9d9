/* See hostile_internal.h: what strangers may send, up to and behind a handshake. */

#include "bench/hostile_internal.h"

#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"
#include "noise/handshake.h"

#define PATIENCE_MS 2000
#define SLOW_MS 15000 /* past the server's limit for headers */

/* ---- Raw connections ---- */

int raw_open(const struct hostile *h)
{
    return raw_connect(h->o->addr, PATIENCE_MS);
}

void verdict(struct hostile *h, const char *name, bool ok, struct str detail)
{
    size_t shown = MIN(detail.len, (size_t)80);

    ok ? h->passed++ : h->failed++;
    printf("%s hostile: %s%s%.*s\n", ok ? "ok  " : "FAIL", name, ok ? "" : ": got ",
           ok ? 0 : (int)shown, detail.ptr ? detail.ptr : "");
}

void one_shot(struct hostile *h, const char *name, struct str data, const char *want)
{
    struct buf got = BUF((size_t)1 << 20);
    int fd = raw_open(h);
    bool closed = false;

    if (fd >= 0) {
        (void)raw_send(fd, data);
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

/* An initiation that is right, but for a server with another key; or with a point that is none. */
static void wrong_key(struct hostile *h, const char *name, bool zero_ephemeral)
{
    struct machine_private machine, other;
    struct machine_key server = h->server;
    struct noise_client client;
    uint8_t initiation[NOISE_INITIATION_BYTES];
    struct buf text = BUF(4096);
    struct err err;

    machine_private_generate(&machine);
    machine_private_generate(&other);
    if (!zero_ephemeral)
        machine_private_public(&other, &server);
    if (noise_client_start(&client, &machine, &server, 142, NULL, initiation, &err) == 0) {
        if (zero_ephemeral)
            mem_wipe(initiation + 5, 32);
        buf_put_base64(&text, str_bytes(initiation, sizeof(initiation)));
        noise_client_fini(&client);
    }
    struct str request = upgrade_request(buf_str(&text));

    one_shot(h, name, request, "HTTP/1.1 400");
    str_free(&request);
    buf_fini(&text);
    machine_private_fini(&machine);
    machine_private_fini(&other);
}

/* ---- Behind a real handshake ---- */

static bool send_initiation(const struct hostile *h, int fd, const uint8_t *initiation,
                            struct buf *answer)
{
    struct buf text = BUF(4096);

    (void)h;
    buf_put_base64(&text, str_bytes(initiation, NOISE_INITIATION_BYTES));
    struct str request = upgrade_request(buf_str(&text));

    (void)raw_send(fd, request);
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

bool shake(const struct hostile *h, struct shaken *s)
{
    struct noise_client client;
    struct buf answer = BUF((size_t)1 << 20);
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
    if (ok)
        buf_drop(&answer, used);
    s->in = answer;
    return ok;
}

void shaken_end(struct shaken *s)
{
    noise_session_fini(&s->session);
    machine_private_fini(&s->machine);
    buf_fini(&s->in);
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
        (void)raw_send(s.fd, buf_str(&out));
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
        (void)raw_send(s.fd, buf_str(&records));
        fd = raw_open(h);
        if (fd >= 0 && send_initiation(h, fd, s.initiation, &answer)) {
            (void)raw_send(fd, buf_str(&records));
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

    (void)raw_send(fd, STR("GET /key?v=142 HTTP/1.1\r\nHost: a\r\nX: "));
    while (!closed && clock_mono_ms() < end) {
        (void)raw_send(fd, STR("x"));
        closed = raw_read(fd, &got, SIZE_MAX, 500);
    }
    verdict(h, "headers sent a byte at a time", closed, STR("no end"));
    (void)close(fd);
    buf_fini(&got);
}

/* Plain HTTP that is too much, or means two things at once. */
static void bad_http(struct hostile *h)
{
    struct buf request = BUF((size_t)8 << 20);

    one_shot(h, "two lengths of one body",
             STR("POST /verify HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 30\r\n"
                 "\r\n{}GET /key?v=142 HTTP/1.1\r\n\r\n"),
             "HTTP/1.1 400");
    one_shot(h, "a length and chunks at once",
             STR("POST /verify HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
             "HTTP/1.1 400");
    one_shot(h, "a chunk that is none",
             STR("POST /verify HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "fffffffffffffffff\r\n"),
             "HTTP/1.1 400");
    buf_put(&request, STR("GET /key?v=142 HTTP/1.1\r\nHost: a\r\nX: "));
    for (int i = 0; i < 100000; i++)
        buf_put(&request, STR("filler"));
    one_shot(h, "headers of half a megabyte", buf_str(&request), "HTTP/1.1 431");
    one_shot(h, "a body of ten terabytes",
             STR("POST /verify HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000000\r\n\r\n{"),
             "HTTP/1.1 413");
    one_shot(h, "a path that climbs", STR("GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"),
             "HTTP/1.1 404");
    buf_fini(&request);
}

/* A relay client whose box is noise; the server must close. */
static void bad_relay_client(struct hostile *h)
{
    struct buf request = BUF(65536);
    uint8_t noise[200];

    rand_bytes(noise, sizeof(noise));
    buf_put(&request,
            STR("GET /derp HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n"
                "Derp-Fast-Start: 1\r\n\r\n\x02\0\0\0\xc8"));
    buf_put(&request, str_bytes(noise, sizeof(noise)));
    one_shot(h, "a relay client that holds no key", buf_str(&request), NULL);
    buf_fini(&request);
}

void hostile_strangers(struct hostile *h)
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
    bad_handshake(h, "a handshake of noise", NOISE_INITIATION_BYTES, "HTTP/1.1 400");
    wrong_key(h, "a handshake for another server's key", false);
    wrong_key(h, "a handshake with a key of zeros", true);
    bad_http(h);
    bad_relay_client(h);
    one_shot(h, "an unknown page", STR("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 404");
    one_shot(h, "the API without a key", STR("GET /api/v1/node HTTP/1.1\r\nHost: a\r\n\r\n"),
             "HTTP/1.1 401");
    one_shot(h, "a relay frame without end", derp, NULL);
    behind_handshake(h, "records that are noise", str_bytes(frame, sizeof(frame) - 1), false);
    behind_handshake(h, "a record shorter than its tag", str_bytes(tiny, sizeof(tiny) - 1), false);
    behind_handshake(h, "garbage where HTTP/2 should be",
                     STR("GET / HTTP/1.1\r\nHost: a\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), true);
    replay(h);
    slow_sender(h);
}
