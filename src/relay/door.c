/* See door.h. */

#include "relay/door.h"

#include "core/clock.h"
#include "core/list.h"
#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/metric.h"

#define LOG_EVERY_MS 10000

static struct metric dropped =
    METRIC_COUNTER("hatsize_derp_guests_dropped_total",
                   "Connections closed because too many were not clients yet.");

/* Guests from one address. */
struct origin {
    struct list guests; /* by origin_link, the oldest first */
    size_t n;
};

struct guest {
    struct door *door;
    struct http_conn *conn;
    struct ip_addr from;
    struct origin *origin;      /* NULL: no address, as with Unix sockets */
    struct list_node door_link; /* of all, by age */
    struct list_node origin_link;
};

struct door {
    size_t max, n;
    struct list guests;
    struct map *origins; /* address -> struct origin */
    int64_t logged_ms;
    uint64_t unlogged;
};

static struct str origin_key(const struct ip_addr *addr)
{
    return str_bytes(addr->bytes, addr->family == IP_V6 ? 8 : 4);
}

static void join_origin(struct guest *g)
{
    struct door *d = g->door;

    list_node_init(&g->origin_link);
    if (!ip_addr_is_set(g->from))
        return;
    g->origin = map_find(d->origins, origin_key(&g->from));
    if (!g->origin) {
        g->origin = NEW(struct origin);
        list_init(&g->origin->guests);
        IGNORE(map_put(d->origins, origin_key(&g->from), g->origin));
    }
    list_push_back(&g->origin->guests, &g->origin_link);
    g->origin->n++;
}

/* The connection is gone, or has become a client. */
static void on_close(void *user)
{
    struct guest *g = user;
    struct door *d = g->door;

    list_remove(&g->door_link);
    list_remove(&g->origin_link);
    d->n--;
    if (g->origin && --g->origin->n == 0) {
        IGNORE(map_remove(d->origins, origin_key(&g->from)));
        mem_free(g->origin);
    }
    mem_free(g);
}

static void log_drop(struct door *d, const struct guest *g)
{
    AUTO_FINI(buf_fini) struct buf addr = BUF(64);
    int64_t now = clock_mono_ms();

    if (d->logged_ms != 0 && now - d->logged_ms < LOG_EVERY_MS) {
        d->unlogged++;
        return;
    }
    ip_addr_put(&addr, g->from);
    log_event(LOG_WARN, "too many connections are not clients yet: the oldest are closed",
              LOG_STR("addr", buf_str(&addr)), LOG_U64("guests", d->n),
              LOG_U64("unlogged", d->unlogged));
    d->logged_ms = now;
    d->unlogged = 0;
}

/* The one that must go: of those that have not been told to yet, which are out of the lists. */
static struct guest *oldest(const struct door *d, const struct origin *origin)
{
    struct list_node *n;

    if (origin && 2 * origin->n >= d->max && !list_is_empty(&origin->guests))
        return CONTAINER_OF(list_first(&origin->guests), struct guest, origin_link);
    n = list_first(&d->guests);
    return n ? CONTAINER_OF(n, struct guest, door_link) : NULL;
}

static void make_room(struct door *d, const struct origin *origin)
{
    struct guest *g = d->n > d->max ? oldest(d, origin) : NULL;

    if (!g)
        return;
    list_remove(&g->door_link);
    list_remove(&g->origin_link);
    log_drop(d, g);
    metric_add(&dropped, 1);
    http_drop(g->conn); /* on_close comes at the end of the round */
}

void door_enter(struct door *d, struct http_server *server, struct stream *stream)
{
    struct guest *g = NEW(struct guest);

    g->door = d;
    g->from = stream_peer(stream).addr;
    list_push_back(&d->guests, &g->door_link);
    d->n++;
    join_origin(g);
    g->conn = http_serve(server, stream, g, on_close);
    make_room(d, g->origin);
}

size_t door_guests(const struct door *d)
{
    return d->n;
}

struct door *door_new(size_t max)
{
    struct door *d = NEW(struct door);

    ASSERT(max >= 2);
    d->max = max;
    list_init(&d->guests);
    d->origins = map_new();
    return d;
}

void door_free(struct door *d)
{
    if (!d)
        return;
    ASSERT(d->n == 0);
    map_free(d->origins);
    mem_free(d);
}
