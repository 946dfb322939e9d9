#pragma once

/* The phases of the control bench and their figures; see bench_internal.h. */

#include "bench/bench_internal.h"

enum figure {
    F_TAILNETS,
    F_RSS_TAILNET,
    F_CPU_TAILNET,
    F_NODES,
    F_FAILURES,
    F_BROKEN_OFF,
    F_JOIN,
    F_SETTLE,
    F_FIRST_P50,
    F_FIRST_P99,
    F_FIRST_MAX,
    F_CHANGE_P50,
    F_CHANGE_P99,
    F_CHANGE_MAX,
    F_CPU_CHANGE,
    F_CPU_VIEWER,
    F_CHANGE_BYTES,
    F_FLOOR_CIPHER,
    F_FLOOR_SEND,
    F_FLOOR_TIMES,
    F_ARRIVE_FIRST,
    F_ARRIVE_LAST_P50,
    F_ARRIVE_LAST_P99,
    F_ARRIVE_LAST,
    F_CPU_ARRIVE,
    F_CHURN_COUNT,
    F_CHURN_UPHEAVALS,
    F_CHURN_SETTLE,
    F_STORM_BACK,
    F_STORM_SETTLE,
    F_RESTART_BACK,
    F_RESTART_SETTLE,
    F_RESTART_RETRIES,
    F_RESTART_PEAK,
    F_CPU_RESTART_BACK,
    F_CPU_RESTART,
    F_POLICY_ANSWER,
    F_POLICY_P50,
    F_POLICY_P99,
    F_POLICY_MAX,
    F_POLICY_SETTLE,
    F_CPU_POLICY,
    F_VERIFIED,
    F_CPU_JOIN,
    F_CPU_CHURN,
    F_CPU_STORM,
    F_CPU_IDLE,
    F_RSS,
    F_RSS_PEAK,
    F_RSS_JOINED,
    F_RSS_NODE,
    F_RSS_SLOPE,
    F_BYTES,
    F_MESSAGES,
    F_CPU_BENCH,
    F_RSS_BENCH,
    F_COUNT
};

void figures_report(const struct bench_options *o, const double values[F_COUNT]);
/* p50, p99 and the highest into three figures; forgets the samples. */
void figures_put_samples(double *figure, struct samples *s);
double seconds_since(int64_t begun_ms);
double cpu_since(const struct run *r, const struct bench_usage *before);

/* Waits until everybody holds what is true; complains when it does not come. */
void run_settle(struct run *r, const char *when);
/* The same after who sees whom may have changed: the policy has `port` opened on top, 0: none. */
void run_judge(struct run *r, unsigned port, const char *when);

MUST_USE bool run_all_have_maps(struct run *r); /* for run_until */
/* Waits for it; complains when somebody does not come. */
void run_come_back(struct run *r, const char *when);
/*
 * The server ends, by SIGKILL or as asked, and starts anew; nodes are told by the ends of their
 * connections and try again as long as `is_down` is set, which is left to the caller. *begun_ms:
 * when it answered. False: complained.
 */
MUST_USE bool run_restart_server(struct run *r, bool is_killed, int64_t *begun_ms);

typedef void phase_fn(struct run *r, double *f);
phase_fn phase_join, phase_change, phase_arrive, phase_churn, phase_storm, phase_restart,
    phase_policy, phase_verify, phase_idle;
