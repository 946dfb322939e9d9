#pragma once

/*
 * For property tests: a client that follows a map stream, and the two things it is held against: a
 * client that has just begun, and a message written the naive way.
 */

#include "netmap/model_client.h"
#include "netmap/stream.h"

struct follower {
    struct netmap_stream *stream; /* NULL: not following */
    struct model_client model;
    node_id id;
    uint32_t capver;
    bool zstd;
};

/* One of each kind of client: its filter as a list, as named rules, as named rules with
 * capabilities. */
extern const uint32_t follower_capvers[3];

void follower_begin(struct follower *f, struct netmap_feed *feed, node_id id, uint32_t capver,
                    bool zstd);
void follower_end(struct follower *f);
/*
 * Pulls, and applies what came. What it did is returned; the follower ends by itself when its node
 * is gone, which is checked. Fails the test when the client would complain.
 */
enum netmap_pull follower_pull(struct follower *f, struct netmap_feed *feed, int64_t now_ms,
                               const char *story);
/*
 * Whether it holds what a fresh map gives, and whether that map says what a naive writer would.
 * Fails the test otherwise, with `story`.
 */
void follower_check(const struct follower *f, struct netmap_feed *feed, int64_t now_ms,
                    const char *story);
/* Several followers of one node and version are held against one fresh map: the first `n` that
 * still follow. */
void followers_check(const struct follower *const *f, size_t n, struct netmap_feed *feed,
                     int64_t now_ms, const char *story);
