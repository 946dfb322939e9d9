/*
 * Rounds: what was applied since the last commit was begun, and telling it to every loop. See
 * registrar.c for who closes them.
 */

#include "control/headscale_metrics.h"
#include "control/registrar_internal.h"
#include "core/clock.h"

struct round *round_new(void)
{
    struct round *round = NEW(struct round);

    round->calls_tail = &round->calls;
    return round;
}

struct round_tailnet *round_tailnet(struct round *round, tailnet_id id)
{
    for (struct round_tailnet *t = round->tailnets; t; t = t->next)
        if (t->id == id)
            return t;

    struct round_tailnet *t = NEW(struct round_tailnet);

    t->id = id;
    t->next = round->tailnets;
    round->tailnets = t;
    return t;
}

void round_forget_deliveries(struct round *round)
{
    for (size_t i = 0; i < round->n_deliveries; i++)
        delivery_unref(round->deliveries[i]);
    mem_free(round->deliveries);
    round->deliveries = NULL;
    round->n_deliveries = round->cap_deliveries = 0;
}

void round_move_deliveries(struct round *to, struct round *from)
{
    to->deliveries = from->deliveries;
    to->n_deliveries = from->n_deliveries;
    to->cap_deliveries = from->cap_deliveries;
    from->deliveries = NULL;
    from->n_deliveries = from->cap_deliveries = 0;
}

void round_free(struct round *round)
{
    round_forget_deliveries(round);
    api_key_set_unref(round->api_keys);
    change_list_fini(&round->api_key_changes);
    while (round->tailnets) {
        struct round_tailnet *t = round->tailnets;

        round->tailnets = t->next;
        view_unref(t->view);
        policy_document_unref(t->document);
        policy_unref(t->policy);
        change_list_fini(&t->changes);
        mem_free(t);
    }
    mem_free(round);
}

void round_add_call(struct round *round, struct registrar_call *call)
{
    call->next = NULL;
    *round->calls_tail = call;
    round->calls_tail = &call->next;
}

void round_look(struct registrar *r, struct round_tailnet *t)
{
    uint64_t began_ns = clock_mono_ns();
    const struct tailnet_view *view = domain_view(r->domain, t->id);
    headscale_note_view(clock_mono_ns() - began_ns);
    const struct policy_document *document = policies_document(r->policies, t->id);

    if (!view)
        return;
    view_unref(t->view);
    t->view = view;
    policy_document_unref(t->document);
    t->document = document ? policy_document_ref(document) : NULL;
}

static bool is_of_api_key(const struct change *c)
{
    return c->kind == CHANGE_API_KEY || c->kind == CHANGE_API_KEY_REMOVED;
}

/* API keys are of no tailnet: they go their own way to store and loops. */
static void add_api_keys(struct registrar *r, const struct change_list *changes)
{
    struct round *round = r->open;
    size_t before = round->api_key_changes.len;
    bool durable = false;

    for (size_t i = 0; i < changes->len; i++)
        if (is_of_api_key(&changes->items[i]))
            change_list_add(&round->api_key_changes, changes->items[i]);
    if (round->api_key_changes.len == before)
        return;
    api_key_set_unref(round->api_keys);
    round->api_keys = domain_api_keys(r->domain);
    store_batch_add_api_keys(r->batch, round->api_keys, changes->items, changes->len, &durable);
    round->durable = round->durable || durable;
}

/* Files the changes under their tailnets and notes what the store must write. */
void round_add_changes(struct registrar *r, const struct change_list *changes)
{
    struct round *round = r->open;

    add_api_keys(r, changes);
    for (size_t i = 0; i < changes->len; i++) {
        const struct change *c = &changes->items[i];

        if (is_of_api_key(c))
            continue;
        struct round_tailnet *t = round_tailnet(round, c->tailnet);

        change_list_add(&t->changes, *c);
        t->fresh = true;
    }
    for (struct round_tailnet *t = round->tailnets; t; t = t->next) {
        bool durable = false;

        if (!t->fresh)
            continue;
        t->fresh = false;
        round_look(r, t);
        /* Without a view it is gone: that, too, is to be written. */
        if (t->changes.len > t->stored)
            store_batch_add(r->batch, t->view, t->changes.items + t->stored,
                            t->changes.len - t->stored, &durable);
        t->stored = t->changes.len;
        round->durable = round->durable || durable;
    }
}

/* ---- Telling the loops ---- */

struct announcement {
    struct loop_message message;
    struct registrar *registrar;
    struct loop *loop;
    struct shared_publication *shared;
};

static void shared_publication_unref(struct shared_publication *s)
{
    if (!ref_drop(&s->ref))
        return;
    view_unref(s->pub.view);
    policy_unref(s->pub.policy);
    change_list_fini(&s->changes);
    mem_free(s);
}

static void announcement_run(struct loop_message *msg)
{
    struct announcement *a = CONTAINER_OF(msg, struct announcement, message);

    if (!msg->cancelled)
        a->registrar->options.on_publish(a->registrar->options.user, a->loop, &a->shared->pub);
    shared_publication_unref(a->shared);
    mem_free(a);
}

struct keys_announcement {
    struct loop_message message;
    struct registrar *registrar;
    struct loop *loop;
    const struct api_key_set *keys;
    struct change_list changes;
    bool reset;
};

static void keys_announcement_run(struct loop_message *msg)
{
    struct keys_announcement *a = CONTAINER_OF(msg, struct keys_announcement, message);
    const struct registrar_options *o = &a->registrar->options;

    if (!msg->cancelled)
        o->on_api_keys(o->user, a->loop, a->keys, a->changes.items, a->changes.len, a->reset);
    api_key_set_unref(a->keys);
    change_list_fini(&a->changes);
    mem_free(a);
}

void registrar_publish_api_keys(struct registrar *r, const struct api_key_set *keys,
                                const struct change_list *changes, bool reset)
{
    told_note_api_keys(r, keys);
    for (size_t i = 0; r->options.on_api_keys && i < r->options.n_loops; i++) {
        struct keys_announcement *a = NEW(struct keys_announcement);

        a->registrar = r;
        a->loop = r->loops[i];
        a->message.run = keys_announcement_run;
        a->keys = api_key_set_ref(keys);
        a->reset = reset;
        for (size_t k = 0; k < changes->len; k++)
            change_list_add(&a->changes, changes->items[k]);
        loop_post(a->loop, &a->message);
    }
}

/* Takes changes and policy; refers to the view. */
void registrar_publish(struct registrar *r, const struct tailnet_view *view,
                       const struct policy *policy, struct change_list *changes, bool reset)
{
    struct shared_publication *s = NEW(struct shared_publication);

    told_note_view(r, view, changes->items, changes->len);
    registrar_treaty_note(r, view, policy, changes);
    ref_init(&s->ref);
    s->changes = *changes;
    *changes = (struct change_list){0};
    s->pub = (struct publication){.view = view_ref(view),
                                  .policy = policy,
                                  .changes = s->changes.items,
                                  .n_changes = s->changes.len,
                                  .reset = reset};
    for (size_t i = 0; i < r->options.n_loops; i++) {
        struct announcement *a = NEW(struct announcement);

        a->registrar = r;
        a->loop = r->loops[i];
        a->message.run = announcement_run;
        a->shared = s;
        ref_take(&s->ref);
        loop_post(a->loop, &a->message);
    }
    shared_publication_unref(s);
    if (policies_are_unjudged(r->policies) && !timer_is_started(&r->judge))
        timer_start(&r->judge, r->judge_ms);
}

void registrar_publish_all(struct registrar *r, bool reset)
{
    size_t n = 0;
    tailnet_id *ids = domain_all_tailnets(r->domain, &n);
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(r->domain);

    registrar_publish_api_keys(r, keys, &(struct change_list){0}, true);

    for (size_t i = 0; i < n; i++) {
        AUTO(view_unref) const struct tailnet_view *view = domain_view(r->domain, ids[i]);
        struct change_list none = {0};

        if (view)
            registrar_publish(r, view,
                              policies_tell(r->policies, policies_document(r->policies, ids[i]),
                                            view, NULL, NULL, 0),
                              &none, reset);
    }
    mem_free(ids);
}
