/*
 * Broken and greedy HTTP/2 in a channel whose Noise is right: frames put together by hand, so that
 * no library keeps us from sending what must not be sent.
 *
 * What must come back is the end of the connection (GOAWAY or not, then closed), or for a flood
 * whose answers nobody reads, the end or that the server takes no more. Somebody with a fresh
 * channel is answered right after each.
 */

#include <unistd.h>

#include "bench/hostile_internal.h"
#include "core/clock.h"
#include "core/mem.h"
#include "wire/request.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS_EMPTY "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
/* A SETTINGS that allows no bytes of answer at all: initial window 0. */
#define SETTINGS_CLOSED "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"
#define FLOOD_BYTES ((size_t)64 << 20) /* more than any queue may hold */
#define SEAL_AT_ONCE ((size_t)64 << 10)

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, WINDOW_UPDATE = 8, CONT = 9 };
enum { END_STREAM = 1, END_HEADERS = 4 };

static void put_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream,
                      struct str payload)
{
    buf_put_char(out, (char)(payload.len >> 16));
    buf_put_be16(out, (uint16_t)payload.len);
    buf_put_char(out, (char)type);
    buf_put_char(out, (char)flags);
    buf_put_be32(out, stream);
    buf_put(out, payload);
}

/* :method POST, :scheme https, :path, :authority, each from the static table or literal. */
static void put_request_headers(struct buf *block, struct str path)
{
    buf_put(block, STR("\x83\x87\x04"));
    buf_put_char(block, (char)path.len);
    buf_put(block, path);
    buf_put(block, STR("\x01\x01"
                       "a"));
}

static void put_request(struct buf *out, uint32_t stream, struct str path, struct str body)
{
    struct buf block = BUF(4096);

    put_request_headers(&block, path);
    put_frame(out, HEADERS, END_HEADERS, stream, buf_str(&block));
    put_frame(out, DATA, END_STREAM, stream, body);
    buf_fini(&block);
}

/* Sealed and sent; false when the server takes no more. */
static bool seal_and_send(struct shaken *s, struct str plain)
{
    struct buf out = BUF((size_t)1 << 20);
    struct err err;
    bool ok = true;

    for (size_t at = 0; ok && at < plain.len; at += SEAL_AT_ONCE) {
        buf_clear(&out);
        ok = noise_seal(&s->session, str_sub(plain, at, SEAL_AT_ONCE), &out, &err) == 0 &&
             raw_send(s->fd, buf_str(&out));
    }
    buf_fini(&out);
    return ok;
}

static bool ends(struct shaken *s)
{
    struct buf got = BUF((size_t)128 << 20);
    bool closed = raw_read(s->fd, &got, SIZE_MAX, ANSWER_MS);

    buf_fini(&got);
    return closed;
}

/* Whether `needle` comes, deciphered, before the server closes or the time is up. */
static bool answers(struct shaken *s, struct str needle)
{
    struct buf plain = BUF((size_t)1 << 20);
    int64_t end = clock_mono_ms() + ANSWER_MS;
    struct err err;
    bool found = false, over = false;

    while (!found && !over && clock_mono_ms() < end) {
        if (noise_open(&s->session, &s->in, &plain, &err) < 0)
            break;
        found = str_find(buf_str(&plain), needle) >= 0;
        over = !found && raw_read(s->fd, &s->in, s->in.len + 1, ANSWER_MS);
    }
    buf_fini(&plain);
    return found;
}

/* Frames by hand are taken when they are right, or the cases below would show nothing. */
static void by_hand(struct hostile *h)
{
    static const char ack[] = "\0\0\x08\x06\x01\0\0\0\0hatsize?";
    struct shaken s = {.fd = -1};
    struct buf frames = BUF(65536);
    bool ok = shake(h, &s) && seal_and_send(&s, STR(PREFACE SETTINGS_EMPTY));

    put_frame(&frames, PING, 0, 0, STR("hatsize!"));
    put_frame(&frames, SETTINGS, 0, 0, STR_NONE);
    put_request(&frames, 1, STR("/machine/map"), STR("{}"));
    put_frame(&frames, PING, 0, 0, STR("hatsize?"));
    ok = ok && seal_and_send(&s, buf_str(&frames)) && answers(&s, str_bytes(ack, sizeof(ack) - 1));
    verdict(h, "frames by hand are answered when they are right", ok, STR("no answer"));
    shaken_end(&s);
    buf_fini(&frames);
}

/* A channel in which the preface and `frames` are sent; the server must close. */
static void broken(struct hostile *h, const char *name, struct str frames)
{
    struct shaken s = {.fd = -1};
    bool ok = shake(h, &s) && seal_and_send(&s, STR(PREFACE SETTINGS_EMPTY));

    /* It may well have closed before it took all. */
    if (ok)
        ok = !seal_and_send(&s, frames) || ends(&s);
    verdict(h, name, ok, STR("no end"));
    shaken_end(&s);
}

/* Sends `unit` over and over and reads nothing: the server must close or take no more. */
static void flood(struct hostile *h, const char *name, struct str first, struct str unit)
{
    struct shaken s = {.fd = -1};
    struct buf many = BUF((size_t)1 << 20);
    bool taken =
        shake(h, &s) && seal_and_send(&s, STR(PREFACE SETTINGS_EMPTY)) && seal_and_send(&s, first);
    bool made = taken;

    while (many.len + unit.len <= SEAL_AT_ONCE)
        buf_put(&many, unit);
    for (size_t sent = 0; taken && sent < FLOOD_BYTES; sent += many.len)
        taken = seal_and_send(&s, buf_str(&many));
    if (taken)
        taken = !ends(&s);
    verdict(h, name, made && !taken, made ? STR("all of it taken") : STR("no channel"));
    shaken_end(&s);
    buf_fini(&many);
}

/* Opens a stream and drops it, over and over: the server may close, but must not fall over. */
static void rapid_reset(struct hostile *h)
{
    struct shaken s = {.fd = -1};
    struct buf frames = BUF((size_t)4 << 20), block = BUF(4096);
    bool made = shake(h, &s) && seal_and_send(&s, STR(PREFACE SETTINGS_EMPTY));

    put_request_headers(&block, STR("/machine/map"));
    for (uint32_t i = 0; i < 20000; i++) {
        put_frame(&frames, HEADERS, END_HEADERS, 2 * i + 1, buf_str(&block));
        put_frame(&frames, RST_STREAM, 0, 2 * i + 1, STR("\0\0\0\x08"));
    }
    if (made)
        IGNORE(seal_and_send(&s, buf_str(&frames)));
    verdict(h, "20,000 streams opened and dropped", made, STR("no channel"));
    shaken_end(&s);
    buf_fini(&frames);
    buf_fini(&block);
}

/* A node of its own that asks for its map a hundred times and lets nothing through. */
static void unread_maps(struct hostile *h)
{
    struct shaken s = {.fd = -1};
    struct buf frames = BUF((size_t)1 << 20), body = BUF(65536);
    struct node_private node;
    struct wire_register_encode reg = {
        .version = 142, .auth_key = h->o->auth_key, .hostname = STR("deaf")};
    struct wire_map_encode map = {.version = 142, .zstd = true, .stream = true};

    node_private_generate(&node);
    node_private_public(&node, &reg.key);
    map.key = reg.key;
    bool made = shake(h, &s) && seal_and_send(&s, STR(PREFACE SETTINGS_CLOSED));

    wire_register_request_encode(&reg, &body);
    put_request(&frames, 1, STR("/machine/register"), buf_str(&body));
    buf_clear(&body);
    wire_map_request_encode(&map, &body);
    for (uint32_t i = 1; i <= 100; i++)
        put_request(&frames, 2 * i + 1, STR("/machine/map"), buf_str(&body));
    /* Headers are not held back by the window: status 200 for the 101st stream. */
    made = made && seal_and_send(&s, buf_str(&frames)) &&
           answers(&s, STR("\x01\x04\x00\x00\x00\xc9\x88"));
    verdict(h, "a hundred maps asked for and not read are begun", made, STR("no headers"));
    one_shot(h, "others while a hundred maps are not read",
             STR("GET /key?v=142 HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 200");
    shaken_end(&s);
    buf_fini(&frames);
    buf_fini(&body);
}

/* The same record twice: its counter has passed. */
static void record_twice(struct hostile *h)
{
    struct shaken s = {.fd = -1};
    struct buf out = BUF(65536);
    struct err err;
    bool ok = shake(h, &s) &&
              noise_seal(&s.session, STR(PREFACE SETTINGS_EMPTY), &out, &err) == 0 &&
              raw_send(s.fd, buf_str(&out));

    if (ok)
        ok = !raw_send(s.fd, buf_str(&out)) || ends(&s);
    verdict(h, "a record sent twice", ok, STR("no end"));
    shaken_end(&s);
    buf_fini(&out);
}

/* Behind the 101 comes nothing: such a connection has an end. */
static void silence(struct hostile *h)
{
    struct shaken s = {.fd = -1};
    struct buf got = BUF(65536);
    bool ok = shake(h, &s) && raw_read(s.fd, &got, SIZE_MAX, 3 * ANSWER_MS);

    verdict(h, "silence after the handshake", ok, STR("no end"));
    shaken_end(&s);
    buf_fini(&got);
}

void hostile_h2(struct hostile *h)
{
    static const char ping[] = "\0\0\x08\x06\0\0\0\0\0hatsize!";
    struct buf f = BUF((size_t)1 << 20), block = BUF(65536);

    by_hand(h);
    record_twice(h);
    silence(h);
    broken(h, "a frame longer than allowed", STR("\x7f\xff\xff\x00\x00\x00\x00\x00\x01xxxx"));
    put_frame(&f, DATA, 0, 0, STR("x"));
    broken(h, "data on stream 0", buf_str(&f));
    buf_clear(&f);
    put_frame(&f, WINDOW_UPDATE, 0, 0, STR("\x7f\xff\xff\xff"));
    put_frame(&f, WINDOW_UPDATE, 0, 0, STR("\x7f\xff\xff\xff"));
    broken(h, "a window past its end", buf_str(&f));
    buf_clear(&f);
    put_frame(&f, HEADERS, END_HEADERS | END_STREAM, 1, STR("\xff\xff\xff\xff\xff\xff\xff\xff"));
    broken(h, "headers that do not decode", buf_str(&f));
    buf_clear(&f);
    put_frame(&f, SETTINGS, 0, 0, STR("\0\x05\0\0\0\x01"));
    broken(h, "settings with an impossible value", buf_str(&f));

    flood(h, "pings without end, answers not read", STR_NONE, str_bytes(ping, sizeof(ping) - 1));
    flood(h, "settings without end, answers not read", STR_NONE, STR(SETTINGS_EMPTY));
    buf_clear(&f);
    put_request_headers(&block, STR("/machine/map"));
    put_frame(&f, HEADERS, 0, 1, buf_str(&block));
    struct buf more = BUF(65536);

    /* "x-filler" with a value of 1,000 bytes, not indexed. */
    buf_clear(&block);
    buf_put(&block, STR("\0\x08x-filler\x7f\xe9\x06"));
    for (int i = 0; i < 1000; i++)
        buf_put_char(&block, 'f');
    put_frame(&more, CONT, 0, 1, buf_str(&block));
    flood(h, "headers without end", buf_str(&f), buf_str(&more));
    rapid_reset(h);
    unread_maps(h);
    buf_fini(&more);
    buf_fini(&f);
    buf_fini(&block);
}
