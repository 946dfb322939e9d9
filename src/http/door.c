/* See door.h. */

#include "http/door.h"

#include <math.h>
#include <stdatomic.h>

#include "core/clock.h"
#include "core/list.h"
#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/metric.h"

#define LOG_EVERY_MS 10000
#define ROOM_MAX 1e15 /* microseconds that a bucket holds */

static struct metric dropped = METRIC_COUNTER(
    "hatsize_guests_dropped_total", "Connections closed because too many were nothing yet.");
static struct metric refused =
    METRIC_COUNTER("hatsize_guests_refused_total", "Connections closed for coming too fast.");

/* Guests from one address. */
struct origin {
    struct list guests; /* by origin_link, the oldest first */
    size_t n;
};

struct guest {
    struct hall *hall;
    struct http_conn *conn;
    struct ip_addr from;
    struct origin *origin;      /* NULL: no address, as with Unix sockets */
    struct list_node hall_link; /* of all, by age */
    struct list_node origin_link;
};

/* What a loop has of the door. */
struct hall {
    struct loop *loop;
    size_t max, n;
    struct list guests;
    struct map *origins; /* address -> struct origin */
    struct log_pace pace;
};

struct door {
    struct hall *halls;
    size_t n_halls;
    double accepts_per_second, accept_burst;
    _Atomic(int64_t) due_us; /* when the bucket of those to come is full again */
    _Atomic(bool) is_shut;
};

/* ---- Guests ---- */

static struct str origin_key(const struct ip_addr *addr)
{
    return str_bytes(addr->bytes, addr->family == IP_V6 ? 8 : 4);
}

static void join_origin(struct guest *g)
{
    struct hall *h = g->hall;

    list_node_init(&g->origin_link);
    if (!ip_addr_is_set(g->from))
        return;
    g->origin = map_find(h->origins, origin_key(&g->from));
    if (!g->origin) {
        g->origin = NEW(struct origin);
        list_init(&g->origin->guests);
        IGNORE(map_put(h->origins, origin_key(&g->from), g->origin));
    }
    list_push_back(&g->origin->guests, &g->origin_link);
    g->origin->n++;
}

/* The connection is gone, or has become a client. */
static void on_close(void *user)
{
    struct guest *g = user;
    struct hall *h = g->hall;

    list_remove(&g->hall_link);
    list_remove(&g->origin_link);
    h->n--;
    if (g->origin && --g->origin->n == 0) {
        IGNORE(map_remove(h->origins, origin_key(&g->from)));
        mem_free(g->origin);
    }
    mem_free(g);
}

static void log_drop(struct hall *h, const struct guest *g)
{
    AUTO_FINI(buf_fini) struct buf addr = BUF(64);
    uint64_t unlogged = 0;

    if (!log_pace_may(&h->pace, LOG_EVERY_MS, &unlogged))
        return;
    ip_addr_put(&addr, g->from);
    log_event(LOG_WARN, "too many connections are nothing yet: the oldest are closed",
              LOG_STR("addr", buf_str(&addr)), LOG_U64("guests", h->n),
              LOG_U64("unlogged", unlogged));
}

/* The one that must go: of those that have not been told to yet, which are out of the lists. */
static struct guest *oldest(const struct hall *h, const struct origin *origin)
{
    struct list_node *n;

    if (origin && origin->n > 1 && 2 * origin->n >= h->max && !list_is_empty(&origin->guests))
        return CONTAINER_OF(list_first(&origin->guests), struct guest, origin_link);
    n = list_first(&h->guests);
    return n ? CONTAINER_OF(n, struct guest, hall_link) : NULL;
}

static void make_room(struct hall *h, const struct origin *origin)
{
    struct guest *g = h->n > h->max ? oldest(h, origin) : NULL;

    if (!g)
        return;
    list_remove(&g->hall_link);
    list_remove(&g->origin_link);
    log_drop(h, g);
    metric_add(&dropped, 1);
    http_drop(g->conn); /* on_close comes at the end of the round */
}

static struct hall *hall_of(const struct door *d, const struct loop *loop)
{
    size_t i = 0;

    while (d->halls[i].loop != loop) {
        i++;
        ASSERT(i < d->n_halls);
    }
    return &d->halls[i];
}

/* ---- Coming in ---- */

static bool refuse(struct stream *stream)
{
    metric_add(&refused, 1);
    stream_ignore(stream);
    stream_abort(stream);
    return false;
}

/* The bucket as one number that all loops share: when it is full again. */
static bool is_time(struct door *d)
{
    if (isinf(d->accepts_per_second))
        return true;
    if (d->accepts_per_second <= 0)
        return false;
    int64_t now = (int64_t)(clock_mono_ns() / 1000),
            each = (int64_t)(1e6 / d->accepts_per_second) + 1;
    int64_t room = (int64_t)MIN(d->accept_burst * (double)each, ROOM_MAX);
    int64_t due = atomic_load(&d->due_us), next;

    do {
        next = MAX(due, now) + each;
        if (next - now > room)
            return false;
    } while (!atomic_compare_exchange_weak(&d->due_us, &due, next));
    return true;
}

bool door_enter(struct door *d, struct http_server *server, struct stream *stream)
{
    if (atomic_load_explicit(&d->is_shut, memory_order_relaxed))
        return refuse(stream);
    struct guest *g = NEW(struct guest);
    struct hall *h = hall_of(d, stream_loop(stream));

    g->hall = h;
    g->from = stream_peer(stream).addr;
    list_push_back(&h->guests, &g->hall_link);
    h->n++;
    join_origin(g);
    g->conn = http_serve(server, stream, g, on_close);
    make_room(h, g->origin);
    return true;
}

bool door_enter_paced(struct door *d, struct http_server *server, struct stream *stream)
{
    return is_time(d) ? door_enter(d, server, stream) : refuse(stream);
}

void door_set_max_guests(struct door *d, const struct loop *loop, size_t n)
{
    hall_of(d, loop)->max = MAX(n / d->n_halls, (size_t)2);
}

void door_shut(struct door *d)
{
    atomic_store(&d->is_shut, true);
}

size_t door_guests(const struct door *d, size_t loop)
{
    return d->halls[loop].n;
}

/* ---- Life ---- */

struct door *door_new(const struct door_options *o)
{
    struct door *d = NEW(struct door);

    d->n_halls = o->n_loops;
    d->halls = mem_alloc_array(d->n_halls, sizeof(*d->halls));
    d->accepts_per_second = o->accepts_per_second;
    d->accept_burst = (double)MIN(MAX(o->accept_burst, (int64_t)1), (int64_t)1 << 40);
    for (size_t i = 0; i < d->n_halls; i++) {
        struct hall *h = &d->halls[i];

        h->loop = o->loops[i];
        list_init(&h->guests);
        h->origins = map_new();
        door_set_max_guests(d, h->loop, o->max_guests);
    }
    return d;
}

void door_free(struct door *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_halls; i++) {
        ASSERT(d->halls[i].n == 0);
        map_free(d->halls[i].origins);
    }
    mem_free(d->halls);
    mem_free(d);
}
