#pragma once

/*
 * What the files of the relay share.
 *
 *   session.c   one client: the state machine, admission, what its frames do
 *   feed.c      one client: from bytes to frames
 *   outbox.c    one client: what waits to be written to it
 *   routes.c    one client: whom it has sent to, so that the next packet needs no look-up
 *   limit.c     one client, and all: how much they may bring
 *   registry.c  all clients: which connections a key has, and which of them is active
 *   mailbox.c   packets from one loop to another
 *   watch.c     relays of the mesh that hear who is here
 *   link.c      this relay as such a watcher of another
 *   sibling.c   finding this relay's other process
 *   tally.c     counting
 *
 * Every function here runs on the loop's thread it concerns, but those of the registry, which any
 * thread may call.
 */

#include <stdatomic.h>

#include "core/list.h"
#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "derp/frame.h"
#include "derp/server.h"

/* What may wait in a session's stream and `out` before packets go to its queues instead. */
#define BACKLOG_MAX ((size_t)128 << 10)
/* The same for what is not packets (PEER_GONE); beyond it they are dropped: they are hints. */
#define CONTROL_BACKLOG_MAX ((size_t)192 << 10)
#define QUEUE_BYTES_MAX ((size_t)512 << 10)    /* of each of the two queues */
#define MESH_QUEUE_BYTES_MAX ((size_t)4 << 20) /* the same for a relay of the mesh */
#define SESSION_WRITE_LIMIT ((size_t)1 << 20)
/* Of a session's `in`: above a read and a frame; what is let through is far below. */
#define IN_MAX ((size_t)2 << 20)
#define ROUTES_MAX 4096               /* destinations that one session remembers */
#define MAILBOX_MAX ((size_t)4 << 20) /* bytes under way from one loop to another */
#define TRANSIT_MAX (256u << 10)      /* of them to one session, from all loops together */
/* From these on the sender is not read for a moment: the other loop is busy, not the receiver slow.
 */
#define MAILBOX_CROWDED (MAILBOX_MAX / 2)
#define TRANSIT_CROWDED (64u << 10)
#define TRANSIT_BUCKETS 4096u
#define SHARDS 64u
#define WATCHERS_MAX 64u /* relays of the mesh that watch */
#define VIAS_MAX 64u     /* relays through which one peer can be reached */
#define HEARD_MAX 256    /* kept of connections that ended while others of their key live */
#define FIGHT_FLIPS 6    /* of a key's active connection, within FIGHT_MS: it was cloned */
#define FIGHT_MS 10000
#define GONE_BURST 3 /* PEER_GONE(not here) per session; refilled one a second */

/* Which connection: loop (8 bits), slot in its table (24), the slot's generation (32). 0: none. */
typedef uint64_t session_id;

static inline size_t id_loop(session_id id)
{
    return (size_t)(id >> 56);
}

static inline size_t id_slot(session_id id)
{
    return (size_t)(id >> 32) & 0xffffff;
}

/* ---- Registry ---- */

/* Where a session has sent to: a hash table of counted peers. */
struct routes {
    struct peer **slots;
    uint32_t n, cap; /* cap is a power of two or 0 */
    uint32_t refused;
};

/* An array of counted peers. */
struct heard {
    struct peer **peers;
    uint32_t n;
};

/* A key that is connected or that somebody remembers. Lives while it is referenced. */
struct peer {
    struct node_key key;
    _Atomic(session_id) where; /* the active connection; 0: not connected. Read without the lock. */
    _Atomic(session_id) via;   /* one of `vias`, 0: none. Read without the lock too. */
    /* Under the shard's lock: */
    unsigned refs;
    uint8_t n_conns, cap_conns;
    uint8_t flips; /* of the active connection, since: */
    bool is_fought_for;
    int64_t flips_since_ms;
    session_id *conns; /* oldest first */
    uint8_t n_vias, cap_vias;
    session_id *vias;        /* links to relays of the mesh that it is connected to */
    struct ip_addrport from; /* of the newest connection, and its flags: for watchers */
    uint8_t flags;
    /* Whom connections that have ended had sent to, counted; the last one tells them. */
    struct heard heard;
};

enum join { JOIN_OK, JOIN_ASK_AGAIN };

/* Finds or makes; counted. */
struct peer *registry_get(struct derp_server *s, const struct node_key *key);
/* One connected here or to a relay of the mesh, counted, or NULL. */
struct peer *registry_find(struct derp_server *s, const struct node_key *key);
void registry_unref(struct derp_server *s, struct peer *peer); /* NULL is fine */
/*
 * Makes `id` the peer's newest and active connection. *evicted: the oldest, when there were too
 * many. ASK_AGAIN when the key has been dropped since `drops` was read.
 */
enum join registry_join(struct derp_server *s, struct peer *peer, session_id id,
                        const uint64_t *drops, session_id *evicted);
/*
 * Takes the connection out. True when none is left: those that earlier ones had sent to are then
 * moved to *heard, the caller's to unref and free. While others are left, peers are moved from
 * `routes` to be kept for the last of them; PEER_GONE is a hint, so at most HEARD_MAX are.
 */
bool registry_leave(struct derp_server *s, struct peer *peer, session_id id, struct routes *routes,
                    struct heard *heard);
/* What watchers are told of the connection that joins next. */
void registry_note(struct derp_server *s, struct peer *peer, struct ip_addrport from,
                   uint8_t flags);
/*
 * Whether the key is connected here, or (`with_sibling`) to this relay's other process; fills in
 * all but the key.
 */
bool registry_is_here(struct derp_server *s, const struct node_key *key, bool with_sibling,
                      struct derp_peer_present *out);
/* Each such key; no lock is held meanwhile. */
void registry_each_here(struct derp_server *s, bool with_sibling,
                        void (*fn)(void *user, const struct node_key *key), void *user);
/*
 * The peer can be reached through the link too; first of all through that to the sibling. False:
 * through too many.
 */
bool registry_add_via(struct derp_server *s, struct peer *peer, session_id link);
/* No longer. True when nothing is left of the peer; *heard as with registry_leave. */
bool registry_remove_via(struct derp_server *s, struct peer *peer, session_id link,
                         struct heard *heard);
/* `dst`, here, has had a packet from `src`, which is elsewhere, and will want to know when it goes.
 */
void registry_hear(struct derp_server *s, const struct node_key *src, const struct node_key *dst);
/*
 * `id` has just sent something. Usually 0; the number of *ids when it has turned out that two
 * machines have the key and send by turns: those connections are to hear of it.
 */
size_t registry_activate(struct derp_server *s, struct peer *peer, session_id id, int64_t now_ms,
                         session_id ids[DERP_DUPLICATES_MAX]);
/* After one has left: the only one that is left of a key that was fought for, else 0. */
session_id registry_peace(struct derp_server *s, struct peer *peer);
/* Counts drops of keys in the key's shard. */
uint64_t registry_drops(struct derp_server *s, const struct node_key *key);
/* Counts a drop and copies the key's connections. */
size_t registry_drop(struct derp_server *s, const struct node_key *key,
                     session_id ids[DERP_DUPLICATES_MAX]);
/* Peers that are connected or remembered; for tests. */
size_t registry_len(struct derp_server *s);
void registry_init(struct derp_server *s);
void registry_fini(struct derp_server *s);

/* ---- Counting: a loop's own numbers, added to the metrics now and then ---- */

enum tally {
    TALLY_CLIENTS,
    TALLY_HOME_CLIENTS,
    TALLY_ACCEPTS,
    TALLY_REFUSED,
    TALLY_BROKEN,
    TALLY_STALLED,
    TALLY_DUPLICATES_CLOSED,
    TALLY_LOGINS_CLOSED,
    TALLY_FIGHTS,
    TALLY_PACKETS_IN,
    TALLY_BYTES_IN,
    TALLY_PACKETS_OUT,
    TALLY_BYTES_OUT,
    TALLY_DROPPED_UNKNOWN,
    TALLY_DROPPED_QUEUE,
    TALLY_DROPPED_MAILBOX,
    TALLY_DROPPED_GONE,
    TALLY_PEER_GONE,
    TALLY_PINGS,
    TALLY_LIMITED,
    TALLY_LIMITED_TOTAL,
    TALLY_FORWARDED_OUT,
    TALLY_FORWARDED_IN,
    TALLY_WATCHERS,
    TALLY_REMOTE_CLIENTS,
    TALLY_COUNT,
};

struct relay_loop;
void tally_init(struct relay_loop *l);
void tally_fini(struct relay_loop *l);
void tally_add(struct relay_loop *l, enum tally what, int64_t n);

/* ---- Loops ---- */

/* What a piece for a session is. */
enum piece { PIECE_DATA, PIECE_DISCO, PIECE_CONTROL };

/* Pieces from one loop to another, one after the other in one buffer; see mailbox.c. */
struct batch;
struct mailbox {
    struct derp_server *server;
    size_t from, to;
    struct batch *filling; /* the sender's during one burst */
    bool is_crowded;       /* the sender's: since the last burst was sent */
    bool room_is_due;      /* the sender's: `room` will come */
    _Atomic(bool) sender_waits;
    struct loop_message room; /* back to the sender, once the receiver has fetched */
    struct list_node dirty_link;
    _Atomic(struct batch *) full;  /* for the receiver */
    _Atomic(struct batch *) spare; /* emptied by the receiver */
    _Atomic(bool) posted;
    struct loop_message message;
};

struct slot {
    struct session *session; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* index + 1 */
};

struct relay_loop {
    struct derp_server *server;
    struct loop *loop;
    size_t index;
    struct slot *slots;
    uint32_t n_slots, first_free; /* index + 1; 0: none */
    struct list dirty_sessions;   /* with something in `out` */
    struct list dirty_mailboxes;
    struct list tickets; /* questions in flight */
    struct list logins;  /* sessions in LOGIN, the oldest first; links are not among them */
    size_t n_logins;
    struct list paused; /* sessions not read for the rest of this round */
    struct loop_message resume;
    bool resume_is_posted;
    struct list waiting; /* sessions not read until another loop has caught up somewhat */
    struct timer waiting_timer;
    bool is_crowded;           /* a mailbox was, since this was last cleared */
    struct mailbox *mailboxes; /* to each loop */
    int64_t tally[TALLY_COUNT];
    struct timer tally_timer;
    struct log_pace pace;      /* of lines that strangers cause */
    struct draining *draining; /* NULL: not going down */
    _Atomic(uint64_t) came;    /* bytes of clients, while their total is limited; the loop's own */
    _Atomic(uint32_t) transit[TRANSIT_BUCKETS]; /* bytes under way to this loop, by slot */
};

/* The session of that id on this loop, or NULL if it has gone. */
struct session *relay_find(const struct relay_loop *l, session_id id);
/* Every entry from outside ends with this: writes what was gathered, sends the mailboxes. */
void relay_flush(struct relay_loop *l);
/* Hands `head` and `body`, together one frame, to the session, wherever it is. */
void relay_send(struct relay_loop *l, session_id to, enum piece piece, struct str head,
                struct str body);
/* A session for the stream, with its place in the loop's table; to be started. */
struct session *relay_new_session(struct derp_server *s, struct stream *stream);
/* As derp_server_accept, of a stream on which only this relay's other process may come. */
void relay_accept_sibling(struct derp_server *s, struct stream *stream);
/* Closes a session, from any thread. */
void relay_post_close(struct derp_server *s, session_id id);

void mailbox_init(struct mailbox *m, struct derp_server *server, size_t from, size_t to);
void mailbox_fini(struct mailbox *m);
void mailbox_put(struct relay_loop *l, session_id to, enum piece piece, struct str head,
                 struct str body);
void mailbox_send(struct mailbox *m);

struct shard {
    _Alignas(64) struct shard_lock *lock;
    struct map *peers;
    uint64_t drops;
};

/* What all clients together may bring; see limit.c. */
struct derp_total {
    _Atomic(uint64_t) rate, burst; /* bytes per second, bytes; rate 0: no limit */
    _Atomic(uint64_t) share;       /* bytes per second: what one client may bring now */
    _Atomic(bool) has_waited;      /* somebody, for the share, since the last judgement */
    _Atomic(int64_t) judged_ms;
    _Atomic(bool) is_judging;
    /* Whoever judges: */
    uint64_t seen;
    int64_t mean, credit;
    struct log_pace pace;
};

struct derp_server {
    struct node_private key;
    struct node_key public_key;
    void (*admit)(void *user, const struct node_key *key, struct ip_addr from,
                  struct derp_admission *ticket);
    void *user;
    _Atomic(uint64_t) rate; /* bytes per second, 0: none */
    _Atomic(uint64_t) burst;
    struct derp_total total;
    int64_t stall_ms;           /* -1: never */
    _Atomic(size_t) max_logins; /* of each loop */
    bool has_mesh_key;
    uint8_t mesh_key[DERP_MESH_KEY_BYTES];
    uint64_t seed[4]; /* of the routes' hash */
    struct relay_loop *loops;
    size_t n_loops;
    struct shard shards[SHARDS];
    _Atomic(size_t) n_clients;
    _Atomic(session_id) watchers[WATCHERS_MAX]; /* 0: free */
    _Atomic(session_id) sibling;                /* the link to this relay's other process, or 0 */
    struct bootstrap *bootstrap;
    size_t n_bootstrap;
};

struct bootstrap {
    struct str name;       /* owned */
    struct str addrs_json; /* an array, owned */
};
void pages_init(struct derp_server *s, const struct derp_bootstrap_host *hosts, size_t n);
void pages_fini(struct derp_server *s);

/* ---- Sessions ---- */

enum session_state { SESSION_LOGIN, SESSION_ADMITTING, SESSION_READY, SESSION_CLOSED };

struct peer *routes_find(const struct derp_server *s, const struct routes *r,
                         const struct node_key *key);
/* Takes the reference. False, and nothing taken, when there are too many. */
bool routes_add(struct derp_server *s, struct routes *r, struct peer *peer);
void routes_fini(struct derp_server *s, struct routes *r);
/* The keyed hash of a key. */
uint64_t routes_hash(const struct derp_server *s, const struct node_key *key);

/* What waits for a slow client; exists only while something does. */
struct queue;

struct outbox {
    struct buf out;      /* gathered in this burst */
    size_t in_stream;    /* at most so much is in the stream, not yet in the kernel */
    struct queue *queue; /* NULL: nothing waits */
    bool has_pong;
    bool has_drained; /* since the stall timer was started */
    uint8_t pong[8];
    struct list_node dirty_link;
    struct timer stall;
};

struct session {
    struct relay_loop *home;
    struct stream *stream;
    session_id id;
    enum session_state state;
    bool is_mesh;    /* the other end is a relay */
    bool is_sibling; /* and a process of this relay; until it has shown that: only it may come */
    bool is_home;    /* said NOTE_PREFERRED(1) */
    uint8_t gone_tokens;
    int64_t gone_at_ms;
    struct peer *peer;        /* counted; from the proof on */
    struct derp_proof *proof; /* until READY */
    uint64_t drops;           /* of its shard, when the question was asked */
    struct buf in;            /* one partial frame, or what came while ADMITTING */
    size_t skip;              /* bytes of an unknown frame still to come */
    struct outbox outbox;
    struct routes routes;
    struct timer timer;      /* login, then keep-alive */
    struct limiter *limiter; /* NULL: no limit */
    struct list_node pause_link;
    struct list_node login_link;
    struct link *link;   /* not NULL: the other end is a relay, and we are its client */
    struct watch *watch; /* not NULL: the other end is a relay that watches */
    uint64_t *forwarded; /* of a relay's: pairs of keys that were noted lately; NULL: none yet */
};

/* `home`, `stream` and `id` are set: begins with SERVER_KEY. */
void session_start(struct session *c);
/* The same for a link; it begins with the other relay's SERVER_KEY. */
void session_start_link(struct session *c, struct link *link);
/* The other relay has let the link in. */
void session_link_is_ready(struct session *c);
void session_init_pauses(struct relay_loop *l);
/* Another loop has caught up: reads on those that waited for it. */
void session_end_waiting(struct relay_loop *l);
/* Questions that nobody answered. */
void session_free_tickets(struct relay_loop *l);
/* Ends it now; `why` is for the log, NULL for no line. */
void session_close(struct session *c, const char *why);
/* The same for who broke the protocol. */
void session_broken(struct session *c, const char *what);
/* A whole frame that may come now. */
void session_on_frame(struct session *c, const struct derp_frame *frame);

/* Reads it, if nothing else speaks against it. */
void session_read_on(struct session *c);

/* limit.c: n bytes came; over a limit the stream is not read, and the session's limit holds. */
void limit_charge(struct session *c, size_t n);
bool limit_holds(const struct session *c);
void limit_fini(struct session *c);

/* feed.c: bytes that came. While ADMITTING they are kept, and the stream is not read. */
void session_feed(struct session *c, struct str data);

/* outbox.c; the session is READY. */
void outbox_init(struct session *c);
void outbox_fini(struct session *c);
void outbox_push(struct session *c, enum piece piece, struct str head, struct str body);
void outbox_pong(struct session *c, struct str data);
/* Appends to what goes out at the next flush, whatever waits. For the handshake and keep-alives. */
struct buf *outbox_begin(struct session *c);
void outbox_flush(struct session *c);
void outbox_on_writable(struct session *c);
bool outbox_is_idle(const struct session *c);
/* Whether there is less than a packet queue would wait behind; else on_writable comes. */
bool outbox_has_room(struct session *c);

/* link.c; relay_flush is the caller's. */
void link_on_frame(struct session *c, const struct derp_frame *frame);
void link_on_data(struct session *c);
void link_on_timer(struct session *c);
void link_on_closed(struct session *c);
void link_on_end(struct session *c);

/* watch.c */
/* WATCH_CONNS came. */
void watch_start(struct session *c);
/* There is room again. */
void watch_pump(struct session *c);
void watch_stop(struct session *c); /* fine if it does not watch */
/* The key has come or gone; after the registry knows. Any loop. */
void watch_changed(struct derp_server *s, const struct node_key *key);
