/* Filters: a codec between a stream and its consumer. */

#include "net/layer_internal.h"

struct filter {
    struct layer layer;
    const struct stream_filter_ops *ops;
    void *codec;
    struct buf in; /* undecoded */
};

static void decode(struct filter *f, struct str data)
{
    struct layer *l = &f->layer;
    struct buf plain = BUF((size_t)1 << 40);
    struct err err = {0};

    buf_put(&f->in, data);
    int status = f->ops->decode(f->codec, &f->in, &plain, &err);

    if (status == 0 && f->in.len > f->ops->in_limit)
        status = err_set(&err, ERR_LIMIT, "the peer sent a unit that is too large");

    if (f->in.len == 0) {
        size_t limit = f->in.limit;

        buf_fini(&f->in);
        f->in = BUF(limit);
    }
    /* What was whole before the broken part is still the consumer's. */
    stream_deliver(&l->stream, buf_str(&plain));
    buf_fini(&plain);
    if (status < 0)
        stream_fail(&l->stream, &err);
}

/* What comes may be any length; what is kept undecoded may not. */
static void on_data(struct layer *l, struct str data)
{
    while (data.len > 0 && l->stream.state == STREAM_OPEN) {
        struct str piece = str_sub(data, 0, READ_BUFFER);

        data = str_from_index(data, piece.len);
        decode(CONTAINER_OF(l, struct filter, layer), piece);
    }
}

static bool is_cut(const struct layer *l)
{
    return CONTAINER_OF_CONST(l, struct filter, layer)->in.len > 0;
}

/* Into what the stream below has queued, if it lets us; a copy is saved. */
static void filter_write(struct stream *s, struct str data)
{
    struct filter *f = CONTAINER_OF(s, struct filter, layer.stream);
    struct buf own = BUF((size_t)1 << 40);
    struct err err = {0};

    if (!f->layer.below)
        return;
    struct buf *below = stream_write_begin(f->layer.below), *out = below ? below : &own;
    size_t before = out->len;

    if (f->ops->encode(f->codec, data, out, &err) < 0) {
        buf_cut(out, before);
        stream_fail(s, &err);
    } else if (below) {
        stream_write_end(f->layer.below);
    } else {
        stream_write(f->layer.below, buf_str(&own));
    }
    buf_fini(&own);
}

static void filter_free(struct stream *s)
{
    struct filter *f = CONTAINER_OF(s, struct filter, layer.stream);

    layer_fini(&f->layer);
    f->ops->free(f->codec);
    buf_fini(&f->in);
    mem_free(f);
}

static const struct stream_ops filter_ops = {.write = filter_write,
                                             .pending = layer_pending,
                                             .flush = layer_flush,
                                             .update_reading = layer_update_reading,
                                             .close = layer_close,
                                             .abort = layer_abort,
                                             .free = filter_free};

struct stream *stream_filter(struct stream *below, const struct stream_filter_ops *ops, void *codec)
{
    struct filter *f = NEW(struct filter);

    f->ops = ops;
    f->codec = codec;
    /* A piece may come on top of the unit that is not whole yet. */
    f->in = BUF(ops->in_limit + READ_BUFFER);
    layer_init(&f->layer, below, &filter_ops, on_data);
    f->layer.is_cut = is_cut;
    return &f->layer.stream;
}
