/*
 * What the simulated nodes do; see bench.h for the phases.
 *
 * A phase runs the loop until what it waits for is so; a check that failed ends the run, and the
 * phases behind it do not begin.
 */

#include "bench/control_internal.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"

#define JOINING_MAX 64
/* Servers hold a change back that follows another closely; what is timed is one alone. */
#define CHANGE_EVERY_MS 100
#define CHURN_EVERY_MS 20
#define STORM_MOVES 5 /* endpoint changes of each node, without waiting for answers */
#define VERIFY_TRIES 3
#define VERIFY_AT_ONCE 256
#define WATCHDOG_MS 120000 /* a client ends a stream that is silent for so long */

/* ---- Joining ---- */

static void begin_some(struct run *r)
{
    while (r->begun < r->n && r->under_way < JOINING_MAX) {
        sim_init(r, r->begun);
        sim_begin(&r->sims[r->begun++], true);
    }
}

static bool all_joined(struct run *r)
{
    begin_some(r);
    return r->with_map == r->n;
}

static bool half_joined(struct run *r)
{
    begin_some(r);
    return r->with_map >= r->n / 2;
}

void phase_join(struct run *r, double *f)
{
    int64_t begun = clock_mono_ms();
    struct bench_usage start = bench_usage_of(r->server_pid), half, end;

    if (!run_until(r, half_joined))
        run_complain(r, "not all nodes got a first map", STR_NONE);
    half = bench_usage_of(r->server_pid);
    if (r->failures == 0 && !run_until(r, all_joined))
        run_complain(r, "not all nodes got a first map", STR_NONE);
    f[F_JOIN] = seconds_since(begun);
    figures_put_samples(&f[F_FIRST_P50], &r->joins);
    if (r->failures == 0)
        run_settle(r, "after joining");
    f[F_SETTLE] = seconds_since(begun);
    end = bench_usage_of(r->server_pid);
    f[F_CPU_JOIN] = end.cpu_seconds - start.cpu_seconds;
    f[F_RSS_NODE] = (end.rss_kib - start.rss_kib) / (double)r->n;
    f[F_RSS_SLOPE] = (end.rss_kib - half.rss_kib) / (double)(r->n - r->n / 2);
    if (r->failures == 0)
        check_distinct(r);
}

/* ---- One change at a time ---- */

static bool all_saw(struct run *r)
{
    return r->saw >= r->n - 1;
}

static void watch_begin(struct run *r, enum watching what, uint32_t slot,
                        const struct node_key *key)
{
    for (size_t k = 0; k < r->n; k++)
        r->sims[k].saw_change = false;
    r->saw = 0;
    r->watching = what;
    netmap_pool_watch(r->pool, slot, key);
    r->change_ns = clock_mono_ns();
}

static void watch_end(struct run *r, const char *complaint)
{
    if (!run_until(r, all_saw))
        run_complain(r, complaint, STR_NONE);
    r->watching = WATCH_NOTHING;
    netmap_pool_watch(r->pool, 0, NULL);
}

void phase_change(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->server_pid);

    for (size_t i = 0; i < r->o->changes && r->n > 1 && r->failures == 0; i++) {
        struct sim *mover = &r->sims[i * 7919 % r->n];

        run_for(r, CHANGE_EVERY_MS);
        watch_begin(r, WATCH_ENDPOINT, mover->slot, NULL);
        sim_move(mover);
        r->marker = mover->endpoint;
        watch_end(r, "a change was not seen by everybody");
    }
    if (r->o->changes > 0)
        f[F_CPU_CHANGE] = cpu_since(r, &before) * 1000 / (double)r->o->changes;
    f[F_CPU_VIEWER] = f[F_CPU_CHANGE] * 1000 / (double)r->n;
    figures_put_samples(&f[F_CHANGE_P50], &r->changes);
    if (r->failures == 0)
        run_settle(r, "after endpoint changes");
}

/* Nodes that come when everybody is there: what a person at a new machine waits for. */
void phase_arrive(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->server_pid);
    double figure[3] = {0};
    size_t first = r->n;

    while (r->n < first + r->o->arrivals && r->failures == 0) {
        struct sim *s = &r->sims[r->n];

        run_for(r, CHANGE_EVERY_MS);
        sim_init(r, r->n++);
        r->begun++;
        watch_begin(r, WATCH_PRESENCE, 0, &s->key);
        sim_begin(s, true);
        watch_end(r, "a new node was not seen by everybody");
        if (r->failures == 0)
            run_settle(r, "after a new node");
    }
    f[F_CPU_ARRIVE] = cpu_since(r, &before) * 1000 / (double)MAX(r->o->arrivals, (size_t)1);
    figures_put_samples(figure, &r->joins);
    f[F_ARRIVE_FIRST] = figure[2];
    figures_put_samples(&f[F_ARRIVE_LAST_P50], &r->changes);
}

/* ---- Leaving and coming back ---- */

static bool all_back(struct run *r)
{
    return r->with_map == r->n;
}

static void all_come_back(struct run *r, const char *when)
{
    if (!run_until(r, all_back))
        run_complain(r, "not all nodes came back", str_from(when));
}

/* Somebody leaves; who is away the longest comes back, every other time as a program started anew.
 */
void phase_churn(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->server_pid);
    int64_t end = clock_mono_ms() + r->o->churn_ms;
    size_t away_max = MAX(r->n / 10, (size_t)1), n_away = 0, oldest = 0, count = 0;
    struct sim **away = mem_alloc_array(away_max, sizeof(struct sim *));

    while (clock_mono_ms() < end && r->failures == 0) {
        struct sim *s = &r->sims[rand_below(r->n)];

        if (n_away == away_max) {
            sim_begin(away[oldest], count % 2 == 0);
            oldest = (oldest + 1) % away_max;
            n_away--;
        }
        if (sim_has_map(s)) {
            sim_leave(s);
            away[(oldest + n_away++) % away_max] = s;
            count++;
        }
        run_for(r, CHURN_EVERY_MS);
    }
    for (size_t i = 0; i < n_away; i++)
        sim_begin(away[(oldest + i) % away_max], i % 2 == 0);
    mem_free(away);
    int64_t begun = clock_mono_ms();

    all_come_back(r, "after churn");
    if (r->failures == 0)
        run_settle(r, "after churn");
    f[F_CHURN_COUNT] = (double)count;
    f[F_CHURN_SETTLE] = seconds_since(begun);
    f[F_CPU_CHURN] = cpu_since(r, &before);
}

void phase_storm(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->server_pid);
    int64_t begun = clock_mono_ms();

    for (size_t i = 0; i < r->n; i++) {
        sim_leave(&r->sims[i]);
        sim_begin(&r->sims[i], false);
    }
    all_come_back(r, "after dropping out at once");
    f[F_STORM_BACK] = seconds_since(begun);
    for (size_t k = 0; k < STORM_MOVES && r->failures == 0; k++)
        for (size_t i = 0; i < r->n; i++)
            sim_move(&r->sims[i]);
    if (r->failures == 0)
        run_settle(r, "after a storm");
    f[F_STORM_SETTLE] = seconds_since(begun);
    f[F_CPU_STORM] = cpu_since(r, &before);
}

/* ---- Against a fresh map ---- */

static bool all_took_over(struct run *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->sims[i].before && (!sim_has_map(&r->sims[i]) || r->sims[i].before->map))
            return false;
    return true;
}

/* One try of all; what differs because something changed meanwhile is so no more at the next. */
static size_t verify_once(struct run *r, size_t from, size_t n, char *why, size_t why_len)
{
    size_t same = 0;

    for (size_t i = from; i < from + n; i++)
        sim_take_over(&r->sims[i]);
    if (!run_until(r, all_took_over)) {
        run_complain(r, "a second stream of a node did not take over", STR_NONE);
        return 0;
    }
    for (size_t i = from; i < from + n; i++) {
        struct sim *s = &r->sims[i];

        same += netmap_view_same(&s->before->view, &s->stream->view, why, why_len);
        sim_drop_before(s);
    }
    return same;
}

static size_t verify_some(struct run *r, size_t from, size_t n)
{
    char why[512] = "";
    size_t same = 0;

    for (int i = 0; i < VERIFY_TRIES && same < n && r->failures == 0; i++) {
        if (i > 0)
            run_for(r, 500);
        same = verify_once(r, from, n, why, sizeof(why));
    }
    if (same < n && r->failures == 0)
        run_complain(r, "deltas left what a fresh map does not have:", str_from(why));
    return same;
}

void phase_verify(struct run *r, double *f)
{
    size_t n = MIN(r->o->verify, r->n);

    run_for(r, 500);
    for (size_t from = 0; from < n && r->failures == 0; from += VERIFY_AT_ONCE)
        f[F_VERIFIED] += (double)verify_some(r, from, MIN(n - from, (size_t)VERIFY_AT_ONCE));
}

/* ---- Nothing ---- */

/* Of the stream that got the fewest since idling began. */
static size_t fewest_messages(const struct run *r)
{
    size_t fewest = SIZE_MAX;

    for (size_t i = 0; i < r->n; i++)
        fewest =
            MIN(fewest, (size_t)(r->sims[i].stream->view.messages - r->sims[i].messages_before));
    return fewest;
}

void phase_idle(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->server_pid);

    for (size_t i = 0; i < r->n; i++)
        r->sims[i].messages_before = r->sims[i].stream->view.messages;
    run_for(r, r->o->idle_ms);
    if (r->o->idle_ms > 0)
        f[F_CPU_IDLE] = cpu_since(r, &before) * 1e5 / (double)r->o->idle_ms;
    if (r->failures == 0 && r->o->idle_ms >= WATCHDOG_MS && fewest_messages(r) == 0)
        run_complain(r, "a stream was silent for so long that its client had left", STR_NONE);
    if (r->failures == 0 && !check_settled(r))
        check_explain(r);
}
