/* See hooks.h. */

#include "hooks/hooks.h"

#include <stdatomic.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/map.h"
#include "core/metric.h"
#include "core/rand.h"
#include "hooks/message.h"
#include "hooks/queue.h"
#include "hooks/turns.h"
#include "http/client.h"
#include "ip/addr.h"
#include "net/loop.h"

#define SEND_MS 10000
#define SLOW_MS 1000 /* an answer that takes longer */
#define ANSWER_MAX ((size_t)1 << 20)
#define WAIT_MAX_MS 60000

static struct metric sent =
    METRIC_COUNTER("hatsize_webhook_deliveries_total", "Events that webhooks took.");
static struct metric failed =
    METRIC_COUNTER("hatsize_webhook_failures_total", "Messages that a webhook did not take.");
static struct metric dropped =
    METRIC_COUNTER("hatsize_webhook_dropped_total", "Events for webhooks that were given up.");
static struct metric waiting =
    METRIC_GAUGE("hatsize_webhook_queue", "Events that wait for webhooks.");

struct hooks {
    struct hooks_options options;
    char *ca_file;
    struct loop *loop;
    struct worker_pool *pool;
    bool is_running;
    struct map *endpoints; /* webhook id -> struct endpoint */
    struct turns *turns;
    _Atomic(bool) stopping;
};

struct endpoint {
    struct hooks *hooks;
    const struct webhook *webhook; /* counted; NULL: gone, kept until the message is settled */
    struct hook_queue queue;
    struct timer timer;
    struct turn turn;
    bool is_slow; /* the last message took long, or was not taken */
    bool is_failing;
    bool is_overflowing;
};

/* One message on its way. */
struct attempt {
    struct worker_job job;
    struct endpoint *endpoint;
    char *url;
    char *called;
    struct buf body;
    struct buf signature;
    int status;
    int answer;
    int64_t took_ms;
    struct err err;
};

static void look(struct endpoint *e);
static void send_all(struct hooks *h);

/* ---- What leaves a queue ---- */

static void done(struct hooks *h, const struct delivery *d)
{
    if (!atomic_load(&h->stopping))
        h->options.on_done(h->options.user, &d->id, 1);
}

static void on_sent(void *user, const struct delivery *d)
{
    struct endpoint *e = user;

    metric_add(&sent, 1);
    metric_add(&waiting, -1);
    done(e->hooks, d);
}

static void on_dropped(void *user, const struct delivery *d)
{
    struct endpoint *e = user;

    metric_add(&dropped, 1);
    metric_add(&waiting, -1);
    done(e->hooks, d);
}

static void drop_old(struct endpoint *e)
{
    size_t before = e->queue.len;

    hook_queue_expire(&e->queue, clock_unix_ms(), on_dropped, e);
    if (e->queue.len < before)
        log_event(LOG_WARN, "events for a webhook were a day old and are dropped",
                  LOG_U64("webhook", e->webhook->id),
                  LOG_STR("endpoint", webhook_origin(e->webhook->url)),
                  LOG_U64("events", before - e->queue.len));
}

/* ---- Sending ---- */

static bool may_connect(void *user, struct ip_addr to)
{
    const struct hooks *h = user;

    return h->options.allow_local || !(ip_addr_is_loopback(to) || ip_addr_is_link_local(to) ||
                                       ip_addr_is_unspecified(to) || ip_addr_is_multicast(to));
}

static void work(struct worker_job *job)
{
    struct attempt *a = CONTAINER_OF(job, struct attempt, job);
    struct hooks *h = a->endpoint->hooks;
    struct buf answer = BUF(ANSWER_MAX);
    const struct http_header headers[] = {
        {STR(MESSAGE_SIGNATURE_HEADER), buf_str(&a->signature)},
    };
    const struct http_fetch_options options = {.url = a->url,
                                               .called = a->called,
                                               .method = "POST",
                                               .body = buf_str(&a->body),
                                               .content_type = "application/json",
                                               .headers = headers,
                                               .n_headers = ARRAY_LEN(headers),
                                               .timeout_ms = SEND_MS,
                                               .ca_file = h->ca_file,
                                               .max_body = ANSWER_MAX,
                                               .may_connect = may_connect,
                                               .user = h,
                                               .cancelled = &h->stopping};

    int64_t begun_ms = clock_mono_ms();

    if (atomic_load(&h->stopping))
        a->status = err_set(&a->err, ERR_IO, "the server is shutting down");
    else
        a->status = http_fetch(&options, &a->answer, &answer, &a->err);
    if (a->status == 0 && (a->answer < 200 || a->answer > 299))
        a->status = err_set(&a->err, ERR_IO, "%s: answered %d", a->called, a->answer);
    a->took_ms = clock_mono_ms() - begun_ms;
    buf_fini(&answer);
}

static void attempt_free(struct attempt *a)
{
    if (a->url)
        mem_wipe(a->url, strlen(a->url));
    mem_free(a->url);
    mem_free(a->called);
    buf_fini(&a->body);
    buf_fini(&a->signature);
    mem_free(a);
}

static void endpoint_free(struct endpoint *e)
{
    timer_stop(&e->timer);
    metric_add(&waiting, -(int64_t)e->queue.len);
    hook_queue_fini(&e->queue);
    webhook_unref(e->webhook);
    mem_free(e);
}

static void note_failure(struct endpoint *e, const struct attempt *a)
{
    metric_add(&failed, 1);
    if (!e->is_failing && e->webhook && !atomic_load(&e->hooks->stopping))
        log_event(LOG_WARN, "a webhook does not take its events; trying again, ever more seldom",
                  LOG_U64("webhook", e->webhook->id), LOG_ERR(&a->err));
    e->is_failing = true;
}

static void settle(struct worker_job *job)
{
    struct attempt *a = CONTAINER_OF(job, struct attempt, job);
    struct endpoint *e = a->endpoint;
    struct hooks *h = e->hooks;

    turns_done(h->turns, &e->turn);
    e->is_slow = a->status < 0 || a->took_ms > SLOW_MS;
    if (a->status == 0 || !e->webhook) {
        if (e->is_failing && e->webhook)
            log_event(LOG_INFO, "a webhook takes its events again",
                      LOG_U64("webhook", e->webhook->id));
        e->is_failing = false;
        e->is_overflowing = false;
        hook_queue_sent(&e->queue, on_sent, e);
    } else {
        note_failure(e, a);
        hook_queue_failed(&e->queue, clock_unix_ms(), (double)rand_below(1000) / 1000);
    }
    attempt_free(a);
    if (e->webhook)
        look(e);
    else
        endpoint_free(e);
    send_all(h);
}

static void send_next(struct endpoint *e)
{
    const struct delivery *const *items;
    size_t n = hook_queue_front(&e->queue, &items);
    struct attempt *a = NEW(struct attempt);
    struct str origin = webhook_origin(e->webhook->url);

    a->endpoint = e;
    a->url = str_dup(e->webhook->url);
    a->called = str_dup(origin);
    a->body = BUF(MESSAGE_BYTES_MAX * 2);
    a->signature = BUF(256);
    hook_queue_take(&e->queue, message_put_body(&a->body, e->webhook->provider, items, n));
    message_put_signature(&a->signature, e->webhook->secret, clock_unix_ms(), buf_str(&a->body));
    a->job = (struct worker_job){.work = work, .done = settle, .loop = e->hooks->loop};
    worker_submit(e->hooks->pool, &a->job);
}

/* All whose turn it is. What became too old while it waited is not sent. */
static void send_all(struct hooks *h)
{
    struct turn *turn;

    while (!atomic_load(&h->stopping) && (turn = turns_next(h->turns))) {
        struct endpoint *e = CONTAINER_OF(turn, struct endpoint, turn);

        drop_old(e);
        if (hook_queue_due_ms(&e->queue) == INT64_MAX)
            turns_done(h->turns, turn);
        else
            send_next(e);
    }
}

/* What is to be done for an endpoint: send when its turn comes, wait, or nothing. */
static void look(struct endpoint *e)
{
    int64_t due;

    timer_stop(&e->timer);
    drop_old(e);
    due = hook_queue_due_ms(&e->queue);
    if (due == INT64_MAX || atomic_load(&e->hooks->stopping))
        return;
    if (due <= clock_unix_ms()) {
        turns_add(e->hooks->turns, &e->turn, e->webhook->tailnet, e->is_slow);
        send_all(e->hooks);
        return;
    }
    timer_start(&e->timer, MIN(due - clock_unix_ms() + 1, (int64_t)WAIT_MAX_MS));
}

static void on_timer(void *user)
{
    look(user);
}

/* ---- Endpoints ---- */

static void put_endpoint(struct hooks *h, const struct webhook *w)
{
    struct endpoint *e = map_find_u64(h->endpoints, w->id);

    if (!e) {
        e = NEW(struct endpoint);
        e->hooks = h;
        timer_init(&e->timer, h->loop, on_timer, e);
        (void)map_put_u64(h->endpoints, w->id, e);
    }
    webhook_unref(e->webhook);
    e->webhook = webhook_ref(w);
}

static void remove_endpoint(struct hooks *h, struct endpoint *e)
{
    (void)map_remove_u64(h->endpoints, e->webhook->id);
    timer_stop(&e->timer);
    if (e->turn.state == TURN_WAITING)
        turns_done(h->turns, &e->turn);
    hook_queue_clear(&e->queue, on_dropped, e);
    webhook_unref(e->webhook);
    e->webhook = NULL;
    if (e->queue.sending == 0)
        endpoint_free(e);
}

struct new_set {
    struct loop_message message;
    struct hooks *hooks;
    tailnet_id tailnet;
    const struct tailnet_view *view;
};

/* The next of the tailnet that the view has not; NULL: all it has are right. */
static struct endpoint *next_gone(struct hooks *h, const struct new_set *s)
{
    struct str key;
    void *value;

    for (size_t at = 0; map_next(h->endpoints, &at, &key, &value);) {
        struct endpoint *e = value;

        if (e->webhook->tailnet == s->tailnet &&
            !(s->view && view_webhook_find(s->view, e->webhook->id)))
            return e;
    }
    return NULL;
}

static void setting_run(struct loop_message *msg)
{
    struct new_set *s = CONTAINER_OF(msg, struct new_set, message);
    struct endpoint *gone;
    const struct webhook *w;

    if (!msg->cancelled) {
        while ((gone = next_gone(s->hooks, s)))
            remove_endpoint(s->hooks, gone);
        for (size_t at = 0; s->view && (w = view_webhook_next(s->view, &at));)
            put_endpoint(s->hooks, w);
    }
    view_unref(s->view);
    mem_free(s);
}

void hooks_set_endpoints(struct hooks *h, tailnet_id tailnet, const struct tailnet_view *view)
{
    struct new_set *s = NEW(struct new_set);

    s->message.run = setting_run;
    s->hooks = h;
    s->tailnet = tailnet;
    s->view = view ? view_ref(view) : NULL;
    loop_post(h->loop, &s->message);
}

/* ---- Deliveries ---- */

struct sending {
    struct loop_message message;
    struct hooks *hooks;
    const struct delivery *delivery;
};

static void push(struct hooks *h, const struct delivery *d)
{
    struct endpoint *e = map_find_u64(h->endpoints, d->webhook);
    size_t before;

    if (!e) {
        done(h, d);
        return;
    }
    before = e->queue.len;
    metric_add(&waiting, 1);
    hook_queue_push(&e->queue, d, on_dropped, e);
    if (e->queue.len <= before && !e->is_overflowing) {
        e->is_overflowing = true;
        log_event(LOG_WARN, "too many events wait for a webhook; the oldest are dropped",
                  LOG_U64("webhook", e->webhook->id),
                  LOG_STR("endpoint", webhook_origin(e->webhook->url)));
    }
    look(e);
}

static void sending_run(struct loop_message *msg)
{
    struct sending *s = CONTAINER_OF(msg, struct sending, message);

    if (!msg->cancelled)
        push(s->hooks, s->delivery);
    delivery_unref(s->delivery);
    mem_free(s);
}

void hooks_send(struct hooks *h, const struct delivery *d)
{
    struct sending *s = NEW(struct sending);

    s->message.run = sending_run;
    s->hooks = h;
    s->delivery = delivery_ref(d);
    loop_post(h->loop, &s->message);
}

/* ---- Life ---- */

int hooks_new(const struct hooks_options *options, struct hooks **out, struct err *err)
{
    struct hooks *h = NEW(struct hooks);

    h->options = *options;
    h->ca_file = options->ca_file ? str_dup(str_from(options->ca_file)) : NULL;
    h->endpoints = map_new();
    h->turns = turns_new();
    if (loop_new("webhooks", &h->loop, err) < 0 || worker_pool_new(TURNS_MAX, &h->pool, err) < 0 ||
        loop_thread_start(h->loop, err) < 0) {
        hooks_free(h);
        return -(int)err->code;
    }
    h->is_running = true;
    *out = h;
    return 0;
}

void hooks_stop(struct hooks *h)
{
    if (!h)
        return;
    atomic_store(&h->stopping, true);
    if (h->is_running) {
        loop_stop(h->loop);
        loop_thread_join(h->loop);
    }
    h->is_running = false;
    worker_pool_free(TAKE(h->pool));
}

void hooks_free(struct hooks *h)
{
    struct str key;
    void *value;

    if (!h)
        return;
    hooks_stop(h);
    /* What was still posted is run, cancelled; attempts settle as ever. */
    for (size_t at = 0; map_next(h->endpoints, &at, &key, &value);)
        timer_stop(&((struct endpoint *)value)->timer);
    loop_free(h->loop);
    for (size_t at = 0; map_next(h->endpoints, &at, &key, &value);)
        endpoint_free(value);
    map_free(h->endpoints);
    turns_free(h->turns);
    mem_free(h->ca_file);
    mem_free(h);
}
