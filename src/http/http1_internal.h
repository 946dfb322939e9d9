#pragma once

/* What receiving and answering HTTP/1 share. */

#include <llhttp.h>

#include "http/http_internal.h"

/*
 *   IDLE --first byte--> HEAD --headers--> BODY --complete--> ANSWER --sent, keep-alive--> IDLE
 *                          |                 |                  |
 *                          |                 |                  +--sent, no keep-alive--> CLOSING
 *                          |                 +--too large, refused--> LINGER --5 s, peer closed--+
 *                          +--malformed, too large, too slow--> CLOSING <------------------------+
 *
 * In ANSWER the parser stands still; what comes in is kept for later, to a bound, then no longer
 * read. In LINGER an answer was sent to a request whose body is not wanted; what still comes is
 * thrown away, and beyond a bound no longer read, so that the peer gets to read the answer instead
 * of a reset.
 */
enum http1_state {
    HTTP1_IDLE,
    HTTP1_HEAD,
    HTTP1_BODY,
    HTTP1_ANSWER,
    HTTP1_LINGER,
    HTTP1_CLOSING,
    HTTP1_STATE_COUNT
};

struct http1 {
    struct http_conn *conn;
    llhttp_t parser;
    enum http1_state state;
    struct http_exchange *x; /* being received or answered, else NULL */
    int64_t deadline_ms;
    bool keep_alive;
    bool body_comes; /* the request being received has a body */
    bool in_trailers;
    bool in_value;   /* of the header being received, the name is complete */
    int refusal;     /* why the parser was stopped, 0: its own error */
    size_t lingered; /* bytes thrown away */
    struct buf in;   /* read ahead */
    struct str rest; /* not yet parsed: of `in`, or of the data just arrived */
    bool rest_in_in;
    bool working; /* work() is on the stack: `rest` counts, not `in` */
    bool read_stopped;
};

void http1_set_state(struct http1 *h, enum http1_state next);
