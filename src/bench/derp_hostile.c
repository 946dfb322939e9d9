/*
 * What hostile clients try with a relay, one way after the other, on one loop with a pair that
 * behaves: it sends to each other all along, and of its packets none may be lost, late or altered.
 *
 *   case --> enemies come, do it --> each is ended or ignored as it should --> the pair is whole
 */

#include <stdio.h>
#include <string.h>

#include "bench/derp_internal.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"
#include "derp/client.h"

#define GOOD_SIZE 400
#define GOOD_EVERY_MS 10
/* However busy the machine: what the relay limits takes seconds, and --limit ends all. */
#define COME_MS 120000
#define END_MS 60000
#define LORIS_MS 120000 /* for the slow: the limit of a handshake, and of the log-in behind it */
#define STALL_MS 180000 /* for who never reads */
#define LORISES 150     /* of each kind */
#define CROWD 100
#define DESTINATIONS 1000000
#define FLOOD 100000
#define PENDING_MAX ((size_t)256 << 10)

/* ---- The pair that behaves ---- */

struct good {
    struct derp_peer peer;
    struct good *partner;
    struct hostile *h;
    uint32_t pair; /* its packets' */
    uint64_t sent, got;
};

struct hostile {
    struct derp_run *r;
    struct good good[2];
    int64_t next_ms;
    double slowest_ms; /* of the pair's packets, in this case */
    double rss_kib;    /* of the server, before this case */
};

static void on_good_packet(void *user, const struct node_key *src, struct str packet)
{
    struct good *g = user;
    uint64_t number = 0, sent_ns = 0;

    if (!node_key_eq(src, &g->partner->peer.key) ||
        !packet_check(&g->h->r->kit, g->partner->pair, packet, &number, &sent_ns)) {
        derp_run_complain(g->h->r, "the pair got what it had not sent");
        return;
    }
    if (number != g->got)
        derp_run_complain(g->h->r, "the pair: packet %llu came instead of %llu",
                          (unsigned long long)number, (unsigned long long)g->got);
    g->got = number + 1;
    g->h->slowest_ms = MAX(g->h->slowest_ms, (double)(clock_mono_ns() - sent_ns) / 1e6);
}

static void on_good_close(void *user, const struct err *why)
{
    struct good *g = user;

    if (!g->h->r->is_ending)
        derp_run_complain(g->h->r, "one of the pair was closed: %s", why ? why->text : "in order");
}

static const struct derp_peer_events good_events = {.on_packet = on_good_packet,
                                                    .on_close = on_good_close};

static void say(struct good *g)
{
    char packet[GOOD_SIZE];

    packet_make(&g->h->r->kit, g->pair, g->sent++, clock_mono_ns(), packet, sizeof(packet));
    derp_peer_send(&g->peer, &g->partner->peer, packet, sizeof(packet), 1);
}

/* A round of the loop, in which the pair goes on. */
static bool turn(struct hostile *h)
{
    if (clock_mono_ms() >= h->next_ms) {
        say(&h->good[0]);
        say(&h->good[1]);
        h->next_ms = clock_mono_ms() + GOOD_EVERY_MS;
    }
    return derp_run_turn(h->r, 2);
}

/* Goes on until is_so, for `ms` at most; whether it is. */
static bool turn_until(struct hostile *h, bool (*is_so)(void *what), void *what, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;

    while (!is_so(what))
        if (!turn(h) || clock_mono_ms() > until)
            return false;
    return true;
}

static bool is_whole(void *what)
{
    const struct hostile *h = what;

    return h->good[0].got == h->good[1].sent && h->good[1].got == h->good[0].sent;
}

static void begin(struct hostile *h)
{
    h->slowest_ms = 0;
    h->rss_kib = bench_usage_of(h->r->target->pid).rss_kib;
}

/* Waits for what the pair still has under way, without saying more. */
static void verdict(struct hostile *h, const char *what, bool ok)
{
    int64_t until = clock_mono_ms() + END_MS;
    double grown = bench_usage_of(h->r->target->pid).rss_kib - h->rss_kib;

    while (!is_whole(h) && clock_mono_ms() < until)
        if (!derp_run_turn(h->r, 2))
            break;
    if (!is_whole(h))
        derp_run_complain(h->r, "%s: the pair's packets did not come", what);
    if (!ok)
        derp_run_complain(h->r, "%s: the relay did not do as it should", what);
    printf("%s %s; slowest packet of the pair %.1f ms, server %+.0f KiB\n", ok ? "ok  " : "FAIL",
           what, h->slowest_ms, grown);
    (void)fflush(stdout);
}

/* ---- Enemies that have logged in ---- */

struct enemies {
    struct derp_peer *peers;
    size_t n;
};

static bool are_ready(void *what)
{
    const struct enemies *e = what;

    for (size_t i = 0; i < e->n; i++)
        if (!e->peers[i].is_ready && !e->peers[i].is_closed)
            return false;
    return true;
}

static bool are_closed(void *what)
{
    const struct enemies *e = what;

    for (size_t i = 0; i < e->n; i++)
        if (!e->peers[i].is_closed)
            return false;
    return true;
}

static bool come(struct hostile *h, struct enemies *e, size_t n)
{
    static const struct derp_peer_events nothing = {0};

    *e = (struct enemies){mem_alloc_array(n, sizeof(*e->peers)), n};
    for (size_t i = 0; i < n; i++) {
        derp_peer_init(&e->peers[i], h->r, 0, true, &nothing, NULL);
        e->peers[i].may_close = true;
    }
    return turn_until(h, are_ready, e, COME_MS);
}

static void go(struct hostile *h, struct enemies *e)
{
    for (size_t i = 0; i < e->n; i++)
        derp_peer_leave(&e->peers[i]);
    if (!turn_until(h, are_closed, e, END_MS))
        derp_run_complain(h->r, "enemies could not be closed");
    for (size_t i = 0; i < e->n; i++)
        derp_peer_fini(&e->peers[i]);
    mem_free(e->peers);
}

/* ---- Enemies that have not: bare streams ---- */

struct bare {
    struct hostile *h;
    struct stream *stream; /* NULL once closed */
    struct str words;
    size_t n_sent; /* slow ones: a byte at a time */
    bool with_tls, is_over;
};

static void on_bare_data(void *user, struct str data)
{
    (void)user;
    (void)data;
}

static void on_bare_close(void *user, const struct err *why)
{
    struct bare *b = user;

    (void)why;
    b->stream = NULL;
    b->is_over = true;
}

static void on_bare_connected(void *user, struct stream *s, const struct err *why)
{
    static const struct stream_events events = {.on_data = on_bare_data, .on_close = on_bare_close};
    struct bare *b = user;
    const struct tls_client_options options = {.shared = b->h->r->tls, .insecure = true};
    struct err err = {0};

    (void)why;
    b->is_over = !s || (b->with_tls && tls_connect(&options, s, &s, &err) < 0);
    if (b->is_over)
        return;
    b->stream = s;
    stream_set_events(s, &events, b);
    stream_write(s, b->words);
}

struct bares {
    struct bare *all;
    size_t n;
};

static bool are_over(void *what)
{
    const struct bares *b = what;

    for (size_t i = 0; i < b->n; i++)
        if (!b->all[i].is_over)
            return false;
    return true;
}

/* Each says one of these, over TLS if the relay's HTTP is. */
static void come_bare(struct hostile *h, struct bares *b, size_t each, const struct str *words,
                      const bool *below_tls, size_t n_words)
{
    *b = (struct bares){mem_alloc_array(each * n_words, sizeof(*b->all)), each * n_words};
    for (size_t i = 0; i < b->n; i++) {
        b->all[i] = (struct bare){.h = h, .words = words[i % n_words]};
        b->all[i].with_tls = h->r->target->is_tls && !below_tls[i % n_words];
        stream_connect_tcp(h->r->loop, h->r->target->addr, COME_MS, on_bare_connected, &b->all[i]);
    }
}

static void go_bare(struct hostile *h, struct bares *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->all[i].stream)
            stream_abort(b->all[i].stream);
    if (!turn_until(h, are_over, b, COME_MS + END_MS))
        derp_run_complain(h->r, "bare connections could not be closed");
    mem_free(b->all);
}

/* ---- Cases ---- */

#define DERP_REQUEST "GET /derp HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n"

static void wrong_beginnings(struct hostile *h)
{
    static const struct str words[] = {
        STR_INIT(DERP_REQUEST "\x02\xff\xff\xff\xff"),
        STR_INIT(DERP_REQUEST "\x02\0\0\x20\x01"),
        STR_INIT(DERP_REQUEST "\x02\0\0\0\x10"
                              "0123456789abcdef"),
        STR_INIT(DERP_REQUEST "\x04\0\0\0\x21"
                              "0123456789abcdef0123456789abcdefx"),
        STR_INIT(DERP_REQUEST "\x10\0\0\0\0"),
        STR_INIT(DERP_REQUEST "\x02\0\0\0\x60"
                              "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                              "0123456789abcdef0123456789abcdef"),
    };
    static const bool below_tls[ARRAY_LEN(words)] = {0};
    struct bares b;

    begin(h);
    come_bare(h, &b, 5, words, below_tls, ARRAY_LEN(words));
    verdict(h, "wrong and oversize frames before the log-in end the connection",
            turn_until(h, are_over, &b, END_MS));
    go_bare(h, &b);
}

static void wrong_frames(struct hostile *h)
{
    static const struct str frames[] = {
        STR_INIT("\x04\0\x01\0\x21"),     /* a packet of 64 KiB and one byte */
        STR_INIT("\x04\xff\xff\xff\xff"), /* of 4 GiB */
        STR_INIT("\xee\0\x10\0\x01"),     /* unknown, over a MiB */
        STR_INIT("\x04\0\0\0\x1f"),       /* without a whole key */
        STR_INIT("\x07\0\0\0\x02"),       STR_INIT("\x12\0\0\0\x07"),
        STR_INIT("\x12\0\0\x04\0"),       STR_INIT("\x02\0\0\0\x60"),
    };
    struct enemies e;

    begin(h);
    bool ok = come(h, &e, ARRAY_LEN(frames));

    for (size_t i = 0; i < e.n; i++)
        if (e.peers[i].stream)
            stream_write(e.peers[i].stream, frames[i]);
    ok = turn_until(h, are_closed, &e, END_MS) && ok;
    verdict(h, "wrong and oversize frames behind the log-in end the connection", ok);
    go(h, &e);
}

/* The beginning of a frame for one of the pair, and then the end. */
static void cut_frames(struct hostile *h)
{
    AUTO_FINI(buf_fini) struct buf frame = BUF(4096);
    struct enemies e;

    begin(h);
    bool ok = come(h, &e, 40);

    derp_put_packet(&frame, DERP_SEND_PACKET, &h->good[0].peer.key, STR("this is never whole"));
    for (size_t i = 0; i < e.n; i++) {
        if (!e.peers[i].client)
            continue;
        stream_write(e.peers[i].stream, str_sub(buf_str(&frame), 0, 1 + i));
        if (i % 2)
            stream_abort(e.peers[i].stream);
        else
            derp_client_close(e.peers[i].client);
    }
    ok = turn_until(h, are_closed, &e, END_MS) && ok;
    verdict(h, "frames cut short by the end move nothing", ok);
    go(h, &e);
}

static void mesh_frames(struct hostile *h)
{
    AUTO_FINI(buf_fini) struct buf forged = BUF(4096);
    struct enemies e;

    begin(h);
    bool ok = come(h, &e, 6);

    buf_put(&forged, node_key_str(&h->good[0].peer.key));
    buf_put(&forged, node_key_str(&h->good[1].peer.key));
    buf_put(&forged, STR("forged"));
    for (size_t i = 0; i < e.n; i++) {
        struct derp_client *client = e.peers[i].client;

        if (!client)
            continue;
        if (i % 3 == 0)
            derp_client_send_frame(client, DERP_WATCH_CONNS, STR_NONE);
        else if (i % 3 == 1)
            derp_client_send_frame(client, DERP_CLOSE_PEER, node_key_str(&h->good[0].peer.key));
        else
            derp_client_send_frame(client, DERP_FORWARD_PACKET, buf_str(&forged));
    }
    ok = turn_until(h, are_closed, &e, END_MS) && ok;
    verdict(h, "mesh frames of a stranger end the connection and move nothing", ok);
    go(h, &e);
}

/* Sends n packets, each to whom `to` says, as fast as they are taken. */
static bool send_many(struct hostile *h, struct derp_peer *p, size_t n,
                      void (*to)(void *user, size_t i, struct node_key *key), void *user,
                      struct str packet)
{
    for (size_t i = 0; i < n && p->client; i++) {
        struct node_key key;

        if (i % 64 == 0) {
            while (p->client && derp_peer_pending(p) > PENDING_MAX)
                if (!turn(h))
                    return false;
            if (!turn(h) || !p->client)
                return false;
            derp_client_cork(p->client);
        }
        to(user, i, &key);
        derp_client_send(p->client, &key, packet);
        if (i % 64 == 63 || i + 1 == n)
            derp_client_uncork(p->client);
    }
    return p->client != NULL;
}

static bool is_sent(void *what)
{
    const struct derp_peer *p = what;

    return p->is_closed || derp_peer_pending(p) == 0;
}

static void to_one(void *user, size_t i, struct node_key *key)
{
    (void)i;
    *key = *(const struct node_key *)user;
}

static void to_each(void *user, size_t i, struct node_key *key)
{
    *key = *(const struct node_key *)user;
    memcpy(key->b + 3, &i, sizeof(i));
}

static void flood_of_nobody(struct hostile *h)
{
    const struct str disco = STR("TS\xf0\x9f\x92\xac"
                                 "0123456789abcdef0123456789abcdef0123456789abcdef01234567");
    struct node_key nobody;
    struct enemies e;

    begin(h);
    bool ok = come(h, &e, 2);

    rand_bytes(&nobody, sizeof(nobody));
    ok = ok && send_many(h, &e.peers[0], FLOOD, to_one, &nobody, disco) &&
         send_many(h, &e.peers[1], FLOOD, to_one, &nobody, STR("data")) &&
         turn_until(h, is_sent, &e.peers[0], COME_MS) &&
         turn_until(h, is_sent, &e.peers[1], COME_MS) && !e.peers[0].is_closed &&
         !e.peers[1].is_closed;
    verdict(h, "a flood of packets for a key that is not here is dropped", ok);
    go(h, &e);
}

static void million_destinations(struct hostile *h)
{
    struct node_key base;
    struct enemies e;

    begin(h);
    bool ok = come(h, &e, 1);

    rand_bytes(&base, sizeof(base));
    ok = ok && send_many(h, &e.peers[0], DESTINATIONS, to_each, &base, STR("x")) &&
         turn_until(h, is_sent, &e.peers[0], COME_MS) && !e.peers[0].is_closed;
    verdict(h, "a million destinations of one client are dropped", ok);
    go(h, &e);
}

static void never_reads(struct hostile *h)
{
    static char packet[DERP_BENCH_PACKET_MIN + 30000];
    struct enemies e, who;

    begin(h);
    bool ok = come(h, &e, 4) && come(h, &who, 1);
    int64_t until = clock_mono_ms() + STALL_MS;
    size_t turns = 0;

    for (size_t i = 0; i < e.n; i++)
        derp_peer_stop_reading(&e.peers[i]);
    /* They have packets from another and ping, whose answers they do not hear: writing they see
     * their end. */
    while (!are_closed(&e) && clock_mono_ms() < until && turn(h)) {
        const struct derp_peer *to = &e.peers[turns++ % e.n];

        for (int k = 0; k < 8 && derp_peer_pending(&who.peers[0]) < PENDING_MAX; k++)
            if (who.peers[0].client && !to->is_closed)
                derp_client_send(who.peers[0].client, &to->key, str_bytes(packet, sizeof(packet)));
        for (size_t i = 0; i < e.n; i++)
            for (int k = 0;
                 k < 20 && e.peers[i].client && derp_peer_pending(&e.peers[i]) < PENDING_MAX; k++)
                derp_client_ping(e.peers[i].client, (const uint8_t *)"12345678");
    }
    ok = are_closed(&e) && ok;
    verdict(h, "clients that never read are ended, and who sends to them is not",
            ok && !who.peers[0].is_closed);
    go(h, &e);
    go(h, &who);
}

/* Handshakes that never end: TLS, HTTP, DERP, and pages kept open. */
static void slow_ones(struct hostile *h)
{
    static const struct str words[] = {
        STR_INIT("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 a hello that does not go on"),
        STR_INIT("GET /derp HTTP/1.1\r\nHost: a\r\nX-Long: and"), STR_INIT(DERP_REQUEST),
        STR_INIT(DERP_REQUEST "\x02\0\0\0\x60 not whole"), STR_INIT("G")};
    static const bool below_tls[ARRAY_LEN(words)] = {true, false, false, false, true};
    struct bares b;

    begin(h);
    come_bare(h, &b, LORISES, words, below_tls, ARRAY_LEN(words));
    verdict(h, "handshakes that do not go on are ended", turn_until(h, are_over, &b, LORIS_MS));
    go_bare(h, &b);
}

static void crowd_comes_and_goes(struct hostile *h)
{
    bool ok = true;

    begin(h);
    for (int i = 0; i < 4; i++) {
        struct enemies e;

        ok = come(h, &e, CROWD) && ok;
        for (size_t k = 0; k < e.n; k++)
            if (e.peers[k].stream)
                stream_abort(e.peers[k].stream);
        go(h, &e);
    }
    verdict(h, "crowds that log in and are cut off at once leave nothing", ok);
}

void derp_hostile_run(struct derp_run *r)
{
    void (*const cases[])(struct hostile *) = {
        wrong_beginnings, wrong_frames,         cut_frames, mesh_frames,         flood_of_nobody,
        never_reads,      million_destinations, slow_ones,  crowd_comes_and_goes};
    struct hostile h = {.r = r};

    for (size_t i = 0; i < 2; i++) {
        h.good[i].h = &h;
        h.good[i].partner = &h.good[1 - i];
        h.good[i].pair = (uint32_t)i;
        derp_peer_init(&h.good[i].peer, r, 0, true, &good_events, &h.good[i]);
    }
    bool ok = derp_run_until_ready(r);

    if (!ok)
        derp_run_complain(r, "the pair could not log in");
    for (size_t i = 0; i < ARRAY_LEN(cases) && ok; i++)
        cases[i](&h);
    derp_run_fini(r);
    for (size_t i = 0; i < 2; i++)
        derp_peer_fini(&h.good[i].peer);
}
