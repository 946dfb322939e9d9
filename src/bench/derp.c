/*
 * The relay bench as a whole: every case for every target in turn, so that what is compared was
 * measured within seconds of each other; a line for each as it comes, comparisons at the end.
 *
 * With several targets the first is the one to beat: a comparison above 1 is in another's favour.
 */

#include <stdio.h>
#include <unistd.h>

#include "bench/derp_internal.h"
#include "core/clock.h"
#include "core/mem.h"
#include "json/writer.h"

#define CASES_MAX (DERP_BENCH_LIST_MAX * DERP_BENCH_LIST_MAX)

/* What comparisons need of one target. */
struct tally {
    struct derp_load_figures load[CASES_MAX], paced[CASES_MAX];
    struct derp_crowd_figures idle, storm;
    struct derp_stun_figures stun[2]; /* a crowd, a few that ask in a row */
};

struct bench {
    struct derp_bench_options o;
    struct tally *tallies; /* per target */
    size_t failures;
    size_t unmeasured;
    int64_t deadline_ms;
};

/* ---- Lines ---- */

static void json_begin(struct buf *b, const char *mode, const struct derp_bench_target *t)
{
    struct json_writer name = JSON_WRITER(b);

    buf_printf(b, "{\"mode\":\"%s\",\"target\":", mode);
    json_str(&name, t->name);
}

static void json_end(struct buf *b)
{
    buf_put(b, STR("}\n"));
    (void)fwrite(b->ptr, 1, b->len, stdout);
    buf_fini(b);
}

static void say_load_title(const struct bench *b, const char *title)
{
    if (!b->o.json)
        printf("\n%s\n%-12s %5s %6s %10s %10s %8s %7s %10s %8s %8s %8s %7s %7s\n", title, "target",
               "pairs", "bytes", "offered/s", "got/s", "lost", "late", "server us", "p50 ms",
               "p99 ms", "max ms", "server", "own");
}

static void say_load(const struct bench *b, const char *mode, const struct derp_bench_target *t,
                     const struct derp_load *what, const struct derp_load_figures *f)
{
    double server = 100 * f->server_cpu / f->seconds, own = 100 * f->own_cpu / f->seconds;

    if (b->o.json) {
        struct buf out = BUF(4096);

        json_begin(&out, mode, t);
        buf_printf(&out,
                   ",\"pairs\":%zu,\"bytes\":%zu,\"slow\":%zu,\"offered_per_s\":%.0f,"
                   "\"received_per_s\":%.0f,\"sent\":%llu,\"received\":%llu,\"lost\":%llu,"
                   "\"late\":%llu,\"server_us_per_packet\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
                   "\"max_ms\":%.3f,\"server_cpu_percent\":%.1f,\"own_cpu_percent\":%.1f",
                   what->pairs, what->size, what->slow, f->offered, f->received,
                   (unsigned long long)f->sent, (unsigned long long)f->got,
                   (unsigned long long)f->lost, (unsigned long long)f->late, f->server_us,
                   f->p50_ms, f->p99_ms, f->max_ms, server, own);
        json_end(&out);
    } else {
        printf("%-12.*s %5zu %6zu %10.0f %10.0f %8llu %7llu %10.2f %8.2f %8.2f %8.2f %6.0f%% "
               "%6.0f%%\n",
               STR_ARG(t->name), what->pairs, what->size, f->offered, f->received,
               (unsigned long long)f->lost, (unsigned long long)f->late, f->server_us, f->p50_ms,
               f->p99_ms, f->max_ms, server, own);
    }
    (void)fflush(stdout);
}

static void say_idle(const struct bench *b, const struct derp_bench_target *t,
                     const struct derp_crowd_figures *f)
{
    struct buf out = BUF(4096);

    if (b->o.json) {
        json_begin(&out, "idle", t);
        buf_printf(&out,
                   ",\"tls\":%s,\"connections\":%zu,\"ready\":%zu,\"seconds\":%.3f,"
                   "\"rss_kib_per_connection\":%.2f,\"rss_kib\":%.0f,\"server_cpu_s\":%.2f,"
                   "\"idle_cpu_percent\":%.2f,\"own_cpu_s\":%.2f",
                   t->is_tls ? "true" : "false", f->wanted, f->ready, f->seconds, f->rss_per_kib,
                   f->rss_kib, f->server_cpu, 100 * f->idle_cpu, f->own_cpu);
        json_end(&out);
    } else {
        printf("%-12.*s %s %zu idle connections: %.1f KiB resident each, %.0f KiB in all; "
               "%.2f %% of a core while idle; all there after %.2f s, %.2f ms server CPU each\n",
               STR_ARG(t->name), t->is_tls ? "TLS" : "plain", f->ready, f->rss_per_kib, f->rss_kib,
               100 * f->idle_cpu, f->seconds,
               1e3 * f->server_cpu / (double)MAX(f->ready, (size_t)1));
    }
    (void)fflush(stdout);
}

static void say_storm(const struct bench *b, const struct derp_bench_target *t,
                      const struct derp_crowd_figures *f)
{
    struct buf out = BUF(4096);
    double each = 1e3 * f->server_cpu / (double)MAX(f->ready, (size_t)1);

    if (b->o.json) {
        json_begin(&out, "storm", t);
        buf_printf(&out,
                   ",\"tls\":%s,\"connections\":%zu,\"ready\":%zu,\"seconds\":%.3f,"
                   "\"server_cpu_ms_each\":%.3f,\"own_cpu_s\":%.2f,\"pings\":%llu,\"pongs\":%llu,"
                   "\"ping_p50_ms\":%.2f,\"ping_p99_ms\":%.2f,\"ping_max_ms\":%.2f",
                   t->is_tls ? "true" : "false", f->wanted, f->ready, f->seconds, each, f->own_cpu,
                   (unsigned long long)f->pings, (unsigned long long)f->pongs, f->ping_p50_ms,
                   f->ping_p99_ms, f->ping_max_ms);
        json_end(&out);
    } else {
        printf("%-12.*s %zu of %zu %s connections at once: all after %.2f s, %.2f ms server CPU "
               "each; beside them %llu of %llu packets came, p50 %.1f p99 %.1f max %.1f ms; own "
               "CPU %.1f s\n",
               STR_ARG(t->name), f->ready, f->wanted, t->is_tls ? "TLS" : "plain", f->seconds, each,
               (unsigned long long)f->pongs, (unsigned long long)f->pings, f->ping_p50_ms,
               f->ping_p99_ms, f->ping_max_ms, f->own_cpu);
    }
    (void)fflush(stdout);
}

static void say_stun(const struct bench *b, const struct derp_bench_target *t, bool is_crowd,
                     const struct derp_stun_figures *f)
{
    struct buf out = BUF(4096);

    if (b->o.json) {
        json_begin(&out, is_crowd ? "stun-crowd" : "stun", t);
        buf_printf(&out,
                   ",\"answers_per_s\":%.0f,\"sent\":%llu,\"answers\":%llu,"
                   "\"server_us_per_answer\":%.3f,\"own_cpu_percent\":%.1f",
                   (double)f->answers / f->seconds, (unsigned long long)f->sent,
                   (unsigned long long)f->answers, f->server_us, 100 * f->own_cpu / f->seconds);
        json_end(&out);
    } else {
        printf("%-12.*s %.0f STUN answers/s to %s, %.2f us server CPU each, %llu of %llu answered; "
               "own CPU %.0f%%\n",
               STR_ARG(t->name), (double)f->answers / f->seconds,
               is_crowd ? "a crowd" : "a few that ask in a row", f->server_us,
               (unsigned long long)f->answers, (unsigned long long)f->sent,
               100 * f->own_cpu / f->seconds);
    }
    (void)fflush(stdout);
}

/* ---- Cases ---- */

/* False: it could not even begin. */
static bool begin(struct bench *b, size_t target, struct derp_run *r)
{
    struct err err = {0};

    if (clock_mono_ms() < b->deadline_ms &&
        derp_run_init(r, &b->o, &b->o.targets[target], b->deadline_ms, &err))
        return true;
    (void)fprintf(stderr, "%.*s: not measured: %s\n", STR_ARG(b->o.targets[target].name),
                  err.code ? err.text : "no time left");
    if (err.code)
        derp_run_fini(r);
    b->unmeasured++;
    return false;
}

static void after(struct bench *b, const struct derp_run *r, bool ok)
{
    b->failures += r->failures;
    b->unmeasured += !ok;
}

static void run_load(struct bench *b, const char *mode, size_t target, const struct derp_load *what,
                     struct derp_load_figures *out)
{
    struct derp_run r;

    if (!begin(b, target, &r))
        return;
    bool ok = derp_load_run(&r, what, out);

    after(b, &r, ok);
    if (ok)
        say_load(b, mode, &b->o.targets[target], what, out);
}

/* Each size, each number of pairs; `at` counts the cases. */
static void each_load(struct bench *b,
                      void (*fn)(struct bench *b, size_t at, const struct derp_load *what))
{
    size_t at = 0;

    for (size_t s = 0; s < b->o.n_sizes; s++)
        for (size_t p = 0; p < b->o.n_pairs; p++)
            fn(b, at++, &(struct derp_load){.pairs = b->o.pairs[p], .size = b->o.sizes[s]});
}

static void load_case(struct bench *b, size_t at, const struct derp_load *what)
{
    struct derp_load load = *what;

    load.rate = b->o.rate;
    for (size_t t = 0; t < b->o.n_targets; t++)
        run_load(b, "load", t, &load, &b->tallies[t].load[at]);
}

static void paced_case(struct bench *b, size_t at, const struct derp_load *what)
{
    struct derp_load load = *what;

    load.rate = b->o.rate > 0 ? b->o.rate : (size_t)b->tallies[0].load[at].received;
    for (size_t t = 0; t < b->o.n_targets && load.rate > 0; t++)
        run_load(b, "paced", t, &load, &b->tallies[t].paced[at]);
}

static void slow_case(struct bench *b, size_t at, const struct derp_load *what)
{
    struct derp_load load = *what;
    struct derp_load_figures f;

    (void)at;
    load.rate = b->o.rate;
    load.slow = b->o.slow;
    for (size_t t = 0; t < b->o.n_targets; t++)
        if (!b->o.targets[t].is_floor)
            run_load(b, "slow", t, &load, &f);
}

/* Whether a target takes part in a mode; begins its run if so. */
static bool begin_mode(struct bench *b, enum derp_bench_mode mode, size_t target,
                       struct derp_run *r)
{
    return b->o.modes & BIT(mode) && !b->o.targets[target].is_floor && begin(b, target, r);
}

static void idle_cases(struct bench *b)
{
    struct derp_run r;

    for (size_t t = 0; t < b->o.n_targets; t++) {
        if (!begin_mode(b, DERP_BENCH_IDLE, t, &r))
            continue;
        bool ok = derp_idle_run(&r, &b->tallies[t].idle);

        after(b, &r, ok);
        if (ok)
            say_idle(b, &b->o.targets[t], &b->tallies[t].idle);
    }
}

static void storm_cases(struct bench *b)
{
    struct derp_run r;

    for (size_t t = 0; t < b->o.n_targets; t++) {
        if (!begin_mode(b, DERP_BENCH_STORM, t, &r))
            continue;
        bool ok = derp_storm_run(&r, &b->tallies[t].storm);

        after(b, &r, ok);
        if (ok)
            say_storm(b, &b->o.targets[t], &b->tallies[t].storm);
    }
}

static void stun_case(struct bench *b, bool is_crowd)
{
    struct derp_run r;

    for (size_t t = 0; t < b->o.n_targets; t++) {
        const struct derp_bench_target *target = &b->o.targets[t];
        struct derp_stun_figures *f = &b->tallies[t].stun[!is_crowd];

        if (!target->has_stun || (is_crowd && !derp_stun_can_crowd(target)) ||
            !begin_mode(b, DERP_BENCH_STUN, t, &r))
            continue;
        bool ok = derp_stun_run(&r, is_crowd, f);

        after(b, &r, ok);
        if (ok)
            say_stun(b, target, is_crowd, f);
    }
}

static void hostile_cases(struct bench *b)
{
    struct derp_run r;

    for (size_t t = 0; t < b->o.n_targets; t++) {
        if (!begin_mode(b, DERP_BENCH_HOSTILE, t, &r))
            continue;
        derp_hostile_run(&r);
        after(b, &r, true);
    }
}

/* ---- Comparisons ---- */

static void say_ratio(const char *what, double first, double other)
{
    if (first > 0 && other > 0)
        printf("  %s %.2f", what, first / other);
}

static void compare_load(struct bench *b, size_t at, const struct derp_load *what)
{
    for (size_t t = 1; t < b->o.n_targets; t++) {
        const struct derp_load_figures *first = &b->tallies[0].load[at];

        printf("%-12.*s %3zu pairs of %4zu bytes:", STR_ARG(b->o.targets[t].name), what->pairs,
               what->size);
        say_ratio("packets per server CPU second", first->server_us,
                  b->tallies[t].load[at].server_us);
        say_ratio("p99", first->p99_ms, b->tallies[t].paced[at].p99_ms);
        printf("\n");
    }
}

/* How much better than the first; p99: its own when saturated, to theirs at that load. */
static void compare(struct bench *b)
{
    const struct derp_bench_options *o = &b->o;
    const struct tally *first = &b->tallies[0];

    printf("\nHow many times better than %.*s (p99: that of its own saturation, to theirs at the "
           "same load)\n",
           STR_ARG(o->targets[0].name));
    if (o->modes & BIT(DERP_BENCH_LOAD))
        each_load(b, compare_load);
    for (size_t t = 1; t < o->n_targets; t++) {
        const struct tally *other = &b->tallies[t];

        if (o->targets[t].is_floor)
            continue;
        printf("%-12.*s", STR_ARG(o->targets[t].name));
        say_ratio("memory per idle connection", first->idle.rss_per_kib, other->idle.rss_per_kib);
        say_ratio("CPU per connection in a storm",
                  first->storm.server_cpu / (double)MAX(first->storm.ready, (size_t)1),
                  other->storm.server_cpu / (double)MAX(other->storm.ready, (size_t)1));
        say_ratio("STUN answers per CPU second, to a crowd", first->stun[0].server_us,
                  other->stun[0].server_us);
        say_ratio("to a few", first->stun[1].server_us, other->stun[1].server_us);
        printf("\n");
    }
}

/* ---- All ---- */

static bool add_floor(struct derp_bench_options *o, size_t kind)
{
    static const char *const names[DERP_BENCH_FLOORS] = {"floor", "floor-uring", "floor-rest",
                                                         "floor-ur-rest"};
    struct derp_bench_target *t = &o->targets[o->n_targets];
    struct err err = {0};

    *t = (struct derp_bench_target){.name = str_from(names[kind]), .is_floor = true};
    if (!derp_floor_start((enum derp_floor)kind, &t->addr, &t->pid, &err)) {
        (void)fprintf(stderr, "Error: %s\n", err.text);
        return false;
    }
    o->n_targets++;
    return true;
}

int bench_derp(const struct derp_bench_options *options)
{
    struct bench b = {.o = *options, .deadline_ms = clock_mono_ms() + options->limit_ms};

    for (size_t i = 0; i < DERP_BENCH_FLOORS; i++)
        if (b.o.floors[i] && !add_floor(&b.o, i))
            return 1; /* the others end with us */
    b.tallies = mem_alloc_array(b.o.n_targets, sizeof(*b.tallies));
    idle_cases(&b);
    if (b.o.modes & BIT(DERP_BENCH_LOAD)) {
        say_load_title(&b, b.o.rate > 0 ? "At a given load" : "Saturated");
        each_load(&b, load_case);
    }
    if (b.o.modes & BIT(DERP_BENCH_PACED)) {
        say_load_title(&b, "At the load the first could carry");
        each_load(&b, paced_case);
    }
    if (b.o.modes & BIT(DERP_BENCH_SLOW)) {
        say_load_title(&b, "Beside receivers that never read");
        each_load(&b, slow_case);
    }
    storm_cases(&b);
    stun_case(&b, true);
    stun_case(&b, false);
    hostile_cases(&b);
    if (b.o.n_targets > 1 && !b.o.json)
        compare(&b);
    for (size_t t = 0; t < b.o.n_targets; t++)
        if (b.o.targets[t].is_floor)
            derp_floor_stop(b.o.targets[t].pid);
    mem_free(b.tallies);
    if (b.unmeasured > 0)
        (void)fprintf(stderr, "%zu cases were not measured\n", b.unmeasured);
    if (b.failures > 0)
        (void)fprintf(stderr, "%zu checks FAILED\n", b.failures);
    return b.failures > 0 || b.unmeasured > 0;
}
