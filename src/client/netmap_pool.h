#pragma once

/*
 * What thousands of clients hold, in one process and little memory.
 *
 *   bytes of a map stream --netmap_reader--> netmap_message --netmap_view_apply--> netmap_view
 *                                   |                |                                |
 *                                   +--------------- netmap_pool: each text once -----+
 *
 * A *text* is a piece of JSON (a node, a profile, a filter) with a number: the same bytes have the
 * same number, so a view holds four bytes a peer and each text is parsed once, however many clients
 * hold it. A *block* is a zstd frame inside a message whose content is a list of whole objects; one
 * that came before is known by its compressed bytes and not unpacked again, and so is a small
 * message. Recognition is by length and two independent 64-bit hashes under keys of this process.
 *
 * The rules by which messages are applied are the official client's, as netmap_state's (which is
 * the plain form of this one, and is compared with it by property). One pool and its readers and
 * views belong to one thread.
 */

#include "core/buf.h"
#include "core/err.h"
#include "crypto/keys.h"
#include "ip/addrport.h"

struct netmap_pool;
typedef uint32_t text_ix; /* 0: none */

/* `expected`: how many nodes there will be about. */
MUST_USE struct netmap_pool *netmap_pool_new(size_t expected);
void netmap_pool_free(struct netmap_pool *p);

/* A node as text, and what is looked at of it. Its slot is a small number for its id, from 1. */
struct netmap_card {
    uint64_t id;
    uint32_t slot;
    uint32_t home_derp;
    text_ix name;
    struct node_key key;
    struct disco_key disco;
    struct ip_addr v4, v6;
    struct ip_addrport endpoint; /* the first; family 0 when there is none */
    bool online;
    bool expired;
    /* Whoever checks cards keeps here what it found, and under which of its generations. */
    bool is_right;
    uint32_t checked;
};
struct str netmap_pool_text(const struct netmap_pool *p, text_ix ix); /* borrowed */
/* The text must be one of a view's nodes. */
struct netmap_card *netmap_pool_card(struct netmap_pool *p, text_ix ix);
/* One more than the highest slot so far. */
size_t netmap_pool_slots(const struct netmap_pool *p);
/* 0: no text spoke of it. */
uint32_t netmap_pool_slot(const struct netmap_pool *p, uint64_t id);
/*
 * Views tell (on_peer) what becomes of one node only: that in `slot`, or, with slot 0, the first
 * that turns up with this key. NULL and 0: none.
 */
void netmap_pool_watch(struct netmap_pool *p, uint32_t slot, const struct node_key *key);

struct netmap_pool_figures {
    size_t texts, text_bytes;
    size_t blocks, block_hits, block_misses;
    size_t message_hits, message_misses;
};
struct netmap_pool_figures netmap_pool_figures(const struct netmap_pool *p);

/* ---- From bytes to messages ---- */

struct netmap_message; /* shared; good until the callback returns */
struct netmap_assembly;

struct netmap_reader {
    struct netmap_pool *pool;
    bool zstd;
    size_t small; /* messages up to so many bytes are known again when they come again */
    bool in_message;
    uint32_t left;                    /* bytes of the message's payload not yet taken */
    struct buf in;                    /* came, but is not a whole frame yet */
    struct netmap_assembly *assembly; /* frames of the message that have been taken */
};
typedef void netmap_message_fn(void *user, struct netmap_message *m, size_t wire_bytes);

void netmap_reader_init(struct netmap_reader *r, struct netmap_pool *p, bool zstd);
void netmap_reader_fini(struct netmap_reader *r);
/*
 * Takes the next bytes of a map stream; calls on_message for each message that is whole with them.
 * 0, or ERR_INVALID / ERR_LIMIT: not a map stream, give it up.
 */
MUST_USE int netmap_reader_feed(struct netmap_reader *r, struct str data,
                                netmap_message_fn *on_message, void *user, struct err *err);

/* ---- What one client holds ---- */

enum netmap_kept {
    NETMAP_DERP_MAP,
    NETMAP_DNS,
    NETMAP_DOMAIN,
    NETMAP_FILTER,
    NETMAP_SSH,
    NETMAP_SERVICES,
    NETMAP_HEALTH,
    NETMAP_FILTERS, /* the named ones, put together */
    NETMAP_KEPT_COUNT
};

struct netmap_view {
    struct netmap_pool *pool;
    text_ix *held; /* by slot */
    uint32_t n_held;
    uint32_t n_peers;
    text_ix self;
    uint32_t self_slot;
    text_ix kept[NETMAP_KEPT_COUNT];
    uint64_t *profiles; /* bits */
    uint32_t n_profiles;
    uint32_t messages;
    uint32_t keep_alives;
    uint32_t full_maps;
    char *complaint; /* owned; as netmap_state's, NULL if nothing was wrong */
    void (*on_peer)(void *user, text_ix card); /* of the node that is watched; 0: gone */
    void *user;
};
void netmap_view_init(struct netmap_view *v, struct netmap_pool *p);
void netmap_view_fini(struct netmap_view *v); /* twice is harmless */
/* False: a client would have dropped the stream; `complaint` says why. */
MUST_USE bool netmap_view_apply(struct netmap_view *v, struct netmap_message *m);
/* What it holds of the node in that slot; 0: nothing. */
text_ix netmap_view_at(const struct netmap_view *v, uint32_t slot);
/* Whether `v` holds what `fresh` got whole; as netmap_state_same. */
MUST_USE bool netmap_view_same(const struct netmap_view *v, const struct netmap_view *fresh,
                               char *why, size_t why_len);
