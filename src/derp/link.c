/*
 * See link.h. A link is a session whose other end is the relay: so packets find it as they find any
 * session, over mailboxes and through an outbox that drops its oldest.
 *
 * Invariants
 *   1. `present` holds, counted, exactly the peers that have this session among their vias.
 *   2. A peer that loses its last via and is not here is gone from the region: those here who had
 *      packets from it hear so.
 */

#include "derp/link.h"

#include <string.h>

#include "core/log.h"
#include "derp/server_internal.h"

#define PING_MS 10000 /* and silent for two of them: given up */
#define PRESENT_MAX ((size_t)1 << 22)

struct link {
    struct derp_link_events events;
    void *user;
    enum derp_link_end end;
    bool has_sent_info;
    bool is_let_in; /* it has told of somebody: of us at least, so it takes our watching */
    unsigned silent_rounds;
    struct box_key box;
    struct map *present; /* key -> struct peer */
};

/* ---- Who is there ---- */

static void add(struct session *c, const struct derp_peer_present *present)
{
    const struct node_key *key = &present->key;
    struct derp_server *s = c->home->server;
    struct link *link = c->link;

    if (node_key_eq(key, &s->public_key) || map_find(link->present, node_key_str(key)))
        return;
    if (map_len(link->present) >= PRESENT_MAX) {
        session_broken(c, "more peers than a relay has");
        return;
    }
    struct peer *peer = registry_get(s, key);

    if (c->is_sibling)
        registry_note(s, peer, present->from, present->flags);
    if (!registry_add_via(s, peer, c->id)) {
        registry_unref(s, peer);
        return;
    }
    IGNORE(map_put(link->present, node_key_str(key), peer));
    tally_add(c->home, TALLY_REMOTE_CLIENTS, 1);
    if (c->is_sibling)
        watch_changed(s, key);
}

static void drop(struct session *c, struct peer *peer)
{
    struct derp_server *s = c->home->server;
    AUTO_FINI(buf_fini) struct buf frame = BUF(64);
    struct heard heard = {0};

    tally_add(c->home, TALLY_REMOTE_CLIENTS, -1);
    if (registry_remove_via(s, peer, c->id, &heard))
        derp_put_peer_gone(&frame, &peer->key, DERP_GONE_DISCONNECTED);
    for (uint32_t i = 0; i < heard.n; i++) {
        session_id to = atomic_load(&heard.peers[i]->where);

        if (to != 0) {
            relay_send(c->home, to, PIECE_CONTROL, buf_str(&frame), STR_NONE);
            tally_add(c->home, TALLY_PEER_GONE, 1);
        }
        registry_unref(s, heard.peers[i]);
    }
    mem_free(heard.peers);
    if (c->is_sibling)
        watch_changed(s, &peer->key);
    registry_unref(s, peer);
}

static void on_peer_present(struct session *c, struct str payload)
{
    struct derp_peer_present present;
    struct link *link = c->link;

    if (!derp_peer_present_decode(payload, &present)) {
        session_broken(c, "nobody is present");
        return;
    }
    if (!link->is_let_in && link->events.on_ready)
        link->events.on_ready(link->user);
    link->is_let_in = true;
    add(c, &present);
}

static void on_peer_gone(struct session *c, struct str payload)
{
    struct node_key key;
    uint8_t reason;

    if (!derp_peer_gone_decode(payload, &key, &reason)) {
        session_broken(c, "nobody is gone");
        return;
    }
    struct peer *peer = map_remove(c->link->present, node_key_str(&key));

    if (peer)
        drop(c, peer);
}

/* ---- Handshake ---- */

static void on_server_key(struct session *c, struct str payload)
{
    struct derp_server *s = c->home->server;
    struct link *link = c->link;
    struct node_key key;

    if (link->has_sent_info || !derp_server_key_decode(payload, &key)) {
        session_broken(c, "relay's key");
        return;
    }
    bool is_self = node_key_eq(&key, &s->public_key);

    if (is_self && !c->is_sibling) {
        link->end = DERP_LINK_SELF;
        session_close(c, NULL);
        return;
    }
    if (is_self != c->is_sibling || !box_key_init(&link->box, &s->key, &key)) {
        session_broken(c, "relay's key");
        return;
    }
    struct derp_client_info info = {
        .version = DERP_VERSION, .can_ack_pings = true, .has_mesh_key = !c->is_sibling};

    if (info.has_mesh_key)
        memcpy(info.mesh_key, s->mesh_key, sizeof(info.mesh_key));
    derp_put_client_info(outbox_begin(c), &link->box, &s->public_key, &info);
    derp_client_info_fini(&info);
    link->has_sent_info = true;
}

static bool become_sibling(struct session *c)
{
    session_id none = 0;

    return atomic_compare_exchange_strong(&c->home->server->sibling, &none, c->id);
}

static void on_server_info(struct session *c, struct str payload)
{
    struct derp_server_info info;
    struct err err = {0};

    if (!c->link->has_sent_info || derp_server_info_open(payload, &c->link->box, &info, &err) < 0) {
        session_broken(c, "relay's information");
        return;
    }
    box_key_fini(&c->link->box);
    if (c->is_sibling && !become_sibling(c)) {
        session_close(c, NULL);
        return;
    }
    session_link_is_ready(c);
    derp_put_frame(outbox_begin(c), DERP_WATCH_CONNS, STR_NONE);
    timer_start(&c->timer, PING_MS);
}

/* ---- Events of its session ---- */

void link_on_frame(struct session *c, const struct derp_frame *frame)
{
    switch (frame->type) {
    case DERP_SERVER_KEY:
        on_server_key(c, frame->payload);
        break;
    case DERP_SERVER_INFO:
        on_server_info(c, frame->payload);
        break;
    case DERP_PEER_PRESENT:
        on_peer_present(c, frame->payload);
        break;
    case DERP_PEER_GONE:
        on_peer_gone(c, frame->payload);
        break;
    case DERP_PING:
        outbox_pong(c, str_sub(frame->payload, 0, 8));
        break;
    default:
        break;
    }
}

void link_on_data(struct session *c)
{
    c->link->silent_rounds = 0;
}

void link_on_timer(struct session *c)
{
    const uint8_t ping[8] = {'h', 'a', 't', 's', 'i', 'z', 'e', 0};

    if (c->state != SESSION_READY || c->link->silent_rounds++ >= 2) {
        session_close(c, "a relay of the mesh is silent");
        return;
    }
    derp_put_frame(outbox_begin(c), DERP_PING, str_bytes(ping, sizeof(ping)));
    timer_start(&c->timer, PING_MS);
}

/* Out of reach at once, also when the stream still takes its time to end. */
void link_on_closed(struct session *c)
{
    struct link *link = c->link;
    struct map *present = link->present;
    size_t at = 0;
    struct str key;
    void *peer = NULL;

    link->present = map_new();
    session_id self = c->id;

    while (map_next(present, &at, &key, &peer))
        drop(c, peer);
    map_free(present);
    (void)atomic_compare_exchange_strong(&c->home->server->sibling, &self, 0);
}

void link_on_end(struct session *c)
{
    struct link *link = TAKE(c->link);

    link->events.on_end(link->user, link->end);
    box_key_fini(&link->box);
    map_free(link->present);
    mem_free(link);
}

static void open_link(struct session *c, const struct derp_link_events *events, void *user)
{
    struct link *link = NEW(struct link);

    link->events = *events;
    link->user = user;
    link->present = map_new();
    session_start_link(c, link);
}

void derp_link_open(struct derp_server *s, struct stream *stream,
                    const struct derp_link_events *events, void *user)
{
    ASSERT(s->has_mesh_key);
    open_link(relay_new_session(s, stream), events, user);
}

void derp_link_open_sibling(struct derp_server *s, struct stream *stream,
                            const struct derp_link_events *events, void *user)
{
    struct session *c = relay_new_session(s, stream);

    c->is_sibling = true;
    open_link(c, events, user);
}
