#pragma once

/*
 * Load on relays, for `hatsize-bench derp`: pairs that send, connections that idle or come all at
 * once, receivers that never read, STUN. Any DERP server by URL; several in one run are put through
 * the same cases in turn and compared, and so is the floor, a forwarder of our own that does
 * nothing but copy bytes. Every packet's content is checked; timings are reported, never judged.
 */

#include "core/buf.h"
#include "ip/addrport.h"

#define DERP_BENCH_URLS_MAX 3
#define DERP_BENCH_FLOORS 4
#define DERP_BENCH_TARGETS_MAX (DERP_BENCH_URLS_MAX + DERP_BENCH_FLOORS)
#define DERP_BENCH_LIST_MAX 8
#define DERP_BENCH_PAIRS_MAX 4096
#define DERP_BENCH_CROWD_MAX 100000
#define DERP_BENCH_PACKET_MIN 40 /* what identifies a packet and is checked */

/* In this order, each for every target. */
enum derp_bench_mode {
    DERP_BENCH_IDLE,  /* memory per connection: first, while the server has not yet grown */
    DERP_BENCH_LOAD,  /* pairs: throughput, latency, CPU */
    DERP_BENCH_PACED, /* the same at the load the first target could carry in LOAD */
    DERP_BENCH_SLOW,  /* the same beside receivers that never read */
    DERP_BENCH_STORM, /* many connections at once, while a pair goes on */
    DERP_BENCH_STUN,
    DERP_BENCH_HOSTILE, /* what hostile clients try, beside a pair that behaves */
    DERP_BENCH_MODES
};

struct derp_bench_target {
    struct str name; /* for the tables */
    struct str url;
    bool is_tls;
    bool is_floor;
    struct ip_addrport addr; /* of the URL */
    struct str host;         /* for the request: the URL's, with its port */
    long pid;                /* 0: not watched */
    bool has_stun;
    struct ip_addrport stun;
    bool has_pin;
    uint8_t pin[32]; /* SHA-256 of its certificate; without it none is verified */
};

struct derp_bench_options {
    struct derp_bench_target targets[DERP_BENCH_TARGETS_MAX];
    size_t n_targets;
    unsigned modes; /* BIT(enum derp_bench_mode) */
    size_t pairs[DERP_BENCH_LIST_MAX], n_pairs;
    size_t sizes[DERP_BENCH_LIST_MAX], n_sizes; /* bytes of a packet */
    size_t rate;                                /* packets per second, all pairs; 0: saturate */
    size_t window; /* when saturating: packets of a pair on their way */
    size_t burst;  /* packets in one write, and so in one TLS record */
    bool gather;   /* what a sender writes in a row goes to the kernel at once: a cheap generator */
    size_t slow;   /* receivers that never read */
    size_t idle;   /* connections */
    size_t storm;  /* connections */
    int64_t run_ms;  /* each case */
    int64_t warm_ms; /* before it */
    int64_t limit_ms;
    bool floors[DERP_BENCH_FLOORS]; /* enum derp_floor */
    bool json;
};

/*
 * From the arguments behind "derp". Borrows from argv. False: something is wrong, `complaint` says
 * what.
 */
MUST_USE bool derp_bench_parse(int argc, char *const *argv, struct derp_bench_options *out,
                               struct buf *complaint);

/* Returns the exit status: 1 when a check failed or nothing could be measured. */
int bench_derp(const struct derp_bench_options *options);
