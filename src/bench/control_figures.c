/* What the control bench found, as a table or a line of JSON. */

#include <stdlib.h>

#include "bench/control_internal.h"
#include "core/clock.h"

/* The phase a figure belongs to; it is shown when the phase was asked for. */
static const struct {
    const char *json, *label, *unit;
    int decimals;
    enum bench_phase phase;
} figures[F_COUNT] = {
    [F_TAILNETS] = {"tailnets", "tailnets", "", 0, BENCH_JOIN},
    [F_RSS_TAILNET] = {"rss_per_tailnet_kib", "resident for each, its user and key", "KiB", 1,
                       BENCH_JOIN},
    [F_CPU_TAILNET] = {"cpu_per_tailnet_ms", "server CPU to make them", "ms", 3, BENCH_JOIN},
    [F_NODES] = {"nodes", "nodes", "", 0, BENCH_JOIN},
    [F_FAILURES] = {"failures", "failed checks", "", 0, BENCH_JOIN},
    [F_BROKEN_OFF] = {"broken_off", "streams the server broke off", "", 0, BENCH_JOIN},
    [F_JOIN] = {"join_s", "all have a first map after", "s", 3, BENCH_JOIN},
    [F_SETTLE] = {"settle_s", "all hold what is true after", "s", 3, BENCH_JOIN},
    [F_FIRST_P50] = {"first_map_p50_ms", "connecting to first map, p50", "ms", 2, BENCH_JOIN},
    [F_FIRST_P99] = {"first_map_p99_ms", "connecting to first map, p99", "ms", 2, BENCH_JOIN},
    [F_FIRST_MAX] = {"first_map_max_ms", "connecting to first map, max", "ms", 2, BENCH_JOIN},
    [F_CHANGE_P50] = {"change_p50_ms", "change to viewer, p50", "ms", 2, BENCH_CHANGE},
    [F_CHANGE_P99] = {"change_p99_ms", "change to viewer, p99", "ms", 2, BENCH_CHANGE},
    [F_CHANGE_MAX] = {"change_max_ms", "change to viewer, max", "ms", 2, BENCH_CHANGE},
    [F_CPU_CHANGE] = {"cpu_per_change_ms", "server CPU per change", "ms", 3, BENCH_CHANGE},
    [F_CPU_VIEWER] = {"cpu_per_viewer_us", "and viewer of it", "us", 2, BENCH_CHANGE},
    [F_CHANGE_BYTES] = {"change_bytes", "bytes of map stream a viewer", "", 0, BENCH_CHANGE},
    [F_FLOOR_CIPHER] = {"floor_cipher_us", "floor: sealing as much, a viewer", "us", 2,
                        BENCH_CHANGE},
    [F_FLOOR_SEND] = {"floor_send_us", "floor: sending it, a viewer", "us", 2, BENCH_CHANGE},
    [F_FLOOR_TIMES] = {"floor_times", "server CPU by the floor", "times", 2, BENCH_CHANGE},
    [F_ARRIVE_FIRST] = {"arrive_first_map_ms", "one more joins: first map, max", "ms", 2,
                        BENCH_ARRIVE},
    [F_ARRIVE_LAST_P50] = {"arrive_p50_ms", "one more joins: viewer has it, p50", "ms", 2,
                           BENCH_ARRIVE},
    [F_ARRIVE_LAST_P99] = {"arrive_p99_ms", "one more joins: viewer has it, p99", "ms", 2,
                           BENCH_ARRIVE},
    [F_ARRIVE_LAST] = {"arrive_max_ms", "one more joins: viewer has it, max", "ms", 2,
                       BENCH_ARRIVE},
    [F_CPU_ARRIVE] = {"cpu_per_arrival_ms", "server CPU per such join", "ms", 3, BENCH_ARRIVE},
    [F_CHURN_COUNT] = {"churn_count", "left and came back", "", 0, BENCH_CHURN},
    [F_CHURN_UPHEAVALS] = {"churn_upheavals", "other policies and restarts meanwhile", "", 0,
                           BENCH_CHURN},
    [F_CHURN_SETTLE] = {"churn_settle_s", "settled after churn in", "s", 3, BENCH_CHURN},
    [F_STORM_BACK] = {"storm_back_s", "all back after dropping out in", "s", 3, BENCH_STORM},
    [F_STORM_SETTLE] = {"storm_settle_s", "settled after storm in", "s", 3, BENCH_STORM},
    [F_RESTART_BACK] = {"restart_back_s", "server anew: all have maps after", "s", 3,
                        BENCH_RESTART},
    [F_RESTART_SETTLE] = {"restart_settle_s", "and hold what is true after", "s", 3, BENCH_RESTART},
    [F_RESTART_RETRIES] = {"restart_retries", "connections tried in vain", "", 0, BENCH_RESTART},
    [F_RESTART_PEAK] = {"restart_peak_kib", "its resident memory, highest", "KiB", 0,
                        BENCH_RESTART},
    [F_CPU_RESTART_BACK] = {"cpu_restart_back_s", "its CPU until all have maps", "s", 3,
                            BENCH_RESTART},
    [F_CPU_RESTART] = {"cpu_restart_s", "its CPU until all is true", "s", 3, BENCH_RESTART},
    [F_POLICY_ANSWER] = {"policy_answer_ms", "policy change: answered, max", "ms", 2, BENCH_POLICY},
    [F_POLICY_P50] = {"policy_p50_ms", "policy change: node has it, p50", "ms", 2, BENCH_POLICY},
    [F_POLICY_P99] = {"policy_p99_ms", "policy change: node has it, p99", "ms", 2, BENCH_POLICY},
    [F_POLICY_MAX] = {"policy_max_ms", "policy change: node has it, max", "ms", 2, BENCH_POLICY},
    [F_POLICY_SETTLE] = {"policy_settle_ms", "policy change: all is true after, max", "ms", 2,
                         BENCH_POLICY},
    [F_CPU_POLICY] = {"cpu_per_policy_ms", "server CPU per policy change", "ms", 3, BENCH_POLICY},
    [F_VERIFIED] = {"verified", "equal to a fresh map", "", 0, BENCH_VERIFY},
    [F_CPU_JOIN] = {"cpu_join_s", "server CPU until settled", "s", 3, BENCH_JOIN},
    [F_CPU_CHURN] = {"cpu_churn_s", "server CPU for churn", "s", 3, BENCH_CHURN},
    [F_CPU_STORM] = {"cpu_storm_s", "server CPU for storm", "s", 3, BENCH_STORM},
    [F_CPU_IDLE] = {"cpu_idle_percent", "server CPU while idle", "%", 3, BENCH_IDLE},
    [F_RSS] = {"rss_kib", "server resident", "KiB", 0, BENCH_JOIN},
    [F_RSS_PEAK] = {"rss_peak_kib", "server resident, highest", "KiB", 0, BENCH_JOIN},
    [F_RSS_JOINED] = {"rss_joined_kib", "server resident, when joined", "KiB", 0, BENCH_JOIN},
    [F_RSS_NODE] = {"rss_per_node_kib", "resident per node, when joined", "KiB", 1, BENCH_JOIN},
    [F_RSS_SLOPE] = {"rss_slope_kib", "of the second half, per node", "KiB", 1, BENCH_JOIN},
    [F_BYTES] = {"wire_bytes", "map bytes received", "", 0, BENCH_JOIN},
    [F_MESSAGES] = {"messages", "map messages received", "", 0, BENCH_JOIN},
    [F_CPU_BENCH] = {"cpu_bench_s", "CPU of the bench itself", "s", 3, BENCH_JOIN},
    [F_RSS_BENCH] = {"rss_bench_kib", "its memory, highest", "KiB", 0, BENCH_JOIN},
};

void figures_report(const struct bench_options *o, const double values[F_COUNT])
{
    const char *separator = "{";

    for (int i = 0; i < F_COUNT; i++) {
        if (!(o->phases & BIT(figures[i].phase)))
            continue;
        if (o->json)
            printf("%s\"%s\":%.*f", separator, figures[i].json, figures[i].decimals, values[i]);
        else
            printf("%-36s%.*f%s%s\n", figures[i].label, figures[i].decimals, values[i],
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

void figures_put_samples(double *figure, struct samples *s)
{
    if (s->n == 0)
        return;
    qsort(s->ms, s->n, sizeof(*s->ms), by_value);
    figure[0] = s->ms[(size_t)((double)(s->n - 1) * 0.5)];
    figure[1] = s->ms[(size_t)((double)(s->n - 1) * 0.99)];
    figure[2] = s->ms[s->n - 1];
    s->n = 0;
}

double seconds_since(int64_t begun_ms)
{
    return (double)(clock_mono_ms() - begun_ms) / 1000;
}

double cpu_since(const struct run *r, const struct bench_usage *before)
{
    return bench_usage_of(r->server_pid).cpu_seconds - before->cpu_seconds;
}
