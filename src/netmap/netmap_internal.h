#pragma once

/*
 * Between a feed, its streams and those who write their messages.
 */

#include "core/list.h"
#include "netmap/stats.h"
#include "netmap/stream.h"
#include "policy/policy.h"

/* No message may be larger; a tailnet that needs more cannot be told. */
#define NETMAP_MESSAGE_MAX ((size_t)1 << 30)
/* Messages kept because other streams will want the same. */
#define NETMAP_SHARED_MAX 256
#define NETMAP_SPANS_MAX 16

static inline enum policy_form netmap_form(uint32_t capver)
{
    return capver >= POLICY_CAPVER_COMPACT ? POLICY_COMPACT : POLICY_CANONICAL;
}

/* One change that maps may tell of. */
struct netmap_record {
    uint64_t revision;
    uint64_t id;
    enum change_kind kind; /* CHANGE_NODE, _NODE_REMOVED, _USER, _USER_REMOVED, _INFO */
    unsigned mask;
};

/* All that happened to one object between two revisions; sorted by id. */
struct netmap_touched {
    uint64_t id;
    unsigned mask;
};

/* Everything between two revisions, each object once. */
struct netmap_span {
    struct netmap_touched *nodes;
    size_t n_nodes;
    uint64_t *users; /* sorted, unique */
    size_t n_users;
};
void netmap_span_fini(struct netmap_span *s);
const struct netmap_touched *netmap_span_find(const struct netmap_span *s, node_id id);

/* What lies between two moments of a stream. */
struct netmap_step {
    const struct tailnet_view *old;
    const struct tailnet_view *now;
    const struct policy *policy_old;
    const struct policy *policy_now;
    node_id viewer;
    /* Also for everyone else of the viewer's class (and user, where the policy looks at it) who is
     * not among the touched: nothing about the viewer itself is told. */
    bool shared;
    uint32_t capver;
    const struct netmap_span *span;
};
/* Appends a MapResponse with the differences, or nothing and false when there are none to tell. */
MUST_USE bool netmap_put_delta(struct buf *out, const struct netmap_step *step);

struct netmap_full {
    const struct tailnet_view *view;
    const struct policy *policy;
    node_id viewer; /* must be in the view */
    uint32_t capver;
    bool omit_peers;
    struct str health;
    int64_t now_ms;
    const node_id *known; /* peers the client holds and that go if no peer at all is left */
    size_t n_known;
};
/* The member that brings the viewer's filter from one policy (NULL: from whatever it was) to
 * another, as its version reads it. */
void netmap_put_filter(struct json_writer *w, const struct policy *before, const struct policy *p,
                       node_id viewer, uint32_t capver);
/* Appends a complete MapResponse. */
void netmap_put_full(struct buf *out, const struct netmap_full *full);

/* A delta that is the same for all of a class who did not take part in it. */
struct netmap_shared {
    uint64_t from;
    const struct policy *policy_from; /* counted: the policy of that moment */
    uint32_t cls;
    user_id user;
    struct blob *json;      /* NULL: nothing to tell */
    struct blob *frames[2]; /* plain, compressed; made when first wanted */
};

struct netmap_kept_span {
    uint64_t from;
    struct netmap_span span;
};

struct netmap_feed {
    const struct tailnet_view *view;
    const struct policy *policy;
    struct netmap_record *ring; /* the oldest at `head` */
    size_t head;
    size_t len;
    size_t cap;
    uint64_t floor;      /* streams below this revision have fallen off */
    struct list streams; /* those that hold a view, the furthest behind first */
    struct netmap_shared shared[NETMAP_SHARED_MAX];
    size_t n_shared;
    struct netmap_kept_span spans[NETMAP_SPANS_MAX];
    size_t n_spans;
    uint64_t counts[NETMAP_COUNTS];
    struct buf json;            /* scratch */
    struct blob *keep_alive[2]; /* framed: plain, compressed; made when first wanted */
};
/* Collapses the journal from (not including) `revision` on. */
void netmap_feed_span(const struct netmap_feed *f, uint64_t revision, struct netmap_span *out);
/*
 * The delta from where the stream is to the feed's view, made when first wanted; borrowed until the
 * next call or publish. NULL: for this viewer there is none that others share.
 */
struct netmap_shared *netmap_feed_shared(struct netmap_feed *f, const struct netmap_stream *s,
                                         const struct netmap_span *span);
/* The same as netmap_feed_span, kept for the next that asks; borrowed likewise. */
const struct netmap_span *netmap_feed_span_from(struct netmap_feed *f, uint64_t revision);

struct netmap_stream {
    struct netmap_feed *feed;
    struct list_node streams; /* in the feed's list while it holds a view */
    node_id viewer;
    uint32_t capver;
    bool zstd;
    bool omit_peers;
    bool done; /* nothing will ever follow */
    struct str health;
    /* What the client holds: the map of this view under this policy; NULL before the first and
     * after a fall. */
    const struct tailnet_view *view;
    const struct policy *policy;
    /* After a fall: the peers it still holds. */
    node_id *known;
    size_t n_known;
};
/* The window has passed it by: gives the view up and remembers only which peers the client holds.
 */
void netmap_stream_fall(struct netmap_stream *s);
