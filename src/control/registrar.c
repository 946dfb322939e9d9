/*
 * The registrar's thread: rounds, waiting follow-ups, ticks. The storage thread's half is in
 * committer.c. See registrar.h for the picture and the rules.
 *
 * A round collects what was applied since the last one was closed: the calls to answer, and per
 * tailnet the changes and the view after them. Its store operations go to r->batch, which
 * outlives a round that needs no commit: that is the write-behind.
 */

#include "control/registrar.h"

#include "control/headscale_metrics.h"
#include "control/registrar_internal.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metric.h"
#include "hooks/events.h"
#include "hooks/hooks.h"
#include "store/audit_note.h"

static struct metric commands = METRIC_COUNTER("hatsize_commands_total", "Commands applied.");
static struct metric refused =
    METRIC_COUNTER("hatsize_commands_refused_total", "Commands the domain refused.");
static struct metric rounds_durable =
    METRIC_COUNTER("hatsize_commits_total", "Rounds that waited for a commit.");
static struct metric audited =
    METRIC_COUNTER("hatsize_audit_entries_total", "Entries written to the audit log.");
static struct metric failures =
    METRIC_COUNTER("hatsize_commit_failures_total", "Commits that failed.");

static void round_close(struct registrar *r);
static void schedule_close(struct registrar *r);
static void schedule_tick(struct registrar *r);

/* ---- Answers ---- */

static void answer_run(struct loop_message *msg)
{
    struct registrar_call *call = CONTAINER_OF(msg, struct registrar_call, message);

    call->done(call);
}

static void answer(struct registrar_call *call)
{
    call->message.run = answer_run;
    loop_post(call->loop, &call->message);
}

static void answer_storage_failed(struct registrar_call *call)
{
    command_result_fini(&call->result);
    call->result = (struct command_result){0};
    call->status = err_set(&call->err, ERR_IO, "the database cannot be written; try again later");
    answer(call);
}

static struct held_list *held_find(struct registrar *r, struct str auth_id)
{
    return map_find(r->held, auth_id);
}

static void hold(struct registrar *r, struct registrar_call *call)
{
    struct str id = str_from(call->result.auth_id);
    struct held_list *held = held_find(r, id);

    if (!held) {
        held = NEW(struct held_list);
        list_init(&held->calls);
        (void)map_put(r->held, id, held);
    }
    /* The client only ever follows one of its polls; the oldest is told the same URL again. */
    struct list_node *oldest = ++held->len > HELD_PER_PENDING ? list_pop_front(&held->calls) : NULL;
    if (oldest) {
        held->len--;
        answer(CONTAINER_OF(oldest, struct registrar_call, held_link));
    }
    list_push_back(&held->calls, &call->held_link);
}

/* A pending registration was decided and that is published: those who waited ask again. */
static void release_held(struct registrar *r, struct str auth_id)
{
    struct held_list *held = map_remove(r->held, auth_id);

    if (!held)
        return;
    for (struct list_node *n = list_pop_front(&held->calls); n; n = list_pop_front(&held->calls)) {
        struct registrar_call *call = CONTAINER_OF(n, struct registrar_call, held_link);

        command_result_fini(&call->result);
        call->result = (struct command_result){0};
        call->hold = false;
        registrar_apply_call(r, call);
    }
    mem_free(held);
}

/* The pending registrations are gone with the old domain: who waited for one gets a new URL. */
static void release_all_held(struct registrar *r)
{
    struct map *held = r->held;
    struct str id;
    void *value;

    r->held = map_new();
    for (size_t at = 0; map_next(held, &at, &id, &value);) {
        (void)map_put(r->held, id, value);
        release_held(r, id);
    }
    map_free(held);
}

static void tell(struct registrar *r, struct round *round)
{
    struct change_list decided = {0};
    uint64_t began_ns = clock_mono_ns();
    size_t n_calls = 0;

    if (round->api_keys)
        registrar_publish_api_keys(r, round->api_keys, &round->api_key_changes, false);
    registrar_hooks_tell(r, round);
    for (struct round_tailnet *t = round->tailnets; t; t = t->next) {
        for (size_t i = 0; i < t->changes.len; i++)
            if (t->changes.items[i].kind == CHANGE_PENDING)
                change_list_add(&decided, t->changes.items[i]);
        registrar_tell_tailnet(r, t);
    }
    registrar_treaty_settle(r);
    while (round->calls) {
        struct registrar_call *call = round->calls;

        round->calls = call->next;
        n_calls++;
        if (call->hold && call->status == 0 && call->result.outcome == REGISTER_PENDING &&
            call->command.reg->followup.len > 0 &&
            str_eq(call->command.reg->followup, str_from(call->result.auth_id)))
            hold(r, call);
        else
            answer(call);
    }
    for (size_t i = 0; i < decided.len; i++)
        release_held(r, str_from(decided.items[i].text));
    change_list_fini(&decided);
    round_free(round);
    headscale_note_round(n_calls, clock_mono_ns() - began_ns);
    registrar_next_turn(r);
}

/* ---- Commits ---- */

static void submit_batch(struct registrar *r, struct round *round)
{
    struct domain_counters next = domain_counters(r->domain);

    store_batch_set_counters(r->batch, &next);
    r->in_flight = round;
    r->is_committing = true;
    r->batch_dirty = false;
    timer_stop(&r->behind);
    committer_submit(r, TAKE(r->batch));
    r->batch = store_batch_new();
}

/* What everybody was told while the store does not answer; what it has when it does. */
static int domain_again(struct registrar *r, struct domain *fresh, struct err *err)
{
    if (r->is_stalled && !store_is_stale(r->store))
        return told_domain(r, fresh, err);
    return store_load(r->store, fresh, err);
}

/* The domain is ahead of a store that refused: it is taken back, with what was built on top. */
static void recover(struct registrar *r)
{
    struct err err = {0};
    struct domain *fresh = domain_new();

    domain_set_revoked_retention(fresh, domain_revoked_retention(r->domain));
    domain_set_pending_limits(fresh, domain_pending_limits(r->domain));
    domain_set_new_quotas(fresh, domain_new_quotas(r->domain));

    while (r->open->calls) {
        struct registrar_call *call = r->open->calls;

        r->open->calls = call->next;
        answer_storage_failed(call);
    }
    round_free(r->open);
    r->open = round_new();
    store_batch_free(r->batch);
    r->batch = store_batch_new();
    r->batch_dirty = false;
    if (domain_again(r, fresh, &err) < 0) {
        log_event(LOG_ERROR, "cannot read the database; refusing changes until it answers",
                  LOG_ERR(&err));
        domain_free(fresh);
        r->is_broken = true;
        timer_start(&r->retry, RETRY_MS);
        return;
    }
    domain_load_done(fresh, clock_unix_ms());
    domain_free(r->domain);
    r->domain = fresh;
    registrar_adopt_policies(r);
    r->is_broken = false;
    registrar_publish_all(r, true);
    registrar_treaty_settle(r);
    registrar_hooks_set_all(r);
    if (r->is_stalled)
        told_write_again(r);
    release_all_held(r);
    schedule_tick(r);
}

/* ---- Stalled ---- */

/* Whether the machine is in by the key it shows: whatever else it shows then changes nothing. */
static bool is_in(const struct registrar *r, const struct command *c)
{
    const struct node *n = domain_node_by_key(r->domain, &c->reg->key);

    return n && machine_key_eq(&n->machine, &c->reg->machine) && !n->expired &&
           (n->expiry_ms == 0 || n->expiry_ms > c->now_ms);
}

/* Whether it may be applied although nothing can be made durable. */
static bool needs_no_disk(const struct registrar *r, const struct command *c)
{
    static const enum command_type free_of_it[] = {
        COMMAND_NODE_UPDATE, COMMAND_STREAM_OPEN,     COMMAND_STREAM_CLOSE, COMMAND_API_KEY_SEEN,
        COMMAND_TICK,        COMMAND_REGISTER_REJECT, COMMAND_NODE_PROBED};

    for (size_t i = 0; i < ARRAY_LEN(free_of_it); i++)
        if (c->type == free_of_it[i])
            return true;
    /* A known machine comes back, or an unknown one waits for somebody; no log-out. */
    return c->type == COMMAND_REGISTER && (c->reg->auth_key.len == 0 || is_in(r, c)) &&
           !(c->reg->has_expiry && c->reg->expiry_ms < c->now_ms);
}

static void stall(struct registrar *r, const struct err *err)
{
    if (!r->is_stalled)
        log_event(LOG_ERROR,
                  "the database cannot be written: changes are refused until it can; machines keep "
                  "what they have",
                  LOG_ERR(err));
    else if (!str_eq(str_from(r->trouble.text), str_from(err->text)))
        log_event(LOG_ERROR, "the database still cannot be written", LOG_ERR(err));
    r->is_stalled = true;
    r->trouble = *err;
    timer_stop(&r->behind);
    timer_start(&r->retry, RETRY_MS);
}

static void resume(struct registrar *r)
{
    if (!r->is_stalled)
        return;
    r->is_stalled = false;
    r->trouble = (struct err){0};
    timer_stop(&r->retry);
    log_event(LOG_INFO, "the database can be written again");
    if (store_batch_len(r->batch) > 0) {
        r->batch_dirty = true;
        timer_start(&r->behind, WRITE_BEHIND_MS);
    }
}

void registrar_committed(struct registrar *r, struct store_batch *batch, int status,
                         const struct err *err)
{
    struct round *round = TAKE(r->in_flight);

    r->is_committing = false;
    atomic_store(&r->healthy, status == 0);
    if (status == 0) {
        store_batch_free(batch);
        resume(r);
        if (round)
            tell(r, round);
        schedule_close(r);
        return;
    }
    metric_add(&failures, 1);
    /* While stalled, what a round holds is not waited for. */
    bool is_taken_back = round || store_is_stale(r->store) || (r->open->durable && !r->is_stalled);
    if (err->code == ERR_IO) {
        stall(r, err);
    } else {
        /* It answers and will not have this: trying again would not help. */
        log_event(LOG_ERROR, "the database refused a commit; its changes are taken back",
                  LOG_ERR(err));
        is_taken_back = true;
        r->is_stalled = false;
        r->trouble = (struct err){0};
        timer_stop(&r->retry);
    }
    if (!is_taken_back) {
        store_batch_put_under(r->batch, batch);
        store_batch_free(batch);
        schedule_close(r);
        return;
    }
    store_batch_free(batch);
    if (round) {
        while (round->calls) {
            struct registrar_call *call = round->calls;

            round->calls = call->next;
            answer_storage_failed(call);
        }
        round_free(round);
    }
    recover(r);
}

static void on_retry(void *user)
{
    struct registrar *r = user;

    if (r->is_broken)
        recover(r);
    else if (r->is_stalled && !r->is_committing)
        submit_batch(r, NULL);
}

/* Written-behind changes have waited long enough. */
static void on_behind(void *user)
{
    struct registrar *r = user;

    if (r->batch_dirty && !r->is_committing && !r->is_broken && !r->is_stalled)
        submit_batch(r, NULL);
}

static void schedule_tick(struct registrar *r)
{
    int64_t due = domain_next_tick_ms(r->domain);

    if (due == INT64_MAX) {
        timer_stop(&r->tick);
        return;
    }
    int64_t in = due - clock_unix_ms();
    timer_start(&r->tick, in < 1 ? 1 : MIN(in, (int64_t)60000));
}

static void on_close_message(struct loop_message *msg)
{
    struct registrar *r = CONTAINER_OF(msg, struct registrar, close_message);

    r->close_posted = false;
    if (!msg->cancelled)
        round_close(r);
}

/* A round waits for the commit under way, but not for one that is only a try. */
static bool must_wait(const struct registrar *r)
{
    return r->is_committing && (r->in_flight || !r->is_stalled);
}

static void schedule_close(struct registrar *r)
{
    if (r->close_posted || must_wait(r) || (!r->open->calls && !r->open->tailnets))
        return;
    r->close_posted = true;
    loop_post(r->loop, &r->close_message);
}

static void round_close(struct registrar *r)
{
    if (must_wait(r) || (!r->open->calls && !r->open->tailnets))
        return;
    struct round *round = r->open;

    r->open = round_new();
    if (round->durable && !r->is_stalled) {
        metric_add(&rounds_durable, 1);
        submit_batch(r, round);
    } else {
        if (store_batch_len(r->batch) > 0 && !r->batch_dirty) {
            r->batch_dirty = true;
            if (!r->is_stalled)
                timer_start(&r->behind, WRITE_BEHIND_MS);
        }
        tell(r, round);
    }
    schedule_tick(r);
}

/* ---- Calls ---- */

void registrar_audit(struct registrar *r, struct audit_note *note, const struct command *c,
                     const struct command_result *result)
{
    const struct audit_entry *entry = audit_note_end(note, r->domain, c, result);

    if (result)
        metric_add(&audited, (int64_t)audit_note_ended(r->batch, r->domain, c, result));
    if (!entry)
        return;
    metric_add(&audited, 1);
    store_batch_add_audit(r->batch, entry);
    if (note->other)
        store_batch_add_audit(r->batch, note->other);
}

void registrar_apply_call(struct registrar *r, struct registrar_call *call)
{
    struct change_list changes = {0};

    if (call->command.now_ms == 0)
        call->command.now_ms = clock_unix_ms();
    if (r->is_broken || (r->is_stalled && !needs_no_disk(r, &call->command))) {
        answer_storage_failed(call);
        return;
    }
    metric_add(&commands, 1);
    uint64_t began_ns = clock_mono_ns();
    struct audit_note note;
    audit_note_begin(&note, r->domain, &call->command);
    registrar_hooks_begin(r, &call->command);
    if (call->command.type == COMMAND_POLICY_SET)
        call->status = registrar_apply_policy(r, call);
    else
        call->status = domain_apply(r->domain, &call->command, &changes, &call->result, &call->err);
    registrar_audit(r, &note, &call->command, call->status == 0 ? &call->result : NULL);
    registrar_hooks_end(r, &call->command, call->status == 0 ? &call->result : NULL, &changes);
    headscale_note_command(call->command.type, clock_mono_ns() - began_ns);
    if (call->status < 0)
        metric_add(&refused, 1);
    round_add_call(r->open, call);
    if (changes.len > 0)
        round_add_changes(r, &changes);
    change_list_fini(&changes);
    schedule_close(r);
}

void registrar_cancel_call(struct registrar_call *call)
{
    call->status = err_set(&call->err, ERR_IO, "the server is shutting down");
    answer(call);
}

static void call_run(struct loop_message *msg)
{
    struct registrar_call *call = CONTAINER_OF(msg, struct registrar_call, message);

    if (msg->cancelled) {
        registrar_cancel_call(call);
        return;
    }
    if (call->command.type == COMMAND_POLICY_SET)
        registrar_queue_policy(call->registrar, call);
    else
        registrar_apply_call(call->registrar, call);
}

void registrar_submit(struct registrar *r, struct registrar_call *call)
{
    if (!r) {
        registrar_cancel_call(call);
        return;
    }
    ASSERT(call->command.origin != ORIGIN_NONE);
    call->registrar = r;
    call->ticket = atomic_fetch_add(&r->next_ticket, 1);
    call->message = (struct loop_message){.run = call_run};
    list_node_init(&call->held_link);
    loop_post(r->loop, &call->message);
}

static void on_tick(void *user)
{
    struct registrar *r = user;
    struct change_list changes = {0};
    struct command_result result = {0};
    struct err err = {0};
    struct command c = {.type = COMMAND_TICK, .origin = ORIGIN_SERVER, .now_ms = clock_unix_ms()};

    if (r->is_broken)
        return;
    registrar_hooks_begin(r, &c);
    if (domain_apply(r->domain, &c, &changes, &result, &err) < 0)
        log_event(LOG_ERROR, "a tick was refused", LOG_ERR(&err));
    metric_add(&audited, (int64_t)audit_note_ended(r->batch, r->domain, &c, &result));
    registrar_hooks_end(r, &c, &result, &changes);
    command_result_fini(&result);
    if (changes.len > 0)
        round_add_changes(r, &changes);
    change_list_fini(&changes);
    schedule_close(r);
    schedule_tick(r);
}

/* ---- Cancelling held calls ---- */

struct cancel {
    struct loop_message message;
    struct registrar *registrar;
    uint64_t ticket;
};

static bool cancel_in(struct held_list *held, uint64_t ticket)
{
    LIST_FOR_EACH(call, &held->calls, struct registrar_call, held_link) {
        if (call->ticket != ticket)
            continue;
        list_remove(&call->held_link);
        held->len--;
        call->status = err_set(&call->err, ERR_NOT_FOUND, "cancelled");
        answer(call);
        return true;
    }
    return false;
}

static void cancel_run(struct loop_message *msg)
{
    struct cancel *cancel = CONTAINER_OF(msg, struct cancel, message);
    struct str id;
    void *held;

    for (size_t at = 0; !msg->cancelled && map_next(cancel->registrar->held, &at, &id, &held);)
        if (cancel_in(held, cancel->ticket))
            break;
    mem_free(cancel);
}

void registrar_cancel(struct registrar *r, uint64_t ticket)
{
    if (!r)
        return;
    struct cancel *cancel = NEW(struct cancel);

    cancel->registrar = r;
    cancel->ticket = ticket;
    cancel->message.run = cancel_run;
    loop_post(r->loop, &cancel->message);
}

/* ---- Queries ---- */

static void query_done(struct loop_message *msg)
{
    struct registrar_query *q = CONTAINER_OF(msg, struct registrar_query, message);

    q->done(q);
}

static void query_run(struct loop_message *msg)
{
    struct registrar_query *q = CONTAINER_OF(msg, struct registrar_query, message);

    if (!msg->cancelled)
        q->run(q, q->registrar->domain);
    q->message = (struct loop_message){.run = query_done};
    loop_post(q->loop, &q->message);
}

void registrar_ask(struct registrar *r, struct registrar_query *q)
{
    if (!r) {
        q->message = (struct loop_message){.run = query_done};
        loop_post(q->loop, &q->message);
        return;
    }
    q->registrar = r;
    q->message = (struct loop_message){.run = query_run};
    loop_post(r->loop, &q->message);
}

bool registrar_is_healthy(const struct registrar *r)
{
    return atomic_load(&r->healthy);
}

const char *registrar_storage_trouble(const struct registrar *r)
{
    return r->trouble.text;
}

/* ---- Life ---- */

int registrar_new(const struct registrar_options *options, struct registrar **out, struct err *err)
{
    struct registrar *r = NEW(struct registrar);

    r->options = *options;
    r->loops = mem_dup(options->loops, options->n_loops * sizeof(*options->loops));
    r->domain = options->domain;
    r->store = options->store;
    r->open = round_new();
    r->batch = store_batch_new();
    r->held = map_new();
    r->policies = policies_new();
    r->policy_turns = policy_turns_new();
    r->hook_events = hook_events_new(options->server_url, options->has_login);
    r->judge_ms = JUDGE_MS;
    r->told_views = map_new();
    r->treaties = map_new();
    atomic_store(&r->next_ticket, 1);
    atomic_store(&r->healthy, true);
    atomic_store(&r->policies_are_well, true);
    if (loop_new("registrar", &r->loop, err) < 0 || committer_start(r, err) < 0) {
        registrar_free(r);
        return -(int)err->code;
    }
    timer_init(&r->tick, r->loop, on_tick, r);
    timer_init(&r->behind, r->loop, on_behind, r);
    timer_init(&r->retry, r->loop, on_retry, r);
    timer_init(&r->judge, r->loop, registrar_on_judge, r);
    timer_init(&r->turn, r->loop, registrar_on_turn_due, r);
    r->close_message.run = on_close_message;
    registrar_adopt_policies(r);
    if (options->policy_file)
        registrar_start_with_file(r, options->policy_file);
    if (store_batch_len(r->batch) > 0) {
        r->batch_dirty = true;
        timer_start(&r->behind, 0);
    }
    registrar_publish_all(r, false);
    registrar_treaty_settle(r);
    registrar_hooks_start(r);
    schedule_tick(r);
    if (loop_thread_start(r->loop, err) < 0) {
        registrar_free(r);
        return -(int)err->code;
    }
    r->is_running = true;
    *out = r;
    return 0;
}

static void free_held(struct registrar *r)
{
    struct str id;
    void *value;

    for (size_t at = 0; map_next(r->held, &at, &id, &value);) {
        struct held_list *held = value;

        LIST_FOR_EACH(call, &held->calls, struct registrar_call, held_link) {
            list_remove(&call->held_link);
            registrar_cancel_call(call);
        }
        mem_free(held);
    }
    map_free(r->held);
}

void registrar_free(struct registrar *r)
{
    if (!r)
        return;
    /* First: it reports to the loop. */
    hooks_stop(r->hooks);
    if (r->is_running) {
        loop_stop(r->loop);
        loop_thread_join(r->loop);
    }
    committer_stop(r);
    loop_free(r->loop); /* runs what was still posted, cancelled */
    free_held(r);
    for (struct registrar_call *c; (c = policy_turns_next(r->policy_turns));)
        registrar_cancel_call(c);
    policy_turns_free(r->policy_turns);
    if (r->in_flight) {
        while (r->in_flight->calls) {
            struct registrar_call *call = r->in_flight->calls;

            r->in_flight->calls = call->next;
            answer(call);
        }
        round_free(r->in_flight);
    }
    while (r->open->calls) {
        struct registrar_call *call = r->open->calls;

        r->open->calls = call->next;
        answer_storage_failed(call);
    }
    if (r->store && store_batch_len(r->batch) > 0) {
        struct err err = {0};

        if (store_commit(r->store, r->batch, &err) < 0)
            log_event(LOG_ERROR, "the last changes could not be stored", LOG_ERR(&err));
    }
    round_free(r->open);
    store_batch_free(r->batch);
    store_close(r->store);
    domain_free(r->domain);
    policies_free(r->policies);
    registrar_treaty_fini(r);
    told_free(r);
    hooks_free(r->hooks);
    hook_events_free(r->hook_events);
    mem_free(r->loops);
    mem_free(r);
}
