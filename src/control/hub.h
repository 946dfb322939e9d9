#pragma once

/*
 * The hub: one per loop, what this loop knows of every tailnet, and the map streams it serves.
 *
 *   publication --> hub_publish --> feed of the tailnet --> sessions that are behind --> pull,
 * write
 *
 * A session pulls when its connection has taken what it was given (never a queue per session), and
 * what it pulled goes out bit by bit as there is room.
 *
 * Deltas. After a publication the sessions of the tailnet are flushed: at once if none was lately,
 * else after a while that grows with what a flush costs and with how many come online meanwhile
 * (pace.h). A storm of changes then costs each of them a few messages, and a single change waits
 * for nothing but a few whole maps that are going out, and for those not long: a machine that joins
 * is told at once what there is. Of a machine that has registered the others are told when it has
 * come for its map and had a moment to get it, or after a tenth of a second if it does not come.
 *
 * Whole maps. A session's first message waits for no flush. So many are under way at once; who
 * comes later waits in line, tailnets by turns, and within one in the order they came:
 *
 *   asks --> WAITING --a place is free--> SENDING --taken in full--> NONE
 *                                            |                         ^
 *                                    not after slot_ms                 |
 *                                            v                         |
 *                                          SLOW --taken in full--------+
 *                                            +----no byte for stall_ms--> ended
 *
 * SLOW ones have given their place to the next in line and go on as their clients take it. They are
 * counted, too: a map in the middle of being sent keeps up to two hundred KiB and shares in blocks
 * that nobody else may want any more. When slow_max of them are there the line waits, and so who
 * takes nothing at all is ended: the client, if there is one, comes back and starts over.
 *
 * Both kinds of work are done in slices, between which the loop reads and writes; tailnets take
 * turns in each.
 */

#include "control/registrar.h"
#include "http/server.h"
#include "netmap/stream.h"

struct hub;
struct map_session;

#define KEEP_ALIVE_MS 50000
#define KEEP_ALIVE_JITTER_MS 9000

MUST_USE struct hub *hub_new(struct loop *loop, struct registrar *registrar);
/* The loop must not run any more. */
void hub_free(struct hub *h);
void hub_set_registrar(struct hub *h, struct registrar *registrar);

struct hub_limits {
    size_t full_at_once; /* whole maps under way */
    size_t slow_max;     /* those that took longer than slot_ms and are not through */
    int64_t slot_ms;
    int64_t stall_ms;
    int64_t slice_us; /* work between two looks at what has come */
};
#define HUB_LIMITS_DEFAULT \
    ((struct hub_limits){  \
        .full_at_once = 32, .slow_max = 512, .slot_ms = 100, .stall_ms = 30000, .slice_us = 5000})
void hub_set_limits(struct hub *h, const struct hub_limits *limits);

/* What is going on; for tests and whoever watches. */
struct hub_state {
    size_t sessions;
    size_t waiting, sending, slow; /* of those that get a whole map */
    size_t flushing;               /* tailnets in the middle of a flush */
    uint64_t flushes;              /* begun so far */
    uint64_t stalled;              /* sessions ended because they took nothing */
};
void hub_state(const struct hub *h, struct hub_state *out);

/* On the hub's loop. */
void hub_publish(struct hub *h, const struct publication *p);
/* The newest view of the tailnet this loop has, borrowed until the next publication; NULL if
 * unknown. 0: the first. */
const struct tailnet_view *hub_view(const struct hub *h, tailnet_id id);
const struct tailnet_view *hub_view_by_name(const struct hub *h, struct str name);
/* The i-th tailnet, oldest first; NULL past the last. */
const struct tailnet_view *hub_view_at(const struct hub *h, size_t i);
/* The policy this loop has for the tailnet, borrowed likewise; NULL if unknown. */
const struct policy *hub_policy(const struct hub *h, tailnet_id id);
/* Each tailnet's feed, oldest first, and how many sessions it has. On the hub's loop. */
void hub_each_feed(const struct hub *h,
                   void (*each)(void *user, const struct netmap_feed *feed, size_t sessions),
                   void *user);

struct map_session_options {
    tailnet_id tailnet;
    node_id node;
    uint64_t generation;
    struct machine_key machine;
    struct node_key key;
    uint32_t capver;
    bool zstd;
    bool omit_peers;
    bool stream; /* false: one message, then the end */
    bool keep_alive;
};
/* What undoes the opening of the stream. */
struct command map_session_close_command(const struct map_session_options *o);
/*
 * Sends the node a PingRequest for the URL on its stream of that generation, behind what its client
 * has not taken yet. False: there is no such stream here, or it still gets its whole map.
 */
MUST_USE bool hub_ping(struct hub *h, tailnet_id tailnet, node_id node, uint64_t generation,
                       struct str url);
/*
 * Answers the exchange with the node's map stream, until the client leaves, a newer stream takes
 * over or the node is gone. COMMAND_STREAM_CLOSE follows by itself when `stream`.
 */
void hub_serve_map(struct hub *h, struct http_exchange *x,
                   const struct map_session_options *options);
