#pragma once

/*
 * Load and abuse, for `hatsize-bench`: simulated nodes that join, watch and change, and clients
 * that do what they must not. Both check what they got and not only that something came; timings
 * are reported, never judged.
 */

#include "core/err.h"
#include "core/str.h"
#include "ip/addrport.h"

struct bench_options {
    const char *url;         /* http://host:port, a literal address */
    struct str auth_key;     /* reusable */
    struct ip_addrport addr; /* of the url; bench_parse_url */
    struct str authority;
    size_t nodes;
    size_t changes;   /* endpoint changes to time */
    int64_t idle_ms;  /* how long to stay connected and watch the server */
    int64_t limit_ms; /* the whole run */
    long server_pid;  /* 0: not watched */
    bool json;
};

/* "http://1.2.3.4:80" into addr and authority. False: not of that form. */
MUST_USE bool bench_parse_url(struct bench_options *o);

/* N nodes join, see each other, move, and stay. Returns the exit status: 1 when a check failed. */
int bench_control(const struct bench_options *options);
/* What a hostile client may try, one case after the other, beside a client that behaves. */
int bench_hostile(const struct bench_options *options);

/* What a process has used so far, from /proc; zeros when it cannot be read. */
struct bench_usage {
    double cpu_seconds;
    double rss_kib;
};
struct bench_usage bench_usage_of(long pid);
