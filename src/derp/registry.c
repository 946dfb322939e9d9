/*
 * Which connections a key has: a hash map in SHARDS parts, each with its lock.
 *
 *   session --counted--> peer <--by key-- shard
 *   route   --counted-->  |
 *                         +-- where: the active connection, read without the lock
 *
 * Invariants
 *   1. A peer is in its shard's map exactly while it is referenced; so whoever holds a reference
 * may keep it for later, also over disconnection and return.
 *   2. `where` is one of `conns`, or 0 when there are none.
 *   3. Only `where` is read outside the lock. What it names is checked by generation on the loop
 * that owns it, so a stale one costs a packet and nothing else.
 *
 * The lock is held for a look-up in a hash map and never over a callback. A sender needs it once
 * per destination (routes.c), or per packet when the destination is not connected.
 */

#include <pthread.h>
#include <string.h>

#include "core/rand.h"
#include "derp/server_internal.h"

struct shard_lock {
    pthread_mutex_t mutex;
};

static struct shard *shard_of(struct derp_server *s, const struct node_key *key)
{
    /* Keys may be chosen, but then only to wait for oneself. */
    return &s->shards[(key->b[0] ^ key->b[13] ^ key->b[29]) % SHARDS];
}

static struct shard *lock(struct derp_server *s, const struct node_key *key)
{
    struct shard *shard = shard_of(s, key);

    (void)pthread_mutex_lock(&shard->lock->mutex);
    return shard;
}

static void unlock(struct shard *shard)
{
    (void)pthread_mutex_unlock(&shard->lock->mutex);
}

static session_id where_of(const struct peer *peer)
{
    return atomic_load_explicit(&peer->where, memory_order_acquire);
}

static void set_where(struct peer *peer, session_id id)
{
    atomic_store_explicit(&peer->where, id, memory_order_release);
}

/* ---- Peers ---- */

struct peer *registry_get(struct derp_server *s, const struct node_key *key)
{
    struct shard *shard = lock(s, key);
    struct peer *peer = map_find(shard->peers, node_key_str(key));

    if (!peer) {
        peer = NEW(struct peer);
        peer->key = *key;
        IGNORE(map_put(shard->peers, node_key_str(key), peer));
    }
    peer->refs++;
    unlock(shard);
    return peer;
}

struct peer *registry_find(struct derp_server *s, const struct node_key *key)
{
    struct shard *shard = lock(s, key);
    struct peer *peer = map_find(shard->peers, node_key_str(key));

    if (peer && (where_of(peer) != 0 || peer->n_vias > 0))
        peer->refs++;
    else
        peer = NULL;
    unlock(shard);
    return peer;
}

void registry_unref(struct derp_server *s, struct peer *peer)
{
    if (!peer)
        return;
    struct shard *shard = lock(s, &peer->key);
    bool is_last = --peer->refs == 0;

    if (is_last)
        IGNORE(map_remove(shard->peers, node_key_str(&peer->key)));
    unlock(shard);
    if (is_last) {
        mem_free(peer->conns);
        mem_free(peer->vias);
        mem_free(peer);
    }
}

/* ---- Connections ---- */

static bool remove_conn(struct peer *peer, session_id id)
{
    for (uint8_t i = 0; i < peer->n_conns; i++) {
        if (peer->conns[i] != id)
            continue;
        memmove(&peer->conns[i], &peer->conns[i + 1],
                (size_t)(peer->n_conns - i - 1) * sizeof(*peer->conns));
        peer->n_conns--;
        return true;
    }
    return false;
}

static void add_conn(struct peer *peer, session_id id)
{
    if (peer->n_conns == peer->cap_conns) {
        peer->cap_conns = peer->cap_conns ? (uint8_t)(2 * peer->cap_conns) : 1;
        peer->conns = mem_realloc_array(peer->conns, peer->cap_conns, sizeof(*peer->conns));
    }
    peer->conns[peer->n_conns++] = id;
}

enum join registry_join(struct derp_server *s, struct peer *peer, session_id id,
                        const uint64_t *drops, session_id *evicted)
{
    struct shard *shard = lock(s, &peer->key);
    enum join result = JOIN_ASK_AGAIN;

    *evicted = 0;
    if (!drops || *drops == shard->drops) {
        if (peer->n_conns == DERP_DUPLICATES_MAX) {
            *evicted = peer->conns[0];
            IGNORE(remove_conn(peer, *evicted));
        }
        add_conn(peer, id);
        set_where(peer, id);
        result = JOIN_OK;
    }
    unlock(shard);
    return result;
}

static bool has_heard(const struct heard *heard, const struct peer *peer)
{
    for (uint32_t i = 0; i < heard->n; i++)
        if (heard->peers[i] == peer)
            return true;
    return false;
}

static void keep_heard(struct heard *heard, struct routes *routes)
{
    for (uint32_t i = 0; i < routes->cap && heard->n < HEARD_MAX; i++) {
        if (!routes->slots[i] || has_heard(heard, routes->slots[i]))
            continue;
        if (!heard->peers)
            heard->peers = mem_alloc_array(HEARD_MAX, sizeof(struct peer *));
        heard->peers[heard->n++] = TAKE(routes->slots[i]);
    }
}

bool registry_leave(struct derp_server *s, struct peer *peer, session_id id, struct routes *routes,
                    struct heard *heard)
{
    struct shard *shard = lock(s, &peer->key);

    IGNORE(remove_conn(peer, id)); /* not there if it was the oldest of too many */
    if (where_of(peer) == id)
        set_where(peer, peer->n_conns ? peer->conns[peer->n_conns - 1] : 0);
    bool is_last = peer->n_conns == 0 && peer->n_vias == 0;

    if (is_last) {
        *heard = peer->heard;
        peer->heard = (struct heard){0};
    } else {
        keep_heard(&peer->heard, routes);
    }
    unlock(shard);
    return is_last;
}

void registry_note(struct derp_server *s, struct peer *peer, struct ip_addrport from, uint8_t flags)
{
    struct shard *shard = lock(s, &peer->key);

    peer->from = from;
    peer->flags = flags;
    unlock(shard);
}

/* Under the shard's lock. */
static bool is_here(const struct derp_server *s, const struct peer *peer, bool with_sibling)
{
    return peer->n_conns > 0 ||
           (with_sibling && peer->n_vias > 0 && peer->vias[0] == atomic_load(&s->sibling));
}

bool registry_is_here(struct derp_server *s, const struct node_key *key, bool with_sibling,
                      struct derp_peer_present *out)
{
    struct shard *shard = lock(s, key);
    const struct peer *peer = map_find(shard->peers, node_key_str(key));
    bool found = peer && is_here(s, peer, with_sibling);

    if (found) {
        out->from = peer->from;
        out->flags = peer->flags;
    }
    unlock(shard);
    return found;
}

void registry_each_here(struct derp_server *s, bool with_sibling,
                        void (*fn)(void *user, const struct node_key *key), void *user)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &s->shards[i];
        size_t at = 0, n = 0;
        struct str key;
        void *peer = NULL;

        (void)pthread_mutex_lock(&shard->lock->mutex);
        struct node_key *keys = mem_alloc_array(map_len(shard->peers), sizeof(*keys));

        while (map_next(shard->peers, &at, &key, &peer))
            if (is_here(s, peer, with_sibling))
                keys[n++] = ((const struct peer *)peer)->key;
        unlock(shard);
        for (size_t k = 0; k < n; k++)
            fn(user, &keys[k]);
        mem_free(keys);
    }
}

/* ---- Through the mesh ---- */

static void set_via(struct peer *peer)
{
    atomic_store_explicit(&peer->via, peer->n_vias ? peer->vias[0] : 0, memory_order_release);
}

bool registry_add_via(struct derp_server *s, struct peer *peer, session_id link)
{
    struct shard *shard = lock(s, &peer->key);
    bool fits = peer->n_vias < VIAS_MAX;

    if (fits && peer->n_vias == peer->cap_vias) {
        peer->cap_vias = peer->cap_vias ? (uint8_t)(2 * peer->cap_vias) : 1;
        peer->vias = mem_realloc_array(peer->vias, peer->cap_vias, sizeof(*peer->vias));
    }
    if (fits)
        peer->vias[peer->n_vias++] = link;
    if (fits && link == atomic_load(&s->sibling)) {
        peer->vias[peer->n_vias - 1] = peer->vias[0];
        peer->vias[0] = link;
    }
    set_via(peer);
    unlock(shard);
    return fits;
}

bool registry_remove_via(struct derp_server *s, struct peer *peer, session_id link,
                         struct heard *heard)
{
    struct shard *shard = lock(s, &peer->key);

    for (uint8_t i = 0; i < peer->n_vias; i++) {
        if (peer->vias[i] != link)
            continue;
        memmove(&peer->vias[i], &peer->vias[i + 1],
                (size_t)(peer->n_vias - i - 1) * sizeof(*peer->vias));
        peer->n_vias--;
        break;
    }
    set_via(peer);
    bool is_last = peer->n_vias == 0 && peer->n_conns == 0;

    if (is_last) {
        *heard = peer->heard;
        peer->heard = (struct heard){0};
    }
    unlock(shard);
    return is_last;
}

static void hear(struct heard *heard, struct peer **peer)
{
    if (heard->n == HEARD_MAX || has_heard(heard, *peer))
        return;
    if (!heard->peers)
        heard->peers = mem_alloc_array(HEARD_MAX, sizeof(struct peer *));
    heard->peers[heard->n++] = TAKE(*peer);
}

void registry_hear(struct derp_server *s, const struct node_key *src, const struct node_key *dst)
{
    struct peer *listener = registry_get(s, dst);
    struct shard *shard = lock(s, src);
    struct peer *peer = map_find(shard->peers, node_key_str(src));

    if (peer && peer->n_vias > 0)
        hear(&peer->heard, &listener);
    unlock(shard);
    registry_unref(s, listener);
}

/* ---- Activity and dropping ---- */

size_t registry_activate(struct derp_server *s, struct peer *peer, session_id id, int64_t now_ms,
                         session_id ids[DERP_DUPLICATES_MAX])
{
    struct shard *shard = lock(s, &peer->key);
    size_t n = 0;
    bool is_conn = false;

    for (uint8_t i = 0; i < peer->n_conns; i++)
        is_conn |= peer->conns[i] == id;
    if (is_conn && where_of(peer) != id) {
        set_where(peer, id);
        if (now_ms - peer->flips_since_ms > FIGHT_MS) {
            peer->flips_since_ms = now_ms;
            peer->flips = 0;
        }
        if (peer->flips < FIGHT_FLIPS)
            peer->flips++;
        if (peer->flips >= FIGHT_FLIPS && !peer->is_fought_for) {
            peer->is_fought_for = true;
            n = peer->n_conns;
            memcpy(ids, peer->conns, n * sizeof(*ids));
        }
    }
    unlock(shard);
    return n;
}

session_id registry_peace(struct derp_server *s, struct peer *peer)
{
    struct shard *shard = lock(s, &peer->key);
    bool is_peace = peer->is_fought_for && peer->n_conns <= 1;
    session_id id = is_peace && peer->n_conns == 1 ? peer->conns[0] : 0;

    if (is_peace) {
        peer->is_fought_for = false;
        peer->flips = 0;
    }
    unlock(shard);
    return id;
}

uint64_t registry_drops(struct derp_server *s, const struct node_key *key)
{
    struct shard *shard = lock(s, key);
    uint64_t drops = shard->drops;

    unlock(shard);
    return drops;
}

size_t registry_drop(struct derp_server *s, const struct node_key *key,
                     session_id ids[DERP_DUPLICATES_MAX])
{
    struct shard *shard = lock(s, key);
    const struct peer *peer = map_find(shard->peers, node_key_str(key));
    size_t n = peer ? peer->n_conns : 0;

    shard->drops++;
    if (n > 0)
        memcpy(ids, peer->conns, n * sizeof(*ids));
    unlock(shard);
    return n;
}

size_t registry_len(struct derp_server *s)
{
    size_t n = 0;

    for (size_t i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_lock(&s->shards[i].lock->mutex);
        n += map_len(s->shards[i].peers);
        unlock(&s->shards[i]);
    }
    return n;
}

/* ---- Life ---- */

void registry_init(struct derp_server *s)
{
    for (size_t i = 0; i < SHARDS; i++) {
        s->shards[i].lock = NEW(struct shard_lock);
        (void)pthread_mutex_init(&s->shards[i].lock->mutex, NULL);
        s->shards[i].peers = map_new();
    }
}

void registry_fini(struct derp_server *s)
{
    for (size_t i = 0; i < SHARDS; i++) {
        ASSERT(map_len(s->shards[i].peers) ==
               0); /* the loops are freed, so all sessions are gone */
        map_free(s->shards[i].peers);
        (void)pthread_mutex_destroy(&s->shards[i].lock->mutex);
        mem_free(s->shards[i].lock);
    }
}
