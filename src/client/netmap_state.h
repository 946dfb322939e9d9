#pragma once

/*
 * What a client holds after the messages of a map stream, by the client's own rules (protocol.md
 * 6.4 to 6.6): `Peers` not empty replaces all and nothing else is looked at, then removals, whole
 * nodes, online changes and patches, in that order; what is absent or null stays.
 *
 * Two sizes. The small one, for thousands at once, keeps of each peer what identifies it and what
 * moves. The full one (`keep_json`) keeps every member, with the official client's losses
 * ("patchify"): a state that came by deltas can then be compared with one that came whole.
 *
 * A stream begins with nothing: a state is for one stream, fini and init again for the next.
 */

#include "core/map.h"
#include "crypto/keys.h"
#include "ip/addrport.h"
#include "json/value.h"

struct netmap_peer {
    uint64_t id;
    struct str name; /* owned */
    struct node_key key;
    struct ip_addr v4; /* of Addresses; family 0 when there is none */
    struct ip_addr v6;
    bool online;
    uint64_t home_derp;
    struct ip_addrport endpoint; /* the first; family 0 when there is none */
    struct str json;             /* owned; full size only: the node as it is now */
};

#define NETMAP_KEPT 7 /* members of a message kept whole: DERPMap, DNSConfig and so on */

struct netmap_state {
    bool keep_json;    /* the full size; set before the first message */
    struct map *peers; /* id -> struct netmap_peer */
    struct map *profiles;
    struct netmap_peer self;
    struct str kept[NETMAP_KEPT]; /* owned; full size only */
    bool has_self;
    bool has_derp_map;
    bool has_filter;
    bool self_expired;
    size_t messages; /* keep-alives included */
    size_t keep_alives;
    size_t full_maps;
    /*
     * The first thing that was wrong, empty if nothing was: what makes a client drop the stream
     * (apply says false), and what a client would bear but a server must not do (a node among its
     * own peers, an id twice or out of order, a peer whose user has no profile).
     */
    char complaint[160];
    /* Called for each peer that a message added or changed; may be NULL. */
    void (*on_peer)(void *user, const struct netmap_peer *peer);
    void *user;
};

void netmap_state_init(struct netmap_state *s);
/* Twice is harmless. */
void netmap_state_fini(struct netmap_state *s);
/*
 * Applies one message. False: a client would have dropped the stream (the first message without
 * Node, a key or an address that is none, a node without id); `complaint` says why.
 */
MUST_USE bool netmap_state_apply(struct netmap_state *s, const struct json_value *message);
size_t netmap_state_peers(const struct netmap_state *s);
const struct netmap_peer *netmap_state_peer(const struct netmap_state *s, uint64_t id);
/*
 * Whether `s`, which has applied deltas, holds what `fresh` got whole; both full size. Not
 * compared: when a peer that is online was last seen, and of the node itself what it said itself.
 * False: `why` (of `why_len` bytes) names the first difference.
 */
MUST_USE bool netmap_state_same(const struct netmap_state *s, const struct netmap_state *fresh,
                                char *why, size_t why_len);
