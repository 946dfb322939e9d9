/* See mesh.h. Each relay of the mesh is one `struct other`, which belongs to its loop. */

#include "derp/mesh.h"

#include <stdatomic.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rand.h"
#include "derp/link.h"
#include "http/client.h"
#include "net/tls.h"

#define CONNECT_MS 5000
#define UPGRADE_MS 10000
#define STOOD_MS 30000 /* a link that has stood so long was a good one */

static struct metric linked = METRIC_GAUGE("hatsize_derp_mesh_links", "Links to other relays.");
static struct metric tries =
    METRIC_COUNTER("hatsize_derp_mesh_tries_total", "Attempts to link to other relays.");

struct derp_mesh_lookup {
    struct loop_message message;
    struct other *other;
    struct ip_addr addrs[MESH_ADDRS_MAX];
    size_t n;
};

struct other {
    struct derp_mesh *mesh;
    struct loop *loop;
    struct derp_mesh_relay relay;
    struct str name, dial_name, authority; /* owned */
    struct timer timer;
    int64_t wait_ms;
    int64_t linked_at_ms; /* 0: not linked */
    struct derp_mesh_lookup lookup;
    size_t next_addr;
    bool is_complained; /* about this failure, once */
};

struct derp_mesh {
    struct derp_server *server;
    void (*look_up)(void *user, struct str name, struct derp_mesh_lookup *lookup);
    void *user;
    struct tls_client *tls; /* authorities are read once, not on a loop */
    struct other *others;
    size_t n;
    _Atomic(bool) stopping;
};

/* ---- Waiting ---- */

static void again(struct other *o)
{
    if (atomic_load(&o->mesh->stopping))
        return;
    timer_start(&o->timer, o->wait_ms + (int64_t)rand_below((uint64_t)o->wait_ms / 2 + 1));
    o->wait_ms = MIN(2 * o->wait_ms, (int64_t)MESH_WAIT_MAX_MS);
}

static void failed(struct other *o, const struct err *err)
{
    if (!o->is_complained && !atomic_load(&o->mesh->stopping))
        log_event(LOG_WARN, "a relay of the mesh cannot be reached; trying again",
                  LOG_STR("relay", o->name), LOG_TXT("error", err ? err->text : "it hung up"));
    o->is_complained = true;
    again(o);
}

/* ---- Linked ---- */

static void on_ready(void *user)
{
    struct other *o = user;

    o->linked_at_ms = loop_now_ms(o->loop);
    o->is_complained = false;
    metric_add(&linked, 1);
    log_event(LOG_INFO, "linked to a relay of the mesh", LOG_STR("relay", o->name));
}

static void on_end(void *user, enum derp_link_end why)
{
    struct other *o = user;
    bool was_linked = o->linked_at_ms != 0;

    if (why == DERP_LINK_SELF) {
        log_event(LOG_INFO, "a relay of -mesh-with is this one", LOG_STR("relay", o->name));
        return;
    }
    if (was_linked) {
        metric_add(&linked, -1);
        if (loop_now_ms(o->loop) - o->linked_at_ms >= STOOD_MS)
            o->wait_ms = MESH_WAIT_MIN_MS;
        o->linked_at_ms = 0;
        if (!atomic_load(&o->mesh->stopping))
            log_event(LOG_WARN, "lost a relay of the mesh", LOG_STR("relay", o->name));
        again(o);
        return;
    }
    failed(o, NULL);
}

static const struct derp_link_events link_events = {.on_ready = on_ready, .on_end = on_end};

/* ---- Connecting ---- */

static void on_upgraded(void *user, struct stream *stream, const struct err *err)
{
    struct other *o = user;

    if (stream)
        derp_link_open(o->mesh->server, stream, &link_events, o);
    else
        failed(o, err);
}

static void try_address(struct other *o);

static void on_connected(void *user, struct stream *tcp, const struct err *why)
{
    struct other *o = user;
    struct tls_client_options options = {.shared = o->mesh->tls, .server_name = o->name};
    struct stream *tls = NULL;
    struct err err = {0};

    if (!tcp) {
        if (o->next_addr < o->lookup.n)
            try_address(o);
        else
            failed(o, why);
        return;
    }
    options.has_pin = o->relay.has_pin;
    memcpy(options.pin_sha256, o->relay.pin_sha256, sizeof(options.pin_sha256));
    if (tls_connect(&options, tcp, &tls, &err) < 0) {
        failed(o, &err);
        return;
    }
    http_client_upgrade(tls, "GET", STR("/derp"), o->authority, "DERP", NULL, 0, UPGRADE_MS,
                        on_upgraded, o);
}

static void try_address(struct other *o)
{
    const struct ip_addrport to = {o->lookup.addrs[o->next_addr++], o->relay.port};

    stream_connect_tcp(o->loop, to, CONNECT_MS, on_connected, o);
}

static void on_found(struct loop_message *msg)
{
    struct derp_mesh_lookup *lookup = CONTAINER_OF(msg, struct derp_mesh_lookup, message);
    struct other *o = lookup->other;
    struct err err = {0};

    if (msg->cancelled || atomic_load(&o->mesh->stopping))
        return;
    o->next_addr = 0;
    if (lookup->n > 0) {
        try_address(o);
        return;
    }
    IGNORE(err_set(&err, ERR_NOT_FOUND, "%.*s has no address", STR_ARG(o->dial_name)));
    failed(o, &err);
}

void derp_mesh_found(struct derp_mesh_lookup *lookup, const struct ip_addr *addrs, size_t n)
{
    lookup->n = MIN(n, (size_t)MESH_ADDRS_MAX);
    for (size_t i = 0; i < lookup->n; i++)
        lookup->addrs[i] = addrs[i];
    lookup->message = (struct loop_message){.run = on_found};
    loop_post(lookup->other->loop, &lookup->message);
}

static void begin(void *user)
{
    struct other *o = user;

    metric_add(&tries, 1);
    o->mesh->look_up(o->mesh->user, o->dial_name, &o->lookup);
}

/* ---- Reading the list ---- */

static int bad(struct err *err, struct str entry)
{
    return err_set(err, ERR_INVALID, "\"%.*s\" names no relay", STR_ARG(entry));
}

/* "name", "name:port", "[::1]:port". */
static bool parse_name(struct str text, struct str *name, uint16_t *port)
{
    ptrdiff_t colon = str_rfind_char(text, ':'), bracket = str_rfind_char(text, ']');
    uint64_t number = 443;

    *name = text;
    if (colon > bracket) {
        *name = str_sub(text, 0, (size_t)colon);
        if (!str_parse_u64(str_from_index(text, (size_t)colon + 1), &number) || number == 0 ||
            number > 65535)
            return false;
    }
    *port = (uint16_t)number;
    if (name->len > 2 && name->ptr[0] == '[' && name->ptr[name->len - 1] == ']')
        *name = str_sub(*name, 1, name->len - 2);
    for (size_t i = 0; i < name->len; i++)
        if ((unsigned char)name->ptr[i] <= ' ' || (unsigned char)name->ptr[i] > '~')
            return false;
    return name->len > 0 && name->len < 254;
}

static int add_pins(struct str pins, struct derp_mesh_relay *relays, size_t n, struct err *err)
{
    struct str pin;

    while (str_next(&pins, ',', &pin)) {
        struct str name, value;
        uint8_t hash[32];
        bool is_used = false;

        str_split(str_trim(pin), '=', &name, &value);
        if (!str_starts(value, STR("sha256-raw:")) ||
            !hex_decode(str_from_index(value, 11), hash, sizeof(hash)))
            return err_set(err, ERR_INVALID, "\"%.*s\" is no NAME=sha256-raw:HEX", STR_ARG(pin));
        for (size_t i = 0; i < n; i++) {
            if (!str_eq_nocase(relays[i].name, name))
                continue;
            memcpy(relays[i].pin_sha256, hash, sizeof(hash));
            relays[i].has_pin = is_used = true;
        }
        if (!is_used)
            return err_set(err, ERR_INVALID, "no relay of the mesh is called \"%.*s\"",
                           STR_ARG(name));
    }
    return 0;
}

int derp_mesh_parse(struct str with, struct str pins, struct derp_mesh_relay out[MESH_RELAYS_MAX],
                    size_t *n, struct err *err)
{
    struct str entry;

    *n = 0;
    while (str_next(&with, ',', &entry)) {
        struct derp_mesh_relay *relay = &out[*n];
        struct str name, dial;
        uint16_t ignored;

        if (*n == MESH_RELAYS_MAX)
            return err_set(err, ERR_LIMIT, "more than %d relays", MESH_RELAYS_MAX);
        *relay = (struct derp_mesh_relay){0};
        bool has_dial = str_split(str_trim(entry), '/', &name, &dial);

        if (!parse_name(name, &relay->name, &relay->port) ||
            (has_dial &&
             (str_find_char(dial, '/') >= 0 || !parse_name(dial, &relay->dial_name, &ignored))))
            return bad(err, entry);
        if (!has_dial)
            relay->dial_name = relay->name;
        (*n)++;
    }
    return add_pins(pins, out, *n, err);
}

/* ---- Life ---- */

static void other_init(struct derp_mesh *mesh, struct other *o, const struct derp_mesh_relay *relay,
                       struct loop *loop)
{
    bool is_v6 = str_find_char(relay->name, ':') >= 0;

    o->mesh = mesh;
    o->loop = loop;
    o->relay = *relay;
    o->name = str_copy(relay->name);
    o->dial_name = str_copy(relay->dial_name);
    o->authority = str_printf("%s%.*s%s:%u", is_v6 ? "[" : "", STR_ARG(relay->name),
                              is_v6 ? "]" : "", (unsigned)relay->port);
    o->wait_ms = MESH_WAIT_MIN_MS;
    o->lookup.other = o;
    timer_init(&o->timer, loop, begin, o);
    timer_start(&o->timer, 0);
}

int derp_mesh_new(const struct derp_mesh_options *options, struct derp_mesh **out, struct err *err)
{
    struct derp_mesh *mesh = NEW(struct derp_mesh);

    if (tls_client_new(&mesh->tls, err) < 0) {
        mem_free(mesh);
        return -(int)err->code;
    }
    mesh->server = options->server;
    mesh->look_up = options->look_up;
    mesh->user = options->user;
    mesh->n = options->n_relays;
    mesh->others = mem_alloc_array(mesh->n, sizeof(*mesh->others));
    for (size_t i = 0; i < mesh->n; i++)
        other_init(mesh, &mesh->others[i], &options->relays[i],
                   options->loops[i % options->n_loops]);
    *out = mesh;
    return 0;
}

void derp_mesh_stop(struct derp_mesh *mesh)
{
    if (mesh)
        atomic_store(&mesh->stopping, true);
}

void derp_mesh_free(struct derp_mesh *mesh)
{
    if (!mesh)
        return;
    for (size_t i = 0; i < mesh->n; i++) {
        str_free(&mesh->others[i].name);
        str_free(&mesh->others[i].dial_name);
        str_free(&mesh->others[i].authority);
    }
    tls_client_unref(mesh->tls);
    mem_free(mesh->others);
    mem_free(mesh);
}
