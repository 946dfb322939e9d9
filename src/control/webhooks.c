/*
 * The registrar's part in webhooks: events join the batch of their change, go out when that is
 * committed, and are deleted when their endpoint took them.
 *
 * The threads that send are there only since the first webhook is.
 */

#include "control/registrar_internal.h"
#include "core/log.h"
#include "hooks/events.h"
#include "hooks/hooks.h"

/* ---- Taken ---- */

struct taken {
    struct loop_message message;
    struct registrar *registrar;
    uint64_t *ids;
    size_t n;
};

static void taken_run(struct loop_message *msg)
{
    struct taken *t = CONTAINER_OF(msg, struct taken, message);
    struct registrar *r = t->registrar;

    for (size_t i = 0; i < t->n; i++)
        store_batch_remove_delivery(r->batch, t->ids[i]);
    if (!msg->cancelled && !r->batch_dirty) {
        r->batch_dirty = true;
        if (!r->is_stalled)
            timer_start(&r->behind, WRITE_BEHIND_MS);
    }
    mem_free(t->ids);
    mem_free(t);
}

static void on_done(void *user, const uint64_t *ids, size_t n)
{
    struct registrar *r = user;
    struct taken *t = NEW(struct taken);

    t->message.run = taken_run;
    t->registrar = r;
    t->ids = mem_dup(ids, n * sizeof(*ids));
    t->n = n;
    loop_post(r->loop, &t->message);
}

/* ---- Threads ---- */

static struct hooks *hooks_of(struct registrar *r)
{
    struct hooks_options options = {
        .allow_local = r->options.webhooks_allow_local, .on_done = on_done, .user = r};
    struct err err = {0};

    if (!r->hooks && !r->hooks_failed && hooks_new(&options, &r->hooks, &err) < 0) {
        r->hooks_failed = true;
        log_event(LOG_ERROR, "webhooks cannot be sent", LOG_ERR(&err));
    }
    return r->hooks;
}

static void set_endpoints(struct registrar *r, tailnet_id id, const struct tailnet_view *view)
{
    size_t at = 0;

    if (r->hooks || (view && view_webhook_next(view, &at)))
        if (hooks_of(r))
            hooks_set_endpoints(r->hooks, id, view);
}

void registrar_hooks_set_all(struct registrar *r)
{
    size_t n = 0;
    tailnet_id *ids = domain_all_tailnets(r->domain, &n);

    for (size_t i = 0; i < n; i++) {
        AUTO(view_unref) const struct tailnet_view *view = domain_view(r->domain, ids[i]);

        set_endpoints(r, ids[i], view);
    }
    mem_free(ids);
}

/* ---- Events ---- */

void registrar_hooks_begin(struct registrar *r, const struct command *c)
{
    hook_events_begin(r->hook_events, r->domain, c);
}

static void keep(void *user, const struct delivery *d)
{
    struct registrar *r = user;
    struct round *round = r->open;

    store_batch_add_delivery(r->batch, d);
    if (round->n_deliveries == round->cap_deliveries) {
        round->cap_deliveries = round->cap_deliveries ? round->cap_deliveries * 2 : 4;
        round->deliveries =
            mem_realloc_array(round->deliveries, round->cap_deliveries, sizeof(*round->deliveries));
    }
    round->deliveries[round->n_deliveries++] = delivery_ref(d);
    /* It is sent when it can no longer be lost. */
    round->durable = true;
}

void registrar_hooks_end(struct registrar *r, const struct command *c,
                         const struct command_result *result, const struct change_list *changes)
{
    hook_events_end(r->hook_events, r->domain, c, result, changes ? changes->items : NULL,
                    changes ? changes->len : 0, keep, r);
}

void registrar_hooks_tell(struct registrar *r, struct round *round)
{
    for (struct round_tailnet *t = round->tailnets; t; t = t->next)
        for (size_t i = 0; i < t->changes.len; i++) {
            enum change_kind kind = t->changes.items[i].kind;
            bool is_gone = kind == CHANGE_TAILNET_REMOVED;

            if (is_gone || kind == CHANGE_WEBHOOK || kind == CHANGE_WEBHOOK_REMOVED)
                set_endpoints(r, t->id, is_gone ? NULL : t->view);
        }
    for (size_t i = 0; r->hooks && i < round->n_deliveries; i++)
        hooks_send(r->hooks, round->deliveries[i]);
}

/* ---- Life ---- */

static void send_again(void *user, const struct delivery *d)
{
    struct registrar *r = user;

    if (hooks_of(r))
        hooks_send(r->hooks, d);
}

void registrar_hooks_start(struct registrar *r)
{
    struct err err = {0};

    registrar_hooks_set_all(r);
    if (r->store && store_deliveries(r->store, send_again, r, &err) < 0)
        log_event(LOG_ERROR, "what was on its way to webhooks cannot be read", LOG_ERR(&err));
    /* The policy file may have been another one than at the last time. */
    for (size_t i = 0; r->hooks && i < r->open->n_deliveries; i++)
        hooks_send(r->hooks, r->open->deliveries[i]);
    round_forget_deliveries(r->open);
}
