/* See bench_internal.h. */

#include "bench/bench_internal.h"
#include "bench/crowd.h"

#include <string.h>

#include "core/clock.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/rand.h"

#define CAPVER 142
#define PER_ADDRESS 2000

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

static void saw_change(struct sim *s)
{
    struct run *r = s->run;

    s->saw_change = true;
    r->saw++;
    samples_add(&r->changes, since_ms(r->change_ns));
}

/* What becomes of the node that is watched. */
static void on_peer(void *user, text_ix ix)
{
    struct sim_stream *st = user;
    struct sim *s = st->sim;
    struct run *r = s->run;

    if (r->watching == WATCH_NOTHING || s->saw_change || ix == 0 || !counts(st))
        return;
    if (r->watching == WATCH_ENDPOINT &&
        !ip_addrport_eq(netmap_pool_card(s->tailnet->pool, ix)->endpoint, r->marker))
        return;
    saw_change(s);
}

/* From now on all that others hold of it may be checked. */
static void learn_self(struct sim *s, const struct netmap_card *self)
{
    struct sim_tailnet *t = s->tailnet;

    s->name = self->name;
    s->v4 = self->v4;
    s->v6 = self->v6;
    s->id = self->id;
    s->slot = self->slot;
    if (s->slot >= t->n_at) {
        size_t room = MAX(2 * t->n_at, (size_t)s->slot + 1);

        t->sim_at = mem_realloc_array(t->sim_at, room, sizeof(*t->sim_at));
        memset(t->sim_at + t->n_at, 0, (room - t->n_at) * sizeof(*t->sim_at));
        t->n_at = room;
    }
    t->sim_at[s->slot] = s;
}

static void check_self(struct sim *s, const struct netmap_card *self)
{
    struct str name = netmap_pool_text(s->tailnet->pool, self->name);

    if (!node_key_eq(&self->key, &s->key))
        run_complain(s->run, "a map names another key than the node's own:", name);
    if (s->slot == 0)
        learn_self(s, self);
    else if (self->slot != s->slot || self->name != s->name || !ip_addr_eq(self->v4, s->v4) ||
             !ip_addr_eq(self->v6, s->v6))
        run_complain(s->run, "a node came back as another:", name);
}

static void first_message(struct sim_stream *st)
{
    const struct netmap_view *v = &st->view;
    struct sim *s = st->sim;
    struct run *r = s->run;
    const struct netmap_card *self = netmap_pool_card(s->tailnet->pool, v->self);

    st->has_map = true;
    if (!v->kept[NETMAP_DERP_MAP] || !(v->kept[NETMAP_FILTER] || v->kept[NETMAP_FILTERS]))
        run_complain(r, "a first message without relay map or filter:",
                     netmap_pool_text(s->tailnet->pool, self->name));
    check_self(s, self);
    if (s->before)
        return; /* took over on a connection that had a map already */
    s->is_online = true;
    s->truth++;
    r->with_map++;
    r->under_way--;
    samples_add(&r->joins, since_ms(s->begun_ns));
}

/* Whether the filter it holds now opens the port that is waited for. */
static bool has_filter(struct sim_stream *st)
{
    struct run *r = st->sim->run;
    const text_ix *kept = st->view.kept;
    text_ix ix = kept[NETMAP_FILTERS] ? kept[NETMAP_FILTERS] : kept[NETMAP_FILTER];
    char port[24];

    if (ix == r->filter_opens)
        return true;
    (void)snprintf(port, sizeof(port), "\"First\":%u", r->filter_port);
    if (str_find(netmap_pool_text(st->sim->tailnet->pool, ix), str_from(port)) < 0)
        return false;
    r->filter_opens = ix;
    return true;
}

static void on_message(void *user, struct netmap_message *message, size_t wire_bytes)
{
    struct sim_stream *st = user;
    struct run *r = st->sim->run;

    r->wire_bytes += wire_bytes;
    r->messages++;
    if (!counts(st))
        return;
    if (!netmap_view_apply(&st->view, message)) {
        run_complain(r, "a message that a client cannot take:", str_from(st->view.complaint));
        return;
    }
    if (!st->has_map && st->view.self)
        first_message(st);
    if (r->watching == WATCH_FILTER && st->sim->tailnet == r->watched && !st->sim->saw_change &&
        has_filter(st))
        saw_change(st->sim);
}

static void on_bytes(void *user, struct str data)
{
    struct sim_stream *st = user;
    struct err err = {0};

    if (st->is_dropped || !st->map ||
        netmap_reader_feed(&st->reader, data, on_message, st, &err) == 0)
        return;
    run_complain(st->sim->run, "a map stream is broken:", str_from(err.text));
    control_map_cancel(st->map);
}

static void stream_free(struct sim_stream *st)
{
    if (!st->is_dropped || st->map)
        return;
    list_remove(&st->link);
    mem_free(st);
}

static void note_in_vain(struct run *r, const char *why)
{
    struct str text = str_from(why);
    uintptr_t n = (uintptr_t)map_find(r->in_vain, text);

    (void)map_put(r->in_vain, text, (void *)(n + 1));
}

/* The server ended a stream; as a client does, it comes again. */
static void break_off(struct sim *s)
{
    s->run->broken_off++;
    sim_leave(s);
    timer_start(&s->again, 100 + (int64_t)rand_below(400));
}

static void on_map_end(void *user, int status, const struct err *err)
{
    struct sim_stream *st = user;
    struct sim *s = st->sim;
    char text[300];

    st->map = NULL;
    (void)snprintf(text, sizeof(text), "status %d, %s", status, err ? err->text : "in order");
    if (counts(st) && !s->run->is_ending && !s->run->is_down && s->run->o->patient) {
        break_off(s); /* frees the stream */
        return;
    }
    if (counts(st) && !s->run->is_ending && s->run->is_down)
        note_in_vain(s->run, text);
    else if (counts(st) && !s->run->is_ending)
        run_complain(s->run, "a map stream ended:", str_from(text));
    stream_free(st);
}

static const struct control_map_events map_events = {.on_bytes = on_bytes, .on_end = on_map_end};

static void stream_drop(struct sim_stream *st)
{
    if (!st || st->is_dropped)
        return;
    st->is_dropped = true;
    netmap_view_fini(&st->view);
    netmap_reader_fini(&st->reader);
    stream_free(st);
}

static void open_stream(struct sim *s)
{
    struct sim_stream *st = NEW(struct sim_stream);
    struct str hostname = str_printf("sim-%zu", s->index);
    const struct wire_map_encode req = {
        .version = CAPVER, .key = s->key, .disco = s->disco, .zstd = true, .hostname = hostname};

    st->sim = s;
    netmap_reader_init(&st->reader, s->tailnet->pool, true);
    netmap_view_init(&st->view, s->tailnet->pool);
    st->view.on_peer = on_peer;
    st->view.user = st;
    list_push_back(&s->run->streams, &st->link);
    s->stream = st;
    st->map = control_client_stream(s->conn->client, &req, &map_events, st);
    str_free(&hostname);
}

/* ---- What a node says of itself ---- */

static void on_lite(void *user, int status, struct str body, const struct err *err)
{
    const struct sim_conn *conn = user;
    struct sim *s = conn->sim;
    /* It may have left meanwhile, and be back on another one. */
    bool is_here = s->conn == conn && !conn->is_leaving && !s->run->is_ending && !s->run->is_down &&
                   (status != 0 || !s->run->o->patient);

    if (status != 200 && is_here)
        run_complain(s->run, "a lite update was refused:", err ? str_from(err->text) : body);
    if (status == 200 && is_here && s->is_quiet) {
        s->run->quiet_done++;
        sim_leave(s);
    }
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

    control_client_lite(s->conn->client, &req, on_lite, s->conn);
    str_free(&hostname);
}

/* An endpoint of 198.18.0.0/15, which is for benches (RFC 2544). */
static struct ip_addrport next_endpoint(const struct sim *s)
{
    size_t g = s->run->generation++;

    return (struct ip_addrport){
        .addr = IP_ADDR_V4(198, (uint8_t)(18 + (g >> 16) % 2), (uint8_t)(g >> 8), (uint8_t)g),
        .port = (uint16_t)(1024 + (s->index + (g >> 17)) % 60000)};
}

void sim_move(struct sim *s)
{
    s->endpoint = next_endpoint(s);
    s->truth++;
    send_lite(s);
}

/* ---- The connection ---- */

static void on_registered(void *user, const struct control_registration *reg)
{
    struct sim_conn *conn = user;
    struct sim *s = conn->sim;

    if (s->conn != conn || conn->is_leaving || s->run->is_ending)
        return;
    if (reg->outcome == CONTROL_UNANSWERED && s->run->is_down)
        return; /* it comes again when its connection has ended, too */
    if (reg->outcome != CONTROL_REGISTERED) {
        run_complain(s->run, "register:", reg->text.len ? reg->text : STR("the key has expired"));
        return;
    }
    s->is_registered = true;
    if (!s->is_quiet)
        open_stream(s);
    send_lite(s);
}

static void on_ready(void *user, const struct err *err)
{
    struct sim_conn *conn = user;
    struct sim *s = conn->sim;
    struct str hostname = str_printf("sim-%zu", s->index);
    const struct wire_register_encode req = {.version = CAPVER,
                                             .key = s->key,
                                             .auth_key = crowd_key(s->run->crowd, s->index),
                                             .hostname = hostname};

    if (err) {
        if (s->conn == conn && !s->run->is_ending && s->run->is_down)
            note_in_vain(s->run, err->text);
        else if (s->conn == conn && !s->run->is_ending)
            run_complain(s->run, "connect:", str_from(err->text));
    } else if (s->must_register) {
        control_client_register(conn->client, &req, on_registered, conn);
    } else {
        open_stream(s);
        send_lite(s);
    }
    str_free(&hostname);
}

static void gone(struct sim *s)
{
    struct run *r = s->run;

    if (s->stream && s->stream->has_map)
        r->with_map--;
    else
        r->under_way--;
    s->is_online = false;
    s->truth++;
    stream_drop(TAKE(s->stream));
    sim_drop_before(s);
}

static void come_again(void *user)
{
    struct sim *s = user;

    if (!s->conn && !s->run->is_ending)
        sim_begin(s, false);
}

static void lost_connection(struct sim *s)
{
    struct run *r = s->run;

    if (r->is_ending)
        return;
    gone(s);
    if (!r->is_down && !r->o->patient) {
        run_complain(r, "the server closed a connection", STR_NONE);
        return;
    }
    if (r->is_down)
        r->retries++;
    else
        r->broken_off++;
    timer_start(&s->again, 100 + (int64_t)rand_below(400));
}

static void on_close(void *user)
{
    struct sim_conn *conn = user;
    struct sim *s = conn->sim;

    if (s->conn == conn) {
        s->conn = NULL;
        lost_connection(s);
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
    s->truth++;
}

void sim_streams_free(struct run *r)
{
    LIST_FOR_EACH(st, &r->streams, struct sim_stream, link) {
        st->map = NULL;
        if (st->is_dropped)
            stream_free(st);
        else
            stream_drop(st);
    }
}

void sim_init(struct run *r, struct sim *s, size_t index)
{
    struct node_private node;

    s->run = r;
    s->tailnet = &r->tailnets[index % r->n_tailnets];
    s->index = index;
    machine_private_generate(&s->machine);
    node_private_generate(&node);
    node_private_public(&node, &s->key);
    node_private_fini(&node);
    new_disco(s);
    s->endpoint = next_endpoint(s);
    timer_init(&s->again, r->loop, come_again, s);
}

void sim_fini(struct sim *s)
{
    machine_private_fini(&s->machine);
}

/*
 * On loopback each few thousand come from an address of their own: ports are limited, and so are
 * the connections that a server takes from one address.
 */
static struct ip_addr place_of(const struct sim *s)
{
    const struct ip_addr *to = &s->run->o->addr.addr;
    size_t place = 1 + s->index / PER_ADDRESS;

    if (to->family != IP_V4 || to->bytes[0] != 127)
        return (struct ip_addr){0};
    return IP_ADDR_V4(127, 0, (uint8_t)(place >> 8), (uint8_t)place);
}

void sim_begin(struct sim *s, bool started_anew)
{
    struct run *r = s->run;
    struct sim_conn *conn = NEW(struct sim_conn);
    const struct control_client_options options = {.loop = r->loop,
                                                   .addr = r->o->addr,
                                                   .from = place_of(s),
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
    struct sim_conn *conn = TAKE(s->conn);

    timer_stop(&s->again);
    if (!conn)
        return; /* gone by itself, which was a failed check */
    gone(s);
    conn->is_leaving = true;
    control_client_close(conn->client);
}

void sim_take_over(struct sim *s)
{
    sim_drop_before(s);
    s->before = TAKE(s->stream);
    open_stream(s);
}
