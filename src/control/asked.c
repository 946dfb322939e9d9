/* Requests that wait for the registrar: one block of memory each, alive until the answer came back.
 */

#include "control/asked.h"

#include <stdatomic.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/metric.h"

#define LOGGED_PER_SECOND 20

static struct metric refusals =
    METRIC_COUNTER("hatsize_requests_refused_total", "Requests of clients that were refused.");

static void on_end(void *user, bool aborted)
{
    struct asked *a = user;

    (void)aborted;
    a->x = NULL;
    a->req = NULL;
    if (a->call.hold)
        registrar_cancel(a->registrar, a->call.ticket);
}

struct asked *asked_new(void *owner, struct registrar *registrar, struct http_exchange *x,
                        const struct http_request *req)
{
    struct asked *a = NEW(struct asked);

    a->owner = owner;
    a->registrar = registrar;
    a->x = x;
    a->req = req;
    a->arena = arena_new();
    a->loop = req->loop;
    a->call.loop = req->loop;
    http_on_end(x, on_end, a);
    return a;
}

void asked_free(struct asked *a)
{
    if (!a)
        return;
    if (a->x)
        http_on_end(a->x, NULL, NULL);
    command_result_fini(&a->call.result);
    node_facts_unref(a->facts);
    arena_free(a->arena);
    mem_free(a);
}

void asked_submit(struct asked *a, void (*done)(struct registrar_call *call))
{
    a->call.done = done;
    registrar_submit(a->registrar, &a->call);
}

struct asked *asked_of(struct registrar_call *call)
{
    return CONTAINER_OF(call, struct asked, call);
}

int asked_status(enum err_code code)
{
    switch (code) {
    case ERR_INVALID:
        return 400;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_CONFLICT:
        return 409;
    case ERR_DENIED:
        return 401;
    case ERR_LIMIT:
        return 429;
    case ERR_IO:
        return 503;
    case ERR_INTERNAL:
        break;
    }
    return 500;
}

bool asked_may_log(void)
{
    static _Atomic(int64_t) second;
    static _Atomic(int) logged;
    int64_t now = clock_mono_ms() / 1000;

    if (atomic_exchange(&second, now) != now)
        atomic_store(&logged, 0);
    return atomic_fetch_add(&logged, 1) < LOGGED_PER_SECOND;
}

static void log_refusal(const struct asked *a, const struct err *err)
{
    struct buf peer = BUF(128);

    metric_add(&refusals, 1);
    if (a->req && asked_may_log()) {
        ip_addrport_put(&peer, a->req->peer);
        log_event(LOG_INFO, "refused a client's request", LOG_STR("from", buf_str(&peer)),
                  LOG_STR("path", a->req->path), LOG_ERR(err));
    }
    buf_fini(&peer);
}

void asked_refuse(struct asked *a, const struct err *err)
{
    log_refusal(a, err);
    if (a->x)
        http_respond_text(a->x, asked_status(err->code), err->text);
}
