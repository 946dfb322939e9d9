#pragma once

/*
 * A viewer's stream of map messages: first a full map, then only what changed.
 *
 *   publication --> struct netmap_feed (one per tailnet and loop): view + journal window
 *                        ^ pulled by
 *   struct netmap_stream: "sent every change up to `revision`"
 *
 * The registrar publishes; each loop keeps a feed per tailnet it serves; a stream remembers only
 * the revision it has been sent and pulls what it lacks when its connection can take more. A slow
 * client costs its position, never a queue; one that has fallen off the journal's window gets a
 * full map.
 *
 * Law: a client that applied the messages of a stream holds what a fresh full map at the same
 * revision would give it.
 *
 * A feed and its streams belong to one loop's thread. Encodings of nodes are made once, kept in the
 * node's slots and shared by all loops.
 */

#include "crypto/keys.h"
#include "netmap/parcel.h"
#include "policy/policy.h"
#include "tailnet/change.h"
#include "tailnet/view.h"

struct netmap_feed;

/* Changes remembered per feed before the oldest go. A build for soaks may make it small. */
#ifndef NETMAP_JOURNAL_MAX
#define NETMAP_JOURNAL_MAX 8192
#endif

MUST_USE struct netmap_feed *netmap_feed_new(const struct tailnet_view *view);
/* No message may be larger; a tailnet that needs more cannot be told. */
#define NETMAP_MESSAGE_MAX ((size_t)1 << 30)
/*
 * Scratch for its messages in place of its own: a loop's feeds write one at a time, and a thousand
 * tailnets need no buffer each. Made by BUF(NETMAP_MESSAGE_MAX); outlives the feed.
 */
void netmap_feed_lend(struct netmap_feed *f, struct buf *scratch);
/* How large things get; zero: as a server has them. Tests turn them small. Before the first stream.
 */
struct netmap_limits {
    size_t block_cards; /* in a block that is laid out anew; half as many again and it is cut */
    size_t delta_cards; /* a delta of more, and of more than half of all, becomes a full map */
    /* Under a policy of more classes deltas are put together of bundles. */
    size_t loose_classes;
    size_t loose_least; /* fewer profiles, or patches, are written for each class */
    size_t bunch_least; /* as many small blocks may lie by themselves */
};
void netmap_feed_set_limits(struct netmap_feed *f, const struct netmap_limits *limits);
void netmap_feed_free(struct netmap_feed *f);
/* A newer view of the tailnet and the changes that led to it (all of its revisions since the last
 * one). */
void netmap_feed_publish(struct netmap_feed *f, const struct tailnet_view *view,
                         const struct change *changes, size_t n);
/* From now on this policy decides who sees whom; a feed begins with policy_allow_all. Streams are
 * behind until they have pulled. */
void netmap_feed_set_policy(struct netmap_feed *f, const struct policy *policy);
const struct tailnet_view *netmap_feed_view(const struct netmap_feed *f); /* borrowed */
const struct policy *netmap_feed_policy(const struct netmap_feed *f);     /* borrowed */

/*
 * From now on, until it is called again, deltas lead to what is the feed's present now and no
 * further, whatever is published meanwhile; whole maps are of the present. So all who are told in
 * turns are told the same, and it is written once. Without an aim deltas lead to the present.
 */
void netmap_feed_take_aim(struct netmap_feed *f);
void netmap_feed_drop_aim(struct netmap_feed *f);

struct netmap_stream;

struct netmap_stream_options {
    node_id viewer;
    uint32_t capver;
    bool zstd;
    bool omit_peers;   /* one message with the self node only */
    struct str health; /* a warning for the client's user; empty: none. Borrowed */
};
/* The feed must outlive the stream. */
MUST_USE struct netmap_stream *netmap_stream_new(struct netmap_feed *f,
                                                 const struct netmap_stream_options *options);
void netmap_stream_free(struct netmap_stream *s);

enum netmap_pull {
    NETMAP_PULL_SENT, /* a message is in `out` */
    NETMAP_PULL_NONE, /* nothing this viewer must hear of */
    /* End the stream: the viewer is not in the tailnet any more, or (it has fallen and sees no
     * peers now) only a new stream can tell it so. */
    NETMAP_PULL_GONE,
};
/*
 * Fills `out`, which must be empty, with the next message (framed, compressed if wanted), bringing
 * the stream up to the feed's aim: the full map the first time, one delta with everything missed
 * after that. now_ms (unix) is for ControlTime.
 */
MUST_USE enum netmap_pull netmap_stream_pull(struct netmap_stream *s, int64_t now_ms,
                                             struct netmap_parcel *out);
/*
 * Adds the last message to a viewer that is being removed: its own node, `last` as it was, with
 * its key expired now, so that the client asks its user to log in instead of trying for ever
 * (protocol.md 6.8).
 */
void netmap_stream_farewell(const struct netmap_stream *s, const struct node *last, int64_t now_ms,
                            struct netmap_parcel *out);
/* Whether the next message is a whole map: the first one, or after a fall. */
bool netmap_stream_wants_full(const struct netmap_stream *s);
/* Whether pull would have anything to look at. Cheap. */
bool netmap_stream_is_behind(const struct netmap_stream *s);
/*
 * For sorting a feed's streams: in this order those that are told the same are told it one after
 * the other, and what was made for them need not be kept for later ones.
 */
int netmap_stream_cmp(const struct netmap_stream *a, const struct netmap_stream *b);
/* Adds a message that does nothing but ask the client for the URL (protocol.md 15.1). */
void netmap_stream_ping(const struct netmap_stream *s, struct str url, struct netmap_parcel *out);
/* Adds the keep-alive message. */
void netmap_stream_keep_alive(const struct netmap_stream *s, struct netmap_parcel *out);
