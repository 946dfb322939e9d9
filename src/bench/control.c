/* The control bench: a run, its phases in order, its end (bench.h). */

#include <unistd.h>

#include "bench/control_internal.h"
#include "bench/crowd.h"
#include "bench/own_server.h"
#include "bench/sight.h"
#include "core/clock.h"
#include "core/map.h"
#include "core/mem.h"

#define LOOK_EVERY_MS 10

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

/* Looking costs, too: not at every round of the loop. */
static bool is_settled(struct run *r)
{
    int64_t now = clock_mono_ms();

    if (now < r->looked_ms + LOOK_EVERY_MS)
        return false;
    r->looked_ms = now;
    return check_settled(r);
}

void run_settle(struct run *r, const char *when)
{
    r->looked_ms = 0;
    if (run_until(r, is_settled))
        return;
    check_explain(r);
    run_complain(r, "not settled in time", str_from(when));
}

void run_judge(struct run *r, unsigned port, const char *when)
{
    struct buf text = BUF((size_t)16 << 20);
    struct err err = {0};

    if (r->o->rules > 0) {
        crowd_put_policy(r->crowd, port, &text);
        sight_free(r->sight);
        r->sight = sight_new(r, buf_str(&text), &err);
        if (!r->sight)
            run_complain(r, "judging who sees whom:", str_from(err.text));
        buf_fini(&text);
    }
    if (r->failures == 0)
        run_settle(r, when);
}

static void phases(struct run *r, double *f)
{
    static phase_fn *const table[BENCH_PHASES] = {
        [BENCH_JOIN] = phase_join,     [BENCH_CHANGE] = phase_change,
        [BENCH_ARRIVE] = phase_arrive, [BENCH_CHURN] = phase_churn,
        [BENCH_STORM] = phase_storm,   [BENCH_RESTART] = phase_restart,
        [BENCH_POLICY] = phase_policy, [BENCH_VERIFY] = phase_verify,
        [BENCH_IDLE] = phase_idle,
    };
    struct bench_usage end, own;

    for (int i = 0; i < BENCH_PHASES && r->failures == 0; i++)
        if (table[i] && (r->o->phases & BIT(i)))
            table[i](r, f);
    if (r->failures == 0)
        check_complaints(r);
    end = bench_usage_of(r->server_pid);
    own = bench_usage_of(getpid());
    f[F_TAILNETS] = (double)r->n_tailnets;
    f[F_NODES] = (double)r->n;
    f[F_FAILURES] = (double)r->failures;
    f[F_BROKEN_OFF] = (double)r->broken_off;
    f[F_RSS] = end.rss_kib;
    f[F_RSS_PEAK] = end.peak_kib;
    f[F_BYTES] = (double)r->wire_bytes;
    f[F_MESSAGES] = (double)r->messages;
    f[F_CPU_BENCH] = own.cpu_seconds;
    f[F_RSS_BENCH] = own.peak_kib;
}

bool bench_parse_phases(struct str text, unsigned *phases)
{
    static const char *const names[BENCH_PHASES] = {
        [BENCH_JOIN] = "join",       [BENCH_SETTLE] = "settle", [BENCH_CHANGE] = "fan-out",
        [BENCH_ARRIVE] = "arrive",   [BENCH_CHURN] = "churn",   [BENCH_STORM] = "storm",
        [BENCH_RESTART] = "restart", [BENCH_POLICY] = "policy", [BENCH_VERIFY] = "verify",
        [BENCH_IDLE] = "idle"};
    unsigned found = BIT(BENCH_JOIN) | BIT(BENCH_SETTLE);
    struct str piece;

    while (str_next(&text, ',', &piece)) {
        size_t i = 0;

        if (str_eq(piece, STR("change"))) /* its name before */
            piece = STR("fan-out");
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
    for (size_t i = 0; i < r->begun; i++) {
        timer_stop(&r->sims[i].again);
        if (r->sims[i].conn)
            control_client_close(r->sims[i].conn->client);
    }
    run_for(r, 500);
    loop_free(r->loop);
    sim_streams_free(r);
    for (size_t i = 0; i < r->begun; i++)
        sim_fini(&r->sims[i]);
    for (size_t i = 0; i < r->quiet_begun; i++)
        sim_fini(&r->quiet[i]);
    mem_free(r->quiet);
    for (size_t i = 0; i < r->n_tailnets; i++) {
        netmap_pool_free(r->tailnets[i].pool);
        mem_free(r->tailnets[i].sim_at);
    }
    mem_free(r->tailnets);
    map_free(r->in_vain);
    sight_free(r->sight);
    crowd_free(r->crowd);
    mem_free(r->sims);
    mem_free(r->joins.ms);
    mem_free(r->changes.ms);
}

static int begin(struct run *r, double *f, struct err *err)
{
    const struct bench_options *o = r->o;

    if (o->serve && (own_server_start(o->serve, &r->server_pid, err) < 0 ||
                     own_server_wait(o->url, r->server_pid, err) < 0))
        return -(int)err->code;
    struct bench_usage before = bench_usage_of(r->server_pid), after;

    if (control_fetch_key(o->url, &r->server, err) < 0 || crowd_new(o, &r->crowd, err) < 0)
        return -(int)err->code;
    after = bench_usage_of(r->server_pid);
    f[F_RSS_TAILNET] = (after.rss_kib - before.rss_kib) / (double)o->tailnets;
    f[F_CPU_TAILNET] = (after.cpu_seconds - before.cpu_seconds) * 1000 / (double)o->tailnets;
    return loop_new("bench", &r->loop, err);
}

int bench_control(const struct bench_options *o)
{
    struct run r = {.o = o,
                    .n = o->nodes,
                    .n_max = o->nodes + o->arrivals,
                    .n_tailnets = o->tailnets,
                    .server_pid = o->server_pid,
                    .deadline_ms = clock_mono_ms() + o->limit_ms};
    double values[F_COUNT] = {0};
    struct err err = {0};

    if (begin(&r, values, &err) < 0) {
        (void)fprintf(stderr, "Error: %s\n", err.text);
        if (o->serve && r.server_pid > 0)
            IGNORE(own_server_end(r.server_pid));
        return 1;
    }
    list_init(&r.streams);
    r.in_vain = map_new();
    r.sims = mem_alloc_array(r.n_max, sizeof(*r.sims));
    r.quiet = mem_alloc_array(o->quiet, sizeof(*r.quiet));
    r.tailnets = mem_alloc_array(r.n_tailnets, sizeof(*r.tailnets));
    for (size_t i = 0; i < r.n_tailnets; i++)
        r.tailnets[i].pool = netmap_pool_new(r.n_max / r.n_tailnets + 1 + o->beside + o->quiet);
    phases(&r, values);
    figures_report(o, values);
    (void)fflush(stdout);
    end_all(&r);
    if (o->serve && !own_server_end(r.server_pid))
        run_complain(&r, "the server did not end in order", STR_NONE);
    return r.failures > 0;
}
