#pragma once

/*
 * Byte streams: TCP, Unix sockets, TLS over either, filters (Noise) over any. What reads and writes
 * them, HTTP above all, does not know which it has.
 *
 *   OPEN --stream_close: what is queued is still written--> CLOSING --+
 *     |                                                              v
 *     +-- peer closed, error, limit, stream_abort ----------------> on_close, once, then gone
 *
 * Rules
 *   1. A stream belongs to the loop it was opened on; every call and callback is on that thread.
 *   2. Events go to one consumer at a time (stream_set_events). on_close is the last; after it the
 *      stream is gone. It is never called from inside one of the functions below, and always comes,
 *      also after stream_close and stream_abort.
 *   3. Between stream_close / stream_abort and on_close no other event comes.
 *   4. Writes are queued and go out together at the end of the loop's round. Whoever writes much
 * asks stream_pending() and waits for on_writable; past the stream's limit it is closed with
 * ERR_LIMIT.
 *   5. on_data borrows: keep what you need of it. Data not wanted now: stream_read_stop().
 *   6. A peer that has ended in order is still sent what is queued (as by stream_close), then on_close
 *      comes; until then it may take 10 s, and nothing else is written.
 */

#include "core/err.h"
#include "ip/addr.h"
#include "ip/addrport.h"
#include "ip/prefix.h"
#include "net/loop.h"

struct stream;

struct stream_events {
    void (*on_data)(void *user, struct str data);
    /* The queue has drained to nothing after having held something; may be NULL. */
    void (*on_writable)(void *user);
    /* `why` is NULL when the peer closed in order or we asked for it. */
    void (*on_close)(void *user, const struct err *why);
};

void stream_set_events(struct stream *s, const struct stream_events *events, void *user);
/* Nothing of it is wanted any more, not even to know of its end. */
void stream_ignore(struct stream *s);
/* Copies; the empty write does nothing. Ignored once closing. */
void stream_write(struct stream *s, struct str data);
/* Bytes queued here and in the layers below, not yet taken by the kernel. */
size_t stream_pending(const struct stream *s);
/*
 * Hands what is queued to the kernel now instead of at the end of the round, where the layers below
 * can (TLS cannot). True: nothing is left, and on_writable does not come for what was queued. For
 * who has a message for each of many streams, all of it warm in the cache; who writes pieces lets
 * them gather.
 */
bool stream_flush(struct stream *s);
/* A write that finds more than this queued closes the stream; default 16 MiB. */
void stream_set_write_limit(struct stream *s, size_t bytes);
void stream_read_stop(struct stream *s);
void stream_read_start(struct stream *s);
/* Writes what is queued (for 10 s at most), then closes. */
void stream_close(struct stream *s);
/* Closes now; what is queued is lost. */
void stream_abort(struct stream *s);
struct loop *stream_loop(const struct stream *s);
/* The peer's address; family 0 for Unix sockets. */
struct ip_addrport stream_peer(const struct stream *s);
/* Whom a trusted proxy says it brings; for what asks from now on. */
void stream_set_peer(struct stream *s, struct ip_addrport peer);
struct ip_addrport stream_local(const struct stream *s);
bool stream_is_tls(const struct stream *s);
bool stream_is_unix(const struct stream *s);
/* A Unix socket, no layer over one, whose other end belonged to our user when it was opened. */
bool stream_is_own_user(const struct stream *s);

/*
 * Hands `data` to the stream's consumer as if it had just arrived, before anything else, in the
 * next round of the loop. For whoever read too far and passes the stream on (HTTP upgrade,
 * first-byte peek).
 */
void stream_unread(struct stream *s, struct str data);

/* ---- Outgoing ---- */

/* on_done is called once, with a stream or with an error; not from inside the call. Names are not
 * looked up. */
typedef void stream_connect_fn(void *user, struct stream *s, const struct err *err);
void stream_connect_tcp(struct loop *loop, struct ip_addrport to, int64_t timeout_ms,
                        stream_connect_fn *on_done, void *user);
/* The same from an address of this machine; family 0: as the system chooses. */
void stream_connect_tcp_from(struct loop *loop, struct ip_addr from, struct ip_addrport to,
                             int64_t timeout_ms, stream_connect_fn *on_done, void *user);
/* "@name" is an abstract name, which no file stands for and which is gone with its socket. */
void stream_connect_unix(struct loop *loop, struct str path, stream_connect_fn *on_done,
                         void *user);
/* Two streams joined back to back on one loop; for tests and in-process clients. */
void stream_pair(struct loop *loop, struct stream *out[2]);

/* ---- Listening ---- */

struct listener;

struct listener_options {
    struct ip_addrport
        addr;             /* port 0: any free one. Family 6 with the zero address takes IPv4 too. */
    int fd; /* > 0: a bound TCP socket, taken; `addr` is what it has */
    /* listener_open_each only: bound sockets, borrowed, to be shared out instead of `addr`'s. */
    const int *given;
    size_t n_given;
    /* Non-empty: a Unix socket instead; a stale file is replaced. "@name": see below. */
    struct str unix_path;
    unsigned unix_mode;   /* permission bits of the socket file; 0 means 0700 */
    size_t max_streams;   /* open at a time, 0: 65536; beyond it new ones are closed at once */
    size_t max_per_address; /* per peer address (/64 for IPv6), 0: no limit */
    /*
     * Proxies, borrowed for the listener's life: what they bring is not counted by their address.
     * With `proxy_header` they begin each connection with a PROXY header, and on_accept gets it
     * behind that, with the peer that it names; who sends something else is cut off.
     */
    const struct ip_prefix *proxies;
    size_t n_proxies;
    bool proxy_header;
    /* NULL: its streams count for themselves. Else together with that one's, on whatever loop. */
    const struct listener *like;
    int64_t keep_alive_ms;  /* TCP: probes after so long in silence; 0: none */
    int64_t user_timeout_ms; /* TCP: ends when what was sent is not acknowledged; 0: the system's */
    void (*on_accept)(void *user, struct stream *s); /* set events on `s` before returning */
    void *user;
};
/* One listener per loop may share an address (SO_REUSEPORT): the kernel spreads connections over
 * them. */
MUST_USE int listener_open(struct loop *loop, const struct listener_options *options,
                           struct listener **out, struct err *err);
/*
 * One on each loop, which count together, for a port that is nobody else's: our own listeners share
 * it among themselves, so somebody else's must be looked for first. What of `options->addr` this
 * machine cannot do is replaced (bind_usable); port 0 is settled by the first. `out` has room for
 * one a loop; some may be open after an error.
 */
MUST_USE int listener_open_each(struct loop *const *loops, size_t n_loops,
                                const struct listener_options *options, struct listener **out,
                                struct err *err);
struct ip_addrport listener_addr(const struct listener *l);
int listener_fd(const struct listener *l);
/*
 * The same as closing, but whoever libuv has taken from the kernel already comes in first. Whoever
 * comes later belongs to the other processes that have the socket. On the loop's thread.
 */
void listener_finish(struct listener *l);
/* Stops accepting; streams live on. From the loop's thread or while the loop does not run. */
void listener_close(struct listener *l);

/* ---- Filters: a codec between a stream and its consumer ---- */

struct stream_filter_ops {
    /*
     * Turns what came from below into what the consumer gets: takes whole units off the front of
     * `in` (buf_drop) and appends to `plain`. Negative: the peer is broken, the stream is aborted.
     */
    int (*decode)(void *codec, struct buf *in, struct buf *plain, struct err *err);
    /* Appends the encoded form of `plain` to `out`. Negative: aborted. */
    int (*encode)(void *codec, struct str plain, struct buf *out, struct err *err);
    void (*free)(void *codec);
    size_t in_limit; /* bytes of undecoded input kept; more is an error */
};
/* Takes `below` and `codec`. The result behaves as any stream. */
MUST_USE struct stream *stream_filter(struct stream *below, const struct stream_filter_ops *ops,
                                      void *codec);
