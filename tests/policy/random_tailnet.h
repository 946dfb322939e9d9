#pragma once

/*
 * Random tailnets that live: a real domain (tailnet/domain.h), loaded with users, nodes and routes,
 * to which random things happen. The same seed gives the same history.
 *
 * Users, tags and routes come from short lists, so that what a policy names (random_policy.h) is
 * often there.
 */

#include "core/rand.h"
#include "tailnet/domain.h"

#define RANDOM_NODES_MAX 512

struct random_tailnet {
    struct rand_seeded rand;
    uint64_t seed;
    struct domain *d;
    const struct tailnet_view *view; /* as it stands */
    struct change_list changes;      /* since they were last cleared */
    struct buf story;                /* what happened, a line each */
    int64_t now_ms;
    uint64_t serial;
    uint64_t generations[RANDOM_NODES_MAX]; /* of the nodes' streams, by id; 0: none */
    bool v4, v6;
    bool holds;
    struct str choices; /* bytes that decide as long as they last; borrowed */
};

struct random_tailnet_options {
    uint64_t seed;
    size_t max_nodes; /* at first */
    bool holds;       /* some nodes are held back, now and then */
    struct str choices;
};
void random_tailnet_init(struct random_tailnet *t, struct random_tailnet_options o);
void random_tailnet_fini(struct random_tailnet *t);
/* One thing happens (now and then it comes to nothing). Appends to changes and story. */
void random_tailnet_step(struct random_tailnet *t);
/* Who is there, a line each, for a complaint. */
void random_tailnet_put(const struct random_tailnet *t, struct buf *out);

/* The lists; tags without "tag:". */
extern const char *const random_tags[];
extern const size_t random_n_tags;
extern const char *const random_routes[]; /* subnets */
extern const size_t random_n_routes;
struct random_user {
    const char *name;
    const char *email; /* "": none */
};
extern const struct random_user random_users[];
extern const size_t random_n_users;

/* NULL when there is none. */
const struct node *random_node(struct random_tailnet *t);

uint64_t random_below(struct rand_seeded *r, uint64_t n);
/* From the front of the choices, else from the generator. */
uint64_t random_choice(struct str *choices, struct rand_seeded *r, uint64_t n);
bool random_chance(struct rand_seeded *r, uint64_t percent);
