#pragma once

/*
 * What a client holds after the messages of a map stream, by the client's own rules
 * (protocol.md 6.5, 6.6). Kept small, for thousands at once: of each peer what identifies it and
 * what moves.
 */

#include "core/map.h"
#include "json/value.h"

struct netmap_peer {
    uint64_t id;
    struct str name;    /* owned */
    struct str key;     /* owned; "nodekey:…" */
    struct str address; /* owned; the first of Addresses */
    bool online;
    uint64_t home_derp;
    struct str endpoint; /* owned; the first, or empty */
};

struct netmap_state {
    struct map *peers; /* id -> struct netmap_peer */
    struct str self_name;
    struct str self_key;
    bool has_self;
    bool has_derp_map;
    bool has_filter;
    bool self_expired;
    size_t messages; /* keep-alives included */
    size_t keep_alives;
    size_t full_maps;
    /* Called for each peer that a message added or changed; may be NULL. */
    void (*on_peer)(void *user, const struct netmap_peer *peer);
    void *user;
};

void netmap_state_init(struct netmap_state *s);
void netmap_state_fini(struct netmap_state *s);
/* Applies one message. False: a client would have dropped the stream (first message without Node).
 */
MUST_USE bool netmap_state_apply(struct netmap_state *s, const struct json_value *message);
size_t netmap_state_peers(const struct netmap_state *s);
const struct netmap_peer *netmap_state_peer(const struct netmap_state *s, uint64_t id);
