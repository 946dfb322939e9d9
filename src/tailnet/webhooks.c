/* Webhook endpoints in the domain: made, changed, given another secret, deleted, loaded. */

#include "crypto/secret.h"
#include "tailnet/domain_internal.h"
#include "tailnet/webhook.h"

/* What expires within this is told of a day ahead, where somebody wants to hear it. */
#define EXPIRING_MS ((int64_t)24 * 3600 * 1000)

static int subscriptions_of(const struct str_list *names, uint32_t *out, struct err *err)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < names->len; i++) {
        enum webhook_event event;

        if (!webhook_event_find(names->items[i], &event))
            return err_set(err, ERR_INVALID, "no such subscription: \"%.*s\"",
                           STR_ARG(str_sub(names->items[i], 0, 64)));
        bits |= BIT(event);
    }
    if (bits == 0)
        return err_set(err, ERR_INVALID, "a webhook needs at least one subscription");
    *out = bits;
    return 0;
}

/* ---- Keys that expire soon ---- */

void expiring_schedule(struct domain *d, struct node_state *s, bool is_start)
{
    const struct node *n = node_now(s);
    int64_t at = n->expiry_ms - EXPIRING_MS;

    /* Nobody knows whether it was told before the server was away: rather twice than never. */
    if (is_start && at <= d->now_ms)
        at = d->now_ms + 1;
    if (s->tailnet->webhooks.count > 0 && n->expiry_ms != 0 && !n->expired && at > d->now_ms)
        schedule_set(&d->schedule, &s->expiring, at);
    else
        schedule_clear(&d->schedule, &s->expiring);
}

/* The first endpoint came, or the last one went. */
static void schedule_all(struct domain *d, struct tailnet *t)
{
    const struct node *n;

    for (size_t at = 0; (n = table_next(&t->nodes, &at));)
        expiring_schedule(d, node_state_by_id(d, n->id), false);
}

/* ---- Tables ---- */

/* Takes the reference. */
static void put(struct domain *d, struct tailnet *t, const struct webhook *h)
{
    size_t before = t->webhooks.count;

    table_put(&t->webhooks, h->id, h);
    d->n_webhooks += t->webhooks.count - before;
    id_used(d, ID_WEBHOOK, h->id);
}

static void replace(struct domain *d, struct tailnet *t, const struct webhook *h)
{
    bool is_first = t->webhooks.count == 0;

    put(d, t, h);
    if (is_first)
        schedule_all(d, t);
    domain_emit(d, t, (struct change){.kind = CHANGE_WEBHOOK, .id = h->id});
}

void webhooks_remove_all(struct domain *d, struct tailnet *t)
{
    d->n_webhooks -= t->webhooks.count;
    table_fini(&t->webhooks);
}

size_t domain_webhook_count(const struct domain *d)
{
    return d->n_webhooks;
}

uint64_t domain_take_event_id(struct domain *d)
{
    return d->next.event++;
}

int domain_load_webhook(struct domain *d, struct webhook *webhook, struct err *err)
{
    AUTO(webhook_unref) const struct webhook *owned = webhook;
    struct tailnet *t = webhook->tailnet ? domain_tailnet(d, webhook->tailnet) : NULL;

    if (!t)
        return err_set(err, ERR_INVALID, "webhook %" PRIu64 " is of no tailnet", webhook->id);
    if (webhook->id == 0 || table_find(&t->webhooks, webhook->id))
        return err_set(err, ERR_CONFLICT, "webhook %" PRIu64 " is there twice", webhook->id);
    put(d, t, TAKE(owned));
    view_unref(t->view);
    t->view = NULL;
    return 0;
}

/* ---- Commands ---- */

static struct str new_secret(void)
{
    struct secret_token token = {0};
    struct str secret;

    secret_token_make(&token, WEBHOOK_KIND);
    secret = str_copy(buf_str(&token.text));
    secret_token_fini(&token);
    return secret;
}

static void answer(struct domain *d, struct tailnet *t, const struct webhook *h,
                   struct command_result *r)
{
    d->of = t;
    r->id = h->id;
    r->webhook = webhook_ref(h);
}

int webhook_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    struct tailnet *t = NULL;
    enum webhook_provider provider = WEBHOOK_GENERIC;
    uint32_t subscriptions = 0;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0)
        return -(int)err->code;
    if (!webhook_url_is_valid(c->text))
        return err_set(err, ERR_INVALID,
                       "an endpoint's URL begins with https:// or http://, names a host, and has "
                       "neither user nor password; at most %d bytes",
                       WEBHOOK_URL_MAX);
    if (!webhook_provider_find(c->provider, &provider))
        return err_set(err, ERR_INVALID,
                       "the provider type is slack, mattermost, googlechat, discord or empty");
    if (subscriptions_of(&c->scopes, &subscriptions, err) < 0)
        return -(int)err->code;
    if (t->webhooks.count >= WEBHOOKS_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d webhooks", WEBHOOKS_MAX);

    struct webhook *h = webhook_new();
    h->id = id_next(d, t, ID_WEBHOOK);
    h->tailnet = t->id;
    h->url = str_copy(c->text);
    h->provider = provider;
    h->subscriptions = subscriptions;
    h->secret = new_secret();
    h->creator = str_copy(str_sub(c->name, 0, TEXT_MAX));
    h->created_ms = d->now_ms;
    h->modified_ms = d->now_ms;
    replace(d, t, h);
    r->secret = str_copy(h->secret);
    answer(d, t, h, r);
    return 0;
}

static int get(struct domain *d, const struct command *c, struct tailnet **t,
               const struct webhook **h, struct err *err)
{
    if (domain_tailnet_get(d, c->tailnet, t, err) < 0)
        return -(int)err->code;
    *h = table_find(&(*t)->webhooks, c->id);
    if (!*h)
        return err_set(err, ERR_NOT_FOUND, "webhook not found");
    return 0;
}

int webhook_update(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    struct tailnet *t = NULL;
    const struct webhook *h = NULL;
    uint32_t subscriptions = 0;

    if (get(d, c, &t, &h, err) < 0 || subscriptions_of(&c->scopes, &subscriptions, err) < 0)
        return -(int)err->code;
    if (subscriptions != h->subscriptions) {
        struct webhook *with = webhook_clone(h);

        with->subscriptions = subscriptions;
        with->modified_ms = d->now_ms;
        replace(d, t, with);
        h = with;
    }
    answer(d, t, h, r);
    return 0;
}

int webhook_rotate(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    struct tailnet *t = NULL;
    const struct webhook *h = NULL;

    if (get(d, c, &t, &h, err) < 0)
        return -(int)err->code;
    struct webhook *with = webhook_clone(h);
    mem_wipe(MUTABLE(char, with->secret.ptr), with->secret.len);
    str_free(&with->secret);
    with->secret = new_secret();
    with->modified_ms = d->now_ms;
    replace(d, t, with);
    r->secret = str_copy(with->secret);
    answer(d, t, with, r);
    return 0;
}

/* What is sent is no change of the domain's: who makes events sees the command. */
int webhook_test(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err)
{
    struct tailnet *t = NULL;
    const struct webhook *h = NULL;

    if (get(d, c, &t, &h, err) < 0)
        return -(int)err->code;
    answer(d, t, h, r);
    return 0;
}

int webhook_delete(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err)
{
    struct tailnet *t = NULL;
    const struct webhook *h = NULL;

    if (get(d, c, &t, &h, err) < 0)
        return -(int)err->code;
    d->of = t;
    r->id = h->id;
    (void)table_remove(&t->webhooks, h->id);
    d->n_webhooks--;
    if (t->webhooks.count == 0)
        schedule_all(d, t);
    domain_emit(d, t, (struct change){.kind = CHANGE_WEBHOOK_REMOVED, .id = r->id});
    return 0;
}
