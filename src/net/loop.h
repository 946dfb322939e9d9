#pragma once

/*
 * Event loops, one per thread, with mailboxes and timers.
 *
 * A loop owns what was opened on it, for life: streams, listeners, timers and sockets are touched
 * only from their loop's thread. Other threads talk to a loop by posting messages.
 *
 *   other threads --loop_post()--> mailbox --> loop thread: msg->run(msg)
 *
 * Messages from one thread arrive in the order they were posted.
 */

#include "core/err.h"

struct loop;

/*
 * What is posted: embedded in the poster's own struct, whose memory `run` takes over. `run` is
 * called once on the loop's thread; a message posted to a loop that has stopped is run with
 * `cancelled` set when the loop is freed, so that nothing leaks.
 */
struct loop_message {
    void (*run)(struct loop_message *msg);
    struct loop_message *next; /* the mailbox's */
    bool cancelled;
};

/* `name` is for logs and the thread, at most 15 characters, copied. SIGPIPE is ignored from now on,
 * in the whole process. */
MUST_USE int loop_new(const char *name, struct loop **out, struct err *err);
/* The loop must not be running. Closes what is still open on it. NULL is fine. */
void loop_free(struct loop *loop);
/* Runs until loop_stop; call from the thread that is to be the loop's. */
void loop_run(struct loop *loop);
/* Starts a thread that runs the loop. */
MUST_USE int loop_thread_start(struct loop *loop, struct err *err);
/* Asks the loop to return from loop_run; from any thread. */
void loop_stop(struct loop *loop);
/* Waits for the thread of loop_thread_start to end. */
void loop_thread_join(struct loop *loop);
/* From any thread; never blocks. */
void loop_post(struct loop *loop, struct loop_message *msg);
bool loop_is_current(const struct loop *loop);
/* Time at the start of this round of the loop, as clock_mono_ms(): cheap. */
int64_t loop_now_ms(const struct loop *loop);
/* Calls fn when one of the signals arrives; for the main loop. */
MUST_USE int loop_on_signal(struct loop *loop, int signo, void (*fn)(void *user, int signo),
                            void *user, struct err *err);
/* Tests: one round, not waiting longer than `ms`. */
void loop_run_once(struct loop *loop, int ms);
/*
 * Benches: writes now what streams have been given since the last round, instead of at the end of
 * the next one. Only between rounds of loop_run_once.
 */
void loop_flush(struct loop *loop);

/*
 * For buffers that are filled, written and emptied over and over: their memory is the loop's while
 * they are empty, so idle owners hold none, and busy ones need not grow it each time. On the loop's
 * thread only.
 */
struct buf;
/* Gives a buffer without memory some that was given back, if there is any. */
void loop_buf_take(struct loop *loop, struct buf *b);
/* Empties the buffer, and leaves it without memory; its ceiling stays. */
void loop_buf_give(struct loop *loop, struct buf *b);

/*
 * A one-shot timer, embedded where it is needed; costs nothing while not started. Resolution is
 * about a millisecond; starting a started one moves it. `fn` may start it again. Stop it before
 * freeing its memory.
 */
struct timer {
    struct loop *loop;
    void (*fn)(void *user);
    void *user;
    int64_t due_ms;
    size_t heap_at; /* 0: not started; else the loop's business */
};
void timer_init(struct timer *t, struct loop *loop, void (*fn)(void *user), void *user);
void timer_start(struct timer *t, int64_t in_ms);
void timer_stop(struct timer *t);
bool timer_is_started(const struct timer *t);

/*
 * A pool of threads for work that takes long (hashes, compiles, large compressions). `work` runs
 * on a pool thread, then `done` on the loop given; the job's memory is the caller's until `done`.
 */
struct worker_pool;
struct worker_job {
    void (*work)(struct worker_job *job);
    void (*done)(struct worker_job *job);
    struct loop *loop;
    struct loop_message message; /* the pool's */
    struct worker_job *next;     /* the pool's */
};
MUST_USE int worker_pool_new(size_t threads, struct worker_pool **out, struct err *err);
/* Finishes what was submitted. */
void worker_pool_free(struct worker_pool *pool);
void worker_submit(struct worker_pool *pool, struct worker_job *job);
