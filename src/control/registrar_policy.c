/*
 * The registrar's part in policies: the command that sets one, the file at the start, what is told
 * with a round, and judging again what is in force. What a policy is and which is in force is
 * policies.c's.
 */

#include "control/headscale_metrics.h"
#include "control/registrar_internal.h"
#include "core/clock.h"
#include "core/log.h"
#include "store/audit_note.h"

/* So long one that was set is not followed by the next while somebody's command is applied and not
 * yet answered. */
#define TURN_STANDS_BACK_MS 100

static void note_health(struct registrar *r)
{
    atomic_store(&r->policies_are_well, policies_troubles(r->policies, NULL, NULL) == 0);
}

void registrar_adopt_policies(struct registrar *r)
{
    const struct domain_policy_hooks hooks = policies_hooks(r->policies);

    policies_load(r->policies, r->domain, r->store);
    domain_set_policy_hooks(r->domain, &hooks);
    note_health(r);
}

/* ---- Setting ---- */

/* The new policy came into the round when so many of its changes had. Takes it. */
static void round_put_policy(struct registrar *r, tailnet_id id, const struct policy *policy,
                             size_t at)
{
    struct round_tailnet *t = round_tailnet(r->open, id);

    round_look(r, t);
    policy_unref(t->policy);
    t->policy = policy;
    t->policy_at = at;
}

static int apply_policy(struct registrar *r, const struct command *c, bool is_start,
                        struct policy_verdict *verdict, struct command_result *result,
                        struct err *err)
{
    struct change_list changes = {0};
    const struct policy *policy = NULL;
    int status =
        policies_set(r->policies, r->domain, c, is_start, &changes, result, &policy, verdict, err);

    if (status == 0) {
        size_t at = round_tailnet(r->open, result->id)->changes.len;

        if (changes.len > 0)
            round_add_changes(r, &changes);
        if (policy)
            round_put_policy(r, result->id, policy, at);
        note_health(r);
    }
    change_list_fini(&changes);
    return status;
}

/* Answers come when a round is stored, and what is judged meanwhile would go before them. */
static bool stands_back(struct registrar *r)
{
    int64_t left = r->turn_due_ms - clock_mono_ms();

    if (left <= 0 || r->is_stalled || r->is_broken || !(r->in_flight || r->open->calls))
        return false;
    timer_start(&r->turn, left);
    return true;
}

static void on_turn(struct loop_message *msg)
{
    struct registrar *r = CONTAINER_OF(msg, struct registrar, turn_message);
    struct registrar_call *call;

    r->turn_posted = false;
    if (msg->cancelled || policy_turns_are_empty(r->policy_turns) || stands_back(r))
        return;
    timer_stop(&r->turn);
    call = policy_turns_next(r->policy_turns);
    registrar_apply_call(r, call);
    r->turn_due_ms = clock_mono_ms() + TURN_STANDS_BACK_MS;
    registrar_next_turn(r);
}

void registrar_on_turn_due(void *user)
{
    registrar_next_turn(user);
}

void registrar_next_turn(struct registrar *r)
{
    if (r->turn_posted || policy_turns_are_empty(r->policy_turns))
        return;
    r->turn_posted = true;
    r->turn_message.run = on_turn;
    loop_post(r->loop, &r->turn_message);
}

void registrar_queue_policy(struct registrar *r, struct registrar_call *call)
{
    AUTO(view_unref)
    const struct tailnet_view *view = domain_view(r->domain, call->command.tailnet);

    /* Of no tailnet: refused in its turn as well. */
    policy_turns_add(r->policy_turns, view ? view_info(view)->id : 0, call);
    registrar_next_turn(r);
}

int registrar_apply_policy(struct registrar *r, struct registrar_call *call)
{
    struct policy_verdict own = {0};
    int status = apply_policy(r, &call->command, false, call->verdict ? call->verdict : &own,
                              &call->result, &call->err);

    policy_verdict_fini(&own);
    return status;
}

/* ---- The file at the start ---- */

static void note_file(struct registrar *r, tailnet_id id, const struct policy_file *file,
                      struct str why)
{
    struct str text = str_printf("%.*s: %.*s", STR_ARG(file->path), STR_ARG(why));
    AUTO(view_unref) const struct tailnet_view *view = domain_view(r->domain, id);

    policies_note(r->policies, id, text);
    str_free(&text);
    /* There is no last good one, and what the operator wanted closed is not to be open. */
    if (view_info(view)->policy.len == 0)
        policies_close(r->policies, id);
    note_health(r);
}

/* Nobody was told anything yet, so there is nothing to tell of this either: it is only stored. */
void registrar_start_with_file(struct registrar *r, const struct policy_file *file)
{
    AUTO(view_unref) const struct tailnet_view *view = domain_view(r->domain, 0);
    struct policy_verdict verdict = {0};
    struct command_result result = {0};
    struct err err = {0};
    const struct command c = {.type = COMMAND_POLICY_SET,
                              .origin = ORIGIN_SERVER,
                              .author = STR("file"),
                              .now_ms = clock_unix_ms(),
                              .text = file->path.len > 0 ? file->text : STR_NONE};

    if (!view)
        return;
    tailnet_id id = view_info(view)->id;
    if (file->trouble.len > 0) {
        note_file(r, id, file, file->trouble);
        return;
    }
    /* What is stored is in force already, as far as it is good. */
    if (str_eq(c.text, view_info(view)->policy))
        return;
    if (c.text.len == 0)
        log_event(LOG_WARN, "there is no policy file any more: everything is allowed");
    struct audit_note note;
    audit_note_begin(&note, r->domain, &c);
    registrar_hooks_begin(r, &c);
    int status = apply_policy(r, &c, true, &verdict, &result, &err);
    registrar_audit(r, &note, &c, status == 0 ? &result : NULL);
    registrar_hooks_end(r, &c, status == 0 ? &result : NULL, NULL);
    if (status < 0) {
        struct buf why = BUF((size_t)64 << 10);

        policy_verdict_put(&why, &verdict);
        note_file(r, id, file, buf_str(&why));
        buf_fini(&why);
    }
    policy_verdict_fini(&verdict);
    command_result_fini(&result);
    struct round *fresh = round_new();
    round_move_deliveries(fresh, r->open);
    round_free(r->open);
    r->open = fresh;
}

/* ---- Telling and judging ---- */

static bool is_gone(const struct round_tailnet *t)
{
    for (size_t i = 0; i < t->changes.len; i++)
        if (t->changes.items[i].kind == CHANGE_TAILNET_REMOVED)
            return true;
    return false;
}

/* Its last view is what everybody knows of it. */
static void tell_gone(struct registrar *r, struct round_tailnet *t)
{
    const struct tailnet_view *told = map_find_u64(r->told_views, t->id);
    AUTO(view_unref) const struct tailnet_view *last = told ? view_ref(told) : NULL;

    policies_drop(r->policies, t->id);
    if (last)
        registrar_publish(r, last, NULL, &t->changes, false);
}

void registrar_tell_tailnet(struct registrar *r, struct round_tailnet *t)
{
    if (is_gone(t)) {
        tell_gone(r, t);
        return;
    }
    size_t from = t->policy ? t->policy_at : 0;

    if (!t->view || (t->changes.len == 0 && !t->policy))
        return;
    uint64_t began_ns = clock_mono_ns();
    const struct policy *policy = policies_tell(r->policies, t->document, t->view, t->policy,
                                                t->changes.items + from, t->changes.len - from);
    headscale_note_peers(clock_mono_ns() - began_ns);
    registrar_publish(r, t->view, policy, &t->changes, false);
}

void registrar_on_judge(void *user)
{
    struct registrar *r = user;

    int64_t began = clock_mono_ms();

    if (r->is_broken)
        return;
    /* The rest next time: whoever waits for this thread waits for one tailnet's tests. */
    do
        policies_judge_next(r->policies, r->domain);
    while (policies_are_unjudged(r->policies) && clock_mono_ms() - began < JUDGE_SLICE_MS);
    note_health(r);
    r->judge_ms = MAX((int64_t)JUDGE_MS, (clock_mono_ms() - began) * JUDGE_SHARE);
}

struct policy_note {
    struct loop_message message;
    struct registrar *registrar;
    tailnet_id tailnet;
    struct str text;
};

static void note_run(struct loop_message *msg)
{
    struct policy_note *note = CONTAINER_OF(msg, struct policy_note, message);
    struct registrar *r = note->registrar;

    if (!msg->cancelled && !r->is_broken) {
        AUTO(view_unref) const struct tailnet_view *view = domain_view(r->domain, note->tailnet);

        if (view)
            policies_note(r->policies, view_info(view)->id, note->text);
        note_health(r);
    }
    str_free(&note->text);
    mem_free(note);
}

void registrar_note_policy(struct registrar *r, tailnet_id tailnet, struct str text)
{
    if (!r)
        return;
    struct policy_note *note = NEW(struct policy_note);

    note->registrar = r;
    note->tailnet = tailnet;
    note->text = str_copy(text);
    note->message.run = note_run;
    loop_post(r->loop, &note->message);
}

void registrar_policy_troubles(const struct registrar *r,
                               void (*each)(void *user, const struct policy_trouble *t), void *user)
{
    (void)policies_troubles(r->policies, each, user);
}

bool registrar_policies_are_well(const struct registrar *r)
{
    return atomic_load(&r->policies_are_well);
}
