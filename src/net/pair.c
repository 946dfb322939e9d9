/*
 * Two streams back to back: what one writes is delivered to the other in the next round.
 */

#include "net/net_internal.h"

struct half {
    struct stream stream;
    struct half *other; /* NULL: gone */
    struct buf out;     /* not yet taken by the other */
    struct deferred move;
    struct deferred end;
    bool closing;
};

static size_t half_pending(const struct stream *s)
{
    return CONTAINER_OF_CONST(s, struct half, stream)->out.len;
}

static void half_write(struct stream *s, struct str data)
{
    struct half *h = CONTAINER_OF(s, struct half, stream);

    if (!h->other)
        return;
    buf_put(&h->out, data);
    loop_defer(s->loop, &h->move);
}

static void on_move(struct deferred *d)
{
    struct half *h = CONTAINER_OF(d, struct half, move);
    struct half *to = h->other;
    struct buf data = h->out;

    if (!to || (to->stream.read_stopped && !h->closing))
        return;
    h->out = BUF((size_t)1 << 40);
    stream_deliver(&to->stream, buf_str(&data));
    buf_fini(&data);
    if (h->closing)
        loop_defer(h->stream.loop, &h->end);
    else
        stream_drained(&h->stream);
}

static void half_update_reading(struct stream *s)
{
    struct half *h = CONTAINER_OF(s, struct half, stream);

    if (!s->read_stopped && h->other && h->other->out.len > 0)
        loop_defer(s->loop, &h->other->move);
}

static void half_abort(struct stream *s)
{
    struct half *h = CONTAINER_OF(s, struct half, stream);

    loop_undefer(&h->move);
    loop_defer(s->loop, &h->end);
}

static void half_close(struct stream *s)
{
    struct half *h = CONTAINER_OF(s, struct half, stream);

    h->closing = true;
    loop_defer(s->loop, h->out.len > 0 ? &h->move : &h->end);
}

static void on_end(struct deferred *d)
{
    struct half *h = CONTAINER_OF(d, struct half, end);

    if (h->other) {
        h->other->other = NULL;
        buf_clear(&h->other->out); /* nobody is left to take it */
        stream_fail(&h->other->stream, NULL);
        h->other = NULL;
    }
    stream_gone(&h->stream);
}

static void half_free(struct stream *s)
{
    struct half *h = CONTAINER_OF(s, struct half, stream);

    loop_undefer(&h->move);
    loop_undefer(&h->end);
    buf_fini(&h->out);
    mem_free(h);
}

static const struct stream_ops half_ops = {.write = half_write,
                                           .pending = half_pending,
                                           .update_reading = half_update_reading,
                                           .close = half_close,
                                           .abort = half_abort,
                                           .free = half_free};

void stream_pair(struct loop *loop, struct stream *out[2])
{
    struct half *h[2] = {NEW(struct half), NEW(struct half)};

    for (int i = 0; i < 2; i++) {
        stream_init(&h[i]->stream, loop, &half_ops);
        h[i]->other = h[1 - i];
        h[i]->out = BUF((size_t)1 << 40);
        h[i]->move.run = on_move;
        h[i]->end.run = on_end;
        out[i] = &h[i]->stream;
    }
}
