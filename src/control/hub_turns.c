/*
 * Whose turn it is: whole maps in line, flushes by tailnets. See hub.h.
 *
 * Work is done in `work_run`, a slice at a time: a whole map, a few sessions of a flush, a whole
 * map… until the slice is over or nothing is left; what is left goes on after the loop has looked
 * at its sockets.
 *
 * Invariants
 *   1. A session is in `waiting`, `sending` or `slow` as its turn says, and counted there; in none
 *      when it is NONE.
 *   2. A tailnet is in `hungry` while its `waiting` is not empty, in `flushing` while it is being
 *      flushed.
 *   3. While there is something to do `work` is posted; while somebody has a place `watch` runs.
 */

#include "control/hub_internal.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"

/* Sessions of a flush between two looks at the line of whole maps. At the clock it is looked after
 * each: the first of a class writes and compresses what all of it are told. */
#define FLUSH_STEP 16
/* Flushes stand back while a few whole maps go out, which somebody waits for: so long at most. A
 * crowd of them they stand beside, or nobody would hear of anything. */
#define STAND_BACK_MS 50
#define STAND_BACK_FOR 4
/* A machine that has just registered asks for its map next, and is online then: what the others are
 * told of the one waits so long for the other, and is one message. */
#define ARRIVAL_MS 100
/* One that comes online gets its whole map now, from one of the loops. All of them wait so long
 * until they tell the others of it: cores, and whoever reads on the other side, are for the map. */
#define COMING_MS 20
/* Whole maps go out a piece a round, and who comes for one needs a round for each of its steps:
 * while some go out, and so long after somebody came, slices are so many times shorter. */
#define SLICE_PARTS 5
#define CAME_LATELY_MS 1000
/* How soon a place that is held too long goes to the next in line, and how soon it is noticed that
 * nothing is taken any more. */
#define WATCH_LINE_MS 25
#define WATCH_STALL_MS 1000

static struct metric waiting =
    METRIC_GAUGE("hatsize_map_streams_waiting", "Map streams in line for a whole map.");
static struct metric stalled_total =
    METRIC_COUNTER("hatsize_map_streams_stalled_total",
                   "Map streams ended because their client took nothing of its map.");

/* How long flushes took, each bucket with those below it, as histogram_quantile() wants them. */
static const uint64_t flush_below_ns[] = {1000000,  4000000,   16000000,
                                          64000000, 256000000, 1000000000};
#define FLUSH_BUCKET(le) \
    METRIC_COUNTER("hatsize_map_flush_seconds_bucket{le=\"" le "\"}", FLUSH_HELP)
#define FLUSH_HELP "Flushes by the time from a tailnet's first map stream on a loop to its last."
static struct metric flush_buckets[] = {
    FLUSH_BUCKET("0.001"), FLUSH_BUCKET("0.004"), FLUSH_BUCKET("0.016"), FLUSH_BUCKET("0.064"),
    FLUSH_BUCKET("0.256"), FLUSH_BUCKET("1"),     FLUSH_BUCKET("+Inf"),
};
static struct metric flush_us =
    METRIC_COUNTER("hatsize_map_flush_microseconds_total", "The sum of these times.");

static void note_flush(uint64_t ns)
{
    for (size_t i = 0; i < ARRAY_LEN(flush_buckets); i++)
        metric_add(&flush_buckets[i], i == ARRAY_LEN(flush_below_ns) || ns <= flush_below_ns[i]);
    metric_add(&flush_us, (int64_t)(ns / 1000));
}

static void post_work(struct hub *h)
{
    if (h->work_posted)
        return;
    h->work_posted = true;
    loop_post(h->loop, &h->work);
}

/* ---- Whole maps ---- */

static bool has_place(const struct hub *h)
{
    return h->n_sending < h->limits.full_at_once && h->n_slow < h->limits.slow_max;
}

static void watch_start(struct hub *h)
{
    int64_t in = h->n_waiting > 0 ? WATCH_LINE_MS : WATCH_STALL_MS;

    if (h->n_sending + h->n_slow == 0)
        return;
    if (!timer_is_started(&h->watch) || h->watch.due_ms > loop_now_ms(h->loop) + in)
        timer_start(&h->watch, in);
}

static void take_place(struct map_session *s)
{
    struct hub *h = s->hub;

    s->turn = TURN_SENDING;
    s->turn_ms = loop_now_ms(h->loop);
    list_push_back(&h->sending, &s->turn_link);
    h->n_sending++;
    watch_start(h);
}

bool turn_ask(struct map_session *s)
{
    struct hub *h = s->hub;
    struct hub_tailnet *t = s->tailnet;

    if (s->turn != TURN_NONE)
        return s->turn != TURN_WAITING;
    if (h->n_waiting == 0 && has_place(h)) {
        take_place(s);
        return true;
    }
    s->turn = TURN_WAITING;
    list_push_back(&t->waiting, &s->turn_link);
    if (!list_node_is_linked(&t->hungry_link))
        list_push_back(&h->hungry, &t->hungry_link);
    h->n_waiting++;
    metric_add(&waiting, 1);
    watch_start(h);
    return false;
}

static bool stands_back(struct hub *h)
{
    int64_t now = loop_now_ms(h->loop);

    if (h->n_sending == 0 || h->n_sending > STAND_BACK_FOR)
        return false;
    if (h->back_ms == 0)
        h->back_ms = now;
    if (now - h->back_ms >= STAND_BACK_MS)
        return false;
    if (!timer_is_started(&h->stand_back))
        timer_start(&h->stand_back, h->back_ms + STAND_BACK_MS - now);
    return true;
}

static bool has_work(struct hub *h)
{
    return (!list_is_empty(&h->flushing) && !stands_back(h)) || (h->n_waiting > 0 && has_place(h));
}

void turn_leave(struct map_session *s)
{
    struct hub *h = s->hub;

    if (s->turn == TURN_NONE)
        return;
    list_remove(&s->turn_link);
    switch (s->turn) {
    case TURN_WAITING:
        h->n_waiting--;
        metric_add(&waiting, -1);
        if (list_is_empty(&s->tailnet->waiting))
            list_remove(&s->tailnet->hungry_link);
        break;
    case TURN_SENDING:
        h->n_sending--;
        break;
    case TURN_SLOW:
        h->n_slow--;
        break;
    case TURN_NONE:
        break;
    }
    s->turn = TURN_NONE;
    if (has_work(h))
        post_work(h);
}

void turn_progress(struct map_session *s)
{
    if (s->turn != TURN_SLOW)
        return;
    s->turn_ms = loop_now_ms(s->hub->loop);
    list_remove(&s->turn_link);
    list_push_back(&s->hub->slow, &s->turn_link);
}

/* The next in line gets its map. */
static bool admit_one(struct hub *h)
{
    struct list_node *first = has_place(h) ? list_pop_front(&h->hungry) : NULL;

    if (!first)
        return false;
    struct hub_tailnet *t = CONTAINER_OF(first, struct hub_tailnet, hungry_link);
    struct map_session *s =
        CONTAINER_OF(list_pop_front(&t->waiting), struct map_session, turn_link);

    if (!list_is_empty(&t->waiting))
        list_push_back(&h->hungry, &t->hungry_link);
    h->n_waiting--;
    metric_add(&waiting, -1);
    take_place(s);
    session_pull(s);
    return true;
}

static void make_slow(struct hub *h, struct map_session *s, int64_t now)
{
    list_remove(&s->turn_link);
    h->n_sending--;
    s->turn = TURN_SLOW;
    s->turn_ms = now;
    list_push_back(&h->slow, &s->turn_link);
    h->n_slow++;
}

static void on_watch(void *user)
{
    struct hub *h = user;
    int64_t now = loop_now_ms(h->loop);

    LIST_FOR_EACH(s, &h->sending, struct map_session, turn_link) {
        if (now - s->turn_ms < h->limits.slot_ms)
            break;
        make_slow(h, s, now);
    }
    LIST_FOR_EACH(s, &h->slow, struct map_session, turn_link) {
        if (now - s->turn_ms < h->limits.stall_ms)
            break;
        log_event(LOG_INFO, "a client took nothing of its map for too long; its stream is ended",
                  LOG_U64("node", s->options.node));
        metric_add(&stalled_total, 1);
        h->stalled++;
        turn_leave(s);
        if (s->x)
            http_abort(s->x);
    }
    if (h->n_waiting > 0 && has_place(h))
        post_work(h);
    watch_start(h);
}

/* ---- Flushes ---- */

static int by_what_they_are_told(const void *a, const void *b)
{
    const struct map_session *const *x = a, *const *y = b;

    return netmap_stream_cmp((*x)->stream, (*y)->stream);
}

static bool is_in_order(const struct hub_tailnet *t)
{
    const struct netmap_stream *last = NULL;

    LIST_FOR_EACH(s, &t->sessions, struct map_session, sessions_link) {
        if (last && netmap_stream_cmp(last, s->stream) > 0)
            return false;
        last = s->stream;
    }
    return true;
}

/* Who is told the same stands together; most do since the last flush. */
static void put_in_order(struct hub_tailnet *t)
{
    struct map_session **all;
    size_t n = 0;

    if (is_in_order(t))
        return;
    all = mem_alloc_array(t->n_sessions, sizeof(*all));
    LIST_FOR_EACH(s, &t->sessions, struct map_session, sessions_link) {
        all[n++] = s;
    }
    qsort(all, n, sizeof(*all), by_what_they_are_told);
    list_init(&t->sessions);
    for (size_t i = 0; i < n; i++) {
        list_node_init(&all[i]->sessions_link);
        list_push_back(&t->sessions, &all[i]->sessions_link);
    }
    mem_free(all);
}

static void flush_begin(struct hub_tailnet *t)
{
    t->newcomers = 0;
    t->came_until_ms = 0;
    netmap_feed_drop_aim(t->feed);
    if (t->n_sessions == 0)
        return;
    put_in_order(t);
    netmap_feed_take_aim(t->feed);
    pace_begin(&t->pace, (int64_t)clock_mono_ns());
    t->hub->flushes++;
    t->unflushed = t->n_sessions;
    t->flush_ns = clock_mono_ns();
    t->flush_again = false;
    list_push_back(&t->hub->flushing, &t->flushing_link);
    post_work(t->hub);
}

static int64_t pace_wait_ms(const struct hub_tailnet *t)
{
    int64_t wait_ns = pace_wait_ns(&t->pace, (int64_t)clock_mono_ns(), t->newcomers);

    return wait_ns == 0 ? 0 : wait_ns / 1000000 + 1;
}

/* More may have come since it was started. */
static void on_flush_timer(void *user)
{
    struct hub_tailnet *t = user;
    int64_t wait_ms = pace_wait_ms(t);

    if (wait_ms == 0)
        flush_begin(t);
    else
        timer_start(&t->flush, wait_ms);
}

void tailnet_note_newcomers(struct hub_tailnet *t, size_t n)
{
    if (n == 0)
        return;
    t->newcomers += n;
    t->hub->came_ms = loop_now_ms(t->hub->loop);
    if (t->came_until_ms == 0)
        t->came_until_ms = loop_now_ms(t->hub->loop) + COMING_MS;
}

void tailnet_schedule_flush(struct hub_tailnet *t, enum flush_when when)
{
    int64_t now = loop_now_ms(t->hub->loop), wait_ms;

    if (list_node_is_linked(&t->flushing_link)) {
        t->flush_again = true;
        return;
    }
    wait_ms = MAX(pace_wait_ms(t), t->came_until_ms - now);
    if (when == FLUSH_ARRIVAL)
        wait_ms = MAX(wait_ms, (int64_t)ARRIVAL_MS);
    if (timer_is_started(&t->flush)) {
        if (t->flush.due_ms <= now + wait_ms)
            return;
        timer_stop(&t->flush);
    }
    if (wait_ms == 0)
        flush_begin(t);
    else
        timer_start(&t->flush, wait_ms);
}

/*
 * A few sessions, from the front of the list to its back, until as many were seen as there were
 * when the flush began. One that went meanwhile makes it see one twice, one that came needs none:
 * neither costs more than a look.
 */
static void flush_step(struct hub_tailnet *t, uint64_t end)
{
    uint64_t began = clock_mono_ns(), now = began;

    for (int i = 0; i < FLUSH_STEP && t->unflushed > 0 && (i == 0 || now < end); i++) {
        struct list_node *first = list_pop_front(&t->sessions);

        if (!first) {
            t->unflushed = 0;
            break;
        }
        t->unflushed--;
        list_push_back(&t->sessions, first);
        session_advance(CONTAINER_OF(first, struct map_session, sessions_link));
        now = clock_mono_ns();
    }
    pace_spend(&t->pace, (int64_t)(now - began));
}

static void on_stand_back(void *user)
{
    post_work(user);
}

static bool flush_some(struct hub *h, uint64_t end)
{
    bool waits = list_is_empty(&h->flushing) || stands_back(h);
    struct list_node *first = waits ? NULL : list_pop_front(&h->flushing);

    if (!first)
        return false;
    struct hub_tailnet *t = CONTAINER_OF(first, struct hub_tailnet, flushing_link);

    flush_step(t, end);
    if (t->unflushed > 0) {
        list_push_back(&h->flushing, &t->flushing_link);
        return true;
    }
    h->back_ms = 0;
    note_flush(clock_mono_ns() - t->flush_ns);
    if (t->flush_again)
        tailnet_schedule_flush(t, FLUSH_SOON);
    return true;
}

/* ---- Work ---- */

static uint64_t slice_ns(const struct hub *h)
{
    bool lately = h->came_ms > 0 && loop_now_ms(h->loop) - h->came_ms < CAME_LATELY_MS;
    uint64_t ns = (uint64_t)h->limits.slice_us * 1000;

    return h->n_sending > 0 || lately ? ns / SLICE_PARTS : ns;
}

static void work_run(struct loop_message *msg)
{
    struct hub *h = CONTAINER_OF(msg, struct hub, work);
    uint64_t end = clock_mono_ns() + slice_ns(h);

    h->work_posted = false;
    if (msg->cancelled)
        return;
    do {
        bool admitted = admit_one(h);

        if (!flush_some(h, end) && !admitted)
            break;
    } while (clock_mono_ns() < end);
    if (has_work(h))
        post_work(h);
}

/* ---- Life ---- */

void hub_turns_init(struct hub *h)
{
    list_init(&h->hungry);
    list_init(&h->flushing);
    list_init(&h->sending);
    list_init(&h->slow);
    timer_init(&h->watch, h->loop, on_watch, h);
    timer_init(&h->stand_back, h->loop, on_stand_back, h);
    h->work.run = work_run;
}

void hub_turns_fini(struct hub *h)
{
    timer_stop(&h->watch);
    timer_stop(&h->stand_back);
}

void tailnet_turns_init(struct hub_tailnet *t)
{
    list_init(&t->waiting);
    list_node_init(&t->hungry_link);
    list_node_init(&t->flushing_link);
    timer_init(&t->flush, t->hub->loop, on_flush_timer, t);
}

void tailnet_turns_stop(struct hub_tailnet *t)
{
    timer_stop(&t->flush);
    list_remove(&t->flushing_link);
}

void tailnet_turns_fini(struct hub_tailnet *t)
{
    tailnet_turns_stop(t);
    list_remove(&t->hungry_link);
}
