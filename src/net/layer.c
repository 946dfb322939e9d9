/*
 * What filters and TLS share: a stream over a stream.
 *
 *   consumer <--> layer <--> below
 *
 * The layer owns the stream below; its end is the layer's end. `below` is NULL once it has
 * gone.
 */

#include "net/layer_internal.h"

static void on_below_data(void *user, struct str data)
{
    struct layer *l = user;

    l->on_below_data(l, data);
}

static void on_below_writable(void *user)
{
    struct layer *l = user;

    stream_drained(&l->stream);
}

static void on_below_close(void *user, const struct err *why)
{
    struct layer *l = user;
    struct err err = {0};

    l->below = NULL;
    if (!why && l->stream.state == STREAM_OPEN) {
        if (l->is_cut && l->is_cut(l)) {
            IGNORE(err_set(&err, ERR_IO, "the peer closed in the middle of a message"));
            stream_fail(&l->stream, &err);
            return;
        }
        stream_fail(&l->stream, NULL); /* what it has put back comes first */
        return;
    }
    if (why && !l->stream.has_why) {
        l->stream.why = *why;
        l->stream.has_why = true;
    }
    stream_gone(&l->stream);
}

static const struct stream_events below_events = {
    .on_data = on_below_data, .on_writable = on_below_writable, .on_close = on_below_close};

size_t layer_pending(const struct stream *s)
{
    const struct layer *l = CONTAINER_OF_CONST(s, struct layer, stream);

    return l->below ? stream_pending(l->below) : 0;
}

void layer_flush(struct stream *s)
{
    struct layer *l = CONTAINER_OF(s, struct layer, stream);

    if (l->below)
        (void)stream_flush(l->below);
}

void layer_update_reading(struct stream *s)
{
    struct layer *l = CONTAINER_OF(s, struct layer, stream);

    if (!l->below)
        return;
    if (s->read_stopped)
        stream_read_stop(l->below);
    else
        stream_read_start(l->below);
}

void layer_close(struct stream *s)
{
    struct layer *l = CONTAINER_OF(s, struct layer, stream);

    if (l->below)
        stream_close(l->below);
    else
        loop_defer(s->loop, &l->end);
}

void layer_abort(struct stream *s)
{
    struct layer *l = CONTAINER_OF(s, struct layer, stream);

    if (l->below)
        stream_abort(l->below);
    else
        loop_defer(s->loop, &l->end);
}

void layer_fini(struct layer *l)
{
    loop_undefer(&l->end);
}

/* Nothing below is left to end it. */
static void on_end(struct deferred *d)
{
    stream_gone(&CONTAINER_OF(d, struct layer, end)->stream);
}

void layer_init(struct layer *l, struct stream *below, const struct stream_ops *ops,
                void (*on_data)(struct layer *l, struct str data))
{
    stream_init(&l->stream, below->loop, ops);
    l->below = below;
    l->on_below_data = on_data;
    l->end.run = on_end;
    l->stream.peer = below->peer;
    l->stream.local = below->local;
    l->stream.is_unix = below->is_unix;
    l->stream.is_tls = below->is_tls;
    /* The layer's own limit decides; what it adds must not trip the one below. */
    stream_set_write_limit(below, (size_t)1 << 40);
    stream_set_events(below, &below_events, l);
}
