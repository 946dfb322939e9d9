/*
 * A client's register request, in the order of headscale.md 4.2:
 *
 *   logout > known and valid key > follow-up > auth key > new pending registration
 *
 * and the two ways an administrator or a log-in decides a pending one.
 */

#include "tailnet/register_internal.h"

static void fail(struct command_result *r, const char *text)
{
    r->outcome = REGISTER_FAILED;
    snprintf(r->text, sizeof(r->text), "%s", text);
}

/* ---- Tags asked for ---- */

static bool may_request(const struct domain *d, const struct join *j,
                        const struct node_state *existing, struct str tag)
{
    const struct user_state *owner = j->user ? map_find_u64(d->user_by_id, j->user) : NULL;

    return tag_is_valid(tag) &&
           (!d->hooks.tag_may_be_requested ||
            d->hooks.tag_may_be_requested(d->hooks.user, j->tailnet->id, owner ? owner->user : NULL,
                                          existing ? existing->node : NULL, tag));
}

/* "requested tags [tag:a tag:b] are invalid or not permitted" */
static void put_refused_tags(struct buf *out, const struct str_list *tags)
{
    buf_put(out, STR("requested tags ["));
    for (size_t i = 0; i < tags->len; i++) {
        if (i > 0)
            buf_put_char(out, ' ');
        buf_put(out, str_sub(tags->items[i], 0, 64));
    }
    buf_put(out, STR("] are invalid or not permitted"));
}

static void refused_tags_text(const struct str_list *tags, char out[256])
{
    struct buf text = BUF((size_t)64 << 10);

    put_refused_tags(&text, tags);
    snprintf(out, 256, "%.*s", STR_ARG(buf_str(&text)));
    buf_fini(&text);
}

/* ---- What a known node may do with its own key ---- */

static void log_out(struct domain *d, struct node_state *s)
{
    if (node_now(s)->ephemeral) {
        d->of = s->tailnet;
        node_remove(d, s);
        return;
    }
    d->subject = s;
    if (!node_has_expired(s->node, d->now_ms))
        node_set_expiry(d, s, d->now_ms);
}

/* An expiry in the future: it may come sooner than it would, never later. */
static void shorten(struct domain *d, struct node_state *s, int64_t expiry_ms,
                    struct command_result *r)
{
    d->subject = s;
    r->outcome = REGISTER_DONE;
    if (s->node->expiry_ms != 0 && expiry_ms > s->node->expiry_ms)
        fail(r, "extending key is not allowed");
    else
        node_set_expiry(d, s, expiry_ms);
}

/* ---- Auth keys ---- */

static struct join join_from(const struct register_request *reg)
{
    return (struct join){.machine = reg->machine,
                         .key = reg->key,
                         .old_key = reg->old_key,
                         .nl = reg->nl,
                         .capver = reg->capver,
                         .ephemeral = reg->ephemeral,
                         .facts = reg->facts,
                         .expiry_ms = reg->has_expiry ? reg->expiry_ms : 0};
}

/*
 * Whether the machine is in by this very key already. Clients register twice in a row with two node
 * keys (up
 * --auth-key after a log-out, --force-reauth), so whom a one-off key let in may show it again while
 * it is in: it gains nothing. Once logged out or expired it may not.
 */
static bool is_in_by(const struct domain *d, const struct auth_key *key,
                     const struct machine_key *machine)
{
    for (const struct node_state *s = map_find(d->node_by_machine, machine_key_str(machine)); s;
         s = s->machine_next)
        if (s->node->auth_key == key->id && !node_has_expired(s->node, d->now_ms))
            return true;
    return false;
}

static const char *auth_key_fault(const struct domain *d, const struct auth_key_state *k,
                                  const struct machine_key *machine)
{
    if (!k)
        return "invalid pre auth key";
    if (k->key->revoked_ms != 0)
        return "authkey revoked";
    if (k->key->expiry_ms != 0 && k->key->expiry_ms <= d->now_ms)
        return "authkey expired";
    if (k->key->used && !k->key->reusable && !is_in_by(d, k->key, machine))
        return "authkey already used";
    return NULL;
}

static int register_with_key(struct domain *d, const struct register_request *reg,
                             struct command_result *r, struct err *err)
{
    bool unproven = false;
    struct auth_key_state *k = auth_key_find(d, reg->auth_key, reg->proven, &unproven);
    const char *fault = auth_key_fault(d, k, &reg->machine);
    struct join j = join_from(reg);
    struct join_plan plan;

    if (unproven) {
        r->outcome = REGISTER_PROVE;
        r->auth_key = auth_key_ref(k->key);
        d->of = k->tailnet;
        return 0;
    }
    if (!fault && k->tailnet->info->suspended)
        fault = TAILNET_SUSPENDED;
    if (!fault && holds_of_owner(d, k->key->user) != 0)
        fault = "the owner of this auth key is suspended, or waits for approval: ask one of the "
                "tailnet's administrators";
    if (fault) {
        fail(r, fault);
        return 0;
    }
    if (reg->facts->request_tags.len > 0) {
        r->outcome = REGISTER_FAILED;
        refused_tags_text(&reg->facts->request_tags, r->text);
        return 0;
    }
    j.tailnet = k->tailnet;
    j.method = REGISTER_AUTH_KEY;
    j.user = k->key->user;
    j.tags = k->key->tags;
    j.auth_key = k->key->id;
    j.ephemeral = j.ephemeral || k->key->ephemeral;
    j.is_approved = k->key->preauthorized;
    if (join_check(d, &j, &plan, err) < 0)
        return -(int)err->code;
    /* What an administrator did to its tags outlives another log-in with the same key. */
    j.keeps_tags =
        j.tags.len == 0 || (plan.existing && plan.existing->node->auth_key == j.auth_key);
    join_apply(d, &j, &plan);
    auth_key_spend(d, k);
    r->outcome = REGISTER_DONE;
    return 0;
}

/* ---- Pending registrations ---- */

static void answer_pending(struct command_result *r, const struct pending *p)
{
    r->outcome = REGISTER_PENDING;
    memcpy(r->auth_id, p->auth_id, sizeof(r->auth_id));
}

/* False: unknown, expired or another's; the client needs a new one. */
static bool follow_up(struct domain *d, const struct register_request *reg,
                      struct command_result *r)
{
    struct pending *p = pending_find(d, reg->followup);

    if (!p || !machine_key_eq(&p->machine, &reg->machine) || !node_key_eq(&p->key, &reg->key))
        return false;
    if (p->is_rejected) {
        fail(r, "registration was rejected");
        pending_remove(d, p);
    } else {
        answer_pending(r, p);
    }
    return true;
}

int register_node(struct domain *d, const struct command *c, struct command_result *r,
                  struct err *err)
{
    const struct register_request *reg = c->reg;
    struct node_state *s = node_state_by_key(d, &reg->key);
    bool logs_out = reg->has_expiry && reg->expiry_ms <= d->now_ms;

    if (node_key_is_zero(&reg->key))
        return err_set(err, ERR_INVALID, "node key is missing");
    if (s && !machine_key_eq(&s->node->machine, &reg->machine))
        return err_set(err, ERR_DENIED, "node key belongs to another machine");
    if (logs_out) {
        r->outcome = REGISTER_LOGGED_OUT;
        if (s)
            log_out(d, s);
        return 0;
    }
    if (s && s->tailnet->info->suspended) {
        d->subject = s;
        fail(r, TAILNET_SUSPENDED);
        return 0;
    }
    if (s && !node_has_expired(s->node, d->now_ms)) {
        r->outcome = REGISTER_DONE;
        d->subject = s;
        if (reg->has_expiry && reg->auth_key.len == 0)
            shorten(d, s, reg->expiry_ms, r);
        return 0;
    }
    ASSERT(reg->facts);
    if (facts_check(reg->facts, err) < 0)
        return -(int)err->code;
    if (reg->followup.len > 0 && follow_up(d, reg, r))
        return 0;
    if (reg->followup.len == 0 && reg->auth_key.len > 0)
        return register_with_key(d, reg, r, err);
    answer_pending(r, pending_ask(d, reg, NULL));
    return 0;
}

/* The tags somebody asked for with the registration, as the policy lets them have. */
static int check_requested_tags(const struct domain *d, const struct join *j,
                                const struct str_list *asked, struct err *err)
{
    const struct node_state *existing = join_find(d, j);
    struct str_list refused = {0};
    char text[256];

    for (size_t i = 0; i < asked->len; i++)
        if (!may_request(d, j, existing, asked->items[i]))
            str_list_add(&refused, asked->items[i]);
    if (refused.len == 0)
        return 0;
    refused_tags_text(&refused, text);
    str_list_free(&refused);
    return err_set(err, ERR_INVALID, "%s", text);
}

/* NULL: err says so. */
static struct pending *pending_waiting(struct domain *d, struct str auth_id, struct err *err)
{
    struct pending *p = pending_find(d, auth_id);

    if (p && !p->is_rejected)
        return p;
    (void)!err_set(err, ERR_NOT_FOUND,
                   "no pending auth session for auth_id %.*s; it may have expired: log in again on "
                   "the machine",
                   (int)MIN(auth_id.len, (size_t)64), auth_id.ptr ? auth_id.ptr : "");
    return NULL;
}

int register_approve(struct domain *d, const struct command *c, struct command_result *r,
                     struct err *err)
{
    struct tailnet *t = NULL;
    struct pending *p;
    struct user_state *owner = NULL;
    struct str_list tags = {0};
    struct join_plan plan;

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 || tailnet_check_open(t, err) < 0 ||
        !(p = pending_waiting(d, c->name, err)) ||
        user_get(d, t, c->user, c->user_name, &owner, err) < 0)
        return -(int)err->code;
    if (owner->user->status == USER_SUSPENDED)
        return err_set(err, ERR_DENIED, "%s", user_inactive_text(owner->user));

    const struct register_request reg = {.machine = p->machine,
                                         .key = p->key,
                                         .old_key = p->old_key,
                                         .nl = p->nl,
                                         .capver = p->capver,
                                         .ephemeral = p->ephemeral,
                                         .facts = p->facts,
                                         .has_expiry = p->has_expiry,
                                         .expiry_ms = p->expiry_ms};
    struct join j = join_from(&reg);
    j.tailnet = t;
    j.method = c->is_oidc ? REGISTER_OIDC : REGISTER_CLI;
    j.user = owner->user->id;
    if (c->expiry_ms != 0) {
        j.expiry_ms = c->expiry_ms;
        j.is_fixed = true;
    }
    str_list_copy(&tags, &p->facts->request_tags);
    str_list_sort_unique(&tags);
    j.tags = tags;
    int status = check_requested_tags(d, &j, &tags, err);
    if (status == 0)
        status = join_check(d, &j, &plan, err);
    if (status == 0) {
        join_apply(d, &j, &plan); /* `p` is gone now */
        r->outcome = REGISTER_DONE;
    }
    str_list_free(&tags);
    return status;
}

int register_reject(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err)
{
    struct tailnet *t = NULL;
    struct pending *p;

    (void)r;
    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 || !(p = pending_waiting(d, c->name, err)))
        return -(int)err->code;
    p->is_rejected = true;
    d->of = t;
    pending_decided(d, t, p);
    return 0;
}
