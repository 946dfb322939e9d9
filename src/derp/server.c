/*
 * The relay as a whole: its loops, their tables of sessions, and who may come in.
 *
 * A session is named by (loop, slot, generation), so that anybody may keep the name of one that has
 * gone: the loop that owns the slot sees that the generation is another.
 */

#include "derp/server.h"

#include <string.h>

#include "core/clock.h"
#include "core/rand.h"
#include "derp/server_internal.h"

#define SLOTS_MAX (1u << 24)
#define DRAIN_STEP_MS 20

/* ---- Sessions by id ---- */

struct session *relay_find(const struct relay_loop *l, session_id id)
{
    size_t at = id_slot(id);

    if (id_loop(id) != l->index || at >= l->n_slots || l->slots[at].generation != (uint32_t)id)
        return NULL;
    return l->slots[at].session;
}

static void grow_slots(struct relay_loop *l)
{
    uint32_t n = l->n_slots ? 2 * l->n_slots : 16;

    ASSERT(n <= SLOTS_MAX); /* listeners allow far fewer streams */
    l->slots = mem_realloc_array(l->slots, n, sizeof(*l->slots));
    for (uint32_t i = n; i > l->n_slots; i--) {
        l->slots[i - 1] = (struct slot){.generation = 1, .next_free = l->first_free};
        l->first_free = i;
    }
    l->n_slots = n;
}

static session_id take_slot(struct relay_loop *l, struct session *c)
{
    if (l->first_free == 0)
        grow_slots(l);
    uint32_t at = l->first_free - 1;
    struct slot *slot = &l->slots[at];

    l->first_free = slot->next_free;
    slot->session = c;
    return (session_id)l->index << 56 | (session_id)at << 32 | slot->generation;
}

/* ---- Between sessions ---- */

void relay_send(struct relay_loop *l, session_id to, enum piece piece, struct str head,
                struct str body)
{
    if (id_loop(to) != l->index) {
        mailbox_put(l, to, piece, head, body);
        return;
    }
    struct session *c = relay_find(l, to);

    if (c && c->state == SESSION_READY)
        outbox_push(c, piece, head, body);
    else
        tally_add(l, TALLY_DROPPED_GONE, piece != PIECE_CONTROL);
}

void relay_flush(struct relay_loop *l)
{
    for (struct list_node *n = list_pop_front(&l->dirty_sessions); n;
         n = list_pop_front(&l->dirty_sessions))
        outbox_flush(CONTAINER_OF(n, struct session, outbox.dirty_link));
    for (struct list_node *n = list_pop_front(&l->dirty_mailboxes); n;
         n = list_pop_front(&l->dirty_mailboxes))
        mailbox_send(CONTAINER_OF(n, struct mailbox, dirty_link));
}

struct closing {
    struct loop_message message;
    struct relay_loop *home;
    session_id id;
};

static void on_closing(struct loop_message *msg)
{
    struct closing *closing = CONTAINER_OF(msg, struct closing, message);
    struct session *c = relay_find(closing->home, closing->id);

    if (c)
        session_close(c, NULL);
    relay_flush(closing->home);
    mem_free(closing);
}

void relay_post_close(struct derp_server *s, session_id id)
{
    struct closing *closing = NEW(struct closing);

    closing->message.run = on_closing;
    closing->home = &s->loops[id_loop(id)];
    closing->id = id;
    loop_post(closing->home->loop, &closing->message);
}

void derp_server_drop(struct derp_server *s, const struct node_key *key)
{
    session_id ids[DERP_DUPLICATES_MAX];
    size_t n = registry_drop(s, key, ids);

    for (size_t i = 0; i < n; i++)
        relay_post_close(s, ids[i]);
}

struct restarting {
    struct loop_message message;
    struct relay_loop *home;
    uint32_t reconnect_in_ms, try_for_ms;
};

static void on_restarting(struct loop_message *msg)
{
    struct restarting *r = CONTAINER_OF(msg, struct restarting, message);
    struct relay_loop *l = r->home;

    for (uint32_t i = 0; i < l->n_slots && !msg->cancelled; i++) {
        struct session *c = l->slots[i].session;

        if (c && c->state == SESSION_READY && !c->link)
            derp_put_restarting(outbox_begin(c), r->reconnect_in_ms, r->try_for_ms);
    }
    relay_flush(l);
    mem_free(r);
}

void derp_server_say_restarting(struct derp_server *s, uint32_t reconnect_in_ms,
                                uint32_t try_for_ms)
{
    for (size_t i = 0; i < s->n_loops; i++) {
        struct restarting *r = NEW(struct restarting);

        r->message.run = on_restarting;
        r->home = &s->loops[i];
        r->reconnect_in_ms = reconnect_in_ms;
        r->try_for_ms = try_for_ms;
        loop_post(r->home->loop, &r->message);
    }
}

/* ---- Draining: the table of sessions is closed from its beginning to its end ---- */

struct draining {
    struct timer timer;
    struct relay_loop *home;
    uint32_t n_slots, next; /* of these, the first that may still be open */
    int64_t began_ms;
    uint32_t over_ms, try_for_ms;
};

static struct session *drainable(const struct relay_loop *l, uint32_t slot)
{
    struct session *c = l->slots[slot].session;

    return c && c->state == SESSION_READY && !c->link && !c->is_sibling ? c : NULL;
}

static void on_drain(void *user)
{
    struct draining *d = user;
    struct relay_loop *l = d->home;
    uint64_t passed = (uint64_t)(clock_mono_ms() - d->began_ms);
    uint64_t until = passed * d->n_slots / d->over_ms;

    for (; d->next < MIN(until, (uint64_t)d->n_slots); d->next++) {
        struct session *c = drainable(l, d->next);

        if (c)
            session_close(c, NULL);
    }
    relay_flush(l);
    if (d->next < d->n_slots)
        timer_start(&d->timer, DRAIN_STEP_MS);
}

static void begin_drain(struct draining *d)
{
    struct relay_loop *l = d->home;

    d->n_slots = l->n_slots;
    while (d->n_slots > 0 && !l->slots[d->n_slots - 1].session)
        d->n_slots--;
    d->began_ms = clock_mono_ms();
    timer_init(&d->timer, l->loop, on_drain, d);
    for (uint32_t i = 0; i < d->n_slots; i++) {
        struct session *c = drainable(l, i);
        uint64_t in_ms = (uint64_t)d->over_ms * (i + 1) / d->n_slots;

        if (c)
            derp_put_restarting(outbox_begin(c), (uint32_t)in_ms, d->try_for_ms);
    }
    relay_flush(l);
    timer_start(&d->timer, DRAIN_STEP_MS);
}

struct drain_order {
    struct loop_message message;
    struct draining *draining;
};

static void on_drain_order(struct loop_message *msg)
{
    struct drain_order *order = CONTAINER_OF(msg, struct drain_order, message);

    if (!msg->cancelled)
        begin_drain(order->draining);
    mem_free(order);
}

void derp_server_drain(struct derp_server *s, uint32_t over_ms, uint32_t try_for_ms)
{
    for (size_t i = 0; i < s->n_loops; i++) {
        struct drain_order *order = NEW(struct drain_order);
        struct draining *d = NEW(struct draining);

        ASSERT(!s->loops[i].draining);
        *d = (struct draining){
            .home = &s->loops[i], .over_ms = MAX(over_ms, 1u), .try_for_ms = try_for_ms};
        s->loops[i].draining = d;
        order->message.run = on_drain_order;
        order->draining = d;
        loop_post(d->home->loop, &order->message);
    }
}

struct session *relay_new_session(struct derp_server *s, struct stream *stream)
{
    struct relay_loop *l = NULL;
    struct session *c = NEW(struct session);

    for (size_t i = 0; i < s->n_loops && !l; i++)
        if (s->loops[i].loop == stream_loop(stream))
            l = &s->loops[i];
    ASSERT(l);
    c->home = l;
    c->stream = stream;
    c->id = take_slot(l, c);
    return c;
}

void derp_server_accept(struct derp_server *s, struct stream *stream)
{
    session_start(relay_new_session(s, stream));
}

void relay_accept_sibling(struct derp_server *s, struct stream *stream)
{
    struct session *c = relay_new_session(s, stream);

    c->is_sibling = true;
    session_start(c);
}

/* ---- Life ---- */

static void loop_init(struct derp_server *s, size_t index, struct loop *loop)
{
    struct relay_loop *l = &s->loops[index];

    l->server = s;
    l->loop = loop;
    l->index = index;
    list_init(&l->dirty_sessions);
    list_init(&l->dirty_mailboxes);
    list_init(&l->tickets);
    list_init(&l->logins);
    session_init_pauses(l);
    tally_init(l);
    l->mailboxes = mem_alloc_array(s->n_loops, sizeof(*l->mailboxes));
    for (size_t i = 0; i < s->n_loops; i++)
        mailbox_init(&l->mailboxes[i], s, index, i);
}

static void loop_fini(struct relay_loop *l)
{
    for (size_t i = 0; i < l->server->n_loops; i++)
        mailbox_fini(&l->mailboxes[i]);
    mem_free(l->mailboxes);
    mem_free(l->draining);
    mem_free(l->slots);
    session_free_tickets(l);
    tally_fini(l);
}

void derp_server_set_max_logins(struct derp_server *s, size_t n)
{
    atomic_store(&s->max_logins, (n > 0 ? n : DERP_LOGINS_MAX) / s->n_loops + 1);
}

struct derp_server *derp_server_new(const struct derp_server_options *o)
{
    struct derp_server *s = NEW(struct derp_server);

    ASSERT(o->n_loops > 0 && o->n_loops <= DERP_LOOPS_MAX);
    s->key = *o->key;
    node_private_public(&s->key, &s->public_key);
    s->admit = o->admit;
    s->user = o->user;
    s->stall_ms = o->stall_ms ? o->stall_ms : DERP_STALL_MS;
    derp_server_set_rate(s, o->client_bytes_per_second, o->client_burst_bytes);
    derp_server_set_total_rate(s, o->total_bytes_per_second, o->total_burst_bytes);
    s->has_mesh_key = o->mesh_key != NULL;
    if (o->mesh_key)
        memcpy(s->mesh_key, o->mesh_key, sizeof(s->mesh_key));
    rand_bytes(s->seed, sizeof(s->seed));
    registry_init(s);
    pages_init(s, o->hosts, o->n_hosts);
    s->n_loops = o->n_loops;
    derp_server_set_max_logins(s, o->max_logins);
    s->loops = mem_alloc_array(s->n_loops, sizeof(*s->loops));
    for (size_t i = 0; i < s->n_loops; i++)
        loop_init(s, i, o->loops[i]);
    return s;
}

void derp_server_free(struct derp_server *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_loops; i++)
        loop_fini(&s->loops[i]);
    mem_free(s->loops);
    registry_fini(s);
    pages_fini(s);
    node_private_fini(&s->key);
    mem_wipe(s->mesh_key, sizeof(s->mesh_key));
    mem_free(s);
}

const struct node_key *derp_server_key(const struct derp_server *s)
{
    return &s->public_key;
}

size_t derp_server_clients(const struct derp_server *s)
{
    return atomic_load(&s->n_clients);
}
