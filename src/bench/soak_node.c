/* See soak_internal.h. */

#include "bench/soak_internal.h"

#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

#define SLOW_WINDOW 16384
#define SLOW_MS 20000
#define ACT_MS 3000  /* between two things a node does, at most */
#define AWAY_MS 4000 /* how long it stays away, at most */

static const uint32_t capvers[] = {106, 113, 131, 142};

static uint64_t below(struct soak_node *n, uint64_t limit)
{
    return soak_below(n->soak, limit);
}

static bool chance(struct soak_node *n, uint64_t percent)
{
    return below(n, 100) < percent;
}

static void count(struct soak_node *n, enum soak_count what)
{
    n->soak->counts[what]++;
}

static void again_in(struct soak_node *n, uint64_t at_most_ms)
{
    timer_start(&n->timer, 1 + (int64_t)below(n, at_most_ms));
}

static void thrown_out(struct soak_node *n);

/* ---- The map stream ---- */

void soak_stream_forget(struct soak_stream *st)
{
    if (!st)
        return;
    if (st->node)
        netmap_state_fini(&st->state);
    st->node = NULL;
    if (!st->map)
        mem_free(st);
}

static void on_message(void *user, const struct json_value *message, size_t frame_bytes)
{
    struct soak_stream *st = user;
    struct soak_node *n = st->node;
    size_t keep_alives;

    (void)frame_bytes;
    if (!n)
        return;
    keep_alives = st->state.keep_alives;
    if (!netmap_state_apply(&st->state, message)) {
        soak_complain(n->soak, n,
                      "a message that a client cannot take:", str_from(st->state.complaint));
        return;
    }
    if (st->state.keep_alives == keep_alives)
        n->soak->heard_ms = clock_mono_ms();
    count(n, SOAK_MESSAGES);
    if (st->state.complaint[0])
        soak_complain(n->soak, n, "a client would complain:", str_from(st->state.complaint));
    if (st->has_map || !st->state.has_self)
        return;
    st->has_map = true;
    count(n, SOAK_FULL_MAPS);
    if (!node_key_eq(&st->state.self.key, &n->key))
        soak_complain(n->soak, n,
                      "a map names another key than the node's own:", st->state.self.name);
}

static void on_map_end(void *user, int status, const struct err *err)
{
    struct soak_stream *st = user;
    struct soak_node *n = st->node;

    (void)status;
    (void)err;
    st->map = NULL;
    if (!n)
        mem_free(st);
    else if (n->stream == st && !n->soak->is_ending)
        thrown_out(n);
}

static const struct control_map_events map_events = {.on_message = on_message,
                                                     .on_end = on_map_end};

static struct str host_name(const struct soak_node *n)
{
    return str_printf("soak-%zu", n->index);
}

static void open_stream(struct soak_node *n)
{
    struct soak_stream *st = NEW(struct soak_stream);
    struct str name = host_name(n);
    const struct wire_map_encode req = {.version = n->capver,
                                        .key = n->key,
                                        .disco = n->disco,
                                        .zstd = n->zstd,
                                        .hostname = name,
                                        .preferred_derp = 999,
                                        .endpoints = &n->endpoint,
                                        .n_endpoints = 1};

    st->node = n;
    st->capver = n->capver;
    netmap_state_init(&st->state);
    st->state.keep_json = true;
    n->stream = st;
    st->map = control_client_stream(n->conn->client, &req, &map_events, st);
    str_free(&name);
}

void soak_node_take_over(struct soak_node *n)
{
    soak_stream_forget(TAKE(n->before));
    n->before = TAKE(n->stream);
    open_stream(n);
}

/* ---- Coming and going ---- */

static void leave(struct soak_node *n)
{
    struct soak_conn *conn = TAKE(n->conn);

    soak_stream_forget(TAKE(n->stream));
    soak_stream_forget(TAKE(n->before));
    n->state = SOAK_AWAY;
    n->is_slow = false;
    if (!conn)
        return;
    conn->node = NULL;
    control_client_close(conn->client);
}

void soak_node_leave(struct soak_node *n)
{
    timer_stop(&n->timer);
    leave(n);
}

/* The server restarted, or an administrator removed or expired it: comes back as clients do. */
static void thrown_out(struct soak_node *n)
{
    count(n, SOAK_THROWN_OUT);
    n->must_register = true;
    leave(n);
    again_in(n, 1000);
}

static void on_registered(void *user, const struct control_registration *reg)
{
    struct soak_conn *conn = user;
    struct soak_node *n = conn->node;

    if (!n || n->soak->is_ending)
        return;
    if (reg->outcome == CONTROL_REGISTERED) {
        n->must_register = false;
        n->old_key = (struct node_key){0};
        n->state = SOAK_HERE;
        count(n, SOAK_REGISTERED);
        open_stream(n);
        again_in(n, ACT_MS);
        return;
    }
    /* Its user was removed with the key, or it was removed in between: as another machine. */
    count(n, SOAK_REFUSED);
    n->has_machine = n->has_machine && chance(n, 50);
    leave(n);
    again_in(n, 1000);
}

static void registers(struct soak_node *n)
{
    const struct soak_options *o = n->soak->o;
    struct str name = host_name(n);
    const struct wire_register_encode req = {.version = n->capver,
                                             .key = n->key,
                                             .old_key = n->old_key,
                                             .auth_key = o->auth_keys[n->index % o->n_auth_keys],
                                             .hostname = name};

    control_client_register(n->conn->client, &req, on_registered, n->conn);
    str_free(&name);
}

static void on_ready(void *user, const struct err *err)
{
    struct soak_conn *conn = user;
    struct soak_node *n = conn->node;

    if (!n || err)
        return; /* on_close follows */
    if (n->must_register) {
        registers(n);
        return;
    }
    n->state = SOAK_HERE;
    open_stream(n);
    again_in(n, ACT_MS);
}

static void on_close(void *user)
{
    struct soak_conn *conn = user;
    struct soak_node *n = conn->node;

    if (n && n->conn == conn) {
        n->conn = NULL;
        if (!n->soak->is_ending)
            thrown_out(n);
    }
    mem_free(conn);
}

static void new_node_key(struct node_key *key)
{
    struct node_private private;

    node_private_generate(&private);
    node_private_public(&private, key);
    node_private_fini(&private);
}

static void new_machine(struct soak_node *n)
{
    machine_private_generate(&n->machine);
    new_node_key(&n->key);
    n->old_key = (struct node_key){0};
    n->has_machine = true;
    n->must_register = true;
    count(n, SOAK_NEW_MACHINE);
}

/* An endpoint of 198.18.0.0/15, which is for benches (RFC 2544). */
static void new_endpoint(struct soak_node *n)
{
    uint64_t g = ++n->soak->serial;

    n->endpoint = (struct ip_addrport){
        .addr = IP_ADDR_V4(198, (uint8_t)(18 + (g >> 16) % 2), (uint8_t)(g >> 8), (uint8_t)g),
        .port = (uint16_t)(1024 + n->index % 60000)};
}

static void come(struct soak_node *n)
{
    struct soak *s = n->soak;
    struct soak_conn *conn = NEW(struct soak_conn);
    struct node_key disco;
    const struct control_client_options options = {.loop = s->loop,
                                                   .addr = s->o->addr,
                                                   .authority = s->o->authority,
                                                   .server = s->server,
                                                   .machine = &n->machine,
                                                   .version = (uint16_t)n->capver,
                                                   .window = chance(n, 50) ? SLOW_WINDOW : 0,
                                                   .on_ready = on_ready,
                                                   .on_close = on_close,
                                                   .user = conn};

    if (!n->has_machine)
        new_machine(n);
    if (chance(n, 50)) { /* started anew */
        new_node_key(&disco);
        memcpy(n->disco.b, disco.b, sizeof(n->disco.b));
        n->must_register = n->must_register || chance(n, 50);
    }
    n->capver = capvers[below(n, ARRAY_LEN(capvers))];
    n->zstd = chance(n, 75);
    n->state = SOAK_CONNECTING;
    conn->node = n;
    n->conn = conn;
    count(n, SOAK_CAME);
    conn->client = control_client_new(&options);
}

/* ---- What it does when it is here ---- */

static void on_lite(void *user, int status, struct str body, const struct err *err)
{
    struct soak *s = user;

    (void)body;
    if (status != 200 && !err)
        s->counts[SOAK_REFUSED]++;
}

static void moves(struct soak_node *n)
{
    struct str name = host_name(n);
    struct wire_map_encode req = {.version = n->capver,
                                  .key = n->key,
                                  .disco = n->disco,
                                  .zstd = n->zstd,
                                  .hostname = name,
                                  .preferred_derp = 900 + (uint32_t)below(n, 3),
                                  .endpoints = &n->endpoint,
                                  .n_endpoints = 1};

    new_endpoint(n);
    control_client_lite(n->conn->client, &req, on_lite, n->soak);
    str_free(&name);
    count(n, SOAK_MOVED);
}

static void leaves(struct soak_node *n)
{
    count(n, SOAK_LEFT);
    leave(n);
}

static void changes_its_key(struct soak_node *n)
{
    n->old_key = n->key;
    new_node_key(&n->key);
    n->must_register = true;
    count(n, SOAK_NEW_KEY);
    leave(n);
}

static void logs_out_done(void *user, const struct control_registration *reg)
{
    (void)user;
    (void)reg;
}

static void logs_out(struct soak_node *n)
{
    struct str name = host_name(n);
    const struct wire_register_encode req = {.version = n->capver,
                                             .key = n->key,
                                             .hostname = name,
                                             .has_expiry = true,
                                             .expiry_ms = 1000};

    control_client_register(n->conn->client, &req, logs_out_done, NULL);
    str_free(&name);
    n->must_register = true;
    count(n, SOAK_LOGGED_OUT);
}

static void stops_reading(struct soak_node *n)
{
    n->is_slow = true;
    control_client_read(n->conn->client, false);
    count(n, SOAK_STOPPED_READING);
}

static void reads_again(struct soak_node *n)
{
    n->is_slow = false;
    control_client_read(n->conn->client, true);
}

static void act(struct soak_node *n)
{
    uint64_t what = below(n, 100);
    uint64_t next_ms = ACT_MS;

    if (n->is_slow) {
        reads_again(n);
    } else if (what < 60) {
        moves(n);
    } else if (what < 72) {
        leaves(n);
        next_ms = AWAY_MS;
    } else if (what < 78) {
        leaves(n); /* and is back at once, as after a short break */
        next_ms = 10;
    } else if (what < 84) {
        soak_node_take_over(n);
        count(n, SOAK_TOOK_OVER);
    } else if (what < 94) {
        stops_reading(n);
        next_ms = SLOW_MS;
    } else if (what < 97) {
        changes_its_key(n);
        next_ms = 100;
    } else if (what < 99) {
        logs_out(n); /* its stream ends by itself, or says that the key is good no more */
    } else {
        leaves(n);
        n->has_machine = false;
    }
    again_in(n, next_ms);
}

static void on_timer(void *user)
{
    struct soak_node *n = user;

    if (n->soak->is_ending)
        return;
    if (n->state == SOAK_AWAY)
        come(n);
    else if (n->state == SOAK_HERE && n->stream->state.self_expired)
        thrown_out(n); /* whoever is told that its key is good no more logs in again */
    else if (n->state == SOAK_HERE && !n->soak->is_quiet)
        act(n);
    else if (n->state == SOAK_HERE)
        again_in(n, ACT_MS);
}

void soak_node_settle(struct soak_node *n)
{
    if (n->state == SOAK_AWAY)
        again_in(n, 500);
    else if (n->state == SOAK_HERE && n->is_slow)
        reads_again(n);
}

void soak_node_init(struct soak *s, size_t index)
{
    struct soak_node *n = &s->nodes[index];

    n->soak = s;
    n->index = index;
    timer_init(&n->timer, s->loop, on_timer, n);
    new_endpoint(n);
    again_in(n, 1 + (uint64_t)s->o->nodes * 10);
}

void soak_node_fini(struct soak_node *n)
{
    machine_private_fini(&n->machine);
}
