#pragma once

/*
 * What the files of the relay bench share: packets that can be checked, one client, one run.
 *
 * Invariants
 *   1. All of a case happens on one loop, which is turned by hand (derp_run_turn), and ends with
 * it. The one exception is the pinger, which has a thread and a loop of its own.
 *   2. A packet is counted as received only when its source, its receiver, its number and each of
 *      its bytes are right; anything else is a failed check.
 */

#include "bench/bench.h"
#include "bench/derp.h"
#include "bench/histogram.h"
#include "core/list.h"
#include "crypto/keys.h"
#include "net/stream.h"
#include "net/tls.h"

/* ---- Packets ---- */

#define PACKET_POOL ((size_t)128 << 10) /* random bytes that packets are cut from */

/* What all packets of a run are made of. */
struct packet_kit {
    uint64_t salt;
    char *pool; /* PACKET_POOL bytes */
};
void packet_kit_init(struct packet_kit *kit, uint64_t seed);
void packet_kit_fini(struct packet_kit *kit);

/* Writes a packet of `size` bytes, DERP_BENCH_PACKET_MIN to 64 KiB. */
void packet_make(const struct packet_kit *kit, uint32_t pair, uint64_t number, uint64_t sent_ns,
                 char *out, size_t size);
/* False: not one that packet_make has made for this pair, to the last byte. Outputs on true only.
 */
MUST_USE bool packet_check(const struct packet_kit *kit, uint32_t pair, struct str packet,
                           uint64_t *number, uint64_t *sent_ns);

#define SEEN_WINDOW 4096

/* Which numbers have come: none may twice. */
struct packet_seen {
    uint64_t next; /* one more than the highest so far */
    uint64_t bits[SEEN_WINDOW / 64];
};
enum packet_order { PACKET_NEWEST, PACKET_LATE, PACKET_TWICE };
/* LATE: for the first time, but a later one was here before. Older than the window counts as TWICE.
 */
enum packet_order packet_seen_add(struct packet_seen *seen, uint64_t number);

/* ---- A run: one target, one case ---- */

struct derp_run {
    const struct derp_bench_options *o;
    const struct derp_bench_target *target;
    struct loop *loop;
    struct tls_client *tls;
    struct packet_kit kit;
    struct list peers;
    size_t connecting, ready, closed; /* peers, ever */
    size_t failures;                  /* failed checks, of the run */
    bool is_ending;                   /* what closes from here on does because we say so */
    int64_t deadline_ms;
};

#define COMPLAINTS_MAX 20

/* False: `err` says why. derp_run_fini in any case. */
MUST_USE bool derp_run_init(struct derp_run *r, const struct derp_bench_options *o,
                            const struct derp_bench_target *target, int64_t deadline_ms,
                            struct err *err);
/* Closes what is open. Peers are gone afterwards. */
void derp_run_fini(struct derp_run *r);
/* One round of the loop, waiting at most `ms`. False: the run's time is over. */
bool derp_run_turn(struct derp_run *r, int ms);
/* Turns until as many peers as began are ready or have ended, or time is over. */
bool derp_run_until_ready(struct derp_run *r);
/* A failed check: told on stderr, the first COMPLAINTS_MAX times. */
PRINTF_LIKE(2, 3) void derp_run_complain(struct derp_run *r, const char *fmt, ...);

/* ---- One client ---- */

struct derp_peer;

struct derp_peer_events {
    /* May be NULL. */
    void (*on_ready)(void *user);
    void (*on_packet)(void *user, const struct node_key *src, struct str packet);
    void (*on_close)(void *user, const struct err *why);
};

struct derp_peer {
    struct list_node link; /* run->peers */
    struct derp_run *run;
    const struct derp_peer_events *events;
    void *user;
    struct node_private private_key;
    struct node_key key;
    struct stream *stream;      /* NULL while connecting and when closed */
    struct derp_client *client; /* of a relay; NULL with the floor */
    struct buf in;              /* with the floor: what is not a whole frame */
    uint32_t floor_pair;
    bool floor_sends;
    bool is_ready;
    bool is_closed;
    bool is_leaving; /* is to be closed as soon as it is there */
    bool may_close;  /* the server may end it, and that is no failed check */
};

/* Begins to connect. With the floor, `pair` and `sends` say whose other end it is. */
void derp_peer_init(struct derp_peer *p, struct derp_run *r, uint32_t pair, bool sends,
                    const struct derp_peer_events *events, void *user);
/* Ends the connection, however far it is; on_close follows. */
void derp_peer_leave(struct derp_peer *p);
/* After derp_run_fini. */
void derp_peer_fini(struct derp_peer *p);
/*
 * Sends `n` packets of `size` bytes each, which lie one behind the other, to `dst`, as one write.
 * Nothing when it is not ready.
 */
void derp_peer_send(struct derp_peer *p, const struct derp_peer *dst, const char *packets,
                    size_t size, size_t n);
size_t derp_peer_pending(const struct derp_peer *p);
/* It reads no more. */
void derp_peer_stop_reading(struct derp_peer *p);

/* ---- The floor ---- */

/*
 * A process of ours that joins two TCP connections at a time and copies from the one to the other,
 * one thread. False: err. End it with derp_floor_stop, which takes its pid.
 */
enum derp_floor { DERP_FLOOR_EPOLL = 0, DERP_FLOOR_URING = 1, DERP_FLOOR_RESTS = 2 }; /* or-ed */
MUST_USE bool derp_floor_start(enum derp_floor kind, struct ip_addrport *addr, long *pid,
                               struct err *err);
void derp_floor_stop(long pid);

/* ---- Cases ---- */

struct derp_load {
    size_t pairs, size, slow;
    size_t rate; /* 0: saturate */
};
struct derp_load_figures {
    double seconds;
    double offered;                 /* packets per second, 0: as many as it takes */
    double received;                /* packets per second, while measuring */
    uint64_t sent, got, lost, late; /* packets, of the whole case */
    double p50_ms, p99_ms, max_ms;  /* from the sender's write to the receiver's callback */
    double server_cpu;              /* seconds, while measuring */
    double own_cpu;
    double server_us; /* CPU per packet received */
};
/* False: nothing was measured; said on stderr. */
MUST_USE bool derp_load_run(struct derp_run *r, const struct derp_load *load,
                            struct derp_load_figures *out);

struct derp_crowd_figures {
    size_t wanted, ready;
    double seconds;    /* until the last was ready */
    double server_cpu; /* until then */
    double own_cpu;
    double rss_per_kib;    /* of the server, per connection; IDLE */
    double rss_kib;        /* with all of them */
    double idle_cpu;       /* of a core while they idle */
    uint64_t pings, pongs; /* of the pair beside a storm: sent and come */
    double ping_p50_ms, ping_p99_ms, ping_max_ms;
};
MUST_USE bool derp_idle_run(struct derp_run *r, struct derp_crowd_figures *out);
MUST_USE bool derp_storm_run(struct derp_run *r, struct derp_crowd_figures *out);

struct derp_stun_figures {
    uint64_t sent, answers;
    double seconds, server_cpu, own_cpu;
    double server_us; /* CPU per answer */
};
/* A crowd: each question from another address; only where derp_stun_can_crowd. Else a few that ask
 * many questions in a row. */
MUST_USE bool derp_stun_run(struct derp_run *r, bool is_crowd, struct derp_stun_figures *out);
bool derp_stun_can_crowd(const struct derp_bench_target *t);

/* Says a line per case; what fails is complained of. Ends the run. */
void derp_hostile_run(struct derp_run *r);
