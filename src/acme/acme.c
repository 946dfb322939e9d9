/*
 * See acme.h. One attempt at a time: the name whose attempt is due first, then the next.
 *
 * Everything here belongs to the home loop, except what a step does (on a thread of the pool,
 * between job submitted and job done) and `token`, which any loop reads.
 */

#include "acme/acme.h"

#include "acme/acme_internal.h"
#include "acme/jws.h"
#include "acme/order.h"
#include "core/clock.h"
#include "core/health.h"
#include "core/list.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rand.h"
#include "crypto/hash.h"
#include "ip/prefix.h"
#include "net/cert.h"

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
/* Between attempts that fail: doubled each time, and a quarter more or less. */
#define RETRY_MIN_MS MINUTE
#define RETRY_MAX_MS (4 * HOUR)
#define RENEW_BEFORE_MAX_MS (30 * DAY)
/* How often the authority is asked when it would like a renewal. */
#define WINDOW_MS (6 * HOUR)
#define WINDOW_MIN_MS MINUTE
#define LOOK_MS HOUR /* the wall clock may jump */
#define TEXT_MAX ((size_t)1 << 20)

static struct metric orders =
    METRIC_COUNTER("hatsize_acme_orders_total", "Attempts to get a certificate.");
static struct metric failures =
    METRIC_COUNTER("hatsize_acme_failures_total", "Attempts to get a certificate that failed.");
static struct metric ends =
    METRIC_GAUGE("hatsize_acme_certificate_end_seconds",
                 "When the first of the certificates ends (Unix time); 0: one is missing.");

/* A name, and what there is for it. */
struct held {
    struct list_node link;
    struct str name; /* owned */
    bool has_cert;
    struct cert_times times;
    struct str renewal_id;  /* owned; empty: none */
    int64_t due_unix_ms;    /* the next attempt */
    int64_t window_unix_ms; /* the next question about renewing */
    unsigned n_failed;
};

struct acme {
    struct str dir, directory_url; /* owned */
    struct str extra_der;          /* owned */
    bool own_addresses, http_01, tls_alpn_01;
    bool is_public; /* the authority is one that certifies public addresses only */
    struct p256_key *key;
    struct acme_ca *ca;
    struct tls_certs *certs;
    struct tls_server *tls;
    struct str thumbprint; /* owned */
    struct list names;
    size_t n_addresses; /* among them, that came by clients */

    struct loop *home; /* NULL: not started */
    struct worker_pool *pool;
    struct timer timer;
    _Atomic(bool) is_stopped;
    _Atomic(uint64_t) token; /* hash of the one that is being checked, 0: none */

    /* An address asked for, on its way from another loop. */
    struct loop_message missing;
    struct ip_addr missing_addr;
    _Atomic(bool) missing_posted;

    /* The attempt under way. */
    struct worker_job job;
    bool is_working;      /* the job is with the pool */
    struct held *current; /* NULL: no attempt */
    struct acme_run *run; /* NULL: a question about renewing */
    enum acme_step step;
    int64_t wait_ms;
    struct acme_window window;
    struct err err;
};

static void schedule(struct acme *a);

/* ---- Names and certificates ---- */

static struct held *add_name(struct acme *a, struct str name)
{
    struct held *h = NEW(struct held);

    h->name = str_copy(name);
    list_push_back(&a->names, &h->link);
    tls_certs_put(a->certs, name, NULL);
    return h;
}

static void held_free(struct held *h)
{
    list_remove(&h->link);
    str_free(&h->name);
    str_free(&h->renewal_id);
    mem_free(h);
}

static int64_t random_below(int64_t ms)
{
    return ms > 0 ? (int64_t)rand_below((uint64_t)ms) : 0;
}

/* A third of its life before its end, thirty days at most; not all the world's at once. */
static int64_t renew_at(const struct cert_times *t)
{
    int64_t before =
        MIN((t->not_after_unix_ms - t->not_before_unix_ms) / 3, (int64_t)RENEW_BEFORE_MAX_MS);

    return t->not_after_unix_ms - before + random_below(MIN(before / 10, (int64_t)HOUR));
}

static void show_end(const struct acme *a)
{
    int64_t first = INT64_MAX;

    LIST_FOR_EACH(h, &a->names, struct held, link) {
        first = MIN(first, h->has_cert ? h->times.not_after_unix_ms : 0);
    }
    metric_set(&ends, first == INT64_MAX ? 0 : first / 1000);
    health_note_certificate_end(first == INT64_MAX ? 0 : first);
}

/* `pem` has been checked. */
static int install(struct acme *a, struct held *h, struct str pem, struct err *err)
{
    const struct tls_server_options options = {
        .cert_pem = pem, .key_pem = pem, .extra_der = a->extra_der};
    struct buf id = BUF(1024);
    struct tls_server *cert = NULL;
    struct err none = {0};

    if (cert_times(pem, &h->times, err) < 0 || tls_server_new(&options, &cert, err) < 0)
        return -(int)err->code;
    tls_certs_put(a->certs, h->name, cert);
    tls_server_unref(cert);
    if (cert_renewal_id(pem, &id, &none) < 0)
        buf_clear(&id);
    str_free(&h->renewal_id);
    h->renewal_id = buf_take(&id);
    h->has_cert = true;
    h->n_failed = 0;
    h->due_unix_ms = renew_at(&h->times);
    h->window_unix_ms = clock_unix_ms() + WINDOW_MIN_MS + random_below(WINDOW_MIN_MS);
    show_end(a);
    return 0;
}

/* From the folder, if it is there. */
static int load(struct acme *a, struct held *h, struct err *err)
{
    struct buf pem = BUF(TEXT_MAX);
    bool found = false;
    int status = acme_load_cert(a->dir, h->name, &pem, &found, err);

    if (status == 0 && found)
        status = install(a, h, buf_str(&pem), err);
    if (pem.ptr)
        mem_wipe(pem.ptr, pem.cap);
    buf_fini(&pem);
    return status;
}

/* ---- Challenges ---- */

static uint64_t token_hash(struct str token)
{
    uint8_t hash[HASH_BYTES];

    sha256(token, hash);
    return str_be64(str_bytes(hash, sizeof(hash)), 0) | 1;
}

/* On a thread of the pool. */
static int present(void *user, enum acme_challenge_kind kind, struct str name, struct str token,
                   const uint8_t sha256[32], struct err *err)
{
    struct acme *a = user;
    struct buf cert = BUF(TEXT_MAX), key = BUF(TEXT_MAX);
    int status = 0;

    if (kind == ACME_HTTP_01) {
        atomic_store(&a->token, token.len > 0 ? token_hash(token) : 0);
        return 0;
    }
    if (token.len > 0)
        status = cert_challenge(name, sha256, &cert, &key, err);
    if (status == 0)
        status = tls_certs_put_challenge(a->certs, name, buf_str(&cert), buf_str(&key), err);
    buf_fini(&cert);
    buf_fini(&key);
    return status;
}

void acme_answer_challenge(struct acme *a, struct http_exchange *x, struct str token)
{
    struct buf text = BUF(1024);

    /* The answer follows from the token; only to one that is being checked. */
    if (!acme_is_token(token) || token_hash(token) != atomic_load(&a->token)) {
        http_respond_text(x, 404, "no such challenge");
        return;
    }
    buf_printf(&text, "%.*s.%.*s", STR_ARG(token), STR_ARG(a->thumbprint));
    http_respond(x, 200, "application/octet-stream", buf_str(&text));
    buf_fini(&text);
}

/* ---- An attempt ---- */

static void begin(struct acme *a, struct held *h)
{
    const struct acme_run_options options = {.ca = a->ca,
                                             .name = h->name,
                                             .replaces = h->has_cert ? h->renewal_id : STR_NONE,
                                             .tls_alpn_01 = a->tls_alpn_01,
                                             .http_01 = a->http_01,
                                             .present = present,
                                             .user = a};

    log_event(LOG_INFO, h->has_cert ? "renewing a certificate" : "asking for a certificate",
              LOG_STR("name", h->name), LOG_STR("authority", a->directory_url));
    metric_add(&orders, 1);
    a->current = h;
    a->run = acme_run_new(&options);
}

/* On a thread of the pool: when would the authority like it to be renewed? */
static void ask_window(struct acme *a)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct acme_reply reply = {0};
    int status = 0;

    a->step = ACME_STEP_FAILED;
    a->wait_ms = -1;
    if (acme_ca_renewal_url(a->ca).len == 0)
        status = acme_ca_open(a->ca, &reply, &a->err);
    struct str base = acme_ca_renewal_url(a->ca);

    if (status == 0 && base.len > 0) {
        struct str url = str_printf("%.*s/%.*s", STR_ARG(base), STR_ARG(a->current->renewal_id));

        status = acme_ca_get(a->ca, url, &reply, &a->err);
        str_free(&url);
        if (status == 0 && acme_read_window(arena, buf_str(&reply.body), &a->window))
            a->step = ACME_STEP_DONE;
        a->wait_ms = reply.retry_after_ms;
    }
    acme_reply_fini(&reply);
}

/* On a thread of the pool. */
static void work(struct worker_job *job)
{
    struct acme *a = CONTAINER_OF(job, struct acme, job);
    struct err err = {0};

    a->err = (struct err){0};
    if (!a->run) {
        ask_window(a);
        return;
    }
    a->step = acme_run_step(a->run, &a->wait_ms, &a->err);
    if (a->step == ACME_STEP_DONE &&
        acme_save_cert(a->dir, a->current->name, acme_run_result(a->run), &err) < 0)
        log_event(LOG_ERROR, "a new certificate could not be kept; a restart will ask for another",
                  LOG_STR("name", a->current->name), LOG_ERR(&err));
}

static void submit(struct acme *a)
{
    a->is_working = true;
    worker_submit(a->pool, &a->job);
}

static void give_up(struct acme *a)
{
    struct held *h = a->current;
    int64_t base = RETRY_MIN_MS << MIN(h->n_failed, 8u);
    int64_t wait = MIN(base, (int64_t)RETRY_MAX_MS);

    wait = MAX(wait * 3 / 4 + random_below(wait / 2), a->wait_ms);
    h->n_failed++;
    h->due_unix_ms = clock_unix_ms() + wait;
    metric_add(&failures, 1);
    log_event(h->has_cert ? LOG_WARN : LOG_ERROR, "no certificate could be had",
              LOG_STR("name", h->name), LOG_ERR(&a->err), LOG_I64("next_try_seconds", wait / 1000),
              LOG_I64("days_left",
                      h->has_cert ? (h->times.not_after_unix_ms - clock_unix_ms()) / DAY : 0));
}

static void succeed(struct acme *a)
{
    struct held *h = a->current;
    struct buf until = BUF(64);

    if (install(a, h, acme_run_result(a->run), &a->err) < 0) {
        give_up(a);
        return;
    }
    clock_put_rfc3339(&until, h->times.not_after_unix_ms);
    log_event(LOG_INFO, "got a certificate", LOG_STR("name", h->name),
              LOG_STR("until", buf_str(&until)));
    buf_fini(&until);
}

static void note_window(struct acme *a)
{
    struct held *h = a->current;
    int64_t again = a->wait_ms < 0 ? WINDOW_MS : a->wait_ms;

    h->window_unix_ms = clock_unix_ms() + MIN(MAX(again, (int64_t)WINDOW_MIN_MS), (int64_t)DAY);
    if (a->step != ACME_STEP_DONE)
        return;
    /* Later than we would ourselves, too, but not so that nothing is left for trying again. */
    int64_t life = h->times.not_after_unix_ms - h->times.not_before_unix_ms;
    int64_t at =
        a->window.start_unix_ms + random_below(a->window.end_unix_ms - a->window.start_unix_ms);

    if (h->n_failed == 0)
        h->due_unix_ms = MIN(at, h->times.not_after_unix_ms - life / 6);
}

static void done(struct worker_job *job)
{
    struct acme *a = CONTAINER_OF(job, struct acme, job);

    a->is_working = false;
    if (job->message.cancelled || atomic_load(&a->is_stopped))
        return;
    if (a->run && a->step == ACME_STEP_AGAIN) {
        timer_start(&a->timer, a->wait_ms);
        return;
    }
    if (!a->run)
        note_window(a);
    else if (a->step == ACME_STEP_DONE)
        succeed(a);
    else
        give_up(a);
    acme_run_free(TAKE(a->run));
    a->current = NULL;
    schedule(a);
}

/* ---- What is due ---- */

static int64_t next_of(const struct held *h)
{
    return h->has_cert && h->renewal_id.len > 0 ? MIN(h->due_unix_ms, h->window_unix_ms)
                                                : h->due_unix_ms;
}

static struct held *first_due(const struct acme *a)
{
    struct held *first = NULL;

    LIST_FOR_EACH(h, &a->names, struct held, link) {
        if (!first || next_of(h) < next_of(first))
            first = h;
    }
    return first;
}

/* Also goes on with the attempt under way, whose wait is over. */
static void on_timer(void *user)
{
    struct acme *a = user;

    if (a->is_working)
        return;
    if (!a->current) {
        struct held *h = first_due(a);
        int64_t now = clock_unix_ms();

        if (!h || next_of(h) > now) {
            schedule(a);
            return;
        }
        if (h->due_unix_ms <= now)
            begin(a, h);
        else
            a->current = h;
    }
    submit(a);
}

static void schedule(struct acme *a)
{
    const struct held *h = first_due(a);

    if (!h || a->current || !a->home || atomic_load(&a->is_stopped))
        return;
    int64_t wait = next_of(h) - clock_unix_ms();

    timer_start(&a->timer, MIN(MAX(wait, (int64_t)0), (int64_t)LOOK_MS));
}

/* ---- Addresses that clients name by connecting to them ---- */

static bool is_public(struct ip_addr addr)
{
    static const char *const not_public[] = {"10.0.0.0/8",    "172.16.0.0/12", "192.168.0.0/16",
                                             "100.64.0.0/10", "0.0.0.0/8",     "fc00::/7"};

    for (size_t i = 0; i < ARRAY_LEN(not_public); i++) {
        struct ip_prefix p;

        if (ip_prefix_parse(str_from(not_public[i]), &p) && ip_prefix_contains(p, addr))
            return false;
    }
    return true;
}

static void add_address(struct acme *a, struct ip_addr addr)
{
    AUTO_FINI(buf_fini) struct buf name = BUF(64);
    struct err err = {0};

    ip_addr_put(&name, addr);
    LIST_FOR_EACH(h, &a->names, struct held, link) {
        if (str_eq(h->name, buf_str(&name)))
            return;
    }
    if (a->n_addresses == ACME_ADDRESSES_MAX)
        return;
    a->n_addresses++;
    struct held *h = add_name(a, buf_str(&name));

    if (load(a, h, &err) < 0)
        log_event(LOG_WARN, "a certificate could not be read", LOG_STR("name", h->name),
                  LOG_ERR(&err));
    show_end(a);
    schedule(a);
}

static void on_missing_here(struct loop_message *msg)
{
    struct acme *a = CONTAINER_OF(msg, struct acme, missing);
    struct ip_addr addr = a->missing_addr;

    atomic_store(&a->missing_posted, false);
    if (!msg->cancelled && !atomic_load(&a->is_stopped))
        add_address(a, addr);
}

/* On any loop. One at a time: who comes meanwhile comes again. */
static void on_missing(void *user, struct ip_addr local)
{
    struct acme *a = user;

    if (!a->own_addresses || !a->home || ip_addr_is_loopback(local) ||
        ip_addr_is_link_local(local) || (a->is_public && !is_public(local)) ||
        atomic_exchange(&a->missing_posted, true))
        return;
    a->missing_addr = local;
    a->missing.run = on_missing_here;
    loop_post(a->home, &a->missing);
}

/* ---- Life ---- */

static int check_options(const struct acme_options *o, struct buf *eab_key, struct err *err)
{
    if (o->dir.len == 0)
        return err_set(err, ERR_INVALID, "no folder for certificates");
    if (o->directory_url.len > 0 && !acme_is_url(o->directory_url, true))
        return err_set(err, ERR_INVALID, "\"%.*s\" is no URL", STR_ARG(o->directory_url));
    for (size_t i = 0; i < o->n_names; i++)
        if (!acme_is_name(o->names[i]))
            return err_set(err, ERR_INVALID,
                           "\"%.*s\" is no name that a certificate can be had for",
                           STR_ARG(o->names[i]));
    if ((o->eab_kid.len > 0) != (o->eab_key.len > 0))
        return err_set(err, ERR_INVALID,
                       "an external account binding is a key's id and the key, both");
    if (o->eab_key.len > 0 && (!base64_decode(o->eab_key, eab_key) || eab_key->len == 0))
        return err_set(err, ERR_INVALID, "the key of the external account binding is no base64");
    return 0;
}

static void set_up(struct acme *a, const struct acme_options *o, struct str eab_key)
{
    struct buf thumbprint = BUF(128);

    list_init(&a->names);
    a->dir = str_copy(o->dir);
    a->is_public = o->directory_url.len == 0;
    a->directory_url = str_copy(a->is_public ? ACME_LETS_ENCRYPT : o->directory_url);
    a->extra_der = str_copy(o->extra_der);
    a->own_addresses = o->own_addresses;
    a->http_01 = o->http_01;
    a->tls_alpn_01 = o->tls_alpn_01;
    a->job = (struct worker_job){.work = work, .done = done};
    a->certs = tls_certs_new(on_missing, a);
    acme_put_thumbprint(&thumbprint, a->key);
    a->thumbprint = buf_take(&thumbprint);
    a->ca = acme_ca_new(&(struct acme_ca_options){.directory_url = a->directory_url,
                                                  .ca_file = o->ca_file,
                                                  .email = o->email,
                                                  .eab_kid = o->eab_kid,
                                                  .eab_key = eab_key,
                                                  .key = a->key,
                                                  .cancelled = &a->is_stopped});
}

static int load_all(struct acme *a, const struct acme_options *o, struct err *err)
{
    struct ip_addr addr;

    for (size_t i = 0; i < o->n_names; i++)
        if (load(a, add_name(a, o->names[i]), err) < 0)
            return err_wrap(err, "reading the certificate of %.*s", STR_ARG(o->names[i]));
    if (o->n_names > 0 && ip_addr_parse(o->names[0], &addr))
        tls_certs_set_default(a->certs, o->names[0]); /* its own may be another one, behind NAT */
    show_end(a);
    return tls_server_new(&(struct tls_server_options){.certs = a->certs}, &a->tls, err);
}

int acme_new(const struct acme_options *o, struct acme **out, struct err *err)
{
    struct buf eab_key = BUF(4096);
    struct p256_key *key = NULL;
    int status = check_options(o, &eab_key, err);

    if (status == 0)
        status = acme_load_account(o->dir, &key, err);
    if (status == 0) {
        struct acme *a = NEW(struct acme);

        a->key = key;
        set_up(a, o, buf_str(&eab_key));
        status = load_all(a, o, err);
        if (status < 0)
            acme_free(a);
        else
            *out = a;
    }
    if (eab_key.ptr)
        mem_wipe(eab_key.ptr, eab_key.cap);
    buf_fini(&eab_key);
    return status;
}

struct tls_server *acme_tls(struct acme *a)
{
    return a->tls;
}

void acme_start(struct acme *a, struct loop *home, struct worker_pool *pool)
{
    timer_init(&a->timer, home, on_timer, a);
    a->pool = pool;
    a->job.loop = home;
    a->home = home;
    schedule(a);
}

void acme_reload(struct acme *a)
{
    LIST_FOR_EACH(h, &a->names, struct held, link) {
        struct err err = {0};

        if (h != a->current && load(a, h, &err) < 0)
            log_event(LOG_ERROR, "a certificate stays as it is", LOG_STR("name", h->name),
                      LOG_ERR(&err));
    }
    schedule(a);
}

void acme_stop(struct acme *a)
{
    if (!a)
        return;
    atomic_store(&a->is_stopped, true);
    if (a->home)
        timer_stop(&a->timer);
}

void acme_free(struct acme *a)
{
    if (!a)
        return;
    acme_run_free(a->run);
    for (struct list_node *n; (n = list_first(&a->names));)
        held_free(CONTAINER_OF(n, struct held, link));
    tls_server_unref(a->tls);
    tls_certs_unref(a->certs);
    acme_ca_free(a->ca);
    p256_key_free(a->key);
    str_free(&a->dir);
    str_free(&a->directory_url);
    str_free(&a->extra_der);
    str_free(&a->thumbprint);
    mem_free(a);
}
