#pragma once

/*
 * A parcel: one framed message on its way to one client, as a row of counted bytes that may be
 * shared with other clients' parcels.
 *
 *   own head (its first four bytes are the frame's length) | shared block | comma | shared block …
 *
 * Nothing is copied to make one; whoever sends takes it in runs as its connection has room, and
 * what was taken is let go at once. Open for embedding, but only these functions look inside; it
 * may be moved. All zero is an empty parcel. Not shared between threads; the bytes in it may be.
 */

#include "core/buf.h"

struct netmap_piece {
    struct blob *blob; /* counted */
    size_t from;       /* bytes of it that are not sent */
};

#define NETMAP_PARCEL_FEW 2 /* pieces that need no allocation */

struct netmap_parcel {
    struct netmap_piece few[NETMAP_PARCEL_FEW];
    struct netmap_piece *many; /* heap, instead of `few` once there are more */
    uint32_t len;              /* pieces */
    uint32_t cap;              /* of `many` */
    uint32_t at;               /* the piece to be taken next; those before are let go */
    size_t at_byte;            /* taken of that piece, from its blob's beginning */
    size_t bytes;              /* left in all */
};

void netmap_parcel_fini(struct netmap_parcel *p);
/* Adds the blob without its first `from` bytes; takes a count of its own. What was taken wholly
 * before is forgotten. */
void netmap_parcel_add(struct netmap_parcel *p, struct blob *b, size_t from);
/* The same, taking the caller's count. */
void netmap_parcel_add_take(struct netmap_parcel *p, struct blob *b, size_t from);

/* Adds all pieces of `rest`, of which nothing was taken yet, and leaves it empty. */
void netmap_parcel_join(struct netmap_parcel *p, struct netmap_parcel *rest);

static inline bool netmap_parcel_is_empty(const struct netmap_parcel *p)
{
    return p->bytes == 0;
}
/* Bytes not taken yet. */
static inline size_t netmap_parcel_bytes(const struct netmap_parcel *p)
{
    return p->bytes;
}
/*
 * Takes up to `max` bytes: the next run of them as it lies in memory, shorter where a piece ends;
 * empty only when the parcel is (or max is 0). Borrowed until the next call on this parcel.
 */
MUST_USE struct str netmap_parcel_next(struct netmap_parcel *p, size_t max);
/* Takes up to `max` bytes, copied to `out` over the ends of pieces; returns how many. */
MUST_USE size_t netmap_parcel_read(struct netmap_parcel *p, char *out, size_t max);
