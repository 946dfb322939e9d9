#include "../unit.h"

#include <stdatomic.h>

#include "core/clock.h"
#include "core/log.h"
#include "relay/admission.h"

/* A server that answers what the test says, and the words that came of it: "1+ 2- ". */
struct rig {
    struct loop *loop;
    struct worker_pool *pool;
    struct admission *a;
    _Atomic(int) n_asked;
    _Atomic(enum verdict) says;
    _Atomic(bool) is_held; /* does not answer yet */
    struct buf log;
    size_t n_answers;
};

static enum verdict on_ask(void *user, const struct node_key *key, struct ip_addr from)
{
    struct rig *rig = user;

    (void)from;
    atomic_fetch_add(&rig->n_asked, 1);
    while (atomic_load(&rig->is_held)) {
        const struct timespec a_little = {.tv_nsec = 200000};

        (void)nanosleep(&a_little, NULL);
    }
    /* One key is never liked. */
    return key->b[0] == 0xbb ? VERDICT_DENY : atomic_load(&rig->says);
}

struct asking {
    struct rig *rig;
    int number;
};

static void on_answer(void *ticket, bool ok)
{
    struct asking *q = ticket;

    buf_printf(&q->rig->log, "%d%c ", q->number, ok ? '+' : '-');
    q->rig->n_answers++;
    mem_free(q);
}

static struct rig *rig_new(bool fail_open)
{
    struct rig *rig = NEW(struct rig);
    struct err err = {0};

    log_init(LOG_OFF, LOG_TEXT, -1);
    assert_int_equal(loop_new("test", &rig->loop, &err), 0);
    assert_int_equal(worker_pool_new(3, &rig->pool, &err), 0);
    rig->log = BUF((size_t)1 << 20);
    rig->a = admission_new(&(struct admission_options){.home = rig->loop,
                                                       .pool = rig->pool,
                                                       .ask = on_ask,
                                                       .user = rig,
                                                       .fail_open = fail_open,
                                                       .answer = on_answer});
    return rig;
}

static void rig_free(struct rig *rig)
{
    admission_stop(rig->a);
    atomic_store(&rig->is_held, false);
    worker_pool_free(rig->pool);
    loop_free(rig->loop);
    admission_free(rig->a);
    buf_fini(&rig->log);
    mem_free(rig);
}

static void ask(struct rig *rig, uint8_t who, uint8_t from, int number)
{
    struct asking *q = NEW(struct asking);
    const struct node_key key = {.b = {who}};

    q->rig = rig;
    q->number = number;
    admission_ask(rig->a, &key, IP_ADDR_V4(192, 0, 2, from), q);
}

static void run_until(struct rig *rig, size_t n_answers)
{
    for (int i = 0; i < 2000 && rig->n_answers < n_answers; i++)
        loop_run_once(rig->loop, 5);
    assert_int_equal(rig->n_answers, n_answers);
}

static void keeps_a_yes_for_a_minute(void **state)
{
    struct rig *rig = rig_new(true);

    (void)state;
    ask(rig, 1, 1, 1);
    run_until(rig, 1);
    ask(rig, 1, 1, 2);
    run_until(rig, 2);
    assert_int_equal(rig->n_asked, 1);
    ask(rig, 1, 2, 3); /* from elsewhere: the server may mind */
    run_until(rig, 3);
    assert_int_equal(rig->n_asked, 2);
    clock_test_advance_ms(ADMISSION_ALLOW_MS + 1);
    atomic_store(&rig->says, VERDICT_DENY);
    ask(rig, 1, 1, 4);
    run_until(rig, 4);
    assert_int_equal(rig->n_asked, 3);
    assert_str(buf_str(&rig->log), STR("1+ 2+ 3+ 4- "));
    rig_free(rig);
}

static void keeps_a_no_for_a_moment_only(void **state)
{
    struct rig *rig = rig_new(true);

    (void)state;
    atomic_store(&rig->says, VERDICT_DENY);
    ask(rig, 1, 1, 1);
    run_until(rig, 1);
    ask(rig, 1, 1, 2);
    run_until(rig, 2);
    assert_int_equal(rig->n_asked, 1);
    clock_test_advance_ms(ADMISSION_DENY_MS + 1);
    atomic_store(&rig->says, VERDICT_ALLOW); /* it has been registered meanwhile */
    ask(rig, 1, 1, 3);
    run_until(rig, 3);
    assert_str(buf_str(&rig->log), STR("1- 2- 3+ "));
    rig_free(rig);
}

static void asks_once_for_all_who_wait(void **state)
{
    struct rig *rig = rig_new(true);

    (void)state;
    atomic_store(&rig->is_held, true);
    for (int i = 0; i < 50; i++)
        ask(rig, 1, 1, i);
    for (int i = 0; i < 20; i++)
        loop_run_once(rig->loop, 1);
    assert_int_equal(rig->n_answers, 0);
    atomic_store(&rig->is_held, false);
    run_until(rig, 50);
    assert_int_equal(rig->n_asked, 1);
    rig_free(rig);
}

static void chooses_when_nobody_answers(void **state)
{
    (void)state;
    for (int open = 0; open < 2; open++) {
        struct rig *rig = rig_new(open);

        atomic_store(&rig->says, VERDICT_UNREACHABLE);
        ask(rig, 1, 1, 1);
        run_until(rig, 1);
        /* The next ones do not wait for the same silence. */
        ask(rig, 2, 1, 2);
        ask(rig, 3, 1, 3);
        run_until(rig, 3);
        assert_int_equal(rig->n_asked, 1);
        assert_str(buf_str(&rig->log), open ? STR("1+ 2+ 3+ ") : STR("1- 2- 3- "));
        /* It is asked again after a while, and what it says then counts at once. */
        clock_test_advance_ms(ADMISSION_REST_MS + 1);
        atomic_store(&rig->says, VERDICT_ALLOW);
        ask(rig, 0xbb, 1, 4);
        run_until(rig, 4);
        ask(rig, 2, 1, 5);
        run_until(rig, 5);
        assert_int_equal(rig->n_asked, 3);
        assert_str(buf_str(&rig->log), open ? STR("1+ 2+ 3+ 4- 5+ ") : STR("1- 2- 3- 4- 5+ "));
        rig_free(rig);
    }
}

static void refuses_when_too_many_wait(void **state)
{
    struct rig *rig = rig_new(true);

    (void)state;
    atomic_store(&rig->is_held, true);
    for (int i = 0; i < ADMISSION_WAITING_MAX; i++)
        ask(rig, 1, 1, 0);
    for (int i = 0; i < 3; i++)
        loop_run_once(rig->loop, 1);
    ask(rig, 2, 1, 7);
    run_until(rig, 1);
    assert_str(buf_str(&rig->log), STR("7- "));
    atomic_store(&rig->is_held, false);
    run_until(rig, 1 + ADMISSION_WAITING_MAX);
    ask(rig, 2, 1, 8);
    run_until(rig, 2 + ADMISSION_WAITING_MAX);
    rig_free(rig);
}

static void forgets_when_it_knows_too_many(void **state)
{
    struct rig *rig = rig_new(true);
    size_t n = 0;

    (void)state;
    for (uint32_t i = 0; i <= ADMISSION_KNOWN_MAX; i++) {
        struct asking *q = NEW(struct asking);
        struct node_key key = {{0}};

        q->rig = rig;
        memcpy(key.b + 4, &i, sizeof(i));
        admission_ask(rig->a, &key, IP_ADDR_V4(192, 0, 2, 1), q);
        if (++n % 4096 == 0)
            run_until(rig, n);
        buf_clear(&rig->log);
    }
    run_until(rig, n);
    rig_free(rig);
}

/* Questions under way when it ends are answered by nobody, and leak nothing. */
static void ends_with_questions_under_way(void **state)
{
    struct rig *rig = rig_new(true);
    struct asking *left[9];

    (void)state;
    atomic_store(&rig->is_held, true);
    for (size_t i = 0; i < ARRAY_LEN(left); i++) {
        const struct node_key key = {.b = {(uint8_t)i}};

        left[i] = NEW(struct asking);
        left[i]->rig = rig;
        admission_ask(rig->a, &key, IP_ADDR_V4(192, 0, 2, 1), left[i]);
        if (i == 5) /* the last ones do not even reach it */
            loop_run_once(rig->loop, 1);
    }
    rig_free(rig);
    for (size_t i = 0; i < ARRAY_LEN(left); i++)
        mem_free(left[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_a_yes_for_a_minute),
        cmocka_unit_test(keeps_a_no_for_a_moment_only),
        cmocka_unit_test(asks_once_for_all_who_wait),
        cmocka_unit_test(chooses_when_nobody_answers),
        cmocka_unit_test(refuses_when_too_many_wait),
        cmocka_unit_test(forgets_when_it_knows_too_many),
        cmocka_unit_test(ends_with_questions_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
