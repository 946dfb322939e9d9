/*
 * Many connections: what one costs while nothing happens, and what it takes when all come at once.
 *
 * Idle: a few connections first, so that what the server makes once is made; then the rest, few at
 * a time, so that what handshakes need for a moment is not counted as theirs for long.
 *
 * Storm: all begin to connect in one turn of the loop. Meanwhile a pair of clients on a thread of
 * its own goes on sending a packet every PING_MS each way; how late those come tells who is
 * starved.
 */

#include <stdio.h>
#include <unistd.h>

#include "bench/derp_internal.h"
#include "core/clock.h"
#include "core/mem.h"

#define FIRST 16 /* idle connections that are there before one is counted */
#define UNDER_WAY 32
#define SETTLE_MS 2000
#define IDLE_MS 5000
#define PING_MS 5
#define PING_SIZE 64
#define CALM_MS 500 /* of pings before and after a storm */

static const struct derp_peer_events quiet = {0};

static bool turn_for(struct derp_run *r, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;

    while (clock_mono_ms() < until)
        if (!derp_run_turn(r, 20))
            return false;
    return true;
}

static void end_crowd(struct derp_run *r, struct derp_peer *peers, size_t n)
{
    derp_run_fini(r);
    for (size_t i = 0; i < n; i++)
        derp_peer_fini(&peers[i]);
    mem_free(peers);
}

/* ---- Idle ---- */

/* Connects peers until `want` have begun and none is under way. */
static bool connect_some(struct derp_run *r, struct derp_peer *peers, size_t want)
{
    while (r->connecting < want || r->ready + r->closed < r->connecting) {
        while (r->connecting < want && r->connecting - r->ready - r->closed < UNDER_WAY)
            derp_peer_init(&peers[r->connecting], r, (uint32_t)r->connecting, false, &quiet, NULL);
        if (!derp_run_turn(r, 10))
            return false;
        if (r->closed > 0)
            return false; /* none may go while others come */
    }
    return true;
}

bool derp_idle_run(struct derp_run *r, struct derp_crowd_figures *out)
{
    size_t n = r->o->idle + FIRST;
    struct derp_peer *peers = mem_alloc_array(n, sizeof(*peers));
    long pid = r->target->pid;

    *out = (struct derp_crowd_figures){.wanted = r->o->idle};
    bool ok = connect_some(r, peers, FIRST) && turn_for(r, SETTLE_MS);
    struct bench_usage before = bench_usage_of(pid), own = bench_usage_of(getpid());
    uint64_t start = clock_mono_ns();

    ok = ok && connect_some(r, peers, n);
    out->seconds = (double)(clock_mono_ns() - start) / 1e9;
    struct bench_usage full = bench_usage_of(pid);

    out->server_cpu = full.cpu_seconds - before.cpu_seconds;
    out->own_cpu = bench_usage_of(getpid()).cpu_seconds - own.cpu_seconds;
    out->ready = r->ready > FIRST ? r->ready - FIRST : 0;
    ok = ok && turn_for(r, SETTLE_MS);
    full = bench_usage_of(pid);
    start = clock_mono_ns();
    ok = ok && turn_for(r, IDLE_MS);
    struct bench_usage after = bench_usage_of(pid);

    out->rss_kib = after.rss_kib;
    out->rss_per_kib = (after.rss_kib - before.rss_kib) / (double)r->o->idle;
    out->idle_cpu =
        (after.cpu_seconds - full.cpu_seconds) / (double)(clock_mono_ns() - start) * 1e9;
    if (!ok)
        (void)fprintf(stderr, "%.*s: of %zu idle connections %zu came\n", STR_ARG(r->target->name),
                      n, r->ready);
    end_crowd(r, peers, r->connecting);
    return ok;
}

/* ---- The pair beside a storm: all of it on its own loop ---- */

struct pinger {
    struct derp_run run;
    struct derp_peer ends[2];
    struct packet_seen seen[2];
    uint64_t sent[2];
    uint64_t got;
    struct timer timer;
    struct histogram latency;
    size_t bad;
};

static void on_ping(struct pinger *p, unsigned to, const struct node_key *src, struct str packet)
{
    uint64_t number = 0, sent_ns = 0;

    if (!node_key_eq(src, &p->ends[!to].key) ||
        !packet_check(&p->run.kit, to, packet, &number, &sent_ns) || number >= p->sent[to] ||
        packet_seen_add(&p->seen[to], number) == PACKET_TWICE) {
        p->bad++;
        return;
    }
    p->got++;
    histogram_add(&p->latency, clock_mono_ns() - sent_ns);
}

static void on_ping_0(void *user, const struct node_key *src, struct str packet)
{
    on_ping(user, 0, src, packet);
}

static void on_ping_1(void *user, const struct node_key *src, struct str packet)
{
    on_ping(user, 1, src, packet);
}

static const struct derp_peer_events ping_events[2] = {{.on_packet = on_ping_0},
                                                       {.on_packet = on_ping_1}};

static void on_ping_timer(void *user)
{
    struct pinger *p = user;
    char packet[PING_SIZE];

    for (unsigned to = 0; to < 2; to++) {
        packet_make(&p->run.kit, to, p->sent[to]++, clock_mono_ns(), packet, sizeof(packet));
        derp_peer_send(&p->ends[!to], &p->ends[to], packet, sizeof(packet), 1);
    }
    timer_start(&p->timer, PING_MS);
}

/* Connects on this thread, then goes on in its own. */
static bool pinger_start(struct pinger *p, const struct derp_run *beside)
{
    struct err err = {0};

    if (!derp_run_init(&p->run, beside->o, beside->target, beside->deadline_ms, &err))
        return false;
    for (unsigned i = 0; i < 2; i++)
        derp_peer_init(&p->ends[i], &p->run, 0, i == 0, &ping_events[i], p);
    timer_init(&p->timer, p->run.loop, on_ping_timer, p);
    if (!derp_run_until_ready(&p->run))
        return false;
    timer_start(&p->timer, PING_MS);
    return loop_thread_start(p->run.loop, &err) == 0;
}

/* Its thread has ended: what is still under way is waited for here. */
static void pinger_stop(struct pinger *p, struct derp_crowd_figures *out)
{
    loop_stop(p->run.loop);
    loop_thread_join(p->run.loop);
    timer_stop(&p->timer);
    for (int i = 0; i < 50 && p->got < p->sent[0] + p->sent[1]; i++)
        loop_run_once(p->run.loop, 20);
    out->pings = p->sent[0] + p->sent[1];
    out->pongs = p->got;
    out->ping_p50_ms = (double)histogram_quantile(&p->latency, 0.5) / 1e6;
    out->ping_p99_ms = (double)histogram_quantile(&p->latency, 0.99) / 1e6;
    out->ping_max_ms = (double)p->latency.max / 1e6;
}

static void pinger_free(struct pinger *p)
{
    timer_stop(&p->timer);
    derp_run_fini(&p->run);
    for (unsigned i = 0; i < 2; i++)
        derp_peer_fini(&p->ends[i]);
    mem_free(p);
}

/* ---- Storm ---- */

static void storm(struct derp_run *r, struct derp_peer *peers, struct derp_crowd_figures *out)
{
    long pid = r->target->pid;
    struct bench_usage server = bench_usage_of(pid), own = bench_usage_of(getpid());
    uint64_t start = clock_mono_ns();

    for (size_t i = 0; i < r->o->storm; i++) {
        derp_peer_init(&peers[i], r, (uint32_t)i, false, &quiet, NULL);
        peers[i].may_close = true; /* counted, not told one by one */
    }
    while (r->ready + r->closed < r->connecting && derp_run_turn(r, 10))
        ;
    out->seconds = (double)(clock_mono_ns() - start) / 1e9;
    out->server_cpu = bench_usage_of(pid).cpu_seconds - server.cpu_seconds;
    out->own_cpu = bench_usage_of(getpid()).cpu_seconds - own.cpu_seconds;
    for (size_t i = 0; i < r->o->storm; i++)
        out->ready += peers[i].is_ready;
    out->rss_kib = bench_usage_of(pid).rss_kib;
}

bool derp_storm_run(struct derp_run *r, struct derp_crowd_figures *out)
{
    struct derp_peer *peers = mem_alloc_array(r->o->storm, sizeof(*peers));
    struct pinger *pinger = NEW(struct pinger);

    *out = (struct derp_crowd_figures){.wanted = r->o->storm};
    bool ok = pinger_start(pinger, r);

    if (ok) {
        IGNORE(turn_for(r, CALM_MS));
        storm(r, peers, out);
        IGNORE(turn_for(r, CALM_MS));
        pinger_stop(pinger, out);
        if (pinger->bad > 0)
            derp_run_complain(r, "%zu packets beside the storm were altered, doubled or strays",
                              pinger->bad);
    } else {
        (void)fprintf(stderr, "%.*s: no pair before the storm\n", STR_ARG(r->target->name));
    }
    pinger_free(pinger);
    end_crowd(r, peers, r->connecting);
    return ok;
}
