/* See soak.h. */

#include "bench/soak.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#include "bench/soak_internal.h"
#include "core/clock.h"
#include "core/mem.h"

#define COMPLAINTS_MAX 20

static const char *const labels[SOAK_COUNTS] = {
    [SOAK_CAME] = "came",
    [SOAK_LEFT] = "left",
    [SOAK_THROWN_OUT] = "thrown out",
    [SOAK_REGISTERED] = "registered",
    [SOAK_REFUSED] = "refused",
    [SOAK_MOVED] = "moved",
    [SOAK_TOOK_OVER] = "took over",
    [SOAK_NEW_KEY] = "new keys",
    [SOAK_LOGGED_OUT] = "logged out",
    [SOAK_NEW_MACHINE] = "new machines",
    [SOAK_STOPPED_READING] = "stopped reading",
    [SOAK_MESSAGES] = "messages",
    [SOAK_FULL_MAPS] = "first maps",
};

/* Set by signals. */
struct wishes {
    bool compare;
    bool end;
};

void soak_complain(struct soak *s, const struct soak_node *n, const char *what, struct str detail)
{
    if (s->failures++ < COMPLAINTS_MAX)
        (void)fprintf(stderr, "FAIL soak-%zu (capver %u, %s): %s %.*s\n", n->index, n->capver,
                      n->zstd ? "zstd" : "plain", what, STR_ARG(detail));
}

uint64_t soak_below(struct soak *s, uint64_t n)
{
    return rand_seeded_below(&s->rand, n);
}

/* ---- Silence ---- */

static bool all_here(const struct soak *s)
{
    for (size_t i = 0; i < s->o->nodes; i++) {
        const struct soak_node *n = &s->nodes[i];

        if (n->state != SOAK_HERE || !n->stream->has_map || n->is_slow ||
            n->stream->state.self_expired)
            return false;
    }
    return true;
}

/* Until everybody has been here with nothing to hear for quiet_ms. */
static bool fall_silent(struct soak *s)
{
    int64_t deadline = clock_mono_ms() + s->o->limit_ms;
    int64_t here_ms = 0;

    s->is_quiet = true;
    for (size_t i = 0; i < s->o->nodes; i++)
        soak_node_settle(&s->nodes[i]);
    while (clock_mono_ms() < deadline) {
        int64_t now = clock_mono_ms();

        loop_run_once(s->loop, 20);
        if (!all_here(s))
            here_ms = 0;
        else if (here_ms == 0)
            here_ms = now;
        if (here_ms && now - MAX(here_ms, s->heard_ms) > s->o->quiet_ms)
            return true;
    }
    for (size_t i = 0; i < s->o->nodes; i++) {
        const struct soak_node *n = &s->nodes[i];

        if (n->state != SOAK_HERE || !n->stream->has_map)
            soak_complain(s, n, "is not back", STR_NONE);
    }
    return false;
}

/* ---- Comparing ---- */

static bool all_took_over(const struct soak *s)
{
    for (size_t i = 0; i < s->o->nodes; i++) {
        const struct soak_node *n = &s->nodes[i];

        if (n->state != SOAK_HERE || !n->stream->has_map || (n->before && n->before->map))
            return false;
    }
    return true;
}

/*
 * Once only: what differs now was so before the fresh map came, since nothing happens meanwhile. A
 * second try would compare the fresh map with itself.
 */
static size_t compare(struct soak *s)
{
    int64_t deadline = clock_mono_ms() + s->o->limit_ms;
    size_t same = 0;

    for (size_t i = 0; i < s->o->nodes; i++)
        soak_node_take_over(&s->nodes[i]);
    while (!all_took_over(s) && clock_mono_ms() < deadline)
        loop_run_once(s->loop, 20);
    for (size_t i = 0; i < s->o->nodes; i++) {
        struct soak_node *n = &s->nodes[i];
        char why[1024] = "it was thrown out";

        if (n->state == SOAK_HERE && n->before && n->stream->has_map &&
            netmap_state_same(&n->before->state, &n->stream->state, why, sizeof(why)))
            same++;
        else
            soak_complain(s, n, "deltas left what a fresh map does not have:", str_from(why));
        soak_stream_forget(TAKE(n->before));
    }
    return same;
}

static void report(const struct soak *s, size_t same)
{
    printf("%zu of %zu nodes hold what a fresh map gives;", same, s->o->nodes);
    for (size_t i = 0; i < SOAK_COUNTS; i++)
        printf(" %s %" PRIu64, labels[i], s->counts[i]);
    printf("\n");
    (void)fflush(stdout);
}

static void compare_all(struct soak *s)
{
    size_t same = fall_silent(s) ? compare(s) : 0;

    report(s, same);
    s->is_quiet = false;
}

/* ---- Beginning and end ---- */

static void on_signal(void *user, int signo)
{
    struct wishes *w = user;

    if (signo == SIGUSR1)
        w->compare = true;
    else
        w->end = true;
}

static int begin(struct soak *s, struct wishes *w, struct err *err)
{
    if (control_fetch_key(s->o->url, &s->server, err) < 0 || loop_new("soak", &s->loop, err) < 0 ||
        loop_on_signal(s->loop, SIGUSR1, on_signal, w, err) < 0 ||
        loop_on_signal(s->loop, SIGINT, on_signal, w, err) < 0 ||
        loop_on_signal(s->loop, SIGTERM, on_signal, w, err) < 0)
        return -(int)err->code;
    s->nodes = mem_alloc_array(s->o->nodes, sizeof(*s->nodes));
    for (size_t i = 0; i < s->o->nodes; i++)
        soak_node_init(s, i);
    return 0;
}

static void end(struct soak *s)
{
    s->is_ending = true;
    for (size_t i = 0; s->nodes && i < s->o->nodes; i++)
        soak_node_leave(&s->nodes[i]);
    for (int i = 0; s->loop && i < 20; i++)
        loop_run_once(s->loop, 10);
    loop_free(s->loop);
    for (size_t i = 0; s->nodes && i < s->o->nodes; i++)
        soak_node_fini(&s->nodes[i]);
    mem_free(s->nodes);
}

int bench_soak(const struct soak_options *o)
{
    struct soak s = {.o = o};
    struct wishes w = {0};
    struct err err = {0};

    rand_seed(&s.rand, o->seed);
    if (begin(&s, &w, &err) < 0) {
        (void)fprintf(stderr, "Error: %s\n", err.text);
        end(&s);
        return 1;
    }
    while (!w.end) {
        loop_run_once(s.loop, 50);
        if (w.compare) {
            w.compare = false;
            compare_all(&s);
        }
    }
    end(&s);
    return s.failures > 0;
}

static bool parse_number(const char *text, uint64_t *n)
{
    return text && str_parse_u64(str_from(text), n) && *n <= (uint64_t)INT64_MAX;
}

bool soak_parse(int argc, char **argv, struct soak_options *o)
{
    struct bench_options where = {0};

    *o = (struct soak_options){
        .nodes = 50, .seed = rand_u64() >> 1, .quiet_ms = 15000, .limit_ms = 120000};
    for (int i = 0; i + 1 < argc; i += 2) {
        struct str name = str_from(argv[i]);
        uint64_t n = 0;

        if (str_eq(name, STR("--server"))) {
            where.url = o->url = argv[i + 1];
        } else if (str_eq(name, STR("--auth-key")) && o->n_auth_keys < SOAK_KEYS_MAX) {
            o->auth_keys[o->n_auth_keys++] = str_from(argv[i + 1]);
        } else if (!parse_number(argv[i + 1], &n)) {
            return false;
        } else if (str_eq(name, STR("--nodes")) && n > 0 && n <= BENCH_NODES_MAX) {
            o->nodes = n;
        } else if (str_eq(name, STR("--seed"))) {
            o->seed = n;
        } else if (str_eq(name, STR("--quiet")) && n < 3600) {
            o->quiet_ms = (int64_t)n * 1000;
        } else if (str_eq(name, STR("--limit")) && n < 36000) {
            o->limit_ms = (int64_t)n * 1000;
        } else {
            return false;
        }
    }
    if (argc % 2 != 0 || !o->url || o->n_auth_keys == 0 || !bench_parse_url(&where))
        return false;
    o->addr = where.addr;
    o->authority = where.authority;
    return true;
}
