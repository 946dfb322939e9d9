/*
 * Watchers: relays of the mesh that hear of every key that comes here or goes.
 *
 *   any loop: join, leave --message--> the watcher's loop: key waits --> registry: here or not?
 *                                                                  --> PEER_PRESENT or PEER_GONE
 *
 * What is sent is what holds when it is sent, not what the message was about: messages of two loops
 * may come in any order, and a key that came and went while a watcher was slow costs one frame.
 *
 * Of those at this relay's other process (sibling.h) a watcher hears as well, but for that process.
 *
 * Invariants
 *   1. A watcher is in the server's table before it collects the keys that are here, and a key is
 * in the registry before the table is read: so it hears of every key, perhaps twice.
 *   2. A key waits at most once per watcher; the last change of a key is followed by a look.
 *   3. More than WAITING_MAX keys end the watcher: it will come again and hear all anew.
 *
 * Source: docs/protocol.md 16.6.
 */

#include "derp/server_internal.h"

#define WAITING_MAX ((size_t)1 << 20)

struct waiting {
    struct list_node link;
    struct node_key key;
};

struct watch {
    struct list queue;  /* waiting */
    struct map *by_key; /* the same */
    size_t at;          /* in the server's table */
};

struct change {
    struct loop_message message;
    struct relay_loop *home;
    session_id watcher;
    struct node_key key;
};

static void add(struct session *c, const struct node_key *key)
{
    struct watch *w = c->watch;

    if (map_find(w->by_key, node_key_str(key)))
        return;
    if (map_len(w->by_key) >= WAITING_MAX) {
        session_close(c, "a relay of the mesh watches and does not read");
        return;
    }
    struct waiting *waiting = NEW(struct waiting);

    waiting->key = *key;
    list_push_back(&w->queue, &waiting->link);
    IGNORE(map_put(w->by_key, node_key_str(key), waiting));
}

static void tell(struct session *c, const struct node_key *key)
{
    struct derp_peer_present present = {.key = *key};

    if (registry_is_here(c->home->server, key, !c->is_sibling, &present))
        derp_put_peer_present(outbox_begin(c), &present);
    else
        derp_put_peer_gone(outbox_begin(c), key, DERP_GONE_DISCONNECTED);
}

void watch_pump(struct session *c)
{
    struct watch *w = c->watch;

    while (c->state == SESSION_READY && outbox_has_room(c)) {
        struct list_node *n = list_pop_front(&w->queue);

        if (!n)
            return;
        struct waiting *waiting = CONTAINER_OF(n, struct waiting, link);

        IGNORE(map_remove(w->by_key, node_key_str(&waiting->key)));
        tell(c, &waiting->key);
        mem_free(waiting);
    }
}

static void on_change(struct loop_message *msg)
{
    struct change *change = CONTAINER_OF(msg, struct change, message);
    struct relay_loop *l = change->home;
    struct session *c = msg->cancelled ? NULL : relay_find(l, change->watcher);

    if (c && c->watch && c->state == SESSION_READY) {
        add(c, &change->key);
        watch_pump(c);
        relay_flush(l);
    }
    mem_free(change);
}

void watch_changed(struct derp_server *s, const struct node_key *key)
{
    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        session_id watcher = atomic_load(&s->watchers[i]);

        if (watcher == 0)
            continue;
        struct change *change = NEW(struct change);

        change->message.run = on_change;
        change->home = &s->loops[id_loop(watcher)];
        change->watcher = watcher;
        change->key = *key;
        loop_post(change->home->loop, &change->message);
    }
}

static void collect(void *user, const struct node_key *key)
{
    add(user, key);
}

static bool take_place(struct session *c, size_t *at)
{
    struct derp_server *s = c->home->server;

    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        session_id nobody = 0;

        if (!atomic_compare_exchange_strong(&s->watchers[i], &nobody, c->id))
            continue;
        *at = i;
        return true;
    }
    return false;
}

void watch_start(struct session *c)
{
    struct derp_server *s = c->home->server;
    size_t at = 0;

    /* Itself by another name: nothing to tell. */
    if (c->watch || (node_key_eq(&c->peer->key, &s->public_key) && !c->is_sibling))
        return;
    if (!take_place(c, &at)) {
        session_close(c, "too many relays watch");
        return;
    }
    c->watch = NEW(struct watch);
    c->watch->at = at;
    c->watch->by_key = map_new();
    list_init(&c->watch->queue);
    tally_add(c->home, TALLY_WATCHERS, 1);
    registry_each_here(s, !c->is_sibling, collect, c);
    if (c->state == SESSION_READY)
        watch_pump(c);
}

void watch_stop(struct session *c)
{
    struct watch *w = TAKE(c->watch);

    if (!w)
        return;
    atomic_store(&c->home->server->watchers[w->at], 0);
    tally_add(c->home, TALLY_WATCHERS, -1);
    for (struct list_node *n = list_pop_front(&w->queue); n; n = list_pop_front(&w->queue))
        mem_free(CONTAINER_OF(n, struct waiting, link));
    map_free(w->by_key);
    mem_free(w);
}
