/*
 * /bootstrap-dns: addresses for clients whose own DNS is broken.
 *
 *   timer --> pool: looks all names up --> a new table, counted --> a copy of the pointer per loop
 *
 * A table is immutable; each loop has its own reference and replaces it by a message, so answering
 * takes no lock. A name that cannot be looked up keeps what it had.
 *
 * Source: tailscale cmd/derper/bootstrap_dns.go.
 */

#include <stdatomic.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rand.h"
#include "relay/relay_internal.h"
#include "relay/resolve.h"
#include "relay/rollout.h"
#include "json/writer.h"

#define REFRESH_MS 600000
#define NAMES_MAX 64
#define ANSWER_MAX ((size_t)1 << 20)

static struct metric requests =
    METRIC_COUNTER("bootstrap_dns_requests", "Requests for /bootstrap-dns.");
static struct metric published_hits =
    METRIC_COUNTER("bootstrap_dns_published_hits", "Questions for a published name.");
static struct metric unpublished_hits =
    METRIC_COUNTER("bootstrap_dns_unpublished_hits", "Questions for an unpublished name.");
static struct metric percent_misses =
    METRIC_COUNTER("bootstrap_dns_unpublished_percent_misses",
                   "Of them, those from clients that are not in the name's rollout yet.");
static struct metric unpublished_misses =
    METRIC_COUNTER("bootstrap_dns_unpublished_misses", "Questions for any other name.");

struct entry {
    struct str name;  /* owned */
    struct str json;  /* owned: {"name":["addr",…]}; empty: never found */
    struct str addrs; /* owned: the array alone */
    bool is_published;
    unsigned percent; /* of the clients are told, if it is unpublished */
};

struct table {
    struct ref ref;
    size_t n;
    struct entry entries[NAMES_MAX];
    struct str all; /* owned: the published ones */
};

struct bootstrap {
    struct loop *const *loops;
    size_t n_loops;
    struct worker_pool *pool;
    struct table **tables; /* one per loop, its own; NULL before the first look-up */
    struct table *newest;  /* of the first loop and of the job */
    struct worker_job job;
    struct timer timer;
    struct str_list published, unpublished;
    _Atomic(bool) stopping;
};

/* ---- Tables ---- */

static void table_unref(struct table *t)
{
    if (!t || !ref_drop(&t->ref))
        return;
    for (size_t i = 0; i < t->n; i++) {
        str_free(&t->entries[i].name);
        str_free(&t->entries[i].json);
        str_free(&t->entries[i].addrs);
    }
    str_free(&t->all);
    mem_free(t);
}

static struct str addrs_json(struct ip_addr *addrs, size_t n)
{
    struct buf out = BUF(ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&out);

    /* Clients try them in order: not always the same one first. */
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)rand_below(i);
        struct ip_addr swap = addrs[i - 1];

        addrs[i - 1] = addrs[j];
        addrs[j] = swap;
    }
    json_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_begin_plain(&w);
        ip_addr_put(&out, addrs[i]);
        json_end_plain(&w);
    }
    json_end_array(&w);
    return buf_take(&out);
}

static void look_up_rollout(struct entry *e, struct str txt_name, const struct entry *before)
{
    struct err err = {0};

    e->percent = 100;
    if (txt_name.len == 0 || rollout_look_up(txt_name, &e->percent, &err) == 0)
        return;
    log_event(LOG_WARN, "bootstrap DNS", LOG_ERR(&err));
    e->percent = before ? before->percent : 0;
}

static void look_up(struct entry *e, const struct entry *before)
{
    struct ip_addr addrs[RESOLVE_MAX];
    struct err err = {0};
    size_t n = 0;

    if (resolve_name(e->name, addrs, &n, &err) == 0) {
        e->addrs = addrs_json(addrs, n);
        return;
    }
    log_event(LOG_WARN, "bootstrap DNS", LOG_ERR(&err));
    if (before)
        e->addrs = str_copy(before->addrs);
}

static void write_json(struct table *t)
{
    struct buf all = BUF(ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&all);

    json_begin_object(&w);
    for (size_t i = 0; i < t->n; i++) {
        struct entry *e = &t->entries[i];
        struct buf one = BUF(ANSWER_MAX);
        struct json_writer v = JSON_WRITER(&one);

        if (e->addrs.len == 0)
            continue;
        json_begin_object(&v);
        json_field_raw(&v, e->name, e->addrs);
        json_end_object(&v);
        e->json = buf_take(&one);
        if (e->is_published)
            json_field_raw(&w, e->name, e->addrs);
    }
    json_end_object(&w);
    t->all = buf_take(&all);
}

static void add(struct table *t, const struct str_list *names, bool is_published,
                const struct table *before)
{
    for (size_t i = 0; i < names->len && t->n < NAMES_MAX; i++) {
        struct entry *e = &t->entries[t->n];
        const struct entry *was = before ? &before->entries[t->n] : NULL;
        struct str name, txt_name;

        str_split(names->items[i], '/', &name, &txt_name);
        e->name = str_copy(name);
        e->is_published = is_published;
        look_up(e, was);
        look_up_rollout(e, txt_name, was);
        t->n++;
    }
}

/* ---- Looking up ---- */

static void on_work(struct worker_job *job)
{
    struct bootstrap *b = CONTAINER_OF(job, struct bootstrap, job);
    struct table *before = b->newest, *t;

    if (atomic_load(&b->stopping))
        return;
    t = NEW(struct table);
    ref_init(&t->ref);
    add(t, &b->published, true, before);
    add(t, &b->unpublished, false, before);
    write_json(t);
    b->newest = t;
    table_unref(before);
}

struct handing {
    struct loop_message message;
    struct table **to;
    struct table *table;
};

static void on_handing(struct loop_message *msg)
{
    struct handing *h = CONTAINER_OF(msg, struct handing, message);

    table_unref(*h->to);
    *h->to = h->table;
    mem_free(h);
}

static void on_done(struct worker_job *job)
{
    struct bootstrap *b = CONTAINER_OF(job, struct bootstrap, job);

    if (atomic_load(&b->stopping) || !b->newest)
        return;
    for (size_t i = 0; i < b->n_loops; i++) {
        struct handing *h = NEW(struct handing);

        ref_take(&b->newest->ref);
        h->message.run = on_handing;
        h->to = &b->tables[i];
        h->table = b->newest;
        loop_post(b->loops[i], &h->message);
    }
    timer_start(&b->timer, REFRESH_MS);
}

static void begin(void *user)
{
    struct bootstrap *b = user;

    b->job = (struct worker_job){.work = on_work, .done = on_done, .loop = b->loops[0]};
    worker_submit(b->pool, &b->job);
}

/* ---- Answering ---- */

static const struct entry *find(const struct table *t, struct str name)
{
    for (size_t i = 0; t && i < t->n; i++)
        if (str_eq_nocase(t->entries[i].name, name))
            return &t->entries[i];
    return NULL;
}

void bootstrap_answer(struct bootstrap *b, struct http_exchange *x, const struct http_request *req)
{
    const struct table *t = NULL;
    struct str name = STR_NONE;

    for (size_t i = 0; i < b->n_loops; i++)
        if (b->loops[i] == req->loop)
            t = b->tables[i];
    struct str body = t ? t->all : STR("{}");

    metric_add(&requests, 1);
    if (http_query_get(x, STR("q"), &name) && name.len > 0) {
        const struct entry *e = find(t, name);

        metric_add(!e                ? &unpublished_misses
                   : e->is_published ? &published_hits
                                     : &unpublished_hits,
                   1);
        if (e && !e->is_published && !rollout_has(e->percent, req->peer.addr))
            metric_add(&percent_misses, 1);
        else if (e && !e->is_published && e->json.len > 0)
            body = e->json;
    }
    /* Clients ask many relays, each once: a connection kept open would be for nothing. */
    http_add_header(x, STR("connection"), STR("close"));
    http_respond(x, 200, "application/json", body);
}

/* ---- Life ---- */

static void add_names(struct str_list *to, struct str names)
{
    struct str name;

    while (str_next(&names, ',', &name))
        if (str_trim(name).len > 0)
            str_list_add(to, str_trim(name));
}

struct bootstrap *bootstrap_new(struct loop *const *loops, size_t n_loops, struct worker_pool *pool,
                                struct str published, struct str unpublished)
{
    struct bootstrap *b = NEW(struct bootstrap);

    b->loops = loops;
    b->n_loops = n_loops;
    b->pool = pool;
    b->tables = mem_alloc_array(n_loops, sizeof(struct table *));
    add_names(&b->published, published);
    add_names(&b->unpublished, unpublished);
    timer_init(&b->timer, loops[0], begin, b);
    if (b->published.len + b->unpublished.len > 0)
        begin(b);
    return b;
}

void bootstrap_stop(struct bootstrap *b)
{
    atomic_store(&b->stopping, true);
}

void bootstrap_free(struct bootstrap *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n_loops; i++)
        table_unref(b->tables[i]);
    table_unref(b->newest);
    mem_free(b->tables);
    str_list_free(&b->published);
    str_list_free(&b->unpublished);
    mem_free(b);
}
