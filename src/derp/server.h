#pragma once

/*
 * The relay: packets between clients that are known by node keys, over streams on many loops.
 *
 *   stream --derp_server_accept--> LOGIN --CLIENT_INFO opens--> ADMITTING --answer--> READY
 *                                    |                              |                   |
 *                                    +---- broken, late, refused ---+---- closed -------+--> gone
 *
 * Rules
 *   1. A client belongs to its stream's loop for life. Loops hand each other packets in batches;
 * the only lock is a shard's of the registry, held for a look-up.
 *   2. Nothing but SERVER_KEY is sent, and nothing of a client is believed, before its box has
 * opened.
 *   3. What waits for a client is bounded: a stretch of bytes in its stream, behind it DERP_QUEUE
 *      packets and as many of path discovery. When full the oldest goes. A client that takes
 *      nothing for DERP_STALL_MS is closed. A slow receiver never slows its senders.
 *   4. Connections of one key: whoever sent last (at first, the newest) gets the packets. Past
 *      DERP_DUPLICATES_MAX the oldest is closed.
 *   5. A client hears PEER_GONE of those who sent it something, when their last connection ends.
 *
 * Source: docs/protocol.md 16.
 */

#include "crypto/keys.h"
#include "derp/handshake.h"
#include "http/server.h"
#include "ip/addr.h"
#include "net/stream.h"

#define DERP_QUEUE 32        /* packets waiting for one client, of each of the two kinds */
#define DERP_QUEUE_MESH 1024 /* the same for a relay of the mesh */
#define DERP_STALL_MS \
    10000 /* a client that takes nothing for so long is closed (within twice it) */
#define DERP_LOGIN_MS                                                          \
    10000 /* from the stream to the client's proof, and again to the admission \
           */
#define DERP_KEEP_ALIVE_MS 60000 /* and up to 5 s more */
#define DERP_DUPLICATES_MAX 64   /* connections of one key */
#define DERP_LOGINS_MAX 8192     /* connections that have not logged in yet */
#define DERP_LOOPS_MAX 64

struct derp_server;

/* A question in flight; whoever is asked answers it exactly once. */
struct derp_admission;

/* For /bootstrap-dns: a name and its addresses, told to clients whose own DNS is broken. */
struct derp_bootstrap_host {
    struct str name;
    const struct ip_addr *addrs;
    size_t n_addrs;
};

struct derp_server_options {
    const struct node_private *key; /* copied */
    struct loop *const *loops;      /* array copied; every accepted stream's loop is among them */
    size_t n_loops;                 /* 1 to DERP_LOOPS_MAX */
    /*
     * Asked on the client's loop, once its key is proved; answers with derp_admission_answer, also
     * from inside the call. NULL: everybody may. Mesh peers are not asked about.
     */
    void (*admit)(void *user, const struct node_key *key, struct ip_addr from,
                  struct derp_admission *ticket);
    void *user;
    /*
     * What one client may send, in bytes of frames; 0: no limit. Over it the client's stream is not
     * read for a while: nothing is dropped. A burst below one packet's size is raised to it.
     */
    uint64_t client_bytes_per_second;
    uint64_t client_burst_bytes;
    /*
     * The same for all clients together; relays of the mesh do not count. Over it those who send
     * most are slowed, until what is left is equal parts: who sends less than its part never waits.
     */
    uint64_t total_bytes_per_second;
    uint64_t total_burst_bytes;
    int64_t stall_ms; /* a client that takes nothing for so long is closed; 0: DERP_STALL_MS, -1:
                         never */
    /* Connections that have not proved a key yet; beyond it the oldest goes. 0: DERP_LOGINS_MAX. */
    size_t max_logins;
    /* Not NULL: DERP_MESH_KEY_BYTES, copied. Who shows it may send FORWARD_PACKET, CLOSE_PEER and
     * WATCH_CONNS.
     */
    const uint8_t *mesh_key;
    const struct derp_bootstrap_host *hosts; /* copied */
    size_t n_hosts;
};

MUST_USE struct derp_server *derp_server_new(const struct derp_server_options *options);
/*
 * Free it after its loops have been freed (they end its clients), or when they do not run and
 * nothing was ever accepted. Questions not yet answered must not be answered any more. NULL is
 * fine.
 */
void derp_server_free(struct derp_server *server);
const struct node_key *derp_server_key(const struct derp_server *server);

/* Takes a stream that has left HTTP, on its loop's thread. */
void derp_server_accept(struct derp_server *server, struct stream *stream);
/* From any thread; the ticket is gone afterwards. The client may have left meanwhile. */
void derp_admission_answer(struct derp_admission *ticket, bool ok);
/*
 * Closes every connection of the key, from any thread; those that are just being admitted are asked
 * about again. For nodes deleted, expired or given a new key.
 */
void derp_server_drop(struct derp_server *server, const struct node_key *key);
/* Replaces what one client may send, also of those that are there; from any thread. */
void derp_server_set_rate(struct derp_server *server, uint64_t bytes_per_second,
                          uint64_t burst_bytes);
/* The same for all together. */
void derp_server_set_total_rate(struct derp_server *server, uint64_t bytes_per_second,
                                uint64_t burst_bytes);
/* Replaces how many may not have proved a key yet; from any thread. 0: DERP_LOGINS_MAX. */
void derp_server_set_max_logins(struct derp_server *server, size_t n);
/* Tells every client that the relay is about to be restarted; from any thread. */
void derp_server_say_restarting(struct derp_server *server, uint32_t reconnect_in_ms,
                                uint32_t try_for_ms);
/*
 * The same when another process takes over the port: each client is told a time of its own within
 * `over_ms` and closed then, so that they do not all come at once. From any thread; once.
 */
void derp_server_drain(struct derp_server *server, uint32_t over_ms, uint32_t try_for_ms);
/* Appends the relay's metrics under the official relay's names, in the text exposition format. */
void derp_put_metrics(struct buf *out);
/* Connections that are logged in now; for tests and pages. Any thread. */
size_t derp_server_clients(const struct derp_server *server);

/* ---- HTTP: the owner mounts these where it likes, for any method ---- */

/*
 * /derp: an upgrade to DERP (also with Derp-Fast-Start, which gets no HTTP answer) or a WebSocket
 * with the subprotocol "derp"; 426 for anything else.
 */
void derp_http_upgrade(struct derp_server *server, struct http_exchange *x,
                       const struct http_request *req);
/* /derp/probe, /derp/latency-check: 200 and nothing, for GET and HEAD from any origin. */
void derp_http_probe(struct derp_server *server, struct http_exchange *x,
                     const struct http_request *req);
/* /generate_204: the captive portal check, with its challenge. */
void derp_http_generate_204(struct derp_server *server, struct http_exchange *x,
                            const struct http_request *req);
/* /bootstrap-dns: {"host":["address"]} of the options' hosts; with ?q=name of that one only. */
void derp_http_bootstrap_dns(struct derp_server *server, struct http_exchange *x,
                             const struct http_request *req);
/* /robots.txt: a relay is nothing to index. */
void derp_http_robots(struct derp_server *server, struct http_exchange *x,
                      const struct http_request *req);
