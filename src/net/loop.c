/*
 * Loops: libuv underneath, a mailbox, a heap of timers, and hooks at the end of each round.
 *
 * The mailbox is a lock-free stack that the loop takes whole and reverses: posting is one exchange,
 * and one wake-up serves all that was posted meanwhile. A loop that is not asleep needs none, as it
 * looks before it falls asleep:
 *
 *   loop:    is_asleep = true,  then looks into the mailbox
 *   poster:  puts a message in, then looks at is_asleep     so one of them sees the other's
 *
 * What wakes it is an eventfd of its own: libuv's uv_async_t has the loop spin until whoever woke
 * it is back from the system call, and with few cores that is who the loop took the core from.
 */

#include "net/net_internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"

#define LATE_MS 1000 /* as no loop is by its own work */

static __thread struct loop *current_loop;

/*
 * The clock first: then loop_now_ms() never runs ahead of clock_mono_ms(), and so never goes back.
 */
static void see_time(struct loop *loop)
{
    loop->now_ms = clock_mono_ms();
    uv_update_time(&loop->uv);
    loop->uv_ms = uv_now(&loop->uv);
}

/* ---- Mailbox ---- */

static void run_messages(struct loop *loop)
{
    struct loop_message *taken = atomic_exchange(&loop->mailbox, NULL), *in_order = NULL;

    while (taken) {
        struct loop_message *next = taken->next;

        taken->next = in_order;
        in_order = taken;
        taken = next;
    }
    while (in_order) {
        struct loop_message *msg = in_order;

        in_order = msg->next;
        msg->next = NULL;
        msg->cancelled = loop->is_ending;
        msg->run(msg);
    }
}

static void wake(struct loop *loop)
{
    const uint64_t one = 1;

    (void)!write(loop->wake_fd, &one, sizeof one); /* full: it has been woken often enough */
}

static void on_wakeup(uv_poll_t *poll, int status, int events)
{
    struct loop *loop = poll->data;
    uint64_t times;

    (void)status;
    (void)events;
    (void)!read(loop->wake_fd, &times, sizeof times);
    if (atomic_load(&loop->stopping))
        uv_stop(&loop->uv);
}

/* False, and it is not asleep: there is something to do. */
static bool fall_asleep(struct loop *loop)
{
    atomic_store(&loop->is_asleep, true);
    if (!atomic_load(&loop->mailbox))
        return true;
    atomic_store(&loop->is_asleep, false);
    return false;
}

void loop_post(struct loop *loop, struct loop_message *msg)
{
    struct loop_message *head = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);

    do
        msg->next = head;
    while (!atomic_compare_exchange_weak(&loop->mailbox, &head, msg));
    /* Whoever found it empty wakes the loop; the others ride along. */
    if (!head && atomic_load(&loop->is_asleep))
        wake(loop);
}

/* ---- Timers: a binary heap on one libuv timer ---- */

static void heap_put(struct loop *loop, size_t at, struct timer *t)
{
    loop->timers[at] = t;
    t->heap_at = at + 1;
}

static void heap_up(struct loop *loop, size_t at)
{
    struct timer *t = loop->timers[at];

    while (at > 0 && loop->timers[(at - 1) / 2]->due_ms > t->due_ms) {
        heap_put(loop, at, loop->timers[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(loop, at, t);
}

static void heap_down(struct loop *loop, size_t at)
{
    struct timer *t = loop->timers[at];

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= loop->n_timers)
            break;
        if (child + 1 < loop->n_timers &&
            loop->timers[child + 1]->due_ms < loop->timers[child]->due_ms)
            child++;
        if (loop->timers[child]->due_ms >= t->due_ms)
            break;
        heap_put(loop, at, loop->timers[child]);
        at = child;
    }
    heap_put(loop, at, t);
}

static void heap_remove(struct loop *loop, struct timer *t)
{
    size_t at = t->heap_at - 1;
    struct timer *last = loop->timers[--loop->n_timers];

    t->heap_at = 0;
    if (last == t)
        return;
    heap_put(loop, at, last);
    heap_up(loop, at);
    heap_down(loop, last->heap_at - 1);
}

static void on_uv_timer(uv_timer_t *handle);

/* libuv runs a timer that is due again at once; a millisecond lets the round go on to its poll. */
static void arm(struct loop *loop, int64_t least_ms)
{
    if (loop->n_timers == 0) {
        (void)uv_timer_stop(&loop->uv_timer);
        return;
    }
    int64_t in = MAX(loop->timers[0]->due_ms - clock_mono_ms(), least_ms);

    uv_update_time(&loop->uv);
    (void)uv_timer_start(&loop->uv_timer, on_uv_timer, (uint64_t)in, 0);
}

/* The loop did not run for so long: the machine slept, or others had it. */
static bool is_late(const struct loop *loop)
{
    return loop->n_timers > 0 && clock_mono_ms() - loop->timers[0]->due_ms >= LATE_MS;
}

static void on_uv_timer(uv_timer_t *handle)
{
    struct loop *loop = handle->data;

    see_time(loop);
    int64_t now = loop->now_ms;

    /* What peers have sent meanwhile counts as in time: it is read first. */
    if (!loop->has_caught_up && is_late(loop)) {
        loop->has_caught_up = true;
        uv_update_time(&loop->uv);
        (void)uv_timer_start(&loop->uv_timer, on_uv_timer, 1, 0);
        return;
    }
    loop->has_caught_up = false;
    loop->in_timers = true;
    /* What a timer starts anew for now waits for the next round. */
    for (size_t budget = loop->n_timers; budget > 0 && loop->n_timers > 0; budget--) {
        struct timer *t = loop->timers[0];

        if (t->due_ms > now)
            break;
        heap_remove(loop, t);
        t->fn(t->user);
    }
    loop->in_timers = false;
    arm(loop, 1);
}

void timer_init(struct timer *t, struct loop *loop, void (*fn)(void *user), void *user)
{
    *t = (struct timer){.loop = loop, .fn = fn, .user = user};
}

void timer_start(struct timer *t, int64_t in_ms)
{
    struct loop *loop = t->loop;

    if (t->heap_at)
        heap_remove(loop, t);
    if (loop->n_timers == loop->cap_timers) {
        loop->cap_timers = loop->cap_timers ? 2 * loop->cap_timers : 64;
        loop->timers = mem_realloc_array(loop->timers, loop->cap_timers, sizeof(*loop->timers));
    }
    t->due_ms = clock_mono_ms() + (in_ms < 0 ? 0 : in_ms);
    if (loop->in_timers)
        t->due_ms = MAX(t->due_ms, loop->now_ms + 1);
    loop->timers[loop->n_timers] = t;
    heap_up(loop, loop->n_timers++);
    if (t->heap_at == 1 && !loop->in_timers)
        arm(loop, 0);
}

void timer_stop(struct timer *t)
{
    if (t->heap_at)
        heap_remove(t->loop, t);
}

bool timer_is_started(const struct timer *t)
{
    return t->heap_at != 0;
}

/* ---- Work at the end of a round ---- */

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being there keeps the poll from waiting */
}

void loop_defer(struct loop *loop, struct deferred *d)
{
    if (list_node_is_linked(&d->link))
        return;
    list_push_back(&loop->deferred, &d->link);
    if (!uv_is_active((uv_handle_t *)&loop->idle))
        (void)uv_idle_start(&loop->idle, on_idle);
}

void loop_undefer(struct deferred *d)
{
    list_remove(&d->link);
}

static void rest(struct loop *loop)
{
    struct timespec ts;

    if (loop->load.reads == 0 && !loop->load.is_resting)
        return;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    int64_t us = load_rest_us(&loop->load, (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);

    if (us == 0 || !list_is_empty(&loop->deferred))
        return;
    ts = (struct timespec){.tv_nsec = (long)us * 1000};
    (void)nanosleep(&ts, NULL);
}

/* What is queued meanwhile runs in the next round, so that a round ends. */
static void run_deferred(struct loop *loop)
{
    struct list running;

    list_init(&running);
    for (struct list_node *n = list_pop_front(&loop->deferred); n;
         n = list_pop_front(&loop->deferred))
        list_push_back(&running, n);
    for (struct list_node *n = list_pop_front(&running); n; n = list_pop_front(&running)) {
        struct deferred *d = CONTAINER_OF(n, struct deferred, link);

        d->run(d);
    }
    if (list_is_empty(&loop->deferred))
        (void)uv_idle_stop(&loop->idle);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;

    run_deferred(loop);
    rest(loop);
    if (!fall_asleep(loop) && !uv_is_active((uv_handle_t *)&loop->idle))
        (void)uv_idle_start(&loop->idle, on_idle);
}

static void on_check(uv_check_t *check)
{
    struct loop *loop = check->data;

    atomic_store(&loop->is_asleep, false);
    see_time(loop);
    run_messages(loop);
    run_deferred(loop);
}

/* ---- Life ---- */

/* The parts that may be refused; on failure none of them is left. */
static int uv_new(struct loop *loop)
{
    int status;

    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0)
        return uv_translate_sys_error(errno);
    status = uv_loop_init(&loop->uv);
    if (status == 0) {
        status = uv_poll_init(&loop->uv, &loop->wakeup, loop->wake_fd);
        if (status < 0)
            (void)uv_loop_close(&loop->uv);
    }
    if (status < 0)
        (void)close(loop->wake_fd);
    return status;
}

int loop_new(const char *name, struct loop **out, struct err *err)
{
    struct loop *loop = NEW(struct loop);
    int status = uv_new(loop);

    if (status < 0) {
        mem_free(loop);
        return err_set(err, ERR_IO, "making an event loop: %s", uv_strerror(status));
    }
    /* libuv writes to sockets with write(): a peer that has gone must not end the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(loop->name, sizeof(loop->name), "%s", name);
    list_init(&loop->deferred);
    see_time(loop);
    list_init(&loop->streams);
    list_init(&loop->signals);
    list_init(&loop->owned);
    list_init(&loop->handshakes.waiting);
    (void)uv_timer_init(&loop->uv, &loop->uv_timer);
    (void)uv_prepare_init(&loop->uv, &loop->prepare);
    (void)uv_check_init(&loop->uv, &loop->check);
    (void)uv_idle_init(&loop->uv, &loop->idle);
    loop->wakeup.data = loop->uv_timer.data = loop->prepare.data = loop->check.data = loop;
    (void)uv_poll_start(&loop->wakeup, UV_READABLE, on_wakeup);
    (void)uv_prepare_start(&loop->prepare, on_prepare);
    (void)uv_check_start(&loop->check, on_check);
    *out = loop;
    return 0;
}

/* libuv's handles close at the end of a round; a few rounds do it for layers of streams. */
static void drain(struct loop *loop)
{
    for (int i = 0; i < 64; i++) {
        run_messages(loop);
        loop_close_all(loop);
        run_deferred(loop);
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
        if (list_is_empty(&loop->streams) && list_is_empty(&loop->deferred) &&
            !atomic_load(&loop->mailbox))
            return;
    }
}

static void on_signal_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    struct loop *outside = current_loop;

    current_loop = loop;
    loop->is_ending = true;
    for (struct list_node *n = list_first(&loop->owned); n; n = list_first(&loop->owned)) {
        struct loop_owned *o = CONTAINER_OF(n, struct loop_owned, link);

        o->close(o);
    }
    drain(loop);
    LIST_FOR_EACH(s, &loop->signals, struct loop_signal, link) {
        list_remove(&s->link);
        uv_close((uv_handle_t *)&s->uv, on_signal_closed);
    }
    uv_close((uv_handle_t *)&loop->wakeup, NULL);
    uv_close((uv_handle_t *)&loop->uv_timer, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    for (int i = 0; i < 16 && uv_run(&loop->uv, UV_RUN_NOWAIT); i++)
        ;
    if (uv_loop_close(&loop->uv) < 0)
        log_event(LOG_ERROR, "an event loop was freed with something open on it",
                  LOG_TXT("loop", loop->name));
    (void)close(loop->wake_fd);
    run_messages(loop);
    current_loop = outside == loop ? NULL : outside;
    /* Their owners may stop them later, as with timers that were never started. */
    for (size_t i = 0; i < loop->n_timers; i++)
        loop->timers[i]->heap_at = 0;
    mem_free(loop->timers);
    mem_free(loop->read_buffer);
    mem_free(loop->plain_buffer);
    pool_fini(&loop->pool);
    mem_free(loop);
}

void loop_run(struct loop *loop)
{
    current_loop = loop;
    while (!atomic_load(&loop->stopping))
        (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    atomic_store(&loop->stopping, false);
    current_loop = NULL;
}

/* libuv's own "once" may run a timer that is due and then wait for the next event all the same. */
void loop_run_once(struct loop *loop, int ms)
{
    struct loop *outside = current_loop;
    struct pollfd backend = {.fd = uv_backend_fd(&loop->uv), .events = POLLIN};

    current_loop = loop;
    if (is_late(loop)) {
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
        loop->has_caught_up = true;
    }
    /* Nor does it see a clock that a test has turned. */
    on_uv_timer(&loop->uv_timer);
    uv_update_time(&loop->uv);
    int wait = uv_backend_timeout(&loop->uv);

    if (!fall_asleep(loop))
        wait = 0;
    (void)poll(&backend, 1, wait < 0 || wait > ms ? ms : wait);
    (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
    current_loop = outside;
}

void loop_flush(struct loop *loop)
{
    struct loop *outside = current_loop;

    current_loop = loop;
    run_deferred(loop);
    current_loop = outside;
}

static void *thread_main(void *arg)
{
    struct loop *loop = arg;

    (void)pthread_setname_np(pthread_self(), loop->name);
    (void)prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); /* nanoseconds: rests are short */
    loop_run(loop);
    return NULL;
}

int loop_thread_start(struct loop *loop, struct err *err)
{
    int status = pthread_create(&loop->thread, NULL, thread_main, loop);

    if (status != 0)
        return err_sys(err, status, "starting a thread");
    loop->has_thread = true;
    return 0;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    wake(loop);
}

void loop_thread_join(struct loop *loop)
{
    if (!loop->has_thread)
        return;
    (void)pthread_join(loop->thread, NULL);
    loop->has_thread = false;
}

bool loop_is_current(const struct loop *loop)
{
    return current_loop == loop;
}

int64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms + (int64_t)(uv_now(&loop->uv) - loop->uv_ms);
}

static void on_uv_signal(uv_signal_t *handle, int signo)
{
    struct loop_signal *s = handle->data;

    s->fn(s->user, signo);
}

int loop_on_signal(struct loop *loop, int signo, void (*fn)(void *user, int signo), void *user,
                   struct err *err)
{
    struct loop_signal *s = NEW(struct loop_signal);
    int status = uv_signal_init(&loop->uv, &s->uv);

    if (status < 0) {
        mem_free(s);
        return err_set(err, ERR_IO, "watching for signal %d: %s", signo, uv_strerror(status));
    }
    s->fn = fn;
    s->user = user;
    s->uv.data = s;
    status = uv_signal_start(&s->uv, on_uv_signal, signo);
    if (status < 0) {
        uv_close((uv_handle_t *)&s->uv, on_signal_closed); /* the loop knows it already */
        return err_set(err, ERR_IO, "watching for signal %d: %s", signo, uv_strerror(status));
    }
    list_push_back(&loop->signals, &s->link);
    return 0;
}
