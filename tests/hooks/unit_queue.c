/* What waits for one endpoint: order, room, patience. */

#include "../unit.h"

#include "hooks/queue.h"

#define T0 ((int64_t)1700000000000)

struct gone {
    uint64_t ids[4096];
    size_t n;
};

static void note(void *user, const struct delivery *d)
{
    struct gone *g = user;

    g->ids[g->n++] = d->id;
}

static void push(struct hook_queue *q, uint64_t id, size_t bytes, struct gone *g)
{
    struct delivery *d = delivery_new();
    char *body = mem_alloc(bytes + 1);

    memset(body, 'x', bytes);
    d->id = id;
    d->created_ms = T0 + (int64_t)id;
    d->body = (struct str){body, bytes};
    hook_queue_push(q, d, note, g);
    delivery_unref(d);
}

static void keeps_order(void **state)
{
    struct hook_queue q = {0};
    struct gone g = {0};
    const struct delivery *const *front;

    (void)state;
    assert_true(hook_queue_due_ms(&q) == INT64_MAX);
    for (uint64_t id = 1; id <= 5; id++)
        push(&q, id, 10, &g);
    assert_int_equal(hook_queue_due_ms(&q), 0);
    assert_int_equal(hook_queue_front(&q, &front), 5);
    assert_int_equal(front[0]->id, 1);
    hook_queue_take(&q, 2);
    assert_true(hook_queue_due_ms(&q) == INT64_MAX);
    push(&q, 6, 10, &g);
    hook_queue_failed(&q, T0, 0);
    assert_int_equal(hook_queue_front(&q, &front), 6);
    assert_int_equal(front[0]->id, 1);
    hook_queue_take(&q, 3);
    hook_queue_sent(&q, note, &g);
    assert_int_equal(g.n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(g.ids[i], i + 1);
    assert_int_equal(hook_queue_front(&q, &front), 3);
    assert_int_equal(front[0]->id, 4);
    assert_int_equal(hook_queue_due_ms(&q), 0);
    hook_queue_fini(&q);
}

static void waits_ever_longer(void **state)
{
    struct hook_queue q = {0};
    struct gone g = {0};
    int64_t want = HOOK_RETRY_FIRST_MS;

    (void)state;
    push(&q, 1, 10, &g);
    for (int i = 0; i < 40; i++) {
        hook_queue_take(&q, 1);
        hook_queue_failed(&q, T0, 0);
        assert_int_equal(hook_queue_due_ms(&q), T0 + want);
        want = MIN(want * 2, HOOK_RETRY_LAST_MS);
    }
    hook_queue_take(&q, 1);
    hook_queue_failed(&q, T0, 0.999);
    assert_in_range(hook_queue_due_ms(&q) - T0, HOOK_RETRY_LAST_MS, HOOK_RETRY_LAST_MS / 4 * 5);
    hook_queue_take(&q, 1);
    hook_queue_sent(&q, note, &g);
    push(&q, 2, 10, &g);
    hook_queue_take(&q, 1);
    hook_queue_failed(&q, T0, 0);
    assert_int_equal(hook_queue_due_ms(&q), T0 + HOOK_RETRY_FIRST_MS);
    hook_queue_fini(&q);
}

static void drops_the_oldest_that_is_not_being_sent(void **state)
{
    struct hook_queue q = {0};
    struct gone g = {0};
    const struct delivery *const *front;

    (void)state;
    for (uint64_t id = 1; id <= 3; id++)
        push(&q, id, 10, &g);
    hook_queue_take(&q, 2);
    for (uint64_t id = 4; id <= HOOK_QUEUE_MAX + 1; id++)
        push(&q, id, 10, &g);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.ids[0], 3);
    assert_int_equal(hook_queue_front(&q, &front), HOOK_QUEUE_MAX);
    assert_int_equal(front[1]->id, 2);
    assert_int_equal(front[2]->id, 4);
    hook_queue_sent(&q, NULL, NULL);
    /* One large one takes the room of all the others. */
    g.n = 0;
    push(&q, 5000, HOOK_QUEUE_BYTES, &g);
    assert_int_equal(g.n, HOOK_QUEUE_MAX - 2);
    assert_int_equal(hook_queue_front(&q, &front), 1);
    assert_true(q.bytes <= HOOK_QUEUE_BYTES);
    hook_queue_fini(&q);
}

static void gives_up_after_a_day(void **state)
{
    struct hook_queue q = {0};
    struct gone g = {0};

    (void)state;
    for (uint64_t id = 1; id <= 4; id++)
        push(&q, id, 10, &g);
    hook_queue_expire(&q, T0 + HOOK_GIVE_UP_MS, note, &g);
    assert_int_equal(g.n, 0);
    hook_queue_take(&q, 1);
    hook_queue_expire(&q, T0 + HOOK_GIVE_UP_MS + 3, note, &g);
    assert_int_equal(g.n, 2);
    assert_int_equal(g.ids[0], 2);
    assert_int_equal(g.ids[1], 3);
    hook_queue_failed(&q, T0 + HOOK_GIVE_UP_MS + 3, 0);
    hook_queue_expire(&q, T0 + HOOK_GIVE_UP_MS + 4, note, &g);
    assert_int_equal(g.n, 4);
    assert_true(hook_queue_due_ms(&q) == INT64_MAX);
    hook_queue_fini(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order),
        cmocka_unit_test(waits_ever_longer),
        cmocka_unit_test(drops_the_oldest_that_is_not_being_sent),
        cmocka_unit_test(gives_up_after_a_day),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
