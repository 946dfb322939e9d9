/*
 * Churn: somebody leaves; who is away the longest comes back, every other time as a program started
 * anew. In the midst of it there may be upheavals: another policy, and the server ends and starts
 * anew while nodes are on their way in and out.
 *
 * An upheaval is over when everybody who is not away has at least begun to come back: from then on
 * a stream that ends is a failed check again.
 */

#include "bench/control_internal.h"
#include "bench/crowd.h"
#include "bench/own_server.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"

#define CHURN_EVERY_MS 20
#define RESTART_NOTICE_MS 5000
#define UPHEAVAL_PORT 18001

struct churn {
    struct run *run;
    struct sim **away; /* a ring */
    size_t away_max, n_away, oldest;
    size_t count; /* left so far */
    size_t upheavals;
    struct bench_usage before; /* of the server as it runs now */
    double cpu_seconds;        /* of those before it */
};

bool run_all_have_maps(struct run *r)
{
    return r->with_map == r->n;
}

void run_come_back(struct run *r, const char *when)
{
    if (!run_until(r, run_all_have_maps))
        run_complain(r, "not all nodes came back", str_from(when));
}

/* ---- The server's end ---- */

bool run_restart_server(struct run *r, bool is_killed, int64_t *begun_ms)
{
    struct err err = {0};

    if (!r->o->serve) {
        run_complain(r, "a restart needs a server of our own:", STR("--serve"));
        return false;
    }
    r->is_down = true;
    if (is_killed)
        own_server_kill(r->server_pid);
    else if (!own_server_end(r->server_pid))
        run_complain(r, "the server did not end in order", STR_NONE);
    if (own_server_start(r->o->serve, &r->server_pid, &err) < 0 ||
        own_server_wait(r->o->url, r->server_pid, &err) < 0) {
        run_complain(r, "the server did not start anew:", str_from(err.text));
        return false;
    }
    *begun_ms = clock_mono_ms();
    while (r->with_map > 0 && clock_mono_ms() < *begun_ms + RESTART_NOTICE_MS)
        loop_run_once(r->loop, 1); /* the ends of the connections before */
    return true;
}

/* ---- An upheaval ---- */

static unsigned port_now(const struct churn *c)
{
    return c->upheavals > 0 ? UPHEAVAL_PORT + (unsigned)c->upheavals - 1 : 0;
}

static void change_policy(struct churn *c)
{
    struct run *r = c->run;
    struct buf text = BUF((size_t)16 << 20);
    struct err err = {0};

    crowd_put_policy(r->crowd, port_now(c), &text);
    if (crowd_set_policy(r->o, buf_str(&text), &err) < 0)
        run_complain(r, "a policy was refused:", str_from(err.text));
    buf_fini(&text);
}

static void upheaval(struct churn *c)
{
    int64_t begun;

    c->upheavals++;
    change_policy(c);
    c->cpu_seconds += cpu_since(c->run, &c->before);
    IGNORE(run_restart_server(c->run, c->upheavals % 2 == 0, &begun));
    c->before = (struct bench_usage){0};
}

static void calm(struct churn *c)
{
    struct run *r = c->run;

    if (r->is_down && r->with_map + r->under_way + c->n_away == r->n)
        r->is_down = false;
}

/* ---- Leaving and coming back ---- */

static void one_comes(struct churn *c)
{
    sim_begin(c->away[c->oldest], c->count % 2 == 0);
    c->oldest = (c->oldest + 1) % c->away_max;
    c->n_away--;
}

static void one_leaves(struct churn *c)
{
    struct sim *s = &c->run->sims[rand_below(c->run->n)];

    if (!sim_has_map(s))
        return;
    sim_leave(s);
    c->away[(c->oldest + c->n_away++) % c->away_max] = s;
    c->count++;
}

static void come_and_go(struct churn *c)
{
    struct run *r = c->run;
    int64_t begun = clock_mono_ms(), end = begun + r->o->churn_ms;
    int64_t apart = r->o->churn_ms / ((int64_t)r->o->upheavals + 1);

    for (int64_t now = begun; now < end && r->failures == 0; now = clock_mono_ms()) {
        if (c->n_away == c->away_max)
            one_comes(c);
        one_leaves(c);
        if (c->upheavals < r->o->upheavals && now >= begun + (int64_t)(c->upheavals + 1) * apart)
            upheaval(c);
        run_for(r, CHURN_EVERY_MS);
        calm(c);
    }
    while (c->n_away > 0)
        one_comes(c);
}

void phase_churn(struct run *r, double *f)
{
    struct churn c = {
        .run = r, .away_max = MAX(r->n / 10, (size_t)1), .before = bench_usage_of(r->server_pid)};

    c.away = mem_alloc_array(c.away_max, sizeof(*c.away));
    come_and_go(&c);
    mem_free(c.away);
    int64_t begun = clock_mono_ms();

    run_come_back(r, "after churn");
    r->is_down = false;
    if (r->failures == 0 && c.upheavals > 0)
        run_judge(r, port_now(&c), "after churn");
    else if (r->failures == 0)
        run_settle(r, "after churn");
    f[F_CHURN_COUNT] = (double)c.count;
    f[F_CHURN_UPHEAVALS] = (double)c.upheavals;
    f[F_CHURN_SETTLE] = seconds_since(begun);
    f[F_CPU_CHURN] = c.cpu_seconds + cpu_since(r, &c.before);
}
