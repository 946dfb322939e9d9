#pragma once

/*
 * The soak's nodes. Each lives by itself: a timer gives it something to do, and whatever becomes of
 * its connection, it comes again.
 *
 *   AWAY --come--> CONNECTING --registered, if it has to be--> HERE --leaves, thrown out--> AWAY
 *
 * What it holds is kept in full, message by message, so that it can be held against a fresh map.
 */

#include "bench/bench.h"
#include "bench/soak.h"
#include "client/control_calls.h"
#include "client/netmap_state.h"
#include "core/list.h"
#include "core/rand.h"

struct soak;

struct soak_conn {
    struct soak_node *node; /* NULL: the node has left it */
    struct control_client *client;
};

/* A map stream and what came of it. Freed when it has ended and nobody looks at it. */
struct soak_stream {
    struct soak_node *node;  /* NULL: nobody looks at it */
    struct control_map *map; /* NULL: it has ended */
    struct netmap_state state;
    uint32_t capver;
    bool has_map;
};

enum soak_node_state { SOAK_AWAY, SOAK_CONNECTING, SOAK_HERE };

struct soak_node {
    struct soak *soak;
    size_t index;
    enum soak_node_state state;
    struct machine_private machine;
    struct node_key key, old_key; /* old: while it is being replaced */
    struct disco_key disco;
    bool has_machine;
    bool must_register; /* the next connection begins with it */
    bool is_slow;       /* does not read */
    uint32_t capver;
    bool zstd;
    struct ip_addrport endpoint;
    struct soak_conn *conn;
    struct soak_stream *stream;
    struct soak_stream *before; /* the one that `stream` took over from, to be compared */
    struct timer timer;
};

enum soak_count {
    SOAK_CAME,
    SOAK_LEFT,
    SOAK_THROWN_OUT, /* its connection or stream ended without having been asked to */
    SOAK_REGISTERED,
    SOAK_REFUSED, /* registrations and updates, while an administrator is at it */
    SOAK_MOVED,
    SOAK_TOOK_OVER,
    SOAK_NEW_KEY,
    SOAK_LOGGED_OUT,
    SOAK_NEW_MACHINE,
    SOAK_STOPPED_READING,
    SOAK_MESSAGES,
    SOAK_FULL_MAPS,
    SOAK_COUNTS
};

struct soak {
    const struct soak_options *o;
    struct loop *loop;
    struct machine_key server;
    struct soak_node *nodes;
    struct rand_seeded rand;
    bool is_quiet;    /* nobody does anything but come back */
    bool is_ending;   /* what ends from here on ends because we do */
    int64_t heard_ms; /* when a message came last that was no keep-alive */
    uint64_t serial;
    size_t failures;
    uint64_t counts[SOAK_COUNTS];
};

void soak_complain(struct soak *s, const struct soak_node *n, const char *what, struct str detail);
uint64_t soak_below(struct soak *s, uint64_t n);

void soak_node_init(struct soak *s, size_t index);
void soak_node_fini(struct soak_node *n);
/* Reads again, comes back when away. */
void soak_node_settle(struct soak_node *n);
void soak_node_leave(struct soak_node *n);
/* A second stream that takes over; the first stays as `before`, as it was. */
void soak_node_take_over(struct soak_node *n);
void soak_stream_forget(struct soak_stream *st); /* NULL is fine */
