/*
 * How much clients may bring: each of them, and all together.
 *
 *   bytes of a client --charge--> its bucket, filled at MIN(its rate, share) --in debt--> not read
 *   bytes of all      --judge, a few times a second--> share --------^
 *
 * Nothing is dropped: who is not read is slowed by its own TCP. The share is what keeps a limit for
 * all together fair: it falls while clients bring more than the total and rises while they bring
 * less, so those who want less than it never wait, and those who want more get equal parts of what
 * is left. One number that all loops read is all they need to share.
 *
 * Invariants
 *   1. `seen`, `mean` and `credit` belong to whoever has set `is_judging`.
 *   2. What came in all is at most total * time + burst, but for what one judgement takes to bite:
 *      debt lowers the aim until it is paid.
 */

#include "core/clock.h"
#include "derp/server_internal.h"

#define BURST_MIN ((uint64_t)(DERP_PACKET_MAX + KEY_BYTES + DERP_FRAME_HEADER))
#define RATE_MAX ((uint64_t)1 << 40)
#define JUDGE_MS 200
#define MEAN_MS 800    /* time constant of what is taken for the rate of all */
#define RECHECK_MS 250 /* who waits looks again: rates may have changed meanwhile */
#define SHARE_MIN 1024 /* bytes per second: below it there is nothing to share out */
#define LOG_EVERY_MS 60000

struct limiter {
    struct timer resume;
    int64_t tokens; /* bytes; below zero: wait */
    int64_t at_ms;
};

/* ---- All together ---- */

/* What all may bring now: the limit, less what pays debts back within a second. */
static int64_t aim(const struct derp_total *t, int64_t rate)
{
    return t->credit >= 0 ? rate : MAX(rate + t->credit, rate / 4);
}

static void log_share(struct derp_total *t, uint64_t share)
{
    uint64_t unlogged = 0;

    if (!log_pace_may(&t->pace, LOG_EVERY_MS, &unlogged))
        return;
    log_event(LOG_WARN, "clients bring more than the total rate limit: the busiest are slowed",
              LOG_U64("limit_bytes_per_second", atomic_load(&t->rate)),
              LOG_U64("share_bytes_per_second", share));
}

static void judge(struct derp_server *s, int64_t dt)
{
    struct derp_total *t = &s->total;
    int64_t rate = (int64_t)atomic_load(&t->rate), share = (int64_t)atomic_load(&t->share);
    uint64_t came = 0;

    if (rate == 0)
        return; /* meanwhile there is no limit any more */
    for (size_t i = 0; i < s->n_loops; i++)
        came += atomic_load_explicit(&s->loops[i].came, memory_order_relaxed);
    int64_t bytes = (int64_t)(came - t->seen), span = MIN(dt, (int64_t)60000);

    t->seen = came;
    t->mean += (bytes * 1000 / dt - t->mean) * span / (MEAN_MS + span);
    t->credit = MIN(t->credit + rate * span / 1000 - bytes, (int64_t)atomic_load(&t->burst));
    int64_t want = aim(t, rate), mean = MAX(t->mean, (int64_t)1);
    bool has_waited = atomic_exchange(&t->has_waited, false);

    /* By a part of what is amiss at a time: it takes a while to show. */
    if (mean > want && t->credit < 0)
        share -= share * MIN(mean - want, mean) / mean / 3;
    else if (mean < want)
        share += has_waited ? share * MIN(want - mean, want) / want / 3 + 1 : share;
    share = MIN(MAX(share, (int64_t)SHARE_MIN), rate);
    atomic_store(&t->share, (uint64_t)share);
    if (has_waited && share < rate)
        log_share(t, (uint64_t)share);
}

/* Whoever comes first after JUDGE_MS judges for all. */
static void judge_sometimes(struct derp_server *s, int64_t now)
{
    struct derp_total *t = &s->total;

    if (now - atomic_load(&t->judged_ms) < JUDGE_MS || atomic_exchange(&t->is_judging, true))
        return;
    int64_t dt = now - atomic_load(&t->judged_ms);

    if (dt >= JUDGE_MS) {
        judge(s, dt);
        atomic_store(&t->judged_ms, now);
    }
    atomic_store(&t->is_judging, false);
}

static uint64_t burst_of(uint64_t wanted)
{
    return MIN(MAX(wanted, BURST_MIN), RATE_MAX);
}

void derp_server_set_rate(struct derp_server *s, uint64_t bytes_per_second, uint64_t burst_bytes)
{
    atomic_store(&s->burst, burst_of(burst_bytes));
    atomic_store(&s->rate, MIN(bytes_per_second, RATE_MAX));
}

void derp_server_set_total_rate(struct derp_server *s, uint64_t bytes_per_second,
                                uint64_t burst_bytes)
{
    struct derp_total *t = &s->total;
    uint64_t rate = MIN(bytes_per_second, RATE_MAX);

    if (rate > 0)
        rate = MAX(rate, (uint64_t)SHARE_MIN);
    atomic_store(&t->burst, burst_of(burst_bytes));
    atomic_store(&t->share, rate);
    atomic_store(&t->rate, rate);
}

/* ---- One client ---- */

struct allowance {
    int64_t rate, burst; /* rate 0: no limit */
    bool is_share;       /* all together are the limit, not this client */
};

static struct allowance allowance(const struct derp_server *s)
{
    uint64_t rate = atomic_load(&s->rate), total = atomic_load(&s->total.rate);
    uint64_t share = total > 0 ? atomic_load(&s->total.share) : 0;

    if (total > 0 && (rate == 0 || share < rate))
        return (struct allowance){(int64_t)MAX(share, (uint64_t)1), (int64_t)burst_of(share / 8),
                                  true};
    return (struct allowance){(int64_t)rate, (int64_t)atomic_load(&s->burst), false};
}

static void on_resume(void *user);

static struct limiter *limiter_new(struct session *c, int64_t burst, int64_t now)
{
    struct limiter *lim = NEW(struct limiter);

    lim->tokens = burst;
    lim->at_ms = now;
    timer_init(&lim->resume, c->home->loop, on_resume, c);
    return lim;
}

/* Fills the bucket, takes n out of it; how long its debt takes to be paid, 0: there is none. */
static int64_t settle(struct limiter *lim, const struct allowance *a, int64_t now, size_t n)
{
    int64_t earned = MIN(now - lim->at_ms, (int64_t)60000) * a->rate / 1000;

    lim->tokens = MIN(lim->tokens + earned, a->burst) - (int64_t)n;
    lim->at_ms = now;
    return lim->tokens >= 0 ? 0 : -lim->tokens * 1000 / a->rate + 1;
}

/* Until its debt is paid, or things may have changed. */
static void hold(struct session *c, const struct allowance *a, int64_t wait)
{
    if (a->is_share)
        atomic_store_explicit(&c->home->server->total.has_waited, true, memory_order_relaxed);
    timer_start(&c->limiter->resume, MIN(wait, (int64_t)RECHECK_MS));
}

static void on_resume(void *user)
{
    struct session *c = user;
    struct allowance a = allowance(c->home->server);
    int64_t now = clock_mono_ms();
    int64_t wait = a.rate > 0 ? settle(c->limiter, &a, now, 0) : 0;

    if (wait > 0)
        hold(c, &a, wait);
    else
        session_read_on(c);
}

void limit_charge(struct session *c, size_t n)
{
    struct derp_server *s = c->home->server;
    bool has_total = atomic_load_explicit(&s->total.rate, memory_order_relaxed) > 0;

    if (!has_total && atomic_load_explicit(&s->rate, memory_order_relaxed) == 0)
        return;
    int64_t now = clock_mono_ms();

    if (has_total) {
        uint64_t came = atomic_load_explicit(&c->home->came, memory_order_relaxed);

        atomic_store_explicit(&c->home->came, came + n, memory_order_relaxed);
        judge_sometimes(s, now);
    }
    struct allowance a = allowance(s);

    if (a.rate == 0)
        return;
    if (!c->limiter)
        c->limiter = limiter_new(c, a.burst, now);
    int64_t wait = settle(c->limiter, &a, now, n);

    if (wait == 0 || c->state != SESSION_READY)
        return;
    tally_add(c->home, a.is_share ? TALLY_LIMITED_TOTAL : TALLY_LIMITED, 1);
    stream_read_stop(c->stream);
    hold(c, &a, wait);
}

bool limit_holds(const struct session *c)
{
    return c->limiter && timer_is_started(&c->limiter->resume);
}

void limit_fini(struct session *c)
{
    if (c->limiter)
        timer_stop(&c->limiter->resume);
    mem_free(TAKE(c->limiter));
}
