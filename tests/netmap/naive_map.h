#pragma once

/*
 * A full map as somebody would write it who never heard of classes, blocks or compression: every
 * node asked about, every card written, one text. It shares with the engine only how a single node,
 * a profile and the tailnet's parts are spelled (netmap/encode.h).
 */

#include "core/buf.h"
#include "policy/policy.h"

struct naive_map {
    const struct tailnet_view *view;
    const struct policy *policy;
    node_id viewer;
    uint32_t capver;
};
void naive_map_put(const struct naive_map *m, struct buf *out);
/*
 * Whether a message has the same members as the naive one, each once and with the same value;
 * lists of nodes and profiles in any order, the time of day aside. False: `why` says what differs.
 */
bool naive_map_same(const struct naive_map *m, struct str message, char *why, size_t why_len);
