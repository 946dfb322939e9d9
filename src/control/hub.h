#pragma once

/*
 * The hub: one per loop, what this loop knows of every tailnet, and the map streams it serves.
 *
 *   publication --> hub_publish --> feed of the tailnet --> sessions that are behind --> pull,
 * write
 *
 * A session pulls when its connection has taken what it was given (never a queue per session).
 * After a publication the sessions of the tailnet are flushed at once if none was lately, else
 * together a little later: a storm of changes then costs each of them a few messages, and a single
 * change waits for nothing. A session's first message never waits.
 */

#include "control/registrar.h"
#include "http/server.h"
#include "netmap/stream.h"

struct hub;
struct map_session;

/* Sessions of one tailnet are flushed at most this often. */
#define HUB_FLUSH_MS 25
#define KEEP_ALIVE_MS 50000
#define KEEP_ALIVE_JITTER_MS 9000

MUST_USE struct hub *hub_new(struct loop *loop, struct registrar *registrar);
/* The loop must not run any more. */
void hub_free(struct hub *h);
void hub_set_registrar(struct hub *h, struct registrar *registrar);
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
size_t hub_session_count(const struct hub *h);
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
/*
 * Answers the exchange with the node's map stream, until the client leaves, a newer stream takes
 * over or the node is gone. COMMAND_STREAM_CLOSE follows by itself when `stream`.
 */
void hub_serve_map(struct hub *h, struct http_exchange *x,
                   const struct map_session_options *options);
