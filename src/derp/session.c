/*
 * One client of the relay: from its stream to its leaving.
 *
 *   LOGIN --CLIENT_INFO opens--> ADMITTING --answer: yes--> READY
 *     |                            |   ^                      |
 *     |                            |   +-- key dropped        |
 *     |                            |       meanwhile          |
 *     +-- broken, late ------------+-- no, late --------------+-- broken, stalled, dropped, gone
 *     v                            v                          v
 *   CLOSED ---------------------- on_close: memory goes ------------------------------
 *
 * Invariants
 *   1. In LOGIN only SERVER_KEY has been sent. In ADMITTING the stream is not read.
 *   2. A session is in the registry exactly while READY.
 *   3. Frames are judged by their header, before their payload is kept: what is kept of one client
 * is at most one frame that its state allows.
 *   4. Work per wake-up is bounded by what one read brings.
 */

#include "core/rand.h"
#include "derp/server_internal.h"

/* A client that has brought so much at once is not read again before what it brought was written.
 */
#define BURST_MAX ((size_t)32 << 10)
#define KEEP_ALIVE_JITTER_MS 5000
#define FORWARDED_NOTED 256u

#define WAITING_MS 2
#define LOG_EVERY_MS 1000

struct derp_admission {
    struct derp_server *server;
    session_id id;
    bool ok;
    struct loop_message message;
    struct list_node link; /* in its loop's tickets */
};

/* ---- State ---- */

static const unsigned session_next[] = {
    /* READY at once: a link, which the other relay has let in. */
    [SESSION_LOGIN] = BIT(SESSION_ADMITTING) | BIT(SESSION_READY) | BIT(SESSION_CLOSED),
    [SESSION_ADMITTING] = BIT(SESSION_READY) | BIT(SESSION_CLOSED),
    [SESSION_READY] = BIT(SESSION_CLOSED),
    [SESSION_CLOSED] = 0,
};

static void tell_gone(struct session *c, const struct peer *peer, struct str frame)
{
    session_id to = peer ? atomic_load(&peer->where) : 0;

    if (to == 0)
        return;
    relay_send(c->home, to, PIECE_CONTROL, frame, STR_NONE);
    tally_add(c->home, TALLY_PEER_GONE, 1);
}

/* To everybody who had packets from this key. */
static void tell_all_gone(struct session *c, const struct heard *heard)
{
    AUTO_FINI(buf_fini) struct buf frame = BUF(64);

    derp_put_peer_gone(&frame, &c->peer->key, DERP_GONE_DISCONNECTED);
    for (uint32_t i = 0; i < c->routes.cap; i++)
        tell_gone(c, c->routes.slots[i], buf_str(&frame));
    for (uint32_t i = 0; i < heard->n; i++)
        if (!routes_find(c->home->server, &c->routes, &heard->peers[i]->key))
            tell_gone(c, heard->peers[i], buf_str(&frame));
}

/* How the client does; nothing: well. Shown to its user. */
static void tell_health(struct session *c, session_id to, struct str problem)
{
    AUTO_FINI(buf_fini) struct buf frame = BUF(512);

    derp_put_frame(&frame, DERP_HEALTH, problem);
    relay_send(c->home, to, PIECE_CONTROL, buf_str(&frame), STR_NONE);
}

static void keep_alive_later(struct session *c)
{
    timer_start(&c->timer, DERP_KEEP_ALIVE_MS + (int64_t)rand_below(KEEP_ALIVE_JITTER_MS));
}

static void proof_drop(struct session *c)
{
    derp_proof_fini(c->proof);
    mem_free(TAKE(c->proof));
}

static void leave(struct session *c)
{
    struct derp_server *s = c->home->server;
    struct heard heard = {0};
    bool is_last = registry_leave(s, c->peer, c->id, &c->routes, &heard);

    if (!c->is_sibling) {
        atomic_fetch_sub(&s->n_clients, 1);
        tally_add(c->home, TALLY_CLIENTS, -1);
    }
    if (c->is_home)
        tally_add(c->home, TALLY_HOME_CLIENTS, -1);
    watch_stop(c);
    watch_changed(s, &c->peer->key);
    if (is_last && !c->is_sibling) /* that has sent nothing of its own */
        tell_all_gone(c, &heard);
    session_id alone = registry_peace(s, c->peer);

    if (alone != 0)
        tell_health(c, alone, STR_NONE);
    for (uint32_t i = 0; i < heard.n; i++)
        registry_unref(s, heard.peers[i]);
    mem_free(heard.peers);
}

/* The only writer of c->state. */
static void set_state(struct session *c, enum session_state next)
{
    enum session_state was = c->state;

    ASSERT(session_next[was] & BIT(next));
    c->state = next;
    if (list_node_is_linked(&c->login_link)) {
        list_remove(&c->login_link);
        c->home->n_logins--;
    }
    if (c->link) {
        timer_stop(&c->timer);
        if (next == SESSION_CLOSED)
            link_on_closed(c);
        return;
    }
    if (next == SESSION_ADMITTING) {
        stream_read_stop(c->stream);
        timer_start(&c->timer, DERP_LOGIN_MS);
        return;
    }
    proof_drop(c);
    if (next == SESSION_READY) {
        if (!c->is_sibling) {
            atomic_fetch_add(&c->home->server->n_clients, 1);
            tally_add(c->home, TALLY_CLIENTS, 1);
        }
        stream_read_start(c->stream);
        keep_alive_later(c);
        return;
    }
    timer_stop(&c->timer);
    if (was == SESSION_READY)
        leave(c);
}

static void log_about(struct session *c, const char *event, const char *error)
{
    AUTO_FINI(buf_fini) struct buf addr = BUF(64);
    uint64_t more = 0;

    if (!log_is_on(LOG_INFO) || !log_pace_may(&c->home->pace, LOG_EVERY_MS, &more))
        return;
    ip_addr_put(&addr, stream_peer(c->stream).addr);
    log_event(LOG_INFO, event, LOG_STR("addr", buf_str(&addr)),
              LOG_TXT("error", error ? error : ""), LOG_U64("unlogged", more));
}

void session_close(struct session *c, const char *why)
{
    if (c->state == SESSION_CLOSED)
        return;
    if (why)
        log_about(c, why, NULL);
    set_state(c, SESSION_CLOSED);
    stream_abort(c->stream);
}

void session_broken(struct session *c, const char *what)
{
    tally_add(c->home, TALLY_BROKEN, 1);
    log_about(c, "a relay client broke the protocol", what);
    session_close(c, NULL);
}

/* ---- Admission ---- */

static void ask(struct session *c)
{
    struct derp_server *s = c->home->server;
    struct derp_admission *ticket = NEW(struct derp_admission);

    *ticket = (struct derp_admission){.server = s, .id = c->id};
    list_node_init(&ticket->link);
    list_push_back(&c->home->tickets, &ticket->link);
    c->drops = registry_drops(s, &c->peer->key);
    s->admit(s->user, &c->peer->key, stream_peer(c->stream).addr, ticket);
}

static void welcome(struct session *c)
{
    const struct derp_server_info info = {.version = DERP_VERSION};
    struct buf early = c->in;

    derp_put_server_info(outbox_begin(c), &c->proof->box, &info);
    set_state(c, SESSION_READY);
    c->in = BUF(IN_MAX);
    session_feed(c, buf_str(&early));
    buf_fini(&early);
}

static uint8_t present_flags(const struct session *c)
{
    unsigned flags = (c->is_mesh ? DERP_PRESENT_MESH_PEER : 0u) |
                     (c->proof->info.is_prober ? DERP_PRESENT_PROBER : 0u);

    return (uint8_t)(flags ? flags : DERP_PRESENT_REGULAR);
}

static void join_registry(struct session *c, const uint64_t *drops)
{
    struct derp_server *s = c->home->server;
    session_id evicted = 0;

    registry_note(s, c->peer, stream_peer(c->stream), present_flags(c));
    if (registry_join(s, c->peer, c->id, drops, &evicted) == JOIN_ASK_AGAIN) {
        ask(c);
        return;
    }
    if (evicted != 0) {
        tally_add(c->home, TALLY_DUPLICATES_CLOSED, 1);
        relay_post_close(s, evicted);
    }
    watch_changed(s, &c->peer->key);
    welcome(c);
}

static void admitted(struct session *c, bool ok)
{
    if (c->state != SESSION_ADMITTING)
        return;
    if (ok) {
        join_registry(c, &c->drops);
        return;
    }
    tally_add(c->home, TALLY_REFUSED, 1);
    session_close(c, "a relay client was refused: its key belongs to no node");
}

static void ticket_use(struct derp_admission *ticket)
{
    struct derp_server *s = ticket->server;
    struct relay_loop *l = &s->loops[id_loop(ticket->id)];
    struct session *c = relay_find(l, ticket->id);
    bool ok = ticket->ok;

    list_remove(&ticket->link);
    mem_free(ticket);
    if (c)
        admitted(c, ok);
    relay_flush(l);
}

static void on_answer(struct loop_message *msg)
{
    struct derp_admission *ticket = CONTAINER_OF(msg, struct derp_admission, message);

    ticket->ok = ticket->ok && !msg->cancelled; /* the loop is ending: nobody comes in any more */
    ticket_use(ticket);
}

void derp_admission_answer(struct derp_admission *ticket, bool ok)
{
    struct loop *loop = ticket->server->loops[id_loop(ticket->id)].loop;

    ticket->ok = ok;
    if (loop_is_current(loop)) {
        ticket_use(ticket);
        return;
    }
    ticket->message.run = on_answer;
    loop_post(loop, &ticket->message);
}

void session_free_tickets(struct relay_loop *l)
{
    for (struct list_node *n = list_pop_front(&l->tickets); n; n = list_pop_front(&l->tickets))
        mem_free(CONTAINER_OF(n, struct derp_admission, link));
}

/* ---- Frames ---- */

static void on_client_info(struct session *c, struct str payload)
{
    struct derp_server *s = c->home->server;
    struct err err = {0};

    c->proof = NEW(struct derp_proof);
    if (derp_client_info_open(payload, &s->key, c->proof, &err) < 0) {
        session_broken(c, err.text);
        return;
    }
    const struct derp_client_info *info = &c->proof->info;

    if (c->is_sibling && !node_key_eq(&c->proof->peer, &s->public_key)) {
        session_broken(c, "proof of being this relay");
        return;
    }
    c->is_mesh = c->is_sibling || (s->has_mesh_key && info->has_mesh_key &&
                                   str_eq_secret(str_bytes(info->mesh_key, DERP_MESH_KEY_BYTES),
                                                 str_bytes(s->mesh_key, DERP_MESH_KEY_BYTES)));
    c->peer = registry_get(s, &c->proof->peer);
    set_state(c, SESSION_ADMITTING);
    if (s->admit && !c->is_mesh)
        ask(c);
    else
        join_registry(c, NULL);
}

/* Not to be had too often: it answers packets that anybody may make up. */
static void tell_not_here(struct session *c, const struct node_key *dst)
{
    int64_t now = loop_now_ms(c->home->loop);

    if (now - c->gone_at_ms >= 1000) {
        int64_t refill = c->gone_tokens + (now - c->gone_at_ms) / 1000;

        c->gone_tokens = (uint8_t)MIN(refill, (int64_t)GONE_BURST);
        c->gone_at_ms = now;
    }
    if (c->gone_tokens == 0)
        return;
    AUTO_FINI(buf_fini) struct buf frame = BUF(64);

    c->gone_tokens--;
    derp_put_peer_gone(&frame, dst, DERP_GONE_NOT_HERE);
    outbox_push(c, PIECE_CONTROL, buf_str(&frame), STR_NONE);
    tally_add(c->home, TALLY_PEER_GONE, 1);
}

/*
 * The active connection of a peer; if it has none, the link to a relay that has it (*is_link). What
 * another relay has brought is forwarded to this relay's other process only, and what that has
 * brought to nobody: so packets go in no circle. 0: neither.
 */
static session_id where_to(const struct session *c, struct peer *peer, bool *is_link)
{
    session_id to = atomic_load_explicit(&peer->where, memory_order_acquire);

    *is_link = false;
    if (to != 0 || c->is_sibling)
        return to;
    to = atomic_load_explicit(&peer->via, memory_order_acquire);
    *is_link = to != 0 && (!c->is_mesh || to == atomic_load(&c->home->server->sibling));
    return *is_link ? to : 0;
}

static session_id find_route(struct session *c, const struct node_key *dst, bool *is_link)
{
    struct derp_server *s = c->home->server;
    struct peer *peer = routes_find(s, &c->routes, dst);

    if (peer)
        return where_to(c, peer, is_link);
    peer = registry_find(s, dst);
    if (!peer)
        return 0;
    session_id to = where_to(c, peer, is_link);

    if (!routes_add(s, &c->routes, peer))
        registry_unref(s, peer);
    return to;
}

static void route_packet(struct session *c, const struct node_key *src, const struct node_key *dst,
                         struct str packet)
{
    char head[DERP_FRAME_HEADER + 2 * KEY_BYTES];
    struct buf header = {.ptr = head, .cap = sizeof(head), .limit = sizeof(head)};
    bool is_link = false;
    session_id to = find_route(c, dst, &is_link);
    bool is_disco = derp_is_disco(packet);

    tally_add(c->home, TALLY_PACKETS_IN, 1);
    tally_add(c->home, TALLY_BYTES_IN, (int64_t)packet.len);
    if (to == 0) {
        tally_add(c->home, TALLY_DROPPED_UNKNOWN, 1);
        if (is_disco && !c->is_mesh)
            tell_not_here(c, dst);
        return;
    }
    derp_put_header(&header, is_link ? DERP_FORWARD_PACKET : DERP_RECV_PACKET,
                    (is_link ? 2u : 1u) * KEY_BYTES + packet.len);
    buf_put(&header, node_key_str(src));
    if (is_link) {
        buf_put(&header, node_key_str(dst));
        tally_add(c->home, TALLY_FORWARDED_OUT, 1);
    }
    relay_send(c->home, to, is_disco ? PIECE_DISCO : PIECE_DATA, buf_str(&header), packet);
}

/* Packets to its key come here from now on. Machines that were cloned take turns without end. */
static void take_turn(struct session *c)
{
    session_id ids[DERP_DUPLICATES_MAX];
    size_t n = registry_activate(c->home->server, c->peer, c->id, loop_now_ms(c->home->loop), ids);

    for (size_t i = 0; i < n; i++)
        tell_health(c, ids[i],
                    STR("another machine uses this machine's key: was it cloned? Log one of them "
                        "out and in again"));
    tally_add(c->home, TALLY_FIGHTS, n > 0);
}

static void on_send_packet(struct session *c, struct str payload)
{
    struct node_key dst;
    struct str packet;

    if (!derp_packet_decode(payload, &dst, &packet)) {
        session_broken(c, "packet");
        return;
    }
    if (atomic_load_explicit(&c->peer->where, memory_order_relaxed) != c->id)
        take_turn(c);
    route_packet(c, &c->peer->key, &dst, packet);
}

/*
 * Whoever is here and has packets from elsewhere is to hear when their sender goes. Noted once in a
 * while for each pair, as it takes locks; a pair that pushed another one out is noted again.
 */
static void note_forwarded(struct session *c, const struct node_key *src,
                           const struct node_key *dst)
{
    struct derp_server *s = c->home->server;
    uint64_t pair = routes_hash(s, src) * 3 + routes_hash(s, dst) +
                    (uint64_t)(loop_now_ms(c->home->loop) >> 14);

    if (!c->forwarded)
        c->forwarded = mem_alloc_array(FORWARDED_NOTED, sizeof(*c->forwarded));
    uint64_t *place = &c->forwarded[pair % FORWARDED_NOTED];

    if (*place == pair)
        return;
    *place = pair;
    registry_hear(s, src, dst);
}

static void on_forward_packet(struct session *c, struct str payload)
{
    struct node_key src, dst;
    struct str packet;

    if (!derp_forward_decode(payload, &src, &dst, &packet)) {
        session_broken(c, "forwarded packet");
        return;
    }
    tally_add(c->home, TALLY_FORWARDED_IN, 1);
    note_forwarded(c, &src, &dst);
    route_packet(c, &src, &dst, packet);
}

static void on_note_preferred(struct session *c, struct str payload)
{
    bool is_home = payload.ptr[0] != 0;

    if (is_home != c->is_home)
        tally_add(c->home, TALLY_HOME_CLIENTS, is_home ? 1 : -1);
    c->is_home = is_home;
}

static void on_close_peer(struct session *c, struct str payload)
{
    struct node_key key;
    uint8_t reason;

    IGNORE(derp_peer_gone_decode(payload, &key, &reason)); /* a key, as there */
    derp_server_drop(c->home->server, &key);
}

void session_on_frame(struct session *c, const struct derp_frame *frame)
{
    if (c->link) {
        link_on_frame(c, frame);
        return;
    }
    switch (frame->type) {
    case DERP_CLIENT_INFO:
        on_client_info(c, frame->payload);
        break;
    case DERP_SEND_PACKET:
        on_send_packet(c, frame->payload);
        break;
    case DERP_FORWARD_PACKET:
        on_forward_packet(c, frame->payload);
        break;
    case DERP_NOTE_PREFERRED:
        on_note_preferred(c, frame->payload);
        break;
    case DERP_CLOSE_PEER:
        on_close_peer(c, frame->payload);
        break;
    case DERP_WATCH_CONNS:
        watch_start(c);
        break;
    case DERP_PING:
        tally_add(c->home, TALLY_PINGS, 1);
        outbox_pong(c, str_sub(frame->payload, 0, 8));
        break;
    default:
        break;
    }
}

/* ---- Pauses ---- */

void session_read_on(struct session *c)
{
    if (c->state == SESSION_READY && !limit_holds(c))
        stream_read_start(c->stream);
}

static void read_on_all(struct list *paused)
{
    for (struct list_node *n = list_pop_front(paused); n; n = list_pop_front(paused))
        session_read_on(CONTAINER_OF(n, struct session, pause_link));
}

static void on_next_round(struct loop_message *msg)
{
    struct relay_loop *l = CONTAINER_OF(msg, struct relay_loop, resume);

    l->resume_is_posted = false;
    read_on_all(&l->paused);
}

static void on_waited(void *user)
{
    session_end_waiting(user);
}

void session_end_waiting(struct relay_loop *l)
{
    read_on_all(&l->waiting);
}

void session_init_pauses(struct relay_loop *l)
{
    list_init(&l->paused);
    list_init(&l->waiting);
    l->resume.run = on_next_round;
    timer_init(&l->waiting_timer, l->loop, on_waited, l);
}

/*
 * After a burst the rest of the round belongs to the others, and to the writes: bursts that come
 * faster than writes go out would only be dropped by receivers that are not slow at all. When
 * another loop is behind, a millisecond belongs to it.
 */
static void pause_if_needed(struct session *c, size_t brought)
{
    struct relay_loop *l = c->home;
    bool is_crowded = l->is_crowded;

    l->is_crowded = false;
    if ((brought < BURST_MAX && !is_crowded) || c->state != SESSION_READY ||
        list_node_is_linked(&c->pause_link))
        return;
    stream_read_stop(c->stream);
    if (is_crowded) {
        list_push_back(&l->waiting, &c->pause_link);
        if (!timer_is_started(&l->waiting_timer))
            timer_start(&l->waiting_timer, WAITING_MS);
        return;
    }
    list_push_back(&l->paused, &c->pause_link);
    if (l->resume_is_posted)
        return;
    l->resume_is_posted = true;
    loop_post(l->loop, &l->resume);
}

/* ---- Events ---- */

static void on_data(void *user, struct str data)
{
    struct session *c = user;

    if (c->link)
        link_on_data(c);
    session_feed(c, data);
    if (!c->is_mesh)
        limit_charge(c, data.len);
    pause_if_needed(c, data.len);
    relay_flush(c->home);
}

static void on_writable(void *user)
{
    struct session *c = user;

    if (c->state != SESSION_READY)
        return;
    outbox_on_writable(c);
    if (c->watch)
        watch_pump(c);
    relay_flush(c->home);
}

static void on_timer(void *user)
{
    struct session *c = user;

    if (c->link) {
        link_on_timer(c);
    } else if (c->state != SESSION_READY) {
        session_close(c, c->state == SESSION_LOGIN ? "a relay client did not log in in time"
                                                   : "a relay client was not admitted in time");
    } else {
        if (outbox_is_idle(c))
            derp_put_frame(outbox_begin(c), DERP_KEEP_ALIVE, STR_NONE);
        keep_alive_later(c);
    }
    relay_flush(c->home);
}

static void on_close(void *user, const struct err *why)
{
    struct session *c = user;
    struct relay_loop *l = c->home;
    struct slot *slot = &l->slots[id_slot(c->id)];

    (void)why;
    if (c->state != SESSION_CLOSED)
        set_state(c, SESSION_CLOSED);
    outbox_fini(c);
    routes_fini(l->server, &c->routes);
    registry_unref(l->server, c->peer);
    buf_fini(&c->in);
    limit_fini(c);
    mem_free(c->forwarded);
    list_remove(&c->pause_link);
    slot->session = NULL;
    slot->generation += slot->generation == UINT32_MAX ? 2 : 1; /* 0 is nobody's */
    slot->next_free = l->first_free;
    l->first_free = (uint32_t)id_slot(c->id) + 1;
    if (c->link)
        link_on_end(c);
    mem_free(c);
    relay_flush(l);
}

static const struct stream_events events = {
    .on_data = on_data, .on_writable = on_writable, .on_close = on_close};

static void prepare(struct session *c)
{
    c->state = SESSION_LOGIN;
    c->in = BUF(IN_MAX);
    c->gone_tokens = GONE_BURST;
    list_node_init(&c->pause_link);
    list_node_init(&c->login_link);
    outbox_init(c);
    timer_init(&c->timer, c->home->loop, on_timer, c);
    timer_start(&c->timer, DERP_LOGIN_MS);
    stream_set_events(c->stream, &events, c);
}

void session_start_link(struct session *c, struct link *link)
{
    c->link = link;
    c->is_mesh = true;
    prepare(c);
}

void session_link_is_ready(struct session *c)
{
    set_state(c, SESSION_READY);
}

/* Whoever takes longest to say who it is makes room: those who mean it say it at once. */
static void bound_logins(struct relay_loop *l)
{
    size_t max = atomic_load_explicit(&l->server->max_logins, memory_order_relaxed);
    struct list_node *oldest;

    while (l->n_logins > max && (oldest = list_first(&l->logins))) {
        tally_add(l, TALLY_LOGINS_CLOSED, 1);
        session_close(CONTAINER_OF(oldest, struct session, login_link),
                      "too many relay clients are logging in: the oldest was closed");
    }
}

void session_start(struct session *c)
{
    prepare(c);
    list_push_back(&c->home->logins, &c->login_link);
    c->home->n_logins++;
    bound_logins(c->home);
    tally_add(c->home, TALLY_ACCEPTS, 1);
    derp_put_server_key(outbox_begin(c), &c->home->server->public_key);
    relay_flush(c->home);
}
