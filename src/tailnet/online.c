/*
 * Who is online: a session's matter, not a clock's.
 *
 *   OFFLINE --stream opens--> LIVE --newest stream ends--> GRACE --OFFLINE_GRACE_MS--> OFFLINE
 *                              ^  |                          |
 *                              |  +--another opens: the older one is told to end, generation rises
 *                              +-------stream opens----------+
 *
 * The end of a stream that is not the newest means nothing. node.online is true in LIVE and GRACE.
 */

#include "tailnet/domain_internal.h"

void stream_end(struct domain *d, struct node_state *s)
{
    if (!s->is_live)
        return;
    domain_emit(
        d, s->tailnet,
        (struct change){.kind = CHANGE_STREAM_END, .id = node_now(s)->id, .arg = s->generation});
}

void ephemeral_schedule(struct domain *d, struct node_state *s, int64_t from_ms)
{
    int64_t wait = MAX(s->tailnet->info->ephemeral_timeout_ms, OFFLINE_GRACE_MS);

    if (node_now(s)->ephemeral && !s->is_live)
        schedule_set(&d->schedule, &s->ephemeral, from_ms + wait);
    else
        schedule_clear(&d->schedule, &s->ephemeral);
}

int node_stream_open(struct domain *d, const struct command *c, struct command_result *r,
                     struct err *err)
{
    if (node_update(d, c, r, err) < 0)
        return -(int)err->code;

    struct node_state *s = d->subject;
    stream_end(d, s);
    s->generation = d->next_generation++;
    s->is_live = true;
    s->is_silent = false;
    s->opened_ms = d->now_ms;
    schedule_clear(&d->schedule, &s->offline);
    schedule_clear(&d->schedule, &s->ephemeral);
    if (!node_now(s)->online) {
        struct node *n = node_edit(d, s, NODE_ONLINE);

        n->online = true;
        n->last_seen_ms = d->now_ms;
    }
    routes_touch_node(d, s);
    r->generation = s->generation;
    return 0;
}

int node_stream_close(struct domain *d, const struct command *c, struct command_result *r,
                      struct err *err)
{
    struct node_state *s = c->id != 0 ? node_state_by_id(d, c->id) : node_state_by_key(d, &c->key);

    (void)r;
    if (!s)
        return err_set(err, ERR_NOT_FOUND, "node not found");
    d->subject = s;
    if (!s->is_live || s->generation != c->generation)
        return 0;
    s->is_live = false;
    s->ended_ms = d->now_ms;
    schedule_set(&d->schedule, &s->offline, d->now_ms + OFFLINE_GRACE_MS);
    ephemeral_schedule(d, s, d->now_ms);
    routes_touch_node(d, s);
    return 0;
}

int node_probed(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct node_state *s = node_state_by_id(d, c->id);

    (void)r;
    if (!s)
        return err_set(err, ERR_NOT_FOUND, "node not found");
    d->subject = s;
    if (!s->is_live || s->generation != c->generation || s->is_silent == !c->answers)
        return 0;
    s->is_silent = !c->answers;
    routes_touch_node(d, s);
    return 0;
}

static void go_offline(struct domain *d, struct node_state *s)
{
    struct node *n = node_edit(d, s, NODE_ONLINE);

    n->online = false;
    n->last_seen_ms = s->ended_ms;
    routes_touch_node(d, s);
}

static void expire(struct domain *d, struct node_state *s)
{
    node_edit(d, s, NODE_EXPIRY)->expired = true;
    routes_touch_node(d, s);
}

int domain_tick(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err)
{
    struct deadline *dl;

    (void)c;
    (void)r;
    (void)err;
    while ((dl = schedule_take_due(&d->schedule, d->now_ms))) {
        switch (dl->kind) {
        case DEADLINE_OFFLINE:
            go_offline(d, CONTAINER_OF(dl, struct node_state, offline));
            break;
        case DEADLINE_EPHEMERAL:
            node_remove(d, CONTAINER_OF(dl, struct node_state, ephemeral));
            break;
        case DEADLINE_EXPIRY:
            expire(d, CONTAINER_OF(dl, struct node_state, expiry));
            break;
        case DEADLINE_ATTRIBUTE:
            attributes_expire(d, CONTAINER_OF(dl, struct node_state, attribute));
            break;
        case DEADLINE_EXPIRING: {
            struct node_state *s = CONTAINER_OF(dl, struct node_state, expiring);

            domain_emit(d, s->tailnet,
                        (struct change){.kind = CHANGE_NODE_EXPIRING, .id = node_now(s)->id});
            break;
        }
        case DEADLINE_PENDING: {
            struct pending *p = CONTAINER_OF(dl, struct pending, deadline);

            pending_decided(d, NULL, p);
            pending_remove(d, p);
            break;
        }
        case DEADLINE_REVOKED:
            auth_key_remove(d, CONTAINER_OF(dl, struct auth_key_state, reap));
            break;
        case DEADLINE_API_KEY:
            api_key_ended(d, CONTAINER_OF(dl, struct api_key_end, deadline));
            break;
        case DEADLINE_SHARE:
            share_remove(d, CONTAINER_OF(dl, struct share_state, end));
            break;
        case DEADLINE_SHARE_INVITE:
            invite_remove(d, CONTAINER_OF(dl, struct invite_state, head.end));
            break;
        case DEADLINE_USER_INVITE:
            user_invite_remove(d, CONTAINER_OF(dl, struct user_invite_state, head.end));
            break;
        }
    }
    return 0;
}
