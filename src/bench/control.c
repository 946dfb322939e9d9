/*
 * Simulated nodes against a server, phase by phase (bench.h), with the figures of each.
 *
 * A phase runs the loop until what it waits for is so; a check that failed ends the run, and the
 * phases behind it do not begin.
 */

#include <stdlib.h>
#include <unistd.h>

#include "bench/bench_internal.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"

#define JOINING_MAX 64
/* Servers hold a change back that follows another closely; what is timed is one alone. */
#define CHANGE_EVERY_MS 100
#define CHURN_EVERY_MS 20
#define STORM_MOVES 5 /* endpoint changes of each node, without waiting for answers */
#define VERIFY_TRIES 3
#define WATCHDOG_MS 120000 /* a client ends a stream that is silent for so long */

/* ---- The run ---- */

void run_complain(struct run *r, const char *what, struct str detail)
{
    if (r->failures++ < FAILURES_MAX)
        (void)fprintf(stderr, "FAIL %s %.*s\n", what, STR_ARG(detail));
}

bool run_until(struct run *r, bool (*is_done)(struct run *r))
{
    while (!is_done(r)) {
        if (clock_mono_ms() > r->deadline_ms || r->failures >= FAILURES_MAX)
            return false;
        loop_run_once(r->loop, 20);
    }
    return true;
}

void run_for(struct run *r, int64_t ms)
{
    int64_t end = clock_mono_ms() + ms;

    while (clock_mono_ms() < end)
        loop_run_once(r->loop, (int)MIN(end - clock_mono_ms() + 1, (int64_t)50));
}

static void settle(struct run *r, const char *when)
{
    if (run_until(r, check_settled))
        return;
    check_explain(r);
    run_complain(r, "not settled in time", str_from(when));
}

/* ---- Figures ---- */

enum figure {
    F_NODES,
    F_FAILURES,
    F_JOIN,
    F_SETTLE,
    F_FIRST_P50,
    F_FIRST_P99,
    F_FIRST_MAX,
    F_CHANGE_P50,
    F_CHANGE_P99,
    F_CHANGE_MAX,
    F_CHURN_COUNT,
    F_CHURN_SETTLE,
    F_STORM_BACK,
    F_STORM_SETTLE,
    F_VERIFIED,
    F_CPU_JOIN,
    F_CPU_CHANGE,
    F_CPU_CHURN,
    F_CPU_STORM,
    F_CPU_IDLE,
    F_RSS,
    F_RSS_NODE,
    F_BYTES,
    F_MESSAGES,
    F_CPU_BENCH,
    F_COUNT
};

/* The phase a figure belongs to; it is shown when the phase was asked for. */
static const struct {
    const char *json, *label, *unit;
    int decimals;
    enum bench_phase phase;
} figures[F_COUNT] = {
    [F_NODES] = {"nodes", "nodes", "", 0, BENCH_JOIN},
    [F_FAILURES] = {"failures", "failed checks", "", 0, BENCH_JOIN},
    [F_JOIN] = {"join_s", "all have a first map after", "s", 3, BENCH_JOIN},
    [F_SETTLE] = {"settle_s", "all hold what is true after", "s", 3, BENCH_JOIN},
    [F_FIRST_P50] = {"first_map_p50_ms", "connecting to first map, p50", "ms", 2, BENCH_JOIN},
    [F_FIRST_P99] = {"first_map_p99_ms", "connecting to first map, p99", "ms", 2, BENCH_JOIN},
    [F_FIRST_MAX] = {"first_map_max_ms", "connecting to first map, max", "ms", 2, BENCH_JOIN},
    [F_CHANGE_P50] = {"change_p50_ms", "change to viewer, p50", "ms", 2, BENCH_CHANGE},
    [F_CHANGE_P99] = {"change_p99_ms", "change to viewer, p99", "ms", 2, BENCH_CHANGE},
    [F_CHANGE_MAX] = {"change_max_ms", "change to viewer, max", "ms", 2, BENCH_CHANGE},
    [F_CHURN_COUNT] = {"churn_count", "left and came back", "", 0, BENCH_CHURN},
    [F_CHURN_SETTLE] = {"churn_settle_s", "settled after churn in", "s", 3, BENCH_CHURN},
    [F_STORM_BACK] = {"storm_back_s", "all back after dropping out in", "s", 3, BENCH_STORM},
    [F_STORM_SETTLE] = {"storm_settle_s", "settled after storm in", "s", 3, BENCH_STORM},
    [F_VERIFIED] = {"verified", "equal to a fresh map", "", 0, BENCH_VERIFY},
    [F_CPU_JOIN] = {"cpu_join_s", "server CPU until settled", "s", 3, BENCH_JOIN},
    [F_CPU_CHANGE] = {"cpu_per_change_ms", "server CPU per change", "ms", 3, BENCH_CHANGE},
    [F_CPU_CHURN] = {"cpu_churn_s", "server CPU for churn", "s", 3, BENCH_CHURN},
    [F_CPU_STORM] = {"cpu_storm_s", "server CPU for storm", "s", 3, BENCH_STORM},
    [F_CPU_IDLE] = {"cpu_idle_percent", "server CPU while idle", "%", 3, BENCH_IDLE},
    [F_RSS] = {"rss_kib", "server resident", "KiB", 0, BENCH_JOIN},
    [F_RSS_NODE] = {"rss_per_node_kib", "resident per node", "KiB", 1, BENCH_JOIN},
    [F_BYTES] = {"wire_bytes", "map bytes received", "", 0, BENCH_JOIN},
    [F_MESSAGES] = {"messages", "map messages received", "", 0, BENCH_JOIN},
    [F_CPU_BENCH] = {"cpu_bench_s", "CPU of the bench itself", "s", 3, BENCH_JOIN},
};

static void report(const struct bench_options *o, const double values[F_COUNT])
{
    const char *separator = "{";

    for (int i = 0; i < F_COUNT; i++) {
        if (!(o->phases & BIT(figures[i].phase)))
            continue;
        if (o->json)
            printf("%s\"%s\":%.*f", separator, figures[i].json, figures[i].decimals, values[i]);
        else
            printf("%-32s%.*f%s%s\n", figures[i].label, figures[i].decimals, values[i],
                   figures[i].unit[0] ? " " : "", figures[i].unit);
        separator = ",";
    }
    if (o->json)
        printf("}\n");
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* p50, p99 and the highest into three figures. */
static void put_samples(double *figure, struct samples *s)
{
    if (s->n == 0)
        return;
    qsort(s->ms, s->n, sizeof(*s->ms), by_value);
    figure[0] = s->ms[(size_t)((double)(s->n - 1) * 0.5)];
    figure[1] = s->ms[(size_t)((double)(s->n - 1) * 0.99)];
    figure[2] = s->ms[s->n - 1];
}

static double seconds_since(int64_t begun_ms)
{
    return (double)(clock_mono_ms() - begun_ms) / 1000;
}

static double cpu_since(const struct run *r, const struct bench_usage *before)
{
    return bench_usage_of(r->o->server_pid).cpu_seconds - before->cpu_seconds;
}

/* ---- Phases ---- */

static void begin_some(struct run *r)
{
    while (r->begun < r->o->nodes && r->under_way < JOINING_MAX) {
        sim_init(r, r->begun);
        sim_begin(&r->sims[r->begun++], true);
    }
}

static bool all_joined(struct run *r)
{
    begin_some(r);
    return r->with_map == r->o->nodes;
}

static void phase_join(struct run *r, double *f)
{
    int64_t begun = clock_mono_ms();

    if (!run_until(r, all_joined))
        run_complain(r, "not all nodes got a first map", STR_NONE);
    f[F_JOIN] = seconds_since(begun);
    put_samples(&f[F_FIRST_P50], &r->joins);
    if (r->failures == 0)
        settle(r, "after joining");
    f[F_SETTLE] = seconds_since(begun);
    if (r->failures == 0)
        check_distinct(r);
}

static bool all_saw(struct run *r)
{
    return r->saw >= r->o->nodes - 1;
}

static void phase_change(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->o->server_pid);

    for (size_t i = 0; i < r->o->changes && r->o->nodes > 1 && r->failures == 0; i++) {
        struct sim *mover = &r->sims[i % r->o->nodes];

        for (size_t k = 0; k < r->o->nodes; k++)
            r->sims[k].saw_change = false;
        r->saw = 0;
        run_for(r, CHANGE_EVERY_MS);
        r->change_ns = clock_mono_ns();
        sim_move(mover);
        r->marker = mover->endpoint;
        r->is_timing = true;
        if (!run_until(r, all_saw))
            run_complain(r, "a change was not seen by everybody", STR_NONE);
        r->is_timing = false;
    }
    if (r->o->changes > 0)
        f[F_CPU_CHANGE] = cpu_since(r, &before) * 1000 / (double)r->o->changes;
    put_samples(&f[F_CHANGE_P50], &r->changes);
}

static bool all_back(struct run *r)
{
    return r->with_map == r->o->nodes;
}

/* Somebody leaves; who is away the longest comes back, every other time as a program started anew.
 */
static void phase_churn(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->o->server_pid);
    int64_t end = clock_mono_ms() + r->o->churn_ms;
    size_t away_max = MAX(r->o->nodes / 10, (size_t)1), n_away = 0, oldest = 0, count = 0;
    struct sim **away = mem_alloc_array(away_max, sizeof(struct sim *));

    while (clock_mono_ms() < end && r->failures == 0) {
        struct sim *s = &r->sims[rand_below(r->o->nodes)];

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

    if (!run_until(r, all_back))
        run_complain(r, "not all nodes came back", STR("after churn"));
    if (r->failures == 0)
        settle(r, "after churn");
    f[F_CHURN_COUNT] = (double)count;
    f[F_CHURN_SETTLE] = seconds_since(begun);
    f[F_CPU_CHURN] = cpu_since(r, &before);
}

static void phase_storm(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->o->server_pid);
    int64_t begun = clock_mono_ms();

    for (size_t i = 0; i < r->o->nodes; i++) {
        sim_leave(&r->sims[i]);
        sim_begin(&r->sims[i], false);
    }
    if (!run_until(r, all_back))
        run_complain(r, "not all nodes came back", STR("after dropping out at once"));
    f[F_STORM_BACK] = seconds_since(begun);
    for (size_t k = 0; k < STORM_MOVES && r->failures == 0; k++)
        for (size_t i = 0; i < r->o->nodes; i++)
            sim_move(&r->sims[i]);
    if (r->failures == 0)
        settle(r, "after a storm");
    f[F_STORM_SETTLE] = seconds_since(begun);
    f[F_CPU_STORM] = cpu_since(r, &before);
}

static bool all_took_over(struct run *r)
{
    for (size_t i = 0; i < MIN(r->o->verify, r->o->nodes); i++)
        if (!sim_has_map(&r->sims[i]) || (r->sims[i].before && r->sims[i].before->map))
            return false;
    return true;
}

/* One try of all; what differs because something changed meanwhile is so no more at the next. */
static size_t verify_once(struct run *r, size_t n, char *why, size_t why_len)
{
    size_t same = 0;

    for (size_t i = 0; i < n; i++)
        sim_take_over(&r->sims[i]);
    if (!run_until(r, all_took_over)) {
        run_complain(r, "a second stream of a node did not take over", STR_NONE);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        struct sim *s = &r->sims[i];

        same += netmap_state_same(&s->before->state, &s->stream->state, why, why_len);
        sim_drop_before(s);
    }
    return same;
}

static void phase_verify(struct run *r, double *f)
{
    size_t n = MIN(r->o->verify, r->o->nodes), same = 0;
    char why[512] = "";

    for (int i = 0; i < VERIFY_TRIES && same < n && r->failures == 0; i++) {
        run_for(r, 500);
        same = verify_once(r, n, why, sizeof(why));
    }
    if (same < n && r->failures == 0)
        run_complain(r, "deltas left what a fresh map does not have:", str_from(why));
    f[F_VERIFIED] = (double)same;
}

/* Of the stream that got the fewest since idling began. */
static size_t fewest_messages(const struct run *r)
{
    size_t fewest = SIZE_MAX;

    for (size_t i = 0; i < r->o->nodes; i++)
        fewest = MIN(fewest, r->sims[i].stream->state.messages - r->sims[i].messages_before);
    return fewest;
}

static void phase_idle(struct run *r, double *f)
{
    struct bench_usage before = bench_usage_of(r->o->server_pid);

    for (size_t i = 0; i < r->o->nodes; i++)
        r->sims[i].messages_before = r->sims[i].stream->state.messages;
    run_for(r, r->o->idle_ms);
    if (r->o->idle_ms >= WATCHDOG_MS && fewest_messages(r) == 0)
        run_complain(r, "a stream was silent for so long that its client had left", STR_NONE);
    if (r->o->idle_ms > 0)
        f[F_CPU_IDLE] = cpu_since(r, &before) * 1e5 / (double)r->o->idle_ms;
    if (!check_settled(r))
        check_explain(r);
}

static void phases(struct run *r, double *f)
{
    static void (*const table[BENCH_PHASES])(struct run * r, double *f) = {
        [BENCH_JOIN] = phase_join,   [BENCH_CHANGE] = phase_change, [BENCH_CHURN] = phase_churn,
        [BENCH_STORM] = phase_storm, [BENCH_VERIFY] = phase_verify, [BENCH_IDLE] = phase_idle,
    };
    struct bench_usage start = bench_usage_of(r->o->server_pid), end;

    for (int i = 0; i < BENCH_PHASES && r->failures == 0; i++) {
        if (table[i] && (r->o->phases & BIT(i)))
            table[i](r, f);
        if (i == BENCH_JOIN)
            f[F_CPU_JOIN] = cpu_since(r, &start);
    }
    for (size_t i = 0; i < r->begun && r->failures == 0; i++)
        if (r->sims[i].stream->state.complaint[0])
            run_complain(r,
                         "a client would complain:", str_from(r->sims[i].stream->state.complaint));
    end = bench_usage_of(r->o->server_pid);
    f[F_NODES] = (double)r->o->nodes;
    f[F_FAILURES] = (double)r->failures;
    f[F_RSS] = end.rss_kib;
    f[F_RSS_NODE] = (end.rss_kib - start.rss_kib) / (double)r->o->nodes;
    f[F_BYTES] = (double)r->wire_bytes;
    f[F_MESSAGES] = (double)r->messages;
    f[F_CPU_BENCH] = bench_usage_of(getpid()).cpu_seconds;
}

/* ---- Beginning and end ---- */

bool bench_parse_phases(struct str text, unsigned *phases)
{
    static const char *const names[BENCH_PHASES] = {
        [BENCH_JOIN] = "join",   [BENCH_SETTLE] = "settle", [BENCH_CHANGE] = "change",
        [BENCH_CHURN] = "churn", [BENCH_STORM] = "storm",   [BENCH_VERIFY] = "verify",
        [BENCH_IDLE] = "idle"};
    unsigned found = BIT(BENCH_JOIN) | BIT(BENCH_SETTLE);
    struct str piece;

    while (str_next(&text, ',', &piece)) {
        size_t i = 0;

        while (i < BENCH_PHASES && !str_eq(piece, str_from(names[i])))
            i++;
        if (i == BENCH_PHASES)
            return false;
        found |= BIT(i);
    }
    *phases = found;
    return true;
}

static void end_all(struct run *r)
{
    r->is_ending = true;
    for (size_t i = 0; i < r->begun; i++)
        if (r->sims[i].conn)
            control_client_close(r->sims[i].conn->client);
    run_for(r, 500);
    loop_free(r->loop);
    for (struct list_node *n; (n = list_pop_front(&r->streams)) != NULL;) {
        struct sim_stream *st = CONTAINER_OF(n, struct sim_stream, link);

        netmap_state_fini(&st->state);
        mem_free(st);
    }
    for (size_t i = 0; i < r->begun; i++)
        sim_fini(&r->sims[i]);
    mem_free(r->sims);
    mem_free(r->joins.ms);
    mem_free(r->changes.ms);
}

int bench_control(const struct bench_options *o)
{
    struct run r = {.o = o, .deadline_ms = clock_mono_ms() + o->limit_ms};
    double values[F_COUNT] = {0};
    struct err err = {0};

    if (control_fetch_key(o->url, &r.server, &err) < 0 || loop_new("bench", &r.loop, &err) < 0) {
        (void)fprintf(stderr, "Error: %s\n", err.text);
        return 1;
    }
    list_init(&r.streams);
    r.sims = mem_alloc_array(o->nodes, sizeof(*r.sims));
    phases(&r, values);
    report(o, values);
    (void)fflush(stdout);
    end_all(&r);
    return r.failures > 0;
}
