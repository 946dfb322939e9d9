/* See bench_internal.h. */

#include "bench/bench_internal.h"

#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

#define CAPVER 142

void samples_add(struct samples *s, double ms)
{
    if (s->n == s->max) {
        s->max = s->max ? s->max * 2 : 1024;
        s->ms = mem_realloc_array(s->ms, s->max, sizeof(*s->ms));
    }
    s->ms[s->n++] = ms;
}

static double since_ms(uint64_t begun_ns)
{
    return (double)(clock_mono_ns() - begun_ns) / 1e6;
}

/* ---- What comes over a map stream ---- */

static bool counts(const struct sim_stream *st)
{
    return st == st->sim->stream;
}

static void on_peer(void *user, const struct netmap_peer *peer)
{
    struct sim_stream *st = user;
    struct sim *s = st->sim;
    struct run *r = s->run;

    if (!r->is_timing || s->saw_change || !ip_addrport_eq(peer->endpoint, r->marker))
        return;
    s->saw_change = true;
    r->saw++;
    samples_add(&r->changes, since_ms(r->change_ns));
}

static void first_message(struct sim_stream *st)
{
    struct sim *s = st->sim;
    struct run *r = s->run;

    st->has_map = true;
    if (!st->state.has_derp_map || !st->state.has_filter)
        run_complain(r, "a first message without relay map or filter:", st->state.self.name);
    if (!node_key_eq(&st->state.self.key, &s->key))
        run_complain(r, "a map names another key than the node's own:", st->state.self.name);
    if (s->before)
        return; /* took over on a connection that had a map already */
    r->with_map++;
    r->under_way--;
    samples_add(&r->joins, since_ms(s->begun_ns));
}

static void on_message(void *user, const struct json_value *message, size_t frame_bytes)
{
    struct sim_stream *st = user;
    struct run *r = st->sim->run;

    r->wire_bytes += frame_bytes;
    r->messages++;
    if (!counts(st))
        return;
    if (!netmap_state_apply(&st->state, message)) {
        run_complain(r, "a message that a client cannot take:", str_from(st->state.complaint));
        return;
    }
    if (!st->has_map && st->state.has_self)
        first_message(st);
}

static void on_map_end(void *user, int status, const struct err *err)
{
    struct sim_stream *st = user;
    struct sim *s = st->sim;
    char text[300];

    st->map = NULL;
    if (!counts(st) || s->run->is_ending)
        return;
    (void)snprintf(text, sizeof(text), "status %d, %s", status, err ? err->text : "in order");
    run_complain(s->run, "a map stream ended:", str_from(text));
}

static const struct control_map_events map_events = {.on_message = on_message,
                                                     .on_end = on_map_end};

static void stream_drop(struct sim_stream *st)
{
    if (!st || st->is_dropped)
        return;
    st->is_dropped = true;
    netmap_state_fini(&st->state);
}

static void open_stream(struct sim *s)
{
    struct sim_stream *st = NEW(struct sim_stream);
    struct str hostname = str_printf("sim-%zu", s->index);
    const struct wire_map_encode req = {
        .version = CAPVER, .key = s->key, .disco = s->disco, .zstd = true, .hostname = hostname};

    st->sim = s;
    netmap_state_init(&st->state);
    st->state.keep_json = s->index < s->run->o->verify;
    st->state.on_peer = on_peer;
    st->state.user = st;
    list_push_back(&s->run->streams, &st->link);
    s->stream = st;
    st->map = control_client_stream(s->conn->client, &req, &map_events, st);
    str_free(&hostname);
}

/* ---- What a node says of itself ---- */

static void on_lite(void *user, int status, struct str body, const struct err *err)
{
    struct sim *s = user;
    bool is_here = s->conn && !s->conn->is_leaving && !s->run->is_ending;

    if (status != 200 && is_here)
        run_complain(s->run, "a lite update was refused:", err ? str_from(err->text) : body);
}

static void send_lite(struct sim *s)
{
    struct str hostname = str_printf("sim-%zu", s->index);
    const struct wire_map_encode req = {.version = CAPVER,
                                        .key = s->key,
                                        .disco = s->disco,
                                        .zstd = true,
                                        .hostname = hostname,
                                        .preferred_derp = SIM_HOME_DERP,
                                        .endpoints = &s->endpoint,
                                        .n_endpoints = 1};

    control_client_lite(s->conn->client, &req, on_lite, s);
    str_free(&hostname);
}

/* An endpoint of 198.18.0.0/15, which is for benches (RFC 2544). */
static struct ip_addrport next_endpoint(const struct sim *s)
{
    size_t g = s->run->generation++;

    return (struct ip_addrport){
        .addr = IP_ADDR_V4(198, (uint8_t)(18 + (g >> 16) % 2), (uint8_t)(g >> 8), (uint8_t)g),
        .port = (uint16_t)(1024 + s->index % 60000)};
}

void sim_move(struct sim *s)
{
    s->endpoint = next_endpoint(s);
    send_lite(s);
}

/* ---- The connection ---- */

static void on_registered(void *user, const struct control_registration *reg)
{
    struct sim_conn *conn = user;
    struct sim *s = conn->sim;

    if (s->conn != conn || conn->is_leaving || s->run->is_ending)
        return;
    if (reg->outcome != CONTROL_REGISTERED) {
        run_complain(s->run, "register:", reg->text.len ? reg->text : STR("the key has expired"));
        return;
    }
    s->is_registered = true;
    open_stream(s);
    send_lite(s);
}

static void on_ready(void *user, const struct err *err)
{
    struct sim_conn *conn = user;
    struct sim *s = conn->sim;
    struct str hostname = str_printf("sim-%zu", s->index);
    const struct wire_register_encode req = {
        .version = CAPVER, .key = s->key, .auth_key = s->run->o->auth_key, .hostname = hostname};

    if (err) {
        if (s->conn == conn && !s->run->is_ending)
            run_complain(s->run, "connect:", str_from(err->text));
    } else if (s->must_register) {
        control_client_register(conn->client, &req, on_registered, conn);
    } else {
        open_stream(s);
        send_lite(s);
    }
    str_free(&hostname);
}

static void on_close(void *user)
{
    struct sim_conn *conn = user;
    struct sim *s = conn->sim;

    if (s->conn == conn) {
        s->conn = NULL;
        if (!s->run->is_ending)
            run_complain(s->run, "the server closed a connection", STR_NONE);
    }
    mem_free(conn);
}

static void new_disco(struct sim *s)
{
    struct node_private disco;
    struct node_key public;

    node_private_generate(&disco);
    node_private_public(&disco, &public);
    node_private_fini(&disco);
    memcpy(s->disco.b, public.b, sizeof(s->disco.b));
}

void sim_init(struct run *r, size_t index)
{
    struct sim *s = &r->sims[index];
    struct node_private node;

    s->run = r;
    s->index = index;
    machine_private_generate(&s->machine);
    node_private_generate(&node);
    node_private_public(&node, &s->key);
    node_private_fini(&node);
    new_disco(s);
    s->endpoint = next_endpoint(s);
}

void sim_fini(struct sim *s)
{
    machine_private_fini(&s->machine);
}

void sim_begin(struct sim *s, bool started_anew)
{
    struct run *r = s->run;
    struct sim_conn *conn = NEW(struct sim_conn);
    const struct control_client_options options = {.loop = r->loop,
                                                   .addr = r->o->addr,
                                                   .authority = r->o->authority,
                                                   .server = r->server,
                                                   .machine = &s->machine,
                                                   .version = CAPVER,
                                                   .on_ready = on_ready,
                                                   .on_close = on_close,
                                                   .user = conn};

    if (started_anew)
        new_disco(s);
    s->must_register = started_anew || !s->is_registered;
    s->begun_ns = clock_mono_ns();
    conn->sim = s;
    s->conn = conn;
    r->under_way++;
    conn->client = control_client_new(&options);
}

bool sim_has_map(const struct sim *s)
{
    return s->conn && s->stream && s->stream->has_map;
}

void sim_drop_before(struct sim *s)
{
    stream_drop(TAKE(s->before));
}

void sim_leave(struct sim *s)
{
    struct run *r = s->run;
    struct sim_conn *conn = TAKE(s->conn);

    if (!conn)
        return; /* gone by itself, which was a failed check */
    if (s->stream && s->stream->has_map)
        r->with_map--;
    else
        r->under_way--;
    stream_drop(TAKE(s->stream));
    sim_drop_before(s);
    conn->is_leaving = true;
    control_client_close(conn->client);
}

void sim_take_over(struct sim *s)
{
    sim_drop_before(s);
    s->before = TAKE(s->stream);
    open_stream(s);
}
