#pragma once

/*
 * Load and abuse, for `hatsize-bench`: simulated nodes that join, watch and change, and clients
 * that do what they must not. Both check what they got and not only that something came; timings
 * are reported, never judged.
 */

#include "core/err.h"
#include "core/str.h"
#include "ip/addrport.h"

#define BENCH_NODES_MAX 50000

/* What the simulated nodes do, in this order. */
enum bench_phase {
    BENCH_JOIN,    /* all at once, a bounded number under way; always */
    BENCH_SETTLE,  /* until everybody holds what is true of everybody else; always */
    BENCH_CHANGE,  /* fan-out: endpoints one after the other, each viewer timed */
    BENCH_ARRIVE,  /* a few more nodes join, one after the other, each timed at each viewer */
    BENCH_CHURN,   /* nodes leave and come back for `churn_ms`, amid `upheavals` */
    BENCH_STORM,   /* all leave and come back at once, then all change at once */
    BENCH_RESTART, /* the server ends and starts anew, and all come back */
    BENCH_POLICY,  /* the policy changes for everybody, several times */
    BENCH_VERIFY,  /* what deltas made is compared with a fresh map */
    BENCH_IDLE,    /* stay for `idle_ms` and watch the server */
    BENCH_PHASES
};

struct bench_options {
    const char *url;        /* http://host:port, a literal address */
    struct str auth_key;    /* reusable; empty: made through the API */
    const char *serve;      /* command that starts the server; NULL: it is there */
    const char *api_socket; /* its Unix socket for the API, or NULL */
    const char *api_url;    /* else where the API is, with a key; or NULL */
    struct str api_key;
    struct ip_addrport addr; /* of the url; bench_parse_url */
    struct str authority;
    unsigned phases; /* BIT(enum bench_phase) */
    size_t nodes;    /* of all tailnets together */
    size_t tailnets; /* nodes belong to them in turn; more than one: made through the API */
    size_t quiet; /* more nodes that only register and report once: no stream, counted as beside */
    size_t rules; /* of a made-up policy (made_up.h); 0: everybody sees everybody */
    size_t policy_changes;
    size_t changes;  /* endpoint changes to time */
    size_t arrivals; /* nodes that join later, one by one */
    bool has_beside;
    size_t beside;    /* how many nodes there are beside ours; not checked unless has_beside */
    size_t verify;    /* how many nodes keep all, to be compared */
    int64_t churn_ms; /* how long nodes leave and come back */
    size_t upheavals; /* meanwhile: another policy, and the server ends and starts anew */
    int64_t idle_ms;  /* how long to stay connected and watch the server */
    int64_t limit_ms; /* the whole run */
    long server_pid;  /* 0: not watched */
    bool patient;     /* streams that the server breaks off come again, and are counted */
    bool json;
};

/* "http://1.2.3.4:80" into addr and authority. False: not of that form. */
MUST_USE bool bench_parse_url(struct bench_options *o);
/* "join,settle,churn" into the phases. False: one of them is none. */
MUST_USE bool bench_parse_phases(struct str text, unsigned *phases);

/* N nodes join, see each other, move, and stay. Returns the exit status: 1 when a check failed. */
int bench_control(const struct bench_options *options);
/* What a hostile client may try, one case after the other, beside a client that behaves. */
int bench_hostile(const struct bench_options *options);
/* Asks over one machine's channel what standard input says (ask.c). */
int bench_ask(const struct bench_options *options);

/* How long policies take to compile, in a table; no server needed. */
int bench_policy(const struct bench_options *options);

/* What a process has used so far, from /proc; zeros when it cannot be read. */
struct bench_usage {
    double cpu_seconds;
    double rss_kib;
    double peak_kib; /* highest ever resident */
};
struct bench_usage bench_usage_of(long pid);
