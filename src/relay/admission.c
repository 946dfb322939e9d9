/*
 * See admission.h. Everything here is the home loop's, but what a job holds while the pool has it,
 * and `stopping`.
 */

#include "relay/admission.h"

#include <stdatomic.h>
#include <string.h>

#include "core/list.h"
#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/metric.h"

static struct metric asked =
    METRIC_COUNTER("hatsize_derp_admission_asked_total", "Questions to the admission server.");
static struct metric unreachable =
    METRIC_COUNTER("hatsize_derp_admission_unreachable_total", "Questions it did not answer.");
static struct metric crowded =
    METRIC_COUNTER("hatsize_derp_admission_crowded_total",
                   "Clients refused because too many waited for admission.");

/* The answer may depend on both. */
struct subject {
    struct node_key key;
    struct ip_addr from;
};

struct ticket {
    struct list_node link;
    void *user;
};

/* A subject that is known, or being asked about. */
struct known {
    struct subject subject;
    bool is_asked; /* the pool has `job` */
    enum verdict verdict;
    int64_t until_ms;
    struct list waiting; /* tickets */
    struct worker_job job;
    struct admission *owner;
};

struct admission {
    struct admission_options o;
    struct map *known; /* by subject */
    size_t n_waiting;
    int64_t rest_until_ms; /* 0: it can be reached, as far as we know */
    _Atomic(bool) stopping;
};

struct question {
    struct loop_message message;
    struct admission *owner;
    struct subject subject;
    void *ticket;
};

static struct str subject_str(const struct subject *s)
{
    return str_bytes(s, sizeof(*s));
}

static bool is_allowed(const struct admission *a, enum verdict v)
{
    return v == VERDICT_ALLOW || (v == VERDICT_UNREACHABLE && a->o.fail_open);
}

/* ---- What is known ---- */

static void known_free(struct known *k)
{
    for (struct list_node *n = list_pop_front(&k->waiting); n; n = list_pop_front(&k->waiting))
        mem_free(CONTAINER_OF(n, struct ticket, link));
    mem_free(k);
}

/* Takes out what is too old, or with `all` whatever nobody is being asked about. */
static void sweep(struct admission *a, bool all)
{
    struct map *kept = map_new();
    int64_t now = loop_now_ms(a->o.home);
    size_t at = 0;
    struct str key;
    void *value = NULL;

    while (map_next(a->known, &at, &key, &value)) {
        struct known *k = value;

        if (k->is_asked || (!all && k->until_ms > now))
            IGNORE(map_put(kept, key, k));
        else
            known_free(k);
    }
    map_free(a->known);
    a->known = kept;
}

static struct known *remember(struct admission *a, const struct subject *subject)
{
    struct known *k = map_find(a->known, subject_str(subject));

    if (k)
        return k;
    if (map_len(a->known) >= ADMISSION_KNOWN_MAX)
        sweep(a, false);
    if (map_len(a->known) >= ADMISSION_KNOWN_MAX)
        sweep(a, true);
    k = NEW(struct known);
    k->subject = *subject;
    k->owner = a;
    list_init(&k->waiting);
    IGNORE(map_put(a->known, subject_str(subject), k));
    return k;
}

/* ---- Asking ---- */

static void on_work(struct worker_job *job)
{
    struct known *k = CONTAINER_OF(job, struct known, job);
    struct admission *a = k->owner;

    k->verdict = VERDICT_UNREACHABLE;
    if (!atomic_load(&a->stopping))
        k->verdict = a->o.ask(a->o.user, &k->subject.key, k->subject.from);
}

static void note_unreachable(struct admission *a)
{
    int64_t now = loop_now_ms(a->o.home);

    metric_add(&unreachable, 1);
    if (now >= a->rest_until_ms)
        log_event(LOG_WARN, "the admission server cannot be reached",
                  LOG_BOOL("clients_admitted", a->o.fail_open));
    a->rest_until_ms = now + ADMISSION_REST_MS;
}

static void on_done(struct worker_job *job)
{
    struct known *k = CONTAINER_OF(job, struct known, job);
    struct admission *a = k->owner;
    int64_t now = loop_now_ms(a->o.home);

    k->is_asked = false;
    if (atomic_load(&a->stopping))
        return;
    k->until_ms = now;
    if (k->verdict == VERDICT_UNREACHABLE) {
        note_unreachable(a);
    } else {
        a->rest_until_ms = 0;
        k->until_ms = now + (k->verdict == VERDICT_ALLOW ? ADMISSION_ALLOW_MS : ADMISSION_DENY_MS);
    }
    bool ok = is_allowed(a, k->verdict);

    for (struct list_node *n = list_pop_front(&k->waiting); n; n = list_pop_front(&k->waiting)) {
        struct ticket *t = CONTAINER_OF(n, struct ticket, link);

        a->n_waiting--;
        a->o.answer(t->user, ok);
        mem_free(t);
    }
}

static void ask(struct admission *a, const struct subject *subject, void *ticket)
{
    int64_t now = loop_now_ms(a->o.home);
    struct known *k = map_find(a->known, subject_str(subject));

    if (k && !k->is_asked && k->until_ms > now) {
        a->o.answer(ticket, is_allowed(a, k->verdict));
        return;
    }
    if (now < a->rest_until_ms) {
        a->o.answer(ticket, a->o.fail_open);
        return;
    }
    if (a->n_waiting >= ADMISSION_WAITING_MAX) {
        metric_add(&crowded, 1);
        a->o.answer(ticket, false);
        return;
    }
    struct ticket *t = NEW(struct ticket);

    k = remember(a, subject);
    t->user = ticket;
    list_push_back(&k->waiting, &t->link);
    a->n_waiting++;
    if (k->is_asked)
        return;
    metric_add(&asked, 1);
    k->is_asked = true;
    k->job = (struct worker_job){.work = on_work, .done = on_done, .loop = a->o.home};
    worker_submit(a->o.pool, &k->job);
}

static void on_question(struct loop_message *msg)
{
    struct question *q = CONTAINER_OF(msg, struct question, message);

    if (!msg->cancelled && !atomic_load(&q->owner->stopping))
        ask(q->owner, &q->subject, q->ticket);
    mem_free(q);
}

void admission_ask(struct admission *a, const struct node_key *key, struct ip_addr from,
                   void *ticket)
{
    struct question *q = NEW(struct question);

    q->message.run = on_question;
    q->owner = a;
    q->subject = (struct subject){.key = *key, .from = from};
    q->ticket = ticket;
    loop_post(a->o.home, &q->message);
}

/* ---- Life ---- */

struct admission *admission_new(const struct admission_options *o)
{
    struct admission *a = NEW(struct admission);

    a->o = *o;
    a->known = map_new();
    return a;
}

void admission_stop(struct admission *a)
{
    atomic_store(&a->stopping, true);
}

void admission_free(struct admission *a)
{
    size_t at = 0;
    struct str key;
    void *value = NULL;

    if (!a)
        return;
    while (map_next(a->known, &at, &key, &value))
        known_free(value);
    map_free(a->known);
    mem_free(a);
}
