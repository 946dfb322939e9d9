/*
 * Start: files, loops, relay, ports, privileges, threads; stop: clients are told, then the same
 * backwards.
 */

#include "relay/relay.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/build.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "derp/mesh.h"
#include "derp/sibling.h"
#include "host/handover.h"
#include "host/limits.h"
#include "host/privileges.h"
#include "http/door.h"
#include "net/bind.h"
#include "relay/relay_internal.h"

#define WORKERS 8
/* What clients are told, and given, before the end. */
#define FAREWELL_MS 500
#define RECONNECT_IN_MS 1000
#define TRY_FOR_MS 60000
#define LINGER_MS 100 /* for the last words */

static struct metric tls_accepted =
    METRIC_COUNTER("tls_listener_accepted_connections", "Connections let in.");
static struct metric tls_rejected = METRIC_COUNTER(
    "tls_listener_rejected_connections", "Connections closed for -accept-connection-limit.");

/* ---- New connections ---- */

static void on_accept(void *user, struct stream *stream)
{
    struct relay *r = user;

    metric_add(door_enter_paced(r->door, r->main, stream) ? &tls_accepted : &tls_rejected, 1);
}

static void on_accept_plain(void *user, struct stream *stream)
{
    struct relay *r = user;

    IGNORE(door_enter(r->door, r->plain, stream));
}

static int open_listeners(struct relay *r, struct ip_addrport at, const struct listener *like,
                          void (*accept)(void *user, struct stream *s), struct listener **out,
                          struct err *err)
{
    const int *given = NULL;
    size_t n_given = handover_pick(r->handover, SOCK_STREAM, bind_usable(at), &given);
    const struct listener_options options = {.addr = at,
                                             .given = given,
                                             .n_given = n_given,
                                             .max_streams = (size_t)r->o->max_streams,
                                             .max_per_address = (size_t)r->o->max_per_address,
                                             .like = like,
                                             .keep_alive_ms = r->o->keep_alive_ms,
                                             .user_timeout_ms = r->o->user_timeout_ms,
                                             .on_accept = accept,
                                             .user = r};

    return listener_open_each(r->loops, r->n_loops, &options, out, err);
}

static int open_stun(struct relay *r, struct ip_addrport at, struct err *err)
{
    const int *given = NULL;
    size_t n = handover_pick(r->handover, SOCK_DGRAM, bind_usable(at), &given);

    if (n > 0)
        return stun_responder_open_given(r->loops, r->n_loops, given, n, r->stun, err);
    return stun_responder_open_each(r->loops, r->n_loops, at, r->stun, err);
}

/* So that they are still there when this process is not. */
static void keep_ports(struct relay *r)
{
    handover_settle(r->handover);
    for (size_t i = 0; i < r->n_loops; i++) {
        handover_keep(r->handover, "main", listener_fd(r->listeners[i]));
        if (r->plain_listeners[i])
            handover_keep(r->handover, "plain", listener_fd(r->plain_listeners[i]));
        if (r->stun[i])
            handover_keep(r->handover, "stun", stun_responder_fd(r->stun[i]));
    }
}

static int open_ports(struct relay *r, struct err *err)
{
    const struct ip_addrport plain = {r->o->listen.addr, (uint16_t)r->o->http_port};
    const struct ip_addrport stun = {r->o->listen.addr, (uint16_t)r->o->stun_port};

    if (open_listeners(r, r->o->listen, NULL, on_accept, r->listeners, err) < 0)
        return -(int)err->code;
    r->bound = listener_addr(r->listeners[0]);
    if (r->o->is_tls && r->o->http_port >= 0 &&
        open_listeners(r, plain, r->listeners[0], on_accept_plain, r->plain_listeners, err) < 0)
        return err_wrap(err, "-http-port");
    if (r->o->stun && open_stun(r, stun, err) < 0)
        return err_wrap(err, "-stun-port");
    keep_ports(r);
    return 0;
}

/* ---- Relay ---- */

static void admit(void *user, const struct node_key *key, struct ip_addr from,
                  struct derp_admission *ticket)
{
    admission_ask(((struct relay *)user)->admission, key, from, ticket);
}

static void answer(void *ticket, bool ok)
{
    derp_admission_answer(ticket, ok);
}

static int open_relay(struct relay *r, struct err *err)
{
    struct relay_rates rates;
    bool asks = r->o->verify_clients || r->o->verify_url.len > 0;

    if (relay_load_rates(r->o, &rates, err) < 0)
        return -(int)err->code;
    const struct derp_server_options options = {
        .key = &r->key,
        .loops = r->loops,
        .n_loops = r->n_loops,
        .admit = asks ? admit : NULL,
        .user = r,
        .client_bytes_per_second = rates.bytes_per_second,
        .client_burst_bytes = rates.burst_bytes,
        .total_bytes_per_second = rates.total_per_second,
        .total_burst_bytes = rates.total_burst,
        .max_logins = (size_t)r->o->max_guests,
        .mesh_key = r->has_mesh_key ? r->mesh_key : NULL,
        .stall_ms = r->o->write_timeout_ms > 0 ? r->o->write_timeout_ms : -1,
    };

    r->urls = (struct admission_urls){
        .url = r->o->verify_url, .tailscaled = r->o->verify_clients, .socket = r->o->socket};
    if (asks)
        r->admission =
            admission_new(&(struct admission_options){.home = r->loops[0],
                                                      .pool = r->pool,
                                                      .ask = admission_ask_urls,
                                                      .user = &r->urls,
                                                      .fail_open = r->o->verify_fail_open,
                                                      .answer = answer});
    r->derp = derp_server_new(&options);
    r->bootstrap = bootstrap_new(r->loops, r->n_loops, r->pool, r->o->bootstrap_names,
                                 r->o->unpublished_names);
    r->main = relay_main_server(r);
    r->plain = relay_plain_server(r);
    return 0;
}

/* ---- Start ---- */

static int load_files(struct relay *r, struct err *err)
{
    if (relay_load_key(r, err) < 0)
        return err_wrap(err, "reading the relay's key");
    if (relay_load_mesh_key(r, err) < 0)
        return -(int)err->code;
    /* What ACME keeps belongs to whom the relay becomes. */
    return r->o->is_tls && !r->o->is_acme ? relay_load_tls(r->o, &r->key, &r->tls, err) : 0;
}

static int make_loops(struct relay *r, struct err *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    r->n_loops = (size_t)MAX(1, MIN(cores, RELAY_LOOPS_MAX));
    for (size_t i = 0; i < r->n_loops; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "loop-%zu", i);
        if (loop_new(name, &r->loops[i], err) < 0)
            return -(int)err->code;
    }
    r->door = door_new(&(struct door_options){.loops = r->loops,
                                              .n_loops = r->n_loops,
                                              .max_guests = (size_t)r->o->max_guests,
                                              .accepts_per_second = r->o->accept_limit,
                                              .accept_burst = r->o->accept_burst});
    return 0;
}

/* After privileges are gone, so that no thread keeps any. */
static int make_pool(struct relay *r, struct err *err)
{
    if (privileges_drop(r->o->user, err) < 0)
        return -(int)err->code;
    return worker_pool_new(WORKERS, &r->pool, err);
}

static void end(void *user)
{
    loop_stop(((struct relay *)user)->loops[0]);
}

static void on_closing(struct loop_message *msg)
{
    struct closing *c = CONTAINER_OF(msg, struct closing, message);

    if (msg->cancelled)
        return;
    listener_finish(TAKE(c->relay->listeners[c->loop]));
    listener_finish(TAKE(c->relay->plain_listeners[c->loop]));
}

/* Who comes now waits in the sockets for the next process; clients go there one by one. */
static void hand_over(struct relay *r)
{
    for (size_t i = 0; i < r->n_loops; i++) {
        r->closings[i] = (struct closing){{.run = on_closing}, r, i};
        loop_post(r->loops[i], &r->closings[i].message);
    }
    derp_server_drain(r->derp, (uint32_t)r->o->drain_ms, TRY_FOR_MS);
    timer_start(&r->ending, r->o->drain_ms + LINGER_MS);
}

/* Ports close, clients are told and may go elsewhere; a second signal does not wait. */
static void on_signal(void *user, int signo)
{
    struct relay *r = user;

    if (r->is_ending) {
        end(r);
        return;
    }
    log_event(LOG_INFO, "shutting down", LOG_I64("signal", signo),
              LOG_U64("clients", derp_server_clients(r->derp)));
    r->is_ending = true;
    handover_say(r->handover, "STOPPING=1");
    if (handover_outlives(r->handover)) {
        hand_over(r);
        return;
    }
    door_shut(r->door);
    derp_server_say_restarting(r->derp, RECONNECT_IN_MS, TRY_FOR_MS);
    timer_start(&r->ending, FAREWELL_MS);
}

static void set_rates(struct relay *r, const struct relay_rates *rates)
{
    derp_server_set_rate(r->derp, rates->bytes_per_second, rates->burst_bytes);
    derp_server_set_total_rate(r->derp, rates->total_per_second, rates->total_burst);
}

/* Connections that are there keep the certificate they began with. */
static void reload(struct relay *r)
{
    struct relay_rates rates;
    struct tls_server *tls = NULL;
    struct err err = {0};

    if (relay_load_rates(r->o, &rates, &err) < 0)
        log_event(LOG_ERROR, "the rate limits stay as they are", LOG_ERR(&err));
    else
        set_rates(r, &rates);
    if (!r->o->is_tls)
        return;
    if (r->acme) {
        acme_reload(r->acme);
        log_event(LOG_INFO, "certificates and rate limits read again");
        return;
    }
    if (relay_load_tls(r->o, &r->key, &tls, &err) < 0) {
        log_event(LOG_ERROR, "the certificate stays as it is", LOG_ERR(&err));
        return;
    }
    http_server_set_tls(r->main, tls);
    tls_server_unref(r->tls);
    r->tls = tls;
    log_event(LOG_INFO, "certificate and rate limits read again");
}

static void on_reload(void *user, int signo)
{
    struct relay *r = user;

    (void)signo;
    handover_say(r->handover, "RELOADING=1");
    reload(r);
    handover_say(r->handover, "READY=1");
}

/* The next process will have the same sockets, perhaps while this one still has clients. */
static int open_sibling(struct relay *r, struct err *err)
{
    (void)err;
    if (handover_outlives(r->handover))
        r->sibling = derp_sibling_new(r->derp, r->loops[0], r->bound);
    return 0;
}

static int watch_signals(struct relay *r, struct err *err)
{
    timer_init(&r->ending, r->loops[0], end, r);
    if (loop_on_signal(r->loops[0], SIGINT, on_signal, r, err) < 0 ||
        loop_on_signal(r->loops[0], SIGTERM, on_signal, r, err) < 0 ||
        loop_on_signal(r->loops[0], SIGHUP, on_reload, r, err) < 0)
        return -(int)err->code;
    return 0;
}

static int open_acme(struct relay *r, struct err *err)
{
    return r->o->is_acme ? relay_open_acme(r, err) : 0;
}

static int start_acme(struct relay *r, struct err *err)
{
    (void)err;
    if (r->acme)
        acme_start(r->acme, r->loops[0], r->pool);
    return 0;
}

static int start_threads(struct relay *r, struct err *err)
{
    for (size_t i = 1; i < r->n_loops; i++)
        if (loop_thread_start(r->loops[i], err) < 0)
            return -(int)err->code;
    r->threads_run = true;
    return 0;
}

static int start(struct relay *r, struct err *err)
{
    int (*const steps[])(struct relay *, struct err *) = {
        load_files,      make_loops,   open_ports,    make_pool,  open_acme,     open_relay,
        relay_open_mesh, open_sibling, watch_signals, start_acme, start_threads,
    };

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        int status = steps[i](r, err);

        if (status < 0)
            return status;
    }
    return 0;
}

/* ---- Stop ---- */

static void stop(struct relay *r)
{
    for (size_t i = 1; i < r->n_loops && r->threads_run; i++) {
        loop_stop(r->loops[i]);
        loop_thread_join(r->loops[i]);
    }
    for (size_t i = 0; i < r->n_loops; i++) {
        listener_close(TAKE(r->listeners[i]));
        listener_close(TAKE(r->plain_listeners[i]));
        stun_responder_close(r->stun[i]);
    }
    atomic_store(&r->is_stopped, true);
    derp_mesh_stop(r->mesh);
    derp_sibling_stop(r->sibling);
    if (r->admission)
        admission_stop(r->admission);
    if (r->bootstrap)
        bootstrap_stop(r->bootstrap);
    acme_stop(r->acme);
    worker_pool_free(r->pool);
    for (size_t i = 0; i < r->n_loops; i++)
        loop_free(r->loops[i]);
    handover_free(r->handover);
    door_free(r->door);
    derp_mesh_free(r->mesh);
    derp_sibling_free(r->sibling);
    derp_server_free(r->derp);
    http_server_free(r->main);
    http_server_free(r->plain);
    admission_free(r->admission);
    bootstrap_free(r->bootstrap);
    tls_server_unref(r->tls);
    acme_free(r->acme);
    node_private_fini(&r->key);
    mem_wipe(r->mesh_key, sizeof(r->mesh_key));
}

static void announce(const struct relay *r)
{
    AUTO_FINI(buf_fini) struct buf addr = BUF(256), key = BUF(256);
    struct node_key public_key;

    node_private_public(&r->key, &public_key);
    ip_addrport_put(&addr, r->bound);
    key_put_short(&key, public_key.b);
    log_event(LOG_INFO, "relaying", LOG_TXT("version", HATSIZE_VERSION),
              LOG_STR("listen", buf_str(&addr)), LOG_BOOL("tls", r->o->is_tls),
              LOG_BOOL("stun", r->o->stun), LOG_BOOL("mesh", r->has_mesh_key),
              LOG_BOOL("admission", r->admission != NULL), LOG_STR("key", buf_str(&key)),
              LOG_U64("loops", r->n_loops));
}

int relay_run(const struct relay_options *o)
{
    struct relay *r = NEW(struct relay);
    struct err err = {0};
    int status;

    r->o = o;
    r->started_ms = clock_mono_ms();
    r->handover = handover_take();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(077);
    (void)limits_open_files();
    status = start(r, &err);
    if (status == 0) {
        announce(r);
        handover_say(r->handover, "READY=1");
        loop_run(r->loops[0]);
    } else {
        log_event(LOG_ERROR, "cannot start", LOG_ERR(&err));
    }
    stop(r);
    mem_free(r);
    return status == 0 ? 0 : 1;
}

static int start_log(const struct relay_options *o, struct err *err)
{
    enum log_level level = LOG_INFO;

    if (!log_level_parse(o->log_level, &level))
        return err_set(err, ERR_INVALID, "-log-level: \"%.*s\" is no level", STR_ARG(o->log_level));
    if (!str_eq(o->log_format, STR("text")) && !str_eq(o->log_format, STR("json")))
        return err_set(err, ERR_INVALID, "-log-format: neither text nor json");
    log_init(level, str_eq(o->log_format, STR("json")) ? LOG_JSON : LOG_TEXT, -1);
    return 0;
}

static int refuse(const struct err *err)
{
    (void)fprintf(stderr, "hatsize-derp: %s\nSee hatsize-derp -help.\n", err->text);
    return 2;
}

int relay_main(int argc, char **argv)
{
    AUTO_FINI(relay_options_fini) struct relay_options o = {0};
    AUTO_FINI(buf_fini) struct buf out = BUF((size_t)64 << 10);
    struct err err = {0};

    if (relay_options_parse(&o, argc, argv, &err) < 0)
        return refuse(&err);
    if (o.help)
        relay_options_put_help(&out);
    else if (o.version)
        buf_printf(&out, HATSIZE_VERSION "\n  commit: %s%s\n  build time: %s\n", build_info.commit,
                   build_info.dirty ? " (changed)" : "", build_info.time);
    if (o.help || o.version) {
        (void)fwrite(out.ptr, 1, out.len, stdout);
        return 0;
    }
    if (relay_options_check(&o, &err) < 0 || start_log(&o, &err) < 0)
        return refuse(&err);
    return relay_run(&o);
}
