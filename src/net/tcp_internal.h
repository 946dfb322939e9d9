#pragma once

/* What tcp.c and listener.c share. */

#include <sys/socket.h>
#include <sys/un.h>

#include "net/net_internal.h"

struct tcp {
    struct stream stream;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct buf out;       /* written this round */
    struct buf in_flight; /* libuv has it */
    uv_write_t write_req;
    int write_failed; /* libuv's status; told when all that the peer had sent is read */
    struct deferred flush;
    unsigned load_window; /* load_add's */
    struct timer grace;
    void (*on_closed)(void *user, const struct ip_addrport *peer); /* the listener's count */
    void *on_closed_user;
    struct ip_addrport counted; /* the peer, as the listener counts it; family 0: not by address */
};

/* Reads a PROXY header, then gives the stream to on_accept; proxied.c. */
void proxied_begin(struct tcp *t, const struct listener_options *o);
/* Counts an accepted stream by its peer's address from now on; false: there are too many. */
MUST_USE bool listener_count_peer(struct tcp *t, size_t max_per_address);

struct tcp *tcp_new(struct loop *loop, bool is_unix);
/* The socket is connected: learns its addresses and begins to read. */
void tcp_opened(struct tcp *t);
struct ip_addrport addrport_from_sockaddr(const struct sockaddr *sa);
socklen_t addrport_to_sockaddr(struct ip_addrport ap, struct sockaddr_storage *out);
/* "@name"; 0: it is empty or too long. */
socklen_t abstract_to_sockaddr(struct str path, struct sockaddr_un *out);
