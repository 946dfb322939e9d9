#pragma once

/*
 * What the files of the hub share.
 *
 *   hub.c      feeds and publications          map_session.c  one stream: pull, write, keep alive
 *   hub_turns.c  whose whole map is next, whose deltas are next
 */

#include "control/hub.h"
#include "control/pace.h"
#include "core/list.h"
#include "core/map.h"
#include "netmap/parcel.h"

struct hub_tailnet {
    struct hub *hub;
    tailnet_id id;
    struct netmap_feed *feed;
    struct list sessions; /* while a flush is on, those it has not come to are in front */
    size_t n_sessions;
    struct map *by_node;   /* node -> its newest session, the others behind it */
    struct list waiting;   /* sessions that want a whole map, in the order they came */
    size_t unflushed;      /* of the flush that is on */
    uint64_t flush_ns;     /* when that one began */
    bool flush_again;      /* something was published meanwhile */
    struct pace pace;      /* of flushes */
    struct timer flush;    /* begins the next */
    size_t newcomers;      /* came online since the last was begun */
    int64_t came_until_ms; /* the first of them gets its map so long; 0: nobody came */
    bool is_orphan;        /* replaced after a reset; goes with its last session */
    struct list_node tailnets_link;
    struct list_node hungry_link;   /* hub.hungry while `waiting` is not empty */
    struct list_node flushing_link; /* hub.flushing while a flush is on */
};

struct hub {
    struct loop *loop;
    struct registrar *registrar;
    struct hub_limits limits;
    struct map *by_id;
    struct map *by_name;
    struct list tailnets;
    struct hub_tailnet **order; /* the same by rising id: views are asked for by place */
    size_t n_tailnets, cap_tailnets;
    size_t n_sessions;
    char *scratch;   /* HTTP's room at most; bytes of several pieces, put together */
    struct buf json; /* lent to the feeds */

    struct list hungry;   /* tailnets, by turns */
    struct list flushing; /* tailnets, by turns */
    struct list sending;  /* sessions, the longest there first */
    struct list slow;     /* sessions, the longest without a byte taken first */
    size_t n_waiting, n_sending, n_slow;
    uint64_t flushes, stalled;
    struct timer watch;
    int64_t back_ms; /* since when flushes stand back for whole maps; 0: they did not yet */
    struct timer stand_back;
    int64_t came_ms; /* when a node came online last; 0: none did */
    struct loop_message work;
    bool work_posted;
};

enum session_turn { TURN_NONE, TURN_WAITING, TURN_SENDING, TURN_SLOW };

struct map_session {
    struct hub *hub;
    struct hub_tailnet *tailnet;
    struct http_exchange *x; /* NULL once it has ended */
    struct netmap_stream *stream;
    struct map_session_options options;
    struct netmap_parcel out; /* what the client has not taken of the last message */
    struct timer keep_alive;
    int64_t sent_ms; /* the last message */
    struct str ping; /* a URL to ask for, when the client has taken the last message; heap */
    struct list_node sessions_link;
    struct map_session *same_node; /* the next older one */
    enum session_turn turn;
    struct list_node turn_link;
    int64_t turn_ms; /* since when it is SENDING; when it took something last while SLOW */
    bool is_ending;
    bool ends_drained; /* when what it has pulled is taken */
};

/* ---- map_session.c ---- */

/* Goes on writing, then brings the client up to the feed, as far as it takes it and it is its
 * turn. */
void session_advance(struct map_session *s);
/* Its turn for a whole map has come. */
void session_pull(struct map_session *s);
void session_end(struct map_session *s);
void session_farewell(struct map_session *s, const struct node *last);
/* The node's newest session; older ones by same_node. NULL: none. */
struct map_session *session_of_node(const struct hub_tailnet *t, node_id node);

/* ---- hub_turns.c ---- */

void hub_turns_init(struct hub *h);
void hub_turns_fini(struct hub *h);
/* The session wants a whole map: true, and it has its turn, or it waits for it. */
MUST_USE bool turn_ask(struct map_session *s);
/* Its client took something of the map. */
void turn_progress(struct map_session *s);
/* It has its map, or is ended. */
void turn_leave(struct map_session *s);
/* Something was published. */
enum flush_when {
    FLUSH_SOON,    /* as the pace has it */
    FLUSH_ARRIVAL, /* machines have registered, nothing else: their next step may come first */
};
void tailnet_schedule_flush(struct hub_tailnet *t, enum flush_when when);
/* So many of the tailnet's nodes come online by what is published next, on whatever loop. */
void tailnet_note_newcomers(struct hub_tailnet *t, size_t n);
void tailnet_turns_init(struct hub_tailnet *t);
/* No more flushes; whoever is in line stays until it is ended. */
void tailnet_turns_stop(struct hub_tailnet *t);
void tailnet_turns_fini(struct hub_tailnet *t);

/* ---- hub.c ---- */

/* The last session of one that was replaced has gone. */
void hub_tailnet_free(struct hub_tailnet *t);
