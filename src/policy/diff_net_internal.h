#pragma once

/* What diff_net.c and diff_doors.c share. */

#include "policy/diff_internal.h"

struct door {
    int side;
    uint32_t source;
    int proto;
    const struct ip_ports *ports;
    size_t n_ports;
    const struct policy_rule *caps; /* LINK_CAPS: no packets */
    roaring_bitmap_t *ends;
    struct policy_mark mark;
};

/* Doors that one group of destinations stands in, by family. */
struct doors_of {
    uint32_t *items;
    size_t len;
};

struct texts {
    struct str *items;
    size_t len;
};

/* What may be done from one end to another under one policy. */
struct rights {
    struct access access;
    struct texts caps;
};

struct deltas;

struct net {
    struct diff *d;
    roaring_bitmap_t **sources[SIDES]; /* per source: ends */
    struct door *doors;
    size_t n_doors;
    struct sum *src_sums, *dst_sums; /* per end */
    struct doors_of *of_group[2];    /* per family: per destination group */
    struct deltas *deltas;
    struct change_set *changes, *own;
    struct rights rights[SIDES];
    struct access gone, come;
};

/* Ends of sources and destinations are asked about, and grouped: fills everything above the change
 * sets, and the diff's groups. */
void net_init(struct net *n, struct diff *d);
void net_fini(struct net *n);

/* diff_widen.c: differences between groups, gathered by what differs. */
MUST_USE struct deltas *deltas_new(void);
/* `suffix` is a literal. */
void deltas_add(struct deltas *d, char sign, const struct access *a, const char *suffix,
                uint32_t from, uint32_t to);
/* Adds them to n->changes, and frees. */
void deltas_put(struct deltas *d, struct net *n);
