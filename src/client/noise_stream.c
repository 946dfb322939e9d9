/* See noise_stream.h. */

#include "client/noise_stream.h"

#include "core/mem.h"

struct finishing {
    struct stream *raw;
    struct noise_client handshake;
    struct buf in;
    void (*on_done)(void *user, struct stream *s, const struct err *err);
    void *user;
    struct err err;
    bool has_err;
};

struct codec {
    struct noise_session session;
    struct buf first; /* plain text until it is known whether it begins with an early payload */
    bool early_done;
};

/* ---- The filter ---- */

static int skip_early(struct codec *c, struct buf *plain, struct err *err)
{
    struct str json;
    size_t used = 0;

    switch (noise_early_payload_decode(buf_str(&c->first), &json, &used)) {
    case NOISE_EARLY_MORE:
        return 0;
    case NOISE_EARLY_TOO_LONG:
        return err_set(err, ERR_INVALID, "early payload: too long");
    case NOISE_EARLY_OK:
        buf_drop(&c->first, used);
        break;
    case NOISE_EARLY_NONE:
        break;
    }
    c->early_done = true;
    buf_put(plain, buf_str(&c->first));
    buf_fini(&c->first);
    return 0;
}

static int decode(void *codec, struct buf *in, struct buf *plain, struct err *err)
{
    struct codec *c = codec;

    if (c->early_done)
        return noise_open(&c->session, in, plain, err);
    int status = noise_open(&c->session, in, &c->first, err);

    return status < 0 ? status : skip_early(c, plain, err);
}

static int encode(void *codec, struct str plain, struct buf *out, struct err *err)
{
    struct codec *c = codec;

    return noise_seal(&c->session, plain, out, err);
}

static void codec_free(void *codec)
{
    struct codec *c = codec;

    noise_session_fini(&c->session);
    buf_fini(&c->first);
    mem_free(c);
}

static const struct stream_filter_ops filter_ops = {
    .decode = decode, .encode = encode, .free = codec_free, .in_limit = 64 << 10};

/* ---- The end of the handshake ---- */

static void finishing_free(struct finishing *f)
{
    noise_client_fini(&f->handshake);
    buf_fini(&f->in);
    mem_free(f);
}

static void on_close(void *user, const struct err *why)
{
    struct finishing *f = user;

    if (!f->has_err && why)
        f->err = *why;
    else if (!f->has_err)
        IGNORE(err_set(&f->err, ERR_IO, "the server closed during the handshake"));
    f->on_done(f->user, NULL, &f->err);
    finishing_free(f);
}

static void on_data(void *user, struct str data)
{
    struct finishing *f = user;
    struct codec *c = NEW(struct codec);
    size_t used = 0;

    buf_put(&f->in, data);
    switch (noise_client_finish(&f->handshake, buf_str(&f->in), &used, &c->session, &f->err)) {
    case NOISE_FINISH_MORE:
        mem_free(c);
        return;
    case NOISE_FINISH_REFUSED:
    case NOISE_FINISH_BROKEN:
        mem_free(c);
        f->has_err = true;
        stream_abort(f->raw);
        return;
    case NOISE_FINISH_OK:
        break;
    }
    buf_drop(&f->in, used);
    struct stream *raw = f->raw;
    struct stream *s = stream_filter(raw, &filter_ops, c);

    stream_unread(raw, buf_str(&f->in));
    f->on_done(f->user, s, NULL);
    finishing_free(f);
}

static const struct stream_events events = {.on_data = on_data, .on_close = on_close};

void noise_stream_finish(struct stream *raw, struct noise_client *handshake,
                         void (*on_done)(void *user, struct stream *s, const struct err *err),
                         void *user)
{
    struct finishing *f = NEW(struct finishing);

    f->raw = raw;
    f->handshake = *handshake;
    mem_wipe(handshake, sizeof(*handshake));
    f->in = BUF((size_t)1 << 20);
    f->on_done = on_done;
    f->user = user;
    stream_set_events(raw, &events, f);
}
