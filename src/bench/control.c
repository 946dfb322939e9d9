/*
 * Simulated nodes against a server: JOIN all at once (a bounded number under way), SETTLE until
 * everybody sees everybody, CHANGE endpoints one after the other and time each viewer, IDLE and
 * watch the server.
 */

#include <string.h>

#include "bench/bench.h"
#include "client/control_client.h"
#include "client/netmap_state.h"
#include "core/clock.h"
#include "core/mem.h"
#include "wire/request.h"

#define CAPVER 142
#define JOINING_MAX 64

struct sim {
    struct run *run;
    size_t index;
    struct machine_private machine;
    struct node_key key;
    struct disco_key disco;
    struct control_client *client;
    struct control_map *map;
    struct netmap_state state;
    bool has_map;
    bool saw_change; /* the one that is being timed */
};

struct run {
    const struct bench_options *o;
    struct loop *loop;
    struct machine_key server;
    struct sim *sims;
    size_t begun, joined, closed;
    size_t failures;
    int64_t deadline_ms;
    int64_t joined_ms, settled_ms;
    size_t wire_bytes;
    /* The change being timed. */
    char marker[32];
    size_t saw;
    int64_t change_ms;
    double *latencies;
    size_t n_latencies;
};

static void complain(struct run *r, const char *what, struct str detail)
{
    if (r->failures++ < 20)
        (void)fprintf(stderr, "FAIL %s %.*s\n", what, STR_ARG(detail));
}

/* ---- One simulated node ---- */

static void begin_some(struct run *r);

static void on_peer(void *user, const struct netmap_peer *peer)
{
    struct sim *s = user;
    struct run *r = s->run;

    if (r->change_ms == 0 || s->saw_change || !str_eq(peer->endpoint, str_from(r->marker)))
        return;
    s->saw_change = true;
    r->saw++;
    r->latencies[r->n_latencies++] = (double)clock_mono_ns() / 1e6 - (double)r->change_ms;
}

static void on_message(void *user, const struct json_value *message, size_t frame_bytes)
{
    struct sim *s = user;
    struct run *r = s->run;

    r->wire_bytes += frame_bytes;
    if (!netmap_state_apply(&s->state, message)) {
        complain(r, "a first message without the node itself", STR_NONE);
        return;
    }
    if (s->has_map)
        return;
    s->has_map = true;
    r->joined++;
    if (!s->state.has_derp_map || !s->state.has_filter)
        complain(r, "a first message without relay map or filter", s->state.self_name);
    begin_some(r);
}

static void on_map_end(void *user, int status, const struct err *err)
{
    struct sim *s = user;

    s->map = NULL;
    if (s->client && s->run->closed == 0)
        complain(s->run, "a map stream ended:", str_from(err ? err->text : "in order"));
    (void)status;
}

static const struct control_map_events map_events = {.on_message = on_message,
                                                     .on_end = on_map_end};

static void on_lite(void *user, int status, struct str body, const struct err *err)
{
    struct sim *s = user;

    (void)err;
    if (status != 200 && s->run->closed == 0)
        complain(s->run, "a lite update was refused:", str_trim(body));
}

static void send_lite(struct sim *s, const char *endpoint)
{
    struct buf body = BUF(65536);
    struct ip_addrport at;
    struct wire_map_encode req = {.version = CAPVER,
                                  .key = s->key,
                                  .disco = s->disco,
                                  .zstd = true,
                                  .omit_peers = true,
                                  .preferred_derp = 999,
                                  .endpoints = &at,
                                  .n_endpoints = 1};
    struct str hostname = str_printf("sim-%zu", s->index);

    req.hostname = hostname;
    if (ip_addrport_parse(str_from(endpoint), &at)) {
        wire_map_request_encode(&req, &body);
        control_client_post(s->client, STR("/machine/map"), buf_str(&body), on_lite, s);
    }
    str_free(&hostname);
    buf_fini(&body);
}

static void open_map(struct sim *s)
{
    struct buf body = BUF(65536);
    const struct wire_map_encode req = {
        .version = CAPVER, .key = s->key, .disco = s->disco, .zstd = true, .stream = true};
    char endpoint[32];

    wire_map_request_encode(&req, &body);
    s->map = control_client_map(s->client, buf_str(&body), true, &map_events, s);
    buf_fini(&body);
    (void)snprintf(endpoint, sizeof(endpoint), "192.0.2.1:%zu", 1024 + s->index % 60000);
    send_lite(s, endpoint);
}

static void on_registered(void *user, int status, struct str body, const struct err *err)
{
    struct sim *s = user;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *answer = NULL;

    if (status != 200 || !json_parse(arena, body, NULL, &answer, NULL)) {
        complain(s->run, "register:", err ? str_from(err->text) : str_trim(body));
        return;
    }
    struct str refusal = json_get_str(answer, "Error");
    if (refusal.len > 0 || json_get_str(answer, "AuthURL").len > 0) {
        complain(s->run, "register:", refusal.len ? refusal : STR("the key was not enough"));
        return;
    }
    open_map(s);
}

static void on_ready(void *user, const struct err *err)
{
    struct sim *s = user;
    struct buf body = BUF(65536);
    struct str hostname = str_printf("sim-%zu", s->index);
    const struct wire_register_encode req = {
        .version = CAPVER, .key = s->key, .auth_key = s->run->o->auth_key, .hostname = hostname};

    if (err) {
        complain(s->run, "connect:", str_from(err->text));
    } else {
        wire_register_request_encode(&req, &body);
        control_client_post(s->client, STR("/machine/register"), buf_str(&body), on_registered, s);
    }
    str_free(&hostname);
    buf_fini(&body);
}

static void on_close(void *user)
{
    struct sim *s = user;

    s->client = NULL;
    s->run->closed++;
}

static void sim_begin(struct run *r, size_t i)
{
    struct sim *s = &r->sims[i];
    struct node_private node;
    struct node_private disco;
    struct node_key disco_public;

    s->run = r;
    s->index = i;
    machine_private_generate(&s->machine);
    node_private_generate(&node);
    node_private_public(&node, &s->key);
    node_private_generate(&disco);
    node_private_public(&disco, &disco_public);
    memcpy(s->disco.b, disco_public.b, sizeof(s->disco.b));
    netmap_state_init(&s->state);
    s->state.on_peer = on_peer;
    s->state.user = s;
    const struct control_client_options options = {.loop = r->loop,
                                                   .addr = r->o->addr,
                                                   .authority = r->o->authority,
                                                   .server = r->server,
                                                   .machine = &s->machine,
                                                   .version = CAPVER,
                                                   .on_ready = on_ready,
                                                   .on_close = on_close,
                                                   .user = s};
    s->client = control_client_new(&options);
}

static void begin_some(struct run *r)
{
    while (r->begun < r->o->nodes && r->begun - r->joined < JOINING_MAX)
        sim_begin(r, r->begun++);
}

/* ---- Phases ---- */

static bool run_until(struct run *r, bool (*is_done)(struct run *r))
{
    while (!is_done(r)) {
        if (clock_mono_ms() > r->deadline_ms || r->failures >= 20)
            return false;
        loop_run_once(r->loop, 20);
    }
    return true;
}

static bool all_joined(struct run *r)
{
    return r->joined == r->o->nodes;
}

static bool all_see_all(struct run *r)
{
    for (size_t i = 0; i < r->o->nodes; i++)
        if (netmap_state_peers(&r->sims[i].state) < r->o->nodes - 1)
            return false;
    return true;
}

static bool all_saw(struct run *r)
{
    return r->saw >= r->o->nodes - 1;
}

/* Distinct, complete, and each seen by the others as it sees itself. */
static void check_content(struct run *r)
{
    struct map *names = map_new(), *keys = map_new(), *addresses = map_new();
    struct str key;
    void *value;

    for (size_t i = 0; i < r->o->nodes; i++) {
        struct sim *s = &r->sims[i];

        if (map_put(names, s->state.self_name, s))
            complain(r, "two nodes have one name:", s->state.self_name);
        if (map_put(keys, s->state.self_key, s))
            complain(r, "two nodes have one key:", s->state.self_name);
    }
    for (size_t i = 0; i < r->o->nodes; i++) {
        struct netmap_state *state = &r->sims[i].state;
        size_t ours = 0;

        for (size_t at = 0; map_next(state->peers, &at, &key, &value);) {
            const struct netmap_peer *peer = value;
            const struct sim *other = map_find(names, peer->name);
            const char *first = map_find(addresses, peer->address);

            if (!other)
                continue; /* a node that is none of ours: a real client beside us */
            ours++;
            if (!str_eq(other->state.self_key, peer->key))
                complain(r, "a peer has another key than it says itself:", peer->name);
            if (str_eq(peer->name, state->self_name))
                complain(r, "a node is its own peer:", peer->name);
            if (!first)
                (void)map_put(addresses, peer->address, (void *)(uintptr_t)(other->index + 1));
            else if ((uintptr_t)first != other->index + 1)
                complain(r, "two nodes have one address:", peer->address);
        }
        if (ours != r->o->nodes - 1)
            complain(r, "a node does not see all others:", state->self_name);
    }
    map_free(names);
    map_free(keys);
    map_free(addresses);
}

static void change_endpoints(struct run *r)
{
    size_t most = r->o->changes * (r->o->nodes - 1);

    r->latencies = mem_alloc_array(most + 1, sizeof(*r->latencies));
    for (size_t i = 0; i < r->o->changes && r->o->nodes > 1; i++) {
        for (size_t k = 0; k < r->o->nodes; k++)
            r->sims[k].saw_change = false;
        r->saw = 0;
        (void)snprintf(r->marker, sizeof(r->marker), "198.51.100.7:%zu", 20000 + i);
        r->change_ms = (int64_t)(clock_mono_ns() / 1000000);
        send_lite(&r->sims[i % r->o->nodes], r->marker);
        if (!run_until(r, all_saw))
            complain(r, "a change was not seen by everybody:", str_from(r->marker));
        r->change_ms = 0;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double percentile(const struct run *r, double part)
{
    if (r->n_latencies == 0)
        return 0;
    return r->latencies[(size_t)((double)(r->n_latencies - 1) * part)];
}

static void idle(struct run *r)
{
    int64_t end = clock_mono_ms() + r->o->idle_ms;

    while (clock_mono_ms() < end)
        loop_run_once(r->loop, 50);
}

static void end_all(struct run *r)
{
    size_t closed = r->closed;

    r->closed = closed + 1; /* what ends from here on ends because we do */
    for (size_t i = 0; i < r->begun; i++)
        if (r->sims[i].client)
            control_client_close(r->sims[i].client);
    for (int i = 0; i < 200; i++)
        loop_run_once(r->loop, 5);
}

struct figures {
    double join_s, settle_s, p50, p99, max, cpu_join, cpu_change, cpu_idle, rss, rss_per_node;
};

static void report(const struct run *r, const struct figures *f)
{
    const char *form =
        r->o->json ? "{\"nodes\":%zu,\"failures\":%zu,\"join_s\":%.3f,\"settle_s\":%.3f,"
                     "\"change_p50_ms\":%.2f,\"change_p99_ms\":%.2f,\"change_max_ms\":%.2f,"
                     "\"cpu_join_s\":%.3f,\"cpu_per_change_ms\":%.3f,\"cpu_idle_percent\":%.3f,"
                     "\"rss_kib\":%.0f,\"rss_per_node_kib\":%.1f,\"wire_bytes\":%zu}\n"
                   : "nodes                          %zu\nfailed checks                  %zu\n"
                     "all have a first map after     %.3f s\n"
                     "all see all after              %.3f s\n"
                     "change to viewer, p50          %.2f ms\n"
                     "change to viewer, p99          %.2f ms\n"
                     "change to viewer, max          %.2f ms\n"
                     "server CPU until settled       %.3f s\n"
                     "server CPU per change          %.3f ms\n"
                     "server CPU while idle          %.3f %%\n"
                     "server resident                %.0f KiB\n"
                     "resident per node              %.1f KiB\n"
                     "map bytes received             %zu\n";

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    printf(form, r->o->nodes, r->failures, f->join_s, f->settle_s, f->p50, f->p99, f->max,
           f->cpu_join, f->cpu_change, f->cpu_idle, f->rss, f->rss_per_node, r->wire_bytes);
#pragma GCC diagnostic pop
}

static void phases(struct run *r)
{
    struct figures f = {0};
    struct bench_usage start = bench_usage_of(r->o->server_pid), settled, changed, idled;
    int64_t begun = clock_mono_ms();

    begin_some(r);
    if (!run_until(r, all_joined))
        complain(r, "not all nodes got a first map", STR_NONE);
    f.join_s = (double)(clock_mono_ms() - begun) / 1000;
    if (r->failures == 0 && !run_until(r, all_see_all))
        complain(r, "not all nodes see all others in time", STR_NONE);
    f.settle_s = (double)(clock_mono_ms() - begun) / 1000;
    settled = bench_usage_of(r->o->server_pid);
    if (r->failures == 0)
        check_content(r);
    if (r->failures == 0)
        change_endpoints(r);
    changed = bench_usage_of(r->o->server_pid);
    if (r->failures == 0)
        idle(r);
    idled = bench_usage_of(r->o->server_pid);
    if (r->n_latencies > 0)
        qsort(r->latencies, r->n_latencies, sizeof(*r->latencies), by_value);
    f.p50 = percentile(r, 0.5);
    f.p99 = percentile(r, 0.99);
    f.max = percentile(r, 1);
    f.cpu_join = settled.cpu_seconds - start.cpu_seconds;
    if (r->o->changes > 0)
        f.cpu_change = (changed.cpu_seconds - settled.cpu_seconds) * 1000 / (double)r->o->changes;
    if (r->o->idle_ms > 0)
        f.cpu_idle = (idled.cpu_seconds - changed.cpu_seconds) * 1e5 / (double)r->o->idle_ms;
    f.rss = idled.rss_kib;
    f.rss_per_node = (idled.rss_kib - start.rss_kib) / (double)r->o->nodes;
    report(r, &f);
}

int bench_control(const struct bench_options *o)
{
    struct run r = {.o = o, .deadline_ms = clock_mono_ms() + o->limit_ms};
    struct err err = {0};

    if (control_fetch_key(o->url, &r.server, &err) < 0 || loop_new("bench", &r.loop, &err) < 0) {
        (void)fprintf(stderr, "Error: %s\n", err.text);
        return 1;
    }
    r.sims = mem_alloc_array(o->nodes, sizeof(*r.sims));
    phases(&r);
    end_all(&r);
    loop_free(r.loop);
    for (size_t i = 0; i < r.begun; i++)
        netmap_state_fini(&r.sims[i].state);
    mem_free(r.sims);
    mem_free(r.latencies);
    return r.failures > 0;
}
