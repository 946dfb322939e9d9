#pragma once

/*
 * Two random tailnets, one of which knows all machines of the other as guests, and what they may
 * use of each other, at random: more than shares ever lead to. The view is put together here.
 */

#include "random_tailnet.h"

#define NEIGHBOUR 2        /* the other tailnet, called "other" */
#define NEIGHBOUR_IDS 1000 /* its ids as they are here, less this, are those it has there */
#define ITEMS_MAX 40

struct random_item {
    node_id from, to; /* from may begin connections to the other */
    struct share_terms terms;
};

struct random_neighbours {
    struct random_tailnet here, there;
    struct tailnet_info *there_info;
    struct random_item items[ITEMS_MAX];
    size_t n_items;
    node_id aliased; /* one that has aliases; 0: none */
    bool are_away;   /* no guests at all */
    const struct tailnet_view *view;
    struct change_list changes; /* of this view, since they were last cleared */
};

void random_neighbours_init(struct random_neighbours *t, uint64_t seed);
void random_neighbours_fini(struct random_neighbours *t);
void random_neighbours_step(struct random_neighbours *t);
void random_neighbours_put(const struct random_neighbours *t, struct buf *out);
