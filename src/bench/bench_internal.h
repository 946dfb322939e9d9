#pragma once

/*
 * Simulated nodes, for the control bench: who they are, their connection, what they hold.
 *
 *   sim --(sim_begin)--> connection --> registered --> map stream --first message--> has a map
 *    ^                                                                                   |
 *    +------------------------------------ sim_leave ------------------------------------+
 *
 * Invariants
 *   1. A sim has at most one connection that counts (`conn`); older ones end by themselves.
 *   2. A sim has at most one stream that counts (`stream`); `before` is the one it took over from,
 *      kept to be compared. What arrives on any other is not looked at.
 *   3. A stream or connection that counts and ends without having been asked to is a failed check,
 *      but for the while in which the server is down on purpose (`is_down`): then it comes again.
 *   4. What is true of a sim (its number `truth` rises with every change of it): the keys,
 *      endpoint and home relay it reported, name and addresses of its first map, online as long as
 *      it has a stream.
 */

#include "bench/bench.h"
#include "client/control_calls.h"
#include "client/netmap_pool.h"
#include "core/list.h"

struct run;
struct sim;
struct sight;
struct crowd;

struct sim_conn {
    struct sim *sim;
    struct control_client *client;
    bool is_leaving;
};

struct sim_stream {
    struct list_node link; /* run->streams, until it has ended and is dropped */
    struct sim *sim;
    struct control_map *map; /* NULL once ended */
    struct netmap_reader reader;
    struct netmap_view view;
    bool has_map;
    bool is_dropped; /* its view is gone */
};

/* What the generator knows of one tailnet. Its pool is its own: what a sim holds that is none of
 * its tailnet's shows as one beside. */
struct sim_tailnet {
    struct netmap_pool *pool;
    struct sim **sim_at; /* by slot */
    size_t n_at;
    text_ix *usual;    /* while all are looked at: by slot, the card that was right last */
    uint32_t *columns; /* likewise, where there are rules: sight_column */
};

struct sim {
    struct run *run;
    struct sim_tailnet *tailnet;
    size_t index;
    struct machine_private machine;
    struct node_key key;
    struct disco_key disco;
    struct ip_addrport endpoint; /* the one it reported last */
    struct ip_addr v4, v6;       /* from its first map on */
    text_ix name;
    uint64_t id;
    uint32_t slot; /* 0: it had no map yet */
    uint32_t truth;
    bool is_registered;
    bool must_register; /* with this connection: it is new, or started anew */
    bool is_online;
    bool is_quiet; /* registers and reports once, and is gone */
    struct sim_conn *conn;
    struct sim_stream *stream;
    struct sim_stream *before;
    uint64_t begun_ns;        /* this connection */
    bool saw_change;          /* the change that is being timed */
    uint32_t messages_before; /* of its stream, when idling began */
    struct timer again;
};

/* Figures in milliseconds, to be sorted at the end. */
struct samples {
    double *ms;
    size_t n, max;
};

/* What is waited for at each viewer of the node that is watched. */
enum watching { WATCH_NOTHING, WATCH_ENDPOINT, WATCH_PRESENCE, WATCH_FILTER };

struct run {
    const struct bench_options *o;
    struct loop *loop;
    struct machine_key server;
    struct sim_tailnet *tailnets; /* sims belong to them in turn */
    size_t n_tailnets;
    struct sim *sims;
    size_t n; /* sims that take part; o->nodes, and those that came in later */
    size_t n_max;
    struct list streams;
    struct sim *quiet; /* o->quiet of them */
    size_t quiet_begun, quiet_done;
    size_t begun;     /* sims that have connected at least once */
    size_t under_way; /* connections without a map yet */
    size_t with_map;
    size_t generation; /* of endpoints: each change has one nobody had before */
    size_t failures;
    size_t settled_at;   /* where check_settled found a difference last */
    size_t broken_off;   /* streams, where the bench is patient */
    size_t retries;      /* connections that were refused while the server was down */
    struct map *in_vain; /* what ended connections meanwhile, to how often */
    bool is_down;        /* the server is being started anew */
    bool is_ending;      /* what ends from here on ends because we do */
    int64_t deadline_ms;
    int64_t looked_ms; /* when check_settled went over all */
    size_t wire_bytes;
    size_t messages;
    struct samples joins;
    struct crowd *crowd;
    struct sight *sight; /* NULL: everybody sees everybody */
    /* The change being timed. */
    enum watching watching;
    struct sim_tailnet *watched; /* where */
    struct ip_addrport marker;
    uint64_t change_ns;
    size_t saw;
    size_t must_see;
    unsigned filter_port; /* WATCH_FILTER: filters that open it have come */
    text_ix filter_opens; /* the last text found to */
    struct samples changes;
    long server_pid;
};

/* How many of the sims that take part are its. */
static inline size_t sims_of(const struct run *r, const struct sim_tailnet *t)
{
    return r->n / r->n_tailnets + ((size_t)(t - r->tailnets) < r->n % r->n_tailnets);
}

#define FAILURES_MAX 20
#define SIM_HOME_DERP 999 /* what every sim reports: the server's own region */

void samples_add(struct samples *s, double ms);

/* Says what failed on stderr, the first FAILURES_MAX times. */
void run_complain(struct run *r, const char *what, struct str detail);
/* Rounds of the loop until `is_done`, the deadline or too many failures; whether it was done. */
MUST_USE bool run_until(struct run *r, bool (*is_done)(struct run *r));
void run_for(struct run *r, int64_t ms);

/* ---- sim ---- */

void sim_init(struct run *r, struct sim *s, size_t index);
void sim_fini(struct sim *s);
/* Connects and asks for a map; a new one, or one `started_anew`, registers first. */
void sim_begin(struct sim *s, bool started_anew);
/* Drops the connection. */
void sim_leave(struct sim *s);
bool sim_has_map(const struct sim *s);
/* Reports a new endpoint that no node had before. */
void sim_move(struct sim *s);
/* A second stream of the same node, which takes over; the first is kept as `before`. */
void sim_take_over(struct sim *s);
void sim_drop_before(struct sim *s);
/* At the end, when no loop runs any more. */
void sim_streams_free(struct run *r);

/* ---- check ---- */

/* Names, keys, ids and addresses are distinct; nobody is its own peer; nothing to complain of. */
void check_distinct(struct run *r);
/*
 * Whether everybody holds of everybody it should see, and of nobody else, the name, keys,
 * addresses, home relay and newest endpoint it has, online. Cheap while it is not so: it looks
 * first where it found a difference last.
 */
MUST_USE bool check_settled(struct run *r);
/* The same, saying what is missing. */
void check_explain(struct run *r);
void check_complaints(struct run *r);
