#pragma once

/*
 * What a feed has done and holds, for those who watch a server: counted where it happens, once for
 * the feed and once for the whole server (metrics, which name no tailnet).
 */

#include "core/defs.h"

#include <stddef.h>
#include <stdint.h>

struct netmap_feed;

enum netmap_count {
    NETMAP_FULL,         /* full maps sent */
    NETMAP_DELTA_SHARED, /* deltas sent that others share */
    NETMAP_DELTA_OWN,    /* deltas written for one stream alone */
    NETMAP_SILENT,       /* pulls with nothing to tell */
    NETMAP_MADE,         /* shared deltas written */
    NETMAP_FALLEN,       /* streams that the journal passed by */
    NETMAP_SENT_BYTES,   /* framed, and compressed where the client wants it */
    NETMAP_SHARED_BYTES, /* of these: bytes that lay ready, and were neither written nor compressed
                            again */
    NETMAP_BLOCK_MADE,   /* blocks of cards written and compressed */
    NETMAP_BLOCK_REUSED, /* blocks put into a map as they lay ready */
    NETMAP_COUNTS
};

/* Adds to the feed's count and to the server's. On the feed's loop. */
void netmap_count(struct netmap_feed *f, enum netmap_count what, uint64_t n);

struct netmap_feed_stats {
    uint64_t revision;
    uint64_t nodes;
    uint64_t classes;
    uint64_t streams;  /* that were told something and have not fallen */
    uint64_t behind;   /* of these: not told the newest */
    uint64_t furthest; /* revisions between the newest and the stream that has the oldest */
    uint64_t journal;  /* changes in the window */
    uint64_t kept;     /* shared deltas that lie ready */
    uint64_t kept_bytes;
    uint64_t blocks; /* of cards that lie ready */
    uint64_t block_plain_bytes;
    uint64_t block_frame_bytes; /* the same, compressed */
    uint64_t counts[NETMAP_COUNTS];
};
/* On the feed's loop. Costs a look at each stream. */
void netmap_feed_stats(const struct netmap_feed *f, struct netmap_feed_stats *out);
