#pragma once

/*
 * Nodes that come, go, move, sleep and start over at random, for as long as it takes, against a
 * server that is changed and restarted meanwhile; now and then all fall silent, and what each of
 * them holds is compared with a fresh map.
 *
 *   churn --SIGUSR1--> quiet: all come back, silence --> compare, a line on stdout --> churn …
 *         --SIGTERM--> the end
 *
 * Whoever drives it (bench/soak) changes the server only during the churn.
 */

#include "core/str.h"
#include "ip/addrport.h"

#define SOAK_KEYS_MAX 16

struct soak_options {
    const char *url; /* http://host:port, a literal address */
    struct ip_addrport addr;
    struct str authority;
    struct str auth_keys[SOAK_KEYS_MAX]; /* reusable; the nodes take turns */
    size_t n_auth_keys;
    size_t nodes;
    uint64_t seed;
    int64_t quiet_ms; /* silence before comparing: more than any change may be held back */
    int64_t limit_ms; /* for the silence to come, and for the fresh maps */
};
/* Says what is wrong and returns false; else `o` is whole. */
MUST_USE bool soak_parse(int argc, char **argv, struct soak_options *o);
/* The exit status: 1 when a comparison or another check failed. */
int bench_soak(const struct soak_options *o);
