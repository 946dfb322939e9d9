#pragma once

/*
 * A relay with its clients on one loop, each over a stream pair. What a client sees goes to its log
 * as words: "ready A>text gone:A:0 pong:12345678 frame:06 closed", keys by their parties' names.
 */

#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "derp/client.h"
#include "derp/server.h"
#include "net/loop.h"
#include "net/stream.h"

#define PARTIES 8

struct party {
    struct rig *rig;
    char name;
    struct node_private key;
    struct node_key public_key;
    struct derp_client *client; /* NULL once closed */
    struct buf log;
    size_t n_packets, n_gone;
    size_t bytes;
};

struct rig {
    struct loop *loop;
    struct derp_server *server;
    struct node_private server_key;
    struct party *parties[PARTIES];
    size_t n_parties;
    struct derp_admission *ticket; /* the last question, unless answered at once */
    size_t n_asked;
    bool answer_at_once;
    bool answer;
    /* May be NULL; then the log has it. */
    void (*on_packet)(struct party *p, const struct node_key *src, struct str packet);
    struct stream *raw; /* of rig_raw, NULL once closed */
    struct buf raw_got;
};

/* ---- What clients see ---- */

static inline char rig_name(const struct rig *rig, const struct node_key *key)
{
    for (size_t i = 0; i < rig->n_parties; i++)
        if (node_key_eq(&rig->parties[i]->public_key, key))
            return rig->parties[i]->name;
    return '?';
}

static inline void party_ready(void *user, const struct derp_server_info *info)
{
    struct party *p = user;

    ASSERT(info->version == DERP_VERSION);
    buf_put(&p->log, STR("ready "));
}

static inline void party_packet(void *user, const struct node_key *src, struct str packet)
{
    struct party *p = user;

    p->n_packets++;
    p->bytes += packet.len;
    if (p->rig->on_packet)
        p->rig->on_packet(p, src, packet);
    else if (packet.len <= 16)
        buf_printf(&p->log, "%c>%.*s ", rig_name(p->rig, src), STR_ARG(packet));
}

static inline void party_gone(void *user, const struct node_key *key, uint8_t reason)
{
    struct party *p = user;

    p->n_gone++;
    buf_printf(&p->log, "gone:%c:%u ", rig_name(p->rig, key), reason);
}

static inline void party_pong(void *user, struct str data)
{
    struct party *p = user;

    buf_printf(&p->log, "pong:%.*s ", STR_ARG(data));
}

static inline void party_frame(void *user, const struct derp_frame *frame)
{
    struct party *p = user;

    if (frame->type == DERP_HEALTH)
        buf_put(&p->log, frame->payload.len > 0 ? STR("ill ") : STR("well "));
    else
        buf_printf(&p->log, "frame:%02x ", frame->type);
}

static inline void party_close(void *user, const struct err *why)
{
    struct party *p = user;

    (void)why;
    buf_put(&p->log, STR("closed "));
    p->client = NULL;
}

static const struct derp_client_events party_events = {.on_ready = party_ready,
                                                       .on_packet = party_packet,
                                                       .on_peer_gone = party_gone,
                                                       .on_pong = party_pong,
                                                       .on_frame = party_frame,
                                                       .on_close = party_close};

/* ---- The rig ---- */

static inline void rig_admit(void *user, const struct node_key *key, struct ip_addr from,
                             struct derp_admission *ticket)
{
    struct rig *rig = user;

    (void)key;
    (void)from;
    rig->n_asked++;
    if (rig->answer_at_once)
        derp_admission_answer(ticket, rig->answer);
    else
        rig->ticket = ticket;
}

/* `options`: key, loops and user are set here. */
static inline struct rig *rig_new(struct derp_server_options options)
{
    struct rig *rig = NEW(struct rig);
    struct err err;

    log_init(LOG_OFF, LOG_TEXT, -1);
    node_private_generate(&rig->server_key);
    if (loop_new("test", &rig->loop, &err) < 0)
        abort();
    options.key = &rig->server_key;
    options.loops = &rig->loop;
    options.n_loops = 1;
    options.user = rig;
    rig->server = derp_server_new(&options);
    return rig;
}

static inline void rig_run(struct rig *rig)
{
    for (int i = 0; i < 24; i++)
        loop_run_once(rig->loop, 0);
}

/* Clocks go on, timers fire. */
static inline void rig_wait(struct rig *rig, int64_t ms)
{
    clock_test_advance_ms(ms);
    for (int i = 0; i < 8; i++)
        loop_run_once(rig->loop, 2);
    rig_run(rig);
}

static inline void rig_free(struct rig *rig)
{
    loop_free(rig->loop);
    derp_server_free(rig->server);
    for (size_t i = 0; i < rig->n_parties; i++) {
        buf_fini(&rig->parties[i]->log);
        mem_free(rig->parties[i]);
    }
    buf_fini(&rig->raw_got);
    mem_free(rig);
}

/* One end of a new pair goes to the relay, the other is returned. */
static inline struct stream *rig_connect(struct rig *rig)
{
    struct stream *ends[2];

    stream_pair(rig->loop, ends);
    derp_server_accept(rig->server, ends[0]);
    return ends[1];
}

/* Joins as `p`, which has left or never come. */
static inline void party_join(struct rig *rig, struct party *p, const struct node_private *key,
                              struct derp_client_info info)
{
    p->rig = rig;
    p->key = *key;
    node_private_public(key, &p->public_key);
    p->client = derp_client_new(rig_connect(rig), &(struct derp_client_options){
                                                      .key = key,
                                                      .info = info,
                                                      .events = &party_events,
                                                      .user = p,
                                                  });
    rig_run(rig);
}

/* A client with this key and info. */
static inline struct party *rig_join_as(struct rig *rig, const struct node_private *key,
                                        struct derp_client_info info)
{
    struct party *p = NEW(struct party);

    ASSERT(rig->n_parties < PARTIES);
    p->name = (char)('A' + rig->n_parties);
    rig->parties[rig->n_parties++] = p;
    party_join(rig, p, key, info);
    return p;
}

static inline struct party *rig_join(struct rig *rig)
{
    struct node_private key;

    node_private_generate(&key);
    return rig_join_as(rig, &key, (struct derp_client_info){.can_ack_pings = true});
}

static inline void party_say(struct party *from, const struct party *to, struct str text)
{
    derp_client_send(from->client, &to->public_key, text);
}

/* What it saw since the last call; good until the next. */
static inline struct str party_log(struct party *p)
{
    static char text[65536];
    size_t n = MIN(p->log.len, sizeof(text));

    if (n > 0)
        memcpy(text, p->log.ptr, n);
    buf_clear(&p->log);
    return str_bytes(text, n);
}

static inline void rig_raw_data(void *user, struct str data)
{
    struct rig *rig = user;

    buf_put(&rig->raw_got, data);
}

static inline void rig_raw_close(void *user, const struct err *why)
{
    struct rig *rig = user;

    (void)why;
    rig->raw = NULL;
}

static const struct stream_events rig_raw_events = {.on_data = rig_raw_data,
                                                    .on_close = rig_raw_close};

/* A stream to the relay whose bytes the test writes itself. */
static inline void rig_raw(struct rig *rig)
{
    rig->raw = rig_connect(rig);
    buf_fini(&rig->raw_got);
    rig->raw_got = BUF((size_t)64 << 20);
    stream_set_events(rig->raw, &rig_raw_events, rig);
    rig_run(rig);
}

/* Appends the CLIENT_INFO of that key. */
static inline void rig_put_info(struct rig *rig, const struct node_private *key, struct buf *out)
{
    const struct derp_client_info info = {.version = DERP_VERSION};
    struct box_key box;
    struct node_key public_key;

    node_private_public(key, &public_key);
    ASSERT(box_key_init(&box, key, derp_server_key(rig->server)));
    derp_put_client_info(out, &box, &public_key, &info);
    box_key_fini(&box);
}
