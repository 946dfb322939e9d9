/*
 * Start: configuration, keys, database, certificate, registrar, relay, listeners; stop: the same
 * backwards.
 *
 * Everything a stranger can reach is opened last, so whoever connects finds a server that is ready.
 */

#include "daemon/serve.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acme/acme.h"
#include "core/log.h"
#include "daemon/daemon_internal.h"
#include "daemon/files.h"
#include "host/handover.h"
#include "http/door.h"

#define LOCAL_STREAMS_MAX 256
#define WORKERS 2

/* ---- Listeners ---- */

static void on_accept(void *user, struct stream *stream)
{
    struct server *s = user;

    IGNORE(door_enter_paced(s->door, s->outer, stream));
}

static void on_accept_local(void *user, struct stream *stream)
{
    struct server *s = user;

    http_serve(s->local, stream, NULL, NULL);
}

struct listener_options server_network_port(struct server *s, struct ip_addrport addr,
                                            void (*accept)(void *user, struct stream *stream))
{
    const struct config_limits *limits = &s->config->derp.limits;

    return (struct listener_options){.addr = addr,
                                     .max_streams = limits->max_connections,
                                     .max_per_address = limits->max_connections_per_address,
                                     .proxies = s->config->trusted_proxies,
                                     .n_proxies = s->config->n_trusted_proxies,
                                     .proxy_header = s->config->proxy_protocol,
                                     .on_accept = accept,
                                     .user = s};
}

static int open_listeners(struct server *s, struct err *err)
{
    const struct listener_options options = server_network_port(s, s->config->listen, on_accept);

    if (listener_open_each(s->loops, s->n_loops, &options, s->listeners, err) < 0)
        return -(int)err->code;
    s->bound = listener_addr(s->listeners[0]);
    return 0;
}

static int open_socket(struct server *s, struct err *err)
{
    struct str path = config_socket_path(s->config);
    const struct listener_options options = {.unix_path = path,
                                             .unix_mode = s->config->unix_socket_mode,
                                             .max_streams = LOCAL_STREAMS_MAX,
                                             .on_accept = on_accept_local,
                                             .user = s};

    if (dir_make_for(path, err) < 0)
        return -(int)err->code;
    if (listener_open(s->loops[0], &options, &s->socket, err) < 0)
        return err_wrap(err, "opening the command line's socket %.*s", STR_ARG(path));
    return 0;
}

/* ---- Relay ---- */

static void admission_known(void *user, bool known)
{
    derp_admission_answer(user, known);
}

static void admit(void *user, const struct node_key *key, struct ip_addr from,
                  struct derp_admission *ticket)
{
    struct server *s = user;

    (void)from;
    control_admit(s->control, s->loops[0], key, admission_known, ticket);
}

static void on_key_gone(void *user, const struct node_key *key)
{
    struct server *s = user;

    if (s->derp)
        derp_server_drop(s->derp, key);
}

static int open_relay(struct server *s, struct err *err)
{
    const struct config_limits *limits = &s->config->derp.limits;
    const struct derp_server_options options = {
        .key = &s->derp_key,
        .loops = s->loops,
        .n_loops = s->n_loops,
        .admit = s->config->derp.verify_clients ? admit : NULL,
        .user = s,
        .client_bytes_per_second = limits->client_bytes_per_second,
        .client_burst_bytes = limits->client_burst_bytes,
        .total_bytes_per_second = limits->total_bytes_per_second,
        .total_burst_bytes = limits->total_burst_bytes,
        .max_logins = server_max_logins(server_max_guests(limits, s->open_files, 0)),
    };

    if (!s->config->derp.enabled)
        return 0;
    s->derp = derp_server_new(&options);
    if (stun_responder_open_each(s->loops, s->n_loops, s->config->derp.stun_listen, s->stun, err) <
        0)
        return err_wrap(err, "opening STUN");
    return 0;
}

/* ---- Start ---- */

static int load_keys(struct server *s, struct err *err)
{
    if (dir_make(s->config->data_dir, err) < 0)
        return -(int)err->code;
    if (key_file_machine(s->config->noise_key_path, &s->noise_key, err) < 0)
        return err_wrap(err, "reading the server's key");
    if (key_file_node(s->config->derp.private_key_path, &s->derp_key, err) < 0)
        return err_wrap(err, "reading the relay's key");
    if (key_file_id_token(s->config->noise_key_path, &s->id_token_key, err) < 0)
        return err_wrap(err, "reading the key that signs ID tokens");
    return 0;
}

static int open_store(struct server *s, struct err *err)
{
    AUTO_FINI(config_store_fini) struct config_store room = {0};
    const struct store_options *options = config_store_options(s->config, &room);

    if (!options->postgres && dir_make_for(s->config->sqlite_path, err) < 0)
        return -(int)err->code;
    return store_open(options, &s->store, err);
}

static int make_loops(struct server *s, struct err *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    s->n_loops = (size_t)MAX(1, MIN(cores, LOOPS_MAX));
    for (size_t i = 0; i < s->n_loops; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "loop-%zu", i);
        if (loop_new(name, &s->loops[i], err) < 0)
            return -(int)err->code;
    }
    server_make_door(s);
    return 0;
}

static int make_pool(struct server *s, struct err *err)
{
    return worker_pool_new(WORKERS, &s->pool, err);
}

static int start_control(struct server *s, struct err *err)
{
    const struct control_options options = {.loops = s->loops,
                                            .n_loops = s->n_loops,
                                            .noise_key = &s->noise_key,
                                            .id_token_key = s->id_token_key,
                                            .server_url = s->config->server_url,
                                            .store = TAKE(s->store),
                                            .policy_file = policy_watch_file(s->policy_watch),
                                            .domain = TAKE(s->domain),
                                            .providers = s->config->oidc.providers,
                                            .n_providers = s->config->oidc.n_providers,
                                            .provider_metas = s->provider_metas,
                                            .ha_interval_ms = s->config->ha_interval_ms,
                                            .ha_timeout_ms = s->config->ha_timeout_ms,
                                            .on_key_gone = on_key_gone,
                                            .on_nodes = server_on_nodes,
                                            .webhooks_allow_local = s->config->webhooks_allow_local,
                                            .user = s};
    const struct api_options api_options = {.version = HATSIZE_VERSION,
                                            .server_url = s->config->server_url,
                                            .policy_from_file = !s->config->policy_in_database,
                                            .origins = s->config->api_origins};

    if (control_new(&options, &s->control, err) < 0)
        return -(int)err->code;
    struct api_options with_control = api_options;
    with_control.control = s->control;
    s->api = api_new(&with_control);
    s->grpc = grpc_new(s->api);
    s->local = local_server_new(s);
    s->outer = outer_server_new(s);
    return 0;
}

static void on_signal(void *user, int signo)
{
    struct server *s = user;

    log_event(LOG_INFO, "shutting down", LOG_I64("signal", signo));
    handover_say(s->handover, "STOPPING=1");
    loop_stop(s->loops[0]);
}

static void on_reload(void *user, int signo)
{
    struct server *s = user;

    (void)signo;
    handover_say(s->handover, "RELOADING=1");
    settings_reload(s->settings);
    server_reload_tls(s);
    if (s->policy_watch)
        policy_watch_reload(s->policy_watch);
    else
        log_event(LOG_INFO, "no policy to read again: it is the database's");
    handover_say(s->handover, "READY=1");
}

static int watch_signals(struct server *s, struct err *err)
{
    if (loop_on_signal(s->loops[0], SIGINT, on_signal, s, err) < 0 ||
        loop_on_signal(s->loops[0], SIGTERM, on_signal, s, err) < 0 ||
        loop_on_signal(s->loops[0], SIGHUP, on_reload, s, err) < 0)
        return -(int)err->code;
    return 0;
}

static int start_threads(struct server *s, struct err *err)
{
    for (size_t i = 1; i < s->n_loops; i++)
        if (loop_thread_start(s->loops[i], err) < 0)
            return -(int)err->code;
    s->threads_run = true;
    return 0;
}

static int start(struct server *s, struct err *err)
{
    int (*const steps[])(struct server *, struct err *) = {
        server_become,
        load_keys,
        open_store,
        server_load_tls,
        server_read_settings,
        server_load_domain,
        server_read_policy,
        make_loops,
        server_confine_files,
        make_pool,
        server_find_providers,
        start_control,
        open_relay,
        open_socket,
        server_open_watch,
        open_listeners,
        server_open_grpc,
        server_start_acme,
        server_confine,
        server_start_settings,
        watch_signals,
        start_threads,
    };

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        int status = steps[i](s, err);

        if (status < 0)
            return status;
    }
    return 0;
}

/* ---- Stop ---- */

static void stop(struct server *s)
{
    for (size_t i = 1; i < s->n_loops && s->threads_run; i++) {
        loop_stop(s->loops[i]);
        loop_thread_join(s->loops[i]);
    }
    for (size_t i = 0; i < s->n_loops; i++) {
        listener_close(s->listeners[i]);
        listener_close(s->grpc_listeners[i]);
        stun_responder_close(s->stun[i]);
    }
    listener_close(s->socket);
    listener_close(s->watch_listener);
    listener_close(s->plain_listener);
    acme_stop(s->acme);
    settings_stop(s->settings);
    worker_pool_free(s->pool);
    api_stop(s->api);
    control_stop(s->control);
    for (size_t i = 0; i < s->n_loops; i++)
        loop_free(s->loops[i]);
    door_free(s->door);
    derp_server_free(s->derp);
    http_server_free(s->outer);
    mem_free(s->outer_routes);
    http_server_free(s->local);
    mem_free(s->local_routes);
    http_server_free(s->grpc_server);
    mem_free(s->grpc_routes);
    http_server_free(s->watch);
    http_server_free(s->plain);
    grpc_free(s->grpc);
    api_free(s->api);
    control_free(s->control);
    server_forget_providers(s);
    policy_watch_free(s->policy_watch);
    settings_free(s->settings);
    tls_server_unref(s->tls);
    acme_free(s->acme);
    store_close(s->store);
    domain_free(s->domain);
    machine_private_fini(&s->noise_key);
    node_private_fini(&s->derp_key);
    p256_key_free(s->id_token_key);
}

static void announce(const struct server *s)
{
    struct buf addr = BUF(256), metrics = BUF(256);

    ip_addrport_put(&addr, s->bound);
    if (s->watch_listener)
        ip_addrport_put(&metrics, listener_addr(s->watch_listener));
    else
        buf_put(&metrics, STR("off"));
    log_event(
        LOG_INFO, "serving", LOG_TXT("version", HATSIZE_VERSION), LOG_STR("listen", buf_str(&addr)),
        LOG_STR("url", s->config->server_url), LOG_STR("data_dir", s->config->data_dir),
        LOG_STR("socket", config_socket_path(s->config)), LOG_STR("metrics", buf_str(&metrics)),
        LOG_BOOL("relay", s->derp != NULL), LOG_U64("loops", s->n_loops));
    buf_fini(&addr);
    buf_fini(&metrics);
}

int serve(const struct config *config)
{
    struct server s = {.config = config};
    struct err err = {0};
    int status;

    s.handover = handover_take();
    handover_settle(s.handover);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(077);
    status = start(&s, &err);
    if (status == 0) {
        announce(&s);
        handover_say(s.handover, "READY=1");
        loop_run(s.loops[0]);
    } else {
        log_event(LOG_ERROR, "cannot start", LOG_ERR(&err));
    }
    stop(&s);
    handover_free(s.handover);
    return status == 0 ? 0 : 1;
}
