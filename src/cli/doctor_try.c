/* See doctor_try.h. */

#include "cli/doctor_try.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "client/control_client.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"
#include "http/client.h"
#include "net/tls.h"
#include "net/udp.h"
#include "stun/codec.h"

#define TRY_MS 10000
#define STUN_MS 1000
#define STUN_TRIES 3
#define CAPABILITY_VERSION 113

int doctor_resolve(struct str host, struct ip_addr *out, struct err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char *name;

    if (ip_addr_parse(host, out))
        return 0;
    name = str_dup(host);
    int status = getaddrinfo(name, NULL, &hints, &found);

    mem_free(name);
    if (status != 0)
        return err_set(err, ERR_NOT_FOUND, "%s", gai_strerror(status));
    *out = (struct ip_addr){0};
    for (const struct addrinfo *a = found; a && out->family != IP_V4; a = a->ai_next) {
        if (a->ai_family == AF_INET) {
            struct sockaddr_in in;

            memcpy(&in, a->ai_addr, sizeof(in));
            out->family = IP_V4;
            memcpy(out->bytes, &in.sin_addr, 4);
        } else if (a->ai_family == AF_INET6) {
            struct sockaddr_in6 in6;

            memcpy(&in6, a->ai_addr, sizeof(in6));
            out->family = IP_V6;
            memcpy(out->bytes, &in6.sin6_addr, 16);
        }
    }
    freeaddrinfo(found);
    return ip_addr_is_set(*out) ? 0 : err_set(err, ERR_NOT_FOUND, "it has no address");
}

/* Rounds of the loop until *done, or so long. */
static void wait_for(struct loop *loop, const bool *done, int64_t ms)
{
    int64_t end = clock_mono_ms() + ms;

    while (!*done && clock_mono_ms() < end)
        loop_run_once(loop, 50);
}

/* ---- The Noise channel ---- */

struct channel_try {
    struct control_client *client;
    bool is_ready, is_gone, has_answer;
    struct err err;
    bool over; /* ready, answered or gone: what is waited for */
};

static void on_ready(void *user, const struct err *err)
{
    struct channel_try *t = user;

    t->is_ready = !err;
    if (err)
        t->err = *err;
    t->over = true;
}

static void on_gone(void *user)
{
    struct channel_try *t = user;

    t->is_gone = t->over = true;
}

static void on_answer(void *user, int status, struct str body, const struct err *err)
{
    struct channel_try *t = user;

    (void)body;
    t->has_answer = status != 0;
    if (err)
        t->err = *err;
    t->over = true;
}

/* Any answer will do: it came from behind the proxy. */
static bool ask(struct loop *loop, struct channel_try *t)
{
    t->over = t->has_answer = false;
    control_client_post(t->client, STR("/machine/whoami"), STR("{}"), on_answer, t);
    wait_for(loop, &t->over, TRY_MS);
    return t->has_answer;
}

static void use_channel(struct loop *loop, struct channel_try *t, int64_t wait_ms,
                        struct doctor_channel *out)
{
    int64_t start = clock_mono_ms();

    out->is_open = ask(loop, t);
    out->lasted_ms = -1;
    if (out->is_open && !t->is_gone)
        wait_for(loop, &t->is_gone, wait_ms);
    if (out->is_open && (t->is_gone || !ask(loop, t)))
        out->lasted_ms = clock_mono_ms() - start;
}

void doctor_try_channel(const struct doctor_target *target, const struct machine_key *server,
                        bool websocket, int64_t wait_ms, struct doctor_channel *out)
{
    struct channel_try t = {0};
    struct machine_private machine;
    struct loop *loop = NULL;

    *out = (struct doctor_channel){.lasted_ms = -1};
    if (loop_new("doctor", &loop, &out->err) < 0)
        return;
    machine_private_generate(&machine);
    const struct control_client_options options = {.loop = loop,
                                                   .addr = target->addr,
                                                   .authority = target->authority,
                                                   .tls_name = target->tls_name,
                                                   .server = *server,
                                                   .machine = &machine,
                                                   .version = CAPABILITY_VERSION,
                                                   .websocket = websocket,
                                                   .on_ready = on_ready,
                                                   .on_close = on_gone,
                                                   .user = &t};

    t.client = control_client_new(&options);
    wait_for(loop, &t.over, TRY_MS);
    if (t.is_ready)
        use_channel(loop, &t, wait_ms, out);
    else if (t.err.text[0] == '\0')
        IGNORE(err_set(&t.err, ERR_IO, "no answer in time"));
    out->err = t.err;
    loop_free(loop);
    machine_private_fini(&machine);
}

/* ---- The relay ---- */

struct relay_try {
    const struct doctor_target *target;
    bool websocket;
    bool over;
    bool has_greeting;
    struct err err;
};

static void on_data(void *user, struct str data)
{
    struct relay_try *t = user;

    t->has_greeting |= data.len > 0;
    t->over = true;
}

static void on_close(void *user, const struct err *why)
{
    struct relay_try *t = user;

    if (!t->has_greeting)
        IGNORE(err_set(&t->err, ERR_IO, "closed without a greeting%s%s", why ? ": " : "",
                       why ? why->text : ""));
    t->over = true;
}

static void on_upgraded(void *user, struct stream *s, const struct err *err)
{
    static const struct stream_events events = {.on_data = on_data, .on_close = on_close};
    struct relay_try *t = user;

    if (s) {
        stream_set_events(s, &events, t);
        return;
    }
    t->err = *err;
    t->over = true;
}

static void on_connected(void *user, struct stream *s, const struct err *err)
{
    struct relay_try *t = user;
    const struct tls_client_options tls = {.server_name = t->target->host,
                                           .insecure = t->target->tls_name.len == 0};

    if (!s || tls_connect(&tls, s, &s, &t->err) < 0) {
        if (err)
            t->err = *err;
        t->over = true;
        return;
    }
    if (t->websocket)
        http_client_upgrade_websocket(s, STR("/derp"), t->target->authority, "derp", TRY_MS,
                                      on_upgraded, t);
    else
        http_client_upgrade(s, "GET", STR("/derp"), t->target->authority, "DERP", NULL, 0, TRY_MS,
                            on_upgraded, t);
}

int doctor_try_relay(const struct doctor_target *target, bool websocket, struct err *err)
{
    struct relay_try t = {.target = target, .websocket = websocket};
    struct loop *loop = NULL;

    if (loop_new("doctor", &loop, err) < 0)
        return -(int)err->code;
    stream_connect_tcp(loop, target->addr, TRY_MS, on_connected, &t);
    wait_for(loop, &t.over, TRY_MS);
    bool is_good = t.has_greeting;

    if (!is_good && t.err.text[0] == '\0')
        IGNORE(err_set(&t.err, ERR_IO, "no answer in time"));
    *err = t.err;
    loop_free(loop);
    return is_good ? 0 : -(int)ERR_IO;
}

/* ---- STUN ---- */

struct stun_try {
    struct stun_txid txid;
    struct ip_addrport seen;
    bool over;
};

static void on_datagram(void *user, struct udp *udp, struct ip_addrport from, struct str data)
{
    struct stun_try *t = user;
    struct stun_txid txid;
    struct ip_addrport seen;

    (void)udp;
    (void)from;
    if (!stun_response_decode(data, &txid, &seen) || memcmp(&txid, &t->txid, sizeof(txid)) != 0)
        return;
    t->seen = seen;
    t->over = true;
}

int doctor_try_stun(struct ip_addrport to, struct ip_addrport *seen, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf request = BUF(256);
    const struct ip_addrport any = {.addr = {.family = to.addr.family}};
    struct stun_try t = {0};
    struct loop *loop = NULL;
    struct udp *udp = NULL;

    if (loop_new("doctor", &loop, err) < 0)
        return -(int)err->code;
    int status = udp_open(loop, any, on_datagram, &t, &udp, err);

    rand_bytes(&t.txid, sizeof(t.txid));
    stun_request_encode(&request, &t.txid);
    for (size_t i = 0; i < STUN_TRIES && status == 0 && !t.over; i++) {
        udp_send(udp, to, buf_str(&request));
        wait_for(loop, &t.over, STUN_MS);
    }
    loop_free(loop);
    if (status == 0 && !t.over)
        status = err_set(err, ERR_IO, "no answer");
    *seen = t.seen;
    return status;
}
