#pragma once

/*
 * An HTTP/2 client for tests that want to see fields and trailers, and to send a body piece by
 * piece: each piece goes out in DATA frames of its own.
 */

#include <nghttp2/nghttp2.h>

#include "core/buf.h"
#include "core/mem.h"
#include "net/loop.h"
#include "net/stream.h"

#define H2_PEER_STREAMS 64

struct h2_reply {
    int32_t id;
    struct buf headers; /* "name: value\n" */
    struct buf body;
    struct buf trailers;
    bool has_headers;
    bool ended;
    uint32_t error; /* of the stream's end */
    /* To send. */
    struct buf out;
    size_t out_at;
    bool out_ends;
};

struct h2_peer {
    struct stream *stream; /* NULL once closed */
    nghttp2_session *session;
    struct h2_reply replies[H2_PEER_STREAMS];
    size_t n;
    bool in_session;
};

static inline void h2_peer_pump(struct h2_peer *p)
{
    if (p->stream && !p->in_session)
        (void)nghttp2_session_send(p->session);
}

static inline ssize_t h2_peer_on_send(nghttp2_session *session, const uint8_t *data, size_t len,
                                      int flags, void *user)
{
    struct h2_peer *p = user;

    (void)session;
    (void)flags;
    stream_write(p->stream, str_bytes(data, len));
    return (ssize_t)len;
}

static inline struct h2_reply *h2_peer_reply(struct h2_peer *p, int32_t id)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->replies[i].id == id)
            return &p->replies[i];
    return NULL;
}

static inline int h2_peer_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                                    const uint8_t *name, size_t name_len, const uint8_t *value,
                                    size_t value_len, uint8_t flags, void *user)
{
    struct h2_reply *r = h2_peer_reply(user, frame->hd.stream_id);

    (void)session;
    (void)flags;
    if (r)
        buf_printf(r->has_headers ? &r->trailers : &r->headers, "%.*s: %.*s\n",
                   STR_ARG(str_bytes(name, name_len)), STR_ARG(str_bytes(value, value_len)));
    return 0;
}

static inline int h2_peer_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_reply *r = h2_peer_reply(user, frame->hd.stream_id);

    (void)session;
    if (r && frame->hd.type == NGHTTP2_HEADERS)
        r->has_headers = true;
    return 0;
}

static inline int h2_peer_on_data(nghttp2_session *session, uint8_t flags, int32_t id,
                                  const uint8_t *data, size_t len, void *user)
{
    struct h2_reply *r = h2_peer_reply(user, id);

    (void)session;
    (void)flags;
    if (r)
        buf_put(&r->body, str_bytes(data, len));
    return 0;
}

static inline int h2_peer_on_end(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct h2_reply *r = h2_peer_reply(user, id);

    (void)session;
    if (r) {
        r->ended = true;
        r->error = error;
    }
    return 0;
}

static inline ssize_t h2_peer_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
                                   uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_reply *r = h2_peer_reply(user, id);

    (void)session;
    (void)source;
    if (!r)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    struct str part = str_sub(buf_str(&r->out), r->out_at, len);

    if (part.len > 0)
        memcpy(buf, part.ptr, part.len);
    r->out_at += part.len;
    if (r->out_at == r->out.len && r->out_ends)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (part.len == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)part.len;
}

static inline void h2_peer_feed(void *user, struct str data)
{
    struct h2_peer *p = user;

    p->in_session = true;
    (void)nghttp2_session_mem_recv(p->session, (const uint8_t *)data.ptr, data.len);
    p->in_session = false;
    h2_peer_pump(p);
}

static inline void h2_peer_closed(void *user, const struct err *why)
{
    struct h2_peer *p = user;

    (void)why;
    p->stream = NULL;
}

static inline struct h2_peer *h2_peer_new(struct stream *stream)
{
    static const struct stream_events events = {.on_data = h2_peer_feed,
                                                .on_close = h2_peer_closed};
    struct h2_peer *p = NEW(struct h2_peer);
    nghttp2_session_callbacks *callbacks = NULL;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        abort();
    nghttp2_session_callbacks_set_send_callback(callbacks, h2_peer_on_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_peer_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, h2_peer_on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_peer_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, h2_peer_on_end);
    if (nghttp2_session_client_new(&p->session, callbacks, p) != 0)
        abort();
    nghttp2_session_callbacks_del(callbacks);
    p->stream = stream;
    stream_set_events(stream, &events, p);
    (void)nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, NULL, 0);
    h2_peer_pump(p);
    return p;
}

/* Closes the connection; when its loop has run, p->stream is NULL. */
static inline void h2_peer_close(struct h2_peer *p)
{
    if (p->stream)
        stream_close(p->stream);
}

static inline void h2_peer_free(struct h2_peer *p)
{
    for (size_t i = 0; i < p->n; i++) {
        buf_fini(&p->replies[i].headers);
        buf_fini(&p->replies[i].body);
        buf_fini(&p->replies[i].trailers);
        buf_fini(&p->replies[i].out);
    }
    nghttp2_session_del(p->session);
    mem_free(p);
}

static inline nghttp2_nv h2_peer_nv(struct str name, struct str value)
{
    union {
        const char *in;
        uint8_t *out;
    } n = {.in = name.ptr}, v = {.in = value.ptr};

    return (nghttp2_nv){n.out, v.out, name.len, value.len, NGHTTP2_NV_FLAG_NONE};
}

struct h2_field {
    struct str name, value;
};

/* A request whose body is sent by h2_peer_send. */
static inline struct h2_reply *h2_peer_open(struct h2_peer *p, const char *method, struct str path,
                                            const struct h2_field *fields, size_t n)
{
    const nghttp2_data_provider provider = {.read_callback = h2_peer_read};
    nghttp2_nv nv[32] = {
        h2_peer_nv(STR(":method"), str_from(method)),
        h2_peer_nv(STR(":scheme"), STR("http")),
        h2_peer_nv(STR(":authority"), STR("test")),
        h2_peer_nv(STR(":path"), path),
    };
    size_t n_nv = 4;

    for (size_t i = 0; i < n; i++)
        nv[n_nv++] = h2_peer_nv(fields[i].name, fields[i].value);
    if (p->n == H2_PEER_STREAMS)
        abort();
    struct h2_reply *r = &p->replies[p->n++];

    r->headers = r->trailers = BUF(BUF_LIMIT_DEFAULT);
    r->body = r->out = BUF((size_t)64 << 20);
    r->id = nghttp2_submit_request(p->session, NULL, nv, n_nv, &provider, NULL);
    h2_peer_pump(p);
    return r;
}

static inline void h2_peer_send(struct h2_peer *p, struct h2_reply *r, struct str data, bool ends)
{
    buf_put(&r->out, data);
    r->out_ends = ends;
    (void)nghttp2_session_resume_data(p->session, r->id);
    h2_peer_pump(p);
}
