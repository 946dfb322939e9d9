/*
 * What the simulated nodes do; see bench.h for the phases.
 *
 * A phase runs the loop until what it waits for is so; a check that failed ends the run, and the
 * phases behind it do not begin.
 */

#include "bench/control_internal.h"
#include "bench/crowd.h"
#include "bench/own_server.h"
#include "bench/send_floor.h"
#include "bench/sight.h"
#include "core/clock.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/rand.h"

#define JOINING_MAX 64
/* Servers hold a change back that follows another closely; what is timed is one alone. */
#define CHANGE_EVERY_MS 100
#define CHURN_EVERY_MS 20
#define STORM_MOVES 5 /* endpoint changes of each node, without waiting for answers */
/* So long nothing came to anybody, keep-alives aside that make it look again. */
#define VERIFY_QUIET_MS 1000
#define VERIFY_WAITS 10
#define VERIFY_AT_ONCE 256
#define RESTART_NOTICE_MS 5000
#define POLICY_PORT 17001
#define H2_HEADER 9
#define WATCHDOG_MS 120000 /* a client ends a stream that is silent for so long */

/* ---- Joining ---- */

/* Those without streams come first: nobody is told of them yet. */
static void begin_some(struct run *r)
{
    while (r->quiet_begun < r->o->quiet && r->under_way < JOINING_MAX) {
        struct sim *s = &r->quiet[r->quiet_begun];

        sim_init(r, s, r->n_max + r->quiet_begun++);
        s->is_quiet = true;
        sim_begin(s, true);
    }
    if (r->quiet_done < r->o->quiet)
        return;
    while (r->begun < r->n && r->under_way < JOINING_MAX) {
        sim_init(r, &r->sims[r->begun], r->begun);
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
        run_judge(r, 0, "after joining");
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
    return r->saw >= r->must_see;
}

/* Of that node; NULL: of all. */
static size_t viewers(const struct run *r, const struct sim *other)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += &r->sims[i] != other &&
             (!other || !r->sight || sight_sees(r->sight, &r->sims[i], other));
    return n;
}

static void watch_begin(struct run *r, enum watching what, size_t must_see, uint32_t slot,
                        const struct node_key *key)
{
    for (size_t k = 0; k < r->n; k++)
        r->sims[k].saw_change = false;
    r->saw = 0;
    r->must_see = must_see;
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

/* What a viewer costs at least: as many bytes, sealed and sent. */
static void compare_with_floor(struct run *r, size_t bytes, double *f)
{
    struct send_floor floor = {0};
    struct err err = {0};

    if (send_floor_measure(r->n, bytes, &floor, &err) < 0) {
        (void)fprintf(stderr, "no floor: %s\n", err.text);
        return;
    }
    f[F_CHANGE_BYTES] = (double)bytes;
    f[F_FLOOR_CIPHER] = floor.cipher_us;
    f[F_FLOOR_SEND] = floor.send_us;
    f[F_FLOOR_TIMES] = f[F_CPU_VIEWER] / (floor.cipher_us + floor.send_us);
}

void phase_change(struct run *r, double *f)
{
    size_t seen = 0, messages = r->messages, bytes = r->wire_bytes;
    struct bench_usage before = bench_usage_of(r->server_pid);

    for (size_t i = 0; i < r->o->changes && r->n > 1 && r->failures == 0; i++) {
        struct sim *mover = &r->sims[i * 7919 % r->n];

        run_for(r, CHANGE_EVERY_MS);
        watch_begin(r, WATCH_ENDPOINT, viewers(r, mover), mover->slot, NULL);
        seen += r->must_see;
        sim_move(mover);
        r->marker = mover->endpoint;
        watch_end(r, "a change was not seen by everybody");
    }
    if (r->o->changes > 0)
        f[F_CPU_CHANGE] = cpu_since(r, &before) * 1000 / (double)r->o->changes;
    f[F_CPU_VIEWER] = f[F_CPU_CHANGE] * 1000 * (double)r->o->changes / (double)MAX(seen, (size_t)1);
    figures_put_samples(&f[F_CHANGE_P50], &r->changes);
    if (r->messages > messages && r->failures == 0)
        compare_with_floor(r, (r->wire_bytes - bytes) / (r->messages - messages) + H2_HEADER, f);
    if (r->failures == 0)
        run_settle(r, "after endpoint changes");
}

static bool all_have_maps(struct run *r)
{
    return r->with_map == r->n;
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
        sim_init(r, s, r->n++);
        r->begun++;
        watch_begin(r, WATCH_PRESENCE, r->sight ? 0 : r->n - 1, 0, &s->key);
        sim_begin(s, true);
        if (!run_until(r, all_have_maps))
            run_complain(r, "a new node got no map", STR_NONE);
        watch_end(r, "a new node was not seen by everybody");
        if (r->failures == 0)
            run_judge(r, 0, "after a new node");
    }
    f[F_CPU_ARRIVE] = cpu_since(r, &before) * 1000 / (double)MAX(r->o->arrivals, (size_t)1);
    figures_put_samples(figure, &r->joins);
    f[F_ARRIVE_FIRST] = figure[2];
    figures_put_samples(&f[F_ARRIVE_LAST_P50], &r->changes);
}

/* ---- Leaving and coming back ---- */

static void all_come_back(struct run *r, const char *when)
{
    if (!run_until(r, all_have_maps))
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

static void tell_in_vain(const struct run *r)
{
    struct str why;
    void *n;

    for (size_t at = 0; map_next(r->in_vain, &at, &why, &n);)
        (void)fprintf(stderr, "%zu times: %.*s\n", (size_t)(uintptr_t)n, STR_ARG(why));
}

/* The server ends, and what it knew is on its disk. Nodes try again until it answers. */
void phase_restart(struct run *r, double *f)
{
    struct err err = {0};
    struct bench_usage after;
    int64_t begun;

    if (!r->o->serve) {
        run_complain(r, "a restart needs a server of our own:", STR("--serve"));
        return;
    }
    r->is_down = true;
    r->retries = 0;
    map_free(r->in_vain);
    r->in_vain = map_new();
    own_server_end(r->server_pid);
    if (own_server_start(r->o->serve, &r->server_pid, &err) < 0 ||
        own_server_wait(r->o->url, r->server_pid, &err) < 0) {
        run_complain(r, "the server did not start anew:", str_from(err.text));
        return;
    }
    begun = clock_mono_ms();
    while (r->with_map > 0 && clock_mono_ms() < begun + RESTART_NOTICE_MS)
        loop_run_once(r->loop, 1); /* the ends of the connections before */
    all_come_back(r, "after the server was started anew");
    r->is_down = false;
    f[F_RESTART_BACK] = seconds_since(begun);
    f[F_CPU_RESTART_BACK] = bench_usage_of(r->server_pid).cpu_seconds;
    if (r->failures == 0)
        run_settle(r, "after the server was started anew");
    f[F_RESTART_SETTLE] = seconds_since(begun);
    f[F_RESTART_RETRIES] = (double)r->retries - (double)r->n;
    tell_in_vain(r);
    after = bench_usage_of(r->server_pid);
    f[F_CPU_RESTART] = after.cpu_seconds;
    f[F_RESTART_PEAK] = after.peak_kib;
}

/* ---- The policy ---- */

/* Setting it blocks, and the nodes must be read meanwhile. */
struct setting {
    struct worker_job job;
    struct run *run;
    struct buf text;
    int status;
    struct err err;
    bool is_done;
};

static void set_work(struct worker_job *job)
{
    struct setting *g = CONTAINER_OF(job, struct setting, job);

    g->status = crowd_set_policy(g->run->o, buf_str(&g->text), &g->err);
}

static void set_done(struct worker_job *job)
{
    CONTAINER_OF(job, struct setting, job)->is_done = true;
}

static void set_policy(struct run *r, struct worker_pool *pool, unsigned port, double *f)
{
    struct setting g = {.job = {.work = set_work, .done = set_done, .loop = r->loop},
                        .run = r,
                        .text = BUF((size_t)16 << 20)};
    int64_t begun = clock_mono_ms();

    crowd_put_policy(r->crowd, port, &g.text);
    r->filter_port = port;
    r->filter_opens = 0;
    watch_begin(r, WATCH_FILTER, r->n, 0, NULL);
    worker_submit(pool, &g.job);
    while (!g.is_done)
        loop_run_once(r->loop, 20);
    f[F_POLICY_ANSWER] = MAX(f[F_POLICY_ANSWER], seconds_since(begun) * 1000);
    if (g.status < 0)
        run_complain(r, "a policy was refused:", str_from(g.err.text));
    else
        watch_end(r, "a policy did not reach everybody");
    if (r->failures == 0)
        run_judge(r, port, "after a policy change");
    f[F_POLICY_SETTLE] = MAX(f[F_POLICY_SETTLE], seconds_since(begun) * 1000);
    buf_fini(&g.text);
}

void phase_policy(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->server_pid);
    struct worker_pool *pool = NULL;
    struct err err = {0};

    if (worker_pool_new(1, &pool, &err) < 0) {
        run_complain(r, "no thread:", str_from(err.text));
        return;
    }
    for (size_t i = 0; i < r->o->policy_changes && r->failures == 0; i++) {
        run_for(r, CHANGE_EVERY_MS);
        set_policy(r, pool, POLICY_PORT + (unsigned)i, f);
    }
    worker_pool_free(pool);
    f[F_CPU_POLICY] = cpu_since(r, &before) * 1000 / (double)MAX(r->o->policy_changes, (size_t)1);
    figures_put_samples(&f[F_POLICY_P50], &r->changes);
}

/* ---- Against a fresh map ---- */

static bool all_took_over(struct run *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->sims[i].before && (!sim_has_map(&r->sims[i]) || r->sims[i].before->map))
            return false;
    return true;
}

/* What the n nodes from `from` on hold, against what a second stream of each is told at first. */
static size_t verify_some(struct run *r, size_t from, size_t n)
{
    char why[512] = "";
    size_t same = 0;

    for (size_t i = from; i < from + n; i++)
        sim_take_over(&r->sims[i]);
    if (!run_until(r, all_took_over)) {
        run_complain(r, "a second stream of a node did not take over", STR_NONE);
        return 0;
    }
    for (size_t i = from; i < from + n; i++) {
        struct sim *s = &r->sims[i];

        same += netmap_view_same(&s->before->view, &s->stream->view, why, sizeof(why));
        sim_drop_before(s);
    }
    if (same < n)
        run_complain(r, "deltas left what a fresh map does not have:", str_from(why));
    return same;
}

static uint64_t all_messages(const struct run *r)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < r->n; i++)
        sum += r->sims[i].stream->view.messages;
    return sum;
}

/* Compared once: a second try would compare fresh maps with each other. So first nothing may be on
 * its way any more. */
static void fall_silent(struct run *r)
{
    uint64_t before;
    int tries = 0;

    do {
        before = all_messages(r);
        run_for(r, VERIFY_QUIET_MS);
    } while (all_messages(r) != before && ++tries < VERIFY_WAITS);
}

void phase_verify(struct run *r, double *f)
{
    size_t n = MIN(r->o->verify, r->n);

    for (size_t from = 0; from < n && r->failures == 0; from += VERIFY_AT_ONCE) {
        fall_silent(r);
        f[F_VERIFIED] += (double)verify_some(r, from, MIN(n - from, (size_t)VERIFY_AT_ONCE));
    }
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
