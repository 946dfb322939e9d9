/*
 * What waits to be written to one client.
 *
 *   piece --backlog small--> out --flush, once a burst--> stream --> kernel
 *     |                       ^
 *     +--else--> queue -------+-- on_writable
 *
 * The backlog is `out` and what the stream holds. Frames of a burst leave in one write, which over
 * TLS makes them one record. The queue exists only while the client is slower than its senders; it
 * is two rings, so that path discovery gets through beside data, and in each the oldest gives way.
 */

#include <string.h>

#include "core/clock.h"
#include "derp/server_internal.h"

#define MESH_STALL_MS 30000
#define OUT_FIRST 2048 /* bytes: a first allocation that holds a packet or two */

struct packet {
    uint32_t len;
    char frame[];
};

struct ring {
    struct packet **at; /* the queue's places */
    size_t cap;
    size_t first, n;
    size_t bytes, max_bytes;
};

struct queue {
    struct ring rings[2]; /* by enum piece: PIECE_DATA, PIECE_DISCO */
    size_t turn;
    struct packet *places[]; /* of both */
};

/* ---- Rings ---- */

static struct packet *ring_pop(struct ring *r)
{
    struct packet *p = r->at[r->first];

    r->first = (r->first + 1) % r->cap;
    r->n--;
    r->bytes -= p->len;
    return p;
}

/* Returns how many had to give way. */
static int64_t ring_push(struct ring *r, struct str head, struct str body)
{
    size_t len = head.len + body.len;
    struct packet *p = mem_alloc(sizeof(*p) + len);
    int64_t dropped = 0;

    p->len = (uint32_t)len;
    memcpy(p->frame, head.ptr, head.len);
    if (body.len > 0)
        memcpy(p->frame + head.len, body.ptr, body.len);
    while (r->n == r->cap || (r->n > 0 && r->bytes + len > r->max_bytes)) {
        mem_free(ring_pop(r));
        dropped++;
    }
    r->at[(r->first + r->n) % r->cap] = p;
    r->n++;
    r->bytes += len;
    return dropped;
}

/* A link carries what many clients send, so more of it may wait. */
static struct queue *queue_new(const struct session *c)
{
    size_t cap = c->is_mesh ? DERP_QUEUE_MESH : DERP_QUEUE;
    size_t bytes = c->is_mesh ? MESH_QUEUE_BYTES_MAX : QUEUE_BYTES_MAX;
    struct queue *q = mem_alloc(sizeof(*q) + 2 * cap * sizeof(q->places[0]));

    for (size_t i = 0; i < ARRAY_LEN(q->rings); i++)
        q->rings[i] = (struct ring){.at = q->places + i * cap, .cap = cap, .max_bytes = bytes};
    return q;
}

/* The two rings by turns. */
static struct packet *queue_pop(struct queue *q)
{
    q->turn = 1 - q->turn;
    for (size_t i = 0; i < ARRAY_LEN(q->rings); i++) {
        struct ring *r = &q->rings[(q->turn + i) % ARRAY_LEN(q->rings)];

        if (r->n > 0)
            return ring_pop(r);
    }
    return NULL;
}

static void queue_free(struct queue *q)
{
    if (!q)
        return;
    for (struct packet *p = queue_pop(q); p; p = queue_pop(q))
        mem_free(p);
    mem_free(q);
}

/* ---- Writing ---- */

static size_t backlog(struct session *c)
{
    struct outbox *o = &c->outbox;

    /* `in_stream` only grows between two on_writable; asking costs a walk through the layers. */
    if (o->in_stream + o->out.len >= BACKLOG_MAX)
        o->in_stream = stream_pending(c->stream);
    return o->in_stream + o->out.len;
}

struct buf *outbox_begin(struct session *c)
{
    struct outbox *o = &c->outbox;

    if (o->out.len == 0) {
        loop_buf_take(c->home->loop, &o->out);
        IGNORE(buf_reserve(&o->out, OUT_FIRST));
    }
    if (!list_node_is_linked(&o->dirty_link))
        list_push_back(&c->home->dirty_sessions, &o->dirty_link);
    return &o->out;
}

static void put(struct session *c, struct str head, struct str body)
{
    struct buf *out = outbox_begin(c);

    buf_put(out, head);
    buf_put(out, body);
}

static void count_out(struct session *c, size_t frame_len)
{
    tally_add(c->home, TALLY_PACKETS_OUT, 1);
    tally_add(c->home, TALLY_BYTES_OUT, (int64_t)(frame_len - DERP_FRAME_HEADER - KEY_BYTES));
}

/* Many clients' packets wait for another relay: it is given more time. */
static int64_t stall_ms(const struct session *c)
{
    return c->is_mesh ? MESH_STALL_MS : c->home->server->stall_ms;
}

void outbox_flush(struct session *c)
{
    struct outbox *o = &c->outbox;

    list_remove(&o->dirty_link);
    if (o->out.len == 0)
        return;
    o->in_stream += o->out.len;
    stream_write(c->stream, buf_str(&o->out));
    loop_buf_give(c->home->loop, &o->out);
    if (timer_is_started(&o->stall) || stall_ms(c) < 0)
        return;
    o->has_drained = false;
    timer_start(&o->stall, stall_ms(c));
}

void outbox_push(struct session *c, enum piece piece, struct str head, struct str body)
{
    struct outbox *o = &c->outbox;

    if (piece == PIECE_CONTROL) {
        if (backlog(c) < CONTROL_BACKLOG_MAX)
            put(c, head, body);
        return;
    }
    if (!o->queue && backlog(c) < BACKLOG_MAX) {
        put(c, head, body);
        count_out(c, head.len + body.len);
        return;
    }
    if (!o->queue)
        o->queue = queue_new(c);
    int64_t dropped = ring_push(&o->queue->rings[piece == PIECE_DISCO], head, body);

    if (dropped > 0)
        tally_add(c->home, TALLY_DROPPED_QUEUE, dropped);
}

void outbox_pong(struct session *c, struct str data)
{
    struct outbox *o = &c->outbox;

    if (backlog(c) < BACKLOG_MAX) {
        derp_put_frame(outbox_begin(c), DERP_PONG, data);
        return;
    }
    /* One may wait; who pings faster than it reads gets fewer answers. */
    if (o->has_pong)
        return;
    memcpy(o->pong, data.ptr, sizeof(o->pong));
    o->has_pong = true;
}

static void refill(struct session *c)
{
    struct outbox *o = &c->outbox;

    if (o->has_pong) {
        o->has_pong = false;
        derp_put_frame(outbox_begin(c), DERP_PONG, str_bytes(o->pong, sizeof(o->pong)));
    }
    while (o->queue && backlog(c) < BACKLOG_MAX) {
        struct packet *p = queue_pop(o->queue);

        if (!p) {
            queue_free(TAKE(o->queue));
            break;
        }
        put(c, str_bytes(p->frame, p->len), STR_NONE);
        count_out(c, p->len);
        mem_free(p);
    }
}

void outbox_on_writable(struct session *c)
{
    c->outbox.in_stream = 0;
    c->outbox.has_drained = true;
    refill(c);
}

bool outbox_has_room(struct session *c)
{
    return backlog(c) < BACKLOG_MAX;
}

bool outbox_is_idle(const struct session *c)
{
    return c->outbox.out.len == 0 && !c->outbox.queue && stream_pending(c->stream) == 0;
}

static void on_stall(void *user)
{
    struct session *c = user;
    struct outbox *o = &c->outbox;

    if (outbox_is_idle(c))
        return;
    if (!o->has_drained) {
        tally_add(c->home, TALLY_STALLED, 1);
        session_close(c, "a relay client takes nothing");
        relay_flush(c->home);
        return;
    }
    o->has_drained = false;
    timer_start(&o->stall, stall_ms(c));
}

/* ---- Life ---- */

void outbox_init(struct session *c)
{
    struct outbox *o = &c->outbox;

    o->out = BUF(2 * CONTROL_BACKLOG_MAX + DERP_FRAME_MAX);
    list_node_init(&o->dirty_link);
    timer_init(&o->stall, c->home->loop, on_stall, c);
    stream_set_write_limit(c->stream, SESSION_WRITE_LIMIT);
}

void outbox_fini(struct session *c)
{
    struct outbox *o = &c->outbox;

    list_remove(&o->dirty_link);
    timer_stop(&o->stall);
    queue_free(TAKE(o->queue));
    buf_fini(&o->out);
}
