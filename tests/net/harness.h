#pragma once

/* Streams under test: an end that records what happens to it, and joined ends of every kind. */

#include "../unit.h"

#include "core/clock.h"
#include "core/rand.h"
#include "net/stream.h"
#include "net/tls.h"

/* One consumer of one stream. The hooks run inside the events and may be NULL. */
struct end {
    struct stream *s; /* NULL once gone */
    struct buf got;
    size_t n_data;
    size_t n_writable;
    size_t n_close;
    bool is_ended; /* we closed or aborted it: only on_close may come */
    bool has_why;
    struct err why;
    void (*data)(struct end *e, struct str data);
    void (*writable)(struct end *e);
    void (*closed)(struct end *e);
    struct end *other; /* for hooks */
    size_t n;          /* for hooks */
    bool in_call;      /* set around calls that must not call back with on_close */
};

static inline void end_on_data(void *user, struct str data)
{
    struct end *e = user;

    assert_int_equal(e->n_close, 0);
    assert_false(e->is_ended);
    assert_true(data.len > 0);
    e->n_data++;
    buf_put(&e->got, data);
    if (e->data)
        e->data(e, data);
}

static inline void end_on_writable(void *user)
{
    struct end *e = user;

    assert_int_equal(e->n_close, 0);
    assert_false(e->is_ended);
    e->n_writable++;
    if (e->writable)
        e->writable(e);
}

static inline void end_on_close(void *user, const struct err *why)
{
    struct end *e = user;

    assert_int_equal(e->n_close, 0);
    assert_false(e->in_call);
    e->n_close++;
    e->has_why = why != NULL;
    if (why)
        e->why = *why;
    if (e->closed)
        e->closed(e);
    e->s = NULL;
}

static const struct stream_events end_events = {
    .on_data = end_on_data, .on_writable = end_on_writable, .on_close = end_on_close};

static inline void end_take(struct end *e, struct stream *s)
{
    e->s = s;
    stream_set_events(s, &end_events, e);
}

static inline void end_close(struct end *e)
{
    e->is_ended = e->in_call = true;
    stream_close(e->s);
    e->in_call = false;
}

static inline void end_abort(struct end *e)
{
    e->is_ended = e->in_call = true;
    stream_abort(e->s);
    e->in_call = false;
}

static inline void end_write(struct end *e, struct str data)
{
    bool outer = e->in_call;

    e->in_call = true;
    stream_write(e->s, data);
    e->in_call = outer;
}

/* Rounds until `cond`, some seconds at most. */
#define RUN_UNTIL(loop, cond)                                    \
    do {                                                         \
        for (int round_ = 0; round_ < 5000 && !(cond); round_++) \
            loop_run_once(loop, 2);                              \
        assert_true(cond);                                       \
    } while (0)

#define RUN_ROUNDS(loop, n)                          \
    do {                                             \
        for (int round_ = 0; round_ < (n); round_++) \
            loop_run_once(loop, 1);                  \
    } while (0)

static inline struct loop *new_loop(void)
{
    struct loop *loop;
    struct err err;

    assert_int_equal(loop_new("test", &loop, &err), 0);
    return loop;
}

static inline struct ip_addrport addrport(const char *text)
{
    struct ip_addrport out;

    assert_true(ip_addrport_parse(str_from(text), &out));
    return out;
}

/* ---- Joined ends ---- */

struct joint {
    struct stream *accepted, *connected;
    struct err err;
    bool is_done;
};

static inline void joint_on_accept(void *user, struct stream *s)
{
    ((struct joint *)user)->accepted = s;
}

static inline void joint_on_connect(void *user, struct stream *s, const struct err *err)
{
    struct joint *j = user;

    assert_false(j->is_done);
    j->is_done = true;
    j->connected = s;
    if (err)
        j->err = *err;
}

/* Two ends over TCP on loopback; a[0] connected, a[1] was accepted. The listener is closed. */
static inline void join_tcp(struct loop *loop, struct end *a[2])
{
    struct joint j = {0};
    struct listener *l;
    struct err err;
    struct listener_options options = {
        .addr = addrport("127.0.0.1:0"), .on_accept = joint_on_accept, .user = &j};

    assert_int_equal(listener_open(loop, &options, &l, &err), 0);
    stream_connect_tcp(loop, listener_addr(l), 5000, joint_on_connect, &j);
    /* Nothing arrives before both have events: nobody writes yet. */
    RUN_UNTIL(loop, j.connected && j.accepted);
    listener_close(l);
    end_take(a[0], j.connected);
    end_take(a[1], j.accepted);
}

static inline void join_pair(struct loop *loop, struct end *a[2])
{
    struct stream *s[2];

    stream_pair(loop, s);
    end_take(a[0], s[0]);
    end_take(a[1], s[1]);
}

typedef void join_fn(struct loop *loop, struct end *a[2]);

static const struct {
    const char *name;
    join_fn *join;
} joins[] = {{"tcp", join_tcp}, {"pair", join_pair}};

/* What a test is given: a loop and two joined ends, all freed at its end. */
struct rig {
    struct loop *loop;
    struct end a, b;
};

static inline struct rig *rig_new(join_fn *join)
{
    struct rig *rig = NEW(struct rig);

    rig->loop = new_loop();
    rig->a.got = rig->b.got = BUF((size_t)1 << 30);
    rig->a.other = &rig->b;
    rig->b.other = &rig->a;
    join(rig->loop, (struct end *[2]){&rig->a, &rig->b});
    return rig;
}

/* Frees the loop with whatever is open on it: every stream must then have told its end. */
static inline void rig_free(struct rig *rig)
{
    loop_free(rig->loop);
    assert_int_equal(rig->a.n_close, 1);
    assert_int_equal(rig->b.n_close, 1);
    buf_fini(&rig->a.got);
    buf_fini(&rig->b.got);
    mem_free(rig);
}

/* Bytes that differ everywhere, the same for the same seed. */
static inline struct str noise(uint64_t seed, size_t len)
{
    struct rand_seeded r;
    char *bytes = mem_alloc(len + 8);

    rand_seed(&r, seed);
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = rand_seeded_u64(&r);

        memcpy(bytes + i, &v, 8);
    }
    return (struct str){bytes, len};
}

/* A certificate of our own for these names, and its server. */
struct site {
    struct tls_server *server;
    struct buf cert, key;
    uint8_t pin[32];
};

static inline void site_init(struct site *site, const struct str *names, size_t n)
{
    struct err err;

    *site = (struct site){.cert = BUF(1 << 16), .key = BUF(1 << 16)};
    assert_int_equal(tls_self_signed(names, n, &site->cert, &site->key, site->pin, &err), 0);
    const struct tls_server_options options = {.cert_pem = buf_str(&site->cert),
                                               .key_pem = buf_str(&site->key)};

    assert_int_equal(tls_server_new(&options, &site->server, &err), 0);
}

static inline void site_fini(struct site *site)
{
    tls_server_unref(site->server);
    buf_fini(&site->cert);
    buf_fini(&site->key);
}
