/* What all streams have in common; see stream.h for the rules and net_internal.h for the two
 * halves. */

#include "net/net_internal.h"

static void on_deliver_unread(struct deferred *d);

void stream_init(struct stream *s, struct loop *loop, const struct stream_ops *ops)
{
    s->loop = loop;
    s->ops = ops;
    s->write_limit = WRITE_LIMIT_DEFAULT;
    s->deliver_unread.run = on_deliver_unread;
    list_push_back(&loop->streams, &s->loop_link);
}

void stream_set_events(struct stream *s, const struct stream_events *events, void *user)
{
    s->events = events;
    s->user = user;
    if (events && s->unread.len > 0)
        loop_defer(s->loop, &s->deliver_unread);
}

static void ignore_data(void *user, struct str data)
{
    (void)user;
    (void)data;
}

static void ignore_end(void *user, const struct err *why)
{
    (void)user;
    (void)why;
}

void stream_ignore(struct stream *s)
{
    static const struct stream_events nothing = {.on_data = ignore_data, .on_close = ignore_end};

    stream_set_events(s, &nothing, NULL);
}

/* ---- Data in ---- */

static void on_deliver_unread(struct deferred *d)
{
    struct stream *s = CONTAINER_OF(d, struct stream, deliver_unread);
    struct buf data = s->unread;

    if (s->state != STREAM_OPEN || s->read_stopped || !s->events)
        return;
    if (data.len > 0) {
        s->unread = (struct buf){0};
        s->events->on_data(s->user, buf_str(&data));
        buf_fini(&data);
    }
    if (s->peer_ended)
        stream_fail(s, NULL);
}

void stream_deliver(struct stream *s, struct str data)
{
    if (s->state != STREAM_OPEN || data.len == 0)
        return;
    if (s->unread.len > 0 || s->read_stopped || !s->events) {
        buf_put(&s->unread, data);
        if (!s->read_stopped)
            loop_defer(s->loop, &s->deliver_unread);
        return;
    }
    s->events->on_data(s->user, data);
}

void stream_unread(struct stream *s, struct str data)
{
    struct buf joined = {0};

    if (s->state != STREAM_OPEN || data.len == 0)
        return;
    buf_put(&joined, data);
    buf_put(&joined, buf_str(&s->unread));
    buf_fini(&s->unread);
    s->unread = joined;
    if (!s->read_stopped)
        loop_defer(s->loop, &s->deliver_unread);
}

void stream_read_stop(struct stream *s)
{
    if (s->state != STREAM_OPEN || s->read_stopped)
        return;
    s->read_stopped = true;
    s->ops->update_reading(s);
}

void stream_read_start(struct stream *s)
{
    if (s->state != STREAM_OPEN || !s->read_stopped)
        return;
    s->read_stopped = false;
    if (s->unread.len > 0 || s->peer_ended)
        loop_defer(s->loop, &s->deliver_unread);
    s->ops->update_reading(s);
}

/* ---- Data out ---- */

void stream_write(struct stream *s, struct str data)
{
    struct err err = {0};

    if (s->state != STREAM_OPEN || data.len == 0)
        return;
    if (s->ops->pending(s) > s->write_limit) {
        IGNORE(err_set(&err, ERR_LIMIT, "the peer does not read what it is sent"));
        stream_fail(s, &err);
        return;
    }
    s->wants_writable = true;
    s->ops->write(s, data);
}

struct buf *stream_write_begin(struct stream *s)
{
    if (s->state != STREAM_OPEN || !s->ops->write_begin)
        return NULL;
    s->wants_writable = true;
    return s->ops->write_begin(s);
}

void stream_write_end(struct stream *s)
{
    s->ops->write_end(s);
}

void stream_drained(struct stream *s)
{
    if (s->state != STREAM_OPEN || !s->wants_writable || s->ops->pending(s) > 0)
        return;
    s->wants_writable = false;
    if (s->events && s->events->on_writable)
        s->events->on_writable(s->user);
}

size_t stream_pending(const struct stream *s)
{
    return s->state == STREAM_GONE ? 0 : s->ops->pending(s);
}

bool stream_flush(struct stream *s)
{
    if (s->state != STREAM_OPEN || !s->ops->flush)
        return false;
    s->ops->flush(s);
    if (s->state != STREAM_OPEN || s->ops->pending(s) > 0)
        return false;
    s->wants_writable = false;
    return true;
}

void stream_set_write_limit(struct stream *s, size_t bytes)
{
    s->write_limit = bytes;
}

/* ---- The end ---- */

void stream_close(struct stream *s)
{
    if (s->state != STREAM_OPEN)
        return;
    s->state = STREAM_CLOSING;
    s->ops->close(s);
}

void stream_abort(struct stream *s)
{
    if (s->state == STREAM_GONE)
        return;
    s->state = STREAM_CLOSING;
    s->ops->abort(s);
}

void stream_fail(struct stream *s, const struct err *err)
{
    if (s->state != STREAM_OPEN) {
        if (s->state == STREAM_CLOSING)
            s->ops->abort(s);
        return;
    }
    if (!err && (s->unread.len > 0 || s->read_stopped)) {
        s->peer_ended = true;
        if (!s->read_stopped)
            loop_defer(s->loop, &s->deliver_unread);
        return;
    }
    if (!err && s->ops->pending(s) > 0) {
        /* The peer has said all it had to say; it may still listen. */
        stream_close(s);
        return;
    }
    if (err) {
        s->why = *err;
        s->has_why = true;
    }
    stream_abort(s);
}

void stream_gone(struct stream *s)
{
    if (s->state == STREAM_GONE)
        return;
    s->state = STREAM_GONE;
    list_remove(&s->loop_link);
    loop_undefer(&s->deliver_unread);
    if (s->events)
        s->events->on_close(s->user, s->has_why ? &s->why : NULL);
    buf_fini(&s->unread);
    s->ops->free(s);
}

/* Also those that are closing: they may wait long for a peer. Aborting frees nothing yet. */
void loop_close_all(struct loop *loop)
{
    LIST_FOR_EACH(s, &loop->streams, struct stream, loop_link)
        stream_abort(s);
}

/* ---- Facts ---- */

struct loop *stream_loop(const struct stream *s)
{
    return s->loop;
}

struct ip_addrport stream_peer(const struct stream *s)
{
    return s->peer;
}

void stream_set_peer(struct stream *s, struct ip_addrport peer)
{
    s->peer = peer;
}

struct ip_addrport stream_local(const struct stream *s)
{
    return s->local;
}

bool stream_is_tls(const struct stream *s)
{
    return s->is_tls;
}

bool stream_is_unix(const struct stream *s)
{
    return s->is_unix;
}
