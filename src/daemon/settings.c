/*
 * What of the configuration changes while the server runs, and becomes the first tailnet's:
 *
 *   SIGHUP --> the configuration, read again --+
 *   dns.extra_records_path, watched -----------+--> one info --COMMAND_TAILNET_UPDATE--> everybody
 *   derp.urls, asked for every so often -------+
 *
 * What is bad changes nothing: the last good one stays, and the log says why.
 *
 * Invariants
 *   1. All of it belongs to the first loop, but what `fetch` points to while the pool has it.
 *   2. One command is under way at a time; what comes meanwhile is put together in the next.
 */

#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/health.h"
#include "core/log.h"
#include "core/mem.h"
#include "daemon/daemon_internal.h"
#include "http/client.h"

#define WATCH_MS 1000
#define MAP_MAX ((size_t)1 << 20)
#define FETCH_MS 20000

/* How a file looked; all zero: not there. */
struct looks {
    uint64_t dev, ino, size;
    struct timespec changed, modified;
};

struct fetch {
    struct worker_job job;
    struct settings *settings;
    const struct config *config; /* whose URLs */
    struct buf *texts;           /* one a URL; empty: none came */
};

struct settings {
    struct server *server;
    struct config *config; /* owned; NULL: the one from the start */
    struct config *older;  /* owned: what a fetch may still point to */
    struct timer watch;
    struct looks looks;
    struct config_records records;
    struct timer refresh;
    struct fetch fetch;
    bool is_fetching;
    struct config_regions *maps; /* one a URL of the configuration in force */
    size_t n_maps;
    struct registrar_call call;
    struct quotas new_quotas; /* of the call */
    bool is_busy, is_again;
    _Atomic(bool) is_stopped;
};

static const struct config *in_force(const struct settings *st)
{
    return st->config ? st->config : st->server->config;
}

/* ---- Into the domain ---- */

struct tailnet_info *settings_info(const struct settings *st, struct str name)
{
    const struct config *c = in_force(st);
    struct tailnet_info *info = config_tailnet_info(c, name);

    config_add_records(info, &st->records);
    if (c->derp.enabled && c->derp.add_region)
        server_add_region(st->server, info);
    for (size_t i = st->n_maps; i-- > 0;) /* later URLs beat earlier ones */
        config_add_regions(info, &st->maps[i]);
    return info;
}

static void submit(struct settings *st);

static void done(struct registrar_call *call)
{
    struct settings *st = CONTAINER_OF(call, struct settings, call);

    st->is_busy = false;
    if (call->status < 0)
        log_event(LOG_ERROR, "the tailnet's settings stay as they are", LOG_ERR(&call->err));
    tailnet_info_unref(call->command.info);
    command_result_fini(&call->result);
    if (st->is_again && !atomic_load(&st->is_stopped))
        submit(st);
}

static void submit(struct settings *st)
{
    struct server *s = st->server;

    st->is_again = st->is_busy;
    if (st->is_busy)
        return;
    st->is_busy = true;
    st->new_quotas = in_force(st)->new_quotas;
    /* Without a name it keeps the one it has. */
    st->call = (struct registrar_call){.command = {.type = COMMAND_TAILNET_UPDATE,
                                                   .origin = ORIGIN_SERVER,
                                                   .author = STR("configuration"),
                                                   .tailnet = s->first_tailnet,
                                                   .info = settings_info(st, STR_NONE),
                                                   .new_quotas = &st->new_quotas},
                                       .loop = s->loops[0],
                                       .done = done};
    registrar_submit(control_registrar(s->control), &st->call);
}

/* ---- The file of records ---- */

static struct looks look(struct str path)
{
    struct stat st;
    char *name = str_dup(path);
    bool is_there = stat(name, &st) == 0;

    mem_free(name);
    if (!is_there)
        return (struct looks){0};
    return (struct looks){(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size,
                          st.st_ctim, st.st_mtim};
}

/* Whether there are other records now. A file that is gone leaves what it had. */
static bool read_records(struct settings *st)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(CONFIG_FILE_MAX);
    struct str path = in_force(st)->dns.records_path;
    struct looks now = path.len > 0 ? look(path) : (struct looks){0};
    struct config_records records = {0};
    struct err err = {0};
    bool found = false;

    if (memcmp(&now, &st->looks, sizeof(now)) == 0)
        return false;
    st->looks = now;
    if (now.ino == 0) {
        log_event(LOG_WARN, "the file of DNS records is gone: what it said last stays",
                  LOG_STR("file", path));
        health_note(HEALTH_DNS_RECORDS, STR("the file is gone: what it said last stays"));
        return false;
    }
    if (file_read(path, &text, &found, &err) < 0 || !found ||
        config_records_parse(path, buf_str(&text), &records, &err) < 0) {
        log_event(LOG_ERROR, "the DNS records stay as they are", LOG_STR("file", path),
                  LOG_ERR(&err));
        health_note(HEALTH_DNS_RECORDS, str_from(err.text));
        return false;
    }
    config_records_fini(&st->records);
    st->records = records;
    health_note(HEALTH_DNS_RECORDS, STR_NONE);
    log_event(LOG_INFO, "DNS records read", LOG_STR("file", path), LOG_U64("records", records.len));
    return true;
}

static void on_watch(void *user)
{
    struct settings *st = user;

    if (read_records(st))
        submit(st);
    if (in_force(st)->dns.records_path.len > 0)
        timer_start(&st->watch, WATCH_MS);
}

/* ---- Relay maps from elsewhere ---- */

static void fetch_work(struct worker_job *job)
{
    struct fetch *f = CONTAINER_OF(job, struct fetch, job);
    const struct config_derp *derp = &f->config->derp;
    bool all_came = true;

    for (size_t i = 0; i < derp->n_urls; i++) {
        char *url = str_dup(derp->urls[i]);
        const struct http_fetch_options options = {.url = url,
                                                   .timeout_ms = FETCH_MS,
                                                   .max_body = MAP_MAX,
                                                   .cancelled = &f->settings->is_stopped};
        struct err err = {0};
        int status = 0;

        f->texts[i] = BUF(MAP_MAX);
        if (http_fetch(&options, &status, &f->texts[i], &err) == 0 && status == 200) {
            mem_free(url);
            continue;
        }
        buf_clear(&f->texts[i]);
        all_came = false;
        if (!atomic_load(&f->settings->is_stopped))
            health_note(HEALTH_RELAY_MAP,
                        str_from(status ? "a relay map is not served" : err.text));
        if (!atomic_load(&f->settings->is_stopped))
            log_event(LOG_WARN, "a relay map cannot be had; what it said last stays",
                      LOG_TXT("url", url), LOG_I64("status", status), LOG_ERR(&err));
        mem_free(url);
    }
    if (all_came)
        health_note(HEALTH_RELAY_MAP, STR_NONE);
}

static void take_map(struct settings *st, size_t i, struct str url, struct str text)
{
    struct config_regions regions = {0};
    struct err err = {0};

    if (config_regions_parse(url, text, &regions, &err) < 0) {
        log_event(LOG_WARN, "a relay map is no good; what it said last stays", LOG_ERR(&err));
        health_note(HEALTH_RELAY_MAP, str_from(err.text));
        return;
    }
    config_regions_fini(&st->maps[i]);
    st->maps[i] = regions;
    log_event(LOG_INFO, "relay map read", LOG_STR("url", url), LOG_U64("regions", regions.len));
}

static void fetch_done(struct worker_job *job)
{
    struct fetch *f = CONTAINER_OF(job, struct fetch, job);
    struct settings *st = f->settings;
    const struct config_derp *derp = &f->config->derp;
    bool is_current = f->config == in_force(st) && !atomic_load(&st->is_stopped);

    for (size_t i = 0; i < derp->n_urls; i++) {
        if (is_current && f->texts[i].len > 0)
            take_map(st, i, derp->urls[i], buf_str(&f->texts[i]));
        buf_fini(&f->texts[i]);
    }
    mem_free(f->texts);
    st->is_fetching = false;
    config_free(TAKE(st->older));
    if (is_current)
        submit(st);
    else if (!atomic_load(&st->is_stopped))
        timer_start(&st->refresh, 0); /* other URLs came meanwhile */
}

static void on_refresh(void *user)
{
    struct settings *st = user;
    const struct config_derp *derp = &in_force(st)->derp;

    if (derp->n_urls == 0)
        return;
    if (!st->is_fetching) {
        st->is_fetching = true;
        st->fetch = (struct fetch){
            .job = {.work = fetch_work, .done = fetch_done, .loop = st->server->loops[0]},
            .settings = st,
            .config = in_force(st),
            .texts = mem_alloc_array(derp->n_urls, sizeof(struct buf))};
        worker_submit(st->server->pool, &st->fetch.job);
    }
    if (derp->auto_update && derp->update_ms > 0)
        timer_start(&st->refresh, derp->update_ms);
}

static void set_maps(struct settings *st)
{
    for (size_t i = 0; i < st->n_maps; i++)
        config_regions_fini(&st->maps[i]);
    mem_free(st->maps);
    st->n_maps = in_force(st)->derp.n_urls;
    st->maps = st->n_maps > 0 ? mem_alloc_array(st->n_maps, sizeof(*st->maps)) : NULL;
    for (size_t i = 0; i < st->n_maps; i++)
        st->maps[i] = (struct config_regions){0};
}

/* ---- SIGHUP ---- */

/* Keys that the running server follows; all others wait for a restart. */
static bool is_followed(struct str line)
{
    static const struct str starts[] = {
        STR_INIT("dns."),       STR_INIT("derp region"), STR_INIT("derp.urls"),
        STR_INIT("derp.auto_"), STR_INIT("derp.update"), STR_INIT("  "),
        STR_INIT("log.level"),  STR_INIT("node."),       STR_INIT("taildrop."),
        STR_INIT("logtail."),   STR_INIT("auto_update"), STR_INIT("randomize_client"),
        STR_INIT("prefixes."),  STR_INIT("cli."),        STR_INIT("oidc.admin_"),
        STR_INIT("tailnets."),
    };

    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        if (str_starts(line, starts[i]))
            return true;
    return false;
}

static bool has_line(struct str text, struct str wanted)
{
    struct str line;

    while (str_next(&text, '\n', &line))
        if (str_eq(line, wanted))
            return true;
    return false;
}

/* What must wait is told against the configuration that the server was started with. */
static void tell_what_waits(const struct settings *st, const struct config *now)
{
    AUTO_FINI(buf_fini) struct buf before = BUF((size_t)16 << 20), after = BUF((size_t)16 << 20);
    struct str rest, line;

    config_put(&before, st->server->config);
    config_put(&after, now);
    rest = buf_str(&after);
    while (str_next(&rest, '\n', &line)) {
        struct str key = line, value;

        if (is_followed(line) || has_line(buf_str(&before), line))
            continue;
        (void)str_split(line, ':', &key, &value);
        log_event(LOG_WARN, "this setting has changed and waits for a restart",
                  LOG_STR("key", key));
    }
}

static void log_remarks(const struct config_remarks *remarks)
{
    for (size_t i = 0; i < remarks->len; i++) {
        AUTO_FINI(buf_fini) struct buf line = BUF(8192);

        config_remark_put(&line, &remarks->items[i]);
        log_event(remarks->items[i].is_error ? LOG_ERROR : LOG_WARN, "the configuration",
                  LOG_STR("remark", buf_str(&line)));
    }
}

/* As it was loaded at the start. */
static struct config *load_again(const struct settings *st)
{
    struct config_request req = config_request_here();
    struct config_remarks remarks = {0};
    struct config *c = NULL;
    struct err err = {0};

    req.path = st->server->config->file;
    req.default_file = STR_NONE;
    req.data_dir = st->server->config->data_dir;
    if (config_load(&req, &c, &remarks, &err) < 0)
        log_event(LOG_ERROR, "the configuration stays as it is", LOG_ERR(&err));
    health_note(HEALTH_CONFIGURATION,
                c ? STR_NONE : STR("it could not be read again: see the log, or configtest"));
    log_remarks(&remarks);
    config_remarks_fini(&remarks);
    return c;
}

void settings_reload(struct settings *st)
{
    struct config *c = st->server->config->file.len > 0 ? load_again(st) : NULL;

    if (!c)
        return;
    tell_what_waits(st, c);
    control_set_admins(st->server->control, c->oidc.providers, c->oidc.n_providers);
    /* The derived URL may have learnt its port meanwhile; it stays as it was. */
    if (st->is_fetching && !st->older)
        st->older = TAKE(st->config);
    config_free(st->config);
    st->config = c;
    log_set_level(c->log_level);
    control_set_ha_times(st->server->control, c->ha_interval_ms, c->ha_timeout_ms);
    st->looks = (struct looks){0};
    if (c->dns.records_path.len == 0)
        config_records_fini(&st->records);
    (void)read_records(st);
    set_maps(st);
    submit(st);
    timer_start(&st->watch, WATCH_MS);
    timer_start(&st->refresh, 0);
    log_event(LOG_INFO, "configuration read again", LOG_STR("file", c->file));
}

/* ---- Life ---- */

int server_read_settings(struct server *s, struct err *err)
{
    struct settings *st = NEW(struct settings);

    (void)err;
    s->settings = st;
    st->server = s;
    set_maps(st);
    (void)read_records(st);
    return 0;
}

int server_start_settings(struct server *s, struct err *err)
{
    struct settings *st = s->settings;

    (void)err;
    timer_init(&st->watch, s->loops[0], on_watch, st);
    timer_init(&st->refresh, s->loops[0], on_refresh, st);
    timer_start(&st->watch, WATCH_MS);
    timer_start(&st->refresh, 0);
    return 0;
}

void settings_stop(struct settings *st)
{
    if (!st)
        return;
    atomic_store(&st->is_stopped, true);
    if (st->watch.loop) {
        timer_stop(&st->watch);
        timer_stop(&st->refresh);
    }
}

void settings_free(struct settings *st)
{
    if (!st)
        return;
    for (size_t i = 0; i < st->n_maps; i++)
        config_regions_fini(&st->maps[i]);
    mem_free(st->maps);
    config_records_fini(&st->records);
    config_free(st->config);
    config_free(st->older);
    mem_free(st);
}
