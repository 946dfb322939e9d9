/* See queue.h. */

#include "hooks/queue.h"

void hook_queue_fini(struct hook_queue *q)
{
    for (size_t i = 0; i < q->len; i++)
        delivery_unref(q->items[q->head + i]);
    mem_free(q->items);
    *q = (struct hook_queue){0};
}

static void remove_at(struct hook_queue *q, size_t i, hook_gone_fn *gone, void *user)
{
    const struct delivery **at = &q->items[q->head + i];
    const struct delivery *d = *at;

    q->bytes -= d->body.len;
    q->len--;
    if (i == 0)
        q->head++;
    else
        memmove(at, at + 1, (q->len - i) * sizeof(*at));
    if (gone)
        gone(user, d);
    delivery_unref(d);
}

static void make_room(struct hook_queue *q)
{
    if (q->head + q->len < q->cap)
        return;
    if (q->head > 0) {
        memmove(q->items, q->items + q->head, q->len * sizeof(*q->items));
        q->head = 0;
    }
    q->items = mem_room(q->items, q->len, &q->cap, 8, sizeof(*q->items));
}

void hook_queue_push(struct hook_queue *q, const struct delivery *d, hook_gone_fn *gone, void *user)
{
    while (q->len > q->sending &&
           (q->len >= HOOK_QUEUE_MAX || q->bytes + d->body.len > HOOK_QUEUE_BYTES))
        remove_at(q, q->sending, gone, user);
    make_room(q);
    q->items[q->head + q->len++] = delivery_ref(d);
    q->bytes += d->body.len;
}

int64_t hook_queue_due_ms(const struct hook_queue *q)
{
    return q->len == 0 || q->sending > 0 ? INT64_MAX : q->retry_ms;
}

void hook_queue_expire(struct hook_queue *q, int64_t now_ms, hook_gone_fn *gone, void *user)
{
    while (q->len > q->sending &&
           q->items[q->head + q->sending]->created_ms <= now_ms - HOOK_GIVE_UP_MS)
        remove_at(q, q->sending, gone, user);
}

size_t hook_queue_front(const struct hook_queue *q, const struct delivery *const **items)
{
    *items = q->items ? q->items + q->head : NULL;
    return q->len;
}

void hook_queue_take(struct hook_queue *q, size_t n)
{
    ASSERT(q->sending == 0 && n <= q->len);
    q->sending = n;
}

void hook_queue_sent(struct hook_queue *q, hook_gone_fn *gone, void *user)
{
    for (; q->sending > 0; q->sending--)
        remove_at(q, 0, gone, user);
    q->failures = 0;
    q->retry_ms = 0;
}

void hook_queue_failed(struct hook_queue *q, int64_t now_ms, double spread)
{
    int64_t wait = HOOK_RETRY_FIRST_MS;

    for (unsigned i = 0; i < q->failures && wait < HOOK_RETRY_LAST_MS; i++)
        wait *= 2;
    wait = MIN(wait, HOOK_RETRY_LAST_MS);
    q->sending = 0;
    q->failures++;
    /* Up to a quarter later. */
    q->retry_ms = now_ms + wait + (int64_t)((double)wait / 4 * spread);
}

void hook_queue_clear(struct hook_queue *q, hook_gone_fn *gone, void *user)
{
    while (q->len > q->sending)
        remove_at(q, q->sending, gone, user);
}
