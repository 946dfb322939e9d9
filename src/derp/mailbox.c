/*
 * Packets from one loop to another: one buffer per burst, and no lock.
 *
 *   sender:    pieces --> filling --exchange--> full --post, unless posted--> receiver's loop
 *   receiver:  full --exchange--> each piece to its session --> spare --> sender
 *
 * A batch that the receiver has not fetched yet is taken back and filled further, so under load
 * batches grow and wake-ups become rare by themselves.
 *
 * Invariants
 *   1. A batch is in one hand: the sender's (`filling`), the receiver's, or in one of the two
 *      exchanged places. So its contents need no synchronisation.
 *   2. `posted` is set while a message is on its way whose exchange is still to come: the receiver
 *      clears it before it fetches, the sender sets it after it has put. So nothing is left lying.
 *   3. Bytes under way are bounded: MAILBOX_MAX for a pair of loops, NEWS_ROOM of it for news of
 * peers, and TRANSIT_MAX of packets for one session. What comes above is dropped: the receiver is
 * busy, and nothing that is old can be reached from here.
 */

#include <string.h>

#include "derp/server_internal.h"

#define BATCH_KEEP ((size_t)256 << 10) /* larger buffers are not kept as spare */

#define NEWS_ROOM ((size_t)256 << 10)

struct batch {
    struct buf bytes; /* header and frame, header and frame, … */
};

struct piece_header {
    session_id to;
    uint32_t len;
    uint32_t piece; /* enum piece */
};

static void batch_free(struct batch *b)
{
    if (!b)
        return;
    buf_fini(&b->bytes);
    mem_free(b);
}

/* ---- Receiving ---- */

static void deliver(struct relay_loop *l, struct str bytes)
{
    while (bytes.len > 0) {
        struct piece_header h;

        memcpy(&h, bytes.ptr, sizeof(h));
        struct str frame = str_sub(bytes, sizeof(h), h.len);
        struct session *c = relay_find(l, h.to);

        bytes = str_from_index(bytes, sizeof(h) + h.len);
        atomic_fetch_sub(&l->transit[id_slot(h.to) % TRANSIT_BUCKETS], h.len);
        if (c && c->state == SESSION_READY)
            outbox_push(c, (enum piece)h.piece, frame, STR_NONE);
        else
            tally_add(l, TALLY_DROPPED_GONE, h.piece != PIECE_CONTROL);
    }
}

static void on_message(struct loop_message *msg)
{
    struct mailbox *m = CONTAINER_OF(msg, struct mailbox, message);
    struct relay_loop *l = &m->server->loops[m->to];

    atomic_store(&m->posted, false);
    struct batch *b = atomic_exchange(&m->full, NULL);

    /* When the loop is being freed the sender's may be gone already. */
    if (!msg->cancelled && atomic_exchange(&m->sender_waits, false))
        loop_post(m->server->loops[m->from].loop, &m->room);
    if (!b)
        return;
    deliver(l, buf_str(&b->bytes));
    relay_flush(l);
    buf_clear(&b->bytes);
    if (b->bytes.cap > BATCH_KEEP)
        batch_free(b);
    else
        batch_free(atomic_exchange(&m->spare, b));
}

/* ---- Sending ---- */

static void on_room(struct loop_message *msg)
{
    struct mailbox *m = CONTAINER_OF(msg, struct mailbox, room);

    m->room_is_due = false;
    session_end_waiting(&m->server->loops[m->from]);
}

static void open_batch(struct mailbox *m)
{
    m->filling = atomic_exchange(&m->full, NULL);
    if (!m->filling)
        m->filling = atomic_exchange(&m->spare, NULL);
    if (m->filling)
        return;
    m->filling = NEW(struct batch);
    m->filling->bytes = BUF(MAILBOX_MAX);
}

void mailbox_put(struct relay_loop *l, session_id to, enum piece piece, struct str head,
                 struct str body)
{
    struct mailbox *m = &l->mailboxes[id_loop(to)];
    struct relay_loop *receiver = &l->server->loops[id_loop(to)];
    _Atomic(uint32_t) *transit = &receiver->transit[id_slot(to) % TRANSIT_BUCKETS];
    const struct piece_header h = {to, (uint32_t)(head.len + body.len), (uint32_t)piece};

    if (!m->filling) {
        open_batch(m);
        list_push_back(&l->dirty_mailboxes, &m->dirty_link);
    }
    struct buf *bytes = &m->filling->bytes;
    /* News of peers come once, so there is room kept for them. */
    bool is_news = piece == PIECE_CONTROL;
    size_t room = is_news ? MAILBOX_MAX : MAILBOX_MAX - NEWS_ROOM;
    bool fits = bytes->len + sizeof(h) + h.len <= room;
    uint32_t under_way = fits ? atomic_fetch_add(transit, h.len) + h.len : 0;

    if (!fits || (under_way > TRANSIT_MAX && !is_news)) {
        if (fits)
            atomic_fetch_sub(transit, h.len);
        l->is_crowded = m->is_crowded = true;
        tally_add(l, TALLY_DROPPED_MAILBOX, 1);
        return;
    }
    if (under_way > TRANSIT_CROWDED || bytes->len > MAILBOX_CROWDED)
        l->is_crowded = m->is_crowded = true;
    buf_put(bytes, str_bytes(&h, sizeof(h)));
    buf_put(bytes, head);
    buf_put(bytes, body);
}

void mailbox_send(struct mailbox *m)
{
    struct relay_loop *receiver = &m->server->loops[m->to];
    struct batch *b = TAKE(m->filling);

    if (b->bytes.len == 0) {
        batch_free(atomic_exchange(&m->spare, b));
        return;
    }
    /* Before the batch is there to be fetched; and only when the last such message has come. */
    if (m->is_crowded && !m->room_is_due) {
        m->room_is_due = true;
        atomic_store(&m->sender_waits, true);
    }
    m->is_crowded = false;
    batch_free(atomic_exchange(&m->full, b)); /* always NULL: only the sender puts there */
    if (!atomic_exchange(&m->posted, true))
        loop_post(receiver->loop, &m->message);
}

/* ---- Life ---- */

void mailbox_init(struct mailbox *m, struct derp_server *server, size_t from, size_t to)
{
    m->server = server;
    m->from = from;
    m->room.run = on_room;
    m->to = to;
    m->message.run = on_message;
    list_node_init(&m->dirty_link);
}

void mailbox_fini(struct mailbox *m)
{
    batch_free(m->filling);
    batch_free(m->full);
    batch_free(m->spare);
}
