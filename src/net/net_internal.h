#pragma once

/*
 * What the files of this room share: the loop's inside, deferred work, and how a stream is
 * implemented.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "core/buf.h"
#include "core/list.h"
#include "core/mem.h"
#include "net/loop.h"
#include "net/stream.h"

#define READ_BUFFER ((size_t)64 << 10)
#define WRITE_LIMIT_DEFAULT ((size_t)16 << 20)
#define CLOSE_GRACE_MS 10000
#define HANDSHAKE_MS 10000

/* Work for the end of this round of the loop; queued at most once. */
struct deferred {
    void (*run)(struct deferred *d);
    struct list_node link;
};

/* What is neither stream nor timer and must not outlive the loop: listeners, UDP sockets. */
struct loop_owned {
    struct list_node link;
    void (*close)(struct loop_owned *o); /* unlinks and begins to close */
};

struct loop_signal {
    uv_signal_t uv;
    void (*fn)(void *user, int signo);
    void *user;
    struct list_node link;
};

/* How much its streams bring a loop; load.c. */
struct load {
    size_t reads, bytes;                              /* of this round */
    size_t window_reads, window_bytes, window_rounds; /* since since_us */
    size_t window_streams, streams;                   /* that were read, and in the last window */
    unsigned window;                                  /* its number */
    int64_t since_us, retry_us;
    size_t mean; /* bytes of a read, in the last window without rests */
    bool is_resting;
    int64_t rest_us; /* the last one */
};
/* A stream has brought so much; *window is its own, which begins as 0. */
void load_add(struct load *l, size_t bytes, unsigned *window);
/* After a round: how long to rest, 0 for not at all, at most a millisecond. */
int64_t load_rest_us(struct load *l, int64_t now_us);

/* Memory for buffers; pool.c. */
struct pooled {
    char *ptr;
    size_t cap;
};
struct pool {
    struct pooled at[32];
    size_t n, bytes;
};
void pool_fini(struct pool *p);

/* TLS handshakes that wait for their turn; tls.c. */
struct turns {
    struct list waiting;
    struct deferred more;
    unsigned done; /* since `more` ran */
};

struct loop {
    uv_loop_t uv;
    char name[16];
    int wake_fd; /* an eventfd */
    uv_poll_t wakeup;
    uv_timer_t uv_timer;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    _Atomic(struct loop_message *) mailbox;
    _Atomic(bool) is_asleep; /* or about to be: who posts wakes it */
    _Atomic(bool) stopping;
    pthread_t thread;
    bool has_thread;
    bool is_ending; /* being freed: messages are cancelled */
    int64_t now_ms; /* the clock when last looked at, */
    uint64_t uv_ms; /* and libuv's then, which goes on by itself when a poll returns */
    struct timer **timers;
    size_t n_timers, cap_timers;
    bool in_timers;
    bool has_caught_up; /* timers are late, and what came meanwhile has been read */
    struct load load;
    struct pool pool;
    struct turns handshakes;
    struct list deferred;
    struct list streams; /* every stream, so that loop_free can end them */
    struct list signals;
    struct list owned;
    char *read_buffer;  /* shared by all streams: data is consumed before the next read */
    char *plain_buffer; /* the same for what TLS decrypts; NULL while in use */
};

void loop_defer(struct loop *loop, struct deferred *d);
/* Takes a deferred back out if it is queued; for memory that goes. */
void loop_undefer(struct deferred *d);
/* Aborts every stream; stream.c. */
void loop_close_all(struct loop *loop);

/* ---- Streams ---- */

struct stream_ops {
    void (*write)(struct stream *s, struct str data);
    /* Where to append instead of writing, and that it was done; both NULL: not to be had. */
    struct buf *(*write_begin)(struct stream *s);
    void (*write_end)(struct stream *s);
    size_t (*pending)(const struct stream *s);
    /* Tries to write what is queued now; calls nobody back but through the loop. NULL: cannot. */
    void (*flush)(struct stream *s);
    /* s->read_stopped has changed. */
    void (*update_reading)(struct stream *s);
    /* End after what is queued is written / now. stream_gone must follow, from the loop. */
    void (*close)(struct stream *s);
    void (*abort)(struct stream *s);
    void (*free)(struct stream *s);
};

enum stream_state { STREAM_OPEN, STREAM_CLOSING, STREAM_GONE };

/* First member of every implementation. */
struct stream {
    const struct stream_ops *ops;
    struct loop *loop;
    const struct stream_events *events;
    void *user;
    enum stream_state state;
    bool read_stopped;
    bool has_why;
    bool is_tls;
    bool is_unix;
    bool peer_ended;     /* in order; told after what is unread, and while reading */
    bool wants_writable; /* something was queued since on_writable was last told */
    size_t write_limit;
    struct ip_addrport peer;
    struct ip_addrport local;
    struct err why;
    struct buf unread; /* to be delivered before anything else */
    struct deferred deliver_unread;
    struct list_node loop_link;
};

void stream_init(struct stream *s, struct loop *loop, const struct stream_ops *ops);
/* Data came: to the consumer, or kept while it does not read. May end the stream; check the state
 * after. */
void stream_deliver(struct stream *s, struct str data);
/*
 * For layers: where to append what is to be written, saving a copy; stream_write_end follows.
 * NULL: use stream_write. What is queued is for the caller to bound.
 */
struct buf *stream_write_begin(struct stream *s);
void stream_write_end(struct stream *s);
/* The queue is empty. */
void stream_drained(struct stream *s);
/* Peer gone or broken: begins the end. err NULL: in order, and then what came before comes first.
 */
void stream_fail(struct stream *s, const struct err *err);
/* The last step: tells the consumer and frees. Only from the loop. */
void stream_gone(struct stream *s);
