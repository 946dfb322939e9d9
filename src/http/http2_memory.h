#pragma once

/*
 * Where an nghttp2 session keeps what it keeps for life.
 *
 * A session asks for 25 KiB when it is made, of which an idle connection with a stream or two ever
 * writes a few hundred bytes here and there: a buffer of 16 KiB for the frame being sent, a hash
 * table for hundreds of streams, rings for header tables. What is asked for while the session is
 * being made is therefore laid out in a slot, so that what is written shares two pages and what is
 * not costs nothing; what comes later is small and from the heap.
 *
 *   page 0        the session, a ring, small things | the frame buffer begins …
 *   pages 1 to 4  … its rest, for frames longer than a few dozen bytes (DATA is never copied there)
 *   page 5 on     each table on pages of its own
 *
 * Only the cost depends on what nghttp2 asks for and in which order: what does not fit goes to the
 * heap.
 */

#include <nghttp2/nghttp2.h>

#include "core/slots.h"

#define HTTP2_SLOT_BYTES (8 * SLOTS_PAGE)

struct http2_memory {
    nghttp2_mem mem; /* for nghttp2_session_server_new3, which copies it */
    struct slots *slots;
    char *slot;
    size_t head; /* used of the front part; from HTTP2_SLOT_FRONT on it is full */
    size_t tail; /* the next free page */
    unsigned n_rings;
    bool is_closed;
};

/* Takes a slot. `m` must not move until fini. */
void http2_memory_init(struct http2_memory *m, struct slots *slots);
/* The session is made: what it asks for now comes from the heap. */
void http2_memory_close(struct http2_memory *m);
/* After the session was freed. */
void http2_memory_fini(struct http2_memory *m);
