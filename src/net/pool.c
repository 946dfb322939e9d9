/*
 * Memory of buffers that are needed for a moment: what one burst was gathered in serves the next.
 *
 * The newest is given out first, as it is likely still in the processor's cache. What is kept is
 * bounded, and small buffers are not worth keeping.
 */

#include "net/net_internal.h"

#define KEPT_MIN ((size_t)2 << 10)   /* bytes */
#define KEPT_MAX ((size_t)256 << 10) /* twice what a connection is given at once */
#define KEPT_ALL ((size_t)320 << 10) /* what is written meanwhile, and a little more */

void loop_buf_take(struct loop *loop, struct buf *b)
{
    struct pool *p = &loop->pool;

    if (b->ptr || p->n == 0)
        return;
    p->n--;
    b->ptr = p->at[p->n].ptr;
    b->cap = p->at[p->n].cap;
    p->bytes -= b->cap;
}

void loop_buf_give(struct loop *loop, struct buf *b)
{
    struct pool *p = &loop->pool;

    if (b->cap < KEPT_MIN || b->cap > KEPT_MAX || p->n == ARRAY_LEN(p->at) ||
        p->bytes + b->cap > KEPT_ALL) {
        buf_fini(b);
        return;
    }
    p->at[p->n++] = (struct pooled){b->ptr, b->cap};
    p->bytes += b->cap;
    *b = (struct buf){.limit = b->limit};
}

void pool_fini(struct pool *p)
{
    while (p->n > 0)
        mem_free(p->at[--p->n].ptr);
}
