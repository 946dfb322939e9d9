/*
 * A soak: two meshed relays over TCP and TLS, each with two loops, and for some time everything
 * that happens to relays at once: clients come and go over every way in, read slowly or not at all,
 * are two of one key, are dropped and refused; strangers break the protocol; limits and
 * certificates are replaced; one relay is torn down and comes back.
 *
 * Laws: no packet is altered, given twice, or given to another key; clients that stay and behave
 * lose nothing and are served all along; and whenever everybody has left, what the relays hold is
 * what they held before: sessions, peers, bytes under way, and in the long run memory.
 *
 * SOAK_SECONDS is how long (12), PROPERTY_SEED the history.
 */

#include "../property.h"
#include "../unit.h"

#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/metric.h"
#include "core/rand.h"
#include "derp/client.h"
#include "derp/mesh.h"
#include "derp/server_internal.h"
#include "http/client.h"
#include "soak_vandals.h"

#define LOOPS 2
#define RELAYS 2
#define MEMBERS 24
#define KEYS (MEMBERS / 2) /* each is two slots' */
#define STEADY 4           /* two pairs that stay at the first relay */
#define ROUTES                                                                         \
    48 /* destinations that have left and are remembered, by the relay's session alone \
        */
#define IDS ((uint64_t)1 << 26)
#define STEP_MS 4
#define CHURN_MS 3000
#define PATIENCE_MS 30000
#define ENOUGH 1000 /* packets */

static const uint8_t mesh_key[DERP_MESH_KEY_BYTES] = "0123456789abcdef0123456789abcde";

#if defined(__SANITIZE_ADDRESS__)
/* Freed memory is kept for a while, to catch its use; less than usual, so that growth shows. */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "quarantine_size_mb=8:malloc_context_size=8";
}
#endif

/* ---- Relays ---- */

static struct relay {
    struct loop *loops[LOOPS];
    struct node_private key;
    struct node_key public_key;
    struct buf cert, cert_key;
    uint8_t pin[32];
    struct tls_server *tls;
    struct derp_server *derp;
    struct http_server *http;
    struct derp_mesh *mesh;
    struct listener *listeners[LOOPS];
    struct ip_addrport at;
} relays[RELAYS];

static void on_derp(void *user, struct http_exchange *x, const struct http_request *req)
{
    derp_http_upgrade(((struct relay *)user)->derp, x, req);
}

static void on_accept(void *user, struct stream *stream)
{
    (void)http_serve(((struct relay *)user)->http, stream, NULL, NULL);
}

static void look_up(void *user, struct str name, struct derp_mesh_lookup *lookup)
{
    const struct ip_addr here = IP_ADDR_V4(127, 0, 0, 1);

    (void)user;
    (void)name;
    derp_mesh_found(lookup, &here, 1);
}

static void admit(void *user, const struct node_key *key, struct ip_addr from,
                  struct derp_admission *ticket);

static void relay_init(struct relay *r)
{
    const struct str name = STR("127.0.0.1");
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct err err = {0};

    node_private_generate(&r->key);
    node_private_public(&r->key, &r->public_key);
    r->cert = r->cert_key = BUF(65536);
    must(tls_self_signed(&name, 1, &r->cert, &r->cert_key, r->pin, &err) == 0);
    /* A port that stays the same when the relay comes back. */
    must(bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
    must(getsockname(fd, (struct sockaddr *)&sin, &len) == 0);
    (void)close(fd);
    r->at = (struct ip_addrport){IP_ADDR_V4(127, 0, 0, 1), ntohs(sin.sin_port)};
}

static void open_mesh(struct relay *r, const struct relay *other)
{
    struct derp_mesh_relay to = {.name = STR("127.0.0.1"),
                                 .dial_name = STR("127.0.0.1"),
                                 .port = other->at.port,
                                 .has_pin = true};
    struct err err = {0};

    memcpy(to.pin_sha256, other->pin, sizeof(to.pin_sha256));
    must(derp_mesh_new(&(struct derp_mesh_options){.server = r->derp,
                                                   .loops = r->loops,
                                                   .n_loops = LOOPS,
                                                   .relays = &to,
                                                   .n_relays = 1,
                                                   .look_up = look_up},
                       &r->mesh, &err) == 0);
}

static void relay_start(struct relay *r)
{
    static const struct http_route routes[] = {{"*", "/derp", on_derp, 0}};
    struct err err = {0};

    for (size_t i = 0; i < LOOPS; i++)
        must(loop_new("relay", &r->loops[i], &err) == 0);
    must(tls_server_new(&(struct tls_server_options){.cert_pem = buf_str(&r->cert),
                                                     .key_pem = buf_str(&r->cert_key)},
                        &r->tls, &err) == 0);
    r->derp = derp_server_new(&(struct derp_server_options){.key = &r->key,
                                                            .loops = r->loops,
                                                            .n_loops = LOOPS,
                                                            .stall_ms = 1000,
                                                            .admit = admit,
                                                            .user = r,
                                                            .mesh_key = mesh_key});
    r->http = http_server_new(&(struct http_server_options){
        .routes = routes, .n_routes = 1, .user = r, .tls = r->tls, .header_ms = 1000});
    for (size_t i = 0; i < LOOPS; i++)
        must(listener_open(r->loops[i],
                           &(struct listener_options){.addr = r->at,
                                                      .like = i ? r->listeners[0] : NULL,
                                                      .on_accept = on_accept,
                                                      .user = r},
                           &r->listeners[i], &err) == 0);
    open_mesh(r, &relays[r == relays]);
    for (size_t i = 0; i < LOOPS; i++)
        must(loop_thread_start(r->loops[i], &err) == 0);
}

static void relay_stop(struct relay *r)
{
    for (size_t i = 0; i < LOOPS; i++) {
        loop_stop(r->loops[i]);
        loop_thread_join(r->loops[i]);
    }
    for (size_t i = 0; i < LOOPS; i++)
        listener_close(r->listeners[i]);
    derp_mesh_stop(r->mesh);
    for (size_t i = 0; i < LOOPS; i++)
        loop_free(r->loops[i]);
    derp_mesh_free(r->mesh);
    derp_server_free(r->derp);
    http_server_free(r->http);
    tls_server_unref(r->tls);
}

/* ---- Clients ---- */

struct member {
    size_t key; /* number of its key; steady ones have the last ones */
    bool is_steady;
    bool has_come; /* steady: has been logged in; from then on it may not be closed */
    bool is_busy;  /* connecting, or there is a client */
    struct relay *relay;
    int way;
    struct derp_client *client;
    struct timer reads_again;
    struct timer next;      /* steady: the next packet */
    struct timer comes;     /* steady: the next attempt */
    struct member *partner; /* steady */
    uint64_t said, heard;   /* steady: numbers of packets */
};

static struct crowd {
    struct loop *loop; /* everything below is its thread's, but what is atomic */
    struct tls_client *tls;
    struct rand_seeded rand;
    struct timer tick;
    struct member members[MEMBERS + STEADY];
    struct node_private keys[KEYS + STEADY];
    struct node_key public_keys[KEYS + STEADY];
    uint64_t next_id;
    uint8_t *given; /* a bit per packet */
    _Atomic(bool) may_churn, is_over;
    _Atomic(size_t) n_busy;
    _Atomic(uint64_t) n_given, n_steady, n_logins;
    _Atomic(int) n_resting; /* steady pairs whose packet is back */
} crowd;

enum way { WAY_FAST, WAY_UPGRADE, WAY_WEBSOCKET, WAY_COUNT };

static uint64_t below(uint64_t n)
{
    return rand_seeded_below(&crowd.rand, n);
}

static void tell_metrics(void)
{
    AUTO_FINI(buf_fini) struct buf out = BUF((size_t)1 << 20);

    metric_put_all(&out);
    (void)fprintf(stderr, "%.*s", STR_ARG(buf_str(&out)));
}

static void set_free(struct member *s)
{
    timer_stop(&s->reads_again);
    s->is_busy = false;
    s->client = NULL;
    atomic_fetch_sub(&crowd.n_busy, 1);
    /* The relay's patience with strangers may be over before a busy machine lets this one speak. */
    if (s->is_steady && !atomic_load(&crowd.is_over))
        timer_start(&s->comes, 100);
}

/* ---- Packets ---- */

struct stamp {
    uint64_t id;
    uint32_t from, to, len;
};

static char byte_of(uint64_t id, size_t at)
{
    return (char)(id * 31 + at * 7);
}

static void send_packet(struct member *s, size_t to, size_t len)
{
    static char packet[DERP_PACKET_MAX];
    struct stamp stamp = {crowd.next_id, (uint32_t)s->key, (uint32_t)to, (uint32_t)len};

    must(len >= sizeof(stamp) && crowd.next_id < IDS);
    crowd.next_id++;
    memcpy(packet, &stamp, sizeof(stamp));
    for (size_t at = sizeof(stamp); at < len; at++)
        packet[at] = byte_of(stamp.id, at);
    derp_client_send(s->client, &crowd.public_keys[to], str_bytes(packet, len));
}

static void on_packet(void *user, const struct node_key *src, struct str packet)
{
    struct member *s = user;
    struct stamp stamp;

    must(packet.len >= sizeof(stamp));
    memcpy(&stamp, packet.ptr, sizeof(stamp));
    must(stamp.len == packet.len && stamp.id < crowd.next_id);
    must(stamp.to == s->key);
    must(node_key_eq(src, &crowd.public_keys[stamp.from]));
    for (size_t at = sizeof(stamp); at < packet.len; at++)
        must(packet.ptr[at] == byte_of(stamp.id, at));
    must(!(crowd.given[stamp.id / 8] & BIT(stamp.id % 8)));
    crowd.given[stamp.id / 8] |= (uint8_t)BIT(stamp.id % 8);
    atomic_fetch_add(&crowd.n_given, 1);
    if (!s->is_steady)
        return;
    /* In order, and none is missing: one is under way at a time, there and back. */
    must(s->partner->said == s->heard + 1);
    s->heard++;
    timer_start(&s->next, 1);
}

static bool is_ready(const struct member *s)
{
    return s->client && derp_client_is_ready(s->client);
}

/* The first of a pair begins, when both are there and nothing is under way. */
static void steady_begin(struct member *s)
{
    struct member *first = MIN(s, s->partner);

    if (is_ready(first) && is_ready(first->partner) && first->said == first->heard)
        timer_start(&first->next, 1);
}

static void steady_say(void *user)
{
    struct member *s = user;

    if (s < s->partner && !atomic_load(&crowd.may_churn)) {
        atomic_fetch_add(&crowd.n_resting, 1);
        return; /* the tick wakes it */
    }
    s->said++;
    atomic_fetch_add(&crowd.n_steady, 1);
    send_packet(s, s->partner->key, sizeof(struct stamp) + below(1300));
}

/* ---- Coming and going ---- */

static void on_ready(void *user, const struct derp_server_info *info)
{
    struct member *s = user;

    (void)info;
    atomic_fetch_add(&crowd.n_logins, 1);
    s->has_come = true;
    if (s->is_steady)
        steady_begin(s);
}

static void on_close(void *user, const struct err *why)
{
    struct member *s = user;

    if (s->is_steady && atomic_load(&crowd.is_over))
        return;
    if (s->is_steady && s->has_come) {
        (void)fprintf(stderr, "one who stays was closed: %s\n", why ? why->text : "in order");
        (void)usleep(300000);
        tell_metrics();
        abort();
    }
    set_free(s);
}

static const struct derp_client_events events = {
    .on_ready = on_ready, .on_packet = on_packet, .on_close = on_close};

static void log_in(struct member *s, struct stream *stream, bool is_fast)
{
    s->client = derp_client_new(
        stream, &(struct derp_client_options){.key = &crowd.keys[s->key],
                                              .server_key = is_fast ? &s->relay->public_key : NULL,
                                              .fast_start_host = is_fast ? STR("relay") : STR_NONE,
                                              .info.can_ack_pings = true,
                                              .events = &events,
                                              .user = s});
}

static void on_upgraded(void *user, struct stream *stream, const struct err *err)
{
    struct member *s = user;

    (void)err;
    if (stream)
        log_in(s, stream, false);
    else
        set_free(s);
}

static void on_connected(void *user, struct stream *stream, const struct err *why)
{
    struct member *s = user;
    struct err err = {0};

    (void)why;
    if (!stream) {
        set_free(s);
        return;
    }
    if (s->way >= WAY_COUNT) {
        /* With a pin records are OpenSSL's, without one our own. */
        struct tls_client_options options = {.shared = crowd.tls, .has_pin = below(2) > 0};

        options.insecure = !options.has_pin;
        memcpy(options.pin_sha256, s->relay->pin, sizeof(options.pin_sha256));
        must(tls_connect(&options, stream, &stream, &err) == 0);
    }
    switch ((enum way)(s->way % WAY_COUNT)) {
    case WAY_FAST:
        log_in(s, stream, true);
        break;
    case WAY_UPGRADE:
        http_client_upgrade(stream, "GET", STR("/derp"), STR("relay"), "DERP", NULL, 0, 5000,
                            on_upgraded, s);
        break;
    case WAY_WEBSOCKET:
    case WAY_COUNT:
        http_client_upgrade_websocket(stream, STR("/derp"), STR("relay"), "derp", 5000, on_upgraded,
                                      s);
    }
}

static void come(struct member *s, struct relay *r, int way)
{
    s->is_busy = true;
    s->relay = r;
    s->way = way;
    atomic_fetch_add(&crowd.n_busy, 1);
    stream_connect_tcp(crowd.loop, r->at, 5000, on_connected, s);
}

static void steady_come(void *user)
{
    struct member *s = user;

    /* A pair over TLS, a pair without. */
    come(s, &relays[0],
         (int)(s - &crowd.members[MEMBERS]) < 2 ? WAY_COUNT + WAY_FAST : (int)WAY_UPGRADE);
}

static void read_again(void *user)
{
    struct member *s = user;

    if (s->client)
        stream_read_start(derp_client_stream(s->client));
}

static void send_some(struct member *s)
{
    uint64_t n = 1 + below(below(20) ? 12 : 200);

    if (derp_client_pending(s->client) > (size_t)1 << 20)
        return;
    for (uint64_t i = 0; i < n; i++)
        send_packet(s, below(KEYS),
                    sizeof(struct stamp) + below(below(12) ? 1300 : DERP_PACKET_MAX - 64));
}

static void one_step(void)
{
    struct member *s = &crowd.members[below(MEMBERS)];

    if (!s->is_busy) {
        if (below(2))
            come(s, &relays[below(RELAYS)], (int)below(2 * WAY_COUNT));
        return;
    }
    if (!s->client)
        return;
    switch (below(40)) {
    case 0:
        derp_client_close(s->client);
        break;
    case 1:
        stream_abort(derp_client_stream(s->client));
        break;
    case 2:
        stream_read_stop(derp_client_stream(s->client));
        timer_start(&s->reads_again, (int64_t)below(3000)); /* perhaps for longer than it may */
        break;
    case 3:
        derp_client_note_preferred(s->client, below(2));
        break;
    case 4:
        derp_client_ping(s->client, (const uint8_t *)"12345678");
        break;
    case 5:
        derp_server_drop(relays[0].derp, &crowd.public_keys[below(KEYS)]);
        break;
    case 6:
        derp_client_send_frame(s->client, (uint8_t)(0x20 + below(0xd0)), STR("whatever this is"));
        break;
    case 7:
        if (below(4) == 0) /* a mesh frame from a stranger ends it */
            derp_client_send_frame(s->client, DERP_WATCH_CONNS, STR_NONE);
        break;
    default:
        if (derp_client_is_ready(s->client))
            send_some(s);
    }
}

/* Nobody is there: others come from now on. */
static void renew_keys(void)
{
    for (size_t i = 0; i < KEYS; i++) {
        node_private_generate(&crowd.keys[i]);
        node_private_public(&crowd.keys[i], &crowd.public_keys[i]);
    }
}

static void on_tick(void *user)
{
    static bool was_churning;
    bool churns = atomic_load(&crowd.may_churn);

    (void)user;
    timer_start(&crowd.tick, STEP_MS);
    if (churns && !was_churning) {
        renew_keys();
        atomic_store(&crowd.n_resting, 0);
        for (size_t i = MEMBERS; i < MEMBERS + STEADY; i += 2)
            steady_begin(&crowd.members[i]);
    }
    was_churning = churns;
    for (size_t i = 0; i < 6 && churns; i++)
        one_step();
    for (size_t i = 0; i < MEMBERS && !churns; i++)
        if (crowd.members[i].client)
            derp_client_close(crowd.members[i].client);
}

/* ---- Admission, answered from another thread, now and then with no ---- */

struct answer {
    struct loop_message message;
    struct derp_admission *ticket;
};

static void on_answer(struct loop_message *msg)
{
    struct answer *a = CONTAINER_OF(msg, struct answer, message);

    if (!msg->cancelled)
        derp_admission_answer(a->ticket, below(20) > 0);
    mem_free(a);
}

static void admit(void *user, const struct node_key *key, struct ip_addr from,
                  struct derp_admission *ticket)
{
    (void)from;
    for (size_t i = KEYS; i < KEYS + STEADY; i++)
        if (node_key_eq(key, &crowd.public_keys[i]))
            user = &relays[1];
    /* Only of the relay that outlives the crowd's loop. */
    if (user != &relays[0] || key->b[7] % 2) {
        derp_admission_answer(ticket, true);
        return;
    }
    struct answer *a = NEW(struct answer);

    a->message.run = on_answer;
    a->ticket = ticket;
    loop_post(crowd.loop, &a->message);
}

/* ---- What is left when everybody has gone ---- */

static int64_t metric_of(const char *name)
{
    AUTO_FINI(buf_fini) struct buf out = BUF((size_t)1 << 20);
    struct str line, text, wanted = str_from(name), left, value;
    uint64_t n = 0;

    metric_put_all(&out);
    text = buf_str(&out);
    while (str_next(&text, '\n', &line))
        if (str_split(line, ' ', &left, &value) && str_eq(left, wanted))
            must(str_parse_u64(value, &n));
    return (int64_t)n;
}

static uint64_t in_transit(const struct derp_server *d)
{
    uint64_t n = 0;

    for (size_t l = 0; l < d->n_loops; l++)
        for (size_t i = 0; i < TRANSIT_BUCKETS; i++)
            n += atomic_load(&d->loops[l].transit[i]);
    return n;
}

static bool is_at_rest(const char **what)
{
    /* At the first relay: those who stay, and the other relay as a watcher. */
    const size_t clients[RELAYS] = {STEADY + 1, 1};

    *what = "clients of the crowd";
    if (atomic_load(&crowd.n_busy) != STEADY || atomic_load(&crowd.n_resting) != STEADY / 2)
        return false;
    *what = "HTTP connections";
    if (metric_of("hatsize_http_connections") != 0)
        return false;
    for (size_t i = 0; i < RELAYS; i++) {
        *what = i ? "clients of the second relay" : "clients of the first relay";
        if (derp_server_clients(relays[i].derp) != clients[i])
            return false;
        *what = i ? "peers of the second relay" : "peers of the first relay";
        if (registry_len(relays[i].derp) > STEADY + 1 + ROUTES)
            return false;
        *what = "bytes under way";
        if (in_transit(relays[i].derp) != 0)
            return false;
    }
    return true;
}

static void come_to_rest(void)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    const char *what = NULL;

    while (!is_at_rest(&what)) {
        if (clock_mono_ms() > until) {
            (void)fprintf(
                stderr,
                "left behind: %s; clients %zu %zu, peers %zu %zu, busy %zu, under way %llu "
                "%llu, resting %d, http %lld\n",
                what, derp_server_clients(relays[0].derp), derp_server_clients(relays[1].derp),
                registry_len(relays[0].derp), registry_len(relays[1].derp),
                atomic_load(&crowd.n_busy), (unsigned long long)in_transit(relays[0].derp),
                (unsigned long long)in_transit(relays[1].derp), atomic_load(&crowd.n_resting),
                (long long)metric_of("hatsize_http_connections"));
            abort();
        }
        (void)usleep(5000);
    }
}

static size_t rss_kib(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    (void)malloc_trim(0);
    must(f && fscanf(f, "%lu %lu", &pages, &resident) == 2);
    (void)fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

/* ---- The course of it ---- */

static void crowd_start(uint64_t seed)
{
    struct err err = {0};

    must(loop_new("crowd", &crowd.loop, &err) == 0);
    must(tls_client_new(&crowd.tls, &err) == 0);
    rand_seed(&crowd.rand, seed);
    crowd.given = mem_alloc(IDS / 8);
    for (size_t i = 0; i < KEYS + STEADY; i++) {
        node_private_generate(&crowd.keys[i]);
        node_private_public(&crowd.keys[i], &crowd.public_keys[i]);
    }
    for (size_t i = 0; i < MEMBERS + STEADY; i++) {
        struct member *s = &crowd.members[i];

        s->is_steady = i >= MEMBERS;
        s->key = s->is_steady ? KEYS + i - MEMBERS : i / 2;
        s->partner = s->is_steady ? &crowd.members[i ^ 1] : NULL;
        timer_init(&s->reads_again, crowd.loop, read_again, s);
        timer_init(&s->next, crowd.loop, steady_say, s);
        timer_init(&s->comes, crowd.loop, steady_come, s);
        if (s->is_steady)
            timer_start(&s->comes, 0);
    }
    timer_init(&crowd.tick, crowd.loop, on_tick, NULL);
    timer_start(&crowd.tick, 0);
    must(loop_thread_start(crowd.loop, &err) == 0);
}

static void crowd_stop(void)
{
    atomic_store(&crowd.is_over, true);
    loop_stop(crowd.loop);
    loop_thread_join(crowd.loop);
    loop_free(crowd.loop);
    tls_client_unref(crowd.tls);
    mem_free(crowd.given);
}

/* Comes back with another process's memory, as far as the others can tell. */
static void churn(struct rand_seeded *rand, bool restart)
{
    int64_t until = clock_mono_ms() + CHURN_MS;
    struct relay *one = &relays[0], *two = &relays[1];
    uint64_t steady = atomic_load(&crowd.n_steady);

    atomic_store(&crowd.may_churn, true);
    while (clock_mono_ms() < until ||
           (atomic_load(&crowd.n_steady) == steady && clock_mono_ms() < until + PATIENCE_MS)) {
        (void)usleep(200000);
        switch (rand_seeded_below(rand, 4)) {
        case 0:
            derp_server_set_rate(one->derp, rand_seeded_below(rand, 2) * 1000000, 200000);
            break;
        case 1:
            derp_server_set_total_rate(one->derp, rand_seeded_below(rand, 2) * 20000000, 1000000);
            break;
        case 2:
            http_server_set_tls(one->http, one->tls);
            break;
        default:
            break;
        }
        if (restart) {
            relay_stop(two);
            relay_start(two);
        }
        restart = false;
    }
    atomic_store(&crowd.may_churn, false);
    /* Whether each of their packets arrives is seen when all have come to rest. */
    must(atomic_load(&crowd.n_steady) > steady);
}

static void nothing_is_lost_and_nothing_stays(void **state)
{
    const char *seconds = getenv("SOAK_SECONDS");
    uint64_t seed = property_seed(), n_seconds = 12;
    size_t rss[4096], n = 0;
    struct rand_seeded rand;

    (void)state;
    log_init(LOG_OFF, LOG_TEXT, -1);
    must(!seconds || str_parse_u64(str_from(seconds), &n_seconds));
    print_message("PROPERTY_SEED=%llu\n", (unsigned long long)seed);
    rand_seed(&rand, seed);
    for (size_t i = 0; i < RELAYS; i++)
        relay_init(&relays[i]);
    for (size_t i = 0; i < RELAYS; i++)
        relay_start(&relays[i]);
    crowd_start(seed);
    struct vandals *vandals = vandals_start(seed, &relays[0].at, &relays[0].public_key);
    int64_t until = clock_mono_ms() + (int64_t)n_seconds * 1000;

    /* On a busy machine it takes longer until there was something to see. */
    while (n < 2 || (n < ARRAY_LEN(rss) &&
                     (clock_mono_ms() < until || (atomic_load(&crowd.n_given) <= ENOUGH &&
                                                  clock_mono_ms() < until + 2 * PATIENCE_MS)))) {
        vandals_may(vandals, true);
        churn(&rand, n % 2 == 1);
        vandals_may(vandals, false);
        come_to_rest();
        rss[n++] = rss_kib();
        print_message("%zu: %zu KiB, %llu log-ins, %llu packets, %llu of those who stay\n", n,
                      rss[n - 1], (unsigned long long)atomic_load(&crowd.n_logins),
                      (unsigned long long)atomic_load(&crowd.n_given),
                      (unsigned long long)atomic_load(&crowd.n_steady));
    }
    vandals_stop(vandals);
    crowd_stop();
    for (size_t i = 0; i < RELAYS; i++) {
        relay_stop(&relays[i]);
        buf_fini(&relays[i].cert);
        buf_fini(&relays[i].cert_key);
    }
    must(atomic_load(&crowd.n_given) > ENOUGH);
    /* Flat: the second half ends where it began. The first may still be filling what is kept. */
    if (n >= 12)
        assert_true(rss[n - 1] < rss[n / 2] + rss[n / 2] / 8 + 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost_and_nothing_stays)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
