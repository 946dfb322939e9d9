/*
 * See sibling.h. A link is one way, so there are two streams:
 *
 *   who comes:  'W' --> I watch you: the holder serves, the comer opens a link
 *               'S' --> serve you:   the comer serves, the holder opens a link
 */

#include "derp/sibling.h"

#include <stdatomic.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "crypto/hash.h"
#include "derp/link.h"
#include "derp/server_internal.h"

#define LOOK_MS 200
#define FIRST_BYTE_MS 2000
#define COMERS_MAX 16
#define NAME_BYTES 16

struct derp_sibling {
    struct derp_server *server;
    struct loop *loop;
    struct str name;           /* owned */
    struct listener *listener; /* NULL: somebody else holds the name */
    struct timer timer;
    bool is_connecting, has_link, is_ready;
    _Atomic(bool) stopping;
};

/* ---- The link ---- */

static void on_ready(void *user)
{
    struct derp_sibling *s = user;

    s->is_ready = true;
    log_event(LOG_INFO, "linked to this relay's other process");
}

static void on_end(void *user, enum derp_link_end why)
{
    struct derp_sibling *s = user;

    (void)why;
    if (s->is_ready && !atomic_load(&s->stopping))
        log_event(LOG_INFO, "this relay's other process has ended");
    s->is_ready = s->has_link = false;
    if (!s->listener && !atomic_load(&s->stopping))
        timer_start(&s->timer, 0);
}

static const struct derp_link_events link_events = {.on_ready = on_ready, .on_end = on_end};

static void on_nothing(void *user, const struct err *why)
{
    (void)user;
    (void)why;
}

static void on_no_data(void *user, struct str data)
{
    (void)user;
    (void)data;
}

static const struct stream_events no_events = {.on_data = on_no_data, .on_close = on_nothing};

static void turn_away(struct stream *stream)
{
    stream_set_events(stream, &no_events, NULL);
    stream_abort(stream);
}

static void watch_over(struct derp_sibling *s, struct stream *stream)
{
    if (s->has_link) {
        turn_away(stream);
        return;
    }
    s->has_link = true;
    derp_link_open_sibling(s->server, stream, &link_events, s);
}

/* ---- Holding the name ---- */

struct comer {
    struct derp_sibling *sibling;
    struct stream *stream;
    struct timer timer;
};

static void comer_free(struct comer *c)
{
    timer_stop(&c->timer);
    mem_free(c);
}

static void on_first_data(void *user, struct str data)
{
    struct comer *c = user;
    struct derp_sibling *s = c->sibling;
    struct stream *stream = c->stream;
    char what = data.ptr[0];

    comer_free(c);
    if (what == 'W')
        relay_accept_sibling(s->server, stream);
    else if (what == 'S')
        watch_over(s, stream);
    else
        turn_away(stream);
    if (data.len > 1)
        stream_unread(stream, str_from_index(data, 1));
}

static void on_first_close(void *user, const struct err *why)
{
    (void)why;
    comer_free(user);
}

static void on_first_late(void *user)
{
    struct comer *c = user;

    stream_abort(c->stream);
}

static const struct stream_events first_events = {.on_data = on_first_data,
                                                  .on_close = on_first_close};

static void on_accept(void *user, struct stream *stream)
{
    struct derp_sibling *s = user;

    if (!stream_is_own_user(stream)) {
        turn_away(stream);
        return;
    }
    struct comer *c = NEW(struct comer);

    c->sibling = s;
    c->stream = stream;
    timer_init(&c->timer, s->loop, on_first_late, c);
    timer_start(&c->timer, FIRST_BYTE_MS);
    stream_set_events(stream, &first_events, c);
}

/* ---- Coming to who holds it ---- */

static bool is_to_be_used(const struct derp_sibling *s, struct stream *stream)
{
    if (!stream)
        return false;
    if (!atomic_load(&s->stopping) && stream_is_own_user(stream))
        return true;
    turn_away(stream);
    return false;
}

static void on_connected_to_watch(void *user, struct stream *stream, const struct err *err)
{
    struct derp_sibling *s = user;

    (void)err;
    s->is_connecting = false;
    if (!is_to_be_used(s, stream))
        return;
    stream_write(stream, STR("W"));
    watch_over(s, stream);
}

static void on_connected_to_serve(void *user, struct stream *stream, const struct err *err)
{
    struct derp_sibling *s = user;

    (void)err;
    if (!is_to_be_used(s, stream))
        return;
    stream_write(stream, STR("S"));
    relay_accept_sibling(s->server, stream);
}

static void look(void *user)
{
    struct derp_sibling *s = user;
    const struct listener_options options = {
        .unix_path = s->name, .max_streams = COMERS_MAX, .on_accept = on_accept, .user = s};
    struct err err = {0};

    if (atomic_load(&s->stopping) || listener_open(s->loop, &options, &s->listener, &err) == 0)
        return;
    if (!s->has_link && !s->is_connecting) {
        s->is_connecting = true;
        stream_connect_unix(s->loop, s->name, on_connected_to_watch, s);
        stream_connect_unix(s->loop, s->name, on_connected_to_serve, s);
    }
    timer_start(&s->timer, LOOK_MS);
}

/* ---- Life ---- */

static struct str make_name(const struct derp_server *server, struct ip_addrport at)
{
    AUTO_FINI(buf_fini) struct buf what = BUF(256), name = BUF(256);
    uint8_t mac[HASH_BYTES];

    buf_put(&what, STR("the processes of one relay at "));
    ip_addrport_put(&what, at);
    sha256_hmac(str_bytes(server->key.b, sizeof(server->key.b)), buf_str(&what), mac);
    buf_put(&name, STR("@hatsize-derp-"));
    buf_put_hex(&name, str_bytes(mac, NAME_BYTES));
    return str_copy(buf_str(&name));
}

struct derp_sibling *derp_sibling_new(struct derp_server *server, struct loop *loop,
                                      struct ip_addrport at)
{
    struct derp_sibling *s = NEW(struct derp_sibling);

    s->server = server;
    s->loop = loop;
    s->name = make_name(server, at);
    timer_init(&s->timer, loop, look, s);
    timer_start(&s->timer, 0);
    return s;
}

void derp_sibling_stop(struct derp_sibling *s)
{
    if (s)
        atomic_store(&s->stopping, true);
}

void derp_sibling_free(struct derp_sibling *s)
{
    if (!s)
        return;
    str_free(&s->name);
    mem_free(s);
}
