/*
 * The hub alone, with clients on the other ends of pairs: whole maps in order and within bounds,
 * deltas at a pace, clients that read slowly or not at all, farewells.
 */

#include "../unit.h"

#include <malloc.h>

#include "control/hub.h"
#include "core/clock.h"
#include "core/log.h"
#include "http/client.h"
#include "tailnet/domain.h"
#include "wire/response.h"

#define NODES 600 /* of the first tailnet: a map of more than a stream queues */
#define FEW 3     /* of the second */
#define SEATS 8
#define NOW_MS 1700000000000

struct rig;

/* One client. */
struct seat {
    struct rig *rig;
    tailnet_id tailnet;
    node_id node;
    uint64_t generation;
    struct stream *ours, *theirs; /* NULL once closed */
    struct h2_client *h2;         /* NULL once gone */
    struct buf got;
    size_t messages;   /* whole frames seen */
    struct str last;   /* of them, in `got` */
    size_t seen;       /* bytes of those */
    unsigned finished; /* its place among those that had their first message */
    bool ended, failed;
};

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct hub *hub;
    struct domain *domain;
    struct change_list changes;
    struct str secrets[2];  /* auth keys */
    tailnet_id tailnets[2]; /* the first is number 1 */
    node_id ids[2][NODES];
    struct seat seats[SEATS];
    unsigned n_finished;
};

/* ---- A domain of two tailnets ---- */

static struct machine_key machine_of(size_t t, size_t i)
{
    return (struct machine_key){{(uint8_t)t, (uint8_t)(i >> 8), (uint8_t)i, 1}};
}

static struct node_key key_of(size_t t, size_t i)
{
    return (struct node_key){{(uint8_t)t, (uint8_t)(i >> 8), (uint8_t)i, 2}};
}

static void apply(struct rig *r, struct command c, struct command_result *result)
{
    struct err err = {0};

    *result = (struct command_result){0};
    c.now_ms = NOW_MS;
    if (domain_apply(r->domain, &c, &r->changes, result, &err) < 0)
        fail_msg("%s", err.text);
}

static void publish(struct rig *r, size_t number, bool reset)
{
    const struct tailnet_view *view = domain_view(r->domain, r->tailnets[number - 1]);
    const struct publication p = {.view = view,
                                  .policy = policy_allow_all(),
                                  .changes = r->changes.items,
                                  .n_changes = r->changes.len,
                                  .reset = reset};

    hub_publish(r->hub, &p);
    policy_unref(p.policy);
    view_unref(view);
    change_list_fini(&r->changes);
    r->changes = (struct change_list){0};
}

static node_id register_node(struct rig *r, size_t t, size_t i, struct str auth_key)
{
    struct command_result res;
    struct register_request reg = {.machine = machine_of(t, i),
                                   .key = key_of(t, i),
                                   .auth_key = auth_key,
                                   .facts = node_facts_new()};

    apply(r, (struct command){.type = COMMAND_REGISTER, .reg = &reg}, &res);
    assert_int_equal(res.outcome, REGISTER_DONE);
    node_id id = res.node->id;

    command_result_fini(&res);
    node_facts_unref(reg.facts);
    return id;
}

static void make_tailnet(struct rig *r, const char *name, const char *domain, const char *prefix,
                         size_t n)
{
    struct tailnet_info *info = tailnet_info_new();
    struct command_result res;
    struct str secret;

    info->name = str_copy(str_from(name));
    info->base_domain = str_copy(str_from(domain));
    info->domain = str_copy(str_from(name));
    assert_true(ip_prefix_parse(str_from(prefix), &info->prefix_v4));
    apply(r, (struct command){.type = COMMAND_TAILNET_CREATE, .name = info->name, .info = info},
          &res);
    command_result_fini(&res);
    tailnet_info_unref(info);
    size_t number = domain_tailnet_ids(r->domain, r->tailnets, 2);
    tailnet_id id = r->tailnets[number - 1];

    apply(r, (struct command){.type = COMMAND_USER_CREATE, .tailnet = id, .name = STR("ann")},
          &res);
    user_id user = res.user->id;
    command_result_fini(&res);
    apply(r,
          (struct command){
              .type = COMMAND_AUTH_KEY_CREATE, .tailnet = id, .user = user, .reusable = true},
          &res);
    secret = str_copy(res.secret);
    command_result_fini(&res);
    for (size_t i = 0; i < n; i++)
        r->ids[number - 1][i] = register_node(r, number, i, secret);
    r->secrets[number - 1] = secret;
    publish(r, number, false);
}

/* ---- Clients ---- */

static void on_map_request(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct rig *r = user;
    const struct seat *seat = req->conn_user;

    hub_serve_map(r->hub, x,
                  &(struct map_session_options){.tailnet = seat->tailnet,
                                                .node = seat->node,
                                                .generation = seat->generation,
                                                .capver = 142,
                                                .stream = true,
                                                .keep_alive = true});
}

static const struct http_route routes[] = {{"GET", "/map", on_map_request, 0}};

static void on_data(void *user, struct str data)
{
    struct seat *s = user;
    struct str payload;
    size_t used;

    buf_put(&s->got, data);
    while (wire_frame_decode(str_from_index(buf_str(&s->got), s->seen), (size_t)64 << 20, &payload,
                             &used) == WIRE_FRAME_OK) {
        s->seen += used;
        s->last = payload;
        if (s->messages++ == 0)
            s->finished = ++s->rig->n_finished;
    }
}

static void on_end(void *user, const struct err *err)
{
    struct seat *s = user;

    s->ended = true;
    s->failed = err != NULL;
}

static void on_gone(void *user)
{
    ((struct seat *)user)->h2 = NULL;
}

static void on_conn_close(void *user)
{
    ((struct seat *)user)->ours = NULL;
}

static void spin(struct rig *r)
{
    for (int i = 0; i < 200; i++)
        loop_run_once(r->loop, 0);
}

/* Time passes, and the loop sees it. */
static void pass(struct rig *r, int64_t ms)
{
    clock_test_advance_ms(ms);
    spin(r);
}

/* One who does not read has stopped before anything came. */
static struct seat *sit(struct rig *r, size_t at, size_t t, size_t node, bool reads)
{
    static const struct h2_request_events events = {.on_data = on_data, .on_end = on_end};
    struct seat *s = &r->seats[at];
    struct stream *pair[2];

    *s = (struct seat){.rig = r,
                       .tailnet = r->tailnets[t - 1],
                       .node = r->ids[t - 1][node],
                       .generation = at + 1,
                       .got = BUF((size_t)64 << 20)};
    stream_pair(r->loop, pair);
    s->ours = pair[0];
    s->theirs = pair[1];
    http_serve(r->server, pair[0], s, on_conn_close);
    s->h2 = h2_client_new(pair[1], on_gone, s);
    h2_client_request(s->h2, "GET", STR("/map"), STR("a"), STR_NONE, &events, s);
    if (!reads)
        stream_read_stop(s->theirs);
    spin(r);
    return s;
}

static struct seat *sit_deaf(struct rig *r, size_t at, size_t t, size_t node)
{
    return sit(r, at, t, node, false);
}

static void hear(struct seat *s)
{
    stream_read_start(s->theirs);
    spin(s->rig);
}

static struct hub_state state_of(struct rig *r)
{
    struct hub_state state;

    hub_state(r->hub, &state);
    return state;
}

static struct rig *rig_new(struct hub_limits limits)
{
    struct rig *r = NEW(struct rig);
    struct err err = {0};

    assert_int_equal(loop_new("test", &r->loop, &err), 0);
    r->server = http_server_new(&(struct http_server_options){
        .routes = routes, .n_routes = 1, .user = r, .idle_ms = -1, .h2_only = true});
    r->hub = hub_new(r->loop, NULL);
    hub_set_limits(r->hub, &limits);
    r->domain = domain_new();
    domain_load_done(r->domain, NOW_MS);
    make_tailnet(r, "one", "a.test", "100.64.0.0/16", NODES);
    make_tailnet(r, "two", "b.test", "100.65.0.0/16", FEW);
    return r;
}

static void rig_free(struct rig *r)
{
    for (size_t i = 0; i < SEATS; i++)
        if (r->seats[i].h2)
            h2_client_close(r->seats[i].h2);
    for (size_t i = 0; i < SEATS; i++)
        if (r->seats[i].ours)
            stream_abort(r->seats[i].ours);
    spin(r);
    assert_int_equal(state_of(r).sessions, 0);
    loop_free(r->loop);
    hub_free(r->hub);
    http_server_free(r->server);
    change_list_fini(&r->changes);
    domain_free(r->domain);
    for (size_t i = 0; i < ARRAY_LEN(r->secrets); i++)
        str_free(&r->secrets[i]);
    for (size_t i = 0; i < SEATS; i++)
        buf_fini(&r->seats[i].got);
    mem_free(r);
}

static void rename_node(struct rig *r, size_t t, size_t node, const char *name)
{
    struct command_result res;

    apply(r,
          (struct command){.type = COMMAND_NODE_RENAME,
                           .tailnet = r->tailnets[t - 1],
                           .id = r->ids[t - 1][node],
                           .name = str_from(name)},
          &res);
    command_result_fini(&res);
    publish(r, t, false);
}

/* ---- Whole maps ---- */

static void maps_come_in_order(void **state)
{
    struct hub_limits limits = HUB_LIMITS_DEFAULT;

    (void)state;
    limits.full_at_once = 1;
    limits.slot_ms = 1000000;
    struct rig *r = rig_new(limits);
    struct seat *deaf = sit_deaf(r, 0, 1, 0);

    assert_int_equal(state_of(r).sending, 1);
    for (size_t i = 1; i < 5; i++)
        (void)sit(r, i, 1, i, true);
    spin(r);
    assert_int_equal(state_of(r).waiting, 4);
    assert_int_equal(r->n_finished, 0);
    hear(deaf);
    assert_int_equal(state_of(r).waiting, 0);
    assert_int_equal(state_of(r).sending, 0);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(r->seats[i].finished, i + 1);
        assert_int_equal(r->seats[i].messages, 1);
        assert_true(r->seats[i].got.len > (size_t)64 << 10);
    }
    rig_free(r);
}

static void a_client_that_does_not_read_holds_little(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *s = sit_deaf(r, 0, 1, 0);

    (void)state;
    assert_true(stream_pending(s->ours) <= (size_t)66 << 10);
    /* Deltas do not pile up behind it. */
    for (int i = 0; i < 50; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "name-%d", i);
        rename_node(r, 1, 5, name);
        pass(r, 20);
    }
    /* The last flush has begun: what it tells is the present. */
    pass(r, 1000);
    assert_true(stream_pending(s->ours) <= (size_t)66 << 10);
    hear(s);
    pass(r, 1000);
    assert_int_equal(s->messages, 2);
    assert_true(str_find(s->last, STR("name-49")) >= 0);
    assert_true(str_find(s->last, STR("name-48")) < 0);
    rig_free(r);
}

static void a_slow_client_gives_its_place_on(void **state)
{
    struct hub_limits limits = HUB_LIMITS_DEFAULT;

    (void)state;
    limits.full_at_once = 1;
    limits.slot_ms = 50;
    struct rig *r = rig_new(limits);
    struct seat *deaf = sit_deaf(r, 0, 1, 0);
    struct seat *next = sit(r, 1, 1, 1, true);

    assert_int_equal(next->messages, 0);
    pass(r, 60);
    pass(r, 60);
    assert_int_equal(state_of(r).slow, 1);
    assert_int_equal(next->messages, 1);
    /* It goes on when it can. */
    hear(deaf);
    assert_int_equal(deaf->messages, 1);
    assert_int_equal(state_of(r).slow, 0);
    rig_free(r);
}

static void who_takes_nothing_is_ended(void **state)
{
    struct hub_limits limits = HUB_LIMITS_DEFAULT;

    (void)state;
    limits.full_at_once = 1;
    limits.slow_max = 1;
    limits.slot_ms = 50;
    limits.stall_ms = 20000;
    struct rig *r = rig_new(limits);

    (void)sit_deaf(r, 0, 1, 0);
    struct seat *next = sit(r, 1, 1, 1, true);
    pass(r, 60);
    pass(r, 60);
    /* No room for another slow one: the line waits. */
    assert_int_equal(state_of(r).slow, 1);
    assert_int_equal(next->messages, 0);
    pass(r, 15000);
    assert_int_equal(state_of(r).stalled, 0);
    assert_int_equal(state_of(r).sessions, 2);
    pass(r, 6000);
    pass(r, 100);
    assert_int_equal(state_of(r).stalled, 1);
    assert_int_equal(next->messages, 1);
    rig_free(r);
}

static void tailnets_take_turns(void **state)
{
    struct hub_limits limits = HUB_LIMITS_DEFAULT;

    (void)state;
    limits.full_at_once = 1;
    limits.slot_ms = 1000000;
    struct rig *r = rig_new(limits);
    struct seat *deaf = sit_deaf(r, 0, 1, 0);

    for (size_t i = 1; i < 6; i++)
        (void)sit(r, i, 1, i, true);
    struct seat *guest = sit(r, 6, 2, 0, true);

    hear(deaf);
    assert_int_equal(deaf->finished, 1);
    assert_int_equal(r->n_finished, 7);
    /* One of the others was before it at most. */
    assert_true(guest->finished <= 3);
    rig_free(r);
}

/* ---- Deltas ---- */

static void many_changes_are_one_message(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *s = sit(r, 0, 1, 0, true);
    uint64_t flushes;

    (void)state;
    pass(r, 1000);
    assert_int_equal(s->messages, 1);
    flushes = state_of(r).flushes;
    rename_node(r, 1, 5, "alone");
    spin(r);
    /* At once. */
    assert_int_equal(s->messages, 2);
    assert_true(str_find(s->last, STR("alone")) >= 0);
    for (int i = 0; i < 30; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "many-%d", i);
        rename_node(r, 1, 5, name);
    }
    pass(r, 500);
    pass(r, 500);
    assert_int_equal(s->messages, 3);
    assert_true(str_find(s->last, STR("many-29")) >= 0);
    assert_int_equal(state_of(r).flushes - flushes, 2);
    assert_int_equal(state_of(r).flushing, 0);
    rig_free(r);
}

static void deltas_stand_back_for_a_whole_map(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *s = sit(r, 0, 1, 0, true);

    (void)state;
    pass(r, 1000);
    struct seat *joins = sit_deaf(r, 1, 1, 1);

    assert_int_equal(state_of(r).sending, 1);
    rename_node(r, 1, 5, "meanwhile");
    spin(r);
    assert_int_equal(s->messages, 1);
    /* Until it is taken. */
    hear(joins);
    assert_int_equal(joins->messages, 2);
    assert_int_equal(s->messages, 2);
    rig_free(r);
}

static void deltas_do_not_wait_long_for_a_whole_map(void **state)
{
    struct hub_limits limits = HUB_LIMITS_DEFAULT;

    (void)state;
    limits.slot_ms = 1000000;
    struct rig *r = rig_new(limits);
    struct seat *s = sit(r, 0, 1, 0, true);

    pass(r, 1000);
    (void)sit_deaf(r, 1, 1, 1);
    for (size_t told = 2; told < 5; told++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "change-%zu", told);
        rename_node(r, 1, 5, name);
        spin(r);
        assert_int_equal(s->messages, told - 1);
        pass(r, 60);
        assert_int_equal(s->messages, told);
        pass(r, 1000);
    }
    assert_int_equal(state_of(r).sending, 1);
    rig_free(r);
}

static void deltas_go_on_beside_a_crowd_of_whole_maps(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *s = sit(r, 0, 1, 0, true);

    (void)state;
    pass(r, 1000);
    for (size_t i = 1; i < 6; i++)
        (void)sit_deaf(r, i, 1, i);
    assert_int_equal(state_of(r).sending, 5);
    rename_node(r, 1, 5, "meanwhile");
    spin(r);
    assert_int_equal(s->messages, 2);
    rig_free(r);
}

static void a_change_amid_a_flush_is_told(void **state)
{
    struct hub_limits limits = HUB_LIMITS_DEFAULT;

    (void)state;
    limits.slice_us = 0; /* one step of work a round */
    struct rig *r = rig_new(limits);

    for (size_t i = 0; i < SEATS; i++)
        (void)sit(r, i, 1, i, true);
    pass(r, 1000);
    rename_node(r, 1, 50, "first");
    loop_run_once(r->loop, 0);
    rename_node(r, 1, 50, "second");
    pass(r, 500);
    pass(r, 500);
    for (size_t i = 0; i < SEATS; i++)
        assert_true(str_find(r->seats[i].last, STR("second")) >= 0);
    rig_free(r);
}

static void arrive(struct rig *r, size_t i)
{
    (void)register_node(r, 1, i, r->secrets[0]);
    publish(r, 1, false);
    spin(r);
}

static void goes_online(struct rig *r, size_t i)
{
    struct command_result res;

    apply(r,
          (struct command){
              .type = COMMAND_STREAM_OPEN, .machine = machine_of(1, i), .key = key_of(1, i)},
          &res);
    command_result_fini(&res);
    publish(r, 1, false);
    spin(r);
}

static void an_arrival_is_one_message(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *s = sit(r, 0, 1, 0, true);

    (void)state;
    pass(r, 1000);
    arrive(r, NODES);
    pass(r, 50);
    assert_int_equal(s->messages, 1);
    goes_online(r, NODES);
    pass(r, 19);
    assert_int_equal(s->messages, 1);
    pass(r, 1);
    assert_int_equal(s->messages, 2);
    assert_true(str_find(s->last, STR("PeersChanged\"")) >= 0);
    assert_true(str_find(s->last, STR("\"Online\":true")) >= 0);
    pass(r, 1000);
    assert_int_equal(s->messages, 2);
    rig_free(r);
}

static void an_arrival_that_asks_for_nothing_is_told(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *s = sit(r, 0, 1, 0, true);

    (void)state;
    pass(r, 1000);
    arrive(r, NODES);
    assert_int_equal(s->messages, 1);
    pass(r, 110);
    assert_int_equal(s->messages, 2);
    rig_free(r);
}

static void an_arrival_delays_nothing_else(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *s = sit(r, 0, 1, 0, true);

    (void)state;
    pass(r, 1000);
    arrive(r, NODES);
    assert_int_equal(s->messages, 1);
    rename_node(r, 1, 5, "meanwhile");
    spin(r);
    assert_int_equal(s->messages, 2);
    assert_true(str_find(s->last, STR("meanwhile")) >= 0);
    rig_free(r);
}

/* Whoever comes after the first is told of with it, and makes it no later. */
static void those_who_come_are_told_of_together(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *s = sit(r, 0, 1, 0, true);

    (void)state;
    pass(r, 1000);
    for (size_t i = 1; i <= 4; i++) {
        goes_online(r, i);
        assert_int_equal(s->messages, 1);
        pass(r, 5);
    }
    assert_int_equal(s->messages, 2);
    goes_online(r, 5);
    assert_int_equal(s->messages, 2);
    pass(r, 20);
    assert_int_equal(s->messages, 3);
    pass(r, 1000);
    rename_node(r, 1, 5, "later");
    spin(r);
    assert_int_equal(s->messages, 4);
    rig_free(r);
}

/* ---- Ends ---- */

static void remove_node(struct rig *r, size_t node)
{
    struct command_result res;

    apply(r, (struct command){.type = COMMAND_NODE_DELETE, .tailnet = 1, .id = r->ids[0][node]},
          &res);
    command_result_fini(&res);
    publish(r, 1, false);
}

static void says_farewell(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *gone = sit(r, 0, 1, 0, true), *stays = sit(r, 1, 1, 1, true);
    struct seat *late = sit_deaf(r, 2, 1, 2);

    (void)state;
    pass(r, 1000);
    remove_node(r, 0);
    remove_node(r, 2);
    pass(r, 500);
    assert_true(gone->ended);
    assert_false(gone->failed);
    assert_int_equal(gone->messages, 2);
    assert_true(str_find(gone->last, STR("\"Expired\":true")) >= 0);
    assert_false(stays->ended);
    assert_true(str_find(stays->last, STR("PeersRemoved")) >= 0);
    /* In the middle of its map: behind the rest of it. */
    assert_false(late->ended);
    hear(late);
    assert_true(late->ended);
    assert_false(late->failed);
    assert_int_equal(late->messages, 2);
    assert_true(str_find(late->last, STR("\"Expired\":true")) >= 0);
    assert_int_equal(state_of(r).sessions, 1);
    rig_free(r);
}

static void ends_the_stream_of_a_generation(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *s[3];

    (void)state;
    for (size_t i = 0; i < 3; i++)
        s[i] = sit(r, i, 1, 4, true); /* one node, generations 1, 2, 3 */
    struct seat *other = sit(r, 3, 1, 5, true);

    pass(r, 100);
    for (uint64_t g = 2; g < 4; g++) {
        change_list_add(
            &r->changes,
            (struct change){.kind = CHANGE_STREAM_END, .tailnet = 1, .id = r->ids[0][4], .arg = g});
        publish(r, 1, false);
        spin(r);
    }
    assert_false(s[0]->ended);
    assert_true(s[1]->ended);
    assert_true(s[2]->ended);
    assert_false(other->ended);
    h2_client_close(s[0]->h2);
    spin(r);
    assert_int_equal(state_of(r).sessions, 1);
    rig_free(r);
}

static void a_reset_ends_all(void **state)
{
    struct hub_limits limits = HUB_LIMITS_DEFAULT;

    (void)state;
    limits.full_at_once = 1;
    limits.slot_ms = 1000000;
    struct rig *r = rig_new(limits);

    (void)sit_deaf(r, 0, 1, 0);
    struct seat *waits = sit(r, 1, 1, 1, true), *other = sit(r, 2, 2, 0, true);

    publish(r, 1, true);
    spin(r);
    assert_true(waits->ended);
    assert_int_equal(other->messages, 1);
    assert_int_equal(state_of(r).waiting, 0);
    assert_int_equal(state_of(r).sending, 0);
    (void)sit(r, 3, 1, 3, true);
    spin(r);
    assert_int_equal(r->seats[3].messages, 1);
    rig_free(r);
}

static void keeps_alive_when_silent(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *s = sit(r, 0, 1, 0, true);

    (void)state;
    pass(r, 49000);
    assert_int_equal(s->messages, 1);
    rename_node(r, 1, 5, "here");
    spin(r);
    assert_int_equal(s->messages, 2);
    pass(r, 11000); /* a minute after the first, but not after the last */
    assert_int_equal(s->messages, 2);
    pass(r, 50000);
    assert_int_equal(s->messages, 3);
    assert_str(s->last, STR(WIRE_KEEP_ALIVE));
    pass(r, 60000);
    assert_int_equal(s->messages, 4);
    rig_free(r);
}

/* ---- Memory ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

#ifdef IS_SANITIZED
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

static size_t heap_bytes(void)
{
#ifdef IS_SANITIZED
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks + mallinfo2().hblkhd;
#endif
}

static void ignore_data(void *user, struct str data)
{
    (void)user;
    (void)data;
}

static void ignore_close(void *user, const struct err *why)
{
    (void)user;
    (void)why;
}

/* A client that costs nothing itself: it says what it has to and forgets what it hears. */
static void sit_cheaply(struct rig *r, struct seat *s, size_t node)
{
    static const struct stream_events events = {.on_data = ignore_data, .on_close = ignore_close};
    struct stream *pair[2];

    *s = (struct seat){.rig = r, .tailnet = 1, .node = r->ids[0][node], .generation = node + 1};
    stream_pair(r->loop, pair);
    s->ours = pair[0];
    stream_set_events(pair[1], &events, NULL);
    http_serve(r->server, pair[0], s, on_conn_close);
    /* SETTINGS with a window that takes the whole map, the connection's window, GET /map */
    stream_write(pair[1], STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                              "\0\0\6\4\0\0\0\0\0\0\4\1\0\0\0"
                              "\0\0\4\x08\0\0\0\0\0\1\0\0\0"
                              "\0\0\x0b\1\5\0\0\0\1\x82\x87\x04\x04/map\x41\x01"
                              "a"));
    spin(r);
}

#define IDLE 64
#define IDLE_BYTES_MAX ((size_t)6 << 10) /* both ends of the pair with it; no cipher */

/*
 * What a session, its stream of maps, exchange and HTTP/2 connection hold while nothing happens.
 * The pages of nghttp2's session are beside it: tests/http/unit_http2_memory.c.
 */
static void idle_sessions_are_small(void **state)
{
    struct rig *r = rig_new(HUB_LIMITS_DEFAULT);
    struct seat *seats = mem_alloc_array(2 * IDLE, sizeof(*seats));
    size_t at[2];

    (void)state;
    for (size_t half = 0; half < 2; half++) {
        for (size_t i = half * IDLE; i < (half + 1) * IDLE; i++)
            sit_cheaply(r, &seats[i], i);
        pass(r, 1000);
        assert_int_equal(state_of(r).sending + state_of(r).slow + state_of(r).waiting, 0);
        at[half] = heap_bytes();
    }
    assert_int_equal(state_of(r).sessions, 2 * IDLE);
    print_message("an idle session holds %zu bytes\n", (at[1] - at[0]) / IDLE);
    assert_true(at[1] - at[0] <= IDLE * IDLE_BYTES_MAX);
    for (size_t i = 0; i < 2 * IDLE; i++)
        stream_abort(seats[i].ours);
    spin(r);
    rig_free(r);
    mem_free(seats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_come_in_order),
        cmocka_unit_test(a_client_that_does_not_read_holds_little),
        cmocka_unit_test(a_slow_client_gives_its_place_on),
        cmocka_unit_test(who_takes_nothing_is_ended),
        cmocka_unit_test(tailnets_take_turns),
        cmocka_unit_test(many_changes_are_one_message),
        cmocka_unit_test(deltas_stand_back_for_a_whole_map),
        cmocka_unit_test(deltas_do_not_wait_long_for_a_whole_map),
        cmocka_unit_test(deltas_go_on_beside_a_crowd_of_whole_maps),
        cmocka_unit_test(a_change_amid_a_flush_is_told),
        cmocka_unit_test(an_arrival_is_one_message),
        cmocka_unit_test(an_arrival_that_asks_for_nothing_is_told),
        cmocka_unit_test(an_arrival_delays_nothing_else),
        cmocka_unit_test(those_who_come_are_told_of_together),
        cmocka_unit_test(says_farewell),
        cmocka_unit_test(ends_the_stream_of_a_generation),
        cmocka_unit_test(a_reset_ends_all),
        cmocka_unit_test(keeps_alive_when_silent),
        cmocka_unit_test(idle_sessions_are_small),
    };

    log_set_level(LOG_ERROR);
    clock_test_stop(); /* places and paces are matters of time, and machines are busy */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
