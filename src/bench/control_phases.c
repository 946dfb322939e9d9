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
#define ARRIVAL_QUIET_MS 500
#define STORM_MOVES 5 /* endpoint changes of each node, without waiting for answers */
/* So long nothing came to anybody, keep-alives aside that make it look again. */
#define VERIFY_QUIET_MS 1000
#define VERIFY_WAITS 10
#define VERIFY_AT_ONCE 256
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
    f[F_RSS_JOINED] = end.rss_kib;
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

static size_t viewers(const struct run *r, const struct sim *other)
{
    size_t n = 0;

    if (!r->sight)
        return sims_of(r, other->tailnet) - 1;
    for (size_t i = 0; i < r->n; i++)
        n += &r->sims[i] != other && sight_sees(r->sight, &r->sims[i], other);
    return n;
}

static void watch_begin(struct run *r, enum watching what, struct sim_tailnet *where,
                        size_t must_see, uint32_t slot, const struct node_key *key)
{
    for (size_t k = 0; k < r->n; k++)
        r->sims[k].saw_change = false;
    r->saw = 0;
    r->must_see = must_see;
    r->watching = what;
    r->watched = where;
    netmap_pool_watch(where->pool, slot, key);
    r->change_ns = clock_mono_ns();
}

static void watch_end(struct run *r, const char *complaint)
{
    if (!run_until(r, all_saw))
        run_complain(r, complaint, STR_NONE);
    r->watching = WATCH_NOTHING;
    netmap_pool_watch(r->watched->pool, 0, NULL);
}

/* What a viewer costs at least: as many bytes, sealed and sent. */
static void compare_with_floor(size_t viewers, size_t bytes, double *f)
{
    struct send_floor floor = {0};
    struct err err = {0};

    if (send_floor_measure(viewers, bytes, &floor, &err) < 0) {
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
        watch_begin(r, WATCH_ENDPOINT, mover->tailnet, viewers(r, mover), mover->slot, NULL);
        seen += r->must_see;
        sim_move(mover);
        r->marker = mover->endpoint;
        watch_end(r, "a change was not seen by everybody");
    }
    if (r->o->changes > 0)
        f[F_CPU_CHANGE] = cpu_since(r, &before) * 1000 / (double)r->o->changes;
    f[F_CPU_VIEWER] = f[F_CPU_CHANGE] * 1000 * (double)r->o->changes / (double)MAX(seen, (size_t)1);
    figures_put_samples(&f[F_CHANGE_P50], &r->changes);
    if (r->o->changes > 0 && r->messages > messages && r->failures == 0)
        compare_with_floor(seen / r->o->changes,
                           (r->wire_bytes - bytes) / (r->messages - messages) + H2_HEADER, f);
    if (r->failures == 0)
        run_settle(r, "after endpoint changes");
}

/* Under rules: the newcomer's place in them is known when it has its addresses, and judging it
 * takes time in which nobody is heard. So first all who must hear of it have most likely done so.
 */
static void wait_for_hearsay(struct run *r)
{
    size_t before;

    do {
        before = r->saw;
        run_for(r, ARRIVAL_QUIET_MS);
    } while (r->saw != before && r->failures == 0);
}

static void arrival_is_seen(struct run *r, const struct sim *s)
{
    if (!r->sight) {
        watch_end(r, "a new node was not seen by everybody");
        run_judge(r, 0, "after a new node");
        return;
    }
    wait_for_hearsay(r);
    run_judge(r, 0, "after a new node");
    if (r->failures == 0 && r->saw != viewers(r, s)) {
        struct str line = str_printf("%zu, and %zu should have", r->saw, viewers(r, s));

        run_complain(r, "so many heard of a new node:", line);
        str_free(&line);
    }
    watch_end(r, "");
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
        watch_begin(r, WATCH_PRESENCE, s->tailnet, r->sight ? 0 : sims_of(r, s->tailnet) - 1, 0,
                    &s->key);
        sim_begin(s, true);
        if (run_until(r, run_all_have_maps))
            arrival_is_seen(r, s);
        else
            run_complain(r, "a new node got no map", STR_NONE);
    }
    f[F_CPU_ARRIVE] = cpu_since(r, &before) * 1000 / (double)MAX(r->o->arrivals, (size_t)1);
    figures_put_samples(figure, &r->joins);
    f[F_ARRIVE_FIRST] = figure[2];
    figures_put_samples(&f[F_ARRIVE_LAST_P50], &r->changes);
}

/* ---- All at once ---- */

void phase_storm(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->server_pid);
    int64_t begun = clock_mono_ms();

    for (size_t i = 0; i < r->n; i++) {
        sim_leave(&r->sims[i]);
        sim_begin(&r->sims[i], false);
    }
    run_come_back(r, "after dropping out at once");
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
    struct bench_usage after;
    int64_t begun;

    r->retries = 0;
    map_free(r->in_vain);
    r->in_vain = map_new();
    if (!run_restart_server(r, false, &begun))
        return;
    run_come_back(r, "after the server was started anew");
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
struct policy_put {
    struct worker_job job;
    struct run *run;
    struct buf text;
    int status;
    struct err err;
    bool is_done;
};

static void set_work(struct worker_job *job)
{
    struct policy_put *g = CONTAINER_OF(job, struct policy_put, job);

    g->status = crowd_set_policy(g->run->o, buf_str(&g->text), &g->err);
}

static void set_done(struct worker_job *job)
{
    CONTAINER_OF(job, struct policy_put, job)->is_done = true;
}

static void set_policy(struct run *r, struct worker_pool *pool, unsigned port, double *f)
{
    struct policy_put g = {.job = {.work = set_work, .done = set_done, .loop = r->loop},
                           .run = r,
                           .text = BUF((size_t)16 << 20)};
    int64_t begun = clock_mono_ms();

    crowd_put_policy(r->crowd, port, &g.text);
    r->filter_port = port;
    r->filter_opens = 0;
    watch_begin(r, WATCH_FILTER, r->tailnets, sims_of(r, r->tailnets), 0, NULL);
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
