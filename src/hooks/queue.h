#pragma once

/*
 * What waits for one endpoint, and when it is tried. No I/O, no clock: the time comes with each
 * call.
 *
 *   empty --push--> WAITING --take--> SENDING --settled well--> the rest waits, or empty
 *                      ^                 |
 *                      +--after a while--+ settled badly: the same again, twice as late
 *
 * Invariants
 *   1. What is being sent stays in front, untouched, until it is settled.
 *   2. Deliveries leave in the order they came, but for those dropped.
 *   3. At most HOOK_QUEUE_MAX wait, of HOOK_QUEUE_BYTES; the oldest makes room.
 */

#include "tailnet/webhook.h"

#define HOOK_QUEUE_MAX 1000
#define HOOK_QUEUE_BYTES ((size_t)4 << 20)
#define HOOK_RETRY_FIRST_MS 1000
#define HOOK_RETRY_LAST_MS ((int64_t)3600 * 1000)
#define HOOK_GIVE_UP_MS ((int64_t)24 * 3600 * 1000) /* from the event on */

struct hook_queue {
    const struct delivery **items; /* counted; from `head` on */
    size_t head, len, cap;
    size_t bytes;
    size_t sending; /* of those in front */
    unsigned failures;
    int64_t retry_ms; /* not before */
};
void hook_queue_fini(struct hook_queue *q);

/* What leaves without having been taken is handed to `gone`, borrowed. */
typedef void hook_gone_fn(void *user, const struct delivery *d);

/* Refers to `d`. */
void hook_queue_push(struct hook_queue *q, const struct delivery *d, hook_gone_fn *gone,
                     void *user);
/* When there is something to do next, unix; INT64_MAX: nothing, or it is being sent. */
int64_t hook_queue_due_ms(const struct hook_queue *q);
/* Drops what is too old. */
void hook_queue_expire(struct hook_queue *q, int64_t now_ms, hook_gone_fn *gone, void *user);
/* Those in front, borrowed, to choose from; then `hook_queue_take` says how many. */
size_t hook_queue_front(const struct hook_queue *q, const struct delivery *const **items);
void hook_queue_take(struct hook_queue *q, size_t n);
/* Taken by the endpoint: they go, each handed to `gone`. */
void hook_queue_sent(struct hook_queue *q, hook_gone_fn *gone, void *user);
/* `spread` of [0, 1): so that many endpoints of one host are not tried at once. */
void hook_queue_failed(struct hook_queue *q, int64_t now_ms, double spread);
/* Everything goes. */
void hook_queue_clear(struct hook_queue *q, hook_gone_fn *gone, void *user);
