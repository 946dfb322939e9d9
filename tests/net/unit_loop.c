/* Loops: mailboxes, timers, the worker pool, signals, and what freeing a loop does. */

#include "../unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/rand.h"
#include "net/loop.h"

#define POSTERS ((size_t)4)
#define EACH ((size_t)2000)

static struct loop *new_loop(void)
{
    struct loop *loop;
    struct err err;

    assert_int_equal(loop_new("test", &loop, &err), 0);
    return loop;
}

/* ---- Mailbox ---- */

struct board {
    struct loop *loop;
    size_t next[POSTERS]; /* the number that must come next from each */
    size_t seen;
    size_t out_of_order;
    size_t cancelled;
    size_t elsewhere;
};

struct note {
    struct loop_message message;
    struct board *board;
    size_t from, number;
};

static void on_note(struct loop_message *msg)
{
    struct note *n = CONTAINER_OF(msg, struct note, message);
    struct board *b = n->board;

    if (b->next[n->from] != n->number)
        b->out_of_order++;
    b->next[n->from] = n->number + 1;
    if (msg->cancelled)
        b->cancelled++;
    if (!loop_is_current(b->loop))
        b->elsewhere++;
    if (++b->seen == POSTERS * EACH)
        loop_stop(b->loop);
    mem_free(n);
}

static void post_note(struct board *b, size_t from, size_t number)
{
    struct note *n = NEW(struct note);

    *n = (struct note){.message = {.run = on_note}, .board = b, .from = from, .number = number};
    loop_post(b->loop, &n->message);
}

struct poster {
    pthread_t thread;
    struct board *board;
    size_t from;
};

static void *poster_main(void *arg)
{
    struct poster *p = arg;

    for (size_t i = 0; i < EACH; i++)
        post_note(p->board, p->from, i);
    return NULL;
}

static void keeps_the_order_of_each_thread(void **state)
{
    struct board board = {.loop = new_loop()};
    struct poster posters[POSTERS];
    struct err err;

    (void)state;
    assert_int_equal(loop_thread_start(board.loop, &err), 0);
    for (size_t i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.board = &board, .from = i};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, poster_main, &posters[i]), 0);
    }
    for (size_t i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
    loop_thread_join(board.loop); /* the last message stops it */
    assert_int_equal(board.seen, POSTERS * EACH);
    assert_int_equal(board.out_of_order, 0);
    assert_int_equal(board.elsewhere, 0);
    assert_int_equal(board.cancelled, 0);
    assert_false(loop_is_current(board.loop));
    loop_free(board.loop);
}

static void cancels_what_a_freed_loop_was_sent(void **state)
{
    struct board board = {.loop = new_loop()};

    (void)state;
    for (size_t i = 0; i < 10; i++)
        post_note(&board, 0, i);
    assert_int_equal(board.seen, 0);
    loop_free(board.loop);
    assert_int_equal(board.seen, 10);
    assert_int_equal(board.out_of_order, 0);
    assert_int_equal(board.cancelled, 10);
    assert_int_equal(board.elsewhere, 0);
}

static void on_note_to_chain(struct loop_message *msg)
{
    struct note *n = CONTAINER_OF(msg, struct note, message);

    post_note(n->board, 0, 0);
    mem_free(n);
}

/* What is posted while the loop is being freed is as cancelled as what was there before. */
static void cancels_what_a_cancelled_message_posts(void **state)
{
    struct board board = {.loop = new_loop()};
    struct note *n = NEW(struct note);

    (void)state;
    *n = (struct note){.message = {.run = on_note_to_chain}, .board = &board};
    loop_post(board.loop, &n->message);
    loop_free(board.loop);
    assert_int_equal(board.seen, 1);
    assert_int_equal(board.cancelled, 1);
}

static void stops_when_asked_before_it_runs(void **state)
{
    struct loop *loop = new_loop();

    (void)state;
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    loop_free(NULL);
}

/* ---- Timers ---- */

struct ring {
    struct timer timer;
    struct loop *loop;
    struct timer *victim; /* stopped by this one */
    int again;            /* times to start anew */
    int64_t again_ms;
    int rung;
    int *order;
    int at; /* place in the order in which they rang */
};

static void on_ring(void *user)
{
    struct ring *r = user;

    assert_false(timer_is_started(&r->timer));
    r->rung++;
    if (r->order)
        r->at = (*r->order)++;
    if (r->victim)
        timer_stop(r->victim);
    if (r->again-- > 0)
        timer_start(&r->timer, r->again_ms);
}

static void ring_init(struct ring *r, struct loop *loop)
{
    r->loop = loop;
    timer_init(&r->timer, loop, on_ring, r);
}

#define RINGS 200

static void rings_in_the_order_of_time(void **state)
{
    static struct ring rings[RINGS];
    struct loop *loop = new_loop();
    struct rand_seeded r;
    uint64_t seed = rand_u64();
    int order = 0;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    rand_seed(&r, seed);
    for (int i = 0; i < RINGS; i++) {
        rings[i] = (struct ring){.order = &order};
        ring_init(&rings[i], loop);
        timer_start(&rings[i].timer, 1000 + 10 * (int64_t)rand_seeded_below(&r, 1000));
    }
    /* Some move, some stop. */
    for (int i = 0; i < RINGS; i += 3)
        timer_start(&rings[i].timer, 1000 + 10 * (int64_t)rand_seeded_below(&r, 1000));
    for (int i = 1; i < RINGS; i += 3)
        timer_stop(&rings[i].timer);
    loop_run_once(loop, 0);
    assert_int_equal(order, 0);
    clock_test_advance_ms(20000);
    loop_run_once(loop, 0);
    for (int i = 0; i < RINGS; i++) {
        assert_int_equal(rings[i].rung, i % 3 == 1 ? 0 : 1);
        for (int j = 0; j < i; j++)
            if (rings[i].rung && rings[j].rung && rings[i].timer.due_ms < rings[j].timer.due_ms)
                assert_true(rings[i].at < rings[j].at);
    }
    loop_free(loop);
}

static void starts_anew_from_inside(void **state)
{
    struct loop *loop = new_loop();
    struct ring at_once = {.again = 1000000}, later = {.again = 3, .again_ms = 60000};

    (void)state;
    ring_init(&at_once, loop);
    ring_init(&later, loop);
    timer_start(&at_once.timer, 0);
    timer_start(&later.timer, 60000);
    /* One that starts itself for now, over and over, leaves the round an end. */
    loop_run_once(loop, 0);
    assert_in_range(at_once.rung, 1, 100);
    at_once.again = 3;
    for (int i = 0; i < 50 && at_once.again >= 0; i++)
        loop_run_once(loop, 5);
    assert_int_equal(at_once.again, -1);
    assert_false(timer_is_started(&at_once.timer));
    assert_int_equal(later.rung, 0);
    for (int i = 1; i <= 4; i++) {
        clock_test_advance_ms(60001);
        loop_run_once(loop, 0);
        assert_int_equal(later.rung, i);
    }
    assert_false(timer_is_started(&later.timer));
    loop_free(loop);
}

static void stops_others_from_inside(void **state)
{
    struct loop *loop = new_loop();
    struct ring first = {0}, second = {0}, third = {0};

    (void)state;
    ring_init(&first, loop);
    ring_init(&second, loop);
    ring_init(&third, loop);
    first.victim = &second.timer;
    timer_start(&third.timer, 300);
    timer_start(&second.timer, 200);
    timer_start(&first.timer, 100);
    assert_true(timer_is_started(&second.timer));
    clock_test_advance_ms(1000); /* all are due in one round */
    loop_run_once(loop, 0);
    assert_int_equal(first.rung, 1);
    assert_int_equal(second.rung, 0);
    assert_int_equal(third.rung, 1);
    assert_false(timer_is_started(&second.timer));
    timer_stop(&second.timer); /* twice is harmless */
    loop_free(loop);
}

static void rings_after_real_time(void **state)
{
    struct loop *loop = new_loop();
    struct ring soon = {0};
    int64_t begin = clock_mono_ms();

    (void)state;
    ring_init(&soon, loop);
    timer_start(&soon.timer, 30);
    for (int i = 0; i < 200 && soon.rung == 0; i++)
        loop_run_once(loop, 1000);
    assert_int_equal(soon.rung, 1);
    assert_in_range(clock_mono_ms() - begin, 29, 5000);
    assert_in_range(loop_now_ms(loop) - begin, 29, 5000);
    /* Freed with a timer still started: the timer's memory is ours, and nothing rings. */
    timer_start(&soon.timer, 0);
    loop_free(loop);
    assert_in_range(soon.rung, 1, 2);
}

/* ---- Workers ---- */

struct job {
    struct worker_job job;
    _Atomic(int) *working;
    int *done;
    bool was_elsewhere, is_back;
};

static void on_work(struct worker_job *job)
{
    struct job *j = CONTAINER_OF(job, struct job, job);

    j->was_elsewhere = !loop_is_current(job->loop);
    atomic_fetch_add(j->working, 1);
}

static void on_done(struct worker_job *job)
{
    struct job *j = CONTAINER_OF(job, struct job, job);

    j->is_back = loop_is_current(job->loop);
    (*j->done)++;
}

#define JOBS 300

static void works_in_the_pool(void **state)
{
    static struct job jobs[JOBS];
    struct loop *loop = new_loop();
    struct worker_pool *pool;
    _Atomic(int) working = 0;
    int done = 0;
    struct err err;

    (void)state;
    assert_int_equal(worker_pool_new(3, &pool, &err), 0);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.job = {.work = on_work, .done = on_done, .loop = loop},
                               .working = &working,
                               .done = &done};
        worker_submit(pool, &jobs[i].job);
    }
    for (int i = 0; i < 1000 && done < JOBS / 2; i++)
        loop_run_once(loop, 10);
    assert_true(done >= JOBS / 2);
    worker_pool_free(pool); /* finishes the rest */
    assert_int_equal(atomic_load(&working), JOBS);
    /* What is reported to a loop that is freed is still reported. */
    loop_free(loop);
    assert_int_equal(done, JOBS);
    for (int i = 0; i < JOBS; i++)
        assert_true(jobs[i].was_elsewhere && jobs[i].is_back);
    worker_pool_free(NULL);
}

/* ---- Signals ---- */

static void on_signal(void *user, int signo)
{
    *(int *)user = signo;
}

static void hears_signals(void **state)
{
    struct loop *loop = new_loop();
    int hup = 0, usr1 = 0;
    struct err err;

    (void)state;
    assert_int_equal(loop_on_signal(loop, SIGHUP, on_signal, &hup, &err), 0);
    assert_int_equal(loop_on_signal(loop, SIGUSR1, on_signal, &usr1, &err), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    for (int i = 0; i < 100 && usr1 == 0; i++)
        loop_run_once(loop, 10);
    assert_int_equal(usr1, SIGUSR1);
    assert_int_equal(hup, 0);
    loop_free(loop);
}

/* A loop that stands still while a signal comes and a timer becomes due. */
struct stall {
    struct loop_message message;
    struct loop *loop;
    struct timer timer;
    int signo, rung;
    bool was_heard; /* the signal, when the timer rang */
};

static void on_stall(struct loop_message *message)
{
    struct stall *s = CONTAINER_OF(message, struct stall, message);

    timer_start(&s->timer, 1);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    clock_test_advance_ms(60000);
    (void)usleep(5000); /* libuv has a clock of its own */
}

static void on_stall_timer(void *user)
{
    struct stall *s = user;

    s->rung++;
    s->was_heard = s->signo != 0;
    loop_stop(s->loop);
}

static void hears_what_came_before_it_judges_the_time(void **state)
{
    struct loop *loop = new_loop();
    struct stall stall = {.loop = loop, .message.run = on_stall};
    struct err err;

    (void)state;
    timer_init(&stall.timer, loop, on_stall_timer, &stall);
    assert_int_equal(loop_on_signal(loop, SIGUSR1, on_signal, &stall.signo, &err), 0);
    loop_post(loop, &stall.message);
    loop_run(loop);
    assert_int_equal(stall.rung, 1);
    assert_true(stall.was_heard);
    /* The same by single rounds. */
    stall.signo = 0;
    loop_post(loop, &stall.message);
    for (int i = 0; i < 100 && stall.rung == 1; i++)
        loop_run_once(loop, 10);
    assert_int_equal(stall.rung, 2);
    assert_true(stall.was_heard);
    loop_free(loop);
}

static void refuses_a_signal_that_cannot_be_heard(void **state)
{
    struct loop *loop = new_loop();
    int got = 0;
    struct err err = {0};

    (void)state;
    assert_int_equal(loop_on_signal(loop, SIGKILL, on_signal, &got, &err), -ERR_IO);
    loop_run_once(loop, 0);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_order_of_each_thread),
        cmocka_unit_test(cancels_what_a_freed_loop_was_sent),
        cmocka_unit_test(cancels_what_a_cancelled_message_posts),
        cmocka_unit_test(stops_when_asked_before_it_runs),
        cmocka_unit_test(rings_in_the_order_of_time),
        cmocka_unit_test(starts_anew_from_inside),
        cmocka_unit_test(stops_others_from_inside),
        cmocka_unit_test(rings_after_real_time),
        cmocka_unit_test(works_in_the_pool),
        cmocka_unit_test(hears_signals),
        cmocka_unit_test(hears_what_came_before_it_judges_the_time),
        cmocka_unit_test(refuses_a_signal_that_cannot_be_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
