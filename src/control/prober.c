/*
 * Rounds of pings. See prober.h.
 *
 * A round is one block of memory that the first loop and the messages to all loops share; it is
 * freed with the last of them. What a loop says of a ping (that it went out) is an atomic in it.
 */

#include "control/prober.h"

#include <stdatomic.h>

#include "core/clock.h"
#include "core/list.h"
#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rand.h"
#include "crypto/hash.h"

#define ID_CHARS (2 * PROBER_ID_BYTES)
#define ID_RANDOM (PROBER_ID_BYTES / 2)

static struct metric pings =
    METRIC_COUNTER("hatsize_ha_pings_total", "Routers that were asked whether they are there.");
static struct metric silences =
    METRIC_COUNTER("hatsize_ha_silent_total", "Routers that did not answer, twice in a row.");

struct ping {
    char id[ID_CHARS + 1];
    struct domain_ha_node who;
    _Atomic(bool) is_sent;
    bool is_answered;
};

struct ping_round {
    struct ref ref;
    struct prober *prober;
    struct list_node rounds_link;
    struct timer timer; /* of the timeout; the first loop's */
    bool is_second;
    struct ping *items;
    size_t n;
    struct order {
        struct loop_message message;
        struct ping_round *round;
        struct hub *hub;
    } * orders; /* one a loop */
};

struct prober {
    struct prober_options options;
    struct loop **loops;
    struct hub **hubs;
    struct str url;             /* up to the id */
    uint8_t secret[HASH_BYTES]; /* of which ids are made; for the process's life */
    struct registrar *registrar;
    struct timer tick;
    struct list rounds;
    struct map *by_id; /* struct ping of a round that is on */
    struct registrar_query query;
    bool is_asking;
    struct map *found; /* by node: struct domain_ha_node, owned */
    _Atomic(bool) is_stopped;
};

/* ---- Verdicts ---- */

static void verdict_done(struct registrar_call *call)
{
    command_result_fini(&call->result);
    mem_free(call);
}

static void judge(struct prober *p, const struct ping *ping, bool answers)
{
    struct registrar_call *call = NEW(struct registrar_call);

    log_event(LOG_INFO,
              answers ? "a router answers again"
                      : "a router is connected and does not answer; others serve its routes",
              LOG_U64("node", ping->who.node));
    call->command = (struct command){.type = COMMAND_NODE_PROBED,
                                     .origin = ORIGIN_SERVER,
                                     .author = STR("server"),
                                     .tailnet = ping->who.tailnet,
                                     .id = ping->who.node,
                                     .generation = ping->who.generation,
                                     .answers = answers};
    call->loop = p->loops[0];
    call->done = verdict_done;
    registrar_submit(p->registrar, call);
}

/* ---- Rounds ---- */

static void round_unref(struct ping_round *r)
{
    if (!ref_drop(&r->ref))
        return;
    mem_free(r->items);
    mem_free(r->orders);
    mem_free(r);
}

static void round_end(struct ping_round *r)
{
    for (size_t i = 0; i < r->n; i++)
        (void)map_remove(r->prober->by_id, str_from(r->items[i].id));
    timer_stop(&r->timer);
    list_remove(&r->rounds_link);
    round_unref(r);
}

static void order_run(struct loop_message *msg)
{
    struct order *o = CONTAINER_OF(msg, struct order, message);
    struct ping_round *r = o->round;
    struct buf url = BUF(4096);

    for (size_t i = 0; !msg->cancelled && i < r->n; i++) {
        struct ping *ping = &r->items[i];

        buf_clear(&url);
        buf_printf(&url, "%.*s%s", STR_ARG(r->prober->url), ping->id);
        if (hub_ping(o->hub, ping->who.tailnet, ping->who.node, ping->who.generation,
                     buf_str(&url)))
            atomic_store(&ping->is_sent, true);
    }
    buf_fini(&url);
    round_unref(r);
}

static void on_timeout(void *user);

/* ---- Ids ---- */

/* The id that begins with these bytes. */
static void put_id(const struct prober *p, const uint8_t random[ID_RANDOM], char out[ID_CHARS + 1])
{
    struct buf text = BUF(ID_CHARS + 1);
    uint8_t mac[HASH_BYTES];

    sha256_hmac(str_bytes(p->secret, sizeof(p->secret)), str_bytes(random, ID_RANDOM), mac);
    buf_put_hex(&text, str_bytes(random, ID_RANDOM));
    buf_put_hex(&text, str_bytes(mac, PROBER_ID_BYTES - ID_RANDOM));
    memcpy(out, text.ptr, ID_CHARS);
    out[ID_CHARS] = '\0';
    buf_fini(&text);
}

void prober_make_id(const struct prober *p, char id[2 * PROBER_ID_BYTES + 1])
{
    uint8_t random[ID_RANDOM];

    rand_bytes(random, sizeof(random));
    put_id(p, random, id);
}

/* Any thread: the secret stays. */
static bool is_ours(const struct prober *p, struct str id)
{
    uint8_t random[ID_RANDOM];
    char right[ID_CHARS + 1];

    if (id.len != ID_CHARS || !hex_decode(str_sub(id, 0, sizeof(random) * 2), random, ID_RANDOM))
        return false;
    put_id(p, random, right);
    return str_eq_secret(id, str_bytes(right, ID_CHARS));
}

/* Asks them all; `nodes` is copied. */
static void round_begin(struct prober *p, const struct domain_ha_node *nodes, size_t n,
                        bool is_second)
{
    struct ping_round *r = NEW(struct ping_round);

    ref_init(&r->ref);
    r->prober = p;
    r->is_second = is_second;
    r->n = n;
    r->items = mem_alloc_array(n, sizeof(*r->items));
    for (size_t i = 0; i < n; i++) {
        prober_make_id(p, r->items[i].id);
        r->items[i].who = nodes[i];
        (void)map_put(p->by_id, str_from(r->items[i].id), &r->items[i]);
    }
    list_push_back(&p->rounds, &r->rounds_link);
    timer_init(&r->timer, p->loops[0], on_timeout, r);
    timer_start(&r->timer, p->options.timeout_ms);
    metric_add(&pings, (int64_t)n);
    r->orders = mem_alloc_array(p->options.n_loops, sizeof(*r->orders));
    for (size_t i = 0; i < p->options.n_loops; i++) {
        r->orders[i] = (struct order){.message = {.run = order_run}, .round = r, .hub = p->hubs[i]};
        ref_take(&r->ref);
        loop_post(p->loops[i], &r->orders[i].message);
    }
}

/* Who was asked and did not answer is asked once more, or is silent. */
static void on_timeout(void *user)
{
    struct ping_round *r = user;
    struct prober *p = r->prober;
    struct domain_ha_node *again = mem_alloc_array(r->n, sizeof(*again));
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++) {
        const struct ping *ping = &r->items[i];

        if (ping->is_answered || !atomic_load(&ping->is_sent) || ping->who.is_silent)
            continue;
        if (!r->is_second) {
            again[n++] = ping->who;
            continue;
        }
        metric_add(&silences, 1);
        judge(p, ping, false);
    }
    round_end(r);
    if (n > 0)
        round_begin(p, again, n, true);
    mem_free(again);
}

/* ---- Answers ---- */

struct answer {
    struct loop_message message;
    struct prober *prober;
    char id[ID_CHARS];
};

static void answer_run(struct loop_message *msg)
{
    struct answer *a = CONTAINER_OF(msg, struct answer, message);
    struct ping *ping =
        msg->cancelled ? NULL : map_find(a->prober->by_id, str_bytes(a->id, ID_CHARS));

    if (ping && !ping->is_answered) {
        ping->is_answered = true;
        if (ping->who.is_silent)
            judge(a->prober, ping, true);
    }
    mem_free(a);
}

bool prober_answered(struct prober *p, struct str id)
{
    struct answer *a;

    if (!is_ours(p, id) || atomic_load(&p->is_stopped))
        return false;
    a = NEW(struct answer);
    a->prober = p;
    a->message.run = answer_run;
    memcpy(a->id, id.ptr, ID_CHARS);
    loop_post(p->loops[0], &a->message);
    return true;
}

/* ---- Whom to ask ---- */

/* On the registrar's thread, which is the only one to touch `found` until query_done. */
static void note_node(void *user, const struct domain_ha_node *n)
{
    struct prober *p = user;

    if (!map_find_u64(p->found, n->node))
        (void)map_put_u64(p->found, n->node, mem_dup(n, sizeof(*n)));
}

static void query_run(struct registrar_query *q, struct domain *d)
{
    domain_each_ha_node(d, note_node, CONTAINER_OF(q, struct prober, query));
}

static void query_done(struct registrar_query *q)
{
    struct prober *p = CONTAINER_OF(q, struct prober, query);
    size_t n = 0, max = map_len(p->found);
    struct domain_ha_node *nodes = mem_alloc_array(max, sizeof(*nodes));
    int64_t now = clock_unix_ms();
    struct str key;
    void *value;

    for (size_t at = 0; map_next(p->found, &at, &key, &value);) {
        const struct domain_ha_node *found = value;

        if (now - found->opened_ms >= p->options.interval_ms)
            nodes[n++] = *found;
        mem_free(value);
    }
    map_free(p->found);
    p->found = map_new();
    p->is_asking = false;
    if (n > 0 && !atomic_load(&p->is_stopped))
        round_begin(p, nodes, n, false);
    mem_free(nodes);
}

static void on_tick(void *user)
{
    struct prober *p = user;

    timer_start(&p->tick, p->options.interval_ms);
    if (p->is_asking)
        return;
    p->is_asking = true;
    p->query = (struct registrar_query){.run = query_run, .done = query_done, .loop = p->loops[0]};
    registrar_ask(p->registrar, &p->query);
}

/* ---- Life ---- */

struct prober *prober_new(const struct prober_options *options)
{
    struct prober *p = NEW(struct prober);

    p->options = *options;
    p->loops = mem_dup(options->loops, options->n_loops * sizeof(*options->loops));
    p->hubs = mem_dup(options->hubs, options->n_loops * sizeof(*options->hubs));
    p->url = str_printf("%.*s/machine/ping-response?id=", STR_ARG(options->server_url));
    rand_bytes(p->secret, sizeof(p->secret));
    list_init(&p->rounds);
    p->by_id = map_new();
    p->found = map_new();
    timer_init(&p->tick, p->loops[0], on_tick, p);
    return p;
}

void prober_set_registrar(struct prober *p, struct registrar *registrar)
{
    p->registrar = registrar;
    if (registrar)
        prober_set_times(p, p->options.interval_ms, p->options.timeout_ms);
}

void prober_set_times(struct prober *p, int64_t interval_ms, int64_t timeout_ms)
{
    p->options.interval_ms = interval_ms;
    p->options.timeout_ms = timeout_ms;
    if (interval_ms > 0)
        timer_start(&p->tick, interval_ms);
    else
        timer_stop(&p->tick);
}

void prober_stop(struct prober *p)
{
    if (!p)
        return;
    atomic_store(&p->is_stopped, true);
    timer_stop(&p->tick);
    LIST_FOR_EACH(r, &p->rounds, struct ping_round, rounds_link)
        round_end(r);
    p->registrar = NULL;
}

void prober_free(struct prober *p)
{
    struct str key;
    void *value;

    if (!p)
        return;
    for (size_t at = 0; map_next(p->found, &at, &key, &value);)
        mem_free(value);
    map_free(p->found);
    map_free(p->by_id);
    str_free(&p->url);
    mem_wipe(p->secret, sizeof(p->secret));
    mem_free(p->hubs);
    mem_free(p->loops);
    mem_free(p);
}
